//! One request and its answer, without sockets: routing, the play of the moment, the effect, the record.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::fhir_store::FhirStore;
use crate::log::{Effect, EffectKind, Log, Record};
use crate::refusal::Refusal;
use crate::script::{About, Play, RetryAfter, Script};
use crate::search::Query;
use crate::transaction::{Verb, Write, etag, location, response_entry, transact};

/// Where the FHIR server lives under its address.
const BASE_PATH: &str = "/fhir";

/// The most entries of one search answer; `_count` may ask for fewer.
const SEARCH_MAX: usize = 200;

/// A request whose body has been read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    /// Path and query.
    pub(crate) target: &'a str,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) if_none_exist: Option<&'a str>,
    pub(crate) if_match: Option<&'a str>,
    /// `Prefer: return=minimal`.
    pub(crate) minimal: bool,
    pub(crate) body: &'a [u8],
}

/// What goes back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    /// The connection is closed without an answer.
    HangUp,
    Answer(Answer),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Null: no body.
    pub(crate) body: Value,
    /// How long to wait before it is sent.
    pub(crate) delay: Duration,
}

impl Answer {
    fn new(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body, delay: Duration::ZERO }
    }

    fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.status, refusal.outcome())
    }
}

/// What a request asks for, once understood.
enum Request {
    Metadata,
    Read { resource_type: String, id: String, version: Option<usize> },
    Search { resource_type: String, query: Query },
    Bundle(Vec<Write>),
    Single(Box<Write>),
}

/// Everything behind the sockets.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) base_url: String,
    /// Types that may be written; none: all.
    pub(crate) writable: Option<&'static [&'static str]>,
    pub(crate) store: FhirStore,
    pub(crate) script: Script,
    pub(crate) log: Log,
    /// Texts that must not arrive.
    pub(crate) forbidden: Vec<String>,
}

