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
