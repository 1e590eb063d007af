//! How many rows of a destination may be out, and when the next may go. Pure: the time and the waits are handed in.
//!
//! Invariants: while a receiver is silent one row is out at a time, after a pause that grows with each silence; what
//! was under way together when it fell silent met one trouble and is counted once; an answer ends it.

use std::time::{Duration, Instant};

/// The state of a destination between two turns.
#[derive(Clone, Debug)]
pub struct Pace {
    not_before: Instant,
    /// Silences in a row.
    silent: u32,
    /// When the last of them was counted.
    silent_at: Instant,
}

impl Pace {
    /// A destination that nothing is known of yet.
    pub fn new(now: Instant) -> Self {
        Self { not_before: now, silent: 0, silent_at: now }
    }

    /// How many rows may be out, `connections` at the most; `Err` with the time to wait before any may go.
    ///
    /// # Errors
    /// The rest of the pause.
    pub fn room(&self, connections: usize, now: Instant) -> Result<usize, Duration> {
        match self.not_before.checked_duration_since(now).filter(|rest| !rest.is_zero()) {
            Some(rest) => Err(rest),
            None if self.silent > 0 => Ok(connections.min(1)),
            None => Ok(connections),
        }
    }

    /// The receiver answered, whatever it said.
    pub fn answered(&mut self) {
        self.silent = 0;
    }

    /// An attempt that began at `began` brought no answer; `pause` says how long the n-th silence in a row lasts.
    /// Returns how many there were.
    pub fn silence(&mut self, began: Instant, now: Instant, pause: impl FnOnce(u32) -> Duration) -> u32 {
        if self.silent == 0 || began >= self.silent_at {
            self.silent = self.silent.saturating_add(1);
            self.silent_at = now;
            self.not_before = self.not_before.max(now + pause(self.silent));
        }
        self.silent
    }

    /// Forgets the pause: the destination is another one.
    pub fn forget(&mut self, now: Instant) {
        *self = Self::new(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silence_is_counted_once_for_all_that_were_under_way_and_pauses_longer_each_time() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        assert_eq!(pace.room(4, begin), Ok(4));
        let fell_silent = begin + SECOND;
        for _ in 0..4 {
            assert_eq!(pace.silence(begin, fell_silent, |nth| SECOND * nth), 1);
        }
        assert_eq!(pace.room(4, fell_silent), Err(SECOND));
        let tried = fell_silent + SECOND;
        assert_eq!(pace.room(4, tried), Ok(1));
        assert_eq!(pace.silence(tried, tried, |nth| SECOND * nth), 2);
        assert_eq!(pace.room(4, tried), Err(2 * SECOND));
    }

    #[test]
    fn an_answer_ends_the_silence_and_a_pause_that_stands_is_kept() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        pace.silence(begin, begin, |_| SECOND);
        pace.answered();
        assert_eq!((pace.room(4, begin), pace.room(4, begin + SECOND)), (Err(SECOND), Ok(4)));
        pace.silence(begin, begin, |_| SECOND);
        pace.forget(begin);
        assert_eq!(pace.room(4, begin), Ok(4));
    }
}
