//! `isthmus outcomes` as its user meets it: files in, text or JSON out, an exit code.

#![allow(clippy::unwrap_used, reason = "what surprises a test fails it, in its own functions too")]

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

const CLARITY_HEADER: &str = "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Source Device ID,\
    Glucose Value (mg/dL),Transmitter Time (Long Integer),Transmitter ID\n";

fn outcomes(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_isthmus"))
        .current_dir(dir)
        .arg("outcomes")
        .args(args)
        .env_remove("NO_COLOR")
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Fourteen whole days of 5-minute readings: of each day's 288, 12 are 50, 24 are 60, 216 are 121, 24 are
/// 200 and 12 are 300.
fn fortnight() -> String {
    let mut text = CLARITY_HEADER.to_owned();
    for day in 1..=14 {
        for slot in 0..288 {
            let value = match slot {
                0..12 => 50,
                12..36 => 60,
                36..252 => 121,
                252..276 => 200,
                _ => 300,
            };
            let (hour, minute) = (slot / 12, slot % 12 * 5);
            let ticks = ((day - 1) * 288 + slot) * 300;
            text.push_str(&format!(
                "1,2025-02-{day:02}T{hour:02}:{minute:02}:00,EGV,phone,{value},{ticks},8X\n"
            ));
        }
    }
    text
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.csv"), fortnight()).unwrap();
    fs::write(dir.path().join("bad.csv"), "a,b\n1,2\n").unwrap();
    dir
}

#[test]
fn json_is_an_array_of_flat_objects_with_unrounded_numbers() {
    let dir = folder();
    let output = outcomes(dir.path(), &["--json", "--tz", "America/New_York", "a.csv"]);
    assert!(output.status.success(), "{}", err(&output));
    let array: Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!(array.as_array().unwrap().len(), 1);
    let object = &array[0];
    let near = |name: &str, expected: f64| {
        let value = object[name].as_f64().unwrap();
        assert!((value - expected).abs() < 1e-9, "{name}: {value}, not {expected}");
    };
    assert_eq!(object["n"], 14 * 288);
    // (12·50 + 24·60 + 216·121 + 24·200 + 12·300) / 288 = 36 576 / 288
    let mean = 127.0;
    let square = |value: f64| (value - mean) * (value - mean);
    let day = 12.0 * square(50.0)
        + 24.0 * square(60.0)
        + 216.0 * square(121.0)
        + 24.0 * square(200.0)
        + 12.0 * square(300.0);
    let sd = (14.0 * day / (14.0 * 288.0 - 1.0)).sqrt();
    near("mean_mg_dl", mean);
    near("sd_mg_dl", sd);
    near("cv_pct", 100.0 * sd / mean);
    near("gmi_pct", 3.31 + 0.02392 * mean);
    near("tbr54_pct", 100.0 * 12.0 / 288.0);
    near("tbr70_pct", 100.0 * 36.0 / 288.0);
    near("tir_pct", 75.0);
    near("tar180_pct", 100.0 * 36.0 / 288.0);
    near("tar250_pct", 100.0 * 12.0 / 288.0);
    near("active_window_pct", 100.0);
    near("active_span_pct", 100.0);
    assert_eq!((object["start"].as_str(), object["end"].as_str()), (Some("2025-02-01"), Some("2025-02-14")));
    assert_eq!(object["policy"], "standard/1");
    assert_eq!(object["zone"], "America/New_York");
}

#[test]
fn the_table_reads_without_a_terminal_and_without_colour() {
    let dir = folder();
    let output = outcomes(dir.path(), &["--tz", "UTC", "a.csv"]);
    let text = out(&output);
    assert!(output.status.success() && !text.contains('\u{1b}'), "{text}");
    for part in [
        "Dexcom Clarity, recognized by columns",
        "2025-02-01 to 2025-02-14, 14 days",
        "UTC (--tz)",
        "= target    70-180     75.00 % 18:00   goal > 70 %: met",
        "all below <70        12.50 %  3:00   goal < 4 %: NOT MET",
        "| GMI          6.3 % ",
        "| mean         127.0 mg/dL (7.0 mmol/L) ",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn a_bad_file_is_told_and_does_not_stop_the_others() {
    let dir = folder();
    let output = outcomes(dir.path(), &["--json", "bad.csv", "absent.csv", "a.csv"]);
    assert_eq!(output.status.code(), Some(1));
    let array: Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!(array.as_array().unwrap().len(), 1);
    let complaints = err(&output);
    assert!(complaints.starts_with("bad.csv: no header of a known format"), "{complaints}");
    assert!(complaints.lines().nth(1).unwrap().starts_with("absent.csv: No such file"), "{complaints}");
}

#[test]
fn nothing_good_is_an_empty_array() {
    let dir = folder();
    let output = outcomes(dir.path(), &["--json", "bad.csv"]);
    assert_eq!((output.status.code(), out(&output).trim()), (Some(1), "[]"));
}

#[test]
fn wrong_usage_ends_with_2() {
    let dir = folder();
    for args in [
        &[][..],
        &["--tz", "Mars/Olympus", "a.csv"],
        &["--population", "nobody", "a.csv"],
        &["--from", "2025-2-1", "a.csv"],
        &["--from", "2025-02-09", "--to", "2025-02-08", "a.csv"],
        &["--fhir", "a.csv"],
        &["--fhir", "r3", "--subject", "urn:x|1", "a.csv"],
        &["--unit", "mmol", "a.csv"],
        &["--unit", "mmol", "--json", "a.csv"],
        &["--fhir", "r4", "--subject", "urn:x|1", "--last-days", "7,14", "a.csv"],
        &["--fhir", "r4", "--subject", "urn:x|1", "--html", "r.html", "a.csv"],
        &["--codesystem", "a.csv"],
        &["--fhir", "--subject", "4711", "a.csv"],
        &["--fhir", "--subject", "urn:x|1", "a.csv", "bad.csv"],
        &["--fhir", "--json", "--subject", "urn:x|1", "a.csv"],
        &["--csv", "--json", "a.csv"],
        &["--csv", "--last-days", "0", "a.csv"],
        &["--html", "r.html", "--last-days", "15", "a.csv"],
        &["--html", "r.html", "--name", "A", "a.csv", "bad.csv"],
        &["--html", "r.html", "--unit", "g/L", "a.csv"],
        &["--html", "r.html", "--birth-date", "1981-02-29", "a.csv"],
        &["--name", "A", "a.csv"],
        &["--compare", "a.csv"],
        &["--compare", "standard", "pregnancy-t1"],
        &["--compare", "a.csv", "bad.csv", "a.csv"],
    ] {
        let output = outcomes(dir.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?} {}", err(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn days_device_and_policy_narrow_what_counts() {
    let dir = folder();
    let one = |args: &[&str]| {
        let output = outcomes(dir.path(), &[args, &["--json", "--tz", "UTC", "a.csv"]].concat());
        assert!(output.status.success(), "{}", err(&output));
        serde_json::from_str::<Value>(&out(&output)).unwrap()[0].clone()
    };
    let days = one(&["--from", "2025-02-03", "--to", "2025-02-04"]);
    assert_eq!((&days["n"], &days["days"]), (&Value::from(576), &Value::from(2)));
    assert_eq!(days["gmi_pct"], Value::Null);
    assert_eq!(one(&["--device", "phone/8X"])["n"], 4032);
    assert_eq!(one(&["--policy", "pregnancy-t1"])["policy"], "pregnancy-t1/1");
    let output = outcomes(dir.path(), &["--device", "watch", "a.csv"]);
    assert!(err(&output).contains("give one of: \"phone/8X\""), "{}", err(&output));
}

#[test]
fn fhir_is_a_transaction_about_the_subject() {
    let dir = folder();
    let output = outcomes(dir.path(), &["--fhir", "--subject", "urn:oid:1.2.3|4711", "a.csv"]);
    let bundle: Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!(
        (bundle["resourceType"].as_str(), bundle["type"].as_str()),
        (Some("Bundle"), Some("transaction"))
    );
    let panel = &bundle["entry"][0]["resource"];
    assert_eq!(panel["code"]["coding"][0]["code"], "107931-8");
    assert_eq!(panel["subject"]["identifier"]["value"], "4711");
    assert_eq!(panel["hasMember"].as_array().unwrap().len(), 6);
}

#[test]
fn whom_it_is_about_is_read_from_standard_input_and_stands_on_no_command_line() {
    let dir = folder();
    let typing = |args: &[&str], lines: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_isthmus"));
        command.current_dir(dir.path()).arg("outcomes").args(args).env_remove("NO_COLOR");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = typing(&["--fhir", "--subject", "-", "a.csv"], "urn:oid:1.2.3|4711\n");
    let bundle: Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!(bundle["entry"][0]["resource"]["subject"]["identifier"]["value"], "4711");
    // A line for each, in the order of the options.
    let about = ["--html", "r.html", "--record-number", "-", "--name", "-", "--birth-date", "-", "a.csv"];
    let output = typing(&about, "4711\nA. Example\n1980-12-31\n");
    assert!(output.status.success(), "{}", err(&output));
    let page = fs::read_to_string(dir.path().join("r.html")).unwrap();
    for text in ["4711", "A. Example", "1980-12-31"] {
        assert!(page.contains(text), "{text}");
    }
    let output = typing(&about, "4711\nA. Example\n");
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("standard input has no line for it"), "{}", err(&output));
}

/// Another file of the same fortnight: one reading of each day is missing, one has another value.
fn changed() -> String {
    let lines = fortnight().lines().map(str::to_owned).collect::<Vec<_>>();
    let kept = lines.into_iter().filter(|line| !line.contains("T10:00:00"));
    kept.map(|line| line.replace("02-03T11:00:00,EGV,phone,121", "02-03T11:00:00,EGV,phone,111") + "\n")
        .collect()
}

/// The rows of RFC 4180 text, by the names in its head.
fn rows(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut lines = text.split_terminator("\r\n").map(cells);
    let head = lines.next().unwrap();
    let row = |cells: Vec<String>| {
        assert_eq!(cells.len(), head.len());
        head.iter().cloned().zip(cells).collect()
    };
    lines.map(row).collect()
}

/// The cells of a row without line ends in it; a quote in a quoted cell stands twice.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            c => cells.last_mut().unwrap().push(c),
        }
    }
    cells
}

