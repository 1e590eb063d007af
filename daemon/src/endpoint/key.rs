//! What a resource is found by, and what it is called.

use fhir::Kind;
use outbox::ResourceId;
use sha2::{Digest, Sha256};

/// What the source of a message that was sent to the endpoint begins with; then comes the client's name.
pub const SOURCE_PREFIX: &str = "fhir/";

/// The key of a term: a hash of site, kind and term. Two terms may share one, because a search looks at the resource.
pub fn key(site: &str, kind: Kind, term: &str) -> i64 {
    let mut hash = Sha256::new();
    for part in [site, kind.name(), term] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The id that a resource has for clients: `1f-0a1b2c3d`.
pub fn id_of(id: ResourceId) -> String {
    format!("{:x}-{:08x}", id.number, id.tag)
}

/// The resource with this id; `None` for a text that is none of ours.
pub fn parse_id(text: &str) -> Option<ResourceId> {
    let (number, tag) = text.split_once('-')?;
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if number.len() > 15 || number.starts_with('0') || tag.len() != 8 || !is_hex(number) || !is_hex(tag) {
        return None;
    }
    let id =
        ResourceId { number: i64::from_str_radix(number, 16).ok()?, tag: u32::from_str_radix(tag, 16).ok()? };
    (id_of(id) == text).then_some(id)
}

/// The resource that a local reference names, `Patient/1f-0a1b2c3d`, where it is of this kind.
pub fn referred(reference: &str, kind: Kind) -> Option<ResourceId> {
    parse_id(reference.strip_prefix(kind.name())?.strip_prefix('/')?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written_and_in_no_other_spelling() {
        for (number, tag) in [(1, 0), (31, 0x0a1b_2c3d), (i64::MAX >> 4, u32::MAX)] {
            let id = ResourceId { number, tag };
            assert_eq!(parse_id(&id_of(id)), Some(id));
        }
        for text in [
            "",
            "-",
            "1-",
            "1-0",
            "01-00000000",
            "0-00000000",
            "1-0000000G",
            "A-00000000",
            "1-000000000",
            "+1-00000000",
            "1-00000000-1",
        ] {
            assert_eq!(parse_id(text), None, "{text}");
        }
        assert_eq!(referred("Patient/1-00000002", Kind::Patient), parse_id("1-00000002"));
        for text in ["Device/1-00000002", "Patient1-00000002", "Patients/1-00000002", "1-00000002"] {
            assert_eq!(referred(text, Kind::Patient), None, "{text}");
        }
    }

    #[test]
    fn a_key_is_of_its_site_and_kind() {
        let one = key("main", Kind::Observation, "code|1");
        assert_eq!(one, key("main", Kind::Observation, "code|1"));
        for other in [
            key("mai", Kind::Observation, "code|1"),
            key("main", Kind::Task, "code|1"),
            key("main", Kind::Observation, "code|"),
        ] {
            assert_ne!(one, other);
        }
    }
}
