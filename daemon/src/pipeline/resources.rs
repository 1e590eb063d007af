//! The rows that one outcome version becomes at one destination: what is sent, serialized once.
//!
//! A row's body is a [`Write`]: every resource with its place in a Bundle, or one alone. The request itself (create
//! or update, with which location) is put together when it is sent, from the same bytes and the ledger,
//! because only then is it known what stands at the destination; so are the EHR's own ids of patient and encounter.
//! A message of HL7 v2 is its own bytes.

use clinical::fhir::{
    project::{Body, Item, ProjectionError, Version, project},
    projection::{Kind, Style},
    release::Release,
};
use outbox::{Enters, NewRow};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::hex::hex;
use crate::{
    broker::Priority,
    capability::{Capability, Category, ResourceKind},
    destination::{Destination, MESSAGES, PROVENANCE, Way},
};

/// Stands in a stored search where the reference of the patient, or of a Provenance's target, is put in.
pub const ABOUT: &str = "{about}";

/// Why no resources could be made; a defect or a policy, never a patient's data.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// The projection does not give them.
    #[error("{0}")]
    Projection(#[from] ProjectionError),
    /// The resources could not be written as JSON.
    #[error("json: {0}")]
    Json(#[from] serde_json::Error),
    /// A resource of a kind that the endpoint does not know.
    #[error("a resource of a kind that the endpoint does not know")]
    NoKind,
    /// It could not be found by all that it says.
    #[error("a resource says more than it can be found by")]
    TooManyTerms,
    /// A resource refers to one that is not made with it.
    #[error("a resource refers to one that is not made with it")]
    Unresolved,
    /// A time that FHIR cannot write.
    #[error("a time outside the years 1 to 9999")]
    Time,
}

/// The stored body of a row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Write {
    /// The release of FHIR that the resources are written in, by its name.
    pub release: String,
    /// The resources, in the order of the Bundle.
    pub resources: Vec<Part>,
}

impl Write {
    /// The release of FHIR; that of the guide where the name is none.
    pub fn release(&self) -> Release {
        Release::from_name(&self.release).unwrap_or_default()
    }
}

/// One resource of a [`Write`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    /// `urn:uuid:` that other parts refer to, and its name in the ledger.
    pub full_url: String,
    /// The conditional create's search; `None` where the destination knows none.
    pub if_none_exist: Option<String>,
    /// The search by which it is looked for where an answer did not come; empty where nothing can be looked up.
    pub search: Vec<(String, String)>,
    /// The resource.
    pub resource: Value,
}

/// How the rows of a version enter the queue.
pub struct Entry<'a> {
    /// The form.
    pub way: &'a Way,
    /// How pressing it is.
    pub priority: Priority,
    /// How what carries the outcome enters.
    pub enters: Enters,
    /// How a Provenance of its own enters it, once the rest has.
    pub provenance_enters: Enters,
}

/// The rows of a version at a destination in a form.
pub fn rows(
    destination: &Destination,
    version: &Version<'_>,
    entry: &Entry<'_>,
) -> Result<Vec<NewRow>, ResourceError> {
    let way = entry.way;
    let items = project(way.projection, &way.form, version)?;
    if way.projection.style() == Style::Single {
        return items.iter().map(|item| alone(destination, version, entry, item, &items)).collect();
    }
    let provenance = items.iter().position(|item| item.kind == Kind::Provenance);
    let together = match provenance {
        Some(_) if !destination.provenance_in_bundle(way) => {
            items.iter().filter(|item| item.kind != Kind::Provenance).map(part).collect()
        }
        _ => items.iter().map(part).collect(),
    };
    let carrier = way.carrier().name();
    let mut rows = vec![packed(destination, version, entry, carrier, together, None)?];
    if let Some(at) = provenance.filter(|_| !destination.provenance_in_bundle(way)) {
        rows.push(packed(destination, version, entry, PROVENANCE.name(), vec![part(&items[at])], Some(0))?);
    }
    Ok(rows)
}

