//! Messages for a destination: once each, in order, and out of the way only when a person says so.

use outbox::{
    Absorb, AuditEntry, Conflict, Lease, LeasedRow, NewMessage, Settle, Skip, State, Take, Turn, Verdict,
    WriteError,
};

use crate::folder::{Folder, arrival, nothing};

fn message(key: u8, patient: i64, kind: &str) -> NewMessage {
    NewMessage {
        destination: "mllp:x".into(),
        patient,
        kind: kind.into(),
        key: [key; 32],
        body: format!("message {key}").into_bytes(),
        at: 1_000,
    }
}

fn take(folder: &Folder, now: i64) -> Vec<LeasedRow> {
    let lease =
        outbox::Lease { destination: "mllp:x".into(), limit: 100, now, take: Take::Any, quotas: Vec::new() };
    folder.writer().lease(lease).wait().unwrap()
}

fn bodies(rows: &[LeasedRow]) -> Vec<String> {
    rows.iter().map(|row| String::from_utf8(row.body.clone()).unwrap()).collect()
}

fn skip(row_id: i64) -> Skip {
    let audit = vec![AuditEntry {
        actor: "someone".into(),
        action: "outbound skip".into(),
        object: "mllp:x".into(),
        detail: format!("row {row_id}"),
        at: 3_000,
    }];
    let reason = "skipped".into();
    Skip { row_id, destination: "mllp:x".into(), reason, modes: Vec::new(), audit, at: 3_000 }
}

#[test]
fn messages_of_a_line_leave_one_at_a_time_and_lines_beside_each_other() {
    let mut folder = Folder::new();
    let all = vec![message(1, 7, "oru"), message(2, 7, "oru"), message(3, 8, "oru"), message(4, 0, "ack:a")];
    let ids = folder.writer().enqueue(all.clone()).wait().unwrap();
    assert!(ids.iter().all(Option::is_some));
    let again = folder.writer().enqueue(vec![all[1].clone(), message(5, 0, "ack:b")]).wait().unwrap();
    assert!(again[0].is_none() && again[1].is_some(), "a key is enqueued once");
    let leased = take(&folder, 1_000);
    assert_eq!(bodies(&leased), ["message 1", "message 3", "message 4", "message 5"]);
    assert_eq!((leased[0].window_id, leased[0].version, leased[0].patient), (0, 0, 7));
    folder.deliver(leased[0].id);
    folder.settle(leased[1].id, Verdict::Ambiguous { at: 1_500, cause: "timed out".into() }, 1_200);
    // What was out when the store closed comes back in doubt, before what was never sent.
    folder.reopen();
    let leased = take(&folder, 2_000);
    assert_eq!(bodies(&leased), ["message 4", "message 5", "message 3", "message 2"]);
    assert_eq!(leased.iter().map(|row| row.ambiguous).collect::<Vec<_>>(), [true, true, true, false]);
}

#[test]
fn a_reply_is_enqueued_with_the_watermark_or_not_at_all() {
    let folder = Folder::new();
    folder.intake(arrival(1, 1)).unwrap();
    let absorb = |from| Absorb { replies: vec![message(1, 0, "ack:a")], ..nothing(from, 1) };
    assert_eq!(folder.writer().absorb(absorb(5)).wait(), Err(WriteError::Conflict(Conflict::Watermark)));
    assert!(take(&folder, 1_000).is_empty());
    folder.writer().absorb(absorb(0)).wait().unwrap();
    // A message that is absorbed anew is not answered anew.
    folder.writer().absorb(absorb(1)).wait().unwrap();
    let leased = take(&folder, 1_000);
    assert_eq!(bodies(&leased), ["message 1"]);
    folder.deliver(leased[0].id);
    assert!(take(&folder, 9_000).is_empty());
}

