//! Metrics, alerts and the dashboard, held to each other and to Prometheus' own tool.
//!
//! `promtool` is taken from `$ISTHMUS_PROMTOOL` or the path; where there is none, the tests that need it say so and pass.
//! `cargo xtask interop` brings it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails")]

mod site;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use isthmus::telemetry::Metric;
use serde_json::Value;
use site::{daily, settled};
use standin::rig::RigSettings;

/// Conditions that ring by something else than their own name, and by what.
const RINGS_OTHERWISE: [(&str, &str); 2] = [
    ("certificate-expiring", "IsthmusCertificateEndsIn14Days: the gauge says how many days are left"),
    ("outbound-halted", "IsthmusOutboundHalted: the gauge says which destination"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs promtool; `None` where there is none. What it said, and whether it found nothing.
fn promtool(words: &[&str], input: &str) -> Option<(bool, String)> {
    let program = env::var("ISTHMUS_PROMTOOL").unwrap_or_else(|_| "promtool".to_owned());
    let mut command = Command::new(program);
    command.args(words).current_dir(root().join("etc/prometheus"));
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = spawned else {
        println!("skipped: no promtool here (Debian's package prometheus has it)");
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

/// An alert, as alerts.yml has it.
#[derive(Debug)]
struct Alert {
    expr: String,
    severity: String,
    annotations: BTreeMap<String, String>,
}

fn alerts() -> BTreeMap<String, Alert> {
    let text = read("etc/prometheus/alerts.yml");
    let mut alerts = BTreeMap::new();
    for block in text.split("\n      - alert: ").skip(1) {
        let (name, rest) = block.split_once('\n').unwrap();
        let (expr, rest) = rest.split_once("        labels: { severity: ").unwrap();
        let (severity, rest) = rest.split_once(" }").unwrap();
        let annotation = |line: &str| {
            let (key, value) = line.trim().split_once(": ")?;
            Some((key.to_owned(), value.trim_matches('"').to_owned()))
        };
        let annotations = rest.lines().filter_map(annotation).collect();
        let alert = Alert { expr: expr.to_owned(), severity: severity.to_owned(), annotations };
        assert!(alerts.insert(name.to_owned(), alert).is_none(), "{name} stands twice");
    }
    assert!(alerts.len() > 40, "the alerts were read: {}", alerts.len());
    alerts
}

/// The words of all conditions, as the daemon names them.
fn conditions() -> BTreeSet<String> {
    let text = read("daemon/src/conditions.rs");
    let words = text.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => \""));
    let words: BTreeSet<String> =
        words.filter_map(|(_, word)| Some(word.strip_suffix("\",")?.to_owned())).collect();
    assert!(words.len() > 30, "the conditions were read: {words:?}");
    words
}

/// The conditions that an expression asks for.
fn asked(expr: &str) -> Vec<&str> {
    let of = |part: &'_ str| -> Option<(usize, usize)> {
        let begin = part.find('"')? + 1;
        Some((begin, begin + part[begin..].find('"')?))
    };
    let parts = expr.split("isthmus_condition{name=").skip(1);
    parts
        .filter_map(|part| of(part).map(|(begin, end)| &part[begin..end]))
        .flat_map(|words| words.split('|'))
        .collect()
}

/// A reading of a day that is over.
fn message() -> Vec<u8> {
    [
        "MSH|^~\\&|HUB|NORTH|ISTHMUS|NORTH|20260302||ORU^R01^ORU_R01|M-1|P|2.5.1||||||UNICODE UTF-8",
        "PID|1||7700001^^^NORTH^MR",
        "OBR|1|||99504-3^Glucose^LN",
        "OBX|1|NM|160212^MDC_CONC_GLU_ISF^MDC||100|mg/dL|||||F|||20260302100000+0000||||SN-1",
        "",
    ]
    .join("\r")
    .into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing_in_the_metrics_of_a_daemon_at_work() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), RigSettings { upstream: true, ..daily() }).await;
    rig.start().await.unwrap();
    site::send(&rig, &[message()]).await;
    settled(&rig).await;
    for series in [
        "isthmus_receipt_to_delivery_seconds_count{destination=\"ehr:main\"}",
        "isthmus_slo_deliveries_total{destination=\"ehr:main\",result=\"in-time\"}",
        "isthmus_stage_seconds_count{stage=\"publish\"}",
        "isthmus_store_commits_total",
        "isthmus_outbox_rows{destination=\"ehr:main\",state=\"delivered\"}",
    ] {
        site::at_least_metric(&rig, series, 1.0).await;
    }
    let told = site::metrics(&rig).await;
    let text = told.split_once("\r\n\r\n").unwrap().1.to_owned();
    let late = "isthmus_slo_deliveries_total{destination=\"ehr:main\",result=\"late\"}";
    assert!(text.contains(&format!("{late} 0")), "both results stand from the start");
    assert!(rig.stop().await.unwrap().success());
    // What a series is named is a member of the enum.
    let names: BTreeSet<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let name = line.split(['{', ' ']).next().unwrap();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        assert!(names.contains(name) || base.is_some_and(|base| names.contains(base)), "{line}");
    }
    let Some((good, said)) = promtool(&["check", "metrics"], &text) else { return };
    assert!(good && said.trim().is_empty(), "{said}");
    println!(
        "promtool check metrics: nothing found in {} series",
        text.lines().filter(|l| !l.starts_with('#')).count()
    );
}

