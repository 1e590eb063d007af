//! The deframer: bytes in, frames out, no socket in sight.
//!
//! A frame is `VT payload FS CR` (0x0B … 0x1C 0x0D; MLLP Release 1, block format).
//!
//! Invariants
//! - "Need more bytes" is a value (`Ok(None)`), not an error; the caller owns the buffer and the reads.
//! - The events depend on the bytes alone, not on how they were cut into reads.
//! - Every byte is looked at a bounded number of times (the position of the search is remembered), so a
//!   peer that sends one byte at a time costs no more than linear work.
//! - A payload is a slice of the read buffer: nothing is copied. (Whoever keeps a payload keeps that
//!   buffer; copy a small part that is kept for long.)
//! - A payload is delivered only after its own `FS CR`, and never with a `VT` inside.
//!
//! Story: between frames everything up to the next VT is junk (an LF or NUL from a sloppy sender, or an
//! HTTP request that found the wrong port). Inside a frame a VT means that the sender gave up and began
//! again; an FS is an end only if CR follows, because an 0x1C in a field is data that has been seen in
//! the wild.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use memchr::{memchr, memchr2};

/// Start of a frame.
pub const VT: u8 = 0x0B;
/// First byte of the end of a frame.
pub const FS: u8 = 0x1C;
/// Second byte of the end of a frame, and HL7's segment terminator.
pub const CR: u8 = 0x0D;

/// Longest payload accepted by default: 64 MiB. Base64 documents of 20 to 40 MB in OBX-5 are real; more
/// than this on one connection is a fault or an attack.
pub const DEFAULT_MAX_FRAME_BYTES: usize = 64 * 1024 * 1024;

/// A run of junk is reported when it ends, or each time it reaches this many bytes, so that a peer that
/// never sends a VT is still seen.
pub const JUNK_REPORT_BYTES: usize = 64 * 1024;

/// How much of an overlong frame is handed back, so that its MSH can be read for the AR: far longer than
/// any MSH segment seen (the longest in the public corpus is under 600 bytes).
pub const OVERLONG_HEAD_BYTES: usize = 4 * 1024;

/// After a payload longer than this the rest of the buffer moves to a fresh one, so that a connection that
/// once carried a document does not hold its room for good, nor does a small message that follows it.
const RELEASE_BUFFER_BYTES: usize = 1024 * 1024;

/// What the deframer tolerates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest payload in bytes; one more is [`FrameTooLong`].
    pub max_frame_bytes: usize,
    /// Accept an FS without CR as the end of a frame. Off by default: with it an 0x1C inside a field
    /// truncates the message, so it belongs to a single source that is known to need it.
    pub bare_fs: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_frame_bytes: DEFAULT_MAX_FRAME_BYTES, bare_fs: false }
    }
}

/// What the byte stream turned out to hold.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// A complete, non-empty payload without its frame bytes.
    Message(Bytes),
    /// Bytes between frames, skipped. At most [`JUNK_REPORT_BYTES`]; a longer run gives several.
    Junk {
        /// How many bytes.
        bytes: usize,
    },
    /// A frame was abandoned by a new VT inside it; must not be acknowledged.
    Cut {
        /// Payload bytes lost.
        bytes: usize,
    },
    /// A frame without payload (`VT FS CR`), which some engines send as a keep-alive; ignored.
    Empty,
    /// The stream ended inside a frame; must not be acknowledged. Only from [`Deframer::finish`].
    Truncated {
        /// Payload bytes lost.
        bytes: usize,
    },
}

impl fmt::Debug for Event {
    /// Sizes only: a payload is patient data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(payload) => write!(f, "Message({} bytes)", payload.len()),
            Self::Junk { bytes } => write!(f, "Junk({bytes} bytes)"),
            Self::Cut { bytes } => write!(f, "Cut({bytes} bytes)"),
            Self::Empty => write!(f, "Empty"),
            Self::Truncated { bytes } => write!(f, "Truncated({bytes} bytes)"),
        }
    }
}

