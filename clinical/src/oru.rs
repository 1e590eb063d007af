//! ORU^R01 out (HL7 v2.5.1 for a summary, v2.6 for raw readings, which first has OBX-21; chapters 2, 4 and 7): an outcome, or raw readings, for a receiver without FHIR.
//!
//! HL7 has published no mapping of the CGM guide to v2; this one is ours (reference: cgm, section 6):
//!
//! | what | where |
//! |---|---|
//! | the window | one OBR: OBR-4 `107931-8^^LN`; OBR-7 and OBR-8 its first and last included date |
//! | a number of the outcome | an NM OBX under its LOINC, or under our own code of `99ISTHMUS`; OBX-6 its UCUM unit |
//! | a withheld number | the same OBX without a value, OBX-11 `X`, and the reason in an NTE where there is one |
//! | the zone of the GRI | CWE |
//! | the report | ED: type, subtype, `Base64`, the file |
//! | a correction | the same OBR-3, OBR-22 the time of the new version, OBR-25 and OBX-11 `C` |
//! | a raw reading | OBX-3 `160212^MDC_CONC_GLU_ISF^MDC^99504-3^^LN` (105272-9 for mmol/L), in the unit received; OBX-14 with offset; OBX-18 the sensor; OBX-21 the reading's own identity; OBX-11 `F`, `C` or `D` |
//! | a limit | SN: `<^40`, `>^400` |
//!
//! Invariants:
//! - The summary is made from the canonical Observations of [`crate::fhir::summary`] and not computed again: what FHIR
//!   and HL7 v2 say of a window is the same text of the same number.
//! - Everything that comes from outside is escaped, so no value can add a field or a segment.
//! - What [`crate::normalize::hl7v2`] reads of the raw readings is what went in: instant, offset, value, unit, standing,
//!   device (a property test). The mark of an ambiguous hour is lost: a stated offset leaves none.
//! - The message names its patient by an identifier alone; PID-5 says that the name is not given.
//!
//! Numbers: MSH-10 has at most [`CONTROL_ID_MOST`] characters and OBR-3 at most [`FILLER_MOST`]; at most
//! [`OBX_MOST`] OBX a message.

mod raw;
mod sealed;
mod segment;
mod summary;

use self::segment::{Line, time};
pub use self::{
    raw::readings,
    sealed::sealed,
    segment::{Separators, escape},
    summary::summary,
};
use crate::{fhir::report::ReportError, reading::Instant};

/// Longest MSH-10 (v2.5.1, 2.15.9.10: ST of 20).
pub const CONTROL_ID_MOST: usize = 20;
/// Longest OBR-3.1: what older receivers keep of an entity identifier (v2.3 to 2.4: 22; EI of 2.5.1: 199).
pub const FILLER_MOST: usize = 199;
/// Most OBX of one message: a day of a 1-minute sensor. Engines refuse messages of some megabytes.
pub const OBX_MOST: usize = 1_440;
/// The name of our code system in v2 (HL7 table 0396: local ones begin with 99).
pub const LOCAL_SYSTEM: &str = "99ISTHMUS";

/// A field that is there to say that it has no value.
const NULL: &str = "\"\"";

/// Why there is no message. Nothing of a patient is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OruError {
    /// MSH-10 is empty or longer than [`CONTROL_ID_MOST`].
    #[error("a control id has 1 to {CONTROL_ID_MOST} characters")]
    ControlId,
    /// OBR-3 is empty or longer than [`FILLER_MOST`].
    #[error("a filler order number has 1 to {FILLER_MOST} characters")]
    Filler,
    /// PID-3 has no value, or `""`, which says in HL7 that there is none (chapter 2: the null value).
    #[error("a patient has an identifier")]
    Patient,
    /// A time outside the years 1 to 9999.
    #[error("a time is outside the years 1 to 9999")]
    TimeOutOfRange,
    /// Nothing to report.
    #[error("a message needs at least one result")]
    NoResult,
    /// More than [`OBX_MOST`].
    #[error("{count} results in one message; at most {OBX_MOST}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// The report cannot be attached.
    #[error("{0}")]
    Report(#[from] ReportError),
}

/// Who sends to whom, and the message's own name.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// MSH-3 and MSH-4.
    pub from: (&'a str, &'a str),
    /// MSH-5 and MSH-6.
    pub to: (&'a str, &'a str),
    /// MSH-7.
    pub sent: Instant,
    /// MSH-10, the same each time this message is made.
    pub control_id: &'a str,
    /// MSH-11: `P`, `T` or `D`.
    pub processing: char,
}

/// The patient, as PID-3 names them. No Debug.
#[derive(Clone, Copy)]
pub struct Person<'a> {
    /// CX.1.
    pub value: &'a str,
    /// CX.4.1.
    pub authority: &'a str,
    /// CX.5, `MR`.
    pub kind: &'a str,
}

/// The order that results stand under.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// OBR-2: the order of the site that these results answer; `None` for unsolicited ones.
    pub placer: Option<&'a str>,
    /// OBR-3: the same for every version of these results.
    pub filler: &'a str,
    /// OBR-22: when this version was made.
    pub reported: Instant,
    /// Whether an earlier version was sent: OBR-25 and OBX-11 are `C`.
    pub corrected: bool,
}

impl Order<'_> {
    const fn status(&self) -> &'static str {
        if self.corrected { "C" } else { "F" }
    }
}

/// MSH and PID, in ER7 with carriage returns.
fn head(
    envelope: &Envelope<'_>,
    person: &Person<'_>,
    version: &str,
    ascii: bool,
) -> Result<String, OruError> {
    if envelope.control_id.is_empty() || envelope.control_id.chars().count() > CONTROL_ID_MOST {
        return Err(OruError::ControlId);
    }
    if person.value.is_empty() || person.value == NULL {
        return Err(OruError::Patient);
    }
    let mut msh = Line::header();
    msh.text(envelope.from.0).text(envelope.from.1).text(envelope.to.0).text(envelope.to.1);
    msh.text(&time(envelope.sent, Some(0)).ok_or(OruError::TimeOutOfRange)?).empty(1);
    msh.parts(&["ORU", "R01", "ORU_R01"]).text(envelope.control_id);
    msh.text(envelope.processing.encode_utf8(&mut [0; 4])).text(version);
    if !ascii {
        msh.empty(5).text("UNICODE UTF-8");
    }
    let mut pid = Line::new("PID");
    pid.text("1").empty(1).parts(&[person.value, "", "", person.authority, person.kind]).empty(1);
    // XPN.7 of U: unspecified (HL7 table 0200). PID-5 is required, and the name is not ours to spread.
    pid.parts(&["", "", "", "", "", "", "U"]);
    Ok(msh.end() + &pid.end())
}

/// OBR with a service and its period. `period` are OBR-7 and OBR-8, as they stand in the field.
fn order(order: &Order<'_>, service: &[&str], period: (&str, &str)) -> Result<String, OruError> {
    if order.filler.is_empty() || order.filler.chars().count() > FILLER_MOST {
        return Err(OruError::Filler);
    }
    let mut obr = Line::new("OBR");
    obr.text("1").text(order.placer.unwrap_or_default());
    obr.parts(&[order.filler, "ISTHMUS"]).parts(service).empty(2).text(period.0).text(period.1);
    obr.empty(13).text(&time(order.reported, Some(0)).ok_or(OruError::TimeOutOfRange)?);
    obr.empty(2).text(order.status());
    Ok(obr.end())
}

#[cfg(test)]
mod tests;
