//! Each rule with a resource that keeps to it and one that does not; and any value at all.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn observation() -> Value {
    json!({
        "resourceType": "Observation",
        "id": "a-1",
        "meta": { "lastUpdated": "2024-01-01T00:00:00Z", "profile": ["http://e/p"] },
        "text": { "status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>x</p></div>" },
        "contained": [{ "resourceType": "Device", "id": "d", "serialNumber": "1" }],
        "extension": [{ "url": "http://e/x", "valueDecimal": 1.5 }],
        "identifier": [{ "system": "urn:s", "value": "v" }],
        "status": "final",
        "code": { "coding": [{ "system": "http://loinc.org", "code": "15074-8" }] },
        "subject": { "reference": "Patient/p1" },
        "effectiveDateTime": "2024-01-01T10:00:00+01:00",
        "performer": [{ "reference": "Organization/o" }],
        "valueQuantity": { "value": 5.50, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L" },
        "device": { "reference": "#d" },
        "referenceRange": [{ "low": { "value": 3.9 }, "high": { "value": 10.0 } }],
        "component": [{ "code": { "text": "trend" }, "valueString": "up" }]
    })
}

/// The resource with a member of the path set, or taken away with null.
fn with(mut resource: Value, path: &str, value: Value) -> Value {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    let parent =
        if parent.is_empty() { &mut resource } else { resource.pointer_mut(parent).expect("a path") };
    match parent {
        Value::Object(members) if value.is_null() => drop(members.remove(name)),
        Value::Object(members) => drop(members.insert(name.to_owned(), value)),
        other => panic!("{other} has no members"),
    }
    resource
}

fn codes(resource: &Value, release: Release) -> Vec<(Severity, Code, String)> {
    validate(resource, release).into_iter().map(|it| (it.severity, it.code, it.expression)).collect()
}

#[test]
fn a_sound_observation_has_nothing_wrong_in_both_releases() {
    for release in Release::ALL {
        assert_eq!(validate(&observation(), release), []);
    }
}

#[test]
fn each_fault_is_found_at_its_element() {
    use Code::{CodeInvalid, Extension, Invariant, Required, Structure, Value as Wrong};
    let table = [
        ("status", Value::Null, Required, "Observation.status"),
        ("id", json!("a_1"), Wrong, "Observation.id"),
        ("status", json!("done"), CodeInvalid, "Observation.status"),
        ("status", json!(["final"]), Structure, "Observation.status"),
        ("identifier", json!({ "value": "v" }), Structure, "Observation.identifier"),
        ("identifier", json!([]), Structure, "Observation.identifier"),
        ("code", json!("x"), Structure, "Observation.code"),
        ("code", json!({ "coding": [{ "code": " x" }] }), Wrong, "Observation.code.coding[0].code"),
        ("code", json!({ "id": "x" }), Invariant, "Observation.code"),
        ("valueString", json!("x"), Structure, "Observation.valueString"),
        ("effectiveDateTime", json!("2024-02-30"), Wrong, "Observation.effectiveDateTime"),
        ("/valueQuantity/value", json!("5.5"), Wrong, "Observation.valueQuantity.value"),
        ("/valueQuantity/comparator", json!("~"), CodeInvalid, "Observation.valueQuantity.comparator"),
        ("/valueQuantity/system", Value::Null, Invariant, "Observation.valueQuantity"),
        ("/component/0/code", Value::Null, Required, "Observation.component[0].code"),
        ("/component/0/code", observation()["code"].clone(), Invariant, "Observation"),
        ("dataAbsentReason", json!({ "text": "x" }), Invariant, "Observation"),
        (
            "/referenceRange/0/low",
            json!({ "value": 1, "comparator": "<" }),
            Invariant,
            "Observation.referenceRange[0].low",
        ),
        ("/subject/reference", json!("Encounter/1"), Wrong, "Observation.subject"),
        ("/subject/reference", json!("Nobody/1"), Wrong, "Observation.subject"),
        ("/device/reference", json!("#e"), Invariant, "Observation.device"),
        ("device", Value::Null, Invariant, "Observation.contained[0]"),
        (
            "/contained/0/contained",
            json!([{ "resourceType": "Patient", "id": "x" }]),
            Invariant,
            "Observation.contained[0]",
        ),
        ("/contained/0/meta", json!({ "versionId": "1" }), Invariant, "Observation.contained[0]"),
        (
            "/contained/0/meta",
            json!({ "security": [{ "code": "R" }] }),
            Invariant,
            "Observation.contained[0]",
        ),
        ("/contained/0/resourceType", json!("Divice"), Wrong, "Observation.contained[0].resourceType"),
        ("/contained/0/status", json!("on"), CodeInvalid, "Observation.contained[0].status"),
        ("/text/div", json!("x"), Wrong, "Observation.text.div"),
        ("/text/div", json!("<div><script>x</script></div>"), Invariant, "Observation.text.div"),
        ("extension", json!([{ "url": "http://e" }]), Invariant, "Observation.extension[0]"),
        ("extension", json!([{ "valueBoolean": true }]), Required, "Observation.extension[0].url"),
        (
            "effectivePeriod",
            json!({ "start": "2024-02", "end": "2024-01" }),
            Invariant,
            "Observation.effectivePeriod",
        ),
        ("glucose", json!(5), Structure, "Observation.glucose"),
        ("_code", json!({ "id": "x" }), Structure, "Observation._code"),
        (
            "modifierExtension",
            json!([{ "url": "http://e", "valueCode": "x" }]),
            Extension,
            "Observation.modifierExtension",
        ),
        ("resourceType", json!("Glucose"), Wrong, "resourceType"),
        ("resourceType", Value::Null, Required, "resourceType"),
        ("resourceType", json!("Practitioner"), Code::NotSupported, ""),
    ];
    for (path, value, code, place) in table {
        let broken = with(observation(), path, value);
        let issues = codes(&broken, Release::R4);
        let severity = match (code, path) {
            (Extension, _) | (Structure, "glucose" | "_code") | (Wrong, "/subject/reference") => {
                Severity::Warning
            }
            _ => Severity::Error,
        };
        assert!(issues.contains(&(severity, code, place.to_owned())), "{path}: {issues:?}");
    }
}

