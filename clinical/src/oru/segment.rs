//! Segments in ER7 with the usual delimiters, escaped (HL7 v2.5.1, 2.7).
//!
//! The table of what becomes what is that of `mllp/src/escape.rs`, which knows bytes and this room does not: a test of
//! the daemon holds that both encode alike, and one here that our own normalizer reads back what was written.

use std::{borrow::Cow, fmt::Write as _};

use crate::reading::Instant;

/// The delimiters of MSH-1 and MSH-2 that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Separators;

impl Separators {
    /// As MSH-1 and MSH-2 declare them.
    pub const DECLARED: &'static str = "|^~\\&";
}

/// Text as one value: delimiters by their letters, control characters as `\Xhh\`.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    let special = |c: char| Separators::DECLARED.contains(c) || c.is_ascii_control();
    if !text.contains(special) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        let letter = match c {
            '|' => 'F',
            '^' => 'S',
            '&' => 'T',
            '~' => 'R',
            '\\' => 'E',
            control if control.is_ascii_control() => {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "\\X{:02X}\\", u32::from(control));
                continue;
            }
            other => {
                escaped.push(other);
                continue;
            }
        };
        escaped.extend(['\\', letter, '\\']);
    }
    Cow::Owned(escaped)
}

/// A segment that is being written, field by field.
pub(super) struct Line(String);

impl Line {
    pub(super) fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// MSH with its delimiters: the next field is MSH-3.
    pub(super) fn header() -> Self {
        Self(format!("MSH{}", Separators::DECLARED))
    }

    /// The next field, of one value.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.0.push('|');
        self.0.push_str(&escape(text));
        self
    }

    /// The next field, of components; empty ones at its end are not written.
    pub(super) fn parts(&mut self, parts: &[&str]) -> &mut Self {
        let last = parts.iter().rposition(|part| !part.is_empty()).map_or(0, |at| at + 1);
        self.0.push('|');
        for (n, part) in parts[..last].iter().enumerate() {
            if n > 0 {
                self.0.push('^');
            }
            self.0.push_str(&escape(part));
        }
        self
    }

    /// So many empty fields.
    pub(super) fn empty(&mut self, fields: usize) -> &mut Self {
        self.0.extend(std::iter::repeat_n('|', fields));
        self
    }

    /// The segment with its end; empty fields at its end are not written.
    pub(super) fn end(&mut self) -> String {
        let mut line = std::mem::take(&mut self.0);
        line.truncate(line.trim_end_matches('|').len());
        line.push('\r');
        line
    }
}

/// `YYYYMMDDHHMMSS[.sss]+ZZZZ`; `None` outside the years 1 to 9999. Without an offset it is in UTC, and so it is where
/// the offset is wider than any in use (14 hours).
pub(super) fn time(at: Instant, offset_minutes: Option<i16>) -> Option<String> {
    let minutes = offset_minutes.filter(|minutes| minutes.abs() <= 14 * 60).unwrap_or(0);
    let offset = jiff::tz::Offset::from_seconds(i32::from(minutes) * 60).ok()?;
    let civil = offset.to_datetime(jiff::Timestamp::from_millisecond(at.0).ok()?);
    let milliseconds = at.0.rem_euclid(1_000);
    let fraction = if milliseconds == 0 { String::new() } else { format!(".{milliseconds:03}") };
    let sign = if minutes < 0 { '-' } else { '+' };
    let (hours, rest) = (minutes.abs() / 60, minutes.abs() % 60);
    (civil.year() >= 1)
        .then(|| format!("{}{fraction}{sign}{hours:02}{rest:02}", civil.strftime("%Y%m%d%H%M%S")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_and_control_characters_are_escaped_and_nothing_else_is() {
        assert_eq!(escape("a|b^c&d~e\\f\rg"), "a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f\\X0D\\g");
        assert!(matches!(escape("Müller 5,5 mmol/L"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_line_ends_with_its_last_value() {
        assert_eq!(
            Line::new("NTE").text("1").empty(1).parts(&["a", "", "b", ""]).empty(3).end(),
            "NTE|1||a^^b\r"
        );
        assert_eq!(Line::new("PID").parts(&["", ""]).text("x").end(), "PID||x\r");
    }

    #[test]
    fn times_have_an_offset_and_milliseconds_where_there_are_some() {
        let at = Instant(1_735_707_600_000); // 2025-01-01T05:00:00Z
        assert_eq!(time(at, Some(-300)).as_deref(), Some("20250101000000-0500"));
        assert_eq!(time(at, None).as_deref(), Some("20250101050000+0000"));
        assert_eq!(time(Instant(at.0 + 7), Some(345)).as_deref(), Some("20250101104500.007+0545"));
        assert_eq!(time(at, Some(900)).as_deref(), Some("20250101050000+0000"));
        assert_eq!(time(Instant(i64::MIN), None), None);
    }
}
