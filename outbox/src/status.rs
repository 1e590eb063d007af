//! How much of everything there is. Rows of the outbox are counted as they change (`outbox_count`), for they stay for
//! ever; every other count walks an index of what is open, and none reads a body.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use crate::{error::ReadError, queue::State};

/// Counts of the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Messages ever taken in.
    pub inbox_total: u64,
    /// Messages not absorbed yet.
    pub inbox_pending: u64,
    /// When the oldest of them was taken in, in milliseconds.
    pub inbox_oldest_pending_at: Option<i64>,
    /// Open entries in the quarantine of messages.
    pub quarantine: u64,
    /// Open entries in the identity queue.
    pub identity_queue: u64,
    /// Stored messages that wait to be read anew.
    pub again: u64,
    /// Windows waiting to be computed.
    pub windows_dirty: u64,
    /// Rows of the outbox by destination and state; those without rows are left out.
    pub outbox: Vec<(String, State, u64)>,
    /// When the oldest row that is not settled was enqueued, in milliseconds; those held for want of consent are not counted.
    pub oldest_undelivered_at: Option<i64>,
    /// The same by destination; those where nothing waits are left out.
    pub oldest_undelivered: BTreeMap<String, i64>,
}

impl Counts {
    /// Writes that are not settled, at every destination together.
    pub fn unsettled(&self) -> u64 {
        self.outbox.iter().filter(|(_, state, _)| !state.is_settled()).map(|(_, _, count)| count).sum()
    }

    /// Rows in a state at every destination together.
    pub fn rows(&self, state: State) -> u64 {
        self.outbox.iter().filter(|(_, s, _)| *s == state).map(|(_, _, count)| count).sum()
    }
}

/// Some rows, however long the outbox is.
const BY_STATE: &str = "SELECT destination, state, number FROM outbox_count WHERE number > 0
    ORDER BY destination, state";
/// The first entry of a part of the index `outbox_state`.
const OLDEST: &str = "SELECT min(created_at) FROM outbox WHERE destination = ?1 AND state = ?2";
/// The first entry of a part of the index `outbox_deferred`.
const OLDEST_DEFERRED: &str = "SELECT min(created_at) FROM outbox INDEXED BY outbox_deferred
    WHERE destination = ?1 AND ?2 = 'deferred' AND state = 'deferred' AND reason IS NOT 'no-consent'";

pub(crate) fn counts(conn: &Connection) -> Result<Counts, ReadError> {
    let count = |sql: &str| -> rusqlite::Result<u64> {
        conn.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0)).map(|n| n.max(0) as u64)
    };
    let mut by_state = conn.prepare_cached(BY_STATE)?;
    let mut rows = by_state.query([])?;
    let (mut outbox, mut oldest_undelivered) = (Vec::new(), BTreeMap::<String, i64>::new());
    while let Some(row) = rows.next()? {
        let destination: String = row.get(0)?;
        let state = State::of(&row.get::<_, String>(1)?)?;
        if !state.is_settled() {
            let oldest: Option<i64> = conn
                .prepare_cached(if state == State::Deferred { OLDEST_DEFERRED } else { OLDEST })?
                .query_row(params![destination, state.name()], |row| row.get(0))?;
            if let Some(oldest) = oldest {
                let known = oldest_undelivered.entry(destination.clone()).or_insert(oldest);
                *known = oldest.min(*known);
            }
        }
        outbox.push((destination, state, row.get::<_, i64>(2)? as u64));
    }
    Ok(Counts {
        // Ids have no gaps, so the last one is the count.
        inbox_total: count("SELECT coalesce(max(id), 0) FROM inbox")?,
        inbox_pending: count(
            "SELECT max(0, coalesce((SELECT max(id) FROM inbox), 0) - w.inbox_id
               - (SELECT count(*) FROM inbox i WHERE i.refused = 1 AND i.id > w.inbox_id)) FROM watermark w",
        )?,
        inbox_oldest_pending_at: conn
            .prepare_cached(
                "SELECT received_at FROM inbox WHERE id > (SELECT inbox_id FROM watermark) AND refused = 0
                 ORDER BY inbox.id LIMIT 1",
            )?
            .query_row([], |row| row.get(0))
            .optional()?,
        quarantine: count("SELECT count(*) FROM quarantine WHERE state = 'open'")?,
        identity_queue: count("SELECT count(*) FROM identity_queue WHERE state = 'open'")?,
        again: count("SELECT count(*) FROM again")?,
        windows_dirty: count(
            "SELECT (SELECT count(*) FROM outcome_window WHERE due_at IS NOT NULL)
               + (SELECT count(*) FROM rehomed)",
        )?,
        outbox,
        oldest_undelivered_at: oldest_undelivered.values().copied().min(),
        oldest_undelivered,
    })
}

/// Rows of the queue that wait for their turn, as far as they are measured.
const QUEUED: &str = "SELECT id FROM outbox WHERE destination = ?1 AND state = ?2 LIMIT ?3";

