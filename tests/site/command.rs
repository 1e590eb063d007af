//! Commands beside the daemon, as a person types them.

use std::process::{Command, Output};

use serde_json::Value;
use standin::rig::Rig;

/// Runs `isthmus` with these words and the rig's configuration.
pub fn isthmus(rig: &Rig, words: &[&str]) -> Output {
    Command::new(super::binary()).args(words).arg("--config").arg(rig.config()).output().unwrap()
}

/// What it printed, on both streams.
pub fn said(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap()
}

/// [`isthmus`], which must end well; what it printed.
pub fn ask(rig: &Rig, words: &[&str]) -> String {
    let output = isthmus(rig, words);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {}", said(&output));
    said(&output)
}

/// [`ask`] with `--json`.
pub fn json(rig: &Rig, words: &[&str]) -> Value {
    serde_json::from_str(&ask(rig, &[words, &["--json"]].concat())).unwrap()
}

/// [`json`] while the test's own servers go on answering.
pub async fn asked(rig: &Rig, words: &[&str]) -> Value {
    let mut command = tokio::process::Command::new(super::binary());
    command.args(words).arg("--json").arg("--config").arg(rig.config());
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{words:?}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// [`isthmus`], which must not be able to do it; why.
pub fn refused(rig: &Rig, words: &[&str]) -> String {
    let output = isthmus(rig, words);
    assert_eq!(output.status.code(), Some(1), "{words:?}: {}", said(&output));
    said(&output)
}
