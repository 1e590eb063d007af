//! A fault of the audit log's chain, so that a person can accept it and no other: what the rows at its place hold, as a
//! fingerprint.
//!
//! Invariants: a fingerprint covers every column of the rows at the place, as they are stored, and the hash before them; so one that was
//! accepted is another as soon as anything there changes. Nothing here changes a row.

use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};

use crate::{
    audit::{AuditEntry, AuditHead, entry_of},
    audit_chain::{self, AuditBreak},
    error::ReadError,
};

/// A fault that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditFault {
    /// SHA-256 of the place and of what is stored there.
    pub fingerprint: [u8; 32],
    /// Where a walk goes on behind it.
    pub resume: AuditHead,
}

/// The fault at this place; `None` where the chain does not fail there in this way, and where no walk could go on behind it.
pub(crate) fn fault(conn: &Connection, broken: AuditBreak) -> Result<Option<AuditFault>, ReadError> {
    let (first, last) = match broken {
        AuditBreak::Altered(entry) => (entry, entry),
        // What is left of the gap's end: the entry behind it, which follows nothing any more.
        AuditBreak::Missing(first, last) => (first, last.saturating_add(1)),
    };
    if first < 1 || last < first {
        return Ok(None);
    }
    let before = match first {
        1 => Some([0; 32]),
        first => stored_hash(conn, first - 1)?,
    };
    let from = AuditHead { entries: (first - 1).unsigned_abs(), hash: before.unwrap_or_default() };
    if !matches!(audit_chain::walk(conn, from, 1), Err(ReadError::AuditBroken(found)) if found == broken) {
        return Ok(None);
    }
    let Some(row) = conn.prepare_cached(ROW)?.query_row([last], |row| row.get::<_, String>(0)).optional()?
    else {
        return Ok(None);
    };
    let mut hash = Sha256::new();
    hash.update(match broken {
        AuditBreak::Altered(_) => b"altered",
        AuditBreak::Missing(..) => b"missing",
    });
    for number in [first, last] {
        hash.update(number.to_le_bytes());
    }
    hash.update(from.hash);
    hash.update(row.as_bytes());
    let resume =
        AuditHead { entries: last.unsigned_abs(), hash: stored_hash(conn, last)?.unwrap_or_default() };
    Ok(Some(AuditFault { fingerprint: hash.finalize().into(), resume }))
}

/// The hash that is stored with an entry; `None` where there is none, or something else in its place.
fn stored_hash(conn: &Connection, id: i64) -> Result<Option<[u8; 32]>, ReadError> {
    let mut statement = conn.prepare_cached("SELECT hash FROM audit WHERE id = ?1")?;
    let stored = statement.query_row([id], |row| Ok(row.get::<_, [u8; 32]>(0).ok())).optional()?;
    Ok(stored.flatten())
}

/// Every entry with this action, in order. Reads the whole log.
pub(crate) fn with_action(conn: &Connection, action: &str) -> Result<Vec<(i64, AuditEntry)>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT id, at, actor, action, object, detail FROM audit WHERE action = ?1 ORDER BY id",
    )?;
    // What was changed into something that is no entry accepts nothing.
    let rows = statement.query_map([action], |row| Ok((row.get(0)?, entry_of(row)?)))?;
    Ok(rows.filter_map(Result::ok).collect())
}

const ROW: &str = "SELECT quote(id) || quote(at) || quote(actor) || quote(action) || quote(object) || quote(detail) || quote(hash) \
                   FROM audit WHERE id = ?1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{audit, schema::migrate};

    fn log() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        let entry = |at: i64| AuditEntry {
            actor: "a".into(),
            action: if at == 4 { "wanted".into() } else { "b".into() },
            object: format!("o{at}"),
            detail: "d".into(),
            at,
        };
        audit::append(&conn, &[1, 2, 3, 4, 5, 6].map(entry)).unwrap();
        conn.execute_batch("DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_deleted").unwrap();
        conn
    }

    fn found(conn: &Connection, from: AuditHead) -> Option<AuditBreak> {
        match audit_chain::walk(conn, from, 99) {
            Err(ReadError::AuditBroken(broken)) => Some(broken),
            walked => walked.map(|_| None).unwrap(),
        }
    }

    #[test]
    fn a_fault_has_the_fingerprint_of_what_stands_there_and_a_walk_goes_on_behind_it() {
        for (tamper, broken, more, next) in [
            (
                "UPDATE audit SET detail = 'x' WHERE id = 3",
                AuditBreak::Altered(3),
                "UPDATE audit SET detail = 'y' WHERE id = 3",
                None,
            ),
            (
                "DELETE FROM audit WHERE id IN (2, 3)",
                AuditBreak::Missing(2, 3),
                "UPDATE audit SET actor = 'z' WHERE id = 4",
                None,
            ),
            (
                "UPDATE audit SET hash = zeroblob(32) WHERE id = 3",
                AuditBreak::Altered(3),
                "UPDATE audit SET at = 9 WHERE id = 3",
                Some(AuditBreak::Altered(4)),
            ),
        ] {
            let conn = log();
            assert_eq!(fault(&conn, broken).unwrap(), None, "a whole log has no fault to accept");
            conn.execute_batch(tamper).unwrap();
            assert_eq!(found(&conn, AuditHead::START), Some(broken), "{tamper}");
            let first = fault(&conn, broken).unwrap().unwrap();
            assert_eq!(fault(&conn, broken).unwrap(), Some(first));
            assert_eq!(found(&conn, first.resume), next, "{tamper}");
            conn.execute_batch(more).unwrap();
            assert_ne!(fault(&conn, broken).unwrap().unwrap().fingerprint, first.fingerprint, "{more}");
        }
    }

    #[test]
    fn entries_are_found_by_their_action_and_what_no_walk_can_pass_is_no_fault_to_accept() {
        let conn = log();
        assert_eq!(
            with_action(&conn, "wanted").unwrap().into_iter().map(|(id, _)| id).collect::<Vec<_>>(),
            [4]
        );
        for broken in [
            AuditBreak::Altered(0),
            AuditBreak::Altered(-3),
            AuditBreak::Altered(7),
            AuditBreak::Missing(3, 2),
        ] {
            assert_eq!(fault(&conn, broken).unwrap(), None, "{broken:?}");
        }
    }
}
