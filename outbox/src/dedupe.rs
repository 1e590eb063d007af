//! The identities of the messages taken in lately, in memory, so that a resend has no second effect.
//!
//! Invariants: the maps hold exactly what the table `dedupe` holds within the horizon, plus what the group in
//! hand has entered tentatively; a group that fails is undone by the journal; after an indeterminate commit the
//! maps are rebuilt from the table before anything is decided.
//!
//! Numbers: a UNIQUE index on a random 16-byte key costs 60 % of the intake rate, so the table has none and is
//! appended to only, a row for several. An entry takes about 55 bytes in memory with its control key. Entries live in two
//! generations: the older is dropped as a whole when the younger is a horizon old or half of
//! [`DEDUPE_MAX_ENTRIES`] long, so an entry lives one to two horizons and memory has a bound.

pub(crate) mod table;

use std::collections::HashMap;

use rusqlite::Connection;

use self::table::Entry;
use crate::resource;

/// Most identities kept in memory (about 100 MB): two generations, each a little short of what a hash table of 2²⁰
/// places holds before it doubles. At 1,000 patients of 5-minute data sent singly, 288,000 a day, they cover three to
/// six days; above that the horizon shrinks rather than the memory growing.
pub const DEDUPE_MAX_ENTRIES: usize = 1_800_000;

/// Identity of a message: source, sender, control id and body, hashed by the caller.
pub(crate) type MessageKey = [u8; 16];
/// Identity of a control id at its source, hashed by the caller.
pub(crate) type ControlKey = [u8; 8];

/// The first message with some identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct First {
    /// Its inbox id.
    pub id: i64,
    /// When it was taken in, in milliseconds.
    pub received_at: i64,
}

#[derive(Default)]
struct Generation {
    messages: HashMap<MessageKey, First>,
    controls: HashMap<ControlKey, u32>,
    /// When its first entry was taken in.
    began_at: Option<i64>,
}

enum Change {
    Entered(MessageKey, ControlKey),
    Left(MessageKey, ControlKey, First),
}

/// A place in the journal to go back to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark(usize);

/// The maps and the journal of the group in hand.
pub(crate) struct Dedupe {
    horizon_ms: i64,
    max_entries: usize,
    young: Generation,
    old: Generation,
    journal: Vec<Change>,
}

impl Dedupe {
    /// Empty maps that remember for at least `horizon_ms`, or `max_entries` / 2 entries if that is shorter.
    pub(crate) fn new(horizon_ms: i64, max_entries: usize) -> Self {
        Self {
            horizon_ms,
            max_entries,
            young: Generation::default(),
            old: Generation::default(),
            journal: Vec::new(),
        }
    }

    /// Maps rebuilt from the table, reading at most `max_entries` of its newest rows.
    pub(crate) fn rebuild(
        conn: &Connection,
        horizon_ms: i64,
        max_entries: usize,
        now_ms: i64,
    ) -> rusqlite::Result<Self> {
        let mut dedupe = Self::new(horizon_ms, max_entries);
        table::for_each(conn, max_entries, |Entry { first, key, control }| {
            if first.received_at >= now_ms.saturating_sub(horizon_ms) {
                dedupe.enter(key, control, first);
                dedupe.commit();
            }
        })?;
        Ok(dedupe)
    }

    /// The message already taken in with this identity.
    pub(crate) fn find(&self, key: &MessageKey) -> Option<First> {
        self.young.messages.get(key).or_else(|| self.old.messages.get(key)).copied()
    }

    /// Whether some message taken in carries this control id.
    pub(crate) fn knows_control(&self, control: &ControlKey) -> bool {
        self.young.controls.contains_key(control) || self.old.controls.contains_key(control)
    }

    /// Enters an identity that [`Self::find`] does not know, until the group's fate is known.
    pub(crate) fn enter(&mut self, key: MessageKey, control: ControlKey, first: First) {
        self.insert(key, control, first);
        self.journal.push(Change::Entered(key, control));
    }

    /// What the group in hand has entered, in order: to be appended to the table before the group is committed.
    pub(crate) fn entered(&self) -> Vec<Entry> {
        let entered = self.journal.iter().filter_map(|change| match *change {
            Change::Entered(key, control) => self.find(&key).map(|first| Entry { first, key, control }),
            Change::Left(..) => None,
        });
        entered.collect()
    }

    /// Lets the identity of a message of an earlier group go, here and in the table, so that a resend is processed
    /// afresh. One that is a resource keeps it: sent again it is that resource, whatever could be read of it.
    pub(crate) fn forget(&mut self, conn: &Connection, id: i64) -> rusqlite::Result<()> {
        if resource::is_one(conn, id)? {
            return Ok(());
        }
        if let Some(Entry { key, control, .. }) = table::take_out(conn, id)? {
            self.leave(key, control, id);
        }
        Ok(())
    }

