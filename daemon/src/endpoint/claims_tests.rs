use std::time::Duration;

use serde_json::json;

use super::*;

const NOW_S: i64 = 1_800_000_000;

fn issuer(leeway_s: u64) -> FhirIssuer {
    FhirIssuer {
        issuer: "https://idp.example/r".to_owned(),
        audience: "https://box.example/fhir".to_owned(),
        jwks_uri: None,
        ca: "ca.pem".into(),
        roles: Some(RoleClaim {
            path: vec!["realm_access".to_owned(), "roles".to_owned()],
            roles: vec![
                ("nurse".to_owned(), Role::Viewer),
                ("feed".to_owned(), Role::Operator),
                ("emergency".to_owned(), Role::BreakGlass),
            ],
        }),
        scope_claim: vec!["scope".to_owned()],
        patient_claim: vec!["patient".to_owned()],
        leeway: Duration::from_secs(leeway_s),
        site: "main".into(),
    }
}

fn good() -> Value {
    json!({"iss": "https://idp.example/r", "aud": "https://box.example/fhir", "exp": NOW_S + 300,
        "sub": "u1", "azp": "app", "scope": "openid user/*.rs", "realm_access": {"roles": ["x", "nurse"]}})
}

fn with(changes: &Value) -> Value {
    let mut claims = good();
    for (key, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(key);
        } else {
            claims[key] = value.clone();
        }
    }
    claims
}

fn fault(changes: &Value, leeway_s: u64) -> Option<Unproved> {
    check(&with(changes), &issuer(leeway_s), NOW_S * 1000).err()
}

#[test]
fn a_good_token_says_who_asks_and_what_was_granted() {
    let said = check(&good(), &issuer(60), NOW_S * 1000).ok().unwrap();
    assert_eq!((said.subject.as_deref(), said.client_id.as_deref()), (Some("u1"), Some("app")));
    assert_eq!(said.roles, [Role::Viewer]);
    assert_eq!(said.scopes, Some(Scopes::read("user/*.rs")));
    assert_eq!((said.patient, said.certificate), (None, None));
}

#[test]
fn issuer_and_audience_are_compared_to_the_letter() {
    for (changes, expected) in [
        (json!({}), None),
        (json!({"aud": ["other", "https://box.example/fhir"]}), None),
        (json!({"iss": "https://idp.example/r/"}), Some(Unproved::Issuer)),
        (json!({"iss": null}), Some(Unproved::Issuer)),
        (json!({"iss": ["https://idp.example/r"]}), Some(Unproved::Issuer)),
        (json!({"aud": "https://box.example/fhir/"}), Some(Unproved::Audience)),
        (json!({"aud": ["a", "b"]}), Some(Unproved::Audience)),
        (json!({"aud": []}), Some(Unproved::Audience)),
        (json!({"aud": null}), Some(Unproved::Audience)),
        (json!({"aud": {"a": "https://box.example/fhir"}}), Some(Unproved::Audience)),
    ] {
        assert_eq!(fault(&changes, 60), expected, "{changes}");
    }
}

#[test]
fn times_hold_to_the_second_with_and_without_leeway() {
    for (changes, leeway_s, expected) in [
        // The last second, and the first that is too late.
        (json!({"exp": NOW_S + 1}), 0, None),
        (json!({"exp": NOW_S}), 0, Some(Unproved::Expired)),
        (json!({"exp": NOW_S - 59}), 60, None),
        (json!({"exp": NOW_S - 60}), 60, Some(Unproved::Expired)),
        (json!({"exp": NOW_S as f64 + 0.5}), 0, None),
        (json!({"exp": null}), 60, Some(Unproved::Lifetime)),
        (json!({"exp": "1900000000"}), 60, Some(Unproved::Malformed)),
        (json!({"exp": -1}), 60, Some(Unproved::Malformed)),
        (json!({"exp": 1e300}), 60, Some(Unproved::Malformed)),
        (json!({"nbf": NOW_S}), 0, None),
        (json!({"nbf": NOW_S + 1}), 0, Some(Unproved::NotYet)),
        (json!({"nbf": NOW_S + 60}), 60, None),
        (json!({"nbf": NOW_S + 61}), 60, Some(Unproved::NotYet)),
        (json!({"iat": NOW_S + 60}), 60, None),
        (json!({"iat": NOW_S + 61}), 60, Some(Unproved::NotYet)),
        (json!({"nbf": "soon"}), 60, Some(Unproved::Malformed)),
        // Longer than a day is no access token.
        (json!({"exp": NOW_S + LIFETIME_MOST_S}), 0, None),
        (json!({"exp": NOW_S + LIFETIME_MOST_S + 1}), 0, Some(Unproved::Lifetime)),
        (json!({"exp": NOW_S + LIFETIME_MOST_S - 10, "iat": NOW_S - 10}), 0, None),
        (json!({"exp": NOW_S + LIFETIME_MOST_S - 10, "iat": NOW_S - 11}), 0, Some(Unproved::Lifetime)),
    ] {
        assert_eq!(fault(&changes, leeway_s), expected, "{changes} {leeway_s}");
    }
}

