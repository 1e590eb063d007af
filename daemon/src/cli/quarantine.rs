//! `isthmus quarantine`: what is held back, looked at and decided on.
//!
//! Exit codes: 0, of a message also where what is asked was done before; 1 where something was not or could not be done, also
//! for a row that is not in quarantine; 2 for wrong usage.

mod list;
mod show;

use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::{Value, json};

use super::{
    FAILED, argument,
    columns::width,
    daemon::{Daemon, say, tell},
    failed,
    filter::Filter,
};
use crate::{
    admin::{
        Request,
        quarantine::{ACT_MOST, ActAsk, Ask, LINES_MOST, ListAsk},
        show::ShowAsk,
    },
    exhibit, time,
};

/// Lines of a list where nothing else is said: two screens.
const LINES: usize = 50;
/// Segments of a message where nothing else is said.
const SEGMENTS: usize = 60;
/// What a filter of messages held back may name.
const FILTERS: [&str; 8] = ["kind", "source", "site", "stage", "type", "reason", "since", "until"];

const EXAMPLES: &str = "\
Examples:
  isthmus quarantine list
      what is open, the newest first
  isthmus quarantine list --reason unit --since 24h
  isthmus quarantine list --stage delivery
      what a receiver refused; ids like row:42
  isthmus quarantine show 17
      the message, masked, its faults pointed at
  isthmus quarantine show 17 --reveal --reason \"case 881: wrong patient?\"
  isthmus quarantine release 17 18 --reason \"unit added to [[sender]]\"
  isthmus quarantine release row:42 --reason \"mapped at the EHR\"
  isthmus quarantine release --filter 'source=ward reason=\"unit\"' \\
      --reason \"vendor fixed it\"
  isthmus quarantine drop 19 --reason \"test message\"

A number alone is a message. row:42 is row 42 of the queue, which a receiver refused: isthmus queue show 42. One that is \
not in quarantine is neither released nor dropped, and the exit code is 1.

A release has the message read anew by the rules in force: mend the configuration first, then release. \
What cannot be read then is held back again.

Nothing is ever deleted: a dropped message stays in the store, and a resend of it counts as new. Every release, \
drop and reveal is in the audit log with your user name and the reason.";

/// Arguments of `isthmus quarantine`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List what is held back: refused at intake, not readable, without a patient, refused by a receiver.
    List(List),
    /// Show a message, its segments named and its faults pointed at; patient data are masked.
    Show(Show),
    /// Have messages read anew, or rows sent again.
    Release(Act),
    /// Give messages or rows up; they stay in the store.
    Drop(Act),
}

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct List {
    /// What is held back: message (could not be read), identity (no patient), delivery (a receiver refused it).
    #[arg(long, value_parser = ["message", "identity", "delivery"])]
    kind: Option<String>,
    /// Of this source (the listener's name); of a row, its destination.
    #[arg(long)]
    source: Option<String>,
    /// Of this site.
    #[arg(long)]
    site: Option<String>,
    /// Held back at this stage.
    #[arg(long, value_parser = ["intake", "normalize", "identity", "delivery"])]
    stage: Option<String>,
    /// Of this message type: ORU, or ORU^R01.
    #[arg(long = "type", value_name = "TYPE")]
    message_kind: Option<String>,
    /// With this in the reason.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Held back since: 2026-01-31, 2026-01-31T08:00:00Z, or 24h ago.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<i64>,
    /// Held back before.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<i64>,
    /// Also what was released, dropped or resolved.
    #[arg(long)]
    all: bool,
    /// Most lines.
    #[arg(long, value_name = "N", default_value_t = LINES as u64,
          value_parser = clap::value_parser!(u64).range(1..=LINES_MOST as u64))]
    limit: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `show`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct Show {
    /// The message, as list and ACKs number it (17 or I17).
    #[arg(value_name = "ID", value_parser = message_id)]
    id: i64,
    /// Show patient data too; wants --reason, and is written to the audit log first.
    #[arg(long, requires = "reason")]
    reveal: bool,
    /// Why patient data must be seen.
    #[arg(long, value_name = "TEXT", requires = "reveal", value_parser = words)]
    reason: Option<String>,
    /// Write the message's bytes to a new file that only you can read; wants --reveal.
    #[arg(long, value_name = "FILE", requires = "reveal")]
    raw: Option<PathBuf>,
    /// How many segments; those with a fault are always shown.
    #[arg(long, value_name = "N", default_value_t = SEGMENTS as u64,
          value_parser = clap::value_parser!(u64).range(0..=exhibit::LINES_MOST as u64))]
    segments: u64,
    /// The first segment.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    from: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `release` and `drop`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct Act {
    /// Messages (17 or I17), and rows of the queue that a receiver refused (row:42 is what `isthmus queue show 42` shows).
    #[arg(value_name = "ID", required_unless_present = "filter", conflicts_with = "filter", value_parser = target)]
    ids: Vec<Target>,
    /// Every open message that this chooses: kind, source, site, stage, type, reason, since, until.
    #[arg(long, value_name = "WORDS", value_parser = filter)]
    filter: Option<Filter>,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT", value_parser = words)]
    reason: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is released or dropped.
