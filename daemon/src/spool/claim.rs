//! A file that was taken: from the folder into `work/`, and from there to where it stays.
//!
//! Invariants
//! - A file is in exactly one place at any time: each step is a rename within one file system, so of two who try to
//!   take it one has it; and nothing is renamed over something else.
//! - A file and its sidecar are taken together; of a sidecar that only looks like a file's, a copy is. The sidecar goes first and the file last, so that a folder of `work/`
//!   that holds a file holds all that was taken with it.
//! - Beside a file that is being read stands a mark (`attempt.rs` beside this).
//! - A file leaves `work/` last of all, after its letter and a copy of its sidecar: what is found in `work/` with a file
//!   in it is not settled and is read again (the inbox knows its messages); what is found without one is litter.
//! - What is settled lasts: letters are synced before they have their name, and the folder after that.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{
    attempt,
    complete::{Seen, Whole},
    folder::{FILE_MODE, Folder, FolderError, NO_LINK, at, seen},
    name::{self, Class},
};
use crate::{durable, sidecar::SIDECAR_MAX_BYTES};

/// Files of one name that may stand beside each other in `done` or `quarantine`.
const MOST_OF_A_NAME: u32 = 10_000;
/// The name a letter has until it is synced. It has no ending, so it is no file of ours to take.
const LETTER: &str = "letter";

/// A file in `work/`.
pub(super) struct Claim {
    /// Names it to people: it stands in the log and in letters.
    pub(super) number: u64,
    pub(super) name: OsString,
    pub(super) class: Class,
    /// What it was when it was taken.
    pub(super) seen: Seen,
    /// How often a process ended while it read this file.
    pub(super) deaths: u32,
    pub(super) folder: PathBuf,
}

/// What became of an attempt to take a file.
pub(super) enum Taken {
    /// It is ours.
    Claim(Claim),
    /// It is gone, or not as it was: look again.
    Later,
}

/// Where a file stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Done,
    Quarantine,
}

impl Place {
    /// The ending of the letter beside it.
    pub(super) const fn letter(self) -> &'static str {
        match self {
            Self::Done => ".receipt.txt",
            Self::Quarantine => ".reason.txt",
        }
    }

    /// The word in metrics, and the folder's name.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Quarantine => "quarantine",
        }
    }
}

impl Folder {
    /// Takes a file, and its sidecar. `number` is not in use.
    pub(super) fn claim(&self, whole: &Whole, number: u64) -> Result<Taken, FolderError> {
        let (from, sidecar) = (self.root().join(&whole.name), name::sidecar(&whole.name));
        if whole.sidecars.is_empty() && self.has_sidecar(whole)? {
            // It came since the scan.
            return Ok(Taken::Later);
        }
        let folder = self.work().join(number.to_string());
        fs::DirBuilder::new().mode(0o750).create(&folder).map_err(at("making a folder in work"))?;
        // The first gets the spelling of its file, so that it is found again.
        let to = |n: usize| folder.join(if n == 0 { &sidecar } else { &whole.sidecars[n] });
        let mut sidecars = whole.sidecars.iter().enumerate();
        let moved = match whole.unclear {
            false => sidecars.try_for_each(|(n, name)| fs::rename(self.root().join(name), to(n))),
            true => whole.sidecars.iter().try_for_each(|name| self.copy_sidecar(name, &folder)),
        };
        let moved = moved.and_then(|()| fs::rename(&from, folder.join(&whole.name)));
        if let Err(error) = moved {
            self.give_back_sidecars(&folder);
            // Copies of what stands there are left in it.
            let _litter = clear(&folder);
            return match error.kind() {
                io::ErrorKind::NotFound => Ok(Taken::Later),
                _ => Err(at("moving a file into work")(error)),
            };
        }
        let claim = Claim {
            number,
            name: whole.name.clone(),
            class: whole.class,
            seen: whole.seen,
            deaths: 0,
            folder,
        };
        if claim.is_as_seen() || !self.put_back(&claim)? {
            return Ok(Taken::Claim(claim));
        }
        Ok(Taken::Later)
    }

    /// Whether a sidecar stands in the folder that is the file's, or looks like it; one of another file's own spelling is not
    /// its. The folder is listed for what may be an export only: nothing else asks whose it is.
    fn has_sidecar(&self, whole: &Whole) -> Result<bool, FolderError> {
        let sidecar = name::sidecar(&whole.name);
        let there =
            |name: &OsStr| fs::symlink_metadata(self.root().join(name)).is_ok_and(|meta| meta.is_file());
        if there(&sidecar) || !matches!(whole.class, Class::Csv | Class::Text) {
            return Ok(there(&sidecar));
        }
        let fits = |name: &OsStr| {
            let others = name::of_sidecar(name).is_some_and(|of| of != whole.name && there(of));
            name::alike(name) == name::alike(&sidecar) && !others && there(name)
        };
        let mut names = self.names()?;
        Ok(names.any(|name| fits(&name)))
    }

