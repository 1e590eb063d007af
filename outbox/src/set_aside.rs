//! What a message held beside the readings that were stored, for the outcome that names what it left out.

use rusqlite::{Connection, params};

use crate::error::ReadError;

/// Results of one message that did not become readings, for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// The patient.
    pub patient: i64,
    /// The message.
    pub inbox_id: i64,
    /// Why, in the caller's words.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// Records it. The same message says the same again when it is absorbed again.
pub(crate) fn insert(conn: &Connection, entry: &SetAside) -> rusqlite::Result<usize> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO set_aside (patient, inbox_id, reason, count) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![entry.patient, entry.inbox_id, entry.reason, entry.count as i64])
}

/// Takes a message's entries out, because it was read anew.
pub(crate) fn forget(conn: &Connection, inbox_id: i64) -> rusqlite::Result<usize> {
    conn.prepare_cached("DELETE FROM set_aside WHERE inbox_id = ?1")?.execute([inbox_id])
}

/// A patient's entries for the messages from `first` to `last`, both included.
pub(crate) fn of(conn: &Connection, patient: i64, first: i64, last: i64) -> Result<Vec<SetAside>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT patient, inbox_id, reason, count FROM set_aside
         WHERE patient = ?1 AND inbox_id BETWEEN ?2 AND ?3 ORDER BY inbox_id, reason",
    )?;
    let entries = statement.query_map(params![patient, first, last], |row| {
        Ok(SetAside {
            patient: row.get(0)?,
            inbox_id: row.get(1)?,
            reason: row.get(2)?,
            count: row.get::<_, i64>(3)?.max(0) as u64,
        })
    })?;
    Ok(entries.collect::<Result<_, _>>()?)
}
