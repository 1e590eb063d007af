//! The application acknowledgement: what became of a message that had been committed and acknowledged before.
//!
//! Invariants
//! - It is made from what the message added to the batch and enqueued in the transaction that absorbs the
//!   message: no message is absorbed without its answer, none is answered that was not absorbed.
//! - One message, one answer: its key is the message's inbox id.
//! - It is a message of its own: its MSH-10 is no other message's, MSA-2 is the control id that it answers.
//! - It is sent only where MSH-16 asks for it (HL7 v2.5.1, 2.9.3 and table 0155).
//!
//! AA: all of it was read, or is kept as the configuration says. AE: a part is in quarantine, or the patient could
//! not be told; ERR says so, without a value of the message. AR: it was not looked at, for a reason that is not in
//! its content.

use mllp::{
    ack::{self, Ack, AckCode, AckFault},
    envelope::Envelope,
};
use outbox::{Message, NewMessage};
use sha2::{Digest, Sha256};

use super::{Batch, NO_SITE};
use crate::time;

/// What a batch held before a message.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    quarantine: usize,
    identity: usize,
}

impl Mark {
    pub(super) fn of(batch: &Batch) -> Self {
        Self { quarantine: batch.quarantine.len(), identity: batch.identity.len() }
    }
}

/// Adds the answer to a message that was read into the batch since `before`, where it asks for one.
pub(super) fn add(message: &Message, destination: &str, before: Mark, now: i64, batch: &mut Batch) {
    if message.refused {
        return;
    }
    let Ok(envelope) = Envelope::scan(&message.body) else { return };
    let ack = verdict(batch, before);
    if !is_wanted(envelope.application_ack(), ack.code) {
        return;
    }
    let body = ack::build(Some(&envelope), &ack, &time::hl7_stamp(now), &control_id(message));
    batch.replies.push(NewMessage {
        destination: destination.to_owned(),
        patient: 0,
        kind: format!("application-ack {}", message.source),
        key: key(message.id),
        body: body.to_vec(),
        at: now,
    });
}

/// Table 0155; blank, and what is not in the table, asks for none.
fn is_wanted(asked: &[u8], code: AckCode) -> bool {
    match asked.trim_ascii() {
        b"AL" => true,
        b"ER" => !code.is_positive(),
        b"SU" => code.is_positive(),
        _ => false,
    }
}

fn verdict(batch: &Batch, before: Mark) -> Ack {
    let (quarantine, identity) = (&batch.quarantine[before.quarantine..], &batch.identity[before.identity..]);
    let fault = |code, text: String| AckFault { code, text: text.into(), location: None };
    if let Some(entry) = quarantine.iter().find(|entry| entry.place == NO_SITE) {
        return Ack::refusing(AckCode::AR, fault(207, entry.reason.clone()));
    }
    match (quarantine.first(), identity.first()) {
        (None, None) => Ack::plain(AckCode::AA),
        (Some(first), _) => {
            let more = match quarantine.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            let text = format!("{}: {}{more}", first.place, first.reason);
            Ack::refusing(AckCode::AE, fault(102, text))
        }
        (None, Some(entry)) => Ack::refusing(AckCode::AE, fault(204, entry.reason.clone())),
    }
}

/// MSH-10 of the answer, within the 20 characters of v2.5.1: the inbox id, and the second in which the message was
/// taken in, so that a box set up anew repeats none of its predecessor's.
fn control_id(message: &Message) -> String {
    format!("A{}.{:x}", message.id, message.received_at / 1_000)
}

fn key(inbox_id: i64) -> [u8; 32] {
    Sha256::new().chain_update(b"application-ack").chain_update(inbox_id.to_be_bytes()).finalize().into()
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
