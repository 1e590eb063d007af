//! Recording what became of a due window: a version with its rows, an outcome that is kept and not written, or
//! no change.
//!
//! Invariants: nothing is recorded unless the window stands where the outcome was computed from; a version is
//! never overwritten, only followed; unsent rows of earlier versions are superseded in the same transaction; an outcome
//! is stored once, with its version, or on its window where it is none.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    audit::{self, AuditEntry},
    command::{Command, Hot},
    conditions::{self, Condition},
    consent_chain::RECORDED,
    error::{Conflict, ReadError, WriteError},
    intent,
    manifest::Manifest,
    packed,
    queue::{self, Note, State, Step},
    rows, stale,
    windows::{self, Window},
};

/// What was decided about a version at one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The destination.
    pub destination: String,
    /// Write, defer, suppress and so on, as the broker names it.
    pub decision: String,
    /// Why.
    pub reason: String,
    /// The shape in which it is written, now or later; empty where it is not.
    pub form: String,
    /// What becomes of what an earlier version has not sent yet.
    pub earlier: Earlier,
}

/// What becomes of what an earlier version has not sent to a destination yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Earlier {
    /// The new version takes its place.
    #[default]
    Superseded,
    /// The same, in another form, because its own is closed.
    Moved,
    /// It is still to be sent: part of that version stands, and the new one cannot take its place.
    Kept,
}

impl Earlier {
    /// Why it is superseded; `None` where it is not.
    const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Superseded => Some("a later version was published"),
            Self::Moved => Some("its form is closed, and it is written in another"),
            Self::Kept => None,
        }
    }
}

/// A new effect at a destination. Patient, window and version are those of the publishing command.
#[derive(Clone)]
pub struct NewRow {
    /// The destination.
    pub destination: String,
    /// What is sent, in the destination's words, for example "bundle" or "provenance".
    pub kind: String,
    /// The effect's identity: a second row with the same key is refused.
    pub key: [u8; 32],
    /// Place, in this command's list, of the row that must be delivered first; an earlier one of the same
    /// destination.
    pub depends_on: Option<usize>,
    /// The shape of what is sent, in the caller's words.
    pub form: String,
    /// Rows of a smaller number go first, below [`crate::PRIORITIES`].
    pub priority: u8,
    /// How it enters the queue.
    pub enters: Enters,
    /// The bytes to send.
    pub body: Vec<u8>,
}

/// How a row enters the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enters {
    /// To be sent.
    Pending,
    /// It may not be sent at present: why.
    Deferred(String),
    /// To be looked at, and never sent.
    Shown,
}

/// What became of a due window.
pub enum Outcome {
    /// The same as before.
    Unchanged,
    /// Computed, kept, and not written.
    Computed {
        /// The outcome.
        outcome_json: String,
        /// Its messages.
        manifest: Manifest,
        /// Why it is written nowhere: kept with the version that it would have become, unless that was the last that was
        /// decided of it.
        decisions: Vec<Decision>,
    },
    /// A new version.
    Version {
        /// Its number, above the one in force.
        version: i64,
        /// Hash of what it displays.
        display_hash: [u8; 32],
        /// The outcome.
        outcome_json: String,
        /// Its messages.
        manifest: Manifest,
        /// Its effects, each after those it depends on.
        rows: Vec<NewRow>,
        /// What was decided at each destination.
        decisions: Vec<Decision>,
        /// The version that stood, or may have stood, at each destination when the rows were made; where that
        /// has changed since, the rows say something wrong and nothing is done.
        standing: Vec<(String, Option<i64>)>,
        /// What people are asked to do about it.
        conditions: Vec<Condition>,
    },
    /// It was published and has no readings left: what is not sent yet must not be sent.
    Withdrawn {
        /// The condition raised and what people have to do, where a version stands at a destination.
        condition: Option<(String, String)>,
    },
    /// It could not be computed; it is tried again later.
    Postponed {
        /// When, in milliseconds.
        until: i64,
    },
}

/// The command that clears a due window.
pub struct Publish {
    /// The window.
    pub window_id: i64,
    /// The version it was read with.
    pub expected_version: i64,
    /// The generation it was read with.
    pub expected_generation: i64,
    /// What became of it.
    pub result: Outcome,
    /// Now, in milliseconds.
    pub at: i64,
}

/// A [`Publish`] with the block to store for its outcome, where there is one.
pub(crate) struct Prepared {
    publish: Publish,
    block: Option<Vec<u8>>,
}

