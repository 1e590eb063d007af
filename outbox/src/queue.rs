//! Rows of the outbox: one effect each at one destination, with the bytes to send.
//!
//! Invariants
//! - Every change of state goes through [`State::after`].
//! - A *line* is the rows of one destination, patient and kind in the order of their ids (what must follow
//!   another kind says so by `depends_on`, so that a kind that is not permitted holds up no other). At most one row of a line is
//!   its *head*: the only one that may be leased. A row becomes head when it enters an empty line or when the
//!   head before it settles; a unique index holds the database to one head per line. So the order per patient
//!   costs nothing at lease time, however long the queue is.
//! - A line passes what is deferred as [`FORM_NOT_LISTED`]: nothing here ends that, so it is never head, and what is in a
//!   listed form goes before it. Listed again it takes its place by its id, behind what is under way. Triggers of the schema
//!   see to it, whichever statement defers or releases.
//! - The bytes to send are written once, apart from the small row that changes; their hash is checked when they
//!   are read. What is removed by the site's retention (`retention.rs`) leaves its hash.

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use crate::{
    error::{Conflict, ReadError, WriteError},
    lineage::{self, Root},
};

/// Where a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Waits for its turn and time.
    Pending,
    /// Being delivered.
    Leased,
    /// May not be written at present; a probe may try one.
    Deferred,
    /// Sent once, and its fate is not known: to be reconciled.
    Ambiguous,
    /// Done.
    Delivered,
    /// Refused for its own sake; kept for people to look at.
    Quarantined,
    /// A later version of the same window took its place before it was sent, or it is about nobody any more.
    Superseded,
    /// Quarantined, and a person decided that it is not to be sent; its bytes stay as the site's retention says.
    Dropped,
    /// Made to be looked at, and never sent: the site is in shadow. No edge leads to it or from it.
    Shown,
}

/// What happens to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Taken for delivery.
    Lease,
    /// The receiver has it.
    Deliver,
    /// It is known not to have happened and will be tried again.
    Retry,
    /// It may not be written at present.
    Defer,
    /// It may be written again.
    Release,
    /// Its fate is not known.
    Doubt,
    /// Refused for its own sake.
    Quarantine,
    /// A later version takes its place.
    Supersede,
    /// A person gives it up.
    Drop,
    /// The destination is another server now, which has nothing of it.
    Renew,
    /// It was left out for another window, which is not written after all.
    Revive,
}

impl State {
    /// Every state, for tables of counts.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Leased,
        Self::Deferred,
        Self::Ambiguous,
        Self::Delivered,
        Self::Quarantined,
        Self::Superseded,
        Self::Dropped,
        Self::Shown,
    ];

    /// The state after a step, `None` where there is no such edge.
    pub const fn after(self, step: Step) -> Option<Self> {
        match (self, step) {
            (Self::Pending | Self::Deferred | Self::Ambiguous, Step::Lease) => Some(Self::Leased),
            // Quarantined: a person found there what nobody could look for (settle_doubt.rs). Ambiguous: the answer came when
            // nobody awaited it any more.
            (Self::Leased | Self::Quarantined | Self::Ambiguous, Step::Deliver) => Some(Self::Delivered),
            (Self::Leased, Step::Retry) | (Self::Deferred | Self::Quarantined, Step::Release) => {
                Some(Self::Pending)
            }
            (Self::Leased, Step::Doubt) => Some(Self::Ambiguous),
            (Self::Leased | Self::Pending, Step::Defer) => Some(Self::Deferred),
            // Not only by verdict: a row goes with the one it depends on, and where its bytes are damaged.
            (Self::Leased | Self::Pending | Self::Deferred | Self::Ambiguous, Step::Quarantine) => {
                Some(Self::Quarantined)
            }
            // Leased: its verdict was "not done", and meanwhile a later version was published.
            (Self::Pending | Self::Deferred | Self::Leased | Self::Quarantined, Step::Supersede) => {
                Some(Self::Superseded)
            }
            (Self::Quarantined, Step::Drop) => Some(Self::Dropped),
            (Self::Ambiguous | Self::Delivered, Step::Renew) | (Self::Superseded, Step::Revive) => {
                Some(Self::Pending)
            }
            _ => None,
        }
    }

    /// Whether the row no longer holds up its line.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Delivered | Self::Quarantined | Self::Superseded | Self::Dropped | Self::Shown)
    }

    /// Its name in the database and in status output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Leased => "leased",
            Self::Deferred => "deferred",
            Self::Ambiguous => "ambiguous",
            Self::Delivered => "delivered",
            Self::Quarantined => "quarantined",
            Self::Superseded => "superseded",
            Self::Dropped => "dropped",
            Self::Shown => "shown",
        }
    }

    pub(crate) fn of(name: &str) -> rusqlite::Result<Self> {
        Self::ALL
            .into_iter()
            .find(|state| state.name() == name)
            .ok_or_else(|| rusqlite::Error::InvalidColumnType(0, "state".into(), rusqlite::types::Type::Text))
    }
}

