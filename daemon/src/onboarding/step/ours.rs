//! Whether what stands at a location is what the trial wrote there. Pure.
//!
//! A server names the location itself, and it may be wrong: what stands there is marked as entered in error only where it is of
//! the type that was sent, about the test patient (or about whom the trial made up), and known again: by an identifier of
//! this run, which nothing else has, or, where the server keeps none, by what it says and of when.

use serde_json::Value;

/// The test patient, as resources name them.
pub(super) struct Patient<'a> {
    /// The EHR's own reference, where it was looked up.
    pub(super) reference: Option<&'a str>,
    /// System and value of the identifier.
    pub(super) identifier: (&'a str, &'a str),
}

/// Elements that say what a resource is and of when, where it has no identifier; at least one of each kind must be there.
const WHAT: [&str; 2] = ["code", "type"];
const WHEN: [&str; 4] = ["effectiveDateTime", "effectivePeriod", "date", "content"];

/// Whether `stands` is what was `sent` about this patient.
pub(super) fn is_ours(sent: &Value, stands: &Value, patient: &Patient<'_>) -> bool {
    let is_type = sent["resourceType"].is_string() && sent["resourceType"] == stands["resourceType"];
    let is_same = shares_identifier(sent, stands) || (said(&WHAT, sent, stands) && said(&WHEN, sent, stands));
    is_type && is_about(&sent["subject"], &stands["subject"], patient) && is_same
}

fn is_about(sent: &Value, stands: &Value, patient: &Patient<'_>) -> bool {
    let is = |reference: &str| {
        let stands = stands["reference"].as_str().unwrap_or_default();
        stands.strip_suffix(reference).is_some_and(|before| before.is_empty() || before.ends_with('/'))
    };
    let named = (stands["identifier"]["system"].as_str(), stands["identifier"]["value"].as_str());
    let (system, value) = patient.identifier;
    patient.reference.is_some_and(is)
        || sent["reference"].as_str().is_some_and(is)
        || named == (Some(system), Some(value))
}

fn shares_identifier(sent: &Value, stands: &Value) -> bool {
    let of = |resource: &Value| -> Vec<(String, String)> {
        let items = match &resource["identifier"] {
            Value::Array(items) => items.clone(),
            one => vec![one.clone()],
        };
        let text = |item: &Value, key: &str| item[key].as_str().unwrap_or_default().to_owned();
        let pairs = items.iter().map(|item| (text(item, "system"), text(item, "value")));
        pairs.filter(|(_, value)| !value.is_empty()).collect()
    };
    let stands = of(stands);
    of(sent).iter().any(|one| stands.contains(one))
}

/// Whether what was sent has one of these elements, and each that it has stands there with the same content.
fn said(elements: &[&str], sent: &Value, stands: &Value) -> bool {
    let has: Vec<&&str> = elements.iter().filter(|name| !sent[**name].is_null()).collect();
    !has.is_empty() && has.iter().all(|name| holds(&sent[**name], &stands[**name]))
}

/// Whether all of one value is in another, which may have more.
fn holds(sent: &Value, stands: &Value) -> bool {
    match (sent, stands) {
        (Value::Object(fields), Value::Object(other)) => {
            fields.iter().all(|(name, value)| other.get(name).is_some_and(|stands| holds(value, stands)))
        }
        (Value::Array(items), Value::Array(other)) => {
            items.iter().all(|item| other.iter().any(|stands| holds(item, stands)))
        }
        // A moment may be told in another offset.
        (Value::String(sent), Value::String(stands)) => {
            let moment = |text: &str| text.parse::<jiff::Timestamp>().ok();
            sent == stands || moment(sent).is_some_and(|sent| moment(stands) == Some(sent))
        }
        (sent, stands) => sent == stands,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PATIENT: Patient<'_> =
        Patient { reference: Some("Patient/t"), identifier: ("urn:oid:1.2.3", "TEST-1") };

    fn sent() -> Value {
        json!({
            "resourceType": "Observation", "status": "final",
            "identifier": [{"system": "urn:ietf:rfc:3986", "value": "urn:uuid:7e57"}],
            "code": {"coding": [{"system": "s", "code": "c"}]}, "effectiveDateTime": "2024-04-05T23:59:59Z",
            "subject": {"identifier": {"system": "urn:oid:1.2.3", "value": "TEST-1"}},
        })
    }

    #[test]
    fn what_was_sent_is_known_again_by_its_identifier_or_by_what_it_says_and_when() {
        let with = |name: &str, value: Value| {
            let mut stands = sent();
            stands[name] = value;
            stands
        };
        let reference = |to: &str| json!({ "reference": to });
        let code = json!({"coding": [{"system": "s", "code": "c", "display": "C"}], "text": "C"});
        for (stands, wanted) in [
            (sent(), true),
            (with("subject", reference("Patient/t")), true),
            (with("subject", reference("https://ehr.example/fhir/Patient/t")), true),
            (with("id", json!("9")), true),
            (with("effectiveDateTime", json!("2025-01-01")), true),
            // Without its identifier.
            (with("identifier", Value::Null), true),
            (
                {
                    let mut stands = with("identifier", json!([{"system": "ehr", "value": "1"}]));
                    (stands["code"], stands["effectiveDateTime"]) =
                        (code, json!("2024-04-05T19:59:59-04:00"));
                    stands
                },
                true,
            ),
            (
                {
                    let mut stands = with("identifier", Value::Null);
                    stands["effectiveDateTime"] = json!("2026-03-02T23:59:59Z");
                    stands
                },
                false,
            ),
            // Another patient's, another's altogether, another type.
            (with("subject", reference("Patient/not")), false),
            (with("subject", reference("Patient/at")), false),
            (with("subject", json!({"identifier": {"system": "urn:oid:1.2.3", "value": "TEST-2"}})), false),
            (with("subject", Value::Null), false),
            (with("resourceType", json!("Condition")), false),
            (
                json!({"resourceType": "Observation", "subject": {"reference": "Patient/t"}, "status": "final"}),
                false,
            ),
        ] {
            assert_eq!(is_ours(&sent(), &stands, &PATIENT), wanted, "{stands:#}");
        }
        assert!(!is_ours(&Value::Null, &sent(), &PATIENT), "nobody knows what was sent there");
    }

    #[test]
    fn what_was_written_about_somebody_made_up_is_ours_about_them_alone() {
        let mut made_up = sent();
        made_up["subject"] = json!({ "reference": "Patient/nobody" });
        assert!(is_ours(&made_up, &made_up, &PATIENT));
        let mut stands = made_up.clone();
        stands["subject"] = json!({ "reference": "Patient/somebody" });
        assert!(!is_ours(&made_up, &stands, &PATIENT));
    }
}
