//! Releasing, dropping and reading anew: once each, on record, and nothing lost.

use outbox::{
    Absorb, Act, Acted, AskAgain, EntryState, HeldFilter, IdentityEntry, Pick, QuarantineEntry, ReadAgain,
};

use crate::folder::{Folder, arrival, nothing};

fn entry(inbox_id: i64, place: &str, reason: &str) -> QuarantineEntry {
    QuarantineEntry {
        inbox_id,
        stage: "normalize".into(),
        place: place.into(),
        reason: reason.into(),
        at: 3_000,
    }
}

/// Three messages: the first could not be read in two places, the second has no patient, the third is sound.
fn folder() -> Folder {
    let folder = Folder::new();
    for number in 1..=3 {
        folder.intake(arrival(number, number)).unwrap();
    }
    let absorb = Absorb {
        quarantine: vec![entry(1, "OBX 1", "unit"), entry(1, "OBX 2", "unit")],
        identity: vec![IdentityEntry { inbox_id: 2, reason: "no PID".into(), at: 3_000 }],
        ..nothing(0, 3)
    };
    folder.writer().absorb(absorb).wait().unwrap();
    folder
}

fn act(folder: &Folder, to: EntryState, id: i64) -> Acted {
    let act = Act { to, ids: vec![id], at: 4_000, by: "user a".into(), reason: "because".into() };
    folder.writer().act(act).wait().unwrap().remove(0)
}

/// Reads everything that is asked for anew and meets this.
fn read(folder: &Folder, quarantine: Vec<QuarantineEntry>) {
    let asked = folder.read(|r| r.asked_again(100, 1_000_000));
    let read = |asked: &outbox::Asked| ReadAgain {
        inbox_id: asked.message.id,
        asked_at: asked.asked_at,
        has_readings: false,
        at: 5_000,
    };
    let read_again = asked.iter().map(read).collect();
    folder.writer().absorb(Absorb { read_again, quarantine, ..nothing(3, 3) }).wait().unwrap();
}

fn states(folder: &Folder, id: i64) -> Vec<(String, EntryState)> {
    folder.read(|r| r.entries(id, 100)).into_iter().map(|held| (held.place, held.state)).collect()
}

fn waiting(folder: &Folder) -> u64 {
    folder.read(|r| r.counts()).again
}

fn audited(folder: &Folder) -> Vec<String> {
    let entries = folder.read(|r| r.audit_after(0, 100));
    entries
        .into_iter()
        .map(|(_, entry)| format!("{} {}: {}", entry.action, entry.object, entry.detail))
        .collect()
}

#[test]
fn a_release_is_done_once_and_told_the_second_time() {
    let folder = folder();
    assert_eq!(act(&folder, EntryState::Released, 1), Acted::Done);
    let again = Acted::Already { state: EntryState::Released, at: 4_000, by: "user a".into() };
    assert_eq!(act(&folder, EntryState::Released, 1), again);
    assert_eq!(act(&folder, EntryState::Released, 3), Acted::NotHeld);
    assert_eq!(act(&folder, EntryState::Released, 9), Acted::Missing);
    assert_eq!(waiting(&folder), 1);
    assert_eq!(audited(&folder), ["quarantine released message 1: because"]);
    let open = folder.read(|r| r.counts());
    assert_eq!((open.quarantine, open.identity_queue), (0, 1));
}

#[test]
fn what_is_met_again_after_a_release_is_held_back_anew_and_the_rest_is_done_with() {
    let folder = folder();
    act(&folder, EntryState::Released, 1);
    read(&folder, vec![entry(1, "OBX 2", "unit")]);
    let released = |place: &str| (place.to_owned(), EntryState::Released);
    assert_eq!(
        states(&folder, 1),
        [released("OBX 1"), released("OBX 2"), ("OBX 2".to_owned(), EntryState::Open)]
    );
    assert_eq!(waiting(&folder), 0);
}

