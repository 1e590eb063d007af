//! Taking rows for delivery.
//!
//! Only heads of their lines are taken, so a patient's writes at a destination leave in order and one at a time,
//! and a row is taken only after the one it depends on was delivered. Ambiguous rows go first: until their fate
//! is known, their line stands still.
//!
//! This is the last gate before bytes leave: a row whose patient's consent does not cover its destination is not leased,
//! however it was queued (`consent_rows`); nor is one that a person wanted and has to decide on anew (`intent`); nor any
//! during a standstill (`standstill`).

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    command::{Command, Hot},
    conditions,
    consent_rows::{self, Passage},
    error::WriteError,
    intent,
    queue::{self, Note, PRIORITIES, State, Step},
    quota::{self, Quota},
    server, stale, standstill,
};

/// Most rows in one lease, whatever is asked for.
pub const LEASE_MAX_ROWS: usize = 256;
/// Bytes after which a lease takes no more rows.
pub const LEASE_MAX_BYTES: usize = 16 * 1024 * 1024;
/// How often a lease looks for further rows in the place of those that consent held: the next lease sees the rest.
const LOOKS_MOST: usize = 16;
/// Name of the condition raised where stored bytes no longer match their hash, with the scope `row N`.
pub const BODY_CORRUPT: &str = "body-corrupt";

/// What to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The destination.
    pub destination: String,
    /// Most rows to take.
    pub limit: usize,
    /// Now, in milliseconds: rows whose time has come.
    pub now: i64,
    /// Which.
    pub take: Take,
    /// What the destination takes in a span of time; rows beyond it stay where they are.
    pub quotas: Vec<Quota>,
}

/// Which rows to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Take {
    /// Those of these kinds that may be sent and whose time has come.
    Due {
        /// The kinds.
        kinds: Vec<String>,
        /// The last priority that may go; those before it go first.
        upto: u8,
    },
    /// Those of any kind whose time has come.
    Any,
    /// Those whose time has come and whose kind begins so, before those of these kinds: of a queue that several share,
    /// where each of them may be closed by itself.
    Among {
        /// The beginning.
        beginning: String,
        /// The kinds.
        kinds: Vec<String>,
    },
    /// Exactly one deferred (or doubtful) row, of the patient least recently probed.
    Probe {
        /// Its kind.
        kind: String,
        /// Of what is deferred for one of these reasons, what a later window made stale is left out first.
        latest: Vec<String>,
    },
}

/// A row to deliver.
#[derive(Clone, PartialEq, Eq)]
pub struct LeasedRow {
    /// Its number.
    pub id: i64,
    /// The patient's number.
    pub patient: i64,
    /// The window.
    pub window_id: i64,
    /// The window's version.
    pub version: i64,
    /// What is sent.
    pub kind: String,
    /// Its shape, in the words of who made it.
    pub form: String,
    /// The effect's identity.
    pub key: [u8; 32],
    /// Attempts, this one included.
    pub attempts: u32,
    /// It was sent before and its fate is not known, or a store that is gone may have sent it: reconcile before sending.
    pub ambiguous: bool,
    /// Where it is ambiguous: since when (ms UTC).
    pub doubt_since: Option<i64>,
    /// Where it is ambiguous: a later version stands in its place, it is no longer about its patient, or consent was
    /// withdrawn. It is only to be reconciled, and not sent again where it is found not to have happened.
    pub overtaken: bool,
    /// The row that was delivered before it.
    pub depends_on: Option<i64>,
    /// When it was enqueued, in milliseconds.
    pub created_at: i64,
    /// Since when it may go, in milliseconds: when it was enqueued, or let go after it had been held.
    pub free_since: i64,
    /// SHA-256 of the body, checked.
    pub sha256: [u8; 32],
    /// The bytes to send.
    pub body: Vec<u8>,
}

/// Rows of one state that may be leased now. The index `outbox_due` gives them in order.
pub(crate) const DUE: &str = "SELECT id FROM outbox o INDEXED BY outbox_due
    WHERE head = 1 AND destination = ?1 AND state = ?2 AND priority = ?6 AND next_at <= ?3 AND kind = ?5
      AND (depends_on IS NULL
           OR (SELECT state FROM outbox d WHERE d.id = o.depends_on) = 'delivered')
    ORDER BY next_at, id LIMIT ?4";

/// The same of every kind.
pub(crate) const DUE_OF_ANY_KIND: &str = "SELECT id FROM outbox o INDEXED BY outbox_due
    WHERE head = 1 AND destination = ?1 AND state = ?2 AND priority = ?5 AND next_at <= ?3
      AND (depends_on IS NULL
           OR (SELECT state FROM outbox d WHERE d.id = o.depends_on) = 'delivered')
    ORDER BY next_at, id LIMIT ?4";

