//! The FHIR transaction that an outcome would be, about a subject that the caller names.
//!
//! Identifiers are made with `SECRET`, which is no secret: they are stable from run to run, and
//! are never those that a box of its own would write. Do not send what this makes to a chart that a box
//! writes to.

use clinical::{
    fhir::{
        bundle::{Entry, submission},
        figures::figures,
        identifier::{Scope, SiteSecret},
        projection::{Leak, Projection, minimize},
        provenance::{self, Maker, Manifest, ProvenanceError, Reason, Statement, by_device},
        reading::{Events, ReadingError, ReadingUnit, Readings, events, readings},
        report::{Attachment, Report, ReportError, report},
        subject::Subject,
        summary::{MeanUnit, Resource, Status, Summary, observations},
    },
    glucose::Unit,
    identity::PatientKey,
    outcome::Exclusion,
    reading::{Device, Instant, Reading},
};
use serde_json::Value;

use super::{app_events, export::Export};

/// The key of identifiers outside of any box.
const SECRET: SiteSecret = SiteSecret::new(*b"isthmus outcomes: a public value");
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
    /// A reading cannot be written, or there are too many for one Bundle.
    #[error("{0}")]
    Reading(#[from] ReadingError),
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

/// Whom a Bundle is about, from which file, and when it is made: the time of its Provenance.
#[derive(Clone, Copy)]
pub struct About<'a> {
    /// The patient.
    pub patient: &'a PatientKey,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: &'a str,
    /// When.
    pub recorded: Instant,
}

/// The transaction Bundle of the HL7 CGM guide in its canonical form: panel, members, the report where there is one, and
/// one Provenance that names the file by its SHA-256.
///
/// # Errors
/// [`BundleError`].
pub fn bundle(export: &Export, about: &About<'_>, choice: &Choice<'_>) -> Result<Value, BundleError> {
    let subject = Subject::Identifier(about.patient.clone());
    let internal = internal(about.patient);
    let scope = Scope::of(PREVIEW, &internal, &export.outcome);
    let mut resources = summary(export, about.patient, choice);
    if let Some(attachment) = choice.report {
        let attachments = &[attachment];
        let about = Report { scope, secret: &SECRET, subject: &subject, status: Status::Final, attachments };
        resources.push(report(&about)?);
    }
    submitted(export, about, Projection::CgmIg, scope, &resources)
}

/// The Observations of the summary.
pub fn summary(export: &Export, patient: &PatientKey, choice: &Choice<'_>) -> Vec<Resource> {
    let (outcome, internal) = (&export.outcome, internal(patient));
    let figures = if choice.local_codes { figures(outcome) } else { Vec::new() };
    observations(&Summary {
        outcome,
        scope: Scope::of(PREVIEW, &internal, outcome),
        secret: &SECRET,
        subject: &Subject::Identifier(patient.clone()),
        status: Status::Final,
        mean: choice.glucose,
        figures: &figures,
        wording: Projection::CgmIg.wording(),
    })
}

/// The transaction Bundle of the readings that count, each in the unit it was received in where `unit` is `None`, and
/// with our own codes of the events; and one Provenance.
///
/// # Errors
/// [`BundleError`], where there are too many readings for one Bundle too.
pub fn singles(
    export: &Export,
    about: &About<'_>,
    unit: Option<Unit>,
    choice: &Choice<'_>,
) -> Result<Value, BundleError> {
    let subject = Subject::Identifier(about.patient.clone());
    let (outcome, internal) = (&export.outcome, internal(about.patient));
    let factor_e4 = outcome.policy.factor_e4;
    let unit = unit.map_or(ReadingUnit::AsReceived, |unit| ReadingUnit::Only { unit, factor_e4 });
    let readings_about =
        Readings { destination: PREVIEW, patient: &internal, secret: &SECRET, subject: &subject, unit };
    let mut resources = readings(&readings_about, &counted(export))?;
    let scope = Scope::of(PREVIEW, &internal, outcome);
    if choice.local_codes {
        let (status, unit) = (Status::Final, choice.glucose);
        let about = Events { scope, secret: &SECRET, subject: &subject, status, unit, factor_e4 };
        resources.extend(events(&about, &outcome.events.list)?);
    }
    submitted(export, about, Projection::CgmReadings, scope, &resources)
}

