//! Delivery: in order per patient, once each, nothing after what it depends on was refused.

use outbox::{
    AuditEntry, Conflict, DropRow, Enters, Lease, Mode, ModeChange, NewRow, Quota, ReadError, Release,
    Settle, State, Take, UNRESOLVED, Verdict, WriteError, Written,
};

use crate::folder::{Folder, raw, row};

fn ids(rows: &[outbox::LeasedRow]) -> Vec<i64> {
    rows.iter().map(|row| row.id).collect()
}

fn deferred(key: u64) -> NewRow {
    NewRow { enters: Enters::Deferred("read-only".into()), ..row(key) }
}

fn mode(name: &str) -> Mode {
    Mode {
        site: "main".into(),
        destination: "ehr".into(),
        capability: "Observation".into(),
        mode: name.into(),
        since: 4_000,
        cause: "403".into(),
        evidence: "insufficient scope".into(),
    }
}

#[test]
fn a_patients_rows_leave_one_at_a_time_and_in_order() {
    let folder = Folder::new();
    let (a, b) = (folder.patient("a"), folder.patient("b"));
    let first = folder.publish(a, 20, vec![row(1)], 1_000)[0];
    let second = folder.publish(a, 21, vec![row(2)], 1_000)[0];
    let other = folder.publish(b, 20, vec![row(3)], 1_000)[0];
    let leased = folder.lease(1_000);
    assert_eq!(ids(&leased), [first, other]);
    assert_eq!(leased[0].body, b"body 1");
    assert_eq!((leased[0].attempts, leased[0].ambiguous, leased[0].created_at), (1, false, 1_000));
    assert!(folder.lease(1_000).is_empty(), "the first is still under way");
    assert_eq!(folder.deliver(first), State::Delivered);
    assert_eq!(ids(&folder.lease(1_000)), [second]);
}

#[test]
fn a_row_waits_for_its_time_and_its_line_waits_with_it() {
    let folder = Folder::new();
    let a = folder.patient("a");
    let first = folder.publish(a, 20, vec![row(1)], 1_000)[0];
    folder.publish(a, 21, vec![row(2)], 1_000);
    folder.lease(1_000);
    let retry = Verdict::Retry { at: 6_000, cause: "503".into() };
    assert_eq!(folder.settle(first, retry, 1_000), State::Pending);
    assert!(folder.lease(5_999).is_empty());
    assert_eq!(folder.read(|r| r.next_attempt_at("ehr")), Some(6_000));
    let again = folder.lease(6_000);
    assert_eq!((ids(&again), again[0].attempts), (vec![first], 2));
}

#[test]
fn a_dependent_row_leaves_after_its_row_or_is_set_aside_with_it() {
    let folder = Folder::new();
    let (a, b) = (folder.patient("a"), folder.patient("b"));
    let provenance = |key| NewRow { depends_on: Some(0), ..row(key) };
    let good = folder.publish(a, 20, vec![row(1), provenance(2)], 1_000);
    let bad = folder.publish(b, 20, vec![row(3), provenance(4)], 1_000);
    let later = folder.publish(b, 21, vec![row(5)], 1_000)[0];
    assert_eq!(ids(&folder.lease(1_000)), [good[0], bad[0]]);
    folder.deliver(good[0]);
    folder.settle(bad[0], Verdict::Quarantine { reason: "422".into() }, 2_000);
    assert_eq!((folder.state(bad[0]), folder.state(bad[1])), (State::Quarantined, State::Quarantined));
    let next = folder.lease(2_000);
    assert_eq!(ids(&next), [good[1], later], "the line of b moves on");
    assert_eq!(next[0].depends_on, Some(good[0]));
    // Released, both go again, after what is under way.
    let release = |row_id| Release { row_id, at: 3_000, audit: Vec::new() };
    // Alone, the dependent row would wait for ever.
    let alone = folder.writer().release(release(bad[1])).wait();
    assert_eq!(alone, Err(WriteError::Conflict(Conflict::Dependency)));
    assert_eq!(folder.writer().release(release(bad[0])).wait(), Ok(State::Pending));
    assert_eq!(folder.state(bad[1]), State::Pending);
    assert!(folder.lease(3_000).is_empty());
    folder.deliver(later);
    assert_eq!(ids(&folder.lease(3_000)), [bad[0]]);
    let twice = folder.writer().release(release(bad[0])).wait();
    assert_eq!(twice, Err(WriteError::Conflict(Conflict::Edge)));
}

