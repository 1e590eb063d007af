//! What a treatment says of insulin, carbohydrate, exercise and sensors.

use super::{
    super::{
        clock::{Moment, Zone},
        iso::IsoTime,
        logged::Said,
        member,
        stream::Log,
    },
    Apart, Entry, Taken,
};
use crate::{app_event::EventKind, reading::Device};

/// The types of treatment whose insulin is a pump's or pen's rapid one.
const BOLUSES: [&str; 7] =
    ["Bolus", "Bolus Wizard", "Combo Bolus", "Correction Bolus", "Meal Bolus", "SMB", "Snack Bolus"];

impl Entry {
    /// What is no entry of glucose.
    pub(super) fn treatment(&self, zone: &Zone) -> Taken {
        let kind = match (&self.insulin, &self.carbs) {
            (Some(_), _) => Apart::Insulin,
            (None, Some(_)) => Apart::Food,
            (None, None) => Apart::Event,
        };
        let mut said = Vec::new();
        match member::text(&self.event_type) {
            "Sensor Start" | "Sensor Change" => said.push(Said { kind: EventKind::SensorStart, value: None }),
            "Temp Basal" => {
                // A rate in per cent of the profile's is no number of units.
                let value = member::amount(&self.absolute).or_else(|| member::amount(&self.rate));
                said.push(Said { kind: EventKind::BasalRate, value });
            }
            "Exercise" => {
                let value = member::minutes_as_seconds(&self.duration);
                said.push(Said { kind: EventKind::Exercise, value });
            }
            _ => {}
        }
        let bolus = BOLUSES.contains(&member::text(&self.event_type));
        let insulin = if bolus { EventKind::RapidInsulin } else { EventKind::OtherInsulin };
        for (kind, stated) in [(insulin, &self.insulin), (EventKind::Carbohydrate, &self.carbs)] {
            let value = member::amount(stated);
            // A form that was left empty is stored as 0.
            if stated.is_some() && value.is_none_or(|value| value.digits() != 0) {
                said.push(Said { kind, value });
            }
        }
        // A start names no sensor; another event is kept under its uploader.
        let starts = said.iter().any(|said| said.kind == EventKind::SensorStart);
        let device = if starts { Device(String::new()) } else { member::device([&self.device]) };
        Log { device, moment: self.treated_at(zone), said }.taken(kind)
    }

    /// `created_at`, which is what Nightscout's own pages go by, else the time of an entry.
    fn treated_at(&self, zone: &Zone) -> Option<Moment> {
        let created = IsoTime::parse(member::text(&self.created_at));
        created.and_then(|at| at.moment(zone).ok()).or_else(|| self.moment(zone).ok())
    }
}
