//! The messages committed last, in memory, so that the pipeline need not read and decrypt the pages that were
//! written a moment ago.
//!
//! Invariants: nothing is in it before its commit was synced; ids are consecutive; it is a copy, so whatever is not
//! in it any more is read from the database. Losing it costs time and nothing else.
//!
//! Numbers: reading a message back costs about 5 µs (a page to verify and decrypt for every two or three messages of
//! 1.4 KB), keeping it one copy. The bounds hold what comes in while the pipeline rests for a second at a full rate.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::inbox::Message;

/// Most bytes of bodies kept.
const TAIL_MAX_BYTES: usize = 32 * 1024 * 1024;
/// A message with a longer body is not kept: it would be copied for nothing much.
pub(crate) const TAIL_MAX_BODY_BYTES: usize = 1024 * 1024;
/// Most messages kept: small ones have their price too.
const TAIL_MAX_MESSAGES: usize = 32 * 1024;

/// The tail; shared by the writer, which adds, and the pipeline, which takes.
#[derive(Default)]
pub(crate) struct Tail(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    messages: VecDeque<Arc<Message>>,
    bytes: usize,
}

impl Kept {
    fn drop_first(&mut self) {
        if let Some(message) = self.messages.pop_front() {
            self.bytes -= message.body.len();
        }
    }

    fn clear(&mut self) {
        self.messages.clear();
        self.bytes = 0;
    }
}

impl Tail {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // What is kept is whole between any two statements that hold the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds messages that were committed, in the order of their ids. What no longer fits at the front goes.
    pub(crate) fn push(&self, committed: impl Iterator<Item = Message>) {
        let mut kept = self.kept();
        for message in committed {
            if kept.messages.back().is_some_and(|last| last.id + 1 != message.id) {
                kept.clear();
            }
            kept.bytes += message.body.len();
            kept.messages.push_back(Arc::new(message));
        }
        while kept.bytes > TAIL_MAX_BYTES || kept.messages.len() > TAIL_MAX_MESSAGES {
            kept.drop_first();
        }
    }

    /// The messages to absorb after the watermark, in order: at most `limit`, and not more once their bodies have
    /// reached `max_bytes` together. `None` where the database must be asked. What stands at or before the watermark
    /// is let go.
    pub(crate) fn after(&self, watermark: i64, limit: usize, max_bytes: usize) -> Option<Vec<Arc<Message>>> {
        let mut kept = self.kept();
        while kept.messages.front().is_some_and(|first| first.id <= watermark) {
            kept.drop_first();
        }
        if kept.messages.front().is_none_or(|first| first.id != watermark + 1) {
            return None;
        }
        let mut bytes = 0_usize;
        let wanted = kept.messages.iter().filter(|message| !message.refused).take_while(|message| {
            let room = bytes < max_bytes;
            bytes = bytes.saturating_add(message.body.len());
            room
        });
        Some(wanted.take(limit).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(id: i64, bytes: usize) -> Message {
        Message {
            id,
            received_at: 0,
            source: "s".into(),
            site: "main".into(),
            handler: "results".into(),
            kind: "ORU".into(),
            control_id: "1".into(),
            hash: [0; 32],
            refused: false,
            control_id_reused: false,
            body: Bytes::from(vec![0; bytes]),
        }
    }

    fn ids(found: Option<Vec<Arc<Message>>>) -> Option<Vec<i64>> {
        found.map(|found| found.iter().map(|message| message.id).collect())
    }

    #[test]
    fn what_follows_the_watermark_is_given_until_it_is_passed() {
        let tail = Tail::default();
        tail.push((1..=4).map(|id| message(id, 10)));
        assert_eq!(ids(tail.after(0, 2, 1_000)), Some(vec![1, 2]));
        assert_eq!(ids(tail.after(0, 9, 1_000)), Some(vec![1, 2, 3, 4]));
        assert_eq!(ids(tail.after(0, 9, 20)), Some(vec![1, 2]));
        assert_eq!(ids(tail.after(2, 9, 1)), Some(vec![3]));
        // Let go: the database has them.
        assert_eq!(ids(tail.after(1, 9, 1_000)), None);
        assert_eq!(ids(tail.after(4, 9, 1_000)), None);
    }

    #[test]
    fn a_gap_is_the_databases_to_fill() {
        let tail = Tail::default();
        tail.push([message(5, 1)].into_iter());
        assert_eq!(ids(tail.after(3, 9, 9)), None);
        assert_eq!(ids(tail.after(4, 9, 9)), Some(vec![5]));
        tail.push([message(7, 1)].into_iter());
        assert_eq!(ids(tail.after(4, 9, 9)), None);
        assert_eq!(ids(tail.after(6, 9, 9)), Some(vec![7]));
    }

    #[test]
    fn a_refused_message_is_passed_over() {
        let tail = Tail::default();
        tail.push([message(1, 1), Message { refused: true, ..message(2, 1) }, message(3, 1)].into_iter());
        assert_eq!(ids(tail.after(0, 9, 9)), Some(vec![1, 3]));
    }

    #[test]
    fn the_oldest_go_where_there_is_no_room() {
        let tail = Tail::default();
        tail.push((1..=3).map(|id| message(id, TAIL_MAX_BYTES / 2)));
        assert_eq!(ids(tail.after(0, 9, usize::MAX)), None);
        assert_eq!(ids(tail.after(1, 9, usize::MAX)), Some(vec![2, 3]));
        tail.push((4..=TAIL_MAX_MESSAGES as i64 + 9).map(|id| message(id, 0)));
        assert_eq!(tail.kept().messages.len(), TAIL_MAX_MESSAGES);
    }
}
