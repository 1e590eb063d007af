//! Times (search.html, "date"): every value is an interval, of a search and of a resource alike, and a prefix says how the
//! two must lie.
//!
//! An interval is half-open in milliseconds of UTC. A text is as long as its precision says: a year, a month, a day, a
//! minute, a second; one with a fraction is a millisecond, as finer digits are cut off. Without an offset it is UTC.

use serde_json::Value;

use super::plan::Range;

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;
/// `ap` reaches by this part of the distance to now further on either side (search.html: 10 % is recommended).
const APPROXIMATE_PART: i64 = 10;

/// A half-open interval in milliseconds of UTC: `i64::MIN` and `i64::MAX` are open ends. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Its first millisecond.
    pub from_ms: i64,
    /// The first after it.
    pub until_ms: i64,
}

impl Interval {
    /// Of a FHIR date, dateTime or instant of any precision, with or without an offset; `None` of any other text.
    pub fn of_text(text: &str) -> Option<Self> {
        let text = text.trim();
        let (date, time) = text.split_once('T').map_or((text, None), |(date, time)| (date, Some(time)));
        let mut parts = date.split('-');
        let year = digits(parts.next()?, 4)?;
        let month = parts.next().map(|text| digits(text, 2).filter(|month| (1..=12).contains(month)));
        let day = parts.next().map(|text| digits(text, 2).filter(|day| *day >= 1));
        if year == 0 || parts.next().is_some() {
            return None;
        }
        let Some(month) = month else {
            return time.is_none().then(|| Self::days(day_number(year, 1, 1), day_number(year + 1, 1, 1)));
        };
        let month = month?;
        let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        let (first, next) = (day_number(year, month, 1), day_number(next_year, next_month, 1));
        let Some(day) = day else { return time.is_none().then(|| Self::days(first, next)) };
        let today = first + day? - 1;
        if today >= next {
            return None;
        }
        match time {
            None => Some(Self::days(today, today + 1)),
            Some(time) => {
                let (from_ms, length_ms) = of_day(time)?;
                let from_ms = today * DAY_MS + from_ms;
                Some(Self { from_ms, until_ms: from_ms + length_ms })
            }
        }
    }

    /// Of an element: a text, a Period, or a Timing by its outer limits. `None` where it has no time.
    pub fn of_element(element: &Value) -> Option<Self> {
        if let Some(text) = element.as_str() {
            return Self::of_text(text);
        }
        let events = element.get("event").and_then(Value::as_array).into_iter().flatten();
        let events = events.filter_map(|event| Self::of_text(event.as_str()?));
        let bounds = element.get("repeat").and_then(|repeat| Self::of_period(repeat.get("boundsPeriod")?));
        events.chain(bounds).chain(Self::of_period(element)).reduce(Self::hull)
    }

    fn of_period(period: &Value) -> Option<Self> {
        let part = |name| period.get(name).and_then(Value::as_str).and_then(Self::of_text);
        match (part("start"), part("end")) {
            (None, None) => None,
            (Some(start), None) => Some(Self { until_ms: i64::MAX, ..start }),
            (None, Some(end)) => Some(Self { from_ms: i64::MIN, ..end }),
            // One that ends before it starts is as long as its start.
            (Some(start), Some(end)) => {
                Some(Self { from_ms: start.from_ms, until_ms: end.until_ms.max(start.until_ms) })
            }
        }
    }

    fn hull(self, other: Self) -> Self {
        Self { from_ms: self.from_ms.min(other.from_ms), until_ms: self.until_ms.max(other.until_ms) }
    }

    const fn days(first: i64, next: i64) -> Self {
        Self { from_ms: first * DAY_MS, until_ms: next * DAY_MS }
    }

    const fn within(self, other: Self) -> bool {
        other.from_ms <= self.from_ms && self.until_ms <= other.until_ms
    }

    /// The days since 1970 of which it is one, or a part.
    pub(super) fn day(self) -> Option<i64> {
        let day = self.from_ms.div_euclid(DAY_MS);
        self.within(Self {
            from_ms: day.checked_mul(DAY_MS)?,
            until_ms: day.checked_add(1)?.checked_mul(DAY_MS)?,
        })
        .then_some(day)
    }
}

/// The prefixes (search.html, "Prefixes").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
    Sa,
    Eb,
    Ap,
}

impl Prefix {
    /// The prefix of a value and the rest of it; `eq` where there is none.
    pub(super) fn of(text: &str) -> (Self, &str) {
        let all = [
            ("eq", Self::Eq),
            ("ne", Self::Ne),
            ("gt", Self::Gt),
            ("ge", Self::Ge),
            ("lt", Self::Lt),
            ("le", Self::Le),
            ("sa", Self::Sa),
            ("eb", Self::Eb),
            ("ap", Self::Ap),
        ];
        let strip = |(name, prefix): (&str, Self)| Some((prefix, text.strip_prefix(name)?));
        all.into_iter().find_map(strip).unwrap_or((Self::Eq, text))
    }
}

