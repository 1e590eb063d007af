use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::script::{Play, RetryAfter};

const OBSERVATION: &str = r#"{"resourceType":"Observation","status":"final","code":{"text":"x"},
    "identifier":[{"system":"urn:s","value":"1"}],
    "subject":{"identifier":{"system":"urn:p","value":"77"}}}"#;

fn exchange() -> Exchange {
    Exchange::new("https://ehr.test/fhir".into(), None)
}

fn post(exchange: &mut Exchange, if_none_exist: Option<&str>) -> Reply {
    let call = Call {
        method: "POST",
        target: "/fhir/Observation",
        content_type: Some("application/fhir+json; charset=utf-8"),
        if_none_exist,
        body: OBSERVATION.as_bytes(),
        ..Call::default()
    };
    exchange.serve(&call, Duration::ZERO, Timestamp::UNIX_EPOCH)
}

fn get(exchange: &mut Exchange, target: &str) -> Answer {
    let call = Call { method: "GET", target, ..Call::default() };
    answered(exchange.serve(&call, Duration::ZERO, Timestamp::UNIX_EPOCH))
}

fn answered(reply: Reply) -> Answer {
    match reply {
        Reply::Answer(answer) => answer,
        Reply::HangUp => panic!("no answer"),
    }
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.header(name)
}

#[test]
fn each_refusing_play_answers_with_its_status_and_issue_code_and_does_nothing() {
    for (play, status, code) in [
        (Play::RefuseWrites, 403, "forbidden"),
        (Play::RefusePatients(vec!["77".into()]), 403, "forbidden"),
        (Play::Reject422(crate::Whose::All), 422, "business-rule"),
        (Play::Reject422(crate::Whose::Named(vec!["1".into()])), 422, "business-rule"),
        (Play::Unauthorized401, 401, "login"),
        (Play::Throttle(RetryAfter::Absent), 429, "throttled"),
        (Play::Unavailable503, 503, "transient"),
    ] {
        let mut exchange = exchange();
        exchange.script.play(play.clone());
        let answer = answered(post(&mut exchange, None));
        assert_eq!(answer.status, status, "{play:?}");
        assert_eq!(answer.body["issue"][0]["code"], code, "{play:?}");
        assert!(exchange.store.is_empty(), "{play:?}");
        assert_eq!(exchange.log.judge().refused, 1, "{play:?}");
    }
}

#[test]
fn a_refusal_of_a_patient_names_the_patient_and_one_of_the_site_names_none() {
    let mut exchange = exchange();
    exchange.script.play(Play::RefusePatients(vec!["77".into()]));
    assert!(answered(post(&mut exchange, None)).body.to_string().contains("77"));
    exchange.script.play(Play::RefuseWrites);
    assert!(!answered(post(&mut exchange, None)).body.to_string().contains("77"));
}

#[test]
fn reads_go_on_while_writes_are_refused() {
    let mut exchange = exchange();
    post(&mut exchange, None);
    exchange.script.play(Play::RefuseWrites);
    assert_eq!(get(&mut exchange, "/fhir/Observation?identifier=urn:s|1").body["total"], 1);
    assert_eq!(get(&mut exchange, "/fhir/metadata").body["fhirVersion"], "4.0.1");
}

#[test]
fn retry_after_is_seconds_or_an_http_date() {
    let mut exchange = exchange();
    exchange.script.play_next(Play::Throttle(RetryAfter::Seconds(7)), 1);
    exchange.script.play_next(Play::Throttle(RetryAfter::Date(7)), 1);
    assert_eq!(header(&answered(post(&mut exchange, None)), "retry-after"), Some("7"));
    let date = answered(post(&mut exchange, None));
    assert_eq!(header(&date, "retry-after"), Some("Thu, 01 Jan 1970 00:00:07 GMT"));
    assert_eq!(answered(post(&mut exchange, None)).status, 201);
}

#[test]
fn a_reset_after_the_body_takes_effect_and_one_before_does_not() {
    let mut exchange = exchange();
    exchange.script.play_next(Play::ResetBeforeEffect, 1);
    exchange.script.play_next(Play::ResetAfterBody, 1);
    assert_eq!(post(&mut exchange, None), Reply::HangUp);
    assert!(exchange.store.is_empty());
    assert_eq!(post(&mut exchange, None), Reply::HangUp);
    assert_eq!(exchange.store.len(), 1);
    let found = get(&mut exchange, "/fhir/Observation?identifier=urn:s|1");
    assert_eq!(found.body["total"], 1);
    assert_eq!(exchange.log.judge().unanswered, 2);
}

#[test]
fn a_blind_retry_after_an_ambiguous_answer_is_judged_a_double() {
    let mut exchange = exchange();
    exchange.script.play_next(Play::ResetAfterBody, 1);
    post(&mut exchange, None);
    post(&mut exchange, None);
    assert_eq!(exchange.log.judge().doubled, 1);
}

