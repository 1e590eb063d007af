//! One request, in the order that keeps strangers cheap: head, request id, path, public or who asks, rate, admission, size,
//! body, answer.
//!
//! Invariants: no byte of a body is read before the caller is known and the request admitted; where a body is left unread the
//! connection ends after the answer; an interaction that has begun goes on when its client goes away and ends at its
//! deadline; its panic is an answer; every answer carries the request's id and may be kept by nobody. Every line of the log
//! that is written for a request carries that id too, so an id of a client's is taken only in a form that no name and no number
//! of a patient has.

use std::{
    net::IpAddr,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS},
    request::Parts,
};
use bytes::Bytes;
use fhir::{Code, Issue};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Request, Response,
    body::{Body, Incoming},
};
use rand::RngExt;
use tracing::Instrument;

use super::{
    Service,
    ask::{Answer, Ask, Head},
    audit::{Access, Auditor},
    caller::Caller,
    fault::Unproved,
    issuer::Issuers,
    label,
    limit::{Limiter, Place},
    negotiation::{Manner, is_form},
    path, smart,
    who::{Certificate, Verified, who},
    wire::Pace,
};
use crate::{
    config::{FhirEndpoint, FhirLimits},
    generation::Current,
    telemetry::Metric,
    time,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The most bytes of a form: a search has as many in its path.
const FORM_MOST_BYTES: usize = 64 * 1024;
/// Lengths of the groups of hex digits that a request id of a client may have: a UUID, or 32 digits, as trace ids are.
const REQUEST_ID_FORMS: [&[usize]; 2] = [&[8, 4, 4, 4, 12], &[32]];
/// After so many seconds the audit log takes entries again, where it was full.
const AUDIT_RETRY_S: &str = "2";

/// Everything between a head and its answer; one for the life of the daemon.
pub struct Gate {
    /// The generation in force.
    pub current: Current,
    /// The interactions.
    pub service: Arc<dyn Service>,
    /// The audit log.
    pub auditor: Auditor,
    /// The issuers' keys.
    pub issuers: Issuers,
    limiter: Limiter,
}

/// What is known of a connection.
pub(super) struct Link {
    pub(super) peer: IpAddr,
    pub(super) certificate: Option<Certificate>,
    pub(super) verified: Verified,
    pub(super) pace: Arc<Pace>,
}

/// An answer, and whether the body was left unread.
type Answered = (Answer, bool);

impl Gate {
    /// A gate before these interactions.
    pub fn new(current: Current, service: Arc<dyn Service>, auditor: Auditor, issuers: Issuers) -> Arc<Self> {
        Arc::new(Self { current, service, auditor, issuers, limiter: Limiter::default() })
    }

    pub(super) async fn handle(&self, link: &Link, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let request_id = request_id(request.headers());
        // At the level of errors, so that no filter of the log leaves it out where it lets a line through.
        let span = tracing::error_span!("fhir", request = %request_id);
        self.handled(link, request, request_id).instrument(span).await
    }

    async fn handled(
        &self,
        link: &Link,
        request: Request<Incoming>,
        request_id: String,
    ) -> Response<Full<Bytes>> {
        link.pace.begin();
        let (began, in_flight) = (Instant::now(), InFlight::begin());
        let (mut parts, body) = request.into_parts();
        let has_body = !body.is_end_stream();
        let authorization = take_authorization(&mut parts.headers);
        let (mut answer, unread, labels) = match head_of(parts, request_id.clone()) {
            Some(head) => {
                let labels = (label::interaction(&head), label::kind_word(&head));
                let release = Manner::of(&head, &[]).map_or(head.release, |manner| Some(manner.release));
                let (answer, unread) = self.answered(link, head, authorization, body).await;
                let is_refusal = answer.status >= 400;
                let answer = match release {
                    Some(release) if is_refusal => answer.told_in(release),
                    _ => answer,
                };
                (answer, unread && has_body, labels)
            }
            None => {
                refused("path");
                let text = "this is no path of the endpoint; its base is /fhir, /fhir/r4 or /fhir/r5";
                (Answer::refusal(404, Issue::error(Code::NotFound, text)), has_body, ("other", "none"))
            }
        };
        if unread {
            answer = answer.closing();
        }
        drop(in_flight);
        tracing::debug!(interaction = labels.0, kind = labels.1, status = answer.status, "request answered");
        let (interaction, kind) = (labels.0.to_owned(), labels.1.to_owned());
        let class = label::class(answer.status).to_owned();
        Metric::EndpointSeconds
            .record(began.elapsed().as_secs_f64(), &[("interaction", interaction.clone())]);
        Metric::EndpointRequests.add(1, &[("interaction", interaction), ("kind", kind), ("status", class)]);
        link.pace.end(unread);
        dressed(answer, &request_id)
    }

    /// The steps after the path. The flag is whether the body was left unread.
    async fn answered(&self, link: &Link, head: Head, authorization: HeaderMap, body: Incoming) -> Answered {
        let generation = self.current.get();
        let Some(fhir) = generation.config.main.fhir.as_ref() else {
            return (unavailable("the endpoint is not in the configuration in force"), true);
        };
        let public = matches!(head.method, Method::GET | Method::HEAD)
            && matches!(head.segments().as_slice(), ["metadata"] | [".well-known", "smart-configuration"]);
        let caller = if public {
            None
        } else {
            match self.caller(link, &head, authorization, fhir).await {
                Ok(caller) => Some(caller),
                Err(answer) => return (answer, true),
            }
        };
        let place = match self.place(link, caller.as_ref(), &fhir.limits) {
            Ok(place) => place,
            Err(answer) => return (answer, true),
        };
        if public && head.path[0] == ".well-known" {
            return (Answer::json(200, "application/json", &smart::document(fhir)), true);
        }
        if caller.is_some() && !self.auditor.room_soon().await {
            refused("audit");
            return (unavailable("the audit log is full just now"), true);
        }
        if let Err(answer) = self.admitted(&head, caller.as_ref()).await {
            return (answer, true);
        }
        // What strangers may ask has no body.
        if public {
            let ask = Ask { head, caller, body: Bytes::new() };
            return (self.carried_out(ask, place, &fhir.limits).await, true);
        }
        let most = match is_form(&head) {
            true => fhir.limits.max_body_bytes.min(FORM_MOST_BYTES),
            false => fhir.limits.max_body_bytes,
        };
        let body = match read(body, &head.headers, most, fhir.limits.body_timeout).await {
            Ok(body) => body,
            Err(answer) => return (answer, true),
        };
        (self.carried_out(Ask { head, caller, body }, place, &fhir.limits).await, false)
    }

    async fn caller(
        &self,
        link: &Link,
        head: &Head,
        authorization: HeaderMap,
        fhir: &FhirEndpoint,
    ) -> Result<Caller, Answer> {
        let mut headers = authorization;
        for (name, value) in head.headers.iter().filter(|(name, _)| name.as_str() == "x-isthmus-reason") {
            headers.append(name, value.clone());
        }
        let asked =
            who(fhir, &self.issuers, (link.certificate.as_ref(), &link.verified), &headers, time::now_ms())
                .await;
        match asked {
            Ok(caller) => Ok(caller),
            Err(unproved) => {
                Metric::EndpointUnproved.add(1, &[("reason", unproved.word().to_owned())]);
                if unproved != Unproved::Keys {
                    let object = object_of(head);
                    let peer = link.peer.to_string();
                    self.auditor.unproved(object, unproved.word(), &peer, &head.request_id).await;
                }
                Err(unproved.answer())
            }
        }
    }

    fn place(&self, link: &Link, caller: Option<&Caller>, limits: &FhirLimits) -> Result<Place, Answer> {
        // A configured name has no colon in it, so nobody is called as a peer is.
        let client = caller.map_or_else(|| format!("peer:{}", link.peer), |caller| caller.name.clone());
        self.limiter.admit(&client, limits, Instant::now()).map_err(|full| {
            refused(full.word());
            let text = "too many requests of this client; ask again after Retry-After";
            Answer::refusal(429, Issue::error(Code::Throttled, text))
                .with(RETRY_AFTER, &full.seconds().to_string())
        })
    }

    /// Asks the interactions; a refusal of somebody who is known, for want of a right, is in the audit log.
    async fn admitted(&self, head: &Head, caller: Option<&Caller>) -> Result<(), Answer> {
        let admitted = std::panic::catch_unwind(AssertUnwindSafe(|| self.service.admit(head, caller)));
        let answer = match admitted {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(answer)) => answer,
            Err(_panic) => return Err(exception()),
        };
        if let (403, Some(caller)) = (answer.status, caller) {
            let entry = Access {
                what: "refused",
                object: object_of(head),
                status: 403,
                resources: 0,
                request_id: &head.request_id,
            };
            if self.auditor.record(vec![entry.by(caller)]).await.is_err() {
                return Err(unavailable("the audit log is full just now"));
            }
        }
        Err(answer)
    }

    /// The interaction, on a task of its own: it goes on when the client goes away, and its panic ends nothing else.
    async fn carried_out(&self, ask: Ask, place: Place, limits: &FhirLimits) -> Answer {
        let (request_id, deadline) = (ask.head.request_id.clone(), limits.request_timeout);
        let (object, caller) = (object_of(&ask.head), ask.caller.clone());
        let service = Arc::clone(&self.service);
        let answering = async move {
            let answer = tokio::time::timeout(deadline, async move { service.answer(ask).await }).await;
            drop(place);
            answer
        };
        let task = tokio::spawn(answering.in_current_span());
        let answer = match task.await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(_elapsed)) => {
                refused("deadline");
                let text = "the answer took longer than request_timeout; it may have taken effect";
                Answer::refusal(504, Issue::error(Code::Timeout, text))
            }
            Err(_panic) => exception(),
        };
        // Nothing of a patient leaves with it, but what it was may have taken effect.
        if let Some(caller) = caller {
            let (what, status, request_id) = ("interrupted", answer.status, request_id.as_str());
            let entry = Access { what, object, status, resources: 0, request_id }.by(&caller);
            let _full = self.auditor.record(vec![entry]).await;
        }
        answer
    }
}

