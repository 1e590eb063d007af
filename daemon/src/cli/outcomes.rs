//! `isthmus outcomes`: what CGM exports say, without a daemon.
//!
//! Exit codes: 0 where every file gave an outcome, 1 where one did not (the others are printed all the
//! same), 2 for wrong usage.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{CommandFactory, error::ErrorKind};
use clinical::{
    calendar::{LocalDay, Zone},
    identity::PatientKey,
    normalize::file::Format,
    policy::Policy,
    reading::Instant,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::{Cli, FAILED};
use crate::{
    report::{
        bundle::bundle,
        export::{Export, Question},
        json::object,
        paper::{Paper, printable},
        pieces::export_from,
        table::table,
    },
    time::now_ms,
};

/// Arguments of `isthmus outcomes`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Exports of CGM data as they were downloaded; a file is a patient.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The format that the files must have.
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = format_names())]
    format: String,
    /// Time zone of the clock times in the files (default: this machine's).
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    tz: Option<Zone>,
    /// Whose thresholds and goals apply.
    #[arg(long, visible_alias = "policy", value_name = "NAME", default_value = "standard",
          value_parser = clap::builder::PossibleValuesParser::new(Policy::built_in().iter().map(|p| p.id.as_str())))]
    population: String,
    /// First day that counts (default: that of the first reading).
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<LocalDay>,
    /// Last day that counts, included (default: that of the last reading).
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<LocalDay>,
    /// Only the readings of this device, named as in the file.
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Print an array with one object per file, numbers unrounded.
    #[arg(long, conflicts_with = "fhir")]
    json: bool,
    /// Print the transaction Bundle of the HL7 CGM guide.
    #[arg(long, requires = "subject")]
    fhir: bool,
    /// Whom the Bundle is about, by an identifier.
    #[arg(long, value_name = "SYSTEM|VALUE", requires = "fhir", value_parser = subject)]
    subject: Option<PatientKey>,
}

/// Reads, computes, prints.
pub(super) fn run(args: &Args) -> ExitCode {
    if let Some(wrong) = wrong_usage(args) {
        // Prints to standard error; what cannot be printed changes nothing.
        let _printed = Cli::command().error(ErrorKind::ArgumentConflict, wrong).print();
        return ExitCode::from(2);
    }
    let Some(policy) = Policy::named(&args.population) else { return ExitCode::from(2) };
    let (zone, zone_source) = args.tz.clone().map_or_else(machine_zone, |zone| (zone, "--tz"));
    let (from, to, device) = (args.from, args.to, args.device.clone());
    let question = Question { zone, zone_source, policy, from, to, device };
    let mut printer = Printer::new(args);
    let mut failed = false;
    for file in &args.files {
        let done = answer(file, args.format.parse().ok(), &question);
        let done = done.and_then(|(sha256, export)| printer.take(&sha256, &export));
        if let Err(error) = done {
            failed = true;
            printer.complain(&error);
        }
        printer.progress.inc(1);
    }
    match printer.finish() {
        Ok(()) if !failed => ExitCode::SUCCESS,
        // A reader that has seen enough (`head`) is no failure of ours.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe && !failed => ExitCode::SUCCESS,
        _ => ExitCode::from(FAILED),
    }
}

/// What clap cannot see: both bounds together, and a Bundle that would be about several patients.
fn wrong_usage(args: &Args) -> Option<&'static str> {
    if args.fhir && args.files.len() > 1 {
        return Some("--fhir takes one FILE: a Bundle is about one --subject");
    }
    (args.from.zip(args.to).is_some_and(|(from, to)| to < from)).then_some("--to is before --from")
}

/// A file's hash with what it says, or the line for people.
fn answer(path: &Path, wanted: Option<Format>, question: &Question) -> Result<(String, Export), String> {
    let name = printable(&path.display().to_string());
    let file = File::open(path).map_err(|error| format!("{name}: {error}; give a file that can be read"))?;
    export_from(&name, file, wanted, question).map_err(|error| match error.line() {
        Some(line) => format!("{name}:{line}: {error}"),
        None => format!("{name}: {error}"),
    })
}

