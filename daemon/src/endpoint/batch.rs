//! A Bundle of requests: `transaction`, all of it or nothing, or `batch`, each entry for itself
//! (hl7.org/fhir/R4/http.html, "batch/transaction").
//!
//! Invariants: what of a transaction refers to another entry by its `fullUrl` is kept with the name that this one gets;
//! a transaction's writes are one commit, and its reads see them; an entry of a batch that is refused takes nothing from its
//! neighbours, and those that are good are one commit wherever nobody else was quicker. Answers stand in the order of
//! the entries.

use std::{borrow::Cow, collections::HashMap};

use axum::http::Method;
use bytes::Bytes;
use fhir::{Code, Issue, Kind, Release};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{ask::Answer, body::Body, check::replace_references, draft::Wanted, path};

/// The form of a Bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// All or nothing.
    Transaction,
    /// Each for itself.
    Batch,
    /// Each for itself, and they may refer to each other: CGM data without requests.
    Submission,
}

/// An entry as a request.
pub(super) struct Entry {
    /// `fullUrl`, by which others refer to it.
    pub(super) full_url: Option<String>,
    /// GET, POST or PUT.
    pub(super) method: Method,
    /// The path in segments, decoded.
    pub(super) path: Vec<String>,
    /// The query of the URL.
    pub(super) query: Option<String>,
    /// `ifMatch`.
    pub(super) if_match: Option<String>,
    /// `ifNoneMatch`.
    pub(super) if_none_match: Option<String>,
    /// `ifModifiedSince`.
    pub(super) if_modified_since: Option<String>,
    /// `ifNoneExist`.
    pub(super) if_none_exist: Option<String>,
    /// The bytes of the resource.
    pub(super) resource: Option<Bytes>,
}

/// A resource without a request: its `fullUrl`, and its bytes.
pub(super) type Loose = (Option<String>, Option<Bytes>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEntry<'a> {
    full_url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    request: Option<RawRequest<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRequest<'a> {
    method: Option<Cow<'a, str>>,
    url: Option<Cow<'a, str>>,
    if_match: Option<Cow<'a, str>>,
    if_none_match: Option<Cow<'a, str>>,
    if_modified_since: Option<Cow<'a, str>>,
    if_none_exist: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct RawBundle<'a> {
    #[serde(borrow, default)]
    entry: Vec<RawEntry<'a>>,
}

/// The entries of a Bundle that was parsed strictly as `value`, sent to a server with these bases; each a request or what is
/// wrong with it.
///
/// # Errors
/// 400 where it is no Bundle of requests, 413 where it has more entries than are taken.
pub(super) fn entries(
    bytes: &Bytes,
    value: &Value,
    most: usize,
    bases: &[String],
) -> Result<(Form, Vec<Result<Entry, Answer>>), Answer> {
    let fault = |code, text: &str, at: &str| Answer::refusal(400, Issue::error(code, text).at(at.to_owned()));
    if value["resourceType"] != "Bundle" {
        return Err(fault(Code::Invalid, "what is sent to the base is a Bundle", "resourceType"));
    }
    let form = match value["type"].as_str() {
        Some("transaction") => Form::Transaction,
        Some("batch") => Form::Batch,
        _ => {
            return Err(fault(
                Code::Value,
                "a Bundle of type transaction or batch is taken here",
                "Bundle.type",
            ));
        }
    };
    let raw = raw_entries(bytes)?;
    if raw.len() > most {
        let text = format!("more than {most} entries (fhir max_entries); divide the Bundle");
        return Err(Answer::refusal(413, Issue::error(Code::TooLong, text).at("Bundle.entry")));
    }
    Ok((form, raw.into_iter().enumerate().map(|(at, raw)| entry(at, raw, bytes, bases)).collect()))
}

/// The resources of a Bundle whose entries need no requests, each with its `fullUrl`.
///
/// # Errors
/// 400 where the entries cannot be read.
pub(super) fn resources(bytes: &Bytes) -> Result<Vec<Loose>, Answer> {
    let raw = raw_entries(bytes)?;
    let loose =
        |raw: RawEntry<'_>| (raw.full_url.map(Cow::into_owned), raw.resource.map(|raw| slice(bytes, raw)));
    Ok(raw.into_iter().map(loose).collect())
}

fn raw_entries(bytes: &Bytes) -> Result<Vec<RawEntry<'_>>, Answer> {
    let bundle: RawBundle<'_> = serde_json::from_slice(bytes).map_err(|_| {
        let text =
            "an entry of the Bundle is not an object with fullUrl, resource and request as FHIR has them";
        Answer::refusal(400, Issue::error(Code::Structure, text).at("Bundle.entry"))
    })?;
    Ok(bundle.entry)
}

/// The bytes of a value within the body that it was read from.
fn slice(bytes: &Bytes, raw: &RawValue) -> Bytes {
    bytes.slice_ref(raw.get().as_bytes())
}

