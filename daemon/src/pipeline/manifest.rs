//! The list of stored messages that an outcome came from, in a form that can be hashed and read again.
//!
//! The body is the ascending inbox ids as LEB128 varints, each as the difference to the one before: a
//! four-thousand-message window takes about four kilobytes. The messages' own hashes stand with them in
//! the inbox, whose rows never change.

use sha2::{Digest, Sha256};

/// A manifest ready to be stored and cited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// How many messages.
    pub count: u64,
    /// SHA-256 of `body`.
    pub sha256: [u8; 32],
    /// The list.
    pub body: Vec<u8>,
}

impl Listing {
    /// The listing of a set of inbox ids, given in any order, with repeats.
    pub fn of(ids: impl IntoIterator<Item = u64>) -> Self {
        let mut ids: Vec<u64> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        let mut body = Vec::with_capacity(ids.len() * 2);
        let mut before = 0;
        for id in &ids {
            let mut difference = id - before;
            before = *id;
            while difference >= 0x80 {
                body.push(difference as u8 | 0x80);
                difference >>= 7;
            }
            body.push(difference as u8);
        }
        Self { count: ids.len() as u64, sha256: Sha256::digest(&body).into(), body }
    }

    /// The ids in a stored body; `None` where it is no listing.
    pub fn ids(body: &[u8]) -> Option<Vec<u64>> {
        let (mut ids, mut before, mut value, mut shift) = (Vec::new(), 0u64, 0u64, 0u32);
        for byte in body {
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 != 0 {
                shift += 7;
                continue;
            }
            before = before.checked_add(value)?;
            ids.push(before);
            (value, shift) = (0, 0);
        }
        (shift == 0).then_some(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_a_function_of_the_set() {
        let (a, b) = (Listing::of([300, 1, 7]), Listing::of([7, 300, 1, 1]));
        assert_eq!(a, b);
        assert_eq!(a.count, 3);
        assert_eq!(Listing::ids(&a.body), Some(vec![1, 7, 300]));
    }

    #[test]
    fn a_cut_listing_is_no_listing() {
        let listing = Listing::of([300]);
        assert_eq!(Listing::ids(&listing.body[..1]), None);
        assert_eq!(Listing::ids(&[]), Some(vec![]));
    }

    proptest::proptest! {
        #[test]
        fn every_set_survives(ids in proptest::collection::btree_set(1u64..1 << 40, 0..50)) {
            let body = Listing::of(ids.iter().copied()).body;
            proptest::prop_assert_eq!(Listing::ids(&body), Some(ids.into_iter().collect()));
        }
    }
}
