//! One patient's readings by local day, with what was computed of each day kept, so that a new reading, a late one, a
//! retraction or a merge of patients costs the days it touches.
//!
//! Invariants: [`History::outcome`] is what [`crate::outcomes::compute`] gives for all readings that were put in, bit
//! for bit, whatever the order they came in and whatever was asked before; nothing that is kept is used unless what it
//! was made from is the same. Each step is a function of the steps before it, with a stamp that changes only where
//! its result does, so a change stops where it makes no difference.
//!
//! | step | of a day | depends on |
//! |---|---|---|
//! | standing | what its source did not take back, one reading at a time, by device | its readings; whether the window has anything but scans |
//! | kept | without copies | the days that hold copies of each other (nearly always itself alone), the intervals |
//! | counted | without what a device of higher priority covers | the day and its neighbours, the order of devices |
//! | summary | distributions, MODD | the day and the two before it |
//! | chain | events, gaps | the day, and what was open at its midnight |
//!
//! Intervals, the order of devices and the rule about scans belong to the whole window: they are added up from counts of
//! its days. Where one of them changes (a second device comes to have more readings, say), every day is made anew.
//!
//! Where a device came by several routes, which reading of a fact counts depends on the whole window, and the outcome is
//! computed at once from its readings: `clinical/src/select/feeds.rs`.
//!
//! Numbers: about 100 bytes a reading and 12 KB a day beside them.

mod day;
mod window;

use std::collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry};

use self::day::Day;
use crate::{
    calendar::{CalendarError, LocalDay, Zone},
    chunk::stands_before,
    outcome::Outcome,
    outcomes,
    policy::Policy,
    reading::{Device, Reading},
    select::feeds,
    series::Palette,
};

/// A patient's readings in one zone under one policy.
#[derive(Clone, Debug)]
pub struct History {
    zone: Zone,
    policy: Policy,
    days: BTreeMap<LocalDay, Day>,
    /// Where the standing version of each identity lies.
    places: HashMap<Device, HashMap<u64, LocalDay>>,
    /// The feeds that each device ever came by.
    feeds: BTreeMap<Device, u8>,
    palette: Palette,
    stamps: u64,
    made: usize,
}

impl History {
    /// An empty history.
    #[must_use]
    pub fn new(zone: Zone, policy: Policy) -> Self {
        let palette = Palette::new(&policy);
        Self {
            zone,
            policy,
            days: BTreeMap::new(),
            places: HashMap::new(),
            feeds: BTreeMap::new(),
            palette,
            stamps: 0,
            made: 0,
        }
    }

    /// Takes readings of a device in; of each identity the version that stands before the others stays. Returns the
    /// local days that differ now.
    pub fn insert(
        &mut self,
        device: &Device,
        readings: impl IntoIterator<Item = Reading>,
    ) -> BTreeSet<LocalDay> {
        let mut touched = BTreeSet::new();
        if !self.places.contains_key(device) {
            self.places.insert(device.clone(), HashMap::new());
        }
        let Some(places) = self.places.get_mut(device) else { return touched };
        let feeds = self.feeds.entry(device.clone()).or_default();
        // Readings come in runs of one day: the calendar is asked once a run.
        let mut known: Option<(LocalDay, i64, i64)> = None;
        for reading in readings {
            *feeds |= feeds::bit(reading.route);
            let day = match known {
                Some((day, from, to)) if from <= reading.time.0 && reading.time.0 < to => day,
                _ => {
                    let day = self.zone.day_of(reading.time);
                    known = Some((day, self.zone.start_of(day).0, self.zone.start_of(day.plus(1)).0));
                    day
                }
            };
            match places.entry(reading.identity) {
                Entry::Vacant(entry) => drop(entry.insert(day)),
                Entry::Occupied(mut entry) => {
                    let old = *entry.get();
                    let Some(held) = self.days.get_mut(&old) else { continue };
                    let yields = held
                        .find(device, reading.identity)
                        .is_some_and(|other| !stands_before(&reading, other));
                    if yields {
                        continue;
                    }
                    held.remove(device, reading.identity);
                    touched.insert(old);
                    entry.insert(day);
                }
            }
            self.days.entry(day).or_default().insert(device, reading);
            touched.insert(day);
        }
        self.stamp(&touched);
        touched
    }

    /// Forgets an identity, as if it had never come in. Returns the local day that differs now.
    pub fn remove(&mut self, device: &Device, identity: u64) -> Option<LocalDay> {
        let day = self.places.get_mut(device)?.remove(&identity)?;
        self.days.get_mut(&day)?.remove(device, identity);
        self.stamp(&BTreeSet::from([day]));
        Some(day)
    }

    /// Takes in all readings of another patient who turned out to be the same. Returns the local days that differ now.
    pub fn merge(&mut self, other: &Self) -> BTreeSet<LocalDay> {
        let mut touched = BTreeSet::new();
        for day in other.days.values() {
            for (device, readings) in day.readings() {
                touched.extend(self.insert(device, readings.iter().copied()));
            }
        }
        touched
    }

    /// The outcome of the days from `first` to `last`, both included; `None` where no reading counts.
    ///
    /// # Errors
    /// [`CalendarError`] where the days are no period.
    pub fn outcome(&mut self, first: LocalDay, last: LocalDay) -> Result<Option<Outcome>, CalendarError> {
        let period = self.zone.period(first, last)?;
        self.made = 0;
        if self.has_two_feeds() {
            let days = self.days.range(first..=last).map(|(_, day)| day);
            self.made = days.clone().count();
            let readings = days.flat_map(Day::readings);
            let streams: Vec<_> = readings.map(|(device, of_day)| (device.clone(), of_day.clone())).collect();
            return Ok(outcomes::compute(&period, &streams, &self.policy));
        }
        Ok(self.sums(first, last).and_then(|sums| sums.outcome(&period, &self.policy)))
    }

    /// Whether any device came by several routes, or one feed may mean the device of another.
    fn has_two_feeds(&self) -> bool {
        let feeds = || self.feeds.iter().filter(|(_, bits)| **bits != 0);
        let meet = |(bare, of_bare): (&Device, &u8)| {
            feeds::are_several(*of_bare)
                || feeds()
                    .any(|(full, bits)| feeds::are_several(of_bare | bits) && feeds::may_mean(bare, full))
        };
        feeds().any(meet)
    }

    /// How many identities there are: as many as readings were put in, where no identity came twice.
    #[must_use]
    pub fn identities(&self) -> usize {
        self.places.values().map(HashMap::len).sum()
    }

    /// How many days' readings were selected anew for the last outcome.
    #[must_use]
    pub const fn days_made(&self) -> usize {
        self.made
    }

    fn stamp(&mut self, touched: &BTreeSet<LocalDay>) {
        for day in touched {
            self.stamps += 1;
            if let Some(day) = self.days.get_mut(day) {
                day.stamp = self.stamps;
            }
        }
    }
}

#[cfg(test)]
mod tests;
