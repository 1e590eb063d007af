//! The messages in a file: HL7 v2 text, one message or many.
//!
//! Rules: a message begins where a line begins with `MSH` and a delimiter, and ends where the next begins.
//! Lines end in CR, LF or CRLF; a byte order mark at the start and the frame bytes of a captured stream
//! (VT before a message, FS at the end of a line) are no content, and batch segments (FHS, BHS, BTS, FTS)
//! are envelopes of a file that many receivers do not know. As they are, messages are slices of the file, whole and
//! unchanged; a file that begins with FHS or BHS is one frame then, whole, because the receiver is to see the batch:
//! it is answered once, to FHS-11, else BHS-11, else MSH-10 of its first message.

use bytes::Bytes;
use mllp::{
    batch,
    frame::{FS, VT},
};

/// Segments around the messages of a batch file (HL7 v2.5.1, 2.10.3).
const BATCH: [&[u8]; 4] = [b"FHS", b"BHS", b"BTS", b"FTS"];
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A message with the line it begins on.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// From 1.
    pub(super) line: usize,
    pub(super) bytes: Bytes,
}

/// Text before the first message, or no message at all: the line to point to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotMessages {
    pub(super) line: usize,
}

/// A line without its end, and where it begins and ends with it.
struct Line<'a> {
    number: usize,
    start: usize,
    content: &'a [u8],
}

/// The lines of a file.
fn lines(file: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let (mut start, mut number) = (0, 0);
    std::iter::from_fn(move || {
        let rest = file.get(start..).filter(|rest| !rest.is_empty())?;
        let length = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
        let end = match &rest[length..] {
            [b'\r', b'\n', ..] => 2,
            [] => 0,
            _ => 1,
        };
        let line = Line { number: number + 1, start, content: &rest[..length] };
        start += length + end;
        number += 1;
        Some(line)
    })
}

/// The content of a line without byte order mark and frame bytes.
fn bare<'a>(line: &Line<'a>) -> &'a [u8] {
    let mut content = line.content;
    if line.number == 1 {
        content = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content);
    }
    while let Some(rest) = content.strip_prefix(&[VT]) {
        content = rest;
    }
    content.strip_suffix(&[FS]).unwrap_or(content)
}

fn begins_message(content: &[u8]) -> bool {
    content.strip_prefix(b"MSH").and_then(<[u8]>::first).is_some_and(u8::is_ascii_punctuation)
}

fn is_batch(content: &[u8]) -> bool {
    BATCH.iter().any(|name| content.starts_with(name))
}

/// The messages of a file, each segment ended by CR.
///
/// # Errors
/// Where something else stands before the first message, or there is none.
pub(super) fn normalized(file: &[u8]) -> Result<Vec<Message>, NotMessages> {
    let mut messages: Vec<(usize, Vec<u8>)> = Vec::new();
    for line in lines(file) {
        let content = bare(&line);
        if content.is_empty() || is_batch(content) {
            continue;
        }
        if begins_message(content) {
            messages.push((line.number, Vec::new()));
        }
        let Some((_, message)) = messages.last_mut() else { return Err(NotMessages { line: line.number }) };
        message.extend_from_slice(content);
        message.push(b'\r');
    }
    if messages.is_empty() {
        return Err(NotMessages { line: 1 });
    }
    Ok(messages.into_iter().map(|(line, bytes)| Message { line, bytes: bytes.into() }).collect())
}

