//! A configured feed: what a listener knows of its senders, and what it counts of them.
//!
//! The counters are looked up once, when the listener starts: a look-up by name and labels for each message costs
//! more than the envelope scan.

use std::{fmt::Display, sync::Arc, time::Duration};

use metrics::{Counter, Histogram};
use mllp::{
    ack::{AckCode, AckFault},
    envelope::Envelope,
};

use crate::{
    config::{AllowedSender, MllpListener},
    listener::{
        refusal::{Limit, LineBound, Refusals},
        sender,
    },
    telemetry::Metric,
};

/// Codes an acknowledgement may carry, in the order of [`AckCode`].
const CODES: [AckCode; 6] = [AckCode::AA, AckCode::AE, AckCode::AR, AckCode::CA, AckCode::CE, AckCode::CR];

/// A configured feed; cheap to clone.
#[derive(Clone, Debug)]
pub struct Feed {
    /// The source name that dedupe keys are made of (it outlives addresses: engines fail over).
    pub source: Arc<str>,
    /// The site of its messages, where no route says otherwise.
    pub site: Arc<str>,
    /// Whose messages are taken; empty is anyone's.
    senders: Arc<[AllowedSender]>,
    refusals: Refusals,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Counters {
    frames: Counter,
    duplicates: Counter,
    reused: Counter,
    commit: Histogram,
    acks: [Counter; CODES.len()],
    fault_lines: LineBound,
    end_lines: LineBound,
}

impl Feed {
    /// The feed of a listener. Metrics must be installed before, or these count nowhere.
    pub fn of(settings: &MllpListener) -> Self {
        let senders = Arc::from(settings.access.senders.as_slice());
        Self { senders, ..Self::new(&settings.name, &settings.site) }
    }

    /// The feed of a source, for a site, that takes anyone's messages. Metrics must be installed before, or these count nowhere.
    pub fn new(source: &str, site: &str) -> Self {
        let listener = || [("listener", source.to_owned())];
        let ack = |code: AckCode| {
            Metric::MllpAcks.counter(&[("listener", source.to_owned()), ("code", code.as_str().to_owned())])
        };
        let counters = Counters {
            frames: Metric::MllpFrames.counter(&listener()),
            duplicates: Metric::MllpDuplicates.counter(&listener()),
            reused: Metric::MllpControlIdReuse.counter(&listener()),
            commit: Metric::CommitSeconds.histogram(&[]),
            acks: CODES.map(ack),
            fault_lines: LineBound::default(),
            end_lines: LineBound::default(),
        };
        let source = Arc::from(source);
        let refusals = Refusals::new(&source);
        let (site, counters) = (Arc::from(site), Arc::new(counters));
        Self { source, site, senders: Arc::default(), refusals, counters }
    }

    /// Why a message with this envelope is not taken here, whatever it holds; `None` where its sender is allowed,
    /// or where no envelope could be read: such a message is refused for that.
    pub fn bars(&self, envelope: Option<&Envelope>) -> Option<AckFault> {
        let envelope = envelope.filter(|envelope| !sender::is_allowed(&self.senders, envelope));
        envelope.map(|_| {
            self.refuse(Limit::Sender, &"", &"a message of a sender that is not in allow_senders");
            sender::fault()
        })
    }

    /// Something was refused at a limit: counted, and logged where there have not been many lines of it.
    pub fn refuse(&self, limit: Limit, peer: &dyn Display, detail: &dyn Display) {
        self.refusals.refuse(limit, peer, detail);
    }

    /// A connection ended otherwise than by its peer's will or ours.
    pub fn tell_end(&self, peer: &dyn Display, end: &dyn Display) {
        if let Some(left_out) = self.counters.end_lines.admit() {
            tracing::info!(listener = %self.source, %peer, %end, left_out, "connection ended");
        }
    }

    /// A whole frame came.
    pub fn count_frame(&self) {
        self.counters.frames.increment(1);
    }

    /// A message was committed `took` after its last byte.
    pub fn count_commit(&self, took: Duration) {
        self.counters.commit.record(took.as_secs_f64());
    }

    /// A message had been received before.
    pub fn count_duplicate(&self) {
        self.counters.duplicates.increment(1);
    }

    /// A control id came with another body.
    pub fn count_reuse(&self) {
        self.counters.reused.increment(1);
    }

    /// An acknowledgement is about to be sent.
    pub fn count_ack(&self, code: AckCode) {
        if let Some(place) = CODES.iter().position(|known| *known == code) {
            self.counters.acks[place].increment(1);
        }
    }

    /// A framing fault.
    pub fn count_fault(&self, fault: &str) {
        let labels = [("listener", self.source.to_string()), ("fault", fault.to_owned())];
        Metric::MllpFramingFaults.add(1, &labels);
        if let Some(left_out) = self.counters.fault_lines.admit() {
            tracing::warn!(listener = %self.source, fault, left_out, "framing fault");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_counter_of_its_own() {
        for (place, code) in CODES.iter().enumerate() {
            assert_eq!(CODES.iter().position(|known| known == code), Some(place));
            assert_eq!(AckCode::parse(code.as_str().as_bytes()), Some(*code));
        }
    }
}
