//! What was made of a file, and the letter about it that stands beside it. Pure.
//!
//! Invariants: a letter names places (line, segment, field) and reasons, never a value, and not the file's name; it is
//! bounded, however many faults a file has.

use std::fmt::Write;

use super::claim::Place;
use crate::time;

/// Most lines of a letter that tell of one fault each.
const MOST_LINES: usize = 100;

/// What was made of a file.
#[derive(Default)]
pub(super) struct Report {
    /// What it was found to be, for instance "HL7 v2".
    pub(super) content: String,
    /// Messages that were committed.
    pub(super) accepted: u64,
    /// Messages that had been committed before.
    pub(super) duplicates: u64,
    /// Messages, or files, that were refused.
    pub(super) refused: u64,
    /// It must be looked at, although it was taken.
    pub(super) set_aside: bool,
    /// What to do; empty where nothing is to be done.
    pub(super) advice: String,
    /// What and where, a line each; see [`Report::say`].
    pub(super) lines: Vec<String>,
    /// Lines for which there was no room.
    pub(super) unsaid: u64,
}

impl Report {
    /// A report on a file that was refused as a whole.
    pub(super) fn refusal(content: &str, reason: &str, advice: &str) -> Self {
        let (content, advice) = (content.to_owned(), advice.to_owned());
        let mut report = Self { content, refused: 1, advice, ..Self::default() };
        report.say(reason.to_owned());
        report
    }

    /// Adds a line, where there is room.
    pub(super) fn say(&mut self, line: String) {
        if self.lines.len() < MOST_LINES {
            self.lines.push(line);
        } else {
            self.unsaid += 1;
        }
    }

    /// Where the file stays: in quarantine where nothing of it was taken, or it must be looked at.
    pub(super) fn place(&self) -> Place {
        let nothing = self.accepted + self.duplicates == 0 && self.refused > 0;
        if nothing || self.set_aside { Place::Quarantine } else { Place::Done }
    }

    /// The letter. `sha256` is that of the file, where it was read.
    pub(super) fn letter(&self, spool: &str, number: u64, at_ms: i64, sha256: Option<[u8; 32]>) -> String {
        let mut text = match self.place() {
            Place::Done => "This file was read; what it holds is in the store.\n\n".to_owned(),
            Place::Quarantine => {
                "This file needs a person: it stays here until someone moves it.\n\n".to_owned()
            }
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "file        {number} of spool {spool}, {}", time::rfc3339(at_ms));
        if let Some(sha256) = sha256 {
            let hex: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
            let _ = writeln!(text, "sha256      {hex}");
        }
        let _ = writeln!(text, "content     {}", self.content);
        let _ = writeln!(text, "accepted    {}", self.accepted);
        let _ = writeln!(text, "duplicates  {} (taken before; nothing was stored again)", self.duplicates);
        let _ = writeln!(text, "refused     {}", self.refused);
        if !self.lines.is_empty() {
            text.push_str("\nWhat and where:\n");
        }
        for line in &self.lines {
            let _ = writeln!(text, "- {line}");
        }
        if self.unsaid > 0 {
            let _ = writeln!(text, "- and {} more", self.unsaid);
        }
        if !self.advice.is_empty() {
            let _ = writeln!(text, "\nWhat to do:\n{}", self.advice);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_stays_in_quarantine_where_nothing_of_it_was_taken_or_a_person_must_look() {
        let report = |accepted, duplicates, refused, set_aside| {
            Report { accepted, duplicates, refused, set_aside, ..Report::default() }.place()
        };
        assert_eq!(report(0, 0, 1, false), Place::Quarantine);
        assert_eq!(report(1, 0, 1, false), Place::Done, "its neighbours count");
        assert_eq!(report(0, 1, 1, false), Place::Done);
        assert_eq!(report(0, 0, 0, false), Place::Done, "a batch of no messages");
        assert_eq!(report(1, 0, 0, true), Place::Quarantine);
    }

    #[test]
    fn a_letter_is_bounded_and_says_how_much_it_leaves_out() {
        let mut report = Report { content: "HL7 v2".to_owned(), accepted: 1, ..Report::default() };
        for n in 0..MOST_LINES + 7 {
            report.say(format!("line {n}: x"));
        }
        let letter = report.letter("drop", 3, 1_772_323_200_123, Some([0xAB; 32]));
        assert!(letter.contains("- line 99: x\n- and 7 more\n"), "{letter}");
        assert!(letter.contains("file        3 of spool drop, 2026-03-01T00:00:00Z\n"), "{letter}");
        assert!(letter.contains(&format!("sha256      {}\n", "ab".repeat(32))), "{letter}");
        assert!(!letter.contains("What to do"), "{letter}");
        let letter = Report::refusal("a file", "it is empty", "drop it again").letter("drop", 4, 0, None);
        assert!(letter.contains("- it is empty\n\nWhat to do:\ndrop it again\n"), "{letter}");
    }
}
