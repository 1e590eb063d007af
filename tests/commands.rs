//! What commands answer: objects of one kind over all of them, exit codes as the help says, and commands in their texts that
//! run as they are printed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::process::Command;

use serde_json::Value;
use site::{
    command::{self, said},
    condition, daily, people, send, settled, until,
};
use standin::{
    Conduct, Persona,
    chart::Person,
    rig::{Rig, RigSettings},
};

const DAY: &str = "2026-03-02";
const SYSTEM: &str = "urn:oid:1.2.3";
const AUTHOR: &str = "Dr. Ada Quibble";

/// Keys whose texts are moments.
fn is_moment(key: &str) -> bool {
    matches!(key, "at" | "since" | "started" | "until" | "began" | "certificate_ends" | "last" | "ts")
        || key.ends_with("_at")
        || key.ends_with("_last")
        || key.ends_with("_since")
}

/// Keys whose texts may look like numbers or flags: names that others gave, what is compared in words, and thresholds, of
/// which the digits count (`3.9` is not `3.90`).
fn is_name(key: &str) -> bool {
    let thresholds = key.ends_with("_mg_dl") || key.ends_with("_mmol_l");
    matches!(key, "id" | "kid" | "version" | "control_id" | "matrix") || thresholds
}

/// What in an answer is not of the kind that every answer is of: numbers and flags are such and no texts, what is not there is
/// null and no empty text, moments are RFC 3339.
fn odd(at: &str, key: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| odd(&format!("{at}.{key}"), key, value, found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| odd(&format!("{at}[{n}]"), key, item, found));
        }
        Value::String(text) => {
            let why = if text.is_empty() {
                "an empty text"
            } else if !is_name(key) && (text.parse::<f64>().is_ok() || text == "true" || text == "false") {
                "a number or a flag as a text"
            } else if is_moment(key) && text.parse::<jiff::Timestamp>().is_err() {
                "no moment of RFC 3339"
            } else {
                return;
            };
            found.push(format!("{at}: {why}: {text:?}"));
        }
        Value::Number(number) if is_moment(key) => found.push(format!("{at}: a moment as {number}")),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn settings() -> RigSettings {
    RigSettings {
        projection: "plain-r4".to_owned(),
        site_extra: "[intent]\nnotes = \"document\"\ngoals = \"goal\"\n".to_owned(),
        conduct: Conduct::of(Persona::Plain),
        ..daily()
    }
}

fn hour(n: u32) -> Vec<u8> {
    people::hour(&format!("{DAY}-{n}"), n, DAY, 120)
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_numbers_moments_are_rfc_3339_and_what_is_not_there_is_null_in_every_answer() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), settings()).await;
    rig.start().await.unwrap();
    send(&rig, &[hour(0), hour(1)]).await;
    settled(&rig).await;
    let whom = format!("{SYSTEM}|{}", people::person(1).mrn);
    let decided = ["--purpose", "treatment", "--by", "Quibblethorpe", "--reason", "form 12"];
    let withdraw = [&["consent", "withdraw", "--patient", &whom][..], &decided].concat();
    let text = dir.path().join("note.txt");
    std::fs::write(&text, "Ate late.").unwrap();
    let text = text.to_str().unwrap();
    let note = ["intent", "note", "--by", AUTHOR, "--text-file", text, "--window", "1", "--request", "n-1"];
    let reason = ["--reason", "an exercise"];
    let message = dir.path().join("m.hl7");
    std::fs::write(&message, hour(1)).unwrap();
    let mut found = Vec::new();
    let mut see = |words: &[&str]| {
        let output = command::isthmus(&rig, &[words, &["--json"]].concat());
        let told: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{words:?}: {error}: {}", said(&output)));
        odd(&words.join(" "), "", &told, &mut found);
    };
    see(&[&["site", "hold", "main"][..], &reason].concat());
    see(&withdraw);
    see(&note);
    for words in [
        &["status"][..],
        &["check"],
        &["site", "list"],
        &["site", "show", "main"],
        &["site", "show", "main", "--explain", message.to_str().unwrap()],
        &["site", "probe", "main"],
        &["identity", "list"],
        &["identity", "links"],
        &["outbound", "list"],
        &["consent", "list"],
        &["consent", "show", "1"],
        &["consent", "verify"],
        &["intent", "list"],
        &["intent", "show", "1"],
        &["conflicts", "list"],
        &["quarantine", "list"],
        &["policy", "list"],
        &["device", "list"],
    ] {
        see(words);
    }
    see(&[&["intent", "cancel", "1"][..], &reason].concat());
    see(&[&["site", "release", "main"][..], &reason].concat());
    see(&["status"]);
    see(&["site", "list"]);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The commands of a text: what stands behind `isthmus ` up to the end of the line.
fn commands(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.split_once("then: isthmus ").map(|(_, rest)| rest));
    lines.map(|rest| format!("isthmus {rest}").replace("TEXT", "'seen to by the analyst'")).collect()
}

