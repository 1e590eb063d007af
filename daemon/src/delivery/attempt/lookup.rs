//! What stands at a destination: reads and searches, and what their answers prove.
//!
//! Invariants: a resource is ours only where it has the type and the identifier that we gave it, whatever
//! was asked for, for a lenient server drops a search parameter that it does not know and answers with
//! anybody's; that a resource is not there is proved by 404 or 410 of a read and by a search that found
//! nothing at all, and by no refusal.

use clinical::fhir::location::Location;
use serde_json::Value;

use super::Standing;
use crate::{
    delivery::http::{self, Request, Told},
    destination::Destination,
    pipeline::resources::Part,
    verdict::{Attempt, Verdict},
};

/// What a look told.
pub(super) enum Found {
    /// Our resource, and where it stands.
    Ours(Value, Standing),
    /// Something that does not carry our identifier, and nothing that does.
    Foreign,
    /// Proved: it is not there.
    Absent,
    /// The destination does not let us look: nothing is known.
    Hidden,
}

/// An answer to a GET.
enum Got {
    Body(Told),
    Gone,
    Refused,
}

/// Reads what stands at a location where `part` is expected.
///
/// # Errors
/// [`Verdict::Ambiguous`] while the destination cannot be asked.
pub(super) async fn read(
    destination: &Destination,
    part: &Part,
    location: &Location,
) -> Result<Found, Verdict> {
    let url = format!("{}/{}", destination.base_url, location.reference());
    let told = match get(destination, &url).await? {
        Got::Body(told) => told,
        Got::Gone => return Ok(Found::Absent),
        Got::Refused => return Ok(Found::Hidden),
    };
    let theirs = told.json();
    if !theirs.is_object() {
        return Ok(Found::Hidden);
    }
    if location.resource_type() != kind(part) || !is_ours(&part.resource, &theirs) {
        return Ok(Found::Foreign);
    }
    Ok(Found::Ours(theirs, Standing { location: location.clone(), etag: told.etag, content_hash: None }))
}

/// Searches by the same query that a conditional create uses.
///
/// # Errors
/// [`Verdict::Ambiguous`] while the destination cannot be asked.
pub(super) async fn search(destination: &Destination, part: &Part) -> Result<Found, Verdict> {
    let kind = kind(part);
    let url = format!("{}/{kind}?{}", destination.base_url, part.if_none_exist.replace('|', "%7C"));
    let Got::Body(told) = get(destination, &url).await? else { return Ok(Found::Hidden) };
    let bundle = told.json();
    if bundle["resourceType"] != "Bundle" {
        return Ok(Found::Hidden);
    }
    let entries = bundle["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
    if entries.is_empty() {
        let counted = bundle["total"].as_u64().unwrap_or(0);
        return Ok(if counted == 0 { Found::Absent } else { Found::Hidden });
    }
    let mut resources = entries.iter().map(|entry| &entry["resource"]);
    let Some(theirs) = resources.clone().find(|theirs| is_ours(&part.resource, theirs)) else {
        // An OperationOutcome alone remarks on the search ("parameter ignored"); it is no match.
        let matched = resources.any(|resource| resource["resourceType"] == kind);
        return Ok(if matched { Found::Foreign } else { Found::Hidden });
    };
    let id = theirs["id"].as_str();
    let Some(location) = id.and_then(|id| Location::parse(&format!("{kind}/{id}"))) else {
        return Ok(Found::Hidden);
    };
    let etag = theirs["meta"]["versionId"].as_str().map(|version| format!("W/\"{version}\""));
    Ok(Found::Ours(theirs.clone(), Standing { location, etag, content_hash: None }))
}

/// The resource type of a part.
pub(super) fn kind(part: &Part) -> &str {
    part.resource["resourceType"].as_str().unwrap_or_default()
}

/// A GET. While it cannot be asked, what is unknown stays unknown.
async fn get(destination: &Destination, url: &str) -> Result<Got, Verdict> {
    match http::send(&destination.client, destination.wire.release, Request::get(url), None).await {
        Ok(told) => match told.status {
            200 => Ok(Got::Body(told)),
            404 | 410 => Ok(Got::Gone),
            501 => Ok(Got::Refused),
            status @ (408 | 429 | 500..=599) => {
                Err(Verdict::Ambiguous(format!("HTTP {status} when reading back")))
            }
            _ => Ok(Got::Refused),
        },
        Err(Attempt::Unsent(cause) | Attempt::Unauthorized(cause) | Attempt::Lost(cause)) => {
            Err(Verdict::Ambiguous(format!("reading back: {cause}")))
        }
        Err(Attempt::Answered(_)) => Ok(Got::Refused),
    }
}

/// True where `theirs` is of our type and has every identifier of ours. An identifier of ours is an HMAC
/// over destination, patient and window, so no resource of another patient has it by chance.
fn is_ours(ours: &Value, theirs: &Value) -> bool {
    let wanted = identifiers(ours);
    let has = identifiers(theirs);
    theirs["resourceType"] == ours["resourceType"]
        && !wanted.is_empty()
        && wanted.iter().all(|identifier| has.contains(identifier))
}

/// System and value of a resource's identifiers. A Provenance has none in R4: what it was made from
/// names it.
fn identifiers(resource: &Value) -> Vec<(&str, &str)> {
    let items = |name: &str| resource[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let sources = items("entity").iter().map(|entity| &entity["what"]["identifier"]);
    items("identifier")
        .iter()
        .chain(sources)
        .filter_map(|identifier| Some((identifier["system"].as_str()?, identifier["value"].as_str()?)))
        .collect()
}
