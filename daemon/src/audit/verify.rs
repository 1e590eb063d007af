//! Verifying the log: a walk in bounded pieces that meets every head that is known from elsewhere. Pure: who reads the store,
//! and when, is the caller's.
//!
//! A chain that holds shows that no entry was changed, removed, inserted or moved after it was written by who cannot write all that
//! follows anew. Against who can, and against a cut end, stand heads that were kept: seals, and what `audit verify` printed.

use std::collections::VecDeque;

use outbox::{AuditBreak, AuditHead};

/// Most entries of one piece: some milliseconds.
pub const PIECE: usize = 5_000;

/// A head that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The head.
    pub head: AuditHead,
    /// What it is, for people: `the seal of 2026-11-23`.
    pub what: String,
}

/// What is wrong with the log. No text of an entry is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// The chain fails.
    #[error("{0}")]
    Broken(AuditBreak),
    /// The chain holds and does not run through a known head: all from somewhere on was written anew.
    #[error("the log was written anew from {} on: {what} says otherwise", between(*first, *last))]
    Rewritten {
        /// The first entry that may be another one than was recorded.
        first: u64,
        /// The last one of which it is certain that it is.
        last: u64,
        /// Which head.
        what: String,
        /// It.
        head: AuditHead,
    },
    /// The log ends before a known head.
    #[error("the log ends at entry {entries}, and {what} says that there were {known}: its end was cut off")]
    Cut {
        /// Where it ends.
        entries: u64,
        /// Where it ended once.
        known: u64,
        /// Which head says so.
        what: String,
        /// It.
        head: AuditHead,
    },
}

fn between(first: u64, last: u64) -> String {
    if first == last { format!("entry {first}") } else { format!("an entry between {first} and {last}") }
}

impl Finding {
    /// The number of the first entry that is, or may be, not as it was recorded.
    pub fn entry(&self) -> i64 {
        match self {
            Self::Broken(broken) => broken.entry(),
            Self::Rewritten { first, .. } => *first as i64,
            Self::Cut { entries, .. } => *entries as i64 + 1,
        }
    }
}

/// A walk under way.
#[derive(Debug)]
pub struct Walk {
    head: AuditHead,
    known: VecDeque<Known>,
    /// The last known head that was met.
    met: u64,
    /// Whether the log's end was reached.
    ended: bool,
}

impl Walk {
    /// A walk from the first entry on, which is to meet these.
    pub fn new(mut known: Vec<Known>) -> Self {
        // Every log begins there.
        known.retain(|known| known.head != AuditHead::START);
        known.sort_by_key(|known| known.head.entries);
        Self { head: AuditHead::START, known: known.into(), met: 0, ended: false }
    }

    /// The piece to walk next: from where, and how many entries at most.
    pub fn next(&self) -> (AuditHead, usize) {
        let to_known = self.known.front().map(|known| known.head.entries - self.head.entries);
        let to_known = to_known.filter(|entries| *entries > 0);
        (self.head, to_known.map_or(PIECE, |entries| PIECE.min(entries as usize)))
    }

    /// Takes what walking [`next`](Self::next) led to. Returns the end of the walk: the head of a log that is whole, or what is
    /// wrong; `None` while there is more to walk.
    pub fn take(&mut self, reached: Result<AuditHead, AuditBreak>) -> Option<Result<AuditHead, Finding>> {
        let (from, limit) = self.next();
        let head = match reached {
            Ok(head) => head,
            Err(broken) => return Some(Err(Finding::Broken(broken))),
        };
        self.head = head;
        self.ended = head.entries != from.entries + limit as u64;
        self.met_so_far()
    }

    /// Goes on behind what [`take`](Self::take) found last, which was accepted: where the chain fails, at `resume`. Returns as `take`
    /// does.
    pub fn pass(&mut self, resume: Option<AuditHead>) -> Option<Result<AuditHead, Finding>> {
        if let Some(resume) = resume {
            self.head = resume;
            // Of what is not there no head can be met.
            self.known.retain(|known| known.head.entries >= resume.entries);
        }
        self.met_so_far()
    }

