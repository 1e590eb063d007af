//! A request as the exchange sees it, and what goes back: no sockets, no TLS.

use std::time::Duration;

use serde_json::Value;

use crate::refusal::Refusal;

/// A request whose body has been read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    /// Path and query.
    pub(crate) target: &'a str,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) authorization: Option<&'a str>,
    /// `Epic-Client-ID`.
    pub(crate) epic_client_id: Option<&'a str>,
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
    /// Sent as it stands instead of `body`: what a broken server says.
    pub(crate) raw: Option<String>,
    /// How long to wait before it is sent.
    pub(crate) delay: Duration,
}

impl Answer {
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body, raw: None, delay: Duration::ZERO }
    }

    pub(crate) fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| *have == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn without(&mut self, header: &str) {
        self.headers.retain(|(have, _)| *have != header);
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let answer = Self::new(refusal.status, refusal.outcome());
        match refusal.challenge {
            Some(challenge) => answer.with("www-authenticate", challenge),
            None => answer,
        }
    }
}
