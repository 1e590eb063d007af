//! `isthmus status`: what is wrong and what to do, the worst first, then what the running daemon does; for people, as JSON, as a
//! live view, or as a line for a monitoring system.

mod check;
mod summary;
mod watch;

use std::{path::Path, process::ExitCode, time::Duration};

use serde_json::Value;

use self::summary::{Summary, what_is_wrong};
use super::{
    capabilities,
    columns::{fitted, room},
    daemon::tell,
};
use crate::{admin::Request, listener::refusal::Limit};

const EXAMPLES: &str = "\
Examples:
  isthmus status
      what is wrong, what it means and what to do; then all the rest
  isthmus status --watch 5
      the same every 5 s, until Ctrl-C
  isthmus status --check
      one line for Nagios, Icinga, Zabbix and their kin

With --check the exit code is the state, as monitoring plugins have it: 0 OK; 1 WARNING, something needs a person today; \
2 CRITICAL, something needs a person now, or the daemon does not run or takes no messages; 3 UNKNOWN, it could not be asked. \
Without it the codes are those of every command.";

/// Arguments of `isthmus status`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Print the whole document as JSON.
    #[arg(long)]
    json: bool,
    /// Show it again every so many seconds (2 where none is given), until Ctrl-C.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", conflicts_with = "json",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,
    /// Print one line with performance data, and exit by the state: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    #[arg(long, conflicts_with_all = ["json", "watch"])]
    check: bool,
}

/// Asks the daemon and prints.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    let words = |document: &Value| fitted(for_people(document));
    match args.watch {
        _ if args.check => check::run(config),
        Some(seconds) => watch::run(Duration::from_secs(seconds), config, words),
        None => tell(config, &Request::Status, args.json, words),
    }
}

/// What a listener has seen since the start; what never happened is left out.
fn traffic(listener: &Value) -> String {
    let mut told = format!("messages: {}", listener["messages"]);
    for (count, last, what) in [
        ("batches", "", "batches"),
        ("duplicates", "duplicate_last", "duplicates"),
        ("control_id_reuse", "control_id_reuse_last", "control ids reused with another body"),
        ("framing_faults", "framing_fault_last", "framing faults"),
        ("refused", "refused_last", "refused"),
        ("naks", "", "answered AE, AR, CE or CR"),
        ("unanswered", "", "unanswered as asked"),
    ] {
        if listener[count].as_u64().unwrap_or(0) == 0 {
            continue;
        }
        told.push_str(&format!(", {what}: {}", listener[count]));
        if let Some(last) = listener[last].as_str() {
            told.push_str(&format!(" (last {last})"));
        }
    }
    told
}

/// What a listener turned away since the start, a line for each reason; nothing where it turned nothing away.
fn turned_away(listener: &Value) -> String {
    let lines = listener["turned_away"].as_object().into_iter().flatten().map(|(word, count)| {
        let limit = Limit::ALL.iter().find(|limit| limit.word() == word);
        format!("    turned away: {count} {}\n", limit.map_or(word.as_str(), |limit| limit.plainly()))
    });
    lines.collect()
}