    /// Puts a copy of a sidecar beside a file that it may not be of: another file may be in doubt for its sake too.
    fn copy_sidecar(&self, name: &OsStr, folder: &Path) -> io::Result<()> {
        put_letter(folder, &read_sidecar(&self.root().join(name))?, &folder.join(name))
    }

    /// All names in the folder, whatever they are of.
    fn names(&self) -> Result<impl Iterator<Item = OsString>, FolderError> {
        let entries = fs::read_dir(self.root()).map_err(at("listing the folder"))?;
        Ok(entries.filter_map(|entry| entry.ok().map(|entry| entry.file_name())))
    }

    /// What a process that ended left in `work/`: files to read again, in the order of their numbers.
    pub(super) fn recover(&self) -> Result<Vec<Claim>, FolderError> {
        let step = "listing work";
        let mut claims = Vec::new();
        for entry in fs::read_dir(self.work()).map_err(at(step))? {
            let entry = entry.map_err(at(step))?;
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let (Some(number), true) = (number, entry.file_type().map_err(at(step))?.is_dir()) else {
                continue;
            };
            claims.extend(self.recovered(entry.path(), number)?);
        }
        claims.sort_by_key(|claim| claim.number);
        Ok(claims)
    }

    fn recovered(&self, folder: PathBuf, number: u64) -> Result<Option<Claim>, FolderError> {
        let (mut file, mut sidecars) = (None, Vec::new());
        for entry in fs::read_dir(&folder).map_err(at("listing a folder in work"))? {
            let entry = entry.map_err(at("listing a folder in work"))?;
            let seen = entry.metadata().ok().as_ref().and_then(seen);
            match (Class::of(&entry.file_name()), seen) {
                (Some(Class::Sidecar), Some(_)) => sidecars.push(entry.file_name()),
                (Some(class), Some(seen)) => file = Some((entry.file_name(), class, seen)),
                _ => {}
            }
        }
        if let Some((name, class, seen)) = file {
            let deaths = attempt::deaths(&folder);
            return Ok(Some(Claim { number, name, class, seen, deaths, folder }));
        }
        // Either the file was never taken, and stands in the folder still, or it has been settled with a copy.
        let stands = |name: &OsStr| fs::symlink_metadata(self.root().join(name)).is_ok();
        if sidecars.iter().any(|sidecar| name::of_sidecar(sidecar).is_some_and(stands)) {
            self.give_back_sidecars(&folder);
        }
        clear(&folder).map_err(at("clearing a folder in work"))?;
        Ok(None)
    }

    /// Gives a file back to the folder, and then its sidecar: a sidecar alone in `work/` is given back at the next
    /// start, a file alone would be read without it. False where another of its name stands there meanwhile.
    pub(super) fn put_back(&self, claim: &Claim) -> Result<bool, FolderError> {
        let to = self.root().join(&claim.name);
        if fs::symlink_metadata(&to).is_ok() {
            return Ok(false);
        }
        fs::rename(claim.path(), &to).map_err(at("moving a file back"))?;
        self.give_back_sidecars(&claim.folder);
        let _litter = clear(&claim.folder);
        Ok(true)
    }

    /// Sidecars go back unless a newer one has taken the place. Nothing can be done about one that cannot be moved.
    fn give_back_sidecars(&self, folder: &Path) {
        for name in sidecars(folder).unwrap_or_default() {
            let to = self.root().join(&name);
            if fs::symlink_metadata(&to).is_err() {
                let _moved = fs::rename(folder.join(name), to);
            }
        }
    }

    /// Moves a file to where it stays, with a letter beside it. Its messages are committed and synced before this.
    pub(super) fn settle(&self, claim: &Claim, place: Place, letter: &str) -> Result<(), FolderError> {
        let (folder, name) = self.free_name(&claim.name, place)?;
        if claim.sidecar().is_some() {
            let to = folder.join(name::sidecar(&name));
            claim.settle_sidecar(&claim.sidecar_path(), &to).map_err(at("moving the sidecar"))?;
        }
        for rival in claim.rivals()? {
            let (folder, free) = self.free_name(&rival, place)?;
            let settled = claim.settle_sidecar(&claim.folder.join(rival), &folder.join(free));
            settled.map_err(at("moving the sidecar"))?;
        }
        put_letter(&claim.folder, letter.as_bytes(), &folder.join(name::with_ending(&name, place.letter())))
            .map_err(at("writing the letter beside a file"))?;
        fs::rename(claim.path(), folder.join(&name)).map_err(at("moving a file out of work"))?;
        durable::sync_folder(&folder).map_err(at("syncing the folder of settled files"))?;
        let _litter = clear(&claim.folder);
        Ok(())
    }

