//! The first connections of a process, made by many threads at once. Alone in its file, because each process has
//! only one first time.

#![allow(clippy::unwrap_used, reason = "a test that cannot make its folder has nothing to test")]

use std::{sync::Barrier, thread};

use outbox::{Key, OpenError, Store, StoreOptions};

/// SQLite counts itself initialized before SQLCipher has set itself up (`sqlite3_initialize` sets `isInit` ahead of
/// `SQLITE_EXTRA_INIT`), so a second thread could key a database with half a cipher: "SQL logic error".
#[test]
fn many_threads_may_open_the_first_stores_of_a_process_at_once() {
    const THREADS: usize = 16;
    let barrier = Barrier::new(THREADS);
    let refused: Vec<OpenError> = thread::scope(|scope| {
        let opened: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let dir = tempfile::tempdir().unwrap();
                    let key = Key::from_hex(&"ab".repeat(32)).unwrap();
                    barrier.wait();
                    Store::open(dir.path(), key, StoreOptions::default(), 1_000).map(drop).err()
                })
            })
            .collect();
        opened.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(refused.is_empty(), "{refused:?}");
}
