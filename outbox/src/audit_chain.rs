//! Walking the audit log's chain of hashes, in pieces.
//!
//! Invariants: a piece is bounded, and the next one begins at the head that the last one ended with, so that a log of any
//! length holds no reader for long; the log is appended to only, so that pieces of different moments are of one log.
//! What no walk can see is that the end was cut off: that shows against a head that was kept elsewhere (a seal).

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    audit::{AuditEntry, AuditHead, entry_of, link},
    error::ReadError,
};

/// Where the chain fails first, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditBreak {
    /// The entry with this number is not what was recorded there: it was changed, or another was put in its place.
    Altered(i64),
    /// Entries with these numbers, first and last, are not there, and later ones are.
    Missing(i64, i64),
}

impl AuditBreak {
    /// The number of the first entry that is not as it was recorded.
    pub const fn entry(self) -> i64 {
        match self {
            Self::Altered(entry) | Self::Missing(entry, _) => entry,
        }
    }
}

impl std::fmt::Display for AuditBreak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Altered(entry) => {
                write!(f, "entry {entry} was changed, or another was put in its place")
            }
            Self::Missing(first, last) if first == last => write!(f, "entry {first} was removed"),
            Self::Missing(first, last) => write!(f, "entries {first} to {last} were removed"),
        }
    }
}

/// An entry with its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainedEntry {
    /// Its number.
    pub id: i64,
    /// What was done.
    pub entry: AuditEntry,
    /// Its hash, as it is stored.
    pub hash: [u8; 32],
}

/// Walks at most `limit` entries after `from`. Returns the head reached; fewer entries than `limit` lie between them at the
/// log's end, and nowhere else.
pub(crate) fn walk(conn: &Connection, from: AuditHead, limit: usize) -> Result<AuditHead, ReadError> {
    let mut statement = conn.prepare_cached(AFTER)?;
    // Before the first there is none, whatever number it may have been given.
    let after = if from.entries == 0 { i64::MIN } else { from.entries as i64 };
    let mut rows = statement.query(params![after, limit as i64])?;
    let mut head = from;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let next = head.entries as i64 + 1;
        if id > next {
            return Err(ReadError::AuditBroken(AuditBreak::Missing(next, id - 1)));
        }
        // What cannot be read as an entry any more was changed too.
        let altered = || ReadError::AuditBroken(AuditBreak::Altered(id));
        let (entry, stored) =
            entry_of(row).and_then(|entry| Ok((entry, row.get::<_, [u8; 32]>(6)?))).map_err(|_| altered())?;
        if id != next || link(&head.hash, id, &entry) != stored {
            return Err(altered());
        }
        head = AuditHead { entries: next as u64, hash: stored };
    }
    Ok(head)
}

/// The end of the chain, as it is stored.
pub(crate) fn head(conn: &Connection) -> rusqlite::Result<AuditHead> {
    let last: Option<(i64, [u8; 32])> = conn
        .prepare_cached("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (id, hash) = last.unwrap_or((0, [0; 32]));
    Ok(AuditHead { entries: id as u64, hash })
}

/// The hash of the entry with this number, as it is stored.
pub(crate) fn hash_of(conn: &Connection, id: i64) -> rusqlite::Result<Option<[u8; 32]>> {
    conn.prepare_cached("SELECT hash FROM audit WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()
}

/// At most `limit` entries after the given number with their hashes, in order.
pub(crate) fn chained(conn: &Connection, id: i64, limit: usize) -> Result<Vec<ChainedEntry>, ReadError> {
    let mut statement = conn.prepare_cached(AFTER)?;
    let rows = statement.query_map(params![id, limit as i64], |row| {
        Ok(ChainedEntry { id: row.get(0)?, entry: entry_of(row)?, hash: row.get(6)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

const AFTER: &str =
    "SELECT id, at, actor, action, object, detail, hash FROM audit WHERE id > ?1 ORDER BY id LIMIT ?2";
