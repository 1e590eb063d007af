//! The store's key as commands handle it: drawn, read, sealed for this machine, put aside, destroyed.
//!
//! A key lies in a file of 64 hexadecimal digits (mode 0600) or sealed, as a credential that `systemd-creds(1)` encrypted
//! under the machine's TPM, its host key, or both; a file whose name ends in `.cred` is sealed. Beside it may lie the key
//! that a rotation is going over to (`next`) and those of before (`old-ID`), which earlier backups need.
//!
//! Invariants: a key is in no argument, no environment and no message; a file of one is new, closed to others from its first
//! byte on, and synced with its folder; what holds it in memory is wiped.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use outbox::{Key, KeyError};
use rand::{TryRng, rngs::SysRng};
use zeroize::{Zeroize, Zeroizing};

use crate::durable;

/// The bytes of a key: 256 bits, as SQLCipher takes them.
const KEY_BYTES: usize = 32;
/// The credential's name, which the seal covers.
const CREDENTIAL: &str = "store-key";
/// What seals and opens.
const SEALER: &str = "systemd-creds";
/// The end of a sealed file's name.
const SEALED: &str = "cred";
/// What `isthmus init` calls a key, and one that it sealed.
const NAMES: [&str; 2] = ["store.key", "store-key.cred"];
/// The widest mode of a key: its owner's, and its group may read.
const MOST_MODE: u32 = 0o640;
/// A key is opened by its own name.
const NO_LINK: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;

/// Why a key cannot be had or put.
#[derive(Debug, thiserror::Error)]
pub enum StoreKeyError {
    /// The text in the file is no key.
    #[error("{}: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// A file could not be made, read or removed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// systemd could not be asked, or refused.
    #[error("{}: {SEALER} {what} it ({said}); run this as root on the machine that sealed it", path.display())]
    Sealer {
        /// The sealed file.
        path: PathBuf,
        /// What it did not do.
        what: &'static str,
        /// What it said.
        said: String,
    },
    /// The operating system gave no chance.
    #[error("the operating system gave no random bytes")]
    Random(#[source] rand::rngs::SysError),
}

/// A new key: 64 hexadecimal digits and a line end.
///
/// # Errors
/// Where the operating system gives no random bytes.
pub fn draw() -> Result<Zeroizing<String>, StoreKeyError> {
    let mut bytes = [0_u8; KEY_BYTES];
    SysRng.try_fill_bytes(&mut bytes).map_err(StoreKeyError::Random)?;
    // Room for all of it at once: growing would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(2 * KEY_BYTES + 1));
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    text.push('\n');
    bytes.zeroize();
    Ok(text)
}

/// Whether a file of this name is sealed.
pub fn is_sealed(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == SEALED)
}

/// The text of a key, opened where it is sealed.
///
/// # Errors
/// Where there is none, it is no key, or systemd does not open it.
pub fn text(path: &Path) -> Result<Zeroizing<String>, StoreKeyError> {
    let io = |source| StoreKeyError::Io { path: path.to_owned(), source };
    if !is_sealed(path) {
        let mut text = Zeroizing::new(String::with_capacity(1024));
        File::open(path).and_then(|file| file.take(1024).read_to_string(&mut text)).map_err(io)?;
        return Ok(text);
    }
    // So that a file that is not there is told as such.
    File::open(path).map_err(io)?;
    let opened = sealer(path, &["decrypt"], &[path.as_os_str(), "-".as_ref()], None, "did not open")?;
    let text = String::from_utf8_lossy(&opened).into_owned();
    Ok(Zeroizing::new(text))
}

/// The key in a file.
///
/// # Errors
/// As [`text`], and where the text is no key.
pub fn read(path: &Path) -> Result<Key, StoreKeyError> {
    Key::from_hex(&text(path)?).map_err(|source| StoreKeyError::Key { path: path.to_owned(), source })
}

/// Writes a key into a new file, sealed where its name says so. It has the owner, group and mode of another: `like`, where
/// there is one.
///
/// # Errors
/// Where the file is there, or systemd does not seal it: nothing is left behind then.
pub fn write(path: &Path, text: &str, like: Option<&Path>) -> Result<(), StoreKeyError> {
    let bytes = match is_sealed(path) {
        true => sealer(path, &["encrypt"], &["-".as_ref(), "-".as_ref()], Some(text), "did not seal")?,
        false => Zeroizing::new(text.as_bytes().to_vec()),
    };
    let make = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let written = file.write_all(&bytes).and_then(|()| match like {
            Some(like) => like.metadata().and_then(|like| {
                fchown(&file, Some(like.uid()), Some(like.gid()))?;
                // A group that could read the old one is the daemon's.
                file.set_permissions(Permissions::from_mode(like.mode() & MOST_MODE))
            }),
            None => Ok(()),
        });
        if let Err(error) = written.and_then(|()| file.sync_all()) {
            let _gone = fs::remove_file(path);
            return Err(error);
        }
        durable::sync_folder_of(path)
    };
    make().map_err(|source| StoreKeyError::Io { path: path.to_owned(), source })
}

