//! What a clock on the wall showed: dates and times of day in the zone of a period.
//!
//! Invariants: every instant has exactly one date and time of day; in a repeated hour two instants share
//! one, and nothing is placed in a skipped hour. The zone data is the bundled one (see [`crate::calendar`]).
//!
//! Offsets are looked up once for each change of the clocks and not once for each reading.

use crate::{
    calendar::{LocalDay, Zone},
    outcome::Period,
    reading::Instant,
};

/// What the clock showed at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown {
    /// The date.
    pub day: LocalDay,
    /// Milliseconds after 00:00 of that date, below 86 400 000.
    pub ms: u32,
}

impl Shown {
    /// Whole minutes after 00:00, from 0 to 1439.
    #[must_use]
    pub const fn minute(self) -> u32 {
        self.ms / Instant::MINUTE_MS as u32
    }
}

/// The clock of a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WallClock {
    /// From when on (milliseconds UTC) which offset holds, in milliseconds; ascending, never empty.
    offsets: Vec<(i64, i64)>,
}

impl WallClock {
    /// The clock of the period's zone; UTC where the zone of a period made elsewhere is one that we lack.
    #[must_use]
    pub fn of(period: &Period) -> Self {
        let offsets = Zone::named(&period.zone)
            .map_or_else(|_| vec![(0, 0)], |zone| zone.offsets(period.start, period.end));
        Self { offsets }
    }

    /// What it showed at `instant`. Right within the period; beyond it the nearest offset is taken.
    #[must_use]
    pub fn shown(&self, instant: Instant) -> Shown {
        self.shown_until(instant).0
    }

    /// What it showed at `instant`, and the first instant after it at which it is set anew.
    pub(crate) fn shown_until(&self, instant: Instant) -> (Shown, Instant) {
        let behind = self.offsets.partition_point(|(from, _)| *from <= instant.0);
        let offset = self.offsets[behind.saturating_sub(1)].1;
        let until = self.offsets.get(behind.max(1)).map_or(i64::MAX, |(from, _)| *from);
        let local = instant.0.saturating_add(offset);
        let day = local.div_euclid(Instant::DAY_MS).clamp(i32::MIN.into(), i32::MAX.into());
        let shown = Shown { day: LocalDay(day as i32), ms: local.rem_euclid(Instant::DAY_MS) as u32 };
        (shown, Instant(until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(zone: &str, first: &str, last: &str) -> (Zone, Period, WallClock) {
        let zone = Zone::named(zone).unwrap();
        let period = zone.period(first.parse().unwrap(), last.parse().unwrap()).unwrap();
        let clock = WallClock::of(&period);
        (zone, period, clock)
    }

    /// Lord Howe moves by half an hour, Kathmandu stands at +5:45, Santiago changes at midnight.
    #[test]
    fn every_instant_shows_what_the_zone_says_of_it() {
        for (zone, first, last) in [
            ("Europe/Berlin", "2025-03-20", "2025-11-05"),
            ("America/New_York", "2025-03-01", "2025-11-20"),
            ("Australia/Lord_Howe", "2025-04-01", "2025-10-20"),
            ("Asia/Kathmandu", "2025-04-01", "2025-04-09"),
            ("America/Santiago", "2025-03-30", "2025-09-20"),
            ("UTC", "2024-02-28", "2024-03-01"),
        ] {
            let (zone, period, clock) = clock(zone, first, last);
            for ms in (period.start.0..period.end.0).step_by(17 * 60_000) {
                let offset = i64::from(zone.offset_minutes(Instant(ms))) * Instant::MINUTE_MS;
                let local = ms + offset;
                let shown = clock.shown(Instant(ms));
                let said = i64::from(shown.day.0) * Instant::DAY_MS + i64::from(shown.ms);
                assert_eq!(said, local, "{} {ms}", zone.name());
            }
        }
    }

    #[test]
    fn a_repeated_hour_is_shown_twice_and_a_skipped_one_never() {
        let hour = |date: &str| {
            let (_, period, clock) = clock("Europe/Berlin", date, date);
            let at_two = |ms: &i64| clock.shown(Instant(*ms)).minute() / 60 == 2;
            (period.start.0..period.end.0).step_by(60_000).filter(at_two).count()
        };
        assert_eq!((hour("2025-03-30"), hour("2025-03-31"), hour("2025-10-26")), (0, 60, 120));
    }
}
