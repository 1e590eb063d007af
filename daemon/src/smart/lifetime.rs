//! When a token is renewed, and when it is no longer used. Pure: chance is handed in.
//!
//! A token is renewed while the old one still counts, so that no delivery waits for it: a tenth of its life before
//! its end (57 s of Millennium's 570 s), and up to half of that earlier by chance, so that many boxes do not
//! ask in step. It is used until a little before its end, for a request takes time to arrive.

use std::time::Duration;

/// The life of a token whose answer names none: the longest that SMART Backend Services recommends.
pub const UNSTATED: Duration = Duration::from_secs(300);
/// The longest life that is believed: one day, so that a wrong number does not keep a token for ever.
pub const MOST: Duration = Duration::from_secs(86_400);
/// The least margin of a token that lives long enough for it: one slow answer.
const LEAST_MARGIN: Duration = Duration::from_secs(5);
/// The most: a token of a day need not be renewed hours before its end.
const MOST_MARGIN: Duration = Duration::from_secs(300);
/// A token is not used in its last seconds.
const LAST: Duration = Duration::from_secs(3);

/// What follows from a token's life, counted from the moment at which it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// From then on it is renewed.
    pub renew_after: Duration,
    /// From then on it is not used any more; never before `renew_after`.
    pub stop_after: Duration,
}

/// Plans a token that lives so long. `chance` is in 0..1.
pub fn plan(lives: Duration, chance: f64) -> Plan {
    let lives = lives.min(MOST);
    // A token of a few seconds is a test's, or a mistake: half of it is used all the same.
    let margin = (lives / 10).clamp(LEAST_MARGIN, MOST_MARGIN).min(lives / 3);
    let earlier = margin.mul_f64(0.5 * chance.clamp(0.0, 1.0));
    Plan { renew_after: lives - margin - earlier, stop_after: lives - LAST.min(lives / 10) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_a_tenth_of_its_life_before_its_end_and_never_used_to_the_last_moment() {
        let ms = Duration::from_millis;
        for (lives_ms, renew_late, renew_early, stop) in [
            (570_000, 513_000, 484_500, 567_000),
            (300_000, 270_000, 255_000, 297_000),
            (60_000, 54_000, 51_000, 57_000),
            (30_000, 25_000, 22_500, 27_000),
            (3_000, 2_000, 1_500, 2_700),
            (3_600_000, 3_300_000, 3_150_000, 3_597_000),
            // Ten days are believed for one.
            (864_000_000, 86_100_000, 85_950_000, 86_397_000),
        ] {
            let late = plan(ms(lives_ms), 0.0);
            assert_eq!((late.renew_after, late.stop_after), (ms(renew_late), ms(stop)), "{lives_ms}");
            assert_eq!(plan(ms(lives_ms), 1.0).renew_after, ms(renew_early), "{lives_ms}");
            assert!(late.renew_after < late.stop_after);
        }
        assert_eq!(plan(Duration::ZERO, 0.5).stop_after, Duration::ZERO);
    }
}
