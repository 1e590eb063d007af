//! What each number is called, how it is made, and by which rules of the policy.

use clinical::{
    level::Classifier,
    outcome::Outcome,
    policy::{Policy, Sourced, Threshold},
    select::Counted,
};

use super::Rule;
use crate::report::{day::place, export::Export, table::withheld};

/// How a number is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formula {
    /// What the number says.
    pub title: String,
    /// Its unit; empty for a count or an index.
    pub unit: &'static str,
    /// The formula in words.
    pub general: String,
    /// The formula with the numbers of this outcome; why there is no number, where there is none.
    pub with_numbers: String,
    /// Where the formula is from.
    pub source: &'static str,
    /// The rules of the policy that decide it.
    pub rules: Vec<Rule>,
    /// The ranges (of five, ascending) whose readings it is about.
    ranges: std::ops::Range<usize>,
}

impl Formula {
    /// Whether a counted reading is one that the number is about.
    pub(super) fn counts(&self, export: &Export, counted: &Counted) -> bool {
        self.ranges == (0..5) || {
            let level = Classifier::new(export.policy).class(counted.reading.glucose).level;
            self.ranges.contains(&place(level))
        }
    }
}

/// All readings.
const ALL: std::ops::Range<usize> = 0..5;
const CONSENSUS: &str = "Battelino 2019 (Diabetes Care 42:1593)";
const KLONOFF: &str = "Klonoff 2023 (J Diabetes Sci Technol 17:1226)";
const ARITHMETIC: &str = "arithmetic; each reading weighs the minutes it covers, values beyond the sensor's limits enter one step beyond the limit";

/// The formula of the number that the object calls `name`.
pub(super) fn formula(export: &Export, name: &str) -> Formula {
    let (outcome, policy) = (&export.outcome, export.policy);
    shares(outcome, policy, name)
        .or_else(|| moments(outcome, policy, name))
        .or_else(|| coverage(outcome, policy, name))
        .unwrap_or_else(|| other(outcome, policy, name))
}

/// A share of time, and the minutes of a range.
fn shares(outcome: &Outcome, policy: &Policy, name: &str) -> Option<Formula> {
    let t = &policy.thresholds;
    let (low, high) = (&t.low_below, &t.high_above);
    let (title, ranges, edges): (_, _, Vec<(&str, &Sourced<Threshold>)>) = match name {
        "tbr54_pct" | "minutes_very_low" => ("time very low", 0..1, vec![("below", &t.very_low_below)]),
        "tbr70_pct" => ("time below the target, very low included", 0..2, vec![("below", low)]),
        "minutes_low" => {
            ("time low, very low not included", 1..2, vec![("from", &t.very_low_below), ("below", low)])
        }
        "tir_pct" | "minutes_target" => {
            ("time in the target, both ends included", 2..3, vec![("from", low), ("to", high)])
        }
        "tar180_pct" => ("time above the target, very high included", 3..5, vec![("above", high)]),
        "minutes_high" => {
            let top = t.very_high_above.as_ref().map(|top| ("to", top));
            ("time high, very high not included", 3..4, std::iter::once(("above", high)).chain(top).collect())
        }
        "tar250_pct" | "minutes_very_high" => {
            let top = t.very_high_above.as_ref().map(|top| ("above", top));
            ("time very high", 4..5, top.into_iter().collect())
        }
        _ => return None,
    };
    let minutes: u64 = outcome.minutes.as_array()[ranges.clone()].iter().sum();
    let total = outcome.minutes.total();
    let is_minutes = name.starts_with("minutes_");
    let with_numbers = match (edges.is_empty(), is_minutes) {
        (true, _) => "this policy has no such range".to_owned(),
        (false, true) => format!("{minutes} min"),
        (false, false) => {
            format!("100 x {minutes} min / {total} min = {}", 100.0 * minutes as f64 / total as f64)
        }
    };
    let general = if is_minutes {
        "the sum of the minutes that the readings of the range cover"
    } else {
        "100 x minutes of readings in the range / minutes of all readings that count"
    };
    Some(Formula {
        title: title.to_owned(),
        unit: if is_minutes { "min" } else { "%" },
        general: general.to_owned(),
        with_numbers,
        source: CONSENSUS,
        rules: edges.into_iter().map(|(side, edge)| edge_rule(side, edge)).collect(),
        ranges,
    })
}

