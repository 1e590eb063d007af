//! Batches (HL7 v2.9 sections 2.10.3 and 2.14.2 to 2.14.7): one frame with FHS or BHS around several messages.
//!
//! Invariants
//! - Pure and lossless: the [parts](Batch::parts) of a frame are its bytes, in order, each once.
//! - A message is what stands from its MSH to the next MSH, BHS, BTS or FTS; nothing of it is looked at but the names
//!   of its segments.
//! - A batch is taken apart as a whole or not at all: a count that is wrong, or a segment that belongs to no message, is
//!   a fault of the frame, because nobody can tell which message is missing or whose segment it is.
//!
//! What is tolerated: no FHS; several BHS; messages in FHS without any BHS (they count as one batch); a missing BTS or
//! FTS, and an empty count, which the standard makes optional.
//!
//! Numbers: [`MAX_MESSAGES`], [`MAX_PARTS`].

use std::ops::Range;

use bytes::Bytes;
use memchr::memchr2;

use crate::{
    ack::{AckFault, Location},
    envelope::{Envelope, EnvelopeFault, beginning},
    segments::field,
    separators::Separators,
};

/// Most messages of one batch: a night of a laboratory. All of them are committed at once, and other senders wait
/// meanwhile.
pub const MAX_MESSAGES: usize = 10_000;

/// Most headers, messages and trailers of one frame: as many as where each message stands in a batch of its own, in a
/// file. What is kept of a part is many times its shortest form, so that the length of the frame is no bound.
pub const MAX_PARTS: usize = 3 * MAX_MESSAGES + 2;

/// What a part of the frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// FHS or BHS, and blank lines.
    Header,
    /// A message, from MSH on.
    Message,
    /// BTS or FTS, and blank lines.
    Trailer,
}

/// Why a frame that begins as a batch is not taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchFault {
    /// BTS-1 or FTS-1 says another number than there are.
    #[error("{trailer}-1 says {said}, and there are {found}")]
    WrongCount {
        /// `BTS` or `FTS`.
        trailer: &'static str,
        /// Which of these segments, from 1.
        sequence: u32,
        /// What the trailer says.
        said: u64,
        /// Messages of the batch, or batches of the file.
        found: u64,
    },
    /// BTS-1 or FTS-1 is no whole number.
    #[error("{trailer}-1 is no number")]
    UnreadableCount {
        /// `BTS` or `FTS`.
        trailer: &'static str,
        /// Which of these segments, from 1.
        sequence: u32,
    },
    /// A header declares no delimiters.
    #[error("{header}-1 and {header}-2 do not declare delimiters")]
    BadDelimiters {
        /// `BHS` or `FHS`.
        header: &'static str,
        /// Which of these segments, from 1.
        sequence: u32,
    },
    /// No header has a control id, and there is no message whose id could stand in: an answer could be matched to
    /// nothing.
    #[error("BHS-11 (batch control id) is missing, and there is no message")]
    NoControlId,
    /// A segment stands outside of any message, or a header or trailer where none may stand.
    #[error("line {line} belongs to no message of the batch")]
    OutOfPlace {
        /// Which line that is not blank, from 1.
        line: u32,
    },
    /// More than [`MAX_MESSAGES`].
    #[error("more than {MAX_MESSAGES} messages in one batch")]
    TooMany,
    /// More than [`MAX_PARTS`].
    #[error("more than {MAX_PARTS} headers, messages and trailers in one frame")]
    TooManyParts,
}

impl From<&BatchFault> for AckFault {
    fn from(fault: &BatchFault) -> Self {
        let (code, location) = match fault {
            BatchFault::WrongCount { trailer, sequence, .. } => {
                (100, Some(Location::field(*trailer, *sequence, 1)))
            }
            BatchFault::UnreadableCount { trailer, sequence } => {
                (102, Some(Location::field(*trailer, *sequence, 1)))
            }
            BatchFault::BadDelimiters { header, sequence } => {
                (102, Some(Location::field(*header, *sequence, 2)))
            }
            BatchFault::NoControlId => (101, Some(Location::field("BHS", 1, 11))),
            BatchFault::OutOfPlace { .. } => (100, None),
            BatchFault::TooMany | BatchFault::TooManyParts => (207, None),
        };
        Self { code, text: fault.to_string().into(), location }
    }
}