/// Bytes of rows that wait to be sent, and how many rows were measured: at most `most`.
pub(crate) fn queued_bytes(conn: &Connection, most: usize) -> Result<(u64, u64), ReadError> {
    let destinations: Vec<String> = conn
        .prepare_cached("SELECT DISTINCT destination FROM outbox_count WHERE number > 0")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    // The length of a blob stands in the row: its pages are not read.
    let sql = format!(
        "SELECT count(*), coalesce(sum(length(bytes)), 0) FROM outbox_body WHERE row_id IN ({QUEUED})"
    );
    let mut measure = conn.prepare_cached(&sql)?;
    let (mut rows, mut bytes) = (0_u64, 0_u64);
    for destination in &destinations {
        for state in [State::Pending, State::Leased, State::Ambiguous, State::Deferred] {
            let left = most.saturating_sub(rows as usize) as i64;
            let (measured, sum): (i64, i64) = measure
                .query_row(params![destination, state.name(), left], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows += measured.unsigned_abs();
            bytes += sum.unsigned_abs();
        }
    }
    Ok((bytes, rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{migrate, plan};

    #[test]
    fn counting_walks_no_row_of_the_outbox() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        assert_eq!(plan(&conn, BY_STATE), ["SCAN outbox_count"]);
        let by = "SEARCH outbox USING COVERING INDEX outbox_state (destination=? AND state=?)";
        assert_eq!(plan(&conn, OLDEST), [by]);
        let steps = plan(&conn, OLDEST_DEFERRED);
        assert!(steps[0].contains("INDEX outbox_deferred (destination=?)"), "{steps:?}");
    }

    #[test]
    fn the_bytes_of_what_waits_are_measured_up_to_a_number_of_rows() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        let steps = plan(&conn, QUEUED);
        assert!(steps.len() == 1 && steps[0].contains("INDEX outbox_state"), "{steps:?}");
        let insert = "INSERT INTO outbox (id, destination, patient, window_id, version, kind, key, state, head, next_at, created_at,
            consent) VALUES (?1, 'd', ?1, 1, 1, 'k', randomblob(32), ?2, 0, 0, 1, 0)";
        for (id, state) in [(1, "pending"), (2, "deferred"), (3, "delivered"), (4, "ambiguous")] {
            conn.execute(insert, params![id, state]).unwrap();
            let body =
                "INSERT INTO outbox_body (row_id, sha256, bytes) VALUES (?1, zeroblob(32), zeroblob(?2))";
            conn.execute(body, params![id, 10 * id]).unwrap();
        }
        assert_eq!(queued_bytes(&conn, 100).unwrap(), (10 + 20 + 40, 3));
        assert_eq!(queued_bytes(&conn, 2).unwrap().1, 2);
        assert_eq!(queued_bytes(&conn, 0).unwrap(), (0, 0));
    }

    #[test]
    fn what_is_counted_as_rows_change_is_what_stands_there() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        let insert = "INSERT INTO outbox (destination, patient, window_id, version, kind, key, state, head, next_at, created_at,
            consent) VALUES (?1, ?3, 1, 1, 'k', randomblob(32), ?2, ?2 = 'leased', 0, ?3, 0)";
        for n in 0..400_i64 {
            let state = State::ALL[n as usize % State::ALL.len()];
            conn.execute(insert, params![format!("d{}", n % 3), state.name(), 1_000 + n]).unwrap();
        }
        let walked = || -> Vec<(String, String, i64)> {
            let sql = "SELECT destination, state, count(*) FROM outbox GROUP BY 1, 2 ORDER BY 1, 2";
            let mut statement = conn.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
            rows.map(Result::unwrap).collect()
        };
        for change in [
            "SELECT 1",
            "UPDATE outbox SET state = 'delivered', head = 0 WHERE state = 'pending' AND destination = 'd1'",
            "UPDATE outbox SET state = 'delivered', head = 0 WHERE state IN ('delivered', 'leased')",
            "UPDATE outbox SET attempts = 9",
            "DELETE FROM outbox WHERE id % 7 = 0",
            "DELETE FROM outbox WHERE destination = 'd2'",
        ] {
            conn.execute_batch(change).unwrap();
            let counts = counts(&conn).unwrap();
            let told: Vec<_> =
                counts.outbox.iter().map(|(d, s, n)| (d.clone(), s.name().to_owned(), *n as i64)).collect();
            assert_eq!(told, walked(), "{change}");
            let oldest = "SELECT min(created_at) FROM outbox
                WHERE state NOT IN ('delivered', 'quarantined', 'superseded', 'dropped')";
            let oldest: Option<i64> = conn.query_row(oldest, [], |row| row.get(0)).unwrap();
            assert_eq!(counts.oldest_undelivered_at, oldest, "{change}");
        }
    }
}
