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
//! In force at a time, of one identifier: the entry recorded last among those whose time has come and not passed. A grant
//! reaches back before it was recorded only where it says so. Of one FHIR Consent only what was recorded of it last counts.
//! Of a patient with several identifiers: a withdrawal in force for any of them denies. What was decided for the patient
//! while two identifiers were one speaks for both until that is undone; what was decided before speaks for its own
//! alone. An identifier for which nothing was decided has no say. Where none has, the site's default holds.
//!
//! Times of recording never fall back, and what holds now is asked for no earlier than the last of them.
//!
//! Numbers: a lookup is a seek for each identifier of the patient and the few entries there; where the ledger is empty,
//! one look. Times in milliseconds.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    audit,
    error::ReadError,
    lineage::{self, Root},
};

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

const COLUMNS: &str =
    "id, at, patient, purpose, decision, from_at, until_at, past, link, source, inbox_id, document,
    document_hash, document_at, actor, behalf, reason, hash";

fn entry_of(row: &Row<'_>) -> rusqlite::Result<ConsentEntry> {
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

/// The time by which it is asked what is in force now: not before the last entry, however late a command reaches the store
/// and whatever was done to the clock. A decision that was told of holds.
pub(crate) fn present(conn: &Connection, at: i64) -> rusqlite::Result<i64> {
    let last: Option<i64> = conn
        .prepare_cached("SELECT at FROM consent ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(last.map_or(at, |last| last.max(at)))
}

/// Appends one entry; its number, and the head after it. Times of recording never fall back.
pub(crate) fn append(conn: &Connection, entry: &ConsentEntry) -> rusqlite::Result<(i64, ConsentHead)> {
    let newest_link: Option<i64> =
        conn.prepare_cached("SELECT max(id) FROM patient_link")?.query_row([], |row| row.get(0))?;
    let entry =
        &ConsentEntry { at: present(conn, entry.at)?, link: newest_link.unwrap_or(0), ..entry.clone() };
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

/// The identifiers that count for whom this one counts for: their decisions are that patient's.
pub(crate) fn person(conn: &Connection, patient: i64) -> rusqlite::Result<Vec<i64>> {
    match lineage::root(conn, patient)? {
        Root::One(owner) => lineage::members(conn, owner),
        Root::Nobody | Root::Several => Ok(vec![patient]),
    }
}

/// Whether something of a patient may leave for a purpose, by what is recorded now of the time `at`. About nobody
/// (patient 0) there is nothing to consent to.
pub(crate) fn answer(
    conn: &Connection,
    patient: i64,
    purpose: Purpose,
    at: i64,
) -> rusqlite::Result<ConsentAnswer> {
    if patient == 0 {
        return Ok(ConsentAnswer { permit: true, entry: None });
    }
    let site: Option<String> = conn
        .prepare_cached("SELECT site FROM patient WHERE id = ?1")?
        .query_row([patient], |row| row.get(0))
        .optional()?;
    let Some(site) = site else {
        return Ok(ConsentAnswer { permit: purpose.is_permitted_by_default(), entry: None });
    };
    let decided = match conn.prepare_cached("SELECT 1 FROM consent LIMIT 1")?.exists([])? {
        true => decided(conn, patient, purpose, at)?,
        false => None,
    };
    match decided {
        Some(answer) => Ok(answer),
        None => Ok(ConsentAnswer { permit: default(conn, &site, purpose)?, entry: None }),
    }
}

/// What holds at a site where the ledger says nothing.
pub(crate) fn default(conn: &Connection, site: &str, purpose: Purpose) -> rusqlite::Result<bool> {
    let said: Option<bool> = conn
        .prepare_cached("SELECT permit FROM consent_default WHERE site = ?1 AND purpose = ?2")?
        .query_row([site, purpose.word()], |row| row.get(0))
        .optional()?;
    Ok(said.unwrap_or(purpose.is_permitted_by_default()))
}

fn of_patient() -> String {
    format!("SELECT {COLUMNS} FROM consent WHERE patient = ?1 AND purpose = ?2 ORDER BY id")
}

fn decided(
    conn: &Connection,
    patient: i64,
    purpose: Purpose,
    at: i64,
) -> rusqlite::Result<Option<ConsentAnswer>> {
    let members = person(conn, patient)?;
    let mut entries = Vec::new();
    let mut find = conn.prepare_cached(&of_patient())?;
    for member in &members {
        for entry in
            find.query_map(params![member, purpose.word()], |row| Ok((row.get(0)?, entry_of(row)?)))?
        {
            entries.push(entry?);
        }
    }
    if entries.is_empty() {
        return Ok(None);
    }
    entries.sort_by_key(|(id, _)| *id);
    let ways = members.iter().map(|member| Ok((*member, way_up(conn, *member)?)));
    let ways: BTreeMap<i64, Way> = ways.collect::<rusqlite::Result<_>>()?;
    Ok(in_force(&entries, &ways, at))
}

/// The identifiers on the way up from one, each with the latest link of the way to it.
type Way = BTreeMap<i64, i64>;

fn way_up(conn: &Connection, from: i64) -> rusqlite::Result<Way> {
    let mut links = conn.prepare_cached(
        "SELECT parent, id FROM patient_link WHERE child = ?1 AND undone_at IS NULL AND kind <> 'related'",
    )?;
    let mut way = Way::from([(from, 0)]);
    let mut next = vec![(from, 0)];
    while let Some((id, latest)) = next.pop() {
        for link in links.query_map([id], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))? {
            let (parent, link) = link?;
            let link = link.max(latest);
            if way.get(&parent).is_none_or(|known| link < *known) {
                way.insert(parent, link);
                next.push((parent, link));
            }
        }
    }
    Ok(way)
}

/// The link by which two identifiers came to be one person's, of those that stand; for two that are not, none that is.
/// Links are numbered in the order in which they were made, which no clock can turn round.
fn together_by(ways: &BTreeMap<i64, Way>, one: i64, other: i64) -> i64 {
    let (Some(one), Some(other)) = (ways.get(&one), ways.get(&other)) else { return i64::MAX };
    let met = one.iter().filter_map(|(id, link)| other.get(id).map(|theirs| *link.max(theirs)));
    met.min().unwrap_or(i64::MAX)
}

/// The rule of this module, of entries in their order. `None` where nothing was decided.
fn in_force(entries: &[(i64, ConsentEntry)], ways: &BTreeMap<i64, Way>, at: i64) -> Option<ConsentAnswer> {
    let mut latest: BTreeMap<[u8; 32], [u8; 32]> = BTreeMap::new();
    for document in entries.iter().filter_map(|(_, entry)| entry.document) {
        latest.insert(document.key, document.hash);
    }
    let counts = |entry: &ConsentEntry| {
        let from = if entry.past { entry.from } else { entry.from.max(entry.at) };
        let overtaken = entry.document.is_some_and(|it| latest.get(&it.key) != Some(&it.hash));
        entry.ruling != Ruling::End && !overtaken && from <= at && entry.until.is_none_or(|until| at < until)
    };
    let mut found: Option<ConsentAnswer> = None;
    for member in ways.keys() {
        let speaks = |entry: &ConsentEntry| {
            entry.patient == *member || together_by(ways, entry.patient, *member) <= entry.link
        };
        let governing = entries.iter().rev().find(|(_, entry)| counts(entry) && speaks(entry));
        let Some((id, entry)) = governing else { continue };
        let permit = entry.ruling == Ruling::Grant;
        found = match found {
            Some(before) if before.permit == permit => {
                Some(ConsentAnswer { permit, entry: before.entry.max(Some(*id)) })
            }
            Some(before) if !before.permit => Some(before),
            _ => Some(ConsentAnswer { permit, entry: Some(*id) }),
        };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{migrate, plan};

    #[test]
    fn a_lookup_is_a_seek_and_walks_nothing_of_others() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        let steps = plan(&conn, &of_patient());
        assert_eq!(steps.len(), 1, "nothing is sorted: {steps:?}");
        assert!(steps[0].contains("INDEX consent_patient (patient=? AND purpose=?)"), "{steps:?}");
    }

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
