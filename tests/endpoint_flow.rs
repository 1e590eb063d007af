//! What follows from what clients post at the local FHIR endpoint, over real sockets: readings become the outcomes that the same
//! readings over MLLP become, a Consent holds from its answer on, and a Task is written into the chart under its author's name.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use site::{
    chart, command, daily, edit_site,
    endpoint::Talk,
    feed::{
        self, SYSTEM, entries, feed, found, new_patient, numbers, reference, refused, talk, talk_as, text,
        with_fhir,
    },
    people, send, settled, until,
    wanted::{AUTHOR, WORDS, consent, ledger, note, task, with_wishes},
};
use standin::rig::{Rig, RigSettings};

const DAY: &str = "2026-03-02";

fn outcomes_of(patient: &str) -> String {
    format!("/fhir/Observation?patient={patient}&date=ge2026-03-01&category=laboratory&_count=100")
}

#[tokio::test(flavor = "multi_thread")]
async fn weeks_of_readings_over_the_endpoint_are_the_outcome_of_the_same_over_mllp_and_are_amended() {
    let dir = tempfile::tempdir().unwrap();
    let settings =
        RigSettings { window_days: 14, every_days: 14, publish_from: "2026-03-15".to_owned(), ..daily() };
    let mut rig = site::prepare(dir.path(), with_fhir(settings)).await;
    rig.start().await.unwrap();
    let mut talk = talk(&rig).await;
    // A window of two weeks ends with Sunday the 15th.
    let first = people::day(DAY);
    let values: Vec<u32> = (0..14 * 288).map(|at| 60 + at * 37 % 210).collect();
    let all = people::readings(first, 0, &values);
    // One of the third day comes late.
    let (late, rest) = (all[600].clone(), [&all[..600], &all[601..]].concat());
    let (over_fhir, both) = (new_patient(&mut talk, 2).await, new_patient(&mut talk, 3).await);
    let mllp = |n: u32| -> Vec<Vec<u8>> {
        let chunks = rest.chunks(288).enumerate();
        chunks.map(|(at, it)| people::message(&format!("W{n}-{at}"), &people::person(n), it)).collect()
    };
    send(&rig, &mllp(1)).await;
    let stored = feed(&mut talk, &over_fhir, &rest).await;
    feed(&mut talk, &both, &rest).await;
    send(&rig, &mllp(3)).await;
    settled(&rig).await;
    let end = "2026-03-15";
    let chart_of = |n: u32| {
        let mrn = people::person(n).mrn;
        let all = chart::numbers(&rig.ehr).into_iter().filter(|(key, _)| key[0] == mrn && key[3] == end);
        all.map(|(key, value)| (key[1].clone(), value)).collect::<BTreeMap<String, String>>()
    };
    assert!(chart_of(1).len() >= 6, "{:?}", chart_of(1));
    assert_eq!(chart_of(1), chart_of(2), "the route makes no difference");
    assert_eq!(chart_of(1), chart_of(3), "what comes by both counts once");

    // Served, and found with what is told of it.
    let path = format!(
        "/fhir/Observation?patient={over_fhir}&code=http://loinc.org%7C{}&date=ge2026-03-02&date=le2026-03-15&_revinclude=Provenance:target",
        chart::MEAN
    );
    let served = found(&mut talk, &path, |it| entries(it).len() >= 2).await;
    let [mean, provenance] = entries(&served) else { panic!("{served}") };
    assert_eq!(
        (&mean["resource"]["status"], &provenance["search"]["mode"]),
        (&json!("final"), &json!("include"))
    );
    assert_eq!(provenance["resource"]["resourceType"], "Provenance");
    let before = mean["resource"]["valueQuantity"]["value"].clone();
    assert_eq!(before.as_f64(), chart::mean(&rig.ehr, &people::person(2).mrn, end).map(|it| it.value));
    let report = talk.get(&format!("/fhir/DiagnosticReport?patient={over_fhir}")).await.json();
    assert!(entries(&report)[0]["resource"]["result"].as_array().unwrap().len() >= 6, "{report}");
    the_same_on_demand(&mut talk, &over_fhir).await;

    // A late reading amends, and one that was wrong is taken out.
    feed(&mut talk, &over_fhir, &[late]).await;
    let amended = |status: &'static str, version: &'static str| {
        move |it: &Value| {
            let resource = &entries(it)[0]["resource"];
            resource["status"] == status && resource["meta"]["versionId"] == version
        }
    };
    found(&mut talk, &path, amended("amended", "2")).await;
    let wrong = &stored[100];
    let mut body = talk.get(&format!("/fhir/{wrong}")).await.json();
    body["status"] = json!("entered-in-error");
    let put = talk.give("PUT", &format!("/fhir/{wrong}"), "", &body.to_string()).await;
    assert_eq!(put.status, 200, "{}", text(&put));
    let is_third = |it: &Value| entries(it)[0]["resource"]["meta"]["versionId"] == "3";
    let after = found(&mut talk, &path, is_third).await;
    assert!(
        matches!(entries(&after)[0]["resource"]["status"].as_str(), Some("amended" | "corrected")),
        "{after}"
    );
    // 60 + 100 * 37 % 210 is left out, by a hand's arithmetic: the mean is that of all others.
    let kept: u32 = values.iter().sum::<u32>() - values[100];
    let mean = f64::from(kept) / (values.len() - 1) as f64;
    let told = entries(&after)[0]["resource"]["valueQuantity"]["value"].as_f64().unwrap();
    assert!((told - mean).abs() <= 0.5, "{told} is no rounding of {mean}");
    settled(&rig).await;
    assert_eq!(chart::mean(&rig.ehr, &people::person(2).mrn, end).map(|it| it.value), Some(told));
    the_same_on_demand(&mut talk, &over_fhir).await;
    everything_is_valid_in_r5(&mut talk, &over_fhir).await;
}