#[test]
fn what_refers_to_others_comes_back_with_the_first_of_them_and_takes_its_place_behind_it() {
    let folder = Folder::new();
    let a = folder.patient("a");
    let panel = row(3);
    let rows =
        folder.publish(a, 20, vec![row(1), row(2), panel, NewRow { depends_on: Some(2), ..row(4) }], 1_000);
    for (at, reason) in [(0, "422"), (1, "422"), (2, UNRESOLVED)] {
        folder.lease(1_000);
        folder.settle(rows[at], Verdict::Quarantine { reason: reason.into() }, 2_000);
    }
    assert_eq!(folder.state(rows[3]), State::Quarantined);
    let release = |row_id| Release { row_id, at: 3_000, audit: Vec::new() };
    assert_eq!(folder.writer().release(release(rows[1])).wait(), Ok(State::Pending));
    let states = [0, 1, 2, 3].map(|at| folder.state(rows[at]));
    assert_eq!(states, [State::Quarantined, State::Pending, State::Pending, State::Pending]);
    assert_eq!(ids(&folder.lease(3_000)), [rows[1]], "what it refers to goes first");
}

#[test]
fn a_dropped_row_goes_with_what_depends_on_it_and_neither_is_sent_again() {
    let folder = Folder::new();
    let a = folder.patient("a");
    let rows = folder.publish(a, 20, vec![row(1), NewRow { depends_on: Some(0), ..row(2) }], 1_000);
    folder.lease(1_000);
    let drop_row = |at| {
        let audit = vec![AuditEntry {
            actor: "user a".into(),
            action: "quarantine dropped".into(),
            object: "row 1".into(),
            detail: String::new(),
            at,
        }];
        folder.writer().drop_row(DropRow { row_id: rows[0], at, audit }).wait()
    };
    assert_eq!(drop_row(1_500), Err(WriteError::Conflict(Conflict::Edge)), "it may be arriving just now");
    folder.settle(rows[0], Verdict::Quarantine { reason: "422".into() }, 2_000);
    assert_eq!(drop_row(3_000), Ok(State::Dropped));
    assert_eq!(drop_row(3_000), Err(WriteError::Conflict(Conflict::Edge)));
    assert_eq!(folder.state(rows[1]), State::Dropped);
    assert!(folder.lease(9_000).is_empty());
    assert_eq!(folder.read(|r| r.audit_after(0, 10)).len(), 1);
    assert!(folder.read(|r| r.body(rows[0])).is_some(), "its bytes stay");
}

#[test]
fn a_later_version_takes_the_place_of_what_was_not_sent() {
    let folder = Folder::new();
    let (a, b) = (folder.patient("a"), folder.patient("b"));
    let waiting = folder.publish(a, 20, vec![row(1)], 1_000)[0];
    let held = folder.publish(a, 21, vec![deferred(2)], 1_000)[0];
    let flying = folder.publish(b, 20, vec![row(3)], 1_000)[0];
    // Only b's row is taken; a's stays pending.
    let lease = outbox::Lease {
        destination: "ehr".into(),
        limit: 9,
        now: 1_000,
        take: outbox::Take::Due { kinds: vec!["bundle".into()], upto: 2 },
        quotas: Vec::new(),
    };
    let taken = ids(&folder.writer().lease(lease).wait().unwrap());
    assert_eq!(taken, [waiting, flying]);
    folder.settle(waiting, Verdict::Retry { at: 1_000, cause: "503".into() }, 1_000);
    let next_a = folder.publish(a, 20, vec![row(4)], 2_000)[0];
    folder.publish(a, 21, vec![row(5)], 2_000);
    let next_b = folder.publish(b, 20, vec![row(6)], 2_000)[0];
    assert_eq!(folder.state(waiting), State::Superseded);
    assert_eq!(folder.state(held), State::Superseded);
    assert_eq!(folder.state(flying), State::Leased, "it may have arrived already");
    assert_eq!(ids(&folder.lease(2_000)), [next_a]);
    // It did not arrive: the old values need never be written.
    let retry = Verdict::Retry { at: 2_000, cause: "503".into() };
    assert_eq!(folder.settle(flying, retry, 2_000), State::Superseded);
    assert_eq!(ids(&folder.lease(2_000)), [next_b]);
}

