//! The audit log from outside: what is in it, that it verifies by this program and by another, that a kept head or seal shows
//! what is gone, and that it goes to files and collectors in their forms.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on fails")]

mod site;

use std::{collections::BTreeSet, fs, path::Path, process::Command, sync::Arc};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::Value;
use site::{
    PATIENCE,
    command::{ask, asked, isthmus, json, refused, said},
    daily, edit, eventually, people, send, settled, until,
};
use standin::rig::{Rig, RigSettings};
use tokio::{io::AsyncReadExt, net::TcpListener, sync::mpsc};
use tokio_rustls::TlsAcceptor;

const DAY: &str = "2026-03-02";

/// The entries of an export as JSON lines.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect()
}

/// The verifier that docs/audit.md prints, run on a file; `None` where there is no python3.
fn another_verifier(dir: &Path, file: &Path) -> Option<std::process::Output> {
    let page = include_str!("../docs/audit.md");
    let program = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let script = dir.join("verify.py");
    fs::write(&script, program).unwrap();
    let run = Command::new("python3").arg(&script).arg(file).output();
    if run.is_err() {
        eprintln!("skipped: there is no python3");
    }
    run.ok()
}

/// Waits for the first seal.
async fn sealed(rig: &Rig) -> Value {
    eventually("a seal is made", || !json(rig, &["audit", "seals"])["seals"][0].is_null()).await;
    json(rig, &["audit", "seals"])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_from_start_to_stop_is_in_the_log_which_verifies_by_this_program_and_by_another() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    send(&rig, &[people::hour("A", 1, DAY, 100)]).await;
    settled(&rig).await;
    ask(&rig, &["identity", "list", "--reveal"]);
    edit(&rig, "isthmus.toml", "[admin]\n", "[admin]\nnonsense = 1\n");
    until(&rig, "the fault is told", |s| site::condition(s, "config-rejected").is_some()).await;
    edit(&rig, "isthmus.toml", "nonsense = 1\n", "# mended\n");
    until(&rig, "the mended one is in force", |s| s["configuration"]["generation"] == 2).await;

    let found = || json(&rig, &["audit", "list", "--action", "configuration", "--since", "1h"]);
    // It is in force before it is on record.
    let both = ["configuration reloaded", "configuration rejected"];
    eventually("both are on record", || actions(found()["entries"].as_array().unwrap()) == both).await;
    let found = found();
    let rejected = &found["entries"][1]["detail"];
    assert!(rejected.as_str().unwrap().contains("isthmus.toml:"), "{rejected}");
    let mine = format!("uid {}", my_uid());
    let revealed = json(&rig, &["audit", "list", "--action", "identity reveal", "--actor", &mine]);
    let number = revealed["entries"][0]["id"].to_string();
    let shown = ask(&rig, &["audit", "show", &number]);
    assert!(shown.contains("identity reveal") && shown.contains("hash"), "{shown}");

    let running = json(&rig, &["audit", "verify"]);
    let export = dir.path().join("out.jsonl");
    let told = ask(&rig, &["audit", "export", "--out", export.to_str().unwrap()]);
    let entries = lines(&fs::read_to_string(&export).unwrap());
    assert!(
        told.contains(&format!("exported {} entries, from 1 to {}", entries.len(), entries.len())),
        "{told}"
    );
    let at = running["entries"].as_u64().unwrap() as usize - 1;
    assert_eq!(entries[at]["hash"], running["head"], "one log");
    assert_eq!(isthmus(&rig, &["audit", "export", "--out", export.to_str().unwrap()]).status.code(), Some(1));
    let of = |action: &str| actions(&entries).iter().filter(|told| **told == action).count();
    for (action, count) in [("daemon started", 1), ("audit log read", 3), ("identity reveal", 1)] {
        assert!(of(action) >= count, "{action}: {:?}", actions(&entries));
    }

    if let Some(whole) = another_verifier(dir.path(), &export) {
        assert!(whole.status.success(), "{}", said(&whole));
        let last = entries.last().unwrap();
        assert_eq!(said(&whole).trim(), format!("{}:{}", last["id"], last["hash"].as_str().unwrap()));
        let text = fs::read_to_string(&export).unwrap();
        let forged = dir.path().join("forged.jsonl");
        fs::write(&forged, text.replacen("identity reveal", "identity listed", 1)).unwrap();
        let told = another_verifier(dir.path(), &forged).unwrap();
        assert_eq!(said(&told).trim(), format!("entry {number} was changed"));
        fs::write(
            &forged,
            text.lines().filter(|line| !line.contains("identity reveal")).collect::<Vec<_>>().join("\n"),
        )
        .unwrap();
        assert!(said(&another_verifier(dir.path(), &forged).unwrap()).contains("does not follow"));
    }

    // The same without the daemon, whose stop is in it too.
    rig.stop().await.unwrap();
    let head = running["against"].as_str().unwrap();
    let stopped = json(&rig, &["audit", "verify", "--head", head]);
    assert!(stopped["entries"].as_u64() > running["entries"].as_u64());
    let last = json(&rig, &["audit", "list", "--limit", "1"]);
    // Who reads the stopped store stands in its log, before what is read.
    let last = (&last["entries"][0]["action"], &last["entries"][0]["detail"]);
    assert_eq!(last, (&Value::from("audit log read"), &Value::from("listed; no daemon ran")));
    let stop = json(&rig, &["audit", "list", "--action", "daemon stopped"]);
    assert_eq!(stop["entries"].as_array().unwrap().len(), 1);
    rig.start().await.unwrap();
    ask(&rig, &["audit", "verify", "--head", stopped["against"].as_str().unwrap()]);
}