/// `$outcomes` gives what is published of the same days.
async fn the_same_on_demand(talk: &mut Talk, patient: &str) {
    let published = numbers(&talk.get(&outcomes_of(patient)).await.json());
    let path = format!("/fhir/{patient}/$outcomes?start=2026-03-02&end=2026-03-15");
    let reply = talk.get(&path).await;
    assert_eq!(reply.status, 200, "{}", text(&reply));
    let mut asked = numbers(&reply.json());
    // Members of the panel are other resources here and there.
    let mut published = published;
    // Of days that are not over it is said that more may come.
    let statuses = |bundle: &Value| -> std::collections::BTreeSet<String> {
        let observations =
            entries(bundle).iter().map(|it| &it["resource"]).filter(|it| it["resourceType"] == "Observation");
        observations.map(|it| it["status"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(statuses(&reply.json()), ["final".to_owned()].into());
    let open = talk.get(&format!("/fhir/{patient}/$outcomes?start=2026-03-02&end=2027-03-01")).await.json();
    assert_eq!(statuses(&open), ["preliminary".to_owned()].into(), "{open}");
    published.retain(|code, _| asked.contains_key(code));
    asked.retain(|code, _| published.contains_key(code));
    assert!(published.len() >= 6, "{published:?}");
    assert_eq!(published, asked);
}

/// What `/fhir/r5` serves is what `/fhir/r5` would take; but a Consent of R4 whose rule R5 cannot say, which has it in a
/// modifier extension, so that nobody who does not know it acts on the rest.
async fn everything_is_valid_in_r5(talk: &mut Talk, patient: &str) {
    let mut kinds = std::collections::BTreeSet::new();
    for search in [
        format!("Patient?_id={}&_revinclude=Provenance:target", patient.trim_start_matches("Patient/")),
        format!("Observation?patient={patient}&category=laboratory&_revinclude=Provenance:target&_count=50"),
        format!("DiagnosticReport?patient={patient}"),
        format!("Task?patient={patient}"),
    ] {
        let page = talk.get(&format!("/fhir/r5/{search}")).await;
        assert_eq!(page.status, 200, "{search}: {}", text(&page));
        for entry in entries(&page.json()) {
            let resource = &entry["resource"];
            let kind = resource["resourceType"].as_str().unwrap();
            let said =
                talk.give("POST", &format!("/fhir/r5/{kind}/$validate"), "", &resource.to_string()).await;
            let issues = said.json()["issue"].as_array().cloned().unwrap_or_default();
            let wrong: Vec<&Value> = issues.iter().filter(|it| it["severity"] == "error").collect();
            assert!(said.status == 200 && wrong.is_empty(), "{kind}: {wrong:?}: {resource}");
            kinds.insert(kind.to_owned());
        }
    }
    for kind in ["Patient", "Observation", "Provenance"] {
        assert!(kinds.contains(kind), "{kinds:?}");
    }
}

fn decided(words: &[&str]) -> Vec<(String, String)> {
    words.iter().map(|word| ((*word).to_owned(), "treatment".to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_holds_from_its_answer_on_over_a_kill_and_what_cannot_be_carried_out_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), with_fhir(daily())).await;
    edit_site(&rig, "mode = \"full\"", "mode = \"read-only\"");
    rig.start().await.unwrap();
    let mut talk = talk(&rig).await;
    let patient = new_patient(&mut talk, 1).await;
    feed(&mut talk, &patient, &people::readings(people::day(DAY), 0, &[120; 12])).await;
    until(&rig, "the outcome waits", |s| s["outbox"]["deferred"].as_u64() > Some(0)).await;

    let mut limited = consent(&patient, "deny");
    limited["provision"]["actor"] =
        json!([{ "role": { "text": "Zebediah" }, "reference": { "display": "Zebediah" } }]);
    let reply = talk.give("POST", "/fhir/Consent", "", &limited.to_string()).await;
    refused(&reply, 422, "Consent.provision.actor");
    assert!(!text(&reply).contains("Zebediah"));
    let mut unknown = consent(&patient, "deny");
    unknown["patient"] = json!({ "identifier": { "system": "urn:other", "value": "1" } });
    refused(
        &talk.give("POST", "/fhir/Consent", "", &unknown.to_string()).await,
        422,
        "Consent.patient.identifier",
    );
    let held = command::asked(&rig, &["quarantine", "list"]).await;
    assert!(
        held.to_string().contains("refused at the endpoint: business-rule at Consent.provision.actor"),
        "{held}"
    );
    assert_eq!(talk.get("/fhir/Consent?_summary=count").await.json()["total"], 0);

    // Denied, and killed at once: what was answered holds.
    let sent = consent(&patient, "deny").to_string();
    let made = talk.give("POST", "/fhir/Consent", "", &sent).await;
    rig.kill();
    assert_eq!(made.status, 201, "{}", text(&made));
    rig.start().await.unwrap();
    assert_eq!(ledger(&rig), decided(&["withdraw"]));
    let mut talk = feed::talk(&rig).await;
    let again = talk.give("POST", "/fhir/Consent", "", &sent).await;
    assert_eq!((again.status, again.header("location")), (201, made.header("location")));
    assert_eq!(ledger(&rig).len(), 1, "the same again is one decision");
    edit_site(&rig, "mode = \"read-only\"", "mode = \"full\"");
    rig.stop().await.unwrap();
    rig.start().await.unwrap();
    until(&rig, "held for want of consent", |s| s["consent"]["held"].as_u64() > Some(0)).await;
    assert_eq!(chart::writes(&rig.ehr).len(), 0, "nothing leaves");

    // A permit takes its place: what had waited goes.
    let mut talk = feed::talk(&rig).await;
    let path = format!("/fhir/{}", reference(&made));
    let with = |change: fn(&mut Value)| {
        let mut body = made.json();
        change(&mut body);
        body.to_string()
    };
    let permit = with(|it| it["provision"]["type"] = json!("permit"));
    let put = talk.give("PUT", &path, "If-Match: W/\"1\"\r\n", &permit).await;
    assert_eq!(put.status, 200, "{}", text(&put));
    assert_eq!(ledger(&rig), decided(&["withdraw", "grant"]));
    settled(&rig).await;
    assert!(chart::mean(&rig.ehr, &people::person(1).mrn, DAY).is_some());
    // Ended, it permits no more; another patient's, and another Consent's, it never becomes.
    let moved = with(|it| it["identifier"] = json!([{ "system": "urn:consents", "value": "7" }]));
    refused(&talk.give("PUT", &path, "", &moved).await, 422, "Consent.identifier");
    // The denial of before, sent again, would undo the permit: it is not said to hold.
    let again = talk.give("POST", "/fhir/Consent", "", &sent).await;
    assert_eq!((again.status, again.code().as_str()), (409, "conflict"), "{}", text(&again));
    let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
        { "resource": serde_json::from_str::<Value>(&sent).unwrap(), "request": { "method": "POST", "url": "Consent" } },
    ] });
    assert_ne!(talk.give("POST", "/fhir", "", &bundle.to_string()).await.status, 200);
    let ended = with(|it| {
        it["status"] = json!("inactive");
        it["provision"]["type"] = json!("permit");
    });
    assert_eq!(talk.give("PUT", &path, "", &ended).await.status, 200);
    assert_eq!(ledger(&rig), decided(&["withdraw", "grant", "end"]));
    // The client's own document is what is served, in all its versions, and no second one is made of it.
    let history = talk.get(&format!("{path}/_history")).await.json();
    assert_eq!((&history["total"], entries(&history).len()), (&json!(3), 3));
    assert_eq!(talk.get(&format!("/fhir/Consent?patient={patient}&_summary=count")).await.json()["total"], 1);
    everything_is_valid_in_r5(&mut talk, &patient).await;
    who_did_what(&rig, &patient).await;
}

