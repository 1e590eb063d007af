//! The dialects of senders: delimiters, line ends, character sets, frame ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use site::{
    address, chart, daily,
    listeners::{add, with_msh},
    people, prepare, settled,
    wire::{Wire, errs, fault, msa},
};

const DAY: &str = "2026-03-02";

fn good(control_id: &str, n: u32) -> Vec<u8> {
    people::hour(control_id, n, DAY, 100)
}

/// The message with its line ends replaced.
fn with_ends(message: &[u8], end: &str) -> Vec<u8> {
    String::from_utf8(message.to_vec()).unwrap().replace('\r', end).into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn delimiters_and_line_ends_of_every_kind_are_read_and_answered_in_kind() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    let mut wire = Wire::open(rig.mllp()).await;
    // A name with every delimiter escaped stands in each; here the letters are exchanged one for one.
    let custom: Vec<u8> = good("CUSTOM", 2)
        .into_iter()
        .map(|byte| match byte {
            b'|' => b'$',
            b'^' => b'@',
            b'~' => b'!',
            b'\\' => b'%',
            b'&' => b'*',
            other => other,
        })
        .collect();
    let since_2_7 = with_msh(&good("TRUNCATION", 1), &[(2, "^~\\&#"), (12, "2.7")]);
    let ack = wire.exchange(&since_2_7).await;
    assert!(ack.starts_with("MSH|^~\\&#|") && ack.contains("\rMSA|AA|TRUNCATION\r"), "{ack:?}");
    let ack = wire.exchange(&custom).await;
    assert!(
        ack.starts_with("MSH$@!%*$ISTHMUS$NORTH$CGMHUB$NORTH$") && ack.contains("\rMSA$AA$CUSTOM\r"),
        "{ack:?}"
    );
    // Its refusal is written with its delimiters, too.
    let refused = String::from_utf8(custom).unwrap().replace("CUSTOM$P$", "CUSTOM$T$");
    let ack = wire.exchange(refused.as_bytes()).await;
    assert!(ack.contains("\rMSA$AR$CUSTOM$") && ack.contains("\rERR$$MSH@1@11@1@1$202@"), "{ack:?}");
    for (n, end) in (3..).zip(["\r", "\n", "\r\n", "\r\r", "\r\n\r\n"]) {
        let ack = wire.exchange(&with_ends(&good(&format!("END{n}"), n), end)).await;
        assert_eq!(msa(&ack), ("AA", format!("END{n}").as_str()), "{end:?}");
        assert!(ack.ends_with('\r') && !ack.contains('\n'), "{ack:?}");
    }
    let status = settled(&rig).await;
    for n in 1..=7 {
        let mean = chart::mean(&rig.ehr, &people::person(n).mrn, DAY);
        assert_eq!(mean.map(|mean| mean.value), Some(100.0), "patient {n}: {status:#}");
    }
    assert_eq!(status["inbox"]["quarantined"], 1, "{status:#}");
}

/// A patient whose number is no ASCII, in the bytes of a character set.
fn with_number(control_id: &str, msh18: &str, number: &[u8]) -> Vec<u8> {
    let message = with_msh(&good(control_id, 1), &[(18, msh18)]);
    let at = message.windows(7).position(|part| part == b"7700001").unwrap();
    [&message[..at], number, &message[at + 7..]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_read_by_msh_18_and_else_by_the_default_of_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), daily()).await;
    add(&rig, "utf8", "charset = \"UNICODE UTF-8\"\n");
    add(&rig, "cyrillic", "charset = \"8859/5\"\n");
    rig.start().await.unwrap();
    // By the code charts: 8859/1 has 0xDC for U+00DC, 8859/5 has 0xB4 for U+0414.
    for (listener, id, msh18, number, read) in [
        ("engine", "DEFAULT", "", &b"1\xDC1"[..], "1Ü1"),
        ("utf8", "UTF8", "", "2Ü2".as_bytes(), "2Ü2"),
        ("cyrillic", "CYRILLIC", "", b"3\xB43", "3Д3"),
        ("utf8", "DECLARED", "8859/5", b"4\xB44", "4Д4"),
        ("cyrillic", "VENDOR", "utf8", "5Д5".as_bytes(), "5Д5"),
        ("engine", "ORACLE", "AL32UTF8", "6Д6".as_bytes(), "6Д6"),
        ("engine", "ALTERNATES", "ISO-8859-1~8859/5", b"7\xDC7", "7Ü7"),
    ] {
        let mut wire = Wire::open(address(&rig, listener).await).await;
        assert_eq!(msa(&wire.exchange(&with_number(id, msh18, number)).await), ("AA", id));
        settled(&rig).await;
        assert_eq!(chart::mean(&rig.ehr, read, DAY).map(|mean| mean.value), Some(100.0), "{id}");
    }
    let mut wire = Wire::open(rig.mllp()).await;
    for (id, msh18) in [("U16", "UNICODE UTF-16"), ("U32", "UTF-32"), ("LE", "utf16le")] {
        let ack = wire.exchange(&with_number(id, msh18, b"8")).await;
        assert_eq!((msa(&ack), fault(&ack), errs(&ack, 2)), (("AE", id), "103", vec!["MSH^1^18"]), "{ack:?}");
    }
    // A set that is not read here is a matter of reading: acknowledged, kept, and told.
    assert_eq!(msa(&wire.exchange(&with_number("BIG5", "BIG-5", b"9")).await), ("AA", "BIG5"));
    let status = settled(&rig).await;
    assert_eq!(status["inbox"]["quarantined"], 4, "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_without_its_last_byte_is_one_where_the_listener_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), daily()).await;
    add(&rig, "bare", "bare_fs = true\n");
    rig.start().await.unwrap();
    let unended = |id| [b"\x0B", &good(id, 1)[..], b"\x1C"].concat();
    let mut bare = Wire::open(address(&rig, "bare").await).await;
    bare.raw(&[unended("ONE"), unended("TWO")].concat()).await;
    for id in ["ONE", "TWO"] {
        assert_eq!(msa(&bare.answer().await.unwrap()), ("AA", id));
    }
    assert_eq!(msa(&bare.exchange(&good("WHOLE", 1)).await), ("AA", "WHOLE"));
    let mut strict = Wire::open(rig.mllp()).await;
    strict.raw(&[unended("CUT"), site::wire::framed(&good("NEXT", 1))].concat()).await;
    assert_eq!(msa(&strict.answer().await.unwrap()), ("AA", "NEXT"), "the one before never ended");
}
