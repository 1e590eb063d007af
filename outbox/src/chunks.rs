//! Readings, as one opaque chunk per patient, UTC day and device.
//!
//! Layout: rows in order of arrival with an index on (patient, day, device), not clustered by that key. Measured
//! over 200 patients, 365 days and 3.5 KB a chunk (`examples/measure.rs`, 4 MiB of cache, a busy machine), the
//! order of arrival won on every count: written in 5.3 s against 22.8 s, because a day's chunks share pages
//! instead of touching every patient's; 287 against 325 MiB; one patient's 14 days read in 0.12 against 0.23 ms
//! and 265 days in 2.4 against 2.8 ms.
//!
//! Invariant: a chunk is replaced only by a command that names the version it was computed from.

use rusqlite::{Connection, OptionalExtension, params};

use crate::error::{Conflict, ReadError, WriteError};

/// A new content for a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkWrite {
    /// The patient's number in this store.
    pub patient: i64,
    /// The device's identity.
    pub device: String,
    /// UTC day, counted from 1970-01-01.
    pub day: i32,
    /// The version it was computed from; 0 where there was none. It becomes the next one.
    pub expected_version: i64,
    /// Readings in it.
    pub count: u32,
    /// The content, opaque here.
    pub body: Vec<u8>,
}

/// A chunk as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The device's identity.
    pub device: String,
    /// UTC day, counted from 1970-01-01.
    pub day: i32,
    /// Its version, from 1.
    pub version: i64,
    /// Readings in it.
    pub count: u32,
    /// The content, opaque here.
    pub body: Vec<u8>,
}

pub(crate) fn write(conn: &Connection, chunk: &ChunkWrite) -> Result<(), WriteError> {
    let changed = if chunk.expected_version == 0 {
        conn.prepare_cached(
            "INSERT INTO chunk (patient, day, device, version, count, body) VALUES (?1, ?2, ?3, 1, ?4, ?5)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![chunk.patient, chunk.day, chunk.device, chunk.count, chunk.body])?
    } else {
        conn.prepare_cached(
            "UPDATE chunk SET version = version + 1, count = ?5, body = ?6
             WHERE patient = ?1 AND day = ?2 AND device = ?3 AND version = ?4",
        )?
        .execute(params![
            chunk.patient,
            chunk.day,
            chunk.device,
            chunk.expected_version,
            chunk.count,
            chunk.body
        ])?
    };
    if changed == 1 { Ok(()) } else { Err(Conflict::Chunk.into()) }
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

/// A patient's chunks of the days from `day_from` up to, not including, `day_to`, by day and device.
pub(crate) fn range(
    conn: &Connection,
    patient: i64,
    day_from: i32,
    day_to: i32,
) -> Result<Vec<Chunk>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT device, day, version, count, body FROM chunk
         WHERE patient = ?1 AND day >= ?2 AND day < ?3 ORDER BY day, device",
    )?;
    let rows = statement.query_map(params![patient, day_from, day_to], chunk_of)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One chunk.
pub(crate) fn one(
    conn: &Connection,
    patient: i64,
    device: &str,
    day: i32,
) -> Result<Option<Chunk>, ReadError> {
    Ok(conn
        .prepare_cached(
            "SELECT device, day, version, count, body FROM chunk
             WHERE patient = ?1 AND day = ?2 AND device = ?3",
        )?
        .query_row(params![patient, day, device], chunk_of)
        .optional()?)
}
