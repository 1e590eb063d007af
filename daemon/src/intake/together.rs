//! A frame that holds a batch: each message is a row of its own, and the frame gets one answer.
//!
//! Invariants
//! - All rows of a frame are committed together, so that the answer means all of them. If the process dies before that,
//!   nothing was stored; if it dies after, a resend finds every message known. So a resend has no second effect.
//! - Nothing of the frame is lost: what stands around the messages is a row too (kind `batch`, kept and not read). Its
//!   receipt is what the answer is made of, so that a resend gets the same bytes.
//!
//! The rule of the answer: one for a frame, addressed by the outermost header, to FHS-11, else BHS-11, else MSH-10 of the
//! first message; in original mode, or in enhanced mode where the listener says so; whatever MSH-15 and MSH-16 of the
//! messages say.
//!
//! | the frame | answer | what is kept |
//! |---|---|---|
//! | all messages accepted, or none in it | AA (CA) | each message |
//! | some refused, for whatever reason | AE (CE), an ERR for each with its place, at most [`MOST_FAULTS`] | each message, the refused ones in quarantine |
//! | none in it, and its header names a sender that is not in `allow_senders` | AR (CR) | the whole frame in quarantine |
//! | a count is wrong, a segment belongs to no message, or there are too many messages or parts | AR (CR) | the whole frame in quarantine; nothing of it is read |
//! | a header declares no delimiters, or nothing in the frame has an id to answer to | AE (CE) | the same |

use std::time::Instant;

use bytes::Bytes;
use mllp::{
    ack::{AckFault, Location},
    asked::{Asked, Class},
    batch::{self, Batch, BatchFault},
    envelope::Envelope,
};
use outbox::Receipt;

use super::{
    Intake, Reply,
    arrival::{arrival, of_batch},
    judge::Refusal,
    readable, stored, verdict,
};
use crate::{feed::Feed, traces};

/// Most ERR segments of one answer: what a person reads of it. One more says how many are left out.
const MOST_FAULTS: usize = 50;

/// Frames up to this length are taken apart where they are read, in a few milliseconds; longer ones on a thread where
/// waiting is allowed, so that other sessions are not held up.
const INLINE_MAX_BYTES: usize = 1024 * 1024;

/// What a frame is stored as, and what speaks against each row: of what stands around its messages, then of each message;
/// or of the whole frame alone.
struct Unpacked {
    /// Whom the answer is addressed to.
    to: Option<Envelope>,
    arrivals: Vec<outbox::Arrival>,
    refusals: Vec<Option<Refusal>>,
}

impl Intake {
    /// Commits a batch and says how to answer.
    pub(super) async fn take_batch(&self, feed: &Feed, frame: Bytes) -> Reply {
        let started = Instant::now();
        feed.count_batch();
        let Unpacked { to, arrivals, refusals } = if frame.len() > INLINE_MAX_BYTES {
            let (intake, feed) = (self.clone(), feed.clone());
            match tokio::task::spawn_blocking(move || intake.unpack(&feed, &frame)).await {
                Ok(unpacked) => unpacked,
                // The daemon ends, or a defect came to light: nothing is stored.
                Err(_) => return Reply::Close,
            }
        } else {
            self.unpack(feed, &frame)
        };
        let asked = Asked::of_batch(feed.answering.acknowledge);
        let committing = Instant::now();
        let receipts = match self.writer.intake_together(arrivals).await {
            Ok(receipts) => receipts,
            Err(error) => return self.not_stored(feed, asked, to.as_ref(), &error),
        };
        feed.count_commit(started.elapsed());
        receipts.iter().for_each(|receipt| traces::received(feed, receipt, started, committing));
        // What stands around the messages is no message, unless the whole frame was refused.
        let around = receipts.first().is_some_and(|whole| !whole.refused);
        for (receipt, refusal) in receipts.iter().zip(&refusals).skip(usize::from(around)) {
            feed.count_receipt(receipt, refusal.as_ref().map(|refusal| refusal.fault.code));
        }
        self.committed();
        match receipts.first() {
            Some(whole) => answer(asked, to.as_ref(), whole, &receipts, refusals),
            None => Reply::Close,
        }
    }

