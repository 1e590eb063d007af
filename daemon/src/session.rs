//! One MLLP connection: bytes in, acknowledgements out, in order.
//!
//! Invariants: memory is bounded by one frame and one read; every wait has a deadline; a connection that
//! misbehaves ends alone.

use std::{pin::pin, time::Duration};

use bytes::{Bytes, BytesMut};
use mllp::frame::{self, Deframer, Event, Limits};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    drain::Draining,
    feed::Feed,
    intake::{Intake, Reply},
};

/// Bytes asked of the socket at once: one large segment burst, small beside the frame cap.
const READ_BYTES: usize = 64 * 1024;
/// A peer that does not take its acknowledgement for so long is dropped.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);

/// What bounds a session.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Largest frame in bytes.
    pub max_frame_bytes: usize,
    /// From the first byte of a frame to its last.
    pub frame_timeout: Duration,
    /// Without any byte between frames.
    pub idle_timeout: Duration,
}

/// Why a session ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// The peer closed between frames.
    PeerClosed,
    /// The peer closed inside a frame: that message was not acknowledged.
    CutFrame,
    /// A deadline passed.
    Deadline,
    /// A frame was over the cap.
    TooLong,
    /// The store refused; closed so that the engine resends.
    StoreRefused,
    /// The daemon is stopping.
    Draining,
    /// The socket failed.
    Socket,
}

/// Serves one connection until it ends.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    feed: Feed,
    bounds: &Bounds,
    intake: &Intake,
    mut draining: Draining,
) -> End {
    let limits = Limits { max_frame_bytes: bounds.max_frame_bytes, ..Limits::default() };
    let mut session = Session { deframer: Deframer::new(limits), buffer: BytesMut::new(), feed, intake };
    let mut frame_began = None;
    // Both are made once: a timer and a watch for every read would cost more than the read. The alarm may go off
    // early; then it is set to the deadline of the moment.
    let mut begun = pin!(draining.begun());
    let mut alarm = pin!(sleep_until(Instant::now() + bounds.idle_timeout));
    loop {
        let answered = match session.answer_buffered(&mut stream).await {
            Ok(answered) => answered,
            Err(end) => return end,
        };
        let (now, in_frame) = (Instant::now(), session.deframer.in_frame());
        frame_began = if in_frame { frame_began.filter(|_| !answered).or(Some(now)) } else { None };
        let deadline = frame_began.map_or(now + bounds.idle_timeout, |began| began + bounds.frame_timeout);
        if alarm.deadline() > deadline {
            alarm.as_mut().reset(deadline);
        }
        session.buffer.reserve(READ_BYTES);
        let read = loop {
            tokio::select! {
                read = stream.read_buf(&mut session.buffer) => break read,
                // A message that is being received may finish; between messages we leave.
                () = &mut begun, if !in_frame => return End::Draining,
                () = &mut alarm => {
                    if Instant::now() >= deadline {
                        return End::Deadline;
                    }
                    alarm.as_mut().reset(deadline);
                }
            }
        };
        match read {
            Err(_) => return End::Socket,
            Ok(0) => return if in_frame { End::CutFrame } else { End::PeerClosed },
            Ok(_) => {}
        }
    }
}

struct Session<'a> {
    deframer: Deframer,
    buffer: BytesMut,
    feed: Feed,
    intake: &'a Intake,
}

impl Session<'_> {
    /// Answers every whole frame in the buffer, in order. Returns whether a frame ended: one that is open after
    /// that is another one.
    async fn answer_buffered<S: AsyncWrite + Unpin>(&mut self, stream: &mut S) -> Result<bool, End> {
        let mut ended = false;
        loop {
            let event = self.deframer.next_event(&mut self.buffer);
            ended |= !matches!(event, Ok(None));
            match event {
                Ok(None) => return Ok(ended),
                Ok(Some(Event::Message(body))) => {
                    self.feed.count_frame();
                    let reply = self.intake.take(&self.feed, body).await;
                    self.reply(stream, reply).await?;
                }
                Ok(Some(fault)) => self.count(&fault),
                Err(overlong) => {
                    self.fault("too-long");
                    let reply = self.intake.too_long(&overlong.head, overlong.limit_bytes);
                    self.reply(stream, reply).await?;
                    return Err(End::TooLong);
                }
            }
        }
    }

    async fn reply<S: AsyncWrite + Unpin>(&self, stream: &mut S, reply: Reply) -> Result<(), End> {
        let Reply::Acknowledge { code, bytes } = reply else { return Err(End::StoreRefused) };
        self.feed.count_ack(code);
        let framed = framed(&bytes);
        match timeout(WRITE_DEADLINE, stream.write_all(&framed)).await {
            Err(_elapsed) => Err(End::Deadline),
            Ok(Err(_)) => Err(End::Socket),
            Ok(Ok(())) => Ok(()),
        }
    }

    fn count(&self, event: &Event) {
        match event {
            Event::Message(_) | Event::Empty => {}
            Event::Junk { .. } => self.fault("junk"),
            Event::Cut { .. } | Event::Truncated { .. } => self.fault("cut"),
        }
    }

    fn fault(&self, fault: &str) {
        self.feed.count_fault(fault);
        tracing::warn!(listener = %self.feed.source, fault, "framing fault");
    }
}

