//! The audit log as AuditEvents (R4), read only. An entry's number is its id.
//!
//! Invariants: an entry says the same each time it is read; nothing is in it that is not in the audit log, which holds no
//! patient data but ids of this box; a page costs the same however long the log is.
//!
//! Numbers: a page has at most [`PAGE_MOST`] entries; where a span of time begins and ends is found by some twenty looks.
//!
//! Sources: hl7.org/fhir/R4/auditevent.html; audit-event-type, restful-interaction, DICOM PS3.16 CID 400 (DCM 110100
//! Application Activity, 110110 Patient Record), audit-event-outcome.

use fhir::Kind;
use jiff::Timestamp;
use outbox::{AuditEntry, ReadError, Reader};
use serde_json::{Value, json};

use super::key;

/// Entries of one page.
pub const PAGE_MOST: usize = 1_000;
const EVENT_TYPES: &str = "http://terminology.hl7.org/CodeSystem/audit-event-type";
const INTERACTIONS: &str = "http://hl7.org/fhir/restful-interaction";
const DICOM: &str = "http://dicom.nema.org/resources/ontology/DCM";
/// The canonical URL of our own words for what was done.
pub const ACTION_CODES: &str = "urn:isthmus:CodeSystem:audit-actions";
/// What the actions of the endpoint begin with.
const ENDPOINT: &str = "fhir ";

/// Entries that were made at `range.0` or after and before `range.1` (ms UTC), with a number below `before`: the newest
/// first, at most `limit` and [`PAGE_MOST`].
///
/// # Errors
/// Where the store cannot be read.
pub fn page(
    reader: &Reader,
    range: (Option<i64>, Option<i64>),
    before: Option<i64>,
    limit: usize,
) -> Result<Vec<(i64, AuditEntry)>, ReadError> {
    let first = range.0.map_or(Ok(1), |from| reader.audit_since(from))?;
    let end = range.1.map_or(Ok(i64::MAX), |until| reader.audit_since(until))?;
    let end = before.map_or(end, |before| before.min(end));
    let mut found = reader.audit_before(end, limit.min(PAGE_MOST))?;
    found.retain(|(number, _)| *number >= first);
    Ok(found)
}

/// The entry with this id; `None` for a text that is no number of one.
///
/// # Errors
/// Where the store cannot be read.
pub fn by_id(reader: &Reader, id: &str) -> Result<Option<(i64, AuditEntry)>, ReadError> {
    let number = id.parse::<i64>().ok().filter(|number| number.to_string() == id && *number > 0);
    let Some(number) = number else { return Ok(None) };
    Ok(reader.audit_entry(number)?.map(|entry| (number, entry)))
}

/// An entry as an AuditEvent. `observer` names the box.
pub fn event(number: i64, entry: &AuditEntry, observer: &str) -> Value {
    let (kind, subtype) = types(&entry.action);
    let mut subtypes: Vec<Value> = subtype.into_iter().collect();
    subtypes.push(json!({ "system": ACTION_CODES, "code": told(&entry.action) }));
    let recorded = Timestamp::from_millisecond(entry.at).map(|at| format!("{at:.3}")).unwrap_or_default();
    json!({
        "resourceType": "AuditEvent",
        "id": number.to_string(),
        "meta": { "lastUpdated": recorded },
        "type": kind,
        "subtype": subtypes,
        "action": action(&entry.action),
        "recorded": recorded,
        "outcome": outcome(entry),
        "agent": [{ "who": { "display": told(&entry.actor) }, "requestor": true }],
        "source": { "observer": { "display": told(observer) } },
        "entity": [entity(entry)],
    })
}

/// A text as FHIR takes one: not empty, and without spaces around it or more than one in a row.
fn told(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() { "unknown".to_owned() } else { text }
}

