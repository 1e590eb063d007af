//! What an answer must be, whatever was asked.

use serde_json::Value;

use super::{
    known::Known,
    request::{Request, WORD, Who},
    templates::KINDS,
    wire::Reply,
};

/// Stands in the resources of a patient whom the confined client must not see.
pub const OTHERS: &str = "Featherstonehaugh";
/// OperationOutcome.issue.code (hl7.org/fhir/R4/valueset-issue-type.html): all of the required value set.
const ISSUE_TYPES: [&str; 31] = [
    "invalid",
    "structure",
    "required",
    "value",
    "invariant",
    "security",
    "login",
    "unknown",
    "expired",
    "forbidden",
    "suppressed",
    "processing",
    "not-supported",
    "duplicate",
    "multiple-matches",
    "not-found",
    "deleted",
    "too-long",
    "code-invalid",
    "extension",
    "too-costly",
    "business-rule",
    "conflict",
    "transient",
    "lock-error",
    "no-store",
    "exception",
    "timeout",
    "incomplete",
    "throttled",
    "informational",
];
/// The base of the links that are given to a client that names no other host.
const HOST: &str = "https://localhost";

/// What is to be looked at after an answer.
#[derive(Debug)]
pub struct Written {
    /// The path of the version that was written.
    pub path: String,
    /// What was sent, where it must be what stands.
    pub sent: Option<Value>,
}

/// Looks at an answer, and remembers what it says.
///
/// # Errors
/// What is wrong with it.
pub fn judge(
    request: &Request,
    reply: &Reply,
    known: &Known,
    others: &[String],
) -> Result<Option<Written>, String> {
    if request.who != Who::Operator {
        unseen(reply, others)?;
    }
    match reply.status {
        200 | 201 => good(request, reply, known),
        304 => Ok(None),
        400..500 => refused(request, reply).map(|()| None),
        status => Err(format!("status {status}: {}", shown(&reply.body))),
    }
}

/// Nothing of the other patient in an answer to whoever may not see them.
fn unseen(reply: &Reply, others: &[String]) -> Result<(), String> {
    let text = String::from_utf8_lossy(&reply.body);
    if text.contains(OTHERS) {
        return Err("the name of another patient is in it".to_owned());
    }
    for reference in others {
        let id = reference.split('/').nth(1).unwrap_or_default();
        let is_told = reply.header("location").is_some_and(|location| location.contains(reference.as_str()));
        if is_told || text.contains(&format!("\"id\":\"{id}\"")) {
            return Err(format!("it tells of {reference}, which is another patient's"));
        }
    }
    Ok(())
}

fn refused(request: &Request, reply: &Reply) -> Result<(), String> {
    if request.method == "HEAD" {
        return Ok(());
    }
    if reply.body.is_empty() {
        // The HTTP layer's own answers to what is no HTTP, or too long for it.
        let is_its_own =
            reply.status == 431 || (reply.status == 400 && !request.is_http()) || reply.status == 414;
        return if is_its_own { Ok(()) } else { Err(format!("an empty {}", reply.status)) };
    }
    let body = parsed(&reply.body)?;
    media_type(request, reply, &body)?;
    outcome(&body, true)
}

/// Whether it is an OperationOutcome that repeats nothing of the request.
fn outcome(outcome: &Value, is_refusal: bool) -> Result<(), String> {
    if outcome["resourceType"] != "OperationOutcome" {
        return Err(format!("no OperationOutcome: {}", shown(outcome.to_string().as_bytes())));
    }
    let issues = outcome["issue"].as_array().filter(|issues| !issues.is_empty());
    let issues = issues.ok_or("an OperationOutcome without issues")?;
    for issue in issues {
        let code = issue["code"].as_str().unwrap_or_default();
        if !ISSUE_TYPES.contains(&code) {
            return Err(format!("{code} is no issue type"));
        }
    }
    let is_error = |issue: &Value| issue["severity"] == "error" || issue["severity"] == "fatal";
    if is_refusal && !issues.iter().any(is_error) {
        return Err("a refusal without an error".to_owned());
    }
    if outcome.to_string().contains(WORD) {
        return Err(format!("it repeats a value of the request: {}", shown(outcome.to_string().as_bytes())));
    }
    Ok(())
}

fn good(request: &Request, reply: &Reply, known: &Known) -> Result<Option<Written>, String> {
    if request.who == Who::Stranger {
        let path = request.target.split(['?', '#']).next().unwrap_or_default();
        if !path.ends_with("metadata") && !path.ends_with("smart-configuration") {
            return Err("a stranger was let in".to_owned());
        }
    }
    if request.method == "HEAD" {
        return Ok(None);
    }
    // What names another host in its first line is no path to tell anything by.
    if !request.target.starts_with("/fhir") {
        return parsed(&reply.body).map(|_| None);
    }
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    if segments.first() == Some(&".well-known") {
        return parsed(&reply.body).map(|_| None);
    }
    let written = if request.writes { Some(location(request, reply)?) } else { None };
    if reply.body.is_empty() {
        let is_asked_for =
            request.headers.iter().any(|(name, value)| name == "Prefer" && value == "return=minimal");
        return if request.writes && is_asked_for { Ok(written) } else { Err("an empty 200".to_owned()) };
    }
    let body = parsed(&reply.body)?;
    media_type(request, reply, &body)?;
    let wanted = |kind: &str| match body["resourceType"] == kind {
        true => Ok(()),
        false => Err(format!("{} where {kind} was to be", body["resourceType"])),
    };
    match (request.method, &segments[..]) {
        (_, ["metadata"]) => wanted("CapabilityStatement")?,
        (_, [.., "$validate"]) => outcome(&body, false)?,
        (_, [.., "$outcomes"]) => {}
        (_, [] | ["$submit-cgm-bundle"]) => responses(request, &body)?,
        (_, [.., "$everything"] | [_, "_search"]) | ("GET", [_] | ["Patient", _, _])
            if segments.last() != Some(&"_history") =>
        {
            wanted("Bundle")?;
            page(&body, known)?;
        }
        (_, [_, _, "_history"]) => {
            wanted("Bundle")?;
            if body["type"] != "history" {
                return Err("a history that says it is none".to_owned());
            }
        }
        (_, [kind, ..]) => {
            let is_outcome = request.writes && body["resourceType"] == "OperationOutcome";
            if !is_outcome {
                wanted(kind)?;
                remember(&body, known);
            }
        }
    }
    Ok(written)
}

