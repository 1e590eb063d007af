//! What waits in a form that is closed while another is open: its window is decided on anew.
//!
//! Invariants
//! - Nothing is moved here. The window becomes due, and who publishes decides; where its form has opened meanwhile, its rows
//!   go as they are.
//! - Only a window of which nothing was begun: nothing of it stands, or may stand, in any form of its chart. What is being
//!   sent is weighed once its verdict has put it back.
//! - A row is weighed once, and once more when it was touched since or the forms have changed, so that what no other form
//!   takes costs nothing while it waits. Each change of the forms is a round, whose number the row is marked with: none is
//!   unmarked for the next.
//! - Never what waits for consent, and never what a person wanted in its form.
//!
//! Numbers: at most [`WEIGH_MOST`] rows are weighed in a transaction, and none is read that is not; the index
//! `outbox_weighed` leads from form to form.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    command::{Command, Hot},
    consent_rows::NO_CONSENT,
    error::WriteError,
    listed,
    queue::WAITING,
    rows, windows,
};

/// Most rows weighed in one transaction, so that intake need not wait for it.
pub const WEIGH_MOST: usize = 512;

/// Which rows wait in a form that is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shut {
    /// Deferred ones of a kind.
    Kind(String),
    /// Those of a kind that wait at a receiver that stands still, deferred or not.
    Halted(String),
    /// Those in any other form, or of any other kind, than these: it is not listed any more.
    Unlisted {
        /// The forms that are listed.
        forms: Vec<String>,
        /// The kinds that are listed.
        kinds: Vec<String>,
    },
}

/// The command that has windows decided on anew. Returns how many rows were weighed, [`WEIGH_MOST`] where more may be left,
/// and of how many windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weigh {
    /// The queue.
    pub destination: String,
    /// Which of its rows.
    pub shut: Shut,
    /// Rows deferred for this reason are left: they are tried first.
    pub spared: Option<String>,
    /// The forms have changed: those that were weighed are weighed again, in a new round.
    pub anew: bool,
    /// The round goes on that an earlier command began: [`Weighed::round`].
    pub round: Option<i64>,
    /// Now, in milliseconds.
    pub at: i64,
}

/// What a [`Weigh`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weighed {
    /// Rows looked at.
    pub rows: usize,
    /// Windows that are due now because of them.
    pub windows: usize,
    /// The round, by which the next command goes on.
    pub round: i64,
}

/// The first form in which rows of a kind wait, from ?3 on or after it.
fn next_form(from: &str) -> String {
    format!(
        "SELECT form FROM outbox INDEXED BY outbox_weighed
         WHERE destination = ?1 AND kind = ?2 AND form {from} ?3 AND {WAITING} ORDER BY form LIMIT 1"
    )
}

/// The last round in which rows of a kind and form were weighed that wait still.
fn last_round() -> String {
    format!(
        "SELECT weighed FROM outbox INDEXED BY outbox_weighed
         WHERE destination = ?1 AND kind = ?2 AND form = ?3 AND {WAITING} ORDER BY weighed DESC LIMIT 1"
    )
}

/// Rows of a kind and form that were not weighed in round ?4: deferred ones alone where ?5 is so.
fn unweighed() -> String {
    format!(
        "SELECT id, window_id, reason FROM outbox INDEXED BY outbox_weighed
         WHERE destination = ?1 AND kind = ?2 AND form = ?3 AND weighed < ?4 AND {WAITING}
           AND (NOT ?5 OR state = 'deferred') AND (?6 IS NULL OR reason IS NOT ?6) LIMIT ?7"
    )
}

