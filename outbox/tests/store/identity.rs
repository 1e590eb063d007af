//! Who is who: bound, merged, renumbered, moved, undone; whatever the order, the same patients with the same readings.

use std::collections::{BTreeMap, BTreeSet};

use outbox::{
    Absorb, Bound, ChunkWrite, Fact, Identified, IdentityEntry, Learned, Name, PatientKey, ReadAgain,
    Refusal, Rehoming, Saying, Seat, Statement, Wait,
};
use proptest::prelude::*;

use crate::folder::{Folder, arrival, nothing, row, window_key};

fn agrees(at: i64) -> outbox::EhrPatient {
    outbox::EhrPatient { finding: "agrees".into(), reference: Some("Patient/1".into()), at }
}

pub(crate) fn key(value: &str) -> PatientKey {
    PatientKey { site: "main".into(), system: "urn:mr".into(), value: value.into() }
}

pub(crate) fn name(value: &str) -> Name {
    Name { key: key(value), alias: false }
}

pub(crate) fn vendor(value: &str) -> Name {
    Name { key: PatientKey { system: "VENDOR^PI".into(), ..key(value) }, alias: true }
}

pub(crate) fn how(adopt: bool, at: i64) -> Rehoming {
    Rehoming { adopt, withdrawal: "withdrawal-needed".into(), at }
}

pub(crate) fn merge(survivor: &str, retired: &str) -> Saying {
    Saying::Merge { survivor: key(survivor), retired: key(retired) }
}

pub(crate) fn bind(patient: &str, others: &[&str]) -> Saying {
    let others = others.iter().map(|other| vendor(other)).collect();
    Saying::Bind { patient: key(patient), others, by: Bound::Adt, facts: Vec::new() }
}

pub(crate) fn shift(moved: Name, to: &[Name], from: &[Name]) -> Saying {
    Saying::Move { moved, to: to.to_vec(), from: from.to_vec() }
}

impl Folder {
    /// Message `number`, said at that time.
    pub(crate) fn say(&self, number: i64, saying: Saying) -> Identified {
        self.say_at(number, number, true, saying)
    }

    pub(crate) fn say_at(&self, number: i64, said_at: i64, adopt: bool, saying: Saying) -> Identified {
        let statement = Statement { inbox_id: number, ordinal: 0, said_at, how: how(adopt, 9_000), saying };
        self.writer().identify(vec![statement]).wait().unwrap()
    }

    pub(crate) fn seat(&self, names: &[Name]) -> Option<(i64, i64)> {
        match self.writer().seats(vec![names.to_vec()]).wait().unwrap().remove(0) {
            Seat::Of { holder, owner, .. } => Some((holder, owner)),
            Seat::Nobody | Seat::Several => None,
        }
    }

    pub(crate) fn number(&self, value: &str) -> i64 {
        self.read(|r| r.find_patient(&key(value))).unwrap()
    }

    pub(crate) fn members(&self, value: &str) -> BTreeSet<i64> {
        self.read(|r| r.members(self.number(value))).into_iter().collect()
    }

    pub(crate) fn unlink(&self, link: i64) {
        self.writer().unlink(link, how(false, 9_500), "test").wait().unwrap();
    }

    /// Dirties a window of 14 days for each rehomed chunk, as the pipeline does.
    pub(crate) fn redirty(&self) {
        loop {
            let rehomed = self.read(|r| r.rehomed(2, &["main"]));
            if rehomed.is_empty() {
                return;
            }
            let mut dirty = Vec::new();
            for entry in &rehomed {
                let days = self.read(|r| r.chunks(entry.member, 0, 100));
                dirty.extend(days.iter().map(|chunk| due(entry.owner, chunk.day)));
            }
            self.writer().redirty(rehomed, dirty).wait().unwrap();
        }
    }

    /// One day's readings under an identifier, and the window that they dirty.
    pub(crate) fn readings(&self, names: &[Name], day: i32) {
        let (holder, owner) = self.seat(names).unwrap();
        let chunk = ChunkWrite {
            patient: holder,
            device: "G7".into(),
            day,
            expected_version: 0,
            count: 1,
            body: vec![1],
        };
        let absorb = Absorb { chunks: vec![chunk], dirty: vec![due(owner, day)], ..nothing(0, 0) };
        self.writer().absorb(absorb).wait().unwrap();
    }

    pub(crate) fn dirty_windows(&self) -> BTreeSet<(i64, i32)> {
        let due = self.read(|r| r.due_windows(i64::MAX, 1_000, &["main"]));
        due.into_iter().map(|window| (window.key.patient, window.key.end_day)).collect()
    }
}

