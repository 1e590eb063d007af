use std::collections::BTreeSet;

use super::{
    super::{
        codes::*,
        identifier::Scope,
        projection::{Projection, minimize},
        sample::{SECRET, all_figures, outcome, subject},
        subject::Subject,
        summary::{Resource, Status, Summary, Wording, observations},
    },
    *,
};

fn made(figures: &[Figure], unit: MeanUnit, wording: Wording) -> Vec<Resource> {
    let outcome = outcome();
    let subject = match wording {
        Wording::Full => subject(),
        Wording::Terse => Subject::pseudonym(&SECRET, "main", "7"),
    };
    observations(&Summary {
        outcome: &outcome,
        scope: Scope::of("main", "7", &outcome),
        secret: &SECRET,
        subject: &subject,
        status: Status::Final,
        mean: unit,
        figures,
        wording,
    })
}

fn of<'a>(all: &'a [Resource], concept: &Concept) -> &'a Value {
    let about = |r: &&Resource| r.json["code"]["coding"][0]["code"] == concept.code;
    &all.iter().find(about).unwrap().json
}

fn part<'a>(json: &'a Value, concept: &Concept) -> &'a Value {
    let parts = json["component"].as_array().unwrap();
    parts.iter().find(|part| part["code"]["coding"][0]["code"] == concept.code).unwrap()
}

#[test]
fn figures_become_members_beside_the_six_in_the_order_of_the_table() {
    let mut figures = all_figures();
    let all = made(&figures, MeanUnit::Mass, Wording::Full);
    let codes: Vec<&str> =
        all.iter().map(|r| r.json["code"]["coding"][0]["code"].as_str().unwrap()).collect();
    assert_eq!(codes[7..], ["gri", "titr", "range-minutes", "variability", "percentiles", "event-counts"]);
    let panel = &all[0].json;
    let members: Vec<&str> =
        panel["hasMember"].as_array().unwrap().iter().map(|m| m["reference"].as_str().unwrap()).collect();
    let urls: Vec<String> = all[1..].iter().map(Resource::full_url).collect();
    assert_eq!(members, urls);
    assert_eq!(BTreeSet::from_iter(members).len(), 12);
    figures.reverse();
    assert!(made(&figures, MeanUnit::Mass, Wording::Full) == all, "the order of the list changes nothing");
}

#[test]
fn a_value_its_components_and_what_they_come_from_are_written() {
    let all = made(&all_figures(), MeanUnit::Mass, Wording::Full);
    let gri = of(&all, &GRI);
    assert_eq!(gri["code"]["coding"][0]["system"], OUTCOME_CODES);
    assert_eq!(gri["valueQuantity"]["value"].to_string(), "38.66");
    assert_eq!(gri["valueQuantity"]["code"], "{score}");
    assert_eq!(part(gri, &GRI_HYPO)["valueQuantity"]["value"].to_string(), "2.62");
    assert_eq!(part(gri, &GRI_ZONE)["valueCodeableConcept"]["coding"][0]["code"], "gri-zone-b");
    assert_eq!(gri["derivedFrom"][0]["reference"], all[2].full_url());
    assert_eq!(all[2].json["code"]["coding"][0]["code"], "106793-3");
    let minutes = of(&all, &RANGE_MINUTES);
    assert!(minutes.get("valueQuantity").is_none());
    assert_eq!(part(minutes, &MINUTES_TARGET)["valueQuantity"]["value"].to_string(), "12860");
    assert_eq!(part(minutes, &MINUTES_TARGET)["valueQuantity"]["code"], "min");
    assert!(of(&all, &VARIABILITY).get("derivedFrom").is_none());
}

#[test]
fn glucose_is_in_the_unit_of_the_mean() {
    let mass = made(&all_figures(), MeanUnit::Mass, Wording::Full);
    let molar = made(&all_figures(), MeanUnit::Molar, Wording::Full);
    let sd = |all: &[Resource]| part(of(all, &VARIABILITY), &SD)["valueQuantity"].clone();
    assert_eq!((sd(&mass)["value"].to_string(), &sd(&mass)["unit"]), ("50.00".into(), &json!("mg/dl")));
    // 50 / 18.0156 = 2.7754
    assert_eq!((sd(&molar)["value"].to_string(), &sd(&molar)["unit"]), ("2.78".into(), &json!("mmol/l")));
}

