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
//!    Then what lies in the warm-up after a session start that the source states (`clinical/src/session.rs`).
//!    Where a device came by several routes, each fact counts once (`clinical/src/select/feeds.rs`).
//! 3. Within a device, of readings at the same time a corrected one stands before the others, then the
//!    one of the better route, then the one made later; the others are duplicates (same value) or
//!    conflicts. What has the same value as a neighbour within half an interval is a duplicate (phone
//!    and watch upload the same reading seconds apart).
//! 4. A device's interval is the median distance of its readings, snapped to 1, 5 or 15 minutes, by what the table
//!    of devices knows of the sensor that its name states.
//! 5. Devices come by route, then by number of readings, then by name; a reading whose interval
//!    overlaps one of a device before it is excluded.

pub(crate) mod device;
pub(crate) mod feeds;

use std::collections::BTreeMap;

use self::device::Distances;
pub use self::feeds::{Conflict, Crossings};
use crate::{
    chunk::stands_before,
    outcome::{Exclusion, Period},
    policy::Policy,
    reading::{Device, Instant, Reading, Route, Standing},
    series::common,
    session::{self, WarmUp},
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

/// A reading that counts, where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Picked<'a> {
    pub(crate) reading: &'a Reading,
    /// Minutes it stands for.
    pub(crate) minutes: u8,
}

impl Picked<'_> {
    /// The first instant after the minutes this reading stands for.
    pub(crate) const fn end(&self) -> Instant {
        Instant(self.reading.time.0.saturating_add(self.minutes as i64 * Instant::MINUTE_MS))
    }
}

impl Counted {
    /// The same where it lies.
    pub(crate) const fn picked(&self) -> Picked<'_> {
        Picked { reading: &self.reading, minutes: self.minutes }
    }
}

/// Readings that do not count, by reason.
pub(crate) type Excluded = BTreeMap<Exclusion, u64>;

/// Counts `readings` that do not count.
pub(crate) fn exclude(excluded: &mut Excluded, reason: Exclusion, readings: usize) {
    if readings > 0 {
        *excluded.entry(reason).or_default() += readings as u64;
    }
}

/// The readings of a window that count, and how many do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// By time.
    pub counted: Vec<Counted>,
    /// Readings of the period that do not count, by reason.
    pub excluded: BTreeMap<Exclusion, u64>,
    /// What became of the warm-up of each device with readings in the period: one for each stated session start, or
    /// the reason why nothing is left out.
    pub warm_up: Vec<(Device, WarmUp)>,
    /// What became of facts that came twice.
    pub crossings: Crossings,
}

impl Selection {
    /// The longest time in minutes that divides the interval of every counted reading; 1 without any.
    #[must_use]
    pub fn common_minutes(&self) -> u8 {
        common(self.counted.iter().map(|counted| counted.minutes))
    }

    /// Adds readings of the period that were left out beforehand.
    pub fn leave_out(&mut self, reason: Exclusion, readings: u64) {
        if readings > 0 {
            *self.excluded.entry(reason).or_default() += readings;
        }
    }
}

/// Selects from `streams` what counts in `period`. Several streams may name the same device, and
/// streams may reach beyond the period.
#[must_use]
pub fn select(period: &Period, streams: &[(Device, Vec<Reading>)], policy: &Policy) -> Selection {
    select_after(period, streams, &[], policy)
}

/// As [`select`], with the session starts that the sources state.
#[must_use]
pub fn select_after(
    period: &Period,
    streams: &[(Device, Vec<Reading>)],
    starts: &[(Device, Instant)],
    policy: &Policy,
) -> Selection {
    let (mut excluded, mut warm_up, mut crossings) = (Excluded::new(), Vec::new(), Crossings::default());
    let picked = pick(period, streams, (starts, policy), &mut excluded, &mut warm_up, &mut crossings);
    let counted =
        picked.into_iter().map(|Picked { reading, minutes }| Counted { reading: *reading, minutes });
    Selection { counted: counted.collect(), excluded, warm_up, crossings }
}

