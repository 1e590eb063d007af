//! A bundle: what a fleet's upstream may say of a box's configuration, signed.
//!
//! Invariants
//! - What it may hold is closed: policies whose ids begin with [`POLICY_PREFIX`], narrowings of what a site's file permits, and the named
//!   settings of [`Settings`]. There is no member for a listener, an address, a key, an authority, `[store]`, `[admin]` or `[fleet]`'s own
//!   keys and url, and a member that is not known refuses the whole bundle.
//! - It permits nothing that the local files do not permit ([`Narrowing::narrow`]), and never shadow, in which writes are lost for good.
//! - It is verified each time it is read, so one that was changed on disk is as good as none.
//!
//! The signature is Ed25519 (RFC 8032) over [`FORM`], a line feed, and the bytes of the bundle.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{capability::Permits, fault::Fault, value::is_name};
use crate::{capability::Capability, hex::hex, mode::Mode};

/// The form of a bundle, and what its signature begins with.
pub const FORM: &str = "isthmus-bundle/1";
/// The most bytes of a signed bundle: policies are some kilobytes each.
pub const MAX_BUNDLE_BYTES: usize = 1024 * 1024;
/// How ids of policies in bundles begin: a local file with such an id would contradict the bundle, and one without is not touched by it.
pub(super) const POLICY_PREFIX: &str = "fleet-";
/// The folder of bundles, in the data folder.
const FOLDER: &str = "fleet";
/// The most policies of one bundle.
const MAX_POLICIES: usize = 32;
/// The most holidays of one bundle.
const MAX_HOLIDAYS: usize = 200;
/// The longest word for people.
const MAX_NOTE_BYTES: usize = 500;
/// What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Where bundles lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleFiles {
    /// The folder.
    pub folder: PathBuf,
}

impl BundleFiles {
    /// Those of a data folder.
    pub fn of(data_dir: &Path) -> Self {
        Self { folder: data_dir.join(FOLDER) }
    }

    /// The one in place.
    pub fn in_place(&self) -> PathBuf {
        self.folder.join("bundle.json")
    }

    /// The one before it.
    pub fn previous(&self) -> PathBuf {
        self.folder.join("bundle.previous.json")
    }

    /// The one that was offered and waits.
    pub fn offered(&self) -> PathBuf {
        self.folder.join("bundle.offered.json")
    }
}

/// A public key that bundles are trusted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleKey([u8; 32]);

impl BundleKey {
    /// Reads a PEM file's text, as `openssl pkey -pubout` writes it; `None` where it is no Ed25519 public key.
    pub fn read(pem: &str) -> Option<Self> {
        let inside =
            pem.split_once("-----BEGIN PUBLIC KEY-----")?.1.split_once("-----END PUBLIC KEY-----")?.0;
        let der = STANDARD.decode(inside.split_whitespace().collect::<String>()).ok()?;
        let raw = der.strip_prefix(&SPKI_PREFIX)?;
        Some(Self(raw.try_into().ok()?))
    }

    /// A name of it for people: the first 8 bytes of the key, in hex.
    pub fn name(&self) -> String {
        hex(&self.0[..8])
    }

    fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

/// Why a bundle is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// It is too long.
    #[error("it is longer than {MAX_BUNDLE_BYTES} bytes")]
    TooLong,
    /// The envelope is none.
    #[error("it is no signed bundle")]
    Envelope,
    /// No trusted key signed it.
    #[error("none of the keys in [fleet] bundle_keys signed it")]
    Signature,
    /// What is signed is not what a bundle may hold.
    #[error("it holds what a bundle may not hold: {0}")]
    Content(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    bundle: String,
    signature: String,
}

/// A bundle whose signature holds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    form: String,
    /// Which one: rises from bundle to bundle.
    pub version: u64,
    /// The version that this one, of a lower number, is to take the place of.
    #[serde(default)]
    pub rolls_back: Option<u64>,
    /// The boxes that it is for; every box where it is not given.
    #[serde(default)]
    pub boxes: Option<Vec<String>>,
    /// What it is for, for people at the box.
    #[serde(default)]
    pub note: String,
    /// Policies, as TOML, by id.
    #[serde(default)]
    pub policies: BTreeMap<String, String>,
    /// What sites permit less than their files say, by site.
    #[serde(default)]
    pub sites: BTreeMap<String, Narrowing>,
    /// Named settings.
    #[serde(default)]
    pub settings: Settings,
    /// From then on it is not put in place any more; one that is in place stays.
    #[serde(default, deserialize_with = "moment")]
    pub not_after: Option<Timestamp>,
    /// SHA-256 of the signed form that it was opened from; no member of it.
    #[serde(skip)]
    pub sha256: [u8; 32],
}

/// Settings that a bundle may set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `[fleet] every` in seconds: 10 to 3,600.
    #[serde(default)]
    pub check_in_every_s: Option<u64>,
    /// Days that count as holidays beside the local ones.
    #[serde(default, deserialize_with = "dates")]
    pub holidays: Vec<Date>,
}

fn dates<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Date>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let read = |text: String| text.parse().map_err(|_| serde::de::Error::custom("no date in holidays"));
    texts.into_iter().map(read).collect()
}

fn moment<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let read = |text: String| {
        text.parse().map_err(|_| serde::de::Error::custom("no time with an offset (RFC 3339) in not_after"))
    };
    Option::<String>::deserialize(deserializer)?.map(read).transpose()
}

