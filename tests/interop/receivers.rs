//! `isthmus send` to others: every message is acknowledged, and what they read is what was sent.

use std::{
    fs,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{
    peers::{Kind, Peers},
    site,
};

/// Messages that are sent.
const COUNT: usize = 12;

/// With letters of several bytes, escapes, repetitions, empty fields at the end and a long line.
fn message(n: usize) -> String {
    let long = "a long note, ".repeat(n * 40);
    format!(
        "MSH|^~\\&|ISTHMUS|NORTH|PEER|NORTH|20260302120000||ORU^R01^ORU_R01|R{n}|P|2.5.1||||||UNICODE UTF-8\r\
         PID|1||7700001^^^NORTH^MR~9^^^SSA^SS||Größe^日本||19310709|M\r\
         OBR|1|||99504-3^Glucose^LN\r\
         OBX|1|TX|1^Note^L||5 \\T\\ 6 \\F\\ \\E\\ {long}||||||F\r"
    )
}

/// Sends to the receiver of a script. What each told of what it received must be the message, from its first byte to
/// its last segment: one of them leaves the last CR out. `closes`: it closes after each answer, so that the next
/// message may meet a connection that is about to end, and is sent again.
fn receives(kind: Kind, script: &str, closes: bool) {
    let Some(peers) = Peers::of(kind) else { return };
    let receiver = peers.serve(script);
    let dir = tempfile::tempdir().unwrap();
    let messages: Vec<String> = (0..COUNT).map(message).collect();
    fs::write(dir.path().join("all.hl7"), messages.concat()).unwrap();
    let sent = Command::new(site::binary())
        .current_dir(dir.path())
        .args([
            "send",
            "--to",
            &format!("127.0.0.1:{}", receiver.port),
            "--timeout",
            "20s",
            "--json",
            "all.hl7",
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8(sent.stdout).unwrap();
    assert!(sent.status.success(), "{script}: {told}");
    let summary: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    let [count, resent] = [&summary["aa"], &summary["resent"]].map(|number| number.as_u64().unwrap());
    assert!(count == COUNT as u64 && (closes || resent == 0), "{script}: {summary:#}");
    let received = receiver.stop();
    let received: Vec<&str> =
        received.iter().map(|line| line["received"].as_str().unwrap_or_else(|| panic!("{line}"))).collect();
    assert_eq!(received.len(), COUNT, "{script}");
    for (received, sent) in received.iter().zip(&messages) {
        assert_eq!(received.trim_end_matches('\r'), sent.trim_end_matches('\r'), "{script}");
    }
    println!("{script}: {COUNT} messages acknowledged, and received byte for byte");
}

#[test]
fn pypi_hl7_receives_what_we_send() {
    receives(Kind::Python, "serve_hl7.py", false);
}

#[test]
fn pypi_hl7apy_receives_what_we_send_although_it_closes_after_each_answer() {
    receives(Kind::Python, "serve_hl7apy.py", true);
}

#[test]
fn npm_simple_hl7_receives_what_we_send() {
    receives(Kind::Node, "serve_simple_hl7.mjs", false);
}
