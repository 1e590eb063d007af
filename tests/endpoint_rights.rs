//! What a client of the FHIR endpoint may not see, cause or undo, by whichever way it asks: patients beside the token's own, what
//! stood before, other entries of a Bundle, and a request that is sent again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use serde_json::{Value, json};
use site::{
    endpoint::{Reply, Talk, bearer, client},
    feed::{alone, talk, talk_as},
};
use standin::{
    Issuer, Pki,
    rig::{FhirRig, Rig},
    smart::{Algorithm, ClientKey},
};

const AUDIENCE: &str = "https://box.example/fhir";
/// By which the rig names its patients.
const PATIENTS: &str = "urn:oid:1.2.3";
const READINGS: &str = "urn:example:readings";

async fn started(tables: String, extra: &str) -> (tempfile::TempDir, Rig) {
    let extra = format!("requests_per_second = 100000\n{extra}");
    let fhir = FhirRig { extra, tables, ..FhirRig::default() };
    alone(fhir).await
}

fn text(reply: &Reply) -> String {
    format!("{}: {}", reply.status, String::from_utf8_lossy(&reply.body))
}

fn id(reply: &Reply) -> String {
    let location = reply.header("location").unwrap_or_else(|| panic!("{}", text(reply)));
    location.split('/').rev().nth(2).unwrap().to_owned()
}

async fn patient(talk: &mut Talk, value: &str) -> String {
    let body = json!({ "resourceType": "Patient", "identifier": [{ "system": PATIENTS, "value": value }] });
    let made = talk.give("POST", "/fhir/Patient", "", &body.to_string()).await;
    assert_eq!(made.status, 201, "{}", text(&made));
    format!("Patient/{}", id(&made))
}

fn reading(subject: &str, minute: u32, value: u32) -> Value {
    json!({
        "resourceType": "Observation", "status": "final",
        "identifier": [{ "system": READINGS, "value": format!("r{minute}") }],
        "code": { "coding": [{ "system": "http://loinc.org", "code": "99504-3" }] },
        "subject": { "reference": subject },
        "effectiveDateTime": format!("2026-03-01T00:{minute:02}:00Z"),
        "valueQuantity": { "value": value, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL" },
    })
}

fn post(resource: &Value, full_url: Option<&str>) -> Value {
    let kind = resource["resourceType"].as_str().unwrap();
    let mut entry = json!({ "resource": resource, "request": { "method": "POST", "url": kind } });
    if let Some(full_url) = full_url {
        entry["fullUrl"] = json!(full_url);
    }
    entry
}

fn bundle(kind: &str, entries: &[Value]) -> String {
    json!({ "resourceType": "Bundle", "type": kind, "entry": entries }).to_string()
}

fn statuses(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, 200, "{}", text(reply));
    let told = reply.json();
    let entries = told["entry"].as_array().unwrap().iter();
    entries.map(|it| it["response"]["status"].as_str().unwrap()[..3].to_owned()).collect()
}

async fn total(talk: &mut Talk, query: &str) -> Value {
    talk.get(&format!("/fhir/{query}&_summary=count")).await.json()["total"].clone()
}

struct Confined<'a> {
    issuer: &'a Issuer,
    key: std::sync::Arc<ClientKey>,
}

