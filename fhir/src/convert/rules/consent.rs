//! Consent: R4 has one rule with rules inside, R5 a decision and its exceptions.
//!
//! What a consent permits is never guessed: its rules are converted where R4's base rule says permit or deny and nothing
//! else, and each rule inside says the opposite of the one around it, which is what R5's exceptions mean. Any other
//! rules are kept as a `modifierExtension`, so that who does not understand it may not act on the consent.

use serde_json::{Map, Value, json};

use super::super::{Conversion, Making, coerce::has_only};
use crate::{Release, json::MOST_DEPTH};

/// Systems of codes in R4's `class` that name kinds of resource.
const RESOURCES: [&str; 2] = ["http://hl7.org/fhir/resource-types", "http://hl7.org/fhir/fhir-types"];

pub(super) fn consent(conversion: &Conversion, making: &mut Making<'_>, depth: usize) {
    policy(conversion, making);
    match conversion.to {
        Release::R5 => exceptions(conversion, making, depth),
        Release::R4 => base(conversion, making, depth),
    }
    // The general way would make a base rule of an exception, and the other way round.
    if let Some(rules) = making.left.remove("provision") {
        making.keep_as("provision", Some(&rules), None);
    }
}

fn exceptions(conversion: &Conversion, making: &mut Making<'_>, depth: usize) {
    if making.out.contains_key("decision") || making.out.contains_key("provision") {
        making.left.remove("provision");
        return;
    }
    let Some(rule) = making.left.get("provision") else { return };
    let inside = rule.get("provision");
    let (1 | 2, Some(decision)) =
        (rule.as_object().map_or(0, Map::len), rule.get("type").and_then(Value::as_str))
    else {
        return;
    };
    let Some(other) = opposite(decision).filter(|_| inside.is_some() || has_only(rule, &["type"])) else {
        return;
    };
    let decision = Value::from(decision);
    let Some(rules) = inside.map(|rules| outwards(conversion, rules, other, depth)) else {
        making.left.remove("provision");
        return making.put("decision", decision);
    };
    if let Some(rules) = rules {
        making.left.remove("provision");
        making.put("decision", decision);
        making.put("provision", rules);
    }
}

/// R4's rules inside a rule as R5's, each of which says this; `None` where one says something else.
fn outwards(conversion: &Conversion, rules: &Value, says: &'static str, depth: usize) -> Option<Value> {
    if depth >= MOST_DEPTH {
        return None;
    }
    let rule = |rule: &Value| {
        let mut members = rule.as_object()?.clone();
        let sound = members.remove("type").is_some_and(|kind| kind == says) && !members.contains_key("_type");
        let inside = members.remove("provision");
        // An exception that says nothing besides would be an empty object.
        if !sound || (members.is_empty() && inside.is_none()) {
            return None;
        }
        let mut rule = conversion.typed("Consent.provision", &Value::Object(members), depth);
        if let Some(inside) = inside {
            rule.as_object_mut()?
                .insert("provision".to_owned(), outwards(conversion, &inside, opposite(says)?, depth + 1)?);
        }
        Some(rule)
    };
    rules.as_array()?.iter().map(rule).collect::<Option<Vec<_>>>().map(Value::Array)
}

fn base(conversion: &Conversion, making: &mut Making<'_>, depth: usize) {
    if making.out.contains_key("provision") {
        making.left.remove("decision");
        making.left.remove("provision");
        return;
    }
    if making.left.contains_key("_decision") {
        return;
    }
    let decision = making.left.get("decision").and_then(Value::as_str).map(str::to_owned);
    let Some((decision, other)) = decision.and_then(|it| opposite(&it).map(|other| (it, other))) else {
        return;
    };
    let mut rule = json!({ "type": decision });
    if let Some(rules) = making.left.get("provision") {
        let Some(rules) = inwards(conversion, rules, other, depth) else { return };
        rule["provision"] = rules;
    }
    making.left.remove("decision");
    making.left.remove("provision");
    making.put("provision", rule);
}