/// How many priorities there are: 0 goes first. A line keeps its order whatever the priorities of its rows.
pub const PRIORITIES: u8 = 3;

/// The condition of the partial index of unsettled rows; queries repeat it word for word.
const UNSETTLED: &str = "state IN ('pending', 'leased', 'deferred', 'ambiguous')";
/// The condition of the partial index `outbox_waiting`, in the same way.
pub(crate) const WAITING: &str = "state IN ('pending', 'deferred')";

/// Why a row waits whose form, or kind, the site's file does not list any more. Stored, and compared with what is stored: it
/// must never change.
pub const FORM_NOT_LISTED: &str = "form-not-listed";
/// A row of a line that may be its head.
pub(crate) const NOT_PASSED: &str = "NOT (state = 'deferred' AND reason IS 'form-not-listed')";

/// The part of a row that moving it needs.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub id: i64,
    pub destination: String,
    pub patient: i64,
    pub kind: String,
    pub window_id: i64,
    pub version: i64,
    pub state: State,
    /// How often it was leased: the number of its last lease.
    pub attempts: u32,
    /// When it was enqueued.
    pub created_at: i64,
}

pub(crate) fn place(conn: &Connection, id: i64) -> Result<Place, WriteError> {
    conn.prepare_cached(
        "SELECT id, destination, patient, window_id, version, state, kind, attempts, created_at
         FROM outbox WHERE id = ?1",
    )?
    .query_row([id], |row| {
        Ok(Place {
            id: row.get(0)?,
            destination: row.get(1)?,
            patient: row.get(2)?,
            window_id: row.get(3)?,
            version: row.get(4)?,
            state: State::of(row.get_ref(5)?.as_str()?)?,
            kind: row.get(6)?,
            attempts: row.get(7)?,
            created_at: row.get(8)?,
        })
    })
    .optional()?
    .ok_or_else(|| Conflict::Missing.into())
}

/// What a step leaves on the row beside its state.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Note<'a> {
    /// Why it is deferred, quarantined or superseded; cleared by other steps.
    pub reason: Option<&'a str>,
    /// What the last attempt met; kept until the next one says otherwise.
    pub cause: Option<&'a str>,
    /// Not before this time; `None` leaves it.
    pub next_at: Option<i64>,
    /// Now.
    pub at: i64,
}

/// Takes a row along an edge, and lets its line move up where the row is settled by it.
pub(crate) fn step(conn: &Connection, row: &Place, step: Step, note: Note<'_>) -> Result<State, WriteError> {
    let state = row.state.after(step).ok_or(Conflict::Edge)?;
    let settled_at = state.is_settled().then_some(note.at);
    conn.prepare_cached(
        "UPDATE outbox SET state = ?2, reason = ?3, cause = coalesce(?4, cause),
           next_at = coalesce(?5, next_at), settled_at = ?6, weighed = 0,
           free_since = CASE WHEN ?2 = 'pending' AND state <> 'leased' THEN ?7 ELSE free_since END,
           doubted = max(doubted, ?2 = 'ambiguous'), head = CASE WHEN ?6 IS NULL THEN head ELSE 0 END,
           doubt_since = CASE ?2 WHEN 'ambiguous' THEN coalesce(doubt_since, ?7) WHEN 'leased' THEN doubt_since END
         WHERE id = ?1",
    )?
    .execute(params![row.id, state.name(), note.reason, note.cause, note.next_at, settled_at, note.at])?;
    if state.is_settled() || row.state.is_settled() {
        move_up(conn, &row.destination, row.patient, &row.kind)?;
    }
    Ok(state)
}

