//! The same question for what a projection wrote to a server that drops what it does not support, or adds to it.
//!
//! | projection | what has to agree | what may be gone |
//! |---|---|---|
//! | cgm-ig, plain-*, upstream-summary, cgm-readings | as [`same_content`] | method, category, profile |
//! | epic-flowsheet, millennium-lab | patient, code, moment, value with its unit; at Millennium the status too | identifier, category, note, performer, encounter |
//! | epic-note, millennium-document | patient, type, end of the period, and the text: by its bytes, its hash, or where the server has moved it elsewhere its title, which names window and version | identifiers, `docStatus` (a draft that somebody signed is the same note), category, author, encounter |
//! | Provenance at Millennium | its target, and when it was recorded, to the second: every version has a Provenance of its own | identifiers, extensions, text |
//!
//! Invariants: a patient is asked for where ours names one by the server's own reference; a code is found among theirs,
//! which may be more; a moment is compared as a moment, whatever its offset.

use serde_json::Value;

use super::{items, same_concept, same_content, same_number, same_subject, same_text};
use crate::fhir::projection::{Projection, Style};

/// True where `theirs` says what `ours` says, as far as the destination of this projection keeps it.
pub fn same_as(projection: Projection, ours: &Value, theirs: &Value) -> bool {
    if !same_text(ours, theirs, "resourceType") {
        return false;
    }
    let kind = ours["resourceType"].as_str().unwrap_or_default();
    // An intent goes to servers of either kind: one that dropped what a Provenance is made from is asked as those are.
    let bare = projection == Projection::Intent && theirs.get("entity").is_none();
    let lossy = projection.style() == Style::Single && (!projection.conditional() || bare);
    match kind {
        "Observation" if lossy => result(projection, ours, theirs),
        "DocumentReference" => document(ours, theirs),
        "Provenance" if lossy => {
            let of = |json: &Value| json["target"][0]["reference"].as_str().map(tail);
            let second = |json: &Value| json["recorded"].as_str().and_then(second_of);
            of(ours).is_some() && of(ours) == of(theirs) && second(ours) == second(theirs)
        }
        _ => {
            same_content(ours, theirs)
                && same_moment(&ours["effectiveDateTime"], &theirs["effectiveDateTime"])
        }
    }
}

fn result(projection: Projection, ours: &Value, theirs: &Value) -> bool {
    let status = projection == Projection::EpicFlowsheet || same_text(ours, theirs, "status");
    status
        && theirs["status"] != "entered-in-error"
        && same_subject(&ours["subject"], &theirs["subject"])
        && same_concept(&ours["code"], &theirs["code"])
        && same_moment(&ours["effectiveDateTime"], &theirs["effectiveDateTime"])
        && same_flat_value(ours, theirs)
}

/// Whether theirs is an Observation of the very moment that ours is of, and counts.
pub fn is_of_moment(ours: &Value, theirs: &Value) -> bool {
    let at = &ours["effectiveDateTime"];
    at.is_string() && same_moment(at, &theirs["effectiveDateTime"]) && theirs["status"] != "entered-in-error"
}

/// A number in its unit, by code or by text; a date in either of the elements that hold one.
fn same_flat_value(ours: &Value, theirs: &Value) -> bool {
    let (a, b) = (&ours["valueQuantity"], &theirs["valueQuantity"]);
    if a.is_object() {
        let unit = |name: &str| same_text(a, b, name) && a.get(name).is_some();
        return same_number(&a["value"], &b["value"]) && (unit("code") || unit("unit"));
    }
    let date = |json: &Value| {
        let text = json["valueDateTime"].as_str().or(json["valueString"].as_str())?;
        Some(text.chars().take("2026-03-15".len()).collect::<String>())
    };
    date(ours).is_some() && date(ours) == date(theirs)
}

fn document(ours: &Value, theirs: &Value) -> bool {
    let status =
        |json: &Value| json["docStatus"] != "entered-in-error" && json["status"] != "entered-in-error";
    status(theirs)
        && same_subject(&ours["subject"], &theirs["subject"])
        && same_concept(&ours["type"], &theirs["type"])
        && same_moment(&ours["context"]["period"]["end"], &theirs["context"]["period"]["end"])
        && items(&theirs["content"]).iter().any(|content| same_text_of_document(ours, content))
}

/// By the first of these that theirs has: the bytes, their hash, the title.
fn same_text_of_document(ours: &Value, content: &Value) -> bool {
    let (a, b) = (&ours["content"][0]["attachment"], &content["attachment"]);
    ["data", "hash", "title"]
        .iter()
        .find(|name| b.get(**name).is_some())
        .is_some_and(|name| same_text(a, b, name))
}

/// The same moment, or the same text where it is none; nothing on both sides is the same too.
fn same_moment(ours: &Value, theirs: &Value) -> bool {
    let of = |value: &Value| value.as_str().map(str::to_owned);
    match (of(ours), of(theirs)) {
        (Some(a), Some(b)) => match (a.parse::<jiff::Timestamp>(), b.parse::<jiff::Timestamp>()) {
            (Ok(a), Ok(b)) => a == b,
            _ => a == b,
        },
        (a, b) => a == b,
    }
}

