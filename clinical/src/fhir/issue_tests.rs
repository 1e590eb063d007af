use serde_json::json;

use super::*;

fn outcome(issue: Value) -> OperationOutcome {
    OperationOutcome::read(&json!({ "resourceType": "OperationOutcome", "issue": [issue] })).unwrap()
}

#[test]
fn an_issue_is_read_in_full() {
    let read = outcome(json!({
        "severity": "error",
        "code": "business-rule",
        "details": { "coding": [{ "code": "unmapped", "display": "Unmapped" }], "text": "Row is not mapped" },
        "diagnostics": "ROW-7",
        "expression": ["Observation.code"],
        "location": ["/f:Observation/f:code"],
    }));
    let issue = &read.issues[0];
    assert_eq!(issue.severity, Severity::Error);
    assert_eq!(issue.code, "business-rule");
    assert_eq!(issue.details, "Row is not mapped");
    assert_eq!(issue.details_code, "unmapped");
    assert_eq!(issue.diagnostics, "ROW-7");
    assert_eq!(issue.expression, ["Observation.code", "/f:Observation/f:code"]);
}

#[test]
fn missing_and_mistyped_parts_are_empty() {
    let read =
        outcome(json!({ "severity": 7, "code": [], "details": "x", "expression": "Observation.subject" }));
    assert_eq!(read.issues[0].severity, Severity::Unknown);
    assert_eq!(read.issues[0].code, "");
    assert_eq!(read.issues[0].expression, ["Observation.subject"]);
    assert_eq!(OperationOutcome::read(&json!({ "resourceType": "Patient" })), None);
    let none = OperationOutcome::read(&json!({ "resourceType": "OperationOutcome", "issue": null }));
    assert_eq!(none, Some(OperationOutcome::default()));
}

#[test]
fn size_is_bounded_in_every_direction() {
    let issue = json!({ "diagnostics": "ü".repeat(5_000), "expression": vec!["a"; 100] });
    let many = json!({ "resourceType": "OperationOutcome", "issue": vec![issue; 100] });
    let read = OperationOutcome::read(&many).unwrap();
    assert_eq!(read.issues.len(), MAX_ISSUES);
    assert_eq!(read.issues[0].expression.len(), MAX_EXPRESSIONS);
    assert_eq!(read.issues[0].diagnostics.len(), MAX_TEXT_BYTES);
}

#[test]
fn what_points_at_the_subject_names_the_patient() {
    let table = [
        ("Observation.subject", true),
        ("Bundle.entry[0].resource.subject", true),
        ("Observation.subject.identifier", true),
        ("Observation.subject.identifier.value", true),
        ("Observation.subject[0]", true),
        ("Bundle.entry[2].resource.ofType(Observation).subject", true),
        ("/f:Observation/f:subject/f:reference", true),
        ("Immunization.patient", true),
        ("Observation.code", false),
        ("Observation.identifier", false),
        ("Observation.subjectStatus", false),
        ("Observation.subject.display", false),
        ("", false),
    ];
    for (path, expected) in table {
        let read = outcome(json!({ "severity": "error", "expression": [path] }));
        assert_eq!(names_patient(&read, "MRN-4711"), expected, "{path:?}");
    }
}

#[test]
fn what_repeats_the_identifier_or_speaks_of_access_names_the_patient() {
    let table = [
        ("patient MRN-4711 is unknown", true),
        ("patient urn:oid:1.2.3|MRN-4711", true),
        ("patient MRN-47110 is unknown", false),
        ("XMRN-4711", false),
        ("Break-the-Glass required", true),
        ("break the glass", true),
        ("The user has no relationship with the patient", true),
        ("No active patient relationship", true),
        ("You don't have a treating relationship", true),
        ("relationship type is not supported", false),
        ("insufficient scope for Observation.write", false),
        ("", false),
    ];
    for (text, expected) in table {
        for part in [json!({ "text": text }), json!({ "coding": [{ "display": text }] })] {
            assert_eq!(
                names_patient(&outcome(json!({ "severity": "error", "details": part })), "MRN-4711"),
                expected,
                "{text:?}"
            );
        }
        assert_eq!(names_patient(&outcome(json!({ "diagnostics": text })), "MRN-4711"), expected, "{text:?}");
        assert!(!names_patient(&outcome(json!({ "severity": "warning", "diagnostics": text })), "MRN-4711"));
    }
}

#[test]
fn an_empty_or_short_identifier_is_not_found_in_everything() {
    assert!(!names_patient(&outcome(json!({ "diagnostics": "error in 2012" })), ""));
    assert!(!names_patient(&outcome(json!({ "diagnostics": "error in 2012" })), "12"));
    assert!(names_patient(&outcome(json!({ "diagnostics": "patient 12 of 2012" })), "12"));
}

#[test]
fn debug_output_has_no_text_of_the_server() {
    let read = outcome(json!({ "severity": "error", "code": "forbidden", "diagnostics": "MRN-4711" }));
    assert_eq!(format!("{read:?}"), "[Error/forbidden]");
    let odd = outcome(json!({ "severity": "error", "code": "MRN-4711" }));
    assert_eq!(format!("{odd:?}"), "[Error/?]");
}

#[test]
fn an_unmapped_code_is_told_by_its_issue_type_and_by_where_it_points() {
    for (code, expression, expected) in [
        ("code-invalid", "Observation.code", true),
        ("code-invalid", "Observation.code.coding[0].code", true),
        ("code-invalid", "/f:Observation/f:code/f:coding[1]", true),
        ("code-invalid", "Bundle.entry[2].resource.code", true),
        ("code-invalid", "Observation.component[1].code", true),
        ("code-invalid", "DocumentReference.type", true),
        ("code-invalid", "Observation.valueQuantity.code", false),
        ("code-invalid", "Observation.status", false),
        ("code-invalid", "", false),
        ("value", "Observation.code", false),
        ("not-found", "Observation.subject", false),
    ] {
        let issue = |severity: &str| {
            outcome(json!({ "severity": severity, "code": code, "expression": [expression] }))
        };
        assert_eq!(names_code(&issue("error")), expected, "{code} {expression}");
        assert!(!names_code(&issue("warning")), "{code} {expression}");
    }
}
