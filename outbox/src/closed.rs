//! The store of a daemon that does not run, opened to read and for nothing else.
//!
//! Invariant: while it is open no daemon starts on the folder (the folder's lock), and nothing in the folder is made or changed
//! but what SQLite needs beside the database to read it, which has the database's owner and mode.

use std::{path::Path, sync::Arc};

use crate::{
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
    /// Held for as long as it is read.
    _lock: FolderLock,
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
        let lock = FolderLock::take(dir)?;
        let opener = Opener::new(dir, key);
        match schema::found(&opener.read_only()?)? {
            Schema::Ready => {}
            Schema::Newer(found) => {
                return Err(OpenError::NewerSchema { found, known: schema::SCHEMA_VERSION });
            }
            Schema::Foreign(owner) => return Err(OpenError::Foreign(owner)),
        }
        Ok(Self { readers: Readers::new(opener, READERS, Arc::new(Tail::default())), _lock: lock })
    }

    /// The way to read.
    pub fn readers(&self) -> Readers {
        self.readers.clone()
    }
}
