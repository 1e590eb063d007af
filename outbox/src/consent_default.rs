//! What holds at a site where the ledger says nothing, and decisions whose time comes.
//!
//! Invariants: the audit log has every change of what holds where nobody decided, with site, purpose, from and to; whatever
//! may leave by a change is let go in its transaction, and whatever may not is stopped at the lease.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

use crate::{
    audit::{self, AuditEntry},
    command::{Command, Hot},
    consent::Purpose,
    consent_rows::{self, Moved},
    error::WriteError,
};

/// What holds at a site where the ledger says nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConsentDefault {
    /// The site.
    pub site: String,
    /// For what.
    pub purpose: Purpose,
    /// It may leave.
    pub permit: bool,
}

/// The command that puts the sites' defaults in force, in the place of all before; rows that are held and may go by them
/// are let go. What may not is stopped at the lease.
pub(crate) struct SetDefaults {
    pub defaults: Vec<ConsentDefault>,
    pub at: i64,
}

impl Command for SetDefaults {
    type Out = Moved;

    fn bytes(&self) -> usize {
        self.defaults.len() * 32
    }

    fn apply(self, conn: &Connection, hot: &mut Hot) -> Result<Moved, WriteError> {
        tell(conn, &self.defaults, self.at)?;
        conn.prepare_cached("DELETE FROM consent_default")?.execute([])?;
        let mut insert =
            conn.prepare_cached("INSERT INTO consent_default (site, purpose, permit) VALUES (?1, ?2, ?3)")?;
        for default in &self.defaults {
            insert.execute(params![default.site, default.purpose.word(), default.permit])?;
        }
        Renew { at: self.at }.apply(conn, hot)
    }
}

/// Writes down what changes: what nobody said is as it is shipped.
fn tell(conn: &Connection, defaults: &[ConsentDefault], at: i64) -> Result<(), WriteError> {
    let mut find = conn.prepare_cached("SELECT site, purpose, permit FROM consent_default")?;
    let before: BTreeMap<(String, String), bool> =
        find.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?.collect::<Result<_, _>>()?;
    let after = defaults.iter().map(|it| ((it.site.clone(), it.purpose.word().to_owned()), it.permit));
    let after: BTreeMap<(String, String), bool> = after.collect();
    let named: BTreeSet<&(String, String)> = before.keys().chain(after.keys()).collect();
    let word = |permit| if permit { "permit" } else { "deny" };
    let mut audits = Vec::new();
    for key @ (site, purpose) in named {
        let shipped = Purpose::parse(purpose).is_some_and(Purpose::is_permitted_by_default);
        let of = |told: &BTreeMap<(String, String), bool>| told.get(key).copied().unwrap_or(shipped);
        let (from, to) = (of(&before), of(&after));
        if from != to {
            audits.push(AuditEntry {
                actor: "isthmus".to_owned(),
                action: "consent default changed".to_owned(),
                object: format!("site {site} {purpose}"),
                detail: format!("from {} to {}, by the configuration", word(from), word(to)),
                at,
            });
        }
    }
    Ok(audit::append(conn, &audits)?)
}

/// The command that lets go what is held and may leave by now. What may not leave any more is stopped at the lease.
pub(crate) struct Renew {
    pub at: i64,
}

impl Command for Renew {
    type Out = Moved;

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Moved, WriteError> {
        let mut moved = Moved::default();
        for patient in consent_rows::held_patients(conn)? {
            moved += consent_rows::renew(conn, patient, self.at)?;
        }
        Ok(moved)
    }
}
