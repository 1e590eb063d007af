//! A doubt: how long it stands, and how the word of a person ends it.

use outbox::{
    AuditEntry, Conflict, NewRow, SettleDoubt, Standing, State, UNPROVEN, Verdict, WriteError, Written,
};

use crate::folder::{Folder, row};

fn entry(at: i64) -> Vec<AuditEntry> {
    let (actor, action, object) = ("user a".into(), "doubt settled".into(), "outbox row".into());
    vec![AuditEntry { actor, action, object, detail: "looked".into(), at }]
}

fn said(folder: &Folder, row_id: i64, stands: Option<&str>, at: i64) -> Result<State, WriteError> {
    let written = stands.map(|location| {
        vec![Written {
            identifier: "urn:x".into(),
            location: location.into(),
            etag: None,
            content_hash: [9; 32],
            told: true,
        }]
    });
    folder.writer().settle_doubt(SettleDoubt { row_id, stands: written, audit: entry(at), at }).wait()
}

fn in_doubt(folder: &Folder, at: i64) {
    let leased = folder.lease(at);
    assert_eq!(leased.len(), 1);
    let doubt = Verdict::Ambiguous { at, cause: "reset".into() };
    assert_eq!(folder.settle(leased[0].id, doubt, at), State::Ambiguous);
}

fn doubts(folder: &Folder) -> Vec<(i64, i64)> {
    folder.read(|r| r.in_doubt("ehr", 10))
}

fn stands(folder: &Folder) -> Option<Standing> {
    folder.read(|r| r.written("ehr", &["urn:x"])).remove("urn:x")
}

const REFUSED: Result<State, WriteError> = Err(WriteError::Conflict(Conflict::Edge));

#[test]
fn a_doubt_is_as_old_as_its_first_moment_over_looks_and_restarts_and_ends_with_its_end() {
    let mut folder = Folder::new();
    let a = folder.patient("a");
    let first = folder.publish(a, 20, vec![row(1)], 1_000)[0];
    assert!(doubts(&folder).is_empty());
    in_doubt(&folder, 2_000);
    // Looked for, and in doubt all the same.
    in_doubt(&folder, 3_000);
    assert_eq!(doubts(&folder), [(first, 2_000)]);
    folder.lease(4_000);
    folder.reopen();
    assert_eq!((folder.state(first), doubts(&folder)), (State::Ambiguous, vec![(first, 2_000)]));
    folder.lease(5_000);
    folder.deliver(first);
    assert!(doubts(&folder).is_empty());
    // What was out for the first time is in doubt since the store was opened again.
    let second = folder.publish(a, 21, vec![row(2)], 1_000)[0];
    folder.lease(6_000);
    folder.reopen();
    assert_eq!(doubts(&folder), [(second, 1_000)], "the folder opens at 1 s");
}

#[test]
fn what_a_person_found_is_done_and_what_waits_behind_it_goes_on() {
    for location in ["Observation/7", ""] {
        let folder = Folder::new();
        let a = folder.patient("a");
        let rows = folder.publish(a, 20, vec![row(1), NewRow { depends_on: Some(0), ..row(2) }], 1_000);
        assert_eq!(said(&folder, rows[0], Some(location), 1_500), REFUSED, "it waits, and is not in doubt");
        in_doubt(&folder, 2_000);
        assert_eq!(said(&folder, rows[0], Some(location), 3_000), Ok(State::Delivered));
        let standing = stands(&folder).unwrap();
        assert_eq!((standing.location.as_str(), standing.told, standing.row_id), (location, true, rows[0]));
        assert!(doubts(&folder).is_empty());
        assert_eq!(folder.lease(3_000)[0].id, rows[1]);
        assert_eq!(said(&folder, rows[0], None, 4_000), REFUSED, "it is settled");
        assert_eq!(said(&folder, rows[1], None, 4_000), REFUSED, "it is out");
        let audit = folder.read(|r| r.audit_after(0, 10));
        assert_eq!(audit.len(), 1, "what was refused left no trace");
    }
}

