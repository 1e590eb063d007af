//! The deframer as a tokio codec: `Framed::new(stream, Codec::new(limits))`.
//!
//! Invariants: it adds no rule of its own to [`frame`]; a stream that ends inside a frame
//! gives [`Event::Truncated`] and then ends, without an error.

use std::io;

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use crate::frame::{self, Deframer, Event, FrameTooLong, Limits, Unframeable};

/// Decodes [`Event`]s and encodes payloads into frames.
#[derive(Debug)]
pub struct Codec {
    deframer: Deframer,
}

/// Why the codec stopped.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The stream failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The peer sent more than the limit in one frame: answer AR and close.
    #[error(transparent)]
    FrameTooLong(#[from] FrameTooLong),
    /// The payload to send holds frame bytes; nothing was written.
    #[error(transparent)]
    Unframeable(#[from] Unframeable),
}

impl Codec {
    /// A codec at the start of a stream.
    pub fn new(limits: Limits) -> Self {
        Self { deframer: Deframer::new(limits) }
    }

    /// Whether a frame has begun and not ended: what a frame deadline is measured on.
    pub fn in_frame(&self) -> bool {
        self.deframer.in_frame()
    }

    /// Junk seen and not yet reported, in bytes.
    pub fn pending_junk_bytes(&self) -> usize {
        self.deframer.pending_junk_bytes()
    }
}

impl Decoder for Codec {
    type Item = Event;
    type Error = CodecError;

    fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Event>, CodecError> {
        Ok(self.deframer.next_event(buf)?)
    }

    fn decode_eof(&mut self, buf: &mut BytesMut) -> Result<Option<Event>, CodecError> {
        match self.deframer.next_event(buf)? {
            Some(event) => Ok(Some(event)),
            None => Ok(self.deframer.finish(buf)),
        }
    }
}

impl<T: AsRef<[u8]>> Encoder<T> for Codec {
    type Error = CodecError;

    fn encode(&mut self, payload: T, out: &mut BytesMut) -> Result<(), CodecError> {
        Ok(frame::encode(payload.as_ref(), out)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_at_eof(codec: &mut Codec, bytes: &[u8]) -> Vec<Event> {
        let mut buf = BytesMut::from(bytes);
        let mut events = Vec::new();
        while let Some(event) = codec.decode_eof(&mut buf).unwrap() {
            events.push(event);
        }
        events
    }

    #[test]
    fn a_frame_open_at_the_end_of_the_stream_is_truncated_not_delivered() {
        let events = all_at_eof(&mut Codec::new(Limits::default()), b"\x0Bone\x1C\r\x0Btwo\x1C");
        assert_eq!(
            events,
            [Event::Message(bytes::Bytes::from_static(b"one")), Event::Truncated { bytes: 4 }],
            "the FS without its CR is a payload byte like any other"
        );
    }

    #[test]
    fn junk_at_the_end_of_the_stream_is_reported_once() {
        assert_eq!(all_at_eof(&mut Codec::new(Limits::default()), b"\n\n"), [Event::Junk { bytes: 2 }]);
        assert_eq!(all_at_eof(&mut Codec::new(Limits::default()), b""), []);
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same_payload() {
        let mut codec = Codec::new(Limits::default());
        let mut wire = BytesMut::new();
        codec.encode(&b"MSH|^~\\&|\r"[..], &mut wire).unwrap();
        assert_eq!(&wire[..], b"\x0BMSH|^~\\&|\r\x1C\r");
        let event = codec.decode(&mut wire).unwrap();
        assert_eq!(event, Some(Event::Message(bytes::Bytes::from_static(b"MSH|^~\\&|\r"))));
    }

    #[test]
    fn the_codec_tells_that_a_frame_is_open() {
        let mut codec = Codec::new(Limits::default());
        let mut wire = BytesMut::from(&b"\x0Bhalf"[..]);
        assert!(!codec.in_frame());
        assert_eq!(codec.decode(&mut wire).unwrap(), None);
        assert!(codec.in_frame());
    }
}
