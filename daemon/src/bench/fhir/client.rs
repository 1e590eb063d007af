//! A client as cheap as one can be: HTTP/1.1 by hand over TLS, one request after the other on a connection that stays.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::pki_types::ServerName;
use standin::rig::Rig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::super::{BenchError, load::LoadError};
use crate::tls;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest answer that is looked at: a page of 1,000 is under 2 MB.
const ANSWER_MOST_BYTES: usize = 64 * 1024 * 1024;

/// Where the endpoint is, and as whom one comes; cheap to clone.
#[derive(Clone)]
pub(super) struct Door {
    address: SocketAddr,
    tls: TlsConnector,
}

impl Door {
    pub(super) fn of(rig: &Rig) -> Result<Self, BenchError> {
        let client = &rig.pki().client;
        let config = tls::client_config_of(&rig.pki().ca, Some((&client.cert, &client.key)))
            .map_err(|error| BenchError::Io { what: "TLS", source: io::Error::other(error) })?;
        let address = rig.fhir().ok_or(BenchError::Ended("FHIR endpoint"))?;
        Ok(Self { address, tls: TlsConnector::from(Arc::new(config)) })
    }

    pub(super) async fn open(&self) -> Result<Client, LoadError> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let name = ServerName::IpAddress(self.address.ip().into());
        let stream = self.tls.connect(name, socket).await?;
        Ok(Client { stream, answer: Vec::with_capacity(16 * 1024) })
    }
}

/// A connection.
pub(super) struct Client {
    stream: TlsStream<TcpStream>,
    answer: Vec<u8>,
}

impl Client {
    /// Sends a request and reads its answer whole: its status and body.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Result<(u16, &[u8]), LoadError> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.answer.clear();
        let whole = timeout(PATIENCE, self.read()).await.map_err(|_| LoadError::Late)??;
        Ok((whole.status, &self.answer[whole.body_from..]))
    }

    async fn read(&mut self) -> Result<Whole, LoadError> {
        let mut head = None;
        loop {
            if let Some(Head { status, from, length }) = head
                && self.answer.len() >= from + length
            {
                return Ok(Whole { status, body_from: from });
            }
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            if self.answer.len() > ANSWER_MOST_BYTES {
                return Err(LoadError::NotAccepted);
            }
            if head.is_none() {
                head = Head::of(&self.answer);
            }
        }
    }
}

struct Whole {
    status: u16,
    body_from: usize,
}

/// The status of an answer, where its body begins, and how long that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    from: usize,
    length: usize,
}

impl Head {
    /// `None` while the head is not whole.
    fn of(bytes: &[u8]) -> Option<Self> {
        let from = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(&bytes[..from]).ok()?;
        let status = head.get(9..12)?.parse().ok()?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        Some(Self { status, from, length: length.unwrap_or(0) })
    }
}

/// Writes a GET of something below the base, or of a whole address.
pub(super) fn get(out: &mut Vec<u8>, path: &str) {
    let path = match path.find("/fhir/") {
        Some(at) => &path[at..],
        None => &format!("/fhir/{path}"),
    };
    out.extend_from_slice(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
}

/// Writes a conditional create of an Observation with an identifier.
pub(super) fn create(out: &mut Vec<u8>, system: &str, value: &str, body: &str) {
    let length = body.len();
    out.extend_from_slice(
        format!(
            "POST /fhir/Observation HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\n\
             If-None-Exist: identifier={system}%7C{value}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .as_bytes(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let answer = b"HTTP/1.1 201 Created\r\nx: y\r\nContent-Length: 12\r\n\r\nbody";
        assert_eq!(Head::of(answer), Some(Head { status: 201, from: answer.len() - 4, length: 12 }));
        assert_eq!(Head::of(&answer[..40]), None);
        let bare = b"HTTP/1.1 304 Not Modified\r\n\r\n";
        assert_eq!(Head::of(bare), Some(Head { status: 304, from: bare.len(), length: 0 }));
    }
}
