//! The consent ledger: what is in force, what that does to the queue, and what tampering is found.

use std::collections::BTreeSet;

use outbox::{
    Conflict, ConsentDefault, ConsentEntry, ConsentHead, Lease, LeasedRow, NewMessage, NewRow, Purpose,
    ReadError, Recorded, Ruling, Saying, State, Statement, Take, Verdict, WriteError,
};
use proptest::prelude::*;

use crate::folder::{Folder, raw, row, version};
use crate::identity::{how, merge};

/// A decision recorded at this time, in force from then on.
pub(crate) fn entry(patient: i64, purpose: Purpose, ruling: Ruling, at: i64) -> ConsentEntry {
    ConsentEntry {
        at,
        patient,
        purpose,
        ruling,
        from: at,
        until: None,
        past: false,
        link: 0,
        source: "cli".into(),
        inbox_id: None,
        document: None,
        actor: "user nurse (uid 7)".into(),
        behalf: "herself".into(),
        reason: "asked at the desk".into(),
    }
}

pub(crate) fn decide(folder: &Folder, entry: ConsentEntry) -> Recorded {
    folder.writer().consent(vec![entry]).wait().unwrap()
}

pub(crate) fn treatment(patient: i64, ruling: Ruling, at: i64) -> ConsentEntry {
    entry(patient, Purpose::Treatment, ruling, at)
}

pub(crate) fn permits(folder: &Folder, patient: i64, purpose: Purpose, at: i64) -> bool {
    folder.read(|r| r.consent(patient, purpose, at)).permit
}

pub(crate) fn reason(folder: &Folder, id: i64) -> Option<String> {
    folder.read(|r| r.rows(None, 100)).into_iter().find(|row| row.id == id).unwrap().reason
}

pub(crate) fn upstream(key: u64) -> NewRow {
    NewRow { destination: "upstream".into(), ..row(key) }
}

#[test]
fn where_nothing_was_decided_the_sites_default_holds_and_else_the_shipped_one() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    let all = |folder: &Folder| Purpose::ALL.map(|purpose| permits(folder, patient, purpose, 1));
    assert_eq!(all(&folder), [true, false, false]);
    let of = |purpose, permit| ConsentDefault { site: "main".into(), purpose, permit };
    let defaults = vec![of(Purpose::Treatment, false), of(Purpose::Upstream, true)];
    folder.writer().consent_defaults(defaults, 1).wait().unwrap();
    assert_eq!(all(&folder), [false, true, false]);
    let elsewhere = vec![ConsentDefault { site: "other".into(), ..of(Purpose::Payer, true) }];
    folder.writer().consent_defaults(elsewhere, 2).wait().unwrap();
    assert_eq!(all(&folder), [true, false, false]);
    assert!(permits(&folder, 0, Purpose::Upstream, 1), "a message about nobody needs nobody's consent");
}

#[test]
fn the_entry_recorded_last_counts_of_those_whose_time_has_come_and_not_passed() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    let of = |ruling, at| entry(patient, Purpose::Upstream, ruling, at);
    let answer = |at| {
        let answer = folder.read(|r| r.consent(patient, Purpose::Upstream, at));
        (answer.permit, answer.entry)
    };
    assert_eq!(answer(99), (false, None));
    decide(&folder, of(Ruling::Grant, 100));
    assert_eq!(answer(100), (true, Some(1)));
    decide(&folder, ConsentEntry { until: Some(400), ..of(Ruling::Withdraw, 200) });
    decide(&folder, ConsentEntry { from: 300, until: Some(350), ..of(Ruling::Grant, 210) });
    for (at, permit, by) in
        [(210, false, 2), (299, false, 2), (300, true, 3), (349, true, 3), (350, false, 2), (400, true, 1)]
    {
        assert_eq!(answer(at), (permit, Some(by)), "{at}");
    }
    assert!(!permits(&folder, patient, Purpose::Payer, 700), "each purpose is for itself");
}

