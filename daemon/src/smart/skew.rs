//! How far the server's clock is from ours, by the `Date` of its answers. Pure: both times are handed in.
//!
//! An assertion whose `iat` lies in the server's future is refused, so claims are made by the server's clock. But
//! a server, or whatever answers in its place, must not move our claims wherever it likes: a difference beyond
//! [`FOLLOWED_MOST_S`] is told to people and not followed.

/// The largest difference that is followed, in seconds: a box without NTP drifts by minutes in a year; beyond a
/// quarter of an hour somebody set a clock or a zone wrong, and that is to be mended, not hidden.
pub const FOLLOWED_MOST_S: i64 = 900;

/// What is known of the server's clock, in seconds that it is ahead of ours (negative: behind).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Skew {
    /// No answer of this server has had a `Date` yet.
    #[default]
    Unknown,
    /// By so much, and claims are made accordingly.
    Followed(i64),
    /// By so much, which is beyond the bound: claims are made by our own clock.
    TooLarge(i64),
}

impl Skew {
    /// Reads the `Date` of an answer (RFC 9110, section 6.6.1) that came at `now_ms` by our clock; `None` where it
    /// is no date.
    pub fn of(date: &str, now_ms: i64) -> Option<Self> {
        let server = jiff::fmt::rfc2822::parse(date.trim()).ok()?.timestamp().as_second();
        // The server's second has begun when it writes it, and half of it has passed on the average.
        let ahead_s = (server.saturating_mul(1_000).saturating_add(500) - now_ms).div_euclid(1_000);
        Some(if ahead_s.abs() <= FOLLOWED_MOST_S { Self::Followed(ahead_s) } else { Self::TooLarge(ahead_s) })
    }

    /// Seconds to add to our time for the server's.
    pub fn correction_s(self) -> i64 {
        match self {
            Self::Followed(ahead_s) => ahead_s,
            Self::Unknown | Self::TooLarge(_) => 0,
        }
    }

    /// What was measured, in seconds, followed or not.
    pub fn measured_s(self) -> Option<i64> {
        match self {
            Self::Unknown => None,
            Self::Followed(ahead_s) | Self::TooLarge(ahead_s) => Some(ahead_s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-01T00:00:00Z.
    const NOW_MS: i64 = 1_772_323_200_000;

    #[test]
    fn the_date_of_an_answer_is_followed_up_to_a_quarter_of_an_hour_and_no_further() {
        for (date, at_ms, wanted) in [
            ("Sun, 01 Mar 2026 00:00:00 GMT", NOW_MS, Skew::Followed(0)),
            ("Sun, 01 Mar 2026 00:00:00 GMT", NOW_MS + 999, Skew::Followed(-1)),
            ("Sun, 01 Mar 2026 00:10:00 GMT", NOW_MS, Skew::Followed(600)),
            ("Sat, 28 Feb 2026 23:50:00 GMT", NOW_MS, Skew::Followed(-600)),
            ("Sun, 01 Mar 2026 00:15:00 GMT", NOW_MS, Skew::Followed(900)),
            ("Sun, 01 Mar 2026 00:15:01 GMT", NOW_MS, Skew::TooLarge(901)),
            ("Sat, 28 Feb 2026 23:45:00 GMT", NOW_MS, Skew::Followed(-900)),
            ("Sat, 28 Feb 2026 23:44:59 GMT", NOW_MS, Skew::TooLarge(-901)),
            ("Sun, 01 Mar 2026 05:00:00 GMT", NOW_MS, Skew::TooLarge(18_000)),
        ] {
            let measured = Skew::of(date, at_ms);
            assert_eq!(measured, Some(wanted), "{date}");
            let follows = matches!(wanted, Skew::Followed(_));
            assert_eq!(wanted.correction_s() != 0, follows && wanted.measured_s() != Some(0));
        }
        for noise in ["", "yesterday", "1772323200", "Sun, 01 Mar", "Fri, 31 Dec 99999 23:59:59 GMT"] {
            assert_eq!(Skew::of(noise, NOW_MS), None, "{noise}");
        }
    }
}
