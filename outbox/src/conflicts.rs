//! Contradictions between feeds: two sources that say different things of one moment, or of one number of a summary; and
//! the summaries that others computed.
//!
//! Invariants: a contradiction is recorded once, however often it is found, and before the window that it was found in is
//! settled; one that a source has ended is `gone` and not deleted; what a person settled stays settled unless another
//! value comes in, which is another contradiction. What is told of them without being asked for holds no value.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    audit::{self, AuditEntry},
    command::{Command, Hot},
    error::{Conflict as Refused, ReadError, WriteError},
};

/// One side of a contradiction.
#[derive(Clone, PartialEq, Eq)]
pub struct Side {
    /// The message it came in; 0 for what this box computed.
    pub inbox_id: i64,
    /// The way in, in the caller's words.
    pub route: String,
    /// The value: patient data.
    pub value: String,
}

/// A contradiction as it is found.
#[derive(Clone, PartialEq, Eq)]
pub struct FoundConflict {
    /// The device, or the number of a summary that it is about.
    pub about: String,
    /// When it was measured, or the last day of the summary began (ms UTC).
    pub at: i64,
    /// What counts meanwhile.
    pub stands: Side,
    /// What does not.
    pub yields: Side,
}

/// All contradictions of a patient from `from` up to, not including, `to`.
pub struct Findings {
    /// The patient.
    pub patient: i64,
    /// `reading` or `summary`.
    pub kind: &'static str,
    /// What `about` ends in, of all that are meant; empty for all.
    pub ending: String,
    /// From when (ms UTC).
    pub from: i64,
    /// Until when.
    pub to: i64,
    /// Those found; what was open in that time and is not among them is gone.
    pub found: Vec<FoundConflict>,
    /// Now.
    pub now: i64,
}

/// A contradiction as it is kept. Its `Debug` shows no value.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptConflict {
    /// Its number.
    pub id: i64,
    /// The patient.
    pub patient: i64,
    /// `reading` or `summary`.
    pub kind: String,
    /// What was found.
    pub found: FoundConflict,
    /// `open`, `settled` or `gone`.
    pub state: String,
    /// When it was found first.
    pub since: i64,
    /// Who settled it, and what was said; empty where nobody did.
    pub note: String,
}

impl std::fmt::Debug for KeptConflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptConflict")
            .field("id", &self.id)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// A number of a CGM summary that somebody else computed. Its `Debug` shows no value.
#[derive(Clone, PartialEq, Eq)]
pub struct ForeignSummary {
    /// Under which identifier it came.
    pub patient: i64,
    /// Which number, as a LOINC code.
    pub code: String,
    /// First and last included date, `YYYY-MM-DD`.
    pub dates: (String, String),
    /// The number as stated: patient data.
    pub value: String,
    /// It was taken back.
    pub retracted: bool,
    /// When its source made it (ms UTC).
    pub made_at: i64,
    /// The message it came in.
    pub inbox_id: i64,
}

impl std::fmt::Debug for ForeignSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForeignSummary").field("code", &self.code).finish_non_exhaustive()
    }
}

/// Records what was found.
pub(crate) struct RecordFindings(pub Vec<Findings>);

impl Command for RecordFindings {
    type Out = ();

    fn bytes(&self) -> usize {
        self.0.iter().map(|of| of.found.len() * 128).sum()
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<(), WriteError> {
        Ok(self.0.iter().try_for_each(|findings| record(conn, findings))?)
    }
}

fn record(conn: &Connection, of: &Findings) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE conflict SET state = 'gone', state_at = ?5
         WHERE patient = ?1 AND kind = ?2 AND state = 'open' AND at >= ?3 AND at < ?4
           AND (?6 = '' OR substr(about, -length(?6)) = ?6)",
    )?
    .execute(params![of.patient, of.kind, of.from, of.to, of.now, of.ending])?;
    let mut insert = conn.prepare_cached(
        "INSERT INTO conflict (patient, kind, about, at, stands_id, stands_route, stands_value,
           yields_id, yields_route, yields_value, state, since, state_at, note)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'open', ?11, ?11, '')
         ON CONFLICT (patient, kind, about, at, stands_route, stands_value, yields_route, yields_value)
         DO UPDATE SET state = 'open', stands_id = excluded.stands_id, yields_id = excluded.yields_id
         WHERE state = 'gone'",
    )?;
    for FoundConflict { about, at, stands, yields } in &of.found {
        insert.execute(params![
            of.patient,
            of.kind,
            about,
            at,
            stands.inbox_id,
            stands.route,
            stands.value,
            yields.inbox_id,
            yields.route,
            yields.value,
            of.now
        ])?;
    }
    Ok(())
}

/// A person has looked at one. [`Refused::Missing`] where there is none, [`Refused::Edge`] where it is not open.
pub(crate) struct SettleConflict {
    pub id: i64,
    pub actor: String,
    pub note: String,
    pub at: i64,
}

