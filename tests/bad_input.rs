//! Bad input: the right answer, the connection and the neighbours unharmed, and a reason on record.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::time::{Duration, Instant};

use site::{
    chart, daily, edit, people, send, settled, until,
    wire::{Wire, fault, framed, msa},
};
use standin::rig::Rig;

const DAY: &str = "2026-03-02";

async fn started(dir: &std::path::Path) -> Rig {
    let mut rig = site::prepare(dir, daily()).await;
    edit(
        &rig,
        "isthmus.toml",
        "plain = true\n",
        "plain = true\nmax_frame_bytes = 8192\nframe_timeout = \"1s\"\n",
    );
    rig.start().await.unwrap();
    rig
}

fn good(control_id: &str, n: u32) -> Vec<u8> {
    people::hour(control_id, n, DAY, 100)
}

/// A sound message is still answered on this connection.
async fn lives(wire: &mut Wire, control_id: &str) {
    let ack = wire.exchange(&good(control_id, 1)).await;
    assert_eq!(msa(&ack), ("AA", control_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_an_envelope_is_refused_by_name_and_the_connection_lives() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    let mut wire = Wire::open(rig.mllp()).await;
    let no_id = people::altered(&good("GONE", 1), "|GONE|P", "||P");
    let no_type = people::altered(&good("TYPELESS", 1), "ORU^R01^ORU_R01", "");
    let bad_delimiters = people::altered(&good("D", 1), "MSH|^~\\&|", "MSH|^^^^|");
    // HL7 table 0357: 100 segment sequence error, 101 required field missing, 102 data type error.
    let table: [(&[u8], &str, &str, &str); 6] = [
        (b"this is no HL7 at all", "AE", "", "100"),
        (b"\xff\xfe\x00\x01\x02", "AE", "", "100"),
        (b"PID|1||7700001^^^NORTH^MR\r", "AE", "", "100"),
        (&no_id, "AE", "", "101"),
        (&no_type, "AR", "TYPELESS", "101"),
        (&bad_delimiters, "AE", "D", "102"),
    ];
    for (i, (message, code, control_id, err)) in table.into_iter().enumerate() {
        let ack = wire.exchange(message).await;
        assert_eq!((msa(&ack), fault(&ack)), ((code, control_id), err), "case {i}: {ack:?}");
        lives(&mut wire, &format!("AFTER{i}")).await;
    }
    let status = settled(&rig).await;
    assert_eq!(status["inbox"]["quarantined"], 6, "each is kept with its reason: {status:#}");
    assert_eq!(chart::mean(&rig.ehr, "7700001", DAY).unwrap().value, 100.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_too_long_or_never_ends_costs_its_own_connection_only() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    let mut neighbour = Wire::open(rig.mllp()).await;
    lives(&mut neighbour, "BEFORE").await;

    let mut long = Wire::open(rig.mllp()).await;
    let mut message = good("TOO-LONG", 2);
    message.resize(9_000, b'x');
    let ack = long.exchange(&message).await;
    assert_eq!((msa(&ack), fault(&ack)), (("AR", "TOO-LONG"), "207"), "{ack:?}");
    assert_eq!(long.answer().await, None, "where it ends is unknown, so the connection is closed");

    let mut unfinished = Wire::open(rig.mllp()).await;
    let frame = framed(&good("UNFINISHED", 3));
    let started = Instant::now();
    unfinished.raw(&frame[..100]).await;
    assert_eq!(unfinished.answer().await, None, "half a frame is not answered");
    assert!(started.elapsed() >= Duration::from_millis(900), "closed before its time");

    // A byte now and then must not keep it alive for ever.
    let mut dripping = Wire::open(rig.mllp()).await;
    let started = Instant::now();
    dripping.raw(&frame[..2]).await;
    let closed = drip(&mut dripping, &frame[2..60]).await;
    assert!(
        closed && started.elapsed() < Duration::from_secs(15),
        "a dripping peer outlives the frame timeout"
    );

    lives(&mut neighbour, "AFTER").await;
    let status = settled(&rig).await;
    assert_eq!(status["inbox"]["total"], 3, "{status:#}");
    assert_eq!(status["inbox"]["quarantined"], 1, "the head of the long one is kept: {status:#}");
    for (limit, times) in [("frame-bytes", 1.0), ("frame-timeout", 2.0)] {
        site::until_metric(&rig, &site::refused_series("engine", limit), times).await;
    }
}

/// One byte every 300 ms; whether the other side closed before they were all sent.
async fn drip(wire: &mut Wire, bytes: &[u8]) -> bool {
    for byte in bytes {
        if !wire.try_raw(&[*byte]).await || wire.is_closed_within(Duration::from_millis(300)).await {
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_set_aside_and_its_neighbours_count() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    // Twelve readings of 100 of which one has a unit of length, one no number, one no time.
    let mut text = String::from_utf8(good("SPOILT", 1)).unwrap();
    for (from, to) in [
        (
            "OBX|2|NM|160212^MDC_CONC_GLU_ISF^MDC^99504-3^Glucose^LN|1|100|mg/dL^mg/dL^UCUM",
            "OBX|2|NM|160212^MDC_CONC_GLU_ISF^MDC^99504-3^Glucose^LN|1|300|furlong^furlong^UCUM",
        ),
        (
            "OBX|3|NM|160212^MDC_CONC_GLU_ISF^MDC^99504-3^Glucose^LN|1|100|",
            "OBX|3|NM|160212^MDC_CONC_GLU_ISF^MDC^99504-3^Glucose^LN|1|plenty|",
        ),
        ("20260302001500+0000", "20269902001500+0000"),
    ] {
        assert!(text.contains(from), "{from}\n{text}");
        text = text.replace(from, to);
    }
    send(&rig, &[text.into_bytes(), good("SOUND", 2)]).await;
    let status = settled(&rig).await;
    assert_eq!(status["inbox"]["quarantined"], 3, "{status:#}");
    for mrn in ["7700001", "7700002"] {
        assert_eq!(chart::mean(&rig.ehr, mrn, DAY).map(|mean| mean.value), Some(100.0), "{mrn}");
    }
    // Who reads the outcome is told what it was made without.
    let told = rig.ehr.resources().iter().filter(|it| it.to_string().contains("unreadable: 3")).count();
    assert_eq!(told, 1, "one Provenance of two names what could not be read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_exactly_one_patient_waits_and_nothing_is_computed_from_it() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path()).await;
    let with_pid3 = |id: &str, pid3: &str| people::altered(&good(id, 1), "7700001^^^NORTH^MR", pid3);
    send(
        &rig,
        &[
            with_pid3("NONE", "7700001^^^NORTH^AN"),
            with_pid3("ELSEWHERE", "7700001^^^SOUTH^MR"),
            with_pid3("TWO", "7700001^^^NORTH^MR~7700009^^^NORTH^MR"),
            with_pid3("EMPTY", ""),
        ],
    )
    .await;
    let status = until(&rig, "they wait", |s| s["inbox"]["unidentified"] == 4).await;
    assert_eq!((&status["inbox"]["windows_due"], &status["outbox"]["pending"]), (&0.into(), &0.into()));
    send(&rig, &[with_pid3("TWICE", "7700001^^^NORTH^MR~7700001^^^NORTH^MR~1^^^SSA^SS")]).await;
    settled(&rig).await;
    assert_eq!(chart::mean(&rig.ehr, "7700001", DAY).unwrap().value, 100.0);
    assert_eq!(chart::numbers(&rig.ehr).len(), 7, "an outcome of somebody else");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_gets_the_same_bytes_and_another_body_under_its_id_is_another_message() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = started(dir.path()).await;
    let (first, other) = (good("SAME-ID", 1), people::hour("SAME-ID", 2, DAY, 90));
    let ack = Wire::open(rig.mllp()).await.exchange(&first).await;
    let mut wire = Wire::open(rig.mllp()).await;
    assert_eq!(wire.exchange(&first).await, ack);
    let of_other = wire.exchange(&other).await;
    assert_eq!(msa(&of_other), ("AA", "SAME-ID"));
    assert_ne!(of_other, ack);
    let metrics = site::metrics(&rig).await;
    let count = |name: &str| site::metric(&metrics, &format!("{name}{{listener=\"engine\"}}"));
    assert_eq!(count("isthmus_mllp_duplicates_total"), 1.0, "{metrics}");
    assert_eq!(count("isthmus_mllp_control_id_reuse_total"), 1.0, "{metrics}");

    rig.kill();
    rig.start().await.unwrap();
    assert_eq!(Wire::open(rig.mllp()).await.exchange(&first).await, ack, "also after a restart");
    let status = settled(&rig).await;
    assert_eq!(status["inbox"]["total"], 2, "{status:#}");
    assert_eq!(chart::mean(&rig.ehr, "7700001", DAY).unwrap().value, 100.0);
    assert_eq!(chart::mean(&rig.ehr, "7700002", DAY).unwrap().value, 90.0);
}
