//! The way of a message as a trace of OpenTelemetry, where `[traces]` asks for it (feature `otel`).
//!
//! Invariants
//! - A span holds names that are in this file, numbers of the store, and ids of the configuration. There is no place in it for
//!   a text from a message, a patient, a server's words or a path.
//! - One message is one trace, over restarts and over the days that may lie between its receipt and its delivery: the trace's id
//!   is made of the box's id and the message's number (`identity`), and so is the id of its first span, which all others name
//!   as their parent.
//! - Nothing waits for a trace. What the queue has no room for, or the collector does not take, is counted and left out.
//!
//! Without the feature the calls stand where they stand and do nothing: no message is ever wanted.

#[cfg_attr(not(feature = "otel"), path = "absent.rs")]
mod exporter;
#[cfg(feature = "otel")]
mod identity;

use std::{sync::Arc, time::Instant};

use outbox::LeasedRow;

pub use self::exporter::{Exporter, start};
use crate::{course::NAMED_MOST, feed::Feed};

/// A step of a message's way. Its name is the name of the span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Step {
    /// From the last byte of its frame, or its place in a file or a request, to its commit. The first span.
    Receipt,
    /// From when it was handed to the store until it was synced there.
    Commit,
    /// The writing of its acknowledgement.
    Acknowledge,
    /// The piece of work in which it was read and what it says was stored.
    #[default]
    Absorb,
    /// The same for a message that was read anew.
    Again,
    /// The piece of work in which a version of a window was made that counts it, and no version before did.
    Publish,
    /// An attempt to write that version at a destination.
    Deliver,
}

impl Step {
    /// The name of its span.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Receipt => "receipt",
            Self::Commit => "commit",
            Self::Acknowledge => "acknowledge",
            Self::Absorb => "absorb",
            Self::Again => "read again",
            Self::Publish => "publish",
            Self::Deliver => "deliver",
        }
    }
}

/// What is said of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The listener, spool or client it came by, as configured.
    Feed(Arc<str>),
    /// Where it went: `ehr:<site>`, `upstream`, `mllp:<name>`.
    Destination(String),
    /// How it ended: a word of a closed list.
    Outcome(&'static str),
    /// HTTP status of the answer that decided.
    Status(u16),
    /// Number of a window.
    Window(i64),
    /// Number of its version.
    Version(i64),
    /// Number of a row of the queue.
    Row(i64),
    /// Which attempt, from 1.
    Attempt(u32),
    /// How many messages were in the same piece of work.
    Together(usize),
}

/// A step of one message that has ended.
#[derive(Clone, Debug)]
pub struct Span {
    /// Number of the message.
    pub msg: i64,
    /// Which step.
    pub step: Step,
    /// Whether it is the first of its trace.
    pub is_first: bool,
    /// When it began.
    pub began: Instant,
    /// When it ended.
    pub ended: Instant,
    /// Whether it came to what it was to come to.
    pub is_good: bool,
    /// What is said of it.
    pub facts: Vec<Fact>,
}

impl Span {
    /// A step that ends now, and well.
    fn now(msg: i64, step: Step, began: Instant, facts: Vec<Fact>) -> Self {
        Self { msg, step, is_first: false, began, ended: Instant::now(), is_good: true, facts }
    }
}

/// What became of a message that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was stored.
    New,
    /// It was known: nothing was stored.
    Known,
    /// It was stored with the reason why it is not taken.
    Refused,
}

impl Taken {
    /// Of a receipt.
    pub const fn of(receipt: &outbox::Receipt) -> Self {
        match (receipt.duplicate, receipt.refused) {
            (true, _) => Self::Known,
            (false, true) => Self::Refused,
            (false, false) => Self::New,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Known => "duplicate",
            Self::Refused => "refused",
        }
    }
}

/// Whether any message's trace is wanted: what costs a look at the store is asked for only then.
pub fn are_on() -> bool {
    exporter::are_on()
}

