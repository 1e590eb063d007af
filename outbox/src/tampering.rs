//! What a bad disk, a careless or a wicked hand, or a long standstill does to a closed store, for tests of what follows (feature
//! `tampering`, on in no program that ships).

use std::{path::Path, time::Duration};

use crate::{
    key::Key,
    open::{OpenError, Opener},
};

/// Puts other bytes in the place of a row's body, with its hash left as it is; whether there was such a row.
///
/// # Errors
/// [`OpenError`] where the store cannot be opened or written.
pub fn damage_body(dir: &Path, key: Key, row_id: i64) -> Result<bool, OpenError> {
    let conn = Opener::new(dir, key).durable()?;
    let changed = conn.execute("UPDATE outbox_body SET bytes = x'00' WHERE row_id = ?1", [row_id])?;
    Ok(changed > 0)
}

/// Makes what is stored of messages, versions and rows so much older, as if the machine had been off for that long since.
///
/// # Errors
/// As [`damage_body`].
pub fn make_older(dir: &Path, key: Key, by: Duration) -> Result<(), OpenError> {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    let conn = Opener::new(dir, key).durable()?;
    for sql in [
        "UPDATE inbox SET received_at = received_at - ?1",
        "UPDATE published_version SET at = at - ?1",
        "UPDATE outbox SET created_at = created_at - ?1, next_at = next_at - ?1,
           free_since = CASE free_since WHEN 0 THEN 0 ELSE free_since - ?1 END",
    ] {
        conn.execute(sql, [by])?;
    }
    Ok(())
}

/// What somebody with the key does to the audit log of a stopped daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tamper {
    /// Other particulars are put into the entry of this number.
    Change(i64),
    /// The entry of this number is removed.
    Remove(i64),
    /// The entries of these numbers take each other's place, hashes and all.
    Swap(i64, i64),
    /// Whatever keeps entries from being added refuses all of them.
    Block,
}

/// Takes the triggers away and does it.
///
/// # Errors
/// As [`damage_body`].
pub fn tamper(dir: &Path, key: Key, what: Tamper) -> Result<(), OpenError> {
    let conn = Opener::new(dir, key).durable()?;
    let done = match what {
        Tamper::Change(id) => format!("UPDATE audit SET detail = 'nothing of note' WHERE id = {id}"),
        Tamper::Remove(id) => format!("DELETE FROM audit WHERE id = {id}"),
        Tamper::Swap(one, other) => format!(
            "UPDATE audit SET id = -1 WHERE id = {one}; UPDATE audit SET id = {one} WHERE id = {other}; \
             UPDATE audit SET id = {other} WHERE id = -1"
        ),
        Tamper::Block => {
            "CREATE TRIGGER audit_is_full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END"
                .to_owned()
        }
    };
    let triggers = "DROP TRIGGER IF EXISTS audit_is_not_changed; DROP TRIGGER IF EXISTS audit_is_not_deleted";
    Ok(conn.execute_batch(&format!("{triggers}; {done}"))?)
}
