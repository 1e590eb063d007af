//! HL7 escape sequences (v2.9 section 2.7), both ways.
//!
//! Invariants
//! - Decoding loses nothing: an unknown or unpaired sequence stays in the text as it was written.
//! - `decode(encode(text)) == text` for every text.
//! - Text without escapes is borrowed, not copied.
//! - `clinical/` decodes by the same table with code of its own; a test of the daemon holds the two together.
//!
//! | sequence | becomes |
//! |---|---|
//! | `\F\ \S\ \T\ \R\ \E\`, and `\P\` where MSH-2 declares it | the delimiter |
//! | `\Xhh..\` | its bytes where they are UTF-8 |
//! | `\.br\ \.ce\`, `\.sp\` and `\.spN\` | a line feed, or N of them |
//! | `\.skN\` | N blanks |
//! | `\H\ \N\ \.fi\ \.nf\ \.inN\ \.tiN\` | nothing: how text is shown, not what it says |
//! | `\Cxxyy\ \Mxxyyzz\ \Zdd..\`, hex that is no UTF-8, and `\P\` elsewhere | stays as written: the first two switch the character set of what follows, which only the original tells; the third is known to its sender |
//! | anything else | no sequence: its first mark stands alone, and its second may begin one |
//!
//! What is written: the delimiters by their letters, control characters as `\Xhh\`.
//!
//! Numbers: a command that skips more than [`MAX_SKIP`] stays as written, so that a few bytes cannot become a
//! gigabyte.

use std::borrow::Cow;

use memchr::memchr;

use crate::separators::Separators;

/// Most lines or blanks that one formatting command may stand for: a page.
pub const MAX_SKIP: usize = 100;

/// Unescapes one value (a subcomponent, or a component or field that has none).
pub fn decode<'a>(text: &'a str, separators: &Separators) -> Cow<'a, str> {
    let find = |from: usize| memchr(separators.escape, &text.as_bytes()[from..]).map(|offset| from + offset);
    let Some(mut open) = find(0) else {
        return Cow::Borrowed(text);
    };
    let (mut out, mut copied) = (String::with_capacity(text.len()), 0);
    while let Some(close) = find(open + 1) {
        let Some(meaning) = meaning(&text[open + 1..close], separators) else {
            open = close; // the first stands alone in the text; the second may open a sequence
            continue;
        };
        if let Meaning::Text(meant) = meaning {
            out.push_str(&text[copied..open]);
            out.push_str(&meant);
            copied = close + 1;
        }
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

/// What stands between two escape characters.
enum Meaning {
    /// This text.
    Text(String),
    /// A sequence without text of its own, or whose text is not ours to tell: as written.
    AsWritten,
}

/// What `body` means; `None` where it is no sequence of HL7, so that prose between two stray marks does not swallow a
/// sequence behind it (`50\50 given \F\ taken`).
fn meaning(body: &str, separators: &Separators) -> Option<Meaning> {
    let delimiter = match body {
        "F" => separators.field,
        "S" => separators.component,
        "T" => separators.subcomponent,
        "R" => separators.repetition,
        "E" => separators.escape,
        "P" => match separators.truncation {
            Some(truncation) => truncation,
            None => return Some(Meaning::AsWritten),
        },
        "H" | "N" => return Some(Meaning::Text(String::new())),
        _ => return longer_meaning(body),
    };
    Some(Meaning::Text(char::from(delimiter).to_string()))
}

fn longer_meaning(body: &str) -> Option<Meaning> {
    let mut rest = body.chars();
    let first = rest.next()?;
    let rest = rest.as_str();
    let is_hex = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    match first {
        'X' if is_hex => Some(hex(rest).map_or(Meaning::AsWritten, Meaning::Text)),
        'C' if is_hex && rest.len() == 4 => Some(Meaning::AsWritten),
        'M' if is_hex && matches!(rest.len(), 4 | 6) => Some(Meaning::AsWritten),
        'Z' if rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) => Some(Meaning::AsWritten),
        '.' => formatting(rest),
        _ => None,
    }
}

/// A formatting command (v2.9 section 2.7.6): two letters, and a number for some.
fn formatting(command: &str) -> Option<Meaning> {
    let (name, number) = command.split_at_checked(2)?;
    let number = number.strip_prefix(' ').unwrap_or(number);
    let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let skip = |what: char, least: usize| match number {
        "" => Meaning::Text(what.to_string().repeat(least)),
        _ => match number.parse() {
            Ok(count @ 0..=MAX_SKIP) => Meaning::Text(what.to_string().repeat(count)),
            _ => Meaning::AsWritten,
        },
    };
    match (name.to_ascii_lowercase().as_str(), number.is_empty()) {
        ("br" | "ce", true) => Some(Meaning::Text("\n".to_owned())),
        ("fi" | "nf", true) => Some(Meaning::Text(String::new())),
        ("in" | "ti", _) if is_number => Some(Meaning::Text(String::new())),
        ("sp", empty) if empty || is_number => Some(skip('\n', 1)),
        ("sk", empty) if empty || is_number => Some(skip(' ', 1)),
        _ => None,
    }
}

/// The text of pairs of hexadecimal digits; `None` where they are no such pairs or no UTF-8.
fn hex(digits: &str) -> Option<String> {
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    let pairs = digits.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(nibble(*high)? * 16 + nibble(*low)?).ok(),
        _ => None,
    });
    String::from_utf8(pairs.collect::<Option<Vec<u8>>>()?).ok()
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
            (r"one\.BR\two\.sp\three\.sp2\four\.ce\five", "one\ntwo\nthree\n\nfour\nfive"),
            (r"\.fi\a\.in+4\b\.ti-2\c\.nf\\.sk3\d\.sk 1\e\.in 4\", "abc   d e"),
            (r"\.sp0\a\.sp+2\", "a\n\n"),
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
        for text in [
            r"\Z12\",
            r"\Z\",
            r"\C2842\",
            r"\M2120\",
            r"\M212042\",
            r"\.sp101\",
            r"\.sp99999999999999999999\",
            r"\.sk-1\",
            r"\.in\",
            r"\.xy\",
            r"\.é\",
            r"\.\",
            r"\X4\",
            r"\XZZ\",
            r"\X\",
            r"\XFF\",
            r"\f\",
        ] {
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
        // A sequence whose meaning is not ours keeps both its marks; what is no sequence gives its second one up.
        assert_eq!(decode(r"\Z1\F\T\", &USUAL), r"\Z1\F&");
        assert_eq!(decode(r"a\b\T\c", &USUAL), r"a\b&c");
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
        fn no_text_makes_the_decoder_panic_or_lose_what_is_no_sequence(text in "\\PC{0,30}|[\\\\FX0.spZé ]{0,30}") {
            let kept = |s: &str| s.chars().filter(|c| *c == 'é').count();
            prop_assert_eq!(kept(&decode(&text, &USUAL)) , kept(&text));
        }
    }
}
