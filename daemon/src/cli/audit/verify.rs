//! `isthmus audit verify`: the walk of `audit/verify.rs`, a piece an exchange.

use std::{
    io::{IsTerminal, Read},
    path::PathBuf,
    process::ExitCode,
};

use serde_json::{Value, json};

use super::log::Log;
use crate::{
    audit::{
        ask::{Ask, walked},
        fault::{Judged, Place},
        seal::Seal,
        verify::{Finding, Known, Walk},
    },
    cli::{
        FAILED, amount, consent,
        daemon::{say, text},
        failed,
    },
    hex::{hex, unhex},
};

/// Most that is read of a file with seals: fifty years of them.
const FILE_MOST_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A head printed earlier, ENTRIES:HASH, or a file with one (what verify printed, or its JSON): it must still be in the log.
    #[arg(long, value_name = "HEAD|FILE", value_parser = consent::head_or_file)]
    head: Option<(u64, String)>,
    /// A file with seals that were kept elsewhere: what `audit seals --json` printed, or one seal. Each must be signed, and its
    /// head in the log.
    #[arg(long, value_name = "FILE")]
    seals: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, log: &Log) -> Result<ExitCode, ExitCode> {
    let (mut known, _) = own_seals(log)?;
    known.extend(
        kept(args)?.into_iter().map(|seal| proved(&seal, " that was kept")).collect::<Result<Vec<_>, _>>()?,
    );
    let seals = known.len();
    if let Some((entries, digits)) = &args.head {
        let hash = unhex(digits).ok_or_else(|| failed(&"a hash has 64 hex digits", FAILED))?;
        known.push(Known {
            head: outbox::AuditHead { entries: *entries, hash },
            what: "the head that was kept".to_owned(),
        });
    }
    let walked = walk(log, known)?;
    let accepted = walked.accepted;
    let told = match walked.end {
        Ok(head) => {
            let digits = hex(&head.hash);
            json!({ "entries": head.entries, "head": digits, "against": format!("{}:{digits}", head.entries), "seals": seals,
                    "accepted": accepted })
        }
        Err(finding) => {
            json!({ "broken": finding.entry(), "detail": finding.to_string(), "accepted": accepted })
        }
    };
    if args.json || told["broken"].is_null() {
        say(&told, args.json, whole);
    } else if told["accepted"].as_array().is_some_and(|all| !all.is_empty()) {
        // What was accepted before it is told too.
        say(&told, false, by_people);
    }
    match told["detail"].as_str() {
        None => Ok(ExitCode::SUCCESS),
        Some(_) if args.json => Ok(ExitCode::from(FAILED)),
        Some(detail) => Err(failed(
            &format!(
                "the audit log does not verify: {detail}. Change nothing, keep the database and its backups: they are evidence"
            ),
            FAILED,
        )),
    }
}

/// The heads of the store's own seals, and how many there are.
pub(super) fn own_seals(log: &Log) -> Result<(Vec<Known>, usize), ExitCode> {
    let (own, _) = log.seals()?;
    let known = own.iter().map(|seal| proved(seal, "")).collect::<Result<Vec<_>, _>>()?;
    let count = known.len();
    Ok((known, count))
}

/// The head of a seal that is signed.
fn proved(seal: &Seal, whence: &str) -> Result<Known, ExitCode> {
    let what = format!("the seal of {}{whence}", seal.day);
    match seal.sealed().filter(|_| seal.is_signed()) {
        Some(head) => Ok(Known { head, what }),
        None => {
            let why = format!("{what} is not signed by the key that it names: the seal itself was changed");
            Err(failed(&why, FAILED))
        }
    }
}

/// What a walk led to.
pub(super) struct Walked {
    /// The head of a log that is whole, or the first fault that nobody accepted.
    pub end: Result<outbox::AuditHead, Finding>,
    /// Faults on the way that were accepted, for people and for JSON.
    pub accepted: Vec<Value>,
}

