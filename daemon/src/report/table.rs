//! An outcome as a clinician reads it: header, time in ranges with goals, metrics, notes.
//!
//! Layout: [`WIDE`] columns put a goal beside its range, fewer put it below. Shares have two decimals and
//! sum to 100.00; hours and minutes are of a day of 24 hours and sum to 24:00; mean, GMI and CV have one
//! decimal: more would claim more than a sensor knows.

use std::fmt::Write as _;

use clinical::{
    decimal::Decimal,
    glucose::Unit,
    outcome::{Insufficiency, Outcome},
    policy::{Bound, Goal, Policy, Share, Threshold},
};

use super::{
    bar::{RANGES, apportion, bar},
    export::Export,
    notes::notes,
    paper::{Ink, Paper, printable},
    risk,
};

/// Columns from which on goals stand beside their ranges.
pub const WIDE: usize = 68;
const MINUTES_A_DAY: u64 = 1440;

/// The whole report of one export, ending in a line end.
#[must_use]
pub fn table(export: &Export, paper: Paper) -> String {
    let mut out = header(export, paper);
    out.push('\n');
    out.push_str(&ranges(export, paper));
    out.push('\n');
    out.push_str(&metrics(&export.outcome, export.policy, paper));
    out.push('\n');
    out.push_str(&paper.bold("Notes"));
    out.push('\n');
    for note in notes(export) {
        out.push_str(&paper.wrapped("  - ", &note));
    }
    out
}

fn header(export: &Export, paper: Paper) -> String {
    let outcome = &export.outcome;
    let period = &outcome.period;
    let name = export.recognized.format.title();
    let days = if period.days == 1 { "1 day".to_owned() } else { format!("{} days", period.days) };
    let policy = format!("{} ({})", export.policy.title, outcome.policy.id);
    let active = format!("{:.1} % of the period", outcome.active_window_pct);
    let mut out = format!("{}\n", paper.bold(&printable(&export.file)));
    for (head, text) in [
        ("  format   ", format!("{name}, recognized by {}", export.recognized.reason)),
        ("  period   ", format!("{} to {}, {days}", period.first_date, period.last_date)),
        ("  zone     ", format!("{} ({})", period.zone, export.zone_source)),
        ("  policy   ", policy),
        ("  active   ", active),
    ] {
        out.push_str(&paper.wrapped(head, &text));
    }
    out
}

/// Bar and rows, highest range first as on a profile page, with the two sums that goals are about.
fn ranges(export: &Export, paper: Paper) -> String {
    let (outcome, policy) = (&export.outcome, export.policy);
    let minutes = outcome.minutes.as_array();
    let unit = unit_shown(outcome);
    let labels = labels(policy, unit);
    let shown = Rows {
        hundredths: outcome.shown_shares().map(u64::from),
        a_day: apportion(minutes, MINUTES_A_DAY),
        minutes,
        policy,
        paper,
    };
    let mut out = format!("{}, {}, h:min a day\n", paper.bold("Time in ranges"), unit_name(unit));
    out.push_str(&bar(minutes, paper));
    out.push('\n');
    let one_above = policy.thresholds.very_high_above.is_none();
    if !one_above {
        out.push_str(&shown.row(&labels[4], 4..5, Some(Share::VeryHigh), false));
    }
    let high = if one_above { Some(Share::AboveTarget) } else { None };
    out.push_str(&shown.row(&labels[3], 3..4, high, false));
    if !one_above {
        out.push_str(&shown.row(&edge_label(policy, unit, true), 3..5, Some(Share::AboveTarget), true));
    }
    out.push_str(&shown.row(&labels[2], 2..3, Some(Share::InTarget), false));
    out.push_str(&shown.row(&edge_label(policy, unit, false), 0..2, Some(Share::BelowTarget), true));
    out.push_str(&shown.row(&labels[1], 1..2, None, false));
    out.push_str(&shown.row(&labels[0], 0..1, Some(Share::VeryLow), false));
    out
}

/// What the rows are made from.
struct Rows<'a> {
    hundredths: [u64; 5],
    a_day: [u64; 5],
    minutes: [u64; 5],
    policy: &'a Policy,
    paper: Paper,
}

impl Rows<'_> {
    /// The row of the ranges `of`; `sum` where they are more than one range together.
    fn row(&self, label: &str, of: std::ops::Range<usize>, share: Option<Share>, sum: bool) -> String {
        let total = |parts: &[u64; 5]| parts[of.clone()].iter().sum::<u64>();
        let (mark, name, ink) = RANGES[of.start];
        let (mark, name) = match (sum, of.start) {
            (false, _) => (self.paper.backed(ink, &mark.to_string()), name),
            (true, 0) => (" ".to_owned(), "all below"),
            (true, _) => (" ".to_owned(), "all above"),
        };
        let (hundredths, a_day) = (total(&self.hundredths), total(&self.a_day));
        let mut line = format!(
            "  {mark} {name:<9} {label:<9} {:>3}.{:02} % {:>2}:{:02}",
            hundredths / 100,
            hundredths % 100,
            a_day / 60,
            a_day % 60
        );
        let goal = share.and_then(|share| self.policy.goals.iter().find(|goal| goal.share == share));
        if let Some(goal) = goal {
            let below = if self.paper.width >= WIDE { "   " } else { "\n              " };
            let _ = write!(line, "{below}{}", self.goal(goal, total(&self.minutes)));
        }
        line + "\n"
    }

    /// The goal and whether it is met, decided on minutes and not on what is shown.
    fn goal(&self, goal: &Goal, minutes: u64) -> String {
        let (sign, pct) = match goal.bound.value {
            Bound::Above(pct) => ('>', pct),
            Bound::Below(pct) => ('<', pct),
        };
        let verdict = if met(goal.bound.value, minutes, self.minutes.iter().sum()) {
            "met".to_owned()
        } else {
            self.paper.backed(Ink::Red, "NOT MET")
        };
        format!("goal {sign} {pct} %: {verdict}")
    }
}

