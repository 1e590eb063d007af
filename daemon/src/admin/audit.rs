//! `isthmus audit`, the daemon's side: whoever reads entries of the log stands in it, before they are told.

use outbox::AuditEntry;
use serde_json::{Value, json};

pub use crate::audit::ask::{Ask, Find, Purpose};
use crate::{
    audit::{
        ask,
        fault::{self, Place},
    },
    time,
};

use super::{
    desk::{Desk, DeskError, reason, told},
    peer::Peer,
};

impl Desk {
    /// Answers what is asked of the audit log.
    pub fn audit(&self, ask: &Ask, peer: &Peer) -> Value {
        told(self.audit_answer(ask, peer))
    }

    fn audit_answer(&self, ask: &Ask, peer: &Peer) -> Result<Value, DeskError> {
        if let Ask::Accept { place, fingerprint, reason: why } = ask {
            return self.accept(place, fingerprint, reason(why)?, peer);
        }
        if let Some((object, detail)) = ask::looked_at(ask).map_err(DeskError::Wanted)? {
            let entry = AuditEntry {
                actor: peer.actor(),
                action: "audit log read".to_owned(),
                object,
                detail,
                at: time::now_ms(),
            };
            self.writer.audit(vec![entry]).wait()?;
        }
        Ok(ask::answer(&self.readers, ask)?)
    }

    /// Accepts a fault that stands there as it was looked at, and has the log walked again.
    fn accept(&self, place: &Place, fingerprint: &str, why: &str, peer: &Peer) -> Result<Value, DeskError> {
        let judged = self.readers.with(|reader| place.judged(reader))?;
        let judged = judged.filter(|judged| judged.fingerprint == fingerprint).ok_or_else(|| {
            DeskError::Refused("the log does not fail there so any more; verify it again".to_owned())
        })?;
        if judged.accepted.is_some() {
            return Err(DeskError::Refused("this fault was accepted before".to_owned()));
        }
        let object = match place {
            Place::Altered { entry } => format!("entry {entry}"),
            Place::Missing { first, last } => format!("entries {first} to {last}"),
            Place::Seal { entries, .. } => format!("a seal of {entries} entries"),
        };
        let entry = AuditEntry {
            actor: peer.actor(),
            action: fault::ACTION.to_owned(),
            object: object.clone(),
            detail: format!("{fingerprint}: {why}"),
            at: time::now_ms(),
        };
        self.writer.audit(vec![entry]).wait()?;
        self.walk_again.notify_one();
        Ok(json!({ "accepted": object }))
    }
}
