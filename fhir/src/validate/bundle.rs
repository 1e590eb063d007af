//! The rules of a Bundle (bundle.html, "Constraints").

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::invariant::{has, items};
use crate::Release;

/// The rules of the whole Bundle; those of an entry are among the others. `tell` is called with what is wrong.
pub(super) fn check(release: Release, it: &Map<String, Value>, tell: &mut dyn FnMut(&str)) {
    let mut rule = |holds: bool, text: &str| {
        if !holds {
            tell(text);
        }
    };
    let kind = it.get("type").and_then(Value::as_str).unwrap_or_default();
    let entries = || items(it, "entry").filter_map(Value::as_object);
    let all = |test: &dyn Fn(&Map<String, Value>) -> bool| entries().all(test);
    rule(
        !has(it, "total") || ["searchset", "history"].contains(&kind),
        "must not have a total but of a search or a history (bdl-1)",
    );
    rule(
        kind == "searchset" || all(&|entry| !has(entry, "search")),
        "must not have entry.search but of a search (bdl-2)",
    );
    rule(
        kind == "history" || is_distinct(it),
        "must not have two entries of one fullUrl and version (bdl-7)",
    );
    if kind == "document" {
        let identifier = it.get("identifier").and_then(Value::as_object);
        let named = identifier.is_some_and(|it| has(it, "system") && has(it, "value"));
        rule(named, "must have an identifier with a system and a value as a document (bdl-9)");
        rule(it.contains_key("timestamp"), "must have a timestamp as a document (bdl-10)");
    }
    match release {
        Release::R4 => {
            let asks = ["batch", "transaction", "history"].contains(&kind);
            let answers = ["batch-response", "transaction-response", "history"].contains(&kind);
            rule(
                all(&|entry| has(entry, "request") == asks),
                "must have entry.request in a batch, transaction or history, and nowhere else (bdl-3)",
            );
            rule(
                all(&|entry| has(entry, "response") == answers),
                "must have entry.response in an answer or a history, and nowhere else (bdl-4)",
            );
        }
        Release::R5 => r5(kind, it, &mut rule),
    }
}

fn r5(kind: &str, it: &Map<String, Value>, rule: &mut dyn FnMut(bool, &str)) {
    let entries = || items(it, "entry").filter_map(Value::as_object);
    let method = |entry: &Map<String, Value>| {
        entry.get("request").and_then(|request| request["method"].as_str().map(str::to_owned))
    };
    let with_body = |entry: &Map<String, Value>| {
        let writes = method(entry).is_some_and(|method| ["POST", "PUT", "PATCH"].contains(&method.as_str()));
        writes == has(entry, "resource")
    };
    match kind {
        "document" | "message" | "searchset" | "collection" => {
            let mut bare = entries()
                .map(|entry| has(entry, "resource") && !has(entry, "request") && !has(entry, "response"));
            rule(bare.all(|bare| bare), "must have entry.resource alone (bdl-3a)");
        }
        "history" => {
            let whole =
                entries().all(|entry| has(entry, "request") && has(entry, "response") && with_body(entry));
            rule(
                whole,
                "must have entry.request and entry.response, and a resource where one was written (bdl-3b)",
            );
            rule(
                entries().all(|entry| method(entry).is_none_or(|method| method != "PATCH")),
                "must have no PATCH in a history (bdl-14)",
            );
        }
        "transaction" | "batch" => {
            let whole = entries().all(|entry| method(entry).is_some() && with_body(entry));
            rule(whole, "must have entry.request.method, and a resource where one is written (bdl-3c)");
        }
        "transaction-response" | "batch-response" => {
            rule(entries().all(|entry| has(entry, "response")), "must have entry.response (bdl-3d)");
        }
        _ => {}
    }
    if !["transaction", "transaction-response", "batch", "batch-response"].contains(&kind) {
        let named = entries()
            .all(|entry| has(entry, "fullUrl") || method(entry).is_some_and(|method| method == "POST"));
        rule(named, "must have entry.fullUrl (bdl-15)");
    }
    if kind == "searchset" {
        let own = items(it, "link").any(|link| link["relation"] == "self" && link["url"].is_string());
        rule(own, "must have a link to itself (bdl-18)");
    }
}

/// Whether no two entries have one fullUrl and one version.
fn is_distinct(it: &Map<String, Value>) -> bool {
    let mut seen = HashSet::new();
    items(it, "entry").all(|entry| {
        let version = entry["resource"]["meta"]["versionId"].as_str().unwrap_or_default();
        entry["fullUrl"].as_str().is_none_or(|url| seen.insert((url, version)))
    })
}
