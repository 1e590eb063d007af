//! What stands in the place of the exporter in a program that was built without traces: nobody wants any.

use super::Span;
use crate::generation::Current;

/// Nothing.
#[derive(Debug)]
pub struct Exporter;

impl Exporter {
    /// There is nothing to wait for.
    pub async fn finish(self) {}
}

/// Starts nothing.
pub fn start(_current: Current, _box_id: &str) -> Exporter {
    Exporter
}

pub(super) const fn are_on() -> bool {
    false
}

pub(super) const fn wants(_msg: i64) -> bool {
    false
}

pub(super) fn record(_span: Span) {}
