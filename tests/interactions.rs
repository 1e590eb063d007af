//! The interactions of the local FHIR endpoint, over real sockets: what is written stands as it came, once, under its version; what
//! is searched for is found page by page; what is wrong is told and takes nothing with it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use serde_json::{Value, json};
use site::{
    endpoint::{Reply, Talk},
    feed::{alone, entries, talk},
};
use standin::rig::{FhirRig, Rig};

const SYSTEM: &str = "urn:example:readings";
/// By which the rig names its patients.
const PATIENTS: &str = "urn:oid:1.2.3";

async fn started() -> (tempfile::TempDir, Rig) {
    let fhir = FhirRig { extra: "requests_per_second = 100000\n".to_owned(), ..FhirRig::default() };
    alone(fhir).await
}

fn patient(value: &str) -> Value {
    json!({
        "resourceType": "Patient",
        "identifier": [{ "system": PATIENTS, "value": value, "type": { "coding": [{ "code": "MR" }] } }],
        "name": [{ "family": "Example", "given": ["Ada"] }],
        "birthDate": "1970-01-02",
    })
}

fn reading(patient: &str, minute: u32, value: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","status":"final","code":{{"coding":[{{"system":"http://loinc.org","code":"99504-3"}}]}},
        "subject":{{"reference":"{patient}"}},"effectiveDateTime":"2026-03-01T{:02}:{:02}:00Z",
        "identifier":[{{"system":"{SYSTEM}","value":"r{minute}"}}],
        "valueQuantity":{{"value":{value},"unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"}},
        "somethingNew":{{"b":1.10,"a":"é"}}}}"#,
        minute / 60,
        minute % 60
    )
}

/// The id of what a write answered.
fn id(reply: &Reply) -> String {
    let location = reply
        .header("location")
        .unwrap_or_else(|| panic!("{}: {}", reply.status, String::from_utf8_lossy(&reply.body)));
    let parts: Vec<&str> = location.split('/').collect();
    parts[parts.len() - 3].to_owned()
}

