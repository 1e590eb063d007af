//! The local FHIR endpoint, as other people's software sees it: npm fhir-kit-client and fhirclient ask it, pyfhircheck's pack
//! of R4 checks it, and fhir.resources (R4B and R5) and @medplum/core (R4) judge everything that it serves: what was posted,
//! what the box made, and what it says of itself.

use std::{fs, path::Path, time::Instant};

use serde_json::{Value, json};
use standin::{
    Conduct, Issuer, Persona, Pki,
    rig::{FhirRig, Rig, RigSettings},
    smart::Algorithm,
};

use super::{
    peers::{Kind, Peers},
    site::{
        self, PATIENCE,
        endpoint::Talk,
        feed::{talk, talk_as},
        people,
    },
    templates::{KINDS, sound},
};

const AUDIENCE: &str = "https://box.example/fhir";
const RELEASES: [(&str, bool); 2] = [("r4", false), ("r5", true)];

/// A daemon with an endpoint, which computes and publishes; and the token of an operator.
async fn started(dir: &Path) -> (Rig, Issuer, String) {
    let idp = dir.join("idp");
    fs::create_dir(&idp).unwrap();
    let issuer = Issuer::start(&Pki::create(&idp).unwrap().server).await.unwrap();
    let tables = format!(
        "[[fhir.client]]\nname = \"officer\"\ncertificate = \"CN=officer\"\nrole = \"security-officer\"\n\
         scopes = [\"system/*.rs\"]\n\
         [[fhir.issuer]]\nissuer = \"{}\"\naudience = \"{AUDIENCE}\"\nca = \"../idp/ca.pem\"\n\
         role_claim = \"realm_access.roles\"\nroles = [{{ value = \"feed\", role = \"operator\" }}]\n",
        issuer.url()
    );
    let home = dir.join("box");
    fs::create_dir(&home).unwrap();
    // An EHR that takes notes, so that there are Tasks.
    let settings = RigSettings {
        fhir: Some(FhirRig { tables, ..FhirRig::default() }),
        projection: "plain-r4".to_owned(),
        site_extra: "[intent]\nnotes = \"document\"\n".to_owned(),
        conduct: Conduct::of(Persona::Plain),
        ..site::daily()
    };
    let mut rig = site::prepare(&home, settings).await;
    let key = issuer.rotate(Algorithm::Es384, "k1").unwrap();
    let claims = json!({"realm_access": {"roles": ["feed"]}, "scope": "system/*.crus"});
    let token = key.sign(&issuer.claims(AUDIENCE, &claims)).unwrap();
    rig.start().await.unwrap();
    (rig, issuer, token)
}

fn base(rig: &Rig, release: &str) -> String {
    format!("https://127.0.0.1:{}/fhir/{release}", rig.fhir().unwrap().port())
}

/// One of every kind that a client may write, in a release; their references.
async fn posted(talk: &mut Talk, release: &str, is_r5: bool) -> Vec<String> {
    let media = if is_r5 { "Content-Type: application/fhir+json; fhirVersion=5.0\r\n" } else { "" };
    let (mut made, mut patient, mut target) = (Vec::new(), String::new(), String::new());
    for (number, kind) in KINDS.into_iter().enumerate() {
        let number = number as u64 + if is_r5 { 100 } else { 0 };
        let body = sound(kind, is_r5, &patient, &target, number, "Ada");
        let reply = talk.give("POST", &format!("/fhir/{release}/{kind}"), media, &body.to_string()).await;
        // A decision in R5 that does not become one in R4 is told with its element.
        if reply.status == 422 && kind == "Consent" && is_r5 {
            continue;
        }
        assert_eq!(reply.status, 201, "{kind} in {release}: {}", String::from_utf8_lossy(&reply.body));
        let reference = format!("{kind}/{}", reply.json()["id"].as_str().unwrap());
        match kind {
            "Patient" => patient.clone_from(&reference),
            "Observation" => target.clone_from(&reference),
            _ => {}
        }
        made.push(reference);
    }
    made
}

