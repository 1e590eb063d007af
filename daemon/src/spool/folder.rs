//! The folder of a spool on disk: who has it, and what stands in it.
//!
//! Invariants: only regular files directly in the folder are seen; links are not followed; one process has a folder at
//! a time (a lock on `work/.lock`, which the system lets go when the process ends). Names are never in an error.
//!
//! `work/` holds what is taken and not yet settled, `done/` what was read, `quarantine/` what could not be. They are
//! made as they are needed, for the owner and the group (0750); so is the folder itself, where its parent is there.

use std::{
    cmp::Ordering,
    ffi::OsString,
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{
    complete::{MOST_FILES, Seen},
    name::Class,
};

/// Folders are for the owner and the group that drops files.
const FOLDER_MODE: u32 = 0o750;
/// What is written here is for the owner and the group to read.
pub(super) const FILE_MODE: u32 = 0o640;
/// The lock in `work/`.
const LOCK: &str = ".lock";

/// What could not be done in a spool's folder.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    /// Another process has the folder.
    #[error("another process has this folder; give each daemon a folder of its own")]
    Taken,
    /// A part of it is no folder.
    #[error("work, done or quarantine in the folder is a link; remove it")]
    Foreign,
    /// The system refused.
    #[error("{step}: {source}")]
    Io {
        /// What was tried; no file is named.
        step: &'static str,
        /// What the system said; it names no file either.
        source: io::Error,
    },
}

/// Names the step that failed.
pub(super) fn at(step: &'static str) -> impl Fn(io::Error) -> FolderError {
    move |source| FolderError::Io { step, source }
}

/// The parts of a folder.
const PARTS: [&str; 3] = ["work", "done", "quarantine"];

/// A folder that is ours.
pub(super) struct Folder {
    root: PathBuf,
    /// Held for as long as the folder is ours.
    _lock: File,
    /// Of the parts: who may write in the folder could put a link, or another `work/` without our lock, in their place.
    inodes: [u64; PARTS.len()],
}

/// What a scan found.
pub(super) struct Scan {
    /// The oldest files of a known ending, at most [`MOST_FILES`].
    pub(super) files: Vec<(OsString, Class, Seen)>,
    /// Files of a known ending, sidecars aside.
    pub(super) waiting: usize,
}

impl Folder {
    /// Makes what is missing of the folder, and takes it.
    pub(super) fn open(root: &Path) -> Result<Self, FolderError> {
        make(root).map_err(at("making the folder"))?;
        for part in PARTS {
            make(&root.join(part)).map_err(at("making work, done and quarantine in the folder"))?;
        }
        let inodes = inodes(root).ok_or(FolderError::Foreign)?;
        let work = root.join("work");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(work.join(LOCK))
            .map_err(at("opening work/.lock"))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => FolderError::Taken,
            fs::TryLockError::Error(source) => FolderError::Io { step: "locking work/.lock", source },
        })?;
        Ok(Self { root: root.to_owned(), _lock: lock, inodes })
    }

    /// Whether the folder is still the one that was taken, with all its parts.
    pub(super) fn is_ours(&self) -> bool {
        inodes(&self.root) == Some(self.inodes)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    pub(super) fn done(&self) -> PathBuf {
        self.root.join("done")
    }

    pub(super) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// The files that stand in the folder now.
    pub(super) fn scan(&self) -> Result<Scan, FolderError> {
        let (mut files, mut waiting) = (Vec::new(), 0);
        for entry in fs::read_dir(&self.root).map_err(at("listing the folder"))? {
            let entry = entry.map_err(at("listing the folder"))?;
            let name = entry.file_name();
            let Some(class) = Class::of(&name) else { continue };
            // Of the entry itself: a link is no file. What vanished meanwhile is nobody's business.
            let Some(seen) = entry.metadata().ok().as_ref().and_then(seen) else { continue };
            waiting += usize::from(class != Class::Sidecar);
            files.push((name, class, seen));
            if files.len() >= 2 * MOST_FILES {
                keep_oldest(&mut files);
            }
        }
        keep_oldest(&mut files);
        Ok(Scan { files, waiting })
    }
}

/// What the parts of a folder are; `None` where one is missing, or is a link.
fn inodes(root: &Path) -> Option<[u64; PARTS.len()]> {
    let mut inodes = [0; PARTS.len()];
    for (inode, part) in inodes.iter_mut().zip(PARTS) {
        let meta = fs::symlink_metadata(root.join(part)).ok()?;
        *inode = meta.is_dir().then(|| meta.ino())?;
    }
    Some(inodes)
}

fn make(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        made => made,
    }
}

/// What stands still in a whole file; `None` for what is no regular file.
pub(super) fn seen(meta: &Metadata) -> Option<Seen> {
    let mtime_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    meta.is_file().then(|| Seen { bytes: meta.len(), mtime_ns, inode: meta.ino() })
}

fn keep_oldest(files: &mut Vec<(OsString, Class, Seen)>) {
    if files.len() <= MOST_FILES {
        return;
    }
    let age = |a: &(OsString, Class, Seen), b: &(OsString, Class, Seen)| -> Ordering {
        (a.2.mtime_ns, &a.0).cmp(&(b.2.mtime_ns, &b.0))
    };
    files.select_nth_unstable_by(MOST_FILES, age);
    files.truncate(MOST_FILES);
}

/// Makes the entries of a folder last through a power cut.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_for_owner_and_group_and_belongs_to_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("drop");
        let folder = Folder::open(&root).unwrap();
        let others = fs::metadata(folder.work()).unwrap().mode() & 0o027;
        assert_eq!(others, 0, "nobody else looks in, and the group does not write where we work");
        assert!(matches!(Folder::open(&root), Err(FolderError::Taken)));
        drop(folder);
        assert!(Folder::open(&root).is_ok());
        assert!(
            matches!(Folder::open(&root.join("a/b")), Err(FolderError::Io { .. })),
            "the parent is missing"
        );
    }

    #[test]
    fn a_folder_that_was_replaced_is_no_longer_ours() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("drop");
        let folder = Folder::open(&root).unwrap();
        assert!(folder.is_ours());
        fs::remove_dir(folder.done()).unwrap();
        assert!(!folder.is_ours());
        std::os::unix::fs::symlink(dir.path(), folder.done()).unwrap();
        assert!(!folder.is_ours(), "nothing is moved through a link");
        drop(folder);
        assert!(matches!(Folder::open(&root), Err(FolderError::Foreign)));
        fs::remove_dir_all(&root).unwrap();
        let folder = Folder::open(&root).unwrap();
        assert!(folder.is_ours());
        fs::remove_dir_all(&root).unwrap();
        assert!(!folder.is_ours());
    }

    #[test]
    fn links_folders_and_hidden_files_are_not_seen() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(&dir.path().join("drop")).unwrap();
        let path = |name: &str| folder.root().join(name);
        fs::write(dir.path().join("outside.hl7"), "MSH|").unwrap();
        std::os::unix::fs::symlink(dir.path().join("outside.hl7"), path("link.hl7")).unwrap();
        fs::create_dir(path("folder.hl7")).unwrap();
        for name in ["a.hl7", ".b.hl7", "c.hl7.part", "a.csv.patient.json"] {
            fs::write(path(name), "x").unwrap();
        }
        let scan = folder.scan().unwrap();
        let mut names: Vec<_> = scan.files.iter().map(|(name, _, _)| name.clone()).collect();
        names.sort();
        assert_eq!(names, ["a.csv.patient.json", "a.hl7"]);
        assert_eq!(scan.waiting, 1);
    }
}
