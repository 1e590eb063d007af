//! The client assertion: a signed statement of who asks for a token (SMART Backend Services; RFC 7523). Pure.
//!
//! Invariants: `iss` = `sub` = the client id; `aud` is the token URL to the letter; `jti` is fresh chance of
//! [`JTI_CHARS`] characters for every request; `iat` and `nbf` lie [`BACKDATED_S`] before the server's time as far as
//! that is known, never after it; `exp` − `iat` is [`LIFETIME_S`], within the 300 s that EHRs take.

use jsonwebtoken::{Header, encode};
use serde::Serialize;
use zeroize::Zeroizing;

use super::key::SigningKey;

/// From `iat` to `exp`, in seconds. EHRs take 300; the rest is for a clock that runs on while a request waits.
pub const LIFETIME_S: i64 = 270;
/// `iat` lies so many seconds before the server's time: a `Date` is a second old, and servers differ among their own.
pub const BACKDATED_S: i64 = 10;
/// Characters of a `jti`: 128 bits in hexadecimal. EHRs take 151.
pub const JTI_CHARS: usize = 32;

/// What is stated.
#[derive(Debug, Serialize)]
pub struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

/// Why an assertion could not be signed: never with any of its content.
#[derive(Debug, thiserror::Error)]
#[error("the client assertion could not be signed with the key")]
pub struct SignError;

/// The claims of one request. `server_s` is the server's time as we know it (Unix seconds), `chance` is fresh.
pub fn claims<'a>(client_id: &'a str, token_url: &'a str, server_s: i64, chance: u128) -> Claims<'a> {
    let iat = server_s - BACKDATED_S;
    let jti = format!("{chance:0JTI_CHARS$x}");
    Claims { iss: client_id, sub: client_id, aud: token_url, jti, iat, nbf: iat, exp: iat + LIFETIME_S }
}

/// Signs claims with ES384 or RS384, as the key is.
///
/// # Errors
/// [`SignError`].
pub fn sign(key: &SigningKey, claims: &Claims<'_>) -> Result<Zeroizing<String>, SignError> {
    let mut header = Header::new(key.algorithm().jwt());
    header.kid = Some(key.kid().to_owned());
    encode(&header, claims, key.encoding()).map(Zeroizing::new).map_err(|_| SignError)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{
        ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA384, RsaPublicKeyComponents, UnparsedPublicKey,
    };
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::Value;

    use super::*;
    use crate::smart::key::{self, tests::RSA_PKCS1};

    fn bytes(part: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(part).unwrap()
    }

    fn json(part: &str) -> Value {
        serde_json::from_slice(&bytes(part)).unwrap()
    }

    #[test]
    fn claims_stay_within_what_an_ehr_takes() {
        let url = "https://ehr.example/oauth2/Token/";
        for server_s in [1_772_323_200, 0, i64::from(u32::MAX)] {
            let claims = serde_json::to_value(claims("box-1", url, server_s, 7)).unwrap();
            assert_eq!(
                (&claims["iss"], &claims["sub"], &claims["aud"]),
                (&"box-1".into(), &"box-1".into(), &url.into())
            );
            let seconds = |name: &str| claims[name].as_i64().unwrap();
            assert!(seconds("iat") <= server_s && seconds("nbf") <= server_s);
            assert!(seconds("exp") - seconds("iat") <= 300);
            assert!(seconds("exp") > server_s + 200 && seconds("exp") <= server_s + 300);
        }
        let jti = |chance| {
            serde_json::to_value(claims("c", url, 0, chance)).unwrap()["jti"].as_str().unwrap().to_owned()
        };
        assert_eq!((jti(0).len(), jti(u128::MAX).len()), (JTI_CHARS, JTI_CHARS));
        assert_ne!(jti(1), jti(2));
    }

    #[test]
    fn a_signature_holds_under_the_public_key_and_the_header_names_it() {
        let pem = key::generate().unwrap();
        let key = SigningKey::from_pem(pem.as_bytes(), Some("k-1")).unwrap();
        let signed = sign(&key, &claims("c", "https://t.example", 1_000, 1)).unwrap();
        let parts: Vec<&str> = signed.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("three parts") };
        assert_eq!(json(header)["alg"], "ES384");
        assert_eq!(json(header)["kid"], "k-1");
        assert_eq!(json(claims)["aud"], "https://t.example");
        let jwk = key.public();
        let mut point = vec![4];
        point.extend(["x", "y"].iter().flat_map(|name| bytes(jwk[*name].as_str().unwrap())));
        let message = format!("{header}.{claims}");
        let public = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &point);
        public.verify(message.as_bytes(), &bytes(signature)).unwrap();
        assert!(public.verify(format!("{message}x").as_bytes(), &bytes(signature)).is_err());
    }

    #[test]
    fn an_rsa_key_signs_rs384() {
        let key = SigningKey::from_pem(RSA_PKCS1.as_bytes(), None).unwrap();
        let signed = sign(&key, &claims("c", "https://t.example", 1_000, 1)).unwrap();
        let (message, signature) = signed.rsplit_once('.').unwrap();
        assert_eq!(json(message.split('.').next().unwrap())["alg"], "RS384");
        let jwk = key.public();
        let (n, e) = (bytes(jwk["n"].as_str().unwrap()), bytes(jwk["e"].as_str().unwrap()));
        let public = RsaPublicKeyComponents { n, e };
        public.verify(&RSA_PKCS1_2048_8192_SHA384, message.as_bytes(), &bytes(signature)).unwrap();
    }
}
