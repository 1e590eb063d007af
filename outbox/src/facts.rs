//! What messages say of a patient, and what a destination said before the first write.
//!
//! Invariants: of each fact the latest said stands, whatever the order of arrival (a tie goes to the later message); a
//! birth date that changes lets everything be looked at again that was decided by the one before. The values are patient
//! data: they are compared and shown on pages, and nothing here prints them.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    command::{Command, Hot},
    doubt,
    error::{ReadError, WriteError},
    lineage::{self, Root},
    waiting,
};

/// One thing that a message says of a patient. Its `Debug` hides the value.
#[derive(Clone, PartialEq, Eq)]
pub struct Fact {
    /// `name`, `birth`, `result-birth` or `death`.
    pub fact: &'static str,
    /// The value; empty takes back what was said.
    pub value: String,
}

impl std::fmt::Debug for Fact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fact").field("fact", &self.fact).finish_non_exhaustive()
    }
}

/// The birth dates that are known of a patient: patient data.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Births {
    /// As the registration says.
    pub registered: Option<String>,
    /// As results say.
    pub of_results: Option<String>,
}

impl std::fmt::Debug for Births {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Births(..)")
    }
}

/// Records a fact. Whether something changed.
pub(crate) fn put(
    conn: &Connection,
    patient: i64,
    fact: &Fact,
    said_at: i64,
    inbox_id: i64,
    at: i64,
) -> Result<bool, WriteError> {
    let before = value(conn, patient, fact.fact)?;
    conn.prepare_cached(
        "INSERT INTO patient_fact (patient, fact, value, said_at, inbox_id) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (patient, fact) DO UPDATE SET value = excluded.value, said_at = excluded.said_at,
           inbox_id = excluded.inbox_id
         WHERE (excluded.said_at, excluded.inbox_id) >= (said_at, inbox_id)",
    )?
    .execute(params![patient, fact.fact, fact.value, said_at, inbox_id])?;
    let changed = value(conn, patient, fact.fact)? != before;
    if changed && matches!(fact.fact, "birth" | "result-birth") {
        look_again(conn, patient, at)?;
    }
    Ok(changed)
}

fn value(conn: &Connection, patient: i64, fact: &str) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached("SELECT value FROM patient_fact WHERE patient = ?1 AND fact = ?2 AND value <> ''")?
        .query_row(params![patient, fact], |row| row.get(0))
        .optional()
}

/// The birth date of a patient has changed: what was held for it, or let go, is decided anew.
fn look_again(conn: &Connection, patient: i64, at: i64) -> Result<(), WriteError> {
    let owner = match lineage::root(conn, patient)? {
        Root::One(owner) => owner,
        Root::Nobody | Root::Several => patient,
    };
    conn.prepare_cached("DELETE FROM ehr_patient WHERE patient = ?1")?.execute([owner])?;
    conn.prepare_cached(
        "UPDATE outbox SET next_at = min(next_at, ?2) WHERE id IN (SELECT id FROM outbox
         WHERE patient = ?1 AND head = 1 AND state = 'pending')",
    )?
    .execute([owner, at])?;
    for member in lineage::members(conn, owner)? {
        waiting::learned_of(conn, member)?;
    }
    Ok(doubt::renew(conn, owner, at)?)
}

/// A fact that is known, and when it was said. Its `Debug` hides the value.
#[derive(Clone, PartialEq, Eq)]
pub struct KnownFact {
    /// `name`, `birth`, `result-birth` or `death`.
    pub fact: String,
    /// The value: patient data; never empty.
    pub value: String,
    /// When its source said so, in milliseconds.
    pub said_at: i64,
}

impl std::fmt::Debug for KnownFact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KnownFact").field("fact", &self.fact).finish_non_exhaustive()
    }
}

/// All that is known of an identifier's patient, by fact.
pub(crate) fn all(conn: &Connection, patient: i64) -> rusqlite::Result<Vec<KnownFact>> {
    conn.prepare_cached(
        "SELECT fact, value, said_at FROM patient_fact WHERE patient = ?1 AND value <> '' ORDER BY fact",
    )?
    .query_map([patient], |row| {
        Ok(KnownFact { fact: row.get(0)?, value: row.get(1)?, said_at: row.get(2)? })
    })?
    .collect()
}

/// The birth dates known of a patient.
pub(crate) fn births(conn: &Connection, patient: i64) -> rusqlite::Result<Births> {
    Ok(Births {
        registered: value(conn, patient, "birth")?,
        of_results: value(conn, patient, "result-birth")?,
    })
}

/// What a destination said of a patient. No Debug: the reference may tell who it is.
#[derive(Clone, PartialEq, Eq)]
pub struct EhrPatient {
    /// What was found, in the caller's words.
    pub finding: String,
    /// The destination's own reference to the patient, where one was found.
    pub reference: Option<String>,
    /// When, in milliseconds.
    pub at: i64,
}

/// Keeps what a destination said of a patient.
pub(crate) struct RememberPatient {
    pub destination: String,
    pub base: String,
    pub patient: i64,
    pub said: EhrPatient,
}

impl Command for RememberPatient {
    type Out = ();

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<(), WriteError> {
        let EhrPatient { finding, reference, at } = self.said;
        conn.prepare_cached(
            "INSERT INTO ehr_patient (destination, patient, finding, reference, at, base) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (destination, patient) DO UPDATE SET base = excluded.base, finding = excluded.finding,
               reference = excluded.reference, at = excluded.at",
        )?
        .execute(params![self.destination, self.patient, finding, reference, at, self.base])?;
        Ok(())
    }
}

/// What a destination's server at an address said of a patient, where it was asked since the last change.
pub(crate) fn ehr_patient(
    conn: &Connection,
    destination: &str,
    base: &str,
    patient: i64,
) -> Result<Option<EhrPatient>, ReadError> {
    let sql = "SELECT finding, reference, at FROM ehr_patient
         WHERE destination = ?1 AND patient = ?2 AND base = ?3";
    let said = |row: &rusqlite::Row<'_>| {
        Ok(EhrPatient { finding: row.get(0)?, reference: row.get(1)?, at: row.get(2)? })
    };
    Ok(conn.prepare_cached(sql)?.query_row(params![destination, patient, base], said).optional()?)
}
