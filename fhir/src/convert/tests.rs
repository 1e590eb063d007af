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
        "date" => format!("{}-0{}", 1000 + number, choices.below(9) + 1).into(),
        "dateTime" if choices.one_in(2) => "2024-02-03".into(),
        "dateTime" | "instant" => format!("2024-01-01T0{}:00:00.10Z", choices.below(9)).into(),
        "time" => "08:00:00".into(),
        "oid" => format!("urn:oid:1.{number}").into(),
        "uuid" => "urn:uuid:c757873d-ec9a-4326-a141-556f43239520".into(),
        "base64Binary" => "YQ==".into(),
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
        let extended = choices
            .one_in(12)
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
    (!value.is_empty()).then_some(Half { value: Some(Value::Object(value)), extended: None })
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

fn other(release: Release) -> Release {
    if release == Release::R4 { Release::R5 } else { Release::R4 }
}

/// What a converted resource may be found at fault for: what the other release requires and nobody said, rules between
/// elements, and elements that stay as they are.
fn is_expected(severity: Severity, code: Code) -> bool {
    severity == Severity::Warning || matches!(code, Code::Required | Code::Invariant)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

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
            prop_assert_eq!(&convert(&there, to, from), &one, "{:?}: {}", from, there);
            for issue in validate(&there, to) {
                prop_assert!(is_expected(issue.severity, issue.code), "{issue:?}: {there}");
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
