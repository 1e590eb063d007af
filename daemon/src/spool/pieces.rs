//! The messages in a file of HL7 v2 text, one at a time. Pure.
//!
//! Rules: a message begins where a line begins with `MSH` and a delimiter, and ends where the next begins, at the end
//! of its frame, or at a batch segment (FHS, BHS, BTS, FTS: HL7 v2.5.1 section 2.10.3). Lines end in CR, LF or CRLF. A
//! byte order mark at the start and frame bytes (VT before a message, FS at the end of a line) are no content.
//!
//! Invariants: a message is a slice of the file, unchanged; of a captured MLLP stream it is the payload, byte for byte.
//! Every line that is not blank and no batch segment is in exactly one piece: text that stands where a message should
//! begin is a piece of its own, which the envelope refuses. Nothing is gathered: a file of many small messages costs
//! no more memory than one of few.

use bytes::Bytes;
use mllp::frame::{FS, VT};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// Most batches whose counts are told; a file with more wrong counts has one fault.
const MOST_NOTES: usize = 20;

/// What should be one message.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// The line it begins on, from 1.
    pub(super) line: usize,
    pub(super) bytes: Bytes,
}

/// Cuts a file; an iterator of its pieces.
pub(super) struct Pieces {
    file: Bytes,
    /// Where the next line begins, and its number less one.
    at: usize,
    lines: usize,
    /// The piece that is open: its first line, its first byte, and the end of its last line.
    open: Option<(usize, usize, usize)>,
    /// The frame of the open piece has ended: what follows is another.
    frame_over: bool,
    count: Counts,
}

/// What the batch segments said, and what was found.
#[derive(Default)]
struct Counts {
    /// A batch segment was seen.
    any: bool,
    messages_of_batch: u64,
    batches: u64,
    notes: Vec<String>,
}

impl Pieces {
    pub(super) fn of(file: Bytes) -> Self {
        Self { file, at: 0, lines: 0, open: None, frame_over: false, count: Counts::default() }
    }

    /// Whether a batch segment was seen so far.
    pub(super) fn has_batches(&self) -> bool {
        self.count.any
    }

    /// Counts in batch segments that were wrong so far.
    pub(super) fn notes(&self) -> &[String] {
        &self.count.notes
    }

    fn piece(&self, (line, start, end): (usize, usize, usize)) -> Piece {
        Piece { line, bytes: self.file.slice(start..end) }
    }

    /// Takes the next line. Gives the piece that it ends, if it ends one.
    fn line(&mut self) -> Option<Piece> {
        let file = self.file.clone();
        let rest = &file[self.at..];
        let length = line_length(rest);
        let terminator = match &rest[length..] {
            [b'\r', b'\n', ..] => 2,
            [] => 0,
            _ => 1,
        };
        let (mut start, end) = (self.at, self.at + length);
        self.at = end + terminator;
        self.lines += 1;
        if self.lines == 1 && rest.starts_with(BYTE_ORDER_MARK) {
            start += BYTE_ORDER_MARK.len();
        }
        while start < end && file[start] == VT {
            start += 1;
        }
        let ends_frame = start < end && file[end - 1] == FS;
        let content = &file[start..end - usize::from(ends_frame)];
        if content.trim_ascii().is_empty() {
            self.frame_over |= ends_frame;
            return None;
        }
        let batch = batch_segment(content);
        let over = std::mem::replace(&mut self.frame_over, ends_frame);
        let closed = if over || batch.is_some() || begins_message(content) { self.close() } else { None };
        if let Some(segment) = batch {
            self.count.take(segment, content, self.lines);
            return closed;
        }
        let upto = if ends_frame { end - 1 } else { self.at };
        let (line, from) = self.open.map_or((self.lines, start), |(line, from, _)| (line, from));
        self.open = Some((line, from, upto));
        closed
    }

    fn close(&mut self) -> Option<Piece> {
        let open = self.open.take()?;
        self.count.messages_of_batch += 1;
        Some(self.piece(open))
    }
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        while self.at < self.file.len() {
            if let Some(piece) = self.line() {
                return Some(piece);
            }
        }
        self.close()
    }
}