    /// Takes an identity out, if it still stands for message `id`.
    fn leave(&mut self, key: MessageKey, control: ControlKey, id: i64) {
        if let Some(first) = self.find(&key).filter(|first| first.id == id) {
            self.remove(&key, &control);
            self.journal.push(Change::Left(key, control, first));
        }
    }

    /// The present place in the journal.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.journal.len())
    }

    /// Undoes everything since the mark.
    pub(crate) fn undo_to(&mut self, mark: Mark) {
        while self.journal.len() > mark.0 {
            match self.journal.pop() {
                Some(Change::Entered(key, control)) => self.remove(&key, &control),
                Some(Change::Left(key, control, first)) => self.insert(key, control, first),
                None => return,
            }
        }
    }

    /// Makes the journal's changes final and lets the oldest entries go where it is time.
    pub(crate) fn commit(&mut self) {
        let newest = self.journal.iter().rev().find_map(|change| match change {
            Change::Entered(key, _) => self.find(key).map(|first| first.received_at),
            Change::Left(..) => None,
        });
        self.journal.clear();
        let (Some(newest), Some(began_at)) = (newest, self.young.began_at) else { return };
        if newest.saturating_sub(began_at) >= self.horizon_ms
            || self.young.messages.len() >= self.max_entries / 2
        {
            self.old = std::mem::take(&mut self.young);
        }
    }

    /// Identities held.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.messages.len() + self.old.messages.len()
    }

    fn insert(&mut self, key: MessageKey, control: ControlKey, first: First) {
        self.young.began_at.get_or_insert(first.received_at);
        self.young.messages.insert(key, first);
        *self.young.controls.entry(control).or_insert(0) += 1;
    }

    fn remove(&mut self, key: &MessageKey, control: &ControlKey) {
        let generation = if self.young.messages.contains_key(key) { &mut self.young } else { &mut self.old };
        generation.messages.remove(key);
        if let Some(count) = generation.controls.get_mut(control) {
            *count -= 1;
            if *count == 0 {
                generation.controls.remove(control);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(id: i64, received_at: i64) -> First {
        First { id, received_at }
    }

    #[test]
    fn what_a_failed_group_entered_or_took_out_is_undone() {
        let mut dedupe = Dedupe::new(1_000, 100);
        dedupe.enter([1; 16], [1; 8], first(1, 10));
        dedupe.commit();
        let mark = dedupe.mark();
        dedupe.enter([2; 16], [1; 8], first(2, 11));
        dedupe.leave([1; 16], [1; 8], 1);
        assert_eq!(dedupe.find(&[1; 16]), None);
        dedupe.undo_to(mark);
        assert_eq!(dedupe.find(&[1; 16]), Some(first(1, 10)));
        assert_eq!(dedupe.find(&[2; 16]), None);
        assert!(dedupe.knows_control(&[1; 8]));
    }

    #[test]
    fn a_control_id_is_known_as_long_as_one_of_its_messages_is() {
        let mut dedupe = Dedupe::new(1_000, 100);
        dedupe.enter([1; 16], [7; 8], first(1, 10));
        dedupe.enter([2; 16], [7; 8], first(2, 11));
        dedupe.leave([1; 16], [7; 8], 1);
        assert!(dedupe.knows_control(&[7; 8]));
        dedupe.leave([2; 16], [7; 8], 2);
        assert!(!dedupe.knows_control(&[7; 8]));
    }

    #[test]
    fn an_identity_now_held_by_a_later_message_does_not_leave_with_an_earlier_one() {
        let mut dedupe = Dedupe::new(1_000, 100);
        dedupe.enter([1; 16], [7; 8], first(5, 10));
        dedupe.leave([1; 16], [7; 8], 4);
        assert_eq!(dedupe.find(&[1; 16]), Some(first(5, 10)));
    }

    #[test]
    fn an_entry_lives_at_least_one_horizon_and_at_most_two() {
        let mut dedupe = Dedupe::new(1_000, 100);
        for (number, at) in (1_u8..).zip([0, 999, 1_000, 1_001, 2_000, 2_001]) {
            dedupe.enter([number; 16], [number; 8], first(i64::from(number), at));
            dedupe.commit();
        }
        // The first generation closed at 1,000 and went when the second (from 1,001) closed at 2,001.
        assert!(dedupe.find(&[1; 16]).is_none() && dedupe.find(&[3; 16]).is_none());
        assert!(dedupe.find(&[4; 16]).is_some() && dedupe.find(&[6; 16]).is_some());
    }

    #[test]
    fn memory_has_a_bound() {
        let mut dedupe = Dedupe::new(i64::MAX, 100);
        for number in 0..1_000_u64 {
            let mut key = [0; 16];
            key[..8].copy_from_slice(&number.to_le_bytes());
            dedupe.enter(key, number.to_le_bytes(), first(number as i64, 0));
            dedupe.commit();
            assert!(dedupe.len() <= 100);
        }
    }
}
