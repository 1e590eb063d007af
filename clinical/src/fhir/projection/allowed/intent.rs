//! What a person entered. The only free words of all lists stand here: a note's text, and names as they were given.

use super::{PERFORMERS, Rule};
use crate::fhir::{
    identifier::INTENT_SYSTEM,
    intent::{ENTITY_DISPLAY, TITLE},
    metric::LOINC,
    project::{NOTE_CATEGORY, NOTE_CATEGORY_SYSTEM},
    provenance::{ACTIVITY_SYSTEM, AGENT_TYPE_SYSTEM, BOX_SYSTEM},
    quantity::UCUM,
};

pub(super) const DOCUMENT: &[(&str, Rule)] = &[
    ("DocumentReference.resourceType", Rule::OneOf(&["DocumentReference"])),
    ("DocumentReference.id", Rule::ServersId),
    ("DocumentReference.identifier.system", Rule::OneOf(&[INTENT_SYSTEM])),
    ("DocumentReference.identifier.value", Rule::Hex64),
    ("DocumentReference.status", Rule::OneOf(&["current"])),
    ("DocumentReference.docStatus", Rule::OneOf(&["preliminary", "final"])),
    ("DocumentReference.type.coding.system", Rule::Site),
    ("DocumentReference.type.coding.code", Rule::Site),
    ("DocumentReference.type.text", Rule::OneOf(&[TITLE])),
    ("DocumentReference.category.coding.system", Rule::OneOf(&[NOTE_CATEGORY_SYSTEM])),
    ("DocumentReference.category.coding.code", Rule::OneOf(&[NOTE_CATEGORY])),
    ("DocumentReference.subject.type", Rule::OneOf(&["Patient"])),
    ("DocumentReference.subject.reference", Rule::To(&["Patient"])),
    ("DocumentReference.subject.identifier.system", Rule::Text),
    ("DocumentReference.subject.identifier.value", Rule::Text),
    ("DocumentReference.date", Rule::Instant),
    ("DocumentReference.author.reference", Rule::To(PERFORMERS)),
    ("DocumentReference.description", Rule::OneOf(&[TITLE])),
    ("DocumentReference.content.attachment.contentType", Rule::OneOf(&["text/plain"])),
    ("DocumentReference.content.attachment.data", Rule::Words),
    ("DocumentReference.content.attachment.size", Rule::Size),
    ("DocumentReference.content.attachment.hash", Rule::Sha1),
    ("DocumentReference.content.attachment.title", Rule::OneOf(&[TITLE])),
    ("DocumentReference.context.encounter.reference", Rule::To(&["Encounter"])),
    ("DocumentReference.context.period.start", Rule::DateTime),
    ("DocumentReference.context.period.end", Rule::DateTime),
];

/// Percent, and glucose in either unit.
const UNITS: &[&str] = &["%", "mg/dL", "mmol/L"];

pub(super) const GOAL: &[(&str, Rule)] = &[
    ("Goal.resourceType", Rule::OneOf(&["Goal"])),
    ("Goal.id", Rule::ServersId),
    ("Goal.identifier.system", Rule::OneOf(&[INTENT_SYSTEM])),
    ("Goal.identifier.value", Rule::Hex64),
    ("Goal.lifecycleStatus", Rule::OneOf(&["active"])),
    ("Goal.description.text", Rule::GoalText),
    ("Goal.subject.type", Rule::OneOf(&["Patient"])),
    ("Goal.subject.reference", Rule::To(&["Patient"])),
    ("Goal.subject.identifier.system", Rule::Text),
    ("Goal.subject.identifier.value", Rule::Text),
    ("Goal.startDate", Rule::Date),
    ("Goal.target.measure.coding.system", Rule::OneOf(&[LOINC])),
    ("Goal.target.measure.coding.code", Rule::Site),
    ("Goal.target.detailQuantity.value", Rule::Number),
    ("Goal.target.detailQuantity.comparator", Rule::OneOf(&[">="])),
    ("Goal.target.detailQuantity.unit", Rule::OneOf(UNITS)),
    ("Goal.target.detailQuantity.system", Rule::OneOf(&[UCUM])),
    ("Goal.target.detailQuantity.code", Rule::OneOf(UNITS)),
    ("Goal.target.detailRange.low.value", Rule::Number),
    ("Goal.target.detailRange.low.unit", Rule::OneOf(UNITS)),
    ("Goal.target.detailRange.low.system", Rule::OneOf(&[UCUM])),
    ("Goal.target.detailRange.low.code", Rule::OneOf(UNITS)),
    ("Goal.target.detailRange.high.value", Rule::Number),
    ("Goal.target.detailRange.high.unit", Rule::OneOf(UNITS)),
    ("Goal.target.detailRange.high.system", Rule::OneOf(&[UCUM])),
    ("Goal.target.detailRange.high.code", Rule::OneOf(UNITS)),
];

/// What a Provenance of an intent may be about.
const TARGETS: &[&str] = &["Observation", "DiagnosticReport", "DocumentReference", "Goal"];

pub(super) const PROVENANCE: &[(&str, Rule)] = &[
    ("Provenance.resourceType", Rule::OneOf(&["Provenance"])),
    ("Provenance.target.reference", Rule::Own(TARGETS)),
    ("Provenance.recorded", Rule::Instant),
    ("Provenance.activity.coding.system", Rule::OneOf(&[ACTIVITY_SYSTEM])),
    ("Provenance.activity.coding.code", Rule::OneOf(&["CREATE", "NULLIFY"])),
    ("Provenance.agent.type.coding.system", Rule::OneOf(&[AGENT_TYPE_SYSTEM])),
    ("Provenance.agent.type.coding.code", Rule::OneOf(&["author", "enterer", "assembler"])),
    ("Provenance.agent.role.text", Rule::Name),
    ("Provenance.agent.who.type", Rule::OneOf(&["Device"])),
    ("Provenance.agent.who.identifier.system", Rule::OneOf(&[BOX_SYSTEM])),
    ("Provenance.agent.who.identifier.value", Rule::Code),
    ("Provenance.agent.who.display", Rule::Name),
    ("Provenance.agent.onBehalfOf.display", Rule::Name),
    ("Provenance.entity.role", Rule::OneOf(&["source"])),
    ("Provenance.entity.what.identifier.system", Rule::OneOf(&[INTENT_SYSTEM])),
    ("Provenance.entity.what.identifier.value", Rule::Hex64),
    ("Provenance.entity.what.display", Rule::OneOf(&[ENTITY_DISPLAY])),
];
