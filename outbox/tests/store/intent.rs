//! What people want written: once, in order, held where a person has to decide, and gone on with as they say.

use outbox::{
    CancelIntent, ConfirmIntent, Conflict, Entered, Enters, Fact, IntentRow, IntentState, Lease, LeasedRow,
    NewIntent, Saying, State, Take, Verdict, WriteError,
};

use crate::folder::{Folder, row};
use crate::identity::{bind, key as named, merge};

/// How long an author's word holds in these tests.
const FRESH_MS: i64 = 10_000;

fn part(kind: &str, depends_on: Option<usize>) -> IntentRow {
    IntentRow {
        destination: "ehr".into(),
        patient: None,
        kind: kind.into(),
        form: "intent".into(),
        priority: 0,
        version: None,
        key: None,
        depends_on,
        withdraws: false,
        enters: Enters::Pending,
        body: kind.as_bytes().to_vec(),
    }
}

/// A note and who said it.
fn rows() -> Vec<IntentRow> {
    vec![part("note", None), part("who", Some(0))]
}

pub(crate) fn note(number: u8, patient: i64, window: Option<i64>, at: i64) -> NewIntent {
    NewIntent {
        key: [number; 32],
        patient,
        window,
        kind: "note".into(),
        body: "{}".into(),
        author: "Dr. Ada".into(),
        role: None,
        behalf: None,
        transcribed: Some("user nurse (uid 7)".into()),
        fresh_ms: FRESH_MS,
        own: false,
        rows: rows(),
        stood: Vec::new(),
        by_hand: vec![],
        actor: "user nurse (uid 7)".into(),
        at,
    }
}

pub(crate) fn enter(folder: &Folder, intent: NewIntent) -> Entered {
    folder.writer().enter_intent(intent).wait().unwrap()
}

pub(crate) fn take(folder: &Folder, now: i64) -> Vec<LeasedRow> {
    let kinds = ["bundle", "note", "who"].map(String::from).to_vec();
    let take = Take::Due { kinds, upto: 2 };
    folder
        .writer()
        .lease(Lease { destination: "ehr".into(), limit: 100, now, take, quotas: Vec::new() })
        .wait()
        .unwrap()
}

fn kinds(rows: &[LeasedRow]) -> Vec<&str> {
    rows.iter().map(|row| row.kind.as_str()).collect()
}

fn state(folder: &Folder, id: i64) -> (IntentState, String) {
    let intent = folder.read(|r| r.intent(id)).unwrap();
    (intent.state, intent.reason)
}

fn confirm(folder: &Folder, id: i64, patient: i64, decided: bool, at: i64) -> IntentState {
    let confirm = ConfirmIntent {
        id,
        patient,
        rows: rows(),
        stood: Vec::new(),
        by_hand: vec![],
        decided,
        actor: "user nurse (uid 7)".into(),
        reason: "still right".into(),
        at,
    };
    folder.writer().confirm_intent(confirm).wait().unwrap()
}

fn review(folder: &Folder, at: i64) -> usize {
    folder.writer().review_intents(0, at).wait().unwrap().held
}

pub(crate) fn deliver_all(folder: &Folder, now: i64) -> Vec<String> {
    let mut delivered = Vec::new();
    loop {
        let rows = take(folder, now);
        if rows.is_empty() {
            return delivered;
        }
        for row in rows {
            folder.deliver(row.id);
            delivered.push(row.kind);
        }
    }
}

#[test]
fn the_same_request_twice_is_one_intent_and_it_is_done_when_all_of_it_is_delivered() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    let first = enter(&folder, note(1, patient, None, 2_000));
    let again = enter(&folder, note(1, patient, None, 2_500));
    assert_eq!((first.state, first.known), (IntentState::Queued, false));
    assert_eq!((again.id, again.known), (first.id, true));
    assert_eq!(folder.read(|r| r.rows(None, 10)).len(), 2, "no second rows");
    let rows = take(&folder, 3_000);
    assert_eq!(kinds(&rows), ["note"], "who said it follows");
    folder.deliver(rows[0].id);
    assert_eq!(state(&folder, first.id).0, IntentState::Queued);
    let rows = take(&folder, 3_000);
    assert_eq!(kinds(&rows), ["who"]);
    folder.deliver(rows[0].id);
    assert_eq!(state(&folder, first.id).0, IntentState::Done);
    assert_eq!(folder.read(|r| r.intent_counts()), []);
    let audited = folder.read(|r| r.audit_after(0, 9));
    let entry = &audited.iter().find(|(_, entry)| entry.action == "intent entered").unwrap().1;
    assert_eq!((entry.object.as_str(), entry.detail.as_str()), ("intent 1", "note"));
}

