//! Messages as they came in, and how far the pipeline has absorbed them.
//!
//! Invariants: a row of `inbox` is written once and never updated, but that retention empties its body (`prune.rs`), after which
//! it is no message to anybody; ids have no gaps and never fall back; the
//! same identity twice is one row and two equal receipts, also within one group; a refused message is kept with
//! its reason and its identity is not entered, so that a resend is decided afresh; while it is refused, resends of it
//! are counted on its first row and not stored again. The messages of one frame are taken in together or not at all.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};

use crate::{
    again::{self, ReadAgain},
    chunks::{self, ChunkWrite},
    command::{Command, Hot},
    dedupe::First,
    error::{Conflict, ReadError, WriteError},
    facts,
    messages::{self, NewMessage},
    packed,
    quarantine::{self, IdentityEntry, QuarantineEntry},
    set_aside::{self, SetAside},
    tail::TAIL_MAX_BODY_BYTES,
    waiting::{self, Learned},
    windows::{self, DirtyWindow},
};

/// A message to take in.
#[derive(Clone)]
pub struct Arrival {
    /// The configured feed's name.
    pub source: Arc<str>,
    /// The id of the site it belongs to; empty where no site takes it.
    pub site: Arc<str>,
    /// What is to be done with it, in the caller's words.
    pub handler: &'static str,
    /// MSH-9 as text, or "csv" and the like for files.
    pub kind: Box<str>,
    /// MSH-10, or its like.
    pub control_id: Box<str>,
    /// Now, in milliseconds since 1970.
    pub received_at: i64,
    /// Identity of the message: one effect each.
    pub key: [u8; 16],
    /// Identity of the control id at its source.
    pub control_key: [u8; 8],
    /// SHA-256 of the body.
    pub hash: [u8; 32],
    /// The bytes as received.
    pub body: Bytes,
    /// Where it is stored only to be looked at: why. Such a message is never absorbed.
    pub refusal: Option<Box<str>>,
}

/// What became of a message, once that is committed and synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Inbox id of the message, or of the first with the same identity.
    pub id: i64,
    /// When that one was taken in.
    pub received_at: i64,
    /// The identity was known: nothing was stored.
    pub duplicate: bool,
    /// Another message with this control id is known: stored, and flagged.
    pub control_id_reused: bool,
    /// It stands refused. False for a message that was accepted before, even where it would be refused now: it has had
    /// its effect, and gets the answer it got then.
    pub refused: bool,
}

/// A message as it is handed in: with the block to store for its body, where there is one.
pub(crate) struct TakeIn {
    arrival: Arrival,
    block: Option<Vec<u8>>,
}

impl TakeIn {
    /// Packs the body, so that the writer need not.
    pub(crate) fn new(arrival: Arrival) -> Self {
        let block = packed::pack(&arrival.body);
        Self { arrival, block }
    }

    /// As [`Self::new`], of a body of any length; for a thread that nobody waits for.
    pub(crate) fn of_file(arrival: Arrival) -> Self {
        let block = packed::pack_file(&arrival.body);
        Self { arrival, block }
    }

    /// Whether a message with its identity was taken in before.
    pub(crate) fn is_known(&self, hot: &Hot) -> bool {
        hot.dedupe.find(&self.arrival.key).is_some()
    }

    /// The id of the first message with its identity.
    pub(crate) fn first(&self, hot: &Hot) -> Option<i64> {
        hot.dedupe.find(&self.arrival.key).map(|first| first.id)
    }

    fn stored(&self) -> &[u8] {
        self.block.as_deref().unwrap_or(&self.arrival.body)
    }
}

impl Command for TakeIn {
    type Out = Receipt;

    /// The hot path: a savepoint per message would cost more than the message. Nothing here fails alone.
    fn savepoint(&self) -> bool {
        false
    }

    fn bytes(&self) -> usize {
        self.stored().len()
    }

    fn apply(self, conn: &Connection, hot: &mut Hot) -> Result<Receipt, WriteError> {
        take_in(self, conn, hot)
    }
}

/// The messages of one frame: all of them or none, in one transaction.
pub(crate) struct Together(pub Vec<TakeIn>);

impl Command for Together {
    type Out = Vec<Receipt>;

    /// As for a message alone: nothing here fails alone.
    fn savepoint(&self) -> bool {
        false
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|message| message.stored().len()).sum()
    }

    fn apply(self, conn: &Connection, hot: &mut Hot) -> Result<Vec<Receipt>, WriteError> {
        self.0.into_iter().map(|message| take_in(message, conn, hot)).collect()
    }
}

