//! `isthmus outcomes`: what CGM exports say, without a daemon.
//!
//! Exit codes: 0 where every file gave an outcome, 1 where one did not (the others are printed all the
//! same), 2 for wrong usage. `--help` says so too ([`EXAMPLES`]).

mod beside;
mod document;
mod policies;
mod wire;

use std::{
    fs::File,
    io::{self, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{CommandFactory, error::ErrorKind};
use clinical::{
    calendar::{LocalDay, Zone},
    glucose::Unit,
    normalize::file::Format,
    policy::Policy,
};
use indicatif::{ProgressBar, ProgressStyle};

use self::{document::Document, policies::Policies, wire::WireArgs};
use super::{Cli, FAILED, argument};
use crate::report::{
    csv::Rows,
    explain::{self, explain},
    export::{Export, Question},
    json::object,
    page::{self, Scale, sheet},
    paper::{Paper, printable},
    person::{MAX_SIDECAR_BYTES, Person},
    pieces::exports_from,
    table::{table, unit_shown},
};

/// What stands below the options in `--help`.
const EXAMPLES: &str = "\
Examples:
  isthmus outcomes export.csv
      the outcome of the whole file, as text
  isthmus outcomes export.csv --tz Europe/Berlin \\
      --html report.html --name - --birth-date -
      the glucose profile report of the last 14 days, one page to print;
      asks for both, a line each, in the order of the options
  isthmus outcomes *.csv --html clinic.html
      a page for each file in one document; FILE.patient.json beside a file
      names its patient
  isthmus outcomes *.csv --csv --last-days 14,30,90 > clinic.csv
      a row for each file and window
  isthmus outcomes export.csv --explain tir
      the readings, exclusions, rules and sources behind a number
  isthmus outcomes --compare before.csv after.csv
  isthmus outcomes export.csv --compare standard pregnancy-t1
      which numbers differ, and why

Exit codes: 0 every file gave an outcome; 1 one did not, and the others are there all the same; 2 wrong usage.

The sidecar FILE.patient.json is {\"system\": ..., \"value\": RECORD NUMBER}, with \"name\", \"birth_date\" and \"sha256\" \
(of FILE) where wanted.";

/// Arguments of `isthmus outcomes`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, after_help = "Examples and exit codes: isthmus outcomes --help")]
pub(super) struct Args {
    /// Exports of CGM data as they were downloaded; a file is a patient.
    #[arg(required_unless_present_any = ["compare", "codesystem"], value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The format that the files must have.
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = format_names())]
    format: String,
    /// Time zone of the clock times in the files (default: this machine's).
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    tz: Option<Zone>,
    /// Whose thresholds and goals apply: a policy of `isthmus policy list`.
    #[arg(long, visible_alias = "policy", value_name = "NAME", default_value = "standard")]
    population: String,
    /// First day that counts (default: that of the first reading).
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<LocalDay>,
    /// Last day that counts, included (default: that of the last reading).
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<LocalDay>,
    /// The last so many days of the period, each number a window of its own: 7,14,30.
    ///
    /// The windows end with the last day of the period (--to, else the last reading's). --html takes 14 days, or as
    /// many as the policy wants before there is a curve, unless --from says otherwise; of more than 14 it draws the
    /// last 14 one by one.
    #[arg(long, value_name = "DAYS", value_delimiter = ',', conflicts_with = "from",
          value_parser = clap::value_parser!(u32).range(1..=366))]
    last_days: Vec<u32>,
    /// Only the readings of this device, named as in the file.
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Print an array with one object per file, numbers unrounded.
    #[arg(long, conflicts_with = "form")]
    json: bool,
    #[command(flatten)]
    wire: WireArgs,
    /// Print a table with a row for each file and window (RFC 4180), numbers unrounded.
    #[arg(long, conflicts_with_all = ["json", "form"])]
    csv: bool,
    /// Write the glucose profile report, a page for each file, to FILE.html; without FILE print it.
    #[arg(long, value_name = "FILE.html", num_args = 0..=1, default_missing_value = "-",
          value_parser = document::target, conflicts_with_all = ["json", "form", "csv"])]
    html: Option<PathBuf>,
    /// The unit of glucose, mg/dL or mmol/L, in the report (default: that of most readings), or what --fhir and --oru
    /// print (mg/dL; readings as received).
    #[arg(long, value_name = "UNIT", value_parser = unit)]
    unit: Option<Unit>,
    /// The patient's name in the report's heading; `-` reads it from standard input.
    #[arg(long, value_name = "NAME", value_parser = argument::name, requires = "html")]
    name: Option<String>,
    /// The patient's birth date in the report's heading; `-` reads it from standard input.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = argument::birth_date, requires = "html")]
    birth_date: Option<String>,
    /// The patient's record number, in the report's heading and the table's rows; `-` reads it from standard input.
    #[arg(long, value_name = "NUMBER", value_parser = argument::record_number)]
    record_number: Option<String>,
    /// Explain a number of --json: readings, exclusions, rules with sources, the formula with its numbers.
    #[arg(long, value_name = "METRIC", conflicts_with_all = ["form", "csv", "html"])]
    explain: Option<String>,
    /// Tell which numbers of two files differ and why, or of two policies over each FILE.
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with_all = ["form", "csv", "html", "explain"])]
    compare: Vec<String>,
}

