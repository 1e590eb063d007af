//! What a file says of insulin, food and the like, gathered row by row: of each kind a bounded number of events.
//!
//! Invariants: an event keeps the device that its row names; one whose time cannot be read, or that is beyond the bound
//! of its kind, is counted. The bound is for each kind by itself, so that a year of steps crowds out no dose.

use std::collections::{BTreeMap, HashMap};

use super::{
    clock::{Moment, Stamp, Steady},
    device_name::{MAX_DEVICES, bounded},
    file::{FileFault, Format},
    wall_clock::{DateOrder, WallTime},
};
use crate::{
    app_event::{AppEvent, EventKind},
    decimal::Decimal,
    reading::{Device, Instant},
};

/// Most events of one kind that are kept of a file: a year of a loop's basal rate every five minutes, and some.
pub(super) const MAX_EVENTS_OF_KIND: u64 = 120_000;

/// An event as its row states it.
#[derive(Clone, Copy)]
pub(super) struct Said {
    pub(super) kind: EventKind,
    pub(super) value: Option<Decimal>,
}

/// What is kept of a file's events.
pub(super) struct Kept {
    /// In the order of the file.
    pub(super) events: Vec<(Device, AppEvent)>,
    /// How many more there were of a kind.
    pub(super) beyond: BTreeMap<EventKind, u64>,
    /// What is to be said of those that are not kept.
    pub(super) notes: Vec<String>,
}

/// The events of a file.
pub(super) struct Logged {
    source: Format,
    message: u64,
    names: Vec<String>,
    places: HashMap<String, u32>,
    /// With the place of their device among the names. While the order of dates is not known, the time is the packed
    /// clock time.
    events: Vec<(u32, AppEvent)>,
    kept: BTreeMap<EventKind, u64>,
    beyond: BTreeMap<EventKind, u64>,
    /// Events whose time could not be read.
    vague: u64,
}

impl Logged {
    pub(super) fn new(source: Format, message: u64) -> Self {
        let (names, places, events) = (Vec::new(), HashMap::new(), Vec::new());
        let (kept, beyond) = (BTreeMap::new(), BTreeMap::new());
        Self { source, message, names, places, events, kept, beyond, vague: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Why the file is refused: its events name more devices than there can be.
    pub(super) fn refused(&self) -> Option<FileFault> {
        (self.names.len() > MAX_DEVICES).then_some(FileFault::TooManyDevices)
    }

    /// The times of all events so far cannot be read.
    pub(super) fn forget(&mut self) {
        self.vague += self.events.len() as u64 + self.beyond.values().sum::<u64>();
        self.events.clear();
        self.kept.clear();
        self.beyond.clear();
    }

    /// Counts an event whose time cannot be read.
    pub(super) fn vague(&mut self) {
        self.vague += 1;
    }

    /// An event at a known moment; in a repeated hour the earlier of the two is taken.
    pub(super) fn at(&mut self, device: &str, moment: Moment, said: Said) {
        let ambiguous = matches!(moment, Moment::Repeated { .. });
        let Stamp { time, offset_minutes } = moment.earliest();
        self.push(device, time, Some(offset_minutes), ambiguous, said);
    }

    /// An event at a clock time whose date is read when the order of dates is known.
    pub(super) fn undated(&mut self, device: &str, wall: WallTime, said: Said) {
        self.push(device, Instant(wall.pack()), None, false, said);
    }

    fn push(
        &mut self,
        device: &str,
        time: Instant,
        offset_minutes: Option<i16>,
        tz_ambiguous: bool,
        said: Said,
    ) {
        let Said { kind, value } = said;
        let device = bounded(device);
        if self.refused().is_some() {
            return;
        }
        let kept = self.kept.entry(kind).or_default();
        if *kept >= MAX_EVENTS_OF_KIND {
            return *self.beyond.entry(kind).or_default() += 1;
        }
        *kept += 1;
        let place = match self.places.get(device) {
            Some(place) => *place,
            None => {
                let place = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
                self.names.push(device.to_owned());
                self.places.insert(device.to_owned(), place);
                place
            }
        };
        let (source, message) = (self.source, self.message);
        let event = AppEvent { time, offset_minutes, tz_ambiguous, kind, value, source, message };
        self.events.push((place, event));
    }

    /// Gives every event its time, where that had to wait for the order of dates.
    pub(super) fn date(&mut self, order: DateOrder, clock: &mut Steady<'_>) {
        let mut vague = 0;
        self.events.retain_mut(|(_, event)| {
            let local = WallTime::unpack(event.time.0).under(order);
            let Some(moment) = local.and_then(|local| clock.resolve(local)) else {
                vague += 1;
                return false;
            };
            let stamp = moment.earliest();
            (event.time, event.offset_minutes) = (stamp.time, Some(stamp.offset_minutes));
            event.tz_ambiguous = matches!(moment, Moment::Repeated { .. });
            true
        });
        self.vague += vague;
    }

    /// The events, and what is to be said of those that are not among them. The start of a sensor that its row does not
    /// name belongs to `only`, the one device of the file, where there is one.
    pub(super) fn finish(self, only: Option<&Device>) -> Kept {
        let mut notes = Vec::new();
        if self.vague > 0 {
            notes.push(format!("{} events without a time that can be read: counted only", self.vague));
        }
        for (kind, events) in &self.beyond {
            let name = kind.name();
            notes.push(format!(
                "{events} more events of {name} after the first {MAX_EVENTS_OF_KIND}: counted only"
            ));
        }
        let named = |(place, event): (u32, AppEvent)| {
            let name = self.names.get(place as usize).map_or("", String::as_str);
            let device = match only {
                Some(only) if event.kind == EventKind::SensorStart && name.is_empty() => only.clone(),
                _ => Device(name.to_owned()),
            };
            (device, event)
        };
        let events = self.events.into_iter().map(named).collect();
        Kept { events, beyond: self.beyond, notes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_bound_of_its_own_and_what_is_beyond_it_is_told() {
        let mut logged = Logged::new(Format::AppleHealth, 3);
        let at = |ms| Moment::One(Stamp { time: Instant(ms), offset_minutes: 0 });
        let said = |kind| Said { kind, value: Some(Decimal::whole(1)) };
        for n in 0..MAX_EVENTS_OF_KIND as i64 + 2 {
            logged.at("phone", at(n), said(EventKind::Steps));
        }
        logged.at("pen", at(7), said(EventKind::RapidInsulin));
        logged.at("", at(9), Said { kind: EventKind::SensorStart, value: None });
        let only = Device("G6".into());
        let Kept { events, beyond, notes } = logged.finish(Some(&only));
        assert_eq!(events.len() as u64, MAX_EVENTS_OF_KIND + 2);
        assert_eq!(beyond, BTreeMap::from([(EventKind::Steps, 2)]));
        assert_eq!(notes, ["2 more events of steps after the first 120000: counted only"]);
        let last: Vec<_> =
            events[events.len() - 2..].iter().map(|(device, e)| (&*device.0, e.kind)).collect();
        assert_eq!(last, [("pen", EventKind::RapidInsulin), ("G6", EventKind::SensorStart)]);
        assert!(events.iter().all(|(_, event)| event.message == 3));
    }
}
