//! Bundles of configuration from the fleet: only signed ones, only what may be in them, only when the site says, and back again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{fs, path::Path};

use serde_json::{Value, json};
use site::{command, condition, daily, eventually, people, prepare, send, settled, until};
use standin::{
    fleet::{Fleet, Signer},
    rig::Rig,
};

/// A box that checks in every second and takes bundles so.
async fn box_of(dir: &Path, rule: &str) -> (Rig, Fleet, Signer) {
    let rig = prepare(dir, daily()).await;
    let fleet = Fleet::start(rig.pki()).await.unwrap();
    let signer = Signer::new().unwrap();
    rig.write("fleet.pub", &signer.public_pem()).unwrap();
    let section = format!(
        "[fleet]\nurl = \"{}\"\nevery = \"1s\"\n\
         tls = {{ ca = \"./ca.pem\", cert = \"./client.pem\", key = \"./client.key\" }}\n\
         bundle_keys = [\"fleet.pub\"]\n{rule}\n",
        fleet.url()
    );
    rig.write("isthmus.toml", &(rig.main_file() + &section)).unwrap();
    (rig, fleet, signer)
}

fn read_only(version: u64) -> Value {
    json!({"form": "isthmus-bundle/1", "version": version, "note": "main writes nothing for now",
        "sites": {"main": {"mode": "read-only"}}})
}

fn mode(status: &Value) -> &str {
    status["sites"][0]["mode"].as_str().unwrap_or_default()
}

