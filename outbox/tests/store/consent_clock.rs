//! The consent ledger and the clock: what was decided holds in the order in which it was decided, whatever the clock said.

use outbox::{ConsentEntry, Lease, Purpose, Ruling, State, Take};

use crate::consent::{decide, entry, permits, reason, treatment, upstream};
use crate::folder::{Folder, row};

/// A clock that is years ahead, in days of the test's milliseconds.
const AHEAD: i64 = 9_000_000;

fn take_upstream(folder: &Folder, now: i64) -> Vec<i64> {
    let take = Take::Due { kinds: vec!["bundle".into()], upto: 2 };
    let lease = Lease { destination: "upstream".into(), limit: 9, now, take, quotas: Vec::new() };
    folder.writer().lease(lease).wait().unwrap().iter().map(|row| row.id).collect()
}

#[test]
fn a_withdrawal_that_was_told_of_holds_whatever_the_clock_says_afterwards() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    let id = folder.publish(patient, 20, vec![row(1)], 1_000)[0];
    let change = |ruling, at| decide(&folder, treatment(patient, ruling, at));
    change(Ruling::Withdraw, 9_000);
    // A lease that was asked for before, or a clock that was put back.
    assert!(folder.lease(2_000).is_empty());
    change(Ruling::Grant, 3_000);
    change(Ruling::Withdraw, 2_500);
    assert!(folder.lease(2_500).is_empty());
    let times: Vec<i64> = folder.read(|r| r.consents(&[], None, 9)).iter().map(|(_, it)| it.at).collect();
    assert_eq!(times, [2_500, 3_000, 9_000], "each by the clock of its moment, the newest first");
    assert_eq!(folder.state(id), State::Deferred);
}

#[test]
fn one_entry_of_a_clock_that_was_ahead_shadows_nothing_that_is_decided_later() {
    let folder = Folder::new();
    let (one, other) = (folder.patient("A"), folder.patient("B"));
    decide(&folder, treatment(other, Ruling::Withdraw, AHEAD));

    // A withdrawal until a day before that is in force at once, and ends when that day comes.
    let queued = folder.publish(one, 20, vec![row(1)], 1_000)[0];
    let until = ConsentEntry { until: Some(50_000), ..treatment(one, Ruling::Withdraw, 2_000) };
    assert_eq!(decide(&folder, until).moved.held, 1);
    assert!(folder.lease(3_000).is_empty());
    assert_eq!(reason(&folder, queued).as_deref(), Some("no-consent"));
    assert!(permits(&folder, one, Purpose::Treatment, 50_000));

    // A grant covers what is queued after it.
    decide(&folder, entry(one, Purpose::Upstream, Ruling::Grant, 4_000));
    let covered = folder.publish(one, 21, vec![upstream(2)], 5_000)[0];
    assert_eq!(take_upstream(&folder, 6_000), [covered]);
    // And the withdrawal of that clock holds, and is ended by a grant of the right one.
    assert!(!permits(&folder, other, Purpose::Treatment, 6_000));
    decide(&folder, treatment(other, Ruling::Grant, 7_000));
    assert!(permits(&folder, other, Purpose::Treatment, 7_000));
}

#[test]
fn a_grant_covers_what_is_queued_after_it_by_any_clock_and_nothing_before_it() {
    for (queued_at, granted_at, again_at) in
        [(1_000, 2_000, 3_000), (AHEAD, 2_000, 1_000), (1_000, AHEAD, 2_000)]
    {
        let folder = Folder::new();
        let patient = folder.patient("A");
        let before = folder.publish(patient, 20, vec![upstream(1)], queued_at)[0];
        decide(&folder, entry(patient, Purpose::Upstream, Ruling::Grant, granted_at));
        assert_eq!(folder.state(before), State::Superseded, "queued at {queued_at}");
        let after = folder.publish(patient, 21, vec![upstream(2)], again_at)[0];
        assert_eq!(take_upstream(&folder, AHEAD), [after], "queued at {again_at}");
    }
}

#[test]
fn a_denial_that_had_begun_goes_on_when_the_clock_is_put_back_and_a_permit_waits_for_its_day() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    let from = |purpose, ruling| ConsentEntry { from: 5_000, ..entry(patient, purpose, ruling, AHEAD) };
    decide(&folder, from(Purpose::Treatment, Ruling::Withdraw));
    decide(&folder, from(Purpose::Upstream, Ruling::Grant));
    let all = |at| Purpose::ALL.map(|purpose| permits(&folder, patient, purpose, at));
    assert_eq!((all(AHEAD), all(4_999)), ([false, true, false], [false; 3]));
    assert_eq!(all(5_000), [false, true, false]);
}

#[test]
fn a_later_version_of_a_permit_loses_nothing_that_was_queued_under_the_one_before() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    let permit = |version| {
        let rules = vec![crate::consent_fhir::rule(Purpose::Upstream, true)];
        folder.writer().import_consent(crate::consent_fhir::saying(patient, version, rules)).wait().unwrap()
    };
    permit(1);
    let queued = folder.publish(patient, 20, vec![upstream(1)], 1_500)[0];
    permit(2);
    assert_eq!(take_upstream(&folder, 2_000), [queued]);
}
