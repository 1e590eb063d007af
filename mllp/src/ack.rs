//! The acknowledgement: MSH, MSA and, where something is wrong, ERR.
//!
//! Invariants
//! - Pure: the same inputs give the same bytes. Time and the ACK's own id are handed in.
//! - MSA-2 is the sender's MSH-10, byte for byte (control characters aside, up to
//!   [`MAX_CONTROL_ID_BYTES`]); the ACK never depends on decoding.
//! - Every segment ends in CR, the last one too.
//! - What is echoed cannot forge: control characters are left out, lengths are capped, and field
//!   separators cannot occur, since the field was cut by the sender's own. What is ours is escaped and
//!   ASCII.
//!
//! The form follows the sender's version: ERR as of v2.5 (v2.5.1 section 2.15.5), ERR-1 before (v2.4
//! section 2.16.5); `ACK^R01^ACK` as of v2.3.1, `ACK` before. MSA-3 repeats the text for engines that show
//! nothing else, as long as the version knows it (withdrawn as of v2.7).

use std::{borrow::Cow, fmt};

use bytes::Bytes;

use crate::{
    envelope::{Envelope, EnvelopeFault},
    escape,
    separators::Separators,
};

/// Longest MSH-10 that is echoed: the length of MSH-10 in v2.7 and later; before it was 20.
pub const MAX_CONTROL_ID_BYTES: usize = 199;
/// Longest MSH-3 to MSH-6 that is echoed (HD, v2.5.1: 227).
const MAX_PARTY_BYTES: usize = 227;
/// Longest MSH-11, MSH-12 and MSH-18 that is echoed.
const MAX_SHORT_BYTES: usize = 60;
/// Longest trigger event that is echoed; table 0003 has three characters, local ones a few more.
const MAX_TRIGGER_BYTES: usize = 16;
/// Longest text of ours, in characters before escaping (ERR-8, v2.5.1: 250).
const MAX_TEXT_CHARS: usize = 250;

/// MSA-1 (HL7 table 0008).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckCode {
    /// Original mode: accepted.
    AA,
    /// Original mode: the content is at fault.
    AE,
    /// Original mode: refused for MSH-9, 11 or 12, or for a reason that is not in the content.
    AR,
    /// Enhanced mode: committed.
    CA,
    /// Enhanced mode: could not be committed.
    CE,
    /// Enhanced mode: refused for MSH-9, 11 or 12.
    CR,
}

impl AckCode {
    /// The code as it stands in MSA-1.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AA => "AA",
            Self::AE => "AE",
            Self::AR => "AR",
            Self::CA => "CA",
            Self::CE => "CE",
            Self::CR => "CR",
        }
    }

    /// Whether the message was accepted: AA or CA.
    pub fn is_positive(self) -> bool {
        matches!(self, Self::AA | Self::CA)
    }

    /// Reads MSA-1; `None` for anything that is not in table 0008.
    pub fn parse(code: &[u8]) -> Option<Self> {
        [Self::AA, Self::AE, Self::AR, Self::CA, Self::CE, Self::CR]
            .into_iter()
            .find(|known| known.as_str().as_bytes() == code)
    }
}

impl fmt::Display for AckCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where in a message the fault is (ERR-2, or ERR-1.1 to 1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The segment's name, such as `PID`.
    pub segment: Cow<'static, str>,
    /// Which of the segments of that name, from 1.
    pub sequence: u32,
    /// Which field, from 1; `None` for the whole segment.
    pub field: Option<u16>,
    /// Which component of the field's first repetition, from 1; `None` for the whole field. Told as of v2.5 only:
    /// ERR-1 before it has no place for it.
    pub component: Option<u16>,
}

impl Location {
    /// A field of the `sequence`-th segment of this name, both from 1.
    pub fn field(segment: impl Into<Cow<'static, str>>, sequence: u32, field: u16) -> Self {
        Self { segment: segment.into(), sequence, field: Some(field), component: None }
    }

    /// A component, from 1, of such a field.
    pub fn component(
        segment: impl Into<Cow<'static, str>>,
        sequence: u32,
        field: u16,
        component: u16,
    ) -> Self {
        Self { component: Some(component), ..Self::field(segment, sequence, field) }
    }

    /// The `sequence`-th segment of this name as a whole.
    pub fn segment(segment: impl Into<Cow<'static, str>>, sequence: u32) -> Self {
        Self { segment: segment.into(), sequence, field: None, component: None }
    }
}

