//! Later data, corrections and retractions: the chart says what the readings say, and nothing is written
//! for nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use jiff::SignedDuration;
use serde_json::Value;
use site::{
    RESOURCES_PER_OUTCOME, chart, condition, daily, edit_site, people, prepare, send, settled, until,
};
use standin::{
    Act, Refused, Rule, What,
    rig::{Rig, RigSettings},
};

const DAY: &str = "2026-03-02";

async fn started(dir: &std::path::Path) -> Rig {
    let mut rig = prepare(dir, daily()).await;
    rig.start().await.unwrap();
    rig
}

/// An hour of patient 1 from the `first`-th five minutes on.
fn hour_from(control_id: &str, first: i64, value: u32) -> Vec<u8> {
    let readings = people::readings(people::day(DAY), first, &[value; 12]);
    people::message(control_id, &people::person(1), &readings)
}

/// The hour that `LATE` told of, told again: the same order (OBR-3), with this status (OBX-11).
fn late_again(control_id: &str, value: u32, status: char) -> Vec<u8> {
    let message =
        people::altered(&hour_from(control_id, 12, value), &format!("{control_id}^CGMHUB"), "LATE^CGMHUB");
    people::altered(&message, "|||||F|", &format!("|||||{status}|"))
}

fn mean(rig: &Rig) -> chart::Standing {
    chart::mean(&rig.ehr, &people::person(1).mrn, DAY).expect("an outcome stands at the EHR")
}