#[test]
fn a_withdrawal_holds_what_waits_of_that_patient_and_purpose_and_neighbours_go_on() {
    let folder = Folder::new();
    let (one, other) = (folder.patient("A"), folder.patient("B"));
    let pending = folder.publish(one, 20, vec![row(1)], 1_000)[0];
    let deferred = NewRow { enters: outbox::Enters::Deferred("observed-read-only".into()), ..row(2) };
    let deferred = folder.publish(one, 21, vec![deferred], 1_000)[0];
    let neighbour = folder.publish(other, 20, vec![row(3)], 1_000)[0];
    let recorded = decide(&folder, treatment(one, Ruling::Withdraw, 1_500));
    assert_eq!((recorded.moved.held, recorded.moved.released), (2, 0));
    assert_eq!(folder.read(|r| r.held_for_consent()), 2);
    for id in [pending, deferred] {
        assert_eq!((folder.state(id), reason(&folder, id).as_deref()), (State::Deferred, Some("no-consent")));
    }
    // The destination may be open again, and probed: neither sends it.
    let change =
        folder.writer().align("ehr", "bundle", None, vec!["observed-read-only".into()], Vec::new(), 2_000);
    assert_eq!(change.wait(), Ok(outbox::Aligned { moved: 0, more: false }));
    assert!(folder.probe(2_000).is_empty());
    assert_eq!(folder.lease(2_000).iter().map(|row| row.id).collect::<Vec<_>>(), [neighbour]);
    // What was queued while consent was in force goes when it is again, in its order.
    let again = decide(&folder, treatment(one, Ruling::Grant, 3_000));
    assert_eq!((again.moved.released, again.moved.lapsed), (2, 0));
    assert_eq!(folder.lease(3_000).iter().map(|row| row.id).collect::<Vec<_>>(), [pending]);
    let audited = folder.read(|r| r.audit_after(0, 99));
    let last = &audited.last().unwrap().1;
    assert_eq!((last.action.as_str(), last.object.as_str()), ("consent grant", "patient 1 treatment"));
    assert!(last.detail.starts_with("consent entry 2 (") && last.detail.contains("released 2"), "{last:?}");
}

#[test]
fn what_was_decided_before_a_grant_is_not_recorded_after_it() {
    let folder = Folder::new();
    let (patient, neighbour) = (folder.patient("A"), folder.patient("B"));
    decide(&folder, treatment(patient, Ruling::Withdraw, 1_000));
    // Both are read, computed and suppressed before the grant, and come to the store after it.
    let (read, other) = (folder.dirty(patient, 20, 1_100), folder.dirty(neighbour, 20, 1_100));
    let grant = ConsentEntry { from: 0, past: true, ..treatment(patient, Ruling::Grant, 1_200) };
    assert_eq!(decide(&folder, grant).windows, 0, "there is nothing to look back to yet");
    let stale = folder.writer().publish(version(&read, Vec::new(), 1_150)).wait();
    assert_eq!(stale, Err(WriteError::Conflict(Conflict::Window)));
    folder.writer().publish(version(&other, vec![row(2)], 1_150)).wait().unwrap();
    // It is due still, and decided anew.
    let again = folder.read(|r| r.due_windows(9_000, 9, &["main"]));
    assert_eq!(again.iter().map(|window| window.id).collect::<Vec<_>>(), [read.id]);
    folder.writer().publish(version(&again[0], vec![row(1)], 1_250)).wait().unwrap();
}

#[test]
fn whatever_is_queued_is_held_at_the_lease_where_consent_does_not_cover_it() {
    let folder = Folder::new();
    let (one, other) = (folder.patient("A"), folder.patient("B"));
    decide(&folder, treatment(one, Ruling::Withdraw, 500));
    let queued: Vec<i64> =
        (0..3).map(|n| folder.publish(one, 20 + n, vec![row(n as u64)], 1_000)[0]).collect();
    let neighbour = folder.publish(other, 20, vec![row(9)], 1_100)[0];
    let lease = Lease {
        destination: "ehr".into(),
        limit: 1,
        now: 2_000,
        take: Take::Due { kinds: vec!["bundle".into()], upto: 2 },
        quotas: Vec::new(),
    };
    let leased = folder.writer().lease(lease).wait().unwrap();
    assert_eq!(leased.iter().map(|row| row.id).collect::<Vec<_>>(), [neighbour], "in the first look");
    assert_eq!(reason(&folder, queued[0]).as_deref(), Some("no-consent"));
    let told = folder.read(|r| r.audit_after(0, 99));
    assert!(told.iter().any(|(_, it)| it.action == "consent held a write" && it.detail == "consent entry 1"));

    // They were queued while consent was denied: a grant alone does not reach back to them.
    let later = decide(&folder, treatment(one, Ruling::Grant, 3_000));
    assert_eq!((later.moved.released, later.moved.lapsed), (0, 3), "looked at before or not");
    assert!(queued.iter().all(|id| folder.state(*id) == State::Superseded));
    let fresh = folder.publish(one, 20, vec![row(11)], 3_500)[0];
    folder.deliver(neighbour);
    assert_eq!(folder.lease(4_000).iter().map(|row| row.id).collect::<Vec<_>>(), [fresh]);
}

