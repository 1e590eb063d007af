//! A date and time as a wall shows them: three numbers, an hour and a minute, no offset, and no word on
//! which of the three is the day.
//!
//! Two-digit years are of this century: no sensor is older.

use jiff::civil::{Date, DateTime, Time};

use super::clock::YEARS;

/// The orders that dates are written in. A four-digit year in front is year, month, day (ISO 8601); no
/// locale of a known exporter writes year, day, month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DateOrder {
    DayMonthYear,
    MonthDayYear,
    YearMonthDay,
}

impl DateOrder {
    pub(super) const ALL: [Self; 3] = [Self::DayMonthYear, Self::MonthDayYear, Self::YearMonthDay];

    /// Its name for people.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::DayMonthYear => "day, month, year",
            Self::MonthDayYear => "month, day, year",
            Self::YearMonthDay => "year, month, day",
        }
    }
}

/// A number of a date with the digits it was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    value: i16,
    digits: u8,
}

/// A date in an order yet unknown, and a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WallTime {
    date: [Part; 3],
    /// Midnight where `timed` is false.
    time: Time,
    /// A time was stated.
    pub(super) timed: bool,
}

impl WallTime {
    /// Reads `a-b-c`, `a/b/c` or `a.b.c`, alone or followed by a blank or `T` and
    /// `h:mm[:ss][ AM|PM]`; `UTC` at the end is allowed.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(quick) = quick(text.as_bytes()) {
            return Some(quick);
        }
        let text = text.trim();
        let text = text.strip_suffix("UTC").unwrap_or(text).trim_end();
        let (date, time) = text.split_once(|c: char| c.is_whitespace() || c == 'T').unwrap_or((text, ""));
        let separator = date.chars().find(|c| matches!(c, '-' | '/' | '.'))?;
        let mut parts = date.split(separator).map(part);
        let (Some(a), Some(b), Some(c), None) = (parts.next()?, parts.next()?, parts.next()?, parts.next())
        else {
            return None;
        };
        let timed = !time.trim().is_empty();
        let time = if timed { time_of_day(time)? } else { Time::midnight() };
        Some(Self { date: [a, b, c], time, timed })
    }

    /// All of it as one number, for a time that waits until the order is known.
    pub(super) fn pack(&self) -> i64 {
        // Ten numbers of one digit, a hundred of two, and so on: fourteen bits for number and digits.
        let code =
            |part: Part| i64::from(part.value) + FIRST_OF_DIGITS[usize::from(part.digits.clamp(1, 4)) - 1];
        let [a, b, c] = self.date.map(code);
        let time = self.time;
        let minutes = i64::from(time.hour()) * 60 + i64::from(time.minute());
        let seconds = minutes * 60 + i64::from(time.second());
        ((((a << 14) | b) << 14 | c) << 17 | seconds) << 1 | i64::from(self.timed)
    }

    /// What was packed.
    pub(super) fn unpack(packed: i64) -> Self {
        let part = |code: i64| {
            let digits = FIRST_OF_DIGITS.iter().rposition(|first| code >= *first).unwrap_or(0);
            Part { value: (code - FIRST_OF_DIGITS[digits]) as i16, digits: digits as u8 + 1 }
        };
        let bits = |from: u32, count: u32| (packed >> from) & ((1 << count) - 1);
        let seconds = bits(1, 17);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let time = Time::new(hour as i8, minute as i8, second as i8, 0).unwrap_or_default();
        Self { date: [46, 32, 18].map(|from| part(bits(from, 14))), time, timed: packed & 1 == 1 }
    }

    /// True where the dates are written alike.
    pub(super) fn same_date(&self, other: &Self) -> bool {
        self.date == other.date
    }

    /// The date and time it is in this order; `None` where it is none.
    pub(super) fn under(&self, order: DateOrder) -> Option<DateTime> {
        let [a, b, c] = self.date;
        let (year, month, day) = match order {
            DateOrder::DayMonthYear => (c, b, a),
            DateOrder::MonthDayYear => (c, a, b),
            DateOrder::YearMonthDay => (a, b, c),
        };
        let year = match year.digits {
            2 => 2000 + year.value,
            4 if YEARS.contains(&year.value) => year.value,
            _ => return None,
        };
        if month.digits > 2 || day.digits > 2 {
            return None;
        }
        let date = Date::new(year, i8::try_from(month.value).ok()?, i8::try_from(day.value).ok()?).ok()?;
        Some(date.to_datetime(self.time))
    }
}

/// The codes at which numbers of one, two, three and four digits begin.
const FIRST_OF_DIGITS: [i64; 4] = [0, 10, 110, 1110];

/// The spelling of nearly every row: a date, a blank or `T`, and a time of 24 hours. `None` for any other one,
/// which says nothing of whether it is a time.
fn quick(text: &[u8]) -> Option<WallTime> {
    let (a, rest) = digits(text, 4)?;
    let (&separator, rest) = rest.split_first()?;
    let (b, rest) = digits(rest, 4)?;
    let rest = rest.strip_prefix(&[separator])?;
    let (c, rest) = digits(rest, 4)?;
    let (&blank, rest) = rest.split_first()?;
    let (hour, rest) = digits(rest, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(b":")?, 2)?;
    let (second, rest) = match rest.strip_prefix(b":") {
        Some(rest) => digits(rest, 2)?,
        None => (Part { value: 0, digits: 1 }, rest),
    };
    if !rest.is_empty() || !matches!(separator, b'-' | b'/' | b'.') || !matches!(blank, b' ' | b'T') {
        return None;
    }
    let time = Time::new(hour.value as i8, minute.value as i8, second.value as i8, 0).ok()?;
    Some(WallTime { date: [a, b, c], time, timed: true })
}

