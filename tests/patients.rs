//! Who is who: results find their patient, merged patients have one outcome, and nobody gets another's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::path::Path;

use serde_json::{Value, json};
use site::{
    chart, condition, daily, edit_site, eventually, people, prepare, send, settled, until, with_delivery,
};
use standin::rig::{Rig, RigSettings};

const DAY: &str = "2026-03-02";
/// What the made-up people of these tests share.
const BORN: &str = "19310709";

async fn started_with(dir: &Path, patient: &str) -> Rig {
    let settings = RigSettings { site_extra: format!("{patient}\n"), ..daily() };
    let mut rig = prepare(dir, settings).await;
    with_delivery(&rig, "retry_min = \"100ms\"\nretry_max = \"500ms\"");
    rig.start().await.unwrap();
    rig
}

async fn started(dir: &Path) -> Rig {
    started_with(dir, "").await
}

fn mrn(n: u32) -> String {
    people::person(n).mrn
}

/// A PID with these identifiers in PID-3.
fn pid(identifiers: &[String], born: &str) -> String {
    format!("PID|1||{}||Quibblethorpe^Zebediah||{born}|M", identifiers.join("~"))
}

fn mr(n: u32) -> String {
    format!("{}^^^NORTH^MR", mrn(n))
}

fn vendor(id: &str) -> String {
    format!("{id}^^^DEXCOM^PI")
}

/// An ADT entered on this minute of an hour.
fn adt(control_id: &str, event: &str, minute: u32, segments: &[String]) -> Vec<u8> {
    let at = format!("202604011200{minute:02}");
    let head = format!(
        "MSH|^~\\&|ADT|NORTH|ISTHMUS|NORTH|{at}||ADT^{event}|{control_id}|P|2.5.1\rEVN|{event}|{at}\r"
    );
    format!("{head}{}\r", segments.join("\r")).into_bytes()
}

fn admitted(control_id: &str, n: u32, others: &[String], born: &str) -> Vec<u8> {
    let identifiers: Vec<String> = [mr(n)].into_iter().chain(others.iter().cloned()).collect();
    adt(control_id, "A04", 0, &[pid(&identifiers, born)])
}

fn merged(control_id: &str, survivor: u32, retired: u32) -> Vec<u8> {
    adt(control_id, "A40", 1, &[pid(&[mr(survivor)], BORN), format!("MRG|{}", mr(retired))])
}

/// An hour of patient `n` from the `first`-th five minutes on, all at `value`.
fn hour_from(control_id: &str, n: u32, first: i64, value: u32) -> Vec<u8> {
    let readings = people::readings(people::day(DAY), first, &[value; 12]);
    people::message(control_id, &people::person(n), &readings)
}

/// The same under a vendor's id alone.
fn hour_of_vendor(control_id: &str, id: &str, n: u32, first: i64, value: u32) -> Vec<u8> {
    people::altered(&hour_from(control_id, n, first, value), &mr(n), &vendor(id))
}

fn mean(rig: &Rig, n: u32) -> Option<chart::Standing> {
    chart::mean(&rig.ehr, &mrn(n), DAY)
}

fn value(rig: &Rig, n: u32) -> Option<f64> {
    mean(rig, n).map(|standing| standing.value)
}

/// Every number of a patient, without the patient.
fn numbers(rig: &Rig, n: u32) -> Vec<(Vec<String>, String)> {
    let of = mrn(n);
    let all = chart::numbers(&rig.ehr).into_iter();
    all.filter(|(key, _)| key[0] == of).map(|(key, said)| (key[1..].to_vec(), said)).collect()
}

fn searches(rig: &Rig) -> usize {
    rig.ehr.log().records().iter().filter(|record| record.path.contains("/Patient?")).count()
}

fn patient(n: u32, born: &str) -> Value {
    json!({ "resourceType": "Patient", "birthDate": born,
        "identifier": [{ "system": "urn:oid:1.2.3", "value": mrn(n) }] })
}

/// The EHR's own merge: what stands for one patient stands for another.
fn ehr_moves(rig: &Rig, from: u32, to: u32) {
    for mut resource in rig.ehr.resources() {
        if resource["subject"]["identifier"]["value"] == mrn(from) {
            let id = resource["id"].as_str().unwrap().to_owned();
            resource["subject"]["identifier"]["value"] = json!(mrn(to));
            rig.ehr.place(&id, resource);
        }
    }
}

