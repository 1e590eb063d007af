//! The hash that stands for a source's own identity of a reading.
//!
//! First eight bytes of SHA-256 over length-prefixed parts, so that no two lists of parts run together.
//! Readings are kept per patient, so eight bytes suffice: a year of 1-minute data is 2^19 readings,
//! whose chance of any collision is about 2^-27.

use sha2::{Digest, Sha256};

/// Hash of `parts` under the name of the rule that chose them.
pub(super) fn source_id(rule: &str, parts: &[&str]) -> u64 {
    let mut hash = Sha256::new();
    for part in std::iter::once(&rule).chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(8).fold(0, |id, &byte| id << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(source_id("r", &["ab", "c"]), source_id("r", &["a", "bc"]));
        assert_ne!(source_id("r", &["a", ""]), source_id("r", &["a"]));
        assert_ne!(source_id("r", &["a"]), source_id("s", &["a"]));
        assert_eq!(source_id("r", &["a"]), source_id("r", &["a"]));
    }
}
