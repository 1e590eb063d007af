//! The allow-lists: element paths (arrays have no index) and the shape of each value.

use serde_json::Value;

use super::Projection;
use crate::fhir::{
    codes::{CONCEPTS, EVENT, GRI_ZONES, OUTCOME_CODES},
    identifier::{DEVICE_SYSTEM, MANIFEST_SYSTEM, OUTCOME_SYSTEM, PSEUDONYM_SYSTEM, READING_SYSTEM},
    metric::{LOINC, Metric, PROFILE_BASE, RANGES},
    provenance::{
        ACCOUNT_URL, ACTIVITY_SYSTEM, AGENT_TYPE_SYSTEM, BOX_SYSTEM, MANIFEST_DISPLAY, MANIFEST_URL,
        POLICY_PREFIX, Reason,
    },
    quantity::{UCUM, UNITS},
    reading::{READING_CODES, READING_TITLE},
    report::{ATTACHMENT_BYTES_MOST, Form, PDF_PROFILE, REPORT_TITLE, SECTION_SYSTEM},
    summary::{ABSENT_SYSTEM, ABSENT_TEXTS, CATEGORY_SYSTEM},
};

mod words;

/// Longest text value, in bytes. The longest of ours is a Provenance's narrative, about 1 100.
const MAX_TEXT_BYTES: usize = 4_096;

/// The shape of a listed value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// Any text up to [`MAX_TEXT_BYTES`].
    Text,
    /// A number.
    Number,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A text that starts in one of these ways.
    Prefix(&'static [&'static str]),
    /// 64 lower-case hex digits.
    Hex64,
    /// `YYYY-MM-DD`.
    Date,
    /// A time of day in UTC after a date.
    Instant,
    /// A time of day with an offset after a date.
    DateTime,
    /// `policy <id>/<version>`, with no further word.
    PolicyOnly,
    /// `Isthmus policy <id>/<version>: ` and one of our sentences.
    Method,
    /// How a reading was re-expressed, or [`Rule::Method`].
    ReadingMethod,
    /// What `Resource.id` may be (FHIR, datatypes.html: 1 to 64 letters, digits, `-` and `.`).
    Id,
    /// A policy, a zone, a version of software or a hash.
    Statement,
    /// A name of one of our closed sets: small letters, digits and `-`.
    Code,
    /// The paragraph of a Provenance: words of ours, numbers, a zone and a policy.
    Narrative,
    /// True or false.
    Flag,
    /// Base64 of at most [`ATTACHMENT_BYTES_MOST`].
    Base64,
    /// A size in bytes: a number in R4, its digits in R5.
    Size,
}

impl Rule {
    pub(super) fn permits(self, value: &Value) -> bool {
        let text = match (self, value) {
            (Self::Number, value) => return value.is_number(),
            (Self::Flag, value) => return value.is_boolean(),
            (Self::Size, value) if value.is_number() => return true,
            (Self::Base64, Value::String(text)) => return is_base64(text),
            (_, Value::String(text)) if text.len() <= MAX_TEXT_BYTES => text.as_str(),
            _ => return false,
        };
        match self {
            Self::Text => true,
            Self::Number | Self::Flag | Self::Base64 => false,
            Self::Size => text.len() <= 10 && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()),
            Self::OneOf(listed) => listed.contains(&text),
            Self::Prefix(listed) => listed.iter().any(|prefix| text.starts_with(prefix)),
            Self::Hex64 => {
                text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            }
            Self::Date => {
                text.len() == 10
                    && text
                        .bytes()
                        .enumerate()
                        .all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() })
            }
            Self::DateTime => text.len() <= 35 && text.parse::<jiff::Timestamp>().is_ok(),
            Self::Instant => text.len() <= 30 && text.parse::<jiff::Timestamp>().is_ok(),
            Self::PolicyOnly => text.strip_prefix("policy ").is_some_and(words::is_policy),
            Self::Method => words::is_method(text),
            Self::ReadingMethod => words::is_method(text) || words::is_re_expression(text),
            Self::Id => {
                (1..=64).contains(&text.len())
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
            }
            Self::Statement => words::is_statement(text),
            Self::Code => {
                text.len() <= 40
                    && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            }
            Self::Narrative => words::is_narrative(text),
        }
    }
}

/// True for base64 with its padding, of bounded length.
fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    text.len() <= ATTACHMENT_BYTES_MOST.div_ceil(3) * 4
        && text.len().is_multiple_of(4)
        && text.len() - body.len() <= 2
        && body.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