impl Counts {
    fn take(&mut self, segment: &[u8; 3], content: &[u8], line: usize) {
        self.any = true;
        let (found, what) = match segment {
            b"BTS" => (std::mem::take(&mut self.messages_of_batch), "BTS, field 1: the batch says it holds"),
            b"FTS" => (std::mem::take(&mut self.batches), "FTS, field 1: the file says it holds"),
            _ => {
                self.messages_of_batch = 0;
                return;
            }
        };
        self.batches += u64::from(segment == b"BTS");
        let separator = content.get(3).copied().unwrap_or(b'|');
        let stated = content.split(|byte| *byte == separator).nth(1).unwrap_or_default();
        let stated = std::str::from_utf8(stated).ok().and_then(|text| text.trim().parse::<u64>().ok());
        if let Some(stated) = stated.filter(|stated| *stated != found)
            && self.notes.len() < MOST_NOTES
        {
            self.notes.push(format!("line {line}: {what} {stated}, and {found} were found"));
        }
    }
}

/// The length of the line at the beginning, without its end.
fn line_length(rest: &[u8]) -> usize {
    rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len())
}

fn begins_message(content: &[u8]) -> bool {
    content.strip_prefix(b"MSH").and_then(<[u8]>::first).is_some_and(u8::is_ascii_punctuation)
}

/// The name of a batch segment.
fn batch_segment(content: &[u8]) -> Option<&'static [u8; 3]> {
    let names: [&'static [u8; 3]; 4] = [b"FHS", b"BHS", b"BTS", b"FTS"];
    let ends = content.get(3).is_none_or(u8::is_ascii_punctuation);
    names.into_iter().find(|name| ends && content.starts_with(*name))
}

/// Whether the first line that is not blank is a message's or a batch's: what no export begins with.
pub(super) fn is_hl7(file: &[u8]) -> bool {
    let file = file.strip_prefix(BYTE_ORDER_MARK).unwrap_or(file);
    let start = file.iter().position(|byte| !byte.is_ascii_whitespace() && *byte != VT).unwrap_or(file.len());
    let rest = &file[start..];
    let line = &rest[..line_length(&rest[..rest.len().min(8)])];
    begins_message(line) || batch_segment(line).is_some()
}

