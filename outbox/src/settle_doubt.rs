//! A person looked at the destination and says what stands of a row in doubt.
//!
//! Invariants: it is the word of a person where the destination shows nothing, so it is taken for a row in doubt alone, and
//! the audit log has who said it; it follows the same edges as the verdict of an attempt that found the same; what is said
//! to stand is in the ledger from then on, so that no later version is created beside it: where nobody knows its place it
//! is looked for before it is written over, and the place that a person names is read first.

use rusqlite::Connection;

use crate::{
    audit::{self, AuditEntry},
    command::{Command, Hot},
    error::{Conflict, WriteError},
    ledger::{self, Written},
    queue::{self, Note, Place, State, Step},
    release,
    settle::{Settle, Verdict},
    stale,
};

/// What the row says of the last attempt, where a person said that nothing stands.
const NOT_THERE: &str = "a person looked, and it was not written";

/// The command that ends a doubt by a person's word. A row that is not in doubt is refused with [`Conflict::Edge`], also
/// one that is being looked for at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettleDoubt {
    /// The row: ambiguous, or set aside as [`crate::UNPROVEN`].
    pub row_id: i64,
    /// What stands, where it was written: every resource of the row, with an empty location where nobody knows it. `None`
    /// where it was not written: then it goes again, unless a later version or another patient took its place.
    pub stands: Option<Vec<Written>>,
    /// Who said it and why.
    pub audit: Vec<AuditEntry>,
    /// Now, in milliseconds.
    pub at: i64,
}

impl Command for SettleDoubt {
    type Out = State;

    fn bytes(&self) -> usize {
        self.stands.iter().flatten().map(|one| one.location.len() + 128).sum()
    }

    fn apply(self, conn: &Connection, hot: &mut Hot) -> Result<State, WriteError> {
        let row = queue::place(conn, self.row_id)?;
        let stands = match &self.stands {
            Some(written) => Some(ledger::told(conn, &row, written)?),
            None => {
                // No later message corrects what never arrived.
                conn.prepare_cached("UPDATE outbox SET doubted = 0 WHERE id = ?1")?.execute([row.id])?;
                None
            }
        };
        let at = self.at;
        match row.state {
            State::Ambiguous => {
                // As if an attempt had looked, and found it so.
                queue::step(conn, &row, Step::Lease, Note { at, ..Note::default() })?;
                let verdict = match stands {
                    Some(written) => Verdict::Delivered { written },
                    None => Verdict::Retry { at, cause: NOT_THERE.to_owned() },
                };
                let settle = Settle {
                    row_id: row.id,
                    lease: None,
                    verdict,
                    wrote: true,
                    modes: Vec::new(),
                    audit: self.audit,
                    at,
                };
                settle.apply(conn, hot)
            }
            State::Quarantined if queue::is_unproven(conn, row.id)? => {
                let state = match stands {
                    Some(written) => found(conn, &row, &written, at)?,
                    None => {
                        let state = release::along(conn, &row, Step::Drop, at)?;
                        stale::revive(conn, row.window_id, &row.destination, at)?;
                        state
                    }
                };
                audit::append(conn, &self.audit)?;
                Ok(state)
            }
            _ => Err(Conflict::Edge.into()),
        }
    }
}

/// What was set aside stands after all; what followed it goes, or came too late with it.
fn found(conn: &Connection, row: &Place, written: &[Written], at: i64) -> Result<State, WriteError> {
    ledger::record(conn, row, written, at)?;
    let state = queue::step(conn, row, Step::Deliver, Note { at, ..Note::default() })?;
    for id in queue::dependents(conn, row.id)? {
        if release::is_with_its_dependency(conn, id)? {
            release::take_back(conn, id, at)?;
        }
    }
    Ok(state)
}
