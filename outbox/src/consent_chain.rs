//! The chain of the consent ledger: every entry with the hash of the one before it.
//!
//! Invariants
//! - The hash of an entry covers the one before it, in the form of the audit log. That the end was cut off shows against a
//!   head exported earlier, and against the audit log, which has each entry's number and the beginning of its hash.
//! - It covers the identifier that was named too, by a salted hash of it: the identifier that a number of the ledger has now
//!   is that one, or was exchanged for it by a message that gave a patient another identifier (a link of the kind
//!   `rename`). A ledger whose numbers lead to other people does not verify.

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use crate::{
    audit,
    consent::{COLUMNS, ConsentEntry, ConsentHead, entry_of},
    error::ReadError,
    patients::{self, PatientKey},
};

/// How many entries there are, within a statement.
pub(crate) const RECORDED: &str = "(SELECT coalesce(max(id), 0) FROM consent)";
/// Name of the salt of identifiers in the store.
const SALT: &str = "consent-salt";

/// Every column but number and time as text, each in one spelling.
fn texts(entry: &ConsentEntry, named: &[u8; 32]) -> Vec<String> {
    let number = |number: Option<i64>| number.map_or_else(String::new, |number| number.to_string());
    let hex = |bytes: [u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    vec![
        entry.patient.to_string(),
        hex(*named),
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
        u8::from(entry.document.is_some_and(|document| document.stamped)).to_string(),
        entry.actor.clone(),
        entry.behalf.clone(),
        entry.reason.clone(),
    ]
}

fn link(before: &[u8; 32], id: i64, entry: &ConsentEntry, named: &[u8; 32]) -> [u8; 32] {
    audit::link_of(before, id, entry.at, &texts(entry, named))
}

/// The box's salt of identifiers, without which a hash that was exported would tell an identifier by trying all there are.
fn salt(conn: &Connection) -> rusqlite::Result<Option<Vec<u8>>> {
    conn.prepare_cached("SELECT value FROM meta WHERE name = ?1")?
        .query_row([SALT], |row| row.get(0))
        .optional()
}

/// The salted hash of an identifier.
fn hash_of(salt: &[u8], key: &PatientKey) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [salt, key.site.as_bytes(), key.system.as_bytes(), key.value.as_bytes()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Whether a number has the identifier with this hash, or had it before it was given another one: then a number that a
/// `rename` leads from or to has it.
fn is_named(conn: &Connection, salt: &[u8], patient: i64, named: &[u8; 32]) -> rusqlite::Result<bool> {
    let mut find = conn.prepare_cached(
        "SELECT site, system, value FROM patient WHERE id = ?1
         UNION ALL SELECT p.site, p.system, p.value FROM patient_link l JOIN patient p ON p.id = l.child
           WHERE l.parent = ?1 AND l.kind = 'rename'
         UNION ALL SELECT p.site, p.system, p.value FROM patient_link l JOIN patient p ON p.id = l.parent
           WHERE l.child = ?1 AND l.kind = 'rename'",
    )?;
    let mut rows = find.query([patient])?;
    while let Some(row) = rows.next()? {
        let key = PatientKey { site: row.get(0)?, system: row.get(1)?, value: row.get(2)? };
        if hash_of(salt, &key) == *named {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Appends one entry; its number, and the head after it.
pub(crate) fn append(conn: &Connection, entry: &ConsentEntry) -> rusqlite::Result<(i64, ConsentHead)> {
    let newest_link: Option<i64> =
        conn.prepare_cached("SELECT max(id) FROM patient_link")?.query_row([], |row| row.get(0))?;
    let entry = &ConsentEntry { link: newest_link.unwrap_or(0), ..entry.clone() };
    conn.prepare_cached("INSERT INTO meta (name, value) VALUES (?1, randomblob(32)) ON CONFLICT DO NOTHING")?
        .execute([SALT])?;
    let named = hash_of(&salt(conn)?.unwrap_or_default(), &patients::key_of(conn, entry.patient)?);
    let before = head(conn)?;
    let id = before.entries as i64 + 1;
    let hash = link(&before.hash, id, entry, &named);
    conn.prepare_cached(&format!(
        "INSERT INTO consent ({COLUMNS})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)"
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
        hash,
        entry.document.is_some_and(|document| document.stamped),
        named
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
    let salt = salt(conn)?.unwrap_or_default();
    let mut head = ConsentHead { entries: 0, hash: [0; 32] };
    let mut met = known.is_none_or(|known| known == head);
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let next = head.entries + 1;
        // What cannot be read as an entry any more was changed too.
        let read = entry_of(row).and_then(|entry| Ok((entry, row.get(19)?, row.get::<_, [u8; 32]>(17)?)));
        let (entry, named, stored) = read.map_err(|_| ReadError::ConsentBroken(id))?;
        if id != next as i64 || link(&head.hash, id, &entry, &named) != stored {
            return Err(ReadError::ConsentBroken(id));
        }
        if !is_named(conn, &salt, entry.patient, &named)? {
            return Err(ReadError::ConsentBroken(id));
        }
        head = ConsentHead { entries: next, hash: stored };
        met |= known == Some(head);
    }
    match known {
        Some(known) if !met => Err(ReadError::ConsentBroken(known.entries as i64)),
        _ => Ok(head),
    }
}
