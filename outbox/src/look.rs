//! Looking for rows of the outbox as people ask for them, and at what a row waits for. Nothing is touched.
//!
//! A list walks the rows from the newest on until it is full; how many there are in all is told by the counts that the
//! store keeps, and where more than state and destination chooses, by a walk over all of them: about a second for a million
//! rows, for a person who asked.

use rusqlite::{Connection, OptionalExtension, params_from_iter, types::Value};

use crate::{
    error::ReadError,
    queue::State,
    rows::{self, OutboxRow},
};

/// Which rows; what is absent does not choose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowFilter {
    /// In this state.
    pub state: Option<State>,
    /// Of this destination.
    pub destination: Option<String>,
    /// Of patients of this site.
    pub site: Option<String>,
    /// Of these numbers of patients, where any are named.
    pub patients: Vec<i64>,
    /// Of this window.
    pub window: Option<i64>,
    /// Those before this number.
    pub before: Option<i64>,
    /// Most of them.
    pub limit: usize,
}

impl RowFilter {
    /// The condition, and what it names, `before` aside.
    fn condition(&self) -> (String, Vec<Value>) {
        let (mut parts, mut named) = (vec!["1".to_owned()], Vec::new());
        let mut put = |part: &str, value: Value| {
            named.push(value);
            parts.push(part.replace('?', &format!("?{}", named.len())));
        };
        if let Some(state) = self.state {
            put("o.state = ?", state.name().to_owned().into());
        }
        if let Some(destination) = &self.destination {
            put("o.destination = ?", destination.clone().into());
        }
        if let Some(site) = &self.site {
            put("o.patient IN (SELECT id FROM patient WHERE site = ?)", site.clone().into());
        }
        if let Some(window) = self.window {
            put("o.window_id = ?", window.into());
        }
        let mut condition = parts.join(" AND ");
        if !self.patients.is_empty() {
            // Numbers, and no text of anybody's.
            let numbers: Vec<String> = self.patients.iter().map(i64::to_string).collect();
            condition += &format!(" AND o.patient IN ({})", numbers.join(", "));
        }
        (condition, named)
    }

    fn is_counted(&self) -> bool {
        self.site.is_none() && self.patients.is_empty() && self.window.is_none()
    }
}

/// The newest rows that are asked for, and how many there are in all, `before` and `limit` aside.
pub(crate) fn find(conn: &Connection, filter: &RowFilter) -> Result<(Vec<OutboxRow>, u64), ReadError> {
    let (condition, mut named) = filter.condition();
    let total = match filter.is_counted() {
        true => counted(conn, filter)?,
        false => conn
            .prepare_cached(&format!("SELECT count(*) FROM outbox o WHERE {condition}"))?
            .query_row(params_from_iter(&named), |row| row.get::<_, i64>(0))?,
    };
    named.push(filter.before.unwrap_or(i64::MAX).into());
    named.push((filter.limit as i64).into());
    let sql = format!(
        "{} o WHERE {condition} AND o.id < ?{} ORDER BY o.id DESC LIMIT ?{}",
        rows::ROW,
        named.len() - 1,
        named.len()
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let found = statement.query_map(params_from_iter(&named), rows::row_of)?;
    Ok((found.collect::<Result<_, _>>()?, total.max(0) as u64))
}

fn counted(conn: &Connection, filter: &RowFilter) -> rusqlite::Result<i64> {
    conn.prepare_cached(
        "SELECT coalesce(sum(number), 0) FROM outbox_count
         WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR destination = ?2)",
    )?
    .query_row((filter.state.map(State::name), &filter.destination), |row| row.get(0))
}

/// What was decided of a version of a window at a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The version.
    pub version: i64,
    /// `write`, `fallback`, `defer`, `show` or `suppress`.
    pub decision: String,
    /// The form in which it is written, where it is.
    pub form: String,
    /// Why so, and why not in the preferred form.
    pub reason: String,
    /// When, in milliseconds.
    pub at: i64,
}

