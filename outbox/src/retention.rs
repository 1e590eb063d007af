//! Bytes of settled rows that nobody needs any more, removed for good; the rows stay.
//!
//! Invariants
//! - Only bytes of a row that is settled for good go ([`REMOVABLE`]): delivered, superseded, dropped or shown. A row that is
//!   pending, leased, deferred, in doubt or quarantined keeps its own, and so does whatever may still be read: what the
//!   ledger says stands and can be marked as entered in error, and the newest delivered version of a window.
//! - The row, its key, the SHA-256 of its bytes and the ledger stay, so what was written is provable and is never written
//!   twice.
//! - What may go once may go for ever: states that are settled for good have no edges, and neither the ledger nor a version
//!   goes back. What was left out for another window comes back only while it has its bytes. The command asks the same
//!   condition again, and refuses all where one row does not meet it.
//! - Nothing goes that a legal hold keeps (`legal_hold.rs`).
//! - The audit entry is in the transaction that removes.
//! - Freed pages are overwritten with zeros in that transaction (`secure_delete`, see `open.rs`).
//!   Older copies in the write-ahead log go when that is next emptied; all of it is encrypted.
//!
//! Numbers: a look passes [`LOOK_ROWS`] rows; a command takes [`REMOVE_ROWS`] of them, and no more once they reach
//! [`REMOVE_BYTES`], at least one.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    audit::{self, AuditEntry},
    command::{Command, Hot},
    error::{Conflict, ReadError, WriteError},
    legal_hold::Holds,
};

/// Rows that one look passes: some milliseconds of a reader.
pub const LOOK_ROWS: i64 = 10_000;
/// Rows whose bytes go in one transaction: intake waits for no more.
pub const REMOVE_ROWS: usize = 256;
/// Bytes that go in one transaction, as freed pages are written once more.
pub const REMOVE_BYTES: u64 = 4 << 20;

/// When the bytes of row `o` may go; ?1 is the moment up to which it must have been settled, ?2 how the places begin of what
/// is never changed.
const REMOVABLE: &str = "o.state IN ('delivered', 'superseded', 'dropped', 'shown')
  AND coalesce(o.settled_at, o.created_at) <= ?1
  AND NOT EXISTS (SELECT 1 FROM written w WHERE w.row_id = o.id AND substr(w.location, 1, length(?2)) <> ?2)
  AND (o.state <> 'delivered' OR o.window_id = 0 OR EXISTS (
    SELECT 1 FROM outbox n WHERE n.window_id = o.window_id AND n.destination = o.destination
      AND n.version > o.version AND n.state = 'delivered'))";

/// How old what goes must be, and what of the ledger does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// It was settled up to then, in milliseconds.
    pub before: i64,
    /// How the places begin, and no other, of what is never changed once it stands: of it nobody asks for the bytes again.
    pub fixed: &'static str,
}

/// Rows of a site's patients whose bytes may go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removable {
    /// Their numbers, in order.
    pub rows: Vec<i64>,
    /// When the first and the last of them were settled, in milliseconds.
    pub settled: Option<(i64, i64)>,
    /// After which row to look on; `None` where there is no more.
    pub next: Option<i64>,
}

