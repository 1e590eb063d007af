//! Clients of the FHIR endpoint that break off, lie about lengths, ask twice at once, or speak another HTTP: each is answered
//! or ended in its time, nothing of half a request is kept, and nobody else notices. What is slow is in `tests/gate.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use serde_json::{Value, json};
use site::{
    PATIENCE,
    feed::{alone, talk},
};
use standin::rig::{FhirRig, Rig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const NONE: &str = "/fhir/Observation/none";
/// Ids of requests, in a form that is taken.
const IDS: [&str; 3] = [
    "a0000000-0000-4000-8000-000000000000",
    "b0000000-0000-4000-8000-000000000000",
    "c0000000-0000-4000-8000-000000000000",
];

async fn started() -> (tempfile::TempDir, Rig) {
    let extra = "max_body_bytes = 65536\nbody_timeout = \"2s\"\n".to_owned();
    let fhir = FhirRig { extra, ..FhirRig::default() };
    alone(fhir).await
}

fn device(serial: &str) -> String {
    json!({ "resourceType": "Device", "status": "active", "serialNumber": serial }).to_string()
}

fn post(lines: &str) -> String {
    format!(
        "POST /fhir/Device HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\n{lines}\r\n"
    )
}

async fn devices(rig: &Rig) -> Value {
    talk(rig).await.get("/fhir/Device?_summary=count").await.json()["total"].clone()
}

/// In one chunk.
fn chunked(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_cut_or_never_ends_leaves_nothing_behind() {
    let (_dir, rig) = started().await;
    let body = device("cut");
    // Whole JSON, one byte less than was announced, and the end of the connection.
    for sent in [&body[..], &body[..body.len() / 2], ""] {
        let mut talk = talk(&rig).await;
        talk.send((post(&format!("Content-Length: {}\r\n", body.len() + 1)) + sent).as_bytes()).await;
        talk.0.shutdown().await.unwrap();
        // A refusal may come, and nothing else.
        assert!(talk.reply().await.is_none_or(|told| told.status == 400));
    }
    let mut cut = talk(&rig).await;
    cut.send((post("Transfer-Encoding: chunked\r\n") + "10\r\n" + &body[..8]).as_bytes()).await;
    cut.0.shutdown().await.unwrap();
    assert!(cut.reply().await.is_none_or(|told| told.status == 400));
    drop(cut);
    // One that stays, and sends no more.
    let mut waiting = talk(&rig).await;
    waiting.send((post("Content-Length: 100\r\n") + "{").as_bytes()).await;
    let told = waiting.reply().await.unwrap();
    assert_eq!(
        (told.status, told.code().as_str(), told.header("connection")),
        (408, "timeout", Some("close"))
    );
    assert_eq!(devices(&rig).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_chunks_is_a_body_and_chunks_that_are_none_are_refused() {
    let (_dir, rig) = started().await;
    let mut good = talk(&rig).await;
    good.send((post("Transfer-Encoding: chunked\r\n") + &chunked(&device("one"))).as_bytes()).await;
    let made = good.reply().await.unwrap();
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
    // With an extension, and a trailer.
    let odd =
        format!("{:x};name=value\r\n{}\r\n0\r\nX-Trailer: 1\r\n\r\n", device("two").len(), device("two"));
    good.send((post("Transfer-Encoding: chunked\r\n") + &odd).as_bytes()).await;
    assert_eq!(good.reply().await.unwrap().status, 201);

    for chunk in [
        "FFFFFFFFFFFFFFFFF\r\nx",
        "FFFFFFFFFFFFFFFE\r\nx",
        "-1\r\nx",
        "0x10\r\nx",
        "zz\r\nx",
        "\r\n\r\n",
        "5\r\nabcdefgh\r\n",
        " 5\r\nabcde\r\n0\r\n\r\n",
    ] {
        let mut talk = talk(&rig).await;
        talk.send((post("Transfer-Encoding: chunked\r\n") + chunk).as_bytes()).await;
        if let Some(told) = talk.reply().await {
            assert!(matches!(told.status, 400 | 408 | 413), "{chunk:?}: {}", told.status);
        }
    }
    // Longer than is taken, though no length was announced.
    let mut long = talk(&rig).await;
    long.send((post("Transfer-Encoding: chunked\r\n") + &chunked(&"a".repeat(70_000))).as_bytes()).await;
    let told = long.reply().await.unwrap();
    assert_eq!(
        (told.status, told.code().as_str(), told.header("connection")),
        (413, "too-long", Some("close"))
    );
    assert_eq!(devices(&rig).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn lengths_that_contradict_each_other_hide_no_second_request() {
    let (_dir, rig) = started().await;
    let hidden = format!(
        "0\r\n\r\n{}{}",
        post(&format!("Content-Length: {}\r\n", device("hid").len())),
        device("hid")
    );
    for lines in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", hidden.len()),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", hidden.len()),
        format!("Content-Length: 5\r\nContent-Length: {}\r\n", hidden.len()),
        format!("Content-Length: +{}\r\n", hidden.len()),
        "Content-Length: 5, 5\r\n".to_owned(),
        "Transfer-Encoding: identity, chunked, gzip\r\n".to_owned(),
    ] {
        let mut talk = talk(&rig).await;
        talk.send((post(&lines) + &hidden).as_bytes()).await;
        let first = talk.reply().await;
        assert!(first.is_none_or(|told| told.status == 400), "{lines:?}");
        assert!(talk.ends_within(PATIENCE).await, "no second answer: {lines:?}");
    }
    assert_eq!(devices(&rig).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_first_is_told_to_go_on_and_requests_in_a_row_are_answered_in_their_order() {
    let (_dir, rig) = started().await;
    let mut careful = talk(&rig).await;
    let body = device("careful");
    careful
        .send(post(&format!("Content-Length: {}\r\nExpect: 100-continue\r\n", body.len())).as_bytes())
        .await;
    assert_eq!(careful.reply().await.unwrap().status, 100);
    careful.send(body.as_bytes()).await;
    assert_eq!(careful.reply().await.unwrap().status, 201);
    // One that may not is not told to go on.
    let told =
        post("Content-Length: 10\r\nExpect: 100-continue\r\n").replace("/fhir/Device", "/fhir/AuditEvent");
    careful.send(told.as_bytes()).await;
    assert_eq!(careful.reply().await.unwrap().status, 405);

    let mut row = talk(&rig).await;
    let body = device("row");
    let write = post(&format!("Content-Length: {}\r\n", body.len())) + &body;
    let read = |path: &str, id: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {id}\r\n\r\n")
    };
    let all = [read(NONE, IDS[0]), write, read("/fhir/metadata", IDS[1]), read(NONE, IDS[2])].concat();
    row.send(all.as_bytes()).await;
    let mut statuses = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..4 {
        let told = row.reply().await.unwrap();
        statuses.push(told.status);
        ids.push(told.header("x-request-id").unwrap().to_owned());
    }
    assert_eq!(statuses, [404, 201, 200, 404]);
    assert_eq!([&*ids[0], &*ids[2], &*ids[3]], IDS);
    // Behind one whose body is not read nothing more is answered.
    let mut refused = talk(&rig).await;
    let stray = post("Content-Length: 3\r\n").replace("/fhir/Device", "/fhir/AuditEvent") + "abc";
    refused.send((stray + &read(NONE, IDS[0])).as_bytes()).await;
    assert_eq!(refused.reply().await.unwrap().status, 405);
    assert!(refused.ends_within(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_http_and_floods_of_headers_are_answered_or_ended_and_nobody_else_notices() {
    let (_dir, rig) = started().await;
    let mut old = talk(&rig).await;
    old.send(b"GET /fhir/metadata HTTP/1.0\r\n\r\n").await;
    let told = old.reply().await.unwrap();
    assert_eq!((told.status, &told.json()["resourceType"]), (200, &json!("CapabilityStatement")));
    assert!(old.ends_within(PATIENCE).await, "HTTP/1.0 has one request a connection");

    let many: String = (0..150).map(|at| format!("X-{at}: 1\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "a".repeat(90_000));
    let flood = format!("GET {NONE} HTTP/1.1\r\nHost: localhost\r\n{many}\r\n");
    for (bytes, statuses) in [
        (flood.into_bytes(), &[431][..]),
        (format!("GET {NONE} HTTP/1.1\r\nHost: localhost\r\n{long}\r\n").into_bytes(), &[431]),
        (
            format!("GET /fhir/{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(90_000)).into_bytes(),
            &[414, 431],
        ),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[400]),
        (b"GET /fhir/metadata HTTP/9.9\r\n\r\n".to_vec(), &[400]),
        (b"GET  /fhir/metadata\r\n\r\n".to_vec(), &[400]),
        (b"GET /fhir/metadata HTTP/1.1\r\nHost localhost\r\n\r\n".to_vec(), &[400]),
        (b"GET /fhir/metadata HTTP/1.1\r\nHost: localhost\r\nX-A: \x00\r\n\r\n".to_vec(), &[400]),
        (b"MSH|^~\\&|A|B|C|D|20260302||ORU^R01|1|P|2.5.1\r\n\r\n".to_vec(), &[400]),
        (vec![0; 1_000], &[400]),
    ] {
        let mut talk = talk(&rig).await;
        // It may end while more comes.
        let _ended = talk.0.write_all(&bytes).await;
        let told = talk.reply().await;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        assert!(told.is_none_or(|told| statuses.contains(&told.status)), "{shown}");
        assert!(talk.ends_within(PATIENCE).await, "{shown}");
    }
    // Without TLS.
    let mut plain = tokio::net::TcpStream::connect(rig.fhir().unwrap()).await.unwrap();
    plain.write_all(b"GET /fhir/metadata HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut told = Vec::new();
    // An alert of TLS at the most.
    let _reset = tokio::time::timeout(PATIENCE, plain.read_to_end(&mut told)).await.expect("it ends");
    assert!(!told.starts_with(b"HTTP"), "{told:?}");

    assert_eq!(talk(&rig).await.get(NONE).await.status, 404, "nobody else has noticed");
    assert_eq!(rig.status().await.unwrap()["ready"], true);
}
