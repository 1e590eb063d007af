//! Conditions that people should know of, for as long as they last.

use rusqlite::{Connection, params};

use crate::{
    command::{Command, Hot},
    error::{ReadError, WriteError},
};

/// A raised condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Its name, one of a fixed set.
    pub name: String,
    /// What it concerns, for example a site.
    pub scope: String,
    /// What exactly, in words without patient data.
    pub detail: String,
    /// Since when, in milliseconds.
    pub since: i64,
}

pub(crate) struct RaiseCondition {
    pub name: String,
    pub scope: String,
    pub detail: String,
    pub since: i64,
}

impl Command for RaiseCondition {
    type Out = ();

    fn bytes(&self) -> usize {
        self.detail.len()
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<(), WriteError> {
        Ok(raise(conn, &self.name, &self.scope, &self.detail, self.since)?)
    }
}

pub(crate) struct ClearCondition {
    pub name: String,
    pub scope: String,
}

impl Command for ClearCondition {
    type Out = bool;

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<bool, WriteError> {
        Ok(clear(conn, &self.name, &self.scope)?)
    }
}

/// Clears a condition; whether it was raised.
pub(crate) fn clear(conn: &Connection, name: &str, scope: &str) -> rusqlite::Result<bool> {
    let gone = conn
        .prepare_cached("DELETE FROM condition WHERE name = ?1 AND scope = ?2")?
        .execute(params![name, scope])?;
    Ok(gone > 0)
}

/// Raises a condition; one already raised keeps its beginning.
pub(crate) fn raise(
    conn: &Connection,
    name: &str,
    scope: &str,
    detail: &str,
    since: i64,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO condition (name, scope, detail, since) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (name, scope) DO UPDATE SET detail = excluded.detail",
    )?
    .execute(params![name, scope, detail, since])?;
    Ok(())
}

/// Every raised condition, the oldest first.
pub(crate) fn all(conn: &Connection) -> Result<Vec<Condition>, ReadError> {
    let mut statement =
        conn.prepare_cached("SELECT name, scope, detail, since FROM condition ORDER BY since, name, scope")?;
    let rows = statement.query_map([], |row| {
        Ok(Condition { name: row.get(0)?, scope: row.get(1)?, detail: row.get(2)?, since: row.get(3)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
