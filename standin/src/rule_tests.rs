//! Rules, batches, limits and pages, over the exchange: no sockets.

use std::time::Duration;

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert_eq, proptest};
use serde_json::{Value, json};

use crate::Person;
use crate::call::{Answer, Call, Reply};
use crate::conduct::Conduct;
use crate::exchange::Exchange;
use crate::limit::RateLimit;
use crate::persona::Persona;
use crate::rule::{Act, Issue, Refused, Rule, Spoilt};
use crate::script::{Play, RetryAfter, Whose};

/// 2026-01-01T00:00:00Z.
const NOW_S: i64 = 1_767_225_600;

fn now() -> Timestamp {
    Timestamp::from_second(NOW_S).unwrap()
}

fn exchange(conduct: Conduct) -> Exchange {
    Exchange::playing("https://ehr.test/fhir".into(), None, conduct)
}

fn observation(value: u32, patient: &str) -> Value {
    json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"},
        "category": [{"coding": [{"system": "urn:c", "code": "laboratory"}]}],
        "identifier": [{"system": "urn:s", "value": value.to_string()}], "valueInteger": value,
        "subject": {"identifier": {"system": "urn:p", "value": patient}}})
}

fn send(exchange: &mut Exchange, method: &str, target: &str, body: &Value, at_ms: u64) -> Reply {
    let body = body.to_string();
    let call = Call {
        method,
        target,
        content_type: Some("application/fhir+json"),
        body: body.as_bytes(),
        ..Call::default()
    };
    exchange.serve(&call, Duration::from_millis(at_ms), now())
}

fn post(exchange: &mut Exchange, body: &Value) -> Option<Answer> {
    answered(send(exchange, "POST", "/fhir/Observation", body, 0))
}

fn answered(reply: Reply) -> Option<Answer> {
    match reply {
        Reply::Answer(answer) => Some(answer),
        Reply::HangUp => None,
    }
}

fn batch(resources: &[Value]) -> Value {
    let entry = |resource: &Value| {
        json!({"resource": resource,
        "request": {"method": "POST", "url": resource["resourceType"]}})
    };
    json!({"resourceType": "Bundle", "type": "batch", "entry": resources.iter().map(entry).collect::<Vec<_>>()})
}

fn statuses(answer: &Answer) -> Vec<String> {
    let entries = answer.body["entry"].as_array().unwrap();
    entries.iter().map(|entry| entry["response"]["status"].as_str().unwrap()[..3].to_owned()).collect()
}

#[test]
fn any_status_is_answered_with_any_outcome_and_nothing_is_done() {
    for (status, code) in [
        (400, "invalid"),
        (403, "forbidden"),
        (404, "not-found"),
        (409, "conflict"),
        (412, "conflict"),
        (422, "business-rule"),
        (429, "throttled"),
        (503, "transient"),
        (418, "exception"),
    ] {
        let mut exchange = exchange(Conduct::default());
        let issue = Issue::new(code).at("Observation.code").coded("urn:vendor", "59177");
        exchange.script.rule(Rule::new("r", Act::Refuse(Refused::new(status, code).because(issue))));
        let answer = post(&mut exchange, &observation(1, "77")).unwrap();
        assert_eq!(answer.status, status);
        let issue = &answer.body["issue"][0];
        assert_eq!((&issue["code"], &issue["expression"][0]), (&json!(code), &json!("Observation.code")));
        assert_eq!(issue["details"]["coding"][0], json!({"system": "urn:vendor", "code": "59177"}));
        assert!(exchange.store.is_empty());
        let record = &exchange.log.records()[0];
        assert_eq!((record.rule.as_deref(), record.verdict, record.play), (Some("r"), "scripted", "refuse"));
    }
}

#[test]
fn retry_after_is_seconds_a_date_epoch_seconds_or_absent() {
    let later = (NOW_S + 30).to_string();
    for (retry, expected) in [
        (RetryAfter::Seconds(30), Some("30")),
        (RetryAfter::Date(30), Some("Thu, 01 Jan 2026 00:00:30 GMT")),
        (RetryAfter::Epoch(30), Some(later.as_str())),
        (RetryAfter::Absent, None),
    ] {
        let mut exchange = exchange(Conduct::default());
        exchange.script.rule(Rule::new("r", Act::Refuse(Refused::new(429, "throttled").retry(retry))));
        let answer = post(&mut exchange, &observation(1, "77")).unwrap();
        assert_eq!(answer.header("retry-after"), expected, "{retry:?}");
    }
}

