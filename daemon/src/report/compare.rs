//! Why two outcomes differ: the numbers that do, and the readings, exclusions, units and rules that made them.
//!
//! Invariants: a number differs where the JSON objects differ in a bit of it; readings are matched by their
//! time. Two outcomes of one export under one policy differ in nothing.

use std::fmt::Write as _;

use clinical::{glucose::Glucose, reading::Instant, select::Counted};
use serde_json::{Value, json};

use super::{
    csv::flat,
    explain::reason_name,
    export::Export,
    json::object,
    paper::{Paper, printable},
};
use crate::time::rfc3339;

/// How the counted readings of two outcomes lie to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Readings {
    /// In both, with one value.
    pub in_both: u64,
    /// At a time that only the first has.
    pub only_in_a: u64,
    /// At a time that only the second has.
    pub only_in_b: u64,
    /// At one time with two values.
    pub other_value: u64,
    /// With one value that stands for another number of minutes.
    pub other_minutes: u64,
}

/// Two outcomes beside each other.
#[derive(Clone, Debug)]
pub struct Comparison<'a> {
    a: &'a Export,
    b: &'a Export,
    /// Name, first, second, of the numbers that differ.
    pub differing: Vec<(String, Value, Value)>,
    /// Numbers that do not differ.
    pub equal: usize,
    /// The readings.
    pub readings: Readings,
    /// What made the difference, in sentences; empty where there is none.
    pub reasons: Vec<String>,
}

/// Compares two outcomes.
#[must_use]
pub fn compare<'a>(a: &'a Export, b: &'a Export) -> Comparison<'a> {
    let (of_a, of_b) = (flat(&object(a)), flat(&object(b)));
    let mut differing = Vec::new();
    let mut equal = 0;
    let mut names: Vec<&String> = of_a.keys().chain(of_b.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let value =
            |of: &std::collections::BTreeMap<String, Value>| of.get(name).cloned().unwrap_or_default();
        let (left, right) = (value(&of_a), value(&of_b));
        // The edges are rules: where they differ, that is a reason.
        let is_number = (left.is_number() || right.is_number()) && !name.starts_with("edges_");
        if is_number && left != right {
            differing.push((name.clone(), left, right));
        } else if is_number || (left.is_null() && right.is_null()) {
            equal += 1;
        }
    }
    let readings = readings(&a.selection.counted, &b.selection.counted);
    let reasons = reasons(a, b, readings);
    Comparison { a, b, differing, equal, readings, reasons }
}

/// Both are by time.
fn readings(a: &[Counted], b: &[Counted]) -> Readings {
    let key = |counted: &Counted| counted.reading.time;
    let mut out = Readings::default();
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(first), Some(second)) = (left.peek(), right.peek()) {
        match key(first).cmp(&key(second)) {
            std::cmp::Ordering::Less => {
                out.only_in_a += 1;
                left.next();
            }
            std::cmp::Ordering::Greater => {
                out.only_in_b += 1;
                right.next();
            }
            std::cmp::Ordering::Equal => {
                if first.reading.glucose != second.reading.glucose {
                    out.other_value += 1;
                } else {
                    out.in_both += 1;
                    out.other_minutes += u64::from(first.minutes != second.minutes);
                }
                left.next();
                right.next();
            }
        }
    }
    out.only_in_a += left.count() as u64;
    out.only_in_b += right.count() as u64;
    out
}