/// What is wrong (ERR).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckFault {
    /// HL7 table 0357, such as 101 (see [`condition_name`]).
    pub code: u16,
    /// For the person who reads the engine's log. It leaves in clear: no patient data. ASCII; anything
    /// else becomes `?`; cut at 250 characters.
    pub text: Cow<'static, str>,
    /// Where, if known.
    pub location: Option<Location>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// MSA-1.
    pub code: AckCode,
    /// What is wrong, an ERR each (or a repetition of ERR-1 before v2.5); none in a positive answer. MSA-3 has the text
    /// of the first. Bounding their number is the caller's.
    pub faults: Vec<AckFault>,
}

impl Ack {
    /// An answer without ERR.
    pub fn plain(code: AckCode) -> Self {
        Self { code, faults: Vec::new() }
    }

    /// An answer that says what is wrong.
    pub fn refusing(code: AckCode, fault: AckFault) -> Self {
        Self { code, faults: vec![fault] }
    }
}

impl From<&EnvelopeFault> for AckFault {
    fn from(fault: &EnvelopeFault) -> Self {
        let at = |field| Location::field("MSH", 1, field);
        let (code, text, location) = match fault {
            EnvelopeFault::NoMsh => (100, "the message does not begin with MSH", Location::segment("MSH", 1)),
            EnvelopeFault::BadDelimiters(_) => (102, "MSH-1 and MSH-2 do not declare delimiters", at(2)),
            EnvelopeFault::NoControlId(_) => (101, "MSH-10 (message control id) is missing", at(10)),
            EnvelopeFault::NoType(_) => (101, "MSH-9 (message type) is missing", at(9)),
        };
        Self { code, text: text.into(), location: Some(location) }
    }
}

/// What HL7 table 0357 calls `code`; empty for a code that is not in it.
pub fn condition_name(code: u16) -> &'static str {
    match code {
        0 => "Message accepted",
        100 => "Segment sequence error",
        101 => "Required field missing",
        102 => "Data type error",
        103 => "Table value not found",
        104 => "Value too long",
        200 => "Unsupported message type",
        201 => "Unsupported event code",
        202 => "Unsupported processing id",
        203 => "Unsupported version id",
        204 => "Unknown key identifier",
        205 => "Duplicate key identifier",
        206 => "Application record locked",
        207 => "Application internal error",
        _ => "",
    }
}

/// Builds the acknowledgement of the message whose envelope is `to`, or of one without readable envelope
/// (`None`: recommended delimiters, empty addresses, empty MSA-2, processing id P, version 2.5.1).
///
/// `stamp` is MSH-7 (`YYYYMMDDHHMMSS[.SSSS][+/-ZZZZ]`), `ack_id` is MSH-10 of the ACK.
pub fn build(to: Option<&Envelope>, ack: &Ack, stamp: &str, ack_id: &str) -> Bytes {
    let version = Version::of(to);
    let mut out = Writer::new(to.map_or(Separators::RECOMMENDED, |envelope| *envelope.separators()));
    out.msh(to, version, stamp, ack_id);
    out.msa(to, ack, version);
    out.err(&ack.faults, version);
    Bytes::from(out.out)
}

/// Major, minor and patch of MSH-12; what cannot be read counts as 2.5.1.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Version([u16; 3]);

impl Version {
    fn of(to: Option<&Envelope>) -> Self {
        let mut version = [0; 3];
        let text = to.map(|envelope| envelope.version().trim_ascii()).unwrap_or_default();
        for (slot, digits) in version.iter_mut().zip(text.split(|b| *b == b'.')) {
            match str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()) {
                Some(number) => *slot = number,
                None => return Self([2, 5, 1]),
            }
        }
        Self(version)
    }
}

struct Writer {
    separators: Separators,
    out: Vec<u8>,
}

impl Writer {
    fn new(separators: Separators) -> Self {
        Self { separators, out: Vec::with_capacity(256) }
    }

    fn msh(&mut self, to: Option<&Envelope>, version: Version, stamp: &str, ack_id: &str) {
        let Separators { component, .. } = self.separators;
        self.out.extend_from_slice(b"MSH");
        self.next_field();
        self.out.extend(self.separators.encoding_characters());
        for number in [5, 6, 3, 4] {
            self.next_field();
            self.echo(to, number, MAX_PARTY_BYTES, "");
        }
        self.next_field();
        self.text(stamp);
        self.next_field();
        self.next_field();
        self.out.extend_from_slice(b"ACK");
        if let Some(trigger) = to.and_then(known_trigger).filter(|_| version >= Version([2, 3, 1])) {
            self.out.push(component);
            self.out.extend_from_slice(trigger);
            self.out.push(component);
            self.out.extend_from_slice(b"ACK");
        }
        self.next_field();
        self.text(ack_id);
        self.next_field();
        self.echo(to, 11, MAX_SHORT_BYTES, "P");
        self.next_field();
        self.echo(to, 12, MAX_SHORT_BYTES, "2.5.1");
        if self.out.is_ascii() {
            return self.end_segment();
        }
        // The echoed addresses are in the sender's character set, so say which.
        for _ in 13..=18 {
            self.next_field();
        }
        self.echo(to, 18, MAX_SHORT_BYTES, "");
        self.end_segment();
    }

