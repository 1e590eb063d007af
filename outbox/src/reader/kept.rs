//! What is kept too long, what is held by law, and what is left of what was removed.

use super::Reader;
use crate::{
    error::ReadError,
    legal_hold::{self, LegalHold},
    prune::{self, Prunable, Pruned, RemovedMessage},
    windows::WindowKey,
};

/// SQLCipher's default, which is left as it is (`open.rs`).
const PAGE_BYTES: u64 = 4_096;

impl Reader {
    /// Rows of a site after `after`, as old as `before` (ms), that may go.
    pub fn prunable(&self, what: Prunable, site: &str, before: i64, after: i64) -> Result<Pruned, ReadError> {
        prune::prunable(self.conn()?, what, site, before, after)
    }

    /// How many legal holds are in force.
    pub fn legal_holds_in_force(&self) -> Result<u64, ReadError> {
        legal_hold::in_force(self.conn()?)
    }

    /// Whether a legal hold in force is of this site, or of all.
    pub fn is_site_held(&self, site: &str) -> Result<bool, ReadError> {
        legal_hold::is_of_site(self.conn()?, site)
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
        let pages: i64 = self.conn()?.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
        Ok(pages.unsigned_abs() * PAGE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Key, Store, StoreOptions};

    #[test]
    fn what_was_freed_inside_the_store_is_counted_in_whole_pages() {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::from_hex(&"a".repeat(64)).unwrap();
        let store = Store::open(dir.path(), key, StoreOptions::default(), 0).unwrap();
        let free = || store.readers().with(|reader| reader.free_bytes()).unwrap();
        let before = free();
        store.writer().put_meta("large", vec![7; 1 << 20]).wait().unwrap();
        assert_eq!(free(), 0);
        store.writer().put_meta("large", Vec::new()).wait().unwrap();
        assert!(before < 1 << 20 && free() >= 1 << 20 && free() % 4_096 == 0, "{before} {}", free());
        store.close();
    }
}