fn in_target(rig: &Rig) -> f64 {
    chart::in_target(&rig.ehr, &people::person(1).mrn, DAY).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn late_data_corrections_and_retractions_change_what_stands_and_repetitions_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    send(&rig, &[hour_from("FIRST", 0, 100)]).await;
    settled(&rig).await;
    let first = mean(&rig);
    assert_eq!((first.value, first.status.as_str(), first.version), (100.0, "final", 1));
    assert_eq!(in_target(&rig), 100.0);

    // Twelve at 100 and twelve at 200: mean 150, half of the time above 180.
    send(&rig, &[hour_from("LATE", 12, 200)]).await;
    settled(&rig).await;
    let late = mean(&rig);
    assert_eq!((late.value, late.status.as_str(), late.version), (150.0, "amended", 2));
    assert_eq!(late.id, first.id, "the new version stands where the old one stood");
    assert_eq!(in_target(&rig), 50.0);

    // Twelve of 200 become 160: mean 130, all in target.
    send(&rig, &[late_again("CORRECTED", 160, 'C')]).await;
    settled(&rig).await;
    let standing = mean(&rig);
    assert_eq!((standing.value, standing.status.as_str(), standing.version), (130.0, "corrected", 3));
    assert_eq!(in_target(&rig), 100.0);

    // A correction outranks what it corrected, whenever that comes again.
    let writes = chart::writes(&rig.ehr).len();
    send(&rig, &[late_again("STALE", 200, 'F'), hour_from("FIRST", 0, 100), hour_from("AGAIN", 0, 100)])
        .await;
    settled(&rig).await;
    assert_eq!(mean(&rig), standing);
    assert_eq!(chart::writes(&rig.ehr).len(), writes, "written although nothing that is shown has changed");

    // The corrected hour is taken back: only the twelve at 100 are left.
    send(&rig, &[late_again("RETRACTED", 160, 'D')]).await;
    settled(&rig).await;
    let standing = mean(&rig);
    assert_eq!((standing.value, standing.status.as_str(), standing.version), (100.0, "corrected", 4));
    // What comes late after a correction is late data again.
    send(&rig, &[hour_from("LATER", 24, 160)]).await;
    settled(&rig).await;
    let standing = mean(&rig);
    assert_eq!((standing.value, standing.status.as_str(), standing.version), (130.0, "amended", 5));
    let told = |words: &str| {
        let provenances = rig.ehr.resources();
        provenances
            .iter()
            .filter(|it| it["resourceType"] == "Provenance" && it.to_string().contains(words))
            .count()
    };
    let reasons = ["first publication", "late data", "correction by the source"].map(told);
    assert_eq!(reasons, [1, 2, 2], "each version says why it was made");
    let judgement = rig.ehr.judge();
    assert_eq!(judgement.creates, RESOURCES_PER_OUTCOME + 4, "five versions have a Provenance each");
    assert_eq!((judgement.doubled, judgement.stale_hits, judgement.refused), (0, 0, 0), "{judgement:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amendment_names_the_version_it_replaces() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    send(&rig, &[hour_from("FIRST", 0, 100)]).await;
    settled(&rig).await;
    let standing = mean(&rig);

    // Somebody else touches the Observation: the version that we know is no longer the one that stands.
    let mut touched = rig.ehr.resources().into_iter().find(|r| r["id"] == standing.id.as_str()).unwrap();
    touched["note"] = serde_json::json!([{ "text": "looked at" }]);
    put(&rig, &touched).await;
    assert_eq!(mean(&rig).version, 2);

    send(&rig, &[hour_from("LATE", 12, 200)]).await;
    settled(&rig).await;
    let after = mean(&rig);
    assert_eq!((after.value, after.version), (150.0, 3));
    // Without If-Match the update would have passed at once.
    let refused: Vec<_> =
        rig.ehr.log().records().iter().filter(|record| record.is_write).filter_map(|r| r.status).collect();
    assert!(refused.contains(&412), "{refused:?}");
    assert_eq!(rig.ehr.judge().doubled, 0);
}

/// A PUT by another client of the EHR.
async fn put(rig: &Rig, resource: &Value) {
    let pki = rig.pki();
    let files = isthmus::config::ClientTls::mutual(&pki.ca, &pki.client.cert, &pki.client.key);
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(isthmus::tls::client_config(&files).unwrap())
        .no_proxy()
        .build()
        .unwrap();
    let url = format!("{}/Observation/{}", rig.ehr.base_url(), resource["id"].as_str().unwrap());
    let request = client.put(url).header("content-type", "application/fhir+json").body(resource.to_string());
    assert_eq!(request.send().await.unwrap().status().as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_and_the_parts_in_which_readings_arrive_change_no_number() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    let values: Vec<u32> = (0..48).map(|i| 60 + i * 4).collect();
    let all = people::readings(people::day(DAY), 30, &values);
    let (one, other) = (people::person(1), people::person(2));
    send(&rig, &[people::message("WHOLE", &one, &all)]).await;
    let parts: Vec<Vec<u8>> = all
        .chunks(5)
        .enumerate()
        .rev()
        .map(|(i, part)| people::message(&format!("PART{i}"), &other, part))
        .collect();
    send(&rig, &parts).await;
    settled(&rig).await;
    let numbers = chart::numbers(&rig.ehr);
    let of = |mrn: &str| -> Vec<_> {
        let mine = numbers.iter().filter(|(key, _)| key[0] == mrn);
        mine.map(|(key, said)| (key[1..].to_vec(), said.clone())).collect()
    };
    assert_eq!(of(&one.mrn), of(&other.mrn));
    assert_eq!(of(&one.mrn).len(), 7);
    // 60, 64 … 248: the mean of an arithmetic series is that of its ends.
    assert_eq!(mean(&rig).value, 154.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_before_publish_from_are_computed_and_not_written_however_often_data_comes() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), daily()).await;
    edit_site(&rig, "publish_from = \"2000-01-01\"", "publish_from = \"2026-03-03\"");
    rig.start().await.unwrap();
    for (id, first) in [("A", 0), ("B", 12), ("C", 24)] {
        send(&rig, &[hour_from(id, first, 100)]).await;
        let status = until(&rig, "computed", |s| {
            s["inbox"]["pending"] == 0
                && (s["inbox"]["windows_due"] == 0 || condition(s, "pipeline-stalled").is_some())
        })
        .await;
        assert!(condition(&status, "pipeline-stalled").is_none(), "{status:#}");
    }
    // The first day that is to be written is written.
    send(&rig, &[people::hour("D", 1, "2026-03-03", 100)]).await;
    settled(&rig).await;
    assert_eq!(rig.ehr.judge().creates, RESOURCES_PER_OUTCOME);
    assert!(chart::mean(&rig.ehr, &people::person(1).mrn, "2026-03-03").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_rules_write_nothing_of_what_was_before_the_site_went_live() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), daily()).await;
    let text = rig.site_file();
    let (before, rest) = text.split_once("[[publish]]").unwrap();
    let (_, patient) = rest.split_once("[patient]").unwrap();
    // Only the settling time is not as shipped: nobody waits for twelve hours here.
    let text = format!("{before}[[publish]]\nsettle = \"100ms\"\n[patient]{patient}");
    rig.write("sites.d/main.toml", &text).unwrap();
    rig.start().await.unwrap();
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    // Two weeks of them in any case lie in a window that ended long ago.
    let days = (60..88).map(|ago| today - jiff::Span::new().days(ago));
    let messages: Vec<_> = days
        .map(|day| {
            let values: Vec<u32> = (0..288).map(|i| 80 + i % 100).collect();
            people::message(&format!("{day}"), &people::person(1), &people::readings(day, 0, &values))
        })
        .collect();
    send(&rig, &messages).await;
    let status =
        until(&rig, "computed", |s| s["inbox"]["pending"] == 0 && s["inbox"]["windows_due"] == 0).await;
    assert!(condition(&status, "pipeline-stalled").is_none(), "{status:#}");
    assert!(
        site::metric(&site::metrics(&rig).await, "isthmus_outcomes_total") >= 2.0,
        "nothing was computed"
    );
    let states = ["pending", "leased", "ambiguous", "deferred", "delivered", "quarantined", "superseded"];
    assert!(states.iter().all(|state| status["outbox"][*state] == 0), "{status:#}");
    assert!(rig.ehr.log().records().is_empty());
}

