//! The reader of FHIR Observations: each one is a reading, a fault or counted; the order of resources changes nothing.

use std::sync::OnceLock;

use clinical::{
    identity::PatientRule,
    normalize::{
        clock::Zone,
        fhir::{Context, Normalized, holds_observation, normalize},
    },
};
use serde_json::Value;

/// Any bytes as a document.
pub fn judge(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _either = holds_observation(&text);
    let Some(seen) = read(&text) else { return };
    for fault in &seen.faults {
        let plain = |c: char| c.is_ascii_alphanumeric() || "[].".contains(c);
        assert!(fault.place.chars().all(plain), "a place holds more than a path");
    }
    let Some(resources) = resources(&text) else { return };
    let is = |kind: &'static str| move |resource: &&Value| resource["resourceType"] == kind;
    let told: usize = seen
        .groups
        .iter()
        .map(|group| {
            group.readings.len()
                + (group.kept_apart + group.preliminary) as usize
                + usize::from(!group.summaries.is_empty())
        })
        .sum();
    let beside =
        resources.iter().filter(is("Patient")).count() + resources.iter().filter(is("Device")).count();
    let all = told + seen.faults.len() + seen.ignored as usize + beside;
    let summaries: usize = seen.groups.iter().map(|group| group.summaries.len()).sum();
    assert!(
        summaries > 0 || all == resources.len() || panels(&resources),
        "{all} of {} told of",
        resources.len()
    );
    // Of two Patients with one address the first counts.
    if beside == 0 && text.trim_start().starts_with('{') && !text.contains("\"Bundle\"") {
        let reversed: Vec<String> = resources.iter().rev().map(Value::to_string).collect();
        let back = read(&reversed.join("\n")).map(|back| readings(&back));
        assert_eq!(back, Some(readings(&seen)), "the order changes what is read");
    }
}

/// Whether a resource may be a summary without a number, which is told of nowhere.
fn panels(resources: &[Value]) -> bool {
    resources.iter().any(|it| !it["effectivePeriod"].is_null())
}

fn readings(seen: &Normalized) -> Vec<String> {
    let mut all: Vec<String> =
        seen.groups.iter().flat_map(|group| group.readings.iter().map(|it| format!("{it:?}"))).collect();
    all.sort();
    all
}

fn read(text: &str) -> Option<Normalized> {
    static ZONE: OnceLock<Zone> = OnceLock::new();
    let zone = ZONE.get_or_init(|| Zone::named("America/New_York").expect("a zone of the database"));
    let patient = PatientRule { system: Some("urn:p".to_owned()), ..PatientRule::default() };
    normalize(text, &Context { zone, patient: &patient, message_id: 1 }).ok()
}

/// The resources of a document, read plainly; `None` for one that is not whole JSON of objects.
fn resources(text: &str) -> Option<Vec<Value>> {
    let text = text.trim_start_matches('\u{feff}');
    let all: Vec<Value> =
        serde_json::Deserializer::from_str(text).into_iter::<Value>().collect::<Result<_, _>>().ok()?;
    // Of two members of one name, JSON readers differ in which counts.
    if all.iter().any(|it| !it.is_object()) || text.matches("\"entry\"").count() > 1 {
        return None;
    }
    match all.as_slice() {
        [one] if one["resourceType"] == "Bundle" => {
            let entries = one["entry"].as_array().cloned().unwrap_or_default();
            Some(entries.iter().map(|entry| entry["resource"].clone()).collect())
        }
        [first, ..] if first["resourceType"] == "Bundle" => None,
        _ => Some(all),
    }
}
