//! What a token says, held against what its issuer's section wants. Pure: the time is handed in.
//!
//! Sources: RFC 7519 section 4.1 (`iss`, `aud`, `exp`, `nbf`, `iat`), RFC 9068, SMART App Launch 2 (launch context `patient`),
//! RFC 8705 (`cnf`). The signature was verified before; nothing here trusts anything else than the claims.

use serde_json::Value;

use super::{caller::Role, fault::Unproved, scope::Scopes};
use crate::config::{FhirIssuer, RoleClaim};

/// The longest that a token may hold, in seconds: a stolen one is of no use the day after.
pub(super) const LIFETIME_MOST_S: i64 = 24 * 3600;
/// The longest subject or client id that is looked at, in bytes (OpenID Connect Core, section 2, has 255).
const NAME_MOST_BYTES: usize = 255;
/// The most values of a claim that are looked at.
const VALUES_MOST: usize = 256;
/// Which role counts where a token has several, and no reason to break glass was given.
const PRECEDENCE: [Role; 4] = [Role::Operator, Role::Viewer, Role::SecurityOfficer, Role::BreakGlass];

/// What a good token says.
pub(super) struct Said {
    /// `sub`.
    pub(super) subject: Option<String>,
    /// `client_id`, or `azp`.
    pub(super) client_id: Option<String>,
    /// The roles that its values mean, by precedence; each once.
    pub(super) roles: Vec<Role>,
    /// The scopes; `None` where it has no such claim.
    pub(super) scopes: Option<Scopes>,
    /// The launch patient, where it can be the id of a resource.
    pub(super) patient: Option<String>,
    /// The certificate that it is bound to: SHA-256, base64url (RFC 8705, `x5t#S256`).
    pub(super) certificate: Option<String>,
}

/// Checks the claims of a token whose signature is that of `issuer`. `now_ms` is the time of day.
///
/// # Errors
/// [`Unproved`].
pub(super) fn check(claims: &Value, issuer: &FhirIssuer, now_ms: i64) -> Result<Said, Unproved> {
    if claims.get("iss").and_then(Value::as_str) != Some(&issuer.issuer) {
        return Err(Unproved::Issuer);
    }
    let audience = claims.get("aud").map(texts).unwrap_or_default();
    if !audience.contains(&issuer.audience.as_str()) {
        return Err(Unproved::Audience);
    }
    times(claims, i64::try_from(issuer.leeway.as_millis()).unwrap_or(0), now_ms)?;
    let name = |key: &str| {
        let name = claims.get(key).and_then(Value::as_str)?;
        (!name.is_empty() && name.len() <= NAME_MOST_BYTES).then(|| name.to_owned())
    };
    Ok(Said {
        subject: name("sub"),
        client_id: name("client_id").or_else(|| name("azp")),
        roles: issuer.roles.as_ref().map(|claim| roles(claims, claim)).unwrap_or_default(),
        scopes: scopes(claims, &issuer.scope_claim),
        patient: patient(claims, &issuer.patient_claim),
        certificate: bound(claims)?,
    })
}

/// `exp`, `nbf` and `iat`. A token holds while now is before `exp` plus the leeway, and from `nbf` and `iat` less the
/// leeway on.
fn times(claims: &Value, leeway_ms: i64, now_ms: i64) -> Result<(), Unproved> {
    let expires = moment(claims, "exp")?.ok_or(Unproved::Lifetime)?;
    let (not_before, issued) = (moment(claims, "nbf")?, moment(claims, "iat")?);
    if now_ms >= expires.saturating_add(leeway_ms) {
        return Err(Unproved::Expired);
    }
    if [not_before, issued].into_iter().flatten().any(|from| now_ms < from.saturating_sub(leeway_ms)) {
        return Err(Unproved::NotYet);
    }
    let most = LIFETIME_MOST_S * 1000;
    let left = expires.saturating_sub(now_ms).saturating_sub(leeway_ms);
    if left > most || issued.is_some_and(|from| expires.saturating_sub(from) > most) {
        return Err(Unproved::Lifetime);
    }
    Ok(())
}

/// A NumericDate in milliseconds; it may have a fraction. `Ok(None)` where it is absent.
fn moment(claims: &Value, key: &str) -> Result<Option<i64>, Unproved> {
    let Some(value) = claims.get(key) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..1e12).contains(seconds));
    seconds.map(|seconds| Some((seconds * 1000.0) as i64)).ok_or(Unproved::Malformed)
}

/// The roles that the values at a path mean.
fn roles(claims: &Value, claim: &RoleClaim) -> Vec<Role> {
    let values: Vec<&str> = at(claims, &claim.path).into_iter().flat_map(texts).take(VALUES_MOST).collect();
    let has =
        |role: &Role| claim.roles.iter().any(|(value, of)| of == role && values.contains(&value.as_str()));
    PRECEDENCE.into_iter().filter(has).collect()
}

fn scopes(claims: &Value, path: &[String]) -> Option<Scopes> {
    let found = at(claims, path);
    if found.is_empty() {
        return None;
    }
    Some(Scopes::read(&found.into_iter().flat_map(texts).take(VALUES_MOST).collect::<Vec<_>>().join(" ")))
}

/// The launch patient: an id (FHIR, datatypes.html#id), also written as a reference to one.
fn patient(claims: &Value, path: &[String]) -> Option<String> {
    let found = at(claims, path);
    let [Value::String(text)] = found.as_slice() else { return None };
    let id = text.strip_prefix("Patient/").unwrap_or(text);
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    ((1..=64).contains(&id.len()) && id.bytes().all(good)).then(|| id.to_owned())
}

/// The certificate of `cnf`. A token that is bound to anything else cannot be proved here.
fn bound(claims: &Value) -> Result<Option<String>, Unproved> {
    let Some(confirmation) = claims.get("cnf") else { return Ok(None) };
    let only = confirmation.as_object().filter(|members| members.len() == 1);
    let print = only.and_then(|members| members.get("x5t#S256")).and_then(Value::as_str);
    print.map(|print| Some(print.to_owned())).ok_or(Unproved::Bound)
}

/// What stands at a path; a step into a list goes into each of its items.
fn at<'a>(claims: &'a Value, path: &[String]) -> Vec<&'a Value> {
    let mut here = vec![claims];
    for step in path {
        here = here
            .into_iter()
            .flat_map(|value| match value {
                Value::Array(items) => items.iter().take(VALUES_MOST).collect(),
                value => vec![value],
            })
            .filter_map(|value| value.get(step))
            .take(VALUES_MOST)
            .collect();
    }
    here
}

/// A text, or the texts of a list.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().take(VALUES_MOST).filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