fn my_uid() -> u32 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").unwrap().uid()
}

/// Copies the files of a stopped store.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seal_or_a_head_that_was_kept_shows_that_the_end_is_gone_or_that_the_log_is_another() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    let first = sealed(&rig).await;
    rig.stop().await.unwrap();
    let (data, kept) = (dir.path().join("data"), dir.path().join("kept"));
    copy(&data, &kept);
    rig.start().await.unwrap();
    ask(&rig, &["identity", "list", "--reveal"]);
    let later = json(&rig, &["audit", "verify"]);
    assert_eq!(later["seals"], 1);
    let file = dir.path().join("seals.json");
    fs::write(&file, first.to_string()).unwrap();
    let seals = ["audit", "verify", "--seals", file.to_str().unwrap()];
    assert_eq!(json(&rig, &seals)["seals"], 2, "its own, and the one that was kept");
    let pem = first["public_key"].as_str().unwrap();
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n"), "{pem}");
    verified_by_openssl(dir.path(), &first);

    // A seal that was changed is none.
    let mut forged = first.clone();
    forged["seals"][0]["entries"] = 999.into();
    fs::write(&file, forged.to_string()).unwrap();
    assert!(refused(&rig, &seals).contains("the seal itself was changed"));

    // The store as it was before: whole in itself, and behind what was kept.
    rig.stop().await.unwrap();
    copy(&kept, &data);
    ask(&rig, &["audit", "verify"]);
    let head = later["against"].as_str().unwrap();
    let told = refused(&rig, &["audit", "verify", "--head", head]);
    assert!(told.contains("its end was cut off") && told.contains("the head that was kept"), "{told}");
    let (_, digits) = head.split_once(':').unwrap();
    let other = format!("2:{digits}");
    let told = refused(&rig, &["audit", "verify", "--head", &other]);
    assert!(told.contains("written anew from entry 2 on"), "{told}");
    let as_json = isthmus(&rig, &["audit", "verify", "--json", "--head", head]);
    assert_eq!(as_json.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&as_json.stdout).unwrap();
    assert!(told["broken"].is_u64(), "{told}");
}

