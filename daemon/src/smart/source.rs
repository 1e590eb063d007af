//! Where the key in use comes from: one file, or a folder in which keys are exchanged. It is read at every request for a
//! token, so that a new key is used without a restart.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    key::SigningKey,
    key_file::{self, KeyFileError},
    key_folder::{FolderError, KeyFolder},
};

/// Where the key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A PEM file; also a systemd credential.
    File {
        /// Which.
        path: PathBuf,
        /// Its name in the public set; `None` is its thumbprint.
        kid: Option<String>,
    },
    /// A folder that `isthmus site keys` keeps.
    Folder(KeyFolder),
}

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be used.
    #[error("{0}")]
    File(#[from] KeyFileError),
    /// The folder cannot.
    #[error("{0}")]
    Folder(#[from] FolderError),
}

impl SourceError {
    /// What to do about it.
    pub fn advice(&self) -> String {
        match self {
            Self::File(error) => error.advice(),
            Self::Folder(error) => error.advice(),
        }
    }
}

/// What tells files from those that were there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(Option<(u64, u64, i64, i64)>);

impl KeySource {
    /// The key in use. Reads files.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn read(&self) -> Result<SigningKey, SourceError> {
        match self {
            Self::File { path, kid } => Ok(key_file::read(path, kid.as_deref())?),
            Self::Folder(folder) => Ok(folder.in_use()?),
        }
    }

    /// The file of the key of this name, and since when it is in use (Unix seconds), as far as that is known: a folder's ring
    /// says since when it signs, of a single file the time of its last change is told. Reads files.
    pub fn known_of(&self, kid: &str) -> (Option<PathBuf>, Option<i64>) {
        match self {
            Self::File { path, .. } => (Some(path.clone()), changed_s(path)),
            Self::Folder(folder) => {
                let ring = folder.ring().ok();
                let entry = ring.and_then(|ring| ring.in_use().ok().filter(|one| one.kid == kid).cloned());
                let Some(entry) = entry else { return (None, None) };
                let since = entry.used_from.as_ref().unwrap_or(&entry.made).parse::<jiff::Timestamp>();
                (Some(folder.0.join(&entry.file)), since.ok().map(jiff::Timestamp::as_second))
            }
        }
    }

    /// What changes where the key in use does.
    pub fn stamp(&self) -> Stamp {
        match self {
            Self::File { path, .. } => stamp(path),
            Self::Folder(folder) => stamp(&folder.ring_file()),
        }
    }
}

/// When a file was last changed (Unix seconds); `None` where nobody can say.
pub fn changed_s(path: &Path) -> Option<i64> {
    Some(std::fs::metadata(path).ok()?.mtime())
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok();
    Stamp(metadata.map(|metadata| (metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec())))
}
