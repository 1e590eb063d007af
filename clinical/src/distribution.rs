//! How much of each value there was: what every metric that does not look at the clock is made from.
//!
//! Invariants: a distribution is a function of the multiset of values, so merging is associative and commutative,
//! and the distribution of a window is that of its days merged, bit for bit; all counts and sums are whole
//! numbers; floating point begins at the last division, over values in ascending order.
//!
//! What a mergeable form of percentiles needs is this histogram: percentiles of days do not merge, values do. A
//! sensor knows about 400 values, so a day is at most some 3 KB.

use std::cmp::Ordering;

use crate::{
    glucose::{Glucose, Unit},
    level::Level,
    moments::Moments,
    outcome::{RangeMinutes, UnitMix},
    series::{Limit, Palette, Point, Value, common},
};

/// One mg/dL in the unit of the sums.
const SCALE: f64 = 1e9;
const _: () = assert!(Glucose::SUM_PLACES == 9 && Moments::PLACES == 9);

/// A value and how many readings had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    value: Value,
    n: u64,
}

impl Cell {
    const fn minutes(&self) -> u64 {
        self.n * self.value.minutes as u64
    }
}

/// The values of some readings with their counts, ascending; each value once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Distribution {
    cells: Vec<Cell>,
}

/// What is told of values beside the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) units: UnitMix,
    pub(crate) censored_low: u64,
    pub(crate) censored_high: u64,
    pub(crate) low_level_unknown: u64,
}

impl Distribution {
    pub(crate) fn of(points: &[Point], palette: &Palette) -> Self {
        Self::of_counts(&palette.counts(points), palette)
    }

    /// Of how many readings have the value at each place of the palette.
    pub(crate) fn of_counts(counts: &[u32], palette: &Palette) -> Self {
        let mut cells: Vec<Cell> = Vec::with_capacity(counts.len());
        for &place in palette.ascending() {
            let n = u64::from(counts[place as usize]);
            let value = *palette.value(place);
            match cells.last_mut() {
                _ if n == 0 => {}
                // Two spellings of one value are two places and one value.
                Some(last) if last.value == value => last.n += n,
                _ => cells.push(Cell { value, n }),
            }
        }
        Self { cells }
    }

    /// Adds what `other` holds.
    pub(crate) fn merge(&mut self, other: &Self) {
        let mut cells = Vec::with_capacity(self.cells.len() + other.cells.len());
        let (mut ours, mut theirs) = (self.cells.iter().peekable(), other.cells.iter().peekable());
        while let (Some(a), Some(b)) = (ours.peek(), theirs.peek()) {
            match a.value.cmp(&b.value) {
                Ordering::Less => cells.extend(ours.next()),
                Ordering::Greater => cells.extend(theirs.next()),
                Ordering::Equal => {
                    cells.push(Cell { value: a.value, n: a.n + b.n });
                    ours.next();
                    theirs.next();
                }
            }
        }
        cells.extend(ours);
        cells.extend(theirs);
        self.cells = cells;
    }

    /// Readings.
    pub(crate) fn n(&self) -> u64 {
        self.cells.iter().map(|cell| cell.n).sum()
    }

    pub(crate) fn minutes(&self) -> RangeMinutes {
        let mut minutes = RangeMinutes::default();
        for cell in &self.cells {
            let range = match cell.value.level {
                Level::VeryLow => &mut minutes.very_low,
                Level::Low => &mut minutes.low,
                Level::Target => &mut minutes.target,
                Level::High => &mut minutes.high,
                Level::VeryHigh => &mut minutes.very_high,
            };
            *range += cell.minutes();
        }
        minutes
    }

    pub(crate) fn tight_minutes(&self) -> u64 {
        self.cells.iter().filter(|cell| cell.value.tight).map(Cell::minutes).sum()
    }

    pub(crate) fn account(&self) -> Account {
        let mut account = Account::default();
        for Cell { value, n } in &self.cells {
            match value.limit {
                Limit::Exact => {}
                Limit::Below => {
                    account.censored_low += n;
                    account.low_level_unknown += if value.known { 0 } else { *n };
                }
                Limit::Above => account.censored_high += n,
            }
            match value.unit {
                Unit::MgDl => account.units.mg_dl += n,
                Unit::MmolL => account.units.mmol_l += n,
            }
            account.units.re_expressed += if value.re_expressed { *n } else { 0 };
        }
        account
    }

    /// `None` without a reading.
    pub(crate) fn moments(&self) -> Option<Moments> {
        let weighted = |cell: &Cell| (cell.n, cell.minutes(), i128::from(cell.value.e9));
        self.cells
            .iter()
            .any(|cell| cell.minutes() > 0)
            .then(|| Moments::counted(self.cells.iter().map(weighted)))
    }

