//! Times as programs write them: ISO 8601 with more or less of it, `2024-01-31T08:05:00.123-05:00`.
//!
//! Rules: a date without a time is no time; what follows the date is parted from it by `T` or a blank; seconds,
//! their fraction (cut to milliseconds) and zero padding may be missing; an offset is `Z`, `+hh`, `+hhmm` or
//! `+hh:mm`, after a blank or not, and lies between -12:00 and +14:00, as all that clocks have had for a century.

use jiff::{
    civil::{Date, DateTime, Time},
    tz::Offset,
};

use super::{
    clock::{Moment, Stamp, YEARS, Zone},
    file::RowReason,
};
use crate::reading::Instant;

/// Offsets from UTC in use, in minutes.
const OFFSETS: std::ops::RangeInclusive<i16> = -720..=840;
/// Digits of a fraction of a second that are looked at; what is longer is no time.
const MAX_FRACTION_DIGITS: usize = 9;

/// A date and time, with its offset from UTC where the text states one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IsoTime {
    pub(super) local: DateTime,
    /// Minutes east of UTC.
    pub(super) offset: Option<i16>,
    /// The offset is `Z`: UTC, which need not be what the clock beside the patient showed.
    pub(super) zulu: bool,
}

impl IsoTime {
    /// Reads a time; `None` for what is none, or no whole one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.trim().split_once(['T', 't', ' '])?;
        let mut parts = date.split('-');
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || year.len() != 4 {
            return None;
        }
        let year = digits(year, 4)?;
        let date = Date::new(year, digits(month, 2)? as i8, digits(day, 2)? as i8).ok()?;
        if !YEARS.contains(&year) {
            return None;
        }
        let rest = rest.trim();
        let zulu = rest.strip_suffix(['Z', 'z']);
        let (clock, offset) = match (zulu, rest.rfind(['+', '-'])) {
            (Some(clock), _) => (clock, Some(0)),
            (None, Some(at)) => (&rest[..at], Some(offset_of(&rest[at..])?)),
            (None, None) => (rest, None),
        };
        Some(Self { local: date.to_datetime(time_of(clock.trim())?), offset, zulu: zulu.is_some() })
    }

    /// What it means: by its own offset, else by the zone. Errs where the zone's clocks skipped it.
    pub(super) fn moment(self, zone: &Zone) -> Result<Moment, RowReason> {
        match self.offset {
            Some(_) => self.stamp().map(Moment::One).ok_or(RowReason::TimeUnreadable),
            None => zone.resolve(self.local).ok_or(RowReason::TimeNonexistent),
        }
    }

    /// The instant, where an offset is stated; else as UTC.
    pub(super) fn stamp(self) -> Option<Stamp> {
        Stamp::at(self.local, self.offset.unwrap_or(0))
    }

    /// The offset, where it is stated as one and not as UTC.
    pub(super) fn stated_offset(self) -> Option<i16> {
        self.offset.filter(|_| !self.zulu)
    }
}

/// The instant of milliseconds since 1970; `None` outside of the years in which a time is no mistake.
pub(super) fn instant(ms: i64) -> Option<Instant> {
    let timestamp = jiff::Timestamp::from_millisecond(ms).ok()?;
    YEARS.contains(&Offset::UTC.to_datetime(timestamp).year()).then_some(Instant(ms))
}

/// The moment of an instant whose offset the source states, or else the zone.
pub(super) fn moment_of(time: Instant, offset: Option<i16>, zone: &Zone) -> Moment {
    let stated = offset.filter(|offset| OFFSETS.contains(offset));
    let offset_minutes = stated.unwrap_or_else(|| zone.offset_at(time));
    Moment::One(Stamp { time, offset_minutes })
}

/// The offset of a clock that shows `local` at `time`, where it is one that clocks have: whole quarters of an
/// hour, with a minute for what devices and servers differ by.
pub(super) fn offset_between(local: DateTime, time: Instant) -> Option<i16> {
    let shown = Stamp::at(local, 0)?.time.0;
    let minutes = (shown - time.0 + Instant::MINUTE_MS / 2).div_euclid(Instant::MINUTE_MS);
    let minutes = i16::try_from(minutes).ok().filter(|minutes| OFFSETS.contains(minutes))?;
    (minutes % 15 == 0).then_some(minutes)
}

/// One to `most` ASCII digits as a number.
fn digits(text: &str, most: usize) -> Option<i16> {
    let good = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    good.then(|| text.parse().ok()).flatten()
}

