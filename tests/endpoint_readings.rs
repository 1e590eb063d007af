//! Single readings at the local FHIR endpoint, whichever way they came: those posted there and those that came over MLLP are
//! found together, each once, in one order, page by page, as their sources sent them; and by nobody who may not see them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use site::{
    PATIENCE,
    endpoint::{Talk, ask, bearer, client},
    feed::{entries, found, talk},
    people, send,
};
use standin::{
    Issuer, Pki,
    generator::{Display, DisplayUnit, SensorReading},
    rig::{FhirRig, Rig, RigSettings},
};

/// By which the rig names its patients.
const PATIENTS: &str = "urn:oid:1.2.3";
const DAY: &str = "2026-03-02";
const MG_DL: &str = "http://loinc.org%7C99504-3";
const AUDIENCE: &str = "https://box.example/fhir";

async fn prepared(dir: &std::path::Path, tables: String) -> Rig {
    let extra = "requests_per_second = 100000\n".to_owned();
    let fhir = FhirRig { extra, tables, ..FhirRig::default() };
    let settings = RigSettings { ehr: false, fhir: Some(fhir), ..site::daily() };
    let mut rig = site::prepare(dir, settings).await;
    rig.start().await.unwrap();
    rig
}

async fn started() -> (tempfile::TempDir, Rig) {
    let dir = tempfile::tempdir().unwrap();
    let rig = prepared(dir.path(), String::new()).await;
    (dir, rig)
}

/// Posts person `n`; `Patient/<id>`.
async fn posted(talk: &mut Talk, n: u32) -> String {
    let patient = json!({
        "resourceType": "Patient",
        "identifier": [{ "system": PATIENTS, "value": people::person(n).mrn }],
    });
    let reply = talk.give("POST", "/fhir/Patient", "", &patient.to_string()).await;
    assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
    format!("Patient/{}", reply.json()["id"].as_str().unwrap())
}

fn observation(patient: &str, minute: u32, value: u32) -> Value {
    json!({
        "resourceType": "Observation", "status": "final",
        "identifier": [{ "system": "urn:example", "value": format!("p{minute}") }],
        "code": { "coding": [{ "system": "http://loinc.org", "code": "99504-3" }] },
        "subject": { "reference": patient },
        "effectiveDateTime": format!("{DAY}T{:02}:{:02}:00Z", minute / 60, minute % 60),
        "valueQuantity": {
            "value": value, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL",
        },
    })
}

fn matches(bundle: &Value) -> Vec<&Value> {
    entries(bundle).iter().filter(|it| it["search"]["mode"] == "match").map(|it| &it["resource"]).collect()
}

fn next(bundle: &Value) -> Option<String> {
    let link = bundle["link"].as_array()?.iter().find(|it| it["relation"] == "next")?;
    Some(link["url"].as_str()?.strip_prefix("https://localhost").unwrap().to_owned())
}

/// All pages of a search: what matched, in order. The search goes on as long as there is a next page.
async fn walked(talk: &mut Talk, query: &str) -> Vec<Value> {
    let (mut path, mut seen) = (Some(format!("/fhir/Observation?{query}")), Vec::new());
    while let Some(asked) = path {
        let page = talk.get(&asked).await.json();
        assert_eq!(page["resourceType"], "Bundle", "{page}");
        seen.extend(matches(&page).into_iter().cloned());
        path = next(&page);
    }
    seen
}