/// Whether systemd can seal for this machine, and open again what it sealed.
pub fn can_seal() -> bool {
    let path = Path::new(CREDENTIAL);
    let sealed = sealer(path, &["encrypt"], &["-".as_ref(), "-".as_ref()], Some("try"), "");
    sealed.is_ok_and(|bytes| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let opened = sealer(path, &["decrypt"], &["-".as_ref(), "-".as_ref()], Some(&text), "");
        opened.is_ok_and(|bytes| bytes.as_slice() == b"try")
    })
}

/// Runs systemd-creds with a text for its standard input; what it wrote.
fn sealer(
    path: &Path,
    verb: &[&str],
    files: &[&std::ffi::OsStr],
    input: Option<&str>,
    what: &'static str,
) -> Result<Zeroizing<Vec<u8>>, StoreKeyError> {
    let failed = |said: String| StoreKeyError::Sealer { path: path.to_owned(), what, said };
    let mut child = Command::new(SEALER)
        .args(verb)
        .arg(format!("--name={CREDENTIAL}"))
        .args(files)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // One that went away says why below.
        let _gone = stdin.write_all(input.as_bytes());
    }
    let done = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    let out = Zeroizing::new(done.stdout);
    if done.status.success() {
        return Ok(out);
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(failed(said.lines().last().unwrap_or("no reason given").trim().to_owned()))
}

/// The other one of the two names that `isthmus init` gives a key, plain and sealed; `None` where this one is of neither.
pub fn other(path: &Path) -> Option<PathBuf> {
    let [plain, sealed] = NAMES.map(|name| path.with_file_name(name));
    match path {
        _ if path == plain => Some(sealed),
        _ if path == sealed => Some(plain),
        _ => None,
    }
}

/// The key that a rotation is going over to.
pub fn next(path: &Path) -> PathBuf {
    tagged(path, "next")
}

/// Where a key of before is put aside.
pub fn old(path: &Path, id: &str) -> PathBuf {
    tagged(path, &format!("old-{id}"))
}

/// `store.key` and `next` make `store.next.key`.
fn tagged(path: &Path, tag: &str) -> PathBuf {
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    path.with_file_name(format!("{}.{tag}.{}", part(path.file_stem()), part(path.extension())))
}

/// The keys of before that lie beside a key: their ids and files.
///
/// # Errors
/// Where the folder cannot be read.
pub fn olds(path: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let begins =
        old(path, "").file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(id) = stem.strip_prefix(&begins).filter(|_| file.extension() == path.extension()) {
            found.push((id.to_owned(), file));
        }
    }
    found.sort();
    Ok(found)
}

/// Makes a key unreadable and removes it: overwritten, synced, unlinked, the folder synced. On flash storage the old bytes
/// may outlive that in cells that nobody addresses; a sealed one is unreadable there without the machine.
///
/// # Errors
/// What the system says; [`io::ErrorKind::NotFound`] where there is none.
pub fn destroy(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).custom_flags(NO_LINK).open(path)?;
    let length = file.metadata()?.len();
    let mut noise = vec![0_u8; usize::try_from(length).unwrap_or(0).min(1 << 20)];
    SysRng.try_fill_bytes(&mut noise).map_err(io::Error::other)?;
    file.write_all(&noise)?;
    file.sync_all()?;
    fs::remove_file(path)?;
    durable::sync_folder_of(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn two_keys_differ_and_are_written_once_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.key");
        let (one, other) = (draw().unwrap(), draw().unwrap());
        assert_ne!(*one, *other);
        write(&path, &one, None).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap().id(), Key::from_hex(&one).unwrap().id());
        assert!(matches!(write(&path, &other, None), Err(StoreKeyError::Io { .. })));
        assert_eq!(*text(&path).unwrap(), *one);
    }

    #[test]
    fn keys_beside_a_key_are_found_by_their_ids_and_destroyed_ones_are_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store-key.cred");
        assert_eq!(next(&path), dir.path().join("store-key.next.cred"));
        for name in ["store-key.cred", "store-key.next.cred", "store-key.old-ab.cred", "store-key.old-cd.key"]
        {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let ids: Vec<String> = olds(&path).unwrap().into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, ["ab"]);
        destroy(&old(&path, "ab")).unwrap();
        assert!(olds(&path).unwrap().is_empty());
        assert_eq!(destroy(&old(&path, "ab")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_systemd_sealed_it_opens_again_and_the_file_does_not_show_the_key() {
        if !can_seal() {
            println!("skipped: systemd-creds cannot seal here");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store-key.cred");
        let key = draw().unwrap();
        write(&path, &key, None).unwrap();
        let sealed = fs::read_to_string(&path).unwrap();
        assert!(!sealed.contains(key.trim_end()));
        assert_eq!(read(&path).unwrap().id(), Key::from_hex(&key).unwrap().id());
        fs::write(&path, sealed.replacen('A', "B", 1)).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("did not open") && !error.contains(key.trim_end()), "{error}");
    }

    #[test]
    fn a_file_that_is_no_key_is_named_and_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.key");
        let missing = read(&path).unwrap_err().to_string();
        assert!(missing.contains("store.key"), "{missing}");
        fs::write(&path, "secret that is none").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("store.key") && !error.contains("secret"), "{error}");
    }
}
