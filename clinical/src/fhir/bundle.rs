//! One request: a transaction Bundle of creates and updates, with references that hold inside it.
//!
//! Invariants: the same entries are the same bytes; a create is conditional wherever the caller hands a
//! search; an update is a PUT to the location that the server gave, so that it replaces what stands
//! there; wherever another entry refers to an updated resource, it says the server's `Type/id`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    location::Location,
    provenance::{Provenance, instant},
    summary::Resource,
};
use crate::reading::Instant;

/// One entry of a transaction.
#[derive(Clone, PartialEq)]
pub enum Entry {
    /// A POST, conditional where `if_none_exist` is given.
    Create {
        /// The resource, without `id`.
        resource: Value,
        /// Its `urn:uuid:`.
        full_url: String,
        /// A search, `identifier=system|value`; `None` where the site takes no conditional create.
        if_none_exist: Option<String>,
    },
    /// A PUT to where the earlier version stands.
    Update {
        /// The resource; its `id` is set to the location's.
        resource: Value,
        /// The `urn:uuid:` that the other entries refer to.
        full_url: String,
        /// Where the earlier version stands.
        location: Location,
        /// The earlier version's ETag as received, for `ifMatch`.
        etag: Option<String>,
    },
}

impl Entry {
    /// A conditional create of an Observation or a DiagnosticReport.
    pub fn create(resource: &Resource) -> Self {
        Self::Create {
            resource: resource.json.clone(),
            full_url: resource.full_url(),
            if_none_exist: Some(resource.if_none_exist()),
        }
    }

    /// An update of an Observation.
    pub fn update(resource: &Resource, location: Location, etag: Option<String>) -> Self {
        Self::Update { resource: resource.json.clone(), full_url: resource.full_url(), location, etag }
    }

    /// A conditional create of a Provenance: every version has its own, so it is never updated.
    pub fn provenance(provenance: &Provenance) -> Self {
        Self::Create {
            resource: provenance.json.clone(),
            full_url: provenance.full_url(),
            if_none_exist: Some(provenance.if_none_exist()),
        }
    }
}

/// References that a lone resource makes to something that is not delivered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{count} references to resources that are not delivered yet")]
pub struct Unresolved {
    /// How many `urn:uuid:` references were left.
    pub count: usize,
}

/// The transaction Bundle of the entries, in their order.
pub fn transaction(entries: &[Entry]) -> Value {
    let known: BTreeMap<String, String> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Update { full_url, location, .. } => Some((full_url.clone(), location.reference())),
            Entry::Create { .. } => None,
        })
        .collect();
    let entries: Vec<Value> = entries.iter().map(|entry| packed(entry, &known)).collect();
    json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries })
}

/// A transaction for `$submit-cgm-bundle`, which wants to be told when the Bundle was made (the guide's
/// `cgm-data-submission-bundle`: `timestamp` 1..1); `None` where FHIR cannot write that time.
pub fn submission(entries: &[Entry], made: Instant) -> Option<Value> {
    let mut bundle = transaction(entries);
    bundle["timestamp"] = instant(made)?.into();
    Some(bundle)
}

/// Replaces every reference that `known` has (`urn:uuid:` → `Type/id`), for a resource that travels
/// after what it refers to.
///
/// # Errors
/// Where a `urn:uuid:` reference is left: the receiver could not resolve it.
pub fn resolve(resource: &mut Value, known: &BTreeMap<String, String>) -> Result<(), Unresolved> {
    match rewrite(resource, known) {
        0 => Ok(()),
        count => Err(Unresolved { count }),
    }
}

fn packed(entry: &Entry, known: &BTreeMap<String, String>) -> Value {
    let mut request = Map::new();
    let (mut resource, full_url) = match entry {
        Entry::Create { resource, full_url, if_none_exist } => {
            let kind = resource.get("resourceType").cloned().unwrap_or_default();
            request.insert("method".into(), "POST".into());
            request.insert("url".into(), kind);
            if let Some(search) = if_none_exist {
                request.insert("ifNoneExist".into(), search.as_str().into());
            }
            (resource.clone(), full_url.clone())
        }
        Entry::Update { resource, full_url, location, etag } => {
            request.insert("method".into(), "PUT".into());
            request.insert("url".into(), location.reference().into());
            if let Some(etag) = etag.as_deref().filter(|etag| !etag.trim().is_empty()) {
                request.insert("ifMatch".into(), etag.trim().into());
            }
            let mut resource = resource.clone();
            if let Value::Object(fields) = &mut resource {
                fields.insert("id".into(), location.id().into());
            }
            // A fullUrl is absolute: without a base the urn stays, which R4 permits beside an id.
            (resource, location.absolute().unwrap_or_else(|| full_url.clone()))
        }
    };
    rewrite(&mut resource, known);
    json!({ "fullUrl": full_url, "resource": resource, "request": request })
}

/// Rewrites references in place; how many `urn:uuid:` references were left.
fn rewrite(value: &mut Value, known: &BTreeMap<String, String>) -> usize {
    match value {
        Value::Array(items) => items.iter_mut().map(|item| rewrite(item, known)).sum(),
        Value::Object(fields) => fields
            .iter_mut()
            .map(|(name, child)| match child {
                Value::String(text) if name == "reference" => match known.get(text.as_str()) {
                    Some(reference) => {
                        *text = reference.clone();
                        0
                    }
                    None => usize::from(text.starts_with("urn:uuid:")),
                },
                _ => rewrite(child, known),
            })
            .sum(),
        _ => 0,
    }
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
mod tests;
