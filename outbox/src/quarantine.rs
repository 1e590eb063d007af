//! Messages set aside: those that could not be read, and those whose patient could not be told.
//!
//! Invariants: an entry names a message that is kept whole in the inbox; place and reason are words about its
//! form, and whoever writes them puts no patient data in. An entry is never deleted: it is open until a person
//! releases or drops the message, or until the message was read anew and the fault was not met again. A message that
//! is refused at intake and sent again and again is one entry with a count, and with the reason it was refused for
//! last: the same bytes are not stored twice.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    dedupe::{First, MessageKey},
    error::ReadError,
};

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntryState {
    /// Waits for a person, or for another rule.
    Open,
    /// A person had the message read anew.
    Released,
    /// A person gave the message up; it stays in the inbox.
    Dropped,
    /// The message was read anew and this was not met again.
    Resolved,
}

impl EntryState {
    /// Its name in the database and for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Released => "released",
            Self::Dropped => "dropped",
            Self::Resolved => "resolved",
        }
    }

    pub(crate) fn of(name: &str) -> rusqlite::Result<Self> {
        [Self::Open, Self::Released, Self::Dropped, Self::Resolved]
            .into_iter()
            .find(|state| state.name() == name)
            .ok_or_else(|| rusqlite::Error::InvalidColumnType(0, "state".into(), rusqlite::types::Type::Text))
    }
}

/// A message, or a place in it, that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineEntry {
    /// The message.
    pub inbox_id: i64,
    /// Which step refused it, for example "normalize".
    pub stage: String,
    /// Where in the message, for example "OBX 3, field 6"; empty for the whole of it.
    pub place: String,
    /// Why, in words for an interface analyst.
    pub reason: String,
    /// When, in milliseconds.
    pub at: i64,
}

/// A message refused at intake, and how often it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedEntry {
    /// The message as it came first.
    pub inbox_id: i64,
    /// Why it was refused the last time.
    pub reason: String,
    /// When it was first refused, in milliseconds.
    pub at: i64,
    /// How often it was sent and refused, at least 1.
    pub seen: u64,
    /// When it was last refused, in milliseconds.
    pub last_at: i64,
}

/// A message whose patient could not be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityEntry {
    /// The message.
    pub inbox_id: i64,
    /// Why.
    pub reason: String,
    /// When, in milliseconds.
    pub at: i64,
}

pub(crate) fn insert(
    conn: &Connection,
    inbox_id: i64,
    stage: &str,
    place: &str,
    reason: &str,
    at: i64,
) -> rusqlite::Result<usize> {
    conn.prepare_cached(
        "INSERT INTO quarantine (inbox_id, stage, place, reason, at, last_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
    )?
    .execute(params![inbox_id, stage, place, reason, at])
}

/// Enters a message refused at intake. There is none with this key: [`refused_again`] said so.
pub(crate) fn insert_refused(
    conn: &Connection,
    inbox_id: i64,
    key: &MessageKey,
    reason: &str,
    at: i64,
) -> rusqlite::Result<usize> {
    conn.prepare_cached(
        "INSERT INTO quarantine (inbox_id, stage, place, reason, at, last_at, key)
         VALUES (?1, 'intake', '', ?2, ?3, ?3, ?4)",
    )?
    .execute(params![inbox_id, reason, at, key])
}

/// Counts a refused message on the entry of its first arrival; `None` where this is the first.
pub(crate) fn refused_again(
    conn: &Connection,
    key: &MessageKey,
    reason: &str,
    at: i64,
) -> rusqlite::Result<Option<First>> {
    conn.prepare_cached(
        "UPDATE quarantine SET seen = seen + 1, last_at = max(last_at, ?3), reason = ?2 WHERE key = ?1
         RETURNING inbox_id, at",
    )?
    .query_row(params![key, reason, at], |row| Ok(First { id: row.get(0)?, received_at: row.get(1)? }))
    .optional()
}

/// Messages refused at intake, the one last seen first.
pub(crate) fn refused(conn: &Connection, limit: usize) -> Result<Vec<RefusedEntry>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT inbox_id, reason, at, seen, last_at FROM quarantine WHERE key IS NOT NULL
         ORDER BY last_at DESC, id DESC LIMIT ?1",
    )?;
    let rows = statement.query_map([limit as i64], |row| {
        Ok(RefusedEntry {
            inbox_id: row.get(0)?,
            reason: row.get(1)?,
            at: row.get(2)?,
            seen: row.get::<_, i64>(3)?.max(1) as u64,
            last_at: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(crate) fn insert_identity(conn: &Connection, entry: &IdentityEntry) -> rusqlite::Result<usize> {
    conn.prepare_cached("INSERT INTO identity_queue (inbox_id, reason, at) VALUES (?1, ?2, ?3)")?
        .execute(params![entry.inbox_id, entry.reason, entry.at])
}

/// The newest entries first.
pub(crate) fn newest(conn: &Connection, limit: usize) -> Result<Vec<QuarantineEntry>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT inbox_id, stage, place, reason, at FROM quarantine ORDER BY id DESC LIMIT ?1",
    )?;
    let rows = statement.query_map([limit as i64], |row| {
        Ok(QuarantineEntry {
            inbox_id: row.get(0)?,
            stage: row.get(1)?,
            place: row.get(2)?,
            reason: row.get(3)?,
            at: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The newest entries of the identity queue first.
pub(crate) fn newest_identity(conn: &Connection, limit: usize) -> Result<Vec<IdentityEntry>, ReadError> {
    let mut statement =
        conn.prepare_cached("SELECT inbox_id, reason, at FROM identity_queue ORDER BY id DESC LIMIT ?1")?;
    let rows = statement.query_map([limit as i64], |row| {
        Ok(IdentityEntry { inbox_id: row.get(0)?, reason: row.get(1)?, at: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