/// The last decisions on a window at a destination, the newest first.
pub(crate) fn decided(
    conn: &Connection,
    window_id: i64,
    destination: &str,
    limit: usize,
) -> Result<Vec<Decided>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT version, decision, form, reason, at FROM decision WHERE window_id = ?1 AND destination = ?2
         ORDER BY id DESC LIMIT ?3",
    )?;
    let found = statement.query_map((window_id, destination, limit as i64), |row| {
        Ok(Decided {
            version: row.get(0)?,
            decision: row.get(1)?,
            form: row.get(2)?,
            reason: row.get(3)?,
            at: row.get(4)?,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Where a row stands in its line, and what it hangs on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queued {
    /// The first of its line (destination, patient, kind), where that is another row: its number and state.
    pub behind: Option<(i64, String)>,
    /// The row that must be delivered first, where it is not yet: its number and state.
    pub needs: Option<(i64, String)>,
    /// Its priority: rows of a smaller number go first.
    pub priority: u8,
    /// Since when nobody knows whether it happened, in milliseconds.
    pub doubt_since: Option<i64>,
    /// The intent that it is of.
    pub intent: Option<i64>,
}

/// As [`Queued`] says; empty where there is no such row.
pub(crate) fn queued(conn: &Connection, row_id: i64) -> Result<Queued, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT h.id, h.state, d.id, d.state, o.priority, o.doubt_since, i.intent
         FROM outbox o
         LEFT JOIN outbox h ON h.destination = o.destination AND h.patient = o.patient AND h.kind = o.kind
           AND h.head = 1 AND h.id <> o.id AND o.state IN ('pending', 'deferred', 'ambiguous', 'leased')
         LEFT JOIN outbox d ON d.id = o.depends_on AND d.state <> 'delivered'
         LEFT JOIN intent_row i ON i.row_id = o.id
         WHERE o.id = ?1",
    )?;
    let other = |row: &rusqlite::Row<'_>, at: usize| -> rusqlite::Result<Option<(i64, String)>> {
        Ok(row.get::<_, Option<i64>>(at)?.zip(row.get(at + 1)?))
    };
    let found = statement.query_row([row_id], |row| {
        Ok(Queued {
            behind: other(row, 0)?,
            needs: other(row, 2)?,
            priority: row.get(4)?,
            doubt_since: row.get(5)?,
            intent: row.get(6)?,
        })
    });
    Ok(found.optional()?.unwrap_or_default())
}

/// Something that stands at a destination because a row wrote it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Our identifier for it.
    pub identifier: String,
    /// Where the receiver keeps it: patient data, for an id may be made of anything. Empty where nobody knows.
    pub location: String,
    /// The row that wrote it last.
    pub row_id: i64,
    /// When, in milliseconds.
    pub at: i64,
}

/// What stands under these identifiers at a destination, and what a row wrote last under any.
pub(crate) fn places(
    conn: &Connection,
    destination: &str,
    identifiers: &[&str],
    row_id: i64,
) -> Result<Vec<Place>, ReadError> {
    let place = |row: &rusqlite::Row<'_>| {
        Ok(Place { identifier: row.get(0)?, location: row.get(1)?, row_id: row.get(2)?, at: row.get(3)? })
    };
    let mut by_row = conn.prepare_cached(
        "SELECT identifier, location, row_id, at FROM written WHERE row_id = ?1 AND destination = ?2",
    )?;
    let mut found: Vec<Place> = by_row.query_map((row_id, destination), place)?.collect::<Result<_, _>>()?;
    let mut by_name = conn.prepare_cached(
        "SELECT identifier, location, row_id, at FROM written WHERE destination = ?1 AND identifier = ?2",
    )?;
    for identifier in identifiers {
        if found.iter().all(|known| known.identifier != *identifier) {
            found.extend(by_name.query_row((destination, identifier), place).optional()?);
        }
    }
    Ok(found)
}
