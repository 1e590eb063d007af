//! HL7 v2 times (TS, DTM): `YYYYMMDD[HHMM[SS[.S[S[S[S]]]]]][+/-ZZZZ]`, kept at milliseconds.

use jiff::civil::DateTime;

use super::FaultReason;
use crate::{
    normalize::clock::{Moment, Stamp, YEARS, Zone},
    reading::Instant,
};

/// A time as stated: clock and calendar, and the offset if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timestamp {
    local: DateTime,
    offset_minutes: Option<i16>,
    /// Hours and minutes were stated, not only a date.
    to_the_minute: bool,
}

impl Timestamp {
    /// Reads a time. Errs with `TimeMissing` or `TimeUnreadable`.
    pub(super) fn parse(text: &str) -> Result<Self, FaultReason> {
        let text = text.trim();
        if text.is_empty() {
            return Err(FaultReason::TimeMissing);
        }
        Self::read(text).ok_or(FaultReason::TimeUnreadable)
    }

    fn read(text: &str) -> Option<Self> {
        let (clock, offset_minutes) = match text.find(['+', '-']) {
            Some(at) => (&text[..at], Some(offset(&text[at..])?)),
            None => (text, None),
        };
        let (digits, fraction) = clock.split_once('.').map_or((clock, None), |(d, f)| (d, Some(f)));
        if !digits.bytes().all(|b| b.is_ascii_digit()) || !matches!(digits.len(), 4 | 6 | 8 | 10 | 12 | 14) {
            return None;
        }
        let nanoseconds = match fraction {
            Some(fraction) if digits.len() == 14 => milliseconds(fraction)? * 1_000_000,
            Some(_) => return None,
            None => 0,
        };
        let year = digits[..4].parse::<i16>().ok().filter(|year| YEARS.contains(year))?;
        let pair = |at: usize, absent: i8| digits.get(at..at + 2).map_or(Some(absent), |d| d.parse().ok());
        let (month, day) = (pair(4, 1)?, pair(6, 1)?);
        let (hour, minute, second) = (pair(8, 0)?, pair(10, 0)?, pair(12, 0)?);
        let local = DateTime::new(year, month, day, hour, minute, second, nanoseconds).ok()?;
        Some(Self { local, offset_minutes, to_the_minute: digits.len() >= 12 })
    }

    /// The offset that the time itself states, in minutes.
    pub(super) const fn offset_minutes(self) -> Option<i16> {
        self.offset_minutes
    }

    /// When an observation was made: by its own offset, else `default_offset`, else the zone. Errs with
    /// `TimeTooCoarse` for a date alone and with `TimeNonexistent` for the hour that spring skips.
    pub(super) fn observed(self, default_offset: Option<i16>, zone: &Zone) -> Result<Moment, FaultReason> {
        if !self.to_the_minute {
            return Err(FaultReason::TimeTooCoarse);
        }
        match self.offset_minutes.or(default_offset) {
            Some(offset) => Stamp::at(self.local, offset).map(Moment::One).ok_or(FaultReason::TimeUnreadable),
            None => zone.resolve(self.local).ok_or(FaultReason::TimeNonexistent),
        }
    }

    /// When a version was made, for ordering versions only: a date counts from its midnight, a repeated
    /// hour as its first; `None` in the hour that spring skips.
    pub(super) fn made(self, default_offset: Option<i16>, zone: &Zone) -> Option<Instant> {
        let at_midnight = Self { to_the_minute: true, ..self };
        at_midnight.observed(default_offset, zone).ok().map(|moment| moment.earliest().time)
    }
}

/// `+HHMM` or `-HHMM` in minutes, to 14 hours either way (the widest offset in use).
fn offset(text: &str) -> Option<i16> {
    let digits = text.get(1..)?;
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i16, i16) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= 14 * 60).then_some(if text.starts_with('-') { -total } else { total })
}

/// The first three digits of a fraction of one to nine, as milliseconds; the rest is cut.
fn milliseconds(fraction: &str) -> Option<i32> {
    if !(1..=9).contains(&fraction.len()) || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    format!("{fraction:0<3}").get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-01-15T12:00:00Z.
    const NOON: i64 = 19_737 * Instant::DAY_MS + 12 * 3_600_000;

    fn observed(text: &str, default_offset: Option<i16>) -> Result<Moment, FaultReason> {
        Timestamp::parse(text)?.observed(default_offset, &Zone::named("America/New_York").unwrap())
    }

    #[test]
    fn a_time_with_an_offset_is_that_instant() {
        for (text, after_noon_ms) in [
            ("20240115120000+0000", 0),
            ("202401151200-0000", 0),
            ("20240115130000+0100", 0),
            ("20240115173000+0530", 0),
            ("20240115070000-0500", 0),
            ("20240115120001+0000", 1_000),
            ("20240115120000.5+0000", 500),
            ("20240115120000.1239+0000", 123),
        ] {
            let moment = observed(text, Some(600)).unwrap();
            assert_eq!(moment.earliest().time, Instant(NOON + after_noon_ms), "{text}");
            assert_eq!(moment.latest(), moment.earliest());
        }
    }

    #[test]
    fn a_missing_offset_is_the_default_or_the_zone() {
        assert_eq!(observed("20240115140000", Some(120)).unwrap().earliest().time, Instant(NOON));
        let by_zone = observed("20240115070000", None).unwrap().earliest();
        assert_eq!(by_zone, Stamp { time: Instant(NOON), offset_minutes: -300 });
    }

    #[test]
    fn a_date_without_a_time_is_too_coarse() {
        for text in ["2024", "202401", "20240115", "2024011512", "20240115+0100"] {
            assert_eq!(observed(text, None), Err(FaultReason::TimeTooCoarse), "{text}");
        }
    }

    #[test]
    fn a_skipped_hour_is_no_time_unless_an_offset_says_which() {
        assert_eq!(observed("20240310023000", None), Err(FaultReason::TimeNonexistent));
        assert!(observed("20240310023000-0500", None).is_ok());
        assert!(observed("20240310023000", Some(-300)).is_ok());
    }

    #[test]
    fn what_is_no_time_is_unreadable() {
        for text in [
            "20240230120000",
            "20241301120000",
            "20240115240000",
            "20240115126000",
            "20240115120060",
            "2024-01-15T12:00:00",
            "20240115 1200",
            "202401151",
            "20240115120000.",
            "202401151200.5",
            "20240115120000+25",
            "20240115120000+1401",
            "20240115120000+0060",
            "20240115120000+0000+0000",
            "18991231120000",
            "22010101120000",
            "٢٠٢٤٠١١٥١٢٠٠",
            "20240115120000Z",
        ] {
            assert_eq!(observed(text, None), Err(FaultReason::TimeUnreadable), "{text}");
        }
        assert_eq!(observed("  ", None), Err(FaultReason::TimeMissing));
    }
}
