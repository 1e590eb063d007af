//! FHIR Consents in the ledger: which version of one counts, whatever is said of their order.

use outbox::{ConsentDocument, ConsentRule, ConsentSaying, Imported, Misdated, Purpose};

use crate::consent::permits;
use crate::folder::Folder;

pub(crate) fn saying(patient: i64, version: u8, rules: Vec<ConsentRule>) -> ConsentSaying {
    ConsentSaying {
        document: ConsentDocument {
            key: [1; 32],
            hash: [version; 32],
            changed_at: Some(i64::from(version)),
            stamped: true,
        },
        patient,
        rules,
        inbox_id: 1,
        actor: "spool drop".into(),
        reason: "FHIR Consent".into(),
        at: 1_000 + i64::from(version),
    }
}

pub(crate) fn rule(purpose: Purpose, permit: bool) -> ConsentRule {
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
        ..saying(patient, 1, vec![rule(Purpose::Payer, true)])
    };
    assert_eq!(import(unseen), Imported::Older { entry: Some(5) });
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

/// A version with this content, dated so; `stamped` by its server.
fn version(patient: i64, hash: u8, date: Option<(i64, bool)>, rules: Vec<ConsentRule>) -> ConsentSaying {
    let (changed_at, stamped) = date.map_or((None, false), |(at, stamped)| (Some(at), stamped));
    let document = ConsentDocument { key: [1; 32], hash: [hash; 32], changed_at, stamped };
    ConsentSaying { document, at: NOW, ..saying(patient, 0, rules) }
}

const NOW: i64 = 1_000_000_000;
const MINUTE: i64 = 60_000;

fn import(folder: &Folder, saying: &ConsentSaying) -> Imported {
    folder.writer().import_consent(saying.clone()).wait().unwrap()
}

fn treats(folder: &Folder, patient: i64) -> bool {
    permits(folder, patient, Purpose::Treatment, NOW + 1)
}

fn entries(folder: &Folder) -> u64 {
    folder.read(|r| r.consent_head()).entries
}

#[test]
fn a_denial_that_comes_again_after_a_permit_is_in_force_again_where_no_date_tells_the_order() {
    // Undated, and dated only by when it was signed.
    for (first, second) in [(None, None), (Some((5, false)), Some((9, false)))] {
        let folder = Folder::new();
        let patient = folder.patient("A");
        let denied = version(patient, 1, first, vec![rule(Purpose::Treatment, false)]);
        let permitted = version(patient, 2, second, vec![rule(Purpose::Treatment, true)]);
        for (saying, treated) in [(&denied, false), (&permitted, true), (&denied, false), (&permitted, true)]
        {
            assert!(matches!(import(&folder, saying), Imported::Recorded(_)), "{first:?}");
            assert_eq!(treats(&folder, patient), treated);
            assert!(matches!(import(&folder, saying), Imported::Known { .. }), "the same again right after");
        }
    }
}

#[test]
fn what_a_server_stored_before_what_is_known_is_known_and_what_it_stored_again_counts_again() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    let at = |hash, stamp, permit| {
        version(patient, hash, Some((stamp, true)), vec![rule(Purpose::Treatment, permit)])
    };
    import(&folder, &at(1, 10, false));
    import(&folder, &at(2, 20, true));
    // A whole history each night, in any order: nothing grows, and the last version counts.
    for saying in [at(2, 20, true), at(1, 10, false), at(2, 20, true)] {
        assert_eq!(import(&folder, &saying), Imported::Known { entry: 2 });
    }
    assert!(treats(&folder, patient));
    // The denial stored anew.
    assert!(matches!(import(&folder, &at(1, 30, false)), Imported::Recorded(_)));
    assert_eq!(import(&folder, &at(1, 40, false)), Imported::Known { entry: 3 }, "stored again as it was");
    assert_eq!(
        import(&folder, &at(3, 35, true)),
        Imported::Older { entry: Some(3) },
        "that came before the last"
    );
    assert!(!treats(&folder, patient));
    assert_eq!(entries(&folder), 3);
    // One that was never seen and denies counts, though a later one is known.
    import(&folder, &at(3, 50, true));
    assert!(matches!(import(&folder, &at(4, 45, false)), Imported::Recorded(_)));
    assert!(!treats(&folder, patient));
}

