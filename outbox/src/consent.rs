//! The consent ledger: who decided what for a patient and a purpose, and what is in force.
//!
//! Invariants
//! - An entry is appended and never changed or deleted (triggers of the schema refuse it), and chained to the one before it.
//! - Entries are in the order of their numbers. `at` says what the clock of the box said, and decides on no order.
//! - An entry stands under the identifier that was named when it was made. What is in force for a patient is derived from
//!   the entries of all identifiers that count for that patient now, so a merge takes nothing away and its undoing gives
//!   back what was.
//!
//! Appending and the chain are in `consent_chain`; what is in force is told by `in_force`.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::error::ReadError;

/// Why data may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Written back to those who treat the patient.
    Treatment,
    /// Summaries for analytics at the upstream platform.
    Upstream,
    /// Export to who pays.
    Payer,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Treatment, Self::Upstream, Self::Payer];

    /// The word in the database, in configuration and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Treatment => "treatment",
            Self::Upstream => "upstream",
            Self::Payer => "payer",
        }
    }

    /// The purpose with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.word() == word)
    }

    /// What a destination is for: `upstream` for analytics, `payer` for payment, every EHR and MLLP receiver for treatment.
    pub fn of(destination: &str) -> Self {
        match destination.split(':').next() {
            Some("upstream") => Self::Upstream,
            Some("payer") => Self::Payer,
            _ => Self::Treatment,
        }
    }

    /// What holds where neither the ledger nor a site's configuration says anything.
    pub const fn is_permitted_by_default(self) -> bool {
        matches!(self, Self::Treatment)
    }
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// It may leave.
    Grant,
    /// It may not.
    Withdraw,
    /// What the same FHIR Consent had granted counts no more; what held without it holds.
    End,
}

impl Ruling {
    /// Its word in the database and in output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Withdraw => "withdraw",
            Self::End => "end",
        }
    }

    fn of(word: &str) -> rusqlite::Result<Self> {
        [Self::Grant, Self::Withdraw, Self::End].into_iter().find(|ruling| ruling.word() == word).ok_or_else(
            || rusqlite::Error::InvalidColumnType(0, "decision".into(), rusqlite::types::Type::Text),
        )
    }
}

/// A version of a FHIR Consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsentDocument {
    /// Which resource, over all its versions.
    pub key: [u8; 32],
    /// Its content.
    pub hash: [u8; 32],
    /// When it was last changed, as it says itself.
    pub changed_at: Option<i64>,
    /// That is when its server stored this version (`meta.lastUpdated`), so that of two it tells which came later.
    pub stamped: bool,
}

/// A decision of the ledger.
#[derive(Clone, PartialEq, Eq)]
pub struct ConsentEntry {
    /// When it was recorded.
    pub at: i64,
    /// Number of the identifier that it was made for.
    pub patient: i64,
    /// For what.
    pub purpose: Purpose,
    /// What.
    pub ruling: Ruling,
    /// In force from; where that is `at`, no time was named and it holds from its entry on.
    pub from: i64,
    /// And before this; `None` for good.
    pub until: Option<i64>,
    /// A grant that covers also what was made before it was recorded, back to `from`.
    pub past: bool,
    /// The last link between identifiers when it was recorded; the store says it, whatever is handed in.
    pub link: i64,
    /// `cli`, `fhir` or `message`.
    pub source: String,
    /// The message that said so.
    pub inbox_id: Option<i64>,
    /// The FHIR Consent that says so.
    pub document: Option<ConsentDocument>,
    /// Who recorded it.
    pub actor: String,
    /// On whose behalf; may name people.
    pub behalf: String,
    /// Why; may name people.
    pub reason: String,
}

impl std::fmt::Debug for ConsentEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsentEntry")
            .field("at", &self.at)
            .field("patient", &self.patient)
            .field("purpose", &self.purpose)
            .field("ruling", &self.ruling)
            .field("from", &self.from)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

/// The end of the ledger's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsentHead {
    /// Entries in it.
    pub entries: u64,
    /// Hash of the last, zero where there is none.
    pub hash: [u8; 32],
}

/// Whether something may leave, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsentAnswer {
    /// It may.
    pub permit: bool,
    /// The entry that says so; `None` for the site's default.
    pub entry: Option<i64>,
}

