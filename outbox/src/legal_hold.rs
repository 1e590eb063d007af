//! Legal holds: orders that nothing of a patient, of some days, of a site or of all be removed.
//!
//! Invariants: a hold is added and ended with an audit entry in its transaction, and never deleted; removing looks at the
//! holds in force in its own transaction, so a hold that is answered holds from then on; a hold of a patient holds everyone
//! whom a link, undone or not, has ever joined to that patient. Messages and posted resources are filed by no patient, so a
//! hold of one patient holds all of them at the patient's site.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    audit::{self, AuditEntry},
    command::{Command, Hot},
    error::{Conflict, ReadError, WriteError},
};

/// What is held. All that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HoldScope {
    /// Of this site; `None` is any.
    pub site: Option<String>,
    /// Of this patient, by the number in this store; `None` is any.
    pub patient: Option<i64>,
    /// What lies in this span, both ends included, in milliseconds; `None` is any time.
    pub span: Option<(i64, i64)>,
}

/// A hold as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegalHold {
    /// Its number.
    pub id: i64,
    /// When it was added, in milliseconds.
    pub at: i64,
    /// By whom.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// What it holds.
    pub scope: HoldScope,
    /// When it was ended, by whom and why; `None` while it is in force.
    pub ended: Option<(i64, String, String)>,
}

const COLUMNS: &str = "SELECT id, at, actor, reason, site, patient, from_at, until_at, ended_at, ended_by, ended_reason FROM legal_hold";

fn hold_of(row: &Row<'_>) -> rusqlite::Result<LegalHold> {
    let (from, until): (Option<i64>, Option<i64>) = (row.get(6)?, row.get(7)?);
    let ended_at: Option<i64> = row.get(8)?;
    let ended = match ended_at {
        Some(at) => Some((at, row.get(9)?, row.get(10)?)),
        None => None,
    };
    Ok(LegalHold {
        id: row.get(0)?,
        at: row.get(1)?,
        actor: row.get(2)?,
        reason: row.get(3)?,
        scope: HoldScope { site: row.get(4)?, patient: row.get(5)?, span: from.zip(until) },
        ended,
    })
}

