//! The signature of a report: a list of its files with their hashes, and ECDSA over that list with a key of the box.
//!
//! Invariants: the private key is made at the first use beside the store key, is readable by its owner alone, signs
//! nothing else, and is never shown; the list is what `sha256sum -c` reads, the signature what `openssl dgst -sha384
//! -verify` reads; a report verifies only under a key that the verifier already has, never under the one that lies
//! beside it.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{
        ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
    },
};
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer, pem::PemObject};
use sha2::{Digest, Sha256};

use crate::{durable, hex, smart::key};

/// The private key, beside the store key.
pub const KEY_FILE: &str = "report-signing.key";
/// The page.
pub const HTML: &str = "report.html";
/// The object.
pub const JSON: &str = "report.json";
/// The list of both with their hashes.
pub const LIST: &str = "report.sha256";
/// The signature over the list.
pub const SIGNATURE: &str = "report.sig";
/// The public key, for convenience; nobody should trust it for lying there.
pub const PUBLIC: &str = "report.pub.pem";
/// The most bytes of a file that is verified: a report of all steps takes some 60 kB.
const FILE_MOST: u64 = 8 * 1024 * 1024;

/// Why something could not be signed or does not verify.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key is none, or could not be made.
    #[error("{0}: is no EC key on P-384, or could not be used")]
    Key(PathBuf),
    /// The signature is not of that key over that list.
    #[error("the signature does not hold: the list was changed, or another key signed it")]
    Forged,
    /// A file is not what was signed.
    #[error("{0} is not what was signed")]
    Changed(&'static str),
    /// The list names other files than a report has.
    #[error("{LIST} is not the list of a report")]
    List,
}

/// The key that signs.
pub struct ReportKey {
    pair: EcdsaKeyPair,
    /// PEM of the public half.
    pub public: String,
    /// SHA-256 of the public half as DER, hex.
    pub fingerprint: String,
}

impl ReportKey {
    /// The key of the box whose store key is this file; made where there is none.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn beside(store_key: &Path) -> Result<Self, SignatureError> {
        let path = store_key.with_file_name(KEY_FILE);
        if !path.exists() {
            let pem = key::generate().map_err(|_| SignatureError::Key(path.clone()))?;
            let written = durable::new_file(&path, 0o600, pem.as_bytes());
            written.map_err(|source| SignatureError::File { path: path.clone(), source })?;
        }
        let wrong = || SignatureError::Key(path.clone());
        let der = PrivatePkcs8KeyDer::from_pem_file(&path).map_err(|_| wrong())?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, der.secret_pkcs8_der())
            .map_err(|_| wrong())?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| wrong())?;
        let (fingerprint, public) =
            (digest(public.as_ref()), key::pem("PUBLIC KEY", public.as_ref()).to_string());
        Ok(Self { pair, public, fingerprint })
    }

    /// Writes a report's files into a folder: the page, the object, the list, the signature and the public key.
    ///
    /// # Errors
    /// [`SignatureError`], also where the folder holds a report already: none is overwritten.
    pub fn write(&self, folder: &Path, html: &str, json: &str) -> Result<(), SignatureError> {
        let list = list(html.as_bytes(), json.as_bytes());
        let signed = self
            .pair
            .sign(&SystemRandom::new(), list.as_bytes())
            .map_err(|_| SignatureError::Key(folder.to_owned()))?;
        let at = |path: &Path, source| SignatureError::File { path: path.to_owned(), source };
        fs::create_dir_all(folder).map_err(|source| at(folder, source))?;
        let files = [
            (HTML, html.as_bytes()),
            (JSON, json.as_bytes()),
            (LIST, list.as_bytes()),
            (SIGNATURE, signed.as_ref()),
            (PUBLIC, self.public.as_bytes()),
        ];
        for (name, bytes) in files {
            let path = folder.join(name);
            let made = fs::OpenOptions::new().write(true).create_new(true).open(&path);
            made.and_then(|mut file| file.write_all(bytes)).map_err(|source| at(&path, source))?;
        }
        Ok(())
    }
}

