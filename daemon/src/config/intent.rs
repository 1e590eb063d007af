//! `[intent]`: what people want written. In `isthmus.toml` how long an author's word holds, in a site's file what the site
//! takes of it.

use std::time::Duration;

use super::section::Section;

/// How long an author's word holds: what was meant three days ago may no longer be.
const RECONFIRM_AFTER: Duration = Duration::from_secs(72 * 3_600);
/// The shortest; a rehearsal wants seconds.
const LEAST_RECONFIRM: Duration = Duration::from_secs(1);

/// `[intent]` of the main file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntentRule {
    /// After so long without going out an intent wants its author's word again: 1 second to 72 hours, which is the default.
    pub reconfirm_after: Duration,
}

impl Default for IntentRule {
    fn default() -> Self {
        Self { reconfirm_after: RECONFIRM_AFTER }
    }
}

/// `[intent]` of a site's file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteIntent {
    /// Whether people's notes go there as documents; `None` where one of its forms makes documents.
    pub notes: Option<bool>,
    /// Whether goals go there as resources of their own, and not as notes.
    pub goals: bool,
}

/// Reads `[intent]` of the main file.
pub(super) fn read_rule(root: &Section<'_>) -> Option<IntentRule> {
    root.table("intent", |section| {
        let range = LEAST_RECONFIRM..=RECONFIRM_AFTER;
        let after = section.duration("reconfirm_after", range, RECONFIRM_AFTER);
        Some(IntentRule { reconfirm_after: after.unwrap_or(RECONFIRM_AFTER) })
    })
}

/// Reads `[intent]` of a site's file.
pub(super) fn read_site_intent(root: &Section<'_>) -> SiteIntent {
    let read = root.table("intent", |section| {
        Some(SiteIntent {
            notes: section.choice("notes", &[("document", true), ("off", false)], &[]),
            goals: section.choice("goals", &[("note", false), ("goal", true)], &[]).unwrap_or(false),
        })
    });
    read.unwrap_or_default()
}
