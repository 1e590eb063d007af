//! `isthmus outcomes` on JSON and XML: a file of each format in, an outcome out, nothing of a record in what is said.

#![allow(clippy::unwrap_used, reason = "what surprises a test fails it, in its own functions too")]

use std::{fs, path::Path, process::Command};

use serde_json::Value;

/// Standard output and error of the command in a folder, and whether it ended well.
fn outcomes(dir: &Path, args: &[&str]) -> (String, String, bool) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isthmus"));
    let output = command.current_dir(dir).arg("outcomes").args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.success())
}

/// The readings of 2025-01-01, from midnight UTC, five minutes apart.
const VALUES: [u32; 6] = [39, 60, 100, 140, 200, 300];

/// Each reading with its minute.
fn each(one: impl Fn(usize, u32) -> String) -> Vec<String> {
    VALUES.iter().enumerate().map(|(at, &value)| one(at * 5, value)).collect()
}

fn nightscout() -> String {
    let entries = each(|minute, value| {
        let ms = 1_735_689_600_000 + minute as u64 * 60_000;
        format!(r#"{{"_id":"{minute}","type":"sgv","date":{ms},"sgv":{value},"device":"share2"}}"#)
    });
    format!("[{},{{\"type\":\"mbg\",\"date\":1735689600000,\"mbg\":90}}]", entries.join(",\n"))
}

fn nightscout_csv() -> String {
    let rows = each(|minute, value| {
        let ms = 1_735_689_600_000 + minute as u64 * 60_000;
        format!("\"2025-01-01T00:{minute:02}:00.000Z\",{ms},{value},\"Flat\",\"share2\"\n")
    });
    rows.concat()
}

fn tidepool() -> String {
    let records = each(|minute, value| {
        let (mmol, low) = match value {
            39 => (2.16479, r#","annotations":[{"code":"bg/out-of-range","value":"low","threshold":40}]"#),
            value => (f64::from(value) / 18.01559, ""),
        };
        format!(
            r#"{{"type":"cbg","units":"mmol/L","value":{mmol:.5},"time":"2025-01-01T00:{minute:02}:00.000Z","deviceId":"G6","uploadId":"u"{low}}}"#
        )
    });
    format!("[{},{{\"type\":\"smbg\",\"time\":\"x\",\"uploadId\":\"u\"}}]", records.join(","))
}

fn dexcom_api() -> String {
    let records = each(|minute, value| {
        let status = if value == 39 { "\"low\"" } else { "null" };
        format!(
            r#"{{"systemTime":"2025-01-01T00:{minute:02}","displayTime":"2024-12-31T19:{minute:02}","transmitterId":"8X","value":{value},"status":{status},"trend":"flat","unit":"mg/dL"}}"#
        )
    });
    let event = r#"{"systemTime":"2025-01-01T00:00","displayTime":"2024-12-31T19:00","eventType":"carbs"}"#;
    format!("{{\"records\":[{},{event}],\"recordType\":\"egv\"}}", records.join(","))
}

fn apple_health() -> String {
    let record = |minute: usize, value: u32, source: &str| {
        format!(
            "<Record type=\"HKQuantityTypeIdentifierBloodGlucose\" sourceName=\"{source}\" unit=\"mg/dL\" \
             startDate=\"2024-12-31 19:{minute:02}:00 -0500\" value=\"{value}\"/>\n"
        )
    };
    let records = each(|minute, value| record(minute, value, "Dexcom G6")).concat();
    let strip = record(2, 90, "OneTouch Reveal");
    format!(
        "<?xml version=\"1.0\"?>\n<!DOCTYPE HealthData []>\n<HealthData>\n{records}{strip}</HealthData>\n"
    )
}

#[test]
fn the_same_readings_have_the_same_outcome_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        ("n.json", nightscout(), "nightscout"),
        ("n.csv", nightscout_csv(), "nightscout"),
        ("t.json", tidepool(), "tidepool"),
        ("d.json", dexcom_api(), "dexcom-api"),
        ("a.xml", apple_health(), "apple-health"),
    ];
    for (name, text, _) in &files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let names = files.each_ref().map(|(name, ..)| *name);
    let (out, err, good) = outcomes(dir.path(), &[["--json", "--tz", "UTC"].as_slice(), &names].concat());
    assert!(good, "{err}");
    let array: Value = serde_json::from_str(&out).unwrap();
    for ((name, _, format), object) in files.iter().zip(array.as_array().unwrap()) {
        assert_eq!((&object["format"], &object["n"]), (&Value::from(*format), &Value::from(6)), "{name}");
        for (key, share) in
            [("tbr54_pct", 1), ("tbr70_pct", 2), ("tir_pct", 2), ("tar180_pct", 2), ("tar250_pct", 1)]
        {
            let found = object[key].as_f64().unwrap();
            assert!((found - f64::from(share) * 100.0 / 6.0).abs() < 1e-9, "{name} {key} {found}");
        }
        let mean = object["mean_mg_dl"].as_f64().unwrap();
        // Re-expressed values carry the factor of their source, 18.01559, which is not the policy's.
        let near = if *format == "tidepool" { 1e-3 } else { 1e-9 };
        assert!((mean - 839.0 / 6.0).abs() < near, "{name} {mean}");
        assert_eq!(
            (&object["start"], &object["days"]),
            (&Value::from("2025-01-01"), &Value::from(1)),
            "{name}"
        );
        assert_eq!(object["faults"], Value::Array(vec![]), "{name}");
    }
    let apart = |at: usize| array[at]["kept_apart"].to_string();
    assert_eq!(
        [apart(0), apart(2), apart(3), apart(4)],
        [r#"{"strip":1}"#, r#"{"strip":1}"#, r#"{"food":1}"#, r#"{"strip":1}"#]
    );
}

#[test]
fn faults_name_records_or_lines_and_nothing_of_their_content() {
    let dir = tempfile::tempdir().unwrap();
    let json = nightscout().replace("\"sgv\":100", "\"sgv\":\"Anna Muster\"");
    let xml = apple_health().replace("value=\"100\"", "value=\"Anna Muster\"");
    fs::write(dir.path().join("n.json"), json).unwrap();
    fs::write(dir.path().join("a.xml"), xml).unwrap();
    let (out, err, good) = outcomes(dir.path(), &["--tz", "UTC", "n.json", "a.xml"]);
    assert!(good, "{err}");
    assert!(out.contains("1 row not read, the value is neither a number nor a limit: record 3"), "{out}");
    assert!(out.contains("1 row not read, the value is neither a number nor a limit: line 6"), "{out}");
    assert!(!out.contains("Anna") && err.is_empty(), "{out}{err}");
}

#[test]
fn what_is_cut_or_of_no_known_format_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let cut = |text: String| text[..text.len() - 4].to_owned();
    for (name, text, told) in [
        ("n.json", cut(nightscout()), "the file is not whole"),
        ("d.json", cut(dexcom_api()), "the file is not whole"),
        ("a.xml", cut(apple_health()), "the file is not whole"),
        ("o.json", "{\"resourceType\":\"Bundle\"}".to_owned(), "no header of a known format"),
        ("o.xml", "<?xml version=\"1.0\"?><Other/>".to_owned(), "no header of a known format"),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
        let (out, err, good) = outcomes(dir.path(), &["--tz", "UTC", name]);
        assert!(!good && out.is_empty() && err.contains(told), "{name}: {out}{err}");
    }
}

