//! The FHIR transaction that an outcome would be, about a subject that the caller names.
//!
//! Identifiers are made with `PREVIEW_SECRET`, which is no secret: they are stable from run to run, and
//! are never those that a box of its own would write. Do not send what this makes to a chart that a box
//! writes to.

use std::collections::BTreeMap;

use clinical::{
    app_event::EventKind,
    fhir::{
        bundle::{Entry, submission},
        figures::figures,
        identifier::{Scope, SiteSecret},
        projection::{Leak, Projection, minimize},
        provenance::{self, Maker, Manifest, ProvenanceError, Reason, Session, Statement},
        report::{Attachment, Report, ReportError, report},
        subject::Subject,
        summary::{MeanUnit, Status, Summary, observations},
    },
    identity::PatientKey,
    outcome::Outcome,
    reading::Instant,
};
use serde_json::Value;

/// The key of identifiers outside of any box.
const PREVIEW_SECRET: [u8; 32] = *b"isthmus outcomes: a public value";
/// The destination in those identifiers, and the box in the Provenance.
const PREVIEW: &str = "isthmus-outcomes";

/// Why there is no Bundle; a defect, since nothing in it comes from the file but numbers.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The allow-list of the guide's projection does not hold an element that was built.
    #[error("{0}")]
    Leak(#[from] Leak),
    /// The Provenance could not be made.
    #[error("{0}")]
    Provenance(#[from] ProvenanceError),
    /// The report could not be attached.
    #[error("{0}")]
    Report(#[from] ReportError),
}

/// What of the Bundle is chosen.
#[derive(Clone, Copy)]
pub struct Choice<'a> {
    /// The unit of glucose.
    pub glucose: MeanUnit,
    /// Whether what LOINC has no code for goes too.
    pub local_codes: bool,
    /// A report to attach.
    pub report: Option<Attachment<'a>>,
}

/// The transaction Bundle of the HL7 CGM guide in its canonical form: panel, members, the report where there is one, and
/// one Provenance that names the file by its SHA-256 (lower-case hex). `recorded` is the time of the Provenance and of
/// the Bundle.
///
/// # Errors
/// [`BundleError`].
pub fn bundle(
    outcome: &Outcome,
    (sessions, app_events): (&[Session], &BTreeMap<EventKind, u64>),
    patient: PatientKey,
    sha256: &str,
    recorded: Instant,
    choice: &Choice<'_>,
) -> Result<Value, BundleError> {
    let secret = SiteSecret::new(PREVIEW_SECRET);
    let internal = format!("{}|{}", patient.system, patient.value);
    let scope = Scope::of(PREVIEW, &internal, outcome);
    let subject = Subject::Identifier(patient);
    let figures = if choice.local_codes { figures(outcome) } else { Vec::new() };
    let mut resources = observations(&Summary {
        outcome,
        scope,
        secret: &secret,
        subject: &subject,
        status: Status::Final,
        mean: choice.glucose,
        figures: &figures,
        wording: Projection::CgmIg.wording(),
    });
    if let Some(attachment) = choice.report {
        let attachments = &[attachment];
        let about = Report { scope, secret: &secret, subject: &subject, status: Status::Final, attachments };
        resources.push(report(&about)?);
    }
    let provenance = provenance::provenance(&Statement {
        outcome,
        scope,
        secret: &secret,
        version: 1,
        supersedes: None,
        reason: Reason::First,
        sessions,
        app_events,
        manifest: Manifest { count: 1, sha256 },
        maker: Maker { box_id: PREVIEW, software: env!("CARGO_PKG_VERSION") },
        recorded,
        targets: &resources,
    })?;
    let mut entries: Vec<Entry> = resources.iter().map(Entry::create).collect();
    entries.push(Entry::provenance(&provenance));
    let bundle = submission(&entries, recorded).ok_or(ProvenanceError::RecordedOutOfRange)?;
    minimize(Projection::CgmIg, &bundle)?;
    Ok(bundle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::sample;

    const PLAIN: Choice<'static> = Choice { glucose: MeanUnit::Mass, local_codes: false, report: None };

    #[test]
    fn the_bundle_is_a_transaction_of_the_guides_seven_observations_and_their_provenance() {
        let patient = PatientKey { system: "urn:oid:1.2.3".into(), value: "4711".into() };
        let file = "ab".repeat(32);
        let bundle = bundle(
            &sample().outcome,
            (&sample().sessions, &BTreeMap::new()),
            patient,
            &file,
            Instant(0),
            &PLAIN,
        )
        .unwrap();
        assert_eq!(bundle["type"], "transaction");
        let kinds: Vec<_> = bundle["entry"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["resource"]["resourceType"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, [["Observation"; 7].as_slice(), &["Provenance"]].concat());
        let first = &bundle["entry"][0]["resource"];
        assert_eq!(first["subject"]["identifier"]["value"], "4711");
        assert_eq!(first["effectivePeriod"]["end"], "2025-03-02");
    }
}
