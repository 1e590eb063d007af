//! Epic, by the table of section 1 of the reference.
//!
//! What may be created: a vital sign on a mapped flowsheet row, and a note as a draft for review. Nothing
//! is updated and nothing recognised again: "a repeat is a second reading, never an overwrite" (2nd). All
//! refusals are "4xx + OperationOutcome"; which 4xx each is, is ours: 400 for content, 404 and 405 for what
//! there is no way to do, and 400 with issue code `code-invalid` at `Observation.code` and the coding
//! [`UNMAPPED_ROW`] for a row nobody mapped, which section 2 classes as configuration.

use crate::fact::local;
use crate::persona::document::{media_type, only_attachment};
use crate::persona::{Ward, codings, id_of, is_create, known_patient};
use crate::refusal::Refusal;
use crate::search::list;
use crate::transaction::Write;

/// The category's code under its *old* system (reference, section 1).
const CATEGORY: (&str, &str) = ("http://hl7.org/fhir/observation-category", "vital-signs");
/// How a refusal of an unmapped row is coded: the system is made up, as Epic's own differ per environment.
pub(super) static UNMAPPED_ROW: (&str, &str) = ("urn:standin:epic-error", "unmapped-row");

pub(super) fn admit(write: &Write, ward: &Ward<'_>) -> Result<(), Refusal> {
    match (write.resource_type.as_str(), is_create(write)) {
        ("Observation", true) => observation(write, ward),
        ("DocumentReference", true) => document(write, ward),
        ("Observation" | "DocumentReference", false) => {
            Err(refuse("epic-no-update", 405, "not-supported", "nothing is updated here"))
        }
        // "Provenance: not found" (reference, section 1).
        ("Provenance", _) => {
            Err(refuse("epic-no-provenance", 404, "not-found", "there is no Provenance here"))
        }
        _ => Err(refuse("epic-type", 405, "not-supported", "this type cannot be written")),
    }
}

fn observation(write: &Write, ward: &Ward<'_>) -> Result<(), Refusal> {
    let resource = &write.resource;
    let fault = |rule, code, text: &str, at: &str| Err(refuse(rule, 400, code, text).at(at));
    if resource["status"] != "final" {
        return fault("epic-status", "value", "only final results are filed", "Observation.status");
    }
    let mut categories = list(&resource["category"]).iter().flat_map(codings);
    if !categories.any(|coding| coding == CATEGORY) {
        let text = "the category must be vital-signs of http://hl7.org/fhir/observation-category";
        return fault("epic-category", "value", text, "Observation.category");
    }
    if !resource["effectivePeriod"].is_null() {
        let text = "a flowsheet has a time, not a period";
        return fault("epic-period", "invalid", text, "Observation.effectivePeriod");
    }
    if resource["effectiveDateTime"].as_str().is_none_or(str::is_empty) {
        return fault("epic-time", "required", "the time is missing", "Observation.effectiveDateTime");
    }
    if !codings(&resource["code"]).any(|(system, code)| ward.rows.has(system, code)) {
        let text = "no flowsheet row is mapped to this code";
        return Err(refuse("epic-unmapped-row", 400, "code-invalid", text)
            .at("Observation.code")
            .coded(&UNMAPPED_ROW));
    }
    let patient = patient(write, ward)?;
    encounter(&resource["encounter"], patient, ward, "Observation.encounter")
}

fn document(write: &Write, ward: &Ward<'_>) -> Result<(), Refusal> {
    let resource = &write.resource;
    let fault = |rule, text: &str, at: &str| Err(refuse(rule, 400, "value", text).at(at));
    let attachment = only_attachment(resource, "epic-content", 400)?;
    if media_type(attachment) != "text/plain" {
        let text = "a note is plain text";
        return fault("epic-plain-text", text, "DocumentReference.content.attachment.contentType");
    }
    // "Plain text, draft for review" (2nd). That a finished one is taken too is ours.
    if !["preliminary", "final"].iter().any(|status| resource["docStatus"] == *status) {
        let text = "docStatus must be preliminary or final";
        return fault("epic-doc-status", text, "DocumentReference.docStatus");
    }
    let patient = patient(write, ward)?;
    let [at] = list(&resource["context"]["encounter"]) else {
        let text = "a note needs its one encounter";
        return fault("epic-encounter", text, "DocumentReference.context.encounter");
    };
    encounter(at, patient, ward, "DocumentReference.context.encounter")
}

/// The id of the subject, who must be a Patient known here.
fn patient<'a>(write: &'a Write, ward: &Ward<'_>) -> Result<&'a str, Refusal> {
    known_patient(&write.resource, ward).ok_or_else(|| {
        refuse("epic-subject", 400, "not-found", "the subject is no patient of this server")
            .at(format!("{}.subject", write.resource_type))
    })
}

/// "Matching encounter for backend apps" (reference, section 1): it exists and is this patient's.
fn encounter(reference: &serde_json::Value, patient: &str, ward: &Ward<'_>, at: &str) -> Result<(), Refusal> {
    let known = id_of(reference, "Encounter").and_then(|id| ward.store.read("Encounter", id));
    let known = known.map(|(encounter, _)| encounter).unwrap_or_default();
    let of = known["subject"]["reference"].as_str().map(local);
    if of.and_then(|of| of.strip_prefix("Patient/")) == Some(patient) {
        return Ok(());
    }
    let text = "an encounter of this patient is needed";
    Err(refuse("epic-encounter", 400, "required", text).at(at))
}

fn refuse(rule: &'static str, status: u16, code: &'static str, text: &str) -> Refusal {
    Refusal::by(rule, status, code, text)
}
