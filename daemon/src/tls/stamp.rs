//! What tells files from those that were there before.

use std::{os::unix::fs::MetadataExt, path::PathBuf};

/// Of several files, in their order; `None` for one that is not there.
pub(super) type Stamps = Vec<Option<Stamp>>;

/// Of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) inode: u64,
    pub(super) bytes: u64,
    pub(super) modified_ns: (i64, i64),
    pub(super) changed_ns: (i64, i64),
}

/// How these files look now.
pub(super) fn of(paths: &[PathBuf]) -> Stamps {
    let one = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Stamp {
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified_ns: (metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: (metadata.ctime(), metadata.ctime_nsec()),
        })
    };
    paths.iter().map(one).collect()
}
