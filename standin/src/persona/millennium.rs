//! Oracle Health Millennium, by the table of section 1 of the reference.
//!
//! One resource at a time; a fault of content is "422 business-rule". "Unsupported fields ignored,
//! modifiers refused": [`OBSERVATION_FIELDS`] are kept, the rest is dropped from what is stored. Which
//! fields these are the reference does not list; they are those of the vendor's page "Create an
//! observation" as far as remembered. A client's identifier is not among them (the server gives its own),
//! unless the settings keep it; where it is dropped, a write is found again by patient, code and date.

use serde_json::{Value, json};

use crate::id::opaque;
use crate::persona::document::only_attachment;
use crate::persona::{Ward, codings, id_of, is_create, known_patient};
use crate::refusal::Refusal;
use crate::search::{list, subject};
use crate::transaction::{Verb, Write};

/// What is kept of an Observation.
const OBSERVATION_FIELDS: &[&str] = &[
    "resourceType",
    "id",
    "status",
    "category",
    "code",
    "subject",
    "encounter",
    "effectiveDateTime",
    "issued",
    "performer",
    "dataAbsentReason",
    "interpretation",
    "note",
    "method",
    "device",
    "referenceRange",
    "component",
];
/// The LOINC codes of the CGM IG (reference, cgm.md, section 6): "not among its vitals, so: laboratory".
const CGM_LOINCS: &[&str] = &[
    "107931-8", "97507-8", "105273-7", "106793-3", "104642-4", "104641-6", "97510-2", "104640-8", "104639-0",
    "97506-0", "104638-2", "104636-6", "104637-4", "99504-3", "105272-9",
];
/// Blood pressure and oxygen saturation: the only codes with components (reference, section 1).
const WITH_COMPONENTS: &[&str] = &["85354-9", "55284-4", "59408-5", "2708-6"];
/// How the URI of Millennium's own codes ends, whatever the tenant: code set 72.
const CODE_SET_72: &str = "/codeSet/72";
/// The system of the identifier the server gives.
const SERVER_IDENTIFIER: &str = "https://fhir.cerner.com/ceuuid";

pub(super) fn admit(write: &mut Write, ward: &Ward<'_>) -> Result<(), Refusal> {
    if let Some(field) = modifier(&write.resource) {
        let text = format!("modifier fields are not taken: {field}");
        return Err(refuse("millennium-modifier", &text).at(format!("{}.{field}", write.resource_type)));
    }
    match (write.resource_type.as_str(), is_create(write)) {
        ("Observation", _) => {
            observation(write, ward)?;
            keep_supported(write, ward);
            Ok(())
        }
        ("DocumentReference", _) => document(&write.resource, ward),
        ("Provenance", true) => provenance(&write.resource),
        _ => Err(Refusal::by("millennium-type", 405, "not-supported", "this cannot be written here")),
    }
}

/// The first modifier found, however deep: `modifierExtension` anywhere, `implicitRules` at the top.
fn modifier(resource: &Value) -> Option<&'static str> {
    fn anywhere(value: &Value) -> bool {
        match value {
            Value::Object(object) => {
                object.iter().any(|(key, value)| key == "modifierExtension" || anywhere(value))
            }
            Value::Array(items) => items.iter().any(anywhere),
            _ => false,
        }
    }
    if !resource["implicitRules"].is_null() {
        return Some("implicitRules");
    }
    anywhere(resource).then_some("modifierExtension")
}

fn observation(write: &Write, ward: &Ward<'_>) -> Result<(), Refusal> {
    let resource = &write.resource;
    let fault = |rule, text: &str, at: &str| Err(refuse(rule, text).at(at));
    if !["final", "amended", "corrected"].iter().any(|status| resource["status"] == *status) {
        let text = "the status must be final, amended or corrected";
        return fault("millennium-status", text, "Observation.status");
    }
    let Some(category) = only_category(resource) else {
        let text = "exactly one category: vital-signs or laboratory";
        return fault("millennium-category", text, "Observation.category");
    };
    let other_time = ["effectivePeriod", "effectiveInstant", "effectiveTiming"];
    if resource["effectiveDateTime"].as_str().is_none_or(str::is_empty)
        || other_time.iter().any(|key| !resource[*key].is_null())
    {
        let text = "the time must be an effectiveDateTime";
        return fault("millennium-time", text, "Observation.effective");
    }
    code(resource, category)?;
    if list(&resource["referenceRange"]).len() > 1 {
        return fault("millennium-reference-range", "one referenceRange", "Observation.referenceRange");
    }
    let may_have_parts = codings(&resource["code"]).any(|(_, code)| WITH_COMPONENTS.contains(&code));
    if !list(&resource["component"]).is_empty() && !may_have_parts {
        let text = "components are for blood pressure and oxygen saturation only";
        return fault("millennium-component", text, "Observation.component");
    }
    let Some(patient) = known_patient(resource, ward) else {
        let text = "the subject is no patient of this server";
        return fault("millennium-subject", text, "Observation.subject");
    };
    if category == "vital-signs" {
        vital_sign(resource, patient, ward)?;
    }
    unmoved(write, ward)
}

