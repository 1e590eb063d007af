//! The consent ledger: what is in force, what that does to the queue, and what tampering is found.

use std::collections::BTreeSet;

use outbox::{
    ConsentDefault, ConsentDocument, ConsentEntry, ConsentHead, ConsentRule, ConsentSaying, Imported, Lease,
    LeasedRow, NewMessage, NewRow, Purpose, ReadError, Recorded, Ruling, State, Statement, Take, Verdict,
};
use proptest::prelude::*;

use crate::folder::{Folder, raw, row};
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

fn decide(folder: &Folder, entry: ConsentEntry) -> Recorded {
    folder.writer().consent(vec![entry]).wait().unwrap()
}

fn treatment(patient: i64, ruling: Ruling, at: i64) -> ConsentEntry {
    entry(patient, Purpose::Treatment, ruling, at)
}

fn permits(folder: &Folder, patient: i64, purpose: Purpose, at: i64) -> bool {
    folder.read(|r| r.consent(patient, purpose, at)).permit
}

fn reason(folder: &Folder, id: i64) -> Option<String> {
    folder.read(|r| r.rows(None, 100)).into_iter().find(|row| row.id == id).unwrap().reason
}

fn upstream(key: u64) -> NewRow {
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
    decide(&folder, of(Ruling::Grant, 100));
    decide(&folder, ConsentEntry { until: Some(400), ..of(Ruling::Withdraw, 200) });
    decide(&folder, ConsentEntry { from: 300, ..of(Ruling::Grant, 210) });
    for (at, permit, by) in [
        (99, false, None),
        (100, true, Some(1)),
        (200, false, Some(2)),
        (299, false, Some(2)),
        (300, true, Some(3)),
    ] {
        let answer = folder.read(|r| r.consent(patient, Purpose::Upstream, at));
        assert_eq!((answer.permit, answer.entry), (permit, by), "{at}");
    }
    // Said to hold from before it was said, it holds from then on only where it says that too.
    decide(&folder, ConsentEntry { from: 0, ..of(Ruling::Grant, 500) });
    assert!(!permits(&folder, patient, Purpose::Upstream, 250));
    decide(&folder, ConsentEntry { from: 50, past: true, ..of(Ruling::Grant, 600) });
    assert!(permits(&folder, patient, Purpose::Upstream, 250));
    assert!(!permits(&folder, patient, Purpose::Upstream, 49));
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
    assert_eq!(change.wait(), Ok(0));
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
    assert_eq!((times, folder.state(id)), (vec![9_000; 3], State::Deferred));
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
        assert!(conn.execute(change, []).is_err(), "the schema itself refuses: {change}");
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

fn saying(patient: i64, version: u8, rules: Vec<ConsentRule>) -> ConsentSaying {
    ConsentSaying {
        document: ConsentDocument { key: [1; 32], hash: [version; 32], changed_at: Some(i64::from(version)) },
        patient,
        rules,
        inbox_id: 1,
        actor: "spool drop".into(),
        reason: "FHIR Consent".into(),
        at: 1_000 + i64::from(version),
    }
}

fn rule(purpose: Purpose, permit: bool) -> ConsentRule {
    ConsentRule { purpose, permit, from: None, until: None }
}

#[test]
fn a_fhir_consent_is_recorded_once_and_its_last_version_counts() {
    let folder = Folder::new();
    let (patient, other) = (folder.patient("A"), folder.patient("B"));
    let import = |saying| folder.writer().import_consent(saying).wait().unwrap();
    let entries = |imported| match imported {
        Imported::Recorded(recorded) => recorded.entries.len(),
        other => panic!("{other:?}"),
    };
    let first = saying(patient, 1, vec![rule(Purpose::Upstream, true), rule(Purpose::Payer, true)]);
    assert_eq!(entries(import(first.clone())), 2);
    assert_eq!(import(first.clone()), Imported::Known { entry: 2 });
    // The next version says nothing of the payer: what it had granted there ends.
    let second = saying(patient, 2, vec![rule(Purpose::Upstream, true), rule(Purpose::Treatment, false)]);
    assert_eq!(entries(import(second)), 3);
    assert_eq!(Purpose::ALL.map(|purpose| permits(&folder, patient, purpose, 2_000)), [false, true, false]);
    assert_eq!(import(first), Imported::Known { entry: 5 });
    let unseen = ConsentSaying {
        document: ConsentDocument { hash: [9; 32], ..saying(1, 1, vec![]).document },
        ..saying(patient, 1, vec![])
    };
    assert_eq!(import(unseen), Imported::Older { entry: 5 });
    assert_eq!(import(saying(other, 3, vec![])), Imported::OtherPatient { entry: 5 });
    // What it denied is not permitted by its end.
    assert_eq!(entries(import(saying(patient, 3, vec![]))), 1);
    assert_eq!(Purpose::ALL.map(|purpose| permits(&folder, patient, purpose, 2_000)), [false; 3]);
    let third = saying(patient, 4, vec![rule(Purpose::Treatment, true)]);
    assert_eq!(entries(import(third)), 1);
    assert_eq!(entries(import(saying(patient, 5, vec![]))), 1);
    assert_eq!(
        Purpose::ALL.map(|purpose| permits(&folder, patient, purpose, 2_000)),
        [true, false, false],
        "the defaults hold again"
    );
    let nothing = ConsentSaying {
        document: ConsentDocument { key: [8; 32], ..saying(1, 1, vec![]).document },
        ..saying(patient, 1, vec![])
    };
    assert_eq!(import(nothing), Imported::Nothing);
    assert_eq!(folder.read(|r| r.verify_consent(None)).entries, 8);
}

#[test]
fn a_fhir_consent_that_ends_ends_its_grants_and_none_of_its_denials() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    let import = |saying| folder.writer().import_consent(saying).wait().unwrap();
    // Treatment is denied but for a time, analytics denied, payment permitted.
    let for_a_time = ConsentRule { from: Some(1_001), until: Some(9_000), ..rule(Purpose::Treatment, true) };
    let rules = vec![
        rule(Purpose::Treatment, false),
        for_a_time,
        rule(Purpose::Upstream, false),
        rule(Purpose::Payer, true),
    ];
    import(saying(patient, 1, rules));
    let all = |at| Purpose::ALL.map(|purpose| permits(&folder, patient, purpose, at));
    assert_eq!((all(2_000), all(9_500)), ([true, false, true], [false, false, true]));
    assert!(matches!(import(saying(patient, 2, vec![])), Imported::Recorded(_)));
    assert_eq!((all(2_000), all(9_500)), ([false; 3], [false; 3]), "the exception ends, the denial does not");
    assert!(matches!(import(saying(patient, 3, vec![])), Imported::Denied { .. }));
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
