//! Bytes that nobody needs any more: which may go and when, and what stays of them.

use outbox::{
    AuditEntry, Conflict, DropRow, Enters, Expiry, LOOK_ROWS, NewRow, PatientKey, REMOVE_BYTES, REMOVE_ROWS,
    RemoveBytes, State, Verdict, WriteError, Written,
};
use sha2::{Digest, Sha256};

use crate::folder::{Folder, raw, row, version};

const _: () = assert!(LOOK_ROWS > REMOVE_ROWS as i64, "a look that finds everything removable ends by that");

/// When everything is settled that is.
const SETTLED: i64 = 5_000;

/// What stands below this is never changed.
const fn expiry(before: i64) -> Expiry {
    Expiry { before, fixed: "Provenance/" }
}

fn removable(folder: &Folder, before: i64) -> Vec<i64> {
    folder.read(|r| r.removable("main", &expiry(before), 0)).rows
}

fn remove(folder: &Folder, rows: &[i64], before: i64) -> Result<(), WriteError> {
    let audit = AuditEntry {
        actor: "isthmus".into(),
        action: "bytes removed".into(),
        object: "site main".into(),
        detail: format!("{} rows", rows.len()),
        at: 9_000,
    };
    folder
        .writer()
        .remove_bytes(RemoveBytes { rows: rows.to_vec(), expiry: expiry(before), audit, at: 9_000 })
        .wait()
}

fn only(rows: Vec<i64>) -> i64 {
    assert_eq!(rows.len(), 1);
    rows[0]
}

/// One row of a patient of its own, leased.
fn leased(folder: &Folder, name: &str, key: u64) -> i64 {
    let id = only(folder.publish(folder.patient(name), 20, vec![row(key)], 1_000));
    assert_eq!(folder.lease(1_000).iter().map(|row| row.id).collect::<Vec<_>>(), [id]);
    id
}

#[test]
fn bytes_go_of_what_is_settled_for_good_and_of_nothing_else_at_the_very_age() {
    let folder = Folder::new();
    let settle = |id, verdict| folder.settle(id, verdict, SETTLED);
    let quarantine = || Verdict::Quarantine { reason: "422".into() };
    // Those that are not settled, or may come back.
    let held = leased(&folder, "quarantined", 1);
    settle(held, quarantine());
    let doubt = leased(&folder, "ambiguous", 2);
    settle(doubt, Verdict::Ambiguous { at: 99_000, cause: "time-out".into() });
    let enters = Enters::Deferred("read-only".into());
    let deferred =
        only(folder.publish(folder.patient("deferred"), 20, vec![NewRow { enters, ..row(3) }], 1_000));
    let out = leased(&folder, "leased", 4);
    // Those that are settled for good.
    let dropped = leased(&folder, "dropped", 5);
    settle(dropped, quarantine());
    let drop_row = DropRow { row_id: dropped, at: SETTLED, audit: Vec::new() };
    assert_eq!(folder.writer().drop_row(drop_row).wait(), Ok(State::Dropped));
    let superseded = only(folder.publish(folder.patient("superseded"), 20, vec![row(6)], 1_000));
    let pending = only(folder.publish(folder.patient("superseded"), 20, vec![row(7)], SETTLED));
    let shown = NewRow { enters: Enters::Shown, ..row(8) };
    let shown = only(folder.publish(folder.patient("shown"), 20, vec![shown], SETTLED));
    let elsewhere = PatientKey { site: "other".into(), system: "urn:mr".into(), value: "x".into() };
    let elsewhere = folder.writer().patients(vec![elsewhere]).wait().unwrap()[0];
    let other_site = NewRow { enters: Enters::Shown, ..row(9) };
    let other_site = only(folder.publish(elsewhere, 20, vec![other_site], SETTLED));

    let states = [
        (held, State::Quarantined),
        (doubt, State::Ambiguous),
        (deferred, State::Deferred),
        (out, State::Leased),
        (dropped, State::Dropped),
        (superseded, State::Superseded),
        (pending, State::Pending),
        (shown, State::Shown),
    ];
    for (id, state) in states {
        assert_eq!(folder.state(id), state);
    }
    assert_eq!(removable(&folder, SETTLED - 1), [0_i64; 0]);
    let gone = vec![dropped, superseded, shown];
    let found = folder.read(|r| r.removable("main", &expiry(SETTLED), 0));
    assert_eq!((&found.rows, found.settled, found.next), (&gone, Some((SETTLED, SETTLED)), None));
    assert_eq!(folder.read(|r| r.removable("other", &expiry(SETTLED), 0)).rows, [other_site]);
    // The command asks for itself, whatever it is told: one that is not to go keeps all.
    for (id, _) in states.into_iter().filter(|(id, _)| !gone.contains(id)) {
        let refused = remove(&folder, &[dropped, id], i64::MAX);
        assert_eq!(refused, Err(WriteError::Conflict(Conflict::Edge)));
    }
    assert_eq!(remove(&folder, &gone, SETTLED - 1), Err(WriteError::Conflict(Conflict::Edge)));
    assert_eq!(folder.read(|r| r.audit_after(0, 9)).len(), 0, "what was refused is not on record as done");
    assert!(folder.read(|r| r.body(dropped)).is_some());
    remove(&folder, &gone, SETTLED).unwrap();
    for (id, state) in states {
        assert_eq!(folder.read(|r| r.body(id)).is_none(), gone.contains(&id), "{state:?}");
        assert_eq!(folder.state(id), state);
    }
}

