//! The folder of a site's keys: private keys, one a file, and `keys.toml`, which says what is done with each.
//!
//! Invariants: a private key is written before the ring names it and removed after the ring has let go of it, so that a
//! power cut leaves at most a file that nobody uses; one command at a time changes a folder, so that no key is forgotten; what
//! is made, and for whom, is `rooted`'s to keep safe, for root makes it and the daemon's user may own the folder.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    key::{self, KeyError, SigningKey},
    key_file::{self, KeyFileError},
    key_ring::{Ring, RingError, State},
    rooted::Folder,
};

/// The file of the ring.
const RING: &str = "keys.toml";
/// The largest ring file that is read: thirty entries take 8 KB.
const RING_MAX_BYTES: u64 = 256 * 1024;

/// Why a folder of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another command changes it.
    #[error("another command is at work in {0}")]
    Busy(PathBuf),
    /// The ring does not permit it.
    #[error("{path}: {source}")]
    Ring {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: RingError,
    },
    /// A private key cannot be used.
    #[error("{0}")]
    File(#[from] KeyFileError),
    /// A key could not be made.
    #[error("a key {0}")]
    Make(#[from] KeyError),
}

impl FolderError {
    /// The error with what to do about it; most of what a ring refuses says so itself.
    pub fn told(&self) -> String {
        match self {
            Self::Ring { source, .. } if *source != RingError::NoneInUse => self.to_string(),
            _ => format!("{self}; {}", self.advice()),
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> String {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotADirectory => {
                "name the folder itself, by a path without links that others could have made".to_owned()
            }
            Self::Io { .. } => "give this user the right to use that folder".to_owned(),
            Self::Busy(_) => "try again when it has ended".to_owned(),
            Self::Ring { source: RingError::NoneInUse, .. } => "make a key: isthmus site keys new".to_owned(),
            Self::Ring { .. } => "see isthmus site keys list".to_owned(),
            Self::File(error) => error.advice(),
            Self::Make(error) => error.advice().to_owned(),
        }
    }
}

/// A folder of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFolder(pub PathBuf);

impl KeyFolder {
    /// The ring; an empty one where there is none yet.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn ring(&self) -> Result<Ring, FolderError> {
        let path = self.0.join(RING);
        let metadata = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ring::default()),
            Err(source) => return Err(FolderError::Io { path, source }),
            Ok(metadata) => metadata,
        };
        if !metadata.is_file() || metadata.len() > RING_MAX_BYTES {
            return Err(FolderError::Io { path, source: io::Error::other("it is no ring of keys") });
        }
        let text = fs::read_to_string(&path).map_err(|source| FolderError::Io { path, source })?;
        Ring::read(&text).map_err(|source| self.refused(source))
    }

    /// The key in use.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn in_use(&self) -> Result<SigningKey, FolderError> {
        let ring = self.ring()?;
        let entry = ring.in_use().map_err(|source| self.refused(source))?;
        Ok(key_file::read(&self.0.join(&entry.file), Some(&entry.kid))?)
    }

    /// The ring's file, which changes with every step.
    pub fn ring_file(&self) -> PathBuf {
        self.0.join(RING)
    }

    /// Makes a key and takes it into the ring. Returns its name and state.
    ///
    /// # Errors
    /// [`FolderError`]; nothing is overwritten.
    pub fn make(&self, now_ms: i64) -> Result<(String, State), FolderError> {
        let (folder, mut ring) = self.open(true)?;
        let pem = key::generate()?;
        let kid = SigningKey::from_pem(pem.as_bytes(), None)?.kid().to_owned();
        // A thumbprint has letters, digits, `-` and `_`; one that begins with `-` would be taken for an option.
        let file = format!("key-{kid}.pem");
        let state = ring.add(&kid, &file, now_ms).map_err(|source| self.refused(source))?;
        self.write(&folder, &file, 0o600, pem.as_bytes())?;
        self.keep(&folder, &ring)?;
        Ok((kid, state))
    }

    /// Writes the public set to `out`, and notes in the ring that it was.
    ///
    /// # Errors
    /// [`FolderError`]; where a key cannot be read nothing is written.
    pub fn publish(&self, out: &Path, now_ms: i64) -> Result<usize, FolderError> {
        let (folder, mut ring) = self.open(false)?;
        ring.in_use().map_err(|source| self.refused(source))?;
        let keys = ring.public().map(|entry| key_file::read(&self.0.join(&entry.file), Some(&entry.kid)));
        let keys: Vec<SigningKey> = keys.collect::<Result<_, _>>()?;
        let text = format!("{:#}\n", key::public_set(&keys));
        put(out, text.as_bytes()).map_err(|source| FolderError::Io { path: out.to_owned(), source })?;
        ring.published(now_ms);
        self.keep(&folder, &ring)?;
        Ok(keys.len())
    }

    /// Lets another key sign. Returns its name.
    ///
    /// # Errors
    /// [`FolderError`], also where its file cannot be read: the one before stays in use.
    pub fn switch(&self, kid: Option<&str>, now_ms: i64) -> Result<String, FolderError> {
        let (folder, mut ring) = self.open(false)?;
        let kid = ring.switch(kid, now_ms).map_err(|source| self.refused(source))?;
        let entry = ring.in_use().map_err(|source| self.refused(source))?;
        key_file::read(&self.0.join(&entry.file), Some(&entry.kid))?;
        self.keep(&folder, &ring)?;
        Ok(kid)
    }

    /// Removes a replaced key. Returns its name.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn retire(&self, kid: Option<&str>, now_ms: i64) -> Result<String, FolderError> {
        let (folder, mut ring) = self.open(false)?;
        let entry = ring.retire(kid, now_ms).map_err(|source| self.refused(source))?;
        self.keep(&folder, &ring)?;
        folder
            .remove(OsStr::new(&entry.file))
            .map_err(|source| FolderError::Io { path: self.0.join(&entry.file), source })?;
        Ok(entry.kid)
    }

    /// Opens the folder for a change, and reads the ring; `make`: also where there is no folder yet. Nobody else changes it
    /// until that is dropped.
    fn open(&self, make: bool) -> Result<(Folder, Ring), FolderError> {
        let opened = if make { Folder::make(&self.0) } else { Folder::own(&self.0) };
        let folder = opened.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => self.refused(RingError::NoneInUse),
            _ => self.io(source),
        })?;
        folder.lock().map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => FolderError::Busy(self.0.clone()),
            _ => self.io(source),
        })?;
        let text = folder.read(OsStr::new(RING), RING_MAX_BYTES);
        let text = text.map_err(|source| FolderError::Io { path: self.ring_file(), source })?;
        let ring = Ring::read(&text.unwrap_or_default()).map_err(|source| self.refused(source))?;
        Ok((folder, ring))
    }

    fn keep(&self, folder: &Folder, ring: &Ring) -> Result<(), FolderError> {
        // Its group reads it, as it may read the keys.
        self.write(folder, RING, 0o640, ring.text().as_bytes())
    }

    fn write(&self, folder: &Folder, name: &str, mode: u32, bytes: &[u8]) -> Result<(), FolderError> {
        let written = folder.write(OsStr::new(name), mode, bytes);
        written.map_err(|source| FolderError::Io { path: self.0.join(name), source })
    }

    fn io(&self, source: io::Error) -> FolderError {
        FolderError::Io { path: self.0.clone(), source }
    }

    fn refused(&self, source: RingError) -> FolderError {
        FolderError::Ring { path: self.0.clone(), source }
    }
}

