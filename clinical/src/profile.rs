//! The profile: what glucose is usual at which time of day, by the clock on the wall.
//!
//! Invariants:
//! - A function of the set of counted readings, the period and the policy. Values are sorted as whole
//!   numbers (mg/dL × 10⁹); floating point begins at the last division.
//! - The percentiles of a bin are those of one set of values, so they ascend, and curves drawn through
//!   them in straight lines cannot cross.
//! - Nothing is interpolated: a bin has a curve only where the period suffices (the policy's days and
//!   share) and readings of the policy's number of different dates lie in the bin itself. Neighbours smooth
//!   a curve, they never fill a hole in it.
//! - In the repeated hour of a long day both passes count, for one date; a skipped hour has no readings.
//!
//! Numbers: bins are as long as the policy says (`[profile]`), each with the values of the bins on both sides of
//! it (around midnight too); hours by themselves; percentiles [`PERCENTILES`], type 7 (Hyndman and Fan 1996: R's
//! and numpy's default). A value weighs the minutes that its reading covers.
//!
//! No value is compared with another: the palette knows their order, so readings are counted into it, and from it
//! dealt to the pools, which are ascending then.

use crate::{
    calendar::LocalDay,
    outcome::{Insufficiency, Period},
    outcomes::insufficiency,
    policy::{Policy, ProfileRule},
    reading::Instant,
    select::{Counted, Selection},
    series::{Palette, Series},
    wall_clock::WallClock,
};

/// The percentiles of a curve, ascending.
pub const PERCENTILES: [u8; 5] = [5, 25, 50, 75, 95];

const DAY_MINUTES: u32 = 1440;
const HOUR_MINUTES: u32 = 60;
const MINUTE_MS: u32 = Instant::MINUTE_MS as u32;
const HOUR_MS: u32 = HOUR_MINUTES * MINUTE_MS;
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
    /// Dates that a time of day needs for a curve.
    pub min_dates: u32,
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
    Profile::of(period, &Series::of(selection.counted.iter().map(Counted::picked), policy), policy)
}

impl Profile {
    /// Of what counts in `period`.
    pub(crate) fn of(period: &Period, counted: &Series, policy: &Policy) -> Self {
        let ProfileRule { bin_minutes, min_dates } = policy.profile.value;
        let active_ms = i128::from(counted.minutes()) * i128::from(Instant::MINUTE_MS);
        let window_ms = i128::from(period.end.0) - i128::from(period.start.0);
        let insufficient = insufficiency(period, active_ms, window_ms, policy);
        let sorted = Sorted::of(period, counted, bin_minutes);
        let pools = insufficient.is_empty().then(|| Pools::of(&sorted, counted));
        let curve = |pool: usize, days: u32| {
            let places = pools.as_ref().filter(|_| days >= min_dates)?.of_pool(pool);
            let [a, b, c, d, e] = PERCENTILES.map(|per_cent| percentile(places, per_cent, &counted.palette));
            Some([a?, b?, c?, d?, e?])
        };
        // The pools of the hours follow those of the bins.
        let bins = sorted.bins.days.len();
        let told = |days: &[u32], minutes: u32, first: usize| -> Vec<Bin> {
            let bin = |(place, &days): (usize, &u32)| {
                let curve = curve(first + place, days);
                Bin { minute: place as u32 * minutes, days, curve }
            };
            days.iter().enumerate().map(bin).collect()
        };
        Self {
            bin_minutes,
            min_dates,
            bins: told(&sorted.bins.days, bin_minutes, 0),
            hours: told(&sorted.hours.days, HOUR_MINUTES, bins),
            insufficient,
        }
    }
}

/// On how many dates there is a reading at each time of day.
struct Dates {
    days: Vec<u32>,
    last: Vec<Option<LocalDay>>,
}

impl Dates {
    fn every(minutes: u32) -> Self {
        let times = (DAY_MINUTES / minutes) as usize;
        Self { days: vec![0; times], last: vec![None; times] }
    }

    /// Readings come by time, so a time of day comes back only on another date, or in the repeated hour of the same.
    fn see(&mut self, place: usize, day: LocalDay) {
        if self.last[place].replace(day) != Some(day) {
            self.days[place] += 1;
        }
    }
}

/// What the clock on the wall shows from an instant on, until the date or the offset changes.
struct Day {
    date: LocalDay,
    /// When it would have shown 00:00 of the date, ms UTC.
    midnight: i64,
    until: i64,
}

impl Day {
    /// No day at all: it has ended before any instant.
    const NONE: Self = Self { date: LocalDay(0), midnight: 0, until: i64::MIN };

    fn of(instant: Instant, clock: &WallClock) -> Self {
        let (shown, steady_until) = clock.shown_until(instant);
        let midnight = instant.0.saturating_sub(shown.ms.into());
        let until = steady_until.0.min(midnight.saturating_add(Instant::DAY_MS));
        Self { date: shown.day, midnight, until }
    }
}

