//! Copies of the database: made while the daemon writes, under the same key or another, and verified page by page.
//!
//! A backup, a restored store and a store under a new key are each a copy. It is made from one moment of the store
//! (a read transaction that lasts as long as the copying; meanwhile the write-ahead log grows), page by page, decrypted and
//! encrypted again, so that source and copy may have different keys and never share a salt.
//!
//! Invariants: a copy is written into a new file that only its owner may read, synced, and never over anything; it is no
//! copy before [`check`] said so; what is checked is not changed, not even by a recovery.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{
    Connection, OpenFlags, OptionalExtension,
    backup::{Backup, StepResult},
    params,
};

use crate::{
    audit::{self, AuditEntry, AuditHead},
    audit_chain,
    consent::ConsentHead,
    consent_chain,
    error::{ReadError, SqliteFault},
    key::Key,
    meta,
    open::{OpenError, Opener},
    schema,
    standstill::{self, BeginStandstill},
    status,
};

/// Pages copied between two looks at whether to go on: 4 MiB.
const PAGES: i32 = 1_024;
/// Rest between them, so that a copy beside a busy intake leaves it the disk.
const REST: Duration = Duration::from_millis(2);
/// Name of the moment of a copy, within the copy.
const COPIED_AT: &str = "copied-at";
/// Name of the box's id in the store, given by the daemon.
pub const BOX_ID: &str = "box-id";
/// Faults that are told of a damaged file.
const FAULTS_MOST: usize = 10;

/// Why there is no copy, or none that can be used.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source or the copy cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file could not be made or synced.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite refused.
    #[error("SQLite: {0}")]
    Sqlite(SqliteFault),
    /// A chain does not hold.
    #[error("{0}")]
    Chain(ReadError),
    /// Pages do not have what their seals say, or the database is not in order; the first faults.
    #[error("the file is damaged: {}", .0.join("; "))]
    Damaged(Vec<String>),
    /// A write-ahead log lies beside the file: without it the file is an older state than the two together.
    #[error("a log lies beside it ({}), so it is a store that was not closed and no backup", .0.display())]
    Unsettled(PathBuf),
    /// Whoever asked for it wants no more of it.
    #[error("broken off")]
    Ended,
}

impl From<rusqlite::Error> for CopyError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error.into())
    }
}

/// What a checked file holds, without patient data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Schema of the database; [`crate::SCHEMA_VERSION`] or earlier.
    pub schema: i64,
    /// When it was copied (ms UTC); `None` of a store that is no copy.
    pub copied_at: Option<i64>,
    /// Size of the database in bytes.
    pub bytes: u64,
    /// Messages in it.
    pub messages: u64,
    /// When the newest of them came (ms UTC).
    pub newest_message_at: Option<i64>,
    /// Writes that are not settled.
    pub unsettled: u64,
    /// The end of its audit log.
    pub audit: AuditHead,
    /// The end of its consent ledger.
    pub consent: ConsentHead,
    /// The box's id.
    pub box_id: String,
}

