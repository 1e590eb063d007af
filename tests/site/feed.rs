//! Posting at the FHIR endpoint and looking at what follows: patients, batches of readings, what is served.

use std::{collections::BTreeMap, time::Instant};

use serde_json::{Value, json};
use standin::{
    generator::{Display, SensorReading},
    pki::Identity,
    rig::{FhirRig, Rig, RigSettings},
};

use super::{
    PATIENCE,
    endpoint::{Reply, Talk, client},
    people,
};

/// The system of the rig's patients.
pub const SYSTEM: &str = "urn:oid:1.2.3";
/// A client that reads the audit log.
const OFFICER: &str = "\n[[fhir.client]]\nname = \"officer\"\ncertificate = \"CN=officer\"\nrole = \"security-officer\"\n\
    scopes = [\"system/*.rs\"]\n";

/// A site with an endpoint.
pub fn with_fhir(settings: RigSettings) -> RigSettings {
    let fhir = FhirRig {
        extra: "requests_per_second = 100000\n".to_owned(),
        tables: OFFICER.to_owned(),
        ..FhirRig::default()
    };
    RigSettings { fhir: Some(fhir), ..settings }
}

/// A box with an endpoint and nothing beside it, started; with the folder that holds it.
pub async fn alone(fhir: FhirRig) -> (tempfile::TempDir, Rig) {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("box");
    std::fs::create_dir(&home).unwrap();
    let settings = RigSettings { ehr: false, upstream: false, fhir: Some(fhir), ..RigSettings::default() };
    let mut rig = super::prepare(&home, settings).await;
    rig.start().await.unwrap();
    (dir, rig)
}

/// A connection of the rig's client.
pub async fn talk(rig: &Rig) -> Talk {
    talk_as(rig, &rig.pki().client).await
}

pub async fn talk_as(rig: &Rig, who: &Identity) -> Talk {
    Talk::open(&client(rig, Some(who)), rig.fhir().unwrap()).await
}

pub fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}

/// `Kind/<id>` of what a write answered.
pub fn reference(reply: &Reply) -> String {
    let location = reply.header("location").unwrap_or_else(|| panic!("{}: {}", reply.status, text(reply)));
    let parts: Vec<&str> = location.split('/').collect();
    parts[parts.len() - 4..parts.len() - 2].join("/")
}

pub fn entries(bundle: &Value) -> &[Value] {
    bundle["entry"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// What a refusal must be: its status, and the element that it names.
pub fn refused(reply: &Reply, status: u16, element: &str) {
    assert_eq!(
        (reply.status, &reply.json()["issue"][0]["expression"][0]),
        (status, &json!(element)),
        "{}",
        text(reply)
    );
}

/// Asks again until what is found `holds`.
pub async fn found(talk: &mut Talk, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = talk.get(path).await;
        if reply.status == 200 && holds(&reply.json()) {
            return reply.json();
        }
        assert!(Instant::now() < deadline, "not in time: {path}: {}", text(&reply));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

pub async fn new_patient(talk: &mut Talk, n: u32) -> String {
    let person = people::person(n);
    let patient = json!({
        "resourceType": "Patient",
        "identifier": [{ "system": SYSTEM, "value": person.mrn, "type": { "coding": [{ "code": "MR" }] } }],
        "name": [{ "family": person.family, "given": [person.given] }],
        "birthDate": person.birth_date.to_string(),
    });
    let reply = talk.give("POST", "/fhir/Patient", "", &patient.to_string()).await;
    assert_eq!(reply.status, 201, "{}", text(&reply));
    reference(&reply)
}

/// A reading as an Observation.
pub fn observation(patient: &str, reading: &SensorReading) -> Value {
    let Display::Number(value) = &reading.display else { panic!("a number") };
    json!({
        "resourceType": "Observation", "status": "final",
        "code": { "coding": [{ "system": "http://loinc.org", "code": "99504-3" }] },
        "subject": { "reference": patient }, "effectiveDateTime": reading.at.to_string(),
        "valueQuantity": { "value": value.parse::<u32>().unwrap(), "unit": "mg/dL",
            "system": "http://unitsofmeasure.org", "code": "mg/dL" },
    })
}

/// Posts readings in batches; where each stands.
pub async fn feed(talk: &mut Talk, patient: &str, readings: &[SensorReading]) -> Vec<String> {
    let mut all = Vec::new();
    for chunk in readings.chunks(500) {
        let entry = |reading| {
            json!({ "resource": observation(patient, reading),
                "request": { "method": "POST", "url": "Observation" } })
        };
        let entries_of: Vec<Value> = chunk.iter().map(entry).collect();
        let batch = json!({ "resourceType": "Bundle", "type": "batch", "entry": entries_of });
        let reply = talk.give("POST", "/fhir", "", &batch.to_string()).await;
        assert_eq!(reply.status, 200, "{}", text(&reply));
        for one in entries(&reply.json()) {
            let response = &one["response"];
            assert_eq!(response["status"], "201 Created", "{response}");
            let parts: Vec<&str> = response["location"].as_str().unwrap().split('/').collect();
            all.push(parts[parts.len() - 4..parts.len() - 2].join("/"));
        }
    }
    all
}

/// The served Observations of a patient's outcomes by code: value or components.
pub fn numbers(bundle: &Value) -> BTreeMap<String, String> {
    let resources = entries(bundle).iter().map(|entry| &entry["resource"]);
    let observations = resources.filter(|it| it["resourceType"] == "Observation");
    observations
        .map(|it| {
            let code = it["code"]["coding"][0]["code"].as_str().unwrap().to_owned();
            (code, format!("{} {}", it["valueQuantity"], it["component"]))
        })
        .collect()
}
