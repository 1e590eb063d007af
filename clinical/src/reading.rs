//! One CGM reading: a glucose value with its time, device and the message it came from.
//!
//! A set of readings is a function of the messages received, not of the order they came in: two
//! versions of the same reading are ordered by [`Reading::precedence`], which never looks at arrival.

use crate::glucose::Glucose;

/// A moment in UTC, milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct Instant(pub i64);

impl Instant {
    /// Milliseconds in one minute.
    pub const MINUTE_MS: i64 = 60_000;
    /// Milliseconds in one UTC day.
    pub const DAY_MS: i64 = 86_400_000;

    /// The UTC day number (1970-01-01 is 0) that stored chunks are keyed by.
    pub const fn utc_day(self) -> i32 {
        self.0.div_euclid(Self::DAY_MS) as i32
    }
}

/// The way a reading came in. Declared in order of preference: where two routes carry the same
/// fact, the lesser one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// FHIR or a vendor's API.
    Fhir,
    /// HL7 v2 over MLLP.
    Hl7v2,
    /// A file: an export that a person made.
    File,
    /// A scan of an intermittently scanned sensor: never mixed into denominators with historic rows.
    Scan,
}

/// The standing of a version of a reading, from OBX-11 or FHIR `status`. What never counts
/// (preliminary and the like) does not become a reading. Declared in order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// `F`, `final`.
    Final,
    /// `C`, `corrected`, `amended`: replaces.
    Corrected,
    /// `D`, `W`, `entered-in-error`: takes the reading back.
    Retracted,
}

/// The name of a device as its source states it (serial, transmitter, OBX-18, export column);
/// empty where the source names none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Device(pub String);

/// One version of one reading. `device` is beside it, not in it: readings are kept per device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// When the sensor measured.
    pub time: Instant,
    /// The UTC offset the source stated or the zone gave, in minutes; `None` where unknown.
    pub offset_minutes: Option<i16>,
    /// The clock time fell into a repeated hour and nothing told which of the two was meant.
    pub tz_ambiguous: bool,
    /// The value as received.
    pub glucose: Glucose,
    /// Final, corrected or retracted.
    pub standing: Standing,
    /// The way in.
    pub route: Route,
    /// Hash of the source's own identity of this reading (OBX-21, else OBR-3 + OBX-3/4 + time).
    pub identity: u64,
    /// When the source made this version (OBR-22, else MSH-7), milliseconds UTC; 0 where unknown.
    pub made_at: Instant,
    /// The stored message (inbox id) that this version came from; 0 outside the store.
    pub message: u64,
}

impl Reading {
    /// The order that decides which version of one identity stands: a correction first, then the later
    /// making, then the content. It depends neither on arrival nor on how the value is spelled (5.0 is 5.00).
    pub fn precedence(&self) -> (bool, Instant, Standing, Glucose, Route) {
        (self.standing != Standing::Final, self.made_at, self.standing, self.glucose.trimmed(), self.route)
    }
}