fn bundles(rig: &Rig) -> Value {
    command::json(rig, &["fleet", "bundles"])["bundles"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_waits_for_a_person_is_put_in_place_outlives_a_restart_and_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, fleet, signer) = box_of(dir.path(), "bundles = \"manual\"").await;
    rig.start().await.unwrap();
    fleet.offer(7, signer.sign(&read_only(7)));
    let status = until(&rig, "it waits", |status| condition(status, "bundle-waiting").is_some()).await;
    assert_eq!(mode(&status), "full", "nothing is changed by itself");
    assert_eq!(bundles(&rig)["offered"]["narrows"], json!(["main"]));
    assert!(command::refused(&rig, &["fleet", "apply", "8", "--reason", "r"]).contains("does not wait"));

    command::ask(&rig, &["fleet", "apply", "7", "--reason", "change 4711"]);
    until(&rig, "it is in force", |status| mode(status) == "read-only").await;
    send(&rig, &[people::hour("A", 0, "2026-03-02", 120)]).await;
    until(&rig, "what is computed waits", |status| status["outbox"]["deferred"] == 1).await;
    assert!(rig.stop().await.unwrap().success());
    rig.start().await.unwrap();
    assert_eq!(mode(&rig.status().await.unwrap()), "read-only");
    assert_eq!(fleet.fetches(), 1, "what is known is not fetched again");
    eventually("upstream hears of it", || {
        fleet.latest().is_some_and(|(told, _)| told["bundles"]["in_place"] == 7)
    })
    .await;

    command::ask(&rig, &["fleet", "rollback", "--reason", "change 4711 is taken back"]);
    until(&rig, "it is back", |status| mode(status) == "full").await;
    settled(&rig).await;
    assert!(rig.ehr.judge().creates > 0, "nothing was lost");
    // It is not taken again, although it is still offered.
    let (_, count) = fleet.latest().unwrap();
    eventually("more check-ins", || fleet.latest().unwrap().1 > count + 2).await;
    let all = bundles(&rig);
    assert!(all["in_place"].is_null() && all["offered"].is_null(), "{all:#}");
    assert_eq!((fleet.fetches(), &all["refused"][0]["version"]), (1, &json!(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_upstream_does_not_serve_yet_is_asked_for_by_what_was_seen_and_taken_once_it_is_there()
{
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, fleet, signer) = box_of(dir.path(), "bundles = \"manual\"").await;
    rig.start().await.unwrap();
    let first = signer.sign(&read_only(3));
    fleet.offer(3, first.clone());
    until(&rig, "it waits", |status| condition(status, "bundle-waiting").is_some()).await;
    assert_eq!((fleet.fetches(), fleet.unchanged()), (1, 0));
    // The next one is offered, and this server has the one before still.
    fleet.serve(Some(first));
    fleet.offer(4, signer.sign(&read_only(4)));
    eventually("it is asked for", || fleet.unchanged() > 1).await;
    let all = bundles(&rig);
    assert_eq!((&all["offered"]["version"], &all["refused"]), (&json!(3), &json!([])), "{all:#}");
    assert_eq!(fleet.fetches(), 1, "no bytes came twice");
    fleet.serve(None);
    eventually("it is there", || bundles(&rig)["offered"]["version"] == 4).await;
    assert_eq!(fleet.fetches(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_by_a_trusted_key_not_for_this_box_not_newer_or_faulty_is_refused_and_changes_nothing()
 {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, fleet, signer) = box_of(dir.path(), "bundles = \"manual\"").await;
    rig.start().await.unwrap();
    let stranger = Signer::new().unwrap();
    let with = |version: u64, more: Value| {
        let mut content = json!({"form": "isthmus-bundle/1", "version": version});
        content.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        content
    };
    let before = rig.status().await.unwrap()["configuration"]["sha256"].clone();
    for (version, signed, why) in [
        (1, stranger.sign(&read_only(1)), "none of the keys"),
        (2, signer.sign(&with(2, json!({"boxes": ["box-000000000000"]}))), "for other boxes"),
        (
            3,
            signer.sign(&with(3, json!({"sites": {"main": {"ehr": {"base_url": "https://x.example"}}}}))),
            "may not hold",
        ),
        (4, signer.sign(&with(4, json!({"mllp": []}))), "may not hold"),
        (
            5,
            signer.sign(&with(5, json!({"sites": {"elsewhere": {"mode": "read-only"}}}))),
            "a site that is not here",
        ),
        (
            6,
            signer.sign(&with(6, json!({"policies": {"fleet-x": "id = \"fleet-x\"\nnonsense = 1\n"}}))),
            "faulty",
        ),
        (7, b"{}".to_vec(), "no signed bundle"),
        (0, signer.sign(&with(0, json!({}))), "does not follow"),
    ] {
        fleet.offer(version, signed);
        eventually("it is refused", || {
            let all = bundles(&rig);
            let last = all["refused"].as_array().unwrap().last().cloned().unwrap_or_default();
            last["version"] == version && last["why"].as_str().is_some_and(|told| told.contains(why))
        })
        .await;
    }
    let status = rig.status().await.unwrap();
    assert_eq!(status["configuration"]["sha256"], before);
    assert!(condition(&status, "bundle-refused").is_some(), "{status:#}");
    assert!(!dir.path().join("data/fleet/bundle.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_change_window_it_is_put_in_place_by_itself_and_put_back_where_something_gets_worse() {
    let dir = tempfile::tempdir().unwrap();
    // Open all day: two halves of it.
    let rule =
        "bundles = \"window\"\nchange_window = [\"00:00-12:00\", \"12:00-00:00\"]\nbundle_trial = \"1h\"";
    let (mut rig, fleet, signer) = box_of(dir.path(), rule).await;
    rig.start().await.unwrap();
    let policies = json!({"form": "isthmus-bundle/1", "version": 1,
        "settings": {"holidays": ["2026-12-25"]}});
    fleet.offer(1, signer.sign(&policies));
    eventually("it is in place", || bundles(&rig)["in_place"]["version"] == 1).await;
    assert!(bundles(&rig)["trial_until"].is_string());
    // A change of the local files goes wrong while it is on trial: that is told by a watched condition.
    let text = fs::read_to_string(rig.config()).unwrap();
    rig.write("isthmus.toml", &format!("{text}\nnonsense = 1\n")).unwrap();
    eventually("it is put back", || bundles(&rig)["in_place"].is_null()).await;
    let status = rig.status().await.unwrap();
    let told = condition(&status, "bundle-refused").unwrap()["detail"].as_str().unwrap();
    assert!(told.contains("config-rejected"), "{told}");
    rig.write("isthmus.toml", &text).unwrap();
    until(&rig, "the files are good again", |status| condition(status, "config-rejected").is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_changed_on_disk_is_left_out_at_the_start_and_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, fleet, signer) = box_of(dir.path(), "bundles = \"manual\"").await;
    rig.start().await.unwrap();
    fleet.offer(1, signer.sign(&read_only(1)));
    eventually("it waits", || bundles(&rig)["offered"]["version"] == 1).await;
    command::ask(&rig, &["fleet", "apply", "1", "--reason", "r"]);
    until(&rig, "it is in force", |status| mode(status) == "read-only").await;
    assert!(rig.stop().await.unwrap().success());
    fs::write(dir.path().join("data/fleet/bundle.json"), b"{}").unwrap();
    let told = command::isthmus(&rig, &["check"]);
    assert_eq!(told.status.code(), Some(78), "{}", command::said(&told));
    assert!(command::said(&told).contains(" fleet rollback --reason"), "{}", command::said(&told));
    rig.start().await.unwrap();
    assert_eq!(mode(&rig.status().await.unwrap()), "full", "the local files hold");
    let log = fs::read_to_string(rig.log_file()).unwrap();
    assert!(log.contains("the bundle in place is left out"), "{log}");
    command::ask(&rig, &["fleet", "rollback", "--reason", "its file was changed"]);
    assert!(!dir.path().join("data/fleet/bundle.json").exists());
}
