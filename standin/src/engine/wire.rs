//! MLLP as little as an engine needs: frame a message, wait for one frame, read MSA-1 and MSA-2 of it.
//!
//! Written for this room alone (HL7 MLLP Release 1: `<VT> message <FS><CR>`), so that a fault in the
//! product's framing cannot hide behind the same fault here.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const VT: u8 = 0x0B;
const FS: u8 = 0x1C;
const CR: u8 = 0x0D;

/// An acknowledgement is a few hundred bytes; a peer that sends this much sends something else.
const ACK_MAX: usize = 64 * 1024;

/// What an acknowledgement said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exchanged {
    /// MSA-1.
    pub(super) code: String,
    /// MSA-2.
    pub(super) control_id: String,
}

/// One TCP connection with what was read beyond the last frame.
#[derive(Debug)]
pub(super) struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(target: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(target).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, buffer: Vec::new() })
    }

    /// Sends one message and waits for one frame. Not to be used again after an error or a cancellation.
    pub(super) async fn exchange(&mut self, message: &[u8]) -> io::Result<Exchanged> {
        let mut framed = Vec::with_capacity(message.len() + 3);
        framed.push(VT);
        framed.extend_from_slice(message);
        framed.extend_from_slice(&[FS, CR]);
        self.socket.write_all(&framed).await?;
        loop {
            if let Some(frame) = take_frame(&mut self.buffer) {
                return read_ack(&frame).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData));
            }
            if self.buffer.len() > ACK_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Cuts the first whole frame out of the buffer.
pub(crate) fn take_frame(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = buffer.windows(2).position(|pair| pair == [FS, CR])?;
    let start = buffer[..end].iter().position(|byte| *byte == VT).map_or(0, |at| at + 1);
    let frame = buffer[start..end].to_vec();
    buffer.drain(..end + 2);
    Some(frame)
}

/// MSA-1 and MSA-2, by the separator the acknowledgement itself names.
fn read_ack(frame: &[u8]) -> Option<Exchanged> {
    let text = std::str::from_utf8(frame).ok()?;
    let separator = text.strip_prefix("MSH")?.chars().next()?;
    let msa = text.split('\r').find(|segment| segment.starts_with("MSA"))?;
    let mut fields = msa.split(separator).skip(1);
    let code = fields.next()?.to_owned();
    Some(Exchanged { code, control_id: fields.next().unwrap_or_default().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn a_frame_is_cut_out_only_when_it_is_whole() {
        let mut buffer = b"\x0bMSH|one\x1c".to_vec();
        assert_eq!(take_frame(&mut buffer), None);
        buffer.extend_from_slice(b"\r\x0bMSH|two");
        assert_eq!(take_frame(&mut buffer).unwrap(), b"MSH|one");
        assert_eq!(buffer, b"\x0bMSH|two");
    }

    proptest! {
        #[test]
        fn two_frames_come_out_the_same_however_they_are_cut(cuts in vec(1..12_usize, 1..20)) {
            let stream = b"\x0bMSH|first\x1cstill\x1c\r\x0bMSH|second\r\x1c\r";
            let (mut buffer, mut frames, mut rest) = (Vec::new(), Vec::new(), &stream[..]);
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                buffer.extend_from_slice(now);
                frames.extend(std::iter::from_fn(|| take_frame(&mut buffer)));
                rest = later;
            }
            prop_assert_eq!(frames, [b"MSH|first\x1cstill".to_vec(), b"MSH|second\r".to_vec()]);
        }
    }

    #[test]
    fn an_acknowledgement_is_read_by_its_own_separator() {
        for (frame, code, id) in [
            (&b"MSH|^~\\&|\rMSA|AA|C1\r"[..], "AA", "C1"),
            (b"MSH#^~\\&#\rMSA#AE#C2#text", "AE", "C2"),
            (b"MSH|^~\\&|\rMSA|AR", "AR", ""),
        ] {
            let ack = read_ack(frame).unwrap();
            assert_eq!((ack.code.as_str(), ack.control_id.as_str()), (code, id));
        }
        assert_eq!(read_ack(b"MSH|^~\\&|\r"), None);
        assert_eq!(read_ack(b"hello"), None);
    }
}