fn identity(rig: &Rig, arguments: &[&str]) -> Value {
    site::command::json(rig, &[&["identity"], arguments].concat())
}

async fn waiting(rig: &Rig, messages: u64) {
    until(rig, "waiting messages", |s| s["inbox"]["pending"] == 0 && s["inbox"]["unidentified"] == messages)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_under_a_vendors_id_are_the_patients_whom_the_registration_gave_it_to() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    send(&rig, &[admitted("A1", 1, &[vendor("V9")], BORN)]).await;
    send(&rig, &[hour_of_vendor("R1", "V9", 1, 0, 100), hour_from("R2", 1, 12, 200)]).await;
    settled(&rig).await;
    assert_eq!(value(&rig, 1), Some(150.0), "both hours are one patient's");

    // An id that nobody has, and one that two have.
    send(&rig, &[hour_of_vendor("R3", "UNKNOWN", 1, 24, 300)]).await;
    send(&rig, &[admitted("A2", 2, &[vendor("V9")], BORN), hour_of_vendor("R4", "V9", 1, 36, 300)]).await;
    waiting(&rig, 2).await;
    let listed = identity(&rig, &["list"]);
    let listed = listed["waiting"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    assert!(
        listed.iter().all(|entry| entry["site"] == "main" && entry["identifiers"].is_null()),
        "{listed:?}"
    );
    let revealed = identity(&rig, &["list", "--reveal"]);
    assert_eq!(revealed["waiting"][0]["identifiers"][0]["value"], "UNKNOWN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_whose_birth_date_contradicts_the_known_one_waits_and_nothing_is_computed_from_it() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    send(&rig, &[admitted("A1", 1, &[], "19800101"), admitted("A2", 2, &[], "1931")]).await;
    send(&rig, &[hour_from("R1", 1, 0, 100), hour_from("R2", 2, 0, 100)]).await;
    // Of one who is not registered, the first result decides.
    let other = people::altered(&hour_from("R4", 3, 12, 300), BORN, "19990909");
    send(&rig, &[hour_from("R3", 3, 0, 100), other]).await;
    waiting(&rig, 2).await;
    settled(&rig).await;
    assert_eq!((value(&rig, 1), value(&rig, 2), value(&rig, 3)), (None, Some(100.0), Some(100.0)));
    let listed = identity(&rig, &["list"]).to_string();
    assert!(
        listed.contains("birth date contradicts") && !listed.contains("1931") && !listed.contains("Quibble")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_ahead_does_not_stand_against_what_is_said_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    let ahead = people::altered(&admitted("A1", 1, &[], "19800101"), "202604011200", "209904011200");
    // Without a time it is said when it comes.
    let after = people::altered(&admitted("A2", 1, &[], BORN), "20260401120000", "");
    send(&rig, &[ahead, after, hour_from("R1", 1, 0, 100)]).await;
    settled(&rig).await;
    assert_eq!(value(&rig, 1), Some(100.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_rides_behind_an_adt_is_refused_with_it_and_nothing_of_either_is_applied() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    let mut riding = admitted("A1", 1, &[vendor("V9")], BORN);
    riding.extend_from_slice(b" MSH|^~\\&|T|T|T|T|||ADT^A01|T1|T|2.5.1\r");
    let answer = site::wire::Wire::open(rig.mllp()).await.exchange(&riding).await;
    assert_eq!((site::wire::msa(&answer).0, site::wire::fault(&answer)), ("AR", "100"), "{answer:?}");
    send(&rig, &[hour_of_vendor("R1", "V9", 1, 0, 100)]).await;
    waiting(&rig, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_adt_stops_what_comes_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    let trailing =
        people::altered(&admitted("A2", 2, &[], BORN), &mr(2), &mr(2).replacen('^', "\\X20\\^", 1));
    let renumbered = |id: &str, minute, present: u32, former: u32| {
        adt(id, "A47", minute, &[pid(&[mr(present)], BORN), format!("MRG|{}", mr(former))])
    };
    send(&rig, &[trailing, admitted("A1", 1, &[], BORN)]).await;
    send(&rig, &[renumbered("C1", 1, 2, 1), renumbered("C2", 2, 1, 2)]).await;
    // An A43 whose every identifier stands on both sides.
    let many: Vec<String> = (0..4_000).map(|n| vendor(&format!("V{n}"))).collect();
    send(&rig, &[adt("M", "A43", 3, &[pid(&many, BORN), format!("MRG|{}", many.join("~"))])]).await;
    send(&rig, &[hour_from("R1", 1, 0, 100), hour_from("R2", 2, 12, 200)]).await;
    assert_eq!(settled(&rig).await["inbox"]["quarantined"], 1, "the A43 as a whole");
    assert_eq!(value(&rig, 1), Some(150.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_before_or_after_the_results_the_outcomes_are_those_of_an_undisturbed_patient() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    let halves =
        |n: u32, m: u32| [hour_from(&format!("F{n}"), n, 0, 90), hour_from(&format!("S{n}"), m, 18, 210)];
    // 1 is undisturbed; 3 is merged into 2 before any result, 5 into 4 after all, 7 into 6 between.
    send(&rig, &halves(1, 1)).await;
    send(&rig, &[merged("M2", 2, 3)]).await;
    send(&rig, &halves(2, 3)).await;
    send(&rig, &halves(4, 5)).await;
    let [first, second] = halves(6, 7);
    send(&rig, &[second]).await;
    settled(&rig).await;
    send(&rig, &[merged("M4", 4, 5), merged("M6", 6, 7), first]).await;
    settled(&rig).await;
    let undisturbed = numbers(&rig, 1);
    assert_eq!(undisturbed.len(), 7);
    for survivor in [2, 4, 6] {
        assert_eq!(numbers(&rig, survivor), undisturbed, "patient {survivor}");
    }
    assert_eq!(value(&rig, 3), None);
    let judgement = rig.ehr.judge();
    assert_eq!((judgement.doubled, judgement.refused), (0, 0), "{judgement:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_for_the_retired_is_left_to_the_ehr_and_amended_where_the_ehr_moved_it() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    send(&rig, &[hour_from("R1", 2, 0, 100)]).await;
    settled(&rig).await;
    let (before, writes) = (mean(&rig, 2).unwrap(), chart::writes(&rig.ehr).len());
    send(&rig, &[merged("M", 1, 2)]).await;
    ehr_moves(&rig, 2, 1);
    settled(&rig).await;
    assert_eq!(chart::writes(&rig.ehr).len(), writes, "nothing else changed, so nothing is written");

    // New results, under either identifier, amend what was moved.
    send(&rig, &[hour_from("R2", 2, 12, 200), hour_from("R3", 1, 24, 300)]).await;
    settled(&rig).await;
    let after = mean(&rig, 1).unwrap();
    assert_eq!((after.value, after.status.as_str()), (200.0, "amended"));
    assert_eq!(after.id, before.id, "the same resource, wherever the EHR has moved it");
    assert!(condition(&rig.status().await.unwrap(), "withdrawal-needed").is_none());
    assert_eq!(rig.ehr.judge().doubled, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_of_contradicting_birth_dates_writes_nothing_for_the_survivor_until_that_is_settled() {
    let dir = tempfile::tempdir().unwrap();
    // The EHR is not asked: it is a matter of what is known here.
    let mut rig = started_with(dir.path(), "verify_patient = \"off\"").await;
    send(&rig, &[admitted("A1", 1, &[], BORN), admitted("A2", 2, &[], "19800101")]).await;
    send(&rig, &[admitted("A3", 3, &[], BORN), admitted("A4", 4, &[], "19800101")]).await;
    send(&rig, &[hour_from("R1", 1, 0, 100), merged("M1", 1, 2), merged("M2", 3, 4)]).await;
    let in_doubt = |s: &Value| {
        let all = s["conditions"].as_array().into_iter().flatten();
        all.filter(|it| it["name"] == "patient-in-doubt")
            .map(|it| it["detail"].to_string())
            .collect::<Vec<_>>()
    };
    let told =
        until(&rig, "both are in doubt", |s| s["inbox"]["pending"] == 0 && in_doubt(s).len() >= 2).await;
    assert!(in_doubt(&told).iter().all(|detail| !detail.contains("19")), "a date in {told:#}");
    let (before, writes) = (mean(&rig, 1), chart::writes(&rig.ehr).len());
    send(&rig, &[hour_from("R2", 1, 12, 200), hour_from("R3", 3, 0, 100)]).await;
    until(&rig, "held", |s| s["outbox"]["pending"] == 2 && s["inbox"]["windows_due"] == 0).await;

    // A restart forgets nothing of it.
    assert!(rig.stop().await.unwrap().success());
    rig.start().await.unwrap();
    until(&rig, "still in doubt", |s| in_doubt(s).len() >= 2 && s["outbox"]["pending"] == 2).await;
    assert_eq!((mean(&rig, 1), chart::writes(&rig.ehr).len()), (before, writes), "nothing was written");
    let listed = identity(&rig, &["list"]);
    assert_eq!(listed["in_doubt"].as_array().unwrap().len(), 2, "{listed:#}");
    let links = identity(&rig, &["links"]);
    assert!(
        links["links"].as_array().unwrap().iter().all(|link| link["undone"].is_null()),
        "both are recorded"
    );

    // One is put right by a message, of the other a person knows that they are one.
    send(&rig, &[adt("A5", "A08", 5, &[pid(&[mr(2)], BORN)])]).await;
    assert_eq!(
        identity(&rig, &["agree", &links["links"][0]["link"].to_string(), "--reason", "a typing error"])["agreed"],
        links["links"][0]["link"]
    );
    let status = settled(&rig).await;
    assert_eq!((value(&rig, 1), value(&rig, 3)), (Some(150.0), Some(100.0)));
    assert!(condition(&status, "patient-in-doubt").is_none(), "{status:#}");
    assert_eq!(rig.ehr.judge().doubled, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_site_wants_it_the_survivor_is_published_anew_and_people_withdraw_the_old() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started_with(dir.path(), "on_merge = \"republish\"").await;
    send(&rig, &[hour_from("R1", 2, 0, 100)]).await;
    settled(&rig).await;
    send(&rig, &[merged("M", 1, 2)]).await;
    settled(&rig).await;
    assert_eq!((value(&rig, 1), value(&rig, 2)), (Some(100.0), Some(100.0)));
    assert_ne!(mean(&rig, 1).unwrap().id, mean(&rig, 2).unwrap().id);
    let status = rig.status().await.unwrap();
    let withdrawal = condition(&status, "withdrawal-needed").expect("the old one stands");
    assert!(withdrawal["detail"].as_str().unwrap().contains("merged into another"), "{withdrawal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_at_a_merge_and_was_not_written_asks_nobody_to_withdraw_it() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    rig.ehr.play(standin::Play::ResetBeforeEffect);
    send(&rig, &[hour_from("R1", 2, 0, 100)]).await;
    until(&rig, "in doubt", |s| s["outbox"]["ambiguous"] == 1).await;
    send(&rig, &[merged("M", 1, 2)]).await;
    until(&rig, "people are asked", |s| condition(s, "withdrawal-needed").is_some()).await;
    rig.ehr.play(standin::Play::Accept);
    let status = until(&rig, "nothing was written", |s| {
        condition(s, "withdrawal-needed").is_none() && s["outbox"]["ambiguous"] == 0
    })
    .await;
    assert_eq!(status["outbox"]["superseded"], 1, "{status:#}");
    settled(&rig).await;
    assert_eq!((value(&rig, 1), value(&rig, 2)), (Some(100.0), None));
    assert_eq!(rig.ehr.judge().doubled, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_is_undone_gives_back_what_was() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    send(&rig, &[hour_from("R1", 1, 0, 100), hour_from("R2", 2, 12, 200)]).await;
    settled(&rig).await;
    send(&rig, &[merged("M", 1, 2)]).await;
    settled(&rig).await;
    assert_eq!(value(&rig, 1), Some(150.0));
    let links = identity(&rig, &["links"]);
    let link = links["links"][0]["link"].as_i64().unwrap();
    assert_eq!(
        (links["links"][0]["kind"].as_str(), &links["links"][0]["undone"]),
        (Some("merge"), &Value::Null)
    );
    assert_eq!(identity(&rig, &["unmerge", &link.to_string()])["undone"], link);
    settled(&rig).await;
    assert_eq!((value(&rig, 1), value(&rig, 2)), (Some(100.0), Some(200.0)));
    assert!(condition(&rig.status().await.unwrap(), "withdrawal-needed").is_none());
    // Results under either number go their own way again.
    send(&rig, &[hour_from("R3", 2, 24, 300)]).await;
    settled(&rig).await;
    assert_eq!((value(&rig, 1), value(&rig, 2)), (Some(100.0), Some(250.0)));
    site::command::refused(&rig, &["identity", "unmerge", &link.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn merges_in_a_circle_are_kept_for_people() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    send(&rig, &[merged("M1", 1, 2), merged("M2", 2, 1), merged("M3", 3, 2)]).await;
    send(&rig, &[hour_from("R", 2, 0, 100)]).await;
    let status = settled(&rig).await;
    assert_eq!(status["inbox"]["quarantined"], 2);
    assert_eq!(value(&rig, 1), Some(100.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_with_another_identifier_has_the_same_chart_under_it() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    send(&rig, &[hour_from("R1", 1, 0, 100)]).await;
    settled(&rig).await;
    let before = mean(&rig, 1).unwrap();
    send(&rig, &[adt("C", "A47", 1, &[pid(&[mr(2)], BORN), format!("MRG|{}", mr(1))])]).await;
    send(&rig, &[hour_from("R2", 1, 12, 200), hour_from("R3", 2, 24, 300)]).await;
    settled(&rig).await;
    let after = mean(&rig, 2).unwrap();
    assert_eq!((after.value, after.id), (200.0, before.id));
    assert_eq!(value(&rig, 1), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identifier_that_is_moved_takes_its_results_to_the_other_patient() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    send(&rig, &[admitted("A1", 1, &[vendor("V9")], BORN), admitted("A2", 2, &[], BORN)]).await;
    send(&rig, &[hour_of_vendor("R1", "V9", 1, 0, 100)]).await;
    settled(&rig).await;
    assert_eq!((value(&rig, 1), value(&rig, 2)), (Some(100.0), None));
    let moved = [pid(&[vendor("V9"), mr(2)], BORN), format!("MRG|{}~{}", vendor("V9"), mr(1))];
    send(&rig, &[adt("V", "A43", 1, &moved), hour_of_vendor("R2", "V9", 1, 12, 200)]).await;
    let status = settled(&rig).await;
    assert_eq!(value(&rig, 2), Some(150.0));
    assert!(
        condition(&status, "withdrawal-needed").is_some(),
        "what stands at patient 1 is not theirs: {status:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn linked_records_stay_apart() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    let two = [pid(&[mr(1)], BORN), pid(&[mr(2)], BORN)];
    send(&rig, &[hour_from("R1", 1, 0, 100), adt("L", "A24", 1, &two), hour_from("R2", 2, 12, 200)]).await;
    settled(&rig).await;
    assert_eq!((value(&rig, 1), value(&rig, 2)), (Some(100.0), Some(200.0)));
    let links = identity(&rig, &["links"]);
    assert_eq!(
        (links["links"][0]["kind"].as_str(), &links["links"][0]["undone"]),
        (Some("related"), &Value::Null)
    );
    send(&rig, &[adt("U", "A37", 2, &two)]).await;
    settled(&rig).await;
    assert!(identity(&rig, &["links"])["links"][0]["undone"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_binds_a_vendors_id_where_the_site_trusts_it_to() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started_with(dir.path(), "order_authorities = [\"DEXCOM\"]").await;
    let order = |id: &str, pid: &str| {
        let head = format!("MSH|^~\\&|ORD|NORTH|ISTHMUS|NORTH|20260401120000||ORM^O01|{id}|P|2.5.1\r");
        format!("{head}{pid}\rORC|NW|1\rOBR|1|1||CGM^Continuous glucose^L\r").into_bytes()
    };
    let bound = order("O1", &format!("PID|1||{}|{}|Quibblethorpe^Zebediah||{BORN}|M", mr(1), vendor("V9")));
    let untrusted = order("O2", &pid(&[mr(2), "X9^^^OTHER^PI".to_owned()], BORN));
    send(&rig, &[bound, untrusted]).await;
    // The registration says that 3 was born on another day than the order says.
    send(&rig, &[admitted("A3", 3, &[], "19800101"), order("O3", &pid(&[mr(3), vendor("V3")], BORN))]).await;
    send(&rig, &[hour_of_vendor("R1", "V9", 1, 0, 100)]).await;
    let foreign = people::altered(&hour_from("R2", 2, 0, 200), &mr(2), "X9^^^OTHER^PI");
    send(&rig, &[foreign, people::altered(&hour_of_vendor("R3", "V3", 3, 0, 300), BORN, "")]).await;
    waiting(&rig, 2).await;
    let status = settled(&rig).await;
    assert_eq!((value(&rig, 1), value(&rig, 2), value(&rig, 3)), (Some(100.0), None, None));
    assert_eq!(status["inbox"]["quarantined"], 1, "the order that contradicts");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_read_anew_when_a_later_registration_says_whose_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    send(&rig, &[hour_of_vendor("R1", "V9", 1, 0, 100), hour_of_vendor("R2", "V9", 1, 12, 200)]).await;
    send(&rig, &[admitted("A2", 2, &[], "19800101"), hour_from("R3", 2, 0, 300)]).await;
    waiting(&rig, 3).await;
    send(&rig, &[admitted("A1", 1, &[vendor("V9")], BORN)]).await;
    waiting(&rig, 1).await;
    eventually("the outcome of what had waited", || value(&rig, 1) == Some(150.0)).await;
    let corrected = adt("A3", "A08", 5, &[pid(&[mr(2)], BORN)]);
    send(&rig, &[corrected]).await;
    waiting(&rig, 0).await;
    eventually("the outcome after the correction", || value(&rig, 2) == Some(300.0)).await;
    assert!(identity(&rig, &["list"])["waiting"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_whom_the_ehr_says_was_born_on_another_day_is_not_written_until_that_is_put_right() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    rig.ehr.place("p1", patient(1, "1980-01-01"));
    rig.ehr.place("p2", patient(2, "1931-07-09"));
    for id in ["p3", "p3-twin"] {
        rig.ehr.place(id, patient(3, "1931-07-09"));
    }
    send(&rig, &[hour_from("R1", 1, 0, 100), hour_from("R2", 2, 0, 100), hour_from("R3", 3, 0, 100)]).await;
    let held = until(&rig, "two are held", |s| {
        let held = s["conditions"].as_array().into_iter().flatten();
        held.filter(|condition| condition["name"] == "patient-in-doubt").count() == 2
            && s["outbox"]["delivered"] == 1
    })
    .await;
    assert_eq!((value(&rig, 1), value(&rig, 2), value(&rig, 3)), (None, Some(100.0), None));
    assert!(!held["conditions"].to_string().contains("19"), "a date in {:#}", held["conditions"]);

    // The first is put right by the registration, the other at the EHR.
    send(&rig, &[admitted("A1", 1, &[], "19800101")]).await;
    let corrected = people::altered(&hour_from("R4", 1, 12, 200), BORN, "19800101");
    send(&rig, &[corrected]).await;
    let mut twin = patient(3, "1931-07-09");
    twin["link"] = json!([{ "type": "replaced-by", "other": { "reference": "Patient/p3" } }]);
    rig.ehr.place("p3-twin", twin);
    let status = settled(&rig).await;
    assert_eq!((value(&rig, 1), value(&rig, 3)), (Some(150.0), Some(100.0)), "{status:#}");
    assert!(condition(&status, "patient-in-doubt").is_none());

    // Whoever agreed once is not asked about again.
    let before = searches(&rig);
    send(&rig, &[hour_from("R5", 2, 12, 200), hour_from("R6", 3, 12, 200)]).await;
    settled(&rig).await;
    assert_eq!((value(&rig, 2), value(&rig, 3)), (Some(150.0), Some(150.0)));
    assert_eq!(searches(&rig), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_may_require_a_patient_at_the_ehr_or_not_ask_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = started_with(dir.path(), "verify_patient = \"required\"").await;
    rig.ehr.play(standin::Play::HidePatients);
    send(&rig, &[hour_from("R1", 1, 0, 100)]).await;
    until(&rig, "held", |s| condition(s, "patient-in-doubt").is_some()).await;
    rig.ehr.place("p1", patient(1, "1931-07-09"));
    assert_eq!(value(&rig, 1), None);
    rig.ehr.play(standin::Play::Accept);
    settled(&rig).await;
    assert_eq!(value(&rig, 1), Some(100.0));

    assert!(rig.stop().await.unwrap().success());
    edit_site(&rig, "\"required\"", "\"off\"");
    rig.start().await.unwrap();
    rig.ehr.place("p2", patient(2, "1980-01-01"));
    let before = searches(&rig);
    send(&rig, &[hour_from("R2", 2, 0, 200)]).await;
    settled(&rig).await;
    assert_eq!((value(&rig, 2), searches(&rig)), (Some(200.0), before));
}
