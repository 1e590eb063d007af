//! A client of HTTP/1.1 over TLS that does not look at what it sends.

use std::{net::SocketAddr, time::Duration};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long an answer may take: longer than the endpoint's own deadlines.
const ANSWER_MOST: Duration = Duration::from_secs(45);

/// An answer.
pub struct Reply {
    pub status: u16,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A client, with a connection that is made when it is needed.
pub struct Client {
    connector: TlsConnector,
    target: SocketAddr,
    open: Option<TlsStream<TcpStream>>,
    pub connections: u64,
}

impl Client {
    pub fn new(connector: TlsConnector, target: SocketAddr) -> Self {
        Self { connector, target, open: None, connections: 0 }
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// That there was none.
    pub async fn exchange(&mut self, bytes: &[u8], is_head: bool) -> Result<Reply, String> {
        // A connection may have ended since its last answer; a new one may not.
        for _ in 0..2 {
            let is_new = self.open.is_none();
            if is_new {
                self.open = Some(self.connect().await?);
                self.connections += 1;
            }
            let Some(stream) = &mut self.open else { continue };
            match timeout(ANSWER_MOST, exchanged(stream, bytes, is_head)).await {
                Err(_) => return Err("no answer in time".to_owned()),
                Ok(Some(reply)) => {
                    if reply.header("connection").is_some_and(|word| word.eq_ignore_ascii_case("close")) {
                        self.open = None;
                    }
                    return Ok(reply);
                }
                Ok(None) => self.open = None,
            }
            if is_new {
                break;
            }
        }
        Err("the connection ended without an answer".to_owned())
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>, String> {
        let stream = TcpStream::connect(self.target).await.map_err(|error| format!("connecting: {error}"))?;
        let name = ServerName::try_from("localhost").unwrap();
        self.connector.connect(name, stream).await.map_err(|error| format!("handshake: {error}"))
    }
}

/// `None` where the connection ended before the answer did.
async fn exchanged(stream: &mut TlsStream<TcpStream>, bytes: &[u8], is_head: bool) -> Option<Reply> {
    // What is refused by its head is answered while its body is still on the way.
    let _ended = stream.write_all(bytes).await;
    let _ended = stream.flush().await;
    loop {
        // "100 Continue" is no answer yet.
        match read(stream, is_head).await? {
            Reply { status: 100..200, .. } => {}
            reply => return Some(reply),
        }
    }
}

async fn read(stream: &mut TlsStream<TcpStream>, is_head: bool) -> Option<Reply> {
    let mut head = Vec::with_capacity(1024);
    while !head.ends_with(b"\r\n\r\n") {
        // One byte at a time, of what TLS has read already.
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.split("\r\n");
    let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, length)| length.parse().unwrap());
    let is_bare = is_head || matches!(status, 100..200 | 204 | 304);
    let mut body = vec![0; if is_bare { 0 } else { length }];
    stream.read_exact(&mut body).await.ok()?;
    Some(Reply { status, headers, body })
}
