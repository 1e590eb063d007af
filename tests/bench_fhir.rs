//! `isthmus bench fhir` as a script sees it: a short run, whose figures are whole and sane.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::{Command, Stdio};

use serde_json::Value;

/// What the run stores beforehand.
const OBSERVATIONS: u64 = 200;

#[test]
fn a_short_run_answers_every_request_as_it_should_and_gives_back_all_that_was_stored() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_isthmus"))
        .args(["bench", "fhir", "--observations", &OBSERVATIONS.to_string(), "--connections", "4"])
        .args(["--seconds", "0.2", "--rounds", "1", "--json", "--dir"])
        .arg(dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let phases = report["phases"].as_array().unwrap();
    let mut created = 0;
    for phase in phases {
        let number = |name: &str| phase[name].as_f64().unwrap();
        assert_eq!(phase["errors"], 0, "{phase}");
        assert!(number("requests") >= 1.0 && number("per_second") > 0.0, "{phase}");
        assert!(number("p50_ms") > 0.0 && number("p50_ms") <= number("p99_ms"), "{phase}");
        assert!(number("p99_ms") <= number("max_ms"), "{phase}");
        if phase["name"] == "conditional create" {
            created = phase["requests"].as_u64().unwrap();
        }
    }
    for name in ["read by id", "conditional create", "patient+code+date", "search, mixed"] {
        assert!(phases.iter().any(|phase| phase["name"] == name), "{name}");
    }
    // What was stored before and what was created meanwhile, each once.
    assert_eq!(report["walk"]["resources"], OBSERVATIONS + created);
    assert!(report["memory"]["peak_mib"].as_f64().unwrap() > 1.0);
}
