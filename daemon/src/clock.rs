//! The wall clock, and what to think of it.
//!
//! Windows close against a high-water mark: once a local midnight has passed it stays passed, unless the
//! clock proves to have been ahead. A jump (the wall clock and the monotonic clock disagree about the time between
//! two looks, or the clock stands before the mark) pauses publishing until the clock has run steadily
//! for [`STEADY_MS`]; intake goes on. Pure: both clocks are handed in.

/// Disagreement of the two clocks that counts as a jump.
pub const JUMP_MS: i64 = 10 * 60_000;
/// How long the clock must run without a jump before publishing resumes.
pub const STEADY_MS: i64 = 10 * 60_000;

/// The persisted mark and what was seen since.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    high_water_ms: i64,
    last: Option<(i64, i64)>,
    jumped_at_monotonic_ms: Option<i64>,
}

/// What one look at the clocks says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The time that windows close against (ms UTC).
    pub high_water_ms: i64,
    /// Publishing is paused because the clock jumped.
    pub paused: bool,
    /// This look found a jump of so many ms (negative: back).
    pub jump_ms: Option<i64>,
    /// With this look a pause has ended: times that were set before it may be of a clock that was wrong.
    pub steady_again: bool,
}

impl Clock {
    /// Starts from the persisted mark; 0 where there is none yet.
    pub const fn from_mark(high_water_ms: i64) -> Self {
        Self { high_water_ms, last: None, jumped_at_monotonic_ms: None }
    }

    /// Takes one look: `wall_ms` since 1970, `monotonic_ms` since any fixed point.
    pub fn look(&mut self, wall_ms: i64, monotonic_ms: i64) -> Tick {
        let jump_ms = match self.last {
            Some((wall, monotonic)) => (wall_ms - wall) - (monotonic_ms - monotonic),
            // At start only a clock behind the mark is known to be wrong: the box may have been off.
            None => (wall_ms - self.high_water_ms).min(0),
        };
        let jump_ms = (jump_ms.abs() > JUMP_MS).then_some(jump_ms);
        self.last = Some((wall_ms, monotonic_ms));
        if jump_ms.is_some() {
            self.jumped_at_monotonic_ms = Some(monotonic_ms);
        }
        let steady_again = self.jumped_at_monotonic_ms.is_some_and(|at| monotonic_ms - at >= STEADY_MS);
        if steady_again {
            self.jumped_at_monotonic_ms = None;
            // A clock that was ahead and has been put right: windows must not close by the wrong time.
            if wall_ms < self.high_water_ms - JUMP_MS {
                self.high_water_ms = wall_ms;
            }
        }
        let paused = self.jumped_at_monotonic_ms.is_some();
        if !paused {
            self.high_water_ms = self.high_water_ms.max(wall_ms);
        }
        Tick { high_water_ms: self.high_water_ms, paused, jump_ms, steady_again }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn the_mark_never_goes_back() {
        let mut clock = Clock::from_mark(100 * HOUR);
        let tick = clock.look(100 * HOUR - JUMP_MS, 0);
        assert_eq!((tick.high_water_ms, tick.paused), (100 * HOUR, false));
        assert_eq!(clock.look(101 * HOUR, HOUR + JUMP_MS).high_water_ms, 101 * HOUR);
    }

    #[test]
    fn a_day_off_is_no_jump_but_a_clock_behind_the_mark_is() {
        assert_eq!(Clock::from_mark(0).look(24 * HOUR, 0).jump_ms, None);
        let tick = Clock::from_mark(24 * HOUR).look(0, 0);
        assert_eq!((tick.jump_ms, tick.paused), (Some(-24 * HOUR), true));
    }

    #[test]
    fn a_mark_set_by_a_clock_that_was_ahead_comes_down_once_the_right_time_has_been_steady() {
        let mut clock = Clock::from_mark(1_000 * HOUR);
        assert!(clock.look(10 * HOUR, 0).paused);
        let tick = clock.look(10 * HOUR + STEADY_MS, STEADY_MS);
        assert_eq!((tick.paused, tick.high_water_ms), (false, 10 * HOUR + STEADY_MS));
    }

    #[test]
    fn a_jump_ahead_pauses_until_the_clock_has_been_steady() {
        let mut clock = Clock::from_mark(0);
        clock.look(HOUR, 0);
        let tick = clock.look(25 * HOUR, 1_000);
        assert_eq!((tick.paused, tick.high_water_ms), (true, HOUR), "the jump does not close windows");
        let tick = clock.look(25 * HOUR + STEADY_MS - 1, STEADY_MS + 999);
        assert_eq!((tick.paused, tick.steady_again), (true, false));
        let tick = clock.look(25 * HOUR + STEADY_MS, 1_000 + STEADY_MS);
        assert_eq!((tick.paused, tick.high_water_ms), (false, 25 * HOUR + STEADY_MS));
        assert!(tick.steady_again);
        assert!(!clock.look(25 * HOUR + STEADY_MS + 1, 1_001 + STEADY_MS).steady_again, "once");
    }
}
