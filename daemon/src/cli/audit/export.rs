//! `isthmus audit export`: to a file, to standard output, or to a collector.

use std::{
    fs::OpenOptions,
    io::{BufWriter, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use super::{in_order, log::Log, moment, moment_after};
use crate::{
    audit::{
        ask::{Ask, ENTRIES_MOST, Purpose},
        collector::{Collector, Connection},
        line::Line,
        syslog::{self, Origin},
    },
    cli::{FAILED, USAGE, failed, runtime},
    config::ClientTls,
    outbound::Address,
    tls,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Made at this time or after: 2026-01-31 (midnight UTC), 2026-01-31T08:00:00Z, or 36h, 7d ago.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<i64>,
    /// Made before this time; a day counts with all of it (UTC).
    #[arg(long, value_name = "TIME", value_parser = moment_after)]
    until: Option<i64>,
    /// Those after this number: what the last export ended with.
    #[arg(long, value_name = "ENTRY", conflicts_with = "since", value_parser = clap::value_parser!(i64).range(0..))]
    after: Option<i64>,
    /// json: a line each, with hash and previous hash. syslog: RFC 5424. fhir: an R4 AuditEvent on a line each (ndjson).
    /// Where --to is given it is syslog.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Into this file, which must not exist; it gets mode 0600. Else to standard output.
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    out: Option<PathBuf>,
    /// To a collector of syslog over TLS (RFC 5425).
    #[arg(long, value_name = "tls://HOST:PORT", value_parser = collector, requires = "ca")]
    to: Option<Address>,
    /// The authority that signed the collector's certificate; no other is trusted.
    #[arg(long, value_name = "FILE", requires = "to")]
    ca: Option<PathBuf>,
    /// Our certificate, where the collector wants one.
    #[arg(long, value_name = "FILE", requires_all = ["to", "key"])]
    cert: Option<PathBuf>,
    /// And its private key.
    #[arg(long, value_name = "FILE", requires_all = ["to", "cert"])]
    key: Option<PathBuf>,
}

/// The form of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Json,
    Syslog,
    Fhir,
}

fn collector(text: &str) -> Result<Address, String> {
    let address = text.strip_prefix("tls://").ok_or("write tls://HOST:PORT: nothing is sent without TLS")?;
    Address::parse(address).map_err(|how| how.to_string())
}

/// Where entries go.
enum Sink {
    Text(Box<dyn Write>),
    Collector(tokio::runtime::Runtime, Box<Connection>),
}

pub(super) fn run(args: &Args, log: &Log) -> Result<ExitCode, ExitCode> {
    let format = args.format.unwrap_or(if args.to.is_some() { Format::Syslog } else { Format::Json });
    if args.to.is_some() && format != Format::Syslog {
        return Err(failed(
            &"a collector is sent syslog messages: leave --format out, or write --format syslog",
            USAGE,
        ));
    }
    in_order(args.since, args.until)?;
    let head = log.ask(Ask::Head)?;
    let box_id = head["box"].as_str().unwrap_or_default().to_owned();
    let (after, last) = range(args, log, head["entries"].as_i64().unwrap_or(0))?;
    let mut sink = open(args)?;
    let origin = Origin::here(&box_id);
    let purpose = if args.to.is_some() { Purpose::Send } else { Purpose::Export };
    let (mut at, mut count, mut hash) = (after, 0_u64, String::new());
    while at < last {
        let limit = ENTRIES_MOST.min(usize::try_from(last - at).unwrap_or(ENTRIES_MOST));
        let mut told = log.ask(Ask::Entries { after: at, limit, purpose })?;
        let lines: Vec<Line> = serde_json::from_value(told["entries"].take()).map_err(|_| {
            failed(&"the answer holds no entries; do daemon and command line have one version?", FAILED)
        })?;
        let Some(end) = lines.last() else { break };
        (at, hash) = (end.id, end.hash.clone());
        count += lines.len() as u64;
        if !write(&mut sink, &lines, format, &origin)? {
            // Who reads has seen enough.
            return Ok(ExitCode::SUCCESS);
        }
    }
    let end = if count == 0 {
        "nothing fits, so that it is empty".to_owned()
    } else {
        format!("to {at}; the head there is {at}:{hash}")
    };
    finish(sink, args, count, &format!("{count} entries, from {} {end}", after + 1))
}

/// The number before the first entry wanted, and the last one wanted: none that is made meanwhile, this export's own included.
fn range(args: &Args, log: &Log, entries: i64) -> Result<(i64, i64), ExitCode> {
    let number =
        |at: i64| -> Result<i64, ExitCode> { Ok(log.ask(Ask::Since { at })?["entry"].as_i64().unwrap_or(1)) };
    let after = match (args.after, args.since) {
        (Some(after), _) => after,
        (None, Some(since)) => number(since)? - 1,
        (None, None) => 0,
    };
    let last = match args.until {
        Some(until) => entries.min(number(until)? - 1),
        None => entries,
    };
    Ok((after, last))
}

fn open(args: &Args) -> Result<Sink, ExitCode> {
    let refused =
        |path: &Path, why: &dyn std::fmt::Display| failed(&format!("{}: {why}", path.display()), FAILED);
    if let (Some(address), Some(ca)) = (&args.to, &args.ca) {
        let files = ClientTls { ca: ca.clone(), shown: args.cert.clone().zip(args.key.clone()) };
        let tls = tls::client_config(&files).map_err(|error| failed(&error, FAILED))?;
        let collector = Collector::new(address.clone(), Arc::new(tls));
        let runtime = runtime().map_err(|error| failed(&error, FAILED))?;
        let made = runtime.block_on(collector.connect());
        let made = made.map_err(|error| failed(&format!("{}: {error}", address.text), FAILED))?;
        return Ok(Sink::Collector(runtime, Box::new(made)));
    }
    let out: Box<dyn Write> = match &args.out {
        None => Box::new(std::io::stdout().lock()),
        Some(path) => {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            Box::new(file.map_err(|error| refused(path, &error))?)
        }
    };
    Ok(Sink::Text(Box::new(BufWriter::new(out))))
}

/// Writes entries; false where the reader of standard output has gone.
fn write(sink: &mut Sink, lines: &[Line], format: Format, origin: &Origin) -> Result<bool, ExitCode> {
    let written = match sink {
        Sink::Text(out) => lines.iter().try_for_each(|line| {
            let told = match format {
                Format::Json => line.json(),
                Format::Syslog => syslog::message(line, origin),
                Format::Fhir => line.fhir(&origin.box_id),
            };
            writeln!(out, "{told}")
        }),
        Sink::Collector(runtime, connection) => {
            let frames: Vec<u8> =
                lines.iter().flat_map(|line| syslog::framed(&syslog::message(line, origin))).collect();
            runtime.block_on(connection.write(&frames))
        }
    };
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe && matches!(sink, Sink::Text(_)) => Ok(false),
        Err(error) => Err(failed(&format!("the export broke off: {error}"), FAILED)),
    }
}

/// Ends the writing, and says on standard error what was written.
#[allow(clippy::print_stderr, reason = "standard output may be the export itself")]
fn finish(sink: Sink, args: &Args, count: u64, told: &str) -> Result<ExitCode, ExitCode> {
    match sink {
        Sink::Text(mut out) => match out.flush() {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            Err(error) => return Err(failed(&format!("the export broke off: {error}"), FAILED)),
            // An empty standard output says nothing by itself.
            Ok(()) if args.out.is_some() || count == 0 => eprintln!("exported {told}"),
            Ok(()) => {}
        },
        Sink::Collector(runtime, connection) => {
            if !runtime.block_on(connection.farewell()) {
                return Err(failed(
                    &format!(
                        "sent {told}; but the collector did not close the connection in good order, so that nobody knows whether \
                         it has read all: look there, or send again from the last entry that it has (--after)"
                    ),
                    FAILED,
                ));
            }
            eprintln!("sent {told}; the collector has read all");
        }
    }
    Ok(ExitCode::SUCCESS)
}
