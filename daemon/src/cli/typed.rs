//! What is read from standard input so that it does not stand on a command line, where other users see it in `/proc`, sudo logs
//! it and a shell remembers it: whom a command is about, and what people say of them.

use std::{
    borrow::Cow,
    io::{self, BufRead, IsTerminal, Read, Write},
    path::Path,
};

/// What stands for standard input in the place of a value or a file.
const STANDARD_INPUT: &str = "-";
/// Longest line that is read: an identifier's system and value are shorter.
const LINE_MOST_BYTES: u64 = 4_096;

/// The text of an argument, or the next line of standard input where the argument is `-`. On a terminal it is asked for.
///
/// # Errors
/// Why there is none, in words for people; nothing of the line is in it.
pub(super) fn or_line<'a>(argument: &'a str, asked: &str) -> Result<Cow<'a, str>, String> {
    if argument != STANDARD_INPUT {
        return Ok(argument.into());
    }
    ask(asked);
    line(&mut io::stdin().lock()).map(Cow::Owned)
}

/// The whole of a file, or of standard input where the file is `-` or none is named; one byte more than `most` at the
/// longest, which tells that it is too long.
///
/// # Errors
/// Why it cannot be read, in words for people.
pub(super) fn text(file: Option<&Path>, most: usize, asked: &str) -> Result<String, String> {
    let (mut text, most) = (String::new(), most as u64 + 1);
    match file.filter(|file| *file != Path::new(STANDARD_INPUT)) {
        Some(file) => {
            let read = std::fs::File::open(file).and_then(|open| open.take(most).read_to_string(&mut text));
            read.map_err(|error| format!("{}: {error}", file.display()))?;
        }
        None => {
            ask(asked);
            let read = io::stdin().lock().take(most).read_to_string(&mut text);
            read.map_err(|error| format!("standard input: {error}"))?;
        }
    }
    Ok(text)
}

/// Says on a terminal what is waited for.
fn ask(what: &str) {
    if io::stdin().is_terminal() {
        let mut shown = io::stderr();
        // Somebody who does not see it can still type.
        let _unseen = write!(shown, "{what}: ").and_then(|()| shown.flush());
    }
}

fn line(input: &mut impl BufRead) -> Result<String, String> {
    let mut line = String::new();
    let read = input.take(LINE_MOST_BYTES).read_line(&mut line);
    read.map_err(|error| format!("standard input: {error}"))?;
    match line.trim_end_matches(['\n', '\r']) {
        "" => Err("standard input has no line for it".to_owned()),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_and_what_follows_it_is_left_for_what_is_read_next() {
        let mut input = &b"urn:oid:1.2.3|7700001\r\nAte late.\n"[..];
        assert_eq!(line(&mut input), Ok("urn:oid:1.2.3|7700001".to_owned()));
        assert_eq!(input, b"Ate late.\n");
        for empty in ["", "\n"] {
            assert!(line(&mut empty.as_bytes()).is_err());
        }
        assert_eq!(or_line("urn:x|1", "?").as_deref(), Ok("urn:x|1"));
    }

    #[test]
    fn a_file_is_read_one_byte_further_than_it_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("note.txt");
        std::fs::write(&path, "x".repeat(100)).unwrap();
        assert_eq!(text(Some(&path), 10, "?").map(|text| text.len()), Ok(11));
        assert!(text(Some(&dir.path().join("none")), 10, "?").is_err());
    }
}
