//! What is refused, what is left out and told, and what an answer is to look like.

use proptest::prelude::*;

use super::{Handling, Query, context, parameters, query, strict};
use crate::{
    Code, Issue, Kind, Severity,
    search::{
        MOST_COUNT, MOST_PARAMETERS, MOST_VALUE_BYTES, MOST_VALUES, MOST_VALUES_IN_ALL, Summary, Total,
        USUAL_COUNT, search_parameters,
    },
};

fn lenient(kind: Kind, given: &[(&str, &str)]) -> Result<super::Parsed, Vec<Issue>> {
    Query::parse(kind, &parameters(given), Handling::Lenient, &context())
}

fn refused(kind: Kind, given: &[(&str, &str)]) -> Vec<(Code, String)> {
    let issues = strict(kind, given).err().unwrap_or_else(|| panic!("{given:?} is taken"));
    issues.into_iter().map(|issue| (issue.code, issue.expression)).collect()
}

#[test]
fn what_is_not_known_is_refused_or_left_out_and_told() {
    for name in ["colour", "_has:Observation:patient:code", "patient.name", "_list", "_filter", "Patient"] {
        let expression = format!("http.{name}");
        assert_eq!(
            refused(Kind::Observation, &[("code", "c"), (name, "secret")]),
            [(Code::NotSupported, expression.clone())]
        );
        let parsed = lenient(Kind::Observation, &[("code", "c"), (name, "secret")]).unwrap();
        let [issue] = &parsed.issues[..] else { panic!("{name}: {:?}", parsed.issues) };
        assert_eq!((issue.severity, issue.code), (Severity::Warning, Code::NotSupported));
        assert_eq!(issue.expression, expression);
        assert!(!issue.diagnostics.contains("secret"), "a value is told");
        assert_eq!(parsed.query.applied(), parameters(&[("code", "c")]));
    }
}

#[test]
fn a_value_or_a_modifier_that_is_not_understood_is_refused_in_either_handling() {
    let table = [
        ("patient", "", Code::Value),
        ("patient", "1,", Code::Value),
        ("patient", "Group/1", Code::Value),
        ("subject:Group", "Patient/1", Code::Value),
        ("patient", "Patient/1/_history/2", Code::Value),
        ("patient", "a b", Code::Value),
        ("code", "|", Code::Value),
        ("code", "a|b|c", Code::Value),
        ("date", "yesterday", Code::Value),
        ("date", "xx2013", Code::Value),
        ("value-quantity", "much", Code::Value),
        ("value-quantity", "5|x", Code::Value),
        ("value-quantity", "1e400", Code::Value),
        ("code:missing", "perhaps", Code::Value),
        ("code:above", "x", Code::NotSupported),
        ("code:in", "x", Code::NotSupported),
        ("date:exact", "2013", Code::NotSupported),
        ("subject:Banana", "1", Code::NotSupported),
        ("patient:Group", "1", Code::NotSupported),
        ("_id:not", "1", Code::NotSupported),
        ("_count", "-1", Code::Value),
        ("_count", "many", Code::Value),
        ("_total", "exactly", Code::Value),
        ("_summary", "short", Code::Value),
        ("_elements", "a.b", Code::Value),
        ("_include:iterate", "Observation:subject", Code::NotSupported),
        ("_include", "subject", Code::Value),
        ("_cursor", "zzz", Code::Value),
    ];
    for (name, value, code) in table {
        for handling in [Handling::Strict, Handling::Lenient] {
            let issues = Query::parse(Kind::Observation, &parameters(&[(name, value)]), handling, &context())
                .err()
                .unwrap_or_else(|| panic!("{name}={value} is taken"));
            assert_eq!((issues.len(), issues[0].code), (1, code), "{name}={value} {handling:?}");
            assert_eq!(issues[0].expression, format!("http.{name}"));
        }
    }
}