/// A time that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Date {
    pub prefix: Prefix,
    /// Of `ap` with what it reaches further.
    pub interval: Interval,
}

impl Date {
    /// Of a value without escapes; `None` where it is no time. `now_ms` is for `ap`.
    pub(super) fn parse(text: &str, now_ms: i64) -> Option<Self> {
        let (prefix, text) = Prefix::of(text);
        let mut interval = Interval::of_text(text)?;
        if prefix == Prefix::Ap {
            let before = interval.from_ms.saturating_sub(now_ms);
            let after = now_ms.saturating_sub(interval.until_ms);
            let reach = before.max(after).max(0) / APPROXIMATE_PART;
            interval = Interval {
                from_ms: interval.from_ms.saturating_sub(reach),
                until_ms: interval.until_ms.saturating_add(reach),
            };
        }
        Some(Self { prefix, interval })
    }

    /// Whether a resource's time lies as it is asked.
    pub(super) const fn admits(&self, target: Interval) -> bool {
        let search = self.interval;
        let above = target.until_ms > search.until_ms;
        let below = target.from_ms < search.from_ms;
        match self.prefix {
            Prefix::Eq => target.within(search),
            Prefix::Ne => !target.within(search),
            Prefix::Gt => above,
            Prefix::Lt => below,
            Prefix::Ge => above || target.within(search),
            Prefix::Le => below || target.within(search),
            Prefix::Sa => target.from_ms >= search.until_ms,
            Prefix::Eb => target.until_ms <= search.from_ms,
            Prefix::Ap => target.from_ms < search.until_ms && target.until_ms > search.from_ms,
        }
    }

    /// Within which ranges the two ends of what it admits lie: the start, and the first millisecond after the end.
    pub(super) const fn ranges(&self) -> (Range, Range) {
        let Interval { from_ms, until_ms } = self.interval;
        let any = Range::ANY;
        match self.prefix {
            Prefix::Eq => (Range::new(from_ms, until_ms - 1), Range::new(from_ms + 1, until_ms)),
            Prefix::Ne => (any, any),
            Prefix::Gt => (any, Range::new(until_ms + 1, i64::MAX)),
            Prefix::Ge => (any, Range::new(from_ms + 1, i64::MAX)),
            Prefix::Lt => (Range::new(i64::MIN, from_ms - 1), any),
            Prefix::Le => (Range::new(i64::MIN, until_ms - 1), any),
            Prefix::Sa => (Range::new(until_ms, i64::MAX), Range::new(until_ms + 1, i64::MAX)),
            Prefix::Eb => (Range::new(i64::MIN, from_ms - 1), Range::new(i64::MIN, from_ms)),
            Prefix::Ap => (Range::new(i64::MIN, until_ms - 1), Range::new(from_ms + 1, i64::MAX)),
        }
    }
}

/// The start and the length of a time of day with its offset, in milliseconds.
fn of_day(text: &str) -> Option<(i64, i64)> {
    // A plus that was not escaped in a URL arrives as a space.
    let (clock, offset_ms) = match text.rfind(['Z', '+', '-', ' ']) {
        Some(at) => (&text[..at], offset(&text[at..])?),
        None => (text, 0),
    };
    let mut parts = clock.split(':');
    let hour = digits(parts.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = digits(parts.next()?, 2).filter(|minute| *minute < 60)?;
    let whole = hour * HOUR_MS + minute * MINUTE_MS - offset_ms;
    let Some(seconds) = parts.next() else { return Some((whole, MINUTE_MS)) };
    if parts.next().is_some() {
        return None;
    }
    let (seconds, fraction) = seconds.split_once('.').map_or((seconds, None), |(a, b)| (a, Some(b)));
    // A leap second is the first of the next minute.
    let whole = whole + digits(seconds, 2).filter(|second| *second <= 60)? * SECOND_MS;
    let Some(fraction) = fraction else { return Some((whole, SECOND_MS)) };
    let given = fraction.len();
    if given == 0 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let first = &fraction[..given.min(3)];
    let scale = [100, 10, 1][first.len() - 1];
    Some((whole + digits(first, first.len())? * scale, 1))
}

fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.split_at(1) {
        ("Z", "") => return Some(0),
        ("+" | " ", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let hours = digits(hours, 2).filter(|hours| *hours <= 14)?;
    let minutes = digits(minutes, 2).filter(|minutes| *minutes < 60)?;
    Some(sign * (hours * HOUR_MS + minutes * MINUTE_MS))
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let valid = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if valid { text.parse().ok() } else { None }
}

/// Days since 1970-01-01 of a day of the Gregorian calendar, by counting from March of year 0.
const fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}
