//! What stands at a destination: reads and searches, and what their answers prove.
//!
//! Invariants: a resource is ours only where it has the type and the identifier that we gave it, whatever
//! was asked for, for a lenient server drops a search parameter that it does not know and answers with
//! anybody's; that a resource is not there is proved by 404 or 410 of a read and by a search that found
//! nothing at all, and by no refusal.

use clinical::fhir::{location::Location, readback::same_as};
use serde_json::Value;

use super::{Standing, To};
use crate::{
    delivery::http::{self, Request, Told},
    destination::PROVENANCE,
    pipeline::resources::{ABOUT, Part},
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
    /// The same, and perhaps only for now: a key or a token is being exchanged. Some servers say so of what they permit
    /// nobody.
    Unauthorized,
}

/// An answer to a GET.
enum Got {
    Body(Told),
    Gone,
    Refused,
    Unauthorized,
}

/// Reads what stands at a location where `part` is expected.
///
/// # Errors
/// [`Verdict::Ambiguous`] while the destination cannot be asked.
pub(super) async fn read(to: To<'_>, part: &Part, location: &Location) -> Result<Found, Verdict> {
    let url = format!("{}/{}", to.destination.base_url, location.reference());
    let told = match get(to, &url).await? {
        Got::Body(told) => told,
        Got::Gone => return Ok(Found::Absent),
        Got::Refused => return Ok(Found::Hidden),
        Got::Unauthorized => return Ok(Found::Unauthorized),
    };
    let theirs = told.json().clone();
    if !theirs.is_object() {
        return Ok(Found::Hidden);
    }
    if location.resource_type() != kind(part) || (by_identifier(part) && !is_ours(&part.resource, &theirs)) {
        return Ok(Found::Foreign);
    }
    Ok(Found::Ours(theirs, Standing { location: location.clone(), etag: told.etag, content_hash: None }))
}

/// Searches for a part: by our identifier where the destination keeps it, else by what it is about. `ours` is the part
/// as it is sent.
///
/// # Errors
/// [`Verdict::Ambiguous`] while the destination cannot be asked.
pub(super) async fn search(to: To<'_>, part: &Part, ours: &Value) -> Result<Found, Verdict> {
    let kind = kind(part);
    let Some(about) = about(part, ours) else { return Ok(Found::Hidden) };
    let parameters: Vec<(&str, String)> =
        part.search.iter().map(|(name, value)| (name.as_str(), value.replace(ABOUT, &about))).collect();
    let base = format!("{}/{kind}", to.destination.base_url);
    let url = reqwest::Url::parse_with_params(&base, &parameters);
    let (Ok(url), false) = (url, parameters.is_empty()) else { return Ok(Found::Hidden) };
    let told = match get(to, url.as_str()).await? {
        Got::Body(told) => told,
        Got::Unauthorized => return Ok(Found::Unauthorized),
        Got::Gone | Got::Refused => return Ok(Found::Hidden),
    };
    let bundle = told.json();
    if bundle["resourceType"] != "Bundle" {
        return Ok(Found::Hidden);
    }
    let entries = bundle["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
    if entries.is_empty() {
        // A page may be short, even empty, and what was asked for on the next.
        let all = bundle["total"].as_u64().unwrap_or(0) == 0 && !has_next(bundle);
        return Ok(if all { Found::Absent } else { Found::Hidden });
    }
    let mut resources = entries.iter().map(|entry| &entry["resource"]);
    let by_content = !by_identifier(part);
    let found = |theirs: &&Value| match by_content {
        true => same_as(to.way.projection, ours, theirs),
        false => is_ours(&part.resource, theirs),
    };
    let Some(theirs) = resources.clone().find(found) else {
        if by_content {
            return Ok(others(ours, bundle, resources));
        }
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

/// What is put in the place of [`ABOUT`]: the patient as the EHR knows them, or of a Provenance its target; `None` where
/// that is asked for and not known.
fn about(part: &Part, ours: &Value) -> Option<String> {
    if !part.search.iter().any(|(_, value)| value.contains(ABOUT)) {
        return Some(String::new());
    }
    if kind(part) == PROVENANCE.name() {
        let target = ours["target"][0]["reference"].as_str().filter(|target| !target.starts_with("urn:"));
        return target.map(str::to_owned);
    }
    let subject = ours["subject"]["reference"].as_str()?;
    Some(subject.strip_prefix("Patient/").unwrap_or(subject).to_owned())
}

/// Whether the destination keeps our identifiers.
fn by_identifier(part: &Part) -> bool {
    part.search.iter().any(|(name, _)| name == "identifier" || name == "entity:identifier")
}

/// Whether a search has a further page.
fn has_next(bundle: &Value) -> bool {
    let links = bundle["link"].as_array().map(Vec::as_slice).unwrap_or_default();
    links.iter().any(|link| link["relation"] == "next")
}

/// What a search by patient, code and date proves that found others alone: that ours is not there, where every one is of
/// the patient and the code that were asked for and there is no further page; else that the server did not search.
fn others<'a>(ours: &Value, bundle: &Value, mut resources: impl Iterator<Item = &'a Value>) -> Found {
    if has_next(bundle) {
        return Found::Hidden;
    }
    let code = |resource: &Value| -> Vec<String> {
        let concept = if resource.get("code").is_some() { &resource["code"] } else { &resource["type"] };
        let codings = concept["coding"].as_array().map(Vec::as_slice).unwrap_or_default();
        codings.iter().filter_map(|coding| coding["code"].as_str().map(str::to_owned)).collect()
    };
    let subject = |resource: &Value| {
        let reference = resource["subject"]["reference"].as_str().unwrap_or_default();
        Location::parse(reference).map(|location| location.reference())
    };
    let wanted = (subject(ours), code(ours));
    let asked_for = |theirs: &Value| {
        theirs["resourceType"] == ours["resourceType"]
            && subject(theirs) == wanted.0
            && code(theirs).iter().any(|code| wanted.1.contains(code))
    };
    if resources.all(asked_for) { Found::Absent } else { Found::Hidden }
}

/// The resource type of a part.
pub(super) fn kind(part: &Part) -> &str {
    part.resource["resourceType"].as_str().unwrap_or_default()
}

/// A GET. While it cannot be asked, what is unknown stays unknown.
async fn get(to: To<'_>, url: &str) -> Result<Got, Verdict> {
    match http::send(&to.destination.client, to.release, Request::get(url), None).await {
        Ok(told) => match told.status {
            200 => Ok(Got::Body(told)),
            404 | 410 => Ok(Got::Gone),
            501 => Ok(Got::Refused),
            401 => Ok(Got::Unauthorized),
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
