//! The list of what is held back, as a table.

use std::fmt::Write;

use serde_json::Value;

use crate::{
    cli::{
        amount,
        columns::{Columns, moment},
    },
    exhibit::visible::visible,
    report::paper::printable,
};

/// Columns: heading, name in the answer.
const COLUMNS: [(&str, &str); 10] = [
    ("ID", "id"),
    ("SINCE", "at"),
    ("SOURCE", "source"),
    ("SITE", "site"),
    ("TYPE", "type"),
    ("STAGE", "stage"),
    ("STATE", "state"),
    ("COUNT", "count"),
    ("PLACE", "place"),
    ("REASON", "reason"),
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
pub(super) fn for_people(told: &Value, all: bool, width: usize) -> String {
    let lines = told["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut out = String::new();
    if !lines.is_empty() {
        out += &table(lines, width);
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
    out + &hints(lines)
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

fn table(lines: &[Value], width: usize) -> String {
    let mut table = Columns::new(&COLUMNS.map(|(heading, _)| heading));
    for line in lines {
        table.row(COLUMNS.iter().map(|(_, name)| match *name {
            "at" => moment(&text(&line["at"])),
            name => text(&line[name]),
        }));
    }
    table.fit(width)
}

/// What to do next: messages and rows are named, and looked at, each in their own way.
fn hints(lines: &[Value]) -> String {
    let row = lines.iter().find_map(|line| line["id"].as_str()?.strip_prefix("row:").map(str::to_owned));
    let message = lines.iter().any(|line| line["id"].as_str().is_some_and(|id| !id.starts_with("row:")));
    let mut out = String::new();
    if message {
        out += "look at a message: isthmus quarantine show ID\n";
    }
    if let Some(row) = row.map(|row| printable(&row)) {
        out += &format!("row:{row} is row {row} of the queue: isthmus queue show {row}\n");
        out += &format!("  sent again: isthmus quarantine release row:{row} --reason TEXT; given up: drop\n");
    }
    out
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
        (_, true) if count == 0 => writeln!(out, "nothing was dropped"),
        (_, false) if count == 0 => writeln!(out, "nothing was released"),
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
        let table = for_people(&told, false, 200);
        let mut lines = table.lines();
        let (head, first) = (lines.next().unwrap(), lines.next().unwrap());
        assert_eq!(head.find("PLACE"), first.find("OBX (segment 7), field 6"), "{table}");
        assert_eq!(head.find("REASON"), first.find("the unit is not known"), "{table}");
        assert_eq!(lines.next(), Some("1 message with 2 faults; 1 shown, open"));
        assert!(for_people(&json!({ "lines": [] }), false, 80).starts_with("nothing is held back"));
    }

    #[test]
    fn nothing_that_came_from_outside_steers_the_terminal() {
        let told = json!({ "lines": [{ "id": "1", "reason": "\u{1b}[2J" }], "messages": 1 });
        assert!(!for_people(&told, false, 200).contains('\u{1b}'));
    }

    #[test]
    fn the_list_fits_its_width_and_says_how_a_row_is_named_and_looked_at() {
        let line = |id: &str| {
            json!({
                "id": id, "at": "2026-03-02T10:00:00Z", "source": "ehr:main", "site": "main", "type": "Observation/laboratory",
                "stage": "delivery", "place": "window 12 version 1", "state": "open", "count": 1,
                "reason": "422 value: Observation.code; the EHR has no such code",
            })
        };
        let both = json!({ "lines": [line("row:42"), line("17")], "messages": 1, "faults": 1, "rows": 1 });
        for width in [80, 120] {
            let told = for_people(&both, false, width);
            assert!(told.lines().all(|line| line.chars().count() <= width), "{told}");
            assert!(told.contains("row:42 is row 42 of the queue: isthmus queue show 42\n"), "{told}");
            assert!(told.contains("isthmus quarantine release row:42 --reason TEXT"), "{told}");
            assert!(told.contains("isthmus quarantine show ID"), "{told}");
        }
        let rows = json!({ "lines": [line("row:42")], "rows": 1 });
        assert!(!for_people(&rows, false, 80).contains("quarantine show"), "a row is no message");
    }
}
