//! The load: connections that send a message, wait for its acknowledgement, and send the next.
//!
//! It is light on purpose, because it shares the machine with what it measures: one task a connection, no
//! record but the latencies.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep_until, timeout},
};
use tokio_rustls::TlsConnector;

use super::traffic::Stream;

/// What a sender talks over: a plain socket, or TLS on one.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Where to send, and whether over TLS.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub address: SocketAddr,
    pub tls: Option<TlsConnector>,
}

impl Endpoint {
    async fn connect(&self) -> std::io::Result<Box<dyn Wire>> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Box::new(socket)),
            Some(tls) => {
                let name = ServerName::IpAddress(self.address.ip().into());
                Ok(Box::new(tls.connect(name, socket).await?))
            }
        }
    }

    /// Opens `count` connections over which nothing is sent.
    pub(super) async fn idle(&self, count: u16) -> Result<Idle, LoadError> {
        let mut held = Vec::with_capacity(count.into());
        for _ in 0..count {
            held.push(self.connect().await?);
        }
        Ok(Idle(held))
    }
}

/// Connections held open.
pub(super) struct Idle(Vec<Box<dyn Wire>>);

impl Idle {
    /// Fails where one of them was closed meanwhile.
    pub(super) async fn still_open(mut self) -> Result<(), LoadError> {
        for wire in &mut self.0 {
            let looked = timeout(Duration::ZERO, wire.read_u8()).await;
            if looked.is_ok() {
                return Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted).into());
            }
        }
        Ok(())
    }
}

/// Messages each connection sends before anything is counted: connections, statements and pools are made then.
const WARM_UP: u64 = 20;
/// How long an acknowledgement may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest acknowledgement looked at.
const ACK_MAX_BYTES: usize = 4 * 1024;

/// When a point ends.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stop {
    /// After so many messages, shared out evenly (rounded up).
    Messages(u64),
    /// After so many seconds; what is under way then still counts.
    Seconds(f64),
}

/// Why a connection could not go on.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The socket failed or was closed.
    #[error("connection: {0}")]
    Io(#[from] std::io::Error),
    /// No acknowledgement came.
    #[error("no acknowledgement within {} s", PATIENCE.as_secs())]
    Late,
    /// The answer is not an AA for the message sent.
    #[error("an answer that is not AA of the message sent")]
    NotAccepted,
    /// A sending task ended without a result.
    #[error("a sending task ended")]
    Task,
}

/// A connection ready to send.
pub(super) struct Sender {
    wire: Box<dyn Wire>,
    stream: Stream,
    ack: Vec<u8>,
}

/// What the senders did.
pub(super) struct Run {
    /// One per message, in microseconds, in no order.
    pub latencies_us: Vec<u32>,
    /// From the first message to the last acknowledgement.
    pub elapsed: Duration,
    /// Where the patients' readings may go on.
    pub next_step: u64,
}

impl Run {
    /// Messages counted, at least 1.
    pub(super) fn messages(&self) -> u64 {
        (self.latencies_us.len() as u64).max(1)
    }
}

/// Connects and warms up, one connection per stream.
pub(super) async fn connect(target: &Endpoint, streams: Vec<Stream>) -> Result<Vec<Sender>, LoadError> {
    let mut tasks = JoinSet::new();
    for stream in streams {
        let target = target.clone();
        tasks.spawn(async move {
            let wire = target.connect().await?;
            let mut sender = Sender { wire, stream, ack: Vec::with_capacity(ACK_MAX_BYTES) };
            for _ in 0..WARM_UP {
                sender.exchange().await?;
            }
            Ok::<_, LoadError>(sender)
        });
    }
    let mut senders = Vec::new();
    while let Some(sender) = tasks.join_next().await {
        senders.push(sender.map_err(|_| LoadError::Task)??);
    }
    Ok(senders)
}