impl Command for Weigh {
    type Out = Weighed;

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Weighed, WriteError> {
        let shut = self.shut(conn)?;
        let round = self.round(conn, &shut)?;
        let deferred_only = matches!(self.shut, Shut::Kind(_));
        let (mut rows, mut due) = (0, BTreeSet::new());
        for (kind, form) in &shut {
            let room = (WEIGH_MOST - rows) as i64;
            let asked = params![self.destination, kind, form, round, deferred_only, self.spared, room];
            let found: Vec<(i64, i64, Option<String>)> = conn
                .prepare_cached(&unweighed())?
                .query_map(asked, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<Result<_, _>>()?;
            rows += found.len();
            for (id, window, reason) in found {
                conn.prepare_cached("UPDATE outbox SET weighed = ?2 WHERE id = ?1")?.execute([id, round])?;
                if reason.as_deref() != Some(NO_CONSENT)
                    && is_unbegun(conn, id, window, &self.destination)?
                    && due.insert(window)
                {
                    windows::touch(conn, window, self.at)?;
                }
            }
        }
        Ok(Weighed { rows, windows: due.len(), round })
    }
}

impl Weigh {
    /// The kinds and forms in which what is asked about waits; a Provenance goes with what it is about.
    fn shut(&self, conn: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
        let of = |kind: String| -> rusqlite::Result<Vec<(String, String)>> {
            let forms = forms(conn, &self.destination, &kind)?;
            Ok(forms.into_iter().map(|form| (kind.clone(), form)).collect())
        };
        match &self.shut {
            Shut::Kind(kind) | Shut::Halted(kind) => of(kind.clone()),
            Shut::Unlisted { forms, kinds } => {
                let mut shut = Vec::new();
                for kind in listed::waiting_kinds(conn, &self.destination)? {
                    if kind != PROVENANCE {
                        shut.extend(of(kind)?);
                    }
                }
                shut.retain(|(kind, form)| !kinds.contains(kind) || !forms.contains(form));
                Ok(shut)
            }
        }
    }

    /// The number of the round: what has a smaller one is weighed.
    fn round(&self, conn: &Connection, shut: &[(String, String)]) -> rusqlite::Result<i64> {
        if let Some(round) = self.round {
            return Ok(round);
        }
        let mut last = 0;
        if self.anew {
            let mut statement = conn.prepare_cached(&last_round())?;
            for (kind, form) in shut {
                let found =
                    statement.query_row([&self.destination, kind, form], |row| row.get(0)).optional()?;
                last = last.max(found.unwrap_or(0));
            }
        }
        Ok(last + 1)
    }
}

/// The kind of rows that say where others come from.
const PROVENANCE: &str = "Provenance";

/// The forms in which rows of a kind wait.
fn forms(conn: &Connection, destination: &str, kind: &str) -> rusqlite::Result<Vec<String>> {
    let first = |from: &str, form: &str| -> rusqlite::Result<Option<String>> {
        let mut statement = conn.prepare_cached(&next_form(from))?;
        statement.query_row([destination, kind, form], |row| row.get(0)).optional()
    };
    let mut forms = Vec::new();
    let mut next = first(">=", "")?;
    while let Some(form) = next {
        next = first(">", &form)?;
        forms.push(form);
    }
    Ok(forms)
}

/// Whether a row is of a window, wanted by no person, and nothing of that window stands, or may stand, in its chart.
fn is_unbegun(conn: &Connection, id: i64, window: i64, destination: &str) -> rusqlite::Result<bool> {
    let wanted = conn.prepare_cached("SELECT 1 FROM intent_row WHERE row_id = ?1")?.exists([id])?;
    if window == 0 || wanted {
        return Ok(false);
    }
    for one in rows::queues_of_chart(conn, window, destination)? {
        if rows::standing_version(conn, window, &one)?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{migrate, plan};

    #[test]
    fn only_what_a_round_has_not_weighed_is_read_and_nothing_is_sorted() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        let index = "INDEX outbox_weighed (destination=? AND kind=?";
        for (sql, by) in [
            (unweighed(), " AND form=? AND weighed<?)"),
            (last_round(), " AND form=?)"),
            (next_form(">"), " AND form>?)"),
        ] {
            let steps = plan(&conn, &sql);
            assert!(steps.len() == 1 && steps[0].contains(&format!("{index}{by}")), "{steps:?}");
        }
    }
}
