//! Whom to connect to, over what, and how long to wait; and a destination compiled from its configuration.

use std::{io, sync::Arc, time::Duration};

use mllp::client::Await;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::address::Address;
use crate::{
    config::{self, ClientTls},
    tls::{Presented, TlsError},
};

/// A connected stream, plain or TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for T {}

/// A receiver.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it listens.
    pub address: Address,
    /// TLS; `None` for plain MLLP.
    pub tls: Option<Arc<Presented>>,
    /// Longest wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// Longest wait from the first byte of a message to its answer.
    pub ack_timeout: Duration,
    /// Which answer ends the wait.
    pub awaited: Await,
}

impl Target {
    /// Rises when other certificates come into force; 0 for plain MLLP.
    pub fn revision(&self) -> u64 {
        self.tls.as_ref().map_or(0, |presented| presented.revision())
    }

    /// Connects.
    ///
    /// # Errors
    /// The system's or TLS's account of why not; `TimedOut` after [`Self::connect_timeout`].
    pub async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let connecting = async {
            let socket = TcpStream::connect(&self.address.text).await?;
            socket.set_nodelay(true)?;
            Ok(match &self.tls {
                None => Box::new(socket) as Box<dyn Stream>,
                Some(presented) => {
                    let connector = TlsConnector::from(presented.config());
                    Box::new(connector.connect(self.address.name.clone(), socket).await?)
                }
            })
        };
        timeout(self.connect_timeout, connecting)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// An MLLP destination, compiled from configuration.
#[derive(Clone, Debug)]
pub struct Outbound {
    /// `mllp:<name>`.
    pub id: String,
    /// What it was compiled from.
    pub settings: config::Outbound,
    /// Its receiver.
    pub target: Target,
}

impl Outbound {
    /// Compiles a destination.
    ///
    /// # Errors
    /// [`TlsError`] where its certificates cannot be used.
    pub fn compile(settings: &config::Outbound) -> Result<Self, TlsError> {
        let tls = match &settings.tls {
            None => None,
            Some(files) => {
                let files = ClientTls { ca: files.ca.clone(), shown: files.shown.clone() };
                Some(Presented::open(&super::destination(&settings.name), &files)?)
            }
        };
        let target = Target {
            address: settings.address.clone(),
            tls,
            connect_timeout: settings.connect_timeout,
            ack_timeout: settings.ack_timeout,
            awaited: settings.awaited,
        };
        Ok(Self { id: super::destination(&settings.name), settings: settings.clone(), target })
    }
}
