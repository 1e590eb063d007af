//! `isthmus outcomes`: what CGM exports say, without a daemon.
//!
//! Exit codes: 0 where every file gave an outcome, 1 where one did not (the others are printed all the
//! same), 2 for wrong usage.

mod fhir;

use std::{
    fs::File,
    io::{self, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use self::fhir::FhirArgs;
use super::{Cli, FAILED};
use crate::report::{
    export::{Export, Question, export},
    json::object,
    paper::{Paper, printable},
    table::table,
};
use clap::{CommandFactory, error::ErrorKind};
use clinical::{
    calendar::{LocalDay, Zone},
    normalize::file::MAX_FILE_BYTES,
    policy::Policy,
};
use indicatif::{ProgressBar, ProgressStyle};

/// Arguments of `isthmus outcomes`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Dexcom Clarity or LibreView exports; a file is a patient.
    #[arg(required_unless_present = "codesystem", value_name = "FILE")]
    files: Vec<PathBuf>,
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
    #[command(flatten)]
    fhir: FhirArgs,
}

/// Reads, computes, prints.
pub(super) fn run(args: &Args) -> ExitCode {
    if let Some(wrong) = wrong_usage(args) {
        // Prints to standard error; what cannot be printed changes nothing.
        let _printed = Cli::command().error(ErrorKind::ArgumentConflict, wrong).print();
        return ExitCode::from(2);
    }
    if let Some(codes) = args.fhir.code_system() {
        let written = io::stdout().lock().write_all(codes.as_bytes());
        return if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) };
    }
    let Some(policy) = Policy::named(&args.population) else { return ExitCode::from(2) };
    let (zone, zone_source) = args.tz.clone().map_or_else(machine_zone, |zone| (zone, "--tz"));
    let (from, to, device) = (args.from, args.to, args.device.clone());
    let question = Question { zone, zone_source, policy, from, to, device };
    let mut printer = Printer::new(args);
    let mut failed = false;
    for file in &args.files {
        let done = answer(file, &question).and_then(|(bytes, export)| printer.take(&bytes, &export));
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
    if args.fhir.is_asked() && args.files.len() > 1 {
        return Some("--fhir takes one FILE: a Bundle is about one --subject");
    }
    (args.from.zip(args.to).is_some_and(|(from, to)| to < from)).then_some("--to is before --from")
}

/// A file's bytes with what they say, or the line for people.
fn answer(path: &Path, question: &Question) -> Result<(Vec<u8>, Export), String> {
    let name = printable(&path.display().to_string());
    let bytes = read(path).map_err(|error| format!("{name}: {error}; give a file that can be read"))?;
    match export(&name, &bytes, question) {
        Ok(export) => Ok((bytes, export)),
        Err(error) => Err(match error.line() {
            Some(line) => format!("{name}:{line}: {error}"),
            None => format!("{name}: {error}"),
        }),
    }
}

/// At most one byte more than a file may have, so that the limit is seen and memory is bounded.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
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

    fn take(&mut self, bytes: &[u8], export: &Export) -> Result<(), String> {
        let text = if self.args.json {
            let open = if self.printed == 0 { "[\n" } else { ",\n" };
            format!("{open}{:#}", object(export))
        } else if let Some(bundle) = self.args.fhir.bundle(bytes, export)? {
            format!("{bundle:#}\n")
        } else {
            let gap = if self.printed == 0 { "" } else { "\n" };
            format!("{gap}{}", table(export, self.paper))
        };
        self.printed += 1;
        self.write(&text);
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utc_is_in_the_bundled_data() {
        assert_eq!(Zone::named("UTC").unwrap().name(), "UTC");
    }
}
