//! Local days: from instants to dates and back, in a named zone.
//!
//! Invariants: the zone data is the bundled one, never the machine's; a local day runs from its first
//! instant to the first instant of the next (so it has 23, 24 or 25 hours, and every instant is in
//! exactly one day); nothing here asks what time it is.
//!
//! Numbers: days are counted from 1970-01-01 (day 0). Window ends are aligned to Monday 1970-01-05.

use std::{fmt, str::FromStr, sync::LazyLock};

use jiff::{
    Timestamp, civil,
    tz::{Offset, TimeZone, TimeZoneDatabase},
};

use crate::{outcome::Period, reading::Instant};

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Longest IANA zone name looked up; the longest in use has 32 characters.
const MAX_ZONE_NAME: usize = 64;

/// First and last day that can be named: years 1 to 9998, so that every offset stays in range.
const DAYS: std::ops::RangeInclusive<i32> = -719_162..=2_932_531;

/// Why something has no place in the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// The zone is not in the bundled data.
    #[error("not an IANA time zone name; write it like \"America/New_York\"")]
    UnknownZone,
    /// The text is not a date that exists.
    #[error("not a date; write it like \"2025-03-31\"")]
    NotADate,
    /// Before year 1 or after year 9998.
    #[error("a date outside the years 1 to 9998")]
    OutOfRange,
    /// The last day is before the first.
    #[error("a period that ends before it starts")]
    Backwards,
    /// A window or step of no days, or of more than [`Cadence::MAX_DAYS`].
    #[error("a window and its step have from 1 to 366 days")]
    Cadence,
}

/// A local date, as days since 1970-01-01. Written `YYYY-MM-DD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalDay(pub i32);

impl LocalDay {
    /// The day of a civil date.
    #[must_use]
    pub fn from_civil(date: civil::Date) -> Self {
        // Whole days from midnight to midnight: a difference of civil dates has no other unit.
        Self((date.duration_since(civil::date(1970, 1, 1)).as_hours() / 24) as i32)
    }

    /// The civil date; days outside the years 1 to 9998 give the nearest one inside.
    #[must_use]
    pub fn civil(self) -> civil::Date {
        let days = self.0.clamp(*DAYS.start(), *DAYS.end());
        civil::date(1970, 1, 1).saturating_add(jiff::Span::new().days(days))
    }

    /// The day `days` later, or earlier where negative.
    #[must_use]
    pub const fn plus(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }
}

impl fmt::Display for LocalDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.civil().fmt(f)
    }
}

impl FromStr for LocalDay {
    type Err = CalendarError;

    /// Reads exactly `YYYY-MM-DD`.
    fn from_str(text: &str) -> Result<Self, CalendarError> {
        let shape = text.len() == 10
            && text
                .bytes()
                .enumerate()
                .all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() });
        if !shape {
            return Err(CalendarError::NotADate);
        }
        let day = Self::from_civil(text.parse().map_err(|_| CalendarError::NotADate)?);
        if DAYS.contains(&day.0) { Ok(day) } else { Err(CalendarError::OutOfRange) }
    }
}

/// A time zone of the bundled data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

impl Zone {
    /// The zone of an IANA name, case aside.
    ///
    /// # Errors
    /// [`CalendarError::UnknownZone`] where the bundled data has none of that name.
    pub fn named(name: &str) -> Result<Self, CalendarError> {
        if name.len() > MAX_ZONE_NAME {
            return Err(CalendarError::UnknownZone);
        }
        let rules = ZONES.get(name).map_err(|_| CalendarError::UnknownZone)?;
        let name = rules.iana_name().unwrap_or(name).to_owned();
        Ok(Self { name, rules })
    }

    /// The IANA name, in its usual spelling.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The UTC offset in force at `instant`, in minutes.
    #[must_use]
    pub fn offset_minutes(&self, instant: Instant) -> i16 {
        minutes(self.rules.to_offset(timestamp(instant)))
    }

    /// The UTC offsets in force from `start` to before `end`, in milliseconds, each with the moment
    /// (milliseconds UTC) from which on it holds; ascending, never empty. The first holds at `start`.
    #[must_use]
    pub fn offsets(&self, start: Instant, end: Instant) -> Vec<(i64, i64)> {
        let ms = |offset: Offset| i64::from(offset.seconds()) * 1000;
        let first = timestamp(start);
        let mut offsets = vec![(start.0, ms(self.rules.to_offset(first)))];
        let changes =
            self.rules.following(first).map(|next| (next.timestamp().as_millisecond(), next.offset()));
        for (from, offset) in changes.take_while(|(from, _)| *from < end.0) {
            offsets.push((from, ms(offset)));
        }
        offsets
    }

