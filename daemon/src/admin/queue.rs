//! `isthmus queue`, the daemon's side: rows of the outbox, and what they would write.
//!
//! Looking is in `rows`. Invariants: what a person says of a row in doubt is taken for such a row alone, with who
//! said it and why; a place that is named is not in the audit log, for an EHR's own ids may be made of anything.

use std::time::Duration;

use clinical::fhir::location::Location;
use outbox::{AuditEntry, Conflict, OutboxRow, SettleDoubt, State, WriteError, Written};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    desk::{Desk, DeskError, reason as checked, told},
    peer::Peer,
    rows::ListAsk,
};
use crate::{
    delivery::attempt::content_hash,
    pipeline::resources::{Part, Write},
    time,
};

/// A row in doubt is looked for again and again: how often a moment between two looks is waited for, and how long each time.
/// Together less than people wait for a command; a look that takes longer is told.
const MOMENTS: u32 = 60;
const MOMENT: Duration = Duration::from_millis(50);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Rows, the newest first.
    List(ListAsk),
    /// One row with what it would write, or wrote.
    Show {
        /// Its number.
        row: i64,
        /// With whom it is about and what people said: why, for the audit log.
        reveal: Option<String>,
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
            Ask::List(ask) => self.queued_rows(ask, peer),
            Ask::Show { row, reveal } => self.row(row, reveal.as_deref(), peer),
            Ask::Settle { row, written, location, reason } => {
                self.settle_doubt(row, written, location.as_deref(), &reason, peer)
            }
        })
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
        let reason = checked(reason)?;
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
                detail: format!("{word}: {reason}"),
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
