//! What waits in a form that is closed while another is open: its window is decided on anew.
//!
//! Invariants
//! - Nothing is moved here. The window becomes due, and who publishes decides; where its form has opened meanwhile, its rows
//!   go as they are.
//! - Only a window of which nothing was begun: nothing of it stands, or may stand, in any form of its chart. What is being
//!   sent is weighed once its verdict has put it back.
//! - A row is weighed once, and once more when it was touched since or the forms have changed, so that what no other form
//!   takes costs nothing while it waits.
//! - Never what waits for consent, and never what a person wanted in its form.
//!
//! Numbers: at most [`WEIGH_MOST`] rows in a transaction.

use std::{collections::BTreeSet, iter};

use rusqlite::{Connection, ToSql};

use crate::{
    command::{Command, Hot},
    consent_rows::NO_CONSENT,
    error::WriteError,
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
    /// The forms have changed: those that were weighed are weighed again.
    pub anew: bool,
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
}

/// Deferred rows of a kind.
const OF_KIND: &str = "destination = ?1 AND kind = ?2 AND state = 'deferred'";
/// Rows of a kind that wait.
const HALTED: &str = "destination = ?1 AND kind = ?2 AND state IN ('pending', 'deferred')";
/// Rows that wait in another form than so many, or of another kind; a Provenance goes with what it is about.
fn unlisted(forms: usize, kinds: usize) -> String {
    let places = |from: usize, many: usize| {
        (from..from + many).map(|place| format!("?{place}")).collect::<Vec<_>>().join(", ")
    };
    let (forms, kinds) = (places(2, forms), places(2 + forms, kinds));
    format!(
        "destination = ?1 AND state IN ('pending', 'deferred') AND (form NOT IN ({forms}) OR kind NOT IN ({kinds}))
         AND kind <> 'Provenance'"
    )
}

impl Command for Weigh {
    type Out = Weighed;

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Weighed, WriteError> {
        let (which, names) = match &self.shut {
            Shut::Kind(kind) => (OF_KIND.to_owned(), vec![kind]),
            Shut::Halted(kind) => (HALTED.to_owned(), vec![kind]),
            Shut::Unlisted { forms, kinds } => {
                (unlisted(forms.len(), kinds.len()), forms.iter().chain(kinds).collect())
            }
        };
        let names = names.into_iter().map(|name| name as &dyn ToSql);
        let mut of: Vec<&dyn ToSql> = iter::once(&self.destination as &dyn ToSql).chain(names).collect();
        if self.anew {
            conn.prepare_cached(&format!("UPDATE outbox SET weighed = 0 WHERE {which} AND weighed = 1"))?
                .execute(of.as_slice())?;
        }
        let (spared, limit) = (of.len() + 1, of.len() + 2);
        let most = WEIGH_MOST as i64;
        of.extend([&self.spared as &dyn ToSql, &most]);
        let found: Vec<(i64, i64, Option<String>)> = conn
            .prepare_cached(&format!(
                "SELECT id, window_id, reason FROM outbox WHERE {which} AND weighed = 0
                 AND (?{spared} IS NULL OR reason IS NOT ?{spared}) ORDER BY id LIMIT ?{limit}"
            ))?
            .query_map(of.as_slice(), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        let (rows, mut due) = (found.len(), BTreeSet::new());
        for (id, window, reason) in found {
            conn.prepare_cached("UPDATE outbox SET weighed = 1 WHERE id = ?1")?.execute([id])?;
            if reason.as_deref() != Some(NO_CONSENT)
                && is_unbegun(conn, id, window, &self.destination)?
                && due.insert(window)
            {
                windows::touch(conn, window, self.at)?;
            }
        }
        Ok(Weighed { rows, windows: due.len() })
    }
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
    fn what_was_weighed_is_not_walked_again() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        let steps =
            plan(&conn, &format!("SELECT id FROM outbox WHERE {OF_KIND} AND weighed = 0 ORDER BY id"));
        assert!(steps[0].contains("INDEX outbox_unweighed (destination=? AND kind=?)"), "{steps:?}");
        assert!(steps.iter().all(|step| !step.contains("TEMP B-TREE")), "{steps:?}");
    }
}
