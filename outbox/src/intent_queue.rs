//! The rows of the queue that an intent becomes.
//!
//! Invariants: the row of an intent that is about a window follows the window's last write at that destination, and where
//! that one is superseded it follows the one that took its place; what is taken back is what the ledger says stands, and
//! nothing of the window may be under way then.

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use crate::{
    consent_chain::RECORDED,
    error::{Conflict, WriteError},
    intent_rows::Intent,
    publish::{self, Enters},
    queue::{self, State},
    rows, server,
};

/// Why what waits of a window is superseded when what stands is taken back.
const NOT_ANY_MORE: &str = "what stands of its window is marked as entered in error";

/// A row that an intent becomes.
#[derive(Clone)]
pub struct IntentRow {
    /// The destination.
    pub destination: String,
    /// For whom, where that is not whom the intent names: what is taken back was written for somebody.
    pub patient: Option<i64>,
    /// What is sent.
    pub kind: String,
    /// Its shape.
    pub form: String,
    /// Rows of a smaller number go first.
    pub priority: u8,
    /// Window and version, of an outcome; `None` for what is none.
    pub version: Option<(i64, i64)>,
    /// The effect's identity, of an outcome: the same version in the same form is written once.
    pub key: Option<[u8; 32]>,
    /// Place of the row, in this list, that must be delivered first.
    pub depends_on: Option<usize>,
    /// It takes back what stands of the intent's window at its destination.
    pub withdraws: bool,
    /// How it enters the queue.
    pub enters: Enters,
    /// The bytes to send.
    pub body: Vec<u8>,
}

/// Bytes of the rows together.
pub(crate) fn size(rows: &[IntentRow]) -> usize {
    rows.iter().map(|row| row.body.len()).sum()
}

/// Appends an intent's rows to their lines.
pub(crate) fn enqueue(
    conn: &Connection,
    intent: &Intent,
    rows: &[IntentRow],
    stood: &[(String, Option<i64>)],
    at: i64,
) -> Result<(), WriteError> {
    for (destination, expected) in stood {
        let window = intent.window.ok_or(Conflict::Window)?;
        let standing = rows::standing_version(conn, window, destination)?;
        if standing.map(|standing| standing.version) != *expected {
            return Err(Conflict::Window.into());
        }
    }
    if let Some(window) = intent.window {
        clear_the_way(conn, window, rows, at)?;
    }
    let round: i64 = conn
        .prepare_cached("SELECT coalesce(max(round), 0) + 1 FROM intent_row WHERE intent = ?1")?
        .query_row([intent.id], |row| row.get(0))?;
    let mut ids: Vec<i64> = Vec::with_capacity(rows.len());
    for (place, row) in rows.iter().enumerate() {
        let depends_on = match row.depends_on {
            Some(above) => Some(*ids.get(above).ok_or(Conflict::Dependency)?),
            None => predecessor(conn, intent, row.withdraws || row.version.is_some(), &row.destination)?,
        };
        let key = key_of(conn, intent, row, place, round)?;
        let id = insert(conn, row.patient.unwrap_or(intent.patient), row, &key, depends_on, at)?;
        conn.prepare_cached("INSERT INTO intent_row (row_id, intent, round) VALUES (?1, ?2, ?3)")?
            .execute(params![id, intent.id, round])?;
        ids.push(id);
    }
    Ok(())
}

