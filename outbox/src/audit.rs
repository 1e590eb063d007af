//! The audit log: appended to only, each entry's hash covering the one before it.
//!
//! Entry n has the hash SHA-256(hash of n-1 ‖ id ‖ time ‖ each text with its length before it), numbers as 8
//! bytes little-endian; before the first entry stand 32 zero bytes. A changed, inserted or removed entry breaks
//! the chain from there on (audit_chain.rs). That the end was cut off shows only against a head exported earlier, of which the
//! seals (audit_seal.rs) are one.

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use crate::{
    audit_chain,
    command::{Command, Hot},
    error::{ReadError, WriteError},
};

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Who: a user, or a part of the daemon.
    pub actor: String,
    /// What was done, one of a fixed set of words.
    pub action: String,
    /// To what.
    pub object: String,
    /// The particulars.
    pub detail: String,
    /// When, in milliseconds.
    pub at: i64,
}

/// The end of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// Entries in the log.
    pub entries: u64,
    /// Hash of the last, zero where there is none.
    pub hash: [u8; 32],
}

impl AuditHead {
    /// Before the first entry.
    pub const START: Self = Self { entries: 0, hash: [0; 32] };
}

pub(crate) struct Append(pub Vec<AuditEntry>);

impl Command for Append {
    type Out = ();

    fn bytes(&self) -> usize {
        self.0.iter().map(|entry| entry.detail.len()).sum()
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<(), WriteError> {
        Ok(append(conn, &self.0)?)
    }
}

pub(crate) fn link(before: &[u8; 32], id: i64, entry: &AuditEntry) -> [u8; 32] {
    link_of(before, id, entry.at, [&entry.actor, &entry.action, &entry.object, &entry.detail])
}

/// The hash of an entry of a chain, over the one before it: this one's form, and that of the consent ledger.
pub(crate) fn link_of<'a>(
    before: &[u8; 32],
    id: i64,
    at: i64,
    texts: impl IntoIterator<Item = &'a String>,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(id.to_le_bytes());
    hash.update(at.to_le_bytes());
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().into()
}

pub(crate) fn append(conn: &Connection, entries: &[AuditEntry]) -> rusqlite::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let last = audit_chain::head(conn)?;
    let (mut id, mut hash) = (last.entries as i64, last.hash);
    let mut insert = conn.prepare_cached(
        "INSERT INTO audit (id, at, actor, action, object, detail, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for entry in entries {
        id += 1;
        hash = link(&hash, id, entry);
        insert.execute(params![id, entry.at, entry.actor, entry.action, entry.object, entry.detail, hash])?;
    }
    Ok(())
}

pub(crate) fn entry_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<AuditEntry> {
    Ok(AuditEntry {
        at: row.get(1)?,
        actor: row.get(2)?,
        action: row.get(3)?,
        object: row.get(4)?,
        detail: row.get(5)?,
    })
}

/// Entries after the given number with their numbers, in order.
pub(crate) fn after(conn: &Connection, id: i64, limit: usize) -> Result<Vec<(i64, AuditEntry)>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT id, at, actor, action, object, detail FROM audit WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let rows = statement.query_map(params![id, limit as i64], |row| Ok((row.get(0)?, entry_of(row)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Entries before the given number with their numbers, the newest first.
pub(crate) fn before(conn: &Connection, id: i64, limit: usize) -> Result<Vec<(i64, AuditEntry)>, ReadError> {
    let mut statement = conn.prepare_cached(BEFORE)?;
    let rows = statement.query_map(params![id, limit as i64], |row| Ok((row.get(0)?, entry_of(row)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One entry.
pub(crate) fn entry(conn: &Connection, id: i64) -> Result<Option<AuditEntry>, ReadError> {
    let mut statement =
        conn.prepare_cached("SELECT id, at, actor, action, object, detail FROM audit WHERE id = ?1")?;
    Ok(statement.query_row([id], entry_of).optional()?)
}

/// The number of the first entry that was made at `at` or after, one after the last where there is none. Times rise with
/// the numbers, which have no gaps, so it is found by halving: some twenty looks. Where the clock was put back meanwhile,
/// an entry near that moment may lie on the other side.
pub(crate) fn first_since(conn: &Connection, at: i64) -> Result<i64, ReadError> {
    let last: i64 = conn.query_row("SELECT coalesce(max(id), 0) FROM audit", [], |row| row.get(0))?;
    let (mut low, mut high) = (1, last + 1);
    let mut time = conn.prepare_cached(TIME_OF)?;
    while low < high {
        let middle = low + (high - low) / 2;
        let made: i64 = time.query_row([middle], |row| row.get(0))?;
        if made < at {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

const BEFORE: &str =
    "SELECT id, at, actor, action, object, detail FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
const TIME_OF: &str = "SELECT at FROM audit WHERE id = ?1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{migrate, plan};

    #[test]
    fn a_page_of_the_audit_log_and_a_time_in_it_are_found_by_its_numbers() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        for sql in [BEFORE, TIME_OF] {
            let steps = plan(&conn, sql);
            assert!(steps.len() == 1 && steps[0].contains("INTEGER PRIMARY KEY"), "{sql}: {steps:?}");
        }
        assert_eq!(first_since(&conn, 0).unwrap(), 1, "of an empty log");
        let entry = |at| AuditEntry {
            actor: "a".into(),
            action: "b".into(),
            object: String::new(),
            detail: String::new(),
            at,
        };
        append(&conn, &[10, 20, 20, 30].map(entry)).unwrap();
        for (at, wanted) in [(0, 1), (10, 1), (11, 2), (20, 2), (21, 4), (30, 4), (31, 5)] {
            assert_eq!(first_since(&conn, at).unwrap(), wanted, "{at}");
        }
        let ids = |before, limit| -> Vec<i64> {
            super::before(&conn, before, limit).unwrap().into_iter().map(|(id, _)| id).collect()
        };
        assert_eq!((ids(i64::MAX, 3), ids(2, 3)), (vec![4, 3, 2], vec![1]));
        assert_eq!(super::entry(&conn, 2).unwrap().map(|entry| entry.at), Some(20));
        assert_eq!(super::entry(&conn, 5).unwrap(), None);
    }
}
