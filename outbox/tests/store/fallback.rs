//! What waits in a form that is closed, and which windows are decided on anew for it.

use outbox::{
    Decision, Earlier, Enters, Lease, NewRow, Outcome, Publish, Shut, State, Take, UNPROVEN, Verdict, Weigh,
    Weighed,
};

use crate::folder::{Folder, manifest, raw, row, version, window_key};

const EHR: &str = "ehr:main";
const LAB: &str = "mllp:lab";

fn at(destination: &str, key: u64) -> NewRow {
    NewRow { destination: destination.into(), form: "plain-r4".into(), ..row(key) }
}

fn deferred(key: u64, reason: &str) -> NewRow {
    NewRow { enters: Enters::Deferred(reason.into()), ..at(EHR, key) }
}

fn closed() -> Weigh {
    let (destination, shut) = (EHR.into(), Shut::Kind("bundle".into()));
    Weigh { destination, shut, spared: None, anew: false, round: None, at: 3_000 }
}

fn halted() -> Weigh {
    Weigh { destination: LAB.into(), shut: Shut::Halted("bundle".into()), ..closed() }
}

fn weigh(folder: &Folder, weigh: Weigh) -> (usize, usize) {
    let Weighed { rows, windows, .. } = folder.writer().weigh(weigh).wait().unwrap();
    (rows, windows)
}

/// Takes the one row of a destination that may go, and says what came of it.
fn attempt(folder: &Folder, destination: &str, take: Take, verdict: Verdict) -> State {
    let lease = Lease { destination: destination.into(), limit: 1, now: 2_000, take, quotas: Vec::new() };
    let rows = folder.writer().lease(lease).wait().unwrap();
    folder.settle(rows[0].id, verdict, 2_000)
}

fn is_due(folder: &Folder, patient: i64, end_day: i32) -> bool {
    folder.read(|r| r.window(&window_key(patient, end_day))).unwrap().due_at.is_some()
}

fn probe() -> Take {
    Take::Probe { kind: "bundle".into(), latest: Vec::new() }
}

#[test]
fn a_window_that_waits_in_a_closed_form_is_decided_anew_once_for_each_state_of_the_forms() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    // Two rows of one window are one window.
    let two = vec![deferred(1, "observed-read-only"), deferred(2, "observed-read-only")];
    folder.publish(patient, 20, two, 1_000);
    assert_eq!(weigh(&folder, closed()), (2, 1));
    assert!(is_due(&folder, patient, 20));
    assert_eq!(weigh(&folder, closed()), (0, 0), "it was asked");
    assert_eq!(weigh(&folder, Weigh { anew: true, ..closed() }), (2, 1), "the forms have changed");
    let refused = Verdict::Defer { reason: "observed-read-only".into(), cause: None };
    assert_eq!(attempt(&folder, EHR, probe(), refused), State::Deferred);
    assert_eq!(weigh(&folder, closed()), (1, 1), "what was tried is weighed once its verdict is there");
}

#[test]
fn a_round_is_bounded_in_each_transaction_and_weighs_each_row_once() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    let most = outbox::WEIGH_MOST as u64;
    folder.publish(
        patient,
        20,
        (0..most + 3).map(|key| deferred(key, "observed-read-only")).collect(),
        1_000,
    );
    // What is pending waits at a receiver that stands still, and of a kind it is not deferred yet.
    folder.publish(patient, 21, vec![at(EHR, 9_000)], 1_000);
    let all = Shut::Halted("bundle".into());
    for (shut, rows) in [(Shut::Kind("bundle".into()), 3), (all, 4)] {
        let first = Weigh { shut, anew: true, ..closed() };
        let begun = folder.writer().weigh(first.clone()).wait().unwrap();
        assert_eq!(begun.rows, outbox::WEIGH_MOST);
        // Asked anew in the middle of a round nothing is skipped, and the round goes on where it was.
        let rest = Weigh { round: Some(begun.round), ..first };
        assert_eq!(weigh(&folder, rest.clone()).0, rows);
        assert_eq!(weigh(&folder, rest.clone()).0, 0);
        assert_eq!(weigh(&folder, Weigh { anew: false, round: None, ..rest }).0, 0);
    }
}

