//! What is said about resources: the Provenance, and the Bundle of a transaction with its requests.

use super::{OWN, Rule};
use crate::fhir::{
    identifier::{DEVICE_SYSTEM, MANIFEST_SYSTEM},
    provenance::{
        ACCOUNT_URL, ACTIVITY_SYSTEM, AGENT_TYPE_SYSTEM, BOX_SYSTEM, MANIFEST_DISPLAY, MANIFEST_URL, Reason,
    },
};

/// Why a version was made.
const REASONS: &[&str] = &[
    Reason::First.words(),
    Reason::LateData.words(),
    Reason::SourceCorrection.words(),
    Reason::PolicyChange.words(),
];

pub(super) const PROVENANCE: &[(&str, Rule)] = &[
    ("Provenance.resourceType", Rule::OneOf(&["Provenance"])),
    ("Provenance.text.status", Rule::OneOf(&["generated"])),
    ("Provenance.text.div", Rule::Narrative),
    ("Provenance.extension.url", Rule::OneOf(&[ACCOUNT_URL])),
    ("Provenance.extension.extension.url", Rule::OneOf(ACCOUNTS)),
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
    ("Provenance.target.reference", Rule::Own(OWN)),
    ("Provenance.recorded", Rule::Instant),
    ("Provenance.policy", Rule::PolicyUri),
    ("Provenance.reason.text", Rule::OneOf(REASONS)),
    // R5.
    ("Provenance.authorization.concept.text", Rule::OneOf(REASONS)),
    ("Provenance.activity.coding.system", Rule::OneOf(&[ACTIVITY_SYSTEM])),
    ("Provenance.activity.coding.code", Rule::OneOf(&["CREATE", "UPDATE"])),
    ("Provenance.agent.type.coding.system", Rule::OneOf(&[AGENT_TYPE_SYSTEM])),
    ("Provenance.agent.type.coding.code", Rule::OneOf(&["assembler"])),
    ("Provenance.agent.who.type", Rule::OneOf(&["Device"])),
    ("Provenance.agent.who.identifier.system", Rule::OneOf(&[BOX_SYSTEM])),
    ("Provenance.agent.who.identifier.value", Rule::Code),
    ("Provenance.agent.who.display", Rule::Software),
    ("Provenance.entity.extension.url", Rule::OneOf(&[MANIFEST_URL])),
    ("Provenance.entity.extension.extension.url", Rule::OneOf(&["count", "sha256", "hmac-sha256"])),
    ("Provenance.entity.extension.extension.valueUnsignedInt", Rule::Number),
    ("Provenance.entity.extension.extension.valueString", Rule::Hex64),
    ("Provenance.entity.role", Rule::OneOf(&["source"])),
    ("Provenance.entity.what.identifier.system", Rule::OneOf(&[MANIFEST_SYSTEM])),
    ("Provenance.entity.what.identifier.value", Rule::Hex64),
    ("Provenance.entity.what.display", Rule::OneOf(&[MANIFEST_DISPLAY])),
];

/// What the account of an outcome is told by.
const ACCOUNTS: &[&str] = &[
    "policy",
    "zone",
    "version",
    "software",
    "readings-counted",
    "readings-mg-dl",
    "readings-mmol-l",
    "readings-re-expressed",
    "readings-censored-low",
    "readings-censored-high",
    "readings-low-level-unknown",
    "readings-time-ambiguous",
    "gaps-long",
    "gaps-longest-minutes",
    "conversion-factor",
    "excluded",
    "insufficient",
    "app-events",
    "device-sessions",
    "device-session",
    "supersedes",
];

/// What an exclusion, a kind of app events and a session are told by.
const ACCOUNT_PARTS: &[&str] = &["reason", "kind", "count", "device", "interval-minutes", "first", "last"];

pub(super) const BUNDLE: &[(&str, Rule)] = &[
    ("Bundle.resourceType", Rule::OneOf(&["Bundle"])),
    ("Bundle.type", Rule::OneOf(&["transaction"])),
    ("Bundle.timestamp", Rule::Instant),
    ("Bundle.entry.fullUrl", Rule::FullUrl),
    ("Bundle.entry.request.method", Rule::OneOf(&["POST", "PUT"])),
    ("Bundle.entry.request.url", Rule::Request(&["Observation", "Provenance", "DiagnosticReport"])),
    (
        "Bundle.entry.request.ifNoneExist",
        Rule::Token(&[
            "identifier=urn:isthmus:outcome|",
            "identifier=urn:isthmus:reading|",
            "entity:identifier=urn:isthmus:manifest|",
        ]),
    ),
    ("Bundle.entry.request.ifMatch", Rule::Tag),
];