/// What was asked, for the audit log, of closed sets: `read Observation`.
fn object_of(head: &Head) -> String {
    format!("{} {}", label::interaction(head), label::kind_word(head))
}

/// The body, within its bounds.
async fn read(body: Incoming, headers: &HeaderMap, most: usize, patience: Duration) -> Result<Bytes, Answer> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let too_long = || {
        refused("body-bytes");
        let text = format!("the body is longer than {most} bytes");
        Answer::refusal(413, Issue::error(Code::TooLong, text))
    };
    if body.size_hint().lower() > most as u64 {
        return Err(too_long());
    }
    // Nothing here unpacks: a body that would have to be is not taken for what it is not.
    if headers.get("content-encoding").is_some_and(|value| value.as_bytes() != b"identity") {
        let text = "Content-Encoding is not supported; send the body as it is";
        return Err(Answer::refusal(415, Issue::error(Code::NotSupported, text)));
    }
    let collected = Limited::new(body, most).collect();
    match tokio::time::timeout(patience, collected).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(_broken)) => {
            Err(Answer::refusal(400, Issue::error(Code::Structure, "the body broke off, or is no HTTP")))
        }
        Err(_elapsed) => {
            refused("body-timeout");
            let text = "the body was not there within body_timeout";
            Err(Answer::refusal(408, Issue::error(Code::Timeout, text)))
        }
    }
}

