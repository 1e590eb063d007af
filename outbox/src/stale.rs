//! Deferred writes that a later window of the same patient has made stale.
//!
//! Invariants: only that is stale of which nothing stands, or may stand, at the destination: an amendment of what a chart
//! shows is never left out. A later window of the same length, zone and policy has a row there that was sent or is to be.
//! Only what waits for the mode to change is left out, never what waits for somebody's consent or for its form to be
//! listed again; and what waits so is no reason to leave out what is earlier. What a person wanted goes, whichever window is
//! written. Where the later window is not written after all, the newest that was left out for it comes back.

use rusqlite::{Connection, OptionalExtension, ToSql, params};

use crate::{
    audit::{self, AuditEntry},
    error::WriteError,
    queue::{self, Note, State, Step},
    server,
};

/// Why a row was superseded: stored, and shown to people.
pub(crate) const STALE: &str = "stale: a later window of this patient is written in its place";

/// Most rows that one command leaves out, beside what depends on them: intake waits for no more, and the statement journal,
/// which SQLite walks after each statement, stays short.
pub(crate) const STALE_MOST: usize = 1_000;

/// What brought a row back: shown to people.
const REVIVED: &str = "the later window that it was left out for is not written";

/// A row of `n` that counts of a later window: it was sent, or is to be. ?4 is the server's number.
fn counts(reasons: &str) -> String {
    format!(
        "(n.state IN ('pending', 'leased', 'ambiguous') OR (n.state = 'delivered' AND n.server = ?4)
          OR (n.state = 'deferred' AND n.reason {reasons}))"
    )
}

/// Windows after `w` of the same patient, length, zone and policy.
const LATER: &str = "later.patient = w.patient AND later.days = w.days AND later.end_day > w.end_day
  AND later.zone = w.zone AND later.policy = w.policy";

/// Rows of a kind, deferred for one of so many reasons, whose window is overtaken by a later one of its patient; of all
/// patients, or of the one that is ?5.
pub(crate) fn overtaken_windows(reasons: usize, of_patient: bool) -> String {
    let places: Vec<String> = (6..reasons + 6).map(|place| format!("?{place}")).collect();
    let reasons = format!("IN ({})", places.join(", "));
    let (by, whose) = match of_patient {
        true => {
            ("outbox_line", "o.patient = ?5 AND o.state IN ('pending', 'leased', 'deferred', 'ambiguous')")
        }
        false => ("outbox_waiting", "?5 IS NULL AND o.state IN ('pending', 'deferred')"),
    };
    let counts = counts(&reasons);
    format!(
        "SELECT o.id FROM outbox o INDEXED BY {by}
         JOIN outcome_window w ON w.id = o.window_id
         WHERE o.destination = ?1 AND {whose} AND o.state = 'deferred' AND o.kind = ?2 AND o.reason {reasons}
           AND NOT EXISTS (SELECT 1 FROM intent_row i WHERE i.row_id = o.id)
           AND EXISTS (
             SELECT 1 FROM outcome_window later
             JOIN outbox n ON n.window_id = later.id AND n.destination = o.destination
             WHERE {LATER} AND {counts})
           AND NOT EXISTS (
             SELECT 1 FROM outbox s WHERE s.window_id = o.window_id AND s.destination = o.destination AND s.server = ?4
               AND (s.state IN ('delivered', 'leased', 'ambiguous') OR (s.state = 'quarantined' AND s.reason = ?3)))
         LIMIT {STALE_MOST}"
    )
}

/// Supersedes those that are deferred for one of these reasons, with what depends on them; of one patient, or of all.
/// Returns how many, and whether there may be more.
pub(crate) fn supersede(
    conn: &Connection,
    destination: &str,
    kind: &str,
    patient: Option<i64>,
    reasons: &[String],
    at: i64,
) -> Result<(usize, bool), WriteError> {
    let server = server::number(conn, destination)?;
    let fixed: [&dyn ToSql; 5] = [&destination, &kind, &queue::UNPROVEN, &server, &patient];
    let reasons_of = reasons.iter().map(|reason| reason as &dyn ToSql);
    let asked: Vec<&dyn ToSql> = fixed.into_iter().chain(reasons_of).collect();
    let stale: Vec<i64> = conn
        .prepare_cached(&overtaken_windows(reasons.len(), patient.is_some()))?
        .query_map(asked.as_slice(), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let (mut gone, more) = (0, stale.len() == STALE_MOST);
    for id in stale {
        gone += along(conn, id, at)?;
    }
    Ok((gone, more))
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

/// The window that was left out last before a window, where nothing of that, of itself or of any later one is written, or
/// is to be: what they were left out for did not come. Its bytes must be kept still.
const NEWEST_LEFT_OUT: &str = "
    SELECT w.id FROM outcome_window gone
    JOIN outcome_window w ON w.patient = gone.patient AND w.days = gone.days AND w.end_day < gone.end_day
      AND w.zone = gone.zone AND w.policy = gone.policy
    WHERE gone.id = ?1 AND EXISTS (
      SELECT 1 FROM outbox o JOIN outbox_body b ON b.row_id = o.id
      WHERE o.window_id = w.id AND o.destination = ?2 AND o.state = 'superseded' AND o.reason = ?3 AND b.bytes IS NOT NULL)
    ORDER BY w.end_day DESC LIMIT 1";

/// The queues in which something of a window, or of one after it, is written, or is to be.
fn written_queues() -> String {
    // Whatever it is deferred for: it waits, and is not given up.
    let counts = "(n.state IN ('pending', 'leased', 'ambiguous', 'deferred') OR (n.state = 'delivered'
      AND n.server = coalesce((SELECT number FROM server v WHERE v.destination = n.destination AND v.in_force = 1), 0)))";
    format!(
        "SELECT n.destination FROM outcome_window w JOIN outcome_window later ON {LATER}
         JOIN outbox n ON n.window_id = later.id
         WHERE w.id = ?1 AND ({counts} OR (n.state = 'quarantined' AND n.reason = ?2))
         UNION SELECT n.destination FROM outbox n WHERE n.window_id = ?1 AND {counts}"
    )
}