#[test]
fn a_note_follows_the_outcome_that_it_is_about_and_what_takes_its_place() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    let outcome = folder.publish(patient, 20_000, vec![row(1)], 2_000)[0];
    let window = folder.read(|r| r.rows(None, 1))[0].window_id;
    enter(&folder, note(1, patient, Some(window), 2_000));
    assert_eq!(kinds(&take(&folder, 2_000)), ["bundle"], "the outcome first");
    // It is not done, and a later version takes its place.
    folder.settle(outcome, Verdict::Retry { at: 9_000, cause: "503".into() }, 2_100);
    let later = folder.publish(patient, 20_000, vec![row(2)], 2_200)[0];
    assert_eq!(folder.state(outcome), State::Superseded);
    assert_eq!(review(&folder, 2_300), 0);
    let rows = take(&folder, 2_300);
    assert_eq!(
        rows.iter().map(|row| row.id).collect::<Vec<_>>(),
        [later],
        "the note waits for the later one"
    );
    folder.deliver(later);
    assert_eq!(deliver_all(&folder, 2_400), ["note", "who"]);
}

#[test]
fn under_the_name_of_a_request_nothing_else_is_entered() {
    let folder = Folder::new();
    let (kept, other, retired) = (folder.patient("A"), folder.patient("B"), folder.patient("C"));
    let first = enter(&folder, note(1, retired, None, 2_000));
    let changed = |change: fn(&mut NewIntent)| {
        let mut intent = note(1, retired, None, 2_100);
        change(&mut intent);
        folder.writer().enter_intent(intent).wait()
    };
    for change in [
        (|intent| intent.body = "other words".into()) as fn(&mut NewIntent),
        |intent| intent.kind = "goal".into(),
        |intent| intent.window = Some(1),
        |intent| intent.author = "Dr. Bea".into(),
        |intent| intent.role = Some("nurse".into()),
        |intent| intent.behalf = Some("Dr. Bea".into()),
    ] {
        assert_eq!(changed(change), Err(WriteError::Conflict(Conflict::Intent)));
    }
    let of = |patient| folder.writer().enter_intent(note(1, patient, None, 2_100)).wait();
    assert_eq!(of(other), Err(WriteError::Conflict(Conflict::Intent)));
    // Whoever types it again may be another, and the patient may have been merged meanwhile.
    assert!(changed(|intent| intent.transcribed = None).unwrap().known);
    folder.say(1, merge("A", "C"));
    assert_eq!(of(kept).map(|again| (again.id, again.known)), Ok((first.id, true)));
    assert!(folder.read(|r| r.intent(first.id + 1)).is_none(), "nothing else was stored");
}

#[test]
fn one_for_a_retired_identifier_is_held_at_the_lease_and_goes_on_only_as_a_person_says() {
    let folder = Folder::new();
    let (kept, retired) = (folder.patient("A"), folder.patient("B"));
    let entered = enter(&folder, note(1, retired, None, 2_000));
    folder.say(1, merge("A", "B"));
    assert_eq!(kinds(&take(&folder, 2_100)), Vec::<&str>::new());
    assert_eq!(state(&folder, entered.id), (IntentState::Held, "merged".into()));
    let rows = folder.read(|r| r.rows(None, 10));
    assert!(rows.iter().all(|row| row.state == State::Superseded), "nothing stands in a line: {rows:?}");
    // One that is entered for a retired identifier is held at once, and others of the patient go.
    let second = enter(&folder, note(2, retired, None, 2_200));
    assert_eq!(second.state, IntentState::Held);
    enter(&folder, note(3, kept, None, 2_200));
    assert_eq!(deliver_all(&folder, 2_300), ["note", "who"]);
    // The merge is undone: it still waits for a person, who says whom it is for.
    let link = folder.read(|r| r.links(9))[0].id;
    folder.unlink(link);
    assert_eq!((review(&folder, 2_400), state(&folder, entered.id).0), (0, IntentState::Held));
    assert_eq!(confirm(&folder, entered.id, retired, true, 2_500), IntentState::Queued);
    assert_eq!(deliver_all(&folder, 2_500), ["note", "who"]);
    assert_eq!(state(&folder, entered.id).0, IntentState::Done);
}

