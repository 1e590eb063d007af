//! What is opened and what is refused.

use std::os::unix::fs::PermissionsExt;

use outbox::{Key, OpenError, SCHEMA_VERSION, Store, StoreOptions};

use crate::folder::{Folder, key, open, raw};

#[test]
fn a_plain_database_is_refused_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(outbox::DATABASE_FILE);
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(open(dir.path()), Err(OpenError::Plain)));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_wrong_key_is_refused_and_the_right_one_still_opens() {
    let mut folder = Folder::new();
    folder.writer().put_meta("name", b"value".to_vec()).wait().unwrap();
    folder.close();
    let wrong = Key::from_hex(&"f".repeat(64)).unwrap();
    let refused = Store::open(folder.dir.path(), wrong, StoreOptions::default(), 0);
    assert!(matches!(refused, Err(OpenError::WrongKey)));
    let store = open(folder.dir.path()).unwrap();
    assert_eq!(store.readers().with(|r| r.meta("name")).unwrap(), Some(b"value".to_vec()));
}

#[test]
fn nothing_of_a_body_is_readable_in_the_files() {
    let mut folder = Folder::new();
    let mut arrival = crate::folder::arrival(1, 1);
    arrival.body = bytes::Bytes::from_static(b"PLANTED-PATIENT-NAME");
    folder.intake(arrival).unwrap();
    let seen = |dir: &std::path::Path| {
        std::fs::read_dir(dir).unwrap().any(|file| {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            bytes.windows(20).any(|window| window == b"PLANTED-PATIENT-NAME")
        })
    };
    assert!(!seen(folder.dir.path()));
    folder.close();
    assert!(!seen(folder.dir.path()));
}

#[test]
fn two_stores_cannot_share_a_folder() {
    let folder = Folder::new();
    assert!(matches!(open(folder.dir.path()), Err(OpenError::Locked)));
    drop(folder.store().readers());
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    assert!(open(dir.path()).is_ok());
}

#[test]
fn a_newer_schema_is_refused() {
    let mut folder = Folder::new();
    folder.close();
    raw(folder.dir.path()).pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
    match open(folder.dir.path()) {
        Err(OpenError::NewerSchema { found, known }) => {
            assert_eq!((found, known), (SCHEMA_VERSION + 1, SCHEMA_VERSION));
        }
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn a_missing_folder_is_refused_and_a_new_database_is_its_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Store::open(&dir.path().join("no"), key(), StoreOptions::default(), 0);
    assert!(matches!(missing, Err(OpenError::NoFolder)));
    let _store = open(dir.path()).unwrap();
    for name in ["isthmus.db", "isthmus.db-wal", "isthmus.lock"] {
        let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
}

#[test]
fn a_closed_store_refuses_and_leaves_an_empty_log() {
    let mut folder = Folder::new();
    let writer = folder.writer();
    let readers = folder.store().readers();
    folder.intake(crate::folder::arrival(1, 1)).unwrap();
    readers.with(|r| r.watermark()).unwrap();
    folder.close();
    assert_eq!(writer.audit(Vec::new()).wait(), Err(outbox::WriteError::Closed));
    assert_eq!(readers.with(|r| r.watermark()), Err(outbox::ReadError::Closed));
    let log = std::fs::metadata(folder.dir.path().join("isthmus.db-wal")).map_or(0, |meta| meta.len());
    assert_eq!(log, 0);
}
