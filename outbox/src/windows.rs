//! Windows: a patient, a period and a policy, and when each is to be computed again.
//!
//! Invariants: `due_at` is persisted with the readings that made the window dirty, so a kill between absorbing
//! and publishing loses nothing; `generation` rises with each dirtying, so an outcome computed from older
//! readings cannot be recorded over newer ones; steady arrivals cannot put a window off for ever.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params, types::Type};

use crate::{
    error::ReadError,
    lineage::{self, Root},
    packed, prune, standstill,
};

/// What identifies a window.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WindowKey {
    /// The patient's number in this store.
    pub patient: i64,
    /// Length in local days.
    pub days: u16,
    /// The local date after its last one, counted in days from 1970-01-01.
    pub end_day: i32,
    /// IANA time zone in which its days are counted.
    pub zone: String,
    /// Policy and its version.
    pub policy: String,
}

/// A window to be computed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirtyWindow {
    /// The window; made where there is none.
    pub window: WindowKey,
    /// Now, in milliseconds.
    pub now: i64,
    /// When it should be computed, in milliseconds.
    pub due_at: i64,
    /// When the window ends, in milliseconds: it is never due before that.
    pub closes_at: i64,
    /// Longest wait since it was both ended and dirty, in milliseconds: `due_at` is cut to that.
    pub max_wait_ms: i64,
}

/// A window as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Its number in this store.
    pub id: i64,
    /// What identifies it.
    pub key: WindowKey,
    /// The patient's site.
    pub site: String,
    /// For whom it was made first: by that number its resources are identified, whoever it is about now.
    pub origin: i64,
    /// When it is to be computed, `None` where nothing has changed since it was.
    pub due_at: Option<i64>,
    /// Rises with each dirtying.
    pub generation: i64,
    /// The version last published, 0 before the first.
    pub version: i64,
    /// The version that is published next: one more, but for what a standstill leaves free (`standstill.rs`).
    pub next_version: i64,
    /// Hash of what the published version displays.
    pub display_hash: Option<[u8; 32]>,
    /// When the first version was published, in milliseconds.
    pub first_published_at: Option<i64>,
    /// When it was last computed, in milliseconds.
    pub computed_at: Option<i64>,
}

/// The outcome last computed for a window.
#[derive(Clone, PartialEq, Eq)]
pub struct Computed {
    /// The window.
    pub window: Window,
    /// The outcome, as its maker wrote it.
    pub outcome_json: String,
    /// Id of the manifest of its messages.
    pub manifest: String,
}

/// Whether a window was published and has no readings left, as far as is known: none is on its way to it, it is to be
/// computed no more, and its patient is one of their own.
pub(crate) fn was_taken_back(conn: &Connection, window_id: i64) -> rusqlite::Result<bool> {
    let patient: Option<i64> =
        conn.prepare_cached(TAKEN_BACK)?.query_row([window_id], |row| row.get(0)).optional()?;
    Ok(match patient {
        Some(patient) => lineage::root(conn, patient)? == Root::One(patient),
        None => false,
    })
}

/// Whose window that is, as far as the window and what is on its way to it say.
const TAKEN_BACK: &str =
    "SELECT patient FROM outcome_window w WHERE id = ?1 AND version > 0 AND display_hash IS NULL
    AND due_at IS NULL AND NOT EXISTS (SELECT 1 FROM rehomed r WHERE r.owner = w.patient)";

pub(crate) fn dirty(conn: &Connection, dirty: &DirtyWindow) -> rusqlite::Result<()> {
    let key = &dirty.window;
    if prune::is_closed(conn, key.patient, key.days, key.end_day)? {
        return Ok(());
    }
    conn.prepare_cached(
        "INSERT INTO outcome_window
           (patient, origin, days, end_day, zone, policy, due_at, dirty_since, generation)
         VALUES (?1, ?1, ?2, ?3, ?4, ?5, min(?6, max(?7, ?9) + ?8), ?7, 1)
         ON CONFLICT (patient, days, end_day, zone, policy) DO UPDATE SET
           due_at = min(?6, max(coalesce(dirty_since, ?7), ?9) + ?8),
           dirty_since = coalesce(dirty_since, ?7),
           generation = generation + 1",
    )?
    .execute(params![
        key.patient,
        key.days,
        key.end_day,
        key.zone,
        key.policy,
        dirty.due_at,
        dirty.now,
        dirty.max_wait_ms,
        dirty.closes_at
    ])?;
    Ok(())
}

