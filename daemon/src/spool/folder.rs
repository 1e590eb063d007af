//! The folder of a spool on disk: who has it, and what stands in it.
//!
//! Invariants: only regular files directly in the folder are seen; links are not followed; one process has a folder at
//! a time (a lock on `work/.lock`, which the system lets go when the process ends). Names are never in an error.
//! `work/`, `done/` and `quarantine/` are the daemon's user's, nobody else writes in them, and nobody who drops files can
//! rename them; a part that was replaced while the daemon ran is not used.
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

use rustix::fs::OFlags;

use super::{
    complete::{MOST_FILES, Seen},
    name::Class,
};

/// Folders are for the owner and the group that drops files.
const FOLDER_MODE: u32 = 0o750;
/// What is written here is for the owner and the group to read.
pub(super) const FILE_MODE: u32 = 0o640;
/// Write permission of the group and of all others.
const OTHERS_WRITE: u32 = 0o022;
/// Only the owner of an entry, and that of the folder, may rename it.
const STICKY: u32 = 0o1000;
/// Opens no link, and waits for nobody at the other end of a pipe.
pub(super) const NO_LINK: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits() as i32;
/// The lock in `work/`.
const LOCK: &str = ".lock";

/// What could not be done in a spool's folder.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    /// Another process has the folder.
    #[error("another process has this folder; give each daemon a folder of its own")]
    Taken,
    /// A part of it is no folder.
    #[error("work, done or quarantine in the folder is a link or a file; remove it")]
    Foreign,
    /// A part is another user's, or others may write in it.
    #[error(
        "work, done or quarantine in the folder is not the daemon's user's alone; look who made it, and move it away, or \
         chown it to that user and chmod it 0750"
    )]
    NotOurs,
    /// Who drops files could put other folders in the place of ours.
    #[error("who may write in the folder may rename what is not theirs; chmod +t the folder (3770)")]
    NotSticky,
    /// A part is another one than was taken.
    #[error(
        "work, done or quarantine in the folder was replaced while the daemon ran; put the one that was there back, or look \
         who did it and restart the daemon"
    )]
    Replaced,
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
    identity: Identity,
}

/// Device and inode of a folder.
type Inode = (u64, u64);

/// Which folder it is, with which parts: something else could come in their place, such as a `work/` without our lock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    root: Inode,
    parts: [Inode; PARTS.len()],
}

/// What a scan found.
pub(super) struct Scan {
    /// The oldest files of a known ending, at most [`MOST_FILES`].
    pub(super) files: Vec<(OsString, Class, Seen)>,
    /// Files of a known ending, sidecars aside.
    pub(super) waiting: usize,
}