/// A frame taken apart.
#[derive(Clone)]
pub struct Batch {
    frame: Bytes,
    parts: Vec<(Part, Range<usize>)>,
}

impl Batch {
    /// The messages, in order; they share the frame's bytes.
    pub fn messages(&self) -> impl Iterator<Item = Bytes> {
        self.parts
            .iter()
            .filter(|(part, _)| *part == Part::Message)
            .map(|(_, range)| self.frame.slice(range.clone()))
    }

    /// All parts, in order, each with its place in the frame.
    pub fn parts(&self) -> &[(Part, Range<usize>)] {
        &self.parts
    }

    /// What stands around the messages: headers and trailers, in order.
    pub fn around(&self) -> Bytes {
        let outside = || self.parts.iter().filter(|(part, _)| *part != Part::Message);
        let mut around = Vec::with_capacity(outside().map(|(_, range)| range.len()).sum());
        outside().for_each(|(_, range)| around.extend_from_slice(&self.frame[range.clone()]));
        around.into()
    }
}

/// Whether the frame begins as a batch: with FHS or BHS.
pub fn is_batch(frame: &[u8]) -> bool {
    matches!(name(&frame[beginning(frame)..]), b"FHS" | b"BHS")
}

/// Whether several messages stand in what is no batch: nobody knows what the one answer to them would be about.
pub fn is_several(message: &[u8]) -> bool {
    lines(message).filter(|(_, line)| name(line) == b"MSH").nth(1).is_some()
}

/// Takes a batch apart.
///
/// # Errors
/// [`BatchFault`], the first in the order of the frame.
pub fn split(frame: &Bytes) -> Result<Batch, BatchFault> {
    let mut walk = Walk::default();
    for (start, line) in lines(frame) {
        walk.step(start, line)?;
    }
    if walk.messages == 0 && addressee(frame).is_none_or(|to| to.control_id().is_empty()) {
        return Err(BatchFault::NoControlId);
    }
    if let Some((_, last)) = walk.parts.last_mut() {
        last.end = frame.len();
    }
    Ok(Batch { frame: frame.clone(), parts: walk.parts })
}

/// The envelope that an answer to the batch is addressed with, whether it can be taken apart or not: delimiters and
/// addresses of its first header; as control id FHS-11, else the first BHS-11, else MSH-10 of the first message, since
/// an answer without an id can be matched to nothing; processing id, version and character set of the first message.
/// `None` where the first header declares no delimiters.
pub fn addressee(frame: &Bytes) -> Option<Envelope> {
    // What comes later is looked at by nobody: the frame has too many parts.
    let lines = |frame| lines(frame).take(MAX_PARTS);
    let headers = || lines(frame).map(|(_, line)| line).take_while(|line| name(line) != b"MSH");
    let first = headers().find(|line| matches!(name(line), b"FHS" | b"BHS"))?;
    let &separator = first.get(3)?;
    let message = lines(frame).find(|(_, line)| name(line) == b"MSH");
    let message = message.and_then(|(start, _)| readable(Envelope::scan(&frame.slice(start..))));
    let of_message = |number| message.as_ref().map_or(&[][..], |message| message.field(number));
    let own_id = headers().filter(|line| matches!(name(line), b"FHS" | b"BHS")).find_map(|line| {
        let id = field(line, *line.get(3)?, 10).trim_ascii();
        (!matches!(id, b"" | b"\"\"")).then_some(id)
    });
    // A header's fields have the places that MSH has, up to the seventh.
    let mut msh = b"MSH".to_vec();
    for number in 2..=18 {
        let value = match number {
            2..=6 => field(first, separator, number - 1),
            10 => own_id.unwrap_or_else(|| of_message(10)),
            11 | 12 | 18 => of_message(number),
            _ => &[],
        };
        msh.push(separator);
        // A message may declare another separator than the header, and hold this one as text.
        msh.extend(value.iter().filter(|byte| **byte != separator));
    }
    readable(Envelope::scan(&Bytes::from(msh)))
}

fn readable(scanned: Result<Envelope, EnvelopeFault>) -> Option<Envelope> {
    match scanned {
        Ok(envelope) => Some(envelope),
        Err(fault) => fault.readable().cloned(),
    }
}

/// What has been seen of a frame.
#[derive(Default)]
struct Walk {
    parts: Vec<(Part, Range<usize>)>,
    line: u32,
    messages: usize,
    /// The open batch has so many messages; `None` where no batch is open.
    in_batch: Option<u64>,
    batches: u64,
    headers: u32,
    trailers: u32,
    file: bool,
    ended: bool,
}

