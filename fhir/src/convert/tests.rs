//! Resources made up from the tables of elements go to the other release and come back the same; the rules one by one.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::{
    Code, Kind, Severity,
    validate::{tests::any_value, validate},
};

/// A stream of choices from a seed (xorshift), so that a resource is the same every time.
struct Choices(u64);

impl Choices {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

/// Addresses that the rules know.
const KNOWN: [&str; 6] = [
    "http://terminology.hl7.org/CodeSystem/audit-event-outcome",
    "http://hl7.org/fhir/issue-severity",
    "http://hl7.org/fhir/document-relationship-type",
    "http://hl7.org/fhir/composition-attestation-mode",
    "http://hl7.org/fhir/resource-types",
    "http://hl7.org/fhir/uv/cgm/StructureDefinition/cgm-summary",
];

/// A value of a primitive type.
fn primitive(kind: &str, codes: &[&str], choices: &mut Choices) -> Value {
    if !codes.is_empty() && kind == "code" {
        return codes[choices.below(codes.len())].into();
    }
    let number = choices.below(9000) + 1;
    match kind {
        "boolean" => Value::from(choices.one_in(2)),
        "integer" | "positiveInt" | "unsignedInt" => number.into(),
        "integer64" if choices.one_in(3) => (i64::MAX - 7).to_string().into(),
        "integer64" => number.to_string().into(),
        "decimal" => serde_json::from_str(&format!("{number}.50")).unwrap(),
        "date" => format!("{}-0{}", 999 + number, choices.below(9) + 1).into(),
        "dateTime" if choices.one_in(2) => "2024-02-03".into(),
        "dateTime" | "instant" => format!("2024-01-01T0{}:00:00.10Z", choices.below(9)).into(),
        "time" => "08:00:00".into(),
        "oid" => format!("urn:oid:1.{number}").into(),
        "uuid" => "urn:uuid:c757873d-ec9a-4326-a141-556f43239520".into(),
        "base64Binary" => "YQ==".into(),
        "uri" | "canonical" if choices.one_in(3) => KNOWN[choices.below(KNOWN.len())].into(),
        "uri" | "url" | "canonical" => format!("http://e/{number}").into(),
        "xhtml" => "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>".into(),
        // Units and systems that the rules know come up too.
        "code" => ["a", "ms", "min", "replaces", "official", "0", "success"][choices.below(7)].into(),
        _ => format!("t{number}").into(),
    }
}

fn element(
    table: &Elements,
    element: &Element,
    kind: &Type,
    depth: usize,
    choices: &mut Choices,
) -> Option<Half> {
    if kind.is_primitive() {
        let extended = (element.name != "id" && choices.one_in(12))
            .then(|| json!({ "extension": [{ "url": "http://e/half", "valueCode": "x" }] }));
        let value =
            (extended.is_none() || choices.one_in(2)).then(|| primitive(&kind.name, &element.codes, choices));
        return Some(Half { value, extended });
    }
    if kind.name == "Resource" {
        let kind = Kind::ALL[choices.below(Kind::ALL.len())];
        let resource = (depth < 3).then(|| resource(table, kind.name(), depth + 1, choices))?;
        return Some(Half { value: Some(resource), extended: None });
    }
    let value = object(table, table.group(&kind.name)?, depth + 1, choices);
    // An object of nothing but its id breaks ele-1.
    value
        .keys()
        .any(|name| name != "id")
        .then_some(Half { value: Some(Value::Object(value)), extended: None })
}

/// An object of a group: what is required, and of the rest more at the top than below.
fn object(table: &Elements, group: &Group, depth: usize, choices: &mut Choices) -> Members {
    let mut members = Map::new();
    if group.name == "Extension" {
        return Map::from_iter([
            ("url".to_owned(), format!("http://e/{}", choices.below(9)).into()),
            ("valueQuantity".to_owned(), json!({ "value": 1, "comparator": "<" })),
        ]);
    }
    for it in &group.elements {
        let wanted = it.required || choices.one_in(2 + depth * depth);
        if !wanted
            || depth > 7
            || (depth > 1 && ["extension", "modifierExtension"].contains(&it.name) && !choices.one_in(4))
        {
            continue;
        }
        let kind = &it.types[choices.below(it.types.len())];
        let count = if it.many { 1 + choices.below(3) } else { 1 };
        let items: Vec<Half> = (0..count).filter_map(|_| element(table, it, kind, depth, choices)).collect();
        if !items.is_empty() {
            write(&mut members, &it.member(kind), it.many, items);
        }
    }
    members
}

fn resource(table: &Elements, kind: &str, depth: usize, choices: &mut Choices) -> Value {
    let mut members = object(table, table.resource(kind).unwrap(), depth, choices);
    members.insert("resourceType".to_owned(), kind.into());
    Value::Object(members)
}

/// Where two values differ first.
fn difference(one: &Value, other: &Value, path: &str) -> Option<String> {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => one.keys().chain(other.keys()).find_map(|name| {
            let null = Value::Null;
            let (one, other) = (one.get(name).unwrap_or(&null), other.get(name).unwrap_or(&null));
            difference(one, other, &format!("{path}.{name}"))
        }),
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => one
            .iter()
            .zip(other)
            .enumerate()
            .find_map(|(at, (one, other))| difference(one, other, &format!("{path}[{at}]"))),
        _ => (one != other).then(|| format!("{path}: {one} became {other}")),
    }
}

