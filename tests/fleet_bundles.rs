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
        (8, signer.sign(&with(8, json!({"not_after": "2020-01-01T00:00:00Z"}))), "not_after"),
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
async fn an_older_one_does_not_take_the_place_of_the_one_that_waits() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, fleet, signer) = box_of(dir.path(), "bundles = \"manual\"").await;
    rig.start().await.unwrap();
    fleet.offer(8, signer.sign(&read_only(8)));
    eventually("it waits", || bundles(&rig)["offered"]["version"] == 8).await;
    // Signed once, and good then: who has upstream without the key can offer it still.
    fleet.offer(7, signer.sign(&json!({"form": "isthmus-bundle/1", "version": 7})));
    eventually("it is refused", || {
        bundles(&rig)["refused"][0]["why"].as_str().is_some_and(|why| why.contains("8, which waits"))
    })
    .await;
    assert_eq!(bundles(&rig)["offered"]["version"], 8);
    command::ask(&rig, &["fleet", "apply", "8", "--reason", "r"]);
    until(&rig, "it is in force", |status| mode(status) == "read-only").await;
}

/// A box with bundle 5 in force, which keeps `main` read-only, and its fleet out of reach; stopped.
async fn narrowed(dir: &Path) -> (Rig, Fleet, Signer) {
    let (mut rig, fleet, signer) = box_of(dir, "bundles = \"manual\"").await;
    rig.start().await.unwrap();
    fleet.offer(5, signer.sign(&read_only(5)));
    eventually("it waits", || bundles(&rig)["offered"]["version"] == 5).await;
    command::ask(&rig, &["fleet", "apply", "5", "--reason", "r"]);
    until(&rig, "it is in force", |status| mode(status) == "read-only").await;
    fleet.set_down(true);
    assert!(rig.stop().await.unwrap().success());
    (rig, fleet, signer)
}

