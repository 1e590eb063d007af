//! When a flat result and a document are of: moments of a window in its own zone.

use super::ProjectionError;
use crate::{
    calendar::{LocalDay, Zone},
    fhir::reading::date_time,
    outcome::Outcome,
    reading::Instant,
};

/// From the first instant after a window back to the last second of its last included date: midnight would be a date
/// that is not included.
const LAST_SECOND_MS: i64 = 1_000;

/// A moment with the offset that the window's zone has then.
pub(super) fn local(outcome: &Outcome, at: Instant) -> Result<String, ProjectionError> {
    let zone = Zone::named(&outcome.period.zone).map_err(|_| ProjectionError::Time)?;
    date_time(at, Some(zone.offset_minutes(at))).map_err(|_| ProjectionError::Time)
}

/// The last second of the window.
pub(super) fn end(outcome: &Outcome) -> Result<String, ProjectionError> {
    local(outcome, Instant(outcome.period.end.0 - LAST_SECOND_MS))
}

/// The last included local date.
pub(super) fn last_day(outcome: &Outcome) -> Result<LocalDay, ProjectionError> {
    outcome.period.last_date.parse().map_err(|_| ProjectionError::Time)
}
