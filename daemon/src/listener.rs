//! Listening: a permit before every accept, a bound per peer, one task per connection.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    config::MllpListener,
    drain::Draining,
    feed::Feed,
    intake::Intake,
    session::{self, Bounds, End},
    telemetry::Metric,
    tls::{self, TlsError},
};

/// How long a TLS handshake may take.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Pause after a failed accept (too many open files, for instance), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address could not be bound.
    #[error("mllp listener {listen}: {source}; is the port taken, or below 1024 without the right to it?")]
    Bind {
        /// The address.
        listen: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Its certificates cannot be used.
    #[error("mllp listener {listen}: {source}")]
    Tls {
        /// The address.
        listen: SocketAddr,
        /// Why.
        source: TlsError,
    },
}

/// A listener that is bound.
pub struct Listener {
    socket: TcpListener,
    acceptor: Option<TlsAcceptor>,
    settings: MllpListener,
    permits: Arc<Semaphore>,
    peers: Peers,
}

impl Listener {
    /// Binds, and reads the certificates where there are any.
    ///
    /// # Errors
    /// [`ListenError`]; nothing is bound then.
    pub async fn open(settings: MllpListener) -> Result<Self, ListenError> {
        let listen = settings.listen;
        let acceptor = match &settings.tls {
            None => None,
            Some(files) => {
                let config =
                    tls::server_config(files).map_err(|source| ListenError::Tls { listen, source })?;
                Some(TlsAcceptor::from(Arc::new(config)))
            }
        };
        let socket =
            TcpListener::bind(listen).await.map_err(|source| ListenError::Bind { listen, source })?;
        let permits = Arc::new(Semaphore::new(usize::from(settings.limits.max_connections)));
        let peers = Peers::new(settings.limits.max_connections_per_peer);
        Ok(Self { socket, acceptor, settings, permits, peers })
    }

    /// The address bound, which tells the port where the configuration names 0.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap_or(self.settings.listen)
    }

    /// Serves until the drain begins, then waits for the connections to end.
    pub async fn serve(self, intake: Intake, mut draining: Draining) {
        let mut sessions = JoinSet::new();
        let feed = Feed::new(&self.settings.name, &self.settings.site);
        let bounds = Arc::new(Bounds {
            max_frame_bytes: self.settings.limits.max_frame_bytes,
            frame_timeout: self.settings.limits.frame_timeout,
            idle_timeout: self.settings.limits.idle_timeout,
        });
        loop {
            let accepted = tokio::select! {
                accepted = self.accept() => accepted,
                () = draining.begun() => break,
            };
            while sessions.try_join_next().is_some() {}
            let Some((stream, admission)) = accepted else { continue };
            let connection = Connection {
                stream,
                acceptor: self.acceptor.clone(),
                feed: feed.clone(),
                bounds: Arc::clone(&bounds),
                intake: intake.clone(),
                draining: draining.clone(),
            };
            sessions.spawn(async move {
                connection.run().await;
                drop(admission);
            });
        }
        while sessions.join_next().await.is_some() {}
    }

    /// Waits for a permit, then for a connection; `None` where the peer has too many already.
    async fn accept(&self) -> Option<(TcpStream, Admission)> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        let (stream, peer) = match self.socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(listener = %self.settings.name, %error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                return None;
            }
        };
        let Some(place) = self.peers.admit(peer.ip()) else {
            let labels = [("listener", self.settings.name.clone()), ("limit", "per-peer".to_owned())];
            Metric::MllpRefused.add(1, &labels);
            tracing::warn!(listener = %self.settings.name, peer = %peer.ip(), "refused: too many connections of this peer");
            return None;
        };
        // An acknowledgement is one small write that someone waits for.
        let _best_effort = stream.set_nodelay(true);
        let labels = [("listener", self.settings.name.clone())];
        Metric::MllpConnections.add(1, &labels);
        let open = metrics::gauge!(Metric::MllpOpen.name(), &labels);
        open.increment(1.0);
        Some((stream, Admission { _permit: permit, _place: place, open }))
    }
}

struct Connection {
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    feed: Feed,
    bounds: Arc<Bounds>,
    intake: Intake,
    draining: Draining,
}

impl Connection {
    async fn run(self) {
        let source = Arc::clone(&self.feed.source);
        let end = match self.acceptor {
            None => session::serve(self.stream, self.feed, &self.bounds, &self.intake, self.draining).await,
            Some(acceptor) => match timeout(HANDSHAKE_DEADLINE, acceptor.accept(self.stream)).await {
                Ok(Ok(stream)) => {
                    session::serve(stream, self.feed, &self.bounds, &self.intake, self.draining).await
                }
                Ok(Err(error)) => {
                    tracing::warn!(listener = %source, %error, "TLS handshake failed");
                    return;
                }
                Err(_elapsed) => End::Deadline,
            },
        };
        if !matches!(end, End::PeerClosed | End::Draining) {
            tracing::info!(listener = %source, ?end, "connection ended");
        }
    }
}

/// What a connection holds while it is open.
struct Admission {
    _permit: OwnedSemaphorePermit,
    _place: Place,
    open: metrics::Gauge,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}

/// Connections open, by peer address.
#[derive(Clone, Debug)]
struct Peers {
    most: u16,
    open: Arc<Mutex<HashMap<IpAddr, u16>>>,
}

/// A peer's place, given back when dropped.
#[derive(Debug)]
struct Place {
    peers: Peers,
    ip: IpAddr,
}

impl Peers {
    fn new(most: u16) -> Self {
        Self { most, open: Arc::default() }
    }

    fn admit(&self, ip: IpAddr) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(ip).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { peers: self.clone(), ip })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.peers.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_gets_its_places_back_when_connections_end() {
        let peers = Peers::new(2);
        let ip: IpAddr = "127.0.0.1".parse().unwrap();
        let (first, second) = (peers.admit(ip), peers.admit(ip));
        assert!(first.is_some() && second.is_some());
        assert!(peers.admit(ip).is_none());
        drop(first);
        assert!(peers.admit(ip).is_some());
        drop(second);
        assert!(peers.open.lock().unwrap().is_empty());
    }
}
