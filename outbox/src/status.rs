//! How much of everything there is. Every count is an index walk; none reads a body.

use rusqlite::{Connection, OptionalExtension};

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
    /// When the oldest row that is not settled was enqueued, in milliseconds.
    pub oldest_undelivered_at: Option<i64>,
}

impl Counts {
    /// Rows in a state at every destination together.
    pub fn rows(&self, state: State) -> u64 {
        self.outbox.iter().filter(|(_, s, _)| *s == state).map(|(_, _, count)| count).sum()
    }
}

/// Read from the index `outbox_state` alone.
const BY_STATE: &str = "SELECT destination, state, count(*), min(created_at) FROM outbox
    GROUP BY destination, state ORDER BY destination, state";

pub(crate) fn counts(conn: &Connection) -> Result<Counts, ReadError> {
    let count = |sql: &str| -> rusqlite::Result<u64> {
        conn.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0)).map(|n| n.max(0) as u64)
    };
    let mut by_state = conn.prepare_cached(BY_STATE)?;
    let mut rows = by_state.query([])?;
    let (mut outbox, mut oldest_undelivered_at) = (Vec::new(), None::<i64>);
    while let Some(row) = rows.next()? {
        let state = State::of(&row.get::<_, String>(1)?)?;
        outbox.push((row.get(0)?, state, row.get::<_, i64>(2)? as u64));
        if !state.is_settled() {
            let oldest: i64 = row.get(3)?;
            oldest_undelivered_at = oldest_undelivered_at.into_iter().chain([oldest]).min();
        }
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
        oldest_undelivered_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{migrate, plan};

    #[test]
    fn counting_reads_indexes_only() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        assert_eq!(plan(&conn, BY_STATE), ["SCAN outbox USING COVERING INDEX outbox_state"]);
    }
}