#[test]
fn an_answer_is_spoilt_after_the_effect_and_a_refusal_is_not() {
    let location = |answer: &Answer| answer.header("location").is_some();
    for (spoilt, status, body_is_there, has_location) in [
        (Spoilt::EmptyBody, 201, false, true),
        (Spoilt::WrongBody(json!({"resourceType": "Basic"})), 201, true, true),
        (Spoilt::Status(200), 200, true, true),
        (Spoilt::WithoutLocation, 201, true, false),
        (Spoilt::Location("Observation/another".to_owned()), 201, true, true),
        (Spoilt::NotJson, 201, true, true),
        (Spoilt::WithoutEtag, 201, true, true),
    ] {
        let mut exchange = exchange(Conduct::default());
        exchange.script.rule(Rule::new("r", Act::Spoil(vec![spoilt.clone()])));
        let answer = post(&mut exchange, &observation(1, "77")).unwrap();
        let seen = (answer.status, !answer.body.is_null(), location(&answer));
        assert_eq!(seen, (status, body_is_there, has_location), "{spoilt:?}");
        assert_eq!(answer.raw.is_some(), spoilt == Spoilt::NotJson);
        assert_eq!(answer.header("etag").is_none(), spoilt == Spoilt::WithoutEtag);
        assert_eq!(exchange.store.len(), 1);
        let refused = post(&mut exchange, &json!({"resourceType": "Observation"})).unwrap();
        assert_eq!((refused.status, refused.raw), (422, None));
    }
}

#[test]
fn rules_are_switched_while_the_server_runs_and_the_first_that_applies_is_followed() {
    let mut exchange = exchange(Conduct::default());
    let status = |exchange: &mut Exchange, n| post(exchange, &observation(n, "77")).unwrap().status;
    exchange.script.rule(Rule::new("but one", Act::Pass).times(1));
    exchange.script.rule(Rule::new("site", Act::Refuse(Refused::new(403, "forbidden"))));
    exchange.script.rule(Rule::new("late", Act::Refuse(Refused::new(503, "transient"))));
    assert_eq!([status(&mut exchange, 1), status(&mut exchange, 2)], [201, 403]);
    exchange.script.rule(Rule::new("site", Act::Refuse(Refused::new(409, "conflict"))));
    assert_eq!(status(&mut exchange, 3), 409, "replaced where it stood");
    assert!(exchange.script.withdraw("site"));
    assert!(!exchange.script.withdraw("site"));
    assert_eq!(status(&mut exchange, 4), 503);
    exchange.script.withdraw("late");
    exchange.script.play(Play::RefuseWrites);
    assert_eq!(status(&mut exchange, 5), 403, "the play is still there");
}

#[test]
fn a_patient_is_refused_by_identifier_even_where_the_write_refers_to_them_by_id() {
    let people = vec![Person::new("urn:p", "77"), Person::new("urn:p", "88")];
    let mut exchange = exchange(Conduct { people, ..Conduct::default() });
    exchange.script.rule(Rule::new("btg", Act::Refuse(Refused::new(403, "forbidden"))).of_patient("77"));
    for (n, expected) in [(0, 403), (1, 201)] {
        let mut resource = observation(1, "");
        resource["subject"] = json!({"reference": format!("Patient/{}", exchange.admitted[n].patient)});
        assert_eq!(post(&mut exchange, &resource).unwrap().status, expected);
        let by_identifier = observation(2, ["77", "88"][n]);
        assert_eq!(post(&mut exchange, &by_identifier).unwrap().status, expected);
    }
    let id = exchange.admitted[1].patient.clone();
    let by_id =
        Rule::new("id", Act::Refuse(Refused::new(403, "forbidden"))).of_patient(&format!("Patient/{id}"));
    exchange.script.rule(by_id);
    assert_eq!(post(&mut exchange, &observation(3, "88")).unwrap().status, 403);
}

