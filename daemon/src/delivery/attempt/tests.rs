//! Attempts against a server that answers by a table: what it is sent, and what follows from its answers.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{Method, StatusCode, Uri},
};
use serde_json::json;

use super::*;
use crate::{capability::Capability, mode::Ceiling};

const OURS: &str = "urn:uuid:00000000-0000-8000-8000-000000000001";
const NEW: Past = Past { version: 1, ambiguous: false, overtaken: false };
const LATER: Past = Past { version: 2, ambiguous: false, overtaken: false };
const DOUBTFUL: Past = Past { version: 1, ambiguous: true, overtaken: false };

/// Method, start of path and query, status, body. The first line that fits is the answer.
type Line = (&'static str, &'static str, u16, Value);

struct Ehr {
    lines: Vec<Line>,
    asked: Mutex<Vec<(String, String, Value)>>,
}

impl Ehr {
    /// The requests of the Bundles that came, `POST Observation` or `PUT Observation/1`.
    fn sent(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let bundles = asked.iter().filter(|(method, ..)| method == "POST");
        let entries = bundles.flat_map(|(_, _, bundle)| bundle["entry"].as_array().unwrap());
        entries
            .map(|entry| &entry["request"])
            .map(|it| format!("{} {}", it["method"].as_str().unwrap(), it["url"].as_str().unwrap()))
            .collect()
    }
}

async fn answer(State(ehr): State<Arc<Ehr>>, method: Method, uri: Uri, body: Bytes) -> (StatusCode, Vec<u8>) {
    let body = serde_json::from_slice(&body).unwrap_or_default();
    ehr.asked.lock().unwrap().push((method.to_string(), uri.to_string(), body));
    let fits = |line: &&Line| line.0 == method.as_str() && uri.to_string().starts_with(line.1);
    let line = ehr.lines.iter().find(fits).unwrap_or_else(|| panic!("no line for {method} {uri}"));
    (StatusCode::from_u16(line.2).unwrap(), serde_json::to_vec(&line.3).unwrap())
}

async fn against(ceiling: Ceiling, lines: Vec<Line>) -> (Arc<Ehr>, Destination) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let ehr = Arc::new(Ehr { lines, asked: Mutex::default() });
    let app = Router::new().fallback(answer).with_state(Arc::clone(&ehr));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let guide = vec![Way::of(clinical::fhir::projection::Projection::CgmIg)];
    let destination = Destination { base_url, ceiling, ..crate::destination::tests::destination(guide) };
    (ehr, destination)
}

fn observation(value: u32) -> Value {
    json!({
        "resourceType": "Observation",
        "status": "final",
        "identifier": [{ "system": "urn:isthmus:outcome", "value": "ab".repeat(32) }],
        "valueQuantity": { "value": value, "system": "http://unitsofmeasure.org", "code": "mg/dL" },
    })
}

fn provenance() -> Value {
    let identifier = json!({ "system": "urn:isthmus:manifest", "value": "cd".repeat(32) });
    json!({
        "resourceType": "Provenance",
        "entity": [{ "role": "source", "what": { "identifier": identifier } }],
    })
}

/// As a server shows it.
fn shown(mut resource: Value, id: &str) -> Value {
    resource["id"] = id.into();
    resource["meta"] = json!({ "versionId": "3" });
    resource
}

/// Another patient's.
fn foreign() -> Value {
    let mut theirs = shown(observation(90), "9");
    theirs["identifier"][0]["value"] = "ef".repeat(32).into();
    theirs
}

fn found(resources: &[Value]) -> Value {
    let entries: Vec<Value> = resources.iter().map(|resource| json!({ "resource": resource })).collect();
    json!({ "resourceType": "Bundle", "type": "searchset", "entry": entries })
}

fn answered(status: &str, location: Option<&str>) -> Value {
    let mut response = json!({ "status": status, "etag": "W/\"1\"" });
    if let Some(location) = location {
        response["location"] = location.into();
    }
    json!({ "resourceType": "Bundle", "type": "transaction-response", "entry": [{ "response": response }] })
}

fn refused() -> Value {
    json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": "error", "code": "forbidden" }] })
}

fn item(body: Vec<u8>, standing: BTreeMap<String, Standing>, past: Past) -> Item {
    let last_look: LastLook = Box::new(|| Ok(()));
    Item { form: "cgm-ig".to_owned(), body, standing, seat: Seat::default(), past, last_look }
}

