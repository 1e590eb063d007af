//! What is asked of the endpoint, and what is answered: the boundary between the gate and the interactions.
//!
//! None of these can be printed: paths, searches, headers and bodies name patients.

use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{CONNECTION, CONTENT_TYPE},
};
use bytes::Bytes;
use fhir::{Issue, Release};
use serde_json::Value;

use super::caller::Caller;

/// A request without its body, as the gate read it.
pub struct Head {
    /// GET, POST, PUT and so on; also ones that no interaction has.
    pub method: Method,
    /// The segments after the base, percent-decoded; empty for the base itself. None of them is empty, `.` or `..`.
    pub path: Vec<String>,
    /// What stands after the question mark, as it came.
    pub query: Option<String>,
    /// All headers, but for `Authorization`, which stays at the gate.
    pub headers: HeaderMap,
    /// The release that the base names (`/fhir/r4`, `/fhir/r5`); `None` is by negotiation.
    pub release: Option<Release>,
    /// The client's, or ours: 1 to 128 characters of `[A-Za-z0-9._-]`. In the answer, the log and the audit log.
    pub request_id: String,
}

impl Head {
    /// The path as `&str`, for matching: `["Observation", id]`.
    pub fn segments(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// A header on which it depends whether something is written; `None` where it is absent.
    ///
    /// # Errors
    /// 400 where it stands several times or cannot be read: left out, more would be written than is asked for.
    pub(super) fn condition(&self, name: &HeaderName) -> Result<Option<&str>, Answer> {
        let mut stated = self.headers.get_all(name).iter();
        match (stated.next(), stated.next()) {
            (None, _) => Ok(None),
            (Some(one), None) if one.to_str().is_ok() => Ok(one.to_str().ok()),
            _ => {
                let text = "it stands once, in visible ASCII; what else is in a value is percent-encoded";
                let issue = Issue::error(fhir::Code::Value, text).at(format!("http.{name}"));
                Err(Answer::refusal(400, issue))
            }
        }
    }

    /// A header as text; `None` where it is absent or no visible ASCII.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A request that was admitted.
pub struct Ask {
    /// What was read first.
    pub head: Head,
    /// Who asks; `None` on public paths alone.
    pub caller: Option<Caller>,
    /// All of it, at most `max_body_bytes`.
    pub body: Bytes,
}

/// An answer. The gate adds `X-Request-Id`, `Cache-Control: no-store` and `X-Content-Type-Options`, and `Content-Type` where
/// there is a body and none is given.
#[derive(Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers; one may stand several times.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; may be empty.
    pub body: Bytes,
}

impl std::fmt::Debug for Answer {
    /// The status alone: the rest may be patient data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Answer {
    /// Without a body.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// Bytes of FHIR's JSON in a release.
    pub fn fhir(status: u16, release: Release, body: Bytes) -> Self {
        let kind = HeaderValue::from_static(release.media_type());
        Self { status, headers: vec![(CONTENT_TYPE, kind)], body }
    }

    /// An OperationOutcome, which reads the same in both releases.
    pub fn outcome(status: u16, issues: &[Issue]) -> Self {
        Self::json(status, Release::R4.media_type(), &fhir::issue::outcome(issues))
    }

    /// An OperationOutcome with one issue.
    pub fn refusal(status: u16, issue: Issue) -> Self {
        Self::outcome(status, &[issue])
    }

    /// JSON of another media type.
    pub fn json(status: u16, media_type: &'static str, body: &Value) -> Self {
        let kind = HeaderValue::from_static(media_type);
        Self { status, headers: vec![(CONTENT_TYPE, kind)], body: Bytes::from(body.to_string()) }
    }

    /// As of this release: an OperationOutcome, which reads the same in both, names the one that was asked for.
    #[must_use]
    pub(super) fn told_in(mut self, release: Release) -> Self {
        let stated = HeaderValue::from_static(Release::R4.media_type());
        for (name, value) in &mut self.headers {
            if *name == CONTENT_TYPE && *value == stated {
                *value = HeaderValue::from_static(release.media_type());
            }
        }
        self
    }

    /// With one header more; a value that no header can hold is left out.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    /// The issues of an OperationOutcome.
    pub(super) fn issues(&self) -> Vec<Issue> {
        let outcome: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let issues = outcome["issue"].as_array().into_iter().flatten();
        issues.filter_map(Issue::read).collect()
    }

    /// The first issue of an OperationOutcome, without its words.
    pub(super) fn first_issue(&self) -> Option<Issue> {
        let first = self.issues().into_iter().next()?;
        Some(Issue { diagnostics: String::new(), ..first })
    }

    /// An OperationOutcome of an entry, with the place of the entry before the places that it names.
    #[must_use]
    pub(super) fn placed(&self, entry: usize) -> Self {
        let Ok(mut outcome) = serde_json::from_slice::<Value>(&self.body) else { return self.clone() };
        for issue in outcome["issue"].as_array_mut().into_iter().flatten() {
            let at = issue["expression"][0].as_str().unwrap_or_default();
            if !at.starts_with("Bundle") && !at.starts_with("http") {
                let place = format!("Bundle.entry[{entry}].resource");
                let place = at.split_once('.').map_or(place.clone(), |(_, rest)| format!("{place}.{rest}"));
                issue["expression"] = serde_json::json!([place]);
            }
        }
        Self { body: Bytes::from(outcome.to_string()), ..self.clone() }
    }

    /// The connection ends after it: what is left of the request is not read.
    #[must_use]
    pub(super) fn closing(mut self) -> Self {
        self.headers.push((CONNECTION, HeaderValue::from_static("close")));
        self
    }
}