impl Confined<'_> {
    /// The header of an operator who is confined to a patient, but for Patients where `wide`.
    fn to(&self, patient: &str, wide: bool) -> String {
        let scope = if wide { "patient/Observation.crus user/Patient.rs" } else { "patient/*.crus" };
        let claims = json!({
            "realm_access": { "roles": ["feed"] }, "scope": scope, "patient": patient.split_once('/').unwrap().1,
        });
        bearer(&self.key.sign(&self.issuer.claims(AUDIENCE, &claims)).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_confined_to_a_patient_learns_nothing_of_another_by_any_way() {
    let outside = tempfile::tempdir().unwrap();
    let issuer = Issuer::start(&Pki::create(outside.path()).unwrap().server).await.unwrap();
    let key = issuer.rotate(Algorithm::Es384, "k1").unwrap();
    let tables = format!(
        "[[fhir.issuer]]\nissuer = \"{}\"\naudience = \"{AUDIENCE}\"\nca = \"{}\"\n\
         role_claim = \"realm_access.roles\"\nroles = [{{ value = \"feed\", role = \"operator\" }}]\n",
        issuer.url(),
        outside.path().join("ca.pem").display(),
    );
    let (_dir, rig) = started(tables, "").await;
    let mut all = talk(&rig).await;
    let (own, other) = (patient(&mut all, "1").await, patient(&mut all, "2").await);
    let made = all.give("POST", "/fhir/Observation", "", &reading(&other, 1, 222).to_string()).await;
    let foreign = format!("/fhir/Observation/{}", id(&made));
    let confined = Confined { issuer: &issuer, key };
    let (narrow, wide) = (confined.to(&own, false), confined.to(&own, true));
    let mut talk = Talk::open(&client(&rig, None), rig.fhir().unwrap()).await;

    for path in [foreign.clone(), format!("{foreign}/_history"), format!("{foreign}/_history/1")] {
        talk.ask("GET", &path, &narrow).await;
        assert_eq!(talk.reply().await.unwrap().status, 404, "{path}");
    }
    for query in ["Observation?code=99504-3", "Observation?identifier=r1", "Patient?birthdate:missing=true"] {
        talk.ask("GET", &format!("/fhir/{query}"), &narrow).await;
        let found = talk.reply().await.unwrap().json();
        let is_other = |it: &Value| it["resource"].to_string().contains(&other);
        assert!(!found["entry"].as_array().into_iter().flatten().any(is_other), "{query}: {found}");
    }
    // Nor is it counted: members of a Group are several people's.
    let group = json!({ "resourceType": "Group", "type": "person", "actual": true, "code": { "text": "hiv" },
        "member": [{ "entity": { "reference": other } }] });
    assert_eq!(all.give("POST", "/fhir/Group", "", &group.to_string()).await.status, 201);
    for query in [format!("Group?member={other}"), "Observation?identifier=r1".to_owned()] {
        for total in ["estimate", "accurate"] {
            let path = format!("/fhir/{query}&_summary=count&_total={total}");
            assert_ne!(all.get(&path).await.json()["total"], 0, "{path}");
            talk.ask("GET", &path, &narrow).await;
            let told = talk.reply().await.unwrap().json();
            assert!(told["total"].is_null() || told["total"] == 0, "{path}: {told}");
        }
    }
    // What they say of their own patient says nothing of another's.
    let provenance = json!({ "resourceType": "Provenance", "recorded": "2026-03-01T00:00:00Z",
        "agent": [{ "who": { "display": "w" } }],
        "target": [{ "reference": own }, { "reference": foreign.strip_prefix("/fhir/").unwrap() }] });
    let refused = talk.give("POST", "/fhir/Provenance", &narrow, &provenance.to_string()).await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "forbidden"), "{}", text(&refused));
    // Whose it is cannot be said in two ways.
    let mut mixed = reading(&own, 2, 100);
    mixed["subject"]["identifier"] = json!({ "system": PATIENTS, "value": "2" });
    let refused = talk.give("POST", "/fhir/Observation", &narrow, &mixed.to_string()).await;
    assert_eq!((refused.status, refused.code().as_str()), (422, "business-rule"), "{}", text(&refused));
    // A condition is no question about others: the answer is the same whether it is met or not.
    let condition = |value: u32| format!("{narrow}If-None-Exist: patient={other}&value-quantity={value}\r\n");
    let body = reading(&own, 3, 100).to_string();
    let mut told = Vec::new();
    for value in [222, 111] {
        let answer = talk.give("POST", "/fhir/Observation", &condition(value), &body).await;
        told.push((answer.status, answer.body));
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0].0, 412);
    let known = talk
        .give(
            "POST",
            "/fhir/Observation",
            &format!("{narrow}If-None-Exist: identifier={READINGS}%7Cr1\r\n"),
            &body,
        )
        .await;
    assert_eq!(known.status, 412, "it is another's: {}", text(&known));
    // What is computed is what may be seen.
    talk.ask("GET", &format!("/fhir/{other}/$outcomes?days=14&end=2026-03-02"), &wide).await;
    assert_eq!(talk.reply().await.unwrap().status, 404);
    talk.ask("GET", &format!("/fhir/{own}/$outcomes?days=14&end=2026-03-02"), &wide).await;
    assert_eq!(talk.reply().await.unwrap().status, 200);
    // An entry that may not be written is not, in whichever company it comes.
    let put = |value: u32| {
        let mut body = reading(&own, 9, value);
        body["id"] = json!("x");
        json!({ "resource": body, "request": { "method": "PUT", "url": "Observation/x" } })
    };
    let batch = bundle(
        "batch",
        &[post(&reading(&own, 4, 100), None), post(&reading(&other, 5, 100), None), put(1), put(2)],
    );
    let answered = talk.give("POST", "/fhir", &narrow, &batch).await;
    assert_eq!(statuses(&answered), ["201", "403", "404", "404"]);
    assert_eq!(total(&mut all, &format!("Observation?patient={other}")).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_undoes_nothing_and_leads_to_what_stands() {
    let (_dir, rig) = started(String::new(), "").await;
    let mut talk = talk(&rig).await;
    let patient = patient(&mut talk, "1").await;
    let made = talk.give("POST", "/fhir/Observation", "", &reading(&patient, 1, 100).to_string()).await;
    let path = format!("/fhir/Observation/{}", id(&made));
    let version = |value: u32| {
        let mut body = reading(&patient, 1, value);
        body["id"] = json!(id(&made));
        body["status"] = json!("amended");
        body.to_string()
    };
    for (value, etag) in [(101, "W/\"2\""), (102, "W/\"3\"")] {
        let put = talk.give("PUT", &path, "", &version(value)).await;
        assert_eq!((put.status, put.header("etag")), (200, Some(etag)), "{}", text(&put));
    }
    let replayed = talk.give("PUT", &path, "", &version(101)).await;
    assert_eq!((replayed.status, replayed.code().as_str()), (409, "conflict"));
    let meant = talk.give("PUT", &path, "If-Match: W/\"3\"\r\n", &version(101)).await;
    assert_eq!((meant.status, meant.header("etag")), (200, Some("W/\"4\"")));
    for lines in ["If-Match: 4\r\n", "If-Match: W/\"4\"\r\nIf-Match: W/\"4\"\r\n", "If-Match: W/\"4\"ä\r\n"]
    {
        let strange = talk.give("PUT", &path, lines, &version(103)).await;
        assert_eq!((strange.status, strange.code().as_str()), (400, "value"), "{lines}");
    }
    let unreadable = "If-None-Exist: identifier=urn:x|ä\r\n";
    let strange =
        talk.give("POST", "/fhir/Observation", unreadable, &reading(&patient, 2, 1).to_string()).await;
    assert_eq!((strange.status, strange.code().as_str()), (400, "value"));
    let anew = talk.give("PUT", &path, "If-None-Match: *\r\n", &version(103)).await;
    assert_eq!((anew.status, anew.code().as_str()), (412, "conflict"));
    // In a Bundle as alone: 102 was followed by 101, and the batch's other entry stands.
    let put = |value: u32| {
        let resource: Value = serde_json::from_str(&version(value)).unwrap();
        json!({ "resource": resource, "request": { "method": "PUT", "url": format!("Observation/{}", id(&made)) } })
    };
    let device = json!({ "resourceType": "Device", "serialNumber": "beside" });
    for kind in ["transaction", "batch"] {
        let answered = talk.give("POST", "/fhir", "", &bundle(kind, &[put(102), post(&device, None)])).await;
        match kind {
            "batch" => assert_eq!(statuses(&answered), ["409", "201"], "{}", text(&answered)),
            _ => assert_eq!(
                (answered.status, answered.code().as_str()),
                (409, "conflict"),
                "{}",
                text(&answered)
            ),
        }
    }
    assert_eq!(talk.get(&path).await.header("etag"), Some("W/\"4\""));
    assert_eq!(total(&mut talk, "Device?_lastUpdated=gt2026-01-01").await, 1);

    // The same device in two transactions, each with its reading: one device, to which both readings lead.
    let device = json!({ "resourceType": "Device", "identifier": [{ "system": "urn:s", "value": "S1" }] });
    let url = "urn:uuid:0b1f8a60-0000-4000-8000-000000000009";
    let mut devices = std::collections::BTreeSet::new();
    for minute in [11, 12] {
        let mut observation = reading(&patient, minute, 100);
        observation["device"] = json!({ "reference": url });
        let sent = bundle("transaction", &[post(&device, Some(url)), post(&observation, None)]);
        let taken = talk.give("POST", "/fhir", "Prefer: return=representation\r\n", &sent).await;
        assert_eq!(taken.status, 200, "{}", text(&taken));
        let told = taken.json();
        let reference = told["entry"][1]["resource"]["device"]["reference"].as_str().unwrap().to_owned();
        assert_eq!(talk.get(&format!("/fhir/{reference}")).await.status, 200, "it leads somewhere");
        devices.insert(reference);
    }
    assert_eq!(devices.len(), 1);
    assert_eq!(total(&mut talk, "Device?identifier=S1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_told_before_anything_is() {
    let (_dir, rig) = started(String::new(), "writes = [\"Patient\", \"Observation\"]\n").await;
    let mut talk = talk(&rig).await;
    let patient = patient(&mut talk, "1").await;
    // A read that fails, and two that write one resource.
    let failing = json!({ "request": { "method": "GET", "url": "Patient/1-00000000" } });
    let refused = talk
        .give("POST", "/fhir", "", &bundle("transaction", &[post(&reading(&patient, 1, 100), None), failing]))
        .await;
    assert_eq!((refused.status, refused.code().as_str()), (404, "not-found"));
    assert_eq!(total(&mut talk, "Observation?code=99504-3").await, 0);
    let made = talk.give("POST", "/fhir/Observation", "", &reading(&patient, 2, 100).to_string()).await;
    let put = |value: u32| {
        let mut body = reading(&patient, 2, value);
        body["id"] = json!(id(&made));
        json!({ "resource": body, "request": { "method": "PUT", "url": format!("Observation/{}", id(&made)) } })
    };
    let twice = talk.give("POST", "/fhir", "", &bundle("transaction", &[put(1), put(2)])).await;
    assert_eq!((twice.status, twice.code().as_str()), (400, "duplicate"), "{}", text(&twice));
    // What is switched off is off by every way.
    let device = json!({ "resourceType": "Device", "identifier": [{ "system": "urn:s", "value": "S1" }] });
    let alone = talk.give("POST", "/fhir/Device", "", &device.to_string()).await;
    assert_eq!((alone.status, alone.header("allow")), (405, Some("GET")));
    let mut talk = self::talk(&rig).await;
    let cgm = json!({ "resourceType": "Bundle", "type": "collection", "entry": [
        { "resource": device }, { "resource": reading(&patient, 3, 100) },
    ] });
    let answered = talk.give("POST", "/fhir/$submit-cgm-bundle", "", &cgm.to_string()).await;
    assert_eq!(statuses(&answered), ["405", "201"]);
    // The same identifier with another content is not swallowed.
    let mut corrected = reading(&patient, 3, 140);
    corrected["status"] = json!("corrected");
    let again =
        json!({ "resourceType": "Bundle", "type": "collection", "entry": [{ "resource": corrected }] });
    let answered = talk.give("POST", "/fhir/$submit-cgm-bundle", "", &again.to_string()).await;
    assert_eq!(statuses(&answered), ["409"]);
    // A condition that blinds itself is none, and a reading that can never count is not taken.
    let blind = format!("If-None-Exist: identifier={READINGS}%7Cr2&_count=0\r\n");
    let refused =
        talk.give("POST", "/fhir/Observation", &blind, &reading(&patient, 2, 101).to_string()).await;
    assert_eq!(refused.status, 400, "{}", text(&refused));
    for (element, place) in [
        ("valueQuantity", "Observation.valueQuantity"),
        ("effectiveDateTime", "Observation.effective"),
        ("subject", "Observation.subject"),
    ] {
        let mut body = reading(&patient, 30, 100);
        body.as_object_mut().unwrap().remove(element);
        let refused = talk.give("POST", "/fhir/Observation", "", &body.to_string()).await;
        let told = refused.json();
        assert_eq!((refused.status, &told["issue"][0]["expression"][0]), (422, &json!(place)), "{told}");
    }
    let version = reading(&format!("{patient}/_history/1"), 31, 100);
    let refused = talk.give("POST", "/fhir/Observation", "", &version.to_string()).await;
    assert_eq!(refused.status, 422, "{}", text(&refused));
    // An identifier of another system is nobody's.
    let mut stranger = reading(&patient, 32, 100);
    stranger["subject"] = json!({ "identifier": { "system": "urn:oid:9.9", "value": "1" } });
    let refused = talk.give("POST", "/fhir/Observation", "", &stranger.to_string()).await;
    let place = &refused.json()["issue"][0]["expression"][0];
    assert_eq!(
        (refused.status, place),
        (422, &json!("Observation.subject.identifier")),
        "{}",
        text(&refused)
    );
    assert!(text(&refused).contains(PATIENTS), "the system that it has to be: {}", text(&refused));
    assert_eq!(total(&mut talk, "Observation?code=99504-3").await, 2);
    // By the address that the box hands out it is the same Patient.
    let absolute = reading(&format!("https://localhost/fhir/r4/{patient}"), 33, 100);
    let taken = talk.give("POST", "/fhir/Observation", "", &absolute.to_string()).await;
    assert_eq!(
        (taken.status, &taken.json()["subject"]["reference"]),
        (201, &json!(patient)),
        "{}",
        text(&taken)
    );
    assert_eq!(total(&mut talk, &format!("Observation?patient={patient}")).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cgm_bundle_may_hold_its_device_and_its_report() {
    let (_dir, rig) = started(String::new(), "").await;
    let mut talk = talk(&rig).await;
    let patient = patient(&mut talk, "1").await;
    let (device, observation) =
        ("urn:uuid:0b1f8a60-0000-4000-8000-000000000001", "urn:uuid:0b1f8a60-0000-4000-8000-000000000002");
    let mut one = reading(&patient, 1, 100);
    one["device"] = json!({ "reference": device });
    let sent = json!({ "resourceType": "Bundle", "type": "collection", "entry": [
        { "fullUrl": device, "resource": { "resourceType": "Device", "identifier": [{ "system": "urn:s", "value": "S1" }] } },
        { "fullUrl": observation, "resource": one },
        { "resource": { "resourceType": "DiagnosticReport", "status": "final",
            "identifier": [{ "system": "urn:reports", "value": "1" }],
            "code": { "coding": [{ "system": "http://loinc.org", "code": "104643-2" }] },
            "subject": { "reference": patient }, "result": [{ "reference": observation }] } },
    ] })
    .to_string();
    for expected in [["201", "201", "201"], ["200", "200", "200"]] {
        let answered = talk.give("POST", "/fhir/$submit-cgm-bundle", "", &sent).await;
        assert_eq!(statuses(&answered), expected, "{}", text(&answered));
    }
    let found = talk.get("/fhir/DiagnosticReport?identifier=1&_include=DiagnosticReport:result").await.json();
    assert_eq!(found["entry"][1]["resource"]["valueQuantity"]["value"], 100, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_read_is_shown_what_they_wrote_and_nothing_that_stood_before() {
    let feeder = "[[fhir.client]]\nname = \"feeder\"\ncertificate = \"CN=feeder\"\nrole = \"operator\"\n\
        scopes = [\"system/Observation.cs\"]\n";
    let (_dir, rig) = started(feeder.to_owned(), "").await;
    let mut all = talk(&rig).await;
    let patient = patient(&mut all, "1").await;
    all.give("POST", "/fhir/Observation", "", &reading(&patient, 1, 100).to_string()).await;
    let mut feeder = talk_as(&rig, &rig.pki().issue_client("feeder").unwrap()).await;
    let if_none_exist = |minute: u32| {
        let mut entry = post(&reading(&patient, minute, 200), None);
        entry["request"]["ifNoneExist"] = json!(format!("identifier={READINGS}%7Cr{minute}"));
        entry
    };
    for kind in ["batch", "transaction"] {
        let new = if kind == "batch" { 2 } else { 3 };
        let sent = bundle(kind, &[if_none_exist(1), if_none_exist(new)]);
        let answered = feeder.give("POST", "/fhir", "Prefer: return=representation\r\n", &sent).await;
        assert_eq!(statuses(&answered), ["200", "201"], "{}", text(&answered));
        let told = answered.json();
        assert_eq!(told["entry"][0]["resource"], Value::Null, "{told}");
        assert_eq!(told["entry"][1]["resource"]["valueQuantity"]["value"], 200, "{told}");
    }
    let condition = format!("If-None-Exist: identifier={READINGS}%7Cr1\r\n");
    let stood =
        feeder.give("POST", "/fhir/Observation", &condition, &reading(&patient, 1, 200).to_string()).await;
    assert_eq!((stood.status, stood.body.len()), (200, 0));
}
