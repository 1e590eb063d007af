use bytes::Bytes;
use mllp::{AckCode, Answer};
use outbox::{IdentityEntry, QuarantineEntry};

use super::*;

const NOW: i64 = 1_772_323_200_123;

fn message(id: i64, asked: &str) -> Message {
    let body =
        format!("MSH|^~\\&|LAB|N|ISTHMUS|S|20260301||ORU^R01|C{id}|P|2.5.1|||AL|{asked}\rPID|1||7^^^N^MR\r");
    Message {
        id,
        received_at: NOW - 5_000,
        source: "engine".into(),
        site: "main".into(),
        handler: "results".into(),
        kind: "ORU^R01".into(),
        control_id: format!("C{id}").into(),
        hash: [0; 32],
        refused: false,
        control_id_reused: false,
        body: Bytes::from(body),
    }
}

fn quarantined(place: &str) -> QuarantineEntry {
    QuarantineEntry {
        inbox_id: 7,
        stage: "normalize".to_owned(),
        place: place.to_owned(),
        reason: "the unit is not known".to_owned(),
        at: NOW,
    }
}

fn unidentified() -> IdentityEntry {
    IdentityEntry { inbox_id: 7, reason: "the birth date contradicts what is known".to_owned(), at: NOW }
}

/// The answers to these messages where they left these entries, as [`all`] makes them.
fn answers(
    messages: &[Message],
    quarantine: Vec<QuarantineEntry>,
    identity: Vec<IdentityEntry>,
) -> Vec<NewMessage> {
    let due = messages.iter().filter_map(|message| Due::of(message, "mllp:back")).collect();
    // What another message left is not its own.
    let mut batch = Batch {
        due,
        quarantine: vec![QuarantineEntry { inbox_id: 1, ..quarantined(NO_SITE) }],
        identity: vec![IdentityEntry { inbox_id: 1, ..unidentified() }],
        ..Batch::default()
    };
    batch.quarantine.extend(quarantine);
    batch.identity.extend(identity);
    all(&batch, NOW)
}

/// The answer to a message with this MSH-16 that left these entries.
fn answered(
    asked: &str,
    quarantine: Vec<QuarantineEntry>,
    identity: Vec<IdentityEntry>,
) -> Option<(Answer, String)> {
    let reply = answers(&[message(7, asked)], quarantine, identity).pop()?;
    let raw = Bytes::from(reply.body);
    Some((Answer::parse(&raw).unwrap(), String::from_utf8(raw.to_vec()).unwrap()))
}

#[test]
fn msh_16_decides_whether_there_is_an_answer() {
    for (asked, to_good, to_bad) in [
        ("AL", true, true),
        ("ER", false, true),
        ("SU", true, false),
        ("NE", false, false),
        ("", false, false),
        // As at intake: what is not in table 0155 is taken for AL.
        ("XX", true, true),
        ("er", false, true),
    ] {
        let to = |quarantine| answered(asked, quarantine, Vec::new()).is_some();
        assert_eq!((to(Vec::new()), to(vec![quarantined("OBX 1")])), (to_good, to_bad), "{asked}");
    }
}

#[test]
fn what_became_of_the_message_is_its_code() {
    let code = |quarantine, identity| answered("AL", quarantine, identity).unwrap().0.code;
    assert_eq!(code(Vec::new(), Vec::new()), AckCode::AA);
    assert_eq!(code(vec![quarantined("OBX 1")], Vec::new()), AckCode::AE);
    assert_eq!(code(Vec::new(), vec![unidentified()]), AckCode::AE);
    assert_eq!(code(vec![quarantined(NO_SITE)], Vec::new()), AckCode::AR);
}

#[test]
fn the_answer_is_a_message_of_its_own_that_names_the_one_it_answers() {
    let faults = vec![quarantined("OBX (segment 4), field 6"), quarantined("OBX (segment 5), field 6")];
    let (answer, text) = answered("AL", faults, Vec::new()).unwrap();
    assert_eq!(&answer.control_id[..], b"C7");
    let told = answer.error_text.unwrap();
    assert_eq!(told, "OBX (segment 4), field 6: the unit is not known (and 1 more)");
    let envelope = Envelope::scan(&Bytes::from(text)).unwrap();
    assert_eq!(envelope.control_id(), b"A7.69a3817b");
    assert!(envelope.control_id().len() <= 20);
    // From us to whom it came from, and asking for no answer of either kind.
    assert_eq!(
        (envelope.sending_application(), envelope.receiving_application()),
        (&b"ISTHMUS"[..], &b"LAB"[..])
    );
    assert_eq!((envelope.accept_ack(), envelope.application_ack()), (&b""[..], &b""[..]));
}

#[test]
fn a_fault_is_told_with_its_place_in_whichever_segment_and_group_it_is() {
    let body = "MSH|^~\\&|LAB|N|ISTHMUS|S|20260301||ORU^R01|C7|P|2.5.1|||AL|AL\r\nPID|1||7^^^N^MR\rOBX|1\r\rPID|2||X\r\
                OBX|1\rOBX|2\r";
    let message = Message { body: body.into(), ..message(7, "AL") };
    let refused = |place: &str| QuarantineEntry { stage: "identify".to_owned(), ..quarantined(place) };
    let pid = |ordinal, field| Some(Place { segment: "PID", ordinal, field });
    let unidentified = || vec![unidentified()];
    for (quarantine, identity, unseated, place, code) in [
        (vec![], unidentified(), pid(4, 3), "PID^2^3", "204"),
        (vec![], unidentified(), pid(4, 7), "PID^2^7", "204"),
        (vec![], unidentified(), pid(2, 3), "PID^1^3", "204"),
        // Results before any PID.
        (vec![], unidentified(), None, "", "204"),
        (vec![refused("PID (segment 4), field 7")], vec![], None, "PID^2^7", "204"),
        // The quarantine is told before the identity queue.
        (vec![quarantined("OBX (segment 6), field 6")], unidentified(), pid(4, 3), "OBX^3^6", "102"),
        (vec![quarantined("OBX (segment 3)")], vec![], None, "OBX^1", "102"),
        (vec![quarantined("MSH, field 18")], vec![], None, "", "102"),
    ] {
        let due = Due::of(&message, "mllp:back").into_iter().collect();
        let unseated = unseated.map(|place| (7, place)).into_iter().collect();
        let batch = Batch { due, quarantine, identity, unseated, ..Batch::default() };
        let text = String::from_utf8(all(&batch, NOW).remove(0).body).unwrap();
        assert!(text.contains(&format!("\rERR||{place}|{code}^")), "{place}: {text}");
    }
}

#[test]
fn one_message_has_one_key_and_a_refused_one_or_an_answer_has_no_answer() {
    let replies = answers(&[message(7, "AL"), message(7, "AL"), message(8, "AL")], Vec::new(), Vec::new());
    let keys: Vec<_> = replies.iter().map(|reply| reply.key).collect();
    assert!(keys.len() == 3 && keys[0] == keys[1] && keys[1] != keys[2]);
    assert_eq!(replies[0].kind, "application-ack engine");
    let refused = Message { refused: true, ..message(9, "AL") };
    let body = String::from_utf8(message(9, "AL").body.to_vec()).unwrap();
    let acknowledgement = Message { body: body.replace("ORU^R01", "ACK^R01").into(), ..message(9, "AL") };
    assert!(answers(&[refused, acknowledgement], Vec::new(), Vec::new()).is_empty());
}
