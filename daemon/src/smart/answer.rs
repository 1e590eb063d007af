//! The answer of a token endpoint (RFC 6749, sections 5.1 and 5.2): a token, or a refusal in closed words. Pure.
//!
//! A server's own text (`error_description`) is not kept: it may quote the assertion.

use std::{fmt, time::Duration};

use serde_json::Value;
use zeroize::Zeroizing;

use super::lifetime::UNSTATED;

/// The longest token that is taken, in bytes: EHRs' have 0.3 to 4 KB, and it travels in a header.
pub const TOKEN_MAX_BYTES: usize = 16 * 1024;

/// A token, as it came.
pub struct Token {
    /// What is shown to the FHIR server; wiped when dropped.
    pub secret: Zeroizing<String>,
    /// How long it lives from the moment it was asked for.
    pub lives: Duration,
    /// What it permits, where the server said so.
    pub scope: Option<String>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("lives", &self.lives)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// Why a token endpoint gave no token, as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `invalid_client`.
    InvalidClient,
    /// `invalid_scope`.
    InvalidScope,
    /// `invalid_request`.
    InvalidRequest,
    /// `invalid_grant`.
    InvalidGrant,
    /// `unauthorized_client`.
    UnauthorizedClient,
    /// `unsupported_grant_type`.
    UnsupportedGrantType,
    /// A status without one of these words.
    Status(u16),
}

impl Refusal {
    /// The word for it in metrics and to people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::InvalidClient => "invalid_client",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::Status(_) => "status",
        }
    }

    /// What to do about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::InvalidClient => {
                "compare client_id with the registration, and the EHR's public key set with `isthmus site keys list`; \
                 a key set that was just published may take the EHR a while to read"
            }
            Self::InvalidScope => {
                "compare scopes with what the EHR has registered for this client, and write them in the form that it takes (scope_form)"
            }
            Self::InvalidGrant | Self::InvalidRequest => {
                "compare token_url with the address that the EHR registered, to the letter, and this box's clock with the EHR's"
            }
            Self::UnauthorizedClient => {
                "have the EHR's administrators enable this client for backend services"
            }
            Self::UnsupportedGrantType => {
                "ask the EHR's administrators for the token address of SMART Backend Services, and write it at token_url"
            }
            Self::Status(_) => "compare token_url with the registration, and ask the EHR's administrators",
        }
    }

    fn of(word: &str, status: u16) -> Self {
        let known = [
            Self::InvalidClient,
            Self::InvalidScope,
            Self::InvalidRequest,
            Self::InvalidGrant,
            Self::UnauthorizedClient,
            Self::UnsupportedGrantType,
        ];
        known.into_iter().find(|refusal| refusal.word() == word).unwrap_or(Self::Status(status))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "HTTP {status}"),
            other => f.write_str(other.word()),
        }
    }
}