    /// The local day that `instant` is in: the last one that starts at or before it.
    #[must_use]
    pub fn day_of(&self, instant: Instant) -> LocalDay {
        let at = timestamp(instant);
        let shown = LocalDay::from_civil(self.rules.to_offset(at).to_datetime(at).date());
        // A clock set back across midnight shows yesterday's date again, or skips a whole day.
        let next = shown.plus(1);
        if self.start_of(next) <= instant { next } else { shown }
    }

    /// The first instant of a local day: midnight, or what follows where the clock skips midnight.
    #[must_use]
    pub fn start_of(&self, day: LocalDay) -> Instant {
        self.shows(day, 0)
    }

    /// When the clock of a local day first shows a full hour, 0 to 24, or what follows where it skips that; within
    /// the day, both ends included.
    #[must_use]
    pub fn at_hour(&self, day: LocalDay, hour: i8) -> Instant {
        let (start, end) = (self.start_of(day), self.start_of(day.plus(1)));
        if (0..24).contains(&hour) { self.shows(day, hour).clamp(start, end.max(start)) } else { end }
    }

    fn shows(&self, day: LocalDay, hour: i8) -> Instant {
        let time = day.civil().at(hour, 0, 0, 0);
        // Compatible: the earlier of two, the end of the gap where there is none.
        let shown = self.rules.to_ambiguous_timestamp(time).compatible();
        // In range by `civil`; the other branch is never taken.
        let utc = i64::from(day.0).saturating_mul(Instant::DAY_MS);
        Instant(shown.map_or(utc, |shown| shown.as_millisecond()))
    }

    /// The period of whole local days from `first` to `last`, both included.
    ///
    /// # Errors
    /// [`CalendarError::Backwards`] where `last` is before `first`, [`CalendarError::OutOfRange`]
    /// outside the years 1 to 9998.
    pub fn period(&self, first: LocalDay, last: LocalDay) -> Result<Period, CalendarError> {
        if last < first {
            return Err(CalendarError::Backwards);
        }
        if !DAYS.contains(&first.0) || !DAYS.contains(&last.plus(1).0) {
            return Err(CalendarError::OutOfRange);
        }
        Ok(Period {
            first_date: first.to_string(),
            last_date: last.to_string(),
            zone: self.name.clone(),
            start: self.start_of(first),
            end: self.start_of(last.plus(1)),
            days: last.0.abs_diff(first.0) + 1,
        })
    }

    /// The period of a window that ends where `end` begins.
    ///
    /// # Errors
    /// [`CalendarError::OutOfRange`] outside the years 1 to 9998.
    pub fn window(&self, cadence: Cadence, end: LocalDay) -> Result<Period, CalendarError> {
        self.period(end.plus(-(cadence.window as i32)), end.plus(-1))
    }
}

/// How long windows are and how often one ends, both in local days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    window: u32,
    every: u32,
}

impl Cadence {
    /// Longest window and longest step: a leap year.
    pub const MAX_DAYS: u32 = 366;
    /// A day on which windows end, whatever their step: Monday 1970-01-05.
    pub const ANCHOR: LocalDay = LocalDay(4);

    /// Windows of `window` days, one ending every `every` days.
    ///
    /// # Errors
    /// [`CalendarError::Cadence`] where one of them is not from 1 to [`Self::MAX_DAYS`].
    pub const fn new(window: u32, every: u32) -> Result<Self, CalendarError> {
        if window == 0 || window > Self::MAX_DAYS || every == 0 || every > Self::MAX_DAYS {
            return Err(CalendarError::Cadence);
        }
        Ok(Self { window, every })
    }

    /// Days in a window.
    #[must_use]
    pub const fn window_days(self) -> u32 {
        self.window
    }

    /// Days from one window's end to the next.
    #[must_use]
    pub const fn every_days(self) -> u32 {
        self.every
    }

    /// The ends (exclusive: the day after the last included one) of all windows that contain `day`,
    /// ascending. At most [`Self::MAX_DAYS`]; none where the step is longer than the window and `day`
    /// falls between two windows.
    pub fn ends_containing(self, day: LocalDay) -> impl Iterator<Item = LocalDay> {
        let (day, every) = (i64::from(day.0), i64::from(self.every));
        let behind = (day + 1 - i64::from(Self::ANCHOR.0)).rem_euclid(every);
        let first = day + 1 + (every - behind) % every;
        let past = day + 1 + i64::from(self.window);
        (first..past).step_by(self.every as usize).filter_map(|end| Some(LocalDay(i32::try_from(end).ok()?)))
    }
}

/// The nearest time the calendar can name: 9999 years before or after year 0.
fn timestamp(instant: Instant) -> Timestamp {
    let nearest = if instant.0 < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_millisecond(instant.0).unwrap_or(nearest)
}

/// Whole minutes; offsets with seconds ended with local mean time, before any sensor.
fn minutes(offset: Offset) -> i16 {
    (offset.seconds() / 60) as i16
}

#[cfg(test)]
mod tests;
