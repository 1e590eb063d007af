//! What is computed beyond the guide, as Observations under our own codes ([`super::codes`]).
//!
//! The input is a list of [`Figure`]s: a code and its amount, whatever computed it. The Observations that they become
//! hang on the panel: the guide's slicing of `hasMember` is open, so they are members beside its six; and what is
//! computed from the times in ranges alone says so by `derivedFrom`.
//!
//! Invariants: a figure stands once, in the order of the table and not of the list; numbers have two decimals, counts
//! and minutes none; a figure without a number is absent with a reason, and one that was not given is not written.

use serde_json::{Value, json};

use super::{
    codes::*,
    quantity::{QuantityUnit, quantity, shown},
    summary::{ABSENT_SYSTEM, MeanUnit},
};
use crate::{
    decimal::Decimal,
    events::{Event, EventKind},
    glucose::{Measured, Unit},
    outcome::Outcome,
};

/// How much of something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// Per cent, a score, an area, or glucose in mg/dL, by the code's [`Measure`]; unrounded.
    Number(f64),
    /// Glucose in mg/dL that is at most known to lie below this: the device gave its limit.
    Below(f64),
    /// Or above it.
    Above(f64),
    /// Minutes or events.
    Whole(u64),
    /// Zone of the GRI, 0 for A to 4 for E.
    Zone(u8),
    /// True or false.
    Flag(bool),
    /// It was asked for and cannot be said: too few readings.
    Absent,
}

/// One number under one of our codes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// A row of [`super::codes::CONCEPTS`].
    pub concept: Concept,
    /// How much.
    pub amount: Amount,
}

impl Figure {
    /// A number; `None` is absent.
    pub fn number(concept: Concept, value: impl Into<Option<f64>>) -> Self {
        Self { concept, amount: value.into().map_or(Amount::Absent, Amount::Number) }
    }

    /// Minutes or a count.
    pub const fn whole(concept: Concept, value: u64) -> Self {
        Self { concept, amount: Amount::Whole(value) }
    }
}

/// The figures of an outcome: all that has a code of ours but single events. What the policy has no range for is not
/// given; what takes more readings is absent.
pub fn figures(outcome: &Outcome) -> Vec<Figure> {
    let ranges = [MINUTES_VERY_LOW, MINUTES_LOW, MINUTES_TARGET, MINUTES_HIGH, MINUTES_VERY_HIGH];
    let minutes = ranges.into_iter().zip(outcome.minutes.as_array());
    let mut figures: Vec<Figure> =
        minutes.map(|(concept, minutes)| Figure::whole(concept, minutes)).collect();
    if let Some(gri) = outcome.gri {
        figures.extend([
            Figure::number(GRI, gri.value),
            Figure::number(GRI_HYPO, gri.hypo_component),
            Figure::number(GRI_HYPER, gri.hyper_component),
            Figure { concept: GRI_ZONE, amount: Amount::Zone(gri.zone as u8) },
        ]);
    }
    if let Some(titr) = outcome.titr {
        figures.extend([Figure::number(TITR, titr.pct), Figure::whole(TITR_MINUTES, titr.minutes)]);
    }
    let p = &outcome.percentiles_mg_dl;
    let percentiles =
        [(P5, p.p5), (P10, p.p10), (P25, p.p25), (P50, p.p50), (P75, p.p75), (P90, p.p90), (P95, p.p95)];
    figures.extend(percentiles.map(|(concept, value)| Figure::number(concept, value)));
    figures.extend([
        Figure::number(SD, outcome.sd_mg_dl),
        Figure::number(MODD, outcome.modd.map(|modd| modd.mean_mg_dl)),
        Figure::number(J_INDEX, outcome.j_index),
        Figure::number(LBGI, outcome.lbgi),
        Figure::number(HBGI, outcome.hbgi),
    ]);
    figures
        .extend(outcome.events.counts.iter().map(|(kind, count)| Figure::whole(concept_of(*kind), *count)));
    figures
}