/// Types it into a shell that knows the program.
fn typed(rig: &Rig, line: &str) -> std::process::Output {
    let folder = site::binary().parent().unwrap().to_owned();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    Command::new("sh").args(["-c", line]).env("PATH", path).current_dir(rig.dir()).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_status_tells_people_to_type_can_be_typed_and_ends_what_it_is_about() {
    let dir = tempfile::tempdir().unwrap();
    // A folder whose name a shell would part.
    let folder = dir.path().join("north wing");
    std::fs::create_dir(&folder).unwrap();
    let known = Person::new(SYSTEM, &people::person(0).mrn).born("1931-07-09");
    let mut rig = site::prepare(
        &folder,
        RigSettings {
            projection: "epic-note".to_owned(),
            subject: "lookup".to_owned(),
            conduct: Conduct { people: vec![known], ..Conduct::of(Persona::Epic) },
            upstream: false,
            ..daily()
        },
    )
    .await;
    rig.start().await.unwrap();
    send(&rig, &[hour(0)]).await;
    settled(&rig).await;
    let words = ["intent", "withdraw", "--window", "1", "--by", AUTHOR];
    let told = command::refused(&rig, &words);
    let asked = |status: &Value| condition(status, "withdrawal-needed").is_some();
    until(&rig, "people are asked", asked).await;
    let shown = command::ask(&rig, &["status"]);
    let (hints, same) = (commands(&shown), commands(&told));
    assert_eq!(hints.len(), 1, "{shown}");
    assert_eq!(hints, same);
    let output = typed(&rig, &hints[0]);
    assert!(output.status.success(), "{}: {}", hints[0], said(&output));
    assert!(!asked(&rig.status().await.unwrap()), "the condition ends");
    // The key of a site without one, from the fault to the key.
    site::append_site(&rig, "[ehr.auth]\nclient_id = \"box-1\"\nkeys = \"../keys/main\"\n");
    let output = command::isthmus(&rig, &["check"]);
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    let told = said(&output);
    let (_, hint) = told.split_once("isthmus ").unwrap();
    let hint = format!("isthmus {}", hint.split(['`', ';']).next().unwrap());
    let output = typed(&rig, hint.trim());
    assert!(output.status.success(), "{hint}: {}", said(&output));
    let output = command::isthmus(&rig, &["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    // What the command that made it says next.
    let told = said(&typed(&rig, "isthmus site keys list --site main --config isthmus.toml"));
    assert!(!told.contains("next") || told.contains("--config isthmus.toml"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_codes_are_those_of_the_help() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    let code = |rig: &Rig, words: &[&str]| {
        let output = command::isthmus(rig, words);
        (output.status.code().unwrap(), said(&output))
    };
    let help = code(&rig, &["--help"]).1;
    for told in ["Exit codes", "0 done", "1 not done", "2 wrong usage", "78 the configuration"] {
        assert!(help.split_whitespace().collect::<Vec<_>>().join(" ").contains(told), "{told}: {help}");
    }
    // Nobody runs whom they could ask.
    for words in [&["status"][..], &["queue", "list"], &["intent", "list"], &["consent", "verify"]] {
        let (code, told) = code(&rig, words);
        assert_eq!(code, 1, "{words:?}: {told}");
        assert!(told.contains("systemctl start isthmus"), "what to do: {told}");
        assert!(told.contains(dir.path().to_str().unwrap()), "for which daemon: {told}");
    }
    rig.start().await.unwrap();
    let message = dir.path().join("m.hl7");
    std::fs::write(&message, hour(0)).unwrap();
    let message = message.to_str().unwrap();
    for (wanted, words) in [
        (0, &["status"][..]),
        (0, &["site", "hold", "main", "--reason", "x"]),
        (0, &["site", "release", "main", "--reason", "x"]),
        (0, &["site", "release", "main", "--reason", "x"]),
        (2, &["site", "hold", "nope", "--reason", "x"]),
        (1, &["site", "withdrawn", "window 9 at ehr:main", "--reason", "x"]),
        (1, &["intent", "show", "9"]),
        (1, &["consent", "show", "9"]),
        (1, &["quarantine", "show", "9"]),
        (2, &["site", "show", "nope"]),
        (1, &["site", "hold", "main", "--reason", ""]),
        (1, &["site", "moved", "main", "--same-server", "--reason", &"x".repeat(1_001)]),
        (2, &["site", "hold", "main"]),
        (2, &["site", "moved", "main", "--same-server"]),
        (2, &["site", "show", "main", "--explain", message, "--feed", "nope"]),
        (2, &["intent", "withdraw"]),
        (1, &["site", "show", "main", "--explain", "/nowhere/m.hl7"]),
        (1, &["site", "verify-report", "/nowhere"]),
    ] {
        let (code, told) = code(&rig, words);
        assert_eq!(code, wanted, "{words:?}: {told}");
    }
    site::append_site(&rig, "[filter.include]\nfeeds = [\"nope\"]\n");
    for words in [&["check"][..], &["site", "show", "main"], &["site", "probe", "main"]] {
        let (code, told) = code(&rig, words);
        assert_eq!(code, 78, "{words:?}: {told}");
        assert!(told.contains("did you mean") || told.contains("write one of"), "{told}");
    }
    // Who asks what is in force is not refused for it.
    assert_eq!(code(&rig, &["status"]).0, 0);
}
