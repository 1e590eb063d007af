//! What was done to values or inferred of them, counted, to be told once a file.

use std::collections::BTreeMap;

/// Counts by what is to be said of them, which is a fixed text.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<&'static str, u64>);

/// Said of numbers with more decimals than are kept.
pub(super) const ROUNDED: &str = "values with more than nine decimals were rounded to nine";

impl Tally {
    /// Counts one where `holds`.
    pub(super) fn count(&mut self, what: &'static str, holds: bool) {
        if holds {
            *self.0.entry(what).or_default() += 1;
        }
    }

    /// A sentence for each.
    pub(super) fn notes(self) -> impl Iterator<Item = String> {
        self.0.into_iter().map(|(what, count)| format!("{count} {what}"))
    }
}
