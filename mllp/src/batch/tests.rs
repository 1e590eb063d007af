use proptest::prelude::*;

use super::*;

const MSH: &str = "MSH|^~\\&|A|B|C|D|2026||ORU^R01|";

fn message(id: &str) -> String {
    format!("{MSH}{id}|P|2.5.1\rPID|1||{id}\rOBX|1|NM\r")
}

fn batched(text: &str) -> Result<Batch, BatchFault> {
    split(&Bytes::copy_from_slice(text.as_bytes()))
}

fn ids(batch: &Batch) -> Vec<String> {
    let id =
        |message: Bytes| String::from_utf8(Envelope::scan(&message).unwrap().control_id().to_vec()).unwrap();
    batch.messages().map(id).collect()
}

fn wrong(trailer: &'static str, sequence: u32, said: u64, found: u64) -> Option<BatchFault> {
    Some(BatchFault::WrongCount { trailer, sequence, said, found })
}

#[test]
fn only_a_frame_that_begins_with_a_header_is_a_batch() {
    for (frame, expected) in [
        ("BHS|^~\\&|A", true),
        ("\r\nFHS|^~\\&|A", true),
        ("\u{FEFF}BHS|^~\\&|A", false),
        ("BHS", true),
        ("BHSX|", false),
        ("MSH|^~\\&|A\rBHS|", false),
        ("BTS|0", false),
        ("", false),
    ] {
        assert_eq!(is_batch(frame.as_bytes()), expected, "{frame:?}");
    }
}

#[test]
fn batches_of_every_shape_are_taken_apart() {
    let (one, two, three) = (message("1"), message("2"), message("3"));
    for (text, expected) in [
        (format!("BHS|^~\\&|X\r{one}{two}BTS|2\r"), &["1", "2"][..]),
        (
            format!("FHS|^~\\&|X\rBHS|^~\\&|X\r{one}BTS|1\rBHS|^~\\&|X\r{two}{three}BTS|2\rFTS|2\r"),
            &["1", "2", "3"],
        ),
        (format!("FHS|^~\\&|X\r{one}{two}FTS|1\r"), &["1", "2"]),
        (format!("FHS|^~\\&|X\r{one}BTS|1\r{two}BTS|1\rFTS|2"), &["1", "2"]),
        (format!("BHS|^~\\&|X\r{one}"), &["1"]),
        (format!("BHS|^~\\&|X\r{one}BTS\r"), &["1"]),
        (format!("BHS|^~\\&|X\r{one}BTS||comment\r"), &["1"]),
        (format!("BHS|^~\\&|X\r{one}BHS|^~\\&|Y\r{two}BTS|1\r"), &["1", "2"]),
        ("BHS|^~\\&|X||||||||B1\rBTS|0\r".to_owned(), &[]),
        ("FHS|^~\\&|X||||||||F1\rFTS|0\r".to_owned(), &[]),
        (format!("BHS$@!%*$X\n{}BTS$1\n", one.replace('\r', "\n")), &["1"]),
    ] {
        assert_eq!(ids(&batched(&text).unwrap()), expected, "{text:?}");
    }
}

#[test]
fn several_messages_without_a_header_are_seen() {
    let (one, two) = (message("1"), message("2"));
    for (text, several) in [
        (one.clone(), false),
        (format!("\r\n{one}"), false),
        (one.replace("NM", "NM|MSH|\\.br\\MSH|"), false),
        (format!("{one}MSHX|1\rZMSH|1\r"), false),
        (format!("{one}{two}"), true),
        (format!("{one} \t{two}"), true),
        (format!("{one}\n\u{b}{}", two.replace('|', "$")), true),
        (format!("{one}MSH"), true),
    ] {
        assert_eq!(is_several(text.as_bytes()), several, "{text:?}");
    }
}

#[test]
fn a_message_behind_blanks_is_a_message_of_its_own() {
    let (one, two) = (message("1"), message("2"));
    for blanks in [" ", "\t \u{b}", "\u{feff}", "\u{a0}", "\u{1c} ", "\u{c}"] {
        let text = format!("BHS|^~\\&|X\r{blanks}{one}{blanks}{two}{blanks}BTS|2\r");
        let batch = batched(&text).unwrap();
        assert_eq!(ids(&batch), ["1", "2"], "{blanks:?}");
        let parts: Vec<u8> =
            batch.parts().iter().flat_map(|(_, range)| text.as_bytes()[range.clone()].to_vec()).collect();
        assert_eq!(parts, text.as_bytes(), "{blanks:?}");
        let short = text.replace("BTS|2", "BTS|1");
        assert_eq!(batched(&short).err(), wrong("BTS", 1, 1, 2), "{blanks:?}");
    }
}