/// Writes the public set to a file that anybody reads.
fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| io::Error::other("it names no file"))?;
    Folder::open(folder)?.write(name, 0o644, bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

    use super::*;
    use crate::smart::key_ring::RETIRE_AFTER_MS;

    const NOW: i64 = 1_772_323_200_000;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_rotation_leaves_one_private_key_and_a_public_set_without_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let folder = KeyFolder(dir.path().join("keys"));
        let out = dir.path().join("jwks.json");
        let (first, state) = folder.make(NOW).unwrap();
        assert_eq!(state, State::InUse);
        assert_eq!(folder.publish(&out, NOW).unwrap(), 1);
        let (second, _) = folder.make(NOW).unwrap();
        assert_eq!(folder.publish(&out, NOW).unwrap(), 2);
        let set = fs::read_to_string(&out).unwrap();
        assert!(set.contains(&first) && set.contains(&second) && !set.contains("\"d\""), "{set}");
        assert_eq!(folder.in_use().unwrap().kid(), first);
        assert_eq!(folder.switch(None, NOW).unwrap(), second);
        assert_eq!(folder.in_use().unwrap().kid(), second);
        assert!(folder.retire(None, NOW + RETIRE_AFTER_MS - 1).is_err());
        assert_eq!(folder.retire(None, NOW + RETIRE_AFTER_MS).unwrap(), first);
        assert_eq!(folder.publish(&out, NOW + RETIRE_AFTER_MS).unwrap(), 1);
        assert!(!fs::read_to_string(&out).unwrap().contains(&first));
        let mut names: Vec<String> = fs::read_dir(&folder.0)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, [format!("key-{second}.pem"), "keys.toml".to_owned()]);
        assert_eq!(mode(&folder.0.join(&names[0])), 0o600);
        assert_eq!((mode(&folder.0), mode(&out)), (0o700, 0o644));
    }

    #[test]
    fn a_switch_to_a_key_whose_file_cannot_be_read_leaves_the_one_before_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let folder = KeyFolder(dir.path().join("keys"));
        let (first, _) = folder.make(NOW).unwrap();
        let (second, _) = folder.make(NOW).unwrap();
        folder.publish(&dir.path().join("jwks.json"), NOW).unwrap();
        fs::write(folder.0.join(format!("key-{second}.pem")), "broken").unwrap();
        assert!(matches!(folder.switch(None, NOW), Err(FolderError::File(_))));
        assert_eq!(folder.in_use().unwrap().kid(), first);
        assert!(folder.publish(&dir.path().join("other.json"), NOW).is_err());
        assert!(!dir.path().join("other.json").exists(), "a set without one of its keys is not written");
    }

    #[test]
    fn one_command_at_a_time_changes_a_folder_and_its_ring_is_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let folder = KeyFolder(dir.path().join("keys"));
        folder.make(NOW).unwrap();
        let held = folder.open(false).unwrap();
        let out = dir.path().join("jwks.json");
        assert!(matches!(folder.make(NOW), Err(FolderError::Busy(_))));
        assert!(matches!(folder.publish(&out, NOW), Err(FolderError::Busy(_))));
        assert_eq!(
            (folder.ring().unwrap().keys().len(), out.exists()),
            (1, false),
            "who only looks need not wait"
        );
        drop(held);
        folder.make(NOW).unwrap();
        assert_eq!(folder.ring().unwrap().keys().len(), 2);
        // Whoever owns the folder may lay out a link in the place of the ring; nothing is read through it.
        fs::rename(folder.ring_file(), dir.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), folder.ring_file()).unwrap();
        assert!(matches!(folder.make(NOW), Err(FolderError::Io { .. })));
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 3, "and no key is made");
    }

    #[test]
    fn what_root_makes_can_be_read_by_the_daemons_user_and_by_nobody_else() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root makes files for others");
            return;
        }
        // Any numbers but root's.
        for (uid, gid, file_mode) in [(4_711, 4_712, 0o600), (0, 4_712, 0o640)] {
            let dir = tempfile::tempdir().unwrap();
            chown(dir.path(), Some(uid), Some(gid)).unwrap();
            let folder = KeyFolder(dir.path().join("keys"));
            let (kid, _) = folder.make(NOW).unwrap();
            let key = folder.0.join(format!("key-{kid}.pem"));
            for path in [&folder.0, &key, &folder.ring_file()] {
                let metadata = fs::metadata(path).unwrap();
                assert_eq!((metadata.uid(), metadata.gid()), (uid, gid), "{}", path.display());
            }
            assert_eq!(mode(&key), file_mode);
            folder.in_use().unwrap();
        }
    }

    #[test]
    fn a_folder_without_a_key_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let folder = KeyFolder(dir.path().join("keys"));
        let error = folder.in_use().unwrap_err();
        assert!(error.advice().contains("isthmus site keys new"), "{error}");
        assert!(folder.publish(&dir.path().join("jwks.json"), NOW).is_err());
    }
}