    fn met_so_far(&mut self) -> Option<Result<AuditHead, Finding>> {
        let here = self.head;
        while let Some(known) = self.known.pop_front_if(|known| known.head.entries <= here.entries) {
            if known.head != here {
                let (first, last) = ((self.met + 1).min(known.head.entries), known.head.entries);
                return Some(Err(Finding::Rewritten { first, last, what: known.what, head: known.head }));
            }
            self.met = here.entries;
        }
        if !self.ended {
            return None;
        }
        Some(match self.known.pop_back() {
            Some(Known { head, what }) => {
                Err(Finding::Cut { entries: here.entries, known: head.entries, what, head })
            }
            None => Ok(here),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head of a log of so many entries.
    fn at(entries: u64) -> AuditHead {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&entries.to_le_bytes());
        AuditHead { entries, hash }
    }

    fn known(head: AuditHead) -> Known {
        Known { head, what: format!("the seal of {}", head.entries) }
    }

    /// Walks a log of so many entries that is whole; and how many pieces that took.
    fn walk(log: u64, known: Vec<Known>) -> (Result<AuditHead, Finding>, usize) {
        let mut walk = Walk::new(known);
        for pieces in 1.. {
            let (from, limit) = walk.next();
            assert!((1..=PIECE).contains(&limit), "{limit}");
            if let Some(end) = walk.take(Ok(at(log.min(from.entries + limit as u64)))) {
                return (end, pieces);
            }
        }
        unreachable!("a walk ends")
    }

    #[test]
    fn a_whole_log_is_walked_to_its_end_and_meets_every_head() {
        let piece = PIECE as u64;
        for log in [0, 1, piece - 1, piece, piece + 1, 3 * piece] {
            assert_eq!(walk(log, Vec::new()).0, Ok(at(log)), "{log}");
            for one in [0, 1, log / 2, log.saturating_sub(1), log].into_iter().filter(|one| *one <= log) {
                let twice = vec![known(at(one)), known(at(0)), known(at(one))];
                assert_eq!(walk(log, twice).0, Ok(at(log)), "{log} with {one}");
            }
        }
        assert_eq!(walk(3 * piece, Vec::new()).1, 4, "no piece is longer than its bound");
    }

    #[test]
    fn a_log_that_ends_before_a_known_head_was_cut_off() {
        for (log, heads) in [(4, vec![6]), (0, vec![1]), (PIECE as u64, vec![3, PIECE as u64 + 1])] {
            let last = *heads.last().unwrap();
            let (end, _) = walk(log, heads.into_iter().map(|entries| known(at(entries))).collect());
            let cut = end.unwrap_err();
            let what = format!("the seal of {last}");
            assert_eq!(cut, Finding::Cut { entries: log, known: last, what, head: at(last) });
            assert_eq!(cut.entry(), log as i64 + 1);
        }
    }

    #[test]
    fn a_log_that_does_not_run_through_a_known_head_was_written_anew_since_the_last_one_that_it_meets() {
        let other = |entries| known(AuditHead { entries, hash: [0xee; 32] });
        for (heads, first, last) in [
            (vec![other(5)], 1, 5),
            (vec![known(at(3)), other(5), known(at(7))], 4, 5),
            (vec![other(0)], 0, 0),
        ] {
            let found = walk(9, heads).0.unwrap_err();
            assert!(
                matches!(&found, Finding::Rewritten { first: f, last: l, .. } if (*f, *l) == (first, last)),
                "{found:?}"
            );
        }
    }

    #[test]
    fn behind_what_was_accepted_the_walk_goes_on_and_meets_the_heads_that_follow() {
        // Entries 3 to 5 are gone with the head that sealed the fourth; the seventh is sealed and met.
        let mut walk = Walk::new(vec![known(at(4)), known(at(7))]);
        assert!(walk.take(Err(AuditBreak::Missing(3, 5))).unwrap().is_err());
        assert_eq!(walk.pass(Some(at(6))), None);
        assert_eq!(walk.next(), (at(6), 1));
        assert_eq!(walk.take(Ok(at(7))), None);
        assert_eq!(walk.take(Ok(at(9))), Some(Ok(at(9))));
        // A second fault behind an accepted one is found, and so is a head that says otherwise.
        let other =
            Known { head: AuditHead { entries: 8, hash: [0xee; 32] }, what: "the seal of 8".to_owned() };
        let mut walk = Walk::new(vec![other, known(at(12))]);
        assert!(walk.take(Err(AuditBreak::Altered(2))).unwrap().is_err());
        assert_eq!(walk.pass(Some(at(2))), None);
        assert!(walk.take(Err(AuditBreak::Altered(3))).unwrap().is_err());
        assert_eq!(walk.pass(Some(at(3))), None);
        assert!(matches!(walk.take(Ok(at(8))), Some(Err(Finding::Rewritten { last: 8, .. }))));
        assert_eq!(walk.pass(None), None);
        assert!(matches!(walk.take(Ok(at(9))), Some(Err(Finding::Cut { entries: 9, known: 12, .. }))));
        assert_eq!(walk.pass(None), Some(Ok(at(9))));
    }

    #[test]
    fn where_the_chain_fails_the_walk_ends_with_the_entry() {
        let mut walk = Walk::new(vec![known(at(9))]);
        let found = walk.take(Err(AuditBreak::Missing(3, 4))).unwrap().unwrap_err();
        assert_eq!((found.entry(), found.to_string().as_str()), (3, "entries 3 to 4 were removed"));
    }
}
