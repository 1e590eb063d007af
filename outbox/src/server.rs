//! Which server stands behind a destination, by its base address. What was written counts at the server that it was
//! written to, and nowhere else: another server's `Patient/7` and `Observation/12` are other people's.
//!
//! Invariants: the first address of a destination is taken as it is, and so is another one while nothing was ever written;
//! after that only a person says what a changed address is ([`MoveServer`]). Addresses of one server share a number, and
//! rows of the queue and of the ledger carry that of the server they were sent to. An address that is known, and named as
//! another server than the one before, is the server that it was then.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    audit::{self, AuditEntry},
    command::{Command, Hot},
    error::{Conflict, WriteError},
    queue::{self, NOT_PASSED, Note, State, Step},
};

/// Why a row is set aside whose subject was written to the server before.
const ELSEWHERE: &str = "what it is about stands at another server";

/// What is known of a destination's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// It is the one that is written to.
    Same,
    /// It is another than the one that was written to, which is this.
    Moved {
        /// The address in force.
        from: String,
    },
}

/// Looks an address up; takes it where nothing contradicts it.
pub(crate) struct LookUp {
    pub destination: String,
    pub base: String,
    /// Now, in milliseconds.
    pub at: i64,
}

impl Command for LookUp {
    type Out = Server;

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Server, WriteError> {
        let Some(from) = in_force(conn, &self.destination)? else {
            put(conn, &self.destination, &self.base, 0, self.at)?;
            return Ok(Server::Same);
        };
        if from == self.base {
            return Ok(Server::Same);
        }
        if anything_written(conn, &self.destination)? {
            return Ok(Server::Moved { from });
        }
        let number = other_number(conn, &self.destination, &self.base)?;
        put(conn, &self.destination, &self.base, number, self.at)?;
        Ok(Server::Same)
    }
}

/// The command by which a person says what a changed address is. Refused with [`Conflict::Edge`] while rows of the
/// destination are under way: their answers come from the server before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveServer {
    /// The destination.
    pub destination: String,
    /// The address that is written to from now on.
    pub base: String,
    /// The same server under another address; else another one: what waits is written there anew and whole, and what is
    /// about something that the server before has is set aside.
    pub same: bool,
    /// Who said so and why.
    pub audit: Vec<AuditEntry>,
    /// Now, in milliseconds.
    pub at: i64,
}

/// What a move did to the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MovedRows {
    /// Rows that were written to the server before, or may have been, and wait again, because the rest of their version
    /// waits.
    pub renewed: usize,
    /// Rows that were set aside.
    pub set_aside: usize,
}

impl Command for MoveServer {
    type Out = MovedRows;

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<MovedRows, WriteError> {
        let under_way = "SELECT 1 FROM outbox WHERE destination = ?1 AND state = 'leased'";
        if conn.prepare_cached(under_way)?.exists([&self.destination])? {
            return Err(Conflict::Edge.into());
        }
        let moved = if self.same {
            put(conn, &self.destination, &self.base, number(conn, &self.destination)?, self.at)?;
            MovedRows::default()
        } else {
            let other = other_number(conn, &self.destination, &self.base)?;
            let moved = self.begin_anew(conn, other)?;
            put(conn, &self.destination, &self.base, other, self.at)?;
            moved
        };
        audit::append(conn, &self.audit)?;
        Ok(moved)
    }
}

