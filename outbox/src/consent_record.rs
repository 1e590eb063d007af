//! Recording decisions of the consent ledger: each with what follows for the queue and with its audit entry, in one
//! transaction.
//!
//! Invariants: what a command is told of is committed and synced, and no row of that patient is leased to be sent from
//! then on.

use rusqlite::{Connection, params};

use crate::{
    audit::{self, AuditEntry},
    command::{Command, Hot},
    consent::{ConsentEntry, ConsentHead, Purpose, Ruling},
    consent_chain,
    consent_rows::{self, Moved},
    error::WriteError,
    in_force, windows,
};

/// What was recorded, and what it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Numbers of the new entries.
    pub entries: Vec<i64>,
    /// The end of the ledger with them.
    pub head: ConsentHead,
    /// Rows that were held or let go by it.
    pub moved: Moved,
    /// Windows to be looked at again: a grant reaches back to what was not written of them.
    pub windows: usize,
}

/// The command that appends decisions, all of them or none.
pub(crate) struct Record(pub Vec<ConsentEntry>);

impl Command for Record {
    type Out = Recorded;

    fn bytes(&self) -> usize {
        self.0.iter().map(|entry| entry.reason.len() + entry.behalf.len()).sum()
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<Recorded, WriteError> {
        record(conn, &self.0)
    }
}

/// Appends decisions, with what follows from them.
pub(crate) fn record(conn: &Connection, entries: &[ConsentEntry]) -> Result<Recorded, WriteError> {
    let mut recorded = Recorded {
        entries: Vec::new(),
        head: consent_chain::head(conn)?,
        moved: Moved::default(),
        windows: 0,
    };
    let mut audits = Vec::new();
    for entry in entries {
        let (id, head) = consent_chain::append(conn, entry)?;
        recorded.entries.push(id);
        recorded.head = head;
        let hash: String = head.hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        audits.push(AuditEntry {
            actor: entry.actor.clone(),
            action: format!("consent {}", entry.ruling.word()),
            object: format!("patient {} {}", entry.patient, entry.purpose.word()),
            detail: format!("consent entry {id} ({hash}): {}", entry.reason),
            at: entry.at,
        });
    }
    for entry in entries {
        recorded.moved += consent_rows::renew(conn, entry.patient, entry.at)?;
        decide_anew(conn, entry.patient)?;
        if entry.ruling == Ruling::Grant && entry.past {
            recorded.windows += look_back(conn, entry)?;
        }
    }
    if let (Some(last), Some(entry)) = (audits.last_mut(), entries.last()) {
        let Moved { held, released, lapsed } = recorded.moved;
        last.detail = format!("{}; rows held {held}, released {released}, given up {lapsed}", last.detail);
        last.at = entry.at;
    }
    audit::append(conn, &audits)?;
    Ok(recorded)
}

/// What is just being decided of the patient's windows was decided by what was in force before: it finds its window changed
/// when it is to be recorded, and is made again. Else a version that was suppressed for want of consent could be recorded
/// after the grant that looked back for such versions.
fn decide_anew(conn: &Connection, patient: i64) -> rusqlite::Result<()> {
    let mut touch = conn.prepare_cached(
        "UPDATE outcome_window SET generation = generation + 1 WHERE patient = ?1 AND due_at IS NOT NULL",
    )?;
    for member in in_force::person(conn, patient)? {
        touch.execute([member])?;
    }
    Ok(())
}

/// Has the windows looked at again whose version was not written for want of this consent.
fn look_back(conn: &Connection, entry: &ConsentEntry) -> rusqlite::Result<usize> {
    let mut windows = conn.prepare_cached(
        "SELECT DISTINCT w.id, d.destination FROM outcome_window w
         JOIN decision d ON d.window_id = w.id AND d.version = w.version
         WHERE w.patient = ?1 AND w.version > 0 AND d.decision = 'suppress' AND d.reason = ?2",
    )?;
    let mut touched = 0;
    for member in in_force::person(conn, entry.patient)? {
        let found = windows
            .query_map(params![member, consent_rows::NO_CONSENT], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })?
            .collect::<Result<Vec<_>, _>>()?;
        for (id, destination) in found {
            if Purpose::of(&destination) == entry.purpose {
                touched += windows::touch(conn, id, entry.at)?;
            }
        }
    }
    Ok(touched)
}
