//! A rate limit that the server itself keeps: a bucket of tokens, one for each write.
//!
//! Invariants: over any span of t seconds at most `burst + per_second * t` writes pass. A single write
//! and a transaction take one token each, a batch one for each entry (an entry without a token is
//! answered 429 for itself).

use std::time::Duration;

use crate::script::RetryAfter;

/// So many writes a second, and what is said to those beyond.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    /// Tokens a second; more than zero.
    pub per_second: f64,
    /// The most that pass at once; at least one.
    pub burst: u32,
    /// What a refusal says of when to come back.
    pub retry_after: RetryAfter,
}

/// The bucket of a limit, by the log's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    pub(crate) limit: RateLimit,
    tokens: f64,
    at: Duration,
}

impl Bucket {
    /// Full at `at`.
    pub(crate) fn new(limit: RateLimit, at: Duration) -> Self {
        Self { limit, tokens: f64::from(limit.burst.max(1)), at }
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, at: Duration) -> bool {
        let passed = at.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(at);
        let full = f64::from(self.limit.burst.max(1));
        self.tokens = (self.tokens + passed * self.limit.per_second.max(0.0)).min(full);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_more_passes_than_the_burst_and_the_rate_allow(
            burst in 1_u32..20,
            per_second in 1_u32..50,
            gaps_ms in proptest::collection::vec(0_u64..200, 1..200),
        ) {
            let limit =
                RateLimit { per_second: f64::from(per_second), burst, retry_after: RetryAfter::Absent };
            let mut bucket = Bucket::new(limit, Duration::ZERO);
            let (mut at, mut passed) = (Duration::ZERO, 0_u32);
            for gap in gaps_ms {
                at += Duration::from_millis(gap);
                passed += u32::from(bucket.take(at));
            }
            let most = f64::from(burst) + f64::from(per_second) * at.as_secs_f64() + 1e-6;
            prop_assert!(f64::from(passed) <= most, "{passed} of {most}");
        }
    }

    #[test]
    fn an_empty_bucket_fills_again_with_time() {
        let limit = RateLimit { per_second: 2.0, burst: 2, retry_after: RetryAfter::Absent };
        let mut bucket = Bucket::new(limit, Duration::ZERO);
        let at =
            [0, 0, 0, 400, 600, 700, 10_000, 10_000, 10_000].map(|ms| bucket.take(Duration::from_millis(ms)));
        assert_eq!(at, [true, true, false, false, true, false, true, true, false]);
    }
}