fn search(resource: &Value) -> [String; 2] {
    match resource["resourceType"].as_str() {
        Some("Observation") => ["identifier".into(), format!("urn:isthmus:outcome|{}", "ab".repeat(32))],
        _ => ["entity:identifier".into(), format!("urn:isthmus:manifest|{}", "cd".repeat(32))],
    }
}

fn body(resources: &[Value]) -> Vec<u8> {
    let part = |resource: &Value| Part {
        full_url: if resource["resourceType"] == "Observation" {
            OURS
        } else {
            "urn:uuid:22222222-2222-8222-8222-222222222222"
        }
        .to_owned(),
        if_none_exist: Some(search(resource).join("=")),
        search: vec![{
            let [name, value] = search(resource);
            (name, value)
        }],
        resource: resource.clone(),
    };
    serde_json::to_vec(&Write { release: "r4".to_owned(), resources: resources.iter().map(part).collect() })
        .unwrap()
}

fn at(place: &str) -> BTreeMap<String, Standing> {
    let location = Location::parse(place).unwrap();
    [(OURS.to_owned(), Standing { location, etag: Some("W/\"1\"".to_owned()), content_hash: None })].into()
}

/// One attempt to write the value 120 with nothing in the ledger.
async fn tried(past: Past, lines: Vec<Line>) -> (Outcome, Vec<String>) {
    tried_with(past, BTreeMap::new(), lines).await
}

async fn tried_with(
    past: Past,
    standing: BTreeMap<String, Standing>,
    lines: Vec<Line>,
) -> (Outcome, Vec<String>) {
    let (ehr, destination) = against(Ceiling::Full, lines).await;
    let outcome = attempt(&destination, &item(body(&[observation(120)]), standing, past)).await;
    (outcome, ehr.sent())
}

fn places(outcome: &Outcome) -> Vec<&str> {
    outcome.written.iter().map(|written| written.location.as_str()).collect()
}

fn is_not_ours(outcome: &Outcome) -> bool {
    outcome.verdict == Verdict::Conflict(NOT_OURS.to_owned())
}

#[tokio::test]
async fn a_resource_that_a_conditional_create_took_for_ours_is_not_written_over() {
    for location in ["Observation/9", "Patient/9"] {
        for past in [NEW, LATER, DOUBTFUL] {
            let lines = vec![
                ("POST", "/", 200, answered("200 OK", Some(location))),
                ("GET", "/Observation/9", 200, foreign()),
                ("GET", "/Observation?", 200, found(&[foreign()])),
            ];
            let (outcome, sent) = tried(past, lines).await;
            assert!(is_not_ours(&outcome), "{location} {past:?}: {:?}", outcome.verdict);
            assert!(!outcome.doubt && outcome.written.is_empty());
            assert_eq!(sent, ["POST Observation"], "{location} {past:?}");
        }
    }
}

#[tokio::test]
async fn a_resource_at_our_place_that_is_not_ours_is_left_alone() {
    let read = ("GET", "/Observation/9", 200, foreign());
    let (outcome, sent) = tried_with(DOUBTFUL, at("Observation/9"), vec![read.clone()]).await;
    assert!(is_not_ours(&outcome) && sent.is_empty(), "{sent:?}");
    // Not in doubt: the ETag that we know is refused, and then we look.
    let lines = vec![("POST", "/", 412, refused()), read];
    let (outcome, sent) = tried_with(LATER, at("Observation/9"), lines).await;
    assert!(is_not_ours(&outcome));
    assert_eq!(sent, ["PUT Observation/9"]);
}

#[tokio::test]
async fn of_many_that_a_search_found_ours_is_taken() {
    let theirs = found(&[foreign(), shown(observation(120), "1"), refused()]);
    let (outcome, sent) = tried(DOUBTFUL, vec![("GET", "/Observation?", 200, theirs)]).await;
    assert_eq!(outcome.verdict, Verdict::Delivered);
    assert_eq!(places(&outcome), ["Observation/1"]);
    assert!(sent.is_empty() && !outcome.wrote && !outcome.doubt);
}

#[tokio::test]
async fn what_was_overtaken_in_doubt_is_looked_for_and_not_sent_again() {
    let past = Past { overtaken: true, ..DOUBTFUL };
    let theirs = found(&[shown(observation(120), "1")]);
    let (outcome, sent) = tried(past, vec![("GET", "/Observation?", 200, theirs)]).await;
    assert_eq!((outcome.verdict, sent.len()), (Verdict::Delivered, 0));
    let (outcome, sent) = tried(past, vec![("GET", "/Observation?", 200, found(&[]))]).await;
    assert_eq!((outcome.verdict, outcome.doubt, sent.len()), (Verdict::Withheld, false, 0));
    // Where we may not look it is not known, and sent blindly it could stand over what took its place.
    let (outcome, sent) = tried(past, vec![("GET", "/Observation?", 403, refused())]).await;
    assert_eq!((outcome.verdict, outcome.doubt, sent.len()), (Verdict::Overtaken, true, 0));
}