/// The same of kinds that begin so.
pub(crate) const DUE_BEGINNING: &str = "SELECT id FROM outbox o INDEXED BY outbox_due
    WHERE head = 1 AND destination = ?1 AND state = ?2 AND priority = ?6 AND next_at <= ?3
      AND substr(kind, 1, length(?5)) = ?5
      AND (depends_on IS NULL
           OR (SELECT state FROM outbox d WHERE d.id = o.depends_on) = 'delivered')
    ORDER BY next_at, id LIMIT ?4";

/// The deferred (or doubtful) head of the patient least recently probed.
pub(crate) const TO_PROBE: &str = "SELECT o.id FROM outbox o INDEXED BY outbox_due
    LEFT JOIN probe p ON p.destination = o.destination AND p.patient = o.patient
    WHERE o.head = 1 AND o.destination = ?1 AND o.kind = ?2 AND o.state IN ('deferred', 'ambiguous')
      AND o.reason IS NOT 'no-consent'
      AND (o.depends_on IS NULL
           OR (SELECT state FROM outbox d WHERE d.id = o.depends_on) = 'delivered')
    ORDER BY p.at NULLS FIRST, o.id LIMIT 1";

impl Command for Lease {
    type Out = Vec<LeasedRow>;

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, hot: &mut Hot) -> Result<Vec<LeasedRow>, WriteError> {
        if standstill::stands(conn)? {
            return Ok(Vec::new());
        }
        let quota =
            usize::try_from(quota::room(conn, &self.destination, &self.quotas)?).unwrap_or(usize::MAX);
        let limit = self.limit.min(LEASE_MAX_ROWS).min(quota);
        let (mut taken, mut bytes) = (Vec::new(), 0_usize);
        for _look in 0..LOOKS_MOST {
            let room = limit.saturating_sub(taken.len());
            let candidates = match &self.take {
                Take::Probe { kind, latest } => self.to_probe(conn, kind, latest, room)?,
                Take::Due { kinds, upto } => self.due(conn, None, kinds, *upto, room)?,
                Take::Among { beginning, kinds } => {
                    self.due(conn, Some(beginning), kinds, PRIORITIES - 1, room)?
                }
                Take::Any => self.due_of_any_kind(conn, room)?,
            };
            let mut passed_over = false;
            for id in candidates {
                if bytes >= LEASE_MAX_BYTES {
                    break;
                }
                match self.take(conn, id)? {
                    Some(row) => {
                        bytes = bytes.saturating_add(row.body.len());
                        taken.push(row);
                    }
                    None => passed_over = true,
                }
            }
            // What was passed over is no candidate any more, and another may stand in its place.
            if !passed_over || bytes >= LEASE_MAX_BYTES {
                break;
            }
        }
        quota::spend(conn, &self.destination, &self.quotas, taken.len())?;
        hot.leased.extend(taken.iter().map(|row| row.id));
        Ok(taken)
    }
}

impl Lease {
    fn due(
        &self,
        conn: &Connection,
        beginning: Option<&String>,
        kinds: &[String],
        upto: u8,
        limit: usize,
    ) -> rusqlite::Result<Vec<i64>> {
        let named = kinds.iter().map(|kind| (DUE, kind));
        let looks: Vec<_> =
            beginning.map(|beginning| (DUE_BEGINNING, beginning)).into_iter().chain(named).collect();
        let mut ids = Vec::new();
        for (state, priority) in order(upto) {
            for (sql, kind) in &looks {
                let room = (limit - ids.len()) as i64;
                let asked = params![self.destination, state.name(), self.now, room, kind, priority];
                let mut statement = conn.prepare_cached(sql)?;
                for id in statement.query_map(asked, |row| row.get(0))? {
                    ids.push(id?);
                }
            }
        }
        Ok(ids)
    }

    fn due_of_any_kind(&self, conn: &Connection, limit: usize) -> rusqlite::Result<Vec<i64>> {
        let mut ids = Vec::new();
        for (state, priority) in order(PRIORITIES - 1) {
            let room = (limit - ids.len()) as i64;
            let asked = params![self.destination, state.name(), self.now, room, priority];
            let mut statement = conn.prepare_cached(DUE_OF_ANY_KIND)?;
            for id in statement.query_map(asked, |row| row.get(0))? {
                ids.push(id?);
            }
        }
        Ok(ids)
    }

