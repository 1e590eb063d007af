//! Identifiers that leave the box: stable, opaque, and useless without the box's secret.
//!
//! Invariants: an identifier is HMAC-SHA-256 over a tag and length-prefixed fields, so no two tuples
//! share an input; a version counter is never part of an outcome's identifier; two destinations never
//! see the same pseudonym for one patient, nor the same name of a sensor; and what a destination that knows a pseudonym is
//! told of the messages and of moments is told to no other one, so no value leads from it to a named patient's record.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::metric::Metric;
use crate::outcome::Outcome;

/// What every identifier system of this module starts with.
pub const OWN_SYSTEMS: &str = "urn:isthmus:";
/// Identifier system of a published Observation.
pub const OUTCOME_SYSTEM: &str = "urn:isthmus:outcome";
/// Identifier system of a patient's pseudonym.
pub const PSEUDONYM_SYSTEM: &str = "urn:isthmus:pseudonym";
/// Identifier system of the stored list of messages that an outcome version came from.
pub const MANIFEST_SYSTEM: &str = "urn:isthmus:manifest";

/// Identifier system of a single reading.
pub const READING_SYSTEM: &str = "urn:isthmus:reading";
/// Identifier system of a sensor under a name that only this box can lead back to its serial number.
pub const DEVICE_SYSTEM: &str = "urn:isthmus:device";

/// Identifier system of what a person entered.
pub const INTENT_SYSTEM: &str = "urn:isthmus:intent";

/// The box's secret for identifiers: 32 bytes that never leave it. Losing it changes every identifier.
#[derive(Clone)]
pub struct SiteSecret([u8; 32]);

impl SiteSecret {
    /// Takes 32 bytes of a cryptographic random source.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Lower-case hex of the HMAC over `tag` and `fields`, each preceded by its length in eight bytes.
    fn mac(&self, tag: &str, fields: &[&str]) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length (RFC 2104)");
        for field in std::iter::once(&tag).chain(fields) {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field.as_bytes());
        }
        hex(&mac.finalize().into_bytes())
    }
}

impl fmt::Debug for SiteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SiteSecret(..)")
    }
}

/// A FHIR identifier of ours: a system of this module and 64 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identifier {
    /// One of this module's systems.
    pub system: &'static str,
    /// 64 lower-case hex digits.
    pub value: String,
}

impl Identifier {
    /// The FHIR `Identifier` element.
    pub fn to_json(&self) -> Value {
        json!({ "system": self.system, "value": self.value })
    }

    /// `system|value`, as a FHIR token search writes it.
    pub fn token(&self) -> String {
        format!("{}|{}", self.system, self.value)
    }

    /// A `urn:uuid:` that is a function of the identifier: SHA-256 of the token, cut to 128 bits and
    /// marked as version 8, the version for an application's own construction (RFC 9562, 5.8).
    pub fn full_url(&self) -> String {
        let digest = Sha256::digest(self.token().as_bytes());
        let mut bytes = [0u8; 16];
        bytes.copy_from_slice(&digest[..16]);
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let text = hex(&bytes);
        format!(
            "urn:uuid:{}-{}-{}-{}-{}",
            &text[..8],
            &text[8..12],
            &text[12..16],
            &text[16..20],
            &text[20..]
        )
    }
}

/// What a publication is about, apart from its metric and its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'a> {
    /// The destination's configured id.
    pub destination: &'a str,
    /// The box's internal id of the patient: not an identifier that a hospital knows.
    pub patient: &'a str,
    /// First included local date.
    pub first_date: &'a str,
    /// Last included local date.
    pub last_date: &'a str,
    /// IANA zone of the dates.
    pub zone: &'a str,
    /// Policy name and version, `standard/1`.
    pub policy: &'a str,
    /// What sets these apart from the guide's Observations of the same window at the same destination: a name that
    /// shapes of one kind share ([`super::projection::Projection::family`]); empty for the guide's.
    pub family: &'a str,
}

impl<'a> Scope<'a> {
    /// The scope of `outcome` for one destination and one internal patient id.
    pub fn of(destination: &'a str, patient: &'a str, outcome: &'a Outcome) -> Self {
        Self {
            destination,
            patient,
            first_date: &outcome.period.first_date,
            last_date: &outcome.period.last_date,
            zone: &outcome.period.zone,
            policy: &outcome.policy.id,
            family: "",
        }
    }

