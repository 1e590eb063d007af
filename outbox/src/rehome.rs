//! What follows when readings come to count for another patient.
//!
//! Invariants: chunks, and app events, stay where they were written; windows that lost or gained readings are named in `rehomed` in the
//! transaction that changed the links, and are dirtied from there; a patient who was merged away has no window that is
//! due and no row that waits; a window that moves with its readings keeps its rows, its version and, by `origin`, its
//! identifiers, and one that cannot move stays, so that two windows never share a place.
//!
//! Numbers: a step takes at most as many entries of `rehomed` as its caller asks for.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, ToSql, params};

use crate::{
    command::{Command, Hot},
    conditions, consent_rows, doubt,
    error::{ReadError, WriteError},
    lineage::{self, Root},
    publish,
    queue::{self, Note, Step},
    rows, waiting,
    windows::{self, DirtyWindow},
};

/// How the windows of a patient who is merged away are treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehoming {
    /// They go with their readings where they can (the destination moves what it has); else they stay, and what
    /// stands at a destination has to be withdrawn by people.
    pub adopt: bool,
    /// Name of the condition that asks for it.
    pub withdrawal: String,
    /// Now, in milliseconds.
    pub at: i64,
}

/// A window that stands at a destination under a patient who was merged away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// The condition's scope.
    pub scope: String,
    /// What people have to do.
    pub detail: String,
}

/// Changes links by `change` and draws the consequences for every identifier below `child`.
pub(crate) fn relink(
    conn: &Connection,
    child: i64,
    how: &Rehoming,
    change: impl FnOnce() -> Result<(), WriteError>,
) -> Result<Vec<Withdrawal>, WriteError> {
    let mut moves = Vec::new();
    for member in lineage::descendants(conn, child)? {
        moves.push((member, lineage::root(conn, member)?));
    }
    change()?;
    let (mut withdrawals, mut owners) = (Vec::new(), BTreeSet::new());
    for (member, before) in moves {
        let after = lineage::root(conn, member)?;
        owners.extend([before, after].into_iter().filter_map(one));
        if before != after {
            waiting::learned_of(conn, member)?;
        }
        let stands = Root::One(member);
        // A visit's number that is bound says nothing new of its patient.
        if before == after || (before != stands && after != stands && !has_readings(conn, member)?) {
            continue;
        }
        for owner in [before, after].into_iter().filter_map(one) {
            touch(conn, owner)?;
            if lineage::root(conn, owner)? == Root::One(owner) {
                conn.prepare_cached("INSERT OR IGNORE INTO rehomed (member, owner) VALUES (?1, ?2)")?
                    .execute([member, owner])?;
            }
        }
        if before == Root::One(member) {
            withdrawals.extend(retire(conn, member, one(after), how)?);
        }
        if let (Root::One(owner), Some(from)) = (after, one(before))
            && owner == member
        {
            bring_back(conn, member, from, how.at)?;
        }
    }
    for owner in owners {
        doubt::renew(conn, owner, how.at)?;
        consent_rows::renew(conn, owner, how.at)?;
    }
    Ok(withdrawals)
}

/// Whether anything came under this number itself.
pub(crate) fn has_readings(conn: &Connection, member: i64) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM chunk WHERE patient = ?1)
             OR EXISTS (SELECT 1 FROM app_event WHERE patient = ?1)",
    )?
    .exists([member])
}

fn one(root: Root) -> Option<i64> {
    match root {
        Root::One(id) => Some(id),
        Root::Nobody | Root::Several => None,
    }
}

/// Whether windows of a patient are still to be dirtied.
pub(crate) fn is_owed(conn: &Connection, owner: i64) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM rehomed WHERE owner = ?1")?.exists([owner])
}

/// What was read of the patient's windows is stale, and so is what was said of the patient.
fn touch(conn: &Connection, owner: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE outcome_window SET generation = generation + 1 WHERE patient = ?1")?
        .execute([owner])?;
    conn.prepare_cached("DELETE FROM ehr_patient WHERE patient = ?1")?.execute([owner])?;
    Ok(())
}

struct Place {
    id: i64,
    version: i64,
}

fn places(conn: &Connection, sql: &str, patient: i64, origin: i64) -> rusqlite::Result<Vec<Place>> {
    conn.prepare_cached(sql)?
        .query_map([patient, origin], |row| Ok(Place { id: row.get(0)?, version: row.get(1)? }))?
        .collect()
}

/// The windows of a patient who was merged away.
fn retire(
    conn: &Connection,
    retired: i64,
    survivor: Option<i64>,
    how: &Rehoming,
) -> Result<Vec<Withdrawal>, WriteError> {
    conn.prepare_cached("UPDATE outcome_window SET due_at = NULL, dirty_since = NULL WHERE patient = ?1")?
        .execute([retired])?;
    conn.prepare_cached("DELETE FROM rehomed WHERE owner = ?1")?.execute([retired])?;
    let all = "SELECT id, version FROM outcome_window WHERE patient = ?1 AND ?2 = ?2 ORDER BY id";
    let mut withdrawals = Vec::new();
    for window in places(conn, all, retired, 0)? {
        unsend(conn, window.id, "the patient was merged into another", how.at)?;
        let moved = match survivor {
            Some(survivor) if how.adopt => give(conn, window.id, survivor)?,
            _ => false,
        };
        if !moved && rows::stands(conn, window.id)? {
            let Place { id, version } = window;
            let scope = format!("window {id}");
            let detail = format!(
                "window {id} (version {version}) was published for a patient who was merged into another since; \
                 mark what stands at the destination as entered in error"
            );
            conditions::raise(conn, &how.withdrawal, &scope, &detail, how.at)?;
            withdrawals.push(Withdrawal { scope, detail });
        }
    }
    Ok(withdrawals)
}