/// R5's exceptions as R4's rules, each of which says this; `None` for what is none.
fn inwards(conversion: &Conversion, rules: &Value, says: &'static str, depth: usize) -> Option<Value> {
    if depth >= MOST_DEPTH {
        return None;
    }
    let rule = |rule: &Value| {
        let mut members = rule.as_object()?.clone();
        let inside = members.remove("provision");
        if members.contains_key("type")
            || members.contains_key("_type")
            || (members.is_empty() && inside.is_none())
        {
            return None;
        }
        let mut rule = conversion.typed("Consent.provision", &Value::Object(members), depth);
        let made = rule.as_object_mut()?;
        made.insert("type".to_owned(), says.into());
        if let Some(inside) = inside {
            made.insert("provision".to_owned(), inwards(conversion, &inside, opposite(says)?, depth + 1)?);
        }
        Some(rule)
    };
    rules.as_array()?.iter().map(rule).collect::<Option<Vec<_>>>().map(Value::Array)
}

fn opposite(says: &str) -> Option<&'static str> {
    match says {
        "permit" => Some("deny"),
        "deny" => Some("permit"),
        _ => None,
    }
}

/// R4 has policies, each an authority and an address; R5 one basis, an address or a reference.
fn policy(conversion: &Conversion, making: &mut Making<'_>) {
    let (name, other) =
        if conversion.is_to(Release::R5) { ("policy", "policyBasis") } else { ("policyBasis", "policy") };
    if making.out.contains_key(other) {
        making.left.remove(name);
        return;
    }
    let Some(value) = making.left.get(name) else { return };
    let (address, exact) = if conversion.is_to(Release::R5) {
        let policies = value.as_array().map_or(&[][..], Vec::as_slice);
        let address = policies.iter().find_map(|policy| policy.get("uri").and_then(Value::as_str));
        (address, policies.len() == 1 && policies.iter().all(|policy| has_only(policy, &["uri"])))
    } else {
        (value.get("url").and_then(Value::as_str), has_only(value, &["url"]))
    };
    let Some(address) = address else { return };
    let said =
        if conversion.is_to(Release::R5) { json!({ "url": address }) } else { json!([{ "uri": address }]) };
    let value = making.left.remove(name);
    making.put(other, said);
    if let Some(value) = value.filter(|_| !exact) {
        making.keep_as(name, Some(&value), None);
    }
}

/// R4's `class` is R5's `documentType` and `resourceType`.
pub(super) fn class(conversion: &Conversion, making: &mut Making<'_>) {
    let is_resource =
        |coding: &Value| coding["system"].as_str().is_some_and(|system| RESOURCES.contains(&system));
    if conversion.is_to(Release::R5) {
        if making.out.contains_key("documentType") || making.out.contains_key("resourceType") {
            making.left.remove("class");
            return;
        }
        let Some(Value::Array(codings)) = making.left.get("class") else { return };
        let (resources, documents): (Vec<_>, Vec<_>) = codings.iter().cloned().partition(is_resource);
        // Those of documents come first on the way back.
        if codings.iter().skip_while(|coding| !is_resource(coding)).all(is_resource) {
            making.left.remove("class");
            for (name, codings) in [("documentType", documents), ("resourceType", resources)] {
                if !codings.is_empty() {
                    making.put(name, Value::Array(codings));
                }
            }
        }
        return;
    }
    let codings =
        |name: &str| making.left.get(name).map_or(Some(Vec::new()), |value| value.as_array().cloned());
    let (Some(documents), Some(resources)) = (codings("documentType"), codings("resourceType")) else {
        return;
    };
    let sound = !documents.iter().any(is_resource) && resources.iter().all(is_resource);
    let all: Vec<Value> = documents.into_iter().chain(resources).collect();
    if sound && !all.is_empty() {
        making.left.remove("documentType");
        making.left.remove("resourceType");
        making.put("class", Value::Array(all));
    }
}