/// How the tokens of a destination stand, in a line; nothing where it wants none.
fn tokens(authorization: &Value) -> String {
    if !authorization.is_object() {
        return String::new();
    }
    let text = |key: &str| authorization[key].as_str().unwrap_or_default().to_owned();
    let left = match authorization["token_left_s"].as_u64() {
        Some(left_s) => format!("token for {left_s} s more, granted {}", text("granted")),
        None => "no token".to_owned(),
    };
    let missing: Vec<&str> =
        authorization["missing"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let missing =
        if missing.is_empty() { String::new() } else { format!(", NOT granted {}", missing.join(" ")) };
    let refusal = &authorization["last_refusal"];
    let refusal = match refusal["at"].as_str() {
        Some(at) => {
            let now = if authorization["trouble"].is_object() { "" } else { ", over since" };
            let detail = refusal["detail"].as_str().unwrap_or_default();
            format!("      last refusal {at}{now}: {detail}\n")
        }
        None => String::new(),
    };
    format!("    client {}: {left}{missing}\n{refusal}", text("client_id"))
}

/// The line of the FHIR endpoint, where there is one.
fn endpoint(fhir: &Value) -> String {
    let Some(address) = fhir["address"].as_str() else { return String::new() };
    let ends = fhir["certificate_ends"].as_str().unwrap_or_default();
    let writes = match fhir["writes"].as_array().map_or(0, Vec::len) {
        0 => "read alone",
        _ => "read and written",
    };
    let (clients, issuers) = (&fhir["clients"], &fhir["issuers"]);
    format!(
        "  fhir {address:<22} TLS  , certificate until {ends}  clients: {clients}, issuers of tokens: {issuers}; {writes}\n"
    )
}

/// How much room there is, a line for each disk.
fn disks(told: &Value) -> String {
    const MIB: u64 = 1 << 20;
    let mib = |value: &Value| value.as_u64().unwrap_or(0) / MIB;
    let lines = told["disks"].as_array().into_iter().flatten().map(|disk| {
        let store = match disk["of"] == "data" {
            true => format!(", the store takes {} MiB", mib(&told["store"]["database_bytes"])),
            false => String::new(),
        };
        let of = disk["of"].as_str().unwrap_or_default();
        format!(
            "  disk    {of}: {} of {} MiB free{store}\n",
            mib(&disk["free_bytes"]),
            mib(&disk["total_bytes"])
        )
    });
    lines.collect()
}

/// How many certificates there are, and which ends first.
fn certificates(list: &Value) -> String {
    let dated = list.as_array().into_iter().flatten().filter(|one| one["days_left"].is_i64());
    let Some(first) = dated.clone().min_by_key(|one| one["days_left"].as_i64()) else { return String::new() };
    let text = |key: &str| first[key].as_str().unwrap_or_default();
    format!(
        "  certificates: {}, the first ends {} ({} {}); all: isthmus certificates\n",
        dated.count(),
        text("ends"),
        text("role"),
        text("scope")
    )
}

/// The document in plain words.
fn for_people(document: &Value) -> String {
    use std::fmt::Write;
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let summary = Summary::of(document);
    let mut out = summary.line() + "\n";
    if summary.aside > 0 {
        out.push_str("  what is set aside: isthmus quarantine list, isthmus identity list\n");
    }
    out.push_str(&what_is_wrong(document, room()));
    out.push('\n');
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "isthmus {}, {}, up since {}, {}",
        text(&document["version"]),
        document["box"].as_str().unwrap_or("box of unknown id"),
        text(&document["started"]),
        if summary.ready { "taking messages in" } else { "NOT taking messages in" }
    );
    for listener in document["listeners"].as_array().into_iter().flatten() {
        let plain = if listener["plain"] == true { "plain" } else { "TLS" };
        let ends = listener["certificate_ends"].as_str();
        let ends = ends.map(|ends| format!(", certificate until {ends}")).unwrap_or_default();
        let _ = writeln!(
            out,
            "  mllp {:<22} {plain:<5}{ends}  {}: {}",
            text(&listener["address"]),
            text(&listener["name"]),
            traffic(listener)
        );
        out.push_str(&turned_away(listener));
    }
    out.push_str(&endpoint(&document["fhir"]));
    for (name, spool) in document["spools"].as_object().into_iter().flatten() {
        let age = spool["oldest_waiting_age_s"]
            .as_u64()
            .map_or(String::new(), |age| format!(", the first for {age} s"));
        let _ = writeln!(
            out,
            "  spool {name:<21} {} waiting{age}, {} done, {} in quarantine{}",
            spool["waiting"],
            spool["done"],
            spool["quarantined"],
            match (spool["available"] == true, spool["paused"] == true) {
                (false, _) => " (NOT available)",
                (_, true) => " (files WAIT: the store's disk is nearly full)",
                _ => "",
            }
        );
    }
    let destinations = document["sites"].as_array().into_iter().flatten().chain([&document["upstream"]]);
    for site in destinations.filter(|site| site.is_object()) {
        let name = if site["id"].is_string() { &site["id"] } else { &site["destination"] };
        // Upstream has no file of its own.
        let mode = match site["configured"].is_string() {
            true => capabilities::modes(site),
            false => text(&site["mode"]),
        };
        let _ = writeln!(out, "  {:<16} {mode}, since {}", text(name), text(&site["since"]));
        let closed = capabilities::closed(site);
        let cause = text(&site["cause"]);
        // Of what is closed its own line says why.
        if !cause.is_empty() && !closed.iter().any(|line| line.contains(&cause)) {
            let _ = writeln!(out, "    {cause}");
        }
        for line in closed {
            let _ = writeln!(out, "    {line}");
        }
        out.push_str(&tokens(&site["authorization"]));
    }
    if document["outbound"].as_array().is_some_and(|list| !list.is_empty()) {
        out.push_str(&super::outbound::table(&document["outbound"]));
    }
    out.push_str(&certificates(&document["certificates"]));
    out.push_str(&disks(&document["room"]));
    let (inbox, outbox) = (&document["inbox"], &document["outbox"]);
    let _ = writeln!(
        out,
        "  inbox   {} received, {} to absorb, {} in quarantine, {} without a patient, {} windows waiting",
        inbox["total"], inbox["pending"], inbox["quarantined"], inbox["unidentified"], inbox["windows_due"]
    );
    if inbox["again"].as_u64() > Some(0) {
        let _ = writeln!(out, "          {} stored messages wait to be read anew", inbox["again"]);
    }
    let _ = writeln!(
        out,
        "  outbox  {} delivered, {} pending, {} deferred, {} in doubt, {} in quarantine, {} superseded",
        outbox["delivered"],
        outbox["pending"],
        outbox["deferred"],
        outbox["ambiguous"],
        outbox["quarantined"],
        outbox["superseded"]
    );
    let consent = &document["consent"];
    if consent["entries"].as_u64() > Some(0) || consent["held"].as_u64() > Some(0) {
        let _ = writeln!(
            out,
            "  consent {} decisions in the ledger, {} writes held for want of it",
            consent["entries"], consent["held"]
        );
    }
    let intents = &document["intents"];
    if ["waiting", "queued", "held", "expired"].iter().any(|state| intents[*state].as_u64() > Some(0)) {
        let _ = writeln!(
            out,
            "  intents {} waiting, {} queued, {} held, {} expired",
            intents["waiting"], intents["queued"], intents["held"], intents["expired"]
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_listener_turned_away_is_told_with_its_reason_below_the_listener() {
        let listener = |turned_away: Value| {
            let listeners = json!([{"name": "ward", "address": "127.0.0.1:1", "plain": true, "messages": 4,
                                    "turned_away": turned_away}]);
            for_people(&json!({ "listeners": listeners }))
        };
        let told = listener(json!({"peer-address": 3, "per-peer": 1, "of-a-later-version": 2}));
        let lines: Vec<&str> =
            told.lines().skip_while(|line| !line.starts_with("  mllp")).skip(1).take(4).collect();
        assert_eq!(
            lines[..3],
            [
                "    turned away: 2 of-a-later-version",
                "    turned away: 3 from an address that is not in allow_peers",
                "    turned away: 1 from a peer with max_connections_per_peer open",
            ]
        );
        assert!(lines[3].starts_with("  inbox"));
        assert!(!listener(json!({})).contains("turned away"));
    }

    #[test]
    fn the_endpoint_has_a_line_where_there_is_one() {
        let fhir = json!({"address": "127.0.0.1:8443", "certificate_ends": "2027-01-01T00:00:00Z", "clients": 2,
                          "issuers": 1, "writes": []});
        assert_eq!(
            endpoint(&fhir),
            "  fhir 127.0.0.1:8443         TLS  , certificate until 2027-01-01T00:00:00Z  clients: 2, issuers of \
             tokens: 1; read alone\n"
        );
        assert_eq!(endpoint(&Value::Null), "");
    }
}
