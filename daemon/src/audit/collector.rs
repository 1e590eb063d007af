//! A collector of syslog messages over TLS (RFC 5425), and a connection to it.
//!
//! The protocol has no acknowledgement: that bytes were written says only that they left. What is known of their arrival comes
//! from two places. While a connection stands, the system gives up on bytes that its peer does not take within
//! [`UNTAKEN`], so that what was written longer ago on a connection that still stands has arrived. At the end, a collector that has
//! read everything closes its side in good order.

use std::{io, sync::Arc, time::Duration};

use rustls::ClientConfig;
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::outbound::Address;

/// How long a connection may take to be made, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a write may take: a collector that stops reading fills the way to it.
const WRITE: Duration = Duration::from_secs(20);
/// How long what was written may stay untaken by the other machine until the system ends the connection.
pub const UNTAKEN: Duration = Duration::from_secs(20);
/// How long the collector may take to close its side.
const FAREWELL: Duration = Duration::from_secs(10);

/// Where messages go, and how it is proved.
#[derive(Clone, Debug)]
pub struct Collector {
    address: Address,
    tls: Arc<ClientConfig>,
}

/// A connection.
pub struct Connection {
    stream: TlsStream<TcpStream>,
}

impl Collector {
    /// The one at this address, proved by the certificates of `tls`.
    pub fn new(address: Address, tls: Arc<ClientConfig>) -> Self {
        Self { address, tls }
    }

    /// Connects.
    ///
    /// # Errors
    /// The system's or TLS's account of why not.
    pub async fn connect(&self) -> io::Result<Connection> {
        let connecting = async {
            let socket = TcpStream::connect(&self.address.text).await?;
            SockRef::from(&socket).set_tcp_user_timeout(Some(UNTAKEN))?;
            let connector = TlsConnector::from(Arc::clone(&self.tls));
            Ok(Connection { stream: connector.connect(self.address.name.clone(), socket).await? })
        };
        timeout(CONNECT, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Connection {
    /// Writes.
    ///
    /// # Errors
    /// Where the connection broke, or the collector takes nothing.
    pub async fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        let writing = async {
            self.stream.write_all(frames).await?;
            self.stream.flush().await
        };
        timeout(WRITE, writing).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Returns once the collector has ended the connection; what it may have said is not looked at.
    pub async fn ended(&mut self) -> io::Error {
        let mut heard = [0; 512];
        loop {
            match self.stream.read(&mut heard).await {
                Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }

    /// Says that nothing more comes. Returns whether the collector closed its side in good order, having read all.
    pub async fn farewell(mut self) -> bool {
        let closing = async {
            self.stream.shutdown().await?;
            let mut heard = [0; 512];
            while self.stream.read(&mut heard).await? > 0 {}
            io::Result::Ok(())
        };
        matches!(timeout(FAREWELL, closing).await, Ok(Ok(())))
    }
}