#[test]
fn what_stands_and_the_newest_delivered_version_keep_their_bytes_however_old() {
    let folder = Folder::new();
    let a = folder.patient("a");
    let written = |identifier: &str| Written {
        identifier: identifier.into(),
        location: format!("Observation/{identifier}"),
        etag: None,
        content_hash: [1; 32],
        told: false,
    };
    let provenance =
        |identifier: &str| Written { location: format!("Provenance/{identifier}"), ..written(identifier) };
    let version = |key: u64, written: Vec<Written>| {
        let id = only(folder.publish(a, 20, vec![row(key)], 1_000));
        folder.lease(1_000);
        folder.settle(id, Verdict::Delivered { written }, SETTLED);
        id
    };
    let first = version(1, vec![written("mean"), written("range")]);
    assert_eq!(removable(&folder, i64::MAX), [0_i64; 0], "it is the newest, and it stands");
    // Of the first, one resource stands still.
    let second = version(2, vec![written("mean")]);
    assert_eq!(removable(&folder, i64::MAX), [0_i64; 0]);
    let third = version(3, vec![written("mean"), written("range")]);
    assert_eq!(removable(&folder, i64::MAX), [first, second]);
    // What says of a version who made it stands under each version's own name, and is never changed.
    let fourth = version(9, vec![written("mean"), written("range"), provenance("of the fourth")]);
    let fifth = version(10, vec![written("mean"), written("range"), provenance("of the fifth")]);
    assert_eq!(removable(&folder, i64::MAX), [first, second, third, fourth]);
    // A later version that did not arrive takes nobody's place.
    let refused = only(folder.publish(a, 20, vec![row(4)], 1_000));
    folder.lease(1_000);
    folder.settle(refused, Verdict::Quarantine { reason: "422".into() }, SETTLED);
    assert_eq!(removable(&folder, i64::MAX), [first, second, third, fourth]);
    // Where the ledger knows no place (a row that went without one), the newest delivered one stays all the same.
    let b = folder.patient("b");
    let unplaced: Vec<i64> = [5, 6]
        .into_iter()
        .map(|key| {
            let id = only(folder.publish(b, 20, vec![row(key)], 1_000));
            folder.lease(1_000);
            folder.deliver(id);
            id
        })
        .collect();
    assert_eq!(removable(&folder, i64::MAX), [first, second, third, fourth, unplaced[0]]);
    for id in [fifth, refused, unplaced[1]] {
        let refused = remove(&folder, &[id], i64::MAX);
        assert_eq!(refused, Err(WriteError::Conflict(Conflict::Edge)));
    }
}

#[test]
fn the_row_its_hash_and_its_key_stay_and_the_same_effect_is_never_queued_again() {
    let mut folder = Folder::new();
    let a = folder.patient("a");
    let old = only(folder.publish(a, 20, vec![row(1)], 1_000));
    folder.lease(1_000);
    folder.deliver(old);
    let new = only(folder.publish(a, 20, vec![row(2)], 2_000));
    folder.lease(2_000);
    folder.deliver(new);
    let body = folder.read(|r| r.body(old)).unwrap();
    let before = folder.read(|r| r.row(old)).unwrap();
    remove(&folder, &[old], SETTLED).unwrap();
    assert_eq!(remove(&folder, &[old], SETTLED), Err(WriteError::Conflict(Conflict::Edge)));
    folder.reopen();
    assert_eq!(folder.read(|r| r.row(old)).unwrap(), before);
    assert_eq!(folder.read(|r| r.body(old)), None);
    let left = folder.read(|r| r.removed(old)).unwrap();
    assert_eq!((left.at, left.sha256), (9_000, <[u8; 32]>::from(Sha256::digest(&body))));
    assert_eq!(folder.read(|r| r.removed(new)), None);
    assert_eq!(removable(&folder, i64::MAX), [0_i64; 0]);
    let window = folder.dirty(a, 20, 6_000);
    let again = folder.writer().publish(version(&window, vec![row(1)], 6_000)).wait();
    assert_eq!(again, Err(WriteError::Conflict(Conflict::EffectKey)));
    let audit = folder.read(|r| r.audit_after(0, 9));
    assert_eq!((audit.len(), audit[0].1.detail.as_str()), (1, "1 rows"));
    assert_eq!(folder.read(outbox::Reader::verify_audit).entries, 1);
    let overwritten: i64 =
        raw(folder.dir.path()).query_row("PRAGMA secure_delete", [], |row| row.get(0)).unwrap();
    assert_eq!(overwritten, 1, "zeros are written over what is freed");
}

#[test]
fn one_transaction_takes_a_bounded_number_of_rows_and_bytes() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    let shown = |key: u64| NewRow { enters: Enters::Shown, ..row(key) };
    let most = REMOVE_ROWS as u64;
    let mut all: Vec<i64> = Vec::new();
    for (end_day, keys) in [(20, 1..=100), (21, 101..=200), (22, 201..=most + 1)] {
        all.extend(folder.publish(patient, end_day, keys.map(shown).collect(), 1_000));
    }
    let first = folder.read(|r| r.removable("main", &expiry(SETTLED), 0));
    assert_eq!((first.rows.len(), first.next), (REMOVE_ROWS, Some(all[REMOVE_ROWS - 1])));
    remove(&folder, &first.rows, SETTLED).unwrap();
    let rest = folder.read(|r| r.removable("main", &expiry(SETTLED), first.next.unwrap()));
    assert_eq!((rest.rows, rest.next), (vec![all[REMOVE_ROWS]], None));
    // Bytes bound it too: a row that reaches the bound is the last.
    let large = |key| NewRow { body: vec![b'x'; REMOVE_BYTES as usize], ..shown(key) };
    let large = folder.publish(patient, 23, vec![large(901), large(902)], 1_000);
    let found = folder.read(|r| r.removable("main", &expiry(SETTLED), all[REMOVE_ROWS]));
    assert_eq!((found.rows, found.next), (vec![large[0]], Some(large[0])));
}
