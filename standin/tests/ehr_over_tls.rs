//! The stand-in EHR as a client sees it: real sockets, real mutual TLS, HTTP/1.1 written by hand.

#![expect(clippy::unwrap_used, reason = "what surprises a test fails it, in its own functions too")]

mod wire;

use serde_json::{Value, json};
use standin::{Ehr, EhrSettings, Pki, Play, Upstream};
use tokio::net::TcpStream;
use wire::call;

struct Room {
    pki: Pki,
    ehr: Ehr,
    _dir: tempfile::TempDir,
}

async fn room() -> Room {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::create(dir.path()).unwrap();
    let ehr = Ehr::start(EhrSettings::ehr(&pki)).await.unwrap();
    Room { pki, ehr, _dir: dir }
}

impl Room {
    async fn call(&self, head: &str, body: &Value) -> Option<(u16, String, Value)> {
        let client = Some(&self.pki.client);
        call(self.ehr.addr(), &self.pki.ca, client, head, &body.to_string()).await.unwrap()
    }

    async fn transaction(&self, entries: Vec<Value>) -> (u16, Value) {
        let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
        let (status, _, body) = self.call("POST /fhir HTTP/1.1", &bundle).await.unwrap();
        (status, body)
    }
}

fn observation(value: &str) -> Value {
    json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"},
        "identifier": [{"system": "urn:s", "value": value}],
        "subject": {"identifier": {"system": "urn:p", "value": "77"}}})
}

fn entry(full_url: &str, value: &str) -> Value {
    json!({"fullUrl": full_url, "resource": observation(value),
        "request": {"method": "POST", "url": "Observation", "ifNoneExist": format!("identifier=urn:s|{value}")}})
}

#[tokio::test]
async fn a_conditional_create_is_201_the_first_time_and_200_the_second() {
    let room = room().await;
    let head = "POST /fhir/Observation HTTP/1.1\r\nIf-None-Exist: identifier=urn:s|1";
    let (status, headers, created) = room.call(head, &observation("1")).await.unwrap();
    assert_eq!(status, 201);
    assert!(headers.contains("etag: w/\"1\""), "{headers}");
    let id = created["id"].as_str().unwrap();
    let location = format!("location: {}/observation/{id}/_history/1", room.ehr.base_url());
    assert!(headers.contains(&location), "{headers}");
    assert_eq!(room.call(head, &observation("1")).await.unwrap().0, 200);
    let judgement = room.ehr.judge();
    assert_eq!((judgement.creates, judgement.conditional_hits, judgement.doubled), (1, 1, 0));
}

#[tokio::test]
async fn a_transaction_answers_201_with_locations_then_200_with_the_same_ones() {
    let room = room().await;
    let mut panel = entry("urn:uuid:panel", "panel");
    panel["resource"]["hasMember"] = json!([{"reference": "urn:uuid:member"}]);
    let entries = vec![panel, entry("urn:uuid:member", "member")];
    let (status, first) = room.transaction(entries.clone()).await;
    assert_eq!((status, &first["type"]), (200, &json!("transaction-response")));
    let (_, second) = room.transaction(entries).await;
    for i in 0..2 {
        assert_eq!(first["entry"][i]["response"]["status"], "201 Created");
        assert_eq!(second["entry"][i]["response"]["status"], "200 OK");
        assert_eq!(first["entry"][i]["response"]["location"], second["entry"][i]["response"]["location"]);
        assert_eq!(second["entry"][i]["response"]["etag"], "W/\"1\"");
    }
    let member = first["entry"][1]["response"]["location"].as_str().unwrap();
    let panel = room.ehr.resources().into_iter().find(|r| r["hasMember"].is_array()).unwrap();
    let reference = panel["hasMember"][0]["reference"].as_str().unwrap();
    assert_eq!(format!("{reference}/_history/1"), member);
}

#[tokio::test]
async fn a_transaction_with_one_bad_entry_leaves_nothing() {
    let room = room().await;
    let mut bad = entry("urn:uuid:bad", "bad");
    bad["request"] = json!({"method": "PUT", "url": "Observation/unknown"});
    bad["resource"]["id"] = json!("unknown");
    let (status, body) = room.transaction(vec![entry("urn:uuid:good", "good"), bad]).await;
    assert_eq!((status, &body["resourceType"]), (404, &json!("OperationOutcome")));
    assert!(room.ehr.resources().is_empty());
}

