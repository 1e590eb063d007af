//! Batches: one frame, several messages, one answer.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use site::{
    address, chart, daily,
    listeners::{add, told, with_msh},
    people, prepare, settled,
    wire::{Wire, errs, msa},
};

const DAY: &str = "2026-03-02";

/// A header of this name with this control id.
fn header(name: &str, id: &str) -> Vec<u8> {
    format!("{name}|^~\\&|BATCHER|NORTH|ISTHMUS|EDGE|20260302||||{id}\r").into_bytes()
}

fn good(n: u32) -> Vec<u8> {
    people::hour(&format!("M{n}"), n, DAY, 100)
}

fn mean(rig: &standin::rig::Rig, n: u32) -> Option<f64> {
    chart::mean(&rig.ehr, &people::person(n).mrn, DAY).map(|mean| mean.value)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_taken_whole_answered_once_and_a_resend_has_no_second_effect() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), daily()).await;
    add(&rig, "enhanced", "acknowledge = \"enhanced\"\n");
    rig.start().await.unwrap();
    let mut wire = Wire::open(rig.mllp()).await;
    let one = [header("BHS", "B1"), good(1), good(2), b"BTS|2\r".to_vec()].concat();
    // The messages' own wishes do not count: the frame is answered.
    let silent = with_msh(&good(4), &[(15, "NE"), (16, "NE")]);
    let several = [
        header("FHS", "F1"),
        header("BHS", "B2"),
        good(3),
        b"BTS|1\r".to_vec(),
        header("BHS", "B3"),
        silent,
        good(5),
        b"BTS|2\rFTS|2\r".to_vec(),
    ]
    .concat();
    let (of_one, of_several) = (wire.exchange(&one).await, wire.exchange(&several).await);
    assert_eq!((msa(&of_one), msa(&of_several)), (("AA", "B1"), ("AA", "F1")));
    assert!(of_one.starts_with("MSH|^~\\&|ISTHMUS|EDGE|BATCHER|NORTH|"), "{of_one:?}");
    let status = settled(&rig).await;
    // Each message, and once for each frame what stands around them.
    assert_eq!(status["inbox"]["total"], 2 + 1 + 3 + 1, "{status:#}");
    assert_eq!((1..=5).map(|n| mean(&rig, n)).collect::<Vec<_>>(), [Some(100.0); 5]);
    assert_eq!(
        (&told(&status, "engine")["messages"], &told(&status, "engine")["batches"]),
        (&5.into(), &2.into())
    );

    let writes = chart::writes(&rig.ehr).len();
    rig.kill();
    rig.start().await.unwrap();
    let mut wire = Wire::open(rig.mllp()).await;
    assert_eq!(wire.exchange(&several).await, of_several, "the same bytes");
    assert_eq!(wire.exchange(&one).await, of_one);
    // A message of a batch is a message like any other, also alone and in another batch.
    assert_eq!(msa(&wire.exchange(&good(1)).await), ("AA", "M1"));
    let more = [header("BHS", "B4"), good(2), good(6), b"BTS|2\r".to_vec()].concat();
    assert_eq!(msa(&wire.exchange(&more).await), ("AA", "B4"));
    let status = settled(&rig).await;
    assert_eq!(status["inbox"]["total"], 7 + 2, "{status:#}");
    assert_eq!(mean(&rig, 6), Some(100.0));
    assert_eq!(chart::writes(&rig.ehr).len(), writes + 1, "only the new patient's outcome was written");

    // An answer to nobody is no answer: it would be taken for another message's.
    for headless in [&b"BHS"[..], b"BHS|^~\\&|X\rBTS|0\r"] {
        assert_eq!(msa(&wire.exchange(headless).await), ("AE", ""));
    }
    let empty = [header("BHS", "B5"), b"BTS|0\r".to_vec()].concat();
    assert_eq!(msa(&wire.exchange(&empty).await), ("AA", "B5"));
    let nameless = [header("BHS", ""), good(7)].concat();
    assert_eq!(msa(&wire.exchange(&nameless).await), ("AA", "M7"), "an empty id could be matched to nothing");
    let mut enhanced = Wire::open(address(&rig, "enhanced").await).await;
    assert_eq!(msa(&enhanced.exchange(&one).await), ("CA", "B1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_counts_are_wrong_is_kept_whole_and_nothing_of_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    let mut wire = Wire::open(rig.mllp()).await;
    let bytes = |text: &str| text.as_bytes().to_vec();
    for (row, (parts, err, place)) in [
        (vec![header("BHS", "W"), good(1), bytes("BTS|2\r")], "100", "BTS^1^1"),
        (vec![header("BHS", "W"), good(1), good(2), bytes("BTS|1\r")], "100", "BTS^1^1"),
        (
            vec![header("FHS", "W"), header("BHS", "X"), good(1), bytes("BTS|1\r"), bytes("FTS|2\r")],
            "100",
            "FTS^1^1",
        ),
        (vec![header("BHS", "W"), good(1), bytes("BTS|many\r")], "102", "BTS^1^1"),
        (vec![header("BHS", "W"), good(1), bytes("BTS|1\rOBX|1\r")], "100", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let frame = parts.concat();
        let ack = wire.exchange(&frame).await;
        assert_eq!((msa(&ack), site::wire::fault(&ack)), (("AR", "W"), err), "row {row}: {ack:?}");
        assert_eq!(errs(&ack, 2), [place], "row {row}");
        assert_eq!(wire.exchange(&frame).await, ack, "a resend is told the same and not stored again");
        let status = settled(&rig).await;
        assert_eq!(status["inbox"]["total"], row + 1, "{status:#}");
        assert_eq!(status["inbox"]["quarantined"], row + 1, "{status:#}");
    }
    assert_eq!((mean(&rig, 1), mean(&rig, 2)), (None, None));
    // Sent rightly, the messages are new.
    let right = [header("BHS", "W"), good(1), good(2), bytes("BTS|2\r")].concat();
    assert_eq!(msa(&wire.exchange(&right).await), ("AA", "W"));
    settled(&rig).await;
    assert_eq!((mean(&rig, 1), mean(&rig, 2)), (Some(100.0), Some(100.0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_refused_is_named_and_takes_nothing_from_its_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    let mut wire = Wire::open(rig.mllp()).await;
    let frame = [
        header("BHS", "SOME"),
        good(1),
        with_msh(&good(2), &[(11, "T")]),
        good(3),
        with_msh(&good(4), &[(10, "")]),
        b"BTS|4\r".to_vec(),
    ]
    .concat();
    let ack = wire.exchange(&frame).await;
    assert_eq!(msa(&ack), ("AE", "SOME"), "{ack:?}");
    assert_eq!(errs(&ack, 2), ["MSH^2^11^1^1", "MSH^4^10"], "{ack:?}");
    let codes: Vec<_> = errs(&ack, 3).into_iter().map(|code| code.split('^').next().unwrap()).collect();
    assert_eq!(codes, ["202", "101"]);
    assert_eq!(wire.exchange(&frame).await, ack, "the same bytes");
    let status = settled(&rig).await;
    assert_eq!(
        (&status["inbox"]["total"], &status["inbox"]["quarantined"]),
        (&5.into(), &2.into()),
        "{status:#}"
    );
    assert_eq!((1..=4).map(|n| mean(&rig, n)).collect::<Vec<_>>(), [Some(100.0), None, Some(100.0), None]);

    let many: Vec<u8> = (0..60).flat_map(|n| with_msh(&good(n), &[(12, "9.9")])).collect();
    let ack = wire.exchange(&[header("BHS", "MANY"), many].concat()).await;
    assert_eq!((msa(&ack), errs(&ack, 2).len()), (("AE", "MANY"), 51), "bounded");
    assert!(ack.contains("10 more messages of the batch were refused"), "{ack:?}");
}