pub(crate) fn due(patient: i64, day: i32) -> outbox::DirtyWindow {
    outbox::DirtyWindow {
        window: window_key(patient, day),
        now: 0,
        due_at: 1_000,
        closes_at: 0,
        max_wait_ms: 9_999,
    }
}

#[test]
fn an_identifier_bound_to_one_patient_is_that_patients_and_bound_to_two_is_nobodys() {
    let folder = Folder::new();
    assert_eq!(folder.seat(&[vendor("V")]), None, "nothing is made of an unknown one");
    folder.say(1, bind("A", &["V"]));
    let (holder, owner) = folder.seat(&[vendor("V")]).unwrap();
    assert_eq!(owner, folder.number("A"));
    assert_ne!(holder, owner, "its readings are kept apart, so that they can go elsewhere");
    folder.say(2, bind("A", &["V"]));
    folder.say(3, bind("B", &["V"]));
    assert_eq!(folder.seat(&[vendor("V")]), None);
    assert_eq!(folder.members("A"), BTreeSet::from([owner]));
    // If both turn out to be one, it is that one's.
    folder.say(4, merge("B", "A"));
    assert_eq!(folder.seat(&[vendor("V")]).unwrap().1, folder.number("B"));
}

#[test]
fn a_further_identifier_without_readings_makes_nothing_be_looked_at_again() {
    let folder = Folder::new();
    let window = folder.dirty(folder.patient("A"), 20, 1_000);
    folder.writer().remember_patient("ehr", "https://e", window.key.patient, agrees(1_000)).wait().unwrap();
    folder.say(1, bind("A", &["VISIT-1"]));
    assert_eq!(folder.read(|r| r.window(&window.key)), Some(window.clone()));
    assert!(folder.read(|r| r.ehr_patient("ehr", "https://e", window.key.patient)).is_some());
    assert!(folder.read(|r| r.ehr_patient("ehr", "https://other", window.key.patient)).is_none());
    assert!(folder.read(|r| r.rehomed(9, &["main"])).is_empty());
}

#[test]
fn a_chain_of_merges_is_followed_and_a_circle_refused() {
    let folder = Folder::new();
    folder.say(1, merge("B", "A"));
    folder.say(2, merge("C", "B"));
    assert_eq!(folder.seat(&[name("A")]).unwrap().1, folder.number("C"));
    assert_eq!(folder.members("C").len(), 3);
    assert!(folder.members("B").is_empty());
    for (number, saying) in [(3, merge("A", "C")), (4, merge("B", "C"))] {
        assert_eq!(folder.say(number, saying).refused, [(number, 0, Refusal::Circle)]);
    }
    assert_eq!(folder.say(5, merge("D", "A")).refused, [(5, 0, Refusal::MergedBefore)]);
    assert!(folder.say(6, merge("B", "A")).refused.is_empty(), "said again");
    assert_eq!(folder.members("C").len(), 3);
    assert!(folder.read(|r| r.audit_after(0, 99)).iter().all(|(_, entry)| !entry.detail.contains("urn")));
}

#[test]
fn the_same_message_read_again_changes_nothing_also_after_it_was_undone() {
    let folder = Folder::new();
    folder.say(1, merge("B", "A"));
    folder.unlink(1);
    assert_eq!(folder.members("B").len(), 1);
    assert!(!folder.say(1, merge("B", "A")).changed);
    assert_eq!(folder.members("B").len(), 1);
    assert_eq!(folder.say(2, merge("B", "A")).refused, [(2, 0, Refusal::Undone)], "sent again, said before");
    assert_eq!(folder.members("B").len(), 1);
    folder.say_at(3, 9_501, true, merge("B", "A"));
    assert_eq!(folder.members("B").len(), 2, "said anew it is another merge");
    // A move likewise.
    folder.say(4, shift(name("M"), &[name("N")], &[]));
    folder.unlink(folder.read(|r| r.links(1))[0].id);
    assert_eq!(
        folder.say_at(5, 4, true, shift(name("M"), &[name("N")], &[])).refused,
        [(5, 0, Refusal::Undone)]
    );
    assert_eq!(folder.members("N").len(), 1);
}

