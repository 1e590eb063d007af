//! `isthmus outcomes` on what people give it beside sound exports: joined, cut, mislabelled, saved anew, empty, no file at
//! all. What is said names the line and what to do, and nothing of a row.

#![allow(clippy::unwrap_used, reason = "what surprises a test fails it, in its own functions too")]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const HEADER: &str = "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Patient Info,Source Device ID,\
    Glucose Value (mg/dL),Transmitter Time (Long Integer),Transmitter ID";
/// No command here takes so long, but for one that waits for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// Standard output and error of the command in a folder, and whether it ended well.
fn outcomes(dir: &Path, args: &[&str]) -> (String, String, bool) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isthmus"));
    command.current_dir(dir).args(["outcomes", "--tz", "UTC"]).args(args);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    // What is printed here fits a pipe.
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it waits for ever");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.success())
}

fn row(minute: u32, kind: &str, value: &str) -> String {
    let (day, hour) = (1 + minute / 1440, minute / 60 % 24);
    let time = format!("2025-03-{day:02}T{hour:02}:{:02}:00", minute % 60);
    format!("1,{time},{kind},,Dexcom G6,{value},{},8X\n", minute * 60)
}

fn clarity(values: &[&str]) -> String {
    let rows = values.iter().enumerate().map(|(n, value)| row(n as u32 * 5, "EGV", value));
    format!("{HEADER}\n{}", rows.collect::<String>())
}

#[test]
fn what_cannot_be_trusted_is_refused_with_its_line_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let one = clarity(&["100", "120", "140"]);
    let molar = clarity(&["5.6", "6.7", "7.8"]).replace("mg/dL", "mmol/L");
    let sixteen: Vec<u8> =
        [0xFF, 0xFE].into_iter().chain(one.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let table: [(&str, Vec<u8>, &[&str]); 9] = [
        (
            "joined.csv",
            format!("{one}{molar}").into(),
            &["joined.csv:5: two exports in one file; give each by itself"],
        ),
        (
            "unit.csv",
            clarity(&["5.6", "6.7", "14.0"]).into(),
            &[
                "most values are lower than any sensor reports in mg/dL: the unit in the header does not fit the values",
            ],
        ),
        ("utf16.csv", sixteen, &["utf16.csv:1: not UTF-8 text; save the export as CSV in UTF-8"]),
        ("empty.csv", Vec::new(), &["empty.csv: the file is empty; "]),
        (
            "excel.csv",
            one.replace("2025-03-01T", "3/1/2025 ").into(),
            &["the date order cannot be proved", "not saved anew by a spreadsheet"],
        ),
        (
            "unknown.csv",
            format!("{HEADER}\n{}{}", row(0, "VGC", "100"), row(5, "Alert", "64")).into(),
            &["no sensor reading; the file has rows of alert 1, unknown 1"],
        ),
        (
            "times.csv",
            format!("{HEADER}\n1,yesterday,EGV,,Dexcom G6,100,1,8X\n").into(),
            &["(Dexcom Clarity has YYYY-MM-DDThh:mm:ss)"],
        ),
        (
            "far.csv",
            format!("{one}1,1925-03-01T08:00:00,EGV,,Dexcom G6,100,1,8X\n").into(),
            &["line 5 and line 4 lie more than 40 years apart"],
        ),
        (
            "cut.csv",
            format!("{HEADER}\n1,2025-03-01T08:00:00,EGV,,android G6,18").into(),
            &["cut.csv:2: ", "the file ends inside a row"],
        ),
    ];
    for (name, bytes, wanted) in table {
        fs::write(dir.path().join(name), bytes).unwrap();
        let (out, said, good) = outcomes(dir.path(), &[name]);
        assert!(!good && out.is_empty(), "{name}: {out}");
        for told in wanted {
            assert!(said.contains(told), "{name}: no {told:?} in {said}");
        }
        assert_eq!(said.matches("line 1").count(), 0, "{name}: the line is told once: {said}");
        assert!(!said.contains("VGC") && !said.contains("yesterday"), "{said}");
    }
    fs::create_dir(dir.path().join("exports")).unwrap();
    let (_, said, good) = outcomes(dir.path(), &["exports"]);
    assert!(!good && said.contains("exports: a folder; give its files, as in exports/*.csv"), "{said}");
}

#[test]
fn what_is_odd_beside_good_rows_is_told_and_the_good_rows_count() {
    let dir = tempfile::tempdir().unwrap();
    let name = dir.path().join("odd.csv");
    // A last row that is cut inside its value, a number beyond what a G6 reports, one that no sensor writes.
    let text = clarity(&["100", "110", "120", "450", "5"]) + "1,2025-03-01T09:00:00,EGV,,android G6,18";
    fs::write(&name, text).unwrap();
    let (out, said, good) = outcomes(dir.path(), &["odd.csv"]);
    assert!(good, "{said}");
    for told in [
        "1 row not read, the file ends inside a row: line 7",
        "1 row not read, the value is lower than any sensor reports: line 6",
        "1 reading beyond what Dexcom G6 reports (40 to 400 mg/dL)",
    ] {
        assert!(out.contains(told), "no {told:?} in\n{out}");
    }
    assert!(!out.contains("android"), "no device is invented: {out}");
    let mut text = clarity(&["100"; 1000]);
    let quoted = row(399 * 5, "EGV", "100");
    text = text.replacen(&quoted, &quoted.replacen("Dexcom", "\"Dexcom", 1), 1);
    fs::write(&name, text).unwrap();
    let (json, _, _) = outcomes(dir.path(), &["odd.csv", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let fault = &json[0]["faults"][0];
    let lost = fault["last"].as_u64().unwrap() - 401 + 1;
    assert_eq!(
        (fault["line"].as_u64(), json[0]["unreadable_rows"].as_u64()),
        (Some(401), Some(lost)),
        "{fault}"
    );
    assert!(lost > 40, "{fault}");
}

#[test]
fn a_pipe_in_the_place_of_a_sidecar_is_told_and_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.csv"), clarity(&["100", "120"])).unwrap();
    let pipe = dir.path().join("a.csv.patient.json");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (_, said, good) = outcomes(dir.path(), &["a.csv", "--csv"]);
    assert!(!good && said.contains("a.csv.patient.json: no regular file"), "{said}");
}