/// An acknowledgement in its frame. What we build holds no framing bytes, so this cannot fail for it.
fn framed(bytes: &Bytes) -> BytesMut {
    let mut out = BytesMut::with_capacity(bytes.len() + 3);
    if frame::encode(bytes, &mut out).is_err() {
        tracing::error!("an acknowledgement held framing bytes and was not sent");
        out.clear();
    }
    out
}

#[cfg(test)]
mod tests {
    use outbox::{Key, Store, StoreOptions};
    use tokio::io::{DuplexStream, duplex};

    use super::*;
    use crate::{conditions::Board, drain::Drain, pipeline::Wake};

    const MESSAGE: &[u8] = b"MSH|^~\\&|A|B|C|D|20260101||ORU^R01|X1|P|2.5.1\r";

    fn bounds(frame_ms: u64, idle_ms: u64) -> Bounds {
        Bounds {
            max_frame_bytes: 1_000,
            frame_timeout: Duration::from_millis(frame_ms),
            idle_timeout: Duration::from_millis(idle_ms),
        }
    }

    /// Serves one end of a pipe while `peer` plays at the other.
    async fn session<T>(bounds: Bounds, peer: impl AsyncFnOnce(DuplexStream, Drain) -> T) -> (End, T) {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::from_hex(&"a".repeat(64)).unwrap();
        let store = Store::open(dir.path(), key, StoreOptions::default(), 0).unwrap();
        let (wake, _woken) = Wake::new();
        let intake = Intake::new(store.writer(), Board::default(), wake);
        let (ours, theirs) = duplex(4_096);
        let (drain, draining) = Drain::new();
        tokio::join!(serve(ours, Feed::new("f", "main"), &bounds, &intake, draining), peer(theirs, drain))
    }

    #[tokio::test]
    async fn a_frame_that_trickles_in_for_too_long_is_cut_however_often_a_byte_comes() {
        let (end, ()) = session(bounds(60, 60_000), async |mut peer, _drain| {
            let trickle = std::iter::once(frame::VT).chain(std::iter::repeat(b'x'));
            for byte in trickle.take(900) {
                if peer.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert_eq!(end, End::Deadline);
    }

    #[tokio::test]
    async fn a_connection_lives_as_long_as_messages_come_and_ends_when_idle() {
        let started = Instant::now();
        let (end, answered) = session(bounds(60_000, 1_000), async |mut peer, _drain| {
            let mut framed = BytesMut::new();
            frame::encode(MESSAGE, &mut framed).unwrap();
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_millis(300)).await;
                peer.write_all(&framed).await.unwrap();
                let mut answer = Vec::new();
                while !answer.ends_with(&[frame::FS, frame::CR]) {
                    assert_ne!(peer.read_buf(&mut answer).await.unwrap(), 0);
                }
            }
            let answered = Instant::now();
            assert_eq!(peer.read_to_end(&mut Vec::new()).await.unwrap(), 0);
            answered
        })
        .await;
        assert_eq!(end, End::Deadline);
        // Longer than one idle time-out, so each message put the end off; then one time-out more.
        assert!(answered - started >= Duration::from_millis(1_200));
        // The deadline counts from the last look at the buffer, a moment before the peer has its answer.
        assert!(answered.elapsed() >= Duration::from_millis(900));
    }

    #[tokio::test]
    async fn a_drain_ends_a_connection_between_messages_and_lets_one_under_way_finish() {
        let (end, answer) = session(bounds(60_000, 60_000), async |mut peer, drain| {
            let mut framed = BytesMut::new();
            frame::encode(MESSAGE, &mut framed).unwrap();
            let (head, tail) = framed.split_at(20);
            peer.write_all(head).await.unwrap();
            tokio::time::sleep(Duration::from_millis(30)).await;
            drain.begin();
            peer.write_all(tail).await.unwrap();
            let mut answer = Vec::new();
            peer.read_to_end(&mut answer).await.unwrap();
            answer
        })
        .await;
        assert_eq!(end, End::Draining);
        assert!(answer.windows(10).any(|at| at == b"MSA|AA|X1\r"));
    }
}