/// The figures as text, rounded as they are shown: equal where they look the same.
#[must_use]
pub fn shown_text(figures: &[Figure]) -> String {
    let said = |amount| match amount {
        Amount::Number(value) => format!("{value:.2}"),
        Amount::Below(limit) => format!("<{limit:.2}"),
        Amount::Above(limit) => format!(">{limit:.2}"),
        Amount::Whole(count) => count.to_string(),
        Amount::Zone(zone) => zone.to_string(),
        Amount::Flag(flag) => flag.to_string(),
        Amount::Absent => "-".to_owned(),
    };
    figures.iter().map(|figure| format!("{}={}\n", figure.concept.code, said(figure.amount))).collect()
}

/// The code under which events of a kind are counted, and which says the kind of a single one.
pub(super) const fn concept_of(kind: EventKind) -> Concept {
    match kind {
        EventKind::HypoLevel1 => HYPO_LEVEL_1,
        EventKind::HypoLevel1Only => HYPO_LEVEL_1_ONLY,
        EventKind::HypoLevel2 => HYPO_LEVEL_2,
        EventKind::HypoExtended => HYPO_EXTENDED,
        EventKind::HyperLevel1 => HYPER_LEVEL_1,
        EventKind::HyperLevel1Only => HYPER_LEVEL_1_ONLY,
        EventKind::HyperLevel2 => HYPER_LEVEL_2,
        EventKind::HyperExtended => HYPER_EXTENDED,
    }
}

/// The figures of a single event, by the factor that its window was computed with.
pub(super) fn figures_of(event: &Event, glucose: &Glucose) -> Vec<Figure> {
    let flag = |concept, flag| Figure { concept, amount: Amount::Flag(flag) };
    vec![
        Figure::number(EVENT_MINUTES, event.duration_minutes),
        Figure::number(EVENT_MEASURED, event.measured_minutes),
        Figure { concept: EVENT_EXTREME, amount: glucose.amount(event.extreme) },
        Figure::number(EVENT_AREA, event.area_mg_dl_min),
        flag(EVENT_TRUNCATED, event.truncated),
        flag(EVENT_LOW_CONFIDENCE, event.low_confidence),
    ]
}

/// The Observations that `figures` make: each code with the value and components that it has.
pub(super) fn groups(figures: &[Figure], unit: &Glucose) -> Vec<(Concept, Body)> {
    let wholes = CONCEPTS.iter().filter(|whole| whole.part_of.is_none() && whole.code != EVENT.code);
    wholes.filter_map(|whole| Some((*whole, body(*whole, figures, unit)?))).collect()
}

/// The value and the components of one Observation; `None` where there is neither.
pub(super) fn body(whole: Concept, figures: &[Figure], unit: &Glucose) -> Option<Body> {
    let find = |concept: &Concept| figures.iter().find(|figure| figure.concept.code == concept.code);
    let value = find(&whole).map(|figure| element(figure, unit));
    let components: Vec<Value> = CONCEPTS
        .iter()
        .filter(|part| part.part_of == Some(whole.code))
        .filter_map(|part| Some((part, find(part)?)))
        .map(|(part, figure)| {
            let (name, value) = element(figure, unit);
            json!({ "code": code(part), name: value })
        })
        .collect();
    (value.is_some() || !components.is_empty()).then_some(Body { value, components })
}

/// What an Observation of ours says.
pub(super) struct Body {
    /// The element's name and the element.
    pub(super) value: Option<(&'static str, Value)>,
    pub(super) components: Vec<Value>,
}

/// The unit of glucose, and how it is reached from mg/dL.
pub(super) struct Glucose {
    pub(super) unit: MeanUnit,
    /// mg/dL per mmol/L.
    pub(super) factor: f64,
}

impl Glucose {
    /// By the factor that an outcome was computed with.
    pub(super) fn of(unit: MeanUnit, factor_e4: i64) -> Self {
        Self { unit, factor: factor_e4 as f64 / 10_000.0 }
    }