/// The audit log has who did what, and neither a name nor a value.
async fn who_did_what(rig: &Rig, patient: &str) {
    let officer = rig.pki().issue_client("officer").unwrap();
    let mut talk = talk_as(rig, &officer).await;
    let log = talk.get("/fhir/AuditEvent?_count=200").await;
    assert_eq!(log.status, 200, "{}", text(&log));
    let said = text(&log);
    for known in [patient, "Consent/", "fhir create", "fhir update", "rig"] {
        assert!(said.contains(known), "no {known}: {said}");
    }
    for hidden in [&*people::person(1).mrn, "Quibblethorpe", "Zebediah", "1931-07-09", "19310709"] {
        assert!(!said.contains(hidden), "{hidden}: {said}");
    }
    assert_eq!(talk.get("/fhir/Observation").await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_in_a_transaction_with_its_patient_holds_and_one_that_is_refused_takes_all_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), with_fhir(daily())).await;
    rig.start().await.unwrap();
    let mut talk = talk(&rig).await;
    let bundle = |n: u32, kind: &str, form: &str| {
        let full_url = "urn:uuid:0b1f8a60-0000-4000-8000-000000000001";
        let patient = json!({ "resourceType": "Patient",
            "identifier": [{ "system": SYSTEM, "value": people::person(n).mrn, "type": { "coding": [{ "code": "MR" }] } }] });
        json!({ "resourceType": "Bundle", "type": form, "entry": [
            { "fullUrl": full_url, "resource": patient, "request": { "method": "POST", "url": "Patient" } },
            { "resource": consent(full_url, kind), "request": { "method": "POST", "url": "Consent" } },
        ] })
    };
    let good = talk.give("POST", "/fhir", "", &bundle(1, "deny", "transaction").to_string()).await;
    assert_eq!(good.status, 200, "{}", text(&good));
    assert_eq!(ledger(&rig), decided(&["withdraw"]));
    let mut bad = bundle(2, "deny", "transaction");
    bad["entry"][1]["resource"]["status"] = json!("draft");
    let refusal = talk.give("POST", "/fhir", "", &bad.to_string()).await;
    refused(&refusal, 422, "Bundle.entry[1].resource.status");
    assert_eq!(talk.get("/fhir/Consent?_summary=count").await.json()["total"], 1);
    assert_eq!(ledger(&rig).len(), 1, "nothing of it counts");
    // Nor does it stand in the way of the Patient.
    let alone = talk.give("POST", "/fhir/Patient", "", &bad["entry"][0]["resource"].to_string()).await;
    assert_eq!(alone.status, 201, "{}", text(&alone));
    // As a batch, the good one stands, and two of one document do not both count at once.
    let named = |kind: &str| {
        let mut consent = consent("Patient/x", kind);
        consent["patient"] = json!({ "identifier": { "system": SYSTEM, "value": people::person(3).mrn } });
        consent["identifier"] = json!([{ "system": "urn:consents", "value": "1" }]);
        json!({ "resource": consent, "request": { "method": "POST", "url": "Consent" } })
    };
    let mut drafted = named("deny");
    drafted["resource"]["status"] = json!("draft");
    let batch = json!({ "resourceType": "Bundle", "type": "batch", "entry": [drafted, named("deny")] });
    let done = talk.give("POST", "/fhir", "", &batch.to_string()).await.json();
    let statuses: Vec<&str> =
        entries(&done).iter().map(|it| &it["response"]["status"].as_str().unwrap()[..3]).collect();
    assert_eq!(statuses, ["422", "201"], "{done}");
    assert_eq!(ledger(&rig), decided(&["withdraw", "withdraw"]));
}