#[test]
fn promtool_takes_the_alerts_and_each_rings_when_it_should_and_not_before() {
    let Some((good, said)) = promtool(&["check", "rules", "alerts.yml"], "") else { return };
    assert!(good, "{said}");
    let (good, said) = promtool(&["test", "rules", "alerts_test.yml"], "").unwrap();
    assert!(good, "{said}");
    println!("promtool: {} alerts are sound and ring when they should", alerts().len());
}

#[test]
fn every_alert_has_a_sentence_an_action_a_severity_a_section_and_a_test_of_both_sides() {
    let (runbook, tests) = (read("docs/runbook.md"), read("etc/prometheus/alerts_test.yml"));
    for (name, alert) in alerts() {
        assert!(
            ["page", "ticket", "notice"].contains(&alert.severity.as_str()),
            "{name}: {}",
            alert.severity
        );
        for key in ["summary", "action"] {
            let text = alert.annotations.get(key).unwrap_or_else(|| panic!("{name} has no {key}"));
            assert!(text.len() > 10, "{name}: {key}");
        }
        assert!(alert.annotations["summary"].ends_with('.'), "{name}: the summary is a sentence");
        let url = format!("file:///usr/share/doc/isthmus/docs/runbook.md#{}", name.to_lowercase());
        assert_eq!(alert.annotations["runbook_url"], url, "{name}");
        assert!(runbook.contains(&format!("\n## {name}\n")), "docs/runbook.md has no section {name}");
        let asked = format!("ALERTS{{alertname=\"{name}\",alertstate=\"firing\"}}");
        // What stands behind each question: nothing, or one that rings.
        let answers = tests.split(&asked).skip(1).filter_map(|part| part.split("exp_samples: ").nth(1));
        let (quiet, ringing): (Vec<&str>, Vec<&str>) = answers.partition(|answer| answer.starts_with("[]"));
        assert!(!ringing.is_empty() && !quiet.is_empty(), "alerts_test.yml tries {name} on both sides");
    }
}

#[test]
fn every_condition_rings_an_alert_and_no_alert_asks_for_one_that_there_is_not() {
    let (conditions, alerts) = (conditions(), alerts());
    let asked: BTreeSet<&str> = alerts.values().flat_map(|alert| asked(&alert.expr)).collect();
    for word in &conditions {
        let otherwise = RINGS_OTHERWISE.iter().find(|(name, _)| name == word);
        if let Some((_, why)) = otherwise {
            let alert = why.split(':').next().unwrap();
            assert!(alerts.contains_key(alert), "{word}: {why}");
        } else {
            assert!(asked.contains(word.as_str()), "no alert asks for the condition {word}");
        }
    }
    let unknown: Vec<_> = asked.iter().filter(|word| !conditions.contains(**word)).collect();
    assert!(unknown.is_empty(), "alerts ask for conditions that there are not: {unknown:?}");
}

/// The metrics that a query names.
fn named(query: &str) -> Vec<&str> {
    let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("isthmus_")).collect()
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are_and_every_panel_says_what_it_shows() {
    let dashboard: Value = serde_json::from_str(&read("etc/grafana/isthmus.json")).unwrap();
    let names: BTreeSet<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
    let (mut rows, mut panels, mut used) = (Vec::new(), 0, BTreeSet::new());
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is another panel's");
        if panel["type"] == "row" {
            rows.push(title);
            continue;
        }
        panels += 1;
        let description = panel["description"].as_str().unwrap_or_default();
        assert!(description.len() > 20 && description.ends_with('.'), "{title} says what it shows");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title} asks for something");
        for target in targets {
            let expr = target["expr"].as_str().unwrap();
            let found = named(expr);
            assert!(!found.is_empty() || expr.contains("up{"), "{title}: {expr}");
            for name in found {
                let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
                let known = [Some(name), base].into_iter().flatten().find(|name| names.contains(name));
                used.insert(known.unwrap_or_else(|| panic!("{title}: no metric {name}")));
            }
            if let Some((good, said)) = promtool(&["check", "rules", "/dev/stdin"], &as_rule(expr)) {
                assert!(good, "{title}: {expr}: {said}");
            }
        }
    }
    assert_eq!(rows, ["Fleet", "Box", "Disk"]);
    assert!(panels >= 16, "{panels}");
    for needed in [
        "isthmus_mllp_frames_total",
        "isthmus_inbox_oldest_pending_seconds",
        "isthmus_oldest_undelivered_age_seconds",
        "isthmus_site_mode",
        "isthmus_receipt_to_delivery_seconds",
        "isthmus_slo_deliveries_total",
        "isthmus_tls_certificate_expiry_seconds",
        "isthmus_condition",
        "isthmus_disk_free_bytes",
        "isthmus_store_bytes",
    ] {
        assert!(used.contains(needed), "no panel shows {needed}");
    }
}

/// A query as a recording rule, so that promtool parses it; the dashboard's variables stand for what they choose.
fn as_rule(expr: &str) -> String {
    let expr = expr.replace("$instance", "box").replace("$__rate_interval", "5m");
    let quoted = serde_json::to_string(&expr).unwrap();
    format!("groups:\n  - name: g\n    rules:\n      - record: a:b\n        expr: {quoted}\n")
}