/// Makes the first unsettled row of a line, but for what it passes, its head, where the line has none.
pub(crate) fn move_up(
    conn: &Connection,
    destination: &str,
    patient: i64,
    kind: &str,
) -> rusqlite::Result<()> {
    let has_head = conn
        .prepare_cached(
            "SELECT 1 FROM outbox WHERE destination = ?1 AND patient = ?2 AND kind = ?3 AND head = 1",
        )?
        .exists(params![destination, patient, kind])?;
    if !has_head {
        conn.prepare_cached(&move_up_sql())?.execute(params![destination, patient, kind])?;
    }
    Ok(())
}

pub(crate) fn move_up_sql() -> String {
    format!(
        "UPDATE outbox SET head = 1 WHERE id = (SELECT id FROM outbox
         WHERE destination = ?1 AND patient = ?2 AND kind = ?3 AND {UNSETTLED} AND {NOT_PASSED}
         ORDER BY id LIMIT 1)"
    )
}

/// Prefix of the queue of a site's EHR.
const EHR: &str = "ehr:";
/// Prefix of the queue of a receiver of messages, of which nothing can be looked up.
pub(crate) const MLLP: &str = "mllp:";

/// Whether two queues lead into one chart: they are the same, or a site's EHR and a receiver of its messages. Rows of one
/// window alone may be compared so: its site has one EHR.
pub(crate) fn is_one_chart(one: &str, other: &str) -> bool {
    let chart = |id: &str| id.starts_with(EHR) || id.starts_with(MLLP);
    one == other || (chart(one) && chart(other))
}

