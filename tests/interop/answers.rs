//! What the daemon answers, judged by PyPI hl7 and by hl7apy in its strict mode.

use serde_json::{Value, json};

use super::{
    daemon,
    peers::{Kind, Peers},
    site::{people, wire::Wire},
};

/// Versions that hl7apy has tables of, and in which it knows an ACK. Of 2.1 and 2.2 it knows none.
const VERSIONS: [&str; 10] = ["2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8", "2.8.1", "2.8.2"];

/// A message of this version: what is sent, and the control id that must come back.
fn messages(version: &str) -> Vec<(&'static str, String, &'static str)> {
    let sound = String::from_utf8(people::hour("SOUND", 1, "2026-03-02", 100)).unwrap();
    let sound = sound.replace("|2.5.1", &format!("|{version}"));
    let custom = |c: char| ['$', '@', '!', '%', '*'].get("|^~\\&".find(c).unwrap_or(9)).copied().unwrap_or(c);
    let with_custom_delimiters = sound.replace("SOUND", "OTHERS").chars().map(custom).collect();
    let asking =
        sound.replace("SOUND", "ASKS").replacen(&format!("|{version}|||"), &format!("|{version}|||AL|NE"), 1);
    let mut messages = vec![
        ("accepted", sound.clone(), "SOUND"),
        ("accepted again", sound.clone(), "SOUND"),
        ("no control id", sound.replace("|SOUND|", "||"), ""),
        ("no type", sound.replace("ORU^R01^ORU_R01", ""), "SOUND"),
        ("test traffic", sound.replace("|SOUND|P|", "|TEST|T|"), "TEST"),
        ("too long", format!("{}{}", sound.replace("SOUND", "LONG"), "x".repeat(9_000)), "LONG"),
        ("custom delimiters", with_custom_delimiters, "OTHERS"),
        ("enhanced mode", asking, "ASKS"),
    ];
    // Without a readable version the answer is one of 2.5.1.
    if version == "2.5.1" {
        messages.push(("garbage", "this is no HL7".to_owned(), ""));
        messages.push(("bad delimiters", sound.replace("MSH|^~\\&|", "MSH|^^^^|"), "SOUND"));
    }
    messages
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_answer_in_every_version_is_sound_to_pypi_hl7_and_hl7apy() {
    let Some(peers) = Peers::of(Kind::Python) else { return };
    let dir = tempfile::tempdir().unwrap();
    let rig = daemon(dir.path(), "max_frame_bytes = 8192\n").await;
    let (mut cases, mut answers) = (Vec::new(), String::new());
    for version in VERSIONS {
        for (what, message, control_id) in messages(version) {
            let answer = Wire::open(rig.mllp()).await.exchange(message.as_bytes()).await;
            answers.push_str(&format!("{}\n", json!(answer)));
            cases.push((version, what, control_id, answer));
        }
    }
    let judged =
        tokio::task::spawn_blocking(move || peers.run("judge_answers.py", &[], &answers)).await.unwrap();
    assert_eq!(judged.len(), cases.len());
    for ((version, what, control_id, answer), judged) in cases.iter().zip(&judged) {
        let case = format!("{version}, {what}: {answer:?}\n{judged:#}");
        let by_hl7 = &judged["hl7"];
        assert_eq!(
            (&by_hl7["control_id"], &by_hl7["version"]),
            (&json!(control_id), &json!(version)),
            "{case}"
        );
        let code = by_hl7["code"].as_str().unwrap();
        let expected = match *what {
            "accepted" | "accepted again" | "custom delimiters" => &["AA"][..],
            "enhanced mode" => &["AA", "CA"],
            // Refused unless the listener takes test traffic.
            "test traffic" => &["AA", "AR"],
            _ => &["AE", "AR"],
        };
        assert!(expected.contains(&code), "{case}");
        places_of_the_fault(version, code, &by_hl7["err"], &case);
        // What the message did not name cannot be given back: MSA-2, and the event in MSH-9.2, which is required as of
        // 2.6. That alone is no fault of the answer.
        if ["no control id", "garbage"].contains(what) || *what == "no type" && *version >= "2.6" {
            continue;
        }
        let segments = if is_positive(code) { json!(["MSH", "MSA"]) } else { json!(["MSH", "MSA", "ERR"]) };
        let seen = json!({ "name": "ACK", "segments": segments, "code": code, "control_id": control_id });
        assert_eq!((&judged["strict"], &judged["tolerant"]), (&seen, &seen), "{case}");
    }
    println!("{} answers in {} versions judged by PyPI hl7 and hl7apy", cases.len(), VERSIONS.len());
}

fn is_positive(code: &str) -> bool {
    ["AA", "CA"].contains(&code)
}

/// The condition is in ERR-3 as of 2.5, before it in ERR-1.4; a positive answer has no ERR.
fn places_of_the_fault(version: &str, code: &str, err: &Value, case: &str) {
    let field = |n: usize| err[n].as_str().unwrap_or_default();
    if is_positive(code) {
        assert_eq!(err, &json!([]), "{case}");
    } else if version < "2.5" {
        let condition = field(1).split('^').nth(3).unwrap_or_default();
        assert!(condition.ends_with("&HL70357"), "ERR-1.4 is {condition:?}: {case}");
    } else {
        assert!(field(3).ends_with("^HL70357") && field(4) == "E" && !field(8).is_empty(), "{case}");
    }
}
