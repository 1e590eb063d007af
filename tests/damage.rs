//! A store whose bytes were damaged behind the daemon's back: what is damaged is not sent, everything else is, and people are told.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use outbox::Key;
use serde_json::Value;
use site::{
    command::{isthmus, json, said},
    condition, daily, people, send, settled, until,
};
use standin::{Play, rig::Rig};

const DAY: &str = "2026-03-02";

/// Puts other bytes in the place of a row's, in the store of a daemon that has stopped.
fn damage(rig: &Rig, row: i64) {
    let (key, _) = Key::from_file(&rig.dir().join("db.key")).unwrap();
    assert!(
        outbox::tampering::damage_body(&rig.dir().join("data"), key, row).unwrap(),
        "there is a row {row}"
    );
}

/// The rows that a status calls damaged, with what is said of each.
fn told(status: &Value) -> Vec<(&str, &str)> {
    let all = status["conditions"].as_array().unwrap().iter().filter(|one| one["name"] == "body-corrupt");
    all.map(|one| (one["scope"].as_str().unwrap(), one["detail"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_bytes_are_not_sent_and_are_told_until_they_are_gone_while_all_else_goes() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    rig.ehr.play(Play::Unavailable503);
    send(&rig, &[people::hour("A", 1, DAY, 100), people::hour("B", 2, DAY, 100)]).await;
    until(&rig, "both wait", |status| status["inbox"]["pending"] == 0 && status["inbox"]["windows_due"] == 0)
        .await;
    let rows = json(&rig, &["queue", "list"]);
    let rows: Vec<i64> =
        rows["rows"].as_array().unwrap().iter().map(|row| row["row"].as_i64().unwrap()).collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rig.stop().await.unwrap().success());
    damage(&rig, rows[0]);
    rig.ehr.play(Play::Accept);
    rig.start().await.unwrap();
    let status = until(&rig, "the damage is told", |s| condition(s, "body-corrupt").is_some()).await;
    let (scope, detail) = told(&status)[0];
    assert_eq!(scope, format!("row {}", rows[0]));
    assert!(detail.contains("for ehr:main") && detail.contains("set aside, and not sent"), "{detail}");
    site::until_metric(&rig, "isthmus_condition{name=\"body-corrupt\"}", 1.0).await;
    settled(&rig).await;
    assert_eq!(
        rig.ehr.resources().len() as u64,
        site::RESOURCES_PER_OUTCOME,
        "the other went, and nothing of this one"
    );
    // For people: what it means and what to do.
    let shown = said(&isthmus(&rig, &["status"]));
    assert!(shown.contains("body-corrupt") && shown.contains("restore FILE"), "{shown}");

    // It is told after a restart too, and what was delivered before is told once somebody reads it.
    assert!(rig.stop().await.unwrap().success());
    damage(&rig, rows[1]);
    rig.start().await.unwrap();
    until(&rig, "it is told again", |s| condition(s, "body-corrupt").is_some()).await;
    let asked = isthmus(&rig, &["queue", "show", &rows[1].to_string()]);
    assert_eq!(asked.status.code(), Some(1));
    assert!(said(&asked).contains("do not match their hash"), "{}", said(&asked));
    let status = until(&rig, "both are told", |s| told(s).len() == 2).await;
    assert!(told(&status).iter().any(|(_, detail)| !detail.contains("set aside")), "{status:#}");
    assert!(rig.stop().await.unwrap().success());
}
