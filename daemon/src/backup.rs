//! Backups: copies of the store, made while the daemon runs, under the store's own key.
//!
//! A backup is a file `isthmus-BOX-TIME.db` in the folder `backups` of the data folder, and beside it a `.json` that says
//! what it is and has its SHA-256, for whoever carries it elsewhere. One is made at a time, beside everything else.
//!
//! Invariants: a file has its name only when it was checked, page by page and chain by chain, as a restore would; each
//! backup is in the audit log; only files of these names are ever removed, and never the newest. Two of one second have a
//! number behind the second one's time: no name is ever taken twice.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use outbox::{
    AuditEntry, AuditHead, ReadError, Reader, Readers, WriteError, Writer,
    copy::{Checked, CopyError},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{disk::Space, durable, hex::hex, telemetry::Metric, time};

/// The folder of backups in the data folder.
pub const FOLDER: &str = "backups";
/// How the name of a backup begins.
const PREFIX: &str = "isthmus-";
/// What is not whole yet.
const PARTIAL: &str = ".partial";
/// Bytes that stay free beside a backup.
const SPARE: u64 = 256 << 20;
/// Name of the last backup in the store.
const LAST: &str = "last-backup";

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// One is being made.
    #[error("a backup is being made; isthmus backup shows how far it is")]
    Running,
    /// There is no room for it.
    #[error(
        "{folder}: {free} MiB are free, and {wanted} MiB are needed; remove older backups, or mount a larger disk there"
    )]
    Room {
        /// Where.
        folder: String,
        /// What is free there.
        free: u64,
        /// What is needed, with what stays free.
        wanted: u64,
    },
    /// A file could not be made.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The copy failed, or is none.
    #[error("{0}")]
    Copy(#[from] CopyError),
    /// The store did not take the entry.
    #[error("not in the audit log, so not made: {0}")]
    Audit(#[from] WriteError),
}

/// When the last backup was made, by what the store remembers; `None` where there was none.
///
/// # Errors
/// Where the store cannot be read.
pub fn last_made(reader: &Reader) -> Result<Option<String>, ReadError> {
    let told = reader.meta(LAST)?.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    Ok(told.and_then(|told| told["made"].as_str().map(str::to_owned)))
}

/// How far a backup is.
#[derive(Clone, Debug)]
enum State {
    Idle,
    Running { done: u64, total: u64 },
    Made(Value),
    Failed(String),
}

/// Makes backups; cheap to clone.
#[derive(Clone)]
pub struct Backups {
    /// Reads of the store.
    readers: Readers,
    /// Commands to the store.
    writer: Writer,
    /// The data folder.
    data_dir: PathBuf,
    /// What tells the store's key from others.
    key_id: String,
    /// The box's id.
    box_id: String,
    state: Arc<Mutex<State>>,
}

impl Backups {
    /// Of the store in `data_dir` under the key with this id.
    pub fn new(readers: Readers, writer: Writer, data_dir: &Path, key_id: String, box_id: String) -> Self {
        let (data_dir, state) = (data_dir.to_owned(), Arc::new(Mutex::new(State::Idle)));
        let backups = Self { readers, writer, data_dir, key_id, box_id, state };
        if let Some(made) = backups.last().and_then(|last| last["at"].as_i64()) {
            tell(made);
        }
        backups
    }

    /// Begins one on a thread of its own; of those that are there, `keep` stay, the new one among them.
    ///
    /// # Errors
    /// Where one is being made already, or there is no room.
    pub fn begin(&self, actor: String, keep: Option<usize>) -> Result<(), BackupError> {
        let folder = self.data_dir.join(FOLDER);
        let mut state = self.lock();
        if matches!(*state, State::Running { .. }) {
            return Err(BackupError::Running);
        }
        let io = |source| BackupError::Io { path: folder.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(io)?;
        self.has_room(&folder)?;
        *state = State::Running { done: 0, total: 0 };
        drop(state);
        let backups = self.clone();
        let thread = std::thread::Builder::new().name("backup".to_owned()).spawn(move || {
            let made = backups.make(&folder, &actor, keep);
            *backups.lock() = match made {
                Ok(made) => State::Made(made),
                Err(error) => {
                    tracing::warn!(%error, "no backup");
                    State::Failed(error.to_string())
                }
            };
        });
        thread.map(drop).map_err(|source| {
            *self.lock() = State::Idle;
            BackupError::Io { path: PathBuf::from("thread"), source }
        })
    }

    /// How far it is: `idle`, `running` with what is done, `made` with what it is, `failed` with why.
    pub fn progress(&self) -> Value {
        match &*self.lock() {
            State::Idle => json!({ "state": "idle", "last": self.last() }),
            State::Running { done, total } => json!({ "state": "running", "done": done, "total": total }),
            State::Made(made) => json!({ "state": "made", "backup": made }),
            State::Failed(why) => json!({ "state": "failed", "why": why }),
        }
    }

    /// The last backup that was made, with its time.
    pub fn last(&self) -> Option<Value> {
        let bytes = self.readers.with(|reader| reader.meta(LAST)).ok().flatten()?;
        serde_json::from_slice(&bytes).ok()
    }

    fn has_room(&self, folder: &Path) -> Result<(), BackupError> {
        let io = |source| BackupError::Io { path: folder.to_owned(), source };
        let database = self.data_dir.join(outbox::DATABASE_FILE);
        let wanted = database.metadata().map_err(io)?.len() + SPARE;
        let free = Space::of(folder).map_err(io)?.free_bytes;
        if free < wanted {
            let folder = folder.display().to_string();
            return Err(BackupError::Room { folder, free: free >> 20, wanted: wanted.div_ceil(1 << 20) });
        }
        Ok(())
    }

    fn make(&self, folder: &Path, actor: &str, keep: Option<usize>) -> Result<Value, BackupError> {
        let at = time::now_ms();
        let stamp: String = time::rfc3339(at).chars().filter(char::is_ascii_alphanumeric).collect();
        let name = free_name(folder, &format!("{PREFIX}{}-{stamp}", self.box_id));
        let (path, partial) = (folder.join(&name), folder.join(format!("{name}{PARTIAL}")));
        let made = self.copied(&partial, at).and_then(|(checked, sha256)| {
            let told = self.document(&name, at, &checked, &sha256);
            write_beside(&path, &told)?;
            self.record(&told, actor, at)?;
            let moved = fs::rename(&partial, &path).and_then(|()| durable::sync_folder_of(&path));
            moved.map_err(|source| BackupError::Io { path: path.clone(), source })?;
            Ok(told)
        });
        if made.is_err() {
            let _gone = fs::remove_file(&partial);
            let _gone = fs::remove_file(path.with_extension("json"));
        }
        let mut told = made?;
        let kept = self.writer.put_meta(LAST, told.to_string().into_bytes()).wait();
        if let Err(error) = kept {
            tracing::warn!(%error, "the store does not remember when the last backup was made");
        }
        tell(at);
        told["path"] = json!(path);
        if let Some(keep) = keep {
            told["removed"] = json!(prune(folder, keep.max(1), &name, ""));
        }
        Ok(told)
    }

    /// A checked copy, and its hash.
    fn copied(&self, partial: &Path, at: i64) -> Result<(Checked, String), BackupError> {
        self.readers.copy(partial, at, &mut |done, total| {
            *self.lock() = State::Running { done, total };
            true
        })?;
        let checked = self.readers.check(partial)?;
        let io = |source| BackupError::Io { path: partial.to_owned(), source };
        Ok((checked, sha256_of(partial).map_err(io)?))
    }

    fn document(&self, name: &str, at: i64, checked: &Checked, sha256: &str) -> Value {
        let mut told = document(checked, &self.key_id, Some(at));
        told["file"] = name.into();
        told["sha256"] = sha256.into();
        told["at"] = at.into();
        told["box"] = self.box_id.as_str().into();
        told["version"] = env!("CARGO_PKG_VERSION").into();
        told
    }

    /// Puts it on record, before it has its name: what the audit log does not tell of is not made.
    fn record(&self, told: &Value, actor: &str, at: i64) -> Result<(), BackupError> {
        let entry = AuditEntry {
            actor: actor.to_owned(),
            action: "backup made".to_owned(),
            object: told["file"].as_str().unwrap_or_default().to_owned(),
            detail: format!("sha256 {}", told["sha256"].as_str().unwrap_or_default()),
            at,
        };
        Ok(self.writer.audit(vec![entry]).wait()?)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(at: i64) {
    Metric::LastEvent.set(at as f64 / 1e3, &[("event", "backup".to_owned())]);
}

/// What a copy of the store was found to hold, for `--json` and the text beside a backup. `key` is the id of its key, `made`
/// when it was made, in milliseconds since the epoch.
pub(crate) fn document(found: &Checked, key: &str, made: Option<i64>) -> Value {
    json!({
        "box": found.box_id,
        "key": key,
        "made": made.map(time::rfc3339),
        "bytes": found.bytes,
        "schema": found.schema,
        "messages": found.messages,
        "newest_message": found.newest_message_at.map(time::rfc3339),
        "unsettled": found.unsettled,
        "audit": audit_document(&found.audit),
        "consent_entries": found.consent.entries,
    })
}

/// How far the audit log of a copy goes.
pub(crate) fn audit_document(head: &AuditHead) -> Value {
    json!({ "entries": head.entries, "hash": hex(&head.hash) })
}

/// Writes the text beside a backup, for whoever has no key.
fn write_beside(path: &Path, told: &Value) -> Result<(), BackupError> {
    let beside = path.with_extension("json");
    durable::new_file(&beside, 0o600, format!("{told:#}\n").as_bytes())
        .map_err(|source| BackupError::Io { path: beside, source })
}

/// The SHA-256 of a file, in hexadecimal digits.
///
/// # Errors
/// Where it cannot be read.
pub fn sha256_of(path: &Path) -> io::Result<String> {
    let (mut file, mut hash, mut chunk) = (File::open(path)?, Sha256::new(), vec![0_u8; 1 << 20]);
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            read => hash.update(&chunk[..read]),
        }
    }
    Ok(hex(&hash.finalize()))
}

/// Whether a name in the folder is that of a backup, of the text beside one, or of one that is not whole.
pub fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX) && [".db", ".json", PARTIAL].iter().any(|end| name.ends_with(end))
}

