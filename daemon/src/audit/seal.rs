//! Seals: the head of the audit log once a day, signed by a key that the box made for this alone.
//!
//! Who has the store's key can write the whole log anew, and its chain would hold. What they cannot change is a seal that has
//! left the box: upstream, in a SIEM, on paper. A log whose chain does not run through it is another log.
//!
//! Invariants: the private key is made once, is kept in the encrypted store, and leaves this file in no form; a seal is made
//! only of a log that was just found whole (`watch.rs`).
//!
//! Form: Ed25519 (RFC 8032) over [`statement`], lines of text that anybody can put together and check.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::civil::Date;
use outbox::{AuditHead, AuditSeal, ReadError, Readers, WriteError, Writer};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    hex::{hex, unhex},
    time,
};

/// Name of the private key in the store (PKCS #8).
const KEY_NAME: &str = "audit-seal-key";
/// How seals are signed, as it is told beside them.
pub const ALGORITHM: &str = "Ed25519";
const DAY_MS: i64 = 86_400_000;

/// A seal, as it is listed, sent upstream and kept elsewhere. Hashes, key and signature in hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// The box that signed.
    #[serde(rename = "box")]
    pub box_id: String,
    /// UTC day, `2026-11-23`.
    pub day: String,
    /// When (RFC 3339, UTC, milliseconds).
    pub at: String,
    /// Entries of the log then.
    pub entries: u64,
    /// Hash of the last of them.
    pub head: String,
    /// [`ALGORITHM`].
    pub algorithm: String,
    /// The public key, 32 bytes.
    pub key: String,
    /// The signature, 64 bytes.
    pub signature: String,
}

/// Why nothing could be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The store refused.
    #[error("the store refused: {0}")]
    Write(#[from] WriteError),
    /// The store could not be read.
    #[error("the store could not be read: {0}")]
    Read(#[from] ReadError),
    /// The library made no key, or what the store has is none.
    #[error("the key for seals of the audit log cannot be used")]
    Key,
}

impl Seal {
    /// The head that it seals; `None` where what is said to be one is none.
    pub fn sealed(&self) -> Option<AuditHead> {
        Some(AuditHead { entries: self.entries, hash: unhex(&self.head)? })
    }

    /// Whether its key signed exactly this.
    pub fn is_signed(&self) -> bool {
        let Some(key) = unhex::<32>(&self.key) else { return false };
        let Some(signature) = unhex::<64>(&self.signature) else { return false };
        let told = statement(&self.box_id, &self.day, &self.at, self.entries, &self.head);
        self.algorithm == ALGORITHM
            && UnparsedPublicKey::new(&ED25519, key).verify(told.as_bytes(), &signature).is_ok()
    }

    /// As it was kept.
    pub fn of(kept: &AuditSeal) -> Self {
        Self {
            box_id: kept.box_id.clone(),
            day: day(kept.day),
            at: time::instant(kept.at),
            entries: kept.head.entries,
            head: hex(&kept.head.hash),
            algorithm: ALGORITHM.to_owned(),
            key: hex(&kept.key),
            signature: hex(&kept.signature),
        }
    }
}

/// What is signed.
///
/// ```text
/// isthmus audit seal
/// box box-0123456789ab
/// day 2026-11-23
/// at 2026-11-23T00:00:05.123Z
/// entries 1234
/// head 64 hex digits
/// ```
///
/// Every line ends with a line feed, the last one too.
pub fn statement(box_id: &str, day: &str, at: &str, entries: u64, head: &str) -> String {
    format!("isthmus audit seal\nbox {box_id}\nday {day}\nat {at}\nentries {entries}\nhead {head}\n")
}

/// The newest seal: what the fleet check-in sends.
///
/// # Errors
/// Where the store cannot be read.
pub fn latest(readers: &Readers) -> Result<Option<Seal>, ReadError> {
    Ok(readers.with(|reader| reader.audit_seal())?.as_ref().map(Seal::of))
}

/// At most `limit` seals of days after the given one (days since 1970), in order.
///
/// # Errors
/// Where the store cannot be read.
pub fn list(readers: &Readers, after_day: i64, limit: usize) -> Result<Vec<Seal>, ReadError> {
    Ok(readers.with(|reader| reader.audit_seals(after_day, limit))?.iter().map(Seal::of).collect())
}

/// The UTC day of a moment, in days since 1970.
pub fn day_of(at: i64) -> i64 {
    at.div_euclid(DAY_MS)
}

/// What a seal is called, by its day.
pub(super) fn named(number: i64) -> String {
    format!("the seal of {}", day(number))
}

fn day(number: i64) -> String {
    let epoch = Date::constant(1970, 1, 1);
    let days = jiff::Span::new().try_days(number);
    days.and_then(|days| epoch.checked_add(days)).unwrap_or(epoch).to_string()
}

/// The private key.
pub struct SealKey {
    pair: Ed25519KeyPair,
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealKey").field("public", &self.public()).finish_non_exhaustive()
    }
}

