//! The schema, as numbered migrations.
//!
//! Invariants: a migration once released is never edited, only followed; each runs in a transaction of its own
//! together with the raising of `user_version`; every table is STRICT; a database with a higher number than
//! this program knows is refused, never guessed at.

use rusqlite::Connection;

/// "ISTH": marks the file as ours (`PRAGMA application_id`).
pub(crate) const APPLICATION_ID: i32 = 0x4953_5448;

/// The migrations in order; the first makes version 1.
const MIGRATIONS: &[&str] = &[concat!(include_str!("schema.sql"), "\n", include_str!("resource.sql"))];

/// The schema version this program writes.
pub const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// What a look at the database's schema number says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    /// Fit for use now.
    Ready,
    /// Written by a newer program.
    Newer(i64),
    /// Not written by this program at all.
    Foreign(i32),
}

/// Whether the database is one of this program or can become one.
pub(crate) fn found(conn: &Connection) -> rusqlite::Result<Schema> {
    let found: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let owner: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    Ok(match found {
        _ if found > SCHEMA_VERSION => Schema::Newer(found),
        _ if found > 0 && owner != APPLICATION_ID => Schema::Foreign(owner),
        _ => Schema::Ready,
    })
}

/// Brings the database up to [`SCHEMA_VERSION`], or says why not.
pub(crate) fn migrate(conn: &Connection) -> rusqlite::Result<Schema> {
    let schema = found(conn)?;
    if schema != Schema::Ready {
        return Ok(schema);
    }
    let found: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (number, sql) in (1_i64..).zip(MIGRATIONS).filter(|(number, _)| *number > found) {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        let done = conn
            .execute_batch(sql)
            .and_then(|()| conn.pragma_update(None, "application_id", APPLICATION_ID))
            .and_then(|()| conn.pragma_update(None, "user_version", number))
            .and_then(|()| conn.execute_batch("COMMIT"));
        if let Err(error) = done {
            if !conn.is_autocommit() {
                conn.execute_batch("ROLLBACK")?;
            }
            return Err(error);
        }
    }
    Ok(Schema::Ready)
}

/// How SQLite would carry a statement out, a line per step; all parameters unbound.
#[cfg(test)]
pub(crate) fn plan(conn: &Connection, sql: &str) -> Vec<String> {
    let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let mut rows = statement.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        steps.push(row.get(3).unwrap());
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrating_twice_changes_nothing() {
        let conn = Connection::open_in_memory().unwrap();
        assert_eq!(migrate(&conn).unwrap(), Schema::Ready);
        assert_eq!(migrate(&conn).unwrap(), Schema::Ready);
        let found: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(found, SCHEMA_VERSION);
    }

    #[test]
    fn every_table_is_strict() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        let lax: i64 = conn
            .query_row(
                "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND strict = 0
                 AND name NOT LIKE 'sqlite_%'",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(lax, 0);
    }

    #[test]
    fn a_newer_or_foreign_schema_is_named_and_left_alone() {
        let conn = Connection::open_in_memory().unwrap();
        conn.pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
        assert_eq!(migrate(&conn).unwrap(), Schema::Newer(SCHEMA_VERSION + 1));
        conn.pragma_update(None, "user_version", 1).unwrap();
        assert_eq!(migrate(&conn).unwrap(), Schema::Foreign(0));
        let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0)).unwrap();
        assert_eq!(tables, 0);
    }
}