fn verified_by_openssl(dir: &Path, told: &Value) {
    let seal = &told["seals"][0];
    let text = |name: &str| seal[name].as_str().unwrap().to_owned();
    let statement = format!(
        "isthmus audit seal\nbox {}\nday {}\nat {}\nentries {}\nhead {}\n",
        text("box"),
        text("day"),
        text("at"),
        seal["entries"],
        text("head")
    );
    let digits = text("signature");
    let signature: Vec<u8> =
        (0..64).map(|byte| u8::from_str_radix(&digits[byte * 2..byte * 2 + 2], 16).unwrap()).collect();
    fs::write(dir.join("statement"), statement).unwrap();
    fs::write(dir.join("signature"), signature).unwrap();
    fs::write(dir.join("key.pem"), told["public_key"].as_str().unwrap()).unwrap();
    let words = "pkeyutl -verify -pubin -inkey key.pem -rawin -in statement -sigfile signature";
    match Command::new("openssl").args(words.split(' ')).current_dir(dir).output() {
        Ok(run) => assert!(run.status.success(), "{}", said(&run)),
        Err(_) => eprintln!("skipped: there is no openssl"),
    }
}

/// A collector of syslog over TLS: every message of every connection, as it comes.
async fn collector(rig: &Rig) -> (std::net::SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let chain = CertificateDer::pem_file_iter(&rig.pki().server.cert).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&rig.pki().server.key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let (sender, messages) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, sender) = (acceptor.clone(), sender.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                loop {
                    let mut length = 0;
                    let body = loop {
                        match stream.read_u8().await {
                            Ok(b' ') => break Some(length),
                            Ok(digit) => length = length * 10 + usize::from(digit - b'0'),
                            Err(_) => break None,
                        }
                    };
                    let Some(length) = body else { break };
                    let mut message = vec![0; length];
                    if stream.read_exact(&mut message).await.is_err() {
                        break;
                    }
                    let _gone = sender.send(String::from_utf8(message).unwrap());
                }
                let _gone = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
            });
        }
    });
    (address, messages)
}

async fn next(messages: &mut mpsc::UnboundedReceiver<String>) -> String {
    tokio::time::timeout(PATIENCE, messages.recv()).await.expect("in time").unwrap()
}

/// A parameter of the structured data of a message.
fn parameter<'a>(message: &'a str, name: &str) -> &'a str {
    message.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_go_to_a_file_in_each_form_and_to_a_collector_that_is_proved_and_to_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    sealed(&rig).await;
    let (address, mut messages) = collector(&rig).await;
    let to = format!("tls://localhost:{}", address.port());
    let ca = rig.pki().ca.to_str().unwrap().to_owned();
    let sent = run_beside(&rig, &["audit", "export", "--to", &to, "--ca", &ca]).await;
    assert!(sent.status.success() && said(&sent).contains("the collector has read all"), "{}", said(&sent));
    let first = next(&mut messages).await;
    assert!(
        first.starts_with("<110>1 ") && first.contains(" isthmus - daemon-started [isthmus@32473 "),
        "{first}"
    );
    assert_eq!((parameter(&first, "id"), parameter(&first, "previous")), ("1", "0".repeat(64).as_str()));

    // An authority that did not sign it.
    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    let stranger = standin::Pki::create(&other).unwrap();
    let ca = stranger.ca.to_str().unwrap();
    let refused = run_beside(&rig, &["audit", "export", "--to", &to, "--ca", ca]).await;
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));

    let exported = |format: &str| ask(&rig, &["audit", "export", "--format", format, "--after", "0"]);
    let fhir = lines(&exported("fhir"));
    assert!(fhir.iter().all(|event| event["resourceType"] == "AuditEvent"));
    assert_eq!((&fhir[0]["id"], &fhir[0]["recorded"]), (&Value::from("1"), &fhir[0]["meta"]["lastUpdated"]));
    let syslog = exported("syslog");
    assert!(syslog.lines().next().unwrap().contains("daemon-started"), "{syslog}");
    let later = lines(&ask(&rig, &["audit", "export", "--after", "2"]));
    assert_eq!(later[0]["id"], 3);
    let nothing = isthmus(&rig, &["audit", "export", "--until", "2020-01-01"]);
    assert!(nothing.status.success() && nothing.stdout.is_empty(), "{}", said(&nothing));
    assert!(said(&nothing).contains("nothing fits"), "{}", said(&nothing));
    for wrong in [
        &["--format", "fhir", "--to", "tls://h:1", "--ca", "x"][..],
        &["--to", "h:1", "--ca", "x"],
        &["--to", "tls://h:1"],
    ] {
        let output = isthmus(&rig, &[&["audit", "export"], wrong].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", said(&output));
    }
}