    /// What a value states, in mg/dL.
    fn amount(&self, value: crate::glucose::Glucose) -> Amount {
        let in_mg_dl = |stated: Decimal| match value.unit {
            Unit::MgDl => stated.to_f64(),
            Unit::MmolL => stated.to_f64() * self.factor,
        };
        match value.measured {
            Measured::Exact(stated) => Amount::Number(in_mg_dl(stated)),
            Measured::Below(limit) => Amount::Below(in_mg_dl(limit)),
            Measured::Above(limit) => Amount::Above(in_mg_dl(limit)),
        }
    }

    /// A quantity of two decimals; `None` for what is no number.
    pub(super) fn quantity(&self, mg_dl: f64) -> Option<Value> {
        match self.unit {
            MeanUnit::Mass => shown(mg_dl).map(|value| quantity(value, QuantityUnit::MgDl)),
            MeanUnit::Molar => shown(mg_dl / self.factor).map(|value| quantity(value, QuantityUnit::MmolL)),
        }
    }
}

impl Glucose {
    /// A quantity that the value is below or above.
    fn limit(&self, comparator: &str, mg_dl: f64) -> Option<Value> {
        let mut quantity = self.quantity(mg_dl)?;
        quantity["comparator"] = comparator.into();
        Some(quantity)
    }
}

/// `CodeableConcept` of a code of ours.
pub(super) fn code(concept: &Concept) -> Value {
    json!({ "coding": [{ "system": OUTCOME_CODES, "code": concept.code }], "text": concept.display })
}

/// True where a figure comes from the five shares and nothing else.
pub(super) fn from_ranges(concept: &Concept) -> bool {
    [GRI.code, RANGE_MINUTES.code].contains(&concept.code)
}

fn element(figure: &Figure, glucose: &Glucose) -> (&'static str, Value) {
    let (name, value) = match (figure.concept.measure, figure.amount) {
        (Measure::Glucose, Amount::Number(mg_dl)) => ("valueQuantity", glucose.quantity(mg_dl)),
        (Measure::Glucose, Amount::Below(limit)) => ("valueQuantity", glucose.limit("<", limit)),
        (Measure::Glucose, Amount::Above(limit)) => ("valueQuantity", glucose.limit(">", limit)),
        // Limits are of glucose alone.
        (_, Amount::Below(_) | Amount::Above(_)) => ("valueQuantity", None),
        (measure, Amount::Number(number)) => {
            let written = measure.unit().zip(shown(number)).map(|(unit, value)| quantity(value, unit));
            ("valueQuantity", written)
        }
        (measure, Amount::Whole(count)) => {
            let count = i64::try_from(count).ok().and_then(|count| Decimal::new(count, 0));
            let written = measure.unit().zip(count).map(|(unit, value)| quantity(value, unit));
            ("valueQuantity", written)
        }
        (_, Amount::Zone(zone)) => {
            let coded = GRI_ZONES.get(usize::from(zone)).map(|(code, display)| {
                json!({ "coding": [{ "system": OUTCOME_CODES, "code": code }], "text": display })
            });
            ("valueCodeableConcept", coded)
        }
        (_, Amount::Flag(flag)) => ("valueBoolean", Some(flag.into())),
        (_, Amount::Absent) => ("dataAbsentReason", Some(absent("not-applicable"))),
    };
    match value {
        Some(value) => (name, value),
        None => ("dataAbsentReason", absent("not-a-number")),
    }
}

/// `dataAbsentReason` of a code.
pub(super) fn absent(code: &str) -> Value {
    json!({ "coding": [{ "system": ABSENT_SYSTEM, "code": code }] })
}

#[cfg(test)]
#[path = "figures_tests.rs"]
mod tests;
