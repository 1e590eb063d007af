//! Intents as they are stored, and the rows of the queue that they become.
//!
//! Invariants: the row of an intent that is about a window follows the window's last write at that destination, and where
//! that one is superseded it follows the one that took its place; what is taken back is what the ledger says stands, and
//! nothing of the window may be under way then.

use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};

use crate::{
    error::{Conflict, ReadError, WriteError},
    in_force,
    intent::{IntentFacts, IntentState},
    lineage::{self, Root},
    publish::{self, Enters},
    queue::{self, State},
    rows,
};

/// Most intents of one list.
const LIST_MOST: usize = 1_000;
/// Most intents that are looked at in one turn; the next turn sees the rest.
const UNDER_WAY_MOST: usize = 1_000;
/// Why what waits of a window is superseded when what stands is taken back.
const NOT_ANY_MORE: &str = "what stands of its window is marked as entered in error";

/// An intent. No Debug: it may hold free words about a patient, and names people.
#[derive(Clone, PartialEq, Eq)]
pub struct Intent {
    /// Its number.
    pub id: i64,
    /// Of the request.
    pub key: [u8; 32],
    /// The identifier that it names.
    pub patient: i64,
    /// The window that it is about.
    pub window: Option<i64>,
    /// `note`, `goal`, `flowsheet`, `withdraw`.
    pub kind: String,
    /// What is wanted, in the caller's words.
    pub body: String,
    /// Who wants it.
    pub author: String,
    /// In which role.
    pub role: Option<String>,
    /// For whom.
    pub behalf: Option<String>,
    /// Who typed it.
    pub transcribed: Option<String>,
    /// When it was entered, in milliseconds.
    pub entered_at: i64,
    /// When its author last stood by it, in milliseconds.
    pub confirmed_at: i64,
    /// How long that holds, in milliseconds.
    pub fresh_ms: i64,
    /// It goes although the patient died.
    pub decided: bool,
    /// Where it stands.
    pub state: IntentState,
    /// Why it is held.
    pub reason: String,
    /// Since when, in milliseconds.
    pub state_at: i64,
}

/// A row that an intent becomes.
#[derive(Clone)]
pub struct IntentRow {
    /// The destination.
    pub destination: String,
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

/// A row that an intent became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntentPlace {
    /// Its number.
    pub row_id: i64,
    /// The destination.
    pub destination: String,
    /// What is sent.
    pub kind: String,
    /// Where it stands.
    pub state: State,
    /// Why it is deferred, quarantined or superseded.
    pub reason: Option<String>,
}

/// Which intents.
#[derive(Debug, Clone, Default)]
pub struct IntentFilter {
    /// Of these identifiers; of all where none is named.
    pub patients: Vec<i64>,
    /// Those before this number.
    pub before: Option<i64>,
    /// In this state.
    pub state: Option<IntentState>,
    /// Most of them.
    pub limit: usize,
}

/// A resource that stands at a destination because a row of a window wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenPart {
    /// Our identifier for it.
    pub identifier: String,
    /// The row that wrote it last.
    pub row_id: i64,
    /// That row's kind.
    pub kind: String,
    /// That row's shape.
    pub form: String,
}

const COLUMNS: &str =
    "i.id, i.key, i.patient, i.window_id, i.kind, i.body, i.author, i.role, i.behalf, i.transcribed,
  i.entered_at, i.confirmed_at, i.fresh_ms, i.decided, i.state, i.reason, i.state_at";

fn read(row: &Row<'_>) -> rusqlite::Result<Intent> {
    Ok(Intent {
        id: row.get(0)?,
        key: row.get(1)?,
        patient: row.get(2)?,
        window: row.get(3)?,
        kind: row.get(4)?,
        body: row.get(5)?,
        author: row.get(6)?,
        role: row.get(7)?,
        behalf: row.get(8)?,
        transcribed: row.get(9)?,
        entered_at: row.get(10)?,
        confirmed_at: row.get(11)?,
        fresh_ms: row.get(12)?,
        decided: row.get(13)?,
        state: IntentState::of(row.get_ref(14)?.as_str()?)?,
        reason: row.get(15)?,
        state_at: row.get(16)?,
    })
}