fn head_of(parts: Parts, request_id: String) -> Option<Head> {
    let (release, path) = path::parse(parts.uri.path())?;
    let query = parts.uri.query().map(str::to_owned);
    Some(Head { method: parts.method, path, query, headers: parts.headers, release, request_id })
}

/// `Authorization` goes no further than the gate.
fn take_authorization(headers: &mut HeaderMap) -> HeaderMap {
    let mut taken = HeaderMap::new();
    for value in headers.get_all(AUTHORIZATION) {
        taken.append(AUTHORIZATION, value.clone());
    }
    headers.remove(AUTHORIZATION);
    taken
}

/// The client's, where it has one of the forms that are taken, else one of ours.
fn request_id(headers: &HeaderMap) -> String {
    let sound = |text: &&str| {
        let groups = || text.split('-');
        let is_hex = groups().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()));
        is_hex && REQUEST_ID_FORMS.iter().any(|form| groups().map(str::len).eq(form.iter().copied()))
    };
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(sound);
    given.map_or_else(|| format!("{:016x}", rand::rng().random::<u64>()), str::to_owned)
}

fn refused(reason: &'static str) {
    Metric::EndpointRefused.add(1, &[("reason", reason.to_owned())]);
}

fn unavailable(text: &str) -> Answer {
    Answer::refusal(503, Issue::error(Code::Transient, text)).with(RETRY_AFTER, AUDIT_RETRY_S)
}

fn exception() -> Answer {
    tracing::error!("an interaction of the FHIR endpoint panicked; report it with the log");
    let text = "the box failed at this; its administrator finds it in the log by X-Request-Id";
    Answer::refusal(500, Issue::error(Code::Exception, text))
}

/// As it goes out.
fn dressed(answer: Answer, request_id: &str) -> Response<Full<Bytes>> {
    let has_body = !answer.body.is_empty();
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    for (name, value) in answer.headers {
        headers.append(name, value);
    }
    if has_body {
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/fhir+json"));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, value);
    }
    response
}

/// Counted while it lives.
struct InFlight(metrics::Gauge);

impl InFlight {
    fn begin() -> Self {
        let gauge = metrics::gauge!(Metric::EndpointInFlight.name());
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_taken_in_a_form_that_no_name_and_no_number_of_a_patient_has() {
        let taken = |given: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(given.as_bytes()).unwrap());
            let id = request_id(&headers);
            (id == given, id)
        };
        for good in [
            "0b1f8f3e-9f5c-4a9f-8a52-3f1f1a5e2c77",
            "0B1F8F3E-9F5C-4A9F-8A52-3F1F1A5E2C77",
            "4bf92f3577b34da6a3ce929d0e0e4736",
        ] {
            assert!(taken(good).0, "{good}");
        }
        for bad in [
            "",
            "7700413",
            "Quibblethorpe",
            "ward.7_a-1",
            "1931-07-09",
            "deadbeef",
            "0b1f8f3e-9f5c-4a9f-8a52-3f1f1a5e2c7",
            "0b1f8f3e-9f5c-4a9f-8a52-3f1f1a5e2c7g",
            "0b1f8f3e9f5c-4a9f-8a52-3f1f1a5e2c77-",
            "4bf92f3577b34da6a3ce929d0e0e47361",
            "a b",
        ] {
            let (is_taken, ours) = taken(bad);
            assert!(!is_taken && ours.len() == 16, "{bad}: {ours}");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
