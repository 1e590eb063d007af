//! Standstills: times in which nothing is leased, because the store may not know what was written.
//!
//! A store that was restored from a backup, copied to another machine or rolled back with it does not know what was
//! written since. While a standstill lasts no row is leased for any destination; messages come in, outcomes are computed,
//! and rows wait.
//!
//! Invariants, once it has ended
//! - It ends as a whole, whatever causes were found while it lasted; none of them is lost.
//! - A row that could have been written by the store that is gone (one that waited then, or one of a window that had begun)
//!   is leased as one in doubt the first time: it is looked for before it is sent.
//! - The versions of a window go on beyond those that the other store may have given ([`GAP`]), so that no control id and no
//!   identity of an effect stands for two different contents.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    audit::{self, AuditEntry},
    command::{Command, Hot},
    error::{ReadError, WriteError},
    queue::Place,
};

/// What versions of windows leave free after each standstill: more than any window was ever amended.
pub const GAP: i64 = 100_000;
/// Milliseconds of a day, and of the farthest that a zone's midnight is from UTC's, rounded up to a day.
const DAY_MS: i64 = 86_400_000;

/// A standstill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standstill {
    /// Its number, from 1.
    pub id: i64,
    /// Since when (ms UTC).
    pub since: i64,
    /// One word of the caller's closed set.
    pub cause: String,
    /// What exactly, in words without patient data.
    pub detail: String,
    /// When it ended (ms UTC).
    pub ended_at: Option<i64>,
}

/// A cause that was found while a standstill lasted already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FurtherCause {
    /// When (ms UTC).
    pub at: i64,
    /// One word of the caller's closed set.
    pub cause: String,
    /// What exactly, in words without patient data.
    pub detail: String,
}

/// What became of a cause to stand still. All of them are in the store then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// A standstill began.
    New,
    /// One lasts already, and has this cause too from now on.
    Further,
    /// One lasts already that has this very cause.
    Known,
}

/// What the audit log calls it that a further cause was found, in the place of what it says of the first.
const FURTHER: &str = "standstill further cause";
/// Most further causes of a standstill that are kept to be shown; the audit log has those beyond too.
pub const FURTHER_MOST: i64 = 32;

/// Begins a standstill; where one lasts already, it has one more cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginStandstill {
    /// One word of the caller's closed set.
    pub cause: String,
    /// What exactly, in words without patient data.
    pub detail: String,
    /// Who or what began it; stored where the cause is new.
    pub audit: Vec<AuditEntry>,
    /// Now (ms UTC).
    pub at: i64,
}

impl Command for BeginStandstill {
    type Out = Begun;

    fn bytes(&self) -> usize {
        self.detail.len()
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Begun, WriteError> {
        Ok(begin(conn, &self)?)
    }
}

pub(crate) fn begin(conn: &Connection, new: &BeginStandstill) -> rusqlite::Result<Begun> {
    let Some(standing) = last(conn)?.filter(|last| last.ended_at.is_none()) else {
        conn.prepare_cached("INSERT INTO standstill (since, cause, detail) VALUES (?1, ?2, ?3)")?
            .execute(params![new.at, new.cause, new.detail])?;
        audit::append(conn, &new.audit)?;
        return Ok(Begun::New);
    };
    let further = further(conn, standing.id)?;
    let is_known = (&standing.cause, &standing.detail) == (&new.cause, &new.detail)
        || further.iter().any(|one| (&one.cause, &one.detail) == (&new.cause, &new.detail));
    if is_known {
        return Ok(Begun::Known);
    }
    conn.prepare_cached(
        "INSERT INTO standstill_cause (standstill, at, cause, detail) SELECT ?1, ?2, ?3, ?4
         WHERE (SELECT count(*) FROM standstill_cause WHERE standstill = ?1) < ?5",
    )?
    .execute(params![standing.id, new.at, new.cause, new.detail, FURTHER_MOST])?;
    let entries: Vec<AuditEntry> =
        new.audit.iter().map(|entry| AuditEntry { action: FURTHER.to_owned(), ..entry.clone() }).collect();
    audit::append(conn, &entries)?;
    Ok(Begun::Further)
}

/// What else was found while a standstill lasted, in the order it was found; at most [`FURTHER_MOST`].
pub(crate) fn further(conn: &Connection, standstill: i64) -> rusqlite::Result<Vec<FurtherCause>> {
    let mut statement = conn
        .prepare_cached("SELECT at, cause, detail FROM standstill_cause WHERE standstill = ?1 ORDER BY id")?;
    let found = statement.query_map([standstill], |row| {
        Ok(FurtherCause { at: row.get(0)?, cause: row.get(1)?, detail: row.get(2)? })
    })?;
    found.collect()
}

/// Ends the standstill that lasts. Whether there was one.
pub(crate) struct EndStandstill {
    pub audit: Vec<AuditEntry>,
    pub at: i64,
}

impl Command for EndStandstill {
    type Out = bool;

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<bool, WriteError> {
        let ended = conn
            .prepare_cached("UPDATE standstill SET ended_at = max(since, ?1) WHERE ended_at IS NULL")?
            .execute([self.at])?
            > 0;
        if ended {
            audit::append(conn, &self.audit)?;
        }
        Ok(ended)
    }
}

/// Whether one lasts.
pub(crate) fn stands(conn: &Connection) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM standstill WHERE ended_at IS NULL")?.exists([])
}

/// The last one, whether it lasts or not.
pub(crate) fn last(conn: &Connection) -> rusqlite::Result<Option<Standstill>> {
    let mut statement = conn.prepare_cached(
        "SELECT id, since, cause, detail, ended_at FROM standstill ORDER BY id DESC LIMIT 1",
    )?;
    let last = |row: &rusqlite::Row<'_>| {
        Ok(Standstill {
            id: row.get(0)?,
            since: row.get(1)?,
            cause: row.get(2)?,
            detail: row.get(3)?,
            ended_at: row.get(4)?,
        })
    };
    statement.query_row([], last).optional()
}

/// Of a row that is leased: since when its fate is not known although this store never sent it, `None` where it is. Asked
/// once for each row and standstill.
pub(crate) fn suspect_since(conn: &Connection, row: &Place) -> rusqlite::Result<Option<i64>> {
    // While one lasts nothing is leased.
    let Some(Standstill { id, since, ended_at: Some(ended_at), .. }) = last(conn)? else { return Ok(None) };
    let looked = conn
        .prepare_cached("UPDATE outbox SET cleared = ?2 WHERE id = ?1 AND cleared < ?2")?
        .execute([row.id, id])?;
    let begun: Option<i64> = conn
        .prepare_cached("SELECT (end_day - days - 1) * ?2 FROM outcome_window WHERE id = ?1")?
        .query_row([row.window_id, DAY_MS], |row| row.get(0))
        .optional()?;
    let could_be = row.created_at <= ended_at || begun.is_some_and(|begun| begun <= ended_at);
    Ok((looked > 0 && could_be).then_some(since))
}

/// Rows that are still to be sent and could have been written by the store that is gone.
pub(crate) fn suspects(conn: &Connection) -> Result<u64, ReadError> {
    let Some(last) = last(conn)? else { return Ok(0) };
    let count: i64 = conn
        .prepare_cached(
            "SELECT count(*) FROM outbox WHERE head = 1 AND cleared < ?1 AND created_at <= ?2
               AND state IN ('pending', 'leased', 'ambiguous')",
        )?
        .query_row([last.id, last.ended_at.unwrap_or(i64::MAX)], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}