/// Whether a later version of the same window has a row for this destination that counts, in whichever form: messages have
/// a queue of their own.
pub(crate) fn has_successor(conn: &Connection, row: &Place) -> rusqlite::Result<bool> {
    // What is about no window has no chart in common with anything.
    if row.window_id == 0 {
        let sql = "SELECT 1 FROM outbox WHERE window_id = 0 AND destination = ?1 AND version > ?2
            AND state NOT IN ('superseded', 'quarantined', 'dropped', 'shown')";
        return conn.prepare_cached(sql)?.exists(params![row.destination, row.version]);
    }
    let mut later = conn.prepare_cached(
        "SELECT DISTINCT destination FROM outbox WHERE window_id = ?1 AND version > ?2
         AND state NOT IN ('superseded', 'quarantined', 'dropped', 'shown')",
    )?;
    let mut found = later.query(params![row.window_id, row.version])?;
    while let Some(one) = found.next()? {
        if is_one_chart(one.get_ref(0)?.as_str()?, &row.destination) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a row must not be written any more although nobody has it yet: a later version stands in its place, or what
/// it says is void ([`is_void`]). Asked wherever a row would come back to its line.
pub(crate) fn is_overtaken(conn: &Connection, row: &Place) -> rusqlite::Result<bool> {
    Ok(has_successor(conn, row)? || is_void(conn, row)?)
}

/// Whether a row of a window names somebody it is no longer about, or numbers that are made anew: the window is another
/// patient's now, its published version was taken back (a window with rows has no `display_hash` only then), or its
/// patient was merged away.
fn is_void(conn: &Connection, row: &Place) -> rusqlite::Result<bool> {
    let window: Option<(i64, bool)> = conn
        .prepare_cached("SELECT patient, display_hash IS NULL FROM outcome_window WHERE id = ?1")?
        .query_row([row.window_id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((patient, taken_back)) = window else { return Ok(false) };
    Ok(taken_back || patient != row.patient || lineage::root(conn, patient)? != Root::One(patient))
}

/// Why a row was set aside that may have been written, was overtaken, and could not be looked for: it may stand at the
/// destination, and is not sent again. Stored, and compared with what is stored: it must never change.
pub const UNPROVEN: &str = "it may have been written, the destination does not let us look, and a later version or another patient took its place";

/// Why a row was set aside whose resource refers to others, none of which was written: it comes back with any of them.
/// Stored, and compared with what is stored: it must never change.
pub const UNRESOLVED: &str = "nothing of what it refers to was written";

/// Whether a row was set aside as [`UNPROVEN`].
pub(crate) fn is_unproven(conn: &Connection, row_id: i64) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM outbox WHERE id = ?1 AND state = 'quarantined' AND reason = ?2")?
        .exists(params![row_id, UNPROVEN])
}

/// Why a row was superseded when it would have come back.
pub(crate) const OVERTAKEN: &str = "a later version was published, or it is no longer about this patient";

/// Whether anything of the patient is still to be sent to a destination, or under way.
pub(crate) fn has_unsettled(conn: &Connection, destination: &str, patient: i64) -> Result<bool, ReadError> {
    Ok(conn
        .prepare_cached(&format!(
            "SELECT 1 FROM outbox WHERE destination = ?1 AND patient = ?2 AND {UNSETTLED}"
        ))?
        .exists(params![destination, patient])?)
}

/// A row's reason where it was quarantined with the row it depends on.
pub(crate) const WITH_ITS_DEPENDENCY: &str = "the row it depends on was quarantined";

/// Quarantines a row together with all that depend on it, so that nothing waits for what will not come.
pub(crate) fn quarantine(conn: &Connection, row: &Place, note: Note<'_>) -> Result<State, WriteError> {
    let state = step(conn, row, Step::Quarantine, note)?;
    for id in dependents(conn, row.id)? {
        let below = place(conn, id)?;
        if below.state.after(Step::Quarantine).is_some() {
            quarantine(
                conn,
                &below,
                Note { reason: Some(WITH_ITS_DEPENDENCY), at: note.at, ..Note::default() },
            )?;
        }
    }
    Ok(state)
}

/// Rows that depend directly on this one; they always have higher ids, so a walk down ends.
pub(crate) fn dependents(conn: &Connection, id: i64) -> rusqlite::Result<Vec<i64>> {
    conn.prepare_cached("SELECT id FROM outbox WHERE depends_on = ?1 ORDER BY id")?
        .query_map([id], |row| row.get(0))?
        .collect()
}

/// What was being delivered when the store was last open: nobody knows whether it arrived.
pub(crate) fn doubt_leased(conn: &Connection, now_ms: i64) -> rusqlite::Result<usize> {
    conn.execute(
        "UPDATE outbox SET state = 'ambiguous', doubted = 1, next_at = ?1, doubt_since = coalesce(doubt_since, ?1),
           cause = 'the store was closed while it was sent'
         WHERE head = 1 AND state = 'leased'",
        [now_ms],
    )
}

/// Rows leased by a command whose fate was not known: its caller never heard of them.
pub(crate) fn doubt(conn: &Connection, ids: &[i64], now_ms: i64) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "UPDATE outbox SET state = 'ambiguous', doubted = 1, next_at = ?2, doubt_since = coalesce(doubt_since, ?2),
           cause = 'the lease was not known to be kept'
         WHERE id = ?1 AND state = 'leased'",
    )?;
    for id in ids {
        statement.execute([*id, now_ms])?;
    }
    Ok(())
}

/// When the next row of a destination may be leased, not counting deferred ones and those that wait for another row.
pub(crate) fn next_attempt_at(conn: &Connection, destination: &str) -> Result<Option<i64>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT next_at FROM outbox o INDEXED BY outbox_due
         WHERE head = 1 AND destination = ?1 AND state = ?2 AND priority = ?3
           AND (depends_on IS NULL OR (SELECT state FROM outbox d WHERE d.id = o.depends_on) = 'delivered')
         ORDER BY next_at, id LIMIT 1",
    )?;
    let mut first: Option<i64> = None;
    for state in [State::Pending, State::Ambiguous] {
        for priority in 0..PRIORITIES {
            let asked = params![destination, state.name(), priority];
            let at: Option<i64> = statement.query_row(asked, |row| row.get(0)).optional()?;
            first = first.into_iter().chain(at).min();
        }
    }
    Ok(first)
}