impl MoveServer {
    /// Makes of what waits what is to be written to a server that has nothing of it.
    fn begin_anew(&self, conn: &Connection, other: i64) -> Result<MovedRows, WriteError> {
        let ids = |sql: &str| -> rusqlite::Result<Vec<i64>> {
            let asked = params![self.destination, other];
            conn.prepare_cached(sql)?.query_map(asked, |row| row.get(0))?.collect()
        };
        let mut moved = MovedRows::default();
        let of_waiting_versions = ids(&written_of_waiting())?;
        let in_doubt = ids(IN_DOUBT)?;
        let note = |reason| Note { reason, next_at: Some(self.at), at: self.at, ..Note::default() };
        // Heads are given anew below: what comes back may stand before them.
        conn.prepare_cached("UPDATE outbox SET head = 0 WHERE destination = ?1 AND head = 1")?
            .execute([&self.destination])?;
        for id in of_waiting_versions.iter().chain(&in_doubt) {
            let row = queue::place(conn, *id)?;
            queue::step(conn, &row, Step::Renew, note(None))?;
            moved.renewed += 1;
        }
        for id in ids(ABOUT_WHAT_IS_ELSEWHERE)? {
            let row = queue::place(conn, id)?;
            if row.state.after(Step::Quarantine).is_some() {
                queue::quarantine(conn, &row, note(Some(ELSEWHERE)))?;
                moved.set_aside += 1;
            }
        }
        for id in in_doubt {
            let row = queue::place(conn, id)?;
            // A later version may stand in its place, which did not end the doubt.
            if row.state == State::Pending && queue::is_overtaken(conn, &row)? {
                queue::step(conn, &row, Step::Supersede, note(Some(queue::OVERTAKEN)))?;
            }
        }
        conn.prepare_cached("UPDATE outbox SET head = 0 WHERE destination = ?1 AND head = 1")?
            .execute([&self.destination])?;
        conn.prepare_cached(&heads())?.execute([&self.destination])?;
        Ok(moved)
    }
}

/// What may have been written to the server before.
const IN_DOUBT: &str =
    "SELECT id FROM outbox WHERE destination = ?1 AND server <> ?2 AND state = 'ambiguous' ORDER BY id";

/// What the server before has of a version whose rest waits, and whose bytes are kept. It is begun from what waits: what was
/// ever delivered may be millions.
fn written_of_waiting() -> String {
    let of = |waiting: &str| {
        format!(
            "SELECT d.id FROM outbox w {waiting} AND w.window_id > 0 AND d.window_id = w.window_id
               AND d.destination = w.destination AND d.version = w.version AND d.form = w.form
               AND d.state = 'delivered' AND d.server <> ?2
               AND EXISTS (SELECT 1 FROM outbox_body b WHERE b.row_id = d.id AND b.bytes IS NOT NULL)"
        )
    };
    let by = "CROSS JOIN outbox d INDEXED BY outbox_window WHERE w.destination = ?1";
    format!(
        "{} UNION {} ORDER BY 1",
        of(&format!("INDEXED BY outbox_waiting {by} AND w.state IN ('pending', 'deferred')")),
        of(&format!("INDEXED BY outbox_state {by} AND w.state = 'ambiguous'"))
    )
}

/// What waits and is about something that only the server before has: it follows that, or takes it back.
const ABOUT_WHAT_IS_ELSEWHERE: &str = "SELECT o.id FROM outbox o
    WHERE o.destination = ?1 AND o.state IN ('pending', 'deferred')
      AND (EXISTS (SELECT 1 FROM outbox d WHERE d.id = o.depends_on AND d.state = 'delivered' AND d.server <> ?2)
           OR EXISTS (SELECT 1 FROM intent_row r JOIN intent i ON i.id = r.intent
                      WHERE r.row_id = o.id AND i.kind = 'withdraw'))
    ORDER BY o.id";

/// The first unsettled row of each line, but for what it passes, becomes its head.
fn heads() -> String {
    format!(
        "UPDATE outbox SET head = 1 WHERE id IN (SELECT min(id) FROM outbox
         WHERE destination = ?1 AND state IN ('pending', 'leased', 'deferred', 'ambiguous') AND {NOT_PASSED}
         GROUP BY patient, kind)"
    )
}

/// The address that a destination is written to.
fn in_force(conn: &Connection, destination: &str) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached("SELECT base FROM server WHERE destination = ?1 AND in_force = 1")?
        .query_row([destination], |row| row.get(0))
        .optional()
}

