//! What is remembered of bundles, and what follows from it.

use proptest::prelude::*;

use super::*;

fn mark(version: u64) -> Mark {
    Mark { version, sha256: hash(version), at: 0, narrows: Some(BTreeMap::new()), not_after: None }
}

fn hash(version: u64) -> Hex<32> {
    Hex(crate::config::sha256_of(&version.to_be_bytes()))
}

fn bundle(version: u64, more: serde_json::Value) -> Bundle {
    let mut content = serde_json::json!({"form": crate::config::BUNDLE_FORM, "version": version});
    content.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut bundle: Bundle = serde_json::from_value(content).unwrap();
    bundle.sha256 = hash(version).0;
    bundle
}

fn plain(version: u64) -> Bundle {
    bundle(version, serde_json::json!({}))
}

#[test]
fn an_older_one_takes_the_place_of_the_one_that_waits_only_where_it_says_so() {
    let ledger = Ledger { highest: 6, in_place: Some(mark(6)), offered: Some(mark(8)), ..Ledger::default() };
    let rolling = |version: u64, back: u64| bundle(version, serde_json::json!({"rolls_back": back}));
    let mut another = plain(8);
    another.sha256 = [1; 32];
    for (one, fits) in [
        (plain(7), false),
        (rolling(7, 8), true),
        (rolling(7, 5), false),
        (rolling(5, 6), true),
        (plain(9), true),
        // The one that waits is judged again before it is put in place.
        (plain(8), true),
        (another, false),
    ] {
        assert_eq!(ledger.unfit(&one, 0).is_none(), fits, "{one:?}: {:?}", ledger.unfit(&one, 0));
    }
    assert!(Ledger { offered: None, ..ledger }.unfit(&plain(7), 0).is_none());
}

#[test]
fn what_is_past_its_time_is_not_put_in_place() {
    let one = bundle(1, serde_json::json!({"not_after": "2026-03-01T00:00:00+01:00"}));
    let last = Mark::of(&one, 0).not_after.unwrap();
    assert_eq!(time::rfc3339(last), "2026-02-28T23:00:00Z");
    let ledger = Ledger { offered: Some(Mark::of(&one, 0)), ..Ledger::default() };
    assert!(ledger.unfit(&one, last - 1).is_none() && ledger.overdue(last - 1).is_none());
    assert!(ledger.unfit(&one, last).is_some_and(|why| why.contains("not_after")));
    assert!(ledger.overdue(last).is_some() && ledger.overdue(i64::MAX).is_some());
    for wrong in ["2026-03-01", "tomorrow", "2026-03-01T00:00:00"] {
        let read = serde_json::from_value::<Bundle>(
            serde_json::json!({"form": "isthmus-bundle/1", "version": 1, "not_after": wrong}),
        );
        assert!(read.is_err(), "{wrong}");
    }
}

#[test]
fn refusals_of_what_nobody_signed_push_out_none_of_what_was_signed_and_one_that_was_in_place_goes_last() {
    let mut ledger = Ledger::default();
    ledger.refuse(&mark(1), Standing::WasInPlace, "rolled back", 1);
    ledger.refuse(&mark(2), Standing::Signed, "faulty", 2);
    for bogus in 1_000..1_100 {
        ledger.refuse(&mark(bogus), Standing::Unsigned, "no bundle", 3);
    }
    assert!(ledger.is_refused(hash(1)) && ledger.is_refused(hash(2)) && ledger.is_refused(hash(1_099)));
    assert!(!ledger.is_refused(hash(1_000)), "the oldest of them goes");
    for signed in 2_000..2_000 + MOST_SIGNED as u64 {
        ledger.refuse(&mark(signed), Standing::Signed, "for other boxes", 4);
    }
    assert!(ledger.is_refused(hash(1)) && !ledger.is_refused(hash(2)));
    assert!(ledger.refused().count() <= MOST_UNSIGNED + MOST_SIGNED);
    ledger.refuse(&mark(9), Standing::Unsigned, "no bundle", 5);
    assert_eq!(ledger.refused_last().unwrap().version, 9);
}

#[test]
fn a_ledger_of_before_is_read_and_what_its_bundle_narrows_is_not_known() {
    let sha256 = hash(7);
    let before = format!(
        r#"{{"highest":7,"in_place":{{"version":7,"sha256":"{sha256}","at":5}},"previous":null,"offered":null,
            "refused":[{{"version":3,"sha256":"{sha256}","why":"w"}}],"trial":null}}"#
    );
    let ledger: Ledger = serde_json::from_str(&before).unwrap();
    let in_place = ledger.in_place.unwrap();
    assert_eq!((in_place.narrows.as_ref(), in_place.version), (None, 7));
    let sites = ["a".to_owned(), "b".to_owned()];
    assert_eq!(in_place.withheld(None, sites.iter()).len(), 2, "all of them");
}

proptest! {
    /// A site that the bundle in place narrows writes by its own file alone in no case but one: the configuration holds that bundle.
    #[test]
    fn what_was_narrowed_is_withheld_unless_that_very_bundle_is_in_force(
        narrowed in proptest::collection::btree_set("[a-c]", 0..3),
        there in proptest::collection::btree_set("[a-e]", 0..5),
        in_force in proptest::option::of(0_u64..3),
        is_known in any::<bool>(),
    ) {
        let narrows = narrowed.iter().map(|site| (site.clone(), Narrowing::read_only())).collect();
        let mark = Mark { narrows: is_known.then_some(narrows), ..mark(1) };
        let force = in_force.map(|version| BundleInForce { version, sha256: hash(version).0 });
        let withheld = mark.withheld(force, there.iter());
        prop_assert!(withheld.is_subset(&there));
        for site in &there {
            let wanted = in_force != Some(1) && (!is_known || narrowed.contains(site));
            prop_assert_eq!(withheld.contains(site), wanted);
        }
    }
}