#[test]
fn a_conditional_retry_after_an_ambiguous_answer_is_no_double() {
    let mut exchange = exchange();
    exchange.script.play_next(Play::ResetAfterBody, 1);
    post(&mut exchange, Some("identifier=urn:s|1"));
    let answer = answered(post(&mut exchange, Some("identifier=urn:s|1")));
    assert_eq!(answer.status, 200);
    assert_eq!(header(&answer, "etag"), Some("W/\"1\""));
    let location = header(&answer, "location").unwrap();
    assert!(location.starts_with("https://ehr.test/fhir/Observation/"), "{location}");
    assert!(location.ends_with("/_history/1"), "{location}");
    assert_eq!(exchange.log.judge().doubled, 0);
}

#[test]
fn a_type_that_is_not_taken_is_refused_whole() {
    let mut exchange = Exchange::new("https://up.test/fhir".into(), Some(&["Provenance"]));
    assert_eq!(answered(post(&mut exchange, None)).status, 403);
    assert!(exchange.store.is_empty());
}

#[test]
fn what_is_not_fhir_gets_an_outcome_and_no_effect() {
    let mut exchange = exchange();
    for (method, target, content_type, body, status) in [
        ("POST", "/fhir", "application/fhir+json", "{", 400),
        ("POST", "/fhir", "application/fhir+json", "{}", 400),
        ("POST", "/fhir", "text/plain", OBSERVATION, 415),
        ("POST", "/fhir/Patient", "application/json", OBSERVATION, 400),
        ("PUT", "/fhir/Observation/9", "application/json", r#"{"resourceType":"Observation","id":"8"}"#, 400),
        ("DELETE", "/fhir/Observation/1", "", "", 405),
        ("GET", "/fhirx", "", "", 404),
        ("GET", "/fhir/Observation/1", "", "", 404),
        ("GET", "/fhir/Observation?nonsense=1", "", "", 400),
    ] {
        let call = Call {
            method,
            target,
            content_type: Some(content_type),
            body: body.as_bytes(),
            ..Call::default()
        };
        let answer = answered(exchange.serve(&call, Duration::ZERO, Timestamp::UNIX_EPOCH));
        assert_eq!(answer.status, status, "{method} {target} {body}");
        assert_eq!(answer.body["resourceType"], "OperationOutcome");
    }
    assert!(exchange.store.is_empty());
}

#[test]
fn a_request_that_carries_a_forbidden_text_is_on_record_as_a_leak() {
    let mut exchange = exchange();
    exchange.watch.forbid(["O'Hara".into(), String::new()]);
    post(&mut exchange, None);
    assert_eq!(exchange.log.judge().leaks, 0);
    get(&mut exchange, "/fhir/Observation?identifier=O'Hara");
    assert_eq!(exchange.log.judge().leaks, 1);
}

#[test]
fn a_sender_that_prefers_minimal_answers_gets_the_location_without_a_body() {
    let mut exchange = exchange();
    let call = Call {
        method: "POST",
        target: "/fhir/Observation",
        content_type: Some("application/json"),
        minimal: true,
        body: OBSERVATION.as_bytes(),
        ..Call::default()
    };
    let answer = answered(exchange.serve(&call, Duration::ZERO, Timestamp::UNIX_EPOCH));
    assert_eq!((answer.status, &answer.body), (201, &Value::Null));
    assert!(header(&answer, "location").is_some());
}

proptest! {
    /// A model of an honest sender: it repeats a conditional create until it is answered. Whatever the
    /// server plays, each identifier is created once, and the judge agrees.
    #[test]
    fn an_honest_sender_is_never_judged_to_double(
        plays in vec((0..4_u8, 0..5_usize), 1..40),
    ) {
        let mut exchange = exchange();
        let mut asked = BTreeSet::new();
        for (play, who) in plays {
            exchange.script.play_next(
                match play {
                    0 => Play::Accept,
                    1 => Play::ResetAfterBody,
                    2 => Play::ResetBeforeEffect,
                    _ => Play::Unavailable503,
                },
                1,
            );
            let body = OBSERVATION.replace("\"value\":\"1\"", &format!("\"value\":\"{who}\""));
            let condition = format!("identifier=urn:s|{who}");
            let call = Call {
                method: "POST",
                target: "/fhir/Observation",
                content_type: Some("application/json"),
                if_none_exist: Some(&condition),
                body: body.as_bytes(),
                ..Call::default()
            };
            loop {
                let reply = exchange.serve(&call, Duration::ZERO, Timestamp::UNIX_EPOCH);
                if matches!(reply, Reply::Answer(answer) if answer.status < 300) {
                    break;
                }
            }
            asked.insert(who);
        }
        let judgement = exchange.log.judge();
        prop_assert_eq!(judgement.creates, asked.len() as u64);
        prop_assert_eq!(exchange.store.len(), asked.len());
        prop_assert_eq!((judgement.doubled, judgement.stale_hits), (0, 0));
    }
}