#[test]
fn a_quarantined_row_with_a_later_version_is_superseded_instead_of_released() {
    let folder = Folder::new();
    let a = folder.patient("a");
    let old = folder.publish(a, 20, vec![row(1)], 1_000)[0];
    folder.lease(1_000);
    folder.settle(old, Verdict::Quarantine { reason: "422".into() }, 1_000);
    folder.publish(a, 20, vec![row(2)], 2_000);
    let release = Release { row_id: old, at: 3_000, audit: Vec::new() };
    assert_eq!(folder.writer().release(release).wait(), Ok(State::Superseded));
}

#[test]
fn what_may_have_been_written_is_not_released_and_is_forgotten_only_when_a_person_drops_it() {
    let folder = Folder::new();
    let a = folder.patient("a");
    let old = folder.publish(a, 20, vec![row(1)], 1_000)[0];
    folder.lease(1_000);
    // Stored by an earlier release too, so these words are a contract.
    let reason = "it may have been written, the destination does not let us look, and a later version or another \
                  patient took its place";
    folder.settle(old, Verdict::Quarantine { reason: reason.into() }, 1_000);
    folder.publish(a, 20, vec![row(2)], 2_000);
    let window = folder.read(|r| r.rows(None, 10)).into_iter().find(|row| row.id == old).unwrap().window_id;
    let release = Release { row_id: old, at: 3_000, audit: Vec::new() };
    let refused = folder.writer().release(release).wait();
    assert_eq!(refused, Err(WriteError::Conflict(Conflict::Unproven)));
    assert!(folder.read(|r| r.stands(window)));
    let dropped = DropRow { row_id: old, at: 4_000, audit: Vec::new() };
    assert_eq!(folder.writer().drop_row(dropped).wait(), Ok(State::Dropped));
    assert!(!folder.read(|r| r.stands(window)));
}

#[test]
fn what_was_under_way_when_the_store_closed_is_ambiguous_and_goes_first() {
    let mut folder = Folder::new();
    let (a, b) = (folder.patient("a"), folder.patient("b"));
    let pending = folder.publish(b, 20, vec![row(1)], 1_000)[0];
    folder.lease(1_000);
    folder.settle(pending, Verdict::Retry { at: 1_000, cause: "503".into() }, 1_000);
    let sent = folder.publish(a, 20, vec![row(2)], 1_000)[0];
    let lease = outbox::Lease {
        destination: "ehr".into(),
        limit: 1,
        now: 1_000,
        take: outbox::Take::Due { kinds: vec!["bundle".into()], upto: 2 },
        quotas: Vec::new(),
    };
    assert_eq!(ids(&folder.writer().lease(lease).wait().unwrap()), [pending]);
    folder.settle(pending, Verdict::Retry { at: 1_000, cause: "503".into() }, 1_000);
    folder.lease(1_000);
    folder.settle(pending, Verdict::Retry { at: 1_000, cause: "503".into() }, 1_000);
    folder.reopen();
    assert_eq!(folder.state(sent), State::Ambiguous);
    let leased = folder.lease(1_000);
    assert_eq!(ids(&leased), [sent, pending]);
    assert_eq!((leased[0].ambiguous, leased[1].ambiguous), (true, false));
    // Still not known: it stays so, and holds its line up.
    let doubt = Verdict::Ambiguous { at: 9_000, cause: "time-out".into() };
    assert_eq!(folder.settle(sent, doubt, 1_000), State::Ambiguous);
    assert_eq!(folder.read(|r| r.next_attempt_at("ehr")), Some(9_000));
    assert!(folder.lease(9_000)[0].ambiguous);
}