/// Reads, computes, prints.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    if let Some(wrong) = wrong_usage(args) {
        // Prints to standard error; what cannot be printed changes nothing.
        let _printed = Cli::command().error(ErrorKind::ArgumentConflict, wrong).print();
        return ExitCode::from(2);
    }
    if let Some(codes) = args.wire.code_system() {
        let written = io::stdout().lock().write_all(codes.as_bytes());
        return if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) };
    }
    let policies = Policies(config);
    let policy = match policies.named(&args.population) {
        Ok(policy) => policy,
        Err((error, code)) => return super::failed(&error, code),
    };
    let (zone, zone_source) = args.tz.clone().map_or_else(machine_zone, |zone| (zone, "--tz"));
    let (from, to, device) = (args.from, args.to, args.device.clone());
    if let Some(wrong) = too_many_days(args, policy) {
        let _printed = Cli::command().error(ErrorKind::ArgumentConflict, wrong).print();
        return ExitCode::from(2);
    }
    let unasked = args.html.is_some() && args.last_days.is_empty() && from.is_none();
    let last_days = if unasked { vec![page::most_days(policy)] } else { args.last_days.clone() };
    let question = Question { zone, zone_source, policy, from, to, device, last_days };
    if let [a, b] = args.compare.as_slice() {
        return beside::run(args, [a, b], &policies, &question);
    }
    let mut printer = match Printer::new(args) {
        Ok(printer) => printer,
        Err(error) => return super::failed(&error, FAILED),
    };
    let mut failed = false;
    for (n, file) in args.files.iter().enumerate() {
        printer.progress.set_message(format!("{} of {}", n + 1, args.files.len()));
        let wanted = args.format.parse().ok();
        let done = answer(file, wanted, &question, &printer.progress).and_then(|(sha256, exports)| {
            let person = person(args, file, &sha256)?;
            if let (true, Some(said)) = (args.wire.is_asked(), exports.first().and_then(unread)) {
                printer.complain(&said);
            }
            exports.iter().try_for_each(|export| printer.take(&sha256, export, &person))
        });
        if let Err(error) = done {
            failed = true;
            printer.complain(&error);
        }

        if printer.wrong_metric {
            return ExitCode::from(2);
        }
    }
    match printer.finish() {
        Ok(()) if !failed => ExitCode::SUCCESS,
        // A reader that has seen enough (`head`) is no failure of ours.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe && !failed => ExitCode::SUCCESS,
        _ => ExitCode::from(FAILED),
    }
}

