//! Our own codes, for what LOINC and the CGM guide have none: one table, and the CodeSystem made from it.
//!
//! Invariants: a code never changes its meaning; a change of meaning is a new code and a new
//! [`CODES_VERSION`]. Every code is written as an Observation of its own (`part_of` is `None`) or as a
//! component of one. A definition names its formula and its source, so that a reader in a chart needs nothing else.
//!
//! Sources: reference: cgm, section 1 (GRI Klonoff 2023, doi 10.1177/19322968221085273; LBGI, HBGI and their scale
//! Kovatchev 2006; J-index Wojcicki 1995; MODD Service 1980, unconfirmed; events Battelino 2023).

use serde_json::{Value, json};

use super::quantity::QuantityUnit;

/// The canonical URL of our CodeSystem.
pub const OUTCOME_CODES: &str = "urn:isthmus:CodeSystem:cgm-outcomes";
/// Version of the table.
pub const CODES_VERSION: &str = "1.0.0";

/// What a code's value is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// It has no value of its own: its components say it.
    Group,
    /// Per cent, 0 to 100.
    Percent,
    /// Minutes.
    Minutes,
    /// Glucose, given in mg/dL and written in the destination's unit.
    Glucose,
    /// A number of its own scale.
    Score,
    /// How many.
    Count,
    /// Glucose above or below a limit times time, mg/dL x min.
    Area,
    /// One of the five zones of the GRI.
    Zone,
    /// True or false.
    Flag,
}

impl Measure {
    /// The unit, where it is a number in one that no setting chooses.
    pub(super) const fn unit(self) -> Option<QuantityUnit> {
        match self {
            Self::Percent => Some(QuantityUnit::Percent),
            Self::Minutes => Some(QuantityUnit::Minutes),
            Self::Score => Some(QuantityUnit::Score),
            Self::Count => Some(QuantityUnit::Events),
            Self::Area => Some(QuantityUnit::MgDlMinutes),
            Self::Group | Self::Glucose | Self::Zone | Self::Flag => None,
        }
    }
}

/// One code of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concept {
    /// The code.
    pub code: &'static str,
    /// What people read beside it.
    pub display: &'static str,
    /// What it means, by formula.
    pub definition: &'static str,
    /// What its value is counted in.
    pub measure: Measure,
    /// The code of the Observation that it is a component of; `None` for an Observation of its own.
    pub part_of: Option<&'static str>,
}

/// The table: a constant for each code, and the list of all.
macro_rules! concepts {
    ($($name:ident: $code:literal, $measure:ident, $part_of:expr, $display:literal, $definition:literal;)*) => {
        $(
            #[doc = $display]
            pub const $name: Concept = Concept {
                code: $code,
                display: $display,
                definition: $definition,
                measure: Measure::$measure,
                part_of: $part_of,
            };
        )*
        /// All codes, each after what it is part of.
        pub const CONCEPTS: &[Concept] = &[$($name),*];
    };
}