/// Whether any line begins a message.
pub(super) fn holds_message(file: &[u8]) -> bool {
    file.split(|byte| matches!(byte, b'\r' | b'\n')).any(|line| {
        let content = line.iter().position(|byte| *byte != VT).map_or(&[][..], |start| &line[start..]);
        begins_message(content)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(file: &[u8]) -> Vec<(usize, String)> {
        let pieces = Pieces::of(Bytes::copy_from_slice(file));
        pieces.map(|piece| (piece.line, String::from_utf8_lossy(&piece.bytes).into_owned())).collect()
    }

    fn notes(file: &'static [u8]) -> Vec<String> {
        let mut pieces = Pieces::of(Bytes::from_static(file));
        pieces.by_ref().for_each(drop);
        pieces.notes().to_vec()
    }

    #[test]
    fn every_terminator_and_any_blank_lines_give_the_messages_as_they_stand() {
        for (file, wanted) in [
            (&b"MSH|1\rPID|1\rMSH|2\r"[..], vec![(1, "MSH|1\rPID|1\r"), (3, "MSH|2\r")]),
            (b"MSH|1\nPID|1\nMSH|2", vec![(1, "MSH|1\nPID|1\n"), (3, "MSH|2")]),
            (b"\r\n\r\nMSH|1\r\nPID|1\r\n\r\nMSH|2\r\n", vec![(3, "MSH|1\r\nPID|1\r\n"), (6, "MSH|2\r\n")]),
            (b"\xEF\xBB\xBFMSH|1\n", vec![(1, "MSH|1\n")]),
            (b"MSH#1\nNTE#MSH|2\nMSHA|x\n", vec![(1, "MSH#1\nNTE#MSH|2\nMSHA|x\n")]),
            (b"", vec![]),
            (b"\n \r\n", vec![]),
        ] {
            let wanted: Vec<_> = wanted.into_iter().map(|(line, text)| (line, text.to_owned())).collect();
            assert_eq!(cut(file), wanted, "{file:?}");
        }
    }

    #[test]
    fn a_captured_stream_gives_the_payloads_of_its_frames() {
        let wanted = [(1, "MSH|1\rPID|1\r".to_owned()), (4, "MSH|2\r".to_owned())];
        assert_eq!(cut(b"\x0bMSH|1\rPID|1\r\x1c\r\x0bMSH|2\r\x1c\r"), wanted);
        assert_eq!(
            cut(b"\x0bMSH|1\rPID|1\x1c\r\x0bMSH|2\x1c\r"),
            [(1, "MSH|1\rPID|1".to_owned()), (3, "MSH|2".to_owned())]
        );
        // What follows a frame and is no message is a piece of its own.
        assert_eq!(
            cut(b"\x0bMSH|1\r\x1c\rjunk\rMSH|2\r"),
            [(1, "MSH|1\r".to_owned()), (3, "junk\r".to_owned()), (4, "MSH|2\r".to_owned())]
        );
    }

    #[test]
    fn batch_segments_are_no_part_of_a_message_and_text_before_one_is_a_piece_of_its_own() {
        let file = b"FHS|\nBHS|\nMSH|1\nPID|1\nMSH|2\nBTS|2\nFTS|1\nleft over\n";
        let wanted =
            [(3, "MSH|1\nPID|1\n".to_owned()), (5, "MSH|2\n".to_owned()), (8, "left over\n".to_owned())];
        assert_eq!(cut(file), wanted);
        assert_eq!(cut(b"hello\nMSH|1\n"), [(1, "hello\n".to_owned()), (2, "MSH|1\n".to_owned())]);
    }

    #[test]
    fn a_count_that_is_not_what_was_found_is_told_with_its_line() {
        assert!(notes(b"FHS|\nBHS|\nMSH|1\nBTS|1\nBHS|\nBTS|0\nFTS|2\n").is_empty());
        assert!(notes(b"BHS|\nMSH|1\nBTS\n").is_empty(), "no count is stated");
        assert_eq!(
            notes(b"FHS|\nBHS|\nMSH|1\nMSH|2\nBTS|3\nFTS|2\n"),
            [
                "line 5: BTS, field 1: the batch says it holds 3, and 2 were found",
                "line 6: FTS, field 1: the file says it holds 2, and 1 were found"
            ]
        );
    }

    #[test]
    fn hl7_is_known_by_its_first_line() {
        for (file, is) in [
            (&b"MSH|^~"[..], true),
            (b"\xEF\xBB\xBF\r\n \x0bMSH|", true),
            (b"FHS|", true),
            (b"BHS", true),
            (b"MSHA|", false),
            (b"Index,Timestamp\nMSH|", false),
            (b"", false),
        ] {
            assert_eq!(is_hl7(file), is, "{file:?}");
        }
        assert!(holds_message(b"Index\n\x0bMSH|"));
        assert!(!holds_message(b"Index,MSH|"));
    }

    /// Whether VT stands before it, its content (what begins with B is a batch segment), whether FS ends it, its end.
    fn line() -> impl Strategy<Value = (bool, &'static str, bool, &'static str)> {
        let content = prop::sample::select(vec!["MSH|1", "PID|x", "é", "", " ", "BHS|", "BTS|2"]);
        (any::<bool>(), content, any::<bool>(), prop::sample::select(vec!["\r", "\n", "\r\n"]))
    }

    proptest! {
        #[test]
        fn every_line_is_in_one_piece_and_pieces_come_in_order(lines in prop::collection::vec(line(), 0..40)) {
            let file: String = lines
                .iter()
                .map(|(starts, content, ends, terminator)| {
                    let (vt, fs) = (if *starts { "\u{b}" } else { "" }, if *ends { "\u{1c}" } else { "" });
                    format!("{vt}{content}{fs}{terminator}")
                })
                .collect();
            let (mut last, mut held) = (0, String::new());
            for piece in Pieces::of(Bytes::from(file)) {
                prop_assert!(piece.line > last);
                last = piece.line;
                held.push_str(std::str::from_utf8(&piece.bytes).unwrap());
            }
            held.retain(|c| !c.is_whitespace() && !matches!(c, '\u{b}' | '\u{1c}'));
            let wanted = lines.iter().map(|(_, content, _, _)| *content).filter(|content| !content.starts_with('B'));
            prop_assert_eq!(held, wanted.collect::<String>().replace(' ', ""));
        }

        #[test]
        fn no_bytes_panic(file: Vec<u8>) {
            let _ = cut(&file);
            let _ = (is_hl7(&file), holds_message(&file));
        }
    }
}
