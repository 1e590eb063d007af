//! What patients permit: a withdrawal stops what waits at once and over a kill, a grant is for its patient and purpose
//! alone, FHIR Consents count or are refused with their element, and a ledger that was changed is found.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{collections::BTreeSet, fs, process::Output, time::Duration};

use serde_json::{Value, json};
use site::{
    RESOURCES_PER_OUTCOME, chart,
    command::{self, said},
    daily, edit_site, eventually, files, people, send, settled, until, until_metric,
    vendors::{conduct, of_patient, prepared},
};
use standin::{
    Act, Persona, Play, Rule, What,
    rig::{Rig, RigSettings},
};

const DAY: &str = "2026-03-02";
const NEXT_DAY: &str = "2026-03-03";
const SYSTEM: &str = "urn:oid:1.2.3";

/// `isthmus consent`.
fn typed(rig: &Rig, args: &[&str]) -> Output {
    command::isthmus(rig, &[&["consent"], args].concat())
}

fn ask(rig: &Rig, args: &[&str]) -> String {
    command::ask(rig, &[&["consent"], args].concat())
}

fn json(rig: &Rig, args: &[&str]) -> Value {
    command::json(rig, &[&["consent"], args].concat())
}

fn whom(n: u32) -> String {
    format!("{SYSTEM}|{}", people::person(n).mrn)
}

/// `grant` or `withdraw` of patient `n`.
fn decide(rig: &Rig, verb: &str, n: u32, purpose: &str, more: &[&str]) -> Value {
    let whom = whom(n);
    let words =
        [verb, "--patient", &whom, "--purpose", purpose, "--by", "Quibblethorpe", "--reason", "form 12"];
    json(rig, &[&words, more].concat())
}

fn hours(patients: std::ops::Range<u32>, day: &str) -> Vec<Vec<u8>> {
    patients.map(|n| people::hour(&format!("{day}-{n}"), n, day, 120)).collect()
}

fn stands(rig: &Rig, n: u32, day: &str) -> bool {
    chart::mean(&rig.ehr, &people::person(n).mrn, day).is_some()
}

