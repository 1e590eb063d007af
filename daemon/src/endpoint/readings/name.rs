//! The name of a reading: `r-<chunk>-<instant>-<seal>`, each in hexadecimal.
//!
//! Invariants: one spelling for each name; none is that of a stored resource ([`super::super::key::parse_id`] begins with a
//! hexadecimal digit, which `r` is not); the seal is a keyed hash of all that the reading is, its patient's identifier among
//! it, so a name that was given out before a restore fits no other patient's reading after it.

use clinical::{
    fhir::identifier::{SiteSecret, seal},
    reading::Reading,
};
use outbox::{DayChunk, PatientKey};

/// A name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    /// The number of its chunk.
    pub(super) chunk: i64,
    /// When the sensor measured, in milliseconds of UTC.
    pub(super) at: i64,
    /// Of all that it is.
    pub(super) seal: u64,
}

impl Name {
    /// The name of a reading of a chunk, which lies under `key`.
    pub(super) fn of(secret: &SiteSecret, key: &PatientKey, chunk: &DayChunk, reading: &Reading) -> Self {
        let numbers = [
            format!("{:x}", chunk.id),
            format!("{:x}", reading.time.0),
            format!("{:016x}", reading.identity),
        ];
        let [id, at, identity] = &numbers;
        let named = [&*key.site, &*key.system, &*key.value, &*chunk.device, id, at, identity];
        Self { chunk: chunk.id, at: reading.time.0, seal: seal(secret, &named) }
    }

    /// As clients have it.
    pub(super) fn text(self) -> String {
        format!("r-{:x}-{:x}-{:016x}", self.chunk, self.at, self.seal)
    }

    /// Of such a text; `None` of any other.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("r-")?.split('-');
        let (chunk, at, seal) = (parts.next()?, parts.next()?, parts.next()?);
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        let name =
            Self { chunk: number(chunk)?.cast_signed(), at: number(at)?.cast_signed(), seal: number(seal)? };
        (name.text() == text).then_some(name)
    }

    /// Its number in the order of a search, which parts those of one instant: negative, as no stored resource's is. Two of one
    /// instant have the same with a chance of 2^-63.
    pub(super) const fn number(self) -> i64 {
        -1 - (self.seal >> 1).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use clinical::{
        glucose::Glucose,
        reading::{Instant, Route, Standing},
    };

    use super::{super::super::key::parse_id, *};

    #[test]
    fn a_name_has_one_spelling_and_is_no_resources() {
        for name in [
            Name { chunk: 1, at: 0, seal: 0 },
            Name { chunk: 0x7fff_ffff_ffff, at: 1_772_323_500_000, seal: u64::MAX },
            Name { chunk: i64::MAX, at: -1, seal: 7 },
        ] {
            let text = name.text();
            assert_eq!(Name::parse(&text), Some(name), "{text}");
            assert_eq!(parse_id(&text), None, "{text}");
            assert!(text.len() <= 64, "an id of FHIR: {text}");
            assert!(name.number() < 0);
        }
        for text in [
            "",
            "r",
            "r-1-0",
            "r-1-0-7",
            "R-1-0-0000000000000007",
            "r-01-0-0000000000000007",
            "r-1-0-000000000000000A",
            "r-+1-0-0000000000000007",
            "r-1-0-0000000000000007-",
            "r-1-0-0000000000000007-1",
            "1-00000007",
        ] {
            assert_eq!(Name::parse(text), None, "{text}");
        }
    }

    #[test]
    fn everything_that_a_reading_is_is_in_its_seal() {
        let secret = SiteSecret::new([3; 32]);
        let key = PatientKey { site: "main".into(), system: "urn:oid:1.2.3".into(), value: "7".into() };
        let chunk = DayChunk { id: 5, patient: 9, device: "SM1".into(), day: 0, body: Vec::new() };
        let reading = Reading {
            time: Instant(60_000),
            offset_minutes: None,
            tz_ambiguous: false,
            glucose: Glucose::mg_dl(100),
            standing: Standing::Final,
            route: Route::Hl7v2,
            identity: 17,
            made_at: Instant(0),
            message: 1,
        };
        let name = Name::of(&secret, &key, &chunk, &reading);
        let corrected =
            Reading { glucose: Glucose::mg_dl(90), standing: Standing::Corrected, message: 2, ..reading };
        assert_eq!(name, Name::of(&secret, &key, &chunk, &corrected), "a correction is the same reading");
        let other_patient = PatientKey { value: "8".into(), ..key.clone() };
        let (other_chunk, other_device) =
            (DayChunk { id: 6, ..chunk.clone() }, DayChunk { device: "SM2".into(), ..chunk.clone() });
        for other in [
            Name::of(&secret, &other_patient, &chunk, &reading),
            Name::of(&secret, &key, &other_chunk, &reading),
            Name::of(&secret, &key, &other_device, &reading),
            Name::of(&secret, &key, &chunk, &Reading { identity: 18, ..reading }),
            Name::of(&secret, &key, &chunk, &Reading { time: Instant(60_001), ..reading }),
            Name::of(&SiteSecret::new([4; 32]), &key, &chunk, &reading),
        ] {
            assert_ne!(name.seal, other.seal);
        }
    }
}
