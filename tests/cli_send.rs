//! `isthmus send` as its user meets it: against the real daemon, and against receivers that misbehave.

#![allow(clippy::unwrap_used, reason = "what surprises a test fails it, in its own functions too")]

mod site;

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Output, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::Value;
use standin::{Pki, rig::RigSettings};

/// Two messages as an engine's log shows them: LF, a blank line between.
const TWO: &str = "MSH|^~\\&|ENG|N|ISTHMUS|N|20260301120000||ORU^R01|M1|P|2.5.1\nPID|1||1^^^NORTH^MR\n\n\
    MSH|^~\\&|ENG|N|ISTHMUS|N|20260301120001||ORU^R01|M2|P|2.5.1\nPID|1||2^^^NORTH^MR\n";

fn send(to: SocketAddr, dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_isthmus"))
        .current_dir(dir)
        .args(["send", "--to", &to.to_string()])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The lines of `--json`: messages by control id, and the summary.
fn objects(output: &Output) -> (Vec<Value>, Value) {
    let mut all: Vec<Value> = out(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = all.pop().unwrap();
    assert_eq!(summary["kind"], "summary");
    all.sort_by_key(|object| object["control_id"].to_string());
    (all, summary)
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("two.hl7"), TWO).unwrap();
    dir
}

/// Reads one frame; `None` where the connection ends first.
fn frame(stream: &mut impl Read) -> Option<Vec<u8>> {
    let (mut payload, mut byte) = (Vec::new(), [0]);
    loop {
        stream.read_exact(&mut byte).ok()?;
        payload.push(byte[0]);
        if payload.ends_with(b"\x1c\r") {
            return Some(payload[1..payload.len() - 2].to_vec());
        }
    }
}

fn control_id(message: &[u8]) -> String {
    String::from_utf8_lossy(message).split('|').nth(9).unwrap().to_owned()
}

fn answer(stream: &mut impl Write, code: &str, id: &str, text: &str) {
    let ack = format!("\x0bMSH|^~\\&|||||||ACK|9|P|2.5.1\rMSA|{code}|{id}|{text}\r\x1c\r");
    stream.write_all(ack.as_bytes()).unwrap();
}

/// A receiver that plays `script` over its connections, one after the other, and gives what they returned.
fn receiver<T: Send + 'static>(
    connections: usize,
    script: impl Fn(usize, &mut TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<Vec<T>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let play = move |number| {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        script(number, &mut stream)
    };
    (address, thread::spawn(move || (0..connections).map(play).collect()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_accepts_files_folders_and_standard_input() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), RigSettings::default()).await;
    rig.start().await.unwrap();
    let files = folder();
    fs::create_dir(files.path().join("more")).unwrap();
    fs::write(files.path().join("more/a.hl7"), TWO.replace("|M", "|A")).unwrap();

    let output = send(rig.mllp(), files.path(), &["two.hl7", "more"]);
    let text = out(&output);
    assert!(output.status.success(), "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[..4],
        ["AA  M1  two.hl7:1", "AA  M2  two.hl7:4", "AA  A1  more/a.hl7:1", "AA  A2  more/a.hl7:4"]
    );
    assert!(
        lines[4].starts_with("4 sent in ") && lines[4].contains(": 4 accepted (AA), 0 in error"),
        "{text}"
    );

    let mut piped = Command::new(env!("CARGO_BIN_EXE_isthmus"))
        .args([
            "send",
            "--to",
            &rig.mllp().to_string(),
            "--json",
            "--connections",
            "2",
            "--rate",
            "500/s",
            "-",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    piped.stdin.take().unwrap().write_all(TWO.replace("|M", "|S").as_bytes()).unwrap();
    let output = piped.wait_with_output().unwrap();
    let (messages, summary) = objects(&output);
    assert!(output.status.success());
    assert_eq!(
        (&messages[0]["control_id"], &messages[0]["file"]),
        (&Value::from("S1"), &Value::from("stdin"))
    );
    assert_eq!((&summary["sent"], &summary["aa"], &summary["no_answer"]), (&2.into(), &2.into(), &0.into()));
    let status = rig.status().await.unwrap();
    assert_eq!(status["inbox"]["total"], 6, "{status:#}");
}

#[test]
fn a_refusal_is_printed_with_its_words_and_ends_with_1() {
    let (to, peer) = receiver(1, |_, stream| {
        for (code, text) in [("AE", "no such \\T\\ patient"), ("AR", "")] {
            let id = control_id(&frame(stream).unwrap());
            answer(stream, code, &id, text);
        }
    });
    let output = send(to, folder().path(), &["two.hl7"]);
    peer.join().unwrap();
    let text = out(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.starts_with("AE  M1  two.hl7:1  no such & patient\nAR  M2  two.hl7:4\n2 sent"), "{text}");
    assert!(text.contains("0 accepted (AA), 1 in error (AE), 1 rejected (AR), 0 without"), "{text}");
}

#[test]
fn with_on_error_stop_nothing_is_sent_after_the_first_that_is_not_accepted() {
    let (to, peer) = receiver(1, |_, stream| {
        let id = control_id(&frame(stream).unwrap());
        answer(stream, "AE", &id, "no");
        frame(stream)
    });
    let output = send(to, folder().path(), &["--on-error", "stop", "two.hl7"]);
    assert_eq!(peer.join().unwrap(), [None]);
    let text = out(&output);
    assert_eq!((output.status.code(), text.lines().count()), (Some(1), 2), "{text}");
    assert!(text.starts_with("AE  M1  two.hl7:1  no\n1 sent in ") && text.contains(", 1 not sent"), "{text}");
    assert!(
        text.trim_end().ends_with("stopped at the first message that was not accepted, and read no further")
    );
}

#[test]
fn answers_to_something_else_are_counted_and_how_long_answers_took_is_told() {
    let (to, peer) = receiver(1, |_, stream| {
        for _ in 0..2 {
            let id = control_id(&frame(stream).unwrap());
            answer(stream, "AE", "OTHER", "");
            answer(stream, "AA", &id, "");
        }
    });
    let output = send(to, folder().path(), &["--json", "two.hl7"]);
    peer.join().unwrap();
    let (_, summary) = objects(&output);
    assert!(output.status.success(), "{}", out(&output));
    assert_eq!((&summary["aa"], &summary["stray_answers"]), (&2.into(), &2.into()));
    let (p50, p99) = (summary["p50_ms"].as_f64().unwrap(), summary["p99_ms"].as_f64().unwrap());
    assert!(0.0 < p50 && p50 <= p99 && p99 < 20_000.0, "{summary}");
}

#[test]
fn an_accept_answer_is_enough_unless_the_application_s_own_is_awaited() {
    for (args, code) in [(&["two.hl7"][..], "CA"), (&["--await-application", "two.hl7"], "AA")] {
        let (to, peer) = receiver(1, |_, stream| {
            for _ in 0..2 {
                let id = control_id(&frame(stream).unwrap());
                answer(stream, "CA", &id, "");
                answer(stream, "AA", &id, "");
            }
        });
        let output = send(to, folder().path(), args);
        peer.join().unwrap();
        assert!(out(&output).starts_with(&format!("{code}  M1  ")), "{}", out(&output));
    }
}

#[test]
fn without_an_answer_the_same_message_is_sent_again_on_a_new_connection() {
    let (to, peer) = receiver(2, |number, stream| {
        let first = frame(stream).unwrap();
        if number == 0 {
            // Silent: the sender gives up and closes.
            assert_eq!(frame(stream), None);
            return vec![first];
        }
        answer(stream, "AA", &control_id(&first), "");
        let second = frame(stream).unwrap();
        answer(stream, "AA", &control_id(&second), "");
        vec![first, second]
    });
    let output = send(to, folder().path(), &["--timeout", "300ms", "--json", "two.hl7"]);
    let received = peer.join().unwrap();
    let (messages, summary) = objects(&output);
    assert!(output.status.success(), "{}", out(&output));
    assert_eq!(received[0][0], received[1][0]);
    assert_eq!((control_id(&received[1][0]), control_id(&received[1][1])), ("M1".into(), "M2".into()));
    assert_eq!((&messages[0]["attempts"], &messages[1]["attempts"]), (&2.into(), &1.into()));
    assert_eq!((&summary["resent"], &summary["aa"]), (&1.into(), &2.into()));
}

#[test]
fn a_receiver_that_closes_after_each_answer_gets_every_message_once() {
    let (to, peer) = receiver(2, |_, stream| {
        let id = control_id(&frame(stream).unwrap());
        answer(stream, "AA", &id, "");
        id
    });
    let output = send(to, folder().path(), &["two.hl7"]);
    assert!(output.status.success(), "{}", out(&output));
    assert_eq!(peer.join().unwrap(), ["M1", "M2"]);
}

#[test]
fn the_number_of_resends_is_bounded() {
    let (to, peer) = receiver(2, |_, stream| control_id(&frame(stream).unwrap()));
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("one.hl7"), TWO.split("\n\n").next().unwrap()).unwrap();
    let output = send(to, dir.path(), &["--resends", "1", "--timeout", "5s", "one.hl7"]);
    assert_eq!(peer.join().unwrap(), ["M1", "M1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).starts_with("--  M1  one.hl7:1  (2 attempts)  no answer: "), "{}", out(&output));
}

#[test]
fn where_nobody_listens_the_rest_is_not_tried() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = send(gone, folder().path(), &["--resends", "0", "--json", "two.hl7"]);
    let (messages, summary) = objects(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(messages[0]["text"].as_str().unwrap().contains("refused"), "{messages:?}");
    assert_eq!(messages[1]["attempts"], 0);
    assert_eq!((&summary["sent"], &summary["not_sent"]), (&0.into(), &2.into()));
}

#[test]
fn terminators_become_cr_unless_the_bytes_are_to_stay() {
    for as_is in [false, true] {
        let (to, peer) = receiver(1, |_, stream| {
            let mut read = || {
                let message = frame(stream).unwrap();
                answer(stream, "AA", &control_id(&message), "");
                String::from_utf8(message).unwrap()
            };
            [read(), read()]
        });
        let args: &[&str] = if as_is { &["--as-is", "two.hl7"] } else { &["two.hl7"] };
        assert!(send(to, folder().path(), args).status.success());
        let [first, second] = peer.join().unwrap().remove(0);
        if as_is {
            assert_eq!(first + &second, TWO);
        } else {
            assert!(first.ends_with("\rPID|1||1^^^NORTH^MR\r") && !first.contains('\n'), "{first:?}");
            assert!(second.ends_with("\rPID|1||2^^^NORTH^MR\r"), "{second:?}");
        }
    }
}

/// A batch as an upload has it: LF, and a count that is right.
fn batch() -> String {
    format!("FHS|^~\\&|ENG|N|ISTHMUS|N|20260301||||F1\nBHS|^~\\&|ENG|N|ISTHMUS|N|20260301||||B1\n{TWO}BTS|2\nFTS|1\n")
        .replace("\n\n", "\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn as_it_is_a_batch_file_is_one_frame_of_its_own_bytes_with_one_answer() {
    let files = folder();
    fs::write(files.path().join("batch.hl7"), batch()).unwrap();
    let (to, peer) = receiver(1, |_, stream| {
        let heard = frame(stream).unwrap();
        // The second belongs to the next message, and there is none.
        answer(stream, "AA", "F1", "");
        (heard, frame(stream))
    });
    let output = send(to, files.path(), &["--as-is", "batch.hl7"]);
    assert!(output.status.success(), "{output:?}");
    assert!(out(&output).starts_with("AA  F1  batch.hl7:1\n1 sent in "), "{}", out(&output));
    assert_eq!(peer.join().unwrap().remove(0), (batch().into_bytes(), None));

    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), RigSettings::default()).await;
    rig.start().await.unwrap();
    let output = send(rig.mllp(), files.path(), &["--as-is", "--json", "batch.hl7"]);
    let (messages, summary) = objects(&output);
    assert_eq!(
        (&messages[0]["control_id"], &messages[0]["code"]),
        (&"F1".into(), &"AA".into()),
        "{output:?}"
    );
    assert_eq!((&summary["sent"], &summary["aa"]), (&1.into(), &1.into()));
    let listener = rig.status().await.unwrap()["listeners"][0].clone();
    assert_eq!((&listener["batches"], &listener["messages"]), (&1.into(), &2.into()), "{listener:#}");
    // Without it each message goes by itself; both are known by now.
    let output = send(rig.mllp(), files.path(), &["batch.hl7"]);
    assert!(out(&output).starts_with("AA  M1  batch.hl7:3\nAA  M2  batch.hl7:5\n"), "{}", out(&output));
}

#[test]
fn what_is_no_message_is_told_with_file_and_line() {
    let (to, peer) = receiver(1, |_, stream| {
        for _ in 0..2 {
            let id = control_id(&frame(stream).unwrap());
            answer(stream, "AA", &id, "");
        }
    });
    let dir = folder();
    fs::write(dir.path().join("note.txt"), "\nhello\n").unwrap();
    let output = send(to, dir.path(), &["note.txt", "absent.hl7", "two.hl7"]);
    peer.join().unwrap();
    let complaints = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(complaints.starts_with("note.txt:2: no HL7 v2 message; "), "{complaints}");
    assert!(complaints.contains("absent.hl7: No such file"), "{complaints}");
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).contains("2 accepted (AA)") && out(&output).contains("2 without a message (files)"));
}

#[test]
fn over_tls_the_receiver_is_checked_and_may_ask_for_a_certificate() {
    let dir = folder();
    let pki = Pki::create(dir.path()).unwrap();
    let other = tempfile::tempdir().unwrap();
    let foreign = Pki::create(other.path()).unwrap();
    let config = isthmus::tls::server_config(&isthmus::config::ServerTls {
        cert: pki.server.cert.clone(),
        key: pki.server.key.clone(),
        client_auth: Some(isthmus::config::ClientAuth {
            ca: pki.ca.clone(),
            required: true,
            crl: Vec::new(),
            refuse_expired_crl: false,
        }),
    });
    let config = std::sync::Arc::new(config.unwrap());
    let (to, peer) = receiver(3, move |_, stream| {
        let mut session = rustls::ServerConnection::new(config.clone()).unwrap();
        let mut tls = rustls::Stream::new(&mut session, stream);
        let mut answered = 0;
        while let Some(message) = frame(&mut tls) {
            answer(&mut tls, "AA", &control_id(&message), "");
            answered += 1;
        }
        answered
    });
    let shown = ["--cert", "client.pem", "--key", "client.key"];
    let output = send(to, dir.path(), &[&["--tls", "--ca", "ca.pem", "two.hl7"][..], &shown].concat());
    assert!(output.status.success(), "{}", out(&output));
    let distrusted = foreign.ca.to_str().unwrap();
    let args = ["--resends", "0", "--tls", "--ca", distrusted, "two.hl7"];
    assert_eq!(send(to, dir.path(), &[&args[..], &shown].concat()).status.code(), Some(1));
    let args = ["--resends", "0", "--tls", "--ca", "ca.pem", "two.hl7"];
    assert_eq!(send(to, dir.path(), &args).status.code(), Some(1));
    assert_eq!(peer.join().unwrap(), [2, 0, 0]);
}

#[test]
fn wrong_usage_ends_with_2() {
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let dir = folder();
    for args in [
        &[][..],
        &["--tls", "two.hl7"],
        &["--cert", "x", "two.hl7"],
        &["--rate", "0", "two.hl7"],
        &["--connections", "0", "two.hl7"],
        &["--resends", "101", "two.hl7"],
        &["--timeout", "30", "two.hl7"],
    ] {
        assert_eq!(send(nowhere, dir.path(), args).status.code(), Some(2), "{args:?}");
    }
}