/// As [`select_after`], without a copy of the readings.
pub(crate) fn pick<'a>(
    period: &Period,
    streams: &'a [(Device, Vec<Reading>)],
    (starts, policy): (&[(Device, Instant)], &Policy),
    excluded: &mut Excluded,
    warm_up: &mut Vec<(Device, WarmUp)>,
    crossings: &mut Crossings,
) -> Vec<Picked<'a>> {
    let mut devices: BTreeMap<&Device, Standings<'_>> = join(streams)
        .into_iter()
        .map(|(device, parts)| (device, standing(&parts, period, excluded)))
        .collect();
    if devices.len() > 1 {
        feeds::join_unnamed(&mut devices, policy);
    }
    for (name, of_device) in &mut devices {
        leave_out_wear_in(name, &mut of_device.readings, (starts, policy), excluded, warm_up);
    }
    if devices.values().any(|of_device| of_device.readings.iter().any(|r| r.route != Route::Scan)) {
        for of_device in devices.values_mut().filter(|of_device| of_device.has_scans) {
            drop_scans(&mut of_device.readings, excluded);
        }
    }
    for (name, of_device) in &mut devices {
        if feeds::are_several(of_device.routes) {
            feeds::settle(name, of_device, policy, excluded, crossings);
        }
    }
    let mut tracks: Vec<_> = devices
        .into_iter()
        .filter(|(_, of_device)| !of_device.readings.is_empty())
        .map(|(name, of_device)| {
            let found = (of_device.distances(), of_device.minutes);
            device::track(name, of_device.readings, found, policy, excluded, crossings)
        })
        .collect();
    tracks.sort_by_cached_key(device::Track::priority);
    let mut admitted = Admitted::default();
    for track in tracks {
        admitted.admit(track.picked, excluded);
    }
    admitted.in_order()
}

/// Leaves out the warm-up, and what early wear the policy names, after each stated session start.
fn leave_out_wear_in(
    name: &Device,
    readings: &mut Vec<&Reading>,
    (starts, policy): (&[(Device, Instant)], &Policy),
    excluded: &mut Excluded,
    told: &mut Vec<(Device, WarmUp)>,
) {
    if readings.is_empty() {
        return;
    }
    let sensor = policy.devices.sensor(name);
    let mut stated = starts.iter().filter(|(of, _)| of == name).map(|(_, start)| *start).peekable();
    if stated.peek().is_none() {
        told.push((name.clone(), session::warm_up(None, sensor, policy)));
    }
    for start in stated {
        let warm_up = session::warm_up(Some(start), sensor, policy);
        let mut leave_out = |until: Instant, reason| {
            let before = readings.len();
            readings.retain(|reading| reading.time < start || until <= reading.time);
            exclude(excluded, reason, before - readings.len());
        };
        if let WarmUp::LeftOutUntil(until) = warm_up {
            leave_out(until, Exclusion::WarmUp);
        }
        if let Some(until) = session::early_wear(start, policy) {
            leave_out(until, Exclusion::EarlyWear);
        }
        told.push((name.clone(), warm_up));
    }
}

/// The streams of each device.
fn join(streams: &[(Device, Vec<Reading>)]) -> BTreeMap<&Device, Vec<&[Reading]>> {
    let mut devices: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (device, readings) in streams {
        devices.entry(device).or_default().push(readings.as_slice());
    }
    devices
}

/// The readings of one device that stand.
struct Standings<'a> {
    readings: Vec<&'a Reading>,
    /// A scan is among them, or was.
    has_scans: bool,
    /// Those of the period that their source took back.
    gone: Vec<&'a Reading>,
    /// The bits of the routes that they, and what was taken back, came by.
    routes: u8,
    /// The interval, where it is known before the readings are one at a time.
    minutes: Option<u8>,
    /// Of as many readings as were taken; [`usize::MAX`] where they are not those any more.
    taken: (usize, Distances),
}

impl<'a> Standings<'a> {
    fn of_up_to(count: usize) -> Self {
        let taken = (0, Distances::default());
        Self {
            readings: Vec::with_capacity(count),
            has_scans: false,
            gone: Vec::new(),
            routes: 0,
            minutes: None,
            taken,
        }
    }

    /// The distances between the readings, also after some of those that were taken are gone.
    fn distances(&self) -> Distances {
        let (taken, distances) = self.taken;
        if taken == self.readings.len() { distances } else { Distances::of(&self.readings) }
    }

    /// Takes the one version of a reading.
    fn take(&mut self, reading: &'a Reading, period: &Period) {
        if reading.time < period.start || period.end <= reading.time {
            return;
        }
        self.routes |= feeds::bit(reading.route);
        if reading.standing == Standing::Retracted {
            self.gone.push(reading);
            return;
        }
        self.has_scans |= reading.route == Route::Scan;
        if let Some(last) = self.readings.last() {
            self.taken.1.add(last.time, reading.time);
        }
        self.taken.0 += 1;
        self.readings.push(reading);
    }
}

/// One version of each identity, then what of them is in the period and was not taken back.
fn standing<'a>(parts: &[&'a [Reading]], period: &Period, excluded: &mut Excluded) -> Standings<'a> {
    let count = parts.iter().map(|part| part.len()).sum();
    let mut identities = Identities::of_up_to(count);
    let mut standings = Standings::of_up_to(count);
    'all: for part in parts {
        for reading in *part {
            if !identities.is_new(reading.identity) {
                break 'all;
            }
            standings.take(reading, period);
        }
    }
    if !identities.are_distinct() {
        standings = Standings::of_up_to(count);
        let mut versions = parts.iter().copied().flatten().collect();
        resolve_versions(&mut versions);
        versions.into_iter().for_each(|reading| standings.take(reading, period));
    }
    exclude(excluded, Exclusion::Retracted, standings.gone.len());
    standings
}