#[test]
fn a_reset_before_the_effect_does_nothing_and_one_after_the_body_does_it() {
    for (act, stored) in [(Act::ResetBeforeEffect, 0), (Act::ResetAfterBody, 1)] {
        let mut exchange = exchange(Conduct::default());
        exchange.script.rule(Rule::new("r", act));
        assert_eq!(post(&mut exchange, &observation(1, "77")), None);
        assert_eq!(exchange.store.len(), stored);
    }
}

#[test]
fn a_batch_has_one_answer_for_each_entry_and_a_bad_one_fails_no_neighbour() {
    let mut exchange = exchange(Conduct::of(Persona::Plain));
    let mut bad = observation(2, "77");
    bad["status"] = Value::Null;
    let mut bundle = batch(&[observation(1, "77"), bad, observation(3, "88")]);
    let more = [
        json!({"request": {"method": "DELETE", "url": "Observation/1"}}),
        json!({"request": {"method": "GET", "url": "Observation?identifier=urn:s|1"}}),
        json!({"request": {"method": "PUT", "url": "Observation/none"},
            "resource": {"resourceType": "Observation", "id": "none", "status": "final", "code": {}}}),
    ];
    bundle["entry"].as_array_mut().unwrap().extend(more);
    let answer = answered(send(&mut exchange, "POST", "/fhir", &bundle, 0)).unwrap();
    assert_eq!((answer.status, &answer.body["type"]), (200, &json!("batch-response")));
    assert_eq!(statuses(&answer), ["201", "422", "201", "400", "200", "404"]);
    let entry = |n: usize| &answer.body["entry"][n];
    let location = entry(0)["response"]["location"].as_str().unwrap();
    assert!(location.starts_with("Observation/si-") && location.ends_with("/_history/1"), "{location}");
    assert_eq!(entry(0)["response"]["etag"], "W/\"1\"");
    assert_eq!(entry(1)["response"]["outcome"]["issue"][0]["expression"][0], "Bundle.entry[1]");
    assert_eq!(entry(4)["resource"]["total"], 1, "entries see those before them");
    assert_eq!(exchange.store.len(), 2);
    let judged = exchange.log.judge();
    assert_eq!((judged.creates, judged.refused_entries, judged.refused), (2, 3, 0));
    assert_eq!(exchange.log.records()[0].entries[1], "any-server");
}

#[test]
fn rules_and_plays_of_a_patient_or_a_type_are_asked_of_each_entry() {
    let refuse = |status, code| Act::Refuse(Refused::new(status, code));
    let bundle = batch(&[observation(1, "77"), observation(2, "88"), observation(3, "99")]);
    let answer = |prepare: &dyn Fn(&mut Exchange)| {
        let mut exchange = exchange(Conduct::default());
        prepare(&mut exchange);
        answered(send(&mut exchange, "POST", "/fhir", &bundle, 0)).unwrap()
    };
    let told = answer(&|e| {
        e.script.rule(Rule::new("one", refuse(403, "forbidden")).of_patient("88"));
        e.script.rule(Rule::new("second", refuse(429, "throttled")).of_type("Observation").after(1).times(1));
    });
    assert_eq!(statuses(&told), ["201", "403", "429"]);
    let told = answer(&|e| e.script.play(Play::Reject422(Whose::Named(vec!["3".into()]))));
    assert_eq!(statuses(&told), ["201", "201", "422"]);
    let whole = answer(&|e| e.script.play(Play::RefuseWrites));
    assert_eq!((whole.status, &whole.body["resourceType"]), (403, &json!("OperationOutcome")));
}

#[test]
fn a_hang_up_at_an_entry_leaves_those_before_it_done() {
    for (act, stored) in [(Act::ResetBeforeEffect, 1), (Act::ResetAfterBody, 3)] {
        let mut exchange = exchange(Conduct::default());
        exchange.script.rule(Rule::new("r", act).of_patient("88"));
        let bundle = batch(&[observation(1, "77"), observation(2, "88"), observation(3, "99")]);
        assert_eq!(send(&mut exchange, "POST", "/fhir", &bundle, 0), Reply::HangUp);
        assert_eq!(exchange.store.len(), stored);
        assert_eq!(exchange.log.records()[0].effects.len(), stored);
    }
}

