//! What is wrong with a file of rules, gathered with a bound.
//!
//! Invariants: a fault is told once; of more than [`MAX_FAULTS`] those of the first lines are kept and it is said that
//! there are more, so that a file of noise costs neither memory nor a screen; the time to find a line does not grow with
//! the number of faults.

use std::collections::BTreeMap;

/// Most faults told of one file: more than a person mends before asking again.
pub const MAX_FAULTS: usize = 100;

/// What is wrong with a file of rules: where, what, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("line {line}: {what}; {instead}")]
pub struct SheetFault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub instead: String,
}

/// The faults of one file so far, by line.
#[derive(Debug, Default)]
pub(super) struct Faults {
    kept: BTreeMap<(usize, String), String>,
    more: bool,
}

impl Faults {
    /// Notes a fault; one that says the same of the same line is there already.
    pub(super) fn note(&mut self, line: usize, what: String, instead: String) {
        self.kept.entry((line, what)).or_insert(instead);
        if self.kept.len() > MAX_FAULTS {
            self.kept.pop_last();
            self.more = true;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The faults in the order of lines; where there were too many, a last one says so.
    pub(super) fn told(self) -> Vec<SheetFault> {
        let Self { kept, more } = self;
        let mut faults: Vec<SheetFault> =
            kept.into_iter().map(|((line, what), instead)| SheetFault { line, what, instead }).collect();
        let last = faults.last().map_or(1, |fault| fault.line);
        faults.extend(more.then(|| SheetFault {
            line: last,
            what: format!("and more: the first {MAX_FAULTS} faults are told"),
            instead: "mend those, and check again".to_owned(),
        }));
        faults
    }
}

/// Where the lines of a text begin.
#[derive(Debug)]
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.0.partition_point(|start| *start <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faults_of_the_first_lines_are_kept_and_it_is_said_that_there_are_more() {
        for (noted, told) in [(0, 0), (MAX_FAULTS, MAX_FAULTS), (MAX_FAULTS + 1, MAX_FAULTS + 1)] {
            let mut faults = Faults::default();
            for line in (1..=noted).rev() {
                faults.note(line, "x".to_owned(), "y".to_owned());
                faults.note(line, "x".to_owned(), "y".to_owned());
            }
            let faults = faults.told();
            assert_eq!(faults.len(), told);
            assert!(faults.iter().take(MAX_FAULTS).zip(1..).all(|(fault, line)| fault.line == line));
            let more = faults.last().is_some_and(|fault| fault.what.starts_with("and more"));
            assert_eq!(more, noted > MAX_FAULTS);
        }
    }

    #[test]
    fn a_line_is_found_at_every_edge() {
        let lines = Lines::of("ab\n\nc");
        let found: Vec<usize> = [0, 2, 3, 4, 5, 99].into_iter().map(|at| lines.line(at)).collect();
        assert_eq!(found, [1, 1, 2, 3, 3, 3]);
        assert_eq!(Lines::of("").line(0), 1);
    }
}
