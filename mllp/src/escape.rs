//! HL7 escape sequences (v2.5.1 section 2.7), both ways.
//!
//! Invariants
//! - Decoding loses nothing: an unknown or unpaired sequence stays in the text as it was written.
//! - `decode(encode(text)) == text` for every text.
//! - Text without escapes is borrowed, not copied.
//!
//! What becomes what: `\F\ \S\ \T\ \R\ \E\` and `\P\` the delimiters, `\Xhh..\` its bytes where they are
//! UTF-8, `\.br\` a line feed, `\H\` and `\N\` (highlighting on and off) nothing. The character set
//! switches `\Cxxyy\` and `\Mxxyyzz\` and other formatting commands stay as written.

use std::{borrow::Cow, str};

use memchr::memchr;

use crate::separators::Separators;

/// Unescapes one value (a subcomponent, or a component or field that has none).
pub fn decode<'a>(text: &'a str, separators: &Separators) -> Cow<'a, str> {
    let find = |from: usize| memchr(separators.escape, &text.as_bytes()[from..]).map(|offset| from + offset);
    let Some(mut open) = find(0) else {
        return Cow::Borrowed(text);
    };
    let (mut out, mut copied) = (String::with_capacity(text.len()), 0);
    while let Some(close) = find(open + 1) {
        let body = &text[open + 1..close];
        if !could_be_sequence(body) {
            open = close; // the first stands alone in the text; the second may open a sequence
            continue;
        }
        out.push_str(&text[copied..open]);
        copied = if push_meaning(body, separators, &mut out) { close + 1 } else { open };
        match find(close + 1) {
            Some(next) => open = next,
            None => break,
        }
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// Escapes `text` so that it can stand in any field: the delimiters, and control characters as `\Xhh\`.
pub fn encode<'a>(text: &'a str, separators: &Separators) -> Cow<'a, str> {
    let needs = |c: char| c.is_ascii() && escape_of(c as u8, separators).is_some();
    if !text.contains(needs) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mark = char::from(separators.escape);
    for c in text.chars() {
        match u8::try_from(c).ok().and_then(|byte| escape_of(byte, separators)) {
            Some(Escape::Letter(letter)) => out.extend([mark, letter, mark]),
            Some(Escape::Hex(byte)) => out.push_str(&format!("{mark}X{byte:02X}{mark}")),
            None => out.push(c),
        }
    }
    Cow::Owned(out)
}

enum Escape {
    Letter(char),
    Hex(u8),
}

fn escape_of(byte: u8, separators: &Separators) -> Option<Escape> {
    let letter = match byte {
        b if b == separators.field => 'F',
        b if b == separators.component => 'S',
        b if b == separators.subcomponent => 'T',
        b if b == separators.repetition => 'R',
        b if b == separators.escape => 'E',
        b if Some(b) == separators.truncation => 'P',
        b if b.is_ascii_control() => return Some(Escape::Hex(b)),
        _ => return None,
    };
    Some(Escape::Letter(letter))
}

/// Whether this may stand between two escape characters. Prose between two stray ones may not, so that
/// `50\50 given \F\ taken` still finds its `\F\`.
fn could_be_sequence(body: &str) -> bool {
    !body.is_empty() && body.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-'))
}

/// Appends what `body` stands for; `false`, with `out` unchanged, if it is not known.
fn push_meaning(body: &str, separators: &Separators, out: &mut String) -> bool {
    let delimiter = match body {
        "F" => separators.field,
        "S" => separators.component,
        "T" => separators.subcomponent,
        "R" => separators.repetition,
        "E" => separators.escape,
        "P" => match separators.truncation {
            Some(truncation) => truncation,
            None => return false,
        },
        ".br" | ".BR" => b'\n',
        "H" | "N" => return true,
        _ => return body.strip_prefix('X').is_some_and(|digits| push_hex(digits, out)),
    };
    out.push(char::from(delimiter));
    true
}

