//! What waits in a form or of a kind that a site's file lists no more.

use outbox::{Enlist, Enlisted, Enters, NewRow, OutboxRow, State, Take, Verdict};

use crate::folder::{Folder, row};

/// A row of a kind and form, which enters so.
fn made(key: u64, kind: &str, form: &str, enters: Enters) -> NewRow {
    NewRow { kind: kind.into(), form: form.into(), enters, ..row(key) }
}

fn waits(reason: &str) -> Enters {
    Enters::Deferred(reason.into())
}

fn enlist(folder: &Folder, kinds: &[(&str, Option<&str>)], forms: &[&str]) -> Enlisted {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let enlist = Enlist {
        destination: "ehr".into(),
        only: None,
        kinds: kinds.iter().map(|(kind, held)| ((*kind).to_owned(), held.map(str::to_owned))).collect(),
        forms: words(forms),
        by_mode: words(&["observed-read-only", "held-by-hand"]),
        unlisted: "form-not-listed".into(),
        at: 2_000,
    };
    folder.writer().enlist(enlist).wait().unwrap()
}

fn stands(folder: &Folder, id: i64) -> (State, Option<String>) {
    let rows: Vec<OutboxRow> = folder.read(|reader| reader.rows(None, 100));
    let row = rows.into_iter().find(|row| row.id == id).unwrap();
    (row.state, row.reason)
}

#[test]
fn what_waits_of_a_kind_that_is_not_listed_says_so_and_goes_once_it_is_listed_again() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    let said = |reason: &str| (State::Deferred, Some(reason.to_owned()));
    let rows = vec![
        made(1, "vital", "flowsheet", Enters::Pending),
        made(2, "vital", "flowsheet", waits("observed-read-only")),
        made(3, "vital", "flowsheet", waits("no-consent")),
        made(4, "lab", "plain", Enters::Pending),
        made(5, "lab", "plain", waits("held-by-hand")),
    ];
    let ids = folder.publish(patient, 20, rows, 1_000);
    let listed = [("lab", None)];
    assert_eq!(enlist(&folder, &listed, &["plain"]).unlisted, 2);
    let now: Vec<_> = ids.iter().map(|id| stands(&folder, *id)).collect();
    let pending = (State::Pending, None);
    let unlisted = said("form-not-listed");
    assert_eq!(
        now,
        [unlisted.clone(), unlisted.clone(), said("no-consent"), pending.clone(), said("held-by-hand")]
    );
    assert_eq!(enlist(&folder, &listed, &["plain"]), Enlisted::default(), "it was said");
    // Its kind is listed again, and its form is not.
    assert_eq!(enlist(&folder, &[("lab", None), ("vital", None)], &["plain"]).listed, 0);
    // Both are, and the mode holds the kind: what is to end now is the mode.
    let held = [("lab", None), ("vital", Some("observed-read-only"))];
    assert_eq!(enlist(&folder, &held, &["plain", "flowsheet"]).listed, 2);
    assert_eq!(stands(&folder, ids[0]), said("observed-read-only"));
    assert_eq!(enlist(&folder, &listed, &["plain"]).unlisted, 2);
    assert_eq!(enlist(&folder, &[("lab", None), ("vital", None)], &["plain", "flowsheet"]).listed, 2);
    assert_eq!(stands(&folder, ids[0]), pending);
    assert_eq!(stands(&folder, ids[2]), said("no-consent"));
}

/// The rows that may be leased now, each delivered at once, until nothing is left.
fn sent(folder: &Folder) -> Vec<i64> {
    let mut sent = Vec::new();
    while let Some(row) = folder.lease(3_000).first() {
        folder.deliver(row.id);
        sent.push(row.id);
    }
    sent
}

fn not_listed() -> Verdict {
    Verdict::Defer { reason: outbox::FORM_NOT_LISTED.into(), cause: None }
}

