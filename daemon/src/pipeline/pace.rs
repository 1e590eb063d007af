//! How long the pipeline rests between two steps, so that intake goes first. Pure.
//!
//! Invariants: a rest is bounded, so what was taken in is absorbed however busy intake is; with intake at rest
//! there is no rest before a backlog.
//!
//! Numbers: an absorb is a transaction with a sync of its own, so one for each message would halve a slow feed's
//! rate; and it writes one chunk for each patient in it, however many readings each has, so under load fewer and
//! larger absorbs are cheaper for the writer.

use std::time::Duration;

/// Messages per second from which intake counts as busy. Feeds of one hospital bring under a hundred; more is a
/// backlog being sent, or a benchmark.
const BUSY_PER_SECOND: u64 = 500;
/// Rest after a step while intake is quiet: messages that come together are absorbed together.
const QUIET_REST: Duration = Duration::from_millis(20);
/// Least rest while intake is busy.
const BUSY_REST: Duration = Duration::from_millis(250);
/// While intake is busy the pipeline rests so many times as long as it worked.
const BUSY_SHARE: u32 = 3;
/// Longest rest: readings wait no longer than this and a step, whatever comes in.
const LONGEST_REST: Duration = Duration::from_secs(2);

/// What was seen at the last step.
#[derive(Debug, Default)]
pub(super) struct Pace {
    taken_in: i64,
    at_ms: i64,
}

impl Pace {
    /// The rest after a step that `worked` so long and left a `backlog` or none; `taken_in` counts the messages
    /// taken in so far, `now_ms` is a clock that nobody sets.
    pub(super) fn rest(&mut self, taken_in: i64, now_ms: i64, worked: Duration, backlog: bool) -> Duration {
        let elapsed_ms = (now_ms - self.at_ms).max(1) as u64;
        let came = taken_in.saturating_sub(self.taken_in).max(0) as u64;
        (self.taken_in, self.at_ms) = (taken_in, now_ms);
        if came.saturating_mul(1_000) >= elapsed_ms.saturating_mul(BUSY_PER_SECOND) {
            (worked * BUSY_SHARE).clamp(BUSY_REST, LONGEST_REST)
        } else if backlog {
            Duration::ZERO
        } else {
            QUIET_REST
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKED: Duration = Duration::from_millis(10);

    #[test]
    fn a_quiet_intake_lets_a_backlog_be_absorbed_without_rest() {
        let mut pace = Pace::default();
        // 499 in a second is one under the bound.
        assert_eq!(pace.rest(499, 1_000, WORKED, true), Duration::ZERO);
        assert_eq!(pace.rest(499, 2_000, WORKED, false), QUIET_REST);
    }

    #[test]
    fn a_busy_intake_goes_first_and_the_rest_follows_the_work_within_bounds() {
        for (worked_ms, rest_ms) in
            [(0, 250), (83, 250), (84, 252), (500, 1_500), (700, 2_000), (9_000, 2_000)]
        {
            let mut pace = Pace::default();
            let rest = pace.rest(500, 1_000, Duration::from_millis(worked_ms), true);
            assert_eq!(rest, Duration::from_millis(rest_ms), "worked {worked_ms} ms");
        }
    }

    #[test]
    fn the_rate_is_that_since_the_last_step() {
        let mut pace = Pace::default();
        assert_eq!(pace.rest(100_000, 1_000, WORKED, true), BUSY_REST);
        assert_eq!(pace.rest(100_000, 1_250, WORKED, true), Duration::ZERO);
        // 5 messages in 10 ms are 500 a second.
        assert_eq!(pace.rest(100_005, 1_260, WORKED, true), BUSY_REST);
        // Two looks at the same millisecond do not divide by nothing.
        assert_eq!(pace.rest(100_005, 1_260, WORKED, true), Duration::ZERO);
    }
}