/// Waits until a search finds so many, and gives them.
async fn until_found(talk: &mut Talk, query: &str, wanted: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = walked(talk, query).await;
        if found.len() == wanted {
            return found;
        }
        assert!(Instant::now() < deadline, "{query} finds {}, not {wanted}", found.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn times(found: &[Value]) -> Vec<&str> {
    found.iter().map(|it| it["effectiveDateTime"].as_str().unwrap()).collect()
}

fn sorted_times(found: &[Value]) -> Vec<jiff::Timestamp> {
    times(found).iter().map(|text| text.parse().unwrap()).collect()
}

fn hl7(control_id: &str, n: u32, first: i64, values: &[u32]) -> Vec<u8> {
    people::message(control_id, &people::person(n), &people::readings(people::day(DAY), first, values))
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_of_both_ways_are_found_together_each_once_newest_first_page_by_page() {
    let (_dir, rig) = started().await;
    let mut talk = talk(&rig).await;
    let patient = posted(&mut talk, 1).await;
    let other = posted(&mut talk, 2).await;
    // Every five minutes over MLLP from midnight, an hour; between them, and once at the same instant, posted ones.
    send(&rig, &[hl7("ONE", 1, 0, &[100; 12]), hl7("OTHER", 2, 0, &[90; 3])]).await;
    for minute in [2, 10, 12, 33, 58] {
        let made =
            talk.give("POST", "/fhir/Observation", "", &observation(&patient, minute, 111).to_string()).await;
        assert_eq!(made.status, 201);
    }
    let query = format!("patient={patient}&code={MG_DL}&date=ge{DAY}&_sort=-date");
    let found = until_found(&mut talk, &query, 17).await;
    let in_order = sorted_times(&found);
    assert!(in_order.windows(2).all(|pair| pair[0] >= pair[1]), "newest first: {in_order:?}");
    let ids: std::collections::BTreeSet<&str> = found.iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 17, "each once");
    let count =
        |wanted: &str| found.iter().filter(|it| it["id"].as_str().unwrap().starts_with(wanted)).count();
    assert_eq!(count("r-"), 12, "the posted ones are not made a second time");
    assert!(found.iter().all(|it| it["subject"]["reference"] == *patient));

    // Pages of any size, either direction, while more comes in front and behind.
    for count in [1, 2, 5, 16, 17, 50] {
        for (sort, reversed) in [("-date", false), ("date", true)] {
            let paged =
                walked(&mut talk, &format!("patient={patient}&code={MG_DL}&_sort={sort}&_count={count}"))
                    .await;
            let mut paged: Vec<&str> = paged.iter().map(|it| it["id"].as_str().unwrap()).collect();
            if reversed {
                paged.reverse();
            }
            let whole: Vec<&str> = found.iter().map(|it| it["id"].as_str().unwrap()).collect();
            assert_eq!(paged, whole, "{count} {sort}");
        }
    }
    let first = talk.get(&format!("/fhir/Observation?patient={patient}&code={MG_DL}&_count=6")).await.json();
    let mut seen: Vec<Value> = matches(&first).into_iter().cloned().collect();
    send(&rig, &[hl7("MORE", 1, 12, &[100; 3]), hl7("OLD", 1, 2, &[101; 1])]).await;
    until_found(&mut talk, &query, 21).await;
    let rest = next(&first).unwrap();
    seen.extend(walked(&mut talk, rest.split_once('?').unwrap().1).await);
    let once: std::collections::BTreeSet<&str> = seen.iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!((seen.len(), once.len()), (18, 18), "nothing twice; what came in front is not seen any more");
    assert!(ids.is_subset(&once), "what stood is all there");

    // What is asked beside the patient holds for both sorts.
    for (query, wanted) in [
        (format!("subject={patient}&code={MG_DL}&_total=accurate&_count=2"), 21),
        (format!("patient={patient}&date=ge{DAY}T00:30&date=lt{DAY}T00:40&code={MG_DL}"), 3),
        (format!("patient={patient}&date={DAY}T00:10&code={MG_DL}"), 3),
        (format!("patient={patient}&value-quantity=111"), 5),
        (format!("patient={patient}&code=http://loinc.org%7C105272-9"), 0),
        (format!("patient={patient}&code={MG_DL}&status=corrected"), 0),
        (format!("patient={patient}&identifier=urn:example%7Cp33"), 1),
        (format!("patient={other}&code={MG_DL}"), 3),
        (format!("patient={patient},{other}&code={MG_DL}&_total=accurate&_count=1"), 24),
        (format!("code={MG_DL}"), 5),
    ] {
        let found = talk.get(&format!("/fhir/Observation?{query}")).await.json();
        assert_eq!(found["total"], wanted, "{query}: {found}");
    }
    let counted = talk.get(&format!("/fhir/Observation?patient={patient}&code={MG_DL}&_summary=count")).await;
    assert_eq!(counted.json()["total"], 21);
    let told = talk
        .get(&format!("/fhir/Observation?patient={patient}&code={MG_DL}&_sort=_lastUpdated"))
        .await
        .json();
    assert_eq!(matches(&told).len(), 5);
    assert!(told.to_string().contains("sort by date to have them too"), "{told}");
    let everything = talk.get(&format!("/fhir/{other}/$everything")).await.json();
    let kinds = |kind: &str| {
        let is = |it: &&Value| {
            it["resource"]["resourceType"] == kind && it["resource"]["id"].as_str().unwrap().starts_with("r-")
        };
        entries(&everything).iter().filter(is).count()
    };
    assert_eq!(kinds("Observation"), 3);
    let compartment = talk.get(&format!("/fhir/{other}/Observation?code={MG_DL}")).await.json();
    assert_eq!(matches(&compartment).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_has_its_id_over_a_restart_and_is_read_here_and_not_written() {
    let (_dir, mut rig) = started().await;
    let mut talk = talk(&rig).await;
    let patient = posted(&mut talk, 1).await;
    send(&rig, &[hl7("ONE", 1, 0, &[100; 3])]).await;
    let found = until_found(&mut talk, &format!("patient={patient}&code={MG_DL}"), 3).await;

    // One by its id: the same as in the search, with a tag of its content, over a restart, and of nobody else.
    let made = found.iter().find(|it| it["id"].as_str().unwrap().starts_with("r-")).unwrap();
    let id = made["id"].as_str().unwrap().to_owned();
    let path = format!("/fhir/Observation/{id}");
    let read = talk.get(&path).await;
    assert_eq!((read.status, &read.json()), (200, made));
    let tag = read.header("etag").unwrap().to_owned();
    assert_eq!(tag, format!("W/\"{}\"", made["meta"]["versionId"].as_str().unwrap()));
    rig.stop().await.unwrap();
    rig.start().await.unwrap();
    let mut talk = self::talk(&rig).await;
    assert_eq!(talk.get(&path).await.body, read.body);
    talk.ask("GET", &path, &format!("If-None-Match: {tag}\r\n")).await;
    assert_eq!(talk.reply().await.unwrap().status, 304);
    let version = made["meta"]["versionId"].as_str().unwrap();
    assert_eq!(talk.get(&format!("{path}/_history/{version}")).await.status, 200);
    for path in [format!("{path}/_history/1"), format!("{path}/_history")] {
        let told = talk.get(&path).await;
        assert_eq!((told.status, told.code().as_str()), (404, "not-supported"), "{path}");
    }
    let flipped = if id.ends_with('0') { '1' } else { '0' };
    let forged = format!("{}{flipped}", &id[..id.len() - 1]);
    assert_eq!(talk.get(&format!("/fhir/Observation/{forged}")).await.status, 404);
    let put = talk.give("PUT", &path, "", &made.to_string()).await;
    assert_eq!((put.status, put.code().as_str()), (422, "business-rule"));
    let by_id = talk.get(&format!("/fhir/Observation?_id={id}&patient={patient}")).await.json();
    assert_eq!((&by_id["total"], matches(&by_id)[0]), (&json!(1), made));

    // What is stored may refer to it.
    let mut derived = observation(&patient, 59, 100);
    derived["derivedFrom"] = json!([{ "reference": format!("Observation/{id}") }]);
    assert_eq!(talk.give("POST", "/fhir/Observation", "", &derived.to_string()).await.status, 201);
    derived["derivedFrom"] = json!([{ "reference": format!("Observation/{forged}") }]);
    assert_eq!(talk.give("POST", "/fhir/Observation", "", &derived.to_string()).await.status, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_is_shown_as_its_source_sent_it_corrected_and_taken_back() {
    let (_dir, rig) = started().await;
    let mut talk = talk(&rig).await;
    let patient = posted(&mut talk, 1).await;
    let at: jiff::Timestamp = format!("{DAY}T10:00:00Z").parse().unwrap();
    let native = SensorReading {
        at,
        offset: jiff::tz::Offset::constant(2),
        display: Display::Number("5.50".to_owned()),
        unit: DisplayUnit::MmolPerL,
        serial: "SM00000042".to_owned(),
    };
    let low = SensorReading { at: at + Duration::from_secs(300), display: Display::Low, ..native.clone() };
    let sent = people::message("MMOL", &people::person(1), &[native.clone(), low]);
    send(&rig, &[sent]).await;
    let query = format!("patient={patient}&code=http://loinc.org%7C105272-9");
    let found = until_found(&mut talk, &query, 2).await;
    let text = String::from_utf8(talk.get(&format!("/fhir/Observation?{query}")).await.body).unwrap();
    assert!(text.contains(r#""value":5.50"#), "decimals as sent: {text}");
    assert_eq!(found[0]["valueQuantity"]["comparator"], "<");
    let one = &found[1];
    assert_eq!(one["effectiveDateTime"], format!("{DAY}T12:00:00+02:00"), "its own offset");
    assert_eq!((&one["valueQuantity"]["code"], &one["status"]), (&json!("mmol/L"), &json!("final")));
    assert_eq!(one["device"]["identifier"]["system"], "urn:isthmus:device");
    assert!(!text.contains("SM00000042"), "no serial number");
    let path = format!("/fhir/Observation/{}", one["id"].as_str().unwrap());
    let first = talk.get(&path).await;

    // Other shapes of the answer, and the other release.
    let shaped =
        talk.get(&format!("/fhir/r5/Observation?{query}&_elements=value&_include=Observation:patient")).await;
    let text = String::from_utf8(shaped.body.clone()).unwrap();
    assert!(text.contains(r#""value":5.50"#) && !text.contains("effectiveDateTime"), "{text}");
    assert_eq!(entries(&shaped.json()).iter().filter(|it| it["search"]["mode"] == "include").count(), 1);
    let since = talk.get(&format!("/fhir/Observation?{query}&_lastUpdated=ge2000-01-01")).await.json();
    assert_eq!(since["total"], 2);
    let none = talk.get(&format!("/fhir/Observation?{query}&_lastUpdated=lt2000-01-01")).await.json();
    assert_eq!(none["total"], 0);

    // The same reading with another value, corrected by its source; then taken back.
    let again = |control_id: &str, status: &str, value: &str| {
        let reading = SensorReading { display: Display::Number(value.to_owned()), ..native.clone() };
        let message = people::message(control_id, &people::person(1), &[reading]);
        // The order is the same one: only the message is another.
        let message = people::altered(&message, &format!("OBR|1||{control_id}"), "OBR|1||MMOL");
        people::altered(&message, "|||||F|", &format!("|||||{status}|"))
    };
    send(&rig, &[again("FIX", "C", "6.10")]).await;
    until_found(&mut talk, &format!("{query}&status=corrected"), 1).await;
    let second = talk.get(&path).await;
    let text = String::from_utf8(second.body.clone()).unwrap();
    assert!(text.contains(r#""value":6.10"#), "{text}");
    assert_ne!(first.header("etag"), second.header("etag"));
    assert_eq!(walked(&mut talk, &query).await.len(), 2, "it is the same reading");
    send(&rig, &[again("BACK", "D", "6.10")]).await;
    until_found(&mut talk, &format!("{query}&status=entered-in-error"), 1).await;
    let third = talk.get(&path).await.json();
    assert_eq!((&third["status"], &third["valueQuantity"]), (&json!("entered-in-error"), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_moves_what_is_found_and_a_token_of_another_patient_sees_none() {
    let dir = tempfile::tempdir().unwrap();
    let idp = dir.path().join("idp");
    std::fs::create_dir(&idp).unwrap();
    let issuer = Issuer::start(&Pki::create(&idp).unwrap().server).await.unwrap();
    let key = issuer.rotate(standin::smart::Algorithm::Es384, "k1").unwrap();
    let tables = format!(
        "[[fhir.issuer]]\nissuer = \"{}\"\naudience = \"{AUDIENCE}\"\nca = \"../idp/ca.pem\"\n\
         role_claim = \"realm_access.roles\"\nroles = [{{ value = \"reader\", role = \"viewer\" }}]\n",
        issuer.url()
    );
    let home = dir.path().join("box");
    std::fs::create_dir(&home).unwrap();
    let rig = prepared(&home, tables).await;
    let mut talk = talk(&rig).await;
    let (one, two) = (posted(&mut talk, 1).await, posted(&mut talk, 2).await);
    send(&rig, &[hl7("ONE", 1, 0, &[100; 4]), hl7("TWO", 2, 6, &[110; 2])]).await;
    let readings = until_found(&mut talk, &format!("patient={one}&code={MG_DL}"), 4).await;
    until_found(&mut talk, &format!("patient={two}&code={MG_DL}"), 2).await;
    let path = format!("/fhir/Observation/{}", readings[0]["id"].as_str().unwrap());

    let stranger = client(&rig, None);
    let token = |patient: &str| {
        let id = patient.split_once('/').unwrap().1;
        let claims = json!({
            "realm_access": { "roles": ["reader"] }, "scope": "patient/Observation.rs", "patient": id,
        });
        bearer(&key.sign(&issuer.claims(AUDIENCE, &claims)).unwrap())
    };
    for (patient, status, count) in [(&one, 200, 4), (&two, 404, 2)] {
        let told = ask(&stranger, &rig, "GET", &path, &token(patient)).await;
        assert_eq!(told.status, status, "{patient}");
        let all = ask(&stranger, &rig, "GET", &format!("/fhir/Observation?code={MG_DL}"), &token(patient))
            .await
            .json();
        assert_eq!(all["total"], count, "{all}");
    }
    let asked = format!("/fhir/Observation?patient={one}");
    let others = ask(&stranger, &rig, "GET", &asked, &token(&two)).await.json();
    assert_eq!(others["total"], 0, "{others}");

    let mr = |n: u32| format!("{}^^^NORTH^MR", people::person(n).mrn);
    let merge = format!(
        "MSH|^~\\&|ADT|NORTH|ISTHMUS|NORTH|20260401120001||ADT^A40|M1|P|2.5.1\rEVN|A40|20260401120001\r\
         PID|1||{}||Q^Z||19310709|M\rMRG|{}\r",
        mr(2),
        mr(1)
    );
    send(&rig, &[merge.into_bytes()]).await;
    let moved = until_found(&mut talk, &format!("patient={two}&code={MG_DL}"), 6).await;
    assert!(moved.iter().all(|it| it["subject"]["reference"] == *two));
    assert!(walked(&mut talk, &format!("patient={one}&code={MG_DL}")).await.is_empty());
    assert_eq!(talk.get(&path).await.json()["subject"]["reference"], *two, "under the same id");
    assert_eq!(ask(&stranger, &rig, "GET", &path, &token(&two)).await.status, 200);
    assert_eq!(ask(&stranger, &rig, "GET", &path, &token(&one)).await.status, 404);
    // Who was merged away says so, though a client posted it; whatever the client says afterwards, and until it is undone.
    let link = |kind: &str, other: &str| json!([{ "other": { "reference": other }, "type": kind }]);
    let merged = |it: &Value| it["link"] == link("replaced-by", &two) && it["active"] == false;
    let shown = found(&mut talk, &format!("/fhir/{one}"), merged).await;
    found(&mut talk, &format!("/fhir/{two}"), |it| it["link"] == link("replaces", &one)).await;
    let mut said = shown;
    said["gender"] = json!("male");
    said["active"] = json!(true);
    let put = talk.give("PUT", &format!("/fhir/{one}"), "", &said.to_string()).await;
    assert_eq!(put.status, 200, "{}", String::from_utf8_lossy(&put.body));
    found(&mut talk, &format!("/fhir/{one}"), |it| merged(it) && it["gender"] == "male").await;
    let links = site::command::json(&rig, &["identity", "links"]);
    let number = links["links"][0]["link"].as_i64().unwrap_or_else(|| panic!("{links}")).to_string();
    site::command::asked(&rig, &["identity", "unmerge", &number]).await;
    let alone = |it: &Value| it["link"].is_null() && it["active"] == true;
    found(&mut talk, &format!("/fhir/{one}"), |it| alone(it) && it["gender"] == "male").await;
}
