//! A resource of this server in the other release. Pure.
//!
//! Invariants: what is served is valid in the release in which it is served. What that one requires and the other does not
//! have is there as what is not known (extension-data-absent-reason, `unknown`), and is never made up. What conversion marks as
//! changing the meaning is taken back from a client, because conversion understands it.

use fhir::{Release, convert};
use serde_json::{Value, json};

/// Why an element has no value (hl7.org/fhir/extensions/StructureDefinition-data-absent-reason.html).
const ABSENT: &str = "http://hl7.org/fhir/StructureDefinition/data-absent-reason";
/// Levels that are looked through for extensions: as deep as a body may be.
const DEEPEST: usize = 128;

/// A resource in a release.
pub(super) fn rendered(resource: &Value, from: Release, to: Release) -> Value {
    let mut rendered = convert::convert(resource, from, to);
    if from != to {
        complete(&mut rendered, to);
    }
    rendered
}

/// Puts what a release requires and the other cannot say.
fn complete(resource: &mut Value, release: Release) {
    let absent = json!({ "extension": [{ "url": ABSENT, "valueCode": "unknown" }] });
    let Release::R4 = release else { return };
    let kind = resource["resourceType"].as_str().unwrap_or_default().to_owned();
    let Some(members) = resource.as_object_mut() else { return };
    match kind.as_str() {
        "Consent" => {
            members.entry("scope").or_insert_with(|| absent.clone());
            members.entry("category").or_insert_with(|| json!([absent]));
            // ppc-1: one of the two.
            if !members.contains_key("policy") {
                members.entry("policyRule").or_insert(absent);
            }
        }
        "Provenance" if !members.contains_key("recorded") => {
            members.entry("_recorded").or_insert(absent);
        }
        _ => {}
    }
}

/// The release that is not this one.
pub(super) const fn other(release: Release) -> Release {
    match release {
        Release::R4 => Release::R5,
        Release::R5 => Release::R4,
    }
}

/// Whether every modifier extension of a resource is an element of the other release, kept by conversion, that conversion
/// finds again.
pub(super) fn is_understood(resource: &Value, release: Release) -> bool {
    let other = other(release);
    let version = match other {
        Release::R4 => "4.0",
        Release::R5 => "5.0",
    };
    let kept = format!("http://hl7.org/fhir/{version}/StructureDefinition/extension-");
    modifiers(resource, 0).iter().all(|url| url.starts_with(&kept))
        && modifiers(&convert::convert(resource, release, other), 0).is_empty()
}

/// The addresses of all modifier extensions.
fn modifiers(value: &Value, depth: usize) -> Vec<&str> {
    match value {
        _ if depth > DEEPEST => vec!["deeper"],
        Value::Object(members) => {
            let own = members.get("modifierExtension").and_then(Value::as_array).into_iter().flatten();
            let own = own.map(|extension| extension["url"].as_str().unwrap_or_default());
            own.chain(members.values().flat_map(|inner| modifiers(inner, depth + 1))).collect()
        }
        Value::Array(items) => items.iter().flat_map(|inner| modifiers(inner, depth + 1)).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use fhir::validate::validate;

    use super::*;

    #[test]
    fn what_r4_requires_and_r5_has_not_said_is_there_as_unknown() {
        for r5 in [
            json!({ "resourceType": "Consent", "status": "active", "decision": "permit", "subject": { "display": "p" } }),
            json!({ "resourceType": "Provenance", "target": [{ "display": "t" }], "agent": [{ "who": { "display": "w" } }] }),
        ] {
            let r4 = rendered(&r5, Release::R5, Release::R4);
            let faults: Vec<_> =
                validate(&r4, Release::R4).into_iter().filter(fhir::Issue::is_error).collect();
            assert_eq!(faults, [], "{r4}");
            assert_eq!(rendered(&r5, Release::R5, Release::R5), r5);
        }
        let said = json!({ "resourceType": "Provenance", "recorded": "2026-03-01T00:00:00Z" });
        assert_eq!(rendered(&said, Release::R5, Release::R4)["recorded"], said["recorded"]);
    }

    #[test]
    fn what_conversion_keeps_as_a_modifier_is_understood_and_no_other_is() {
        let r4 = json!({ "resourceType": "Consent", "status": "active", "scope": { "text": "s" }, "policyRule": { "text": "p" } });
        let r5 = rendered(&r4, Release::R4, Release::R5);
        assert!(r5["modifierExtension"].is_array() && is_understood(&r5, Release::R5));
        // The same address in the release whose element it is.
        assert!(!is_understood(&r5, Release::R4));
        for url in [
            "http://e/x",
            "http://hl7.org/fhir/4.0/StructureDefinition/extension-Consent.nothing",
            "http://hl7.org/fhir/4.0/StructureDefinition/extension-Device.scope",
        ] {
            let mut other = r5.clone();
            other["modifierExtension"][0]["url"] = json!(url);
            assert!(!is_understood(&other, Release::R5), "{url}");
        }
    }
}
