//! What a patient's apps and devices recorded beside glucose: insulin, carbohydrate, exercise, heart rate, steps, and
//! when a sensor was started.
//!
//! Invariants: an event is never a glucose value; of its kinds only the start of a sensor bears on an outcome, by the
//! warm-up that a policy leaves out; its number is the one that the source wrote, as digits and places, in the one unit
//! that its kind has; no text of the source is kept, because a note may name anybody. Of one device, events of one kind,
//! time and amount are one event, whatever brought them.

mod day;
mod tally;

use std::cmp::Ordering;

pub use self::{
    day::{EventDay, EventDayError, EventsMerged},
    tally::{Sum, distinct, tally},
};
use crate::{decimal::Decimal, normalize::file::Format, reading::Instant};

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppEvent {
    /// When it was, or when it began.
    pub time: Instant,
    /// The UTC offset the source stated or the zone gave, in minutes; `None` where unknown.
    pub offset_minutes: Option<i16>,
    /// The clock time fell into a repeated hour; the earlier instant was taken.
    pub tz_ambiguous: bool,
    /// What it was.
    pub kind: EventKind,
    /// How much, in the unit of [`EventKind::unit`]; `None` where the source logged the event without a number.
    pub value: Option<Decimal>,
    /// The format of the source.
    pub source: Format,
    /// The stored message (inbox id) that it came from; 0 outside the store.
    pub message: u64,
}

impl AppEvent {
    /// Whether `other`, of the same device, is this event: its kind, time and amount; `2` and `2.0` are one amount.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.compare(other).is_eq()
    }

    /// The order of events of one device: time, kind, amount. Equal are those that are one event.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        let amount = match (self.value, other.value) {
            (Some(ours), Some(theirs)) => ours.cmp_value(theirs),
            (ours, theirs) => ours.is_some().cmp(&theirs.is_some()),
        };
        (self.time, self.kind).cmp(&(other.time, other.kind)).then(amount)
    }
}

/// What an event was: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// A dose of rapid-acting insulin, or a bolus of a pump.
    RapidInsulin,
    /// A dose of long-acting insulin.
    LongInsulin,
    /// A dose of insulin of a sort that the source does not state.
    OtherInsulin,
    /// A basal rate of a pump, from this time on.
    BasalRate,
    /// What a pump delivered by itself in a day, stated at one time of that day: no single dose.
    DailyInsulin,
    /// Carbohydrate that was eaten.
    Carbohydrate,
    /// Carbohydrate that was eaten, in servings of a size that only the patient knows.
    CarbohydrateServings,
    /// Exercise, by its duration.
    Exercise,
    /// A heart rate.
    HeartRate,
    /// Steps.
    Steps,
    /// A sensor was started, as its source states; it has no number.
    SensorStart,
}

impl EventKind {
    /// All of them. A new one goes to the end: places in this list are stored.
    pub const ALL: [Self; 11] = [
        Self::RapidInsulin,
        Self::LongInsulin,
        Self::OtherInsulin,
        Self::BasalRate,
        Self::DailyInsulin,
        Self::Carbohydrate,
        Self::CarbohydrateServings,
        Self::Exercise,
        Self::HeartRate,
        Self::Steps,
        Self::SensorStart,
    ];

    /// Whether the sum of its numbers says anything: that of rates does not.
    #[must_use]
    pub const fn adds_up(self) -> bool {
        !matches!(self, Self::BasalRate | Self::HeartRate | Self::SensorStart)
    }

    /// The unit of its numbers.
    #[must_use]
    pub const fn unit(self) -> EventUnit {
        match self {
            Self::RapidInsulin | Self::LongInsulin | Self::OtherInsulin | Self::DailyInsulin => {
                EventUnit::Units
            }
            Self::BasalRate => EventUnit::UnitsPerHour,
            Self::Carbohydrate => EventUnit::Grams,
            Self::CarbohydrateServings => EventUnit::Servings,
            Self::Exercise => EventUnit::Seconds,
            Self::HeartRate => EventUnit::PerMinute,
            Self::Steps | Self::SensorStart => EventUnit::Count,
        }
    }

    /// Its name for people and scripts: lower case with hyphens.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RapidInsulin => "rapid-insulin",
            Self::LongInsulin => "long-insulin",
            Self::OtherInsulin => "insulin",
            Self::BasalRate => "basal-rate",
            Self::DailyInsulin => "daily-insulin",
            Self::Carbohydrate => "carbohydrate",
            Self::CarbohydrateServings => "carbohydrate-servings",
            Self::Exercise => "exercise",
            Self::HeartRate => "heart-rate",
            Self::Steps => "steps",
            Self::SensorStart => "sensor-start",
        }
    }
}

/// The unit of an event's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventUnit {
    /// International units of insulin.
    Units,
    /// Units of insulin an hour.
    UnitsPerHour,
    /// Grams.
    Grams,
    /// Servings.
    Servings,
    /// Seconds.
    Seconds,
    /// Beats a minute.
    PerMinute,
    /// A number of things.
    Count,
}

impl EventUnit {
    /// Its UCUM code; UCUM writes units of insulin `[iU]`, and servings as an annotation.
    #[must_use]
    pub const fn ucum(self) -> &'static str {
        match self {
            Self::Units => "[iU]",
            Self::UnitsPerHour => "[iU]/h",
            Self::Grams => "g",
            Self::Servings => "{servings}",
            Self::Seconds => "s",
            Self::PerMinute => "/min",
            Self::Count => "{count}",
        }
    }
}