/// A payload passed [`Limits::max_frame_bytes`]. The caller answers AR and closes: where the frame ends
/// is unknown, so nothing after it can be trusted.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("a frame is longer than the limit of {limit_bytes} bytes")]
pub struct FrameTooLong {
    /// The limit that was passed.
    pub limit_bytes: usize,
    /// The first bytes of the payload, at most [`OVERLONG_HEAD_BYTES`], to read MSH-10 from for the AR.
    pub head: Bytes,
}

impl fmt::Debug for FrameTooLong {
    /// Without the head: it is patient data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameTooLong").field("limit_bytes", &self.limit_bytes).finish_non_exhaustive()
    }
}

/// A payload that no frame can carry: it holds a VT, or an FS followed by CR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the payload holds frame bytes at offset {offset}")]
pub struct Unframeable {
    /// Where the offending byte stands, from 0.
    pub offset: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Before a VT. `swallow_cr`: the frame before ended in a bare FS, whose CR may yet come.
    Between { swallow_cr: bool },
    /// After a VT, which has been consumed; the first `scanned` bytes of the buffer hold no end.
    Inside { scanned: usize },
    /// After [`FrameTooLong`]: everything is discarded.
    Failed,
}

/// Finds frames in a buffer that the caller fills. One per connection.
#[derive(Debug)]
pub struct Deframer {
    limits: Limits,
    state: State,
    junk_bytes: usize,
    /// What the searches cost, for the test that it is linear.
    #[cfg(test)]
    examined_bytes: usize,
}

