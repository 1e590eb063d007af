//! The database key: 64 hexadecimal digits (256 bits) in a file or a systemd credential.
//!
//! Invariants: the key is never shown (its `Debug` is a fixed word), never compared, and its memory is wiped
//! when it is dropped. It is used raw (`PRAGMA key = "x'…'"`), so no pass-phrase derivation takes place and
//! opening a connection costs microseconds.

use std::{fmt, fs::File, io::Read, os::unix::fs::PermissionsExt, path::Path};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Hexadecimal digits in a key: SQLCipher's AES-256 takes 32 bytes.
pub const KEY_HEX_DIGITS: usize = 64;

/// Most bytes read from a key file. 64 digits and a line end fit many times over; a file that is longer is
/// something else, and reading all of it would only keep more of it in memory.
const KEY_FILE_MAX_BYTES: u64 = 1024;

/// A database key. Clones are wiped too.
#[derive(Clone)]
pub struct Key(Zeroizing<String>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(hidden)")
    }
}

/// Why a key could not be read. None of these carries any of the file's content.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no file at that path.
    #[error("the key file does not exist")]
    Missing,
    /// The file exists and cannot be read.
    #[error("the key file cannot be read")]
    Unreadable(#[source] std::io::Error),
    /// The text has another length than 64 digits, white space around it not counted.
    #[error("the key has {found} characters; it must be {KEY_HEX_DIGITS} hexadecimal digits")]
    Length {
        /// Characters found (at most 1,024 are looked at).
        found: usize,
    },
    /// The length is right, and something in it is not a hexadecimal digit.
    #[error("character {place} of the key is not a hexadecimal digit")]
    Digit {
        /// Place of the first wrong character, counted from 1.
        place: usize,
    },
}

/// Something about the key file that works and should be put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyWarning {
    /// Others than its owner and group may read the file; the mode bits are given (for example `0o644`).
    WorldReadable(u32),
}

impl fmt::Display for KeyWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WorldReadable(mode) => {
                write!(f, "the key file is readable by every user (mode {mode:04o}); use chmod 0400")
            }
        }
    }
}

impl Key {
    /// Takes 64 hexadecimal digits of either case, white space around them ignored.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let digits = text.trim_ascii();
        if let Some(at) = digits.chars().position(|c| !c.is_ascii_hexdigit())
            && digits.chars().count() == KEY_HEX_DIGITS
        {
            return Err(KeyError::Digit { place: at + 1 });
        }
        if digits.len() != KEY_HEX_DIGITS {
            return Err(KeyError::Length { found: digits.chars().count() });
        }
        Ok(Self(Zeroizing::new(digits.to_owned())))
    }

    /// Reads the key from a file, and says what about the file should be put right.
    pub fn from_file(path: &Path) -> Result<(Self, Option<KeyWarning>), KeyError> {
        let file = File::open(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => KeyError::Missing,
            _ => KeyError::Unreadable(e),
        })?;
        let mode = file.metadata().map_err(KeyError::Unreadable)?.permissions().mode() & 0o7777;
        // Room for the whole of it at once: growing would leave unwiped copies behind.
        let mut text = Zeroizing::new(String::with_capacity(KEY_FILE_MAX_BYTES as usize));
        file.take(KEY_FILE_MAX_BYTES).read_to_string(&mut text).map_err(KeyError::Unreadable)?;
        let warning = (mode & 0o004 != 0).then_some(KeyWarning::WorldReadable(mode));
        Ok((Self::from_hex(&text)?, warning))
    }

    /// What tells this key from others and nothing about it: 16 hexadecimal digits of a SHA-256 under a prefix of its own. The
    /// key has 256 bits of chance, so no search leads back.
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"isthmus store key id ");
        hash.update(Zeroizing::new(self.0.to_ascii_lowercase()).as_bytes());
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The statement that hands the key to SQLCipher.
    pub(crate) fn pragma(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("PRAGMA key = \"x'{}'\"", self.0.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "00112233445566778899aAbBcCdDeEfF00112233445566778899aabbccddeeff";

    #[test]
    fn a_key_is_sixty_four_hexadecimal_digits_and_nothing_else() {
        assert!(Key::from_hex(DIGITS).is_ok());
        assert!(Key::from_hex(&format!(" {DIGITS}\r\n")).is_ok());
        assert!(matches!(Key::from_hex(""), Err(KeyError::Length { found: 0 })));
        assert!(matches!(Key::from_hex(&DIGITS[1..]), Err(KeyError::Length { found: 63 })));
        assert!(matches!(Key::from_hex(&format!("{DIGITS}0")), Err(KeyError::Length { found: 65 })));
        let wrong = DIGITS.replacen("33", "3g", 1);
        assert!(matches!(Key::from_hex(&wrong), Err(KeyError::Digit { place: 8 })));
    }

    #[test]
    fn an_id_is_the_keys_own_whatever_its_case_and_shows_nothing_of_it() {
        let key = Key::from_hex(DIGITS).unwrap();
        assert_eq!(key.id(), Key::from_hex(&DIGITS.to_lowercase()).unwrap().id());
        assert_ne!(key.id(), Key::from_hex(&DIGITS.replacen("00", "01", 1)).unwrap().id());
        assert_eq!(key.id().len(), 16);
        assert!(!DIGITS.to_lowercase().contains(&key.id()));
    }

    #[test]
    fn neither_debug_nor_errors_show_the_key() {
        let key = Key::from_hex(DIGITS).unwrap();
        assert_eq!(format!("{key:?}"), "Key(hidden)");
        let error = Key::from_hex(&DIGITS[2..]).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("2233"));
    }

    #[test]
    fn a_missing_file_is_an_error_and_a_world_readable_one_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db.key");
        assert!(matches!(Key::from_file(&path), Err(KeyError::Missing)));
        std::fs::write(&path, format!("{DIGITS}\n")).unwrap();
        for (mode, warning) in [(0o644, Some(KeyWarning::WorldReadable(0o644))), (0o640, None), (0o400, None)]
        {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Key::from_file(&path).unwrap().1, warning);
        }
    }
}