#[test]
fn a_grant_that_reaches_back_lets_go_what_was_queued_before_it() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    let queued = folder.publish(patient, 20, vec![upstream(1)], 1_000)[0];
    let lease = |now| {
        let take = Take::Due { kinds: vec!["bundle".into()], upto: 2 };
        let lease = Lease { destination: "upstream".into(), limit: 9, now, take, quotas: Vec::new() };
        folder.writer().lease(lease).wait().unwrap()
    };
    assert!(lease(1_000).is_empty(), "denied by default");
    let grant = entry(patient, Purpose::Upstream, Ruling::Grant, 2_000);
    let recorded = decide(&folder, ConsentEntry { past: true, from: 0, ..grant });
    assert_eq!(recorded.moved.released, 1);
    assert_eq!(lease(2_000).iter().map(|row| row.id).collect::<Vec<_>>(), [queued]);
}

#[test]
fn what_is_in_flight_at_a_withdrawal_is_settled_by_its_answer() {
    for (verdict, state) in [
        (Verdict::Delivered { written: Vec::new() }, State::Delivered),
        (Verdict::Retry { at: 3_000, cause: "503".into() }, State::Deferred),
        (Verdict::Ambiguous { at: 3_000, cause: "reset".into() }, State::Ambiguous),
    ] {
        let folder = Folder::new();
        let patient = folder.patient("A");
        let id = folder.publish(patient, 20, vec![row(1)], 1_000)[0];
        assert_eq!(folder.lease(1_000).len(), 1);
        decide(&folder, treatment(patient, Ruling::Withdraw, 2_000));
        assert_eq!(folder.settle(id, verdict, 2_500), state);
        let stood = folder.read(|r| r.stood(patient, Purpose::Treatment, 9));
        assert_eq!(stood.len(), usize::from(state != State::Deferred), "{stood:?}");
        let leased: Vec<LeasedRow> = folder.lease(4_000);
        match state {
            // To be looked for, and not to be sent again.
            State::Ambiguous => assert!(leased[0].ambiguous && leased[0].overtaken),
            _ => assert!(leased.is_empty()),
        }
    }
}

#[test]
fn a_doubt_that_cannot_be_looked_up_waits_while_consent_is_denied_and_holds_up_nobody_else() {
    let folder = Folder::new();
    let (one, other) = (folder.patient("A"), folder.patient("B"));
    let message = |key: u8, patient| NewMessage {
        destination: "mllp:x".into(),
        patient,
        kind: "oru".into(),
        key: [key; 32],
        body: b"MSH".to_vec(),
        at: 1_000,
    };
    let take = |now| {
        let lease =
            Lease { destination: "mllp:x".into(), limit: 9, now, take: Take::Any, quotas: Vec::new() };
        folder.writer().lease(lease).wait().unwrap().iter().map(|row| row.id).collect::<Vec<_>>()
    };
    let first = folder.writer().enqueue(vec![message(1, one)]).wait().unwrap()[0].unwrap();
    assert_eq!(take(1_000), [first]);
    folder.settle(first, Verdict::Ambiguous { at: 2_000, cause: "timed out".into() }, 1_500);
    decide(&folder, treatment(one, Ruling::Withdraw, 1_600));
    let second = folder.writer().enqueue(vec![message(2, other), message(3, 0)]).wait().unwrap();
    assert_eq!(take(2_000), [second[0].unwrap(), second[1].unwrap()]);
    assert_eq!((take(300_000), folder.state(first)), (vec![], State::Ambiguous));
    decide(&folder, treatment(one, Ruling::Grant, 400_000));
    assert_eq!(take(400_000), [first]);
}