#[derive(Clone, Copy, Debug)]
enum Target {
    Message(i64),
    Row(i64),
}

fn moment(text: &str) -> Result<i64, String> {
    super::filter::moment(text, time::now_ms())
}

fn filter(text: &str) -> Result<Filter, String> {
    let filter = Filter::parse(text, &FILTERS, time::now_ms())?;
    let one_of = |name: &str, value: &Option<String>, words: &[&str]| match value {
        Some(value) if !words.contains(&value.as_str()) => {
            Err(format!("{name}={value}: there are {} (rows are named: row:42)", words.join(", ")))
        }
        _ => Ok(()),
    };
    one_of("kind", &filter.kind, &["message", "identity"])?;
    one_of("stage", &filter.stage, &["intake", "normalize", "identity"])?;
    Ok(filter)
}

fn words(text: &str) -> Result<String, String> {
    argument::words(text, "say why: it goes into the audit log")
}

/// A message's number, as list and acknowledgements (MSA and MSH-10 of an ACK: I17) give it.
pub(super) fn message_id(text: &str) -> Result<i64, String> {
    if let Some(row) = text.strip_prefix("row:") {
        return Err(format!("row:{row} is a row of the queue and no message: isthmus queue show {row}"));
    }
    match text.strip_prefix('I').unwrap_or(text).parse() {
        Ok(id) if id > 0 => Ok(id),
        _ => Err("a message's number is wanted, as `isthmus quarantine list` shows it".to_owned()),
    }
}

fn target(text: &str) -> Result<Target, String> {
    match text.strip_prefix("row:") {
        Some(row) => row.parse().map(Target::Row).map_err(|_| "row: and a number is wanted".to_owned()),
        None => message_id(text).map(Target::Message),
    }
}

/// Does what the arguments say.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    let done = match &args.verb {
        Verb::List(args) => return list_them(args, config),
        Verb::Show(args) => show_one(args, config),
        Verb::Release(args) => act(args, config, false),
        Verb::Drop(args) => act(args, config, true),
    };
    done.unwrap_or_else(|code| code)
}

fn ask(daemon: &Daemon, ask: Ask) -> Result<Value, ExitCode> {
    daemon.ask(&Request::Quarantine(ask))
}

fn list_them(args: &List, config: &Path) -> ExitCode {
    let wanted = ListAsk {
        kind: args.kind.clone(),
        source: args.source.clone(),
        site: args.site.clone(),
        stage: args.stage.clone(),
        message_kind: args.message_kind.clone(),
        reason: args.reason.clone(),
        since: args.since,
        until: args.until,
        all: args.all,
        limit: args.limit as usize,
    };
    let request = Request::Quarantine(Ask::List(wanted));
    tell(config, &request, args.json, |told| list::for_people(told, args.all, width()))
}

