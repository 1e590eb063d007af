//! The edges of a destination's modes: what is held and why, and what a change asks of the queue, the store and people.

use outbox::{AuditEntry, Mode as StoredMode, ModeChange};

use super::{Deliverer, pace::Pace};
use crate::{
    broker::{self, Reason},
    capability::Capability,
    conditions::Kind,
    config::OnRecovery,
    destination::{Destination, MESSAGES},
    mode::{Effect, Event, Observed},
    time,
    verdict::Attempt,
};

/// The reasons for which rows are held by the mode: what ends with the change of it. Not for want of consent: that is the
/// ledger's to end, for each patient.
pub(crate) const BY_MODE: [Reason; 5] = [
    Reason::ConfiguredReadOnly,
    Reason::KindNotPermitted,
    Reason::ObservedReadOnly,
    Reason::HeldByHand,
    Reason::TriedAnew,
];

/// The reasons of rows of which a recovery leaves out what is stale. Not of what tries a form anew: it would have gone in
/// another.
pub(crate) fn left_out(on_recovery: OnRecovery) -> Vec<String> {
    let all = match on_recovery {
        OnRecovery::Latest => BY_MODE.as_slice(),
        OnRecovery::All => &[],
    };
    all.iter().filter(|reason| **reason != Reason::TriedAnew).map(|reason| reason.word().to_owned()).collect()
}

/// The words of the reasons for which rows are held by the mode.
pub(super) fn by_mode() -> Vec<String> {
    BY_MODE.iter().map(|reason| reason.word().to_owned()).collect()
}

/// What people read of a capability that is closed.
pub fn closed_detail(capability: &str, observed: Observed, cause: &str) -> String {
    match observed {
        Observed::Held => format!("{capability}: {cause}; held by hand until it is released"),
        _ => format!("{capability}: {cause}; writes are deferred and one is tried from time to time"),
    }
}

impl Deliverer {
    /// Brings the queue in line with the configuration and the mode: no row may be left deferred at an open
    /// destination, or pending at a closed one, by a decision that a change overtook. Whether that was done.
    pub(super) async fn align(&self, destination: &Destination, pace: &mut Pace) -> bool {
        // Messages wait in the queue of their receiver, which knows whose may leave (`outbound::results`).
        for (capability, _) in destination.uses().into_iter().filter(|(used, _)| *used != MESSAGES) {
            let held = self.held(destination, capability).map(|reason| reason.word().to_owned());
            let released = self.releasable(destination, capability);
            let (kind, latest) = (capability.name(), left_out(destination.on_recovery));
            let aligned =
                self.writer.align_all(&self.id, kind, (held, released), latest, time::now_ms()).await;
            if let Err(error) = aligned {
                tracing::warn!(destination = %self.id, %error, "the queue could not be brought in line with the mode");
                return false;
            }
        }
        self.enlist(destination, pace).await
    }

    /// Makes what the token's scopes leave out a fact, before any write is tried (class configuration). False while there
    /// is no token to tell: its trouble is told by who asks for it.
    pub(super) async fn scopes_known(&self, destination: &Destination, pace: &mut Pace) -> bool {
        if destination.client.authorizer().is_none() {
            return true;
        }
        if destination.client.granted().is_none()
            && let Err(trouble) = destination.client.prepare().await
        {
            if let Attempt::Unauthorized(cause) = trouble {
                self.tell_unaccepted(destination, &cause);
            }
            return false;
        }
        for (capability, _) in destination.uses() {
            let missing = destination.unpermitted_write(capability);
            let Some(cause) = missing.filter(|_| destination.permits(capability)) else { continue };
            let now = time::now_ms();
            let event = Event::Refused { cause };
            let effect = self.observations.apply(&self.id, capability.name(), event, now);
            let (modes, audit) = self.change(destination, capability, &effect, "the token's scopes", now);
            pace.unstored.extend(modes.into_iter().map(|change| (change, audit.clone())));
            self.show_mode(destination, capability, &effect);
        }
        self.edges_stored(pace).await
    }

    /// Stores the edges that are not in the store yet, in their order; what the store does not take is kept and tried again,
    /// and nothing is sent before. Whether none is left.
    async fn edges_stored(&self, pace: &mut Pace) -> bool {
        while let Some((change, audit)) = pace.unstored.first().cloned() {
            if let Err(error) = self.writer.set_mode(change, audit).await {
                tracing::warn!(destination = %self.id, %error, "a change of mode could not be stored yet");
                return false;
            }
            pace.unstored.remove(0);
        }
        true
    }

    /// Why rows of a capability may not be sent now; `None` where they may.
    pub(super) fn held(&self, destination: &Destination, capability: Capability) -> Option<Reason> {
        let observed = self.observations.of(&self.id, capability.name());
        broker::held(&destination.ceiling, capability, observed)
    }

    /// The reasons for which rows may be held and that hold no longer.
    pub(super) fn releasable(&self, destination: &Destination, capability: Capability) -> Vec<String> {
        if self.held(destination, capability).is_some() {
            return Vec::new();
        }
        by_mode()
    }

    /// What an effect asks of the store: the mode with its cause, the rows that it moves, and the audit entry.
    pub(super) fn change(
        &self,
        destination: &Destination,
        capability: Capability,
        effect: &Effect,
        evidence: &str,
        now: i64,
    ) -> (Vec<ModeChange>, Vec<AuditEntry>) {
        let (mode, cause) = match effect {
            Effect::None => return (Vec::new(), Vec::new()),
            Effect::Close { cause, .. } => ("read-only", cause.clone()),
            Effect::Open => ("full", String::new()),
        };
        let open = *effect == Effect::Open;
        // Over a restart it must be known what closed it: the same does not open it.
        let evidence = match open {
            true => evidence.to_owned(),
            false => self.observations.evidence(&self.id, capability.name(), evidence),
        };
        let change = ModeChange {
            mode: StoredMode {
                site: destination.site.clone().unwrap_or_default(),
                destination: self.id.clone(),
                capability: capability.name().to_owned(),
                mode: mode.to_owned(),
                since: now,
                cause: cause.clone(),
                evidence: evidence.clone(),
            },
            kind: Some(capability.name().to_owned()),
            requeue_quarantined: match effect {
                Effect::Close { fault, .. } => fault.clone(),
                Effect::None | Effect::Open => None,
            },
            defer_pending: (!open).then(|| Reason::ObservedReadOnly.word().to_owned()),
            release_deferred: if open { self.releasable(destination, capability) } else { Vec::new() },
            latest: left_out(destination.on_recovery),
        };
        let audit = AuditEntry {
            actor: "isthmus".to_owned(),
            action: format!("mode {mode}"),
            object: format!("{} {}", self.id, capability),
            detail: format!("{cause}; evidence: {evidence}"),
            at: now,
        };
        (vec![change], vec![audit])
    }

    /// Shows an edge to people.
    pub(super) fn show_mode(&self, destination: &Destination, capability: Capability, effect: &Effect) {
        let is_closed = |one: Capability| self.observations.of(&self.id, one.name()) != Observed::Open;
        match effect {
            Effect::None => {}
            Effect::Close { cause, .. } => {
                let detail = closed_detail(capability.name(), Observed::ReadOnly, cause);
                self.conditions.raise(Kind::ReadOnly, &self.id, detail, time::now_ms());
            }
            // Another may still be closed.
            Effect::Open if destination.uses().iter().any(|(one, _)| is_closed(*one)) => {}
            Effect::Open => {
                self.conditions.clear(Kind::ReadOnly, &self.id);
            }
        }
    }
}
