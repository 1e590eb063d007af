//! A resource reduced to what was asked for: `_summary` and `_elements` (search.html, 3.1.1.5.8 and 3.1.1.5.9 of R4;
//! 3.2.1.7 of R5).
//!
//! Invariants: what is required and what changes the meaning stays, so that what is left can be read without the rest;
//! what is left is marked `SUBSETTED`, so that nobody writes it back as the whole.

use serde_json::{Map, Value, json};

use crate::{
    Kind, Release,
    element::{Element, Elements, Group, elements},
};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// `_summary=true`: the elements that the standard marks Σ.
    Summary,
    /// `_summary=text`: the narrative, and what is required.
    Text,
    /// `_summary=data`: all but the narrative.
    Data,
    /// `_summary=count`: no resource; of one that is reduced all the same, what every resource has.
    Count,
    /// `_elements=a,b`: these of the resource's own elements; of a choice its name without `[x]`, or as it stands.
    Elements(Vec<String>),
}

/// What every resource has, whatever is asked for.
const ALWAYS: [&str; 4] = ["resourceType", "id", "meta", "implicitRules"];
/// Of which code system a tag tells that something was left out.
const SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";

/// The resource with what was asked for, of a release. A value that is no object of this kind comes back as it is.
pub fn reduced(value: &Value, release: Release, kind: Kind, what: &Reduction) -> Value {
    let table = elements(release);
    let (Some(members), Some(group)) = (value.as_object(), table.resource(kind.name())) else {
        return value.clone();
    };
    let mut left: Map<String, Value> = members
        .iter()
        .filter_map(|(name, value)| {
            let bare = name.strip_prefix('_').unwrap_or(name);
            if ALWAYS.contains(&bare) {
                return Some((name.clone(), value.clone()));
            }
            let Some((element, kind)) = group.member(bare) else {
                return (*what == Reduction::Data).then(|| (name.clone(), value.clone()));
            };
            if !stays(element, bare, what) {
                return None;
            }
            let value = if *what == Reduction::Summary && name == bare {
                summary(table, table.group(&kind.name), value)?
            } else {
                value.clone()
            };
            Some((name.clone(), value))
        })
        .collect();
    subsetted(&mut left);
    Value::Object(left)
}

fn stays(element: &Element, member: &str, what: &Reduction) -> bool {
    let kept = element.required || element.modifier;
    match what {
        Reduction::Summary => kept || element.summary,
        Reduction::Text => kept || element.name == "text",
        Reduction::Data => element.name != "text",
        Reduction::Count => false,
        Reduction::Elements(names) => kept || names.iter().any(|name| name == element.name || name == member),
    }
}

/// The summary of an element's value; `None` where nothing of it is in the summary.
fn summary(table: &Elements, group: Option<&Group>, value: &Value) -> Option<Value> {
    match (value, group) {
        (Value::Array(items), Some(_)) => {
            let items: Vec<Value> = items.iter().filter_map(|item| summary(table, group, item)).collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        (Value::Object(members), Some(group)) => {
            // Of an extension that stays because it changes the meaning, all stays.
            if group.name == "Extension" {
                return Some(value.clone());
            }
            let left: Map<String, Value> = members
                .iter()
                .filter_map(|(name, value)| {
                    let (element, kind) = group.member(name.strip_prefix('_').unwrap_or(name))?;
                    if !stays(element, name, &Reduction::Summary) {
                        return None;
                    }
                    let inner = table.group(&kind.name).filter(|_| !name.starts_with('_'));
                    Some((name.clone(), summary(table, inner, value)?))
                })
                .collect();
            (!left.is_empty()).then_some(Value::Object(left))
        }
        _ => Some(value.clone()),
    }
}

/// Marks what is left, once.
fn subsetted(members: &mut Map<String, Value>) {
    let meta = members.entry("meta").or_insert_with(|| json!({}));
    let Some(meta) = meta.as_object_mut() else { return };
    let Some(tags) = meta.entry("tag").or_insert_with(|| json!([])).as_array_mut() else { return };
    let is = |tag: &Value| tag["system"] == SYSTEM && tag["code"] == "SUBSETTED";
    if !tags.iter().any(is) {
        tags.push(json!({ "system": SYSTEM, "code": "SUBSETTED" }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation() -> Value {
        json!({
            "resourceType": "Observation",
            "id": "1",
            "meta": { "versionId": "2", "tag": [{ "code": "mine" }] },
            "text": { "status": "generated", "div": "<div>x</div>" },
            "extension": [{ "url": "http://e/1", "valueBoolean": true }],
            "modifierExtension": [{ "url": "http://e/2", "valueBoolean": true }],
            "status": "final",
            "_status": { "id": "s" },
            "category": [{ "text": "c" }],
            "code": { "coding": [{ "code": "15074-8" }], "extension": [{ "url": "http://e/3", "valueCode": "x" }] },
            "valueQuantity": { "value": 1 },
            "component": [{ "code": { "text": "k" }, "dataAbsentReason": { "text": "why" } }],
            "referenceRange": [{ "text": "r" }],
            "unknown": 1
        })
    }

    fn names(what: &Reduction) -> Vec<String> {
        let value = reduced(&observation(), Release::R4, Kind::Observation, what);
        value.as_object().unwrap().keys().cloned().collect()
    }

    /// The Σ, required and modifier elements of Observation (hl7.org/fhir/R4/observation.html).
    #[test]
    fn each_reduction_keeps_what_the_standard_says() {
        let always = ["_status", "code", "id", "meta", "modifierExtension", "resourceType", "status"];
        let with = |more: &[&str]| {
            let mut names: Vec<String> = always.iter().chain(more).map(|name| (*name).to_owned()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&Reduction::Summary), with(&["component", "valueQuantity"]));
        assert_eq!(names(&Reduction::Text), with(&["text"]));
        assert_eq!(
            names(&Reduction::Elements(vec!["value".into(), "category".into()])),
            with(&["category", "valueQuantity"])
        );
        assert_eq!(names(&Reduction::Elements(vec!["valueQuantity".into()])), with(&["valueQuantity"]));
        assert_eq!(names(&Reduction::Elements(vec!["valueString".into()])), with(&[]));
        assert_eq!(names(&Reduction::Count), ["id", "meta", "resourceType"]);
        let data = names(&Reduction::Data);
        assert!(
            !data.contains(&"text".to_owned()) && data.len() == observation().as_object().unwrap().len() - 1
        );
    }

    #[test]
    fn a_summary_goes_into_elements_and_what_is_left_is_marked_once() {
        let summary = reduced(&observation(), Release::R4, Kind::Observation, &Reduction::Summary);
        assert_eq!(summary["component"], json!([{ "code": { "text": "k" } }]));
        assert_eq!(summary["code"], json!({ "coding": [{ "code": "15074-8" }] }));
        let tags = json!([{ "code": "mine" }, { "system": SYSTEM, "code": "SUBSETTED" }]);
        assert_eq!(summary["meta"]["tag"], tags);
        assert_eq!(reduced(&summary, Release::R4, Kind::Observation, &Reduction::Summary), summary);
    }

    #[test]
    fn what_is_no_resource_comes_back() {
        for value in [json!([1]), json!("x"), Value::Null] {
            assert_eq!(reduced(&value, Release::R5, Kind::Task, &Reduction::Summary), value);
        }
    }
}