#[test]
fn a_replay_resolves_what_is_not_met_again_and_leaves_the_rest_as_it_is() {
    let folder = folder();
    let ask =
        |ids: Vec<i64>| folder.writer().ask_again(AskAgain { ids, at: 4_000, audit: vec![] }).wait().unwrap();
    assert_eq!(ask(vec![1, 2, 3, 77]), 3, "a message that is not there is left out");
    assert_eq!(ask(vec![1, 2, 3]), 0, "asking twice is asking once");
    read(&folder, vec![entry(1, "OBX 2", "unit")]);
    assert_eq!(
        states(&folder, 1),
        [("OBX 1".to_owned(), EntryState::Resolved), ("OBX 2".to_owned(), EntryState::Open)]
    );
    assert_eq!(states(&folder, 2), [(String::new(), EntryState::Resolved)]);
}

#[test]
fn what_is_asked_for_again_while_it_is_read_is_read_once_more() {
    let folder = folder();
    let ask =
        || folder.writer().ask_again(AskAgain { ids: vec![3], at: 4_000, audit: vec![] }).wait().unwrap();
    ask();
    let seen = folder.read(|r| r.asked_again(1, 1)).remove(0);
    ask();
    let done = ReadAgain { inbox_id: 3, asked_at: seen.asked_at, has_readings: true, at: 5_000 };
    folder.writer().absorb(Absorb { read_again: vec![done], ..nothing(3, 3) }).wait().unwrap();
    assert_eq!(waiting(&folder), 1);
}

#[test]
fn what_waits_to_be_read_survives_a_restart() {
    let mut folder = folder();
    act(&folder, EntryState::Released, 2);
    folder.reopen();
    assert_eq!(folder.read(|r| r.asked_again(10, 10)).len(), 1);
}

#[test]
fn a_dropped_message_stays_and_its_resend_is_another_message() {
    let folder = folder();
    assert_eq!(act(&folder, EntryState::Dropped, 1), Acted::Done);
    assert!(matches!(
        act(&folder, EntryState::Dropped, 1),
        Acted::Already { state: EntryState::Dropped, .. }
    ));
    assert!(folder.read(|r| r.message(1)).is_some());
    let resend = folder.intake(arrival(1, 1)).unwrap();
    assert!(!resend.duplicate && resend.id == 4, "{resend:?}");
    // A replay leaves it alone, and meets its neighbours.
    let picked = folder.read(|r| r.pick(&Pick::default(), 0, 100));
    assert_eq!((picked.ids, picked.left, picked.next), (vec![2, 3], 1, None));
    // Whoever changes their mind can release it still.
    assert_eq!(act(&folder, EntryState::Released, 1), Acted::Done);
    assert_eq!(waiting(&folder), 1);
}

#[test]
fn a_refused_message_that_somebody_dealt_with_is_another_entry_when_it_is_sent_again() {
    let refused = || outbox::Arrival { refusal: Some("MSH-11".into()), ..arrival(1, 1) };
    for to in [EntryState::Released, EntryState::Dropped] {
        let folder = Folder::new();
        assert!(!folder.intake(refused()).unwrap().duplicate);
        assert!(folder.intake(refused()).unwrap().duplicate, "counted on the first");
        let open = folder.read(|r| r.held(&HeldFilter::default(), 9));
        assert_eq!((open.len(), open[0].count), (1, 2));
        act(&folder, to, 1);
        let resend = folder.intake(refused()).unwrap();
        assert!(!resend.duplicate && resend.id == 2, "{resend:?}");
        let open = folder.read(|r| r.held(&HeldFilter::default(), 9));
        assert_eq!((open.len(), open[0].inbox_id, open[0].count), (1, 2, 1), "{to:?}");
    }
}

#[test]
fn what_was_dropped_is_not_held_back_anew_for_the_same_fault() {
    let folder = folder();
    act(&folder, EntryState::Dropped, 1);
    folder.writer().ask_again(AskAgain { ids: vec![1], at: 4_000, audit: vec![] }).wait().unwrap();
    read(&folder, vec![entry(1, "OBX 1", "unit"), entry(1, "OBX 2", "unit")]);
    assert_eq!(folder.read(|r| r.counts()).quarantine, 0);
}