#[test]
fn csv_has_a_row_for_each_file_and_window_and_a_bad_file_costs_its_own_row() {
    let dir = folder();
    fs::write(dir.path().join("b.csv"), changed()).unwrap();
    let sidecar = r#"{"system": "urn:x", "value": "4711"}"#;
    fs::write(dir.path().join("b.csv.patient.json"), sidecar).unwrap();
    let args = ["--csv", "--tz", "UTC", "--last-days", "7,14", "a.csv", "bad.csv", "b.csv"];
    let output = outcomes(dir.path(), &args);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(err(&output).starts_with("bad.csv: "), "{}", err(&output));
    let rows = rows(&out(&output));
    let cells = |name: &str| rows.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(cells("file"), ["a.csv", "a.csv", "b.csv", "b.csv"]);
    assert_eq!(cells("patient"), ["", "", "4711", "4711"]);
    assert_eq!(cells("days"), ["7", "14", "7", "14"]);
    assert_eq!(cells("start"), ["2025-02-08", "2025-02-01", "2025-02-08", "2025-02-01"]);
    assert_eq!(cells("n_readings"), ["2016", "4032", "2009", "4018"]);
    assert_eq!(cells("tir_pct")[..2], ["75.0", "75.0"]);
    assert_eq!((cells("gmi_pct")[0].as_str(), cells("insufficient")[0].as_str()), ("", "too-few-days"));
    let gmi: f64 = cells("gmi_pct")[1].parse().unwrap();
    assert!((gmi - (3.31 + 0.02392 * 127.0)).abs() < 1e-9);
}

