//! Whether a message is accepted, by its MSH and by its being one message.
//!
//! Invariants: pure; nothing is decoded; the text of a refusal names the field and never what stands in it.
//!
//! | fault | answer | condition | what is tolerated, and why |
//! |---|---|---|---|
//! | no MSH, no delimiters, no MSH-10 | AE, CE | 100, 102, 101 | blank lines before MSH: editors leave them |
//! | no MSH-9, or one that table 0076 does not know | AR, CR | 101, 200 | `Z..`, which two parties agreed on; every type with `unknown_types = "keep"` |
//! | an event of ORU or ADT that table 0003 does not know | AR, CR | 201 | none (v2.1 has none, and ADT names it in EVN-1 too) and `Z..`; any event of a type that is kept only |
//! | MSH-11.1 that is not of the listener's `processing_id` | AR, CR | 202 | nothing: a blank one is not P, and test traffic that meets production is harm |
//! | MSH-12.1 that table 0104 does not know | AR, CR | 203 | a blank one: old and home-made senders leave it out, nothing that is read here differs by version, and a result lost for want of it is harm; it is answered as v2.5.1 |
//! | MSH-18 that names UTF-16 or UTF-32 | AE, CE | 103 | every other set: what cannot be decoded goes to quarantine when it is read, since the answer does not depend on decoding |
//! | a second MSH that no batch header announces | AR, CR | 100 | nothing: half of it would be answered for the whole |
//!
//! The first fault in this order decides.

use mllp::{
    ack::{AckFault, Location},
    asked::Class,
    batch, charset,
    envelope::{Envelope, EnvelopeFault},
    tables,
};

use super::readable;
use crate::{
    config::{Answering, UnknownTypes},
    generation::Source,
    listener::sender::{self, is_allowed},
};

/// Why a message is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Error or reject.
    pub(crate) class: Class,
    /// For ERR; its text is the reason that is stored.
    pub(crate) fault: AckFault,
}

/// What speaks against a stored message if it came by this listener or spool now: its sender, else [`judge`].
pub(crate) fn refusal_now(
    scanned: &Result<Envelope, EnvelopeFault>,
    body: &[u8],
    source: &Source<'_>,
) -> Option<Refusal> {
    let barred = readable(scanned).is_some_and(|envelope| !is_allowed(source.senders, envelope));
    match barred {
        true => Some(Refusal { class: Class::Reject, fault: sender::fault() }),
        false => judge(scanned, &source.answering).or_else(|| several(body)),
    }
}

/// Refuses several messages that stand in the place of one.
pub(super) fn several(body: &[u8]) -> Option<Refusal> {
    batch::is_several(body).then(|| {
        let text = "a second MSH in one message; several messages in a frame stand between BHS and BTS";
        let location = Some(Location::segment("MSH", 2));
        Refusal { class: Class::Reject, fault: AckFault { code: 100, text: text.into(), location } }
    })
}

/// Judges a scanned message; `None` accepts it.
pub(super) fn judge(scanned: &Result<Envelope, EnvelopeFault>, answering: &Answering) -> Option<Refusal> {
    match scanned {
        Ok(envelope) => judge_fields(envelope, answering),
        Err(fault) => {
            let class = if matches!(fault, EnvelopeFault::NoType(_)) { Class::Reject } else { Class::Error };
            Some(Refusal { class, fault: AckFault::from(fault) })
        }
    }
}

fn judge_fields(envelope: &Envelope, answering: &Answering) -> Option<Refusal> {
    let (code, trigger) = (envelope.message_code(), envelope.trigger());
    let keep = answering.unknown_types == UnknownTypes::Keep;
    let processing_id = envelope.processing_id().trim_ascii();
    let version = envelope.version().trim_ascii();
    let (class, code, text, location) = if !keep && !tables::is_message_type(code.trim_ascii()) {
        (Class::Reject, 200, "MSH-9.1 is no message type that HL7 knows", Location::component("MSH", 1, 9, 1))
    } else if !tables::is_event(code.trim_ascii(), trigger) {
        (Class::Reject, 201, "MSH-9.2 is no event of this message type", Location::component("MSH", 1, 9, 2))
    } else if !answering.processing_ids.iter().any(|taken| taken.as_bytes() == processing_id) {
        let text = "MSH-11 (processing id) is not one that this listener takes";
        (Class::Reject, 202, text, Location::component("MSH", 1, 11, 1))
    } else if !matches!(version, b"" | b"\"\"") && !tables::is_version(version) {
        (Class::Reject, 203, "MSH-12 is no version that HL7 published", Location::component("MSH", 1, 12, 1))
    } else if names_wide_characters(envelope) {
        let text =
            "MSH-18 names a 16 or 32 bit encoding, whose bytes collide with framing; send UNICODE UTF-8";
        (Class::Error, 103, text, Location::field("MSH", 1, 18))
    } else {
        return None;
    };
    Some(Refusal { class, fault: AckFault { code, text: text.into(), location: Some(location) } })
}

/// Whether MSH-18 names UTF-16 or its like, as the set of the message or as one that it switches to.
fn names_wide_characters(envelope: &Envelope) -> bool {
    let alternate = |name: &[u8]| str::from_utf8(name).is_ok_and(charset::collides_with_framing);
    envelope.charset().is_some_and(charset::collides_with_framing)
        || envelope.alternate_charsets().any(alternate)
}

#[cfg(test)]
mod tests;