#[test]
fn a_grant_for_a_time_begins_and_ends_by_itself() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    decide(&folder, treatment(patient, Ruling::Withdraw, 100));
    let grant = ConsentEntry { from: 2_000, until: Some(5_000), ..treatment(patient, Ruling::Grant, 200) };
    decide(&folder, grant);
    assert!(folder.read(|r| r.consents(&[patient], None, 9)).len() == 2);
    let id = folder.publish(patient, 20, vec![row(1)], 2_500)[0];
    assert!(folder.lease(5_000).is_empty(), "its time has passed before it was sent");
    assert_eq!(folder.writer().renew_consent(5_500).wait().unwrap().released, 0);
    decide(&folder, treatment(patient, Ruling::Grant, 6_000));
    assert_eq!(folder.state(id), State::Pending, "it was queued while consent was in force");
}

#[test]
fn of_identifiers_that_were_merged_a_withdrawal_of_any_denies_and_undone_all_is_as_it_was() {
    let folder = Folder::new();
    let (survivor, retired) = (folder.patient("S"), folder.patient("R"));
    decide(&folder, treatment(retired, Ruling::Withdraw, 100));
    let waiting = folder.publish(survivor, 20, vec![row(1)], 1_000)[0];
    let say = |at, saying| {
        let statement = Statement { inbox_id: at, ordinal: 0, said_at: at, how: how(true, at), saying };
        folder.writer().identify(vec![statement]).wait().unwrap()
    };
    say(2_000, merge("S", "R"));
    assert!(!permits(&folder, survivor, Purpose::Treatment, 2_000));
    assert_eq!(reason(&folder, waiting).as_deref(), Some("no-consent"), "at once, not at the lease");
    // The patient, who is one now, decides for both identifiers; apart again, each has what it had.
    decide(&folder, treatment(survivor, Ruling::Grant, 3_000));
    assert!(permits(&folder, survivor, Purpose::Treatment, 3_000));
    let link = folder.read(|r| r.links(9))[0].id;
    folder.writer().unlink(link, how(true, 4_000), "test").wait().unwrap();
    assert!(permits(&folder, survivor, Purpose::Treatment, 4_000));
    assert!(!permits(&folder, retired, Purpose::Treatment, 4_000));
}

#[test]
fn a_change_a_removal_and_a_cut_of_the_ledger_are_found_with_their_entry() {
    let open = "DROP TRIGGER consent_is_not_changed; DROP TRIGGER consent_is_not_deleted;";
    for (change, broken_at) in [
        ("UPDATE consent SET decision = 'grant' WHERE id = 2", Some(2)),
        ("UPDATE consent SET patient = 2 WHERE id = 3", Some(3)),
        ("UPDATE consent SET named = zeroblob(32) WHERE id = 2", Some(2)),
        // The number stays and leads to somebody else.
        ("UPDATE patient SET value = 'Z' WHERE id = 1", Some(1)),
        ("UPDATE meta SET value = zeroblob(32) WHERE name = 'consent-salt'", Some(1)),
        ("UPDATE consent SET reason = 'r', behalf = behalf || reason WHERE id = 1", Some(1)),
        ("UPDATE consent SET until_at = 99999 WHERE id = 4", Some(4)),
        ("DELETE FROM consent WHERE id = 2", Some(3)),
        // Only a head that was exported before shows that the end is gone.
        ("DELETE FROM consent WHERE id = 4", None),
    ] {
        let mut folder = Folder::new();
        let (one, _other) = (folder.patient("A"), folder.patient("B"));
        for at in 1..=4 {
            decide(&folder, treatment(one, Ruling::Withdraw, at));
        }
        let head = folder.read(|r| r.verify_consent(None));
        assert_eq!((head.entries, folder.read(|r| r.consent_head())), (4, head));
        assert_eq!(folder.read(|r| r.verify_consent(Some(ConsentHead { entries: 0, hash: [0; 32] }))), head);
        folder.close();
        let conn = raw(folder.dir.path());
        let of_the_ledger = change.contains("consent SET") || change.contains("FROM consent");
        assert!(!of_the_ledger || conn.execute(change, []).is_err(), "the schema itself refuses: {change}");
        conn.execute_batch(open).unwrap();
        assert_eq!(conn.execute(change, []).unwrap(), 1);
        drop(conn);
        let store = crate::folder::open(folder.dir.path()).unwrap();
        let verify = |known| store.readers().with(|r| r.verify_consent(known));
        match broken_at {
            Some(id) => assert_eq!(verify(None), Err(ReadError::ConsentBroken(id)), "{change}"),
            None => assert_eq!(verify(None).map(|head| head.entries), Ok(3)),
        }
        assert!(matches!(verify(Some(head)), Err(ReadError::ConsentBroken(_))), "{change}");
    }
}

