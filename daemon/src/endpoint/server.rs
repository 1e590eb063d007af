//! The socket of the endpoint: a permit before every accept, the peer's address before every byte, TLS, then HTTP/1.1.
//!
//! Invariants: a connection takes a permit before it is accepted and gives it back however it ends; its certificate is looked
//! at at the handshake, and a connection lasts at most [`CONNECTION_LIFE`], so a certificate that was revoked is of no use for
//! longer; new connections get the certificates in force. At the drain nothing is accepted any more, and what is under way is
//! answered.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_rustls::server::TlsStream;

use super::{
    request::{Gate, Link},
    who::{Certificate, Verified},
    wire::{Pace, Wire},
};
use crate::{
    conditions::{Board, Kind},
    config::{FHIR_LISTENER, FhirListener},
    drain::Draining,
    listener::{
        admission::{Admission, Peers, is_allowed},
        bind,
        handshake::{Failed, shake},
        refusal::{Limit, LineBound},
        socket,
    },
    telemetry::Metric,
    time,
    tls::{Served, TlsError},
};

/// Pause after a failed accept, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Between two looks whether all connections are still taken.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After this a connection ends with its next answer.
const CONNECTION_LIFE: Duration = Duration::from_secs(3600);
/// The most bytes of a head: a token of 16 KiB, a search and what proxies add.
const HEAD_MOST_BYTES: usize = 64 * 1024;
/// The most headers.
const HEADERS_MOST: usize = 100;

/// Why the endpoint cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The address could not be bound.
    #[error("fhir endpoint {listen}: {source}; {}", bind::step(.source))]
    Bind {
        /// The address.
        listen: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Its certificates cannot be used.
    #[error("fhir endpoint {listen}: {source}")]
    Tls {
        /// The address.
        listen: SocketAddr,
        /// Why.
        source: TlsError,
    },
}

/// The endpoint, bound.
pub struct Endpoint {
    socket: TcpListener,
    served: Arc<Served>,
    settings: Arc<FhirListener>,
    permits: Arc<Semaphore>,
    peers: Peers,
    conditions: Board,
    lines: Arc<LineBound>,
}

impl Endpoint {
    /// Binds, and reads the certificates.
    ///
    /// # Errors
    /// [`EndpointError`]; nothing is bound then.
    pub async fn open(settings: FhirListener, conditions: Board) -> Result<Self, EndpointError> {
        let listen = settings.listen;
        let served = Served::open(FHIR_LISTENER, &settings.tls)
            .map_err(|source| EndpointError::Tls { listen, source })?;
        let socket =
            TcpListener::bind(listen).await.map_err(|source| EndpointError::Bind { listen, source })?;
        Ok(Self {
            socket,
            served,
            permits: Arc::new(Semaphore::new(usize::from(settings.max_connections))),
            peers: Peers::new(settings.max_connections_per_peer),
            settings: Arc::new(settings),
            conditions,
            lines: Arc::default(),
        })
    }

    /// Its certificates, for who looks after them.
    pub fn served(&self) -> &Arc<Served> {
        &self.served
    }

