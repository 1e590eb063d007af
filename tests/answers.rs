//! Every answer of an EHR to a write, for what travels in a transaction and for what travels alone: what is delivered,
//! what is set aside, what closes which capability, what waits, and what is looked for before it is sent again. The rows
//! are those of section 2 of the reference; MLLP's are in `outbound.rs`, tokens' in `authorization.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::time::Duration;

use serde_json::Value;
use site::{
    RESOURCES_PER_OUTCOME, append_site, chart, condition, daily, edit_site, eventually, people, send,
    settled, until,
    vendors::{DAY, coded, conduct, flowsheet, hour, late, of_patient, prepared, standing},
    with_delivery,
};
use standin::{
    Act, Persona, Refused, RetryAfter, RowMap, Rule, Spoilt, What,
    conduct::ENVIRONMENT,
    rig::{Rig, RigSettings},
    rule::Issue,
};

/// A Bundle, and one by one.
const STYLES: [&str; 2] = ["cgm-ig", "plain-r4"];
const QUICK: &str = "timeout = \"1s\"\nretry_min = \"50ms\"\nretry_max = \"200ms\"";

async fn started(dir: &std::path::Path, form: &str) -> Rig {
    let mut rig = site::prepare(dir, RigSettings { projection: form.to_owned(), ..daily() }).await;
    with_delivery(&rig, QUICK);
    rig.start().await.unwrap();
    rig
}

fn mean(rig: &Rig, n: u32) -> Option<chart::Standing> {
    chart::mean(&rig.ehr, &people::person(n).mrn, DAY)
}

fn mode(status: &Value) -> &str {
    status["sites"][0]["mode"].as_str().unwrap_or_default()
}

/// What is observed of a capability.
fn observed<'a>(status: &'a Value, name: &str) -> &'a str {
    let all = status["sites"][0]["capabilities"].as_array().into_iter().flatten();
    let mut found = all.filter(|one| one["name"] == name || one["capability"] == name);
    found.next().and_then(|one| one["observed"].as_str()).unwrap_or_else(|| panic!("no {name}: {status:#}"))
}

