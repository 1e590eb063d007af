//! What a resource may not say here although it is valid. Pure.
//!
//! Invariants: a reference to a resource of this server leads to one; what an Observation or a Patient is about does not
//! change under its id, because what followed from it would stay with the former.

use fhir::{Code, Issue, Kind};
use serde_json::Value;

/// Levels that references are looked for in: as deep as a body may be.
const DEEPEST: usize = 128;

/// A reference that a resource makes: where it stands, and its text.
pub(super) struct Reference<'a> {
    /// `Observation.subject.reference`.
    pub(super) expression: String,
    /// As it stands.
    pub(super) text: &'a str,
}

/// Every literal reference of a resource, in order.
pub(super) fn references(value: &Value) -> Vec<Reference<'_>> {
    let mut found = Vec::new();
    let root = value["resourceType"].as_str().unwrap_or_default().to_owned();
    gather(value, &root, 0, &mut found);
    found
}

fn gather<'a>(value: &'a Value, place: &str, depth: usize, found: &mut Vec<Reference<'a>>) {
    if depth > DEEPEST {
        return;
    }
    match value {
        Value::Object(members) => {
            for (name, inner) in members {
                match inner {
                    Value::String(text) if name == "reference" => {
                        found.push(Reference { expression: format!("{place}.reference"), text });
                    }
                    Value::Object(_) | Value::Array(_) => {
                        gather(inner, &format!("{place}.{name}"), depth + 1, found)
                    }
                    _ => {}
                }
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                gather(item, &format!("{place}[{at}]"), depth + 1, found);
            }
        }
        _ => {}
    }
}

/// The local resource that a reference names, `Kind/id`, without its version; `None` where it leads elsewhere or into the
/// resource itself.
pub(super) fn local<'a>(reference: &'a str, bases: &[String]) -> Option<(&'a str, &'a str)> {
    let relative = relative(reference, bases).unwrap_or(reference);
    if relative.starts_with('#') || relative.contains(':') {
        return None;
    }
    let mut parts = relative.split('/');
    let (kind, id) = (parts.next()?, parts.next()?);
    match (parts.next(), parts.next(), parts.next()) {
        (None, ..) | (Some("_history"), Some(_), None) => Some((kind, id)),
        _ => None,
    }
}

/// What stands behind one of our addresses; `None` where it begins with none.
pub(super) fn relative<'a>(address: &'a str, bases: &[String]) -> Option<&'a str> {
    let under = bases.iter().filter_map(|base| address.strip_prefix(base.as_str())?.strip_prefix('/'));
    under.min_by_key(|rest| rest.len())
}

/// What is wrong with the form of a reference to this server: it is a condition outside a transaction, or leads to a version.
pub(super) fn misdirected(reference: &str) -> Option<&'static str> {
    let is_kind = |text: &str| fhir::Kind::named(text).is_some();
    if reference.split_once('?').is_some_and(|(kind, _)| is_kind(kind)) {
        return Some("a reference that is a condition stands in a transaction");
    }
    (reference.contains("/_history/") && reference.split('/').next().is_some_and(is_kind))
        .then_some("a reference leads to a resource, and not to a version of it")
}

/// Replaces the literal references that `with` has another text for. Returns whether there were any.
pub(super) fn replace_references(value: &mut Value, with: &dyn Fn(&str) -> Option<String>) -> bool {
    match value {
        Value::Object(members) => {
            let mut replaced = false;
            for (name, inner) in members.iter_mut() {
                match inner {
                    Value::String(text) if name == "reference" => {
                        if let Some(other) = with(text) {
                            *text = other;
                            replaced = true;
                        }
                    }
                    _ => replaced |= replace_references(inner, with),
                }
            }
            replaced
        }
        Value::Array(items) => items.iter_mut().fold(false, |any, item| replace_references(item, with) | any),
        _ => false,
    }
}

/// Elements of a kind that stay as they were under its id.
const fn fixed(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Observation => &[
            "subject",
            "code",
            "device",
            "effectiveDateTime",
            "effectivePeriod",
            "effectiveInstant",
            "effectiveTiming",
        ],
        Kind::DiagnosticReport | Kind::ServiceRequest | Kind::DocumentReference => &["subject"],
        Kind::Consent => &["patient", "subject"],
        Kind::Task => &["for", "code", "focus"],
        // Readings are kept by these names.
        Kind::Device => &["identifier", "serialNumber", "deviceName", "name", "patient"],
        _ => &[],
    }
}

/// What a concept or a reference means, words for people aside; `None` where it has nothing else.
fn meant(value: &Value) -> Option<Vec<(&str, &str)>> {
    if let Some(reference) = value["reference"].as_str() {
        return Some(vec![("reference", reference)]);
    }
    let codings = value["coding"].as_array()?.iter();
    let mut codes: Vec<(&str, &str)> = codings
        .filter_map(|it| Some((it["system"].as_str().unwrap_or_default(), it["code"].as_str()?)))
        .collect();
    codes.sort_unstable();
    (!codes.is_empty()).then_some(codes)
}

