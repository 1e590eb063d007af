//! What can go wrong once the store is open.
//!
//! Errors carry SQLite's code and its fixed English name, never a statement's parameters and never a body, so
//! they may be logged.

use std::fmt;

use rusqlite::ffi;

use crate::audit_chain::AuditBreak;

/// SQLite's own account of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteFault {
    /// The extended result code (<https://www.sqlite.org/rescode.html>), 0 where the failure was not SQLite's.
    pub code: i32,
    /// A fixed text for the code, or the kind of failure in our own use of SQLite.
    pub text: &'static str,
}

impl SqliteFault {
    /// Whether the connection must be given up: an I/O error, a damaged or foreign file, or no memory.
    pub(crate) fn is_severe(&self) -> bool {
        matches!(
            self.code & 0xff,
            ffi::SQLITE_IOERR
                | ffi::SQLITE_CORRUPT
                | ffi::SQLITE_NOTADB
                | ffi::SQLITE_NOMEM
                | ffi::SQLITE_CANTOPEN
                | ffi::SQLITE_READONLY
        )
    }

    /// Whether the same may succeed when it is tried again: somebody else was in the way, or it was broken off.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(
            self.code & 0xff,
            ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_INTERRUPT | ffi::SQLITE_FULL
        )
    }
}

impl fmt::Display for SqliteFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.text, self.code)
    }
}

impl From<rusqlite::Error> for SqliteFault {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error() {
            Some(e) => Self { code: e.extended_code, text: ffi::code_to_str(e.extended_code) },
            None => Self { code: 0, text: own_fault(&error) },
        }
    }
}

/// Failures between SQLite and us: a row that is missing or holds another type than the schema says.
fn own_fault(error: &rusqlite::Error) -> &'static str {
    match error {
        rusqlite::Error::QueryReturnedNoRows => "a row that must exist is missing",
        rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::FromSqlConversionFailure(..) => {
            "a column holds another type than the schema says"
        }
        rusqlite::Error::IntegralValueOutOfRange(..) => "a number is out of its range",
        _ => "a statement was used wrongly",
    }
}

/// What a command expected to find and did not. Nothing of the command was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The inbox watermark stands elsewhere, or the new one lies before the old or after the last message.
    #[error("the inbox watermark is not where the command expected it")]
    Watermark,
    /// A chunk of readings has another version than the command was computed from.
    #[error("a chunk of readings has changed since it was read")]
    Chunk,
    /// The window has been dirtied or published since it was read.
    #[error("the window has changed since it was read")]
    Window,
    /// There is no such row.
    #[error("there is no such row")]
    Missing,
    /// The new version is not above the one in force.
    #[error("the version is not above the one in force")]
    Version,
    /// A manifest with that id and another content exists.
    #[error("a manifest with that id and another content exists")]
    Manifest,
    /// An intent with that key and another content exists.
    #[error("an intent with that key and another content exists")]
    Intent,
    /// A FHIR Consent would not become what was looked at.
    #[error("the Consent would not count as it was looked at")]
    Consent,
    /// A row of the outbox with that effect key exists: the effect has been enqueued before.
    #[error("the effect has been enqueued before")]
    EffectKey,
    /// A new row depends on a row at or after its own place, or on one of another destination; or the row to
    /// release depends on one that is quarantined.
    #[error("the row depends on a row that cannot precede it")]
    Dependency,
    /// The row may have been written, and nothing tells whether it was: sent again it might stand twice, superseded it
    /// would be forgotten. It can only be dropped.
    #[error("the row may have been written and cannot be looked for")]
    Unproven,
    /// There are readings under both of two numbers that would have to change their identifiers.
    #[error("there are readings under both numbers")]
    Readings,
    /// The row's state has no such edge (see [`crate::State::after`]).
    #[error("the row is not in a state that allows this")]
    Edge,
}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The disk, or the permitted size, is full. Definite: nothing was kept, and the store goes on.
    #[error("the store is full")]
    Full,
    /// The commit failed with an I/O error, so the command may or may not be found after a restart. No positive
    /// answer may be given; sent again, it is decided afresh.
    #[error("the commit failed; whether it took effect is not known")]
    Indeterminate,
    /// The database could not be opened again after an I/O error; tried again every second. Nothing was kept.
    #[error("the store cannot be opened at the moment")]
    Unavailable,
    /// The store has been closed. Nothing was kept.
    #[error("the store is closed")]
    Closed,
    /// The command's expectations were not met. Nothing was kept.
    #[error("{0}")]
    Conflict(#[from] Conflict),
    /// SQLite refused. Nothing was kept.
    #[error("SQLite: {0}")]
    Sqlite(SqliteFault),
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            _ => Self::Sqlite(error.into()),
        }
    }
}

/// Why something could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Every connection of the pool stayed in use for the whole time a reader may wait.
    #[error("no reading connection became free in time")]
    Busy,
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
    /// The time that the reader had is over.
    #[error("the time for reading is over")]
    Overdue,
    /// SQLite refused.
    #[error("SQLite: {0}")]
    Sqlite(SqliteFault),
    /// The stored bytes of this row do not match the hash taken when they were stored.
    #[error("the stored bytes of row {0} do not match their hash")]
    BodyCorrupt(i64),
    /// The audit log's chain of hashes breaks.
    #[error("the audit log was changed: {0}")]
    AuditBroken(AuditBreak),
    /// The consent ledger's chain of hashes breaks at this entry.
    #[error("the consent ledger has been changed at or before entry {0}")]
    ConsentBroken(i64),
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error.into())
    }
}
