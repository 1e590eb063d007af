//! FHIR R4 and R5 from one canonical form.
//!
//! The canonical form is written by the builders of this module and is R4 (4.0.1), which the CGM guide is made for. R5
//! (5.0.0) is written from it by [`write()`]; what it changes is all that differs in what we use:
//!
//! | resource | R4 | R5 |
//! |---|---|---|
//! | Observation | `meta.profile` of the CGM guide | left out: the guide's profiles are of R4. All else that we write is the same: R5 adds `triggeredBy`, `bodyStructure` and further types of value, and takes nothing away |
//! | Provenance | `reason`: CodeableConcept | `authorization`: CodeableReference, so the concept is one level deeper. `entity.role` = `source`, `policy`, `activity`, `agent` and `target` are the same |
//! | DiagnosticReport | `presentedForm.size`: unsignedInt, a JSON number | integer64, a JSON string (R5, 2.1.28.0.1); `meta.profile` is left out. `imagingStudy` became `study`; we have none |
//! | Bundle | `transaction` | the same; R5 adds `issues` to answers |
//! | CodeSystem | as [`super::codes::code_system`] makes it | the same |
//!
//! Invariants: R4 is the canonical form unchanged; R5 of the same form is the same bytes; what the allow-lists permit of
//! the canonical form they permit of both (`projection` lists both spellings).

pub use ::fhir::Release;
use serde_json::{Map, Value, json};

/// A canonical resource, or a Bundle of them, as this release has it.
pub fn write(release: Release, canonical: &Value) -> Value {
    let mut resource = canonical.clone();
    if release == Release::R5 {
        to_r5(&mut resource);
    }
    resource
}

fn to_r5(resource: &mut Value) {
    let Value::Object(fields) = resource else { return };
    match fields.get("resourceType").and_then(Value::as_str).unwrap_or_default() {
        "Observation" => without_profile(fields),
        "Provenance" => provenance(fields),
        "DiagnosticReport" => {
            without_profile(fields);
            attachments(fields);
        }
        "Bundle" => {
            let entries = fields.get_mut("entry").and_then(Value::as_array_mut);
            for entry in entries.into_iter().flatten() {
                if let Some(inside) = entry.get_mut("resource") {
                    // A Bundle has no Bundle in it (`projection` refuses one), so this goes one level deep.
                    to_r5(inside);
                }
            }
        }
        _ => {}
    }
}

fn without_profile(fields: &mut Map<String, Value>) {
    if let Some(Value::Object(meta)) = fields.get_mut("meta") {
        meta.remove("profile");
        if meta.is_empty() {
            fields.remove("meta");
        }
    }
}

fn provenance(fields: &mut Map<String, Value>) {
    if let Some(Value::Array(reasons)) = fields.remove("reason") {
        let reasons = reasons.into_iter().map(|concept| json!({ "concept": concept })).collect();
        fields.insert("authorization".to_owned(), Value::Array(reasons));
    }
}

fn attachments(fields: &mut Map<String, Value>) {
    let forms = fields.get_mut("presentedForm").and_then(Value::as_array_mut);
    for size in forms.into_iter().flatten().filter_map(|form| form.get_mut("size")) {
        *size = Value::String(size.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::{
        bundle::transaction,
        projection::{Projection, minimize},
        sample::{outcome, packed},
        summary::Wording,
    };

    #[test]
    fn r4_is_the_canonical_form_and_r5_differs_where_the_table_says() {
        let canonical = transaction(&packed(&outcome(), Wording::Full));
        assert_eq!(write(Release::R4, &canonical), canonical);
        let r5 = write(Release::R5, &canonical);
        let (old, new) = (&canonical["entry"], &r5["entry"]);
        for (old, new) in old.as_array().unwrap().iter().zip(new.as_array().unwrap()) {
            let mut expected = old.clone();
            let resource = expected["resource"].as_object_mut().unwrap();
            if let Some(reason) = resource.remove("reason") {
                resource.insert("authorization".into(), json!([{ "concept": reason[0] }]));
            } else {
                resource.remove("meta").unwrap();
            }
            assert_eq!(*new, expected);
        }
        assert_eq!(minimize(Projection::CgmIg, &r5), Ok(()));
    }

    #[test]
    fn a_size_is_a_number_in_r4_and_a_text_in_r5() {
        let report = json!({ "resourceType": "DiagnosticReport", "presentedForm": [{ "size": 17 }] });
        assert_eq!(write(Release::R5, &report)["presentedForm"][0]["size"], "17");
        assert_eq!(write(Release::R4, &report), report);
    }

    #[test]
    fn names_lead_to_releases_and_back() {
        for release in Release::ALL {
            assert_eq!(Release::from_name(release.name()), Some(release));
        }
        assert_eq!(Release::from_name("R4"), None);
    }
}
