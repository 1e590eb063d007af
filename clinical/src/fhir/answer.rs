//! What a server answered to a Bundle or a single create.
//!
//! Invariants: any bytes give an answer and none a panic; entry `i` of the answer is about entry `i` of
//! the request, for a transaction-response keeps the order (R4, http: transaction response); what is
//! missing is `None`, and whether that means delivered is for the verdict to say, not for the reader.

use std::fmt;

use serde_json::Value;

use super::{
    issue::{OperationOutcome, text},
    location::MAX_LOCATION_BYTES,
};

/// Largest body that is read. Our requests have eight entries; a server that returns each in full, with
/// narratives, stays under 200 kB.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// Most entries that are read: far more than we send.
pub const MAX_ENTRIES: usize = 256;
/// Longest ETag that is kept; a longer one is as good as none.
pub const MAX_ETAG_BYTES: usize = 256;

/// What a body was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No body, as some servers answer a create.
    Empty,
    /// No JSON object, or more than [`MAX_BODY_BYTES`].
    Unreadable,
    /// A Bundle: one item per entry, in order; empty where the Bundle had no entries.
    Entries(Vec<EntryAnswer>),
    /// One OperationOutcome for the whole request.
    Outcome(OperationOutcome),
    /// Another resource: what a plain create returns.
    Resource,
}

/// The answer to one entry.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EntryAnswer {
    /// HTTP status, 100 to 599; `None` where none can be read.
    pub status: Option<u16>,
    /// Where the resource is, as stated; read it with [`super::location::Location::parse`].
    pub location: Option<String>,
    /// Its ETag, as stated.
    pub etag: Option<String>,
    /// What the server had to say.
    pub outcome: Option<OperationOutcome>,
}