#[test]
fn bounds_hold_at_their_edge() {
    let many = |count: usize| vec![("code".to_owned(), "c".to_owned()); count];
    let parse =
        |given: &[(String, String)]| Query::parse(Kind::Observation, given, Handling::Strict, &context());
    assert!(parse(&many(MOST_PARAMETERS)).is_ok());
    assert_eq!(parse(&many(MOST_PARAMETERS + 1)).unwrap_err()[0].code, Code::TooCostly);
    let values = |count: usize| vec!["c"; count].join(",");
    assert!(strict(Kind::Observation, &[("code", &values(MOST_VALUES))]).is_ok());
    let half = values(MOST_VALUES_IN_ALL / 2);
    assert!(strict(Kind::Observation, &[("code", &*half), ("code", &*half)]).is_ok());
    let over = [("code", &*half), ("code", &*half), ("status", "final")];
    assert_eq!(refused(Kind::Observation, &over)[0].0, Code::TooCostly);
    assert_eq!(refused(Kind::Observation, &[("code", &values(MOST_VALUES + 1))])[0].0, Code::TooCostly);
    let long = |bytes: usize| "c".repeat(bytes);
    assert!(strict(Kind::Observation, &[("code", &long(MOST_VALUE_BYTES))]).is_ok());
    assert_eq!(refused(Kind::Observation, &[("code", &long(MOST_VALUE_BYTES + 1))])[0].0, Code::TooLong);
    assert_eq!(refused(Kind::Observation, &[("_count", "1"), ("_count", "2")])[0].0, Code::Invalid);
    let include = ("_include", "Observation:subject");
    assert_eq!(refused(Kind::Observation, &[include; 9]), [(Code::TooCostly, "http._include".to_owned())]);
    let name = "x\"\n".repeat(500);
    assert_eq!(refused(Kind::Observation, &[(&name, "1")])[0].1, format!("http.{}", "x".repeat(64)));
}

#[test]
fn every_fault_is_told_at_once() {
    let issues =
        refused(Kind::Observation, &[("colour", "1"), ("date", "x"), ("code", "ok"), ("_count", "x")]);
    let expressions: Vec<&str> = issues.iter().map(|(_, expression)| expression.as_str()).collect();
    assert_eq!(expressions, ["http.colour", "http.date", "http._count"]);
}

#[test]
fn the_answer_looks_as_it_is_asked() {
    let plain = query(Kind::Observation, &[]);
    assert_eq!((plain.count(), plain.total(), plain.summary()), (USUAL_COUNT, Total::None, Summary::False));
    assert!(!plain.is_narrow());
    let query = query(
        Kind::Observation,
        &[
            ("_count", "5000"),
            ("_total", "accurate"),
            ("_summary", "data"),
            ("_elements", "code,status"),
            ("_include", "Observation:patient"),
            ("_include", "Observation:derived-from:Observation"),
            ("_revinclude", "Provenance:target"),
            ("_format", "application/fhir+json"),
            ("_pretty", "true"),
        ],
    );
    assert_eq!((query.count(), query.total(), query.summary()), (MOST_COUNT, Total::Accurate, Summary::Data));
    assert_eq!(query.elements(), ["code", "status"]);
    assert_eq!(
        query.applied()[0],
        ("_count".to_owned(), "1000".to_owned()),
        "the self link says what was applied"
    );
    assert_eq!(query.applied().len(), 7);
    let includes: Vec<(&str, Option<Kind>, bool)> =
        query.includes().iter().map(|include| (include.parameter, include.target, include.reverse)).collect();
    let expected =
        [("patient", None, false), ("derived-from", Some(Kind::Observation), false), ("target", None, true)];
    assert_eq!(includes, expected);
}

#[test]
fn a_count_of_none_asks_for_the_number_alone() {
    for given in [[("_count", "0"), ("_pretty", "1")], [("_summary", "count"), ("_count", "10")]] {
        let query = query(Kind::Observation, &given);
        assert_eq!((query.count(), query.summary()), (0, Summary::Count));
    }
}

