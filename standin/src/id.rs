//! Ids as servers give them: opaque, and some longer than 64 characters (reference, section 3, "Reads").

use aws_lc_rs::digest::{SHA256, digest};

/// The characters of a FHIR id (R4, datatypes, `id`).
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-";

/// Every so many an id is longer than FHIR's 64 characters.
const LONG_EVERY: u64 = 3;

/// What ids look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum IdForm {
    /// `si-0000001`: easy to read in a log.
    #[default]
    Counted,
    /// Says nothing, in upper and lower case, with dots; every third has 78 characters.
    Opaque,
}

impl IdForm {
    /// The id of the `n`th resource, counted from 1.
    pub(crate) fn id(self, n: u64) -> String {
        match self {
            Self::Counted => format!("si-{n:07}"),
            Self::Opaque => opaque("resource", n),
        }
    }
}

/// An id that says nothing, always the same for the same salt and number.
pub(crate) fn opaque(salt: &str, n: u64) -> String {
    let length = if n.is_multiple_of(LONG_EVERY) { 77 } else { 24 };
    let mut id = String::from("e");
    for block in 0_u8.. {
        let hash = digest(&SHA256, format!("{salt}/{n}/{block}").as_bytes());
        let letters = hash.as_ref().iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)]));
        id.extend(letters.take(length + 1 - id.len()));
        if id.len() > length {
            break;
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn opaque_ids_are_distinct_and_every_third_is_longer_than_64_characters() {
        let ids: Vec<String> = (1..=300).map(|n| opaque("x", n)).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 300);
        assert_eq!(ids.iter().filter(|id| id.len() > 64).count(), 100);
        assert!(ids.iter().all(|id| id.len() == 25 || id.len() == 78));
    }
}
