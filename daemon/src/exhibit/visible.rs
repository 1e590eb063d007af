//! Text of a stranger as a terminal or a page may have it: nothing in it steers, hides, or changes its direction. The one
//! rule of that is [`print()`]; everything that shows text of messages, files, people or rules goes through it.

use std::{borrow::Cow, fmt};

/// What begins a terminal's command.
pub const ESCAPE: char = '\u{1b}';

/// Longest text of one field; the whole of it is in the file that `--raw` writes.
const FIELD_MOST: usize = 400;

/// Bytes of a message, with everything that does not plainly print as an escape, cut where they are many. Bytes that are
/// no UTF-8 are shown as `\xHH`, whatever MSH-18 says.
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

/// A text (a file's name, a title, a person's name) with everything that does not plainly print as an escape, whole.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| push(&mut out, c));
    out
}

/// The same of several lines: line feeds stay.
#[must_use]
pub fn lines(text: &str) -> String {
    but(text, |c| c == '\n')
}

/// The same of lines that we coloured ourselves, and in which nobody else's escape is left: those stay too.
#[must_use]
pub fn coloured(text: &str) -> String {
    but(text, |c| matches!(c, '\n' | ESCAPE))
}

fn but(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| if stays(c) { out.push(c) } else { push(&mut out, c) });
    out
}

/// A JSON text that says the same, in which every character beyond ASCII that does not plainly print is written as JSON's
/// own escape (RFC 8259, section 7); those within ASCII its writer escaped already, but for DEL.
#[must_use]
pub fn in_json(json: &str) -> Cow<'_, str> {
    if json.bytes().all(|byte| byte < 0x7f) {
        return json.into();
    }
    let (mut out, mut shown) = (String::with_capacity(json.len()), String::new());
    for c in json.chars() {
        shown.clear();
        push(&mut shown, c);
        if (c as u32) < 0x7f || shown.chars().eq([c]) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out += &format!("\\u{unit:04x}");
        }
    }
    out.into()
}

fn push(out: &mut String, c: char) {
    // Writing to a String cannot fail.
    let _ = print(out, c);
}

/// Writes a character: itself where it prints, else as an escape. Control characters become `\xHH`, format characters
/// (text direction, blanks of no width), private use and what is not assigned `\u{H}`. Marks that stand on the letter
/// before them print: a name in decomposed form (as some systems keep file names) stays what it is.
///
/// # Errors
/// Those of `out`.
pub fn print(out: &mut impl fmt::Write, c: char) -> fmt::Result {
    if c.is_ascii_graphic() || c == ' ' {
        return out.write_char(c);
    }
    if (c as u32) < 0x100 && c.is_control() {
        return write!(out, "\\x{:02X}", c as u32);
    }
    // What the debug output of a text escapes is what does not print; behind a letter a mark is none of it.
    let mut buffer = [b'a'; 5];
    let end = 1 + c.encode_utf8(&mut buffer[1..]).len();
    let behind_a_letter = std::str::from_utf8(&buffer[..end]).unwrap_or_default();
    behind_a_letter.escape_debug().skip(1).try_for_each(|c| out.write_char(c))
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
            ("Jose\u{301} \u{939}\u{93f}".as_bytes(), "Jose\u{301} \u{939}\u{93f}"),
            ("\u{2066}a\u{feff}\u{e000}\u{2028}".as_bytes(), "\\u{2066}a\\u{feff}\\u{e000}\\u{2028}"),
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

        #[test]
        fn a_whole_text_follows_the_same_rule(text in any::<String>(), plain in "[ -~]{0,600}") {
            let shown = printable(&text);
            let steers = shown.contains(|c: char| c.is_control() || ('\u{200b}'..='\u{200f}').contains(&c));
            prop_assert!(!steers, "{:?}", shown);
            prop_assert_eq!(printable(&shown), shown.clone());
            if text.chars().count() < FIELD_MOST {
                prop_assert_eq!(visible(text.as_bytes()), shown);
            }
            prop_assert_eq!(printable(&plain), plain);
        }
    }
}
