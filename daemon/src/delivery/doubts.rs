//! Writes of which nobody knows whether they arrived, and since when. Pure: the time is handed in.
//!
//! Invariants: nothing here decides what is sent; a row in doubt is looked for again as long as it takes, or until a person
//! says what stands, and this is only how people hear of it. Since when is what the store says (`doubt_since`), so a restart
//! makes no doubt younger; what is heard between two looks into the store only tells it sooner.

use std::collections::BTreeMap;

/// Rows remembered at once, the oldest: the others of a destination that shows nothing are told by these.
pub(super) const MOST: usize = 10_000;

/// The rows of one destination that are in doubt.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    since: BTreeMap<i64, i64>,
}

impl Doubts {
    /// As the store has them: row, and since when (ms UTC).
    pub(super) fn of(stored: Vec<(i64, i64)>) -> Self {
        Self { since: stored.into_iter().collect() }
    }

    /// A row came out of an attempt, in doubt or not (ms UTC).
    pub(super) fn heard(&mut self, row: i64, in_doubt: bool, now: i64) {
        if !in_doubt {
            self.since.remove(&row);
        } else if self.since.len() < MOST {
            self.since.entry(row).or_insert(now);
        }
    }

    /// What people are told, and since when the oldest doubt stands (ms UTC); `None` where none is as old as
    /// `lasts_after_ms`. `unanswered`: what the last attempt met, where the destination answers nothing: then it is not the
    /// chart that has to be looked into.
    pub(super) fn told(
        &self,
        lasts_after_ms: i64,
        now: i64,
        unanswered: Option<&str>,
    ) -> Option<(String, i64)> {
        let old = self.since.iter().filter(|(_, since)| now - **since >= lasts_after_ms);
        let count = old.clone().count();
        let (row, since) = old.min_by_key(|(_, since)| **since)?;
        let minutes = (now - since) / 60_000;
        let what = if count == 1 { "write".to_owned() } else { format!("writes ({count})") };
        if let Some(cause) = unanswered {
            let told = format!(
                "it is not known whether a {what} arrived, and the destination cannot be asked: it does not answer: {cause} \
                 (outbox row {row}, for {minutes} minutes); it is looked for as soon as the destination answers, and nobody \
                 has to look into the chart before that"
            );
            return Some((told, *since));
        }
        let told = format!(
            "it is not known whether a {what} arrived, and the destination does not show it (outbox row {row}, for {minutes} \
             minutes); it is not sent again before it does: look there for the result, then say what stands (isthmus queue \
             settle {row} --written --reason TEXT, or --not-written), and let this client read and search what it writes"
        );
        Some((told, *since))
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
        assert_eq!(doubts.told(AFTER, AFTER - 1, None), None);
        let (told, since) = doubts.told(AFTER, AFTER, None).unwrap();
        assert!(told.contains("a write arrived") && told.contains("row 7, for 15 minutes"), "{told}");
        assert!(told.contains("isthmus queue settle 7 --written --reason TEXT"), "{told}");
        assert_eq!(since, 0);
        let (told, _) = doubts.told(AFTER, AFTER + 60_000, None).unwrap();
        assert!(told.contains("(2)") && told.contains("row 7, for 16 minutes"), "{told}");
        let (told, since) = doubts.told(AFTER, AFTER + 60_000, Some("could not connect")).unwrap();
        assert!(told.contains("it does not answer: could not connect (outbox row 7"), "{told}");
        assert!(!told.contains("queue settle") && since == 0, "{told}");
        doubts.heard(7, false, AFTER + 60_000);
        let (told, since) = doubts.told(AFTER, AFTER + 60_000, None).unwrap();
        assert!(told.contains("row 8") && since == 60_000, "{told}");
        doubts.heard(8, false, AFTER + 60_000);
        assert_eq!(doubts.told(AFTER, AFTER + 60_000, None), None);
    }

    #[test]
    fn what_the_store_says_is_as_old_as_it_says_and_there_is_room_for_so_many() {
        let mut doubts = Doubts::of(vec![(3, 100)]);
        doubts.heard(3, true, 5_000);
        assert_eq!(doubts.told(10, 5_000, None).unwrap().1, 100);
        for row in 0..=2 * MOST as i64 {
            doubts.heard(row, true, 5_000);
        }
        assert_eq!(doubts.since.len(), MOST);
    }
}
