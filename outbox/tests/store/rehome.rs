//! What a merge or a renumbering does with windows and rows that were there before.

use std::collections::BTreeSet;

use outbox::{Saying, State};

use crate::folder::{Folder, row, window_key};
use crate::identity::*;

#[test]
fn windows_of_a_retired_patient_go_along_or_stay_and_nothing_unsent_of_them_is_sent() {
    for adopt in [true, false] {
        let folder = Folder::new();
        let (survivor, retired) = (folder.patient("S"), folder.patient("R"));
        let delivered = folder.publish(retired, 20, vec![row(1)], 1_000)[0];
        folder.lease(2_000);
        folder.deliver(delivered);
        let waiting = folder.publish(retired, 21, vec![row(2)], 1_000)[0];
        assert!(folder.read(|r| r.has_unsettled("ehr", retired)));
        assert!(!folder.read(|r| r.has_unsettled("other", retired)));
        let failed = folder.dirty(retired, 22, 1_000).id;
        assert!(folder.read(|r| r.is_due(failed)));
        let told = folder.say_at(1, 1, adopt, merge("S", "R"));
        assert!(!folder.read(|r| r.is_due(failed)), "there is nothing to compute in it");
        assert_eq!(folder.state(waiting), State::Superseded);
        let owner = if adopt { survivor } else { retired };
        let window = folder.read(|r| r.window(&window_key(owner, 20))).unwrap();
        assert_eq!((window.version, window.origin, window.due_at), (1, retired, None));
        assert_eq!(told.withdrawals.len(), usize::from(!adopt), "{told:?}");
        for patient in [retired, survivor] {
            assert!(!folder.read(|r| r.has_unsettled("ehr", patient)));
        }
        let unsent = folder.read(|r| r.window(&window_key(owner, 21))).unwrap();
        assert_eq!(unsent.display_hash, None, "the same numbers are written under the survivor");
        folder.unlink(1);
        let back = folder.read(|r| r.window(&window_key(retired, 20))).unwrap();
        assert_eq!((back.id, back.version, back.display_hash), (window.id, 1, Some([1; 32])));
    }
}

#[test]
fn a_window_that_both_have_published_or_that_is_being_written_stays_and_is_told_to_people() {
    let folder = Folder::new();
    let (survivor, retired) = (folder.patient("S"), folder.patient("R"));
    for (patient, number) in [(survivor, 1), (retired, 2)] {
        let id = folder.publish(patient, 20, vec![row(number)], 1_000)[0];
        folder.lease(2_000);
        folder.deliver(id);
    }
    folder.publish(retired, 21, vec![row(3)], 1_000);
    assert_eq!(folder.lease(2_000).len(), 1, "under way");
    let told = folder.say(1, merge("S", "R"));
    assert_eq!(told.withdrawals.len(), 2);
    for end in [20, 21] {
        assert!(folder.read(|r| r.window(&window_key(retired, end))).is_some(), "{end}");
    }
    assert_eq!(folder.read(|r| r.conditions()).len(), 2);
}

/// Ends what is under way as if it was not done.
fn not_done() -> outbox::Verdict {
    outbox::Verdict::Retry { at: 3_000, cause: "503".into() }
}

#[test]
fn a_row_under_way_at_a_merge_does_not_come_back_to_the_retired_patients_line() {
    for adopt in [true, false] {
        for verdict in [not_done(), outbox::Verdict::Defer { reason: "read-only".into(), cause: None }] {
            let folder = Folder::new();
            let retired = folder.patient("R");
            let id = folder.publish(retired, 20, vec![row(1)], 1_000)[0];
            folder.lease(2_000);
            folder.say_at(1, 1, adopt, merge("S", "R"));
            assert_eq!(folder.settle(id, verdict, 2_000), State::Superseded);
            folder.unlink(1);
            let window = folder.read(|r| r.window(&window_key(retired, 20))).unwrap();
            assert_eq!(window.display_hash, None, "the same numbers are written if the merge is undone");
        }
    }
}

#[test]
fn windows_of_a_site_that_is_away_are_dirtied_when_it_is_back() {
    let folder = Folder::new();
    folder.readings(&[name("R")], 20);
    folder.say(1, merge("S", "R"));
    assert!(folder.read(|r| r.rehomed(9, &["other"])).is_empty());
    assert!(folder.read(|r| r.rehomed(9, &[])).is_empty());
    let waiting = folder.read(|r| r.rehomed(9, &["other", "main"]));
    let (member, owner) = (folder.number("R"), folder.number("S"));
    assert_eq!(waiting, [outbox::Rehomed { member, owner }]);
}

#[test]
fn a_row_in_doubt_at_a_merge_is_reconciled_and_only_then_given_up() {
    let folder = Folder::new();
    let id = folder.publish(folder.patient("R"), 20, vec![row(1)], 1_000)[0];
    folder.lease(2_000);
    folder.settle(id, outbox::Verdict::Ambiguous { at: 2_000, cause: "time-out".into() }, 2_000);
    folder.say(1, merge("S", "R"));
    assert_eq!(folder.state(id), State::Ambiguous);
    let again = folder.lease(3_000);
    assert!(again[0].ambiguous && again[0].overtaken);
    assert_eq!(folder.settle(id, not_done(), 3_000), State::Superseded);
    assert!(folder.lease(9_000).is_empty());
}

#[test]
fn what_was_refused_is_not_released_for_a_patient_who_was_merged_away_or_renamed() {
    let renumber = Saying::Renumber { former: key("R"), present: key("NEW") };
    for (saying, before) in
        [(merge("S", "R"), true), (merge("S", "R"), false), (renumber.clone(), true), (renumber, false)]
    {
        let folder = Folder::new();
        let patient = folder.patient("R");
        let id = folder.publish(patient, 20, vec![row(1)], 1_000)[0];
        folder.lease(2_000);
        let refused = outbox::Verdict::Quarantine { reason: "422".into() };
        if before {
            folder.settle(id, refused.clone(), 2_000);
        }
        folder.say(1, saying);
        if before {
            assert_eq!(folder.state(id), State::Superseded);
        } else {
            folder.settle(id, refused, 2_000);
            let release = outbox::Release { row_id: id, at: 3_000, audit: Vec::new() };
            assert_eq!(folder.writer().release(release).wait(), Ok(State::Superseded));
        }
        assert!(folder.lease(9_000).is_empty());
    }
}

#[test]
fn a_row_under_way_at_a_renumbering_is_made_anew_under_the_present_identifier() {
    let folder = Folder::new();
    let patient = folder.patient("R");
    let id = folder.publish(patient, 20, vec![row(1)], 1_000)[0];
    folder.lease(2_000);
    folder.say(1, Saying::Renumber { former: key("R"), present: key("NEW") });
    assert_eq!(folder.settle(id, not_done(), 2_000), State::Superseded);
    assert_eq!(folder.dirty_windows(), BTreeSet::from([(patient, 20)]), "computed again");
    let window = folder.read(|r| r.window(&window_key(patient, 20))).unwrap();
    assert_eq!(window.display_hash, None, "and the same numbers are a new version");
}