#[test]
fn a_turn_settles_first_and_leases_what_follows_or_does_neither() {
    let folder = Folder::new();
    let all = vec![message(1, 7, "oru"), message(2, 7, "oru"), message(3, 8, "oru")];
    let ids: Vec<i64> = folder.writer().enqueue(all).wait().unwrap().into_iter().flatten().collect();
    let lease =
        || Lease { destination: "mllp:x".into(), limit: 9, now: 2_000, take: Take::Any, quotas: Vec::new() };
    let turn = |settled| folder.writer().turn(Turn { settled, lease: Some(lease()) }).wait();
    let delivered = |row_id| Settle {
        row_id,
        lease: None,
        verdict: Verdict::Delivered { written: Vec::new() },
        wrote: true,
        modes: Vec::new(),
        audit: Vec::new(),
        at: 2_000,
    };
    assert_eq!(bodies(&turn(Vec::new()).unwrap()), ["message 1", "message 3"]);
    // The second row is not out yet, so nothing of this happens.
    let wrong = turn(vec![delivered(ids[0]), delivered(ids[1])]);
    assert_eq!(wrong.err(), Some(WriteError::Conflict(Conflict::Edge)));
    assert_eq!((folder.state(ids[0]), folder.state(ids[1])), (State::Leased, State::Pending));
    assert_eq!(bodies(&turn(vec![delivered(ids[0])]).unwrap()), ["message 2"]);
    assert_eq!(folder.state(ids[0]), State::Delivered);
    let last = Turn { settled: vec![delivered(ids[1]), delivered(ids[2])], lease: None };
    assert!(folder.writer().turn(last).wait().unwrap().is_empty());
}

#[test]
fn a_row_is_skipped_while_it_waits_and_its_line_moves_on() {
    let folder = Folder::new();
    let ids = folder.writer().enqueue(vec![message(1, 7, "oru"), message(2, 7, "oru")]).wait().unwrap();
    let first = ids[0].unwrap();
    let elsewhere = Skip { destination: "mllp:y".into(), ..skip(first) };
    assert_eq!(folder.writer().skip(elsewhere).wait(), Err(WriteError::Conflict(Conflict::Missing)));
    take(&folder, 1_000);
    let flying = folder.writer().skip(skip(first)).wait();
    assert_eq!(flying, Err(WriteError::Conflict(Conflict::Edge)), "it is being sent");
    folder.settle(first, Verdict::Retry { at: 1_000, cause: "AE".into() }, 2_000);
    assert_eq!(folder.writer().skip(skip(first)).wait(), Ok(State::Quarantined));
    assert_eq!(folder.writer().skip(skip(first)).wait(), Err(WriteError::Conflict(Conflict::Edge)));
    assert_eq!(bodies(&take(&folder, 3_000)), ["message 2"]);
    let told = folder.read(|reader| reader.audit_after(0, 10));
    assert_eq!(told.iter().map(|(_, entry)| entry.action.as_str()).collect::<Vec<_>>(), ["outbound skip"]);
}

#[test]
fn of_a_queue_that_several_share_only_what_is_named_leaves_and_a_hold_defers_its_rows_with_its_own() {
    let folder = Folder::new();
    let (main, ward) = (message(1, 7, "message of main"), message(2, 7, "message of ward"));
    folder
        .writer()
        .enqueue(vec![main, ward, message(3, 0, "ack:a"), message(4, 0, "acknowledged")])
        .wait()
        .unwrap();
    let take = |kinds: &[&str]| {
        let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let take = Take::Among { beginning: "ack:".into(), kinds };
        let lease = Lease { destination: "mllp:x".into(), limit: 9, now: 2_000, take, quotas: Vec::new() };
        bodies(&folder.writer().lease(lease).wait().unwrap())
    };
    assert_eq!(take(&[]), ["message 3"]);
    let mode = outbox::Mode {
        site: "main".into(),
        destination: "ehr:main".into(),
        capability: "message".into(),
        mode: outbox::HELD.into(),
        since: 2_000,
        cause: String::new(),
        evidence: String::new(),
    };
    let hold = outbox::ModeChange {
        mode,
        kind: Some("message".into()),
        requeue_quarantined: None,
        defer_pending: Some("held".into()),
        release_deferred: Vec::new(),
        latest: Vec::new(),
    };
    let queues = vec![("mllp:x".to_owned(), "message of main".to_owned())];
    assert_eq!(folder.writer().set_by_hand(hold, queues, Vec::new()).wait(), Ok(1));
    assert_eq!(take(&["message of main", "message of ward"]), ["message 2"]);
    let mut kinds = folder.read(|r| r.kinds_waiting("mllp:x"));
    kinds.sort();
    assert_eq!(kinds, ["ack:a", "acknowledged", "message of main", "message of ward"]);
}
