//! Patients of whom different birth dates are known since identifiers were merged: nothing is written for them.
//!
//! Invariants: the merge itself is recorded, so that it can be looked at and undone; whether a patient is in doubt is
//! decided in the transaction that changes a link or a birth date, and stands as a condition whose scope is
//! `patient N`; it ends when no standing merge contradicts any more: a message put a date right, the merge was undone,
//! or a person said that the two are one all the same. Dates are compared as digits, and one that states less agrees
//! where it is the beginning of the other; none of them is told.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    audit::{self, AuditEntry},
    command::{Command, Hot},
    conditions,
    error::{Conflict, WriteError},
    facts,
    lineage::{self, Root},
};

/// Name of the condition that stands while nothing may be written for a patient.
pub const IN_DOUBT: &str = "patient-in-doubt";
/// Links named in the words of one condition; the list of links has the others.
const NAMED_MOST: usize = 8;

fn scope(patient: i64) -> String {
    format!("patient {patient}")
}

/// Whether merges into a patient contradict each other's birth dates.
pub(crate) fn stands(conn: &Connection, patient: i64) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM condition WHERE name = ?1 AND scope = ?2")?
        .exists(params![IN_DOUBT, scope(patient)])
}

/// Decides anew whether a patient is in doubt, raises or ends the condition, and lets what was held go.
pub(crate) fn renew(conn: &Connection, patient: i64, at: i64) -> rusqlite::Result<()> {
    let links = match lineage::root(conn, patient)? {
        Root::One(owner) if owner == patient => contradicting(conn, patient)?,
        _ => Vec::new(),
    };
    if !links.is_empty() {
        let mut named: Vec<String> = links.iter().take(NAMED_MOST).map(i64::to_string).collect();
        if links.len() > NAMED_MOST {
            named.push("others".to_owned());
        }
        let detail = format!(
            "link {}: the birth date of an identifier that was merged into patient {patient} contradicts that patient's; \
             nothing is written for the patient until a message puts it right, `isthmus identity unmerge LINK` undoes the \
             merge, or `isthmus identity agree LINK --reason TEXT` says that they are one",
            named.join(", ")
        );
        return conditions::raise(conn, IN_DOUBT, &scope(patient), &detail, at);
    }
    if conditions::clear(conn, IN_DOUBT, &scope(patient))? {
        conn.prepare_cached(
            "UPDATE outbox SET next_at = min(next_at, ?2) WHERE id IN (SELECT id FROM outbox
             WHERE patient = ?1 AND head = 1 AND state = 'pending')",
        )?
        .execute([patient, at])?;
    }
    Ok(())
}

/// The standing links below a patient whose lower end has another birth date. What a person agreed to is compared
/// with itself only.
fn contradicting(conn: &Connection, patient: i64) -> rusqlite::Result<Vec<i64>> {
    let mut below = conn.prepare_cached(
        "SELECT id, child, agreed_at IS NOT NULL FROM patient_link
         WHERE parent = ?1 AND undone_at IS NULL AND kind IN ('merge', 'change', 'rename', 'move') ORDER BY id",
    )?;
    let mut found = Vec::new();
    // Links lead upwards without circles, so this ends.
    let mut next = vec![(patient, known(conn, patient)?)];
    while let Some((above, expected)) = next.pop() {
        let mut expected = expected;
        let links = below.query_map([above], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let links: Vec<(i64, i64, bool)> = links.collect::<Result<_, _>>()?;
        for (link, child, agreed) in links {
            let own = known(conn, child)?;
            if agreed {
                next.push((child, own));
                continue;
            }
            if let (Some(one), Some(other)) = (&expected, &own)
                && !one.starts_with(other.as_str())
                && !other.starts_with(one.as_str())
            {
                found.push(link);
            }
            // Where nothing is known above, the first that is known decides.
            expected = expected.or(own);
            next.push((child, expected.clone()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The birth date of an identifier as its registration says, else as its results say.
fn known(conn: &Connection, patient: i64) -> rusqlite::Result<Option<String>> {
    let births = facts::births(conn, patient)?;
    Ok(births.registered.or(births.of_results))
}

/// The command by which a person says that a merge is right although the birth dates contradict.
/// [`Conflict::Missing`] where there is no such link, [`Conflict::Edge`] where it is not what holds its patient.
pub(crate) struct Agree {
    pub link: i64,
    pub actor: String,
    pub reason: String,
    pub at: i64,
}

impl Command for Agree {
    type Out = ();

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<(), WriteError> {
        let ends: Option<(i64, i64)> = conn
            .prepare_cached("SELECT child, parent FROM patient_link WHERE id = ?1")?
            .query_row([self.link], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (child, parent) = ends.ok_or(Conflict::Missing)?;
        let Root::One(owner) = lineage::root(conn, parent)? else { return Err(Conflict::Edge.into()) };
        if !contradicting(conn, owner)?.contains(&self.link) {
            return Err(Conflict::Edge.into());
        }
        conn.prepare_cached("UPDATE patient_link SET agreed_at = ?2 WHERE id = ?1")?
            .execute([self.link, self.at])?;
        renew(conn, owner, self.at)?;
        let entry = AuditEntry {
            actor: self.actor,
            action: "patient agreed".to_owned(),
            object: format!("patient {child}"),
            detail: format!(
                "with patient {parent}, although their birth dates contradict; link {}: {}",
                self.link, self.reason
            ),
            at: self.at,
        };
        audit::append(conn, &[entry])?;
        Ok(())
    }
}
