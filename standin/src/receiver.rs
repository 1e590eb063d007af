//! A scripted MLLP receiver: takes messages, and answers each as it is told to, well or badly.
//!
//! Its log is the judge of a sender: what came, on which connection, in which order, and when each connection
//! ended. It frames by itself (HL7 MLLP Release 1), so that a fault in the product's framing cannot hide.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::{JoinHandle, JoinSet},
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    ehr::{EhrError, EhrSettings},
    engine::take_frame,
    pki::Pki,
    tls::tls_config,
};

/// A sender under test sends messages of a few kilobytes; one that sends this much without a frame is at fault.
const FRAME_MAX: usize = 1024 * 1024;

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Which connection, from 0.
    pub connection: usize,
    /// MSH-10.
    pub control_id: String,
    /// How often it came before.
    pub repetition: usize,
    /// The whole message.
    pub bytes: Vec<u8>,
    /// When.
    pub at: Instant,
}

/// One thing to do in answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write these bytes.
    Write(Vec<u8>),
    /// Let time pass; the connection reads nothing meanwhile.
    Wait(Duration),
    /// Close the connection.
    Close,
}

/// What a receiver does with each message.
pub type Script = Box<dyn FnMut(&Heard) -> Vec<Step> + Send>;

/// What happened, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection was accepted.
    Opened(usize),
    /// A message came.
    Message(Heard),
    /// A connection ended, by the sender or by the script.
    Closed(usize),
}

/// A framed acknowledgement with this code and MSA-2.
pub fn answer(code: &str, control_id: &str) -> Step {
    framed(&format!("MSH|^~\\&|PEER|P|BOX|B|20260301||ACK|P1|P|2.5.1\rMSA|{code}|{control_id}\r"))
}

/// Any text in a frame.
pub fn framed(text: &str) -> Step {
    Step::Write([b"\x0B", text.as_bytes(), b"\x1C\r"].concat())
}

struct Shared {
    log: Mutex<Vec<Event>>,
    script: Mutex<Script>,
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Vec<Event>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The receiver; dropping it cuts everything.
pub struct Receiver {
    at: SocketAddr,
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
    accept: Option<JoinHandle<()>>,
    /// Bound, and refusing connections: keeps the port while it does not listen, so that nobody else is given it.
    kept: Option<TcpSocket>,
}

/// A socket that has an address and does not listen there.
fn kept(at: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    Ok(socket)
}

impl Receiver {
    /// Listens on a free loopback port, without TLS, and plays `script`.
    ///
    /// # Errors
    /// Where no port can be had.
    pub async fn start(script: impl FnMut(&Heard) -> Vec<Step> + Send + 'static) -> io::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), script).await
    }

    /// The same on an address of the caller's choice.
    ///
    /// # Errors
    /// Where the port is taken.
    pub async fn start_at(
        at: SocketAddr,
        script: impl FnMut(&Heard) -> Vec<Step> + Send + 'static,
    ) -> io::Result<Self> {
        let mut receiver = Self::silent(at, script);
        receiver.listen(false).await?;
        Ok(receiver)
    }

    /// The same over TLS, for senders with a certificate of this authority.
    ///
    /// # Errors
    /// [`EhrError`] where the certificates cannot be used or no port can be had.
    pub async fn start_tls(
        pki: &Pki,
        script: impl FnMut(&Heard) -> Vec<Step> + Send + 'static,
    ) -> Result<Self, EhrError> {
        let tls = TlsAcceptor::from(Arc::new(tls_config(&EhrSettings::ehr(pki))?));
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut receiver = Self::silent(addr, script);
        receiver.tls = Some(tls);
        receiver.listen(false).await.map_err(|source| EhrError::Listen { addr, source })?;
        Ok(receiver)
    }

    fn silent(at: SocketAddr, script: impl FnMut(&Heard) -> Vec<Step> + Send + 'static) -> Self {
        let shared = Arc::new(Shared { log: Mutex::default(), script: Mutex::new(Box::new(script)) });
        Self { at, shared, tls: None, accept: None, kept: None }
    }

    /// Listens again, on the same address. A `serial` receiver looks at a connection only after the one before it
    /// ended: what comes on it was sent after that end.
    ///
    /// # Errors
    /// Where the port is taken.
    pub async fn listen(&mut self, serial: bool) -> io::Result<()> {
        self.stop().await;
        let listener = TcpListener::bind(self.at).await?;
        self.kept = None;
        self.at = listener.local_addr()?;
        let (shared, tls) = (Arc::clone(&self.shared), self.tls.clone());
        self.accept = Some(tokio::spawn(accept(listener, shared, tls, serial)));
        Ok(())
    }

