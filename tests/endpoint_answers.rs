//! How the local FHIR endpoint answers, over real sockets: as much as is preferred, in the order and the release that is asked
//! for, of the client's own site; entries of a Bundle as if each had come alone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use serde_json::{Value, json};
use site::{
    endpoint::{Reply, Talk},
    feed::{self, SYSTEM, alone, entries, new_patient, reference, refused, talk, talk_as, text, with_fhir},
};
use standin::rig::{FhirRig, Rig, RigSettings};

const READINGS: &str = "urn:example:readings";
const R4: &str = "application/fhir+json";
const R5: &str = "application/fhir+json; fhirVersion=5.0";

async fn started() -> (tempfile::TempDir, Rig) {
    alone(FhirRig { extra: "requests_per_second = 100000\n".to_owned(), ..FhirRig::default() }).await
}

fn reading(patient: &str, minute: u32, value: &str) -> Value {
    json!({
        "resourceType": "Observation", "status": "final",
        "text": { "status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">100</div>" },
        "note": [{ "text": "n" }],
        "identifier": [{ "system": READINGS, "value": format!("r{minute}") }],
        "code": { "coding": [{ "system": "http://loinc.org", "code": "99504-3" }] },
        "subject": { "reference": patient },
        "effectiveDateTime": format!("2026-03-01T00:{minute:02}:00Z"),
        "valueQuantity": { "value": value.parse::<u32>().unwrap(), "unit": "mg/dL",
            "system": "http://unitsofmeasure.org", "code": "mg/dL" },
    })
}

async fn made(talk: &mut Talk, resource: &Value) -> Reply {
    let kind = resource["resourceType"].as_str().unwrap();
    let reply = talk.give("POST", &format!("/fhir/{kind}"), "", &resource.to_string()).await;
    assert_eq!(reply.status, 201, "{}", text(&reply));
    reply
}

async fn asked(talk: &mut Talk, path: &str, lines: &str) -> Reply {
    talk.ask("GET", path, lines).await;
    talk.reply().await.unwrap()
}

/// The minutes of a search's hits, in their order.
async fn minutes(talk: &mut Talk, query: &str) -> Vec<u32> {
    let found = talk.get(&format!("/fhir/Observation?{query}")).await.json();
    let minute = |it: &Value| it["resource"]["effectiveDateTime"].as_str().unwrap()[14..16].parse().unwrap();
    // In an order that the box cannot keep for all, an entry says so.
    entries(&found).iter().filter(|it| it["search"]["mode"] == "match").map(minute).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_answered_with_as_much_as_is_preferred() {
    let (_dir, rig) = started().await;
    let mut talk = talk(&rig).await;
    let patient = new_patient(&mut talk, 1).await;
    for (minute, prefer, kind) in [
        (1, "", Some("Observation")),
        (2, "Prefer: return=representation\r\n", Some("Observation")),
        (3, "Prefer: return=minimal\r\n", None),
        (4, "Prefer: return=OperationOutcome\r\n", Some("OperationOutcome")),
    ] {
        let body = reading(&patient, minute, "100");
        let created = talk.give("POST", "/fhir/Observation", prefer, &body.to_string()).await;
        let path = format!("/fhir/{}", reference(&created));
        let mut next = talk.get(&path).await.json();
        next["status"] = json!("amended");
        let updated = talk.give("PUT", &path, prefer, &next.to_string()).await;
        for (reply, status, etag) in [(&created, 201, "W/\"1\""), (&updated, 200, "W/\"2\"")] {
            assert_eq!((reply.status, reply.header("etag")), (status, Some(etag)), "{prefer}{}", text(reply));
            assert!(
                reply.header("location").is_some() && reply.header("last-modified").is_some(),
                "{prefer}"
            );
            match kind {
                Some(kind) => assert_eq!(reply.json()["resourceType"], kind, "{prefer}"),
                None => assert!(reply.body.is_empty(), "{prefer}{}", text(reply)),
            }
        }
    }
    // A page that nothing new is on.
    let path = "/fhir/Observation?identifier=r1";
    let first = talk.get(path).await.json();
    let id = entries(&first)[0]["resource"]["id"].as_str().unwrap().to_owned();
    let read = talk.get(&format!("/fhir/Observation/{id}")).await;
    let since = format!("If-Modified-Since: {}\r\n", read.header("last-modified").unwrap());
    for lines in [&since, "If-None-Match: W/\"2\"\r\n", "If-None-Match: W/\"1\", W/\"2\"\r\n"] {
        let known = asked(&mut talk, &format!("/fhir/Observation/{id}"), lines).await;
        assert_eq!((known.status, known.body.len()), (304, 0), "{lines}");
    }
    let other = asked(&mut talk, &format!("/fhir/Observation/{id}"), "If-None-Match: W/\"1\"\r\n").await;
    assert_eq!((other.status, other.body), (200, read.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_is_answered_in_the_order_in_the_part_and_of_the_time_that_is_asked_for() {
    let (_dir, rig) = started().await;
    let mut talk = talk(&rig).await;
    let patient = new_patient(&mut talk, 1).await;
    // Written in another order than they were measured, one of them twice.
    let mut paths = Vec::new();
    for minute in [20, 10, 40, 30] {
        let reply = made(&mut talk, &reading(&patient, minute, "100")).await;
        paths.push(format!("/fhir/{}", reference(&reply)));
    }
    let updated = |value: &Value| value["meta"]["lastUpdated"].as_str().unwrap().to_owned();
    let third = updated(&talk.get(&paths[2]).await.json());
    let mut amended = talk.get(&paths[0]).await.json();
    amended["status"] = json!("amended");
    assert_eq!(talk.give("PUT", &paths[0], "", &amended.to_string()).await.status, 200);
    for (sort, expected) in [
        ("", [40, 30, 20, 10]),
        ("&_sort=-date", [40, 30, 20, 10]),
        ("&_sort=date", [10, 20, 30, 40]),
        ("&_sort=_lastUpdated", [10, 40, 30, 20]),
        ("&_sort=-_lastUpdated", [20, 30, 40, 10]),
    ] {
        assert_eq!(minutes(&mut talk, &format!("patient={patient}{sort}")).await, expected, "{sort}");
        // And so page by page.
        let first = talk.get(&format!("/fhir/Observation?patient={patient}{sort}&_count=3")).await.json();
        let next = first["link"].as_array().unwrap().iter().find(|it| it["relation"] == "next").unwrap();
        let next = next["url"].as_str().unwrap().split_once('?').unwrap().1.to_owned();
        assert_eq!(minutes(&mut talk, &next).await, expected[3..], "{sort}");
    }
    // Those written in the same millisecond as the third are of its instant.
    for (filter, there, gone) in [
        (format!("_lastUpdated=ge{third}"), &[40, 30, 20][..], &[][..]),
        (format!("_lastUpdated=lt{third}"), &[], &[40, 30, 20]),
        (format!("_lastUpdated={third}"), &[40], &[20]),
        ("_lastUpdated=lt2026-01-01".to_owned(), &[], &[10, 20, 30, 40]),
        ("_lastUpdated=gt2026-01-01".to_owned(), &[10, 20, 30, 40], &[]),
    ] {
        let found = minutes(&mut talk, &format!("patient={patient}&{filter}")).await;
        assert!(there.iter().all(|minute| found.contains(minute)), "{filter}: {found:?}");
        assert!(!gone.iter().any(|minute| found.contains(minute)), "{filter}: {found:?}");
    }
    refused(&talk.get(&format!("/fhir/Observation?patient={patient}&_sort=value")).await, 400, "http._sort");

    let part = |query: &str| format!("/fhir/Observation?identifier=r10&{query}");
    let whole = talk.get(&part("")).await.json()["entry"][0]["resource"].clone();
    assert!(whole["meta"]["tag"].is_null(), "{whole}");
    for (query, there, gone) in [
        ("_elements=value", &["valueQuantity", "status", "code"][..], &["subject", "effectiveDateTime"][..]),
        ("_summary=true", &["status", "code", "valueQuantity"], &["note", "text"]),
        ("_summary=text", &["status", "code", "text"], &["valueQuantity", "note"]),
        ("_summary=data", &["valueQuantity", "subject", "note"], &["text"]),
    ] {
        let reduced = talk.get(&part(query)).await.json()["entry"][0]["resource"].clone();
        assert_eq!(reduced["meta"]["tag"][0]["code"], "SUBSETTED", "{query}: {reduced}");
        assert!(there.iter().all(|name| !reduced[*name].is_null()), "{query}: {reduced}");
        assert!(gone.iter().all(|name| reduced[*name].is_null()), "{query}: {reduced}");
        assert!(there.iter().all(|name| reduced[*name] == whole[*name]), "{query}: {reduced}");
    }
    let counted = talk.get(&part("_summary=count")).await.json();
    assert_eq!((&counted["total"], entries(&counted).len()), (&json!(1), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_the_resources_of_its_own_site_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let base = with_fhir(RigSettings { ehr: false, upstream: false, ..RigSettings::default() });
    let mut fhir = base.fhir.clone().unwrap();
    fhir.tables.push_str(
        "\n[[fhir.client]]\nname = \"twin\"\ncertificate = \"CN=twin\"\nrole = \"operator\"\nsite = \"other\"\n\
         scopes = [\"system/*.crus\"]\n",
    );
    let mut rig = site::prepare(dir.path(), RigSettings { fhir: Some(fhir), ..base }).await;
    let second = rig.site_file().replacen("id = \"main\"", "id = \"other\"", 1);
    rig.write("sites.d/other.toml", &second).unwrap();
    rig.start().await.unwrap();
    let mut here = talk(&rig).await;
    let mut there = talk_as(&rig, &rig.pki().issue_client("twin").unwrap()).await;
    // The same person and the same reading, to the byte but for the reference: two resources, of two sites.
    let (own, other) = (new_patient(&mut here, 1).await, new_patient(&mut there, 1).await);
    assert_ne!(own, other);
    let (mine, theirs) =
        (made(&mut here, &reading(&own, 1, "100")).await, made(&mut there, &reading(&other, 1, "222")).await);
    let device = json!({ "resourceType": "Device", "identifier": [{ "system": "urn:s", "value": "S1" }] });
    let devices = [made(&mut here, &device).await, made(&mut there, &device).await];
    assert_ne!(reference(&devices[0]), reference(&devices[1]));
    for path in
        [&reference(&theirs), &format!("{}/_history", reference(&theirs)), &other, &reference(&devices[1])]
    {
        assert_eq!(here.get(&format!("/fhir/{path}")).await.status, 404, "{path}");
    }
    for query in
        ["Observation?identifier=r1", "Device?identifier=S1", &format!("Patient?identifier={SYSTEM}%7C")]
    {
        assert_eq!(here.get(&format!("/fhir/{query}&_summary=count")).await.json()["total"], 1, "{query}");
        assert_eq!(there.get(&format!("/fhir/{query}&_summary=count")).await.json()["total"], 1, "{query}");
    }
    for query in
        [format!("Observation?patient={other}"), format!("Observation?_id={}", &reference(&theirs)[12..])]
    {
        assert_eq!(entries(&here.get(&format!("/fhir/{query}")).await.json()).len(), 0, "{query}");
    }
    assert_eq!(here.get(&format!("/fhir/{other}/$everything")).await.status, 404);
    assert_eq!(here.get(&format!("/fhir/{other}/$outcomes?days=7&end=2026-03-07")).await.status, 404);
    // Nothing is said of another site's: it cannot be referred to, changed, or met by a condition.
    let stray = here.give("POST", "/fhir/Observation", "", &reading(&other, 2, "1").to_string()).await;
    refused(&stray, 422, "Observation.subject.reference");
    let path = format!("/fhir/{}", reference(&theirs));
    assert_eq!(here.give("PUT", &path, "", &theirs.json().to_string()).await.status, 404);
    let condition = format!("If-None-Exist: identifier={READINGS}%7Cr1\r\n");
    let stands = here.give("POST", "/fhir/Observation", &condition, &reading(&own, 3, "1").to_string()).await;
    assert_eq!((stands.status, reference(&stands)), (200, reference(&mine)));
    // One transaction at both: each site has its own.
    let url = "urn:uuid:0b1f8a60-0000-4000-8000-000000000001";
    let sent = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
        { "fullUrl": url, "resource": { "resourceType": "Group", "type": "device", "actual": true },
          "request": { "method": "POST", "url": "Group" } },
        { "resource": { "resourceType": "Device", "parent": { "reference": url }, "serialNumber": "9" },
          "request": { "method": "POST", "url": "Device" } },
    ] })
    .to_string();
    let mut locations = std::collections::BTreeSet::new();
    for talk in [&mut here, &mut there] {
        let taken = talk.give("POST", "/fhir", "", &sent).await;
        assert_eq!(taken.status, 200, "{}", text(&taken));
        let location = taken.json()["entry"][1]["response"]["location"].as_str().unwrap().to_owned();
        assert_eq!(talk.get(location.strip_prefix("https://localhost").unwrap()).await.status, 200);
        locations.insert(location);
    }
    assert_eq!(locations.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_in_one_release_is_asked_for_in_the_other_and_comes_back_as_it_was() {
    let (_dir, rig) = started().await;
    let mut talk = talk(&rig).await;
    let patient = new_patient(&mut talk, 1).await;
    let document = json!({
        "resourceType": "DocumentReference", "status": "current", "docStatus": "final", "version": "7",
        "subject": { "reference": patient },
        "date": "2026-03-01T00:00:00Z",
        "modality": [{ "coding": [{ "system": "urn:m", "code": "x" }] }],
        "content": [{ "attachment": { "contentType": "text/plain", "data": "YQ==", "pages": 1 } }],
    });
    let sent = document.to_string();
    let created = talk.give("POST", "/fhir/r5/DocumentReference", "", &sent).await;
    assert_eq!((created.status, created.header("content-type")), (201, Some(R5)), "{}", text(&created));
    let place = reference(&created);
    let as_r4 = talk.get(&format!("/fhir/r4/{place}")).await;
    assert_eq!((as_r4.status, as_r4.header("content-type")), (200, Some(R4)));
    let told = as_r4.json();
    for name in ["version", "modality"] {
        assert!(told[name].is_null(), "R4 has no {name}: {told}");
        let url = format!("http://hl7.org/fhir/5.0/StructureDefinition/extension-DocumentReference.{name}");
        assert!(told["extension"].as_array().unwrap().iter().any(|it| it["url"] == *url), "{told}");
    }
    assert_eq!((&told["docStatus"], &told["subject"]["reference"]), (&json!("final"), &json!(patient)));
    // By Accept as by the base; found as it is read; and in its own release as it came.
    let accept = "Accept: application/fhir+json; fhirVersion=5.0\r\n";
    for reply in [
        talk.get(&format!("/fhir/r5/{place}")).await,
        asked(&mut talk, &format!("/fhir/{place}"), accept).await,
    ] {
        assert_eq!((reply.header("content-type"), &reply.body), (Some(R5), &created.body));
    }
    let found = talk.get("/fhir/r4/DocumentReference?status=current").await.json();
    assert_eq!(entries(&found)[0]["resource"], told);
    for (name, value) in document.as_object().unwrap() {
        assert_eq!(&created.json()[name], value);
    }
    // What is read as R4, and put again as R4, says the same in R5.
    let put = talk.give("PUT", &format!("/fhir/r4/{place}"), "", &told.to_string()).await;
    assert_eq!((put.status, put.header("etag")), (200, Some("W/\"2\"")), "{}", text(&put));
    let again = talk.get(&format!("/fhir/r5/{place}")).await.json();
    for (name, value) in document.as_object().unwrap() {
        assert_eq!(&again[name], value, "{name}");
    }
    // What the other release says otherwise, or requires otherwise, is put back as it was read.
    let consent = json!({ "resourceType": "Consent", "status": "active", "patient": { "reference": patient },
        "scope": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy" }] },
        "category": [{ "coding": [{ "system": "http://loinc.org", "code": "59284-0" }] }],
        "policy": [{ "uri": "https://hospital.example.org/consent" }],
        "provision": { "type": "deny" } });
    let device = json!({ "resourceType": "Device", "deviceName": [{ "name": "X", "type": "model-name" }],
        "identifier": [{ "system": "urn:s", "value": "S9" }] });
    for resource in [consent, device] {
        let place = reference(&made(&mut talk, &resource).await);
        let as_r5 = talk.get(&format!("/fhir/r5/{place}")).await.json();
        let kind = resource["resourceType"].as_str().unwrap();
        let tried = talk.give("POST", &format!("/fhir/r5/{kind}/$validate"), "", &as_r5.to_string()).await;
        assert!(!text(&tried).contains("\"error\""), "{}", text(&tried));
        let put = talk.give("PUT", &format!("/fhir/r5/{place}"), "", &as_r5.to_string()).await;
        assert_eq!(put.status, 200, "{}", text(&put));
        let back = talk.get(&format!("/fhir/r4/{place}")).await.json();
        for (name, value) in resource.as_object().unwrap() {
            assert_eq!(&back[name], value, "{name}: {back}");
        }
    }
    // An extension that says again what an element says is still none.
    let mut shadowed = reading(&patient, 50, "100");
    shadowed["extension"] = json!([{ "valueQuantity": { "value": 200 },
        "url": "http://hl7.org/fhir/5.0/StructureDefinition/extension-Observation.value" }]);
    let refusal = talk.give("POST", "/fhir/Observation", "", &shadowed.to_string()).await;
    assert_eq!((refusal.status, refusal.code().as_str()), (422, "extension"), "{}", text(&refusal));
    // A refusal is in the release of its question.
    for (base, media) in [("/fhir/r5", R5), ("/fhir/r4", R4), ("/fhir", R4)] {
        let missing = talk.get(&format!("{base}/Observation/1-00000001")).await;
        assert_eq!((missing.status, missing.header("content-type")), (404, Some(media)), "{base}");
    }
    let missing = asked(&mut talk, "/fhir/Observation/1-00000001", accept).await;
    assert_eq!((missing.status, missing.header("content-type")), (404, Some(R5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_a_bundle_is_answered_as_if_it_had_come_alone() {
    let (_dir, rig) = started().await;
    let mut talk = talk(&rig).await;
    let patient = new_patient(&mut talk, 1).await;
    let observation = made(&mut talk, &reading(&patient, 1, "100")).await;
    let place = reference(&observation);
    let get = |url: String| json!({ "request": { "method": "GET", "url": url } });
    let mut known = get(place.clone());
    known["request"]["ifNoneMatch"] = json!("W/\"1\"");
    let batch = json!({ "resourceType": "Bundle", "type": "batch", "entry": [
        get(place.clone()),
        get(format!("https://localhost/fhir/{place}")),
        get(format!("/{}", place.replacen("Observation", "%4Fbservation", 1))),
        known,
        get(format!("https://elsewhere.example/fhir/{place}")),
        get("Observation?identifier=r1".to_owned()),
        { "request": { "method": "DELETE", "url": place } },
        { "request": { "method": "POST", "url": "Patient/$everything" } },
    ] })
    .to_string();
    // The conditions of the Bundle's own request are none of its entries'.
    let reply = talk.give("POST", "/fhir", "If-None-Match: W/\"1\"\r\n", &batch).await;
    assert_eq!(reply.status, 200, "{}", text(&reply));
    let told = reply.json();
    let status = |it: &Value| it["response"]["status"].as_str().unwrap()[..3].to_owned();
    let statuses: Vec<String> = entries(&told).iter().map(status).collect();
    assert_eq!(statuses, ["200", "200", "200", "304", "400", "200", "405", "404"], "{told}");
    for entry in &entries(&told)[..3] {
        assert_eq!(entry["resource"], observation.json(), "{entry}");
    }
    let place_of = |at: usize| &told["entry"][at]["response"]["outcome"]["issue"][0]["expression"][0];
    assert_eq!(place_of(4), "Bundle.entry[4].request.url");

    // References that are conditions lead to one, or to a refusal; whoever they are, nothing is written then.
    let with = |condition: &str, minute: u32| {
        let resource = reading(condition, minute, "100");
        json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
            { "resource": resource, "request": { "method": "POST", "url": "Observation" } },
        ] })
        .to_string()
    };
    let mrn = talk.get(&format!("/fhir/{patient}")).await.json()["identifier"][0]["value"]
        .as_str()
        .unwrap()
        .to_owned();
    let found = talk
        .give(
            "POST",
            "/fhir",
            "Prefer: return=representation\r\n",
            &with(&format!("Patient?identifier={SYSTEM}%7C{mrn}"), 2),
        )
        .await;
    assert_eq!(found.status, 200, "{}", text(&found));
    assert_eq!(found.json()["entry"][0]["resource"]["subject"]["reference"], json!(patient));
    new_patient(&mut talk, 2).await;
    for condition in ["Patient?identifier=nobody", "Patient?active:missing=true", "Patient?colour=red"] {
        let refusal = talk.give("POST", "/fhir", "", &with(condition, 3)).await;
        assert!(matches!(refusal.status, 400 | 412), "{condition}: {}", text(&refusal));
    }
    assert_eq!(talk.get("/fhir/Observation?identifier=r3&_summary=count").await.json()["total"], 0);
    let alone = talk
        .give("POST", "/fhir/Observation", "", &reading("Patient?identifier=1", 4, "1").to_string())
        .await;
    refused(&alone, 422, "Observation.subject.reference");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_switched_off_is_refused_with_the_key_that_does_it() {
    let extra = "requests_per_second = 100000\nwrites = [\"Patient\"]\n".to_owned();
    let (_dir, rig) = alone(FhirRig { extra, ..FhirRig::default() }).await;
    for (method, path) in [("POST", "/fhir/Observation"), ("PUT", "/fhir/Observation/1-00000001")] {
        let mut talk = talk(&rig).await;
        let refusal = talk.give(method, path, "", "{}").await;
        assert_eq!((refusal.status, refusal.header("allow")), (405, Some("GET")));
        assert!(text(&refusal).contains("writes of [fhir]"), "{}", text(&refusal));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_common_clients_send_is_taken_as_it_is_meant() {
    let (_dir, rig) = started().await;
    let mut talk = talk(&rig).await;
    let patient = new_patient(&mut talk, 1).await;
    let mut observation = reading(&patient, 1, "100");
    observation["code"]["coding"][0]["display"] = json!("Glucose");
    let created = made(&mut talk, &observation).await;
    let path = format!("/fhir/{}", reference(&created));
    // Words for people, and another spelling of the same instant, change nothing of what it is about.
    let mut spelled = created.json();
    spelled["status"] = json!("entered-in-error");
    spelled["code"] =
        json!({ "coding": [{ "system": "http://loinc.org", "code": "99504-3" }], "text": "glucose" });
    spelled["effectiveDateTime"] = json!("2026-03-01T01:01:00+01:00");
    spelled["subject"]["display"] = json!("somebody");
    let put = talk.give("PUT", &path, "", &spelled.to_string()).await;
    assert_eq!(put.status, 200, "{}", text(&put));
    for (name, value) in [
        ("code", json!({ "coding": [{ "system": "http://loinc.org", "code": "14745-4" }] })),
        ("effectiveDateTime", json!("2026-03-01T00:01:01Z")),
        ("subject", json!({ "identifier": { "system": SYSTEM, "value": "nobody" } })),
    ] {
        let mut other = spelled.clone();
        other[name] = value;
        refused(&talk.give("PUT", &path, "", &other.to_string()).await, 422, &format!("Observation.{name}"));
    }
    // How the answer is wanted is no part of a condition.
    let condition = format!(
        "If-None-Exist: https://localhost/fhir/Observation?_format=json&identifier={READINGS}%7Cr1\r\n"
    );
    let known =
        talk.give("POST", "/fhir/Observation?_format=json", &condition, &observation.to_string()).await;
    assert_eq!((known.status, reference(&known)), (200, reference(&created)));
    // Of what many share a narrow date makes few.
    let entry = |minute| json!({ "resource": reading(&patient, minute, "100"), "request": { "method": "POST", "url": "Observation" } });
    let many: Vec<Value> = (0..80)
        .map(|at| {
            let mut entry = entry(at % 60);
            entry["resource"]["effectiveDateTime"] = json!(format!("2026-02-{:02}T00:00:00Z", at / 4 + 1));
            entry["resource"]["identifier"] = json!([{ "system": READINGS, "value": format!("many{at}") }]);
            entry
        })
        .collect();
    let batch = json!({ "resourceType": "Bundle", "type": "batch", "entry": many }).to_string();
    assert_eq!(talk.give("POST", "/fhir", "", &batch).await.status, 200);
    let of = |rest: &str| format!("If-None-Exist: patient={patient}&code=99504-3{rest}\r\n");
    let once = talk
        .give(
            "POST",
            "/fhir/Observation",
            &of("&date=2026-03-01T00:09:00Z"),
            &reading(&patient, 9, "1").to_string(),
        )
        .await;
    assert_eq!(once.status, 201, "{}", text(&once));
    let twice = talk
        .give(
            "POST",
            "/fhir/Observation",
            &of("&date=2026-03-01T00:09:00Z"),
            &reading(&patient, 9, "2").to_string(),
        )
        .await;
    assert_eq!((twice.status, reference(&twice)), (200, reference(&once)));
    let shared = talk
        .give(
            "POST",
            "/fhir/Observation",
            &of("&status=preliminary"),
            &reading(&patient, 10, "1").to_string(),
        )
        .await;
    assert_eq!((shared.status, shared.code().as_str()), (422, "too-costly"), "{}", text(&shared));
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_and_ids_are_asked_for_as_the_standard_has_them() {
    let (_dir, rig) = started().await;
    let mut talk = talk(&rig).await;
    let patient = new_patient(&mut talk, 1).await;
    let (early, late) = (
        made(&mut talk, &reading(&patient, 1, "100")).await,
        made(&mut talk, &reading(&patient, 9, "100")).await,
    );
    // A Bundle of CGM data in Parameters, as a transaction.
    let cgm = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [{ "resource": reading(&patient, 11, "100") }] });
    let parameters =
        json!({ "resourceType": "Parameters", "parameter": [{ "name": "resource", "resource": cgm }] });
    let answered = talk.give("POST", "/fhir/$submit-cgm-bundle", "", &parameters.to_string()).await;
    assert_eq!(
        (answered.status, &answered.json()["type"]),
        (200, &json!("transaction-response")),
        "{}",
        text(&answered)
    );
    assert_eq!(answered.json()["entry"][0]["response"]["status"], "201 Created");
    // Ids are paged like all else, in the order that is asked for.
    let ids = [&early, &late].map(|it| reference(it)[12..].to_owned());
    let first =
        talk.get(&format!("/fhir/Observation?_id={},{}&_count=1&_sort=-date", ids[0], ids[1])).await.json();
    let next =
        first["link"][1]["url"].as_str().unwrap().strip_prefix("https://localhost").unwrap().to_owned();
    let second = talk.get(&next).await.json();
    let id = |bundle: &Value| entries(bundle)[0]["resource"]["id"].as_str().unwrap().to_owned();
    assert_eq!((entries(&first).len(), id(&first), id(&second)), (1, ids[1].clone(), ids[0].clone()));
    // A question in the body of a GET would be left out, and answered with everybody.
    let asked = talk
        .give("GET", "/fhir/Observation", "Content-Type: application/x-www-form-urlencoded\r\n", "patient=1")
        .await;
    assert_eq!((asked.status, asked.code().as_str()), (400, "invalid"), "{}", text(&asked));
    let mut talk = feed::talk(&rig).await;
    let chained = talk.get("/fhir/Observation?patient.identifier=1").await;
    assert!(text(&chained).contains("not chained"), "{}", text(&chained));
    let everything = format!("/fhir/{patient}/$everything?_type=Patient&_type=Observation&_count=1000");
    let kinds: std::collections::BTreeSet<String> = entries(&talk.get(&everything).await.json())
        .iter()
        .map(|it| it["resource"]["resourceType"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["Observation", "Patient"]);
    assert_eq!(talk.get(&format!("/fhir/{patient}/$everything?_type=Provenance")).await.status, 400);
}
