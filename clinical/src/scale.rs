//! Edges that divide the values of any quantity into five ranges, and the range of a value.
//!
//! Invariants: edges and values are exact decimals in the same unit, × 10^[`BOUND_PLACES`]; the ranges leave no
//! hole; what equals an edge is on the side of the target. An edge that belongs to the range beyond it (135 mmHg is
//! high) is the greatest number below it, which is exact too: there is nothing between.
//!
//! [`BOUND_PLACES`]: crate::policy::BOUND_PLACES

/// One of the five ranges, in ascending order of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Below the very low edge (54 mg/dL or 3.0 mmol/L).
    VeryLow,
    /// From there to below the target.
    Low,
    /// The target, both ends included.
    Target,
    /// Above the target up to the very high edge (250 mg/dL or 13.9 mmol/L).
    High,
    /// Above that.
    VeryHigh,
}

/// The edges of one quantity in one unit: very low, low, high, very high.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale([i128; 4]);

impl Scale {
    /// An edge below which no value lies, for a quantity without that range.
    pub(crate) const NONE_BELOW: i128 = i128::MIN;
    /// An edge above which no value lies.
    pub(crate) const NONE_ABOVE: i128 = i128::MAX;

    /// Edges in ascending order.
    pub(crate) const fn new(edges: [i128; 4]) -> Self {
        Self(edges)
    }

    /// The range of a value.
    pub(crate) fn level(&self, value: i128) -> Level {
        let [very_low, low, high, very_high] = &self.0;
        match value {
            v if v < *very_low => Level::VeryLow,
            v if v < *low => Level::Low,
            v if v <= *high => Level::Target,
            v if v <= *very_high => Level::High,
            _ => Level::VeryHigh,
        }
    }

    /// What is less than `limit`: its range, and whether that is certain.
    pub(crate) fn below(&self, limit: i128) -> (Level, bool) {
        match limit {
            l if l <= self.0[0] => (Level::VeryLow, true),
            l if l <= self.0[1] => (Level::Low, self.0[0] == Self::NONE_BELOW),
            // No sensor has such a lower limit; the range just under it is the best that is known.
            l => (self.level(l - 1), false),
        }
    }

    /// What is more than `limit`: its range, and whether that is certain.
    pub(crate) fn above(&self, limit: i128) -> (Level, bool) {
        match limit {
            l if l >= self.0[3] => (Level::VeryHigh, true),
            // Without a very high range everything above the target is high.
            l if l >= self.0[2] => (Level::High, self.0[3] == Self::NONE_ABOVE),
            l => (self.level(l + 1), false),
        }
    }
}

/// Five weights as hundredths of a per cent, rounded by largest remainder: they sum to 10 000. Ties go to the lower
/// range, so the result is a function of the weights alone.
pub(crate) fn shown_shares(levels: [u64; 5]) -> [u32; 5] {
    apportioned(levels, 10_000)
}

/// A whole divided by five weights, rounded by largest remainder: the parts sum to it. Ties go to the lower range.
pub(crate) fn apportioned(levels: [u64; 5], whole: u32) -> [u32; 5] {
    let total = u128::from(levels.iter().sum::<u64>().max(1));
    let exact = levels.map(|weight| u128::from(weight) * u128::from(whole));
    let mut shown = exact.map(|weight| (weight / total) as u32);
    let mut order = [0, 1, 2, 3, 4];
    order.sort_by_key(|&i| (std::cmp::Reverse(exact[i] % total), i));
    let missing = whole.saturating_sub(shown.iter().sum());
    for &i in order.iter().take(missing as usize) {
        shown[i] += 1;
    }
    shown
}
