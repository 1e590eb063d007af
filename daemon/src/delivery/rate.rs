//! How fast a destination is written to: never above what the site's file says, slower where the destination asks for
//! it, and faster again while it does not. Pure: the time is handed in.
//!
//! A throttling answer halves the rate, at most once a second, for what was under way together met one refusal; each
//! second without one raises it by a quarter. The pause that the answer asked for is none of those seconds: nothing was
//! tried in it. Without a configured limit the rate that is halved is the one that was
//! measured, and the limit falls away when it is far above that.

use std::time::{Duration, Instant};

use jiff::{Timestamp, civil, tz::TimeZone};
use outbox::Quota;

use crate::{config::Rate, outbound::gate::Gate};

/// The slowest that throttling makes a destination, writes a second: one a minute still shows when it ends.
const SLOWEST: f64 = 1.0 / 60.0;
/// How much a second without throttling raises the rate.
const RAISE: f64 = 1.25;
/// A limit that nobody configured is forgotten at so many times the rate at which the destination throttled.
const FORGOTTEN_AT: f64 = 16.0;
/// Name of the span of `per_day`.
pub(super) const DAY: &str = "day";
const SECOND: Duration = Duration::from_secs(1);

/// The rate in force.
#[derive(Clone, Debug)]
pub(super) struct Throttle {
    configured: Option<f64>,
    burst: u32,
    /// Below what is configured, where the destination throttled: the rate, and the one it was when it did.
    slowed: Option<(f64, f64)>,
    gate: Gate,
    /// When the rate was last changed, or from when on it may be: the end of a pause.
    changed: Instant,
    /// The present second and the one before: what was sent.
    counted: (Instant, u32, u32),
}

impl Throttle {
    /// The rate that a site's file permits.
    pub(super) fn new(rate: &Rate, now: Instant) -> Self {
        let configured = rate.per_second.map(f64::from);
        Self {
            configured,
            burst: rate.burst,
            slowed: None,
            gate: Gate::spent(configured, rate.burst, now),
            changed: now,
            counted: (now, 0, 0),
        }
    }

    /// Takes a changed configuration over; what the destination asked for stays in force.
    pub(super) fn reload(&mut self, rate: &Rate, now: Instant) {
        let configured = rate.per_second.map(f64::from);
        if (configured, rate.burst) != (self.configured, self.burst) {
            (self.configured, self.burst) = (configured, rate.burst);
            self.put(now);
        }
    }

    /// The rate in force, writes a second; `None` for no limit.
    pub(super) fn rate(&self) -> Option<f64> {
        match (self.slowed, self.configured) {
            (Some((slowed, _)), Some(configured)) => Some(slowed.min(configured)),
            (Some((slowed, _)), None) => Some(slowed),
            (None, configured) => configured,
        }
    }

    /// How many may go now.
    pub(super) fn ready(&mut self, now: Instant) -> usize {
        self.recover(now);
        self.gate.ready(now)
    }

    /// How long until one may go.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.gate.wait(now)
    }

    /// Counts writes that go now.
    pub(super) fn pass(&mut self, writes: usize, now: Instant) {
        self.gate.pass(writes, now);
        self.turn(now);
        self.counted.1 = self.counted.1.saturating_add(writes as u32);
    }

    /// The destination throttled, and nothing is sent before `until`.
    pub(super) fn throttled(&mut self, now: Instant, until: Instant) {
        if self.slowed.is_some() && now.saturating_duration_since(self.changed) < SECOND {
            self.changed = self.changed.max(until);
            return;
        }
        self.turn(now);
        let measured = f64::from(self.counted.1.max(self.counted.2).max(1));
        let at = self.rate().map_or(measured, |rate| rate.min(measured));
        self.slowed = Some(((at / 2.0).max(SLOWEST), at));
        self.changed = now.max(until);
        self.put(now);
    }

    fn recover(&mut self, now: Instant) {
        let Some((slowed, at)) = self.slowed else { return };
        let seconds = now.saturating_duration_since(self.changed).as_secs();
        if seconds == 0 {
            return;
        }
        let raised = slowed * RAISE.powi(i32::try_from(seconds).unwrap_or(i32::MAX).min(1_000));
        let forgotten = self.configured.unwrap_or(at * FORGOTTEN_AT);
        self.slowed = (raised < forgotten).then_some((raised, at));
        self.changed = now;
        self.put(now);
    }

    fn put(&mut self, now: Instant) {
        self.gate = Gate::spent(self.rate(), self.burst, now);
    }

    fn turn(&mut self, now: Instant) {
        let past = now.saturating_duration_since(self.counted.0);
        if past >= SECOND {
            let before = if past < 2 * SECOND { self.counted.1 } else { 0 };
            self.counted = (now, 0, before);
        }
    }
}

/// The quotas of a destination with the spans of now, by the days of its zone.
pub(crate) fn quotas(rate: &Rate, zone: &TimeZone, now: Timestamp) -> Vec<Quota> {
    let minute = rate.per_minute.map(|most| Quota {
        span: "minute".to_owned(),
        began: now.as_second().div_euclid(60) * 60_000,
        most,
    });
    let day = rate.per_day.map(|most| {
        let midnight = now.to_zoned(zone.clone()).start_of_day();
        Quota { span: DAY.to_owned(), began: midnight.map_or(0, |at| at.timestamp().as_millisecond()), most }
    });
    minute.into_iter().chain(day).collect()
}

/// When the day of a quota ends: the next midnight of the zone.
pub(super) fn day_ends(zone: &TimeZone, now: Timestamp) -> Timestamp {
    let midnight = now.to_zoned(zone.clone()).tomorrow().and_then(|at| at.start_of_day());
    midnight.map_or(now, |at| at.timestamp())
}

/// Whether nothing but what a clinician asked for is written now.
pub(crate) fn is_quiet(rate: &Rate, zone: &TimeZone, now: Timestamp) -> bool {
    let time: civil::Time = now.to_zoned(zone.clone()).time();
    rate.quiet.iter().any(|span| span.holds(time))
}

/// When the quiet hours of now end; `None` where there are none now. Spans that meet are one.
pub(crate) fn quiet_until(rate: &Rate, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let mut at = now;
    for _ in 0..=rate.quiet.len() {
        let local = at.to_zoned(zone.clone());
        let Some(span) = rate.quiet.iter().find(|span| span.holds(local.time())) else { break };
        let day = if span.to > local.time() { local.date() } else { local.date().tomorrow().ok()? };
        at = day.to_datetime(span.to).to_zoned(zone.clone()).ok()?.timestamp();
    }
    (at > now).then_some(at)
}

/// When the span of a quota ends: the next minute, or the next midnight of the zone.
pub(crate) fn quota_until(span: &str, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    match span {
        "minute" => Timestamp::from_second((now.as_second().div_euclid(60) + 1) * 60).ok(),
        _ => {
            let tomorrow = now.to_zoned(zone.clone()).tomorrow().ok()?;
            Some(tomorrow.start_of_day().ok()?.timestamp())
        }
    }
}

#[cfg(test)]
#[path = "rate_tests.rs"]
mod tests;