impl Exchange {
    pub(crate) fn new(base_url: String, writable: Option<&'static [&'static str]>) -> Self {
        Self {
            base_url,
            writable,
            store: FhirStore::default(),
            script: Script::new(),
            log: Log::default(),
            forbidden: Vec::new(),
        }
    }

    /// Answers one request, `since_start` after the server began, at `now`.
    pub(crate) fn serve(&mut self, call: &Call<'_>, since_start: Duration, now: Timestamp) -> Reply {
        let understood = understand(call);
        let is_write = !matches!(call.method, "GET" | "HEAD") && !call.target.contains("/_search");
        let (patients, identifiers) =
            understood.as_ref().map_or_else(|_| Default::default(), |r| self.names(r));
        let seeks_patients =
            matches!(&understood, Ok(Request::Search { resource_type, .. }) if resource_type == "Patient");
        let about = About { is_write, seeks_patients, patients: &patients, identifiers: &identifiers };
        let play = self.script.choose(&about);
        let (mut reply, effects) = self.perform(&play, understood, &patients, now);
        if call.minimal
            && let Reply::Answer(answer) = &mut reply
            && answer.status < 300
        {
            answer.body = Value::Null;
        }
        self.log.push(Record {
            seq: 0,
            at_ms: since_start.as_secs_f64() * 1e3,
            method: call.method.to_owned(),
            path: call.target.to_owned(),
            is_write,
            status: match &reply {
                Reply::HangUp => None,
                Reply::Answer(answer) => Some(answer.status),
            },
            play: play.name(),
            effects,
            leak: self.leaks(call),
        });
        reply
    }

    fn leaks(&self, call: &Call<'_>) -> bool {
        let carries = |text: &String| {
            let (text, target) = (text.as_bytes(), call.target.as_bytes());
            [target, call.body].iter().any(|bytes| bytes.windows(text.len()).any(|window| window == text))
        };
        self.forbidden.iter().filter(|text| !text.is_empty()).any(carries)
    }

    fn names(&self, request: &Request) -> (Vec<String>, Vec<String>) {
        let writes = match request {
            Request::Bundle(writes) => writes.as_slice(),
            Request::Single(write) => std::slice::from_ref(&**write),
            _ => &[],
        };
        let patients = writes.iter().flat_map(|write| write.patients(&self.store)).collect();
        (patients, writes.iter().flat_map(Write::identifier_values).collect())
    }

    fn perform(
        &mut self,
        play: &Play,
        understood: Result<Request, Refusal>,
        patients: &[String],
        now: Timestamp,
    ) -> (Reply, Vec<Effect>) {
        if let Some(answer) = refusal_of(play, patients, now) {
            return (Reply::Answer(answer), Vec::new());
        }
        if *play == Play::ResetBeforeEffect {
            return (Reply::HangUp, Vec::new());
        }
        let (mut answer, effects) = match understood.and_then(|request| self.fulfil(request, now)) {
            Ok(done) => done,
            Err(refusal) => (refusal.into(), Vec::new()),
        };
        match play {
            Play::ResetAfterBody => (Reply::HangUp, effects),
            Play::Slow(delay) => {
                answer.delay = *delay;
                (Reply::Answer(answer), effects)
            }
            _ => (Reply::Answer(answer), effects),
        }
    }

    fn fulfil(&mut self, request: Request, now: Timestamp) -> Result<(Answer, Vec<Effect>), Refusal> {
        let now = format!("{now:.3}");
        match request {
            Request::Metadata => Ok((Answer::new(200, self.metadata()), Vec::new())),
            Request::Read { resource_type, id, version } => {
                let found = self.store.read(&resource_type, &id);
                let (standing, last) = found.ok_or_else(|| Refusal::not_found("the resource"))?;
                let (resource, number) = match version {
                    None => (Some(standing), last),
                    Some(version) => (self.store.read_version(&resource_type, &id, version), version),
                };
                let resource = resource.ok_or_else(|| Refusal::not_found("the version"))?;
                Ok((Answer::new(200, resource.clone()).with("etag", etag(number)), Vec::new()))
            }
            Request::Search { resource_type, query } => {
                Ok((Answer::new(200, self.searchset(&resource_type, &query)), Vec::new()))
            }
            Request::Bundle(writes) => {
                self.check_writable(&writes)?;
                let effects = transact(&mut self.store, writes, &now)?;
                let entries: Vec<_> = effects.iter().map(|effect| response_entry(effect, &now)).collect();
                let body =
                    json!({"resourceType": "Bundle", "type": "transaction-response", "entry": entries});
                Ok((Answer::new(200, body), effects))
            }
            Request::Single(write) => {
                let writes = vec![*write];
                self.check_writable(&writes)?;
                let effects = transact(&mut self.store, writes, &now)?;
                Ok((self.single_answer(&effects), effects))
            }
        }
    }

    fn single_answer(&self, effects: &[Effect]) -> Answer {
        let Some(effect) = effects.first() else { return Answer::new(200, Value::Null) };
        let body = self.store.read(&effect.resource_type, &effect.id).map(|(resource, _)| resource.clone());
        let status = if effect.kind == EffectKind::Created { 201 } else { 200 };
        Answer::new(status, body.unwrap_or_default())
            .with("location", format!("{}/{}", self.base_url, location(effect)))
            .with("etag", etag(effect.version))
    }

    fn check_writable(&self, writes: &[Write]) -> Result<(), Refusal> {
        let Some(writable) = self.writable else { return Ok(()) };
        match writes.iter().find(|write| !writable.contains(&write.resource_type.as_str())) {
            Some(write) => Err(Refusal::new(403, "forbidden", "this resource type is not taken here")
                .at(write.place.clone())),
            None => Ok(()),
        }
    }

    fn searchset(&self, resource_type: &str, query: &Query) -> Value {
        let found = self.store.search(resource_type, query);
        let entries: Vec<_> = found
            .iter()
            .take(query.count.unwrap_or(SEARCH_MAX).min(SEARCH_MAX))
            .map(|resource| {
                let id = resource["id"].as_str().unwrap_or_default();
                json!({
                    "fullUrl": format!("{}/{resource_type}/{id}", self.base_url),
                    "resource": resource,
                    "search": {"mode": "match"},
                })
            })
            .collect();
        json!({"resourceType": "Bundle", "type": "searchset", "total": found.len(), "entry": entries})
    }

    fn metadata(&self) -> Value {
        let interactions: Vec<_> = ["create", "update", "read", "vread", "search-type"]
            .iter()
            .map(|code| json!({"code": code}))
            .collect();
        let resources: Vec<_> = self
            .writable
            .unwrap_or(&["DiagnosticReport", "DocumentReference", "Observation", "Provenance"])
            .iter()
            .map(|resource_type| {
                json!({"type": resource_type, "interaction": interactions, "versioning": "versioned-update",
                    "conditionalCreate": true})
            })
            .collect();
        json!({
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": "2026-01-01",
            "kind": "instance",
            "software": {"name": "stand-in EHR"},
            "implementation": {"description": "A stand-in for demos and tests", "url": self.base_url},
            "fhirVersion": "4.0.1",
            "format": ["application/fhir+json"],
            "rest": [{"mode": "server", "resource": resources, "interaction": [{"code": "transaction"}]}],
        })
    }
}

