//! What the resources of the local endpoint are made from.

use super::Reader;
use crate::{
    audit::{self, AuditEntry},
    error::ReadError,
    facts::{self, KnownFact},
    lineage, manifest,
    patients::{self, Name},
    rehome,
};

impl Reader {
    /// The identifier with this number, and whether it is of another kind than names the site's patients.
    pub fn name(&self, patient: i64) -> Result<Option<Name>, ReadError> {
        Ok(patients::name(self.conn()?, patient)?)
    }

    /// An identifier and all whose links lead to it, itself first, whether or not they count for it.
    pub fn descendants(&self, patient: i64) -> Result<Vec<i64>, ReadError> {
        Ok(lineage::descendants(self.conn()?, patient)?)
    }

    /// All that is known of an identifier's patient, by fact.
    pub fn facts(&self, patient: i64) -> Result<Vec<KnownFact>, ReadError> {
        Ok(facts::all(self.conn()?, patient)?)
    }

    /// Whether windows of a patient are still to be dirtied, because who is who has changed.
    pub fn is_rehomed(&self, patient: i64) -> Result<bool, ReadError> {
        Ok(rehome::is_owed(self.conn()?, patient)?)
    }

    /// When a list of messages was kept, in milliseconds.
    pub fn manifest_kept_at(&self, id: &str) -> Result<Option<i64>, ReadError> {
        manifest::kept_at(self.conn()?, id)
    }

    /// Audit entries before the given number with their numbers, the newest first.
    pub fn audit_before(&self, id: i64, limit: usize) -> Result<Vec<(i64, AuditEntry)>, ReadError> {
        audit::before(self.conn()?, id, limit)
    }

    /// One audit entry.
    pub fn audit_entry(&self, id: i64) -> Result<Option<AuditEntry>, ReadError> {
        audit::entry(self.conn()?, id)
    }

    /// The number of the first audit entry that was made at `at` (ms) or after, one after the last where there is none.
    /// Where the clock was put back, an entry near that moment may lie on the other side.
    pub fn audit_since(&self, at: i64) -> Result<i64, ReadError> {
        audit::first_since(self.conn()?, at)
    }
}
