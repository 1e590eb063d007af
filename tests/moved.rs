//! A destination whose `base_url` changes: nothing leaves for the new address until a person says what it is, and what was
//! written to the server before says nothing of another.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::process::Output;

use site::{
    RESOURCES_PER_OUTCOME, command, condition, daily, edit_site, people, send, settled, store, until,
};
use standin::{Ehr, EhrSettings, rig::Rig};

const DAY: &str = "2026-03-02";

/// A site with one outcome in the chart of its EHR.
async fn written(dir: &std::path::Path) -> Rig {
    let mut rig = site::prepare(dir, daily()).await;
    rig.start().await.unwrap();
    send(&rig, &[people::hour("A", 0, DAY, 120)]).await;
    settled(&rig).await;
    assert_eq!(rig.ehr.judge().creates, RESOURCES_PER_OUTCOME);
    rig
}

/// Gives the site another address, and sends an amendment of what stands and another patient's results: both wait.
async fn moved_to(rig: &Rig, base_url: &str) {
    edit_site(rig, &rig.ehr.base_url(), base_url);
    let asked = until(rig, "it is asked what that is", |s| condition(s, "server-moved").is_some()).await;
    let told = condition(&asked, "server-moved").unwrap();
    let detail = told["detail"].as_str().unwrap();
    assert_eq!(told["scope"], "ehr:main");
    assert!(detail.contains("--same-server") && detail.contains("--other-server"), "{detail}");
    let late =
        people::message("LATE", &people::person(0), &people::readings(people::day(DAY), 40, &[240; 12]));
    send(rig, &[late, people::hour("B", 1, DAY, 150)]).await;
    until(rig, "both wait", |s| s["outbox"]["pending"] == 2 && s["inbox"]["windows_due"] == 0).await;
}

/// The longest reason that is taken.
fn reason() -> String {
    format!("{:.<1000}", "told by the EHR's team ")
}

/// `isthmus site moved main` with this word.
fn say(rig: &Rig, word: &str) -> Output {
    command::isthmus(rig, &["site", "moved", "main", word, "--reason", &reason()])
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_gets_nothing_until_a_person_says_so_and_then_everything_as_its_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = written(dir.path()).await;
    let production = Ehr::start(EhrSettings::ehr(rig.pki())).await.unwrap();
    let before = rig.ehr.log().records().len();
    moved_to(&rig, &production.base_url()).await;
    // Nor does a restart let it go.
    assert!(rig.stop().await.unwrap().success());
    rig.start().await.unwrap();
    until(&rig, "it is asked still", |s| condition(s, "server-moved").is_some()).await;
    assert_eq!(production.log().records().len(), 0, "no request of any kind");
    assert_eq!(rig.ehr.log().records().len(), before);

    let told = say(&rig, "--other-server");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let status = settled(&rig).await;
    assert!(condition(&status, "server-moved").is_none(), "{status:#}");
    let judgement = production.judge();
    assert_eq!((judgement.creates, judgement.updates), (2 * RESOURCES_PER_OUTCOME, 0), "{judgement:?}");
    assert_eq!(rig.ehr.log().records().len(), before, "the one before hears nothing more");
    // What it has now is amended there.
    let later =
        people::message("LATER", &people::person(0), &people::readings(people::day(DAY), 80, &[60; 12]));
    send(&rig, &[later]).await;
    settled(&rig).await;
    let judgement = production.judge();
    assert!(judgement.updates > 0 && judgement.doubled == 0, "{judgement:?}");

    let again = say(&rig, "--other-server");
    assert_eq!(again.status.code(), Some(1), "there is nothing to say any more");
    let entries = store::audit(&mut rig).await;
    let moved: Vec<_> = entries.iter().filter(|entry| entry.action == "server moved").collect();
    assert!(moved.len() == 1 && moved[0].detail.ends_with(&reason()), "{moved:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_server_under_another_address_is_amended_where_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let rig = written(dir.path()).await;
    let renamed = rig.ehr.base_url().replace("127.0.0.1", "localhost");
    let before = rig.ehr.log().records().len();
    moved_to(&rig, &renamed).await;
    assert_eq!(rig.ehr.log().records().len(), before, "no request of any kind");
    let told = say(&rig, "--same-server");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    settled(&rig).await;
    let judgement = rig.ehr.judge();
    // The amendment has a Provenance of its own.
    assert!(judgement.updates > 0 && judgement.creates <= 2 * RESOURCES_PER_OUTCOME + 1, "{judgement:?}");
    assert_eq!(judgement.doubled, 0, "{judgement:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_nothing_was_written_to_is_changed_without_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    let other = Ehr::start(EhrSettings::ehr(rig.pki())).await.unwrap();
    rig.start().await.unwrap();
    edit_site(&rig, &rig.ehr.base_url(), &other.base_url());
    until(&rig, "the new address is in force", |s| s["configuration"]["generation"] == 2).await;
    send(&rig, &[people::hour("A", 0, DAY, 120)]).await;
    settled(&rig).await;
    assert_eq!((rig.ehr.judge().creates, other.judge().creates), (0, RESOURCES_PER_OUTCOME));
}
