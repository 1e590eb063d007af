//! Merges of identifiers whose birth dates contradict: recorded, and nothing is written until that is settled.

use outbox::{Bound, Fact, Saying};

use crate::{
    folder::Folder,
    identity::{key, merge},
};

/// A registration of a patient with this birth date.
fn born(patient: &str, date: &str) -> Saying {
    let facts = vec![Fact { fact: "birth", value: date.to_owned() }];
    Saying::Bind { patient: key(patient), others: Vec::new(), by: Bound::Adt, facts }
}

#[test]
fn a_merge_of_contradicting_birth_dates_holds_the_survivor_until_that_is_settled() {
    let folder = Folder::new();
    let said =
        [born("S", "19310709"), born("R", "1980"), born("C", "198005"), merge("S", "R"), merge("R", "C")];
    for (number, saying) in (1..).zip(said) {
        assert!(folder.say(number, saying).refused.is_empty(), "the merge itself is recorded");
    }
    let (survivor, retired) = (folder.number("S"), folder.number("R"));
    let held = |of| folder.read(|r| r.is_in_doubt(of));
    let conditions = || folder.read(|r| r.conditions());
    assert!(held(survivor) && !held(retired));
    assert_eq!(
        (conditions()[0].name.as_str(), conditions()[0].scope.as_str()),
        ("patient-in-doubt", "patient 1")
    );
    assert!(!conditions()[0].detail.contains("19"), "no date is told: {}", conditions()[0].detail);

    // A message puts the date of the middle one right; the lowest contradicts still.
    folder.say(6, born("R", "193107"));
    assert!(held(survivor));
    folder.say(7, born("C", "1931"));
    assert!(!held(survivor) && conditions().is_empty());
    // Put wrong again; the merge is undone.
    folder.say(8, born("R", "1990"));
    assert!(held(survivor));
    let link = folder.read(|r| r.links(9)).into_iter().find(|link| link.child == retired).unwrap().id;
    folder.unlink(link);
    assert!(!held(survivor));
    assert!(held(retired), "the lowest contradicts the one it was merged into");
}

#[test]
fn a_person_may_let_a_merge_stand_although_the_birth_dates_contradict() {
    let folder = Folder::new();
    for (number, saying) in (1..).zip([born("S", "1931"), born("R", "1980"), merge("S", "R")]) {
        folder.say(number, saying);
    }
    let survivor = folder.number("S");
    let agree = |link| folder.writer().agree(link, "analyst", "one person, seen", 5).wait();
    assert_eq!(agree(9), Err(outbox::Conflict::Missing.into()));
    assert_eq!(agree(1), Ok(()));
    assert!(!folder.read(|r| r.is_in_doubt(survivor)));
    assert_eq!(agree(1), Err(outbox::Conflict::Edge.into()), "it holds nothing up");
    let audit = folder.read(|r| r.audit_after(0, 99));
    assert!(audit.iter().any(|(_, entry)| entry.action == "patient agreed"
        && entry.actor == "analyst"
        && entry.detail.ends_with(": one person, seen")));
    // Another merge is another matter.
    folder.say(4, born("X", "1990"));
    folder.say(5, merge("S", "X"));
    assert!(folder.read(|r| r.is_in_doubt(survivor)));
}
