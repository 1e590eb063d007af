//! The gate of the local FHIR endpoint: who is let in, and what becomes of everyone else.
//!
//! `GET Observation/none` is what nobody has: 404 says that the gate let it through.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use site::{
    PATIENCE,
    endpoint::{Talk, ask, bearer, client},
};
use standin::{
    Issuer, Pki,
    rig::{FhirRig, Rig, RigSettings},
    smart::{Algorithm, ClientKey},
};
use tokio_rustls::TlsConnector;

const NONE: &str = "/fhir/Observation/none";
/// The id of a request, in a form that is taken.
const REQUEST: &str = "0b1f8f3e-9f5c-4a9f-8a52-3f1f1a5e2c77";
const AUDIENCE: &str = "https://box.example/fhir";

fn settings(fhir: FhirRig) -> RigSettings {
    RigSettings { ehr: false, upstream: false, fhir: Some(fhir), ..RigSettings::default() }
}

async fn started(fhir: FhirRig) -> (tempfile::TempDir, Rig) {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), settings(fhir)).await;
    rig.start().await.unwrap();
    (dir, rig)
}

/// The rig's own client, by its certificate.
fn ours(rig: &Rig) -> TlsConnector {
    client(rig, Some(&rig.pki().client))
}

/// A daemon that takes the tokens of an issuer, and the client that has no certificate. The issuer's own authority is not
/// the box's.
async fn with_issuer() -> (tempfile::TempDir, Rig, Issuer, TlsConnector) {
    let dir = tempfile::tempdir().unwrap();
    let idp = dir.path().join("idp");
    std::fs::create_dir(&idp).unwrap();
    let issuer = Issuer::start(&Pki::create(&idp).unwrap().server).await.unwrap();
    let tables = format!(
        "[[fhir.issuer]]\nissuer = \"{}\"\naudience = \"{AUDIENCE}\"\nca = \"../idp/ca.pem\"\n\
         role_claim = \"realm_access.roles\"\nleeway = \"2s\"\n\
         roles = [{{ value = \"reader\", role = \"viewer\" }}, {{ value = \"writer\", role = \"operator\" }}, \
         {{ value = \"emergency\", role = \"break-glass\" }}]\n\
         [[fhir.client]]\nname = \"reading\"\ncertificate = \"CN=reading\"\nrole = \"viewer\"\nscopes = [\"system/*.crus\"]\n",
        issuer.url()
    );
    let home = dir.path().join("box");
    std::fs::create_dir(&home).unwrap();
    let rig = site::prepare(&home, settings(FhirRig { tables, ..FhirRig::default() })).await;
    let stranger = client(&rig, None);
    (dir, rig, issuer, stranger)
}

