//! Whether what a server holds is what we wrote.
//!
//! Invariants: only what we wrote is asked for, so a server's additions (id, meta, text, more codings,
//! more identifiers) and its order do not matter; a number is compared by value, not by spelling; where
//! something of ours is missing or differs, the answer is no. A server that has turned a subject's
//! identifier into a reference of its own is believed: the resource's own identifier, which is bound to
//! the patient by HMAC, has to match in any case.

use std::cmp::Ordering;

use serde_json::Value;

use crate::decimal::Decimal;

mod projected;
pub use projected::{is_of_moment, same_as};

/// True where `theirs` says what `ours` says: for an Observation identifier, status, code, value or its
/// absence, components, number of members, period and subject; for a Provenance its policy and its source.
pub fn same_content(ours: &Value, theirs: &Value) -> bool {
    same_text(ours, theirs, "resourceType")
        && same_text(ours, theirs, "status")
        && all_found(&ours["identifier"], &theirs["identifier"], same_identifier)
        && same_concept(&ours["code"], &theirs["code"])
        && same_value(ours, theirs)
        && same_list(&ours["component"], &theirs["component"], |a, b| {
            same_concept(&a["code"], &b["code"]) && same_value(a, b)
        })
        && items(&ours["hasMember"]).len() == items(&theirs["hasMember"]).len()
        && same_date(ours, theirs, "start")
        && same_date(ours, theirs, "end")
        && same_subject(&ours["subject"], &theirs["subject"])
        && all_found(&ours["policy"], &theirs["policy"], |a, b| a == b)
        && same_list(&ours["entity"], &theirs["entity"], |a, b| {
            same_text(a, b, "role") && same_identifier(&a["what"]["identifier"], &b["what"]["identifier"])
        })
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// True where each of ours has a match among theirs.
fn all_found(ours: &Value, theirs: &Value, same: impl Fn(&Value, &Value) -> bool) -> bool {
    items(ours).iter().all(|a| items(theirs).iter().any(|b| same(a, b)))
}

/// As [`all_found`], and theirs has no more than ours.
fn same_list(ours: &Value, theirs: &Value, same: impl Fn(&Value, &Value) -> bool) -> bool {
    items(ours).len() == items(theirs).len() && all_found(ours, theirs, same)
}

fn same_text(ours: &Value, theirs: &Value, name: &str) -> bool {
    ours.get(name).and_then(Value::as_str) == theirs.get(name).and_then(Value::as_str)
}

fn same_identifier(ours: &Value, theirs: &Value) -> bool {
    same_text(ours, theirs, "system") && same_text(ours, theirs, "value")
}

/// True where theirs has all our codings.
fn same_concept(ours: &Value, theirs: &Value) -> bool {
    all_found(&ours["coding"], &theirs["coding"], |a, b| same_text(a, b, "system") && same_text(a, b, "code"))
}

/// The same quantity, or the same reason for having none.
fn same_value(ours: &Value, theirs: &Value) -> bool {
    let (a, b) = (&ours["valueQuantity"], &theirs["valueQuantity"]);
    let quantity = match (a.is_null(), b.is_null()) {
        (true, true) => true,
        (false, false) => {
            same_number(&a["value"], &b["value"]) && same_text(a, b, "system") && same_text(a, b, "code")
        }
        _ => false,
    };
    let (a, b) = (&ours["dataAbsentReason"], &theirs["dataAbsentReason"]);
    quantity && a.is_null() == b.is_null() && same_concept(a, b)
}

/// By value: `64.3` is `64.30` is `6.43e1`.
fn same_number(ours: &Value, theirs: &Value) -> bool {
    let (Value::Number(a), Value::Number(b)) = (ours, theirs) else {
        return ours.is_null() && theirs.is_null();
    };
    match (a.to_string().parse::<Decimal>(), b.to_string().parse::<Decimal>()) {
        (Ok(a), Ok(b)) => a.cmp_value(b) == Ordering::Equal,
        // An exponent, or more digits than we write: both spellings of one number read as one double.
        _ => a.as_f64().is_some() && a.as_f64() == b.as_f64(),
    }
}

/// Our dates have ten characters; a server may append a time of day.
fn same_date(ours: &Value, theirs: &Value, edge: &str) -> bool {
    let of = |json: &Value| {
        json["effectivePeriod"][edge].as_str().map(|text| text.chars().take(10).collect::<String>())
    };
    of(ours) == of(theirs)
}

fn same_subject(ours: &Value, theirs: &Value) -> bool {
    let (a, b) = (&ours["identifier"], &theirs["identifier"]);
    if a.is_null() {
        return match ours["reference"].as_str() {
            Some(reference) => ends_with_segment(theirs["reference"].as_str().unwrap_or_default(), reference),
            None => true,
        };
    }
    if b.is_null() { theirs["reference"].is_string() } else { same_identifier(a, b) }
}

/// `https://ehr/fhir/Patient/1` is `Patient/1`; `XPatient/1` is not.
fn ends_with_segment(whole: &str, tail: &str) -> bool {
    whole.strip_suffix(tail).is_some_and(|front| front.is_empty() || front.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fhir::{
        bundle::Entry,
        sample::{outcome, packed, resources},
        summary::{Status, Wording},
    };

    fn all() -> Vec<Value> {
        let entries = packed(&outcome(), Wording::Full);
        let resource = |entry| match entry {
            Entry::Create { resource, .. } | Entry::Update { resource, .. } => resource,
        };
        entries.into_iter().map(resource).collect()
    }

    fn from_text(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_a_server_adds_or_spells_otherwise_does_not_matter() {
        for ours in all() {
            let mut theirs = ours.clone();
            theirs["id"] = "123".into();
            theirs["meta"] = json!({ "versionId": "1", "lastUpdated": "2025-01-15T06:00:01Z" });
            theirs["text"] = json!({ "status": "generated" });
            if let Some(identifiers) = theirs["identifier"].as_array_mut() {
                identifiers.insert(0, json!({ "system": "urn:server", "value": "9" }));
            }
            if let Some(components) = theirs["component"].as_array_mut() {
                components.reverse();
            }
            for member in theirs["hasMember"].as_array_mut().into_iter().flatten() {
                *member = json!({ "reference": "Observation/5" });
            }
            let theirs = theirs.to_string().replace(":64.30", ":64.3").replace(":154.00", ":1.54e2");
            assert!(same_content(&ours, &from_text(&theirs)));
            assert!(same_content(&ours, &ours));
        }
    }

    #[test]
    fn a_difference_in_what_we_wrote_is_seen() {
        let table = [
            (1, "/valueQuantity/value", json!(155)),
            (1, "/valueQuantity/code", json!("mmol/L")),
            (1, "/status", json!("preliminary")),
            (1, "/identifier/0/value", json!("other")),
            (1, "/code/coding/0/code", json!("97506-0")),
            (1, "/effectivePeriod/end", json!("2025-01-15")),
            (1, "/subject/identifier/value", json!("MRN-4712")),
            (1, "/subject", json!({})),
            (1, "/valueQuantity", Value::Null),
            (2, "/component/2/valueQuantity/value", json!(64.31)),
            (2, "/component", json!([])),
            (0, "/hasMember", json!([])),
            (7, "/policy/0", json!("urn:isthmus:policy:standard:2:00")),
            (7, "/entity/0/what/identifier/value", json!("00")),
        ];
        for (at, pointer, value) in table {
            let ours = all().remove(at);
            let mut theirs = ours.clone();
            *theirs.pointer_mut(pointer).unwrap() = value;
            assert!(!same_content(&ours, &theirs), "{pointer}");
        }
    }

    #[test]
    fn a_value_that_was_withheld_is_not_the_value_that_is_there_now() {
        let withheld =
            resources(&crate::outcome::Outcome { gmi_pct: None, ..outcome() }, Status::Final, Wording::Full);
        let (ours, shown) = (&withheld[3].json, &all()[3]);
        assert!(same_content(ours, ours));
        assert!(!same_content(ours, shown));
        assert!(!same_content(shown, ours));
    }

    #[test]
    fn a_subject_may_come_back_as_a_reference() {
        let ours = all().remove(1);
        let mut theirs = ours.clone();
        theirs["subject"] = json!({ "reference": "Patient/1" });
        assert!(same_content(&ours, &theirs));
        let mut by_reference = ours.clone();
        by_reference["subject"] = json!({ "reference": "Patient/1" });
        theirs["subject"] = json!({ "reference": "https://ehr/fhir/Patient/1" });
        assert!(same_content(&by_reference, &theirs));
        theirs["subject"] = json!({ "reference": "Patient/11" });
        assert!(!same_content(&by_reference, &theirs));
    }
}