/// The name of a backup that no file in the folder has: two may be made within a second.
fn free_name(folder: &Path, stem: &str) -> String {
    let is_free = |name: &String| {
        let path = folder.join(name);
        ![path.with_extension("json"), path].iter().any(|path| path.symlink_metadata().is_ok())
    };
    let first = format!("{stem}.db");
    let numbered = || (2_u32..).map(|number| format!("{stem}.{number}.db")).find(is_free);
    if is_free(&first) { first } else { numbered().unwrap_or(first) }
}

/// Removes from a folder that several boxes may share all backups of the box that made `newest` but the newest ones, that one
/// among them. Returns what was removed.
pub fn prune_of_box(folder: &Path, keep: usize, newest: &str) -> Vec<PathBuf> {
    prune(folder, keep, newest, newest.rsplit_once('-').map_or(newest, |(of_box, _)| of_box))
}

/// Removes all but the newest whose names are `of_box`, a dash and a time, or of any box where that is empty. Names rise with
/// time; `newest` stays whatever the clock did since.
fn prune(folder: &Path, keep: usize, newest: &str, of_box: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_of_box =
        |name: &str| of_box.is_empty() || name.rsplit_once('-').is_some_and(|(its_box, _)| its_box == of_box);
    let is_backup = |name: &String| is_ours(name) && name.ends_with(".db") && is_of_box(name);
    let mut names: Vec<String> = names.filter(|name| is_backup(name) && name != newest).collect();
    names.sort_unstable_by(|a, b| stamp(b).cmp(stamp(a)));
    let mut removed = Vec::new();
    for name in names.iter().skip(keep.saturating_sub(1)) {
        let path = folder.join(name);
        let _none = fs::remove_file(path.with_extension("json"));
        match fs::remove_file(&path) {
            Ok(()) => removed.push(path),
            Err(error) => tracing::warn!(%error, "an old backup could not be removed"),
        }
    }
    removed
}

