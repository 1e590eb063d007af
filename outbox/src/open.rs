//! Opening the one database file, or refusing to.
//!
//! Invariants: nothing is opened without the folder's lock (`isthmus.lock`, held with flock for as long as the
//! store lives, so a killed daemon leaves no stale lock); a plain SQLite file is refused before SQLite sees it;
//! WAL and synchronous=FULL are read back on every read-write connection, because the positive ACK rests on
//! them, and so is secure_delete, on which the erasure of what retention removes rests; readers cannot write (`query_only`, and opened read-only).
//!
//! SQLCipher's page size and memory settings are left at their defaults (4,096 bytes): no gain was measured.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Once,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use crate::{
    copy::{BY_URI, unchanging_uri},
    error::SqliteFault,
    key::Key,
    schema::{self, Schema},
};

/// The database's name in the data folder.
pub const DATABASE_FILE: &str = "isthmus.db";
/// The lock's name in the data folder. The file stays; the lock goes with the process.
pub const LOCK_FILE: &str = "isthmus.lock";
/// How every unencrypted SQLite file begins (<https://www.sqlite.org/fileformat.html>, section 1.3).
const PLAIN_HEADER: &[u8; 16] = b"SQLite format 3\0";
/// Pages after which SQLite itself moves the WAL into the database: 48 MiB. Everyone who waits for a commit waits for
/// that too, so it must be rare: at SQLite's default of 1,000 pages a busy intake does it many times a second.
const WAL_AUTOCHECKPOINT_PAGES: i64 = 12_000;
/// How long a connection waits for another one's lock. Only a checkpoint or an outside backup holds any.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_millis(2_000);
/// Page caches, in KiB: the writer's holds the upper pages of every index; a reader's, one patient's window.
const WRITER_CACHE_KIB: i64 = 32 * 1024;
const READER_CACHE_KIB: i64 = 4 * 1024;
/// Prepared statements kept on the writer; there are about sixty in all.
const WRITER_STATEMENTS: usize = 96;
/// Prepared statements kept on a reader.
const READER_STATEMENTS: usize = 48;

/// Why the store could not be opened. The folder is left as it was found.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder is missing or not a folder.
    #[error("the data folder does not exist")]
    NoFolder,
    /// Another process has this folder open.
    #[error("another process has this data folder open")]
    Locked,
    /// A file could not be made, opened or read.
    #[error("the data folder cannot be used: {0}")]
    Io(#[from] io::Error),
    /// Nothing can be written there, and the write-ahead log holds what the database does not.
    #[error(
        "its write-ahead log cannot be read where nothing can be written; copy the folder to where it can"
    )]
    Unsettled,
    /// The database is not encrypted; it is not opened, and not converted either.
    #[error("the database is a plain SQLite file; it must be encrypted")]
    Plain,
    /// The key does not open this database, or the file is not a database.
    #[error("the key does not open this database")]
    WrongKey,
    /// This program was built without SQLCipher, so nothing would be encrypted.
    #[error("this program was built without SQLCipher")]
    NoCipher,
    /// A setting on which the ACK contract rests did not take.
    #[error("SQLite did not accept {setting} (it says {found})")]
    Setting {
        /// The setting asked for.
        setting: &'static str,
        /// What SQLite says is in force.
        found: String,
    },
    /// The database was written by a newer program.
    #[error("the database has schema {found}; this program knows up to {known}")]
    NewerSchema {
        /// The schema found.
        found: i64,
        /// The newest schema this program knows.
        known: i64,
    },
    /// The database belongs to another program.
    #[error("the database belongs to another program (application id {0:#x})")]
    Foreign(i32),
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// SQLite refused.
    #[error("SQLite: {0}")]
    Sqlite(SqliteFault),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => Self::WrongKey,
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            _ => Self::Sqlite(error.into()),
        }
    }
}

/// Makes connections to one database; cheap to clone.
#[derive(Clone)]
pub(crate) struct Opener {
    path: PathBuf,
    key: Key,
    /// Whether its file may lie where nothing can be written.
    never_writes: bool,
}

