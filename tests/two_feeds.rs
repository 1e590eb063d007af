//! Two feeds, one fact: the same day over MLLP and as FHIR counts once; what differs is flagged to people, corrected by
//! its source, and taken back; summaries that others computed are compared and never written.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use serde_json::{Value, json};
use site::{
    chart, command, condition, eventually,
    files::{DAY, Folder, mean, started, until_settled_files},
    people, send, settled, until_metric,
};
use standin::rig::Rig;

const PATIENTS: &str = "urn:oid:1.2.3";
const OPEN: &str = "isthmus_conflicts_open";

/// The Observation of the `place`-th five minutes of patient 1's day, as another system writes it.
fn observation(place: usize, value: u32, status: &str, updated: u32) -> Value {
    json!({ "resource": {
        "resourceType": "Observation",
        "meta": { "lastUpdated": format!("2026-03-04T00:00:{updated:02}Z") },
        "identifier": [{ "system": "urn:vendor", "value": format!("reading-{place}") }],
        "status": status,
        "code": { "coding": [{ "system": "http://loinc.org", "code": "99504-3" }] },
        "subject": { "identifier": { "system": PATIENTS, "value": people::person(1).mrn } },
        // Its clock is nine seconds off.
        "effectiveDateTime": format!("{DAY}T{:02}:{:02}:09Z", place / 12, place % 12 * 5),
        "valueQuantity": { "value": value, "unit": "mg/dl", "system": "http://unitsofmeasure.org", "code": "mg/dL" },
    }})
}

fn bundle(entries: Vec<Value>) -> String {
    json!({ "resourceType": "Bundle", "type": "collection", "entry": entries }).to_string()
}

fn fhir(values: &[u32]) -> String {
    let entry = |(place, value): (usize, &u32)| observation(place, *value, "final", 0);
    bundle(values.iter().enumerate().map(entry).collect())
}

fn hl7(control_id: &str, values: &[u32]) -> Vec<u8> {
    people::message(control_id, &people::person(1), &people::readings(people::day(DAY), 0, values))
}

/// `isthmus conflicts`.
fn told(rig: &Rig, args: &[&str]) -> String {
    command::ask(rig, &[&["conflicts"], args].concat())
}

