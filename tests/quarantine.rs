//! What is held back, from the refusal to the outcome: listed, shown masked, revealed on record, released, dropped;
//! and stored messages read anew without an effect where no rule has changed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::Value;
use site::{
    chart,
    command::{ask, isthmus, json, refused, said},
    daily, edit, people, send, settled, until,
    wire::{Wire, msa},
};
use standin::{Play, Whose, rig::Rig};

const DAY: &str = "2026-03-02";
/// A vendor's own code for sensor glucose, before the section that follows it.
const SENDER: &str =
    "[[sender]]\napplication = \"CGMHUB\"\ncodes = [ { code = \"SGLU\", system = \"99LOCAL\" } ]\n[store]\n";
/// What nobody may see without asking for it: name, number and birth date of [`people::person`] 1.
const PERSONAL: [&str; 4] = ["Quibblethorpe", "Zebediah", "7700001", "19310709"];

/// The audit log of a daemon that is stopped for it.
async fn audit(rig: &mut Rig) -> Vec<(String, String, String, String)> {
    let entries = site::store::audit(rig).await;
    entries.into_iter().map(|e| (e.actor, e.action, e.object, e.detail)).collect()
}

async fn again_is_done(rig: &Rig) -> Value {
    until(rig, "what was asked for is read", |status| status["inbox"]["again"] == 0).await;
    settled(rig).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_held_back_is_found_shown_masked_mended_released_and_becomes_an_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    // A code of the standard without its system, beside one of the vendor's own that nobody has told us of.
    let no_system = people::altered(
        &people::hour("BROKEN", 1, DAY, 100),
        "160212^MDC_CONC_GLU_ISF^MDC^99504-3^Glucose^LN",
        "99504-3^Glucose^^SGLU^Sensor^99LOCAL",
    );
    send(&rig, &[no_system, people::hour("SOUND", 2, DAY, 100)]).await;
    settled(&rig).await;
    assert!(chart::mean(&rig.ehr, "7700001", DAY).is_none());

    let list = json(&rig, &["quarantine", "list"]);
    assert_eq!((&list["messages"], &list["faults"]), (&1.into(), &12.into()), "{list:#}");
    let line = &list["lines"][0];
    assert_eq!((&line["id"], &line["stage"], &line["count"]), (&"1".into(), &"normalize".into(), &12.into()));
    assert_eq!(line["reason"], "a sensor code without its coding system");
    assert!(line["place"].as_str().unwrap().ends_with(", field 3"), "{line:#}");
    let table = ask(&rig, &["quarantine", "list", "--source", "engine", "--reason", "coding system"]);
    assert!(table.contains("1 message with 12 faults"), "{table}");
    assert!(ask(&rig, &["quarantine", "list", "--site", "other"]).contains("nothing is held back"));

    let shown = ask(&rig, &["quarantine", "show", "I1"]);
    for personal in PERSONAL {
        assert!(!shown.contains(personal), "{shown}");
    }
    assert!(
        shown.contains("OBX-3 Observation Identifier: a sensor code without its coding system"),
        "{shown}"
    );
    let rows: Vec<&str> = shown.lines().collect();
    let mark = rows.iter().position(|row| row.trim_start().starts_with("^^")).unwrap();
    let column = rows[mark].find('^').unwrap();
    assert!(rows[mark - 1][column..].starts_with("99504-3^"), "{shown}");
    assert!(shown.contains("a release now: 0 readings"), "{shown}");

    // The vendor's code is put into the configuration, and that is reloaded.
    let before = rig.status().await.unwrap()["configuration"]["generation"].as_u64().unwrap();
    edit(&rig, "isthmus.toml", "[store]\n", SENDER);
    until(&rig, "reloaded", |s| s["configuration"]["generation"].as_u64() > Some(before)).await;
    assert!(ask(&rig, &["quarantine", "show", "1"]).contains("a release now: 12 readings"));

    let released = ask(&rig, &["quarantine", "release", "1", "--reason", "code added"]);
    assert!(released.contains("1: released, 12 readings\n"), "{released}");
    let status = again_is_done(&rig).await;
    assert_eq!(status["inbox"]["quarantined"], 0, "{status:#}");
    assert_eq!(chart::mean(&rig.ehr, "7700001", DAY).unwrap().value, 100.0);

    // Twice is once.
    let writes = chart::writes(&rig.ehr).len();
    let twice = ask(&rig, &["quarantine", "release", "1", "--reason", "again"]);
    assert!(twice.contains("already released") && twice.contains("nothing was done"), "{twice}");
    again_is_done(&rig).await;
    assert_eq!(chart::writes(&rig.ehr).len(), writes);

    let entries = audit(&mut rig).await;
    let released: Vec<_> = entries.iter().filter(|entry| entry.1 == "quarantine released").collect();
    assert_eq!(released.len(), 1, "{entries:?}");
    assert_eq!((released[0].2.as_str(), released[0].3.as_str()), ("message 1", "code added"));
    assert!(released[0].0.contains("uid"), "{entries:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn test_traffic_that_was_refused_becomes_an_outcome_once_the_listener_takes_it_and_it_is_released() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    let test = people::altered(&people::hour("TEST", 1, DAY, 100), "|TEST|P|", "|TEST|T|");
    let mut wire = Wire::open(rig.mllp()).await;
    for _ in 0..2 {
        assert_eq!(msa(&wire.exchange(&test).await), ("AR", "TEST"));
    }
    settled(&rig).await;
    let line = &json(&rig, &["quarantine", "list"])["lines"][0];
    assert_eq!((&line["stage"], &line["count"]), (&"intake".into(), &2.into()), "sent twice: {line:#}");
    assert_eq!(json(&rig, &["quarantine", "show", "I1"])["answered"], "AR");

    // By the rules that refused it, a release holds it back again.
    ask(&rig, &["quarantine", "release", "I1", "--reason", "too early"]);
    again_is_done(&rig).await;
    assert_eq!(json(&rig, &["quarantine", "list"])["messages"], 1);
    assert!(chart::mean(&rig.ehr, "7700001", DAY).is_none());

    edit(&rig, "isthmus.toml", "plain = true", "plain = true\nprocessing_id = [\"P\", \"T\"]");
    rig.stop().await.unwrap();
    rig.start().await.unwrap();
    ask(&rig, &["quarantine", "release", "I1", "--reason", "go-live rehearsal"]);
    again_is_done(&rig).await;
    assert_eq!(chart::mean(&rig.ehr, "7700001", DAY).unwrap().value, 100.0);
    assert_eq!(json(&rig, &["quarantine", "list"])["messages"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_a_long_message_and_a_batch_that_was_refused_are_never_read_whoever_releases_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    edit(&rig, "isthmus.toml", "plain = true\n", "plain = true\nmax_frame_bytes = 8192\n");
    rig.start().await.unwrap();
    // Its head holds the patient and every reading.
    let whole = String::from_utf8(people::hour("LONG", 1, DAY, 100)).unwrap();
    let long = format!("{whole}NTE|1||{}\r", "x".repeat(9_000));
    let message = String::from_utf8(people::hour("ONE", 2, DAY, 100)).unwrap();
    let batch = format!("BHS|^~\\&|A|B|C|D|20260302||||B1\r{message}BTS|2\r");
    for frame in [long, batch] {
        let mut wire = Wire::open(rig.mllp()).await;
        assert_eq!(msa(&wire.exchange(frame.as_bytes()).await).0, "AR");
    }
    let held = |rig: &Rig| json(rig, &["quarantine", "list"])["messages"].clone();
    assert_eq!(held(&rig), 2);
    let told = ask(&rig, &["quarantine", "release", "1", "2", "--reason", "wanted"]);
    assert!(told.contains("cannot be read"), "{told}");
    again_is_done(&rig).await;
    assert_eq!(held(&rig), 2, "held back again");
    ask(&rig, &["replay", "--range", "1..2"]);
    again_is_done(&rig).await;
    assert_eq!(held(&rig), 2);
    assert!(chart::writes(&rig.ehr).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revealed_is_on_record_first_and_its_file_is_its_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    let bad = people::altered(&people::hour("BAD", 1, DAY, 100), "|mg/dL^mg/dL^UCUM|", "|furlong|");
    send(&rig, std::slice::from_ref(&bad)).await;
    settled(&rig).await;

    for args in [
        &["quarantine", "show", "1", "--reveal"][..],
        &["quarantine", "show", "1", "--reveal", "--reason", "  "],
        &["quarantine", "show", "1", "--raw", "x.hl7"],
        &["quarantine", "release", "--reason", "x"],
        &["quarantine", "release", "1"],
        &["quarantine", "drop", "--filter", "", "--reason", "x"],
        &["replay"],
        &["replay", "--range", "9..1"],
    ] {
        assert_eq!(isthmus(&rig, args).status.code(), Some(2), "{args:?}");
    }
    assert_eq!(isthmus(&rig, &["quarantine", "show", "99"]).status.code(), Some(1));

    let shown = ask(&rig, &["quarantine", "show", "1", "--reveal", "--reason", "case 881"]);
    assert!(PERSONAL.iter().all(|personal| shown.contains(personal)), "{shown}");
    let file = dir.path().join("message.hl7");
    let reveal =
        ["quarantine", "show", "1", "--reveal", "--reason", "case 882", "--raw", file.to_str().unwrap()];
    ask(&rig, &reveal);
    assert_eq!(fs::read(&file).unwrap(), bad);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(isthmus(&rig, &reveal).status.code(), Some(1), "a file that is there is not written over");

    let entries = audit(&mut rig).await;
    let reasons: Vec<_> =
        entries.iter().filter(|entry| entry.1 == "message revealed").map(|entry| entry.3.as_str()).collect();
    assert_eq!(reasons, ["case 881 (segments from 1)", "case 882 (bytes from 0)"]);

    // Without the daemon: plainly, and what to do.
    let output = isthmus(&rig, &["quarantine", "list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("the daemon is not running") && said(&output).contains("start it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_message_that_is_sent_again_is_processed_afresh() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    let good = people::hour("SAME", 1, DAY, 100);
    let bad = people::altered(&good, "|mg/dL^mg/dL^UCUM|", "|furlong|");
    send(&rig, std::slice::from_ref(&bad)).await;
    until(&rig, "it is held back", |s| s["inbox"]["quarantined"] == 12).await;
    assert!(ask(&rig, &["quarantine", "drop", "1", "--reason", "a test"]).contains("1: dropped"));
    assert!(ask(&rig, &["quarantine", "drop", "1", "--reason", "a test"]).contains("already dropped"));
    assert!(ask(&rig, &["quarantine", "list"]).contains("nothing is held back"));
    let all = json(&rig, &["quarantine", "list", "--all"]);
    assert_eq!(all["lines"][0]["state"], "dropped", "{all:#}");
    send(&rig, std::slice::from_ref(&bad)).await;
    let status = until(&rig, "it is held back again", |s| s["inbox"]["quarantined"] == 12).await;
    assert_eq!(status["inbox"]["total"], 2, "the resend is a message of its own: {status:#}");
    // A replay leaves the dropped one alone.
    let told = json(&rig, &["replay", "--range", ".."]);
    assert_eq!((&told["messages"], &told["left_alone"]), (&1.into(), &1.into()), "{told:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_refused_when_it_came_is_judged_anew_when_it_is_released() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    let mut wire = Wire::open(rig.mllp()).await;
    let no_id = people::altered(&people::hour("GONE", 1, DAY, 100), "|GONE|P", "||P");
    assert_eq!(msa(&wire.exchange(&no_id).await).0, "AE");
    let shown = ask(&rig, &["quarantine", "show", "1"]);
    assert!(shown.contains("answered AE") && shown.contains("MSH-10 Message Control ID"), "{shown}");
    assert!(shown.contains("still held back: MSH-10"), "{shown}");
    let told = ask(&rig, &["quarantine", "release", "1", "--reason", "why not"]);
    assert!(told.contains("held back again: MSH-10 (message control id) is missing"), "{told}");
    again_is_done(&rig).await;
    let held = json(&rig, &["quarantine", "list"]);
    assert_eq!((&held["faults"], &held["lines"][0]["stage"]), (&1.into(), &"intake".into()), "{held:#}");
    assert!(chart::mean(&rig.ehr, "7700001", DAY).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_everything_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    let bad = people::altered(&people::hour("BAD", 3, DAY, 100), "|mg/dL^mg/dL^UCUM|", "|furlong|");
    let nobody = people::altered(&people::hour("NOBODY", 4, DAY, 100), "^^^NORTH^MR", "^^^SOUTH^MR");
    let mut messages = vec![bad, nobody];
    for hour in 0..40 {
        let readings = people::readings(people::day(DAY), hour * 3, &[100, 120, 140]);
        messages.push(people::message(
            &format!("H{hour}"),
            &people::person(1 + (hour % 2) as u32),
            &readings,
        ));
    }
    send(&rig, &messages).await;
    let before = settled(&rig).await;
    let (numbers, writes) = (chart::numbers(&rig.ehr), chart::writes(&rig.ehr).len());
    let outcomes = site::metric(&site::metrics(&rig).await, "isthmus_outcomes_total");
    let held = json(&rig, &["quarantine", "list", "--all"]);

    let dry = json(&rig, &["replay", "--range", "..", "--dry-run"]);
    assert_eq!((&dry["state"], &dry["messages"]), (&"dry-run".into(), &42.into()), "{dry:#}");
    for _ in 0..2 {
        let told = json(&rig, &["replay", "--range", ".."]);
        assert_eq!((&told["state"], &told["messages"]), (&"done".into(), &42.into()), "{told:#}");
    }
    assert!(
        ask(&rig, &["replay", "--filter", "source=engine type=ORU^R01"]).contains("42 messages read anew")
    );
    assert!(ask(&rig, &["replay", "--id", "3", "--id", "4"]).contains("2 messages read anew"));
    assert!(ask(&rig, &["replay", "--filter", "type=ADT", "--dry-run"]).contains("0 messages"));
    assert_eq!(isthmus(&rig, &["replay", "--id", "999"]).status.code(), Some(1));
    let after = settled(&rig).await;
    assert_eq!(after["outbox"], before["outbox"], "no row, no version");
    assert_eq!(after["inbox"], before["inbox"], "no message, no entry, no window");
    let metrics = site::metrics(&rig).await;
    assert_eq!(site::metric(&metrics, "isthmus_outcomes_total"), outcomes, "no outcome was even computed");
    assert_eq!(site::metric(&metrics, "isthmus_messages_read_again_total"), 42.0 * 3.0 + 2.0);
    assert_eq!(json(&rig, &["quarantine", "list", "--all"]), held, "no entry was ended or made");
    assert_eq!(chart::writes(&rig.ehr).len(), writes);
    assert_eq!(chart::numbers(&rig.ehr), numbers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_goes_on_after_the_daemon_was_killed_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    // More than several turns take, and all of them wait for one code.
    let messages: Vec<_> = (0..3_000).map(unknown_code_at).collect();
    send(&rig, &messages).await;
    settled(&rig).await;
    assert!(chart::numbers(&rig.ehr).is_empty());
    edit(&rig, "isthmus.toml", "[store]\n", SENDER);
    until(&rig, "reloaded", |s| s["configuration"]["generation"].as_u64() > Some(1)).await;
    let told = json(&rig, &["replay", "--range", "..", "--no-wait", "--reason", "code added"]);
    assert_eq!((&told["state"], &told["asked"]), (&"asked".into(), &3_000.into()), "{told:#}");
    rig.kill();
    rig.start().await.unwrap();
    again_is_done(&rig).await;
    // 3,000 readings in five-minute steps from midnight fill ten days and some hours.
    let windows: std::collections::BTreeSet<_> =
        chart::numbers(&rig.ehr).into_keys().map(|key| key[3].clone()).collect();
    assert_eq!(windows.len(), 11, "{windows:?}");
    let count = site::metric(&site::metrics(&rig).await, "isthmus_messages_read_again_total");
    assert!(count > 0.0, "the kill came too late to leave anything");
    for day in windows {
        assert_eq!(chart::mean(&rig.ehr, "7700001", &day).unwrap().value, 100.0);
    }
}

/// One reading of patient 1, the `n`-th five minutes from the day on, under the sender's own code.
fn unknown_code_at(n: i64) -> Vec<u8> {
    let readings = people::readings(people::day(DAY), n, &[100]);
    people::altered(
        &people::message(&format!("N{n}"), &people::person(1), &readings),
        "160212^MDC_CONC_GLU_ISF^MDC^99504-3^Glucose^LN",
        "SGLU^Glucose^99LOCAL",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_refused_is_listed_and_released_or_dropped_by_its_row() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    rig.ehr.play(Play::Reject422(Whose::All));
    send(&rig, &[people::hour("A", 1, DAY, 100), people::hour("B", 2, DAY, 100)]).await;
    until(&rig, "both are refused", |s| s["outbox"]["quarantined"] == 2).await;
    let list = json(&rig, &["quarantine", "list", "--stage", "delivery", "--source", "ehr:main"]);
    let ids: Vec<&str> =
        list["lines"].as_array().unwrap().iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!((ids.len(), &list["rows"]), (2, &2.into()), "{list:#}");
    assert!(ask(&rig, &["quarantine", "list", "--kind", "message"]).contains("nothing is held back"));

    rig.ehr.play(Play::Accept);
    assert!(ask(&rig, &["quarantine", "drop", ids[0], "--reason", "not needed"]).contains("dropped"));
    assert!(ask(&rig, &["quarantine", "release", ids[1], "--reason", "mended there"]).contains("released"));
    let status = settled(&rig).await;
    let outbox = &status["outbox"];
    assert_eq!(
        (&outbox["delivered"], &outbox["dropped"], &outbox["quarantined"]),
        (&1.into(), &1.into(), &0.into())
    );
    assert_eq!(chart::numbers(&rig.ehr).len(), 7, "one outcome of two");
    // Neither again.
    for (verb, id) in [("drop", ids[0]), ("release", ids[0]), ("release", ids[1])] {
        let told = refused(&rig, &["quarantine", verb, id, "--reason", "again"]);
        let told = told.replace(&format!(" --config {}", rig.config().display()), "");
        assert!(told.contains("not in quarantine: it is d"), "{verb} {id}: {told}");
        assert!(told.contains(&format!("isthmus queue show {}", id.replace("row:", ""))), "{told}");
    }
    let none = refused(&rig, &["quarantine", "release", "row:999", "--reason", "x"]);
    assert!(none.contains("there is no such row"), "{none}");
    let shown = isthmus(&rig, &["quarantine", "show", ids[1]]);
    assert_eq!(shown.status.code(), Some(2));
    assert!(said(&shown).contains("isthmus queue show"), "{}", said(&shown));
    let actions: Vec<_> = audit(&mut rig).await.into_iter().map(|entry| (entry.1, entry.2)).collect();
    for (action, id) in [("quarantine dropped", ids[0]), ("quarantine released", ids[1])] {
        let wanted = (action.to_owned(), id.replace(':', " "));
        assert_eq!(actions.iter().filter(|found| **found == wanted).count(), 1, "{actions:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_releases_what_it_chooses_and_leaves_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    let bad = people::altered(&people::hour("UNIT", 1, DAY, 100), "|mg/dL^mg/dL^UCUM|", "|furlong|");
    let nobody = people::altered(&people::hour("NOBODY", 1, DAY, 100), "^^^NORTH^MR", "^^^SOUTH^MR");
    send(&rig, &[bad, nobody]).await;
    until(&rig, "both are held back", |s| s["inbox"]["quarantined"] == 12 && s["inbox"]["unidentified"] == 1)
        .await;
    let shown = ask(&rig, &["quarantine", "show", "2"]);
    assert!(shown.contains("PID-3 Patient Identifier List: no PID-3 repetition"), "{shown}");
    assert!(shown.contains("the site wants PID-3 of type MR from authority NORTH"), "{shown}");

    // The site's patients are SOUTH's from now on.
    site::edit_site(&rig, "authority = \"NORTH\"", "authority = \"SOUTH\"");
    until(&rig, "reloaded", |s| s["configuration"]["generation"].as_u64() > Some(1)).await;
    let told = json(
        &rig,
        &["quarantine", "release", "--filter", "kind=identity source=engine", "--reason", "moved"],
    );
    assert_eq!(told["done"].as_array().unwrap().len(), 1, "{told:#}");
    assert_eq!(
        (&told["done"][0]["id"], &told["done"][0]["became"]),
        (&"2".into(), &"done".into()),
        "{told:#}"
    );
    let status = again_is_done(&rig).await;
    assert_eq!((&status["inbox"]["unidentified"], &status["inbox"]["quarantined"]), (&0.into(), &12.into()));
    assert_eq!(chart::mean(&rig.ehr, "7700001", DAY).unwrap().value, 100.0);
    let nothing = ask(&rig, &["quarantine", "release", "--filter", "kind=identity", "--reason", "moved"]);
    assert!(nothing.contains("nothing was chosen"), "{nothing}");
}
