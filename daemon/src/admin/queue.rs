//! `isthmus queue`, the daemon's side: rows of the outbox, and what they would write.
//!
//! Invariants: without `reveal` nothing is shown that says whose a row is; with it the audit log has it before the answer
//! leaves.

use outbox::{AuditEntry, OutboxRow, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    desk::{Desk, DeskError, told},
    peer::Peer,
};
use crate::{
    pipeline::{manifest::hex, resources::Write},
    time,
};

/// Most rows of one answer.
const ROWS_MOST: usize = 1_000;
/// Rows that are looked at for one answer; older ones are asked for by state.
const LOOKED_AT_MOST: usize = 20_000;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Rows, the newest first.
    List {
        /// In this state only.
        state: Option<String>,
        /// Of this destination only.
        destination: Option<String>,
        /// Most of them.
        limit: usize,
    },
    /// One row with what it would write, or wrote.
    Show {
        /// Its number.
        row: i64,
        /// With whom it is about; the audit log says so.
        reveal: bool,
    },
}

impl Desk {
    /// Answers what is asked about the queue.
    pub fn queue(&self, ask: Ask, peer: &Peer) -> Value {
        told(match ask {
            Ask::List { state, destination, limit } => {
                self.queued_rows(state.as_deref(), destination.as_deref(), limit.min(ROWS_MOST))
            }
            Ask::Show { row, reveal } => self.row(row, reveal, peer),
        })
    }

    fn queued_rows(
        &self,
        state: Option<&str>,
        destination: Option<&str>,
        limit: usize,
    ) -> Result<Value, DeskError> {
        let state = match state {
            None => None,
            Some(name) => Some(named(name)?),
        };
        let looked_at = if destination.is_some() { LOOKED_AT_MOST } else { limit };
        let rows = self.readers.with(|reader| reader.rows(state, looked_at))?;
        let of = |row: &OutboxRow| destination.is_none_or(|wanted| row.destination == wanted);
        let rows: Vec<Value> = rows.iter().filter(|row| of(row)).take(limit).map(summary).collect();
        Ok(json!({ "rows": rows }))
    }

    fn row(&self, id: i64, reveal: bool, peer: &Peer) -> Result<Value, DeskError> {
        let row = self.readers.with(|reader| reader.row(id))?;
        let row = row.ok_or_else(|| DeskError::Unknown(format!("there is no row {id}")))?;
        if let Some(removed) = self.readers.with(|reader| reader.removed(id))? {
            let mut told = summary(&row);
            told["removed"] = json!({ "at": time::rfc3339(removed.at), "sha256": hex(&removed.sha256) });
            return Ok(told);
        }
        let body = self.readers.with(|reader| reader.body(id))?.unwrap_or_default();
        if reveal {
            let audit = AuditEntry {
                actor: peer.actor(),
                action: "queue revealed".to_owned(),
                object: format!("outbox row {id}"),
                detail: row.destination.clone(),
                at: time::now_ms(),
            };
            self.writer.audit(vec![audit]).wait()?;
        }
        let mut told = summary(&row);
        told["bytes"] = json!(body.len());
        match serde_json::from_slice::<Write>(&body) {
            Ok(write) => {
                let resources = write.resources.into_iter().map(|part| shown(part.resource, reveal));
                told["resources"] = resources.collect();
            }
            // A message: all of it says whose it is.
            Err(_) if reveal => told["message"] = String::from_utf8_lossy(&body).into(),
            Err(_) => told["message"] = "(masked; --reveal shows it)".into(),
        }
        Ok(told)
    }
}

fn named(name: &str) -> Result<State, DeskError> {
    State::ALL.into_iter().find(|state| state.name() == name).ok_or_else(|| {
        let known: Vec<&str> = State::ALL.iter().map(|state| state.name()).collect();
        DeskError::Unknown(format!("no state {name:?}; there are {}", known.join(", ")))
    })
}

fn summary(row: &OutboxRow) -> Value {
    json!({
        "row": row.id,
        "destination": row.destination,
        "kind": row.kind,
        "form": row.form,
        "patient": row.patient,
        "window": row.window_id,
        "version": row.version,
        "state": row.state.name(),
        "reason": row.reason,
        "cause": row.cause,
        "attempts": row.attempts,
        "created": time::rfc3339(row.created_at),
        "next": time::rfc3339(row.next_at),
        "settled": row.settled_at.map(time::rfc3339),
    })
}

/// A resource as it would be written, without whom it is about unless that is asked for.
fn shown(mut resource: Value, reveal: bool) -> Value {
    if !reveal && resource.get("subject").is_some() {
        resource["subject"] = json!({ "display": "(masked; --reveal shows it)" });
    }
    resource
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_is_masked_and_nothing_else_is() {
        let resource = json!({"resourceType": "Observation", "subject": {"identifier": {"value": "4711"}}, "status": "final"});
        let masked = shown(resource.clone(), false);
        assert!(!masked.to_string().contains("4711"));
        assert_eq!((&masked["status"], &masked["resourceType"]), (&"final".into(), &"Observation".into()));
        assert_eq!(shown(resource.clone(), true), resource);
        let provenance = json!({"resourceType": "Provenance"});
        assert_eq!(shown(provenance.clone(), false), provenance);
    }

    #[test]
    fn a_state_that_there_is_not_is_told_with_those_that_there_are() {
        assert_eq!(named("shown").ok(), Some(State::Shown));
        assert!(named("lost").is_err_and(|error| error.to_string().contains("quarantined")));
    }
}