impl Walk {
    fn step(&mut self, start: usize, line: &[u8]) -> Result<(), BatchFault> {
        self.line += 1;
        let misplaced = Err(BatchFault::OutOfPlace { line: self.line });
        if self.ended {
            return misplaced;
        }
        match name(line) {
            b"FHS" if self.line == 1 => {
                check_delimiters("FHS", 1, line)?;
                self.file = true;
                self.open(Part::Header, start)?;
            }
            b"BHS" => {
                self.headers += 1;
                check_delimiters("BHS", self.headers, line)?;
                self.batches += 1;
                self.in_batch = Some(0);
                self.open(Part::Header, start)?;
            }
            b"MSH" => {
                self.messages += 1;
                if self.messages > MAX_MESSAGES {
                    return Err(BatchFault::TooMany);
                }
                if self.in_batch.is_none() {
                    self.batches += 1;
                }
                self.in_batch = Some(self.in_batch.unwrap_or(0) + 1);
                self.open(Part::Message, start)?;
            }
            b"BTS" => {
                let Some(found) = self.in_batch.take() else { return misplaced };
                self.trailers += 1;
                check("BTS", self.trailers, line, found)?;
                self.open(Part::Trailer, start)?;
            }
            b"FTS" if self.file => {
                check("FTS", 1, line, self.batches)?;
                self.ended = true;
                self.open(Part::Trailer, start)?;
            }
            b"FHS" | b"FTS" => return misplaced,
            _ if self.parts.last().is_some_and(|(part, _)| *part == Part::Message) => {}
            _ => return misplaced,
        }
        Ok(())
    }

    /// Ends the part before, which lasts until here.
    fn open(&mut self, part: Part, start: usize) -> Result<(), BatchFault> {
        if self.parts.len() >= MAX_PARTS {
            return Err(BatchFault::TooManyParts);
        }
        let start = if self.parts.is_empty() { 0 } else { start };
        if let Some((_, before)) = self.parts.last_mut() {
            before.end = start;
        }
        self.parts.push((part, start..start));
        Ok(())
    }
}

fn check_delimiters(header: &'static str, sequence: u32, line: &[u8]) -> Result<(), BatchFault> {
    let declared =
        line.get(3).and_then(|separator| Separators::parse(*separator, field(line, *separator, 1)));
    declared.map(|_| ()).ok_or(BatchFault::BadDelimiters { header, sequence })
}

/// Holds field 1 of a trailer against what was found; an empty one says nothing.
fn check(trailer: &'static str, sequence: u32, line: &[u8], found: u64) -> Result<(), BatchFault> {
    let said = line.get(3).map_or(&[][..], |separator| field(line, *separator, 1).trim_ascii());
    if matches!(said, b"" | b"\"\"") {
        return Ok(());
    }
    let digits = str::from_utf8(said).ok().filter(|said| said.bytes().all(|byte| byte.is_ascii_digit()));
    let said = digits.and_then(|digits| digits.parse().ok());
    match said.ok_or(BatchFault::UnreadableCount { trailer, sequence })? {
        said if said == found => Ok(()),
        said => Err(BatchFault::WrongCount { trailer, sequence, said, found }),
    }
}

/// The name of the segment on a line: three characters before a separator or the line's end.
fn name(line: &[u8]) -> &[u8] {
    match line.get(3) {
        Some(next) if next.is_ascii_alphanumeric() => &[],
        _ => line.get(..3).unwrap_or_default(),
    }
}

/// The lines of a frame that are not blank, each with the place where its name begins: after blanks, framing bytes and a
/// byte order mark, as whoever reads the message skips them. No name begins with another byte than these and ASCII, so
/// no character set is asked for.
fn lines(frame: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = beginning(frame);
    std::iter::from_fn(move || {
        while at < frame.len() {
            let start = at;
            let end = memchr2(b'\r', b'\n', &frame[start..]).map_or(frame.len(), |place| start + place);
            at = end + 1;
            let line = &frame[start..end];
            if !line.trim_ascii().is_empty() {
                let skipped = line.iter().take_while(|byte| !byte.is_ascii_graphic()).count();
                return Some((start + skipped, &line[skipped..]));
            }
        }
        None
    })
}

#[cfg(test)]
mod tests;
