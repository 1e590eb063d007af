//! Deferred writes that a later window of the same patient has made stale.
//!
//! Invariant: only that is stale of which nothing stands, or may stand, at the destination: an amendment of what a chart
//! shows is never left out. A later window of the same length, zone and policy has a row there that was sent or is to be.

use rusqlite::{Connection, params};

use crate::{
    error::WriteError,
    queue::{self, Note, State, Step},
    server,
};

/// Why a row was superseded: stored, and shown to people.
pub(crate) const STALE: &str = "stale: a later window of this patient is written in its place";

/// Deferred rows of a kind whose window is overtaken by a later one of its patient.
pub(crate) const OVERTAKEN_WINDOWS: &str = "
  SELECT o.id FROM outbox o INDEXED BY outbox_state
  JOIN outcome_window w ON w.id = o.window_id
  WHERE o.destination = ?1 AND o.state = 'deferred' AND o.kind = ?2
    AND EXISTS (
      SELECT 1 FROM outcome_window later JOIN outbox n ON n.window_id = later.id AND n.destination = o.destination
      WHERE later.patient = w.patient AND later.days = w.days AND later.end_day > w.end_day
        AND later.zone = w.zone AND later.policy = w.policy
        AND (n.state IN ('pending', 'leased', 'deferred', 'ambiguous') OR (n.state = 'delivered' AND n.server = ?4)))
    AND NOT EXISTS (
      SELECT 1 FROM outbox s WHERE s.window_id = o.window_id AND s.destination = o.destination
        AND s.server = ?4 AND (s.state IN ('delivered', 'leased', 'ambiguous') OR (s.state = 'quarantined' AND s.reason = ?3)))
  ORDER BY o.id";

/// Supersedes them, with what depends on them; returns how many.
pub(crate) fn supersede(
    conn: &Connection,
    destination: &str,
    kind: &str,
    at: i64,
) -> Result<usize, WriteError> {
    let server = server::number(conn, destination)?;
    let stale: Vec<i64> = conn
        .prepare_cached(OVERTAKEN_WINDOWS)?
        .query_map(params![destination, kind, queue::UNPROVEN, server], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut gone = 0;
    for id in stale {
        gone += along(conn, id, at)?;
    }
    Ok(gone)
}

fn along(conn: &Connection, id: i64, at: i64) -> Result<usize, WriteError> {
    let row = queue::place(conn, id)?;
    // Superseded already, with the row it depends on.
    // And what a person wanted said goes, whichever window is written.
    if !matches!(row.state, State::Deferred | State::Pending) || row.window_id == 0 {
        return Ok(0);
    }
    queue::step(conn, &row, Step::Supersede, Note { reason: Some(STALE), at, ..Note::default() })?;
    let mut gone = 1;
    for below in queue::dependents(conn, id)? {
        gone += along(conn, below, at)?;
    }
    Ok(gone)
}