/// Whether a resource may follow another under one id.
pub(super) fn unchanged(kind: Kind, before: &Value, after: &Value) -> Vec<Issue> {
    let span = |it: &Value| {
        let terms = fhir::search::terms(kind, it);
        (terms.from_ms, terms.until_ms)
    };
    let is_same = |name: &&&str| match **name {
        name if before[name] == after[name] => true,
        name if before[name].is_null() || after[name].is_null() => false,
        // However the time is spelled.
        name if name.starts_with("effective") => span(before) == span(after),
        name => meant(&before[name]).is_some_and(|it| Some(it) == meant(&after[name])),
    };
    let changed = fixed(kind).iter().filter(|name| !is_same(name));
    changed
        .map(|name| {
            let text = format!(
                "{name} cannot change under this id; where the kind has such a status, mark this one entered-in-error, \
                 and send what is right as a new one"
            );
            Issue::error(Code::BusinessRule, text).at(format!("{}.{name}", kind.name()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reference_is_local_by_its_form_or_by_one_of_our_bases() {
        let bases = ["https://b:1/fhir".to_owned(), "https://b:1/fhir/r4".to_owned()];
        for (text, expected) in [
            ("Patient/1", Some(("Patient", "1"))),
            ("Patient/1/_history/2", Some(("Patient", "1"))),
            ("https://b:1/fhir/Patient/1", Some(("Patient", "1"))),
            ("https://b:1/fhir/r4/Patient/1", Some(("Patient", "1"))),
            ("https://other/fhir/Patient/1", None),
            ("urn:uuid:1", None),
            ("#a", None),
            ("Patient", None),
            ("Patient/1/x", None),
            ("Patient/1/_history", None),
        ] {
            assert_eq!(local(text, &bases), expected, "{text}");
        }
    }

    #[test]
    fn references_are_found_and_replaced_wherever_they_stand_and_nothing_else_is() {
        let mut value = json!({
            "resourceType": "Observation",
            "identifier": [{ "value": "urn:uuid:1" }],
            "subject": { "reference": "urn:uuid:1" },
            "component": [{ "extension": [{ "valueReference": { "reference": "Device/2" } }] }],
        });
        let places: Vec<String> = references(&value).into_iter().map(|it| it.expression).collect();
        assert_eq!(
            places,
            [
                "Observation.component[0].extension[0].valueReference.reference",
                "Observation.subject.reference"
            ]
        );
        let with = |text: &str| (text == "urn:uuid:1").then(|| "Patient/9".to_owned());
        assert!(replace_references(&mut value, &with) && !replace_references(&mut value, &with));
        assert_eq!(value["subject"]["reference"], "Patient/9");
        assert_eq!(value["identifier"][0]["value"], "urn:uuid:1");
    }

    #[test]
    fn what_an_observation_is_about_stays() {
        let before = json!({ "subject": { "reference": "Patient/1" }, "status": "final", "effectiveDateTime": "2026" });
        let mut after = before.clone();
        after["status"] = json!("entered-in-error");
        assert_eq!(unchanged(Kind::Observation, &before, &after), []);
        after["effectiveDateTime"] = json!("2025");
        after["device"] = json!({ "display": "x" });
        let places: Vec<String> =
            unchanged(Kind::Observation, &before, &after).into_iter().map(|it| it.expression).collect();
        assert_eq!(places, ["Observation.device", "Observation.effectiveDateTime"]);
    }

    #[test]
    fn words_beside_it_and_another_spelling_change_nothing_of_what_it_is_about() {
        let of = |code: Value, time: &str| json!({ "resourceType": "Observation", "code": code, "effectiveDateTime": time, "subject": { "reference": "Patient/1" } });
        let code = json!({ "coding": [{ "system": "s", "code": "a" }, { "system": "t", "code": "b" }] });
        let before = of(code, "2026-03-01T10:00:00Z");
        let spelled = json!({ "text": "x", "coding": [{ "system": "t", "code": "b", "display": "B" }, { "system": "s", "code": "a" }] });
        let mut same = of(spelled, "2026-03-01T11:00:00+01:00");
        same["subject"]["display"] = json!("somebody");
        assert_eq!(unchanged(Kind::Observation, &before, &same), []);
        for (name, value) in [
            ("code", json!({ "coding": [{ "system": "s", "code": "a" }] })),
            ("code", json!({ "text": "a" })),
            ("effectiveDateTime", json!("2026-03-01T10:00:01Z")),
            ("effectiveDateTime", json!("2026-03-01")),
            ("subject", json!({ "reference": "Patient/2" })),
            ("subject", json!({ "display": "somebody" })),
        ] {
            let mut other = before.clone();
            other[name] = value;
            let told: Vec<String> =
                unchanged(Kind::Observation, &before, &other).into_iter().map(|it| it.expression).collect();
            assert_eq!(told, [format!("Observation.{name}")], "{other}");
        }
    }
}
