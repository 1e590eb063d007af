//! `report.json`. Its schema is closed: docs/onboarding.md lists every member.

use serde_json::{Value, json};

use super::Report;
use crate::onboarding::playbook::Status;

/// The name of the schema; a member more is another number.
const SCHEMA: &str = "isthmus-acceptance-report/1";

/// The object.
pub fn document(report: &Report<'_>) -> Value {
    json!({
        "schema": SCHEMA,
        "result": if report.passed() { "passed" } else { "failed" },
        "site": report.site,
        "base_url": report.base_url,
        "software": report.software,
        "mode": report.mode,
        "patient_system": report.patient_system,
        "began": report.began,
        "took_s": report.took_s,
        "only": report.only,
        "version": report.version,
        "configuration": report.configuration,
        "counts": {
            "passed": report.count(Status::Passed),
            "failed": report.count(Status::Failed),
            "not_applicable": report.count(Status::NotApplicable),
        },
        "findings": report.findings,
        "left": report.left,
        "public_key": report.public_key,
        "fingerprint": report.fingerprint,
    })
}
