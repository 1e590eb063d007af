//! Links between identifiers: what was said of who is who, and what was taken back.
//!
//! Invariant: a link is inserted, agreed to and undone, never changed otherwise or deleted, so that the list of them is
//! the history.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    audit::{self, AuditEntry},
    command::{Command, Hot},
    error::{Conflict, ReadError, WriteError},
    identify,
    rehome::{self, Rehoming, Withdrawal},
};

/// A link as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub id: i64,
    /// Whose readings count for the other.
    pub child: i64,
    /// For whom they count.
    pub parent: i64,
    /// `adt`, `order`, `merge`, `change`, `rename`, `move` or `related`.
    pub kind: String,
    /// The message that said so.
    pub inbox_id: i64,
    /// The site of both.
    pub site: String,
    /// When it was made, in milliseconds.
    pub at: i64,
    /// When it was undone, in milliseconds.
    pub undone_at: Option<i64>,
}

/// What says that a link is, or is no more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said {
    pub inbox_id: i64,
    pub ordinal: i64,
    pub said_at: i64,
    pub at: i64,
}

pub(crate) fn insert(
    conn: &Connection,
    child: i64,
    parent: i64,
    kind: &str,
    said: Said,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO patient_link (child, parent, kind, inbox_id, ordinal, said_at, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![child, parent, kind, said.inbox_id, said.ordinal, said.said_at, said.at])?;
    Ok(())
}

/// Undoes one link.
pub(crate) fn undo(conn: &Connection, link: i64, said_at: i64, at: i64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE patient_link SET undone_at = ?2, undone_said_at = ?3 WHERE id = ?1 AND undone_at IS NULL",
    )?
    .execute(params![link, at, said_at])?;
    Ok(())
}

/// Whether this place of this message has made a link before.
pub(crate) fn is_made(conn: &Connection, said: Said) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM patient_link WHERE inbox_id = ?1 AND ordinal = ?2")?
        .exists([said.inbox_id, said.ordinal])
}

/// The link by which a patient was merged, renumbered or moved into another: its number, parent, kind and when it
/// was said.
pub(crate) fn upward(conn: &Connection, child: i64) -> rusqlite::Result<Option<(i64, i64, String, i64)>> {
    conn.prepare_cached(
        "SELECT id, parent, kind, said_at FROM patient_link
         WHERE child = ?1 AND undone_at IS NULL AND kind IN ('merge', 'change', 'rename', 'move')",
    )?
    .query_row([child], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
    .optional()
}

/// Whether such a link was made before and taken back by something said then or later. The link of a `rename` leads the
/// other way.
pub(crate) fn is_taken_back(
    conn: &Connection,
    child: i64,
    parent: i64,
    said_at: i64,
) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT 1 FROM patient_link WHERE undone_said_at >= ?3
         AND ((child = ?1 AND parent = ?2 AND kind IN ('merge', 'change', 'rename', 'move'))
           OR (child = ?2 AND parent = ?1 AND kind = 'rename'))",
    )?
    .exists(params![child, parent, said_at])
}

/// The links that bind an identifier of another kind to patients: number, parent and when it was said.
pub(crate) fn bonds(conn: &Connection, child: i64) -> rusqlite::Result<Vec<(i64, i64, i64)>> {
    conn.prepare_cached(
        "SELECT id, parent, said_at FROM patient_link
         WHERE child = ?1 AND undone_at IS NULL AND kind IN ('adt', 'order') ORDER BY id",
    )?
    .query_map([child], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
    .collect()
}

/// Whether an identifier may be bound to a patient by what was said then: it is not yet, and nothing said later has
/// taken that back.
pub(crate) fn may_bind(conn: &Connection, child: i64, parent: i64, said_at: i64) -> rusqlite::Result<bool> {
    let against = conn
        .prepare_cached(
            "SELECT 1 FROM patient_link WHERE child = ?1 AND parent = ?2 AND kind IN ('adt', 'order')
             AND (undone_at IS NULL OR undone_said_at >= ?3)",
        )?
        .exists(params![child, parent, said_at])?;
    Ok(!against)
}

/// The link that says that two records are of one person, and when that was said.
pub(crate) fn related(conn: &Connection, one: i64, other: i64) -> rusqlite::Result<Option<(i64, i64)>> {
    conn.prepare_cached(
        "SELECT id, said_at FROM patient_link WHERE undone_at IS NULL AND kind = 'related'
         AND ((child = ?1 AND parent = ?2) OR (child = ?2 AND parent = ?1))",
    )?
    .query_row([one, other], |row| Ok((row.get(0)?, row.get(1)?)))
    .optional()
}

/// The command that undoes a link by its number; it stands against what was said before it. [`Conflict::Missing`] where
/// there is none, [`Conflict::Edge`] where it is undone already, [`Conflict::Readings`] where it is a `rename` and there
/// are readings under both numbers, which can go back to one name only.
pub(crate) struct UndoLink {
    pub link: i64,
    pub how: Rehoming,
    pub actor: String,
}

impl Command for UndoLink {
    type Out = Vec<Withdrawal>;

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Vec<Withdrawal>, WriteError> {
        let link = conn
            .prepare_cached(&format!("{SELECT} WHERE l.id = ?1"))?
            .query_row([self.link], link_of)
            .optional()?
            .ok_or(Conflict::Missing)?;
        if link.undone_at.is_some() {
            return Err(Conflict::Edge.into());
        }
        let at = self.how.at;
        let undo = || Ok(undo(conn, self.link, at, at)?);
        let withdrawals = rehome::relink(conn, link.child, &self.how, undo)?;
        if link.kind == "rename" {
            if rehome::has_readings(conn, link.child)? {
                return Err(Conflict::Readings.into());
            }
            let said = Said { inbox_id: link.inbox_id, ordinal: 0, said_at: at, at };
            identify::rename_back(conn, &link, said, &self.how)?;
        }
        let action = match link.kind.as_str() {
            "merge" => "patient unmerge",
            _ => "patient unlink",
        };
        audit::append(
            conn,
            &[AuditEntry {
                actor: self.actor,
                action: action.to_owned(),
                object: format!("patient {}", link.child),
                detail: format!("from patient {}; link {} ({})", link.parent, link.id, link.kind),
                at,
            }],
        )?;
        Ok(withdrawals)
    }
}

const SELECT: &str = "SELECT l.id, l.child, l.parent, l.kind, l.inbox_id, p.site, l.at, l.undone_at
    FROM patient_link l JOIN patient p ON p.id = l.parent";

fn link_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Link> {
    Ok(Link {
        id: row.get(0)?,
        child: row.get(1)?,
        parent: row.get(2)?,
        kind: row.get(3)?,
        inbox_id: row.get(4)?,
        site: row.get(5)?,
        at: row.get(6)?,
        undone_at: row.get(7)?,
    })
}

/// Links by which patients were merged, renumbered, moved or linked, the newest first; which other identifiers a patient
/// has is not among them.
pub(crate) fn newest(conn: &Connection, limit: usize) -> Result<Vec<Link>, ReadError> {
    let sql = format!("{SELECT} WHERE l.kind NOT IN ('adt', 'order') ORDER BY l.id DESC LIMIT ?1");
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map([limit as i64], link_of)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
