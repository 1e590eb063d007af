//! The mode in force per site, destination and capability, as last decided, with what led to it.
//!
//! Invariants: a change of mode and the deferral or release of the rows it concerns are one transaction; but where very much
//! is to be left out as stale, which is done in parts, nothing is released before the last part ([`Align`]); what a person
//! holds ([`HELD`]) only a person opens again, whatever was decided before the hold and is committed after it.

use rusqlite::{Connection, params};

use crate::{
    audit::{self, AuditEntry},
    command::{Command, Hot},
    error::{ReadError, WriteError},
    queue::{State, Step, WAITING},
    release, stale,
};

/// The mode of what a person holds: no verdict changes it.
pub const HELD: &str = "held";

/// A mode in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mode {
    /// The site.
    pub site: String,
    /// The destination.
    pub destination: String,
    /// What it concerns, for example a resource kind.
    pub capability: String,
    /// The mode, in the caller's words; [`HELD`] is the one known here.
    pub mode: String,
    /// Since when, in milliseconds.
    pub since: i64,
    /// What led to it, in words.
    pub cause: String,
    /// What was seen, for example a status code and the receiver's text.
    pub evidence: String,
}

/// A change of mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeChange {
    /// The mode from now on.
    pub mode: Mode,
    /// The kind of rows it concerns; `None` concerns every row of the destination.
    pub kind: Option<String>,
    /// Take back into the queue the rows that were quarantined for this reason in the last hour: it was the
    /// site's fault and not theirs.
    pub requeue_quarantined: Option<String>,
    /// Defer all pending rows it concerns for this reason.
    pub defer_pending: Option<String>,
    /// Make all rows it concerns that were deferred for one of these reasons pending again.
    pub release_deferred: Vec<String>,
    /// Of what is released and was deferred for one of these reasons, leave out what a later window of the same patient has
    /// made stale.
    pub latest: Vec<String>,
}

pub(crate) struct SetMode {
    pub change: ModeChange,
    pub audit: Vec<AuditEntry>,
}

impl Command for SetMode {
    type Out = usize;

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<usize, WriteError> {
        let moved = change(conn, &self.change)?;
        audit::append(conn, &self.audit)?;
        Ok(moved)
    }
}

/// A person holds a destination's capability, or lets it go on.
pub(crate) struct SetByHand {
    pub change: ModeChange,
    /// Destination and kind of rows in other queues that it concerns too; they are deferred with its own.
    pub queues: Vec<(String, String)>,
    pub audit: Vec<AuditEntry>,
}

impl Command for SetByHand {
    type Out = usize;

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<usize, WriteError> {
        let mut moved = record(conn, &self.change, false)?;
        for (destination, kind) in self.queues {
            let rows = Align {
                destination,
                kind: Some(kind),
                defer_pending: self.change.defer_pending.clone(),
                release_deferred: Vec::new(),
                latest: Vec::new(),
                at: self.change.mode.since,
            };
            moved += rows.shift(conn)?.moved;
        }
        audit::append(conn, &self.audit)?;
        Ok(moved)
    }
}

/// Records the mode and moves the rows it concerns; returns how many moved. Where a person holds what it is about, the mode
/// stays as it is and nothing is released.
pub(crate) fn change(conn: &Connection, change: &ModeChange) -> Result<usize, WriteError> {
    let mode = &change.mode;
    let held = conn
        .prepare_cached(
            "SELECT 1 FROM mode WHERE site = ?1 AND destination = ?2 AND capability = ?3 AND mode = ?4",
        )?
        .exists(params![mode.site, mode.destination, mode.capability, HELD])?;
    record(conn, change, held)
}

fn record(conn: &Connection, change: &ModeChange, held: bool) -> Result<usize, WriteError> {
    if !held {
        write(conn, &change.mode)?;
    }
    let mode = &change.mode;
    let requeued = match &change.requeue_quarantined {
        Some(reason) => requeue(conn, &mode.destination, reason, mode.since)?,
        None => 0,
    };
    let rows = Align {
        destination: mode.destination.clone(),
        kind: change.kind.clone(),
        defer_pending: change.defer_pending.clone(),
        release_deferred: if held { Vec::new() } else { change.release_deferred.clone() },
        latest: change.latest.clone(),
        at: mode.since,
    };
    Ok(requeued + rows.shift(conn)?.moved)
}

fn write(conn: &Connection, mode: &Mode) -> rusqlite::Result<usize> {
    conn.prepare_cached(
        "INSERT INTO mode (site, destination, capability, mode, since, cause, evidence)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (site, destination, capability) DO UPDATE SET mode = excluded.mode,
           since = excluded.since, cause = excluded.cause, evidence = excluded.evidence",
    )?
    .execute(params![
        mode.site,
        mode.destination,
        mode.capability,
        mode.mode,
        mode.since,
        mode.cause,
        mode.evidence
    ])
}

/// How far back a fault of the site may have put rows into quarantine: as long as the evidence counts.
const REQUEUE_MS: i64 = 3_600_000;