#[test]
fn a_replay_takes_refused_messages_only_once_they_were_released() {
    let folder = Folder::new();
    let refused = outbox::Arrival { refusal: Some("no MSH-10".into()), ..arrival(1, 1) };
    folder.intake(refused).unwrap();
    folder.intake(arrival(2, 2)).unwrap();
    folder.writer().absorb(nothing(0, 2)).wait().unwrap();
    let picked = || folder.read(|r| r.pick(&Pick::default(), 0, 100)).ids;
    assert_eq!(picked(), [2]);
    act(&folder, EntryState::Released, 1);
    assert_eq!(picked(), [1, 2]);
}

#[test]
fn a_pick_looks_at_so_many_messages_and_goes_on_from_there() {
    let folder = folder();
    let first = folder.read(|r| r.pick(&Pick::default(), 0, 2));
    assert_eq!((first.ids, first.next), (vec![1, 2], Some(2)));
    let second = folder.read(|r| r.pick(&Pick::default(), 2, 2));
    assert_eq!((second.ids, second.next), (vec![3], None));
    for (pick, ids) in [
        (Pick { from: Some(2), ..Pick::default() }, vec![2, 3]),
        (Pick { upto: Some(2), ..Pick::default() }, vec![1, 2]),
        (Pick { source: Some("other".into()), ..Pick::default() }, vec![]),
        (Pick { site: Some("main".into()), ..Pick::default() }, vec![1, 2, 3]),
        (Pick { kind: Some("ORU".into()), ..Pick::default() }, vec![1, 2, 3]),
        (Pick { kind: Some("ADT".into()), ..Pick::default() }, vec![]),
        (Pick { handlers: ["patients".to_owned()].into(), ..Pick::default() }, vec![]),
        // Taken in at 2,001, 2,002 and 2,003.
        (Pick { since: Some(2_002), until: Some(2_003), ..Pick::default() }, vec![2]),
    ] {
        assert_eq!(folder.read(|r| r.pick(&pick, 0, 100)).ids, ids, "{pick:?}");
    }
}

#[test]
fn faults_that_say_the_same_are_one_line_and_every_filter_narrows_it() {
    let folder = folder();
    let list = |filter: HeldFilter| {
        let held = folder.read(|r| r.held(&filter, 100));
        held.into_iter().map(|held| (held.inbox_id, held.place, held.count)).collect::<Vec<_>>()
    };
    let both = [(2, String::new(), 1), (1, "OBX 1".to_owned(), 2)];
    assert_eq!(list(HeldFilter::default()), both);
    let no = HeldFilter::default;
    let text = |text: &str| Some(text.to_owned());
    for (filter, ids) in [
        (HeldFilter { kind: Some(outbox::HeldKind::Identity), ..no() }, vec![2]),
        (HeldFilter { stage: text("normalize"), ..no() }, vec![1]),
        (HeldFilter { source: text("feed"), site: text("main"), ..no() }, vec![2, 1]),
        (HeldFilter { source: text("x"), ..no() }, vec![]),
        (HeldFilter { message_kind: text("ORU"), ..no() }, vec![2, 1]),
        (HeldFilter { message_kind: text("OR"), ..no() }, vec![]),
        (HeldFilter { reason: text("UNI"), ..no() }, vec![1]),
        (HeldFilter { reason: text("%"), ..no() }, vec![]),
        (HeldFilter { since: Some(3_001), ..no() }, vec![]),
        (HeldFilter { until: Some(3_001), ..no() }, vec![2, 1]),
    ] {
        let found: Vec<i64> = list(filter.clone()).into_iter().map(|(id, ..)| id).collect();
        assert_eq!(found, ids, "{filter:?}");
    }
    let sum = folder.read(|r| r.held_sum(&no()));
    assert_eq!((sum.messages, sum.entries), (2, 3));
    assert_eq!(sum.reasons[0], ("normalize".to_owned(), "unit".to_owned(), 1, 2));
    assert_eq!(folder.read(|r| r.held_ids(&no(), 0, 1)), [1]);
    assert_eq!(folder.read(|r| r.held_ids(&no(), 1, 1)), [2]);
    act(&folder, EntryState::Dropped, 1);
    assert_eq!(list(no()).len(), 1);
    assert_eq!(list(HeldFilter { all: true, ..no() }).len(), 2);
}
