//! A box and its fleet's upstream: what is told, what is never told, and what is learned from the answers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use site::{command, condition, daily, eventually, people, prepare, send, settled, until};
use standin::{
    fleet::{Fleet, Patience},
    rig::Rig,
};

/// A box that checks in every second.
async fn box_of(dir: &Path) -> (Rig, Fleet) {
    let rig = prepare(dir, daily()).await;
    let fleet = Fleet::start(rig.pki()).await.unwrap();
    rig.write("isthmus.toml", &(rig.main_file() + &section(&fleet.url(), "client"))).unwrap();
    (rig, fleet)
}

fn section(url: &str, identity: &str) -> String {
    format!(
        "[fleet]\nurl = \"{url}\"\nevery = \"1s\"\n\
         tls = {{ ca = \"./ca.pem\", cert = \"./{identity}.pem\", key = \"./{identity}.key\" }}\n"
    )
}

/// The next check-in that holds.
async fn told(fleet: &Fleet, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut found = None;
    eventually(what, || {
        found = fleet.latest().map(|(told, _)| told).filter(&wanted);
        found.is_some()
    })
    .await;
    found.unwrap()
}

fn schema() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fleet/check-in.schema.json")
}

/// Holds a check-in to the published schema.
fn held_to_schema(told: &Value) {
    let mut schemas = boon::Schemas::new();
    let text = fs::read_to_string(schema()).unwrap();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("file:///check-in.json", serde_json::from_str(&text).unwrap()).unwrap();
    let compiled = compiler.compile("file:///check-in.json", &mut schemas).unwrap();
    // Read anew: numbers keep the digits of their text.
    let told: Value = serde_json::from_str(&told.to_string()).unwrap();
    if let Err(error) = schemas.validate(&told, compiled) {
        panic!("{error:#}\n{told:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_in_tells_how_the_box_is_and_nothing_of_whom_it_is_about() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, fleet) = box_of(dir.path()).await;
    rig.start().await.unwrap();
    send(&rig, &[people::hour("A", 0, "2026-03-02", 120)]).await;
    settled(&rig).await;
    // A delivery is told before its row is settled.
    let is_whole = |told: &Value| {
        let delivered = told["last"]["delivery"].is_string() && told["queue"]["rows"] == 0;
        delivered && told["clock_offset_s"].is_number()
    };
    let told = told(&fleet, "a delivery and the clock are told", is_whole).await;
    held_to_schema(&told);
    assert_eq!(told["form"], "isthmus-check-in/1");
    assert_eq!((&told["starts"], &told["ready"]), (&json!(1), &json!(true)));
    assert_eq!(
        told["destinations"],
        json!([{
            "id": "ehr:main", "site": "main", "mode": "full", "cause": "configured",
            "since": told["destinations"][0]["since"],
        }])
    );
    assert_eq!((&told["queue"]["rows"], &told["queue"]["bytes"]), (&json!(0), &json!(0)));
    assert!(told["last"]["commit"].is_string() && told["last"]["ack"].is_string(), "{told:#}");
    assert!(told["disk"]["free_bytes"].as_u64().unwrap() > 0);
    // The stand-in has this machine's clock: off by the second that a Date has, and what the machine takes.
    assert!(told["clock_offset_s"].as_f64().unwrap().abs() <= 3.0, "{told:#}");
    let status = until(&rig, "the answer is there", |status| status["fleet"]["lease"] == "granted").await;
    assert_eq!(told["configuration"]["sha256"], status["configuration"]["sha256"]);
    assert!(status["fleet"]["trouble"].is_null() && status["fleet"]["last_check_in"].is_string());
    let text = told.to_string();
    let person = people::person(0);
    for secret in [person.mrn, person.family, person.given, person.city, "1931".to_owned()] {
        assert!(!text.contains(&secret), "{secret} in {text}");
    }

    // What waits is told with its bytes, what is held with the class of its cause and not with the person's words.
    command::ask(&rig, &["site", "hold", "main", "--reason", "DOE JANE has asked for it"]);
    send(&rig, &[people::hour("B", 1, "2026-03-02", 150)]).await;
    let told = self::told(&fleet, "a held row is told", |told| told["queue"]["deferred"] == 1).await;
    held_to_schema(&told);
    assert_eq!(
        (&told["destinations"][0]["mode"], &told["destinations"][0]["cause"]),
        (&json!("read-only"), &json!("held"))
    );
    assert!(told["queue"]["bytes"].as_u64().unwrap() > 1_000, "{told:#}");
    let kinds: Vec<_> = told["conditions"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(kinds, ["read-only"], "{told:#}");
    assert!(!told.to_string().contains("DOE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_an_upstream_that_is_away_and_people_are_told_after_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, fleet) = box_of(dir.path()).await;
    fleet.set_down(true);
    rig.start().await.unwrap();
    send(&rig, &[people::hour("A", 0, "2026-03-02", 120)]).await;
    settled(&rig).await;
    let status = until(&rig, "it is told", |status| condition(status, "check-in-failing").is_some()).await;
    assert!(status["fleet"]["trouble"]["detail"].as_str().unwrap().contains("HTTP 503"), "{status:#}");
    assert_eq!(status["ready"], true);
    fleet.set_down(false);
    let status = until(&rig, "it is over", |status| condition(status, "check-in-failing").is_none()).await;
    assert!(status["fleet"]["trouble"].is_null(), "{status:#}");
    let (told, _) = fleet.latest().unwrap();
    assert!(told["sequence"].as_u64().unwrap() > 1, "those that failed are not sent again: {told:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_none_are_a_trouble_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, fleet) = box_of(dir.path()).await;
    rig.start().await.unwrap();
    told(&fleet, "it checks in", |_| true).await;
    for answer in [json!([1]), json!({"lease": "mine"}), json!({"audit": {"entries": -1, "hash": ""}})] {
        fleet.answer_with(Some(answer.clone()));
        let status = until(&rig, "it is told", |status| status["fleet"]["trouble"].is_object()).await;
        assert!(status["fleet"]["trouble"]["detail"].as_str().unwrap().contains("not one of this protocol"));
        fleet.answer_with(None);
        until(&rig, "it is over", |status| status["fleet"]["trouble"].is_null()).await;
    }
    assert_eq!(rig.status().await.unwrap()["ready"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_lease_and_a_copy_of_the_store_does_not_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, fleet) = box_of(dir.path()).await;
    // Boxes check in each second here, and a check-in that was on its way is over in one.
    fleet.set_patience(Patience { lease: Duration::from_secs(300), grace: Duration::from_millis(500) });
    rig.start().await.unwrap();
    let first = told(&fleet, "it checks in", |_| true).await;
    until(&rig, "the answer is there", |status| status["fleet"]["lease"] == "granted").await;
    // What a power cut leaves; then a restart, and a second one before the first could ask.
    rig.kill();
    rig.start().await.unwrap();
    let second = told(&fleet, "it checks in again", |told| told["starts"] == 2).await;
    assert_ne!(second["incarnation"], first["incarnation"]);
    assert_eq!(second["predecessors"], json!([first["incarnation"]]));
    let status = until(&rig, "the answer is there", |status| status["fleet"]["lease"] == "granted").await;
    assert!(condition(&status, "lease-refused").is_none());

    // The store is copied while the box stands still, and both are started.
    assert!(rig.stop().await.unwrap().success());
    let copy = tempfile::tempdir().unwrap();
    let (mut twin, _unused) = box_of(copy.path()).await;
    twin.write("isthmus.toml", &(twin.main_file() + &section(&fleet.url(), "client"))).unwrap();
    fs::create_dir_all(copy.path().join("data")).unwrap();
    for entry in fs::read_dir(dir.path().join("data")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join("data").join(entry.file_name())).unwrap();
    }
    // The other rig has a CA of its own: the copy shows what the box shows.
    for name in ["ca.pem", "client.pem", "client.key"] {
        fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    rig.start().await.unwrap();
    until(&rig, "the box has it", |status| status["fleet"]["lease"] == "granted").await;
    twin.start().await.unwrap();
    // Its log went another way than the box's, too; which of the two is seen first does not matter.
    until(&twin, "the copy stands still", |status| status["standstill"]["lasts"] == true).await;
    let refused = |status: &Value| {
        let lease = status["fleet"]["lease"].as_str();
        condition(status, "lease-refused").is_some() && matches!(lease, Some("held" | "contested"))
    };
    until(&twin, "the copy is refused", refused).await;
    // Whatever the copy says is not held against the box.
    let (_, count) = fleet.latest().unwrap();
    eventually("more check-ins of both", || fleet.latest().unwrap().1 > count + 6).await;
    let status = rig.status().await.unwrap();
    assert!(
        condition(&status, "lease-refused").is_none() && condition(&status, "standstill").is_none(),
        "{status:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_older_than_upstream_knows_is_noticed_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, fleet) = box_of(dir.path()).await;
    rig.start().await.unwrap();
    let before = told(&fleet, "it checks in", |_| true).await;
    assert!(rig.stop().await.unwrap().success());
    let kept = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(dir.path().join("data")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), kept.path().join(entry.file_name())).unwrap();
    }
    rig.start().await.unwrap();
    command::ask(&rig, &["site", "hold", "main", "--reason", "for the test"]);
    let entries = |told: &Value| told["audit"]["entries"].as_u64().unwrap();
    told(&fleet, "the hold is in upstream's head", |told| {
        // The stop, the start, the hold.
        told["starts"] == 2 && entries(told) >= entries(&before) + 3
    })
    .await;
    assert!(rig.stop().await.unwrap().success());
    for entry in fs::read_dir(kept.path()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.path().join("data").join(entry.file_name())).unwrap();
    }
    rig.start().await.unwrap();
    let status = until(&rig, "it stands still", |status| condition(status, "standstill").is_some()).await;
    assert_eq!(status["standstill"]["cause"], "rolled-back", "{status:#}");
    send(&rig, &[people::hour("A", 0, "2026-03-02", 120)]).await;
    until(&rig, "what follows waits", |status| status["outbox"]["pending"] == 1).await;
    assert_eq!(rig.ehr.judge().creates, 0);
    // A person ends it: that stays so although upstream still knows better, until it has taken note.
    command::ask(&rig, &["standstill", "end", "--reason", "the engine has sent again what came since"]);
    settled(&rig).await;
    let (_, count) = fleet.latest().unwrap();
    eventually("more check-ins", || fleet.latest().unwrap().1 > count + 2).await;
    let status = rig.status().await.unwrap();
    assert!(condition(&status, "standstill").is_none(), "{status:#}");
    assert!(rig.ehr.judge().creates > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_upstream_says_while_the_box_stands_still_already_is_on_record_beside_it_and_ends_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, fleet) = box_of(dir.path()).await;
    rig.start().await.unwrap();
    command::ask(&rig, &["standstill", "begin", "--reason", "a snapshot was brought back"]);
    fleet.answer_with(Some(json!({
        "audit": {"entries": 900_000, "hash": "00".repeat(32)},
        "lease": {"state": "contested", "holder": "11".repeat(16)},
    })));
    let causes = |status: &Value| -> Vec<String> {
        let further = status["standstill"]["further"].as_array().cloned().unwrap_or_default();
        further.iter().map(|one| one["cause"].as_str().unwrap().to_owned()).collect()
    };
    let status = until(&rig, "both are found", |status| causes(status).len() == 2).await;
    assert_eq!(
        (&status["standstill"]["cause"], causes(&status)),
        (&json!("asked"), vec!["rolled-back".to_owned(), "cloned".to_owned()])
    );
    let told = condition(&status, "standstill").unwrap()["detail"].as_str().unwrap();
    assert!(told.contains("asked: a snapshot") && told.contains("cloned: two running daemons"), "{told}");
    let shown = command::ask(&rig, &["standstill", "show"]);
    assert!(shown.contains("beside it: rolled-back") && shown.contains("beside it: cloned"), "{shown}");
    let (_, count) = fleet.latest().unwrap();
    eventually("more check-ins", || fleet.latest().unwrap().1 > count + 2).await;
    let log = command::json(&rig, &["audit", "list", "--action", "standstill"]);
    let mut actions: Vec<&str> =
        log["entries"].as_array().unwrap().iter().filter_map(|one| one["action"].as_str()).collect();
    actions.sort_unstable();
    assert_eq!(
        actions,
        ["standstill begun", "standstill further cause", "standstill further cause"],
        "{log:#}"
    );

    command::ask(&rig, &["standstill", "end", "--reason", "looked into all three"]);
    let (_, count) = fleet.latest().unwrap();
    eventually("more check-ins", || fleet.latest().unwrap().1 > count + 2).await;
    let status = rig.status().await.unwrap();
    assert!(condition(&status, "standstill").is_none(), "what was ended is not found anew: {status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_falls_silent_is_told_and_heard_again_and_one_that_never_spoke_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, fleet) = box_of(dir.path()).await;
    let feeds = "[silence]\nfeeds = [{ name = \"engine\", limit = \"2s\" }]\n";
    rig.write("isthmus.toml", &(rig.main_file() + &section(&fleet.url(), "client") + feeds)).unwrap();
    rig.start().await.unwrap();
    // It is looked at, and for longer than its limit.
    until(&rig, "it is looked at", |status| status["feeds"][0]["limit_s"] == 2).await;
    let (_, count) = fleet.latest().unwrap_or_default();
    eventually("six more check-ins", || fleet.latest().is_some_and(|(_, now)| now > count + 6)).await;
    let status = rig.status().await.unwrap();
    assert!(condition(&status, "feed-silent").is_none(), "it never spoke: {status:#}");
    send(&rig, &[people::hour("A", 0, "2026-03-02", 120)]).await;
    let status = until(&rig, "it is told", |status| condition(status, "feed-silent").is_some()).await;
    assert_eq!(condition(&status, "feed-silent").unwrap()["scope"], "engine");
    let told = told(&fleet, "upstream hears of it", |told| {
        told["conditions"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "feed-silent"))
    })
    .await;
    assert!(told["feeds"][0]["silent_s"].as_u64() > Some(2), "{told:#}");
    held_to_schema(&told);
    // Taken up without a restart.
    let text = fs::read_to_string(rig.config()).unwrap();
    rig.write("isthmus.toml", &text.replace("limit = \"2s\"", "limit = \"1h\"")).unwrap();
    until(&rig, "it is over", |status| condition(status, "feed-silent").is_none()).await;
    // What was heard is known after a restart, and the time it took is no silence.
    assert!(rig.stop().await.unwrap().success());
    rig.write("isthmus.toml", &text).unwrap();
    rig.start().await.unwrap();
    let status = until(&rig, "it is told again", |status| condition(status, "feed-silent").is_some()).await;
    assert!(status["feeds"][0]["last"].is_string(), "{status:#}");
}
