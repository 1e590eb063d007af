//! Deferred writes that a later window of the same patient has made stale.
//!
//! Invariants: only that is stale of which nothing stands, or may stand, at the destination: an amendment of what a chart
//! shows is never left out. A later window of the same length, zone and policy has a row there that was sent or is to be.
//! Only what waits for the mode to change is left out, never what waits for somebody's consent or for its form to be
//! listed again; and what waits so is no reason to leave out what is earlier. What a person wanted goes, whichever window is
//! written.

use rusqlite::{Connection, ToSql};

use crate::{
    error::WriteError,
    queue::{self, Note, State, Step},
    server,
};

/// Why a row was superseded: stored, and shown to people.
pub(crate) const STALE: &str = "stale: a later window of this patient is written in its place";

/// Rows of a kind, deferred for one of so many reasons, whose window is overtaken by a later one of its patient.
pub(crate) fn overtaken_windows(reasons: usize) -> String {
    let places: Vec<String> = (5..reasons + 5).map(|place| format!("?{place}")).collect();
    let reasons = places.join(", ");
    format!(
        "SELECT o.id FROM outbox o INDEXED BY outbox_state
         JOIN outcome_window w ON w.id = o.window_id
         WHERE o.destination = ?1 AND o.state = 'deferred' AND o.kind = ?2 AND o.reason IN ({reasons})
           AND NOT EXISTS (SELECT 1 FROM intent_row i WHERE i.row_id = o.id)
           AND EXISTS (
             SELECT 1 FROM outcome_window later
             JOIN outbox n ON n.window_id = later.id AND n.destination = o.destination
             WHERE later.patient = w.patient AND later.days = w.days AND later.end_day > w.end_day
               AND later.zone = w.zone AND later.policy = w.policy
               AND (n.state IN ('pending', 'leased', 'ambiguous') OR (n.state = 'delivered' AND n.server = ?4)
                 OR (n.state = 'deferred' AND n.reason IN ({reasons}))))
           AND NOT EXISTS (
             SELECT 1 FROM outbox s WHERE s.window_id = o.window_id AND s.destination = o.destination AND s.server = ?4
               AND (s.state IN ('delivered', 'leased', 'ambiguous') OR (s.state = 'quarantined' AND s.reason = ?3)))
         ORDER BY o.id"
    )
}

/// Supersedes those that are deferred for one of these reasons, with what depends on them; returns how many.
pub(crate) fn supersede(
    conn: &Connection,
    destination: &str,
    kind: &str,
    reasons: &[String],
    at: i64,
) -> Result<usize, WriteError> {
    let server = server::number(conn, destination)?;
    let fixed: [&dyn ToSql; 4] = [&destination, &kind, &queue::UNPROVEN, &server];
    let reasons_of = reasons.iter().map(|reason| reason as &dyn ToSql);
    let asked: Vec<&dyn ToSql> = fixed.into_iter().chain(reasons_of).collect();
    let stale: Vec<i64> = conn
        .prepare_cached(&overtaken_windows(reasons.len()))?
        .query_map(asked.as_slice(), |row| row.get(0))?
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
