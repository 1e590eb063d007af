//! What a later window makes stale, and what it does not.

use outbox::{Enters, Lease, Mode, ModeChange, NewRow, State, Take, Verdict};

use crate::folder::{Folder, row};

/// What ends with the mode, and of that what may be left out.
const BY_MODE: [&str; 3] = ["observed-read-only", "held-by-hand", "tried-anew"];
const LATEST: [&str; 2] = ["observed-read-only", "held-by-hand"];

/// A row that waits for a reason.
fn deferred(key: u64, reason: &str) -> NewRow {
    NewRow { enters: Enters::Deferred(reason.into()), ..row(key) }
}

fn words(reasons: &[&str]) -> Vec<String> {
    reasons.iter().map(|&reason| reason.to_owned()).collect()
}

/// The reasons of rows that a recovery, or a probe, is asked to leave out stale ones of.
type LeaveOut = fn(&Folder);

fn recovered(folder: &Folder) {
    let mode = Mode {
        site: "main".into(),
        destination: "ehr".into(),
        capability: "bundle".into(),
        mode: "full".into(),
        since: 2_000,
        cause: String::new(),
        evidence: String::new(),
    };
    let change = ModeChange {
        mode,
        kind: Some("bundle".into()),
        requeue_quarantined: None,
        defer_pending: None,
        release_deferred: words(&BY_MODE),
        latest: words(&LATEST),
    };
    folder.writer().set_mode(change, Vec::new()).wait().unwrap();
}

fn aligned(folder: &Folder) {
    folder.writer().align("ehr", "bundle", None, words(&BY_MODE), words(&LATEST), 2_000).wait().unwrap();
}

fn probed(folder: &Folder) {
    let take = Take::Probe { kind: "bundle".into(), latest: words(&LATEST) };
    let lease = Lease { destination: "ehr".into(), limit: 1, now: 2_000, take, quotas: Vec::new() };
    folder.writer().lease(lease).wait().unwrap();
}

#[test]
fn only_what_waits_for_the_mode_is_left_out_as_stale_and_only_for_what_is_to_be_sent() {
    let superseded = State::Superseded;
    let table = [
        // Why the earlier window waits, why the later one does, and what becomes of the earlier one.
        ("observed-read-only", Some("observed-read-only"), Some(superseded)),
        ("held-by-hand", Some("observed-read-only"), Some(superseded)),
        ("observed-read-only", None, Some(superseded)),
        ("no-consent", Some("observed-read-only"), None),
        ("no-consent", None, None),
        ("form-not-listed", Some("observed-read-only"), None),
        ("form-not-listed", None, None),
        // It would have gone in another form.
        ("tried-anew", None, None),
        // The later one may never go.
        ("observed-read-only", Some("no-consent"), None),
        ("observed-read-only", Some("form-not-listed"), None),
    ];
    for leave_out in [recovered as LeaveOut, aligned, probed] {
        for (earlier, later, wanted) in table {
            let folder = Folder::new();
            let patient = folder.patient("a");
            let first = folder.publish(patient, 20, vec![deferred(1, earlier)], 1_000)[0];
            let next = later.map_or(row(2), |reason| deferred(2, reason));
            folder.publish(patient, 21, vec![next], 1_000);
            leave_out(&folder);
            let is = folder.state(first);
            let told = format!("{earlier}, then {later:?}: {is:?}");
            assert_eq!(is == superseded, wanted == Some(superseded), "{told}");
        }
    }
}

/// Leaves the window of day 20 out for that of day 21, and sends the latter.
fn left_out(folder: &Folder) -> (i64, i64) {
    let patient = folder.patient("a");
    let first = folder.publish(patient, 20, vec![deferred(1, "observed-read-only")], 1_000)[0];
    let next = folder.publish(patient, 21, vec![deferred(2, "observed-read-only")], 1_000)[0];
    recovered(folder);
    assert_eq!(folder.state(first), State::Superseded);
    let leased: Vec<i64> = folder.lease(3_000).iter().map(|row| row.id).collect();
    assert_eq!(leased, [next]);
    (first, next)
}

#[test]
fn what_was_left_out_comes_back_where_the_later_window_is_refused() {
    let refused = || Verdict::Quarantine { reason: "422".into() };
    let retry = Verdict::Retry { at: 4_000, cause: "503".into() };
    let done = Verdict::Delivered { written: Vec::new() };
    for (verdict, back) in [(refused(), true), (retry, false), (done, false)] {
        let folder = Folder::new();
        let (first, next) = left_out(&folder);
        folder.settle(next, verdict.clone(), 3_000);
        let wanted = if back { State::Pending } else { State::Superseded };
        assert_eq!(folder.state(first), wanted, "{verdict:?}");
    }
    // It goes then, and comes back once.
    let folder = Folder::new();
    let (first, next) = left_out(&folder);
    folder.settle(next, refused(), 3_000);
    let audit = folder.read(|reader| reader.audit_after(0, 100));
    assert!(audit.iter().any(|(_, entry)| entry.action == "stale write revived"));
    assert_eq!(folder.lease(3_000)[0].id, first);
    assert_eq!(folder.settle(first, refused(), 3_000), State::Quarantined);
    assert!(folder.lease(9_000).is_empty());
}

