//! What the engine sent and what it was told: the record against which a receiver is judged.
//!
//! Invariants: a message is on record before its first byte leaves; an acknowledgement is on record
//! before the next message leaves. So whatever the receiver acknowledged, and the engine read, is here.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;

use super::plan::{Step, StepKind};

/// An acknowledgement that named the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ack {
    /// MSA-1: `AA`, `AE`, `AR`, `CA`, `CE` or `CR`.
    pub code: String,
}

impl Ack {
    /// Whether the receiver took the message over.
    pub fn is_positive(&self) -> bool {
        matches!(self.code.as_str(), "AA" | "CA")
    }
}

/// How it ended for one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Not yet.
    InFlight,
    /// Answered, this long after the engine started.
    Answered {
        /// What it said.
        ack: Ack,
        /// When, on the engine's clock.
        at: Duration,
    },
    /// Tried as often as allowed, or stopped, without an answer: the receiver may hold it or not.
    GivenUp,
}

/// One planned message on its way.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Which lane of the plan.
    pub lane: usize,
    /// What kind of message.
    pub kind: StepKind,
    /// MSH-10, empty if the message has none.
    pub control_id: String,
    /// Its bytes, unframed.
    pub bytes: Bytes,
    /// When its first byte left, on the engine's clock; none if no connection was to be had.
    pub sent_at: Option<Duration>,
    /// How often it was transmitted.
    pub transmissions: u32,
    /// How it ended.
    pub outcome: Outcome,
}

impl Sent {
    /// Whether a positive acknowledgement was read.
    pub fn is_acknowledged(&self) -> bool {
        matches!(&self.outcome, Outcome::Answered { ack, .. } if ack.is_positive())
    }
}

/// Live counters, for a table that is drawn while the engine runs.
#[derive(Debug, Default)]
pub struct Progress {
    /// Messages of the plan whose first byte left.
    pub sent: AtomicU64,
    /// Answered with AA or CA.
    pub acknowledged: AtomicU64,
    /// Answered with anything else.
    pub refused: AtomicU64,
    /// Transmissions beyond the first of each message.
    pub resent: AtomicU64,
    /// Given up.
    pub given_up: AtomicU64,
    /// Answers that named another message.
    pub crossed: AtomicU64,
}

/// [`Progress`] at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Messages of the plan whose first byte left.
    pub sent: u64,
    /// Answered with AA or CA.
    pub acknowledged: u64,
    /// Answered with anything else.
    pub refused: u64,
    /// Transmissions beyond the first of each message.
    pub resent: u64,
    /// Given up.
    pub given_up: u64,
    /// Answers that named another message.
    pub crossed: u64,
}

/// The record of one engine.
#[derive(Debug)]
pub struct Oracle {
    started: Instant,
    progress: Progress,
    sent: Mutex<Vec<Sent>>,
}

/// A message's place in the record.
#[derive(Debug)]
pub(super) struct Ticket(usize);

impl Oracle {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), progress: Progress::default(), sent: Mutex::new(Vec::new()) }
    }

    /// The live counters.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The counters at this moment.
    pub fn tally(&self) -> Tally {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Progress { sent, acknowledged, refused, resent, given_up, crossed } = &self.progress;
        Tally {
            sent: of(sent),
            acknowledged: of(acknowledged),
            refused: of(refused),
            resent: of(resent),
            given_up: of(given_up),
            crossed: of(crossed),
        }
    }

    /// A copy of the record, in the order in which messages were begun.
    pub fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The distinct messages (by their bytes) the receiver took over: each must be found with it, once.
    pub fn acknowledged(&self) -> BTreeSet<Bytes> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.iter().filter(|sent| sent.is_acknowledged()).map(|sent| sent.bytes.clone()).collect()
    }

    pub(super) fn begin(&self, lane: usize, step: &Step) -> Ticket {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.push(Sent {
            lane,
            kind: step.kind,
            control_id: step.control_id.clone(),
            bytes: step.bytes.clone(),
            sent_at: None,
            transmissions: 0,
            outcome: Outcome::InFlight,
        });
        Ticket(sent.len() - 1)
    }

    pub(super) fn transmitting(&self, ticket: &Ticket) {
        let now = self.started.elapsed();
        let first = self.change(ticket, |sent| {
            sent.transmissions += 1;
            sent.sent_at.get_or_insert(now);
            sent.transmissions == 1
        });
        let counter = if first { &self.progress.sent } else { &self.progress.resent };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn answered(&self, ticket: Ticket, ack: Ack) {
        let positive = ack.is_positive();
        let at = self.started.elapsed();
        self.change(&ticket, |sent| sent.outcome = Outcome::Answered { ack, at });
        let counter = if positive { &self.progress.acknowledged } else { &self.progress.refused };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn given_up(&self, ticket: Ticket) {
        self.change(&ticket, |sent| sent.outcome = Outcome::GivenUp);
        self.progress.given_up.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn crossed(&self) {
        self.progress.crossed.fetch_add(1, Ordering::Relaxed);
    }

    fn change<T>(&self, ticket: &Ticket, change: impl FnOnce(&mut Sent) -> T) -> T {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        // A ticket is the index of a record that was pushed, and records are never removed.
        change(&mut sent[ticket.0])
    }
}
