//! Standstills: nothing is leased while one lasts, and after it what could have been written is looked for.

use outbox::{AuditEntry, BeginStandstill, Begun, FURTHER_MOST, GAP, Verdict};

use crate::folder::{Folder, row};

fn begin(cause: &str, at: i64) -> BeginStandstill {
    BeginStandstill { cause: cause.to_owned(), detail: "a test".to_owned(), audit: Vec::new(), at }
}

#[test]
fn nothing_is_leased_while_it_lasts_over_a_restart_too_and_there_is_one_at_a_time() {
    let mut folder = Folder::new();
    let rows = folder.publish(folder.patient("A"), 20, vec![row(1)], 1_000);
    assert_eq!(folder.writer().begin_standstill(begin("restored", 2_000)).wait().unwrap(), Begun::New);
    assert_eq!(folder.writer().begin_standstill(begin("moved", 3_000)).wait().unwrap(), Begun::Further);
    assert!(folder.lease(5_000).is_empty());
    folder.reopen();
    assert!(folder.lease(6_000).is_empty());
    let last = folder.read(|reader| reader.standstill()).unwrap();
    assert_eq!((last.cause.as_str(), last.since, last.ended_at), ("restored", 2_000, None));

    assert!(folder.writer().end_standstill(Vec::new(), 7_000).wait().unwrap());
    assert!(!folder.writer().end_standstill(Vec::new(), 8_000).wait().unwrap());
    let leased: Vec<i64> = folder.lease(9_000).iter().map(|row| row.id).collect();
    assert_eq!(leased, rows);
}

#[test]
fn a_further_cause_is_kept_once_with_an_entry_of_its_own_and_ends_with_the_rest() {
    let folder = Folder::new();
    let found = |cause: &str, detail: &str, at: i64| {
        let entry = AuditEntry {
            actor: "upstream".to_owned(),
            action: "standstill begun".to_owned(),
            object: "box".to_owned(),
            detail: format!("{cause}: {detail}"),
            at,
        };
        let begin = BeginStandstill { detail: detail.to_owned(), audit: vec![entry], ..begin(cause, at) };
        folder.writer().begin_standstill(begin).wait().unwrap()
    };
    assert_eq!(found("restored", "a", 1_000), Begun::New);
    assert_eq!(found("restored", "a", 2_000), Begun::Known);
    assert_eq!(found("cloned", "b", 3_000), Begun::Further);
    assert_eq!(found("cloned", "b", 4_000), Begun::Known);
    assert_eq!(found("cloned", "c", 5_000), Begun::Further);
    let id = folder.read(|reader| reader.standstill()).unwrap().id;
    let causes = folder.read(|reader| reader.standstill_causes(id));
    let told: Vec<_> = causes.iter().map(|one| (one.at, one.cause.as_str(), one.detail.as_str())).collect();
    assert_eq!(told, [(3_000, "cloned", "b"), (5_000, "cloned", "c")]);
    let actions = |folder: &Folder| -> Vec<String> {
        let entries = folder.read(|reader| reader.audit_after(0, 1_000));
        entries
            .into_iter()
            .map(|(_, entry)| entry.action)
            .filter(|action| action.starts_with("standstill"))
            .collect()
    };
    assert_eq!(
        actions(&folder),
        ["standstill begun", "standstill further cause", "standstill further cause"],
        "each once"
    );
    // Whoever can make them up fills the log, and not the store beside it.
    for number in 0..2 * FURTHER_MOST {
        assert_eq!(found("cloned", &number.to_string(), 6_000 + number), Begun::Further);
    }
    assert_eq!(folder.read(|reader| reader.standstill_causes(id)).len() as i64, FURTHER_MOST);
    assert_eq!(actions(&folder).len() as i64, 3 + 2 * FURTHER_MOST);

    assert!(folder.writer().end_standstill(Vec::new(), 7_000).wait().unwrap());
    assert_eq!(found("cloned", "b", 8_000), Begun::New, "what was ended is a cause anew");
    let next = folder.read(|reader| reader.standstill()).unwrap().id;
    assert!(next > id && folder.read(|reader| reader.standstill_causes(next)).is_empty());
}

#[test]
fn what_waited_then_is_in_doubt_the_first_time_and_an_ordinary_row_afterwards() {
    let folder = Folder::new();
    folder.publish(folder.patient("A"), 20, vec![row(1)], 1_000);
    folder.writer().begin_standstill(begin("restored", 2_000)).wait().unwrap();
    folder.writer().end_standstill(Vec::new(), 3_000).wait().unwrap();
    assert_eq!(folder.read(|reader| reader.suspects()), 1);

    let leased = folder.lease(4_000);
    assert_eq!((leased[0].ambiguous, leased[0].doubt_since, leased[0].overtaken), (true, Some(2_000), false));
    assert_eq!(leased[0].free_since, 3_000, "the standstill is not its delay");
    assert_eq!(folder.read(|reader| reader.suspects()), 0);
    // It was looked for, and is not there: it goes as any other.
    let verdict = Verdict::Retry { at: 5_000, cause: "it is not there".to_owned() };
    folder.settle(leased[0].id, verdict, 5_000);
    let again = folder.lease(6_000);
    assert_eq!((again[0].id, again[0].ambiguous, again[0].doubt_since), (leased[0].id, false, None));
}

#[test]
fn windows_that_had_begun_are_looked_for_also_when_their_rows_came_later_and_later_windows_are_not() {
    const DAY: i64 = 86_400_000;
    let folder = Folder::new();
    let patient = folder.patient("A");
    folder.writer().begin_standstill(begin("moved", 90 * DAY)).wait().unwrap();
    folder.writer().end_standstill(Vec::new(), 100 * DAY).wait().unwrap();
    // Windows of the folder are 14 days long: one that began a day before the end, and one that began two days after.
    folder.publish(patient, 113, vec![row(1)], 114 * DAY);
    let first = folder.lease(115 * DAY);
    assert!(first[0].ambiguous, "its window had begun");
    folder.deliver(first[0].id);
    folder.publish(patient, 117, vec![row(2)], 118 * DAY);
    assert!(!folder.lease(119 * DAY)[0].ambiguous, "nobody else can have written it");
}

#[test]
fn versions_go_on_beyond_those_that_another_copy_may_have_given() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    folder.publish(patient, 20, vec![row(1)], 1_000);
    let next = |folder: &Folder| folder.dirty(patient, 20, 0).next_version;
    assert_eq!(next(&folder), 2);
    for ended in 1..=2 {
        folder.writer().begin_standstill(begin("restored", ended * 10_000)).wait().unwrap();
        folder.writer().end_standstill(Vec::new(), ended * 10_000 + 1).wait().unwrap();
        assert_eq!(next(&folder), ended * GAP + 1);
    }
}