/// Copies the database behind `source` into the new file `to`, under `to_key`. `now_ms` is the present time. `goes_on` is told how
/// many pages are done, and of how many, and says whether to go on; `rest` leaves the disk to others in between.
///
/// # Errors
/// [`CopyError`]; a file that was begun stays for the caller to remove.
pub(crate) fn copy(
    source: Connection,
    to: &Path,
    to_key: &Key,
    now_ms: i64,
    rest: bool,
    goes_on: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<(), CopyError> {
    let io = |source| CopyError::Io { path: to.to_owned(), source };
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(io)?;
    // One moment of it, whatever is written meanwhile.
    source.execute_batch("BEGIN; SELECT count(*) FROM sqlite_master")?;
    let mut made = Opener::at(to, to_key.clone()).empty()?;
    {
        let backup = Backup::new(&source, &mut made)?;
        loop {
            let step = backup.step(PAGES)?;
            let progress = backup.progress();
            let total = progress.pagecount.max(0) as u64;
            let done = total.saturating_sub(progress.remaining.max(0) as u64);
            if !goes_on(done, total) {
                return Err(CopyError::Ended);
            }
            match step {
                StepResult::Done => break,
                _ if rest => std::thread::sleep(REST),
                _ => {}
            }
        }
    }
    meta::put(&made, COPIED_AT, &now_ms.to_be_bytes())?;
    made.close().map_err(|(_, error)| CopyError::from(error))?;
    sync(to)
}

/// Syncs a file and the folder that names it.
fn sync(path: &Path) -> Result<(), CopyError> {
    let io = |source| CopyError::Io { path: path.to_owned(), source };
    File::open(path).and_then(|file| file.sync_all()).map_err(io)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
}

/// A database file that nobody has open and that may lie where nothing can be written, opened to be copied: by whoever may
/// read it, who need not be who may write the copy.
pub struct Source(Connection);

impl Source {
    /// Opens it.
    ///
    /// # Errors
    /// [`CopyError::Open`]; [`OpenError::WrongKey`] where the key is another's.
    pub fn open(path: &Path, key: &Key) -> Result<Self, CopyError> {
        unchanging(path, key).map(Self)
    }

    /// Copies it into a new file, under another key where `key` is one. `now_ms` is the present time; `goes_on` is told how
    /// many pages are done, and of how many, and says whether to go on.
    ///
    /// # Errors
    /// [`CopyError`]; a file that was begun stays for the caller to remove.
    pub fn copy(
        self,
        to: &Path,
        key: &Key,
        now_ms: i64,
        goes_on: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<(), CopyError> {
        copy(self.0, to, key, now_ms, false, goes_on)
    }
}

/// Reads a whole file and says what it holds: every page against its seal, the database against itself, the chains of the
/// audit log and of the consent ledger. The file may lie on a medium that cannot be written.
///
/// # Errors
/// [`OpenError::WrongKey`] where the key is another's, [`OpenError::NewerSchema`], [`CopyError::Damaged`] and
/// [`CopyError::Chain`] where it cannot be relied on.
pub fn check(path: &Path, key: &Key) -> Result<Checked, CopyError> {
    let bytes = path.metadata().map_err(|source| CopyError::Io { path: path.to_owned(), source })?.len();
    let conn = unchanging(path, key)?;
    sound(&conn, "PRAGMA cipher_integrity_check")?;
    sound(&conn, "PRAGMA integrity_check(10)")?;
    let schema: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if schema > schema::SCHEMA_VERSION {
        return Err(OpenError::NewerSchema { found: schema, known: schema::SCHEMA_VERSION }.into());
    }
    let counts = status::counts(&conn).map_err(CopyError::Chain)?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let moment = |bytes: Vec<u8>| bytes.try_into().ok().map(i64::from_be_bytes);
    let newest = "SELECT received_at FROM inbox ORDER BY id DESC LIMIT 1";
    Ok(Checked {
        schema,
        copied_at: meta::get(&conn, COPIED_AT).map_err(CopyError::Chain)?.and_then(moment),
        bytes,
        messages: counts.inbox_total,
        newest_message_at: conn.query_row(newest, [], |row| row.get(0)).optional()?,
        unsettled: counts.unsettled(),
        audit: audit_chain::walk(&conn, AuditHead::START, usize::MAX >> 1).map_err(CopyError::Chain)?,
        consent: consent_chain::verify(&conn, None).map_err(CopyError::Chain)?,
        box_id: meta::get(&conn, BOX_ID).map_err(CopyError::Chain)?.map(text).unwrap_or_default(),
    })
}

/// A connection to a file that nothing changes and that is the whole database.
fn unchanging(path: &Path, key: &Key) -> Result<Connection, CopyError> {
    let opener = Opener::at(path, key.clone());
    let log = opener.wal_path();
    match log.metadata() {
        Ok(found) if found.len() > 0 => Err(CopyError::Unsettled(log)),
        _ => Ok(opener.unchanging()?),
    }
}

/// Runs a check of SQLite or SQLCipher, which tells a row for each fault, or `ok`.
fn sound(conn: &Connection, pragma: &str) -> Result<(), CopyError> {
    let mut statement = conn.prepare(pragma)?;
    let told = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut faults = Vec::new();
    for fault in told.take(FAULTS_MOST) {
        match fault {
            Ok(fault) if fault == "ok" => {}
            Ok(fault) => faults.push(fault),
            Err(error) => return Err(CopyError::Damaged(vec![SqliteFault::from(error).to_string()])),
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(CopyError::Damaged(faults)) }
}

/// Writes into a database file that no daemon has open, so that the daemon finds it there: entries of the audit log, and the
/// beginning of a standstill where one is given. The file's schema is brought up to date, and it is a store again, no copy.
///
/// # Errors
/// Where the file cannot be opened or written.
pub fn note(
    path: &Path,
    key: &Key,
    audit: &[AuditEntry],
    standstill: Option<&BeginStandstill>,
) -> Result<(), CopyError> {
    let conn = Opener::at(path, key.clone()).read_write()?;
    conn.execute_batch("BEGIN IMMEDIATE")?;
    audit::append(&conn, audit)?;
    if let Some(begin) = standstill {
        standstill::begin(&conn, begin)?;
    }
    conn.execute("DELETE FROM meta WHERE name = ?1", params![COPIED_AT])?;
    conn.execute_batch("COMMIT")?;
    settle_files(conn, path)
}

/// Empties the write-ahead log of a database file that no daemon has open, so that the file alone is the database. It says too
/// whether the key opens it.
///
/// # Errors
/// [`OpenError::WrongKey`] where it does not.
pub fn settle(path: &Path, key: &Key) -> Result<(), CopyError> {
    if !path.exists() {
        return Err(CopyError::Io { path: path.to_owned(), source: io::ErrorKind::NotFound.into() });
    }
    settle_files(Opener::at(path, key.clone()).durable()?, path)
}

/// Whose a database file is and where its audit log ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The box's id.
    pub box_id: String,
    /// The end of its audit log.
    pub audit: AuditHead,
}

/// Reads the head of a database file that no daemon has open. Nothing is checked.
///
/// # Errors
/// Where it cannot be opened or read.
pub fn head(path: &Path, key: &Key) -> Result<Head, CopyError> {
    let conn = Opener::at(path, key.clone()).read_only()?;
    let box_id = meta::get(&conn, BOX_ID).map_err(CopyError::Chain)?.unwrap_or_default();
    Ok(Head { box_id: String::from_utf8_lossy(&box_id).into_owned(), audit: audit_chain::head(&conn)? })
}

/// Empties the write-ahead log, so that the file alone is the database, and syncs it.
fn settle_files(conn: Connection, path: &Path) -> Result<(), CopyError> {
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    conn.close().map_err(|(_, error)| CopyError::from(error))?;
    sync(path)
}

/// A path in the form of SQLite's URIs (<https://www.sqlite.org/uri.html>), which says that nothing changes the file.
pub(crate) fn unchanging_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte))
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    uri
}

/// The flags of a connection by URI.
pub(crate) const BY_URI: OpenFlags = OpenFlags::SQLITE_OPEN_URI;