    fn to_probe(
        &self,
        conn: &Connection,
        kind: &str,
        latest: &[String],
        limit: usize,
    ) -> Result<Vec<i64>, WriteError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut id = self.next_to_probe(conn, kind)?;
        // Of its patient alone what is stale is left out: of the others when their turn comes, or the kind opens.
        for _look in 0..LOOKS_MOST {
            let Some(found) = id.filter(|_| !latest.is_empty()) else { break };
            let patient = queue::place(conn, found)?.patient;
            if stale::supersede(conn, &self.destination, kind, Some(patient), latest, self.now)?.0 == 0 {
                break;
            }
            id = self.next_to_probe(conn, kind)?;
        }
        if let Some(id) = id {
            conn.prepare_cached(
                "INSERT INTO probe (destination, patient, at)
                 SELECT destination, patient, ?2 FROM outbox WHERE id = ?1
                 ON CONFLICT DO UPDATE SET at = excluded.at",
            )?
            .execute(params![id, self.now])?;
        }
        Ok(id.into_iter().collect())
    }

    fn next_to_probe(&self, conn: &Connection, kind: &str) -> rusqlite::Result<Option<i64>> {
        conn.prepare_cached(TO_PROBE)?.query_row([&self.destination, kind], |row| row.get(0)).optional()
    }

    /// Leases one row; where consent does not cover it, holds it instead; where its bytes are damaged, sets it aside and
    /// says so.
    fn take(&self, conn: &Connection, id: i64) -> Result<Option<LeasedRow>, WriteError> {
        let place = queue::place(conn, id)?;
        let passage = consent_rows::gate(conn, &place, self.now)?;
        if passage == Passage::Held {
            return Ok(None);
        }
        let passage = match intent::gate(conn, &place, self.now)? {
            Passage::Held => return Ok(None),
            Passage::LookOnly => Passage::LookOnly,
            Passage::Free => passage,
        };
        let Some(body) = queue::read_body(conn, id)? else {
            let reason = "the stored bytes do not match their hash";
            queue::quarantine(conn, &place, Note { reason: Some(reason), at: self.now, ..Note::default() })?;
            conditions::raise(conn, BODY_CORRUPT, &format!("row {id}"), &self.destination, self.now)?;
            stale::revive(conn, place.window_id, &place.destination, self.now)?;
            return Ok(None);
        };
        // What waits is superseded where it is overtaken; only what may have been written is looked for all the same.
        let overtaken = passage == Passage::LookOnly
            || (place.state == State::Ambiguous && queue::is_overtaken(conn, &place)?);
        queue::step(conn, &place, Step::Lease, Note { at: self.now, ..Note::default() })?;
        let suspect_since = standstill::suspect_since(conn, &place)?;
        let server = server::number(conn, &self.destination)?;
        let row = conn
            .prepare_cached(
                "UPDATE outbox SET attempts = attempts + 1, leased_at = ?2, server = ?3, spent = ?4,
                   doubt_since = coalesce(doubt_since, ?5), doubted = max(doubted, ?5 IS NOT NULL)
                 WHERE id = ?1
                 RETURNING kind, key, attempts, depends_on, created_at, form, doubt_since,
                   max(created_at, free_since, coalesce((SELECT max(ended_at) FROM standstill), 0))",
            )?
            .query_row(params![id, self.now, server, quota::receipt(&self.quotas), suspect_since], |row| {
                Ok(LeasedRow {
                    id,
                    patient: place.patient,
                    window_id: place.window_id,
                    version: place.version,
                    ambiguous: place.state == State::Ambiguous || suspect_since.is_some(),
                    overtaken,
                    kind: row.get(0)?,
                    key: row.get(1)?,
                    attempts: row.get(2)?,
                    depends_on: row.get(3)?,
                    created_at: row.get(4)?,
                    free_since: row.get(7)?,
                    form: row.get(5)?,
                    doubt_since: row.get(6)?,
                    sha256: body.sha256,
                    body: body.bytes,
                })
            })?;
        Ok(Some(row))
    }
}

/// States and priorities in the order in which their rows are taken.
fn order(upto: u8) -> impl Iterator<Item = (State, u8)> {
    let states = [State::Ambiguous, State::Pending].into_iter();
    states.flat_map(move |state| (0..=upto.min(PRIORITIES - 1)).map(move |priority| (state, priority)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{migrate, plan};

    #[test]
    fn leasing_walks_the_due_heads_in_order_and_nothing_else() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        for steps in [plan(&conn, DUE), plan(&conn, DUE_OF_ANY_KIND), plan(&conn, DUE_BEGINNING)] {
            assert!(steps[0].contains("SEARCH o USING"), "{steps:?}");
            let by = "INDEX outbox_due (destination=? AND state=? AND priority=? AND next_at<?)";
            assert!(steps[0].contains(by), "{steps:?}");
            // The only other step looks the dependency up by its number; nothing is sorted.
            assert!(
                steps.iter().all(|step| !step.contains("TEMP B-TREE") && !step.contains("SCAN")),
                "{steps:?}"
            );
            assert!(
                steps.iter().any(|step| step.contains("SEARCH d USING INTEGER PRIMARY KEY")),
                "{steps:?}"
            );
        }
    }

    #[test]
    fn probing_walks_the_deferred_heads_only() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        let steps = plan(&conn, TO_PROBE);
        assert!(steps[0].contains("INDEX outbox_due (destination=? AND state=?)"), "{steps:?}");
    }

    #[test]
    fn a_line_moves_up_without_walking_what_is_settled() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        let steps = plan(&conn, &queue::move_up_sql());
        let inner = steps
            .iter()
            .any(|step| step.contains("INDEX outbox_line (destination=? AND patient=? AND kind=?)"));
        assert!(inner && steps.iter().all(|step| !step.contains("SCAN outbox")), "{steps:?}");
    }
}
