//! From a frame to its acknowledgement: envelope, dedupe key, commit, ACK.
//!
//! Invariants: a positive acknowledgement is built only from a [`Receipt`], which exists only after the
//! commit was synced; the same message gets the same acknowledgement, byte for byte, because the ACK is
//! a function of the message and of the receipt of its first arrival; a store that fails yields no
//! acknowledgement at all, so that the engine sends again.

mod file;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use mllp::{
    ack::{self, Ack, AckCode, AckFault},
    envelope::{Envelope, EnvelopeFault},
};
use outbox::{Arrival, Receipt, WriteError, Writer};
use sha2::{Digest, Sha256};

pub use self::file::{Deposit, Received};
use crate::{
    conditions::{Board, Kind},
    feed::Feed,
    pipeline::Wake,
    route::Handler,
    telemetry::Metric,
    time,
};

/// Longest text of MSH-9 and MSH-10 kept beside the raw bytes; longer ones are cut there, never in the bytes.
const LABEL_MAX_BYTES: usize = 200;

/// What to do with the connection after a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Send this acknowledgement.
    Acknowledge {
        /// The code in MSA-1, for the counter.
        code: AckCode,
        /// The message to frame.
        bytes: Bytes,
    },
    /// The store could not take the message: close without a word, the engine resends.
    Close,
}

/// The way in, shared by all sessions.
#[derive(Clone)]
pub struct Intake {
    writer: Writer,
    conditions: Board,
    wake: Wake,
}

impl Intake {
    /// An intake that commits through `writer`, tells of a failing store on `conditions`, and wakes the
    /// pipeline.
    pub fn new(writer: Writer, conditions: Board, wake: Wake) -> Self {
        Self { writer, conditions, wake }
    }

    /// Commits one message and says how to answer. `body` is the frame's content as received.
    pub async fn take(&self, feed: &Feed, body: Bytes) -> Reply {
        let started = Instant::now();
        let scanned = Envelope::scan(&body);
        let refusal = scanned.as_ref().err().map(|fault| fault.to_string().into_boxed_str());
        let arrival = arrival(feed, &scanned, body, refusal);
        match self.writer.intake(arrival).await {
            Ok(receipt) => {
                feed.count_commit(started.elapsed());
                if receipt.duplicate {
                    feed.count_duplicate();
                }
                if receipt.control_id_reused {
                    feed.count_reuse();
                }
                self.conditions.clear(Kind::StoreRefuses, "");
                self.wake.wake();
                acknowledge(&scanned, &receipt)
            }
            Err(error) => self.refuse(&error),
        }
    }

    /// A frame over the cap: the message cannot be kept whole, so it is refused by name. `head` is its
    /// beginning.
    pub fn too_long(&self, head: &Bytes, limit_bytes: usize) -> Reply {
        let scanned = Envelope::scan(head);
        let text = format!("message longer than the listener's {limit_bytes} bytes");
        let ack = Ack::refusing(AckCode::AR, AckFault { code: 207, text: text.into(), location: None });
        let bytes = ack::build(readable(&scanned), &ack, &time::hl7_stamp(time::now_ms()), "I0");
        Reply::Acknowledge { code: AckCode::AR, bytes }
    }

    fn refuse(&self, error: &WriteError) -> Reply {
        Metric::IntakeFailures.add(1, &[]);
        let detail = format!("{error}; nothing is acknowledged until the store takes commits again");
        self.conditions.raise(Kind::StoreRefuses, "", detail, time::now_ms());
        Reply::Close
    }
}

/// The part of a faulty envelope that could still be read, for the NAK.
fn readable(scanned: &Result<Envelope, EnvelopeFault>) -> Option<&Envelope> {
    match scanned {
        Ok(envelope) => Some(envelope),
        Err(fault) => fault.readable(),
    }
}

fn acknowledge(scanned: &Result<Envelope, EnvelopeFault>, receipt: &Receipt) -> Reply {
    let ack = match scanned {
        Ok(_) => Ack::plain(AckCode::AA),
        // AE is for content; AR for what MSH-9 to 12 say of the message as such (table 0008).
        Err(fault @ EnvelopeFault::NoType(_)) => Ack::refusing(AckCode::AR, AckFault::from(fault)),
        Err(fault) => Ack::refusing(AckCode::AE, AckFault::from(fault)),
    };
    let stamp = time::hl7_stamp(receipt.received_at);
    let bytes = ack::build(readable(scanned), &ack, &stamp, &format!("I{}", receipt.id));
    Reply::Acknowledge { code: ack.code, bytes }
}

fn arrival(
    feed: &Feed,
    scanned: &Result<Envelope, EnvelopeFault>,
    body: Bytes,
    refusal: Option<Box<str>>,
) -> Arrival {
    let hash: [u8; 32] = Sha256::digest(&body).into();
    let envelope = readable(scanned);
    let field = |pick: fn(&Envelope) -> &[u8]| envelope.map_or(&[][..], pick);
    let (kind, control_id) = (field(|envelope| envelope.field(9)), field(Envelope::control_id));
    let mut identity = Sha256::new();
    for part in [
        feed.source.as_bytes(),
        field(Envelope::sending_application),
        field(Envelope::sending_facility),
        control_id,
    ] {
        identity.update((part.len() as u64).to_be_bytes());
        identity.update(part);
    }
    let control_key = first(&identity.clone().finalize());
    identity.update(hash);
    Arrival {
        source: Arc::clone(&feed.source),
        site: Arc::clone(&feed.site),
        handler: envelope.map_or(Handler::Keep, Handler::of).word(),
        kind: label(kind),
        control_id: label(control_id),
        received_at: time::now_ms(),
        key: first(&identity.finalize()),
        control_key,
        hash,
        body,
        refusal,
    }
}

fn first<const N: usize>(digest: &[u8]) -> [u8; N] {
    std::array::from_fn(|i| digest[i])
}

fn label(text: &[u8]) -> Box<str> {
    String::from_utf8_lossy(&text[..text.len().min(LABEL_MAX_BYTES)]).into_owned().into_boxed_str()
}