    /// The address bound, which tells the port where the configuration names 0.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap_or(self.settings.listen)
    }

    /// Serves until the drain begins, then waits for what is under way, and closes the audit log behind it.
    pub async fn serve(self, gate: Arc<Gate>, mut draining: Draining) {
        let mut connections = JoinSet::new();
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let accepted = tokio::select! {
                accepted = self.accept() => accepted,
                _ = look.tick() => {
                    self.tell_full();
                    None
                }
                () = draining.begun() => break,
            };
            while connections.try_join_next().is_some() {}
            let Some((stream, peer, admission)) = accepted else { continue };
            let (served, settings) = (Arc::clone(&self.served), Arc::clone(&self.settings));
            let (gate, draining, lines) = (Arc::clone(&gate), draining.clone(), Arc::clone(&self.lines));
            connections.spawn(async move {
                if let Some(stream) = shaken(stream, peer, &served, &settings, &lines).await {
                    converse(stream, peer, &settings, &gate, draining).await;
                }
                drop(admission);
            });
        }
        // Who comes now is refused at once, and does not wait for an answer that nobody will give.
        drop(self.socket);
        while connections.join_next().await.is_some() {}
        gate.auditor.close();
    }

    async fn accept(&self) -> Option<(TcpStream, IpAddr, Admission)> {
        if self.permits.available_permits() == 0 {
            self.tell_full();
        }
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        let (stream, peer) = match self.socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(left_out) = self.lines.admit() {
                    tracing::warn!(listener = FHIR_LISTENER, %error, left_out, "accept failed");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                return None;
            }
        };
        let peer = peer.ip().to_canonical();
        if !is_allowed(&self.settings.peers, peer) {
            refuse(Limit::PeerAddress, peer, &"the address is not in allow_peers", &self.lines);
            return None;
        }
        let Some(place) = self.peers.admit(peer) else {
            refuse(Limit::PerPeer, peer, &"too many connections of this peer", &self.lines);
            return None;
        };
        socket::prepare(&stream);
        let open = metrics::gauge!(Metric::EndpointConnections.name());
        open.increment(1.0);
        Some((stream, peer, Admission { _permit: permit, _place: place, open }))
    }

    fn tell_full(&self) {
        if self.permits.available_permits() > 0 {
            self.conditions.clear(Kind::ConnectionsFull, FHIR_LISTENER);
            return;
        }
        let most = self.settings.max_connections;
        let detail = format!(
            "all {most} connections are taken, further ones wait; look who keeps them, or raise max_connections of [fhir]"
        );
        self.conditions.raise(Kind::ConnectionsFull, FHIR_LISTENER, detail, time::now_ms());
    }
}

/// The TLS session, within its deadline.
async fn shaken(
    stream: TcpStream,
    peer: IpAddr,
    served: &Served,
    settings: &FhirListener,
    lines: &LineBound,
) -> Option<TlsStream<TcpStream>> {
    match timeout(settings.handshake_timeout, shake(stream, served, &[])).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(Failed::Gone)) => {}
        Ok(Err(Failed::Refused(limit, what))) => refuse(limit, peer, &what, lines),
        Err(_elapsed) => {
            refuse(Limit::HandshakeTimeout, peer, &"the TLS handshake was not over in time", lines);
        }
    }
    None
}

/// Requests and answers, until one side ends it.
async fn converse(
    stream: TlsStream<TcpStream>,
    peer: IpAddr,
    settings: &FhirListener,
    gate: &Arc<Gate>,
    mut draining: Draining,
) {
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certificate = shown.map(Certificate::of);
    let pace = Pace::new();
    let link = Arc::new(Link { peer, certificate, verified: Verified::default(), pace: Arc::clone(&pace) });
    let wire = TokioIo::new(Wire::new(stream, pace, settings.header_timeout));
    let service = service_fn(|request| {
        let (gate, link) = (Arc::clone(gate), Arc::clone(&link));
        async move { Ok::<_, std::convert::Infallible>(gate.handle(&link, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // From one answer to the whole of the next head: the wire bounds the head itself.
        .header_read_timeout(settings.idle_timeout)
        .max_buf_size(HEAD_MOST_BYTES)
        .max_headers(HEADERS_MOST)
        .keep_alive(true)
        .serve_connection(wire, service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // How it ended is of no use to anyone: clients come and go.
        _ended = connection.as_mut() => return,
        () = draining.begun() => {}
        () = tokio::time::sleep(CONNECTION_LIFE) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ended = connection.await;
}

fn refuse(limit: Limit, peer: IpAddr, detail: &dyn std::fmt::Display, lines: &LineBound) {
    Metric::EndpointRefused.add(1, &[("reason", limit.word().to_owned())]);
    if let Some(left_out) = lines.admit() {
        tracing::warn!(listener = FHIR_LISTENER, limit = limit.word(), %peer, %detail, left_out, "refused");
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
