//! The list of what is held back, as a table.

use std::fmt::Write;

use serde_json::Value;

use crate::{cli::amount, exhibit::visible::visible};

/// Columns: heading, name in the answer, widest.
const COLUMNS: [(&str, &str, usize); 9] = [
    ("ID", "id", 12),
    ("SINCE", "at", 20),
    ("SOURCE", "source", 16),
    ("SITE", "site", 12),
    ("TYPE", "type", 15),
    ("STAGE", "stage", 9),
    ("STATE", "state", 8),
    ("COUNT", "count", 5),
    ("PLACE", "place", 26),
];

/// A value as it may stand in a table.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => visible(text.as_bytes()),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The table, and what it amounts to.
pub(super) fn for_people(told: &Value, all: bool) -> String {
    let lines = told["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut out = String::new();
    if !lines.is_empty() {
        table(&mut out, lines);
    }
    let number = |name: &str| told[name].as_u64().unwrap_or(0);
    let (messages, faults, rows) = (number("messages"), number("faults"), number("rows"));
    let open = if all { "in all" } else { "open" };
    // Writing to a String cannot fail.
    let _ = match (messages, rows) {
        (0, 0) => writeln!(out, "nothing is held back"),
        _ => writeln!(out, "{}; {lines} shown, {open}", amounts(messages, faults, rows), lines = lines.len()),
    };
    for reason in told["reasons"].as_array().into_iter().flatten() {
        let _ = writeln!(
            out,
            "  {:>6} x  {} ({}; messages: {})",
            text(&reason["faults"]),
            text(&reason["reason"]),
            text(&reason["stage"]),
            text(&reason["messages"])
        );
    }
    if !lines.is_empty() {
        out.push_str("look at one: isthmus quarantine show ID\n");
    }
    out
}

fn amounts(messages: u64, faults: u64, rows: u64) -> String {
    let mut parts = Vec::new();
    if messages > 0 {
        parts.push(format!("{} with {}", amount(messages, "message"), amount(faults, "fault")));
    }
    if rows > 0 {
        parts.push(amount(rows, "row"));
    }
    parts.join(", ")
}

fn table(out: &mut String, lines: &[Value]) {
    let widths: Vec<usize> = COLUMNS
        .iter()
        .map(|(heading, name, widest)| {
            let longest = lines.iter().map(|line| text(&line[*name]).chars().count()).max().unwrap_or(0);
            longest.min(*widest).max(heading.len())
        })
        .collect();
    let headings = COLUMNS.iter().map(|(heading, ..)| (*heading).to_owned());
    row(out, headings, &widths, "REASON");
    for line in lines {
        let cells = COLUMNS.iter().map(|(_, name, _)| text(&line[*name]));
        row(out, cells, &widths, &text(&line["reason"]));
    }
}

fn row(out: &mut String, cells: impl Iterator<Item = String>, widths: &[usize], last: &str) {
    for (cell, width) in cells.zip(widths) {
        let cut: String = cell.chars().take(*width).collect();
        let _ = write!(out, "{cut:<width$}  ");
    }
    out.push_str(last);
    out.push('\n');
}

/// What a release comes to, where that is told.
fn foreseen(told: &Value) -> String {
    let Some(readings) = told["readings"].as_u64() else { return String::new() };
    let again: Vec<String> = told["held_back_again"].as_array().into_iter().flatten().map(text).collect();
    match again.is_empty() {
        true => format!(", {}", amount(readings, "reading")),
        false => format!(", {}; held back again: {}", amount(readings, "reading"), again.join("; ")),
    }
}

/// What became of what was released or dropped.
pub(super) fn acted(lines: &[Value], drop: bool) -> String {
    let done = if drop { "dropped" } else { "released" };
    let mut out = String::new();
    let mut count = 0;
    for line in lines {
        let id = text(&line["id"]);
        let _ = match line["became"].as_str().unwrap_or_default() {
            "done" => {
                count += 1;
                writeln!(out, "{id}: {done}{}", foreseen(&line["foreseen"]))
            }
            "already" if line["why"].is_string() => writeln!(out, "{id}: {}", text(&line["why"])),
            "already" => writeln!(
                out,
                "{id}: already {} {} by {}; nothing was done",
                text(&line["state"]),
                text(&line["at"]),
                text(&line["by"])
            ),
            "not-held" => writeln!(out, "{id}: is not held back; to read it anew: isthmus replay --id {id}"),
            "missing" if line["why"].is_null() => writeln!(out, "{id}: there is no such message"),
            _ => writeln!(out, "{id}: not {done}: {}", text(&line["why"])),
        };
    }
    let _ = match (lines.len(), drop) {
        (0, _) => writeln!(out, "nothing was chosen"),
        (_, true) => writeln!(out, "{count} dropped; they stay in the store, and a resend counts as new"),
        (_, false) => {
            writeln!(out, "{count} released; what became of them: isthmus quarantine show ID, isthmus status")
        }
    };
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_says_what_and_how_much() {
        let line = json!({
            "id": "17", "at": "2026-03-02T10:00:00Z", "source": "ward", "site": "main", "type": "ORU^R01",
            "stage": "normalize", "place": "OBX (segment 7), field 6", "reason": "the unit is not known",
            "state": "open", "count": 2,
        });
        let reasons =
            json!([{ "stage": "normalize", "reason": "the unit is not known", "messages": 1, "faults": 2 }]);
        let told = json!({ "lines": [line], "messages": 1, "faults": 2, "rows": 0, "reasons": reasons });
        let table = for_people(&told, false);
        let mut lines = table.lines();
        let (head, first) = (lines.next().unwrap(), lines.next().unwrap());
        assert_eq!(head.find("PLACE"), first.find("OBX (segment 7), field 6"), "{table}");
        assert_eq!(head.find("REASON"), first.find("the unit is not known"), "{table}");
        assert_eq!(lines.next(), Some("1 message with 2 faults; 1 shown, open"));
        assert!(for_people(&json!({ "lines": [] }), false).starts_with("nothing is held back"));
    }

    #[test]
    fn nothing_that_came_from_outside_steers_the_terminal() {
        let told = json!({ "lines": [{ "id": "1", "reason": "\u{1b}[2J" }], "messages": 1 });
        assert!(!for_people(&told, false).contains('\u{1b}'));
    }
}
