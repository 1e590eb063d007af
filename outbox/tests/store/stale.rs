//! What a later window makes stale, and what it does not.

use outbox::{Enters, Lease, Mode, ModeChange, NewRow, State, Take};

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