/// What an answer is.
#[derive(Debug)]
pub enum Answer {
    /// A token.
    Token(Token),
    /// No, for a reason that stays until somebody does something.
    Refused(Refusal),
    /// Not now: too many requests, or a fault of the server's own.
    Later(u16),
    /// 200 and no token that could be used.
    Garbled(&'static str),
}

/// Reads an answer.
pub fn read(status: u16, body: &[u8]) -> Answer {
    // Held as text for a moment; the token's own text is wiped by whoever holds it.
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    match status {
        200 => token(&json),
        408 | 425 | 429 | 500..=599 => Answer::Later(status),
        _ => match json["error"].as_str() {
            Some("temporarily_unavailable" | "server_error") => Answer::Later(status),
            word => Answer::Refused(Refusal::of(word.unwrap_or_default(), status)),
        },
    }
}

fn token(json: &Value) -> Answer {
    let Some(secret) = json["access_token"].as_str() else { return Answer::Garbled("holds no access_token") };
    // RFC 6750, section 2.1: what may stand in the header.
    if secret.is_empty()
        || secret.len() > TOKEN_MAX_BYTES
        || !secret.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Answer::Garbled("holds an access_token that no header can carry");
    }
    if !json["token_type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return Answer::Garbled("is of another token_type than bearer");
    }
    let lives = match &json["expires_in"] {
        Value::Null => Some(UNSTATED),
        // A number, or the text of one, as some servers write it.
        Value::String(text) => text.trim().parse().ok().map(Duration::from_secs),
        number => number.as_f64().filter(|s| *s >= 0.0 && *s < 1e9).map(Duration::from_secs_f64),
    };
    match lives.filter(|lives| *lives >= Duration::from_secs(1)) {
        None => Answer::Garbled("has an expires_in that is no time to come"),
        Some(lives) => Answer::Token(Token {
            secret: Zeroizing::new(secret.to_owned()),
            lives,
            scope: json["scope"].as_str().map(str::to_owned),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Answer {
        super::read(status, body.as_bytes())
    }

    #[test]
    fn a_token_is_taken_with_its_life_and_its_scope() {
        for (expires, lives_s) in [("570", 570), ("\"570\"", 570), ("3600.0", 3600), ("null", 300), ("1", 1)]
        {
            let body = format!(
                "{{\"access_token\":\"T0ken\",\"token_type\":\"Bearer\",\"expires_in\":{expires},\"scope\":\"system/*.rs\"}}"
            );
            let Answer::Token(token) = read(200, &body) else { panic!("{expires}") };
            assert_eq!((token.lives, token.secret.as_str()), (Duration::from_secs(lives_s), "T0ken"));
            assert_eq!(token.scope.as_deref(), Some("system/*.rs"));
            assert!(!format!("{token:?}").contains("T0ken"));
        }
    }

    #[test]
    fn what_cannot_be_used_as_a_token_is_garbled_and_none_of_it_told() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"access_token":"","token_type":"bearer"}"#,
            r#"{"access_token":"a b","token_type":"bearer"}"#,
            r#"{"access_token":"a\r\nX: y","token_type":"bearer"}"#,
            r#"{"access_token":"SECRET"}"#,
            r#"{"access_token":"SECRET","token_type":"mac"}"#,
            r#"{"access_token":"SECRET","token_type":"bearer","expires_in":0}"#,
            r#"{"access_token":"SECRET","token_type":"bearer","expires_in":-5}"#,
            r#"{"access_token":"SECRET","token_type":"bearer","expires_in":"soon"}"#,
        ] {
            let Answer::Garbled(told) = read(200, body) else { panic!("{body}") };
            assert!(!told.contains("SECRET"));
        }
        let long =
            format!("{{\"access_token\":\"{}\",\"token_type\":\"bearer\"}}", "a".repeat(TOKEN_MAX_BYTES + 1));
        assert!(matches!(read(200, &long), Answer::Garbled(_)));
    }

    #[test]
    fn refusals_are_closed_words_with_something_to_do() {
        for (status, body, word) in [
            (400, r#"{"error":"invalid_client","error_description":"SECRET"}"#, "invalid_client"),
            (401, r#"{"error":"invalid_client"}"#, "invalid_client"),
            (400, r#"{"error":"invalid_scope"}"#, "invalid_scope"),
            (400, r#"{"error":"invalid_request"}"#, "invalid_request"),
            (400, r#"{"error":"invalid_grant"}"#, "invalid_grant"),
            (400, r#"{"error":"unauthorized_client"}"#, "unauthorized_client"),
            (400, r#"{"error":"unsupported_grant_type"}"#, "unsupported_grant_type"),
            (400, r#"{"error":"SECRET"}"#, "status"),
            (404, "not here", "status"),
            (302, "", "status"),
        ] {
            let Answer::Refused(refusal) = read(status, body) else { panic!("{status} {body}") };
            assert_eq!(refusal.word(), word, "{body}");
            assert!(!format!("{refusal} {refusal:?}").contains("SECRET"));
            assert!(!refusal.advice().is_empty());
        }
        for (status, body) in [
            (429, ""),
            (503, ""),
            (500, r#"{"error":"invalid_client"}"#),
            (400, r#"{"error":"temporarily_unavailable"}"#),
        ] {
            assert!(matches!(read(status, body), Answer::Later(_)), "{status} {body}");
        }
    }
}