impl Folder {
    /// Makes what is missing of the folder, and takes it. `before` is what it was when it was taken the last time: in the
    /// same folder no other part is taken than was.
    pub(super) fn open(root: &Path, before: Option<Identity>) -> Result<Self, FolderError> {
        make(root).map_err(at("making the folder"))?;
        check_root(&fs::metadata(root).map_err(at("looking at the folder"))?)?;
        let mut made = [false; PARTS.len()];
        for (made, part) in made.iter_mut().zip(PARTS) {
            let made_now = make(&root.join(part));
            *made = made_now.map_err(at("making work, done and quarantine in the folder"))?;
        }
        let identity = identity(root)?;
        if let Some(before) = before.filter(|before| before.root == identity.root) {
            // One that is gone was made anew above: it is ours.
            let same =
                before.parts.iter().zip(&identity.parts).zip(made).all(|((b, i), made)| made || b == i);
            if !same {
                return Err(FolderError::Replaced);
            }
        }
        let work = root.join("work");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .custom_flags(NO_LINK)
            .open(work.join(LOCK))
            .map_err(at("opening work/.lock"))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => FolderError::Taken,
            fs::TryLockError::Error(source) => FolderError::Io { step: "locking work/.lock", source },
        })?;
        Ok(Self { root: root.to_owned(), _lock: lock, identity })
    }

    /// Whether the folder is still the one that was taken, with all its parts.
    pub(super) fn is_ours(&self) -> bool {
        identity(&self.root).is_ok_and(|identity| identity == self.identity)
    }

    /// Which folder it is.
    pub(super) fn identity(&self) -> Identity {
        self.identity
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

/// Which folder it is and which parts it has; not where one is missing, is a link, or is not ours alone.
fn identity(root: &Path) -> Result<Identity, FolderError> {
    let step = at("looking at work, done and quarantine in the folder");
    let inode = |meta: &Metadata| (meta.dev(), meta.ino());
    let mut parts = [(0, 0); PARTS.len()];
    for (part, name) in parts.iter_mut().zip(PARTS) {
        let meta = fs::symlink_metadata(root.join(name)).map_err(&step)?;
        if !meta.is_dir() {
            return Err(FolderError::Foreign);
        }
        if meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & OTHERS_WRITE != 0 {
            return Err(FolderError::NotOurs);
        }
        *part = inode(&meta);
    }
    Ok(Identity { root: inode(&fs::metadata(root).map_err(&step)?), parts })
}

/// Whether nobody but its owner can rename what others have in the folder.
fn check_root(meta: &Metadata) -> Result<(), FolderError> {
    match meta.mode() & OTHERS_WRITE != 0 && meta.mode() & STICKY == 0 {
        true => Err(FolderError::NotSticky),
        false => Ok(()),
    }
}

/// Makes a folder where there is none; whether it did.
fn make(folder: &Path) -> io::Result<bool> {
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(false),
        made => made.map(|()| true),
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_is_made_for_owner_and_group_and_belongs_to_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("drop");
        let folder = Folder::open(&root, None).unwrap();
        let others = fs::metadata(folder.work()).unwrap().mode() & 0o027;
        assert_eq!(others, 0, "nobody else looks in, and the group does not write where we work");
        assert!(matches!(Folder::open(&root, None), Err(FolderError::Taken)));
        drop(folder);
        assert!(Folder::open(&root, None).is_ok());
        assert!(
            matches!(Folder::open(&root.join("a/b"), None), Err(FolderError::Io { .. })),
            "the parent is missing"
        );
    }

    #[test]
    fn a_folder_that_was_replaced_is_no_longer_ours() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("drop");
        let folder = Folder::open(&root, None).unwrap();
        assert!(folder.is_ours());
        fs::remove_dir(folder.done()).unwrap();
        assert!(!folder.is_ours());
        std::os::unix::fs::symlink(dir.path(), folder.done()).unwrap();
        assert!(!folder.is_ours(), "nothing is moved through a link");
        drop(folder);
        assert!(matches!(Folder::open(&root, None), Err(FolderError::Foreign)));
        fs::remove_dir_all(&root).unwrap();
        let folder = Folder::open(&root, None).unwrap();
        assert!(folder.is_ours());
        fs::remove_dir_all(&root).unwrap();
        assert!(!folder.is_ours());
    }

    #[test]
    fn a_part_that_others_may_write_in_or_could_replace_is_not_used_until_that_is_mended() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("drop");
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        fs::create_dir(&root).unwrap();
        for (of_root, of_work, expected) in [
            (0o755, 0o777, Some(FolderError::NotOurs)),
            (0o755, 0o770, Some(FolderError::NotOurs)),
            (0o770, 0o750, Some(FolderError::NotSticky)),
            (0o757, 0o750, Some(FolderError::NotSticky)),
            (0o3770, 0o750, None),
            (0o1777, 0o755, None),
            (0o750, 0o700, None),
        ] {
            let _there = fs::create_dir(root.join("work"));
            mode(&root, of_root);
            mode(&root.join("work"), of_work);
            let told = |error: &FolderError| error.to_string();
            let opened = Folder::open(&root, None).err();
            assert_eq!(opened.as_ref().map(told), expected.as_ref().map(told), "{of_root:o} {of_work:o}");
        }
    }

    #[test]
    fn a_part_that_was_replaced_while_we_ran_is_not_taken_before_it_is_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("drop");
        let folder = Folder::open(&root, None).unwrap();
        let before = Some(folder.identity());
        fs::rename(folder.work(), root.join("w2")).unwrap();
        DirBuilder::new().mode(0o750).create(folder.work()).unwrap();
        drop(folder);
        for _ in 0..2 {
            assert!(matches!(Folder::open(&root, before), Err(FolderError::Replaced)));
        }
        fs::remove_dir(root.join("work")).unwrap();
        fs::rename(root.join("w2"), root.join("work")).unwrap();
        fs::remove_dir(root.join("done")).unwrap();
        assert!(Folder::open(&root, before).is_ok(), "what is gone is made anew");
    }

    #[test]
    fn links_folders_and_hidden_files_are_not_seen() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(&dir.path().join("drop"), None).unwrap();
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