/// The time in a name, with its number: what stands after the last dash.
fn stamp(name: &str) -> &str {
    let name = name.strip_suffix(".db").unwrap_or(name);
    name.rsplit('-').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay_with_what_stands_beside_them_and_strangers_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let names =
            ["isthmus-b-20260101T000000Z", "isthmus-a-20260301T000000Z", "isthmus-b-20260201T000000Z"];
        for name in names {
            for end in ["db", "json"] {
                fs::write(dir.path().join(format!("{name}.{end}")), "x").unwrap();
            }
        }
        fs::write(dir.path().join("notes.db"), "x").unwrap();
        prune(dir.path(), 2, "isthmus-a-20260301T000000Z.db", "");
        let is_there = |name: &str, end: &str| dir.path().join(format!("{name}.{end}")).exists();
        for end in ["db", "json"] {
            assert!(!is_there(names[0], end) && is_there(names[1], end) && is_there(names[2], end), "{end}");
        }
        assert!(is_there("notes", "db"));
    }

    #[test]
    fn in_a_folder_that_boxes_share_each_removes_its_own_and_never_the_one_that_was_just_moved() {
        let dir = tempfile::tempdir().unwrap();
        let names = [
            "isthmus-box-1-20260301T000000Z.db",
            "isthmus-box-1-20260301T000000Z.2.db",
            // Made before the clock was set back.
            "isthmus-box-1-20270101T000000Z.db",
            "isthmus-box-2-20250101T000000Z.db",
            "isthmus-box-1-x-20250101T000000Z.db",
        ];
        for name in names {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let removed = prune_of_box(dir.path(), 2, names[1]);
        assert_eq!(removed, [dir.path().join(names[0])]);
        assert_eq!(prune_of_box(dir.path(), 1, names[1]), [dir.path().join(names[2])]);
        for left in [names[1], names[3], names[4]] {
            assert!(dir.path().join(left).exists(), "{left}");
        }
    }

    #[test]
    fn two_of_one_second_have_two_names_and_the_later_one_is_the_newer() {
        let dir = tempfile::tempdir().unwrap();
        let stem = "isthmus-b-20260101T000000Z";
        let first = free_name(dir.path(), stem);
        fs::write(dir.path().join(&first), "x").unwrap();
        let second = free_name(dir.path(), stem);
        assert_eq!(
            (first.as_str(), second.as_str()),
            ("isthmus-b-20260101T000000Z.db", "isthmus-b-20260101T000000Z.2.db")
        );
        assert!(is_ours(&second) && stamp(&second) > stamp(&first));
    }

    #[test]
    fn a_hash_is_that_of_the_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, b"abc").unwrap();
        assert_eq!(
            sha256_of(&path).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
