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
//! | a count is wrong, a segment belongs to no message, or there are too many | AR (CR) | the whole frame in quarantine; nothing of it is read |
//! | a header declares no delimiters, or nothing in the frame has an id to answer to | AE (CE) | the same |

use std::time::Instant;

use bytes::Bytes;
use mllp::{
    ack::AckFault,
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
use crate::feed::Feed;

/// Most ERR segments of one answer: what a person reads of it. One more says how many are left out.
const MOST_FAULTS: usize = 50;

impl Intake {
    /// Commits a batch and says how to answer.
    pub(super) async fn take_batch(&self, feed: &Feed, frame: Bytes) -> Reply {
        let started = Instant::now();
        feed.count_batch();
        let to = batch::addressee(&frame);
        let asked = Asked::of_batch(feed.answering.acknowledge);
        let (arrivals, refusals) = match batch::split(&frame) {
            Ok(batch) => self.unpack(feed, to.as_ref(), &frame, &batch),
            Err(fault) => {
                let refusal = Refusal { class: class_of(&fault), fault: AckFault::from(&fault) };
                (
                    vec![of_batch(feed, to.as_ref(), &frame, frame.clone(), Some(&refusal))],
                    vec![Some(refusal)],
                )
            }
        };
        let receipts = match self.writer.intake_together(arrivals).await {
            Ok(receipts) => receipts,
            Err(error) => return self.not_stored(feed, asked, to.as_ref(), &error),
        };
        feed.count_commit(started.elapsed());
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

    /// What a batch is stored as: what stands around its messages, then each message; and what speaks against each.
    fn unpack(
        &self,
        feed: &Feed,
        to: Option<&Envelope>,
        frame: &Bytes,
        batch: &Batch,
    ) -> (Vec<outbox::Arrival>, Vec<Option<Refusal>>) {
        let mut arrivals = vec![of_batch(feed, to, frame, batch.around(), None)];
        let mut refusals = vec![None];
        for (body, sequence) in batch.messages().zip(1u32..) {
            let scanned = Envelope::scan(&body);
            let refusal = verdict(feed, &scanned, &body).map(|refusal| placed(refusal, sequence));
            let envelope = readable(&scanned);
            let place = self.place(feed, envelope);
            arrivals.push(arrival(feed, envelope, place, body, refusal.as_ref()));
            refusals.push(refusal);
        }
        (arrivals, refusals)
    }
}

/// A header that cannot be read is content; a frame that does not hold what it says it holds is not.
fn class_of(fault: &BatchFault) -> Class {
    match fault {
        BatchFault::BadDelimiters { .. } | BatchFault::NoControlId => Class::Error,
        BatchFault::WrongCount { .. }
        | BatchFault::UnreadableCount { .. }
        | BatchFault::OutOfPlace { .. }
        | BatchFault::TooMany => Class::Reject,
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
