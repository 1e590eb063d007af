//! One MLLP connection: bytes in, acknowledgements out, in order.
//!
//! Invariants: memory is bounded by one frame and one read; every wait has a deadline; a connection that
//! misbehaves ends alone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use mllp::frame::{self, Deframer, Event, Limits};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use crate::{
    drain::Draining,
    intake::{Feed, Intake, Reply},
    telemetry::Metric,
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
    // When the frame that is being received began; none between frames.
    let mut began: Option<Instant> = None;
    loop {
        match session.answer_buffered(&mut stream).await {
            Ok(true) => began = None,
            Ok(false) => {}
            Err(end) => return end,
        }
        let patience = if session.deframer.in_frame() {
            bounds.frame_timeout.saturating_sub(began.get_or_insert_with(Instant::now).elapsed())
        } else {
            bounds.idle_timeout
        };
        session.buffer.reserve(READ_BYTES);
        let read = tokio::select! {
            read = timeout(patience, stream.read_buf(&mut session.buffer)) => read,
            // A message that is being received may finish; between messages we leave.
            () = draining.begun(), if !session.deframer.in_frame() => return End::Draining,
        };
        match read {
            Err(_elapsed) => return End::Deadline,
            Ok(Err(_)) => return End::Socket,
            Ok(Ok(0)) => return if session.deframer.in_frame() { End::CutFrame } else { End::PeerClosed },
            Ok(Ok(_)) => {}
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
    /// Answers every whole frame in the buffer, in order; whether a frame ended in it.
    async fn answer_buffered<S: AsyncWrite + Unpin>(&mut self, stream: &mut S) -> Result<bool, End> {
        let mut ended = false;
        loop {
            match self.deframer.next_event(&mut self.buffer) {
                Ok(None) => return Ok(ended),
                Ok(Some(Event::Message(body))) => {
                    ended = true;
                    Metric::MllpFrames.add(1, &self.listener());
                    let reply = self.intake.take(&self.feed, body).await;
                    self.reply(stream, reply).await?;
                }
                Ok(Some(fault)) => {
                    ended = true;
                    self.count(&fault);
                }
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
        Metric::MllpAcks.add(1, &[("listener", self.feed.source.to_string()), ("code", code.to_owned())]);
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
        let labels = [("listener", self.feed.source.to_string()), ("fault", fault.to_owned())];
        Metric::MllpFramingFaults.add(1, &labels);
        tracing::warn!(listener = %self.feed.source, fault, "framing fault");
    }

    fn listener(&self) -> [(&'static str, String); 1] {
        [("listener", self.feed.source.to_string())]
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

/// The feed of a listener.
pub fn feed(source: &str) -> Feed {
    Feed { source: Arc::from(source) }
}
