//! What is kept too long goes, in a store that runs, and what is held by law does not; both are in the audit log.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use outbox::{Arrival, Key, PatientKey, Store, StoreOptions};
use serde_json::Value;
use sha2::{Digest, Sha256};
use site::{
    append_site, chart,
    command::{ask, json, refused},
    daily, edit_site, people, send, settled, store, until_metric,
};
use standin::rig::{Rig, RigSettings};

/// More than 400 days ago, whenever this runs.
const DAY: &str = "2024-03-02";
const DAY_MS: i64 = 86_400_000;
const SYSTEM: &str = "urn:oid:1.2.3";

fn pruned(what: &str) -> String {
    format!("isthmus_retention_pruned_total{{site=\"main\",what=\"{what}\"}}")
}

/// Readings that are stored of persons on [`DAY`], after the daemon has stopped.
async fn stored(rig: &mut Rig, persons: &[u32]) -> Vec<u32> {
    let keys: Vec<PatientKey> = persons
        .iter()
        .map(|n| PatientKey { site: "main".into(), system: SYSTEM.into(), value: people::person(*n).mrn })
        .collect();
    let day = jiff::civil::date(1970, 1, 1).until(people::day(DAY)).unwrap().get_days();
    store::looked(rig, |reader| {
        keys.iter()
            .map(|key| {
                let number = reader.find_patient(key)?.unwrap();
                Ok(reader.chunks(number, day - 1, day + 2)?.iter().map(|chunk| chunk.count).sum())
            })
            .collect()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_go_when_their_time_is_over_but_those_of_a_patient_who_is_held_until_the_hold_ends() {
    let dir = tempfile::tempdir().unwrap();
    let settings = RigSettings { publish_from: "2024-01-01".to_owned(), ..daily() };
    let mut rig = site::prepare(dir.path(), settings).await;
    rig.start().await.unwrap();
    send(&rig, &[people::hour("M1", 1, DAY, 100), people::hour("M2", 2, DAY, 100)]).await;
    settled(&rig).await;
    let writes = chart::writes(&rig.ehr).len();
    assert!(writes > 0);
    let whom = |n| format!("{SYSTEM}|{}", people::person(n).mrn);
    let told = refused(&rig, &["legal-hold", "add", "--patient", &whom(9), "--reason", "case 1"]);
    assert!(told.contains("nothing of this patient is stored"), "{told}");
    let added = json(&rig, &["legal-hold", "add", "--patient", &whom(2), "--reason", "case 1"]);
    let hold = added["added"]["hold"].to_string();
    assert!(!added.to_string().contains(&people::person(2).mrn), "{added}");

    append_site(&rig, "\n[retention]\nreadings = \"400d\"\n");
    until_metric(&rig, &pruned("readings"), 1.0).await;
    // What comes late of a day that is gone is taken, and nothing is computed from it.
    send(
        &rig,
        &[people::message("M3", &people::person(1), &people::readings(people::day(DAY), 60, &[300; 12]))],
    )
    .await;
    settled(&rig).await;
    assert_eq!(chart::writes(&rig.ehr).len(), writes, "no outcome of the rest of a day");
    assert_eq!(stored(&mut rig, &[1, 2]).await, [12, 12], "one's late readings, the other's are held");

    rig.start().await.unwrap();
    until_metric(&rig, &pruned("readings"), 1.0).await;
    let listed = ask(&rig, &["legal-hold", "list"]);
    assert!(
        listed.contains(&format!("legal hold {hold} since ")) && listed.contains("site main: case 1"),
        "{listed}"
    );
    ask(&rig, &["legal-hold", "release", &hold, "--reason", "case 1 is closed"]);
    let told = refused(&rig, &["legal-hold", "release", &hold, "--reason", "again"]);
    assert!(told.contains("no legal hold"), "{told}");
    edit_site(&rig, "400d", "401d");
    until_metric(&rig, &pruned("readings"), 2.0).await;
    assert_eq!(stored(&mut rig, &[1, 2]).await, [0, 0]);

    rig.start().await.unwrap();
    let audited = store::audit(&mut rig).await;
    let of = |action: &str| audited.iter().filter(|entry| entry.action == action).collect::<Vec<_>>();
    assert_eq!((of("legal hold added").len(), of("legal hold ended").len()), (1, 1));
    assert_eq!(of("legal hold added")[0].detail, "patient 2, site main: case 1");
    assert_eq!(of("legal hold ended")[0].detail, "case 1 is closed");
    let removed = of("retention pruned");
    assert_eq!(removed.len(), 3, "{removed:?}");
    for entry in removed {
        assert_eq!((entry.actor.as_str(), entry.object.as_str()), ("isthmus", "site main"));
        assert!(entry.detail.starts_with("1 days of readings, numbers "), "{}", entry.detail);
        assert!(entry.detail.contains("of 2024-03-02T00:00:00Z to 2024-03-02T23:59:59"), "{}", entry.detail);
    }
}

/// Puts messages into the store of a daemon that does not run, as if they had come `ago` days ago.
fn put(rig: &Rig, now_ms: i64, messages: &[(Vec<u8>, i64)]) {
    let dir = rig.dir().join("data");
    std::fs::create_dir_all(&dir).unwrap();
    let (key, _) = Key::from_file(&rig.dir().join("db.key")).unwrap();
    let store = Store::open(&dir, key, StoreOptions::default(), now_ms).unwrap();
    let runtime = tokio::runtime::Handle::current();
    for (index, (body, ago)) in messages.iter().enumerate() {
        let arrival = Arrival {
            source: "engine".into(),
            site: "main".into(),
            handler: "results",
            kind: "ORU^R01".into(),
            control_id: format!("OLD{index}").into(),
            received_at: now_ms - ago * DAY_MS,
            key: [index as u8 + 1; 16],
            control_key: [index as u8 + 1; 8],
            hash: Sha256::digest(body).into(),
            body: body.clone().into(),
            refusal: None,
        };
        tokio::task::block_in_place(|| runtime.block_on(store.writer().intake(arrival))).unwrap();
    }
    assert!(store.close());
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_lose_their_bytes_but_those_that_wait_for_a_person_and_the_rest_stays_explicable() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let hour = |id: &str| people::hour(id, 1, "2026-03-02", 100);
    // Of nobody: no PID-3.
    let nobody = people::altered(&hour("OLD1"), &people::person(1).mrn, "");
    put(&rig, now_ms, &[(hour("OLD0"), 200), (nobody, 200), (hour("OLD2"), 170)]);
    rig.start().await.unwrap();
    settled(&rig).await;
    append_site(&rig, "\n[retention]\nmessages = \"180d\"\n");
    until_metric(&rig, &pruned("messages"), 1.0).await;

    let told = refused(&rig, &["quarantine", "show", "1"]);
    assert!(told.contains("the bytes of message 1 were removed at 20") && told.contains("SHA-256"), "{told}");
    for kept in ["2", "3"] {
        let shown: Value = json(&rig, &["quarantine", "show", kept]);
        assert!(
            shown["message"]["lines"].as_array().is_some_and(|lines| !lines.is_empty()),
            "{kept}: {shown:#}"
        );
    }
    let counted = ask(&rig, &["replay", "--range", "1..3", "--dry-run", "--reason", "look"]);
    assert!(!counted.contains('3'), "what is gone is not read anew: {counted}");
    // Everything is held: nothing more goes, however short the time.
    ask(&rig, &["legal-hold", "add", "--all", "--reason", "audit"]);
    until_metric(&rig, "isthmus_legal_holds", 1.0).await;
    let audited = store::audit(&mut rig).await;
    let removed: Vec<_> = audited.iter().filter(|entry| entry.action == "retention pruned").collect();
    assert_eq!(removed.len(), 1);
    assert!(removed[0].detail.starts_with("1 messages, numbers 1 to 1, of 20"), "{}", removed[0].detail);
}
