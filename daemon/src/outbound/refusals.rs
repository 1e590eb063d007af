//! Messages whose refusal people were told of and that still wait, by destination.
//!
//! Invariant: [`Kind::OutboundRefused`] stands for a destination exactly as long as one of its messages that was told
//! of waits: what other lines deliver does not end it, and a message that a person leaves out does.
//!
//! Number: at most `MOST` messages of a destination are kept. One beyond that is told of when it is refused next and
//! there is room again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::conditions::{Board, Kind};

/// Messages of one destination that are kept: as many lines as may wait before a person looks at any of them.
const MOST: usize = 10_000;

type Waiting = BTreeMap<String, BTreeMap<i64, String>>;

/// Refused messages that wait; cheap to clone.
#[derive(Clone, Debug)]
pub struct Refusals {
    waiting: Arc<Mutex<Waiting>>,
    conditions: Board,
}

impl Refusals {
    /// None so far; they are told on `conditions`.
    pub fn new(conditions: Board) -> Self {
        Self { waiting: Arc::default(), conditions }
    }

    /// Tells that a row was refused and waits; `detail` says so for people. `at` is ms UTC.
    pub fn begin(&self, destination: &str, row_id: i64, detail: String, at: i64) {
        let mut waiting = self.lock();
        let rows = waiting.entry(destination.to_owned()).or_default();
        if rows.len() < MOST || rows.contains_key(&row_id) {
            rows.insert(row_id, detail.clone());
            self.conditions.raise(Kind::OutboundRefused, destination, detail, at);
        }
    }

    /// A row waits no more: it was taken, or left out. Where others wait still, the longest-standing is told of.
    pub fn end(&self, destination: &str, row_id: i64, at: i64) {
        let mut waiting = self.lock();
        let Some(rows) = waiting.get_mut(destination) else { return };
        if rows.remove(&row_id).is_none() {
            return;
        }
        match rows.values().next() {
            Some(detail) => {
                self.conditions.raise(Kind::OutboundRefused, destination, detail.clone(), at);
            }
            None => {
                waiting.remove(destination);
                self.conditions.clear(Kind::OutboundRefused, destination);
            }
        }
    }

    /// Nothing is sent to the destination any more.
    pub fn forget(&self, destination: &str) {
        let mut waiting = self.lock();
        if waiting.remove(destination).is_some() {
            self.conditions.clear(Kind::OutboundRefused, destination);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(board: &Board) -> Vec<String> {
        board.all().into_iter().map(|condition| condition.detail).collect()
    }

    #[test]
    fn the_condition_stands_until_the_last_refused_row_waits_no_more() {
        let board = Board::default();
        let refusals = Refusals::new(board.clone());
        refusals.begin("mllp:x", 7, "row 7".to_owned(), 1);
        refusals.begin("mllp:x", 9, "row 9".to_owned(), 2);
        refusals.end("mllp:x", 8, 3);
        refusals.end("mllp:y", 7, 3);
        assert_eq!(told(&board), ["row 9"]);
        refusals.end("mllp:x", 9, 3);
        assert_eq!(told(&board), ["row 7"]);
        refusals.end("mllp:x", 7, 3);
        assert!(told(&board).is_empty());
        refusals.begin("mllp:x", 10, "row 10".to_owned(), 4);
        refusals.forget("mllp:x");
        assert!(told(&board).is_empty());
    }
}