#[allow(clippy::print_stdout, reason = "the command line talks to people")]
fn show_one(args: &Show, config: &Path) -> Result<ExitCode, ExitCode> {
    let daemon = Daemon::of(config)?;
    let mut wanted = ShowAsk {
        id: args.id,
        reveal: args.reason.clone().filter(|_| args.reveal),
        from: args.from,
        segments: args.segments as usize,
        raw_from: None,
    };
    if let Some(path) = &args.raw {
        let bytes = write_raw(&daemon, &mut wanted, path)?;
        println!("{bytes} bytes written to {}", path.display());
        return Ok(ExitCode::SUCCESS);
    }
    let told = ask(&daemon, Ask::Show(wanted))?;
    say(&told, args.json, |told| show::for_people(told, width(), console::colors_enabled()));
    Ok(ExitCode::SUCCESS)
}

/// Fetches the bytes piece by piece into a new file that only its owner can read; returns how many.
fn write_raw(daemon: &Daemon, wanted: &mut ShowAsk, path: &Path) -> Result<usize, ExitCode> {
    let refused = |error: std::io::Error| failed(&format!("{}: {error}", path.display()), FAILED);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(refused)?;
    let (mut from, mut written) = (0, 0);
    loop {
        wanted.raw_from = Some(from);
        let told = match ask(daemon, Ask::Show(wanted.clone())) {
            Ok(told) => told,
            Err(code) => {
                // Half a message, or an empty file, would be taken for the whole.
                let _gone = std::fs::remove_file(path);
                return Err(code);
            }
        };
        let bytes = unhex(told["hex"].as_str().unwrap_or_default());
        file.write_all(&bytes).map_err(refused)?;
        written += bytes.len();
        match told["next"].as_u64() {
            Some(next) => from = next as usize,
            None => return file.sync_all().map(|()| written).map_err(refused),
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
    text.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn act(args: &Act, config: &Path, drop: bool) -> Result<ExitCode, ExitCode> {
    let daemon = Daemon::of(config)?;
    let (mut messages, mut rows) = (Vec::new(), Vec::new());
    for target in &args.ids {
        match target {
            Target::Message(id) => messages.push(*id),
            Target::Row(id) => rows.push(*id),
        }
    }
    let mut told = Vec::new();
    if let Some(filter) = &args.filter {
        let mut after = 0;
        loop {
            let answer = ask(&daemon, act_on(args, drop, &[], &[], Some(list_of(filter)), after))?;
            told.extend(lines_of(&answer));
            match answer["next"].as_i64() {
                Some(next) => after = next,
                None => break,
            }
        }
    }
    for piece in messages.chunks(ACT_MOST) {
        told.extend(lines_of(&ask(&daemon, act_on(args, drop, piece, &[], None, 0))?));
    }
    for piece in rows.chunks(ACT_MOST) {
        told.extend(lines_of(&ask(&daemon, act_on(args, drop, &[], piece, None, 0))?));
    }
    say(&json!({ "done": told }), args.json, |_| list::acted(&told, drop));
    let failed = told.iter().any(|line| !matches!(line["became"].as_str(), Some("done" | "already")));
    Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

fn act_on(
    args: &Act,
    drop: bool,
    messages: &[i64],
    rows: &[i64],
    filter: Option<ListAsk>,
    after: i64,
) -> Ask {
    let reason = args.reason.clone();
    Ask::Act(ActAsk { drop, messages: messages.to_vec(), rows: rows.to_vec(), filter, after, reason })
}

fn lines_of(answer: &Value) -> Vec<Value> {
    let of = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    [of("messages"), of("rows")].concat()
}

fn list_of(filter: &Filter) -> ListAsk {
    let Filter { kind, source, site, stage, message_kind, reason, since, until, handler: _ } = filter.clone();
    ListAsk { kind, source, site, stage, message_kind, reason, since, until, all: false, limit: LINES_MOST }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_named_as_the_list_and_the_acknowledgement_name_it() {
        assert_eq!(message_id("17"), Ok(17));
        assert_eq!(message_id("I17"), Ok(17));
        for text in ["", "0", "-1", "row:1", "seventeen"] {
            assert!(message_id(text).is_err(), "{text}");
        }
        assert!(matches!(target("row:42"), Ok(Target::Row(42))));
        assert!(target("row:x").is_err());
    }

    #[test]
    fn bytes_come_back_from_their_digits() {
        assert_eq!(unhex("00ff0d4d"), [0, 255, 13, 77]);
    }
}
