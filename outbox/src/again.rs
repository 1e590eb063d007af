//! Reading stored messages anew: who asked for which, and what follows when it is done.
//!
//! Invariants
//! - `again` is a set: asking twice is asking once, and a kill between asking and reading loses nothing.
//! - A message leaves the set in the transaction that holds everything that follows from reading it, and only if
//!   nobody asked for it since it was read.
//! - A fault that is met again keeps its entry, so that reading anew without a changed rule writes nothing; one
//!   that is not met again is resolved; a new one gets an entry.
//! - Releasing and dropping are audited in their own transaction, message by message; what had been done before
//!   is told and has no second effect.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    audit::{self, AuditEntry},
    command::{Command, Hot},
    error::{ReadError, WriteError},
    inbox::{self, Message},
    quarantine::{EntryState, QuarantineEntry},
    set_aside,
};

/// A message to read anew.
#[derive(Clone, PartialEq, Eq)]
pub struct Asked {
    /// The message.
    pub message: Message,
    /// When that was last asked for, in milliseconds.
    pub asked_at: i64,
}

/// A message that was read anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadAgain {
    /// The message.
    pub inbox_id: i64,
    /// [`Asked::asked_at`] as it was read.
    pub asked_at: i64,
    /// It gave readings, so what it held beside them is known anew too.
    pub has_readings: bool,
    /// Now, in milliseconds.
    pub at: i64,
}

/// The command that has stored messages read anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskAgain {
    /// The messages; those that are not in the inbox are left out.
    pub ids: Vec<i64>,
    /// Now, in milliseconds.
    pub at: i64,
    /// Who asked and why.
    pub audit: Vec<AuditEntry>,
}

impl Command for AskAgain {
    type Out = u64;

    fn bytes(&self) -> usize {
        self.ids.len() * 16
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<u64, WriteError> {
        let mut fresh = 0;
        for id in &self.ids {
            fresh += u64::from(ask(conn, *id, self.at)?);
        }
        audit::append(conn, &self.audit)?;
        Ok(fresh)
    }
}

/// Puts a message into the set, or renews the time at which it was asked for. Returns whether it was not in it.
fn ask(conn: &Connection, id: i64, at: i64) -> rusqlite::Result<bool> {
    let waiting = conn.prepare_cached("SELECT 1 FROM again WHERE inbox_id = ?1")?.exists([id])?;
    // A later time each time: what is being read just now is then read once more.
    let asked = conn
        .prepare_cached(
            "INSERT INTO again (inbox_id, asked_at) SELECT id, ?2 FROM inbox WHERE id = ?1 AND removed_at IS NULL
             ON CONFLICT (inbox_id) DO UPDATE SET asked_at = max(excluded.asked_at, asked_at + 1)",
        )?
        .execute([id, at])?;
    Ok(asked == 1 && !waiting)
}

/// What a person does with messages that are held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// [`EntryState::Released`]: they are read anew. [`EntryState::Dropped`]: they are given up, stay in the
    /// inbox, and a resend counts as new. Nothing else has an effect.
    pub to: EntryState,
    /// The messages.
    pub ids: Vec<i64>,
    /// Now, in milliseconds.
    pub at: i64,
    /// Who, for the entries and the audit log.
    pub by: String,
    /// Why, for the audit log.
    pub reason: String,
}

/// What became of one message of an [`Act`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acted {
    /// It was done now.
    Done,
    /// Nothing was open; this was done before.
    Already {
        /// What.
        state: EntryState,
        /// When, in milliseconds.
        at: i64,
        /// By whom.
        by: String,
    },
    /// The message is not and was not held back.
    NotHeld,
    /// There is no such message.
    Missing,
}

impl Command for Act {
    type Out = Vec<Acted>;

    fn bytes(&self) -> usize {
        self.ids.len() * (64 + self.reason.len())
    }