impl Deframer {
    /// A deframer at the start of a stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Between { swallow_cr: false },
            junk_bytes: 0,
            #[cfg(test)]
            examined_bytes: 0,
        }
    }

    /// Whether a frame has begun and not ended: what a frame deadline is measured on.
    pub fn in_frame(&self) -> bool {
        matches!(self.state, State::Inside { .. })
    }

    /// Junk seen and not yet reported: at most [`JUNK_REPORT_BYTES`]. A peer that stays silent after it
    /// speaks another protocol.
    pub fn pending_junk_bytes(&self) -> usize {
        self.junk_bytes
    }

    /// Takes the next event from the front of `buf`, or `None` when more bytes are needed.
    ///
    /// Between calls the caller may only append to `buf`. Call until `None`, then read again.
    ///
    /// # Errors
    /// [`FrameTooLong`] once; from then on `buf` is emptied and `None` returned.
    pub fn next_event(&mut self, buf: &mut BytesMut) -> Result<Option<Event>, FrameTooLong> {
        match self.state {
            State::Between { swallow_cr } => self.skip_to_frame(buf, swallow_cr),
            State::Inside { scanned } => self.read_frame(buf, scanned),
            State::Failed => {
                buf.clear();
                Ok(None)
            }
        }
    }

    /// What is left when the stream has ended and [`next_event`](Self::next_event) gave `None`: an open
    /// frame ([`Event::Truncated`]), junk not yet reported, or nothing. Empties `buf`.
    pub fn finish(&mut self, buf: &mut BytesMut) -> Option<Event> {
        let open_frame = self.in_frame().then_some(buf.len());
        buf.clear();
        if let Some(bytes) = open_frame {
            self.state = State::Between { swallow_cr: false };
            return Some(Event::Truncated { bytes });
        }
        self.take_junk()
    }

    fn take_junk(&mut self) -> Option<Event> {
        let bytes = std::mem::take(&mut self.junk_bytes);
        (bytes > 0).then_some(Event::Junk { bytes })
    }

    fn skip_to_frame(&mut self, buf: &mut BytesMut, swallow_cr: bool) -> Result<Option<Event>, FrameTooLong> {
        if swallow_cr && !buf.is_empty() {
            if buf[0] == CR {
                buf.advance(1);
            }
            self.state = State::Between { swallow_cr: false };
        }
        // Never further than the next report, so that no byte of a long run is searched twice.
        let window = &buf[..buf.len().min(JUNK_REPORT_BYTES - self.junk_bytes)];
        let start = memchr(VT, window);
        let skipped = start.unwrap_or(window.len());
        buf.advance(skipped);
        self.junk_bytes += skipped;
        #[cfg(test)]
        {
            self.examined_bytes += skipped + 1;
        }
        if start.is_none() && self.junk_bytes < JUNK_REPORT_BYTES {
            return Ok(None);
        }
        if let Some(junk) = self.take_junk() {
            return Ok(Some(junk)); // a VT that ended the run stays for the next call
        }
        buf.advance(1);
        self.state = State::Inside { scanned: 0 };
        self.read_frame(buf, 0)
    }

    fn read_frame(&mut self, buf: &mut BytesMut, scanned: usize) -> Result<Option<Event>, FrameTooLong> {
        let mut from = scanned;
        loop {
            let found = memchr2(VT, FS, &buf[from..]).map(|offset| from + offset);
            let at = found.unwrap_or(buf.len());
            #[cfg(test)]
            {
                self.examined_bytes += at - from + 1;
            }
            if at > self.limits.max_frame_bytes {
                return Err(self.fail(buf));
            }
            if found.is_none() {
                self.state = State::Inside { scanned: at };
                return Ok(None);
            }
            let next = buf.get(at + 1).copied();
            if buf[at] == VT {
                buf.advance(at + 1);
                release_room(buf, at);
                self.state = State::Inside { scanned: 0 };
                return Ok(Some(Event::Cut { bytes: at }));
            }
            if next == Some(CR) || self.limits.bare_fs {
                return Ok(Some(self.deliver(buf, at, next == Some(CR))));
            }
            if next.is_none() {
                self.state = State::Inside { scanned: at };
                return Ok(None);
            }
            from = at + 1; // an FS that is data
        }
    }

    fn deliver(&mut self, buf: &mut BytesMut, payload_bytes: usize, has_cr: bool) -> Event {
        let payload = buf.split_to(payload_bytes).freeze();
        buf.advance(if has_cr { 2 } else { 1 });
        release_room(buf, payload_bytes);
        self.state = State::Between { swallow_cr: !has_cr };
        if payload.is_empty() { Event::Empty } else { Event::Message(payload) }
    }

    fn fail(&mut self, buf: &mut BytesMut) -> FrameTooLong {
        let head = Bytes::copy_from_slice(&buf[..buf.len().min(OVERLONG_HEAD_BYTES)]);
        // Replaced, not cleared: an error must not go on holding 64 MiB.
        *buf = BytesMut::new();
        self.state = State::Failed;
        FrameTooLong { limit_bytes: self.limits.max_frame_bytes, head }
    }
}

/// See [`RELEASE_BUFFER_BYTES`]. What is copied is what was read past a payload of `taken_bytes`.
fn release_room(buf: &mut BytesMut, taken_bytes: usize) {
    // The second half keeps the work linear for a caller that hands in many frames at once.
    if taken_bytes > RELEASE_BUFFER_BYTES && buf.len() <= taken_bytes {
        *buf = BytesMut::from(&buf[..]);
    }
}

/// Appends `payload` as one frame to `out`.
///
/// # Errors
/// [`Unframeable`], with `out` unchanged, if the payload holds a VT or an FS followed by CR: a receiver
/// would cut it there and take the rest for something else.
pub fn encode(payload: &[u8], out: &mut BytesMut) -> Result<(), Unframeable> {
    let mut rest = 0;
    while let Some(offset) = memchr2(VT, FS, &payload[rest..]) {
        let at = rest + offset;
        if payload[at] == VT || payload.get(at + 1) == Some(&CR) {
            return Err(Unframeable { offset: at });
        }
        rest = at + 1;
    }
    out.reserve(payload.len() + 3);
    out.put_u8(VT);
    out.put_slice(payload);
    out.put_slice(&[FS, CR]);
    Ok(())
}

#[cfg(test)]
mod tests;