#[test]
fn one_for_a_patient_who_died_is_held_until_a_person_decides() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    let entered = enter(&folder, note(1, patient, None, 2_000));
    let Saying::Bind { patient: whom, others, by, .. } = bind("A", &["V"]) else { unreachable!() };
    assert_eq!(whom, named("A"));
    let facts = vec![Fact { fact: "death", value: "20260301".into() }];
    folder.say(1, Saying::Bind { patient: whom, others, by, facts });
    assert_eq!(review(&folder, 2_100), 1);
    assert_eq!(state(&folder, entered.id), (IntentState::Held, "deceased".into()));
    assert_eq!(take(&folder, 2_200).len(), 0);
    assert_eq!(confirm(&folder, entered.id, patient, false, 2_300), IntentState::Held, "nobody decided");
    assert_eq!(confirm(&folder, entered.id, patient, true, 2_300), IntentState::Queued);
    assert_eq!(deliver_all(&folder, 2_300), ["note", "who"]);
}

#[test]
fn one_that_is_too_old_waits_for_its_author_and_what_was_begun_goes_on() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    let old = enter(&folder, note(1, patient, None, 2_000));
    let end = 2_000 + FRESH_MS;
    assert_eq!(kinds(&take(&folder, end + 1)), Vec::<&str>::new());
    assert_eq!(state(&folder, old.id).0, IntentState::Expired);
    assert_eq!(confirm(&folder, old.id, patient, false, end + 2), IntentState::Queued);
    let rows = take(&folder, end + 2);
    assert_eq!(kinds(&rows), ["note"]);
    folder.deliver(rows[0].id);
    // The note stands, so who said it goes however late.
    assert_eq!(review(&folder, end * 3), 0);
    assert_eq!(deliver_all(&folder, end * 3), ["who"]);
    assert_eq!(state(&folder, old.id).0, IntentState::Done);
}

#[test]
fn an_intent_in_doubt_that_may_no_longer_go_is_looked_for_and_not_sent_again() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    let entered = enter(&folder, note(1, patient, None, 2_000));
    let sent = take(&folder, 2_000)[0].id;
    folder.settle(sent, Verdict::Ambiguous { at: 3_000, cause: "time-out".into() }, 2_100);
    let rows = take(&folder, 2_000 + FRESH_MS + 1);
    assert_eq!((rows.len(), rows[0].ambiguous, rows[0].overtaken), (1, true, true));
    // It was not there: known not to have happened, it is held with the next look.
    folder.settle(sent, Verdict::Retry { at: 0, cause: "absent".into() }, 2_000 + FRESH_MS + 2);
    assert_eq!(take(&folder, 2_000 + FRESH_MS + 3).len(), 0);
    assert_eq!(state(&folder, entered.id).0, IntentState::Expired);
}

#[test]
fn what_was_not_begun_can_be_taken_back_and_what_was_cannot() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    let (one, other) =
        (enter(&folder, note(1, patient, None, 2_000)).id, enter(&folder, note(2, patient, None, 2_000)).id);
    let cancel = |id| {
        let reason = "wrong patient".to_owned();
        folder.writer().cancel_intent(CancelIntent { id, actor: "a".into(), reason, at: 2_100 }).wait()
    };
    assert_eq!(cancel(one).unwrap(), IntentState::Withdrawn);
    assert_eq!(cancel(one).unwrap(), IntentState::Withdrawn, "twice is once");
    assert_eq!(deliver_all(&folder, 2_200), ["note", "who"], "of the other");
    assert_eq!(state(&folder, other).0, IntentState::Done);
    assert!(matches!(cancel(other), Err(WriteError::Conflict(Conflict::Edge))));
}

