//! What a file states beside glucose: starts of sensors, whose warm-up is left out, and insulin and food, which are in no
//! number of glucose.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use serde_json::{Value, json};
use site::{
    chart,
    files::{DAY, mean, sidecar, started, until_settled_files},
    people, send, settled,
};
use standin::rig::Rig;

/// A name by which a Dexcom G6 is known: it warms up for two hours.
const G6: &str = "xDrip-DexcomG5 G6 Native";

/// Entries from the `first`-th five minutes of the day on.
fn entries(device: &str, first: i64, values: &[u32]) -> Vec<Value> {
    let entry = |reading: &standin::generator::SensorReading, value: &u32| json!({ "type": "sgv", "date": reading.at.as_millisecond(), "sgv": value, "device": device });
    people::readings(people::day(DAY), first, values)
        .iter()
        .zip(values)
        .map(|(at, value)| entry(at, value))
        .collect()
}

/// Two hours at 300 from midnight on, then two at 100.
fn warming_up(device: &str) -> Vec<Value> {
    entries(device, 0, &[[300; 24], [100; 24]].concat())
}

fn treatment(kind: &str, minute: u32, more: Value) -> Value {
    let at = format!("{DAY}T{:02}:{:02}:00.000Z", minute / 60, minute % 60);
    let mut treatment = json!({ "eventType": kind, "created_at": at, "enteredBy": "Zebediah" });
    treatment.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    treatment
}

fn start() -> Value {
    treatment("Sensor Start", 0, json!({}))
}

fn bolus() -> Value {
    treatment("Meal Bolus", 130, json!({ "insulin": 4.5, "carbs": 45 }))
}

fn drop_for(folder: &site::files::Folder, n: u32, name: &str, parts: &[&[Value]]) {
    folder.drop(&format!("{name}.patient.json"), sidecar(n));
    folder.drop(name, Value::from(parts.concat()).to_string());
}

/// What the Provenance of the one window that was written last says under this name: the code of each with its count.
fn account(rig: &Rig, name: &str) -> Vec<(String, u64)> {
    let resources = rig.ehr.resources();
    let mut made: Vec<&Value> =
        resources.iter().filter(|resource| resource["resourceType"] == "Provenance").collect();
    // Two may be recorded within one second; the EHR says to the millisecond which came after.
    made.sort_by_key(|provenance| provenance["meta"]["lastUpdated"].as_str().unwrap().to_owned());
    let parts = made.last().unwrap()["extension"][0]["extension"].as_array().unwrap();
    let told = |part: &Value| {
        let inside = part["extension"].as_array().unwrap();
        (inside[0]["valueCode"].as_str().unwrap().to_owned(), inside[1]["valueUnsignedInt"].as_u64().unwrap())
    };
    parts.iter().filter(|part| part["url"] == name).map(told).collect()
}