/// Windows of thirty days, one ending every day: a day lies in thirty of them, and what is read and summed of a patient for
/// one serves the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_day_amends_the_windows_that_hold_it_and_no_other_however_many_overlap() {
    const DAYS: i64 = 14;
    const WINDOW: i64 = 30;
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), RigSettings { window_days: WINDOW as u32, ..daily() }).await;
    rig.start().await.unwrap();
    let date = |n: i64| people::day(DAY).checked_add(SignedDuration::from_hours(24 * n)).unwrap();
    let value = |n: i64| 80 + 10 * n as u32;
    let hour = |n: i64| {
        let readings = people::readings(date(n), 0, &[value(n); 12]);
        people::message(&format!("DAY{n}"), &people::person(1), &readings)
    };
    // The mean of the days in a window is counted by hand: each has twelve readings of one value.
    let check = |there: &dyn Fn(i64) -> bool, version: &dyn Fn(i64) -> u64| {
        for last in 0..DAYS + WINDOW - 1 {
            let held: Vec<f64> =
                (last - WINDOW + 1..=last).filter(|n| there(*n)).map(|n| f64::from(value(n))).collect();
            let standing = chart::mean(&rig.ehr, &people::person(1).mrn, &date(last).to_string()).unwrap();
            let wanted = held.iter().sum::<f64>() / held.len() as f64;
            assert!((standing.value - wanted).abs() < 0.06, "{last}: {} is not {wanted}", standing.value);
            assert_eq!(standing.version, version(last), "the window that ends with day {last}");
        }
    };
    let late = 6;
    let there = |n: i64| (0..DAYS).contains(&n) && n != late;
    send(&rig, &(0..DAYS).filter(|n| there(*n)).map(hour).collect::<Vec<_>>()).await;
    settled(&rig).await;
    check(&there, &|_| 1);

    send(&rig, &[hour(late)]).await;
    settled(&rig).await;
    let holds = |last: i64| (last - WINDOW + 1..=last).contains(&late);
    check(&|n| (0..DAYS).contains(&n), &|last| if holds(last) { 2 } else { 1 });
    assert_eq!(rig.ehr.judge().doubled, 0);
}

/// An hour of patient 1 from midnight, and the same readings told again with other values.
fn hour_of(control_id: &str, values: [u32; 12]) -> Vec<u8> {
    people::message(control_id, &people::person(1), &people::readings(people::day(DAY), 0, &values))
}