/// Verifies a report's folder under a public key (PEM).
///
/// # Errors
/// [`SignatureError`] says what does not hold.
pub fn verify(folder: &Path, public: &str) -> Result<(), SignatureError> {
    let key = SubjectPublicKeyInfoDer::from_pem_slice(public.as_bytes());
    let key = key.map_err(|_| SignatureError::Key(folder.join("the given public key")))?;
    let (listed, signed) = (read(folder, LIST)?, read(folder, SIGNATURE)?);
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, &*key)
        .verify(&listed, &signed)
        .map_err(|_| SignatureError::Forged)?;
    let (html, json) = (read(folder, HTML)?, read(folder, JSON)?);
    let lines: Vec<&[u8]> = listed.split(|byte| *byte == b'\n').collect();
    let expected = list(&html, &json);
    let expected: Vec<&[u8]> = expected.as_bytes().split(|byte| *byte == b'\n').collect();
    if lines.len() != expected.len() {
        return Err(SignatureError::List);
    }
    for ((line, wanted), name) in lines.into_iter().zip(expected).zip([HTML, JSON]) {
        if line != wanted {
            return Err(SignatureError::Changed(name));
        }
    }
    Ok(())
}

fn read(folder: &Path, name: &str) -> Result<Vec<u8>, SignatureError> {
    let path = folder.join(name);
    let size = fs::metadata(&path).map(|found| found.len());
    let bytes = match size {
        Ok(size) if size <= FILE_MOST => fs::read(&path),
        Ok(_) => Err(io::Error::from(io::ErrorKind::FileTooLarge)),
        Err(error) => Err(error),
    };
    bytes.map_err(|source| SignatureError::File { path, source })
}

fn list(html: &[u8], json: &[u8]) -> String {
    format!("{}  {HTML}\n{}  {JSON}\n", digest(html), digest(json))
}

fn digest(bytes: &[u8]) -> String {
    hex::hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn signed() -> (tempfile::TempDir, ReportKey) {
        let dir = tempfile::tempdir().unwrap();
        let key = ReportKey::beside(&dir.path().join("db.key")).unwrap();
        key.write(&dir.path().join("out"), "<p>page</p>", "{}").unwrap();
        (dir, key)
    }

    #[test]
    fn a_report_verifies_and_no_file_of_it_may_change_by_a_byte() {
        let (dir, key) = signed();
        let out = dir.path().join("out");
        verify(&out, &key.public).unwrap();
        for name in [HTML, JSON, LIST, SIGNATURE] {
            let before = fs::read(out.join(name)).unwrap();
            let mut bytes = before.clone();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            fs::write(out.join(name), &bytes).unwrap();
            assert!(verify(&out, &key.public).is_err(), "{name}");
            fs::write(out.join(name), before).unwrap();
        }
        verify(&out, &key.public).unwrap();
    }

    #[test]
    fn no_report_takes_the_place_of_another() {
        let (dir, key) = signed();
        let out = dir.path().join("out");
        assert!(key.write(&out, "<p>another</p>", "{\"another\":1}").is_err());
        verify(&out, &key.public).unwrap();
        assert_eq!(fs::read_to_string(out.join(JSON)).unwrap(), "{}");
    }

    #[test]
    fn the_key_is_made_once_for_its_owner_alone_and_another_box_has_another() {
        let (dir, key) = signed();
        let again = ReportKey::beside(&dir.path().join("db.key")).unwrap();
        assert_eq!(again.fingerprint, key.fingerprint);
        let mode = fs::metadata(dir.path().join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (_elsewhere, other) = signed();
        assert!(matches!(verify(&dir.path().join("out"), &other.public), Err(SignatureError::Forged)));
    }
}