fn entry(at: usize, raw: RawEntry<'_>, bytes: &Bytes, bases: &[String]) -> Result<Entry, Answer> {
    let fault = |code, text: &str, element: &str| {
        let place = format!("Bundle.entry[{at}].request{element}");
        Answer::refusal(400, Issue::error(code, text).at(place))
    };
    let Some(request) = raw.request else {
        return Err(fault(Code::Required, "an entry needs a request", ""));
    };
    let method = match request.method.as_deref() {
        Some("GET" | "HEAD") => Method::GET,
        Some("POST") => Method::POST,
        Some("PUT") => Method::PUT,
        Some("DELETE") => Method::DELETE,
        Some("PATCH") => Method::PATCH,
        _ => return Err(fault(Code::Value, "the method is none", ".method")),
    };
    let url = request.url.as_deref().ok_or_else(|| fault(Code::Required, "the url is missing", ".url"))?;
    let (path, query) =
        url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query.to_owned())));
    let path = path::of_entry(path, bases).ok_or_else(|| {
        let text = "the url is none of this server; write it relative to the base, as Observation/id";
        fault(Code::Value, text, ".url")
    })?;
    Ok(Entry {
        full_url: raw.full_url.map(Cow::into_owned),
        method,
        path,
        query,
        if_match: request.if_match.map(Cow::into_owned),
        if_none_match: request.if_none_match.map(Cow::into_owned),
        if_modified_since: request.if_modified_since.map(Cow::into_owned),
        if_none_exist: request.if_none_exist.map(Cow::into_owned),
        resource: raw.resource.map(|raw| slice(bytes, raw)),
    })
}

impl Entry {
    /// What a POST or PUT wants written.
    ///
    /// # Errors
    /// What [`Body::read`] answers, with the place in the Bundle; 400 where the entry has no resource.
    pub(super) fn wanted(
        &self,
        at: usize,
        kind: Kind,
        release: Release,
        (max_depth, bases): (usize, &[String]),
    ) -> Result<Wanted, Answer> {
        let Some(resource) = self.resource.clone() else {
            let issue = Issue::error(Code::Required, "the entry has no resource")
                .at(format!("Bundle.entry[{at}].resource"));
            return Err(Answer::refusal(400, issue));
        };
        let body = Body::read(resource, Some(kind), release, max_depth)?;
        Ok(Wanted {
            body: body.relative(bases),
            id: (self.method == Method::PUT).then(|| self.path.get(1).cloned().unwrap_or_default()),
            if_match: self.if_match.clone(),
            if_none_exist: self.if_none_exist.as_deref().map(condition),
            is_trial: false,
        })
    }
}

/// The parameters of a condition.
pub(super) fn condition(text: &str) -> Vec<(String, String)> {
    // A question mark within a value is none before the query.
    let query = match text.split_once('?') {
        Some((before, query)) if !before.contains('=') => query,
        _ => text,
    };
    // Clients put how they want the answer into every address.
    let is_asked = |(name, _): &(String, String)| !matches!(name.as_str(), "_format" | "_pretty");
    form_urlencoded::parse(query.as_bytes()).into_owned().filter(is_asked).collect()
}

/// Puts names in the place of what refers to entries of the same Bundle. Returns whether there was anything.
pub(super) fn resolve(body: &mut Body, names: &HashMap<String, String>) -> bool {
    let replaced = replace_references(&mut body.value, &|text| names.get(text).cloned());
    if replaced {
        body.bytes = Bytes::from(body.value.to_string());
    }
    replaced
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Result<(Form, Vec<Result<Entry, Answer>>), Answer> {
        entries(&Bytes::from(value.to_string()), value, 2, &[])
    }

    #[test]
    fn entries_are_requests_with_the_bytes_of_their_resources() {
        let text = r#"{"resourceType":"Bundle","type":"batch","entry":[{"fullUrl":"urn:uuid:1",
            "resource":{"resourceType":"Observation", "valueQuantity":{"value":1.10}},
            "request":{"method":"POST","url":"Observation","ifNoneExist":"identifier=a%7Cb"}},
            {"request":{"method":"GET","url":"/Observation?code=a&_count=1"}}]}"#;
        let value = serde_json::from_str(text).unwrap();
        let (form, entries) = entries(&Bytes::from(text), &value, 9, &[]).unwrap();
        assert_eq!(form, Form::Batch);
        let first = entries[0].as_ref().ok().unwrap();
        assert_eq!(
            first.resource.as_ref().unwrap(),
            &br#"{"resourceType":"Observation", "valueQuantity":{"value":1.10}}"#[..]
        );
        assert_eq!(
            condition(first.if_none_exist.as_ref().unwrap()),
            [("identifier".to_owned(), "a|b".to_owned())]
        );
        for text in ["identifier=http://x/ids?t=a|1", "Observation?identifier=http://x/ids?t=a|1"] {
            let read = [("identifier".to_owned(), "http://x/ids?t=a|1".to_owned())];
            assert_eq!(condition(text), read, "{text}");
        }
        let second = entries[1].as_ref().ok().unwrap();
        assert_eq!(
            (&second.path[..], second.query.as_deref()),
            (&["Observation".to_owned()][..], Some("code=a&_count=1"))
        );
    }

    #[test]
    fn what_is_no_bundle_of_requests_is_refused_and_a_broken_entry_alone() {
        let status = |value: &Value| read(value).err().map(|answer| answer.status);
        assert_eq!(status(&json!({ "resourceType": "Patient" })), Some(400));
        assert_eq!(status(&json!({ "resourceType": "Bundle", "type": "collection" })), Some(400));
        assert_eq!(status(&json!({ "resourceType": "Bundle", "type": "batch", "entry": [1] })), Some(400));
        assert_eq!(
            status(&json!({ "resourceType": "Bundle", "type": "batch", "entry": [{}, {}, {}] })),
            Some(413)
        );
        let (_, entries) = read(&json!({ "resourceType": "Bundle", "type": "batch", "entry": [
            {}, { "request": { "method": "GET", "url": "metadata" } },
        ] }))
        .ok()
        .unwrap();
        assert!(entries[0].is_err() && entries[1].is_ok());
    }
}