#[test]
fn a_row_that_others_gave_up_is_told_to_people_and_not_forgotten() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    let entered = enter(&folder, note(1, patient, None, 2_000));
    let sent = take(&folder, 2_000)[0].id;
    folder.settle(sent, Verdict::Quarantine { reason: "422".into() }, 2_100);
    assert_eq!(review(&folder, 2_200), 0, "it is in quarantine, where people see it");
    let drop = outbox::DropRow { row_id: sent, at: 2_300, audit: Vec::new() };
    folder.writer().drop_row(drop).wait().unwrap();
    assert_eq!(review(&folder, 2_400), 1);
    assert_eq!(state(&folder, entered.id), (IntentState::Held, "given-up".into()));
}

#[test]
fn what_stands_is_taken_back_only_while_nothing_of_its_window_is_under_way() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    let outcome = folder.publish(patient, 20_000, vec![row(1)], 2_000)[0];
    let window = folder.read(|r| r.rows(None, 1))[0].window_id;
    let back = |number| NewIntent {
        kind: "withdraw".into(),
        rows: vec![IntentRow { withdraws: true, ..part("bundle", None) }],
        stood: vec![("ehr".into(), Some(1))],
        by_hand: vec![],
        ..note(number, patient, Some(window), 2_100)
    };
    let refused = folder.writer().enter_intent(back(1)).wait();
    assert!(matches!(refused, Err(WriteError::Conflict(Conflict::Window))), "nothing stands yet");
    take(&folder, 2_000);
    let refused = folder.writer().enter_intent(back(1)).wait();
    assert!(matches!(refused, Err(WriteError::Conflict(Conflict::Window))), "it is under way");
    folder.deliver(outcome);
    let later = folder.publish(patient, 20_000, vec![row(2)], 2_050)[0];
    let entered = enter(&folder, back(1));
    assert_eq!(folder.state(later), State::Superseded, "it would put it there again");
    assert!(folder.read(|r| r.stands(window)));
    assert_eq!(deliver_all(&folder, 2_200), ["bundle"]);
    assert_eq!(state(&folder, entered.id).0, IntentState::Done);
    assert!(!folder.read(|r| r.stands(window)), "nobody has to withdraw it any more");
}

#[test]
fn the_box_takes_back_only_what_has_no_readings_left_and_gives_it_up_when_they_come_back() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    let outcome = folder.publish(patient, 20_000, vec![row(1)], 2_000)[0];
    take(&folder, 2_000);
    folder.deliver(outcome);
    let window = folder.read(|r| r.rows(None, 1))[0].window_id;
    let own = |number| NewIntent {
        kind: "withdraw".into(),
        own: true,
        fresh_ms: i64::MAX,
        rows: vec![IntentRow { withdraws: true, ..part("bundle", None) }],
        stood: vec![("ehr".into(), Some(1))],
        ..note(number, patient, Some(window), 2_100)
    };
    let refused = Err(WriteError::Conflict(Conflict::Window));
    assert_eq!(folder.writer().enter_intent(own(1)).wait(), refused, "it has readings");
    let empty = |at, number| {
        let due = folder.dirty(patient, 20_000, at);
        assert_eq!(folder.writer().enter_intent(own(number)).wait(), refused, "it is to be computed");
        let publish = outbox::Publish {
            window_id: due.id,
            expected_version: due.version,
            expected_generation: due.generation,
            result: outbox::Outcome::Withdrawn { condition: None },
            at,
        };
        folder.writer().publish(publish).wait().unwrap();
    };
    empty(2_200, 1);
    let entered = enter(&folder, own(1));
    assert_eq!(entered.state, IntentState::Queued);
    // Nobody's word is too old: it is the box's own.
    assert_eq!(review(&folder, 2_200 + 2 * FRESH_MS), 0);
    assert_eq!(enter(&folder, own(1)), Entered { known: true, ..entered }, "once");
    let version = folder.publish(patient, 20_000, vec![row(2)], 2_300)[0];
    assert_eq!(state(&folder, entered.id).0, IntentState::Withdrawn);
    assert_eq!(deliver_all(&folder, 2_400), ["bundle"], "the version alone");
    assert_eq!(folder.state(version), State::Delivered);

    // What was begun is not given up: the version goes behind it.
    empty(2_500, 2);
    let stood = vec![("ehr".into(), Some(2))];
    let second = enter(&folder, NewIntent { stood, ..own(2) });
    take(&folder, 2_500);
    folder.publish(patient, 20_000, vec![row(3)], 2_600);
    assert_eq!(state(&folder, second.id).0, IntentState::Queued);
}
