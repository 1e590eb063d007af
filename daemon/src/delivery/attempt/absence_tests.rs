//! What a search that does not find ours proves, where a create cannot be conditional: nothing too soon, nothing beside a
//! number of the same moment, and else that it goes as new.

use clinical::fhir::projection::Projection;
use serde_json::json;

use super::{tests::*, *};
use crate::pipeline::resources::ABOUT;

/// How a look ended, of what may have been written under no identifier.
#[derive(Debug, PartialEq)]
enum Ends {
    /// It is there.
    There,
    /// It is proved not to be.
    Absent,
    /// Nothing is known.
    Open(&'static str),
}

/// A row of a flowsheet as an EHR has it.
fn entry(value: f64, at: &str, status: &str) -> Value {
    json!({
        "resourceType": "Observation",
        "id": "5",
        "status": status,
        "code": { "coding": [{ "system": "urn:oid:1.2", "code": "8001" }] },
        "subject": { "reference": "Patient/77" },
        "effectiveDateTime": at,
        "valueQuantity": { "value": value, "unit": "%" },
    })
}

/// One look for what may have been written, and what left for the EHR besides.
async fn looked(recent: bool, overtaken: bool, theirs: &[Value]) -> (Ends, usize) {
    let (form, ours) = (Projection::EpicFlowsheet, entry(64.25, "2026-03-15T06:00:00Z", "final"));
    let lines =
        vec![("GET", "/Observation?", 200, found(theirs)), ("POST", "/Observation", 201, Value::Null)];
    let (ehr, mut destination) = against(crate::mode::Ceiling::Full, lines).await;
    destination.ways = vec![Way::of(form)];
    let search = [("patient", ABOUT), ("code", "urn:oid:1.2|8001"), ("date", "2026-03-15T06:00:00Z")];
    let part = Part {
        full_url: OURS.to_owned(),
        resource: ours,
        if_none_exist: None,
        search: search.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    };
    let write = Write { release: "r4".to_owned(), resources: vec![part] };
    let past = Past { ambiguous: true, recent, overtaken, ..LATER };
    let item = Item {
        form: form.name().to_owned(),
        ..item(serde_json::to_vec(&write).unwrap(), BTreeMap::new(), past)
    };
    let outcome = attempt(&destination, &item).await;
    let ends = match outcome.verdict {
        Verdict::Delivered => Ends::There,
        Verdict::Absent | Verdict::Withheld => Ends::Absent,
        Verdict::Overtaken => Ends::Open(NOT_SHOWN),
        Verdict::Ambiguous(cause) if cause == TOO_EARLY => Ends::Open(TOO_EARLY),
        Verdict::Ambiguous(cause) if cause == NOT_SHOWN => Ends::Open(NOT_SHOWN),
        verdict => panic!("{verdict:?}"),
    };
    assert!(!outcome.silent, "it was answered");
    (ends, ehr.writes())
}

#[tokio::test]
async fn what_is_not_found_is_proved_absent_only_after_a_while_and_beside_no_number_of_its_moment() {
    let (at, same, next) = ("2026-03-15T06:00:00Z", "2026-03-15T02:00:00-04:00", "2026-03-16T06:00:00Z");
    for (what, theirs, soon, later) in [
        ("nothing", vec![], Ends::Open(TOO_EARLY), Ends::Absent),
        ("ours", vec![entry(64.25, same, "final")], Ends::There, Ends::There),
        ("another day's", vec![entry(64.25, next, "final")], Ends::Open(TOO_EARLY), Ends::Absent),
        ("rounded", vec![entry(64.3, at, "final")], Ends::Open(NOT_SHOWN), Ends::Open(NOT_SHOWN)),
        ("rounded, its zone", vec![entry(64.3, same, "final")], Ends::Open(NOT_SHOWN), Ends::Open(NOT_SHOWN)),
        ("taken back there", vec![entry(64.3, at, "entered-in-error")], Ends::Open(TOO_EARLY), Ends::Absent),
    ] {
        assert_eq!(looked(true, false, &theirs).await, (soon, 0), "{what}, soon");
        assert_eq!(looked(false, false, &theirs).await, (later, 0), "{what}, later");
    }
}

#[tokio::test]
async fn what_was_overtaken_is_let_go_no_sooner() {
    assert_eq!(looked(true, true, &[]).await, (Ends::Open(TOO_EARLY), 0));
    assert_eq!(looked(false, true, &[]).await, (Ends::Absent, 0));
    let rounded = [entry(64.3, "2026-03-15T06:00:00Z", "final")];
    assert_eq!(looked(false, true, &rounded).await, (Ends::Open(NOT_SHOWN), 0));
}
