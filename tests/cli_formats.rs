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