    /// Takes a frame apart, and says what speaks against it.
    fn unpack(&self, feed: &Feed, frame: &Bytes) -> Unpacked {
        let to = batch::addressee(frame);
        let whole = match batch::split(frame) {
            Ok(batch) => match barred(feed, to.as_ref(), frame, &batch) {
                None => return self.unpack_messages(feed, to, frame, &batch),
                Some(refusal) => refusal,
            },
            Err(fault) => Refusal { class: class_of(&fault), fault: AckFault::from(&fault) },
        };
        let arrivals = vec![of_batch(feed, to.as_ref(), frame, frame.clone(), Some(&whole))];
        Unpacked { to, arrivals, refusals: vec![Some(whole)] }
    }

    fn unpack_messages(&self, feed: &Feed, to: Option<Envelope>, frame: &Bytes, batch: &Batch) -> Unpacked {
        let mut arrivals = vec![of_batch(feed, to.as_ref(), frame, batch.around(), None)];
        let mut refusals = vec![None];
        for (body, sequence) in batch.messages().zip(1u32..) {
            let scanned = Envelope::scan(&body);
            let refusal = verdict(feed, &scanned, &body).map(|refusal| placed(refusal, sequence));
            let envelope = readable(&scanned);
            let place = self.place(feed, envelope);
            arrivals.push(arrival(feed, envelope, place, body, refusal.as_ref()));
            refusals.push(refusal);
        }
        Unpacked { to, arrivals, refusals }
    }
}

/// Why a frame without messages is not taken: its header names a sender that is not allowed. Where there are messages,
/// each is judged by its own; an engine that gathers them may name itself in the header, or nobody.
fn barred(feed: &Feed, to: Option<&Envelope>, frame: &[u8], batch: &Batch) -> Option<Refusal> {
    if batch.messages().next().is_some() {
        return None;
    }
    let mut fault = feed.bars(to)?;
    let header = if frame.trim_ascii_start().starts_with(b"FHS") { "FHS" } else { "BHS" };
    fault.text = fault.text.replace("MSH", header).into();
    fault.location = Some(Location::field(header, 1, 3));
    Some(Refusal { class: Class::Reject, fault })
}

/// A header that cannot be read is content; a frame that does not hold what it says it holds is not.
fn class_of(fault: &BatchFault) -> Class {
    match fault {
        BatchFault::BadDelimiters { .. } | BatchFault::NoControlId => Class::Error,
        BatchFault::WrongCount { .. }
        | BatchFault::UnreadableCount { .. }
        | BatchFault::OutOfPlace { .. }
        | BatchFault::TooMany
        | BatchFault::TooManyParts => Class::Reject,
    }
}

/// The refusal of the `sequence`-th message of a frame: its MSH is the `sequence`-th, too.
fn placed(mut refusal: Refusal, sequence: u32) -> Refusal {
    if let Some(location) = &mut refusal.fault.location {
        location.sequence = sequence;
    }
    refusal
}

/// The one answer to the frame; `whole` is the receipt of what stands around its messages.
fn answer(
    asked: Asked,
    to: Option<&Envelope>,
    whole: &Receipt,
    receipts: &[Receipt],
    refusals: Vec<Option<Refusal>>,
) -> Reply {
    let standing = receipts.iter().zip(refusals).filter(|(receipt, _)| receipt.refused);
    let mut refused: Vec<Refusal> = standing.filter_map(|(_, refusal)| refusal).collect();
    let code = match refused.first() {
        None => asked.accepted(),
        Some(first) if whole.refused => asked.refused(first.class),
        Some(_) => asked.refused(Class::Error),
    };
    let left_out = refused.len().saturating_sub(MOST_FAULTS);
    refused.truncate(MOST_FAULTS);
    let mut faults: Vec<AckFault> = refused.into_iter().map(|refusal| refusal.fault).collect();
    if left_out > 0 {
        let text = format!("{left_out} more messages of the batch were refused");
        faults.push(AckFault { code: 207, text: text.into(), location: None });
    }
    stored(code, to, faults, whole)
}
