//! The readings of one patient, device and UTC day, as they are stored.
//!
//! Invariants: one version per identity, the one that [`stands_before`] puts first; canonical order
//! (time, identity). Merging is therefore associative, commutative and idempotent, and equal sets of
//! readings give equal bytes. Nothing depends on arrival: between versions that differ in nothing but
//! the message they came in, the lowest message number stands.
//!
//! Numbers: 288 readings of a 5-minute sensor take about 3.3 KB, of which 8 bytes a reading are its
//! identity; see `benches/window.rs` for the time to decode.

pub(crate) mod encoding;

use std::{
    cmp::{Ordering, Reverse},
    collections::{HashMap, HashSet},
};

pub use self::encoding::ChunkError;
use crate::reading::{Instant, Reading};

/// A set of readings with their versions resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    readings: Vec<Reading>,
}

/// What a merge did, in readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Identities that were not there before.
    pub added: u32,
    /// Versions that took the place of another.
    pub replaced: u32,
    /// Versions that were there already, or that yield to the one that stands.
    pub unchanged: u32,
    /// New identities beyond [`Chunk::MAX_READINGS`], not taken in: the caller keeps their messages.
    pub refused: u32,
    /// Earliest and latest time that an outcome may now differ at; `None` where nothing changed.
    pub span: Option<(Instant, Instant)>,
}

impl Merged {
    /// True where the chunk differs from what it was.
    #[must_use]
    pub const fn changed(&self) -> bool {
        self.added + self.replaced > 0
    }

    fn touch(&mut self, time: Instant) {
        let (first, last) = self.span.unwrap_or((time, time));
        self.span = Some((first.min(time), last.max(time)));
    }
}

impl Chunk {
    /// Most readings in a chunk: 45 a minute for a whole day, far beyond any sensor, so that no
    /// sender can make one row grow without end.
    pub const MAX_READINGS: usize = 1 << 16;

    /// An empty chunk.
    #[must_use]
    pub const fn new() -> Self {
        Self { readings: Vec::new() }
    }

    /// The readings by (time, identity), retracted ones included.
    #[must_use]
    pub fn readings(&self) -> &[Reading] {
        &self.readings
    }

    /// The readings by (time, identity).
    pub fn iter(&self) -> std::slice::Iter<'_, Reading> {
        self.readings.iter()
    }

    /// How many readings there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.readings.len()
    }

    /// True without any reading.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.readings.is_empty()
    }

    /// Takes `readings` in; of each identity the version that stands before the others stays.
    pub fn merge(&mut self, readings: impl IntoIterator<Item = Reading>) -> Merged {
        let mut places: HashMap<u64, usize> =
            self.readings.iter().enumerate().map(|(place, reading)| (reading.identity, place)).collect();
        let mut merged = Merged::default();
        for reading in readings {
            match places.get(&reading.identity) {
                Some(&place) if stands_before(&reading, &self.readings[place]) => {
                    merged.touch(self.readings[place].time);
                    merged.touch(reading.time);
                    self.readings[place] = reading;
                    merged.replaced += 1;
                }
                Some(_) => merged.unchanged += 1,
                None if self.readings.len() >= Self::MAX_READINGS => merged.refused += 1,
                None => {
                    places.insert(reading.identity, self.readings.len());
                    merged.touch(reading.time);
                    self.readings.push(reading);
                    merged.added += 1;
                }
            }
        }
        if merged.changed() {
            self.readings.sort_by_key(|reading| (reading.time, reading.identity));
        }
        merged
    }

    /// As [`Self::merge`], for readings of messages some of which are read anew, by other rules than before: of
    /// one identity, what a message says now takes the place of what the same message had said. `anew` tells
    /// which readings are of such a message. What an identity had from another message is left to
    /// [`Self::merge`], and an identity that no reading has any more stays: another message may have said it too.
    pub fn merge_anew(&mut self, readings: &[Reading], anew: impl Fn(&Reading) -> bool) -> Merged {
        let name = |reading: &Reading| (reading.identity, reading.message);
        let said: HashSet<(u64, u64)> = readings.iter().filter(|reading| anew(reading)).map(name).collect();
        if said.is_empty() {
            return self.merge(readings.iter().copied());
        }
        let before = self.clone();
        self.readings.retain(|reading| !said.contains(&name(reading)));
        let taken_out = (before.len() - self.len()) as u32;
        let merged = self.merge(readings.iter().copied());
        if *self == before {
            return Merged { unchanged: readings.len() as u32, ..Merged::default() };
        }
        // What was taken out came back as new: it is a replacement, and what it had been is touched too.
        let mut told = Merged {
            added: merged.added.saturating_sub(taken_out),
            replaced: merged.replaced + taken_out,
            ..merged
        };
        before
            .iter()
            .filter(|reading| said.contains(&name(reading)))
            .for_each(|reading| told.touch(reading.time));
        told
    }
}

impl FromIterator<Reading> for Chunk {
    fn from_iter<T: IntoIterator<Item = Reading>>(readings: T) -> Self {
        let mut chunk = Self::new();
        chunk.merge(readings);
        chunk
    }
}

impl IntoIterator for Chunk {
    type Item = Reading;
    type IntoIter = std::vec::IntoIter<Reading>;

    fn into_iter(self) -> Self::IntoIter {
        self.readings.into_iter()
    }
}

impl<'a> IntoIterator for &'a Chunk {
    type Item = &'a Reading;
    type IntoIter = std::slice::Iter<'a, Reading>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// True where `a` stands and `b`, another version of the same identity, yields: by
/// [`Reading::precedence`], then by what that leaves open, so that the order is total: the spelling of the value last.
#[must_use]
pub fn stands_before(a: &Reading, b: &Reading) -> bool {
    let rest =
        |r: &Reading| (!r.tz_ambiguous, r.offset_minutes, Reverse(r.time), Reverse(r.message), r.glucose);
    a.precedence().cmp(&b.precedence()).then_with(|| rest(a).cmp(&rest(b))) == Ordering::Greater
}

#[cfg(test)]
mod tests;
