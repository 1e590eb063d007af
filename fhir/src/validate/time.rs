//! The order of dates and times of different precision.

use jiff::{Timestamp, ToSpan, civil::Date};

/// Whether one `dateTime` is surely later than another: no reading of the two, with whatever of them is not said, puts
/// it before. Texts that are no dates are not.
pub(super) fn is_surely_later(one: &str, other: &str) -> bool {
    if let (Ok(one), Ok(other)) = (one.parse::<Timestamp>(), other.parse::<Timestamp>()) {
        return one > other;
    }
    let (Some((first, _)), Some((_, last))) = (days(one), days(other)) else { return false };
    // A day without a zone may be the one before or after that of an instant.
    let slack = if one.contains('T') == other.contains('T') { 0 } else { 1 };
    last.checked_add(slack.days()).is_ok_and(|last| first > last)
}

/// The first and the last day that a text can mean.
fn days(text: &str) -> Option<(Date, Date)> {
    let text = text.split('T').next().unwrap_or_default();
    let part = |at: usize| text.split('-').nth(at).map(str::parse::<i16>);
    let year = part(0)?.ok()?;
    let (month, day) = (part(1), part(2));
    let month = match month {
        None => return Some((Date::new(year, 1, 1).ok()?, Date::new(year, 12, 31).ok()?)),
        Some(month) => i8::try_from(month.ok()?).ok()?,
    };
    match day {
        None => {
            let first = Date::new(year, month, 1).ok()?;
            Some((first, first.last_of_month()))
        }
        Some(day) => {
            let day = Date::new(year, month, i8::try_from(day.ok()?).ok()?).ok()?;
            Some((day, day))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_later_in_every_reading_is_later() {
        for (one, other, later) in [
            ("2024-01-02", "2024-01-01", true),
            ("2024-01-01", "2024-01-01", false),
            ("2024-01", "2024-01-01", false),
            ("2024-02", "2024-01-31", true),
            ("2025", "2024", true),
            ("2024-01-01T00:00:01Z", "2024-01-01T00:00:00Z", true),
            ("2024-01-01T01:00:00+02:00", "2024-01-01T00:00:00Z", false),
            ("2024-01-02T01:00:00+09:00", "2024-01-01", false),
            ("2024-01-03T01:00:00Z", "2024-01-01", true),
            ("x", "2024", false),
            ("2024-13", "2023", false),
        ] {
            assert_eq!(is_surely_later(one, other), later, "{one} {other}");
        }
    }
}
