//! What people post at the FHIR endpoint beside readings: a Consent, and a Task that is a wish; and a site that takes wishes.

use serde_json::{Value, json};
use standin::{
    Conduct, Persona,
    rig::{Rig, RigSettings},
};

use super::{command, daily};

/// Whose words they are.
pub const AUTHOR: &str = "Dr. Ada Quibble";
/// A note.
pub const WORDS: &str = "Ate late on both evenings.";

pub fn consent(patient: &str, kind: &str) -> Value {
    json!({
        "resourceType": "Consent", "status": "active", "patient": { "reference": patient },
        "scope": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy" }] },
        "category": [{ "coding": [{ "system": "http://loinc.org", "code": "59284-0" }] }],
        "policy": [{ "uri": "https://hospital.example.org/consent" }],
        "provision": { "type": kind, "purpose": [
            { "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT" },
        ] },
    })
}

/// What the consent ledger has, the oldest first: decision and purpose.
pub fn ledger(rig: &Rig) -> Vec<(String, String)> {
    let listed = command::json(rig, &["consent", "list"]);
    let one = |it: &Value| {
        (it["decision"].as_str().unwrap().to_owned(), it["purpose"].as_str().unwrap().to_owned())
    };
    let mut all: Vec<_> =
        listed["entries"].as_array().unwrap_or_else(|| panic!("{listed}")).iter().map(one).collect();
    all.reverse();
    all
}

pub fn task(code: &str, patient: &str, focus: Option<&str>, input: Value) -> Value {
    let mut task = json!({
        "resourceType": "Task", "status": "requested", "intent": "order",
        "code": { "coding": [{ "system": "urn:isthmus:CodeSystem:intents", "code": code }] },
        "for": { "reference": patient },
        "requester": { "reference": "https://ehr.example.org/fhir/Practitioner/7", "display": AUTHOR,
            "identifier": { "value": "4711" } },
        "input": [input],
    });
    if let Some(focus) = focus {
        task["focus"] = json!({ "reference": focus });
    }
    task
}

pub fn note(patient: &str, focus: Option<&str>) -> Value {
    task("note", patient, focus, json!({ "type": { "text": "text" }, "valueString": WORDS }))
}

/// An EHR that takes notes and goals.
pub fn with_wishes() -> RigSettings {
    RigSettings {
        projection: "plain-r4".to_owned(),
        site_extra: "[intent]\nnotes = \"document\"\ngoals = \"goal\"\n".to_owned(),
        conduct: Conduct::of(Persona::Plain),
        ..daily()
    }
}
