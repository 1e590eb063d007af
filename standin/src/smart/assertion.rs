//! A client assertion (RFC 7523; SMART App Launch 2.2, "Client Authentication: Asymmetric"), checked as
//! strictly as the strictest server: section 3 of the reference.
//!
//! `alg` RS384 or ES384, `kid` of the registered key set, `iss = sub = client_id`, `aud` exactly the token
//! URL, `jti` at most [`JTI_MAX`] characters, `exp` at most [`LIFE_MAX_S`] seconds ahead and after `iat`,
//! `iat` and `nbf` not in the future. There is no leeway for clocks. Pure: the time is handed in; whether a
//! `jti` was used before is the caller's to know.

use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA384, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::Value;

use crate::search::list;

/// The most characters of a `jti` (reference, section 3).
pub const JTI_MAX: usize = 151;
/// The most seconds from now, and from `iat`, to `exp` (reference, section 3).
pub const LIFE_MAX_S: i64 = 300;
/// An assertion is a few hundred bytes; RS384 signatures make it a thousand.
const LENGTH_MAX: usize = 8 * 1024;
/// Bytes of one coordinate on P-384.
const COORDINATE: usize = 48;

/// An assertion that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assertion {
    pub(super) client_id: String,
    pub(super) jti: String,
}

/// The rule that is broken, by name.
pub(super) type Broken = &'static str;

/// Who it claims to be from, before anything is checked: whose keys to take.
pub(super) fn issuer(jwt: &str) -> Option<String> {
    let claims = part(jwt.split('.').nth(1)?)?;
    claims["iss"].as_str().map(str::to_owned)
}

/// Checks everything that can be seen on the assertion itself.
pub(super) fn check(
    jwt: &str,
    client_id: &str,
    keys: &Value,
    token_url: &str,
    now: Timestamp,
) -> Result<Assertion, Broken> {
    if jwt.len() > LENGTH_MAX {
        return Err("jwt-too-long");
    }
    let parts: Vec<&str> = jwt.split('.').collect();
    let &[head, body, signature] = parts.as_slice() else { return Err("jwt-malformed") };
    let (header, claims) = part(head).zip(part(body)).ok_or("jwt-malformed")?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| "jwt-malformed")?;
    if header["typ"] != "JWT" || !header["crit"].is_null() {
        return Err("jwt-header");
    }
    let key = key_of(&header, keys)?;
    if !is_signed(&header, key, format!("{head}.{body}").as_bytes(), &signature) {
        return Err("jwt-signature");
    }
    if claims["iss"] != client_id || claims["sub"] != client_id {
        return Err("jwt-iss-sub");
    }
    if claims["aud"] != token_url {
        return Err("jwt-aud");
    }
    let jti = claims["jti"].as_str().filter(|jti| !jti.is_empty()).ok_or("jwt-jti")?;
    if jti.chars().count() > JTI_MAX {
        return Err("jwt-jti-too-long");
    }
    times(&claims, now)?;
    Ok(Assertion { client_id: client_id.to_owned(), jti: jti.to_owned() })
}

fn part(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    value.is_object().then_some(value)
}

/// The registered key the header names, if it is one for the algorithm the header names.
fn key_of<'a>(header: &Value, keys: &'a Value) -> Result<&'a Value, Broken> {
    let kid = header["kid"].as_str().ok_or("jwt-kid")?;
    let kind = match header["alg"].as_str() {
        Some("ES384") => "EC",
        Some("RS384") => "RSA",
        _ => return Err("jwt-alg"),
    };
    let key = list(&keys["keys"]).iter().find(|key| key["kid"] == kid).ok_or("jwt-kid")?;
    let alg = key["alg"].is_null() || key["alg"] == header["alg"];
    if key["kty"] == kind && alg { Ok(key) } else { Err("jwt-alg") }
}

fn is_signed(header: &Value, key: &Value, message: &[u8], signature: &[u8]) -> bool {
    let number = |name: &str| key[name].as_str().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    if header["alg"] == "RS384" {
        let Some((n, e)) = number("n").zip(number("e")) else { return false };
        let key = RsaPublicKeyComponents { n, e };
        return key.verify(&RSA_PKCS1_2048_8192_SHA384, message, signature).is_ok();
    }
    let Some((x, y)) = number("x").zip(number("y")) else { return false };
    if x.len() != COORDINATE || y.len() != COORDINATE || key["crv"] != "P-384" {
        return false;
    }
    let point: Vec<u8> = [&[4], x.as_slice(), y.as_slice()].concat();
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature).is_ok()
}

/// `exp`, `iat` and `nbf` by the server's clock, to the millisecond.
fn times(claims: &Value, now: Timestamp) -> Result<(), Broken> {
    let at = |name: &str| claims[name].as_f64().map(|seconds| (seconds * 1e3) as i64);
    let now = now.as_millisecond();
    let exp = at("exp").ok_or("jwt-exp")?;
    if exp <= now {
        return Err("jwt-expired");
    }
    if exp - now > LIFE_MAX_S * 1_000 {
        return Err("jwt-exp-too-far");
    }
    for (name, broken) in [("iat", "jwt-iat-in-future"), ("nbf", "jwt-nbf-in-future")] {
        if !claims[name].is_null() && at(name).is_none_or(|at| at > now) {
            return Err(broken);
        }
    }
    if at("iat").is_some_and(|iat| exp - iat > LIFE_MAX_S * 1_000) {
        return Err("jwt-life-too-long");
    }
    Ok(())
}
