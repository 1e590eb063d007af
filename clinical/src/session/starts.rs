//! To which device a stated session start belongs.
//!
//! Rule: a start belongs to the device that its source names. Where it names none (Nightscout's treatments), it belongs
//! to the one device that has readings; where several have, it is nobody's, because leaving out another sensor's readings
//! would be a guess. What is nobody's is counted, to be told.

use std::collections::BTreeSet;

use crate::{
    app_event::{AppEvent, EventKind},
    reading::{Device, Instant, Reading},
};

/// Stated session starts with their devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Starts {
    /// By device and time, each once.
    pub of: Vec<(Device, Instant)>,
    /// Starts of a device without readings, or of one that is not named where several have readings.
    pub unattributed: u64,
}

/// The session starts among `events`, each with the device of `streams` that it belongs to.
#[must_use]
pub fn attributed<'a>(
    events: impl IntoIterator<Item = &'a (Device, AppEvent)>,
    streams: &[(Device, Vec<Reading>)],
) -> Starts {
    let devices: BTreeSet<&Device> =
        streams.iter().filter(|(_, readings)| !readings.is_empty()).map(|(device, _)| device).collect();
    let only = devices.first().filter(|_| devices.len() == 1);
    let stated: BTreeSet<(&Device, Instant)> = events
        .into_iter()
        .filter(|(_, event)| event.kind == EventKind::SensorStart)
        .map(|(device, event)| (device, event.time))
        .collect();
    let mut found = BTreeSet::new();
    let mut unattributed = 0;
    for (device, start) in stated {
        match (devices.get(device), only) {
            (Some(device), _) => {
                found.insert(((*device).clone(), start));
            }
            (None, Some(only)) if device.0.is_empty() => {
                found.insert(((*only).clone(), start));
            }
            _ => unattributed += 1,
        }
    }
    Starts { of: found.into_iter().collect(), unattributed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        glucose::Glucose,
        normalize::file::Format,
        reading::{Route, Standing},
    };

    fn event(device: &str, kind: EventKind, at: i64) -> (Device, AppEvent) {
        let source = Format::Nightscout;
        let (offset_minutes, tz_ambiguous, value, message) = (None, false, None, 0);
        let time = Instant(at);
        let event = AppEvent { time, offset_minutes, tz_ambiguous, kind, value, source, message };
        (Device(device.into()), event)
    }

    fn stream(device: &str) -> (Device, Vec<Reading>) {
        let reading = Reading {
            time: Instant(0),
            offset_minutes: None,
            tz_ambiguous: false,
            glucose: Glucose::mg_dl(100),
            standing: Standing::Final,
            route: Route::File,
            identity: 0,
            made_at: Instant(0),
            message: 0,
        };
        (Device(device.into()), vec![reading])
    }

    #[test]
    fn a_start_is_its_devices_or_the_only_ones_and_never_a_guess() {
        use EventKind::{SensorStart, Steps};
        let events = [
            event("", SensorStart, 1),
            event("", SensorStart, 1),
            event("A", SensorStart, 2),
            event("gone", SensorStart, 3),
            event("A", Steps, 4),
        ];
        let (a, b) = (Device("A".into()), Instant);
        let one = attributed(&events, &[stream("A"), (Device("B".into()), Vec::new())]);
        assert_eq!(one, Starts { of: vec![(a.clone(), b(1)), (a.clone(), b(2))], unattributed: 1 });
        let two = attributed(&events, &[stream("A"), stream("B")]);
        assert_eq!(two, Starts { of: vec![(a, b(2))], unattributed: 2 });
        assert_eq!(attributed(&events, &[]), Starts { of: Vec::new(), unattributed: 3 });
    }
}
