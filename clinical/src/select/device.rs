//! One device's readings: duplicates and conflicts out, the interval found.
//!
//! Numbers: an interval is 1, 5 or 15 minutes, or what the table of devices knows. Distances under 30 s are copies, not intervals; a
//! median distance over 30 minutes says nothing about the sensor, and the sensor's usual interval, or 5 minutes, is assumed.

use std::cmp::{Ordering, Reverse};

use super::{Crossings, Excluded, Picked, exclude};
use crate::{
    glucose::{Glucose, Measured},
    outcome::Exclusion,
    policy::Policy,
    reading::{Device, Instant, Reading, Route, Standing},
};

/// Shorter distances are two uploads of one reading: half of the shortest interval.
const SHORTEST_DISTANCE_MS: i64 = Instant::MINUTE_MS / 2;
/// A longer median distance is not an interval: twice the longest one.
const LONGEST_DISTANCE_MS: i64 = 30 * Instant::MINUTE_MS;
/// Where there is nothing to infer from: what most sensors store.
const DEFAULT_MINUTES: u8 = 5;
/// Half a tenth of mmol/L, in 10⁻² mmol/L: how far apart one value may be in the two units.
const HALF_TENTH_E2: i128 = 5;

/// What a device contributes, in order of time.
pub(super) struct Track<'a> {
    name: &'a Device,
    pub(super) picked: Vec<Picked<'a>>,
}

impl<'a> Track<'a> {
    /// The least comes first.
    pub(super) fn priority(&self) -> impl Ord + use<'a> {
        priority(best_route(self.picked.iter().map(|picked| picked.reading)), self.picked.len(), self.name)
    }
}

/// The order of devices, the least first: best route, most readings, name.
pub(crate) fn priority(route: Route, readings: usize, name: &Device) -> impl Ord + use<'_> {
    (route, Reverse(readings), name)
}

/// What counts of one device, given its standing readings of the period (at least one) and their distances.
pub(super) fn track<'a>(
    name: &'a Device,
    mut readings: Vec<&'a Reading>,
    (mut distances, minutes): (Distances, Option<u8>),
    policy: &Policy,
    excluded: &mut Excluded,
    crossings: &mut Crossings,
) -> Track<'a> {
    if !distances.are_all_over(0) {
        let conflict = |stands: &Reading, yields: &Reading| {
            crossings.contradict(name, stands, yields);
        };
        one_at_a_time(&mut readings, policy, excluded, conflict);
        distances = Distances::of(&readings);
    }
    let minutes = minutes.unwrap_or_else(|| distances.interval(name, policy));
    if !distances.are_all_over(half_ms(minutes)) {
        drop_copies(&mut readings, minutes, policy, excluded);
    }
    Track { name, picked: readings.into_iter().map(|reading| Picked { reading, minutes }).collect() }
}

/// The best route of some readings.
pub(crate) fn best_route<'a>(readings: impl Iterator<Item = &'a Reading>) -> Route {
    readings.map(|reading| reading.route).min().unwrap_or(Route::Scan)
}

/// Puts a device's readings in order and leaves one at a time. `conflict` is told which stands where two differ.
pub(crate) fn one_at_a_time(
    readings: &mut Vec<&Reading>,
    policy: &Policy,
    excluded: &mut Excluded,
    conflict: impl FnMut(&Reading, &Reading),
) {
    if readings.is_sorted_by(|a, b| a.time < b.time) {
        return;
    }
    readings.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| rank(a, b)));
    keep_one_at_a_time(readings, policy, excluded, conflict);
}

/// Which of two readings of one device and time stands: the lesser. A correction by its source
/// outranks any route; then the better route, the later making, the content.
fn rank(a: &Reading, b: &Reading) -> Ordering {
    let key = |r: &Reading| (r.standing == Standing::Final, r.route, Reverse(r.made_at));
    let value = |r: &Reading| (r.tz_ambiguous, Reverse(r.glucose.trimmed()), Reverse(r.offset_minutes));
    let rest = |r: &Reading| (value(r), r.identity, r.message, Reverse(r.glucose));
    key(a).cmp(&key(b)).then_with(|| rest(a).cmp(&rest(b)))
}

/// Of the readings at one time the first stands; `readings` are by time and rank.
fn keep_one_at_a_time(
    readings: &mut Vec<&Reading>,
    policy: &Policy,
    excluded: &mut Excluded,
    mut conflict: impl FnMut(&Reading, &Reading),
) {
    readings.dedup_by(|reading, stands| {
        let yields = reading.time == stands.time;
        if yields {
            let same = same_value(stands.glucose, reading.glucose, policy);
            exclude(excluded, if same { Exclusion::Duplicate } else { Exclusion::Conflict }, 1);
            if !same {
                conflict(stands, reading);
            }
        }
        yields
    });
}

/// Leaves out what repeats a value within half an interval; of the two the one from the better source
/// stays. `readings` are by time, and stay so.
pub(crate) fn drop_copies(
    readings: &mut Vec<&Reading>,
    minutes: u8,
    policy: &Policy,
    excluded: &mut Excluded,
) {
    let half_ms = half_ms(minutes);
    if readings.windows(2).all(|pair| pair[1].time.0.saturating_sub(pair[0].time.0) > half_ms) {
        return;
    }
    // In place: what is kept so far is the front of the list.
    let mut kept = 0;
    for next in 0..readings.len() {
        let reading = readings[next];
        let near = |earlier: &Reading| reading.time.0.saturating_sub(earlier.time.0) <= half_ms;
        let is_copy = |earlier: &Reading| same_value(earlier.glucose, reading.glucose, policy);
        let mut nearby = (0..kept).rev().take_while(|&place| near(readings[place]));
        match nearby.find(|&place| is_copy(readings[place])) {
            None => {
                readings[kept] = reading;
                kept += 1;
            }
            Some(place) => {
                exclude(excluded, Exclusion::Duplicate, 1);
                if is_better_source(reading, readings[place]) {
                    readings[place] = reading;
                    readings[place..kept].rotate_left(1);
                }
            }
        }
    }
    readings.truncate(kept);
}