/// Looks at the rows after `after`, for those of the site's patients whose bytes may go.
pub(crate) fn removable(
    conn: &Connection,
    site: &str,
    expiry: &Expiry,
    after: i64,
) -> Result<Removable, ReadError> {
    let upto = after.saturating_add(LOOK_ROWS);
    let sql = format!(
        "SELECT o.id, coalesce(o.settled_at, o.created_at), length(b.bytes), o.patient, o.created_at FROM outbox o NOT INDEXED
         CROSS JOIN outbox_body b ON b.row_id = o.id CROSS JOIN patient p ON p.id = o.patient
         WHERE o.id > ?3 AND o.id <= ?4 AND p.site = ?5 AND b.removed_at IS NULL AND {REMOVABLE} ORDER BY o.id"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params![expiry.before, expiry.fixed, after, upto, site])?;
    let (mut found, mut bytes) = (Removable::default(), 0);
    let holds = Holds::read(conn)?;
    while let Some(row) = rows.next()? {
        let (id, settled, length): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (patient, created): (i64, i64) = (row.get(3)?, row.get(4)?);
        if holds.hold(site, Some(patient), (created.min(settled), created.max(settled))) {
            continue;
        }
        found.rows.push(id);
        bytes += length.unsigned_abs();
        let (first, last) = found.settled.unwrap_or((settled, settled));
        found.settled = Some((first.min(settled), last.max(settled)));
        if found.rows.len() == REMOVE_ROWS || bytes >= REMOVE_BYTES {
            found.next = Some(id);
            return Ok(found);
        }
    }
    let more = conn.prepare_cached("SELECT 1 FROM outbox WHERE id > ?1 LIMIT 1")?.exists([upto])?;
    found.next = more.then_some(upto);
    Ok(found)
}

/// What is left of bytes that were removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// When, in milliseconds.
    pub at: i64,
    /// Their SHA-256.
    pub sha256: [u8; 32],
}

/// What is left of a row's bytes, where they were removed.
pub(crate) fn removed(conn: &Connection, row_id: i64) -> rusqlite::Result<Option<Removed>> {
    conn.prepare_cached(
        "SELECT removed_at, sha256 FROM outbox_body WHERE row_id = ?1 AND removed_at IS NOT NULL",
    )?
    .query_row([row_id], |row| Ok(Removed { at: row.get(0)?, sha256: row.get(1)? }))
    .optional()
}

/// The command that removes the bytes of rows. [`Conflict::Edge`] where one of them is not to go: then none does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveBytes {
    /// The rows, as [`Removable`] names them.
    pub rows: Vec<i64>,
    /// What they must meet.
    pub expiry: Expiry,
    /// What is written down about it.
    pub audit: AuditEntry,
    /// Now, in milliseconds.
    pub at: i64,
}

impl Command for RemoveBytes {
    type Out = ();

    fn bytes(&self) -> usize {
        self.audit.detail.len()
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<(), WriteError> {
        remove(conn, &self)?;
        Ok(audit::append(conn, &[self.audit])?)
    }
}

/// Whether a legal hold keeps a row.
fn is_held(conn: &Connection, holds: &Holds, row_id: i64) -> rusqlite::Result<bool> {
    let of = conn
        .prepare_cached(
            "SELECT p.site, o.patient, o.created_at, coalesce(o.settled_at, o.created_at)
             FROM outbox o JOIN patient p ON p.id = o.patient WHERE o.id = ?1",
        )?
        .query_row([row_id], |row| {
            let (site, patient): (String, i64) = (row.get(0)?, row.get(1)?);
            let (created, settled): (i64, i64) = (row.get(2)?, row.get(3)?);
            Ok(holds.hold(&site, Some(patient), (created.min(settled), created.max(settled))))
        })
        .optional()?;
    Ok(of.unwrap_or(false))
}

fn remove(conn: &Connection, wanted: &RemoveBytes) -> Result<(), WriteError> {
    let sql = format!(
        "UPDATE outbox_body SET bytes = NULL, removed_at = ?4 WHERE row_id = ?3 AND removed_at IS NULL
         AND EXISTS (SELECT 1 FROM outbox o WHERE o.id = ?3 AND {REMOVABLE})"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let Expiry { before, fixed } = wanted.expiry;
    let holds = Holds::read(conn)?;
    for row_id in &wanted.rows {
        if is_held(conn, &holds, *row_id)? {
            return Err(Conflict::Edge.into());
        }
        if statement.execute(params![before, fixed, row_id, wanted.at])? != 1 {
            return Err(Conflict::Edge.into());
        }
    }
    Ok(())
}
