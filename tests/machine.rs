//! What the machine gives: room on its disks and the right time.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails")]

mod site;

use std::fs;

use site::{
    condition, daily,
    disk::Tmpfs,
    edit,
    files::{self, count, hour},
    metric, metrics, people, send, settled, until,
};

const DAY: &str = "2026-03-02";
const MIB: u64 = 1 << 20;

fn said(status: &serde_json::Value, name: &str) -> String {
    condition(status, name).map_or_else(String::new, |it| it["detail"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_is_told_twice_and_leaves_its_rest_to_messages_while_files_wait() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    let data = dir.path().join("data");
    let Some(_disk) = Tmpfs::mount(&data, 128) else {
        println!("skipped: this user may not mount");
        return;
    };
    let folder = files::spool(&rig, "");
    for (level, bytes) in [("warning", 1_u64 << 32), ("critical", 1 << 30)] {
        edit(
            &rig,
            "isthmus.toml",
            &format!("{level}_free_bytes = 0"),
            &format!("{level}_free_bytes = {bytes}"),
        );
    }
    folder.make();
    rig.start().await.unwrap();
    let free = || {
        let told = rustix::fs::statvfs(&data).unwrap();
        told.f_bavail * told.f_frsize
    };
    // An eighth of 128 MiB is the first level, a sixteenth the second.
    let fill = |name: &str, leave: u64| {
        fs::write(data.join(name), vec![0; usize::try_from(free() - leave).unwrap()]).unwrap();
    };
    fill("ballast-1", 13 * MIB);
    let status = until(&rig, "a warning", |s| said(s, "disk-low").starts_with("warning: ")).await;
    assert_eq!(condition(&status, "disk-low").unwrap()["scope"], "data");
    let left = metric(&metrics(&rig).await, "isthmus_disk_free_bytes{of=\"data\"}");
    assert!(left > 0.0 && left < 16.0 * MIB as f64, "{left}");
    folder.drop("one.hl7", hour("F1", 1, 100));
    until(&rig, "taken", |s| count(s, "done") == 1).await;

    fill("ballast-2", 5 * MIB);
    until(&rig, "critical", |s| said(s, "disk-low").starts_with("critical: ")).await;
    folder.drop("two.hl7", hour("F2", 2, 100));
    send(&rig, &[people::hour("M3", 3, DAY, 100)]).await;
    until(&rig, "told", |s| s["spools"]["drop"]["paused"] == true && count(s, "waiting") == 1).await;
    let status = settled(&rig).await;
    assert_eq!(status["inbox"]["total"], 2, "the message was taken and absorbed, the file waits: {status:#}");
    assert_eq!(count(&status, "done"), 1);

    fs::remove_file(data.join("ballast-1")).unwrap();
    fs::remove_file(data.join("ballast-2")).unwrap();
    let status = until(&rig, "room again", |s| count(s, "done") == 2).await;
    assert_eq!((said(&status, "disk-low").as_str(), count(&status, "waiting")), ("", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_differs_from_the_ehrs_is_told_until_it_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.ehr.set_clock_offset(jiff::SignedDuration::from_secs(-180));
    rig.start().await.unwrap();
    send(&rig, &[people::hour("M1", 1, DAY, 100)]).await;
    let status = until(&rig, "told", |s| condition(s, "clock-off").is_some()).await;
    let told = said(&status, "clock-off");
    assert!(told.contains(" s ahead: one server says so"), "{told}");
    let ahead_s = metric(&metrics(&rig).await, "isthmus_clock_offset_seconds");
    assert!((175.0..=185.0).contains(&ahead_s), "{ahead_s}");

    rig.ehr.set_clock_offset(jiff::SignedDuration::ZERO);
    send(&rig, &[people::hour("M2", 2, DAY, 100)]).await;
    until(&rig, "over", |s| condition(s, "clock-off").is_none()).await;
}
