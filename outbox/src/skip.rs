//! Taking a waiting row out of its line, because a person said so.

use rusqlite::Connection;

use crate::{
    audit::{self, AuditEntry},
    command::{Command, Hot},
    error::{Conflict, WriteError},
    mode::{self, ModeChange},
    queue::{self, Note, State},
    stale,
};

/// The command that quarantines a row that waits, with all that depend on it, so that its line moves on. A row
/// that is being sent, or is settled, is refused with [`Conflict::Edge`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// The row.
    pub row_id: i64,
    /// Its destination; a row of another is refused with [`Conflict::Missing`].
    pub destination: String,
    /// Why, kept on the row.
    pub reason: String,
    /// What changes with it.
    pub modes: Vec<ModeChange>,
    /// Who did it and why.
    pub audit: Vec<AuditEntry>,
    /// Now, in milliseconds.
    pub at: i64,
}

impl Command for Skip {
    type Out = State;

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<State, WriteError> {
        let row = queue::place(conn, self.row_id)?;
        if row.destination != self.destination {
            return Err(Conflict::Missing.into());
        }
        if !matches!(row.state, State::Pending | State::Deferred | State::Ambiguous) {
            return Err(Conflict::Edge.into());
        }
        let note = Note { reason: Some(&self.reason), at: self.at, ..Note::default() };
        let state = queue::quarantine(conn, &row, note)?;
        stale::revive(conn, row.window_id, &row.destination, self.at)?;
        for change in &self.modes {
            mode::change(conn, change)?;
        }
        audit::append(conn, &self.audit)?;
        Ok(state)
    }
}