/// `auto` (any format that is recognized) and the name of every format.
fn format_names() -> clap::builder::PossibleValuesParser {
    ["auto"].into_iter().chain(Format::ALL.iter().map(|format| format.name())).collect::<Vec<_>>().into()
}

/// The zone of this machine where the bundled data know it by name, else UTC; and which it was.
fn machine_zone() -> (Zone, &'static str) {
    let name = jiff::tz::TimeZone::try_system().ok().and_then(|zone| zone.iana_name().map(str::to_owned));
    if let Some(zone) = name.and_then(|name| Zone::named(&name).ok()) {
        return (zone, "this machine's; --tz names another");
    }
    let utc = Zone::named("UTC").expect("UTC is in the bundled data: a test names it");
    (utc, "this machine's zone has no name; --tz names another")
}

/// A bar on standard error where there are several files and somebody looks.
fn progress(files: usize) -> ProgressBar {
    if files < 2 || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} files {elapsed}");
    ProgressBar::new(files as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Prints each outcome as it comes; JSON as one array, its elements as they come.
struct Printer<'a> {
    args: &'a Args,
    paper: Paper,
    progress: ProgressBar,
    printed: u64,
    /// The first failure to write; nothing is written after it.
    broken: Option<io::Error>,
}

impl<'a> Printer<'a> {
    fn new(args: &'a Args) -> Self {
        Self { args, paper: paper(), progress: progress(args.files.len()), printed: 0, broken: None }
    }

    fn take(&mut self, sha256: &str, export: &Export) -> Result<(), String> {
        let text = if self.args.json {
            let open = if self.printed == 0 { "[\n" } else { ",\n" };
            format!("{open}{:#}", object(export))
        } else if let Some(subject) = self.args.subject.clone() {
            format!("{:#}\n", self.bundle(sha256, export, subject)?)
        } else {
            let gap = if self.printed == 0 { "" } else { "\n" };
            format!("{gap}{}", table(export, self.paper))
        };
        self.printed += 1;
        self.write(&text);
        Ok(())
    }

    fn bundle(&self, sha256: &str, export: &Export, subject: PatientKey) -> Result<Value, String> {
        bundle(&export.outcome, subject, sha256, Instant(now_ms()))
            .map_err(|error| format!("{}: {error}; this is a defect of isthmus", export.file))
    }

    fn write(&mut self, text: &str) {
        if self.broken.is_none() {
            // Off the screen while something is printed there.
            self.broken = self.progress.suspend(|| {
                let mut out = io::stdout().lock();
                out.write_all(text.as_bytes()).and_then(|()| out.flush()).err()
            });
        }
    }

    #[allow(clippy::print_stderr, reason = "the command line talks to people")]
    fn complain(&self, error: &str) {
        self.progress.suspend(|| eprintln!("{error}"));
    }

    fn finish(mut self) -> io::Result<()> {
        self.progress.finish_and_clear();
        if self.args.json {
            self.write(if self.printed == 0 { "[]\n" } else { "\n]\n" });
        }
        self.broken.map_or(Ok(()), Err)
    }
}

/// Standard output: its width, and colour only on a terminal whose user has not refused it.
fn paper() -> Paper {
    let terminal = io::stdout().is_terminal();
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let columns = terminal.then(terminal_size::terminal_size).flatten().map(|(width, _)| width.0.into());
    Paper::new(columns, terminal && !refused)
}

fn zone(name: &str) -> Result<Zone, String> {
    Zone::named(name).map_err(|error| error.to_string())
}

fn subject(text: &str) -> Result<PatientKey, String> {
    match text.split_once('|') {
        Some((system, value)) if !system.is_empty() && !value.is_empty() => {
            Ok(PatientKey { system: system.to_owned(), value: value.to_owned() })
        }
        _ => Err("write it like \"urn:oid:1.2.3|4711\"".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_a_system_and_a_value() {
        let key = PatientKey { system: "urn:oid:1.2".to_owned(), value: "a|b".to_owned() };
        assert_eq!(subject("urn:oid:1.2|a|b"), Ok(key));
        for wrong in ["", "4711", "|4711", "urn:oid:1.2|"] {
            assert!(subject(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn utc_is_in_the_bundled_data() {
        assert_eq!(Zone::named("UTC").unwrap().name(), "UTC");
    }
}
