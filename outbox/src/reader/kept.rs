//! What is kept too long, what is held by law, and what is left of what was removed.

use super::Reader;
use crate::{
    error::ReadError,
    legal_hold::{self, LegalHold},
    prune::{self, Prunable, Pruned, RemovedMessage},
    windows::WindowKey,
};

impl Reader {
    /// Rows of a site after `after`, as old as `before` (ms), that may go.
    pub fn prunable(&self, what: Prunable, site: &str, before: i64, after: i64) -> Result<Pruned, ReadError> {
        prune::prunable(self.conn()?, what, site, before, after)
    }

    /// Legal holds, the newest first: those in force, or all; at most `limit`.
    pub fn legal_holds(&self, all: bool, limit: usize) -> Result<Vec<LegalHold>, ReadError> {
        legal_hold::list(self.conn()?, all, limit)
    }

    /// What is left of a message, where its bytes were removed.
    pub fn removed_message(&self, id: i64) -> Result<Option<RemovedMessage>, ReadError> {
        Ok(prune::removed_message(self.conn()?, id)?)
    }

    /// Whether readings of a window's days were removed: it is computed no more.
    pub fn is_closed(&self, key: &WindowKey) -> Result<bool, ReadError> {
        Ok(prune::is_closed(self.conn()?, key.patient, key.days, key.end_day)?)
    }

    /// Bytes of the database file that hold nothing: they were freed, and are used again.
    pub fn free_bytes(&self) -> Result<u64, ReadError> {
        let conn = self.conn()?;
        let of = |pragma| conn.query_row(pragma, [], |row| row.get::<_, i64>(0));
        let pages = of("PRAGMA freelist_count")?.unsigned_abs();
        Ok(pages * of("PRAGMA page_size")?.unsigned_abs())
    }
}
