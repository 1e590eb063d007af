//! The key that we are known by: read from PEM, made anew, shown to the world as a JWK. Pure: bytes in, bytes out.
//!
//! Invariants: what is private is wiped when dropped and never shown, neither by `Debug` nor by an error; ES384 over
//! P-384 is what we make and prefer, RS384 with 2048 bits or more is taken. The public half has no private member.
//!
//! RSA is signed by aws-lc in constant time. The `rsa` crate is not used: RUSTSEC-2023-0071.

use std::fmt;

use aws_lc_rs::{
    rsa::KeyPair as RsaKeyPair,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
        EcdsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{
    EncodingKey,
    jwk::{Jwk, PublicKeyUse, ThumbprintHash},
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::Value;
use x509_parser::der_parser::parse_der;
use zeroize::Zeroizing;

/// The fewest bits of an RSA key (RFC 7518, section 3.3).
const RSA_LEAST_BITS: usize = 2048;
/// Characters in a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;

/// How an assertion is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// RSA (PKCS #1 v1.5) with SHA-384.
    Rs384,
}

impl Algorithm {
    /// As JOSE names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es384 => "ES384",
            Self::Rs384 => "RS384",
        }
    }

    pub(super) const fn jwt(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Es384 => jsonwebtoken::Algorithm::ES384,
            Self::Rs384 => jsonwebtoken::Algorithm::RS384,
        }
    }
}

/// Why a key cannot be used. None of these carries any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no unencrypted private key in PEM.
    #[error("holds no private key in PEM")]
    NotPem,
    /// It is encrypted with a passphrase.
    #[error("is encrypted with a passphrase")]
    Encrypted,
    /// An elliptic curve other than P-384.
    #[error("is on another curve than P-384")]
    Curve,
    /// An RSA key with fewer bits than may be used.
    #[error("is an RSA key of fewer than 2048 bits")]
    RsaSize,
    /// Another kind of key, or a broken one.
    #[error("is neither an EC key on P-384 nor an RSA key")]
    Kind,
    /// The library did not make one.
    #[error("could not be made")]
    Make,
}

impl KeyError {
    /// What to do about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::NotPem => "name a PEM file with -----BEGIN PRIVATE KEY----- in it",
            Self::Encrypted => {
                "store the key without a passphrase, in a file of mode 0600 or a systemd credential"
            }
            Self::Curve | Self::RsaSize | Self::Kind | Self::Make => {
                "make an EC key on P-384: isthmus site keys new, or openssl ecparam -name secp384r1 -genkey"
            }
        }
    }
}

/// A private key with its name.
#[derive(Clone)]
pub struct SigningKey {
    encoding: EncodingKey,
    algorithm: Algorithm,
    kid: String,
    public: Value,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads a key in PEM: PKCS #8, SEC 1 or PKCS #1. Without a name it is called by its thumbprint (RFC 7638, SHA-256).
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_pem(pem: &[u8], kid: Option<&str>) -> Result<Self, KeyError> {
        let encrypted = pem.windows(9).any(|window| window == b"ENCRYPTED");
        let key = PrivateKeyDer::from_pem_slice(pem)
            .map_err(|_| if encrypted { KeyError::Encrypted } else { KeyError::NotPem })?;
        let der = Zeroizing::new(key.secret_der().to_vec());
        let (algorithm, encoding) = encoding(&key, &der)?;
        Self::named(algorithm, encoding, kid)
    }

    fn named(algorithm: Algorithm, encoding: EncodingKey, kid: Option<&str>) -> Result<Self, KeyError> {
        let mut jwk = Jwk::from_encoding_key(&encoding, algorithm.jwt()).map_err(|_| KeyError::Kind)?;
        let kid = match kid {
            Some(kid) => kid.to_owned(),
            None => jwk.thumbprint(ThumbprintHash::SHA256).map_err(|_| KeyError::Kind)?,
        };
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let public = serde_json::to_value(&jwk).map_err(|_| KeyError::Kind)?;
        Ok(Self { encoding, algorithm, kid, public })
    }

    /// How it signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its name in the public set.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half as a JWK (RFC 7517) with `kid`, `alg` and `use`.
    pub fn public(&self) -> &Value {
        &self.public
    }

    pub(super) fn encoding(&self) -> &EncodingKey {
        &self.encoding
    }
}

fn encoding(key: &PrivateKeyDer<'_>, der: &[u8]) -> Result<(Algorithm, EncodingKey), KeyError> {
    if let Ok(pair) = EcdsaKeyPair::from_private_key_der(&ECDSA_P384_SHA384_FIXED_SIGNING, der) {
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| KeyError::Kind)?;
        return Ok((Algorithm::Es384, EncodingKey::from_ec_der(pkcs8.as_ref())));
    }
    let pkcs1 = match key {
        PrivateKeyDer::Pkcs1(_) => Some(der),
        PrivateKeyDer::Pkcs8(_) => wrapped(der),
        _ => None,
    };
    if let Some(pair) = pkcs1.and_then(|pkcs1| RsaKeyPair::from_der(pkcs1).ok()) {
        if pair.public_modulus_len() * 8 < RSA_LEAST_BITS {
            return Err(KeyError::RsaSize);
        }
        return Ok((Algorithm::Rs384, EncodingKey::from_rsa_der(pkcs1.unwrap_or_default())));
    }
    let is_other_curve = [&ECDSA_P256_SHA256_FIXED_SIGNING, &ECDSA_P521_SHA512_FIXED_SIGNING]
        .into_iter()
        .any(|curve| EcdsaKeyPair::from_private_key_der(curve, der).is_ok());
    Err(if is_other_curve { KeyError::Curve } else { KeyError::Kind })
}