#[test]
fn a_refusal_for_want_of_permission_defers_all_and_its_end_releases_all() {
    let folder = Folder::new();
    let patients: Vec<i64> = ["a", "b", "c"].iter().map(|value| folder.patient(value)).collect();
    let rows: Vec<i64> =
        (0..3).map(|n| folder.publish(patients[n], 20, vec![row(n as u64)], 1_000)[0]).collect();
    let own = folder.publish(
        patients[2],
        21,
        vec![NewRow { enters: Enters::Deferred("consent".into()), ..row(9) }],
        1_000,
    )[0];
    folder.lease(1_000);
    folder.settle(rows[1], Verdict::Retry { at: 1_000, cause: "503".into() }, 1_000);
    let refused = Settle {
        row_id: rows[0],
        lease: None,
        verdict: Verdict::Defer { reason: "read-only".into(), cause: None },
        wrote: true,
        modes: vec![ModeChange {
            mode: mode("read-only"),
            defer_pending: Some("read-only".into()),
            kind: None,
            requeue_quarantined: None,
            release_deferred: Vec::new(),
            latest: Vec::new(),
        }],
        audit: vec![AuditEntry {
            actor: "delivery".into(),
            action: "mode".into(),
            object: "main".into(),
            detail: "read-only".into(),
            at: 4_000,
        }],
        at: 4_000,
    };
    assert_eq!(folder.writer().settle(refused).wait(), Ok(State::Deferred));
    assert_eq!(folder.state(rows[1]), State::Deferred);
    assert_eq!(folder.state(rows[2]), State::Leased, "a write in flight may finish");
    folder.deliver(rows[2]);
    assert_eq!(folder.read(|r| r.modes()), [mode("read-only")]);
    assert_eq!(folder.read(|r| r.verify_audit()).entries, 1);
    assert!(folder.lease(9_000).is_empty());

    // Probes take one at a time and rotate through the patients.
    let hold = |id| folder.settle(id, Verdict::Defer { reason: "read-only".into(), cause: None }, 5_000);
    let mut probed = Vec::new();
    for now in [5_000, 6_000] {
        let one = folder.probe(now);
        assert_eq!(one.len(), 1);
        probed.push(one[0].id);
        hold(one[0].id);
    }
    assert_eq!(probed, [rows[0], rows[1]]);
    let third = folder.probe(7_000);
    assert_eq!(ids(&third), [own], "the patient not probed yet");
    folder.settle(own, Verdict::Defer { reason: "consent".into(), cause: None }, 7_000);
    let fourth = folder.probe(8_000);
    assert_eq!(ids(&fourth), [rows[0]], "least recently probed");

    let accepted = Settle {
        row_id: rows[0],
        lease: None,
        verdict: Verdict::Delivered { written: Vec::new() },
        wrote: true,
        modes: vec![ModeChange {
            mode: mode("full"),
            defer_pending: None,
            kind: None,
            requeue_quarantined: None,
            release_deferred: vec!["read-only".into()],
            latest: Vec::new(),
        }],
        audit: Vec::new(),
        at: 9_000,
    };
    assert_eq!(folder.writer().settle(accepted).wait(), Ok(State::Delivered));
    assert_eq!(folder.state(own), State::Deferred, "deferred for another reason");
    assert_eq!(ids(&folder.lease(9_000)), [rows[1]]);
    let counts = folder.read(|r| r.counts());
    assert_eq!((counts.rows(State::Delivered), counts.rows(State::Deferred)), (2, 1));
    assert_eq!(counts.oldest_undelivered_at, Some(1_000));
}

#[test]
fn a_mode_set_by_hand_moves_the_rows_and_says_how_many() {
    let folder = Folder::new();
    let a = folder.patient("a");
    folder.publish(a, 20, vec![row(1)], 1_000);
    folder.publish(a, 21, vec![row(2)], 1_000);
    let change = |defer: Option<&str>, release: Option<&str>| ModeChange {
        mode: mode("x"),
        defer_pending: defer.map(Into::into),
        kind: None,
        requeue_quarantined: None,
        release_deferred: release.map(Into::into).into_iter().collect(),
        latest: Vec::new(),
    };
    assert_eq!(folder.writer().set_mode(change(Some("hold"), None), Vec::new()).wait(), Ok(2));
    assert_eq!(folder.writer().set_mode(change(None, Some("other")), Vec::new()).wait(), Ok(0));
    assert_eq!(folder.writer().set_mode(change(None, Some("hold")), Vec::new()).wait(), Ok(2));
}

#[test]
fn only_a_leased_row_can_be_settled() {
    let folder = Folder::new();
    let a = folder.patient("a");
    let id = folder.publish(a, 20, vec![row(1)], 1_000)[0];
    let settle = |row_id| {
        let verdict = Verdict::Delivered { written: Vec::new() };
        folder
            .writer()
            .settle(Settle {
                row_id,
                lease: None,
                verdict,
                wrote: true,
                modes: Vec::new(),
                audit: Vec::new(),
                at: 1,
            })
            .wait()
    };
    assert_eq!(settle(id), Err(WriteError::Conflict(Conflict::Edge)));
    assert_eq!(settle(id + 1), Err(WriteError::Conflict(Conflict::Missing)));
    folder.lease(1_000);
    assert_eq!(settle(id), Ok(State::Delivered));
    assert_eq!(settle(id), Err(WriteError::Conflict(Conflict::Edge)));
}