impl Prepared {
    /// Packs the outcome, so that the writer need not.
    pub(crate) fn new(publish: Publish) -> Self {
        let block = match &publish.result {
            Outcome::Computed { outcome_json, .. } | Outcome::Version { outcome_json, .. } => {
                packed::pack_file(outcome_json.as_bytes())
            }
            Outcome::Unchanged | Outcome::Withdrawn { .. } | Outcome::Postponed { .. } => None,
        };
        Self { publish, block }
    }
}

/// Several at once, so that they share a turn of the writer.
pub(crate) struct PublishAll(pub Vec<Prepared>);

impl Command for PublishAll {
    type Out = ();

    fn bytes(&self) -> usize {
        self.0.iter().map(Command::bytes).sum()
    }

    fn apply(self, conn: &Connection, hot: &mut Hot) -> Result<(), WriteError> {
        self.0.into_iter().try_for_each(|publish| publish.apply(conn, hot).map(|_ids| ()))
    }
}

/// The bytes of an outcome to store, and how many it has unpacked.
struct Body<'a> {
    stored: &'a [u8],
    bytes: i64,
}

impl<'a> Body<'a> {
    fn of(outcome: &'a str, block: Option<&'a [u8]>) -> Self {
        Self { stored: block.unwrap_or(outcome.as_bytes()), bytes: outcome.len() as i64 }
    }
}

impl Command for Prepared {
    type Out = Vec<i64>;

    fn bytes(&self) -> usize {
        let stored = |outcome: &String| self.block.as_ref().map_or(outcome.len(), Vec::len);
        match &self.publish.result {
            Outcome::Unchanged | Outcome::Withdrawn { .. } | Outcome::Postponed { .. } => 0,
            Outcome::Computed { outcome_json, manifest, .. } => stored(outcome_json) + manifest.body.len(),
            Outcome::Version { outcome_json, manifest, rows, .. } => {
                let rows: usize = rows.iter().map(|row| row.body.len()).sum();
                stored(outcome_json) + manifest.body.len() + rows
            }
        }
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Vec<i64>, WriteError> {
        let Self { publish, block } = self;
        publish.apply(block.as_deref(), conn)
    }
}

impl Publish {
    fn apply(self, block: Option<&[u8]>, conn: &Connection) -> Result<Vec<i64>, WriteError> {
        let window = windows::by_id(conn, self.window_id)?.ok_or(Conflict::Missing)?;
        if window.version != self.expected_version || window.generation != self.expected_generation {
            return Err(Conflict::Window.into());
        }
        conn.prepare_cached(
            "UPDATE outcome_window SET due_at = NULL, dirty_since = NULL, computed_at = ?2 WHERE id = ?1",
        )?
        .execute(params![window.id, self.at])?;
        match self.result {
            Outcome::Unchanged => Ok(Vec::new()),
            Outcome::Computed { outcome_json, manifest, decisions } => {
                keep(conn, window.id, Some(&Body::of(&outcome_json, block)), &manifest, self.at)?;
                let news = decisions.iter().filter_map(|made| {
                    let known = is_last_decision(conn, window.id, window.next_version, made);
                    known.map(|known| (!known).then_some(made)).transpose()
                });
                let news: Vec<&Decision> = news.collect::<Result<_, _>>()?;
                decide(conn, window.id, window.next_version, news, self.at)?;
                Ok(Vec::new())
            }
            Outcome::Postponed { until } => {
                conn.prepare_cached("UPDATE outcome_window SET due_at = ?2, dirty_since = ?3 WHERE id = ?1")?
                    .execute(params![window.id, until, self.at])?;
                Ok(Vec::new())
            }
            Outcome::Withdrawn { condition } => {
                // The same numbers, should they come back, are a new version.
                conn.prepare_cached("UPDATE outcome_window SET display_hash = NULL WHERE id = ?1")?
                    .execute([window.id])?;
                let why = |_: &str| Some("every reading was taken back");
                if supersede(conn, window.id, i64::MAX, why, self.at)? > 0 {
                    revive_before(conn, window.id, self.at)?;
                }
                if let Some((name, detail)) = condition {
                    conditions::raise(conn, &name, &format!("window {}", window.id), &detail, self.at)?;
                }
                Ok(Vec::new())
            }
            Outcome::Version {
                version,
                display_hash,
                outcome_json,
                manifest,
                rows,
                decisions,
                standing,
                conditions: asked,
            } => {
                if version <= window.version {
                    return Err(Conflict::Version.into());
                }
                for (destination, expected) in &standing {
                    let standing = rows::standing_version(conn, window.id, destination)?;
                    if standing.map(|standing| standing.version) != *expected {
                        return Err(Conflict::Window.into());
                    }
                }
                keep(conn, window.id, None, &manifest, self.at)?;
                let outcome = Body::of(&outcome_json, block);
                let kept = Kept { version, display_hash, outcome, manifest: &manifest.id };
                record(conn, window.id, &kept, self.at)?;
                decide(conn, window.id, version, &decisions, self.at)?;
                ask(conn, &asked, self.at)?;
                let earlier = |destination: &str| {
                    let made = |made: &&Decision| queue::is_one_chart(&made.destination, destination);
                    decisions.iter().find(made).map_or(Earlier::default(), |made| made.earlier).reason()
                };
                let superseded = supersede(conn, window.id, version, earlier, self.at)?;
                intent::give_up_own(conn, window.id, self.at)?;
                let ids = enqueue(conn, &window, version, &rows, self.at)?;
                if superseded > 0 {
                    revive_before(conn, window.id, self.at)?;
                }
                Ok(ids)
            }
        }
    }
}

/// Keeps the manifest on the window, and the outcome that is no version.
fn keep(
    conn: &Connection,
    window_id: i64,
    outcome: Option<&Body<'_>>,
    manifest: &Manifest,
    at: i64,
) -> Result<(), WriteError> {
    manifest.keep(conn, at)?;
    conn.prepare_cached(
        "UPDATE outcome_window SET outcome = ?2, outcome_bytes = ?3, manifest = ?4 WHERE id = ?1",
    )?
    .execute(params![
        window_id,
        outcome.map(|outcome| outcome.stored),
        outcome.map(|outcome| outcome.bytes),
        manifest.id
    ])?;
    Ok(())
}

struct Kept<'a> {
    version: i64,
    display_hash: [u8; 32],
    outcome: Body<'a>,
    manifest: &'a str,
}

