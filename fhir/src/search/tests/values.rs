//! Tokens, references, texts and quantities against resources of both releases.

use serde_json::{Value, json};

use super::finds;
use crate::Kind;

fn observation() -> Value {
    json!({
        "resourceType": "Observation",
        "id": "o-1",
        "meta": { "lastUpdated": "2013-01-14T10:00:00.123Z" },
        "identifier": [{ "system": "urn:lab", "value": "A,1|2" }, { "value": "bare" }],
        "status": "final",
        "category": [{ "coding": [{ "system": "http://cat", "code": "laboratory", "display": "Laboratory" }] }],
        "code": { "coding": [{ "system": "http://loinc.org", "code": "15074-8", "display": "Glucose in blood" },
                             { "code": "GLU" }], "text": "Glukose" },
        "subject": { "reference": "Patient/p1" },
        "device": { "reference": "https://box/fhir/Device/d1" },
        "basedOn": [{ "reference": "https://elsewhere/r4/ServiceRequest/7" }],
        "hasMember": [{ "reference": "Observation/m1/_history/3" }, { "reference": "#within" }],
        "encounter": { "identifier": { "system": "urn:visits", "value": "v-9" } },
        "valueQuantity": { "value": 5.4, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L" },
    })
}

fn check(kind: Kind, resource: &Value, table: &[(&str, &str, bool)]) {
    for (name, value, truth) in table {
        assert_eq!(finds(kind, name, value, resource), *truth, "{name}={value}");
    }
}

#[test]
fn tokens_go_by_code_and_system_to_the_letter() {
    check(
        Kind::Observation,
        &observation(),
        &[
            ("_id", "o-1", true),
            ("_id", "o-2,o-1", true),
            ("_id", "o", false),
            ("code", "15074-8", true),
            ("code", "15074-9", false),
            ("code", "http://loinc.org|15074-8", true),
            ("code", "http://other|15074-8", false),
            ("code", "http://loinc.org|", true),
            ("code", "http://other|", false),
            ("code", "|GLU", true),
            ("code", "|15074-8", false),
            ("code", "http://loinc.org|GLU", false),
            ("code", "x,GLU", true),
            ("code", "glu", false),
            ("status", "final", true),
            ("status", "http://hl7.org/fhir/observation-status|final", true),
            ("status", "http://other|final", false),
            ("status", "preliminary,amended", false),
            ("identifier", "urn:lab|A\\,1\\|2", true),
            ("identifier", "A\\,1\\|2", true),
            ("identifier", "A,bare", true),
            ("identifier", "|bare", true),
            ("category:not", "vital-signs", true),
            ("category:not", "vital-signs,laboratory", false),
            ("code:text", "gluk", true),
            ("code:text", "Glucose in", true),
            ("code:text", "blood", false),
            ("code:missing", "false", true),
            ("code:missing", "true", false),
            ("date:missing", "true", true),
            ("_lastUpdated", "gt2013-01-14T10:00:00.122Z", true),
            ("_lastUpdated", "gt2013-01-14T10:00:00.123Z", false),
        ],
    );
}

#[test]
fn what_is_not_there_is_not_the_code_either() {
    let nothing = json!({ "resourceType": "Observation" });
    check(
        Kind::Observation,
        &nothing,
        &[
            ("category:not", "laboratory", true),
            ("category", "laboratory", false),
            ("category:missing", "true", true),
            ("subject:missing", "true", true),
            ("value-quantity", "ne5", false),
        ],
    );
}

#[test]
fn references_go_by_kind_and_id_wherever_our_own_base_stands() {
    check(
        Kind::Observation,
        &observation(),
        &[
            ("patient", "Patient/p1", true),
            ("patient", "p1", true),
            ("subject", "p1", true),
            ("subject:Patient", "p1", true),
            ("subject:Group", "p1", false),
            ("patient", "https://box/fhir/Patient/p1", true),
            ("patient", "https://box/fhir/r5/Patient/p1", true),
            ("patient", "https://elsewhere/r4/Patient/p1", false),
            ("patient", "p2,p1", true),
            ("device", "Device/d1", true),
            ("device", "d1", true),
            ("based-on", "https://elsewhere/r4/ServiceRequest/7", true),
            ("based-on", "ServiceRequest/7", false),
            ("has-member", "Observation/m1", true),
            ("has-member", "within", false),
            ("encounter:identifier", "urn:visits|v-9", true),
            ("encounter:identifier", "v-9", true),
            ("encounter:identifier", "urn:other|v-9", false),
            ("encounter:missing", "false", true),
            ("derived-from:missing", "true", true),
        ],
    );
    let of_group = json!({ "resourceType": "Observation", "subject": { "reference": "Group/p1" } });
    check(
        Kind::Observation,
        &of_group,
        &[
            ("patient", "p1", false),
            ("patient:missing", "true", true),
            ("subject:missing", "false", true),
            ("subject", "Group/p1", true),
        ],
    );
}

#[test]
fn a_quantity_goes_by_the_digits_that_are_written() {
    check(
        Kind::Observation,
        &observation(),
        &[
            ("value-quantity", "5.4", true),
            ("value-quantity", "5.40", true),
            ("value-quantity", "5", true),
            ("value-quantity", "5.45", false),
            ("value-quantity", "6", false),
            ("value-quantity", "0.54e1", true),
            ("value-quantity", "ne5.4", false),
            ("value-quantity", "gt5.4", false),
            ("value-quantity", "ge5.4", true),
            ("value-quantity", "gt5.39", true),
            ("value-quantity", "lt5.41", true),
            ("value-quantity", "le5.4", true),
            ("value-quantity", "sa5.3", true),
            ("value-quantity", "eb5.4", false),
            ("value-quantity", "ap5.9", true),
            ("value-quantity", "ap6.1", false),
            ("value-quantity", "gt-1", true),
            ("value-quantity", "5.4|http://unitsofmeasure.org|mmol/L", true),
            ("value-quantity", "5.4|http://unitsofmeasure.org|mg/dL", false),
            ("value-quantity", "5.4||mmol/L", true),
            ("value-quantity", "5.4||mg/dL", false),
        ],
    );
    // The standard's own example: 100 is 99.5 to below 100.5, and 5.40 is 5.395 to below 5.405.
    let of = |number: &str| -> Value {
        serde_json::from_str(&format!(
            r#"{{"resourceType":"Observation","valueQuantity":{{"value":{number}}}}}"#
        ))
        .unwrap()
    };
    for (value, number, truth) in [
        ("100", "99.5", true),
        ("100", "99.49", false),
        ("100", "100.5", false),
        ("100", "100.49999", true),
        ("5.40", "5.395", true),
        ("5.40", "5.405", false),
        ("1e2", "149", true),
        ("1e2", "150", false),
    ] {
        assert_eq!(finds(Kind::Observation, "value-quantity", value, &of(number)), truth, "{value} {number}");
    }
}

#[test]
fn a_reading_below_what_can_be_measured_is_all_that_lies_there() {
    let low = json!({ "resourceType": "Observation", "valueQuantity": { "value": 40, "comparator": "<" } });
    check(
        Kind::Observation,
        &low,
        &[
            ("value-quantity", "lt54", true),
            ("value-quantity", "lt30", true),
            ("value-quantity", "gt30", true),
            ("value-quantity", "ge40", false),
            ("value-quantity", "eb40", true),
            ("value-quantity", "40", false),
            ("value-quantity", "sa10", false),
        ],
    );
    let high = json!({ "resourceType": "Observation", "valueQuantity": { "value": 400, "comparator": ">" } });
    check(
        Kind::Observation,
        &high,
        &[
            ("value-quantity", "gt250", true),
            ("value-quantity", "le400", false),
            ("value-quantity", "lt500", true),
            ("value-quantity", "sa400", true),
            ("value-quantity", "eb500", false),
        ],
    );
}

#[test]
fn names_are_found_without_case_and_accents() {
    let patient = json!({
        "resourceType": "Patient",
        "name": [{ "family": "Müller-Straße", "given": ["Zoë", "Anna Maria"] }, { "text": "Łukasz ĆWIK" }],
        "gender": "female",
        "active": true,
        "birthDate": "1980-03",
        "link": [{ "other": { "reference": "Patient/old" }, "type": "seealso" }],
    });
    check(
        Kind::Patient,
        &patient,
        &[
            ("name", "mul", true),
            ("name", "MÜLLER", true),
            ("family", "muller-strasse", true),
            ("family", "Mu\u{308}ller", true),
            ("family", "strasse", false),
            ("family:contains", "STRASSE", true),
            ("family:exact", "Müller-Straße", true),
            ("family:exact", "Muller-Strasse", false),
            ("family:exact", "Müller", false),
            ("given", "zoe", true),
            ("given", "maria", false),
            ("given", "anna m", true),
            ("family", "zoe", false),
            ("name", "lukasz cw", true),
            ("name", "ya,zo", true),
            ("gender", "female", true),
            ("gender", "http://hl7.org/fhir/administrative-gender|female", true),
            ("active", "true", true),
            ("active", "false", false),
            ("birthdate", "1980", true),
            ("birthdate", "1980-03-01", false),
            ("birthdate", "lt1980-03-10", true),
            ("link", "Patient/old", true),
        ],
    );
}

#[test]
fn both_releases_are_found_by_the_names_of_both() {
    let group = |name: &str, value: Value| json!({ "resourceType": "Group", name: value });
    check(
        Kind::Group,
        &group("actual", json!(true)),
        &[
            ("actual", "true", true),
            ("membership", "enumerated", true),
            ("membership", "definitional", false),
        ],
    );
    check(
        Kind::Group,
        &group("membership", json!("definitional")),
        &[("actual", "false", true), ("membership", "definitional", true)],
    );
    for consent in [
        json!({ "resourceType": "Consent", "patient": { "reference": "Patient/1" }, "dateTime": "2013-01-14T10:00:00Z" }),
        json!({ "resourceType": "Consent", "subject": { "reference": "Patient/1" }, "date": "2013-01-14" }),
    ] {
        check(
            Kind::Consent,
            &consent,
            &[("patient", "1", true), ("subject", "Patient/1", true), ("date", "2013-01-14", true)],
        );
    }
    let coding = json!({ "coding": [{ "system": "http://loinc.org", "code": "c" }] });
    for order in [
        json!({ "resourceType": "ServiceRequest", "code": coding, "authoredOn": "2013-01-14" }),
        json!({ "resourceType": "ServiceRequest", "code": { "concept": coding }, "authoredOn": "2013-01-14" }),
    ] {
        check(
            Kind::ServiceRequest,
            &order,
            &[("code", "http://loinc.org|c", true), ("authored", "2013-01", true)],
        );
    }
    for device in [
        json!({ "resourceType": "Device", "deviceName": [{ "name": "Sensor One", "type": "user-friendly-name" }] }),
        json!({ "resourceType": "Device", "name": [{ "value": "Sensor One", "type": "user-friendly-name" }] }),
    ] {
        check(Kind::Device, &device, &[("device-name", "sensor", true), ("device-name", "one", false)]);
    }
    for event in [
        json!({ "resourceType": "AuditEvent", "type": { "code": "rest" }, "outcome": "0", "recorded": "2013-01-14T10:00:00Z",
                "agent": [{ "who": { "reference": "Device/1" } }], "entity": [{ "what": { "reference": "Patient/1" } }] }),
        json!({ "resourceType": "AuditEvent", "category": [{ "coding": [{ "code": "rest" }] }],
                "outcome": { "code": { "code": "0" } }, "recorded": "2013-01-14T10:00:00Z",
                "agent": [{ "who": { "reference": "Device/1" } }], "patient": { "reference": "Patient/1" } }),
    ] {
        check(
            Kind::AuditEvent,
            &event,
            &[
                ("type", "rest", true),
                ("outcome", "0", true),
                ("patient", "1", true),
                ("agent", "Device/1", true),
                ("date", "ge2013", true),
            ],
        );
    }
    let task = json!({ "resourceType": "Task", "for": { "reference": "Patient/1" }, "focus": { "reference": "Observation/9" } });
    check(Kind::Task, &task, &[("patient", "1", true), ("subject", "1", true), ("focus", "9", true)]);
}

#[test]
fn a_resource_of_another_kind_is_never_found() {
    let patient = json!({ "resourceType": "Patient", "id": "o-1" });
    assert!(!finds(Kind::Observation, "_id", "o-1", &patient));
}
