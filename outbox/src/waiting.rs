//! The identity queue: messages whose patient could not be told, and the names they wait for.
//!
//! Invariants: an entry ends when its message was read anew and what it says was not met again; that a message has its
//! patient now is in the audit log; what is met again keeps its age, and what a person dropped stays dropped; a message
//! is asked for again when something was learned of a name that it waits for, a bounded number at a time.

use rusqlite::{Connection, params};

use crate::{
    again::{self, ReadAgain},
    audit::{self, AuditEntry},
    error::ReadError,
    facts::Fact,
    patients::PatientKey,
    quarantine::{self, IdentityEntry},
};

/// A message and a name it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The message.
    pub inbox_id: i64,
    /// The name: something is to be learned of it.
    pub name: PatientKey,
}

/// A file whose message is about one patient, whom somebody has to name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSeen {
    /// The message it came in.
    pub inbox_id: i64,
    /// Its site.
    pub site: String,
    /// Its feed.
    pub source: String,
    /// SHA-256 of the file alone: whose it is stands beside it in the message.
    pub sha256: [u8; 32],
    /// It came with its patient.
    pub named: bool,
}

/// What an absorb learned of who is who, beside the readings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learned {
    /// For which names the messages of the identity entries wait.
    pub waits: Vec<Wait>,
    /// Files, in the order of their messages.
    pub files: Vec<FileSeen>,
    /// What results say of patients: patient's number, message, when it was said, what.
    pub facts: Vec<(i64, i64, i64, Fact)>,
}

