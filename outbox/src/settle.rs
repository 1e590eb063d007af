//! The verdict on a leased row, with everything that follows from it, in one transaction: what was written, a
//! change of mode, the audit entries.
//!
//! A verdict is about one lease, and settles that alone. One that comes when its row was leased again is late: that something
//! was written is kept all the same, in the ledger, where whoever has the row next finds it; the row is settled by what that
//! lease comes to. An answer that comes when the row was taken to be in doubt, and nobody has it, ends the doubt.

use rusqlite::Connection;

use crate::{
    audit::{self, AuditEntry},
    command::{Command, Hot},
    consent_rows,
    error::{Conflict, WriteError},
    ledger::{self, Written},
    mode::{self, ModeChange},
    queue::{self, Note, Place, State, Step},
    quota, stale,
};

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has it.
    Delivered {
        /// The resources that stand at the receiver now.
        written: Vec<Written>,
    },
    /// It is *known* not to have happened and is tried again. Where that is not known, say `Ambiguous`.
    Retry {
        /// Not before, in milliseconds.
        at: i64,
        /// What was met.
        cause: String,
    },
    /// It may not be written at present, and did not happen.
    Defer {
        /// Why; the mode change that ends it names the same reason.
        reason: String,
        /// What was met, where that says more.
        cause: Option<String>,
    },
    /// Refused for its own sake. What depends on it is quarantined with it.
    Quarantine {
        /// Why.
        reason: String,
    },
    /// Nobody knows whether it happened; it is leased again with `ambiguous` set.
    Ambiguous {
        /// Not before, in milliseconds.
        at: i64,
        /// What was met.
        cause: String,
    },
}

/// The command that ends a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settle {
    /// The leased row.
    pub row_id: i64,
    /// Which lease of it, [`LeasedRow::attempts`](crate::LeasedRow::attempts); `None` is the present one, whichever.
    pub lease: Option<u32>,
    /// How it ended.
    pub verdict: Verdict,
    /// Whether a write was sent, or may have been: else it counts in no quota.
    pub wrote: bool,
    /// What changes for the site, in the order given.
    pub modes: Vec<ModeChange>,
    /// What to write down about it.
    pub audit: Vec<AuditEntry>,
    /// Now, in milliseconds.
    pub at: i64,
}

impl Command for Settle {
    type Out = State;

    fn bytes(&self) -> usize {
        self.audit.iter().map(|entry| entry.detail.len()).sum()
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<State, WriteError> {
        let row = queue::place(conn, self.row_id)?;
        if self.lease.is_some_and(|lease| lease != row.attempts) {
            return self.record_late(conn, &row);
        }
        let ends_doubt = self.lease.is_some() && matches!(self.verdict, Verdict::Delivered { .. });
        if row.state != State::Leased && !(row.state == State::Ambiguous && ends_doubt) {
            return Err(Conflict::Edge.into());
        }
        let note = Note { at: self.at, ..Note::default() };
        let state = match &self.verdict {
            Verdict::Delivered { written } => {
                ledger::record(conn, &row, written, self.at)?;
                queue::step(conn, &row, Step::Deliver, note)?
            }
            Verdict::Quarantine { reason } => {
                queue::quarantine(conn, &row, Note { reason: Some(reason), ..note })?
            }
            Verdict::Ambiguous { at, cause } => {
                queue::step(conn, &row, Step::Doubt, Note { cause: Some(cause), next_at: Some(*at), ..note })?
            }
            // Not done, and a later version waits: the old values need never be seen. Nor what was under way when its
            // patient was merged away or renamed.
            Verdict::Retry { .. } | Verdict::Defer { .. } if queue::is_overtaken(conn, &row)? => {
                let reason = Some(queue::OVERTAKEN);
                queue::step(conn, &row, Step::Supersede, Note { reason, ..note })?
            }
            // Known not to have happened, and not permitted any more.
            Verdict::Retry { .. } | Verdict::Defer { .. }
                if consent_rows::is_denied(conn, &row, self.at)? =>
            {
                let reason = Some(consent_rows::NO_CONSENT);
                queue::step(conn, &row, Step::Defer, Note { reason, ..note })?
            }
            Verdict::Retry { at, cause } => {
                queue::step(conn, &row, Step::Retry, Note { cause: Some(cause), next_at: Some(*at), ..note })?
            }
            Verdict::Defer { reason, cause } => {
                let note = Note { reason: Some(reason), cause: cause.as_deref(), ..note };
                queue::step(conn, &row, Step::Defer, note)?
            }
        };
        if !self.wrote {
            quota::give_back(conn, &row.destination, row.id)?;
        }
        if matches!(state, State::Quarantined | State::Superseded) {
            stale::revive(conn, row.window_id, &row.destination, self.at)?;
        }
        for change in &self.modes {
            mode::change(conn, change)?;
        }
        audit::append(conn, &self.audit)?;
        Ok(state)
    }
}

impl Settle {
    /// Keeps what a late verdict proves, and leaves the row as it is.
    fn record_late(&self, conn: &Connection, row: &Place) -> Result<State, WriteError> {
        if let Verdict::Delivered { written } = &self.verdict {
            ledger::record_late(conn, row, written, self.at)?;
        }
        for change in &self.modes {
            mode::change(conn, change)?;
        }
        let lease = self.lease.unwrap_or(row.attempts);
        let entry = AuditEntry {
            actor: "isthmus".to_owned(),
            action: "late verdict".to_owned(),
            object: format!("{} row {}", row.destination, row.id),
            detail: format!(
                "attempt {lease} came to {}, when the row was {} at attempt {}; it settles nothing",
                self.verdict.word(),
                row.state.name(),
                row.attempts
            ),
            at: self.at,
        };
        audit::append(conn, &self.audit)?;
        audit::append(conn, &[entry])?;
        Ok(row.state)
    }
}

impl Verdict {
    const fn word(&self) -> &'static str {
        match self {
            Self::Delivered { .. } => "delivered",
            Self::Retry { .. } => "not sent",
            Self::Defer { .. } => "not permitted",
            Self::Quarantine { .. } => "refused",
            Self::Ambiguous { .. } => "in doubt",
        }
    }
}
