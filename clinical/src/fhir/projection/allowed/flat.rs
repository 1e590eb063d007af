//! A row of a flowsheet and a flat result: one number or date, and no component, member or profile.

use super::{CATEGORIES, CATEGORY_SYSTEMS, PERFORMERS, Rule};
use crate::fhir::{form::UNIT_NAMES, identifier::OUTCOME_SYSTEM, quantity::UCUM, row::Row};

/// Their titles.
const TITLES: &[&str] = &{
    let mut titles = [""; Row::ALL.len()];
    let mut i = 0;
    while i < titles.len() {
        titles[i] = Row::ALL[i].title();
        i += 1;
    }
    titles
};

/// The elements of both, then those of one. Codes are the site's: `super::super::sealed` holds them to its map.
macro_rules! flat {
    ($($own:expr),* $(,)?) => {
        &[
            ("Observation.resourceType", Rule::OneOf(&["Observation"])),
            ("Observation.id", Rule::ServersId),
            ("Observation.identifier.system", Rule::OneOf(&[OUTCOME_SYSTEM])),
            ("Observation.identifier.value", Rule::Hex64),
            ("Observation.category.coding.system", Rule::OneOf(CATEGORY_SYSTEMS)),
            ("Observation.category.coding.code", Rule::OneOf(CATEGORIES)),
            ("Observation.code.coding.system", Rule::Site),
            ("Observation.code.coding.code", Rule::Site),
            ("Observation.code.text", Rule::OneOf(TITLES)),
            ("Observation.subject.type", Rule::OneOf(&["Patient"])),
            ("Observation.subject.reference", Rule::To(&["Patient"])),
            ("Observation.subject.identifier.system", Rule::Text),
            ("Observation.subject.identifier.value", Rule::Text),
            ("Observation.encounter.reference", Rule::To(&["Encounter"])),
            ("Observation.effectiveDateTime", Rule::DateTime),
            ("Observation.performer.reference", Rule::To(PERFORMERS)),
            ("Observation.valueQuantity.value", Rule::Number),
            ("Observation.valueQuantity.unit", Rule::OneOf(UNIT_NAMES)),
            ("Observation.valueQuantity.system", Rule::OneOf(&[UCUM])),
            ("Observation.valueQuantity.code", Rule::OneOf(&["mg/dL", "mmol/L", "%", "d"])),
            ("Observation.valueDateTime", Rule::Date),
            ("Observation.valueString", Rule::Date),
            ("Observation.note.text", Rule::Sentence),
            $($own),*
        ]
    };
}

pub(super) const FLOWSHEET: &[(&str, Rule)] = flat![("Observation.status", Rule::OneOf(&["final"]))];

pub(super) const LAB: &[(&str, Rule)] =
    flat![("Observation.status", Rule::OneOf(&["final", "amended", "corrected"]))];
