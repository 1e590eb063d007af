//! What was logged beside glucose (insulin, food, starts of sensors and the like), as one opaque body per patient, UTC day
//! and device. The same shape as the chunks of readings, in a table of its own: no reader of readings meets it.
//!
//! Invariants: a body is replaced only by a command that names the version it was computed from; a body stays under the
//! identifier that it came under, so that it goes where readings go when patients are merged, and comes back with them.

use rusqlite::{Connection, OptionalExtension, params};

use crate::error::{Conflict, ReadError, WriteError};

/// A new content for what is kept of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsWrite {
    /// The number under which it is stored.
    pub patient: i64,
    /// The device that its source names; empty where it names none.
    pub device: String,
    /// UTC day, counted from 1970-01-01.
    pub day: i32,
    /// The version it was computed from; 0 where there was none. It becomes the next one.
    pub expected_version: i64,
    /// Events in it.
    pub count: u32,
    /// The content, opaque here.
    pub body: Vec<u8>,
}

/// What is kept of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvents {
    /// The device that its source names; empty where it names none.
    pub device: String,
    /// UTC day, counted from 1970-01-01.
    pub day: i32,
    /// Its version, from 1.
    pub version: i64,
    /// Events in it.
    pub count: u32,
    /// The content, opaque here.
    pub body: Vec<u8>,
}

pub(crate) fn write(conn: &Connection, events: &EventsWrite) -> Result<(), WriteError> {
    let EventsWrite { patient, device, day, expected_version, count, body } = events;
    let changed = if *expected_version == 0 {
        conn.prepare_cached(
            "INSERT INTO app_event (patient, day, device, version, count, body) VALUES (?1, ?2, ?3, 1, ?4, ?5)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![patient, day, device, count, body])?
    } else {
        conn.prepare_cached(
            "UPDATE app_event SET version = version + 1, count = ?5, body = ?6
             WHERE patient = ?1 AND day = ?2 AND device = ?3 AND version = ?4",
        )?
        .execute(params![patient, day, device, expected_version, count, body])?
    };
    if changed == 1 { Ok(()) } else { Err(Conflict::Chunk.into()) }
}

fn stored_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredEvents> {
    Ok(StoredEvents {
        device: row.get(0)?,
        day: row.get(1)?,
        version: row.get(2)?,
        count: row.get(3)?,
        body: row.get(4)?,
    })
}

/// What is kept under a number of the days from `day_from` up to, not including, `day_to`, by day and device.
pub(crate) fn range(
    conn: &Connection,
    patient: i64,
    day_from: i32,
    day_to: i32,
) -> Result<Vec<StoredEvents>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT device, day, version, count, body FROM app_event
         WHERE patient = ?1 AND day >= ?2 AND day < ?3 ORDER BY day, device",
    )?;
    let rows = statement.query_map(params![patient, day_from, day_to], stored_of)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What is kept of one day and device.
pub(crate) fn one(
    conn: &Connection,
    patient: i64,
    device: &str,
    day: i32,
) -> Result<Option<StoredEvents>, ReadError> {
    Ok(conn
        .prepare_cached(
            "SELECT device, day, version, count, body FROM app_event
             WHERE patient = ?1 AND day = ?2 AND device = ?3",
        )?
        .query_row(params![patient, day, device], stored_of)
        .optional()?)
}