/// The second that a moment lies in; `None` for what is none.
fn second_of(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

/// `Type/id` of a reference, without the base that a server may put before it.
fn tail(reference: &str) -> String {
    let mut parts = reference.rsplit('/');
    let (id, kind) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("{kind}/{id}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fhir::{
        address::address,
        project::Item,
        sample::{items_of, mapped},
    };

    /// What is sent, with the server's own patient.
    fn sent(projection: Projection) -> Vec<Value> {
        let items = items_of(projection, &mapped(projection));
        let resource = |item: &Item| {
            let mut resource = item.resource().unwrap().clone();
            address(&mut resource, Some("Patient/77"), None).unwrap();
            resource
        };
        items.iter().map(resource).collect()
    }

    #[test]
    fn everything_is_the_same_as_itself_and_as_nothing_beside_it() {
        for projection in Projection::ALL {
            if [Projection::OruR01, Projection::CgmReadings].contains(&projection) {
                continue;
            }
            let items = items_of(projection, &mapped(projection));
            for (n, a) in items.iter().enumerate() {
                for (m, b) in items.iter().enumerate() {
                    let same = same_as(projection, a.resource().unwrap(), b.resource().unwrap());
                    assert_eq!(same, n == m, "{projection:?} {} {}", a.slug, b.slug);
                }
            }
        }
    }

    #[test]
    fn what_a_server_drops_or_spells_otherwise_does_not_matter() {
        for projection in [Projection::EpicFlowsheet, Projection::MillenniumLab] {
            for ours in sent(projection).into_iter().filter(|ours| ours["resourceType"] == "Observation") {
                let mut theirs = ours.clone();
                for name in ["identifier", "category", "note", "performer"] {
                    theirs.as_object_mut().unwrap().remove(name);
                }
                theirs["id"] = "L-1".into();
                theirs["subject"] = json!({ "reference": "https://ehr/fhir/Patient/77", "display": "A" });
                theirs["code"]["coding"]
                    .as_array_mut()
                    .unwrap()
                    .insert(0, json!({ "system": "urn:x", "code": "1" }));
                // 2025-01-14T23:59:59-05:00.
                theirs["effectiveDateTime"] = "2025-01-15T04:59:59Z".into();
                assert!(same_as(projection, &ours, &theirs), "{projection:?} {ours:#} {theirs:#}");
            }
        }
        let ours = sent(Projection::EpicNote).remove(0);
        let mut theirs = ours.clone();
        theirs["docStatus"] = "final".into();
        theirs["content"][0]["attachment"] =
            json!({ "url": "Binary/1", "title": ours["content"][0]["attachment"]["title"] });
        assert!(same_as(Projection::EpicNote, &ours, &theirs));
    }

    #[test]
    fn a_difference_in_what_counts_is_seen() {
        let lab = Projection::MillenniumLab;
        let table = [
            ("/subject/reference", json!("Patient/78")),
            ("/code/coding/0/code", json!("2339-0")),
            ("/effectiveDateTime", json!("2025-01-08T04:59:59Z")),
            ("/valueQuantity/value", json!(99.22)),
            ("/valueQuantity", json!({ "value": 99.21, "unit": "mmol/L", "code": "mmol/L" })),
            ("/valueQuantity", Value::Null),
            ("/status", json!("amended")),
            ("/status", json!("entered-in-error")),
            ("/resourceType", json!("Basic")),
        ];
        for (pointer, value) in table {
            let ours = sent(lab).remove(0);
            let mut theirs = ours.clone();
            *theirs.pointer_mut(pointer).unwrap() = value;
            assert!(same_as(lab, &ours, &ours) && !same_as(lab, &ours, &theirs), "{pointer}");
        }
        let document = Projection::MillenniumDocument;
        let table = [
            ("/content/0/attachment/data", json!("QW15")),
            ("/content", json!([])),
            ("/content/0/attachment", json!({ "url": "Binary/1" })),
            ("/context/period/end", json!("2025-01-08T04:59:59Z")),
            ("/type/coding/0/code", json!("11506-3")),
            ("/status", json!("entered-in-error")),
            ("/subject/reference", json!("Patient/78")),
        ];
        for (pointer, value) in table {
            let ours = sent(document).remove(0);
            let mut theirs = ours.clone();
            *theirs.pointer_mut(pointer).unwrap() = value;
            assert!(same_as(document, &ours, &ours) && !same_as(document, &ours, &theirs), "{pointer}");
        }
    }

    #[test]
    fn a_provenance_is_known_by_its_target_and_a_guides_resource_by_its_identifier() {
        let mut ours = sent(Projection::MillenniumLab).pop().unwrap();
        ours["target"] = json!([{ "reference": "Observation/5" }]);
        for (target, recorded, same) in [
            ("https://e/Observation/5", "2025-01-15T01:00:00.000-05:00", true),
            ("Observation/6", "2025-01-15T06:00:00Z", false),
            ("Observation/5", "2025-01-16T06:00:00Z", false),
        ] {
            let theirs = json!({
                "resourceType": "Provenance", "target": [{ "reference": target }], "recorded": recorded,
            });
            assert_eq!(same_as(Projection::MillenniumLab, &ours, &theirs), same, "{target} {recorded}");
        }
        let ours = sent(Projection::PlainR4).remove(0);
        let mut theirs = ours.clone();
        assert!(same_as(Projection::PlainR4, &ours, &theirs));
        theirs["identifier"] = json!([]);
        assert!(!same_as(Projection::PlainR4, &ours, &theirs));
    }
}
