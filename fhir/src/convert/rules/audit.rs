//! AuditEvent: what it is, how it went, and from where.

use serde_json::{Value, json};

use super::super::{Conversion, Making, coerce::has_only};
use crate::Release;

/// The system of R4's outcomes, which R5 takes as codings.
const OUTCOME: &str = "http://terminology.hl7.org/CodeSystem/audit-event-outcome";
/// R5's usual outcomes, and the nearest of R4.
const SEVERITIES: (&str, [(&str, &str); 5]) = (
    "http://hl7.org/fhir/issue-severity",
    [("success", "0"), ("information", "0"), ("warning", "4"), ("error", "8"), ("fatal", "12")],
);
/// R4's `agent.network.type` of a URI.
const URI: &str = "5";

pub(super) fn event(conversion: &Conversion, making: &mut Making<'_>, depth: usize) {
    if conversion.is_to(Release::R5) {
        category(conversion, making, depth);
        outcome_to_r5(making);
    } else {
        kind(conversion, making, depth);
        outcome_to_r4(making);
    }
}

/// R4's type and subtypes: with subtypes the category and the code, without them the code alone.
fn category(conversion: &Conversion, making: &mut Making<'_>, depth: usize) {
    if making.out.contains_key("category") || making.out.contains_key("code") {
        making.left.remove("type");
        making.left.remove("subtype");
        return;
    }
    let Some(kind) = making.left.get("type").filter(|kind| kind.is_object()).cloned() else { return };
    let subtypes = match making.left.get("subtype") {
        None => Vec::new(),
        Some(Value::Array(subtypes)) => subtypes.clone(),
        Some(_) => return,
    };
    making.left.remove("type");
    making.left.remove("subtype");
    let kind = conversion.typed("Coding", &kind, depth);
    if subtypes.is_empty() {
        making.put("code", json!({ "coding": [kind] }));
        return;
    }
    let subtypes: Vec<Value> = subtypes.iter().map(|it| conversion.typed("Coding", it, depth)).collect();
    making.put("category", json!([{ "coding": [kind] }]));
    making.put("code", json!({ "coding": subtypes }));
}

fn kind(conversion: &Conversion, making: &mut Making<'_>, depth: usize) {
    if making.out.contains_key("type") || making.out.contains_key("subtype") {
        making.left.remove("category");
        making.left.remove("code");
        return;
    }
    let categories = match making.left.get("category") {
        None => Vec::new(),
        Some(Value::Array(categories)) => categories.clone(),
        Some(_) => return,
    };
    let Some(code) = making.left.get("code").filter(|code| code.is_object()).cloned() else { return };
    let codings = |concept: &Value| concept["coding"].as_array().cloned().unwrap_or_default();
    let of_category: Vec<Value> = categories.iter().flat_map(codings).collect();
    let of_code = codings(&code);
    let plain = |concept: &Value| has_only(concept, &["coding"]);
    let exact = plain(&code)
        && match categories.as_slice() {
            [] => of_code.len() == 1,
            [category] => plain(category) && of_category.len() == 1 && !of_code.is_empty(),
            _ => false,
        };
    let Some(first) = of_category.first().or(of_code.first()).cloned() else { return };
    let (category, code) = (making.left.remove("category"), making.left.remove("code"));
    making.put("type", conversion.typed("Coding", &first, depth));
    if !categories.is_empty() && !of_category.is_empty() && !of_code.is_empty() {
        making.put(
            "subtype",
            Value::Array(of_code.iter().map(|it| conversion.typed("Coding", it, depth)).collect()),
        );
    }
    if !exact {
        for (name, value) in [("category", category), ("code", code)] {
            making.keep_as(name, value.as_ref(), None);
        }
    }
}

fn outcome_to_r5(making: &mut Making<'_>) {
    if making.out.contains_key("outcome") {
        making.left.remove("outcome");
        making.left.remove("outcomeDesc");
        return;
    }
    if making.left.contains_key("_outcome") || making.left.contains_key("_outcomeDesc") {
        return;
    }
    let Some(code) = making.left.get("outcome").filter(|code| code.is_string()).cloned() else { return };
    let text = match making.left.get("outcomeDesc") {
        None => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(_) => return,
    };
    making.left.remove("outcome");
    making.left.remove("outcomeDesc");
    let mut outcome = json!({ "code": { "system": OUTCOME, "code": code } });
    if let Some(text) = text {
        outcome["detail"] = json!([{ "text": text }]);
    }
    making.put("outcome", outcome);
}

fn outcome_to_r4(making: &mut Making<'_>) {
    let Some(outcome) = making.left.get("outcome").filter(|outcome| outcome.is_object()).cloned() else {
        return;
    };
    let coding = &outcome["code"];
    let text = outcome["detail"]
        .as_array()
        .and_then(|details| details.iter().find_map(|detail| detail["text"].as_str()));
    let given = coding["code"].as_str().unwrap_or_default();
    let is_own = coding["system"] == OUTCOME && ["0", "4", "8", "12"].contains(&given);
    let near =
        SEVERITIES.1.iter().find(|it| coding["system"] == SEVERITIES.0 && it.0 == given).map(|it| it.1);
    let Some(code) = near.or(is_own.then_some(given)) else { return };
    let details = outcome["detail"].as_array().map_or(&[][..], Vec::as_slice);
    let plain = match details {
        [] => has_only(&outcome, &["code"]),
        [detail] => has_only(&outcome, &["code", "detail"]) && has_only(detail, &["text"]),
        _ => false,
    };
    making.left.remove("outcome");
    making.put("outcome", code.into());
    if let Some(text) = text {
        making.put("outcomeDesc", text.into());
    }
    if !(is_own && plain && has_only(coding, &["system", "code"])) {
        making.keep_as("outcome", Some(&outcome), None);
    }
}

/// R4's address and its kind; a text, a URI or an Endpoint in R5.
pub(super) fn network(conversion: &Conversion, making: &mut Making<'_>) {
    if conversion.is_to(Release::R4) {
        for (name, kind) in [("networkUri", Some(URI)), ("networkString", None)] {
            if making.out.contains_key("network") {
                making.left.remove(name);
            } else if making.left.get(name).is_some_and(Value::is_string)
                && let Some(address) = making.take(name)
            {
                let network = kind.map_or_else(
                    || json!({ "address": address }),
                    |kind| json!({ "address": address, "type": kind }),
                );
                making.put("network", network);
            }
        }
        return;
    }
    let names = ["networkReference", "networkUri", "networkString", "_networkUri", "_networkString"];
    if names.iter().any(|name| making.out.contains_key(*name)) {
        making.left.remove("network");
        return;
    }
    let Some(network) = making.left.get("network").filter(|network| network["address"].is_string()).cloned()
    else {
        return;
    };
    making.left.remove("network");
    let is_uri = network["type"] == URI;
    making.put(if is_uri { "networkUri" } else { "networkString" }, network["address"].clone());
    let exact =
        if is_uri { has_only(&network, &["address", "type"]) } else { has_only(&network, &["address"]) };
    if !exact {
        making.keep_as("network", Some(&network), None);
    }
}
