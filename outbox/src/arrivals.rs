//! When messages came, and from which source: what tells a quiet feed from a busy one. No body is read.

use rusqlite::{Connection, OptionalExtension, params};

use crate::error::ReadError;

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Came {
    /// Its number in the inbox.
    pub id: i64,
    /// When, in milliseconds.
    pub at: i64,
    /// From which source.
    pub source: String,
}

/// The columns stand before the body, so that a message of megabytes costs one page.
const AFTER: &str = "SELECT id, received_at, source FROM inbox WHERE id > ?1 ORDER BY id LIMIT ?2";
const LAST: &str = "SELECT id, received_at, source FROM inbox ORDER BY id DESC LIMIT 1";

fn came(row: &rusqlite::Row<'_>) -> rusqlite::Result<Came> {
    Ok(Came { id: row.get(0)?, at: row.get(1)?, source: row.get(2)? })
}

/// Messages after the given number, in order.
pub(crate) fn after(conn: &Connection, id: i64, limit: usize) -> Result<Vec<Came>, ReadError> {
    let mut statement = conn.prepare_cached(AFTER)?;
    let rows = statement.query_map(params![id, limit as i64], came)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The newest message.
pub(crate) fn last(conn: &Connection) -> Result<Option<Came>, ReadError> {
    Ok(conn.prepare_cached(LAST)?.query_row([], came).optional()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{migrate, plan};

    #[test]
    fn arrivals_are_found_by_their_numbers() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        for sql in [AFTER, LAST] {
            let steps = plan(&conn, sql);
            let by_number = |step: &String| step.contains("INTEGER PRIMARY KEY") || step == "SCAN inbox";
            assert!(steps.len() == 1 && by_number(&steps[0]), "{sql}: {steps:?}");
        }
        assert_eq!((after(&conn, 0, 10).unwrap(), last(&conn).unwrap()), (vec![], None));
        let insert = "INSERT INTO inbox (received_at, source, site, handler, kind, control_id, hash, refused, control_reused,
            body_bytes, body) VALUES (?1, ?2, '', '', '', '', zeroblob(32), 0, 0, 3, x'616263')";
        for (at, source) in [(10, "a"), (20, "b"), (30, "a")] {
            conn.execute(insert, params![at, source]).unwrap();
        }
        let ids = |after, limit| -> Vec<(i64, i64)> {
            super::after(&conn, after, limit).unwrap().into_iter().map(|came| (came.id, came.at)).collect()
        };
        assert_eq!((ids(0, 2), ids(2, 9), ids(3, 9)), (vec![(1, 10), (2, 20)], vec![(3, 30)], vec![]));
        assert_eq!(last(&conn).unwrap().map(|came| (came.id, came.source)), Some((3, "a".to_owned())));
    }
}
