//! How far long work is: a bar on standard error where that is a terminal, nothing elsewhere.

use indicatif::{ProgressBar, ProgressStyle};

/// Bytes of a page of the store.
const PAGE: u64 = 4_096;

/// A bar.
pub(super) struct Meter(ProgressBar);

impl Meter {
    /// A bar over so many bytes; a hidden one where `shown` is false.
    pub(super) fn new(what: &'static str, bytes: u64, shown: bool) -> Self {
        if !shown {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new(bytes);
        let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {eta}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self(bar)
    }

    /// So many pages are done; goes on.
    pub(super) fn pages(&self, done: u64, total: u64) -> bool {
        self.0.set_length(total.saturating_mul(PAGE));
        self.0.set_position(done.saturating_mul(PAGE));
        true
    }

    /// What is done now.
    pub(super) fn message(&self, what: &'static str) {
        self.0.set_message(what);
    }

    /// It is over.
    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}
