//! `isthmus site validate`: the acceptance playbook, with a signed report; and what verifies one.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use clinical::birth_date::BirthDate;
use indicatif::{ProgressBar, ProgressStyle};
use outbox::PatientKey;
use rand::RngExt;

use super::{load, probe::site_of};
use crate::{
    cli::{
        BAD_CONFIGURATION, FAILED,
        argument::{self, Named},
        failed, runtime,
    },
    onboarding::{
        playbook::{Finding, Status, Step},
        report::{Report, document, page},
        run::{Asked, Run},
        signature::{self, ReportKey},
    },
    report::paper::printable,
    time,
};

/// Exit code where it is not confirmed that the patient is a test patient; that of wrong usage.
const UNCONFIRMED: u8 = 2;
/// What stands below the options.
const AFTER: &str = "The trial writes made-up results of 2024 to the chart of the patient that you name, tries what must be refused, \
takes back what it can and lists the rest. Have the EHR's analyst on the phone.\n\n\
Example: isthmus site validate main --patient 'urn:oid:1.2.3|TEST-1' --born 1980-01-01 --test-patient-confirmed\n\n\
Steps (--only): reach statement token patient encounter write read-back decimals moments resend conflict units leap-day \
clock-change forbidden-kinds unmapped-row malformed unknown-patient without-token without-scope throttle timeout clean-up\n\n\
Exit codes: 0 all passed, 1 a step failed, 2 not confirmed, 78 configuration.";

/// Arguments of `isthmus site validate`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Args {
    /// The site's id.
    site: String,
    /// A test patient of the EHR. The value stays out of the report.
    #[arg(long, value_name = "SYSTEM|VALUE", value_parser = argument::test_patient)]
    patient: Named,
    /// The test patient's birth date, to be compared with the EHR's.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    born: Option<Born>,
    /// The patient is no person: results may be written to the chart.
    #[arg(long)]
    test_patient_confirmed: bool,
    /// The folder of the report (default: acceptance-SITE in the current one).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// One step, with those that it needs.
    #[arg(long, value_name = "STEP", value_parser = step)]
    only: Option<Step>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `isthmus site verify-report`.
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    /// The folder of the report.
    folder: PathBuf,
    /// The public key (PEM) of the box that made it, had by another way (default: this box's own).
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// A birth date. No Debug of its value.
#[derive(Clone)]
pub(super) struct Born(BirthDate);

impl std::fmt::Debug for Born {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Born")
    }
}

fn day(text: &str) -> Result<Born, String> {
    BirthDate::parse(text).map(Born).ok_or_else(|| "a day is wanted, as 1980-01-01".to_owned())
}

fn step(text: &str) -> Result<Step, String> {
    Step::named(text).ok_or_else(|| {
        let names: Vec<&str> = Step::ALL.into_iter().map(Step::name).collect();
        format!("there are {}", names.join(", "))
    })
}

#[allow(clippy::print_stdout, reason = "the command line talks to people")]
pub(super) fn run(args: &Args, path: &Path) -> Result<(), ExitCode> {
    let config = load(path)?;
    let (site, destination) = site_of(&config, &args.site)?;
    let Some(ehr) = &site.ehr else { return Err(failed(&"the site has no [ehr]", BAD_CONFIGURATION)) };
    let Some(policy) = config.policies.policy(&site.policy) else {
        return Err(failed(&"the site's policy is not there", BAD_CONFIGURATION));
    };
    if !args.test_patient_confirmed && !confirmed(&args.site, &ehr.base_url) {
        let told = "nothing was sent: this writes to a chart. Name a test patient that is no person, and say so with \
                    --test-patient-confirmed";
        return Err(failed(&told, UNCONFIRMED));
    }
    let key =
        ReportKey::beside(&config.main.store.key_file).map_err(|error| failed(&error, BAD_CONFIGURATION))?;
    let patient = PatientKey {
        site: site.id.clone(),
        system: args.patient.system.clone(),
        value: args.patient.value.clone(),
    };
    let born = args.born.clone().map(|born| born.0);
    let asked = Asked { key: patient, born, only: args.only, chance: rand::rng().random() };
    let (began, started) = (time::rfc3339(time::now_ms()), Instant::now());
    let mut screen = Screen::new(args);
    let mut tell = |finding: &Finding| screen.tell(finding);
    let mut trial = Run::new((site, ehr, policy), destination, asked, &mut tell);
    let runtime = runtime().map_err(|error| failed(&error, FAILED))?;
    runtime.block_on(trial.go());
    let software = trial.software();
    let (findings, left) = (trial.findings, trial.left);
    screen.bar.finish_and_clear();
    let report = Report {
        site: &site.id,
        base_url: &ehr.base_url,
        software: &software,
        mode: site.capability.mode.word(),
        patient_system: &args.patient.system,
        began: &began,
        took_s: started.elapsed().as_secs(),
        only: args.only.map(Step::name),
        version: env!("CARGO_PKG_VERSION"),
        configuration: &config.fingerprint,
        findings: &findings,
        left: &left,
        public_key: &key.public,
        fingerprint: &key.fingerprint,
    };
    let json = format!("{:#}\n", document(&report));
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("acceptance-{}", site.id)));
    key.write(&out, &page(&report), &json).map_err(|error| failed(&error, FAILED))?;
    if args.json {
        print!("{json}");
    } else {
        print!("{}", summary(&report, &out));
    }
    if report.passed() { Ok(()) } else { Err(ExitCode::from(FAILED)) }
}

