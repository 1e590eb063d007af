//! `metadata`: what this server does at this moment (hl7.org/fhir/R4/capabilitystatement.html). Pure.
//!
//! Invariant: it is made from the tables that the interactions go by, so that it says what is true; it holds nothing of
//! patients, because anybody may read it.

use fhir::{
    Kind, Release,
    search::{Parameter, search_parameters},
};
use serde_json::{Value, json};

use super::ask::Answer;
use crate::{generation::Generation, time};

/// What is to be known of single readings that came by another way (`readings`).
const READINGS: &str = "Single readings that came over HL7 v2 or as files are Observations made when they are asked for (ids \
    that begin with r-). They are found by a search that names a patient, in the order of date, and read by their ids; without \
    a patient, by _sort=_lastUpdated and by If-None-Exist they are not. They have one version, the one that stands, and no \
    history, and are changed at their source. _total counts them where patient, code, category, status and times alone are \
    asked for.";

/// The answer to `GET metadata`.
pub(super) fn answer(generation: &Generation, base: &str, release: Release) -> Answer {
    let body = statement(generation, base, release).to_string();
    Answer::fhir(200, release, body.into())
}

/// The CapabilityStatement of the configuration in force.
fn statement(generation: &Generation, base: &str, release: Release) -> Value {
    let limits = generation.config.main.fhir.as_ref().map(|fhir| fhir.limits.clone());
    let writes = limits.unwrap_or_default().writes;
    let issuers: Vec<&str> = generation
        .config
        .main
        .fhir
        .iter()
        .flat_map(|fhir| &fhir.issuers)
        .map(|issuer| issuer.issuer.as_str())
        .collect();
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": time::rfc3339(generation.since),
        "kind": "instance",
        "software": { "name": "Isthmus", "version": env!("CARGO_PKG_VERSION") },
        "implementation": { "description": "The local FHIR endpoint of an Isthmus box", "url": base },
        "fhirVersion": release.version(),
        "format": ["application/fhir+json", "json"],
        "rest": [{
            "mode": "server",
            "documentation": "Search is strict unless handling=lenient is preferred. Nothing is deleted: what was wrong is \
                marked entered-in-error. The same bytes from the same client are taken once. With every search go _count, _sort, _total, \
                _summary, _elements, _include and _revinclude.",
            "security": security(&issuers),
            "resource": Kind::ALL.map(|kind| resource(kind, release, &writes)),
            "interaction": [{ "code": "transaction" }, { "code": "batch" }],
            "operation": [{
                "name": "submit-cgm-bundle",
                "definition": "http://hl7.org/fhir/uv/cgm/OperationDefinition/submit-cgm-bundle",
            }],
        }],
    })
}

fn security(issuers: &[&str]) -> Value {
    let service = json!({
        "coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
            "code": if issuers.is_empty() { "Certificates" } else { "SMART-on-FHIR" },
        }],
    });
    let description = if issuers.is_empty() {
        "TLS with a client certificate that is known here.".to_owned()
    } else {
        format!(
            "TLS with a client certificate that is known here, or a bearer token of: {}.",
            issuers.join(", ")
        )
    };
    json!({ "cors": false, "service": [service], "description": description })
}

fn resource(kind: Kind, release: Release, writes: &[Kind]) -> Value {
    let is_written = writes.contains(&kind);
    let mut interactions = vec!["read", "search-type"];
    if kind != Kind::AuditEvent {
        interactions.extend(["vread", "history-instance"]);
    }
    if is_written {
        interactions.extend(["create", "update"]);
    }
    let interactions: Vec<Value> = interactions.iter().map(|code| json!({ "code": code })).collect();
    let includes = fhir::search::includes(kind);
    let mut resource = json!({
        "type": kind.name(),
        "interaction": interactions,
        "versioning": if kind == Kind::AuditEvent { "no-version" } else { "versioned" },
        "readHistory": kind != Kind::AuditEvent,
        "updateCreate": false,
        "conditionalCreate": is_written,
        "conditionalRead": if kind == Kind::AuditEvent { "not-supported" } else { "full-support" },
        "conditionalUpdate": false,
        "conditionalDelete": "not-supported",
        "referencePolicy": ["literal", "logical", "enforced"],
        "searchParam": parameters(kind),
        "operation": operations(kind),
    });
    if kind == Kind::Observation {
        resource["documentation"] = json!(READINGS);
    }
    if release == Release::R5 {
        resource["conditionalPatch"] = json!(false);
    }
    if !includes.is_empty() && kind != Kind::AuditEvent {
        resource["searchInclude"] = json!(includes);
        resource["searchRevInclude"] = json!(["Provenance:target"]);
    }
    resource
}

fn parameters(kind: Kind) -> Vec<Value> {
    let of_kind = |parameter: &Parameter| {
        json!({
            "name": parameter.name,
            "type": parameter.kind_of.code(),
            "documentation": parameter.documentation,
        })
    };
    search_parameters(kind).map(of_kind).collect()
}

fn operations(kind: Kind) -> Value {
    let hl7 = |name: &str, path: &str| json!({ "name": name, "definition": format!("http://hl7.org/fhir/OperationDefinition/{path}") });
    let mut operations = vec![hl7("validate", "Resource-validate")];
    if kind == Kind::Patient {
        operations.push(hl7("everything", "Patient-everything"));
        operations.push(json!({
            "name": "outcomes",
            "definition": "urn:isthmus:operation:outcomes",
            "documentation": "The metrics of a window: days and end, or start and end, and policy.",
        }));
    }
    json!(operations)
}
