//! `[patient]` of a site file: which identifier names a patient, and what is made of the others and of merges.

use clinical::identity::PatientRule;
use toml::de::DeValue;

use super::section::Section;

/// The most authorities that orders may bind; a hospital has a handful of vendors.
const MAX_AUTHORITIES: usize = 64;
/// The longest authority: HL7 gives a namespace id 20 characters, and some engines more.
const MAX_AUTHORITY_BYTES: usize = 200;

/// What is made of identities at a site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// What becomes of what was published for a patient who is merged into another.
    pub on_merge: OnMerge,
    /// Whether the EHR's Patient is compared before the first write.
    pub verify_patient: VerifyPatient,
    /// The assigning authorities whose identifiers an order may bind to a record number; `""` is those without one.
    pub order_authorities: Vec<String>,
}

/// What becomes of what was published for a patient who is merged into another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMerge {
    /// `"ehr-moves"`: the EHR's own merge moves it; it is amended there and not published anew.
    #[default]
    EhrMoves,
    /// `"republish"`: it is published anew for the survivor, and people withdraw the old.
    Republish,
}

/// Whether the EHR's Patient is compared with what is known of the birth date before the first write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyPatient {
    /// `"where-known"`: where a birth date is known; a Patient that is not found or not shown is no objection.
    #[default]
    WhereKnown,
    /// `"required"`: the EHR must show exactly one Patient.
    Required,
    /// `"off"`: never.
    Off,
}

/// Reads `[patient]`.
pub(super) fn read_patient(section: &Section<'_>) -> Option<(PatientRule, Identity)> {
    let owned = |text: &str| text.to_owned();
    let authority = section.text("authority", "\"NORTH\"").map(owned);
    let kind = section.text("type", "\"MR\"").map(owned);
    let system = section.text("system", "\"urn:oid:1.2.3\"");
    if system.is_some_and(|system| !system.contains(':') || system.contains(char::is_whitespace)) {
        section.fault("system", "is not a URI", "write system = \"urn:oid:1.2.3\" or an https URL");
    }
    if system.is_some() && authority.is_none() && !section.has("authority") {
        section.fault(
            "system",
            "stands without authority, so equal numbers of two authorities would be one patient",
            "write authority = \"NORTH\" (PID-3.4) beside it, or leave system out",
        );
    }
    let merges = [("ehr-moves", OnMerge::EhrMoves), ("republish", OnMerge::Republish)];
    let verify = [
        ("where-known", VerifyPatient::WhereKnown),
        ("required", VerifyPatient::Required),
        ("off", VerifyPatient::Off),
    ];
    let identity = Identity {
        on_merge: section.choice("on_merge", &merges, &[]).unwrap_or_default(),
        verify_patient: section.choice("verify_patient", &verify, &[]).unwrap_or_default(),
        order_authorities: read_authorities(section).unwrap_or_default(),
    };
    let kind = kind.unwrap_or_else(|| PatientRule::default().kind);
    Some((PatientRule { authority, kind, system: system.map(owned) }, identity))
}

fn read_authorities(section: &Section<'_>) -> Option<Vec<String>> {
    const KEY: &str = "order_authorities";
    let value = section.get(KEY)?;
    let read = |item: &str| {
        let good = item.len() <= MAX_AUTHORITY_BYTES && !item.chars().any(char::is_control);
        good.then(|| item.trim().to_owned())
    };
    let texts: Option<Vec<String>> = match value {
        DeValue::Array(items) if items.len() <= MAX_AUTHORITIES => {
            items.iter().map(|item| item.get_ref().as_str().and_then(read)).collect()
        }
        _ => None,
    };
    if texts.is_none() {
        section.fault(
            KEY,
            "is not a list of assigning authorities",
            "write order_authorities = [\"DEXCOM\"], the authorities (CX.4) that orders may bind",
        );
    }
    texts
}