/// Asks on a terminal; elsewhere nobody can answer.
#[allow(clippy::print_stderr, reason = "the command line talks to people")]
fn confirmed(site: &str, base_url: &str) -> bool {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return false;
    }
    eprint!(
        "This writes made-up results to a chart at {site} ({}).\nIs the patient that you named a test patient, and no \
         person? Write yes: ",
        printable(base_url)
    );
    let mut answer = String::new();
    let read = io::stderr().flush().and_then(|()| io::stdin().lock().read_line(&mut answer));
    read.is_ok() && answer.trim() == "yes"
}

/// How people see it going on: a bar on a terminal, and a line for each step.
struct Screen {
    bar: ProgressBar,
    lines: bool,
}

impl Screen {
    fn new(args: &Args) -> Self {
        let steps = Step::ALL.into_iter().filter(|step| step.is_in(args.only)).count();
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
        let bar =
            ProgressBar::new(steps as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, lines: !args.json }
    }

    #[allow(clippy::print_stdout, reason = "the command line talks to people")]
    fn tell(&mut self, finding: &Finding) {
        let done = Step::ALL.into_iter().position(|step| step == finding.step).unwrap_or(0) as u64 + 1;
        self.bar.set_position(done.min(self.bar.length().unwrap_or(done)));
        self.bar.set_message(finding.step.title());
        if self.lines {
            let line = line(finding);
            self.bar.suspend(|| println!("{line}"));
        }
    }
}

fn line(finding: &Finding) -> String {
    let form = finding.form.map(|form| format!(" ({form})")).unwrap_or_default();
    let told = match finding.status {
        Status::Passed => finding.came.as_str(),
        Status::Failed => {
            return format!(
                "{:<14}  {:<16}{form} {}\n{:>32}expected: {}\n{:>32}to do: {}",
                finding.status.words(),
                finding.step.name(),
                printable(&finding.came),
                "",
                printable(&finding.expected),
                "",
                printable(&finding.why)
            );
        }
        Status::NotApplicable => finding.why.as_str(),
    };
    format!("{:<14}  {:<16}{form} {}", finding.status.words(), finding.step.name(), printable(told))
}

fn summary(report: &Report<'_>, out: &Path) -> String {
    let stands: Vec<_> = report.left.iter().filter(|left| left.state == "stands").collect();
    let mut told = format!(
        "\n{}: {} passed, {} failed, {} not applicable\n",
        if report.passed() { "PASSED" } else { "NOT PASSED" },
        report.count(Status::Passed),
        report.count(Status::Failed),
        report.count(Status::NotApplicable)
    );
    if !stands.is_empty() {
        told += "For the analyst to take back by hand:\n";
        for one in stands {
            let place = if one.location.is_empty() { "(no location was told)" } else { &one.location };
            told += &format!("  {}  (written by {})\n", printable(place), one.step.name());
        }
    }
    told + &format!(
        "Report: {} and {}, signed with the box's key {}\n",
        out.join(signature::HTML).display(),
        signature::JSON,
        &report.fingerprint[..16]
    )
}

#[allow(clippy::print_stdout, reason = "the command line talks to people")]
pub(super) fn report_key(path: &Path) -> Result<(), ExitCode> {
    let config = load(path)?;
    let key =
        ReportKey::beside(&config.main.store.key_file).map_err(|error| failed(&error, BAD_CONFIGURATION))?;
    print!("{}", key.public);
    println!("# SHA-256 {}", key.fingerprint);
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the command line talks to people")]
pub(super) fn verify(args: &VerifyArgs, path: &Path) -> Result<(), ExitCode> {
    let public = match &args.key {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| failed(&format!("{}: {error}", file.display()), FAILED))?,
        None => {
            let config = load(path)?;
            ReportKey::beside(&config.main.store.key_file)
                .map_err(|error| failed(&error, BAD_CONFIGURATION))?
                .public
        }
    };
    signature::verify(&args.folder, &public).map_err(|error| failed(&error, FAILED))?;
    println!("{}: the report is whole, and signed by that key", args.folder.display());
    Ok(())
}