fn reasons(a: &Export, b: &Export, readings: Readings) -> Vec<String> {
    let mut out = Vec::new();
    let (left, right) = (&a.outcome, &b.outcome);
    let mut differ = |what: &str, a: String, b: String| {
        if a != b {
            out.push(format!("{what}: {a} in A, {b} in B"));
        }
    };
    let period = |export: &Export| {
        let period = &export.outcome.period;
        format!("{} to {} {}", period.first_date, period.last_date, period.zone)
    };
    differ("periods", period(a), period(b));
    let units = |export: &Export| {
        let units = export.outcome.units;
        let mut said = Vec::new();
        for (n, unit) in [(units.mg_dl, "mg/dL"), (units.mmol_l, "mmol/L")] {
            if n > 0 {
                said.push(format!("{n} readings in {unit}"));
            }
        }
        if units.re_expressed > 0 {
            said.push(format!("{} of them whole mg/dL in disguise", units.re_expressed));
        }
        said.join(", ")
    };
    // How many readings there are is told below; here it is the units that count.
    let kinds = |export: &Export| (export.outcome.units.mg_dl > 0, export.outcome.units.mmol_l > 0);
    if kinds(a) != kinds(b) || left.units.re_expressed != right.units.re_expressed {
        differ("units", units(a), units(b));
    }
    differ("resolution", a.read.resolution.clone(), b.read.resolution.clone());
    let limits = |export: &Export| {
        format!("{} low, {} high", export.outcome.censored_low, export.outcome.censored_high)
    };
    differ("readings beyond the sensor's limits", limits(a), limits(b));
    if left.policy.sha256 != right.policy.sha256 {
        out.push(format!("policies: {} in A, {} in B, which differ in:", left.policy.id, right.policy.id));
        out.extend(rules(a, b));
    }
    out.extend(apart(a, b, readings));
    for reason in left.excluded.keys().chain(right.excluded.keys()).collect::<std::collections::BTreeSet<_>>()
    {
        let n = |export: &Export| export.outcome.excluded.get(reason).copied().unwrap_or_default();
        if n(a) != n(b) {
            out.push(format!("left out as {}: {} in A, {} in B", reason_name(*reason), n(a), n(b)));
        }
    }
    out
}

/// The lines of the policies' values that only one of them has.
fn rules(a: &Export, b: &Export) -> Vec<String> {
    let (left, right) = (a.policy.canonical_text(), b.policy.canonical_text());
    let only = |of: &str, other: &str, name: &str| -> Vec<String> {
        let lines =
            of.lines().filter(|line| !line.starts_with("policy=") && !other.lines().any(|o| o == *line));
        lines.map(|line| format!("  only in {name}: {line}")).collect()
    };
    [only(&left, &right, "A"), only(&right, &left, "B")].concat()
}

/// What the readings differ in, with the times between which it lies.
fn apart(a: &Export, b: &Export, readings: Readings) -> Vec<String> {
    let times = |export: &Export| -> std::collections::BTreeMap<Instant, Glucose> {
        let counted = export.selection.counted.iter();
        counted.map(|counted| (counted.reading.time, counted.reading.glucose)).collect()
    };
    let (left, right) = (times(a), times(b));
    let span = |times: Vec<&Instant>| match (times.first(), times.last()) {
        (Some(first), Some(last)) => format!(", from {} to {}", rfc3339(first.0), rfc3339(last.0)),
        _ => String::new(),
    };
    let mut out = Vec::new();
    for (n, what, at) in [
        (
            readings.only_in_a,
            "only in A",
            span(left.keys().filter(|time| !right.contains_key(time)).collect()),
        ),
        (
            readings.only_in_b,
            "only in B",
            span(right.keys().filter(|time| !left.contains_key(time)).collect()),
        ),
        (
            readings.other_value,
            "with another value at the same time",
            span(
                left.iter()
                    .filter(|(at, v)| right.get(at).is_some_and(|o| o != *v))
                    .map(|(at, _)| at)
                    .collect(),
            ),
        ),
        (readings.other_minutes, "that stand for another number of minutes", String::new()),
    ] {
        if n > 0 {
            out.push(format!("readings {what}: {n}{at}"));
        }
    }
    out
}

