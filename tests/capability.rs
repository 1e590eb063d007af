//! What a site's file permits: shadow, the latest after a recovery, quotas, filters, and a hold by hand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use serde_json::Value;
use site::{
    RESOURCES_PER_OUTCOME,
    command::asked,
    daily, edit_site, eventually,
    people::{self, hour_of_march as hour},
    send, settled, until, with_delivery,
};
use standin::{
    Play,
    receiver::{Receiver, answer},
    rig::{Rig, RigSettings},
};

const FULL: &str = "mode = \"full\"\non_recovery = \"all\"";

fn mode(status: &Value) -> &str {
    status["sites"][0]["mode"].as_str().unwrap_or_default()
}

/// A site whose `[capability]` is this.
async fn with_capability(dir: &std::path::Path, lines: &str) -> Rig {
    let rig = site::prepare(dir, daily()).await;
    edit_site(&rig, FULL, lines);
    rig
}

/// The last included dates of what stands at the EHR for a patient.
fn dates(rig: &Rig, patient: u32) -> Vec<String> {
    let mrn = people::person(patient).mrn;
    let standing = site::chart::numbers(&rig.ehr).into_keys();
    let means = standing.filter(|[subject, code, ..]| *subject == mrn && code == site::chart::MEAN);
    means.map(|[.., end]| end).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_in_shadow_shows_what_it_would_write_and_writes_nothing_then_or_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = with_capability(dir.path(), "mode = \"shadow\"").await;
    rig.start().await.unwrap();
    send(&rig, &[hour("A", 0, 2), hour("A", 1, 2)]).await;
    let status = until(&rig, "both are shown", |s| s["outbox"]["shown"] == 2).await;
    assert_eq!((mode(&status), &status["outbox"]["deferred"]), ("shadow", &0.into()), "{status:#}");
    let shown = asked(&rig, &["queue", "list", "--state", "shown"]).await;
    let row = shown["rows"][0]["row"].to_string();
    let would_be = asked(&rig, &["queue", "show", &row]).await;
    assert_eq!(would_be["resources"].as_array().unwrap().len() as u64, RESOURCES_PER_OUTCOME, "{would_be:#}");
    let mrn = people::person(0).mrn;
    assert!(!would_be.to_string().contains(&mrn[..5]), "{would_be:#}");
    let revealed = asked(&rig, &["queue", "show", &row, "--reveal", "--reason", "rehearsal"]).await;
    assert!(revealed.to_string().contains(&mrn[..5]), "{revealed:#}");

    // It goes live: what was shown stays shown, what comes is written.
    edit_site(&rig, "mode = \"shadow\"", "mode = \"full\"");
    until(&rig, "live", |s| mode(s) == "full").await;
    send(&rig, &[hour("B", 0, 3)]).await;
    let status = settled(&rig).await;
    assert_eq!((&status["outbox"]["shown"], &status["outbox"]["delivered"]), (&2.into(), &1.into()));
    assert_eq!(rig.ehr.judge().creates, RESOURCES_PER_OUTCOME);
    assert_eq!(dates(&rig, 0), ["2026-03-03"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_recovery_each_patients_latest_window_is_written_and_what_stands_is_amended() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = with_capability(dir.path(), "mode = \"full\"").await;
    rig.start().await.unwrap();
    // Patient 0 has a window in the chart, which data that come late amend while the site refuses.
    send(&rig, &[hour("A", 0, 1)]).await;
    settled(&rig).await;
    rig.ehr.play(Play::RefuseWrites);
    let late = people::readings(people::day("2026-03-01"), 200, &[250; 6]);
    let late = people::message("LATE", &people::person(0), &late);
    send(&rig, &[hour("B", 0, 2), hour("B", 0, 3), hour("B", 1, 2), hour("B", 1, 4), hour("B", 2, 2), late])
        .await;
    // One of them may be out as a probe, and a probe leaves out what is stale.
    // All six are there, and none is out: one that is sent before a later window came would be taken.
    let rows = |s: &Value, state: &str| s["outbox"][state].as_u64().unwrap_or_default();
    let all_wait = |s: &Value| {
        mode(s) == "read-only"
            && s["inbox"]["windows_due"] == 0
            && (rows(s, "leased"), rows(s, "deferred") + rows(s, "superseded")) == (0, 6)
    };
    until(&rig, "read-only", all_wait).await;
    rig.ehr.play(Play::Accept);
    let status = settled(&rig).await;
    assert_eq!((mode(&status), &status["outbox"]["superseded"]), ("full", &2.into()), "{status:#}");
    assert_eq!(dates(&rig, 0), ["2026-03-01", "2026-03-03"]);
    assert_eq!((dates(&rig, 1), dates(&rig, 2)), (vec!["2026-03-04".into()], vec!["2026-03-02".into()]));
    let judgement = rig.ehr.judge();
    assert!(judgement.updates > 0, "the amendment of what stands went too: {judgement:?}");
    assert_eq!(judgement.doubled, 0, "{judgement:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_the_day_holds_over_a_restart_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = with_capability(dir.path(), FULL).await;
    with_delivery(&rig, "per_day = 3");
    rig.start().await.unwrap();
    send(&rig, &(0..5).map(|patient| hour("A", patient, 2)).collect::<Vec<_>>()).await;
    let three = |s: &Value| s["outbox"]["delivered"] == 3 && s["outbox"]["pending"] == 2;
    until(&rig, "three are written", three).await;
    assert!(rig.stop().await.unwrap().success());
    rig.start().await.unwrap();
    send(&rig, &[hour("B", 5, 2)]).await;
    until(&rig, "the sixth waits too", |s| s["outbox"]["pending"] == 3).await;
    assert_eq!(rig.ehr.judge().creates, 3 * RESOURCES_PER_OUTCOME);
    edit_site(&rig, "per_day = 3", "per_day = 100");
    let status = settled(&rig).await;
    assert_eq!(status["outbox"]["delivered"], 6, "{status:#}");
    assert_eq!((rig.ehr.judge().creates, rig.ehr.judge().doubled), (6 * RESOURCES_PER_OUTCOME, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_that_write_nothing_use_up_no_quota_and_a_used_up_one_says_until_when() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = with_capability(dir.path(), FULL).await;
    with_delivery(&rig, "per_day = 3\nretry_min = \"50ms\"\nretry_max = \"200ms\"");
    rig.start().await.unwrap();
    rig.ehr.stop();
    send(&rig, &(0..3).map(|patient| hour("A", patient, 2)).collect::<Vec<_>>()).await;
    let tried = "isthmus_delivery_attempts_total{destination=\"ehr:main\",verdict=\"unsent\"}";
    let deadline = std::time::Instant::now() + site::PATIENCE;
    while site::metric(&site::metrics(&rig).await, tried) < 6.0 {
        assert!(std::time::Instant::now() < deadline, "more tries than the quota has writes");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    rig.ehr.listen_again().await.unwrap();
    until(&rig, "all are written", |s| s["outbox"]["delivered"] == 3).await;
    send(&rig, &[hour("B", 4, 2)]).await;
    let status = until(&rig, "it is told", |s| site::condition(s, "quota-used-up").is_some()).await;
    let told = site::condition(&status, "quota-used-up").unwrap()["detail"].as_str().unwrap().to_owned();
    let midnight = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).tomorrow().unwrap();
    let midnight = midnight.start_of_day().unwrap().timestamp().to_string();
    assert!(told.contains("per_day = 3") && told.contains(&midnight), "{told}");
    assert_eq!(rig.ehr.judge().creates, 3 * RESOURCES_PER_OUTCOME);
    edit_site(&rig, "per_day = 3", "per_day = 4");
    let status = settled(&rig).await;
    assert!(site::condition(&status, "quota-used-up").is_none(), "{status:#}");
    assert_eq!((rig.ehr.judge().creates, rig.ehr.judge().doubled), (4 * RESOURCES_PER_OUTCOME, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_in_quiet_hours_and_everything_after_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = with_capability(dir.path(), FULL).await;
    // All day but a minute that has just passed.
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let at = |minutes: i64| (now.clone() + jiff::Span::new().minutes(minutes)).strftime("%H:%M").to_string();
    let quiet = format!("quiet_hours = [\"{}-{}\"]", at(-1), at(-2));
    with_delivery(&rig, &quiet);
    rig.start().await.unwrap();
    send(&rig, &[hour("A", 0, 2), hour("A", 1, 2)]).await;
    until(&rig, "both wait", |s| s["outbox"]["pending"] == 2).await;
    let looked = site::metrics(&rig).await;
    assert!(!looked.contains("isthmus_delivery_attempts_total{"), "nothing was tried");
    edit_site(&rig, &quiet, "");
    settled(&rig).await;
    assert_eq!(rig.ehr.judge().creates, 2 * RESOURCES_PER_OUTCOME);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_leaves_out_what_its_feed_facility_and_patient_say() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = with_capability(dir.path(), FULL).await;
    let (kept, left_out) = (people::person(0).mrn, people::person(1).mrn);
    site::append_site(
        &rig,
        &format!(
            "[filter.include]\nfeeds = [\"engine\"]\n[filter.exclude]\npatients = [\"urn:oid:1.2.3|{left_out}\"]\n"
        ),
    );
    rig.start().await.unwrap();
    send(&rig, &[hour("A", 0, 2), hour("A", 1, 2)]).await;
    settled(&rig).await;
    eventually("one is written", || rig.ehr.judge().creates == RESOURCES_PER_OUTCOME).await;
    assert_eq!((dates(&rig, 0).len(), dates(&rig, 1).len()), (1, 0), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_both_lists_of_a_filter_name_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = with_capability(dir.path(), FULL).await;
    let both = "[filter.include]\nfeeds = [\"engine\"]\n[filter.exclude]\nfeeds = [\"engine\"]\n";
    site::append_site(&rig, both);
    rig.start().await.unwrap();
    send(&rig, &[hour("A", 0, 2)]).await;
    let suppressed = "isthmus_broker_decisions_total{destination=\"ehr:main\",decision=\"suppress\"}";
    site::until_metric(&rig, suppressed, 1.0).await;
    settled(&rig).await;
    assert_eq!(rig.ehr.judge().creates, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_written_with_its_late_amendment_also_where_history_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = with_capability(dir.path(), "mode = \"read-only\"\non_recovery = \"all\"").await;
    rig.start().await.unwrap();
    send(&rig, &[hour("A", 0, 2)]).await;
    until(&rig, "it waits", |s| s["outbox"]["deferred"] == 1).await;
    // The window ended long ago. What is first to be written now would be history, and is not taken.
    edit_site(&rig, "mode = \"read-only\"", "mode = \"read-only\"\nbulk = false");
    until(&rig, "it is in force", |s| s["configuration"]["generation"] == 2).await;
    let late = people::message(
        "LATE",
        &people::person(0),
        &people::readings(people::day("2026-03-02"), 40, &[240; 12]),
    );
    send(&rig, &[late, hour("B", 1, 2)]).await;
    let replaced = |s: &Value| s["outbox"]["superseded"] == 1 && s["inbox"]["windows_due"] == 0;
    until(&rig, "the amendment waits in its place", replaced).await;
    edit_site(&rig, "mode = \"read-only\"", "mode = \"full\"");
    eventually("it is written", || rig.ehr.judge().creates == RESOURCES_PER_OUTCOME).await;
    settled(&rig).await;
    assert_eq!((dates(&rig, 0).len(), dates(&rig, 1).len()), (1, 0));
    assert_eq!(rig.ehr.judge().creates, RESOURCES_PER_OUTCOME);
}

/// Runs the binary beside the daemon; what it printed as JSON.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_holds_waits_over_a_restart_until_a_person_releases_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = with_capability(dir.path(), FULL).await;
    rig.start().await.unwrap();
    let held = asked(&rig, &["site", "hold", "main", "--reason", "upgrade of the EHR"]).await;
    assert_eq!(held["capabilities"], serde_json::json!(["Observation/laboratory"]));
    send(&rig, &[hour("A", 0, 2), hour("A", 1, 2)]).await;
    let status = until(&rig, "both wait", |s| s["outbox"]["deferred"] == 2).await;
    assert!(site::condition(&status, "read-only").is_some(), "{status:#}");
    assert!(rig.stop().await.unwrap().success());
    rig.start().await.unwrap();
    let status = until(&rig, "still held", |s| s["sites"][0]["capabilities"][0]["observed"] == "held").await;
    assert_eq!((mode(&status), &status["outbox"]["deferred"]), ("read-only", &2.into()), "{status:#}");
    // A hold is not probed: the EHR would have taken it all the time.
    assert_eq!(rig.ehr.judge().creates, 0);

    asked(&rig, &["site", "release", "main", "--reason", "done"]).await;
    let status = settled(&rig).await;
    assert_eq!((mode(&status), rig.ehr.judge().creates), ("full", 2 * RESOURCES_PER_OUTCOME), "{status:#}");
    assert!(site::condition(&status, "read-only").is_none(), "{status:#}");
    let shown = asked(&rig, &["site", "show", "main"]).await;
    let settings = shown.as_array().unwrap();
    let of = |key: &str| settings.iter().find(|one| one["key"] == key).unwrap_or_else(|| panic!("no {key}"));
    assert_eq!((&of("mode")["value"], &of("bulk")["from"]), (&"full".into(), &"default".into()));
    assert!(of("mode")["from"].as_str().unwrap().starts_with("main.toml:"), "{shown:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ehr_that_refuses_one_category_gets_what_it_takes_in_the_next_form() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = with_capability(
        dir.path(),
        "mode = \"partial\"\nallow = [\"Observation/laboratory\", \"Provenance\"]",
    )
    .await;
    edit_site(&rig, "projection = \"cgm-ig\"\n", "");
    site::append_site(
        &rig,
        "[[projection]]\nname = \"plain-r4\"\ncategory = \"vital-signs\"\n[[projection]]\nname = \"cgm-ig\"\n",
    );
    rig.start().await.unwrap();
    send(&rig, &[hour("A", 0, 2)]).await;
    let status = settled(&rig).await;
    assert_eq!(mode(&status), "partial", "{status:#}");
    assert_eq!(rig.ehr.judge().creates, RESOURCES_PER_OUTCOME, "in the transaction of the second form");
    let line = site::metrics(&rig).await;
    assert!(
        line.contains("isthmus_broker_decisions_total{destination=\"ehr:main\",decision=\"fallback\"} 1"),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_travels_alone_arrives_whole_once_and_is_amended_where_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = with_capability(dir.path(), FULL).await;
    edit_site(&rig, "projection = \"cgm-ig\"\n", "projection = \"plain-r4\"\n");
    rig.start().await.unwrap();
    // The first answer is lost after the effect: it is found by our identifier and not sent again.
    rig.ehr.play_next(Play::ResetAfterBody, 1);
    send(&rig, &[hour("A", 0, 2), hour("A", 1, 2)]).await;
    let status = settled(&rig).await;
    let judgement = rig.ehr.judge();
    let quarantined = asked(&rig, &["quarantine", "list"]).await;
    let told = format!("{judgement:?} {status:#} {quarantined:#}");
    assert_eq!((judgement.creates, judgement.doubled), (2 * RESOURCES_PER_OUTCOME, 0), "{told}");
    let panels = rig.ehr.resources();
    let panel = panels.iter().find(|one| one["hasMember"].is_array()).unwrap();
    let members = panel["hasMember"].as_array().unwrap();
    assert!(
        members.iter().all(|one| one["reference"].as_str().unwrap().starts_with("Observation/")),
        "{panel:#}"
    );
    let late = people::readings(people::day("2026-03-02"), 200, &[250; 6]);
    send(&rig, &[people::message("LATE", &people::person(0), &late)]).await;
    settled(&rig).await;
    let amended = rig.ehr.judge();
    // A Provenance of its own, and updates of what changed.
    assert_eq!((amended.creates, amended.doubled), (2 * RESOURCES_PER_OUTCOME + 1, 0), "{amended:?}");
    assert!(amended.updates > 0, "{amended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_batch_each_entry_is_judged_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = with_capability(dir.path(), "mode = \"read-only\"").await;
    edit_site(&rig, "projection = \"cgm-ig\"\n", "projection = \"plain-r4\"\n");
    with_delivery(&rig, "batch = 10");
    rig.start().await.unwrap();
    send(&rig, &(0..10).map(|patient| hour("A", patient, 2)).collect::<Vec<_>>()).await;
    until(&rig, "all wait", |s| s["outbox"]["deferred"] == 10 * RESOURCES_PER_OUTCOME).await;
    // One patient's first resource is refused for its own sake, in the batch of all ten.
    let mrn = people::person(3).mrn;
    rig.ehr.rule(
        standin::Rule::new("one item", standin::Act::Refuse(standin::Refused::new(422, "business-rule")))
            .of_patient(&mrn)
            .times(1),
    );
    edit_site(&rig, "mode = \"read-only\"", "mode = \"full\"\non_recovery = \"all\"");
    let status = settled(&rig).await;
    let (outbox, judgement) = (&status["outbox"], rig.ehr.judge());
    assert_eq!(outbox["quarantined"], 1, "{outbox:#}");
    assert_eq!((judgement.creates, judgement.doubled), (10 * RESOURCES_PER_OUTCOME - 1, 0), "{judgement:?}");
    let requests = site::chart::writes(&rig.ehr).len();
    assert!(requests < 40, "{requests} requests for 80 writes");
}

const MESSAGES: &str = "[[projection]]\nname = \"oru-r01\"\noutbound = \"results\"\nwindow = \"1d\"\nauthority = \"NORTH\"\n\
                        identifier_type = \"MR\"\n";

/// How many rows of the receiver's queue are in this state for this reason.
async fn waiting(rig: &Rig, state: &str, reason: Option<&str>) -> usize {
    let told = asked(rig, &["queue", "list", "--state", state, "--destination", "mllp:results"]).await;
    let rows = told["rows"].as_array().unwrap();
    rows.iter().filter(|row| row["reason"].as_str() == reason).count()
}

async fn until_waiting(rig: &Rig, state: &str, reason: Option<&str>, wanted: usize) {
    let deadline = std::time::Instant::now() + site::PATIENCE;
    while waiting(rig, state, reason).await != wanted {
        assert!(std::time::Instant::now() < deadline, "never {wanted} {state} for {reason:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// A site whose results go as messages alone, to a receiver that is down, and one result that waits there.
async fn with_a_message_that_waits(dir: &std::path::Path) -> (Rig, Receiver) {
    let mut receiver = Receiver::start(|heard| vec![answer("AA", &heard.control_id)]).await.unwrap();
    let outbound = format!(
        "[[outbound]]\nname = \"results\"\naddress = \"{}\"\nplain = true\nretry_min = \"50ms\"\n\
         retry_max = \"200ms\"\n",
        receiver.address()
    );
    receiver.stop().await;
    let settings = RigSettings { main_extra: outbound, site_extra: MESSAGES.to_owned(), ..daily() };
    let mut rig = site::prepare(dir, settings).await;
    edit_site(&rig, "projection = \"cgm-ig\"\n", "");
    rig.start().await.unwrap();
    send(&rig, &[hour("A", 0, 2)]).await;
    until_waiting(&rig, "pending", None, 1).await;
    (rig, receiver)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_waits_for_its_receiver_stays_when_its_form_leaves_the_file_and_goes_once_when_it_is_back()
 {
    // The form is taken out, and no other is open that it could go in.
    for closed in ["mode = \"read-only\"", "mode = \"shadow\""] {
        let dir = tempfile::tempdir().unwrap();
        let (mut rig, mut receiver) = with_a_message_that_waits(dir.path()).await;
        let lines = std::fs::read_to_string(rig.dir().join("sites.d/main.toml")).unwrap();
        let without = lines.replace(MESSAGES, "[[projection]]\nname = \"cgm-ig\"\n").replace(FULL, closed);
        rig.write("sites.d/main.toml", &without).unwrap();
        until_waiting(&rig, "deferred", Some("form-not-listed"), 1).await;
        receiver.listen(false).await.unwrap();
        // Over a restart too, which has everything looked at anew.
        assert!(rig.stop().await.unwrap().success());
        rig.start().await.unwrap();
        until_waiting(&rig, "deferred", Some("form-not-listed"), 1).await;
        assert!(receiver.log().is_empty(), "nobody was even called: {:?}", receiver.log());

        edit_site(&rig, "[[projection]]\nname = \"cgm-ig\"\n", MESSAGES);
        until_waiting(&rig, "deferred", Some("configured-read-only"), 1).await;
        assert!(receiver.log().is_empty(), "such a site writes nothing");
        edit_site(&rig, closed, FULL);
        until_waiting(&rig, "delivered", None, 1).await;
        assert_eq!(receiver.messages().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_site_that_was_removed_waits() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, mut receiver) = with_a_message_that_waits(dir.path()).await;
    // The box's own site has to be there; the EHR behind it is gone.
    let site = std::fs::read_to_string(rig.dir().join("sites.d/main.toml")).unwrap();
    let ehr = site.find("[ehr]").unwrap()..site.find("[capability]").unwrap();
    let forms = site.find("[[projection]]").unwrap()..;
    rig.write("sites.d/main.toml", &[&site[..ehr.start], &site[ehr.end..forms.start]].concat()).unwrap();
    until_waiting(&rig, "deferred", Some("form-not-listed"), 1).await;
    receiver.listen(false).await.unwrap();
    rig.write("sites.d/main.toml", &site).unwrap();
    until_waiting(&rig, "delivered", None, 1).await;
    assert_eq!(receiver.messages().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_by_hand_holds_the_messages_at_the_receiver_too() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, mut receiver) = with_a_message_that_waits(dir.path()).await;
    let held = asked(&rig, &["site", "hold", "main", "--reason", "upgrade"]).await;
    assert_eq!(held["capabilities"], serde_json::json!(["message"]));
    // In the transaction of the hold, unless it is being tried at that moment: then as soon as it comes back.
    until_waiting(&rig, "deferred", Some("held-by-hand"), 1).await;
    receiver.listen(false).await.unwrap();
    send(&rig, &[hour("B", 1, 2)]).await;
    until_waiting(&rig, "deferred", Some("held-by-hand"), 2).await;
    assert!(receiver.log().is_empty(), "{:?}", receiver.log());
    asked(&rig, &["site", "release", "main", "--reason", "done"]).await;
    until_waiting(&rig, "delivered", None, 2).await;
    assert_eq!(receiver.messages().len(), 2);
}
