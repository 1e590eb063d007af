//! Who asks: by the certificate of the connection, by a bearer token, or by both.
//!
//! Invariants: a token beside a certificate of a configured client is confined by what the certificate may, and belongs to
//! the same site; a certificate that is good and of no client is worth nothing by itself; what is not in the configuration in
//! force has no role. A token that is bound to a certificate (RFC 8705) counts only over that one.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, HeaderName, header::AUTHORIZATION};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};

use super::{
    caller::{Caller, Ceiling, Role},
    claims::{self, Said},
    fault::Unproved,
    issuer::Issuers,
    token::Token,
};
use crate::{
    config::{FhirClient, FhirEndpoint, FhirIssuer, Shown},
    tls::Names,
};

/// Why glass is broken.
const REASON: HeaderName = HeaderName::from_static("x-isthmus-reason");
/// How long a reason is, in characters.
const REASON_CHARS: std::ops::RangeInclusive<usize> = 10..=200;

/// For so long a signature that held on a connection is not verified again there; its claims are looked at each time.
const VERIFIED_FOR: Duration = Duration::from_secs(60);

/// The certificate of a connection, which TLS has found good.
pub(super) struct Certificate {
    names: Names,
    /// SHA-256 of it, as RFC 8705 writes it.
    print: String,
}

impl Certificate {
    pub(super) fn of(der: &CertificateDer<'_>) -> Self {
        Self { names: Names::of(der), print: URL_SAFE_NO_PAD.encode(Sha256::digest(der)) }
    }
}

/// The token whose signature was found to hold on a connection, and when: a client sends the same one with every request, and
/// to verify it costs more than most reads.
#[derive(Default)]
pub(super) struct Verified(Mutex<Option<(String, Instant)>>);

impl Verified {
    fn holds(&self, token: &str) -> bool {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().is_some_and(|(known, at)| known == token && at.elapsed() < VERIFIED_FOR)
    }

    fn put(&self, token: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((token.to_owned(), Instant::now()));
    }
}

/// Who asks.
///
/// # Errors
/// [`Unproved`].
pub(super) async fn who(
    fhir: &FhirEndpoint,
    issuers: &Issuers,
    (certificate, verified): (Option<&Certificate>, &Verified),
    headers: &HeaderMap,
    now_ms: i64,
) -> Result<Caller, Unproved> {
    let client = certificate.and_then(|certificate| by_certificate(&fhir.clients, certificate));
    let reason = reason(headers);
    let caller = match bearer(headers)? {
        None => match (client, certificate) {
            (Some(client), _) => of_certificate(client)?,
            (None, Some(_)) => return Err(Unproved::Certificate),
            (None, None) => return Err(Unproved::Nothing),
        },
        Some(text) => {
            let token = Token::read(text)?;
            let settings = fhir.issuers.iter().find(|issuer| issuer.issuer == token.issuer);
            let settings = settings.ok_or(Unproved::Issuer)?;
            if !verified.holds(text) {
                let key = issuers.of(settings).key_for(&token).await?;
                token.verified(&key)?;
                verified.put(text);
            }
            let said = claims::check(token.claims(), settings, now_ms)?;
            if said.certificate.is_some()
                && said.certificate.as_ref() != certificate.map(|shown| &shown.print)
            {
                return Err(Unproved::Bound);
            }
            let mut caller = of_token(said, settings, &fhir.clients, reason.is_some())?;
            if let Some(client) = client {
                if client.site != caller.site {
                    return Err(Unproved::Site);
                }
                let Caller { role, scopes, .. } = of_certificate(client)?;
                caller.ceiling = Some(Ceiling { role, scopes });
            }
            caller
        }
    };
    match (caller.role, reason) {
        (Role::BreakGlass, None) => Err(Unproved::Reason),
        (Role::BreakGlass, reason) => Ok(Caller { reason, ..caller }),
        _ => Ok(caller),
    }
}

fn by_certificate<'a>(clients: &'a [FhirClient], shown: &Certificate) -> Option<&'a FhirClient> {
    clients.iter().find(|client| match &client.shown {
        Shown::Certificate(rule) => shown.names.allowed(std::slice::from_ref(rule)),
        Shown::Token { .. } => false,
    })
}

fn of_certificate(client: &FhirClient) -> Result<Caller, Unproved> {
    Ok(Caller {
        name: client.name.clone(),
        site: client.site.clone(),
        role: client.role.ok_or(Unproved::Role)?,
        scopes: client.scopes.clone().unwrap_or_default(),
        patient: None,
        reason: None,
        ceiling: None,
    })
}

fn of_token(
    said: Said,
    settings: &FhirIssuer,
    clients: &[FhirClient],
    has_reason: bool,
) -> Result<Caller, Unproved> {
    let client = clients.iter().find(|client| match &client.shown {
        Shown::Token { issuer, client_id, subject } => {
            let is = |wanted: &Option<String>, said: &Option<String>| wanted.is_none() || wanted == said;
            *issuer == settings.issuer && is(client_id, &said.client_id) && is(subject, &said.subject)
        }
        Shown::Certificate(_) => false,
    });
    let claimed = if has_reason && said.roles.contains(&Role::BreakGlass) {
        Some(Role::BreakGlass)
    } else {
        said.roles.first().copied()
    };
    let role = client.and_then(|client| client.role).or(claimed).ok_or(Unproved::Role)?;
    let most = client.and_then(|client| client.scopes.as_ref());
    let scopes = match (said.scopes, most) {
        (Some(granted), Some(most)) => granted.and(most),
        (Some(granted), None) => granted,
        (None, most) => most.cloned().unwrap_or_default(),
    };
    let name = match client {
        Some(client) => client.name.clone(),
        None => hashed(&settings.issuer, said.subject.as_deref().or(said.client_id.as_deref()))?,
    };
    let site = client.map_or(&settings.site, |client| &client.site).clone();
    Ok(Caller { name, site, role, scopes, patient: said.patient, reason: None, ceiling: None })
}

/// A name for a subject that is in no configuration: the same for the same subject, and no clue to who it is.
fn hashed(issuer: &str, subject: Option<&str>) -> Result<String, Unproved> {
    let subject = subject.ok_or(Unproved::Subject)?;
    let hash = Sha256::new().chain_update(issuer).chain_update([0]).chain_update(subject).finalize();
    Ok(format!("subject-{}", hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>()))
}

/// The token of the one Authorization; `Ok(None)` where there is none.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Unproved> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = all.next() else { return Ok(None) };
    let text = value.to_str().map_err(|_| Unproved::Scheme)?;
    let (scheme, token) = text.split_once(' ').ok_or(Unproved::Scheme)?;
    if all.next().is_some() || !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Unproved::Scheme);
    }
    Ok(Some(token.trim_matches(' ')))
}

/// A reason to break glass, where a good one is given.
fn reason(headers: &HeaderMap) -> Option<String> {
    let mut all = headers.get_all(REASON).iter();
    let text = std::str::from_utf8(all.next()?.as_bytes()).ok()?.trim();
    let good = REASON_CHARS.contains(&text.chars().count()) && !text.chars().any(char::is_control);
    (good && all.next().is_none()).then(|| text.to_owned())
}

#[cfg(test)]
#[path = "who_tests.rs"]
mod tests;
