//! What is kept too long and needed by nobody, removed for good in bounded pieces: messages' bytes, readings, earlier
//! versions of outcomes and of posted resources, entries of what was held back and is settled, settled contradictions.
//!
//! Invariants
//! - Nothing goes that is not absorbed, held back, waiting for a patient, to be read anew, in an open contradiction, under a
//!   legal hold, or that something still to be written, in doubt, set aside, or wanted by a person may come from.
//! - Of a message the row stays with its number, its time, its control id and the SHA-256 of its bytes; of a version its
//!   hash, its time and the id of its manifest, and of that its hash and how many messages it lists. So what a Provenance
//!   cites stays provable. The two newest versions of a window and what stands at a destination stay whole.
//! - Readings go by whole UTC days. A window of a day that was removed is computed no more (`is_closed`): from half of its
//!   readings it would be another outcome.
//! - The command asks everything again in its own transaction and refuses all where one row may not go. The audit entry
//!   is in that transaction. Freed pages are overwritten (`secure_delete`), and used again; the file keeps its size.
//!
//! Numbers: a look passes [`crate::LOOK_ROWS`] rows and gives at most [`PRUNE_ROWS`].

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    audit::{self, AuditEntry},
    command::{Command, Hot},
    error::{Conflict, ReadError, WriteError},
    legal_hold::{Holds, person},
    retention::LOOK_ROWS,
};

/// Rows that go in one transaction: some milliseconds of the writer, for which intake waits.
pub const PRUNE_ROWS: usize = 128;
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// A local day may begin a UTC day earlier and end one later.
const ZONE_DAYS: i64 = 1;

/// States of rows that may still go or may have gone.
const UNSETTLED: &str = "('pending', 'leased', 'deferred', 'ambiguous', 'quarantined')";

/// What may be removed by its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Prunable {
    /// Bytes of messages.
    Messages,
    /// Readings, by UTC day.
    Readings,
    /// What was logged beside readings, by UTC day.
    AppEvents,
    /// Outcomes of versions that later ones replaced.
    Versions,
    /// Settled entries of the quarantine.
    Quarantine,
    /// Settled entries of the identity queue.
    Identity,
    /// Versions of posted resources that later ones replaced.
    Resources,
    /// Settled contradictions between sources, which say the values of both.
    Conflicts,
}