/// Whether `minutes` of `total` lie on the good side of the bound; the bound itself does not.
pub(super) fn met(bound: Bound, minutes: u64, total: u64) -> bool {
    let (share, total) = (u128::from(minutes) * 100, u128::from(total));
    match bound {
        Bound::Above(pct) => share > u128::from(pct) * total,
        Bound::Below(pct) => share < u128::from(pct) * total,
    }
}

/// The unit that most readings came in.
pub(crate) fn unit_shown(outcome: &Outcome) -> Unit {
    if outcome.units.mmol_l > outcome.units.mg_dl { Unit::MmolL } else { Unit::MgDl }
}

pub(super) const fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::MgDl => "mg/dL",
        Unit::MmolL => "mmol/L",
    }
}

pub(super) fn edge(threshold: &Threshold, unit: Unit) -> Decimal {
    match unit {
        Unit::MgDl => threshold.mg_dl,
        Unit::MmolL => threshold.mmol_l,
    }
}

/// `by` steps of the last decimal beyond an edge: 70 gives 69, 3.9 gives 3.8.
fn beside(edge: Decimal, by: i64) -> Decimal {
    Decimal::new(edge.digits() + by, edge.places()).unwrap_or(edge)
}

/// The bounds of the five ranges as sensors show values, ascending.
pub(super) fn labels(policy: &Policy, unit: Unit) -> [String; 5] {
    let t = &policy.thresholds;
    let (very_low, low) = (edge(&t.very_low_below.value, unit), edge(&t.low_below.value, unit));
    let high = edge(&t.high_above.value, unit);
    let very_high = t.very_high_above.as_ref().map(|sourced| edge(&sourced.value, unit));
    [
        format!("<{very_low}"),
        format!("{very_low}-{}", beside(low, -1)),
        format!("{low}-{high}"),
        very_high.map_or(format!(">{high}"), |top| format!("{}-{top}", beside(high, 1))),
        very_high.map_or(String::new(), |top| format!(">{top}")),
    ]
}

pub(super) fn edge_label(policy: &Policy, unit: Unit, above: bool) -> String {
    let t = &policy.thresholds;
    if above {
        format!(">{}", edge(&t.high_above.value, unit))
    } else {
        format!("<{}", edge(&t.low_below.value, unit))
    }
}

/// The box of metrics.
fn metrics(outcome: &Outcome, policy: &Policy, paper: Paper) -> String {
    let factor = outcome.policy.factor_e4 as f64 / 10_000.0;
    let gmi = match outcome.gmi_pct {
        Some(gmi) => format!("{gmi:.1} %"),
        None => format!("withheld: {}", withheld(outcome, policy)),
    };
    let rows = [
        ("mean", format!("{:.1} mg/dL ({:.1} mmol/L)", outcome.mean_mg_dl, outcome.mean_mg_dl / factor)),
        ("GMI", gmi),
        ("CV", variation(outcome, policy)),
        ("readings", outcome.n.to_string()),
        ("days of wear", format!("{} of {}", outcome.days_of_wear, outcome.period.days)),
        ("active", format!("{:.1} % of the period", outcome.active_window_pct)),
        ("", format!("{:.1} % from first to last reading", outcome.active_span_pct)),
    ];
    let rows = rows.into_iter().chain(risk::rows(outcome, policy));
    let inner = Paper { width: paper.width - 4, colour: false };
    let rule = format!("+{}+\n", "-".repeat(paper.width - 2));
    let mut out = rule.clone();
    for (name, text) in rows {
        for line in inner.wrapped(&format!("{name:<13}"), &text).lines() {
            let _ = writeln!(out, "| {line:<width$} |", width = inner.width);
        }
    }
    out + &rule
}

/// CV beside what counts as stable.
fn variation(outcome: &Outcome, policy: &Policy) -> String {
    match outcome.cv_pct.zip(stable(outcome, policy)) {
        Some((cv, met)) => format!("{cv:.1} %, stable up to {} %: {met}", policy.stable_cv_pct.value),
        None => "none: one reading".to_owned(),
    }
}

/// Whether CV is what the policy calls stable, the bound included, decided on what is not rounded; `None` without CV.
pub(super) fn stable(outcome: &Outcome, policy: &Policy) -> Option<&'static str> {
    let most = f64::from(policy.stable_cv_pct.value);
    outcome.cv_pct.map(|cv| if cv <= most { "met" } else { "NOT MET" })
}

/// Why GMI is withheld, with the policy's numbers.
pub(super) fn withheld(outcome: &Outcome, policy: &Policy) -> String {
    let needed = policy.sufficiency.value;
    let reasons = outcome.insufficient.iter().map(|reason| match reason {
        Insufficiency::TooFewDays => {
            format!("the period has {} of the {} days it takes", outcome.period.days, needed.days)
        }
        Insufficiency::TooLittleWear => {
            format!(
                "{:.1} % of the period has readings, it takes {} %",
                outcome.active_window_pct, needed.share_pct
            )
        }
    });
    reasons.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
