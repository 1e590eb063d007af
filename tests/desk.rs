//! What a person at the command line is told about the queue, modes, intents and consent of a site on a bad day.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use site::{
    append_site,
    command::{ask, asked, isthmus, json, refused, said},
    daily, edit_site, eventually, people, send, settled, until, with_delivery,
};
use standin::{
    Play,
    rig::{Rig, RigSettings},
    script::RetryAfter,
};

const DAY: &str = "2026-03-02";
const SYSTEM: &str = "urn:oid:1.2.3";

fn hour(n: u32, on: &str) -> Vec<u8> {
    people::hour(&format!("{on}-{n}"), n, on, 120)
}

fn whom(n: u32) -> String {
    format!("{SYSTEM}|{}", people::person(n).mrn)
}

/// `isthmus` with a line on standard input.
fn typing(rig: &Rig, words: &[&str], line: &str) -> Output {
    let mut command = Command::new(site::binary());
    command.args(words).arg("--config").arg(rig.config());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn mode(status: &Value) -> &str {
    status["sites"][0]["mode"].as_str().unwrap_or_default()
}

fn rows(rig: &Rig, words: &[&str]) -> Vec<Value> {
    json(rig, &[&["queue", "list"], words].concat())["rows"].as_array().unwrap().clone()
}

/// In one line, for what is broken over several.
/// What was printed, in one line; hints without the configuration that was named.
fn words(text: &str) -> String {
    let mut words = Vec::new();
    let mut all = text.split_whitespace();
    while let Some(word) = all.next() {
        match word {
            "--config" => drop(all.next()),
            word => words.push(word),
        }
    }
    words.join(" ")
}

/// No line is longer than a terminal, but for the configuration in a hint, which is not broken.
fn assert_narrow(rig: &Rig, text: &str) {
    let text = text.replace(&format!(" --config {}", rig.config().display()), "");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

/// A site that refuses writes, with the outcomes of three patients that wait.
async fn refusing(dir: &std::path::Path) -> Rig {
    let settings = RigSettings { site_extra: "[intent]\nnotes = \"document\"\n".to_owned(), ..daily() };
    let mut rig = site::prepare(dir, settings).await;
    rig.start().await.unwrap();
    rig.ehr.play(Play::RefuseWrites);
    send(&rig, &[hour(0, DAY), hour(1, DAY), hour(2, DAY)]).await;
    until(&rig, "all wait", |s| mode(s) == "read-only" && s["outbox"]["deferred"] == 3).await;
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_site_that_refuses_the_mode_leads_to_the_row_and_the_row_to_the_answer() {
    let dir = tempfile::tempdir().unwrap();
    let rig = refusing(dir.path()).await;
    let status = rig.status().await.unwrap();
    let capabilities = status["sites"][0]["capabilities"].as_array().unwrap();
    let closed = capabilities.iter().find(|one| one["observed"] != "open").unwrap();
    let row = closed["evidence_row"].as_i64().unwrap().to_string();
    for words in [&["status"][..], &["site", "list"], &["site", "show", "main"]] {
        let told = self::words(&ask(&rig, words));
        assert!(told.contains(&format!("isthmus queue show {row}")), "{words:?}: {told}");
        assert!(
            told.contains("read-only") && told.contains("full") && told.contains("403"),
            "{words:?}: {told}"
        );
    }
    let shown = json(&rig, &["queue", "show", &row]);
    assert_eq!(
        (&shown["state"], &shown["waits"]["why"]),
        (&"deferred".into(), &"deferred".into()),
        "{shown:#}"
    );
    assert!(shown["cause"].as_str().unwrap().contains("403"), "the answer stays with the row: {shown:#}");
    assert_eq!(shown["decision"]["decision"], "write", "{shown:#}");
    assert_eq!(shown["forms"][0]["closed"], "observed-read-only", "{shown:#}");
    assert!(shown["settled"].is_null());
    let told = self::words(&ask(&rig, &["queue", "show", &row]));
    for wanted in [
        "the last that was met: ",
        "waits the EHR refused such a write",
        "decided it goes in the preferred form",
    ] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    for table in [&["queue", "list"][..], &["site", "list"], &["site", "show", "main"]] {
        assert_narrow(&rig, &ask(&rig, table));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_of_a_patient_a_window_a_site_or_a_destination_and_says_of_how_many_it_shows() {
    let dir = tempfile::tempdir().unwrap();
    let rig = refusing(dir.path()).await;
    let asked = ["queue", "list", "--patient", "-", "--json"];
    let output = typing(&rig, &asked, &format!("{}\n", whom(1)));
    assert!(output.status.success(), "{}", said(&output));
    let of_patient: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&of_patient["total"], &of_patient["more"]), (&1.into(), &false.into()), "{of_patient:#}");
    let (row, window) = (&of_patient["rows"][0]["row"], of_patient["rows"][0]["window"].to_string());
    assert_eq!(&rows(&rig, &["--window", &window])[0]["row"], row);
    for all in [&["--destination", "ehr:main"][..], &["--destination", "main"], &["--site", "main"], &[]] {
        assert_eq!(rows(&rig, all).len(), 3, "{all:?}");
    }
    assert!(rows(&rig, &["--window", "999"]).is_empty() && rows(&rig, &["--state", "delivered"]).is_empty());
    assert!(refused(&rig, &["queue", "list", "--destination", "nowhere"]).contains("there are ehr:main"));
    assert!(refused(&rig, &["queue", "list", "--site", "nowhere"]).contains("main"));
    let nobody = typing(&rig, &asked, "urn:oid:1.2.3|0\n");
    assert_eq!(nobody.status.code(), Some(1), "{}", said(&nobody));

    let cut = json(&rig, &["queue", "list", "--limit", "2"]);
    assert_eq!((&cut["total"], &cut["more"]), (&3.into(), &true.into()), "{cut:#}");
    let oldest = cut["rows"][1]["row"].to_string();
    let told = ask(&rig, &["queue", "list", "--limit", "2"]);
    assert!(told.contains(&format!("2 rows of 3 shown; --limit for more, --before {oldest}")), "{told}");
    let rest = json(&rig, &["queue", "list", "--before", &oldest]);
    assert_eq!((rest["rows"].as_array().unwrap().len(), &rest["more"]), (1, &false.into()), "{rest:#}");
    assert_eq!(isthmus(&rig, &["queue", "list", "--limit", "5000"]).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_at_a_site_that_refuses_says_for_what_it_waits_and_its_row_is_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let rig = refusing(dir.path()).await;
    // Of what the EHR was not asked yet nothing is known: a person holds the rest.
    ask(&rig, &["site", "hold", "main", "--reason", "maintenance"]);
    let text = dir.path().join("note.txt");
    std::fs::write(&text, "Ate late.").unwrap();
    let note = [
        "intent",
        "note",
        "--patient",
        "-",
        "--by",
        "Dr. Ada Quibble",
        "--text-file",
        text.to_str().unwrap(),
    ];
    let output = typing(&rig, &note, &format!("{}\n", whom(0)));
    assert!(output.status.success(), "{}", said(&output));
    let told = words(&said(&output));
    assert!(told.contains("intent 1 is queued"), "{told}");
    assert!(
        told.contains("it waits, for a person holds such writes: isthmus site release ends it"),
        "{told}"
    );
    assert!(told.ends_with("isthmus intent show 1"), "{told}");
    let shown = words(&ask(&rig, &["intent", "show", "1"]));
    assert!(shown.contains("a person holds such writes"), "{shown}");
    let mut wide = Command::new(site::binary());
    wide.args(["queue", "list"]).arg("--config").arg(rig.config()).env("COLUMNS", "200");
    let listed = said(&wide.output().unwrap());
    assert!(listed.contains("intent 1") && !listed.contains("window 0"), "{listed}");
    let listed = ask(&rig, &["queue", "list"]);
    let of = rows(&rig, &["--state", "deferred"]);
    assert!(of.iter().any(|row| row["intent"] == 1), "{of:#?}");
    assert_narrow(&rig, &listed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_row_says_why_it_is_not_sent_now() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    with_delivery(&rig, "per_day = 1\nretry_min = \"1m\"\nretry_max = \"2m\"");
    rig.start().await.unwrap();
    let why = |rig: &Rig| -> Vec<String> {
        let all = rows(rig, &["--state", "pending"]);
        all.iter().map(|row| row["waits"]["why"].as_str().unwrap().to_owned()).collect()
    };
    // The quota of the day is used up by the first.
    send(&rig, &[hour(0, DAY)]).await;
    settled(&rig).await;
    send(&rig, &[hour(1, DAY), hour(1, "2026-03-03")]).await;
    until(&rig, "both wait", |s| s["outbox"]["pending"] == 2).await;
    assert_eq!(why(&rig), ["behind", "quota"], "the newest first");
    let all = rows(&rig, &["--state", "pending"]);
    assert_eq!(all[0]["waits"]["row"], all[1]["row"], "{all:#?}");
    assert!(all[1]["waits"]["until"].is_string(), "{all:#?}");
    let told = ask(&rig, &["queue", "show", &all[1]["row"].to_string()]);
    assert!(words(&told).contains("per_day of its file says how much"), "{told}");

    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let at = |minutes: i64| (now.clone() + jiff::Span::new().minutes(minutes)).strftime("%H:%M").to_string();
    let quiet = format!("quiet_hours = [\"{}-{}\"]", at(-60), at(60));
    edit_site(&rig, "per_day = 1", &quiet);
    eventually("quiet", || why(&rig) == ["behind", "quiet-hours"]).await;
    assert!(ask(&rig, &["queue", "list"]).contains("quiet"));

    rig.ehr.play(Play::Throttle(RetryAfter::Seconds(120)));
    edit_site(&rig, &quiet, "");
    eventually("asked to wait", || why(&rig) == ["behind", "asked-to-wait"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_does_not_let_us_in_or_is_silent_is_told_so_of_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    with_delivery(&rig, "retry_min = \"200ms\"\nretry_max = \"400ms\"");
    rig.start().await.unwrap();
    rig.ehr.play(Play::Unauthorized401);
    send(&rig, &[hour(0, DAY)]).await;
    let is = |rig: &Rig, wanted: &str| {
        rows(rig, &["--state", "pending"]).first().is_some_and(|row| row["waits"]["why"] == wanted)
    };
    eventually("it says so", || is(&rig, "not-authorized")).await;
    rig.ehr.play(Play::Accept);
    settled(&rig).await;
    // Nobody listens there.
    let base = rig.ehr.base_url();
    edit_site(&rig, &base, "https://127.0.0.1:9/r4");
    until(&rig, "the file is taken over", |s| s["configuration"]["generation"] == 2).await;
    send(&rig, &[hour(1, DAY)]).await;
    eventually("a person is asked first", || is(&rig, "server-moved")).await;
    asked(&rig, &["site", "moved", "main", "--same-server", "--reason", "a new name"]).await;
    eventually("it says so", || is(&rig, "silent")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_shown_with_its_time_and_its_place_which_is_masked() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    send(&rig, &[hour(0, DAY)]).await;
    settled(&rig).await;
    let row = rows(&rig, &[])[0]["row"].to_string();
    let shown = json(&rig, &["queue", "show", &row]);
    assert!(
        shown["settled"].is_string() && shown["created"].is_string() && shown["waits"].is_null(),
        "{shown:#}"
    );
    let place = shown["stands"][0]["location"].as_str().unwrap();
    let (kind, id) = place.split_once('/').unwrap();
    assert!(kind.chars().all(char::is_alphanumeric) && id.starts_with("(masked"), "{place}");
    let revealed = json(&rig, &["queue", "show", &row, "--reveal", "--reason", "the chart"]);
    let place = revealed["stands"][0]["location"].as_str().unwrap();
    assert!(place.split_once('/').is_some_and(|(_, id)| !id.contains("masked")), "{place}");
    let told = ask(&rig, &["queue", "show", &row]);
    assert!(told.contains("  settled     2") && told.contains("  stands      "), "{told}");

    // A withdrawal from a day that has passed stops nothing then, and marks what was written since.
    let words = ["consent", "withdraw", "--purpose", "treatment", "--by", "the patient", "--reason", "asked"];
    let whom = whom(0);
    let from = |from: &str| ask(&rig, &[&words[..], &["--patient", &whom, "--from", from]].concat());
    let told = from("2026-01-01");
    assert!(told.contains("It holds from now on, and not from 2026-01-01T00:00:00Z on"), "{told}");
    assert!(told.contains("Written since 2026-01-01T00:00:00Z, and marked with * below: "), "{told}");
    assert!(told.lines().any(|line| line.starts_with(" *ehr:main")), "{told}");
    let head = json(&rig, &["consent", "verify"]);
    let file = dir.path().join("head.json");
    std::fs::write(&file, head.to_string()).unwrap();
    ask(&rig, &["consent", "verify", "--against", file.to_str().unwrap()]);
    let beyond = format!("7:{}", head["head"].as_str().unwrap());
    let told = refused(&rig, &["consent", "verify", "--against", &beyond]);
    assert!(told.contains("the ledger ends at entry 1, and the head that was kept is of entry 7"), "{told}");
    let other = format!("1:{}", "0".repeat(64));
    assert!(
        refused(&rig, &["consent", "verify", "--against", &other])
            .contains("not the one whose head was kept")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_lists_what_is_written_is_told_as_partial_with_what_it_leaves_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    edit_site(&rig, "mode = \"full\"", "mode = \"partial\"\nallow = [\"Observation\", \"Provenance\"]");
    append_site(&rig, "[intent]\nnotes = \"document\"\n");
    rig.start().await.unwrap();
    send(&rig, &[hour(0, DAY)]).await;
    let status = settled(&rig).await;
    let site = &status["sites"][0];
    assert_eq!((mode(&status), &site["configured"]), ("partial", &"partial".into()), "{site:#}");
    let told = words(&ask(&rig, &["status"]));
    assert!(told.contains("partial permits, partial in force"), "{told}");
    assert!(told.contains("DocumentReference is not permitted by the site's file"), "{told}");
    // All that is used is listed: it is no more than partial.
    edit_site(&rig, "\"Provenance\"]", "\"Provenance\", \"DocumentReference\"]");
    let open = |s: &Value| {
        let all = s["sites"][0]["capabilities"].as_array().unwrap();
        all.iter().all(|one| one["permitted"] == true)
    };
    let status = until(&rig, "the file is taken over", open).await;
    assert_eq!(mode(&status), "partial", "{status:#}");
    // One capability closes, and it is that one whose answer is led to.
    rig.ehr.play(Play::RefuseWrites);
    send(&rig, &[hour(1, DAY)]).await;
    until(&rig, "read-only", |s| mode(s) == "read-only").await;
    let told = words(&ask(&rig, &["site", "list"]));
    assert!(told.contains("partial read-only") && told.contains("isthmus queue show"), "{told}");
}
