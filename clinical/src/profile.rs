//! The profile: what glucose is usual at which time of day, by the clock on the wall.
//!
//! Invariants:
//! - A function of the set of counted readings, the period and the policy. Values are sorted as whole
//!   numbers (mg/dL × 10⁹); floating point begins at the last division.
//! - The percentiles of a bin are those of one set of values, so they ascend, and curves drawn through
//!   them in straight lines cannot cross.
//! - Nothing is interpolated: a bin has a curve only where the period suffices (the policy's days and
//!   share) and readings of [`MIN_DAYS`] different dates lie in the bin itself. Neighbours smooth a curve,
//!   they never fill a hole in it.
//! - In the repeated hour of a long day both passes count, for one date; a skipped hour has no readings.
//!
//! Numbers: [`BIN_MINUTES`] minutes a bin, each with the values of the bins on both sides of it (around
//! midnight too); hours by themselves; percentiles [`PERCENTILES`], type 7 (Hyndman and Fan 1996: R's and
//! numpy's default). A value weighs the minutes that its reading covers.

mod ascending;

use self::ascending::{Value, ascending};
use crate::{
    outcome::{Insufficiency, Period},
    outcomes::insufficiency,
    policy::Policy,
    reading::Instant,
    select::{Counted, Selection},
    wall_clock::WallClock,
};

/// Minutes of a bin of the curve: three readings of a 5-minute sensor, one of a 15-minute sensor.
pub const BIN_MINUTES: u32 = 15;
/// Fewer different dates in a bin say nothing of what is usual (unconfirmed: a choice of this project).
pub const MIN_DAYS: u32 = 5;
/// The percentiles of a curve, ascending.
pub const PERCENTILES: [u8; 5] = [5, 25, 50, 75, 95];

const DAY_MINUTES: u32 = 1440;
const BINS: usize = (DAY_MINUTES / BIN_MINUTES) as usize;
const HOURS: usize = 24;
const BINS_AN_HOUR: usize = BINS / HOURS;
const _: () = assert!(BINS * BIN_MINUTES as usize == DAY_MINUTES as usize && BINS_AN_HOUR * HOURS == BINS);
/// A hundredth of a unit of the sums, so that a percentile between two values stays whole.
const HUNDREDFOLD: f64 = 1e11;

/// A time of day.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Bin {
    /// Minutes after 00:00 at which it begins.
    pub minute: u32,
    /// Different dates with a reading in it.
    pub days: u32,
    /// [`PERCENTILES`] in mg/dL; `None` where there is too little to tell.
    pub curve: Option<[f64; 5]>,
}

/// The profile of a period.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Profile {
    /// Minutes of each of `bins`.
    pub bin_minutes: u32,
    /// The whole day, smoothed: each bin's percentiles are over its own values and its neighbours'.
    pub bins: Vec<Bin>,
    /// The twenty-four hours, each by itself.
    pub hours: Vec<Bin>,
    /// Why no bin has a curve; empty where the data suffice.
    pub insufficient: Vec<Insufficiency>,
}

/// The profile of what counts in `period`. `selection` is that of the same period and policy.
#[must_use]
pub fn profile(period: &Period, selection: &Selection, policy: &Policy) -> Profile {
    let Gathered { values, days, unit, minutes } = gather(period, &selection.counted, policy);
    let window_ms = i128::from(period.end.0) - i128::from(period.start.0);
    let active_ms = i128::from(minutes) * i128::from(Instant::MINUTE_MS);
    let insufficient = insufficiency(period, active_ms, window_ms, policy);
    let (mut bins, mut hours) = (None, None);
    if insufficient.is_empty() {
        let sorted = ascending(&values);
        let around = |bin| [(bin + BINS - 1) % BINS, bin, (bin + 1) % BINS];
        bins = Some(Pools::fill(&sorted, unit, BINS, around));
        hours = Some(Pools::fill(&sorted, unit, HOURS, |bin| [bin / BINS_AN_HOUR]));
    }
    Profile {
        bin_minutes: BIN_MINUTES,
        bins: curves(&days.bins, bins.as_ref()),
        hours: curves(&days.hours, hours.as_ref()),
        insufficient,
    }
}

/// How many dates have a reading at which time.
struct Days {
    bins: [u32; BINS],
    hours: [u32; HOURS],
}

/// What one pass over the readings finds.
struct Gathered {
    values: Vec<Value>,
    days: Days,
    /// What one value stands for: the greatest number of minutes that divides all intervals.
    unit: u8,
    /// Minutes of all readings.
    minutes: u64,
}