/// The patients whom the upstream platform tells apart.
fn pseudonyms(rig: &Rig) -> BTreeSet<String> {
    let subjects = rig.upstream.resources();
    let subjects = subjects.iter().filter_map(|it| it["subject"]["identifier"]["value"].as_str());
    subjects.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_stops_what_waits_at_once_and_neighbours_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), RigSettings { probe_interval: "1h".to_owned(), ..daily() }).await;
    edit_site(&rig, "mode = \"full\"", "mode = \"read-only\"");
    rig.start().await.unwrap();
    send(&rig, &hours(0..4, DAY)).await;
    until(&rig, "all wait", |s| s["outbox"]["deferred"] == 4).await;

    let told = decide(&rig, "withdraw", 1, "treatment", &[]);
    assert_eq!((&told["held"], &told["stands"]), (&json!(1), &json!([])), "{told:#}");
    edit_site(&rig, "mode = \"read-only\"", "mode = \"full\"");
    until(&rig, "neighbours are served", |s| s["outbox"]["delivered"] == 3 && s["outbox"]["deferred"] == 1)
        .await;
    // What comes after it is not even queued, for that patient alone.
    send(&rig, &hours(0..3, NEXT_DAY)).await;
    let status = until(&rig, "the next day", |s| s["outbox"]["delivered"] == 5).await;
    assert_eq!(
        [0, 1, 2, 3].map(|n| stands(&rig, n, DAY)),
        [true, false, true, true],
        "nothing of the patient who withdrew"
    );
    assert!(!stands(&rig, 1, NEXT_DAY) && stands(&rig, 2, NEXT_DAY));
    assert_eq!(status["consent"], json!({"entries": 1, "held": 1}), "{status:#}");
    until_metric(&rig, "isthmus_consent_held_rows", 1.0).await;
    until_metric(&rig, "isthmus_consent_decisions_total{purpose=\"treatment\",decision=\"withdraw\"}", 1.0)
        .await;

    // Granted again, what was queued before the withdrawal goes; what was published during it does not.
    let told = decide(&rig, "grant", 1, "treatment", &[]);
    assert_eq!(told["released"], 1, "{told:#}");
    settled(&rig).await;
    assert!(stands(&rig, 1, DAY) && !stands(&rig, 1, NEXT_DAY));
    let judgement = rig.ehr.judge();
    assert_eq!((judgement.creates, judgement.doubled), (6 * RESOURCES_PER_OUTCOME, 0), "{judgement:?}");
    // Unless the grant says so.
    let told = decide(&rig, "grant", 1, "treatment", &["--including-past"]);
    assert_eq!(told["windows_again"], 1, "{told:#}");
    eventually("the past is written", || stands(&rig, 1, NEXT_DAY)).await;
    settled(&rig).await;
    let judgement = rig.ehr.judge();
    assert_eq!((judgement.creates, judgement.updates), (7 * RESOURCES_PER_OUTCOME, 0), "{judgement:?}");

    // What stands is told to who withdraws, and is not touched.
    let told = decide(&rig, "withdraw", 1, "treatment", &[]);
    let places = told["stands"].as_array().unwrap();
    assert!(places.iter().all(|place| place["window"].as_i64() > Some(0)), "{told:#}");
    assert_eq!(places.len() as u64, 2 * RESOURCES_PER_OUTCOME, "{told:#}");
    assert!(places.iter().all(|place| place["destination"] == "ehr:main" && place["location"].is_string()));
    assert!(stands(&rig, 1, DAY));
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_is_denied_by_default_and_a_grant_is_for_its_patient_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), RigSettings { upstream: true, ..daily() }).await;
    site::edit(&rig, "isthmus.toml", "consent = \"permit\"\n", "");
    rig.start().await.unwrap();
    let refused = typed(
        &rig,
        &["grant", "--patient", &whom(1), "--purpose", "upstream", "--by", "herself", "--reason", "form 12"],
    );
    assert_eq!(refused.status.code(), Some(1), "nobody of that identifier is known yet");
    assert!(said(&refused).contains("nothing was recorded"), "{}", said(&refused));
    decide(&rig, "grant", 1, "upstream", &["--unseen"]);
    send(&rig, &hours(0..3, DAY)).await;
    eventually("all are served at the EHR", || rig.ehr.judge().creates == 3 * RESOURCES_PER_OUTCOME).await;
    eventually("one upstream", || pseudonyms(&rig).len() == 1).await;
    settled(&rig).await;
    let before = rig.upstream.judge().creates;
    assert_eq!(pseudonyms(&rig).len(), 1);

    // Another grants later: not what was published before, unless it includes the past.
    decide(&rig, "grant", 2, "upstream", &[]);
    send(&rig, &hours(2..3, NEXT_DAY)).await;
    eventually("the next day of the second", || rig.upstream.judge().creates == 2 * before).await;
    settled(&rig).await;
    decide(&rig, "grant", 2, "upstream", &["--including-past"]);
    eventually("and the day before", || rig.upstream.judge().creates == 3 * before).await;
    settled(&rig).await;
    assert_eq!(pseudonyms(&rig).len(), 2);
    let at_the_ehr = rig.ehr.judge();
    assert_eq!((at_the_ehr.creates, at_the_ehr.updates), (4 * RESOURCES_PER_OUTCOME, 0), "{at_the_ehr:?}");

    // A site's file says otherwise than the box.
    rig.write(
        "sites.d/main.toml",
        &(fs::read_to_string(rig.dir().join("sites.d/main.toml")).unwrap()
            + "[consent]\nupstream = \"permit\"\n"),
    )
    .unwrap();
    until(&rig, "reloaded", |s| s["configuration"]["generation"] == 2).await;
    send(&rig, &hours(0..1, NEXT_DAY)).await;
    eventually("whoever did not decide", || pseudonyms(&rig).len() == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_withdrawn_stays_so_though_the_daemon_is_killed_right_after_it_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.ehr.play(Play::RefuseWrites);
    rig.start().await.unwrap();
    send(&rig, &hours(0..3, DAY)).await;
    until(&rig, "all wait", |s| s["outbox"]["deferred"] == 3).await;
    let told = decide(&rig, "withdraw", 1, "treatment", &[]);
    rig.kill();
    assert_eq!(told["entries"], json!([1]));
    rig.ehr.play(Play::Accept);
    rig.start().await.unwrap();
    let status =
        until(&rig, "the others", |s| s["outbox"]["delivered"] == 2 && s["outbox"]["deferred"] == 1).await;
    assert_eq!(status["consent"], json!({"entries": 1, "held": 1}));
    assert_eq!([0, 1, 2].map(|n| stands(&rig, n, DAY)), [true, false, true]);
    let whom = whom(1);
    let listed = json(&rig, &["list", "--patient", &whom]);
    assert_eq!(
        listed["in_force"][0],
        json!({"purpose": "treatment", "decision": "deny", "by": "consent entry 1"})
    );
    assert_eq!(ask(&rig, &["verify"]).split(':').next(), Some("the chain holds; its head is 1"));
    // What would never be in force is not answered as recorded.
    let over = [
        "--purpose",
        "treatment",
        "--by",
        "x",
        "--reason",
        "y",
        "--from",
        "2020-01-01",
        "--until",
        "2020-02-01",
    ];
    let refused = typed(&rig, &[&["withdraw", "--patient", &whom], &over[..]].concat());
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("over before it is recorded"), "{}", said(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_doubt_when_consent_is_withdrawn_is_looked_for_and_not_sent_again() {
    for (play, delivered) in [(Play::ResetAfterBody, 1), (Play::ResetBeforeEffect, 0)] {
        let dir = tempfile::tempdir().unwrap();
        let mut rig = site::prepare(dir.path(), daily()).await;
        site::with_delivery(&rig, "retry_min = \"3s\"\nretry_max = \"3s\"");
        rig.start().await.unwrap();
        rig.ehr.play_next(play, 1);
        send(&rig, &hours(1..2, DAY)).await;
        until(&rig, "in doubt", |s| s["outbox"]["ambiguous"] == 1).await;
        let told = decide(&rig, "withdraw", 1, "treatment", &[]);
        assert_eq!(told["stands"][0]["certain"], false, "{told:#}");
        until(&rig, "the doubt is settled", |s| {
            s["outbox"]["delivered"] == delivered && s["outbox"]["deferred"] == 1 - delivered
        })
        .await;
        assert_eq!(chart::writes(&rig.ehr).len(), 1, "the one before the withdrawal");
        assert_eq!(stands(&rig, 1, DAY), delivered == 1);
    }
}

/// Its patient is being looked for at a slow EHR when consent is withdrawn: nothing was sent yet, and nothing is.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_made_ready_when_consent_is_withdrawn_does_not_leave() {
    let dir = tempfile::tempdir().unwrap();
    let forms = "[[projection]]\nname = \"plain-r4\"\n";
    let mut rig = prepared(dir.path(), conduct(Persona::Plain, 3), "lookup", forms, "").await;
    rig.ehr.rule(Rule::new("slow", Act::Slow(Duration::from_secs(1))).on(What::Reads).of_type("Patient"));
    rig.start().await.unwrap();
    send(&rig, &hours(1..2, DAY)).await;
    eventually("the patient is looked for", || {
        rig.ehr.log().records().iter().any(|one| one.path.contains("/Patient?"))
    })
    .await;
    let told = decide(&rig, "withdraw", 1, "treatment", &[]);
    assert_eq!(told["stands"][0]["certain"], false, "it is under way: {told:#}");
    send(&rig, &hours(2..3, DAY)).await;
    until(&rig, "the neighbour's are written", |s| {
        s["outbox"]["delivered"].as_u64() >= Some(RESOURCES_PER_OUTCOME) && s["outbox"]["leased"] == 0
    })
    .await;
    let results = |n: u32| {
        let [mrn, system] = [people::person(n).mrn, SYSTEM.to_owned()];
        let known = rig.ehr.resources().into_iter().find(|one| {
            one["resourceType"] == "Patient"
                && one["identifier"][0]["value"] == mrn.as_str()
                && one["identifier"][0]["system"] == system.as_str()
        });
        of_patient(&rig, "Observation", known.unwrap()["id"].as_str().unwrap()).len()
    };
    assert_eq!([results(1), results(2)], [0, RESOURCES_PER_OUTCOME as usize - 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_denies_by_default_holds_what_waits_until_it_permits_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), RigSettings { probe_interval: "1h".to_owned(), ..daily() }).await;
    edit_site(&rig, "mode = \"full\"", "mode = \"read-only\"");
    rig.start().await.unwrap();
    send(&rig, &hours(0..3, DAY)).await;
    until(&rig, "all wait", |s| s["outbox"]["deferred"] == 3).await;
    decide(&rig, "grant", 2, "treatment", &["--including-past"]);
    edit_site(&rig, "mode = \"read-only\"", "mode = \"full\"");
    site::append_site(&rig, "[consent]\ntreatment = \"deny\"\n");
    let status = until(&rig, "held", |s| s["consent"]["held"] == 2 && s["outbox"]["delivered"] == 1).await;
    assert!(status["sites"][0]["cause"].as_str().unwrap().contains("no consent"), "{status:#}");
    assert_eq!([0, 1, 2].map(|n| stands(&rig, n, DAY)), [false, false, true], "who granted it is served");
    edit_site(&rig, "treatment = \"deny\"", "treatment = \"permit\"");
    settled(&rig).await;
    let judgement = rig.ehr.judge();
    assert_eq!((judgement.creates, judgement.doubled), (3 * RESOURCES_PER_OUTCOME, 0), "{judgement:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_whose_end_was_taken_away_fails_to_verify_against_its_head_with_the_entrys_number() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    decide(&rig, "withdraw", 1, "treatment", &["--unseen"]);
    let head = |rig: &Rig| {
        let told = json(rig, &["verify"]);
        format!("{}:{}", told["entries"], told["head"].as_str().unwrap())
    };
    let first = head(&rig);
    rig.stop().await.unwrap();
    let store = rig.dir().join("data").join(outbox::DATABASE_FILE);
    let copy = rig.dir().join("copy");
    fs::copy(&store, &copy).unwrap();
    rig.start().await.unwrap();
    for n in 2..4 {
        decide(&rig, "withdraw", n, "treatment", &["--unseen"]);
    }
    let third = head(&rig);
    assert!(ask(&rig, &["verify", "--against", &first]).starts_with("the chain holds"));
    rig.stop().await.unwrap();
    // An older copy in its place: two people never withdrew, it says.
    fs::copy(&copy, &store).unwrap();
    rig.start().await.unwrap();
    assert_eq!(head(&rig), first, "by itself it holds");
    let verify = typed(&rig, &["verify", "--against", &third]);
    assert_eq!(verify.status.code(), Some(1));
    let why = "the ledger ends at entry 1, and the head that was kept is of entry 3: 2 entries are missing";
    assert!(said(&verify).contains(why), "{}", said(&verify));
    let told = typed(&rig, &["verify", "--against", &third, "--json"]);
    assert_eq!(told.status.code(), Some(1));
    assert_eq!(serde_json::from_slice::<Value>(&told.stdout).unwrap()["broken"], 3);
}

/// A FHIR R4 Consent of patient `n` about treatment.
fn fhir(n: u32, id: &str, kind: &str) -> Value {
    json!({
        "resourceType": "Consent", "id": id, "status": "active",
        "patient": {"identifier": {"system": SYSTEM, "value": people::person(n).mrn}},
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "provision": {"type": kind, "purpose": [
            {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"},
        ]},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn fhir_consents_count_once_from_a_folder_or_by_command_and_what_is_not_exact_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, folder) = files::started(dir.path(), "").await;
    folder.drop("one.json", fhir(1, "a", "deny").to_string());
    files::until_settled_files(&rig, 1, 0).await;
    let mut limited = fhir(2, "b", "deny");
    limited["provision"]["actor"] = json!([{"role": {"text": "Zebediah"}}]);
    let bundle = json!({"resourceType": "Bundle", "type": "collection", "entry": [
        {"resource": limited}, {"resource": fhir(3, "c", "deny")},
    ]});
    folder.drop("two.json", bundle.to_string());
    files::until_settled_files(&rig, 1, 1).await;
    let letter = folder.text("quarantine/two.json.reason.txt");
    assert!(letter.contains("Bundle.entry[0].resource.Consent.provision.actor"), "{letter}");
    assert!(letter.contains("Consent 2: recorded as entry 2") && !letter.contains("Zebediah"), "{letter}");

    send(&rig, &hours(0..4, DAY)).await;
    settled(&rig).await;
    assert_eq!([0, 1, 2, 3].map(|n| stands(&rig, n, DAY)), [true, false, true, false]);

    // The same again is known; a later version that ends is told where it does not permit anything.
    folder.drop("three.json", fhir(1, "a", "deny").to_string());
    files::until_settled_files(&rig, 2, 1).await;
    assert_eq!(json(&rig, &["list"])["entries"].as_array().unwrap().len(), 2);
    // By command an id alone is nobody's: that server's Consent may be another one.
    let file = dir.path().join("again.json");
    fs::write(&file, fhir(1, "a", "permit").to_string()).unwrap();
    let path = file.to_str().unwrap();
    let refused = typed(&rig, &["import", path]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("say --source NAME"), "{}", said(&refused));
    assert!(!stands(&rig, 1, DAY));
    let mut granted = fhir(1, "a", "permit");
    granted["identifier"] = json!([{"system": "urn:portal", "value": "77"}]);
    fs::write(&file, granted.to_string()).unwrap();
    assert!(ask(&rig, &["import", path]).contains("recorded as entry 3"));
    granted["meta"] = json!({"versionId": "2", "lastUpdated": "2026-03-01T08:00:00Z"});
    fs::write(&file, granted.to_string()).unwrap();
    assert!(ask(&rig, &["import", path]).contains("known: this version is in the ledger already (entry 3)"));
    granted["status"] = json!("entered-in-error");
    fs::write(&file, granted.to_string()).unwrap();
    assert!(ask(&rig, &["import", path]).contains("recorded as entry 4"));
    let list = ask(&rig, &["list"]);
    assert!(list.lines().nth(1).unwrap().contains(" end "), "{list}");
    let foreign = json!({"identifier": {"system": "urn:elsewhere", "value": "7700001"}});
    let mut elsewhere = fhir(1, "d", "deny");
    elsewhere["patient"] = foreign;
    fs::write(&file, elsewhere.to_string()).unwrap();
    let refused = typed(&rig, &["import", path, "--source", "portal"]);
    assert_eq!(refused.status.code(), Some(1));
    // The log has each, whatever became of it: that a patient is known is told by the answer.
    let imports = command::json(&rig, &["audit", "list", "--action", "consent import"]);
    assert_eq!(imports["entries"].as_array().unwrap().len(), 5, "{imports:#}");
    assert!(said(&refused).contains("Consent.patient.identifier"), "{}", said(&refused));
    assert!(!said(&refused).contains("7700001"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_that_a_server_sends_again_is_in_force_again_and_a_permit_from_the_future_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, folder) = files::started(dir.path(), "").await;
    let by = |verb: &str| {
        let listed = json(&rig, &["list", "--patient", &whom(1)]);
        (listed["in_force"][0]["decision"] == verb, listed["entries"].as_array().unwrap().len())
    };
    for (n, (kind, verb)) in
        [("deny", "deny"), ("permit", "permit"), ("deny", "deny")].into_iter().enumerate()
    {
        folder.drop(&format!("{n}.json"), fhir(1, "a", kind).to_string());
        files::until_settled_files(&rig, n as u64 + 1, 0).await;
        assert_eq!(by(verb), (true, n + 1), "{kind} for the {n}th time");
    }
    let mut ahead = fhir(1, "a", "permit");
    ahead["meta"] = json!({"lastUpdated": "2999-01-01T00:00:00Z"});
    folder.drop("ahead.json", ahead.to_string());
    files::until_settled_files(&rig, 3, 1).await;
    let letter = folder.text("quarantine/ahead.json.reason.txt");
    assert!(letter.contains("Consent.meta.lastUpdated: lies ahead of this box's clock"), "{letter}");
    assert_eq!(by("deny"), (true, 3));
    // It denies too: that counts at once, and what it permits does not.
    ahead["provision"] = json!({"type": "deny", "provision": [{"type": "permit", "purpose": [
        {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"},
    ]}]});
    let file = dir.path().join("ahead.json");
    fs::write(&file, ahead.to_string()).unwrap();
    let told = typed(&rig, &["import", file.to_str().unwrap(), "--source", "portal"]);
    assert_eq!(told.status.code(), Some(1));
    assert!(
        said(&told).contains("refused: what it denies is recorded as entry 4, 5; what it permits"),
        "{}",
        said(&told)
    );
    assert_eq!(by("deny"), (true, 5));

    // A server's history lists the newest version first.
    let stored = |kind: &str, at: &str| {
        let mut version = fhir(2, "h", kind);
        version["meta"] = json!({"lastUpdated": at});
        json!({"resource": version})
    };
    let history = json!({"resourceType": "Bundle", "type": "collection", "entry": [
        stored("permit", "2026-02-01T08:00:00Z"), stored("deny", "2026-01-01T08:00:00Z"),
    ]});
    for (name, taken) in [("history.json", 4), ("next-night.json", 5)] {
        folder.drop(name, history.to_string());
        files::until_settled_files(&rig, taken, 1).await;
        let listed = json(&rig, &["list", "--patient", &whom(2)]);
        assert_eq!(listed["in_force"][0]["decision"], "permit", "{listed:#}");
        assert_eq!(listed["entries"].as_array().unwrap().len(), 2, "nothing grows");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_named_where_decisions_are_listed_and_who_looks_is_on_record() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    decide(&rig, "withdraw", 1, "payer", &["--unseen"]);
    let named = ["7700001", "Quibblethorpe"];
    for args in [&["list"][..], &["list", "--json"], &["show", "1"], &["show", "1", "--json"], &["verify"]] {
        let shown = ask(&rig, args);
        assert!(named.iter().all(|name| !shown.contains(name)), "{args:?}: {shown}");
    }
    let revealed = ask(&rig, &["show", "1", "--reveal", "--reason", "case 881"]);
    assert!(named.iter().all(|name| revealed.contains(name)), "{revealed}");
    for usage in [&["withdraw"][..], &["list", "--purpose", "fame"], &["show", "1", "--reveal"]] {
        assert_eq!(typed(&rig, usage).status.code(), Some(2), "{usage:?}");
    }
    let metrics = site::metrics(&rig).await;
    assert!(named.iter().all(|name| !metrics.contains(name)));
    let audited = site::store::audit(&mut rig).await;
    let of = |action: &str| audited.iter().find(|entry| entry.action == action).expect("audited").clone();
    let (withdrawn, seen) = (of("consent withdraw"), of("consent reveal"));
    assert!(withdrawn.actor.starts_with("user ") && withdrawn.detail.contains("form 12"), "{withdrawn:?}");
    assert!(seen.object == "consent entry 1" && seen.detail == "case 881", "{seen:?}");
    let log = fs::read_to_string(rig.log_file()).unwrap();
    assert!(named.iter().all(|name| !log.contains(name)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_become_of_a_message_goes_by_the_patients_own_consent() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    send(&rig, &hours(0..2, "2026-03-02")).await;
    settled(&rig).await;
    let message = dir.path().join("m.hl7");
    std::fs::write(&message, &hours(0..1, "2026-03-02")[0]).unwrap();
    let explained = || -> Value {
        command::json(&rig, &["site", "show", "main", "--explain", message.to_str().unwrap()])
    };
    let window = |told: &Value| told["patients"][0]["windows"][0].clone();
    let told = explained();
    assert_eq!((&told["observed"], &window(&told)["decision"]), (&true.into(), &"write".into()), "{told:#}");
    decide(&rig, "withdraw", 0, "treatment", &[]);
    let told = explained();
    assert_eq!(window(&told)["reason"], "no-consent", "{told:#}");
    assert_eq!(told["patients"][0]["consent"], "deny", "{told:#}");
    assert!(!told.to_string().contains(&site::people::person(0).mrn), "{told:#}");
}
