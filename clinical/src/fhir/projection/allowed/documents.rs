//! A document with the note: its text is held to the lines of ours.

use super::{PERFORMERS, Rule};
use crate::fhir::{
    identifier::OUTCOME_SYSTEM,
    note::TITLE,
    project::{NOTE_CATEGORY, NOTE_CATEGORY_SYSTEM},
};

/// The elements of both, then those of one.
macro_rules! document {
    ($($own:expr),* $(,)?) => {
        &[
            ("DocumentReference.resourceType", Rule::OneOf(&["DocumentReference"])),
            ("DocumentReference.id", Rule::ServersId),
            ("DocumentReference.masterIdentifier.system", Rule::OneOf(&[OUTCOME_SYSTEM])),
            ("DocumentReference.masterIdentifier.value", Rule::Hex64),
            ("DocumentReference.identifier.system", Rule::OneOf(&[OUTCOME_SYSTEM])),
            ("DocumentReference.identifier.value", Rule::Hex64),
            ("DocumentReference.status", Rule::OneOf(&["current"])),
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
            ("DocumentReference.description", Rule::Title),
            ("DocumentReference.content.attachment.contentType", Rule::OneOf(&["text/plain"])),
            ("DocumentReference.content.attachment.data", Rule::Note),
            ("DocumentReference.content.attachment.size", Rule::Size),
            ("DocumentReference.content.attachment.hash", Rule::Sha1),
            ("DocumentReference.content.attachment.title", Rule::Title),
            ("DocumentReference.context.encounter.reference", Rule::To(&["Encounter"])),
            ("DocumentReference.context.period.start", Rule::DateTime),
            ("DocumentReference.context.period.end", Rule::DateTime),
            $($own),*
        ]
    };
}

pub(super) const EPIC: &[(&str, Rule)] =
    document![("DocumentReference.docStatus", Rule::OneOf(&["preliminary"]))];

pub(super) const MILLENNIUM: &[(&str, Rule)] =
    document![("DocumentReference.docStatus", Rule::OneOf(&["final"]))];