#[test]
fn the_report_is_a_document_of_one_page_a_file_that_names_its_patient() {
    let dir = folder();
    fs::write(dir.path().join("b.csv"), changed()).unwrap();
    let sidecar =
        r#"{"system": "urn:x", "value": "4711", "name": "Bo <Example>", "birth_date": "1980-12-31"}"#;
    fs::write(dir.path().join("b.csv.patient.json"), sidecar).unwrap();
    let output = outcomes(dir.path(), &["a.csv", "bad.csv", "b.csv", "--tz", "UTC", "--html", "report.html"]);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""), "{}", err(&output));
    let page = fs::read_to_string(dir.path().join("report.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    assert_eq!((page.matches("<article").count(), page.matches("<svg role=\"img\"").count()), (2, 6));
    assert!(page.contains("<dd>Bo &lt;Example&gt;</dd>") && page.contains("<dd>4711</dd>"));
    assert!(page.contains("<dd>1980-12-31</dd>"));
    for number in
        ["75.00 %", "18 h 00 min", "127.0 <small>mg/dL</small>", "6.3 %", "sensor active 100.0&nbsp;%"]
    {
        assert!(page.contains(number), "{number}");
    }
    assert!(!page.contains("<script") && page.contains("default-src 'none'"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(dir.path().join("report.html")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "it may name a patient");
    }
}