/// The one category's code.
fn only_category(resource: &Value) -> Option<&str> {
    let [category] = list(&resource["category"]) else { return None };
    let mut codes = codings(category).map(|(_, code)| code);
    let code = codes.next().filter(|code| matches!(*code, "vital-signs" | "laboratory"))?;
    codes.all(|other| other == code).then_some(code)
}

/// "LOINC or code set 72; CGM LOINCs are not among its vitals, so: laboratory".
fn code(resource: &Value, category: &str) -> Result<(), Refusal> {
    let fault = |rule, text: &str| Err(refuse(rule, text).at("Observation.code"));
    let known = |(system, _): &(&str, &str)| *system == "http://loinc.org" || system.ends_with(CODE_SET_72);
    if !codings(&resource["code"]).any(|coding| known(&coding)) {
        return fault("millennium-code", "the code must be of LOINC or of code set 72");
    }
    let cgm = codings(&resource["code"])
        .any(|(system, code)| system == "http://loinc.org" && CGM_LOINCS.contains(&code));
    if cgm && category == "vital-signs" {
        return fault("millennium-cgm-vital", "this code is not among the vital signs");
    }
    Ok(())
}

/// "Vitals need a Practitioner performer and an active patient relationship".
fn vital_sign(resource: &Value, patient: &str, ward: &Ward<'_>) -> Result<(), Refusal> {
    let known = |reference: &Value| {
        id_of(reference, "Practitioner").is_some_and(|id| ward.store.version("Practitioner", id).is_some())
    };
    if !list(&resource["performer"]).iter().any(known) {
        let text = "a vital sign needs a Practitioner of this server as performer";
        return Err(refuse("millennium-performer", text).at("Observation.performer"));
    }
    if ward.unrelated.contains(patient) {
        let text = "there is no active relationship to this patient";
        return Err(Refusal::by("millennium-relationship", 403, "forbidden", text).at("Observation.subject"));
    }
    Ok(())
}

/// "Updates to patient and category are not supported" (vendor's page "Update an observation").
fn unmoved(write: &Write, ward: &Ward<'_>) -> Result<(), Refusal> {
    let Verb::Update { id, .. } = &write.verb else { return Ok(()) };
    let Some((standing, _)) = ward.store.read("Observation", id) else { return Ok(()) };
    let same_patient = id_of(&standing["subject"], "Patient") == id_of(&write.resource["subject"], "Patient");
    if !same_patient || only_category(&standing) != only_category(&write.resource) {
        return Err(refuse("millennium-unmovable", "patient and category cannot be updated"));
    }
    Ok(())
}

fn keep_supported(write: &mut Write, ward: &Ward<'_>) {
    let keeps = ward.keeps_identifiers;
    let Some(object) = write.resource.as_object_mut() else { return };
    object.retain(|key, _| {
        OBSERVATION_FIELDS.contains(&key.as_str())
            || key.starts_with("value")
            || (keeps && key == "identifier")
    });
    if keeps {
        return;
    }
    let given = match &write.verb {
        Verb::Create { .. } => {
            let n = ward.store.len() as u64 + 1;
            json!([{"system": SERVER_IDENTIFIER, "value": opaque("ceuuid", n)}])
        }
        Verb::Update { id, .. } => {
            let standing =
                ward.store.read("Observation", id).map(|(standing, _)| standing["identifier"].clone());
            standing.unwrap_or_default()
        }
    };
    write.resource["identifier"] = given;
}

fn document(resource: &Value, ward: &Ward<'_>) -> Result<(), Refusal> {
    let fault = |rule, text: &str, at: &str| Err(refuse(rule, text).at(at));
    if resource["docStatus"] != "final" {
        let text = "docStatus must be final";
        return fault("millennium-doc-status", text, "DocumentReference.docStatus");
    }
    if resource["context"]["period"]["end"].as_str().is_none_or(str::is_empty) {
        let text = "the end of the period is missing";
        return fault("millennium-period-end", text, "DocumentReference.context.period.end");
    }
    only_attachment(resource, "millennium-content", 422)?;
    if subject(resource).is_none() || known_patient(resource, ward).is_none() {
        let text = "the subject is no patient of this server";
        return fault("millennium-subject", text, "DocumentReference.subject");
    }
    Ok(())
}

/// "Provenance: create, one target".
fn provenance(resource: &Value) -> Result<(), Refusal> {
    if list(&resource["target"]).len() != 1 {
        let text = "a Provenance has exactly one target";
        return Err(refuse("millennium-target", text).at("Provenance.target"));
    }
    Ok(())
}

fn refuse(rule: &'static str, text: &str) -> Refusal {
    Refusal::by(rule, 422, "business-rule", text)
}