fn other(release: Release) -> Release {
    if release == Release::R4 { Release::R5 } else { Release::R4 }
}

/// What a converted resource may be found at fault for: what the other release requires and nobody said, rules between
/// elements, and elements that stay as they are.
fn is_expected(severity: Severity, code: Code) -> bool {
    severity == Severity::Warning || matches!(code, Code::Required | Code::Invariant)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_to_the_other_release_comes_back_the_same(
        seed in 1u64..,
        kind in proptest::sample::select(&["Bundle", "Parameters", "Patient", "Device", "Observation", "DiagnosticReport", "Provenance",
            "Consent", "ServiceRequest", "DocumentReference", "Task", "AuditEvent", "Group", "OperationOutcome"][..]),
    ) {
        for from in Release::ALL {
            let to = other(from);
            let one = resource(elements(from), kind, 0, &mut Choices(seed));
            let there = convert(&one, from, to);
            let back = convert(&there, to, from);
            prop_assert_eq!(difference(&one, &back, kind), None, "{:?}", from);
            for issue in validate(&there, to) {
                // A Bundle has no room for an extension, so its code stays as it is.
                let is_type = issue.expression.ends_with("Bundle.type");
                prop_assert!(is_type || is_expected(issue.severity, issue.code), "{from:?}: {issue:?}");
            }
        }
    }

    #[test]
    fn any_value_is_converted(mut value in any_value(), kind in proptest::sample::select(&Kind::ALL[..])) {
        if let Some(members) = value.as_object_mut() {
            members.insert("resourceType".into(), kind.name().into());
        }
        for from in Release::ALL {
            let _either = convert(&value, from, other(from));
        }
    }
}

/// Rule by rule: R4, and R5 of it. Both ways are exact.
#[test]
fn what_both_releases_can_say_is_said_in_the_words_of_each() {
    let table = [
        (
            json!({ "resourceType": "Provenance", "reason": [{ "text": "x" }], "recorded": "2024-01-01T00:00:00Z" }),
            json!({ "resourceType": "Provenance", "authorization": [{ "concept": { "text": "x" } }], "recorded": "2024-01-01T00:00:00Z" }),
        ),
        (
            json!({ "resourceType": "DiagnosticReport", "imagingStudy": [{ "display": "s" }], "presentedForm": [{ "size": 7 }] }),
            json!({ "resourceType": "DiagnosticReport", "study": [{ "display": "s" }], "presentedForm": [{ "size": "7" }] }),
        ),
        (
            json!({ "resourceType": "Device", "deviceName": [{ "name": "n", "type": "user-friendly-name" }], "type": { "text": "t" } }),
            json!({ "resourceType": "Device", "name": [{ "value": "n", "type": "user-friendly-name" }], "type": [{ "text": "t" }] }),
        ),
        (
            json!({ "resourceType": "Consent", "patient": { "display": "p" }, "dateTime": "2024-01-01", "policy": [{ "uri": "http://e/p" }],
                "provision": { "type": "deny", "provision": [{ "type": "permit", "purpose": [{ "code": "TREAT" }] }] } }),
            json!({ "resourceType": "Consent", "subject": { "display": "p" }, "date": "2024-01-01", "policyBasis": { "url": "http://e/p" },
                "decision": "deny", "provision": [{ "purpose": [{ "code": "TREAT" }] }] }),
        ),
        (
            json!({ "resourceType": "ServiceRequest", "code": { "text": "c" }, "reasonCode": [{ "text": "a" }], "reasonReference": [{ "display": "b" }],
                "patientInstruction": "i" }),
            json!({ "resourceType": "ServiceRequest", "code": { "concept": { "text": "c" } },
                "reason": [{ "concept": { "text": "a" } }, { "reference": { "display": "b" } }],
                "patientInstruction": [{ "instructionMarkdown": "i" }] }),
        ),
        (
            json!({ "resourceType": "DocumentReference", "authenticator": { "display": "a" }, "relatesTo": [{ "code": "replaces" }],
                "content": [{ "format": { "code": "f" } }], "context": { "encounter": [{ "display": "e" }], "event": [{ "text": "x" }] } }),
            json!({ "resourceType": "DocumentReference",
                "attester": [{ "mode": { "coding": [{ "system": "http://hl7.org/fhir/composition-attestation-mode", "code": "official" }] }, "party": { "display": "a" } }],
                "relatesTo": [{ "code": { "coding": [{ "system": "http://hl7.org/fhir/document-relationship-type", "code": "replaces" }] } }],
                "content": [{ "profile": [{ "valueCoding": { "code": "f" } }] }], "context": [{ "display": "e" }], "event": [{ "concept": { "text": "x" } }] }),
        ),
        (
            json!({ "resourceType": "Task", "reasonCode": { "text": "a" }, "performerType": [{ "text": "p" }], "statusReason": { "text": "s" } }),
            json!({ "resourceType": "Task", "reason": [{ "concept": { "text": "a" } }], "requestedPerformer": [{ "concept": { "text": "p" } }],
                "statusReason": { "concept": { "text": "s" } } }),
        ),
        (
            json!({ "resourceType": "AuditEvent", "type": { "code": "rest" }, "subtype": [{ "code": "read" }], "outcome": "8", "outcomeDesc": "d",
                "agent": [{ "network": { "address": "http://e", "type": "5" } }], "source": { "site": "s" }, "entity": [{ "role": { "code": "1" } }] }),
            json!({ "resourceType": "AuditEvent", "category": [{ "coding": [{ "code": "rest" }] }], "code": { "coding": [{ "code": "read" }] },
                "outcome": { "code": { "system": "http://terminology.hl7.org/CodeSystem/audit-event-outcome", "code": "8" }, "detail": [{ "text": "d" }] },
                "agent": [{ "networkUri": "http://e" }], "source": { "site": { "display": "s" } }, "entity": [{ "role": { "coding": [{ "code": "1" }] } }] }),
        ),
        (
            json!({ "resourceType": "Group", "actual": true, "type": "person" }),
            json!({ "resourceType": "Group", "membership": "enumerated", "type": "person" }),
        ),
        (
            json!({ "resourceType": "Observation", "valueSampledData": { "period": 300000, "data": "5.0" } }),
            json!({ "resourceType": "Observation", "valueSampledData": { "interval": 300000, "intervalUnit": "ms", "data": "5.0" } }),
        ),
    ];
    for (r4, r5) in table {
        assert_eq!(convert(&r4, Release::R4, Release::R5), r5);
        assert_eq!(convert(&r5, Release::R5, Release::R4), r4);
    }
}

