//! The allow-lists: element paths (arrays have no index) and the shape of each value.

use super::Projection;
use crate::fhir::{
    codes::{CONCEPTS, EVENT, GRI_ZONES, OUTCOME_CODES},
    form::{Category, CategorySystem},
    identifier::{DEVICE_SYSTEM, OUTCOME_SYSTEM, PSEUDONYM_SYSTEM, READING_SYSTEM},
    metric::{LOINC, Metric, PROFILE_BASE, RANGES},
    quantity::{UCUM, UNITS},
    reading::{READING_CODES, READING_TITLE},
    report::{Form, PDF_PROFILE, REPORT_TITLE, SECTION_SYSTEM},
    summary::{ABSENT_CODES, ABSENT_SYSTEM, ABSENT_TEXTS},
};

mod about;
mod documents;
mod flat;
mod intent;
mod lines;
mod rule;
mod words;
pub(super) use rule::Rule;

/// The list of a projection for a resource type; `None` where the type may not leave at all.
pub(super) const fn rules(
    projection: Projection,
    resource_type: &str,
) -> Option<&'static [(&'static str, Rule)]> {
    match (projection, resource_type.as_bytes()) {
        // What travels one by one is in no Bundle, and messages have segments of their own (`crate::oru::sealed`).
        (Projection::CgmIg | Projection::UpstreamSummary | Projection::CgmReadings, b"Bundle") => {
            Some(about::BUNDLE)
        }
        (Projection::CgmIg, b"Observation") => Some(OBSERVATION_CGM_IG),
        (Projection::PlainR4 | Projection::PlainR5, b"Observation") => Some(OBSERVATION_PLAIN),
        (Projection::EpicFlowsheet, b"Observation") => Some(flat::FLOWSHEET),
        (Projection::MillenniumLab, b"Observation") => Some(flat::LAB),
        (Projection::EpicNote, b"DocumentReference") => Some(documents::EPIC),
        (Projection::MillenniumDocument, b"DocumentReference") => Some(documents::MILLENNIUM),
        (Projection::UpstreamSummary, b"Observation") => Some(OBSERVATION_UPSTREAM),
        (Projection::CgmReadings, b"Observation") => Some(OBSERVATION_READINGS),
        (Projection::CgmIg, b"DiagnosticReport") => Some(DIAGNOSTIC_REPORT),
        (Projection::Intent, b"DocumentReference") => Some(intent::DOCUMENT),
        (Projection::Intent, b"Goal") => Some(intent::GOAL),
        (Projection::Intent, b"Provenance") => Some(intent::PROVENANCE),
        (Projection::EpicFlowsheet | Projection::EpicNote | Projection::OruR01, b"Provenance") => None,
        (_, b"Provenance") => Some(about::PROVENANCE),
        _ => None,
    }
}

/// A number of texts: those of `$first` and, after them, those of `$second`.
macro_rules! joined {
    ($first:expr, |$a:ident| $of_first:expr, $second:expr, |$b:ident| $of_second:expr) => {
        &{
            let mut texts = [""; $first.len() + $second.len()];
            let mut i = 0;
            while i < texts.len() {
                texts[i] = if i < $first.len() {
                    let $a = $first[i];
                    $of_first
                } else {
                    let $b = $second[i - $first.len()];
                    $of_second
                };
                i += 1;
            }
            texts
        }
    };
}

/// Codes of the panel and its members, and ours.
const METRIC_CODES: &[&str] = joined!(Metric::ALL, |m| m.loinc(), CONCEPTS, |c| c.code);
/// Their titles.
const METRIC_TITLES: &[&str] = joined!(Metric::ALL, |m| m.title(), CONCEPTS, |c| c.display);
/// Codes of the five ranges, and ours.
const PART_CODES: &[&str] = joined!(RANGES, |r| r.0, CONCEPTS, |c| c.code);
/// Their titles.
const PART_TITLES: &[&str] = joined!(RANGES, |r| r.1, CONCEPTS, |c| c.display);
/// What a coded value may be: a zone, or the kind of an event.
const VALUE_CODES: &[&str] = joined!(GRI_ZONES, |z| z.0, CONCEPTS, |c| c.code);
/// Their titles.
const VALUE_TITLES: &[&str] = joined!(GRI_ZONES, |z| z.1, CONCEPTS, |c| c.display);
/// Codes and texts of the units.
const UNIT_CODES: &[&str] = joined!(UNITS, |u| u.code_and_text().0, [""; 0], |n| n);
const UNIT_TEXTS: &[&str] = joined!(UNITS, |u| u.code_and_text().1, [""; 0], |n| n);
/// Types of ours that another resource of ours refers to.
const OWN: &[&str] = &["Observation", "DiagnosticReport", "DocumentReference"];
/// Who may be named beside the patient: those of the form (`super::sealed`).
const PERFORMERS: &[&str] = &["Practitioner", "PractitionerRole", "Organization"];
/// Categories and their systems.
const CATEGORIES: &[&str] = joined!(Category::ALL, |c| c.code(), [""; 0], |n| n);
const CATEGORY_SYSTEMS: &[&str] = joined!(CategorySystem::ALL, |s| s.uri(), [""; 0], |n| n);