pub(crate) fn by_id(conn: &Connection, id: i64) -> rusqlite::Result<Option<Intent>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM intent i WHERE i.id = ?1"))?
        .query_row([id], read)
        .optional()
}

pub(crate) fn by_key(conn: &Connection, key: &[u8; 32]) -> rusqlite::Result<Option<Intent>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM intent i WHERE i.key = ?1"))?
        .query_row([key], read)
        .optional()
}

pub(crate) fn of_row(conn: &Connection, row_id: i64) -> rusqlite::Result<Option<Intent>> {
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM intent_row r JOIN intent i ON i.id = r.intent WHERE r.row_id = ?1"
    ))?
    .query_row([row_id], read)
    .optional()
}

/// Intents that wait for their rows or have some in the queue.
pub(crate) fn under_way(conn: &Connection) -> rusqlite::Result<Vec<Intent>> {
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM intent i WHERE i.state IN ('waiting', 'queued')
         AND i.state NOT IN ('done', 'withdrawn') ORDER BY i.state_at, i.id LIMIT ?1"
    ))?
    .query_map([UNDER_WAY_MOST as i64], read)?
    .collect()
}

/// Intents whose rows are still to be made.
pub(crate) fn waiting_for_rows(conn: &Connection) -> rusqlite::Result<Vec<Intent>> {
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM intent i WHERE i.state = 'waiting' AND i.state NOT IN ('done', 'withdrawn')
         ORDER BY i.id LIMIT ?1"
    ))?
    .query_map([UNDER_WAY_MOST as i64], read)?
    .collect()
}

pub(crate) fn list(conn: &Connection, filter: &IntentFilter) -> Result<Vec<Intent>, ReadError> {
    let before = filter.before.unwrap_or(i64::MAX);
    let state = filter.state.map(IntentState::name);
    let limit = filter.limit.clamp(1, LIST_MOST);
    let mut of_all = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM intent i WHERE i.id < ?1 AND (?2 IS NULL OR i.state = ?2) AND (?3 IS NULL OR i.patient = ?3)
         ORDER BY i.id DESC LIMIT ?4"
    ))?;
    let mut found: Vec<Intent> = Vec::new();
    let whom: Vec<Option<i64>> = match filter.patients.as_slice() {
        [] => vec![None],
        named => named.iter().copied().map(Some).collect(),
    };
    for patient in whom {
        for intent in of_all.query_map(params![before, state, patient, limit as i64], read)? {
            found.push(intent?);
        }
    }
    found.sort_by_key(|intent| std::cmp::Reverse(intent.id));
    found.truncate(limit);
    Ok(found)
}

pub(crate) fn counts(conn: &Connection) -> rusqlite::Result<Vec<(IntentState, u64)>> {
    let open = "SELECT state, count(*) FROM intent INDEXED BY intent_open
        WHERE state NOT IN ('done', 'withdrawn') GROUP BY state";
    conn.prepare_cached(open)?
        .query_map([], |row| {
            Ok((IntentState::of(row.get_ref(0)?.as_str()?)?, row.get::<_, i64>(1)?.max(0) as u64))
        })?
        .collect()
}

/// What bears on whether it may go.
pub(crate) fn facts(conn: &Connection, intent: &Intent) -> rusqlite::Result<IntentFacts> {
    let retired = lineage::root(conn, intent.patient)? != Root::One(intent.patient);
    let mut died = conn
        .prepare_cached("SELECT 1 FROM patient_fact WHERE patient = ?1 AND fact = 'death' AND value <> ''")?;
    let mut deceased = false;
    for member in in_force::person(conn, intent.patient)? {
        deceased |= died.exists([member])?;
    }
    Ok(IntentFacts {
        confirmed_at: intent.confirmed_at,
        fresh_ms: intent.fresh_ms,
        retired,
        deceased,
        decided: intent.decided,
    })
}

