//! `isthmus intent`: what people want written, entered and looked after.
//!
//! Exit codes: 0 done; 1 where something could not be done or was refused; 2 for wrong usage.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{
    FAILED,
    argument::{self, Named},
    columns::width,
    daemon::{tell, text},
    failed, typed,
};
use crate::admin::{
    Request,
    intent::{Ask, EnterAsk, LINES_MOST},
};
use clinical::fhir::intent::{Goal as Wanted, GoalUnit, TEXT_MOST_BYTES, Wish};
use rand::RngExt;

mod shown;
use shown::{entered, listed, shown};

/// Lines of a list where nothing else is said: two screens.
const LINES: u64 = 50;

const EXAMPLES: &str = "\
Examples:
  isthmus intent note --window 7 --by \"Dr. Quibble\" --role diabetologist
      asks for the words, ended by Ctrl-D
  isthmus intent note --patient - --by \"Dr. Quibble\" --text-file note.txt
      asks for the patient
  isthmus intent goal --patient - --by \"Dr. Quibble\" --time-in-range 70
  isthmus intent goal --patient - --by \"Dr. Quibble\" --range 3.9-10.0mmol
  isthmus intent flowsheet --window 7 --by \"Dr. Quibble\" \\
      --form epic-flowsheet
  isthmus intent withdraw --window 7 --by \"Dr. Quibble\"
  isthmus intent list --state held
      what waits for a person
  isthmus intent confirm 3 --by \"Dr. Quibble\" --reason \"still right\"

What is entered goes to the EHR when it may, after the outcome that it is about: at a read-only site it waits like any write, \
and the answer says for what. It names its author, and you, who typed it. One that could not go for 72 hours, or whose \
patient was merged or has died, is held until its author stands by it anew (confirm --by AUTHOR) or somebody cancels it; \
nothing is dropped.

--patient - asks for the identifier, 'urn:oid:1.2.3|7700001', or reads the first line of standard input. What stands on a \
command line is seen by other users of the machine, sudo logs it and the shell remembers it; so no word of a note stands there.

--request NAME makes a command safe to repeat: the same name at the same site is one intent, and with anything else it is \
refused. Write no patient data into --reason.";

/// Arguments of `isthmus intent`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// A note about an outcome, or about the patient.
    Note(Note),
    /// A change of goal: a share of time in range, or the target range.
    Goal(Goal),
    /// An outcome in a form of the site that it was not written in.
    Flowsheet(Flowsheet),
    /// Mark what stands of a window as entered in error.
    Withdraw(Withdraw),
    /// List intents, the newest first; patients by their numbers.
    List(List),
    /// Show one intent; with --reveal also what it says and whom it names.
    Show(Show),
    /// Stand by an intent: one that is held or too old goes again.
    Confirm(Confirm),
    /// Take an intent back of which nothing was sent.
    Cancel(Cancel),
}

