//! How long answers took: percentiles from counts in buckets, so that a million messages need no more memory than
//! ten.
//!
//! A bucket is 2 % wide, from a microsecond to above an hour; what is told is a bucket's upper edge.

use std::time::Duration;

/// How much wider each bucket is than the one before it.
const STEP: f64 = 1.02;
/// Buckets: 1.02^1250 microseconds are over 15 hours.
const BUCKETS: usize = 1_250;

/// Counts of durations.
#[derive(Clone, Debug)]
pub(super) struct Latency {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }
}

impl Latency {
    /// Counts one.
    pub(super) fn add(&mut self, took: Duration) {
        let micros = (took.as_secs_f64() * 1e6).max(1.0);
        let bucket = ((micros.ln() / STEP.ln()) as usize).min(BUCKETS - 1);
        self.counts[bucket] += 1;
        self.total += 1;
    }

    /// The duration in milliseconds that `percent` of 100 did not exceed, to 2 %; `None` where there is none.
    pub(super) fn percentile_ms(&self, percent: u64) -> Option<f64> {
        let rank = (self.total * percent).div_ceil(100).max(1);
        let mut below = 0;
        let bucket = self.counts.iter().position(|count| {
            below += count;
            below >= rank
        })?;
        (self.total > 0).then(|| STEP.powi(bucket as i32 + 1) / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_two_in_a_hundred() {
        let mut latency = Latency::default();
        assert_eq!(latency.percentile_ms(50), None);
        for ms in 1..=1_000 {
            latency.add(Duration::from_millis(ms));
        }
        for (percent, exact) in [(1, 10.0), (50, 500.0), (99, 990.0), (100, 1_000.0)] {
            let told = latency.percentile_ms(percent).unwrap();
            assert!((exact..exact * STEP * 1.001).contains(&told), "{percent}: {told}");
        }
    }

    #[test]
    fn the_shortest_and_the_longest_have_a_bucket() {
        let mut latency = Latency::default();
        latency.add(Duration::ZERO);
        assert!(latency.percentile_ms(50).unwrap() < 0.002);
        latency.add(Duration::MAX);
        assert!(latency.percentile_ms(99).unwrap() > 3_600_000.0);
    }
}
