//! Others send, the daemon receives: every message gets AA under its own control id and is stored once.

use serde_json::{Value, json};

use super::{
    daemon,
    peers::{Kind, Peers},
    site,
};

/// Messages of each kind that a peer sends.
const EACH: u64 = 10;

/// Runs the script, and holds what it was answered, by kind, against the ids it sent. `kinds`: the name of a kind
/// with the first letter of its ids.
async fn sends(kind: Kind, script: &str, kinds: &[(&str, &str)]) {
    let Some(peers) = Peers::of(kind) else { return };
    let dir = tempfile::tempdir().unwrap();
    let rig = daemon(dir.path(), "").await;
    let args = [rig.mllp().port().to_string(), EACH.to_string()];
    let name = script.to_owned();
    let told = tokio::task::spawn_blocking(move || peers.run(&name, &args, "")).await.unwrap();
    assert_eq!(told.len(), 1);
    for (kind, letter) in kinds {
        let expected: Vec<Value> = (0..EACH).map(|n| json!(["AA", format!("{letter}{n}")])).collect();
        assert_eq!(told[0][kind], Value::from(expected), "{script}, {kind}");
    }
    let sent = EACH * kinds.len() as u64;
    let status = site::settled(&rig).await;
    assert_eq!(status["inbox"]["total"], sent, "stored once: {status:#}");
    assert_eq!(status["inbox"]["quarantined"], 0, "and read: {status:#}");
    let metrics = site::metrics(&rig).await;
    for (series, count) in [
        ("isthmus_mllp_frames_total{listener=\"engine\"}", sent as f64),
        ("isthmus_mllp_acks_total{listener=\"engine\",code=\"AA\"}", sent as f64),
        ("isthmus_mllp_duplicates_total{listener=\"engine\"}", 0.0),
        ("isthmus_mllp_framing_faults_total", 0.0),
    ] {
        assert_eq!(site::metric(&metrics, series), count, "{script}, {series}");
    }
    println!("{script}: {sent} messages, each answered AA under its own id and stored once");
}

#[tokio::test(flavor = "multi_thread")]
async fn pypi_hl7_sends_one_by_one_pipelined_and_by_its_command() {
    let kinds = [("blocking", "B"), ("pipelined", "P"), ("command", "C")];
    sends(Kind::Python, "send_hl7.py", &kinds).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pypi_hl7apy_sends_and_takes_our_answers_in_strict_mode() {
    sends(Kind::Python, "send_hl7apy.py", &[("one_by_one", "A"), ("pipelined", "Q")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn npm_simple_hl7_sends_on_one_connection_and_on_many() {
    sends(Kind::Node, "send_simple_hl7.mjs", &[("kept", "K"), ("each", "E")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn npm_node_hl7_client_sends_one_by_one_and_pipelined() {
    sends(Kind::Node, "send_node_hl7_client.mjs", &[("one_by_one", "O"), ("pipelined", "M")]).await;
}
