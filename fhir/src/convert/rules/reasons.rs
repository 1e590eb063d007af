//! Pairs of a code and a reference in R4 that are one CodeableReference in R5.

use serde_json::{Value, json};

use super::super::{Conversion, Making, coerce::has_only};
use crate::Release;

pub(super) fn service_request(conversion: &Conversion, making: &mut Making<'_>, depth: usize) {
    pair(conversion, making, ["reasonCode", "reasonReference", "reason"], depth);
    pair(conversion, making, ["locationCode", "locationReference", "location"], depth);
    instruction(conversion, making);
}

pub(super) fn task(conversion: &Conversion, making: &mut Making<'_>, depth: usize) {
    pair(conversion, making, ["reasonCode", "reasonReference", "reason"], depth);
}

/// The names in R4 of the code and of the reference, and the name in R5 of both.
fn pair(conversion: &Conversion, making: &mut Making<'_>, [code, reference, both]: [&str; 3], depth: usize) {
    let many =
        [&making.source, &making.target].iter().find_map(|it| it.element(code)).is_some_and(|it| it.many);
    if conversion.is_to(Release::R5) {
        let sound = |value: Option<&Value>| {
            value.is_none_or(|value| if many { value.is_array() } else { value.is_object() })
        };
        if !sound(making.left.get(code)) || !sound(making.left.get(reference)) {
            return;
        }
        let mut items = Vec::new();
        for (name, half, kind) in
            [(code, "concept", "CodeableConcept"), (reference, "reference", "Reference")]
        {
            let value = making.left.remove(name);
            let values = match value {
                Some(Value::Array(values)) => values,
                value => value.into_iter().collect(),
            };
            items.extend(values.iter().map(|value| json!({ half: conversion.typed(kind, value, depth) })));
        }
        if !items.is_empty() {
            making.put(both, Value::Array(items));
        }
        return;
    }
    let Some(Value::Array(items)) = making.left.get(both) else { return };
    if !items.iter().all(Value::is_object) {
        return;
    }
    let halves = |name: &str, kind: &str| -> Vec<Value> {
        items.iter().filter_map(|item| Some(conversion.typed(kind, item.get(name)?, depth))).collect()
    };
    let (mut codes, mut references) =
        (halves("concept", "CodeableConcept"), halves("reference", "Reference"));
    let is_code = |item: &Value| has_only(item, &["concept"]);
    let in_order = items.iter().skip_while(|item| is_code(item)).all(|item| has_only(item, &["reference"]));
    let exact = in_order && (many || (codes.len() <= 1 && references.len() <= 1));
    let value = making.left.remove(both);
    if let Some(value) = value.filter(|_| !exact) {
        making.keep_as(both, Some(&value), None);
    }
    if !many {
        codes.truncate(1);
        references.truncate(1);
    }
    for (name, values) in [(code, codes), (reference, references)] {
        let value = if many { Some(Value::Array(values.clone())) } else { values.first().cloned() };
        if let Some(value) = value.filter(|_| !values.is_empty()) {
            making.put(name, value);
        }
    }
}

/// A text in R4; in R5 texts, each of them or a document.
fn instruction(conversion: &Conversion, making: &mut Making<'_>) {
    let name = "patientInstruction";
    if conversion.is_to(Release::R5) {
        if making.left.get(name).is_some_and(Value::is_string)
            && let Some(text) = making.take(name)
        {
            making.put(name, json!([{ "instructionMarkdown": text }]));
        }
        return;
    }
    let Some(Value::Array(items)) = making.left.get(name) else { return };
    let text = items
        .iter()
        .find_map(|item| item.get("instructionMarkdown").filter(|text| text.is_string()).cloned());
    let exact = items.len() == 1 && items.iter().all(|item| has_only(item, &["instructionMarkdown"]));
    let Some(text) = text else { return };
    let value = making.left.remove(name);
    making.put(name, text);
    if let Some(value) = value.filter(|_| !exact) {
        making.keep_as(name, Some(&value), None);
    }
}