/// The elements that every destination may get, then those of one.
macro_rules! observation {
    ($($own:expr),* $(,)?) => {
        &[
            ("Observation.resourceType", Rule::OneOf(&["Observation"])),
            ("Observation.id", Rule::Id),
            ("Observation.identifier.value", Rule::Hex64),
            ("Observation.category.coding.system", Rule::OneOf(CATEGORY_SYSTEMS)),
            ("Observation.category.coding.code", Rule::OneOf(CATEGORIES)),
            ("Observation.code.coding.system", Rule::OneOf(&[LOINC, OUTCOME_CODES])),
            ("Observation.subject.type", Rule::OneOf(&["Patient"])),
            ("Observation.valueQuantity.value", Rule::Number),
            ("Observation.valueQuantity.unit", Rule::OneOf(UNIT_TEXTS)),
            ("Observation.valueQuantity.system", Rule::OneOf(&[UCUM])),
            ("Observation.valueQuantity.code", Rule::OneOf(UNIT_CODES)),
            ("Observation.component.code.coding.system", Rule::OneOf(&[LOINC, OUTCOME_CODES])),
            ("Observation.component.code.coding.code", Rule::OneOf(PART_CODES)),
            ("Observation.component.code.text", Rule::OneOf(PART_TITLES)),
            ("Observation.component.valueQuantity.value", Rule::Number),
            ("Observation.component.valueQuantity.unit", Rule::OneOf(UNIT_TEXTS)),
            ("Observation.component.valueQuantity.system", Rule::OneOf(&[UCUM])),
            ("Observation.component.valueQuantity.code", Rule::OneOf(UNIT_CODES)),
            ("Observation.component.valueCodeableConcept.coding.system", Rule::OneOf(&[OUTCOME_CODES])),
            ("Observation.component.valueCodeableConcept.coding.code", Rule::OneOf(VALUE_CODES)),
            ("Observation.component.valueCodeableConcept.text", Rule::OneOf(VALUE_TITLES)),
            ("Observation.component.valueBoolean", Rule::Flag),
            ("Observation.component.dataAbsentReason.coding.system", Rule::OneOf(&[ABSENT_SYSTEM])),
            ("Observation.component.dataAbsentReason.coding.code", Rule::OneOf(ABSENT_CODES)),
            ("Observation.dataAbsentReason.coding.system", Rule::OneOf(&[ABSENT_SYSTEM])),
            ("Observation.dataAbsentReason.coding.code", Rule::OneOf(ABSENT_CODES)),
            $($own),*
        ]
    };
}

/// The elements of a summary, then those of one.
macro_rules! summary {
    ($($own:expr),* $(,)?) => {
        observation![
            ("Observation.identifier.system", Rule::OneOf(&[OUTCOME_SYSTEM])),
            ("Observation.status", Rule::OneOf(&["final", "amended", "corrected", "entered-in-error"])),
            ("Observation.code.coding.code", Rule::OneOf(METRIC_CODES)),
            ("Observation.code.text", Rule::OneOf(METRIC_TITLES)),
            ("Observation.effectivePeriod.start", Rule::Date),
            ("Observation.effectivePeriod.end", Rule::Date),
            ("Observation.hasMember.reference", Rule::Own(OWN)),
            ("Observation.derivedFrom.reference", Rule::Own(OWN)),
            $($own),*
        ]
    };
}

/// The elements of a summary at an EHR, then those of one.
macro_rules! known {
    ($($own:expr),* $(,)?) => {
        summary![
            ("Observation.subject.reference", Rule::To(&["Patient"])),
            ("Observation.subject.identifier.system", Rule::Text),
            ("Observation.subject.identifier.value", Rule::Text),
            ("Observation.encounter.reference", Rule::To(&["Encounter"])),
            ("Observation.performer.reference", Rule::To(PERFORMERS)),
            ("Observation.dataAbsentReason.text", Rule::OneOf(ABSENT_TEXTS)),
            ("Observation.method.text", Rule::Method),
            $($own),*
        ]
    };
}

const OBSERVATION_CGM_IG: &[(&str, Rule)] = known![("Observation.meta.profile", Rule::Profile(PROFILE_BASE))];

const OBSERVATION_PLAIN: &[(&str, Rule)] = known![("Observation.effectiveDateTime", Rule::DateTime)];