impl Prunable {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Messages,
        Self::Readings,
        Self::AppEvents,
        Self::Versions,
        Self::Quarantine,
        Self::Identity,
        Self::Resources,
        Self::Conflicts,
    ];

    /// For people and the audit log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Readings => "days of readings",
            Self::AppEvents => "days of app events",
            Self::Versions => "outcomes with earlier versions",
            Self::Quarantine => "quarantine entries",
            Self::Identity => "identity entries",
            Self::Resources => "resources with earlier versions",
            Self::Conflicts => "settled contradictions",
        }
    }

    /// For a label of metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Readings => "readings",
            Self::AppEvents => "app-events",
            Self::Versions => "versions",
            Self::Quarantine => "quarantine",
            Self::Identity => "identity",
            Self::Resources => "resources",
            Self::Conflicts => "conflicts",
        }
    }

    /// Rows from ?1 (not included) to ?2 of site ?3 that are as old as ?4: number, first and last time, patient.
    fn candidates(self) -> &'static str {
        match self {
            Self::Messages => {
                "SELECT i.id, i.received_at, i.received_at, NULL FROM inbox i
                 WHERE i.id > ?1 AND i.id <= ?2 AND i.site = ?3 AND i.received_at <= ?4 AND i.removed_at IS NULL
                   AND i.id <= (SELECT inbox_id FROM watermark)
                   AND NOT EXISTS (SELECT 1 FROM again a WHERE a.inbox_id = i.id)
                   AND NOT EXISTS (SELECT 1 FROM identity_wait w WHERE w.inbox_id = i.id)
                   AND NOT EXISTS (SELECT 1 FROM quarantine q WHERE q.inbox_id = i.id AND q.state = 'open')
                   AND NOT EXISTS (SELECT 1 FROM identity_queue q WHERE q.inbox_id = i.id AND q.state = 'open')
                   AND NOT EXISTS (SELECT 1 FROM resource_version v WHERE v.inbox_id = i.id AND v.inbox_id <> 0)
                   AND i.id NOT IN (SELECT inbox_id FROM consent WHERE inbox_id IS NOT NULL)
                   AND i.id NOT IN (SELECT stands_id FROM conflict WHERE state = 'open'
                                    UNION ALL SELECT yields_id FROM conflict WHERE state = 'open')
                 ORDER BY i.id"
            }
            Self::Readings => {
                "SELECT c.id, c.day * 86400000, c.day * 86400000 + 86399999, c.patient
                 FROM chunk c JOIN patient p ON p.id = c.patient
                 WHERE c.id > ?1 AND c.id <= ?2 AND p.site = ?3 AND c.day * 86400000 + 86399999 <= ?4 ORDER BY c.id"
            }
            Self::AppEvents => {
                "SELECT c.id, c.day * 86400000, c.day * 86400000 + 86399999, c.patient
                 FROM app_event c JOIN patient p ON p.id = c.patient
                 WHERE c.id > ?1 AND c.id <= ?2 AND p.site = ?3 AND c.day * 86400000 + 86399999 <= ?4 ORDER BY c.id"
            }
            Self::Versions => {
                "SELECT w.id, min(v.at, (w.end_day - w.days) * 86400000),
                   max((SELECT max(l.at) FROM published_version l WHERE l.window_id = w.id), w.end_day * 86400000), w.patient
                 FROM outcome_window w JOIN patient p ON p.id = w.patient
                 JOIN published_version v ON v.window_id = w.id
                 WHERE w.id > ?1 AND w.id <= ?2 AND p.site = ?3 AND v.version = (
                   SELECT min(e.version) FROM published_version e
                   WHERE e.window_id = w.id AND e.version < w.version - 1 AND e.removed_at IS NULL
                     AND EXISTS (SELECT 1 FROM published_version n
                                 WHERE n.window_id = e.window_id AND n.version > e.version AND n.at <= ?4)
                     AND NOT EXISTS (SELECT 1 FROM outbox o JOIN written wr ON wr.row_id = o.id
                                     WHERE o.window_id = e.window_id AND o.version = e.version))
                 ORDER BY w.id"
            }
            Self::Quarantine => {
                "SELECT q.id, q.at, coalesce(q.state_at, q.last_at), NULL
                 FROM quarantine q JOIN inbox i ON i.id = q.inbox_id
                 WHERE q.id > ?1 AND q.id <= ?2 AND i.site = ?3 AND q.state <> 'open'
                   AND max(q.at, coalesce(q.state_at, q.last_at)) <= ?4
                   AND NOT EXISTS (SELECT 1 FROM again a WHERE a.inbox_id = i.id) ORDER BY q.id"
            }
            Self::Identity => {
                "SELECT q.id, q.at, coalesce(q.state_at, q.at), NULL
                 FROM identity_queue q JOIN inbox i ON i.id = q.inbox_id
                 WHERE q.id > ?1 AND q.id <= ?2 AND i.site = ?3 AND q.state <> 'open'
                   AND max(q.at, coalesce(q.state_at, q.at)) <= ?4
                   AND NOT EXISTS (SELECT 1 FROM again a WHERE a.inbox_id = i.id)
                   AND NOT EXISTS (SELECT 1 FROM identity_wait w WHERE w.inbox_id = i.id) ORDER BY q.id"
            }
            Self::Resources => {
                "SELECT r.id, v.at, r.updated_at, NULL FROM resource r JOIN resource_version v ON v.resource = r.id
                 WHERE r.id > ?1 AND r.id <= ?2 AND r.site = ?3 AND v.version = (
                   SELECT min(e.version) FROM resource_version e WHERE e.resource = r.id AND e.version < r.version
                     AND EXISTS (SELECT 1 FROM resource_version n
                                 WHERE n.resource = e.resource AND n.version > e.version AND n.at <= ?4))
                 ORDER BY r.id"
            }
            // While there are readings of its day it would be found again, and asked about again.
            Self::Conflicts => {
                "SELECT c.id, min(c.at, c.since), max(c.at, c.state_at), c.patient
                 FROM conflict c JOIN patient p ON p.id = c.patient
                 WHERE c.id > ?1 AND c.id <= ?2 AND p.site = ?3 AND c.state <> 'open' AND max(c.at, c.state_at) <= ?4
                   AND NOT EXISTS (SELECT 1 FROM chunk h WHERE h.patient = c.patient
                     AND h.day BETWEEN c.at / 86400000 - 1 AND c.at / 86400000 + 1) ORDER BY c.id"
            }
        }
    }

    /// What the rows are numbered by.
    const fn table(self) -> &'static str {
        match self {
            Self::Messages => "inbox",
            Self::Readings => "chunk",
            Self::AppEvents => "app_event",
            Self::Versions => "outcome_window",
            Self::Quarantine => "quarantine",
            Self::Identity => "identity_queue",
            Self::Resources => "resource",
            Self::Conflicts => "conflict",
        }
    }

    /// What removes row ?1 of what is as old as ?2; now is ?3.
    const fn removes(self) -> &'static [&'static str] {
        match self {
            Self::Messages => {
                &["UPDATE inbox SET body = x'', removed_at = ?3 WHERE id = ?1 AND received_at <= ?2"]
            }
            Self::Readings => &[
                "INSERT OR IGNORE INTO readings_removed (patient, day, at)
                 SELECT patient, day, ?3 FROM chunk WHERE id = ?1 AND day * 86400000 <= ?2",
                "DELETE FROM chunk WHERE id = ?1 AND day * 86400000 <= ?2 AND ?3 > 0",
            ],
            Self::AppEvents => {
                &["DELETE FROM app_event WHERE id = ?1 AND day * 86400000 <= ?2 AND ?3 > 0"]
            }
            Self::Versions => &[
                "UPDATE published_version SET outcome = x'', removed_at = ?3
                 WHERE window_id = ?1 AND removed_at IS NULL
                   AND version < (SELECT version - 1 FROM outcome_window w WHERE w.id = ?1)
                   AND EXISTS (SELECT 1 FROM published_version n
                               WHERE n.window_id = ?1 AND n.version > published_version.version AND n.at <= ?2)
                   AND NOT EXISTS (SELECT 1 FROM outbox o JOIN written wr ON wr.row_id = o.id
                                   WHERE o.window_id = ?1 AND o.version = published_version.version)",
                "UPDATE manifest SET body = x'', removed_at = ?3
                 WHERE removed_at IS NULL AND ?2 >= 0
                   AND id IN (SELECT manifest FROM published_version WHERE window_id = ?1 AND removed_at IS NOT NULL)
                   AND NOT EXISTS (SELECT 1 FROM published_version v WHERE v.manifest = manifest.id AND v.removed_at IS NULL)
                   AND NOT EXISTS (SELECT 1 FROM outcome_window w WHERE w.manifest = manifest.id)",
            ],
            Self::Quarantine => {
                &["DELETE FROM quarantine WHERE id = ?1 AND state <> 'open' AND at <= ?2 AND ?3 > 0"]
            }
            Self::Identity => {
                &["DELETE FROM identity_queue WHERE id = ?1 AND state <> 'open' AND at <= ?2 AND ?3 > 0"]
            }
            Self::Resources => &["DELETE FROM resource_version WHERE resource = ?1
                 AND version < (SELECT version FROM resource WHERE id = ?1) AND ?3 > 0
                 AND EXISTS (SELECT 1 FROM resource_version n
                             WHERE n.resource = ?1 AND n.version > resource_version.version AND n.at <= ?2)"],
            Self::Conflicts => {
                &["DELETE FROM conflict WHERE id = ?1 AND state <> 'open' AND max(at, state_at) <= ?2 AND ?3 > 0"]
            }
        }
    }
}

