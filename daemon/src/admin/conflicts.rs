//! Contradictions between feeds, for people: list, show, settle.
//!
//! Invariants: no answer holds a value, except where it is asked for with a reason, which is in the audit log before the
//! answer leaves; settling says that somebody has looked, and changes no number: which value counts is the rule's, and
//! another one comes by a correction of its source.

use outbox::{AuditEntry, Conflict, KeptConflict, Side, WriteError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    desk::{Desk, DeskError, told},
    peer::Peer,
};
use crate::{pipeline, time};

/// Most entries of one answer.
const MOST: usize = 10_000;
/// Longest note.
const NOTE_MOST_BYTES: usize = 1_000;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// The newest first.
    List {
        /// Those too that were settled or are gone.
        all: bool,
        /// Most of them.
        limit: usize,
    },
    /// One.
    Show {
        /// Its number.
        id: i64,
        /// With the values: why, for the audit log.
        reveal: Option<String>,
    },
    /// Somebody has looked at it.
    Settle {
        /// Its number.
        id: i64,
        /// What was found, for the audit log.
        note: String,
    },
}

impl Desk {
    /// Answers.
    pub fn conflicts(&self, ask: Ask, peer: &Peer) -> Value {
        told(match ask {
            Ask::List { all, limit } => self.conflict_list(all, limit),
            Ask::Show { id, reveal } => self.conflict_shown(id, reveal, peer),
            Ask::Settle { id, note } => self.conflict_settled(id, &note, peer),
        })
    }

    fn conflict_list(&self, all: bool, limit: usize) -> Result<Value, DeskError> {
        let (listed, open) = self
            .readers
            .with(|reader| Ok((reader.conflicts(all, limit.min(MOST))?, reader.open_conflicts()?.0)))?;
        let listed: Vec<Value> = listed.iter().map(|it| shown(it, false)).collect();
        Ok(json!({ "conflicts": listed, "open": open }))
    }

    fn conflict_shown(&self, id: i64, reveal: Option<String>, peer: &Peer) -> Result<Value, DeskError> {
        let kept = self.readers.with(|reader| reader.conflict(id))?;
        let kept = kept.ok_or_else(|| DeskError::Unknown(format!("there is no conflict {id}")))?;
        if let Some(why) = &reveal {
            let entry = AuditEntry {
                actor: peer.actor(),
                action: "conflict reveal".to_owned(),
                object: format!("conflict {id}"),
                detail: worded(why)?.to_owned(),
                at: time::now_ms(),
            };
            self.writer.audit(vec![entry]).wait()?;
        }
        Ok(json!({ "conflict": shown(&kept, reveal.is_some()) }))
    }

    fn conflict_settled(&self, id: i64, note: &str, peer: &Peer) -> Result<Value, DeskError> {
        let settle = self.writer.settle_conflict(id, &peer.actor(), worded(note)?, time::now_ms());
        settle.wait().map_err(|error| match error {
            WriteError::Conflict(Conflict::Missing) => {
                DeskError::Unknown(format!("there is no conflict {id}"))
            }
            WriteError::Conflict(Conflict::Edge) => DeskError::Refused(format!(
                "conflict {id} is not open: it was settled before, or its source ended it"
            )),
            other => other.into(),
        })?;
        pipeline::show_conflicts(&self.conditions, &self.readers)?;
        Ok(json!({ "settled": id }))
    }
}

fn worded(text: &str) -> Result<&str, DeskError> {
    match text.trim() {
        "" => Err(DeskError::Wanted("a reason is wanted: it goes into the audit log")),
        text if text.len() > NOTE_MOST_BYTES => Err(DeskError::Refused("the reason is too long".to_owned())),
        text => Ok(text),
    }
}

fn shown(it: &KeptConflict, with_values: bool) -> Value {
    let side = |side: &Side| {
        let mut told = json!({ "message": side.inbox_id, "route": side.route });
        if with_values {
            told["value"] = side.value.clone().into();
        }
        told
    };
    let mut told = json!({
        "conflict": it.id, "patient": it.patient, "kind": it.kind, "state": it.state,
        "at": time::rfc3339(it.found.at), "since": time::rfc3339(it.since),
        "stands": side(&it.found.stands), "yields": side(&it.found.yields),
    });
    if it.kind == "summary" || with_values {
        told["about"] = it.found.about.clone().into();
    } else {
        told["about"] = masked(&it.found.about).into();
    }
    if with_values && !it.note.is_empty() {
        told["note"] = it.note.clone().into();
    }
    told
}

/// A device's name without what tells it from another: a serial number may lead to a person.
fn masked(name: &str) -> String {
    const SHOWN: usize = 3;
    match name.chars().count() {
        0 => "unnamed device".to_owned(),
        count => format!("{}{}", name.chars().take(SHOWN.min(count / 2)).collect::<String>(), "…"),
    }
}

#[cfg(test)]
mod tests {
    use outbox::FoundConflict;

    use super::*;

    #[test]
    fn values_and_the_whole_name_of_a_device_are_told_only_where_they_are_asked_for() {
        let side =
            |inbox_id, route: &str, value: &str| Side { inbox_id, route: route.into(), value: value.into() };
        let (stands, yields) = (side(4, "fhir", "111 mg/dL"), side(5, "hl7v2", "222 mg/dL"));
        let found = FoundConflict { about: "SERIAL987".into(), at: 0, stands, yields };
        let (kind, state, note) = ("reading".to_owned(), "settled".to_owned(), "uid 0: seen".to_owned());
        let kept = KeptConflict { id: 1, patient: 2, kind, found, state, since: 0, note };
        let plain = shown(&kept, false).to_string();
        assert!(!["111", "222", "987", "seen"].iter().any(|it| plain.contains(it)), "{plain}");
        let revealed = shown(&kept, true).to_string();
        assert!(["111 mg/dL", "222 mg/dL", "SERIAL987", "seen"].iter().all(|it| revealed.contains(it)));
        assert_eq!((masked(""), masked("AB")), ("unnamed device".to_owned(), "A…".to_owned()));
    }
}
