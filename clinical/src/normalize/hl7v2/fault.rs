//! Why a segment did not become a reading: places and fixed texts, nothing of the content.

/// Why a segment did not become a reading. Holds nothing of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The segment's name.
    pub segment: &'static str,
    /// The segment's place among the message's segments, from 1.
    pub ordinal: u32,
    /// The field, where it is one field's fault.
    pub field: Option<u8>,
    /// What is wrong.
    pub reason: FaultReason,
}

/// Where in a message something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The segment's name.
    pub segment: &'static str,
    /// Its place among the message's segments, from 1.
    pub ordinal: u32,
    /// Which field, from 1.
    pub field: u8,
}

/// What is wrong with a segment: a closed set of fixed texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum FaultReason {
    /// The message does not start with an MSH segment.
    #[error("the message does not start with MSH")]
    NoHeader,
    /// MSH-9 is not ORU^R01.
    #[error("the message is not ORU^R01")]
    NotOruR01,
    /// A second MSH inside the message; what follows it was not read.
    #[error("a second MSH inside the message")]
    SecondHeader,
    /// More identifiers than [`super::IDENTIFIERS_MOST`] in a field; nothing of the message was applied.
    #[error("too many identifiers of one person")]
    TooManyIdentifiers,
    /// More than [`super::adt::CHANGES_MOST`]; nothing of the message was applied.
    #[error("too many changes of who is who in one message")]
    TooManyChanges,
    /// OBX-3 has a sensor's code without its coding system.
    #[error("a sensor code without its coding system")]
    CodeWithoutSystem,
    /// OBX-2 is not NM, SN or ST.
    #[error("the value type is not NM, SN or ST")]
    ValueTypeUnsupported,
    /// OBX-5 is empty.
    #[error("no value")]
    ValueMissing,
    /// OBX-5 is neither a number nor a limit.
    #[error("the value is neither a number nor a limit")]
    ValueNotANumber,
    /// OBX-5 repeats, or is a range or a ratio.
    #[error("more than one value")]
    SeveralValues,
    /// OBX-5 is not above 0, or above 1000 mg/dL or 55.5 mmol/L.
    #[error("the value is implausible")]
    ValueImplausible,
    /// OBX-6 is empty.
    #[error("no unit")]
    UnitMissing,
    /// OBX-6 is neither mg/dL nor mmol/L, or both.
    #[error("the unit is not known")]
    UnitUnknown,
    /// OBX-6 is not the unit that the code means.
    #[error("the unit contradicts the code")]
    UnitContradictsCode,
    /// OBX-11 is empty.
    #[error("no status")]
    StatusMissing,
    /// OBX-11 is not a status that is understood.
    #[error("the status is not known")]
    StatusUnknown,
    /// OBX-14 is empty and OBR-7 may not stand in for it.
    #[error("no observation time")]
    TimeMissing,
    /// The time is not an HL7 time, or outside the years 1900 to 2200.
    #[error("the observation time cannot be read")]
    TimeUnreadable,
    /// The time has no hour and minute.
    #[error("the observation time is a date without a time")]
    TimeTooCoarse,
    /// The clocks skipped this time.
    #[error("the observation time does not exist in the time zone")]
    TimeNonexistent,
    /// A message about one patient has a second PID.
    #[error("a second PID in a message about one patient")]
    SecondPatient,
    /// A message about two patients does not have two PID.
    #[error("a message about two patients without two PID")]
    NotTwoPatients,
    /// Several identifiers of the site's kind, and they differ.
    #[error("more than one identifier of the kind that names patients here")]
    SeveralPatients,
    /// No identifier of the site's kind where the event needs one.
    #[error("no identifier of the kind that names patients here")]
    NoPatient,
    /// An MRG without a PID before it.
    #[error("an MRG without a PID before it")]
    NoPatientBefore,
    /// A PID without the MRG that says what became of it.
    #[error("a PID without its MRG")]
    NoPrior,
}