/// The number of the server that a destination is written to; 0 where no address of it is known.
pub(crate) fn number(conn: &Connection, destination: &str) -> rusqlite::Result<i64> {
    let number = conn
        .prepare_cached("SELECT number FROM server WHERE destination = ?1 AND in_force = 1")?
        .query_row([destination], |row| row.get(0))
        .optional()?;
    Ok(number.unwrap_or(0))
}

/// The number of an address that is another server than the one in force: its own where it is known as another, else the
/// next.
fn other_number(conn: &Connection, destination: &str, base: &str) -> rusqlite::Result<i64> {
    let known: Option<i64> = conn
        .prepare_cached("SELECT number FROM server WHERE destination = ?1 AND base = ?2")?
        .query_row([destination, base], |row| row.get(0))
        .optional()?;
    match known {
        Some(known) if known != number(conn, destination)? => Ok(known),
        _ => conn
            .prepare_cached("SELECT coalesce(max(number), 0) + 1 FROM server WHERE destination = ?1")?
            .query_row([destination], |row| row.get(0)),
    }
}

fn put(conn: &Connection, destination: &str, base: &str, number: i64, at: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE server SET in_force = 0 WHERE destination = ?1 AND in_force = 1")?
        .execute([destination])?;
    conn.prepare_cached(
        "INSERT INTO server (destination, base, number, in_force, since) VALUES (?1, ?2, ?3, 1, ?4)
         ON CONFLICT (destination, base) DO UPDATE SET number = excluded.number, in_force = 1, since = excluded.since",
    )?
    .execute(params![destination, base, number, at])?;
    Ok(())
}

/// Whether anything was written to a destination, or may have been, to whichever server.
fn anything_written(conn: &Connection, destination: &str) -> rusqlite::Result<bool> {
    conn.prepare_cached(ANYTHING_WRITTEN)?.exists(params![destination, queue::UNPROVEN])
}

/// Asked twice a second while nobody said what a changed address is: what waits is not walked.
const ANYTHING_WRITTEN: &str = "SELECT 1 FROM written WHERE destination = ?1
    UNION ALL SELECT 1 FROM outbox INDEXED BY outbox_state
      WHERE destination = ?1 AND state IN ('delivered', 'leased', 'ambiguous')
    UNION ALL SELECT 1 FROM outbox INDEXED BY outbox_state
      WHERE destination = ?1 AND state = 'quarantined' AND reason = ?2";

const _: () = assert!(matches!(State::Ambiguous.after(Step::Renew), Some(State::Pending)));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{migrate, plan};

    #[test]
    fn what_a_move_and_a_look_walk_does_not_grow_with_what_was_delivered_or_waits() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        let steps = plan(&conn, &written_of_waiting());
        for by in [
            "SEARCH w USING INDEX outbox_waiting (destination=?)",
            "SEARCH w USING INDEX outbox_state (destination=? AND state=?)",
        ] {
            assert!(steps.iter().any(|step| step.contains(by)), "{steps:?}");
        }
        // What was delivered is looked up for each that waits.
        let of_window = "SEARCH d USING INDEX outbox_window (window_id=? AND destination=? AND version=?)";
        assert_eq!(steps.iter().filter(|step| step.contains(of_window)).count(), 2, "{steps:?}");
        assert!(steps.iter().all(|step| !step.starts_with("SCAN")), "{steps:?}");
        let steps = plan(&conn, ANYTHING_WRITTEN);
        let by_state = "INDEX outbox_state (destination=? AND state=?)";
        assert_eq!(steps.iter().filter(|step| step.contains(by_state)).count(), 2, "{steps:?}");
        assert!(
            steps.iter().any(|step| step.contains("SEARCH written USING PRIMARY KEY (destination=?)")),
            "{steps:?}"
        );
    }
}
