//! The yardstick of `isthmus bench mllp`: a group-commit writer with nothing else, so that the price of everything the
//! daemon does beside storing can be told as a ratio.
//!
//! Invariants: it opens its connection as the store does (same cipher, same key handling, WAL and
//! synchronous=FULL read back, same page cache), and answers after the commit is synced, so both pay the same for
//! durability. It has one table, no identities, no refusals, no reopening after an I/O error. Nothing but the
//! benchmark uses it, and it refuses a folder that holds a store.

use std::{path::Path, thread};

use bytes::Bytes;
use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};

use crate::{
    error::WriteError,
    key::Key,
    open::{DATABASE_FILE, FolderLock, OpenError, Opener},
    store::INTAKE_QUEUE,
    thread::MAX_GROUP,
};

type Answer = oneshot::Sender<Result<i64, WriteError>>;

/// Hands frames to the yardstick's thread; cheap to clone. The thread ends with the last clone.
#[derive(Clone)]
pub struct BareWriter(mpsc::Sender<(Bytes, Answer)>);

impl BareWriter {
    /// Makes the database in `dir`, which must exist and hold none, and starts the thread.
    pub fn open(dir: &Path, key: Key) -> Result<Self, OpenError> {
        let lock = FolderLock::take(dir)?;
        if dir.join(DATABASE_FILE).exists() {
            return Err(OpenError::Foreign(0));
        }
        let conn = Opener::new(dir, key).durable()?;
        conn.execute_batch("CREATE TABLE frame (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT")?;
        let (sender, queue) = mpsc::channel(INTAKE_QUEUE);
        thread::Builder::new().name("bare-writer".to_owned()).spawn(move || run(&conn, queue, &lock))?;
        Ok(Self(sender))
    }

    /// Stores a frame; returns its number after the commit that holds it is synced.
    pub async fn store(&self, body: Bytes) -> Result<i64, WriteError> {
        let (caller, answer) = oneshot::channel();
        self.0.send((body, caller)).await.map_err(|_| WriteError::Closed)?;
        answer.await.unwrap_or(Err(WriteError::Closed))
    }
}

/// Drains what waits, commits, answers; until nobody can hand anything in any more.
fn run(conn: &Connection, mut queue: mpsc::Receiver<(Bytes, Answer)>, _lock: &FolderLock) {
    while let Some(first) = queue.blocking_recv() {
        let mut group = vec![first];
        while group.len() < MAX_GROUP
            && let Ok(next) = queue.try_recv()
        {
            group.push(next);
        }
        let stored = commit(conn, &group);
        for (place, (_, caller)) in group.into_iter().enumerate() {
            let answer = stored.as_ref().map(|ids| ids[place]).map_err(Clone::clone);
            // A caller that went away does not want to know.
            drop(caller.send(answer));
        }
    }
}

fn commit(conn: &Connection, group: &[(Bytes, Answer)]) -> Result<Vec<i64>, WriteError> {
    conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let stored = insert(conn, group);
    let end = if stored.is_ok() { "COMMIT" } else { "ROLLBACK" };
    conn.prepare_cached(end)?.execute([])?;
    stored
}

fn insert(conn: &Connection, group: &[(Bytes, Answer)]) -> Result<Vec<i64>, WriteError> {
    let mut statement = conn.prepare_cached("INSERT INTO frame (body) VALUES (?1)")?;
    let mut ids = Vec::with_capacity(group.len());
    for (body, _) in group {
        statement.execute(params![&body[..]])?;
        ids.push(conn.last_insert_rowid());
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::from_hex(&"a".repeat(64)).unwrap()
    }

    #[tokio::test]
    async fn a_frame_is_in_the_encrypted_database_when_it_is_answered() {
        let dir = tempfile::tempdir().unwrap();
        let writer = BareWriter::open(dir.path(), key()).unwrap();
        let (first, second) =
            (writer.store(Bytes::from_static(b"one")), writer.store(Bytes::from_static(b"two")));
        let (first, second) = tokio::join!(first, second);
        assert_eq!([first.unwrap(), second.unwrap()], [1, 2]);
        let reader = Opener::new(dir.path(), key()).read_only().unwrap();
        let body: Vec<u8> =
            reader.query_row("SELECT body FROM frame WHERE id = 2", [], |row| row.get(0)).unwrap();
        assert_eq!(body, b"two");
        let file = std::fs::read(dir.path().join(DATABASE_FILE)).unwrap();
        assert!(!file.starts_with(b"SQLite format 3"));
    }

    #[tokio::test]
    async fn a_folder_that_holds_a_database_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(DATABASE_FILE), b"anything").unwrap();
        assert!(matches!(BareWriter::open(dir.path(), key()), Err(OpenError::Foreign(_))));
        assert_eq!(std::fs::read(dir.path().join(DATABASE_FILE)).unwrap(), b"anything");
    }
}
