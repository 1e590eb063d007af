//! One MLLP connection: bytes in, acknowledgements out, in order.
//!
//! Invariants: what is held of messages fits into the connection's [`Room`], which is shared out over all
//! connections; every wait has a deadline; a connection that misbehaves ends alone.

use std::{pin::pin, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use mllp::frame::{self, Deframer, Event, Limits};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, sleep_until, timeout, timeout_at},
};

use crate::{
    config::CONNECTION_RESERVE_BYTES,
    drain::Draining,
    feed::Feed,
    intake::{Intake, Reply},
    listener::{refusal::Limit, room::Room},
    traces,
};

/// Bytes asked of the socket at once: one large segment burst, small beside the frame cap.
const READ_BYTES: usize = CONNECTION_RESERVE_BYTES;

/// How long what still comes after the last answer is read and thrown away: a close before that would reset the
/// connection, and might take the answer with it (RFC 1122, section 4.2.2.13).
const LINGER: Duration = Duration::from_secs(2);
/// What is thrown away at most: as much as a frame may have by default.
const LINGER_BYTES: u64 = 64 * 1024 * 1024;

/// What bounds a session.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Largest frame in bytes.
    pub max_frame_bytes: usize,
    /// From the first byte of a frame to its last.
    pub frame_timeout: Duration,
    /// Without any byte between frames.
    pub idle_timeout: Duration,
    /// Until an acknowledgement is taken.
    pub write_timeout: Duration,
    /// How long a large frame may wait for memory.
    pub memory_timeout: Duration,
}

/// Why a session ended.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The peer closed between frames.
    #[error("the peer closed")]
    PeerClosed,
    /// The peer closed inside a frame: that message was not acknowledged.
    #[error("the peer closed inside a frame, which is not acknowledged")]
    CutFrame,
    /// No frame came for too long.
    #[error("no message within idle_timeout")]
    Idle,
    /// A frame was not over in time.
    #[error("a message was not over within frame_timeout")]
    FrameTimeout,
    /// A frame was over the cap.
    #[error("a message longer than max_frame_bytes")]
    TooLong,
    /// The peer did not take its acknowledgement.
    #[error("an acknowledgement was not taken within write_timeout")]
    SlowReader,
    /// There was no memory for a large frame in time.
    #[error("no memory for a large message within memory_timeout; see [limits] max_bytes_in_flight")]
    NoRoom,
    /// The store refused; closed so that the engine resends.
    #[error("the store takes no commits")]
    StoreRefused,
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Draining,
    /// The socket failed.
    #[error("the connection failed")]
    Socket,
}

impl End {
    /// The limit that ended it, where one did.
    pub fn limit(&self) -> Option<Limit> {
        match self {
            Self::Idle => Some(Limit::IdleTimeout),
            Self::FrameTimeout => Some(Limit::FrameTimeout),
            Self::TooLong => Some(Limit::FrameBytes),
            Self::SlowReader => Some(Limit::WriteTimeout),
            Self::NoRoom => Some(Limit::Memory),
            Self::PeerClosed | Self::CutFrame | Self::StoreRefused | Self::Draining | Self::Socket => None,
        }
    }
}

/// Serves one connection until it ends.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    feed: Feed,
    bounds: &Bounds,
    intake: &Intake,
    room: Room,
    mut draining: Draining,
) -> End {
    let limits = Limits { max_frame_bytes: bounds.max_frame_bytes, bare_fs: feed.answering.bare_fs };
    let (deframer, write_timeout) = (Deframer::new(limits), bounds.write_timeout);
    let mut session = Session { deframer, buffer: BytesMut::new(), room, feed, intake, write_timeout };
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
        session.give_back();
        if session.is_full() {
            match timeout_at(deadline, timeout(bounds.memory_timeout, session.room.grow())).await {
                Ok(Ok(())) => session.buffer.reserve(session.room.bytes() - session.buffer.len()),
                Ok(Err(_elapsed)) => return End::NoRoom,
                Err(_elapsed) => return End::FrameTimeout,
            }
        }
        let most = READ_BYTES.min(session.room.bytes() - session.buffer.len());
        session.buffer.reserve(most);
        let read = loop {
            let mut into = (&mut session.buffer).limit(most);
            tokio::select! {
                read = stream.read_buf(&mut into) => break read,
                // A message that is being received may finish; between messages we leave.
                () = &mut begun, if !in_frame => return End::Draining,
                () = &mut alarm => {
                    if Instant::now() >= deadline {
                        return if in_frame { End::FrameTimeout } else { End::Idle };
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
    room: Room,
    feed: Feed,
    intake: &'a Intake,
    write_timeout: Duration,
}

impl Session<'_> {
    /// Gives back the memory that a large frame before needed.
    fn give_back(&mut self) {
        if self.room.is_grown() && self.buffer.len() < CONNECTION_RESERVE_BYTES {
            // A fresh buffer: the one before is as large as the frame was.
            self.buffer = BytesMut::from(&self.buffer[..]);
            self.room.shrink();
        }
    }

    /// Whether a frame has filled what this connection may hold.
    fn is_full(&self) -> bool {
        self.buffer.len() >= self.room.bytes()
    }

    /// Answers every whole frame in the buffer, in order. Returns whether a frame ended: one that is open after
    /// that is another one.
    async fn answer_buffered<S>(&mut self, stream: &mut S) -> Result<bool, End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
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
                    let reply = self.intake.too_long(&self.feed, overlong.head, overlong.limit_bytes).await;
                    self.reply(stream, reply).await?;
                    self.room.shrink();
                    linger(stream).await;
                    return Err(End::TooLong);
                }
            }
        }
    }

    async fn reply<S: AsyncWrite + Unpin>(&self, stream: &mut S, reply: Reply) -> Result<(), End> {
        let (code, bytes, msg) = match reply {
            Reply::Acknowledge { code, bytes, msg } => (code, bytes, msg),
            Reply::Nothing => {
                self.feed.count_unanswered();
                return Ok(());
            }
            Reply::Close => return Err(End::StoreRefused),
        };
        self.feed.count_ack(code);
        let framed = framed(&bytes);
        let written = async {
            stream.write_all(&framed).await?;
            // TLS keeps back what the socket did not take.
            stream.flush().await
        };
        let began = std::time::Instant::now();
        let written = timeout(self.write_timeout, written).await;
        traces::acknowledged(msg, code.as_str(), began, matches!(written, Ok(Ok(()))));
        match written {
            Err(_elapsed) => Err(End::SlowReader),
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
    }
}