fn reader() -> Value {
    json!({"realm_access": {"roles": ["reader"]}, "scope": "openid user/*.rs"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_told_so_before_a_byte_of_a_body_is_read_and_metadata_is_for_anyone() {
    let (_dir, mut rig) = started(FhirRig::default()).await;
    let stranger = client(&rig, None);
    let told = ask(&stranger, &rig, "GET", NONE, "").await;
    assert_eq!((told.status, told.code().as_str()), (401, "login"));
    assert_eq!(told.header("www-authenticate"), Some("Bearer realm=\"isthmus\""));
    assert_eq!(told.header("cache-control"), Some("no-store"));
    assert_eq!(told.header("x-content-type-options"), Some("nosniff"));

    // A body that was announced and never comes: who waits for it would not answer.
    let mut talk = Talk::open(&stranger, rig.fhir().unwrap()).await;
    talk.ask("POST", "/fhir/Observation", "Content-Length: 1000000\r\n").await;
    let told = talk.reply().await.unwrap();
    assert_eq!((told.status, told.header("connection")), (401, Some("close")));
    assert!(talk.ends_within(PATIENCE).await);
    // One that asks first whether it may send gets no "100 Continue".
    let mut talk = Talk::open(&stranger, rig.fhir().unwrap()).await;
    talk.ask("POST", "/fhir/Observation", "Content-Length: 10\r\nExpect: 100-continue\r\n").await;
    assert_eq!(talk.reply().await.unwrap().status, 401);

    // One that is sent all the same does not take the answer back when the connection ends.
    let mut talk = Talk::open(&stranger, rig.fhir().unwrap()).await;
    talk.ask("POST", "/fhir/Observation", "Content-Length: 300000\r\n").await;
    talk.send(&[b'x'; 300_000]).await;
    assert_eq!(talk.reply().await.unwrap().status, 401);

    for path in ["/fhir/metadata", "/fhir/r4/metadata", "/fhir/r5/metadata"] {
        assert_eq!(ask(&stranger, &rig, "GET", path, "").await.status, 200, "{path}");
    }
    let smart = ask(&stranger, &rig, "GET", "/fhir/.well-known/smart-configuration", "").await;
    assert_eq!((smart.status, smart.header("content-type")), (200, Some("application/json")));
    assert!(smart.json().get("token_endpoint").is_none(), "there is none here");
    for path in ["/", "/fhirx", "/fhir/../etc/passwd", "/fhir/a//b"] {
        let told = ask(&stranger, &rig, "GET", path, "").await;
        assert_eq!((told.status, told.code().as_str()), (404, "not-found"), "{path}");
    }

    let given = ask(&stranger, &rig, "GET", NONE, &format!("X-Request-Id: {REQUEST}\r\n")).await;
    assert_eq!(given.header("x-request-id"), Some(REQUEST));
    let forged = ask(&stranger, &rig, "GET", NONE, "X-Request-Id: Mary-7700413\r\n").await;
    assert!(forged.header("x-request-id").is_some_and(|id| id.len() == 16), "one of ours");

    let entries = site::store::audit(&mut rig).await;
    let refused: Vec<_> = entries.iter().filter(|entry| entry.action == "fhir refused").collect();
    assert_eq!(refused.len(), 6, "{refused:?}");
    assert!(refused.iter().all(|entry| entry.actor == "fhir nobody"));
    assert!(refused.iter().any(|entry| entry.detail.contains(&format!("request {REQUEST}"))));
    assert!(refused.iter().all(|entry| !entry.object.contains("none")), "no id of a stranger's choice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_a_client_lets_in_on_one_connection_for_many_requests_until_the_drain() {
    let (_dir, mut rig) = started(FhirRig::default()).await;
    let mut talk = Talk::open(&ours(&rig), rig.fhir().unwrap()).await;
    for _ in 0..3 {
        talk.ask("GET", NONE, "").await;
        let told = talk.reply().await.unwrap();
        assert_eq!((told.status, told.code().as_str()), (404, "not-found"));
    }
    // A good certificate of nobody who is configured.
    let other = rig.pki().issue_client("other").unwrap();
    let told = ask(&client(&rig, Some(&other)), &rig, "GET", NONE, "").await;
    assert_eq!((told.status, told.code().as_str()), (401, "unknown"));
    // The drain ends what rests, and the daemon with it.
    let began = Instant::now();
    let (ended, status) = tokio::join!(talk.ends_within(PATIENCE), rig.stop());
    assert!(ended && status.unwrap().success());
    assert!(began.elapsed() < Duration::from_secs(15), "nobody waited for a deadline");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_is_refused_at_the_handshake_and_a_list_is_taken_up_while_running() {
    let dir = tempfile::tempdir().unwrap();
    let fhir = FhirRig { tls_extra: "crl = [\"./revoked.pem\"]".to_owned(), ..FhirRig::default() };
    let mut rig = site::prepare(dir.path(), settings(fhir)).await;
    rig.write("revoked.pem", &rig.pki().revocation_list(&[], false).unwrap()).unwrap();
    rig.start().await.unwrap();
    let ours = ours(&rig);
    assert_eq!(ask(&ours, &rig, "GET", NONE, "").await.status, 404);
    let list = rig.pki().revocation_list(&[&rig.pki().client], false).unwrap();
    rig.write("revoked.pem", &list).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut talk = Talk::open(&ours, rig.fhir().unwrap()).await;
        let line = format!("GET {NONE} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        // With TLS 1.3 the client learns of the refusal by the end of the connection.
        let sent = tokio::io::AsyncWriteExt::write_all(&mut talk.0, line.as_bytes()).await;
        if sent.is_err() || talk.reply().await.is_none() {
            break;
        }
        assert!(Instant::now() < deadline, "the list was never taken up");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(ask(&client(&rig, None), &rig, "GET", NONE, "").await.status, 401, "others are still let in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_token_lets_in_and_every_flaw_of_one_is_401_in_closed_words() {
    let (_dir, mut rig, issuer, stranger) = with_issuer().await;
    let key = issuer.rotate(Algorithm::Es384, "k1").unwrap();
    rig.start().await.unwrap();
    let good = issuer.claims(AUDIENCE, &reader());
    let with = |changes: Value| {
        let mut all = reader();
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        key.sign(&issuer.claims(AUDIENCE, &all)).unwrap()
    };
    let token = key.sign(&good).unwrap();
    let let_in = ask(&stranger, &rig, "GET", NONE, &bearer(&token)).await;
    assert_eq!((let_in.status, let_in.code().as_str()), (404, "not-found"));

    let now = good["iat"].as_i64().unwrap();
    let part = |value: &Value| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
    };
    let unsigned = format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(&good));
    let (message, signature) = token.rsplit_once('.').unwrap();
    let header = message.split('.').next().unwrap();
    let forged = format!("{header}.{}.{signature}", part(&with_role(&good, "emergency")));
    let impostor = ClientKey::make(Algorithm::Es384, "k1").unwrap();
    let confused = ClientKey::make(Algorithm::Rs384, "k1").unwrap();
    for (name, token, words) in [
        ("audience", with(json!({"aud": "https://other.example/fhir"})), "another audience"),
        ("expired", with(json!({"exp": now - 60})), "has expired"),
        ("not yet", with(json!({"nbf": now + 120})), "not valid yet"),
        ("no end", with(json!({"exp": null})), "has no end"),
        ("issuer", with(json!({"iss": "https://evil.example"})), "an issuer that is not known"),
        ("bound", with(json!({"cnf": {"x5t#S256": "AAAA"}})), "bound to a key"),
        ("none", unsigned, "an algorithm that is not taken"),
        ("hmac", key.sign_with(&json!({"alg": "HS256", "kid": "k1"}), &good).unwrap(), "an algorithm that"),
        (
            "another's alg",
            key.sign_with(&json!({"alg": "ES256", "kid": "k1"}), &good).unwrap(),
            "an algorithm that",
        ),
        ("key confusion", confused.sign(&good).unwrap(), "an algorithm that"),
        ("impostor", impostor.sign(&good).unwrap(), "signature"),
        ("forged", forged, "signature"),
        ("garbage", "a.b.c".to_owned(), "no signed JWT"),
    ] {
        let told = ask(&stranger, &rig, "GET", NONE, &bearer(&token)).await;
        let challenge = told.header("www-authenticate").unwrap_or_default().to_owned();
        assert_eq!(told.status, 401, "{name}");
        assert!(
            challenge.contains("error=\"invalid_token\"") && challenge.contains(words),
            "{name}: {challenge}"
        );
        assert!(!String::from_utf8_lossy(&told.body).contains("made-up"), "{name}");
    }
    // A token without a role is of somebody who is known and may nothing.
    let roleless =
        ask(&stranger, &rig, "GET", NONE, &bearer(&with(json!({"realm_access": {"roles": ["x"]}})))).await;
    assert_eq!((roleless.status, roleless.code().as_str()), (403, "forbidden"));
    // Break-glass wants its reason.
    let glass = bearer(&with(json!({"realm_access": {"roles": ["emergency"]}})));
    assert_eq!(ask(&stranger, &rig, "GET", NONE, &glass).await.status, 403);
    let reason = "X-Isthmus-Reason: unconscious, emergency room\r\n";
    assert_eq!(ask(&stranger, &rig, "GET", NONE, &(glass + reason)).await.status, 404);
}

fn with_role(claims: &Value, role: &str) -> Value {
    let mut claims = claims.clone();
    claims["realm_access"] = json!({ "roles": [role] });
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_is_found_at_once_and_names_that_nobody_has_cost_one_fetch_a_minute() {
    let (_dir, mut rig, issuer, stranger) = with_issuer().await;
    let first = issuer.rotate(Algorithm::Es384, "k1").unwrap();
    rig.start().await.unwrap();
    let claims = issuer.claims(AUDIENCE, &reader());
    let first = bearer(&first.sign(&claims).unwrap());
    assert_eq!(ask(&stranger, &rig, "GET", NONE, &first).await.status, 404);
    let before = issuer.fetches();
    for _ in 0..5 {
        assert_eq!(ask(&stranger, &rig, "GET", NONE, &first).await.status, 404);
    }
    assert_eq!(issuer.fetches(), before, "nobody asks while a good key is held");

    // Keys that came within the last second are not asked for again.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let second = bearer(&issuer.rotate(Algorithm::Rs384, "k2").unwrap().sign(&claims).unwrap());
    assert_eq!(ask(&stranger, &rig, "GET", NONE, &second).await.status, 404, "rotated, and found");
    assert_eq!(ask(&stranger, &rig, "GET", NONE, &first).await.status, 401, "no longer published");
    let fetched = issuer.fetches();
    assert_eq!(fetched, before + 1);
    let unknown = ClientKey::make(Algorithm::Es384, "k3").unwrap();
    for _ in 0..10 {
        let told = ask(&stranger, &rig, "GET", NONE, &bearer(&unknown.sign(&claims).unwrap())).await;
        assert_eq!(told.status, 401);
    }
    assert_eq!(issuer.fetches(), fetched, "a flood of unknown names is not passed on");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_an_issuer_is_down_nothing_is_guessed_and_people_are_told() {
    let (_dir, mut rig, issuer, stranger) = with_issuer().await;
    let key = issuer.rotate(Algorithm::Es384, "k1").unwrap();
    issuer.set_down(true);
    rig.start().await.unwrap();
    let token = bearer(&key.sign(&issuer.claims(AUDIENCE, &reader())).unwrap());
    let told = ask(&stranger, &rig, "GET", NONE, &token).await;
    assert_eq!((told.status, told.code().as_str()), (503, "transient"));
    assert!(told.header("retry-after").is_some());
    assert_eq!(ask(&ours(&rig), &rig, "GET", NONE, "").await.status, 404, "certificates need no issuer");
    let has = |status: &Value| {
        status["conditions"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "issuer-keys"))
    };
    rig.until(PATIENCE, has).await.unwrap();
    issuer.set_down(false);
    rig.until(PATIENCE, |status| !has(status)).await.unwrap();
    assert_eq!(ask(&stranger, &rig, "GET", NONE, &token).await.status, 404);
    // Keys that are held outlast the issuer.
    issuer.set_down(true);
    assert_eq!(ask(&stranger, &rig, "GET", NONE, &token).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_good_on_a_connection_ends_there_with_its_time() {
    let (_dir, mut rig, issuer, stranger) = with_issuer().await;
    let key = issuer.rotate(Algorithm::Es384, "k1").unwrap();
    rig.start().await.unwrap();
    let mut claims = issuer.claims(AUDIENCE, &reader());
    // With the leeway of this rig it holds for five seconds.
    claims["exp"] = json!(claims["iat"].as_i64().unwrap() + 3);
    let short = bearer(&key.sign(&claims).unwrap());
    let mut talk = Talk::open(&stranger, rig.fhir().unwrap()).await;
    let deadline = Instant::now() + PATIENCE;
    let mut let_in = 0;
    loop {
        talk.ask("GET", NONE, &short).await;
        match talk.reply().await.unwrap().status {
            404 => let_in += 1,
            status => {
                assert_eq!(status, 401);
                break;
            }
        }
        assert!(Instant::now() < deadline, "it never ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(let_in > 1, "it was good first");
    // What follows on that connection is judged by itself.
    talk.ask("GET", NONE, &bearer(&key.sign(&issuer.claims(AUDIENCE, &reader())).unwrap())).await;
    assert_eq!(talk.reply().await.unwrap().status, 404);
    let forged = ClientKey::make(Algorithm::Es384, "k1").unwrap();
    talk.ask("GET", NONE, &bearer(&forged.sign(&issuer.claims(AUDIENCE, &reader())).unwrap())).await;
    assert_eq!(talk.reply().await.unwrap().status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_beside_a_certificate_is_confined_by_it_and_one_that_is_flawed_is_not_passed_over() {
    let (_dir, mut rig, issuer, stranger) = with_issuer().await;
    let key = issuer.rotate(Algorithm::Es384, "k1").unwrap();
    rig.start().await.unwrap();
    let ours = ours(&rig);
    let good = bearer(&key.sign(&issuer.claims(AUDIENCE, &reader())).unwrap());
    assert_eq!(ask(&ours, &rig, "GET", NONE, &good).await.status, 404);
    let expired = key.sign(&issuer.claims(AUDIENCE, &json!({"exp": 1}))).unwrap();
    assert_eq!(ask(&ours, &rig, "GET", NONE, &bearer(&expired)).await.status, 401);
    assert_eq!(ask(&ours, &rig, "GET", NONE, "Authorization: Basic YTpi\r\n").await.status, 401);
    let twice = good.clone() + &good;
    assert_eq!(ask(&ours, &rig, "GET", NONE, &twice).await.status, 401);
    // A token that may write, beside a certificate that may not, and the other way round: neither writes. Alone the token does.
    let writer = json!({"realm_access": {"roles": ["writer"]}, "scope": "user/*.crus"});
    let writer = bearer(&key.sign(&issuer.claims(AUDIENCE, &writer)).unwrap());
    let reading = client(&rig, Some(&rig.pki().issue_client("reading").unwrap()));
    for (connector, token, status) in
        [(&stranger, &writer, 201), (&reading, &writer, 403), (&ours, &good, 403)]
    {
        let mut talk = Talk::open(connector, rig.fhir().unwrap()).await;
        let device = json!({ "resourceType": "Device", "serialNumber": "1" }).to_string();
        let told = talk.give("POST", "/fhir/Device", token, &device).await;
        assert_eq!(told.status, status, "{}", String::from_utf8_lossy(&told.body));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_too_much_is_told_when_to_ask_again_and_others_are_not() {
    let fhir = FhirRig { extra: "requests_per_second = 1\nburst = 3".to_owned(), ..FhirRig::default() };
    let (_dir, rig) = started(fhir).await;
    let mut talk = Talk::open(&ours(&rig), rig.fhir().unwrap()).await;
    let mut refused = None;
    for _ in 0..10 {
        talk.ask("GET", NONE, "").await;
        let told = talk.reply().await.unwrap();
        if told.status == 429 {
            refused = Some(told);
            break;
        }
        assert_eq!(told.status, 404);
    }
    let refused = refused.expect("ten requests at once are more than three");
    assert_eq!((refused.code().as_str(), refused.header("retry-after")), ("throttled", Some("1")));
    let stranger = client(&rig, None);
    assert_eq!(ask(&stranger, &rig, "GET", "/fhir/metadata", "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_end_and_a_connection_that_rests_are_ended_each_in_its_time() {
    let extra = "header_timeout = \"1s\"\nidle_timeout = \"4s\"".to_owned();
    let (_dir, rig) = started(FhirRig { extra, ..FhirRig::default() }).await;
    let ours = ours(&rig);
    // A byte now and then does not help.
    let mut slow = Talk::open(&ours, rig.fhir().unwrap()).await;
    let began = Instant::now();
    for byte in b"GET /fhir/metadata HTTP/1.1\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
        let sent = tokio::io::AsyncWriteExt::write_all(&mut slow.0, &[*byte]).await;
        if sent.is_err() || slow.ends_within(Duration::from_millis(100)).await {
            break;
        }
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());

    // One that rests between two requests is kept for longer than a head may take.
    let mut resting = Talk::open(&ours, rig.fhir().unwrap()).await;
    resting.ask("GET", NONE, "").await;
    assert_eq!(resting.reply().await.unwrap().status, 404);
    assert!(!resting.ends_within(Duration::from_secs(2)).await, "it may rest for four seconds");
    resting.ask("GET", NONE, "").await;
    assert_eq!(resting.reply().await.unwrap().status, 404);
    assert!(resting.ends_within(Duration::from_secs(20)).await, "and not for ever");

    let mut long = Talk::open(&ours, rig.fhir().unwrap()).await;
    let head = format!("GET {NONE} HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "a".repeat(100_000));
    let _cut = tokio::io::AsyncWriteExt::write_all(&mut long.0, head.as_bytes()).await;
    assert!(long.reply().await.is_none_or(|told| told.status == 431));
    assert_eq!(ask(&ours, &rig, "GET", NONE, "").await.status, 404, "nobody else has noticed");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_come_and_go_with_a_reload_and_connections_stay() {
    let (_dir, rig) = started(FhirRig::default()).await;
    let mut talk = Talk::open(&ours(&rig), rig.fhir().unwrap()).await;
    talk.ask("GET", NONE, "").await;
    assert_eq!(talk.reply().await.unwrap().status, 404);
    site::edit(&rig, "isthmus.toml", "certificate = \"CN=client\"", "certificate = \"CN=somebody-else\"");
    let deadline = Instant::now() + PATIENCE;
    loop {
        talk.ask("GET", NONE, "").await;
        match talk.reply().await.unwrap().status {
            401 => break,
            404 => assert!(Instant::now() < deadline, "the reload was never taken up"),
            other => panic!("{other}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_the_log_that_a_request_causes_carries_its_id_and_no_text_of_a_clients() {
    let dir = tempfile::tempdir().unwrap();
    let env = [("ISTHMUS_LOG", "warn,isthmus=debug"), ("ISTHMUS_LOG_FORMAT", "json")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let mut rig = site::prepare(dir.path(), RigSettings { env, ..settings(FhirRig::default()) }).await;
    rig.start().await.unwrap();
    let ours = ours(&rig);
    let mut answered = std::collections::BTreeMap::new();
    for (n, id) in
        [REQUEST, "4bf92f3577b34da6a3ce929d0e0e4736", "Quibblethorpe", "7700413"].iter().enumerate()
    {
        let mut talk = Talk::open(&ours, rig.fhir().unwrap()).await;
        let device = json!({ "resourceType": "Device", "identifier": [{ "system": "urn:x", "value": format!("D-{n}") }] });
        let lines = format!("X-Request-Id: {id}\r\n");
        let made = talk.give("POST", "/fhir/Device", &lines, &device.to_string()).await;
        assert_eq!(made.status, 201);
        let told = made.header("x-request-id").unwrap().to_owned();
        assert_eq!(told == *id, n < 2, "{id} was answered as {told}");
        answered.insert(told, *id);
    }
    assert_eq!(answered.len(), 4);
    assert!(rig.stop().await.unwrap().success());
    let log = std::fs::read_to_string(rig.log_file()).unwrap();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |message: &str| -> Vec<String> {
        let told = lines.iter().filter(|line| line["message"] == message);
        told.map(|line| line["span"]["request"].as_str().expect("a request's id").to_owned()).collect()
    };
    // On the task of the connection, and on that of the interaction.
    for message in ["request answered", "message taken in"] {
        let ids: std::collections::BTreeSet<String> = of(message).into_iter().collect();
        assert!(ids.iter().eq(answered.keys()), "{message}: {ids:?}, {answered:?}");
    }
    assert!(!log.contains("Quibblethorpe") && !log.contains("7700413"), "{log}");
}
