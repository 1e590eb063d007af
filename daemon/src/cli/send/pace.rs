//! At most so many messages a second, over all connections.

use std::time::Duration;

use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

/// How much of a delay may be caught up on: after a longer one the rate goes on from now, without a burst.
const MAX_BEHIND: Duration = Duration::from_millis(100);

/// The times of turns, apart from waiting for them.
struct Schedule {
    every: Duration,
    next: Instant,
}

impl Schedule {
    /// The next turn, asked for at `now`.
    fn turn(&mut self, now: Instant) -> Instant {
        let turn = self.next.max(now.checked_sub(MAX_BEHIND).unwrap_or(now));
        self.next = turn + self.every;
        turn
    }
}

/// Hands out turns.
pub(super) struct Pace(Option<Mutex<Schedule>>);

impl Pace {
    /// `per_second` turns a second, above 0; `None` for no limit.
    pub(super) fn new(per_second: Option<f64>) -> Self {
        Self(per_second.map(|rate| {
            let every = Duration::from_secs_f64(1.0 / rate);
            Mutex::new(Schedule { every, next: Instant::now() })
        }))
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) {
        let Some(schedule) = &self.0 else { return };
        let turn = schedule.lock().await.turn(Instant::now());
        sleep_until(turn).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENTH: Duration = Duration::from_millis(100);

    #[test]
    fn turns_are_spread_over_the_second() {
        let begin = Instant::now();
        let mut schedule = Schedule { every: TENTH, next: begin };
        let turns: Vec<_> = (0..4).map(|_| schedule.turn(begin) - begin).collect();
        assert_eq!(turns, [Duration::ZERO, TENTH, 2 * TENTH, 3 * TENTH]);
    }

    #[test]
    fn a_long_delay_is_not_caught_up_on() {
        let begin = Instant::now();
        let mut schedule = Schedule { every: TENTH, next: begin };
        schedule.turn(begin);
        // A minute later one turn is overdue by 100 ms and one is now; then the rate goes on.
        let later = begin + Duration::from_secs(60);
        let turns: Vec<_> = (0..3).map(|_| schedule.turn(later)).collect();
        assert_eq!(turns, [later - TENTH, later, later + TENTH]);
    }
}