#[tokio::test]
async fn an_update_with_a_stale_tag_is_412_and_with_the_standing_one_a_new_version() {
    let room = room().await;
    let (_, body) = room.transaction(vec![entry("urn:uuid:a", "1")]).await;
    let location = body["entry"][0]["response"]["location"].as_str().unwrap();
    let id = location.split('/').nth(1).unwrap();
    let mut amended = observation("1");
    amended["id"] = json!(id);
    amended["status"] = json!("amended");
    let put = |tag: &str| format!("PUT /fhir/Observation/{id} HTTP/1.1\r\nIf-Match: W/\"{tag}\"");
    assert_eq!(room.call(&put("1"), &amended).await.unwrap().0, 200);
    assert_eq!(room.call(&put("1"), &amended).await.unwrap().0, 412);
    assert_eq!(room.call(&put("2"), &amended).await.unwrap().0, 200);
    let judgement = room.ehr.judge();
    assert_eq!((judgement.updates, judgement.doubled), (2, 1), "the third put said nothing new");
}

#[tokio::test]
async fn a_client_without_a_certificate_or_with_one_of_another_ca_gets_no_answer() {
    let room = room().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = Pki::create(elsewhere.path()).unwrap();
    for client in [None, Some(&stranger.client)] {
        let got = call(room.ehr.addr(), &room.pki.ca, client, "GET /fhir/metadata HTTP/1.1", "").await;
        assert!(!matches!(got, Ok(Some(_))), "{got:?}");
    }
    assert!(room.ehr.log().records().is_empty());
    let another = room.pki.issue_client("another").unwrap();
    let got = call(room.ehr.addr(), &room.pki.ca, Some(&another), "GET /fhir/metadata HTTP/1.1", "").await;
    assert_eq!(got.unwrap().unwrap().0, 200);
}

#[tokio::test]
async fn the_script_changes_while_the_server_runs() {
    let room = room().await;
    let head = "POST /fhir/Observation HTTP/1.1\r\nIf-None-Exist: identifier=urn:s|1";
    room.ehr.play(Play::RefuseWrites);
    assert_eq!(room.call(head, &observation("1")).await.unwrap().0, 403);
    room.ehr.play(Play::Accept);
    room.ehr.play_next(Play::ResetAfterBody, 1);
    assert!(room.call(head, &observation("1")).await.is_none());
    assert_eq!(room.call(head, &observation("1")).await.unwrap().0, 200);
    let log = room.ehr.log();
    let told: Vec<_> = log.records().iter().map(|record| (record.play, record.status)).collect();
    assert_eq!(told, [("refuse-writes", Some(403)), ("reset-after-body", None), ("accept", Some(200))]);
    let mut lines = Vec::new();
    log.write_json_lines(&mut lines).unwrap();
    let parsed: Vec<Value> =
        String::from_utf8(lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(parsed.len(), 3);
    assert_eq!(parsed[1]["effects"][0]["kind"], "created");
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_a_stopped_server_answers_nobody_until_it_listens_again() {
    let mut room = room().await;
    // Announced, never sent: the refusal comes before the body.
    let head = format!("POST /fhir HTTP/1.1\r\nContent-Length: {}", standin::ehr::BODY_MAX + 1);
    let got = call(room.ehr.addr(), &room.pki.ca, Some(&room.pki.client), &head, "").await;
    assert_eq!(got.unwrap().unwrap().0, 413);
    room.ehr.stop();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while TcpStream::connect(room.ehr.addr()).await.is_ok() {
        assert!(std::time::Instant::now() < until, "still listening");
        tokio::task::yield_now().await;
    }
    room.ehr.listen_again().await.unwrap();
    assert_eq!(room.call("GET /fhir/metadata HTTP/1.1", &Value::Null).await.unwrap().0, 200);
    let records = room.ehr.log().records().len();
    assert_eq!(records, 1, "the body that was too long never reached the exchange");
}

#[tokio::test]
async fn an_upstream_takes_results_and_no_patients() {
    let room = room().await;
    let upstream = Upstream::start(EhrSettings::upstream(&room.pki)).await.unwrap();
    let patient = json!({"resourceType": "Patient"}).to_string();
    let send = async |head: &str, body: &str| {
        let client = Some(&room.pki.client);
        call(upstream.addr(), &room.pki.ca, client, head, body).await.unwrap().unwrap().0
    };
    assert_eq!(send("POST /fhir/Patient HTTP/1.1", &patient).await, 403);
    assert_eq!(send("POST /fhir/Observation HTTP/1.1", &observation("1").to_string()).await, 201);
}
