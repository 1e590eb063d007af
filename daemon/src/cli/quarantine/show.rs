//! A message on a terminal: its segments, and under a faulty field the mark and what is wrong.
//!
//! Invariants: the mark is made of characters, and colour only repeats it; rows are broken between fields by us, so
//! that a mark stands under its field whatever the terminal's width.

use std::fmt::Write;

use console::Style;
use serde_json::Value;

use crate::cli::amount;
use crate::exhibit::{Exhibit, Line, Pointed, visible::visible};

/// Where a segment's text begins.
const INDENT: &str = "       ";
/// Narrowest row: less cannot be read.
const WIDTH_MIN: usize = 40;

/// The whole document in plain words.
pub(super) fn for_people(told: &Value, width: usize, colour: bool) -> String {
    let mut out = String::new();
    head(&mut out, told);
    let Ok(exhibit) = serde_json::from_value::<Exhibit>(told["message"].clone()) else {
        out.push_str("  the message is told in a form of another version; try --json\n");
        return out;
    };
    out.push('\n');
    message(&mut out, &exhibit, width.max(WIDTH_MIN), colour);
    out.push('\n');
    entries(&mut out, told);
    release(&mut out, told);
    if !exhibit.revealed {
        out.push_str(
            "[digits 5-8] and the like are masked: kind and length. --reveal --reason TEXT shows all\n",
        );
    }
    out
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(String::new, |text| visible(text.as_bytes()))
}

fn head(out: &mut String, told: &Value) {
    let site =
        if told["site"] == "" { "no site".to_owned() } else { format!("site {}", text(&told["site"])) };
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "message {} of {}, source {}, {site}, type {}, {} bytes, answered {}",
        text(&told["id"]),
        text(&told["received"]),
        text(&told["source"]),
        text(&told["type"]),
        told["bytes"],
        text(&told["answered"]),
    );
}

fn message(out: &mut String, exhibit: &Exhibit, width: usize, colour: bool) {
    let mut next = 1;
    for line in &exhibit.lines {
        left_out(out, next, line.ordinal);
        next = line.ordinal + 1;
        let named = format!("{:>5}  {} {}", line.ordinal, line.name, line.title);
        let _ = writeln!(out, "{}", named.trim_end());
        segment(out, line, exhibit.separator.unwrap_or('|'), width, colour);
    }
    left_out(out, next, exhibit.segments + 1);
    for reason in &exhibit.elsewhere {
        let _ = writeln!(out, "{INDENT}! {}", visible(reason.as_bytes()));
    }
}

fn left_out(out: &mut String, next: u32, ordinal: u32) {
    match ordinal.saturating_sub(next) {
        0 => {}
        1 => out.push_str("       ... 1 segment left out (--segments, --from)\n"),
        many => {
            let _ = writeln!(out, "       ... {many} segments left out (--segments, --from)");
        }
    }
}

/// One segment in rows, each followed by the marks of its faults.
fn segment(out: &mut String, line: &Line, separator: char, width: usize, colour: bool) {
    let mut row = String::new();
    let mut marks: Vec<(usize, usize, &Pointed)> = Vec::new();
    let room = width - INDENT.len();
    for (place, field) in line.fields.iter().enumerate() {
        let length = field.chars().count() + usize::from(place > 0);
        if !row.is_empty() && row.chars().count() + length > room {
            close(out, &mut row, &mut marks, colour);
        }
        if place > 0 {
            row.push(separator);
        }
        let column = row.chars().count();
        for pointed in line.faults.iter().filter(|pointed| pointed.field == Some(place)) {
            marks.push((column, field.chars().count().clamp(1, room), pointed));
        }
        row.push_str(field);
    }
    if line.more_fields > 0 {
        let _ = write!(row, " ... {} more fields", line.more_fields);
    }
    close(out, &mut row, &mut marks, colour);
    // A field that the segment does not have, and the segment as a whole.
    let absent = |pointed: &&Pointed| pointed.field.is_none_or(|place| place >= line.fields.len());
    for pointed in line.faults.iter().filter(absent) {
        fault(out, 0, line.name.len(), pointed, colour);
    }
}

fn close(out: &mut String, row: &mut String, marks: &mut Vec<(usize, usize, &Pointed)>, colour: bool) {
    let _ = writeln!(out, "{INDENT}{row}");
    for (column, length, pointed) in marks.drain(..) {
        fault(out, column, length, pointed, colour);
    }
    row.clear();
}

fn fault(out: &mut String, column: usize, length: usize, pointed: &Pointed, colour: bool) {
    let red = Style::new().red().bold().force_styling(colour);
    let _ = writeln!(out, "{INDENT}{:column$}{}", "", red.apply_to("^".repeat(length)));
    let told = format!("{}: {}", visible(pointed.name.as_bytes()), visible(pointed.reason.as_bytes()));
    let _ = writeln!(out, "{INDENT}{:column$}{}", "", red.apply_to(told));
}

/// Things that say the same and where they were met, in the order in which they first came.
fn together<'a>(things: impl Iterator<Item = (String, &'a Value)>) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for (words, place) in things {
        let place = text(place);
        match found.iter_mut().find(|(known, _)| *known == words) {
            Some((_, places)) => places.push(place),
            None => found.push((words, vec![place])),
        }
    }
    found
}

/// ` at OBX (segment 7), field 6 and 11 places more`; nothing where the whole message is meant.
fn at(places: &[String]) -> String {
    match places {
        [] => String::new(),
        [one] if one.is_empty() => String::new(),
        [one] => format!(" at {one}"),
        [first, .., last] if first == last => format!(", {} times", places.len()),
        [first, rest @ ..] => {
            format!(" at {first} and {} more place{}", rest.len(), if rest.len() == 1 { "" } else { "s" })
        }
    }
}

