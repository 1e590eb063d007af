//! Rows that carry a whole message for a destination: no window, no version, the bytes as they are sent.
//!
//! Invariants: the same key is enqueued once, however often it is asked for; the row joins the line of its
//! destination, patient and kind behind all that are there; everything else about it (head, lease, doubt,
//! settlement) is as with every other row. Its window is 0, which no window has, so no version supersedes it.

use rusqlite::{Connection, params};

use crate::{
    command::{Command, Hot},
    consent_chain::RECORDED,
    error::WriteError,
    queue::{self, State},
};

/// A message to send.
#[derive(Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// The destination.
    pub destination: String,
    /// The patient's number; 0 for a message that is about none, whose line is its kind alone.
    pub patient: i64,
    /// Its line beside destination and patient, in the caller's words.
    pub kind: String,
    /// The effect's identity: asked for again, it is not enqueued again.
    pub key: [u8; 32],
    /// The bytes to send.
    pub body: Vec<u8>,
    /// Now, in milliseconds.
    pub at: i64,
}

/// The command that appends messages to their lines.
pub(crate) struct Enqueue(pub Vec<NewMessage>);

impl Command for Enqueue {
    type Out = Vec<Option<i64>>;

    fn bytes(&self) -> usize {
        size(&self.0)
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Vec<Option<i64>>, WriteError> {
        enqueue(conn, &self.0)
    }
}

/// Bytes of the messages together.
pub(crate) fn size(messages: &[NewMessage]) -> usize {
    messages.iter().map(|message| message.body.len()).sum()
}

/// Appends messages; the row of each, `None` where its key had been enqueued before.
pub(crate) fn enqueue(conn: &Connection, messages: &[NewMessage]) -> Result<Vec<Option<i64>>, WriteError> {
    let mut ids = Vec::with_capacity(messages.len());
    for message in messages {
        let known = conn.prepare_cached("SELECT 1 FROM outbox WHERE key = ?1")?.exists([&message.key])?;
        if known {
            ids.push(None);
            continue;
        }
        let id = conn
            .prepare_cached(&format!(
                "INSERT INTO outbox (destination, patient, window_id, version, kind, key, state, head, next_at,
                   created_at, consent) VALUES (?1, ?2, 0, 0, ?3, ?4, ?5, 0, ?6, ?6, {RECORDED})"
            ))?
            .insert(params![
                message.destination,
                message.patient,
                message.kind,
                message.key,
                State::Pending.name(),
                message.at
            ])?;
        queue::write_body(conn, id, &message.body)?;
        queue::move_up(conn, &message.destination, message.patient, &message.kind)?;
        ids.push(Some(id));
    }
    Ok(ids)
}
