//! Tokens, scopes and the server's clock, over the exchange: no sockets.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::call::{Answer, Call, Reply};
use crate::conduct::Conduct;
use crate::exchange::Exchange;
use crate::persona::Persona;
use crate::rule::{Act, Refused, Rule, What};
use crate::script::Play;
use crate::smart::{Algorithm, ClientKey, SmartSettings, jwks};
use crate::{Bundles, Person};

/// 2026-01-01T00:00:00Z.
const NOW_S: i64 = 1_767_225_600;

fn now() -> Timestamp {
    Timestamp::from_second(NOW_S).unwrap()
}

fn observation(value: u32) -> Value {
    json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "valueInteger": value,
        "subject": {"identifier": {"system": "urn:p", "value": "77"}}})
}

fn answered(reply: Reply) -> Answer {
    match reply {
        Reply::Answer(answer) => answer,
        Reply::HangUp => panic!("no answer"),
    }
}

/// A server that asks for tokens, and a client's key.
struct Guarded {
    exchange: Exchange,
    key: ClientKey,
    jti: u32,
}

impl Guarded {
    fn new(persona: Persona) -> Self {
        let key = ClientKey::make(Algorithm::Es384, "k").unwrap();
        let smart = Some(SmartSettings::of("app", jwks([&key])));
        let bundles = Some(Bundles { transaction: true, batch: true });
        let people = vec![Person::new("urn:p", "77")];
        let conduct = Conduct { smart, bundles, people, ..Conduct::of(persona) };
        let exchange = Exchange::playing("https://ehr.test/fhir".into(), None, conduct);
        Self { exchange, key, jti: 0 }
    }

    fn token(&mut self, scope: &str, iat: i64) -> (u16, String) {
        self.jti += 1;
        let claims = json!({"iss": "app", "sub": "app", "aud": "https://ehr.test/oauth2/token",
            "jti": self.jti.to_string(), "iat": iat, "exp": iat + 300});
        let jwt = self.key.sign(&claims).unwrap();
        let body = format!(
            "grant_type=client_credentials&scope={scope}&client_assertion={jwt}&client_assertion_type=\
             urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        );
        let call = Call {
            method: "POST",
            target: "/oauth2/token",
            content_type: Some("application/x-www-form-urlencoded"),
            body: body.as_bytes(),
            ..Call::default()
        };
        let answer = answered(self.exchange.serve(&call, Duration::ZERO, now()));
        (answer.status, format!("Bearer {}", answer.body["access_token"].as_str().unwrap_or_default()))
    }

    fn call(&mut self, token: Option<&str>, method: &str, target: &str, body: &Value) -> Answer {
        let body = body.to_string();
        let call = Call {
            method,
            target,
            authorization: token,
            content_type: Some("application/fhir+json"),
            body: body.as_bytes(),
            ..Call::default()
        };
        answered(self.exchange.serve(&call, Duration::ZERO, now()))
    }

    fn verdict(&self) -> &'static str {
        self.exchange.log.records().last().unwrap().verdict
    }
}

#[test]
fn without_a_token_that_holds_every_request_but_discovery_is_401() {
    let mut server = Guarded::new(Persona::Plain);
    for (target, status) in [
        ("/fhir/metadata", 200),
        ("/fhir/.well-known/smart-configuration", 200),
        ("/.well-known/smart-configuration", 200),
        ("/fhir/Patient?identifier=urn:p|77", 401),
        ("/fhir/nonsense/a/b/c", 401),
    ] {
        assert_eq!(server.call(None, "GET", target, &Value::Null).status, status, "{target}");
    }
    let refused = server.call(None, "POST", "/fhir/Observation", &observation(1));
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer realm=\"fhir\"")));
    let found = server.call(None, "GET", "/fhir/.well-known/smart-configuration", &Value::Null).body;
    assert_eq!(found["token_endpoint"], "https://ehr.test/oauth2/token");
    let (status, token) = server.token("system/Patient.read", NOW_S);
    assert_eq!(status, 200);
    let answer = server.call(Some(&token), "GET", "/fhir/Patient?identifier=urn:p|77", &Value::Null);
    assert_eq!(answer.body["total"], 1);
    assert_eq!(server.exchange.log.records().last().unwrap().client.as_deref(), Some("app"));
    server.exchange.smart.as_mut().unwrap().expire_all();
    let expired = server.call(Some(&token), "GET", "/fhir/Patient?identifier=urn:p|77", &Value::Null);
    assert_eq!((expired.status, server.verdict()), (401, "token-expired"));
    assert!(expired.header("www-authenticate").unwrap().contains("invalid_token"));
}

