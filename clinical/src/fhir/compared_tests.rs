//! What a summary of somebody else says already: judged from what the forms write.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{
    fhir::sample::{items_of, mapped, outcome},
    policy::Policy,
};

/// Every number that a plain server is written, under its LOINC code, as it is written.
fn written() -> Vec<(String, String)> {
    let items = items_of(Projection::PlainR4, &Form::of(Projection::PlainR4));
    let resources: Vec<&Value> = items.iter().filter_map(|item| item.resource()).collect();
    let parts = resources.iter().flat_map(|it| it["component"].as_array().into_iter().flatten());
    let all = resources.iter().copied().chain(parts);
    let numbers = all.filter(|it| it["valueQuantity"]["value"].is_number()).map(|it| {
        let code = it["code"]["coding"][0]["code"].as_str().unwrap();
        (code.to_owned(), it["valueQuantity"]["value"].to_string())
    });
    numbers.collect()
}

fn said(projection: Projection, form: &Form, theirs: &[(String, String)]) -> bool {
    let theirs: Vec<(&str, &str)> = theirs.iter().map(|(code, value)| (&**code, &**value)).collect();
    is_said(projection, form, (&outcome(), Policy::standard()), &theirs)
}

#[test]
fn what_a_form_writes_is_said_by_every_number_of_it_and_by_nothing_less() {
    let theirs = written();
    // Mean, five shares, GMI, CV, days, active.
    assert_eq!(theirs.len(), 10, "{theirs:?}");
    for projection in Projection::ALL {
        let mut form = mapped(projection);
        form.local_codes = false;
        form.rows.retain(|entry| entry.row != Row::Sd);
        let summary = matches!(
            projection,
            Projection::CgmIg
                | Projection::PlainR4
                | Projection::PlainR5
                | Projection::OruR01
                | Projection::EpicFlowsheet
                | Projection::MillenniumLab
        );
        assert_eq!(said(projection, &form, &theirs), summary, "{projection:?}");
        assert!(!said(projection, &form, &[]), "{projection:?}");
        for left_out in 0..theirs.len() {
            let mut fewer = theirs.clone();
            fewer.remove(left_out);
            assert!(!said(projection, &form, &fewer), "{projection:?} without {:?}", theirs[left_out]);
        }
    }
}

#[test]
fn what_has_no_code_is_another_unit_or_goes_by_other_ranges_is_said_by_nobody() {
    let theirs = written();
    let plain = Form::of(Projection::PlainR4);
    assert!(!said(Projection::PlainR4, &Form { local_codes: true, ..plain.clone() }, &theirs));
    assert!(!said(Projection::PlainR4, &Form { glucose: MeanUnit::Molar, ..plain.clone() }, &theirs));
    let flat = mapped(Projection::EpicFlowsheet);
    assert!(flat.row(Row::Sd).is_some() && !said(Projection::EpicFlowsheet, &flat, &theirs));
    // A form of some members asks for those alone, and one of none has nothing to be said.
    let some = Form { metrics: vec![Metric::MeanMass], ..plain.clone() };
    assert!(said(Projection::PlainR4, &some, &theirs[..]));
    let mean: Vec<_> = theirs.iter().filter(|(code, _)| code == Metric::MeanMass.loinc()).cloned().collect();
    assert!(!said(Projection::PlainR4, &plain, &mean));
    // Two that speak of one number have to agree.
    let mut twice = theirs.clone();
    twice.push((Metric::Gmi.loinc().to_owned(), "12.34".to_owned()));
    assert!(!said(Projection::PlainR4, &plain, &twice));
    // What is withheld is no number of theirs.
    let withheld = Outcome { gmi_pct: None, ..outcome() };
    let asked = |theirs: &[(&str, &str)]| {
        is_said(Projection::PlainR4, &plain, (&withheld, Policy::standard()), theirs)
    };
    let all: Vec<(&str, &str)> = theirs.iter().map(|(code, value)| (&**code, &**value)).collect();
    let without: Vec<(&str, &str)> = all.iter().copied().filter(|it| it.0 != Metric::Gmi.loinc()).collect();
    assert!(asked(&without) && !asked(&all));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whichever number differs by more than what is shown may, the outcome is written whole.
    #[test]
    fn one_number_that_differs_is_enough(at in 0usize..10, by in 2i64..5_000, more in any::<bool>()) {
        let mut theirs = written();
        let value: f64 = theirs[at].1.parse().unwrap();
        let other = value + if more { 1.0 } else { -1.0 } * by as f64 / 100.0;
        // Half of the last decimal that is stated would be allowed.
        theirs[at].1 = format!("{other:.3}");
        prop_assert!(!said(Projection::CgmIg, &Form::of(Projection::CgmIg), &theirs));
    }

    /// Neither order nor what else is said matters.
    #[test]
    fn order_and_other_numbers_do_not_matter(turn in 0usize..10, noise in "[0-9]{5}-[0-9]") {
        let mut theirs = written();
        theirs.rotate_left(turn);
        prop_assume!(theirs.iter().all(|(code, _)| *code != noise));
        theirs.push((noise, "1".to_owned()));
        prop_assert!(said(Projection::CgmIg, &Form::of(Projection::CgmIg), &theirs));
    }
}