#[test]
fn a_chain_of_merges_that_would_not_be_walked_to_its_end_is_refused() {
    let folder = Folder::new();
    let one = |n: i64| merge(&format!("P{}", n + 1), &format!("P{n}"));
    // Two chains whose joining would be too long, and what is bound to the lowest of one.
    for n in (1..=40).chain(42..=64) {
        assert!(folder.say(n, one(n)).refused.is_empty(), "{n}");
    }
    assert_eq!(folder.say(41, one(41)).refused, [(41, 0, Refusal::TooLong)]);
    assert!(folder.say(141, merge("P43", "P41")).refused.is_empty(), "one less");
    folder.say(142, bind("P1", &["V"]));
    assert_eq!(folder.seat(&[vendor("V")]).unwrap().1, folder.number("P65"));
    assert_eq!(folder.say(143, merge("P66", "P65")).refused, [(143, 0, Refusal::TooLong)]);
}

#[test]
fn a_change_of_identifier_that_is_undone_gives_the_record_its_former_one_or_is_refused() {
    let folder = Folder::new();
    let before = folder.patient("OLD");
    folder.readings(&[name("OLD")], 20);
    folder.say(1, Saying::Renumber { former: key("OLD"), present: key("NEW") });
    folder.unlink(1);
    assert_eq!((folder.number("OLD"), folder.seat(&[name("OLD")])), (before, Some((before, before))));
    let (holder, owner) = folder.seat(&[name("NEW")]).unwrap();
    assert!(holder == owner && owner != before, "the other stands for itself");
    assert_eq!(folder.members("OLD"), BTreeSet::from([before]));
    let again = folder.say_at(9, 1, true, Saying::Renumber { former: key("OLD"), present: key("NEW") });
    assert_eq!(again.refused, [(9, 0, Refusal::Undone)], "sent again");

    // Results that came under the former identifier since would come under the other.
    folder.say(2, Saying::Renumber { former: key("X"), present: key("Y") });
    let renamed = folder.patient("FROM");
    folder.say(3, Saying::Renumber { former: key("FROM"), present: key("TO") });
    folder.readings(&[name("FROM")], 21);
    let link = folder.read(|r| r.links(1))[0].id;
    let told = folder.writer().unlink(link, how(false, 9_500), "test").wait();
    assert_eq!(told, Err(outbox::WriteError::Conflict(outbox::Conflict::Readings)));
    assert_eq!((folder.number("TO"), folder.members("TO").len()), (renamed, 2), "nothing was undone");
}

#[test]
fn a_patient_who_is_renumbered_keeps_number_and_windows() {
    let folder = Folder::new();
    let before = folder.patient("OLD");
    folder.readings(&[name("OLD")], 20);
    folder.say(1, Saying::Renumber { former: key("OLD"), present: key("NEW") });
    assert_eq!(folder.number("NEW"), before);
    let (holder, owner) = folder.seat(&[name("OLD")]).unwrap();
    assert_eq!(owner, before, "what still comes under the former identifier counts");
    assert_ne!(holder, before);
    assert_eq!(folder.read(|r| r.patient(before)), Some(key("NEW")));
    // Back again, and an older message that says the first once more.
    folder.say(3, Saying::Renumber { former: key("NEW"), present: key("OLD") });
    assert_eq!(folder.number("OLD"), before);
    folder.say_at(4, 2, true, Saying::Renumber { former: key("OLD"), present: key("NEW") });
    assert_eq!(folder.number("OLD"), before);
    assert_eq!(folder.members("OLD").len(), 2);
}

#[test]
fn two_identifiers_change_places_whoever_else_is_called_nearly_so() {
    let folder = Folder::new();
    let (former, present) = (folder.patient("100"), folder.patient("200"));
    for nearly in ["200 ", "100 ", "aside"] {
        folder.patient(nearly);
    }
    folder.say(1, Saying::Renumber { former: key("100"), present: key("200") });
    let told = folder.say(2, Saying::Renumber { former: key("200"), present: key("100") });
    assert_eq!((told.refused, told.changed), (vec![], true));
    assert_eq!((folder.number("100"), folder.number("200")), (present, former));
}

#[test]
fn a_saying_that_the_store_cannot_hold_is_refused_alone() {
    let folder = Folder::new();
    // A fact that the schema does not know.
    let facts = vec![Fact { fact: "weight", value: "70".into() }];
    let unknown = Saying::Bind { patient: key("X"), others: vec![vendor("V")], by: Bound::Adt, facts };
    let at = |inbox_id, saying| Statement { inbox_id, ordinal: 0, said_at: 1, how: how(true, 9), saying };
    let told =
        folder.writer().identify(vec![at(1, bind("A", &["W"])), at(2, unknown), at(3, merge("B", "A"))]);
    let told = told.wait().unwrap();
    assert!(matches!(told.refused[..], [(2, _, Refusal::Failed { .. })]), "{:?}", told.refused);
    assert_eq!(folder.read(|r| r.find_patient(&key("X"))), None, "nothing of it was kept");
    assert_eq!(folder.seat(&[vendor("W")]).unwrap().1, folder.number("B"), "its neighbours were");
}