/// Whether a row of an intent was sent, or may have been; `but` is not asked.
pub(crate) fn has_begun(conn: &Connection, id: i64, but: Option<i64>) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT 1 FROM intent_row r JOIN outbox o ON o.id = r.row_id
         WHERE r.intent = ?1 AND o.id IS NOT ?2 AND o.state IN ('delivered', 'leased', 'ambiguous')",
    )?
    .exists(params![id, but])
}

/// Rows of an intent that wait to be sent, the last first.
pub(crate) fn waiting(conn: &Connection, id: i64) -> rusqlite::Result<Vec<i64>> {
    conn.prepare_cached(
        "SELECT o.id FROM intent_row r JOIN outbox o ON o.id = r.row_id
         WHERE r.intent = ?1 AND o.state IN ('pending', 'deferred') ORDER BY o.id DESC",
    )?
    .query_map([id], |row| row.get(0))?
    .collect()
}

/// Whether nothing of the last round is under way any more, and something of it was given up.
pub(crate) fn was_given_up(conn: &Connection, id: i64) -> rusqlite::Result<bool> {
    let places = places(conn, id)?;
    Ok(places.iter().all(|place| place.state.is_settled())
        && places.iter().any(|place| matches!(place.state, State::Superseded | State::Dropped)))
}

/// The rows of the last round.
pub(crate) fn places(conn: &Connection, id: i64) -> rusqlite::Result<Vec<IntentPlace>> {
    conn.prepare_cached(
        "SELECT o.id, o.destination, o.kind, o.state, o.reason FROM intent_row r JOIN outbox o ON o.id = r.row_id
         WHERE r.intent = ?1 AND r.round = (SELECT max(round) FROM intent_row WHERE intent = ?1) ORDER BY o.id",
    )?
    .query_map([id], |row| {
        Ok(IntentPlace {
            row_id: row.get(0)?,
            destination: row.get(1)?,
            kind: row.get(2)?,
            state: State::of(row.get_ref(3)?.as_str()?)?,
            reason: row.get(4)?,
        })
    })?
    .collect()
}

/// What stands of a window at a destination, by the ledger.
pub(crate) fn written(
    conn: &Connection,
    window_id: i64,
    destination: &str,
) -> rusqlite::Result<Vec<WrittenPart>> {
    conn.prepare_cached(
        "SELECT r.identifier, r.row_id, o.kind, o.form FROM outbox o JOIN written r ON r.row_id = o.id
         WHERE o.window_id = ?1 AND o.destination = ?2 AND r.destination = ?2 ORDER BY o.id, r.identifier",
    )?
    .query_map(params![window_id, destination], |row| {
        Ok(WrittenPart { identifier: row.get(0)?, row_id: row.get(1)?, kind: row.get(2)?, form: row.get(3)? })
    })?
    .collect()
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
        let id = insert(conn, intent.patient, row, &key, depends_on, at)?;
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
        let kept: Vec<&str> = all.iter().map(String::as_str).filter(|one| !taken(one)).collect();
        publish::supersede(conn, window, i64::MAX, &kept, NOT_ANY_MORE, at)?;
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
         AND state IN ('pending', 'leased', 'deferred', 'ambiguous', 'delivered') ORDER BY version DESC, id DESC LIMIT 1",
    )?
    .query_row(params![window, destination], |row| row.get(0))
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
        .prepare_cached(
            "INSERT INTO outbox (destination, patient, window_id, version, kind, key, depends_on, state, head, reason,
               next_at, created_at, form, priority, settled_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?10, ?10, ?11, ?12, ?13)",
        )?
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