pub(crate) fn take_in(message: TakeIn, conn: &Connection, hot: &mut Hot) -> Result<Receipt, WriteError> {
    let arrival = &message.arrival;
    let known = |First { id, received_at }, refused| Receipt {
        id,
        received_at,
        duplicate: true,
        control_id_reused: false,
        refused,
    };
    if let Some(first) = hot.dedupe.find(&arrival.key) {
        return Ok(known(first, false));
    }
    let (id, received_at) = (hot.next_inbox_id, arrival.received_at);
    if let Some(reason) = &arrival.refusal {
        if let Some(first) = quarantine::refused_again(conn, &arrival.key, reason, received_at)? {
            return Ok(known(first, true));
        }
        insert(conn, id, &message, false)?;
        hot.next_inbox_id += 1;
        quarantine::insert_refused(conn, id, &arrival.key, reason, received_at)?;
        keep(message.arrival, id, false, hot);
        return Ok(Receipt { id, received_at, duplicate: false, control_id_reused: false, refused: true });
    }
    let control_id_reused = hot.dedupe.knows_control(&arrival.control_key);
    insert(conn, id, &message, control_id_reused)?;
    hot.next_inbox_id += 1;
    hot.dedupe.enter(arrival.key, arrival.control_key, First { id, received_at });
    keep(message.arrival, id, control_id_reused, hot);
    Ok(Receipt { id, received_at, duplicate: false, control_id_reused, refused: false })
}

/// Keeps a message for whoever reads it next, where it is short enough.
fn keep(arrival: Arrival, id: i64, control_id_reused: bool, hot: &mut Hot) {
    if arrival.body.len() <= TAIL_MAX_BODY_BYTES {
        hot.taken.push(arrival.into_message(id, control_id_reused));
    }
}

impl Arrival {
    /// As it is read back. The body is copied: it is a slice of a connection's buffer, which must not be kept.
    fn into_message(self, id: i64, control_id_reused: bool) -> Message {
        Message {
            id,
            received_at: self.received_at,
            source: self.source,
            site: self.site,
            handler: Cow::Borrowed(self.handler),
            kind: self.kind,
            control_id: self.control_id,
            hash: self.hash,
            refused: self.refusal.is_some(),
            control_id_reused,
            body: Bytes::copy_from_slice(&self.body),
        }
    }
}

fn insert(conn: &Connection, id: i64, message: &TakeIn, reused: bool) -> rusqlite::Result<usize> {
    let arrival = &message.arrival;
    conn.prepare_cached(
        "INSERT INTO inbox (id, received_at, source, site, handler, kind, control_id, hash, refused, control_reused,
                            body_bytes, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        id,
        arrival.received_at,
        &*arrival.source,
        &*arrival.site,
        arrival.handler,
        &*arrival.kind,
        &*arrival.control_id,
        arrival.hash,
        arrival.refusal.is_some(),
        reused,
        arrival.body.len() as i64,
        message.stored(),
    ])
}

/// One step of the pipeline: everything that follows from the messages up to a new watermark.
#[derive(Default)]
pub struct Absorb {
    /// Where the watermark must stand now.
    pub expected_from: i64,
    /// Where it stands afterwards: the id of the last message absorbed.
    pub upto: i64,
    /// Chunks of readings, each replacing the version it was computed from.
    pub chunks: Vec<ChunkWrite>,
    /// What was logged beside glucose, each day replacing the version it was computed from.
    pub app_events: Vec<ChunkWrite>,
    /// Windows to compute again.
    pub dirty: Vec<DirtyWindow>,
    /// Messages that could not be read, or not wholly.
    pub quarantine: Vec<QuarantineEntry>,
    /// Messages whose patient could not be told.
    pub identity: Vec<IdentityEntry>,
    /// What messages held beside their readings.
    pub set_aside: Vec<SetAside>,
    /// Earlier messages that this step read anew.
    pub read_again: Vec<ReadAgain>,
    /// Messages to be absorbed again.
    pub again: Vec<i64>,
    /// What was learned of who is who.
    pub learned: Learned,
    /// Now, in milliseconds.
    pub at: i64,
    /// What is sent in answer to messages; each key once.
    pub replies: Vec<NewMessage>,
}

impl Command for Absorb {
    type Out = ();

    fn bytes(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(|chunk| chunk.body.len()).sum();
        let events: usize = self.app_events.iter().map(|events| events.body.len()).sum();
        chunks + events + messages::size(&self.replies)
    }