    /// The mean over all minutes of `f` of the value in mg/dL, split by the sign that `f` gives: (where it is
    /// negative, where it is positive). Summed in ascending order of the value, so one set gives one sum.
    pub(crate) fn mean_by_sign(&self, f: impl Fn(f64) -> (bool, f64)) -> (f64, f64) {
        let (mut below, mut above) = (0.0, 0.0);
        for same in self.cells.chunk_by(|a, b| a.value.e9 == b.value.e9) {
            let minutes = same.iter().map(Cell::minutes).sum::<u64>() as f64;
            let (negative, size) = f(same[0].value.e9 as f64 / SCALE);
            *if negative { &mut below } else { &mut above } += minutes * size;
        }
        let all = self.cells.iter().map(Cell::minutes).sum::<u64>().max(1) as f64;
        (below / all, above / all)
    }

    /// Quantiles of type 7 in mg/dL for each of `per_cent`, ascending; 0.0 without a reading. Each reading counts
    /// once; readings of unequal intervals count in units of the longest time that divides all of them.
    pub(crate) fn quantiles<const N: usize>(&self, per_cent: [u8; N]) -> [f64; N] {
        let unit = common(self.cells.iter().map(|cell| cell.value.minutes));
        let steps = |cell: &Cell| cell.minutes() / u64::from(unit);
        let all: u64 = self.cells.iter().map(steps).sum();
        let mut at = self.cells.iter().map(|cell| (cell.value.e9, steps(cell)));
        let (mut value, mut reached) = at.next().unwrap_or((0, 0));
        per_cent.map(|per_cent| {
            let place = u128::from(all.saturating_sub(1)) * u128::from(per_cent);
            let (lower, part) = ((place / 100) as u64, (place % 100) as i64);
            while lower >= reached {
                let Some((next, n)) = at.next() else { break };
                (value, reached) = (next, reached + n);
            }
            let following =
                if lower + 1 >= reached { at.clone().next().map_or(value, |next| next.0) } else { value };
            // Within ±10¹⁷.
            (value * 100 + (following - value) * part) as f64 / (100.0 * SCALE)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::Policy;

    /// A distribution of whole mg/dL, each with the minutes it stands for.
    fn of(values: &[(i32, u8)]) -> Distribution {
        let mut palette = Palette::new(Policy::standard());
        let counted: Vec<_> =
            values.iter().map(|(value, minutes)| crate::select::Counted::sample(*value, *minutes)).collect();
        let points = palette.points(counted.iter().map(crate::select::Counted::picked));
        Distribution::of(&points, &palette)
    }

    /// Type 7 as it is defined: position (n−1)·p between the order statistics.
    fn plain(mut values: Vec<i32>, per_cent: u8) -> f64 {
        values.sort_unstable();
        let place = (values.len() - 1) as f64 * f64::from(per_cent) / 100.0;
        let (lower, upper) = (place.floor() as usize, place.ceil() as usize);
        let part = place - place.floor();
        f64::from(values[lower]) * (1.0 - part) + f64::from(values[upper]) * part
    }

    #[test]
    fn quantiles_of_readings_of_unequal_intervals_are_those_of_their_common_minutes() {
        // 15 minutes of 60 and 5 of 120 are three fives and one: 60, 60, 60, 120.
        assert_eq!(of(&[(60, 15), (120, 5)]).quantiles([25, 50, 75, 95]), [60.0, 60.0, 75.0, 111.0]);
        assert_eq!(of(&[(100, 15)]).quantiles([5, 95]), [100.0, 100.0]);
        assert_eq!(of(&[]).quantiles([50]), [0.0]);
    }

    proptest! {
        #[test]
        fn quantiles_are_type_7(values in prop::collection::vec(20i32..450, 1..80), per_cent in 0u8..=100) {
            let cells: Vec<_> = values.iter().map(|value| (*value, 5)).collect();
            let [found] = of(&cells).quantiles([per_cent]);
            let expected = plain(values, per_cent);
            prop_assert!((found - expected).abs() < 1e-9, "{} {}", found, expected);
        }

        #[test]
        fn merging_parts_gives_the_whole(values in prop::collection::vec((20i32..450, 0usize..3), 0..80), cut: prop::sample::Index) {
            let values: Vec<_> = values.into_iter().map(|(value, kind)| (value, [1, 5, 15][kind])).collect();
            let at = cut.index(values.len() + 1);
            let (mut a, mut b) = (of(&values[..at]), of(&values[at..]));
            let whole = of(&values);
            let first = a.clone();
            a.merge(&b);
            b.merge(&first);
            prop_assert_eq!(&a, &whole);
            prop_assert_eq!(&b, &whole);
        }
    }
}