#[test]
fn the_bundle_of_a_file_that_is_streamed_names_it_by_the_hash_of_all_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("{}\n\n", nightscout());
    fs::write(dir.path().join("n.json"), &text).unwrap();
    let (out, err, good) =
        outcomes(dir.path(), &["--fhir", "--subject", "urn:oid:1|7", "--tz", "UTC", "n.json"]);
    assert!(good, "{err}");
    let hash: String = {
        use sha2::{Digest, Sha256};
        Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    assert!(out.contains(&hash), "{hash}");
}

/// The one object of a file, in UTC.
fn object(dir: &Path, name: &str, more: &[&str]) -> Value {
    let (out, err, good) = outcomes(dir, &[&[name, "--json", "--tz", "UTC"], more].concat());
    assert!(good, "{err}");
    let mut objects: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert_eq!(objects.len(), 1);
    objects.remove(0)
}

#[test]
fn a_stated_start_its_warm_up_and_what_was_logged_are_told_and_another_device_is_no_guess() {
    const G6: &str = "xDrip-DexcomG5 G6 Native";
    let dir = tempfile::tempdir().unwrap();
    let sgv = |minute: u64, value: u32, device: &str| {
        let ms = 1_735_689_600_000 + minute * 60_000;
        format!(r#"{{"type":"sgv","date":{ms},"sgv":{value},"device":"{device}"}}"#)
    };
    // A minute before the warm-up of two hours ends, and at its end.
    let readings = [sgv(119, 300, G6), sgv(120, 100, G6), sgv(125, 110, G6)];
    let treatments = [
        r#"{"eventType":"Sensor Start","created_at":"2025-01-01T00:00:00Z","enteredBy":"Anna"}"#.to_owned(),
        r#"{"eventType":"Snack Bolus","created_at":"2025-01-01T02:00:00Z","insulin":1.5,"carbs":12}"#
            .to_owned(),
        r#"{"eventType":"Snack Bolus","created_at":"2025-01-01T02:00:00Z","insulin":1.50,"carbs":20}"#
            .to_owned(),
        r#"{"eventType":"Snack Bolus","created_at":"2025-01-03T02:00:00Z","insulin":9}"#.to_owned(),
    ];
    let write = |name: &str, records: &[String]| {
        fs::write(dir.path().join(name), format!("[{}]", records.join(","))).unwrap();
    };
    write("one.json", &[&readings[..], &treatments].concat());
    let told = object(dir.path(), "one.json", &[]);
    assert_eq!((&told["n"], &told["excluded"]), (&2.into(), &serde_json::json!({ "warm-up": 1 })));
    assert_eq!(
        told["sessions"],
        serde_json::json!([{
            "device": G6, "began": "stated", "start": "2025-01-01T00:00:00Z", "last": "2025-01-01T02:05:00Z",
            "readings": 3, "warm_up_left_out_minutes": 120, "warm_up_not_left_out": null, "drift_s": null,
            "clock_changes": [], "more_clock_changes": 0, "beyond_wear": false,
        }])
    );
    // The same dose twice is one; the other carbohydrate is another; what is of another day is not told.
    assert_eq!(
        told["app_events"],
        serde_json::json!({
            "rapid_insulin": { "count": 1, "without_amount": 0, "total": 1.5, "unit": "[iU]" },
            "carbohydrate": { "count": 2, "without_amount": 0, "total": 32.0, "unit": "g" },
            "sensor_start": { "count": 1, "without_amount": 1 },
        })
    );
    let (out, _, _) = outcomes(dir.path(), &["one.json", "--tz", "UTC"]);
    let said = out.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "1 reading not counted: within the warm-up of a sensor",
        "sensor sessions: 1 (1 by a stated start)",
        "rapid-insulin 1 (1.5 U), carbohydrate 2 (32 g), sensor-start 1",
    ] {
        assert!(said.contains(part), "no {part:?} in {out}");
    }
    assert!(!out.contains("Anna"));

    // With another sensor in the file nothing says which was started, whichever of them is asked for.
    write("two.json", &[&readings[..], &[sgv(200, 100, "Libre 3")], &treatments[..1]].concat());
    for more in [&[][..], &["--device", G6]] {
        let told = object(dir.path(), "two.json", more);
        assert_eq!(told["excluded"], serde_json::json!({}), "{told:#}");
        assert_eq!(told["sessions"][0]["warm_up_not_left_out"], "no-stated-start");
        let (out, _, _) = outcomes(dir.path(), &[&["two.json", "--tz", "UTC"], more].concat());
        let said = out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            said.contains("nothing says which sensor of the file it was, nothing left out after them: 1"),
            "{out}"
        );
    }
}