    fn apply(self, conn: &Connection, hot: &mut Hot) -> Result<Vec<Acted>, WriteError> {
        let mut became = Vec::with_capacity(self.ids.len());
        for id in &self.ids {
            let acted = self.one(conn, hot, *id)?;
            if acted == Acted::Done {
                audit::append(conn, &[self.audit(*id)])?;
            }
            became.push(acted);
        }
        Ok(became)
    }
}

impl Act {
    fn one(&self, conn: &Connection, hot: &mut Hot, id: i64) -> rusqlite::Result<Acted> {
        if !conn.prepare_cached("SELECT 1 FROM inbox WHERE id = ?1 AND removed_at IS NULL")?.exists([id])? {
            return Ok(Acted::Missing);
        }
        let mut moved = self.entries(conn, id, EntryState::Open)?;
        // A person may change their mind about what was given up.
        if moved == 0 && self.to == EntryState::Released {
            moved = self.entries(conn, id, EntryState::Dropped)?;
        }
        if moved == 0 {
            return Ok(ended(conn, id)?.unwrap_or(Acted::NotHeld));
        }
        match self.to {
            EntryState::Released => {
                ask(conn, id, self.at)?;
            }
            EntryState::Dropped => {
                conn.prepare_cached("DELETE FROM again WHERE inbox_id = ?1")?.execute([id])?;
                hot.dedupe.forget(conn, id)?;
            }
            EntryState::Open | EntryState::Resolved => {}
        }
        Ok(Acted::Done)
    }

    /// Moves the message's entries of one state; returns how many.
    fn entries(&self, conn: &Connection, id: i64, from: EntryState) -> rusqlite::Result<usize> {
        let mut moved = 0;
        for sql in END {
            let fields = params![id, from.name(), self.to.name(), self.at, self.by];
            moved += conn.prepare_cached(sql)?.execute(fields)?;
        }
        Ok(moved)
    }

    fn audit(&self, id: i64) -> AuditEntry {
        AuditEntry {
            actor: self.by.clone(),
            action: format!("quarantine {}", self.to.name()),
            object: format!("message {id}"),
            detail: self.reason.clone(),
            at: self.at,
        }
    }
}

/// Moves a message's entries from one state to another. Without its key a refused message that is sent again is an
/// entry of its own, and not one more of those that a person has done with.
const END: [&str; 2] = [
    "UPDATE quarantine SET state = ?3, state_at = ?4, state_by = ?5, key = NULL WHERE inbox_id = ?1 AND state = ?2",
    "UPDATE identity_queue SET state = ?3, state_at = ?4, state_by = ?5 WHERE inbox_id = ?1 AND state = ?2",
];

/// What was last done with a message's entries.
fn ended(conn: &Connection, id: i64) -> rusqlite::Result<Option<Acted>> {
    conn.prepare_cached(
        "SELECT state, state_at, state_by FROM (
           SELECT state, state_at, state_by FROM quarantine WHERE inbox_id = ?1
           UNION ALL SELECT state, state_at, state_by FROM identity_queue WHERE inbox_id = ?1)
         WHERE state <> 'open' ORDER BY state_at DESC LIMIT 1",
    )?
    .query_row([id], |row| {
        let state = EntryState::of(&row.get::<_, String>(0)?)?;
        Ok(Acted::Already {
            state,
            at: row.get::<_, Option<i64>>(1)?.unwrap_or(0),
            by: row.get::<_, Option<String>>(2)?.unwrap_or_default(),
        })
    })
    .optional()
}

/// Who resolves an entry whose fault was not met again.
pub(crate) const READER: &str = "isthmus";