/// True where `a` is corrected, or came a better way, and `b` not. Between equals the earlier stays.
fn is_better_source(a: &Reading, b: &Reading) -> bool {
    (a.standing == Standing::Final, a.route) < (b.standing == Standing::Final, b.route)
}

pub(super) const fn half_ms(minutes: u8) -> i64 {
    minutes as i64 * Instant::MINUTE_MS / 2
}

/// True where no reading of `later` can be a copy of one of `earlier`, both by time: then their copies are found apart.
pub(crate) fn are_apart(earlier: &[Reading], later: &[Reading], minutes: u8, policy: &Policy) -> bool {
    let Some(first) = later.first() else { return true };
    let half_ms = half_ms(minutes);
    let near = |a: &Reading, b: &Reading| b.time.0.saturating_sub(a.time.0) <= half_ms;
    let tail = earlier.iter().rev().take_while(|reading| near(reading, first));
    let mut pairs = tail.flat_map(|a| later.iter().take_while(move |b| near(a, b)).map(move |b| (a, b)));
    pairs.all(|(a, b)| !same_value(a.glucose, b.glucose, policy))
}

/// How many distances between neighbours point to each interval, and the shortest distance. Counts add up, so those of
/// days and of the nights between them give the interval of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Distances {
    counts: [u64; 4],
    shortest_ms: i64,
}

impl Default for Distances {
    fn default() -> Self {
        Self { counts: [0; 4], shortest_ms: i64::MAX }
    }
}

impl Distances {
    /// Of readings by time. Of others all that is told is that they are not all over 0.
    pub(crate) fn of(readings: &[&Reading]) -> Self {
        let mut found = Self::default();
        for pair in readings.windows(2) {
            found.add(pair[0].time, pair[1].time);
        }
        found
    }

    /// Two neighbours in time.
    pub(crate) fn add(&mut self, earlier: Instant, later: Instant) {
        let distance_ms = later.0.saturating_sub(earlier.0);
        self.shortest_ms = self.shortest_ms.min(distance_ms);
        let place = match distance_ms {
            d if d < SHORTEST_DISTANCE_MS => return,
            d if d < 3 * Instant::MINUTE_MS => 0,
            d if d <= 10 * Instant::MINUTE_MS => 1,
            d if d <= LONGEST_DISTANCE_MS => 2,
            _ => 3,
        };
        self.counts[place] += 1;
    }

    /// True where every distance is longer than `ms`.
    pub(crate) const fn are_all_over(&self, ms: i64) -> bool {
        self.shortest_ms > ms
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (ours, theirs) in self.counts.iter_mut().zip(other.counts) {
            *ours += theirs;
        }
        self.shortest_ms = self.shortest_ms.min(other.shortest_ms);
    }

    /// The interval of the device of that name: the one that the distances suggest, by what the policy's table knows
    /// of its sensor.
    pub(crate) fn interval(&self, name: &Device, policy: &Policy) -> u8 {
        let suggested = self.suggested();
        policy
            .devices
            .sensor(name)
            .map_or(suggested.unwrap_or(DEFAULT_MINUTES), |sensor| sensor.interval(suggested))
    }

    /// The interval of the median distance, where that is one. Of two middles the lower: the shorter claims less.
    fn suggested(&self) -> Option<u8> {
        let middle = self.counts.iter().sum::<u64>().checked_sub(1)? / 2;
        let mut reached = 0;
        for (count, minutes) in self.counts.iter().zip([Some(1), Some(5), Some(15), None]) {
            reached += count;
            if reached > middle {
                return minutes;
            }
        }
        None
    }
}

/// True where two readings state one value: equal numbers in one unit, or numbers in the two units
/// that are the same to the tenth of mmol/L that is usually shown.
pub(super) fn same_value(a: Glucose, b: Glucose, policy: &Policy) -> bool {
    if a.unit == b.unit {
        return match (a.measured, b.measured) {
            (Measured::Exact(a), Measured::Exact(b))
            | (Measured::Below(a), Measured::Below(b))
            | (Measured::Above(a), Measured::Above(b)) => a.cmp_value(b).is_eq(),
            _ => false,
        };
    }
    if std::mem::discriminant(&a.measured) != std::mem::discriminant(&b.measured) {
        return false;
    }
    let factor_e4 = policy.factor_e4.value;
    let stated = |glucose: Glucose| {
        let (Measured::Exact(value) | Measured::Below(value) | Measured::Above(value)) = glucose.measured;
        Glucose { measured: Measured::Exact(value), unit: glucose.unit }.mg_dl_scaled(factor_e4)
    };
    // 10⁻² mmol/L times a factor × 10⁴ is mg/dL × 10⁶.
    let tolerance = HALF_TENTH_E2 * i128::from(factor_e4) * 10i128.pow(u32::from(Glucose::SUM_PLACES) - 6);
    (stated(a) - stated(b)).abs() <= tolerance
}