impl SealKey {
    /// The key of this store, made where there is none.
    ///
    /// # Errors
    /// [`SealError`].
    pub async fn of(writer: &Writer) -> Result<Self, SealError> {
        let made = Ed25519KeyPair::generate().map_err(|_| SealError::Key)?;
        let made = made.to_pkcs8().map_err(|_| SealError::Key)?;
        let kept = Zeroizing::new(writer.meta_or(KEY_NAME, made.as_ref().to_vec()).await?);
        Ok(Self { pair: Ed25519KeyPair::from_pkcs8(&kept).map_err(|_| SealError::Key)? })
    }

    /// The public half, in hex.
    pub fn public(&self) -> String {
        hex(self.pair.public_key().as_ref())
    }

    /// Seals a head of the log of this box.
    pub fn seal(&self, box_id: &str, head: AuditHead, at: i64) -> AuditSeal {
        let told = statement(box_id, &day(day_of(at)), &time::instant(at), head.entries, &hex(&head.hash));
        AuditSeal {
            box_id: box_id.to_owned(),
            day: day_of(at),
            at,
            head,
            key: self.pair.public_key().as_ref().to_vec(),
            signature: self.pair.sign(told.as_bytes()).as_ref().to_vec(),
        }
    }
}

/// A public key of seals as PEM (RFC 8410), for tools that take no other; `None` where it is none.
pub fn pem(public_hex: &str) -> Option<String> {
    // SubjectPublicKeyInfo of Ed25519: SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING of 32 bytes }.
    const BEFORE: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let der = [&BEFORE[..], &unhex::<32>(public_hex)?].concat();
    Some(format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der)))
}

#[cfg(test)]
mod tests {
    use outbox::{Key, Store, StoreOptions};

    use super::*;

    fn store(dir: &std::path::Path) -> Store {
        Store::open(dir, Key::from_hex(&"a".repeat(64)).unwrap(), StoreOptions::default(), 0).unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_seal_is_of_one_key_and_of_nothing_else_than_what_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let opened = store(dir.path());
        let key = SealKey::of(&opened.writer()).await.unwrap();
        let at = 1_795_392_005_123; // 2026-11-23T00:00:05.123Z
        let head = AuditHead { entries: 12, hash: [7; 32] };
        opened.writer().keep_audit_seal(key.seal("box-1", head, at)).await.unwrap();
        opened.close();

        let opened = store(dir.path());
        let seal = latest(&opened.readers()).unwrap().unwrap();
        assert_eq!(seal.key, SealKey::of(&opened.writer()).await.unwrap().public(), "made once");
        assert_eq!((seal.day.as_str(), seal.sealed()), ("2026-11-23", Some(head)));
        assert!(seal.is_signed());
        let other = |change: &dyn Fn(&mut Seal)| {
            let mut seal = seal.clone();
            change(&mut seal);
            seal.is_signed()
        };
        assert!(!other(&|seal| seal.entries += 1));
        assert!(!other(&|seal| seal.head = hex(&[8; 32])));
        assert!(!other(&|seal| seal.box_id = "box-2".into()));
        assert!(!other(&|seal| seal.day = "2026-11-24".into()));
        assert!(!other(&|seal| seal.at = time::instant(at + 1)));
        assert!(!other(&|seal| seal.algorithm = "none".into()));
        assert!(!other(&|seal| seal.key = hex(&[1; 32])));
        assert!(!other(&|seal| seal.signature = seal.signature.to_uppercase().replacen('A', "B", 1)));
        let text = serde_json::to_string(&seal).unwrap();
        assert_eq!(serde_json::from_str::<Seal>(&text).unwrap(), seal);
        assert_eq!(list(&opened.readers(), i64::MIN, 9).unwrap(), [seal]);
    }

    #[test]
    fn a_public_key_as_pem_is_read_by_a_parser_of_x509() {
        let public = hex(&[9; 32]);
        let text = pem(&public).unwrap();
        let (_, read) = x509_parser::pem::parse_x509_pem(text.as_bytes()).unwrap();
        let (_, info) = <x509_parser::x509::SubjectPublicKeyInfo<'_> as x509_parser::prelude::FromDer<
            '_,
            _,
        >>::from_der(&read.contents)
        .unwrap();
        assert_eq!(info.algorithm.algorithm.to_id_string(), "1.3.101.112");
        assert_eq!(info.subject_public_key.data.as_ref(), [9; 32]);
        assert_eq!(pem("12"), None);
    }
}
