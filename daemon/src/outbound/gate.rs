//! At most so many messages a second, with a burst after a pause. Pure: the time is handed in.
//!
//! A rate is kept by one moment, the `due` of the message after all that were let through (the generic cell rate
//! algorithm): it lies at most a burst ahead of now, so nothing accumulates while nothing is sent.

use std::time::{Duration, Instant};

/// Lets messages through at a rate.
#[derive(Clone, Debug)]
pub struct Gate(Option<Rate>);

#[derive(Clone, Debug)]
struct Rate {
    /// Between two messages.
    every: Duration,
    /// Messages that may go at once after a pause.
    burst: u32,
    due: Instant,
}

impl Gate {
    /// `per_second` messages a second, above 0 (`None` for no limit), and `burst`, at least 1, of them at once:
    /// now, too.
    pub fn new(per_second: Option<f64>, burst: u32, now: Instant) -> Self {
        Self(per_second.map(|rate| Rate {
            every: Duration::from_secs_f64(1.0 / rate),
            burst: burst.max(1),
            due: now,
        }))
    }

    /// The same where the first burst has gone already: the rate from the first message on.
    pub fn spent(per_second: Option<f64>, burst: u32, now: Instant) -> Self {
        let mut gate = Self::new(per_second, burst, now);
        if let Some(rate) = &mut gate.0 {
            rate.due += rate.every * (rate.burst - 1);
        }
        gate
    }

    /// How many may go now.
    pub fn ready(&self, now: Instant) -> usize {
        let Some(rate) = &self.0 else { return usize::MAX };
        let ahead = rate.due.saturating_duration_since(now).as_secs_f64() / rate.every.as_secs_f64();
        // A rounding error must not close the gate for good: a whole message is whole from 0.999999 on.
        (f64::from(rate.burst) - ahead + 1e-6).max(0.0) as usize
    }

    /// How long until one may go.
    pub fn wait(&self, now: Instant) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |rate| rate.opens(now).saturating_duration_since(now))
    }

    /// Counts messages that go now.
    pub fn pass(&mut self, messages: usize, now: Instant) {
        if let Some(rate) = &mut self.0 {
            rate.due = rate.due.max(now) + rate.every.mul_f64(messages as f64);
        }
    }

    /// Takes the next turn; when it is, now or later.
    pub fn turn(&mut self, now: Instant) -> Instant {
        let turn = self.0.as_ref().map_or(now, |rate| rate.opens(now));
        self.pass(1, turn);
        turn
    }
}

impl Rate {
    fn opens(&self, now: Instant) -> Instant {
        self.due.checked_sub(self.every * (self.burst - 1)).map_or(now, |opens| opens.max(now))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TENTH: Duration = Duration::from_millis(100);

    #[test]
    fn turns_are_spread_over_the_second_after_the_burst() {
        let begin = Instant::now();
        let turns = |mut gate: Gate| -> Vec<Duration> { (0..5).map(|_| gate.turn(begin) - begin).collect() };
        let zero = Duration::ZERO;
        assert_eq!(turns(Gate::new(Some(10.0), 1, begin)), [zero, TENTH, 2 * TENTH, 3 * TENTH, 4 * TENTH]);
        assert_eq!(turns(Gate::new(Some(10.0), 3, begin)), [zero, zero, zero, TENTH, 2 * TENTH]);
        assert_eq!(turns(Gate::spent(Some(10.0), 3, begin)), [zero, TENTH, 2 * TENTH, 3 * TENTH, 4 * TENTH]);
        assert_eq!(turns(Gate::new(None, 1, begin)), [zero; 5]);
    }

    #[test]
    fn a_long_pause_is_worth_one_burst_and_no_more() {
        let begin = Instant::now();
        let mut gate = Gate::new(Some(10.0), 2, begin);
        gate.pass(2, begin);
        assert_eq!((gate.ready(begin), gate.wait(begin)), (0, TENTH));
        assert_eq!((gate.ready(begin + TENTH), gate.wait(begin + TENTH)), (1, Duration::ZERO));
        assert_eq!(gate.ready(begin + Duration::from_secs(60)), 2);
    }

    proptest! {
        #[test]
        fn no_window_of_time_sees_more_than_its_rate_and_one_burst(
            burst in 1..20_u32, rate in 1..2_000_u32, looks in prop::collection::vec(0..50_u64, 1..60),
        ) {
            let begin = Instant::now();
            let (mut gate, mut now, mut passed) = (Gate::new(Some(f64::from(rate)), burst, begin), begin, 0);
            for look in looks {
                now += Duration::from_millis(look);
                let ready = gate.ready(now);
                gate.pass(ready, now);
                passed += ready;
                let most = f64::from(burst) + (now - begin).as_secs_f64() * f64::from(rate) + 0.01;
                prop_assert!(passed as f64 <= most, "{passed} of {most}");
            }
        }
    }
}
