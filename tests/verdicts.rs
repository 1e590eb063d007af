//! What can go wrong between us and the EHR, one after the other: everything arrives, once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::time::Duration;

use site::{
    RESOURCES_PER_OUTCOME, chart, condition, daily, eventually, metric, people, send, settled, until,
    with_delivery,
};
use standin::{
    Pki, Play, RetryAfter,
    rig::{Rig, RigSettings},
};

const PATIENT: &str = "7700001";

async fn started(dir: &std::path::Path, delivery: &str) -> Rig {
    let mut rig = site::prepare(dir, daily()).await;
    with_delivery(&rig, delivery);
    rig.start().await.unwrap();
    rig
}

/// Sends one outcome's worth of data while `play` is in force for one request; returns the writes that
/// were tried for it.
async fn through(rig: &Rig, play: Play, on: &str) -> usize {
    let before = chart::writes(&rig.ehr).len();
    let name = play.name();
    rig.ehr.play_next(play, 1);
    send(rig, &[people::hour(on, 1, on, 120)]).await;
    eventually("the play is met", || {
        chart::writes(&rig.ehr)[before..].iter().any(|record| record.play == name)
    })
    .await;
    settled(rig).await;
    let standing = chart::mean(&rig.ehr, PATIENT, on).expect("the outcome stands at the EHR");
    assert_eq!((standing.value, standing.version), (120.0, 1), "{name}");
    assert_eq!(rig.ehr.judge().doubled, 0, "{name}");
    chart::writes(&rig.ehr).len() - before
}

