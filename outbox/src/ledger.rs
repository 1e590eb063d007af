//! What stands at each destination because we wrote it: an identifier, where it is, and what it holds.
//!
//! Invariant: what was written to one server says nothing of another, also where both were a destination's in turn
//! (`server`).

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use crate::{error::ReadError, queue::Place, server};

/// A resource that stands at a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Our identifier for it.
    pub identifier: String,
    /// Where the receiver keeps it; empty where nobody knows.
    pub location: String,
    /// The receiver's version tag, where it gave one.
    pub etag: Option<String>,
    /// Hash of what was written.
    pub content_hash: [u8; 32],
    /// A person said that it stands, and perhaps where: neither the receiver's answer nor a look of ours did.
    pub told: bool,
}

/// The last thing written under an identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Where the receiver keeps it; empty where nobody knows.
    pub location: String,
    /// The receiver's version tag, where it gave one.
    pub etag: Option<String>,
    /// Hash of what was written.
    pub content_hash: [u8; 32],
    /// Whether a person said so ([`Written::told`]).
    pub told: bool,
    /// The row that wrote it last.
    pub row_id: i64,
    /// The window's version it was written with.
    pub version: i64,
    /// When that was recorded (ms UTC).
    pub at: i64,
}

/// Records what a delivered row left at its destination.
pub(crate) fn record(conn: &Connection, row: &Place, written: &[Written], at: i64) -> rusqlite::Result<()> {
    let mut put = conn.prepare_cached(
        "INSERT INTO written (destination, server, identifier, location, etag, content_hash, version, row_id, at, told)
         VALUES (?1, (SELECT server FROM outbox WHERE id = ?7), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (destination, server, identifier) DO UPDATE SET location = excluded.location,
           etag = excluded.etag, content_hash = excluded.content_hash, version = excluded.version,
           row_id = excluded.row_id, at = excluded.at, told = excluded.told",
    )?;
    for one in written {
        put.execute(params![
            row.destination,
            one.identifier,
            one.location,
            one.etag,
            one.content_hash,
            row.version,
            row.id,
            at,
            one.told
        ])?;
    }
    Ok(())
}

/// What a person says stands, with what is known of its place: one that was an update stands where the version before it
/// stood, under an ETag that nobody has seen. Where a later version stands by the ledger already, that is what stands.
pub(crate) fn told(conn: &Connection, row: &Place, written: &[Written]) -> rusqlite::Result<Vec<Written>> {
    let names: Vec<&str> = written.iter().map(|one| one.identifier.as_str()).collect();
    let server = conn
        .prepare_cached("SELECT server FROM outbox WHERE id = ?1")?
        .query_row([row.id], |row| row.get(0))?;
    let known = find(conn, &row.destination, server, &names)?;
    Ok(written
        .iter()
        .filter(|one| known.get(&one.identifier).is_none_or(|standing| standing.version <= row.version))
        .map(|one| match known.get(&one.identifier) {
            Some(standing) if one.location.is_empty() && !standing.location.is_empty() => {
                Written { location: standing.location.clone(), told: standing.told, ..one.clone() }
            }
            _ => Written { told: true, ..one.clone() },
        })
        .collect())
}

/// Records what a lease left of which nobody awaited the verdict any more: nothing newer is overwritten.
pub(crate) fn record_late(
    conn: &Connection,
    row: &Place,
    written: &[Written],
    at: i64,
) -> rusqlite::Result<()> {
    let mut known = conn.prepare_cached(
        "SELECT 1 FROM written WHERE destination = ?1 AND identifier = ?2 AND version >= ?3
         AND server = (SELECT server FROM outbox WHERE id = ?4)",
    )?;
    for one in written {
        if !known.exists(params![row.destination, one.identifier, row.version, row.id])? {
            record(conn, row, std::slice::from_ref(one), at)?;
        }
    }
    Ok(())
}

/// What stands at a destination's server under these identifiers; those never written there are left out.
pub(crate) fn written(
    conn: &Connection,
    destination: &str,
    identifiers: &[&str],
) -> Result<HashMap<String, Standing>, ReadError> {
    Ok(find(conn, destination, server::number(conn, destination)?, identifiers)?)
}

fn find(
    conn: &Connection,
    destination: &str,
    server: i64,
    identifiers: &[&str],
) -> rusqlite::Result<HashMap<String, Standing>> {
    let mut find = conn.prepare_cached(
        "SELECT location, etag, content_hash, version, told, row_id, at FROM written
         WHERE destination = ?1 AND identifier = ?2 AND server = ?3",
    )?;
    let mut found = HashMap::with_capacity(identifiers.len());
    for identifier in identifiers {
        let standing = find
            .query_row(params![destination, identifier, server], |row| {
                Ok(Standing {
                    location: row.get(0)?,
                    etag: row.get(1)?,
                    content_hash: row.get(2)?,
                    version: row.get(3)?,
                    told: row.get(4)?,
                    row_id: row.get(5)?,
                    at: row.get(6)?,
                })
            })
            .optional()?;
        if let Some(standing) = standing {
            found.insert((*identifier).to_owned(), standing);
        }
    }
    Ok(found)
}
