//! Retention: what a later version replaced loses its bytes after so long, what stands does not; what was written stays
//! provable, is never written again, and can still be taken back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use serde_json::Value;
use site::{
    append_site, chart,
    command::{ask, json},
    daily, people, send, settled, until, until_metric,
};
use standin::rig::Rig;

const DAY: &str = "2026-03-02";
/// Twelve readings, some in every range, and twelve more that change the share of each.
const FIRST: [u32; 12] = [45, 60, 100, 110, 120, 130, 140, 150, 190, 200, 260, 280];
const MORE: [u32; 12] = [40, 44, 48, 62, 66, 90, 185, 210, 240, 290, 300, 310];
const REMOVED: &str = "isthmus_retention_removed_rows_total{site=\"main\"}";

fn readings(control_id: &str, first: i64, values: &[u32]) -> Vec<u8> {
    people::message(control_id, &people::person(1), &people::readings(people::day(DAY), first, values))
}

/// The rows of the EHR, the newest first: number, state and version.
fn rows(rig: &Rig) -> Vec<(String, String, i64)> {
    let listed = json(rig, &["queue", "list", "--destination", "ehr:main"]);
    let row = |row: &Value| {
        (row["row"].to_string(), row["state"].as_str().unwrap().to_owned(), row["version"].as_i64().unwrap())
    };
    listed["rows"].as_array().unwrap().iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_later_version_replaced_loses_its_bytes_and_stays_provable_and_what_stands_keeps_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    // Every shown number differs, so nothing of the first version is left standing.
    send(&rig, &[readings("A1", 0, &FIRST)]).await;
    settled(&rig).await;
    let before = rows(&rig);
    assert_eq!(before.len(), 1);
    let old = before[0].0.clone();
    let body = json(&rig, &["queue", "show", &old]);
    assert!(!body["resources"].as_array().unwrap().is_empty() && body["removed"].is_null(), "{body:#}");
    send(&rig, &[readings("A2", 60, &MORE)]).await;
    until(&rig, "the day is amended", |s| s["outbox"]["delivered"] == 2).await;
    let after = rows(&rig);
    let new = after[0].0.clone();
    assert_eq!((after.len(), after[0].2, after[1].0 == old), (2, 2, true), "{after:?}");
    let writes = chart::writes(&rig.ehr).len();

    // The file is taken over while the daemon runs.
    append_site(&rig, "\n[retention]\nwritten = \"1s\"\n");
    until_metric(&rig, REMOVED, 1.0).await;
    let gone = json(&rig, &["queue", "show", &old]);
    let hash = gone["removed"]["sha256"].as_str().unwrap().to_owned();
    assert_eq!((hash.len(), &gone["state"], &gone["resources"]), (64, &"delivered".into(), &Value::Null));
    let told = ask(&rig, &["queue", "show", &old]);
    let at = gone["removed"]["at"].as_str().unwrap();
    assert!(told.contains(&format!("its bytes were removed on {at} by retention")), "{told}");
    assert!(told.contains(&hash), "{told}");
    let stands = json(&rig, &["queue", "show", &new]);
    assert!(!stands["resources"].as_array().unwrap().is_empty() && stands["removed"].is_null());
    let shown = ask(&rig, &["site", "show", "main"]);
    assert!(
        shown
            .lines()
            .any(|line| line.contains("written") && line.contains("1s") && line.contains("main.toml:"))
    );

    // A repetition, and everything read anew, write nothing: the row and its key are there.
    send(&rig, &[readings("A1", 0, &FIRST)]).await;
    ask(&rig, &["replay", "--range", "..", "--reason", "retention"]);
    settled(&rig).await;
    assert_eq!((rows(&rig).len(), chart::writes(&rig.ehr).len()), (2, writes));

    // What stands can be taken back: its bytes are asked for.
    let window = stands["window"].to_string();
    let withdrawn = json(&rig, &["intent", "withdraw", "--window", &window, "--by", "Dr. Quibble"]);
    assert_eq!(withdrawn["by_hand"], serde_json::json!([]), "{withdrawn:#}");
    settled(&rig).await;
    assert!(chart::writes(&rig.ehr).len() > writes);

    let audited = site::store::audit(&mut rig).await;
    let removed: Vec<_> = audited.iter().filter(|entry| entry.action == "bytes removed").collect();
    assert_eq!((removed[0].actor.as_str(), removed[0].object.as_str()), ("isthmus", "site main"));
    assert!(removed[0].detail.starts_with("1 settled rows, settled from 20"), "{}", removed[0].detail);
    assert!(removed[0].detail.ends_with("retention 1s"), "{}", removed[0].detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_keeps_its_bytes_however_old_and_a_site_without_retention_keeps_all() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    site::edit_site(&rig, "mode = \"full\"", "mode = \"read-only\"");
    append_site(&rig, "\n[retention]\nwritten = \"1s\"\n");
    rig.start().await.unwrap();
    send(&rig, &[readings("A1", 0, &FIRST)]).await;
    until(&rig, "it waits", |s| s["outbox"]["deferred"] == 1).await;
    // A later version takes the place of what was not sent; that one goes, and the one that waits stays.
    send(&rig, &[readings("A2", 60, &MORE)]).await;
    until(&rig, "superseded", |s| s["outbox"]["superseded"] == 1).await;
    until_metric(&rig, REMOVED, 1.0).await;
    let waiting = rows(&rig).into_iter().find(|row| row.1 == "deferred").unwrap().0;
    assert!(json(&rig, &["queue", "show", &waiting])["removed"].is_null());
    site::edit_site(&rig, "mode = \"read-only\"", "mode = \"full\"");
    site::edit_site(&rig, "written = \"1s\"", "written = \"90d\"");
    settled(&rig).await;
    let means = chart::numbers(&rig.ehr).into_keys().filter(|[_, code, ..]| code == chart::MEAN);
    assert_eq!(means.count(), 1, "what waited was written");
    assert!(rig.stop().await.unwrap().success());
}
