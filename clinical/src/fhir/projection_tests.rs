use proptest::prelude::*;
use serde_json::json;

use super::{
    super::{
        bundle::transaction,
        sample::{any_outcome, outcome, packed, resources},
        summary::{Status, Wording},
    },
    *,
};

/// Those that take summaries; `reading_tests` and `figures_tests` judge the other with what it takes.
const SUMMARIES: [Projection; 2] = [Projection::CgmIg, Projection::UpstreamSummary];

/// Puts `element` into every object of `value` in turn, and hands each result to `check`.
fn plant(value: &Value, element: &str, check: &mut dyn FnMut(&Value)) {
    fn objects(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.push(path.to_owned());
                fields.iter().for_each(|(name, child)| objects(child, &format!("{path}/{name}"), found));
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(i, child)| objects(child, &format!("{path}/{i}"), found));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    objects(value, "", &mut found);
    for pointer in found {
        let mut planted = value.clone();
        planted.pointer_mut(&pointer).unwrap()[element] = "Amy".into();
        check(&planted);
    }
}

#[test]
fn a_provenance_goes_with_its_observations_where_the_destination_knows_the_patient() {
    assert!(Projection::CgmIg.provenance_in_bundle());
    assert!(!Projection::UpstreamSummary.provenance_in_bundle());
}

#[test]
fn a_planted_element_is_refused_wherever_it_stands() {
    for projection in SUMMARIES {
        let bundle = transaction(&packed(&outcome(), projection.wording()));
        assert_eq!(minimize(projection, &bundle), Ok(()));
        for element in ["name", "birthDate", "address", "telecom", "note", "display", "_value"] {
            let mut planted_at = 0;
            plant(&bundle, element, &mut |planted| {
                planted_at += 1;
                let leak = minimize(projection, planted).expect_err("a planted element must be refused");
                assert!(!leak.to_string().contains("Amy"));
            });
            assert!(planted_at > 100, "the Bundle has more objects than {planted_at}");
        }
    }
}

#[test]
fn contained_resources_empty_elements_and_odd_names_are_refused() {
    let good = resources(&outcome(), Status::Final, Wording::Full).remove(0).json;
    assert_eq!(minimize(Projection::CgmIg, &good), Ok(()));
    let odd = [
        ("contained", json!([{ "resourceType": "Patient" }])),
        ("note", json!([])),
        ("extension", json!({})),
        ("status", Value::Null),
        ("status", json!(["final", { "status": "final" }])),
        ("subject.identifier.value", json!("x")),
        ("", json!("x")),
    ];
    for (name, value) in odd {
        let mut planted = good.clone();
        planted[name] = value;
        assert!(minimize(Projection::CgmIg, &planted).is_err(), "{name}");
    }
    assert!(minimize(Projection::CgmIg, &json!({ "resourceType": "Patient" })).is_err());
    assert!(
        minimize(Projection::CgmIg, &json!({ "resourceType": "Bundle", "entry": [{ "resource": 1 }] }))
            .is_err()
    );
    assert!(minimize(Projection::CgmIg, &json!([])).is_err());
}

#[test]
fn a_request_says_no_more_than_its_resources() {
    let bundle = transaction(&packed(&outcome(), Wording::Full));
    let planted = [
        ("/entry/0/request/ifNoneExist", json!("subject:identifier=urn:oid:1.2.3|MRN-4711")),
        ("/entry/0/request/url", json!("Patient?name=Amy")),
        ("/entry/0/fullUrl", json!("Amy")),
        ("/entry/0/resource", bundle.clone()),
        ("/entry/0/resource/code/text", json!("Amy's glucose")),
        ("/entry/0/resource/method/text", json!("Amy")),
        ("/entry/7/resource/reason/0/text", json!("Amy asked")),
        ("/entry/7/resource/text/div", json!("<div>Amy</div>")),
        ("/entry/7/resource/target/0/reference", json!("Patient/1")),
    ];
    for (pointer, value) in planted {
        let mut bundle = bundle.clone();
        *bundle.pointer_mut(pointer).unwrap() = value;
        assert!(minimize(Projection::CgmIg, &bundle).is_err(), "{pointer}");
    }
}

#[test]
fn upstream_gets_a_pseudonym_and_no_words() {
    let terse = resources(&outcome(), Status::Final, Wording::Terse);
    for resource in &terse {
        assert_eq!(minimize(Projection::UpstreamSummary, &resource.json), Ok(()));
        assert_eq!(resource.json["method"]["text"], "policy standard/1");
    }
    let full = resources(&outcome(), Status::Final, Wording::Full);
    for resource in &full {
        assert!(minimize(Projection::UpstreamSummary, &resource.json).is_err());
    }
    let mut identified = terse[0].json.clone();
    identified["subject"] = full[0].json["subject"].clone();
    let leak = minimize(Projection::UpstreamSummary, &identified).unwrap_err();
    assert!(leak.path.starts_with("Observation.subject.identifier."));
    let mut wordy = terse[0].json.clone();
    wordy["method"]["text"] = "policy standard/1 of Amy".into();
    assert!(minimize(Projection::UpstreamSummary, &wordy).is_err());
    let mut referenced = terse[0].json.clone();
    referenced["subject"] = json!({ "reference": "Patient/1" });
    assert!(minimize(Projection::UpstreamSummary, &referenced).is_err());
}

#[test]
fn the_provenance_names_sensors_by_pseudonyms_and_a_time_where_it_may_stand() {
    let bundle = transaction(&packed(&outcome(), Wording::Full));
    let parts = bundle["entry"][7]["resource"]["extension"][0]["extension"].as_array().unwrap();
    let at = parts.iter().position(|part| part["url"] == "device-session").unwrap();
    let session = format!("/entry/7/resource/extension/0/extension/{at}/extension");
    assert!(!bundle.to_string().contains("SN-4711"));
    for (place, value) in [
        ("0/valueIdentifier/value", json!("SN-4711")),
        ("0/valueIdentifier/system", json!("urn:oid:1.2.3")),
        ("0/url", json!("Amy's sensor")),
        ("3/valueInstant", json!("in March")),
    ] {
        let mut planted = bundle.clone();
        *planted.pointer_mut(&format!("{session}/{place}")).unwrap() = value;
        assert!(minimize(Projection::CgmIg, &planted).is_err(), "{place}");
    }
}

#[test]
fn raw_readings_are_no_summary() {
    let mut reading = resources(&outcome(), Status::Final, Wording::Terse).remove(1).json;
    reading["code"]["coding"][0]["code"] = "99504-3".into();
    for projection in Projection::ALL {
        assert!(minimize(projection, &reading).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_builders_make_of_any_outcome_may_leave(mut outcome in any_outcome()) {
        // A policy and a zone are of closed forms; how any text is escaped is the narrative's own test.
        outcome.policy.id = outcome.policy.id.replace([' ', '<', '&'], "-");
        outcome.period.zone = "Australia/Lord_Howe".into();
        for projection in SUMMARIES {
            let bundle = transaction(&packed(&outcome, projection.wording()));
            prop_assert_eq!(minimize(projection, &bundle), Ok(()));
        }
    }
}
