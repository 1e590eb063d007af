//! Identifiers as this store knows them: a small number for each at its site.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    command::{Command, Hot},
    error::{ReadError, WriteError},
};

/// A patient's identifier at a site. Its `Debug` hides the value.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PatientKey {
    /// The site.
    pub site: String,
    /// The identifier's system, a URI.
    pub system: String,
    /// The identifier's value.
    pub value: String,
}

impl std::fmt::Debug for PatientKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PatientKey").field("site", &self.site).finish_non_exhaustive()
    }
}

/// An identifier, and whether it is of the kind that names the site's patients. Its `Debug` hides the value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// The identifier.
    pub key: PatientKey,
    /// It is of another kind: it counts for whom it is bound to.
    pub alias: bool,
}

pub(crate) struct GetPatients(pub Vec<PatientKey>);

impl Command for GetPatients {
    type Out = Vec<i64>;

    fn bytes(&self) -> usize {
        self.0.iter().map(|key| key.value.len()).sum()
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Vec<i64>, WriteError> {
        let number = |key| row(conn, &Name { key, alias: false });
        Ok(self.0.into_iter().map(number).collect::<Result<_, _>>()?)
    }
}

/// The number of an identifier, given out on first sight.
pub(crate) fn row(conn: &Connection, name: &Name) -> rusqlite::Result<i64> {
    match find_any(conn, &name.key)? {
        Some(id) => Ok(id),
        None => conn
            .prepare_cached("INSERT INTO patient (site, system, value, alias) VALUES (?1, ?2, ?3, ?4)")?
            .insert(params![name.key.site, name.key.system, name.key.value, name.alias]),
    }
}

/// Gives a number another identifier, which no number may have.
pub(crate) fn rename(conn: &Connection, id: i64, key: &PatientKey) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE patient SET system = ?2, value = ?3 WHERE id = ?1")?
        .execute(params![id, key.system, key.value])?;
    Ok(())
}

/// The identifier of the patient with this number.
pub(crate) fn patient(conn: &Connection, id: i64) -> Result<Option<PatientKey>, ReadError> {
    Ok(key_of(conn, id).optional()?)
}

/// The identifier with this number, and whether it is of another kind than names the site's patients.
pub(crate) fn name(conn: &Connection, id: i64) -> rusqlite::Result<Option<Name>> {
    conn.prepare_cached("SELECT site, system, value, alias FROM patient WHERE id = ?1")?
        .query_row([id], |row| {
            let key = PatientKey { site: row.get(0)?, system: row.get(1)?, value: row.get(2)? };
            Ok(Name { key, alias: row.get(3)? })
        })
        .optional()
}

/// The identifier of a number that there is.
pub(crate) fn key_of(conn: &Connection, id: i64) -> rusqlite::Result<PatientKey> {
    conn.prepare_cached("SELECT site, system, value FROM patient WHERE id = ?1")?
        .query_row([id], |row| Ok(PatientKey { site: row.get(0)?, system: row.get(1)?, value: row.get(2)? }))
}

/// The number of the patient with this identifier.
pub(crate) fn find(conn: &Connection, key: &PatientKey) -> Result<Option<i64>, ReadError> {
    Ok(find_any(conn, key)?)
}

pub(crate) fn find_any(conn: &Connection, key: &PatientKey) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT id FROM patient WHERE site = ?1 AND system = ?2 AND value = ?3")?
        .query_row(params![key.site, key.system, key.value], |row| row.get(0))
        .optional()
}
