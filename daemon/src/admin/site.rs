//! What people may do to a site's mode through the admin socket: hold it, let it go on, say that what no write could
//! amend or withdraw was done by hand, and say what server a changed address is.
//!
//! Invariants: a hold is in the store, with its audit entry and with the rows that it defers, those in the queues of the
//! site's receivers too, before it is in force, and outlives a restart; a release
//! opens whatever had closed, be it a hold or a refusal; who did it is told by the kernel; every reason stands whole in the
//! audit log.

use std::sync::Arc;

use outbox::{AuditEntry, Conflict, HELD, Mode, ModeChange, MoveServer, Server, WriteError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    consent::Whom,
    desk::{Desk, DeskError, reason as wanted, told},
    peer::Peer,
};
use crate::{
    broker::Reason,
    capability::Capability,
    conditions::Kind,
    delivery::closed_detail,
    destination::{Destination, MESSAGES},
    mode::{Event, Observed},
    time,
};

/// What can be asked. Its `Debug` shows nothing of whom it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Hold or release writes of a destination.
    Mode {
        /// The destination: a site's id, or `upstream`.
        site: String,
        /// Hold, or release.
        hold: bool,
        /// One capability; all of the destination where it is not given.
        capability: Option<String>,
        /// Why, for the audit log.
        reason: String,
    },
    /// The changed address of a destination is that of the same server, or of another.
    Moved {
        /// The destination: a site's id, or `upstream`.
        site: String,
        /// The same.
        same: bool,
        /// Why, for the audit log.
        reason: String,
    },
    /// What no write could do was done by hand.
    Done {
        /// `withdrawal-needed`, for `number-withheld` too, or `amendment-needed`.
        condition: String,
        /// The condition's scope, as status shows it.
        scope: String,
        /// Why, for the audit log.
        reason: String,
    },
    /// What is known here of an identifier: whether results came for it, and what holds for its writes.
    Known(Whom),
}

impl Desk {
    /// Answers what is asked about sites.
    pub fn site(&self, ask: Ask, peer: &Peer) -> Value {
        told(match ask {
            Ask::Mode { site, hold, capability, reason } => {
                wanted(&reason).and_then(|why| self.hold(&site, hold, capability.as_deref(), why, peer))
            }
            Ask::Moved { site, same, reason } => {
                wanted(&reason).and_then(|why| self.moved(&site, same, why, peer))
            }
            Ask::Done { condition, scope, reason } => {
                wanted(&reason).and_then(|why| self.done(&condition, &scope, why, peer))
            }
            Ask::Known(whom) => self.known(&whom, peer),
        })
    }

    fn hold(
        &self,
        site: &str,
        hold: bool,
        capability: Option<&str>,
        reason: &str,
        peer: &Peer,
    ) -> Result<Value, DeskError> {
        let destination = self.destination_of(site)?;
        let uses = destination.uses().into_iter().map(|(one, _)| one);
        let wanted: Vec<Capability> =
            uses.filter(|one| capability.is_none_or(|name| one.name() == name)).collect();
        if wanted.is_empty() {
            let known: Vec<&str> = destination.uses().iter().map(|(one, _)| one.name()).collect();
            return Err(DeskError::Unknown(format!("{site} uses {}", known.join(", "))));
        }
        if !hold {
            // What was granted since counts at once.
            destination.client.forget();
        }
        let cause = format!("held by {}: {reason}", peer.actor());
        let mut changed = Vec::new();
        for one in wanted {
            let is_open = self.observations.of(&destination.id, one.name()) == Observed::Open;
            if !hold && is_open {
                continue;
            }
            self.record(&destination, one, hold, &cause, reason, peer)?;
            let event = if hold { Event::Held { cause: cause.clone() } } else { Event::Released };
            self.observations.apply(&destination.id, one.name(), event, time::now_ms());
            changed.push(one.name());
        }
        self.show_mode_of(&destination);
        self.queued.send_modify(|turn| *turn += 1);
        self.replied.send_modify(|turn| *turn += 1);
        Ok(json!({ "destination": destination.id, "held": hold, "capabilities": changed }))
    }

    fn destination_of(&self, site: &str) -> Result<Arc<Destination>, DeskError> {
        let generation = self.current.get();
        let found = generation.destination(&format!("ehr:{site}")).or_else(|| generation.destination(site));
        found.ok_or_else(|| DeskError::Unknown(format!("no site {site:?} with an EHR")))
    }