impl Command for SettleConflict {
    type Out = ();

    fn bytes(&self) -> usize {
        self.note.len()
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<(), WriteError> {
        let mut statement = conn.prepare_cached("SELECT state FROM conflict WHERE id = ?1")?;
        let state: Option<String> = statement.query_row([self.id], |row| row.get(0)).optional()?;
        if state.ok_or(Refused::Missing)? != "open" {
            return Err(Refused::Edge.into());
        }
        conn.prepare_cached("UPDATE conflict SET state = 'settled', state_at = ?2, note = ?3 WHERE id = ?1")?
            .execute(params![self.id, self.at, format!("{}: {}", self.actor, self.note)])?;
        let entry = AuditEntry {
            actor: self.actor,
            action: "conflict settle".to_owned(),
            object: format!("conflict {}", self.id),
            detail: self.note,
            at: self.at,
        };
        audit::append(conn, &[entry])?;
        Ok(())
    }
}

/// Records summaries that others computed; the same one again is the same.
pub(crate) struct RecordSummaries(pub Vec<ForeignSummary>);

impl Command for RecordSummaries {
    type Out = ();

    fn bytes(&self) -> usize {
        self.0.len() * 96
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<(), WriteError> {
        let mut insert = conn.prepare_cached(
            "INSERT OR REPLACE INTO foreign_summary
               (patient, first_date, last_date, code, inbox_id, value, retracted, made_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        for it in &self.0 {
            let (first, last) = &it.dates;
            let (retracted, made_at) = (it.retracted, it.made_at);
            insert.execute(params![
                it.patient,
                first,
                last,
                it.code,
                it.inbox_id,
                it.value,
                retracted,
                made_at
            ])?;
        }
        Ok(())
    }
}

/// The summaries of a patient's identifier for these dates, the last that was made of each number.
pub(crate) fn summaries(
    conn: &Connection,
    patient: i64,
    (first, last): (&str, &str),
) -> Result<Vec<ForeignSummary>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT code, value, retracted, made_at, inbox_id FROM foreign_summary
         WHERE patient = ?1 AND first_date = ?2 AND last_date = ?3 ORDER BY code, made_at, retracted, inbox_id",
    )?;
    let rows = statement.query_map(params![patient, first, last], |row| {
        Ok(ForeignSummary {
            patient,
            code: row.get(0)?,
            dates: (first.to_owned(), last.to_owned()),
            value: row.get(1)?,
            retracted: row.get(2)?,
            made_at: row.get(3)?,
            inbox_id: row.get(4)?,
        })
    })?;
    let mut all: Vec<ForeignSummary> = rows.collect::<Result<_, _>>()?;
    all.reverse();
    all.dedup_by(|a, b| a.code == b.code);
    all.retain(|it| !it.retracted);
    Ok(all)
}

const COLUMNS: &str =
    "id, patient, kind, about, at, stands_id, stands_route, stands_value, yields_id, yields_route,
    yields_value, state, since, note";

fn kept(row: &Row<'_>) -> rusqlite::Result<KeptConflict> {
    let side = |at: usize| -> rusqlite::Result<Side> {
        Ok(Side { inbox_id: row.get(at)?, route: row.get(at + 1)?, value: row.get(at + 2)? })
    };
    let found = FoundConflict { about: row.get(3)?, at: row.get(4)?, stands: side(5)?, yields: side(8)? };
    Ok(KeptConflict {
        id: row.get(0)?,
        patient: row.get(1)?,
        kind: row.get(2)?,
        found,
        state: row.get(11)?,
        since: row.get(12)?,
        note: row.get(13)?,
    })
}

pub(crate) fn by_id(conn: &Connection, id: i64) -> Result<Option<KeptConflict>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM conflict WHERE id = ?1");
    Ok(conn.prepare_cached(&sql)?.query_row([id], kept).optional()?)
}

/// The newest, those that are open alone or all.
pub(crate) fn newest(conn: &Connection, all: bool, limit: usize) -> Result<Vec<KeptConflict>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM conflict WHERE ?1 OR state = 'open' ORDER BY id DESC LIMIT ?2");
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map(params![all, limit as i64], kept)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How many are open, and since when the first of them is.
pub(crate) fn open(conn: &Connection) -> Result<(u64, Option<i64>), ReadError> {
    let mut statement =
        conn.prepare_cached("SELECT count(*), min(since) FROM conflict WHERE state = 'open'")?;
    Ok(statement.query_row([], |row| Ok((row.get::<_, i64>(0)?.max(0) as u64, row.get(1)?)))?)
}

/// Whether a patient has an open one in a time.
pub(crate) fn any_open(conn: &Connection, patient: i64, from: i64, to: i64) -> Result<bool, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT 1 FROM conflict WHERE patient = ?1 AND state = 'open' AND at >= ?2 AND at < ?3 LIMIT 1",
    )?;
    Ok(statement.exists(params![patient, from, to])?)
}
