//! What is kept of one local day: its readings, and what each step made of them.

use std::collections::BTreeMap;

use crate::{
    calendar::{LocalDay, Zone},
    day::{DaySummary, night},
    events::{Scan, Trace},
    policy::Policy,
    reading::{Device, Instant, Reading, Route, Standing},
    select::{Counted, Excluded, device::Distances},
    series::Point,
};

/// The result of a step, and what it was made from.
#[derive(Clone, Debug)]
pub(super) struct Memo<K, V> {
    key: Option<K>,
    pub(super) value: V,
    /// Changes with the value, and only with it.
    pub(super) stamp: u64,
}

impl<K, V: Default> Default for Memo<K, V> {
    fn default() -> Self {
        Self { key: None, value: V::default(), stamp: 0 }
    }
}

impl<K: PartialEq, V: PartialEq> Memo<K, V> {
    pub(super) fn is_of(&self, key: &K) -> bool {
        self.key.as_ref() == Some(key)
    }

    pub(super) fn set(&mut self, key: K, value: V, stamps: &mut u64) {
        if self.key.is_none() || self.value != value {
            *stamps += 1;
            self.stamp = *stamps;
            self.value = value;
        }
        self.key = Some(key);
    }
}

/// A device's readings of a day that stand, by time, one at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standings {
    pub(super) by_device: BTreeMap<Device, (Vec<Reading>, Distances)>,
    pub(super) excluded: Excluded,
}

/// Without copies. `duplicates` are those of the days from this one on that were looked through together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) by_device: BTreeMap<Device, (Route, Vec<Counted>)>,
    pub(super) excluded: Excluded,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CountedDay {
    pub(super) points: Vec<Point>,
    pub(super) excluded: Excluded,
}

/// What a day adds to events and gaps, and what it leaves open.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Link {
    pub(super) trace: Trace,
    pub(super) after: Option<Scan>,
}

/// Neighbours by their distance in days, with the stamps of their results.
pub(super) type Stamps = Vec<(i32, u64)>;

/// When a local day and its night begin and end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) start: Instant,
    pub(super) night: [Instant; 2],
    /// The first instant after the day.
    pub(super) end: Instant,
}

/// A local day.
#[derive(Clone, Debug, Default)]
pub(super) struct Day {
    readings: BTreeMap<Device, Vec<Reading>>,
    /// Changes with the readings.
    pub(super) stamp: u64,
    bounds: Option<Bounds>,
    pub(super) standing: Memo<(u64, bool), Standings>,
    pub(super) kept: Memo<(Stamps, Vec<(Device, u8)>), Kept>,
    pub(super) counted: Memo<(Stamps, Vec<Device>), CountedDay>,
    pub(super) summary: Memo<Stamps, DaySummary>,
    pub(super) link: Memo<(u64, Scan), Link>,
}

impl Day {
    pub(super) fn readings(&self) -> impl Iterator<Item = (&Device, &Vec<Reading>)> {
        self.readings.iter()
    }

    pub(super) fn find(&self, device: &Device, identity: u64) -> Option<&Reading> {
        self.readings.get(device)?.iter().find(|reading| reading.identity == identity)
    }

    /// Puts a reading in whose identity is not there.
    pub(super) fn insert(&mut self, device: &Device, reading: Reading) {
        let by = |reading: &Reading| (reading.time, reading.identity);
        match self.readings.get_mut(device) {
            Some(readings) => {
                let place = readings.partition_point(|other| by(other) < by(&reading));
                readings.insert(place, reading);
            }
            None => drop(self.readings.insert(device.clone(), vec![reading])),
        }
    }

    pub(super) fn remove(&mut self, device: &Device, identity: u64) {
        if let Some(readings) = self.readings.get_mut(device) {
            readings.retain(|reading| reading.identity != identity);
        }
    }

    /// True where anything but a scan stands.
    pub(super) fn has_more_than_scans(&self) -> bool {
        let counts = |r: &Reading| r.standing != Standing::Retracted && r.route != Route::Scan;
        self.readings.values().flatten().any(counts)
    }

    pub(super) fn bounds(&mut self, day: LocalDay, zone: &Zone, policy: &Policy) -> Bounds {
        *self.bounds.get_or_insert_with(|| Bounds {
            start: zone.start_of(day),
            night: night(zone, day, policy),
            end: zone.start_of(day.plus(1)),
        })
    }
}
