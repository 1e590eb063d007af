//! The heart: what a search matches, its plan finds; and where the plan says that it is exact, what it finds matches.
//!
//! Resources and searches of every kind are made from the table of parameters and a small vocabulary, so that they meet.

use std::cell::Cell;

use proptest::{
    collection::vec,
    prelude::any,
    prop_assert,
    test_runner::{Config, TestRunner},
};
use serde_json::{Map, Value, json};

use super::{context, parameters};
use crate::{
    Kind,
    search::{Handling, Interval, Parameter, Plan, Query, Type, search_parameters, terms},
};

/// Choices, one byte each; 0 when they are used up.
struct Dice<'a>(&'a [u8]);

impl Dice<'_> {
    fn roll(&mut self, sides: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first) % sides
    }

    fn of<'b, T: ?Sized>(&mut self, choices: &[&'b T]) -> &'b T {
        choices[self.roll(choices.len())]
    }
}

const CODES: &[&str] = &["a", "b", "final", "x|y", "true"];
const REFERENCES: &[&str] = &[
    "Patient/1",
    "Patient/2",
    "Group/1",
    "Device/1",
    "Observation/1",
    "https://box/fhir/Patient/1",
    "https://elsewhere/Patient/1",
    "https://box/fhir/r5/Observation/1",
    "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7",
];
const TIMES: &[&str] = &[
    "2020",
    "2020-01",
    "2020-01-15",
    "2020-01-16",
    "2020-01-15T10:00:00Z",
    "2020-01-15T23:30:00.500-05:00",
    "2020-01-16T00:00:00.001Z",
    "2020-01-15T10:00",
];
const TEXTS: &[&str] = &["Müller", "MULLER", "mu", "Ana", "mullerin"];
const NUMBERS: &[&str] = &["5.4", "5", "100", "99.6", "-1"];

