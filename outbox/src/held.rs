//! What is held back of messages, as people look at it: entries of the quarantine and of the identity queue, with
//! the message each is about.
//!
//! A line stands for all entries of a message with one reason in one state: a message in which forty segments have
//! the same fault is one line with a count of forty, and so is a message that was sent and refused forty times.

use rusqlite::{Connection, Row, ToSql};

use crate::{error::ReadError, quarantine::EntryState};

/// Most reasons in a [`HeldSum`]: more are not looked at together by anybody.
const REASONS_MAX: usize = 10;

/// Which of the two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HeldKind {
    /// A message, or parts of it, could not be read.
    Message,
    /// Whose data it holds could not be told.
    Identity,
}

impl HeldKind {
    /// Its name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Identity => "identity",
        }
    }

    fn of(name: &str) -> Self {
        if name == Self::Identity.name() { Self::Identity } else { Self::Message }
    }
}

/// Which entries. What is absent does not choose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldFilter {
    /// Of one table.
    pub kind: Option<HeldKind>,
    /// Of one feed.
    pub source: Option<String>,
    /// Of one site.
    pub site: Option<String>,
    /// Of one stage; that of the identity queue is "identity".
    pub stage: Option<String>,
    /// Of this type, or a type that begins with it and `^`.
    pub message_kind: Option<String>,
    /// With this in their reason, whatever the case of ASCII letters.
    pub reason: Option<String>,
    /// Made at this time or later, in milliseconds.
    pub since: Option<i64>,
    /// Made before this time, in milliseconds.
    pub until: Option<i64>,
    /// Also those that were released, dropped or resolved.
    pub all: bool,
}

/// One line: entries of a message that say the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Of which table.
    pub kind: HeldKind,
    /// The message.
    pub inbox_id: i64,
    /// When the first of them was made, in milliseconds.
    pub at: i64,
    /// The feed.
    pub source: String,
    /// The site; empty where none.
    pub site: String,
    /// MSH-9 as it came.
    pub message_kind: String,
    /// Which step held it back.
    pub stage: String,
    /// Where in the message: the first place.
    pub place: String,
    /// Why.
    pub reason: String,
    /// Where they stand.
    pub state: EntryState,
    /// Since when, in milliseconds; `None` where open.
    pub state_at: Option<i64>,
    /// By whose doing.
    pub state_by: Option<String>,
    /// How many entries; one that was sent and refused several times counts as often.
    pub count: u64,
}

/// How much is held back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldSum {
    /// Messages.
    pub messages: u64,
    /// Entries, each as often as it was met.
    pub entries: u64,
    /// The commonest stages and reasons, with messages and entries of each.
    pub reasons: Vec<(String, String, u64, u64)>,
}

/// Both tables as one, with the message's own columns.
const BOTH: &str = "(
    SELECT 'message' AS kind, q.id, q.inbox_id, q.at, i.source, i.site, i.kind AS type, q.stage, q.place, q.reason,
      q.state, q.state_at, q.state_by, q.seen
    FROM quarantine q JOIN inbox i ON i.id = q.inbox_id
    UNION ALL
    SELECT 'identity', q.id, q.inbox_id, q.at, i.source, i.site, i.kind, 'identity', '', q.reason,
      q.state, q.state_at, q.state_by, 1
    FROM identity_queue q JOIN inbox i ON i.id = q.inbox_id)";

/// A condition and what stands for its question marks.
struct Where<'a> {
    sql: String,
    values: Vec<&'a dyn ToSql>,
}

impl<'a> Where<'a> {
    fn of(filter: &'a HeldFilter) -> Self {
        let mut found = Self { sql: "1 = 1".to_owned(), values: Vec::new() };
        if !filter.all {
            found.sql.push_str(" AND state = 'open'");
        }
        match filter.kind {
            Some(HeldKind::Message) => found.sql.push_str(" AND kind = 'message'"),
            Some(HeldKind::Identity) => found.sql.push_str(" AND kind = 'identity'"),
            None => {}
        }
        found.and("source = ?", filter.source.as_ref());
        found.and("site = ?", filter.site.as_ref());
        found.and("stage = ?", filter.stage.as_ref());
        found.and("instr(lower(reason), lower(?)) > 0", filter.reason.as_ref());
        found.and("instr(type || '^', ? || '^') = 1", filter.message_kind.as_ref());
        found.and("at >= ?", filter.since.as_ref());
        found.and("at < ?", filter.until.as_ref());
        found
    }

