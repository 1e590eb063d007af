//! How long the pipeline rests between two steps, so that intake goes first. Pure.
//!
//! Invariants: every rest is bounded, so a backlog shrinks however busy intake is; with intake quiet there is no
//! rest before a backlog.
//!
//! Numbers: an absorb is a transaction with a sync of its own, so one for each message would halve a slow feed's
//! rate; and it writes one chunk for each patient in it, however many readings each has, so under load fewer and
//! larger absorbs are cheaper for the writer. Reading and parsing come in pieces of some milliseconds, because on two
//! cores a longer run of them is felt in every acknowledgement.

use std::time::Duration;

/// Messages per second from which intake counts as busy. Feeds of one hospital bring under a hundred; more is a
/// backlog being sent, or a benchmark.
const BUSY_PER_SECOND: i64 = 500;
/// Rest after a step while intake is quiet: messages that come together are absorbed together.
const QUIET_REST: Duration = Duration::from_millis(20);
/// Least rest while intake is busy and no backlog waits, for the same reason.
const BUSY_REST: Duration = Duration::from_millis(250);
/// While intake is busy the pipeline rests so many times as long as it worked.
const BUSY_SHARE: u64 = 3;
/// Longest rest.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// What was seen at the last step.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    taken_in: i64,
    at_ms: i64,
    /// Of the step under way: pieces and the rests after them.
    settled_ms: i64,
}

impl Pace {
    /// The rest between two pieces of one step, the last of which took `worked_ms`. `taken_in` counts the messages
    /// taken in so far, `now_ms` is a clock that nobody sets.
    pub(crate) fn between(&mut self, taken_in: i64, now_ms: i64, worked_ms: i64) -> Duration {
        let rest = if self.is_busy(taken_in, now_ms) { share(worked_ms) } else { Duration::ZERO };
        self.settled_ms += worked_ms + rest.as_millis() as i64;
        rest
    }

    /// The rest after a step that took `took_ms` from beginning to end, and left a `backlog` or none. Pieces that
    /// had their rest are not counted again.
    pub(super) fn after(&mut self, taken_in: i64, now_ms: i64, took_ms: i64, backlog: bool) -> Duration {
        let worked_ms = took_ms - std::mem::take(&mut self.settled_ms);
        match (self.is_busy(taken_in, now_ms), backlog) {
            (true, true) => share(worked_ms),
            (true, false) => share(worked_ms).max(BUSY_REST),
            (false, true) => Duration::ZERO,
            (false, false) => QUIET_REST,
        }
    }

    /// Whether more than the bound came in, by the rate since the last look.
    fn is_busy(&mut self, taken_in: i64, now_ms: i64) -> bool {
        let elapsed_ms = (now_ms - self.at_ms).max(1);
        let came = taken_in - self.taken_in;
        (self.taken_in, self.at_ms) = (taken_in, now_ms);
        came.saturating_mul(1_000) >= elapsed_ms.saturating_mul(BUSY_PER_SECOND)
    }
}

fn share(worked_ms: i64) -> Duration {
    Duration::from_millis(worked_ms.max(0) as u64 * BUSY_SHARE).min(LONGEST_REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_quiet_intake_lets_a_backlog_be_absorbed_without_rest() {
        let mut pace = Pace::default();
        // 499 in a second is one under the bound.
        assert_eq!(pace.after(499, 1_000, 10, true), Duration::ZERO);
        assert_eq!(pace.between(499, 2_000, 10), Duration::ZERO);
        assert_eq!(pace.after(499, 3_000, 10, false), QUIET_REST);
    }

    #[test]
    fn a_busy_intake_goes_first_and_every_rest_has_a_bound() {
        // Worked, rest between pieces and before a backlog (three times that, 1 s at most), rest without a backlog
        // (250 ms at least).
        for (worked_ms, rest, without_backlog) in
            [(0, 0, 250), (7, 21, 250), (83, 249, 250), (84, 252, 252), (334, 1_000, 1_000), (-5, 0, 250)]
        {
            let busy = Pace::default;
            assert_eq!(busy().between(500, 1_000, worked_ms), ms(rest), "worked {worked_ms} ms");
            assert_eq!(busy().after(500, 1_000, worked_ms, true), ms(rest), "worked {worked_ms} ms");
            assert_eq!(
                busy().after(500, 1_000, worked_ms, false),
                ms(without_backlog),
                "worked {worked_ms} ms"
            );
        }
    }

    #[test]
    fn a_piece_that_had_its_rest_is_not_counted_again() {
        let mut pace = Pace::default();
        assert_eq!(pace.between(10_000, 1_000, 10), ms(30));
        assert_eq!(pace.between(20_000, 1_040, 10), ms(30));
        // 80 ms of pieces and rests, then 100 ms of a transaction.
        assert_eq!(pace.after(30_000, 1_180, 180, true), ms(300));
        assert_eq!(pace.after(40_000, 1_490, 10, true), ms(30));
    }

    #[test]
    fn the_rate_is_that_since_the_last_look() {
        let mut pace = Pace::default();
        assert!(pace.is_busy(100_000, 1_000));
        assert!(!pace.is_busy(100_000, 1_250));
        // 5 messages in 10 ms are 500 a second.
        assert!(pace.is_busy(100_005, 1_260));
        // Two looks at the same millisecond do not divide by nothing.
        assert!(!pace.is_busy(100_005, 1_260));
        // A clock that stood still, and a store that began anew, are no reason to fail.
        assert!(!pace.is_busy(7, 1_000));
    }
}