fn system(dice: &mut Dice<'_>, parameter: &Parameter) -> Option<&'static str> {
    [None, Some("urn:s"), parameter.system][dice.roll(3)]
}

fn element(dice: &mut Dice<'_>, parameter: &Parameter) -> Value {
    match parameter.kind_of {
        Type::Token => {
            let code = dice.of(CODES);
            let coding =
                json!({ "system": system(dice, parameter), "code": code, "display": dice.of(TEXTS) });
            match dice.roll(6) {
                0 => json!(code),
                1 => coding,
                2 => json!({ "coding": [coding], "text": "Mull" }),
                3 => json!([{ "coding": [coding, { "code": dice.of(CODES) }] }]),
                4 => json!([{ "system": system(dice, parameter), "value": code }]),
                _ => json!({ "concept": { "coding": [coding] } }),
            }
        }
        Type::Reference => {
            let reference = json!({ "reference": dice.of(REFERENCES) });
            match dice.roll(8) {
                0 => json!([reference, { "reference": dice.of(REFERENCES) }]),
                1 => json!({ "identifier": { "system": system(dice, parameter), "value": dice.of(CODES) } }),
                2 => json!({ "reference": "Patient/1/_history/4" }),
                3 => json!({ "reference": "#within" }),
                4 => {
                    let many = (0..dice.roll(256))
                        .map(|number| json!({ "reference": format!("Observation/{number}") }));
                    many.chain([reference]).collect()
                }
                _ => reference,
            }
        }
        Type::Date => match dice.roll(6) {
            0 => json!({ "start": dice.of(TIMES), "end": dice.of(TIMES) }),
            1 => json!({ "start": dice.of(TIMES) }),
            2 => json!({ "end": dice.of(TIMES) }),
            3 => json!({ "event": [dice.of(TIMES), dice.of(TIMES)] }),
            _ => json!(dice.of(TIMES)),
        },
        Type::String => json!(dice.of(TEXTS)),
        Type::Quantity => {
            let number: Value = serde_json::from_str(dice.of(NUMBERS)).unwrap();
            match dice.roll(3) {
                0 => json!({ "value": number, "comparator": dice.of(&["<", "<=", ">", ">="]) }),
                _ => json!({ "value": number, "unit": "u" }),
            }
        }
        Type::Uri => json!([dice.of(CODES)]),
    }
}

fn put(into: &mut Value, path: &str, element: Value) {
    match path.split_once('.') {
        None => into[path] = element,
        Some((first, rest)) => {
            if !into[first].is_object() {
                into[first] = Value::Object(Map::new());
            }
            put(&mut into[first], rest, element);
        }
    }
}

fn resource(dice: &mut Dice<'_>, kind: Kind) -> Value {
    let mut resource = json!({});
    for parameter in search_parameters(kind) {
        for path in parameter.paths {
            if dice.roll(4) != 0 {
                let element = element(dice, parameter);
                put(&mut resource, path, element);
            }
        }
    }
    resource["resourceType"] = json!(kind.name());
    resource["id"] = json!(dice.of(CODES));
    resource["meta"]["lastUpdated"] =
        json!(dice.of(&["2020-01-15T10:00:00.000Z", "2020-01-16T00:00:00.001Z", "2021-06-01T00:00:00.000Z"]));
    resource
}

fn asked(dice: &mut Dice<'_>, parameter: &Parameter) -> (String, String) {
    let mut modifiers = vec![""; 8];
    modifiers.extend(parameter.modifiers());
    modifiers.extend(parameter.targets().first());
    let modifier = dice.of(&modifiers);
    if modifier == "missing" {
        return (format!("{}:missing", parameter.name), dice.of(&["true", "false"]).to_owned());
    }
    let by_identifier = modifier == "identifier";
    let one = |dice: &mut Dice<'_>| match parameter.kind_of {
        _ if modifier == "text" => dice.of(TEXTS).to_owned(),
        Type::Reference if !by_identifier => dice.of(&[REFERENCES, &["1", "2"]].concat()).to_owned(),
        Type::Token | Type::Reference => {
            let code = dice.of(CODES).replace('|', "\\|");
            let system = system(dice, parameter).unwrap_or_default();
            match dice.roll(4) {
                0 => format!("{system}|{code}"),
                1 if !system.is_empty() => format!("{system}|"),
                _ => code,
            }
        }
        Type::Date => {
            let prefix = dice.of(&["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]);
            format!("{prefix}{}", dice.of(TIMES))
        }
        Type::String => dice.of(TEXTS).to_owned(),
        Type::Quantity => format!("{}{}", dice.of(&["", "ne", "gt", "le", "ap"]), dice.of(NUMBERS)),
        Type::Uri => dice.of(CODES).replace('|', "\\|"),
    };
    let mut value = one(dice);
    for _ in 0..dice.roll(4).saturating_sub(1) {
        value = format!("{value},{}", one(dice));
    }
    let colon = if modifier.is_empty() { "" } else { ":" };
    (format!("{}{colon}{modifier}", parameter.name), value)
}

fn search(dice: &mut Dice<'_>, kind: Kind) -> Query {
    let all: Vec<&Parameter> = search_parameters(kind).collect();
    let mut given = Vec::new();
    for _ in 0..=dice.roll(3) {
        let parameter = all[dice.roll(all.len())];
        let one = asked(dice, parameter);
        // A patient is not asked for by a Group; what is refused is not searched.
        if Query::parse(kind, std::slice::from_ref(&one), Handling::Strict, &context()).is_ok() {
            given.push(one);
        }
    }
    Query::parse(kind, &given, Handling::Strict, &context()).unwrap().query
}

/// What a store does with a plan.
fn found(plan: &Plan, kind: Kind, resource: &Value) -> (bool, bool) {
    let terms = terms(kind, resource);
    assert!(terms.complete);
    let has = |term: &String| terms.terms.contains(term);
    let updated = Interval::of_text(resource["meta"]["lastUpdated"].as_str().unwrap()).unwrap().from_ms;
    let id = resource["id"].as_str().unwrap();
    let within = plan.all_of.iter().all(|any_of| any_of.iter().any(has))
        && plan.starts.contains(terms.from_ms)
        && plan.ends.contains(terms.until_ms)
        && plan.updated.contains(updated)
        && plan.ids.as_ref().is_none_or(|ids| ids.iter().any(|known| known == id));
    let admitted = within && plan.admits(terms.from_ms, terms.until_ms, updated);
    assert!(within || !admitted);
    let exact = plan.exact && !plan.unless.iter().any(has);
    (admitted, exact)
}

#[test]
fn what_matches_is_found_by_the_plan_and_an_exact_plan_finds_nothing_else() {
    let (matched, exact_hits, exact_misses) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let mut runner =
        TestRunner::new(Config { cases: 20_000, failure_persistence: None, ..Config::default() });
    let ran = runner.run(
        &(0..Kind::ALL.len(), vec(any::<u8>(), 160), vec(any::<u8>(), 24)),
        |(kind, one, other)| {
            let kind = Kind::ALL[kind];
            let resource = resource(&mut Dice(&one), kind);
            let query = search(&mut Dice(&other), kind);
            let matches = query.matches(&resource);
            let (found, exact) = found(&query.plan(), kind, &resource);
            prop_assert!(!matches || found, "lost: {:?} {resource}", query.applied());
            prop_assert!(!exact || matches == found, "not exact: {:?} {resource}", query.applied());
            let count = |cell: &Cell<u32>, holds: bool| cell.set(cell.get() + u32::from(holds));
            count(&matched, matches && query.is_narrow());
            count(&exact_hits, exact && found && query.is_narrow());
            count(&exact_misses, exact && !found);
            Ok(())
        },
    );
    ran.unwrap();
    let counted = (matched.get(), exact_hits.get(), exact_misses.get());
    assert!(counted.0 > 1_000 && counted.1 > 300 && counted.2 > 300, "the vocabulary meets: {counted:?}");
}

#[test]
fn a_search_for_readings_of_a_patient_meets_them() {
    let given = parameters(&[("patient", "1"), ("code", "a"), ("date", "ge2020-01-15")]);
    let query = Query::parse(Kind::Observation, &given, Handling::Strict, &context()).unwrap().query;
    let reading = json!({ "resourceType": "Observation", "id": "a", "meta": { "lastUpdated": "2020-01-16T00:00:00.001Z" },
        "subject": { "reference": "https://box/fhir/Patient/1" }, "code": { "coding": [{ "code": "a" }] },
        "effectivePeriod": { "start": "2020-01-15" } });
    assert!(query.matches(&reading));
    assert_eq!(found(&query.plan(), Kind::Observation, &reading), (true, false), "a URL is a doubt");
}
