//! How long to wait before the next attempt: exponential, capped, with jitter. Pure: chance is handed in.

use std::time::Duration;

use crate::verdict::RETRY_AFTER_RANGE;

/// The wait before attempt `attempt` (1 for the first retry), between half and all of
/// `least` × 2^(attempt−1), and never more than `most`. `chance` is in 0..1.
pub fn wait(attempt: u32, least: Duration, most: Duration, chance: f64) -> Duration {
    let doubled = least.saturating_mul(1u32 << attempt.saturating_sub(1).min(20));
    doubled.min(most).mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0))
}

/// An interval between three and five quarters of `mean`, so that boxes do not probe in step.
pub fn jittered(mean: Duration, chance: f64) -> Duration {
    mean.mul_f64(0.75 + 0.5 * chance.clamp(0.0, 1.0))
}

/// A wait that was asked for, and up to a quarter more, so that not all come back at once; but nobody waits for longer than
/// the longest that is taken for meant ([`RETRY_AFTER_RANGE`]).
pub fn later(asked: Duration, chance: f64) -> Duration {
    asked.mul_f64(1.0 + 0.25 * chance.clamp(0.0, 1.0)).min(RETRY_AFTER_RANGE.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_cap_and_keeps_at_least_half() {
        let (least, most) = (Duration::from_secs(1), Duration::from_secs(60));
        for (attempt, full) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (1_000, 60)] {
            assert_eq!(wait(attempt, least, most, 1.0), Duration::from_secs(full), "attempt {attempt}");
            assert_eq!(wait(attempt, least, most, 0.0), Duration::from_secs(full) / 2, "attempt {attempt}");
        }
    }

    #[test]
    fn nobody_comes_back_before_the_time_that_was_asked_for() {
        assert_eq!(later(Duration::from_secs(4), 0.0), Duration::from_secs(4));
        assert_eq!(later(Duration::from_secs(4), 1.0), Duration::from_secs(5));
        assert_eq!(later(Duration::from_secs(3_600), 1.0), Duration::from_secs(3_600));
    }

    #[test]
    fn jitter_spreads_by_a_quarter_each_way() {
        assert_eq!(jittered(Duration::from_secs(4), 0.0), Duration::from_secs(3));
        assert_eq!(jittered(Duration::from_secs(4), 1.0), Duration::from_secs(5));
    }
}
