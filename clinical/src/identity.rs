//! Who a message is about: the one PID-3 repetition that a site's rule selects, and the identifiers beside it.
//!
//! Nothing is guessed: none, or more than one, matching repetition leaves the message without a patient, unless an
//! identifier beside it has been bound to exactly one.

use crate::birth_date::BirthDate;

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

/// An identifier that the site's rule does not select: a vendor's id, an account, another authority's number.
/// Two are the same where all three parts are equal.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identifier {
    /// The assigning authority (CX.4: namespace id, or the universal id where only that is given); may be empty.
    pub authority: String,
    /// The identifier type (CX.5); may be empty.
    pub kind: String,
    /// The identifier itself: patient data.
    pub value: String,
}

impl std::fmt::Debug for Identifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identifier").field("authority", &self.authority).finish_non_exhaustive()
    }
}

/// An identifier of either kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// One that the site's rule selects: it names a patient.
    Patient(PatientKey),
    /// Any other: it names a patient where it is bound to one.
    Other(Identifier),
}

/// What a message says of one detail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stated<T> {
    /// Nothing: what was known stays.
    #[default]
    Unstated,
    /// That it is not so any more (HL7's null).
    Withdrawn,
    /// This.
    Value(T),
}

/// What a message says of a person, for pages and for comparing. Its `Debug` shows nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// PID-5, as `family, given`.
    pub name: Stated<String>,
    /// PID-7.
    pub birth_date: Stated<BirthDate>,
    /// PID-29 and PID-30: `Y`, or the digits of the date of death.
    pub death: Stated<String>,
}

impl std::fmt::Debug for Details {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Details(..)")
    }
}

/// A person as a PID segment has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The identifier that names the patient at this site.
    pub patient: PatientKey,
    /// The identifiers beside it.
    pub others: Vec<Identifier>,
    /// Name, birth date and death.
    pub details: Details,
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
    /// The matching repetition holds bytes that are not of the message's character set.
    #[error("the PID-3 repetition of the wanted type and authority is not in the character set of MSH-18")]
    Garbled,
    /// Several repetitions match and differ.
    #[error("more than one PID-3 repetition of the wanted type and authority")]
    Ambiguous,
    /// More identifiers than one person has.
    #[error("too many identifiers of one person")]
    TooMany,
    /// A second message stands inside: nobody can tell whose identifiers these are.
    #[error("a second MSH inside the message")]
    SecondHeader,
}