/// A command, while the test's own collector goes on reading.
async fn run_beside(rig: &Rig, words: &[&str]) -> std::process::Output {
    let mut command = tokio::process::Command::new(site::binary());
    command.args(words).arg("--config").arg(rig.config()).output().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_of_the_configuration_gets_every_entry_also_those_made_while_it_was_not_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), RigSettings { ..daily() }).await;
    rig.start().await.unwrap();
    ask(&rig, &["identity", "list", "--reveal"]);
    let (address, mut messages) = collector(&rig).await;
    let section = format!(
        "\n[audit]\nsyslog = {{ address = \"localhost:{}\", ca = \"{}\" }}\n",
        address.port(),
        rig.pki().ca.display()
    );
    site::append(&rig, &section);
    until(&rig, "it is in force", |s| s["configuration"]["generation"] == 2).await;
    let mut met = BTreeSet::new();
    for wanted in 1.. {
        let message = next(&mut messages).await;
        assert_eq!(parameter(&message, "id"), wanted.to_string(), "in order, without gaps");
        met.insert(parameter(&message, "action").to_owned());
        if parameter(&message, "action") == "configuration reloaded" {
            break;
        }
    }
    assert!(met.contains("daemon started") && met.contains("identity reveal"), "{met:?}");
    // What is made from now on comes too.
    asked(&rig, &["audit", "list", "--limit", "1"]).await;
    let mut told = next(&mut messages).await;
    while parameter(&told, "action") != "audit log read" {
        told = next(&mut messages).await;
    }
    // At the stop the collector closes in good order, so that the next start goes on behind it.
    rig.stop().await.unwrap();
    while messages.try_recv().is_ok() {}
    rig.start().await.unwrap();
    assert_eq!(parameter(&next(&mut messages).await, "action"), "daemon stopped");
    assert_eq!(parameter(&next(&mut messages).await, "action"), "daemon started");
}

/// Runs a command that asks for a patient; what the log has of it since entry `after`, as action and object.
fn asked_for(rig: &Rig, words: &[&str], after: i64) -> Vec<(String, String)> {
    let output = isthmus(rig, words);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{words:?}: {}", said(&output));
    let text = ask(rig, &["audit", "export", "--after", &after.to_string()]);
    let entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let word = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    entries
        .filter(|entry| word(entry, "action").ends_with("looked up"))
        .inspect(|entry| assert!(word(entry, "actor").contains("uid"), "{entry}"))
        .map(|entry| (word(&entry, "action"), word(&entry, "object")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_a_patient_by_an_identifier_stands_in_the_log_by_whichever_command() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    send(&rig, &[people::hour("A", 1, DAY, 100)]).await;
    settled(&rig).await;
    let known = format!("urn:oid:1.2.3|{}", people::person(1).mrn);
    let unknown = "urn:oid:1.2.3|NOBODY-17";
    let cases: [(&str, &[&str]); 6] = [
        ("patient looked up", &["queue", "list"]),
        ("patient looked up", &["legal-hold", "add", "--reason", "case 1"]),
        ("consent looked up", &["consent", "list"]),
        (
            "patient looked up",
            &["consent", "grant", "--purpose", "upstream", "--by", "Ward 4", "--reason", "asked"],
        ),
        (
            "patient looked up",
            &["consent", "withdraw", "--purpose", "upstream", "--by", "Ward 4", "--reason", "asked"],
        ),
        ("patient looked up", &["intent", "goal", "--by", "Ward 4", "--time-in-range", "70"]),
    ];
    for (action, words) in cases {
        for (whom, object) in [(known.as_str(), "patient 1"), (unknown, "nobody known")] {
            let after = json(&rig, &["audit", "verify"])["entries"].as_i64().unwrap();
            let found = asked_for(&rig, &[words, &["--patient", whom]].concat(), after);
            assert_eq!(found, [(action.to_owned(), object.to_owned())], "{words:?}");
        }
    }
    let all = ask(&rig, &["audit", "export"]);
    assert!(!all.contains("NOBODY-17") && !all.contains(&people::person(1).mrn), "{all}");
}