    /// Moves a sidecar without a file to quarantine, its letter first. False where its file stands there after all.
    pub(super) fn set_aside(&self, sidecar: &OsStr, letter: &str) -> Result<bool, FolderError> {
        if name::of_sidecar(sidecar).is_some_and(|file| fs::symlink_metadata(self.root().join(file)).is_ok())
        {
            return Ok(false);
        }
        let file = |name: &OsString| Class::of(name).is_some_and(|class| class != Class::Sidecar);
        let fits = |name: &OsString| name::fold(&name::sidecar(name)) == name::fold(sidecar);
        // Of several nobody knows which it is of.
        if self.names()?.filter(|name| file(name) && fits(name)).count() == 1 {
            return Ok(false);
        }
        let (folder, name) = self.free_name(sidecar, Place::Quarantine)?;
        put_letter(
            &self.work(),
            letter.as_bytes(),
            &folder.join(name::with_ending(&name, Place::Quarantine.letter())),
        )
        .map_err(at("writing the letter beside a file"))?;
        fs::rename(self.root().join(sidecar), folder.join(name))
            .map_err(at("moving a sidecar to quarantine"))?;
        Ok(true)
    }

    /// A name in `place` that no file has, for a file of this name.
    fn free_name(&self, name: &OsStr, place: Place) -> Result<(PathBuf, OsString), FolderError> {
        let folder = self.root().join(place.word());
        let free = |n: &u32| fs::symlink_metadata(folder.join(name::attempt(name, *n))).is_err();
        let n = (1..=MOST_OF_A_NAME).find(free);
        let n = n.ok_or_else(|| at("finding a free name")(io::Error::from(io::ErrorKind::AlreadyExists)))?;
        Ok((folder, name::attempt(name, n)))
    }
}

/// Writes a letter under a name of its own in `folder`, and gives it its name once it is synced.
fn put_letter(folder: &Path, bytes: &[u8], to: &Path) -> io::Result<()> {
    let draft = folder.join(LETTER);
    // A process that ended may have left one. Whatever stands there, nothing is written into it or through it.
    let _left = fs::remove_file(&draft);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(FILE_MODE).custom_flags(NO_LINK);
    let mut file = options.open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(draft, to)
}

/// The names of the sidecars in a folder of `work/`.
fn sidecars(folder: &Path) -> io::Result<Vec<OsString>> {
    let names = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name()));
    names.filter(|name| name.as_ref().map_or(true, |name| Class::of(name) == Some(Class::Sidecar))).collect()
}

fn read_sidecar(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(SIDECAR_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens a file for reading, no link.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(NO_LINK).open(path)
}

/// Removes a folder of `work/` with what is left in it; a file that is not settled is not left in it.
fn clear(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        fs::remove_file(entry?.path())?;
    }
    fs::remove_dir(folder)
}

impl Claim {
    fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Whether it still is what was seen: a writer may have gone on, or a link have come in its place.
    pub(super) fn is_as_seen(&self) -> bool {
        fs::symlink_metadata(self.path()).ok().as_ref().and_then(seen) == Some(self.seen)
    }

    /// What it is now; `None` where it is no file.
    pub(super) fn seen_now(&self) -> Option<Seen> {
        fs::symlink_metadata(self.path()).ok().as_ref().and_then(seen)
    }

    /// Its bytes, at most `limit` and one more.
    pub(super) fn read(&self, limit: u64) -> io::Result<Bytes> {
        let mut bytes = Vec::with_capacity(self.seen.bytes.min(limit) as usize + 1);
        open(&self.path())?.take(limit + 1).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }

    /// The bytes of its sidecar, cut where no sidecar is as long; none of one that cannot be read; `None` where the file
    /// has no sidecar.
    pub(super) fn sidecar(&self) -> Option<Vec<u8>> {
        let meta = fs::symlink_metadata(self.sidecar_path()).ok()?;
        Some(seen(&meta).and_then(|_| read_sidecar(&self.sidecar_path()).ok()).unwrap_or_default())
    }

    /// Sidecars that were taken with it besides its own: which of them is right nobody knows.
    pub(super) fn rivals(&self) -> Result<Vec<OsString>, FolderError> {
        let mut all = sidecars(&self.folder).map_err(at("listing a folder in work"))?;
        all.retain(|name| *name != name::sidecar(&self.name));
        Ok(all)
    }

    fn sidecar_path(&self) -> PathBuf {
        self.folder.join(name::sidecar(&self.name))
    }

    /// Puts a sidecar beside its file: a copy, so that a file in `work/` keeps its own; or, where it cannot be copied
    /// whole, the sidecar itself.
    fn settle_sidecar(&self, from: &Path, to: &Path) -> io::Result<()> {
        match read_sidecar(from) {
            Ok(bytes) if bytes.len() as u64 <= SIDECAR_MAX_BYTES => put_letter(&self.folder, &bytes, to),
            _ => fs::rename(from, to),
        }
    }
}

#[cfg(test)]
#[path = "claim_tests.rs"]
mod tests;
