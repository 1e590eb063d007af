//! Which readings of a window count, and for how many minutes each.
//!
//! Invariants: the selection is a function of the set of readings, not of their order or of how they
//! are divided into streams; every reading of the period counts or is excluded for exactly one reason;
//! no minute counts for two devices.
//!
//! The steps, in order:
//! 1. The streams of one device are joined; of each identity one version stands (as in a chunk). Only
//!    then is the period applied, so that a reading moved out of it by a correction is gone from it.
//! 2. What its source took back is dropped, and scans where the period has any other reading.
//! 3. Within a device, of readings at the same time a corrected one stands before the others, then the
//!    one of the better route, then the one made later; the others are duplicates (same value) or
//!    conflicts. What has the same value as a neighbour within half an interval is a duplicate (phone
//!    and watch upload the same reading seconds apart).
//! 4. A device's interval is the median distance of its readings, snapped to 1, 5 or 15 minutes.
//! 5. Devices come by route, then by number of readings, then by name; a reading whose interval
//!    overlaps one of a device before it is excluded.

mod device;

use std::collections::{BTreeMap, btree_map::Entry};

use crate::{
    chunk::stands_before,
    outcome::{Exclusion, Period},
    policy::Policy,
    reading::{Device, Instant, Reading, Route, Standing},
};

/// A reading that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The reading.
    pub reading: Reading,
    /// Minutes it stands for, from its time on: 1, 5 or 15.
    pub minutes: u8,
}

impl Counted {
    /// A final reading of whole mg/dL at the beginning of 1970.
    #[cfg(test)]
    pub(crate) fn sample(mg_dl: i32, minutes: u8) -> Self {
        let reading = Reading {
            time: Instant(0),
            offset_minutes: None,
            tz_ambiguous: false,
            glucose: crate::glucose::Glucose::mg_dl(mg_dl),
            standing: Standing::Final,
            route: Route::Hl7v2,
            identity: 0,
            made_at: Instant(0),
            message: 0,
        };
        Self { reading, minutes }
    }

    /// The first instant after the minutes this reading stands for.
    #[must_use]
    pub const fn end(&self) -> Instant {
        Instant(self.reading.time.0.saturating_add(self.minutes as i64 * Instant::MINUTE_MS))
    }
}

/// The readings of a window that count, and how many do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// By time.
    pub counted: Vec<Counted>,
    /// Readings of the period that do not count, by reason.
    pub excluded: BTreeMap<Exclusion, u64>,
}

impl Selection {
    fn exclude(&mut self, reason: Exclusion, readings: usize) {
        if readings > 0 {
            *self.excluded.entry(reason).or_default() += readings as u64;
        }
    }
}

/// Selects from `streams` what counts in `period`. Several streams may name the same device, and
/// streams may reach beyond the period.
#[must_use]
pub fn select(period: &Period, streams: &[(Device, Vec<Reading>)], policy: &Policy) -> Selection {
    let mut selection = Selection::default();
    let mut devices = join(streams);
    for readings in devices.values_mut() {
        resolve_versions(readings);
        readings.retain(|reading| period.start <= reading.time && reading.time < period.end);
        let stored = readings.len();
        readings.retain(|reading| reading.standing != Standing::Retracted);
        selection.exclude(Exclusion::Retracted, stored - readings.len());
    }
    if devices.values().flatten().any(|reading| reading.route != Route::Scan) {
        for readings in devices.values_mut() {
            let stored = readings.len();
            readings.retain(|reading| reading.route != Route::Scan);
            selection.exclude(Exclusion::Scan, stored - readings.len());
        }
    }
    let mut tracks: Vec<_> = devices
        .into_iter()
        .filter(|(_, readings)| !readings.is_empty())
        .map(|(name, readings)| device::track(name, readings, policy, &mut selection))
        .collect();
    tracks.sort_by(|a, b| a.priority().cmp(&b.priority()));
    for track in tracks {
        admit(track.counted, &mut selection);
    }
    selection
}

/// All readings of each device.
fn join(streams: &[(Device, Vec<Reading>)]) -> BTreeMap<&Device, Vec<Reading>> {
    let mut devices = BTreeMap::new();
    for (device, readings) in streams {
        match devices.entry(device) {
            Entry::Vacant(entry) => drop(entry.insert(readings.clone())),
            Entry::Occupied(mut entry) => entry.get_mut().extend_from_slice(readings),
        }
    }
    devices
}

/// Leaves one version of each identity.
fn resolve_versions(readings: &mut Vec<Reading>) {
    let mut order: Vec<_> = (0..readings.len()).map(|place| (readings[place].identity, place)).collect();
    order.sort_unstable();
    if order.windows(2).all(|pair| pair[0].0 != pair[1].0) {
        return;
    }
    let standing = order.chunk_by(|a, b| a.0 == b.0).map(|versions| {
        let of = |&(_, place): &(u64, usize)| readings[place];
        versions.iter().map(of).reduce(|a, b| if stands_before(&b, &a) { b } else { a })
    });
    *readings = standing.flatten().collect();
}

/// Adds the readings of one device where no device before it covers their minutes.
fn admit(track: Vec<Counted>, selection: &mut Selection) {
    if selection.counted.is_empty() {
        selection.counted = track;
        return;
    }
    let covered = spans(&selection.counted);
    let mut rest = covered.as_slice();
    let offered = track.len();
    let mut admitted: Vec<_> = track
        .into_iter()
        .filter(|candidate| {
            let begins = candidate.reading.time;
            let passed = rest.iter().take_while(|span| span.1 <= begins).count();
            rest = &rest[passed..];
            rest.first().is_none_or(|span| candidate.end() <= span.0)
        })
        .collect();
    selection.exclude(Exclusion::Overlap, offered - admitted.len());
    selection.counted.append(&mut admitted);
    // Stable, and no two devices have a minute in common: nothing is left to chance.
    selection.counted.sort_by_key(|counted| counted.reading.time);
}

/// The intervals of readings in order of time, joined where they touch.
fn spans(counted: &[Counted]) -> Vec<(Instant, Instant)> {
    let mut spans: Vec<(Instant, Instant)> = Vec::new();
    for next in counted {
        match spans.last_mut() {
            Some(last) if next.reading.time <= last.1 => last.1 = last.1.max(next.end()),
            _ => spans.push((next.reading.time, next.end())),
        }
    }
    spans
}

#[cfg(test)]
mod tests;