/// The times of day of readings, in ascending order of their values.
struct Sorted {
    /// The bin of each, those of one place in the palette after those of the place before it.
    bin_of: Vec<u16>,
    /// How often a reading of each place stands in a pool: once for each `unit` of its minutes.
    weights: Vec<u32>,
    /// How many readings of each bin stand in a pool, by their weights.
    of_bin: Vec<usize>,
    bins: Dates,
    hours: Dates,
}

impl Sorted {
    fn of(period: &Period, counted: &Series, bin_minutes: u32) -> Self {
        let Series { points, counts, palette } = counted;
        let unit = counted.common_minutes();
        let weight = |place| u32::from(palette.value(place).minutes / unit);
        let weights: Vec<u32> = (0..counts.len() as u32).map(weight).collect();
        let mut next = vec![0; counts.len()];
        let mut before = 0;
        for &place in palette.ascending() {
            next[place as usize] = before;
            before += counts[place as usize] as usize;
        }
        let (clock, bin_ms) = (WallClock::of(period), bin_minutes * MINUTE_MS);
        let (mut bins, mut hours) = (Dates::every(bin_minutes), Dates::every(HOUR_MINUTES));
        let mut of_bin = vec![0; bins.days.len()];
        let mut bin_of = vec![0; points.len()];
        let (mut day, mut bin, mut minutes) = (Day::NONE, 0, 0);
        let mut until = i64::MIN;
        for point in points {
            // The clock is asked once a day, and the bin found once for all readings in a row.
            if point.time.0 >= until {
                of_bin[bin] += std::mem::take(&mut minutes) / usize::from(unit);
                if point.time.0 >= day.until {
                    day = Day::of(point.time, &clock);
                }
                let ms = (point.time.0 - day.midnight) as u32;
                bin = (ms / bin_ms) as usize;
                bins.see(bin, day.date);
                hours.see((ms / HOUR_MS) as usize, day.date);
                until = day.until.min(day.midnight + (bin as i64 + 1) * i64::from(bin_ms));
            }
            minutes += usize::from(point.minutes);
            let next = &mut next[point.value as usize];
            bin_of[*next] = bin as u16;
            *next += 1;
        }
        of_bin[bin] += minutes / usize::from(unit);
        Self { bin_of, weights, of_bin, bins, hours }
    }
}

/// The values of every pool as places in the palette, ascending, one pool after the other: for each bin those of its
/// own and its neighbours, then those of each hour.
struct Pools {
    places: Vec<u32>,
    /// Where each pool begins; one more than there are pools.
    begins: Vec<usize>,
}

impl Pools {
    fn of(sorted: &Sorted, counted: &Series) -> Self {
        let (bins, hours) = (sorted.bins.days.len(), sorted.hours.days.len());
        let pools_of = |bin| [(bin + bins - 1) % bins, bin, (bin + 1) % bins, bins + bin * hours / bins];
        let pools_of: Vec<[usize; 4]> = (0..bins).map(pools_of).collect();
        let mut begins = vec![0; bins + hours + 1];
        for (pools, weights) in pools_of.iter().zip(&sorted.of_bin) {
            for pool in pools {
                begins[pool + 1] += weights;
            }
        }
        for pool in 0..bins + hours {
            begins[pool + 1] += begins[pool];
        }
        let mut next = begins.clone();
        let mut places = vec![0; begins[bins + hours]];
        let mut rest = sorted.bin_of.as_slice();
        for &place in counted.palette.ascending() {
            let of_place;
            (of_place, rest) = rest.split_at(counted.counts[place as usize] as usize);
            for _ in 0..sorted.weights[place as usize] {
                for bin in of_place {
                    for pool in pools_of[usize::from(*bin)] {
                        let at = next[pool];
                        places[at] = place;
                        next[pool] = at + 1;
                    }
                }
            }
        }
        Self { places, begins }
    }

    fn of_pool(&self, pool: usize) -> &[u32] {
        &self.places[self.begins[pool]..self.begins[pool + 1]]
    }
}

/// Type 7: the value at the place (n − 1) · p of the ascending values, between two in proportion. In mg/dL
/// from mg/dL × 10⁹; `None` of nothing.
fn percentile(ascending: &[u32], per_cent: u8, palette: &Palette) -> Option<f64> {
    let at = ascending.len().checked_sub(1)? * usize::from(per_cent);
    let (below, rest) = (at / 100, at % 100);
    let e9 = |place: &u32| palette.value(*place).e9;
    let low = e9(ascending.get(below)?);
    let high = ascending.get(below + 1).map_or(low, e9);
    // Within ±10¹⁷.
    Some((low * 100 + (high - low) * rest as i64) as f64 / HUNDREDFOLD)
}

#[cfg(test)]
mod tests;
