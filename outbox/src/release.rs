//! What becomes of a quarantined row after somebody looked at it: it goes again, or it is given up.

use rusqlite::{Connection, OptionalExtension};

use crate::{
    audit::{self, AuditEntry},
    command::{Command, Hot},
    error::{Conflict, WriteError},
    queue::{self, Note, Place, State, Step},
    stale,
};

/// The command that releases a quarantined row, with the rows that were quarantined because of it, and those of its version
/// that refer to nothing else that was written ([`crate::UNRESOLVED`]). Where a later
/// version of its window has a row at that destination, or it is no longer about its patient, it is superseded instead. A
/// row whose dependency is quarantined is refused with [`Conflict::Dependency`]: release that one. One that may have been
/// written ([`crate::UNPROVEN`]) is refused with [`Conflict::Unproven`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The row.
    pub row_id: i64,
    /// Now, in milliseconds: it may be sent from then on.
    pub at: i64,
    /// Who did it and why.
    pub audit: Vec<AuditEntry>,
}

impl Command for Release {
    type Out = State;

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<State, WriteError> {
        let state = take_back(conn, self.row_id, self.at)?;
        audit::append(conn, &self.audit)?;
        Ok(state)
    }
}

/// The command that gives a quarantined row up, with the rows that were quarantined because of it. Its bytes stay. Of one
/// that may have been written it says that a person looked, and that nothing of it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropRow {
    /// The row.
    pub row_id: i64,
    /// Now, in milliseconds.
    pub at: i64,
    /// Who did it and why.
    pub audit: Vec<AuditEntry>,
}

impl Command for DropRow {
    type Out = State;

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<State, WriteError> {
        let row = queue::place(conn, self.row_id)?;
        let state = along(conn, &row, Step::Drop, self.at)?;
        stale::revive(conn, row.window_id, &row.destination, self.at)?;
        audit::append(conn, &self.audit)?;
        Ok(state)
    }
}

/// Takes a quarantined row back into its line, or supersedes it where it came too late.
pub(crate) fn take_back(conn: &Connection, row_id: i64, at: i64) -> Result<State, WriteError> {
    let row = queue::place(conn, row_id)?;
    if row.state != State::Quarantined {
        return Err(Conflict::Edge.into());
    }
    if queue::is_unproven(conn, row.id)? {
        return Err(Conflict::Unproven.into());
    }
    let step = match dependency(conn, row.id)? {
        // It would stand at the front of its line and wait for what does not come.
        Some(State::Quarantined) => return Err(Conflict::Dependency.into()),
        // It would follow what was never sent.
        Some(State::Superseded | State::Dropped) => Step::Supersede,
        _ if queue::is_overtaken(conn, &row)? => Step::Supersede,
        _ => Step::Release,
    };
    let state = along(conn, &row, step, at)?;
    if step == Step::Release {
        for id in unresolved_beside(conn, row.id)? {
            along(conn, &queue::place(conn, id)?, step, at)?;
        }
    }
    Ok(state)
}

/// Rows of the same version that were set aside because nothing of what they refer to was written: a part of that may be
/// written now.
fn unresolved_beside(conn: &Connection, row_id: i64) -> rusqlite::Result<Vec<i64>> {
    conn.prepare_cached(
        "SELECT o.id FROM outbox r JOIN outbox o
           ON o.window_id = r.window_id AND o.destination = r.destination AND o.version = r.version
         WHERE r.id = ?1 AND o.id <> r.id AND o.state = 'quarantined' AND o.reason = ?2 ORDER BY o.id",
    )?
    .query_map(rusqlite::params![row_id, queue::UNRESOLVED], |row| row.get(0))?
    .collect()
}

/// The state of the row this one depends on.
fn dependency(conn: &Connection, id: i64) -> rusqlite::Result<Option<State>> {
    conn.prepare_cached("SELECT d.state FROM outbox o JOIN outbox d ON d.id = o.depends_on WHERE o.id = ?1")?
        .query_row([id], |row| State::of(&row.get::<_, String>(0)?))
        .optional()
}

/// Takes a quarantined row along a step together with the rows that were quarantined because of it.
pub(crate) fn along(conn: &Connection, row: &Place, step: Step, at: i64) -> Result<State, WriteError> {
    let state = queue::step(conn, row, step, Note { next_at: Some(at), at, ..Note::default() })?;
    for id in queue::dependents(conn, row.id)? {
        if is_with_its_dependency(conn, id)? {
            along(conn, &queue::place(conn, id)?, step, at)?;
        }
    }
    Ok(state)
}

/// Whether a row was quarantined only because the one was that it depends on.
pub(crate) fn is_with_its_dependency(conn: &Connection, id: i64) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM outbox WHERE id = ?1 AND state = 'quarantined' AND reason = ?2")?
        .exists(rusqlite::params![id, queue::WITH_ITS_DEPENDENCY])
}
