//! Bodies as the tables `inbox` and `published_version` hold them: as an LZ4 block where that is shorter, else as they
//! are.
//!
//! Invariant: what was packed comes back byte for byte. A body is packed where it is stored shorter than it is
//! (`length(body) < body_bytes`), so there is no third state and no flag to be wrong.
//!
//! Numbers: HL7 v2 shrinks to 40 %, and a page of the database, which is to be encrypted, authenticated, written twice
//! and synced, holds four or five messages of 1.4 KB instead of two. Packing costs about 2 µs, on the thread of the
//! connection; the writer saves more than that. An export of a year shrinks from 8 MB to a fifth, in 20 ms on the thread
//! of its spool.

use lz4_flex::block;

/// Messages of more bytes are stored as received: mostly documents in base64, for which the time is not worth it, and a
/// connection's thread is not to be held up by them.
const MOST_BYTES: usize = 64 * 1024;
/// Of a longer file so much is packed first, to see whether it is worth it.
const SAMPLE_BYTES: usize = 64 * 1024;
/// More than any body has: SQLite's own bound of a value is 10⁹ bytes.
const MOST_UNPACKED_BYTES: usize = 1 << 30;
/// Bodies of fewer bytes are stored as received: nothing is gained.
const LEAST_BYTES: usize = 128;

/// A packed body that cannot be unpacked: the row is not as it was written.
#[derive(Debug, thiserror::Error)]
#[error("a stored body cannot be unpacked")]
pub(crate) struct Broken;

/// The block to store for a body; `None` where the body itself is to be stored.
pub(crate) fn pack(body: &[u8]) -> Option<Vec<u8>> {
    if !(LEAST_BYTES..=MOST_BYTES).contains(&body.len()) {
        return None;
    }
    Some(block::compress(body)).filter(|block| block.len() < body.len())
}

/// As [`pack`], of a body of any length, for a thread that nobody waits for. A long one whose beginning does not shrink to
/// half is stored as received.
pub(crate) fn pack_file(body: &[u8]) -> Option<Vec<u8>> {
    if body.len() <= MOST_BYTES {
        return pack(body);
    }
    if body.len() > MOST_UNPACKED_BYTES || block::compress(&body[..SAMPLE_BYTES]).len() > SAMPLE_BYTES / 2 {
        return None;
    }
    let mut block = block::compress(body);
    // It was made with room for the worst.
    block.shrink_to_fit();
    Some(block).filter(|block| block.len() < body.len())
}

/// The body of `body_bytes` that is stored so.
pub(crate) fn unpack(stored: Vec<u8>, body_bytes: usize) -> Result<Vec<u8>, Broken> {
    if stored.len() == body_bytes {
        return Ok(stored);
    }
    if body_bytes > MOST_UNPACKED_BYTES {
        return Err(Broken);
    }
    let body = block::decompress(&stored, body_bytes).map_err(|_| Broken)?;
    if body.len() == body_bytes { Ok(body) } else { Err(Broken) }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn a_message_shrinks_and_what_cannot_shrink_is_stored_as_it_is() {
        let message = "OBX|1|NM|2951-2^Sodium^LN|1|140|mmol/L^mmol/L^UCUM||N|||F\r".repeat(20);
        assert!(pack(message.as_bytes()).unwrap().len() * 2 < message.len());
        let noise: Vec<u8> = (0..128_u32).flat_map(|n| Sha256::digest(n.to_be_bytes())).collect();
        assert!(pack(&noise).is_none());
        for bytes in [0, LEAST_BYTES - 1, MOST_BYTES + 1] {
            assert!(pack(&vec![b'x'; bytes]).is_none(), "{bytes}");
        }
        for bytes in [LEAST_BYTES, MOST_BYTES] {
            assert!(pack(&vec![b'x'; bytes]).is_some(), "{bytes}");
        }
    }

    #[test]
    fn a_block_that_is_not_as_it_was_written_is_told_and_nothing_is_made_of_it() {
        let body = [b'x'; 4_096];
        let block = pack(&body).unwrap();
        assert_eq!(unpack(block.clone(), body.len()).unwrap(), body);
        for (stored, bytes) in [
            (block.clone(), body.len() - 1),
            (block.clone(), body.len() + 1),
            (block.clone(), MOST_UNPACKED_BYTES + 1),
            (block[..block.len() - 1].to_vec(), body.len()),
            (vec![0xff; 9], body.len()),
            (Vec::new(), body.len()),
        ] {
            assert!(unpack(stored, bytes).is_err(), "{bytes}");
        }
    }

    #[test]
    fn a_long_file_is_packed_where_its_beginning_shrinks_to_half() {
        let export = "1,2025-01-01T00:00:00,EGV,,,,Dexcom G6,120,,,,,300,8A0000\n".repeat(4_000);
        let block = pack_file(export.as_bytes()).unwrap();
        assert!(block.len() * 2 < export.len() && block.capacity() < export.len());
        assert_eq!(unpack(block, export.len()).unwrap(), export.as_bytes());
        // As a short one where it is short, and a message of that length is left alone.
        assert_eq!(pack_file(&export.as_bytes()[..1_000]), pack(&export.as_bytes()[..1_000]));
        assert!(pack(export.as_bytes()).is_none());
        let noise: Vec<u8> = (0..4_096_u32).flat_map(|n| Sha256::digest(n.to_be_bytes())).collect();
        assert!(pack_file(&[&noise, export.as_bytes()].concat()).is_none());
    }

    proptest::proptest! {
        #[test]
        fn what_was_packed_comes_back(body in proptest::collection::vec(proptest::sample::select(&b"|^~&AB01\r\0"[..]), 0..2_000)) {
            let stored = pack(&body).unwrap_or_else(|| body.clone());
            proptest::prop_assert_eq!(unpack(stored, body.len()).unwrap(), body);
        }
    }
}
