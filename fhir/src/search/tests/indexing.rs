//! Terms and plans of ordinary searches, written out.

use serde_json::{Value, json};

use super::query;
use crate::{
    Kind,
    search::{Include, MOST_TERMS, Order, Range, includes, references, terms},
};

fn reading() -> Value {
    json!({
        "resourceType": "Observation",
        "status": "final",
        "identifier": [{ "system": "urn:x", "value": "i1" }],
        "category": [{ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory" }] }],
        "code": { "coding": [{ "system": "http://loinc.org", "code": "99504-3" }] },
        "subject": { "reference": "Patient/p1" },
        "effectiveDateTime": "2013-01-14T10:00:00Z",
    })
}

#[test]
fn a_reading_has_few_terms_and_its_time() {
    let terms = terms(Kind::Observation, &reading());
    let expected = [
        "",
        "category|laboratory",
        "code|99504-3",
        "identifier|i1",
        "subject+category|Patient/p1|laboratory",
        "subject+code|Patient/p1|99504-3",
        "subject|Patient/p1",
    ];
    assert_eq!(terms.terms, expected);
    assert_eq!((terms.from_ms, terms.until_ms, terms.complete), (1_358_157_600_000, 1_358_157_601_000, true));
}

#[test]
fn what_is_unusual_has_a_term_of_the_doubt() {
    let mut reading = reading();
    reading["code"]["coding"][0]["system"] = json!("urn:local");
    reading["subject"]["reference"] = json!("https://elsewhere/Patient/p1");
    reading["status"] = json!("entered-in-error");
    let terms = terms(Kind::Observation, &reading).terms;
    for term in ["code|*|99504-3", "subject|*|Patient/p1", "subject|Patient/p1", "status|entered-in-error"] {
        assert!(terms.iter().any(|known| known == term), "{term}");
    }
}

#[test]
fn a_time_that_is_open_or_absent_is_said_so() {
    let of = |element: &str, value: Value| {
        let terms = terms(Kind::Observation, &json!({ "resourceType": "Observation", element: value }));
        (terms.from_ms, terms.until_ms)
    };
    assert_eq!(of("effectivePeriod", json!({ "start": "1970-01-02" })), (86_400_000, i64::MAX));
    assert_eq!(of("effectivePeriod", json!({ "end": "1970-01-02" })), (i64::MIN, 172_800_000));
    assert_eq!(of("effectiveDateTime", json!("soon")), (0, 0));
    assert_eq!(of("note", json!([])), (0, 0));
}

#[test]
fn the_narrowest_term_drives() {
    let loinc = "http://loinc.org|99504-3";
    /// Parameters, the terms of the plan, and whether it is exact.
    type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a [&'a str]], bool);
    let table: [Row<'_>; 9] = [
        (&[], &[&[""]], true),
        (&[("patient", "p1")], &[&["subject|Patient/p1"]], true),
        (&[("patient", "p1"), ("code", loinc)], &[&["subject+code|Patient/p1|99504-3"]], true),
        (
            &[("code", "a,b"), ("patient", "p1")],
            &[&["subject+code|Patient/p1|a", "subject+code|Patient/p1|b"]],
            true,
        ),
        (
            &[("category", "c"), ("code", "a"), ("patient", "p1")],
            &[&["subject+code|Patient/p1|a"], &["category|c"]],
            true,
        ),
        (&[("patient", "p1"), ("category", "c")], &[&["subject+category|Patient/p1|c"]], true),
        (
            &[("patient", "p1"), ("identifier", "urn:x|i1")],
            &[&["identifier|i1"], &["subject|Patient/p1"]],
            false,
        ),
        (&[("status", "final")], &[&[""]], false),
        (&[("category:not", "c"), ("code:missing", "false")], &[&[""]], false),
    ];
    for (given, all_of, exact) in table {
        let plan = query(Kind::Observation, given).plan();
        assert_eq!(plan.all_of, all_of, "{given:?}");
        assert_eq!(plan.exact, exact, "{given:?}");
    }
    let plan = query(Kind::Observation, &[("patient", "p1"), ("code", loinc)]).plan();
    assert_eq!(plan.unless, ["subject|*|Patient/p1", "code|*|99504-3"]);
}

#[test]
fn filters_on_time_bound_where_it_starts_and_ends() {
    let day = 86_400_000;
    let plan = query(Kind::Observation, &[("date", "ge1970-01-02"), ("date", "lt1970-01-04")]).plan();
    assert_eq!(plan.starts, Range { least: i64::MIN, most: 3 * day - 1 });
    assert_eq!(plan.ends, Range { least: day + 1, most: i64::MAX });
    assert!(plan.exact, "the times are in the index");
    // An hour that begins before the 2nd and ends within it is neither above nor within: the ranges take it, admits does not.
    assert!(
        plan.starts.contains(day - 1) && plan.ends.contains(day + 5) && !plan.admits(day - 1, day + 5, 0)
    );
    assert!(plan.admits(day, day + 1, 0) && !plan.admits(0, 0, 0));
    let either = query(Kind::Observation, &[("date", "1970-01-02,1970-01-05")]).plan();
    assert_eq!(either.starts, Range { least: day, most: 5 * day - 1 });
    assert!(!either.admits(2 * day, 2 * day + 1, 0));
    let updated =
        query(Kind::Patient, &[("_lastUpdated", "ge1970-01-02"), ("_lastUpdated", "lt1970-01-03")]).plan();
    assert_eq!(updated.updated, Range { least: day, most: 2 * day - 1 });
    assert!(updated.admits(0, 0, day) && !updated.admits(0, 0, day - 1) && !updated.admits(0, 0, 2 * day));
    let absent = query(Kind::Observation, &[("date:missing", "true")]).plan();
    assert!(absent.admits(0, 0, 5) && !absent.admits(1, 2, 5));
}

#[test]
fn what_is_new_of_a_whole_kind_goes_by_when_it_was_taken_unless_something_else_is_asked() {
    let new = ("_lastUpdated", "ge1970-01-02");
    for (asked, order) in [
        (vec![new], Order::Updated),
        (vec![new, ("date", "ge1970-01-02")], Order::Updated),
        (vec![new, ("patient", "a")], Order::Date),
        (vec![new, ("_sort", "date")], Order::Date),
        (vec![("_lastUpdated", "lt1970-01-02")], Order::Date),
    ] {
        let plan = query(Kind::Observation, &asked).plan();
        assert_eq!(plan.order, order, "{asked:?}");
    }
}

#[test]
fn ids_that_are_asked_for_twice_are_those_in_both() {
    let plan = query(Kind::Patient, &[("_id", "a,b"), ("_id", "b,c")]).plan();
    assert_eq!(plan.ids, Some(vec!["b".to_owned()]));
    assert!(plan.exact);
}

#[test]
fn a_group_of_thousands_is_found_by_each_member() {
    let member = |number: usize| json!({ "entity": { "reference": format!("Patient/p{number}") } });
    let group = json!({ "resourceType": "Group", "member": (0..5_000).map(member).collect::<Vec<_>>() });
    let terms = terms(Kind::Group, &group);
    assert!(terms.complete && terms.terms.len() < 100);
    for number in [0, 63, 64, 4_999] {
        let query = query(Kind::Group, &[("member", &format!("Patient/p{number}"))]);
        assert!(query.matches(&group));
        let plan = query.plan();
        assert!(plan.all_of[0].iter().any(|term| terms.terms.contains(term)), "{number}");
        assert!(plan.unless.iter().any(|term| terms.terms.contains(term)), "it is not exact");
    }
}

#[test]
fn a_resource_with_more_than_can_be_indexed_is_told_so() {
    let coding = |number: usize| json!({ "code": format!("c{number}") });
    let of = |count: usize| {
        json!({ "resourceType": "Observation", "code": { "coding": (0..count).map(coding).collect::<Vec<_>>() },
                "subject": { "reference": "Patient/1" } })
    };
    assert!(terms(Kind::Observation, &of(100)).complete);
    for count in [MOST_TERMS / 2, MOST_TERMS, 3 * MOST_TERMS] {
        let terms = terms(Kind::Observation, &of(count));
        assert!(!terms.complete && terms.terms.len() <= MOST_TERMS, "{count}");
    }
}

#[test]
fn includes_follow_references_of_this_server() {
    let bases = ["https://box/fhir".to_owned()];
    let report = json!({ "resourceType": "DiagnosticReport", "result": [
        { "reference": "Observation/1" }, { "reference": "https://box/fhir/Observation/2/_history/1" },
        { "reference": "https://elsewhere/Observation/3" }, { "reference": "Observation/1" }, { "reference": "#c" } ] });
    assert_eq!(
        references(Kind::DiagnosticReport, "result", &report, &bases),
        ["Observation/1", "Observation/2"]
    );
    assert!(references(Kind::DiagnosticReport, "nothing", &report, &bases).is_empty());
    let target = |target| Include { kind: Kind::Provenance, parameter: "target", target, reverse: false };
    let provenance = json!({ "resourceType": "Provenance", "target": [{ "reference": "Patient/1" }, { "reference": "Task/2" }] });
    let query = query(Kind::Provenance, &[]);
    assert_eq!(query.included(&target(None), &provenance), ["Patient/1", "Task/2"]);
    assert_eq!(query.included(&target(Some(Kind::Task)), &provenance), ["Task/2"]);
    assert!(includes(Kind::DiagnosticReport).contains(&"DiagnosticReport:result".to_owned()));
}

#[test]
fn what_refers_to_a_page_is_one_search() {
    let to: Vec<String> = (0..1_000).map(|number| format!("Observation/{number}")).collect();
    let query =
        crate::search::Query::referring(Kind::Provenance, "target", &to, &[]).expect("it is a reference");
    let of =
        |reference: &str| json!({ "resourceType": "Provenance", "target": [{ "reference": reference }] });
    assert!(query.matches(&of("Observation/999")) && !query.matches(&of("Observation/1000")));
    assert!(crate::search::Query::referring(Kind::Provenance, "recorded", &to, &[]).is_none());
}