/// Waits until the box has made the report of a window.
async fn outcomes_are_served(talk: &mut Talk) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = talk.get("/fhir/DiagnosticReport?_summary=count").await.json();
        if found["total"].as_u64() > Some(0) {
            return;
        }
        assert!(Instant::now() < deadline, "no outcome is served: {found}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// Everything that the endpoint serves, each body with its release, and how often each kind of resource is in it.
async fn served(rig: &Rig) -> Vec<(String, Value)> {
    let mut talk = talk(rig).await;
    site::send(rig, &[people::hour("H1", 1, "2026-03-02", 120)]).await;
    outcomes_are_served(&mut talk).await;
    let mut made = Vec::new();
    for (release, is_r5) in RELEASES {
        made.extend(posted(&mut talk, release, is_r5).await);
    }
    let patient = made[0].clone();
    let officer = rig.pki().issue_client("officer").unwrap();
    let mut officer = talk_as(rig, &officer).await;
    let mut bodies = Vec::new();
    for (release, is_r5) in RELEASES {
        let media = if is_r5 { "Content-Type: application/fhir+json; fhirVersion=5.0\r\n" } else { "" };
        let reading = sound("Observation", is_r5, &patient, "", 900 + u64::from(is_r5), "Ada");
        let entry =
            |body: &Value| json!({ "resource": body, "request": { "method": "POST", "url": "Observation" } });
        let mut wrong = reading.clone();
        wrong["status"] = json!("sound");
        for (path, body) in [
            (
                "",
                json!({ "resourceType": "Bundle", "type": "batch", "entry": [entry(&reading), entry(&wrong)] }),
            ),
            ("", json!({ "resourceType": "Bundle", "type": "transaction", "entry": [entry(&reading)] })),
            (
                "/$submit-cgm-bundle",
                json!({ "resourceType": "Bundle", "type": "collection", "entry": [{ "resource": reading }] }),
            ),
            ("/Observation/$validate", wrong.clone()),
            ("/Observation", wrong),
        ] {
            let reply = talk.give("POST", &format!("/fhir/{release}{path}"), media, &body.to_string()).await;
            bodies.push((release.to_owned(), reply.json()));
        }
        let mut paths = vec![
            "metadata".to_owned(),
            "Observation/none".to_owned(),
            format!("{patient}/$everything?_count=500"),
            format!("{patient}/_history"),
            "Observation?_include=Observation:patient&_revinclude=Provenance:target&_count=500".to_owned(),
            "Observation?_summary=true".to_owned(),
            "Observation?nothing=1".to_owned(),
        ];
        paths.extend(made.iter().cloned());
        paths.extend(KINDS.iter().map(|kind| format!("{kind}?_count=500")));
        for path in paths {
            bodies.push((release.to_owned(), talk.get(&format!("/fhir/{release}/{path}")).await.json()));
        }
        let ours = talk.get("/fhir/r4/Patient?identifier=7700001").await.json();
        let ours =
            ours["entry"][0]["resource"]["id"].as_str().expect("the patient of the message").to_owned();
        let path = format!("/fhir/{release}/Patient/{ours}/$outcomes?start=2026-03-02&end=2026-03-02");
        bodies.push((release.to_owned(), talk.get(&path).await.json()));
        bodies.push((
            release.to_owned(),
            officer.get(&format!("/fhir/{release}/AuditEvent?_count=20")).await.json(),
        ));
    }
    bodies
}

/// The errors that a judge finds in each.
fn judged(peers: &Peers, script: &str, cases: &[(String, Value)]) -> Vec<Vec<String>> {
    let input: String = cases
        .iter()
        .map(|(release, resource)| format!("{}\n", json!({ "release": release, "resource": resource })))
        .collect();
    let told = peers.run(script, &[], &input);
    assert_eq!(told.len(), cases.len());
    told.iter().map(|json| serde_json::from_value(json["errors"].clone()).unwrap()).collect()
}

/// Everything is sound to a judge, and a fault that is planted in it is not.
async fn sit(kind: Kind, script: &str, releases: &[&str]) {
    let Some(peers) = Peers::of(kind) else { return };
    let dir = tempfile::tempdir().unwrap();
    let (rig, _issuer, _token) = started(dir.path()).await;
    let mut cases = served(&rig).await;
    cases.retain(|(release, _)| releases.contains(&&**release));
    let all = json!(cases.iter().map(|(_, body)| body).collect::<Vec<_>>()).to_string();
    for kind in KINDS.into_iter().chain(["AuditEvent", "OperationOutcome", "CapabilityStatement", "Bundle"]) {
        assert!(all.contains(&format!("\"resourceType\":\"{kind}\"")), "no {kind} was served");
    }
    let count = cases.len();
    let (release, mut planted) =
        cases.iter().find(|(_, body)| body["resourceType"] == "Observation").unwrap().clone();
    planted["colour"] = json!("red");
    cases.push((release.clone(), planted.clone()));
    planted.as_object_mut().unwrap().retain(|name, _| name != "colour" && name != "status");
    cases.push((release, planted));
    let mut errors = judged(&peers, script, &cases);
    for found in errors.split_off(count) {
        assert!(!found.is_empty(), "{kind:?} has not found a planted fault");
    }
    let wrong: Vec<String> = errors
        .iter()
        .zip(&cases)
        .filter(|(errors, _)| !errors.is_empty())
        .map(|(errors, (release, body))| format!("{release} {}: {errors:#?}\n{body}", body["resourceType"]))
        .collect();
    assert!(wrong.is_empty(), "{kind:?}, {} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    println!("{count} bodies that the endpoint served judged by {kind:?}, 2 planted faults found");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_endpoint_serves_in_both_releases_is_sound_to_fhir_resources() {
    sit(Kind::Pyrofile, "judge_served.py", &["r4", "r5"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_endpoint_serves_in_r4_is_sound_to_medplum() {
    sit(Kind::Medplum, "judge_medplum.mjs", &["r4"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_endpoint_passes_pyfhirchecks_pack_of_r4() {
    let Some(peers) = Peers::of(Kind::Fhircheck) else { return };
    let dir = tempfile::tempdir().unwrap();
    let (rig, _issuer, _token) = started(dir.path()).await;
    let made = posted(&mut talk(&rig).await, "r4", false).await;
    let input: String = made
        .iter()
        .map(|reference| {
            let (kind, id) = reference.split_once('/').unwrap();
            format!("{}\n", json!({ "resourceType": kind, "resourceId": id, "versionId": "1" }))
        })
        .collect();
    let pki = rig.pki();
    let files = [&pki.ca, &pki.client.cert, &pki.client.key].map(|path| path.display().to_string());
    let args: Vec<String> = [base(&rig, "r4")].into_iter().chain(files).collect();
    let told = peers.run("judge_pyfhircheck.py", &args, &input);
    // Its codes of Task.status lack `completed`, which the standard has (hl7.org/fhir/R4/valueset-task-status.html); what follows
    // from a read it leaves out then.
    let is_its_own = |line: &Value| {
        let why = line["why"].to_string();
        line["kind"] == "Task"
            && (why.contains("Code 'completed' is not in required ValueSet")
                || why.contains("did not pass: read"))
    };
    let failed: Vec<&Value> =
        told.iter().filter(|line| line["status"] != "PASS" && !is_its_own(line)).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(told.len(), 8 * KINDS.len(), "the eight scenarios of the pack for each kind");
    println!("{} scenarios of pyfhircheck passed", told.len());
}

/// What a client says that it did.
fn steps(told: &[Value]) -> Vec<&str> {
    told.iter().map(|line| line["did"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn fhir_kit_client_does_with_a_token_all_that_it_can_do() {
    let Some(peers) = Peers::of(Kind::Clients) else { return };
    let dir = tempfile::tempdir().unwrap();
    let (rig, _issuer, token) = started(dir.path()).await;
    let made = posted(&mut talk(&rig).await, "r4", false).await;
    let patient = made[0].split('/').nth(1).unwrap().to_owned();
    // It asks with fetch, which shows no certificate.
    let args = [base(&rig, "r4"), token, patient];
    let told =
        peers.run_with("ask_fhir_kit_client.mjs", &args, "", &[("NODE_EXTRA_CA_CERTS", &rig.pki().ca)]);
    assert_eq!(
        steps(&told),
        [
            "capability statement",
            "create",
            "read",
            "vread",
            "conditional create",
            "update with If-Match",
            "history",
            "batch",
            "transaction",
            "search with paging",
            "search by POST",
            "search of a compartment",
            "$everything",
            "$validate",
            "resolve",
            "errors",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fhirclient_does_with_a_certificate_all_that_it_can_do() {
    let Some(peers) = Peers::of(Kind::Clients) else { return };
    let dir = tempfile::tempdir().unwrap();
    let (rig, _issuer, _token) = started(dir.path()).await;
    let made = posted(&mut talk(&rig).await, "r4", false).await;
    let patient = made[0].split('/').nth(1).unwrap().to_owned();
    let pki = rig.pki();
    let files = [&pki.ca, &pki.client.cert, &pki.client.key].map(|path| path.display().to_string());
    let args: Vec<String> = [base(&rig, "r4")].into_iter().chain(files).chain([patient]).collect();
    let told = peers.run("ask_fhirclient.mjs", &args, "");
    assert_eq!(
        steps(&told),
        [
            "capability statement",
            "create",
            "read",
            "vread",
            "conditional create",
            "update with If-Match",
            "history",
            "batch",
            "transaction",
            "search with paging",
            "references",
            "$everything",
            "errors",
        ]
    );
}
