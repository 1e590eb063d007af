//! `isthmus demo --once`, as a newcomer and a script see it.

use std::process::{Command, Output};

use serde_json::Value;

fn demo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_isthmus"))
        .arg("demo")
        .args(arguments)
        .output()
        .expect("the built binary runs")
}

/// The object on standard output, and nothing else there.
fn summary(output: &Output) -> Value {
    let told = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}\n{told}"))
}

fn number(summary: &Value, name: &str) -> u64 {
    summary[name].as_u64().unwrap_or_else(|| panic!("{name} is not a count: {summary:#}"))
}

#[test]
fn the_demo_shows_everything_loses_nothing_and_doubles_nothing() {
    let output = demo(&["--once", "--json", "--patients", "3", "--days", "5", "--seed", "21"]);
    let told = String::from_utf8_lossy(&output.stderr);
    let summary = summary(&output);
    assert!(output.status.success(), "{summary:#}\n{told}");
    let object = summary.as_object().unwrap();
    assert!(object.values().all(|value| !value.is_object() && !value.is_array()), "{summary:#}");
    assert_eq!(summary["success"], true);
    for none in ["lost", "delivered_twice", "stored_twice", "leaks"] {
        assert_eq!(number(&summary, none), 0, "{none}\n{told}");
    }
    for some in
        ["readings", "duplicates_absorbed", "quarantined", "deferred_peak", "amended", "writes_refused"]
    {
        assert!(number(&summary, some) > 0, "{some}\n{told}");
    }
    // One malformed message is refused, all others are acknowledged.
    assert_eq!(number(&summary, "sent"), number(&summary, "acknowledged") + 1);
    // Five days lie in the windows that end on them and on the thirteen days after: 18 of each patient.
    assert_eq!(number(&summary, "windows_verified"), 3 * 18);
    // One write a version at the EHR; two, the Provenance in a request of its own, upstream.
    assert_eq!(number(&summary, "delivered_ehr"), number(&summary, "outcomes"));
    assert_eq!(number(&summary, "delivered_upstream"), 2 * number(&summary, "outcomes"));
    assert_eq!(
        number(&summary, "delivered"),
        number(&summary, "delivered_ehr") + number(&summary, "delivered_upstream")
    );
    for transition in ["read_only_after_ms", "recovered_after_ms", "restarted_after_ms"] {
        assert!(summary[transition].is_u64(), "{transition}\n{told}");
    }
    for words in ["kill -9", "the EHR now refuses writes: 403", "is read-only after", "recovered after"] {
        assert!(told.contains(words), "{words}\n{told}");
    }
}

#[test]
fn an_export_is_played_as_one_patients_feed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clarity.csv");
    // Four days of a 5-minute sensor, one number after the other from 60 to 200.
    let mut text = "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Event Subtype,Patient Info,Device Info,\
        Source Device ID,Glucose Value (mg/dL)\n"
        .to_owned();
    for index in 0..4 * 288 {
        let (day, minute) = (1 + index / 288, index % 288 * 5);
        let (time, value) = (format!("{:02}:{:02}:00", minute / 60, minute % 60), 60 + index % 141);
        text += &format!("{},2025-02-{day:02}T{time},EGV,,,,Sensor,{value}\n", index + 1);
    }
    std::fs::write(&path, text).unwrap();
    let output = demo(&["--once", "--json", "--from", path.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&output.stderr);
    let summary = summary(&output);
    assert!(output.status.success(), "{summary:#}\n{told}");
    assert_eq!(number(&summary, "lost"), 0, "{told}");
    // One reading is only ever sent with a unit that nobody knows.
    assert_eq!(number(&summary, "readings"), 4 * 288 - 1, "{told}");
    assert_eq!(number(&summary, "windows_verified"), 17);
}

#[test]
fn a_file_that_is_no_export_is_told_by_name_and_nothing_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.csv");
    std::fs::write(&path, "a,b\n1,2\n").unwrap();
    let output = demo(&["--once", "--from", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("notes.csv") && told.contains("Clarity"), "{told}");
    assert!(output.stdout.is_empty());
}
