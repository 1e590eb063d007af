//! HL7 escape sequences (v2.9 section 2.7) into text.
//!
//! Invariants: nothing is lost, what is not understood stays as written; text without escapes is borrowed. The table
//! of what becomes what is that of `mllp/src/escape.rs`, which knows bytes and this room does not: a test of the daemon
//! holds that both decode alike.
//!
//! Numbers: a command that skips more than [`MAX_SKIP`] lines or blanks stays as written.

use std::borrow::Cow;

use super::field::Delimiters;

/// Most lines or blanks that one formatting command may stand for: a page.
const MAX_SKIP: usize = 100;

/// Decodes one value.
pub(super) fn decode(text: &str, delimiters: Delimiters) -> Cow<'_, str> {
    let escape = delimiters.escape;
    if !text.contains(escape) {
        return Cow::Borrowed(text);
    }
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(escape) {
        decoded.push_str(before);
        let sequence =
            after.split_once(escape).and_then(|(name, tail)| Some((sequence(name, delimiters)?, tail)));
        match sequence {
            Some((Sequence::Text(meant), tail)) => {
                decoded.push_str(&meant);
                rest = tail;
            }
            Some((Sequence::AsWritten, tail)) => {
                decoded.push(escape);
                decoded.push_str(&after[..after.len() - tail.len()]);
                rest = tail;
            }
            None => {
                decoded.push(escape);
                rest = after;
            }
        }
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

/// What a sequence stands for.
enum Sequence {
    Text(String),
    /// Known, and without text, or with one that only its sender can tell.
    AsWritten,
}

/// The sequence with this name; `None` where HL7 has none.
fn sequence(name: &str, delimiters: Delimiters) -> Option<Sequence> {
    let delimiter = match name {
        "F" => delimiters.field,
        "S" => delimiters.component,
        "T" => delimiters.subcomponent,
        "R" => delimiters.repetition,
        "E" => delimiters.escape,
        "P" => match delimiters.truncation {
            Some(truncation) => truncation,
            None => return Some(Sequence::AsWritten),
        },
        // Highlighting is no text.
        "H" | "N" => return Some(Sequence::Text(String::new())),
        _ => return longer(name),
    };
    Some(Sequence::Text(delimiter.to_string()))
}

fn longer(name: &str) -> Option<Sequence> {
    let mut letters = name.chars();
    let first = letters.next()?;
    let rest = letters.as_str();
    let hex = !rest.is_empty() && rest.chars().all(|c| c.is_ascii_hexdigit());
    match first {
        'X' if hex => Some(bytes(rest).map_or(Sequence::AsWritten, Sequence::Text)),
        'C' if hex && rest.len() == 4 => Some(Sequence::AsWritten),
        'M' if hex && (rest.len() == 4 || rest.len() == 6) => Some(Sequence::AsWritten),
        'Z' if rest.chars().all(|c| c.is_ascii_alphanumeric()) => Some(Sequence::AsWritten),
        '.' => formatting(rest),
        _ => None,
    }
}

/// A formatting command: two letters, and a number for some.
fn formatting(command: &str) -> Option<Sequence> {
    let (letters, number) = command.split_at_checked(2)?;
    let letters = letters.to_ascii_lowercase();
    let number = number.strip_prefix(' ').unwrap_or(number);
    let unsigned = number.strip_prefix(['+', '-']).unwrap_or(number);
    let numbered = !unsigned.is_empty() && unsigned.chars().all(|c| c.is_ascii_digit());
    let repeated = |what: &str| match number.parse::<usize>() {
        _ if number.is_empty() => Sequence::Text(what.to_owned()),
        Ok(count) if count <= MAX_SKIP => Sequence::Text(what.repeat(count)),
        _ => Sequence::AsWritten,
    };
    match letters.as_str() {
        "br" | "ce" if number.is_empty() => Some(Sequence::Text("\n".to_owned())),
        "fi" | "nf" if number.is_empty() => Some(Sequence::Text(String::new())),
        "in" | "ti" if numbered => Some(Sequence::Text(String::new())),
        "sp" if number.is_empty() || numbered => Some(repeated("\n")),
        "sk" if number.is_empty() || numbered => Some(repeated(" ")),
        _ => None,
    }
}

/// The text of pairs of hexadecimal digits; `None` where they are no such pairs or no UTF-8.
fn bytes(digits: &str) -> Option<String> {
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
    String::from_utf8(bytes?).ok()
}
