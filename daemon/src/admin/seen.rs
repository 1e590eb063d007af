//! What of a resource is seen by whoever may look at the queue, without asking for patient data by name and reason. Pure.
//!
//! Invariant: a list of what may be seen, and not of what may not: an element that nobody thought of is masked. Names, words
//! of people, references to people, addresses and contained resources are on no list.

use clinical::fhir::projection::Projection;
use serde_json::{Value, json};

/// What stands in the place of what is not seen.
pub(super) const MASKED: &str = "(masked; --reveal --reason TEXT shows it)";

/// Of any resource, also of what people want written: what it is, and when.
const OF_ALL: [&str; 17] = [
    "resourceType",
    "status",
    "docStatus",
    "lifecycleStatus",
    "code",
    "category",
    "date",
    "effectiveDateTime",
    "effectivePeriod",
    "effectiveInstant",
    "issued",
    "recorded",
    "occurredDateTime",
    "occurredPeriod",
    "period",
    "startDate",
    "statusDate",
];
/// Of outcomes, which the box computes, their numbers too, and how they hang together under identifiers of our own.
const OF_OUTCOMES: [&str; 16] = [
    "identifier",
    "type",
    "valueQuantity",
    "valueDateTime",
    "valueInteger",
    "valueCodeableConcept",
    "unit",
    "component",
    "interpretation",
    "referenceRange",
    "dataAbsentReason",
    "hasMember",
    "derivedFrom",
    "result",
    "target",
    "activity",
];

/// A resource of a row in this form as it may be seen by anybody at the queue.
pub(super) fn masked(resource: Value, form: &str) -> Value {
    let Value::Object(fields) = resource else { return MASKED.into() };
    let is_outcome = form != Projection::Intent.name();
    let is_seen = |name: &str| OF_ALL.contains(&name) || (is_outcome && OF_OUTCOMES.contains(&name));
    let shown = fields.into_iter().map(|(name, value)| match is_seen(&name) {
        true => (name, value),
        false => (name, json!(MASKED)),
    });
    Value::Object(shown.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_and_the_names_of_a_note_are_masked_and_what_it_is_is_seen() {
        let note = json!({
            "resourceType": "DocumentReference", "status": "current", "docStatus": "preliminary",
            "subject": {"identifier": {"value": "4711"}}, "date": "2026-03-02T00:00:00Z",
            "type": {"text": "SECRET"}, "author": [{"display": "Dr. SECRET"}],
            "content": [{"attachment": {"data": "U0VDUkVU"}}], "description": "SECRET", "x-new": "SECRET",
        });
        let seen = masked(note, "intent");
        let text = seen.to_string();
        for hidden in ["SECRET", "U0VDUkVU", "4711"] {
            assert!(!text.contains(hidden), "{text}");
        }
        assert_eq!(
            (&seen["resourceType"], &seen["status"]),
            (&"DocumentReference".into(), &"current".into())
        );
        assert_eq!(seen["date"], "2026-03-02T00:00:00Z");
        assert_eq!(seen["content"], MASKED);
        let goal = json!({"resourceType": "Goal", "description": {"text": "SECRET"}, "target": [{"detail": "SECRET"}]});
        assert!(!masked(goal, "intent").to_string().contains("SECRET"));
    }

    #[test]
    fn the_numbers_of_an_outcome_are_seen_and_whom_it_names_is_not() {
        let outcome = json!({
            "resourceType": "Observation", "status": "final", "code": {"coding": [{"code": "97507-8"}]},
            "valueQuantity": {"value": 120}, "subject": {"reference": "Patient/4711"},
            "encounter": {"reference": "Encounter/4711"}, "performer": [{"display": "4711"}],
            "contained": [{"resourceType": "Patient", "id": "4711"}], "note": [{"text": "4711"}],
        });
        let seen = masked(outcome, "plain-r4");
        assert!(!seen.to_string().contains("4711"), "{seen}");
        assert_eq!(seen["valueQuantity"]["value"], 120);
        // Who wanted a withdrawal goes in a Provenance beside the outcomes.
        let provenance = json!({
            "resourceType": "Provenance", "recorded": "2026-03-02T00:00:00Z", "reason": [{"text": "4711"}],
            "agent": [{"who": {"display": "Dr. 4711"}}], "entity": [{"what": {"display": "4711"}}],
        });
        let seen = masked(provenance, "cgm-ig");
        assert!(!seen.to_string().contains("4711"), "{seen}");
        assert_eq!(masked(json!("4711"), "plain-r4"), MASKED);
    }
}