/// Leaves out what its source took back.
pub(crate) fn drop_retracted(readings: &mut Vec<&Reading>, excluded: &mut Excluded) {
    let stored = readings.len();
    readings.retain(|reading| reading.standing != Standing::Retracted);
    exclude(excluded, Exclusion::Retracted, stored - readings.len());
}

/// Leaves out scans.
pub(crate) fn drop_scans(readings: &mut Vec<&Reading>, excluded: &mut Excluded) {
    let stored = readings.len();
    readings.retain(|reading| reading.route != Route::Scan);
    exclude(excluded, Exclusion::Scan, stored - readings.len());
}

/// Identities that came so far, by 32 bits of each beside its place: what takes one for another now and then costs its
/// caller time and nothing else.
struct Identities {
    table: Vec<u32>,
    distinct: bool,
}

impl Identities {
    /// Longest row of taken places that is walked: of random numbers in a table half full, none is as long.
    const MOST_STEPS: usize = 64;

    fn of_up_to(count: usize) -> Self {
        Self { table: vec![0; (2 * count).next_power_of_two()], distinct: true }
    }

    /// True where `identity` is certain not to have come before.
    fn is_new(&mut self, identity: u64) -> bool {
        let mixed = identity.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // The upper half is the mark, and what mixed best of the lower one the place. No mark is 0.
        let (mark, start) = ((mixed >> 32) as u32 | 1, (mixed >> 12) as usize);
        let last = self.table.len() - 1;
        for at in start..start + Self::MOST_STEPS {
            match &mut self.table[at & last] {
                free @ 0 => {
                    *free = mark;
                    return true;
                }
                taken if *taken == mark => break,
                _ => {}
            }
        }
        self.distinct = false;
        false
    }

    /// False where any was not new.
    const fn are_distinct(&self) -> bool {
        self.distinct
    }
}

/// Leaves one version of each identity.
fn resolve_versions(readings: &mut Vec<&Reading>) {
    let mut order: Vec<_> = (0..readings.len()).map(|place| (readings[place].identity, place)).collect();
    order.sort_unstable();
    let standing = order.chunk_by(|a, b| a.0 == b.0).map(|versions| {
        let of = |&(_, place): &(u64, usize)| readings[place];
        versions.iter().map(of).reduce(|a, b| if stands_before(b, a) { b } else { a })
    });
    *readings = standing.flatten().collect();
}

/// What was admitted of the devices so far, in order of priority.
#[derive(Debug, Default)]
pub(crate) struct Admitted<'a> {
    picked: Vec<Picked<'a>>,
    /// The minutes of the first `known` of them: start and end, joined where they touch, so that a device which covers a
    /// day is one entry, and many devices cost no more than their readings.
    covered: BTreeMap<Instant, Instant>,
    known: usize,
    devices: usize,
}

impl<'a> Admitted<'a> {
    /// Adds the readings of one device where no device before it covers their minutes.
    pub(crate) fn admit(&mut self, mut track: Vec<Picked<'a>>, excluded: &mut Excluded) {
        self.devices += 1;
        if self.picked.is_empty() {
            self.picked = track;
            return;
        }
        for at in self.known..self.picked.len() {
            self.cover(self.picked[at].reading.time, self.picked[at].end());
        }
        self.known = self.picked.len();
        let offered = track.len();
        track.retain(|candidate| self.is_free(candidate.reading.time, candidate.end()));
        exclude(excluded, Exclusion::Overlap, offered - track.len());
        self.picked.append(&mut track);
    }

    /// All of it in order of time.
    pub(crate) fn in_order(mut self) -> Vec<Picked<'a>> {
        if self.devices > 1 {
            // Stable, and no two devices have a minute in common: nothing is left to chance.
            self.picked.sort_by_key(|picked| picked.reading.time);
        }
        self.picked
    }

    /// True where no covered minute lies between `begins` and `ends`. Spans are apart, so that the last of those that
    /// begin before `ends` decides.
    fn is_free(&self, begins: Instant, ends: Instant) -> bool {
        self.covered.range(..ends).next_back().is_none_or(|(_, until)| *until <= begins)
    }

    fn cover(&mut self, begins: Instant, ends: Instant) {
        let touching = self.covered.range(..=ends).next_back().map(|(from, until)| (*from, *until));
        let (mut begins, mut ends) = (begins, ends);
        let mut next = touching.filter(|(_, until)| begins <= *until);
        while let Some((from, until)) = next {
            self.covered.remove(&from);
            (begins, ends) = (begins.min(from), ends.max(until));
            let before = self.covered.range(..=ends).next_back().map(|(from, until)| (*from, *until));
            next = before.filter(|(_, until)| begins <= *until);
        }
        self.covered.insert(begins, ends);
    }
}

#[cfg(test)]
mod tests;