#[test]
fn a_report_without_a_good_file_is_not_written_and_an_export_is_never_written_over() {
    let dir = folder();
    let output = outcomes(dir.path(), &["bad.csv", "--html", "report.html"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!dir.path().join("report.html").exists());
    let before = fs::read(dir.path().join("a.csv")).unwrap();
    let output = outcomes(dir.path(), &["--html", "a.csv", "bad.csv"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("ends in .html"), "{}", err(&output));
    assert_eq!(fs::read(dir.path().join("a.csv")).unwrap(), before);
}

#[test]
fn the_report_is_printed_where_no_file_is_named_in_the_unit_asked_for() {
    let dir = folder();
    let args = ["a.csv", "--tz", "UTC", "--unit", "mmol/L", "--name", "A", "--html"];
    let output = outcomes(dir.path(), &args);
    assert!(output.status.success(), "{}", err(&output));
    let page = out(&output);
    assert!(page.starts_with("<!doctype html>") && page.contains("7.0 <small>mmol/L</small>"));
    assert!(page.contains("3.9\u{2013}10.0"));
    let sidecar = r#"{"system": "urn:x", "value": "1", "sha256": "00"}"#;
    fs::write(dir.path().join("a.csv.patient.json"), sidecar).unwrap();
    let output = outcomes(dir.path(), &args);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("sha256"), "another patient's sidecar is not taken: {}", err(&output));
}

#[test]
fn a_number_is_explained_by_its_readings_rules_and_formula() {
    let dir = folder();
    let output = outcomes(dir.path(), &["a.csv", "--tz", "UTC", "--explain", "tir"]);
    assert!(output.status.success(), "{}", err(&output));
    let text = out(&output);
    for part in [
        "a.csv: tir_pct = 75.0 %",
        "100 x 15120 min / 20160 min = 75",
        "3024 of 5 min",
        "from 70 mg/dL, or 3.9 mmol/L",
        "from: Battelino 2019",
        "left out  nothing",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    let output = outcomes(dir.path(), &["a.csv", "--tz", "UTC", "--explain", "gmi", "--json"]);
    let array: Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!((&array[0]["metric"], &array[0]["readings_behind"]), (&"gmi_pct".into(), &4032.into()));
    assert_eq!(array[0]["readings"].as_array().unwrap().len(), 4032);
    let output = outcomes(dir.path(), &["a.csv", "--explain", "a1c"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("gmi_pct"), "{}", err(&output));
}

#[test]
fn two_files_and_two_policies_are_compared() {
    let dir = folder();
    fs::write(dir.path().join("b.csv"), changed()).unwrap();
    let output = outcomes(dir.path(), &["--tz", "UTC", "--compare", "a.csv", "b.csv", "--json"]);
    assert!(output.status.success(), "{}", err(&output));
    let array: Value = serde_json::from_str(&out(&output)).unwrap();
    let readings = &array[0]["readings"];
    let of = |name: &str| readings[name].as_u64().unwrap();
    assert_eq!((of("only_in_a"), of("only_in_b"), of("other_value"), of("in_both")), (14, 0, 1, 4017));
    let output = outcomes(dir.path(), &["--tz", "UTC", "--compare", "a.csv", "b.csv"]);
    let text = out(&output);
    assert!(text.contains("mean_mg_dl") && text.contains("readings only in A: 14"), "{text}");
    let output = outcomes(dir.path(), &["a.csv", "--tz", "UTC", "--compare", "standard", "pregnancy-t1"]);
    let text = out(&output);
    // 121 is in both targets, and 300 above both: only what is very high differs.
    assert!(
        text.contains("tar250_pct") && text.contains("only in B: thresholds.high_above.mg_dl=140"),
        "{text}"
    );
    assert!(!text.contains("mean_mg_dl") && !text.contains("tir_pct"), "{text}");
    let output = outcomes(dir.path(), &["--compare", "a.csv", "bad.csv"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_profile_by_hour_stands_in_the_object() {
    let dir = folder();
    let output = outcomes(dir.path(), &["--json", "--tz", "UTC", "a.csv"]);
    let array: Value = serde_json::from_str(&out(&output)).unwrap();
    let hours = array[0]["profile_by_hour"].as_array().unwrap();
    assert_eq!(hours.len(), 24);
    // From 00:00 to 01:00 all are 50, from 03:00 all 121, from 23:00 all 300.
    for (hour, value) in [(0, 50.0), (3, 121.0), (23, 300.0)] {
        assert_eq!(
            (hours[hour]["days"].as_u64(), hours[hour]["p50_mg_dl"].as_f64()),
            (Some(14), Some(value))
        );
    }
}

#[test]
fn the_help_teaches_by_examples_and_names_the_exit_codes() {
    let dir = folder();
    let output = outcomes(dir.path(), &["--help"]);
    let text = out(&output);
    for part in [
        "Examples:",
        "--html report.html",
        "--explain tir",
        "--compare before.csv after.csv",
        "Exit codes: 0",
    ] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn fhir_has_a_release_a_unit_our_own_codes_and_a_report() {
    let dir = folder();
    fs::write(dir.path().join("report.html"), "<!doctype html><p>made up").unwrap();
    let about =
        ["--subject", "urn:oid:1.2.3|4711", "--unit", "mmol", "--local-codes", "--report", "report.html"];
    let bundle = |release: &str| -> Value {
        let args = [&["--fhir", release], about.as_slice(), &["a.csv"]].concat();
        let output = outcomes(dir.path(), &args.iter().map(AsRef::as_ref).collect::<Vec<&str>>());
        serde_json::from_str(&out(&output)).unwrap()
    };
    let (r4, r5) = (bundle("r4"), bundle("r5"));
    let of = |bundle: &Value, n: usize| bundle["entry"][n]["resource"].clone();
    assert_eq!(of(&r4, 1)["code"]["coding"][0]["code"], "105273-7");
    assert_eq!(of(&r4, 1)["valueQuantity"]["unit"], "mmol/l");
    let members = of(&r4, 0)["hasMember"].as_array().unwrap().len();
    assert!(members > 6, "{members} members");
    let last = r4["entry"].as_array().unwrap().len() - 1;
    let report = of(&r4, last - 1);
    assert_eq!(
        (&report["resourceType"], &report["presentedForm"][0]["size"]),
        (&json!("DiagnosticReport"), &json!(25))
    );
    assert_eq!(of(&r5, last - 1)["presentedForm"][0]["size"], "25");
    assert!(of(&r4, last).get("reason").is_some() && of(&r5, last).get("reason").is_none());
    assert_eq!(of(&r5, last)["authorization"][0]["concept"], of(&r4, last)["reason"][0]);
}

#[test]
fn the_codes_of_our_own_are_printed_without_a_file() {
    let dir = folder();
    let codes: Value = serde_json::from_str(&out(&outcomes(dir.path(), &["--codesystem"]))).unwrap();
    assert_eq!((&codes["resourceType"], &codes["content"]), (&json!("CodeSystem"), &json!("complete")));
    assert!(codes["concept"].as_array().unwrap().iter().any(|concept| concept["code"] == "gri"));
}

/// n, mean and TIR of the public samples, counted from the rows by nothing of ours: Clarity's EGV rows and
/// LibreView's historic column.
#[test]
fn public_samples_agree_with_a_count_of_their_rows() {
    let Some(data) = data() else {
        println!("skipped: no ../shared/data");
        return;
    };
    for (file, delimiter, kind, value) in [
        ("cgmanalysis_Dexcom.txt", '\t', Some((2, "EGV")), 7),
        ("cgmanalysis_Libre.csv", ',', None, 2),
        ("cgmformat_Clarity_Export_synthetic.csv", ',', Some((2, "EGV")), 7),
        ("cgmformat_FreeStyle_Libre_3_synthetic.csv", ',', None, 4),
    ] {
        let text = fs::read_to_string(data.join(file)).unwrap();
        let values: Vec<f64> = text
            .lines()
            .map(|line| line.trim().split(delimiter).collect::<Vec<_>>())
            .filter(|cells| kind.is_none_or(|(at, word)| cells.get(at) == Some(&word)))
            .filter_map(|cells| match *cells.get(value)? {
                "Low" => Some(39.0),
                "High" => Some(401.0),
                number => number.parse().ok(),
            })
            .collect();
        let output = outcomes(&data, &["--json", "--tz", "UTC", file]);
        let object = &serde_json::from_str::<Value>(&out(&output)).unwrap()[0];
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let within = values.iter().filter(|value| (70.0..=180.0).contains(*value)).count() as f64;
        assert_eq!(object["n"].as_f64(), Some(n), "{file}");
        assert!((object["mean_mg_dl"].as_f64().unwrap() - mean).abs() < 1e-9, "{file}");
        assert!((object["tir_pct"].as_f64().unwrap() - 100.0 * within / n).abs() < 1e-9, "{file}");
    }
}

fn data() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    ["../../shared/data/cgm", "../../../shared/data/cgm"]
        .map(|path| root.join(path))
        .into_iter()
        .find(|p| p.is_dir())
}

#[test]
fn single_readings_and_events_leave_as_fhir_and_single_readings_as_hl7_v2() {
    let dir = folder();
    let about = ["a.csv", "--tz", "UTC", "--subject", "NORTH|4711"];
    let run = |more: &[&str]| outcomes(dir.path(), &[&about, more].concat());
    let bundle: Value = serde_json::from_str(&out(&run(&["--fhir", "--readings", "--local-codes"]))).unwrap();
    let codes: Vec<String> = bundle["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["resource"]["code"]["coding"][0]["code"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(codes.iter().filter(|code| *code == "99504-3").count(), 4032);
    // Every night from 50 up, every evening at 300: fourteen of either, at both levels.
    assert!(codes.iter().filter(|code| *code == "event").count() >= 4 * 13, "{}", codes.len());
    let message = out(&run(&["--oru", "--local-codes"]));
    assert!(message.starts_with("MSH|^~\\&|ISTHMUS|OUTCOMES|"), "{message}");
    assert!(message.contains("\rPID|1||4711^^^NORTH^MR||") && message.contains("|107931-8^"), "{message}");
    assert!(message.contains("|97510-2^") && message.contains("|gri^"), "{message}");
    let messages = out(&run(&["--oru", "--readings"]));
    assert_eq!((messages.matches("MSH|").count(), messages.matches("\rOBX|").count()), (3, 4032));
    // No Bundle is larger than its bound: what to do is said.
    let refused = run(&["--oru", "--fhir"]);
    assert_eq!(refused.status.code(), Some(2), "{}", err(&refused));
}

#[test]
fn a_policy_of_the_hospitals_own_is_found_beside_the_configuration() {
    let dir = folder();
    fs::create_dir(dir.path().join("policies.d")).unwrap();
    let own = "id = \"north\"\nversion = 1\ntitle = \"North\"\nbase = \"standard\"\n\n\
               [thresholds.high_above]\nmg_dl = \"160\"\nmmol_l = \"8.9\"\nsource = \"made up\"\n";
    fs::write(dir.path().join("policies.d/north.toml"), own).unwrap();
    let run = |more: &[&str]| {
        let base = ["--config", "isthmus.toml", "a.csv", "--tz", "UTC"];
        outcomes(dir.path(), &[&base, more].concat())
    };
    let output = run(&["--policy", "north", "--json"]);
    let array: Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!(
        (&array[0]["policy"], &array[0]["edges_mg_dl"]["high_above"]),
        (&"north/1".into(), &160.0.into())
    );
    let text = out(&run(&["--compare", "standard", "north"]));
    assert!(
        text.contains("policies: standard/1 in A, north/1 in B") && text.contains("high_above.mg_dl=160"),
        "{text}"
    );
    let output = run(&["--policy", "south"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err(&output).contains("there are standard, ") && err(&output).contains("north"),
        "{}",
        err(&output)
    );
    fs::write(dir.path().join("policies.d/north.toml"), own.replace("160", "two")).unwrap();
    let output = run(&["--policy", "north"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(err(&output).contains("north.toml:7"), "{}", err(&output));
}