#[test]
fn a_wrong_count_is_told_with_its_place() {
    let (one, two) = (message("1"), message("2"));
    for (text, expected) in [
        (format!("BHS|^~\\&|X\r{one}BTS|2\r"), wrong("BTS", 1, 2, 1)),
        (format!("BHS|^~\\&|X\r{one}{two}BTS|1\r"), wrong("BTS", 1, 1, 2)),
        (format!("BHS|^~\\&|X\r{one}BTS|01\rBHS|^~\\&|X\r{two}BTS|0\r"), wrong("BTS", 2, 0, 1)),
        (format!("FHS|^~\\&|X\rBHS|^~\\&|X\r{one}BTS|1\rFTS|2\r"), wrong("FTS", 1, 2, 1)),
        (
            format!("BHS|^~\\&|X\r{one}BTS|one\r"),
            Some(BatchFault::UnreadableCount { trailer: "BTS", sequence: 1 }),
        ),
        (
            format!("BHS|^~\\&|X\r{one}BTS|-1\r"),
            Some(BatchFault::UnreadableCount { trailer: "BTS", sequence: 1 }),
        ),
    ] {
        assert_eq!(batched(&text).err(), expected, "{text:?}");
    }
}

#[test]
fn a_header_declares_delimiters_and_an_empty_batch_has_an_id() {
    let one = message("1");
    for (text, expected) in [
        (format!("BHS\r{one}"), BatchFault::BadDelimiters { header: "BHS", sequence: 1 }),
        (format!("BHS|\r{one}"), BatchFault::BadDelimiters { header: "BHS", sequence: 1 }),
        (format!("FHS|^^^^|X\r{one}"), BatchFault::BadDelimiters { header: "FHS", sequence: 1 }),
        (
            format!("BHS|^~\\&|X\r{one}BTS|1\rBHS |X\r{one}"),
            BatchFault::BadDelimiters { header: "BHS", sequence: 2 },
        ),
        ("BHS|^~\\&|X\rBTS|0\r".to_owned(), BatchFault::NoControlId),
        ("FHS|^~\\&|X\r".to_owned(), BatchFault::NoControlId),
    ] {
        assert_eq!(batched(&text).err(), Some(expected), "{text:?}");
    }
}

#[test]
fn a_segment_outside_of_any_message_is_no_part_of_a_batch() {
    let one = message("1");
    for (text, line) in [
        ("BHS|^~\\&|X\rPID|1\r".to_owned(), 2),
        (format!("BHS|^~\\&|X\r{one}BTS|1\rOBX|1\r"), 6),
        (format!("BHS|^~\\&|X\r{one}BTS|1\rBTS|1\r"), 6),
        (format!("BHS|^~\\&|X\r{one}FTS|1\r"), 5),
        (format!("BHS|^~\\&|X\rFHS|^~\\&|X\r{one}"), 2),
        (format!("FHS|^~\\&|X\r{one}FTS|1\r{one}"), 6),
    ] {
        assert_eq!(batched(&text).err(), Some(BatchFault::OutOfPlace { line }), "{text:?}");
    }
}

#[test]
fn a_batch_has_a_greatest_size() {
    let of = |count: usize| format!("BHS|^~\\&|X\r{}", "MSH|\r".repeat(count));
    assert_eq!(batched(&of(MAX_MESSAGES)).unwrap().messages().count(), MAX_MESSAGES);
    assert_eq!(batched(&of(MAX_MESSAGES + 1)).err(), Some(BatchFault::TooMany));
}