/// A row that is as old as it must be.
struct Candidate {
    id: i64,
    first: i64,
    last: i64,
    patient: Option<i64>,
}

fn candidate_of(row: &Row<'_>) -> rusqlite::Result<Candidate> {
    Ok(Candidate { id: row.get(0)?, first: row.get(1)?, last: row.get(2)?, patient: row.get(3)? })
}

/// What keeps rows of a site from going, as the store stands now.
struct Guard<'a> {
    conn: &'a Connection,
    what: Prunable,
    site: &'a str,
    holds: Holds,
    /// Of messages: what was received from then on may be behind something that is still to go.
    open_from: Option<i64>,
    /// Of readings: spans of days that are still wanted, of everyone who is one person with a patient.
    wanted: HashMap<i64, Wanted>,
}

/// Days of a person that are still wanted; all of them where who is who has just changed.
struct Wanted {
    all: bool,
    spans: Vec<(i64, i64)>,
}

impl<'a> Guard<'a> {
    fn new(conn: &'a Connection, what: Prunable, site: &'a str) -> rusqlite::Result<Self> {
        let holds = Holds::read(conn)?;
        let open_from = if what == Prunable::Messages { open_from(conn, site)? } else { None };
        Ok(Self { conn, what, site, holds, open_from, wanted: HashMap::new() })
    }

    fn may_go(&mut self, candidate: &Candidate) -> rusqlite::Result<bool> {
        let span = (candidate.first.min(candidate.last), candidate.first.max(candidate.last));
        if self.holds.hold(self.site, candidate.patient, span) {
            return Ok(false);
        }
        match (self.what, candidate.patient) {
            (Prunable::Messages, _) => Ok(self.open_from.is_none_or(|from| candidate.first < from)),
            (Prunable::Readings | Prunable::AppEvents | Prunable::Conflicts, Some(patient)) => {
                self.are_unwanted(patient, span)
            }
            (Prunable::Versions, _) => is_at_rest(self.conn, candidate.id),
            _ => Ok(true),
        }
    }

