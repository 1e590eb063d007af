//! The files of a stopped daemon, for commands that work on them: where they are, that nobody else does, who asks.

use std::{
    fs::File,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use outbox::{DATABASE_FILE, Key, OpenError, copy::CopyError};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{BAD_CONFIGURATION, FAILED, acting::Acting, failed};
use crate::{
    admin::peer::{Peer, Says},
    config::{self, StorePlaces},
    disk::Space,
    durable,
    store_key::{self, StoreKeyError},
};

/// A file is opened by its own name, never by a link.
const NO_LINK: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;

/// Why such a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum OfflineError {
    /// The configuration does not say where the files are.
    #[error("{0}")]
    Places(#[from] config::SocketError),
    /// A key cannot be had or put.
    #[error("{0}")]
    Key(#[from] StoreKeyError),
    /// The daemon runs, or another such command.
    #[error("the daemon has this store open; stop it first: systemctl stop isthmus")]
    Running,
    /// The folder cannot be used.
    #[error("{}: {source}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// A copy could not be made or checked.
    #[error("{}: {source}", path.display())]
    Copy {
        /// Which.
        path: PathBuf,
        /// Why.
        source: CopyError,
    },
    /// A file could not be moved, written or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not to be done as things are.
    #[error("{0}")]
    Refused(String),
}

impl OfflineError {
    /// Says why. Returns the exit code.
    pub(super) fn failed(&self) -> ExitCode {
        failed(self, if matches!(self, Self::Places(_)) { BAD_CONFIGURATION } else { FAILED })
    }
}

/// The files of one daemon.
pub(super) struct Offline {
    /// Where they are.
    pub places: StorePlaces,
}

impl Offline {
    /// Finds them by the main file.
    pub(super) fn of(config: &Path) -> Result<Self, OfflineError> {
        Ok(Self { places: config::store_places(config)? })
    }

    /// The database.
    pub(super) fn database(&self) -> PathBuf {
        self.places.data_dir.join(DATABASE_FILE)
    }

    /// A file in the data folder.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.places.data_dir.join(name)
    }

    /// The key in force.
    pub(super) fn key(&self) -> Result<Key, OfflineError> {
        Ok(store_key::read(&self.places.key_file)?)
    }

    /// Acts as the daemon's user among its files, until that is dropped.
    pub(super) fn acting(&self) -> Result<Acting, OfflineError> {
        let folder = &self.places.data_dir;
        Acting::as_owner_of(folder).map_err(|source| OfflineError::Io { path: folder.clone(), source })
    }

    /// Opens a file of the daemon's to be read, by its own name and as the daemon's user.
    pub(super) fn opened(&self, path: &Path) -> Result<File, OfflineError> {
        let _acting = self.acting()?;
        let opened = File::options().read(true).custom_flags(NO_LINK).open(path);
        opened.map_err(|source| OfflineError::Io { path: path.to_owned(), source })
    }

    /// Sees that no daemon runs, and that none starts until this is dropped.
    pub(super) fn lock(&self) -> Result<outbox::FolderLock, OfflineError> {
        let _acting = self.acting()?;
        outbox::FolderLock::take(&self.places.data_dir).map_err(|source| match source {
            OpenError::Locked => OfflineError::Running,
            source => OfflineError::Folder { folder: self.places.data_dir.clone(), source },
        })
    }

    /// Moves a file to another name in its folder, and syncs the folder.
    pub(super) fn rename(from: &Path, to: &Path) -> Result<(), OfflineError> {
        let moved = std::fs::rename(from, to).and_then(|()| durable::sync_folder_of(to));
        moved.map_err(|source| OfflineError::Io { path: to.to_owned(), source })
    }

    /// Moves a file to a name that nothing has, and syncs the folder; what has the name stays.
    pub(super) fn rename_new(from: &Path, to: &Path) -> Result<(), OfflineError> {
        let moved = renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(std::io::Error::from);
        let moved = moved.and_then(|()| durable::sync_folder_of(to));
        moved.map_err(|source| OfflineError::Io { path: to.to_owned(), source })
    }

    /// Removes a file that an interrupted command left, where there is one.
    pub(super) fn clear(path: &Path) -> Result<(), OfflineError> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(OfflineError::Io { path: path.to_owned(), source: error })
            }
            _ => Ok(()),
        }
    }

    /// Refuses where the data folder has not so many bytes free.
    pub(super) fn room(&self, bytes: u64) -> Result<(), OfflineError> {
        let folder = &self.places.data_dir;
        let space = Space::of(folder);
        let free = space.map_err(|source| OfflineError::Io { path: folder.clone(), source })?.free_bytes;
        if free < bytes {
            let (wanted, free) = (bytes.div_ceil(1 << 20), free >> 20);
            let what = format!("{} has {free} MiB free, and {wanted} MiB are needed", folder.display());
            return Err(OfflineError::Refused(what));
        }
        Ok(())
    }
}

/// Who runs this command, for the audit log.
pub(super) fn actor() -> String {
    let uid = rustix::process::getuid().as_raw();
    Peer { uid, login: None, says: Says::of_this_process() }.actor()
}

/// The error of a copy, with its file.
pub(super) fn of_copy(path: &Path) -> impl FnOnce(CopyError) -> OfflineError {
    move |source| OfflineError::Copy { path: path.to_owned(), source }
}