impl Comparison<'_> {
    /// The comparison for people, ending in a line end.
    #[must_use]
    pub fn text(&self, paper: Paper) -> String {
        let mut out = String::new();
        for (name, export) in [("A", self.a), ("B", self.b)] {
            let outcome = &export.outcome;
            let (first, last) = (&outcome.period.first_date, &outcome.period.last_date);
            let said = format!("{}, {first} to {last}, {}", printable(&export.file), outcome.policy.id);
            out.push_str(&paper.wrapped(&format!("{name}  "), &said));
        }
        if self.differing.is_empty() {
            let _ = writeln!(out, "\nNo number differs ({} compared).", self.equal);
        } else {
            let width = self.differing.iter().map(|(name, ..)| name.len()).max().unwrap_or_default();
            let head = format!("{:<width$} {:>10} {:>10}", "differs", "A", "B");
            let _ = writeln!(out, "\n{}", paper.bold(&head));
            for (name, a, b) in &self.differing {
                let _ = writeln!(out, "{name:<width$} {:>10} {:>10}", short(a), short(b));
            }
            let _ = writeln!(out, "{} other numbers are equal.", self.equal);
        }
        let _ = writeln!(out, "\n{}", paper.bold("Why"));
        if self.reasons.is_empty() {
            out.push_str(&paper.wrapped("  - ", "the readings that count and the rules are the same"));
        }
        for reason in &self.reasons {
            match reason.strip_prefix("  ") {
                Some(inner) => out.push_str(&paper.wrapped("      ", inner)),
                None => out.push_str(&paper.wrapped("  - ", reason)),
            }
        }
        out
    }

    /// The comparison for scripts, numbers unrounded.
    #[must_use]
    pub fn json(&self) -> Value {
        let side = |export: &Export| {
            let outcome = &export.outcome;
            let (start, end) = (&outcome.period.first_date, &outcome.period.last_date);
            json!({ "file": export.file, "policy": outcome.policy.id, "start": start, "end": end, "n": outcome.n })
        };
        let differing: Vec<Value> =
            self.differing.iter().map(|(name, a, b)| json!({ "metric": name, "a": a, "b": b })).collect();
        let reasons: Vec<&str> = self.reasons.iter().map(|reason| reason.trim()).collect();
        json!({
            "a": side(self.a),
            "b": side(self.b),
            "differing": differing,
            "equal": self.equal,
            "readings": self.readings,
            "reasons": reasons,
        })
    }
}

/// A number with at most four decimals: JSON carries the whole.
fn short(value: &Value) -> String {
    match value.as_f64() {
        _ if value.is_null() => "none".to_owned(),
        Some(number) if number.fract() != 0.0 => format!("{number:.4}"),
        _ => value.to_string(),
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
    fn an_export_beside_itself_differs_in_nothing() {
        let (a, b) = (sample(), sample());
        let comparison = compare(&a, &b);
        assert!(comparison.differing.is_empty() && comparison.reasons.is_empty(), "{comparison:?}");
        assert!(comparison.equal > 20);
        assert_eq!(comparison.readings, Readings { in_both: 6, ..Readings::default() });
        assert!(comparison.text(Paper::new(None, false)).contains("No number differs"));
    }

    #[test]
    fn a_reading_more_and_one_changed_are_told_with_their_times() {
        let changed = CLARITY.replace("EGV,phone,100,", "EGV,phone,99,")
            + "10,2025-03-02T00:05:00,EGV,phone,110,58000,8XYZ\n";
        let (a, b) = (sample(), export("b.csv", changed.as_bytes(), &question()).unwrap());
        let comparison = compare(&a, &b);
        let expected = Readings { in_both: 5, only_in_b: 1, other_value: 1, ..Readings::default() };
        assert_eq!(comparison.readings, expected);
        assert!(comparison.differing.iter().any(|(name, ..)| name == "mean_mg_dl"));
        assert!(comparison.differing.iter().all(|(name, ..)| name != "days"));
        let said = comparison.text(Paper::new(None, false));
        assert!(said.contains("readings only in B: 1, from 2025-03-02T00:05:00Z"), "{said}");
        assert!(
            said.contains("readings with another value at the same time: 1, from 2025-03-01T08:10:00Z"),
            "{said}"
        );
    }

    #[test]
    fn two_policies_are_told_apart_by_their_values() {
        let asked = Question { policy: Policy::named("pregnancy-t1").unwrap(), ..question() };
        let (a, b) = (sample(), export("a.csv", CLARITY.as_bytes(), &asked).unwrap());
        let comparison = compare(&a, &b);
        assert_eq!(comparison.readings.in_both, 6);
        let said = comparison.text(Paper::new(None, false));
        assert!(said.contains("only in A: thresholds.high_above.mg_dl=180"), "{said}");
        assert!(said.contains("only in B: thresholds.high_above.mmol_l=7.8"), "{said}");
        assert!(!comparison.differing.iter().any(|(name, ..)| name == "mean_mg_dl"));
        assert_eq!(comparison.json()["b"]["policy"], "pregnancy-t1/1");
    }
}