#[test]
fn the_answer_goes_to_the_outermost_header_with_an_id() {
    let header =
        |name: &str, from: &str, id: &str| format!("{name}|^~\\&|{from}|FAC|US|HERE|2026|||comment|{id}\r");
    let addressed = |text: String| addressee(&Bytes::from(text)).unwrap();
    let (file, batch) = (header("FHS", "FILE", "F1"), header("BHS", "BATCH", "B1"));
    for (text, from, id) in [
        (format!("{file}{batch}{}", message("M1")), "FILE", "F1"),
        (format!("{batch}{}", message("M1")), "BATCH", "B1"),
        (format!("{}{batch}{}", header("FHS", "FILE", ""), message("M1")), "FILE", "B1"),
        (format!("{}{}", header("BHS", "BATCH", ""), message("M1")), "BATCH", "M1"),
        (format!("{}{}", header("BHS", "BATCH", "\"\""), header("BHS", "NEXT", "B2")), "BATCH", "B2"),
    ] {
        let envelope = addressed(text.clone());
        assert_eq!(envelope.sending_application(), from.as_bytes(), "{text:?}");
        assert_eq!(envelope.control_id(), id.as_bytes(), "{text:?}");
        assert_eq!(envelope.receiving_facility(), b"HERE");
    }
    let envelope = addressed(format!("{batch}MSH|^~\\&|A|B|C|D|2026||ORU^R01|1|T|2.3||||||8859/1\r"));
    assert_eq!(
        (envelope.field(11), envelope.field(12), envelope.field(18)),
        (&b"T"[..], &b"2.3"[..], &b"8859/1"[..])
    );
    let custom = addressed("BHS$@!%*$FROM$$$$$$$$B9\r".to_owned());
    assert_eq!((custom.control_id(), custom.separators().component), (&b"B9"[..], b'@'));
    for headless in ["BHS", "BHS\r", "BHS|", "BHS|||"] {
        assert!(addressee(&Bytes::from(headless)).is_none_or(|envelope| envelope.control_id().is_empty()));
    }
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("FHS|^~\\&|X".to_owned()),
        Just("BHS|^~\\&|X".to_owned()),
        Just("BTS".to_owned()),
        (0u8..4).prop_map(|n| format!("BTS|{n}")),
        Just("FTS".to_owned()),
        Just("MSH|^~\\&|A".to_owned()),
        Just("OBX|1".to_owned()),
        "[ A-Z|\\r\\n]{0,6}",
    ]
}

proptest! {
    #[test]
    fn the_parts_of_a_batch_are_its_bytes_in_order_each_once(
        start in "(\r|\n)?",
        lines in proptest::collection::vec((line(), prop_oneof![Just("\r"), Just("\n"), Just("\r\n"), Just("\r\r")]), 0..12),
    ) {
        let text: String = lines.iter().flat_map(|(line, end)| [line.as_str(), end]).collect();
        let frame = Bytes::from(format!("{start}BHS|^~\\&|X\r{text}"));
        if let Ok(batch) = split(&frame) {
            let mut at = 0;
            for (_, range) in batch.parts() {
                prop_assert_eq!(range.start, at);
                at = range.end;
            }
            prop_assert_eq!(at, frame.len());
            let inside: usize = batch.messages().map(|message| message.len()).sum();
            prop_assert_eq!(inside + batch.around().len(), frame.len());
            prop_assert!(batch.messages().all(|message| message.starts_with(b"MSH")));
        }
    }

    #[test]
    fn no_bytes_make_the_splitter_panic(tail: Vec<u8>) {
        let mut frame = b"BHS|^~\\&|\rMSH|".to_vec();
        frame.extend(&tail);
        for frame in [Bytes::from(frame), Bytes::from(tail)] {
            let _ = (is_batch(&frame), split(&frame), addressee(&frame));
        }
    }
}

#[test]
fn headers_and_trailers_are_bounded_like_messages_and_what_stands_around_is_whole() {
    let (file, pair) = ("FHS|^~\\&|X||||||||F1\r", "BHS|^~\\&\rBTS|0\r");
    let most = [file, &pair.repeat((MAX_PARTS - 2) / 2), "FTS\r"].concat();
    let batch = batched(&most).unwrap();
    assert_eq!((batch.parts().len(), batch.around()), (MAX_PARTS, Bytes::from(most)));
    let more = [file, &pair.repeat(MAX_PARTS / 2), "FTS\r"].concat();
    assert_eq!(batched(&more).err(), Some(BatchFault::TooManyParts));
    assert_eq!(addressee(&Bytes::from(more)).unwrap().control_id(), b"F1", "the answer finds its sender");
}
