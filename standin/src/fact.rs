//! What a resource states, apart from who stores it and under which name: the fact, and its content.
//!
//! A fact is patient, code, effective time and value. Two resources that state one fact are a duplicate
//! in the chart, whatever their identifiers are: at Epic "a repeat is a second reading, never an
//! overwrite" (reference, section 1). A resource entered in error states nothing. Hashes are SHA-256,
//! of which a fact keeps 128 bits: a million facts collide with a chance below 10^-26.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::search::{list, subject};

/// A fact, hashed.
pub(crate) type Fact = u128;

/// SHA-256 of the resource as sent, in hexadecimal. Members are in order of name, so the order in which
/// they were sent does not matter; numbers count as they were written.
pub(crate) fn content_hash(resource: &Value) -> String {
    hex(digest(&SHA256, resource.to_string().as_bytes()).as_ref())
}

/// In hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// 128 bits of SHA-256.
pub(crate) fn short_hash(bytes: &[u8]) -> u128 {
    let hash = digest(&SHA256, bytes);
    let mut head = [0; 16];
    head.copy_from_slice(&hash.as_ref()[..16]);
    u128::from_be_bytes(head)
}

/// What the resource states of `patient` (whose name here is the same however the resource refers to
/// them); nothing for types that state no result, for what was entered in error, and for a result without
/// a time, which says not enough to be said twice.
pub(crate) fn fact_of(resource: &Value, patient: &str) -> Option<Fact> {
    if resource["status"] == "entered-in-error" {
        return None;
    }
    let resource_type = resource["resourceType"].as_str()?;
    if matches!(resource_type, "Observation" | "DiagnosticReport") && effective(resource).is_none() {
        return None;
    }
    let said = match resource_type {
        "Observation" => json!([
            "Observation",
            patient,
            codings(&resource["code"]),
            effective(resource),
            values(resource),
            list(&resource["component"])
                .iter()
                .map(|part| json!([codings(&part["code"]), values(part)]))
                .collect::<Vec<_>>(),
        ]),
        "DiagnosticReport" => json!([
            "DiagnosticReport",
            patient,
            codings(&resource["code"]),
            effective(resource),
            resource["conclusion"],
            contents(&resource["presentedForm"]),
        ]),
        "DocumentReference" => {
            let attachments: Vec<Value> =
                list(&resource["content"]).iter().map(|content| content["attachment"].clone()).collect();
            json!([
                "DocumentReference",
                patient,
                codings(&resource["type"]),
                resource["context"]["period"],
                contents(&Value::Array(attachments)),
            ])
        }
        _ => return None,
    };
    Some(short_hash(said.to_string().as_bytes()))
}

/// When it holds, as sent.
pub(crate) fn effective(resource: &Value) -> Option<String> {
    if let Some(at) = resource["effectiveDateTime"].as_str() {
        return Some(at.to_owned());
    }
    let period = ["effectivePeriod", "period"]
        .iter()
        .map(|key| &resource[*key])
        .chain([&resource["context"]["period"]])
        .find(|period| period.is_object())?;
    let edge = |key: &str| period[key].as_str().unwrap_or_default();
    Some(format!("{}/{}", edge("start"), edge("end")))
}

/// The subject's reference or identifier token, as sent.
pub(crate) fn subject_token(resource: &Value) -> Option<String> {
    let about = subject(resource)?;
    if let Some(reference) = about["reference"].as_str() {
        return Some(local(reference).to_owned());
    }
    let value = about["identifier"]["value"].as_str()?;
    Some(format!("{}|{value}", about["identifier"]["system"].as_str().unwrap_or_default()))
}

/// `Type/id` of a reference that may be absolute or name a version.
pub(crate) fn local(reference: &str) -> &str {
    let reference = reference.split("/_history/").next().unwrap_or(reference);
    if !reference.contains("://") {
        return reference;
    }
    let mut slashes = reference.rmatch_indices('/');
    slashes.nth(1).map_or(reference, |(at, _)| &reference[at + 1..])
}

fn codings(concept: &Value) -> Vec<String> {
    let coding = |coding: &Value| {
        format!(
            "{}|{}",
            coding["system"].as_str().unwrap_or_default(),
            coding["code"].as_str().unwrap_or_default()
        )
    };
    let mut found: Vec<String> = list(&concept["coding"]).iter().map(coding).collect();
    found.sort();
    if found.is_empty() {
        found.extend(concept["text"].as_str().map(str::to_owned));
    }
    found
}

/// Every `value[x]`, and the reason where there is none.
fn values(holder: &Value) -> Vec<(&str, &Value)> {
    let members = holder.as_object().into_iter().flatten();
    members
        .filter(|(name, _)| name.starts_with("value") || *name == "dataAbsentReason")
        .map(|(name, value)| (name.as_str(), value))
        .collect()
}

fn contents(attachments: &Value) -> Vec<String> {
    list(attachments)
        .iter()
        .map(|attachment| {
            let data = attachment["data"].as_str().or_else(|| attachment["url"].as_str());
            content_hash(&json!(data.unwrap_or_default()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(value: &str, at: &str) -> Value {
        let value: Value = serde_json::from_str(value).unwrap();
        json!({"resourceType": "Observation", "status": "final", "effectiveDateTime": at,
            "code": {"coding": [{"system": "http://loinc.org", "code": "97507-8"}]},
            "valueQuantity": {"value": value, "unit": "mg/dL"}})
    }

    #[test]
    fn a_fact_is_patient_code_time_and_value_and_nothing_else() {
        let fact = |resource: &Value| fact_of(resource, "Patient/1");
        let first = reading("120", "2026-01-01");
        let mut renamed = first.clone();
        renamed["identifier"] = json!([{"value": "another"}]);
        renamed["note"] = json!([{"text": "the same, told again"}]);
        assert_eq!(fact(&first), fact(&renamed));
        assert_ne!(fact(&first), fact(&reading("121", "2026-01-01")));
        assert_ne!(fact(&first), fact(&reading("120", "2026-01-02")));
        assert_ne!(fact(&first), fact_of(&first, "Patient/2"));
        let mut withdrawn = first.clone();
        withdrawn["status"] = json!("entered-in-error");
        assert_eq!(fact(&withdrawn), None);
        assert_eq!(fact(&json!({"resourceType": "Provenance"})), None);
        let mut timeless = first.clone();
        timeless.as_object_mut().unwrap().remove("effectiveDateTime");
        assert_eq!(fact(&timeless), None);
    }

    #[test]
    fn a_reference_is_the_same_whether_absolute_or_relative() {
        for reference in [
            "Patient/1",
            "https://ehr.test/fhir/Patient/1",
            "https://ehr.test/fhir/Patient/1/_history/3",
            "Patient/1/_history/2",
        ] {
            assert_eq!(local(reference), "Patient/1");
        }
    }

    #[test]
    fn content_is_the_same_whatever_the_order_of_its_members() {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(content_hash(&read(r#"{"a":1,"b":2}"#)), content_hash(&read(r#"{"b":2,"a":1}"#)));
        assert_ne!(content_hash(&read(r#"{"a":1.0}"#)), content_hash(&read(r#"{"a":1}"#)));
    }
}