/// Sends from all connections at once until `stop`.
pub(super) async fn run(senders: Vec<Sender>, stop: Stop) -> Result<Run, LoadError> {
    let count = senders.len().max(1) as u64;
    let begun = Instant::now();
    let (most, until) = match stop {
        Stop::Messages(all) => (all.div_ceil(count), None),
        Stop::Seconds(seconds) => (u64::MAX, Some(begun + Duration::from_secs_f64(seconds))),
    };
    let mut tasks = JoinSet::new();
    for mut sender in senders {
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            while (latencies.len() as u64) < most && until.is_none_or(|until| Instant::now() < until) {
                latencies.push(sender.exchange().await?);
            }
            Ok::<_, LoadError>((latencies, sender.stream.next_step()))
        });
    }
    let (mut latencies_us, mut next_step) = (Vec::new(), 0);
    while let Some(done) = tasks.join_next().await {
        let (latencies, step) = done.map_err(|_| LoadError::Task)??;
        latencies_us.extend(latencies);
        next_step = next_step.max(step);
    }
    Ok(Run { latencies_us, elapsed: begun.elapsed(), next_step })
}

/// Sends `each` messages from every connection, one `every` so often, beginning at `began`. Who is late sends at
/// once until it has caught up.
pub(super) async fn run_paced(
    senders: Vec<Sender>,
    each: u64,
    began: Instant,
    every: Duration,
) -> Result<Run, LoadError> {
    let mut tasks = JoinSet::new();
    let count = senders.len().max(1) as u32;
    for (place, mut sender) in (0_u32..).zip(senders) {
        // Evenly between the others, not all at one moment.
        let mut turn = began + every * place / count;
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            for _ in 0..each {
                sleep_until(turn.into()).await;
                turn += every;
                latencies.push(sender.exchange().await?);
            }
            Ok::<_, LoadError>(latencies)
        });
    }
    let mut latencies_us = Vec::new();
    while let Some(done) = tasks.join_next().await {
        latencies_us.extend(done.map_err(|_| LoadError::Task)??);
    }
    Ok(Run { latencies_us, elapsed: began.elapsed(), next_step: 0 })
}

impl Sender {
    /// One message and its acknowledgement; how long that took, in microseconds.
    async fn exchange(&mut self) -> Result<u32, LoadError> {
        let frame = self.stream.frame();
        let begun = Instant::now();
        self.wire.write_all(frame).await?;
        self.wire.flush().await?;
        self.ack.clear();
        while !self.ack.ends_with(&[mllp::frame::FS, mllp::frame::CR]) {
            let read =
                timeout(PATIENCE, self.wire.read_buf(&mut self.ack)).await.map_err(|_| LoadError::Late)?;
            if read? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            if self.ack.len() > ACK_MAX_BYTES {
                return Err(LoadError::NotAccepted);
            }
        }
        let took = begun.elapsed();
        if accepts(&self.ack, self.stream.control_id()) {
            Ok(u32::try_from(took.as_micros()).unwrap_or(u32::MAX))
        } else {
            Err(LoadError::NotAccepted)
        }
    }
}

/// Whether `ack` says AA to the message `control_id`.
fn accepts(ack: &[u8], control_id: &str) -> bool {
    ack.split(|byte| *byte == mllp::frame::CR).any(|segment| {
        segment
            .strip_prefix(b"MSA|AA|")
            .is_some_and(|rest| rest.split(|byte| *byte == b'|').next() == Some(control_id.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_positive_answer_to_this_very_message_counts() {
        let ack = |msa: &str| format!("\x0bMSH|^~\\&|||||||ACK|1|P|2.5.1\r{msa}\r\x1c\r").into_bytes();
        assert!(accepts(&ack("MSA|AA|B1"), "B1"));
        assert!(accepts(&ack("MSA|AA|B1|text"), "B1"));
        for other in ["MSA|AE|B1", "MSA|AA|B12", "MSA|AA|", "ERR|AA|B1"] {
            assert!(!accepts(&ack(other), "B1"), "{other}");
        }
    }
}
