//! A store that is lost, copied or put under another key: what was acknowledged comes back, and nothing is written twice.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use site::{
    chart,
    command::{ask, asked, isthmus, refused, said},
    daily, people, send, settled, until, vendors,
};
use standin::{Persona, rig::Rig};

const DAY: &str = "2026-03-02";

fn hours(patients: std::ops::Range<u32>, name: &str, value: u32) -> Vec<Vec<u8>> {
    patients.map(|n| people::hour(&format!("{name}{n}"), n, DAY, value)).collect()
}

fn data_dir(rig: &Rig) -> PathBuf {
    rig.dir().join("data")
}

/// A backup of the store that runs, carried into a folder of its own.
async fn backed_up(rig: &Rig, to: &Path) -> PathBuf {
    fs::create_dir_all(to).unwrap();
    let told = asked(rig, &["backup", "--to", to.to_str().unwrap()]).await;
    PathBuf::from(told["backup"]["path"].as_str().unwrap())
}

async fn restored(rig: &Rig, backup: &Path) -> Value {
    asked(rig, &["restore", backup.to_str().unwrap(), "--replace", "--reason", "a test"]).await
}

/// What every Observation in the chart says, of whom and when; versions and ids aside.
fn said_in(rig: &Rig) -> Vec<String> {
    let observations = vendors::standing(rig, "Observation").into_iter().map(|one| {
        [
            "subject",
            "code",
            "effectivePeriod",
            "effectiveDateTime",
            "valueQuantity",
            "component",
            "dataAbsentReason",
        ]
        .map(|part| one[part].to_string())
        .join(" ")
    });
    let mut all: Vec<String> = observations.collect();
    all.sort();
    all
}

/// How many results were ever created. Not counted are Provenances: where none has an identifier, that of the restored store,
/// which cites the messages as they came to it, stands beside that of the lost one.
fn results(rig: &Rig) -> u64 {
    rig.ehr.judge().creates - vendors::standing(rig, "Provenance").len() as u64
}