/// The list of a projection for a resource type; `None` where the type may not leave at all.
pub(super) const fn rules(
    projection: Projection,
    resource_type: &str,
) -> Option<&'static [(&'static str, Rule)]> {
    match (projection, resource_type.as_bytes()) {
        (_, b"Bundle") => Some(BUNDLE),
        (Projection::CgmIg, b"Observation") => Some(OBSERVATION_CGM_IG),
        (Projection::UpstreamSummary, b"Observation") => Some(OBSERVATION_UPSTREAM),
        (Projection::CgmReadings, b"Observation") => Some(OBSERVATION_READINGS),
        (Projection::CgmIg, b"DiagnosticReport") => Some(DIAGNOSTIC_REPORT),
        (_, b"Provenance") => Some(PROVENANCE),
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
/// Why a version was made.
const REASONS: &[&str] = &[
    Reason::First.words(),
    Reason::LateData.words(),
    Reason::SourceCorrection.words(),
    Reason::PolicyChange.words(),
];
/// Why something is absent (FHIR, data-absent-reason).
const ABSENT_CODES: &[&str] = &["not-performed", "not-applicable", "not-a-number", "unknown"];
/// References to resources of ours, never to a person.
const OWN: &[&str] = &["urn:uuid:", "Observation/"];

/// The elements that every destination may get, then those of one.
macro_rules! observation {
    ($($own:expr),* $(,)?) => {
        &[
            ("Observation.resourceType", Rule::OneOf(&["Observation"])),
            ("Observation.id", Rule::Id),
            ("Observation.meta.profile", Rule::Prefix(&[PROFILE_BASE])),
            ("Observation.identifier.value", Rule::Hex64),
            ("Observation.category.coding.system", Rule::OneOf(&[CATEGORY_SYSTEM])),
            ("Observation.category.coding.code", Rule::OneOf(&["laboratory"])),
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
            ("Observation.status", Rule::OneOf(&["final", "amended", "corrected"])),
            ("Observation.code.coding.code", Rule::OneOf(METRIC_CODES)),
            ("Observation.code.text", Rule::OneOf(METRIC_TITLES)),
            ("Observation.effectivePeriod.start", Rule::Date),
            ("Observation.effectivePeriod.end", Rule::Date),
            ("Observation.hasMember.reference", Rule::Prefix(OWN)),
            ("Observation.derivedFrom.reference", Rule::Prefix(OWN)),
            $($own),*
        ]
    };
}

const OBSERVATION_CGM_IG: &[(&str, Rule)] = summary![
    ("Observation.subject.reference", Rule::Prefix(&["Patient/"])),
    ("Observation.subject.identifier.system", Rule::Text),
    ("Observation.subject.identifier.value", Rule::Text),
    ("Observation.dataAbsentReason.text", Rule::OneOf(ABSENT_TEXTS)),
    ("Observation.method.text", Rule::Method),
];

const OBSERVATION_UPSTREAM: &[(&str, Rule)] = summary![
    ("Observation.subject.identifier.system", Rule::OneOf(&[PSEUDONYM_SYSTEM])),
    ("Observation.subject.identifier.value", Rule::Hex64),
    ("Observation.method.text", Rule::PolicyOnly),
];

/// Codes and titles of what is no summary.
const SINGLE_CODES: &[&str] = &[READING_CODES[0], READING_CODES[1], EVENT.code];
const SINGLE_TITLES: &[&str] = &[READING_TITLE, EVENT.display];

const OBSERVATION_READINGS: &[(&str, Rule)] = observation![
    ("Observation.identifier.system", Rule::OneOf(&[READING_SYSTEM, OUTCOME_SYSTEM])),
    ("Observation.status", Rule::OneOf(&["final", "amended", "corrected", "entered-in-error"])),
    ("Observation.code.coding.code", Rule::OneOf(SINGLE_CODES)),
    ("Observation.code.text", Rule::OneOf(SINGLE_TITLES)),
    ("Observation.effectiveDateTime", Rule::DateTime),
    ("Observation.effectivePeriod.start", Rule::DateTime),
    ("Observation.effectivePeriod.end", Rule::DateTime),
    ("Observation.subject.reference", Rule::Prefix(&["Patient/"])),
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
    ("DiagnosticReport.status", Rule::OneOf(&["final", "amended", "corrected"])),
    ("DiagnosticReport.category.coding.system", Rule::OneOf(&[SECTION_SYSTEM])),
    ("DiagnosticReport.category.coding.code", Rule::OneOf(&["LAB"])),
    ("DiagnosticReport.code.coding.system", Rule::OneOf(&[LOINC])),
    ("DiagnosticReport.code.coding.code", Rule::OneOf(&[Metric::Summary.loinc()])),
    ("DiagnosticReport.code.text", Rule::OneOf(&[Metric::Summary.title()])),
    ("DiagnosticReport.subject.type", Rule::OneOf(&["Patient"])),
    ("DiagnosticReport.subject.reference", Rule::Prefix(&["Patient/"])),
    ("DiagnosticReport.subject.identifier.system", Rule::Text),
    ("DiagnosticReport.subject.identifier.value", Rule::Text),
    ("DiagnosticReport.effectivePeriod.start", Rule::Date),
    ("DiagnosticReport.effectivePeriod.end", Rule::Date),
    ("DiagnosticReport.result.reference", Rule::Prefix(OWN)),
    ("DiagnosticReport.presentedForm.contentType", Rule::OneOf(FORMS)),
    ("DiagnosticReport.presentedForm.data", Rule::Base64),
    ("DiagnosticReport.presentedForm.size", Rule::Size),
    ("DiagnosticReport.presentedForm.hash", Rule::Base64),
    ("DiagnosticReport.presentedForm.title", Rule::OneOf(&[REPORT_TITLE])),
];
/// What may be attached.
const FORMS: &[&str] = &[Form::Pdf.content_type(), Form::Html.content_type()];

const PROVENANCE: &[(&str, Rule)] = &[
    ("Provenance.resourceType", Rule::OneOf(&["Provenance"])),
    ("Provenance.text.status", Rule::OneOf(&["generated"])),
    ("Provenance.text.div", Rule::Narrative),
    ("Provenance.extension.url", Rule::OneOf(&[ACCOUNT_URL])),
    ("Provenance.extension.extension.url", Rule::Text),
    ("Provenance.extension.extension.valueString", Rule::Statement),
    ("Provenance.extension.extension.valueUnsignedInt", Rule::Number),
    ("Provenance.extension.extension.valueDecimal", Rule::Number),
    ("Provenance.extension.extension.valueIdentifier.system", Rule::OneOf(&[MANIFEST_SYSTEM])),
    ("Provenance.extension.extension.valueIdentifier.value", Rule::Hex64),
    ("Provenance.extension.extension.valueCode", Rule::Code),
    ("Provenance.extension.extension.extension.url", Rule::OneOf(ACCOUNT_PARTS)),
    ("Provenance.extension.extension.extension.valueCode", Rule::Code),
    ("Provenance.extension.extension.extension.valueInstant", Rule::Instant),
    ("Provenance.extension.extension.extension.valueIdentifier.system", Rule::OneOf(&[DEVICE_SYSTEM])),
    ("Provenance.extension.extension.extension.valueIdentifier.value", Rule::Hex64),
    ("Provenance.extension.extension.extension.valueUnsignedInt", Rule::Number),
    ("Provenance.target.reference", Rule::Prefix(OWN)),
    ("Provenance.recorded", Rule::Instant),
    ("Provenance.policy", Rule::Prefix(&[POLICY_PREFIX])),
    ("Provenance.reason.text", Rule::OneOf(REASONS)),
    // R5.
    ("Provenance.authorization.concept.text", Rule::OneOf(REASONS)),
    ("Provenance.activity.coding.system", Rule::OneOf(&[ACTIVITY_SYSTEM])),
    ("Provenance.activity.coding.code", Rule::OneOf(&["CREATE", "UPDATE"])),
    ("Provenance.agent.type.coding.system", Rule::OneOf(&[AGENT_TYPE_SYSTEM])),
    ("Provenance.agent.type.coding.code", Rule::OneOf(&["assembler"])),
    ("Provenance.agent.who.type", Rule::OneOf(&["Device"])),
    ("Provenance.agent.who.identifier.system", Rule::OneOf(&[BOX_SYSTEM])),
    ("Provenance.agent.who.identifier.value", Rule::Text),
    ("Provenance.agent.who.display", Rule::Prefix(&["Isthmus "])),
    ("Provenance.entity.extension.url", Rule::OneOf(&[MANIFEST_URL])),
    ("Provenance.entity.extension.extension.url", Rule::OneOf(&["count", "sha256"])),
    ("Provenance.entity.extension.extension.valueUnsignedInt", Rule::Number),
    ("Provenance.entity.extension.extension.valueString", Rule::Hex64),
    ("Provenance.entity.role", Rule::OneOf(&["source"])),
    ("Provenance.entity.what.identifier.system", Rule::OneOf(&[MANIFEST_SYSTEM])),
    ("Provenance.entity.what.identifier.value", Rule::Hex64),
    ("Provenance.entity.what.display", Rule::OneOf(&[MANIFEST_DISPLAY])),
];

/// What an exclusion, a kind of app events and a session are told by.
const ACCOUNT_PARTS: &[&str] = &["reason", "kind", "count", "device", "interval-minutes", "first", "last"];

const BUNDLE: &[(&str, Rule)] = &[
    ("Bundle.resourceType", Rule::OneOf(&["Bundle"])),
    ("Bundle.type", Rule::OneOf(&["transaction"])),
    ("Bundle.timestamp", Rule::Instant),
    ("Bundle.entry.fullUrl", Rule::Prefix(&["urn:uuid:", "https://", "http://"])),
    ("Bundle.entry.request.method", Rule::OneOf(&["POST", "PUT"])),
    ("Bundle.entry.request.url", Rule::Prefix(&["Observation", "Provenance", "DiagnosticReport"])),
    (
        "Bundle.entry.request.ifNoneExist",
        Rule::Prefix(&[
            "identifier=urn:isthmus:outcome|",
            "identifier=urn:isthmus:reading|",
            "entity:identifier=urn:isthmus:manifest|",
        ]),
    ),
    ("Bundle.entry.request.ifMatch", Rule::Text),
];