fn edge_rule(side: &str, edge: &Sourced<Threshold>) -> Rule {
    let Threshold { mg_dl, mmol_l } = edge.value;
    Rule {
        rule: format!(
            "{side} {mg_dl} mg/dL, or {mmol_l} mmol/L where the reading is in mmol/L: never converted"
        ),
        source: edge.source.clone(),
    }
}

/// Mean and what follows from it.
fn moments(outcome: &Outcome, policy: &Policy, name: &str) -> Option<Formula> {
    let (n, mean) = (outcome.n, outcome.mean_mg_dl);
    let none = || "none: it takes two readings".to_owned();
    let (title, unit, general, with_numbers, source) = match name {
        "mean_mg_dl" => (
            "mean glucose",
            "mg/dL",
            "sum of value x minutes / sum of minutes",
            {
                let total = outcome.minutes.total();
                format!("{} mg/dL x min / {total} min = {mean}", mean * total as f64)
            },
            ARITHMETIC,
        ),
        "sd_mg_dl" => (
            "standard deviation",
            "mg/dL",
            "square root of: mean squared distance from the mean x n / (n - 1)",
            outcome.sd_mg_dl.map_or_else(none, |sd| {
                let squares = sd * sd * (n as f64 - 1.0) / n as f64;
                format!("square root of: {squares} x {n} / {} = {sd}", n - 1)
            }),
            ARITHMETIC,
        ),
        "cv_pct" => (
            "coefficient of variation",
            "%",
            "100 x standard deviation / mean",
            outcome
                .sd_mg_dl
                .zip(outcome.cv_pct)
                .map_or_else(none, |(sd, cv)| format!("100 x {sd} / {mean} = {cv}")),
            CONSENSUS,
        ),
        "gmi_pct" => (
            "glucose management indicator",
            "%",
            "3.31 + 0.02392 x mean in mg/dL, not rounded",
            match outcome.gmi_pct {
                Some(gmi) => format!("3.31 + 0.02392 x {mean} = {gmi}"),
                None => format!("withheld: {}", withheld(outcome, policy)),
            },
            "Bergenstal 2018 (Diabetes Care 41:2275)",
        ),
        _ => return None,
    };
    let mut rules = vec![Rule {
        rule: format!("{} mg/dL a mmol/L", policy.factor_e4.value as f64 / 10_000.0),
        source: policy.factor_e4.source.clone(),
    }];
    if name == "gmi_pct" {
        rules.push(sufficiency(policy));
    }
    let (title, general) = (title.to_owned(), general.to_owned());
    Some(Formula { title, unit, general, with_numbers, source, rules, ranges: ALL })
}

fn sufficiency(policy: &Policy) -> Rule {
    let needed = policy.sufficiency.value;
    Rule {
        rule: format!("at least {} days with readings for {} % of them", needed.days, needed.share_pct),
        source: policy.sufficiency.source.clone(),
    }
}

/// How much of the period has readings.
fn coverage(outcome: &Outcome, policy: &Policy, name: &str) -> Option<Formula> {
    let total = outcome.minutes.total();
    let window = (outcome.period.end.0 - outcome.period.start.0) / 60_000;
    let (title, unit, general, with_numbers) = match name {
        "n" => (
            "readings that count",
            "",
            "readings of the period less those left out",
            format!("{}", outcome.n),
        ),
        "days_of_wear" => (
            "days with a reading",
            "d",
            "local dates of the period with a reading that counts",
            format!("{} of {}", outcome.days_of_wear, outcome.period.days),
        ),
        "active_window_pct" => (
            "time with readings, of the period",
            "%",
            "100 x minutes of readings / minutes of the period, at most 100",
            format!("100 x {total} min / {window} min = {}", outcome.active_window_pct),
        ),
        "active_span_pct" => {
            // What stands over 100 per cent was cut, so the length is that of the share that is told.
            let span = (total as f64 * 100.0 / outcome.active_span_pct).round();
            (
                "time with readings, from the first to the end of the last",
                "%",
                "100 x minutes of readings / minutes from the first reading to the end of the last, at most 100",
                format!("100 x {total} min / {span} min = {}", outcome.active_span_pct),
            )
        }
        _ => return None,
    };
    let (title, general) = (title.to_owned(), general.to_owned());
    let rules = vec![sufficiency(policy)];
    Some(Formula { title, unit, general, with_numbers, source: CONSENSUS, rules, ranges: ALL })
}