    /// Cuts every connection and refuses new ones.
    pub async fn stop(&mut self) {
        if let Some(accept) = self.accept.take() {
            accept.abort();
            // Cancelled, as asked; what matters is that its sockets are gone.
            let _cancelled = accept.await;
            self.kept = kept(self.at).ok();
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.at
    }

    /// Plays another script from now on.
    pub fn play(&self, script: impl FnMut(&Heard) -> Vec<Step> + Send + 'static) {
        *self.shared.script.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(script);
    }

    /// Everything that happened.
    pub fn log(&self) -> Vec<Event> {
        self.shared.log().clone()
    }

    /// The messages among it.
    pub fn messages(&self) -> Vec<Heard> {
        let message = |event| match event {
            Event::Message(heard) => Some(heard),
            Event::Opened(_) | Event::Closed(_) => None,
        };
        self.log().into_iter().filter_map(message).collect()
    }

    /// The control ids in the order in which each first came.
    ///
    /// # Errors
    /// The control id of a repetition whose bytes were not those of the first.
    pub fn first_arrivals(&self) -> Result<Vec<String>, String> {
        let mut first: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut order = Vec::new();
        for heard in self.messages() {
            match first.get(&heard.control_id) {
                Some(bytes) if *bytes != heard.bytes => return Err(heard.control_id),
                Some(_) => {}
                None => {
                    order.push(heard.control_id.clone());
                    first.insert(heard.control_id, heard.bytes);
                }
            }
        }
        Ok(order)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(accept) = &self.accept {
            accept.abort();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, tls: Option<TlsAcceptor>, serial: bool) {
    // Dropped with this future, which cuts what is still open.
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let number = {
            let mut log = shared.log();
            let number = log.iter().filter(|event| matches!(event, Event::Opened(_))).count();
            log.push(Event::Opened(number));
            number
        };
        let serving = serve(socket, tls.clone(), number, Arc::clone(&shared));
        if serial {
            serving.await;
        } else {
            connections.spawn(serving);
        }
    }
}

async fn serve(socket: TcpStream, tls: Option<TlsAcceptor>, number: usize, shared: Arc<Shared>) {
    // Small answers must not wait for the peer's delayed ACK; a failure costs only speed.
    let _ = socket.set_nodelay(true);
    match tls {
        None => play(socket, number, &shared).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(socket).await {
                play(stream, number, &shared).await;
            }
        }
    }
    shared.log().push(Event::Closed(number));
}

/// Until the sender closes or the script does.
async fn play(mut stream: impl AsyncRead + AsyncWrite + Unpin, number: usize, shared: &Shared) {
    let mut buffer = Vec::new();
    loop {
        while let Some(bytes) = take_frame(&mut buffer) {
            for step in hear(shared, number, bytes) {
                let done = match step {
                    Step::Write(bytes) => stream.write_all(&bytes).await.is_ok(),
                    Step::Wait(time) => {
                        sleep(time).await;
                        true
                    }
                    Step::Close => false,
                };
                if !done {
                    return;
                }
            }
        }
        if buffer.len() > FRAME_MAX || !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
            return;
        }
    }
}

/// Writes a message down and asks the script about it.
fn hear(shared: &Shared, connection: usize, bytes: Vec<u8>) -> Vec<Step> {
    let heard = {
        let mut log = shared.log();
        let control_id = control_id(&bytes);
        let same = |event: &&Event| matches!(event, Event::Message(heard) if heard.control_id == control_id);
        let repetition = log.iter().filter(same).count();
        let heard = Heard { connection, control_id, repetition, bytes, at: Instant::now() };
        log.push(Event::Message(heard.clone()));
        heard
    };
    (shared.script.lock().unwrap_or_else(PoisonError::into_inner))(&heard)
}

/// MSH-10 by the separator that the message names; empty where there is none.
fn control_id(message: &[u8]) -> String {
    let separator = message.get(3).copied().unwrap_or(b'|');
    let segment = message.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let field = segment.split(|byte| *byte == separator).nth(9).unwrap_or_default();
    String::from_utf8_lossy(field).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_answers_by_its_script_and_writes_down_what_came_and_when_connections_ended() {
        let script = |heard: &Heard| match heard.repetition {
            0 => vec![answer("AA", &heard.control_id)],
            _ => vec![Step::Close],
        };
        let receiver = Receiver::start(script).await.unwrap();
        let mut stream = TcpStream::connect(receiver.address()).await.unwrap();
        for _ in 0..2 {
            stream.write_all(b"\x0BMSH|^~\\&|A|B|C|D|1||ACK|X7|P|2.5.1\r\x1C\r").await.unwrap();
        }
        let mut told = Vec::new();
        stream.read_to_end(&mut told).await.unwrap();
        assert!(String::from_utf8(told).unwrap().contains("\rMSA|AA|X7\r"));
        let log = receiver.log();
        let shape: Vec<_> = log
            .iter()
            .map(|event| match event {
                Event::Opened(number) => format!("open {number}"),
                Event::Message(heard) => format!("{} {}", heard.control_id, heard.repetition),
                Event::Closed(number) => format!("end {number}"),
            })
            .collect();
        assert_eq!(shape, ["open 0", "X7 0", "X7 1", "end 0"]);
        assert_eq!(receiver.first_arrivals().unwrap(), ["X7"]);
    }
}