/// The key within PKCS #8: version, algorithm, and the key as an octet string (RFC 5958).
fn wrapped(pkcs8: &[u8]) -> Option<&[u8]> {
    let (_, info) = parse_der(pkcs8).ok()?;
    info.as_sequence().ok()?.get(2)?.as_slice().ok()
}

/// A new EC key on P-384, as PEM in PKCS #8.
///
/// # Errors
/// [`KeyError::Make`].
pub fn generate() -> Result<Zeroizing<String>, KeyError> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).map_err(|_| KeyError::Make)?;
    let pkcs8 = pair.to_pkcs8v1().map_err(|_| KeyError::Make)?;
    Ok(pem("PRIVATE KEY", pkcs8.as_ref()))
}

pub(crate) fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let text = Zeroizing::new(STANDARD.encode(der));
    // Room for all of it at once: growing would leave copies behind.
    let mut pem =
        Zeroizing::new(String::with_capacity(text.len() + text.len() / PEM_LINE + 2 * label.len() + 64));
    pem.push_str(&format!("-----BEGIN {label}-----\n"));
    for at in (0..text.len()).step_by(PEM_LINE) {
        pem.push_str(&text[at..text.len().min(at + PEM_LINE)]);
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

/// A set of public keys, as it is published (RFC 7517, section 5).
pub fn public_set<'a>(keys: impl IntoIterator<Item = &'a SigningKey>) -> Value {
    let keys: Vec<&Value> = keys.into_iter().map(SigningKey::public).collect();
    serde_json::json!({ "keys": keys })
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::LazyLock;

    use aws_lc_rs::{
        encoding::{AsDer, EcPrivateKeyRfc5915Der, Pkcs8V1Der},
        rsa::KeySize,
    };

    use super::*;

    /// An RSA key in PKCS #8 and in PKCS #1, made once for all tests.
    static RSA: LazyLock<(String, String)> = LazyLock::new(|| {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let pkcs1 = wrapped(pkcs8.as_ref()).unwrap();
        (pem("PRIVATE KEY", pkcs8.as_ref()).to_string(), pem("RSA PRIVATE KEY", pkcs1).to_string())
    });
    pub(in crate::smart) static RSA_PKCS1: LazyLock<String> = LazyLock::new(|| RSA.1.clone());

    fn refused(pem: &str) -> KeyError {
        SigningKey::from_pem(pem.as_bytes(), None).unwrap_err()
    }

    #[test]
    fn a_new_key_is_on_p_384_and_its_public_half_has_no_private_member() {
        let pem = generate().unwrap();
        assert!(pem.lines().all(|line| line.len() <= PEM_LINE), "{}", pem.lines().count());
        let key = SigningKey::from_pem(pem.as_bytes(), None).unwrap();
        assert_eq!(key.algorithm(), Algorithm::Es384);
        let public = key.public().as_object().unwrap();
        let members: Vec<&str> = public.keys().map(String::as_str).collect();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
        assert_eq!(
            (&public["crv"], &public["alg"], &public["use"]),
            (&"P-384".into(), &"ES384".into(), &"sig".into())
        );
        assert_eq!(public["kid"].as_str().unwrap().len(), 43, "a thumbprint of SHA-256 in base64url");
        assert_eq!(public_set([&key])["keys"][0]["kid"], key.kid());
        let again = SigningKey::from_pem(generate().unwrap().as_bytes(), None).unwrap();
        assert_ne!(key.kid(), again.kid());
    }

    #[test]
    fn a_key_is_the_same_in_every_form_of_pem() {
        let pkcs8 = generate().unwrap();
        let der = PrivateKeyDer::from_pem_slice(pkcs8.as_bytes()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, der.secret_der()).unwrap();
        let private = pair.private_key();
        let sec1: EcPrivateKeyRfc5915Der<'_> = private.as_der().unwrap();
        let sec1 = pem("EC PRIVATE KEY", sec1.as_ref());
        let read = |pem: &str| SigningKey::from_pem(pem.as_bytes(), None).unwrap();
        assert_eq!(read(&pkcs8).public(), read(&sec1).public());
        let (in_pkcs8, in_pkcs1) = (read(&RSA.0), read(&RSA.1));
        assert_eq!(in_pkcs8.public(), in_pkcs1.public());
        assert_eq!(in_pkcs8.algorithm(), Algorithm::Rs384);
        let members: Vec<&str> = in_pkcs8.public().as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"]);
    }

    #[test]
    fn what_is_no_such_key_is_told_for_what_it_is() {
        let other = |curve| {
            let pair = EcdsaKeyPair::generate(curve).unwrap();
            pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref()).to_string()
        };
        assert_eq!(refused(&other(&ECDSA_P256_SHA256_FIXED_SIGNING)), KeyError::Curve);
        assert_eq!(refused(&other(&ECDSA_P521_SHA512_FIXED_SIGNING)), KeyError::Curve);
        assert_eq!(refused(""), KeyError::NotPem);
        assert_eq!(
            refused("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"),
            KeyError::NotPem
        );
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert_eq!(refused(encrypted), KeyError::Encrypted);
        assert_eq!(refused("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"), KeyError::Kind);
        assert_eq!(
            refused("-----BEGIN RSA PRIVATE KEY-----\nMAA=\n-----END RSA PRIVATE KEY-----\n"),
            KeyError::Kind
        );
    }

    #[test]
    fn debug_shows_no_key() {
        let pem = generate().unwrap();
        let key = SigningKey::from_pem(pem.as_bytes(), Some("k")).unwrap();
        assert_eq!(format!("{key:?}"), "SigningKey { algorithm: Es384, kid: \"k\", .. }");
    }
}
