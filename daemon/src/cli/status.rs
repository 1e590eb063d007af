//! `isthmus status`: what the running daemon does, for people or as JSON.

use std::{path::Path, process::ExitCode};

use serde_json::Value;

use super::{capabilities, columns::fitted, daemon::tell};
use crate::{admin::Request, listener::refusal::Limit};

/// Arguments of `isthmus status`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print the whole document as JSON.
    #[arg(long)]
    json: bool,
}

/// Asks the daemon and prints.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    tell(config, &Request::Status, args.json, |document| fitted(for_people(document)))
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
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "isthmus {}, up since {}, {}",
        text(&document["version"]),
        text(&document["started"]),
        if document["ready"] == true { "taking messages in" } else { "NOT taking messages in" }
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
            if spool["available"] == true { "" } else { " (NOT available)" }
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
    let conditions = document["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if conditions.is_empty() {
        let aside = [&inbox["quarantined"], &inbox["unidentified"], &outbox["quarantined"]];
        let aside: u64 = aside.into_iter().filter_map(Value::as_u64).sum();
        match aside {
            0 => out.push_str("  nothing is wrong\n"),
            _ => out.push_str(
                "  no condition is raised; what is set aside needs a person: isthmus quarantine list\n",
            ),
        }
    }
    for condition in conditions {
        let _ = writeln!(
            out,
            "  ! {} {} since {}: {}",
            text(&condition["name"]),
            text(&condition["scope"]),
            text(&condition["since"]),
            text(&condition["detail"])
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