impl Opener {
    pub(crate) fn new(dir: &Path, key: Key) -> Self {
        Self::at(&dir.join(DATABASE_FILE), key)
    }

    /// Makes connections to a database file by its own path.
    pub(crate) fn at(path: &Path, key: Key) -> Self {
        Self { path: path.to_owned(), key, never_writes: false }
    }

    /// The same for a file that nobody has open and that lies where nothing can be written.
    pub(crate) fn never_writing(self) -> Self {
        Self { never_writes: true, ..self }
    }

    /// A connection to a new file that is filled at once: nothing is synced before the end.
    pub(crate) fn empty(&self) -> Result<Connection, OpenError> {
        let conn = self.keyed(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        conn.pragma_update(None, "journal_mode", "OFF")?;
        conn.pragma_update(None, "synchronous", "OFF")?;
        Ok(conn)
    }

    /// A connection that can only read, to a file that nobody has open and that may lie where nothing can be written. A plain
    /// database is refused.
    pub(crate) fn unchanging(&self) -> Result<Connection, OpenError> {
        refuse_plain(&File::open(&self.path)?)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | BY_URI;
        self.keyed_at(Path::new(&unchanging_uri(&self.path)), flags)
    }

    /// The key that it opens with.
    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// The write-ahead log beside the database.
    pub(crate) fn wal_path(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push("-wal");
        name.into()
    }

    /// A read-write connection with every setting read back and the schema up to date. Makes the database where
    /// there is none.
    pub(crate) fn read_write(&self) -> Result<Connection, OpenError> {
        let conn = self.durable()?;
        match schema::migrate(&conn)? {
            Schema::Ready => Ok(conn),
            Schema::Newer(found) => Err(OpenError::NewerSchema { found, known: schema::SCHEMA_VERSION }),
            Schema::Foreign(owner) => Err(OpenError::Foreign(owner)),
        }
    }

    /// A read-write connection with every setting read back, and whatever schema there is.
    pub(crate) fn durable(&self) -> Result<Connection, OpenError> {
        prepare_file(&self.path)?;
        let conn = self.keyed(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        read_back(&conn, "journal_mode", "journal_mode=WAL", "wal")?;
        read_back(&conn, "synchronous", "synchronous=FULL", "2")?;
        conn.pragma_update(None, "secure_delete", "ON")?;
        read_back(&conn, "secure_delete", "secure_delete=ON", "1")?;
        conn.pragma_update(None, "wal_autocheckpoint", WAL_AUTOCHECKPOINT_PAGES)?;
        conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
        conn.pragma_update(None, "foreign_keys", true)?;
        conn.set_prepared_statement_cache_capacity(WRITER_STATEMENTS);
        Ok(conn)
    }

    /// A connection that can only read.
    pub(crate) fn read_only(&self) -> Result<Connection, OpenError> {
        let conn = match self.never_writes {
            true => self.unchanging()?,
            false => self.keyed(OpenFlags::SQLITE_OPEN_READ_ONLY)?,
        };
        conn.pragma_update(None, "query_only", true)?;
        conn.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
        conn.set_prepared_statement_cache_capacity(READER_STATEMENTS);
        Ok(conn)
    }

    fn keyed(&self, access: OpenFlags) -> Result<Connection, OpenError> {
        self.keyed_at(&self.path, access)
    }

    fn keyed_at(&self, path: &Path, access: OpenFlags) -> Result<Connection, OpenError> {
        set_up_library();
        let conn = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        conn.busy_timeout(BUSY_TIMEOUT)?;
        // SQLCipher would write its own lines to stderr; what it has to say comes back as an error code.
        conn.execute_batch("PRAGMA cipher_log_level = NONE")?;
        conn.execute_batch(&self.key.pragma())?;
        let cipher = conn.pragma_query_value(None, "cipher_version", |row| row.get::<_, String>(0));
        if cipher.is_err() {
            return Err(OpenError::NoCipher);
        }
        // The first page is decrypted here; the wrong key shows as "not a database".
        conn.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get::<_, i64>(0))?;
        conn.pragma_update(None, "temp_store", "MEMORY")?;
        conn.pragma_update(None, "trusted_schema", false)?;
        Ok(conn)
    }
}

/// Lets one thread set SQLite and SQLCipher up while the others wait. SQLite calls itself initialized before it runs
/// SQLCipher's part (`SQLITE_EXTRA_INIT`), so a second thread would key its database with half a cipher and be told
/// "SQL logic error".
fn set_up_library() {
    static ONCE: Once = Once::new();
    // Whether this connection opens does not matter: the next one meets the same fault and reports it.
    ONCE.call_once(|| drop(Connection::open_in_memory()));
}

/// The lock of a data folder: while it is held no other process opens the store in it.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes it: for a store, or for work on the files of a stopped daemon.
    ///
    /// # Errors
    /// [`OpenError::Locked`] where another process has it; [`OpenError::NoFolder`].
    pub fn take(dir: &Path) -> Result<Self, OpenError> {
        if !dir.is_dir() {
            return Err(OpenError::NoFolder);
        }
        let mut open = OpenOptions::new();
        let file = open.create(true).truncate(false).write(true).mode(0o600).open(dir.join(LOCK_FILE))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

/// Refuses a plain database and makes a missing one as an empty file that only its owner can read (SQLite
/// gives its WAL the same permissions).
fn prepare_file(path: &Path) -> Result<(), OpenError> {
    let file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)?;
    refuse_plain(&file)
}

fn refuse_plain(file: &File) -> Result<(), OpenError> {
    let mut head = Vec::with_capacity(PLAIN_HEADER.len());
    file.take(PLAIN_HEADER.len() as u64).read_to_end(&mut head)?;
    if head == PLAIN_HEADER { Err(OpenError::Plain) } else { Ok(()) }
}

fn read_back(
    conn: &Connection,
    pragma: &str,
    setting: &'static str,
    expected: &str,
) -> Result<(), OpenError> {
    let found = conn.pragma_query_value(None, pragma, |row| {
        Ok(match row.get_ref(0)? {
            rusqlite::types::ValueRef::Integer(n) => n.to_string(),
            other => other.as_str().unwrap_or("nothing").to_owned(),
        })
    })?;
    if found == expected { Ok(()) } else { Err(OpenError::Setting { setting, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opener(dir: &Path, digit: &str) -> Opener {
        Opener::new(dir, Key::from_hex(&digit.repeat(64)).unwrap())
    }

    #[test]
    fn wal_and_full_are_in_force_on_the_writer_and_a_reader_cannot_write() {
        let dir = tempfile::tempdir().unwrap();
        let opener = opener(dir.path(), "a");
        let conn = opener.read_write().unwrap();
        let synchronous: i64 = conn.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        let journal: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!((synchronous, journal.as_str()), (2, "wal"));
        let reader = opener.read_only().unwrap();
        assert!(reader.execute("DELETE FROM meta", []).is_err());
    }

    #[test]
    fn a_setting_that_did_not_take_is_refused() {
        let conn = Connection::open_in_memory().unwrap();
        // An in-memory database has no write-ahead log.
        conn.pragma_update(None, "journal_mode", "WAL").unwrap();
        assert!(matches!(
            read_back(&conn, "journal_mode", "journal_mode=WAL", "wal"),
            Err(OpenError::Setting { setting: "journal_mode=WAL", .. })
        ));
        conn.pragma_update(None, "synchronous", "NORMAL").unwrap();
        assert!(read_back(&conn, "synchronous", "synchronous=FULL", "2").is_err());
    }

    #[test]
    fn no_error_shows_the_key() {
        let dir = tempfile::tempdir().unwrap();
        drop(opener(dir.path(), "a").read_write().unwrap());
        let error = opener(dir.path(), "b").read_write().unwrap_err();
        assert!(matches!(error, OpenError::WrongKey));
        assert!(!format!("{error:?} {error}").contains("bbbb"));
    }
}