#[test]
fn a_patient_who_was_given_another_identifier_is_whom_the_ledger_named() {
    let folder = Folder::new();
    let patient = folder.patient("OLD");
    decide(&folder, treatment(patient, Ruling::Withdraw, 100));
    let key = crate::identity::key;
    let say = |at, saying| {
        let statement = Statement { inbox_id: at, ordinal: 0, said_at: at, how: how(true, at), saying };
        let told = folder.writer().identify(vec![statement]).wait().unwrap();
        assert!(told.refused.is_empty(), "{told:?}");
    };
    let verified = |entries| assert_eq!(folder.read(|r| r.verify_consent(None)).entries, entries);
    say(200, Saying::Renumber { former: key("OLD"), present: key("NEW") });
    assert_eq!(folder.patient("NEW"), patient, "the number stays with the patient");
    verified(1);
    decide(&folder, treatment(patient, Ruling::Grant, 300));
    say(400, Saying::Renumber { former: key("NEW"), present: key("NEWER") });
    verified(2);
    // And when the last of it is undone.
    let link = folder.read(|r| r.links(9)).iter().map(|link| link.id).max().unwrap();
    folder.writer().unlink(link, how(true, 500), "test").wait().unwrap();
    verified(2);
}

#[test]
fn what_a_withdrawal_lists_is_all_that_was_written_for_the_patient_notes_and_goals_too() {
    let folder = Folder::new();
    let (survivor, retired, other) = (folder.patient("S"), folder.patient("R"), folder.patient("O"));
    let outcome = folder.publish(survivor, 20, vec![row(1)], 1_000)[0];
    folder.lease(1_000);
    folder.deliver(outcome);
    let mut written = vec![("bundle".to_owned(), true)];
    for (number, patient) in [(1, survivor), (2, retired), (3, other)] {
        crate::intent::enter(&folder, crate::intent::note(number, patient, None, 1_100));
        assert_eq!(crate::intent::deliver_all(&folder, 1_200), ["note", "who"]);
    }
    // One of the patient is on its way.
    crate::intent::enter(&folder, crate::intent::note(4, survivor, None, 1_300));
    crate::intent::take(&folder, 1_400);
    let stands = |patient, purpose| {
        let stood = folder.read(|r| r.stood(patient, purpose, 99));
        let mut kinds: Vec<(String, bool)> = stood.into_iter().map(|it| (it.kind, it.certain)).collect();
        kinds.sort();
        kinds
    };
    let note = || [("note".to_owned(), true), ("who".to_owned(), true)];
    written.extend([note().to_vec(), vec![("note".to_owned(), false)]].concat());
    written.sort();
    assert_eq!(stands(survivor, Purpose::Treatment), written);
    assert_eq!(stands(survivor, Purpose::Upstream), []);
    // Of identifiers that were merged, what was written under each.
    let statement =
        Statement { inbox_id: 1, ordinal: 0, said_at: 2_000, how: how(true, 2_000), saying: merge("S", "R") };
    folder.writer().identify(vec![statement]).wait().unwrap();
    written.extend(note());
    written.sort();
    assert_eq!(stands(survivor, Purpose::Treatment), written);
    assert_eq!(stands(other, Purpose::Treatment), note());
}

