//! Writes of which nobody knows whether they arrived, and since when. Pure: the time is handed in.
//!
//! Invariant: nothing here decides what is sent; a row in doubt is looked for again as long as it takes, and this is only how
//! people hear of it. What is remembered ends with the daemon: behind a restart a doubt is told a whole `doubt_lasts_after` later.

use std::collections::BTreeMap;

/// Rows remembered at once; the others of a destination that shows nothing are told by these.
const MOST: usize = 10_000;

/// The rows of one destination that are in doubt.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    since: BTreeMap<i64, i64>,
}

impl Doubts {
    /// A row came out of an attempt, in doubt or not (ms UTC).
    pub(super) fn heard(&mut self, row: i64, in_doubt: bool, now: i64) {
        if !in_doubt {
            self.since.remove(&row);
        } else if self.since.len() < MOST {
            self.since.entry(row).or_insert(now);
        }
    }

    /// Forgets rows that were settled by other ways than an attempt: `stands` says which are still in doubt. Asked only
    /// of those that are older than `lasts_after_ms`.
    pub(super) fn keep(&mut self, lasts_after_ms: i64, now: i64, mut stands: impl FnMut(i64) -> bool) {
        self.since.retain(|row, since| now - *since < lasts_after_ms || stands(*row));
    }

    /// What people are told: how many are that old, the oldest, and for how many minutes; `None` where none is.
    pub(super) fn told(&self, lasts_after_ms: i64, now: i64) -> Option<String> {
        let old = self.since.iter().filter(|(_, since)| now - **since >= lasts_after_ms);
        let count = old.clone().count();
        let (row, since) = old.min_by_key(|(_, since)| **since)?;
        let minutes = (now - since) / 60_000;
        let what = if count == 1 { "write".to_owned() } else { format!("writes ({count})") };
        Some(format!(
            "it is not known whether a {what} arrived, and the destination does not show it (outbox row {row}, for {minutes} \
             minutes); it is not sent again before it does: look there for the result, and let this client read and search \
             what it writes"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: i64 = 15 * 60_000;

    #[test]
    fn a_doubt_is_told_from_its_age_on_and_until_it_ends() {
        let mut doubts = Doubts::default();
        doubts.heard(7, true, 0);
        doubts.heard(8, true, 60_000);
        // Heard again, it is as old as before.
        doubts.heard(7, true, AFTER - 1);
        assert_eq!(doubts.told(AFTER, AFTER - 1), None);
        let told = doubts.told(AFTER, AFTER).unwrap();
        assert!(told.contains("a write arrived") && told.contains("row 7, for 15 minutes"), "{told}");
        let told = doubts.told(AFTER, AFTER + 60_000).unwrap();
        assert!(told.contains("(2)") && told.contains("row 7, for 16 minutes"), "{told}");
        doubts.heard(7, false, AFTER + 60_000);
        assert!(doubts.told(AFTER, AFTER + 60_000).unwrap().contains("row 8"));
        doubts.keep(AFTER, AFTER + 60_000, |_| false);
        assert_eq!(doubts.told(AFTER, AFTER + 60_000), None);
    }

    #[test]
    fn only_old_rows_are_asked_about_and_there_is_room_for_so_many() {
        let mut doubts = Doubts::default();
        for row in 0..=MOST as i64 {
            doubts.heard(row, true, row.min(1));
        }
        assert_eq!(doubts.since.len(), MOST);
        let mut asked = Vec::new();
        doubts.keep(10, 10, |row| {
            asked.push(row);
            true
        });
        assert_eq!(asked, [0]);
    }
}