/// `type`, and of what was done at the endpoint the interaction.
fn types(action: &str) -> (Value, Option<Value>) {
    if let Some(what) = interaction(action) {
        let kind = json!({ "system": EVENT_TYPES, "code": "rest", "display": "RESTful Operation" });
        let code = match what {
            "read" | "vread" | "create" | "update" => what,
            "search" => "search-type",
            "history" => "history-instance",
            "capabilities" => what,
            "validate" | "everything" | "outcomes" | "submit-cgm-bundle" => "operation",
            _ => return (kind, None),
        };
        return (kind, Some(json!({ "system": INTERACTIONS, "code": code })));
    }
    let (code, display) = match is_looked_at(action) {
        true => ("110110", "Patient Record"),
        false => ("110100", "Application Activity"),
    };
    (json!({ "system": DICOM, "code": code, "display": display }), None)
}

/// What was asked of the endpoint.
fn interaction(action: &str) -> Option<&str> {
    let what = action.strip_prefix(ENDPOINT)?;
    Some(what.strip_prefix("break-glass ").unwrap_or(what))
}

/// Whether somebody was shown what is kept of a patient.
fn is_looked_at(action: &str) -> bool {
    ["reveal", "revealed", "found", "looked up"].iter().any(|end| action.ends_with(end))
}

/// C, R, U, D or E.
fn action(action: &str) -> &'static str {
    let words = interaction(action).unwrap_or(action);
    let is = |known: &[&str]| words.split(' ').any(|word| known.contains(&word));
    match () {
        () if is(&["create", "entered", "recorded", "granted", "withdrawn"]) => "C",
        () if is(&["read", "vread", "search", "history"]) || is_looked_at(words) => "R",
        () if is(&["update", "changed", "settled", "settle", "confirmed", "cancelled", "held"]) => "U",
        () if is(&["removed", "dropped"]) => "D",
        () => "E",
    }
}

/// By the HTTP status that stands in the detail of what the endpoint was asked for; a refusal is a minor failure.
fn outcome(entry: &AuditEntry) -> &'static str {
    let status = entry.detail.strip_prefix("status ").and_then(|rest| rest.get(..3)?.parse::<u16>().ok());
    match status.filter(|_| entry.action.starts_with(ENDPOINT)) {
        Some(500..) => "8",
        Some(400..) => "4",
        None if entry.action.contains("refused") => "4",
        _ => "0",
    }
}

fn entity(entry: &AuditEntry) -> Value {
    let mut what = json!({ "display": told(&entry.object) });
    if let Some(reference) = entry.object.split(' ').next().filter(|first| is_local(first)) {
        what["reference"] = reference.into();
    }
    let mut json = json!({ "what": what });
    if !entry.detail.trim().is_empty() {
        json["detail"] = json!([{ "type": "detail", "valueString": told(&entry.detail) }]);
    }
    json
}