/// The answer of a play that refuses, if it does.
fn refusal_of(play: &Play, patients: &[String], now: Timestamp) -> Option<Answer> {
    let refuse = |status, code, text: String| Answer::from(Refusal::new(status, code, text));
    let answer = match play {
        Play::RefuseWrites => {
            refuse(403, "forbidden", "this client has no permission to write at this organization".into())
        }
        Play::RefusePatients(refused) => {
            let who = refused.iter().find(|value| patients.contains(value)).cloned().unwrap_or_default();
            let text = format!("access to the patient with identifier {who} needs break-the-glass");
            Refusal::new(403, "forbidden", text).at("Observation.subject").into()
        }
        Play::Reject422(_) => refuse(422, "business-rule", "the content breaks a rule of this server".into()),
        Play::Unauthorized401 => {
            refuse(401, "login", "the client is not known".into()).with("www-authenticate", "Bearer")
        }
        Play::Throttle(retry) => {
            let answer = refuse(429, "throttled", "too many requests".into());
            match retry {
                RetryAfter::Absent => answer,
                RetryAfter::Seconds(seconds) => answer.with("retry-after", seconds.to_string()),
                RetryAfter::Date(seconds) => answer.with("retry-after", http_date(now, *seconds)),
            }
        }
        Play::Unavailable503 => refuse(503, "transient", "down for maintenance".into()),
        Play::HidePatients => refuse(403, "forbidden", "this client may not search for patients".into()),
        Play::Accept | Play::Slow(_) | Play::ResetAfterBody | Play::ResetBeforeEffect => return None,
    };
    Some(answer)
}

/// An HTTP date (RFC 9110, 5.6.7) so many seconds after `now`.
fn http_date(now: Timestamp, seconds: u64) -> String {
    let then = now.saturating_add(Duration::from_secs(seconds)).unwrap_or(now);
    then.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Reads what is asked, before anything is done about it.
fn understand(call: &Call<'_>) -> Result<Request, Refusal> {
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
        ("POST", []) => Ok(Request::Bundle(Write::of_bundle(json_body(call)?)?)),
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

fn read(resource_type: &str, id: &str, version: Option<usize>) -> Request {
    Request::Read { resource_type: resource_type.to_owned(), id: id.to_owned(), version }
}

fn single(call: &Call<'_>, resource_type: &str, verb: Verb) -> Result<Request, Refusal> {
    Ok(Request::Single(Box::new(Write {
        verb,
        resource_type: resource_type.to_owned(),
        resource: json_body(call)?,
        full_url: None,
        place: resource_type.to_owned(),
    })))
}

fn json_body(call: &Call<'_>) -> Result<Value, Refusal> {
    let media = call.content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !matches!(media, "application/fhir+json" | "application/json") {
        return Err(Refusal::new(415, "not-supported", "the body must be application/fhir+json"));
    }
    serde_json::from_slice(call.body).map_err(|_| Refusal::new(400, "structure", "the body is not JSON"))
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