/// `h:mm`, `h:mm:ss` or `h:mm:ss.fff`; a comma serves as the point.
fn time_of(text: &str) -> Option<Time> {
    let mut parts = text.split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let seconds = parts.next().unwrap_or("0");
    if parts.next().is_some() {
        return None;
    }
    let (second, fraction) = seconds.split_once(['.', ',']).unwrap_or((seconds, "0"));
    let good = (1..=MAX_FRACTION_DIGITS).contains(&fraction.len());
    if !good || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let ms = fraction.bytes().chain(*b"00").take(3).fold(0i32, |ms, b| ms * 10 + i32::from(b - b'0'));
    Time::new(hour as i8, minute as i8, digits(second, 2)? as i8, ms * 1_000_000).ok()
}

/// `+hh`, `+hhmm` or `+hh:mm` in minutes.
fn offset_of(text: &str) -> Option<i16> {
    let (sign, rest) = (if text.starts_with('-') { -1 } else { 1 }, text.get(1..)?);
    let (hours, minutes) = match rest.split_once(':') {
        Some((hours, minutes)) => (digits(hours, 2)?, digits(minutes, 2)?),
        None if rest.len() == 4 => (digits(rest.get(..2)?, 2)?, digits(rest.get(2..)?, 2)?),
        None => (digits(rest, 2)?, 0),
    };
    let offset = sign * (hours * 60 + minutes);
    (minutes < 60 && OFFSETS.contains(&offset)).then_some(offset)
}

#[cfg(test)]
mod tests {
    use jiff::civil::datetime;

    use super::*;

    #[test]
    fn each_spelling_of_a_time_is_read() {
        let full = datetime(2024, 1, 31, 8, 5, 0, 0);
        for (text, offset) in [
            ("2024-01-31T08:05:00", None),
            ("2024-01-31T08:05", None),
            ("2024-1-31T8:5", None),
            ("2024-01-31 08:05:00 -0500", Some(-300)),
            ("2024-01-31T08:05:00.000Z", Some(0)),
            ("2024-01-31t08:05:00z", Some(0)),
            ("2024-01-31T08:05:00+05:30", Some(330)),
            ("2024-01-31T08:05-03", Some(-180)),
            ("2024-01-31T08:05:00+1400", Some(840)),
            (" 2024-01-31T08:05:00 ", None),
        ] {
            let read = IsoTime::parse(text).unwrap();
            assert_eq!((read.local, read.offset), (full, offset), "{text}");
        }
        let fraction = IsoTime::parse("2024-01-31T08:05:00.1234567Z").unwrap();
        assert_eq!(fraction.local, datetime(2024, 1, 31, 8, 5, 0, 123_000_000));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2024-01-31",
            "2024-02-30T08:05:00",
            "2024-01-31T24:00",
            "2024-01-31T08:60",
            "2024-01-31T08:05:60",
            "2024-01-31T08:05:00.",
            "2024-01-31T08:05:00.1234567890",
            "2024-01-31T08",
            "2024-01-31T08:05:00+15:00",
            "2024-01-31T08:05:00-12:01",
            "2024-01-31T08:05:00+01:60",
            "24-01-31T08:05:00",
            "20240-01-31T08:05:00",
            "1899-01-31T08:05:00",
            "2024-01-31T08:05:00:00",
            "2024/01/31T08:05",
            "2024-01-31T08:05 é",
            "٢٠٢٤-01-31T08:05",
        ] {
            assert_eq!(IsoTime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_without_an_offset_is_the_zones_and_one_with_it_is_not() {
        let zone = Zone::named("America/New_York").unwrap();
        let time = |text: &str| IsoTime::parse(text).unwrap().moment(&zone).map(Moment::earliest);
        assert_eq!(time("2024-01-15T12:00").unwrap().offset_minutes, -300);
        assert_eq!(time("2024-01-15T12:00").unwrap().time, time("2024-01-15T17:00Z").unwrap().time);
        assert_eq!(time("2024-03-10T02:30"), Err(RowReason::TimeNonexistent));
        assert!(time("2024-03-10T02:30Z").is_ok());
    }

    #[test]
    fn milliseconds_are_an_instant_within_the_years_of_a_time() {
        assert_eq!(instant(1_775_421_029_000), Some(Instant(1_775_421_029_000)));
        for ms in [i64::MIN, -2_208_988_800_001, 7_289_654_400_000, i64::MAX] {
            assert_eq!(instant(ms), None, "{ms}");
        }
    }

    #[test]
    fn the_offset_between_two_clocks_is_one_that_clocks_have_or_none() {
        let noon = Stamp::at(datetime(2024, 1, 15, 12, 0, 0, 0), 0).unwrap().time;
        for (minute, second, offset) in
            [(0, 0, Some(-300)), (0, 29, Some(-300)), (15, 0, Some(-285)), (2, 0, None), (59, 58, Some(-240))]
        {
            let shown = datetime(2024, 1, 15, 7, minute, second, 0);
            assert_eq!(offset_between(shown, noon), offset, "{minute}:{second}");
        }
        assert_eq!(offset_between(datetime(2024, 1, 17, 12, 0, 0, 0), noon), None);
    }
}