/// What a box does between its last backup and its loss, and what follows when it is restored.
async fn lost_and_restored(dir: tempfile::TempDir, mut rig: Rig) {
    rig.start().await.unwrap();
    send(&rig, &hours(0..3, "A", 120)).await;
    settled(&rig).await;
    asked(&rig, &["site", "hold", "main", "--reason", "rows wait in the backup"]).await;
    send(&rig, &hours(3..5, "B", 130)).await;
    until(&rig, "two wait", |s| s["outbox"]["deferred"].as_u64() >= Some(2)).await;
    let backup = backed_up(&rig, &dir.path().join("safe")).await;

    // What the backup does not know: rows of it go, new patients come, an old window is amended.
    asked(&rig, &["site", "release", "main", "--reason", "on"]).await;
    let later = [hours(5..7, "C", 140), vec![people::hour("D0", 0, DAY, 180)]].concat();
    send(&rig, &later).await;
    settled(&rig).await;
    let (numbers, creates) = (said_in(&rig), results(&rig));
    assert!(rig.stop().await.unwrap().success());
    let writes = chart::writes(&rig.ehr).len();

    let told = restored(&rig, &backup).await;
    assert_eq!(told["restored"]["messages"], 5, "{told:#}");
    rig.start().await.unwrap();
    let status = rig.status().await.unwrap();
    assert_eq!(status["standstill"]["cause"], "restored", "{status:#}");
    assert!(site::condition(&status, "standstill").is_some(), "{status:#}");
    asked(&rig, &["site", "release", "main", "--reason", "on"]).await;
    // The engine sends again what it sent since, and more: it is acknowledged, absorbed, queued, and not sent.
    send(&rig, &hours(3..5, "B", 130)).await;
    send(&rig, &later).await;
    let waits = |s: &Value| s["inbox"]["pending"] == 0 && s["inbox"]["windows_due"] == 0;
    until(&rig, "everything is computed", |s| waits(s) && s["outbox"]["pending"].as_u64() >= Some(5)).await;
    assert_eq!(chart::writes(&rig.ehr).len(), writes, "something left during a standstill");

    asked(&rig, &["standstill", "end", "--reason", "sent again"]).await;
    let status = settled(&rig).await;
    assert!(site::condition(&status, "standstill").is_none(), "{status:#}");
    assert_eq!(said_in(&rig), numbers, "the chart says the same as before");
    let judgement = rig.ehr.judge();
    assert_eq!(
        (results(&rig), judgement.doubled, judgement.repeated_facts, judgement.out_of_order),
        (creates, 0, 0, 0),
        "{judgement:?}"
    );

    // It goes on as any box: a new patient, an amendment.
    send(&rig, &[people::hour("E7", 7, DAY, 150), people::hour("F5", 5, DAY, 200)]).await;
    settled(&rig).await;
    assert!(results(&rig) > creates);
    assert_eq!(rig.ehr.judge().doubled, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_nothing_leaves_until_a_person_says_so_and_then_nothing_stands_twice() {
    let dir = tempfile::tempdir().unwrap();
    let rig = site::prepare(dir.path(), daily()).await;
    lost_and_restored(dir, rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_creates_cannot_be_conditional_what_the_lost_store_wrote_is_found_before_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let conduct = vendors::conduct(Persona::Millennium, 8);
    let lab = "[[projection]]\nname = \"millennium-lab\"\nwindow = \"1d\"\n";
    let rig = vendors::prepared(dir.path(), conduct, "lookup", lab, "").await;
    lost_and_restored(dir, rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_whole_or_refused_and_a_drill_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    send(&rig, &hours(0..2, "A", 120)).await;
    settled(&rig).await;
    let backup = backed_up(&rig, &dir.path().join("safe")).await;
    assert_eq!(backup.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let beside: Value = serde_json::from_slice(&fs::read(backup.with_extension("json")).unwrap()).unwrap();
    assert_eq!((&beside["messages"], &beside["unsettled"]), (&2.into(), &0.into()), "{beside:#}");
    // A drill, while the daemon runs.
    let told = asked(&rig, &["restore", backup.to_str().unwrap(), "--check"]).await;
    assert_eq!(told["checked"]["audit"], beside["audit"]);
    let why = refused(&rig, &["restore", backup.to_str().unwrap(), "--replace", "--reason", "r"]);
    assert!(why.contains("stop it first"), "{why}");
    assert!(fs::read_dir(data_dir(&rig).join("backups")).unwrap().next().is_none(), "it was moved");

    assert!(rig.stop().await.unwrap().success());
    let why = refused(&rig, &["restore", backup.to_str().unwrap(), "--reason", "r"]);
    assert!(why.contains("--replace"), "{why}");
    let mut bytes = fs::read(&backup).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let broken = dir.path().join("broken.db");
    fs::write(&broken, &bytes).unwrap();
    let before = fs::read(data_dir(&rig).join("isthmus.db")).unwrap();
    for words in [&["--check"][..], &["--replace", "--reason", "r"]] {
        let why = refused(&rig, &[&["restore", broken.to_str().unwrap()], words].concat());
        assert!(why.contains("damaged") || why.contains("malformed"), "{why}");
    }
    assert_eq!(fs::read(data_dir(&rig).join("isthmus.db")).unwrap(), before, "the store is as it was");

    // Broken off between the two renames, the daemon makes no new store in the place of the one that was moved.
    let (store, aside) = (data_dir(&rig).join("isthmus.db"), data_dir(&rig).join("isthmus.db.replaced-x"));
    fs::rename(&store, &aside).unwrap();
    fs::write(data_dir(&rig).join("isthmus.db.restoring"), "half").unwrap();
    let run = isthmus(&rig, &["run"]);
    assert_eq!(run.status.code(), Some(78), "{}", said(&run));
    assert!(said(&run).contains(" restore FILE --reason") && !store.exists(), "{}", said(&run));
    asked(&rig, &["restore", backup.to_str().unwrap(), "--reason", "again"]).await;
    rig.start().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_new_key_all_is_there_the_old_one_opens_nothing_and_older_backups_still_restore() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    send(&rig, &hours(0..2, "A", 120)).await;
    settled(&rig).await;
    let backup = backed_up(&rig, &dir.path().join("safe")).await;
    let why = refused(&rig, &["key", "rotate", "--reason", "r"]);
    assert!(why.contains("stop it first"), "{why}");
    let old: Value = asked(&rig, &["key", "status"]).await;
    assert!(rig.stop().await.unwrap().success());

    let told = asked(&rig, &["key", "rotate", "--reason", "yearly"]).await;
    let (from, to) = (&told["rotated"]["from"], &told["rotated"]["to"]);
    assert_eq!(from, &old["status"]["id"]);
    assert_ne!(from, to);
    rig.start().await.unwrap();
    let status = rig.status().await.unwrap();
    assert_eq!(status["inbox"]["total"], 2, "{status:#}");
    send(&rig, &hours(2..3, "B", 120)).await;
    settled(&rig).await;
    assert_eq!(rig.ehr.judge().doubled, 0);
    let entries = site::store::audit(&mut rig).await;
    let rotated = entries.iter().find(|entry| entry.action == "key rotate").unwrap();
    assert!(
        rotated.detail.contains("yearly") && rotated.detail.contains(from.as_str().unwrap()),
        "{rotated:?}"
    );

    // The backup is of the key before, which was put aside; without it nothing opens it.
    let told = restored(&rig, &backup).await;
    assert_eq!(&told["restored"]["key"], from);
    asked(&rig, &["key", "forget", from.as_str().unwrap(), "--reason", "backups are gone"]).await;
    let why = refused(&rig, &["restore", backup.to_str().unwrap(), "--check"]);
    assert!(why.contains("--key-file"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_was_broken_off_at_any_step_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    send(&rig, &hours(0..1, "A", 120)).await;
    settled(&rig).await;
    assert!(rig.stop().await.unwrap().success());
    let (key, next) = (rig.dir().join("db.key"), rig.dir().join("db.next.key"));
    let database = data_dir(&rig).join("isthmus.db");

    // Before the copy: the new key is there, and half a copy.
    fs::write(&next, "ab".repeat(32)).unwrap();
    fs::set_permissions(&next, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(data_dir(&rig).join("isthmus.db.next-key"), "half").unwrap();
    let told = asked(&rig, &["key", "rotate", "--reason", "r"]).await;
    assert_eq!(told["rotated"]["resumed"], true, "{told:#}");
    assert_eq!(fs::read_to_string(&key).unwrap().trim(), "ab".repeat(32));

    // After the store was exchanged, before the key was: the daemon does not start, and says what to do.
    fs::rename(&key, &next).unwrap();
    fs::write(&key, "cd".repeat(32)).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let run = isthmus(&rig, &["run"]);
    assert_eq!(run.status.code(), Some(78), "{}", said(&run));
    assert!(said(&run).contains(" key rotate --reason"), "{}", said(&run));
    let before = fs::read(&database).unwrap().len();
    asked(&rig, &["key", "rotate", "--reason", "r"]).await;
    assert!(fs::read(&database).unwrap().len() >= before && !next.exists());
    rig.start().await.unwrap();
    assert_eq!(rig.status().await.unwrap()["inbox"]["total"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_opened_on_another_machine_stands_still() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    send(&rig, &hours(0..1, "A", 120)).await;
    settled(&rig).await;
    assert!(rig.status().await.unwrap()["standstill"].is_null());
    assert!(rig.stop().await.unwrap().success());
    // As the store of another machine has it.
    site::store::put_meta(&rig, "machine", b"another");
    for _start in 0..2 {
        rig.start().await.unwrap();
        let status = rig.status().await.unwrap();
        assert_eq!(status["standstill"]["cause"], "moved", "{status:#}");
        assert!(rig.stop().await.unwrap().success());
    }
    rig.start().await.unwrap();
    let told = ask(&rig, &["standstill", "show"]);
    assert!(told.contains("moved") && told.contains("nothing is sent"), "{told}");
    asked(&rig, &["standstill", "end", "--reason", "the only copy"]).await;
    assert!(refused(&rig, &["standstill", "end", "--reason", "again"]).contains("no standstill"));
    tokio::time::timeout(Duration::from_secs(60), settled(&rig)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_box_has_no_key_and_no_store_and_another_is_not_wiped_by_mistake() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    send(&rig, &hours(0..1, "A", 120)).await;
    settled(&rig).await;
    asked(&rig, &["backup"]).await;
    assert!(refused(&rig, &["wipe", "--box", "x", "--reason", "r"]).contains("stop it first"));
    assert!(rig.stop().await.unwrap().success());
    let why = refused(&rig, &["wipe", "--box", "box-x", "--reason", "r"]);
    let id = why.split("this box is ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    assert!(data_dir(&rig).join("isthmus.db").exists());
    let told = asked(&rig, &["wipe", "--box", &id, "--reason", "retired"]).await;
    assert_eq!(told["wiped"]["box"].as_str(), Some(id.as_str()), "{told:#}");
    assert!(told["wiped"]["audit"]["entries"].as_u64() > Some(0));
    let left: Vec<String> = walk(&data_dir(&rig));
    assert!(left.iter().all(|name| !name.contains(".db") && !name.ends_with(".json")), "{left:?}");
    assert_eq!(isthmus(&rig, &["run"]).status.code(), Some(78));
}

/// The names of all files below a folder.
fn walk(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.path().is_dir() {
            true => names.extend(walk(&entry.path())),
            false => names.push(entry.file_name().to_string_lossy().into_owned()),
        }
    }
    names
}
