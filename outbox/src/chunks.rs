//! Readings, and what was logged beside them (insulin, food, starts of sensors and the like), as one opaque chunk per
//! patient, UTC day and device: each in a table of its own, so that no reader of readings meets the others.
//!
//! Layout: rows in order of arrival with an index on (patient, day, device), not clustered by that key. Measured
//! over 200 patients, 365 days and 3.5 KB a chunk (`examples/measure.rs`, 4 MiB of cache, a busy machine), the
//! order of arrival won on every count: written in 5.3 s against 22.8 s, because a day's chunks share pages
//! instead of touching every patient's; 287 against 325 MiB; one patient's 14 days read in 0.12 against 0.23 ms
//! and 265 days in 2.4 against 2.8 ms.
//!
//! Invariants: a chunk is replaced only by a command that names the version it was computed from; it stays under the
//! identifier that it came under, so that what was logged goes where readings go when patients are merged, and comes back
//! with them.

use rusqlite::{Connection, OptionalExtension, params};

use crate::error::{Conflict, ReadError, WriteError};

/// A new content for a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkWrite {
    /// The patient's number in this store.
    pub patient: i64,
    /// The device that its source names; empty where it names none.
    pub device: String,
    /// UTC day, counted from 1970-01-01.
    pub day: i32,
    /// The version it was computed from; 0 where there was none. It becomes the next one.
    pub expected_version: i64,
    /// Readings or events in it.
    pub count: u32,
    /// The content, opaque here.
    pub body: Vec<u8>,
}

/// A chunk as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The device that its source names; empty where it names none.
    pub device: String,
    /// UTC day, counted from 1970-01-01.
    pub day: i32,
    /// Its version, from 1.
    pub version: i64,
    /// Readings or events in it.
    pub count: u32,
    /// The content, opaque here.
    pub body: Vec<u8>,
}

/// What is asked of one table of chunks.
pub(crate) struct Table {
    insert: &'static str,
    update: &'static str,
    range: &'static str,
    one: &'static str,
}

macro_rules! table {
    ($name:literal) => {
        Table {
            insert: concat!(
                "INSERT INTO ",
                $name,
                " (patient, day, device, version, count, body) VALUES (?1, ?2, ?3, 1, ?4, ?5) ON CONFLICT DO NOTHING"
            ),
            update: concat!(
                "UPDATE ",
                $name,
                " SET version = version + 1, count = ?5, body = ?6
                 WHERE patient = ?1 AND day = ?2 AND device = ?3 AND version = ?4"
            ),
            range: concat!(
                "SELECT device, day, version, count, body FROM ",
                $name,
                " WHERE patient = ?1 AND day >= ?2 AND day < ?3 ORDER BY day, device"
            ),
            one: concat!(
                "SELECT device, day, version, count, body FROM ",
                $name,
                " WHERE patient = ?1 AND day = ?2 AND device = ?3"
            ),
        }
    };
}

/// Readings.
pub(crate) const READINGS: Table = table!("chunk");
/// What was logged beside them.
pub(crate) const APP_EVENTS: Table = table!("app_event");

impl Table {
    pub(crate) fn write(&self, conn: &Connection, chunk: &ChunkWrite) -> Result<(), WriteError> {
        let ChunkWrite { patient, device, day, expected_version, count, body } = chunk;
        let changed = if *expected_version == 0 {
            conn.prepare_cached(self.insert)?.execute(params![patient, day, device, count, body])?
        } else {
            let fields = params![patient, day, device, expected_version, count, body];
            conn.prepare_cached(self.update)?.execute(fields)?
        };
        if changed == 1 { Ok(()) } else { Err(Conflict::Chunk.into()) }
    }

    /// The chunks under a number of the days from `day_from` up to, not including, `day_to`, by day and device.
    pub(crate) fn range(
        &self,
        conn: &Connection,
        patient: i64,
        day_from: i32,
        day_to: i32,
    ) -> Result<Vec<Chunk>, ReadError> {
        let mut statement = conn.prepare_cached(self.range)?;
        let rows = statement.query_map(params![patient, day_from, day_to], chunk_of)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// One chunk.
    pub(crate) fn one(
        &self,
        conn: &Connection,
        patient: i64,
        device: &str,
        day: i32,
    ) -> Result<Option<Chunk>, ReadError> {
        let mut statement = conn.prepare_cached(self.one)?;
        Ok(statement.query_row(params![patient, day, device], chunk_of).optional()?)
    }
}

fn chunk_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Chunk> {
    Ok(Chunk {
        device: row.get(0)?,
        day: row.get(1)?,
        version: row.get(2)?,
        count: row.get(3)?,
        body: row.get(4)?,
    })
}
