//! The allow-lists: element paths (arrays have no index) and the shape of each value.

use serde_json::Value;

use super::Projection;
use crate::fhir::{
    identifier::{MANIFEST_SYSTEM, OUTCOME_SYSTEM, PSEUDONYM_SYSTEM},
    metric::{LOINC, Metric, PROFILE_BASE, RANGES},
    provenance::{
        ACCOUNT_URL, ACTIVITY_SYSTEM, AGENT_TYPE_SYSTEM, BOX_SYSTEM, MANIFEST_DISPLAY, MANIFEST_URL,
        POLICY_PREFIX, Reason,
    },
    quantity::UCUM,
    summary::{ABSENT_SYSTEM, CATEGORY_SYSTEM},
};

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
    /// `policy <id>`, with no further word.
    PolicyOnly,
}

impl Rule {
    pub(super) fn permits(self, value: &Value) -> bool {
        let text = match (self, value) {
            (Self::Number, value) => return value.is_number(),
            (_, Value::String(text)) if text.len() <= MAX_TEXT_BYTES => text.as_str(),
            _ => return false,
        };
        match self {
            Self::Text => true,
            Self::Number => false,
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
            Self::Instant => text.len() <= 30 && text.parse::<jiff::Timestamp>().is_ok(),
            Self::PolicyOnly => text
                .strip_prefix("policy ")
                .is_some_and(|id| !id.is_empty() && !id.contains(char::is_whitespace)),
        }
    }
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
        (_, b"Provenance") => Some(PROVENANCE),
        _ => None,
    }
}

/// LOINC codes of the panel and its members.
const METRIC_CODES: &[&str] = &{
    let mut codes = [""; Metric::ALL.len()];
    let mut i = 0;
    while i < codes.len() {
        codes[i] = Metric::ALL[i].loinc();
        i += 1;
    }
    codes
};
/// Their titles.
const METRIC_TITLES: &[&str] = &{
    let mut titles = [""; Metric::ALL.len()];
    let mut i = 0;
    while i < titles.len() {
        titles[i] = Metric::ALL[i].title();
        i += 1;
    }
    titles
};
/// LOINC codes of the five ranges.
const RANGE_CODES: &[&str] = &[RANGES[0].0, RANGES[1].0, RANGES[2].0, RANGES[3].0, RANGES[4].0];
/// Their titles.
const RANGE_TITLES: &[&str] = &[RANGES[0].1, RANGES[1].1, RANGES[2].1, RANGES[3].1, RANGES[4].1];
/// Why a version was made.
const REASONS: &[&str] = &[
    Reason::First.words(),
    Reason::LateData.words(),
    Reason::SourceCorrection.words(),
    Reason::PolicyChange.words(),
];
/// References to resources of ours, never to a person.
const OWN: &[&str] = &["urn:uuid:", "Observation/"];
const UNIT_TEXTS: &[&str] = &["mg/dl", "mmol/l", "days", "%"];
const UNIT_CODES: &[&str] = &["mg/dL", "mmol/L", "d", "%"];

/// The elements that every destination may get, then those of one.
macro_rules! observation {
    ($($own:expr),* $(,)?) => {
        &[
            ("Observation.resourceType", Rule::OneOf(&["Observation"])),
            ("Observation.id", Rule::Text),
            ("Observation.meta.profile", Rule::Prefix(&[PROFILE_BASE])),
            ("Observation.identifier.system", Rule::OneOf(&[OUTCOME_SYSTEM])),
            ("Observation.identifier.value", Rule::Hex64),
            ("Observation.status", Rule::OneOf(&["final", "amended", "corrected"])),
            ("Observation.category.coding.system", Rule::OneOf(&[CATEGORY_SYSTEM])),
            ("Observation.category.coding.code", Rule::OneOf(&["laboratory"])),
            ("Observation.code.coding.system", Rule::OneOf(&[LOINC])),
            ("Observation.code.coding.code", Rule::OneOf(METRIC_CODES)),
            ("Observation.code.text", Rule::OneOf(METRIC_TITLES)),
            ("Observation.subject.type", Rule::OneOf(&["Patient"])),
            ("Observation.effectivePeriod.start", Rule::Date),
            ("Observation.effectivePeriod.end", Rule::Date),
            ("Observation.valueQuantity.value", Rule::Number),
            ("Observation.valueQuantity.unit", Rule::OneOf(UNIT_TEXTS)),
            ("Observation.valueQuantity.system", Rule::OneOf(&[UCUM])),
            ("Observation.valueQuantity.code", Rule::OneOf(UNIT_CODES)),
            ("Observation.component.code.coding.system", Rule::OneOf(&[LOINC])),
            ("Observation.component.code.coding.code", Rule::OneOf(RANGE_CODES)),
            ("Observation.component.code.text", Rule::OneOf(RANGE_TITLES)),
            ("Observation.component.valueQuantity.value", Rule::Number),
            ("Observation.component.valueQuantity.unit", Rule::OneOf(&["%"])),
            ("Observation.component.valueQuantity.system", Rule::OneOf(&[UCUM])),
            ("Observation.component.valueQuantity.code", Rule::OneOf(&["%"])),
            ("Observation.dataAbsentReason.coding.system", Rule::OneOf(&[ABSENT_SYSTEM])),
            ("Observation.dataAbsentReason.coding.code", Rule::Text),
            ("Observation.hasMember.reference", Rule::Prefix(OWN)),
            $($own),*
        ]
    };
}