#[test]
fn a_line_passes_what_is_not_listed_and_it_goes_in_its_place_when_it_is_again() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    let of = |key: u64, form: &str| vec![made(key, "bundle", form, Enters::Pending)];
    let old: Vec<i64> =
        (0..3).map(|at| folder.publish(patient, 20 + at, of(at as u64, "plain"), 1_000)[0]).collect();
    let first = folder.publish(patient, 30, of(10, "ig"), 1_000)[0];
    // Each is found out when it is leased; the next one is the head then.
    for id in &old {
        assert_eq!(folder.lease(1_500)[0].id, *id);
        folder.settle(*id, not_listed(), 1_500);
    }
    assert_eq!(folder.lease(2_000).iter().map(|row| row.id).collect::<Vec<_>>(), [first]);
    // While it is under way the old ones are listed again: they go after it, and before what came later.
    let last = folder.publish(patient, 31, of(11, "ig"), 2_000)[0];
    assert_eq!(enlist(&folder, &[("bundle", None)], &["plain", "ig"]).listed, 3);
    assert!(folder.lease(2_500).is_empty(), "one at a time");
    folder.deliver(first);
    assert_eq!(sent(&folder), [old[0], old[1], old[2], last]);
}

#[test]
fn what_comes_behind_a_row_that_is_passed_is_head_and_gives_way_where_that_is_listed_again() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    let of = |key: u64, form: &str| vec![made(key, "bundle", form, Enters::Pending)];
    let old = folder.publish(patient, 20, of(1, "plain"), 1_000)[0];
    folder.lease(1_500);
    folder.settle(old, not_listed(), 1_500);
    assert!(folder.probe(1_500).is_empty(), "no probe is made with what nobody would be asked about");
    let new = folder.publish(patient, 21, of(2, "ig"), 1_000)[0];
    // Its kind is closed meanwhile: what is tried is what is listed.
    let held = [("bundle", Some("held-by-hand"))];
    assert_eq!(enlist(&folder, &[], &["ig"]).unlisted, 1, "the kind is gone, with all that waits of it");
    assert_eq!(enlist(&folder, &held, &["ig"]).listed, 1);
    let probed = folder.probe(1_500);
    assert_eq!(probed.iter().map(|row| row.id).collect::<Vec<_>>(), [new]);
    folder.settle(new, Verdict::Defer { reason: "held-by-hand".into(), cause: None }, 1_500);
    assert_eq!(enlist(&folder, &held, &["plain", "ig"]).listed, 1);
    assert_eq!(folder.probe(1_500)[0].id, old);
    // Whatever else it comes to wait for, its line is never without a head.
    folder.settle(old, not_listed(), 1_500);
    assert_eq!(folder.probe(1_500)[0].id, new);
    folder.settle(new, not_listed(), 1_500);
    assert_eq!(enlist(&folder, &[("bundle", None)], &["ig"]).listed, 1);
    assert_eq!(sent(&folder), [new]);
    assert_eq!(enlist(&folder, &[("bundle", None)], &["plain"]).listed, 1);
    assert_eq!(sent(&folder), [old]);
}

#[test]
fn at_another_server_too_a_line_passes_what_is_not_listed() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    let of = |key: u64, form: &str| vec![made(key, "bundle", form, Enters::Pending)];
    let old = folder.publish(patient, 20, of(1, "plain"), 1_000)[0];
    let new = folder.publish(patient, 21, of(2, "ig"), 1_000)[0];
    folder.lease(1_500);
    folder.settle(old, not_listed(), 1_500);
    let (destination, base) = ("ehr".into(), "https://other".into());
    let move_server = outbox::MoveServer { destination, base, same: false, audit: Vec::new(), at: 2_000 };
    folder.writer().move_server(move_server).wait().unwrap();
    assert_eq!(sent(&folder), [new]);
}

#[test]
fn what_is_in_doubt_of_a_kind_that_is_not_listed_is_told() {
    let folder = Folder::new();
    let patient = folder.patient("a");
    let id = folder.publish(patient, 20, vec![made(1, "vital", "flowsheet", Enters::Pending)], 1_000)[0];
    let take = Take::Due { kinds: vec!["vital".into()], upto: 2 };
    let lease = outbox::Lease { destination: "ehr".into(), limit: 1, now: 1_000, take, quotas: Vec::new() };
    folder.writer().lease(lease).wait().unwrap();
    folder.settle(id, Verdict::Ambiguous { at: 9_000, cause: "cut".into() }, 1_500);
    assert_eq!(enlist(&folder, &[("lab", None)], &["plain"]).in_doubt, [id]);
    assert_eq!(folder.state(id), State::Ambiguous);
    let rows = folder.read(|reader| reader.rows(None, 100));
    assert!(rows[0].cause.as_deref().unwrap().contains("does not list"), "{:?}", rows[0].cause);
    assert_eq!(enlist(&folder, &[("vital", None)], &["flowsheet"]).in_doubt, []);
}
