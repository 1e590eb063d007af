//! What is wrong with a configuration, said so that it can be mended without asking anyone.
//!
//! A fault never quotes the value of a key that could hold a secret, and all faults of a run are kept
//! together: a person mends the file once, not once per fault.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::exhibit::visible::printable;

/// The most faults that are kept of one run: a file of noise must not fill a screen, or memory.
pub const MAX_FAULTS: usize = 200;

/// Where a setting stands: a file and a line in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as it was named to us.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
}

/// One fault: where, what is wrong, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fault {
    /// The file the fault is in.
    #[serde(serialize_with = "as_shown")]
    pub file: PathBuf,
    /// The line in the file, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub instead: String,
}

impl Fault {
    /// A fault at `line` of `file`.
    pub fn new(file: &Path, line: usize, what: impl Into<String>, instead: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, what: what.into(), instead: instead.into() }
    }

    /// A fault at `place`.
    pub fn at(place: &Place, what: impl Into<String>, instead: impl Into<String>) -> Self {
        Self::new(&place.file, place.line, what, instead)
    }
}

/// A path as people see it: a name that is not UTF-8 must not spoil the whole report.
fn as_shown<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display().to_string();
        write!(
            f,
            "{}:{}: {}; {}",
            printable(&file),
            self.line,
            printable(&self.what),
            printable(&self.instead)
        )
    }
}

/// Every fault of one run, in the order of files and lines; at most [`MAX_FAULTS`].
///
/// `Display` prints one fault per line; `Serialize` gives an array of `{file, line, what, instead}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Sorts the faults, drops repetitions and whatever is above [`MAX_FAULTS`].
    pub fn new(mut faults: Vec<Fault>) -> Self {
        faults.sort();
        faults.dedup();
        faults.truncate(MAX_FAULTS);
        Self(faults)
    }

    /// The faults in order.
    pub fn as_slice(&self) -> &[Fault] {
        &self.0
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_sorted_once_each_and_one_per_line() {
        let a = Fault::new(Path::new("a.toml"), 9, "x is wrong", "write y");
        let b = Fault::new(Path::new("a.toml"), 2, "z is wrong", "write w");
        let faults = Faults::new(vec![a.clone(), b, a]);
        assert_eq!(faults.to_string(), "a.toml:2: z is wrong; write w\na.toml:9: x is wrong; write y");
    }

    #[test]
    fn what_a_file_holds_does_not_steer_the_terminal_that_its_faults_are_told_on() {
        let fault = Fault::new(Path::new("a\u{1b}[2J.toml"), 9, "\u{202e}x", "write\u{7} y");
        assert_eq!(fault.to_string(), "a\\x1B[2J.toml:9: \\u{202e}x; write\\x07 y");
    }

    #[test]
    fn the_json_form_is_an_array_of_flat_objects() {
        let faults = Faults::new(vec![Fault::new(Path::new("a.toml"), 2, "w", "i")]);
        let json = serde_json::to_string(&faults).unwrap();
        assert_eq!(json, r#"[{"file":"a.toml","line":2,"what":"w","instead":"i"}]"#);
    }

    #[test]
    fn the_number_of_faults_is_bounded() {
        let many = (0..MAX_FAULTS + 5).map(|n| Fault::new(Path::new("a"), n, "w", "i")).collect();
        assert_eq!(Faults::new(many).as_slice().len(), MAX_FAULTS);
    }
}