/// What R4 has no words for is beside what it can say, under the standard's names.
#[test]
fn what_the_other_release_cannot_say_is_an_extension_of_the_standard() {
    let url = |path: &str| format!("http://hl7.org/fhir/5.0/StructureDefinition/extension-{path}");
    let r5 = json!({
        "resourceType": "Observation",
        "status": "final",
        "triggeredBy": [{ "observation": { "display": "o" }, "type": "reflex" }],
        "component": [{ "valueAttachment": { "contentType": "text/plain", "pages": 2 } }],
        "valueSampledData": { "interval": 5, "intervalUnit": "min" }
    });
    let r4 = json!({
        "resourceType": "Observation",
        "status": "final",
        "extension": [{ "url": url("Observation.triggeredBy"), "extension": [
            { "url": "observation", "valueReference": { "display": "o" } }, { "url": "type", "valueCode": "reflex" }] }],
        "component": [{ "extension": [{ "url": url("Observation.component.value"),
            "valueAttachment": { "contentType": "text/plain", "extension": [{ "url": url("Attachment.pages"), "valuePositiveInt": 2 }] } }] }],
        "valueSampledData": { "period": 300000, "extension": [
            { "url": url("SampledData.interval"), "valueDecimal": 5 }, { "url": url("SampledData.intervalUnit"), "valueCode": "min" }] }
    });
    assert_eq!(convert(&r5, Release::R5, Release::R4), r4);
    assert_eq!(convert(&r4, Release::R4, Release::R5), r5);
}

/// Rules that cannot be said exactly are not said at all, and nobody may act on the consent without them.
#[test]
fn a_consent_never_says_more_in_the_other_release() {
    let rules = json!({ "type": "permit", "period": { "start": "2024" } });
    let r4 = json!({ "resourceType": "Consent", "status": "proposed", "scope": { "text": "x" }, "provision": rules });
    let r5 = convert(&r4, Release::R4, Release::R5);
    assert_eq!((&r5["status"], r5.get("decision"), r5.get("provision")), (&json!("draft"), None, None));
    assert_eq!(r5["modifierExtension"].as_array().map(Vec::len), Some(2), "scope and provision");
    let loose = json!({ "resourceType": "Consent", "status": "active", "provision": [{ "period": { "start": "2024" } }] });
    let r4 = convert(&loose, Release::R5, Release::R4);
    assert!(r4.get("provision").is_none() && r4["modifierExtension"].is_array());
}
