//! How many writes were made to a destination in a span of time: what a quota is counted by, also after a restart.
//!
//! Invariants: a row is counted in the transaction that leases it, before a byte of it leaves; so a crash may spend a
//! write of the quota on nothing, and never writes one that was not counted. What came back without a write having been
//! sent is given back, in the very span that it was counted in and once: a row keeps on itself where it was counted.

use rusqlite::{Connection, OptionalExtension, params};

use crate::error::ReadError;

/// At most so many rows in a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// The span's name, for example `day`; one count is kept for each name.
    pub span: String,
    /// When the span of now began, in milliseconds; the caller knows its calendar.
    pub began: i64,
    /// The most rows in it.
    pub most: u64,
}

/// How many may still be taken.
pub(crate) fn room(conn: &Connection, destination: &str, quotas: &[Quota]) -> rusqlite::Result<u64> {
    let mut room = u64::MAX;
    for quota in quotas {
        room = room.min(quota.most.saturating_sub(used(conn, destination, quota)?));
    }
    Ok(room)
}

/// Counts rows that were taken.
pub(crate) fn spend(
    conn: &Connection,
    destination: &str,
    quotas: &[Quota],
    rows: usize,
) -> rusqlite::Result<()> {
    if rows == 0 {
        return Ok(());
    }
    for quota in quotas {
        conn.prepare_cached(
            "INSERT INTO sent (destination, span, began, rows) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (destination, span) DO UPDATE SET
               rows = CASE WHEN began = excluded.began THEN rows ELSE 0 END + excluded.rows,
               began = excluded.began",
        )?
        .execute(params![destination, quota.span, quota.began, rows as i64])?;
    }
    Ok(())
}

/// Where rows of a lease are counted, as they keep it; `None` without a quota.
pub(crate) fn receipt(quotas: &[Quota]) -> Option<String> {
    let spans = quotas.iter().map(|quota| format!("{}@{}", quota.span, quota.began));
    Some(spans.collect::<Vec<_>>().join(" ")).filter(|receipt| !receipt.is_empty())
}

/// Gives back what a row was counted for: no write of it was sent. A span that has passed is forgotten with its count.
pub(crate) fn give_back(conn: &Connection, destination: &str, row_id: i64) -> rusqlite::Result<()> {
    let spent: Option<String> = conn
        .prepare_cached("SELECT spent FROM outbox WHERE id = ?1")?
        .query_row([row_id], |row| row.get(0))
        .optional()?
        .flatten();
    let Some(spent) = spent else { return Ok(()) };
    for (span, began) in spent.split(' ').filter_map(|span| span.split_once('@')) {
        conn.prepare_cached(
            "UPDATE sent SET rows = rows - 1 WHERE destination = ?1 AND span = ?2 AND began = ?3 AND rows > 0",
        )?
        .execute(params![destination, span, began.parse::<i64>().ok()])?;
    }
    conn.prepare_cached("UPDATE outbox SET spent = NULL WHERE id = ?1")?.execute([row_id])?;
    Ok(())
}

fn used(conn: &Connection, destination: &str, quota: &Quota) -> rusqlite::Result<u64> {
    let rows: Option<i64> = conn
        .prepare_cached("SELECT rows FROM sent WHERE destination = ?1 AND span = ?2 AND began = ?3")?
        .query_row(params![destination, quota.span, quota.began], |row| row.get(0))
        .optional()?;
    Ok(rows.unwrap_or(0) as u64)
}

/// How many writes each of the quotas still permits.
pub(crate) fn left(conn: &Connection, destination: &str, quotas: &[Quota]) -> Result<Vec<u64>, ReadError> {
    let left = |quota: &Quota| Ok(quota.most.saturating_sub(used(conn, destination, quota)?));
    quotas.iter().map(left).collect()
}

/// The first of the quotas that is used up.
pub(crate) fn exhausted(
    conn: &Connection,
    destination: &str,
    quotas: &[Quota],
) -> Result<Option<String>, ReadError> {
    for quota in quotas {
        if used(conn, destination, quota)? >= quota.most {
            return Ok(Some(quota.span.clone()));
        }
    }
    Ok(None)
}
