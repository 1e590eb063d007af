//! The envelope: MSH read as bytes, nothing else read at all.
//!
//! Invariants
//! - [`Envelope::scan`] allocates nothing on success and never panics: fields are places in a slice of the
//!   frame's own bytes.
//! - Nothing is decoded, trimmed or unescaped: what MSH-10 was sent as is what MSA-2 gives back.
//! - The time of a scan depends on the length of MSH, not of the message.
//! - A fault carries whatever could be read, so that even a refused message gets an answer it can match.
//!
//! Numbers: fields MSH-1 to MSH-18 (HL7 v2.9 section 2.14.9); what follows MSH-18 is not cut.

use std::{fmt, str};

use bytes::Bytes;
use memchr::{memchr, memchr2};

use crate::{segments::part, separators::Separators};

/// The last field that is cut out.
const LAST_FIELD: usize = 18;

/// The MSH segment of one message. Cheap to clone: it shares the frame's bytes.
#[derive(Clone)]
pub struct Envelope {
    /// MSH without its terminator.
    segment: Bytes,
    separators: Separators,
    /// `ends[n]` is where MSH-n ends; the next field starts one byte later.
    ends: [usize; LAST_FIELD + 1],
}

/// Why a message has no usable envelope. The connection lives; the message is refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EnvelopeFault {
    /// The message does not begin with `MSH` (blank CR and LF before it are tolerated).
    #[error("the message does not begin with MSH")]
    NoMsh,
    /// MSH-1 or MSH-2 is missing, too long, no punctuation, or uses one character twice. Carries the
    /// fields as MSH-1 cuts them with otherwise recommended delimiters, where that is possible.
    #[error("MSH-1 and MSH-2 do not declare delimiters")]
    BadDelimiters(Option<Box<Envelope>>),
    /// MSH-10 is absent, blank or the null `""`.
    #[error("MSH-10 (message control id) is missing")]
    NoControlId(Box<Envelope>),
    /// MSH-9.1 is absent, blank or the null `""`.
    #[error("MSH-9 (message type) is missing")]
    NoType(Box<Envelope>),
}

impl EnvelopeFault {
    /// The part of MSH that could be read, to address the negative acknowledgement with.
    pub fn readable(&self) -> Option<&Envelope> {
        match self {
            Self::NoMsh => None,
            Self::BadDelimiters(envelope) => envelope.as_deref(),
            Self::NoControlId(envelope) | Self::NoType(envelope) => Some(envelope),
        }
    }
}

impl Envelope {
    /// Reads the MSH segment at the start of `message`.
    ///
    /// # Errors
    /// [`EnvelopeFault`], the first that applies in the order of its variants.
    pub fn scan(message: &Bytes) -> Result<Self, EnvelopeFault> {
        let start = beginning(message);
        if !message[start..].starts_with(b"MSH") {
            return Err(EnvelopeFault::NoMsh);
        }
        let length = memchr2(b'\r', b'\n', &message[start..]).unwrap_or(message.len() - start);
        let segment = message.slice(start..start + length);
        let Some(&field) = segment.get(3) else {
            return Err(EnvelopeFault::BadDelimiters(None));
        };
        let msh2_end = memchr(field, &segment[4..]).map_or(segment.len(), |at| at + 4);
        let Some(separators) = Separators::parse(field, &segment[4..msh2_end]) else {
            let otherwise = Separators::parse(field, b"^~\\&");
            let readable = otherwise.map(|separators| Box::new(Self::cut(segment, separators)));
            return Err(EnvelopeFault::BadDelimiters(readable));
        };
        let envelope = Self::cut(segment, separators);
        if is_absent(envelope.control_id()) {
            return Err(EnvelopeFault::NoControlId(Box::new(envelope)));
        }
        if is_absent(envelope.message_code()) {
            return Err(EnvelopeFault::NoType(Box::new(envelope)));
        }
        Ok(envelope)
    }

    /// `segment` begins with `MSH` and MSH-1.
    fn cut(segment: Bytes, separators: Separators) -> Self {
        let mut ends = [segment.len(); LAST_FIELD + 1];
        (ends[0], ends[1]) = (3, 3); // so that MSH-2 starts at 4
        let places = memchr::memchr_iter(separators.field, &segment[4..]);
        for (end, place) in ends[2..].iter_mut().zip(places) {
            *end = place + 4;
        }
        Self { segment, separators, ends }
    }

