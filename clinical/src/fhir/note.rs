//! The note for a chart: one outcome version in plain text, for clinicians.
//!
//! Invariants and numbers: ASCII, lines of at most [`COLUMNS`] characters (a policy or a zone with a longer name makes a
//! longer line), columns of a fixed width for a monospaced face; the same version is the same text. Every line is one of
//! the closed list in `projection/allowed/lines.rs`, which the allow-list holds it to: no name, no place and no free word
//! fits in. A withheld number is said to be withheld, with the reason.

use super::{
    project::Version,
    row::{Row, RowValue},
    summary::MeanUnit,
};
use crate::{
    glucose::Unit,
    outcome::{Insufficiency, Outcome},
    policy::{Policy, Threshold},
    scale::apportioned,
};

/// What a line is made for: a chart's window of a terminal's width.
pub const COLUMNS: usize = 80;
/// What the parts of a day sum to, as the shares sum to 100.00.
const DAY_MINUTES: u32 = 24 * 60;
/// The name of the document, and what its text begins with.
pub const TITLE: &str = "CGM summary";

/// The note of a version, with glucose in `unit`; `computed` is when it was made, as the window's zone has it.
pub fn text(version: &Version<'_>, unit: MeanUnit, computed: &str) -> String {
    let outcome = version.outcome;
    let mut lines = vec![
        TITLE.to_owned(),
        "Computed from sensor glucose. Not a laboratory measurement.".to_owned(),
        String::new(),
    ];
    lines.extend(standing(version, computed));
    lines.push(String::new());
    lines.extend(numbers(outcome, unit));
    lines.push(String::new());
    lines.extend(ranges(outcome, version.policy, unit));
    lines.push(String::new());
    lines.extend(left_out(outcome));
    lines.push(String::new());
    lines.push(format!(
        "Made by Isthmus {} from {} messages; manifest SHA-256:",
        version.maker.software, version.manifest.count
    ));
    lines.push(format!("  {}", version.manifest.sha256));
    lines.join("\n") + "\n"
}

fn line(label: &str, value: impl AsRef<str>) -> String {
    format!("{label:<21}{}", value.as_ref())
}

/// Which window, by which rules, in which version.
fn standing(version: &Version<'_>, computed: &str) -> Vec<String> {
    let period = &version.outcome.period;
    let days = if period.days == 1 { "1 day".to_owned() } else { format!("{} days", period.days) };
    let replaces = version.supersedes.map(|old| format!(", replaces version {old}")).unwrap_or_default();
    let reason = if version.supersedes.is_some() { version.reason } else { super::provenance::Reason::First };
    vec![
        line("Period", format!("{} to {} ({days})", period.first_date, period.last_date)),
        line("Time zone", &period.zone),
        line("Policy", &version.outcome.policy.id),
        line("Version", format!("{}{replaces}", version.version)),
        line("Reason", reason.words()),
        line("Computed", computed),
    ]
}

/// The numbers that are no share of time.
fn numbers(outcome: &Outcome, unit: MeanUnit) -> Vec<String> {
    let said = |row: Row| match row.value(outcome, unit) {
        Some(RowValue::Number(number, unit)) => Some((number.to_string(), unit.code_and_text().0)),
        _ => None,
    };
    let number = |label: &str, row: Row, otherwise: &str| match said(row) {
        Some((number, unit)) => line(label, format!("{number:>8} {unit}")),
        None => line(label, otherwise),
    };
    vec![
        number("Sensor active", Row::SensorActive, NO_NUMBER) + " of the period",
        line("Days with data", format!("{:>8} of {}", outcome.days_of_wear, outcome.period.days)),
        number("Mean glucose", Row::Mean, NO_NUMBER),
        number("GMI", Row::Gmi, withheld(&outcome.insufficient)),
        number("CV", Row::Cv, ONE_READING),
        number("Standard deviation", Row::Sd, ONE_READING),
    ]
}

const NO_NUMBER: &str = "the computation gave no number";
const ONE_READING: &str = "none: one reading has no standard deviation";

/// Why GMI is withheld, in few words.
fn withheld(reasons: &[Insufficiency]) -> &'static str {
    let holds = |reason| reasons.contains(&reason);
    match (holds(Insufficiency::TooFewDays), holds(Insufficiency::TooLittleWear)) {
        (true, true) => "withheld: too few days and too few readings",
        (true, false) => "withheld: too few days",
        (false, true) => "withheld: too few readings",
        (false, false) => "withheld",
    }
}

/// The five shares from the highest down, each with what it is of a day and the policy's edges.
fn ranges(outcome: &Outcome, policy: &Policy, unit: MeanUnit) -> Vec<String> {
    let (name, in_unit) = match unit {
        MeanUnit::Mass => ("mg/dL", Unit::MgDl),
        MeanUnit::Molar => ("mmol/L", Unit::MmolL),
    };
    let said = |threshold: &Threshold| match in_unit {
        Unit::MgDl => threshold.mg_dl.to_string(),
        Unit::MmolL => threshold.mmol_l.to_string(),
    };
    let t = &policy.thresholds;
    let (bottom, low, high) =
        (said(&t.very_low_below.value), said(&t.low_below.value), said(&t.high_above.value));
    let top = t.very_high_above.as_ref().map(|edge| said(&edge.value));
    let above = match &top {
        Some(top) => format!("above {high} to {top} {name}"),
        None => format!("above {high} {name}"),
    };
    let rows = [
        top.map(|top| ("Very high", 4, format!("above {top} {name}"))),
        Some(("High", 3, above)),
        Some(("Target", 2, format!("{low} to {high} {name}"))),
        Some(("Low", 1, format!("{bottom} to below {low} {name}"))),
        Some(("Very low", 0, format!("below {bottom} {name}"))),
    ];
    let shares = outcome.shown_shares();
    let of_a_day = apportioned(outcome.minutes.as_array(), DAY_MINUTES);
    let row = |(label, at, edges): (&str, usize, String)| {
        let hundredths = shares[at];
        let (hours, rest) = (of_a_day[at] / 60, of_a_day[at] % 60);
        let share = format!("{}.{:02}", hundredths / 100, hundredths % 100);
        line(label, format!("{share:>8} %  {hours:>3} h {rest:>2} min  {edges}"))
    };
    let head = line("Time in ranges", "   share     of a day");
    std::iter::once(head).chain(rows.into_iter().flatten().map(row)).collect()
}

/// What did not count, and what the numbers rest on.
fn left_out(outcome: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    for (reason, count) in outcome.excluded.iter().filter(|(_, count)| **count > 0) {
        let name = serde_json::to_value(reason).unwrap_or_default();
        let name = format!("  {}", name.as_str().unwrap_or_default());
        lines.push(line(&name, format!("{count:>8} readings")));
    }
    if lines.is_empty() {
        lines.push(line("Not counted", "nothing"));
    } else {
        lines.insert(0, "Not counted".to_owned());
    }
    lines.push(line("Counted", format!("{:>8} readings", outcome.n)));
    lines.push(line(
        "Units received",
        format!("{} in mg/dL, {} in mmol/L", outcome.units.mg_dl, outcome.units.mmol_l),
    ));
    lines.push(line(
        "Beyond the sensor",
        format!("{} below, {} above; in their ranges", outcome.censored_low, outcome.censored_high),
    ));
    lines.push(line(
        "Long gaps",
        format!("{}, the longest {} minutes", outcome.gaps.long, outcome.gaps.longest_minutes),
    ));
    lines
}

#[cfg(test)]
#[path = "note_tests.rs"]
mod tests;