    fn are_unwanted(&mut self, patient: i64, (first, last): (i64, i64)) -> rusqlite::Result<bool> {
        if !self.wanted.contains_key(&patient) {
            let wanted = wanted(self.conn, patient)?;
            self.wanted.insert(patient, wanted);
        }
        let Some(wanted) = self.wanted.get(&patient) else { return Ok(false) };
        Ok(!wanted.all && !wanted.spans.iter().any(|(from, until)| first <= *until && last >= *from))
    }
}

/// From when on messages of a site may be behind a write that has not settled, a window that is to be computed, what people
/// want written, or an open contradiction: no reading of a window is received before it was measured. `None` where nothing
/// is open.
fn open_from(conn: &Connection, site: &str) -> rusqlite::Result<Option<i64>> {
    let window = format!("(w.end_day - w.days - {ZONE_DAYS}) * {DAY_MS}");
    let sql = format!(
        "SELECT min(t) FROM (
           SELECT min({window}) AS t FROM outbox o JOIN patient p ON p.id = o.patient
             JOIN outcome_window w ON w.id = o.window_id WHERE o.state IN {UNSETTLED} AND p.site = ?1
           UNION ALL SELECT min(o.created_at) - {DAY_MS} FROM outbox o JOIN patient p ON p.id = o.patient
             WHERE o.state IN {UNSETTLED} AND o.window_id = 0 AND p.site = ?1
           UNION ALL SELECT min({window}) FROM outcome_window w JOIN patient p ON p.id = w.patient
             WHERE w.due_at IS NOT NULL AND p.site = ?1
           UNION ALL SELECT min({window}) FROM intent n JOIN outcome_window w ON w.id = n.window_id
             JOIN patient p ON p.id = n.patient WHERE n.state NOT IN ('done', 'withdrawn') AND p.site = ?1
           UNION ALL SELECT min(c.at) - {DAY_MS} FROM conflict c JOIN patient p ON p.id = c.patient
             WHERE c.state = 'open' AND p.site = ?1)"
    );
    conn.prepare_cached(&sql)?.query_row([site], |row| row.get(0))
}

