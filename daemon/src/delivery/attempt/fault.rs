//! The fingerprint of a fault: what of a refusal may stand in logs, status and metrics.
//!
//! Invariant: a fingerprint is made of the words in this file and of nothing else, so that no server can
//! put a patient's name or number into it, wherever in an OperationOutcome it writes one.

use clinical::fhir::issue::{Issue, OperationOutcome};
use fhir::Code;

/// Most segments of an expression: the deepest element that we write has seven, in a Bundle.
const SEGMENTS_MAX: usize = 12;

/// Names of the resources and elements that we write (R4: bundle, observation, provenance).
#[rustfmt::skip]
const ELEMENTS: [&str; 60] = [
    "Bundle", "Observation", "Provenance", "Patient", "OperationOutcome",
    "type", "entry", "fullUrl", "resource", "request", "method", "url", "ifNoneExist", "ifMatch",
    "id", "meta", "profile", "text", "div", "extension",
    "identifier", "system", "value", "status", "category", "code", "coding", "display", "subject",
    "patient", "reference", "encounter", "performer", "device", "effective", "effectivePeriod",
    "effectiveDateTime", "start", "end", "issued", "valueQuantity", "valueString", "unit",
    "dataAbsentReason", "referenceRange", "component", "hasMember", "derivedFrom", "note",
    "target", "recorded", "occurredPeriod", "policy", "reason", "activity", "agent", "who", "entity",
    "role", "what",
];

/// The fingerprint of the first issue that may be why the write failed: its issue type and its first
/// expression, as far as both are words of FHIR. Empty where nothing is.
pub(super) fn fingerprint<'a>(outcomes: impl IntoIterator<Item = &'a OperationOutcome>) -> String {
    let mut issues = outcomes.into_iter().flat_map(|outcome| &outcome.issues);
    issues.find(|issue| issue.severity.may_fail()).map(of_issue).unwrap_or_default()
}

fn of_issue(issue: &Issue) -> String {
    let code = Code::ALL.iter().map(|code| code.code()).find(|word| *word == issue.code);
    let path = issue.expression.first().map(|text| path(text)).filter(|path| !path.is_empty());
    match (code, path) {
        (Some(code), Some(path)) => format!("{code} {path}"),
        (Some(code), None) => code.to_owned(),
        (None, path) => path.unwrap_or_default(),
    }
}

/// The leading segments of a FHIRPath or XPath that are element names of ours, without indices.
fn path(expression: &str) -> String {
    let segments = expression.split(['.', '/']).skip_while(|segment| segment.is_empty());
    let known: Vec<&str> = segments.map_while(element).take(SEGMENTS_MAX).collect();
    known.join(".")
}

/// The element that a segment names: `entry[0]` and XPath's `f:entry[1]` name `entry`.
fn element(segment: &str) -> Option<&'static str> {
    let name = segment.strip_prefix("f:").unwrap_or(segment);
    let name = match name.split_once('[') {
        Some((name, index)) => {
            let index = index.strip_suffix(']')?;
            index.bytes().all(|b| b.is_ascii_digit()).then_some(name)?
        }
        None => name,
    };
    ELEMENTS.into_iter().find(|element| *element == name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(issues: Value) -> String {
        let outcome = OperationOutcome::read(&json!({ "resourceType": "OperationOutcome", "issue": issues }));
        fingerprint(&outcome)
    }

    fn one(code: &str, expression: &str) -> String {
        told(json!([{ "severity": "error", "code": code, "expression": [expression] }]))
    }

    #[test]
    fn an_issue_type_and_a_path_of_our_elements_are_kept_without_indices() {
        for (code, expression, wanted) in [
            ("value", "Observation.subject", "value Observation.subject"),
            (
                "required",
                "Bundle.entry[3].resource.identifier[0].value",
                "required Bundle.entry.resource.identifier.value",
            ),
            (
                "invalid",
                "/f:Observation/f:component[2]/f:valueQuantity",
                "invalid Observation.component.valueQuantity",
            ),
            ("forbidden", "", "forbidden"),
            ("informational", "Provenance.agent[0].who", "informational Provenance.agent.who"),
        ] {
            assert_eq!(one(code, expression), wanted);
        }
    }

    #[test]
    fn what_a_server_plants_is_cut_off() {
        for (code, expression, wanted) in [
            ("Patient SMITH JOHN not found", "Observation.subject", "Observation.subject"),
            ("not-found", "Patient.name.where(family='Smith').given", "not-found Patient"),
            ("value", "Observation.subject.where(value='Smith.code').code", "value Observation.subject"),
            ("value", "Observation.Smith.code", "value Observation"),
            ("value", "Bundle.entry[Smith].resource", "value Bundle"),
            ("value", "Bundle.entry[0]Smith.resource", "value Bundle"),
            ("value", "Bundle.entry[0.resource", "value Bundle"),
            ("value", "SMITH JOHN", "value"),
            ("forbidden 4711", "Patient/4711", "Patient"),
            ("SMITH", "JOHN", ""),
        ] {
            assert_eq!(one(code, expression), wanted, "{code} {expression}");
        }
        let details = json!([{
            "severity": "error", "code": "forbidden", "diagnostics": "SMITH JOHN",
            "details": { "coding": [{ "code": "SMITH", "display": "JOHN" }], "text": "SMITH" },
        }]);
        assert_eq!(told(details), "forbidden");
    }

    #[test]
    fn an_endless_path_has_an_end() {
        let path = vec!["value"; 1_000].join(".");
        assert_eq!(one("value", &path).split(['.', ' ']).count(), 1 + SEGMENTS_MAX);
    }

    #[test]
    fn the_issue_that_may_have_failed_is_told_and_not_the_remark_before_it() {
        let issues = json!([
            { "severity": "warning", "code": "informational", "expression": ["Observation.text"] },
            { "severity": "error", "code": "value", "expression": ["Observation.code"] },
            { "severity": "fatal", "code": "exception" },
        ]);
        assert_eq!(told(issues), "value Observation.code");
        assert_eq!(told(json!([{ "severity": "information", "code": "value" }])), "");
    }
}
