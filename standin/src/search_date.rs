//! Dates in searches: partial dates are spans, periods are spans, and prefixes compare spans (FHIR R4,
//! search, 3.1.1.4.6).
//!
//! A time without an offset is taken as UTC. `ge` and `le` also hold where the spans overlap, as known
//! servers have it; `eq`, the default, holds only where the search's span contains the resource's.

use jiff::{Timestamp, ToSpan, Unit, civil, tz::TimeZone};
use serde_json::Value;

/// From the first to before the last moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    from: Timestamp,
    until: Timestamp,
}

impl Span {
    /// A FHIR date, dateTime or instant of any precision.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let day = |text: &str| text.parse::<civil::Date>().ok();
        let (from, until) = match text.len() {
            4 => day(&format!("{text}-01-01")).map(|from| (from, from.saturating_add(1.year())))?,
            7 => day(&format!("{text}-01")).map(|from| (from, from.saturating_add(1.month())))?,
            10 => day(text).map(|from| (from, from.saturating_add(1.day())))?,
            _ => return Self::of_time(text),
        };
        let utc = |date: civil::Date| date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
        Some(Self { from: utc(from)?, until: utc(until)? })
    }

    fn of_time(text: &str) -> Option<Self> {
        let from = match text.parse::<Timestamp>() {
            Ok(at) => at,
            Err(_) => {
                let local: civil::DateTime = text.parse().ok()?;
                local.to_zoned(TimeZone::UTC).ok()?.timestamp()
            }
        };
        let length = if text.contains('.') { Unit::Millisecond } else { Unit::Second };
        let length = if length == Unit::Second { 1.second() } else { 1.millisecond() };
        Some(Self { from, until: from.checked_add(length).ok()? })
    }

    /// A Period; an open end reaches as far as there is time.
    pub(crate) fn of_period(period: &Value) -> Option<Self> {
        let edge = |key: &str| period[key].as_str().map(|text| Self::parse(text).ok_or(()));
        if !period.is_object() {
            return None;
        }
        let from = edge("start").transpose().ok()?.map_or(Timestamp::MIN, |span| span.from);
        let until = edge("end").transpose().ok()?.map_or(Timestamp::MAX, |span| span.until);
        Some(Self { from, until })
    }

    /// What the parameter `date` of the resource's type means: when a result holds, when a document was
    /// made, when an encounter was, when a Provenance was recorded.
    pub(crate) fn spoken_of(resource: &Value) -> Option<Self> {
        let text = |key: &str| resource[key].as_str().and_then(Self::parse);
        text("effectiveDateTime")
            .or_else(|| Self::of_period(&resource["effectivePeriod"]))
            .or_else(|| Self::of_period(&resource["period"]))
            .or_else(|| text("date"))
            .or_else(|| text("recorded"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prefix {
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    Sa,
    Eb,
    Ap,
}

/// A search value: a prefix and a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compare {
    prefix: Prefix,
    span: Span,
}

impl Compare {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (prefix, rest) = match text.get(..2) {
            Some("eq") => (Prefix::Eq, &text[2..]),
            Some("ne") => (Prefix::Ne, &text[2..]),
            Some("gt") => (Prefix::Gt, &text[2..]),
            Some("lt") => (Prefix::Lt, &text[2..]),
            Some("ge") => (Prefix::Ge, &text[2..]),
            Some("le") => (Prefix::Le, &text[2..]),
            Some("sa") => (Prefix::Sa, &text[2..]),
            Some("eb") => (Prefix::Eb, &text[2..]),
            Some("ap") => (Prefix::Ap, &text[2..]),
            _ => (Prefix::Eq, text),
        };
        Some(Self { prefix, span: Span::parse(rest)? })
    }

    pub(crate) fn holds_of(self, have: Span) -> bool {
        let wanted = self.span;
        let contains = wanted.from <= have.from && have.until <= wanted.until;
        match self.prefix {
            Prefix::Eq => contains,
            Prefix::Ne => !contains,
            Prefix::Gt => have.until > wanted.until,
            Prefix::Lt => have.from < wanted.from,
            Prefix::Ge => have.until > wanted.from,
            Prefix::Le => have.from < wanted.until,
            Prefix::Sa => have.from >= wanted.until,
            Prefix::Eb => have.until <= wanted.from,
            Prefix::Ap => have.from < wanted.until && wanted.from < have.until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_prefix_compares_a_period_as_fhir_says() {
        let window = Span::of_period(&json!({"start": "2026-01-01", "end": "2026-01-14"})).unwrap();
        for (wanted, expected) in [
            ("2026-01", true),
            ("eq2026", true),
            ("2026-01-14", false),
            ("ne2026-01-14", true),
            ("ap2026-01-14", true),
            ("ge2026-01-14", true),
            ("ge2026-01-15", false),
            ("gt2026-01-13", true),
            ("gt2026-01-14", false),
            ("le2026-01-01", true),
            ("lt2026-01-01", false),
            ("sa2025-12-31", true),
            ("sa2026-01-01", false),
            ("eb2026-01-15", true),
            ("eb2026-01-14", false),
        ] {
            assert_eq!(Compare::parse(wanted).unwrap().holds_of(window), expected, "{wanted}");
        }
    }

    #[test]
    fn a_time_is_a_second_or_a_millisecond_long_and_what_is_no_date_is_none() {
        let at = Span::parse("2026-01-01T00:00:00Z").unwrap();
        for (wanted, expected) in [
            ("2026-01-01", true),
            ("2026-01-01T01:00:00+01:00", true),
            ("2026-01-01T00:00:00", true),
            ("2026-01-01T00:00:00.000Z", false),
            ("2026-01-01T00:00:01Z", false),
        ] {
            assert_eq!(Compare::parse(wanted).unwrap().holds_of(at), expected, "{wanted}");
        }
        for no_date in ["", "2026-13", "xx2026", "2026-02-30", "today"] {
            assert!(Compare::parse(no_date).is_none(), "{no_date}");
        }
    }
}
