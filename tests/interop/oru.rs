//! The golden ORU^R01 of `clinical/tests/golden`, read by PyPI hl7 and validated by hl7apy.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::peers::{Kind, Peers};

fn golden(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clinical/tests/golden");
    fs::read_to_string(folder.join(name)).unwrap()
}

/// The numbers of the FHIR submission, which the message was made from: code and value, in order.
fn numbers() -> Vec<(String, String)> {
    let bundle: Value = serde_json::from_str(&golden("submission-r4.json")).unwrap();
    let mut numbers = Vec::new();
    for entry in bundle["entry"].as_array().unwrap() {
        let said = &entry["resource"];
        if said["resourceType"] == "Observation" {
            let parts = said["component"].as_array().into_iter().flatten();
            for said in std::iter::once(said).chain(parts).filter(|said| said["valueQuantity"].is_object()) {
                let code = said["code"]["coding"][0]["code"].as_str().unwrap().to_owned();
                numbers.push((code, said["valueQuantity"]["value"].to_string()));
            }
        }
    }
    numbers
}

#[test]
fn what_leaves_as_oru_is_sound_to_pypi_hl7_and_hl7apy_and_says_what_fhir_says() {
    let Some(peers) = Peers::of(Kind::Python) else { return };
    let messages = [golden("summary.hl7"), golden("readings.hl7"), golden("oru-r01.hl7")];
    // Without PID-3, and with a field that its version has not: hl7apy must find both.
    let planted = [messages[0].replace("4711^^^NORTH^MR", ""), messages[1].replace("|P|2.6\r", "|P|2.5.1\r")];
    let input: String =
        messages.iter().chain(&planted).map(|message| format!("{}\n", json!(message))).collect();
    let judged = peers.run("judge_oru.py", &[], &input);
    // Beside the numbers of FHIR the zone of the GRI and the report.
    for (judged, obx) in judged[..3].iter().zip([numbers().len() + 2, 12, 10]) {
        let sound = json!({ "name": "ORU_R01", "valid": true, "obx": obx });
        assert_eq!((&judged["strict"], &judged["tolerant"]), (&sound, &sound));
        assert_eq!(judged["hl7"]["patient"], "4711^^^NORTH^MR");
    }
    for judged in &judged[3..] {
        assert!(judged["strict"]["error"].is_string(), "{judged:#}");
    }
    let summary = &judged[0]["hl7"];
    assert_eq!(summary["order"]["service"], "107931-8^CGM summary^LN");
    assert_eq!(
        (&summary["order"]["from"], &summary["order"]["to"], &summary["order"]["status"]),
        (&json!("20260302"), &json!("20260315"), &json!("C"))
    );
    let read: Vec<(String, String)> = summary["obx"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|obx| obx["type"] == "NM" && obx["value"] != "")
        .map(|obx| {
            let code = obx["code"].as_str().unwrap().split('^').next().unwrap().to_owned();
            (code, obx["value"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(read, numbers());
    let readings = judged[1]["hl7"]["obx"].as_array().unwrap();
    let low = readings.iter().find(|obx| obx["type"] == "SN").unwrap();
    assert_eq!((&low["value"], &low["time"]), (&json!("<^40"), &json!("20260302003500-0500")));
    let status: Vec<&str> = readings.iter().map(|obx| obx["status"].as_str().unwrap()).collect();
    assert_eq!(status[..5], ["F", "F", "C", "D", "F"]);
}