/// Holds, the newest first: those in force, or all.
pub(crate) fn list(conn: &Connection, all: bool, limit: usize) -> Result<Vec<LegalHold>, ReadError> {
    let filter = if all { "" } else { "WHERE ended_at IS NULL" };
    let sql = format!("{COLUMNS} {filter} ORDER BY id DESC LIMIT ?1");
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map([limit as i64], hold_of)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How many are in force.
pub(crate) fn in_force(conn: &Connection) -> Result<u64, ReadError> {
    let count = "SELECT count(*) FROM legal_hold WHERE ended_at IS NULL";
    Ok(conn.prepare_cached(count)?.query_row([], |row| row.get::<_, i64>(0))?.unsigned_abs())
}

/// Whether one in force is of this site, of whatever there, or of all sites.
pub(crate) fn is_of_site(conn: &Connection, site: &str) -> Result<bool, ReadError> {
    let exists =
        "SELECT EXISTS (SELECT 1 FROM legal_hold WHERE ended_at IS NULL AND (site IS NULL OR site = ?1))";
    Ok(conn.prepare_cached(exists)?.query_row([site], |row| row.get(0))?)
}

/// The holds in force, with everyone whom they hold.
pub(crate) struct Holds(Vec<(HoldScope, BTreeSet<i64>)>);

impl Holds {
    pub(crate) fn read(conn: &Connection) -> rusqlite::Result<Self> {
        let sql = format!("{COLUMNS} WHERE ended_at IS NULL");
        let mut statement = conn.prepare_cached(&sql)?;
        let holds = statement.query_map([], hold_of)?.collect::<rusqlite::Result<Vec<_>>>()?;
        let with_people = |hold: LegalHold| {
            let people = match hold.scope.patient {
                Some(patient) => person(conn, patient)?,
                None => BTreeSet::new(),
            };
            Ok((hold.scope, people))
        };
        Ok(Self(holds.into_iter().map(with_people).collect::<rusqlite::Result<_>>()?))
    }

    /// Whether something is held: of a site, of a patient where it is filed by one, and of a span of time.
    pub(crate) fn hold(&self, site: &str, patient: Option<i64>, (from, until): (i64, i64)) -> bool {
        self.0.iter().any(|(scope, people)| {
            let of_site = scope.site.as_deref().is_none_or(|held| held == site);
            let of_patient =
                scope.patient.is_none() || patient.is_none_or(|patient| people.contains(&patient));
            let of_time = scope.span.is_none_or(|(first, last)| from <= last && until >= first);
            of_site && of_patient && of_time
        })
    }
}

/// Everyone whom links join to a patient, undone ones too, and the patient.
pub(crate) fn person(conn: &Connection, patient: i64) -> rusqlite::Result<BTreeSet<i64>> {
    let mut found = BTreeSet::from([patient]);
    let mut open = vec![patient];
    let mut statement = conn.prepare_cached(
        "SELECT parent FROM patient_link WHERE child = ?1 UNION SELECT child FROM patient_link WHERE parent = ?1",
    )?;
    while let Some(next) = open.pop() {
        let others =
            statement.query_map([next], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
        open.extend(others.into_iter().filter(|other| found.insert(*other)));
    }
    Ok(found)
}

/// The command that adds a hold. Returns its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddHold {
    /// What is held.
    pub scope: HoldScope,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Now, in milliseconds.
    pub at: i64,
}

impl Command for AddHold {
    type Out = i64;

    fn bytes(&self) -> usize {
        self.reason.len()
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<i64, WriteError> {
        self.carry_out(conn)
    }
}

impl AddHold {
    pub(crate) fn carry_out(self, conn: &Connection) -> Result<i64, WriteError> {
        let Self { scope, actor, reason, at } = self;
        let (from, until) = scope.span.unzip();
        conn.prepare_cached(
            "INSERT INTO legal_hold (at, actor, reason, site, patient, from_at, until_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![at, actor, reason, &scope.site, scope.patient, from, until])?;
        let id = conn.last_insert_rowid();
        let object = format!("legal hold {id}");
        let detail = format!("{}: {reason}", told(conn, &scope)?);
        let entry = AuditEntry { actor, action: "legal hold added".to_owned(), object, detail, at };
        audit::append(conn, &[entry])?;
        Ok(id)
    }
}

/// What a hold is of, in words of the audit log: numbers and names of this store, times in UTC.
fn told(conn: &Connection, scope: &HoldScope) -> rusqlite::Result<String> {
    // A year that a calendar has no name for stays a number.
    let time = |ms: i64| -> rusqlite::Result<String> {
        conn.query_row(
            "SELECT coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', ?1 / 1000.0, 'unixepoch'), ?1 || ' ms')",
            [ms],
            |row| row.get(0),
        )
    };
    let mut words = Vec::new();
    if let Some(patient) = scope.patient {
        words.push(format!("patient {patient}"));
    }
    if let Some(site) = &scope.site {
        words.push(format!("site {site}"));
    }
    if let Some((from, until)) = scope.span {
        words.push(format!("from {} to {}", time(from)?, time(until)?));
    }
    Ok(if words.is_empty() { "everything".to_owned() } else { words.join(", ") })
}

/// The command that ends a hold. [`Conflict::Edge`] where it is not in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndHold {
    /// Its number.
    pub id: i64,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Now, in milliseconds.
    pub at: i64,
}

impl Command for EndHold {
    type Out = ();

    fn bytes(&self) -> usize {
        self.reason.len()
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<(), WriteError> {
        let Self { id, actor, reason, at } = self;
        let ended: Option<i64> = conn
            .prepare_cached(
                "UPDATE legal_hold SET ended_at = ?2, ended_by = ?3, ended_reason = ?4
                 WHERE id = ?1 AND ended_at IS NULL RETURNING id",
            )?
            .query_row(params![id, at, actor, reason], |row| row.get(0))
            .optional()?;
        if ended.is_none() {
            return Err(Conflict::Edge.into());
        }
        let object = format!("legal hold {id}");
        let entry = AuditEntry { actor, action: "legal hold ended".to_owned(), object, detail: reason, at };
        Ok(audit::append(conn, &[entry])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    #[test]
    fn the_audit_log_says_what_is_held_and_from_when_to_when() {
        let conn = Connection::open_in_memory().unwrap();
        schema::migrate(&conn).unwrap();
        let span = Some((1_767_225_600_000, 1_798_761_599_999));
        for (scope, wanted) in [
            (HoldScope::default(), "everything: case 1"),
            (HoldScope { site: Some("north".to_owned()), ..HoldScope::default() }, "site north: case 1"),
            (
                HoldScope { site: Some("north".to_owned()), patient: None, span },
                "site north, from 2026-01-01T00:00:00.000Z to 2026-12-31T23:59:59.999Z: case 1",
            ),
            (
                HoldScope { span: Some((0, i64::MAX)), ..HoldScope::default() },
                "from 1970-01-01T00:00:00.000Z to 9223372036854775807 ms: case 1",
            ),
        ] {
            let add = AddHold { scope, actor: "a".to_owned(), reason: "case 1".to_owned(), at: 1 };
            let id = add.carry_out(&conn).unwrap();
            let entry: (String, String) = conn
                .query_row(
                    "SELECT object, detail FROM audit WHERE action = 'legal hold added' ORDER BY id DESC LIMIT 1",
                    [],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .unwrap();
            assert_eq!(entry, (format!("legal hold {id}"), wanted.to_owned()));
        }
    }
}
