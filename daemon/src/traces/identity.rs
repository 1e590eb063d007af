//! Which trace a message has, and whether it is one of those that are kept. Pure.
//!
//! Both follow from the box's id and the message's number alone, so that every span of a message has the same trace and the same
//! decision, whoever makes it and after however many restarts.

use sha2::{Digest, Sha256};

/// What the hash begins with, so that no other hash of these two is this one.
const DOMAIN: &[u8] = b"isthmus trace\0";

/// The ids of a message's trace, and what decides whether it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Id of the trace; never 0.
    pub(super) trace: [u8; 16],
    /// Id of its first span; never 0.
    pub(super) first: [u8; 8],
    lot: u64,
}

impl Identity {
    /// Of a message of a box.
    pub(super) fn of(box_id: &str, msg: i64) -> Self {
        let mut hash = Sha256::new_with_prefix(DOMAIN);
        hash.update((box_id.len() as u64).to_be_bytes());
        hash.update(box_id.as_bytes());
        hash.update(msg.to_be_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        let (mut trace, mut first, mut lot) = ([0; 16], [0; 8], [0; 8]);
        trace.copy_from_slice(&hash[..16]);
        first.copy_from_slice(&hash[16..24]);
        lot.copy_from_slice(&hash[24..]);
        // An id of zeros is none (W3C Trace Context); it never comes, and costs nothing to exclude.
        trace[15] |= u8::from(trace == [0; 16]);
        first[7] |= u8::from(first == [0; 8]);
        Self { trace, first, lot: u64::from_be_bytes(lot) }
    }

    /// Whether it is the one of `one_in` messages whose trace is kept.
    pub(super) const fn is_kept(&self, one_in: u64) -> bool {
        one_in != 0 && self.lot.is_multiple_of(one_in)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_one_trace_and_no_two_messages_or_boxes_share_one() {
        let one = Identity::of("box-a", 17);
        assert_eq!(one, Identity::of("box-a", 17));
        for other in [Identity::of("box-a", 18), Identity::of("box-b", 17), Identity::of("box-a1", 7)] {
            assert_ne!(other.trace, one.trace);
            assert_ne!(other.first, one.first);
        }
    }

    #[test]
    fn one_message_in_so_many_is_kept_and_none_where_it_is_off() {
        let kept = |one_in| (1..=10_000).filter(|msg| Identity::of("box-a", *msg).is_kept(one_in)).count();
        assert_eq!((kept(0), kept(1)), (0, 10_000));
        assert!((850..1_150).contains(&kept(10)), "{}", kept(10));
    }
}
