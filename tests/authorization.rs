//! An EHR that wants tokens (SMART Backend Services): got, renewed, refused, exchanged, and never shown.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;
#[path = "site/tokens.rs"]
mod tokens;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use site::{
    RESOURCES_PER_OUTCOME, command, condition, daily, edit_site, eventually, people, send, settled, until,
    until_metric, with_delivery,
};
use standin::{
    Receiver,
    receiver::answer,
    rig::{Rig, RigSettings},
};
use tokens::{Mood, Tokens};

const DAY: &str = "2026-03-02";
const CLIENT: &str = "box-1";

/// `isthmus site keys` of the rig's site.
fn keys(rig: &Rig, words: &[&str]) -> Output {
    let mut command = Command::new(site::binary());
    command.args(["--config".as_ref(), rig.config().as_os_str()]).args(["site", "keys"]).args(words);
    command.output().unwrap()
}

/// The same, which must succeed; what it printed.
fn done(rig: &Rig, words: &[&str]) -> String {
    let output = keys(rig, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Publishes the site's keys where the endpoint reads them.
fn publish(rig: &Rig, tokens: &Tokens) -> String {
    let out = rig.dir().join("jwks.json");
    let told = done(rig, &["publish", "--out", out.to_str().unwrap()]);
    tokens.desk().keys = serde_json::from_slice(&fs::read(out).unwrap()).unwrap();
    told
}

/// A site that is proved by tokens alone, with its first key published, before the daemon runs.
async fn prepared(dir: &Path) -> (Rig, Tokens) {
    let rig = site::prepare(dir, daily()).await;
    let tokens = Tokens::start(rig.pki(), CLIENT, Some(rig.ehr.base_url())).await;
    edit_site(&rig, &rig.ehr.base_url(), &tokens.base_url());
    let auth =
        format!("[ehr.auth]\nclient_id = \"{CLIENT}\"\nkeys = \"../keys/main\"\nclient_id_header = true\n");
    edit_site(&rig, "cert = \"../client.pem\"\nkey = \"../client.key\"\n", &auth);
    with_delivery(&rig, "retry_max = \"1s\"");
    // The folder's own parent has to be there, as /etc/isthmus is.
    let made = done(&rig, &["new"]);
    assert!(made.contains("in-use") && made.contains("publish --out"), "{made}");
    publish(&rig, &tokens);
    (rig, tokens)
}

/// An hour of patient `n`, which becomes one Bundle.
async fn hour(rig: &Rig, n: u32) {
    send(rig, &[people::hour(&format!("H{n}"), n, DAY, 120)]).await;
}

fn assert_once(rig: &Rig, outcomes: u64) {
    let judgement = rig.ehr.judge();
    assert_eq!(judgement.creates, outcomes * RESOURCES_PER_OUTCOME, "{judgement:?}");
    assert_eq!((judgement.doubled, judgement.updates), (0, 0), "{judgement:?}");
}

/// No file of the daemon and nothing that it says of itself holds a token, an assertion or a part of a key.
async fn assert_silent(rig: &Rig, tokens: &Tokens) {
    let status = rig.status().await.unwrap().to_string();
    let log = fs::read_to_string(rig.log_file()).unwrap();
    let metrics = site::metrics(rig).await;
    let out = tokens.desk().tokens();
    let assertions = tokens.desk().assertions.clone();
    let signatures = assertions.iter().map(|assertion| assertion.rsplit('.').next().unwrap().to_owned());
    let pems = fs::read_dir(rig.dir().join("keys/main")).unwrap().map(|file| file.unwrap().path());
    let pems = pems.filter(|path| path.extension().is_some_and(|end| end == "pem"));
    let lines = pems
        .flat_map(|path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>());
    let secrets: Vec<String> =
        out.into_iter().chain(signatures).chain(lines.filter(|line| !line.starts_with("-----"))).collect();
    assert!(secrets.len() >= 5, "{}", secrets.len());
    for text in [&status, &log, &metrics] {
        assert!(!secrets.iter().any(|secret| text.contains(secret.as_str())));
        assert!(!text.contains("eyJ") && !text.contains("SECRET") && !text.contains("T0K3N"));
    }
}

fn authorization(status: &Value) -> &Value {
    &status["sites"][0]["authorization"]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_scope_is_wanted_for_messages_which_are_no_resource_of_the_ehr() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, _tokens) = prepared(dir.path()).await;
    let receiver = Receiver::start(|heard| vec![answer("AA", &heard.control_id)]).await.unwrap();
    let results = format!(
        "[[outbound]]\nname = \"results\"\naddress = \"{}\"\nplain = true\nretry_min = \"100ms\"\n",
        receiver.address()
    );
    site::append(&rig, &results);
    edit_site(&rig, "projection = \"cgm-ig\"\n", "");
    let forms = "[[projection]]\nname = \"oru-r01\"\noutbound = \"results\"\nwindow = \"1d\"\nauthority = \"NORTH\"\n\
                 identifier_type = \"MR\"\nreceiving_application = \"EHR\"\nreceiving_facility = \"NORTH\"\n\
                 [[projection]]\nname = \"cgm-ig\"\n";
    site::append_site(&rig, forms);
    rig.start().await.unwrap();
    until(&rig, "a token", |s| authorization(s)["token_left_s"].is_u64()).await;
    hour(&rig, 0).await;
    eventually("a message came", || receiver.messages().len() == 1).await;
    let status = settled(&rig).await;
    assert!(condition(&status, "read-only").is_none(), "{status:#}");
    assert_eq!(rig.ehr.judge().creates, 0, "it is not written in the next form");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_is_written_with_tokens_alone_and_status_says_what_was_granted() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, tokens) = prepared(dir.path()).await;
    // Ten minutes off, on top.
    tokens.desk().ahead_s = 600;
    rig.start().await.unwrap();
    until(&rig, "a token before there is anything to write", |s| authorization(s)["token_left_s"].is_u64())
        .await;
    for n in 0..6 {
        hour(&rig, n).await;
    }
    let status = settled(&rig).await;
    assert_once(&rig, 6);
    let asked = tokens.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    let told = authorization(&status);
    assert_eq!(told["client_id"], CLIENT);
    assert_eq!(told["algorithm"], "ES384");
    assert_eq!(told["token_url"], tokens.token_url());
    assert!(told["granted"].as_str().unwrap().contains("system/Observation.crus"), "{told:#}");
    assert_eq!(told["missing"].as_array().unwrap().len(), 0, "{told:#}");
    assert!((598..=602).contains(&told["clock_skew_s"].as_i64().unwrap()), "{told:#}");
    let fhir = tokens.fhir();
    assert!(fhir.len() >= 6 && fhir.iter().all(|(_, named)| named.as_deref() == Some(CLIENT)), "{fhir:?}");
    until_metric(&rig, "isthmus_token_renewals_total{destination=\"ehr:main\",cause=\"none\"}", 1.0).await;
    assert!(condition(&status, "no-token").is_none() && condition(&status, "scope-missing").is_none());
    let shown =
        Command::new(site::binary()).arg("--config").arg(rig.config()).arg("status").output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("granted system/Observation.crus"), "{shown}");
    assert_silent(&rig, &tokens).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_taken_back_in_the_middle_costs_one_request_and_writes_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, tokens) = prepared(dir.path()).await;
    rig.start().await.unwrap();
    hour(&rig, 0).await;
    settled(&rig).await;
    tokens.desk().revoke_all();
    hour(&rig, 1).await;
    settled(&rig).await;
    assert_once(&rig, 2);
    let refused = tokens.fhir().iter().filter(|(status, _)| *status == 401).count();
    assert_eq!((refused, tokens.desk().granted()), (1, 2));
    until_metric(&rig, "isthmus_token_renewals_total{destination=\"ehr:main\",cause=\"refused\"}", 1.0).await;
    assert_silent(&rig, &tokens).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_end_within_seconds_are_renewed_ahead_and_no_request_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, tokens) = prepared(dir.path()).await;
    tokens.desk().lives_s = 6;
    rig.start().await.unwrap();
    for n in 0..8 {
        hour(&rig, n).await;
        settled(&rig).await;
        let before = tokens.desk().granted();
        if n % 3 == 2 {
            eventually("another token, ahead of need", || tokens.desk().granted() > before).await;
        }
    }
    assert_once(&rig, 8);
    assert!(tokens.fhir().iter().all(|(status, _)| *status != 401), "{:?}", tokens.fhir());
    assert!(tokens.desk().granted() >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_was_not_granted_is_told_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, tokens) = prepared(dir.path()).await;
    tokens.desk().grants =
        Some("system/Observation.read system/Provenance.crus system/Patient.read".to_owned());
    rig.start().await.unwrap();
    let status = until(&rig, "the missing scope", |s| condition(s, "scope-missing").is_some()).await;
    let missing = authorization(&status)["missing"].as_array().unwrap();
    assert_eq!(missing, &["system/Observation.cu", "system/DocumentReference.crus"]);
    let detail = condition(&status, "scope-missing").unwrap()["detail"].as_str().unwrap();
    assert!(detail.contains("system/Observation.cu") && detail.contains(CLIENT), "{detail}");
    assert!(tokens.fhir().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_no_token_is_to_be_had_writes_wait_and_go_once_when_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, tokens) = prepared(dir.path()).await;
    tokens.desk().mood = Mood::Later(503, "1");
    rig.start().await.unwrap();
    hour(&rig, 0).await;
    hour(&rig, 1).await;
    let waits = |s: &Value| condition(s, "no-token").is_some() && s["outbox"]["pending"] == 2;
    let status = until(&rig, "two writes wait", waits).await;
    assert_eq!(status["sites"][0]["mode"], "full", "silence is no refusal: {status:#}");
    assert!(tokens.fhir().is_empty());
    tokens.desk().mood = Mood::Strict;
    let status = settled(&rig).await;
    assert_once(&rig, 2);
    until(&rig, "nothing is wrong", |s| condition(s, "no-token").is_none()).await;
    assert!(authorization(&status)["refusals"].as_u64().unwrap() >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_refused_is_told_in_closed_words_and_a_new_key_puts_it_right() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, tokens) = prepared(dir.path()).await;
    tokens.desk().keys = Value::Null;
    rig.start().await.unwrap();
    hour(&rig, 0).await;
    let auth = |s: &Value| condition(s, "auth-degraded").is_some() && condition(s, "no-token").is_some();
    let status = until(&rig, "the refusal", auth).await;
    let detail = condition(&status, "no-token").unwrap()["detail"].as_str().unwrap();
    assert!(
        detail.contains("invalid_client") && detail.contains("isthmus site keys --site main list"),
        "{detail}"
    );
    assert_eq!(status["outbox"]["delivered"], 0);
    let asked = tokens.asked().len();
    assert!(asked <= 3, "a refused client knocks seldom: {asked}");

    // Exchanged while it runs: the next request is signed with the new key, at once.
    done(&rig, &["new"]);
    publish(&rig, &tokens);
    // The EHR takes the new key only.
    let fresh = tokens.desk().keys["keys"].take();
    tokens.desk().keys = serde_json::json!({ "keys": [fresh[1]] });
    let told = done(&rig, &["switch"]);
    assert!(told.contains("retire"), "{told}");
    let earlier = fresh[0]["kid"].as_str().unwrap();
    assert!(told.contains(&format!("site keys --site main switch {earlier}")), "the way back: {told}");
    let status = settled(&rig).await;
    // The trouble is over, and what it was is known still.
    let refusal = &authorization(&status)["last_refusal"];
    assert_eq!(
        (&authorization(&status)["trouble"], &refusal["word"]),
        (&Value::Null, &"invalid_client".into())
    );
    assert!(refusal["at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{refusal}");
    assert!(refusal["detail"].as_str().unwrap().contains("site keys --site main list"), "{refusal}");
    let shown = command::ask(&rig, &["status"]);
    assert!(shown.contains("last refusal") && shown.contains("over since"), "{shown}");
    assert_once(&rig, 1);
    let kid = tokens.asked().iter().rev().find_map(|asked| asked.clone().ok()).unwrap();
    assert_eq!(authorization(&status)["kid"], kid.as_str());
    let listed: Value = serde_json::from_str(&done(&rig, &["list", "--json"])).unwrap();
    let states: Vec<&str> =
        listed["keys"].as_array().unwrap().iter().map(|key| key["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["replaced", "in-use"]);
    assert_eq!(listed["keys"][1]["kid"], kid.as_str());

    let early = keys(&rig, &["retire"]);
    assert_eq!(early.status.code(), Some(1));
    let told = String::from_utf8(early.stderr).unwrap();
    assert!(told.contains("five minutes"), "{told}");

    // The EHR has not read the new key at all: back to the earlier one, until it has.
    tokens.desk().keys = serde_json::json!({ "keys": [fresh[0]] });
    done(&rig, &["switch", earlier]);
    command::ask(&rig, &["site", "release", "main", "--reason", "the key is switched back"]);
    until(&rig, "a token for it", |s| authorization(s)["kid"] == earlier).await;
    assert!(done(&rig, &["list"]).contains("published"), "the new one can be switched to again");
    assert_silent(&rig, &tokens).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_asks_for_another_token_and_goes_on_with_the_one_there_is_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, tokens) = prepared(dir.path()).await;
    rig.start().await.unwrap();
    until(&rig, "a token", |s| authorization(s)["token_left_s"].is_u64()).await;
    edit_site(&rig, "retry_max = \"1s\"", "retry_max = \"2s\"");
    let status = until(&rig, "the reload", |s| s["configuration"]["generation"] == 2).await;
    assert!(authorization(&status)["granted"].is_string(), "{status:#}");
    hour(&rig, 0).await;
    settled(&rig).await;
    eventually("another token is asked for", || tokens.asked().len() >= 2).await;
    edit_site(&rig, "client_id_header", "scopes = [\"system/Observation.crus\"]\nclient_id_header");
    until(&rig, "what is asked now", |s| authorization(s)["granted"] == "system/Observation.crus").await;
    assert_once(&rig, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_is_granted_later_counts_at_once_after_a_release() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, tokens) = prepared(dir.path()).await;
    let probed = format!("probe_interval = \"{}\"", daily().probe_interval);
    edit_site(&rig, &probed, "probe_interval = \"1h\"");
    tokens.desk().grants = Some("system/Provenance.crus system/Patient.read".to_owned());
    rig.start().await.unwrap();
    hour(&rig, 0).await;
    until(&rig, "it waits", |s| s["outbox"]["deferred"].as_u64() > Some(0)).await;
    tokens.desk().grants = None;
    command::ask(&rig, &["site", "release", "main", "--reason", "the scope was granted"]);
    settled(&rig).await;
    assert_once(&rig, 1);
    until(&rig, "nothing is wrong", |s| condition(s, "scope-missing").is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_an_hour_off_is_told_to_people() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, tokens) = prepared(dir.path()).await;
    tokens.desk().ahead_s = -3_600;
    rig.start().await.unwrap();
    let status = until(&rig, "the clock", |s| condition(s, "clock-skewed").is_some()).await;
    let detail = condition(&status, "clock-skewed").unwrap()["detail"].as_str().unwrap();
    assert!(detail.contains("behind ours"), "{detail}");
    assert!(condition(&status, "no-token").is_some(), "{status:#}");
    assert_eq!(tokens.asked(), [Err("in the future".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_platform_is_proved_to_by_tokens_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), RigSettings { upstream: true, ..daily() }).await;
    let tokens = Tokens::start(rig.pki(), "box-up", Some(rig.upstream.base_url())).await;
    site::edit(&rig, "isthmus.toml", &rig.upstream.base_url(), &tokens.base_url());
    site::edit(&rig, "isthmus.toml", ", cert = \"./client.pem\", key = \"./client.key\" }", " }");
    let auth = "[upstream.auth]\nclient_id = \"box-up\"\nkeys = \"keys/upstream\"\n[upstream.delivery]";
    site::edit(&rig, "isthmus.toml", "[upstream.delivery]", auth);
    done(&rig, &["new", "--site", "upstream"]);
    let out = rig.dir().join("jwks.json");
    done(&rig, &["--site", "upstream", "publish", "--out", out.to_str().unwrap()]);
    tokens.desk().keys = serde_json::from_slice(&fs::read(out).unwrap()).unwrap();
    rig.start().await.unwrap();
    hour(&rig, 0).await;
    let status = settled(&rig).await;
    assert!(status["upstream"]["authorization"]["granted"].is_string(), "{status:#}");
    assert!(status["sites"][0]["authorization"].is_null(), "the EHR is proved to by a certificate");
    assert!(rig.upstream.judge().creates > 0);
    assert_eq!(tokens.desk().granted(), 1);
    assert!(
        tokens.fhir().iter().all(|(status, named)| *status == 200 && named.is_none()),
        "{:?}",
        tokens.fhir()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_and_tokens_go_together() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, tokens) = prepared(dir.path()).await;
    edit_site(
        &rig,
        "ca = \"../ca.pem\"\n",
        "ca = \"../ca.pem\"\ncert = \"../client.pem\"\nkey = \"../client.key\"\n",
    );
    rig.start().await.unwrap();
    hour(&rig, 0).await;
    settled(&rig).await;
    assert_once(&rig, 1);
    assert_eq!(tokens.desk().granted(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_takes_none_of_our_tokens_is_told_and_not_stormed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, tokens) = prepared(dir.path()).await;
    tokens.desk().takes_tokens = false;
    rig.start().await.unwrap();
    hour(&rig, 0).await;
    let status = until(&rig, "the refusal", |s| condition(s, "auth-degraded").is_some()).await;
    assert_eq!(status["sites"][0]["mode"], "full", "{status:#}");
    // Of two refusals one is of the token that was got because of the other.
    let (refused, granted) = (tokens.fhir().len(), tokens.asked().len());
    assert!(granted <= refused / 2 + 2, "{granted} tokens for {refused} refusals");
    tokens.desk().takes_tokens = true;
    settled(&rig).await;
    assert_once(&rig, 1);
}
