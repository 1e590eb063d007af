//! `isthmus audit list`, `show` and `seals`.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{in_order, log::Log, moment, moment_after};
use crate::{
    audit::ask::{Ask, ENTRIES_MOST, Find, Purpose},
    cli::{
        FAILED,
        columns::{Columns, moment as moment_in, width},
        daemon::{say, text},
        failed,
    },
};

/// Lines of a list where nothing else is said: two screens.
const LINES: u64 = 50;

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Made at this time or after: 2026-01-31 (midnight UTC), 2026-01-31T08:00:00Z, or 36h, 7d ago.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<i64>,
    /// Made before this time; a day counts with all of it (UTC).
    #[arg(long, value_name = "TIME", value_parser = moment_after)]
    until: Option<i64>,
    /// By whom: those whose actor holds this text.
    #[arg(long, value_name = "TEXT")]
    actor: Option<String>,
    /// What was done: those whose action holds this text.
    #[arg(long, value_name = "TEXT")]
    action: Option<String>,
    /// To what: those whose object holds this text.
    #[arg(long, value_name = "TEXT")]
    object: Option<String>,
    /// Those before this number.
    #[arg(long, value_name = "ENTRY")]
    before: Option<i64>,
    /// Most lines.
    #[arg(long, value_name = "N", default_value_t = LINES,
          value_parser = clap::value_parser!(u64).range(1..=ENTRIES_MOST as u64))]
    limit: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// Its number.
    entry: i64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct SealsArgs {
    /// Print JSON, with the public key as PEM: what `audit verify --seals` takes.
    #[arg(long)]
    json: bool,
}

pub(super) fn list(args: &ListArgs, log: &Log) -> Result<ExitCode, ExitCode> {
    in_order(args.since, args.until)?;
    let (limit, mut lines, mut before) = (args.limit as usize, Vec::new(), args.before);
    loop {
        let find = Find {
            before,
            since: args.since,
            until: args.until,
            actor: args.actor.clone(),
            action: args.action.clone(),
            object: args.object.clone(),
            limit: limit - lines.len(),
        };
        let mut told = log.ask(Ask::Find(find))?;
        if let Value::Array(found) = told["entries"].take() {
            lines.extend(found);
        }
        before = told["next"].as_i64();
        if lines.len() >= limit || before.is_none() {
            break;
        }
    }
    // More may stand before the last one that was looked at.
    say(&json!({ "entries": lines, "next": before }), args.json, listed);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn show(args: &ShowArgs, log: &Log) -> Result<ExitCode, ExitCode> {
    let wanted = Ask::Entries { after: args.entry.saturating_sub(1), limit: 1, purpose: Purpose::Show };
    let mut told = log.ask(wanted)?;
    let line = told["entries"].get_mut(0).map(Value::take).unwrap_or_default();
    if line["id"].as_i64() != Some(args.entry) {
        return Err(failed(&format!("there is no entry {}", args.entry), FAILED));
    }
    say(&line, args.json, shown);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn seals(args: &SealsArgs, log: &Log) -> Result<ExitCode, ExitCode> {
    let (seals, pem) = log.seals()?;
    say(&json!({ "seals": seals, "public_key": pem }), args.json, sealed);
    Ok(ExitCode::SUCCESS)
}

fn listed(told: &Value) -> String {
    let lines = told["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    if lines.is_empty() {
        return "no entry fits\n".to_owned();
    }
    let mut table = Columns::new(&["ENTRY", "WHEN", "WHO", "WHAT", "TO WHAT", "PARTICULARS"]);
    for line in lines {
        table.row([
            line["id"].to_string(),
            moment_in(&text(&line["at"])),
            text(&line["actor"]),
            text(&line["action"]),
            text(&line["object"]),
            text(&line["detail"]),
        ]);
    }
    let mut out = table.fit(width());
    if let Some(next) = told["next"].as_i64() {
        out.push_str(&format!("there are more: --before {next}\n"));
    }
    out
}

fn shown(line: &Value) -> String {
    let mut out = format!("entry {}\n", line["id"]);
    for (name, key) in [
        ("when", "at"),
        ("who", "actor"),
        ("what", "action"),
        ("to what", "object"),
        ("detail", "detail"),
        ("previous", "previous"),
        ("hash", "hash"),
    ] {
        out.push_str(&format!("  {name:<9} {}\n", text(&line[key])));
    }
    out
}

fn sealed(told: &Value) -> String {
    let seals = told["seals"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(last) = seals.last() else {
        return "there is no seal yet: the daemon makes one at its start and each day, once it has walked the log\n".to_owned();
    };
    let mut table = Columns::new(&["DAY", "ENTRIES", "HEAD", "MADE"]);
    for seal in seals.iter().rev() {
        table.row([
            text(&seal["day"]),
            seal["entries"].to_string(),
            text(&seal["head"]).chars().take(16).collect(),
            moment_in(&text(&seal["at"])),
        ]);
    }
    let (who, key) = (text(&last["box"]), text(&last["key"]));
    format!(
        "{}sealed by {who}, Ed25519 public key {key}\nwhole heads and signatures: --json\n",
        table.fit(width())
    )
}