/// Makes the version the one in force and appends it to the history.
fn record(conn: &Connection, window_id: i64, kept: &Kept<'_>, at: i64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE outcome_window SET version = ?2, display_hash = ?3,
           first_published_at = coalesce(first_published_at, ?4) WHERE id = ?1",
    )?
    .execute(params![window_id, kept.version, kept.display_hash, at])?;
    conn.prepare_cached(&format!(
        "INSERT INTO published_version (window_id, version, display_hash, outcome_bytes, outcome, manifest, at,
           consent) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, {RECORDED})"
    ))?
    .execute(params![
        window_id,
        kept.version,
        kept.display_hash,
        kept.outcome.bytes,
        kept.outcome.stored,
        kept.manifest,
        at
    ])?;
    Ok(())
}

/// Raises what people are asked to do, and writes down that they were.
fn ask(conn: &Connection, asked: &[Condition], at: i64) -> Result<(), WriteError> {
    let told = asked.iter().map(|one| AuditEntry {
        actor: "isthmus".to_owned(),
        action: format!("{} raised", one.name),
        object: one.scope.clone(),
        detail: one.detail.clone(),
        at,
    });
    for one in asked {
        conditions::raise(conn, &one.name, &one.scope, &one.detail, one.since)?;
    }
    Ok(audit::append(conn, &told.collect::<Vec<_>>())?)
}

/// Whether this was the last that was decided of a version at a destination: a window that is computed often and written
/// nowhere says why once.
fn is_last_decision(
    conn: &Connection,
    window_id: i64,
    version: i64,
    made: &Decision,
) -> rusqlite::Result<bool> {
    let last: Option<(String, String)> = conn
        .prepare_cached(
            "SELECT decision, reason FROM decision WHERE window_id = ?1 AND version = ?2 AND destination = ?3
             ORDER BY id DESC LIMIT 1",
        )?
        .query_row(params![window_id, version, made.destination], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(last.is_some_and(|(decision, reason)| decision == made.decision && reason == made.reason))
}

fn decide<'a>(
    conn: &Connection,
    window_id: i64,
    version: i64,
    decisions: impl IntoIterator<Item = &'a Decision>,
    at: i64,
) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO decision (window_id, version, destination, decision, reason, form, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for made in decisions {
        insert.execute(params![
            window_id,
            version,
            made.destination,
            made.decision,
            made.reason,
            made.form,
            at
        ])?;
    }
    Ok(())
}

