//! The time of day, read in one place and handed in everywhere else.

use std::{
    sync::OnceLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// Milliseconds since 1970-01-01T00:00:00Z by the wall clock.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// What the wall clock showed at a moment of the other, as it goes now.
pub fn wall_of(moment: Instant) -> SystemTime {
    let now = SystemTime::now();
    now.checked_sub(moment.elapsed()).unwrap_or(now)
}

/// Milliseconds on a clock that nobody sets, from a fixed point in this process.
pub fn monotonic_ms() -> i64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as i64
}

/// A timestamp for people and FHIR: RFC 3339, UTC, seconds.
pub fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| "invalid".to_owned(), |t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// A FHIR instant: RFC 3339, UTC, milliseconds.
pub fn instant(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(
        |_| "1970-01-01T00:00:00.000Z".to_owned(),
        |t| t.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
    )
}

/// A date of HTTP (RFC 9110, 5.6.7), to the second.
pub fn http_date(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| String::new(), |t| t.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

/// A date of HTTP (RFC 9110, 5.6.7, the form that is to be sent), in milliseconds; `None` where it is none.
pub fn of_http_date(text: &str) -> Option<i64> {
    let read = jiff::fmt::strtime::parse("%a, %d %b %Y %H:%M:%S GMT", text.trim()).ok()?;
    let at = read.to_datetime().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(at.timestamp().as_millisecond())
}

/// A timestamp for MSH-7: HL7 v2 TS with milliseconds and offset.
pub fn hl7_stamp(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| "19700101000000".to_owned(), |t| t.strftime("%Y%m%d%H%M%S%.3f+0000").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_of_http_is_read_as_it_is_written_and_nothing_else_is() {
        // RFC 9110, 5.6.7.
        assert_eq!(of_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_000));
        for ms in [0, 951_782_400_000, 1_772_409_600_000] {
            assert_eq!(of_http_date(&http_date(ms)), Some(ms), "{ms}");
        }
        for text in ["", "1994-11-06", "Sun, 06 Nov 1994 08:49:37", "Sun, 31 Feb 1994 08:49:37 GMT"] {
            assert_eq!(of_http_date(text), None, "{text}");
        }
    }

    #[test]
    fn stamps_have_the_form_their_readers_expect() {
        assert_eq!(hl7_stamp(1_772_323_200_123), "20260301000000.123+0000");
        assert_eq!(rfc3339(1_772_323_200_123), "2026-03-01T00:00:00Z");
        assert_eq!(instant(1_772_323_200_123), "2026-03-01T00:00:00.123Z");
        assert_eq!(instant(1_772_323_200_000), "2026-03-01T00:00:00.000Z");
        assert_eq!(http_date(1_772_323_200_123), "Sun, 01 Mar 2026 00:00:00 GMT");
    }
}
