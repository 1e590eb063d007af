//! The first day at a site: what its EHR states becomes a matrix, and the playbook finds exactly what is wrong.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails")]

mod site;

use std::{fs, os::unix::fs::MetadataExt, path::Path, process::Output};

use serde_json::Value;
use standin::{
    Conduct, Person, Persona,
    persona::RowMap,
    rig::{CLIENT_KEY_FILE, Registration, Rig, RigSettings},
    rule::{Act, Refused, Rule, Spoilt, What},
};

const SYSTEM: &str = "urn:oid:1.2.3";
/// No other text holds it by chance.
const VALUE: &str = "TEST-ZQX4711";
const PATIENT: &str = "urn:oid:1.2.3|TEST-ZQX4711";
const BORN: &str = "1980-01-01";

/// A site with a test patient; nothing of the daemon runs.
async fn playing(
    dir: &Path,
    persona: Persona,
    projection: &str,
    change: impl FnOnce(&mut RigSettings),
) -> Rig {
    let mut conduct = Conduct::of(persona);
    conduct.people.push(Person::new(SYSTEM, VALUE).born(BORN));
    let vendor = matches!(persona, Persona::Epic | Persona::Millennium);
    let mut settings = RigSettings {
        conduct,
        projection: projection.to_owned(),
        subject: if vendor { "lookup" } else { "identifier" }.to_owned(),
        upstream: false,
        ..RigSettings::default()
    };
    change(&mut settings);
    site::prepare(dir, settings).await
}

/// Runs the binary with the rig's configuration.
/// In the folder of the configuration, where reports go.
async fn there(rig: &Rig, args: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(site::binary());
    command.args(args).arg("--config").arg(rig.config()).current_dir(rig.dir());
    command.output().await.unwrap()
}

