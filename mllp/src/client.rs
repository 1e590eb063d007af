//! The client: sends one message, waits for its answer, and for no other.
//!
//! Invariants
//! - An answer is matched by MSA-2 = MSH-10 and by arriving after the message was sent. Foreign and late
//!   answers are counted and skipped, never matched; one whose MSA is missing or unreadable answers nothing.
//! - In enhanced mode the accept acknowledgement (CA) ends the wait, unless the application's own answer is
//!   awaited ([`Await::Application`]); a refusal (CE, CR) always ends it (HL7 v2.5.1, 2.9.3).
//! - After any fault the client is poisoned: a late answer on that connection could otherwise be taken for
//!   the next message's. It must be dropped; a resend uses a new connection.
//! - An error says whether the message may have arrived, so that the caller knows what is ambiguous.
//! - Dropping the future of [`Client::send`] poisons the client, too.
//!
//! What is absent: connecting, TLS, back-off and the decision to resend.

use std::{fmt, io, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use crate::{
    ack::AckCode,
    answer::Answer,
    batch,
    envelope::{Envelope, EnvelopeFault},
    frame::{self, Deframer, Event, FrameTooLong, Limits, Unframeable},
};

/// Longest wait for an answer by default; interface engines commonly use 10 to 60 s.
pub const DEFAULT_ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest answer read: an ACK is a few hundred bytes, one that quotes its message in ERR a few hundred
/// thousand.
pub const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Which answer ends the wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Await {
    /// The first that names the message: AA, AE or AR in original mode, CA, CE or CR in enhanced mode.
    #[default]
    First,
    /// Not CA: the application's AA, AE or AR after it. A receiver that answers in original mode ends the wait
    /// with its first answer.
    Application,
}

/// Frames that answered nothing that was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strays {
    /// Acknowledgements of another message, or of this one before it was sent.
    pub foreign: u64,
    /// Frames without a readable MSA, and bytes outside of frames.
    pub unreadable: u64,
}

/// A connection to an MLLP receiver.
pub struct Client<S> {
    stream: S,
    answer_timeout: Duration,
    awaited: Await,
    deframer: Deframer,
    inbound: BytesMut,
    poisoned: bool,
    strays: Strays,
}