/// Documents at the EHR whose text is a person's note.
fn notes(rig: &Rig) -> Vec<String> {
    let documents = rig.ehr.resources().into_iter().filter(|it| it["resourceType"] == "DocumentReference");
    let texts = documents.map(|document| {
        let data = document["content"][0]["attachment"]["data"].as_str().unwrap().to_owned();
        String::from_utf8(STANDARD.decode(data).unwrap()).unwrap()
    });
    texts.filter(|text| text.starts_with("Note by a clinician")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_written_into_the_chart_under_its_authors_name_once_and_says_how_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), with_fhir(with_wishes())).await;
    rig.start().await.unwrap();
    let mut talk = talk(&rig).await;
    let (patient, other) = (new_patient(&mut talk, 1).await, new_patient(&mut talk, 2).await);
    feed(&mut talk, &patient, &people::readings(people::day(DAY), 0, &[120; 12])).await;
    settled(&rig).await;
    let mean = format!("/fhir/Observation?patient={patient}&code={}", chart::MEAN);
    let served = found(&mut talk, &mean, |it| entries(it).len() == 1).await;
    let focus = format!("Observation/{}", entries(&served)[0]["resource"]["id"].as_str().unwrap());

    // What cannot be carried out is told with its element, and nothing is entered.
    let with = |change: fn(&mut Value)| {
        let mut task = note(&patient, None);
        change(&mut task);
        task.to_string()
    };
    for (body, element) in [
        (with(|it| it["status"] = json!("draft")), "Task.status"),
        (with(|it| it["code"]["coding"][0]["code"] = json!("surgery")), "Task.code"),
        (with(|it| it["requester"]["display"] = json!("Dr.\u{202e}Quibble")), "Task.requester"),
        (with(|it| it["restriction"] = json!({ "repetitions": 2 })), "Task.restriction"),
        (with(|it| it["input"][0]["valueString"] = json!("a".repeat(2_001))), "Task.input"),
        (note(&other, Some(&focus)).to_string(), "Task.focus"),
        (note(&patient, Some(&patient)).to_string(), "Task.focus"),
        (
            task(
                "flowsheet",
                &patient,
                Some(&focus),
                json!({ "type": { "text": "form" }, "valueString": "epic-flowsheet" }),
            )
            .to_string(),
            "Task.code",
        ),
    ] {
        refused(&talk.give("POST", "/fhir/Task", "", &body).await, 422, element);
    }
    assert_eq!(command::json(&rig, &["intent", "list"])["intents"], json!([]));

    let mut wanted = note(&patient, Some(&focus));
    wanted["identifier"] = json!([{ "system": "urn:app", "value": "note-1" }]);
    let made = talk.give("POST", "/fhir/Task", "", &wanted.to_string()).await;
    assert_eq!(made.status, 201, "{}", text(&made));
    // The same request with other bytes is the same intent; another wish under its name is none.
    let mut respelled = wanted.clone();
    respelled["authoredOn"] = json!("2026-03-03T00:00:00Z");
    let again = talk.give("POST", "/fhir/Task", "", &respelled.to_string()).await;
    assert_eq!((again.status, reference(&again)), (200, reference(&made)));
    respelled["input"][0]["valueString"] = json!("Something else.");
    assert_eq!(talk.give("POST", "/fhir/Task", "", &respelled.to_string()).await.status, 409);
    let path = format!("/fhir/{}", reference(&made));
    let done = found(&mut talk, &path, |it| it["status"] == "completed").await;
    assert_eq!((&done["requester"], &done["input"]), (&wanted["requester"], &wanted["input"]));
    let [text_of] = &notes(&rig)[..] else { panic!("{:?}", notes(&rig)) };
    for line in [&format!("Author: {AUTHOR}, 4711"), "Entered by client rig for Dr. Ada Quibble", WORDS] {
        assert!(text_of.contains(line), "no {line}: {text_of}");
    }
    let resources = rig.ehr.resources();
    let authored = resources
        .iter()
        .any(|it| it["resourceType"] == "Provenance" && it["agent"][0]["who"]["display"] == AUTHOR);
    assert!(authored, "its Provenance names the author");
    let mut over = done.clone();
    over["status"] = json!("cancelled");
    refused(&talk.give("PUT", &path, "", &over.to_string()).await, 422, "Task.status");
    everything_is_valid_in_r5(&mut talk, &patient).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_waits_is_stood_by_or_taken_back_and_keeps_what_it_asks() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), with_fhir(with_wishes())).await;
    edit_site(&rig, "mode = \"full\"", "mode = \"read-only\"");
    rig.start().await.unwrap();
    let mut talk = talk(&rig).await;
    let patient = new_patient(&mut talk, 1).await;
    // Entered and killed at once: the intent and its Task are both there.
    let made = talk.give("POST", "/fhir/Task", "", &note(&patient, None).to_string()).await;
    rig.kill();
    assert_eq!(made.status, 201, "{}", text(&made));
    rig.start().await.unwrap();
    let listed = command::json(&rig, &["intent", "list"]);
    assert_eq!(listed["intents"].as_array().unwrap().len(), 1, "{listed}");
    let mut talk = feed::talk(&rig).await;
    let path = format!("/fhir/{}", reference(&made));
    let waits = found(&mut talk, &path, |it| it["status"] == "in-progress").await;
    let put = async |talk: &mut Talk, status: &str, change: fn(&mut Value)| {
        let mut body = talk.get(&path).await.json();
        body["status"] = json!(status);
        change(&mut body);
        talk.give("PUT", &path, "", &body.to_string()).await
    };
    let words: fn(&mut Value) = |it| it["input"][0]["valueString"] = json!("Other words.");
    refused(&put(&mut talk, "cancelled", words).await, 422, "Task.input");
    refused(&put(&mut talk, "completed", |_| ()).await, 422, "Task.status");
    let stood_by = put(&mut talk, "requested", |_| ()).await;
    assert_eq!(stood_by.status, 200, "{}", text(&stood_by));
    found(&mut talk, &path, |it| it["status"] == "in-progress").await;
    let cancelled = put(&mut talk, "cancelled", |_| ()).await;
    assert_eq!(cancelled.status, 200, "{}", text(&cancelled));
    assert_eq!(command::json(&rig, &["intent", "list"])["intents"][0]["state"], "withdrawn");
    let told = found(&mut talk, &path, |it| it["status"] == "cancelled").await;
    assert_eq!(told["input"], waits["input"]);
    refused(&put(&mut talk, "requested", |_| ()).await, 422, "Task.status");
    // What the command line entered is stood by there, and may be taken back here.
    assert!(notes(&rig).is_empty());
    let log = std::fs::read_to_string(rig.log_file()).unwrap();
    assert!(!log.contains(WORDS) && !log.contains("Quibble"), "no word of a person is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_posted_birth_date_is_compared_and_never_a_registration() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), with_fhir(daily())).await;
    rig.start().await.unwrap();
    let mut talk = talk(&rig).await;
    let born = |n: u32, date: &str| {
        json!({ "resourceType": "Patient", "birthDate": date,
            "identifier": [{ "system": SYSTEM, "value": people::person(n).mrn, "type": { "coding": [{ "code": "MR" }] } }] })
        .to_string()
    };
    // A result states 1931-07-09.
    send(&rig, &[people::hour("B1", 1, DAY, 120)]).await;
    settled(&rig).await;
    let patient = found(&mut talk, "/fhir/Patient", |it| entries(it).len() == 1).await;
    assert_eq!(entries(&patient)[0]["resource"]["birthDate"], "1931-07-09");
    let wrong = talk.give("POST", "/fhir/Patient", "", &born(2, "1931-07-10")).await;
    assert_eq!(wrong.status, 201, "nothing contradicts it");
    // Now a result that says otherwise waits for a person.
    send(&rig, &[people::hour("B2", 2, DAY, 120)]).await;
    until(&rig, "it waits", |s| s["inbox"]["unidentified"] == 1).await;
    // Put right by who had sent it, the result is read.
    let path = format!("/fhir/{}", reference(&wrong));
    let mut right = wrong.json();
    right["birthDate"] = json!("1931-07-09");
    let put = talk.give("PUT", &path, "", &right.to_string()).await;
    assert_eq!(put.status, 200, "{}", text(&put));
    until(&rig, "it was read", |s| s["inbox"]["unidentified"] == 0).await;
    settled(&rig).await;
    assert!(chart::mean(&rig.ehr, &people::person(2).mrn, DAY).is_some());
    // What a result has said is not changed by an app's word.
    let blank =
        talk.give("POST", "/fhir/Patient", "", &born(3, "1931").replace("\"birthDate\":\"1931\",", "")).await;
    assert_eq!(blank.status, 201, "{}", text(&blank));
    send(&rig, &[people::hour("B3", 3, DAY, 120)]).await;
    settled(&rig).await;
    let mut other = blank.json();
    assert!(other.get("birthDate").is_none());
    other["birthDate"] = json!("1931-07-10");
    let path = format!("/fhir/{}", reference(&blank));
    refused(&talk.give("PUT", &path, "", &other.to_string()).await, 422, "Patient.birthDate");
    other["birthDate"] = json!("1931-07");
    assert_eq!(talk.give("PUT", &path, "", &other.to_string()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_one_wish_of_one_patient_and_the_same_words_in_another_request_are_another() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), with_fhir(with_wishes())).await;
    rig.start().await.unwrap();
    let mut talk = talk(&rig).await;
    let (patient, _) = (new_patient(&mut talk, 1).await, new_patient(&mut talk, 2).await);
    // Under the same name for another patient, however that one is named, it is another wish; and so are the same words in
    // another request.
    let named = |value: &str| {
        let mut task = note(&patient, None);
        task["for"] = json!({ "identifier": { "system": SYSTEM, "value": value } });
        task["identifier"] = json!([{ "system": "urn:notes", "value": "note-1" }]);
        task.to_string()
    };
    let (first, second) = (people::person(1).mrn.clone(), people::person(2).mrn.clone());
    let one = talk.give("POST", "/fhir/Task", "", &named(&first)).await;
    assert_eq!(one.status, 201, "{}", text(&one));
    for value in [&*second, "nobody"] {
        let other = talk.give("POST", "/fhir/Task", "", &named(value)).await;
        assert_eq!((other.status, other.code().as_str()), (409, "conflict"), "{value}: {}", text(&other));
    }
    let mut places = std::collections::BTreeSet::new();
    for id in ["q1", "q2", "q1"] {
        let mut call = note(&patient, None);
        call["input"][0]["valueString"] = json!("Please call back.");
        let lines = format!("X-Request-Id: {id}\r\n");
        let made = talk.give("POST", "/fhir/Task", &lines, &call.to_string()).await;
        assert!(matches!(made.status, 200 | 201), "{}", text(&made));
        places.insert(reference(&made));
    }
    assert_eq!(places.len(), 2, "{places:?}");
    let listed = command::json(&rig, &["intent", "list"]);
    assert_eq!(listed["intents"].as_array().unwrap().len(), 3, "{listed}");
}
