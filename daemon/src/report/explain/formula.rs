//! What each number is called, how it is made, and by which rules of the policy.

mod risk;

use std::ops::Range;

use clinical::{
    glucose::Glucose,
    level::Classifier,
    outcome::Outcome,
    policy::{Policy, Sourced, Threshold},
    reading::Instant,
    select::Counted,
    wall_clock::WallClock,
};

use super::Rule;
use crate::report::{day::place, export::Export, table::withheld};

/// Beginning of the names of the numbers of the nights alone.
const NIGHT: &str = "parts_night_";

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
    /// Whose readings it is about.
    about: About,
}

/// The readings behind a number.
#[derive(Clone, Debug, PartialEq, Eq)]
enum About {
    /// All that count.
    All,
    /// Those of some of the five ranges, ascending.
    Ranges(Range<usize>),
    /// Those of the tight range.
    Tight,
    /// Of those, the ones of the policy's night hours.
    Night(Box<Self>),
}

impl About {
    fn holds(&self, classifier: &Classifier, night: &Night, counted: &Counted) -> bool {
        let class = || classifier.class(counted.reading.glucose);
        match self {
            Self::All => true,
            Self::Ranges(ranges) => ranges.contains(&place(class().level)),
            Self::Tight => class().tight,
            Self::Night(inner) => {
                night.holds(counted.reading.time) && inner.holds(classifier, night, counted)
            }
        }
    }
}

/// The night hours of a policy by the clock on the wall.
pub(super) struct Night {
    clock: WallClock,
    minutes: Range<u32>,
}

impl Night {
    pub(super) fn of(export: &Export) -> Self {
        let night = export.policy.night.value;
        let minutes = night.from_hour * 60..night.to_hour * 60;
        Self { clock: WallClock::of(&export.outcome.period), minutes }
    }

    pub(super) fn holds(&self, at: Instant) -> bool {
        self.minutes.contains(&self.clock.shown(at).minute())
    }
}

impl Formula {
    /// The counted readings that the number is about.
    pub(super) fn members<'a>(&self, export: &'a Export) -> Vec<&'a Counted> {
        let (classifier, night) = (Classifier::new(export.policy), Night::of(export));
        let counted = export.selection.counted.iter();
        counted.filter(|counted| self.about.holds(&classifier, &night, counted)).collect()
    }
}

const CONSENSUS: &str = "Battelino 2019 (Diabetes Care 42:1593)";
const ARITHMETIC: &str = "arithmetic; each reading weighs the minutes it covers, values beyond the sensor's limits enter one step beyond the limit";

/// The formula of the number that the object calls `name`.
pub(super) fn formula(export: &Export, name: &str) -> Formula {
    if let Some(name) = name.strip_prefix(NIGHT) {
        return night(export, name.strip_prefix("metrics_").unwrap_or(name));
    }
    let (outcome, policy) = (&export.outcome, export.policy);
    shares(outcome, policy, name)
        .or_else(|| moments(export, name))
        .or_else(|| coverage(outcome, policy, name))
        .or_else(|| risk::formula(export, name))
        .unwrap_or_else(|| other(policy))
}

/// The formula of a number of the nights alone: that of the whole, over fewer readings.
fn night(export: &Export, name: &str) -> Formula {
    let mut formula = formula(export, name);
    formula.title.push_str(", nights alone");
    formula.with_numbers = "as for the whole period, over the readings of the night hours".to_owned();
    formula.rules.push(rule(export.policy, "night"));
    formula.about = About::Night(Box::new(formula.about));
    formula
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
        about: About::Ranges(ranges),
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
fn moments(export: &Export, name: &str) -> Option<Formula> {
    let (outcome, policy) = (&export.outcome, export.policy);
    let (n, mean, total) = (outcome.n, outcome.mean_mg_dl, outcome.minutes.total());
    let none = || "none: it takes two readings".to_owned();
    let (title, unit, general, with_numbers, source) = match name {
        "mean_mg_dl" => (
            "mean glucose",
            "mg/dL",
            "sum of value x minutes / sum of minutes",
            format!("{} mg/dL x min / {total} min = {mean}", over_minutes(export, |value| value)),
            ARITHMETIC,
        ),
        "sd_mg_dl" => (
            "standard deviation",
            "mg/dL",
            "square root of: sum of squared distance from the mean x minutes / sum of minutes x n / (n - 1)",
            outcome.sd_mg_dl.map_or_else(none, |sd| {
                let squares = over_minutes(export, |value| (value - mean) * (value - mean));
                format!("square root of: {squares} / {total} min x {n} / {} = {sd}", n - 1)
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
    Some(Formula { title, unit, general, with_numbers, source, rules, about: About::All })
}

/// The sum of what is made of each reading's value in mg/dL times the minutes that it covers: from the readings that
/// count, and not from what was computed of them.
fn over_minutes(export: &Export, made: impl Fn(f64) -> f64) -> f64 {
    let factor_e4 = export.outcome.policy.factor_e4;
    let scale = 10f64.powi(i32::from(Glucose::SUM_PLACES));
    let counted = export.selection.counted.iter();
    let of = |counted: &Counted| {
        made(counted.reading.glucose.mg_dl_scaled(factor_e4) as f64 / scale) * f64::from(counted.minutes)
    };
    counted.map(of).sum()
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
            let span = outcome.span_minutes;
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
    Some(Formula { title, unit, general, with_numbers, source: CONSENSUS, rules, about: About::All })
}

/// What has no formula but a name: counts and bounds.
fn other(policy: &Policy) -> Formula {
    Formula {
        title: "a count or bound of the JSON object".to_owned(),
        unit: "",
        general: "as its name says".to_owned(),
        with_numbers: "counted".to_owned(),
        source: "this program",
        rules: vec![rule(policy, "gaps.long")],
        about: About::All,
    }
}

/// A value of the policy under its name there.
fn rule(policy: &Policy, name: &str) -> Rule {
    let Some(entry) = policy.sheet().get(name) else {
        return Rule { rule: format!("{name}: none"), source: policy.mark().id };
    };
    let fields: Vec<String> =
        entry.fields.iter().map(|(field, value)| format!("{field} = {value}")).collect();
    Rule { rule: format!("{name}: {}", fields.join(", ")), source: entry.source.clone() }
}