    fn and<T: ToSql>(&mut self, condition: &str, value: Option<&'a T>) {
        if let Some(value) = value {
            self.sql.push_str(" AND ");
            self.sql.push_str(condition);
            self.values.push(value);
        }
    }
}

pub(crate) fn newest(conn: &Connection, filter: &HeldFilter, limit: usize) -> Result<Vec<Held>, ReadError> {
    let mut chosen = Where::of(filter);
    // Beside one min(), bare columns are those of the row that has it: the first place in the message.
    let sql = format!(
        "SELECT kind, inbox_id, at, source, site, type, stage, place, reason, state, state_at, state_by,
           sum(seen), min(id)
         FROM {BOTH} WHERE {}
         GROUP BY kind, inbox_id, stage, reason, state ORDER BY 3 DESC, inbox_id DESC, stage, 14 LIMIT ?",
        chosen.sql
    );
    let limit = limit as i64;
    chosen.values.push(&limit);
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map(&*chosen.values, held_of)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn held_of(row: &Row<'_>) -> rusqlite::Result<Held> {
    Ok(Held {
        kind: HeldKind::of(row.get_ref(0)?.as_str()?),
        inbox_id: row.get(1)?,
        at: row.get(2)?,
        source: row.get(3)?,
        site: row.get(4)?,
        message_kind: row.get(5)?,
        stage: row.get(6)?,
        place: row.get(7)?,
        reason: row.get(8)?,
        state: EntryState::of(row.get_ref(9)?.as_str()?)?,
        state_at: row.get(10)?,
        state_by: row.get(11)?,
        count: row.get::<_, i64>(12)?.max(0) as u64,
    })
}

/// Every entry of one message, each for itself, in the order in which they were made.
pub(crate) fn of(conn: &Connection, inbox_id: i64, limit: usize) -> Result<Vec<Held>, ReadError> {
    let sql = format!(
        "SELECT kind, inbox_id, at, source, site, type, stage, place, reason, state, state_at, state_by, seen
         FROM {BOTH} WHERE inbox_id = ?1 ORDER BY at, kind DESC, id LIMIT ?2"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map([inbox_id, limit as i64], held_of)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(crate) fn sum(conn: &Connection, filter: &HeldFilter) -> Result<HeldSum, ReadError> {
    let chosen = Where::of(filter);
    let sql =
        format!("SELECT count(DISTINCT inbox_id), coalesce(sum(seen), 0) FROM {BOTH} WHERE {}", chosen.sql);
    let (messages, entries): (i64, i64) =
        conn.prepare_cached(&sql)?.query_row(&*chosen.values, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let sql = format!(
        "SELECT stage, reason, count(DISTINCT inbox_id), sum(seen) FROM {BOTH} WHERE {}
         GROUP BY stage, reason ORDER BY 4 DESC, 1, 2 LIMIT {REASONS_MAX}",
        chosen.sql
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map(&*chosen.values, |row| {
        Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)? as u64, row.get::<_, i64>(3)? as u64))
    })?;
    Ok(HeldSum {
        messages: messages as u64,
        entries: entries as u64,
        reasons: rows.collect::<Result<_, _>>()?,
    })
}

pub(crate) fn ids(
    conn: &Connection,
    filter: &HeldFilter,
    after: i64,
    limit: usize,
) -> Result<Vec<i64>, ReadError> {
    let mut chosen = Where::of(filter);
    let limit = limit as i64;
    let sql = format!(
        "SELECT DISTINCT inbox_id FROM {BOTH} WHERE {} AND inbox_id > ? ORDER BY inbox_id LIMIT ?",
        chosen.sql
    );
    chosen.values.push(&after);
    chosen.values.push(&limit);
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map(&*chosen.values, |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
