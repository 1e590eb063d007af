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

/// The guide's summary of patient 1's day as another system writes it: six Observations with the numbers of twelve readings
/// of 120 mg/dL, but for its mean; `own` is the system of its identifiers.
fn whole_summary(mean: &str, status: &str, updated: u32, own: &str) -> String {
    let quantity = |value: &str, unit: &str| {
        let value: Value = serde_json::from_str(value).unwrap();
        json!({ "value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit })
    };
    let coded = |code: &str| json!({ "coding": [{ "system": "http://loinc.org", "code": code }] });
    let shares =
        [("104642-4", "0"), ("104641-6", "0"), ("97510-2", "100"), ("104640-8", "0"), ("104639-0", "0")];
    let shares =
        shares.map(|(code, value)| json!({ "code": coded(code), "valueQuantity": quantity(value, "%") }));
    let numbers = [
        ("97507-8", quantity(mean, "mg/dL")),
        ("104638-2", quantity("0", "%")),
        ("104636-6", quantity("1", "d")),
        // Twelve of 288.
        ("104637-4", quantity("4.17", "%")),
        ("106793-3", json!(null)),
    ];
    let entries = numbers.map(|(code, value)| {
        let mut entry = observation(0, 0, status, updated);
        let it = entry["resource"].as_object_mut().unwrap();
        it.remove("effectiveDateTime");
        it.insert("identifier".to_owned(), json!([{ "system": own, "value": format!("summary-{code}") }]));
        it.insert("code".to_owned(), coded(code));
        it.insert("effectivePeriod".to_owned(), json!({ "start": DAY, "end": DAY }));
        if value.is_null() {
            it.remove("valueQuantity");
            it.insert("component".to_owned(), json!(shares));
        } else {
            it.insert("valueQuantity".to_owned(), value);
        }
        entry
    });
    bundle(entries.into())
}

const LEFT: &str = "isthmus_same_summaries_total{destination=\"ehr:main\"}";

/// A site whose file says whether the summaries that come in are in its chart, and its spool.
async fn charted(dir: &std::path::Path, there: bool) -> (Rig, site::files::Folder) {
    let mut rig = site::prepare(dir, site::daily()).await;
    if there {
        site::edit_site(&rig, "mode = \"full\"\n", "mode = \"full\"\nsummaries_in_chart = true\n");
    }
    let folder = site::files::spool(&rig, "");
    rig.start().await.unwrap();
    (rig, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_that_the_site_sent_with_the_same_numbers_keeps_ours_from_being_written_until_it_differs() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, folder) = charted(dir.path(), true).await;
    dropped(&rig, &folder, 1, &whole_summary("120.0", "final", 1, "urn:vendor")).await;
    send(&rig, &[hl7("HOUR", &[120; 12])]).await;
    settled(&rig).await;
    until_metric(&rig, LEFT, 1.0).await;
    let suppressed = "isthmus_broker_decisions_total{decision=\"suppress\",destination=\"ehr:main\"}";
    let other = "isthmus_broker_decisions_total{destination=\"ehr:main\",decision=\"suppress\"}";
    let text = site::metrics(&rig).await;
    assert_eq!(site::metric(&text, suppressed) + site::metric(&text, other), 1.0, "{text}");
    assert_eq!(chart::writes(&rig.ehr).len(), 0, "the site has it");
    until_metric(&rig, OPEN, 0.0).await;

    // Ours changes: it is written whole, and what differs is shown to people.
    let more = people::readings(people::day(DAY), 20, &[180; 12]);
    send(&rig, &[people::message("MORE", &people::person(1), &more)]).await;
    let status = settled(&rig).await;
    let standing = chart::mean(&rig.ehr, &people::person(1).mrn, DAY).unwrap();
    assert_eq!((standing.value, standing.status.as_str(), standing.version), (150.0, "final", 1));
    assert!(condition(&status, "feed-conflict").is_some(), "{status:#}");
    assert!(told(&rig, &["list"]).contains("what was computed here counts"));
    // From then on ours is amended, whatever they say.
    send(
        &rig,
        &[people::altered(
            &people::altered(
                &people::message("LESS", &people::person(1), &more),
                "LESS^CGMHUB",
                "MORE^CGMHUB",
            ),
            "|||||F|",
            "|||||D|",
        )],
    )
    .await;
    settled(&rig).await;
    assert_eq!(mean(&rig, 1), Some(120.0));
    until_metric(&rig, LEFT, 1.0).await;
    assert_eq!(rig.ehr.judge().doubled, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_to_a_summary_is_written_when_that_is_taken_back_or_corrected() {
    for (n, (value, status)) in [("120.0", "entered-in-error"), ("99.5", "corrected")].into_iter().enumerate()
    {
        let dir = tempfile::tempdir().unwrap();
        let (rig, folder) = charted(dir.path(), true).await;
        dropped(&rig, &folder, 1, &whole_summary("120.0", "final", 1, "urn:vendor")).await;
        send(&rig, &[hl7("HOUR", &[120; 12])]).await;
        settled(&rig).await;
        assert_eq!(chart::writes(&rig.ehr).len(), 0);
        dropped(&rig, &folder, 2, &whole_summary(value, status, 2, "urn:vendor")).await;
        assert_eq!(mean(&rig, 1), Some(120.0), "{status}");
        until_metric(&rig, OPEN, n as f64).await;
        assert_eq!(rig.ehr.judge().creates, site::RESOURCES_PER_OUTCOME, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_an_echo_of_ours_nor_a_part_of_the_numbers_nor_a_feed_that_is_not_in_the_chart_holds_ours_back()
 {
    let whole = whole_summary("120.0", "final", 1, "urn:vendor");
    let mut part: Value = serde_json::from_str(&whole).unwrap();
    part["entry"].as_array_mut().unwrap().pop();
    for (what, text, charted_there) in [
        ("an echo", whole_summary("120.0", "final", 1, "urn:isthmus:outcome"), true),
        ("a part", part.to_string(), true),
        ("a feed that is not in the chart", whole, false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (rig, folder) = charted(dir.path(), charted_there).await;
        dropped(&rig, &folder, 1, &text).await;
        send(&rig, &[hl7("HOUR", &[120; 12])]).await;
        settled(&rig).await;
        assert_eq!(mean(&rig, 1), Some(120.0), "{what}");
        until_metric(&rig, LEFT, 0.0).await;
    }
}
