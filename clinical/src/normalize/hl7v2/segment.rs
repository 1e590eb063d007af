//! A message cut into segments.
//!
//! Invariants
//! - Every line that is not blank is one segment, whatever stands before or after it. CR, LF, CRLF and doubled CR
//!   end a line; framing bytes around a line and blanks before a segment's name are not part of it.
//! - A segment's place is that of its line among the lines that are not blank, as everybody else counts them (`mllp`
//!   does): a fault points at the line that a person is shown. A line of framing bytes alone has a place and is no
//!   segment.

use super::field::{Delimiters, Field, nth};

/// One segment line.
#[derive(Clone, Copy)]
pub(super) struct Segment<'a> {
    /// Its place among the message's segments, from 1.
    pub(super) ordinal: u32,
    /// The text before the first field separator.
    pub(super) name: &'a str,
    text: &'a str,
    delimiters: Delimiters,
}

impl<'a> Segment<'a> {
    /// The `n`th field, from 1, empty where there are fewer. Of MSH, 1 is the separator itself and is
    /// not offered: ask for 2 and above.
    pub(super) fn field(&self, n: usize) -> Field<'a> {
        let at = if self.name == "MSH" { n.saturating_sub(1) } else { n };
        Field::new(nth(self.text, self.delimiters.field, at), self.delimiters)
    }
}

/// What stands between the CR and LF of a message. By hand, because `str::split` looks at a set of characters one by
/// one: a fifth of the time that it took to read a message.
fn cut(message: &str) -> impl Iterator<Item = &str> {
    let ends = memchr::memchr2_iter(b'\r', b'\n', message.as_bytes()).chain([message.len()]);
    ends.scan(0, |from, end| message.get(std::mem::replace(from, end + 1)..end))
}

/// The lines of a message that hold something, bare of framing bytes, with their places from 1.
fn lines(message: &str) -> impl Iterator<Item = (u32, &str)> {
    let framing = |c: char| matches!(c, '\u{b}' | '\u{1c}' | '\u{feff}');
    let placed = (1..).zip(cut(message).filter(|line| !line.trim_ascii().is_empty()));
    placed
        .map(move |(place, line)| (place, line.trim_start_matches(|c: char| c.is_whitespace() || framing(c))))
        .map(move |(place, line)| (place, line.trim_end_matches(framing)))
        .filter(|(_, line)| !line.is_empty())
}

/// Whether a line begins a message, with whatever separator.
fn is_header(line: &str) -> bool {
    line.strip_prefix("MSH").is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
}

/// The segments of a message; `None` where it does not start with a header.
pub(super) fn segments(message: &str) -> Option<impl Iterator<Item = Segment<'_>>> {
    let (_, header) = lines(message).next()?;
    let delimiters = Delimiters::of_header(header)?;
    Some(lines(message).map(move |(ordinal, text)| {
        let name = match is_header(text) {
            true => "MSH",
            false => nth(text, delimiters.field, 0).trim_end(),
        };
        Segment { ordinal, name, text, delimiters }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalize::testdata;

    #[test]
    fn every_line_ending_gives_the_same_segments() {
        for end in ["\r", "\n", "\r\n", "\r\r", "\n\n", "\r\r\n"] {
            let message = ["MSH|^~\\&|A", "PID|1", "junk", "OBX|1"].join(end);
            let names: Vec<_> = segments(&message).unwrap().map(|s| (s.ordinal, s.name)).collect();
            assert_eq!(names, [(1, "MSH"), (2, "PID"), (3, "junk"), (4, "OBX")], "{end:?}");
        }
    }

    #[test]
    fn blank_lines_lone_names_and_leading_blanks_lose_nothing() {
        let message = "\u{b}MSH|^~\\&|A\r \rPID\r  OBX|1\r\u{1c}\r";
        let names: Vec<_> = segments(message).unwrap().map(|s| s.name).collect();
        assert_eq!(names, ["MSH", "PID", "OBX"]);
        let last = segments("MSH|^~\\&|\rOBX|1\u{1c}").unwrap().nth(1).unwrap();
        assert_eq!(last.field(1).text(), "1");
    }

    #[test]
    fn a_place_counts_every_line_that_is_not_blank_framing_bytes_alone_too() {
        let message = "\u{b}\r\u{feff}\r \t\rMSH|^~\\&|A\r\u{a0}\rOBX|1";
        let places: Vec<_> = segments(message).unwrap().map(|s| (s.ordinal, s.name)).collect();
        assert_eq!(places, [(3, "MSH"), (5, "OBX")]);
    }

    #[test]
    fn fields_of_the_header_are_counted_from_its_separator() {
        let header = segments("MSH|^~\\&|APP|FAC").unwrap().next().unwrap();
        assert_eq!((header.field(3).text(), header.field(4).text()), ("APP".into(), "FAC".into()));
        let header = segments("MSH$:*!@$APP").unwrap().next().unwrap();
        assert_eq!(header.field(3).text(), "APP");
    }

    #[test]
    fn what_does_not_start_with_a_header_has_no_segments() {
        for text in ["", "\r\r", "PID|1", "MSH", "\u{1c}"] {
            assert!(segments(text).is_none(), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_message_is_cut_at_every_cr_and_lf_of_any_text(text in "[a|\r\n é日\u{b}\u{1c}]{0,40}") {
            proptest::prop_assert!(cut(&text).eq(text.split(['\r', '\n'])));
        }
    }

    /// The lines of a message by plain means.
    fn plain(text: &str) -> Vec<&str> {
        text.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty()).collect()
    }

    #[test]
    fn segments_seen_are_the_non_blank_lines_of_every_public_message_whatever_ends_them() {
        let mut seen = 0;
        for (name, bytes) in testdata::files("hl7", ".hl7").into_iter().flatten() {
            let text = String::from_utf8_lossy(&bytes);
            let expected = plain(&text);
            let joined = |terminator| expected.join(terminator) + terminator;
            for form in [text.to_string(), joined("\r"), joined("\n"), joined("\r\n"), joined("\r\r")] {
                let found: Vec<Segment<'_>> = segments(&form).unwrap().collect();
                assert!(found.iter().map(|segment| segment.text.trim_end()).eq(plain(&form)), "{name}");
                assert_eq!(found.len(), expected.len(), "{name}");
                assert!(found.iter().zip(1..).all(|(segment, n)| segment.ordinal == n), "{name}");
            }
            // MSH-1 is the separator itself, so that MSH-n is the n-1th of what it separates.
            let separator = expected[0].chars().nth(3).unwrap();
            let header = segments(&text).unwrap().next().unwrap();
            for (n, field) in (1..).zip(expected[0].split(separator)).skip(1) {
                assert_eq!(header.field(n).raw().trim(), field.trim(), "{name}: MSH-{n}");
            }
            seen += 1;
        }
        println!("{seen} public messages");
    }
}
