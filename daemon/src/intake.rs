//! From a frame to its acknowledgement: envelope, judgement, dedupe key, commit, ACK.
//!
//! Invariants
//! - A positive acknowledgement is built only from a [`Receipt`], which exists only after the commit was synced.
//! - The same message gets the same acknowledgement, byte for byte, because the ACK is a function of the message and of
//!   the receipt of its first arrival.
//! - What is refused is kept too, with its reason, and judged afresh when it is sent again.
//! - Whether a message is kept never depends on which answer it asked for.
//! - A store that fails yields no acknowledgement at all, so that the engine sends again; or AR (CE), where the listener
//!   says so.

mod arrival;
mod file;
pub(crate) mod judge;
mod together;

use std::time::Instant;

use bytes::Bytes;
use mllp::{
    ack::{self, Ack, AckCode, AckFault},
    asked::{Asked, Class},
    batch,
    envelope::{Envelope, EnvelopeFault},
};
use outbox::{Arrival, Receipt, WriteError, Writer};

pub(crate) use self::file::deposit;
pub use self::file::{Deposit, Received};
use self::{
    arrival::{Place, arrival},
    judge::{Refusal, judge, several},
};
use crate::{
    conditions::{Board, Kind},
    config::StoreFailure,
    feed::Feed,
    generation::Current,
    pipeline::Wake,
    route::{Handler, PART},
    telemetry::Metric,
    time, traces,
};

/// MSH-10 of an answer that no stored message stands behind.
const NO_ID: &str = "I0";

/// What to do with the connection after a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Send this acknowledgement.
    Acknowledge {
        /// The code in MSA-1, for the counter.
        code: AckCode,
        /// The message to frame.
        bytes: Bytes,
        /// Number in the store of what it answers: a message, or what stands around those of a batch. `None` where nothing was
        /// stored.
        msg: Option<i64>,
    },
    /// No acknowledgement is asked for: go on.
    Nothing,
    /// The store could not take the message: close without a word, the engine resends.
    Close,
}

/// The way in, shared by all sessions.
#[derive(Clone)]
pub struct Intake {
    writer: Writer,
    conditions: Board,
    wake: Wake,
    current: Option<Current>,
}

impl Intake {
    /// An intake that commits through `writer`, tells of a failing store on `conditions`, and wakes the pipeline. No
    /// routes: each message is its listener's site's.
    pub fn new(writer: Writer, conditions: Board, wake: Wake) -> Self {
        Self { writer, conditions, wake, current: None }
    }

    /// The same, with the routes of the configuration in force.
    #[must_use]
    pub fn routed_by(self, current: Current) -> Self {
        Self { current: Some(current), ..self }
    }

    /// Commits what a frame holds, one message or a batch, and says how to answer. `frame` is its content as received.
    pub async fn take(&self, feed: &Feed, frame: Bytes) -> Reply {
        if batch::is_batch(&frame) {
            return self.take_batch(feed, frame).await;
        }
        let started = Instant::now();
        let scanned = Envelope::scan(&frame);
        let refusal = verdict(feed, &scanned, &frame);
        let envelope = readable(&scanned);
        let asked = Asked::by(envelope, feed.answering.acknowledge);
        let place = self.place(feed, envelope);
        let committing = Instant::now();
        match self.writer.intake(arrival(feed, envelope, place, frame, refusal.as_ref())).await {
            Ok(receipt) => {
                traces::received(feed, &receipt, started, committing);
                feed.count_commit(started.elapsed());
                feed.count_receipt(&receipt, refusal.as_ref().map(|refusal| refusal.fault.code));
                self.committed();
                answer(asked, envelope, refusal, &receipt)
            }
            Err(error) => self.not_stored(feed, asked, envelope, &error),
        }
    }

    /// A frame over the cap: the message cannot be kept whole, so it is refused by name, and its `head` kept with
    /// the reason, for whoever must find out which one it was.
    pub async fn too_long(&self, feed: &Feed, head: Bytes, limit_bytes: usize) -> Reply {
        let (started, mode) = (Instant::now(), feed.answering.acknowledge);
        let batch = batch::addressee(&head).filter(|_| batch::is_batch(&head));
        let scanned = Envelope::scan(&head);
        let envelope = batch.as_ref().or_else(|| readable(&scanned));
        let asked = if batch.is_some() { Asked::of_batch(mode) } else { Asked::by(envelope, mode) };
        let text = format!(
            "message longer than the listener's {limit_bytes} bytes (max_frame_bytes); its first {} bytes are kept",
            head.len()
        );
        let fault = AckFault { code: 207, text: text.into(), location: None };
        let refusal = Refusal { class: Class::Reject, fault };
        let place = Place { site: std::sync::Arc::clone(&feed.site), handler: Handler::Keep };
        let arrival = Arrival { handler: PART, ..arrival(feed, envelope, place, head, Some(&refusal)) };
        match self.writer.intake(arrival).await {
            Ok(receipt) => {
                traces::received(feed, &receipt, started, started);
                feed.count_receipt(&receipt, Some(refusal.fault.code));
                stored(asked.refused(Class::Reject), envelope, vec![refusal.fault], &receipt)
            }
            Err(error) => self.not_stored(feed, asked, envelope, &error),
        }
    }

