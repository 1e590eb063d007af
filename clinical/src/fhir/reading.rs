//! Single sensor readings and single events as Observations: what a site may take beside the summary.
//!
//! Invariants: a reading's identifier is that of its source's own identity, so a correction replaces it and a
//! retraction takes it back (`entered-in-error`, without a value); a limit (`Low`, `High`) is a value with a
//! comparator. Each reading keeps the number and unit it was received in unless the site wants one unit for all; then
//! the number is re-expressed for this copy alone, and `method` says so with the factor.
//!
//! Numbers: a re-expressed value has two decimals in mg/dL and three in mmol/L, so that it leads back to what was
//! received (a step of 0.001 mmol/L is 0.018 mg/dL). At most [`READINGS_MOST`] in one call.

use serde_json::{Value, json};

use super::{
    codes::EVENT,
    figures::{Glucose, absent, body, code, concept_of, figures_of},
    identifier::{self, Scope, SiteSecret},
    metric::{LOINC, PROFILE_BASE},
    quantity::{QuantityUnit, quantity},
    subject::Subject,
    summary::{CATEGORY_SYSTEM, MeanUnit, Resource, Status},
};
use crate::{
    calendar::Zone,
    decimal::Decimal,
    events::Event,
    glucose::{Measured, Unit},
    reading::{Device, Instant, Reading, Standing},
};

/// Most readings of one call: 14 days of a 1-minute sensor. A request holds fewer still (`[limits]` of the receiver).
pub const READINGS_MOST: usize = 20_160;
/// LOINC codes of a sensor's glucose: mass and molar.
pub(super) const READING_CODES: [&str; 2] = ["99504-3", "105272-9"];
/// What people read beside either.
pub(super) const READING_TITLE: &str = "Sensor glucose";

/// The unit in which readings leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadingUnit {
    /// Each in its own.
    AsReceived,
    /// All in this one, by the factor mg/dL per mmol/L x 10^4 (180156).
    Only {
        /// The unit.
        unit: Unit,
        /// The factor.
        factor_e4: i64,
    },
}

/// What readings are written for.
#[derive(Clone, Copy)]
pub struct Readings<'a> {
    /// The destination's configured id.
    pub destination: &'a str,
    /// The box's internal id of the patient.
    pub patient: &'a str,
    /// The box's secret for identifiers.
    pub secret: &'a SiteSecret,
    /// Whom they are about.
    pub subject: &'a Subject,
    /// In which unit.
    pub unit: ReadingUnit,
}

/// Why there are no Observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadingError {
    /// More than [`READINGS_MOST`].
    #[error("{count} readings at once; at most {READINGS_MOST}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// A time outside the years 1 to 9999, which FHIR cannot write.
    #[error("a reading's time is outside the years 1 to 9999")]
    TimeOutOfRange,
}

/// One Observation for each reading, in their order.
///
/// # Errors
/// [`ReadingError`].
pub fn readings(about: &Readings<'_>, readings: &[(Device, Reading)]) -> Result<Vec<Resource>, ReadingError> {
    if readings.len() > READINGS_MOST {
        return Err(ReadingError::TooMany { count: readings.len() });
    }
    readings.iter().map(|(device, reading)| one(about, device, reading)).collect()
}

fn one(about: &Readings<'_>, device: &Device, reading: &Reading) -> Result<Resource, ReadingError> {
    let identifier = identifier::reading(about.secret, about.destination, about.patient, reading.identity);
    let unit = match about.unit {
        ReadingUnit::AsReceived => reading.glucose.unit,
        ReadingUnit::Only { unit, .. } => unit,
    };
    let (loinc, profile) = match unit {
        Unit::MgDl => (READING_CODES[0], "cgm-sensor-reading-mass-per-volume"),
        Unit::MmolL => (READING_CODES[1], "cgm-sensor-reading-moles-per-volume"),
    };
    let mut json = json!({
        "resourceType": "Observation",
        "meta": { "profile": [format!("{PROFILE_BASE}{profile}")] },
        "identifier": [identifier.to_json()],
        "status": match reading.standing {
            Standing::Final => "final",
            Standing::Corrected => "corrected",
            Standing::Retracted => "entered-in-error",
        },
        "category": [{ "coding": [{ "system": CATEGORY_SYSTEM, "code": "laboratory" }] }],
        "code": { "coding": [{ "system": LOINC, "code": loinc }], "text": READING_TITLE },
        "subject": about.subject.to_json(),
        "effectiveDateTime": date_time(reading.time, reading.offset_minutes)?,
    });
    let value = (reading.standing != Standing::Retracted).then(|| value(about.unit, reading)).flatten();
    match value {
        Some(value) => json["valueQuantity"] = value,
        None => json["dataAbsentReason"] = absent("unknown"),
    }
    if let ReadingUnit::Only { unit, factor_e4 } = about.unit
        && unit != reading.glucose.unit
    {
        let factor = Decimal::new(factor_e4, 4).map(|factor| factor.to_string()).unwrap_or_default();
        json["method"] = json!({ "text": format!("Isthmus: received in {}, re-expressed by the factor {factor}", match reading.glucose.unit {
            Unit::MgDl => "mg/dL",
            Unit::MmolL => "mmol/L",
        }) });
    }
    if !device.0.is_empty() {
        let device = identifier::device(about.secret, about.destination, &device.0);
        json["device"] = json!({ "type": "Device", "identifier": device.to_json() });
    }
    Ok(Resource { metric: None, json, identifier })
}

