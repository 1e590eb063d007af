//! Chunks of readings day by day, for whoever walks through a patient's readings in the order of time, and each by its number.
//!
//! Invariant: a chunk keeps its number while its content changes, and none is deleted; so the number names it.
//!
//! Numbers: the next day that has a chunk is one step in the index on (patient, day, device); a day's chunks are one row for
//! each device, 3 KB of a 5-minute sensor and 15 KB of a 1-minute one.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::error::ReadError;

/// A chunk, with what names it.
#[derive(Clone, PartialEq, Eq)]
pub struct DayChunk {
    /// Its number in this store.
    pub id: i64,
    /// The number of the identifier that it came under.
    pub patient: i64,
    /// The device that its source names; empty where it names none.
    pub device: String,
    /// UTC day, counted from 1970-01-01.
    pub day: i32,
    /// The content, opaque here.
    pub body: Vec<u8>,
}

const COLUMNS: &str = "SELECT id, patient, device, day, body FROM chunk WHERE";

/// The day nearest to the beginning of the walk that has chunks under a number, of the days from `first` to `last`, both
/// included.
pub(crate) fn next(
    conn: &Connection,
    patient: i64,
    (first, last): (i32, i32),
    descending: bool,
) -> rusqlite::Result<Option<i32>> {
    let edge = if descending { "max" } else { "min" };
    let sql = format!("SELECT {edge}(day) FROM chunk WHERE patient = ?1 AND day >= ?2 AND day <= ?3");
    conn.prepare_cached(&sql)?.query_row(params![patient, first, last], |row| row.get(0))
}

/// The chunks of one day under a number, by device.
pub(crate) fn of_day(conn: &Connection, patient: i64, day: i32) -> Result<Vec<DayChunk>, ReadError> {
    let mut statement =
        conn.prepare_cached(&format!("{COLUMNS} patient = ?1 AND day = ?2 ORDER BY device"))?;
    Ok(statement.query_map(params![patient, day], chunk_of)?.collect::<Result<_, _>>()?)
}

/// The chunk with a number.
pub(crate) fn by_id(conn: &Connection, id: i64) -> Result<Option<DayChunk>, ReadError> {
    let mut statement = conn.prepare_cached(&format!("{COLUMNS} id = ?1"))?;
    Ok(statement.query_row([id], chunk_of).optional()?)
}

fn chunk_of(row: &Row<'_>) -> rusqlite::Result<DayChunk> {
    Ok(DayChunk {
        id: row.get(0)?,
        patient: row.get(1)?,
        device: row.get(2)?,
        day: row.get(3)?,
        body: row.get(4)?,
    })
}

/// Whether a message is a version of a resource of the local endpoint.
pub(crate) fn is_resource(conn: &Connection, inbox_id: i64) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM resource_version WHERE inbox_id = ?1 AND inbox_id <> 0")?
        .exists([inbox_id])
}

/// When a message came, in milliseconds.
pub(crate) fn received_at(conn: &Connection, inbox_id: i64) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT received_at FROM inbox WHERE id = ?1")?
        .query_row([inbox_id], |row| row.get(0))
        .optional()
}
