//! DocumentReference: its context, its master identifier, its authenticator and the formats of its content.

use serde_json::{Map, Value, json};

use super::super::{Conversion, Making, coerce::has_only};
use crate::Release;

/// Who attests in R5 what R4's authenticator does.
const MODE: (&str, &str) = ("http://hl7.org/fhir/composition-attestation-mode", "official");
/// Member of R4's `context`, member of R5, and its type.
const CONTEXT: [(&str, &str, &str); 4] = [
    ("encounter", "context", "Reference"),
    ("period", "period", "Period"),
    ("facilityType", "facilityType", "CodeableConcept"),
    ("practiceSetting", "practiceSetting", "CodeableConcept"),
];

pub(super) fn document(conversion: &Conversion, making: &mut Making<'_>, depth: usize) {
    if conversion.is_to(Release::R5) {
        flatten(conversion, making, depth);
        master_to_r5(making);
    } else {
        gather(conversion, making, depth);
        master_to_r4(making);
    }
    authenticator(conversion, making, depth);
}

/// R4's context, flat. What R5 has no place for (sourcePatientInfo, related) stays a context that is kept.
fn flatten(conversion: &Conversion, making: &mut Making<'_>, depth: usize) {
    let Some(Value::Object(context)) = making.left.get("context") else { return };
    let whole = context.clone();
    let mut context = whole.clone();
    making.left.remove("context");
    for (name, other, kind) in CONTEXT {
        let many = name == "encounter";
        if context.get(name).is_none_or(|value| value.is_array() != many) {
            continue;
        }
        if let Some(value) = context.remove(name) {
            making.put(other, each(&value, |value| conversion.typed(kind, value, depth)));
        }
    }
    if context.get("event").is_some_and(Value::is_array)
        && let Some(events) = context.remove("event")
    {
        making.put(
            "event",
            each(&events, |event| json!({ "concept": conversion.typed("CodeableConcept", event, depth) })),
        );
    }
    // An id alone has no form as an extension: then all of it is kept.
    if context.keys().all(|name| name == "id") {
        context = if context.is_empty() { context } else { whole };
    }
    if !context.is_empty() {
        making.keep_as("context", Some(&Value::Object(context)), None);
    }
}

/// R5's members of the whole as R4's context.
fn gather(conversion: &Conversion, making: &mut Making<'_>, depth: usize) {
    // One that had no form as an extension stayed as it was.
    let was = making.left.get("context").filter(|context| context.is_object()).cloned();
    if was.is_some() {
        making.left.remove("context");
    }
    let mut context = match making.out.remove("context").or(was) {
        Some(Value::Object(context)) => context,
        _ => Map::new(),
    };
    for (name, other, kind) in CONTEXT {
        let many = name == "encounter";
        if making.left.get(other).is_none_or(|value| value.is_array() != many) {
            continue;
        }
        if let Some(value) = making.left.remove(other) {
            context.entry(name).or_insert_with(|| each(&value, |value| conversion.typed(kind, value, depth)));
        }
    }
    if let Some(Value::Array(events)) = making.left.get("event") {
        let concepts: Vec<Value> = events.iter().filter_map(|event| event.get("concept").cloned()).collect();
        let exact = events.iter().all(|event| has_only(event, &["concept"]));
        let events = making.left.remove("event").filter(|_| !exact);
        if !concepts.is_empty() {
            let concepts = Value::Array(concepts);
            context
                .entry("event")
                .or_insert_with(|| each(&concepts, |it| conversion.typed("CodeableConcept", it, depth)));
        }
        if let Some(events) = events {
            making.keep_as("event", Some(&events), None);
        }
    }
    if !context.is_empty() {
        making.put("context", Value::Object(context));
    }
}

fn each(value: &Value, convert: impl Fn(&Value) -> Value) -> Value {
    match value {
        Value::Array(values) => Value::Array(values.iter().map(convert).collect()),
        value => convert(value),
    }
}

/// The identifier of the version, which R5 has among the others: the first of them, and kept besides.
fn master_to_r5(making: &mut Making<'_>) {
    if !making.left.get("masterIdentifier").is_some_and(Value::is_object) {
        return;
    }
    let others = match making.left.get("identifier") {
        None => Vec::new(),
        Some(Value::Array(others)) => others.clone(),
        Some(_) => return,
    };
    let Some(master) = making.left.remove("masterIdentifier") else { return };
    making.keep_as("masterIdentifier", Some(&master), None);
    making
        .left
        .insert("identifier".to_owned(), Value::Array(std::iter::once(master).chain(others).collect()));
}

fn master_to_r4(making: &mut Making<'_>) {
    let Some(master) = making.out.get("masterIdentifier") else { return };
    let Some(Value::Array(identifiers)) = making.left.get_mut("identifier") else { return };
    if identifiers.first() == Some(master) {
        identifiers.remove(0);
        if identifiers.is_empty() {
            making.left.remove("identifier");
        }
    }
}

fn authenticator(conversion: &Conversion, making: &mut Making<'_>, depth: usize) {
    let mode = json!({ "coding": [{ "system": MODE.0, "code": MODE.1 }] });
    if conversion.is_to(Release::R5) {
        if making.left.get("authenticator").is_some_and(Value::is_object)
            && let Some(party) = making.left.remove("authenticator")
        {
            making.put(
                "attester",
                json!([{ "mode": mode, "party": conversion.typed("Reference", &party, depth) }]),
            );
        }
        return;
    }
    let Some(Value::Array(attesters)) = making.left.get("attester") else { return };
    let [attester] = attesters.as_slice() else { return };
    if has_only(attester, &["mode", "party"]) && attester["mode"] == mode {
        let party = conversion.typed("Reference", &attester["party"], depth);
        making.left.remove("attester");
        making.put("authenticator", party);
    }
}

/// A format in R4, profiles in R5, which may be codes.
pub(super) fn content(conversion: &Conversion, making: &mut Making<'_>, depth: usize) {
    if conversion.is_to(Release::R5) {
        if making.left.get("format").is_some_and(Value::is_object)
            && let Some(format) = making.left.remove("format")
        {
            making.put("profile", json!([{ "valueCoding": conversion.typed("Coding", &format, depth) }]));
        }
        return;
    }
    let Some(Value::Array(profiles)) = making.left.get("profile") else { return };
    let exact = profiles.len() == 1 && profiles.iter().all(|profile| has_only(profile, &["valueCoding"]));
    let format =
        profiles.iter().find_map(|profile| profile.get("valueCoding").filter(|it| it.is_object()).cloned());
    let Some(format) = format else { return };
    let profiles = making.left.remove("profile");
    making.put("format", conversion.typed("Coding", &format, depth));
    if let Some(profiles) = profiles.filter(|_| !exact) {
        making.keep_as("profile", Some(&profiles), None);
    }
}