    /// Says what the changed address is. At another server nothing that was learned of the one before holds, but what a
    /// person holds.
    fn moved(&self, site: &str, same: bool, reason: &str, peer: &Peer) -> Result<Value, DeskError> {
        let destination = self.destination_of(site)?;
        let (id, base) = (&destination.id, &destination.base_url);
        let Server::Moved { from } = self.writer.server(id, base, time::now_ms()).wait()? else {
            return Err(DeskError::Unknown(format!("{id} has the address that it had")));
        };
        let what = if same { "the same server" } else { "another server" };
        let audit = AuditEntry {
            actor: peer.actor(),
            action: "server moved".to_owned(),
            object: id.clone(),
            detail: format!("{from} to {base}: {what}; {reason}"),
            at: time::now_ms(),
        };
        let (destination_id, base) = (id.clone(), base.clone());
        let (audit, at) = (vec![audit], time::now_ms());
        let moved = MoveServer { destination: destination_id, base, same, audit, at };
        let rows = self.writer.move_server(moved).wait().map_err(|error| match error {
            WriteError::Conflict(Conflict::Edge) => DeskError::Refused(
                "writes to the server before are still under way; say it again in a moment".into(),
            ),
            error => error.into(),
        })?;
        for (one, _) in destination.uses().into_iter().filter(|_| !same) {
            if matches!(self.observations.of(id, one.name()), Observed::ReadOnly | Observed::Probing) {
                self.record(&destination, one, false, "", "another server", peer)?;
                self.observations.apply(id, one.name(), Event::Released, time::now_ms());
            }
        }
        self.show_mode_of(&destination);
        self.conditions.clear(Kind::ServerMoved, id);
        self.queued.send_modify(|turn| *turn += 1);
        Ok(json!({
            "destination": id, "from": from, "to": destination.base_url, "server": what,
            "renewed": rows.renewed, "set_aside": rows.set_aside,
        }))
    }

    fn record(
        &self,
        destination: &Destination,
        capability: Capability,
        hold: bool,
        cause: &str,
        reason: &str,
        peer: &Peer,
    ) -> Result<(), DeskError> {
        let now = time::now_ms();
        let (mode, action) = if hold { (HELD, "mode held") } else { ("full", "mode released") };
        let change = ModeChange {
            mode: Mode {
                site: destination.site.clone().unwrap_or_default(),
                destination: destination.id.clone(),
                capability: capability.name().to_owned(),
                mode: mode.to_owned(),
                since: now,
                cause: if hold { cause.to_owned() } else { String::new() },
                evidence: "a person".to_owned(),
            },
            kind: Some(capability.name().to_owned()),
            requeue_quarantined: None,
            defer_pending: hold.then(|| Reason::HeldByHand.word().to_owned()),
            // The deliverer brings the queue in line before it sends anything.
            release_deferred: Vec::new(),
            latest: Vec::new(),
        };
        let audit = AuditEntry {
            actor: peer.actor(),
            action: action.to_owned(),
            object: format!("{} {capability}", destination.id),
            detail: reason.to_owned(),
            at: now,
        };
        let queues: Vec<(String, String)> = match capability == MESSAGES {
            true => destination.receivers().map(|id| (id, destination.message_kind())).collect(),
            false => Vec::new(),
        };
        self.writer.set_by_hand(change, queues, vec![audit]).wait()?;
        Ok(())
    }

    /// Raises or clears the condition by what is closed now.
    fn show_mode_of(&self, destination: &Destination) {
        let closed = destination.uses().into_iter().find_map(|(one, _)| {
            let seen = self.observations.seen(&destination.id, one.name())?;
            (seen.observed != Observed::Open).then(|| closed_detail(one.name(), seen.observed, &seen.cause))
        });
        match closed {
            Some(detail) => {
                self.conditions.raise(Kind::ReadOnly, &destination.id, detail, time::now_ms());
            }
            None => {
                self.conditions.clear(Kind::ReadOnly, &destination.id);
            }
        }
    }

    fn done(&self, condition: &str, scope: &str, reason: &str, peer: &Peer) -> Result<Value, DeskError> {
        let kinds: &[Kind] = match condition {
            // A number that is withheld now is withdrawn as a whole outcome is: there, by hand.
            "withdrawal-needed" => &[Kind::WithdrawalNeeded, Kind::NumberWithheld],
            "amendment-needed" => &[Kind::AmendmentNeeded],
            _ => {
                return Err(DeskError::Wanted(
                    "withdrawal-needed (for number-withheld too) and amendment-needed end by hand, nothing else",
                ));
            }
        };
        let is_known = |kind: &&Kind| self.conditions.scopes(**kind).iter().any(|known| known == scope);
        let Some(kind) = kinds.iter().find(is_known).copied() else {
            return Err(DeskError::Unknown(format!(
                "there is no {condition} of {scope:?}; isthmus status shows them"
            )));
        };
        let audit = AuditEntry {
            actor: peer.actor(),
            action: format!("{} done", kind.word()),
            object: scope.to_owned(),
            detail: reason.to_owned(),
            at: time::now_ms(),
        };
        self.writer.audit(vec![audit]).wait()?;
        self.writer.clear(kind.word(), scope).wait()?;
        self.conditions.clear(kind, scope);
        Ok(json!({ "done": scope }))
    }
}