/// A patient stands alone again: the windows that had gone along come back.
fn bring_back(conn: &Connection, patient: i64, from: i64, at: i64) -> Result<(), WriteError> {
    let theirs = "SELECT id, version FROM outcome_window WHERE patient = ?1 AND origin = ?2 ORDER BY id";
    for origin in lineage::descendants(conn, patient)? {
        for window in places(conn, theirs, from, origin)? {
            unsend(conn, window.id, "the merge of two patients was undone", at)?;
            give(conn, window.id, patient)?;
        }
    }
    Ok(())
}

/// Supersedes what of a window has not been sent, or was refused: it names a patient it is no longer about. The same
/// numbers are a new version then. What is under way, or may have been written, ends first; without a `display_hash` it
/// does not come back to its line after that.
pub(crate) fn unsend(conn: &Connection, window: i64, reason: &str, at: i64) -> Result<bool, WriteError> {
    let waiting = publish::supersede(conn, window, i64::MAX, |_| Some(reason), at)? > 0;
    let refused = supersede_refused(conn, window, reason, at)?;
    if waiting || refused || is_under_way(conn, window)? {
        conn.prepare_cached("UPDATE outcome_window SET display_hash = NULL WHERE id = ?1")?
            .execute([window])?;
        return Ok(true);
    }
    Ok(false)
}

/// Supersedes what was refused and has no later version in its place. Whether there was any.
fn supersede_refused(conn: &Connection, window: i64, reason: &str, at: i64) -> Result<bool, WriteError> {
    let refused: Vec<i64> = conn
        .prepare_cached(
            "SELECT id FROM outbox WHERE window_id = ?1 AND state = 'quarantined'
             AND reason IS NOT ?2 ORDER BY id",
        )?
        .query_map(params![window, queue::UNPROVEN], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut any = false;
    for id in refused {
        let row = queue::place(conn, id)?;
        if !queue::has_successor(conn, &row)? {
            let note = Note { reason: Some(reason), at, ..Note::default() };
            queue::step(conn, &row, Step::Supersede, note)?;
            any = true;
        }
    }
    Ok(any)
}

/// Whether a row of the window is being written just now, or may have been.
pub(crate) fn is_under_way(conn: &Connection, window: i64) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM outbox WHERE window_id = ?1 AND state IN ('leased', 'ambiguous')")?
        .exists([window])
}

/// Moves a window to another patient, unless it is being written just now or the other has published one in its
/// place. Whether it moved.
fn give(conn: &Connection, window: i64, to: i64) -> Result<bool, WriteError> {
    if is_under_way(conn, window)? {
        return Ok(false);
    }
    let rival: Option<(i64, i64)> = conn
        .prepare_cached(
            "SELECT r.id, r.version FROM outcome_window w JOIN outcome_window r
               ON r.patient = ?2 AND r.days = w.days AND r.end_day = w.end_day AND r.zone = w.zone
                  AND r.policy = w.policy
             WHERE w.id = ?1",
        )?
        .query_row([window, to], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match rival {
        Some((_, version)) if version > 0 => return Ok(false),
        // It was computed at the most, and is computed again.
        Some((id, _)) => {
            conn.prepare_cached("DELETE FROM outcome_window WHERE id = ?1")?.execute([id])?;
        }
        None => {}
    }
    conn.prepare_cached("UPDATE outcome_window SET patient = ?2, generation = generation + 1 WHERE id = ?1")?
        .execute([window, to])?;
    Ok(true)
}

/// Readings of `member` that came to count, or no longer count, for `owner`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rehomed {
    /// Under whose identifier they are.
    pub member: i64,
    /// Whose windows they concern.
    pub owner: i64,
}

/// The command that dirties windows after who is who has changed.
pub(crate) struct Redirty {
    pub done: Vec<Rehomed>,
    pub dirty: Vec<DirtyWindow>,
}

impl Command for Redirty {
    type Out = ();

    fn bytes(&self) -> usize {
        self.dirty.len() * 64
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<(), WriteError> {
        for window in &self.dirty {
            windows::dirty(conn, window)?;
        }
        for entry in &self.done {
            conn.prepare_cached("DELETE FROM rehomed WHERE member = ?1 AND owner = ?2")?
                .execute(params![entry.member, entry.owner])?;
        }
        Ok(())
    }
}

/// What waits to be dirtied. Patients of other sites than those named wait until their site is back.
pub(crate) fn waiting(conn: &Connection, limit: usize, sites: &[&str]) -> Result<Vec<Rehomed>, ReadError> {
    let places: Vec<String> = (2..sites.len() + 2).map(|place| format!("?{place}")).collect();
    let sql = format!(
        "SELECT r.member, r.owner FROM rehomed r JOIN patient p ON p.id = r.owner
         WHERE p.site IN ({}) ORDER BY r.member, r.owner LIMIT ?1",
        places.join(", ")
    );
    let limit = limit as i64;
    let mut values: Vec<&dyn ToSql> = vec![&limit];
    values.extend(sites.iter().map(|site| site as &dyn ToSql));
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement
        .query_map(values.as_slice(), |row| Ok(Rehomed { member: row.get(0)?, owner: row.get(1)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