#[test]
fn what_was_written_is_found_by_its_identifier() {
    let folder = Folder::new();
    let a = folder.patient("a");
    for (number, etag) in [(1, Some("W/\"1\"".to_owned())), (2, None)] {
        let id = folder.publish(a, 20, vec![row(number)], 1_000)[0];
        folder.lease(1_000);
        let written = vec![Written {
            identifier: "urn:x".into(),
            location: format!("Observation/{number}"),
            etag,
            content_hash: [number as u8; 32],
            told: false,
        }];
        folder.settle(id, Verdict::Delivered { written }, 1_000);
    }
    let found = folder.read(|r| r.written("ehr", &["urn:x", "urn:y"]));
    assert_eq!(found.len(), 1);
    let standing = &found["urn:x"];
    assert_eq!((standing.location.as_str(), standing.etag.as_deref()), ("Observation/2", None));
    assert_eq!((standing.version, standing.content_hash), (2, [2; 32]));
    assert!(folder.read(|r| r.written("up", &["urn:x"])).is_empty());
}

#[test]
fn damaged_bytes_are_set_aside_and_never_sent() {
    let mut folder = Folder::new();
    let (a, b) = (folder.patient("a"), folder.patient("b"));
    let damaged = folder.publish(a, 20, vec![row(1)], 1_000)[0];
    let whole = folder.publish(b, 20, vec![row(2)], 1_000)[0];
    folder.close();
    raw(folder.dir.path())
        .execute("UPDATE outbox_body SET bytes = x'00' WHERE row_id = ?1", [damaged])
        .unwrap();
    let store = crate::folder::open(folder.dir.path()).unwrap();
    let lease = outbox::Lease {
        destination: "ehr".into(),
        limit: 9,
        now: 1_000,
        take: outbox::Take::Due { kinds: vec!["bundle".into()], upto: 2 },
        quotas: Vec::new(),
    };
    assert_eq!(ids(&store.writer().lease(lease).wait().unwrap()), [whole]);
    let readers = store.readers();
    assert_eq!(readers.damaged(), [], "nobody has read it yet");
    assert_eq!(readers.with(|r| r.body(damaged)), Err(ReadError::BodyCorrupt(damaged)));
    assert_eq!(readers.with(|r| r.body(whole)), Ok(Some(b"body 2".to_vec())));
    assert_eq!(readers.damaged(), [damaged]);
    let told = readers.with(|r| r.conditions()).unwrap().remove(0);
    assert_eq!((told.name.as_str(), told.scope), (outbox::BODY_CORRUPT, format!("row {damaged}")));
    assert_eq!(readers.with(|r| r.counts()).unwrap().rows(State::Quarantined), 1);
}

#[test]
fn an_edge_that_was_decided_before_a_hold_does_not_open_what_a_person_holds() {
    let mut folder = Folder::new();
    let a = folder.patient("a");
    let row = folder.publish(a, 20, vec![row(1)], 1_000)[0];
    let change = |word: &str, defer: Option<&str>, release: Option<&str>| ModeChange {
        mode: mode(word),
        kind: None,
        requeue_quarantined: None,
        defer_pending: defer.map(Into::into),
        release_deferred: release.map(Into::into).into_iter().collect(),
        latest: Vec::new(),
    };
    let by_hand = |change| folder.writer().set_by_hand(change, Vec::new(), Vec::new()).wait();
    assert_eq!(by_hand(change(outbox::HELD, Some("by hand"), None)), Ok(1));
    // The site had answered well, or refused, a moment before.
    for word in ["full", "read-only"] {
        let edge = change(word, None, Some("by hand"));
        assert_eq!(folder.writer().set_mode(edge, Vec::new()).wait(), Ok(0), "{word}");
    }
    assert_eq!(folder.state(row), State::Deferred);
    folder.reopen();
    let modes = folder.read(|r| r.modes());
    assert_eq!((modes.len(), modes[0].mode.as_str()), (1, outbox::HELD));
    let by_hand = |change| folder.writer().set_by_hand(change, Vec::new(), Vec::new()).wait();
    assert_eq!(by_hand(change("full", None, Some("by hand"))), Ok(1), "a person opens it");
    assert_eq!(folder.state(row), State::Pending);
}