/// Walks the log; how far is shown on a terminal.
pub(super) fn walk(log: &Log, known: Vec<Known>) -> Result<Walked, ExitCode> {
    let total = log.ask(Ask::Head)?["entries"].as_u64().unwrap_or(0);
    let bar = match std::io::stderr().is_terminal() {
        true => indicatif::ProgressBar::new(total),
        false => indicatif::ProgressBar::hidden(),
    };
    let (mut walk, mut accepted) = (Walk::new(known), Vec::new());
    loop {
        let (from, limit) = walk.next();
        bar.set_position(from.entries);
        let told = log.ask(Ask::Walk { entries: from.entries, hash: hex(&from.hash), limit })?;
        let mut end = walk.take(walked(&told).ok_or_else(versions)?);
        while let Some(Err(finding)) = &end {
            let judged = judged(log, &Place::of(finding))?;
            let Some((judged, by)) = judged.and_then(|judged| Some((judged.clone(), judged.accepted?)))
            else {
                break;
            };
            accepted
                .push(json!({ "broken": finding.entry(), "detail": finding.to_string(), "accepted": by }));
            end = walk.pass(judged.resume());
        }
        if let Some(end) = end {
            bar.finish_and_clear();
            return Ok(Walked { end, accepted });
        }
    }
}

/// What is known of a fault; `None` where it is none that can be accepted.
pub(super) fn judged(log: &Log, place: &Place) -> Result<Option<Judged>, ExitCode> {
    let mut told = log.ask(Ask::Fault { place: place.clone() })?;
    serde_json::from_value(told["judged"].take()).map_err(|_| versions())
}

fn versions() -> ExitCode {
    failed(&"the answer holds no head; do daemon and command line have one version?", FAILED)
}

/// The seals of the file.
fn kept(args: &Args) -> Result<Vec<Seal>, ExitCode> {
    let Some(path) = &args.seals else { return Ok(Vec::new()) };
    let refused = |why: &dyn std::fmt::Display| failed(&format!("{}: {why}", path.display()), FAILED);
    let file = std::fs::File::open(path).map_err(|error| refused(&error))?;
    let mut text = String::new();
    file.take(FILE_MOST_BYTES).read_to_string(&mut text).map_err(|error| refused(&error))?;
    let seals = read(&text).ok_or_else(|| {
        refused(&"holds no seals; what `isthmus audit seals --json` printed is wanted, or one seal on a line")
    })?;
    Ok(seals)
}

/// Seals in a document with `seals`, in a list, or one a line; `None` where there is none, or something else.
fn read(text: &str) -> Option<Vec<Seal>> {
    let lines = || text.lines().filter(|line| !line.trim().is_empty()).map(serde_json::from_str).collect();
    let seals: Vec<Seal> = match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(mut all)) if all.contains_key("seals") => {
            serde_json::from_value(all["seals"].take()).ok()?
        }
        Ok(one @ Value::Object(_)) => vec![serde_json::from_value(one).ok()?],
        Ok(list) => serde_json::from_value(list).ok()?,
        Err(_) => Result::<_, serde_json::Error>::ok(lines())?,
    };
    (!seals.is_empty()).then_some(seals)
}

/// What people accepted, a line each.
fn by_people(told: &Value) -> String {
    let line = |one: &Value| {
        let by = &one["accepted"];
        let (who, at, entry) = (text(&by["actor"]), text(&by["at"]), text(&by["entry"]));
        let (what, why) = (text(&one["detail"]), text(&by["reason"]));
        format!("accepted by {who} at {at} (entry {entry}): {what}; {why}\n")
    };
    told["accepted"].as_array().into_iter().flatten().map(line).collect()
}

fn whole(told: &Value) -> String {
    let seals = match told["seals"].as_u64() {
        Some(0) | None => String::new(),
        Some(count) => format!("it runs through {}\n", amount(count, "seal")),
    };
    let entries = match told["entries"].as_u64().unwrap_or(0) {
        1 => "1 entry".to_owned(),
        count => format!("{count} entries"),
    };
    let accepted = by_people(told);
    let but = if accepted.is_empty() { "" } else { ", but for what was accepted" };
    format!(
        "the audit log is whole{but}: {entries}\n{accepted}{seals}its head is {}\nkept elsewhere, a head shows later whether the end was cut off: --head\n",
        told["against"].as_str().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seals_are_read_in_every_form_in_which_they_are_told() {
        let seal = json!({ "box": "b", "day": "2026-11-23", "at": "2026-11-23T00:00:05.123Z", "entries": 3, "head": "0",
                           "algorithm": "Ed25519", "key": "0", "signature": "0" });
        for text in [
            seal.to_string(),
            format!("{seal:#}"),
            json!([seal]).to_string(),
            json!({ "seals": [seal], "public_key": "x" }).to_string(),
        ] {
            assert_eq!(read(&text).map(|seals| seals.len()), Some(1), "{text}");
        }
        assert_eq!(read(&format!("{seal}\n\n{seal}\n")).map(|seals| seals.len()), Some(2));
        for text in ["", "[]", "{}", "7", "{\"seals\":[]}", "nothing"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
