//! Whom the EHR knows a row's patient as: its own Patient, and where it asks for one an Encounter.

use outbox::{LeasedRow, Readers, Writer};

use super::{birth_date, ehr_patient};
use crate::{destination::Destination, verdict::Verdict};

const NO_ENCOUNTER: &str = "the EHR shows no encounter of this patient to write under, and asks for one";

/// The EHR's own references; none where resources name the patient by an identifier or a pseudonym. No Debug: an id of
/// an EHR may be made of anything.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Seat {
    /// `Patient/<id>`.
    pub subject: Option<String>,
    /// `Encounter/<id>`.
    pub encounter: Option<String>,
}

/// Finds the seat of a row's patient, once it is clear that the patient is the one that is meant.
///
/// # Errors
/// The verdict on the row, as [`birth_date::cleared`] has it; [`Verdict::Identity`] too where an encounter is asked for
/// and none is shown.
pub(super) async fn take(
    destination: &Destination,
    readers: &Readers,
    writer: &Writer,
    row: &LeasedRow,
) -> Result<Seat, Verdict> {
    let subject = birth_date::cleared(destination, readers, writer, row).await?;
    let subject = subject.filter(|_| destination.subject == crate::config::SubjectForm::Lookup);
    let asked = destination.way(&row.form).is_some_and(|way| way.form.encounter);
    let encounter = match (&subject, asked) {
        (Some(patient), true) => {
            let found = ehr_patient::encounter(destination, patient, jiff::Timestamp::now()).await?;
            Some(found.ok_or_else(|| Verdict::Identity(NO_ENCOUNTER.to_owned()))?)
        }
        _ => None,
    };
    Ok(Seat { subject, encounter })
}