/// Before what stands is taken back: nothing may be under way that would put it there again.
fn clear_the_way(conn: &Connection, window: i64, rows: &[IntentRow], at: i64) -> Result<(), WriteError> {
    let all: Vec<String> = conn
        .prepare_cached("SELECT DISTINCT destination FROM outbox WHERE window_id = ?1")?
        .query_map([window], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let taken = |destination: &str| rows.iter().any(|row| row.withdraws && row.destination == destination);
    for destination in all.iter().filter(|destination| taken(destination)) {
        let busy = conn
            .prepare_cached(
                "SELECT 1 FROM outbox WHERE window_id = ?1 AND destination = ?2 AND state IN ('leased', 'ambiguous')",
            )?
            .exists(params![window, destination])?;
        if busy {
            return Err(Conflict::Window.into());
        }
    }
    if rows.iter().any(|row| row.withdraws) {
        let reason = |destination: &str| taken(destination).then_some(NOT_ANY_MORE);
        publish::supersede(conn, window, i64::MAX, reason, at)?;
    }
    Ok(())
}

/// The identity of an effect. An outcome has its own, so that one version is written once in one form; where it was queued
/// and given up, it has another.
fn key_of(
    conn: &Connection,
    intent: &Intent,
    row: &IntentRow,
    place: usize,
    round: i64,
) -> Result<[u8; 32], WriteError> {
    if let Some(key) = row.key {
        let state: Option<String> = conn
            .prepare_cached("SELECT state FROM outbox WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        match state.as_deref().map(State::of).transpose()? {
            None => return Ok(key),
            Some(State::Superseded | State::Dropped) => {}
            Some(_) => return Err(Conflict::EffectKey.into()),
        }
    }
    let mut effect = Sha256::new_with_prefix(b"intent");
    effect.update(intent.key);
    effect.update((place as u64).to_be_bytes());
    effect.update(round.to_be_bytes());
    Ok(effect.finalize().into())
}

/// The row of the intent's window that is written before, or was; none where the intent is about none, or is itself a write
/// of the window (`own`), which stands behind the others in its line.
fn predecessor(
    conn: &Connection,
    intent: &Intent,
    own: bool,
    destination: &str,
) -> rusqlite::Result<Option<i64>> {
    let Some(window) = intent.window.filter(|_| !own) else { return Ok(None) };
    conn.prepare_cached(
        "SELECT id FROM outbox WHERE window_id = ?1 AND destination = ?2 AND kind <> 'Provenance'
         AND (state IN ('pending', 'leased', 'deferred', 'ambiguous') OR (state = 'delivered' AND server = ?3))
         ORDER BY version DESC, id DESC LIMIT 1",
    )?
    .query_row(params![window, destination, server::number(conn, destination)?], |row| row.get(0))
    .optional()
}

/// Lets the rows of an intent that follow what was superseded follow what took its place, or nothing.
pub(crate) fn follow(conn: &Connection, intent: &Intent) -> rusqlite::Result<()> {
    let lost: Vec<(i64, String)> = conn
        .prepare_cached(
            "SELECT o.id, o.destination FROM intent_row r JOIN outbox o ON o.id = r.row_id
             JOIN outbox d ON d.id = o.depends_on
             WHERE r.intent = ?1 AND o.state IN ('pending', 'deferred') AND d.state IN ('superseded', 'dropped', 'shown')",
        )?
        .query_map([intent.id], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (id, destination) in lost {
        let now = predecessor(conn, intent, false, &destination)?;
        conn.prepare_cached("UPDATE outbox SET depends_on = ?2 WHERE id = ?1")?.execute(params![id, now])?;
    }
    Ok(())
}

fn insert(
    conn: &Connection,
    patient: i64,
    row: &IntentRow,
    key: &[u8; 32],
    depends_on: Option<i64>,
    at: i64,
) -> Result<i64, WriteError> {
    let (state, reason) = match &row.enters {
        Enters::Pending => (State::Pending, None),
        Enters::Deferred(reason) => (State::Deferred, Some(reason)),
        Enters::Shown => (State::Shown, None),
    };
    // Without a window no version supersedes it; the version is that of a first write.
    let (window, version) = row.version.unwrap_or((0, 1));
    let id = conn
        .prepare_cached(&format!(
            "INSERT INTO outbox (destination, patient, window_id, version, kind, key, depends_on, state, head, reason,
               next_at, created_at, form, priority, settled_at, consent)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?10, ?10, ?11, ?12, ?13, {RECORDED})"
        ))?
        .insert(params![
            row.destination,
            patient,
            window,
            version,
            row.kind,
            key,
            depends_on,
            state.name(),
            reason,
            at,
            row.form,
            row.priority,
            state.is_settled().then_some(at)
        ])?;
    queue::write_body(conn, id, &row.body)?;
    queue::move_up(conn, &row.destination, patient, &row.kind)?;
    Ok(id)
}