/// The quantity, with a comparator where the device gave a limit; `None` for what is out of a decimal's range.
fn value(wanted: ReadingUnit, reading: &Reading) -> Option<Value> {
    let glucose = reading.glucose;
    let (number, comparator) = match glucose.measured {
        Measured::Exact(number) => (number, None),
        Measured::Below(limit) => (limit, Some("<")),
        Measured::Above(limit) => (limit, Some(">")),
    };
    let (number, unit) = match wanted {
        ReadingUnit::Only { unit, factor_e4 } if unit != glucose.unit => {
            (re_expressed(number, unit, factor_e4)?, unit)
        }
        _ => (number, glucose.unit),
    };
    let unit = match unit {
        Unit::MgDl => QuantityUnit::MgDl,
        Unit::MmolL => QuantityUnit::MmolL,
    };
    let mut value = quantity(number, unit);
    if let Some(comparator) = comparator {
        value["comparator"] = comparator.into();
    }
    Some(value)
}

/// In the other unit, rounded half away from zero, in whole numbers throughout.
fn re_expressed(number: Decimal, to: Unit, factor_e4: i64) -> Option<Decimal> {
    let factor = i128::from(factor_e4);
    let rounded = |numerator: i128, denominator: i128| {
        (denominator > 0).then(|| (2 * numerator + numerator.signum() * denominator) / (2 * denominator))
    };
    let (digits, places) = match to {
        // 10^-9 mmol/L x 10^-4 -> 10^-2 mg/dL.
        Unit::MgDl => (rounded(number.scaled(9) * factor, 10i128.pow(11))?, 2),
        // 10^-9 mg/dL / 10^-4 -> 10^-3 mmol/L.
        Unit::MmolL => (rounded(number.scaled(9) * 10_000, factor.checked_mul(1_000_000)?)?, 3),
    };
    Decimal::new(i64::try_from(digits).ok()?, places)
}

/// A FHIR dateTime with the offset, or in UTC where none is known.
pub(super) fn date_time(at: Instant, offset_minutes: Option<i16>) -> Result<String, ReadingError> {
    let out = |_| ReadingError::TimeOutOfRange;
    let time = jiff::Timestamp::from_millisecond(at.0).map_err(out)?;
    let offset = jiff::tz::Offset::from_seconds(i32::from(offset_minutes.unwrap_or(0)) * 60).map_err(out)?;
    let civil = offset.to_datetime(time);
    if civil.year() < 1 {
        return Err(ReadingError::TimeOutOfRange);
    }
    let fraction = if at.0.rem_euclid(1_000) == 0 { "%Y-%m-%dT%H:%M:%S" } else { "%Y-%m-%dT%H:%M:%S.%3f" };
    let minutes = offset.seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    let (hours, rest) = (minutes.abs() / 60, minutes.abs() % 60);
    Ok(format!("{}{sign}{hours:02}:{rest:02}", civil.strftime(fraction)))
}

/// What events are written for.
#[derive(Clone, Copy)]
pub struct Events<'a> {
    /// The window that they lie in.
    pub scope: Scope<'a>,
    /// The box's secret for identifiers.
    pub secret: &'a SiteSecret,
    /// Whom they are about.
    pub subject: &'a Subject,
    /// First or later version of the window.
    pub status: Status,
    /// The unit of nadir and peak.
    pub unit: MeanUnit,
    /// mg/dL per mmol/L x 10^4.
    pub factor_e4: i64,
}

/// One Observation for each event, in their order. An event is identified by kind and start within its window.
///
/// # Errors
/// [`ReadingError`]; at most [`READINGS_MOST`] events.
pub fn events(about: &Events<'_>, events: &[Event]) -> Result<Vec<Resource>, ReadingError> {
    if events.len() > READINGS_MOST {
        return Err(ReadingError::TooMany { count: events.len() });
    }
    events.iter().map(|event| one_event(about, event)).collect()
}

fn one_event(about: &Events<'_>, event: &Event) -> Result<Resource, ReadingError> {
    let kind = concept_of(event.kind);
    let slug = format!("event {} {}", kind.code, event.start.0);
    let identifier = about.scope.named(about.secret, &slug);
    let local = |at: Instant| {
        let offset = Zone::named(about.scope.zone).ok().map(|zone| zone.offset_minutes(at));
        date_time(at, offset)
    };
    let glucose = Glucose::of(about.unit, about.factor_e4);
    let parts = body(EVENT, &figures_of(event, &glucose), &glucose);
    let mut json = json!({
        "resourceType": "Observation",
        "identifier": [identifier.to_json()],
        "status": about.status.code(),
        "category": [{ "coding": [{ "system": CATEGORY_SYSTEM, "code": "laboratory" }] }],
        "code": code(&EVENT),
        "subject": about.subject.to_json(),
        "effectivePeriod": { "start": local(event.start)?, "end": local(event.end)? },
        "valueCodeableConcept": code(&kind),
        "method": { "text": format!("Isthmus policy {}: {}", about.scope.policy, kind.definition) },
    });
    if let Some(parts) = parts.filter(|parts| !parts.components.is_empty()) {
        json["component"] = Value::Array(parts.components);
    }
    Ok(Resource { metric: None, json, identifier })
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
