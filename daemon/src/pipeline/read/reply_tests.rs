use bytes::Bytes;
use mllp::Answer;
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
        inbox_id: 1,
        stage: "normalize".to_owned(),
        place: place.to_owned(),
        reason: "the unit is not known".to_owned(),
        at: NOW,
    }
}

fn unidentified() -> IdentityEntry {
    IdentityEntry { inbox_id: 1, reason: "PID-3 names nobody".to_owned(), at: NOW }
}

/// The answer to a message with this MSH-16 that left these entries.
fn answered(
    asked: &str,
    quarantine: Vec<QuarantineEntry>,
    identity: Vec<IdentityEntry>,
) -> Option<(Answer, String)> {
    // What another message left before it is not its own.
    let mut batch =
        Batch { quarantine: vec![quarantined(NO_SITE)], identity: vec![unidentified()], ..Batch::default() };
    let before = Mark::of(&batch);
    batch.quarantine.extend(quarantine);
    batch.identity.extend(identity);
    add(&message(7, asked), "mllp:back", before, NOW, &mut batch);
    let reply = batch.replies.pop()?;
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
        ("XX", false, false),
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
fn one_message_has_one_key_and_a_refused_one_no_answer() {
    let mut batch = Batch::default();
    for id in [7, 7, 8] {
        let before = Mark::of(&batch);
        add(&message(id, "AL"), "mllp:back", before, NOW, &mut batch);
    }
    let keys: Vec<_> = batch.replies.iter().map(|reply| reply.key).collect();
    assert!(keys[0] == keys[1] && keys[1] != keys[2]);
    assert_eq!(batch.replies[0].kind, "application-ack engine");
    let before = Mark::of(&batch);
    add(&Message { refused: true, ..message(9, "AL") }, "mllp:back", before, NOW, &mut batch);
    assert_eq!(batch.replies.len(), 3);
}