#[test]
fn a_change_of_what_holds_where_nobody_decided_is_in_the_audit_log() {
    let folder = Folder::new();
    let of = |purpose, permit| ConsentDefault { site: "main".into(), purpose, permit };
    let put = |defaults, at| folder.writer().consent_defaults(defaults, at).wait().unwrap();
    put(vec![of(Purpose::Treatment, true), of(Purpose::Upstream, false)], 1);
    put(vec![of(Purpose::Treatment, true), of(Purpose::Upstream, true)], 2);
    put(vec![of(Purpose::Treatment, true), of(Purpose::Upstream, true)], 3);
    put(vec![], 4);
    let audited = folder.read(|r| r.audit_after(0, 99)).into_iter().map(|(_, it)| it);
    let told: Vec<(i64, String, String)> = audited
        .filter(|it| it.action == "consent default changed")
        .map(|it| (it.at, it.object, it.detail))
        .collect();
    let line = |at, detail: &str| (at, "site main upstream".to_owned(), detail.to_owned());
    assert_eq!(
        told,
        [
            line(2, "from deny to permit, by the configuration"),
            line(4, "from permit to deny, by the configuration")
        ]
    );
}

#[derive(Debug, Clone)]
enum Act {
    Decide { member: usize, grant: bool },
    Merge { one: usize, other: usize },
    Undo { which: usize },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..4_usize, any::<bool>()).prop_map(|(member, grant)| Act::Decide { member, grant }),
        3 => (0..4_usize, 0..4_usize).prop_map(|(one, other)| Act::Merge { one, other }),
        2 => (0..4_usize).prop_map(|which| Act::Undo { which }),
    ]
}

/// What was decided, and for which identifiers it speaks: told step by step, without a look at times or links.
struct Naive {
    /// For whom each counts.
    parent: [Option<usize>; 4],
    said: Vec<(usize, bool, BTreeSet<usize>)>,
}

impl Naive {
    fn root(&self, of: usize) -> usize {
        self.parent[of].map_or(of, |parent| self.root(parent))
    }

    fn person(&self, of: usize) -> BTreeSet<usize> {
        (0..4).filter(|other| self.root(*other) == self.root(of)).collect()
    }

    fn apart(&mut self) {
        for place in 0..self.said.len() {
            let person = self.person(self.said[place].0);
            self.said[place].2.retain(|member| person.contains(member));
        }
    }

    fn answer(&self, of: usize) -> Option<bool> {
        let last = |member: &usize| self.said.iter().rev().find(|(_, _, speaks)| speaks.contains(member));
        let decided: Vec<bool> =
            self.person(of).iter().filter_map(last).map(|(_, grant, _)| *grant).collect();
        (!decided.is_empty()).then(|| decided.iter().all(|grant| *grant))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn what_is_in_force_is_what_a_fold_over_all_that_happened_says(acts in proptest::collection::vec(act(), 1..24)) {
        let folder = Folder::new();
        let names = ["A", "B", "C", "D"];
        let numbers = names.map(|name| folder.patient(name));
        let mut naive = Naive { parent: [None; 4], said: Vec::new() };
        for (step, act) in (1_i64..).zip(acts) {
            let at = step * 10;
            match act {
                Act::Decide { member, grant } => {
                    let ruling = if grant { Ruling::Grant } else { Ruling::Withdraw };
                    decide(&folder, entry(numbers[member], Purpose::Upstream, ruling, at));
                    let speaks = naive.person(member);
                    naive.said.push((member, grant, speaks));
                }
                Act::Merge { one, other } => {
                    let (survivor, retired) = (naive.root(one), naive.root(other));
                    if survivor == retired {
                        continue;
                    }
                    let saying = merge(names[survivor], names[retired]);
                    let statement = Statement { inbox_id: at, ordinal: 0, said_at: at, how: how(true, at), saying };
                    let told = folder.writer().identify(vec![statement]).wait().unwrap();
                    prop_assert!(told.refused.is_empty(), "{told:?}");
                    naive.parent[retired] = Some(survivor);
                }
                Act::Undo { which } => {
                    let links = folder.read(|r| r.links(99));
                    let link = links.iter().find(|it| it.child == numbers[which] && it.undone_at.is_none());
                    let Some(link) = link else { continue };
                    folder.writer().unlink(link.id, how(true, at), "test").wait().unwrap();
                    naive.parent[which] = None;
                    naive.apart();
                }
            }
            for (member, number) in numbers.iter().enumerate() {
                let answer = folder.read(|r| r.consent(*number, Purpose::Upstream, at));
                let told = answer.entry.map(|_| answer.permit);
                prop_assert_eq!(told, naive.answer(member), "{} at {}", names[member], at);
            }
        }
        prop_assert_eq!(folder.read(|r| r.verify_consent(None)).entries as usize, naive.said.len());
    }
}
