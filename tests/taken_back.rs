//! A published window of which no reading is left: what stands of it is marked as entered in error by the box itself, once,
//! after what is under way, with a Provenance; readings that come back amend it; what cannot be marked stays with people.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{path::Path, process::Command, time::Duration};

use serde_json::Value;
use site::{
    chart, condition, daily, edit_site, eventually, people, send, settled, until,
    vendors::{self, DAY},
};
use standin::{
    Act, Conduct, Persona, Rule, What,
    rig::{Rig, RigSettings},
};

/// Observations of an outcome.
const OBSERVATIONS: usize = 7;

async fn started(dir: &Path, form: &str) -> Rig {
    let persona = if form == "cgm-ig" { Persona::CgmIg } else { Persona::Plain };
    let settings = RigSettings { projection: form.to_owned(), conduct: Conduct::of(persona), ..daily() };
    let mut rig = site::prepare(dir, settings).await;
    site::with_delivery(&rig, "timeout = \"2s\"\nretry_min = \"50ms\"\nretry_max = \"200ms\"");
    rig.start().await.unwrap();
    rig
}

/// The hour of patient 1 that `HOUR` told of, told once more with this status (OBX-11).
fn told_again(control_id: &str, value: u32, status: char) -> Vec<u8> {
    let message = people::hour(control_id, 1, DAY, value);
    let message = people::altered(&message, &format!("{control_id}^CGMHUB"), "HOUR^CGMHUB");
    people::altered(&message, "|||||F|", &format!("|||||{status}|"))
}

fn hour() -> Vec<u8> {
    people::hour("HOUR", 1, DAY, 120)
}

fn observations(rig: &Rig) -> Vec<Value> {
    vendors::standing(rig, "Observation")
}

fn marked(rig: &Rig) -> usize {
    observations(rig).iter().filter(|it| it["status"] == "entered-in-error").count()
}

/// What says that something was taken back.
fn nullified(rig: &Rig) -> Vec<Value> {
    let all = vendors::standing(rig, "Provenance").into_iter();
    all.filter(|it| it["activity"]["coding"][0]["code"] == "NULLIFY").collect()
}

/// Waits until nobody is asked to withdraw anything, and nothing is left to do.
async fn done(rig: &Rig) -> Value {
    until(rig, "nobody is asked", |s| {
        condition(s, "withdrawal-needed").is_none()
            && s["inbox"]["pending"] == 0
            && s["inbox"]["windows_due"] == 0
    })
    .await;
    settled(rig).await
}

