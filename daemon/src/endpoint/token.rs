//! A bearer token as bytes: its three parts, its algorithm, and whether a key signed it. Pure.
//!
//! Invariants: the algorithm is one of six, all with public keys, so nothing is ever verified with a secret and `none` is no
//! algorithm; it must be the one that the key is for (type, curve, `alg`), so a public key never serves as another's; a header
//! with `crit` is refused (RFC 7515, section 4.1.11). At most [`TOKEN_MOST_BYTES`].
//!
//! Sources: RFC 7515, RFC 7517, RFC 7518 section 3.1, RFC 8725.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::Deserialize;
use serde_json::Value;

use super::fault::Unproved;

/// The longest token: far more than one with a hundred roles takes.
pub(super) const TOKEN_MOST_BYTES: usize = 16 * 1024;
/// The longest name of a key.
const KID_MOST_BYTES: usize = 256;
/// The most keys of a set that are kept.
const KEYS_MOST: usize = 64;
/// The fewest and most bytes of an RSA modulus: 2048 bits (RFC 7518, section 3.3), and 8192, beyond which one token costs
/// milliseconds.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// The algorithms that are taken.
const ALGORITHMS: [(&str, Algorithm); 6] = [
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
];

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// A token that was cut into its parts; nothing of it is verified.
pub(super) struct Token<'a> {
    /// `alg`.
    pub(super) algorithm: Algorithm,
    /// `kid`.
    pub(super) kid: Option<String>,
    /// `iss`, by which the keys are chosen.
    pub(super) issuer: String,
    /// What was signed.
    message: &'a str,
    signature: &'a str,
    claims: Value,
}

impl<'a> Token<'a> {
    /// Cuts it.
    ///
    /// # Errors
    /// [`Unproved::TooLong`], [`Unproved::Malformed`], [`Unproved::Algorithm`], [`Unproved::Issuer`] where it names none.
    pub(super) fn read(text: &'a str) -> Result<Self, Unproved> {
        if text.len() > TOKEN_MOST_BYTES {
            return Err(Unproved::TooLong);
        }
        let (message, signature) = text.rsplit_once('.').ok_or(Unproved::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(Unproved::Malformed)?;
        let part = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Unproved::Malformed);
        let header: Header = serde_json::from_slice(&part(header)?).map_err(|_| Unproved::Malformed)?;
        let claims: Value = serde_json::from_slice(&part(claims)?).map_err(|_| Unproved::Malformed)?;
        if header.crit.is_some() || header.kid.as_ref().is_some_and(|kid| kid.len() > KID_MOST_BYTES) {
            return Err(Unproved::Malformed);
        }
        let known = ALGORITHMS.iter().find(|(name, _)| *name == header.alg);
        let (_, algorithm) = known.ok_or(Unproved::Algorithm)?;
        let issuer = claims.get("iss").and_then(Value::as_str).ok_or(Unproved::Issuer)?.to_owned();
        Ok(Self { algorithm: *algorithm, kid: header.kid, issuer, message, signature, claims })
    }

    /// The claims, where this key signed them; see [`claims`](Self::claims) where that is known already.
    ///
    /// # Errors
    /// [`Unproved::Algorithm`], [`Unproved::Signature`].
    pub(super) fn verified(&self, key: &Key) -> Result<&Value, Unproved> {
        if !key.fits(self.algorithm) {
            return Err(Unproved::Algorithm);
        }
        match crypto::verify(self.signature, self.message.as_bytes(), &key.key, self.algorithm) {
            Ok(true) => Ok(&self.claims),
            _ => Err(Unproved::Signature),
        }
    }
}

impl Token<'_> {
    /// The claims of a token of which it is known that its signature holds.
    pub(super) fn claims(&self) -> &Value {
        &self.claims
    }
}

/// A public key of an issuer.
#[derive(Clone)]
pub(super) struct Key {
    kid: Option<String>,
    kind: KeyKind,
    /// `alg`, where it says so: then it is for no other.
    only: Option<Algorithm>,
    key: DecodingKey,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyKind {
    P256,
    P384,
    Rsa,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    used: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl Key {
    fn read(jwk: Jwk) -> Option<Self> {
        if jwk.used.is_some_and(|used| used != "sig")
            || jwk.kid.as_ref().is_some_and(|kid| kid.len() > KID_MOST_BYTES)
        {
            return None;
        }
        let only = match jwk.alg {
            None => None,
            Some(alg) => Some(ALGORITHMS.iter().find(|(name, _)| *name == alg)?.1),
        };
        let (kind, key) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("EC", Some(curve)) => {
                let kind = match curve {
                    "P-256" => KeyKind::P256,
                    "P-384" => KeyKind::P384,
                    _ => return None,
                };
                (kind, DecodingKey::from_ec_components(&jwk.x?, &jwk.y?).ok()?)
            }
            ("RSA", None) => {
                let n = jwk.n?;
                let modulus = URL_SAFE_NO_PAD.decode(&n).ok()?;
                let significant = modulus.iter().skip_while(|byte| **byte == 0).count();
                if !MODULUS_BYTES.contains(&significant) {
                    return None;
                }
                (KeyKind::Rsa, DecodingKey::from_rsa_components(&n, &jwk.e?).ok()?)
            }
            _ => return None,
        };
        let key = Self { kid: jwk.kid, kind, only, key };
        // A key whose alg is not of its kind is for nothing.
        key.only.is_none_or(|alg| key.fits(alg)).then_some(key)
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        let kind = match algorithm {
            Algorithm::ES256 => KeyKind::P256,
            Algorithm::ES384 => KeyKind::P384,
            _ => KeyKind::Rsa,
        };
        self.kind == kind && self.only.is_none_or(|only| only == algorithm)
    }
}

/// The usable keys of a JWKS (RFC 7517, section 5: others are passed over); `None` where it is none.
pub(super) fn keys(document: &[u8]) -> Option<Vec<Key>> {
    let document: Value = serde_json::from_slice(document).ok()?;
    let keys = document.get("keys")?.as_array()?;
    let read = |key: &Value| Key::read(Jwk::deserialize(key).ok()?);
    Some(keys.iter().take(KEYS_MOST).filter_map(read).collect())
}

/// The key of a token: the one of its name that fits, or, where it names none, the only one that fits.
pub(super) fn choose<'a>(keys: &'a [Key], token: &Token<'_>) -> Option<&'a Key> {
    let mut fit = keys.iter().filter(|key| key.fits(token.algorithm));
    match &token.kid {
        Some(kid) => fit.find(|key| key.kid.as_ref() == Some(kid)),
        None => fit.next().filter(|_| fit.next().is_none()),
    }
}

/// Whether a key of the token's name is there, for whatever algorithm.
pub(super) fn is_named(keys: &[Key], token: &Token<'_>) -> bool {
    token.kid.is_some() && keys.iter().any(|key| key.kid == token.kid)
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
