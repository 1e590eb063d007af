//! The requests of an attempt: a transaction, or one resource alone; and what came back of each entry.
//!
//! Invariant: what leaves is checked against the destination's allow-list here, in the very form in which it leaves.

use clinical::fhir::{
    answer::{self, Answer as Body, EntryAnswer},
    bundle::{self, Entry},
    issue::OperationOutcome,
    projection::sealed,
};
use serde_json::Value;

use super::To;
use crate::{
    delivery::http::{self, Request, Told},
    verdict::{Verdict, judge},
};

/// Sends all entries in one transaction Bundle.
///
/// # Errors
/// The verdict where no answer came, or where nothing was sent.
pub(super) async fn transaction(to: To<'_>, entries: &[Entry]) -> Result<(Told, Vec<EntryAnswer>), Verdict> {
    let body = checked(to, &bundle::transaction(entries))?;
    together(to, body).await
}

/// Sends entries in one Bundle of type batch; each has passed [`check`] by itself.
///
/// # Errors
/// As [`transaction`].
pub(super) async fn batch(to: To<'_>, entries: &[Entry]) -> Result<(Told, Vec<EntryAnswer>), Verdict> {
    let mut bundle = bundle::transaction(entries);
    bundle["type"] = "batch".into();
    together(to, bytes(&bundle)?).await
}

/// Posts a Bundle to the base, and reads what came of its entries; none where the answer is no Bundle.
async fn together(to: To<'_>, body: Vec<u8>) -> Result<(Told, Vec<EntryAnswer>), Verdict> {
    let told = send(to, Request::post(&to.destination.base_url), body).await?;
    let answers = match answer::read(&told.body) {
        Body::Entries(entries) => entries,
        _ => Vec::new(),
    };
    Ok((told, answers))
}

/// Sends one resource: POST to its type, or PUT to where the earlier version stands.
///
/// # Errors
/// As [`transaction`].
pub(super) async fn single(to: To<'_>, entry: &Entry) -> Result<(Told, Vec<EntryAnswer>), Verdict> {
    let base = &to.destination.base_url;
    let told = match entry {
        Entry::Create { resource, if_none_exist, .. } => {
            let url = format!("{base}/{}", resource["resourceType"].as_str().unwrap_or_default());
            let request = Request { if_none_exist: if_none_exist.as_deref(), ..Request::post(&url) };
            send(to, request, checked(to, resource)?).await?
        }
        Entry::Update { resource, location, etag, .. } => {
            let url = format!("{base}/{}", location.reference());
            let etag = etag.as_deref().map(str::trim).filter(|etag| !etag.is_empty());
            let mut resource = resource.clone();
            if let Value::Object(fields) = &mut resource {
                fields.insert("id".to_owned(), location.id().into());
            }
            let request = Request { if_match: etag, ..Request::put(&url) };
            send(to, request, checked(to, &resource)?).await?
        }
    };
    let answer = EntryAnswer {
        status: Some(told.status),
        location: told.location.clone(),
        etag: told.etag.clone(),
        outcome: OperationOutcome::read(told.json()),
    };
    Ok((told, vec![answer]))
}

/// Checks one entry of a batch as it is about to leave.
///
/// # Errors
/// [`Verdict::Defect`] where it holds what the destination's allow-list does not name.
pub(super) fn check(to: To<'_>, entry: &Entry) -> Result<(), Verdict> {
    let (Entry::Create { resource, .. } | Entry::Update { resource, .. }) = entry;
    sealed(to.way.projection, &to.way.form, resource).map_err(|leak| Verdict::Defect(leak.to_string()))
}

/// The bytes of what may leave.
fn checked(to: To<'_>, value: &Value) -> Result<Vec<u8>, Verdict> {
    sealed(to.way.projection, &to.way.form, value).map_err(|leak| Verdict::Defect(leak.to_string()))?;
    bytes(value)
}

fn bytes(value: &Value) -> Result<Vec<u8>, Verdict> {
    serde_json::to_vec(value).map_err(|error| Verdict::Defect(error.to_string()))
}

async fn send(to: To<'_>, request: Request<'_>, body: Vec<u8>) -> Result<Told, Verdict> {
    let told = http::send(&to.destination.client, to.release, request, Some(body)).await;
    told.map_err(|attempt| judge(&attempt))
}

/// Leaves out references to what was never written: it was refused for its own sake, and what refers to it says what
/// stands.
///
/// # Errors
/// [`Verdict::Data`] where nothing of a list is left: the resource would say nothing, or be about nothing.
pub(super) fn leave_out_unresolved(resource: &mut Value) -> Result<(), Verdict> {
    for name in ["hasMember", "target", "derivedFrom"] {
        let Some(Value::Array(references)) = resource.get_mut(name) else { continue };
        references.retain(|one| !one["reference"].as_str().is_some_and(|at| at.starts_with("urn:uuid:")));
        if !references.is_empty() {
            continue;
        }
        if name != "derivedFrom" {
            return Err(Verdict::Data("nothing of what it refers to was written".to_owned()));
        }
        if let Value::Object(fields) = resource {
            fields.remove(name);
        }
    }
    Ok(())
}
