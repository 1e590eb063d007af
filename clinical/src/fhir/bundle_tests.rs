use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{
    super::{
        sample::{any_outcome, outcome, packed as entries, resources},
        summary::{Status, Wording},
    },
    *,
};

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("reference") {
                found.push(reference.clone());
            }
            fields.values().for_each(|child| references(child, found));
        }
        _ => {}
    }
}

/// Every reference leads to an entry: by its fullUrl, or by the `Type/id` that is updated.
fn assert_resolves(bundle: &Value) {
    let mut known = BTreeSet::new();
    for entry in bundle["entry"].as_array().unwrap() {
        known.insert(entry["fullUrl"].as_str().unwrap().to_owned());
        if entry["request"]["method"] == "PUT" {
            known.insert(entry["request"]["url"].as_str().unwrap().to_owned());
        }
    }
    let mut found = Vec::new();
    references(bundle, &mut found);
    assert_eq!(found.len(), 6 + 7, "six members and seven targets");
    for reference in found {
        assert!(known.contains(&reference), "{reference}");
    }
}

#[test]
fn a_create_is_a_conditional_post() {
    let bundle = transaction(&entries(&outcome(), Wording::Full));
    assert_eq!(bundle["type"], "transaction");
    let list = bundle["entry"].as_array().unwrap();
    assert_eq!(list.len(), 8);
    for entry in &list[..7] {
        assert_eq!(entry["request"]["method"], "POST");
        assert_eq!(entry["request"]["url"], "Observation");
        let value = entry["resource"]["identifier"][0]["value"].as_str().unwrap();
        assert_eq!(entry["request"]["ifNoneExist"], format!("identifier=urn:isthmus:outcome|{value}"));
        assert!(entry["resource"].get("id").is_none());
    }
    assert_eq!(list[7]["request"]["url"], "Provenance");
    assert!(
        list[7]["request"]["ifNoneExist"]
            .as_str()
            .unwrap()
            .starts_with("entity:identifier=urn:isthmus:manifest|")
    );
    assert_resolves(&bundle);
}

#[test]
fn an_update_puts_to_the_location_and_everything_refers_to_it() {
    let all = resources(&outcome(), Status::Amended, Wording::Full);
    let mut list = entries(&outcome(), Wording::Full);
    let location = |text: &str| Location::parse(text).unwrap();
    list[0] = Entry::update(
        &all[0],
        location("https://ehr.example/fhir/Observation/p/_history/3"),
        Some("W/\"3\"".into()),
    );
    list[3] = Entry::update(&all[3], location("Observation/g-1"), Some(" ".into()));
    let bundle = transaction(&list);
    let panel = &bundle["entry"][0];
    assert_eq!(panel["request"]["method"], "PUT");
    assert_eq!(panel["request"]["url"], "Observation/p");
    assert_eq!(panel["request"]["ifMatch"], "W/\"3\"");
    assert_eq!(panel["request"].get("ifNoneExist"), None);
    assert_eq!(panel["resource"]["id"], "p");
    assert_eq!(panel["fullUrl"], "https://ehr.example/fhir/Observation/p");
    let members = &panel["resource"]["hasMember"];
    assert_eq!(members[2]["reference"], "Observation/g-1");
    assert!(members[0]["reference"].as_str().unwrap().starts_with("urn:uuid:"));
    let gmi = &bundle["entry"][3];
    assert_eq!(gmi["fullUrl"], all[3].full_url().as_str());
    assert_eq!(gmi["request"].get("ifMatch"), None);
    let targets = &bundle["entry"][7]["resource"]["target"];
    assert_eq!(targets[0]["reference"], "Observation/p");
    assert_eq!(targets[3]["reference"], "Observation/g-1");
    assert_resolves(&bundle);
}

#[test]
fn a_lone_provenance_resolves_or_says_what_is_missing() {
    let all = resources(&outcome(), Status::Final, Wording::Terse);
    let Some(Entry::Create { resource, .. }) = entries(&outcome(), Wording::Terse).pop() else {
        panic!("the last entry is the Provenance");
    };
    let mut known: BTreeMap<String, String> =
        all.iter().enumerate().map(|(i, r)| (r.full_url(), format!("Observation/{i}"))).collect();
    let mut lone = resource.clone();
    assert_eq!(resolve(&mut lone, &known), Ok(()));
    assert_eq!(lone["target"][6]["reference"], "Observation/6");
    known.remove(&all[2].full_url());
    assert_eq!(resolve(&mut resource.clone(), &known), Err(Unresolved { count: 1 }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_bundle_of_any_outcome_is_deterministic_and_closed(outcome in any_outcome()) {
        let bundle = transaction(&entries(&outcome, Wording::Full));
        prop_assert_eq!(bundle.to_string(), transaction(&entries(&outcome, Wording::Full)).to_string());
        assert_resolves(&bundle);
        let urls: BTreeSet<&str> =
            bundle["entry"].as_array().unwrap().iter().filter_map(|e| e["fullUrl"].as_str()).collect();
        prop_assert_eq!(urls.len(), 8);
    }
}
