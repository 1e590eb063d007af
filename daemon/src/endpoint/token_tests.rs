use serde_json::json;
use standin::smart::{Algorithm as Made, ClientKey};

use super::*;

fn base64(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn signed(key: &ClientKey, claims: &Value) -> String {
    key.sign(claims).unwrap()
}

fn set(keys: &[&ClientKey]) -> Vec<Key> {
    super::keys(standin::smart::jwks(keys.iter().copied()).to_string().as_bytes()).unwrap()
}

#[test]
fn a_token_is_verified_by_the_key_it_names_and_by_no_other() {
    let (ec, rsa) = (ClientKey::make(Made::Es384, "e").unwrap(), ClientKey::make(Made::Rs384, "r").unwrap());
    let other = ClientKey::make(Made::Es384, "e").unwrap();
    let claims = json!({"iss": "https://idp.example", "n": 1});
    let keys = set(&[&ec, &rsa]);
    for key in [&ec, &rsa] {
        let text = signed(key, &claims);
        let token = Token::read(&text).ok().unwrap();
        let chosen = choose(&keys, &token).unwrap();
        assert_eq!(token.verified(chosen).ok(), Some(&claims));
        // Another key of the same name.
        if std::ptr::eq(key, &ec) {
            let others = set(&[&other]);
            assert_eq!(token.verified(&others[0]).err(), Some(Unproved::Signature));
        }
        let (message, signature) = text.rsplit_once('.').unwrap();
        let (header, _) = message.split_once('.').unwrap();
        let forged = format!(
            "{header}.{}.{signature}",
            base64(&json!({"iss": "https://idp.example", "n": 2}).to_string())
        );
        let forged = Token::read(&forged).ok().unwrap();
        assert_eq!(forged.verified(chosen).err(), Some(Unproved::Signature));
    }
    let ours = signed(&ec, &claims);
    let token = Token::read(&ours).ok().unwrap();
    assert_eq!(token.verified(&keys[1]).err(), Some(Unproved::Algorithm), "an RSA key is for no ES384");
}

#[test]
fn algorithms_without_a_public_key_and_headers_that_cannot_be_understood_are_refused() {
    let token = |header: &Value| {
        let text = format!("{}.{}.{}", base64(&header.to_string()), base64(r#"{"iss":"i"}"#), base64("x"));
        Token::read(&text).err()
    };
    for alg in ["none", "None", "HS256", "HS384", "HS512", "EdDSA", "ES512", "RS512", "es256", ""] {
        assert_eq!(token(&json!({"alg": alg})), Some(Unproved::Algorithm), "{alg}");
    }
    for (name, _) in ALGORITHMS {
        assert_eq!(token(&json!({"alg": name})), None, "{name}");
    }
    assert_eq!(token(&json!({"alg": "ES256", "crit": ["b64"], "b64": false})), Some(Unproved::Malformed));
    assert_eq!(token(&json!({"kid": "a"})), Some(Unproved::Malformed));
    assert_eq!(token(&json!({"alg": "ES256", "kid": "k".repeat(257)})), Some(Unproved::Malformed));
    for text in ["", ".", "..", "a.b", "a.b.c", "....", &"a".repeat(TOKEN_MOST_BYTES)] {
        assert_eq!(Token::read(text).err(), Some(Unproved::Malformed), "{text}");
    }
    assert_eq!(Token::read(&"a".repeat(TOKEN_MOST_BYTES + 1)).err(), Some(Unproved::TooLong));
}

#[test]
fn a_key_that_does_not_fit_its_own_words_is_no_key() {
    let ec = ClientKey::make(Made::Es384, "e").unwrap().jwk();
    let rsa = ClientKey::make(Made::Rs384, "r").unwrap().jwk();
    let count = |jwk: &Value, changes: Value| {
        let mut jwk = jwk.clone();
        for (name, value) in changes.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        super::keys(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap().len()
    };
    assert_eq!((count(&ec, json!({})), count(&rsa, json!({}))), (1, 1));
    for (jwk, changes) in [
        (&ec, json!({"use": "enc"})),
        (&ec, json!({"alg": "ES256"})),
        (&ec, json!({"alg": "HS256"})),
        (&ec, json!({"alg": "RS384"})),
        (&ec, json!({"crv": "secp256k1"})),
        (&ec, json!({"kty": "oct", "k": "c2VjcmV0"})),
        (&rsa, json!({"alg": "HS384"})),
        (&rsa, json!({"n": "AQAB"})),
        (&rsa, json!({"kty": "oct"})),
    ] {
        assert_eq!(count(jwk, changes.clone()), 0, "{changes}");
    }
    assert!(super::keys(b"{}").is_none() && super::keys(b"[]").is_none() && super::keys(b"<html>").is_none());
}

#[test]
fn a_token_without_a_key_name_is_of_the_only_key_that_fits() {
    let (a, b) = (ClientKey::make(Made::Es384, "a").unwrap(), ClientKey::make(Made::Es384, "b").unwrap());
    let rsa = ClientKey::make(Made::Rs384, "r").unwrap();
    let text = format!("{}.{}.eA", base64(r#"{"alg":"ES384"}"#), base64(r#"{"iss":"i"}"#));
    let token = Token::read(&text).ok().unwrap();
    assert!(choose(&set(&[&a, &rsa]), &token).is_some());
    assert!(choose(&set(&[&a, &b]), &token).is_none());
    assert!(choose(&set(&[&rsa]), &token).is_none());
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_no_panic(text in "\\PC{0,200}") {
        let _token = Token::read(&text);
        let _keys = super::keys(text.as_bytes());
    }
}
