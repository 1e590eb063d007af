//! How long settled files stay, and how many there are.
//!
//! Invariants: only a file in `done` that has a receipt is ever removed, and only once the receipt is older than
//! `keep_done`: a receipt is written after its messages were committed and synced, so nothing unread is removed. The
//! receipt's own time counts, not the file's, which may be that of its original. `quarantine` is never touched. What
//! is removed is in the audit log before it is gone.
//!
//! Numbers: at most [`MOST_REMOVED`] files a sweep.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{claim::Place, name};

/// Files removed in one sweep: a fraction of a second's work.
pub(super) const MOST_REMOVED: usize = 500;

/// Receipts of `done` that are older than `keep`, at most [`MOST_REMOVED`].
pub(super) fn expired(done: &Path, keep: Duration, now: SystemTime) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(done)? {
        let entry = entry?;
        if file_of(&entry.file_name(), Place::Done).is_none() {
            continue;
        }
        let age = entry.metadata().and_then(|meta| meta.modified()).map(|at| now.duration_since(at));
        if age.is_ok_and(|age| age.is_ok_and(|age| age > keep)) {
            found.push(entry.path());
            if found.len() == MOST_REMOVED {
                break;
            }
        }
    }
    Ok(found)
}

/// Removes the file of a receipt, its sidecar, and last the receipt. Whether there was such a file.
pub(super) fn remove(receipt: &Path) -> io::Result<bool> {
    let Some((folder, name)) = receipt.parent().zip(receipt.file_name()) else { return Ok(false) };
    let Some(name) = file_of(name, Place::Done) else { return Ok(false) };
    let mut was_there = false;
    for (path, counts) in
        [(folder.join(&name), true), (folder.join(name::sidecar(&name)), false), (receipt.to_owned(), false)]
    {
        match fs::remove_file(path) {
            Ok(()) => was_there |= counts,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(was_there)
}

/// The file that a letter is about; `None` where the name is no letter's. A name that was cut for its letter is not
/// found again, and such a file stays.
fn file_of(letter: &OsStr, place: Place) -> Option<OsString> {
    let name = letter.as_bytes().strip_suffix(place.letter().as_bytes())?;
    (!name.is_empty()).then(|| OsStr::from_bytes(name).to_owned())
}

/// Files in `done` or `quarantine`: letters and sidecars aside.
pub(super) fn count(folder: &Path, place: Place) -> io::Result<u64> {
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let beside = file_of(&name, place).is_some() || name::of_sidecar(&name).is_some();
        count += u64::from(!beside);
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_with_an_old_receipt_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| fs::write(dir.path().join(name), "x").unwrap();
        for name in
            ["a.csv", "a.csv.patient.json", "a.csv.receipt.txt", "b.hl7", "b.hl7.receipt.txt", "foreign.csv"]
        {
            write(name);
        }
        let now = SystemTime::now();
        let keep = Duration::from_secs(60);
        let old = fs::File::open(dir.path().join("a.csv.receipt.txt")).unwrap();
        old.set_modified(now - Duration::from_secs(3_600)).unwrap();
        for name in ["a.csv", "b.hl7", "foreign.csv"] {
            // The time of the file itself says nothing.
            let file = fs::File::open(dir.path().join(name)).unwrap();
            file.set_modified(now - Duration::from_secs(86_400 * 365)).unwrap();
        }
        assert_eq!(count(dir.path(), Place::Done).unwrap(), 3);
        let expired = expired(dir.path(), keep, now).unwrap();
        assert_eq!(expired, [dir.path().join("a.csv.receipt.txt")]);
        assert!(remove(&expired[0]).unwrap());
        assert!(!remove(&expired[0]).unwrap(), "it is gone");
        assert_eq!(count(dir.path(), Place::Done).unwrap(), 2);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_receipt_from_the_future_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.hl7.receipt.txt"), "x").unwrap();
        let past = SystemTime::now() - Duration::from_secs(86_400);
        assert!(expired(dir.path(), Duration::from_secs(60), past).unwrap().is_empty());
    }
}
