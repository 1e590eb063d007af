//! When an issuer's keys are fetched, and for how long those that are held count. Pure: the time is handed in.
//!
//! Numbers: keys are renewed after what `Cache-Control: max-age` says, at least a minute and at most twelve hours, and after
//! an hour where it says nothing; while that fails the old ones count until they are a day old. A key name that is not known
//! is worth one fetch a minute, however many tokens name it. After a failure nobody asks for ten seconds, or half a minute
//! while there are keys.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::token::Key;

/// Without a word of the issuer.
const MAX_AGE: Duration = Duration::from_secs(3600);
/// What an issuer may ask for.
const MAX_AGE_LEAST: Duration = Duration::from_secs(60);
const MAX_AGE_MOST: Duration = Duration::from_secs(12 * 3600);
/// How long keys count that could not be renewed: a night in which the identity provider is down.
const COUNTS_FOR: Duration = Duration::from_secs(24 * 3600);
/// Between two fetches for key names that are not known.
const UNKNOWN_EVERY: Duration = Duration::from_secs(60);
/// Keys younger than this are those that there are.
const JUST_NOW: Duration = Duration::from_secs(1);
/// After a failure, without keys and with some.
const AGAIN_WITHOUT: Duration = Duration::from_secs(10);
const AGAIN_WITH: Duration = Duration::from_secs(30);

/// What is held of an issuer's keys.
#[derive(Default)]
pub(super) struct Held {
    keys: Arc<[Key]>,
    /// When they were fetched, and for how long they need no renewal.
    fetched: Option<(Instant, Duration)>,
    failed: Option<Instant>,
    /// When a name that was not known was last worth a fetch.
    asked_unknown: Option<Instant>,
}

impl Held {
    /// The keys that count now; `None` where there are none.
    pub(super) fn keys(&self, now: Instant) -> Option<Arc<[Key]>> {
        let (at, _) = self.fetched?;
        (now.saturating_duration_since(at) < COUNTS_FOR).then(|| Arc::clone(&self.keys))
    }

    /// Whether they should be renewed now, by who looks after them.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let old = self.fetched.is_none_or(|(at, age)| now.saturating_duration_since(at) >= age);
        old && self.may_try(now)
    }

    /// Whether the last failure is long enough ago.
    pub(super) fn may_try(&self, now: Instant) -> bool {
        let rest = if self.keys(now).is_some() { AGAIN_WITH } else { AGAIN_WITHOUT };
        self.failed.is_none_or(|at| now.saturating_duration_since(at) >= rest)
    }

    /// Whether a name that is not known is worth a fetch now; it is not again for a minute.
    pub(super) fn take_unknown(&mut self, now: Instant) -> bool {
        let rested = |at: Instant| now.saturating_duration_since(at) >= UNKNOWN_EVERY;
        let young = self.fetched.is_some_and(|(at, _)| now.saturating_duration_since(at) < JUST_NOW);
        if young || !self.may_try(now) || !self.asked_unknown.is_none_or(rested) {
            return false;
        }
        self.asked_unknown = Some(now);
        true
    }

    /// Keys came; `max_age` as the answer said.
    pub(super) fn came(&mut self, keys: Vec<Key>, max_age: Option<Duration>, now: Instant) {
        let age = max_age.unwrap_or(MAX_AGE).clamp(MAX_AGE_LEAST, MAX_AGE_MOST);
        (self.keys, self.fetched, self.failed) = (keys.into(), Some((now, age)), None);
    }

    /// They could not be fetched.
    pub(super) fn failed(&mut self, now: Instant) {
        self.failed = Some(now);
    }
}

/// `max-age` of a Cache-Control (RFC 9111, section 5.2.2.1); zero where it says not to keep it.
pub(super) fn max_age(cache_control: &str) -> Option<Duration> {
    let mut found = None;
    for directive in cache_control.split(',').map(str::trim) {
        if directive.eq_ignore_ascii_case("no-store") || directive.eq_ignore_ascii_case("no-cache") {
            return Some(Duration::ZERO);
        }
        if let Some((name, value)) = directive.split_once('=')
            && name.trim().eq_ignore_ascii_case("max-age")
        {
            found = value.trim().trim_matches('"').parse().ok().map(Duration::from_secs);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn keys_are_renewed_after_their_age_within_bounds_and_count_for_a_day() {
        let t0 = Instant::now();
        for (said, due_s) in [
            (None, 3600),
            (Some(0), 60),
            (Some(59), 60),
            (Some(61), 61),
            (Some(43_200), 43_200),
            (Some(43_201), 43_200),
        ] {
            let mut held = Held::default();
            held.came(Vec::new(), said.map(Duration::from_secs), t0);
            let due = Duration::from_secs(due_s);
            assert!(!held.is_due(t0 + due - SECOND), "{said:?}");
            assert!(held.is_due(t0 + due), "{said:?}");
            assert!(held.keys(t0 + COUNTS_FOR - SECOND).is_some());
            assert!(held.keys(t0 + COUNTS_FOR).is_none());
        }
    }

    #[test]
    fn after_a_failure_nobody_asks_for_a_while_and_old_keys_stay() {
        let t0 = Instant::now();
        let mut held = Held::default();
        assert!(held.is_due(t0));
        held.failed(t0);
        assert!(!held.is_due(t0 + AGAIN_WITHOUT - SECOND) && held.is_due(t0 + AGAIN_WITHOUT));
        held.came(Vec::new(), None, t0);
        let late = t0 + MAX_AGE;
        held.failed(late);
        assert!(held.keys(late).is_some());
        assert!(!held.is_due(late + AGAIN_WITH - SECOND) && held.is_due(late + AGAIN_WITH));
    }

    #[test]
    fn a_key_name_that_is_not_known_is_worth_one_fetch_a_minute() {
        let t0 = Instant::now();
        let mut held = Held::default();
        held.came(Vec::new(), None, t0);
        assert!(!held.take_unknown(t0), "they have just come");
        let t1 = t0 + SECOND;
        assert!(held.take_unknown(t1));
        assert!(!held.take_unknown(t1 + UNKNOWN_EVERY - SECOND));
        assert!(held.take_unknown(t1 + UNKNOWN_EVERY));
    }

    #[test]
    fn a_cache_control_is_read_as_far_as_it_tells_an_age() {
        for (text, age) in [
            ("max-age=300", Some(300)),
            ("public, Max-Age=\"60\"", Some(60)),
            ("no-store, max-age=300", Some(0)),
            ("no-cache", Some(0)),
            ("max-age=soon", None),
            ("s-maxage=5", None),
            ("", None),
        ] {
            assert_eq!(max_age(text), age.map(Duration::from_secs), "{text}");
        }
    }
}
