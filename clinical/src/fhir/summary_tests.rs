use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;

use super::{
    super::sample::{any_outcome, outcome, resources},
    *,
};

fn of(resources: &[Resource], metric: Metric) -> &Value {
    &resources.iter().find(|r| r.metric == Some(metric)).unwrap().json
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn every_metric_has_the_code_profile_unit_and_unit_text_of_the_guide() {
    // Source: HL7/cgm input/fsh/profiles.fsh (1.0.0). Values by hand from the sample: mean 154,
    // CV 100*50/154 = 32.4675..., GMI 3.31 + 0.02392*154 = 6.99368.
    let table = [
        (Metric::MeanMass, "97507-8", "cgm-summary-mean-glucose-mass-per-volume", "154.00", "mg/dL", "mg/dl"),
        (Metric::Gmi, "97506-0", "cgm-summary-gmi", "6.99", "%", "%"),
        (Metric::Cv, "104638-2", "cgm-summary-coefficient-of-variation", "32.47", "%", "%"),
        (Metric::DaysOfWear, "104636-6", "cgm-summary-days-of-wear", "14", "d", "days"),
        (Metric::SensorActive, "104637-4", "cgm-summary-sensor-active-percentage", "99.21", "%", "%"),
    ];
    let all = resources(&outcome(), Status::Final, Wording::Full);
    for (metric, code, profile, value, unit_code, unit_text) in table {
        let json = of(&all, metric);
        assert_eq!(json["code"]["coding"][0]["system"], "http://loinc.org");
        assert_eq!(json["code"]["coding"][0]["code"], code);
        let profile = format!("http://hl7.org/fhir/uv/cgm/StructureDefinition/{profile}");
        assert_eq!(json["meta"]["profile"][0], profile.as_str());
        let quantity = &json["valueQuantity"];
        assert_eq!(quantity["value"].to_string(), value, "{metric:?}");
        assert_eq!(quantity["system"], "http://unitsofmeasure.org");
        assert_eq!((text(&quantity["code"]), text(&quantity["unit"])), (unit_code, unit_text));
    }
}

#[test]
fn the_molar_mean_has_its_own_code_unit_and_identifier() {
    let outcome = outcome();
    let subject = super::super::sample::subject();
    let all = observations(&Summary {
        outcome: &outcome,
        scope: Scope::of("main", "7", &outcome),
        secret: &super::super::sample::SECRET,
        subject: &subject,
        status: Status::Final,
        mean: MeanUnit::Molar,
        figures: &[],
        wording: Wording::Full,
    });
    let mean = of(&all, Metric::MeanMolar);
    assert_eq!(mean["code"]["coding"][0]["code"], "105273-7");
    assert_eq!(mean["valueQuantity"]["value"].to_string(), "8.55"); // 154 / 18.0156 = 8.5481...
    assert_eq!(mean["valueQuantity"]["code"], "mmol/L");
    assert_eq!(mean["valueQuantity"]["unit"], "mmol/l");
    assert!(text(&mean["meta"]["profile"][0]).ends_with("/cgm-summary-mean-glucose-moles-per-volume"));
}

#[test]
fn the_times_in_ranges_have_five_components_with_two_decimals() {
    // Minutes 60, 580, 12 860, 5 300, 1 200 of 20 000.
    let table = [
        ("104642-4", "0.30"),
        ("104641-6", "2.90"),
        ("97510-2", "64.30"),
        ("104640-8", "26.50"),
        ("104639-0", "6.00"),
    ];
    let all = resources(&outcome(), Status::Final, Wording::Full);
    let json = of(&all, Metric::TimesInRanges);
    assert_eq!(json["code"]["coding"][0]["code"], "106793-3");
    assert!(text(&json["meta"]["profile"][0]).ends_with("/cgm-summary-times-in-ranges"));
    let components = json["component"].as_array().unwrap();
    assert_eq!(components.len(), table.len());
    for (component, (code, share)) in components.iter().zip(table) {
        assert_eq!(component["code"]["coding"][0]["code"], code);
        assert_eq!(component["valueQuantity"]["value"].to_string(), share);
        assert_eq!(component["valueQuantity"]["unit"], "%");
        assert_eq!(component["valueQuantity"]["code"], "%");
    }
    assert!(json.get("valueQuantity").is_none());
}

#[test]
fn the_panel_names_its_six_members_and_has_no_value() {
    let all = resources(&outcome(), Status::Final, Wording::Full);
    let panel = of(&all, Metric::Summary);
    assert_eq!(panel["code"]["coding"][0]["code"], "107931-8");
    assert!(text(&panel["meta"]["profile"][0]).ends_with("/cgm-summary"));
    let named: BTreeSet<&str> =
        panel["hasMember"].as_array().unwrap().iter().map(|m| text(&m["reference"])).collect();
    let urls: Vec<String> = all[1..].iter().map(Resource::full_url).collect();
    assert_eq!(named, urls.iter().map(String::as_str).collect());
    assert_eq!(named.len(), 6);
    assert!(panel.get("valueQuantity").is_none());
}

#[test]
fn the_frame_is_the_same_for_all() {
    for resource in resources(&outcome(), Status::Amended, Wording::Full) {
        let json = &resource.json;
        assert_eq!(json["status"], "amended");
        assert_eq!(json["category"][0]["coding"][0]["code"], "laboratory");
        assert_eq!(json["effectivePeriod"]["start"], "2025-01-01");
        assert_eq!(json["effectivePeriod"]["end"], "2025-01-14");
        assert_eq!(json["subject"]["identifier"]["value"], "MRN-4711");
        assert!(text(&json["method"]["text"]).contains("standard/1"));
        assert!(json.get("issued").is_none());
        assert_eq!(json["identifier"][0]["system"], "urn:isthmus:outcome");
        assert_eq!(
            resource.if_none_exist(),
            format!("identifier=urn:isthmus:outcome|{}", resource.identifier.value)
        );
    }
}

#[test]
fn a_withheld_gmi_stays_a_member_and_claims_no_profile_that_demands_a_value() {
    let withheld = Outcome {
        gmi_pct: None,
        cv_pct: None,
        insufficient: vec![Insufficiency::TooFewDays, Insufficiency::TooLittleWear],
        ..outcome()
    };
    let all = resources(&withheld, Status::Final, Wording::Full);
    assert_eq!(all.len(), 7);
    for metric in [Metric::Gmi, Metric::Cv] {
        let json = of(&all, metric);
        assert!(json.get("valueQuantity").is_none());
        assert!(json.get("meta").is_none());
        assert_eq!(json["dataAbsentReason"]["coding"][0]["system"], ABSENT_SYSTEM);
    }
    assert_eq!(
        of(&all, Metric::Gmi)["dataAbsentReason"]["text"],
        "Withheld: the period has too few days and too little of the period has readings"
    );
    assert_eq!(of(&all, Metric::Summary)["hasMember"].as_array().unwrap().len(), 6);
}

#[test]
fn a_mean_that_is_no_number_is_absent_and_not_written() {
    let broken = Outcome { mean_mg_dl: f64::NAN, ..outcome() };
    let all = resources(&broken, Status::Final, Wording::Full);
    assert_eq!(of(&all, Metric::MeanMass)["dataAbsentReason"]["coding"][0]["code"], "not-a-number");
}

#[test]
fn the_status_of_a_version_says_why_it_was_made() {
    for (reason, code, words) in [
        (Reason::First, "final", "first publication"),
        (Reason::LateData, "amended", "late data"),
        (Reason::PolicyChange, "amended", "change of policy"),
        (Reason::SourceCorrection, "corrected", "correction by the source"),
    ] {
        assert_eq!((Status::of(reason).code(), reason.words()), (code, words));
        for resource in resources(&outcome(), Status::of(reason), Wording::Full) {
            assert_eq!(resource.json["status"], code);
        }
    }
}

#[test]
fn an_amendment_keeps_every_identifier() {
    let ids = |status| -> Vec<Identifier> {
        resources(&outcome(), status, Wording::Full).into_iter().map(|r| r.identifier).collect()
    };
    assert_eq!(ids(Status::Final), ids(Status::Amended));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_outcome_has_shares_that_sum_to_100_and_unique_stable_identifiers(outcome in any_outcome()) {
        let all = resources(&outcome, Status::Final, Wording::Full);
        let sum: i128 = of(&all, Metric::TimesInRanges)["component"].as_array().unwrap().iter()
            .map(|c| c["valueQuantity"]["value"].to_string().parse::<Decimal>().unwrap())
            .inspect(|share| assert_eq!(share.places(), 2))
            .map(|share| share.scaled(2))
            .sum();
        prop_assert_eq!(sum, 10_000);
        let ids: BTreeSet<&str> = all.iter().map(|r| text(&r.json["identifier"][0]["value"])).collect();
        prop_assert_eq!(ids.len(), 7);
        let urls: BTreeSet<String> = all.iter().map(Resource::full_url).collect();
        prop_assert_eq!(urls.len(), 7);
        let again = resources(&outcome, Status::Final, Wording::Full);
        prop_assert!(all == again);
    }
}