/// One to `most` digits and what follows them.
fn digits(text: &[u8], most: usize) -> Option<(Part, &[u8])> {
    let count = text.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(count);
    let value = number.iter().fold(0, |value, digit| value * 10 + i16::from(digit - b'0'));
    (count > 0).then_some((Part { value, digits: count as u8 }, rest))
}

fn part(text: &str) -> Option<Part> {
    let digits = text.len();
    let all_digits = (1..=4).contains(&digits) && text.bytes().all(|b| b.is_ascii_digit());
    all_digits.then(|| text.parse().ok()).flatten().map(|value| Part { value, digits: digits as u8 })
}

/// `h:mm` or `h:mm:ss`, of 24 hours or, with `AM`, `PM`, `a.m.`, `p.m.`, of twelve.
fn time_of_day(text: &str) -> Option<Time> {
    let plain: String = text.chars().filter(|c| !c.is_whitespace() && *c != '.').collect();
    let plain = plain.to_ascii_uppercase();
    let half = plain.strip_suffix("AM").map(|t| (t, 0)).or_else(|| plain.strip_suffix("PM").map(|t| (t, 12)));
    let (clock, afternoon) = half.map_or((plain.as_str(), None), |(clock, hours)| (clock, Some(hours)));
    let mut numbers = clock.split(':').map(|n| part(n).filter(|n| n.digits <= 2).map(|n| n.value as i8));
    let (hour, minute) = (numbers.next()??, numbers.next()??);
    let second = numbers.next().unwrap_or(Some(0))?;
    if numbers.next().is_some() {
        return None;
    }
    let hour = match afternoon {
        Some(_) if !(1..=12).contains(&hour) => return None,
        Some(hours) => hour % 12 + hours,
        None => hour,
    };
    Time::new(hour, minute, second, 0).ok()
}

#[cfg(test)]
mod tests {
    use jiff::civil::datetime;

    use super::*;

    #[test]
    fn each_order_reads_its_own_spellings() {
        use DateOrder::{DayMonthYear as D, MonthDayYear as M, YearMonthDay as Y};
        let afternoon = datetime(2024, 4, 3, 13, 5, 0, 0);
        for (text, order) in [
            ("03-04-2024 13:05", D),
            ("3/4/2024 13:05", D),
            ("03.04.2024 13:05", D),
            ("03-04-24 1:05 PM", D),
            ("04-03-2024 1:05 PM", M),
            ("4/3/24 1:05pm", M),
            ("04/03/2024 01:05 p.m.", M),
            ("2024/04/03 13:05", Y),
            ("2024-04-03T13:05:00", Y),
            ("2024-04-03 13:05:00 UTC", Y),
            ("24-04-03 13:05", Y),
        ] {
            assert_eq!(WallTime::parse(text).unwrap().under(order), Some(afternoon), "{text}");
        }
    }

    #[test]
    fn what_is_packed_comes_back() {
        for text in [
            "3/4/2024 13:05",
            "31.12.99 23:59:59",
            "2024-02-29T00:00",
            "9999-9-09 1:2:3",
            "0000-00-00",
            "123/1/1 0:00",
        ] {
            let time = WallTime::parse(text).unwrap();
            assert_eq!(WallTime::unpack(time.pack()), time, "{text}");
        }
    }

    #[test]
    fn noon_and_midnight_of_the_twelve_hour_clock() {
        let hour = |text: &str| WallTime::parse(text).map(|t| t.time.hour());
        assert_eq!(hour("1/1/2024 12:30 AM"), Some(0));
        assert_eq!(hour("1/1/2024 12:30 PM"), Some(12));
        assert_eq!(hour("1/1/2024 11:30 PM"), Some(23));
        assert_eq!(hour("1/1/2024 13:30 PM"), None);
        assert_eq!(hour("1/1/2024 0:30 AM"), None);
    }

    #[test]
    fn what_is_no_date_in_an_order_is_none() {
        let fits =
            |text: &str| DateOrder::ALL.map(|order| WallTime::parse(text).unwrap().under(order).is_some());
        assert_eq!(fits("13-04-2024 10:00"), [true, false, false]);
        assert_eq!(fits("04-13-2024 10:00"), [false, true, false]);
        assert_eq!(fits("2024-13-04 10:00"), [false, false, false]);
        assert_eq!(fits("30-02-2024 10:00"), [false, false, false]);
        assert_eq!(fits("10-11-12 10:00"), [true, true, true]);
        assert_eq!(fits("8/1/18 10:00"), [true, true, false], "a year has two or four digits");
    }

    #[test]
    fn what_is_no_date_and_time_is_refused() {
        for text in [
            "",
            "x",
            "1-2",
            "1-2-3-4",
            "1-2/3",
            "1-2-2024 25:00",
            "1-2-2024 10",
            "1-2-2024 10:00:00:00",
            "1-2-2024 x",
            "12345-1-1",
            "1-2-2024 10:60",
            "٣-٤-2024",
            "1-2-2024 010:00",
        ] {
            assert_eq!(WallTime::parse(text), None, "{text}");
        }
        assert!(!WallTime::parse("1-2-2024").unwrap().timed);
    }
}