/// The values by their bins, and the dates of each. `counted` is by time: a time of day comes back only on
/// another date, or in the repeated hour of the same one.
fn gather(period: &Period, counted: &[Counted], policy: &Policy) -> Gathered {
    let clock = WallClock::of(period);
    let factor_e4 = policy.factor_e4.value;
    let mut days = Days { bins: [0; BINS], hours: [0; HOURS] };
    let (mut last_of_bin, mut last_of_hour) = ([None; BINS], [None; HOURS]);
    let (mut unit, mut minutes) = (0, 0);
    let mut values = Vec::with_capacity(counted.len());
    for counted in counted {
        let shown = clock.shown(counted.reading.time);
        let bin = ((shown.minute() / BIN_MINUTES) as usize).min(BINS - 1);
        let hour = bin / BINS_AN_HOUR;
        // Most readings follow one in the same bin.
        if last_of_bin[bin] != Some(shown.day) {
            last_of_bin[bin] = Some(shown.day);
            days.bins[bin] += 1;
            days.hours[hour] += u32::from(last_of_hour[hour].replace(shown.day) != Some(shown.day));
        }
        if counted.minutes != unit {
            unit = greatest_divisor(unit, counted.minutes);
        }
        minutes += u64::from(counted.minutes);
        values.push(Value::of(counted.reading.glucose, factor_e4, bin as u8, counted.minutes));
    }
    Gathered { values, days, unit: unit.max(1), minutes }
}

const fn greatest_divisor(mut a: u8, mut b: u8) -> u8 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The values of every pool, ascending, one pool after the other.
struct Pools {
    values: Vec<i64>,
    /// Where each pool begins; one more than there are pools.
    begins: Vec<usize>,
}

impl Pools {
    /// `pools` pools, each value into those that `of` says of its bin, once for each `unit` of minutes.
    fn fill<const N: usize>(
        sorted: &[Value],
        unit: u8,
        pools: usize,
        of: impl Fn(usize) -> [usize; N],
    ) -> Self {
        let pools_of: [[usize; N]; BINS] = std::array::from_fn(of);
        let times = |value: &Value| if value.minutes == unit { 1 } else { usize::from(value.minutes / unit) };
        let mut of_bin = [0usize; BINS];
        for value in sorted {
            of_bin[usize::from(value.bin)] += times(value);
        }
        let mut begins = vec![0; pools + 1];
        for (bin, values) in of_bin.into_iter().enumerate() {
            for pool in pools_of[bin] {
                begins[pool + 1] += values;
            }
        }
        for pool in 0..pools {
            begins[pool + 1] += begins[pool];
        }
        let mut next = begins.clone();
        let mut values = vec![0; begins[pools]];
        for value in sorted {
            for _ in 0..times(value) {
                for pool in pools_of[usize::from(value.bin)] {
                    values[next[pool]] = value.e9;
                    next[pool] += 1;
                }
            }
        }
        Self { values, begins }
    }

    fn of(&self, pool: usize) -> &[i64] {
        &self.values[self.begins[pool]..self.begins[pool + 1]]
    }
}

fn curves(days: &[u32], pools: Option<&Pools>) -> Vec<Bin> {
    let minutes = DAY_MINUTES / days.len() as u32;
    let bin = |(place, &days): (usize, &u32)| {
        let enough = pools.filter(|_| days >= MIN_DAYS).map(|pools| pools.of(place));
        let curve = enough.and_then(|values| {
            let [a, b, c, d, e] = PERCENTILES.map(|per_cent| percentile(values, per_cent));
            Some([a?, b?, c?, d?, e?])
        });
        Bin { minute: place as u32 * minutes, days, curve }
    };
    days.iter().enumerate().map(bin).collect()
}

/// Type 7: the value at the place (n − 1) · p of the ascending values, between two in proportion. In mg/dL
/// from mg/dL × 10⁹; `None` of nothing.
fn percentile(ascending: &[i64], per_cent: u8) -> Option<f64> {
    let place = ascending.len().checked_sub(1)? * usize::from(per_cent);
    let (below, rest) = (place / 100, place % 100);
    let low = i128::from(*ascending.get(below)?);
    let high = ascending.get(below + 1).map_or(low, |high| i128::from(*high));
    Some((low * 100 + (high - low) * rest as i128) as f64 / HUNDREDFOLD)
}

#[cfg(test)]
mod tests;