#[test]
fn what_cannot_be_said_is_absent_and_what_was_not_given_is_not_written() {
    let figures = [Figure::number(MODD, None), Figure::number(SD, f64::NAN), Figure::whole(HYPO_LEVEL_2, 0)];
    let all = made(&figures, MeanUnit::Mass, Wording::Full);
    assert_eq!(all.len(), 9);
    let variability = of(&all, &VARIABILITY);
    assert_eq!(part(variability, &MODD)["dataAbsentReason"]["coding"][0]["code"], "not-applicable");
    assert_eq!(part(variability, &SD)["dataAbsentReason"]["coding"][0]["code"], "not-a-number");
    assert_eq!(variability["component"].as_array().unwrap().len(), 2);
    let counts = of(&all, &EVENT_COUNTS);
    assert_eq!(part(counts, &HYPO_LEVEL_2)["valueQuantity"]["value"].to_string(), "0");
}

#[test]
fn they_may_leave_by_every_summary_projection_and_pass_as_no_reading() {
    for projection in [Projection::CgmIg, Projection::UpstreamSummary] {
        for resource in made(&all_figures(), MeanUnit::Molar, projection.wording()) {
            assert_eq!(minimize(projection, &resource.json), Ok(()));
            assert!(minimize(Projection::CgmReadings, &resource.json).is_err());
        }
    }
    let mut planted = of(&made(&all_figures(), MeanUnit::Mass, Wording::Full), &GRI).clone();
    planted["component"][0]["code"]["text"] = "Amy's GRI".into();
    assert!(minimize(Projection::CgmIg, &planted).is_err());
}

#[test]
fn every_code_but_those_of_single_events_has_its_figure_once() {
    let figures = figures(&outcome());
    for concept in CONCEPTS {
        let single = concept.code == EVENT.code || concept.part_of == Some(EVENT.code);
        let wanted = usize::from(!single && concept.measure != Measure::Group);
        let given = figures.iter().filter(|figure| figure.concept.code == concept.code).count();
        assert_eq!(given, wanted, "{}", concept.code);
    }
    let minutes =
        |concept: &Concept| match figures.iter().find(|f| f.concept.code == concept.code).unwrap().amount {
            Amount::Whole(minutes) => minutes,
            other => panic!("{other:?}"),
        };
    let ranges = [MINUTES_VERY_LOW, MINUTES_LOW, MINUTES_TARGET, MINUTES_HIGH, MINUTES_VERY_HIGH];
    assert_eq!(ranges.iter().map(minutes).sum::<u64>(), outcome().minutes.total());
    assert_eq!((minutes(&HYPO_LEVEL_1), minutes(&HYPER_EXTENDED)), (9, 1));
}

#[test]
fn what_the_policy_has_no_range_for_is_not_given_and_what_takes_more_readings_is_absent() {
    let outcome = Outcome { gri: None, titr: None, modd: None, sd_mg_dl: None, ..outcome() };
    let figures = figures(&outcome);
    for concept in [GRI, GRI_ZONE, TITR, TITR_MINUTES] {
        assert!(figures.iter().all(|figure| figure.concept.code != concept.code), "{}", concept.code);
    }
    for concept in [MODD, SD] {
        assert!(figures.contains(&Figure { concept, amount: Amount::Absent }), "{}", concept.code);
    }
}

#[test]
fn a_nadir_at_the_limit_of_the_sensor_has_its_comparator_in_the_unit_of_the_mean() {
    use crate::{events::Event, glucose::Glucose as Value_, reading::Instant};
    let event = |extreme| Event {
        kind: EventKind::HypoLevel2,
        start: Instant(0),
        end: Instant(1_500_000),
        duration_minutes: 25.0,
        measured_minutes: 20.0,
        extreme,
        area_mg_dl_min: 180.5,
        truncated: false,
        holds_level_2: false,
        low_confidence: true,
    };
    let low = Value_ { measured: Measured::Below(Decimal::whole(40)), unit: Unit::MgDl };
    for (extreme, unit, expected) in [
        (low, MeanUnit::Mass, ("40.00", "mg/dL", Some("<"))),
        (low, MeanUnit::Molar, ("2.22", "mmol/L", Some("<"))),
        (Value_::mmol_l_tenths(25), MeanUnit::Molar, ("2.50", "mmol/L", None)),
    ] {
        let glucose = Glucose::of(unit, 180_156);
        let parts = body(EVENT, &figures_of(&event(extreme), &glucose), &glucose).unwrap().components;
        let event = json!({ "component": parts });
        let nadir = &part(&event, &EVENT_EXTREME)["valueQuantity"];
        let said =
            (nadir["value"].to_string(), nadir["code"].as_str().unwrap(), nadir["comparator"].as_str());
        assert_eq!((said.0.as_str(), said.1, said.2), expected);
        assert_eq!(parts.len(), 6);
    }
}
