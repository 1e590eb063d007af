//! `isthmus bench`, and the yardstick's process that it starts.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use indicatif::{ProgressBar, ProgressStyle};
use outbox::{Key, bare::BareWriter};

use super::{FAILED, failed, runtime};
use crate::bench::{self, CONNECTIONS_MOST, Plan, ROUNDS_MOST, Stop, bare_server, traffic::Kind};

/// Arguments of `isthmus bench`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What the messages hold.
    #[arg(long, value_enum, default_value_t = Kind::Other)]
    traffic: Kind,
    /// Messages of each measurement, all connections together.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000), conflicts_with = "seconds")]
    messages: Option<u64>,
    /// Seconds of each measurement.
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "5")]
    seconds: f64,
    /// How often each point is measured; the figures are medians.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(ROUNDS_MOST)), default_value_t = 3)]
    rounds: u32,
    /// Connections of each point.
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "1,16,64",
          value_parser = clap::value_parser!(u16).range(1..=i64::from(CONNECTIONS_MOST)))]
    connections: Vec<u16>,
    /// Measure the bare writer beside the daemon: group commit into SQLCipher, nothing else (the default).
    #[arg(long, overrides_with = "no_bare")]
    bare: bool,
    /// Measure the daemon alone.
    #[arg(long)]
    no_bare: bool,
    /// Where the databases are made: choose the disk that is to be measured [default: the temporary folder].
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3_600.0).contains(&seconds) => Ok(seconds),
        _ => Err("write a number of seconds from 0.1 to 3600".to_owned()),
    }
}

/// Measures, shows how far it is on a terminal, prints.
#[allow(clippy::print_stdout, reason = "the command line talks to people")]
pub(super) fn run(args: Args) -> ExitCode {
    let (binary, runtime) = match (std::env::current_exe(), runtime()) {
        (Ok(binary), Ok(runtime)) => (binary, runtime),
        (Err(error), _) | (_, Err(error)) => return failed(&error, FAILED),
    };
    let plan = Plan {
        traffic: args.traffic,
        stop: args.messages.map_or(Stop::Seconds(args.seconds), Stop::Messages),
        rounds: args.rounds,
        connections: args.connections,
        bare: args.bare || !args.no_bare,
        dir: args.dir.unwrap_or_else(std::env::temp_dir),
    };
    // Where standard error is no terminal, it stays silent.
    let bar = ProgressBar::new(plan.measurements()).with_style(
        ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({elapsed})")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let shown = bar.clone();
    let progress = move |what: &str| {
        if !shown.message().is_empty() {
            shown.inc(1);
        }
        shown.set_message(what.to_owned());
    };
    let done = runtime.block_on(bench::run(&plan, &binary, &progress));
    bar.finish_and_clear();
    match done {
        Ok(report) if args.json => println!("{}", serde_json::to_string(&report).unwrap_or_default()),
        Ok(report) => println!("{report}"),
        Err(error) => return failed(&error, FAILED),
    }
    ExitCode::SUCCESS
}

/// Arguments of the yardstick's process.
#[derive(Debug, clap::Args)]
pub(super) struct BareServerArgs {
    /// An empty folder for its database.
    #[arg(long)]
    dir: PathBuf,
    /// A file with 64 hexadecimal digits.
    #[arg(long)]
    key_file: PathBuf,
}

/// Serves until standard input closes; the first line printed is the address.
#[allow(clippy::print_stdout, reason = "the benchmark reads the address here")]
pub(super) fn bare_server(args: &BareServerArgs) -> ExitCode {
    let writer = match Key::from_file(&args.key_file) {
        Ok((key, _)) => BareWriter::open(&args.dir, key),
        Err(error) => return failed(&error, FAILED),
    };
    let (writer, runtime) = match (writer, runtime()) {
        (Ok(writer), Ok(runtime)) => (writer, runtime),
        (Err(error), _) => return failed(&error, FAILED),
        (_, Err(error)) => return failed(&error, FAILED),
    };
    let announce = |address: std::net::SocketAddr| {
        println!("{address}");
        // Who does not read the address does not connect either.
        drop(std::io::stdout().flush());
    };
    let served = runtime.block_on(bare_server::serve(writer, announce));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error, FAILED),
    }
}
