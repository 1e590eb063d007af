//! What waits in a form, or of a kind, that a site's file does not list any more, and what is listed again.
//!
//! Invariants
//! - What the file does not list goes nowhere by itself, so it waits for a reason that says so, whatever it waited for
//!   before; but what waits for something other than the mode (consent, a person) goes on waiting for that.
//! - While it is not listed its line passes it (`queue`). Listed again it waits for what holds its kind, or goes.
//! - What is in doubt stays so: it is told to people, for nothing looks for it.
//!
//! The index `outbox_waiting` leads from kind to kind, so where nothing is to be moved next to nothing is read.

use rusqlite::{Connection, OptionalExtension, ToSql, params};

use crate::{
    command::{Command, Hot},
    error::WriteError,
    queue::{State, Step, WAITING},
};

/// Why nobody looks for a row in doubt.
const NOT_LISTED: &str = "the site's file does not list its form, or its kind of resource, any more";

/// The command that brings what waits at a destination in line with what its site's file lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enlist {
    /// The queue.
    pub destination: String,
    /// Rows of this kind alone, of a queue that several sites share; `None` are all rows.
    pub only: Option<String>,
    /// The kinds that are listed, each with the reason that holds it now.
    pub kinds: Vec<(String, Option<String>)>,
    /// The forms that are listed.
    pub forms: Vec<String>,
    /// The reasons for which the mode holds rows.
    pub by_mode: Vec<String>,
    /// The reason of what is not listed.
    pub unlisted: String,
    /// Now, in milliseconds.
    pub at: i64,
}

/// What an [`Enlist`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enlisted {
    /// Rows that wait for their kind or form to be listed, from now on.
    pub unlisted: usize,
    /// Rows that are listed again.
    pub listed: usize,
    /// Rows in doubt that are not listed.
    pub in_doubt: Vec<i64>,
}

impl Command for Enlist {
    type Out = Enlisted;

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Enlisted, WriteError> {
        // Both edges lead from one unsettled state to another, so no line moves up; what it passes, triggers say.
        const { assert!(matches!(State::Pending.after(Step::Defer), Some(State::Deferred))) };
        const { assert!(matches!(State::Deferred.after(Step::Release), Some(State::Pending))) };
        let mut done = Enlisted::default();
        for kind in self.waiting_kinds(conn)? {
            if !self.kinds.iter().any(|(listed, _)| *listed == kind) {
                done.unlisted += self.hold(conn, &kind)?;
            }
        }
        let mut enlist = conn.prepare_cached(&listed(self.forms.len()))?;
        for (kind, held) in &self.kinds {
            let fixed: [&dyn ToSql; 5] = [&self.destination, kind, &self.unlisted, held, &self.at];
            let forms = self.forms.iter().map(|form| form as &dyn ToSql);
            done.listed += enlist.execute(fixed.into_iter().chain(forms).collect::<Vec<_>>().as_slice())?;
        }
        done.in_doubt = self.in_doubt(conn)?;
        Ok(done)
    }
}

/// The next kind of which anything waits at a destination.
pub(crate) const NEXT_KIND: &str = "SELECT kind FROM outbox INDEXED BY outbox_waiting
    WHERE destination = ?1 AND kind > ?2 AND state IN ('pending', 'deferred') ORDER BY kind LIMIT 1";

/// Lets what is of a listed kind, and of one of so many listed forms, wait for what holds that kind (?4), or go.
pub(crate) fn listed(forms: usize) -> String {
    let places: Vec<String> = (6..forms + 6).map(|place| format!("?{place}")).collect();
    format!(
        "UPDATE outbox INDEXED BY outbox_waiting
         SET state = CASE WHEN ?4 IS NULL THEN 'pending' ELSE 'deferred' END, reason = ?4, weighed = 0,
           next_at = min(next_at, ?5), free_since = CASE WHEN ?4 IS NULL THEN ?5 ELSE free_since END
         WHERE destination = ?1 AND kind = ?2 AND state = 'deferred' AND reason = ?3 AND {WAITING}
           AND form IN ({})",
        places.join(", ")
    )
}

/// The kinds of which anything waits at a destination.
pub(crate) fn waiting_kinds(conn: &Connection, destination: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = conn.prepare_cached(NEXT_KIND)?;
    let mut kinds: Vec<String> = Vec::new();
    loop {
        let after = kinds.last().map_or("", String::as_str);
        match statement.query_row([destination, after], |row| row.get(0)).optional()? {
            Some(next) => kinds.push(next),
            None => return Ok(kinds),
        }
    }
}

impl Enlist {
    fn waiting_kinds(&self, conn: &Connection) -> rusqlite::Result<Vec<String>> {
        if let Some(only) = &self.only {
            return Ok(vec![only.clone()]);
        }
        waiting_kinds(conn, &self.destination)
    }

    /// Holds what waits of a kind for its turn, or for the mode.
    fn hold(&self, conn: &Connection, kind: &str) -> rusqlite::Result<usize> {
        let mut moved = conn
            .prepare_cached(&format!(
                "UPDATE outbox INDEXED BY outbox_waiting SET state = 'deferred', reason = ?3, weighed = 0
                 WHERE destination = ?1 AND kind = ?2 AND state = 'pending' AND {WAITING}"
            ))?
            .execute(params![self.destination, kind, self.unlisted])?;
        for reason in &self.by_mode {
            moved += conn
                .prepare_cached(&format!(
                    "UPDATE outbox INDEXED BY outbox_waiting SET reason = ?3, weighed = 0
                     WHERE destination = ?1 AND kind = ?2 AND state = 'deferred' AND reason = ?4 AND {WAITING}"
                ))?
                .execute(params![self.destination, kind, self.unlisted, reason])?;
        }
        Ok(moved)
    }

    /// Rows in doubt that nothing looks for, for their kind is not listed; they say so.
    fn in_doubt(&self, conn: &Connection) -> rusqlite::Result<Vec<i64>> {
        let mut found = Vec::new();
        let mut statement = conn.prepare_cached(
            "SELECT id, kind FROM outbox INDEXED BY outbox_due
             WHERE head = 1 AND destination = ?1 AND state = 'ambiguous'",
        )?;
        let mut rows = statement.query([&self.destination])?;
        while let Some(row) = rows.next()? {
            let kind = row.get_ref(1)?.as_str()?;
            let asked = self.only.as_deref().is_none_or(|only| only == kind);
            if asked && !self.kinds.iter().any(|(listed, _)| listed == kind) {
                found.push(row.get(0)?);
            }
        }
        let mut tell =
            conn.prepare_cached("UPDATE outbox SET cause = ?2 WHERE id = ?1 AND cause IS NOT ?2")?;
        for id in &found {
            tell.execute(params![id, NOT_LISTED])?;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{migrate, plan};

    #[test]
    fn from_kind_to_kind_nothing_between_is_read() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        let steps = plan(&conn, NEXT_KIND);
        let by = "INDEX outbox_waiting (destination=? AND kind>?)";
        assert!(steps.len() == 1 && steps[0].contains(by), "{steps:?}");
        let steps = plan(&conn, &listed(2));
        let by = "INDEX outbox_waiting (destination=? AND kind=? AND state=? AND reason=?)";
        assert!(steps.iter().any(|step| step.contains(by)), "{steps:?}");
    }
}
