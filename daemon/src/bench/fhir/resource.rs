//! The resources of the benchmark: patients, and readings of theirs five minutes apart. Pure.

use jiff::Timestamp;

/// The system of their identifiers.
pub(super) const SYSTEM: &str = "urn:isthmus:bench";
/// By which the rig names its patients.
pub(super) const PATIENTS: &str = "urn:oid:1.2.3";
/// The first reading of each patient: 2025-01-01T00:00:00Z.
pub(super) const FIRST_S: i64 = 1_735_689_600;
/// From here on are the readings that are created while it is measured: 2027-01-01T00:00:00Z.
pub(super) const CREATED_FROM_S: i64 = 1_798_761_600;
/// Between two readings of a patient.
pub(super) const STEP_S: i64 = 300;
/// One in so many is a blood glucose, and one in so many is preliminary.
const BLOOD_EVERY: u64 = 20;
const PRELIMINARY_EVERY: u64 = 50;

/// What a reading says beside its value.
pub(super) struct Subject<'a> {
    /// `Patient/…`.
    pub(super) patient: &'a str,
    /// Its identifier in [`SYSTEM`].
    pub(super) identifier: &'a str,
    /// When it was, in seconds.
    pub(super) at_s: i64,
}

/// A reading.
pub(super) fn observation(of: &Subject<'_>, n: u64) -> String {
    let Subject { patient, identifier, at_s } = of;
    let at = Timestamp::from_second(*at_s).unwrap_or(Timestamp::UNIX_EPOCH);
    let (code, display) = match n % BLOOD_EVERY {
        7 => ("15074-8", "Glucose [Moles/volume] in Blood"),
        _ => ("99504-3", "Glucose [Mass/volume] in Interstitial fluid"),
    };
    let status = if n % PRELIMINARY_EVERY == 11 { "preliminary" } else { "final" };
    let value = 60 + n * 7 % 200;
    format!(
        "{{\"resourceType\":\"Observation\",\"identifier\":[{{\"system\":\"{SYSTEM}\",\"value\":\"{identifier}\"}}],\
         \"status\":\"{status}\",\"category\":[{{\"coding\":[{{\"system\":\
         \"http://terminology.hl7.org/CodeSystem/observation-category\",\"code\":\"laboratory\"}}]}}],\
         \"code\":{{\"coding\":[{{\"system\":\"http://loinc.org\",\"code\":\"{code}\",\"display\":\"{display}\"}}]}},\
         \"subject\":{{\"reference\":\"{patient}\"}},\"effectiveDateTime\":\"{at}\",\
         \"valueQuantity\":{{\"value\":{value},\"unit\":\"mg/dL\",\"system\":\"http://unitsofmeasure.org\",\
         \"code\":\"mg/dL\"}},\"device\":{{\"display\":\"Sensor {}\"}}}}",
        n % 1_000
    )
}

/// A patient.
pub(super) fn patient(n: u64) -> String {
    format!(
        "{{\"resourceType\":\"Patient\",\"identifier\":[{{\"type\":{{\"coding\":[{{\"code\":\"MR\"}}]}},\
         \"system\":\"{PATIENTS}\",\"value\":\"{}\"}}],\"name\":[{{\"family\":\"Family{n}\",\"given\":[\"Given{n}\"]}}],\
         \"gender\":\"unknown\",\"birthDate\":\"1970-01-02\"}}",
        record(n)
    )
}

/// The number by which the site knows a patient.
pub(super) fn record(n: u64) -> String {
    format!("B{n:06}")
}

/// A number by chance, the same of the same request in every run (splitmix64).
pub(super) fn chance(connection: u16, n: u64) -> u64 {
    let mut x =
        (u64::from(connection) << 40 | n).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use fhir::{Kind, Release, search::terms, validate::validate};
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_is_sent_is_valid_and_found_by_what_is_asked() {
        for n in [0, 7, 11] {
            let of = Subject { patient: "Patient/1-00000000", identifier: "f0", at_s: FIRST_S };
            let value: Value = serde_json::from_str(&observation(&of, n)).unwrap();
            assert!(validate(&value, Release::R4).iter().all(|issue| !issue.is_error()), "{n}");
            let terms = terms(Kind::Observation, &value);
            assert!(terms.complete && terms.terms.iter().any(|term| term == "identifier|f0"), "{terms:?}");
        }
        let value: Value = serde_json::from_str(&patient(3)).unwrap();
        assert!(validate(&value, Release::R4).iter().all(|issue| !issue.is_error()));
    }
}
