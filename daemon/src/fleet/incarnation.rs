//! Who is asking: one start of the daemon, and the starts before it. Pure but for the two ends at the store.
//!
//! A box id is in the store, so a copy of the store has it too. What tells two running daemons of one store apart is the
//! incarnation: a number drawn at each start. It is written to the store before it is first sent. The list begins with the
//! last one that upstream is known to have granted the lease, and goes on with those that asked since; the true successor of
//! the holder therefore always names the holder, even where an answer was lost. A grant shortens the list to the one granted.

use std::fmt;

use outbox::{ReadError, Readers, WriteError, Writer};
use rand::RngExt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest, Sha256};

/// Name of the list in the store.
const LINEAGE: &str = "fleet-lineage";
/// Name of the count of starts in the store.
const STARTS: &str = "fleet-starts";
/// Where a machine's id is (machine-id(5)).
const MACHINE_ID: &str = "/etc/machine-id";
/// The most predecessors that are kept: starts in a row whose every check-in may have been granted without our knowing.
pub const MOST_PREDECESSORS: usize = 32;

/// Bytes that are told as lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex<const N: usize>(pub [u8; N]);

/// One start of the daemon.
pub type Incarnation = Hex<16>;

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> Hex<N> {
    /// Reads exactly `2 N` hex digits, of either case; `None` where the text is anything else.
    pub fn read(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 2 * N {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let mut bytes = [0; N];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::read(&text).ok_or_else(|| D::Error::custom(format!("no {} hex digits", 2 * N)))
    }
}

/// This start and those before it.
#[derive(Clone, Debug)]
pub struct Lineage {
    /// This start.
    pub own: Incarnation,
    /// Those before it that upstream may have as the holder, the last one known as granted first.
    pub predecessors: Vec<Incarnation>,
    /// Starts of this store, this one too.
    pub starts: u64,
    /// The machine, so that a restart there is told from a copy of the store elsewhere; `None` where it has no id.
    pub machine: Option<Hex<16>>,
    is_written: bool,
}

impl Lineage {
    /// A new start of the store's box.
    ///
    /// # Errors
    /// [`ReadError`] where the store cannot be read, [`WriteError`] where it takes no commit.
    pub async fn begin(readers: &Readers, writer: &Writer, box_id: &str) -> Result<Self, BeginError> {
        let (known, starts) = readers.with(|reader| Ok((reader.meta(LINEAGE)?, reader.meta(STARTS)?)))?;
        let starts = starts.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes) + 1;
        writer.put_meta(STARTS, starts.to_be_bytes().to_vec()).await?;
        let predecessors = known.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let machine = std::fs::read_to_string(MACHINE_ID).ok().and_then(|id| machine_of(box_id, id.trim()));
        Ok(Self { own: Hex(rand::rng().random()), predecessors, starts, machine, is_written: false })
    }

    /// Has this start in the store; to be called before the first check-in leaves.
    ///
    /// # Errors
    /// [`WriteError`]: nothing is sent then.
    pub async fn write(&mut self, writer: &Writer) -> Result<(), WriteError> {
        if !self.is_written {
            put(writer, &listed(&self.predecessors, self.own)).await?;
            self.is_written = true;
        }
        Ok(())
    }

    /// The lease was granted to this start: nobody before it can be the holder any more.
    ///
    /// # Errors
    /// [`WriteError`]: the longer list stays, which is true as well.
    pub async fn granted(&mut self, writer: &Writer) -> Result<(), WriteError> {
        if !self.predecessors.is_empty() {
            put(writer, &[self.own]).await?;
            self.predecessors.clear();
        }
        Ok(())
    }
}

/// Why a start could not begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The store could not be read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The store took no commit.
    #[error("{0}")]
    Write(#[from] WriteError),
}

async fn put(writer: &Writer, list: &[Incarnation]) -> Result<(), WriteError> {
    writer.put_meta(LINEAGE, serde_json::to_vec(list).unwrap_or_default()).await
}

/// The list with one more; where it is full, the oldest goes but for the first, which was granted.
fn listed(predecessors: &[Incarnation], own: Incarnation) -> Vec<Incarnation> {
    let mut list = predecessors.to_vec();
    list.push(own);
    while list.len() > MOST_PREDECESSORS {
        list.remove(1);
    }
    list
}

/// A machine's id as it is told: hashed with the box's, as machine-id(5) asks, so that it is good for nothing else.
fn machine_of(box_id: &str, machine_id: &str) -> Option<Hex<16>> {
    if machine_id.is_empty() {
        return None;
    }
    let digest = Sha256::new()
        .chain_update("isthmus machine\n")
        .chain_update(box_id)
        .chain_update("\n")
        .chain_update(machine_id);
    let digest: [u8; 32] = digest.finalize().into();
    Some(Hex(std::array::from_fn(|at| digest[at])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_as_it_is_written_and_nothing_else_is() {
        let one = Hex([0, 1, 0xab, 0xff]);
        assert_eq!(one.to_string(), "0001abff");
        assert_eq!((Hex::read("0001abff"), Hex::read("0001ABFF")), (Some(one), Some(one)));
        for text in ["", "0001abf", "0001abff0", "0001abfg", "+001abff", "0001ab\u{e9}"] {
            assert_eq!(Hex::<4>::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_full_list_keeps_the_one_that_was_granted_and_the_newest() {
        let mut list = Vec::new();
        for n in 0..100_u8 {
            list = listed(&list, Hex([n; 16]));
            assert!(list.len() <= MOST_PREDECESSORS);
            assert_eq!((list[0], list.last()), (Hex([0; 16]), Some(&Hex([n; 16]))));
        }
        assert_eq!(list[1], Hex([69; 16]));
    }

    #[test]
    fn a_machine_is_told_differently_for_each_box() {
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(machine_of("box-1", id), machine_of("box-1", id));
        assert_ne!(machine_of("box-1", id), machine_of("box-2", id));
        assert_eq!(machine_of("box-1", ""), None);
        assert!(!machine_of("box-1", id).unwrap().to_string().contains("0123456789"));
    }
}