fn location(request: &Request, reply: &Reply) -> Result<Written, String> {
    let location = reply.header("location").ok_or("a write without Location")?;
    if reply.header("etag").is_none() || reply.header("last-modified").is_none() {
        return Err("a write without ETag or Last-Modified".to_owned());
    }
    // Another host is in it where the request named one.
    let path = location.find("/fhir").map(|at| location[at..].to_owned()).ok_or("a Location elsewhere")?;
    let stands_as_sent = reply.status == 201 || request.method == "PUT";
    let sent = request.body.as_deref().filter(|_| stands_as_sent);
    let sent = sent.map(parsed).transpose().map_err(|why| format!("what is no JSON was taken: {why}"))?;
    Ok(Written { path, sent })
}

fn media_type(request: &Request, reply: &Reply, body: &Value) -> Result<(), String> {
    const R4: &str = "application/fhir+json";
    const R5: &str = "application/fhir+json; fhirVersion=5.0";
    let told = reply.header("content-type").unwrap_or_default();
    // Of what is no path there is no release.
    let is_stray = reply.status == 404 && body["resourceType"] == "OperationOutcome";
    let is_sound = if request.target.starts_with("/fhir/r5") {
        told == R5 || (is_stray && told == R4)
    } else if request.target.starts_with("/fhir/r4") {
        told == R4
    } else {
        told == R4 || told == R5
    };
    if is_sound { Ok(()) } else { Err(format!("Content-Type {told:?}")) }
}

/// The answer to a Bundle of requests.
fn responses(request: &Request, body: &Value) -> Result<(), String> {
    if body["resourceType"] != "Bundle" || !body["type"].as_str().is_some_and(|of| of.ends_with("-response"))
    {
        return Err(format!("{} of type {}", body["resourceType"], body["type"]));
    }
    let sent = parsed(request.body.as_deref().unwrap_or_default())?;
    let count = |bundle: &Value| bundle["entry"].as_array().map_or(0, Vec::len);
    if count(&sent) != count(body) {
        return Err(format!("{} answers to {} entries", count(body), count(&sent)));
    }
    for entry in body["entry"].as_array().into_iter().flatten() {
        let response = &entry["response"];
        let status = response["status"].as_str().and_then(|status| status.get(..3)?.parse::<u16>().ok());
        match status {
            Some(201) if !response["location"].is_string() || !response["etag"].is_string() => {
                return Err("a 201 without location or etag".to_owned());
            }
            Some(200..400) => {}
            Some(400..500) => outcome(&response["outcome"], true)?,
            _ => return Err(format!("an entry is answered {}", response["status"])),
        }
    }
    Ok(())
}

/// A page of a search.
fn page(body: &Value, known: &Known) -> Result<(), String> {
    if body["type"] != "searchset" {
        return Err(format!("a Bundle of type {}", body["type"]));
    }
    let links = body["link"].as_array().ok_or("a page without links")?;
    if !links.iter().any(|link| link["relation"] == "self") {
        return Err("a page without a link to itself".to_owned());
    }
    for link in links {
        let url = link["url"].as_str().ok_or("a link without a URL")?;
        if link["relation"] != "self"
            && let Some(path) = url.strip_prefix(HOST)
        {
            known.leads(path);
        }
    }
    for entry in body["entry"].as_array().into_iter().flatten() {
        let mode = entry["search"]["mode"].as_str().unwrap_or_default();
        if !matches!(mode, "match" | "include" | "outcome") {
            return Err(format!("an entry whose search.mode is {mode:?}"));
        }
        if mode == "outcome" {
            outcome(&entry["resource"], false)?;
        } else {
            remember(&entry["resource"], known);
        }
    }
    Ok(())
}

fn remember(resource: &Value, known: &Known) {
    let kind = resource["resourceType"].as_str().unwrap_or_default();
    if let Some(id) = resource["id"].as_str()
        && KINDS.contains(&kind)
    {
        // What is the other patient's is not made from again, so that it stands nowhere else.
        let body = (!resource.to_string().contains(OTHERS)).then(|| content(resource));
        known.stands(&format!("{kind}/{id}"), body.as_ref());
    }
}

/// A resource without what the server puts into it.
pub fn content(resource: &Value) -> Value {
    let mut content = resource.clone();
    if let Some(members) = content.as_object_mut() {
        members.remove("id");
        if let Some(meta) = members.get_mut("meta").and_then(Value::as_object_mut) {
            meta.remove("versionId");
            meta.remove("lastUpdated");
            if meta.is_empty() {
                members.remove("meta");
            }
        }
    }
    content
}

pub fn parsed(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("{error}: {}", shown(bytes)))
}

/// The beginning of a body.
pub fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(1_500)]).into_owned()
}