fn requeue(conn: &Connection, destination: &str, reason: &str, now: i64) -> Result<usize, WriteError> {
    let ids: Vec<i64> = conn
        .prepare_cached(
            "SELECT id FROM outbox WHERE destination = ?1 AND state = 'quarantined' AND reason = ?2
             AND settled_at >= ?3 ORDER BY id",
        )?
        .query_map(params![destination, reason, now - REQUEUE_MS], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in &ids {
        match release::take_back(conn, *id, now) {
            // What depends on another row comes back with that one.
            Ok(_) | Err(WriteError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ids.len())
}

/// Moves rows to where the mode in force wants them, without a change of mode: for rows that were decided on
/// before a change and queued after it.
pub(crate) struct Align {
    pub destination: String,
    /// The kind of rows it concerns; `None` concerns every row of the destination.
    pub kind: Option<String>,
    pub defer_pending: Option<String>,
    pub release_deferred: Vec<String>,
    /// Of what is released and was deferred for one of these reasons, leave out what is stale.
    pub latest: Vec<String>,
    /// Now, in milliseconds.
    pub at: i64,
}

/// What bringing a queue in line with the mode did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aligned {
    /// How many rows moved.
    pub moved: usize,
    /// There is more to be left out as stale before anything is released: the same again goes on.
    pub more: bool,
}

impl Command for Align {
    type Out = Aligned;

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Aligned, WriteError> {
        self.shift(conn)
    }
}

impl Align {
    fn shift(&self, conn: &Connection) -> Result<Aligned, WriteError> {
        let mut moved = 0;
        let released = |reason: &&String| self.release_deferred.contains(*reason);
        let latest: Vec<String> = self.latest.iter().filter(released).cloned().collect();
        if let (false, Some(kind)) = (latest.is_empty(), &self.kind) {
            let (gone, more) = stale::supersede(conn, &self.destination, kind, None, &latest, self.at)?;
            moved += gone;
            if more {
                // What is left is not told apart yet from what goes.
                return Ok(Aligned { moved, more });
            }
        }
        // Both edges lead from one unsettled state to another, so no line moves up and no head changes.
        const { assert!(matches!(State::Pending.after(Step::Defer), Some(State::Deferred))) };
        const { assert!(matches!(State::Deferred.after(Step::Release), Some(State::Pending))) };
        if let Some(reason) = &self.defer_pending {
            moved += conn.prepare_cached(&defer_sql(self.kind.is_some()))?.execute(params![
                self.destination,
                self.kind,
                reason
            ])?;
        }
        for reason in &self.release_deferred {
            moved += conn.prepare_cached(&release_sql(self.kind.is_some()))?.execute(params![
                self.destination,
                self.kind,
                reason,
                self.at
            ])?;
        }
        Ok(Aligned { moved, more: false })
    }
}

/// Defers what is pending, for reason ?3: of one kind, or (?2 is null) of all.
fn defer_sql(of_kind: bool) -> String {
    let (by, kind) = by_kind(of_kind);
    format!(
        "UPDATE outbox {by} SET state = 'deferred', reason = ?3, weighed = 0
         WHERE destination = ?1 AND {kind} AND state = 'pending' AND {WAITING}"
    )
}

/// Makes what is deferred for reason ?3 pending again: of one kind, or (?2 is null) of all.
fn release_sql(of_kind: bool) -> String {
    let (by, kind) = by_kind(of_kind);
    format!(
        "UPDATE outbox {by} SET state = 'pending', reason = NULL, next_at = min(next_at, ?4), free_since = ?4
         WHERE destination = ?1 AND {kind} AND state = 'deferred' AND reason = ?3 AND {WAITING}"
    )
}

/// Every publish asks, so of a kind only what is to be moved is walked.
const fn by_kind(of_kind: bool) -> (&'static str, &'static str) {
    match of_kind {
        true => ("INDEXED BY outbox_waiting", "kind = ?2"),
        false => ("", "?2 IS NULL"),
    }
}

/// The kinds of the rows that wait at a destination, or are out.
pub(crate) fn kinds_waiting(conn: &Connection, destination: &str) -> Result<Vec<String>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT DISTINCT kind FROM outbox INDEXED BY outbox_line
         WHERE destination = ?1 AND state IN ('pending', 'leased', 'deferred', 'ambiguous')",
    )?;
    let kinds = statement.query_map([destination], |row| row.get(0))?;
    Ok(kinds.collect::<Result<_, _>>()?)
}

/// Every mode recorded.
pub(crate) fn all(conn: &Connection) -> Result<Vec<Mode>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT site, destination, capability, mode, since, cause, evidence FROM mode
         ORDER BY site, destination, capability",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Mode {
            site: row.get(0)?,
            destination: row.get(1)?,
            capability: row.get(2)?,
            mode: row.get(3)?,
            since: row.get(4)?,
            cause: row.get(5)?,
            evidence: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{migrate, plan};

    #[test]
    fn what_is_not_to_be_moved_is_not_walked() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        let waiting = "INDEX outbox_waiting (destination=? AND kind=? AND state=?";
        for (sql, by) in [(defer_sql(true), ")"), (release_sql(true), " AND reason=?)")] {
            let steps = plan(&conn, &sql);
            assert!(steps.iter().any(|step| step.contains(&format!("{waiting}{by}"))), "{steps:?}");
        }
    }
}
