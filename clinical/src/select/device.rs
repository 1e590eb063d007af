//! One device's readings: duplicates and conflicts out, the interval found.
//!
//! Numbers: an interval is 1, 5 or 15 minutes, or what the table of devices knows. Distances under 30 s are copies, not intervals; a
//! median distance over 30 minutes says nothing about the sensor, and the sensor's usual interval, or 5 minutes, is assumed.

use std::cmp::{Ordering, Reverse};

use super::{Counted, Selection};
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
    route: Route,
    pub(super) counted: Vec<Counted>,
}

impl Track<'_> {
    /// The least comes first: best route, most readings, name.
    pub(super) fn priority(&self) -> impl Ord {
        (self.route, Reverse(self.counted.len()), self.name)
    }
}

/// What counts of one device, given its standing readings of the period (at least one).
pub(super) fn track<'a>(
    name: &'a Device,
    mut readings: Vec<Reading>,
    policy: &Policy,
    selection: &mut Selection,
) -> Track<'a> {
    readings.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| rank(a, b)));
    keep_one_at_a_time(&mut readings, policy, selection);
    let suggested = interval_minutes(&readings);
    let sensor = policy.devices.sensor(name);
    let minutes = sensor.map_or(suggested.unwrap_or(DEFAULT_MINUTES), |sensor| sensor.interval(suggested));
    drop_copies(&mut readings, minutes, policy, selection);
    let route = readings.iter().map(|reading| reading.route).min().unwrap_or(Route::Scan);
    Track { name, route, counted: readings.into_iter().map(|reading| Counted { reading, minutes }).collect() }
}

/// Which of two readings of one device and time stands: the lesser. A correction by its source
/// outranks any route; then the better route, the later making, the content.
fn rank(a: &Reading, b: &Reading) -> Ordering {
    let key = |r: &Reading| (r.standing == Standing::Final, r.route, Reverse(r.made_at));
    let rest =
        |r: &Reading| (r.tz_ambiguous, Reverse(r.glucose), Reverse(r.offset_minutes), r.identity, r.message);
    key(a).cmp(&key(b)).then_with(|| rest(a).cmp(&rest(b)))
}

/// Of the readings at one time the first stands; `readings` are by time and rank.
fn keep_one_at_a_time(readings: &mut Vec<Reading>, policy: &Policy, selection: &mut Selection) {
    readings.dedup_by(|reading, stands| {
        let yields = reading.time == stands.time;
        if yields {
            let same = same_value(stands.glucose, reading.glucose, policy);
            selection.exclude(if same { Exclusion::Duplicate } else { Exclusion::Conflict }, 1);
        }
        yields
    });
}

/// Leaves out what repeats a value within half an interval; of the two the one from the better source
/// stays. `readings` are by time, and stay so.
fn drop_copies(readings: &mut Vec<Reading>, minutes: u8, policy: &Policy, selection: &mut Selection) {
    let half_ms = i64::from(minutes) * Instant::MINUTE_MS / 2;
    // In place: what is kept so far is the front of the list.
    let mut kept = 0;
    for next in 0..readings.len() {
        let reading = readings[next];
        let near = |earlier: &Reading| reading.time.0.saturating_sub(earlier.time.0) <= half_ms;
        let is_copy = |earlier: &Reading| same_value(earlier.glucose, reading.glucose, policy);
        let mut nearby = (0..kept).rev().take_while(|&place| near(&readings[place]));
        match nearby.find(|&place| is_copy(&readings[place])) {
            None => {
                readings[kept] = reading;
                kept += 1;
            }
            Some(place) => {
                selection.exclude(Exclusion::Duplicate, 1);
                if is_better_source(&reading, &readings[place]) {
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

/// The nominal interval that the distances of a device's readings suggest, where they suggest one. `readings` are by
/// time.
fn interval_minutes(readings: &[Reading]) -> Option<u8> {
    let mut distances: Vec<i64> = readings
        .windows(2)
        .map(|pair| pair[1].time.0.saturating_sub(pair[0].time.0))
        .filter(|distance| *distance >= SHORTEST_DISTANCE_MS)
        .collect();
    // The lower of two middles: a distance that occurred, and the shorter claims less.
    let middle = distances.len().checked_sub(1)? / 2;
    let (_, median, _) = distances.select_nth_unstable(middle);
    match *median {
        d if d > LONGEST_DISTANCE_MS => None,
        d if d < 3 * Instant::MINUTE_MS => Some(1),
        d if d <= 10 * Instant::MINUTE_MS => Some(5),
        _ => Some(15),
    }
}

/// True where two readings state one value: equal numbers in one unit, or numbers in the two units
/// that are the same to the tenth of mmol/L that is usually shown.
fn same_value(a: Glucose, b: Glucose, policy: &Policy) -> bool {
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