const OBSERVATION_CGM_IG: &[(&str, Rule)] = observation![
    ("Observation.subject.reference", Rule::Prefix(&["Patient/"])),
    ("Observation.subject.identifier.system", Rule::Text),
    ("Observation.subject.identifier.value", Rule::Text),
    ("Observation.dataAbsentReason.text", Rule::Text),
    ("Observation.method.text", Rule::Prefix(&["Isthmus policy "])),
];

const OBSERVATION_UPSTREAM: &[(&str, Rule)] = observation![
    ("Observation.subject.identifier.system", Rule::OneOf(&[PSEUDONYM_SYSTEM])),
    ("Observation.subject.identifier.value", Rule::Hex64),
    ("Observation.method.text", Rule::PolicyOnly),
];

const PROVENANCE: &[(&str, Rule)] = &[
    ("Provenance.resourceType", Rule::OneOf(&["Provenance"])),
    ("Provenance.text.status", Rule::OneOf(&["generated"])),
    (
        "Provenance.text.div",
        Rule::Prefix(&["<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>CGM outcome of "]),
    ),
    ("Provenance.extension.url", Rule::OneOf(&[ACCOUNT_URL])),
    ("Provenance.extension.extension.url", Rule::Text),
    ("Provenance.extension.extension.valueString", Rule::Text),
    ("Provenance.extension.extension.valueUnsignedInt", Rule::Number),
    ("Provenance.extension.extension.valueDecimal", Rule::Number),
    ("Provenance.extension.extension.valueIdentifier.system", Rule::OneOf(&[MANIFEST_SYSTEM])),
    ("Provenance.extension.extension.valueIdentifier.value", Rule::Hex64),
    ("Provenance.extension.extension.extension.url", Rule::OneOf(&["reason", "count"])),
    ("Provenance.extension.extension.extension.valueCode", Rule::Text),
    ("Provenance.extension.extension.extension.valueUnsignedInt", Rule::Number),
    ("Provenance.target.reference", Rule::Prefix(OWN)),
    ("Provenance.recorded", Rule::Instant),
    ("Provenance.policy", Rule::Prefix(&[POLICY_PREFIX])),
    ("Provenance.reason.text", Rule::OneOf(REASONS)),
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
    ("Provenance.entity.extension.extension.valueString", Rule::Text),
    ("Provenance.entity.role", Rule::OneOf(&["source"])),
    ("Provenance.entity.what.identifier.system", Rule::OneOf(&[MANIFEST_SYSTEM])),
    ("Provenance.entity.what.identifier.value", Rule::Hex64),
    ("Provenance.entity.what.display", Rule::OneOf(&[MANIFEST_DISPLAY])),
];

const BUNDLE: &[(&str, Rule)] = &[
    ("Bundle.resourceType", Rule::OneOf(&["Bundle"])),
    ("Bundle.type", Rule::OneOf(&["transaction"])),
    ("Bundle.entry.fullUrl", Rule::Prefix(&["urn:uuid:", "https://", "http://"])),
    ("Bundle.entry.request.method", Rule::OneOf(&["POST", "PUT"])),
    ("Bundle.entry.request.url", Rule::Prefix(&["Observation", "Provenance"])),
    (
        "Bundle.entry.request.ifNoneExist",
        Rule::Prefix(&["identifier=urn:isthmus:outcome|", "entity:identifier=urn:isthmus:manifest|"]),
    ),
    ("Bundle.entry.request.ifMatch", Rule::Text),
];
