//! One connection's way of sending: connect, send, wait; after a fault close, connect again and resend the
//! same bytes, so that the receiver sees the same control id.
//!
//! Numbers: [`DEFAULT_RESENDS`] resends by default, [`MAX_RESENDS`] at most, with a pause from
//! [`FIRST_PAUSE`] on that doubles up to [`MAX_PAUSE`].

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use mllp::{Answer, Client, ClientError};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

/// Resends of one message by default: over some seconds, as long as a receiver needs to restart.
pub(super) const DEFAULT_RESENDS: u32 = 3;
/// Most resends of one message.
pub(super) const MAX_RESENDS: u32 = 100;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// Longest wait for a connection; never longer than the wait for an answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Whom to send to and how.
pub(super) struct Target {
    /// `HOST:PORT`.
    pub(super) address: String,
    /// TLS with the name that the certificate must have; `None` for plain MLLP.
    pub(super) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    pub(super) timeout: Duration,
    pub(super) resends: u32,
}

/// What became of a message.
pub(super) enum Fate {
    /// Answered.
    Answered(Answer),
    /// It may have arrived, or a connection was lost; no answer came.
    NoAnswer(String),
    /// Nobody could be connected to.
    Unreachable(String),
    /// It cannot be sent at all.
    NotSendable(String),
}

/// A line to the target, connected when it is needed.
pub(super) struct Line<'a> {
    target: &'a Target,
    client: Option<Client<Box<dyn Stream>>>,
}

impl<'a> Line<'a> {
    pub(super) fn new(target: &'a Target) -> Self {
        Self { target, client: None }
    }

    /// Sends one message until there is an answer or no resend is left; with how many attempts were made.
    pub(super) async fn send(&mut self, message: &Bytes) -> (Fate, u32) {
        let mut pause = FIRST_PAUSE;
        let mut attempts = 0;
        let mut handed_on = false;
        loop {
            let kept_open = self.client.is_some();
            attempts += 1;
            let fault = match self.attempt(message).await {
                Ok(answer) => return (Fate::Answered(answer), attempts),
                Err(Fault::Unsendable(why)) => return (Fate::NotSendable(why), attempts),
                Err(Fault::Connect(why)) => why,
                Err(Fault::Lost(error)) if kept_open && !error.may_have_arrived() => {
                    // Closed since the last answer, as many receivers do: no attempt at this message.
                    // The next connection is a new one, so this happens once.
                    self.client = None;
                    attempts -= 1;
                    continue;
                }
                Err(Fault::Lost(error)) => {
                    handed_on |= error.may_have_arrived();
                    with_source(&error)
                }
            };
            self.client = None;
            if attempts > self.target.resends {
                let fate = if handed_on { Fate::NoAnswer(fault) } else { Fate::Unreachable(fault) };
                return (fate, attempts);
            }
            sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    async fn attempt(&mut self, message: &Bytes) -> Result<Answer, Fault> {
        let client = match &mut self.client {
            Some(client) => client,
            empty => {
                let stream = connect(self.target).await.map_err(|error| Fault::Connect(error.to_string()))?;
                empty.insert(Client::new(stream, self.target.timeout))
            }
        };
        match client.send(message.clone()).await {
            Ok(answer) => Ok(answer),
            Err(error @ (ClientError::NotSendable(_) | ClientError::Unframeable(_))) => {
                Err(Fault::Unsendable(with_source(&error)))
            }
            Err(error) => Err(Fault::Lost(error)),
        }
    }
}

enum Fault {
    Connect(String),
    Lost(ClientError),
    Unsendable(String),
}

/// An error with what caused it.
fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

async fn connect(target: &Target) -> io::Result<Box<dyn Stream>> {
    let connecting = async {
        let socket = TcpStream::connect(&target.address).await?;
        socket.set_nodelay(true)?;
        Ok(match &target.tls {
            None => Box::new(socket) as Box<dyn Stream>,
            Some((config, name)) => {
                Box::new(TlsConnector::from(config.clone()).connect(name.clone(), socket).await?)
            }
        })
    };
    let limit = CONNECT_TIMEOUT.min(target.timeout);
    timeout(limit, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
