//! How long a feed is usually silent, by hour of the week, learned as its messages come. Pure: the time is handed in.
//!
//! For every hour of the week (local time of the feed's site) and each of the last [`WEEKS`] weeks, one number is kept: the
//! longest silence that was reached within that hour. On a weekday at ten that is minutes, on a Saturday at noon most of a day,
//! on a Monday at eight, before the first message of the week, three days. What is usual at an hour is the [`QUANTILE`] of its
//! numbers, so that one outage in two months does not count; and the largest of that hour's and its two neighbours', so that
//! neither a first message that comes ten minutes later nor a clock that was put on or back is taken for a fault. A feed is
//! silent where nothing came for [`FACTOR`] times as long as is usual now, and for no less than [`FLOOR_S`].
//!
//! Invariants: a feed that was never heard is not silent; nothing is said of an hour in its first week; while it has fewer than
//! [`LEAST_VALUES`] numbers, the longest of that hour on all days of its kind (Monday to Friday, Saturday and Sunday) counts; time in
//! which the box did not listen counts neither as silence nor as history; of hours in which the feed was found silent and stayed so,
//! nothing is learned, so that a long outage does not become usual; of holidays nothing is learned either, and the silence of one is
//! not held against the day after it.

use jiff::{
    Timestamp,
    civil::{Date, Weekday},
    tz::TimeZone,
};
use serde::{Deserialize, Serialize};

/// Hours of a week.
pub const SLOTS: usize = 168;
/// Weeks that are remembered: two months.
pub const WEEKS: usize = 8;
/// Numbers that an hour needs to be judged by its own.
pub const LEAST_VALUES: usize = 3;
/// Which of the numbers is the usual one, by nearest rank: of 8 the second-longest, of fewer than 5 the longest.
pub const QUANTILE: f64 = 0.8;
/// How many times as long as usual is too long.
pub const FACTOR: i64 = 3;
/// No feed is silent before so many seconds, however busy it is: engines restart, and people stop them for a quarter of an hour.
pub const FLOOR_S: i64 = 900;
/// An hour counts as watched whole where the look at its beginning was no later than this: looks are seconds apart.
const LATE_MS: i64 = 120_000;

const HOUR_MS: i64 = 3_600_000;

/// An hour of the week: 0 is Monday from midnight, 167 Sunday from 23 o'clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slot(u16);

impl Slot {
    /// The hour of a day of the week, 0 to 23.
    pub fn of(day: Weekday, hour: i8) -> Self {
        Self(u16::from(day.to_monday_zero_offset().unsigned_abs()) * 24 + u16::from(hour.unsigned_abs()))
    }

    fn before(self) -> Self {
        Self((self.0 + SLOTS as u16 - 1) % SLOTS as u16)
    }

    fn after(self) -> Self {
        Self((self.0 + 1) % SLOTS as u16)
    }

    /// The same hour of all days of its kind.
    fn alike(self) -> impl Iterator<Item = Self> {
        let (hour, is_weekend) = (self.0 % 24, self.0 >= 5 * 24);
        let days = if is_weekend { 5..7_u16 } else { 0..5 };
        days.map(move |day| Self(day * 24 + hour))
    }
}

/// A moment, as a feed's profile needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds UTC.
    pub at: i64,
    /// The hour of the week there; of a holiday that of a Sunday.
    pub slot: Slot,
    /// Whether it is a holiday there.
    pub is_holiday: bool,
}

impl Moment {
    /// A moment at a place; `None` where the number is no moment.
    pub fn at(at: i64, zone: &TimeZone, holidays: &[Date]) -> Option<Self> {
        let local = zone.to_datetime(Timestamp::from_millisecond(at).ok()?);
        let is_holiday = holidays.contains(&local.date());
        let day = if is_holiday { Weekday::Sunday } else { local.weekday() };
        Some(Self { at, slot: Slot::of(day, local.hour()), is_holiday })
    }
}

/// What is known of a feed. Its numbers and the last time it was heard are kept over a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// When it was heard last (ms UTC); `None` before the first time.
    last: Option<i64>,
    /// For each hour of the week the longest silences, in seconds, the newest last.
    numbers: Vec<Vec<u32>>,
    #[serde(skip)]
    watch: Watch,
}

/// What is watched now.
#[derive(Clone, Debug, Default, PartialEq)]
struct Watch {
    /// Since when the box has listened (ms UTC).
    since: Option<i64>,
    was_heard: bool,
    visit: Option<Visit>,
    looked_at: Option<i64>,
    /// Of the silence that lasts, what fell on holidays.
    holiday_ms: i64,
}

/// An hour that is being watched.
#[derive(Clone, Debug, PartialEq)]
struct Visit {
    slot: Slot,
    is_holiday: bool,
    is_whole: bool,
    longest_ms: i64,
    was_heard: bool,
    was_silent: bool,
}