    fn msa(&mut self, to: Option<&Envelope>, ack: &Ack, version: Version) {
        self.out.extend_from_slice(b"MSA");
        self.next_field();
        self.out.extend_from_slice(ack.code.as_str().as_bytes());
        self.next_field();
        self.echo(to, 10, MAX_CONTROL_ID_BYTES, "");
        if let Some(fault) = ack.faults.first().filter(|_| version < Version([2, 7, 0])) {
            self.next_field();
            self.text(&fault.text);
        }
        self.end_segment();
    }

    /// An ERR for each fault; before v2.5 one ERR with a repetition of ERR-1 for each.
    fn err(&mut self, faults: &[AckFault], version: Version) {
        let Separators { component, subcomponent, repetition, .. } = self.separators;
        if version >= Version([2, 5, 0]) {
            return faults.iter().for_each(|fault| self.one_err(fault));
        }
        for (place, fault) in faults.iter().enumerate() {
            if place == 0 {
                self.out.extend_from_slice(b"ERR");
                self.next_field();
            } else {
                self.out.push(repetition);
            }
            self.place_before_2_5(fault.location.as_ref());
            self.out.push(component);
            self.condition(fault.code, subcomponent);
        }
        if !faults.is_empty() {
            self.end_segment();
        }
    }

    fn one_err(&mut self, fault: &AckFault) {
        self.out.extend_from_slice(b"ERR");
        self.next_field();
        self.next_field();
        if let Some(location) = &fault.location {
            self.place(location);
        }
        self.next_field();
        self.condition(fault.code, self.separators.component);
        self.next_field();
        self.out.push(b'E');
        for _ in 5..=8 {
            self.next_field();
        }
        self.text(&fault.text);
        self.end_segment();
    }

    /// ERL (v2.5.1, chapter 2A): segment, sequence, field, repetition of the field, component.
    fn place(&mut self, location: &Location) {
        let component = self.separators.component;
        self.text(&location.segment);
        self.out.push(component);
        self.text(&location.sequence.to_string());
        let Some(field) = location.field else { return };
        self.out.push(component);
        self.text(&field.to_string());
        if let Some(part) = location.component {
            self.out.extend_from_slice(&[component, b'1', component]);
            self.text(&part.to_string());
        }
    }

    /// The first three components of ELD (v2.4), which keep their places for the fourth.
    fn place_before_2_5(&mut self, location: Option<&Location>) {
        let component = self.separators.component;
        let field = location.and_then(|location| location.field);
        if let Some(location) = location {
            self.text(&location.segment);
        }
        self.out.push(component);
        if let Some(location) = location {
            self.text(&location.sequence.to_string());
        }
        self.out.push(component);
        if let Some(field) = field {
            self.text(&field.to_string());
        }
    }

    fn condition(&mut self, code: u16, separator: u8) {
        self.text(&code.to_string());
        self.out.push(separator);
        self.text(condition_name(code));
        self.out.push(separator);
        self.out.extend_from_slice(b"HL70357");
    }

    fn next_field(&mut self) {
        self.out.push(self.separators.field);
    }

    fn end_segment(&mut self) {
        self.out.push(b'\r');
    }

    /// A text of ours: ASCII, capped, escaped.
    fn text(&mut self, text: &str) {
        let ascii = |c: char| if c.is_ascii() { c } else { '?' };
        let text: String = text.chars().take(MAX_TEXT_CHARS).map(ascii).collect();
        self.out.extend_from_slice(escape::encode(&text, &self.separators).as_bytes());
    }

    /// A field of the sender's: as sent, without control characters, at most `cap` bytes.
    fn echo(&mut self, to: Option<&Envelope>, number: usize, cap: usize, default: &'static str) {
        let sent = to.map(|envelope| envelope.field(number)).unwrap_or_default();
        let defaulted = !default.is_empty() && sent.trim_ascii().is_empty();
        let sent = if defaulted { default.as_bytes() } else { sent };
        self.out.extend(sent.iter().copied().filter(|byte| !byte.is_ascii_control()).take(cap));
    }
}

/// MSH-9.2 if it looks like a trigger event.
fn known_trigger(envelope: &Envelope) -> Option<&[u8]> {
    let trigger = envelope.trigger();
    let sound =
        (1..=MAX_TRIGGER_BYTES).contains(&trigger.len()) && trigger.iter().all(u8::is_ascii_alphanumeric);
    sound.then_some(trigger)
}

#[cfg(test)]
mod tests;