/// Stored bytes whose hash still matches.
pub(crate) struct Body {
    pub bytes: Vec<u8>,
    pub sha256: [u8; 32],
}

pub(crate) fn write_body(conn: &Connection, row_id: i64, bytes: &[u8]) -> rusqlite::Result<usize> {
    let sha256: [u8; 32] = Sha256::digest(bytes).into();
    conn.prepare_cached("INSERT INTO outbox_body (row_id, sha256, bytes) VALUES (?1, ?2, ?3)")?
        .execute(params![row_id, sha256, bytes])
}

/// The bytes of a row, `None` where they are damaged, missing or removed.
pub(crate) fn read_body(conn: &Connection, row_id: i64) -> rusqlite::Result<Option<Body>> {
    let found = conn
        .prepare_cached("SELECT bytes, sha256 FROM outbox_body WHERE row_id = ?1 AND bytes IS NOT NULL")?
        .query_row([row_id], |row| Ok(Body { bytes: row.get(0)?, sha256: row.get(1)? }))
        .optional()?;
    Ok(found.filter(|body| <[u8; 32]>::from(Sha256::digest(&body.bytes)) == body.sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edge_of_the_table_and_no_other() {
        use State::{
            Ambiguous, Deferred, Delivered, Dropped, Leased, Pending, Quarantined, Shown, Superseded,
        };
        let steps = [
            Step::Lease,
            Step::Deliver,
            Step::Retry,
            Step::Defer,
            Step::Release,
            Step::Doubt,
            Step::Quarantine,
            Step::Supersede,
            Step::Drop,
            Step::Renew,
            Step::Revive,
        ];
        let no = None::<State>;
        let yes = Some::<State>;
        let table = [
            (
                Pending,
                [yes(Leased), no, no, yes(Deferred), no, no, yes(Quarantined), yes(Superseded), no, no, no],
            ),
            (
                Leased,
                [
                    no,
                    yes(Delivered),
                    yes(Pending),
                    yes(Deferred),
                    no,
                    yes(Ambiguous),
                    yes(Quarantined),
                    yes(Superseded),
                    no,
                    no,
                    no,
                ],
            ),
            (
                Deferred,
                [yes(Leased), no, no, no, yes(Pending), no, yes(Quarantined), yes(Superseded), no, no, no],
            ),
            (
                Ambiguous,
                [yes(Leased), yes(Delivered), no, no, no, no, yes(Quarantined), no, no, yes(Pending), no],
            ),
            (Delivered, [no, no, no, no, no, no, no, no, no, yes(Pending), no]),
            (
                Quarantined,
                [no, yes(Delivered), no, no, yes(Pending), no, no, yes(Superseded), yes(Dropped), no, no],
            ),
            (Superseded, [no, no, no, no, no, no, no, no, no, no, yes(Pending)]),
            (Dropped, [no; 11]),
            (Shown, [no; 11]),
        ];
        for (state, row) in table {
            for (step, expected) in steps.into_iter().zip(row) {
                assert_eq!(state.after(step), expected, "{state:?} {step:?}");
            }
        }
        assert_eq!(table.len(), State::ALL.len());
    }

    #[test]
    fn a_state_is_found_by_its_name() {
        for state in State::ALL {
            assert_eq!(State::of(state.name()).unwrap(), state);
        }
        assert!(State::of("lost").is_err());
    }
}