fn pairs(told: &[(&str, u64)]) -> Vec<(String, u64)> {
    told.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn status(rig: &Rig, n: u32) -> String {
    chart::mean(&rig.ehr, &people::person(n).mrn, DAY).unwrap().status
}

#[tokio::test(flavor = "multi_thread")]
async fn the_warm_up_after_a_stated_start_is_left_out_and_what_was_logged_is_counted_and_in_no_number() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, folder) = started(dir.path(), "").await;
    drop_for(&folder, 1, "a.json", &[&warming_up(G6), &[start(), bolus()]]);
    until_settled_files(&rig, 1, 0).await;
    settled(&rig).await;
    assert_eq!(mean(&rig, 1), Some(100.0));
    assert_eq!(account(&rig, "excluded"), pairs(&[("warm-up", 24)]));
    let logged = pairs(&[("rapid-insulin", 1), ("carbohydrate", 1), ("sensor-start", 1)]);
    assert_eq!(account(&rig, "app-events"), logged);
    let receipt = folder.text("done/a.json.receipt.txt");
    assert!(
        receipt.contains("1 events of rapid-insulin") && receipt.contains("1 events of sensor-start"),
        "{receipt}"
    );

    // A file that overlaps the first: later readings, and the same treatments with one more.
    let snack = treatment("Carb Correction", 200, json!({ "carbs": 12 }));
    drop_for(&folder, 1, "b.json", &[&entries(G6, 48, &[150; 24]), &[start(), bolus(), snack]]);
    until_settled_files(&rig, 2, 0).await;
    settled(&rig).await;
    assert_eq!(mean(&rig, 1), Some(125.0));
    let logged = pairs(&[("rapid-insulin", 1), ("carbohydrate", 2), ("sensor-start", 1)]);
    assert_eq!(account(&rig, "app-events"), logged);
    assert_eq!(account(&rig, "excluded"), pairs(&[("warm-up", 24)]));
    for resource in rig.ehr.resources() {
        let text = resource.to_string();
        // Behind a digit it is the end of a time's seconds.
        let dose =
            text.match_indices("4.5").find(|(at, _)| !text[..*at].ends_with(|c: char| c.is_ascii_digit()));
        assert!(!text.contains("Zebediah") && dose.is_none(), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_comes_later_amends_and_of_an_unknown_sensor_or_of_nobody_leaves_out_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, folder) = started(dir.path(), "").await;
    drop_for(&folder, 1, "readings.json", &[&warming_up(G6)]);
    drop_for(&folder, 2, "unknown.json", &[&warming_up("share2"), &[start()]]);
    // Two sensors at different times: nothing says which of them was started.
    let other = entries("Libre 3", 60, &[200; 24]);
    drop_for(&folder, 3, "two.json", &[&warming_up(G6), &other, &[start()]]);
    until_settled_files(&rig, 3, 0).await;
    settled(&rig).await;
    assert_eq!((mean(&rig, 1), mean(&rig, 2), mean(&rig, 3)), (Some(200.0), Some(200.0), Some(200.0)));
    drop_for(&folder, 1, "treatments.json", &[&[start()]]);
    until_settled_files(&rig, 4, 0).await;
    settled(&rig).await;
    assert_eq!((mean(&rig, 1), status(&rig, 1).as_str()), (Some(100.0), "amended"));
    assert_eq!(account(&rig, "excluded"), pairs(&[("warm-up", 24)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_counts_for_the_patient_whom_it_was_merged_into_until_that_is_undone() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, folder) = started(dir.path(), "").await;
    drop_for(&folder, 1, "readings.json", &[&warming_up(G6)]);
    drop_for(&folder, 2, "treatments.json", &[&[start()]]);
    until_settled_files(&rig, 2, 0).await;
    settled(&rig).await;
    assert_eq!((mean(&rig, 1), mean(&rig, 2)), (Some(200.0), None));
    let at = "20260401120001";
    let mr = |n: u32| format!("{}^^^NORTH^MR", people::person(n).mrn);
    let merge = format!(
        "MSH|^~\\&|ADT|NORTH|ISTHMUS|NORTH|{at}||ADT^A40|M1|P|2.5.1\rEVN|A40|{at}\r\
         PID|1||{}||Quibblethorpe^Zebediah||19310709|M\rMRG|{}\r",
        mr(1),
        mr(2)
    );
    send(&rig, &[merge.into_bytes()]).await;
    settled(&rig).await;
    assert_eq!(mean(&rig, 1), Some(100.0));

    let identity = |words: &[&str]| site::command::json(&rig, &[&["identity"], words].concat());
    let link = identity(&["links"])["links"][0]["link"].as_i64().unwrap();
    identity(&["unmerge", &link.to_string()]);
    settled(&rig).await;
    assert_eq!((mean(&rig, 1), mean(&rig, 2)), (Some(200.0), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_code_of_a_known_sensor_is_no_reading_and_one_of_an_unknown_sensor_stands() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, _folder) = started(dir.path(), "").await;
    // Eleven at 100 and the code 16, which no Dexcom sensor measures; by HL7 v2, whose reader knows no sensors.
    let values = [[100; 11].as_slice(), &[16]].concat();
    let message = |control_id: &str, n: u32, serial: &str| {
        let readings = people::readings(people::day(DAY), 0, &values);
        people::altered(&people::message(control_id, &people::person(n), &readings), "SM00000042", serial)
    };
    send(&rig, &[message("KNOWN", 1, "Dexcom G6"), message("UNKNOWN", 2, "SM1")]).await;
    settled(&rig).await;
    assert_eq!((mean(&rig, 1), mean(&rig, 2)), (Some(100.0), Some(93.0)), "1,116 in twelve readings");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_faulty_rows_some_are_listed_and_all_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, folder) = started(dir.path(), "").await;
    let faulty =
        |n: i64| json!({ "type": "sgv", "date": 1_772_409_600_000_i64 + n, "sgv": "x", "device": G6 });
    let many: Vec<Value> = (0..1_200).map(faulty).collect();
    drop_for(&folder, 1, "faulty.json", &[&entries(G6, 0, &[100; 12]), &many]);
    until_settled_files(&rig, 1, 0).await;
    let status = settled(&rig).await;
    assert_eq!(mean(&rig, 1), Some(100.0));
    // Fifty rows and the sum of the others.
    assert_eq!(status["inbox"]["quarantined"], 51, "{status:#}");
    assert_eq!(account(&rig, "excluded"), pairs(&[("unreadable", 1_200)]));
    let receipt = folder.text("done/faulty.json.receipt.txt");
    assert!(receipt.contains("12 readings") && receipt.contains("1200 rows not read"), "{receipt}");
    let id = status["inbox"]["total"].as_u64().unwrap().to_string();
    let told = site::command::ask(&rig, &["quarantine", "show", &id]);
    assert!(told.contains("1150 more rows cannot be read; the first 50 have an entry each"), "{told}");
}