#[test]
fn a_verdict_of_an_earlier_lease_settles_nothing_and_what_it_wrote_is_known() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    let id = folder.publish(patient, 20, vec![row(1)], 1_000)[0];
    let first = folder.lease(1_000)[0].attempts;
    folder.settle(id, Verdict::Retry { at: 1_000, cause: "503".into() }, 1_000);
    let second = folder.lease(1_000)[0].attempts;
    let written = vec![Written {
        identifier: "urn:uuid:1".into(),
        location: "Observation/7".into(),
        etag: None,
        content_hash: [7; 32],
        told: false,
    }];
    let settle = |lease, verdict| {
        let settle = Settle {
            row_id: id,
            lease: Some(lease),
            verdict,
            wrote: true,
            modes: Vec::new(),
            audit: Vec::new(),
            at: 2_000,
        };
        folder.writer().settle(settle).wait()
    };
    let late = Verdict::Delivered { written: written.clone() };
    assert_eq!(settle(first, late.clone()), Ok(State::Leased));
    let ledger = folder.read(|reader| reader.written("ehr", &["urn:uuid:1"]));
    assert_eq!(ledger["urn:uuid:1"].location, "Observation/7");
    let audit = folder.read(|reader| reader.audit_after(0, 100));
    assert!(audit.iter().any(|(_, entry)| entry.action == "late verdict"));
    // The other lease settles it, and after that the first says no more either.
    let newer = vec![Written { location: "Observation/8".into(), ..written[0].clone() }];
    assert_eq!(settle(second, Verdict::Delivered { written: newer }), Ok(State::Delivered));
    assert_eq!(settle(first, late), Ok(State::Delivered));
    let ledger = folder.read(|reader| reader.written("ehr", &["urn:uuid:1"]));
    assert_eq!(ledger["urn:uuid:1"].location, "Observation/8");
}

#[test]
fn an_answer_that_nobody_awaited_any_more_ends_the_doubt_about_its_lease() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    let id = folder.publish(patient, 20, vec![row(1)], 1_000)[0];
    let attempts = folder.lease(1_000)[0].attempts;
    folder.settle(id, Verdict::Ambiguous { at: 9_000, cause: "cut".into() }, 1_000);
    let settle = Settle {
        row_id: id,
        lease: Some(attempts),
        verdict: Verdict::Delivered { written: Vec::new() },
        wrote: true,
        modes: Vec::new(),
        audit: Vec::new(),
        at: 2_000,
    };
    assert_eq!(folder.writer().settle(settle).wait(), Ok(State::Delivered));
}

#[test]
fn a_quota_is_given_back_once_and_in_the_span_that_it_was_counted_in() {
    let folder = Folder::new();
    let patients = [folder.patient("a"), folder.patient("b")];
    let ids: Vec<i64> =
        (0..2).map(|at| folder.publish(patients[at], 20, vec![row(at as u64)], 1_000)[0]).collect();
    let day = |began: i64| vec![Quota { span: "day".into(), began, most: 1 }];
    let lease = |began: i64, now: i64| {
        let take = Take::Due { kinds: vec!["bundle".into()], upto: 2 };
        let lease = Lease { destination: "ehr".into(), limit: 9, now, take, quotas: day(began) };
        folder.writer().lease(lease).wait().unwrap().iter().map(|row| row.id).collect::<Vec<_>>()
    };
    let settle = |row_id: i64, wrote: bool| {
        let verdict = Verdict::Retry { at: 1_000, cause: "refused".into() };
        let settle =
            Settle { row_id, lease: None, verdict, wrote, modes: Vec::new(), audit: Vec::new(), at: 2_000 };
        folder.writer().settle(settle).wait().unwrap();
    };
    assert_eq!((lease(0, 1_000).len(), lease(0, 1_000).len()), (1, 0), "one a day");
    settle(ids[0], false);
    assert_eq!((lease(0, 1_000).len(), lease(0, 1_000).len()), (1, 0), "nothing was written");
    // Counted yesterday, it gives nothing back today.
    assert_eq!(lease(9, 1_000), [ids[1]]);
    settle(ids[0], false);
    assert!(lease(9, 1_000).is_empty());
    settle(ids[1], true);
    assert!(lease(9, 1_000).is_empty(), "a write was made");
}