#[test]
fn a_patient_renumbered_to_one_who_is_known_is_merged_into_that_one() {
    let folder = Folder::new();
    let (old, new) = (folder.patient("OLD"), folder.patient("NEW"));
    folder.say(1, Saying::Renumber { former: key("OLD"), present: key("NEW") });
    assert_eq!(folder.members("NEW"), BTreeSet::from([old, new]));
    let unknown = Saying::Renumber { former: key("X"), present: key("Y") };
    folder.say(2, unknown);
    assert_eq!(folder.seat(&[name("X")]).unwrap().1, folder.number("Y"));
}

#[test]
fn an_identifier_that_is_moved_takes_its_readings_along() {
    let folder = Folder::new();
    folder.say(1, bind("A", &["V"]));
    folder.patient("B");
    folder.readings(&[vendor("V")], 20);
    folder.say(5, shift(vendor("V"), &[name("B")], &[name("A")]));
    assert_eq!(folder.seat(&[vendor("V")]).unwrap().1, folder.number("B"));
    folder.redirty();
    assert_eq!(folder.dirty_windows(), BTreeSet::from([(folder.number("A"), 20), (folder.number("B"), 20)]));
    // What was said before the move and comes after it binds nothing; what was said later does.
    folder.say_at(6, 4, true, bind("A", &["V"]));
    assert_eq!(folder.seat(&[vendor("V")]).unwrap().1, folder.number("B"));
    folder.say(7, bind("A", &["V"]));
    assert_eq!(folder.seat(&[vendor("V")]), None);
    let nobody = shift(vendor("V"), &[vendor("UNKNOWN")], &[]);
    assert_eq!(folder.say(8, nobody).refused, [(8, 0, Refusal::NoTarget)]);
}

#[test]
fn a_record_number_that_is_moved_to_another_person_counts_there_and_may_come_home() {
    let folder = Folder::new();
    folder.say(1, bind("A", &["PERSON-1"]));
    folder.say(2, bind("B", &["PERSON-2"]));
    folder.say(3, shift(name("A"), &[vendor("PERSON-2")], &[vendor("PERSON-1")]));
    assert_eq!(folder.seat(&[name("A")]).unwrap().1, folder.number("B"));
    folder.say(4, shift(name("A"), &[vendor("PERSON-1")], &[vendor("PERSON-2")]));
    assert_eq!(folder.seat(&[name("A")]).unwrap().1, folder.number("A"));
    assert_eq!(folder.members("B").len(), 2);
    // To a person of whom no patient is known: that person's identifier is bound instead.
    folder.say(5, shift(name("A"), &[vendor("PERSON-3")], &[vendor("PERSON-1")]));
    assert_eq!(folder.seat(&[vendor("PERSON-3")]).unwrap().1, folder.number("A"));
    assert_eq!(folder.seat(&[vendor("PERSON-1")]), None);
}

#[test]
fn a_link_is_recorded_and_mixes_nothing() {
    let folder = Folder::new();
    folder.say(1, Saying::Link(key("A"), key("B")));
    assert_eq!((folder.members("A").len(), folder.members("B").len()), (1, 1));
    let kinds = |folder: &Folder| -> Vec<(String, bool)> {
        folder.read(|r| r.links(9)).into_iter().map(|link| (link.kind, link.undone_at.is_some())).collect()
    };
    assert_eq!(kinds(&folder), [("related".to_owned(), false)]);
    folder.say_at(3, 0, true, Saying::Unlink(key("B"), key("A")));
    assert_eq!(
        kinds(&folder),
        [("related".to_owned(), false)],
        "what was said before the link does not end it"
    );
    folder.say(2, Saying::Unlink(key("B"), key("A")));
    assert_eq!(kinds(&folder), [("related".to_owned(), true)]);
}

