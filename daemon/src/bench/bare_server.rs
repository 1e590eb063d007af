//! The yardstick as a process: frames in, [`BareWriter`], the least acknowledgement an engine would take.
//!
//! It has no limits, no deadlines, no metrics and no dedupe, and it trusts its peer: it serves the benchmark on
//! loopback and nobody else.

use std::{io::Read as _, net::SocketAddr};

use bytes::BytesMut;
use mllp::frame::{self, Deframer, Event, Limits};
use outbox::bare::BareWriter;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

/// Bytes asked of the socket at once, as in the daemon's sessions.
const READ_BYTES: usize = 64 * 1024;

/// Serves on a free loopback port, told to `announce`, until standard input closes.
///
/// # Errors
/// Where the port cannot be bound or accepting fails.
pub async fn serve(writer: BareWriter, announce: impl FnOnce(SocketAddr)) -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(listener.local_addr()?);
    let mut parent_gone = parent_gone();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                tokio::spawn(answer(stream, writer.clone()));
            }
            _ = &mut parent_gone => return Ok(()),
        }
    }
}

/// Completes when standard input closes.
fn parent_gone() -> oneshot::Receiver<()> {
    let (tell, gone) = oneshot::channel();
    std::thread::spawn(move || {
        // Whatever is read or fails: there is nobody left to serve, and the receiver may be gone too.
        let _read = std::io::stdin().read_to_end(&mut Vec::new());
        let _told = tell.send(());
    });
    gone
}

/// One connection; any fault ends it.
async fn answer(mut stream: TcpStream, writer: BareWriter) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut deframer = Deframer::new(Limits::default());
    let (mut buffer, mut out) = (BytesMut::new(), BytesMut::new());
    loop {
        while let Some(event) = deframer.next_event(&mut buffer).map_err(std::io::Error::other)? {
            let Event::Message(body) = event else { continue };
            let ack = acknowledgement(&body);
            writer.store(body).await.map_err(std::io::Error::other)?;
            out.clear();
            frame::encode(&ack, &mut out).map_err(std::io::Error::other)?;
            stream.write_all(&out).await?;
        }
        buffer.reserve(READ_BYTES);
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// MSH and MSA with the sender's MSH-10 and nothing else of it.
fn acknowledgement(message: &[u8]) -> Vec<u8> {
    // MSH-1 is the separator itself, so the tenth field is the tenth piece.
    let control_id = message.split(|byte| *byte == b'|').nth(9).unwrap_or_default();
    [b"MSH|^~\\&|||||||ACK|1|P|2.5.1\rMSA|AA|", control_id, b"\r"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_acknowledgement_names_the_message() {
        let ack = acknowledgement(b"MSH|^~\\&|A|B|C|D|20260101||ORU^R01|X17|P|2.5.1\rPID|1\r");
        assert_eq!(ack, b"MSH|^~\\&|||||||ACK|1|P|2.5.1\rMSA|AA|X17\r");
    }
}
