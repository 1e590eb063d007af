//! The consent ledger: who decided what for a patient and a purpose, and what is in force.
//!
//! Invariants
//! - An entry is appended and never changed or deleted (triggers of the schema refuse it), and its hash covers the one
//!   before it, in the form of the audit log. That the end was cut off shows against a head exported earlier, and against
//!   the audit log, which has each entry's number and the beginning of its hash.
//! - An entry stands under the identifier that was named when it was made. What is in force for a patient is derived from
//!   the entries of all identifiers that count for that patient now, so a merge takes nothing away and its undoing gives
//!   back what was.
//!
//! What is in force of it is told by `in_force`.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{audit, error::ReadError, in_force};

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
    /// In force from.
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
    document_hash, document_at, actor, behalf, reason, hash";

/// An entry from a row of [`COLUMNS`].
pub(crate) fn entry_of(row: &Row<'_>) -> rusqlite::Result<ConsentEntry> {
    let purpose = Purpose::parse(row.get_ref(3)?.as_str()?).ok_or_else(|| {
        rusqlite::Error::InvalidColumnType(3, "purpose".into(), rusqlite::types::Type::Text)
    })?;
    let document = match (row.get::<_, Option<[u8; 32]>>(11)?, row.get::<_, Option<[u8; 32]>>(12)?) {
        (Some(key), Some(hash)) => Some(ConsentDocument { key, hash, changed_at: row.get(13)? }),
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

/// Every column but number and time as text, each in one spelling.
fn texts(entry: &ConsentEntry) -> Vec<String> {
    let number = |number: Option<i64>| number.map_or_else(String::new, |number| number.to_string());
    let hex = |bytes: [u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    vec![
        entry.patient.to_string(),
        entry.purpose.word().to_owned(),
        entry.ruling.word().to_owned(),
        entry.from.to_string(),
        number(entry.until),
        u8::from(entry.past).to_string(),
        entry.link.to_string(),
        entry.source.clone(),
        number(entry.inbox_id),
        entry.document.map_or_else(String::new, |document| hex(document.key)),
        entry.document.map_or_else(String::new, |document| hex(document.hash)),
        number(entry.document.and_then(|document| document.changed_at)),
        entry.actor.clone(),
        entry.behalf.clone(),
        entry.reason.clone(),
    ]
}

fn link(before: &[u8; 32], id: i64, entry: &ConsentEntry) -> [u8; 32] {
    audit::link_of(before, id, entry.at, &texts(entry))
}

/// Appends one entry; its number, and the head after it. Times of recording never fall back.
pub(crate) fn append(conn: &Connection, entry: &ConsentEntry) -> rusqlite::Result<(i64, ConsentHead)> {
    let newest_link: Option<i64> =
        conn.prepare_cached("SELECT max(id) FROM patient_link")?.query_row([], |row| row.get(0))?;
    let entry = &ConsentEntry {
        at: in_force::present(conn, entry.at)?,
        link: newest_link.unwrap_or(0),
        ..entry.clone()
    };
    let before = head(conn)?;
    let id = before.entries as i64 + 1;
    let hash = link(&before.hash, id, entry);
    conn.prepare_cached(&format!(
        "INSERT INTO consent ({COLUMNS})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)"
    ))?
    .execute(params![
        id,
        entry.at,
        entry.patient,
        entry.purpose.word(),
        entry.ruling.word(),
        entry.from,
        entry.until,
        entry.past,
        entry.link,
        entry.source,
        entry.inbox_id,
        entry.document.map(|document| document.key),
        entry.document.map(|document| document.hash),
        entry.document.and_then(|document| document.changed_at),
        entry.actor,
        entry.behalf,
        entry.reason,
        hash
    ])?;
    Ok((id, ConsentHead { entries: id as u64, hash }))
}

/// The end of the chain, as it is stored.
pub(crate) fn head(conn: &Connection) -> rusqlite::Result<ConsentHead> {
    let last: Option<(i64, [u8; 32])> = conn
        .prepare_cached("SELECT id, hash FROM consent ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (id, hash) = last.unwrap_or((0, [0; 32]));
    Ok(ConsentHead { entries: id as u64, hash })
}

/// Walks the whole chain; the head where it holds, the first entry at which it breaks where it does not. `known` is a head
/// that was exported earlier: it must still be in the chain.
pub(crate) fn verify(conn: &Connection, known: Option<ConsentHead>) -> Result<ConsentHead, ReadError> {
    let mut statement = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM consent ORDER BY id"))?;
    let mut rows = statement.query([])?;
    let mut head = ConsentHead { entries: 0, hash: [0; 32] };
    let mut met = known.is_none_or(|known| known == head);
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let next = head.entries + 1;
        // What cannot be read as an entry any more was changed too.
        let hash = entry_of(row).map(|entry| link(&head.hash, id, &entry));
        let stored = row.get::<_, [u8; 32]>(17);
        if id != next as i64 || !matches!((hash, stored), (Ok(hash), Ok(stored)) if hash == stored) {
            return Err(ReadError::ConsentBroken(id));
        }
        head = ConsentHead { entries: next, hash: row.get(17)? };
        met |= known == Some(head);
    }
    match known {
        Some(known) if !met => Err(ReadError::ConsentBroken(known.entries as i64)),
        _ => Ok(head),
    }
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
