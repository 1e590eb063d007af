//! Patients as this store knows them: a small number for a site's identifier.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    command::{Command, Hot},
    error::{ReadError, WriteError},
};

/// A patient's identifier at a site. Its `Debug` hides the value.
#[derive(Clone, PartialEq, Eq, Hash)]
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

pub(crate) struct GetPatients(pub Vec<PatientKey>);

impl Command for GetPatients {
    type Out = Vec<i64>;

    fn bytes(&self) -> usize {
        self.0.iter().map(|key| key.value.len()).sum()
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Vec<i64>, WriteError> {
        let mut find =
            conn.prepare_cached("SELECT id FROM patient WHERE site = ?1 AND system = ?2 AND value = ?3")?;
        let mut add = conn.prepare_cached("INSERT INTO patient (site, system, value) VALUES (?1, ?2, ?3)")?;
        let mut ids = Vec::with_capacity(self.0.len());
        for key in &self.0 {
            let fields = params![key.site, key.system, key.value];
            let id = match find.query_row(fields, |row| row.get(0)).optional()? {
                Some(id) => id,
                None => add.insert(fields)?,
            };
            ids.push(id);
        }
        Ok(ids)
    }
}

/// The identifier of the patient with this number.
pub(crate) fn patient(conn: &Connection, id: i64) -> Result<Option<PatientKey>, ReadError> {
    Ok(conn
        .prepare_cached("SELECT site, system, value FROM patient WHERE id = ?1")?
        .query_row([id], |row| Ok(PatientKey { site: row.get(0)?, system: row.get(1)?, value: row.get(2)? }))
        .optional()?)
}

/// The number of the patient with this identifier.
pub(crate) fn find(conn: &Connection, key: &PatientKey) -> Result<Option<i64>, ReadError> {
    Ok(conn
        .prepare_cached("SELECT id FROM patient WHERE site = ?1 AND system = ?2 AND value = ?3")?
        .query_row(params![key.site, key.system, key.value], |row| row.get(0))
        .optional()?)
}
