//! The application acknowledgement: what became of a message that had been committed and acknowledged before.
//!
//! Invariants
//! - It is made when all that follows from the message is known, after its patients were looked for, and enqueued in
//!   the transaction that absorbs the message: no message is absorbed without its answer, none is answered that was
//!   not absorbed.
//! - One message, one answer: its key is the message's inbox id. What is read anew after its answer gets no other.
//! - It is a message of its own: its MSH-10 is no other message's, MSA-2 is the control id that it answers.
//! - It is sent only where MSH-16 asks for it ([`Asked::application`]), and never in answer to an acknowledgement.
//!
//! AA: all of it was read, or is kept as the configuration says. AE: a part is in quarantine, or its patient could
//! not be told; ERR says so and where, without a value of the message. AR: it was not looked at, for a reason that is not in
//! its content.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use clinical::normalize::hl7v2::Place;
use mllp::{
    ack::{self, Ack, AckFault, Location},
    asked::{Asked, Class},
    envelope::Envelope,
};
use outbox::{IdentityEntry, Message, NewMessage, QuarantineEntry};
use sha2::{Digest, Sha256};

use super::{Batch, NO_SITE};
use crate::{outbound::ACKNOWLEDGEMENT, time};

/// The stage of what a message says of patients and what is known of them does not bear out.
const IDENTIFY: &str = "identify";
/// ERR-3 (table 0357) of what could not be read: data type error.
const UNREADABLE: u16 = 102;
/// ERR-3 of results whose patient could not be told, and of what cannot be said of a patient: unknown key identifier.
const UNKNOWN_KEY: u16 = 204;
/// ERR-3 of what the configuration has no place for: application internal error.
const INTERNAL: u16 = 207;

/// A message that asks for an answer, as much of it as the answer needs.
pub(in crate::pipeline) struct Due {
    inbox_id: i64,
    received_at: i64,
    source: Arc<str>,
    destination: String,
    envelope: Envelope,
    body: Bytes,
}

impl Due {
    /// Where the message asks for an answer on some outcome.
    pub(super) fn of(message: &Message, destination: &str) -> Option<Self> {
        if message.refused {
            return None;
        }
        let envelope = Envelope::scan(&message.body).ok()?;
        Asked::application(&envelope).is_any().then(|| Self {
            inbox_id: message.id,
            received_at: message.received_at,
            source: Arc::clone(&message.source),
            destination: destination.to_owned(),
            envelope,
            body: message.body.clone(),
        })
    }

    fn reply(&self, left: &Left<'_>, now: i64) -> Option<NewMessage> {
        let asked = Asked::application(&self.envelope);
        let ack = match left.fault(self) {
            None => Ack::plain(asked.accepted()?),
            Some((class, fault)) => Ack::refusing(asked.refused(class)?, fault),
        };
        let body = ack::build(Some(&self.envelope), &ack, &time::hl7_stamp(now), &self.control_id());
        Some(NewMessage {
            destination: self.destination.clone(),
            patient: 0,
            kind: format!("{ACKNOWLEDGEMENT}{}", self.source),
            key: key(self.inbox_id),
            body: body.to_vec(),
            at: now,
        })
    }

    /// A place in the message, as ERR-2 tells it: there the segments of one name are counted.
    fn location(&self, segment: &str, ordinal: u32, field: Option<u16>) -> Location {
        let separator = self.envelope.separators().field;
        let lines = self.body.split(|byte| matches!(byte, b'\r' | b'\n'));
        let lines = lines.map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).take(ordinal as usize);
        let named = |line: &&[u8]| line.split(|byte| *byte == separator).next() == Some(segment.as_bytes());
        // The line of the place itself is one of them; MSH may stand behind a framing byte.
        let sequence = lines.filter(named).count().max(1) as u32;
        match field {
            Some(field) => Location::field(segment.to_owned(), sequence, field),
            None => Location::segment(segment.to_owned(), sequence),
        }
    }

    /// MSH-10 of the answer, within the 20 characters of v2.5.1: the inbox id, and the second in which the message
    /// was taken in, so that a box set up anew repeats none of its predecessor's.
    fn control_id(&self) -> String {
        format!("A{}.{:x}", self.inbox_id, self.received_at / 1_000)
    }
}

/// What a message left for people.
#[derive(Default)]
struct Left<'a> {
    quarantine: Vec<&'a QuarantineEntry>,
    identity: Option<&'a IdentityEntry>,
    /// What says whose the first results without a patient are.
    unseated: Option<Place>,
}

impl Left<'_> {
    /// What is wrong, first what stands in the way of everything; `None` where nothing is.
    fn fault(&self, due: &Due) -> Option<(Class, AckFault)> {
        let fault = |code, text: String, location| AckFault { code, text: text.into(), location };
        if let Some(entry) = self.quarantine.iter().find(|entry| entry.place == NO_SITE) {
            return Some((Class::Reject, fault(INTERNAL, entry.reason.clone(), None)));
        }
        let Some(first) = self.quarantine.first() else {
            let reason = self.identity?.reason.clone();
            let location =
                self.unseated.map(|at| due.location(at.segment, at.ordinal, Some(at.field.into())));
            return Some((Class::Error, fault(UNKNOWN_KEY, reason, location)));
        };
        let more = match self.quarantine.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let text = format!("{}: {}{more}", first.place, first.reason);
        let code = if first.stage == IDENTIFY { UNKNOWN_KEY } else { UNREADABLE };
        let location =
            parsed(&first.place).map(|(segment, ordinal, field)| due.location(segment, ordinal, field));
        Some((Class::Error, fault(code, text, location)))
    }
}

/// Segment, place among the segments, and field of a quarantine entry's place ([`super::place`]); `None` where it names
/// no segment.
fn parsed(place: &str) -> Option<(&str, u32, Option<u16>)> {
    let (segment, rest) = place.split_once(" (segment ")?;
    let (ordinal, rest) = rest.split_once(')')?;
    let field = match rest {
        "" => None,
        rest => Some(rest.strip_prefix(", field ")?.parse().ok()?),
    };
    Some((segment, ordinal.parse().ok()?, field))
}

/// The answers to the batch's messages, by what they left in it. To be asked when nothing is added to it any more.
pub(in crate::pipeline) fn all(batch: &Batch, now: i64) -> Vec<NewMessage> {
    let mut left: HashMap<i64, Left<'_>> = HashMap::new();
    if batch.due.is_empty() {
        return Vec::new();
    }
    for entry in &batch.quarantine {
        left.entry(entry.inbox_id).or_default().quarantine.push(entry);
    }
    for entry in &batch.identity {
        left.entry(entry.inbox_id).or_default().identity.get_or_insert(entry);
    }
    for (inbox_id, place) in &batch.unseated {
        left.entry(*inbox_id).or_default().unseated = Some(*place);
    }
    let nothing = Left::default();
    let reply = |due: &Due| due.reply(left.get(&due.inbox_id).unwrap_or(&nothing), now);
    batch.due.iter().filter_map(reply).collect()
}

fn key(inbox_id: i64) -> [u8; 32] {
    Sha256::new().chain_update(b"application-ack").chain_update(inbox_id.to_be_bytes()).finalize().into()
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