/// Ends the entries of messages that were read anew and have their patient now, and adds new ones. What is met again
/// keeps its entry, and so its age; one that a person dropped stays dropped. The entries that stay in `entries` are new.
pub(crate) fn renew(
    conn: &Connection,
    read: &[ReadAgain],
    entries: &mut Vec<IdentityEntry>,
    waits: &[Wait],
) -> rusqlite::Result<()> {
    for &ReadAgain { inbox_id, at, .. } in read {
        conn.prepare_cached("DELETE FROM identity_wait WHERE inbox_id = ?1")?.execute([inbox_id])?;
        let found = !entries.iter().any(|entry| entry.inbox_id == inbox_id);
        let held = again::entries(
            conn,
            "SELECT id, '', '', reason, state FROM identity_queue WHERE inbox_id = ?1
             AND state IN ('open', 'dropped') ORDER BY id",
            inbox_id,
        )?;
        let gone = again::unmet(held, entries, |entry| {
            (entry.inbox_id == inbox_id).then(|| ["", "", &*entry.reason])
        });
        if let (true, Some(since)) = (found, since(conn, &gone)?) {
            audit::append(conn, &[known(inbox_id, since, at)])?;
        }
        again::resolve(conn, RESOLVE, &gone, at)?;
    }
    for entry in &*entries {
        quarantine::insert_identity(conn, entry)?;
    }
    for wait in waits {
        conn.prepare_cached(
            "INSERT OR REPLACE INTO identity_wait (site, system, value, inbox_id) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![wait.name.site, wait.name.system, wait.name.value, wait.inbox_id])?;
    }
    Ok(())
}

/// In place of a system: what waits for it is a file. No identifier has a `^` in the front.
const FILE: &str = "^file";

/// A file without its patient waits for the same one with a name; when that comes, its entries end. What a person
/// dropped stays dropped.
pub(crate) fn files(conn: &Connection, seen: &[FileSeen], at: i64) -> rusqlite::Result<()> {
    for file in seen {
        let hash: String = file.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let value = format!("{hash} {}", file.source);
        if !file.named {
            conn.prepare_cached(
                "INSERT OR REPLACE INTO identity_wait (site, system, value, inbox_id) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![file.site, FILE, value, file.inbox_id])?;
            continue;
        }
        let nameless: Vec<i64> = conn
            .prepare_cached(
                "DELETE FROM identity_wait WHERE site = ?1 AND system = ?2 AND value = ?3 RETURNING inbox_id",
            )?
            .query_map(params![file.site, FILE, value], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for inbox_id in nameless {
            let open: Vec<i64> = conn
                .prepare_cached("SELECT id FROM identity_queue WHERE inbox_id = ?1 AND state = 'open'")?
                .query_map([inbox_id], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            if let Some(since) = since(conn, &open)? {
                audit::append(conn, &[known(inbox_id, since, at)])?;
            }
            again::resolve(conn, RESOLVE, &open, at)?;
        }
    }
    Ok(())
}

const RESOLVE: &str =
    "UPDATE identity_queue SET state = 'resolved', state_at = ?2, state_by = ?3 WHERE id = ?1";

/// Since when the first of these entries waited.
fn since(conn: &Connection, entries: &[i64]) -> rusqlite::Result<Option<i64>> {
    let mut first: Option<i64> = None;
    for id in entries {
        let at = conn
            .prepare_cached("SELECT at FROM identity_queue WHERE id = ?1")?
            .query_row([id], |row| row.get(0))?;
        first = Some(first.map_or(at, |first| first.min(at)));
    }
    Ok(first)
}

fn known(inbox_id: i64, since: i64, at: i64) -> AuditEntry {
    AuditEntry {
        actor: "isthmus".to_owned(),
        action: "identity found".to_owned(),
        object: format!("message {inbox_id}"),
        detail: format!("it had waited for {} s", (at - since).max(0) / 1_000),
        at,
    }
}

/// Something was learned of a name: the messages that wait for it are due.
pub(crate) fn learned(conn: &Connection, name: &PatientKey) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE identity_wait SET due = 1 WHERE site = ?1 AND system = ?2 AND value = ?3 AND due = 0",
    )?
    .execute(params![name.site, name.system, name.value])?;
    Ok(())
}

/// As [`learned`], of an identifier by its number.
pub(crate) fn learned_of(conn: &Connection, id: i64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE identity_wait SET due = 1 WHERE due = 0
           AND (site, system, value) = (SELECT site, system, value FROM patient WHERE id = ?1)",
    )?
    .execute([id])?;
    Ok(())
}

/// Messages that are due to be read anew; what a person gave up is not.
pub(crate) fn due(conn: &Connection, limit: usize) -> Result<Vec<i64>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT DISTINCT w.inbox_id FROM identity_wait w WHERE w.due = 1
           AND EXISTS (SELECT 1 FROM identity_queue q WHERE q.inbox_id = w.inbox_id AND q.state = 'open')
         ORDER BY w.inbox_id LIMIT ?1",
    )?;
    let rows = statement.query_map([limit as i64], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Asks for messages to be absorbed again. What they wait for is known now, or they wait anew.
pub(crate) fn ask_again(conn: &Connection, messages: &[i64], at: i64) -> rusqlite::Result<()> {
    for inbox_id in messages {
        conn.prepare_cached("INSERT OR IGNORE INTO again (inbox_id, asked_at) VALUES (?1, ?2)")?
            .execute(params![inbox_id, at])?;
        conn.prepare_cached("UPDATE identity_wait SET due = 0 WHERE inbox_id = ?1")?.execute([inbox_id])?;
    }
    Ok(())
}

/// An entry of the identity queue with what people look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The message.
    pub inbox_id: i64,
    /// Its site.
    pub site: String,
    /// Its feed.
    pub source: String,
    /// Why its patient could not be told.
    pub reason: String,
    /// Since when it waits, in milliseconds.
    pub at: i64,
    /// The names it waits for.
    pub names: Vec<PatientKey>,
}

/// The longest waiting first.
pub(crate) fn oldest(conn: &Connection, limit: usize) -> Result<Vec<Waiting>, ReadError> {
    let mut statement = conn.prepare_cached(
        "SELECT q.inbox_id, coalesce(i.site, ''), coalesce(i.source, ''), q.reason, q.at
         FROM identity_queue q LEFT JOIN inbox i ON i.id = q.inbox_id
         WHERE q.state = 'open' ORDER BY q.at, q.id LIMIT ?1",
    )?;
    let rows = statement.query_map([limit as i64], |row| {
        Ok(Waiting {
            inbox_id: row.get(0)?,
            site: row.get(1)?,
            source: row.get(2)?,
            reason: row.get(3)?,
            at: row.get(4)?,
            names: Vec::new(),
        })
    })?;
    let mut found: Vec<Waiting> = rows.collect::<Result<_, _>>()?;
    let mut names = conn.prepare_cached(
        "SELECT site, system, value FROM identity_wait WHERE inbox_id = ?1 AND system <> ?2",
    )?;
    for entry in &mut found {
        let of = |row: &rusqlite::Row<'_>| {
            Ok(PatientKey { site: row.get(0)?, system: row.get(1)?, value: row.get(2)? })
        };
        entry.names = names.query_map(params![entry.inbox_id, FILE], of)?.collect::<Result<_, _>>()?;
    }
    Ok(found)
}
