//! A site that refuses writes: read-only at once, deferred and not dropped, back by a probe, once each.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::time::Duration;

use serde_json::Value;
use site::{
    RESOURCES_PER_OUTCOME, chart, daily, edit_site, eventually, people, send, settled, until, until_metric,
    with_delivery,
};
use standin::{
    Play, Whose,
    rig::{Rig, RigSettings},
};

const DAY: &str = "2026-03-02";

fn mode(status: &Value) -> &str {
    status["sites"][0]["mode"].as_str().unwrap_or_default()
}

fn hours(patients: std::ops::Range<u32>) -> Vec<Vec<u8>> {
    patients.map(|n| people::hour(&format!("H{n}"), n, DAY, 120)).collect()
}

fn mrns(patients: std::ops::Range<u32>) -> Vec<String> {
    patients.map(|n| people::person(n).mrn).collect()
}

async fn started(dir: &std::path::Path, delivery: &str) -> Rig {
    let mut rig = site::prepare(dir, daily()).await;
    with_delivery(&rig, delivery);
    rig.start().await.unwrap();
    rig
}

/// Everything arrived once, in order.
fn assert_once(rig: &Rig, outcomes: u64) {
    let judgement = rig.ehr.judge();
    assert_eq!(judgement.creates, outcomes * RESOURCES_PER_OUTCOME, "{judgement:?}");
    assert_eq!((judgement.doubled, judgement.out_of_order, judgement.updates), (0, 0, 0), "{judgement:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_one_refusal_nothing_but_probes_is_written_until_one_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = started(dir.path(), "in_flight = 1").await;
    rig.ehr.play(Play::RefuseWrites);
    send(&rig, &hours(0..6)).await;
    let status = until(&rig, "read-only", |s| mode(s) == "read-only" && s["outbox"]["deferred"] == 6).await;
    assert!(status["sites"][0]["cause"].as_str().unwrap().contains("403"), "{status:#}");
    assert!(site::condition(&status, "read-only").is_some(), "{status:#}");
    until_metric(&rig, "isthmus_site_mode{destination=\"ehr:main\"}", 0.0).await;

    // Intake goes on, also for a patient who waits already.
    send(&rig, &[people::hour("NEXT", 0, "2026-03-03", 150), people::hour("NEW", 6, DAY, 150)]).await;
    until(&rig, "new outcomes are deferred", |s| s["outbox"]["deferred"] == 8).await;
    eventually("three probes", || chart::writes(&rig.ehr).len() >= 4).await;
    let tried: Vec<f64> = chart::writes(&rig.ehr).iter().map(|record| record.at_ms).collect();
    // Probes come three to five quarters of the interval (1 s) apart.
    for pair in tried.windows(2) {
        assert!(pair[1] - pair[0] > 700.0, "written between probes: {tried:?}");
    }

    assert!(rig.stop().await.unwrap().success());
    rig.start().await.unwrap();
    // The first probe may be out already.
    let status = until(&rig, "still deferred", |s| s["outbox"]["deferred"] == 8).await;
    assert_eq!(mode(&status), "read-only", "{status:#}");
    assert!(status["sites"][0]["cause"].as_str().unwrap().contains("403"), "{status:#}");
    assert_eq!(rig.ehr.judge().creates, 0);

    rig.ehr.play(Play::Accept);
    let status = settled(&rig).await;
    assert_eq!((mode(&status), &status["outbox"]["delivered"]), ("full", &8.into()), "{status:#}");
    assert!(site::condition(&status, "read-only").is_none(), "{status:#}");
    until_metric(&rig, "isthmus_site_mode{destination=\"ehr:main\"}", 2.0).await;
    assert_once(&rig, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_flight_at_the_refusal_may_be_refused_too_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path(), "in_flight = 4\nretry_max = \"1s\"").await;
    rig.ehr.play(Play::RefuseWrites);
    send(&rig, &hours(0..20)).await;
    // One of them may be out as a probe.
    let all_wait = |s: &Value| mode(s) == "read-only" && s["outbox"]["deferred"].as_u64() >= Some(19);
    until(&rig, "read-only", all_wait).await;
    let tried = chart::writes(&rig.ehr);
    let first = tried[0].at_ms;
    // A probe is due three quarters of a second after the refusal at the earliest.
    let at_once = tried.iter().filter(|record| record.at_ms - first < 700.0).count();
    assert!((1..=4).contains(&at_once), "{at_once} writes at once");
    rig.ehr.play(Play::Accept);
    settled(&rig).await;
    assert_once(&rig, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guarded_patient_is_held_alone_until_three_of_them_show_that_it_is_the_site() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path(), "").await;
    rig.ehr.play(Play::RefusePatients(mrns(0..3)));
    send(&rig, &hours(1..6)).await;
    let status = until(&rig, "the others are served", |s| s["outbox"]["delivered"] == 3).await;
    let status = if chart::writes(&rig.ehr).iter().filter(|r| r.status == Some(403)).count() == 2 {
        status
    } else {
        eventually("both are refused", || rig.ehr.judge().refused == 2).await;
        rig.status().await.unwrap()
    };
    assert_eq!(mode(&status), "full", "two patients are no evidence about the site: {status:#}");

    send(&rig, &hours(0..1)).await;
    let status = until(&rig, "read-only", |s| mode(s) == "read-only").await;
    let cause = status["sites"][0]["cause"].as_str().unwrap();
    assert!(cause.contains("3 patients"), "{cause}");
    assert!(mrns(0..6).iter().all(|mrn| !status.to_string().contains(mrn)), "status names a patient");
    rig.ehr.play(Play::Accept);
    settled(&rig).await;
    assert_once(&rig, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_data_concerns_its_item_until_five_patients_show_that_it_is_the_site() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path(), "in_flight = 1").await;
    rig.ehr.play(Play::Reject422(Whose::Named(mrns(0..5))));
    send(&rig, &hours(0..4)).await;
    let status = until(&rig, "four are set aside", |s| s["outbox"]["quarantined"] == 4).await;
    assert_eq!(mode(&status), "full", "{status:#}");
    send(&rig, &hours(5..7)).await;
    let status = until(&rig, "the others are served", |s| s["outbox"]["delivered"] == 2).await;
    assert_eq!(mode(&status), "full", "{status:#}");

    send(&rig, &hours(4..5)).await;
    let status = until(&rig, "read-only", |s| mode(s) == "read-only").await;
    assert!(status["sites"][0]["cause"].as_str().unwrap().contains("5 patients"), "{status:#}");
    rig.ehr.play(Play::Accept);
    // It was the site's fault: what it had put into quarantine is written too.
    let status = settled(&rig).await;
    assert_eq!((mode(&status), &status["outbox"]["quarantined"]), ("full", &0.into()), "{status:#}");
    assert_once(&rig, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_address_makes_the_site_read_only_and_the_right_one_brings_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    let good = rig.ehr.base_url();
    // 404: nothing is served there. 405: something is, that takes no POST.
    let (nowhere, deaf) = (good.replace("/fhir", "/nowhere"), format!("{good}/Observation/x"));
    edit_site(&rig, &format!("\"{good}\""), &format!("\"{nowhere}\""));
    rig.start().await.unwrap();
    send(&rig, &hours(0..2)).await;
    let refused = |code: &'static str| {
        move |s: &Value| {
            mode(s) == "read-only"
                && s["sites"][0]["cause"].as_str().is_some_and(|cause| cause.contains(code))
        }
    };
    until(&rig, "404 is a matter of configuration", refused("404")).await;
    edit_site(&rig, &format!("\"{nowhere}\""), &format!("\"{deaf}\""));
    until(&rig, "405 is a matter of configuration", refused("405")).await;
    edit_site(&rig, &format!("\"{deaf}\""), &format!("\"{good}\""));
    let status = settled(&rig).await;
    assert_eq!(mode(&status), "full", "{status:#}");
    assert_once(&rig, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_configured_read_only_is_written_once_when_the_file_permits_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), RigSettings { upstream: true, ..daily() }).await;
    edit_site(&rig, "mode = \"full\"", "mode = \"read-only\"");
    rig.start().await.unwrap();
    send(&rig, &hours(0..3)).await;
    let status = until(&rig, "deferred", |s| s["outbox"]["deferred"] == 3).await;
    assert_eq!(mode(&status), "read-only");
    eventually("upstream is another matter", || rig.upstream.judge().creates > 0).await;
    // A probe would be due by now: it must not be tried either.
    let upstream = rig.upstream.elapsed();
    eventually("two probe intervals", || rig.upstream.elapsed() > upstream + Duration::from_secs(2)).await;
    assert!(rig.ehr.log().records().is_empty(), "nothing is even asked");

    edit_site(&rig, "mode = \"read-only\"", "mode = \"full\"");
    let status = settled(&rig).await;
    assert_eq!(mode(&status), "full", "{status:#}");
    assert_once(&rig, 3);

    edit_site(&rig, "mode = \"full\"", "mode = \"read-only\"");
    until(&rig, "read-only again", |s| mode(s) == "read-only").await;
    send(&rig, &hours(3..4)).await;
    until(&rig, "deferred again", |s| s["outbox"]["deferred"] == 1).await;
    assert_once(&rig, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_consent_nothing_leaves_upstream() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), RigSettings { upstream: true, ..daily() }).await;
    site::edit(&rig, "isthmus.toml", "consent = \"permit\"\n", "");
    rig.start().await.unwrap();
    send(&rig, &hours(0..2)).await;
    eventually("the EHR is served", || rig.ehr.judge().creates == 2 * RESOURCES_PER_OUTCOME).await;
    let status = settled(&rig).await;
    assert!(rig.upstream.log().records().is_empty());
    assert_eq!(status["upstream"]["mode"], "read-only");
    assert!(status["upstream"]["cause"].as_str().unwrap().contains("consent"), "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_found_to_have_arrived_proves_nothing_about_permission() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path(), "in_flight = 2\nretry_min = \"3s\"\nretry_max = \"3s\"").await;
    rig.ehr.play_next(Play::ResetAfterBody, 1);
    send(&rig, &hours(0..1)).await;
    until(&rig, "in doubt", |s| s["outbox"]["ambiguous"] == 1).await;
    rig.ehr.play(Play::RefuseWrites);
    send(&rig, &hours(1..3)).await;
    // Both may have been under way at the first refusal, and are no probes.
    until(&rig, "read-only", |s| mode(s) == "read-only" && s["outbox"]["deferred"] == 2).await;
    let closed = rig.ehr.judge().refused;
    until(&rig, "the doubt is settled", |s| s["outbox"]["ambiguous"] == 0 && s["outbox"]["delivered"] == 1)
        .await;
    eventually("two more probes", || rig.ehr.judge().refused >= closed + 2).await;
    let tried: Vec<f64> = chart::writes(&rig.ehr)
        .iter()
        .filter(|record| record.status == Some(403))
        .skip(closed as usize - 1)
        .map(|record| record.at_ms)
        .collect();
    for pair in tried.windows(2) {
        assert!(pair[1] - pair[0] > 700.0, "written between probes: {tried:?}");
    }
    rig.ehr.play(Play::Accept);
    settled(&rig).await;
    assert_once(&rig, 3);
}
