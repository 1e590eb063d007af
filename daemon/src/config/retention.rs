//! `[retention]` of a site's file: for how long what is stored of the site is kept. What is not named is kept for ever.

use std::{ops::RangeInclusive, time::Duration};

use outbox::Prunable;

use super::{section::Section, value::spoken};

const DAY: Duration = Duration::from_secs(86_400);
/// The shortest; a rehearsal wants seconds, and what stands or may still be asked for is kept whatever is written here.
const LEAST: Duration = Duration::from_secs(1);
/// The longest: thirty years, beyond which no rule goes; who wants them for ever leaves the key out.
const MOST: Duration = Duration::from_secs(30 * 365 * 86_400);
/// What a fault suggests: a quarter, in which questions about a result are asked.
const USUAL: Duration = Duration::from_secs(90 * 86_400);
/// The shortest for messages: longer than any resend is known as one, and than any window reaches back.
const LEAST_MESSAGES: Duration = Duration::from_secs(180 * 86_400);
/// The shortest for readings: a year and what may be amended of it.
const LEAST_READINGS: Duration = Duration::from_secs(400 * 86_400);
/// The shortest for what is only looked back at.
const LEAST_PAST: Duration = Duration::from_secs(30 * 86_400);

/// What a site's file says of keeping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// After so long the bytes of settled rows that nobody needs any more are removed: 1 second to 30 years; `None` keeps
    /// them, as with all below.
    pub written: Option<Duration>,
    /// The bytes of messages, since they came: 180 days at least.
    pub messages: Option<Duration>,
    /// Readings and app events, by the day that they are of: 400 days at least.
    pub readings: Option<Duration>,
    /// Outcomes of versions, since a later one replaced them: 30 days at least.
    pub versions: Option<Duration>,
    /// Settled entries of the quarantine and the identity queue: 30 days at least.
    pub quarantine: Option<Duration>,
    /// Versions of posted resources, since a later one replaced them: 30 days at least.
    pub resources: Option<Duration>,
}

impl Retention {
    /// How long something is kept; `None` is for ever.
    pub fn of(&self, what: Prunable) -> Option<Duration> {
        match what {
            Prunable::Messages => self.messages,
            Prunable::Readings | Prunable::AppEvents => self.readings,
            Prunable::Versions => self.versions,
            Prunable::Quarantine | Prunable::Identity => self.quarantine,
            Prunable::Resources => self.resources,
        }
    }

    /// Each key as it would be written in the file; `keep` where nothing is removed.
    pub fn in_words(&self) -> [(&'static str, String); 6] {
        let words = |kept: Option<Duration>| kept.map_or_else(|| "keep".to_owned(), spoken);
        [
            ("written", words(self.written)),
            ("messages", words(self.messages)),
            ("readings", words(self.readings)),
            ("versions", words(self.versions)),
            ("quarantine", words(self.quarantine)),
            ("resources", words(self.resources)),
        ]
    }
}

/// Reads `[retention]`.
pub(super) fn read_retention(root: &Section<'_>) -> Retention {
    let read = root.table("retention", |section| {
        let kept = |key, range: RangeInclusive<Duration>, usual| section.duration(key, range, usual);
        Some(Retention {
            written: kept("written", LEAST..=MOST, USUAL),
            messages: kept("messages", LEAST_MESSAGES..=MOST, 2 * LEAST_READINGS),
            readings: kept("readings", LEAST_READINGS..=MOST, 3_650 * DAY),
            versions: kept("versions", LEAST_PAST..=MOST, LEAST_READINGS),
            quarantine: kept("quarantine", LEAST_PAST..=MOST, LEAST_READINGS),
            resources: kept("resources", LEAST_PAST..=MOST, LEAST_READINGS),
        })
    });
    read.unwrap_or_default()
}