/// The readings that count, in order of time, each with its device.
pub fn counted(export: &Export) -> Vec<(Device, Reading)> {
    let counted = by_device(&export.streams, &export.selection);
    counted.into_iter().map(|(device, counted)| (device.clone(), counted.reading)).collect()
}

/// What stands for the patient's number in a box.
fn internal(patient: &PatientKey) -> String {
    format!("{}|{}", patient.system, patient.value)
}

/// The transaction of `resources` and their Provenance.
fn submitted(
    export: &Export,
    about: &About<'_>,
    projection: Projection,
    scope: Scope<'_>,
    resources: &[Resource],
) -> Result<Value, BundleError> {
    // Rows that could not be read are left out like any other; which period they were of is not known.
    let mut outcome = export.outcome.clone();
    if let unread @ 1.. = export.read.unread() {
        outcome.excluded.insert(Exclusion::Unreadable, unread);
    }
    let provenance = provenance::provenance(&Statement {
        outcome: &outcome,
        scope,
        secret: &SECRET,
        version: 1,
        supersedes: None,
        reason: Reason::First,
        sessions: &export.sessions,
        app_events: &app_events::counts(&export.app_events),
        manifest: Manifest { count: 1, sha256: about.sha256 },
        maker: Maker { box_id: PREVIEW, software: env!("CARGO_PKG_VERSION") },
        recorded: about.recorded,
        targets: resources,
        pseudonymous: false,
    })?;
    let mut entries: Vec<Entry> = resources.iter().map(Entry::create).collect();
    entries.push(Entry::provenance(&provenance));
    let bundle = submission(&entries, about.recorded).ok_or(ProvenanceError::RecordedOutOfRange)?;
    minimize(projection, &bundle)?;
    Ok(bundle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::sample;

    const PLAIN: Choice<'static> = Choice { glucose: MeanUnit::Mass, local_codes: false, report: None };

    fn kinds(bundle: &Value) -> Vec<&str> {
        let entries = bundle["entry"].as_array().unwrap();
        entries.iter().map(|entry| entry["resource"]["resourceType"].as_str().unwrap()).collect()
    }

    #[test]
    fn the_bundle_is_a_transaction_of_the_guides_seven_observations_and_their_provenance() {
        let patient = PatientKey { system: "urn:oid:1.2.3".into(), value: "4711".into() };
        let file = "ab".repeat(32);
        let about = About { patient: &patient, sha256: &file, recorded: Instant(0) };
        let bundle = bundle(&sample(), &about, &PLAIN).unwrap();
        assert_eq!(bundle["type"], "transaction");
        assert_eq!(kinds(&bundle), [["Observation"; 7].as_slice(), &["Provenance"]].concat());
        let first = &bundle["entry"][0]["resource"];
        assert_eq!(first["subject"]["identifier"]["value"], "4711");
        assert_eq!(first["effectivePeriod"]["end"], "2025-03-02");
    }

    #[test]
    fn single_readings_are_those_that_count_in_the_unit_asked_for() {
        let patient = PatientKey { system: "urn:oid:1.2.3".into(), value: "4711".into() };
        let file = "ab".repeat(32);
        let about = About { patient: &patient, sha256: &file, recorded: Instant(0) };
        let values = |unit| {
            let bundle = singles(&sample(), &about, unit, &PLAIN).unwrap();
            assert_eq!(kinds(&bundle), [["Observation"; 6].as_slice(), &["Provenance"]].concat());
            let value = |n: usize| {
                let quantity = &bundle["entry"][n]["resource"]["valueQuantity"];
                format!(
                    "{}{} {}",
                    quantity["comparator"].as_str().unwrap_or_default(),
                    quantity["value"],
                    quantity["code"]
                )
            };
            [value(0), value(2)]
        };
        assert_eq!(values(None), ["<40 \"mg/dL\"", "100 \"mg/dL\""]);
        assert_eq!(values(Some(Unit::MmolL)), ["<2.220 \"mmol/L\"", "5.551 \"mmol/L\""]);
    }
}
