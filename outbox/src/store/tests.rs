//! What the writer does when the disk fails it.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use rusqlite::Connection;
use tokio::runtime::Runtime;

use super::*;
use crate::{
    command::{Command, Hot, Pending},
    error::WriteError,
    inbox::{Arrival, Receipt},
};

fn open(dir: &Path) -> (Store, Runtime) {
    let store =
        Store::open(dir, Key::from_hex(&"5".repeat(64)).unwrap(), StoreOptions::default(), 0).unwrap();
    (store, tokio::runtime::Builder::new_current_thread().build().unwrap())
}

fn arrival(number: u8, bytes: usize) -> Arrival {
    Arrival {
        source: "feed".into(),
        site: "main".into(),
        handler: "results",
        kind: "ORU^R01".into(),
        control_id: "C".into(),
        received_at: i64::from(number),
        key: [number; 16],
        control_key: [number; 8],
        hash: [0; 32],
        body: Bytes::from(vec![b'x'; bytes]),
        refusal: None,
    }
}

#[test]
fn after_an_indeterminate_commit_the_table_decides_what_is_a_duplicate() {
    let dir = tempfile::tempdir().unwrap();
    let (store, runtime) = open(dir.path());
    let take = |number| runtime.block_on(store.writer().intake(arrival(number, 10)));
    assert_eq!(take(1).map(|receipt| receipt.id), Ok(1));
    // The data reach the file and the sync fails: no positive answer, though the row is there.
    store.fail_commit.store(true, Ordering::Release);
    assert_eq!(take(2), Err(WriteError::Indeterminate));
    // The sender sends again; the reopened table knows the message.
    let again = Receipt { id: 2, received_at: 2, duplicate: true, control_id_reused: false, refused: false };
    assert_eq!(take(2), Ok(again));
    assert_eq!(take(3).map(|receipt| receipt.id), Ok(3));
    assert_eq!(store.writer().counts().reopened, 1);
}

#[test]
fn every_command_of_an_indeterminate_group_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _runtime) = open(dir.path());
    store.fail_commit.store(true, Ordering::Release);
    assert_eq!(store.writer().put_meta("a", vec![1]).wait(), Err(WriteError::Indeterminate));
    assert_eq!(store.writer().put_meta("b", vec![1]).wait(), Ok(()));
}

#[test]
fn a_lease_nobody_was_told_of_comes_back_as_ambiguous() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _runtime) = open(dir.path());
    let conn = Opener::new(dir.path(), Key::from_hex(&"5".repeat(64)).unwrap()).read_write().unwrap();
    conn.execute_batch(
        "INSERT INTO outbox (id, destination, patient, window_id, version, kind, key, state, head, next_at,
           created_at, consent) VALUES (1, 'ehr', 1, 1, 1, 'bundle', zeroblob(32), 'pending', 1, 0, 0, 0)",
    )
    .unwrap();
    crate::queue::write_body(&conn, 1, b"body").unwrap();
    let lease = || {
        let lease = crate::Lease {
            destination: "ehr".into(),
            limit: 9,
            now: 10,
            take: crate::Take::Due { kinds: vec!["bundle".into()], upto: 2 },
            quotas: Vec::new(),
        };
        store.writer().lease(lease).wait()
    };
    store.fail_commit.store(true, Ordering::Release);
    assert_eq!(lease().err(), Some(WriteError::Indeterminate));
    let leased = lease().unwrap();
    assert_eq!(leased.iter().map(|row| (row.id, row.ambiguous)).collect::<Vec<_>>(), [(1, true)]);
}

/// Lets the database grow by so many pages and no further; 0 lifts the limit.
struct Limit(i64);

impl Command for Limit {
    type Out = ();

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<(), WriteError> {
        let pages: i64 = conn.pragma_query_value(None, "page_count", |row| row.get(0))?;
        let limit = if self.0 == 0 { i64::from(u32::MAX - 1) } else { pages + self.0 };
        conn.query_row(&format!("PRAGMA max_page_count = {limit}"), [], |_| Ok(()))?;
        Ok(())
    }
}

#[test]
fn a_full_store_refuses_goes_on_and_takes_the_same_message_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let (store, runtime) = open(dir.path());
    let take = |number| runtime.block_on(store.writer().intake(arrival(number, 100_000)));
    let limit = |pages| Pending::new(&store.writer(), Limit(pages)).wait();
    assert_eq!(take(1).map(|receipt| receipt.id), Ok(1));
    limit(4).unwrap();
    assert_eq!(take(2), Err(WriteError::Full));
    assert_eq!(take(2), Err(WriteError::Full), "its identity was not kept");
    // What is there stays readable, and a resend of it is still known.
    assert!(take(1).unwrap().duplicate);
    assert_eq!(store.readers().with(|r| r.counts()).unwrap().inbox_total, 1);
    limit(0).unwrap();
    let receipt = take(2).unwrap();
    assert_eq!((receipt.id, receipt.duplicate), (2, false));
    assert_eq!(store.writer().counts().reopened, 0);
}