/// The days of a person that something still open may need.
fn wanted(conn: &Connection, patient: i64) -> rusqlite::Result<Wanted> {
    let (mut spans, mut all) = (Vec::new(), false);
    for one in person(conn, patient)? {
        all |= conn.prepare_cached("SELECT 1 FROM rehomed WHERE member = ?1 OR owner = ?1")?.exists([one])?;
        let sql = format!(
            "SELECT (w.end_day - w.days - {ZONE_DAYS}) * {DAY_MS}, (w.end_day + {ZONE_DAYS} + 1) * {DAY_MS} - 1
             FROM outcome_window w WHERE w.patient = ?1 AND (w.due_at IS NOT NULL
               OR EXISTS (SELECT 1 FROM outbox o WHERE o.window_id = w.id AND o.state IN {UNSETTLED})
               OR EXISTS (SELECT 1 FROM intent n WHERE n.window_id = w.id
                          AND n.state NOT IN ('done', 'withdrawn')))
             UNION ALL SELECT at - {DAY_MS}, at + {DAY_MS} FROM conflict WHERE patient = ?1 AND state = 'open'"
        );
        let mut statement = conn.prepare_cached(&sql)?;
        let found = statement.query_map([one], |row| Ok((row.get(0)?, row.get(1)?)))?;
        spans.extend(found.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    Ok(Wanted { all, spans })
}

/// Whether nothing is to be done for a window: its versions are only looked back at.
fn is_at_rest(conn: &Connection, window_id: i64) -> rusqlite::Result<bool> {
    let sql = format!(
        "SELECT 1 FROM outcome_window w WHERE w.id = ?1 AND w.due_at IS NULL
           AND NOT EXISTS (SELECT 1 FROM rehomed r WHERE r.owner = w.patient OR r.member = w.patient)
           AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.window_id = w.id AND o.state IN {UNSETTLED})
           AND NOT EXISTS (SELECT 1 FROM intent n WHERE n.window_id = w.id
                           AND n.state NOT IN ('done', 'withdrawn'))"
    );
    conn.prepare_cached(&sql)?.exists([window_id])
}

/// Whether readings of a window's days were removed, of anyone who is or was one person with its patient: it is computed no
/// more, for from the rest it would be another outcome.
pub(crate) fn is_closed(conn: &Connection, patient: i64, days: u16, end_day: i32) -> rusqlite::Result<bool> {
    // Nearly every box, and every message of it.
    if !conn.prepare_cached("SELECT 1 FROM readings_removed LIMIT 1")?.exists([])? {
        return Ok(false);
    }
    let first = i64::from(end_day) - i64::from(days) - ZONE_DAYS;
    let last = i64::from(end_day) + ZONE_DAYS;
    for one in person(conn, patient)? {
        let mut removed = conn.prepare_cached(
            "SELECT 1 FROM readings_removed WHERE patient = ?1 AND day BETWEEN ?2 AND ?3 LIMIT 1",
        )?;
        if removed.exists(params![one, first, last])? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Rows that may go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Their numbers, in order.
    pub rows: Vec<i64>,
    /// The first and the last time that they speak of, in milliseconds.
    pub span: Option<(i64, i64)>,
    /// After which row to look on; `None` where there is no more.
    pub next: Option<i64>,
}

/// Looks at the rows of a site after `after`, for those as old as `before` that may go.
pub(crate) fn prunable(
    conn: &Connection,
    what: Prunable,
    site: &str,
    before: i64,
    after: i64,
) -> Result<Pruned, ReadError> {
    let upto = after.saturating_add(LOOK_ROWS);
    let mut guard = Guard::new(conn, what, site)?;
    let mut statement = conn.prepare_cached(what.candidates())?;
    let mut rows = statement.query(params![after, upto, site, before])?;
    let mut found = Pruned::default();
    while let Some(row) = rows.next()? {
        let candidate = candidate_of(row)?;
        if !guard.may_go(&candidate)? {
            continue;
        }
        found.rows.push(candidate.id);
        let (first, last) = found.span.unwrap_or((candidate.first, candidate.last));
        found.span = Some((first.min(candidate.first), last.max(candidate.last)));
        if found.rows.len() == PRUNE_ROWS {
            found.next = Some(candidate.id);
            return Ok(found);
        }
    }
    let more = format!("SELECT 1 FROM {} WHERE id > ?1 LIMIT 1", what.table());
    found.next = conn.prepare_cached(&more)?.exists([upto])?.then_some(upto);
    Ok(found)
}

/// The command that removes rows for good. [`Conflict::Edge`] where one of them may not go: then none does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prune {
    /// What they are.
    pub what: Prunable,
    /// Of which site.
    pub site: String,
    /// The rows, as [`Pruned`] names them.
    pub rows: Vec<i64>,
    /// How old they must be, in milliseconds.
    pub before: i64,
    /// What is written down about it.
    pub audit: AuditEntry,
    /// Now, in milliseconds.
    pub at: i64,
}

impl Command for Prune {
    type Out = ();

    fn bytes(&self) -> usize {
        self.audit.detail.len() + self.rows.len() * 64
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<(), WriteError> {
        self.carry_out(conn)
    }
}

impl Prune {
    fn carry_out(self, conn: &Connection) -> Result<(), WriteError> {
        let mut guard = Guard::new(conn, self.what, &self.site)?;
        let rows: BTreeSet<i64> = self.rows.iter().copied().collect();
        for id in rows {
            let candidate = conn
                .prepare_cached(self.what.candidates())?
                .query_row(params![id - 1, id, self.site, self.before], candidate_of)
                .optional()?;
            let Some(candidate) = candidate else { return Err(Conflict::Edge.into()) };
            if !guard.may_go(&candidate)? {
                return Err(Conflict::Edge.into());
            }
            for sql in self.what.removes() {
                conn.prepare_cached(sql)?.execute(params![id, self.before, self.at])?;
            }
        }
        Ok(audit::append(conn, &[self.audit])?)
    }
}

/// What is left of a message whose bytes were removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedMessage {
    /// When it was taken in, in milliseconds.
    pub received_at: i64,
    /// When its bytes were removed, in milliseconds.
    pub removed_at: i64,
    /// The feed's name.
    pub source: String,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

/// What is left of a message, where its bytes were removed.
pub(crate) fn removed_message(conn: &Connection, id: i64) -> rusqlite::Result<Option<RemovedMessage>> {
    conn.prepare_cached(
        "SELECT received_at, removed_at, source, hash FROM inbox WHERE id = ?1 AND removed_at IS NOT NULL",
    )?
    .query_row([id], |row| {
        Ok(RemovedMessage {
            received_at: row.get(0)?,
            removed_at: row.get(1)?,
            source: row.get(2)?,
            sha256: row.get(3)?,
        })
    })
    .optional()
}

#[cfg(test)]
#[path = "prune_tests.rs"]
mod tests;