#[test]
fn the_rules_of_types_and_kinds_hold() {
    let table = [
        (Release::R4, json!({ "resourceType": "Patient", "contact": [{ "gender": "male" }] }), "pat-1"),
        (Release::R4, json!({ "resourceType": "Patient", "telecom": [{ "value": "1" }] }), "cpt-2"),
        (Release::R4, json!({ "resourceType": "Patient", "photo": [{ "data": "YQ==" }] }), "att-1"),
        (
            Release::R4,
            json!({ "resourceType": "Group", "type": "person", "actual": false, "member": [{ "entity": { "reference": "Patient/1" } }] }),
            "grp-1",
        ),
        (
            Release::R4,
            json!({ "resourceType": "Consent", "status": "active", "scope": { "text": "x" }, "category": [{ "text": "x" }] }),
            "ppc-1",
        ),
        (
            Release::R4,
            json!({ "resourceType": "Task", "status": "draft", "intent": "order", "authoredOn": "2024-02", "lastModified": "2024-01" }),
            "inv-1",
        ),
        (
            Release::R5,
            json!({ "resourceType": "Observation", "status": "final", "code": { "text": "x" }, "bodySite": { "text": "x" }, "bodyStructure": { "display": "x" } }),
            "obs-8",
        ),
        (
            Release::R5,
            json!({ "resourceType": "Patient", "managingOrganization": { "type": "Organization" } }),
            "ref-2",
        ),
        (
            Release::R4,
            json!({ "resourceType": "Observation", "status": "final", "code": { "text": "x" }, "valueRatio": { "numerator": { "value": 1 } } }),
            "rat-1",
        ),
        (
            Release::R4,
            json!({ "resourceType": "Observation", "status": "final", "code": { "text": "x" }, "valueRange": { "low": { "value": 2 }, "high": { "value": 1 } } }),
            "rng-2",
        ),
        (
            Release::R4,
            json!({ "resourceType": "Observation", "status": "final", "code": { "text": "x" }, "referenceRange": [{ "type": { "text": "x" } }] }),
            "obs-3",
        ),
        (
            Release::R4,
            json!({ "resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": { "reference": "Patient/1" }, "occurrenceTiming": { "repeat": { "period": 1 } } }),
            "tim-2",
        ),
        (Release::R4, json!({ "resourceType": "Bundle", "type": "transaction", "total": 1 }), "bdl-1"),
        (
            Release::R4,
            json!({ "resourceType": "Bundle", "type": "batch", "entry": [{ "search": { "mode": "match" }, "request": { "method": "GET", "url": "x" } }] }),
            "bdl-2",
        ),
        (
            Release::R4,
            json!({ "resourceType": "Bundle", "type": "batch", "entry": [{ "resource": { "resourceType": "Patient" } }] }),
            "bdl-3)",
        ),
        (
            Release::R4,
            json!({ "resourceType": "Bundle", "type": "batch-response", "entry": [{ "fullUrl": "urn:x" }] }),
            "bdl-4",
        ),
        (
            Release::R4,
            json!({ "resourceType": "Bundle", "type": "batch-response", "entry": [{ "fullUrl": "urn:x" }] }),
            "bdl-5",
        ),
        (
            Release::R4,
            json!({ "resourceType": "Bundle", "type": "collection", "entry": [{ "fullUrl": "urn:x", "resource": { "resourceType": "Patient" } }, { "fullUrl": "urn:x", "resource": { "resourceType": "Patient" } }] }),
            "bdl-7",
        ),
        (
            Release::R4,
            json!({ "resourceType": "Bundle", "type": "collection", "entry": [{ "fullUrl": "http://e/Patient/1/_history/2", "resource": { "resourceType": "Patient" } }] }),
            "bdl-8",
        ),
        (
            Release::R5,
            json!({ "resourceType": "Bundle", "type": "batch", "entry": [{ "request": { "method": "POST", "url": "x" } }] }),
            "bdl-3c",
        ),
    ];
    for (release, resource, rule) in table {
        let issues = validate(&resource, release);
        let errors: Vec<_> = issues.iter().filter(|issue| issue.is_error()).collect();
        assert!(errors.iter().any(|issue| issue.diagnostics.contains(rule)), "{rule}: {issues:?}");
    }
}