/// Supersedes what earlier versions have not sent yet, at every destination: where a later version is not
/// written for want of consent, the earlier one must not be written in its place. `reason` says why at a destination, and
/// `None` where they are left alone. Returns how many there were.
pub(crate) fn supersede<'a>(
    conn: &Connection,
    window_id: i64,
    version: i64,
    reason: impl Fn(&str) -> Option<&'a str>,
    at: i64,
) -> Result<usize, WriteError> {
    let earlier: Vec<(i64, String)> = conn
        .prepare_cached(
            "SELECT id, destination FROM outbox WHERE window_id = ?1 AND version < ?2
             AND state IN ('pending', 'deferred') ORDER BY id",
        )?
        .query_map(params![window_id, version], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut gone = 0;
    for (id, destination) in earlier {
        let Some(reason) = reason(&destination) else { continue };
        let note = Note { reason: Some(reason), at, ..Note::default() };
        queue::step(conn, &queue::place(conn, id)?, Step::Supersede, note)?;
        gone += 1;
    }
    Ok(gone)
}

/// What earlier windows had left out for this one, where nothing of it is to be written any more.
fn revive_before(conn: &Connection, window_id: i64, at: i64) -> Result<(), WriteError> {
    let destinations: Vec<String> = conn
        .prepare_cached(
            "SELECT DISTINCT destination FROM outbox WHERE window_id = ?1 AND state = 'superseded'",
        )?
        .query_map([window_id], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for destination in destinations {
        stale::revive(conn, window_id, &destination, at)?;
    }
    Ok(())
}

/// Appends the version's rows to their lines.
fn enqueue(
    conn: &Connection,
    window: &Window,
    version: i64,
    rows: &[NewRow],
    at: i64,
) -> Result<Vec<i64>, WriteError> {
    let mut ids: Vec<i64> = Vec::with_capacity(rows.len());
    for row in rows {
        let depends_on = match row.depends_on {
            None => None,
            Some(place) => match (ids.get(place), rows.get(place)) {
                (Some(id), Some(above)) if above.destination == row.destination => Some(*id),
                _ => return Err(Conflict::Dependency.into()),
            },
        };
        let (state, reason) = match &row.enters {
            Enters::Pending => (State::Pending, None),
            Enters::Deferred(reason) => (State::Deferred, Some(reason)),
            Enters::Shown => (State::Shown, None),
        };
        let settled_at = state.is_settled().then_some(at);
        let known = conn.prepare_cached("SELECT 1 FROM outbox WHERE key = ?1")?.exists(params![row.key])?;
        if known {
            return Err(Conflict::EffectKey.into());
        }
        let id = conn
            .prepare_cached(&format!(
                "INSERT INTO outbox (destination, patient, window_id, version, kind, key, depends_on, state,
                   head, reason, next_at, created_at, form, priority, settled_at, consent)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?10, ?10, ?11, ?12, ?13, {RECORDED})"
            ))?
            .insert(params![
                row.destination,
                window.key.patient,
                window.id,
                version,
                row.kind,
                row.key,
                depends_on,
                state.name(),
                reason,
                at,
                row.form,
                row.priority,
                settled_at
            ])?;
        queue::write_body(conn, id, &row.body)?;
        queue::move_up(conn, &row.destination, window.key.patient, &row.kind)?;
        ids.push(id);
    }
    Ok(ids)
}

/// The outcome of a published version of a window, as its maker wrote it.
pub(crate) fn outcome_of(
    conn: &Connection,
    window_id: i64,
    version: i64,
) -> Result<Option<String>, ReadError> {
    let sql = "SELECT outcome_bytes, outcome FROM published_version
               WHERE window_id = ?1 AND version = ?2 AND removed_at IS NULL";
    let text = |row: &rusqlite::Row<'_>| windows::outcome_text(row, 0);
    Ok(conn.prepare_cached(sql)?.query_row([window_id, version], text).optional()?)
}

/// The hash of what a published version of a window displays.
pub(crate) fn display_hash_of(
    conn: &Connection,
    window_id: i64,
    version: i64,
) -> Result<Option<[u8; 32]>, ReadError> {
    let sql = "SELECT display_hash FROM published_version WHERE window_id = ?1 AND version = ?2";
    Ok(conn.prepare_cached(sql)?.query_row([window_id, version], |row| row.get(0)).optional()?)
}
