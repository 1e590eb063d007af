//! What somebody with the store's key could do to the audit log of a stopped daemon. For tests of what is noticed, and in no
//! package: it is behind a feature that only they switch on.

use std::path::Path;

use crate::{
    key::Key,
    open::{OpenError, Opener},
};

/// What is done.
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
/// Where the database cannot be opened or written.
pub fn audit(path: &Path, key: &Key, what: Tamper) -> Result<(), OpenError> {
    let conn = Opener::at(path, key.clone()).durable()?;
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