fn assert_marked_once(rig: &Rig, version: &str, told: &str) {
    let all = observations(rig);
    assert_eq!((marked(rig), all.len()), (OBSERVATIONS, OBSERVATIONS), "{told}");
    assert!(all.iter().all(|it| it["meta"]["versionId"] == version), "{told}: {all:#?}");
    let said = nullified(rig);
    assert_eq!(said.len(), 1, "{told}: {said:#?}");
    assert_eq!(said[0]["target"].as_array().unwrap().len(), OBSERVATIONS, "{told}");
    let agents = said[0]["agent"].as_array().unwrap();
    assert_eq!((agents.len(), &agents[0]["who"]["type"]), (1, &"Device".into()), "{told}: nobody said so");
    assert_eq!(rig.ehr.judge().doubled, 0, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_source_took_back_is_marked_once_and_what_comes_back_amends_it() {
    for form in ["cgm-ig", "plain-r4"] {
        let dir = tempfile::tempdir().unwrap();
        let mut rig = started(dir.path(), form).await;
        send(&rig, &[hour()]).await;
        settled(&rig).await;
        let places =
            |rig: &Rig| -> Vec<Value> { observations(rig).iter().map(|it| it["id"].clone()).collect() };
        let stood = places(&rig);
        send(&rig, &[told_again("BACK", 120, 'D')]).await;
        done(&rig).await;
        assert_marked_once(&rig, "2", form);
        assert_eq!(places(&rig), stood, "{form}");

        // Neither a restart nor the same retraction again writes anything.
        let writes = chart::writes(&rig.ehr).len();
        rig.kill();
        rig.start().await.unwrap();
        send(&rig, &[told_again("BACK2", 120, 'D')]).await;
        done(&rig).await;
        assert_eq!(chart::writes(&rig.ehr).len(), writes, "{form}");

        // Its source tells it anew: another order, with another value.
        send(&rig, &[people::hour("ANEW", 1, DAY, 150)]).await;
        settled(&rig).await;
        let mean = chart::mean(&rig.ehr, &people::person(1).mrn, DAY).unwrap();
        assert_eq!((mean.value, mean.version), (150.0, 3), "{form}");
        assert!(["amended", "corrected"].contains(&mean.status.as_str()), "{form}: {}", mean.status);
        assert_eq!((marked(&rig), places(&rig)), (0, stood), "{form}");

        // And takes that back too.
        let again = people::altered(&people::hour("GONE", 1, DAY, 150), "GONE^CGMHUB", "ANEW^CGMHUB");
        send(&rig, &[people::altered(&again, "|||||F|", "|||||D|")]).await;
        done(&rig).await;
        assert_eq!((marked(&rig), nullified(&rig).len()), (OBSERVATIONS, 2), "{form}");
        assert_eq!(rig.ehr.judge().doubled, 0, "{form}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_marked_after_what_is_under_way_and_once_though_the_daemon_is_killed() {
    for form in ["cgm-ig", "plain-r4"] {
        let dir = tempfile::tempdir().unwrap();
        let mut rig = started(dir.path(), form).await;
        // The first write has its effect at once and its answer late.
        rig.ehr.rule(Rule::new("slow", Act::Slow(Duration::from_millis(1_500))).on(What::Writes).times(1));
        send(&rig, &[hour()]).await;
        eventually("it is under way", || !observations(&rig).is_empty()).await;
        send(&rig, &[told_again("BACK", 120, 'D')]).await;
        rig.ehr.rule(Rule::new("lost", Act::ResetAfterBody).on(What::Updates).times(1));
        eventually("marking began", || marked(&rig) > 0).await;
        rig.kill();
        rig.start().await.unwrap();
        done(&rig).await;
        let all = observations(&rig);
        assert_eq!((marked(&rig), nullified(&rig).len()), (all.len(), 1), "{form}: {all:#?}");
        assert!(all.iter().all(|it| it["meta"]["versionId"] == "2"), "{form}: {all:#?}");
        assert_eq!(rig.ehr.judge().doubled, 0, "{form}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_site_that_takes_no_writes_it_waits_and_is_given_up_when_the_readings_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path(), "plain-r4").await;
    send(&rig, &[hour()]).await;
    settled(&rig).await;
    edit_site(&rig, "mode = \"full\"", "mode = \"read-only\"");
    until(&rig, "closed", |s| s["sites"][0]["mode"] == "read-only").await;
    send(&rig, &[told_again("BACK", 120, 'D')]).await;
    // The condition is told anew once the marking is queued.
    let is_told = |s: &Value| {
        let detail = condition(s, "withdrawal-needed").map(|it| it["detail"].to_string());
        detail.is_some_and(|detail| detail.contains("is being marked"))
    };
    let status = until(&rig, "the marking waits", |s| {
        s["outbox"]["deferred"] == OBSERVATIONS as u64 + 1 && is_told(s)
    })
    .await;
    let detail = condition(&status, "withdrawal-needed").unwrap()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("is being marked as entered in error (intent 1)"), "{detail}");
    send(&rig, &[people::hour("ANEW", 1, DAY, 150)]).await;
    until(&rig, "the version waits", |s| {
        condition(s, "withdrawal-needed").is_none() && s["outbox"]["superseded"] == OBSERVATIONS as u64 + 1
    })
    .await;
    assert_eq!(marked(&rig), 0);
    edit_site(&rig, "mode = \"read-only\"", "mode = \"full\"");
    until(&rig, "open", |s| s["sites"][0]["mode"] == "full").await;
    settled(&rig).await;
    let mean = chart::mean(&rig.ehr, &people::person(1).mrn, DAY).unwrap();
    assert_eq!((mean.value, mean.version, nullified(&rig).len()), (150.0, 2, 0), "it was never marked");
    let output = Command::new(site::binary())
        .args(["intent", "list", "--json", "--config"])
        .arg(rig.config())
        .output()
        .unwrap();
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let intent = &listed["intents"][0];
    assert_eq!(intent["own"], true, "{listed:#}");
    assert_eq!((&intent["kind"], &intent["state"]), (&"withdraw".into(), &"withdrawn".into()), "{listed:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_undone_merge_takes_from_a_patient_is_marked_there_and_written_for_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path(), "cgm-ig").await;
    let mr = |n: u32| format!("{}^^^NORTH^MR", people::person(n).mrn);
    let merge = format!(
        "MSH|^~\\&|ADT|NORTH|ISTHMUS|NORTH|20260401120001||ADT^A40|M1|P|2.5.1\rEVN|A40|20260401120001\r\
         PID|1||{}||Q^Z||19310709|M\rMRG|{}\r",
        mr(2),
        mr(1)
    );
    send(&rig, &[merge.into_bytes(), hour()]).await;
    settled(&rig).await;
    let of = |n: u32| -> Vec<Value> {
        let mrn = people::person(n).mrn;
        let all = observations(&rig).into_iter();
        all.filter(|it| it["subject"]["identifier"]["value"] == mrn.as_str()).collect()
    };
    assert_eq!((of(1).len(), of(2).len()), (0, OBSERVATIONS));
    let unmerge = Command::new(site::binary())
        .args(["identity", "unmerge", "1", "--config"])
        .arg(rig.config())
        .output()
        .unwrap();
    assert!(unmerge.status.success(), "{}", String::from_utf8_lossy(&unmerge.stderr));
    eventually("the other has it", || of(1).len() == OBSERVATIONS).await;
    done(&rig).await;
    assert!(of(1).iter().all(|it| it["status"] == "final"));
    assert!(of(2).iter().all(|it| it["status"] == "entered-in-error"), "{:#?}", of(2));
    assert_eq!((nullified(&rig).len(), rig.ehr.judge().doubled), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_form_cannot_mark_stays_with_people_who_are_told_where() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = vendors::prepared(
        dir.path(),
        vendors::conduct(Persona::Epic, 2),
        "lookup",
        "[[projection]]\nname = \"epic-note\"\n",
        "",
    )
    .await;
    rig.start().await.unwrap();
    send(&rig, &[hour()]).await;
    settled(&rig).await;
    let writes = chart::writes(&rig.ehr).len();
    send(&rig, &[told_again("BACK", 120, 'D')]).await;
    let status = until(&rig, "people are told where", |s| {
        condition(s, "withdrawal-needed")
            .is_some_and(|it| it["detail"].to_string().contains("ehr:main cannot be marked"))
    })
    .await;
    assert_eq!(status["intents"]["queued"], 0, "{status:#}");
    assert_eq!(chart::writes(&rig.ehr).len(), writes);
}