/// A reference to a resource of this box.
fn is_local(text: &str) -> bool {
    Kind::ALL.into_iter().any(|kind| key::referred(text, kind).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(action: &str, object: &str, detail: &str) -> AuditEntry {
        AuditEntry {
            actor: "fhir viewer ward-app".into(),
            action: action.into(),
            object: object.into(),
            detail: detail.into(),
            at: 1_772_409_600_123,
        }
    }

    #[test]
    fn an_access_says_who_did_what_to_which_resource_and_how_it_ended() {
        let made = event(
            7,
            &entry("fhir read", "Observation/1f-00000001", "status 200; resources 1; request r-1"),
            "box-1",
        );
        let wanted = json!({
            "resourceType": "AuditEvent", "id": "7", "meta": { "lastUpdated": "2026-03-02T00:00:00.123Z" },
            "type": { "system": EVENT_TYPES, "code": "rest", "display": "RESTful Operation" },
            "subtype": [
                { "system": "http://hl7.org/fhir/restful-interaction", "code": "read" },
                { "system": "urn:isthmus:CodeSystem:audit-actions", "code": "fhir read" },
            ],
            "action": "R", "recorded": "2026-03-02T00:00:00.123Z", "outcome": "0",
            "agent": [{ "who": { "display": "fhir viewer ward-app" }, "requestor": true }],
            "source": { "observer": { "display": "box-1" } },
            "entity": [
                {
                    "what": {
                        "reference": "Observation/1f-00000001",
                        "display": "Observation/1f-00000001",
                    },
                    "detail": [{ "type": "detail", "valueString": "status 200; resources 1; request r-1" }],
                },
            ],
        });
        assert_eq!(made, wanted);
    }

    #[test]
    fn every_interaction_of_the_endpoint_is_one_of_the_standard_or_a_bundle_of_them() {
        // http://hl7.org/fhir/restful-interaction.
        for (word, code) in [
            ("read", "read"),
            ("vread", "vread"),
            ("history", "history-instance"),
            ("search", "search-type"),
            ("create", "create"),
            ("update", "update"),
            ("capabilities", "capabilities"),
            ("validate", "operation"),
            ("everything", "operation"),
            ("outcomes", "operation"),
            ("submit-cgm-bundle", "operation"),
        ] {
            let made = event(1, &entry(&format!("fhir {word}"), "", ""), "");
            assert_eq!(made["subtype"][0], json!({ "system": INTERACTIONS, "code": code }), "{word}");
        }
        let bundle = event(1, &entry("fhir bundle", "", ""), "");
        assert_eq!(bundle["subtype"][0]["code"], "fhir bundle", "whether batch or transaction is not kept");
    }

    #[test]
    fn a_page_is_what_was_made_in_a_span_of_time_the_newest_first() {
        use outbox::{Key, Store, StoreOptions};
        let dir = tempfile::tempdir().unwrap();
        let key = Key::from_hex(&"a".repeat(64)).unwrap();
        let store = Store::open(dir.path(), key, StoreOptions::default(), 0).unwrap();
        let entries = [10, 20, 30, 40].map(|at| AuditEntry { at, ..entry("fhir read", "Group", "") });
        store.writer().audit(entries.to_vec()).wait().unwrap();
        let times = |range, before, limit| -> Vec<i64> {
            let read = |reader: &Reader| page(reader, range, before, limit);
            store.readers().with(read).unwrap().into_iter().map(|(_, entry)| entry.at).collect()
        };
        assert_eq!(times((Some(20), Some(40)), None, 9), [30, 20]);
        assert_eq!(times((None, None), None, 2), [40, 30]);
        let (newest, _) = store.readers().with(|reader| page(reader, (None, None), None, 1)).unwrap()[0];
        assert_eq!(times((Some(20), None), Some(newest), 9), [30, 20]);
        let found = store.readers().with(|reader| by_id(reader, &newest.to_string())).unwrap();
        assert_eq!(found.map(|(_, entry)| entry.at), Some(40));
        for id in ["0", "-1", "01", "x", "99"] {
            assert_eq!(store.readers().with(|reader| by_id(reader, id)).unwrap(), None, "{id}");
        }
    }

    #[test]
    fn each_action_has_a_letter_a_type_and_an_end() {
        for (action, detail, letter, kind, outcome) in [
            ("fhir search", "status 200; resources 9", "R", "rest", "0"),
            ("fhir create", "status 201; resources 1", "C", "rest", "0"),
            ("fhir update", "status 412; resources 0", "U", "rest", "4"),
            ("fhir break-glass everything", "status 503", "E", "rest", "8"),
            ("fhir break-glass read", "status 200", "R", "rest", "0"),
            ("fhir refused", "status 401", "E", "rest", "4"),
            ("message revealed", "why", "R", "110110", "0"),
            ("patient looked up", "site main", "R", "110110", "0"),
            ("bytes removed", "", "D", "110100", "0"),
            ("configuration reloaded", "status 500 is no status here", "E", "110100", "0"),
            ("consent default changed", "", "U", "110100", "0"),
            ("intent entered", "", "C", "110100", "0"),
        ] {
            let made = event(1, &entry(action, "", detail), "");
            let said = (made["action"].as_str(), made["type"]["code"].as_str(), made["outcome"].as_str());
            assert_eq!(said, (Some(letter), Some(kind), Some(outcome)), "{action}");
            // FHIR has no empty texts.
            assert!(!made.to_string().contains("\"\""), "{made}");
        }
    }
}