/// Numbers with a formula that is only told, and counts.
fn other(outcome: &Outcome, policy: &Policy, name: &str) -> Formula {
    let starts = |with: &str| name.starts_with(with);
    let [very_low, low, _, high, very_high] = outcome.shares_pct();
    let (title, unit, general, with_numbers, source) = match name {
        "gri_hypo_component" => (
            "part of the glycemia risk index below the target",
            "",
            "very low + 0.8 x low, each in % of the time",
            format!("{very_low} + 0.8 x {low} = {}", very_low + 0.8 * low),
            KLONOFF,
        ),
        "gri_hyper_component" => (
            "part of the glycemia risk index above the target",
            "",
            "very high + 0.5 x high, each in % of the time",
            format!("{very_high} + 0.5 x {high} = {}", very_high + 0.5 * high),
            KLONOFF,
        ),
        _ if starts("gri") => (
            "glycemia risk index",
            "",
            "the lesser of 100 and 3.0 x very low + 2.4 x low + 1.6 x very high + 0.8 x high, each in % of the time",
            format!(
                "3.0 x {very_low} + 2.4 x {low} + 1.6 x {very_high} + 0.8 x {high} = {}",
                3.0 * very_low + 2.4 * low + 1.6 * very_high + 0.8 * high
            ),
            KLONOFF,
        ),
        _ if starts("lbgi") || starts("hbgi") => (
            "risk index of low (LBGI) or high (HBGI) glucose",
            "",
            "f = 1.509 x (ln(value)^1.084 - 5.381), r = 10 f^2; the mean over all readings of r where f is below (LBGI) or above (HBGI) 0",
            format!("a mean over {} readings", outcome.n),
            "Kovatchev 2006 (Diabetes Care 29:2433)",
        ),
        _ if starts("j_index") => {
            let sd = outcome.sd_mg_dl.unwrap_or_default();
            let mean = outcome.mean_mg_dl;
            (
                "J-index",
                "",
                "0.001 x (mean + SD)^2",
                format!("0.001 x ({mean} + {sd})^2 = {}", 0.001 * (mean + sd) * (mean + sd)),
                "unconfirmed: Wojcicki 1995",
            )
        }
        _ if starts("modd") => (
            "mean of daily differences",
            "mg/dL",
            "mean distance of readings 24 hours apart, matched pairs only",
            "see the JSON object for the pairs".to_owned(),
            "unconfirmed: Molnar 1972",
        ),
        _ if starts("titr") => (
            "time in tight range",
            if name.ends_with("_minutes") { "min" } else { "%" },
            "100 x minutes of readings in the tight range / minutes of all readings that count",
            format!("of {} min", outcome.minutes.total()),
            "unconfirmed: 70 to 140 mg/dL, both ends included",
        ),
        _ if starts("events") => (
            "number of events",
            "",
            "counted by the policy's rules of an event: its threshold, its least duration, its end and its gaps",
            "see the list of events in the JSON object".to_owned(),
            "the policy",
        ),
        _ if starts("percentiles") => (
            "percentile of glucose",
            "mg/dL",
            "type 7: the value at the place (n - 1) x p of the ascending values",
            format!("over {} readings", outcome.n),
            "Hyndman and Fan 1996",
        ),
        _ => (
            "a count or bound of the JSON object",
            "",
            "as its name says",
            "counted".to_owned(),
            "this program",
        ),
    };
    let rules = vec![Rule {
        rule: format!("a gap is long above {} min without a reading", policy.long_gap_minutes.value),
        source: policy.long_gap_minutes.source.clone(),
    }];
    let (title, general) = (title.to_owned(), general.to_owned());
    Formula { title, unit, general, with_numbers, source, rules, ranges: ALL }
}
