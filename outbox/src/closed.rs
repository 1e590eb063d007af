//! The store of a daemon that does not run, opened to read, and to write down in its audit log who read.
//!
//! Invariants: while it is open no daemon starts on the folder (the folder's lock); nothing in the folder is made or changed but the audit
//! log and what SQLite needs beside the database, which has the database's owner and mode. Where nothing can be written, as on evidence
//! on a medium that is write-protected, it is read as it lies there, and then nobody else may have it open.

use std::{fs, io, path::Path, sync::Arc};

use crate::{
    audit::{self, AuditEntry},
    key::Key,
    open::{FolderLock, LOCK_FILE, OpenError, Opener},
    reader::Readers,
    schema::{self, Schema},
    tail::Tail,
};

/// Connections for reading; who reads here does one thing at a time.
const READERS: usize = 2;

/// The store, to read. Dropping it gives the folder back.
pub struct ClosedStore {
    readers: Readers,
    /// The way to write; `None` where nothing can be written.
    opener: Option<Opener>,
    /// Held for as long as it is read.
    _lock: Option<FolderLock>,
}

impl ClosedStore {
    /// Opens the store in `dir`, which must be there, with the schema of this program.
    ///
    /// # Errors
    /// [`OpenError::Locked`] where a daemon runs; [`OpenError::NoFolder`] where no store was ever opened there.
    pub fn open(dir: &Path, key: Key) -> Result<Self, OpenError> {
        // Neither lock nor database is made here: they would be this user's, and the daemon's user could not open them.
        if !dir.join(LOCK_FILE).is_file() {
            return Err(OpenError::NoFolder);
        }
        let (lock, opener) = match FolderLock::take(dir) {
            Ok(lock) => (Some(lock), Opener::new(dir, key)),
            Err(OpenError::Io(error)) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                (None, Opener::new(dir, key).never_writing())
            }
            Err(error) => return Err(error),
        };
        if lock.is_none() && fs::metadata(opener.wal_path()).is_ok_and(|wal| wal.len() > 0) {
            // What is in it would be passed over.
            return Err(OpenError::Unsettled);
        }
        match schema::found(&opener.read_only()?)? {
            Schema::Ready => {}
            Schema::Newer(found) => {
                return Err(OpenError::NewerSchema { found, known: schema::SCHEMA_VERSION });
            }
            Schema::Foreign(owner) => return Err(OpenError::Foreign(owner)),
        }
        let writes = lock.is_some().then(|| opener.clone());
        let readers = Readers::new(opener, READERS, Arc::new(Tail::default()));
        Ok(Self { readers, opener: writes, _lock: lock })
    }

    /// Appends to the audit log of the store, synced.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn record(&self, entries: &[AuditEntry]) -> Result<(), OpenError> {
        let Some(opener) = &self.opener else {
            return Err(OpenError::Io(io::ErrorKind::ReadOnlyFilesystem.into()));
        };
        let conn = opener.durable()?;
        conn.execute_batch("BEGIN IMMEDIATE")?;
        audit::append(&conn, entries)?;
        Ok(conn.execute_batch("COMMIT")?)
    }

    /// The way to read.
    pub fn readers(&self) -> Readers {
        self.readers.clone()
    }
}
