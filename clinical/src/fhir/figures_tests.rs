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
fn the_outcome_itself_gives_its_minutes_and_standard_deviation() {
    let outcome = outcome();
    let whole: u64 = figures(&outcome)
        .iter()
        .filter_map(|figure| match figure.amount {
            Amount::Whole(minutes) => Some(minutes),
            _ => None,
        })
        .sum();
    assert_eq!(whole, outcome.minutes.total());
    assert!(figures(&outcome).contains(&Figure::number(SD, 50.0)));
}