#[test]
fn the_resources_of_a_bundle_are_judged_each_with_what_it_contains() {
    let entry = |resource: Value| json!({ "fullUrl": "urn:x", "resource": resource, "request": { "method": "POST", "url": "Observation" } });
    let other = json!({ "resourceType": "Practitioner", "whatever": [[]] });
    let broken = with(observation(), "/device/reference", json!("#e"));
    let mut bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [entry(observation()), entry(other), entry(broken)] });
    for (index, url) in ["urn:x", "urn:y", "urn:z"].into_iter().enumerate() {
        bundle["entry"][index]["fullUrl"] = json!(url);
    }
    let issues = codes(&bundle, Release::R4);
    let at = |place: &str| (Severity::Error, Code::Invariant, place.to_owned());
    assert_eq!(issues, [at("Bundle.entry[2].resource.device"), at("Bundle.entry[2].resource.contained[0]")]);
}

#[test]
fn issues_are_bounded_and_warnings_never_hide_an_error() {
    let mut resource = with(observation(), "status", Value::Null);
    for number in 0..MOST_ISSUES * 2 {
        resource[format!("unknown{number}")] = json!(1);
    }
    let issues = validate(&resource, Release::R4);
    assert_eq!(issues.len(), MOST_ISSUES);
    assert!(issues[0].is_error() && issues[1..].iter().all(|issue| !issue.is_error()));
    let many = with(observation(), "identifier", json!(vec![json!("x"); MOST_ISSUES * 2]));
    assert_eq!(validate(&many, Release::R4).len(), MOST_ISSUES);
}

#[test]
fn what_is_deeper_than_can_be_read_is_told_and_not_walked() {
    let mut extension = json!({ "url": "x", "valueCode": "x" });
    for _ in 0..2 * MOST_DEPTH {
        extension = json!({ "url": "x", "extension": [extension] });
    }
    let issues = validate(&with(observation(), "extension", json!([extension])), Release::R4);
    assert!(issues.iter().any(|issue| issue.code == Code::TooCostly));
}

/// Any JSON, with the names and texts of FHIR among it.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        prop_oneof![
            Just("#"),
            Just("2024-01-01"),
            Just("Patient/1"),
            Just("final"),
            Just("Observation"),
            Just("Bundle"),
            Just("é")
        ]
        .prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("resourceType"),
        Just("contained"),
        Just("entry"),
        Just("resource"),
        Just("extension"),
        Just("url"),
        Just("valueQuantity"),
        Just("valuePeriod"),
        Just("start"),
        Just("end"),
        Just("code"),
        Just("coding"),
        Just("_status"),
        Just("status"),
        Just("text"),
        Just("meta"),
        Just("reference"),
        Just("subject"),
        Just("component"),
        Just("provision"),
        Just("reason"),
        Just("content"),
        Just("context"),
        Just("network"),
        Just("outcome"),
        Just("type"),
        Just("identifier"),
        Just("attester"),
        Just("é"),
    ]
    .prop_map(str::to_owned);
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_is_judged(mut value in any_value(), kind in proptest::sample::select(&crate::Kind::ALL[..])) {
        for release in Release::ALL {
            prop_assert!(validate(&value, release).len() <= MOST_ISSUES);
        }
        if let Some(members) = value.as_object_mut() {
            members.insert("resourceType".into(), kind.name().into());
            prop_assert!(validate(&value, Release::R4).len() <= MOST_ISSUES);
        }
    }
}