const OBSERVATION_UPSTREAM: &[(&str, Rule)] = summary![
    ("Observation.meta.profile", Rule::Profile(PROFILE_BASE)),
    ("Observation.effectiveDateTime", Rule::Month),
    ("Observation.subject.identifier.system", Rule::OneOf(&[PSEUDONYM_SYSTEM])),
    ("Observation.subject.identifier.value", Rule::Hex64),
    ("Observation.method.text", Rule::PolicyOnly),
];

/// Codes and titles of what is no summary.
const SINGLE_CODES: &[&str] = &[READING_CODES[0], READING_CODES[1], EVENT.code];
const SINGLE_TITLES: &[&str] = &[READING_TITLE, EVENT.display];

const OBSERVATION_READINGS: &[(&str, Rule)] = observation![
    ("Observation.meta.profile", Rule::Profile(PROFILE_BASE)),
    ("Observation.identifier.system", Rule::OneOf(&[READING_SYSTEM, OUTCOME_SYSTEM])),
    ("Observation.status", Rule::OneOf(&["final", "amended", "corrected", "entered-in-error"])),
    ("Observation.code.coding.code", Rule::OneOf(SINGLE_CODES)),
    ("Observation.code.text", Rule::OneOf(SINGLE_TITLES)),
    ("Observation.effectiveDateTime", Rule::DateTime),
    ("Observation.effectivePeriod.start", Rule::DateTime),
    ("Observation.effectivePeriod.end", Rule::DateTime),
    ("Observation.subject.reference", Rule::To(&["Patient"])),
    ("Observation.subject.identifier.system", Rule::Text),
    ("Observation.subject.identifier.value", Rule::Text),
    ("Observation.valueQuantity.comparator", Rule::OneOf(&["<", ">"])),
    ("Observation.component.valueQuantity.comparator", Rule::OneOf(&["<", ">"])),
    ("Observation.valueCodeableConcept.coding.system", Rule::OneOf(&[OUTCOME_CODES])),
    ("Observation.valueCodeableConcept.coding.code", Rule::OneOf(VALUE_CODES)),
    ("Observation.valueCodeableConcept.text", Rule::OneOf(VALUE_TITLES)),
    ("Observation.device.type", Rule::OneOf(&["Device"])),
    ("Observation.device.identifier.system", Rule::OneOf(&[DEVICE_SYSTEM])),
    ("Observation.device.identifier.value", Rule::Hex64),
    ("Observation.method.text", Rule::ReadingMethod),
];

const DIAGNOSTIC_REPORT: &[(&str, Rule)] = &[
    ("DiagnosticReport.resourceType", Rule::OneOf(&["DiagnosticReport"])),
    ("DiagnosticReport.id", Rule::Id),
    ("DiagnosticReport.meta.profile", Rule::OneOf(&[PDF_PROFILE])),
    ("DiagnosticReport.identifier.system", Rule::OneOf(&[OUTCOME_SYSTEM])),
    ("DiagnosticReport.identifier.value", Rule::Hex64),
    ("DiagnosticReport.status", Rule::OneOf(&["final", "amended", "corrected", "entered-in-error"])),
    ("DiagnosticReport.category.coding.system", Rule::OneOf(&[SECTION_SYSTEM])),
    ("DiagnosticReport.category.coding.code", Rule::OneOf(&["LAB"])),
    ("DiagnosticReport.code.coding.system", Rule::OneOf(&[LOINC])),
    ("DiagnosticReport.code.coding.code", Rule::OneOf(&[Metric::Summary.loinc()])),
    ("DiagnosticReport.code.text", Rule::OneOf(&[Metric::Summary.title()])),
    ("DiagnosticReport.subject.type", Rule::OneOf(&["Patient"])),
    ("DiagnosticReport.subject.reference", Rule::To(&["Patient"])),
    ("DiagnosticReport.subject.identifier.system", Rule::Text),
    ("DiagnosticReport.subject.identifier.value", Rule::Text),
    ("DiagnosticReport.encounter.reference", Rule::To(&["Encounter"])),
    ("DiagnosticReport.effectivePeriod.start", Rule::Date),
    ("DiagnosticReport.effectivePeriod.end", Rule::Date),
    ("DiagnosticReport.result.reference", Rule::Own(OWN)),
    ("DiagnosticReport.presentedForm.contentType", Rule::OneOf(FORMS)),
    ("DiagnosticReport.presentedForm.data", Rule::Base64),
    ("DiagnosticReport.presentedForm.size", Rule::Size),
    ("DiagnosticReport.presentedForm.hash", Rule::Base64),
    ("DiagnosticReport.presentedForm.title", Rule::OneOf(&[REPORT_TITLE])),
];
/// What may be attached.
const FORMS: &[&str] = &[Form::Pdf.content_type(), Form::Html.content_type()];