fn push_hex(digits: &str, out: &mut String) -> bool {
    let digits = digits.as_bytes();
    if digits.is_empty() || digits.len() % 2 == 1 {
        return false;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    let pairs = digits.chunks_exact(2).map(|pair| Some((nibble(pair[0])? * 16 + nibble(pair[1])?) as u8));
    let Some(bytes) = pairs.collect::<Option<Vec<u8>>>() else {
        return false;
    };
    match str::from_utf8(&bytes) {
        Ok(text) => out.push_str(text),
        Err(_) => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USUAL: Separators = Separators::RECOMMENDED;
    const WITH_TRUNCATION: Separators = Separators { truncation: Some(b'#'), ..USUAL };

    #[test]
    fn every_known_sequence_is_decoded() {
        for (written, meant) in [
            (r"a\F\b", "a|b"),
            (r"\S\\T\\R\\E\", r"^&~\"),
            (r"5\X41\6", "5A6"),
            (r"\X0D0a\", "\r\n"),
            (r"\XC3A9\", "é"),
            (r"one\.br\two", "one\ntwo"),
            (r"\H\bold\N\ not", "bold not"),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(decode(written, &USUAL), meant, "{written}");
        }
    }

    #[test]
    fn the_truncation_escape_is_known_only_where_the_character_is_declared() {
        assert_eq!(decode(r"1\P\2", &WITH_TRUNCATION), "1#2");
        assert_eq!(decode(r"1\P\2", &USUAL), r"1\P\2");
        assert_eq!(encode("1#2", &WITH_TRUNCATION), r"1\P\2");
        assert_eq!(encode("1#2", &USUAL), "1#2");
    }

    #[test]
    fn unknown_sequences_stay_as_written() {
        for text in
            [r"\Z12\", r"\C2842\", r"\M212042\", r"\.sp3\", r"\X4\", r"\XZZ\", r"\X\", r"\XFF\", r"\f\"]
        {
            assert_eq!(decode(text, &USUAL), text);
        }
    }

    #[test]
    fn text_after_an_unpaired_escape_is_not_lost() {
        for text in [r"\", r"a\b", r"10 mg\dl", r"\\server\share name", r"é\ü"] {
            assert_eq!(decode(text, &USUAL), text);
        }
        assert_eq!(decode(r"50\50 given \F\ taken", &USUAL), r"50\50 given | taken");
        assert_eq!(decode(r"\\F\", &USUAL), r"\|");
    }

    #[test]
    fn letters_of_several_bytes_before_an_escape_are_kept() {
        assert_eq!(decode(r"Größe\F\日本\T\", &USUAL), "Größe|日本&");
    }

    #[test]
    fn delimiters_and_control_characters_are_encoded() {
        assert_eq!(encode("a|b^c&d~e\\f", &USUAL), r"a\F\b\S\c\T\d\R\e\E\f");
        assert_eq!(encode("1\r2\n3\u{0B}4\u{1C}", &USUAL), r"1\X0D\2\X0A\3\X0B\4\X1C\");
        let custom = Separators::parse(b'$', b"@!%*").unwrap();
        assert_eq!(encode("a$|%", &custom), "a%F%|%E%");
    }

    #[test]
    fn what_needs_nothing_is_borrowed() {
        assert!(matches!(decode("plain é", &USUAL), Cow::Borrowed(_)));
        assert!(matches!(encode("plain é", &USUAL), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn text_survives_encoding_and_decoding(text in "[a-zFXN|^~&#$.\\\\\r\né日 ]{0,40}", which in 0usize..3) {
            let custom = Separators::parse(b'$', b".-|^").expect("punctuation, all different");
            let separators = [USUAL, WITH_TRUNCATION, custom][which];
            let written = encode(&text, &separators);
            prop_assert!(!written.contains(['\r', '\n', char::from(separators.field)]));
            prop_assert_eq!(&decode(&written, &separators), &text);
        }

        #[test]
        fn no_text_makes_the_decoder_panic_or_lose_what_is_no_sequence(text in "\\PC{0,30}|[\\\\FX0é ]{0,30}") {
            let kept = |s: &str| s.chars().filter(|c| *c == 'é').count();
            prop_assert_eq!(kept(&decode(&text, &USUAL)) , kept(&text));
        }
    }
}
