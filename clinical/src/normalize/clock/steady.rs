//! Clock times made into instants in passing, with one look at the zone's rules for each stretch between two
//! changes of the clock.
//!
//! Invariant: the answer is that of [`Zone::resolve`]. A stretch keeps [`MARGIN_MS`] from the changes beside it,
//! which is more than any offset from UTC and any jump together, so that no time in it is skipped or repeated.

use std::ops::Range;

use jiff::{Timestamp, civil::DateTime};

use super::{Moment, Stamp, Zone};
use crate::reading::Instant;

/// Two days: offsets reach 26 hours, jumps one day (a change of the date line).
const MARGIN_MS: i64 = 2 * Instant::DAY_MS;

/// A zone with the stretch that was looked at last.
pub(in crate::normalize) struct Steady<'z> {
    zone: &'z Zone,
    /// Clock times, as milliseconds of UTC, that have one offset.
    stretch: Range<i64>,
    offset_minutes: i16,
    /// The day of the last look that found no stretch: there is none to find again.
    looked_on: i64,
}

impl<'z> Steady<'z> {
    pub(in crate::normalize) const fn new(zone: &'z Zone) -> Self {
        Self { zone, stretch: 0..0, offset_minutes: 0, looked_on: i64::MIN }
    }

    /// What a clock time means; `None` where the clock never showed it.
    pub(in crate::normalize) fn resolve(&mut self, local: DateTime) -> Option<Moment> {
        let shown = shown_ms(local);
        if self.stretch.contains(&shown) {
            let time = Instant(shown - i64::from(self.offset_minutes) * Instant::MINUTE_MS);
            return Some(Moment::One(Stamp { time, offset_minutes: self.offset_minutes }));
        }
        let moment = self.zone.resolve(local)?;
        let day = shown.div_euclid(Instant::DAY_MS);
        if let (Moment::One(stamp), true) = (moment, day != self.looked_on) {
            self.looked_on = day;
            self.stretch = self.zone.stretch(stamp);
            self.offset_minutes = stamp.offset_minutes;
        }
        Some(moment)
    }
}

impl Zone {
    /// The clock times around an instant that lie well between two changes of the clock.
    fn stretch(&self, stamp: Stamp) -> Range<i64> {
        let Ok(at) = Timestamp::from_millisecond(stamp.time.0) else { return 0..0 };
        let before = self.0.preceding(at).next().map_or(i64::MIN / 2, |t| t.timestamp().as_millisecond());
        let after = self.0.following(at).next().map_or(i64::MAX / 2, |t| t.timestamp().as_millisecond());
        before + MARGIN_MS..after - MARGIN_MS
    }
}

/// A clock time as milliseconds since 1970 as if it were UTC.
fn shown_ms(local: DateTime) -> i64 {
    // Days from the civil date by eras of 400 years, which begin in March (the calendar's own rule).
    let (year, month) = (i64::from(local.year()), i64::from(local.month()));
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(local.day()) - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let (hour, minute, second) =
        (i64::from(local.hour()), i64::from(local.minute()), i64::from(local.second()));
    days * Instant::DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000
}

#[cfg(test)]
mod tests {
    use jiff::{ToSpan, civil::date};

    use super::*;

    #[test]
    fn every_quarter_of_an_hour_of_two_years_means_what_the_zone_says() {
        for name in ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"] {
            let zone = Zone::named(name).unwrap();
            let mut steady = Steady::new(&zone);
            let mut local = date(2023, 12, 1).at(0, 0, 0, 0);
            while local.year() < 2026 {
                assert_eq!(steady.resolve(local), zone.resolve(local), "{name} {local}");
                local = local.checked_add(15.minutes()).unwrap();
            }
        }
    }

    #[test]
    fn a_day_that_never_was_and_years_far_apart_are_seen() {
        let zone = Zone::named("Pacific/Apia").unwrap();
        let mut steady = Steady::new(&zone);
        for day in
            [date(1900, 1, 1), date(2011, 12, 28), date(2011, 12, 30), date(2012, 1, 2), date(2200, 2, 28)]
        {
            let local = day.at(12, 30, 15, 0);
            assert_eq!(steady.resolve(local), zone.resolve(local), "{local}");
        }
    }
}
