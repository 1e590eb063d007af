//! The hash that stands for a source's own identity of a reading.
//!
//! First eight bytes of SHA-256 over length-prefixed parts, or over numbers of fixed length after such a hash, so
//! that no two lists of parts run together. Readings are kept per patient, so eight bytes suffice: a year of
//! 1-minute data is 2^19 readings, whose chance of any collision is about 2^-27.

use sha2::{Digest, Sha256};

use crate::{
    glucose::{Measured, Unit},
    reading::{Reading, Route},
};

/// Hash of `parts` under the name of the rule that chose them.
pub(super) fn source_id(rule: &str, parts: &[&str]) -> u64 {
    first_eight(&hash(rule, parts))
}

/// A device and route of a format: what the readings of a block of rows have in common.
pub(super) struct Source([u8; 8]);

impl Source {
    pub(super) fn of(format: &str, device: &str, route: Route) -> Self {
        let route = if route == Route::Scan { "scan" } else { "" };
        Self(source_id("export", &[format, device, route]).to_be_bytes())
    }

    /// The identity of a row: its source, its time, its mark and what it states. 35 bytes, which with their
    /// padding are one block of SHA-256.
    pub(super) fn id(&self, reading: &Reading, mark: i64) -> u64 {
        let (kind, number) = match reading.glucose.measured {
            Measured::Exact(number) => (0, number),
            Measured::Below(number) => (1, number),
            Measured::Above(number) => (2, number),
        };
        let unit = match reading.glucose.unit {
            Unit::MgDl => 0,
            Unit::MmolL => 1,
        };
        let mut bytes = [0; 35];
        bytes[..8].copy_from_slice(&self.0);
        bytes[8..16].copy_from_slice(&reading.time.0.to_be_bytes());
        bytes[16..24].copy_from_slice(&mark.to_be_bytes());
        bytes[24..32].copy_from_slice(&number.digits().to_be_bytes());
        bytes[32..].copy_from_slice(&[number.places(), kind, unit]);
        first_eight(&Sha256::digest(bytes))
    }
}

fn hash(rule: &str, parts: &[&str]) -> impl AsRef<[u8]> {
    let mut hash = Sha256::new();
    for part in std::iter::once(&rule).chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize()
}

fn first_eight(hash: &impl AsRef<[u8]>) -> u64 {
    hash.as_ref().iter().take(8).fold(0, |id, &byte| id << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decimal::Decimal,
        glucose::Glucose,
        reading::{Instant, Standing},
    };

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(source_id("r", &["ab", "c"]), source_id("r", &["a", "bc"]));
        assert_ne!(source_id("r", &["a", ""]), source_id("r", &["a"]));
        assert_ne!(source_id("r", &["a"]), source_id("s", &["a"]));
        assert_eq!(source_id("r", &["a"]), source_id("r", &["a"]));
    }

    #[test]
    fn each_fact_of_a_row_makes_another_identity() {
        let reading = |time, glucose| Reading {
            time: Instant(time),
            offset_minutes: Some(60),
            tz_ambiguous: false,
            glucose,
            standing: Standing::Final,
            route: Route::File,
            identity: 0,
            made_at: Instant(0),
            message: 0,
        };
        let hundred = Decimal::whole(100);
        let glucose = |measured, unit| Glucose { measured, unit };
        let source = |device, route| Source::of("clarity", device, route);
        let plain = reading(1, glucose(Measured::Exact(hundred), Unit::MgDl));
        let all = [
            source("a", Route::File).id(&plain, 0),
            source("b", Route::File).id(&plain, 0),
            source("a", Route::Scan).id(&plain, 0),
            Source::of("xdrip", "a", Route::File).id(&plain, 0),
            source("a", Route::File).id(&plain, 1),
            source("a", Route::File).id(&reading(2, plain.glucose), 0),
            source("a", Route::File).id(&reading(1, glucose(Measured::Above(hundred), Unit::MgDl)), 0),
            source("a", Route::File).id(&reading(1, glucose(Measured::Below(hundred), Unit::MgDl)), 0),
            source("a", Route::File).id(&reading(1, glucose(Measured::Exact(hundred), Unit::MmolL)), 0),
            source("a", Route::File).id(&reading(1, Glucose::mg_dl(101)), 0),
            source("a", Route::File)
                .id(&reading(1, glucose(Measured::Exact("100.0".parse().unwrap()), Unit::MgDl)), 0),
        ];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
    }
}