/// What is to be said of a feed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// For how long nothing came, in seconds, of the time that the box listened; `None` for a feed that was never heard.
    pub silent_s: Option<i64>,
    /// How long it is usually silent at this hour, in seconds; `None` while too little is known.
    pub usual_s: Option<i64>,
    /// From when on it is too long, in seconds.
    pub limit_s: Option<i64>,
}

impl Judgement {
    /// Whether that is too long.
    pub fn is_silent(&self) -> bool {
        matches!((self.silent_s, self.limit_s), (Some(silent), Some(limit)) if silent > limit)
    }
}

impl Profile {
    /// When it was heard last (ms UTC).
    pub fn last(&self) -> Option<i64> {
        self.last
    }

    /// The box listens from now on (ms UTC): silence before is nobody's.
    pub fn listens(&mut self, now: i64) {
        self.watch = Watch { since: Some(now), ..Watch::default() };
    }

    /// A message came.
    pub fn hear(&mut self, at: i64) {
        let silence = self.silence_ms(at).unwrap_or(0);
        if let Some(visit) = &mut self.watch.visit {
            visit.longest_ms = visit.longest_ms.max(silence);
            visit.was_heard = true;
        }
        self.watch.was_heard = true;
        self.watch.holiday_ms = 0;
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
    }

    /// Looks at the feed, after everything that came was heard, and learns. `fixed_s` is a limit that the configuration sets in the
    /// place of the usual. Returns what is to be said, and whether something was learned that should be kept.
    pub fn look(&mut self, now: Moment, fixed_s: Option<i64>) -> (Judgement, bool) {
        let is_other = self
            .watch
            .visit
            .as_ref()
            .is_none_or(|visit| visit.slot != now.slot || visit.is_holiday != now.is_holiday);
        let learned = is_other && self.turn(now);
        let since_look = self.watch.looked_at.replace(now.at).map_or(0, |at| (now.at - at).max(0));
        if now.is_holiday {
            self.watch.holiday_ms += since_look;
        }
        let silence =
            self.silence_ms(now.at).map(|ms| if now.is_holiday { ms + self.watch.holiday_ms } else { ms });
        let usual_s = self.usual_s(now.slot);
        let limit_s = fixed_s.or_else(|| usual_s.map(|usual| (FACTOR * usual).max(FLOOR_S)));
        let judgement = Judgement { silent_s: silence.map(|ms| ms / 1_000), usual_s, limit_s };
        if let Some(visit) = &mut self.watch.visit {
            visit.longest_ms = visit.longest_ms.max(silence.unwrap_or(0));
            visit.was_silent |= judgement.is_silent();
        }
        (judgement, learned)
    }

    /// Ends the hour that was watched, and begins the present one. Whether something was learned.
    fn turn(&mut self, now: Moment) -> bool {
        let into_hour = now.at.rem_euclid(HOUR_MS);
        // Zones are whole quarters of an hour off; the beginning of the hour there is one of these.
        let is_beginning =
            (0..4).any(|quarter| (into_hour - quarter * HOUR_MS / 4).rem_euclid(HOUR_MS) <= LATE_MS);
        let next = Visit {
            slot: now.slot,
            is_holiday: now.is_holiday,
            is_whole: self.watch.visit.is_some() && is_beginning,
            longest_ms: 0,
            was_heard: false,
            was_silent: false,
        };
        let Some(ended) = self.watch.visit.replace(next) else { return false };
        let stayed_silent = ended.was_silent && !ended.was_heard;
        if !ended.is_whole || !self.watch.was_heard || stayed_silent || ended.is_holiday {
            return false;
        }
        self.numbers.resize(SLOTS, Vec::new());
        let numbers = &mut self.numbers[usize::from(ended.slot.0)];
        numbers.push(u32::try_from(ended.longest_ms / 1_000).unwrap_or(u32::MAX));
        if numbers.len() > WEEKS {
            numbers.remove(0);
        }
        true
    }

    fn silence_ms(&self, now: i64) -> Option<i64> {
        let since = self.watch.since.unwrap_or(now);
        // A clock that was put back makes no silence.
        self.last.map(|last| (now - last.max(since) - self.watch.holiday_ms).max(0))
    }

    /// What is usual at an hour, in seconds.
    pub fn usual_s(&self, slot: Slot) -> Option<i64> {
        let here = self.usual_there_s(slot)?;
        let beside = [slot.before(), slot.after()].into_iter().filter_map(|slot| self.usual_there_s(slot));
        Some(beside.fold(here, i64::max))
    }

    fn usual_there_s(&self, slot: Slot) -> Option<i64> {
        let of = |slot: Slot| self.numbers.get(usize::from(slot.0)).map_or(&[][..], Vec::as_slice);
        let mut own = of(slot).to_vec();
        if own.is_empty() {
            return None;
        }
        if own.len() < LEAST_VALUES {
            return slot.alike().flat_map(of).max().map(|longest| i64::from(*longest));
        }
        own.sort_unstable();
        let rank = (QUANTILE * own.len() as f64).ceil() as usize;
        own.get(rank.saturating_sub(1)).map(|value| i64::from(*value))
    }
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
