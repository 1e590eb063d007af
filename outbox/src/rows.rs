//! Looking at rows of the outbox without touching them.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    consent_rows::NO_CONSENT,
    error::ReadError,
    queue::{self, State},
    retention, server,
};

/// A row of the outbox without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its number.
    pub id: i64,
    /// The destination.
    pub destination: String,
    /// The patient's number.
    pub patient: i64,
    /// The window.
    pub window_id: i64,
    /// The window's version.
    pub version: i64,
    /// What is sent.
    pub kind: String,
    /// Its shape.
    pub form: String,
    /// The row that must be delivered first.
    pub depends_on: Option<i64>,
    /// Where it stands.
    pub state: State,
    /// Why it is deferred, quarantined or superseded.
    pub reason: Option<String>,
    /// What the last attempt met.
    pub cause: Option<String>,
    /// Attempts so far.
    pub attempts: u32,
    /// Not to be sent before, in milliseconds.
    pub next_at: i64,
    /// When it was enqueued, in milliseconds.
    pub created_at: i64,
    /// When it was settled, in milliseconds.
    pub settled_at: Option<i64>,
}

/// The newest rows first; of one state if one is given.
pub(crate) fn newest(
    conn: &Connection,
    state: Option<State>,
    limit: usize,
) -> Result<Vec<OutboxRow>, ReadError> {
    let sql = format!("{ROW} WHERE ?1 IS NULL OR state = ?1 ORDER BY id DESC LIMIT ?2");
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map(params![state.map(State::name), limit as i64], row_of)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One row.
pub(crate) fn by_id(conn: &Connection, id: i64) -> Result<Option<OutboxRow>, ReadError> {
    Ok(conn.prepare_cached(&format!("{ROW} WHERE id = ?1"))?.query_row([id], row_of).optional()?)
}

/// The columns of [`row_of`].
pub(crate) const ROW: &str =
    "SELECT id, destination, patient, window_id, version, kind, depends_on, state, reason, cause,
    attempts, next_at, created_at, settled_at, form FROM outbox";

pub(crate) fn row_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<OutboxRow> {
    Ok(OutboxRow {
        id: row.get(0)?,
        destination: row.get(1)?,
        patient: row.get(2)?,
        window_id: row.get(3)?,
        version: row.get(4)?,
        kind: row.get(5)?,
        depends_on: row.get(6)?,
        state: State::of(row.get_ref(7)?.as_str()?)?,
        reason: row.get(8)?,
        cause: row.get(9)?,
        attempts: row.get(10)?,
        next_at: row.get(11)?,
        created_at: row.get(12)?,
        settled_at: row.get(13)?,
        form: row.get(14)?,
    })
}

/// A version of a window that stands, or may stand, at a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingVersion {
    /// Its number.
    pub version: i64,
    /// The shape in which it was sent.
    pub form: String,
}

/// The highest version of a window that stands, or may stand, at a destination's server. A message that was once in doubt
/// counts whatever became of it, until a person says otherwise: its receiver shows nothing, and may refuse one that it has.
pub(crate) fn standing_version(
    conn: &Connection,
    window_id: i64,
    destination: &str,
) -> rusqlite::Result<Option<StandingVersion>> {
    let mut statement = conn.prepare_cached(
        "SELECT version, form FROM outbox WHERE window_id = ?1 AND destination = ?2 AND server = ?4
         AND (state IN ('delivered', 'leased', 'ambiguous') OR (state = 'quarantined' AND reason = ?3)
           OR (doubted = 1 AND state <> 'dropped' AND destination LIKE 'mllp:%'))
         ORDER BY version DESC, id LIMIT 1",
    )?;
    let standing = |row: &rusqlite::Row<'_>| Ok(StandingVersion { version: row.get(0)?, form: row.get(1)? });
    let server = server::number(conn, destination)?;
    statement.query_row(params![window_id, destination, queue::UNPROVEN, server], standing).optional()
}

/// The queues that have rows of a window and lead into the same chart as a destination, which is the first.
pub(crate) fn queues_of_chart(
    conn: &Connection,
    window_id: i64,
    destination: &str,
) -> rusqlite::Result<Vec<String>> {
    let mut statement =
        conn.prepare_cached("SELECT DISTINCT destination FROM outbox WHERE window_id = ?1")?;
    let found: Vec<String> = statement.query_map([window_id], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let others = found.into_iter().filter(|one| one != destination && queue::is_one_chart(one, destination));
    Ok(std::iter::once(destination.to_owned()).chain(others).collect())
}

/// Every queue of messages that ever had a row.
pub(crate) fn message_queues(conn: &Connection) -> Result<Vec<String>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT DISTINCT destination FROM outbox_count WHERE destination LIKE ?1 ORDER BY destination",
    )?;
    let queues = statement.query_map([format!("{}%", queue::MLLP)], |row| row.get(0))?;
    Ok(queues.collect::<Result<_, _>>()?)
}

