use std::collections::BTreeSet;

use outbox::{Key, Store, StoreOptions};

use super::*;
use crate::endpoint::scope::Scopes;

fn caller(role: Role) -> Caller {
    Caller {
        name: "ward-app".to_owned(),
        site: "main".into(),
        role,
        scopes: Scopes::read("system/*.rs"),
        patient: None,
        reason: Some("unconscious in the emergency room".to_owned()),
        ceiling: None,
    }
}

fn access(what: &str) -> Access<'_> {
    let object = resource(Kind::Observation, Some("o1"));
    Access { what, object, status: 200, resources: 1, request_id: "r-1" }
}

#[test]
fn an_entry_says_who_did_what_to_which_resource_and_a_reason_only_where_glass_was_broken() {
    let entry = access("read").by(&caller(Role::Viewer));
    assert_eq!(
        (entry.actor.as_str(), entry.action.as_str(), entry.object.as_str(), entry.detail.as_str()),
        ("fhir viewer ward-app", "fhir read", "Observation/o1", "status 200; resources 1; request r-1")
    );
    let broken = access("read").by(&caller(Role::BreakGlass));
    assert_eq!(broken.action, "fhir break-glass read");
    assert!(broken.detail.ends_with("; reason: unconscious in the emergency room"), "{}", broken.detail);
}

#[test]
fn of_a_search_the_names_of_its_parameters_are_kept_and_no_value() {
    for (query, kept) in [
        ("code=15074-8&date=ge2026-01-01&date=lt2026-02-01", "Observation?code,date"),
        ("patient.identifier=urn:oid:1.2.3|4711&_sort=-date", "Observation?_sort,patient.identifier"),
        ("code:in=x", "Observation?code:in"),
        ("M%C3%BCller=1&Jane Doe=2", "Observation??"),
        ("", "Observation?"),
    ] {
        assert_eq!(searched(Kind::Observation, query), kept, "{query}");
    }
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let key = Key::from_hex("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff").unwrap();
    let store = Store::open(dir.path(), key, StoreOptions::default(), 0).unwrap();
    (dir, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_handed_in_is_in_the_chain_when_the_task_has_ended_in_few_commits() {
    let (_dir, store) = store();
    let (auditor, task) = Auditor::new(store.writer());
    for _ in 0..2_000 {
        auditor.record(vec![access("read").by(&caller(Role::Viewer))]).await.unwrap();
    }
    let before = store.writer().counts().groups;
    auditor.close();
    task.run().await;
    let commits = store.writer().counts().groups - before;
    assert!(commits <= 8, "{commits} commits for what waited together");
    let head = store.readers().with(|reader| reader.verify_audit()).unwrap();
    assert_eq!(head.entries, 2_000);
    assert_eq!(auditor.record(vec![access("read").by(&caller(Role::Viewer))]).await, Err(AuditFull));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_takes_all_of_a_record_or_none_and_says_so_before() {
    let (_dir, store) = store();
    let (auditor, task) = Auditor::new(store.writer());
    let some = |count: usize| vec![access("read").by(&caller(Role::Viewer)); count];
    auditor.record(some(QUEUE - HEADROOM)).await.unwrap();
    assert!(auditor.has_room());
    auditor.record(some(1)).await.unwrap();
    assert!(!auditor.has_room());
    assert_eq!(auditor.record(some(HEADROOM)).await, Err(AuditFull));
    auditor.record(some(HEADROOM - 1)).await.unwrap();
    auditor.close();
    task.run().await;
    assert_eq!(store.readers().with(|reader| reader.verify_audit()).unwrap().entries, QUEUE as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_nobody_are_in_the_log_at_a_bounded_rate_with_how_many_were_left_out() {
    let (_dir, store) = store();
    let (auditor, task) = Auditor::new(store.writer());
    let peers: BTreeSet<u32> = (0..1_000).collect();
    for peer in &peers {
        auditor.unproved("Observation".to_owned(), "expired", &peer.to_string(), "r").await;
    }
    auditor.close();
    task.run().await;
    let entries = store.readers().with(|reader| reader.audit_after(0, 2_000)).unwrap();
    assert!((60..200).contains(&entries.len()), "{} entries", entries.len());
    assert!(entries.iter().all(|(_, entry)| entry.actor == "fhir nobody" && entry.action == "fhir refused"));
}
