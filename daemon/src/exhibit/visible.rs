//! Bytes of a message as text that a terminal may have: nothing in it steers a terminal or hides.

/// Longest text of one field; the whole of it is in the file that `--raw` writes.
const FIELD_MOST: usize = 400;

/// A text with everything that is not plainly printable as an escape: control characters, text direction, blanks
/// of no width. Bytes that are no UTF-8 are shown as `\xHH`, whatever MSH-18 says.
pub fn visible(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut shown = 0;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if shown == FIELD_MOST {
                return cut(out, bytes.len());
            }
            shown += 1;
            push(&mut out, c);
        }
        for byte in chunk.invalid() {
            if shown == FIELD_MOST {
                return cut(out, bytes.len());
            }
            shown += 1;
            out.push_str(&format!("\\x{byte:02X}"));
        }
    }
    out
}

fn push(out: &mut String, c: char) {
    if c.is_ascii_graphic() || c == ' ' {
        out.push(c);
    } else if (c as u32) < 0x100 && c.is_control() {
        out.push_str(&format!("\\x{:02X}", c as u32));
    } else {
        // What Rust's own debug output escapes is what does not print: format characters, private use and such.
        out.extend(c.escape_debug());
    }
}

fn cut(mut out: String, bytes: usize) -> String {
    out.push_str(&format!("... ({bytes} bytes in all)"));
    out
}

/// What is said of a text that is masked: what it is made of and between which lengths it lies.
pub fn masked(bytes: &[u8]) -> String {
    let length = bytes.len();
    let most = length.next_power_of_two().max(4);
    let least = if most == 4 { 1 } else { most / 2 + 1 };
    let all = |fits: fn(&u8) -> bool| bytes.iter().all(fits);
    let kind = if all(u8::is_ascii_digit) {
        "digits"
    } else if all(|b| b.is_ascii_digit() || b"+-.<>=".contains(b)) {
        "number"
    } else if std::str::from_utf8(bytes).is_ok_and(|text| !text.contains(char::is_control)) {
        "text"
    } else {
        "bytes"
    };
    format!("[{kind} {least}-{most}]")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_is_left() {
        for (bytes, text) in [
            (&b"plain \\ \"text\" 'x'"[..], "plain \\ \"text\" 'x'"),
            (b"\x1b[2J\x07", "\\x1B[2J\\x07"),
            ("é ü 漢".as_bytes(), "é ü 漢"),
            ("\u{202e}txt\u{200b}\u{85}".as_bytes(), "\\u{202e}txt\\u{200b}\\x85"),
            (b"\xff\xfeA", "\\xFF\\xFEA"),
            (b"", ""),
        ] {
            assert_eq!(visible(bytes), text);
        }
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(visible(&[b'a'; 400]).len(), 400);
        let cut = visible(&[b'a'; 401]);
        assert!(cut.ends_with("a... (401 bytes in all)"), "{cut}");
    }

    #[test]
    fn a_masked_text_tells_its_kind_and_the_class_of_its_length() {
        for (bytes, told) in [
            (&b"7"[..], "[digits 1-4]"),
            (b"1234", "[digits 1-4]"),
            (b"12345", "[digits 5-8]"),
            (b"120.5", "[number 5-8]"),
            (b"<40", "[number 1-4]"),
            (b"plenty", "[text 5-8]"),
            ("Zoë".as_bytes(), "[text 1-4]"),
            (b"a\x1bb", "[bytes 1-4]"),
            (b"\xffabcdefg", "[bytes 5-8]"),
            (b"123456789", "[digits 9-16]"),
        ] {
            assert_eq!(masked(bytes), told);
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_no_control_character_leaves(bytes in prop::collection::vec(any::<u8>(), 0..900)) {
            let text = visible(&bytes);
            let steers = text.contains(|c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
            prop_assert!(!steers, "{:?}", text);
        }
    }
}
