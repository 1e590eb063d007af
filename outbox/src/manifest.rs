//! The list of messages that an outcome came from, kept under the id that Provenance cites.
//!
//! Invariant: a list is never overwritten; another under its id is refused.

use rusqlite::{Connection, OptionalExtension, params};

use crate::error::{Conflict, ReadError, WriteError};

/// The list of messages that an outcome came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its id, which Provenance cites.
    pub id: String,
    /// Messages in it.
    pub count: u64,
    /// SHA-256 of the body.
    pub sha256: [u8; 32],
    /// The list, opaque here.
    pub body: Vec<u8>,
}

impl Manifest {
    /// Keeps it, unless it is kept already.
    ///
    /// # Errors
    /// [`Conflict::Manifest`] where another is kept under its id.
    pub(crate) fn keep(&self, conn: &Connection, at: i64) -> Result<(), WriteError> {
        let known: Option<[u8; 32]> = conn
            .prepare_cached("SELECT sha256 FROM manifest WHERE id = ?1")?
            .query_row([&self.id], |row| row.get(0))
            .optional()?;
        match known {
            Some(sha256) if sha256 == self.sha256 => {}
            Some(_) => return Err(Conflict::Manifest.into()),
            None => {
                conn.prepare_cached(
                    "INSERT INTO manifest (id, count, sha256, body, at) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![self.id, self.count as i64, self.sha256, self.body, at])?;
            }
        }
        Ok(())
    }
}

const MANIFEST: &str = "SELECT id, count, sha256, body FROM manifest";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Manifest> {
    Ok(Manifest {
        id: row.get(0)?,
        count: row.get::<_, i64>(1)? as u64,
        sha256: row.get(2)?,
        body: row.get(3)?,
    })
}

/// The manifest with this id.
pub(crate) fn by_id(conn: &Connection, id: &str) -> Result<Option<Manifest>, ReadError> {
    let mut statement = conn.prepare_cached(&format!("{MANIFEST} WHERE id = ?1"))?;
    Ok(statement.query_row([id], read).optional()?)
}

/// When a manifest was kept, in milliseconds.
pub(crate) fn kept_at(conn: &Connection, id: &str) -> Result<Option<i64>, ReadError> {
    let mut statement = conn.prepare_cached("SELECT at FROM manifest WHERE id = ?1")?;
    Ok(statement.query_row([id], |row| row.get(0)).optional()?)
}

/// The manifest whose hash is the one sought.
pub(crate) fn find(
    conn: &Connection,
    is_it: impl Fn(&[u8; 32]) -> bool,
) -> Result<Option<Manifest>, ReadError> {
    let mut statement = conn.prepare_cached("SELECT id, sha256 FROM manifest")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if is_it(&row.get(1)?) {
            return by_id(conn, row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?);
        }
    }
    Ok(None)
}

/// The manifest of a published version of a window.
pub(crate) fn of_version(
    conn: &Connection,
    window_id: i64,
    version: i64,
) -> Result<Option<Manifest>, ReadError> {
    let mut statement = conn.prepare_cached(&format!(
        "{MANIFEST} WHERE id = (SELECT manifest FROM published_version WHERE window_id = ?1 AND version = ?2)"
    ))?;
    Ok(statement.query_row([window_id, version], read).optional()?)
}
