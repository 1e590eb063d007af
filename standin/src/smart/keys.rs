//! Keys of clients: made up at run time, published as a JWKS, and used to sign assertions in tests.
//!
//! P-384 for ES384, RSA of 2,048 bits for RS384 (RFC 7518, 3.3 and 3.4). A private key is written as
//! PKCS#8 in PEM, mode 0600; a public one as a JSON Web Key (RFC 7517, RFC 7518, 6.2 and 6.3).

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA384, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use thiserror::Error;

/// Columns of a PEM line (RFC 7468, section 2).
const PEM_COLUMNS: usize = 64;

/// Why a key could not be made, written or used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The cryptographic library refused.
    #[error("a client key could not be made or used")]
    Crypto,
    /// The file exists already, or the folder is missing.
    #[error("a client key could not be written")]
    Write(#[from] io::Error),
}

impl From<aws_lc_rs::error::Unspecified> for KeyError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Crypto
    }
}

/// The two algorithms of SMART Backend Services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
}

impl Algorithm {
    /// The name in a JWT's header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Es384 => "ES384",
            Self::Rs384 => "RS384",
        }
    }
}

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
}

/// A client's key pair.
pub struct ClientKey {
    kid: String,
    pair: Pair,
}

impl ClientKey {
    /// A new pair, named `kid`.
    ///
    /// # Errors
    /// [`KeyError::Crypto`].
    pub fn make(algorithm: Algorithm, kid: &str) -> Result<Self, KeyError> {
        let pair = match algorithm {
            Algorithm::Es384 => Pair::Ec(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING)?),
            Algorithm::Rs384 => Pair::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048)?)),
        };
        Ok(Self { kid: kid.to_owned(), pair })
    }

    /// Its name in the JWKS.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// What it signs with.
    pub fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Ec(_) => Algorithm::Es384,
            Pair::Rsa(_) => Algorithm::Rs384,
        }
    }

    /// The public key as a JWK.
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.pair {
            Pair::Ec(pair) => {
                // Uncompressed point: 0x04, x, y (SEC 1, 2.3.3).
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({"kty": "EC", "crv": "P-384", "use": "sig", "alg": "ES384", "kid": self.kid,
                    "key_ops": ["verify"], "x": text(x), "y": text(y)})
            }
            Pair::Rsa(pair) => {
                let (n, e) = rsa_numbers(pair.public_key().as_ref()).unwrap_or_default();
                json!({"kty": "RSA", "use": "sig", "alg": "RS384", "kid": self.kid,
                    "key_ops": ["verify"], "n": text(n), "e": text(e)})
            }
        }
    }

    /// The private key, PKCS#8 in PEM.
    ///
    /// # Errors
    /// [`KeyError::Crypto`].
    pub fn pem(&self) -> Result<String, KeyError> {
        let der = match &self.pair {
            Pair::Ec(pair) => pair.to_pkcs8v1()?.as_ref().to_vec(),
            Pair::Rsa(pair) => AsDer::<Pkcs8V1Der<'_>>::as_der(&**pair)?.as_ref().to_vec(),
        };
        let text = STANDARD.encode(der);
        let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(PEM_COLUMNS));
            pem.push_str(line);
            pem.push('\n');
            rest = more;
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        Ok(pem)
    }

    /// Writes the private key to a file that must not exist, readable by its owner only.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(file.write_all(self.pem()?.as_bytes())?)
    }

    /// A JWT of these claims (RFC 7519), with this key's `alg` and `kid`.
    ///
    /// # Errors
    /// [`KeyError::Crypto`].
    pub fn sign(&self, claims: &Value) -> Result<String, KeyError> {
        let header = json!({"alg": self.algorithm().name(), "typ": "JWT", "kid": self.kid});
        self.sign_with(&header, claims)
    }

    /// A JWT with this header, which may lie.
    ///
    /// # Errors
    /// [`KeyError::Crypto`].
    pub fn sign_with(&self, header: &Value, claims: &Value) -> Result<String, KeyError> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Ec(pair) => pair.sign(&random, message.as_bytes())?.as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA384, &random, message.as_bytes(), &mut signature)?;
                signature
            }
        };
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// A JWKS of these keys' public halves.
pub fn jwks<'a>(keys: impl IntoIterator<Item = &'a ClientKey>) -> Value {
    json!({"keys": keys.into_iter().map(ClientKey::jwk).collect::<Vec<_>>()})
}

/// Modulus and exponent of an RSAPublicKey (RFC 8017, A.1.1), without leading zeros.
fn rsa_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, _) = der_value(der, 0x30)?;
    let (n, rest) = der_value(sequence, 0x02)?;
    let (e, _) = der_value(rest, 0x02)?;
    Some((without_zeros(n), without_zeros(e)))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// The content of a DER value of this tag, and what comes after it.
fn der_value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let rest = der.strip_prefix(&[tag])?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
    };
    rest.split_at_checked(length)
}