/// Drops a file, the `n`th, and waits until all that follows from it is done.
async fn dropped(rig: &Rig, folder: &Folder, n: u64, text: &str) -> Value {
    folder.drop(&format!("{n}.json"), text);
    until_settled_files(rig, n, 0).await;
    settled(rig).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_day_over_mllp_and_as_fhir_is_one_set_of_writes_and_equal_numbers() {
    let values: Vec<u32> = (0..24).map(|n| 60 + n * 9).collect();
    let mut seen = Vec::new();
    for order in ["mllp", "fhir", "mllp then fhir", "fhir then mllp"] {
        let dir = tempfile::tempdir().unwrap();
        let (rig, folder) = started(dir.path(), "").await;
        let mut files = 0;
        for feed in order.split(" then ") {
            if feed == "mllp" {
                send(&rig, &[hl7("DAY", &values)]).await;
                settled(&rig).await;
            } else {
                files += 1;
                dropped(&rig, &folder, files, &fhir(&values)).await;
            }
        }
        let status = settled(&rig).await;
        assert!(condition(&status, "feed-conflict").is_none(), "{order}: {status:#}");
        if order.contains("then") {
            until_metric(&rig, "isthmus_feed_duplicates_total", 24.0).await;
        }
        assert_eq!(mean(&rig, 1), Some(163.5), "{order}");
        seen.push((order, chart::numbers(&rig.ehr), chart::writes(&rig.ehr).len()));
    }
    for (order, numbers, writes) in &seen[1..] {
        assert_eq!((numbers, writes), (&seen[0].1, &seen[0].2), "{order}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_flagged_and_a_correction_and_a_retraction_amend_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, folder) = started(dir.path(), "").await;
    // Ten at 120, one at 240, one at 120.
    let mut values = [120; 12];
    values[3] = 240;
    send(&rig, &[hl7("HOUR", &values)]).await;
    settled(&rig).await;
    assert_eq!(mean(&rig, 1), Some(130.0));

    // FHIR counts: 60 more in one of twelve.
    let mut other = values;
    other[7] = 180;
    let status = dropped(&rig, &folder, 1, &fhir(&other)).await;
    let standing = chart::mean(&rig.ehr, &people::person(1).mrn, DAY).unwrap();
    assert_eq!((standing.value, standing.status.as_str()), (135.0, "amended"));
    assert!(condition(&status, "feed-conflict").is_some(), "{status:#}");
    until_metric(&rig, OPEN, 1.0).await;
    let listed = told(&rig, &["list"]);
    assert!(listed.contains("fhir (message 2) counts, hl7v2 (message 1) does not"), "{listed}");
    assert!(!listed.contains("180") && !listed.contains("SM00000042"), "{listed}");
    let shown = told(&rig, &["show", "1", "--reveal", "asked by the ward"]);
    assert!(shown.contains("180 mg/dL") && shown.contains("120 mg/dL"), "{shown}");

    // Its source corrects it: no contradiction is left.
    let corrected = bundle(vec![observation(7, 120, "corrected", 1)]);
    let status = dropped(&rig, &folder, 2, &corrected).await;
    let standing = chart::mean(&rig.ehr, &people::person(1).mrn, DAY).unwrap();
    assert_eq!((standing.value, standing.status.as_str()), (130.0, "corrected"));
    assert!(condition(&status, "feed-conflict").is_none(), "{status:#}");
    assert!(told(&rig, &["list"]).contains("no feed contradicts another"));
    assert!(told(&rig, &["list", "--all"]).contains("conflict 1 gone"));

    // What is taken back does not count because HL7 v2 carries it too.
    dropped(&rig, &folder, 3, &bundle(vec![observation(3, 240, "entered-in-error", 1)])).await;
    assert_eq!(mean(&rig, 1), Some(120.0));
    assert_eq!(rig.ehr.judge().doubled, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_v2_correction_outranks_fhir_and_what_people_settled_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, folder) = started(dir.path(), "").await;
    dropped(&rig, &folder, 1, &fhir(&[100, 110])).await;
    send(&rig, &[hl7("PLAIN", &[100, 110])]).await;
    settled(&rig).await;
    assert_eq!(mean(&rig, 1), Some(105.0));
    send(&rig, &[people::altered(&hl7("FIXED", &[100, 130]), "|||||F|", "|||||C|")]).await;
    settled(&rig).await;
    assert_eq!(mean(&rig, 1), Some(115.0));
    let listed = told(&rig, &["list"]);
    assert!(listed.contains("hl7v2 (message 3) counts, fhir (message 1) does not"), "{listed}");

    command::refused(&rig, &["conflicts", "settle", "1", "--note", " "]);
    told(&rig, &["settle", "1", "--note", "the ward's own meter was right"]);
    until_metric(&rig, OPEN, 0.0).await;
    // The window is computed again, and finds what was settled.
    send(
        &rig,
        &[people::message("MORE", &people::person(1), &people::readings(people::day(DAY), 20, &[115]))],
    )
    .await;
    settled(&rig).await;
    until_metric(&rig, OPEN, 0.0).await;
    assert_eq!(mean(&rig, 1), Some(115.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_that_came_in_is_compared_and_never_written() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, folder) = started(dir.path(), "").await;
    send(&rig, &[hl7("HOUR", &[120; 12])]).await;
    settled(&rig).await;
    let writes = chart::writes(&rig.ehr).len();
    let summary = |value: &str| {
        let mut entry = observation(0, 0, "final", 0);
        let it = &mut entry["resource"];
        it["code"]["coding"][0]["code"] = "97507-8".into();
        it["effectivePeriod"] = json!({ "start": DAY, "end": DAY });
        it["valueQuantity"]["value"] = serde_json::from_str(value).unwrap();
        it.as_object_mut().unwrap().remove("effectiveDateTime");
        bundle(vec![entry])
    };
    dropped(&rig, &folder, 1, &summary("120.0")).await;
    until_metric(&rig, "isthmus_foreign_summaries_total", 1.0).await;
    until_metric(&rig, OPEN, 0.0).await;
    dropped(&rig, &folder, 2, &summary("99.5")).await;
    until_metric(&rig, OPEN, 1.0).await;
    let listed = told(&rig, &["list"]);
    assert!(listed.contains("97507-8") && listed.contains("what was computed here counts"), "{listed}");
    assert_eq!(chart::writes(&rig.ehr).len(), writes, "nothing of it is written");
    assert_eq!(mean(&rig, 1), Some(120.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_names_its_place_and_a_bare_reference_names_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, folder) = started(dir.path(), "").await;
    let mut broken = observation(1, 100, "final", 0);
    broken["resource"]["valueQuantity"]["code"] = "mg/mL".into();
    let mut nobody = observation(2, 100, "final", 0);
    nobody["resource"]["subject"] = json!({ "reference": "Patient/4711" });
    dropped(&rig, &folder, 1, &bundle(vec![observation(0, 120, "final", 0), broken, nobody])).await;
    assert_eq!(mean(&rig, 1), Some(120.0), "its neighbours cost it nothing");
    eventually("the fault is told with its place", || {
        command::ask(&rig, &["quarantine", "show", "1"])
            .contains("Bundle.entry[1].resource.valueQuantity.code")
    })
    .await;
    let waiting = command::ask(&rig, &["identity", "list"]);
    assert!(waiting.contains("no Patient with one came along") && !waiting.contains("4711"), "{waiting}");
}