    /// The same under the name of another family.
    #[must_use]
    pub const fn in_family(self, family: &'a str) -> Self {
        Self { family, ..self }
    }

    /// A policy enters by its name alone: the window is the same one under a later version of its rules, so what stands
    /// at a destination is amended and no second outcome put beside it.
    fn fields<'b>(&self, last: &'b str) -> Vec<&'b str>
    where
        'a: 'b,
    {
        let policy = self.policy.split('/').next().unwrap_or(self.policy);
        let mut fields =
            vec![self.destination, self.patient, self.first_date, self.last_date, self.zone, policy, last];
        // The guide's own have one field less, and no other has as many.
        fields.extend((!self.family.is_empty()).then_some(self.family));
        fields
    }

    /// The identifier of one metric of this scope, the same for every version of it.
    pub fn outcome(&self, secret: &SiteSecret, metric: Metric) -> Identifier {
        self.named(secret, metric.slug())
    }

    /// The identifier of what a slug names within this scope, the same for every version of it. Our own codes
    /// ([`super::codes`]) are no slug of a [`Metric`], so the two never meet.
    pub fn named(&self, secret: &SiteSecret, slug: &str) -> Identifier {
        let value = secret.mac("outcome", &self.fields(slug));
        Identifier { system: OUTCOME_SYSTEM, value }
    }

    /// The identifier of the manifest of one version of this scope. It also names the version's
    /// Provenance, which has no identifier of its own in R4.
    pub fn manifest(&self, secret: &SiteSecret, version: u32) -> Identifier {
        let value = secret.mac("manifest", &self.fields(&version.to_string()));
        Identifier { system: MANIFEST_SYSTEM, value }
    }

    /// The identifier of one version of what a slug names, for a document, of which every version is one of its own.
    pub fn version_of(&self, secret: &SiteSecret, slug: &str, version: u32) -> Identifier {
        let slug = format!("{slug} {version}");
        let value = secret.mac("document", &self.fields(&slug));
        Identifier { system: OUTCOME_SYSTEM, value }
    }
}

/// A name of at most `most` characters for one version of what has an identifier, the same each time: MSH-10 and OBR-3
/// have room for 20 and 22.
pub fn short(secret: &SiteSecret, identifier: &Identifier, version: Option<u32>, most: usize) -> String {
    let version = version.map(|version| version.to_string()).unwrap_or_default();
    let mut name = secret.mac("short", &[&identifier.token(), &version]);
    name.truncate(most);
    name
}

/// The pseudonym of a patient for one destination.
pub fn pseudonym(secret: &SiteSecret, destination: &str, patient: &str) -> Identifier {
    Identifier { system: PSEUDONYM_SYSTEM, value: secret.mac("pseudonym", &[destination, patient]) }
}

/// The identifier of one reading for one destination, the same for every version of it. `identity` is
/// [`crate::reading::Reading::identity`].
pub fn reading(secret: &SiteSecret, destination: &str, patient: &str, identity: u64) -> Identifier {
    let value = secret.mac("reading", &[destination, patient, &format!("{identity:016x}")]);
    Identifier { system: READING_SYSTEM, value }
}

/// The identifier of one part of what a person entered, for one destination: `key` is the intent's own.
pub fn intent(secret: &SiteSecret, destination: &str, key: &str, part: &str) -> Identifier {
    Identifier { system: INTENT_SYSTEM, value: secret.mac("intent", &[destination, key, part]) }
}

/// The seal of one reading's name at the local endpoint, 64 bits: `named` says what the reading is, its patient by the
/// hospital's identifier among it, so that a name of before a restore leads to no other patient's reading after it.
pub fn seal(secret: &SiteSecret, named: &[&str]) -> u64 {
    let mac = secret.mac("served-reading", named);
    mac.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or_default()
}

/// What a destination that knows patients by pseudonyms is told in the place of the hash of a manifest, which others are
/// told too: by it nobody but this box can tell that two copies came of the same messages. 64 lower-case hex digits.
pub fn manifest_seal(secret: &SiteSecret, destination: &str, sha256: &str) -> String {
    secret.mac("manifest-seal", &[destination, sha256])
}