#[tokio::test]
async fn a_provenance_is_known_by_what_it_was_made_from() {
    let mut theirs = shown(provenance(), "5");
    for (identifier, ours) in [("cd", true), ("ef", false)] {
        theirs["entity"][0]["what"]["identifier"]["value"] = identifier.repeat(32).into();
        let lines = vec![
            ("GET", "/Provenance", 200, found(std::slice::from_ref(&theirs))),
            ("POST", "/", 403, refused()),
        ];
        let (ehr, destination) = against(Ceiling::Full, lines).await;
        let outcome = attempt(&destination, &item(body(&[provenance()]), BTreeMap::new(), DOUBTFUL)).await;
        assert_eq!(outcome.verdict == Verdict::Delivered, ours, "{identifier}: {:?}", outcome.verdict);
        assert_eq!(ehr.sent().is_empty(), ours, "{identifier}");
    }
}

#[tokio::test]
async fn what_the_configuration_no_longer_permits_stays_here() {
    let only = |kind: &str| Ceiling::Partial(Capability::named(kind).into_iter().collect());
    let row = body(&[observation(120), provenance()]);
    let lines = vec![("POST", "/", 200, answered("201 Created", Some("Observation/1")))];
    let (ehr, destination) = against(only("Observation"), lines).await;
    let outcome = attempt(&destination, &item(row.clone(), BTreeMap::new(), NEW)).await;
    assert_eq!(
        (outcome.verdict.clone(), ehr.sent()),
        (Verdict::Delivered, vec!["POST Observation".to_owned()])
    );
    assert_eq!(places(&outcome), ["Observation/1"]);
    for past in [NEW, DOUBTFUL] {
        let (ehr, destination) = against(Ceiling::ReadOnly, Vec::new()).await;
        let outcome = attempt(&destination, &item(row.clone(), BTreeMap::new(), past)).await;
        assert_eq!((outcome.verdict, outcome.doubt), (Verdict::Withheld, past.ambiguous));
        assert!(ehr.asked.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn behind_a_200_without_a_location_ours_is_searched_for_and_compared() {
    for (there, wanted) in
        [(120, vec!["POST Observation"]), (100, vec!["POST Observation", "PUT Observation/1"])]
    {
        let lines = vec![
            ("POST", "/", 200, answered("200 OK", None)),
            ("GET", "/Observation?", 200, found(&[shown(observation(there), "1")])),
        ];
        let (outcome, sent) = tried(LATER, lines).await;
        assert_eq!(outcome.verdict, Verdict::Delivered);
        assert_eq!(
            (places(&outcome), sent.iter().map(String::as_str).collect()),
            (vec!["Observation/1"], wanted)
        );
    }
    let lines = vec![
        ("POST", "/", 200, answered("200 OK", None)),
        ("GET", "/Observation?", 200, found(&[foreign()])),
    ];
    let (outcome, sent) = tried(NEW, lines).await;
    assert!(is_not_ours(&outcome));
    assert_eq!(sent, ["POST Observation"]);
}

#[tokio::test]
async fn behind_a_200_that_cannot_be_looked_behind_only_a_first_version_is_taken() {
    for status in [400, 401, 403, 404, 405, 410, 501] {
        let lines =
            vec![("POST", "/", 200, answered("200 OK", None)), ("GET", "/Observation?", status, refused())];
        let (outcome, _) = tried(NEW, lines.clone()).await;
        assert_eq!(
            (outcome.verdict.clone(), places(&outcome)),
            (Verdict::Delivered, vec![]),
            "HTTP {status}"
        );
        let (outcome, sent) = tried(LATER, lines).await;
        assert!(matches!(outcome.verdict, Verdict::Conflict(_)), "HTTP {status}: {:?}", outcome.verdict);
        assert_eq!(sent, ["POST Observation"], "HTTP {status}");
    }
}

#[tokio::test]
async fn our_values_are_put_to_a_place_that_cannot_be_read_unless_they_must_stand_there_already() {
    for status in [403, 404, 405] {
        let lines = vec![
            ("POST", "/", 200, answered("200 OK", Some("Observation/1/_history/1"))),
            ("GET", "/Observation/1", status, refused()),
        ];
        for (past, wanted) in
            [(NEW, vec!["POST Observation"]), (LATER, vec!["POST Observation", "PUT Observation/1"])]
        {
            let (outcome, sent) = tried(past, lines.clone()).await;
            assert_eq!(outcome.verdict, Verdict::Delivered, "HTTP {status} {past:?}");
            assert_eq!(places(&outcome), ["Observation/1"]);
            assert_eq!(sent, wanted, "HTTP {status} {past:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_to_look_leaves_the_doubt_and_an_empty_search_ends_it() {
    let remark = found(&[refused()]);
    let counted = json!({ "resourceType": "Bundle", "type": "searchset", "total": 1 });
    for (status, shown, doubt) in [
        (400, refused(), true),
        (401, refused(), true),
        (403, refused(), true),
        (404, refused(), true),
        (405, refused(), true),
        (501, refused(), true),
        (302, Value::Null, true),
        (200, Value::Null, true),
        (200, refused(), true),
        (200, remark, true),
        (200, counted, true),
        (200, found(&[foreign()]), true),
        (200, found(&[]), false),
    ] {
        let told = format!("HTTP {status} {shown}");
        let lines = vec![("GET", "/Observation?", status, shown), ("POST", "/", 403, refused())];
        let (outcome, sent) = tried(DOUBTFUL, lines).await;
        assert_eq!(outcome.verdict, Verdict::Configuration("HTTP 403: forbidden".to_owned()), "{told}");
        assert_eq!((outcome.doubt, outcome.wrote), (doubt, true), "{told}");
        assert_eq!(sent, ["POST Observation"], "{told}");
    }
}

#[tokio::test]
async fn a_read_proves_absence_by_404_and_410_only() {
    for (status, doubt) in [(404, false), (410, false), (403, true), (405, true), (501, true)] {
        let lines = vec![("GET", "/Observation/1", status, refused()), ("POST", "/", 422, refused())];
        let (outcome, _) = tried_with(DOUBTFUL, at("Observation/1"), lines).await;
        assert_eq!(outcome.doubt, doubt, "HTTP {status}");
    }
}

#[tokio::test]
async fn while_the_destination_cannot_be_asked_nothing_is_sent() {
    for status in [408, 429, 500, 502, 503, 504] {
        let (outcome, sent) = tried(DOUBTFUL, vec![("GET", "/Observation?", status, Value::Null)]).await;
        assert!(matches!(outcome.verdict, Verdict::Ambiguous(_)), "HTTP {status}: {:?}", outcome.verdict);
        assert!(sent.is_empty() && !outcome.wrote);
    }
}

#[tokio::test]
async fn what_was_overtaken_in_doubt_is_set_aside_by_a_refusal_to_look_and_not_by_a_token_that_is_not_accepted()
 {
    let past = Past { overtaken: true, ..DOUBTFUL };
    for (status, wanted) in
        [(401, Verdict::Ambiguous("HTTP 401 when reading back".to_owned())), (403, Verdict::Overtaken)]
    {
        let (outcome, sent) = tried(past, vec![("GET", "/Observation?", status, refused())]).await;
        assert_eq!((outcome.verdict, sent.is_empty()), (wanted, true), "HTTP {status}");
    }
}

#[tokio::test]
async fn what_was_deleted_at_the_destination_is_created_anew_and_does_not_close_the_site() {
    for status in [404, 410] {
        let lines = vec![("POST", "/", status, refused()), ("GET", "/Observation/1", status, refused())];
        let (_, sent) = tried_with(LATER, at("Observation/1"), lines).await;
        assert_eq!(sent, ["PUT Observation/1", "POST Observation"], "HTTP {status}");
    }
    // Nothing was to be updated: the base URL is wrong, or the site takes no such write.
    let (outcome, _) = tried(NEW, vec![("POST", "/", 404, refused())]).await;
    assert!(matches!(outcome.verdict, Verdict::Configuration(_)));
}

#[tokio::test]
async fn a_provenance_taken_for_anothers_is_created_without_the_search_that_the_server_does_not_know() {
    let mut theirs = shown(provenance(), "9");
    theirs["entity"][0]["what"]["identifier"]["value"] = "ef".repeat(32).into();
    let lines = vec![
        ("POST", "/", 200, answered("200 OK", Some("Provenance/9"))),
        ("GET", "/Provenance/9", 200, theirs),
    ];
    let (ehr, destination) = against(Ceiling::Full, lines).await;
    let outcome = attempt(&destination, &item(body(&[provenance()]), BTreeMap::new(), NEW)).await;
    assert!(!matches!(outcome.verdict, Verdict::Defect(_)), "{:?}", outcome.verdict);
    let asked = ehr.asked.lock().unwrap();
    let searches: Vec<bool> = asked
        .iter()
        .filter(|(method, ..)| method == "POST")
        .map(|(_, _, bundle)| bundle["entry"][0]["request"]["ifNoneExist"].is_string())
        .collect();
    assert_eq!(searches, [true, false]);
}

#[tokio::test]
async fn what_may_not_leave_of_one_row_of_a_batch_stays_and_its_neighbours_go() {
    let taken = |id: &str| json!({ "response": { "status": "201 Created", "location": format!("Observation/{id}/_history/1") } });
    let answers =
        json!({ "resourceType": "Bundle", "type": "batch-response", "entry": [taken("1"), taken("2")] });
    let (ehr, destination) = against(Ceiling::Full, vec![("POST", "/", 200, answers)]).await;
    let mut leak = observation(101);
    leak["subject"] = json!({ "display": "a name" });
    let items = [observation(100), leak, observation(102)]
        .map(|resource| item(body(&[resource]), BTreeMap::new(), NEW));
    let outcomes = batch::batch(&destination, &items).await;
    assert!(matches!(outcomes[1].verdict, Verdict::Defect(_)) && !outcomes[1].wrote);
    for at in [0, 2] {
        assert!(matches!(outcomes[at].verdict, Verdict::Delivered), "{:?}", outcomes[at].verdict);
    }
    let asked = ehr.asked.lock().unwrap();
    let values = |bundle: &Value| -> Vec<i64> {
        let entries = bundle["entry"].as_array().unwrap().iter();
        entries.filter_map(|entry| entry["resource"]["valueQuantity"]["value"].as_i64()).collect()
    };
    assert_eq!(asked.iter().map(|(.., bundle)| values(bundle)).collect::<Vec<_>>(), [[100, 102]]);
}

#[tokio::test]
async fn an_empty_page_with_a_further_one_proves_no_absence() {
    let mut page = found(&[]);
    page["link"] = json!([{ "relation": "next", "url": "Observation?page=2" }]);
    let lines = vec![("GET", "/Observation?", 200, page), ("POST", "/", 422, refused())];
    let (outcome, _) = tried(DOUBTFUL, lines).await;
    assert!(outcome.doubt);
}

#[tokio::test]
async fn what_was_recalled_before_its_request_is_not_sent() {
    for past in [NEW, DOUBTFUL] {
        let (ehr, destination) =
            against(Ceiling::Full, vec![("GET", "/Observation?", 200, found(&[]))]).await;
        let mut item = item(body(&[observation(120)]), BTreeMap::new(), past);
        item.last_look = Box::new(|| Err(Verdict::Recalled("withdrawn")));
        let outcome = attempt(&destination, &item).await;
        assert_eq!(
            (outcome.verdict, outcome.wrote, outcome.doubt),
            (Verdict::Recalled("withdrawn"), false, false)
        );
        assert!(ehr.sent().is_empty(), "{past:?}");
        let outcomes = batch::batch(&destination, &[item]).await;
        assert_eq!(outcomes[0].verdict, Verdict::Recalled("withdrawn"));
    }
}

/// A create that cannot be conditional, answered without a place: whether it is found by a search decides.
#[tokio::test]
async fn what_was_created_nobody_says_where_is_in_doubt_until_it_is_found() {
    let plain = clinical::fhir::projection::Projection::PlainR4;
    let mut write: Value = serde_json::from_slice(&body(&[observation(120)])).unwrap();
    write["resources"][0]["if_none_exist"] = Value::Null;
    for (shown, wanted) in [
        (vec![], Verdict::Ambiguous(UNPLACED.to_owned())),
        (vec![shown(observation(120), "7")], Verdict::Delivered),
    ] {
        let lines =
            vec![("POST", "/Observation", 201, Value::Null), ("GET", "/Observation?", 200, found(&shown))];
        let (_, mut destination) = against(Ceiling::Full, lines).await;
        destination.ways = vec![Way::of(plain)];
        let item =
            Item { form: plain.name().to_owned(), ..item(write.to_string().into(), BTreeMap::new(), NEW) };
        let outcome = attempt(&destination, &item).await;
        assert_eq!(outcome.verdict, wanted);
        assert_eq!(places(&outcome).len(), shown.len());
    }
}
