//! Which form is open for a window, and whether what waits in a closed one goes in another.
//!
//! Invariants: what waits goes in another form only where nothing of its window stands, or may stand, in any, and where the
//! broker would write it now, or hold it for a probe where its own form is listed no more and no probe can be made with it; a
//! receiver of messages that stands still is closed, like an EHR that refuses; a closed form
//! that nothing waits in is tried anew with one window at a time, lest it stay closed for ever.

use super::{Pipeline, PipelineError, version::Draft};
use crate::{
    broker::{self, Decision, Reason},
    destination::{Destination, MESSAGES, Way},
    mode::Observed,
    outbound,
};

/// A closed form is tried anew with a new window when it was not tried for so many times its `probe_interval`: while rows
/// wait in it, one of them is tried sooner.
const TRIED_ANEW_AFTER: u32 = 2;

impl Pipeline {
    /// What was observed of a form at a destination.
    pub(super) fn observed(&self, destination: &Destination, way: &Way) -> Observed {
        match is_halted(way, |receiver| self.halts.of(receiver).is_some()) {
            true => Observed::ReadOnly,
            false => self.observations.of(&destination.id, way.carrier().name()),
        }
    }

    /// Whether the next new window that would rather go in this form is to try whether it is open again.
    pub(super) fn is_to_be_tried(&self, destination: &Destination, way: &Way, now: i64) -> bool {
        let after_ms = (destination.delivery.probe_interval * TRIED_ANEW_AFTER).as_millis() as i64;
        way.carrier() != MESSAGES
            && self.observations.is_untried(&destination.id, way.carrier().name(), after_ms, now)
    }

    /// Whether what waits of a window at a destination waits in a form that is closed, and is to be written in another.
    pub(super) fn falls_back(
        &self,
        draft: &Draft<'_>,
        destination: &Destination,
    ) -> Result<bool, PipelineError> {
        let Some(Waits { form, listed }) = self.waiting_form(draft.due.id, destination)? else {
            return Ok(false);
        };
        let way = destination.ways.iter().find(|way| way.projection.name() == form);
        let is_closed = |way: &Way| {
            broker::closed(&destination.ceiling, way.carrier(), self.observed(destination, way)).is_some()
        };
        if listed && !way.is_none_or(is_closed) {
            return Ok(false);
        }
        let gone = way.is_none() || !listed;
        let ruling = self.rule(draft, destination)?;
        let goes = match ruling.decision {
            Decision::Write(_) | Decision::Fallback(..) => true,
            // What the site refused opens by a probe, and by nothing else.
            Decision::Defer(_, reason) => gone && reason == Reason::ObservedReadOnly,
            Decision::Show(_) | Decision::Suppress(_) => false,
        };
        let elsewhere = ruling.way.is_some_and(|way| !listed || way.projection.name() != form);
        Ok(goes && elsewhere && ruling.stands.is_none())
    }

    /// The form in which a window waits at a destination, or at a receiver of its messages.
    fn waiting_form(&self, window: i64, destination: &Destination) -> Result<Option<Waits>, PipelineError> {
        for id in self.readers.with(|reader| reader.queues_of_chart(window, &destination.id))? {
            if let Some((form, kind)) = self.readers.with(|reader| reader.waiting_form(window, &id))? {
                let listed = is_listed(destination, &id, &kind);
                return Ok(Some(Waits { form, listed }));
            }
        }
        Ok(None)
    }
}

/// How a window waits.
struct Waits {
    form: String,
    /// Its kind of resource, or its receiver, is listed still.
    listed: bool,
}

/// Whether rows of a kind are still written to a queue.
fn is_listed(destination: &Destination, queue: &str, kind: &str) -> bool {
    if queue == destination.id {
        return destination.uses().iter().any(|(capability, _)| capability.name() == kind);
    }
    destination.receivers().any(|receiver| receiver == queue)
}

/// Whether a form writes messages to a receiver that stands still.
pub(crate) fn is_halted(way: &Way, is_halted: impl Fn(&str) -> bool) -> bool {
    way.outbound.as_deref().is_some_and(|name| is_halted(&outbound::destination(name)))
}