/// Whether one of them leads into the chart that a destination leads into.
fn is_written(conn: &Connection, window: i64, destination: &str) -> rusqlite::Result<bool> {
    let mut statement = conn.prepare_cached(&written_queues())?;
    let queues = statement.query_map(params![window, queue::UNPROVEN], |row| row.get::<_, String>(0))?;
    for queue in queues {
        if queue::is_one_chart(&queue?, destination) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Brings back what was left out for a window that is not written after all: the newest window before it, in the form and
/// version in which it was left out, with what depends on it. Called once nothing of the window is to be written any more;
/// does nothing while something of it, or of a window after the one left out, is written or is to be. Returns how many rows
/// came back.
pub(crate) fn revive(
    conn: &Connection,
    window: i64,
    destination: &str,
    at: i64,
) -> Result<usize, WriteError> {
    if window == 0 {
        return Ok(0);
    }
    let left_out: Option<i64> = conn
        .prepare_cached(NEWEST_LEFT_OUT)?
        .query_row(params![window, destination, STALE], |row| row.get(0))
        .optional()?;
    let Some(left_out) = left_out else { return Ok(0) };
    if is_written(conn, left_out, destination)? {
        return Ok(0);
    }
    let rows: Vec<i64> = conn
        .prepare_cached(
            // Of an earlier version, left out too, nothing is to be seen.
            "SELECT o.id FROM outbox o JOIN outbox_body b ON b.row_id = o.id AND b.bytes IS NOT NULL
             WHERE o.window_id = ?1 AND o.destination = ?2 AND o.state = 'superseded' AND o.reason = ?3
               AND o.version = (SELECT max(version) FROM outbox l WHERE l.window_id = ?1 AND l.destination = ?2
                                  AND l.state = 'superseded' AND l.reason = ?3)
             ORDER BY o.id",
        )?
        .query_map(params![left_out, destination, STALE], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut back = Vec::new();
    for id in rows {
        let row = queue::place(conn, id)?;
        if queue::is_overtaken(conn, &row)? {
            continue;
        }
        let note = Note { cause: Some(REVIVED), next_at: Some(at), at, ..Note::default() };
        queue::step(conn, &row, Step::Revive, note)?;
        back.push(id.to_string());
    }
    if !back.is_empty() {
        let entry = AuditEntry {
            actor: "isthmus".to_owned(),
            action: "stale write revived".to_owned(),
            object: format!("window {left_out} at {destination}"),
            detail: format!("{REVIVED}: window {window}; outbox rows {}", back.join(", ")),
            at,
        };
        audit::append(conn, &[entry])?;
    }
    Ok(back.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{migrate, plan};

    #[test]
    fn only_what_waits_for_one_of_the_reasons_is_walked_and_of_a_probe_one_patients() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        let of_all = "INDEX outbox_waiting (destination=? AND kind=? AND state=? AND reason=?)";
        let of_one = "INDEX outbox_line (destination=? AND patient=? AND kind=?)";
        for (of_patient, by) in [(false, of_all), (true, of_one)] {
            let steps = plan(&conn, &overtaken_windows(3, of_patient));
            assert!(steps.iter().any(|step| step.contains(by)), "{steps:?}");
            assert!(steps.iter().all(|step| !step.contains("SCAN")), "{steps:?}");
        }
        for sql in [NEWEST_LEFT_OUT, &written_queues()] {
            let steps = plan(&conn, sql);
            assert!(steps.iter().all(|step| !step.contains("SCAN")), "{steps:?}");
        }
    }
}
