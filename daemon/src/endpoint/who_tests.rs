use std::time::Duration;

use axum::http::HeaderValue;

use super::*;
use crate::endpoint::{caller::Act, scope::Scopes};

fn scopes(text: &str) -> Scopes {
    Scopes::read(text)
}

fn settings() -> FhirIssuer {
    FhirIssuer {
        issuer: "https://idp.example".to_owned(),
        audience: "a".to_owned(),
        jwks_uri: None,
        ca: "ca.pem".into(),
        roles: None,
        scope_claim: Vec::new(),
        patient_claim: Vec::new(),
        leeway: Duration::ZERO,
        site: "main".into(),
    }
}

fn said(roles: &[Role], granted: Option<&str>) -> Said {
    Said {
        subject: Some("u1".to_owned()),
        client_id: Some("app".to_owned()),
        roles: roles.to_vec(),
        scopes: granted.map(scopes),
        patient: None,
        certificate: None,
    }
}

fn client(
    client_id: Option<&str>,
    subject: Option<&str>,
    role: Option<Role>,
    most: Option<&str>,
) -> FhirClient {
    FhirClient {
        name: "known".to_owned(),
        shown: Shown::Token {
            issuer: "https://idp.example".to_owned(),
            client_id: client_id.map(str::to_owned),
            subject: subject.map(str::to_owned),
        },
        site: "other".into(),
        role,
        scopes: most.map(scopes),
    }
}

#[test]
fn a_client_that_is_known_has_its_own_name_site_and_role_and_no_more_than_its_scopes() {
    let known = client(Some("app"), None, Some(Role::Operator), Some("system/Observation.crs"));
    let of = |granted| {
        of_token(said(&[Role::Viewer], granted), &settings(), std::slice::from_ref(&known), false)
            .ok()
            .unwrap()
    };
    let caller = of(Some("system/*.rs"));
    assert_eq!((caller.name.as_str(), &*caller.site, caller.role), ("known", "other", Role::Operator));
    assert!(caller.may(Act::Read, fhir::Kind::Observation).is_ok());
    assert!(caller.may(Act::Create, fhir::Kind::Observation).is_err(), "the token grants no create");
    assert!(caller.may(Act::Read, fhir::Kind::Patient).is_err(), "the client has no more than Observation");
    assert!(of(None).may(Act::Create, fhir::Kind::Observation).is_ok(), "without a claim its own count");
    assert!(
        of(Some("")).may(Act::Read, fhir::Kind::Observation).is_err(),
        "a claim without scopes grants none"
    );
}

#[test]
fn a_client_is_known_by_all_that_is_written_of_it() {
    let name = |known: FhirClient| {
        of_token(said(&[Role::Viewer], Some("user/*.rs")), &settings(), &[known], false).ok().unwrap().name
    };
    assert_eq!(name(client(Some("app"), Some("u1"), None, None)), "known");
    assert_eq!(name(client(None, Some("u1"), None, None)), "known");
    for other in [client(Some("app"), Some("u2"), None, None), client(Some("App"), None, None, None)] {
        let name = name(other);
        assert!(name.starts_with("subject-") && name.len() == 24 && !name.contains("u1"), "{name}");
    }
}

#[test]
fn break_glass_counts_where_a_reason_is_given_and_other_roles_where_none_is() {
    let role = |roles: &[Role], has_reason| {
        of_token(said(roles, None), &settings(), &[], has_reason).map(|caller| caller.role).ok()
    };
    let both = [Role::Viewer, Role::BreakGlass];
    assert_eq!((role(&both, false), role(&both, true)), (Some(Role::Viewer), Some(Role::BreakGlass)));
    assert_eq!(role(&[Role::Viewer], true), Some(Role::Viewer));
    assert_eq!(role(&[], true), None);
}

#[test]
fn a_reason_has_ten_to_two_hundred_printable_characters() {
    let of = |text: &[u8]| {
        let mut headers = HeaderMap::new();
        headers.insert(REASON, HeaderValue::from_bytes(text).unwrap());
        reason(&headers).is_some()
    };
    assert!(of(b"ten chars!") && of(&[b'a'; 200]) && of("bewusstlos, Notfall \u{fc}".as_bytes()));
    assert!(!of(b"nine char") && !of(&[b'a'; 201]) && !of(b"         a         ") && !of(b"a\tbbbbbbbbbbbb"));
    assert!(!of(b"\xff\xfe aaaaaaaaaaaa"));
    let mut twice = HeaderMap::new();
    twice.append(REASON, HeaderValue::from_static("a good reason"));
    twice.append(REASON, HeaderValue::from_static("another reason"));
    assert_eq!(reason(&twice), None);
}

#[test]
fn one_authorization_of_the_bearer_kind_is_a_token() {
    let of = |values: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        bearer(&headers).map(|token| token.map(str::to_owned))
    };
    assert_eq!(of(&[]), Ok(None));
    assert_eq!(of(&["Bearer a.b.c"]), Ok(Some("a.b.c".to_owned())));
    assert_eq!(of(&["bearer  a.b.c "]), Ok(Some("a.b.c".to_owned())));
    for bad in [&["Basic YTpi"][..], &["Bearer"], &["a.b.c"], &["Bearer a", "Bearer b"], &["DPoP a.b.c"]] {
        assert_eq!(of(bad), Err(Unproved::Scheme), "{bad:?}");
    }
}