#[derive(Debug, clap::Args)]
struct Signed {
    /// The author, as the chart should name them.
    #[arg(long, value_name = "NAME", value_parser = words)]
    by: String,
    /// The author's role or number.
    #[arg(long, value_name = "TEXT", value_parser = words)]
    role: Option<String>,
    /// For whom the author acts.
    #[arg(long, value_name = "NAME", value_parser = words)]
    on_behalf_of: Option<String>,
    /// The site; the box's where none is named.
    #[arg(long)]
    site: Option<String>,
    /// The request's name: the same again is not entered again.
    #[arg(long, value_name = "NAME", value_parser = words)]
    request: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct About {
    /// The patient: the identifier's system, a bar, its value; `-` reads it from standard input.
    #[arg(long, value_name = "SYSTEM|VALUE", value_parser = argument::patient)]
    patient: Option<Named>,
    /// The number of the window that it is about.
    #[arg(long, value_name = "N")]
    window: Option<i64>,
}

#[derive(Debug, clap::Args)]
struct Note {
    #[command(flatten)]
    about: About,
    #[command(flatten)]
    signed: Signed,
    /// A file with what it says; standard input where it is `-` or not given.
    #[arg(long, value_name = "FILE")]
    text_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[group(id = "goals", required = true, multiple = false, args = ["time_in_range", "range"])]
struct Goal {
    #[command(flatten)]
    about: About,
    #[command(flatten)]
    signed: Signed,
    /// At least so many percent of time in range.
    #[arg(long, value_name = "PERCENT")]
    time_in_range: Option<u8>,
    /// The target range with its unit: 70-180mg or 3.9-10.0mmol.
    #[arg(long, value_name = "LOW-HIGH", value_parser = range)]
    range: Option<Wanted>,
}

#[derive(Debug, clap::Args)]
struct Flowsheet {
    /// The number of the window.
    #[arg(long, value_name = "N")]
    window: i64,
    /// A form of the site, as isthmus site show lists them.
    #[arg(long)]
    form: String,
    #[command(flatten)]
    signed: Signed,
}

#[derive(Debug, clap::Args)]
struct Withdraw {
    /// The number of the window.
    #[arg(long, value_name = "N")]
    window: i64,
    #[command(flatten)]
    signed: Signed,
}

#[derive(Debug, clap::Args)]
struct List {
    /// In this state.
    #[arg(long, value_parser = ["waiting", "held", "queued", "done", "withdrawn", "expired"])]
    state: Option<String>,
    /// Those before this number.
    #[arg(long, value_name = "INTENT")]
    before: Option<i64>,
    /// Most lines.
    #[arg(long, value_name = "N", default_value_t = LINES,
          value_parser = clap::value_parser!(u64).range(1..=LINES_MOST as u64))]
    limit: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// Its number.
    intent: i64,
    /// Show what it says and whom it names too; wants --reason, and is written to the audit log first.
    #[arg(long, requires = "reason")]
    reveal: bool,
    /// Why that must be seen.
    #[arg(long, value_name = "TEXT", requires = "reveal", value_parser = words)]
    reason: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Confirm {
    /// Its number.
    intent: i64,
    /// Its author, named as entered.
    #[arg(long, value_name = "NAME", value_parser = words)]
    by: String,
    /// Why.
    #[arg(long, value_name = "TEXT", value_parser = words)]
    reason: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Cancel {
    /// Its number.
    intent: i64,
    /// Why.
    #[arg(long, value_name = "TEXT", value_parser = words)]
    reason: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn words(text: &str) -> Result<String, String> {
    argument::words(text, "write something")
}

fn range(text: &str) -> Result<Wanted, String> {
    let wrong = || "two numbers and their unit are wanted: 70-180mg or 3.9-10.0mmol".to_owned();
    let (unit, rest) = match (text.strip_suffix("mmol"), text.strip_suffix("mg")) {
        (Some(rest), _) => (GoalUnit::MmolL, rest),
        (_, Some(rest)) => (GoalUnit::MgDl, rest),
        _ => return Err(wrong()),
    };
    let (low, high) = rest.split_once('-').ok_or_else(wrong)?;
    let number = |text: &str| match unit {
        GoalUnit::MgDl => text.parse::<u16>().ok(),
        GoalUnit::MmolL => {
            let (whole, tenths) = text.split_once('.').unwrap_or((text, "0"));
            let tenths = tenths.parse::<u16>().ok().filter(|_| tenths.len() == 1)?;
            whole.parse::<u16>().ok()?.checked_mul(10)?.checked_add(tenths)
        }
    };
    let (low, high) = (number(low).ok_or_else(wrong)?, number(high).ok_or_else(wrong)?);
    Ok(Wanted::TargetRange { low, high, unit })
}

/// Does what the arguments say.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    match &args.verb {
        Verb::Note(args) => note(args, config),
        Verb::Goal(args) => goal(args, config),
        Verb::Flowsheet(args) => {
            let wish = Wish::Flowsheet { form: args.form.clone() };
            enter(wish, None, Some(args.window), &args.signed, config)
        }
        Verb::Withdraw(args) => enter(Wish::Withdraw, None, Some(args.window), &args.signed, config),
        Verb::List(args) => list(args, config),
        Verb::Show(args) => show(args, config),
        Verb::Confirm(args) => {
            let (by, reason) = (args.by.clone(), args.reason.clone());
            let ask = Ask::Confirm { intent: args.intent, by, reason };
            ended(ask, args.json, config)
        }
        Verb::Cancel(args) => {
            let ask = Ask::Cancel { intent: args.intent, reason: args.reason.clone() };
            ended(ask, args.json, config)
        }
    }
}

fn note(args: &Note, config: &Path) -> ExitCode {
    let asked = "What the note says, ended by Ctrl-D";
    let text = match typed::text(args.text_file.as_deref(), TEXT_MOST_BYTES, asked) {
        Ok(text) => text,
        Err(why) => return failed(&why, FAILED),
    };
    enter(Wish::Note { text }, args.about.patient.clone(), args.about.window, &args.signed, config)
}

fn goal(args: &Goal, config: &Path) -> ExitCode {
    let share = args.time_in_range.map(|percent| Wanted::TimeInRange { percent });
    let Some(goal) = share.or(args.range) else { return failed(&"a goal is wanted", FAILED) };
    enter(Wish::Goal { goal }, args.about.patient.clone(), args.about.window, &args.signed, config)
}

fn enter(
    wish: Wish,
    patient: Option<Named>,
    window: Option<i64>,
    signed: &Signed,
    config: &Path,
) -> ExitCode {
    // What is wrong with it is told without the daemon.
    if let Err(fault) = wish.check() {
        return failed(&fault, FAILED);
    }
    let request = signed.request.clone();
    let wanted = EnterAsk {
        wish,
        site: signed.site.clone(),
        patient: patient.map(|named| (named.system, named.value)),
        window,
        by: signed.by.clone(),
        role: signed.role.clone(),
        behalf: signed.on_behalf_of.clone(),
        request: request.unwrap_or_else(|| format!("{:032x}", rand::rng().random::<u128>())),
    };
    tell(config, &Request::Intent(Ask::Enter(wanted)), signed.json, |told| entered(told, width()))
}

fn list(args: &List, config: &Path) -> ExitCode {
    let wanted = Ask::List { state: args.state.clone(), before: args.before, limit: args.limit as usize };
    tell(config, &Request::Intent(wanted), args.json, |told| listed(told, width()))
}

fn show(args: &Show, config: &Path) -> ExitCode {
    let reveal = args.reason.clone().filter(|_| args.reveal);
    let wanted = Ask::Show { intent: args.intent, reveal };
    tell(config, &Request::Intent(wanted), args.json, |told| shown(told, width()))
}

fn ended(wanted: Ask, json: bool, config: &Path) -> ExitCode {
    tell(config, &Request::Intent(wanted), json, |told| {
        format!("intent {} is {}\n", told["intent"], text(&told["state"]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_two_numbers_and_their_unit() {
        let wanted = |low, high, unit| Ok(Wanted::TargetRange { low, high, unit });
        assert_eq!(range("70-180mg"), wanted(70, 180, GoalUnit::MgDl));
        assert_eq!(range("3.9-10.0mmol"), wanted(39, 100, GoalUnit::MmolL));
        assert_eq!(range("4-10mmol"), wanted(40, 100, GoalUnit::MmolL));
        for text in ["", "70-180", "70mg", "70-mg", "3.95-10mmol", "3.-10mmol", "x-ymg", "-70-180mg"] {
            assert!(range(text).is_err(), "{text}");
        }
    }
}