/// The messages of a file as slices of it, or the batch that it is; together they are the whole file.
///
/// # Errors
/// Where there is none.
pub(super) fn as_they_are(file: &Bytes) -> Result<Vec<Message>, NotMessages> {
    if batch::is_batch(file) {
        return Ok(vec![Message { line: 1, bytes: file.clone() }]);
    }
    let begins: Vec<_> = lines(file)
        .filter(|line| begins_message(line.content))
        .map(|line| (line.number, line.start))
        .collect();
    if begins.is_empty() {
        return Err(NotMessages { line: 1 });
    }
    let ends = begins.iter().skip(1).map(|begin| begin.1).chain([file.len()]);
    let starts = [0].into_iter().chain(begins.iter().skip(1).map(|begin| begin.1));
    let slices = begins.iter().zip(starts.zip(ends));
    Ok(slices.map(|(begin, (start, end))| Message { line: begin.0, bytes: file.slice(start..end) }).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(file: &[u8]) -> Vec<(usize, String)> {
        let messages = normalized(file).unwrap();
        messages.into_iter().map(|m| (m.line, String::from_utf8(m.bytes.to_vec()).unwrap())).collect()
    }

    #[test]
    fn every_line_end_becomes_cr_and_every_msh_begins_a_message() {
        let file = b"MSH|1\r\nPID|1\n\nMSH|2\rPID|2";
        assert_eq!(read(file), [(1, "MSH|1\rPID|1\r".to_owned()), (4, "MSH|2\rPID|2\r".to_owned())]);
    }

    #[test]
    fn a_captured_stream_loses_its_frames_and_a_batch_its_envelope() {
        assert_eq!(
            read(b"\x0bMSH|1\rPID|1\r\x1c\r\x0bMSH|2\r\x1c\r"),
            [(1, "MSH|1\rPID|1\r".to_owned()), (4, "MSH|2\r".to_owned())]
        );
        assert_eq!(read(b"\xEF\xBB\xBFFHS|\nBHS|\nMSH|1\nBTS|1\nFTS|1\n"), [(3, "MSH|1\r".to_owned())]);
    }

    #[test]
    fn as_it_is_a_batch_is_one_frame_and_a_message_is_its_own() {
        let lines = |file: &'static [u8]| -> Vec<(usize, Bytes)> {
            let messages = as_they_are(&Bytes::from_static(file)).unwrap();
            messages.into_iter().map(|message| (message.line, message.bytes)).collect()
        };
        for batch in [
            &b"FHS|^~\\&\rBHS|^~\\&\rMSH|1\rMSH|2\rBTS|2\rFTS|1\r"[..],
            b"BHS|^~\\&\nMSH|1\nMSH|2\n",
            b"FHS|^~\\&\r\nFTS|0\r\n",
        ] {
            assert_eq!(lines(batch), [(1, Bytes::from_static(batch))]);
        }
        let messages = lines(b"MSH|1\rPID|1\rMSH|2\r");
        assert_eq!(messages, [(1, Bytes::from("MSH|1\rPID|1\r")), (3, Bytes::from("MSH|2\r"))]);
    }

    #[test]
    fn msh_inside_a_line_or_a_word_begins_nothing() {
        assert_eq!(read(b"MSH|1\nNTE|MSH|2\nMSHA|x\n"), [(1, "MSH|1\rNTE|MSH|2\rMSHA|x\r".to_owned())]);
    }

    #[test]
    fn what_holds_no_message_is_refused_with_its_line() {
        for (file, line) in [(&b""[..], 1), (b"\n\nhello\nMSH|1\n", 3), (b"FHS|\n", 1), (b"PID|1\r", 1)] {
            assert_eq!(normalized(file).err(), Some(NotMessages { line }), "{file:?}");
        }
        assert_eq!(as_they_are(&Bytes::from_static(b"hello\n")).err(), Some(NotMessages { line: 1 }));
    }

    proptest! {
        #[test]
        fn as_they_are_no_byte_is_lost_or_changed(file in "(MSH\\||PID|[\\r\\n\u{b}\u{1c}]|é){0,40}") {
            let file = Bytes::from(file);
            if let Ok(messages) = as_they_are(&file) {
                let joined: Vec<u8> = messages.iter().flat_map(|message| message.bytes.to_vec()).collect();
                prop_assert_eq!(joined, file.to_vec());
            }
        }

        #[test]
        fn normalized_messages_hold_no_lf_and_end_in_cr(file in prop::collection::vec(any::<u8>(), 0..200)) {
            let file = [b"MSH|\n".to_vec(), file].concat();
            for message in normalized(&file).unwrap() {
                prop_assert!(message.bytes.starts_with(b"MSH"));
                prop_assert!(!message.bytes.contains(&b'\n') && message.bytes.ends_with(b"\r"));
            }
        }
    }
}
