//! More listeners beside the one of the rig, and messages whose MSH says other things.

use serde_json::Value;
use standin::rig::Rig;

/// Adds a `[[mllp]]` of this name on a port of its own, with more lines.
pub fn add(rig: &Rig, name: &str, lines: &str) {
    super::append(rig, &super::listener(name, &format!("plain = true\n{lines}")));
}

/// What the status says of the listener of this name.
pub fn told<'a>(status: &'a Value, name: &str) -> &'a Value {
    let listeners = status["listeners"].as_array().unwrap();
    listeners.iter().find(|listener| listener["name"] == name).unwrap()
}

/// The message with these fields of MSH replaced, by number.
pub fn with_msh(message: &[u8], fields: &[(usize, &str)]) -> Vec<u8> {
    let text = String::from_utf8(message.to_vec()).unwrap();
    let (msh, rest) = text.split_once('\r').unwrap();
    let mut msh: Vec<&str> = msh.split('|').collect();
    for (number, value) in fields {
        msh.resize(msh.len().max(*number), "");
        msh[number - 1] = value;
    }
    format!("{}\r{rest}", msh.join("|")).into_bytes()
}