#[test]
fn what_was_begun_is_wanted_by_a_person_or_waits_for_something_else_stays_in_its_form() {
    let refused = || Verdict::Defer { reason: "observed-read-only".into(), cause: None };
    let lost = || Verdict::Ambiguous { at: 9_000, cause: "cut".into() };
    let unproven = || Verdict::Quarantine { reason: UNPROVEN.into() };
    let done = || Verdict::Delivered { written: Vec::new() };
    let data = || Verdict::Quarantine { reason: "422".into() };
    // What came of the first of two rows of a window, while the second waits.
    for (verdict, windows) in [(refused(), 1), (data(), 1), (lost(), 0), (unproven(), 0), (done(), 0)] {
        let folder = Folder::new();
        let patient = folder.patient("a");
        folder.publish(
            patient,
            20,
            vec![deferred(1, "observed-read-only"), deferred(2, "observed-read-only")],
            1_000,
        );
        attempt(&folder, EHR, probe(), verdict.clone());
        assert_eq!(weigh(&folder, closed()).1, windows, "{verdict:?}");
        assert_eq!(is_due(&folder, patient, 20), windows == 1, "{verdict:?}");
    }
    for (reason, windows) in [("observed-read-only", 1), ("no-consent", 0), ("tried-anew", 0)] {
        let folder = Folder::new();
        let patient = folder.patient("a");
        folder.publish(patient, 20, vec![deferred(1, reason)], 1_000);
        let spared = Some("tried-anew".to_owned());
        assert_eq!(weigh(&folder, Weigh { spared, ..closed() }).1, windows, "{reason}");
    }
    // A form that is listed no more is closed whatever its kind, and whether its rows are held or not.
    for waits in [deferred(1, "form-not-listed"), at(EHR, 1)] {
        let folder = Folder::new();
        let patient = folder.patient("a");
        folder.publish(patient, 20, vec![NewRow { kind: "document".into(), ..waits }], 1_000);
        assert_eq!(weigh(&folder, closed()), (0, 0));
        let table =
            [("plain-r4", "document", (0, 0)), ("cgm-ig", "document", (1, 1)), ("plain-r4", "other", (1, 1))];
        for (form, kind, wanted) in table {
            let (forms, kinds) = (vec![form.into(), "epic-note".into()], vec!["bundle".into(), kind.into()]);
            let weigh_anew = Weigh { shut: Shut::Unlisted { forms, kinds }, anew: true, ..closed() };
            assert_eq!(weigh(&folder, weigh_anew), wanted, "{form} {kind}");
        }
    }
}

#[test]
fn a_message_at_a_receiver_that_stands_still_falls_back_unless_it_was_ever_in_doubt() {
    let any = Take::Any;
    let refused = || Verdict::Retry { at: 2_000, cause: "answered AR".into() };
    let lost = || Verdict::Ambiguous { at: 2_000, cause: "no answer".into() };
    for (verdicts, windows) in [
        (vec![], 1),
        (vec![refused()], 1),
        (vec![refused(), refused()], 1),
        (vec![lost()], 0),
        // Its receiver may refuse it because it has it.
        (vec![lost(), refused()], 0),
    ] {
        let folder = Folder::new();
        let patient = folder.patient("a");
        folder.publish(patient, 20, vec![at(LAB, 1)], 1_000);
        for verdict in verdicts.clone() {
            attempt(&folder, LAB, any.clone(), verdict);
        }
        assert_eq!(weigh(&folder, halted()).1, windows, "{verdicts:?}");
        let window = folder.read(|r| r.window(&window_key(patient, 20))).unwrap();
        let stands = folder.read(|r| r.standing_version(window.id, LAB));
        assert_eq!(stands.is_none(), windows == 1, "{verdicts:?}");
    }
}

#[test]
fn what_is_moved_says_why_and_what_another_queue_held_of_it_never_goes() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    let rows = vec![at(EHR, 1), deferred(2, "observed-read-only")];
    let rows = folder.publish(patient, 20, rows, 1_000);
    let refused = Verdict::Quarantine { reason: "422".into() };
    let due = Take::Due { kinds: vec!["bundle".into()], upto: 2 };
    attempt(&folder, EHR, due, refused);
    assert_eq!(weigh(&folder, closed()), (1, 1));
    let window = folder.read(|r| r.window(&window_key(patient, 20))).unwrap();
    let mut publish = version(&window, vec![at(LAB, 3)], 3_000);
    if let Outcome::Version { decisions, .. } = &mut publish.result {
        decisions.push(decision("fallback", Earlier::Moved));
    }
    folder.writer().publish(publish).wait().unwrap();
    let told = folder.read(|r| r.row(rows[1])).unwrap();
    assert_eq!(told.state, State::Superseded);
    assert_eq!(told.reason.as_deref(), Some("its form is closed, and it is written in another"));
    // Released by a person, it would be written beside the message.
    let release = outbox::Release { row_id: rows[0], at: 4_000, audit: Vec::new() };
    assert_eq!(folder.writer().release(release).wait(), Ok(State::Superseded));
}

fn decision(word: &str, earlier: Earlier) -> Decision {
    Decision {
        destination: EHR.into(),
        decision: word.into(),
        reason: "observed-read-only".into(),
        form: "epic-note".into(),
        earlier,
    }
}

#[test]
fn a_window_that_is_written_nowhere_says_why_once_for_each_change_of_it() {
    let mut folder = Folder::new();
    let patient = folder.patient("a");
    let window = folder.dirty(patient, 20, 1_000);
    for (turn, word) in ["suppress", "suppress", "show", "suppress"].into_iter().enumerate() {
        let generation = folder.dirty(patient, 20, 1_000).generation;
        let result = Outcome::Computed {
            outcome_json: "{}".into(),
            manifest: manifest(&format!("m{turn}")),
            decisions: vec![decision(word, Earlier::default())],
        };
        let (window_id, expected_generation) = (window.id, generation);
        let publish = Publish { window_id, expected_version: 0, expected_generation, result, at: 1_000 };
        folder.writer().publish(publish).wait().unwrap();
    }
    let words: Vec<(i64, String)> = {
        folder.close();
        let conn = raw(folder.dir.path());
        let mut statement = conn.prepare("SELECT version, decision FROM decision ORDER BY id").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let told = ["suppress", "show", "suppress"].map(|word| (1, word.to_owned()));
    assert_eq!(words, told);
}
