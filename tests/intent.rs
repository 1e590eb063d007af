//! What people want written: a note goes after its outcome when the site may be written again, names its author, is held
//! where a person has to decide, and what stands is taken back once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use site::{
    command::{self, said},
    condition, daily, edit_site, eventually, people, send, settled, until,
};
use standin::{
    Act, Conduct, Persona, Play, Rule, What,
    chart::Person,
    rig::{Rig, RigSettings},
};

const DAY: &str = "2026-03-02";
const SYSTEM: &str = "urn:oid:1.2.3";
const AUTHOR: &str = "Dr. Ada Quibble";
const TEXT: &str = "Ate late on both evenings.";

/// `isthmus intent`.
fn ask(rig: &Rig, args: &[&str]) -> String {
    command::ask(rig, &[&["intent"], args].concat())
}

fn json(rig: &Rig, args: &[&str]) -> Value {
    command::json(rig, &[&["intent"], args].concat())
}

/// The same with words on standard input, where nobody else reads them.
fn typing(rig: &Rig, args: &[&str], words: &str) -> Output {
    let mut command = Command::new(site::binary());
    command.arg("intent").args(args).arg("--config").arg(rig.config());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(words.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// What must be refused; why.
fn refused(rig: &Rig, args: &[&str]) -> String {
    command::refused(rig, &[&["intent"], args].concat())
}

fn note(rig: &Rig, about: &[&str], request: &str) -> Value {
    let words = ["note", "--by", AUTHOR, "--role", "diabetologist", "--json", "--request", request];
    let output = typing(rig, &[&words, about].concat(), TEXT);
    assert_eq!(output.status.code(), Some(0), "{about:?}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Whether a note is refused because something else was entered under the name of its request.
fn taken_for_another(rig: &Rig, about: &[&str], request: &str, words: &str) -> bool {
    let output = typing(rig, &[&["note", "--by", AUTHOR, "--request", request], about].concat(), words);
    output.status.code() == Some(1) && said(&output).contains("under this --request name")
}

fn state(rig: &Rig, id: &Value) -> String {
    json(rig, &["show", &id.to_string()])["state"].as_str().unwrap().to_owned()
}

fn hour(n: u32) -> Vec<u8> {
    people::hour(&format!("{DAY}-{n}"), n, DAY, 120)
}

fn whom(n: u32) -> String {
    format!("{SYSTEM}|{}", people::person(n).mrn)
}

fn plain() -> RigSettings {
    RigSettings {
        projection: "plain-r4".to_owned(),
        site_extra: "[intent]\nnotes = \"document\"\ngoals = \"goal\"\n".to_owned(),
        conduct: Conduct::of(Persona::Plain),
        ..daily()
    }
}

/// An ADT that merges a patient into another.
fn merged(survivor: u32, retired: u32) -> Vec<u8> {
    let mr = |n: u32| format!("{}^^^NORTH^MR", people::person(n).mrn);
    let head =
        "MSH|^~\\&|ADT|NORTH|ISTHMUS|NORTH|20260401120001||ADT^A40|M1|P|2.5.1\rEVN|A40|20260401120001\r";
    format!("{head}PID|1||{}||Q^Z||19310709|M\rMRG|{}\r", mr(survivor), mr(retired)).into_bytes()
}

/// Whether a status says that the outcomes wait and nothing is to be computed.
fn all_wait(s: &Value) -> bool {
    s["outbox"]["deferred"].as_u64() > Some(0) && s["inbox"]["windows_due"] == 0 && s["inbox"]["pending"] == 0
}

async fn read_only(dir: &std::path::Path, settings: RigSettings) -> Rig {
    let mut rig = site::prepare(dir, settings).await;
    edit_site(&rig, "mode = \"full\"", "mode = \"read-only\"");
    rig.start().await.unwrap();
    rig
}

fn open(rig: &Rig) {
    edit_site(rig, "mode = \"read-only\"", "mode = \"full\"");
}

/// Resources of a type that stand at the EHR.
fn of_type(rig: &Rig, kind: &str) -> Vec<Value> {
    rig.ehr.resources().into_iter().filter(|resource| resource["resourceType"] == kind).collect()
}

/// Documents whose text is a person's note.
fn notes(rig: &Rig) -> Vec<(Value, String)> {
    let documents = of_type(rig, "DocumentReference").into_iter().map(|document| {
        let data = document["content"][0]["attachment"]["data"].as_str().unwrap().to_owned();
        (document, String::from_utf8(STANDARD.decode(data).unwrap()).unwrap())
    });
    documents.filter(|(_, text)| text.starts_with("Note by a clinician")).collect()
}

fn authored(rig: &Rig) -> Vec<Value> {
    let all = of_type(rig, "Provenance").into_iter();
    all.filter(|it| it["agent"][0]["type"]["coding"][0]["code"] == "author").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_read_only_site_a_note_waits_and_arrives_once_after_its_outcome_with_its_author() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = read_only(dir.path(), plain()).await;
    send(&rig, &[hour(0)]).await;
    until(&rig, "the outcome waits", all_wait).await;
    let told = note(&rig, &["--window", "1"], "r-1");
    let again = note(&rig, &["--window", "1"], "r-1");
    assert_eq!((&told["state"], &told["known"]), (&json!("queued"), &json!(false)), "{told:#}");
    assert_eq!((&again["intent"], &again["known"]), (&told["intent"], &json!(true)), "{again:#}");
    let status = rig.status().await.unwrap();
    assert_eq!(status["intents"], json!({"waiting": 0, "queued": 1, "held": 0, "expired": 0}));
    // It outlives a kill.
    rig.kill();
    rig.start().await.unwrap();
    open(&rig);
    until(&rig, "open", |s| s["sites"][0]["mode"] == "full").await;
    settled(&rig).await;
    assert_eq!(state(&rig, &told["intent"]), "done");

    let written = notes(&rig);
    let [(document, text)] = written.as_slice() else { panic!("one note: {}", written.len()) };
    assert_eq!(document["subject"]["identifier"]["value"], people::person(0).mrn);
    assert!(text.contains(TEXT) && text.contains(&format!("Author: {AUTHOR}, diabetologist")), "{text}");
    assert!(text.contains(&format!("CGM outcome of {DAY} to {DAY}")), "{text}");
    let [provenance] = authored(&rig).try_into().unwrap_or_else(|all| panic!("one: {all:#?}"));
    let target = format!("DocumentReference/{}", document["id"].as_str().unwrap());
    assert!(provenance["target"][0]["reference"].as_str().unwrap().ends_with(&target), "{provenance:#}");
    assert_eq!(provenance["agent"][0]["who"]["display"], AUTHOR);
    assert!(
        provenance["agent"][1]["who"]["display"].as_str().unwrap().contains("uid"),
        "who typed it: {provenance:#}"
    );
    let order: Vec<String> = site::chart::writes(&rig.ehr)
        .iter()
        .map(|record| format!("{} {}", record.method, record.path))
        .collect();
    let place = |kind: &str| order.iter().position(|it| it.contains(kind)).unwrap();
    let last_observation = order.iter().rposition(|it| it.contains("/Observation")).unwrap();
    assert!(last_observation < place("/DocumentReference"), "{order:?}");
    assert_eq!(order.iter().filter(|it| it.contains("/DocumentReference")).count(), 1, "{order:?}");
    assert_eq!(rig.ehr.judge().doubled, 0);
    let log = std::fs::read_to_string(rig.log_file()).unwrap();
    assert!(!log.contains("Ate late") && !log.contains("Quibble"), "no word of it is logged");
    assert_masked_in_the_queue(&rig, &json(&rig, &["show", "1"]));
    let shown = ask(&rig, &["show", "1"]);
    assert!(!shown.contains("Ate late") && !shown.contains(&people::person(0).mrn), "{shown}");
    let shown = ask(&rig, &["show", "1", "--reveal", "--reason", "case 881"]);
    assert!(shown.contains(TEXT) && shown.contains(&people::person(0).mrn), "{shown}");
    // Who had it shown, and why; what was refused for want of a reason was not shown.
    let audited = site::store::audit(&mut rig).await;
    let of = |action: &str| audited.iter().filter(|entry| entry.action == action).collect::<Vec<_>>();
    let rows = told["rows"].as_u64().unwrap_or(2) as usize;
    assert_eq!((of("queue reveal").len(), of("intent reveal").len()), (rows, 1));
    for entry in of("queue reveal").into_iter().chain(of("intent reveal")) {
        assert!(entry.actor.contains("uid") && entry.detail.contains("case 881"), "{entry:?}");
        assert!(!format!("{entry:?}").contains(&people::person(0).mrn), "{entry:?}");
    }
}

/// What the queue shows of an intent's rows says nothing of it, but where somebody says why that must be seen.
fn assert_masked_in_the_queue(rig: &Rig, intent: &Value) {
    let queue = |args: &[&str]| {
        let mut command = Command::new(site::binary());
        said(&command.arg("queue").args(args).arg("--config").arg(rig.config()).output().unwrap())
    };
    let mut revealed = String::new();
    for row in intent["rows"].as_array().unwrap() {
        let number = row["row"].to_string();
        for json in [&[][..], &["--json"]] {
            let shown = queue(&[&["show", &number], json].concat());
            let whole = STANDARD.encode(TEXT);
            for hidden in [TEXT, AUTHOR, "diabetologist", &people::person(0).mrn, &whole[..20], "Ate late"] {
                assert!(!shown.contains(hidden), "{hidden}: {shown}");
            }
            assert!(shown.contains("masked") && shown.contains("resourceType"), "{shown}");
            // The text within a document stands in base64, at any of three offsets.
            assert!(!shown.contains("\"data\""), "{shown}");
        }
        revealed += &queue(&["show", &number, "--reveal", "--reason", "case 881"]);
        // The socket asks for the reason itself.
        for reason in [String::new(), " ".to_owned(), "x".repeat(1_001)] {
            let asked = json!({ "command": "queue", "ask": "show", "row": row["row"], "reveal": reason });
            let told = raw(rig, &asked);
            assert!(told["error"].as_str().unwrap().contains("a reason"), "{told:#}");
            assert!(told["resources"].is_null(), "{told:#}");
        }
    }
    assert!(revealed.contains(AUTHOR) && revealed.contains(&people::person(0).mrn), "{revealed}");
}

/// What the admin socket answers to a line.
fn raw(rig: &Rig, asked: &Value) -> Value {
    use std::io::Read as _;
    let mut stream = std::os::unix::net::UnixStream::connect(rig.dir().join("isthmus.sock")).unwrap();
    stream.write_all(format!("{asked}\n").as_bytes()).unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    serde_json::from_str(&told).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn at_epic_a_note_is_a_draft_document_that_says_who_said_it_and_there_is_no_provenance() {
    let dir = tempfile::tempdir().unwrap();
    let known = Person::new(SYSTEM, &people::person(0).mrn).born("1931-07-09");
    let conduct = Conduct { people: vec![known], ..Conduct::of(Persona::Epic) };
    let settings =
        RigSettings { projection: "epic-note".to_owned(), subject: "lookup".to_owned(), conduct, ..daily() };
    let mut rig = site::prepare(dir.path(), settings).await;
    rig.start().await.unwrap();
    send(&rig, &[hour(0)]).await;
    settled(&rig).await;
    let told = note(&rig, &["--patient", &whom(0)], "r-1");
    // Under the name of one request nothing else is taken, nor lost by being taken for it.
    for (role, words) in [("diabetologist", "Another text."), ("nurse", TEXT)] {
        assert!(taken_for_another(&rig, &["--role", role, "--patient", &whom(0)], "r-1", words));
    }
    assert_eq!(note(&rig, &["--patient", &whom(0)], "r-1")["known"], true);
    settled(&rig).await;
    assert_eq!(state(&rig, &told["intent"]), "done", "{:#}", json(&rig, &["show", "1"]));
    let written = notes(&rig);
    let [(document, text)] = written.as_slice() else { panic!("one note: {}", written.len()) };
    assert_eq!(document["docStatus"], "preliminary");
    assert!(document["subject"]["reference"].is_string() && document["context"]["encounter"].is_array());
    assert!(text.contains(&format!("for {AUTHOR}")) && text.contains("About: the patient"), "{text}");
    assert_eq!(of_type(&rig, "DocumentReference").len(), 2, "and the outcome's");
    assert_eq!(of_type(&rig, "Provenance").len(), 0);
    // A goal has no resource of its own there.
    let goal = ["goal", "--by", AUTHOR, "--patient", &whom(0), "--time-in-range", "70"];
    json(&rig, &goal);
    settled(&rig).await;
    assert!(notes(&rig).iter().any(|(_, text)| text.contains("Time in range: at least 70 %")));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_grew_too_old_waits_for_its_author_and_holds_up_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = plain();
    settings.main_extra = String::new();
    let mut rig = site::prepare(dir.path(), settings).await;
    edit_site(&rig, "mode = \"full\"", "mode = \"read-only\"");
    site::append(&rig, "[intent]\nreconfirm_after = \"1s\"\n");
    rig.start().await.unwrap();
    send(&rig, &[hour(0)]).await;
    until(&rig, "the outcome waits", all_wait).await;
    let told = note(&rig, &["--window", "1"], "r-1");
    let status = until(&rig, "too old", |s| s["intents"]["expired"] == 1).await;
    let status = match condition(&status, "intent-waiting") {
        Some(_) => status,
        None => until(&rig, "told", |s| condition(s, "intent-waiting").is_some()).await,
    };
    let detail = condition(&status, "intent-waiting").unwrap()["detail"].as_str().unwrap();
    assert!(detail.starts_with("1 of what people want written"), "{detail}");
    open(&rig);
    until(&rig, "open", |s| s["sites"][0]["mode"] == "full").await;
    settled(&rig).await;
    assert!(
        !of_type(&rig, "Observation").is_empty() && notes(&rig).is_empty(),
        "the outcome went, the note did not"
    );
    let id = told["intent"].to_string();
    let why = refused(&rig, &["confirm", &id, "--by", "Somebody Else", "--reason", "r"]);
    assert!(why.contains("its author has to stand by it"), "{why}");
    json(&rig, &["confirm", &id, "--by", AUTHOR, "--reason", "still right"]);
    eventually("the note is written", || notes(&rig).len() == 1).await;
    until(&rig, "nothing waits", |s| condition(s, "intent-waiting").is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_consent_stops_it_and_a_merge_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = plain();
    settings.probe_interval = "1h".to_owned();
    let rig = read_only(dir.path(), settings).await;
    send(&rig, &[hour(0), hour(1)]).await;
    until(&rig, "the outcomes wait", all_wait).await;
    let (one, other) =
        (note(&rig, &["--patient", &whom(0)], "r-0"), note(&rig, &["--patient", &whom(1)], "r-1"));
    assert!(taken_for_another(&rig, &["--role", "diabetologist", "--patient", &whom(1)], "r-0", TEXT));
    let whom_0 = whom(0);
    let withdraw = ["consent", "withdraw", "--patient", &whom_0, "--purpose", "treatment", "--by", "herself"];
    command::ask(&rig, &[&withdraw[..], &["--reason", "form 12"]].concat());
    send(&rig, &[merged(2, 1)]).await;
    until(&rig, "held", |s| s["intents"]["held"] == 1).await;
    open(&rig);
    until(&rig, "open", |s| s["sites"][0]["mode"] == "full").await;
    until(&rig, "what may go went", |s| {
        s["outbox"]["pending"] == 0 && s["outbox"]["leased"] == 0 && s["inbox"]["windows_due"] == 0
    })
    .await;
    assert_eq!(notes(&rig).len(), 0);
    assert_eq!(
        (state(&rig, &one["intent"]), state(&rig, &other["intent"])),
        ("queued".into(), "held".into())
    );
    // A person decides: it is for whom the identifier counts now.
    let why =
        refused(&rig, &["confirm", &other["intent"].to_string(), "--by", "Somebody Else", "--reason", "r"]);
    assert!(why.contains("its author has to stand by it"), "{why}");
    json(&rig, &["confirm", &other["intent"].to_string(), "--by", AUTHOR, "--reason", "the same person"]);
    eventually("the note of the survivor", || notes(&rig).len() == 1).await;
    assert_eq!(notes(&rig)[0].0["subject"]["identifier"]["value"], people::person(2).mrn);
    let cancelled = json(&rig, &["cancel", &one["intent"].to_string(), "--reason", "she withdrew"]);
    assert_eq!(cancelled["state"], "withdrawn");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_is_marked_entered_in_error_exactly_once_though_the_daemon_is_killed_meanwhile() {
    for (projection, killed) in [("plain-r4", false), ("plain-r4", true), ("cgm-ig", true)] {
        let dir = tempfile::tempdir().unwrap();
        let persona = if projection == "cgm-ig" { Persona::CgmIg } else { Persona::Plain };
        let settings =
            RigSettings { projection: projection.to_owned(), conduct: Conduct::of(persona), ..plain() };
        let mut rig = site::prepare(dir.path(), settings).await;
        rig.start().await.unwrap();
        send(&rig, &[hour(0)]).await;
        settled(&rig).await;
        let stood = of_type(&rig, "Observation");
        assert!(stood.iter().all(|it| it["status"] == "final" && it["meta"]["versionId"] == "1"));
        if killed {
            rig.ehr.play(Play::Slow(std::time::Duration::from_secs(20)));
        }
        let told = json(&rig, &["withdraw", "--window", "1", "--by", AUTHOR, "--request", "w-1"]);
        assert_eq!(told["by_hand"], json!([]), "{told:#}");
        let marked = |rig: &Rig| {
            of_type(rig, "Observation").iter().filter(|it| it["status"] == "entered-in-error").count()
        };
        if killed {
            eventually("the EHR has done some of it", || marked(&rig) > 0).await;
            rig.kill();
            rig.ehr.play(Play::Accept);
            rig.start().await.unwrap();
        }
        settled(&rig).await;
        let now = of_type(&rig, "Observation");
        assert_eq!((marked(&rig), now.len()), (stood.len(), stood.len()), "{projection}");
        assert!(now.iter().all(|it| it["meta"]["versionId"] == "2"), "{projection}: once each: {now:#?}");
        assert_eq!(state(&rig, &told["intent"]), "done", "{projection}");
        let by = authored(&rig);
        assert_eq!(by.len(), 1, "{projection}");
        assert_eq!(by[0]["activity"]["coding"][0]["code"], "NULLIFY");
        assert_eq!(by[0]["target"].as_array().unwrap().len(), stood.len());
        assert_eq!(rig.ehr.judge().doubled, 0, "{projection}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_merge_left_to_people_is_taken_back_by_one_command_and_the_request_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = plain();
    // [patient] stands before it.
    settings.site_extra = format!("on_merge = \"republish\"\n{}", settings.site_extra);
    let mut rig = site::prepare(dir.path(), settings).await;
    rig.start().await.unwrap();
    send(&rig, &[hour(1)]).await;
    settled(&rig).await;
    send(&rig, &[merged(2, 1)]).await;
    let status = until(&rig, "people are asked", |s| condition(s, "withdrawal-needed").is_some()).await;
    let scope = condition(&status, "withdrawal-needed").unwrap()["scope"].clone();
    settled(&rig).await;
    let window = scope.as_str().unwrap().strip_prefix("window ").unwrap().to_owned();
    let told = json(&rig, &["withdraw", "--window", &window, "--by", AUTHOR]);
    until(&rig, "nobody is asked", |s| condition(s, "withdrawal-needed").is_none()).await;
    settled(&rig).await;
    assert_eq!(state(&rig, &told["intent"]), "done");
    let of = |n: u32| -> Vec<Value> {
        let mrn = people::person(n).mrn;
        let all = of_type(&rig, "Observation").into_iter();
        all.filter(|it| it["subject"]["identifier"]["value"] == mrn).collect()
    };
    assert!(!of(1).is_empty() && of(1).iter().all(|it| it["status"] == "entered-in-error"));
    assert!(!of(2).is_empty() && of(2).iter().all(|it| it["status"] == "final"));
}

/// A site that takes a note, else rows of a flowsheet.
fn preferring_a_note() -> RigSettings {
    let known = Person::new(SYSTEM, &people::person(0).mrn).born("1931-07-09");
    let conduct = Conduct { people: vec![known], ..Conduct::of(Persona::Epic) };
    let (system, code) = conduct.rows.coding_of("AVERAGE_CGM").unwrap();
    let flowsheet = format!(
        "[[projection]]\nname = \"epic-flowsheet\"\nwindow = \"1d\"\nsystem = \"{system}\"\n\
         rows = [{{ row = \"mean\", code = \"{code}\" }}]\n"
    );
    RigSettings {
        projection: "epic-note".to_owned(),
        subject: "lookup".to_owned(),
        site_extra: flowsheet,
        conduct,
        ..daily()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_is_put_on_the_flowsheet_once_where_the_site_preferred_a_note() {
    let dir = tempfile::tempdir().unwrap();
    let settings = preferring_a_note();
    let mut rig = site::prepare(dir.path(), settings).await;
    rig.start().await.unwrap();
    send(&rig, &[hour(0)]).await;
    settled(&rig).await;
    assert_eq!((of_type(&rig, "DocumentReference").len(), of_type(&rig, "Observation").len()), (1, 0));
    let put = |request: &str| {
        let words =
            ["flowsheet", "--window", "1", "--form", "epic-flowsheet", "--by", AUTHOR, "--request", request];
        json(&rig, &words)
    };
    let told = put("f-1");
    eventually("the row is written", || of_type(&rig, "Observation").len() == 1).await;
    assert_eq!(of_type(&rig, "Observation")[0]["valueQuantity"]["value"].as_f64(), Some(120.0));
    eventually("it is done", || state(&rig, &told["intent"]) == "done").await;
    // Asked for again, it is not written again: a flowsheet would show a second reading.
    let again = put("f-2");
    eventually("it is held", || state(&rig, &again["intent"]) == "held").await;
    settled(&rig).await;
    assert_eq!(of_type(&rig, "Observation").len(), 1);
    let why = refused(&rig, &["flowsheet", "--window", "1", "--form", "cgm-ig", "--by", AUTHOR]);
    assert!(why.contains("epic-note, epic-flowsheet"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_for_a_window_whose_policy_is_gone_is_held_and_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), preferring_a_note()).await;
    let ours = "id = \"north-adults\"\nversion = 1\ntitle = \"Adults, North clinic\"\nbase = \"standard\"\n";
    let folder = rig.dir().join("policies.d");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("north.toml"), ours).unwrap();
    edit_site(&rig, "timezone =", "policy = \"north-adults\"\ntimezone =");
    rig.start().await.unwrap();
    send(&rig, &[hour(0)]).await;
    settled(&rig).await;
    assert_eq!(of_type(&rig, "DocumentReference").len(), 1);
    edit_site(&rig, "policy = \"north-adults\"\n", "");
    std::fs::remove_file(folder.join("north.toml")).unwrap();
    until(&rig, "the policy is gone", |s| s["configuration"]["generation"].as_u64() > Some(1)).await;
    let words =
        ["flowsheet", "--window", "1", "--form", "epic-flowsheet", "--by", AUTHOR, "--request", "f-1"];
    let wish = json(&rig, &words);
    eventually("it is held", || state(&rig, &wish["intent"]) == "held").await;
    let shown = json(&rig, &["show", &wish["intent"].to_string()]);
    assert!(shown["reason"].as_str().unwrap().contains("north-adults"), "{shown:#}");
    let status = rig.status().await.unwrap();
    assert!(condition(&status, "pipeline-stalled").is_none(), "{status:#}");
    assert_eq!(of_type(&rig, "Observation").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_site_does_not_take_and_what_is_none_is_refused_and_nothing_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    send(&rig, &[hour(0)]).await;
    settled(&rig).await;
    let whom = whom(0);
    let ask = |words: &str, about: &[&str]| {
        let output = typing(&rig, &[&["note", "--by", AUTHOR], about].concat(), words);
        assert_eq!(output.status.code(), Some(1), "{about:?}: {}", said(&output));
        said(&output)
    };
    let why = ask(TEXT, &["--patient", &whom]);
    assert!(why.contains("takes no notes"), "the guide's projection makes no documents: {why}");
    assert!(ask(TEXT, &["--window", "99"]).contains("no such window"));
    for words in ["a\u{7}b", "a\u{202e}b", "a\u{2028}Author: somebody else"] {
        assert!(ask(words, &["--window", "1"]).contains("control character"), "{words:?}");
    }
    assert!(ask(TEXT, &["--patient", "urn:oid:1.2.3|nobody"]).contains("no patient"));
    // Whom it is about, and what is said of them, on standard input both.
    assert!(ask(&format!("urn:oid:1.2.3|nobody\n{TEXT}"), &["--patient", "-"]).contains("no patient"));
    assert!(
        ask(&format!("{whom}\n{TEXT}"), &["--patient", "-", "--text-file", "-"]).contains("takes no notes")
    );
    let on_the_line =
        command::isthmus(&rig, &["intent", "note", "--by", AUTHOR, "--window", "1", "--text", TEXT]);
    assert_eq!(on_the_line.status.code(), Some(2), "no word of a note stands there: {}", said(&on_the_line));
    assert_eq!(json(&rig, &["list"])["intents"], json!([]));
}

/// A site whose outcomes are notes at Epic, which nothing can mark, with an upstream or without.
fn with_notes_at_epic(upstream: bool) -> RigSettings {
    let known = Person::new(SYSTEM, &people::person(0).mrn).born("1931-07-09");
    RigSettings {
        projection: "epic-note".to_owned(),
        subject: "lookup".to_owned(),
        conduct: Conduct { people: vec![known], ..Conduct::of(Persona::Epic) },
        upstream,
        ..daily()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_write_can_take_back_is_asked_of_people_until_they_say_that_they_did() {
    let withdrawn = |rig: &Rig, scope: &str| {
        command::ask(rig, &["site", "withdrawn", scope, "--reason", "marked by the analyst"]);
    };
    // With an upstream, where what stands can be marked, and with the EHR alone.
    for upstream in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let mut rig = site::prepare(dir.path(), with_notes_at_epic(upstream)).await;
        rig.start().await.unwrap();
        send(&rig, &[hour(0)]).await;
        settled(&rig).await;
        assert_eq!(of_type(&rig, "DocumentReference").len(), 1);
        let words = ["withdraw", "--window", "1", "--by", AUTHOR, "--request", "w-1"];
        let told = match upstream {
            true => json(&rig, &words),
            false => json!(refused(&rig, &words)),
        };
        let status = until(&rig, "people are asked", |s| condition(s, "withdrawal-needed").is_some()).await;
        let asked = condition(&status, "withdrawal-needed").unwrap();
        let scope = asked["scope"].as_str().unwrap();
        assert_eq!(scope, "window 1 at ehr:main");
        let hint = "isthmus site withdrawn \"window 1 at ehr:main\" --reason";
        assert!(asked["detail"].as_str().unwrap().contains(hint), "{asked:#}");
        if upstream {
            assert_eq!(told["by_hand"], json!(["ehr:main"]), "{told:#}");
            eventually("its part is done", || state(&rig, &told["intent"]) == "done").await;
            let shown = json(&rig, &["show", &told["intent"].to_string()]);
            assert_eq!(shown["by_hand"], json!(["ehr:main"]), "done, and yet not all: {shown:#}");
        }
        // It outlives a kill.
        rig.kill();
        rig.start().await.unwrap();
        until(&rig, "people are asked still", |s| condition(s, "withdrawal-needed").is_some()).await;
        withdrawn(&rig, scope);
        assert!(condition(&rig.status().await.unwrap(), "withdrawal-needed").is_none());
        if upstream {
            // The same request again is the same intent: nobody is asked twice.
            assert_eq!(json(&rig, &words)["known"], true);
            assert!(condition(&rig.status().await.unwrap(), "withdrawal-needed").is_none());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_to_take_back_by_hand_what_is_being_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), with_notes_at_epic(false)).await;
    rig.ehr.rule(Rule::new("slow", Act::Slow(Duration::from_millis(1_500))).on(What::Writes));
    rig.start().await.unwrap();
    send(&rig, &[hour(0)]).await;
    // It stands in the chart, and its answer has not come.
    eventually("it is written", || !of_type(&rig, "DocumentReference").is_empty()).await;
    let words = ["withdraw", "--window", "1", "--by", AUTHOR];
    let told = refused(&rig, &words);
    assert!(told.contains("under way or in doubt"), "{told}");
    assert!(condition(&rig.status().await.unwrap(), "withdrawal-needed").is_none());
    settled(&rig).await;
    assert!(refused(&rig, &words).contains("by hand"));
    assert!(condition(&rig.status().await.unwrap(), "withdrawal-needed").is_some());
}
