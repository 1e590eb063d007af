//! Folders and files that root makes for the daemon's user, without being led elsewhere by that user.
//!
//! Invariants
//! - A path is walked one name at a time over open folders. A symbolic link is followed only where nobody but root and who
//!   runs this could have put it; the folder that is written to is never behind one.
//! - Owner and mode are changed through the descriptor of what was made here, never by name, and never of what was there.
//! - What root makes belongs to whoever owns the folder that it stands in, for the daemon runs as that user; in root's
//!   folder for a group, that group reads it.
//! - A file is written beside its place, synced and moved there, all in the folder that was opened.
//! - Who changes a folder holds it for itself meanwhile; a lock is never waited for.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
    path::{Component, Path},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat},
    fs::{fchmod, fchown, flock, fstat, fsync, mkdirat, openat, renameat, statat, unlinkat},
    process::geteuid,
};

/// The mode of a folder that is made.
const FOLDER: u32 = 0o700;
/// Rights of others than the owner to put something into a folder.
const OTHERS_WRITE: u32 = 0o022;
/// How a folder is opened: never by a link.
const OPEN: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A folder that is open.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

impl Folder {
    /// Opens a folder, which must be there.
    ///
    /// # Errors
    /// Also where the way there leads over a link that a stranger could have put there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        walk(path, false, true)
    }

    /// Opens a folder that is no link itself; where it is not there it is made, with all folders above it.
    ///
    /// # Errors
    /// Also where it is a link, or the way there leads over one that a stranger could have put there.
    pub(super) fn make(path: &Path) -> io::Result<Self> {
        walk(path, true, false)
    }

    /// Opens a folder that is there and is no link itself.
    ///
    /// # Errors
    /// As [`Self::make`]; [`io::ErrorKind::NotFound`] where there is none.
    pub(super) fn own(path: &Path) -> io::Result<Self> {
        walk(path, false, false)
    }

    /// Holds it for whoever changes it, until this is dropped.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where somebody else holds it.
    pub(super) fn lock(&self) -> io::Result<()> {
        Ok(flock(&self.0, FlockOperation::NonBlockingLockExclusive)?)
    }

    /// The text of a file of it that is no link, of at most so many bytes; `None` where there is none.
    ///
    /// # Errors
    /// Also where it is a link, no file, or longer.
    pub(super) fn read(&self, name: &OsStr, most: u64) -> io::Result<Option<String>> {
        // A pipe is not waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.0, name, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            file => File::from(file?),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.len() > most {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no file of ours"));
        }
        let mut text = String::new();
        file.take(most).read_to_string(&mut text)?;
        Ok(Some(text))
    }

    /// Writes a file of it whole or not at all, synced together with the folder. One that is there is replaced, be it a
    /// link or not; what a link leads to is not touched.
    ///
    /// # Errors
    /// What the system says; nothing is left behind then.
    pub(super) fn write(&self, name: &OsStr, mode: u32, bytes: &[u8]) -> io::Result<()> {
        let draft = format!(".{}.{}", name.to_string_lossy(), std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.0, draft.as_str(), flags, Mode::from_raw_mode(mode))?);
        let written = (|| {
            file.write_all(bytes)?;
            belong(&file, &fstat(&self.0)?)?;
            file.sync_all()?;
            renameat(&self.0, draft.as_str(), &self.0, name)?;
            Ok(fsync(&self.0)?)
        })();
        if written.is_err() {
            // What was moved already is not there any more.
            let _removed = unlinkat(&self.0, draft.as_str(), AtFlags::empty());
        }
        written
    }

    /// Removes a file of it; one that is not there is none.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn remove(&self, name: &OsStr) -> io::Result<()> {
        match unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Walks to a folder. `make`: what is not there is made; `last_linked`: the folder itself may be a link.
fn walk(path: &Path, make: bool, last_linked: bool) -> io::Result<Folder> {
    let (start, names) = match path.strip_prefix("/") {
        Ok(rest) => ("/", rest),
        Err(_) => (".", path),
    };
    let mut at = openat(CWD, start, OPEN, Mode::empty())?;
    let mut names = names.components().peekable();
    while let Some(component) = names.next() {
        let name = match component {
            Component::Normal(name) => name,
            // The folder above one that is open is no name that anybody chose.
            Component::ParentDir => OsStr::new(".."),
            _ => continue,
        };
        let may_follow = last_linked || names.peek().is_some();
        at = step(&at, name, make, may_follow)?;
    }
    Ok(Folder(at))
}

fn step(at: &OwnedFd, name: &OsStr, make: bool, may_follow: bool) -> io::Result<OwnedFd> {
    let found = match statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(rustix::io::Errno::NOENT) if make => return made(at, name),
        found => found?,
    };
    if FileType::from_raw_mode(found.st_mode) != FileType::Symlink {
        return Ok(openat(at, name, OPEN, Mode::empty())?);
    }
    if !may_follow || !is_ours(&fstat(at)?) {
        let shown = name.to_string_lossy();
        let why = format!("{shown} is a symbolic link");
        return Err(io::Error::new(io::ErrorKind::NotADirectory, why));
    }
    Ok(openat(at, name, OPEN.difference(OFlags::NOFOLLOW), Mode::empty())?)
}

/// Makes a folder for whoever owns the one that it stands in.
fn made(at: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    mkdirat(at, name, Mode::from_raw_mode(FOLDER))?;
    let folder = openat(at, name, OPEN, Mode::empty())?;
    // Whoever owns the folder above may have put another in its place.
    if fstat(&folder)?.st_uid != geteuid().as_raw() {
        return Err(io::Error::other("another folder was put in the place of the one that was made"));
    }
    belong(&folder, &fstat(at)?)?;
    Ok(folder)
}

/// Whether nobody but root and who runs this can put something into a folder.
fn is_ours(folder: &Stat) -> bool {
    let is_owner = folder.st_uid == 0 || folder.st_uid == geteuid().as_raw();
    is_owner && folder.st_mode & OTHERS_WRITE == 0
}

/// Gives what root made to the owner of the folder that it stands in, or to its group where that is root's folder for a
/// group.
fn belong(made: &impl rustix::fd::AsFd, folder: &Stat) -> io::Result<()> {
    let own = fstat(made)?;
    let is_same = (own.st_uid, own.st_gid) == (folder.st_uid, folder.st_gid);
    if !geteuid().is_root() || is_same {
        return Ok(());
    }
    let (owner, group) = (rustix::fs::Uid::from_raw(folder.st_uid), rustix::fs::Gid::from_raw(folder.st_gid));
    fchown(made, Some(owner), Some(group))?;
    if folder.st_uid == 0 {
        let mode = own.st_mode & 0o777;
        // Its group reads what its owner reads, and enters its folders.
        fchmod(made, Mode::from_raw_mode(mode | (mode & 0o500) >> 3))?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "rooted_tests.rs"]
mod tests;