#[test]
fn a_transmitters_count_tells_sessions_drift_and_changes_of_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Source Device ID,Glucose Value (mg/dL),\
                    Transmitter Time (Long Integer),Transmitter ID\n"
        .to_owned();
    // An hour of one sensor whose clock gains a second in each step and is then put forward an hour; then another sensor.
    for n in 0..12_i64 {
        let seconds = n * 301 + if n >= 6 { 3_600 } else { 0 };
        let (h, m, s) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        text += &format!("{n},2025-01-01T{h:02}:{m:02}:{s:02},EGV,phone,100,{},8X\n", 1_000 + n * 300);
    }
    for n in 0..6 {
        text += &format!("{n},2025-01-01T03:{:02}:00,EGV,phone,110,{},8X\n", n * 5, 60 + n * 300);
    }
    fs::write(dir.path().join("clarity.csv"), text).unwrap();
    let told = object(dir.path(), "clarity.csv", &[]);
    let sessions: Vec<_> = told["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| {
            (s["began"].as_str().unwrap(), s["readings"].as_u64().unwrap(), s["drift_s"].as_f64().unwrap())
        })
        .collect();
    assert_eq!(sessions, [("serial", 12, 10.0), ("ticks-restarted", 6, 0.0)]);
    assert_eq!(
        told["sessions"][0]["clock_changes"],
        serde_json::json!([{ "at": "2025-01-01T01:30:06Z", "by_s": 3601.0 }])
    );
}