#[test]
fn an_update_that_a_person_found_stands_where_the_version_before_it_stood() {
    let folder = Folder::new();
    let a = folder.patient("a");
    let first = folder.publish(a, 20, vec![row(1)], 1_000)[0];
    folder.lease(1_000);
    let written = vec![Written {
        identifier: "urn:x".into(),
        location: "Observation/3".into(),
        etag: Some("W/\"1\"".into()),
        content_hash: [1; 32],
        told: false,
    }];
    folder.settle(first, Verdict::Delivered { written }, 1_000);
    let second = folder.publish(a, 20, vec![row(2)], 2_000)[0];
    in_doubt(&folder, 2_000);
    assert_eq!(said(&folder, second, Some(""), 3_000), Ok(State::Delivered));
    let standing = stands(&folder).unwrap();
    assert_eq!((standing.location.as_str(), standing.told), ("Observation/3", false));
    assert_eq!((standing.etag, standing.content_hash, standing.version), (None, [9; 32], 2));
}

#[test]
fn what_a_person_did_not_find_goes_again_unless_a_later_version_took_its_place() {
    let folder = Folder::new();
    let (a, b) = (folder.patient("a"), folder.patient("b"));
    let first = folder.publish(a, 20, vec![row(1)], 1_000)[0];
    in_doubt(&folder, 2_000);
    assert_eq!(said(&folder, first, None, 3_000), Ok(State::Pending));
    let again = folder.lease(3_000);
    assert_eq!((again[0].id, again[0].ambiguous), (first, false));
    folder.deliver(first);

    let overtaken = folder.publish(b, 20, vec![row(2)], 4_000)[0];
    in_doubt(&folder, 4_000);
    let later = folder.publish(b, 20, vec![row(3)], 5_000)[0];
    assert_eq!(said(&folder, overtaken, None, 6_000), Ok(State::Superseded));
    assert_eq!(folder.lease(6_000)[0].id, later);
    assert!(stands(&folder).is_none());
}

#[test]
fn what_was_set_aside_because_nobody_could_look_ends_by_a_persons_word_too() {
    for found in [true, false] {
        let folder = Folder::new();
        let a = folder.patient("a");
        let rows = folder.publish(a, 20, vec![row(1), NewRow { depends_on: Some(0), ..row(2) }], 1_000);
        in_doubt(&folder, 2_000);
        folder.publish(a, 20, vec![row(3)], 3_000);
        folder.lease(3_000);
        folder.settle(rows[0], Verdict::Quarantine { reason: UNPROVEN.into() }, 3_000);
        let state = said(&folder, rows[0], found.then_some("Observation/7"), 4_000).unwrap();
        let other = folder.state(rows[1]);
        // What followed it came too late: a later version is there.
        assert_eq!(
            (state, other, stands(&folder).is_some()),
            if found { (State::Delivered, State::Superseded, true) } else { (State::Dropped, other, false) }
        );
    }
}

#[test]
fn what_a_person_says_of_an_earlier_version_does_not_take_the_place_of_a_later_one() {
    let folder = Folder::new();
    let a = folder.patient("a");
    let second = folder.publish(a, 20, vec![row(1)], 1_000)[0];
    in_doubt(&folder, 2_000);
    let third = folder.publish(a, 20, vec![row(2)], 3_000)[0];
    folder.lease(3_000);
    folder.settle(second, Verdict::Quarantine { reason: UNPROVEN.into() }, 3_000);
    assert_eq!(folder.lease(3_000)[0].id, third);
    let written = vec![Written {
        identifier: "urn:x".into(),
        location: "Observation/3".into(),
        etag: Some("W/\"3\"".into()),
        content_hash: [3; 32],
        told: false,
    }];
    folder.settle(third, Verdict::Delivered { written }, 3_000);
    let before = stands(&folder).unwrap();
    assert_eq!(said(&folder, second, Some("Observation/7"), 4_000), Ok(State::Delivered));
    assert_eq!(stands(&folder).unwrap(), before);
}
