//! The files that a configuration names: certificates, private keys, the store key, folders.
//!
//! They are looked at while the configuration is read, so that a missing or unusable one is a fault
//! with a line, not an outage later. The bytes of keys are wiped after the look and never quoted.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::{account, section::Section};
use crate::tls;

/// The largest certificate or key file that is read: a bundle of all public authorities fits.
const MAX_PEM_BYTES: u64 = 1024 * 1024;

/// The largest file of revocation lists: some two hundred thousand entries.
const MAX_CRL_BYTES: u64 = 8 * 1024 * 1024;

/// The hex digits of a store key: 256 bits.
pub(super) const STORE_KEY_DIGITS: usize = 64;

/// The mode bits of users who are neither the owner nor of the group.
const OTHERS: u32 = 0o007;

/// The largest store key file: the digits and some white space.
const MAX_STORE_KEY_BYTES: u64 = 1024;

impl Section<'_> {
    /// The path of a PEM file that holds at least one certificate; its hash joins the fingerprint.
    pub(super) fn certificates(&self, key: &'static str, example: &str) -> Option<PathBuf> {
        let path = self.path(key, example)?;
        let bytes = self.file(key, &path, MAX_PEM_BYTES)?;
        let mut count = 0_usize;
        for certificate in CertificateDer::pem_slice_iter(&bytes) {
            if certificate.is_err() {
                self.fault(
                    key,
                    &format!("names {}, which is broken PEM", path.display()),
                    "copy the file again: base64 between BEGIN CERTIFICATE and END CERTIFICATE",
                );
                return None;
            }
            count += 1;
        }
        if count == 0 {
            self.fault(
                key,
                &format!("names {}, which holds no certificate", path.display()),
                "name a PEM file with -----BEGIN CERTIFICATE----- in it",
            );
            return None;
        }
        self.findings().note_content(path.clone(), Sha256::digest(bytes.as_slice()).into());
        Some(path)
    }

    /// Whether `path`, named at `key`, holds revocation lists; its hash joins the fingerprint.
    pub(super) fn is_revocation_list(&self, key: &'static str, path: &Path) -> Option<()> {
        let bytes = self.file(key, path, MAX_CRL_BYTES)?;
        if tls::revocation_lists(&bytes).is_none_or(|lists| lists.is_empty()) {
            self.fault(
                key,
                &format!("names {}, which holds no revocation list", path.display()),
                "name a file with -----BEGIN X509 CRL----- in it, or one in DER",
            );
            return None;
        }
        self.findings().note_content(path.to_owned(), Sha256::digest(bytes.as_slice()).into());
        Some(())
    }

    /// The path of a PEM file that holds an unencrypted private key.
    pub(super) fn private_key(&self, key: &'static str, example: &str) -> Option<PathBuf> {
        let path = self.path(key, example)?;
        let bytes = self.file(key, &path, MAX_PEM_BYTES)?;
        if let Ok(mut parsed) = PrivateKeyDer::from_pem_slice(&bytes) {
            parsed.zeroize();
            return Some(path);
        }
        let encrypted = bytes.windows(9).any(|window| window == b"ENCRYPTED");
        let shown = path.display();
        if encrypted {
            self.fault(
                key,
                &format!("names {shown}, which is encrypted with a passphrase"),
                "store the key without one, in a file of mode 0600 or a systemd credential",
            );
        } else {
            self.fault(
                key,
                &format!("names {shown}, which holds no private key"),
                "name a PEM file with -----BEGIN PRIVATE KEY----- in it",
            );
        }
        None
    }

    /// Whether the file at `path` is a store key: 64 hex digits, out of reach of other users. A group may read it:
    /// that is how an administrator gives it to the daemon's user.
    pub(super) fn is_store_key(&self, key: &'static str, path: &Path) -> Option<()> {
        let bytes = self.file(key, path, MAX_STORE_KEY_BYTES)?;
        let digits = bytes.trim_ascii();
        if digits.len() == STORE_KEY_DIGITS && digits.iter().all(u8::is_ascii_hexdigit) {
            // Looked at a moment ago; where it is gone since, the store says so.
            let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.mode() & 0o777);
            if mode & OTHERS == 0 {
                return Some(());
            }
            self.fault(
                key,
                &format!(
                    "names {}, which every user of this machine may open (mode {mode:04o})",
                    path.display()
                ),
                format!("take that right away: chmod 0600 {}", path.display()),
            );
            return None;
        }
        self.fault(
            key,
            &format!("names {}, which is not a store key", path.display()),
            "name a file of exactly 64 hex digits, or make one with `isthmus init`",
        );
        None
    }

    /// Whether a folder is there already; `None` with a fault where something else is.
    pub(super) fn folder(&self, key: &str, path: &Path) -> Option<()> {
        self.folder_or(key, path, || {
            format!("name a folder that exists, or make it: mkdir -p -m 0700 {}", path.display())
        })
    }

    /// Whether the data folder `data_dir` is there, or the folder that the daemon makes it in.
    pub(super) fn data_folder(&self, key: &str, data_dir: &Path) -> Option<()> {
        let needed = if data_dir.exists() { data_dir } else { data_dir.parent().unwrap_or(data_dir) };
        self.folder_or(key, needed, || make(data_dir, account::is_for_the_service()))
    }

    fn folder_or(&self, key: &str, path: &Path, instead: impl FnOnce() -> String) -> Option<()> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        if path.is_dir() {
            return Some(());
        }
        let what = if path.exists() { "which is not a folder" } else { "a folder that does not exist" };
        self.fault(key, &format!("needs {}, {what}", path.display()), instead());
        None
    }

    /// The bytes of an ordinary file of at most `most` bytes, wiped when dropped.
    fn file(&self, key: &'static str, path: &Path, most: u64) -> Option<Zeroizing<Vec<u8>>> {
        let shown = path.display();
        let metadata = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) => {
                let what = match error.kind() {
                    std::io::ErrorKind::NotFound => format!("names {shown}, which does not exist"),
                    _ => format!("names {shown}, which cannot be looked at ({error})"),
                };
                let instead = "name a file that this user can read".to_owned();
                self.fault(key, &what, account::step_of_root(path, &error).unwrap_or(instead));
                return None;
            }
        };
        if !metadata.is_file() {
            // A pipe would block the reader for ever.
            self.fault(key, &format!("names {shown}, which is no ordinary file"), "name a file");
            return None;
        }
        if metadata.len() > most {
            self.fault(
                key,
                &format!("names {shown}, which is too large"),
                format!("name a file of at most {most} bytes"),
            );
            return None;
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len()).ok()?));
        let read = std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
        if let Err(error) = read {
            let instead = account::step_of_root(path, &error);
            self.fault(
                key,
                &format!("names {shown}, which cannot be read ({error})"),
                instead.unwrap_or_else(|| "give this user the right to read it".to_owned()),
            );
            return None;
        }
        Some(bytes)
    }
}

/// How a data folder is made that the daemon can write: by root for the packages' user, who is there, or by whoever asks.
fn make(data_dir: &Path, for_the_service: bool) -> String {
    let (dir, user) = (data_dir.display(), account::SERVICE_USER);
    if for_the_service {
        format!(
            "make it: install -d -o {user} -g {user} -m 0700 {dir}; and let the unit write there (systemctl edit isthmus): \
             [Service] ReadWritePaths={dir}"
        )
    } else {
        format!("name a folder that exists, or make it: mkdir -p -m 0700 {dir}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_is_made_for_whom_the_daemon_runs_as() {
        let dir = Path::new("/var/rev/srv/isthmus");
        let told = make(dir, true);
        assert!(told.contains("install -d -o isthmus -g isthmus -m 0700 /var/rev/srv/isthmus;"), "{told}");
        assert!(told.contains("ReadWritePaths=/var/rev/srv/isthmus"), "{told}");
        assert!(make(dir, false).ends_with("mkdir -p -m 0700 /var/rev/srv/isthmus"));
    }
}
