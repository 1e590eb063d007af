//! Outcomes as rows of one table (RFC 4180): a row for each file and window.
//!
//! Invariants: the columns are the scalars of the JSON object under their names there, which say the unit
//! (`_pct` per cent, `_mg_dl`, `minutes_`), nested names joined by `_`; numbers are unrounded; what there is
//! none of is empty. Every row has every column. Line ends are CR LF.

use std::collections::{BTreeMap, BTreeSet};

use clinical::{events::EventKind, outcome::Exclusion};
use serde_json::Value;

use super::{export::Export, json::object, person::Person};

/// The columns that come first; the others follow by name.
const FIRST: [&str; 20] = [
    "file",
    "patient",
    "format",
    "start",
    "end",
    "days",
    "zone",
    "policy",
    "n_readings",
    "first_utc",
    "last_utc",
    "mean_mg_dl",
    "sd_mg_dl",
    "cv_pct",
    "gmi_pct",
    "tbr54_pct",
    "tbr70_pct",
    "tir_pct",
    "tar180_pct",
    "tar250_pct",
];
/// What a policy may have no range for, or a file no pair of readings for, with what it is made of: each has its columns
/// in every row.
const OPTIONAL: [(&str, &[&str]); 3] = [
    ("gri", &["hyper_component", "hypo_component", "value", "zone"]),
    ("titr", &["minutes", "pct"]),
    ("modd", &["mean_mg_dl", "pairs"]),
];
/// Names of the object that would be read wrongly alone in a row.
const RENAMED: [(&str, &str); 3] = [("n", "n_readings"), ("first", "first_utc"), ("last", "last_utc")];
/// Reasons that a stored reading does not count for, each with its column in every row.
const REASONS: &[Exclusion] = Exclusion::ALL.split_at(8).0;

/// Rows as they come; the text is made when all are there, so that all have the same columns.
#[derive(Debug, Default)]
pub struct Rows {
    rows: Vec<BTreeMap<String, String>>,
}

impl Rows {
    /// Adds the row of an outcome.
    pub fn push(&mut self, export: &Export, person: &Person) {
        let mut row: BTreeMap<String, String> =
            flat(&object(export)).into_iter().map(|(name, value)| (name, text(&value))).collect();
        for (from, to) in RENAMED {
            if let Some(value) = row.remove(from) {
                row.insert(to.to_owned(), value);
            }
        }
        let record = person.record.clone().unwrap_or_default();
        row.insert("patient".to_owned(), text(&record.into()));
        self.rows.push(row);
    }

    /// Whether there is no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Head and rows. The first columns stand in the head even where there is no row.
    #[must_use]
    pub fn text(&self) -> String {
        let others: BTreeSet<&str> =
            self.rows.iter().flat_map(|row| row.keys().map(String::as_str)).collect();
        let others = others.into_iter().filter(|name| !FIRST.contains(name));
        let columns: Vec<&str> = FIRST.into_iter().chain(others).collect();
        let mut out = line(columns.iter().copied());
        for row in &self.rows {
            out += &line(columns.iter().map(|name| row.get(*name).map_or("", String::as_str)));
        }
        out
    }
}

/// The scalars of an object by their names; of lists of scalars the items joined by `;`, of other lists and of
/// what is counted by names of a file only how many there are.
#[must_use]
pub fn flat(object: &Value) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    if let Value::Object(fields) = object {
        for (name, value) in fields {
            descend(name, value, &mut out);
        }
    }
    out
}