#[test]
fn an_older_message_overwrites_nothing_that_a_newer_one_said() {
    let fact = |value: &str| vec![Fact { fact: "birth", value: value.into() }];
    let said =
        |value: &str| Saying::Bind { patient: key("A"), others: vec![], by: Bound::Adt, facts: fact(value) };
    for order in [[(1, "1970"), (2, "1971"), (3, "1972")], [(3, "1972"), (1, "1970"), (2, "1971")]] {
        let folder = Folder::new();
        for (number, (said_at, value)) in (1..).zip(order) {
            folder.say_at(number, said_at, true, said(value));
        }
        let births = folder.read(|r| r.births(folder.number("A")));
        assert_eq!(births.registered.as_deref(), Some("1972"));
        assert!(!format!("{births:?}{:?}", fact("1972")).contains("1972"));
        folder.say(9, said(""));
        assert_eq!(folder.read(|r| r.births(folder.number("A"))).registered, None, "taken back");
    }
}

#[test]
fn a_message_is_asked_for_again_when_something_is_learned_of_a_name_it_waits_for() {
    let folder = Folder::new();
    for number in 1..=3 {
        folder.intake(arrival(number, number)).unwrap();
    }
    let entry = |inbox_id, at| IdentityEntry { inbox_id, reason: "nobody".into(), at };
    let wait = |inbox_id, name: Name| Wait { inbox_id, name: name.key };
    let waits = vec![wait(1, vendor("V")), wait(2, vendor("W"))];
    let learned = Learned { waits, ..Learned::default() };
    let absorb =
        Absorb { identity: vec![entry(1, 10), entry(2, 20), entry(3, 30)], learned, ..nothing(0, 3) };
    folder.writer().absorb(absorb).wait().unwrap();
    folder.say(9, bind("A", &["V"]));
    assert_eq!(folder.read(|r| r.waiting_due(9)), [1]);
    folder.writer().absorb(Absorb { again: vec![1], ..nothing(3, 3) }).wait().unwrap();
    assert!(folder.read(|r| r.waiting_due(9)).is_empty(), "asked for once");
    assert_eq!(folder.read(|r| r.counts()).identity_queue, 3, "it ends when it was read");

    // Bound to two it is nobody's again, until the two are one.
    folder.say(10, bind("B", &["V"]));
    let absorb = Absorb {
        learned: Learned { waits: vec![wait(1, vendor("V"))], ..Learned::default() },
        ..nothing(3, 3)
    };
    folder.writer().absorb(absorb).wait().unwrap();
    folder.say(11, merge("A", "B"));
    assert_eq!(folder.read(|r| r.waiting_due(9)), [1]);

    // Read anew, one has its patient and one has not.
    let learned = Learned { waits: vec![wait(2, vendor("W"))], ..Learned::default() };
    let anew = |inbox_id| ReadAgain { inbox_id, asked_at: 0, has_readings: false, at: 99 };
    let read_again = vec![anew(1), anew(2)];
    let absorb = Absorb { identity: vec![entry(2, 99)], read_again, learned, ..nothing(3, 3) };
    folder.writer().absorb(absorb).wait().unwrap();
    let waiting = folder.read(|r| r.waiting(9));
    let left: Vec<_> = waiting.iter().map(|entry| (entry.inbox_id, entry.at, entry.names.len())).collect();
    assert_eq!(left, [(2, 20, 1), (3, 30, 0)], "what waits on keeps its age");
    let audit = folder.read(|r| r.audit_after(0, 99));
    assert!(audit.iter().any(|(_, entry)| entry.action == "identity found" && entry.object == "message 1"));
}

#[test]
fn a_file_without_a_patient_waits_until_the_same_file_of_the_same_feed_has_one() {
    let folder = Folder::new();
    for number in 1..=5 {
        folder.intake(arrival(number, number)).unwrap();
    }
    let file = |inbox_id, source: &str, hash, named| outbox::FileSeen {
        inbox_id,
        site: "main".into(),
        source: source.into(),
        sha256: [hash; 32],
        named,
    };
    let entry = |inbox_id| IdentityEntry { inbox_id, reason: "nobody".into(), at: 10 };
    let files = vec![file(1, "spool", 1, false), file(2, "spool", 2, false), file(3, "other", 1, false)];
    let learned = Learned { files, ..Learned::default() };
    let identity = vec![entry(1), entry(2), entry(3)];
    folder.writer().absorb(Absorb { identity, learned, ..nothing(0, 3) }).wait().unwrap();
    assert!(folder.read(|r| r.waiting(9)).iter().all(|entry| entry.names.is_empty()));

    let learned = Learned { files: vec![file(4, "spool", 1, true)], ..Learned::default() };
    folder.writer().absorb(Absorb { learned, at: 20, ..nothing(3, 4) }).wait().unwrap();
    let left: Vec<i64> = folder.read(|r| r.waiting(9)).iter().map(|entry| entry.inbox_id).collect();
    assert_eq!(left, [2, 3]);
    assert_eq!(folder.read(|r| r.counts()).identity_queue, 2);
    let audit = folder.read(|r| r.audit_after(0, 99));
    assert!(audit.iter().any(|(_, entry)| entry.action == "identity found" && entry.object == "message 1"));
}