/// Why there is no answer. Every variant but [`NotSendable`](Self::NotSendable) and
/// [`Unframeable`](Self::Unframeable) leaves the client poisoned.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// An earlier send failed; drop the client. Nothing was sent.
    #[error("the connection failed before and must not be used again")]
    Poisoned,
    /// The message has no MSH-10 to match an answer by, or no readable MSH. Nothing was sent.
    #[error("the message cannot be sent")]
    NotSendable(#[source] EnvelopeFault),
    /// The message holds frame bytes. Nothing was sent.
    #[error(transparent)]
    Unframeable(#[from] Unframeable),
    /// No answer within the time-out.
    #[error("no answer within {waited_ms} ms")]
    TimedOut {
        /// The time-out.
        waited_ms: u64,
        /// Whether any byte of the message may have been handed to the connection.
        sent: bool,
    },
    /// The receiver closed the connection.
    #[error("the receiver closed the connection")]
    Closed {
        /// Whether any byte of the message may have been handed to the connection.
        sent: bool,
    },
    /// The connection failed.
    #[error("the connection failed")]
    Io {
        /// Whether any byte of the message may have been handed to the connection.
        sent: bool,
        /// The fault.
        #[source]
        source: io::Error,
    },
    /// The receiver sent an answer longer than [`MAX_ANSWER_BYTES`].
    #[error("the answer is too long")]
    AnswerTooLong {
        /// Whether any byte of the message may have been handed to the connection.
        sent: bool,
        /// The limit.
        #[source]
        source: FrameTooLong,
    },
}

impl ClientError {
    /// Whether the receiver may have the message: a resend may then be its second.
    pub fn may_have_arrived(&self) -> bool {
        match self {
            Self::Poisoned | Self::NotSendable(_) | Self::Unframeable(_) => false,
            Self::TimedOut { sent, .. }
            | Self::Closed { sent }
            | Self::Io { sent, .. }
            | Self::AnswerTooLong { sent, .. } => *sent,
        }
    }
}

impl<S> fmt::Debug for Client<S> {
    /// Without what was received: it may quote patient data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Client");
        shown.field("poisoned", &self.poisoned).field("strays", &self.strays).finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// A client over a connected stream; `answer_timeout` spans one send from its first byte to its answer.
    pub fn new(stream: S, answer_timeout: Duration) -> Self {
        let limits = Limits { max_frame_bytes: MAX_ANSWER_BYTES, bare_fs: false };
        Self {
            stream,
            answer_timeout,
            awaited: Await::First,
            deframer: Deframer::new(limits),
            inbound: BytesMut::new(),
            poisoned: false,
            strays: Strays::default(),
        }
    }

    /// The same client with another answer to wait for.
    pub fn awaiting(self, awaited: Await) -> Self {
        Self { awaited, ..self }
    }

    /// Whether the client must be dropped.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// What was skipped so far because it answered something else or nothing. More than a few mean that the
    /// receiver sends frames that nobody asked for.
    pub fn strays(&self) -> Strays {
        self.strays
    }

    /// Sends one message and waits for its answer, whatever the code of that answer.
    ///
    /// # Errors
    /// [`ClientError`]; ask it [`may_have_arrived`](ClientError::may_have_arrived).
    pub async fn send(&mut self, message: Bytes) -> Result<Answer, ClientError> {
        if self.poisoned {
            return Err(ClientError::Poisoned);
        }
        let envelope = match Envelope::scan(&message) {
            Ok(envelope) => envelope,
            // A frame that holds a batch is answered as a whole, to the id of its header.
            Err(fault) => match batch::is_batch(&message).then(|| batch::addressee(&message)).flatten() {
                Some(addressee) => addressee,
                None => return Err(ClientError::NotSendable(fault)),
            },
        };
        let mut outbound = BytesMut::new();
        frame::encode(&message, &mut outbound)?;

        let mut sent = false;
        self.poisoned = true; // until an answer has come
        let deadline = Instant::now() + self.answer_timeout;
        let exchange = self.exchange(envelope.control_id(), &mut outbound, &mut sent);
        let outcome = timeout_at(deadline, exchange).await;
        let answer = match outcome {
            Ok(exchanged) => exchanged.map_err(|fault| fault.into_error(sent))?,
            Err(_) => {
                let waited_ms = u64::try_from(self.answer_timeout.as_millis()).unwrap_or(u64::MAX);
                return Err(ClientError::TimedOut { waited_ms, sent });
            }
        };
        self.poisoned = false;
        Ok(answer)
    }

    async fn exchange(
        &mut self,
        control_id: &[u8],
        outbound: &mut BytesMut,
        sent: &mut bool,
    ) -> Result<Answer, Fault> {
        self.discard_early_answers().await?;
        // A frame that has begun by now is an early answer as well.
        let mut early = self.deframer.in_frame();
        while !outbound.is_empty() {
            // Set before the write: one that is cancelled or fails may have handed bytes on.
            *sent = true;
            if self.stream.write_buf(outbound).await? == 0 {
                return Err(Fault::Closed);
            }
        }
        self.stream.flush().await?;
        loop {
            while let Some(event) = self.deframer.next_event(&mut self.inbound)? {
                match answer_in(event) {
                    Some(answer) if answer.control_id == control_id && !early => {
                        if self.ends_the_wait(answer.code) {
                            return Ok(answer);
                        }
                    }
                    skipped => self.strays.count(skipped.is_some()),
                }
                early = false;
            }
            if self.stream.read_buf(&mut self.inbound).await? == 0 {
                return Err(Fault::Closed);
            }
        }
    }

    fn ends_the_wait(&self, code: AckCode) -> bool {
        self.awaited == Await::First || code != AckCode::CA
    }

    /// Takes what is there already, which cannot answer a message that has not been sent; also notices a
    /// connection that was closed while idle, before it makes a send ambiguous.
    async fn discard_early_answers(&mut self) -> Result<(), Fault> {
        loop {
            while let Some(event) = self.deframer.next_event(&mut self.inbound)? {
                self.strays.count(answer_in(event).is_some());
            }
            let read = tokio::select! {
                biased;
                read = self.stream.read_buf(&mut self.inbound) => read?,
                () = std::future::ready(()) => return Ok(()),
            };
            if read == 0 {
                return Err(Fault::Closed);
            }
        }
    }
}

impl Strays {
    fn count(&mut self, is_an_answer: bool) {
        let kind = if is_an_answer { &mut self.foreign } else { &mut self.unreadable };
        *kind += 1;
    }
}

fn answer_in(event: Event) -> Option<Answer> {
    match event {
        Event::Message(payload) => Answer::parse(&payload).ok(),
        _ => None,
    }
}

/// What went wrong, before it is known whether anything had been sent.
enum Fault {
    Closed,
    Io(io::Error),
    TooLong(FrameTooLong),
}

impl Fault {
    fn into_error(self, sent: bool) -> ClientError {
        match self {
            Self::Closed => ClientError::Closed { sent },
            Self::Io(source) => ClientError::Io { sent, source },
            Self::TooLong(source) => ClientError::AnswerTooLong { sent, source },
        }
    }
}

impl From<io::Error> for Fault {
    fn from(fault: io::Error) -> Self {
        Self::Io(fault)
    }
}

impl From<FrameTooLong> for Fault {
    fn from(fault: FrameTooLong) -> Self {
        Self::TooLong(fault)
    }
}

#[cfg(test)]
mod tests;