fn descend(name: &str, value: &Value, out: &mut BTreeMap<String, Value>) {
    match (name, value) {
        // The whole is what the other names say.
        ("notes" | "profile_by_hour" | "parts_whole", _) => {}
        ("devices" | "kept_apart", Value::Object(fields)) => {
            out.insert(format!("{name}_n"), fields.len().into());
        }
        ("excluded", Value::Object(fields)) => {
            for reason in REASONS {
                let reason = serde_json::to_value(reason).unwrap_or_default();
                let reason = reason.as_str().unwrap_or_default();
                let readings = fields.get(reason).cloned().unwrap_or_else(|| 0.into());
                out.insert(format!("excluded_{}", reason.replace('-', "_")), readings);
            }
        }
        ("events_counts" | "parts_night_events", Value::Object(fields)) => {
            for kind in EventKind::ALL {
                let kind = serde_json::to_value(kind).unwrap_or_default();
                let kind = kind.as_str().unwrap_or_default();
                let count = fields.get(kind).cloned().unwrap_or_default();
                out.insert(format!("{name}_{}", kind.replace('-', "_")), count);
            }
        }
        (_, Value::Object(fields)) => {
            for (inner, value) in fields {
                descend(&format!("{name}_{}", inner.replace('-', "_")), value, out);
            }
        }
        ("faults" | "events_list" | "events_candidates", Value::Array(items)) => {
            out.insert(format!("{name}_n"), items.len().into());
        }
        (_, Value::Array(items)) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            out.insert(format!("{name}_n"), items.len().into());
        }
        (_, Value::Array(items)) => {
            let items: Vec<String> = items.iter().map(text).collect();
            out.insert(name.to_owned(), items.join(";").into());
        }
        (_, scalar) => {
            let parts = |(optional, parts): &(&str, &'static [&str])| {
                (name == *optional || name.ends_with(&format!("_metrics_{optional}"))).then_some(*parts)
            };
            match OPTIONAL.iter().find_map(parts).filter(|_| scalar.is_null()) {
                Some(parts) => {
                    out.extend(parts.iter().map(|part| (format!("{name}_{part}"), Value::Null)));
                }
                None => {
                    out.insert(name.to_owned(), scalar.clone());
                }
            }
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        // A spreadsheet takes what begins so for a formula and runs it.
        Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn line<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    cells.map(quoted).collect::<Vec<_>>().join(",") + "\r\n"
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use clinical::policy::Policy;

    use super::*;
    use crate::report::{
        export::{Question, export},
        sample::{CLARITY, question, sample},
    };

    #[test]
    fn a_cell_is_quoted_where_it_must_be() {
        let cells = ["plain", "a,b", "say \"x\"", "two\nlines", ""];
        let expected = "plain,\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",\r\n";
        assert_eq!(line(cells.into_iter()), expected);
    }

    #[test]
    fn every_row_has_every_column_and_numbers_are_unrounded() {
        let mut rows = Rows::default();
        let export = sample();
        rows.push(&export, &Person { record: Some("47,11".to_owned()), ..Person::default() });
        let mut other = sample();
        other.outcome.excluded = [(Exclusion::Conflict, 2)].into();
        rows.push(&other, &Person::default());
        let text = rows.text();
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 3);
        let head: Vec<&str> = lines[0].split(',').collect();
        assert_eq!(head[..4], ["file", "patient", "format", "start"]);
        assert!(lines[1].starts_with("a.csv,\"47,11\",clarity,2025-03-01,2025-03-02,2,UTC,standard/1,6,"));
        let cells: Vec<&str> = lines[2].split(',').collect();
        let cell = |name: &str| cells[head.iter().position(|column| *column == name).unwrap()];
        assert_eq!(cell("mean_mg_dl").parse::<f64>().unwrap(), export.outcome.mean_mg_dl);
        assert_eq!(
            (cell("excluded_conflict"), cell("excluded_scan"), cell("minutes_target")),
            ("2", "0", "10")
        );
        assert_eq!((cell("gmi_pct"), cell("insufficient")), ("", "too-few-days;too-little-wear"));
        assert_eq!((cell("devices_n"), cell("faults_n")), ("1", "1"));
    }

    #[test]
    fn without_a_row_there_is_still_a_head() {
        assert_eq!(Rows::default().text().matches("\r\n").count(), 1);
        assert!(Rows::default().is_empty());
    }

    /// A policy without a very high range, and a file without faults, have the columns of the others.
    #[test]
    fn every_policy_and_file_has_the_same_columns() {
        let head = |policy: &str, text: &str| {
            let asked = Question { policy: Policy::named(policy).unwrap(), ..question() };
            let mut rows = Rows::default();
            rows.push(&export("a.csv", text.as_bytes(), &asked).unwrap(), &Person::default());
            rows.text().lines().next().unwrap().to_owned()
        };
        let clean: String =
            CLARITY.lines().filter(|line| !line.contains(",x,")).map(|l| format!("{l}\n")).collect();
        let standard = head("standard", CLARITY);
        assert_eq!(standard, head("pregnancy-t1", CLARITY));
        assert_eq!(standard, head("standard", &clean));
    }

    #[test]
    fn no_cell_of_words_is_a_formula() {
        let mut rows = Rows::default();
        let asked = Person { record: Some("=1+2".to_owned()), ..Person::default() };
        rows.push(&export("@a.csv", CLARITY.as_bytes(), &question()).unwrap(), &asked);
        let text = rows.text();
        assert!(text.lines().nth(1).unwrap().starts_with("'@a.csv,'=1+2,"), "{text}");
    }
}
