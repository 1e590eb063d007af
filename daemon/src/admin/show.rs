//! `isthmus quarantine show`, the daemon's side: one message, masked here, so that nothing of a patient crosses the
//! socket unless somebody asked for it by name and reason, and the audit log has that already.

use mllp::{
    ack::AckCode,
    asked::{Asked, Class},
    batch,
    envelope::{Envelope, EnvelopeFault},
};
use outbox::{AuditEntry, EntryState, Message};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    desk::{Desk, DeskError, reason as worded},
    peer::Peer,
    quarantine::{LINES_MOST, kind_of},
};
use crate::{
    exhibit::{self, Fault, View, place::Place},
    generation::Generation,
    hex::hex,
    intake::{judge::refusal_now, readable},
    pipeline::again,
    route::PART,
    time,
};

/// Bytes of a message handed over in one exchange; they travel as hexadecimal digits.
pub const RAW_MOST: usize = 2 * 1024 * 1024;

/// What to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowAsk {
    /// The message.
    pub id: i64,
    /// Show patient data too, for this reason.
    pub reveal: Option<String>,
    /// The first segment.
    pub from: u32,
    /// How many segments.
    pub segments: usize,
    /// Hand over the bytes from here on instead; only with `reveal`.
    pub raw_from: Option<usize>,
}

impl Desk {
    /// Why a message cannot be shown: there is none, or retention removed its bytes.
    fn no_message(&self, id: i64) -> Result<DeskError, DeskError> {
        let removed = self.readers.with(|reader| reader.removed_message(id))?;
        Ok(removed.map_or(DeskError::NoMessage(id), |removed| {
            DeskError::Unknown(format!(
                "the bytes of message {id} were removed at {}, as [retention] says; it came at {} from {}, SHA-256 {}",
                time::rfc3339(removed.removed_at),
                time::rfc3339(removed.received_at),
                removed.source,
                hex(&removed.sha256)
            ))
        }))
    }

    pub(super) fn show(&self, ask: &ShowAsk, peer: &Peer) -> Result<Value, DeskError> {
        let (message, held) =
            self.readers.with(|reader| Ok((reader.message(ask.id)?, reader.entries(ask.id, LINES_MOST)?)))?;
        let message = match message {
            Some(message) => message,
            None => return Err(self.no_message(ask.id)?),
        };
        if let Some(reason) = &ask.reveal {
            self.note_reveal(ask, reason, peer)?;
        }
        if let Some(from) = ask.raw_from {
            return raw(&message, from, ask.reveal.is_some());
        }
        let open: Vec<_> = held.iter().filter(|entry| entry.state == EntryState::Open).collect();
        let faults: Vec<Fault> = open
            .iter()
            .map(|entry| Fault {
                place: Place::of(&entry.stage, &entry.place, &entry.reason),
                reason: entry.reason.clone(),
            })
            .collect();
        let generation = self.current.get();
        let foreseen = self.readers.with(|reader| again::foresee(&message, &generation, reader))?;
        let rule = generation.site(&foreseen.site).map(|site| &site.patient);
        let authority = rule.and_then(|rule| rule.authority.as_deref());
        let view = View { authority, reveal: ask.reveal.is_some(), from: ask.from, segments: ask.segments };
        let wants = rule.map(|rule| match &rule.authority {
            Some(authority) => format!("PID-3 of type {} from authority {authority}", rule.kind),
            None => format!("PID-3 of type {}", rule.kind),
        });
        let entries = held.iter().map(|entry| {
            json!({
                "stage": entry.stage, "place": entry.place, "reason": entry.reason,
                "at": time::rfc3339(entry.at), "state": entry.state.name(),
                "state_at": entry.state_at.map(time::rfc3339), "state_by": entry.state_by,
            })
        });
        Ok(json!({
            "id": message.id.to_string(),
            "received": time::rfc3339(message.received_at),
            "source": &*message.source,
            "site": &*message.site,
            "handler": &*message.handler,
            "type": kind_of(&message.kind),
            "bytes": message.body.len(),
            "answered": answered(&message, &generation),
            "entries": entries.collect::<Vec<_>>(),
            "release": {
                "site": foreseen.site,
                "handler": foreseen.handler,
                "readings": foreseen.readings,
                "faults": foreseen.faults.iter()
                    .map(|(place, reason)| json!({ "place": place, "reason": reason })).collect::<Vec<_>>(),
                "unidentified": foreseen.unidentified,
                "wants": wants,
            },
            "message": exhibit::exhibit(&message.body, &faults, view),
        }))
    }

    /// The audit entry for patient data that is about to be shown. Without it nothing is shown.
    fn note_reveal(&self, ask: &ShowAsk, reason: &str, peer: &Peer) -> Result<(), DeskError> {
        let reason = worded(reason)?;
        let part = match ask.raw_from {
            Some(from) => format!("bytes from {from}"),
            None => format!("segments from {}", ask.from),
        };
        let entry = AuditEntry {
            actor: peer.actor(),
            action: "message revealed".to_owned(),
            object: format!("message {}", ask.id),
            detail: format!("{reason} ({part})"),
            at: time::now_ms(),
        };
        Ok(self.writer.audit(vec![entry]).wait()?)
    }
}

/// A piece of the bytes as hexadecimal digits.
fn raw(message: &Message, from: usize, revealed: bool) -> Result<Value, DeskError> {
    if !revealed {
        return Err(DeskError::Wanted("the bytes of a message are handed over only with --reveal"));
    }
    let end = message.body.len().min(from.saturating_add(RAW_MOST));
    let piece = message.body.get(from..end).unwrap_or_default();
    let hex: String = piece.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect();
    Ok(json!({ "hex": hex, "next": (end < message.body.len()).then_some(end) }))
}

fn digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0')
}

/// How the message was answered when it came, by the listener as it is configured now: with error or reject where the
/// rules that refused it are in force still, else `refused`; `nothing` where it asked for no answer.
fn answered(message: &Message, generation: &Generation) -> &'static str {
    let source = generation.source(&message.source);
    let mode = source.as_ref().map(|source| source.answering.acknowledge).unwrap_or_default();
    let scanned = Envelope::scan(&message.body);
    let asked = match batch::is_batch(&message.body) {
        true => Asked::of_batch(mode),
        false => Asked::by(readable(&scanned), mode),
    };
    if !message.refused {
        return asked.accepted().map_or("nothing", AckCode::as_str);
    }
    // The rules of MSH say nothing of what is no message.
    let class = match (message.handler == PART, &scanned, &source) {
        (true, ..) => None,
        (false, Err(EnvelopeFault::NoType(_)), None) => Some(Class::Reject),
        (false, Err(_), None) => Some(Class::Error),
        (false, Ok(_), None) => None,
        (false, scanned, Some(source)) => {
            refusal_now(scanned, &message.body, source).map(|refusal| refusal.class)
        }
    };
    class.map_or("refused", |class| asked.refused(class).map_or("nothing", AckCode::as_str))
}
