//! The CapabilityStatement of whom the stand-in plays.

use serde_json::{Value, json};

use crate::exchange::Exchange;
use crate::persona::Persona;

/// What any persona lets be read.
const READ: &[&str] = &["Encounter", "Patient", "Practitioner"];
/// What is written where a persona does not say.
const WRITTEN: &[&str] = &["DiagnosticReport", "DocumentReference", "Observation", "Provenance"];

pub(crate) fn capability_statement(exchange: &Exchange) -> Value {
    let persona = exchange.conduct.persona;
    let codes = |codes: &[&str]| codes.iter().map(|code| json!({"code": code})).collect::<Vec<_>>();
    let manners = persona.manners();
    let written = exchange.writable.or(persona.creates()).unwrap_or(WRITTEN);
    let resources = written.iter().map(|resource_type| {
        let interactions: &[&str] = match (persona, *resource_type) {
            (Persona::Epic, _) | (Persona::Millennium, "Provenance") => &["create", "read", "search-type"],
            _ => &["create", "update", "read", "vread", "search-type"],
        };
        json!({"type": resource_type, "interaction": codes(interactions),
            "versioning": if interactions.contains(&"update") { "versioned-update" } else { "no-version" },
            "conditionalCreate": manners.conditional_create})
    });
    let read = READ
        .iter()
        .map(|resource_type| json!({"type": resource_type, "interaction": codes(&["read", "search-type"])}));
    let bundles = exchange.conduct.bundles.unwrap_or_else(|| persona.bundles());
    let whole: Vec<&str> = [("transaction", bundles.transaction), ("batch", bundles.batch)]
        .into_iter()
        .filter_map(|(kind, taken)| taken.then_some(kind))
        .collect();
    let mut rest = json!({"mode": "server", "resource": resources.chain(read).collect::<Vec<_>>(),
        "interaction": codes(&whole)});
    if persona == Persona::CgmIg {
        let definition = "http://hl7.org/fhir/uv/cgm/OperationDefinition/submit-cgm-bundle";
        rest["operation"] = json!([{"name": "submit-cgm-bundle", "definition": definition}]);
    }
    if let Some(smart) = &exchange.smart {
        let service = json!({"coding": [{"code": "SMART-on-FHIR",
            "system": "http://terminology.hl7.org/CodeSystem/restful-security-service"}]});
        rest["security"] = json!({"service": [service], "extension": [{
            "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
            "extension": [{"url": "token", "valueUri": smart.token_url()}]}]});
    }
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-01-01",
        "kind": "instance",
        "software": {"name": software(persona)},
        "implementation": {"description": "A stand-in for demos and tests", "url": exchange.base_url},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "rest": [rest],
    })
}

fn software(persona: Persona) -> &'static str {
    match persona {
        Persona::CgmIg => "stand-in EHR",
        Persona::Plain => "stand-in FHIR server",
        Persona::Epic => "stand-in Epic",
        Persona::Millennium => "stand-in Oracle Health Millennium",
    }
}
