//! What consent says of a window that is published.
//!
//! Invariant: consent is asked for the moment by which the rows are dated, so that what is queued and what the ledger says
//! of that moment agree; whatever changes between asking and committing, the store asks again at the lease.

use outbox::{Purpose, Window};

use super::{Pipeline, PipelineError};
use crate::{broker::Consent, destination::Destination};

impl Pipeline {
    /// Consent of a window's patient for a destination's purpose.
    pub(super) fn consent_of(
        &self,
        due: &Window,
        destination: &Destination,
        now: i64,
    ) -> Result<Consent, PipelineError> {
        let purpose = Purpose::of(&destination.id);
        let answer = self.readers.with(|reader| reader.consent(due.key.patient, purpose, now))?;
        Ok(if answer.permit { Consent::Permit } else { Consent::Deny })
    }

    /// The destinations that did not get the version that stands for want of consent, and may by a grant that reaches back
    /// to it.
    pub(super) fn owed_by_consent(&self, due: &Window, now: i64) -> Result<Vec<String>, PipelineError> {
        Ok(self.readers.with(|reader| reader.owed_by_consent(due.id, due.version, now))?)
    }

    /// Whether a destination is left alone by a version that is made for those that are owed one: it has what is shown
    /// already, or was given it, and nothing waits there whose place the version would take.
    pub(super) fn needs_no_row(
        &self,
        due: &Window,
        destination: &Destination,
        owed: &[String],
    ) -> Result<bool, PipelineError> {
        for id in self.readers.with(|reader| reader.queues_of_chart(due.id, &destination.id))? {
            if self.readers.with(|reader| reader.waits(due.id, &id))? {
                return Ok(false);
            }
        }
        Ok(!owed.contains(&destination.id))
    }
}
