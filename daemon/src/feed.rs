//! A configured feed: what a listener knows of its senders, and what it counts of them.
//!
//! The counters are looked up once, when the listener starts: a look-up by name and labels for each message costs
//! more than the envelope scan.

use std::{sync::Arc, time::Duration};

use metrics::{Counter, Histogram};
use mllp::ack::AckCode;

use crate::telemetry::Metric;

/// Codes an acknowledgement may carry, in the order of [`AckCode`].
const CODES: [AckCode; 6] = [AckCode::AA, AckCode::AE, AckCode::AR, AckCode::CA, AckCode::CE, AckCode::CR];

/// A configured feed; cheap to clone.
#[derive(Clone, Debug)]
pub struct Feed {
    /// The source name that dedupe keys are made of (it outlives addresses: engines fail over).
    pub source: Arc<str>,
    /// The site of its messages, where no route says otherwise.
    pub site: Arc<str>,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Counters {
    frames: Counter,
    duplicates: Counter,
    reused: Counter,
    commit: Histogram,
    acks: [Counter; CODES.len()],
}

impl Feed {
    /// The feed of a source, for a site. Metrics must be installed before, or these count nowhere.
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
        };
        Self { source: Arc::from(source), site: Arc::from(site), counters: Arc::new(counters) }
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
