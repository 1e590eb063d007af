//! `$validate` at the FHIR endpoint, over real sockets: what is tried is judged as a write would be, and leaves nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use serde_json::{Value, json};
use site::{
    command,
    feed::{self, SYSTEM, new_patient, reference, refused, talk, talk_as, text, with_fhir},
    people,
    wanted::{consent, ledger, note, with_wishes},
};

const DAY: &str = "2026-03-02";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_tried_is_judged_as_a_write_would_be_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), with_fhir(with_wishes())).await;
    rig.start().await.unwrap();
    let mut talk = talk(&rig).await;
    let patient = new_patient(&mut talk, 1).await;
    let reading = feed::observation(&patient, &people::readings(people::day(DAY), 0, &[120])[0]);
    let made = talk.give("POST", "/fhir/Observation", "", &reading.to_string()).await;
    let stands = format!("{}/$validate", reference(&made));
    // With what is computed of it.
    site::settled(&rig).await;
    let before = talk.get("/fhir/Observation?_summary=count").await.json()["total"].clone();
    let with = |value: &Value, change: &dyn Fn(&mut Value)| {
        let mut value = value.clone();
        change(&mut value);
        value
    };
    let unknown = |value: Value| {
        with(&value, &|it| {
            it["patient"] = json!({ "identifier": { "system": SYSTEM, "value": people::person(9).mrn } });
        })
    };
    let twin = talk.get(&format!("/fhir/{patient}")).await.json();
    let of_nobody = with(&note(&patient, None), &|it| {
        it["for"] = json!({ "identifier": { "system": SYSTEM, "value": "nobody" } });
    });
    let none = ("informational", "");
    for (path, resource, expected) in [
        ("Observation/$validate", reading.clone(), none),
        (
            "Observation/$validate",
            with(&reading, &|it| it["subject"] = json!({ "reference": "Patient/1-00000001" })),
            ("not-found", "Observation.subject.reference"),
        ),
        (
            "Observation/$validate",
            with(&reading, &|it| it["status"] = json!("sound")),
            ("code-invalid", "Observation.status"),
        ),
        ("Patient/$validate", twin.clone(), none),
        ("Patient/$validate?mode=create", twin.clone(), ("duplicate", "Patient.identifier")),
        (&format!("{stands}?mode=update"), made.json(), none),
        (
            &format!("{stands}?mode=update"),
            with(&made.json(), &|it| it["code"]["coding"][0]["code"] = json!("14745-4")),
            ("business-rule", "Observation.code"),
        ),
        (&format!("{stands}?mode=delete"), made.json(), ("not-supported", "http.mode")),
        ("Consent/$validate?mode=create", unknown(consent("", "permit")), none),
        (
            "Consent/$validate?mode=create",
            with(&unknown(consent("", "permit")), &|it| it["status"] = json!("draft")),
            ("business-rule", "Consent.status"),
        ),
        ("Task/$validate?mode=create", note(&patient, None), none),
        ("Task/$validate?mode=create", of_nobody, ("business-rule", "Task.code")),
        ("Device/$validate?mode=profile", reading.clone(), ("invalid", "resourceType")),
    ] {
        // By itself, and in Parameters.
        let (path, mode) = path.split_once('?').unwrap_or((path, ""));
        let mut parameters = vec![json!({ "name": "resource", "resource": resource })];
        if let Some((name, value)) = mode.split_once('=') {
            parameters.push(json!({ "name": name, "valueCode": value }));
        }
        let parameters = json!({ "resourceType": "Parameters", "parameter": parameters });
        for (query, body) in [(mode, &resource), ("", &parameters)] {
            let reply = talk.give("POST", &format!("/fhir/{path}?{query}"), "", &body.to_string()).await;
            let issue = &reply.json()["issue"][0];
            let told = (reply.status, issue["code"].as_str().unwrap(), issue["expression"][0].as_str());
            let expected = (200, expected.0, Some(expected.1).filter(|at| !at.is_empty()));
            let place = told.2.map(|at| at.replace("Parameters.parameter[1].name", "http.mode"));
            assert_eq!((told.0, told.1, place.as_deref()), expected, "{path}?{query} {}", text(&reply));
        }
    }
    for (query, place) in
        [("mode=try", "http.mode"), ("mode=update", "http.mode"), ("profile=x", "http.profile")]
    {
        let path = format!("/fhir/Observation/$validate?{query}");
        refused(&talk.give("POST", &path, "", &reading.to_string()).await, 400, place);
    }
    // Who may not write is told what the standard says, and nothing of what is here.
    let mut officer = talk_as(&rig, &rig.pki().issue_client("officer").unwrap()).await;
    let sent = with(&unknown(consent("", "permit")), &|it| it["status"] = json!("draft")).to_string();
    let reply = officer.give("POST", "/fhir/Consent/$validate?mode=create", "", &sent).await;
    assert_eq!((reply.status, reply.code().as_str()), (200, "suppressed"), "{}", text(&reply));

    site::settled(&rig).await;
    for kind in ["Consent", "Task"] {
        assert_eq!(talk.get(&format!("/fhir/{kind}?_summary=count")).await.json()["total"], 0, "{kind}");
    }
    assert_eq!(talk.get("/fhir/Observation?_summary=count").await.json()["total"], before);
    assert!(ledger(&rig).is_empty());
    assert_eq!(command::json(&rig, &["intent", "list"])["intents"], json!([]));
    let held = command::asked(&rig, &["quarantine", "list"]).await.to_string();
    assert!(!held.contains("refused at the endpoint"), "{held}");
    let known = site::store::knows(&mut rig, SYSTEM, &[&people::person(1).mrn, &people::person(9).mrn]).await;
    assert_eq!(known, [true, false], "nobody got a number");
}
