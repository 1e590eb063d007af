//! `[retention]` of a site's file: for how long the bytes of what was written are kept.

use std::time::Duration;

use super::{section::Section, value::spoken};

/// The shortest; a rehearsal wants seconds, and what stands or may still be asked for is kept whatever is written here.
const LEAST: Duration = Duration::from_secs(1);
/// The longest: ten years, beyond which no rule for copies goes; who wants them for ever leaves the key out.
const MOST: Duration = Duration::from_secs(3_650 * 86_400);
/// What a fault suggests: a quarter, in which questions about a result are asked.
const USUAL: Duration = Duration::from_secs(90 * 86_400);

/// What a site's file says of keeping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// After so long the bytes of settled rows that nobody needs any more are removed: 1 second to 3,650 days; `None` keeps
    /// them.
    pub written: Option<Duration>,
}

impl Retention {
    /// As it would be written in the file; `keep` where nothing is removed.
    pub fn in_words(&self) -> String {
        self.written.map_or_else(|| "keep".to_owned(), spoken)
    }
}

/// Reads `[retention]`.
pub(super) fn read_retention(root: &Section<'_>) -> Retention {
    let read = root.table("retention", |section| {
        Some(Retention { written: section.duration("written", LEAST..=MOST, USUAL) })
    });
    read.unwrap_or_default()
}