#[tokio::test(flavor = "multi_thread")]
async fn every_trouble_ends_with_everything_delivered_once() {
    let dir = tempfile::tempdir().unwrap();
    let delivery = "timeout = \"1s\"\nretry_min = \"50ms\"\nretry_max = \"200ms\"";
    let rig = started(dir.path(), delivery).await;
    let table = [
        // Refused, so written again; the wait is told apart below.
        (Play::Throttle(RetryAfter::Seconds(1)), "2026-03-01", 2),
        (Play::Throttle(RetryAfter::Date(2)), "2026-03-02", 2),
        (Play::Throttle(RetryAfter::Absent), "2026-03-03", 2),
        (Play::Unavailable503, "2026-03-04", 2),
        (Play::Unauthorized401, "2026-03-05", 2),
        // It took effect, and we find that out by looking.
        (Play::Slow(Duration::from_secs(3)), "2026-03-06", 1),
        (Play::ResetAfterBody, "2026-03-07", 1),
        // It did not, and we find that out by looking.
        (Play::ResetBeforeEffect, "2026-03-08", 2),
    ];
    let outcomes = table.len() as u64;
    for (play, on, tried) in table {
        let name = format!("{play:?}");
        assert_eq!(through(&rig, play, on).await, tried, "{name}");
    }
    let judgement = rig.ehr.judge();
    assert_eq!(judgement.creates, outcomes * RESOURCES_PER_OUTCOME, "{judgement:?}");
    assert_eq!((judgement.updates, judgement.stale_hits), (0, 0), "{judgement:?}");
    let status = rig.status().await.unwrap();
    assert_eq!(status["sites"][0]["mode"], "full");
    assert_eq!(status["conditions"], serde_json::json!([]), "everything that was wrong has been cleared");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_destination_is_left_alone_for_as_long_as_it_asks() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path(), "retry_min = \"50ms\"\nretry_max = \"100ms\"").await;
    for (ask, on) in [(RetryAfter::Seconds(2), "2026-03-01"), (RetryAfter::Date(3), "2026-03-02")] {
        let before = chart::writes(&rig.ehr).len();
        rig.ehr.play_next(Play::Throttle(ask), 1);
        send(&rig, &[people::hour(on, 1, on, 120)]).await;
        eventually("the throttle is met", || chart::writes(&rig.ehr).len() > before).await;
        // Another patient's write must wait as well.
        send(&rig, &[people::hour(on, 2, on, 120)]).await;
        settled(&rig).await;
        let tried = chart::writes(&rig.ehr);
        let waited = tried[before + 1].at_ms - tried[before].at_ms;
        // A date has whole seconds, so up to one of them is lost.
        assert!((1_900.0..20_000.0).contains(&waited), "{ask:?}: {waited} ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ehr_that_is_down_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = started(dir.path(), "retry_min = \"50ms\"\nretry_max = \"200ms\"").await;
    rig.ehr.stop();
    send(&rig, &[people::hour("A", 1, "2026-03-01", 120), people::hour("B", 2, "2026-03-01", 90)]).await;
    let unsent = "isthmus_delivery_attempts_total{destination=\"ehr:main\",verdict=\"unsent\"}";
    let deadline = std::time::Instant::now() + site::PATIENCE;
    while metric(&site::metrics(&rig).await, unsent) < 2.0 {
        assert!(std::time::Instant::now() < deadline, "nobody tried");
    }
    let status = until(&rig, "people are told", |s| condition(s, "destination-silent").is_some()).await;
    assert_eq!(status["sites"][0]["mode"], "full", "silence is no refusal: {status:#}");
    let told = condition(&status, "destination-silent").unwrap();
    assert_eq!((told["scope"].as_str(), told["severity"].as_str()), (Some("ehr:main"), Some("ticket")));
    assert!(told["detail"].as_str().unwrap().contains("could not connect"), "{told:#}");
    rig.ehr.listen_again().await.unwrap();
    settled(&rig).await;
    until(&rig, "its first answer ends it", |s| condition(s, "destination-silent").is_none()).await;
    let log = std::fs::read_to_string(rig.log_file()).unwrap();
    let of_it = |words: &str| {
        log.lines().filter(|line| line.contains(words) && line.contains("destination-silent")).count()
    };
    assert_eq!((of_it("condition raised"), of_it("condition cleared")), (1, 1), "{log}");
    let judgement = rig.ehr.judge();
    assert_eq!((judgement.creates, judgement.doubled), (2 * RESOURCES_PER_OUTCOME, 0), "{judgement:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_are_told_and_forgotten_when_they_are_accepted_again() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path(), "retry_min = \"50ms\"\nretry_max = \"200ms\"").await;
    rig.ehr.play(Play::Unauthorized401);
    send(&rig, &[people::hour("A", 1, "2026-03-01", 120)]).await;
    let status = until(&rig, "auth-degraded", |s| condition(s, "auth-degraded").is_some()).await;
    assert_eq!(status["sites"][0]["mode"], "full", "401 says nothing about permission: {status:#}");
    rig.ehr.play(Play::Accept);
    let status = settled(&rig).await;
    assert!(condition(&status, "auth-degraded").is_none(), "{status:#}");
    assert_eq!(rig.ehr.judge().creates, RESOURCES_PER_OUTCOME);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_certificate_of_another_authority_nothing_arrives_and_with_the_right_one_everything() {
    for form in ["cgm-ig", "plain-r4"] {
        with_another_authority(form).await;
    }
}

async fn with_another_authority(form: &str) {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = Pki::create(elsewhere.path()).unwrap();
    let settings = RigSettings { projection: form.to_owned(), ..daily() };
    let mut rig = site::prepare(dir.path(), settings).await;
    with_delivery(&rig, "retry_min = \"50ms\"\nretry_max = \"200ms\"");
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    let (cert, key) = (read(&rig.pki().client.cert), read(&rig.pki().client.key));
    rig.write("client.pem", &read(&stranger.client.cert)).unwrap();
    rig.write("client.key", &read(&stranger.client.key)).unwrap();
    rig.start().await.unwrap();
    send(&rig, &[people::hour("A", 1, "2026-03-01", 120)]).await;
    let tried = "isthmus_delivery_attempts_total{destination=\"ehr:main\"";
    let deadline = std::time::Instant::now() + site::PATIENCE;
    while metric(&site::metrics(&rig).await, tried) < 1.0 {
        assert!(std::time::Instant::now() < deadline, "nobody tried");
    }
    assert!(rig.ehr.log().records().is_empty(), "a stranger is not even heard");
    rig.write("client.key", &key).unwrap();
    rig.write("client.pem", &cert).unwrap();
    settled(&rig).await;
    let judgement = rig.ehr.judge();
    assert_eq!((judgement.creates, judgement.doubled), (RESOURCES_PER_OUTCOME, 0), "{form}: {judgement:?}");
}
