//! The segment splitter: lossless, whatever the terminator.
//!
//! Invariant: segments seen = non-blank lines sent. CR is the standard's terminator; LF, CRLF and doubled
//! CR are what senders and text editors make of it. Only terminators and blank lines are left out.

use std::iter::FusedIterator;

use memchr::memchr2;

/// The segments of a message, in order, without their terminators. Never empty slices, and none that
/// holds blanks alone.
pub fn segments(message: &[u8]) -> Segments<'_> {
    Segments { rest: message }
}

/// See [`segments`].
#[derive(Clone)]
pub struct Segments<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let end = memchr2(b'\r', b'\n', self.rest).unwrap_or(self.rest.len());
            let (line, rest) = self.rest.split_at(end);
            self.rest = rest.get(1..).unwrap_or_default();
            if !line.trim_ascii().is_empty() {
                return Some(line);
            }
        }
        None
    }
}

impl FusedIterator for Segments<'_> {}

/// Field `number` (from 1) of a segment other than MSH; empty where the segment is shorter.
pub(crate) fn field(segment: &[u8], separator: u8, number: usize) -> &[u8] {
    part(segment, separator, number)
}

/// Part `index` (from 0) of `bytes` cut at `separator`; empty where there are fewer.
pub(crate) fn part(bytes: &[u8], separator: u8, index: usize) -> &[u8] {
    bytes.split(|byte| *byte == separator).nth(index).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_terminator_gives_the_same_segments() {
        for message in [
            &b"MSH|a\rPID|b\rOBX|c\r"[..],
            b"MSH|a\nPID|b\nOBX|c\n",
            b"MSH|a\r\nPID|b\r\nOBX|c\r\n",
            b"MSH|a\r\rPID|b\r\rOBX|c\r\r",
            b"\r\nMSH|a\rPID|b\n\nOBX|c",
            b"MSH|a\r  \rPID|b\r\t\nOBX|c",
        ] {
            let seen: Vec<_> = segments(message).collect();
            assert_eq!(seen, [&b"MSH|a"[..], b"PID|b", b"OBX|c"], "{message:?}");
        }
    }

    #[test]
    fn a_junk_line_a_bare_name_and_a_leading_space_are_kept() {
        let seen: Vec<_> = segments(b"MSH|a\rjunk\rOBX\r PID|b\r").collect();
        assert_eq!(seen, [&b"MSH|a"[..], b"junk", b"OBX", b" PID|b"]);
    }

    #[test]
    fn nothing_gives_no_segments() {
        assert_eq!(segments(b"").count(), 0);
        assert_eq!(segments(b"\r\n\r \n").count(), 0);
    }

    #[test]
    fn a_field_beyond_the_end_is_empty() {
        assert_eq!(field(b"MSA|AA|17", b'|', 2), b"17");
        assert_eq!(field(b"MSA|AA|17", b'|', 3), b"");
    }

    proptest! {
        #[test]
        fn no_byte_but_terminators_and_blank_lines_is_lost(message: Vec<u8>) {
            let kept: Vec<u8> = segments(&message).flatten().copied().filter(|b| !b.is_ascii_whitespace()).collect();
            let sent: Vec<u8> = message.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
            prop_assert_eq!(kept, sent);
        }
    }
}