/// The form in which the newest version of a window waits at a destination, not for want of consent, and the kind: `None` where
/// nothing does. What a person wanted in a form is not asked.
pub(crate) fn waiting_form(
    conn: &Connection,
    window_id: i64,
    destination: &str,
) -> Result<Option<(String, String)>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT form, kind FROM outbox o WHERE window_id = ?1 AND destination = ?2 AND state IN ('pending', 'deferred')
           AND reason IS NOT ?3 AND kind <> 'Provenance'
           AND NOT EXISTS (SELECT 1 FROM intent_row i WHERE i.row_id = o.id)
         ORDER BY version DESC, id LIMIT 1",
    )?;
    let of = params![window_id, destination, NO_CONSENT];
    Ok(statement.query_row(of, |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

/// Whether a row of a window waits for a destination: a later version would take its place.
pub(crate) fn waits(conn: &Connection, window_id: i64, destination: &str) -> Result<bool, ReadError> {
    Ok(conn
        .prepare_cached(
            "SELECT 1 FROM outbox WHERE window_id = ?1 AND destination = ?2 AND state IN ('pending', 'deferred')",
        )?
        .exists(params![window_id, destination])?)
}

/// Whether anything of a window stands, or may stand, at any destination, and was not marked as entered in error since.
pub(crate) fn stands(conn: &Connection, window_id: i64) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT 1 FROM outbox o WHERE o.window_id = ?1
         AND (o.state IN ('delivered', 'leased', 'ambiguous') OR (o.state = 'quarantined' AND o.reason = ?2))
         AND NOT EXISTS (
           SELECT 1 FROM intent i JOIN intent_row r ON r.intent = i.id JOIN outbox w ON w.id = r.row_id
           WHERE i.window_id = o.window_id AND i.kind = 'withdraw' AND i.state = 'done' AND o.state = 'delivered'
             AND w.destination = o.destination AND w.id > o.id AND w.state = 'delivered')",
    )?
    .exists(params![window_id, queue::UNPROVEN])
}

/// Rows of a destination of which nobody knows whether they happened, being looked for or not: their numbers, and since
/// when (ms UTC), the longest first.
pub(crate) const IN_DOUBT: &str = "SELECT id, doubt_since FROM outbox INDEXED BY outbox_doubt
    WHERE destination = ?1 AND doubt_since IS NOT NULL ORDER BY doubt_since LIMIT ?2";

/// As [`IN_DOUBT`] says.
pub(crate) fn in_doubt(
    conn: &Connection,
    destination: &str,
    limit: usize,
) -> Result<Vec<(i64, i64)>, ReadError> {
    let mut statement = conn.prepare_cached(IN_DOUBT)?;
    let rows =
        statement.query_map(params![destination, limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Every row of a window at a destination, in their order.
pub(crate) fn of_window(
    conn: &Connection,
    window_id: i64,
    destination: &str,
) -> Result<Vec<OutboxRow>, ReadError> {
    let sql = format!("{ROW} WHERE window_id = ?1 AND destination = ?2 ORDER BY id");
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map(params![window_id, destination], row_of)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether something of an earlier version than the newest that goes, or went, to a destination stands there, or may.
/// Provenance aside: each version has its own.
pub(crate) fn is_outdated(conn: &Connection, window_id: i64, destination: &str) -> Result<bool, ReadError> {
    let newest: Option<i64> = conn
        .prepare_cached(
            "SELECT max(version) FROM outbox WHERE window_id = ?1 AND destination = ?2
             AND state NOT IN ('superseded', 'quarantined', 'dropped', 'shown')",
        )?
        .query_row(params![window_id, destination], |row| row.get(0))?;
    let Some(newest) = newest else { return Ok(false) };
    let mut statement = conn.prepare_cached(
        "SELECT 1 FROM outbox o LEFT JOIN written r ON r.row_id = o.id AND r.destination = o.destination
         WHERE o.window_id = ?1 AND o.destination = ?2 AND o.kind <> 'Provenance' AND o.version < ?3 AND o.server = ?5
         AND (r.row_id IS NOT NULL OR o.state IN ('leased', 'ambiguous')
           OR (o.state = 'quarantined' AND o.reason = ?4))",
    )?;
    let server = server::number(conn, destination)?;
    Ok(statement.exists(params![window_id, destination, newest, queue::UNPROVEN, server])?)
}

/// The bytes of a row, their hash checked; `None` where there is no such row, or they were removed.
pub(crate) fn body(conn: &Connection, row_id: i64) -> Result<Option<Vec<u8>>, ReadError> {
    let exists = conn.prepare_cached("SELECT 1 FROM outbox WHERE id = ?1")?.exists([row_id])?;
    if !exists || retention::removed(conn, row_id)?.is_some() {
        return Ok(None);
    }
    match queue::read_body(conn, row_id)? {
        Some(body) => Ok(Some(body.bytes)),
        None => Err(ReadError::BodyCorrupt(row_id)),
    }
}

/// The destinations for which the last that was decided of a window had this reason; that a later version shows nothing new
/// there decides nothing.
pub(crate) fn left_for(conn: &Connection, window_id: i64, reason: &str) -> Result<Vec<String>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT destination FROM decision d WHERE window_id = ?1 AND reason = ?2
           AND id = (SELECT max(id) FROM decision l WHERE l.window_id = ?1 AND l.destination = d.destination
                       AND l.reason <> 'nothing-shown-changed')
         ORDER BY destination",
    )?;
    let found = statement.query_map(params![window_id, reason], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}
