//! An audit log that somebody with the store's key changed while the daemon stood still: that is found, told where it is, accepted by a
//! person and by nobody else. And who reads the log of a stopped daemon stands in it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails")]

mod site;

use std::{path::Path, process::Output};

use outbox::{
    Key,
    tampering::{self, Tamper},
};
use serde_json::{Value, json};
use site::{
    command::{ask, isthmus, refused},
    condition, daily,
    disk::Tmpfs,
    people, send, settled, until,
};
use standin::rig::Rig;

const DAY: &str = "2026-03-02";

/// A box that has stopped, with some entries in its log.
async fn stopped(dir: &Path) -> Rig {
    let mut rig = site::prepare(dir, daily()).await;
    rig.start().await.unwrap();
    send(&rig, &[people::hour("A", 1, DAY, 100)]).await;
    settled(&rig).await;
    for _ in 0..4 {
        ask(&rig, &["identity", "list", "--reveal"]);
    }
    rig.stop().await.unwrap();
    rig
}

fn tampered(rig: &Rig, what: Tamper) {
    let (key, _) = Key::from_file(&rig.dir().join("db.key")).unwrap();
    tampering::tamper(&rig.dir().join("data"), key, what).unwrap();
}

fn said(run: &Output) -> String {
    [run.stdout.as_slice(), run.stderr.as_slice()].map(String::from_utf8_lossy).concat()
}

fn verify(rig: &Rig) -> (Option<i32>, Value) {
    let run = isthmus(rig, &["audit", "verify", "--json"]);
    (run.status.code(), serde_json::from_slice(&run.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_was_changed_removed_or_swapped_is_named_and_the_exit_code_says_that_the_log_does_not_hold()
 {
    for (what, entry, words) in [
        (Tamper::Change(2), 2, "entry 2 was changed, or another was put in its place"),
        (Tamper::Remove(3), 3, "entry 3 was removed"),
        (Tamper::Swap(2, 4), 2, "entry 2 was changed, or another was put in its place"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let rig = stopped(dir.path()).await;
        assert_eq!(isthmus(&rig, &["audit", "verify"]).status.code(), Some(0), "{what:?}: before");
        tampered(&rig, what);
        let run = isthmus(&rig, &["audit", "verify"]);
        assert_eq!(run.status.code(), Some(1), "{what:?}: {}", said(&run));
        assert!(said(&run).contains(words), "{what:?}: {}", said(&run));
        let (code, told) = verify(&rig);
        assert_eq!((code, &told["broken"]), (Some(1), &json!(entry)), "{told:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_accepted_with_a_reason_is_told_as_accepted_from_then_on_and_a_further_one_is_told_again()
{
    let dir = tempfile::tempdir().unwrap();
    let mut rig = stopped(dir.path()).await;
    assert!(refused(&rig, &["audit", "accept", "2", "--reason", "r"]).contains("only the running daemon"));
    tampered(&rig, Tamper::Change(2));
    rig.start().await.unwrap();
    until(&rig, "it is told", |s| condition(s, "audit-broken").is_some()).await;
    // Not another one, and not without a reason.
    assert!(refused(&rig, &["audit", "accept", "3", "--reason", "r"]).contains("fails first at entry 2"));
    assert!(refused(&rig, &["audit", "accept", "2", "--reason", " "]).contains("a reason"));
    ask(&rig, &["audit", "accept", "2", "--reason", "ticket 4711"]);
    until(&rig, "it is over", |s| condition(s, "audit-broken").is_none()).await;
    let (code, told) = verify(&rig);
    assert_eq!((code, &told["broken"]), (Some(0), &Value::Null), "{told:#}");
    let one = &told["accepted"][0];
    assert_eq!((&one["broken"], &one["accepted"]["reason"]), (&json!(2), &json!("ticket 4711")), "{told:#}");
    let words = said(&isthmus(&rig, &["audit", "verify"]));
    assert!(
        words.contains("whole, but for what was accepted") && words.contains("entry 2 was changed"),
        "{words}"
    );
    assert!(said(&isthmus(&rig, &["audit", "list", "--json"])).contains("audit fault accepted"));
    assert!(
        refused(&rig, &["audit", "accept", "2", "--reason", "again"])
            .contains("no fault that was not accepted")
    );

    // A further fault, beside the accepted one.
    rig.stop().await.unwrap();
    tampered(&rig, Tamper::Remove(4));
    rig.start().await.unwrap();
    let status = until(&rig, "told again", |s| condition(s, "audit-broken").is_some()).await;
    assert!(
        condition(&status, "audit-broken").unwrap()["detail"]
            .as_str()
            .unwrap()
            .contains("entry 4 was removed")
    );
    let (code, told) = verify(&rig);
    assert_eq!(
        (code, &told["broken"], &told["accepted"][0]["broken"]),
        (Some(1), &json!(4), &json!(2)),
        "{told:#}"
    );
    ask(&rig, &["audit", "accept", "4", "--reason", "ticket 4712"]);
    until(&rig, "it is over", |s| condition(s, "audit-broken").is_none()).await;

    // What was accepted is changed once more: that is another fault.
    rig.stop().await.unwrap();
    tampered(&rig, Tamper::Swap(2, 3));
    let (code, told) = verify(&rig);
    assert_eq!((code, &told["broken"], &told["accepted"]), (Some(1), &json!(2), &json!([])), "{told:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_the_log_of_a_stopped_daemon_stands_in_it_and_where_that_cannot_be_written_only_who_insists_reads()
 {
    let dir = tempfile::tempdir().unwrap();
    let rig = stopped(dir.path()).await;
    let run = isthmus(&rig, &["audit", "list", "--actor", "user"]);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    let run = isthmus(&rig, &["audit", "list", "--action", "audit log read", "--json"]);
    let told: Value = serde_json::from_slice(&run.stdout).unwrap();
    let details: Vec<_> =
        told["entries"].as_array().unwrap().iter().map(|one| one["detail"].as_str().unwrap()).collect();
    assert_eq!(
        details,
        ["listed; action audit log read; no daemon ran", "listed; actor user; no daemon ran"]
    );
    assert_eq!(verify(&rig).0, Some(0), "the chain goes on");

    tampered(&rig, Tamper::Block);
    let told = refused(&rig, &["audit", "list"]);
    assert!(told.contains("cannot be written") && told.contains("--unrecorded"), "{told}");
    let run = isthmus(&rig, &["audit", "list", "--unrecorded", "--json"]);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert!(stderr.contains("the log does not say that you read it"), "{stderr}");
    assert!(String::from_utf8_lossy(&run.stdout).contains("identity reveal"));
    assert_eq!(verify(&rig).0, Some(0), "verifying tells no entry, and needs no word");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_on_a_write_protected_medium_is_verified_and_read_by_who_insists() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    let Some(disk) = Tmpfs::mount(&rig.dir().join("data"), 64) else {
        println!("skipped: this user may not mount a small disk");
        return;
    };
    rig.start().await.unwrap();
    ask(&rig, &["identity", "list", "--reveal"]);
    rig.stop().await.unwrap();
    disk.protect();
    assert_eq!(verify(&rig).0, Some(0));
    let told = refused(&rig, &["audit", "list"]);
    assert!(told.contains("cannot be written") && told.contains("--unrecorded"), "{told}");
    let run = isthmus(&rig, &["audit", "list", "--unrecorded", "--json"]);
    assert!(
        said(&run).contains("identity reveal") && said(&run).contains("does not say that you read it"),
        "{run:?}"
    );
}