    /// Where a message belongs, and what is done with it.
    fn place(&self, feed: &Feed, envelope: Option<&Envelope>) -> Place {
        let site = || std::sync::Arc::clone(&feed.site);
        let Some(envelope) = envelope else { return Place { site: site(), handler: Handler::Keep } };
        let (site, handler) = match &self.current {
            Some(current) => {
                current.with(|generation| generation.routes().choose(&feed.source, &feed.site, envelope))
            }
            None => (site(), Handler::of(envelope)),
        };
        Place { site, handler }
    }

    fn committed(&self) {
        self.conditions.clear(Kind::StoreRefuses, "");
        self.wake.wake();
    }

    fn tell_not_stored(&self, error: &WriteError) {
        Metric::IntakeFailures.add(1, &[]);
        let detail = format!("{error}; nothing is acknowledged until the store takes commits again");
        self.conditions.raise(Kind::StoreRefuses, "", detail, time::now_ms());
    }

    fn not_stored(
        &self,
        feed: &Feed,
        asked: Asked,
        envelope: Option<&Envelope>,
        error: &WriteError,
    ) -> Reply {
        self.tell_not_stored(error);
        if feed.answering.on_store_failure == StoreFailure::Close {
            return Reply::Close;
        }
        // Where no negative answer is wanted, the end of the connection is the only way to tell.
        let text = "the message could not be stored; send it again".to_owned();
        unstored(asked.not_stored(), envelope, text).unwrap_or(Reply::Close)
    }
}

/// The part of a faulty envelope that could still be read, for the NAK.
pub(crate) fn readable(scanned: &Result<Envelope, EnvelopeFault>) -> Option<&Envelope> {
    match scanned {
        Ok(envelope) => Some(envelope),
        Err(fault) => fault.readable(),
    }
}

/// Why a message is not taken: its sender is not allowed, its MSH says so, or there is another behind it.
fn verdict(feed: &Feed, scanned: &Result<Envelope, EnvelopeFault>, body: &[u8]) -> Option<Refusal> {
    let barred = feed.bars(readable(scanned)).map(|fault| Refusal { class: Class::Reject, fault });
    barred.or_else(|| judge(scanned, &feed.answering)).or_else(|| several(body))
}

/// The answer to a committed message.
fn answer(asked: Asked, to: Option<&Envelope>, refusal: Option<Refusal>, receipt: &Receipt) -> Reply {
    // One that was accepted before has its answer, whatever is thought of it now.
    let refusal = refusal.filter(|_| receipt.refused);
    let code = match &refusal {
        None => asked.accepted(),
        Some(refusal) => asked.refused(refusal.class),
    };
    let faults = refusal.map(|refusal| refusal.fault).into_iter().collect();
    stored(code, to, faults, receipt)
}

/// An answer that is a function of what was stored.
fn stored(code: Option<AckCode>, to: Option<&Envelope>, faults: Vec<AckFault>, receipt: &Receipt) -> Reply {
    let Some(code) = code else { return Reply::Nothing };
    let stamp = time::hl7_stamp(receipt.received_at);
    let bytes = ack::build(to, &Ack { code, faults }, &stamp, &format!("I{}", receipt.id));
    Reply::Acknowledge { code, bytes, msg: Some(receipt.id) }
}

/// An answer with condition 207 to what was not stored; `None` where none is wanted.
fn unstored(code: Option<AckCode>, to: Option<&Envelope>, text: String) -> Option<Reply> {
    let code = code?;
    let ack = Ack::refusing(code, AckFault { code: 207, text: text.into(), location: None });
    let bytes = ack::build(to, &ack, &time::hl7_stamp(time::now_ms()), NO_ID);
    Some(Reply::Acknowledge { code, bytes, msg: None })
}

#[cfg(test)]
mod tests;