async fn probed(rig: &Rig, code: i32) -> Value {
    let output = there(rig, &["site", "probe", "main", "--json"]).await;
    assert_eq!(output.status.code(), Some(code), "{}", told(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The report of a trial, which must end with this code; nowhere is the patient's identifier.
async fn validated(rig: &Rig, code: i32, more: &[&str]) -> Value {
    let mut args = vec![
        "site",
        "validate",
        "main",
        "--patient",
        PATIENT,
        "--born",
        BORN,
        "--test-patient-confirmed",
        "--daemon-stopped",
        "--out",
        "out",
    ];
    args.extend(more);
    // No report is overwritten.
    let _none_before = fs::remove_dir_all(rig.dir().join("out"));
    let output = there(rig, &args).await;
    assert_eq!(output.status.code(), Some(code), "{}", told(&output));
    let json = fs::read_to_string(rig.dir().join("out/report.json")).unwrap();
    let html = fs::read_to_string(rig.dir().join("out/report.html")).unwrap();
    for text in [&json, &html, &told(&output)] {
        assert!(!text.contains(VALUE) && !text.contains(BORN) && !text.contains("Madeup"), "{text}");
    }
    assert!(!html.contains("<script") && !html.contains("src=") && !html.contains("href="), "{html}");
    serde_json::from_str(&json).unwrap()
}

/// The steps of a status, each once.
fn steps(report: &Value, status: &str) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap();
    let of = findings.iter().filter(|one| one["status"] == status);
    let mut names: Vec<String> = of.map(|one| one["step"].as_str().unwrap().to_owned()).collect();
    names.dedup();
    names
}

fn assert_failed(report: &Value, wanted: &[&str]) {
    assert_eq!(steps(report, "failed"), wanted, "{report:#}");
}

/// The keys that a probe would change, and the values.
fn changes(probed: &Value) -> Vec<(String, String)> {
    let list = probed["changes"].as_array().unwrap();
    list.iter()
        .map(|one| (one["key"].as_str().unwrap().to_owned(), one["value"].as_str().unwrap().to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn for_each_kind_of_ehr_the_matrix_that_it_takes_is_proposed_and_then_nothing_more() {
    for (persona, wrong, right) in [
        (Persona::Epic, "cgm-ig", "epic-note"),
        (Persona::Millennium, "cgm-ig", "millennium-lab"),
        (Persona::Plain, "millennium-lab", "plain-r4"),
        (Persona::CgmIg, "millennium-lab", "cgm-ig"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        // A vendor's EHR is told apart by what it states even where the file names patients by an identifier.
        let subject = if wrong == "cgm-ig" { "identifier" } else { "lookup" };
        let rig = playing(dir.path(), persona, wrong, |settings| settings.subject = subject.to_owned()).await;
        let told = probed(&rig, 1).await;
        let wanted = ("projection".to_owned(), format!("\"{right}\""));
        assert!(changes(&told).contains(&wanted), "{persona:?}: {told:#}");
        let subject = ("subject".to_owned(), "\"lookup\"".to_owned());
        assert_eq!(changes(&told).contains(&subject), wrong == "cgm-ig", "{persona:?}: {told:#}");

        // Nothing is written unasked; what is written can be read, says why, and settles it.
        let file = rig.dir().join("sites.d/main.toml");
        let before = fs::read_to_string(&file).unwrap();
        assert!(!before.contains("site probe"));
        let written = there(&rig, &["site", "probe", "main", "--write"]).await;
        assert!(written.status.success(), "{}", self::told(&written));
        assert!(self::told(&written).contains("+projection = "), "{}", self::told(&written));
        let after = fs::read_to_string(&file).unwrap();
        assert!(after.contains(&format!("# site probe: with {wrong}, ")), "{after}");
        let again = probed(&rig, 0).await;
        assert_eq!((changes(&again), &again["diff"]), (vec![], &Value::Null), "{again:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ehr_that_does_not_answer_is_told_and_proposes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let rig = playing(dir.path(), Persona::Plain, "plain-r4", |_| ()).await;
    rig.ehr.rule(Rule::new("down", Act::Refuse(Refused::new(503, "transient"))).on(What::Anything));
    let output = there(&rig, &["site", "probe", "main"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("/metadata is answered HTTP 503"), "{}", told(&output));
    let output = there(&rig, &["site", "probe", "elsewhere"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
}

/// Rows of the stand-in's own environment.
fn flowsheet() -> String {
    let map = RowMap::encoded(standin::conduct::ENVIRONMENT);
    let rows = [
        ("mean", "AVERAGE_CGM"),
        ("gmi", "GLUCOSE_MANAGEMENT_INDICATOR"),
        ("period-end", "REPORTING_PERIOD_END_CGM"),
    ];
    let rows = rows.map(|(row, name)| {
        let (system, code) = map.coding_of(name).unwrap();
        format!("{{ row = \"{row}\", code = \"{code}\", system = \"{system}\" }}")
    });
    format!("[[projection]]\nname = \"epic-flowsheet\"\nrows = [{}]\n", rows.join(", "))
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_right_matrix_everything_passes_at_each_kind_of_ehr() {
    for (persona, projection, extra, must_pass) in [
        (
            Persona::CgmIg,
            "cgm-ig",
            String::new(),
            vec!["write", "read-back", "decimals", "resend", "conflict", "units"],
        ),
        (
            Persona::Plain,
            "plain-r4",
            String::new(),
            vec!["write", "read-back", "resend", "conflict", "leap-day"],
        ),
        (
            Persona::Epic,
            "epic-flowsheet",
            flowsheet(),
            vec![
                "encounter",
                "write",
                "read-back",
                "decimals",
                "moments",
                "resend",
                "forbidden-kinds",
                "unmapped-row",
                "unknown-patient",
            ],
        ),
        (
            Persona::Millennium,
            "millennium-lab",
            String::new(),
            vec!["write", "read-back", "moments", "resend", "conflict", "forbidden-kinds", "unmapped-row"],
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let rig = playing(dir.path(), persona, projection, |settings| settings.site_extra = extra).await;
        let report = validated(&rig, 0, &[]).await;
        assert_failed(&report, &[]);
        let passed = steps(&report, "passed");
        let common = ["reach", "statement", "patient", "malformed", "throttle", "clean-up", "clock-change"];
        for step in common.into_iter().chain(must_pass) {
            assert!(passed.iter().any(|one| one == step), "{persona:?}: {step}: {report:#}");
        }
        // What stands is listed, and what the site amends is taken back.
        let left = report["left"].as_array().unwrap();
        let standing = left.iter().filter(|one| one["state"] == "stands").count();
        let amends = matches!(persona, Persona::CgmIg | Persona::Plain);
        assert_eq!(standing < left.len(), amends, "{report:#}");
        assert_eq!(report["patient_system"], SYSTEM);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_misbehaviour_fails_the_step_that_is_about_it_and_no_other() {
    // A kind that the matrix leaves out is taken.
    let dir = tempfile::tempdir().unwrap();
    let rig = playing(dir.path(), Persona::Plain, "plain-r4", |_| ()).await;
    let allow = "mode = \"partial\"\nallow = [\"Observation\", \"Provenance\", \"DiagnosticReport\"]";
    site::edit_site(&rig, "mode = \"full\"", allow);
    assert_failed(&validated(&rig, 1, &[]).await, &["forbidden-kinds"]);

    // A resend is a second resource.
    let dir = tempfile::tempdir().unwrap();
    let rig = playing(dir.path(), Persona::Plain, "plain-r4", |settings| {
        settings.conduct.ignores_conditions = true
    });
    assert_failed(&validated(&rig.await, 1, &[]).await, &["resend"]);

    // 6.90 is kept as 6.9.
    let dir = tempfile::tempdir().unwrap();
    let rig = playing(dir.path(), Persona::CgmIg, "cgm-ig", |_| ()).await;
    rig.ehr.rule(Rule::new("short", Act::Spoil(vec![Spoilt::ShortDecimals])).on(What::Reads));
    assert_failed(&validated(&rig, 1, &[]).await, &["decimals"]);

    // Writes are throttled in the middle of a burst that keeps to the rate, and it is not said for how long.
    let dir = tempfile::tempdir().unwrap();
    let rig = playing(dir.path(), Persona::CgmIg, "cgm-ig", |_| ()).await;
    rig.ehr.rule(
        Rule::new("slow", Act::Refuse(Refused::new(429, "throttled"))).on(What::Updates).after(3).times(1),
    );
    let report = validated(&rig, 1, &["--only", "throttle"]).await;
    assert_failed(&report, &["throttle"]);
    assert!(report.to_string().contains("429 at request 4 of 10, without a Retry-After"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_ehr_names_wrongly_is_left_alone_and_what_it_does_not_take_back_is_listed() {
    let allow = "mode = \"partial\"\nallow = [\"Observation\", \"Provenance\", \"DiagnosticReport\"]";
    for named_wrongly in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let rig = playing(dir.path(), Persona::Plain, "plain-r4", |_| ()).await;
        site::edit_site(&rig, "mode = \"full\"", allow);
        let somebodys = serde_json::json!({"resourceType": "DocumentReference", "status": "current",
            "subject": {"reference": "Patient/somebody"}, "content": [{"attachment": {"title": "theirs"}}]});
        rig.ehr.place("theirs", somebodys);
        let rule = match named_wrongly {
            // It files the document, and says that it is where another patient's stands.
            true => {
                let spoilt = vec![Spoilt::Location("DocumentReference/theirs".to_owned())];
                Rule::new("wrong", Act::Spoil(spoilt)).on(What::Creates)
            }
            // It says that it took the update, and keeps what it had.
            false => {
                let nothing = Refused { issues: Vec::new(), ..Refused::new(200, "informational") };
                Rule::new("idle", Act::Refuse(nothing)).on(What::Updates)
            }
        };
        rig.ehr.rule(rule.of_type("DocumentReference"));
        let report = validated(&rig, 1, &[]).await;
        assert_failed(&report, &["forbidden-kinds"]);
        let left = report["left"].as_array().unwrap();
        let of_document = |one: &&Value| one["location"].as_str().unwrap().starts_with("DocumentReference/");
        let documents: Vec<&Value> = left.iter().filter(of_document).collect();
        assert!(documents.len() == 1 && documents[0]["state"] == "stands", "{report:#}");
        assert_eq!(documents[0]["location"] == "DocumentReference/theirs", named_wrongly, "{report:#}");
        assert!(left.iter().any(|one| one["state"] == "entered-in-error"), "{report:#}");
        let theirs = rig.ehr.resources().into_iter().find(|one| one["id"] == "theirs").unwrap();
        assert_eq!(theirs["status"], "current");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_birth_date_is_another_person_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let rig = playing(dir.path(), Persona::Millennium, "millennium-lab", |settings| {
        settings.conduct.people = vec![Person::new(SYSTEM, VALUE).born("1980-01-02")];
    })
    .await;
    assert_failed(&validated(&rig, 1, &[]).await, &["patient"]);
    assert_eq!(rig.ehr.judge().creates, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_is_held_back_fails_the_token_and_a_write_under_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let client = "box-1";
    let auth = format!(
        "[ehr.auth]\nclient_id = \"{client}\"\nkey_file = \"../{CLIENT_KEY_FILE}\"\nkid = \"rig-1\"\n"
    );
    let rig = playing(dir.path(), Persona::Plain, "plain-r4", |settings| {
        settings.registration = Some(Registration::of(client));
        settings.ehr_extra = auth;
    })
    .await;
    let report = validated(&rig, 0, &[]).await;
    let passed = steps(&report, "passed");
    for step in ["token", "without-token", "without-scope"] {
        assert!(passed.iter().any(|one| one == step), "{step}: {report:#}");
    }
    // Of the scopes asked for, those on documents are left out.
    let granted = ["system/Observation.crus", "system/Provenance.crus", "system/Patient.rs"];
    assert!(rig.ehr.set_granted(client, &granted));
    assert_failed(&validated(&rig, 1, &[]).await, &["token"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_before_somebody_says_that_the_patient_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let rig = playing(dir.path(), Persona::Plain, "plain-r4", |_| ()).await;
    let words = ["site", "validate", "main", "--patient", PATIENT];
    for (more, wanted) in [
        (&["--test-patient-confirmed", "--daemon-stopped"][..], "--born"),
        (&["--born", BORN, "--test-patient-confirmed"], "--daemon-stopped"),
        (&["--born", BORN, "--daemon-stopped"], "--test-patient-confirmed"),
    ] {
        let output = there(&rig, &[&words, more].concat()).await;
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        assert!(told(&output).contains(wanted) && !told(&output).contains(VALUE), "{}", told(&output));
    }
    assert!(rig.ehr.log().records().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_whose_results_come_through_the_box_is_refused_and_another_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = playing(dir.path(), Persona::Plain, "plain-r4", |_| ()).await;
    rig.start().await.unwrap();
    site::send(&rig, &[site::people::hour("H", 0, "2026-03-02", 120)]).await;
    site::settled(&rig).await;
    let asked = rig.ehr.log().records().len();
    let whom = format!("{SYSTEM}|{}", site::people::person(0).mrn);
    let of = |patient: &'static str| {
        ["site", "validate", "main", "--born", "1931-07-09", "--test-patient-confirmed", "--patient", patient]
    };
    let whom: &'static str = whom.leak();
    // What was said of a daemon that is stopped does not help where it runs.
    for more in [&[][..], &["--daemon-stopped"]] {
        let output = there(&rig, &[&of(whom), more].concat()).await;
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        assert!(told(&output).contains("results of this patient"), "{}", told(&output));
    }
    assert_eq!(rig.ehr.log().records().len(), asked);
    let output = there(&rig, &[&of(PATIENT)[..], &["--only", "reach"]].concat()).await;
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let folders = fs::read_dir(rig.dir()).unwrap().map(|entry| entry.unwrap().file_name());
    let made = folders.filter(|name| name.to_string_lossy().starts_with("acceptance-main-reach-")).count();
    assert_eq!(made, 1, "the folder says which step, and when");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_never_overwritten_by_a_later_trial() {
    let dir = tempfile::tempdir().unwrap();
    let rig = playing(dir.path(), Persona::Plain, "plain-r4", |_| ()).await;
    validated(&rig, 0, &["--only", "reach"]).await;
    let report = rig.dir().join("out/report.json");
    let before = fs::read(&report).unwrap();
    let words =
        ["site", "validate", "main", "--patient", PATIENT, "--born", BORN, "--test-patient-confirmed"];
    let output = there(&rig, &[&words[..], &["--daemon-stopped", "--out", "out"]].concat()).await;
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(told(&output).contains("holds a report already"), "{}", told(&output));
    assert_eq!(fs::read(&report).unwrap(), before);
    assert!(rig.ehr.log().records().is_empty(), "nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_verifies_by_isthmus_and_by_openssl_until_a_byte_of_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let rig = playing(dir.path(), Persona::Plain, "plain-r4", |_| ()).await;
    validated(&rig, 0, &["--only", "reach"]).await;
    let key = there(&rig, &["site", "report-key"]).await;
    assert!(key.status.success(), "{}", told(&key));
    fs::write(rig.dir().join("key.pem"), &key.stdout).unwrap();
    let verify = ["site", "verify-report", "out", "--key", "key.pem"];
    assert!(there(&rig, &verify).await.status.success());
    assert!(there(&rig, &["site", "verify-report", "out"]).await.status.success());

    let openssl = std::process::Command::new("openssl")
        .args(["dgst", "-sha384", "-verify", "../key.pem", "-signature", "report.sig", "report.sha256"])
        .current_dir(rig.dir().join("out"))
        .output();
    match openssl {
        Ok(output) => assert!(output.status.success(), "{}", told(&output)),
        Err(_) => println!("skipped: no openssl on this machine"),
    }

    let page = rig.dir().join("out/report.html");
    let html = fs::read_to_string(&page).unwrap();
    fs::write(&page, html.replacen("Not passed", "Passed", 1).replacen("Passed", "passed", 1)).unwrap();
    let output = there(&rig, &verify).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("report.html is not what was signed"), "{}", told(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_beside_the_daemon_is_in_its_audit_log_and_a_trial_that_cannot_be_there_is_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = playing(dir.path(), Persona::Plain, "millennium-lab", |settings| {
        settings.subject = "identifier".to_owned();
        settings.ehr_extra = String::new();
    })
    .await;
    let whom = ["--patient", PATIENT, "--born", BORN, "--test-patient-confirmed"];
    let trial = [&["site", "validate", "main"], &whom[..], &["--only", "reach"]].concat();
    let output = there(&rig, &trial).await;
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(
        told(&output).contains("--daemon-stopped") && told(&output).contains("nothing was sent"),
        "{}",
        told(&output)
    );
    assert!(rig.ehr.log().records().is_empty());
    let folder = rig.dir().join("keys");
    let new = ["site", "keys", "new", "--folder", folder.to_str().unwrap()];
    let output = there(&rig, &new).await;
    assert!(output.status.success(), "{}", told(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not in the audit log"), "{}", told(&output));

    rig.start().await.unwrap();
    let output = there(&rig, &new).await;
    assert!(output.status.success() && output.stderr.is_empty(), "{}", told(&output));
    there(&rig, &trial).await;
    let file = rig.dir().join("sites.d/main.toml");
    if rustix::process::geteuid().is_root() {
        // Any numbers but root's: of the daemon's user and group.
        std::os::unix::fs::chown(&file, Some(4_711), Some(4_712)).unwrap();
    }
    let whose = || {
        let metadata = fs::metadata(&file).unwrap();
        (metadata.uid(), metadata.gid(), metadata.mode())
    };
    let before = whose();
    let written = there(&rig, &["site", "probe", "main", "--write"]).await;
    assert!(written.status.success(), "{}", told(&written));
    assert_eq!(whose(), before, "who could read the site's file can read it still");
    let entries = site::store::audit(&mut rig).await;
    let deeds: Vec<_> = entries.iter().filter(|entry| entry.action.starts_with("site ")).collect();
    let actions: Vec<&str> = deeds.iter().map(|entry| entry.action.as_str()).collect();
    let wanted =
        ["site keys new", "site validate begun", "site validate ended", "site probe", "site probe written"];
    assert_eq!(actions, wanted);
    for entry in deeds {
        assert!(entry.actor.contains("uid"), "{entry:?}");
        assert!(!format!("{entry:?}").contains(VALUE), "{entry:?}");
        assert!(entry.object == "site main" || entry.object.ends_with("/keys"), "{entry:?}");
    }
}
