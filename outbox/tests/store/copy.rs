//! Copies: of one moment, under any key, sound or refused.

use std::{
    os::unix::fs::{FileExt, PermissionsExt},
    path::Path,
};

use outbox::{
    BeginStandstill, Key, OpenError, State,
    copy::{self, CopyError, Source},
};

use crate::folder::{Folder, arrival, key, open, row};

fn other_key() -> Key {
    Key::from_hex(&"c".repeat(64)).unwrap()
}

/// A store with some messages and rows.
fn filled() -> Folder {
    let folder = Folder::new();
    for message in 0..200 {
        folder.intake(arrival(message, message)).unwrap();
    }
    folder.publish(folder.patient("A"), 20, vec![row(1)], 1_000);
    folder
}

#[test]
fn a_copy_is_one_moment_of_a_store_that_goes_on_to_be_written() {
    let folder = filled();
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("copy.db");
    let (mut looks, mut message) = (0, 1_000);
    let readers = folder.store().readers();
    readers
        .copy(&to, 77_000, &mut |done, total| {
            assert!(done <= total);
            looks += 1;
            message += 1;
            folder.intake(arrival(message, message)).unwrap();
            true
        })
        .unwrap();
    assert!(looks > 0);
    assert_eq!(to.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let found = copy::check(&to, &key()).unwrap();
    assert_eq!((found.messages, found.unsettled, found.copied_at), (200, 1, Some(77_000)));
    assert_eq!(found.newest_message_at, Some(2_199));
    // It is never written over, and the store is as it was.
    assert!(matches!(readers.copy(&to, 78_000, &mut |_, _| true), Err(CopyError::Io { .. })));
    assert_eq!(folder.read(|reader| reader.counts()).inbox_total, 200 + looks);
}

#[test]
fn whoever_wants_no_more_of_it_ends_it() {
    let folder = filled();
    let dir = tempfile::tempdir().unwrap();
    let ended = folder.store().readers().copy(&dir.path().join("copy.db"), 1, &mut |_, _| false);
    assert!(matches!(ended, Err(CopyError::Ended)), "{ended:?}");
}

#[test]
fn under_another_key_it_is_the_same_store_and_the_first_key_does_not_open_it() {
    let mut folder = filled();
    folder.close();
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (folder.dir.path().join("isthmus.db"), dir.path().join("isthmus.db"));
    Source::open(&from, &key()).unwrap().copy(&to, &other_key(), 5, &mut |_, _| true).unwrap();
    let wrong = copy::check(&to, &key());
    assert!(matches!(wrong, Err(CopyError::Open(OpenError::WrongKey))), "{wrong:?}");
    let (before, after) = (copy::check(&from, &key()).unwrap(), copy::check(&to, &other_key()).unwrap());
    assert_eq!((before.messages, before.audit, before.box_id), (after.messages, after.audit, after.box_id));
    let begin = BeginStandstill { cause: "restored".into(), detail: "x".into(), audit: Vec::new(), at: 9 };
    copy::note(&to, &other_key(), &[], Some(&begin)).unwrap();
    assert_eq!(copy::check(&to, &other_key()).unwrap().copied_at, None, "it is a store again");
    assert!(!dir.path().join("isthmus.db-wal").exists());
    let store = outbox::Store::open(dir.path(), other_key(), outbox::StoreOptions::default(), 10).unwrap();
    let last = store.readers().with(|reader| reader.standstill()).unwrap().unwrap();
    assert_eq!((last.cause.as_str(), last.ended_at), ("restored", None));
    assert_eq!(store.readers().with(|reader| reader.counts()).unwrap().rows(State::Pending), 1);
}

#[test]
fn one_changed_byte_anywhere_a_cut_or_a_plain_file_is_no_copy() {
    let mut folder = filled();
    folder.close();
    let path = folder.dir.path().join("isthmus.db");
    let whole = std::fs::read(&path).unwrap();
    for page in 0..whole.len() / 4096 {
        // Within what is encrypted, and within what it is sealed with.
        for at in [page * 4096 + 100, page * 4096 + 4090] {
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all_at(&[whole[at] ^ 0x10], at as u64).unwrap();
            assert!(copy::check(&path, &key()).is_err(), "byte {at} of {}", whole.len());
            file.write_all_at(&[whole[at]], at as u64).unwrap();
        }
    }
    assert!(copy::check(&path, &key()).is_ok());
    std::fs::write(&path, &whole[..whole.len() - 4096]).unwrap();
    assert!(copy::check(&path, &key()).is_err(), "cut");
    std::fs::write(&path, b"SQLite format 3\0 and so on").unwrap();
    assert!(matches!(copy::check(&path, &key()), Err(CopyError::Open(OpenError::Plain))));
}

#[test]
fn a_file_is_checked_where_nothing_can_be_written_and_under_any_name() {
    let folder = filled();
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("a copy?of #1 & 50%.db");
    folder.store().readers().copy(&to, 1, &mut |_, _| true).unwrap();
    std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o400)).unwrap();
    let names = |dir: &Path| std::fs::read_dir(dir).unwrap().count();
    assert_eq!(copy::check(&to, &key()).unwrap().messages, 200);
    let again = tempfile::tempdir().unwrap();
    let source = Source::open(&to, &key()).unwrap();
    source.copy(&again.path().join("x.db"), &other_key(), 1, &mut |_, _| true).unwrap();
    assert_eq!((names(dir.path()), names(again.path())), (1, 1), "nothing was made beside either");

    // With a log beside it, it is older than the two together.
    std::fs::write(dir.path().join("a copy?of #1 & 50%.db-wal"), "frames").unwrap();
    assert!(matches!(copy::check(&to, &key()), Err(CopyError::Unsettled(_))));
}

#[test]
fn a_copy_opens_as_a_store_with_all_that_was_in_it() {
    let folder = filled();
    let dir = tempfile::tempdir().unwrap();
    folder.store().readers().copy(&dir.path().join("isthmus.db"), 1, &mut |_, _| true).unwrap();
    let store = open(dir.path()).unwrap();
    assert_eq!(store.readers().with(|reader| reader.counts()).unwrap().inbox_total, 200);
}