fn assert_once(rig: &Rig) {
    let judgement = rig.ehr.judge();
    assert_eq!((judgement.doubled, judgement.repeated_facts), (0, 0), "{judgement:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_positive_answer_that_leaves_something_out_is_followed_up_and_nothing_stands_twice() {
    let table = [
        vec![Spoilt::WithoutLocation],
        // Each is a way up, however it is spelt, and no id.
        vec![Spoilt::Location("Observation/%2e%2e".to_owned())],
        vec![Spoilt::Location("Observation/%2E.%2fPatient".to_owned()), Spoilt::EmptyBody],
        vec![Spoilt::WithoutEtag],
        vec![Spoilt::WithoutLocation, Spoilt::WithoutEtag, Spoilt::EmptyBody],
        vec![Spoilt::Status(200)],
        vec![Spoilt::Status(200), Spoilt::WithoutLocation],
        vec![Spoilt::NotJson],
    ];
    for form in STYLES {
        let dir = tempfile::tempdir().unwrap();
        let rig = started(dir.path(), form).await;
        for (n, spoilt) in (0..).zip(&table) {
            rig.ehr.rule(Rule::new("spoilt", Act::Spoil(spoilt.clone())).on(What::Writes));
            send(&rig, &[hour(n)]).await;
            settled(&rig).await;
            let first = mean(&rig, n).unwrap_or_else(|| panic!("{form} {spoilt:?}"));
            assert_eq!((first.value, first.version), (120.0, 1), "{form} {spoilt:?}");
            // The next version has to find where the first one stands.
            send(&rig, &[late(&format!("L{n}"), n, 240)]).await;
            settled(&rig).await;
            let second = mean(&rig, n).unwrap();
            assert_eq!((second.value, second.id), (180.0, first.id), "{form} {spoilt:?}");
            assert_once(&rig);
        }
        let status = rig.status().await.unwrap();
        assert_eq!(
            (mode(&status), &status["outbox"]["quarantined"]),
            ("full", &0.into()),
            "{form} {status:#}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_data_is_set_aside_and_its_neighbours_go_on() {
    for form in STYLES {
        for (status, code) in [(400, "invalid"), (422, "business-rule"), (400, "required")] {
            let dir = tempfile::tempdir().unwrap();
            let rig = started(dir.path(), form).await;
            let refused =
                Act::Refuse(Refused::new(status, code).because(Issue::new(code).at("Observation.value")));
            rig.ehr
                .rule(Rule::new("data", refused).of_patient(&people::person(0).mrn).of_type("Observation"));
            send(&rig, &[hour(0), hour(1)]).await;
            let told = settled(&rig).await;
            assert_eq!(mode(&told), "full", "{form} HTTP {status}");
            assert!(told["outbox"]["quarantined"].as_u64() > Some(0), "{form} HTTP {status}: {told:#}");
            assert!(mean(&rig, 0).is_none() && mean(&rig, 1).is_some(), "{form} HTTP {status}");
            assert_eq!(rig.ehr.judge().creates, RESOURCES_PER_OUTCOME, "{form} HTTP {status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_every_patients_data_closes_the_site_and_over_a_restart_does_not_open_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = started(dir.path(), "plain-r4").await;
    let refused = Refused::new(422, "business-rule");
    let refused = Act::Refuse(refused.because(Issue::new("business-rule").at("Observation.value")));
    rig.ehr.rule(Rule::new("data", refused).of_type("Observation"));
    send(&rig, &[hour(0), hour(1), hour(2), hour(3), hour(4), hour(5)]).await;
    let closed =
        |s: &Value| mode(s) == "read-only" && s["outbox"]["leased"] == 0 && s["inbox"]["windows_due"] == 0;
    let told = until(&rig, "everything waits", closed).await;
    let waiting = told["outbox"].clone();
    assert!(rig.stop().await.unwrap().success());
    rig.start().await.unwrap();
    let before = rig.ehr.judge().refused;
    eventually("two were tried", || rig.ehr.judge().refused >= before + 2).await;
    let told = until(&rig, "none is out", |s| s["outbox"]["leased"] == 0).await;
    for state in ["deferred", "quarantined", "delivered"] {
        assert_eq!((mode(&told), &told["outbox"][state]), ("read-only", &waiting[state]), "{state} {told:#}");
    }
    rig.ehr.withdraw("data");
    until(&rig, "what is taken opens it", |s| mode(s) == "full").await;
    settled(&rig).await;
    assert_once(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_site_does_not_permit_closes_that_capability_and_no_other() {
    for status in [403, 404, 405] {
        let dir = tempfile::tempdir().unwrap();
        let rig = started(dir.path(), "plain-r4").await;
        let refused = Act::Refuse(Refused::new(status, "not-supported"));
        rig.ehr.rule(Rule::new("no-sources", refused).of_type("Provenance"));
        send(&rig, &[hour(0), hour(1)]).await;
        // The second Provenance may wait before its Observations were sent: both are awaited.
        let others = 2 * (RESOURCES_PER_OUTCOME - 1);
        let closed = |s: &Value| {
            let told = &s["outbox"];
            told["deferred"] == 2 && told["delivered"] == others && observed(s, "Provenance") != "open"
        };
        let told = until(&rig, "Provenance waits, and nothing else", closed).await;
        assert_eq!(observed(&told, "Observation/laboratory"), "open", "HTTP {status}");
        assert!(["read-only", "probing"].contains(&observed(&told, "Provenance")), "HTTP {status}: {told:#}");
        assert!(mean(&rig, 0).is_some() && mean(&rig, 1).is_some(), "HTTP {status}");
        rig.ehr.withdraw("no-sources");
        let told = settled(&rig).await;
        assert_eq!((mode(&told), standing(&rig, "Provenance").len()), ("full", 2), "HTTP {status}");
        assert_eq!(rig.ehr.judge().creates, 2 * RESOURCES_PER_OUTCOME);
        assert_once(&rig);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_nobody_mapped_closes_the_flowsheet_until_somebody_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepared(dir.path(), conduct(Persona::Epic, 2), "lookup", &flowsheet(), "").await;
    append_site(&rig, "[[projection]]\nname = \"epic-note\"\n");
    rig.ehr.set_rows(RowMap::encoded(ENVIRONMENT).without("AVERAGE_CGM"));
    rig.start().await.unwrap();
    send(&rig, &[hour(0)]).await;
    let told = until(&rig, "closed", |s| s["outbox"]["deferred"].as_u64() > Some(0)).await;
    assert_ne!(observed(&told, "Observation/vital-signs"), "open", "{told:#}");
    assert_eq!(observed(&told, "DocumentReference"), "open", "{told:#}");
    let why = condition(&told, "read-only").unwrap()["detail"].as_str().unwrap().to_owned();
    assert!(why.contains("code-invalid Observation.code"), "{why}");
    // Meanwhile the next form takes what comes.
    send(&rig, &[hour(1)]).await;
    eventually("a note", || standing(&rig, "DocumentReference").len() == 1).await;
    rig.ehr.set_rows(RowMap::encoded(ENVIRONMENT));
    let told = settled(&rig).await;
    assert_eq!((mode(&told), &told["outbox"]["quarantined"]), ("full", &0.into()), "{told:#}");
    let rows = of_patient(&rig, "Observation", &rig.ehr.admitted()[0].patient);
    let code = RowMap::encoded(ENVIRONMENT).coding_of("AVERAGE_CGM").unwrap().1.to_owned();
    assert_eq!(coded(&rows, &code)["valueQuantity"]["value"].as_f64(), Some(120.0));
    assert_once(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_guarded_patient_waits_and_three_close_the_site() {
    for form in STYLES {
        let dir = tempfile::tempdir().unwrap();
        let rig = started(dir.path(), form).await;
        let guard = |rule: Rule, n: u32| rule.of_patient(&people::person(n).mrn);
        let refused =
            Refused::new(403, "forbidden").because(Issue::new("forbidden").at("Observation.subject"));
        let rule = Rule::new("guarded", Act::Refuse(refused)).of_type("Observation");
        let rule = (0..3).fold(rule, guard);
        rig.ehr.rule(rule);
        send(&rig, &[hour(0), hour(1), hour(5)]).await;
        eventually("the other is served", || mean(&rig, 5).is_some()).await;
        eventually("two are refused", || rig.ehr.judge().refused == 2).await;
        assert_eq!(mode(&rig.status().await.unwrap()), "full", "{form}");
        send(&rig, &[hour(2)]).await;
        let told = until(&rig, "closed", |s| condition(s, "read-only").is_some()).await;
        let cause = condition(&told, "read-only").unwrap()["detail"].as_str().unwrap();
        assert!(cause.contains("3 patients"), "{form}: {cause}");
        assert!((0..3).all(|n| mean(&rig, n).is_none()), "{form}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_a_pause_gets_it_in_whatever_way_it_is_asked() {
    for form in STYLES {
        let dir = tempfile::tempdir().unwrap();
        let rig = started(dir.path(), form).await;
        let table = [
            (RetryAfter::Seconds(1), 900.0),
            (RetryAfter::Date(2), 900.0),
            (RetryAfter::Epoch(2), 900.0),
            (RetryAfter::Absent, 4_000.0),
        ];
        for (n, (asked, least)) in (0..).zip(table) {
            let status = if n % 2 == 0 { 429 } else { 503 };
            let refused = Act::Refuse(Refused::new(status, "throttled").retry(asked));
            rig.ehr.rule(Rule::new("pause", refused).times(1));
            let before = chart::writes(&rig.ehr).len();
            send(&rig, &[hour(n)]).await;
            settled(&rig).await;
            let times: Vec<f64> = chart::writes(&rig.ehr)[before..].iter().map(|one| one.at_ms).collect();
            let waited = times[1] - times[0];
            assert!((least..20_000.0).contains(&waited), "{form} {asked:?}: {waited} ms");
            assert_eq!(mean(&rig, n).unwrap().version, 1);
        }
        assert_once(&rig);
    }
}

/// What leaves it unknown whether a write arrived, and whether it did.
fn doubtful() -> [Act; 4] {
    [
        Act::ResetAfterBody,
        Act::ResetBeforeEffect,
        Act::Slow(Duration::from_millis(2_500)),
        Act::Refuse(Refused::new(500, "exception")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_arrived_is_looked_for_by_our_identifier_and_never_written_twice() {
    for form in STYLES {
        let dir = tempfile::tempdir().unwrap();
        let rig = started(dir.path(), form).await;
        for (n, act) in (0..).zip(doubtful()) {
            let name = act.name();
            rig.ehr.rule(Rule::new("doubt", act).times(1));
            send(&rig, &[hour(n)]).await;
            settled(&rig).await;
            assert_eq!(mean(&rig, n).map(|one| (one.value, one.version)), Some((120.0, 1)), "{form} {name}");
            // And an update, which has no other place to stand. (A transaction creates its Provenance besides.)
            rig.ehr.rule(Rule::new("doubt", doubtful()[n as usize].clone()).of_type("Observation").times(1));
            send(&rig, &[late(&format!("L{n}"), n, 240)]).await;
            settled(&rig).await;
            assert_eq!(mean(&rig, n).map(|one| one.value), Some(180.0), "{form} {name}");
            rig.ehr.withdraw("doubt");
        }
        assert_once(&rig);
        assert_eq!(standing(&rig, "Observation").len() as u64, 4 * (RESOURCES_PER_OUTCOME - 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_identifier_is_kept_it_is_looked_for_by_patient_code_and_date() {
    let lab = "[[projection]]\nname = \"millennium-lab\"\nwindow = \"1d\"\n".to_owned();
    for (persona, forms) in [
        (Persona::Epic, flowsheet()),
        (Persona::Epic, "[[projection]]\nname = \"epic-note\"\n".to_owned()),
        (Persona::Millennium, lab),
        (Persona::Millennium, "[[projection]]\nname = \"millennium-document\"\n".to_owned()),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut rig = prepared(dir.path(), conduct(persona, 4), "lookup", &forms, "").await;
        rig.start().await.unwrap();
        for (n, act) in (0..).zip(doubtful()) {
            let told = format!("{persona:?} {forms} {}", act.name());
            // The second write of a patient, too: what a row stands beside is not taken for it.
            rig.ehr.rule(Rule::new("doubt", act.clone()).on(What::Creates).times(1));
            rig.ehr.rule(Rule::new("again", act).on(What::Creates).after(2).times(1));
            send(&rig, &[hour(n)]).await;
            settled(&rig).await;
            let patient = &rig.ehr.admitted()[n as usize].patient;
            let count =
                ["Observation", "DocumentReference"].map(|kind| of_patient(&rig, kind, patient).len());
            assert!(count.iter().sum::<usize>() > 0, "{told}");
            assert_once(&rig);
            rig.ehr.withdraw("doubt");
            rig.ehr.withdraw("again");
        }
        let all = rig.ehr.admitted();
        let counts = all.iter().map(|one| {
            ["Observation", "DocumentReference"].map(|kind| of_patient(&rig, kind, &one.patient).len())
        });
        let counts: Vec<[usize; 2]> = counts.collect();
        assert!(counts.iter().all(|count| *count == counts[0]), "{persona:?} {forms}: {counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_stand_and_cannot_be_looked_for_is_not_sent_again_and_people_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepared(dir.path(), conduct(Persona::Epic, 2), "lookup", &flowsheet(), "").await;
    edit_site(&rig, "retry_min", "doubt_lasts_after = \"1s\"\nretry_min");
    let blind = Refused::new(403, "forbidden");
    rig.ehr.rule(Rule::new("blind", Act::Refuse(blind)).on(What::Reads).of_type("Observation"));
    rig.ehr.rule(Rule::new("lost", Act::ResetAfterBody).on(What::Creates).times(1));
    rig.start().await.unwrap();
    send(&rig, &[hour(0)]).await;
    let told = until(&rig, "people are told", |s| condition(s, "doubt-lasts").is_some()).await;
    let doubt = condition(&told, "doubt-lasts").unwrap();
    assert_eq!(doubt["scope"], "ehr:main");
    assert!(doubt["detail"].as_str().unwrap().contains("a write arrived"), "{doubt:#}");
    assert_eq!(rig.ehr.judge().creates, 1, "it is not sent blindly");
    // Others are served meanwhile.
    send(&rig, &[hour(1)]).await;
    let other = rig.ehr.admitted()[1].patient.clone();
    eventually("the other is served", || of_patient(&rig, "Observation", &other).len() > 3).await;
    rig.ehr.withdraw("blind");
    let told = settled(&rig).await;
    assert!(condition(&told, "doubt-lasts").is_none(), "{told:#}");
    let counts = [0, 1].map(|n: usize| of_patient(&rig, "Observation", &rig.ehr.admitted()[n].patient).len());
    assert_eq!(counts[0], counts[1]);
    assert_once(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_where_nobody_listens() {
    for form in STYLES {
        let dir = tempfile::tempdir().unwrap();
        let mut rig = started(dir.path(), form).await;
        rig.ehr.stop();
        send(&rig, &[hour(0), hour(1)]).await;
        until(&rig, "it waits", |s| s["outbox"]["pending"].as_u64() > Some(0)).await;
        rig.ehr.listen_again().await.unwrap();
        settled(&rig).await;
        assert_eq!(rig.ehr.judge().creates, 2 * RESOURCES_PER_OUTCOME, "{form}");
        assert_once(&rig);
    }
}
