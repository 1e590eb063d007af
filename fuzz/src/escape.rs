//! What is escaped comes back, and nothing that was escaped can delimit or frame.

use mllp::{Separators, escape};

/// Most bytes that one byte of escaped text may stand for: the longest gap that a formatting command makes is a
/// hundred lines.
const MOST_FOR_ONE: usize = 16;

/// The first six bytes are MSH-1 and MSH-2, where they can be; the rest is the text.
pub fn judge(data: &[u8]) {
    let head = data.get(..6).unwrap_or_default();
    let declared = head.split_first().and_then(|(field, msh2)| Separators::parse(*field, msh2));
    let with_four = head.split_first().and_then(|(field, msh2)| Separators::parse(*field, &msh2[..4]));
    let separators = declared.or(with_four).unwrap_or_default();
    let text = String::from_utf8_lossy(data.get(6..).unwrap_or_default());

    let written = escape::encode(&text, &separators);
    assert_eq!(escape::decode(&written, &separators), text, "what was written is not what is read");
    let mark = separators.escape;
    let may_not_stand =
        |byte: u8| byte == separators.field || separators.encoding_characters().any(|one| one == byte);
    for byte in written.bytes().filter(|byte| *byte != mark) {
        assert!(!byte.is_ascii_control() && !may_not_stand(byte), "{byte:#04x} stands in what was escaped");
    }

    let read = escape::decode(&text, &separators);
    assert!(read.len() <= MOST_FOR_ONE * text.len(), "a few bytes became many");
    if !text.as_bytes().contains(&mark) {
        assert_eq!(read, text, "nothing was escaped in it");
    }
    let beyond_ascii = |text: &str| text.chars().filter(|c| !c.is_ascii()).count();
    assert!(beyond_ascii(&read) >= beyond_ascii(&text), "a letter was lost");
}
