//! Rows that could not be read, of which a bounded number is listed and the rest counted by reason.

use std::collections::BTreeMap;

use super::file::{RowFault, RowReason};

/// Most faults of a file that are listed with their place: more than any person goes through, and 8 KB.
pub const MAX_FAULTS_LISTED: usize = 1_000;

/// The faults of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    pub(super) listed: Vec<RowFault>,
    pub(super) more: BTreeMap<RowReason, u64>,
}

impl Faults {
    /// Lists a fault, or counts it where enough are listed.
    pub(super) fn push(&mut self, line: u32, reason: RowReason) {
        self.push_all(RowFault { line, last: line, reason });
    }

    /// Lists a fault of several rows, or counts them where enough are listed.
    pub(super) fn push_all(&mut self, fault: RowFault) {
        if self.listed.len() < MAX_FAULTS_LISTED {
            self.listed.push(fault);
        } else {
            *self.more.entry(fault.reason).or_default() += fault.rows();
        }
    }

    /// Takes over those of another list.
    pub(super) fn append(&mut self, other: Self) {
        other.listed.into_iter().for_each(|fault| self.push_all(fault));
        for (reason, rows) in other.more {
            *self.more.entry(reason).or_default() += rows;
        }
    }

    /// How many rows there are.
    pub(super) fn total(&self) -> u64 {
        self.listed.iter().map(RowFault::rows).sum::<u64>() + self.more.values().sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_number_is_listed_and_every_other_one_is_counted() {
        let mut faults = Faults::default();
        for line in 0..MAX_FAULTS_LISTED as u32 + 3 {
            faults.push(line, if line % 2 == 0 { RowReason::Broken } else { RowReason::TimeMissing });
        }
        let wanted = BTreeMap::from([(RowReason::Broken, 2), (RowReason::TimeMissing, 1)]);
        assert_eq!((faults.listed.len(), &faults.more), (MAX_FAULTS_LISTED, &wanted));
        assert_eq!(faults.total(), MAX_FAULTS_LISTED as u64 + 3);
        faults.push_all(RowFault { line: 401, last: 464, reason: RowReason::Broken });
        assert_eq!(faults.more[&RowReason::Broken], 66, "each row that a quote swallowed");
        let mut all = Faults::default();
        all.push(9, RowReason::Damaged);
        all.append(faults.clone());
        assert_eq!((all.listed.len(), all.total()), (MAX_FAULTS_LISTED, faults.total() + 1));
    }
}
