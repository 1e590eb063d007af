//! Sound resources of every kind that is written, in both releases: what requests are made from.

use serde_json::{Value, json};

/// By which the rig names its patients.
#[allow(dead_code, reason = "the judges of tests/interop take it from here, too")]
pub const PATIENTS: &str = "urn:oid:1.2.3";
/// The system of made-up identifiers.
pub const SYSTEM: &str = "urn:example:random";

/// Kinds that a client may write.
pub const KINDS: [&str; 10] = [
    "Patient",
    "Device",
    "Observation",
    "DiagnosticReport",
    "Provenance",
    "Consent",
    "ServiceRequest",
    "DocumentReference",
    "Task",
    "Group",
];

/// A sound resource. `patient` is a reference to one that is there, `target` to any resource; `number` makes it one of its own;
/// `word` stands wherever people write words.
pub fn sound(kind: &str, is_r5: bool, patient: &str, target: &str, number: u64, word: &str) -> Value {
    let identifier = json!([{ "system": SYSTEM, "value": format!("{kind}-{number}") }]);
    let subject = json!({ "reference": patient, "display": word });
    let concept = json!({ "coding": [{ "system": "http://loinc.org", "code": "99504-3" }], "text": word });
    let reference = |concept: &Value| if is_r5 { json!({ "concept": concept }) } else { concept.clone() };
    let day = format!("2026-03-{:02}", number % 28 + 1);
    let mut body = match kind {
        "Patient" => json!({
            "identifier": [{ "system": PATIENTS, "value": format!("n{number}") }],
            "name": [{ "family": word, "given": ["Ada"] }],
            "birthDate": "1970-01-02",
        }),
        "Device" => {
            json!({ "identifier": identifier, "status": "active", "serialNumber": format!("SN-{number}") })
        }
        "Observation" => json!({
            "identifier": identifier,
            "status": "final",
            "code": concept,
            "subject": subject,
            "effectiveDateTime": format!("{day}T10:00:00+01:00"),
            "valueQuantity": { "value": 101.5, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL" },
            "note": [{ "text": word }],
        }),
        "DiagnosticReport" => json!({
            "identifier": identifier,
            "status": "final",
            "code": concept,
            "subject": subject,
            "effectivePeriod": { "start": day, "end": "2026-04-01" },
            "conclusion": word,
        }),
        "Provenance" => json!({
            "target": [{ "reference": target }],
            "recorded": format!("{day}T10:00:00.{number:03}Z"),
            "agent": [{ "who": { "display": word } }],
        }),
        "Consent" if is_r5 => json!({
            "identifier": identifier,
            "status": "active",
            "category": [{ "text": word }],
            "subject": subject,
            "date": day,
            "decision": "permit",
        }),
        "Consent" => json!({
            "identifier": identifier,
            "status": "active",
            "scope": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy" }] },
            "category": [{ "coding": [{ "system": "http://loinc.org", "code": "59284-0" }], "text": word }],
            "patient": subject,
            "policy": [{ "uri": "https://hospital.example.org/consent" }],
            "provision": { "type": "permit", "purpose": [
                { "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT" },
            ] },
        }),
        "ServiceRequest" => json!({
            "identifier": identifier,
            "status": "active",
            "intent": "order",
            "code": reference(&concept),
            "subject": subject,
            "authoredOn": day,
        }),
        "DocumentReference" => json!({
            "identifier": identifier,
            "status": "current",
            "type": concept,
            "subject": subject,
            "date": format!("{day}T10:00:00Z"),
            "content": [{ "attachment": { "contentType": "text/plain", "title": word, "data": "QQ==" } }],
        }),
        "Task" => json!({
            "identifier": identifier,
            "status": "requested",
            "intent": "order",
            "code": { "coding": [{ "system": "urn:isthmus:CodeSystem:intents", "code": "note" }] },
            "for": subject,
            "authoredOn": day,
            "requester": { "reference": "https://ehr.example.org/fhir/Practitioner/7", "display": word },
            "input": [{ "type": { "text": "text" }, "valueString": word }],
        }),
        _ => {
            let membership =
                if is_r5 { json!({ "membership": "enumerated" }) } else { json!({ "actual": true }) };
            let mut group = json!({
                "identifier": identifier,
                "type": "person",
                "name": word,
                "member": [{ "entity": { "reference": patient } }],
            });
            group.as_object_mut().unwrap().extend(membership.as_object().unwrap().clone());
            group
        }
    };
    body["resourceType"] = json!(kind);
    body
}
