//! What has changed since the resources that show it were made.
//!
//! Invariants: it is noted in the transaction of the change, mostly by triggers of the schema; it is done with only where nothing
//! changed since it was read.

use rusqlite::{Connection, params};

use crate::resource::Shown;

/// Something that changed, with the turn in which that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unserved {
    /// What.
    pub what: Shown,
    /// Its number.
    pub id: i64,
    /// How often it has changed.
    pub turn: i64,
}

/// These are shown as they were read.
pub(crate) fn done(conn: &Connection, served: &[Unserved]) -> rusqlite::Result<()> {
    let mut delete = conn.prepare_cached("DELETE FROM unserved WHERE what = ?1 AND id = ?2 AND turn = ?3")?;
    for it in served {
        delete.execute(params![it.what.word(), it.id, it.turn])?;
    }
    Ok(())
}

/// What shows something of the box says something else now: it is to be made anew.
pub(crate) fn show_again(conn: &Connection, what: Shown, id: i64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO unserved (what, id) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET turn = turn + 1",
    )?
    .execute(params![what.word(), id])?;
    Ok(())
}

/// What a client says of a patient has changed: what the box knows of merges is to be put to it again.
pub(crate) fn patient_again(conn: &Connection, resource: i64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO unserved (what, id) SELECT what, id FROM served WHERE resource = ?1 AND what = 'patient'
         ON CONFLICT DO UPDATE SET turn = turn + 1",
    )?
    .execute([resource])?;
    Ok(())
}

/// What has changed since the resources that show it were made; at most `limit` of each.
pub(crate) fn all(conn: &Connection, limit: usize) -> rusqlite::Result<Vec<Unserved>> {
    let mut statement =
        conn.prepare_cached("SELECT id, turn FROM unserved WHERE what = ?1 ORDER BY id LIMIT ?2")?;
    let mut found = Vec::new();
    for what in Shown::ALL {
        let rows = statement.query_map(params![what.word(), limit as i64], |row| {
            Ok(Unserved { what, id: row.get(0)?, turn: row.get(1)? })
        })?;
        found.extend(rows.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    Ok(found)
}

/// What of one sort has changed since the resources that show it were made: at most `limit` after a number, in order.
pub(crate) fn after(
    conn: &Connection,
    what: Shown,
    after: i64,
    limit: usize,
) -> rusqlite::Result<Vec<Unserved>> {
    conn.prepare_cached(AFTER)?
        .query_map(params![what.word(), after, limit as i64], |row| {
            Ok(Unserved { what, id: row.get(0)?, turn: row.get(1)? })
        })?
        .collect()
}

/// Walks the table by its key.
pub(crate) const AFTER: &str =
    "SELECT id, turn FROM unserved WHERE what = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
