//! MLLP byte by byte, for what no well-behaved engine sends.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long an answer, or a close, may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// One connection, plain unless said otherwise.
pub struct Wire<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
}

impl Wire {
    pub async fn open(target: SocketAddr) -> Self {
        let stream = TcpStream::connect(target).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Over a stream that is open already.
    pub fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// What is below.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// Sends bytes as they are.
    pub async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends bytes; whether the other side still took them.
    pub async fn try_raw(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Whether the other side closes within this time.
    pub async fn is_closed_within(&mut self, patience: Duration) -> bool {
        match timeout(patience, self.stream.read_buf(&mut self.buffer)).await {
            Err(_elapsed) => false,
            Ok(read) => !matches!(read, Ok(1..)),
        }
    }

    /// Whether nothing comes, neither bytes nor an end, for so long.
    pub async fn is_silent_for(&mut self, time: Duration) -> bool {
        self.buffer.is_empty() && timeout(time, self.stream.read_buf(&mut self.buffer)).await.is_err()
    }

    /// The next acknowledgement; `None` where the connection ends first.
    pub async fn answer(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == [0x1C, 0x0D]) {
                let frame: Vec<u8> = self.buffer.drain(..end + 2).collect();
                assert_eq!(frame[0], 0x0B, "an answer begins with VT");
                return Some(String::from_utf8(frame[1..end].to_vec()).unwrap());
            }
            let read = timeout(ANSWER_MAX, self.stream.read_buf(&mut self.buffer));
            match read.await.expect("no answer in time") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Sends one message in its frame and gives back its acknowledgement.
    pub async fn exchange(&mut self, message: &[u8]) -> String {
        self.raw(&framed(message)).await;
        self.answer().await.expect("the connection ended without an answer")
    }
}

/// A message in its frame.
pub fn framed(message: &[u8]) -> Vec<u8> {
    [b"\x0B", message, b"\x1C\x0D"].concat()
}

/// MSA-1 and MSA-2.
pub fn msa(ack: &str) -> (&str, &str) {
    let msa = ack.split('\r').find(|segment| segment.starts_with("MSA")).expect("an MSA segment");
    let fields: Vec<&str> = msa.split('|').collect();
    (fields[1], fields.get(2).copied().unwrap_or_default())
}

/// ERR-3.1, the code of the fault; empty without one.
pub fn fault(ack: &str) -> &str {
    let err = ack.split('\r').find(|segment| segment.starts_with("ERR"));
    err.and_then(|err| err.split('|').nth(3)).map_or("", |code| code.split('^').next().unwrap_or_default())
}

/// Field `number` of each ERR segment.
pub fn errs(ack: &str, number: usize) -> Vec<&str> {
    let errs = ack.split('\r').filter(|segment| segment.starts_with("ERR"));
    errs.map(|err| err.split('|').nth(number).unwrap_or_default()).collect()
}
