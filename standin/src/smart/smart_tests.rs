use super::*;

const ORIGIN: &str = "https://ehr.test";
const TOKEN_URL: &str = "https://ehr.test/oauth2/token";
/// 2026-01-01T00:00:00Z.
const NOW_S: i64 = 1_767_225_600;

fn now() -> Timestamp {
    Timestamp::from_second(NOW_S).unwrap()
}

fn claims() -> Value {
    json!({"iss": "app", "sub": "app", "aud": TOKEN_URL, "jti": "one",
        "iat": NOW_S, "nbf": NOW_S, "exp": NOW_S + 300})
}

fn with(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn server(keys: &[&ClientKey]) -> Smart {
    Smart::new(SmartSettings::of("app", jwks(keys.iter().copied())), ORIGIN, "https://ehr.test/fhir")
}

/// Asks for a token with this assertion; status, body and verdict.
fn ask(smart: &mut Smart, jwt: &str, scope: &str, at: Timestamp) -> (u16, Value, &'static str) {
    let body = format!(
        "grant_type=client_credentials&scope={scope}&client_assertion_type={}&client_assertion={jwt}",
        ASSERTION_TYPE.replace(':', "%3A"),
    );
    let call = Call {
        method: "POST",
        target: TOKEN_PATH,
        content_type: Some("application/x-www-form-urlencoded"),
        body: body.as_bytes(),
        ..Call::default()
    };
    let (answer, verdict, _) = smart.token(&call, at);
    (answer.status, answer.body, verdict)
}

const SCOPE: &str = "system/Observation.write+system/Patient.read";

#[test]
fn an_assertion_holds_by_every_rule_of_section_3_and_by_none_less() {
    let key = ClientKey::make(Algorithm::Es384, "k1").unwrap();
    let jti = |length| json!({"jti": "x".repeat(length)});
    for (changes, expected) in [
        (json!({}), "accepted"),
        (json!({"iat": null, "nbf": null}), "accepted"),
        (json!({"iss": "other"}), "client-unknown"),
        (json!({"sub": "other"}), "jwt-iss-sub"),
        (json!({"aud": ORIGIN}), "jwt-aud"),
        (json!({"aud": format!("{TOKEN_URL}/")}), "jwt-aud"),
        (json!({"aud": [TOKEN_URL]}), "jwt-aud"),
        (json!({"jti": null}), "jwt-jti"),
        (json!({"jti": ""}), "jwt-jti"),
        (jti(151), "accepted"),
        (jti(152), "jwt-jti-too-long"),
        (json!({"exp": null}), "jwt-exp"),
        (json!({"exp": NOW_S}), "jwt-expired"),
        (json!({"exp": NOW_S + 1}), "accepted"),
        (json!({"exp": NOW_S + 301}), "jwt-exp-too-far"),
        (json!({"iat": NOW_S + 1}), "jwt-iat-in-future"),
        (json!({"nbf": NOW_S + 1}), "jwt-nbf-in-future"),
        (json!({"iat": "soon"}), "jwt-iat-in-future"),
        (json!({"iat": NOW_S - 1}), "jwt-life-too-long"),
        (json!({"iat": NOW_S - 1, "exp": NOW_S + 299}), "accepted"),
    ] {
        let mut smart = server(&[&key]);
        let (status, body, verdict) = ask(&mut smart, &key.sign(&with(&changes)).unwrap(), SCOPE, now());
        assert_eq!(verdict, expected, "{changes}");
        let error = if expected == "accepted" { Value::Null } else { json!("invalid_client") };
        assert_eq!((status == 200, &body["error"]), (error.is_null(), &error), "{changes}");
    }
}

#[test]
fn a_header_names_a_registered_key_and_its_algorithm() {
    let key = ClientKey::make(Algorithm::Es384, "k1").unwrap();
    let rsa = ClientKey::make(Algorithm::Rs384, "r1").unwrap();
    let stranger = ClientKey::make(Algorithm::Es384, "k1").unwrap();
    let header = |alg: &str, kid: &str| json!({"alg": alg, "typ": "JWT", "kid": kid});
    for (signer, header, expected) in [
        (&key, header("ES384", "k1"), "accepted"),
        (&rsa, header("RS384", "r1"), "accepted"),
        (&stranger, header("ES384", "k1"), "jwt-signature"),
        (&key, header("ES384", "k2"), "jwt-kid"),
        (&key, json!({"alg": "ES384", "typ": "JWT"}), "jwt-kid"),
        (&key, header("RS384", "k1"), "jwt-alg"),
        (&key, header("none", "k1"), "jwt-alg"),
        (&key, header("ES256", "k1"), "jwt-alg"),
        (&key, json!({"alg": "ES384", "kid": "k1"}), "jwt-header"),
        (&key, json!({"alg": "ES384", "typ": "JWT", "kid": "k1", "crit": ["x"]}), "jwt-header"),
    ] {
        let mut smart = server(&[&key, &rsa]);
        let jwt = signer.sign_with(&header, &claims()).unwrap();
        assert_eq!(ask(&mut smart, &jwt, SCOPE, now()).2, expected, "{header}");
    }
    let mut smart = server(&[&key]);
    let jwt = key.sign(&claims()).unwrap();
    let forged = jwt.split('.').nth(1).unwrap().to_owned();
    let other = key.sign(&with(&json!({"jti": "two"}))).unwrap();
    let forged = other.replace(other.split('.').nth(1).unwrap(), &forged);
    assert_eq!(ask(&mut smart, &forged, SCOPE, now()).2, "jwt-signature");
    assert_eq!(ask(&mut smart, "a.b", SCOPE, now()).2, "jwt-malformed");
}

#[test]
fn an_assertion_is_taken_once_ever_and_one_that_failed_does_not_use_its_id_up() {
    let key = ClientKey::make(Algorithm::Es384, "k1").unwrap();
    let mut smart = server(&[&key]);
    let early = key.sign(&with(&json!({"iat": NOW_S + 1}))).unwrap();
    assert_eq!(ask(&mut smart, &early, SCOPE, now()).2, "jwt-iat-in-future");
    let jwt = key.sign(&claims()).unwrap();
    assert_eq!(ask(&mut smart, &jwt, SCOPE, now()).2, "accepted");
    assert_eq!(ask(&mut smart, &jwt, SCOPE, now()).2, "jti-reused");
    let again = key.sign(&with(&json!({"exp": NOW_S + 200}))).unwrap();
    assert_eq!(ask(&mut smart, &again, SCOPE, now()).2, "jti-reused", "another assertion, the same id");
}

#[test]
fn a_rotated_key_set_takes_the_new_key_and_refuses_the_old_one() {
    let old = ClientKey::make(Algorithm::Es384, "old").unwrap();
    let new = ClientKey::make(Algorithm::Es384, "new").unwrap();
    let mut smart = server(&[&old]);
    let by = |key: &ClientKey, jti: &str| key.sign(&with(&json!({"jti": jti}))).unwrap();
    assert_eq!(ask(&mut smart, &by(&new, "1"), SCOPE, now()).2, "jwt-kid");
    smart.client("app").unwrap().jwks = jwks([&old, &new]);
    assert_eq!(ask(&mut smart, &by(&new, "2"), SCOPE, now()).2, "accepted");
    assert_eq!(ask(&mut smart, &by(&old, "3"), SCOPE, now()).2, "accepted");
    smart.client("app").unwrap().jwks = jwks([&new]);
    assert_eq!(ask(&mut smart, &by(&old, "4"), SCOPE, now()).2, "jwt-kid");
}

#[test]
fn scopes_are_redacted_and_the_answer_tells_what_is_left() {
    let key = ClientKey::make(Algorithm::Es384, "k1").unwrap();
    let grant = |granted: &[&str], refuses_wildcards, scope| {
        let mut smart = server(&[&key]);
        smart.settings.refuses_wildcards = refuses_wildcards;
        smart.client("app").unwrap().granted = granted.iter().map(|s| (*s).to_owned()).collect();
        let (status, body, verdict) = ask(&mut smart, &key.sign(&claims()).unwrap(), scope, now());
        (status, body["scope"].as_str().unwrap_or_default().to_owned(), verdict)
    };
    let all = "system/Observation.write system/Patient.read".to_owned();
    assert_eq!(grant(&[], false, SCOPE), (200, all, "accepted"));
    let some = "system/Patient.read".to_owned();
    assert_eq!(grant(&["system/Patient.read"], false, SCOPE), (200, some, "accepted"));
    assert_eq!(grant(&["system/Provenance.c"], false, SCOPE), (400, String::new(), "scope-none"));
    assert_eq!(grant(&[], false, ""), (400, String::new(), "scope-none"));
    assert_eq!(grant(&[], true, "system/*.read"), (400, String::new(), "scope-wildcard"));
}

#[test]
fn a_token_lives_as_long_as_it_says_by_the_servers_clock() {
    let key = ClientKey::make(Algorithm::Es384, "k1").unwrap();
    let mut smart = server(&[&key]);
    let (_, body, _) = ask(&mut smart, &key.sign(&claims()).unwrap(), SCOPE, now());
    assert_eq!(body["expires_in"], 570);
    let header = format!("Bearer {}", body["access_token"].as_str().unwrap());
    let bearer = |smart: &Smart, authorization, after| {
        let call = Call { authorization, ..Call::default() };
        let at = now() + Duration::from_secs(after);
        smart.bearer(&call, at).map(|bearer| bearer.client_id.to_owned()).map_err(|refusal| refusal.rule)
    };
    assert_eq!(bearer(&smart, Some(&header), 569), Ok("app".to_owned()));
    assert_eq!(bearer(&smart, Some(&header), 570), Err("token-expired"));
    assert_eq!(bearer(&smart, Some("Bearer x"), 0), Err("token-unknown"));
    assert_eq!(bearer(&smart, None, 0), Err("token-missing"));
    smart.expire_all();
    assert_eq!(bearer(&smart, Some(&header), 0), Err("token-expired"));
}

#[test]
fn a_token_request_is_a_form_of_the_right_kind() {
    let key = ClientKey::make(Algorithm::Es384, "k1").unwrap();
    let jwt = key.sign(&claims()).unwrap();
    let kind = format!("client_assertion_type={ASSERTION_TYPE}");
    let whole = format!("grant_type=client_credentials&{kind}&client_assertion={jwt}&scope={SCOPE}");
    let form = "application/x-www-form-urlencoded";
    for (method, media, body, status, expected) in [
        ("GET", form, whole.clone(), 405, "token-method"),
        ("POST", "application/json", whole.clone(), 400, "token-form"),
        ("POST", form, format!("{whole}&scope=again"), 400, "token-form"),
        ("POST", form, whole.replace("client_credentials", "password"), 400, "token-grant-type"),
        ("POST", form, whole.replace("jwt-bearer", "saml2-bearer"), 400, "token-assertion-type"),
        ("POST", form, format!("grant_type=client_credentials&{kind}"), 400, "token-assertion"),
        ("POST", form, whole.clone(), 200, "accepted"),
    ] {
        let mut smart = server(&[&key]);
        let call = Call {
            method,
            target: TOKEN_PATH,
            content_type: Some(media),
            body: body.as_bytes(),
            ..Call::default()
        };
        let (answer, verdict, _) = smart.token(&call, now());
        assert_eq!((answer.status, verdict), (status, expected));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[test]
fn a_private_key_is_pem_of_pkcs8_and_a_public_one_says_nothing_of_it() {
    use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
    for algorithm in [Algorithm::Es384, Algorithm::Rs384] {
        let key = ClientKey::make(algorithm, "k").unwrap();
        let read = PrivateKeyDer::from_pem_slice(key.pem().unwrap().as_bytes()).unwrap();
        assert!(matches!(read, PrivateKeyDer::Pkcs8(_)));
        rustls::crypto::aws_lc_rs::sign::any_supported_type(&read).unwrap();
        assert!(key.jwk()["d"].is_null());
    }
}