/// Shares, mean, CV and percentiles do not look at the order of readings; events do.
#[tokio::test(flavor = "multi_thread")]
async fn a_correction_that_moves_events_alone_is_written_where_a_site_takes_our_own_codes() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), daily()).await;
    edit_site(&rig, "base_url =", "local_codes = true\nbase_url =");
    rig.start().await.unwrap();
    let low_events = || {
        let resources = rig.ehr.resources();
        let counts: Vec<&Value> =
            resources.iter().filter(|it| it["code"]["coding"][0]["code"] == "event-counts").collect();
        assert!(counts.len() < 2, "the events of one window stand twice");
        let parts = counts.first()?["component"].as_array().cloned()?;
        let part = parts.into_iter().find(|part| part["code"]["coding"][0]["code"] == "hypo-level-1")?;
        part["valueQuantity"]["value"].as_u64()
    };
    let apart = [60, 100, 60, 100, 60, 100, 60, 100, 60, 100, 60, 100];
    let together = [60, 60, 60, 60, 60, 60, 100, 100, 100, 100, 100, 100];
    send(&rig, &[hour_of("FIRST", apart)]).await;
    settled(&rig).await;
    assert_eq!(low_events(), Some(0));
    let first = mean(&rig);
    let told_again = people::altered(&hour_of("SECOND", together), "SECOND^CGMHUB", "FIRST^CGMHUB");
    send(&rig, &[people::altered(&told_again, "|||||F|", "|||||C|")]).await;
    settled(&rig).await;
    assert_eq!(low_events(), Some(1), "half an hour below 70 mg/dL is an event");
    assert_eq!(mean(&rig).value, first.value, "the mean is the same");
}

/// The EHR takes new results and lets this client amend none: its first refusal closes the site, for it might refuse all; the
/// second, after a create was taken, is about that amendment alone.
#[tokio::test(flavor = "multi_thread")]
async fn an_amendment_that_alone_is_refused_is_set_aside_and_closes_the_site_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(
        dir.path(),
        RigSettings { probe_interval: "300ms".to_owned(), projection: "plain-r4".to_owned(), ..daily() },
    )
    .await;
    rig.start().await.unwrap();
    let hour = |id: &str, n: u32| {
        people::message(id, &people::person(n), &people::readings(people::day(DAY), 0, &[100; 12]))
    };
    send(&rig, &[hour("FIRST", 1)]).await;
    settled(&rig).await;
    rig.ehr.rule(Rule::new("no updates", Act::Refuse(Refused::new(403, "forbidden"))).on(What::Updates));
    send(&rig, &[hour_from("LATE", 12, 200)]).await;
    until(&rig, "the site is read-only", |s| condition(s, "read-only").is_some()).await;
    send(&rig, &[hour("OTHER", 2)]).await;
    let status = until(&rig, "people are asked", |s| condition(s, "amendment-needed").is_some()).await;
    let detail = condition(&status, "amendment-needed").unwrap()["detail"].as_str().unwrap();
    assert!(detail.contains("refuses to amend one") && detail.contains("isthmus site amended"), "{detail}");
    let status = settled(&rig).await;
    assert!(condition(&status, "read-only").is_none(), "{status:#}");
    assert_eq!((mean(&rig).value, mean(&rig).version), (100.0, 1), "{status:#}");
    let refusals = |rig: &Rig| {
        rig.ehr.log().records().iter().filter(|it| it.rule.as_deref() == Some("no updates")).count()
    };
    let met = refusals(&rig);
    // Who comes next is written at once.
    send(&rig, &[hour("NEXT", 3)]).await;
    settled(&rig).await;
    assert_eq!(chart::mean(&rig.ehr, &people::person(3).mrn, DAY).unwrap().value, 100.0);
    assert_eq!(refusals(&rig), met, "what was set aside is not tried again");
    // A person may let it go once more.
    rig.ehr.withdraw("no updates");
    let rows = site::command::asked(&rig, &["queue", "list", "--state", "quarantined"]).await;
    let observation = |row: &&Value| row["kind"].as_str().is_some_and(|kind| kind.starts_with("Observation"));
    for row in rows["rows"].as_array().unwrap().iter().filter(observation) {
        let row = format!("row:{}", row["row"]);
        site::command::asked(&rig, &["quarantine", "release", &row, "--reason", "the EHR permits it now"])
            .await;
    }
    settled(&rig).await;
    assert_eq!((mean(&rig).value, mean(&rig).version), (150.0, 2));
}