#[test]
fn the_newest_that_was_left_out_comes_back_and_no_other() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    let rows: Vec<i64> = (0..3)
        .map(|day| {
            let row = deferred(day, "observed-read-only");
            folder.publish(patient, 20 + day as i32, vec![row], 1_000)[0]
        })
        .collect();
    recovered(&folder);
    folder.lease(3_000);
    folder.settle(rows[2], Verdict::Quarantine { reason: "422".into() }, 3_000);
    let is = |place: usize| folder.state(rows[place]);
    assert_eq!((is(0), is(1), is(2)), (State::Superseded, State::Pending, State::Quarantined));
    // And the one before it where that is refused too.
    assert_eq!(folder.lease(3_000)[0].id, rows[1]);
    folder.settle(rows[1], Verdict::Quarantine { reason: "422".into() }, 3_000);
    assert_eq!((is(0), is(1)), (State::Pending, State::Quarantined));
}

#[test]
fn while_anything_of_the_later_window_may_be_written_nothing_comes_back() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    let first = folder.publish(patient, 20, vec![deferred(1, "observed-read-only")], 1_000)[0];
    let two = vec![deferred(2, "observed-read-only"), deferred(3, "observed-read-only")];
    let later = folder.publish(patient, 21, two, 1_000);
    recovered(&folder);
    for (place, wanted) in [(0, State::Superseded), (1, State::Pending)] {
        assert_eq!(folder.lease(3_000)[0].id, later[place]);
        folder.settle(later[place], Verdict::Quarantine { reason: "422".into() }, 3_000);
        assert_eq!(folder.state(first), wanted);
    }
}

#[test]
fn what_was_left_out_comes_back_where_the_later_windows_readings_are_all_taken_back() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    let first = folder.publish(patient, 20, vec![deferred(1, "observed-read-only")], 1_000)[0];
    folder.publish(patient, 21, vec![deferred(2, "observed-read-only")], 1_000);
    recovered(&folder);
    let window = folder.dirty(patient, 21, 3_000);
    let publish = outbox::Publish {
        window_id: window.id,
        expected_version: window.version,
        expected_generation: window.generation,
        result: outbox::Outcome::Withdrawn { condition: None },
        at: 3_000,
    };
    folder.writer().publish(publish).wait().unwrap();
    assert_eq!(folder.state(first), State::Pending);
}

#[test]
fn very_much_is_left_out_in_parts_and_nothing_goes_before_the_last() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    let many = (0..1_500).map(|key| deferred(key, "observed-read-only")).collect();
    let first = folder.publish(patient, 20, many, 1_000);
    let next = folder.publish(patient, 21, vec![deferred(2_000, "observed-read-only")], 1_000)[0];
    recovered(&folder);
    assert!(folder.lease(3_000).is_empty());
    let superseded =
        |folder: &Folder| folder.read(|reader| reader.rows(Some(State::Superseded), 10_000)).len();
    assert_eq!(superseded(&folder), 1_000);
    let align = || folder.writer().align("ehr", "bundle", None, words(&BY_MODE), words(&LATEST), 2_000);
    let aligned = align().wait().unwrap();
    assert_eq!((aligned.moved, aligned.more, superseded(&folder)), (501, false, first.len()));
    assert_eq!(folder.lease(3_000)[0].id, next);
}

#[test]
fn of_a_window_that_comes_back_the_newest_version_alone_is_written() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    let first = folder.publish(patient, 20, vec![deferred(1, "observed-read-only")], 1_000)[0];
    let next = folder.publish(patient, 21, vec![deferred(2, "observed-read-only")], 1_000)[0];
    probed(&folder);
    assert_eq!(folder.state(first), State::Superseded);
    folder.settle(next, Verdict::Defer { reason: "observed-read-only".into(), cause: None }, 2_000);
    // Late readings of the earlier day.
    let second = folder.publish(patient, 20, vec![deferred(3, "observed-read-only")], 2_500)[0];
    recovered(&folder);
    assert_eq!(folder.state(second), State::Superseded);
    assert_eq!(folder.lease(3_000)[0].id, next);
    folder.settle(next, Verdict::Quarantine { reason: "422".into() }, 3_000);
    assert_eq!((folder.state(first), folder.state(second)), (State::Superseded, State::Pending));
}

#[test]
fn what_was_left_out_stays_so_where_a_person_says_that_the_later_window_stands_and_comes_back_where_not() {
    for found in [true, false] {
        let folder = Folder::new();
        let (first, next) = left_out(&folder);
        folder.settle(next, Verdict::Ambiguous { at: 3_000, cause: "cut".into() }, 3_000);
        // Taken back, it may be looked for and must not go again.
        let patient = folder.patient("a");
        let again = folder.publish(patient, 21, vec![row(3)], 3_500)[0];
        folder.lease(3_500);
        folder.settle(next, Verdict::Quarantine { reason: outbox::UNPROVEN.into() }, 3_500);
        assert_eq!(folder.lease(4_000)[0].id, again);
        folder.settle(again, Verdict::Quarantine { reason: "422".into() }, 4_000);
        assert_eq!(folder.state(first), State::Superseded, "it may stand");
        let stands = found.then(Vec::new);
        let settle = outbox::SettleDoubt { row_id: next, stands, audit: Vec::new(), at: 5_000 };
        folder.writer().settle_doubt(settle).wait().unwrap();
        let wanted = if found { State::Superseded } else { State::Pending };
        assert_eq!(folder.state(first), wanted, "{found}");
    }
}
