//! What a search says of resources that are not made yet.

use serde_json::json;

use super::query;
use crate::{Kind, search::starts};

const OPEN: [&str; 4] = ["date", "_lastUpdated", "identifier", "value-quantity"];

#[test]
fn a_sample_decides_what_is_the_same_for_all_and_leaves_the_rest_open() {
    let sample = json!({
        "resourceType": "Observation", "status": "final",
        "code": { "coding": [{ "system": "http://loinc.org", "code": "99504-3" }] },
        "subject": { "reference": "Patient/1" },
        "device": { "identifier": { "value": "d" } },
    });
    // Whether one like it may be asked for, and whether times alone decide further.
    for (name, value, may, decided) in [
        ("code", "http://loinc.org|99504-3", true, true),
        ("code", "8867-4", false, true),
        ("code:not", "8867-4", true, true),
        ("status", "corrected", false, true),
        ("patient", "Patient/1", true, true),
        ("patient", "Patient/2", false, true),
        ("date", "ge2013", true, true),
        ("_lastUpdated", "lt2013", true, true),
        ("value-quantity", "gt70", true, false),
        ("identifier", "urn:x|1", true, false),
        ("device", "Device/1", false, true),
        ("encounter", "Encounter/1", false, true),
        ("encounter:missing", "true", true, true),
    ] {
        let query = query(Kind::Observation, &[(name, value)]);
        assert_eq!(query.may_match(&sample, &OPEN), may, "{name}={value}");
        assert_eq!(query.is_decided_by_sample(&OPEN), decided, "{name}={value}");
        assert!(query.filters_by(name.split(':').next().unwrap()) && !query.filters_by("category"));
    }
    // A reference that is asked for in another way than plainly is open where its parameter is.
    let by_identifier = query(Kind::Observation, &[("device:identifier", "x")]);
    assert!(by_identifier.may_match(&sample, &["device"]) && !by_identifier.may_match(&sample, &OPEN));
}

#[test]
fn what_has_identifiers_of_one_system_is_asked_for_by_those_or_by_none() {
    let is_long = |code: &str| code.len() > 4;
    for (value, may) in [
        ("urn:ours|12345", true),
        ("urn:ours|", true),
        ("urn:ours|123", false),
        ("12345", true),
        ("123", false),
        ("|12345", false),
        ("urn:other|12345", false),
        ("urn:other|12345,urn:ours|12345", true),
    ] {
        let query = query(Kind::Observation, &[("identifier", value)]);
        assert_eq!(query.may_identify("urn:ours", is_long), may, "{value}");
    }
    assert!(query(Kind::Observation, &[("code", "x")]).may_identify("urn:ours", is_long));
}

#[test]
fn whom_a_search_is_about_is_whom_its_first_plain_filter_names() {
    let about = |given: &[(&str, &str)]| query(Kind::Observation, given).about(Kind::Patient);
    let some = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(about(&[("patient", "Patient/2,1,Patient/1")]), some(&["Patient/1", "Patient/2"]));
    assert_eq!(about(&[("subject", "7")]), some(&["Patient/7"]), "an id alone may be of many kinds");
    assert_eq!(about(&[("subject", "Group/7")]), some(&[]));
    assert_eq!(about(&[("patient", "https://box/fhir/Patient/3")]), some(&["Patient/3"]));
    assert_eq!(about(&[("patient", "https://other/fhir/Patient/3")]), None);
    assert_eq!(about(&[("patient:identifier", "x"), ("code", "y")]), None);
    assert_eq!(about(&[]), None);
}

#[test]
fn the_start_of_a_resource_is_the_one_that_it_is_indexed_by() {
    for resource in [
        json!({ "resourceType": "Observation", "effectiveDateTime": "2013-01-14T10:00:00.250Z" }),
        json!({ "resourceType": "Observation", "effectivePeriod": { "start": "2013-01", "end": "2013-02" } }),
        json!({ "resourceType": "Observation", "effectivePeriod": { "end": "2013-02" } }),
        json!({ "resourceType": "Observation" }),
    ] {
        let indexed = crate::search::terms(Kind::Observation, &resource).from_ms;
        assert_eq!(starts(Kind::Observation, &resource), indexed, "{resource}");
    }
}