/// See [`LINGER`].
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let thrown_away = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    // However it ends, the connection does.
    let _ended = timeout(LINGER, thrown_away).await;
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
    use crate::{conditions::Board, drain::Drain, listener::room::Rooms, pipeline::Wake};

    const MESSAGE: &[u8] = b"MSH|^~\\&|A|B|C|D|20260101||ORU^R01|X1|P|2.5.1\r";

    fn bounds(frame_ms: u64, idle_ms: u64) -> Bounds {
        Bounds {
            max_frame_bytes: 1_000,
            frame_timeout: Duration::from_millis(frame_ms),
            idle_timeout: Duration::from_millis(idle_ms),
            write_timeout: Duration::from_millis(200),
            memory_timeout: Duration::from_millis(200),
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
        let room = Rooms::new(bounds.max_frame_bytes).enter(bounds.max_frame_bytes);
        let feed = Feed::new("f", "main");
        tokio::join!(serve(ours, feed, &bounds, &intake, room, draining), peer(theirs, drain))
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
        assert_eq!(end, End::FrameTimeout);
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
        assert_eq!(end, End::Idle);
        // Longer than one idle time-out, so each message put the end off; then one time-out more.
        assert!(answered - started >= Duration::from_millis(1_200));
        // The deadline counts from the last look at the buffer, a moment before the peer has its answer.
        assert!(answered.elapsed() >= Duration::from_millis(900));
    }

    #[tokio::test]
    async fn a_peer_that_does_not_take_its_acknowledgements_is_dropped() {
        let (end, ()) = session(bounds(60_000, 60_000), async |mut peer, _drain| {
            let mut framed = BytesMut::new();
            frame::encode(MESSAGE, &mut framed).unwrap();
            while peer.write_all(&framed).await.is_ok() {}
        })
        .await;
        assert_eq!(end, End::SlowReader);
    }

    #[tokio::test]
    async fn a_large_frame_is_taken_in_and_its_memory_given_back_before_the_next_read() {
        let large = Bounds { max_frame_bytes: 2_000_000, ..bounds(60_000, 60_000) };
        let (end, (codes, _drain)) = session(large, async |mut peer, drain| {
            let mut codes = Vec::new();
            for bytes in [10, 1_900_000, 70_000, 10, 1_900_000] {
                let mut framed = BytesMut::new();
                frame::encode(&[MESSAGE, &vec![b'x'; bytes]].concat(), &mut framed).unwrap();
                peer.write_all(&framed).await.unwrap();
                let mut answer = Vec::new();
                while !answer.ends_with(&[frame::FS, frame::CR]) {
                    assert_ne!(peer.read_buf(&mut answer).await.unwrap(), 0);
                }
                codes.push(answer.windows(6).any(|at| at == b"MSA|AA"));
            }
            (codes, drain)
        })
        .await;
        assert_eq!((end, codes), (End::PeerClosed, vec![true; 5]));
    }

    #[tokio::test]
    async fn the_head_of_a_frame_that_is_too_long_is_kept_before_it_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::from_hex(&"a".repeat(64)).unwrap();
        let store = Store::open(dir.path(), key, StoreOptions::default(), 0).unwrap();
        let (wake, _woken) = Wake::new();
        let intake = Intake::new(store.writer(), Board::default(), wake);
        let head = Bytes::from([MESSAGE, &[b'x'; 900]].concat());
        let Reply::Acknowledge { code, bytes, .. } =
            intake.too_long(&Feed::new("f", "main"), head, 1_000).await
        else {
            panic!("the store takes commits");
        };
        assert_eq!(code.as_str(), "AR");
        assert!(bytes.windows(10).any(|at| at == b"MSA|AR|X1|" || at == b"MSA|AR|X1\r"), "{bytes:?}");
        let counts = store.readers().with(|reader| reader.counts()).unwrap();
        assert_eq!((counts.inbox_total, counts.quarantine), (1, 1));
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