concepts! {
    GRI: "gri", Score, None, "Glycemia risk index (GRI)",
        "min(100, 3.0 x share very low + 2.4 x share low + 1.6 x share very high + 0.8 x share high), shares in per cent of the time with readings.";
    GRI_HYPO: "gri-hypo", Percent, Some("gri"), "GRI hypoglycemia component",
        "Share very low + 0.8 x share low, in per cent; three times this is what low glucose adds to the GRI.";
    GRI_HYPER: "gri-hyper", Percent, Some("gri"), "GRI hyperglycemia component",
        "Share very high + 0.5 x share high, in per cent; 1.6 times this is what high glucose adds to the GRI.";
    GRI_ZONE: "gri-zone", Zone, Some("gri"), "GRI zone",
        "The fifth of the scale of the GRI: A up to 20, B up to 40, C up to 60, D up to 80, E above.";
    TITR: "titr", Percent, None, "Time in tight range (TITR)",
        "Share of the time with readings in the tight target (70 to 140 mg/dL or 3.9 to 7.8 mmol/L by the standard policy), both ends included.";
    TITR_MINUTES: "titr-minutes", Minutes, Some("titr"), "Minutes in tight range",
        "Minutes with glucose in the tight range.";
    RANGE_MINUTES: "range-minutes", Group, None, "Minutes in ranges",
        "The minutes that the shares of LOINC 106793-3 stand for, each reading weighing its sensor's interval.";
    MINUTES_VERY_LOW: "minutes-very-low", Minutes, Some("range-minutes"), "Minutes very low",
        "Minutes of LOINC 104642-4.";
    MINUTES_LOW: "minutes-low", Minutes, Some("range-minutes"), "Minutes low",
        "Minutes of LOINC 104641-6.";
    MINUTES_TARGET: "minutes-target", Minutes, Some("range-minutes"), "Minutes in target",
        "Minutes of LOINC 97510-2.";
    MINUTES_HIGH: "minutes-high", Minutes, Some("range-minutes"), "Minutes high",
        "Minutes of LOINC 104640-8.";
    MINUTES_VERY_HIGH: "minutes-very-high", Minutes, Some("range-minutes"), "Minutes very high",
        "Minutes of LOINC 104639-0.";
    VARIABILITY: "variability", Group, None, "Glucose variability",
        "Measures of how glucose varies within the period.";
    SD: "sd", Glucose, Some("variability"), "Standard deviation of glucose",
        "Standard deviation with n-1 over all counted readings.";
    MODD: "modd", Glucose, Some("variability"), "Mean of daily differences (MODD)",
        "Mean of the absolute difference between a reading and the one 24 hours earlier, over matched pairs only; each pair weighs the minutes of its later reading.";
    J_INDEX: "j-index", Score, Some("variability"), "J-index",
        "0.001 x (mean + standard deviation) squared, both in mg/dL.";
    LBGI: "lbgi", Score, Some("variability"), "Low blood glucose index (LBGI)",
        "Mean over all readings of 10 f squared where f is below 0 (0 elsewhere), f = 1.509 x (ln(glucose in mg/dL) to the power 1.084 - 5.381).";
    HBGI: "hbgi", Score, Some("variability"), "High blood glucose index (HBGI)",
        "Mean over all readings of 10 f squared where f is above 0 (0 elsewhere), f as for LBGI.";
    PERCENTILES: "percentiles", Group, None, "Glucose percentiles",
        "Percentiles of the counted readings of the period, by linear interpolation (type 7 of Hyndman and Fan).";
    P5: "p5", Glucose, Some("percentiles"), "5th percentile", "Glucose below which 5 % of the readings lie.";
    P10: "p10", Glucose, Some("percentiles"), "10th percentile", "Glucose below which 10 % of the readings lie.";
    P25: "p25", Glucose, Some("percentiles"), "25th percentile", "Glucose below which 25 % of the readings lie.";
    P50: "p50", Glucose, Some("percentiles"), "Median", "Glucose below which half of the readings lie.";
    P75: "p75", Glucose, Some("percentiles"), "75th percentile", "Glucose below which 75 % of the readings lie.";
    P90: "p90", Glucose, Some("percentiles"), "90th percentile", "Glucose below which 90 % of the readings lie.";
    P95: "p95", Glucose, Some("percentiles"), "95th percentile", "Glucose below which 95 % of the readings lie.";
    EVENT_COUNTS: "event-counts", Group, None, "Glucose events",
        "How often glucose left its range for at least 15 minutes; an event ends after at least 15 minutes back. A single reading, however long its interval, is not counted.";
    HYPO_LEVEL_1: "hypo-level-1", Count, Some("event-counts"), "Hypoglycemia events, level 1",
        "Events below the target (70 mg/dL or 3.9 mmol/L by the standard policy); those that reach level 2 are among them.";
    HYPO_LEVEL_1_ONLY: "hypo-level-1-only", Count, Some("event-counts"), "Hypoglycemia events, level 1 only",
        "Events of level 1 within which no event of level 2 lies.";
    HYPO_LEVEL_2: "hypo-level-2", Count, Some("event-counts"), "Hypoglycemia events, level 2",
        "Events in the very low range (below 54 mg/dL or 3.0 mmol/L by the standard policy).";
    HYPO_EXTENDED: "hypo-extended", Count, Some("event-counts"), "Extended hypoglycemia events",
        "Events below the target (70 mg/dL or 3.9 mmol/L by the standard policy) for more than 120 minutes.";
    HYPER_LEVEL_1: "hyper-level-1", Count, Some("event-counts"), "Hyperglycemia events, level 1",
        "Events above the target (180 mg/dL or 10.0 mmol/L by the standard policy); those that reach level 2 are among them.";
    HYPER_LEVEL_1_ONLY: "hyper-level-1-only", Count, Some("event-counts"), "Hyperglycemia events, level 1 only",
        "Events of level 1 within which no event of level 2 lies.";
    HYPER_LEVEL_2: "hyper-level-2", Count, Some("event-counts"), "Hyperglycemia events, level 2",
        "Events in the very high range (above 250 mg/dL or 13.9 mmol/L by the standard policy).";
    HYPER_EXTENDED: "hyper-extended", Count, Some("event-counts"), "Extended hyperglycemia events",
        "Events in the very high range (above 250 mg/dL or 13.9 mmol/L by the standard policy) for at least 90 of 120 minutes.";
    EVENT: "event", Group, None, "Glucose event",
        "One event, from its first reading out of range to the end of its last; its kind is a code of event-counts.";
    EVENT_MINUTES: "event-minutes", Minutes, Some("event"), "Duration of the event",
        "Minutes from start to end.";
    EVENT_MEASURED: "event-measured-minutes", Minutes, Some("event"), "Minutes past the limit",
        "Minutes with readings past the limit: what makes it an event.";
    EVENT_EXTREME: "event-extreme", Glucose, Some("event"), "Nadir or peak",
        "The lowest glucose of a hypoglycemia event, the highest of a hyperglycemia event.";
    EVENT_AREA: "event-area", Area, Some("event"), "Area beyond the limit",
        "The distance of glucose from the limit, in mg/dL, times the minutes.";
    EVENT_TRUNCATED: "event-truncated", Flag, Some("event"), "Truncated by a gap",
        "True where a long gap or an edge of the period cut the event, which may have lasted longer.";
    EVENT_LOW_CONFIDENCE: "event-low-confidence", Flag, Some("event"), "Low confidence",
        "True where a single reading is all there is, where a gap longer than a short one lies inside, or where clock times of a repeated hour could not be told apart.";
}