/// Ends what the messages read anew were held back for, and takes out of `quarantine` what is held already. The
/// entries that stay in it are new. The identity queue's part of this is [`crate::waiting::renew`].
pub(crate) fn done(
    conn: &Connection,
    read: &[ReadAgain],
    quarantine: &mut Vec<QuarantineEntry>,
) -> rusqlite::Result<()> {
    for message in read {
        conn.prepare_cached("DELETE FROM again WHERE inbox_id = ?1 AND asked_at = ?2")?
            .execute([message.inbox_id, message.asked_at])?;
        if message.has_readings {
            set_aside::forget(conn, message.inbox_id)?;
        }
        let held = entries(
            conn,
            "SELECT id, stage, place, reason, state FROM quarantine WHERE inbox_id = ?1
             AND state IN ('open', 'dropped')",
            message.inbox_id,
        )?;
        let gone = unmet(held, quarantine, |entry| {
            (entry.inbox_id == message.inbox_id).then(|| [&*entry.stage, &*entry.place, &*entry.reason])
        });
        resolve(
            conn,
            "UPDATE quarantine SET state = 'resolved', state_at = ?2, state_by = ?3 WHERE id = ?1",
            &gone,
            message.at,
        )?;
    }
    Ok(())
}

/// An entry that is not ended for good: its id, its words, and whether it is open.
pub(crate) type Entry = (i64, [String; 3], bool);

pub(crate) fn entries(conn: &Connection, sql: &str, inbox_id: i64) -> rusqlite::Result<Vec<Entry>> {
    conn.prepare_cached(sql)?
        .query_map([inbox_id], |row| {
            let open = row.get_ref(4)?.as_str()? == EntryState::Open.name();
            Ok((row.get(0)?, [row.get(1)?, row.get(2)?, row.get(3)?], open))
        })?
        .collect()
}

/// Pairs what is held with what was met, takes the pairs out of `met`, and returns the open ones without a pair.
pub(crate) fn unmet<T>(
    held: Vec<Entry>,
    met: &mut Vec<T>,
    words: impl Fn(&T) -> Option<[&str; 3]>,
) -> Vec<i64> {
    let mut gone = Vec::new();
    for (id, held, open) in held {
        let same = |entry: &T| words(entry).is_some_and(|words| words.iter().eq(held.iter()));
        match met.iter().position(same) {
            Some(place) => {
                met.remove(place);
            }
            None if open => gone.push(id),
            None => {}
        }
    }
    gone
}

pub(crate) fn resolve(conn: &Connection, sql: &str, ids: &[i64], at: i64) -> rusqlite::Result<()> {
    for id in ids {
        conn.prepare_cached(sql)?.execute(params![id, at, READER])?;
    }
    Ok(())
}

/// Messages to read anew, the oldest first.
pub(crate) fn asked(conn: &Connection, limit: usize, max_bytes: usize) -> Result<Vec<Asked>, ReadError> {
    let mut statement =
        conn.prepare_cached("SELECT inbox_id, asked_at FROM again ORDER BY inbox_id LIMIT ?1")?;
    let mut rows = statement.query([limit as i64])?;
    let (mut found, mut bytes) = (Vec::new(), 0_usize);
    while bytes < max_bytes
        && let Some(row) = rows.next()?
    {
        let Some(message) = inbox::message(conn, row.get(0)?)? else { continue };
        bytes = bytes.saturating_add(message.body.len());
        found.push(Asked { message, asked_at: row.get(1)? });
    }
    Ok(found)
}

/// How many of these ids wait.
pub(crate) fn between(conn: &Connection, from: i64, upto: i64) -> Result<u64, ReadError> {
    let mut statement = conn.prepare_cached("SELECT count(*) FROM again WHERE inbox_id BETWEEN ?1 AND ?2")?;
    Ok(statement.query_row([from, upto], |row| row.get::<_, i64>(0))?.max(0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_met_again_keeps_its_entry_and_each_entry_stands_for_one() {
        let held = |id, reason: &str, open| (id, [String::new(), String::new(), reason.to_owned()], open);
        let mut met = vec!["unit", "unit", "time"];
        let gone = unmet(
            vec![
                held(1, "unit", true),
                held(2, "value", true),
                held(3, "status", false),
                held(4, "time", false),
            ],
            &mut met,
            |reason| Some(["", "", reason]),
        );
        assert_eq!(gone, [2], "open and not met again; what was dropped is not resolved");
        assert_eq!(met, ["unit"], "the second one is new, and the dropped one is not opened again");
    }
}
