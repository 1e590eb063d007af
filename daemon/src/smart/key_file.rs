//! A private key's file: read whole, wiped after use, and refused where others could read or change it.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::key::{KeyError, SigningKey};

/// The largest key file that is read: RSA of 16,384 bits takes 13 KB.
const MAX_BYTES: u64 = 64 * 1024;
/// Modes a key may have: its owner's, and that its group reads. A group that writes could put its own key there.
const TOO_OPEN: u32 = 0o027;

/// Why a key's file cannot be used. None of these carries any of its content.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is none.
    #[error("{0} does not exist")]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("{path} cannot be read ({source})")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is a folder, a pipe, or larger than any key.
    #[error("{0} is no key's file")]
    NotAFile(PathBuf),
    /// Others than its owner may change it, or others than owner and group may read it.
    #[error("{path} is open to others (mode {mode:04o})")]
    Mode {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// What it holds cannot be used.
    #[error("{path} {source}")]
    Key {
        /// Which.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
}

impl KeyFileError {
    /// What to do about it.
    pub fn advice(&self) -> String {
        match self {
            Self::Missing(_) => "make a key: isthmus site keys new".to_owned(),
            Self::Unreadable { .. } => "give the daemon's user the right to read it".to_owned(),
            Self::NotAFile(_) => format!("name a PEM file of at most {} KiB", MAX_BYTES / 1024),
            Self::Mode { path, .. } => format!("take that right away: chmod 0600 {}", path.display()),
            Self::Key { source, .. } => source.advice().to_owned(),
        }
    }
}

/// Reads the key at `path`, under the name `kid` or that of its thumbprint.
///
/// # Errors
/// [`KeyFileError`].
pub fn read(path: &Path, kid: Option<&str>) -> Result<SigningKey, KeyFileError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeyFileError::Missing(path.to_owned()),
        _ => KeyFileError::Unreadable { path: path.to_owned(), source },
    };
    // Looked at before it is opened: opening a pipe would wait for ever.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(KeyFileError::NotAFile(path.to_owned()));
    }
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode() & 0o7777;
    if mode & TOO_OPEN != 0 {
        return Err(KeyFileError::Mode { path: path.to_owned(), mode });
    }
    // Room for the whole of it at once: growing would leave unwiped copies behind.
    let mut pem = Zeroizing::new(Vec::with_capacity(MAX_BYTES as usize));
    file.take(MAX_BYTES).read_to_end(&mut pem).map_err(unreadable)?;
    SigningKey::from_pem(&pem, kid).map_err(|source| KeyFileError::Key { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::smart::key;

    #[test]
    fn a_key_that_others_may_read_or_its_group_may_change_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        std::fs::write(&path, key::generate().unwrap().as_bytes()).unwrap();
        for (mode, good) in [
            (0o600, true),
            (0o400, true),
            (0o640, true),
            (0o440, true),
            (0o660, false),
            (0o604, false),
            (0o644, false),
            (0o602, false),
        ] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            match read(&path, None) {
                Ok(_) => assert!(good, "{mode:o}"),
                Err(KeyFileError::Mode { mode: told, .. }) => assert!(!good && told == mode, "{mode:o}"),
                Err(other) => panic!("{other}"),
            }
        }
    }

    #[test]
    fn what_is_no_file_of_a_key_is_told_and_none_of_it_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        assert!(matches!(read(&path, None), Err(KeyFileError::Missing(_))));
        assert!(matches!(read(dir.path(), None), Err(KeyFileError::NotAFile(_))));
        std::fs::write(&path, "SECRET").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let error = read(&path, None).unwrap_err();
        assert!(matches!(error, KeyFileError::Key { source: KeyError::NotPem, .. }));
        assert!(!format!("{error} {error:?} {}", error.advice()).contains("SECRET"));
        std::fs::write(&path, vec![b'x'; MAX_BYTES as usize + 1]).unwrap();
        assert!(matches!(read(&path, None), Err(KeyFileError::NotAFile(_))));
    }
}