/// The five zones of the GRI, A to E: code and display.
pub const GRI_ZONES: [(&str, &str); 5] = [
    ("gri-zone-a", "GRI zone A (0 to 20)"),
    ("gri-zone-b", "GRI zone B (above 20 to 40)"),
    ("gri-zone-c", "GRI zone C (above 40 to 60)"),
    ("gri-zone-d", "GRI zone D (above 60 to 80)"),
    ("gri-zone-e", "GRI zone E (above 80)"),
];

impl Concept {
    /// The concept of a code; `None` for any other text.
    pub fn of(code: &str) -> Option<&'static Self> {
        CONCEPTS.iter().find(|concept| concept.code == code)
    }
}

/// The CodeSystem resource (R4 and R5 write it alike), with what each code is part of as its property.
pub fn code_system() -> Value {
    let concepts = CONCEPTS.iter().map(|concept| {
        let mut json = json!({
            "code": concept.code, "display": concept.display, "definition": concept.definition,
        });
        if let Some(whole) = concept.part_of {
            json["property"] = json!([{ "code": "part-of", "valueCode": whole }]);
        }
        json
    });
    let zones = GRI_ZONES.map(|(code, display)| {
        json!({
            "code": code, "display": display, "definition": format!("A value of gri-zone: {display}."),
            "property": [{ "code": "part-of", "valueCode": GRI_ZONE.code }],
        })
    });
    let concepts: Vec<Value> = concepts.chain(zones).collect();
    json!({
        "resourceType": "CodeSystem",
        "id": "isthmus-cgm-outcomes",
        "url": OUTCOME_CODES,
        "version": CODES_VERSION,
        "name": "IsthmusCgmOutcomes",
        "title": "Isthmus CGM outcomes",
        "status": "active",
        "experimental": false,
        "description": "What Isthmus computes from sensor glucose beyond the HL7 CGM guide, each with its formula. \
                        Glucose thresholds are those of the standard population; the policy named in an Observation's \
                        method has those that were in force.",
        "caseSensitive": true,
        "content": "complete",
        "count": concepts.len(),
        "property": [{
            "code": "part-of",
            "description": "The code of the Observation of which this is a component or a value",
            "type": "code",
        }],
        "concept": concepts,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_is_unique_defined_and_part_of_an_observation_that_comes_before_it() {
        let mut seen = BTreeSet::new();
        for concept in CONCEPTS {
            assert!(!concept.display.is_empty() && concept.definition.ends_with('.'), "{}", concept.code);
            if let Some(whole) = concept.part_of {
                assert!(seen.contains(whole), "{}", concept.code);
                assert_eq!(Concept::of(whole).unwrap().part_of, None, "{}", concept.code);
                assert_ne!(concept.measure, Measure::Group, "{}", concept.code);
            }
            assert!(seen.insert(concept.code), "{} is there twice", concept.code);
        }
        assert!(GRI_ZONES.iter().all(|(code, _)| seen.insert(code)));
        let code_system = code_system();
        assert_eq!(code_system["count"], seen.len());
        assert_eq!(code_system["concept"].as_array().unwrap().len(), seen.len());
    }
}
