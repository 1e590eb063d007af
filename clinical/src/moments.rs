//! Mean and standard deviation of weighted values, of any quantity.
//!
//! Invariants: sums are exact integers, so that no order of adding changes a bit; floating point begins at the last
//! division.
//!
//! Numbers: a value is in its unit × 10⁹ ([`Moments::PLACES`]) and enters within ±10⁶ units (`LIMIT`), far beyond
//! any sensor or cuff, so that no input overflows an `i128`.

/// One unit in the unit of the sums.
const ONE: f64 = 1e9;
/// Values enter cut to ±10⁶ units: squares of differences stay below 4 × 10³⁰, which leaves room for ten million
/// minutes.
const LIMIT: i128 = 1_000_000 * 1_000_000_000;

/// Exact weighted sums.
pub(crate) struct Moments {
    n: u64,
    /// Sum of weights.
    weight: i128,
    /// Sum of weight × value.
    sum: i128,
    /// Sum of weight × (value − `weight`-th part of `sum`, rounded down)².
    squares: i128,
}

impl Moments {
    /// Decimal places of the values.
    pub(crate) const PLACES: u8 = 9;

    /// The sums over (weight, value × 10⁹), each once; at least one weight is above zero.
    pub(crate) fn of(values: impl Iterator<Item = (u64, i128)> + Clone) -> Self {
        Self::counted(values.map(|(weight, value)| (1, weight, value)))
    }

    /// The sums over (how many, weight of them all, value × 10⁹); at least one weight is above zero.
    pub(crate) fn counted(values: impl Iterator<Item = (u64, u64, i128)> + Clone) -> Self {
        let cut = |(n, weight, value): (u64, u64, i128)| (n, i128::from(weight), value.clamp(-LIMIT, LIMIT));
        let (n, weight, sum) = values
            .clone()
            .map(cut)
            .fold((0, 0, 0), |(all, w, s), (n, weight, value)| (all + n, w + weight, s + weight * value));
        // Differences to a whole number near the mean: as exact as squares of the values, and smaller.
        let centre = sum.div_euclid(weight.max(1));
        // Saturating addition of what is never negative gives the same in any order.
        let squares = values.map(cut).fold(0i128, |total, (_, weight, value)| {
            let difference = value - centre;
            total.saturating_add(weight * difference * difference)
        });
        Self { n, weight, sum, squares }
    }

    /// The arithmetic mean.
    pub(crate) fn mean(&self) -> f64 {
        self.sum as f64 / self.weight as f64 / ONE
    }

    /// With n−1: for equal weights exactly √((nΣx² − (Σx)²) / (n(n−1))); for unequal ones the weighted
    /// mean of squares, times n/(n−1). `None` for a single value.
    pub(crate) fn sd(&self) -> Option<f64> {
        if self.n < 2 {
            return None;
        }
        // Σw(x−c)² = Σw(x−mean)² + W(mean−c)², and W·mean − W·c is the remainder of the division.
        let remainder = self.sum.rem_euclid(self.weight) as f64;
        let weight = self.weight as f64;
        let about_mean = (self.squares as f64 - remainder * remainder / weight).max(0.0);
        let n = self.n as f64;
        Some((about_mean / weight * (n / (n - 1.0))).sqrt() / ONE)
    }
}
