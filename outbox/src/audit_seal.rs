//! Seals of the audit log: its head as it was once a day, with a signature. What is signed and how is the caller's.
//!
//! Invariant: a day has one seal, which nobody changes or removes.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    audit::AuditHead,
    command::{Command, Hot},
    error::WriteError,
};

/// A signed head of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSeal {
    /// The box that signed.
    pub box_id: String,
    /// UTC day, days since 1970.
    pub day: i64,
    /// When, in milliseconds.
    pub at: i64,
    /// The head.
    pub head: AuditHead,
    /// The public key.
    pub key: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
}

const COLUMNS: &str = "box_id, day, at, entries, head, key, signature";

/// The command that keeps a seal; the day's first one stays.
pub(crate) struct Keep(pub AuditSeal);

impl Command for Keep {
    type Out = ();

    fn bytes(&self) -> usize {
        self.0.key.len() + self.0.signature.len() + 64
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<(), WriteError> {
        let seal = self.0;
        conn.prepare_cached(&format!(
            "INSERT INTO audit_seal ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (day) DO NOTHING"
        ))?
        .execute(params![
            seal.box_id,
            seal.day,
            seal.at,
            seal.head.entries as i64,
            seal.head.hash,
            seal.key,
            seal.signature
        ])?;
        Ok(())
    }
}

fn seal_of(row: &Row<'_>) -> rusqlite::Result<AuditSeal> {
    Ok(AuditSeal {
        box_id: row.get(0)?,
        day: row.get(1)?,
        at: row.get(2)?,
        head: AuditHead { entries: row.get::<_, i64>(3)? as u64, hash: row.get(4)? },
        key: row.get(5)?,
        signature: row.get(6)?,
    })
}

/// The seal of the last day that has one.
pub(crate) fn latest(conn: &Connection) -> rusqlite::Result<Option<AuditSeal>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM audit_seal ORDER BY day DESC LIMIT 1"))?
        .query_row([], seal_of)
        .optional()
}

/// At most `limit` seals of days after the given one, in order.
pub(crate) fn after(conn: &Connection, day: i64, limit: usize) -> rusqlite::Result<Vec<AuditSeal>> {
    let mut statement = conn
        .prepare_cached(&format!("SELECT {COLUMNS} FROM audit_seal WHERE day > ?1 ORDER BY day LIMIT ?2"))?;
    let rows = statement.query_map(params![day, limit as i64], seal_of)?;
    rows.collect()
}