#[test]
fn sorted_is_by_the_clinical_time_or_the_version() {
    use crate::search::Order::{Date, Updated};
    let table = [
        (Kind::Observation, None, (Date, true)),
        (Kind::Patient, None, (Updated, true)),
        (Kind::Observation, Some("date"), (Date, false)),
        (Kind::Observation, Some("-date"), (Date, true)),
        (Kind::Observation, Some("_lastUpdated"), (Updated, false)),
        (Kind::ServiceRequest, Some("-authored"), (Date, true)),
        (Kind::Task, Some("authored-on"), (Date, false)),
        (Kind::Provenance, Some("recorded"), (Date, false)),
    ];
    for (kind, sort, expected) in table {
        let given: Vec<(&str, &str)> = sort.map(|sort| ("_sort", sort)).into_iter().collect();
        let plan = query(kind, &given).plan();
        assert_eq!((plan.order, plan.descending), expected, "{kind:?} {sort:?}");
    }
    for (kind, sort) in [
        (Kind::Patient, "birthdate"),
        (Kind::Patient, "date"),
        (Kind::Observation, "code"),
        (Kind::Observation, "date,code"),
    ] {
        assert_eq!(refused(kind, &[("_sort", sort)]), [(Code::NotSupported, "http._sort".to_owned())]);
        let parsed = lenient(kind, &[("_sort", sort)]).unwrap();
        assert_eq!((parsed.issues.len(), parsed.query.applied().len()), (1, 0));
    }
}

#[test]
fn includes_that_make_no_sense_are_not_known() {
    for include in
        ["Patient:link", "Observation:code", "Observation:*", "Observation:patient:Group", "Banana:x"]
    {
        assert_eq!(
            refused(Kind::Observation, &[("_include", include)])[0].0,
            Code::NotSupported,
            "{include}"
        );
    }
    for include in ["Observation:patient", "Provenance:agent", "Provenance:target:Patient"] {
        assert_eq!(
            refused(Kind::Observation, &[("_revinclude", include)])[0].0,
            Code::NotSupported,
            "{include}"
        );
    }
}

#[test]
fn a_condition_names_what_it_looks_for_and_nothing_else() {
    let condition =
        |given: &[(&str, &str)]| Query::condition(Kind::Observation, &parameters(given), &context());
    assert!(condition(&[("identifier", "urn:x|1")]).is_ok());
    assert!(condition(&[("_id", "1")]).is_ok());
    assert!(condition(&[("colour", "1")]).is_err());
    assert_eq!(condition(&[]).unwrap_err()[0].code, Code::Invalid);
    let issues = condition(&[("identifier", "1"), ("_count", "1")]).unwrap_err();
    assert_eq!((issues.len(), issues[0].expression.as_str()), (1, "http._count"));
}

#[test]
fn the_table_has_each_name_once_and_documents_it() {
    for kind in Kind::ALL {
        let names: Vec<&str> = search_parameters(kind).map(|parameter| parameter.name).collect();
        for parameter in search_parameters(kind) {
            assert_eq!(
                names.iter().filter(|name| **name == parameter.name).count(),
                1,
                "{kind:?} {}",
                parameter.name
            );
            assert!(parameter.documentation.ends_with('.'), "{kind:?} {}", parameter.name);
        }
    }
}

proptest! {
    #[test]
    fn no_text_of_any_kind_panics(
        given in prop::collection::vec(("(_id|_count|_sort|_include|_cursor|code|patient|date|value-quantity|name|\\PC{0,8})(:(not|missing|exact|identifier|\\PC{0,5}))?", "((ge|ap|sa)?[0-9]{0,4}(-[0-9]{2}){0,2}(T[0-9:.Z+ -]{0,14})?|[-+0-9.eE|]{0,40}|[|,\\\\$/a-zA-Z0-9:#é]{0,20}|\\PC{0,20})"), 0..6),
        kind in 0..Kind::ALL.len(),
        now_ms: i64,
    ) {
        let kind = Kind::ALL[kind];
        let context = super::Context { now_ms, ..context() };
        for handling in [Handling::Strict, Handling::Lenient] {
            if let Ok(parsed) = Query::parse(kind, &given, handling, &context) {
                let plan = parsed.query.plan();
                prop_assert!(!plan.all_of.is_empty() && plan.all_of.iter().all(|element| !element.is_empty()));
                let again = Query::parse(kind, parsed.query.applied(), Handling::Strict, &context);
                prop_assert!(again.is_ok(), "what was applied can be asked for again");
            }
        }
    }
}