/// What a site permits less than its file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Narrowing {
    /// Not more than this.
    #[serde(default)]
    pub mode: Option<NarrowMode>,
    /// With `partial`: of what the file permits, only these, by their names in `[capability] allow`.
    #[serde(default)]
    pub allow: Vec<String>,
    /// `false`: no windows of the past.
    #[serde(default)]
    pub bulk: Option<bool>,
}

/// What a mode may be narrowed to. Both keep what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NarrowMode {
    /// Nothing is written; it is deferred.
    ReadOnly,
    /// What `allow` lists is written.
    Partial,
}

impl Bundle {
    /// Opens a signed bundle.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn open(bytes: &[u8], keys: &[BundleKey]) -> Result<Self, BundleError> {
        if bytes.len() > MAX_BUNDLE_BYTES {
            return Err(BundleError::TooLong);
        }
        let envelope: Envelope = serde_json::from_slice(bytes).map_err(|_| BundleError::Envelope)?;
        let decoded = |text: &str| STANDARD.decode(text).map_err(|_| BundleError::Envelope);
        let (content, signature) = (decoded(&envelope.bundle)?, decoded(&envelope.signature)?);
        let signed = [FORM.as_bytes(), b"\n", &content].concat();
        // Nothing of the content is read before.
        if !keys.iter().any(|key| key.has_signed(&signed, &signature)) {
            return Err(BundleError::Signature);
        }
        let mut bundle: Self =
            serde_json::from_slice(&content).map_err(|error| BundleError::Content(error.to_string()))?;
        bundle.check().map_err(BundleError::Content)?;
        bundle.sha256 = sha256_of(bytes);
        Ok(bundle)
    }

    fn check(&self) -> Result<(), String> {
        if self.form != FORM {
            return Err(format!("another form than {FORM}"));
        }
        if self.note.len() > MAX_NOTE_BYTES || self.note.chars().any(char::is_control) {
            return Err(format!("a note over {MAX_NOTE_BYTES} bytes, or of more than a line"));
        }
        if self.policies.len() > MAX_POLICIES {
            return Err(format!("more than {MAX_POLICIES} policies"));
        }
        if let Some(id) = self.policies.keys().find(|id| !id.starts_with(POLICY_PREFIX) || !is_name(id)) {
            return Err(format!("a policy whose id does not begin with {POLICY_PREFIX}: {id:?}"));
        }
        for (site, narrowing) in &self.sites {
            if narrowing.bulk == Some(true) {
                return Err(format!("bulk = true for {site:?}: a bundle permits nothing"));
            }
            if let Some(name) = narrowing.allow.iter().find(|name| Capability::named(name).is_none()) {
                return Err(format!("an unknown capability for {site:?}: {name:?}"));
            }
            if (narrowing.mode == Some(NarrowMode::Partial)) == narrowing.allow.is_empty() {
                return Err(format!("mode partial without allow, or allow without it, for {site:?}"));
            }
        }
        if self.settings.check_in_every_s.is_some_and(|every| !(10..=3_600).contains(&every)) {
            return Err("check_in_every_s outside of 10 to 3600".to_owned());
        }
        if self.settings.holidays.len() > MAX_HOLIDAYS {
            return Err(format!("more than {MAX_HOLIDAYS} holidays"));
        }
        Ok(())
    }

    /// Whether it is for this box.
    pub fn is_for(&self, box_id: &str) -> bool {
        self.boxes.as_ref().is_none_or(|boxes| boxes.iter().any(|one| one == box_id))
    }

    /// Whether it may follow: it is newer than every one that was in place, or says that it rolls the present one back.
    pub fn may_follow(&self, highest: u64, in_place: Option<u64>) -> bool {
        self.version > highest
            || (in_place.is_some() && self.rolls_back == in_place && Some(self.version) != in_place)
    }
}

impl Narrowing {
    /// The most that a bundle can take away.
    pub fn read_only() -> Self {
        Self { mode: Some(NarrowMode::ReadOnly), ..Self::default() }
    }

    /// What is permitted where the local file says `local`: never more.
    pub fn narrow(&self, local: &Permits) -> Permits {
        let mut permits = local.clone();
        permits.bulk &= self.bulk.unwrap_or(true);
        let is_listed = |one: &Capability| self.allow.iter().any(|name| name == one.name());
        let kept = match (local.mode, self.mode) {
            (Mode::Shadow | Mode::ReadOnly, _) | (_, None) => return permits,
            (_, Some(NarrowMode::ReadOnly)) => Vec::new(),
            (Mode::Full, Some(NarrowMode::Partial)) => {
                Capability::ALL.into_iter().filter(is_listed).collect()
            }
            (Mode::Partial, Some(NarrowMode::Partial)) => {
                local.allow.iter().copied().filter(is_listed).collect()
            }
        };
        permits.mode = if kept.is_empty() { Mode::ReadOnly } else { Mode::Partial };
        permits.allow = kept;
        permits
    }
}

/// SHA-256 of a signed bundle's bytes.
pub fn sha256_of(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The fault of a bundle that lies in place and cannot be used.
pub(super) fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Fault {
    Fault::new(
        path,
        1,
        format!("the bundle in place cannot be used: {error}"),
        "isthmus fleet rollback --reason TEXT, or write bundles = \"off\" in [fleet]",
    )
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
mod tests;
