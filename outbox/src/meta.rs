//! Named values: secrets of this box, the clock's high-water mark and the like.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    command::{Command, Hot},
    error::{ReadError, WriteError},
};

pub(crate) struct Put {
    pub name: String,
    pub value: Vec<u8>,
}

impl Command for Put {
    type Out = ();

    fn bytes(&self) -> usize {
        self.value.len()
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<(), WriteError> {
        Ok(put(conn, &self.name, &self.value)?)
    }
}

/// Writes a named value.
pub(crate) fn put(conn: &Connection, name: &str, value: &[u8]) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO meta (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )?
    .execute(params![name, value])?;
    Ok(())
}

pub(crate) struct GetOrCreate {
    pub name: String,
    pub value: Vec<u8>,
}

impl Command for GetOrCreate {
    type Out = Vec<u8>;

    fn bytes(&self) -> usize {
        self.value.len()
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Vec<u8>, WriteError> {
        conn.prepare_cached("INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute(params![self.name, self.value])?;
        Ok(conn
            .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
            .query_row([&self.name], |row| row.get(0))?)
    }
}

/// A named value.
pub(crate) fn get(conn: &Connection, name: &str) -> Result<Option<Vec<u8>>, ReadError> {
    Ok(conn
        .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?)
}
