//! `[retention]`: for how long what is stored of a site is kept. A site's file counts; what it does not name, the main file says for all
//! sites; what neither names is kept for ever, as is what a site's file says `keep` of.

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

/// The word for what is never removed by its age.
const KEEP: &str = "keep";

/// How long something is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kept {
    /// Nothing is said: as the main file has it, and for ever where that has nothing either.
    #[default]
    Unsaid,
    /// For ever, whatever the main file says.
    Forever,
    /// For so long.
    For(Duration),
}

impl Kept {
    /// How long; `None` is for ever.
    pub const fn time(self) -> Option<Duration> {
        match self {
            Self::For(time) => Some(time),
            Self::Unsaid | Self::Forever => None,
        }
    }

    /// This, and the other where nothing is said.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        match self {
            Self::Unsaid => other,
            said => said,
        }
    }
}

/// What a file says of keeping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// After so long the bytes of settled rows that nobody needs any more are removed: 1 second to 30 years.
    pub written: Kept,
    /// The bytes of messages, since they came: 180 days at least.
    pub messages: Kept,
    /// Readings, app events and settled contradictions, by the day that they are of: 400 days at least.
    pub readings: Kept,
    /// Outcomes of versions, since a later one replaced them: 30 days at least.
    pub versions: Kept,
    /// Settled entries of the quarantine and the identity queue: 30 days at least.
    pub quarantine: Kept,
    /// Versions of posted resources, since a later one replaced them: 30 days at least.
    pub resources: Kept,
}

impl Retention {
    /// How long something is kept; `None` is for ever.
    pub fn of(&self, what: Prunable) -> Option<Duration> {
        let kept = match what {
            Prunable::Messages => self.messages,
            Prunable::Readings | Prunable::AppEvents | Prunable::Conflicts => self.readings,
            Prunable::Versions => self.versions,
            Prunable::Quarantine | Prunable::Identity => self.quarantine,
            Prunable::Resources => self.resources,
        };
        kept.time()
    }

    /// What a site's file says, and where it says nothing, what the main file says.
    #[must_use]
    pub const fn over(self, all: &Self) -> Self {
        Self {
            written: self.written.or(all.written),
            messages: self.messages.or(all.messages),
            readings: self.readings.or(all.readings),
            versions: self.versions.or(all.versions),
            quarantine: self.quarantine.or(all.quarantine),
            resources: self.resources.or(all.resources),
        }
    }

    /// Each key as it would be written in the file; `keep` where nothing is removed.
    pub fn in_words(&self) -> [(&'static str, String); 6] {
        let words = |kept: Kept| kept.time().map_or_else(|| KEEP.to_owned(), spoken);
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
        let kept = |key, range: RangeInclusive<Duration>, usual| {
            if section.get(key).and_then(|value| value.as_str()) == Some(KEEP) {
                return Kept::Forever;
            }
            section.duration(key, range, usual).map_or(Kept::Unsaid, Kept::For)
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_counts_before_the_box_and_what_neither_names_is_kept() {
        let (short, long) = (Kept::For(DAY), Kept::For(2 * DAY));
        for (site, all, time) in [
            (Kept::Unsaid, Kept::Unsaid, None),
            (Kept::Unsaid, long, Some(2 * DAY)),
            (short, long, Some(DAY)),
            (Kept::Forever, long, None),
            (short, Kept::Forever, Some(DAY)),
            (Kept::Unsaid, Kept::Forever, None),
        ] {
            let of = |kept| Retention {
                written: kept,
                messages: kept,
                readings: kept,
                versions: kept,
                quarantine: kept,
                resources: kept,
            };
            let both = of(site).over(&of(all));
            assert_eq!(both.written.time(), time, "{site:?} {all:?}");
            for what in Prunable::ALL {
                assert_eq!(both.of(what), time, "{what:?}: {site:?} {all:?}");
            }
        }
    }
}