async fn new_patient(talk: &mut Talk, value: &str) -> String {
    let reply = talk.give("POST", "/fhir/Patient", "", &patient(value).to_string()).await;
    assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
    format!("Patient/{}", id(&reply))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_created_stands_as_it_came_under_its_version_and_over_a_restart() {
    let (_dir, mut rig) = started().await;
    let mut talk = talk(&rig).await;
    let patient = new_patient(&mut talk, "1").await;
    let sent = reading(&patient, 5, "101.10");
    let made = talk.give("POST", "/fhir/Observation", "", &sent).await;
    assert_eq!(
        (made.status, made.header("etag")),
        (201, Some("W/\"1\"")),
        "{}",
        String::from_utf8_lossy(&made.body)
    );
    assert!(made.header("last-modified").unwrap().ends_with("GMT"));
    let text = String::from_utf8(made.body.clone()).unwrap();
    for as_it_came in [r#""value":101.10"#, r#""somethingNew":{"b":1.10,"a":"é"}"#] {
        assert!(text.contains(as_it_came), "{text}");
    }
    let path = format!("/fhir/Observation/{}", id(&made));
    let read = talk.get(&path).await;
    assert_eq!((read.status, &read.body), (200, &made.body));
    talk.ask("GET", &path, "If-None-Match: W/\"1\"\r\n").await;
    let known = talk.reply().await.unwrap();
    assert_eq!((known.status, known.body.len()), (304, 0));

    // The same again is the same; and so it is after a restart.
    let again = talk.give("POST", "/fhir/Observation", "", &sent).await;
    assert_eq!((again.status, again.header("location")), (201, made.header("location")));
    rig.stop().await.unwrap();
    rig.start().await.unwrap();
    let mut talk = self::talk(&rig).await;
    let again = talk.give("POST", "/fhir/Observation", "", &sent).await;
    assert_eq!((again.status, again.header("location")), (201, made.header("location")));
    assert_eq!(talk.get(&path).await.body, made.body);
    let all = talk.get("/fhir/Observation?_summary=count").await.json();
    assert_eq!(all["total"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_creates_once_however_many_ask_at_once() {
    let (_dir, rig) = started().await;
    let mut first = talk(&rig).await;
    let patient = new_patient(&mut first, "1").await;
    let mut tasks = Vec::new();
    for number in 0..8 {
        let mut talk = talk(&rig).await;
        // Different bytes of the same thing: only the condition tells.
        let body = reading(&patient, 7, &format!("10{number}"));
        tasks.push(tokio::spawn(async move {
            let condition = format!("If-None-Exist: identifier={SYSTEM}%7Cr7\r\n");
            talk.give("POST", "/fhir/Observation", &condition, &body).await
        }));
    }
    let mut made = 0;
    let mut ids = std::collections::BTreeSet::new();
    for task in tasks {
        let reply = task.await.unwrap();
        assert!(matches!(reply.status, 200 | 201), "{}", reply.status);
        made += u32::from(reply.status == 201);
        ids.insert(id(&reply));
    }
    assert_eq!((made, ids.len()), (1, 1));
    let wide = first
        .give("POST", "/fhir/Observation", "If-None-Exist: status=final\r\n", &reading(&patient, 9, "1"))
        .await;
    assert_eq!(wide.status, 200, "the one that is final");
    first.give("POST", "/fhir/Observation", "", &reading(&patient, 8, "90")).await;
    let two = first
        .give("POST", "/fhir/Observation", "If-None-Exist: status=final\r\n", &reading(&patient, 9, "1"))
        .await;
    assert_eq!((two.status, two.code().as_str()), (412, "multiple-matches"));
    let none = first
        .give("POST", "/fhir/Observation", "If-None-Exist: _count=1\r\n", &reading(&patient, 9, "1"))
        .await;
    assert!(matches!(none.status, 400 | 412), "{}", none.status);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_follows_the_version_that_stands_and_history_has_them_all() {
    let (_dir, rig) = started().await;
    let mut talk = talk(&rig).await;
    let patient = new_patient(&mut talk, "1").await;
    let made = talk.give("POST", "/fhir/Observation", "", &reading(&patient, 5, "100")).await;
    let path = format!("/fhir/Observation/{}", id(&made));
    let mut next: Value = made.json();
    next["status"] = json!("amended");
    next["valueQuantity"]["value"] = json!(101);
    let put = talk.give("PUT", &path, "If-Match: W/\"1\"\r\n", &next.to_string()).await;
    assert_eq!(
        (put.status, put.header("etag")),
        (200, Some("W/\"2\"")),
        "{}",
        String::from_utf8_lossy(&put.body)
    );
    // Sent again, because the answer was lost: the same answer. Another content under the old version: refused.
    let again = talk.give("PUT", &path, "If-Match: W/\"1\"\r\n", &next.to_string()).await;
    assert_eq!((again.status, again.header("etag")), (200, Some("W/\"2\"")));
    next["valueQuantity"]["value"] = json!(102);
    let stale = talk.give("PUT", &path, "If-Match: W/\"1\"\r\n", &next.to_string()).await;
    assert_eq!((stale.status, stale.code().as_str()), (412, "conflict"));
    // What it is about stays.
    next["effectiveDateTime"] = json!("2026-03-02T00:00:00Z");
    let moved = talk.give("PUT", &path, "", &next.to_string()).await;
    assert_eq!((moved.status, moved.code().as_str()), (422, "business-rule"));

    let history = talk.get(&format!("{path}/_history")).await.json();
    let versions: Vec<&str> =
        entries(&history).iter().map(|it| it["resource"]["meta"]["versionId"].as_str().unwrap()).collect();
    assert_eq!((versions, &history["total"]), (vec!["2", "1"], &json!(2)));
    let paged = talk.get(&format!("{path}/_history?_count=1")).await.json();
    let link =
        paged["link"][1]["url"].as_str().unwrap().strip_prefix("https://localhost").unwrap().to_owned();
    assert_eq!(entries(&talk.get(&link).await.json())[0]["resource"]["valueQuantity"]["value"], json!(100));
    assert_eq!(talk.get(&format!("{path}/_history/1")).await.body, made.body);
    assert_eq!(talk.get(&format!("{path}/_history/3")).await.status, 404);
    let deleted = {
        talk.ask("DELETE", &path, "").await;
        talk.reply().await.unwrap()
    };
    assert_eq!((deleted.status, deleted.header("allow")), (405, Some("GET, PUT")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_is_walked_page_by_page_and_nothing_is_seen_twice_or_missed_while_others_write() {
    let (_dir, rig) = started().await;
    let mut talk = talk(&rig).await;
    let patient = new_patient(&mut talk, "1").await;
    let other = new_patient(&mut talk, "2").await;
    let batch = |from: u32, to: u32, patient: &str| {
        let entries: Vec<Value> = (from..to)
            .map(|minute| {
                let resource: Value = serde_json::from_str(&reading(patient, minute, "100")).unwrap();
                json!({ "resource": resource, "request": { "method": "POST", "url": "Observation" } })
            })
            .collect();
        json!({ "resourceType": "Bundle", "type": "batch", "entry": entries }).to_string()
    };
    let made = talk.give("POST", "/fhir", "", &batch(0, 100, &patient)).await;
    assert_eq!(made.status, 200);
    assert!(
        entries(&made.json()).iter().all(|it| it["response"]["status"] == "201 Created"),
        "{}",
        made.json()
    );
    talk.give("POST", "/fhir", "", &batch(100, 120, &other)).await;

    let mut path = format!(
        "/fhir/Observation?patient={patient}&code=http://loinc.org%7C99504-3&_count=7&date=ge2026-03-01"
    );
    let (mut seen, mut pages) = (Vec::new(), 0);
    loop {
        let page = talk.get(&path).await.json();
        assert_eq!(page["resourceType"], "Bundle", "{page}");
        pages += 1;
        for entry in entries(&page) {
            assert_eq!(entry["search"]["mode"], "match");
            seen.push(entry["resource"]["effectiveDateTime"].as_str().unwrap().to_owned());
        }
        if pages == 3 {
            // Written while somebody pages: before what was seen, and behind it.
            talk.give("POST", "/fhir", "", &batch(200, 203, &patient)).await;
        }
        let next = page["link"].as_array().unwrap().iter().find(|it| it["relation"] == "next");
        let Some(next) = next else { break };
        path = next["url"].as_str().unwrap().strip_prefix("https://localhost").unwrap().to_owned();
    }
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    sorted.reverse();
    assert_eq!(seen, sorted, "newest first, each once");
    assert_eq!(seen.len(), 100);

    for (query, total) in [
        (format!("patient={patient}&_total=accurate&_count=5"), json!(103)),
        (format!("patient={patient}&date=2026-03-01T00:05&_total=accurate"), json!(1)),
        (format!("patient={patient}&date=gt2026-03-01T00:10&date=lt2026-03-01T00:13"), json!(2)),
        (format!("subject={other}&status=final"), json!(20)),
        (format!("identifier={SYSTEM}%7Cr3,{SYSTEM}%7Cr4"), json!(2)),
        ("code=none".to_owned(), json!(0)),
        (format!("patient={patient}&status=amended"), json!(0)),
    ] {
        let found = talk.get(&format!("/fhir/Observation?{query}")).await.json();
        assert_eq!(found["total"], total, "{query}: {}", found["entry"][0]["response"]);
    }
    let form = talk
        .give(
            "POST",
            "/fhir/Observation/_search",
            "Content-Type: application/x-www-form-urlencoded\r\n",
            &format!("patient={other}&_summary=count"),
        )
        .await;
    assert_eq!(form.json()["total"], 20);
    let unknown = talk.get("/fhir/Observation?patiant=1").await;
    assert_eq!((unknown.status, unknown.code().as_str()), (400, "not-supported"));
    talk.ask("GET", "/fhir/Observation?patiant=1&_summary=count", "Prefer: handling=lenient\r\n").await;
    assert_eq!(talk.reply().await.unwrap().json()["total"], 123);
    let along = talk
        .get(&format!("/fhir/Observation?identifier={SYSTEM}%7Cr3&_include=Observation:patient"))
        .await
        .json();
    assert_eq!(entries(&along)[1]["search"]["mode"], "include");
    assert_eq!(entries(&along)[1]["resource"]["resourceType"], "Patient");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_whole_or_not_at_all_and_sent_again_has_one_effect() {
    let (_dir, rig) = started().await;
    let mut talk = talk(&rig).await;
    let transaction = |value: &str| {
        json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
            { "fullUrl": "urn:uuid:0b1f8a60-0000-4000-8000-000000000001", "resource": patient("9"),
              "request": { "method": "POST", "url": "Patient", "ifNoneExist": "identifier=9" } },
            { "fullUrl": "urn:uuid:0b1f8a60-0000-4000-8000-000000000002",
              "resource": serde_json::from_str::<Value>(&reading("urn:uuid:0b1f8a60-0000-4000-8000-000000000001", 1, value)).unwrap(),
              "request": { "method": "POST", "url": "Observation" } },
            { "request": { "method": "GET", "url": "Observation?patient.identifier=9" } },
        ] })
    };
    let mut good = transaction("100");
    good["entry"][2]["request"]["url"] = json!("Observation?code=99504-3");
    let first = talk.give("POST", "/fhir", "", &good.to_string()).await;
    assert_eq!(first.status, 200, "{}", String::from_utf8_lossy(&first.body));
    let (first, again) = (first.json(), talk.give("POST", "/fhir", "", &good.to_string()).await.json());
    assert_eq!(entries(&first)[2]["resource"]["total"], 1, "the read sees what was written");
    let location =
        |bundle: &Value, at: usize| entries(bundle)[at]["response"]["location"].as_str().unwrap().to_owned();
    assert_eq!(location(&first, 1), location(&again, 1));
    assert_eq!(location(&first, 0), location(&again, 0));
    let path = location(&first, 1);
    let stored = talk.get(path.strip_prefix("https://localhost").unwrap()).await.json();
    let patient = location(&first, 0);
    assert!(patient.contains(stored["subject"]["reference"].as_str().unwrap()), "{stored}");

    // One entry that is wrong: nothing of it stands.
    let mut bad = transaction("200");
    bad["entry"][0]["resource"]["identifier"][0]["value"] = json!("10");
    bad["entry"][0]["request"]["ifNoneExist"] = json!("identifier=10");
    bad["entry"][1]["resource"]["status"] = json!("sound");
    let refused = talk.give("POST", "/fhir", "", &bad.to_string()).await;
    assert_eq!(refused.status, 422, "{}", String::from_utf8_lossy(&refused.body));
    assert!(
        refused.json()["issue"][0]["expression"][0].as_str().unwrap().starts_with("Bundle.entry[1].resource")
    );
    assert_eq!(talk.get("/fhir/Patient?identifier=10").await.json()["total"], 0);
    // As a batch the good one stands.
    bad["type"] = json!("batch");
    let batch = talk.give("POST", "/fhir", "", &bad.to_string()).await.json();
    let statuses: Vec<&str> =
        entries(&batch).iter().map(|it| &it["response"]["status"].as_str().unwrap()[..3]).collect();
    assert_eq!(statuses, ["201", "422", "400"]);
    assert_eq!(talk.get("/fhir/Patient?identifier=10").await.json()["total"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_with_its_element_and_kept() {
    let (_dir, rig) = started().await;
    let mut talk = talk(&rig).await;
    let patient = new_patient(&mut talk, "1").await;
    let good: Value = serde_json::from_str(&reading(&patient, 5, "100")).unwrap();
    let with = |change: fn(&mut Value)| {
        let mut body = good.clone();
        change(&mut body);
        body.to_string()
    };
    for (body, status, code, at) in [
        ("{".to_owned(), 400, "structure", ""),
        (with(|it| it["resourceType"] = json!("Device")), 400, "invalid", "resourceType"),
        (with(|it| it["status"] = json!("sound")), 422, "code-invalid", "Observation.status"),
        (with(|it| it["code"] = Value::Null), 400, "", ""),
        (
            with(|it| {
                it.as_object_mut().unwrap().remove("status");
            }),
            422,
            "required",
            "Observation.status",
        ),
        (
            with(|it| it["effectiveDateTime"] = json!("yesterday")),
            422,
            "value",
            "Observation.effectiveDateTime",
        ),
        (
            with(|it| it["subject"]["reference"] = json!("Patient/1-00000000")),
            422,
            "not-found",
            "Observation.subject.reference",
        ),
        (
            with(|it| it["subject"]["reference"] = json!("urn:uuid:1")),
            422,
            "not-found",
            "Observation.subject.reference",
        ),
        (
            with(|it| it["modifierExtension"] = json!([{ "url": "http://e/x", "valueBoolean": true }])),
            422,
            "extension",
            "Observation.modifierExtension",
        ),
    ] {
        let refused = talk.give("POST", "/fhir/Observation", "", &body).await;
        let told = refused.json();
        assert_eq!(refused.status, status, "{told}");
        assert_eq!(told["resourceType"], "OperationOutcome");
        if !code.is_empty() {
            assert_eq!(told["issue"][0]["code"], code, "{told}");
        }
        if !at.is_empty() {
            assert_eq!(told["issue"][0]["expression"][0], at, "{told}");
        }
    }
    let plain = talk.give("POST", "/fhir/Observation", "Content-Type: text/plain\r\n", "{}").await;
    assert_eq!((plain.status, plain.header("connection")), (415, Some("close")));
    let mut talk = self::talk(&rig).await;
    assert_eq!(talk.get("/fhir/Observation?_summary=count").await.json()["total"], 0);
    let held = site::command::asked(&rig, &["quarantine", "list"]).await;
    assert!(held.to_string().contains("refused at the endpoint: required at Observation.status"), "{held}");
    let validated =
        talk.give("POST", "/fhir/Observation/$validate", "", &with(|it| it["status"] = json!("sound"))).await;
    assert_eq!((validated.status, validated.code().as_str()), (200, "code-invalid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_says_what_there_is_in_both_releases() {
    let (_dir, rig) = started().await;
    let mut talk = talk(&rig).await;
    for (path, version) in [("/fhir/metadata", "4.0.1"), ("/fhir/r5/metadata", "5.0.0")] {
        let statement = talk.get(path).await.json();
        assert_eq!(
            (&statement["resourceType"], &statement["fhirVersion"]),
            (&json!("CapabilityStatement"), &json!(version))
        );
        let kinds = statement["rest"][0]["resource"].as_array().unwrap();
        for kind in kinds {
            let codes: Vec<&str> = kind["interaction"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it["code"].as_str().unwrap())
                .collect();
            assert_eq!(codes.contains(&"create"), kind["type"] != "AuditEvent");
            // Everything that it names is there, and is named once.
            let parameters = kind["searchParam"].as_array().unwrap();
            let names: std::collections::BTreeSet<_> =
                parameters.iter().map(|it| it["name"].as_str().unwrap()).collect();
            assert_eq!(names.len(), parameters.len(), "{parameters:?}");
            assert!(names.contains("_id") && names.contains("_lastUpdated"));
            // The audit log is for other roles.
            let shown = kind["type"] != "AuditEvent";
            for parameter in kind["searchParam"].as_array().unwrap().iter().filter(|_| shown) {
                let (kind, name) = (kind["type"].as_str().unwrap(), parameter["name"].as_str().unwrap());
                let found = talk.get(&format!("/fhir/{kind}?{name}:missing=true&_count=1")).await;
                // An id is never missing.
                let expected = if name == "_id" { 400 } else { 200 };
                assert_eq!(found.status, expected, "{kind} {name}: {}", String::from_utf8_lossy(&found.body));
            }
        }
    }
    talk.ask("GET", "/fhir/metadata", "Accept: application/fhir+xml\r\n").await;
    assert_eq!(talk.reply().await.unwrap().status, 406);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cgm_bundle_is_taken_in_part_and_is_about_one_patient() {
    let (_dir, rig) = started().await;
    let mut talk = talk(&rig).await;
    let (one, two) = (new_patient(&mut talk, "1").await, new_patient(&mut talk, "2").await);
    let bundle = |resources: &[String]| {
        let entries: Vec<String> = resources.iter().map(|it| format!(r#"{{"resource":{it}}}"#)).collect();
        format!(r#"{{"resourceType":"Bundle","type":"collection","entry":[{}]}}"#, entries.join(","))
    };
    let other = reading(&one, 3, "5").replace("99504-3", "8867-4");
    let sent = bundle(&[reading(&one, 1, "100"), other, reading(&one, 2, "110")]);
    for round in 0..2 {
        let taken = talk.give("POST", "/fhir/$submit-cgm-bundle", "", &sent).await;
        assert_eq!(taken.status, 200, "{}", String::from_utf8_lossy(&taken.body));
        let taken = taken.json();
        let statuses: Vec<&str> =
            entries(&taken).iter().map(|it| &it["response"]["status"].as_str().unwrap()[..3]).collect();
        assert_eq!(statuses, if round == 0 { ["201", "422", "201"] } else { ["200", "422", "200"] });
    }
    let mixed = talk
        .give(
            "POST",
            "/fhir/$submit-cgm-bundle",
            "",
            &bundle(&[reading(&one, 4, "1"), reading(&two, 5, "1")]),
        )
        .await;
    assert_eq!((mixed.status, mixed.code().as_str()), (422, "business-rule"));
    let everything = talk.get(&format!("/fhir/{one}/$everything?_count=2")).await.json();
    assert_eq!(entries(&everything).len(), 2, "{everything}");
    let next =
        everything["link"][1]["url"].as_str().unwrap().strip_prefix("https://localhost").unwrap().to_owned();
    assert_eq!(entries(&talk.get(&next).await.json()).len(), 1);
    // The same in a body; a parameter of another operation is none of this one, and its name is not told.
    let asked = |name: &str| {
        json!({ "resourceType": "Parameters", "parameter": [{ "name": name, "valueInteger": 2 }] })
            .to_string()
    };
    let path = format!("/fhir/{one}/$everything");
    let by_body = talk.give("POST", &path, "", &asked("_count")).await;
    assert_eq!((by_body.status, by_body.json()["entry"].clone()), (200, everything["entry"].clone()));
    for name in ["days", "Ada"] {
        let refused = talk.give("POST", &path, "", &asked(name)).await;
        site::feed::refused(&refused, 400, "Parameters.parameter[0].name");
        assert!(!String::from_utf8_lossy(&refused.body).contains("Ada"));
    }
}
