//! What a number is made of: the readings behind it, those that were left out and why, the rules with their
//! sources, and the formula with the numbers put in.
//!
//! Invariants: every number of the JSON object can be asked for, by its name there; the value that is explained
//! is that of the object, never one computed anew. What has a formula of its own here also shows it with its
//! numbers; a test holds that these numbers give the value.

mod formula;
mod text;

use std::collections::BTreeMap;

use clinical::{
    events::{Event, EventKind},
    outcome::Exclusion,
    select::Counted,
};
use serde_json::{Value, json};

use self::formula::{Formula, formula};
pub use self::text::text;
use super::{csv::flat, export::Export, json::object, risk};
use crate::{config::spelling::nearest, time::rfc3339};

/// Endings that may be left out of a name.
const ENDINGS: [&str; 5] = ["_pct", "_mg_dl", "_n", "_value", "_mean_mg_dl"];
/// Names in use for what the object names otherwise.
const ALSO: [(&str, &str); 7] = [
    ("tbr", "tbr70_pct"),
    ("tbr_2", "tbr54_pct"),
    ("tar", "tar180_pct"),
    ("tar_2", "tar250_pct"),
    ("active", "active_window_pct"),
    ("readings", "n"),
    ("wear", "days_of_wear"),
];

/// There is no number of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no number is called {metric:?}; {known}")]
pub struct UnknownMetric {
    /// As asked.
    pub metric: String,
    /// The names that are like it, else all of them.
    pub known: String,
}

/// A rule that the number rests on.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Rule {
    /// What it says.
    pub rule: String,
    /// Where it is from.
    pub source: String,
}

/// A number with all that is behind it.
#[derive(Clone, Debug)]
pub struct Explanation<'a> {
    /// The name in the JSON object.
    pub metric: String,
    /// The value there; `Null` where it is withheld or there is none.
    pub value: Value,
    /// What it says and how it is made.
    pub formula: Formula,
    /// The readings that the number is about, of those that count.
    pub members: Vec<&'a Counted>,
    /// The events that the number counts, where it counts events.
    pub events: Vec<&'a Event>,
    export: &'a Export,
}

/// Explains the number called `metric`, case and the ending for its unit aside.
///
/// # Errors
/// [`UnknownMetric`] with all names.
pub fn explain<'a>(export: &'a Export, metric: &str) -> Result<Explanation<'a>, UnknownMetric> {
    let numbers = numbers(export);
    let Some(name) = named(&numbers, metric) else {
        let known = near(&numbers, metric);
        return Err(UnknownMetric { metric: metric.to_owned(), known });
    };
    let value = numbers.get(&name).cloned().unwrap_or_default();
    let formula = formula(export, &name);
    let members = formula.members(export);
    let events = events(export, &name);
    Ok(Explanation { metric: name, value, formula, members, events, export })
}

/// What to ask for instead: the names that hold the word or are a slip away from it, else all.
fn near(numbers: &BTreeMap<String, Value>, metric: &str) -> String {
    let asked = spelled(metric);
    let like: Vec<&str> =
        numbers.keys().map(String::as_str).filter(|name| asked.len() > 2 && name.contains(&asked)).collect();
    let slip = nearest(&asked, numbers.keys().map(String::as_str));
    match (like.as_slice(), slip) {
        ([], Some(slip)) => format!("did you mean {slip}?"),
        ([], None) => {
            let all: Vec<&str> = numbers.keys().map(String::as_str).collect();
            format!("--explain takes one of: {}", all.join(", "))
        }
        (like, _) => format!("did you mean one of: {}?", like.join(", ")),
    }
}

/// A name as the object spells its own.
fn spelled(metric: &str) -> String {
    metric.trim().to_lowercase().replace(['-', '.', ' '], "_")
}