/// A message of a feed was committed. `began`: when it was there whole; `committing`: when it was handed to the store.
pub fn received(feed: &Feed, receipt: &outbox::Receipt, began: Instant, committing: Instant) {
    taken(&feed.source, receipt.id, Taken::of(receipt), began, committing);
}

/// As [`received`], of a source that is no feed.
pub fn taken(source: &Arc<str>, msg: i64, taken: Taken, began: Instant, committing: Instant) {
    if !exporter::wants(msg) {
        return;
    }
    let facts = vec![Fact::Feed(Arc::clone(source)), Fact::Outcome(taken.word())];
    // Whoever sends again what is known adds a span to the trace that there is.
    let is_first = taken != Taken::Known;
    exporter::record(Span { is_first, ..Span::now(msg, Step::Receipt, began, facts) });
    exporter::record(Span::now(msg, Step::Commit, committing, Vec::new()));
}

/// The acknowledgement of a message was written, or could not be. `code`: AA and so on.
pub fn acknowledged(msg: Option<i64>, code: &'static str, began: Instant, is_written: bool) {
    if let Some(msg) = msg.filter(|msg| exporter::wants(*msg)) {
        let facts = vec![Fact::Outcome(code)];
        exporter::record(Span { is_good: is_written, ..Span::now(msg, Step::Acknowledge, began, facts) });
    }
}

/// A version of a window was published that counts these messages, and no version before did; of many, the newest.
pub fn published(window: i64, version: i64, msgs: &[u64], began: Instant) {
    for msg in newest(msgs) {
        let facts = vec![Fact::Window(window), Fact::Version(version)];
        exporter::record(Span::now(msg, Step::Publish, began, facts));
    }
}

/// How an attempt to write ended.
#[derive(Clone, Copy)]
pub struct Attempted<'a> {
    /// Where.
    pub destination: &'a str,
    /// What.
    pub row: &'a LeasedRow,
    /// When it began.
    pub began: Instant,
    /// The word of its verdict.
    pub verdict: &'static str,
    /// HTTP status of the answer, where there was one.
    pub status: Option<u16>,
    /// Whether the destination has it now.
    pub is_delivered: bool,
}

/// An attempt to write what these messages are counted in ended; of many messages, the newest.
pub fn attempted(attempted: &Attempted<'_>, msgs: &[u64]) {
    let row = attempted.row;
    for msg in newest(msgs) {
        let mut facts = vec![
            Fact::Destination(attempted.destination.to_owned()),
            Fact::Outcome(attempted.verdict),
            Fact::Row(row.id),
            Fact::Window(row.window_id),
            Fact::Version(row.version),
            Fact::Attempt(row.attempts),
        ];
        facts.extend(attempted.status.map(Fact::Status));
        let span = Span::now(msg, Step::Deliver, attempted.began, facts);
        exporter::record(Span { is_good: attempted.is_delivered, ..span });
    }
}

/// Those of the newest messages whose traces are wanted.
fn newest(msgs: &[u64]) -> impl Iterator<Item = i64> {
    let newest = &msgs[msgs.len().saturating_sub(NAMED_MOST)..];
    newest.iter().filter_map(|msg| i64::try_from(*msg).ok()).filter(|msg| exporter::wants(*msg))
}

/// The messages of one piece of the pipeline's work, and when it began; of those whose trace nobody wants, none.
#[derive(Debug, Default)]
pub struct Work {
    began: Option<Instant>,
    msgs: Vec<i64>,
    count: usize,
}

impl Work {
    /// A piece of work that begins now.
    pub fn begun() -> Self {
        Self { began: are_on().then(Instant::now), ..Self::default() }
    }

    /// This message is in it.
    pub fn note(&mut self, msg: i64) {
        self.count += 1;
        if exporter::wants(msg) {
            self.msgs.push(msg);
        }
    }

    /// It was done.
    pub fn done(self, step: Step) {
        let Some(began) = self.began else { return };
        for msg in self.msgs {
            exporter::record(Span::now(msg, step, began, vec![Fact::Together(self.count)]));
        }
    }
}
