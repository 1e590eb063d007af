//! The outcome of a window as one DiagnosticReport (R4) without a page: what to open first, and which numbers belong
//! together.
//!
//! Invariants: it holds no number of its own; its results are the panel and the members, by reference; its identifier is
//! that of a report with a page of the same scope ([`super::report`]), of which it is the part that never changes its size.

use serde_json::{Value, json};

use super::{
    identifier::{Scope, SiteSecret},
    metric::{LOINC, Metric},
    provenance::instant,
    report::{SECTION_SYSTEM, SLUG},
    subject::Subject,
    summary::Status,
};
use crate::reading::Instant;

/// What it is made from.
#[derive(Clone, Copy)]
pub struct WindowReport<'a> {
    /// The window, as in its Observations.
    pub scope: Scope<'a>,
    /// The box's secret for identifiers.
    pub secret: &'a SiteSecret,
    /// Whom it is about.
    pub subject: &'a Subject,
    /// First or later version.
    pub status: Status,
    /// When the version was made.
    pub issued: Instant,
    /// References of its Observations, the panel first.
    pub results: &'a [String],
}

/// The report, without `id`.
pub fn window_report(about: &WindowReport<'_>) -> Value {
    let results: Vec<Value> =
        about.results.iter().map(|reference| json!({ "reference": reference })).collect();
    let mut json = json!({
        "resourceType": "DiagnosticReport",
        "identifier": [about.scope.named(about.secret, SLUG).to_json()],
        "status": about.status.code(),
        "category": [{ "coding": [{ "system": SECTION_SYSTEM, "code": "LAB" }] }],
        "code": { "coding": [{ "system": LOINC, "code": Metric::Summary.loinc() }], "text": Metric::Summary.title() },
        "subject": about.subject.to_json(),
        "effectivePeriod": { "start": about.scope.first_date, "end": about.scope.last_date },
        "result": results,
    });
    if let Some(at) = instant(about.issued) {
        json["issued"] = at.into();
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::sample::{SECRET, outcome, subject};

    #[test]
    fn a_report_leads_to_its_numbers_and_says_when_it_was_made() {
        let (outcome, subject) = (outcome(), subject());
        let results = ["Observation/1".to_owned(), "Observation/2".to_owned()];
        let json = window_report(&WindowReport {
            scope: Scope::of("fhir", "7", &outcome),
            secret: &SECRET,
            subject: &subject,
            status: Status::Amended,
            issued: Instant(1_772_409_600_000),
            results: &results,
        });
        assert_eq!(
            json["result"],
            json!([{ "reference": "Observation/1" }, { "reference": "Observation/2" }])
        );
        assert_eq!((&json["status"], &json["issued"]), (&json!("amended"), &json!("2026-03-02T00:00:00Z")));
        assert_eq!(json["effectivePeriod"], json!({ "start": "2025-01-01", "end": "2025-01-14" }));
        assert_eq!(json["code"]["coding"][0]["code"], "107931-8");
    }
}