#[test]
fn a_birth_date_that_changes_lets_what_was_held_for_it_be_tried_again() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    let id = folder.publish(patient, 20, vec![row(1)], 1_000)[0];
    folder.lease(2_000);
    folder.settle(id, outbox::Verdict::Retry { at: 900_000, cause: "held".into() }, 2_000);
    folder.writer().remember_patient("ehr", "https://e", patient, agrees(2_000)).wait().unwrap();
    let facts = vec![Fact { fact: "birth", value: "1971".into() }];
    folder.say(1, Saying::Bind { patient: key("A"), others: vec![], by: Bound::Adt, facts });
    assert_eq!(folder.read(|r| r.next_attempt_at("ehr")), Some(9_000));
    assert!(folder.read(|r| r.ehr_patient("ehr", "https://e", patient)).is_none());
}

/// Patients 0 to 5, each merged into a later one or not at all, so that there is no circle.
pub(crate) fn forest() -> impl Strategy<Value = Vec<(usize, usize)>> {
    proptest::collection::vec(proptest::option::of(1..6_usize), 5).prop_map(|steps| {
        let into = |(child, step): (usize, Option<usize>)| step.map(|step| (child, (child + step).min(5)));
        steps.into_iter().enumerate().filter_map(into).collect()
    })
}

#[derive(Debug, Clone)]
enum Act {
    Merge(usize, usize),
    Readings(usize, i32),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever the order of merges and results: a survivor has the readings of all who were merged into it, and every
    /// window that holds one of them is computed for the survivor and for nobody else. Undone, all is as it was.
    #[test]
    fn merges_in_any_order_with_results_between_them_give_the_survivor_every_reading(
        acts in forest().prop_flat_map(|merges| {
            let mut acts: Vec<Act> = merges.into_iter().map(|(child, parent)| Act::Merge(child, parent)).collect();
            acts.extend((0..6).flat_map(|patient| [Act::Readings(patient, 20 + patient as i32), Act::Readings(patient, 40)]));
            Just(acts).prop_shuffle()
        }),
        adopt in any::<bool>(),
    ) {
        let folder = Folder::new();
        let called = |patient: usize| format!("P{patient}");
        let numbers: Vec<i64> = (0..6).map(|patient| folder.patient(&called(patient))).collect();
        let (mut parents, mut days) = (BTreeMap::new(), Vec::new());
        for (number, act) in (1..).zip(&acts) {
            match act {
                Act::Merge(child, parent) => {
                    let told = folder.say_at(number, number, adopt, merge(&called(*parent), &called(*child)));
                    prop_assert!(told.refused.is_empty());
                    parents.insert(*child, *parent);
                }
                Act::Readings(patient, day) => {
                    folder.readings(&[name(&called(*patient))], *day);
                    days.push((*patient, *day));
                }
            }
        }
        folder.redirty();
        let root = |mut patient: usize| {
            while let Some(parent) = parents.get(&patient) {
                patient = *parent;
            }
            patient
        };
        for patient in 0..6 {
            let members = (0..6).filter(|other| root(*other) == patient).map(|other| numbers[other]).collect();
            prop_assert_eq!(folder.members(&called(patient)), if root(patient) == patient { members } else { BTreeSet::new() });
        }
        let wanted: BTreeSet<(i64, i32)> = days.iter().map(|(patient, day)| (numbers[root(*patient)], *day)).collect();
        prop_assert_eq!(folder.dirty_windows(), wanted);

        for link in folder.read(|r| r.links(99)) {
            folder.unlink(link.id);
        }
        folder.redirty();
        let own: BTreeSet<(i64, i32)> = days.iter().map(|(patient, day)| (numbers[*patient], *day)).collect();
        prop_assert!(own.is_subset(&folder.dirty_windows()));
        for (patient, number) in numbers.iter().enumerate() {
            prop_assert_eq!(folder.members(&called(patient)), BTreeSet::from([*number]));
        }
    }
}
