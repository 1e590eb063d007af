//! What a request asks for, read before anything is done about it.

use serde_json::Value;

use crate::call::Call;
use crate::refusal::Refusal;
use crate::search::{Query, list};
use crate::transaction::{ENTRIES_MAX, Verb, Write};

/// Where the FHIR server lives under its address.
pub(crate) const BASE_PATH: &str = "/fhir";

/// The types that `$submit-cgm-bundle` takes.
const SUBMITTED: &[&str] = &["Device", "DeviceMetric", "DiagnosticReport", "Observation", "Patient"];

/// A request, once understood.
#[derive(Debug)]
pub(crate) enum Request {
    Metadata,
    Read {
        resource_type: String,
        id: String,
        version: Option<usize>,
    },
    Search {
        resource_type: String,
        query: Query,
    },
    /// All or none.
    Transaction(Vec<Write>),
    /// The system operation `$submit-cgm-bundle` of the CGM IG: all or none, of the types it takes.
    Submission(Vec<Write>),
    /// Each for itself; an entry that is not understood is refused for itself too.
    Batch(Vec<Result<Request, Refusal>>),
    Single(Box<Write>),
}

impl Request {
    /// What it would write, as a whole; the entries of a batch speak for themselves.
    pub(crate) fn writes(&self) -> &[Write] {
        match self {
            Self::Transaction(writes) | Self::Submission(writes) => writes.as_slice(),
            Self::Single(write) => std::slice::from_ref(&**write),
            _ => &[],
        }
    }

    /// The type read or searched.
    pub(crate) fn read_type(&self) -> Option<&str> {
        match self {
            Self::Read { resource_type, .. } | Self::Search { resource_type, .. } => Some(resource_type),
            _ => None,
        }
    }
}

/// Reads what is asked.
pub(crate) fn understand(call: &Call<'_>) -> Result<Request, Refusal> {
    let (path, query) = call.target.split_once('?').unwrap_or((call.target, ""));
    let below = path
        .strip_prefix(BASE_PATH)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .ok_or_else(|| Refusal::not_found("the path"))?;
    let parts: Vec<&str> = below.split('/').filter(|part| !part.is_empty()).collect();
    match (call.method, parts.as_slice()) {
        ("GET", ["metadata"]) => Ok(Request::Metadata),
        ("GET", [resource_type]) => {
            Ok(Request::Search { resource_type: (*resource_type).to_owned(), query: Query::parse(query)? })
        }
        ("POST", [resource_type, "_search"]) => {
            let form =
                std::str::from_utf8(call.body).map_err(|_| Refusal::invalid("the form is not UTF-8"))?;
            Ok(Request::Search { resource_type: (*resource_type).to_owned(), query: Query::parse(form)? })
        }
        ("GET", [resource_type, id]) => Ok(read(resource_type, id, None)),
        ("GET", [resource_type, id, "_history", version]) => {
            let version = version.parse().map_err(|_| Refusal::not_found("the version"))?;
            Ok(read(resource_type, id, Some(version)))
        }
        ("POST", []) => of_bundle(&json_body(call)?),
        ("POST", ["$submit-cgm-bundle"]) => of_submission(&json_body(call)?),
        ("POST", [resource_type]) => {
            let verb = Verb::Create { if_none_exist: call.if_none_exist.map(str::to_owned) };
            single(call, resource_type, verb)
        }
        ("PUT", [resource_type, id]) => {
            let verb = Verb::Update { id: (*id).to_owned(), if_match: call.if_match.map(str::to_owned) };
            single(call, resource_type, verb)
        }
        _ => Err(Refusal::new(405, "not-supported", "this interaction is not supported")),
    }
}

fn of_bundle(bundle: &Value) -> Result<Request, Refusal> {
    let kind = bundle["type"].as_str().unwrap_or_default();
    if bundle["resourceType"] != "Bundle" || !matches!(kind, "transaction" | "batch") {
        return Err(Refusal::invalid("only a Bundle of type transaction or batch may be posted to the base"));
    }
    let entries = list(&bundle["entry"]);
    if entries.len() > ENTRIES_MAX {
        return Err(Refusal::new(413, "too-costly", "the Bundle has too many entries"));
    }
    let places = entries.iter().enumerate().map(|(i, entry)| (entry, format!("Bundle.entry[{i}]")));
    if kind == "transaction" {
        return Ok(Request::Transaction(
            places.map(|(entry, place)| Write::of_entry(entry, place)).collect::<Result<_, _>>()?,
        ));
    }
    Ok(Request::Batch(places.map(|(entry, place)| of_batch_entry(entry, place)).collect()))
}

/// "A transaction Bundle with timestamp; receivers should allow only CGM resource types: send Provenance
/// separately" (reference, cgm.md, section 6).
fn of_submission(bundle: &Value) -> Result<Request, Refusal> {
    let refuse = |code, text: &str, at: &str| Err(Refusal::by("cgm-ig-submit", 400, code, text).at(at));
    if bundle["timestamp"].as_str().is_none_or(str::is_empty) {
        return refuse("required", "the Bundle has no timestamp", "Bundle.timestamp");
    }
    let Request::Transaction(writes) = of_bundle(bundle)? else {
        return refuse("value", "the Bundle must be a transaction", "Bundle.type");
    };
    match writes.iter().find(|write| !SUBMITTED.contains(&write.resource_type.as_str())) {
        Some(write) => refuse("not-supported", "this type is not submitted", &write.place),
        None => Ok(Request::Submission(writes)),
    }
}

fn of_batch_entry(entry: &Value, place: String) -> Result<Request, Refusal> {
    if entry["request"]["method"] == "GET" {
        let url = entry["request"]["url"].as_str().unwrap_or_default();
        let target = format!("{BASE_PATH}/{url}");
        return understand(&Call { method: "GET", target: &target, ..Call::default() });
    }
    Ok(Request::Single(Box::new(Write::of_entry(entry, place)?)))
}

fn read(resource_type: &str, id: &str, version: Option<usize>) -> Request {
    Request::Read { resource_type: resource_type.to_owned(), id: id.to_owned(), version }
}

fn single(call: &Call<'_>, resource_type: &str, verb: Verb) -> Result<Request, Refusal> {
    let write = Write::new(verb, resource_type, json_body(call)?, resource_type.to_owned());
    Ok(Request::Single(Box::new(write)))
}

fn json_body(call: &Call<'_>) -> Result<Value, Refusal> {
    let media = call.content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !matches!(media, "application/fhir+json" | "application/json") {
        return Err(Refusal::new(415, "not-supported", "the body must be application/fhir+json"));
    }
    serde_json::from_slice(call.body).map_err(|_| Refusal::new(400, "structure", "the body is not JSON"))
}