#[test]
fn a_write_without_its_scope_is_403_insufficient_scope_singly_and_in_each_entry() {
    let mut server = Guarded::new(Persona::Plain);
    let (_, token) = server.token("system/Observation.c+system/Observation.rs", NOW_S);
    let token = Some(token.as_str());
    assert_eq!(server.call(token, "POST", "/fhir/Observation", &observation(1)).status, 201);
    let provenance = json!({"resourceType": "Provenance", "recorded": "2026-01-01T00:00:00Z", "agent": [{}],
        "target": [{"reference": "Observation/1"}]});
    let refused = server.call(token, "POST", "/fhir/Provenance", &provenance);
    assert_eq!((refused.status, server.verdict()), (403, "scope-missing"));
    assert!(refused.header("www-authenticate").unwrap().contains("insufficient_scope"));
    let entry = |resource: &Value| {
        json!({"resource": resource,
        "request": {"method": "POST", "url": resource["resourceType"]}})
    };
    let entries = [entry(&observation(2)), entry(&provenance)];
    let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": entries});
    let answer = server.call(token, "POST", "/fhir", &bundle);
    let status = |n: usize| answer.body["entry"][n]["response"]["status"].clone();
    assert_eq!([status(0), status(1)], ["201 Created", "403 Forbidden"]);
    let mut transaction = bundle;
    transaction["type"] = json!("transaction");
    assert_eq!(server.call(token, "POST", "/fhir", &transaction).status, 403);
    let update = server.call(token, "PUT", "/fhir/Observation/si-1", &observation(1));
    assert_eq!((update.status, server.verdict()), (403, "scope-missing"));
    assert_eq!(server.call(token, "GET", "/fhir/Patient?identifier=urn:p|77", &Value::Null).status, 403);
}

#[test]
fn the_servers_clock_is_told_in_the_date_header_and_judges_assertions() {
    let mut server = Guarded::new(Persona::Plain);
    server.exchange.conduct.clock_offset = SignedDuration::from_secs(-120);
    assert_eq!(server.token("system/Patient.read", NOW_S).0, 401, "as the client's clock has it");
    assert_eq!(server.verdict(), "jwt-exp-too-far");
    let told = server.call(None, "GET", "/fhir/metadata", &Value::Null);
    assert_eq!(told.header("date"), Some("Wed, 31 Dec 2025 23:58:00 GMT"));
    assert_eq!(server.token("system/Patient.read", NOW_S - 120).0, 200, "by the server's clock");
    server.exchange.conduct.clock_offset = SignedDuration::from_secs(301);
    assert_eq!(server.token("system/Patient.read", NOW_S).0, 401);
    assert_eq!(server.verdict(), "jwt-expired");
}

#[test]
fn millennium_grants_no_wildcard() {
    let mut server = Guarded::new(Persona::Millennium);
    assert_eq!(server.token("system/*.read", NOW_S).0, 400);
    assert_eq!(server.verdict(), "scope-wildcard");
    assert_eq!(server.token("system/Observation.read", NOW_S).0, 200);
}

#[test]
fn epic_wants_its_client_id_beside_the_token() {
    let mut server = Guarded::new(Persona::Epic);
    let (_, token) = server.token("system/Patient.read", NOW_S);
    for (id, status) in [(None, 403), (Some("other"), 403), (Some("app"), 200)] {
        let call = Call {
            method: "GET",
            target: "/fhir/Patient?identifier=urn:p|77",
            authorization: Some(&token),
            epic_client_id: id,
            ..Call::default()
        };
        let answer = answered(server.exchange.serve(&call, Duration::ZERO, now()));
        assert_eq!(answer.status, status, "{id:?}");
    }
}

#[test]
fn the_token_endpoint_can_be_scripted_and_rules_of_anything_else_leave_it_alone() {
    let mut server = Guarded::new(Persona::Plain);
    server.exchange.script.play(Play::Unavailable503);
    server
        .exchange
        .script
        .rule(Rule::new("all", Act::Refuse(Refused::new(503, "transient"))).on(What::Anything));
    assert_eq!(server.token("system/Patient.read", NOW_S).0, 200);
    server
        .exchange
        .script
        .rule(Rule::new("tokens", Act::Refuse(Refused::new(500, "exception"))).on(What::Tokens).times(1));
    assert_eq!(server.token("system/Patient.read", NOW_S).0, 500);
    assert_eq!(server.token("system/Patient.read", NOW_S).0, 200);
}
