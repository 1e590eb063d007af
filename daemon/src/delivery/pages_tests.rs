//! Searches against a server that gives pages: what is on a later one counts, and what cannot be reached is not absent.

use std::sync::{Arc, Mutex};

use axum::{Router, extract::State, http::Uri};
use clinical::fhir::projection::Projection;
use outbox::PatientKey;
use serde_json::json;

use super::*;
use crate::{
    config::Way,
    delivery::ehr_patient::{self, Found},
};

/// Start of path and query with its answer; `{base}` in it is the server's own address. The first line that fits answers.
type Line = (&'static str, Value);

#[derive(Default)]
struct Ehr {
    lines: Vec<Line>,
    base: String,
    asked: Mutex<Vec<String>>,
}

async fn answer(State(ehr): State<Arc<Ehr>>, uri: Uri) -> String {
    ehr.asked.lock().unwrap().push(uri.to_string());
    let line = ehr.lines.iter().find(|line| uri.to_string().starts_with(line.0));
    line.unwrap_or_else(|| panic!("no line for {uri}")).1.to_string().replace("{base}", &ehr.base)
}

async fn against(lines: Vec<Line>) -> (Arc<Ehr>, Destination) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let ehr = Arc::new(Ehr { lines, base: base.clone(), asked: Mutex::default() });
    let app = Router::new().fallback(answer).with_state(Arc::clone(&ehr));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let ways = vec![Way::of(Projection::CgmIg)];
    (ehr, Destination { base_url: base, ..crate::destination::tests::destination(ways) })
}

fn page(resources: &[Value], next: Option<&str>) -> Value {
    let entries: Vec<Value> = resources.iter().map(|resource| json!({ "resource": resource })).collect();
    let link = next.map(|url| json!({ "relation": "next", "url": url }));
    json!({ "resourceType": "Bundle", "entry": entries, "link": Vec::from_iter(link) })
}

fn key() -> PatientKey {
    PatientKey { site: "main".into(), system: "urn:mr".into(), value: "1".into() }
}

fn patient(id: &str) -> Value {
    json!({ "resourceType": "Patient", "id": id, "identifier": [{ "system": "urn:mr", "value": "1" }] })
}

fn one(id: &str) -> Found {
    Found::One { birth: None, reference: Some(format!("Patient/{id}")) }
}

#[test]
fn of_a_resource_nothing_is_held_that_nobody_asks_for() {
    let photographed = json!({ "resourceType": "Patient", "id": "7", "birthDate": "1971-02-03", "photo": [{ "data": "AAAA" }],
        "text": { "div": "<div/>" }, "identifier": [{ "system": "urn:mr", "value": "1" }] });
    let left = json!({ "resourceType": "Patient", "id": "7", "birthDate": "1971-02-03",
        "identifier": [{ "system": "urn:mr", "value": "1" }] });
    assert_eq!(kept(&photographed), left);
    assert_eq!(kept(&Value::Null), json!({}), "an entry without a resource");
}

#[tokio::test]
async fn a_patient_is_looked_for_on_every_page_and_hidden_where_the_last_cannot_be_reached() {
    let (first, second) = ("/Patient?identifier=", "/page?2");
    for (lines, wanted, why) in [
        (vec![(first, page(&[patient("7")], None))], one("7"), "one page"),
        (
            vec![(first, page(&[], Some("{base}/page?2"))), (second, page(&[patient("7")], None))],
            one("7"),
            "an empty page is not the end",
        ),
        (
            vec![(first, page(&[patient("7")], Some("/page?2"))), (second, page(&[patient("8")], None))],
            Found::Several,
            "the other is on the second page",
        ),
        (
            vec![(first, page(&[patient("7")], Some("https://elsewhere.example/page?2")))],
            Found::Hidden,
            "elsewhere",
        ),
        (vec![(first, page(&[patient("7")], Some("{base}0/page?2")))], Found::Hidden, "another port"),
        (
            vec![(first, page(&[], Some("/page?2"))), (second, page(&[], Some("/page?2")))],
            Found::Hidden,
            "no end",
        ),
        (
            vec![
                (first, page(&[patient("7")], Some("/page?2"))),
                (second, json!({"resourceType": "OperationOutcome"})),
            ],
            Found::Hidden,
            "the second page is none",
        ),
    ] {
        let (ehr, destination) = against(lines).await;
        let found = ehr_patient::search(&destination, &key()).await;
        assert!(found.is_ok_and(|found| found == wanted), "{why}");
        assert!(ehr.asked.lock().unwrap().len() <= PAGES_MOST, "{why}");
    }
}

fn encounter(id: &str, status: &str, start: &str) -> Value {
    json!({ "resourceType": "Encounter", "id": id, "status": status, "period": { "start": start },
        "subject": { "reference": "Patient/7" } })
}

#[tokio::test]
async fn an_encounter_in_progress_is_found_on_whichever_page_and_a_past_one_where_there_is_none() {
    let now: jiff::Timestamp = "2026-03-05T12:00:00Z".parse().unwrap();
    let (open, all) = ("/Encounter?patient=7&status=in-progress", "/Encounter?patient=7&_count");
    let past = [encounter("old", "finished", "2026-03-01T00:00:00Z")];
    let present = [encounter("open", "in-progress", "2026-02-01T00:00:00Z")];
    let nothing = || page(&[], None);
    let refused = || json!({ "resourceType": "OperationOutcome" });
    for (lines, wanted) in [
        (vec![(open, page(&[], Some("/page?2"))), ("/page?2", page(&present, None))], Some("Encounter/open")),
        (vec![(open, nothing()), (all, page(&past, None))], Some("Encounter/old")),
        // The server does not know the parameter, or what it means.
        (
            vec![(open, refused()), (all, page(&past, Some("/page?2"))), ("/page?2", page(&present, None))],
            Some("Encounter/open"),
        ),
        (vec![(open, page(&past, None)), (all, page(&past, None))], Some("Encounter/old")),
        (vec![(open, nothing()), (all, page(&past, Some("https://elsewhere.example/")))], None),
        (vec![(open, nothing()), (all, nothing())], None),
    ] {
        let (ehr, destination) = against(lines).await;
        let found = ehr_patient::encounter(&destination, "Patient/7", now).await;
        let asked = ehr.asked.lock().unwrap().clone();
        assert!(found.is_ok_and(|found| found.as_deref() == wanted), "{wanted:?} {asked:?}");
    }
}