impl fmt::Debug for EntryAnswer {
    /// Without the location and the ETag: a server's ids may be made of anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryAnswer")
            .field("status", &self.status)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// Reads a body.
pub fn read(body: &[u8]) -> Answer {
    if body.len() > MAX_BODY_BYTES {
        return Answer::Unreadable;
    }
    if body.trim_ascii().is_empty() {
        return Answer::Empty;
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(json) => of(&json),
        Err(_) => Answer::Unreadable,
    }
}

/// Reads a body that is JSON already.
pub fn of(json: &Value) -> Answer {
    match json.get("resourceType").and_then(Value::as_str) {
        Some("Bundle") => Answer::Entries(entries(json)),
        Some("OperationOutcome") => Answer::Outcome(OperationOutcome::read(json).unwrap_or_default()),
        Some(_) => Answer::Resource,
        None => Answer::Unreadable,
    }
}

fn entries(bundle: &Value) -> Vec<EntryAnswer> {
    bundle["entry"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .take(MAX_ENTRIES)
        .map(entry)
        .collect()
}

fn entry(json: &Value) -> EntryAnswer {
    let response = &json["response"];
    let bounded = |value: &Value, most: usize| {
        let text = value.as_str()?.trim();
        (!text.is_empty() && text.len() <= most).then(|| text.to_owned())
    };
    EntryAnswer {
        status: status(&response["status"]),
        location: bounded(&response["location"], MAX_LOCATION_BYTES),
        etag: bounded(&response["etag"], MAX_ETAG_BYTES),
        // `response.outcome` by the standard; some servers put it where the resource goes.
        outcome: OperationOutcome::read(&response["outcome"])
            .or_else(|| OperationOutcome::read(&json["resource"])),
    }
}

/// `201 Created`, `201`, ` 201`, or the number 201.
fn status(json: &Value) -> Option<u16> {
    let written = if json.is_number() { json.to_string() } else { text(json) };
    let code: u16 = written.split_whitespace().next()?.parse().ok()?;
    (100..=599).contains(&code).then_some(code)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::fhir::{issue::names_patient, location::Location, readback::same_content};

    fn entries_of(json: Value) -> Vec<EntryAnswer> {
        match read(json.to_string().as_bytes()) {
            Answer::Entries(entries) => entries,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_spelling_of_a_status_is_read() {
        let table = [
            (json!("201 Created"), Some(201)),
            (json!("201"), Some(201)),
            (json!(" 412 Precondition Failed "), Some(412)),
            (json!(200), Some(200)),
            (json!("Created"), None),
            (json!("99"), None),
            (json!("600"), None),
            (json!("70000"), None),
            (json!(-201), None),
            (json!(null), None),
        ];
        for (status, expected) in table {
            let bundle = json!({ "resourceType": "Bundle", "entry": [{ "response": { "status": status } }] });
            assert_eq!(entries_of(bundle)[0].status, expected, "{status}");
        }
    }

    #[test]
    fn locations_etags_and_outcomes_are_kept_in_order() {
        let outcome = json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": "error", "code": "forbidden" }] });
        let read = entries_of(json!({ "resourceType": "Bundle", "type": "transaction-response", "entry": [
            { "response": { "status": "201 Created", "location": "https://e/fhir/Observation/1/_history/1", "etag": "W/\"1\"" } },
            { "response": { "status": "403", "outcome": outcome } },
            { "resource": outcome, "response": { "status": "403" } },
            {},
            7,
        ] }));
        assert_eq!(read.len(), 5);
        let location = Location::parse(read[0].location.as_deref().unwrap()).unwrap();
        assert_eq!(location.reference(), "Observation/1");
        assert_eq!(read[0].etag.as_deref(), Some("W/\"1\""));
        for refused in &read[1..3] {
            assert_eq!(refused.outcome.as_ref().unwrap().issues[0].code, "forbidden");
        }
        assert_eq!(read[3], EntryAnswer::default());
        assert_eq!(read[4], EntryAnswer::default());
    }

    #[test]
    fn bodies_that_are_no_bundle_say_what_they_are() {
        assert_eq!(read(b""), Answer::Empty);
        assert_eq!(read(b" \r\n"), Answer::Empty);
        assert_eq!(read(b"<html>"), Answer::Unreadable);
        assert_eq!(read(b"[]"), Answer::Unreadable);
        assert_eq!(read(b"\xff\xfe"), Answer::Unreadable);
        assert_eq!(read(br#"{"resourceType":"Bundle"}"#), Answer::Entries(vec![]));
        assert_eq!(read(br#"{"resourceType":"Bundle","entry":{}}"#), Answer::Entries(vec![]));
        assert_eq!(read(br#"{"resourceType":"Observation"}"#), Answer::Resource);
        assert!(matches!(read(br#"{"resourceType":"OperationOutcome"}"#), Answer::Outcome(_)));
    }

    #[test]
    fn size_is_bounded() {
        assert_eq!(read(&vec![b' '; MAX_BODY_BYTES + 1]), Answer::Unreadable);
        assert_eq!(read("[".repeat(100_000).as_bytes()), Answer::Unreadable);
        let many = json!({ "resourceType": "Bundle", "entry": vec![json!({}); MAX_ENTRIES + 1] });
        assert_eq!(entries_of(many).len(), MAX_ENTRIES);
        let long = "x".repeat(MAX_LOCATION_BYTES + 1);
        let bundle = json!({ "resourceType": "Bundle", "entry": [{ "response": { "location": long, "etag": long } }] });
        assert_eq!(entries_of(bundle)[0], EntryAnswer::default());
    }

    /// JSON with the names that the readers look for, and any values behind them.
    fn any_json() -> impl Strategy<Value = Value> {
        let names = prop_oneof![
            Just("resourceType"),
            Just("entry"),
            Just("response"),
            Just("status"),
            Just("location"),
            Just("etag"),
            Just("outcome"),
            Just("resource"),
            Just("issue"),
            Just("severity"),
            Just("code"),
            Just("details"),
            Just("coding"),
            Just("text"),
            Just("diagnostics"),
            Just("expression"),
            Just("identifier"),
            Just("component"),
            Just("valueQuantity"),
            Just("value"),
        ];
        let words = prop_oneof![
            Just("Bundle".to_owned()),
            Just("OperationOutcome".to_owned()),
            Just("Observation".to_owned()),
            Just("201 Created".to_owned()),
            Just("error".to_owned()),
            ".{0,20}",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            words.prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 48, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map(names.clone(), inner, 0..6).prop_map(|fields| {
                    fields
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect::<serde_json::Map<_, _>>()
                        .into()
                }),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_json_makes_a_reader_panic(json in any_json(), other in any_json(), kind in "Bundle|OperationOutcome") {
            let mut typed = json.clone();
            if let Value::Object(fields) = &mut typed {
                fields.insert("resourceType".into(), kind.into());
            }
            for json in [&json, &typed] {
                let answer = read(json.to_string().as_bytes());
                if let Answer::Entries(entries) = &answer {
                    prop_assert!(entries.iter().all(|e| e.status.is_none_or(|s| (100..600).contains(&s))));
                }
                if let Answer::Outcome(outcome) = &answer {
                    names_patient(outcome, "x");
                }
                same_content(json, &other);
            }
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            read(&bytes);
        }
    }
}
