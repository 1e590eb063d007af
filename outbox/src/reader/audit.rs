//! Reads of the audit log, its chain and its seals.

use super::Reader;
use crate::{
    audit::{self, AuditEntry, AuditHead},
    audit_chain::{self, AuditBreak, ChainedEntry},
    audit_fault::{self, AuditFault},
    audit_seal::{self, AuditSeal},
    error::ReadError,
};

impl Reader {
    /// Audit entries after the given number, with their numbers.
    pub fn audit_after(&self, id: i64, limit: usize) -> Result<Vec<(i64, AuditEntry)>, ReadError> {
        audit::after(self.conn()?, id, limit)
    }

    /// The same with their hashes.
    pub fn audit_chained(&self, id: i64, limit: usize) -> Result<Vec<ChainedEntry>, ReadError> {
        audit_chain::chained(self.conn()?, id, limit)
    }

    /// The end of the audit log, as it is stored.
    pub fn audit_head(&self) -> Result<AuditHead, ReadError> {
        Ok(audit_chain::head(self.conn()?)?)
    }

    /// The hash of the audit entry with this number, as it is stored; zeros before the first, `None` where there is no such
    /// entry.
    pub fn audit_hash(&self, id: i64) -> Result<Option<[u8; 32]>, ReadError> {
        match id {
            0 => Ok(Some([0; 32])),
            id => Ok(audit_chain::hash_of(self.conn()?, id)?),
        }
    }

    /// Walks at most `limit` entries of the audit log's chain of hashes, from a head that was reached before
    /// ([`AuditHead::START`] at first). Returns the head reached: fewer entries further only at the log's end.
    ///
    /// # Errors
    /// [`ReadError::AuditBroken`] with the first entry that is not as it was recorded.
    pub fn walk_audit(&self, from: AuditHead, limit: usize) -> Result<AuditHead, ReadError> {
        audit_chain::walk(self.conn()?, from, limit)
    }

    /// Walks the audit log's whole chain of hashes in one go, however long it is.
    pub fn verify_audit(&self) -> Result<AuditHead, ReadError> {
        self.walk_audit(AuditHead::START, usize::MAX >> 1)
    }

    /// The fault of the audit log's chain at this place; `None` where the chain does not fail there so.
    pub fn audit_fault(&self, broken: AuditBreak) -> Result<Option<AuditFault>, ReadError> {
        audit_fault::fault(self.conn()?, broken)
    }

    /// Every audit entry with this action, in order. Reads the whole log: for what is asked seldom.
    pub fn audit_with_action(&self, action: &str) -> Result<Vec<(i64, AuditEntry)>, ReadError> {
        audit_fault::with_action(self.conn()?, action)
    }

    /// The newest seal of the audit log.
    pub fn audit_seal(&self) -> Result<Option<AuditSeal>, ReadError> {
        Ok(audit_seal::latest(self.conn()?)?)
    }

    /// At most `limit` seals of days after the given one, in order.
    pub fn audit_seals(&self, after_day: i64, limit: usize) -> Result<Vec<AuditSeal>, ReadError> {
        Ok(audit_seal::after(self.conn()?, after_day, limit)?)
    }
}