impl ConsentAnswer {
    /// In words, for a reason or an audit entry.
    pub fn why(self) -> String {
        self.entry.map_or_else(|| "the site's default".to_owned(), |entry| format!("consent entry {entry}"))
    }
}

pub(crate) const COLUMNS: &str =
    "id, at, patient, purpose, decision, from_at, until_at, past, link, source, inbox_id, document,
    document_hash, document_at, actor, behalf, reason, hash, document_stamped, named";

/// An entry from a row of [`COLUMNS`].
pub(crate) fn entry_of(row: &Row<'_>) -> rusqlite::Result<ConsentEntry> {
    let purpose = Purpose::parse(row.get_ref(3)?.as_str()?).ok_or_else(|| {
        rusqlite::Error::InvalidColumnType(3, "purpose".into(), rusqlite::types::Type::Text)
    })?;
    let document = match (row.get::<_, Option<[u8; 32]>>(11)?, row.get::<_, Option<[u8; 32]>>(12)?) {
        (Some(key), Some(hash)) => {
            Some(ConsentDocument { key, hash, changed_at: row.get(13)?, stamped: row.get(18)? })
        }
        _ => None,
    };
    Ok(ConsentEntry {
        at: row.get(1)?,
        patient: row.get(2)?,
        purpose,
        ruling: Ruling::of(row.get_ref(4)?.as_str()?)?,
        from: row.get(5)?,
        until: row.get(6)?,
        past: row.get(7)?,
        link: row.get(8)?,
        source: row.get(9)?,
        inbox_id: row.get(10)?,
        document,
        actor: row.get(14)?,
        behalf: row.get(15)?,
        reason: row.get(16)?,
    })
}

/// Entries with their numbers, the newest first: those before `before`, of these identifiers where any are named.
pub(crate) fn newest(
    conn: &Connection,
    patients: &[i64],
    before: Option<i64>,
    limit: usize,
) -> Result<Vec<(i64, ConsentEntry)>, ReadError> {
    let mut found = Vec::new();
    let take = |row: &Row<'_>| Ok((row.get(0)?, entry_of(row)?));
    let before = before.unwrap_or(i64::MAX);
    if patients.is_empty() {
        let sql = format!("SELECT {COLUMNS} FROM consent WHERE id < ?1 ORDER BY id DESC LIMIT ?2");
        let mut statement = conn.prepare_cached(&sql)?;
        for entry in statement.query_map(params![before, limit as i64], take)? {
            found.push(entry?);
        }
        return Ok(found);
    }
    let sql =
        format!("SELECT {COLUMNS} FROM consent WHERE patient = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3");
    let mut statement = conn.prepare_cached(&sql)?;
    for patient in patients {
        for entry in statement.query_map(params![patient, before, limit as i64], take)? {
            found.push(entry?);
        }
    }
    found.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
    found.truncate(limit);
    Ok(found)
}

/// One entry with the hash that stands beside it.
pub(crate) fn entry(conn: &Connection, id: i64) -> Result<Option<(ConsentEntry, [u8; 32])>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM consent WHERE id = ?1");
    Ok(conn.prepare_cached(&sql)?.query_row([id], |row| Ok((entry_of(row)?, row.get(17)?))).optional()?)
}

/// What was recorded of a FHIR Consent, in order.
pub(crate) fn of_document(conn: &Connection, key: &[u8; 32]) -> rusqlite::Result<Vec<(i64, ConsentEntry)>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM consent WHERE document = ?1 ORDER BY id"))?
        .query_map([key], |row| Ok((row.get(0)?, entry_of(row)?)))?
        .collect()
}

/// Whether the time of any decision came or passed after `since`, up to `at`.
pub(crate) fn turns(conn: &Connection, since: i64, at: i64) -> Result<bool, ReadError> {
    Ok(conn
        .prepare_cached(
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM consent WHERE from_at > ?1 AND from_at <= ?2)
                 OR EXISTS (SELECT 1 FROM consent WHERE until_at > ?1 AND until_at <= ?2)",
        )?
        .exists([since, at])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_for_one_purpose() {
        for (destination, purpose) in [
            ("ehr:main", Purpose::Treatment),
            ("ehr:upstream", Purpose::Treatment),
            ("mllp:back", Purpose::Treatment),
            ("upstream", Purpose::Upstream),
            ("payer:x", Purpose::Payer),
        ] {
            assert_eq!(Purpose::of(destination), purpose, "{destination}");
        }
    }
}
