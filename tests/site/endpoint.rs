//! The local FHIR endpoint, from a client's side: HTTP/1.1 by hand over TLS, so that a test sees every byte.

use std::{net::SocketAddr, time::Duration};

use rustls::pki_types::ServerName;
use serde_json::Value;
use standin::{pki::Identity, rig::Rig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{PATIENCE, secure};

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// Names in small letters, in order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The code of the OperationOutcome that it must be.
    pub fn code(&self) -> String {
        let outcome = self.json();
        assert_eq!(outcome["resourceType"], "OperationOutcome", "{outcome}");
        assert_eq!(self.header("content-type"), Some("application/fhir+json"));
        outcome["issue"][0]["code"].as_str().unwrap().to_owned()
    }
}

/// A client that shows this certificate, or none.
pub fn client(rig: &Rig, shown: Option<&Identity>) -> TlsConnector {
    secure::sender(&rig.pki().ca, shown)
}

/// A connection.
pub struct Talk(pub TlsStream<TcpStream>);

impl Talk {
    pub async fn open(client: &TlsConnector, target: SocketAddr) -> Self {
        let stream = TcpStream::connect(target).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        Self(client.connect(name, stream).await.unwrap())
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// Sends a request without a body; `lines` are further headers.
    pub async fn ask(&mut self, method: &str, path: &str, lines: &str) {
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n").as_bytes()).await;
    }

    /// Sends a request with a resource and reads its answer; `lines` are further headers.
    pub async fn give(&mut self, method: &str, path: &str, lines: &str, body: &str) -> Reply {
        let kind = if lines.to_lowercase().contains("content-type:") {
            ""
        } else {
            "Content-Type: application/fhir+json\r\n"
        };
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{kind}Content-Length: {length}\r\n{lines}\r\n"
        );
        self.send(&[head.as_bytes(), body.as_bytes()].concat()).await;
        self.reply().await.expect("an answer")
    }

    /// Asks and reads the answer.
    pub async fn get(&mut self, path: &str) -> Reply {
        self.ask("GET", path, "").await;
        self.reply().await.expect("an answer")
    }

    /// The next answer; `None` where the connection ended before one.
    pub async fn reply(&mut self) -> Option<Reply> {
        timeout(PATIENCE, self.read()).await.expect("an answer in time")
    }

    async fn read(&mut self) -> Option<Reply> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match self.0.read(&mut byte).await {
                Ok(1) => head.push(byte[0]),
                _ => return None,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
        self.0.read_exact(&mut body).await.ok()?;
        Some(Reply { status, headers, body })
    }

    /// Whether the other side ends the connection within this time, without another byte.
    pub async fn ends_within(&mut self, patience: Duration) -> bool {
        let mut byte = [0];
        matches!(timeout(patience, self.0.read(&mut byte)).await, Ok(Ok(0) | Err(_)))
    }
}

/// One request on a connection of its own.
pub async fn ask(client: &TlsConnector, rig: &Rig, method: &str, path: &str, lines: &str) -> Reply {
    let mut talk = Talk::open(client, rig.fhir().unwrap()).await;
    talk.ask(method, path, lines).await;
    talk.reply().await.unwrap()
}

/// The header of a token.
pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}
