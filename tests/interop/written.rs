//! What the daemon writes, received by software that we did not write: conditional creates at @medplum/fhir-router, and
//! ORU^R01 at PyPI hl7.

use std::time::Instant;

use serde_json::{Value, json};
use standin::rig::RigSettings;

use super::{
    peers::{Kind, Peers},
    site::{self, people},
};

const DAY: &str = "2026-03-02";
/// LOINC of the mean in mg/dL.
const MEAN: &str = "97507-8";

#[tokio::test(flavor = "multi_thread")]
async fn a_create_whose_answer_was_lost_is_found_by_if_none_exist_at_medplum_and_stands_once() {
    let Some(peers) = Peers::of(Kind::Router) else { return };
    let dir = tempfile::tempdir().unwrap();
    let settings = RigSettings { projection: "plain-r4".to_owned(), ..site::daily() };
    let mut rig = site::prepare(dir.path(), settings).await;
    let server = &rig.pki().server;
    let args = [&server.cert, &server.key].map(|path| path.to_str().unwrap().to_owned());
    let router = peers.serve_with("serve_medplum.mjs", &args);
    let there = format!("https://127.0.0.1:{}/fhir", router.port);
    site::edit_site(&rig, &rig.ehr.base_url(), &there);
    site::with_delivery(&rig, "retry_min = \"50ms\"\nretry_max = \"200ms\"");
    rig.start().await.unwrap();
    site::send(&rig, &[people::hour("A", 1, DAY, 120)]).await;
    site::settled(&rig).await;
    // A second hour amends what stands, by PUT.
    let late = people::readings(people::day(DAY), 200, &[240; 12]);
    site::send(&rig, &[people::message("LATE", &people::person(1), &late)]).await;
    let status = site::settled(&rig).await;
    assert_eq!((&status["outbox"]["quarantined"], &status["conditions"]), (&json!(0), &json!([])));
    let told = router.stop();
    let with = |method: &str, status: u64| {
        told.iter().filter(|line| line["method"] == method && line["status"] == status).count()
    };
    assert_eq!(with("POST", 200), 1, "found and not made again: {told:#?}");
    assert!(with("POST", 201) > 0 && with("PUT", 200) > 0, "{told:#?}");
    assert!(
        told.iter().any(
            |line| line["method"] == "GET" && line["path"].as_str().unwrap().starts_with("/Observation/")
        ),
        "what was found was read back: {told:#?}"
    );
    let of = |kind: &str| -> Vec<Value> {
        let line = told.iter().find(|line| line["kind"] == kind).unwrap();
        line["standing"].as_array().unwrap().clone()
    };
    let observations = of("Observation");
    assert_eq!(observations.len() as u64, site::RESOURCES_PER_OUTCOME - 1, "{observations:#?}");
    let mean = observations.iter().find(|one| one["code"]["coding"][0]["code"] == MEAN).unwrap();
    assert_eq!(mean["valueQuantity"]["value"].as_f64(), Some(180.0));
    println!("medplum: {} requests, every resource stands once", told.len() - 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn pypi_hl7_receives_the_results_that_the_daemon_sends_as_messages() {
    let Some(peers) = Peers::of(Kind::Python) else { return };
    let receiver = peers.serve("serve_hl7.py");
    let dir = tempfile::tempdir().unwrap();
    let oru = "[[projection]]\nname = \"oru-r01\"\noutbound = \"results\"\nwindow = \"1d\"\nauthority = \"NORTH\"\n\
               identifier_type = \"MR\"\n";
    let settings = RigSettings {
        main_extra: format!(
            "[[outbound]]\nname = \"results\"\naddress = \"127.0.0.1:{}\"\nplain = true\n",
            receiver.port
        ),
        site_extra: oru.to_owned(),
        ..site::daily()
    };
    let mut rig = site::prepare(dir.path(), settings).await;
    site::edit_site(&rig, "projection = \"cgm-ig\"\n", "");
    rig.start().await.unwrap();
    let began = Instant::now();
    site::send(&rig, &[people::hour("A", 1, DAY, 120), people::hour("B", 2, DAY, 150)]).await;
    site::until(&rig, "both are acknowledged", |s| s["outbox"]["delivered"] == 2).await;
    rig.stop().await.unwrap();
    let told = receiver.stop();
    let mut means: Vec<(String, String)> = told
        .iter()
        .map(|line| {
            let message = line["received"].as_str().unwrap();
            let segment = |name: &str| message.split('\r').find(|line| line.starts_with(name)).unwrap();
            let field = |line: &str, at: usize| line.split('|').nth(at).unwrap().to_owned();
            (field(segment("PID|"), 3), field(segment(&format!("OBX|1|NM|{MEAN}")), 5))
        })
        .collect();
    means.sort();
    let wanted = [(1, "120.00"), (2, "150.00")]
        .map(|(n, mean)| (format!("{}^^^NORTH^MR", people::person(n).mrn), mean.to_owned()));
    assert_eq!(means, wanted);
    println!("hl7: {} messages in {:?}", told.len(), began.elapsed());
}
