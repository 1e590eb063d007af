//! Who a message is about: the one PID-3 repetition that a site's rule selects.
//!
//! Nothing is guessed: none, or more than one, matching repetition leaves the message without a patient.

/// A patient's identifier as it leaves the box: FHIR system and value.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PatientKey {
    /// The system URI (`urn:oid:1.2.3`, `urn:isthmus:authority:NORTH`).
    pub system: String,
    /// The identifier itself: patient data.
    pub value: String,
}

impl std::fmt::Debug for PatientKey {
    /// Without the value: what is printed for debugging may end in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PatientKey").field("system", &self.system).finish_non_exhaustive()
    }
}

/// A site's rule for the PID-3 repetition that names the patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatientRule {
    /// The assigning authority (PID-3.4, namespace id) that must match; `None` accepts any.
    pub authority: Option<String>,
    /// The identifier type (PID-3.5) that must match.
    pub kind: String,
    /// The system URI to write; `None` makes `urn:isthmus:authority:<namespace>`.
    pub system: Option<String>,
}

impl Default for PatientRule {
    /// The one repetition of type `MR`, whoever assigned it.
    fn default() -> Self {
        Self { authority: None, kind: "MR".to_owned(), system: None }
    }
}

/// Why a message has no patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityFault {
    /// The message has no PID segment.
    #[error("no PID segment")]
    NoPid,
    /// No repetition of PID-3 has the wanted type and authority.
    #[error("no PID-3 repetition of the wanted type and authority")]
    NoMatch,
    /// Several repetitions match and differ.
    #[error("more than one PID-3 repetition of the wanted type and authority")]
    Ambiguous,
}