/// What clap cannot see: both bounds together, and what would be about several patients or windows.
fn wrong_usage(args: &Args) -> Option<&'static str> {
    if args.wire.is_asked() && args.files.len() > 1 {
        return Some("--fhir and --oru take one FILE: they are about one --subject");
    }
    if args.unit.is_some() && args.html.is_none() && !args.wire.is_asked() {
        return Some("--unit is about --html, --fhir and --oru; text and tables have their unit in them");
    }
    if args.wire.is_asked() && args.last_days.len() > 1 {
        return Some("--fhir and --oru take one number of --last-days: they are about one period");
    }
    if args.html.is_some() && args.last_days.len() > 1 {
        return Some("--html takes one number of --last-days: a page is about one period");
    }
    let named = args.name.is_some() || args.birth_date.is_some() || args.record_number.is_some();
    if named && args.files.len() > 1 {
        return Some(
            "--name, --birth-date and --record-number are about one FILE; for several put FILE.patient.json beside each",
        );
    }
    if let Some(wrong) = beside::wrong_usage(args) {
        return Some(wrong);
    }
    (args.from.zip(args.to).is_some_and(|(from, to)| to < from)).then_some("--to is before --from")
}

/// What is wrong where a page is asked for over more days than it takes.
fn too_many_days(args: &Args, policy: &Policy) -> Option<String> {
    let most = page::most_days(policy);
    let asked = args.last_days.iter().find(|days| args.html.is_some() && **days > most)?;
    Some(format!("--html takes up to {most} of --last-days under policy {}, not {asked}", policy.id))
}

/// A file's SHA-256 with what it says of each window, or the line for people.
fn answer(
    path: &Path,
    wanted: Option<Format>,
    question: &Question,
    progress: &ProgressBar,
) -> Result<(String, Vec<Export>), String> {
    let name = printable(&path.display().to_string());
    if path.is_dir() {
        let files = printable(&path.join("*.csv").display().to_string());
        return Err(format!("{name}: a folder; give its files, as in {files}"));
    }
    let file = File::open(path).map_err(|error| format!("{name}: {error}; give a file that can be read"))?;
    exports_from(&name, progress.wrap_read(file), wanted, question).map_err(|error| match error.line() {
        Some(line) => format!("{name}:{line}: {error}"),
        None => format!("{name}: {error}"),
    })
}

/// The line that says how much of a file could not be read, for what is printed without notes.
fn unread(export: &Export) -> Option<String> {
    let (faults, place) = (&export.read.faults, export.read.place);
    let first = faults.first()?;
    let n = super::amount(export.read.unread(), "row");
    let (file, word, at) = (&export.file, place.name(), first.line);
    Some(format!(
        "{file}: note: {n} could not be read and do not count; the first, {word} {at}: {}",
        first.reason
    ))
}

/// `auto` (any format that is recognized) and the name of every format.
fn format_names() -> clap::builder::PossibleValuesParser {
    ["auto"].into_iter().chain(Format::ALL.iter().map(|format| format.name())).collect::<Vec<_>>().into()
}