#[test]
fn a_version_that_ended_before_it_was_seen_is_not_begun_by_an_older_one() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    assert_eq!(import(&folder, &version(patient, 1, Some((20, true)), vec![])), Imported::Nothing);
    let permit = version(patient, 2, Some((10, true)), vec![rule(Purpose::Upstream, true)]);
    assert_eq!(import(&folder, &permit), Imported::Older { entry: None });
    assert_eq!(entries(&folder), 0);
}

#[test]
fn a_denial_counts_whatever_its_date_and_a_permit_dated_ahead_or_before_is_refused() {
    let (deny, permit) = (rule(Purpose::Treatment, false), rule(Purpose::Treatment, true));
    let tolerated = NOW + 10 * MINUTE;
    for stamped in [true, false] {
        let folder = Folder::new();
        let patient = folder.patient("A");
        let of = |hash, at, rule| version(patient, hash, Some((at, stamped)), vec![rule]);
        assert_eq!(import(&folder, &of(1, tolerated + 1, permit)), Imported::Misdated(Misdated::Ahead));
        assert_eq!(entries(&folder), 0, "it would be the last word until then");
        assert!(matches!(import(&folder, &of(1, tolerated, permit)), Imported::Recorded(_)));
        // A denial dated only by when it was signed, and one of a server whose clock is ahead.
        let signed = version(patient, 2, Some((5, false)), vec![deny]);
        assert!(matches!(import(&folder, &signed), Imported::Recorded(_)));
        assert!(!treats(&folder, patient));
        import(&folder, &of(3, tolerated, permit));
        assert!(treats(&folder, patient));
        assert!(matches!(import(&folder, &of(4, i64::MAX, deny)), Imported::Recorded(_)));
        assert!(!treats(&folder, patient));
        // Its date is not believed, so it is not the last word.
        assert!(matches!(import(&folder, &of(5, tolerated, permit)), Imported::Recorded(_)));
        assert!(treats(&folder, patient));
    }
    let folder = Folder::new();
    let patient = folder.patient("A");
    import(&folder, &version(patient, 1, Some((50, true)), vec![deny]));
    let signed = version(patient, 2, Some((5, false)), vec![permit]);
    assert_eq!(import(&folder, &signed), Imported::Misdated(Misdated::Before(Some(1))));
    assert!(!treats(&folder, patient));
}

#[test]
fn of_a_version_that_denies_and_permits_and_is_misdated_the_denial_counts_alone_and_that_is_told() {
    let folder = Folder::new();
    let patient = folder.patient("A");
    let whole = vec![rule(Purpose::Treatment, false), rule(Purpose::Upstream, true)];
    let before = vec![rule(Purpose::Treatment, true), rule(Purpose::Payer, true)];
    import(&folder, &version(patient, 1, Some((5, true)), before));
    let ahead = version(patient, 2, Some((i64::MAX, true)), whole.clone());
    let all = || Purpose::ALL.map(|purpose| permits(&folder, patient, purpose, NOW + 1));
    let told = import(&folder, &ahead);
    assert!(matches!(told, Imported::Denials { date: Misdated::Ahead, .. }), "{told:?}");
    assert_eq!(all(), [false, false, true], "of what it does not name nothing is changed");
    assert_eq!(import(&folder, &ahead), Imported::Misdated(Misdated::Ahead), "nothing grows");
    // Dated rightly it counts whole: what the one before had granted and it does not name ends.
    assert!(matches!(import(&folder, &version(patient, 2, Some((9, true)), whole)), Imported::Recorded(_)));
    assert_eq!(all(), [false, true, false]);
}

#[test]
fn a_version_of_another_patient_is_refused_and_dates_nothing() {
    let folder = Folder::new();
    let (patient, other) = (folder.patient("A"), folder.patient("B"));
    let of = |patient, hash, stamp| {
        version(patient, hash, Some((stamp, true)), vec![rule(Purpose::Upstream, true)])
    };
    import(&folder, &of(patient, 1, 10));
    assert_eq!(import(&folder, &of(other, 2, 90)), Imported::OtherPatient { entry: 1 });
    assert!(matches!(import(&folder, &of(patient, 3, 20)), Imported::Recorded(_)));
}
