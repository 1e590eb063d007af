//! Whether a site refuses amendments alone: it takes creates, and no update. Pure: the time is handed in.
//!
//! Invariants: the first refusal of an amendment closes its capability like any other, for nobody knows yet whether creates are
//! refused too; where a create of that kind was taken *after* it and the same amendment is refused once more, the site is
//! known to refuse amendments of that kind alone, and none of them closes it again, until one is taken or a create is
//! refused. What is forgotten, by a restart or beyond [`MOST`], closes the capability once more and is learned anew.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

/// Most refused amendments remembered; beyond it all are forgotten.
const MOST: usize = 4_096;

/// What refusals of amendments have shown at one destination, by kind.
#[derive(Default)]
pub(super) struct Amendments {
    /// When each row was refused first.
    refused: HashMap<i64, Instant>,
    /// When a create was taken last.
    created: HashMap<String, Instant>,
    /// Where amendments alone are refused.
    alone: HashSet<String>,
}

impl Amendments {
    /// A create was taken.
    pub(super) fn created(&mut self, kind: &str, now: Instant) {
        self.created.insert(kind.to_owned(), now);
    }

    /// A create was refused for want of permission: what was known of amendments may have changed with it.
    pub(super) fn create_refused(&mut self, kind: &str) {
        self.created.remove(kind);
        self.alone.remove(kind);
    }

    /// A row that amends was taken.
    pub(super) fn amended(&mut self, row: i64, kind: &str) {
        self.refused.remove(&row);
        self.alone.remove(kind);
    }

    /// A row that amends was refused for want of permission. Whether that is known to be about amendments alone.
    pub(super) fn refused(&mut self, row: i64, kind: &str, now: Instant) -> bool {
        let first = self.refused.get(&row);
        let taken_since = |first: &Instant| self.created.get(kind).is_some_and(|created| created > first);
        if self.alone.contains(kind) || first.is_some_and(taken_since) {
            self.refused.remove(&row);
            self.alone.insert(kind.to_owned());
            return true;
        }
        if self.refused.len() >= MOST {
            self.refused.clear();
        }
        self.refused.entry(row).or_insert(now);
        false
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_refusal_is_of_amendments_alone_once_a_create_was_taken_between_two_of_one_row() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut known = Amendments::default();
        known.created("lab", at(0));
        assert!(!known.refused(1, "lab", at(1)), "permission may have been lost since");
        assert!(!known.refused(1, "lab", at(2)), "and nothing has shown that it is back");
        known.created("notes", at(3));
        assert!(!known.refused(1, "lab", at(4)), "another kind shows nothing");
        known.created("lab", at(5));
        assert!(!known.refused(2, "lab", at(6)), "of this one nothing is known");
        assert!(known.refused(1, "lab", at(7)));
        assert!(known.refused(3, "lab", at(8)), "from now on it is known of the kind");
        assert!(!known.refused(4, "notes", at(8)));
        known.create_refused("lab");
        assert!(!known.refused(5, "lab", at(9)), "all may be refused");
        known.created("lab", at(10));
        assert!(known.refused(5, "lab", at(11)));
        known.amended(6, "lab");
        assert!(!known.refused(7, "lab", at(12)), "one was taken");
    }
}