/// The events behind the number `name`.
fn events<'a>(export: &'a Export, name: &str) -> Vec<&'a Event> {
    let events = &export.outcome.events;
    if let Some(kind) = name.strip_prefix("parts_night_events_") {
        let mut of_nights = self::events(export, &format!("events_counts_{kind}"));
        let night = formula::Night::of(export);
        of_nights.retain(|event| night.holds(event.start));
        return of_nights;
    }
    let of = |kind: EventKind, alone: bool| {
        events
            .list
            .iter()
            .filter(move |event| event.kind == kind && !(alone && event.holds_level_2))
            .collect()
    };
    match name.strip_prefix("events_").map(|name| name.strip_prefix("counts_").unwrap_or(name)) {
        Some("list_n") => events.list.iter().collect(),
        Some("candidates_n") => events.candidates.iter().collect(),
        Some("hypo_level_1_only") => of(EventKind::HypoLevel1, true),
        Some("hyper_level_1_only") => of(EventKind::HyperLevel1, true),
        Some(name) => {
            let named = |event: &&Event| kind_name(event.kind).replace('-', "_") == name;
            events.list.iter().filter(named).collect()
        }
        None => Vec::new(),
    }
}

/// The numbers of the object, those that are withheld too.
fn numbers(export: &Export) -> BTreeMap<String, Value> {
    flat(&object(export)).into_iter().filter(|(_, value)| value.is_number() || value.is_null()).collect()
}

fn named(numbers: &BTreeMap<String, Value>, metric: &str) -> Option<String> {
    let asked = spelled(metric);
    let also = ALSO.iter().find(|(name, _)| *name == asked).map(|(_, name)| (*name).to_owned());
    let also = also.or_else(|| Some(format!("percentiles_mg_dl_{asked}")));
    let written =
        std::iter::once(asked.clone()).chain(ENDINGS.map(|ending| format!("{asked}{ending}"))).chain(also);
    written.into_iter().find(|name| numbers.contains_key(name))
}

impl Explanation<'_> {
    /// How many of the members stand for how many minutes each.
    #[must_use]
    pub fn weights(&self) -> BTreeMap<u8, u64> {
        let mut weights = BTreeMap::new();
        for counted in &self.members {
            *weights.entry(counted.minutes).or_default() += 1;
        }
        weights
    }

    /// Readings of the file that do not count, by reason, with those outside of the period and the rows that
    /// repeat another.
    #[must_use]
    pub fn left_out(&self) -> Vec<(String, u64)> {
        let export = self.export;
        let mut out: Vec<(String, u64)> = export
            .outcome
            .excluded
            .iter()
            .map(|(reason, readings)| (reason_name(*reason), *readings))
            .collect();
        out.push(("outside-period".to_owned(), export.outside));
        out.push(("repeated-row".to_owned(), export.repeated));
        out.push(("unreadable-row".to_owned(), export.read.unread()));
        out.retain(|(_, readings)| *readings > 0);
        out
    }

    /// All of it for scripts; every reading behind the number among it.
    #[must_use]
    pub fn json(&self) -> Value {
        let outcome = &self.export.outcome;
        let readings: Vec<Value> = self.members.iter().map(|counted| reading(counted)).collect();
        let left_out: serde_json::Map<String, Value> =
            self.left_out().into_iter().map(|(reason, readings)| (reason, readings.into())).collect();
        json!({
            "file": self.export.file,
            "start": outcome.period.first_date,
            "end": outcome.period.last_date,
            "metric": self.metric,
            "title": self.formula.title,
            "unit": self.formula.unit,
            "value": self.value,
            "formula": self.formula.general,
            "with_numbers": self.formula.with_numbers,
            "source": self.formula.source,
            "policy": outcome.policy.id,
            "policy_sha256": outcome.policy.sha256,
            "rules": self.formula.rules,
            "readings_counted": outcome.n,
            "readings_behind": self.members.len(),
            "left_out": left_out,
            "readings": readings,
            "events": self.events.iter().map(|event| risk::event(event)).collect::<Vec<_>>(),
        })
    }
}

fn reading(counted: &Counted) -> Value {
    let glucose = counted.reading.glucose;
    json!({
        "time": rfc3339(counted.reading.time.0),
        "value": glucose.to_string(),
        "unit": glucose.unit,
        "minutes": counted.minutes,
    })
}

/// The name of a kind of event, as JSON has it.
fn kind_name(kind: EventKind) -> String {
    serde_json::to_value(kind).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The name of a reason, as JSON has it.
pub(super) fn reason_name(reason: Exclusion) -> String {
    serde_json::to_value(reason).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