/// The name of a sensor for one destination: a serial number names a person to who has the sales records.
pub fn device(secret: &SiteSecret, destination: &str, device: &str) -> Identifier {
    Identifier { system: DEVICE_SYSTEM, value: secret.mac("device", &[destination, device]) }
}

/// Lower-case hex.
fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope<'static> {
        Scope {
            destination: "main",
            patient: "7",
            first_date: "2025-01-01",
            last_date: "2025-01-14",
            zone: "America/New_York",
            policy: "standard/1",
            family: "",
        }
    }

    #[test]
    fn the_mac_is_hmac_sha_256_over_length_prefixed_fields() {
        // HMAC by its definition (RFC 2104), written out: H((K ^ opad) || H((K ^ ipad) || text)).
        let key = [3u8; 32];
        let mut text = Vec::new();
        for field in ["pseudonym", "up", "7"] {
            text.extend((field.len() as u64).to_be_bytes());
            text.extend(field.as_bytes());
        }
        let pad = |with: u8| -> Vec<u8> {
            (0..64).map(|i| if i < 32 { key[i] ^ with } else { with }).collect::<Vec<_>>()
        };
        let inner = Sha256::digest([pad(0x36), text].concat());
        let outer = Sha256::digest([pad(0x5c), inner.to_vec()].concat());
        assert_eq!(pseudonym(&SiteSecret::new(key), "up", "7").value, hex(&outer));
    }

    #[test]
    fn moving_a_boundary_between_two_fields_changes_the_identifier() {
        let secret = SiteSecret::new([1; 32]);
        let a = Scope { destination: "ab", patient: "c", ..scope() };
        let b = Scope { destination: "a", patient: "bc", ..scope() };
        assert_ne!(a.outcome(&secret, Metric::Gmi), b.outcome(&secret, Metric::Gmi));
        assert_ne!(pseudonym(&secret, "ab", "c"), pseudonym(&secret, "a", "bc"));
    }

    #[test]
    fn every_field_and_the_secret_count() {
        let secret = SiteSecret::new([1; 32]);
        let base = scope().outcome(&secret, Metric::Gmi);
        let others = [
            Scope { destination: "x", ..scope() },
            Scope { patient: "8", ..scope() },
            Scope { first_date: "2025-01-02", ..scope() },
            Scope { last_date: "2025-01-15", ..scope() },
            Scope { zone: "UTC", ..scope() },
            Scope { policy: "paediatric/1", ..scope() },
            scope().in_family("millennium-lab"),
        ];
        for other in others {
            assert_ne!(base, other.outcome(&secret, Metric::Gmi));
        }
        let raised = Scope { policy: "standard/2", ..scope() };
        assert_eq!(base, raised.outcome(&secret, Metric::Gmi), "a later version amends what stands");
        assert_ne!(base, scope().outcome(&secret, Metric::Cv));
        assert_ne!(base, scope().outcome(&SiteSecret::new([2; 32]), Metric::Gmi));
        assert_eq!(base, scope().outcome(&SiteSecret::new([1; 32]), Metric::Gmi));
    }

    #[test]
    fn a_manifest_is_unique_per_version() {
        let secret = SiteSecret::new([1; 32]);
        assert_ne!(scope().manifest(&secret, 1), scope().manifest(&secret, 2));
        assert_eq!(scope().manifest(&secret, 1), scope().manifest(&secret, 1));
    }

    #[test]
    fn the_full_url_is_a_lower_case_uuid_of_version_8() {
        let url = scope().outcome(&SiteSecret::new([1; 32]), Metric::Gmi).full_url();
        let uuid = url.strip_prefix("urn:uuid:").unwrap();
        let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert!(uuid.bytes().all(|b| b == b'-' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
        assert_eq!(uuid.as_bytes()[14], b'8');
        assert!(b"89ab".contains(&uuid.as_bytes()[19]));
    }

    #[test]
    fn debug_output_does_not_show_the_secret() {
        assert_eq!(format!("{:?}", SiteSecret::new([0xab; 32])), "SiteSecret(..)");
    }
}
