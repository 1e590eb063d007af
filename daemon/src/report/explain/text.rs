//! An explanation for people.

use clinical::{calendar::Zone, events::Event, reading::Instant};
use serde_json::Value;

use super::Explanation;
use crate::{
    report::{
        paper::{Paper, printable},
        table::unit_name,
    },
    time::rfc3339,
};

/// The explanation as text, ending in a line end.
#[must_use]
pub fn text(explanation: &Explanation<'_>, paper: Paper) -> String {
    let (formula, export) = (&explanation.formula, explanation.export);
    let outcome = &export.outcome;
    let value = match &explanation.value {
        Value::Null => "none".to_owned(),
        value => format!("{value} {}", formula.unit).trim_end().to_owned(),
    };
    let head = format!("{}: {} = {value}", printable(&export.file), explanation.metric);
    let mut out = paper.bold(&head) + "\n";
    let mut row = |name: &str, text: &str| out.push_str(&paper.wrapped(&format!("  {name:<9} "), text));
    row("what", &formula.title);
    row(
        "period",
        &format!("{} to {}, {}", outcome.period.first_date, outcome.period.last_date, outcome.period.zone),
    );
    row("formula", &formula.general);
    row("", &formula.with_numbers);
    row("source", formula.source);
    let zone = Zone::named(&outcome.period.zone).ok();
    let clock = |at: Instant| local(at, zone.as_ref());
    let (first, last) = (clock(outcome.first), clock(outcome.last));
    row("readings", &format!("{} count, from {first} to {last}", outcome.n));
    let weights: Vec<String> =
        explanation.weights().iter().map(|(minutes, n)| format!("{n} of {minutes} min")).collect();
    row("behind it", &if weights.is_empty() { "none".to_owned() } else { weights.join(", ") });
    let left_out: Vec<String> =
        explanation.left_out().iter().map(|(reason, readings)| format!("{reason} {readings}")).collect();
    row("left out", &if left_out.is_empty() { "nothing".to_owned() } else { left_out.join(", ") });
    row("units", &format!("{} in mg/dL, {} in mmol/L", outcome.units.mg_dl, outcome.units.mmol_l));
    for rule in &formula.rules {
        row("rule", &rule.rule);
        row("", &format!("from: {}", rule.source));
    }
    for event in &explanation.events {
        row("event", &told(event, clock));
    }
    row("policy", &format!("{}, SHA-256 {}", outcome.policy.id, outcome.policy.sha256));
    out
}

/// A time as the clock of the period showed it, with its offset; in UTC where the zone is unknown.
fn local(at: Instant, zone: Option<&Zone>) -> String {
    let offset = zone.map_or(0, |zone| zone.offset_minutes(at));
    let shown = rfc3339(at.0 + i64::from(offset) * Instant::MINUTE_MS);
    let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.unsigned_abs());
    format!("{}{sign}{:02}:{:02}", shown.trim_end_matches('Z').replace('T', " "), minutes / 60, minutes % 60)
}

/// An event in a line.
fn told(event: &Event, clock: impl Fn(Instant) -> String) -> String {
    let mut said = format!(
        "{} to {}, {:.0} min, {:.0} of them past the edge, {} {} {}",
        clock(event.start),
        clock(event.end),
        event.duration_minutes,
        event.measured_minutes,
        if event.kind.is_hypo() { "nadir" } else { "peak" },
        event.extreme,
        unit_name(event.extreme.unit),
    );
    for (flag, name) in [
        (event.holds_level_2, "reaches level 2"),
        (event.truncated, "cut by a gap or the period's edge"),
        (event.low_confidence, "low confidence"),
    ] {
        if flag {
            said = format!("{said}, {name}");
        }
    }
    said
}
