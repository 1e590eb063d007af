//! MODD: the mean of differences between readings 24 hours apart, over matched pairs only.
//!
//! The match of a reading at `t` is the counted reading nearest to `t` − 24 hours of elapsed time, if it is within half
//! of the later reading's interval (2.5 minutes of a 5-minute sensor, the bound included); of two as near, the earlier.
//! Nothing is interpolated; a reading without a match is in no pair. Sums are whole numbers, so those of days add up to
//! that of their window; a day's depends on the readings of the two days before it (a day of 23 hours is shorter than
//! the way back).

use crate::{
    metrics::Modd,
    reading::Instant,
    series::{Palette, Point},
};

/// How far back the match of a day's first reading can lie, and whose readings a day's sum depends on.
pub(crate) const DAYS_BEFORE: i32 = 2;

const HALF_MINUTE_MS: u64 = Instant::MINUTE_MS.unsigned_abs() / 2;

/// Weighted sums of matched pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Differences {
    pairs: u64,
    minutes: u64,
    /// Minutes × mg/dL × 10⁹.
    sum: i128,
}

impl Differences {
    /// The pairs whose later reading is one of `later`; `all` are by time, no two at one, and hold the earlier ones.
    pub(crate) fn of(later: &[Point], all: &[Point], palette: &Palette) -> Self {
        let Some((mut nearest, mut rest)) = all.split_first() else { return Self::default() };
        let (mut pairs, mut minutes, mut sum) = (0, 0, 0);
        for point in later {
            let wanted = point.time.0.saturating_sub(Instant::DAY_MS);
            let mut distance_ms = nearest.time.0.abs_diff(wanted);
            // What is nearest never comes before what was nearest to an earlier time, and on the way there each is
            // nearer than the one before.
            while let Some((next, after)) = rest.split_first()
                && next.time.0.abs_diff(wanted) < distance_ms
            {
                distance_ms = next.time.0.abs_diff(wanted);
                (nearest, rest) = (next, after);
            }
            if distance_ms <= u64::from(point.minutes) * HALF_MINUTE_MS {
                let difference = (palette.value(point.value).e9 - palette.value(nearest.value).e9).abs();
                pairs += 1;
                minutes += u64::from(point.minutes);
                // At most 2 × 10¹⁵ times 255.
                sum += i128::from(difference * i64::from(point.minutes));
            }
        }
        Self { pairs, minutes, sum }
    }

    /// Adds pairs of other days.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.pairs += other.pairs;
        self.minutes += other.minutes;
        self.sum += other.sum;
    }

    /// `None` without a pair.
    pub(crate) fn modd(&self) -> Option<Modd> {
        let mean = |minutes: u64| self.sum as f64 / minutes as f64 / 1e9;
        (self.minutes > 0).then(|| Modd { mean_mg_dl: mean(self.minutes), pairs: self.pairs })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{policy::Policy, select::Counted};

    const DAY: i64 = 1440;

    /// Differences within readings given as (seconds, mg/dL), of a sensor of 5 minutes.
    fn of(readings: &[(i64, i32)]) -> Differences {
        let mut palette = Palette::new(Policy::standard());
        let counted: Vec<_> = readings
            .iter()
            .map(|(seconds, value)| {
                let mut counted = Counted::sample(*value, 5);
                counted.reading.time = Instant(seconds * 1000);
                counted
            })
            .collect();
        let points = palette.points(counted.iter().map(Counted::picked));
        Differences::of(&points, &points, &palette)
    }

    #[test]
    fn only_matched_pairs_count() {
        let second_day = DAY * 60;
        let found = of(&[(0, 100), (300, 110), (second_day, 130), (second_day + 600, 90)]);
        // 130 has 100; 90, ten minutes later, has nobody within 2.5 minutes.
        assert_eq!(found.modd(), Some(Modd { mean_mg_dl: 30.0, pairs: 1 }));
        assert_eq!(of(&[(0, 100), (300, 110)]).modd(), None);
        assert_eq!(of(&[]).modd(), None);
    }

    #[test]
    fn the_tolerance_is_half_an_interval_and_the_nearest_is_taken() {
        let second_day = DAY * 60;
        for (offset, pairs) in [(150, 1), (151, 0), (-150, 1), (-151, 0)] {
            assert_eq!(of(&[(200, 100), (second_day + 200 + offset, 130)]).pairs, pairs, "{offset}");
        }
        // Between 0 s and 200 s: 90 s is nearer to 0, 110 s to 200, 100 s to both and the earlier is taken.
        for (at, difference) in [(90, 30.0), (110, 20.0), (100, 30.0)] {
            let found = of(&[(0, 100), (200, 110), (second_day + at, 130)]);
            assert_eq!(found.modd(), Some(Modd { mean_mg_dl: difference, pairs: 1 }), "{at}");
        }
    }

    proptest! {
        #[test]
        fn the_match_is_the_nearest_of_all(steps in prop::collection::vec((1i64..2_000, 40i32..400), 1..600)) {
            let mut seconds = 0;
            let readings: Vec<_> = steps.iter().map(|(step, value)| { seconds += step; (seconds, *value) }).collect();
            let (mut pairs, mut sum) = (0, 0);
            for (seconds, value) in &readings {
                let away = |other: &&(i64, i32)| (other.0 - (seconds - 86_400)).abs();
                // Of two as near the first.
                let Some(nearest) = readings.iter().min_by_key(away).filter(|other| away(other) <= 150) else { continue };
                (pairs, sum) = (pairs + 1, sum + i128::from((value - nearest.1).abs()) * 5_000_000_000);
            }
            prop_assert_eq!(of(&readings), Differences { pairs, minutes: 5 * pairs, sum });
        }
    }
}