/// Has a window computed again at once, although none of its readings changed. Returns how many there are of it: one or
/// none, also none where its readings were removed.
pub(crate) fn touch(conn: &Connection, id: i64, at: i64) -> rusqlite::Result<usize> {
    let window = by_id(conn, id)?.map(|window| window.key);
    let Some(key) = window else { return Ok(0) };
    if prune::is_closed(conn, key.patient, key.days, key.end_day)? {
        return Ok(0);
    }
    conn.prepare_cached(
        "UPDATE outcome_window SET due_at = min(coalesce(due_at, ?2), ?2), dirty_since = coalesce(dirty_since, ?2),
           generation = generation + 1 WHERE id = ?1",
    )?
    .execute([id, at])
}

const COLUMNS: &str = "w.id, w.patient, w.days, w.end_day, w.zone, w.policy, p.site, w.due_at, w.generation,
    w.version, w.display_hash, w.first_published_at, w.computed_at, w.origin,
    max(w.version, (SELECT count(*) FROM standstill WHERE ended_at IS NOT NULL) * 100000) + 1";
const _: () = assert!(standstill::GAP == 100_000);
const TABLES: &str = "outcome_window w JOIN patient p ON p.id = w.patient";

fn window_of(row: &Row<'_>) -> rusqlite::Result<Window> {
    Ok(Window {
        id: row.get(0)?,
        key: WindowKey {
            patient: row.get(1)?,
            days: row.get(2)?,
            end_day: row.get(3)?,
            zone: row.get(4)?,
            policy: row.get(5)?,
        },
        site: row.get(6)?,
        due_at: row.get(7)?,
        generation: row.get(8)?,
        version: row.get(9)?,
        next_version: row.get(14)?,
        display_hash: row.get(10)?,
        first_published_at: row.get(11)?,
        computed_at: row.get(12)?,
        origin: row.get(13)?,
    })
}

/// Windows due at `now`, at most `limit`: the patient whose window ends first goes before the others, and all of a
/// patient's that are due stand together, those that end first before the others, because what is read for one serves
/// its neighbours. A window waits for every earlier one of its patient and length that is dirty too, so that a patient's
/// windows are published in order. Windows of other sites than those named wait until their site is back.
pub(crate) fn due(
    conn: &Connection,
    now: i64,
    limit: usize,
    sites: &[&str],
) -> Result<Vec<Window>, ReadError> {
    if next_due_at(conn)?.is_none_or(|next| next > now) {
        return Ok(Vec::new());
    }
    let first = due_of(conn, now, limit, sites, None)?;
    let all = first.len() < limit;
    let mut patients: Vec<i64> = Vec::new();
    for window in &first {
        if !patients.contains(&window.key.patient) {
            patients.push(window.key.patient);
        }
    }
    let mut due: Vec<Window> = Vec::with_capacity(first.len());
    for patient in patients {
        match (all, limit - due.len()) {
            (_, 0) => break,
            (true, _) => due.extend(first.iter().filter(|window| window.key.patient == patient).cloned()),
            (false, room) => due.extend(due_of(conn, now, room, sites, Some(patient))?),
        }
    }
    Ok(due)
}