/// The actions of the audit log that are about bundles, in their order.
fn actions(rig: &Rig) -> Vec<String> {
    let log = command::json(rig, &["audit", "list", "--action", "bundle", "--limit", "100"]);
    let mut entries = log["entries"].as_array().unwrap().clone();
    entries.sort_by_key(|entry| entry["id"].as_i64());
    entries.iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_file_of_the_one_in_place_is_gone_its_sites_write_nothing_until_it_is_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, fleet, _signer) = narrowed(dir.path()).await;
    // As on a new machine after a restore: the ledger is in the store, the folder is not.
    fs::remove_dir_all(dir.path().join("data/fleet")).unwrap();
    rig.start().await.unwrap();
    assert_eq!(mode(&rig.status().await.unwrap()), "read-only", "from the first moment on");
    let status = until(&rig, "people are told", |s| condition(s, "bundle-unusable").is_some()).await;
    let told = condition(&status, "bundle-unusable").unwrap()["detail"].as_str().unwrap();
    assert!(told.contains("main") && told.contains("missing"), "{told}");
    let all = bundles(&rig);
    assert_eq!((&all["in_place"]["version"], &all["held"]), (&json!(5), &json!(["main"])), "{all:#}");
    send(&rig, &[people::hour("A", 0, "2026-03-02", 120)]).await;
    until(&rig, "what is computed waits", |status| status["outbox"]["deferred"] == 1).await;

    fleet.set_down(false);
    let well = |status: &Value| condition(status, "bundle-unusable").is_none() && mode(status) == "read-only";
    until(&rig, "it is in force again", well).await;
    let all = bundles(&rig);
    assert_eq!((&all["held"], &all["refused"], fleet.fetches()), (&json!([]), &json!([]), 2), "{all:#}");
    assert_eq!(rig.ehr.judge().creates, 0, "nothing was written meanwhile");
    let steps = actions(&rig);
    assert!(
        steps.ends_with(&["bundle unusable", "bundle fetched again", "bundle usable"].map(str::to_owned)),
        "{steps:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_the_configuration_does_not_take_after_a_restart_takes_nothing_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, fleet, signer) = box_of(dir.path(), "bundles = \"manual\"").await;
    let policy = "id = \"fleet-x\"\nbase = \"standard\"\nversion = 1\ntitle = \"Of the fleet\"\n";
    let mut content = read_only(5);
    content["policies"] = json!({"fleet-x": policy});
    rig.start().await.unwrap();
    fleet.offer(5, signer.sign(&content));
    eventually("it waits", || bundles(&rig)["offered"]["version"] == 5).await;
    command::ask(&rig, &["fleet", "apply", "5", "--reason", "r"]);
    until(&rig, "it is in force", |status| mode(status) == "read-only").await;
    fleet.set_down(true);
    assert!(rig.stop().await.unwrap().success());
    // As a program that does not take its policy any more: with the bundle the configuration is faulty, and without it is not.
    fs::create_dir_all(dir.path().join("policies.d")).unwrap();
    rig.write("policies.d/fleet-x.toml", policy).unwrap();
    assert_eq!(command::isthmus(&rig, &["check"]).status.code(), Some(78));
    rig.start().await.unwrap();
    assert_eq!(mode(&rig.status().await.unwrap()), "read-only");
    assert_eq!(bundles(&rig)["held"], json!(["main"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_between_the_ledger_and_the_file_is_put_right() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, _fleet, _signer) = narrowed(dir.path()).await;
    let file = |name: &str| dir.path().join("data/fleet").join(name);
    fs::rename(file("bundle.json"), file("bundle.offered.json")).unwrap();
    rig.start().await.unwrap();
    assert_eq!(mode(&rig.status().await.unwrap()), "read-only");
    eventually("it is in its place", || file("bundle.json").exists()).await;
    eventually("it is in force", || bundles(&rig)["held"] == json!([])).await;
    assert_eq!(mode(&rig.status().await.unwrap()), "read-only");
    assert!(!actions(&rig).contains(&"bundle unusable".to_owned()), "nobody has to be told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_signed_file_that_an_older_store_does_not_know_of_is_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, fleet, signer) = box_of(dir.path(), "bundles = \"manual\"").await;
    let data = dir.path().join("data");
    let store = || {
        let files = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap());
        files.filter(|entry| entry.file_type().unwrap().is_file()).map(|entry| entry.path())
    };
    let kept = tempfile::tempdir().unwrap();
    for version in [5, 7] {
        rig.start().await.unwrap();
        let content = match version {
            5 => json!({"form": "isthmus-bundle/1", "version": 5}),
            _ => read_only(7),
        };
        fleet.offer(version, signer.sign(&content));
        eventually("it waits", || bundles(&rig)["offered"]["version"] == version).await;
        command::ask(&rig, &["fleet", "apply", &version.to_string(), "--reason", "r"]);
        eventually("it is in place", || bundles(&rig)["in_place"]["version"] == version).await;
        assert!(rig.stop().await.unwrap().success());
        if version == 5 {
            for file in store() {
                fs::copy(&file, kept.path().join(file.file_name().unwrap())).unwrap();
            }
        }
    }
    fleet.set_down(true);
    for file in store() {
        fs::remove_file(file).unwrap();
    }
    for file in fs::read_dir(kept.path()).unwrap().map(|entry| entry.unwrap()) {
        fs::copy(file.path(), data.join(file.file_name())).unwrap();
    }
    rig.start().await.unwrap();
    eventually("it is adopted", || bundles(&rig)["in_place"]["version"] == 7).await;
    let all = bundles(&rig);
    assert_eq!((&all["previous"]["version"], &all["refused"]), (&json!(5), &json!([])), "{all:#}");
    until(&rig, "it is in force", |status| {
        mode(status) == "read-only" && condition(status, "bundle-unusable").is_none()
    })
    .await;
    assert_eq!(actions(&rig).last().map(String::as_str), Some("bundle adopted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_changed_on_disk_takes_nothing_back_until_a_person_decides() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, _fleet, _signer) = narrowed(dir.path()).await;
    fs::write(dir.path().join("data/fleet/bundle.json"), b"{}").unwrap();
    let told = command::isthmus(&rig, &["check"]);
    assert_eq!(told.status.code(), Some(78), "{}", command::said(&told));
    assert!(command::said(&told).contains(" fleet rollback --reason"), "{}", command::said(&told));
    rig.start().await.unwrap();
    assert_eq!(mode(&rig.status().await.unwrap()), "read-only");
    let log = fs::read_to_string(rig.log_file()).unwrap();
    assert!(log.contains("the bundle in place is left out"), "{log}");
    let status = until(&rig, "people are told", |s| condition(s, "bundle-unusable").is_some()).await;
    let told = condition(&status, "bundle-unusable").unwrap()["detail"].as_str().unwrap();
    assert!(told.contains("its file was changed"), "{told}");
    // A change of the local files comes into force all the same, and gives nothing back.
    let text = fs::read_to_string(rig.config()).unwrap();
    rig.write("isthmus.toml", &text.replace("every = \"1s\"", "every = \"2s\"")).unwrap();
    until(&rig, "it is in force", |s| s["configuration"]["generation"].as_u64() > Some(1)).await;
    assert_eq!(mode(&rig.status().await.unwrap()), "read-only");

    command::ask(&rig, &["fleet", "rollback", "--reason", "its file was changed, ticket 4711"]);
    until(&rig, "the local files hold", |s| mode(s) == "full" && condition(s, "bundle-unusable").is_none())
        .await;
    assert!(!dir.path().join("data/fleet/bundle.json").exists());
    let log = command::json(&rig, &["audit", "list", "--action", "bundle rolled back"]);
    let entry = &log["entries"][0];
    assert!(entry["detail"].as_str().unwrap().ends_with("ticket 4711"), "{entry}");
    assert!(entry["actor"].as_str().unwrap().contains("uid"), "{entry}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_key_is_not_trusted_any_more_takes_nothing_back_and_is_in_force_again_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, _fleet, signer) = narrowed(dir.path()).await;
    rig.write("fleet.pub", &Signer::new().unwrap().public_pem()).unwrap();
    rig.start().await.unwrap();
    assert_eq!(mode(&rig.status().await.unwrap()), "read-only");
    assert_eq!(bundles(&rig)["held"], json!(["main"]));
    rig.write("fleet.pub", &signer.public_pem()).unwrap();
    eventually("it is in force again", || bundles(&rig)["held"] == json!([])).await;
    let all = bundles(&rig);
    assert_eq!((&all["in_place"]["version"], &all["refused"]), (&json!(5), &json!([])), "{all:#}");
    assert_eq!(mode(&rig.status().await.unwrap()), "read-only");
}
