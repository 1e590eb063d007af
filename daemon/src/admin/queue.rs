//! `isthmus queue`, the daemon's side: rows of the outbox, and what they would write.
//!
//! Invariants: without `reveal` nothing is shown that says whose a row is; with it the audit log has it before the answer
//! leaves. What a person says of a row in doubt is taken for such a row alone, with who said it and why; a place that is
//! named is not in the audit log, for an EHR's own ids may be made of anything.

use std::time::Duration;

use clinical::fhir::location::Location;
use outbox::{AuditEntry, Conflict, OutboxRow, SettleDoubt, State, WriteError, Written};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    desk::{Desk, DeskError, told},
    peer::Peer,
};
use crate::{
    delivery::attempt::content_hash,
    pipeline::{
        manifest::hex,
        resources::{Part, Write},
    },
    time,
};

/// Most rows of one answer.
const ROWS_MOST: usize = 1_000;
/// Rows that are looked at for one answer; older ones are asked for by state.
const LOOKED_AT_MOST: usize = 20_000;
/// A row in doubt is looked for again and again: how often a moment between two looks is waited for, and how long each time.
/// Together less than people wait for a command; a look that takes longer is told.
const MOMENTS: u32 = 60;
const MOMENT: Duration = Duration::from_millis(50);
/// Longest reason that is kept.
const REASON_MOST_CHARS: usize = 500;

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
    /// A person looked at the destination: what stands of a row in doubt.
    Settle {
        /// Its number.
        row: i64,
        /// Whether what it writes stands there.
        written: bool,
        /// Where, `Type/id`, of a row that writes one resource.
        location: Option<String>,
        /// Why, for the audit log.
        reason: String,
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
            Ask::Settle { row, written, location, reason } => {
                self.settle_doubt(row, written, location.as_deref(), &reason, peer)
            }
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

impl Desk {
    fn settle_doubt(
        &self,
        id: i64,
        stands: bool,
        location: Option<&str>,
        reason: &str,
        peer: &Peer,
    ) -> Result<Value, DeskError> {
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(DeskError::Wanted("a reason is wanted: it goes into the audit log"));
        }
        let row = self.readers.with(|reader| reader.row(id))?;
        let row = row.ok_or_else(|| DeskError::Unknown(format!("there is no row {id}")))?;
        let written = match stands {
            true => Some(self.parts(&row)?).map(|parts| placed(&parts, location)).transpose()?,
            false if location.is_some() => {
                return Err(DeskError::Wanted("what was not written stands nowhere: leave --location out"));
            }
            false => None,
        };
        let word = if stands { "written" } else { "not written" };
        for moment in 0.. {
            let at = time::now_ms();
            let audit = AuditEntry {
                actor: peer.actor(),
                action: "doubt settled".to_owned(),
                object: format!("outbox row {id}"),
                detail: format!("{word}: {}", reason.chars().take(REASON_MOST_CHARS).collect::<String>()),
                at,
            };
            let settle = SettleDoubt { row_id: id, stands: written.clone(), audit: vec![audit], at };
            match self.writer.settle_doubt(settle).wait() {
                Ok(state) => {
                    self.queued.send_modify(|turn| *turn += 1);
                    self.replied.send_modify(|turn| *turn += 1);
                    let placed = self.is_placed(&row, written.as_deref().unwrap_or_default())?;
                    return Ok(json!({
                        "settled": id, "written": stands, "was": row.state.name(), "state": state.name(), "placed": placed,
                    }));
                }
                Err(WriteError::Conflict(Conflict::Edge)) => {}
                Err(error) => return Err(error.into()),
            }
            let now = self.readers.with(|reader| reader.row(id))?.map_or(row.state, |row| row.state);
            if !matches!(now, State::Leased | State::Ambiguous) {
                return Err(DeskError::Refused(format!(
                    "row {id} is not in doubt: it is {}; isthmus queue list --state ambiguous lists those that are",
                    now.name()
                )));
            }
            if moment >= MOMENTS {
                return Err(DeskError::Refused(format!(
                    "row {id} is out at this moment, being written or looked for: ask again in a few seconds"
                )));
            }
            std::thread::sleep(MOMENT);
        }
        Err(DeskError::Unknown(format!("there is no row {id}")))
    }

    /// Whether the ledger knows where all of it stands; `None` where it has nothing to know, as of a message.
    fn is_placed(&self, row: &OutboxRow, written: &[Written]) -> Result<Option<bool>, DeskError> {
        let names: Vec<&str> = written.iter().map(|one| one.identifier.as_str()).collect();
        let known = self.readers.with(|reader| reader.written(&row.destination, &names))?;
        Ok((!names.is_empty()).then(|| known.values().all(|one| !one.location.is_empty())))
    }

    /// What a row writes; nothing of a message, of which the ledger has nothing.
    fn parts(&self, row: &OutboxRow) -> Result<Vec<Part>, DeskError> {
        let body = self.readers.with(|reader| reader.body(row.id))?.unwrap_or_default();
        Ok(serde_json::from_slice::<Write>(&body).map(|write| write.resources).unwrap_or_default())
    }
}

/// What the ledger is to say of resources that stand, one of them at a place that was named.
fn placed(parts: &[Part], location: Option<&str>) -> Result<Vec<Written>, DeskError> {
    let location = match (location, parts) {
        (None, _) => String::new(),
        (Some(text), [part]) => {
            let kind = part.resource["resourceType"].as_str().unwrap_or_default();
            let location = Location::parse(text).filter(|location| location.resource_type() == kind);
            let location = location.ok_or_else(|| {
                DeskError::Refused(format!(
                    "--location says where it stands as {kind}/ID, or as an address that ends so"
                ))
            })?;
            location.reference()
        }
        (Some(_), parts) => {
            return Err(DeskError::Refused(format!(
                "this row writes {} resources, which are found by their identifiers: leave --location out",
                parts.len()
            )));
        }
    };
    let written = parts.iter().map(|part| Written {
        identifier: part.full_url.clone(),
        location: location.clone(),
        etag: None,
        content_hash: content_hash(part),
        told: true,
    });
    Ok(written.collect())
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
    fn a_place_is_named_for_one_resource_of_its_own_kind() {
        let part = |n: u32| Part {
            full_url: format!("urn:uuid:{n}"),
            if_none_exist: None,
            search: Vec::new(),
            resource: json!({"resourceType": "Observation"}),
        };
        let at = |parts: &[Part], location| placed(parts, location).map(|all| all[0].location.clone()).ok();
        for (location, wanted) in [
            (None, Some("")),
            (Some("Observation/a1"), Some("Observation/a1")),
            (Some("https://ehr.example/r4/Observation/a1/_history/2"), Some("Observation/a1")),
            (Some("Patient/a1"), None),
            (Some("a1"), None),
        ] {
            assert_eq!(at(&[part(1)], location).as_deref(), wanted, "{location:?}");
        }
        assert_eq!(at(&[part(1), part(2)], None).as_deref(), Some(""));
        assert_eq!(at(&[part(1), part(2)], Some("Observation/a1")), None);
        assert!(placed(&[], None).unwrap().is_empty());
    }

    #[test]
    fn a_state_that_there_is_not_is_told_with_those_that_there_are() {
        assert_eq!(named("shown").ok(), Some(State::Shown));
        assert!(named("lost").is_err_and(|error| error.to_string().contains("quarantined")));
    }
}
