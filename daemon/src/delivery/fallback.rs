//! Has windows decided on anew whose rows wait in a form that is closed, while another form is open.
//!
//! Invariants: what falls back is decided by the pipeline, which knows what stands and what consent says; here it is only
//! asked, once for each row and each state of the forms; where no form is open only what waits in a form that is listed no more
//! is asked about, for no probe of its own will come, and other rows wait as they are. A row that is to try a closed form is
//! left to its probe.

use std::collections::BTreeSet;

use outbox::{Shut, WEIGH_MOST, Weigh};

use super::{Deliverer, pace::Pace};
use crate::{
    broker::Reason,
    destination::{Destination, MESSAGES, Way},
    mode::Observed,
    outbound,
    pipeline::fallback::is_halted,
    time,
};

impl Deliverer {
    /// Weighs what waits in forms that are closed, where the forms have changed or rows may have come to wait since it was
    /// done last. Where the store does not take it, it is done the next time.
    pub(super) async fn fall_back(&self, destination: &Destination, pace: &mut Pace) {
        let closed: Vec<bool> = destination.ways.iter().map(|way| self.is_closed(destination, way)).collect();
        let forms = Some((pace.applied, closed));
        let anew = pace.forms != forms;
        if !anew && !pace.unweighed {
            return;
        }
        for weigh in self.to_weigh(destination, anew) {
            if !self.weigh(weigh).await {
                return;
            }
        }
        (pace.forms, pace.unweighed) = (forms, false);
    }

    /// Whether a receiver of the destination's messages stands still: what it settles meanwhile is told to nobody here.
    pub(super) fn has_halted(&self, destination: &Destination) -> bool {
        destination.ways.iter().any(|way| self.is_halted(way))
    }

    /// Whether an outcome may be written in any form.
    pub(super) fn has_open_form(&self, destination: &Destination) -> bool {
        destination.ways.iter().any(|way| !self.is_closed(destination, way))
    }

    fn is_halted(&self, way: &Way) -> bool {
        is_halted(way, |receiver| self.halts.of(receiver).is_some())
    }

    fn is_closed(&self, destination: &Destination, way: &Way) -> bool {
        self.held(destination, way.carrier()).is_some() || self.is_halted(way)
    }

    /// What is asked of the store: where no form is open, what is listed no more.
    fn to_weigh(&self, destination: &Destination, anew: bool) -> Vec<Weigh> {
        let at = time::now_ms();
        let mut asked = vec![self.unlisted(destination, anew, at)];
        if !self.has_open_form(destination) {
            return asked;
        }
        let closed = destination.ways.iter().filter(|way| self.is_closed(destination, way));
        for way in closed {
            let (queue, shut, spared) = match &way.outbound {
                Some(name) => (outbound::destination(name), Shut::Halted(destination.message_kind()), None),
                None => {
                    let kind = way.carrier().name().to_owned();
                    (self.id.clone(), Shut::Kind(kind), self.to_be_tried(destination, way))
                }
            };
            let weigh = Weigh { destination: queue, shut, spared, anew, round: None, at };
            if !asked.contains(&weigh) {
                asked.push(weigh);
            }
        }
        if anew {
            let receivers: BTreeSet<String> = destination.receivers().collect();
            let queues = self.message_queues().unwrap_or_default().into_iter();
            let unnamed = queues.filter(|queue| destination.site.is_some() && !receivers.contains(queue));
            asked.extend(unnamed.map(|destination_of| {
                let shut = Shut::Halted(destination.message_kind());
                Weigh { destination: destination_of, shut, spared: None, anew, round: None, at }
            }));
        }
        asked
    }

    fn unlisted(&self, destination: &Destination, anew: bool, at: i64) -> Weigh {
        let forms = destination.ways.iter().map(|way| way.projection.name().to_owned()).collect();
        let uses = destination.uses().into_iter();
        let kinds = uses.map(|(capability, _)| capability.name().to_owned()).collect();
        let shut = Shut::Unlisted { forms, kinds };
        Weigh { destination: self.id.clone(), shut, spared: None, anew, round: None, at }
    }

    /// The reason of rows that are left to a probe, where one will come.
    fn to_be_tried(&self, destination: &Destination, way: &Way) -> Option<String> {
        let capability = way.carrier();
        let is_probing = self.observations.of(&self.id, capability.name()) == Observed::Probing;
        let is_probed = capability != MESSAGES && self.to_probe(destination).contains(&capability);
        (is_probing || is_probed).then(|| Reason::TriedAnew.word().to_owned())
    }

    /// Asks the store until nothing is left. Whether it answered.
    async fn weigh(&self, mut weigh: Weigh) -> bool {
        loop {
            match self.writer.weigh(weigh.clone()).await {
                Ok(weighed) => {
                    if weighed.windows > 0 {
                        let (destination, windows) = (&weigh.destination, weighed.windows);
                        tracing::info!(%destination, windows, "what waits in a closed form is decided on anew");
                    }
                    if weighed.rows < WEIGH_MOST {
                        return true;
                    }
                    weigh.round = Some(weighed.round);
                }
                Err(error) => {
                    tracing::warn!(destination = %weigh.destination, %error, "what waits could not be weighed yet");
                    return false;
                }
            }
        }
    }
}