/// Windows due, by their ends: of all patients, or of one.
fn due_of(
    conn: &Connection,
    now: i64,
    limit: usize,
    sites: &[&str],
    patient: Option<i64>,
) -> Result<Vec<Window>, ReadError> {
    let places: Vec<String> = (3..sites.len() + 3).map(|place| format!("?{place}")).collect();
    let places = places.join(", ");
    // In the order of the index, so that what a turn costs does not grow with what is dirty.
    let (index, of_patient) = match patient {
        None => ("outcome_window_order", String::new()),
        Some(_) => ("outcome_window_dirty", format!("AND w.patient = ?{}", sites.len() + 3)),
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM outcome_window w INDEXED BY {index} JOIN patient p ON p.id = w.patient
         WHERE w.due_at <= ?1 AND p.site IN ({places}) {of_patient}
           AND NOT EXISTS (SELECT 1 FROM outcome_window e INDEXED BY outcome_window_dirty
                           WHERE e.patient = w.patient AND e.days = w.days AND e.end_day < w.end_day
                             AND e.due_at > ?1)
         ORDER BY w.end_day, w.id LIMIT ?2"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let limit = limit as i64;
    let fixed: [&dyn ToSql; 2] = [&now, &limit];
    let sites = sites.iter().map(|site| site as &dyn ToSql);
    let patient = patient.iter().map(|patient| patient as &dyn ToSql);
    let parameters: Vec<&dyn ToSql> = fixed.into_iter().chain(sites).chain(patient).collect();
    let rows = statement.query_map(parameters.as_slice(), window_of)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// When the next window is due.
pub(crate) fn next_due_at(conn: &Connection) -> Result<Option<i64>, ReadError> {
    Ok(conn
        .prepare_cached("SELECT min(due_at) FROM outcome_window WHERE due_at IS NOT NULL")?
        .query_row([], |row| row.get(0))?)
}

/// Whether there is such a window and it is to be computed.
pub(crate) fn is_due(conn: &Connection, id: i64) -> Result<bool, ReadError> {
    Ok(conn
        .prepare_cached("SELECT 1 FROM outcome_window WHERE id = ?1 AND due_at IS NOT NULL")?
        .exists([id])?)
}

/// The window with this number.
pub(crate) fn by_id(conn: &Connection, id: i64) -> rusqlite::Result<Option<Window>> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE w.id = ?1");
    conn.prepare_cached(&sql)?.query_row([id], window_of).optional()
}

/// The window with this key.
pub(crate) fn by_key(conn: &Connection, key: &WindowKey) -> Result<Option<Window>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM {TABLES}
         WHERE w.patient = ?1 AND w.days = ?2 AND w.end_day = ?3 AND w.zone = ?4 AND w.policy = ?5"
    );
    let fields = params![key.patient, key.days, key.end_day, key.zone, key.policy];
    Ok(conn.prepare_cached(&sql)?.query_row(fields, window_of).optional()?)
}

/// What was last computed stands on the window, or with its version.
const OUTCOME: &str =
    "coalesce(w.outcome_bytes, v.outcome_bytes), coalesce(w.outcome, v.outcome), w.manifest";
const VERSION: &str = "LEFT JOIN published_version v ON v.window_id = w.id AND v.version = w.version";

fn computed_of(row: &Row<'_>) -> rusqlite::Result<Computed> {
    Ok(Computed { window: window_of(row)?, outcome_json: outcome_text(row, 15)?, manifest: row.get(17)? })
}

/// An outcome as its maker wrote it, from the columns of its length and of what is stored, beside each other.
pub(crate) fn outcome_text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    let (bytes, stored): (i64, Vec<u8>) = (row.get(column)?, row.get(column + 1)?);
    let broken = |error| rusqlite::Error::FromSqlConversionFailure(column + 1, Type::Blob, error);
    let outcome = packed::unpack(stored, bytes as usize).map_err(|error| broken(error.into()))?;
    String::from_utf8(outcome).map_err(|error| broken(error.utf8_error().into()))
}

/// The outcome last computed for a window.
pub(crate) fn computed(conn: &Connection, id: i64) -> Result<Option<Computed>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS}, {OUTCOME} FROM {TABLES} {VERSION} WHERE w.id = ?1 AND w.manifest IS NOT NULL"
    );
    Ok(conn.prepare_cached(&sql)?.query_row([id], computed_of).optional()?)
}

/// The outcomes last computed for a patient, the latest period first.
pub(crate) fn computed_for(
    conn: &Connection,
    patient: i64,
    limit: usize,
) -> Result<Vec<Computed>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS}, {OUTCOME} FROM {TABLES} {VERSION}
         WHERE w.patient = ?1 AND w.manifest IS NOT NULL ORDER BY w.end_day DESC, w.days, w.id LIMIT ?2"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map(params![patient, limit as i64], computed_of)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
/// Whether readings are stored under an identifier, or a window was made for it.
pub(crate) fn has_results(conn: &Connection, patient: i64) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM chunk WHERE patient = ?1)
           OR EXISTS (SELECT 1 FROM outcome_window WHERE patient = ?1)
           OR EXISTS (SELECT 1 FROM outcome_window WHERE origin = ?1 AND origin <> patient)",
    )?
    .exists([patient])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{migrate, plan};

    #[test]
    fn whether_a_window_was_taken_back_is_asked_without_walking_what_is_on_its_way_to_others() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        let steps = plan(&conn, TAKEN_BACK);
        assert!(steps.iter().any(|step| step.contains("INDEX rehomed_owner (owner=?)")), "{steps:?}");
        assert!(steps.iter().all(|step| !step.contains("SCAN r")), "{steps:?}");
    }
}