    /// The bytes of MSH-`number`, as sent. Empty where the segment is shorter, and for numbers over 18.
    pub fn field(&self, number: usize) -> &[u8] {
        match number {
            1 => &self.segment[3..4],
            2..=LAST_FIELD => {
                let end = self.ends[number];
                &self.segment[(self.ends[number - 1] + 1).min(end)..end]
            }
            _ => &[],
        }
    }

    fn component(&self, field: usize, index: usize) -> &[u8] {
        let first_repetition = part(self.field(field), self.separators.repetition, 0);
        part(first_repetition, self.separators.component, index)
    }

    /// The namespace id of an HD field (MSH-3 to MSH-6): its first component.
    pub fn namespace(&self, number: usize) -> &[u8] {
        self.component(number, 0)
    }

    /// The delimiters: MSH-1 and MSH-2.
    pub fn separators(&self) -> &Separators {
        &self.separators
    }

    /// MSH-3, whole.
    pub fn sending_application(&self) -> &[u8] {
        self.field(3)
    }

    /// MSH-4, whole.
    pub fn sending_facility(&self) -> &[u8] {
        self.field(4)
    }

    /// MSH-5, whole.
    pub fn receiving_application(&self) -> &[u8] {
        self.field(5)
    }

    /// MSH-6, whole.
    pub fn receiving_facility(&self) -> &[u8] {
        self.field(6)
    }

    /// MSH-9.1, such as `ORU`.
    pub fn message_code(&self) -> &[u8] {
        self.component(9, 0)
    }

    /// MSH-9.2, such as `R01`.
    pub fn trigger(&self) -> &[u8] {
        self.component(9, 1)
    }

    /// MSH-9.3, such as `ORU_R01`.
    pub fn structure(&self) -> &[u8] {
        self.component(9, 2)
    }

    /// MSH-10, the message control id, as sent.
    pub fn control_id(&self) -> &[u8] {
        self.field(10)
    }

    /// MSH-11.1, the processing id: `P`, `T` or `D` (table 0103).
    pub fn processing_id(&self) -> &[u8] {
        self.component(11, 0)
    }

    /// MSH-12.1, the version, such as `2.5.1`.
    pub fn version(&self) -> &[u8] {
        self.component(12, 0)
    }

    /// MSH-15, when an accept acknowledgement is wanted: AL, NE, ER or SU (table 0155).
    pub fn accept_ack(&self) -> &[u8] {
        self.field(15)
    }

    /// MSH-16, when an application acknowledgement is wanted: AL, NE, ER or SU (table 0155).
    pub fn application_ack(&self) -> &[u8] {
        self.field(16)
    }

    /// MSH-18, first repetition: the character set to hand to [`charset::decode`](crate::charset::decode).
    /// `None` where it is empty; bytes that are no ASCII give a name that no character set has.
    pub fn charset(&self) -> Option<&str> {
        let name = part(self.field(18), self.separators.repetition, 0).trim_ascii();
        (!name.is_empty()).then(|| str::from_utf8(name).unwrap_or("?"))
    }
}

impl Envelope {
    /// MSH-18 after its first repetition: the sets that `\C..\`, `\M..\` and ISO 2022 switch to (v2.9 section
    /// 2.14.9.18). They are known of, and not switched to: the text is read in the first set.
    pub fn alternate_charsets(&self) -> impl Iterator<Item = &[u8]> {
        let repetitions = self.field(18).split(|byte| *byte == self.separators.repetition);
        repetitions.skip(1).map(<[u8]>::trim_ascii).filter(|name| !name.is_empty())
    }
}

impl fmt::Debug for Envelope {
    /// The size alone: a control id or a facility may name a patient.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope").field("msh_bytes", &self.segment.len()).finish_non_exhaustive()
    }
}

/// Where the first segment begins: after blank CR and LF.
pub(crate) fn beginning(message: &[u8]) -> usize {
    message.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(message.len())
}

/// Blank, or HL7's explicit null.
fn is_absent(value: &[u8]) -> bool {
    matches!(value.trim_ascii(), b"" | b"\"\"")
}

#[cfg(test)]
mod tests;