#[test]
fn the_servers_own_limit_answers_429_to_requests_and_to_entries_of_a_batch() {
    let limit = RateLimit { per_second: 1.0, burst: 2, retry_after: RetryAfter::Seconds(1) };
    let mut exchange = exchange(Conduct { rate_limit: Some(limit), ..Conduct::default() });
    let bundle = batch(&[observation(1, "77"), observation(2, "77"), observation(3, "77")]);
    let answer = answered(send(&mut exchange, "POST", "/fhir", &bundle, 0)).unwrap();
    assert_eq!(statuses(&answer), ["201", "201", "429"]);
    let single = |exchange: &mut Exchange, at_ms| {
        answered(send(exchange, "POST", "/fhir/Observation", &observation(4, "77"), at_ms)).unwrap()
    };
    let refused = single(&mut exchange, 500);
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    assert_eq!(exchange.log.records().last().unwrap().verdict, "rate-limit");
    assert_eq!(
        answered(send(&mut exchange, "GET", "/fhir/metadata", &Value::Null, 500)).unwrap().status,
        200
    );
    assert_eq!(single(&mut exchange, 1_500).status, 201);
    assert_eq!(exchange.log.judge().throttled, 1);
}

#[test]
fn a_full_store_says_so_and_keeps_what_it_has() {
    let mut exchange = exchange(Conduct { resources_max: 2, ..Conduct::default() });
    let seen = [1, 2, 3].map(|n| post(&mut exchange, &observation(n, "77")).unwrap().status);
    assert_eq!((seen, exchange.store.len()), ([201, 201, 507], 2));
}

proptest! {
    /// A batch is its entries, one after the other: same statuses, same effects.
    #[test]
    fn a_batch_does_what_its_entries_would_do_alone(
        writes in vec((0_u32..4, 0_usize..3, any::<bool>()), 1..12),
        burst in 1_u32..12,
        refused in 0_usize..3,
    ) {
        let limit = RateLimit { per_second: 0.0, burst, retry_after: RetryAfter::Absent };
        let prepared = || {
            let mut exchange =
                exchange(Conduct { rate_limit: Some(limit), ..Conduct::of(Persona::Plain) });
            let refuse = Act::Refuse(Refused::new(403, "forbidden"));
            exchange.script.rule(Rule::new("btg", refuse).of_patient(["77", "88", "99"][refused]));
            exchange
        };
        let resources: Vec<Value> = writes
            .iter()
            .map(|(value, patient, good)| {
                let mut resource = observation(*value, ["77", "88", "99"][*patient]);
                if !good {
                    resource["code"] = Value::Null;
                }
                resource
            })
            .collect();
        let (mut apart, mut together) = (prepared(), prepared());
        let singly: Vec<String> = resources
            .iter()
            .map(|resource| post(&mut apart, resource).unwrap().status.to_string())
            .collect();
        let answer = answered(send(&mut together, "POST", "/fhir", &batch(&resources), 0)).unwrap();
        prop_assert_eq!(statuses(&answer), singly);
        let stored = |exchange: &Exchange| exchange.store.standing().collect::<Vec<_>>();
        prop_assert_eq!(stored(&together), stored(&apart));
        let told = |exchange: &Exchange| {
            let judged = exchange.log.judge();
            (judged.creates, judged.doubled, judged.repeated_facts)
        };
        prop_assert_eq!(told(&together), told(&apart));
    }
}

#[test]
fn a_walk_along_the_next_links_finds_everything_once() {
    let mut exchange = exchange(Conduct { page_max: 3, ..Conduct::default() });
    for n in 0..8 {
        post(&mut exchange, &observation(n, "77"));
    }
    let mut target = "/fhir/Observation?patient:identifier=urn:p|77&_count=200".to_owned();
    let (mut seen, mut pages) = (Vec::new(), Vec::new());
    loop {
        let page = answered(send(&mut exchange, "GET", &target, &Value::Null, 0)).unwrap().body;
        let entries = page["entry"].as_array().unwrap();
        pages.push(entries.len());
        seen.extend(entries.iter().map(|entry| entry["resource"]["id"].as_str().unwrap().to_owned()));
        let next = page["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next");
        let Some(next) = next else { break };
        target = next["url"].as_str().unwrap().strip_prefix("https://ehr.test").unwrap().to_owned();
    }
    seen.sort();
    seen.dedup();
    assert_eq!((seen.len(), pages), (8, vec![3, 3, 2]));
}
