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
use outbox::Receipt;

use crate::{
    config::{AllowedSender, Answering, MllpListener},
    course::Msg,
    listener::{
        refusal::{Limit, LineBound, Refusals},
        sender,
    },
    telemetry::{Last, Metric},
    time,
    traffic::Traffic,
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
    /// How its messages are judged and answered.
    pub answering: Arc<Answering>,
    /// What it has seen, for `status`.
    pub traffic: Traffic,
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
    unanswered: Counter,
    commit: Histogram,
    acks: [Counter; CODES.len()],
    refused_lines: LineBound,
    fault_lines: LineBound,
    end_lines: LineBound,
}

impl Feed {
    /// The feed of a listener. Metrics must be installed before, or these count nowhere.
    pub fn of(settings: &MllpListener) -> Self {
        Self {
            answering: Arc::new(settings.answering.clone()),
            senders: Arc::from(&*settings.access.senders),
            ..Self::new(&settings.name, &settings.site)
        }
    }

    /// The feed of a source, for a site, that judges and answers as shipped. Metrics must be installed before.
    pub fn new(source: &str, site: &str) -> Self {
        let listener = || [("listener", source.to_owned())];
        let ack = |code: AckCode| {
            Metric::MllpAcks.counter(&[("listener", source.to_owned()), ("code", code.as_str().to_owned())])
        };
        let counters = Counters {
            frames: Metric::MllpFrames.counter(&listener()),
            duplicates: Metric::MllpDuplicates.counter(&listener()),
            reused: Metric::MllpControlIdReuse.counter(&listener()),
            unanswered: Metric::MllpUnanswered.counter(&listener()),
            commit: Metric::CommitSeconds.histogram(&[]),
            acks: CODES.map(ack),
            refused_lines: LineBound::default(),
            fault_lines: LineBound::default(),
            end_lines: LineBound::default(),
        };
        let source = Arc::from(source);
        let refusals = Refusals::new(&source);
        Self {
            source,
            site: Arc::from(site),
            answering: Arc::default(),
            traffic: Traffic::default(),
            senders: Arc::default(),
            refusals,
            counters: Arc::new(counters),
        }
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
        self.traffic.turned_away(limit);
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

    /// What a frame held was committed `took` after its last byte.
    pub fn count_commit(&self, took: Duration) {
        self.counters.commit.record(took.as_secs_f64());
    }

    /// What became of one message, once it is committed. `refused_for` is the condition (HL7 table 0357) of one that was
    /// refused.
    pub fn count_receipt(&self, receipt: &Receipt, refused_for: Option<u16>) {
        self.traffic.message();
        let (duplicate, refused) = (receipt.duplicate, receipt.refused);
        tracing::debug!(msg = %Msg(receipt.id), feed = %self.source, duplicate, refused, "message taken in");
        if receipt.control_id_reused {
            self.counters.reused.increment(1);
            self.traffic.reuse();
        }
        if receipt.refused {
            let code = refused_for.unwrap_or_default().to_string();
            if let Some(left_out) = self.counters.refused_lines.admit().filter(|_| !receipt.duplicate) {
                tracing::warn!(listener = %self.source, condition = %code, left_out, "message refused, and kept with its reason");
            }
            Metric::MllpMessagesRefused.add(1, &[("listener", self.source.to_string()), ("code", code)]);
            self.traffic.refusal();
        } else if receipt.duplicate {
            self.counters.duplicates.increment(1);
            self.traffic.duplicate();
        }
    }

    /// A frame held a batch.
    pub fn count_batch(&self) {
        Metric::MllpBatches.add(1, &[("listener", self.source.to_string())]);
        self.traffic.batch();
    }

    /// A message asked for no acknowledgement, and got none.
    pub fn count_unanswered(&self) {
        self.counters.unanswered.increment(1);
        self.traffic.unanswered();
    }

    /// An acknowledgement is about to be sent.
    pub fn count_ack(&self, code: AckCode) {
        if let Some(place) = CODES.iter().position(|known| *known == code) {
            self.counters.acks[place].increment(1);
        }
        Last::Ack.happened(time::now_ms());
        if !code.is_positive() {
            self.traffic.nak();
        }
    }

    /// A framing fault.
    pub fn count_fault(&self, fault: &str) {
        let labels = [("listener", self.source.to_string()), ("fault", fault.to_owned())];
        Metric::MllpFramingFaults.add(1, &labels);
        self.traffic.framing_fault();
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
