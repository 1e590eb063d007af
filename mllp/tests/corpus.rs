//! Public HL7 v2 messages, where this machine has them: the scanner and the splitter lose nothing.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the lints spare test functions only, not what they share"
)]

use std::{fs, path::PathBuf};

use bytes::{Bytes, BytesMut};
use mllp::{Deframer, Envelope, EnvelopeFault, Event, Limits, batch, frame, segments, tables};

/// The messages beside the repository, or beside the folder of its worktrees.
fn corpus() -> Option<Vec<(String, Vec<u8>)>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let folders = ["../../shared/data/hl7", "../../../shared/data/hl7"].map(|relative| root.join(relative));
    let Some(folder) = folders.iter().find(|folder| folder.is_dir()) else {
        println!("skipped: no ../shared/data");
        return None;
    };
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let messages = files.filter(|path| path.extension().is_some_and(|kind| kind == "hl7"));
    Some(messages.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect())
}

/// The message with each of its line ends replaced.
fn with_terminator(message: &[u8], terminator: &[u8]) -> Vec<u8> {
    segments(message).flat_map(|segment| [segment, terminator].concat()).collect()
}

#[test]
fn segments_seen_are_the_non_blank_lines_of_every_message() {
    for (name, bytes) in corpus().into_iter().flatten() {
        let text = String::from_utf8_lossy(&bytes).replace('\r', "\n");
        let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines > 0, "{name}");
        assert_eq!(segments(&bytes).count(), lines, "{name}");
        for terminator in [&b"\r"[..], b"\n", b"\r\n", b"\r\r"] {
            assert_eq!(segments(&with_terminator(&bytes, terminator)).count(), lines, "{name}");
        }
    }
}

/// The fields of the first line by plain means: MSH-n is the n-1th of them, from 0.
fn plain_fields(message: &[u8]) -> Vec<&[u8]> {
    let line = message.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.is_empty()).unwrap();
    line.split(|byte| *byte == line[3]).collect()
}

#[test]
fn the_envelope_of_every_message_is_a_plain_split_of_its_header_or_names_a_fault_that_is_there() {
    for (name, bytes) in corpus().into_iter().flatten() {
        let forms = [&b"\r"[..], b"\n", b"\r\n", b"\r\r"].map(|end| with_terminator(&bytes, end));
        for form in forms.into_iter().chain([bytes.clone()]) {
            let fields = plain_fields(&form);
            let sent = |number: usize| fields.get(number - 1).copied().unwrap_or_default();
            let scanned = Envelope::scan(&Bytes::copy_from_slice(&form));
            let readable = scanned.as_ref().map_or_else(EnvelopeFault::readable, Some);
            let envelope = readable.unwrap_or_else(|| panic!("{name}: {scanned:?}"));
            assert_eq!(envelope.field(1), &form[form.iter().position(|b| *b == b'M').unwrap() + 3..][..1]);
            for number in 2..=18 {
                assert_eq!(envelope.field(number), sent(number), "{name}: MSH-{number}");
            }
            match &scanned {
                Ok(_) => assert!(!sent(10).trim_ascii().is_empty() && !sent(9).is_empty(), "{name}"),
                Err(EnvelopeFault::BadDelimiters(_)) => assert_eq!(sent(2), b"&&&&", "{name}"),
                Err(EnvelopeFault::NoControlId(_)) => assert_eq!(sent(10).trim_ascii(), b"", "{name}"),
                Err(EnvelopeFault::NoType(_)) => assert_eq!(sent(9).trim_ascii(), b"", "{name}"),
                Err(fault) => panic!("{name}: {fault}"),
            }
        }
    }
}

#[test]
fn the_tables_know_the_type_event_and_version_of_every_message() {
    for (name, bytes) in corpus().into_iter().flatten() {
        let Ok(envelope) = Envelope::scan(&Bytes::from(bytes)) else { continue };
        assert!(tables::is_message_type(envelope.message_code()), "{name}");
        assert!(tables::is_event(envelope.message_code(), envelope.trigger()), "{name}");
        assert!(
            envelope.version().trim_ascii().is_empty() || tables::is_version(envelope.version()),
            "{name}"
        );
    }
}

#[test]
fn a_batch_of_all_messages_is_taken_apart_into_the_same_messages() {
    let Some(corpus) = corpus() else { return };
    let sound = |bytes: &[u8]| bytes.starts_with(b"MSH|");
    let messages: Vec<_> = corpus.into_iter().map(|(_, bytes)| bytes).filter(|bytes| sound(bytes)).collect();
    let bodies = messages.iter().map(|bytes| with_terminator(bytes, b"\r"));
    let frame: Vec<u8> = bodies.clone().flatten().collect();
    let trailer = format!("BTS|{}\r", messages.len());
    let frame = Bytes::from([b"BHS|^~\\&|X\r", &frame[..], trailer.as_bytes()].concat());
    let apart = batch::split(&frame).unwrap();
    assert!(apart.messages().eq(bodies.map(Bytes::from)));
}

#[test]
fn every_message_survives_a_frame() {
    for (name, bytes) in corpus().into_iter().flatten() {
        let mut wire = BytesMut::new();
        frame::encode(&bytes, &mut wire).unwrap();
        let event = Deframer::new(Limits::default()).next_event(&mut wire).unwrap();
        assert_eq!(event, Some(Event::Message(Bytes::from(bytes))), "{name}");
    }
}