/// Whom a file is about: the options, and else `FILE.patient.json` beside it. Nobody where neither is asked for.
fn person(args: &Args, file: &Path, sha256: &str) -> Result<Person, String> {
    if args.html.is_none() && !args.csv {
        return Ok(Person::default());
    }
    let (name, birth_date, record) = (args.name.clone(), args.birth_date.clone(), args.record_number.clone());
    let given = Person { name, birth_date, record };
    let mut sidecar = file.as_os_str().to_owned();
    sidecar.push(".patient.json");
    let mut told = Vec::new();
    // A pipe would have us wait for whoever writes into it.
    let regular = |meta: std::fs::Metadata| match meta.is_file() {
        true => File::open(&sidecar),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "no regular file; move it away")),
    };
    let opened = std::fs::metadata(&sidecar).and_then(regular);
    let read = opened.and_then(|file| file.take(MAX_SIDECAR_BYTES + 1).read_to_end(&mut told));
    match read {
        Ok(_) => {
            let told = Person::of_sidecar(&told, sha256);
            told.map(|told| given.or(told))
                .map_err(|error| format!("{}: {error}", printable(&file.display().to_string())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(given),
        Err(error) => Err(format!("{}: {error}", printable(&sidecar.to_string_lossy()))),
    }
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

/// Bytes of exports above which reading them takes long enough to say how far it is.
const LONG_WORK_BYTES: u64 = 8 << 20;

/// A bar on standard error where there are several files, or much to read, and somebody looks.
fn progress(files: &[PathBuf]) -> ProgressBar {
    let bytes = files.iter().filter_map(|file| Some(file.metadata().ok()?.len())).sum();
    if (files.len() < 2 && bytes < LONG_WORK_BYTES) || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{bar:30} {binary_bytes} of {binary_total_bytes}, file {msg}, {elapsed}",
    );
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Prints each outcome as it comes; JSON as one array, its elements as they come; rows when all are there.
struct Printer<'a> {
    args: &'a Args,
    paper: Paper,
    progress: ProgressBar,
    printed: u64,
    rows: Rows,
    document: Option<Document>,
    /// There is no number of the name that is to be explained.
    wrong_metric: bool,
    /// The first failure to write; nothing is written after it.
    broken: Option<io::Error>,
}

impl<'a> Printer<'a> {
    fn new(args: &'a Args) -> Result<Self, String> {
        let begin = |target: &PathBuf| {
            let name = printable(&target.display().to_string());
            Document::begin(target)
                .map_err(|error| format!("{name}: {error}; name a file in a folder that can be written"))
        };
        let document = args.html.as_ref().map(begin).transpose()?;
        let (paper, progress, rows) = (paper(), progress(&args.files), Rows::default());
        Ok(Self { args, paper, progress, printed: 0, rows, document, wrong_metric: false, broken: None })
    }

    fn take(&mut self, sha256: &str, export: &Export, person: &Person) -> Result<(), String> {
        if self.document.is_some() {
            return self.page(export, person);
        }
        if self.args.csv {
            self.rows.push(export, person);
            return Ok(());
        }
        let open = if self.printed == 0 { "[\n" } else { ",\n" };
        let gap = if self.printed == 0 { "" } else { "\n" };
        let text = if let Some(metric) = &self.args.explain {
            let explanation = explain(export, metric).map_err(|error| {
                self.wrong_metric = true;
                error.to_string()
            })?;
            if self.args.json {
                format!("{open}{:#}", explanation.json())
            } else {
                format!("{gap}{}", explain::text(&explanation, self.paper))
            }
        } else if self.args.json {
            format!("{open}{:#}", object(export))
        } else if let Some(text) = self.args.wire.text(sha256, export, self.args.unit)? {
            text
        } else {
            format!("{gap}{}", table(export, self.paper))
        };
        self.printed += 1;
        self.write(&text);
        Ok(())
    }

    /// Adds a page to the document.
    fn page(&mut self, export: &Export, person: &Person) -> Result<(), String> {
        let days = export.outcome.period.days;
        let most = page::most_days(export.policy);
        if days > most {
            return Err(format!(
                "{}: a page takes up to {most} days, not {days}; give a later --from or none",
                export.file
            ));
        }
        let unit = self.args.unit.unwrap_or_else(|| unit_shown(&export.outcome));
        let sheet = sheet(export, person, Scale::new(unit, export.policy), self.printed as usize + 1);
        self.printed += 1;
        if let (Some(document), None) = (&mut self.document, &self.broken) {
            self.broken = document.add(&sheet).err();
        }
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
        if let (Some(document), None) = (self.document.take(), &self.broken) {
            return document.end(self.printed);
        }
        if self.args.csv {
            let text = self.rows.text();
            self.write(&text);
        }
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

/// The code of a failure.
fn failure() -> ExitCode {
    ExitCode::from(FAILED)
}

fn unit(name: &str) -> Result<Unit, String> {
    match name.to_ascii_lowercase().as_str() {
        "mg/dl" => Ok(Unit::MgDl),
        "mmol/l" | "mmol" => Ok(Unit::MmolL),
        _ => Err("write mg/dL or mmol/L".to_owned()),
    }
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