    fn apply(mut self, conn: &Connection, hot: &mut Hot) -> Result<(), WriteError> {
        if watermark(conn)? != self.expected_from
            || self.upto < self.expected_from
            || self.upto >= hot.next_inbox_id
        {
            return Err(Conflict::Watermark.into());
        }
        conn.prepare_cached("UPDATE watermark SET inbox_id = ?1")?.execute([self.upto])?;
        for chunk in &self.chunks {
            chunks::READINGS.write(conn, chunk)?;
        }
        for events in &self.app_events {
            chunks::APP_EVENTS.write(conn, events)?;
        }
        for window in &self.dirty {
            windows::dirty(conn, window)?;
        }
        again::done(conn, &self.read_again, &mut self.quarantine)?;
        for entry in &self.quarantine {
            quarantine::insert(conn, entry.inbox_id, &entry.stage, &entry.place, &entry.reason, entry.at)?;
            hot.dedupe.forget(conn, entry.inbox_id)?;
        }
        for entry in &self.set_aside {
            set_aside::insert(conn, entry)?;
        }
        waiting::renew(conn, &self.read_again, &mut self.identity, &self.learned.waits)?;
        for entry in &self.identity {
            hot.dedupe.forget(conn, entry.inbox_id)?;
        }
        waiting::files(conn, &self.learned.files, self.at)?;
        for (patient, inbox_id, said_at, fact) in &self.learned.facts {
            facts::put(conn, *patient, fact, *said_at, *inbox_id, self.at)?;
        }
        waiting::ask_again(conn, &self.again, self.at)?;
        messages::enqueue(conn, &self.replies)?;
        Ok(())
    }
}

/// A message as it was taken in.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Inbox id.
    pub id: i64,
    /// When it was taken in, in milliseconds.
    pub received_at: i64,
    /// The feed's name.
    pub source: Arc<str>,
    /// The id of the site it belongs to; empty where no site takes it.
    pub site: Arc<str>,
    /// What is to be done with it, in the words of whoever took it in.
    pub handler: Cow<'static, str>,
    /// MSH-9 as text, or its like.
    pub kind: Box<str>,
    /// MSH-10, or its like.
    pub control_id: Box<str>,
    /// SHA-256 of the body, as taken in.
    pub hash: [u8; 32],
    /// Stored only to be looked at.
    pub refused: bool,
    /// Its control id had been used by another message.
    pub control_id_reused: bool,
    /// The bytes as received.
    pub body: Bytes,
}

const COLUMNS: &str = "id, received_at, source, site, handler, kind, control_id, hash, refused, control_reused, body_bytes, body";

fn message_of(row: &Row<'_>) -> rusqlite::Result<Message> {
    Ok(Message {
        id: row.get(0)?,
        received_at: row.get(1)?,
        source: row.get(2)?,
        site: row.get(3)?,
        handler: Cow::Owned(row.get(4)?),
        kind: row.get(5)?,
        control_id: row.get(6)?,
        hash: row.get(7)?,
        refused: row.get(8)?,
        control_id_reused: row.get(9)?,
        body: body_of(row)?,
    })
}

fn body_of(row: &Row<'_>) -> rusqlite::Result<Bytes> {
    let (bytes, stored): (i64, Vec<u8>) = (row.get(10)?, row.get(11)?);
    let body = packed::unpack(stored, bytes as usize);
    let broken = |broken| rusqlite::Error::FromSqlConversionFailure(11, Type::Blob, Box::new(broken));
    body.map(Bytes::from).map_err(broken)
}

/// The bytes of a message.
pub(crate) fn body(conn: &Connection, id: i64) -> Result<Option<Bytes>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM inbox WHERE id = ?1 AND removed_at IS NULL");
    Ok(conn.prepare_cached(&sql)?.query_row([id], body_of).optional()?)
}

/// Id of the last message absorbed, 0 before the first.
pub(crate) fn watermark(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("SELECT inbox_id FROM watermark")?.query_row([], |row| row.get(0))
}

/// The id the next message gets.
pub(crate) fn next_id(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row(
        "SELECT max(coalesce((SELECT max(id) FROM inbox), 0), inbox_id) + 1 FROM watermark",
        [],
        |row| row.get(0),
    )
}

/// Messages to absorb after the watermark, in order: at most `limit`, and not more once their bodies have
/// reached `max_bytes` together (so there is at least one where any waits).
pub(crate) fn messages_after(
    conn: &Connection,
    watermark: i64,
    limit: usize,
    max_bytes: usize,
) -> Result<Vec<Message>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM inbox WHERE id > ?1 AND refused = 0 ORDER BY inbox.id");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([watermark])?;
    let (mut found, mut bytes) = (Vec::new(), 0_usize);
    while found.len() < limit && bytes < max_bytes {
        let Some(row) = rows.next()? else { break };
        let message = message_of(row)?;
        bytes = bytes.saturating_add(message.body.len());
        found.push(message);
    }
    Ok(found)
}

/// The message with this id; `None` also where retention removed its bytes.
pub(crate) fn message(conn: &Connection, id: i64) -> Result<Option<Message>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM inbox WHERE id = ?1 AND removed_at IS NULL");
    Ok(conn.prepare_cached(&sql)?.query_row([id], message_of).optional()?)
}
