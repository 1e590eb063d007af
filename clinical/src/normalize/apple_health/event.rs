//! What of an Apple Health export is an app event: insulin, carbohydrate, heart rate, steps and workouts.
//!
//! An amount counts in the one unit that its type is exported in; in another one the event has no amount. The reason of an
//! insulin delivery (`HKInsulinDeliveryReason`: 1 basal, 2 bolus) is metadata of its record; basal may be a pump's or a
//! pen's, so it is insulin of a sort that is not stated.

use quick_xml::{XmlVersion, events::BytesStart};

use super::{
    super::{
        iso::IsoTime,
        logged::Said,
        stream::{Log, Taken},
    },
    Apart, FileContext, device, number,
};
use crate::{app_event::EventKind, decimal::Decimal};

/// Metadata: why insulin was delivered.
const REASON: &str = "HKInsulinDeliveryReason";
const BOLUS: &str = "2";

/// The types of records that are events, with the unit of their values.
const TYPES: [(&str, EventKind, &str); 4] = [
    ("HKQuantityTypeIdentifierInsulinDelivery", EventKind::OtherInsulin, "IU"),
    ("HKQuantityTypeIdentifierDietaryCarbohydrates", EventKind::Carbohydrate, "g"),
    ("HKQuantityTypeIdentifierHeartRate", EventKind::HeartRate, "count/min"),
    ("HKQuantityTypeIdentifierStepCount", EventKind::Steps, "count"),
];

/// An event that is open: its metadata may follow.
pub(super) struct Happening {
    kind: EventKind,
    unit: &'static str,
    found: Attributes,
}

#[derive(Default)]
struct Attributes {
    value: String,
    unit: String,
    start: String,
    source: String,
}

impl Happening {
    /// Of a record of this type; `None` where it is no event.
    pub(super) fn of_record(element: &BytesStart<'_>, kind: &str) -> Option<Self> {
        let (_, kind, unit) = *TYPES.iter().find(|(name, ..)| *name == kind)?;
        Some(Self { kind, unit, found: Attributes::of(element, ["value", "unit"]) })
    }

    /// Of a workout.
    pub(super) fn of_workout(element: &BytesStart<'_>) -> Self {
        let found = Attributes::of(element, ["duration", "durationUnit"]);
        Self { kind: EventKind::Exercise, unit: "min", found }
    }

    /// Takes a line of its metadata.
    pub(super) fn note(&mut self, element: &BytesStart<'_>) {
        if self.kind == EventKind::OtherInsulin && super::says(element, REASON, BOLUS) {
            self.kind = EventKind::RapidInsulin;
        }
    }

    pub(super) fn take(self, context: &FileContext<'_>) -> Taken {
        let Self { kind, unit, found } = self;
        let stated = number::fixed(&found.value).map(|fixed| fixed.value).filter(|_| found.unit == unit);
        let value = match kind {
            EventKind::Exercise => {
                stated.and_then(|minutes| Decimal::new(minutes.digits().checked_mul(60)?, minutes.places()))
            }
            _ => stated,
        };
        let apart = match kind {
            EventKind::RapidInsulin | EventKind::OtherInsulin => Apart::Insulin,
            EventKind::Carbohydrate => Apart::Food,
            _ => Apart::Event,
        };
        let moment = IsoTime::parse(&found.start).and_then(|at| at.moment(context.zone).ok());
        Log { device: device(&found.source), moment, said: vec![Said { kind, value }] }.taken(apart)
    }
}

impl Attributes {
    /// What cannot be read stays empty: an event without it is still one.
    fn of(element: &BytesStart<'_>, [value, unit]: [&str; 2]) -> Self {
        let mut found = Self::default();
        for attribute in element.attributes().flatten() {
            let place = match attribute.key.0 {
                name if name == value => &mut found.value,
                name if name == unit => &mut found.unit,
                "startDate" => &mut found.start,
                "sourceName" => &mut found.source,
                _ => continue,
            };
            if let Ok(text) = attribute.normalized_value(XmlVersion::Implicit1_0) {
                text.trim().clone_into(place);
            }
        }
        found
    }
}
