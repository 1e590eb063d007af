//! Which answer a message gets: as it asks, by what its MSH says, and the same again when it is sent again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::path::Path;

use site::{
    address, chart, daily, edit,
    listeners::{add, told, with_msh},
    people, prepare, settled,
    wire::{Wire, errs, fault, framed, msa},
};
use standin::rig::Rig;

const DAY: &str = "2026-03-02";

fn good(control_id: &str, n: u32) -> Vec<u8> {
    people::hour(control_id, n, DAY, 100)
}

async fn rig_with(dir: &Path, listeners: &[(&str, &str)]) -> Rig {
    let mut rig = prepare(dir, daily()).await;
    for (name, lines) in listeners {
        add(&rig, name, lines);
    }
    rig.start().await.unwrap();
    rig
}

/// The first answer that comes after this message: its own, or that of the one sent behind it, which asks for one
/// whatever the listener's mode.
async fn answered(wire: &mut Wire, message: &[u8]) -> Option<String> {
    let behind = with_msh(&good("BEHIND", 9), &[(15, "AL"), (16, "NE")]);
    wire.raw(&[framed(message), framed(&behind)].concat()).await;
    let first = wire.answer().await.unwrap();
    if msa(&first).1 == "BEHIND" {
        return None;
    }
    assert_eq!(msa(&wire.answer().await.unwrap()).1, "BEHIND", "one answer, and in order");
    Some(first)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_is_answered_as_it_asks_and_kept_whatever_it_asks() {
    let dir = tempfile::tempdir().unwrap();
    let overrides =
        [("original", "acknowledge = \"original\"\n"), ("enhanced", "acknowledge = \"enhanced\"\n")];
    let rig = rig_with(dir.path(), &overrides).await;
    let (none, original, enhanced) = ([""; 2], ["AA", "AR"], ["CA", "CR"]);
    // MSH-15, MSH-16, and the answers to an accepted and to a refused message: as asked, and with the override.
    let table = [
        ("", "", original, enhanced),
        ("AL", "", enhanced, enhanced),
        ("AL", "AL", enhanced, enhanced),
        ("AL", "NE", enhanced, enhanced),
        ("NE", "", none, none),
        ("NE", "NE", none, none),
        ("NE", "AL", none, none),
        ("ER", "", ["", "CR"], ["", "CR"]),
        ("ER", "SU", ["", "CR"], ["", "CR"]),
        ("SU", "", ["CA", ""], ["CA", ""]),
        ("SU", "ER", ["CA", ""], ["CA", ""]),
        ("", "AL", none, enhanced),
        ("", "NE", none, enhanced),
        ("WHAT", "", enhanced, enhanced),
    ];
    let mut wires = Vec::new();
    for name in ["engine", "original", "enhanced"] {
        wires.push((name, Wire::open(address(&rig, name).await).await));
    }
    for (row, (accept, application, as_asked, forced)) in table.into_iter().enumerate() {
        for (name, wire) in &mut wires {
            for (outcome, processing_id) in ["P", "T"].into_iter().enumerate() {
                let expected = match *name {
                    "engine" => as_asked[outcome],
                    "original" => original[outcome],
                    _ => forced[outcome],
                };
                let id = format!("{name}{row}{processing_id}");
                let asks = [(11, processing_id), (15, accept), (16, application)];
                let ack = answered(wire, &with_msh(&good(&id, 1), &asks)).await;
                let said = ack.as_deref().map_or("", |ack| msa(ack).0);
                assert_eq!(said, expected, "{id}: {accept}/{application}: {ack:?}");
                let named = ack.as_deref().map_or(id.as_str(), |ack| msa(ack).1);
                assert_eq!(named, id);
                let err = ack.as_deref().map_or("", fault);
                assert_eq!(err, if said.ends_with('R') { "202" } else { "" }, "{ack:?}");
            }
        }
    }
    let status = settled(&rig).await;
    let rows = table.len() as u64;
    // Each accepted and each refused message, and what was sent behind, once for each listener.
    assert_eq!(status["inbox"]["total"], 3 * (2 * rows + 1), "{status:#}");
    assert_eq!(status["inbox"]["quarantined"], 3 * rows, "{status:#}");
    for (name, unanswered) in [("engine", 2 * 5 + 2 + 2), ("original", 0), ("enhanced", 2 * 3 + 2 + 2)] {
        let listener = told(&status, name);
        assert_eq!(
            (&listener["unanswered"], &listener["refused"]),
            (&unanswered.into(), &rows.into()),
            "{name}"
        );
        assert_eq!(listener["messages"], 4 * rows, "{listener:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_msh_says_decides_between_error_and_reject_with_code_and_place() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig_with(
        dir.path(),
        &[
            ("tests", "processing_id = [\"P\", \"T\"]\nunknown_types = \"keep\"\n"),
            ("debug", "processing_id = \"D\"\n"),
        ],
    )
    .await;
    let mut wire = Wire::open(rig.mllp()).await;
    // Field and value; MSA-1, ERR-3.1 and ERR-2.
    let table: [(usize, &str, &str, &str, &str); 17] = [
        (9, "ABC^R01", "AR", "200", "MSH^1^9^1^1"),
        (9, "ORU^R99^ORU_R01", "AR", "201", "MSH^1^9^1^2"),
        (9, "ADT^R01", "AR", "201", "MSH^1^9^1^2"),
        (9, "ADT^A99", "AR", "201", "MSH^1^9^1^2"),
        (9, "", "AR", "101", "MSH^1^9"),
        (10, "", "AE", "101", "MSH^1^10"),
        (11, "T", "AR", "202", "MSH^1^11^1^1"),
        (11, "", "AR", "202", "MSH^1^11^1^1"),
        (12, "2.10", "AR", "203", "MSH^1^12^1^1"),
        (12, "3.0^USA", "AR", "203", "MSH^1^12^1^1"),
        (18, "UNICODE UTF-16", "AE", "103", "MSH^1^18"),
        (9, "SIU^S12", "AA", "", ""),
        (9, "ZCG^ZZZ", "AA", "", ""),
        (9, "ADT^A08", "AA", "", ""),
        (11, "P^T", "AA", "", ""),
        (12, "", "AA", "", ""),
        (12, "2.9^USA", "AA", "", ""),
    ];
    for (row, (number, value, code, err, place)) in table.into_iter().enumerate() {
        let message = with_msh(&good(&format!("ROW{row}"), 1), &[(number, value)]);
        let ack = wire.exchange(&message).await;
        assert_eq!((msa(&ack).0, fault(&ack)), (code, err), "MSH-{number} {value:?}: {ack:?}");
        assert_eq!(errs(&ack, 2).first().copied().unwrap_or_default(), place, "{ack:?}");
        assert!(value.len() < 4 || number != 9 || err.is_empty() || !ack.contains(value), "{ack:?}");
    }
    // Before v2.5 the place is in ERR-1, without the component.
    let old = with_msh(&good("OLD", 1), &[(11, "T"), (12, "2.3")]);
    let ack = wire.exchange(&old).await;
    assert_eq!(errs(&ack, 1), ["MSH^1^11^202&Unsupported processing id&HL70357"], "{ack:?}");

    let mut tests = Wire::open(address(&rig, "tests").await).await;
    for (fields, code) in [
        ([(11, "T"), (9, "ORU^R01")], "AA"),
        ([(11, "P"), (9, "ABC")], "AA"),
        ([(11, "D"), (9, "ORU^R01")], "AR"),
    ] {
        let ack = tests.exchange(&with_msh(&good(&format!("{fields:?}"), 2), &fields)).await;
        assert_eq!(msa(&ack).0, code, "{fields:?}");
    }
    let mut debug = Wire::open(address(&rig, "debug").await).await;
    assert_eq!(msa(&debug.exchange(&good("PRODUCTION", 3)).await).0, "AR");
    // Two systems that acknowledge each other's acknowledgements never stop.
    let acknowledgement = with_msh(&good("ECHO", 1), &[(9, "ACK^R01^ACK")]);
    assert_eq!(answered(&mut wire, &acknowledgement).await, None);
    let status = settled(&rig).await;
    assert_eq!(status["inbox"]["quarantined"], 11 + 1 + 1 + 1, "each refused one is kept: {status:#}");
    assert_eq!(status["inbox"]["total"], 17 + 1 + 3 + 1 + 2);
    assert_eq!(chart::mean(&rig.ehr, "7700001", DAY).unwrap().value, 100.0);
    assert!(chart::mean(&rig.ehr, "7700003", DAY).is_none(), "refused messages are not read");
    assert_eq!(told(&status, "engine")["naks"], 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_message_sent_again_is_stored_once_and_judged_afresh() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = rig_with(dir.path(), &[]).await;
    let training = with_msh(&good("TRAINING", 1), &[(11, "T")]);
    let mut wire = Wire::open(rig.mllp()).await;
    let refused = wire.exchange(&training).await;
    assert_eq!(msa(&refused), ("AR", "TRAINING"));
    for _ in 0..3 {
        assert_eq!(wire.exchange(&training).await, refused, "the same bytes");
    }
    let status = settled(&rig).await;
    assert_eq!((&status["inbox"]["total"], &status["inbox"]["quarantined"]), (&1.into(), &1.into()));
    assert_eq!(
        (&told(&status, "engine")["refused"], &told(&status, "engine")["duplicates"]),
        (&4.into(), &0.into())
    );

    assert!(rig.stop().await.unwrap().success());
    edit(&rig, "isthmus.toml", "plain = true\n", "plain = true\nprocessing_id = [\"P\", \"T\"]\n");
    rig.start().await.unwrap();
    let mut wire = Wire::open(rig.mllp()).await;
    let accepted = wire.exchange(&training).await;
    assert_eq!(msa(&accepted), ("AA", "TRAINING"), "the configuration takes it now");
    settled(&rig).await;
    assert_eq!(chart::mean(&rig.ehr, "7700001", DAY).unwrap().value, 100.0);

    // And once taken it keeps its answer, whatever the configuration says later.
    assert!(rig.stop().await.unwrap().success());
    edit(&rig, "isthmus.toml", "[\"P\", \"T\"]", "\"P\"");
    rig.start().await.unwrap();
    let mut wire = Wire::open(rig.mllp()).await;
    assert_eq!(wire.exchange(&training).await, accepted);
    let another = with_msh(&good("ANOTHER", 1), &[(11, "T")]);
    assert_eq!(msa(&wire.exchange(&another).await).0, "AR");
    assert_eq!(settled(&rig).await["inbox"]["total"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_answer_is_replayed_unless_the_first_message_was_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = rig_with(dir.path(), &[]).await;
    let asks = [(15, "AL"), (16, "NE")];
    let sound = with_msh(&good("SOUND", 1), &asks);
    let spoilt =
        people::altered(&with_msh(&good("SPOILT", 2), &asks), "mg/dL^mg/dL^UCUM", "furlong^furlong^UCUM");
    let nobody =
        people::altered(&with_msh(&good("NOBODY", 3), &asks), "7700003^^^NORTH^MR", "7700003^^^SOUTH^MR");
    let mut wire = Wire::open(rig.mllp()).await;
    let mut first = Vec::new();
    for message in [&sound, &spoilt, &nobody] {
        first.push(wire.exchange(message).await);
    }
    assert!(first.iter().all(|ack| msa(ack).0 == "CA"));
    let status = settled(&rig).await;
    assert_eq!((&status["inbox"]["quarantined"], &status["inbox"]["unidentified"]), (&12.into(), &1.into()));
    for restarted in [false, true] {
        if restarted {
            rig.kill();
            rig.start().await.unwrap();
        }
        let mut wire = Wire::open(rig.mllp()).await;
        assert_eq!(wire.exchange(&sound).await, first[0], "the same bytes");
        if !restarted {
            assert_ne!(wire.exchange(&spoilt).await, first[1], "set aside, so it is taken afresh");
            assert_ne!(wire.exchange(&nobody).await, first[2]);
        }
    }
    let status = settled(&rig).await;
    assert_eq!(status["inbox"]["total"], 5, "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_listener_has_seen_is_told_with_its_last_time() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig_with(dir.path(), &[("other", "")]).await;
    let mut wire = Wire::open(rig.mllp()).await;
    wire.raw(b"\n\n").await;
    for message in [good("A", 1), good("A", 1), good("A", 2), with_msh(&good("B", 1), &[(12, "9")])] {
        wire.exchange(&message).await;
    }
    let status = rig.status().await.unwrap();
    let seen = told(&status, "engine");
    for (what, count) in [
        ("messages", 4),
        ("duplicates", 1),
        ("control_id_reuse", 1),
        ("framing_faults", 1),
        ("refused", 1),
        ("naks", 1),
        ("unanswered", 0),
    ] {
        assert_eq!(seen[what], count, "{what}: {seen:#}");
    }
    for last in ["control_id_reuse_last", "framing_fault_last", "refused_last", "duplicate_last"] {
        assert!(seen[last].as_str().is_some_and(|last| last.ends_with('Z')), "{last}: {seen:#}");
        assert!(told(&status, "other")[last].is_null());
    }
    let printed = site::command::ask(&rig, &["status"]);
    let line = printed.lines().find(|line| line.contains("engine:")).unwrap();
    for part in
        ["messages: 4", "control ids reused with another body: 1 (last 20", "framing faults: 1 (last 20"]
    {
        assert!(line.contains(part), "{line}");
    }
}
