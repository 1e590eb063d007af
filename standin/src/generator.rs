//! Made-up people with realistic CGM, from a seed: the same seed gives the same bytes.
//!
//! Invariants: pure, no clock; readings come in order of time, each with the UTC offset its wall clock
//! had; a value is text as a device displays it, in the unit it displays. Numbers: a reading every
//! [`INTERVAL_S`] seconds, sensors of [`SENSOR_DAYS`] days, display limits 40 and 400 mg/dL, one decimal
//! in mmol/L. The bodies are in `physiology`, the sensors' faults in `sensor`, the names in `person`.

mod person;
mod physiology;
mod sensor;

use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan, Zoned};
use rand::SeedableRng;
use rand::rngs::StdRng;
use thiserror::Error;

pub use person::Person;

/// Seconds between two readings of a sensor.
pub const INTERVAL_S: i64 = 300;
/// Days a sensor is worn before the next one.
pub const SENSOR_DAYS: i64 = 10;
/// More days than this are no demo: three years.
pub const DAYS_MAX: u32 = 1_096;
/// More patients than this are no demo either.
pub const PATIENTS_MAX: u32 = 10_000;

/// What to make.
#[derive(Debug, Clone)]
pub struct GeneratorSettings {
    /// Everything follows from it.
    pub seed: u64,
    /// How many people, at most [`PATIENTS_MAX`].
    pub patients: u32,
    /// Local days of data per person, at most [`DAYS_MAX`].
    pub days: u32,
    /// The first local day without data.
    pub end: Date,
    /// Where they all live.
    pub zone: TimeZone,
    /// From this day on (0 the first) every other person's receiver shows mmol/L.
    pub unit_switch_day: Option<u32>,
}

/// A request that cannot be met.
#[derive(Debug, Error)]
pub enum GeneratorError {
    /// More patients or days than the limits.
    #[error("at most {PATIENTS_MAX} patients and {DAYS_MAX} days")]
    TooMuch,
    /// The period leaves the calendar.
    #[error("the period is outside the calendar")]
    Calendar(#[from] jiff::Error),
}

/// The unit a receiver shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DisplayUnit {
    /// Whole numbers, 40 to 400.
    MgPerDl,
    /// One decimal, 2.2 to 22.2.
    MmolPerL,
}

/// What the receiver shows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Display {
    /// A number as text.
    Number(String),
    /// Below the range: `LOW`.
    Low,
    /// Above the range: `HIGH`.
    High,
}

/// One reading as the receiver stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SensorReading {
    /// When, whole seconds.
    pub at: Timestamp,
    /// What the wall clock was ahead of UTC then.
    pub offset: Offset,
    /// What was shown.
    pub display: Display,
    /// In which unit.
    pub unit: DisplayUnit,
    /// The sensor's serial number.
    pub serial: String,
}

/// One person and all they have measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Who.
    pub person: Person,
    /// In order of time.
    pub readings: Vec<SensorReading>,
}

/// Makes all people and their readings.
///
/// # Errors
/// When more is asked than the limits allow or the calendar holds.
pub fn generate(settings: &GeneratorSettings) -> Result<Vec<Series>, GeneratorError> {
    if settings.patients > PATIENTS_MAX || settings.days > DAYS_MAX {
        return Err(GeneratorError::TooMuch);
    }
    (0..settings.patients).map(|index| series(settings, index)).collect()
}

fn series(settings: &GeneratorSettings, index: u32) -> Result<Series, GeneratorError> {
    // Each person has a stream of their own, so that one more person changes nothing for the others.
    let mut rng =
        StdRng::seed_from_u64(settings.seed ^ (u64::from(index) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let person = Person::made_up(&mut rng, index);
    let days = local_days(settings)?;
    let body = physiology::Body::made_up(&mut rng, &days);
    let switch = settings
        .unit_switch_day
        .filter(|_| index.is_multiple_of(2))
        .and_then(|day| days.get(day as usize))
        .map(Zoned::timestamp);
    let mut readings = Vec::new();
    for sample in sensor::samples(&mut rng, &days, &body) {
        let unit = match switch {
            Some(switch) if sample.at >= switch => DisplayUnit::MmolPerL,
            _ => DisplayUnit::MgPerDl,
        };
        readings.push(SensorReading {
            at: sample.at,
            offset: settings.zone.to_offset(sample.at),
            display: unit.display(sample.mg_per_dl),
            unit,
            serial: sample.serial,
        });
    }
    Ok(Series { person, readings })
}

/// The midnights of all days and the one that ends the last; days of 23 and 25 hours come out right.
fn local_days(settings: &GeneratorSettings) -> Result<Vec<Zoned>, GeneratorError> {
    let first = settings.end.checked_sub(i64::from(settings.days).days())?;
    (0..=i64::from(settings.days))
        .map(|day| Ok(first.checked_add(day.days())?.to_zoned(settings.zone.clone())?))
        .collect()
}

impl DisplayUnit {
    /// As a device shows a concentration given in mg/dL: censored outside 40 to 400, else rounded.
    pub fn display(self, mg_per_dl: f64) -> Display {
        // Molar mass of glucose 180.156 g/mol (IUPAC), a tenth for the litre and the gram.
        const MG_PER_DL_PER_MMOL_PER_L: f64 = 18.0156;
        match mg_per_dl.round() {
            rounded if rounded < 40.0 => Display::Low,
            rounded if rounded > 400.0 => Display::High,
            rounded => Display::Number(match self {
                Self::MgPerDl => format!("{rounded:.0}"),
                Self::MmolPerL => format!("{:.1}", mg_per_dl / MG_PER_DL_PER_MMOL_PER_L),
            }),
        }
    }

    /// The lowest and highest number shown, as text.
    pub fn limits(self) -> (&'static str, &'static str) {
        match self {
            Self::MgPerDl => ("40", "400"),
            Self::MmolPerL => ("2.2", "22.2"),
        }
    }
}

#[cfg(test)]
#[path = "generator_tests.rs"]
mod tests;