/// What is and was wrong with the message, and what was done about it.
fn entries(out: &mut String, told: &Value) {
    let entries = told["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    if entries.is_empty() {
        out.push_str("it is not held back\n");
    }
    let words = |entry: &Value| {
        let done = match entry["state_at"].as_str() {
            Some(_) => format!("{} by {}", text(&entry["state_at"]), text(&entry["state_by"])),
            None => format!("since {}", text(&entry["at"])),
        };
        format!("{} {}: {} ({done})", text(&entry["state"]), text(&entry["stage"]), text(&entry["reason"]))
    };
    for (words, places) in together(entries.iter().map(|entry| (words(entry), &entry["place"]))) {
        let _ = writeln!(out, "{words}{}", at(&places));
    }
}

/// What a release would come to.
fn release(out: &mut String, told: &Value) {
    let release = &told["release"];
    let what = match release["handler"].as_str() {
        Some("keep") => "it would be kept, and nothing made of it".to_owned(),
        Some("results") => format!(
            "{} for site {}",
            amount(release["readings"].as_u64().unwrap_or(0), "reading"),
            text(&release["site"])
        ),
        other => format!("it would be read as {} for site {}", other.unwrap_or("?"), text(&release["site"])),
    };
    let _ = writeln!(out, "a release now: {what}");
    let faults = release["faults"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (reason, places) in together(faults.iter().map(|fault| (text(&fault["reason"]), &fault["place"]))) {
        let _ = writeln!(out, "  still held back: {reason}{}", at(&places));
    }
    let unidentified = release["unidentified"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (reason, places) in together(unidentified.iter().map(|reason| (text(reason), &Value::Null))) {
        let _ = writeln!(out, "  still without a patient: {reason}{}", at(&places));
    }
    if !unidentified.is_empty() {
        let _ = writeln!(out, "  the site wants {}", text(&release["wants"]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: &[&str], faults: Vec<Pointed>) -> Line {
        Line {
            ordinal: 4,
            name: fields[0].to_owned(),
            title: "Observation/Result".to_owned(),
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
            more_fields: 0,
            faults,
        }
    }

    fn pointed(field: Option<usize>) -> Pointed {
        Pointed { field, name: "OBX-6 Units".to_owned(), reason: "the unit is not known".to_owned() }
    }

    fn drawn(line: &Line, width: usize, colour: bool) -> Vec<String> {
        let mut out = String::new();
        segment(&mut out, line, '|', width, colour);
        out.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_mark_stands_under_the_field_in_whatever_row_it_is() {
        let fields =
            ["OBX", "1", "NM", "99504-3^[text 5-8]^LN", "1", "[digits 1-4]", "furlong", "", "", "", "", "F"];
        for width in [40, 45, 60, 80, 200] {
            let rows = drawn(&line(&fields, vec![pointed(Some(6))]), width, false);
            let at = rows
                .iter()
                .position(|row| row.contains('^') && row.trim().chars().all(|c| c == '^'))
                .unwrap();
            let column = rows[at].find('^').unwrap();
            assert_eq!(&rows[at - 1][column..column + 7], "furlong", "{width}: {rows:#?}");
            assert_eq!(rows[at].trim(), "^^^^^^^");
            assert_eq!(rows[at + 1].trim(), "OBX-6 Units: the unit is not known");
            assert!(rows[at - 1].chars().count() <= width, "{width}: {rows:#?}");
        }
    }

    #[test]
    fn an_empty_field_an_absent_one_and_a_whole_segment_are_marked_too() {
        let rows = drawn(&line(&["OBX", "1", "", "X"], vec![pointed(Some(2))]), 80, false);
        assert_eq!(rows[..2], ["       OBX|1||X", "             ^"]);
        let rows = drawn(&line(&["OBX", "1"], vec![pointed(Some(6))]), 80, false);
        assert_eq!(rows[1], "       ^^^");
        let rows = drawn(&line(&["OBX", "1"], vec![pointed(None)]), 80, false);
        assert_eq!(rows[1], "       ^^^");
    }

    #[test]
    fn what_says_the_same_is_told_once_with_its_places() {
        let told = serde_json::json!({ "handler": "results", "readings": 3, "site": "main", "faults": [
            { "place": "OBX (segment 5), field 6", "reason": "no unit" },
            { "place": "OBX (segment 6), field 5", "reason": "no value" },
            { "place": "OBX (segment 7), field 6", "reason": "no unit" },
        ], "unidentified": ["no PID segment", "no PID segment"], "wants": "PID-3 of type MR" });
        let mut out = String::new();
        release(&mut out, &serde_json::json!({ "release": told }));
        assert_eq!(
            out.lines().collect::<Vec<_>>(),
            [
                "a release now: 3 readings for site main",
                "  still held back: no unit at OBX (segment 5), field 6 and 1 more place",
                "  still held back: no value at OBX (segment 6), field 5",
                "  still without a patient: no PID segment, 2 times",
                "  the site wants PID-3 of type MR",
            ]
        );
    }

    #[test]
    fn colour_is_never_the_only_sign() {
        let faulty = line(&["OBX", "1"], vec![pointed(Some(1))]);
        let (plain, coloured) = (drawn(&faulty, 80, false), drawn(&faulty, 80, true));
        assert!(plain.iter().all(|row| !row.contains('\u{1b}')));
        assert!(coloured[1].contains("\u{1b}[") && coloured[1].contains('^'));
    }
}