/// The row of an item that travels alone; it follows the last of those that it refers to.
fn alone(
    destination: &Destination,
    version: &Version<'_>,
    entry: &Entry<'_>,
    item: &Item,
    items: &[Item],
) -> Result<NewRow, ResourceError> {
    if let Body::Message { bytes, control_id } = &item.body {
        let to = entry.way.outbound.as_deref().map(crate::outbound::destination).unwrap_or_default();
        return Ok(NewRow {
            key: key(&to, MESSAGES.name(), version.version, [control_id.as_str()]),
            destination: to,
            kind: destination.message_kind(),
            depends_on: None,
            form: entry.way.projection.name().to_owned(),
            priority: entry.priority.rank(),
            enters: entry.enters.clone(),
            body: bytes.clone(),
        });
    }
    let kind = capability_of(item).name();
    // What is of its own kind stands before it in its line already.
    let needs = item.needs.iter().rfind(|at| capability_of(&items[**at]).name() != kind);
    packed(destination, version, entry, kind, vec![part(item)], needs.copied())
}

fn packed(
    destination: &Destination,
    version: &Version<'_>,
    entry: &Entry<'_>,
    kind: &str,
    resources: Vec<Part>,
    depends_on: Option<usize>,
) -> Result<NewRow, ResourceError> {
    let enters = match (&entry.enters, kind == PROVENANCE.name()) {
        (Enters::Pending, true) => &entry.provenance_enters,
        (enters, _) => enters,
    };
    let names = resources.iter().map(|part| part.full_url.as_str());
    Ok(NewRow {
        key: key(&destination.id, kind, version.version, names),
        destination: destination.id.clone(),
        kind: kind.to_owned(),
        depends_on,
        form: entry.way.projection.name().to_owned(),
        priority: entry.priority.rank(),
        enters: enters.clone(),
        body: serde_json::to_vec(&Write { release: entry.way.form.release.name().to_owned(), resources })?,
    })
}

/// The identity of an effect: the same resources of the same version have it once.
fn key<'a>(
    destination: &'a str,
    kind: &'a str,
    version: u32,
    names: impl IntoIterator<Item = &'a str>,
) -> [u8; 32] {
    let mut effect = Sha256::new();
    for part in names.into_iter().chain([destination, kind]) {
        effect.update((part.len() as u64).to_be_bytes());
        effect.update(part);
    }
    effect.update(version.to_be_bytes());
    effect.finalize().into()
}

/// An item as a part of a row.
pub(crate) fn part(item: &Item) -> Part {
    let search = item.reconcile.parameters(ABOUT).into_iter();
    Part {
        full_url: item.full_url(),
        if_none_exist: item.if_none_exist.clone(),
        search: search.map(|(name, value)| (name.to_owned(), value)).collect(),
        resource: item.resource().cloned().unwrap_or_default(),
    }
}

/// What writing an item needs.
pub(crate) fn capability_of(item: &Item) -> Capability {
    let category = item.category.and_then(Category::of_code);
    match item.kind {
        Kind::Observation => Capability { resource: ResourceKind::Observation, category },
        Kind::Provenance => PROVENANCE,
        Kind::DiagnosticReport => Capability::of(ResourceKind::DiagnosticReport),
        Kind::DocumentReference => Capability::of(ResourceKind::DocumentReference),
        Kind::Message => MESSAGES,
        Kind::Goal => Capability::of(ResourceKind::Goal),
    }
}

/// What writing a resource needs; `None` for one that we do not make.
pub fn capability(resource: &Value) -> Option<Capability> {
    let name = resource["resourceType"].as_str()?;
    let category = resource["category"][0]["coding"][0]["code"].as_str().and_then(Category::of_code);
    let resource = ResourceKind::ALL.into_iter().find(|kind| kind.name() == name)?;
    Some(match resource {
        ResourceKind::Observation => Capability { resource, category },
        _ => Capability::of(resource),
    })
}

/// The hash by which a manifest is cited.
pub fn cited(sha256: &[u8; 32]) -> String {
    hex(sha256)
}

#[cfg(test)]
#[path = "resources_tests.rs"]
mod tests;
