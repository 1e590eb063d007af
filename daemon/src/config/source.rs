//! One configuration file: its text, its lines, and its tables with the place of every key.
//!
//! A file that is not TOML in one place is still read in all others, so that its further faults are
//! told in the same run.

use std::io::Read;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeTable;

use super::account;
use super::fault::{Fault, MAX_FAULTS};

/// The largest configuration file that is read: thousands of senders fit, a wrong file does not.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// A configuration file in memory.
pub(super) struct Source {
    path: PathBuf,
    text: String,
    /// The text with broken lines blanked; offsets are the same.
    readable: String,
    /// What the blanked lines were told for.
    syntax: Vec<Fault>,
    line_starts: Vec<usize>,
}

impl Source {
    /// Reads a file of at most `most` bytes.
    ///
    /// # Errors
    /// A fault where the file cannot be read, is larger, or is not UTF-8.
    pub(super) fn read(path: &Path, most: u64) -> Result<Self, Fault> {
        let unreadable = |error: std::io::Error| {
            let instead = account::step_of_root(path, &error).unwrap_or_else(|| {
                "name a readable file, or make the first configuration with `isthmus init`".to_owned()
            });
            Fault::new(path, 1, format!("this file cannot be read ({error})"), instead)
        };
        // A pipe would block the reader for ever.
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(unreadable(std::io::Error::other("it is no ordinary file")));
        }
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        Self::from_bytes(path, bytes, most)
    }

    /// Takes the bytes of a file that stands, or could stand, at `path`.
    ///
    /// # Errors
    /// A fault where there are more than `most` bytes, or where they are not UTF-8.
    pub(super) fn from_bytes(path: &Path, bytes: Vec<u8>, most: u64) -> Result<Self, Fault> {
        if bytes.len() as u64 > most {
            let what = format!("this file is larger than the {} KiB that such a file may have", most / 1024);
            return Err(Fault::new(path, 1, what, "split it into several files, or name the right file"));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes()[..good].iter().filter(|b| **b == b'\n').count();
            Fault::new(path, line, "a byte that is not UTF-8", "save the file as UTF-8")
        })?;
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let (path, readable, syntax) = (path.to_owned(), String::new(), Vec::new());
        let mut source = Self { path, text, readable, syntax, line_starts };
        source.blank_broken_lines();
        Ok(source)
    }

    /// The file's path, as it was named to us.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of the file.
    pub(super) fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The folder that relative paths in this file start from.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The line, counted from 1, of a byte offset; an offset past the end is on the last line.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset).max(1)
    }

    /// The tables of the file as far as they can be read, and a fault for every place where they cannot.
    pub(super) fn parse(&self) -> (Spanned<DeTable<'_>>, Vec<Fault>) {
        let (table, errors) = DeTable::parse_recoverable(&self.readable);
        let mut faults = self.syntax.clone();
        self.tell(&errors, &mut faults);
        (table, faults)
    }

    /// Blanks the lines that are not TOML where that leaves the structure alone: the parser gives up the
    /// rest of a file at a key without a value.
    fn blank_broken_lines(&mut self) {
        let (_, errors) = DeTable::parse_recoverable(&self.text);
        let mut faults = Vec::new();
        self.tell(&errors, &mut faults);
        let structural = |line: &str| {
            line.contains(['[', ']', '{', '}']) || line.contains("\"\"\"") || line.contains("'''")
        };
        let lines = self.text.split_inclusive('\n').enumerate().map(|(n, line)| {
            let broken = faults.iter().any(|fault| fault.line == n + 1);
            let blank = |c: char| if c == '\n' { "\n".to_owned() } else { " ".repeat(c.len_utf8()) };
            if broken && !structural(line) { line.chars().map(blank).collect() } else { line.to_owned() }
        });
        self.readable = lines.collect();
        self.syntax = faults;
    }

    /// Adds a fault for each line that has none: what follows the first error of a line is mostly the
    /// parser finding its feet again.
    fn tell(&self, errors: &[toml::de::Error], faults: &mut Vec<Fault>) {
        for error in errors {
            let line = self.line(error.span().map_or(0, |span| span.start));
            if faults.len() < MAX_FAULTS && faults.iter().all(|fault| fault.line != line) {
                let what = format!("not TOML: {}", error.message());
                faults.push(Fault::new(&self.path, line, what, mend_syntax(error.message())));
            }
        }
    }
}

/// What to write where the TOML parser stumbled.
fn mend_syntax(message: &str) -> &'static str {
    if message.contains("duplicate key") {
        "keep one of the two (a list of tables is written [[name]])"
    } else if message.contains("quoted") || message.contains("string") {
        "put the text between double quotes: key = \"value\""
    } else {
        "write one `key = value` or one [section] per line, with texts in double quotes"
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn source(text: &str) -> Source {
        Source::from_bytes(Path::new("dir/x.toml"), text.as_bytes().to_vec(), MAX_FILE_BYTES).unwrap()
    }

    #[test]
    fn lines_are_counted_from_one_at_every_edge() {
        let s = source("ab\n\ncd");
        let lines: Vec<usize> = [0, 2, 3, 4, 5, 99].into_iter().map(|at| s.line(at)).collect();
        assert_eq!(lines, [1, 1, 2, 3, 3, 3]);
        assert_eq!(source("").line(0), 1);
    }

    #[test]
    fn a_byte_that_is_not_utf_8_is_told_with_its_line() {
        let fault = Source::from_bytes(Path::new("x"), b"a = 1\nb = \"\xff\"".to_vec(), MAX_FILE_BYTES)
            .err()
            .unwrap();
        assert_eq!((fault.line, fault.what.contains("UTF-8")), (2, true));
    }

    #[test]
    fn every_line_that_is_not_toml_is_told_and_the_rest_is_read() {
        let s = source("a = 1\nb = main\nc = 3\n= 4\nno value\nd = 5\nd = 6\n");
        let (table, faults) = s.parse();
        let lines: BTreeSet<usize> = faults.iter().map(|f| f.line).collect();
        assert_eq!(lines, BTreeSet::from([2, 4, 5, 7]));
        assert!(table.get_ref().contains_key("a") && table.get_ref().contains_key("d"));
    }

    #[test]
    fn a_file_above_the_limit_is_refused() {
        let bytes = vec![b'#'; MAX_FILE_BYTES as usize + 1];
        assert!(Source::from_bytes(Path::new("x"), bytes, MAX_FILE_BYTES).is_err());
        let bytes = vec![b'#'; MAX_FILE_BYTES as usize];
        assert!(Source::from_bytes(Path::new("x"), bytes, MAX_FILE_BYTES).is_ok());
    }
}