#[test]
fn roles_are_found_through_objects_and_lists_and_by_precedence() {
    let roles = |path: &[&str], claims: Value| {
        let mut issuer = issuer(60);
        issuer.roles.as_mut().unwrap().path = path.iter().map(|step| (*step).to_owned()).collect();
        check(&with(&claims), &issuer, NOW_S * 1000).ok().unwrap().roles
    };
    let of = |value: Value| json!({"x": value});
    assert_eq!(roles(&["x"], of(json!("nurse"))), [Role::Viewer]);
    assert_eq!(roles(&["x"], of(json!(["nurse", "feed"]))), [Role::Operator, Role::Viewer]);
    assert_eq!(roles(&["x", "y"], of(json!([{"y": "nurse"}, {"z": "feed"}]))), [Role::Viewer]);
    assert_eq!(roles(&["https://a.example/r"], json!({"https://a.example/r": ["nurse"]})), [Role::Viewer]);
    assert_eq!(roles(&["x"], of(json!(["emergency", "nurse"]))), [Role::Viewer, Role::BreakGlass]);
    for none in [json!("Nurse"), json!("nurse feed"), json!({"nurse": true}), json!(7), json!([["nurse"]])] {
        assert_eq!(roles(&["x"], of(none.clone())), [], "{none}");
    }
    assert_eq!(roles(&["absent", "y"], json!({})), []);
}

#[test]
fn scopes_are_read_from_a_text_or_a_list_and_told_from_none() {
    let scopes = |changes: Value| check(&with(&changes), &issuer(60), NOW_S * 1000).ok().unwrap().scopes;
    assert_eq!(
        scopes(json!({"scope": ["user/*.r", "system/Device.c"]})),
        Some(Scopes::read("user/*.r system/Device.c"))
    );
    assert_eq!(scopes(json!({"scope": ""})), Some(Scopes::default()));
    assert_eq!(scopes(json!({"scope": 7})), Some(Scopes::default()));
    assert_eq!(scopes(json!({"scope": null})), None);
}

#[test]
fn a_launch_patient_is_one_id_or_nobody() {
    let patient = |value: Value| {
        check(&with(&json!({"patient": value})), &issuer(60), NOW_S * 1000).ok().unwrap().patient
    };
    assert_eq!(patient(json!("p-1.x")).as_deref(), Some("p-1.x"));
    assert_eq!(patient(json!("Patient/p1")).as_deref(), Some("p1"));
    for none in [json!(""), json!("a/b"), json!("a b"), json!(["p1", "p2"]), json!("x".repeat(65)), json!(7)]
    {
        assert_eq!(patient(none.clone()), None, "{none}");
    }
}

#[test]
fn a_token_that_is_bound_to_a_key_we_cannot_see_is_not_taken() {
    let said = check(&with(&json!({"cnf": {"x5t#S256": "abc"}})), &issuer(60), NOW_S * 1000).ok().unwrap();
    assert_eq!(said.certificate.as_deref(), Some("abc"));
    for other in [json!({"jkt": "abc"}), json!({}), json!("abc"), json!({"x5t#S256": "a", "jkt": "b"})] {
        assert_eq!(fault(&json!({"cnf": other}), 60), Some(Unproved::Bound));
    }
}

proptest::proptest! {
    #[test]
    fn any_claims_are_judged_without_a_panic(text in "[\\[\\]{}\":,a-z0-9.-]{0,80}") {
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            let _said = check(&with(&json!({"exp": value, "realm_access": value, "cnf": null})), &issuer(0), 0);
        }
    }
}
