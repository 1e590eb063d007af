//! Intents as they are stored, and what became of their rows.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    error::ReadError,
    in_force,
    intent_standing::{IntentFacts, IntentState},
    lineage::{self, Root},
    queue::State,
    server,
};

/// Most intents of one list.
const LIST_MOST: usize = 1_000;
/// Most intents of one page of what is under way.
pub(crate) const UNDER_WAY_MOST: usize = 1_000;

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
    /// The box itself wants it.
    pub own: bool,
    /// Where it stands.
    pub state: IntentState,
    /// Why it is held.
    pub reason: String,
    /// Since when, in milliseconds.
    pub state_at: i64,
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
    /// For whom.
    pub patient: i64,
    /// That row's kind.
    pub kind: String,
    /// That row's shape.
    pub form: String,
    /// Whether it is known where it stands.
    pub placed: bool,
}

const COLUMNS: &str =
    "i.id, i.key, i.patient, i.window_id, i.kind, i.body, i.author, i.role, i.behalf, i.transcribed,
  i.entered_at, i.confirmed_at, i.fresh_ms, i.decided, i.state, i.reason, i.state_at, i.own";

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
        own: row.get(17)?,
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

/// A page of the intents that wait for their rows or have some in the queue: those after a number.
pub(crate) fn under_way(conn: &Connection, after: i64) -> rusqlite::Result<Vec<Intent>> {
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM intent i WHERE i.state IN ('waiting', 'queued')
         AND i.state NOT IN ('done', 'withdrawn') AND i.id > ?2 ORDER BY i.id LIMIT ?1"
    ))?
    .query_map([UNDER_WAY_MOST as i64, after], read)?
    .collect()
}

/// A page of the intents whose rows are still to be made: those after a number.
pub(crate) fn waiting_for_rows(conn: &Connection, after: i64) -> rusqlite::Result<Vec<Intent>> {
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM intent i WHERE i.state = 'waiting' AND i.state NOT IN ('done', 'withdrawn')
         AND i.id > ?2 ORDER BY i.id LIMIT ?1"
    ))?
    .query_map([UNDER_WAY_MOST as i64, after], read)?
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
        // What stands is wrong whoever it is about.
        retired: retired && !intent.own,
        deceased: deceased && !intent.own,
        decided: intent.decided,
    })
}

/// What the box itself wants taken back of a window, and is not done.
pub(crate) fn own_of(conn: &Connection, window_id: i64) -> rusqlite::Result<Vec<i64>> {
    conn.prepare_cached(
        "SELECT id FROM intent WHERE window_id = ?1 AND kind = 'withdraw' AND own = 1
         AND state NOT IN ('done', 'withdrawn') ORDER BY id",
    )?
    .query_map([window_id], |row| row.get(0))?
    .collect()
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

/// What stands of a window at a destination's server, by the ledger.
pub(crate) fn written(
    conn: &Connection,
    window_id: i64,
    destination: &str,
) -> rusqlite::Result<Vec<WrittenPart>> {
    conn.prepare_cached(
        "SELECT r.identifier, r.row_id, o.kind, o.form, o.patient, r.location <> '' FROM outbox o JOIN written r ON r.row_id = o.id
         WHERE o.window_id = ?1 AND o.destination = ?2 AND r.destination = ?2 AND r.server = ?3 ORDER BY o.id, r.identifier",
    )?
    .query_map(params![window_id, destination, server::number(conn, destination)?], |row| {
        Ok(WrittenPart {
            identifier: row.get(0)?,
            row_id: row.get(1)?,
            kind: row.get(2)?,
            form: row.get(3)?,
            patient: row.get(4)?,
            placed: row.get(5)?,
        })
    })?
    .collect()
}
