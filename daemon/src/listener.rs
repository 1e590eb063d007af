//! Listening: a permit before every accept, the peer's address before every byte, one task per connection.
//!
//! Invariants: a connection takes a permit before it is accepted, so at the limit the rest waits in the system's
//! queue, which the condition `connections-full` shows; its permit, its peer's place and its memory come back
//! when its task ends, however it ends. Checked in this order, the cheapest first: address, share of the peer, TLS,
//! certificate, its name; senders are looked at message by message (`sender`).

pub(crate) mod admission;
pub(crate) mod bind;
pub(crate) mod handshake;
pub mod refusal;
pub mod room;
pub(crate) mod sender;
pub(crate) mod socket;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use self::{
    admission::{Admission, Peers, is_allowed},
    handshake::Failed,
    refusal::{Limit, LineBound},
    room::Rooms,
};
use crate::{
    conditions::{Board, Kind},
    config::MllpListener,
    drain::Draining,
    feed::Feed,
    intake::Intake,
    session::{self, Bounds, End},
    telemetry::Metric,
    time,
    tls::{Served, TlsError},
};

/// Pause after a failed accept (too many open files, for instance), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A listener that was full stays so on the board until a look finds it is not: a condition that comes and goes with
/// every connection would flood the log.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address could not be bound.
    #[error("mllp listener {listen}: {source}; {}", bind::step(.source))]
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
    served: Option<Arc<Served>>,
    settings: Arc<MllpListener>,
    permits: Arc<Semaphore>,
    peers: Peers,
    feed: Feed,
    accept_lines: LineBound,
}

/// What all listeners share.
#[derive(Clone)]
pub struct Shared {
    /// Memory for messages.
    pub rooms: Rooms,
    /// Where it is told that all connections are taken.
    pub conditions: Board,
}

impl Listener {
    /// Binds, and reads the certificates where there are any.
    ///
    /// # Errors
    /// [`ListenError`]; nothing is bound then.
    pub async fn open(settings: MllpListener) -> Result<Self, ListenError> {
        let listen = settings.listen;
        let served = match &settings.tls {
            None => None,
            Some(files) => Some(
                Served::open(&settings.name, files).map_err(|source| ListenError::Tls { listen, source })?,
            ),
        };
        let socket =
            TcpListener::bind(listen).await.map_err(|source| ListenError::Bind { listen, source })?;
        let permits = Arc::new(Semaphore::new(usize::from(settings.limits.max_connections)));
        let peers = Peers::new(settings.limits.max_connections_per_peer);
        let feed = Feed::of(&settings);
        let settings = Arc::new(settings);
        Ok(Self { socket, served, settings, permits, peers, feed, accept_lines: LineBound::default() })
    }

    /// Its certificates, where it has any.
    pub fn served(&self) -> Option<&Arc<Served>> {
        self.served.as_ref()
    }

    /// The address bound, which tells the port where the configuration names 0.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap_or(self.settings.listen)
    }

    /// What it knows of its senders, and counts of them.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Serves until the drain begins, then waits for the connections to end.
    pub async fn serve(self, intake: Intake, shared: Shared, mut draining: Draining) {
        let mut sessions = JoinSet::new();
        let limits = &self.settings.limits;
        let bounds = Arc::new(Bounds {
            max_frame_bytes: limits.max_frame_bytes,
            frame_timeout: limits.frame_timeout,
            idle_timeout: limits.idle_timeout,
            write_timeout: limits.write_timeout,
            memory_timeout: limits.memory_timeout,
        });
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&shared.conditions) => accepted,
                _ = look.tick() => {
                    self.tell_full(&shared.conditions);
                    None
                }
                () = draining.begun() => break,
            };
            while sessions.try_join_next().is_some() {}
            let Some((stream, peer, admission)) = accepted else { continue };
            let connection = Connection {
                stream,
                peer,
                served: self.served.clone(),
                settings: self.settings.clone(),
                feed: self.feed.clone(),
                bounds: Arc::clone(&bounds),
                intake: intake.clone(),
                rooms: shared.rooms.clone(),
                draining: draining.clone(),
            };
            sessions.spawn(async move {
                connection.run().await;
                drop(admission);
            });
        }
        while sessions.join_next().await.is_some() {}
    }

    /// Waits for a permit, then for a connection; `None` where that peer is not let in.
    async fn accept(&self, conditions: &Board) -> Option<(TcpStream, IpAddr, Admission)> {
        if self.permits.available_permits() == 0 {
            self.tell_full(conditions);
        }
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        let (stream, peer) = match self.socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(left_out) = self.accept_lines.admit() {
                    tracing::warn!(listener = %self.settings.name, %error, left_out, "accept failed");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                return None;
            }
        };
        // An IPv4 peer of an IPv6 socket is an IPv4 peer.
        let peer = peer.ip().to_canonical();
        let access = &self.settings.access;
        if !is_allowed(&access.peers, peer) {
            self.feed.refuse(Limit::PeerAddress, &peer, &"the address is not in allow_peers");
            return None;
        }
        let Some(place) = self.peers.admit(peer) else {
            self.feed.refuse(Limit::PerPeer, &peer, &"too many connections of this peer");
            return None;
        };
        socket::prepare(&stream);
        let labels = [("listener", self.settings.name.clone())];
        Metric::MllpConnections.add(1, &labels);
        let open = metrics::gauge!(Metric::MllpOpen.name(), &labels);
        open.increment(1.0);
        Some((stream, peer, Admission { _permit: permit, _place: place, open }))
    }

    /// Puts on the board, or takes from it, that all connections are taken.
    fn tell_full(&self, conditions: &Board) {
        let name = &self.settings.name;
        if self.permits.available_permits() > 0 {
            conditions.clear(Kind::ConnectionsFull, name);
            return;
        }
        let most = self.settings.limits.max_connections;
        let detail = format!(
            "all {most} connections are taken, further ones wait; look who keeps them, or raise max_connections"
        );
        conditions.raise(Kind::ConnectionsFull, name, detail, time::now_ms());
    }
}

struct Connection {
    stream: TcpStream,
    peer: IpAddr,
    served: Option<Arc<Served>>,
    settings: Arc<MllpListener>,
    feed: Feed,
    bounds: Arc<Bounds>,
    intake: Intake,
    rooms: Rooms,
    draining: Draining,
}

impl Connection {
    async fn run(self) {
        let (peer, feed) = (self.peer, self.feed.clone());
        let room = self.rooms.enter(self.bounds.max_frame_bytes);
        let end = match &self.served {
            None => {
                session::serve(self.stream, self.feed, &self.bounds, &self.intake, room, self.draining).await
            }
            Some(served) => {
                let subjects = &self.settings.access.subjects;
                let shaken = handshake::shake(self.stream, served, subjects);
                let stream = match timeout(self.settings.limits.handshake_timeout, shaken).await {
                    Ok(Ok(stream)) => stream,
                    Ok(Err(Failed::Gone)) => return,
                    Ok(Err(Failed::Refused(limit, what))) => return feed.refuse(limit, &peer, &what),
                    Err(_elapsed) => {
                        let what = "the TLS handshake was not over in time";
                        return feed.refuse(Limit::HandshakeTimeout, &peer, &what);
                    }
                };
                session::serve(stream, self.feed, &self.bounds, &self.intake, room, self.draining).await
            }
        };
        match (end.limit(), end) {
            (Some(limit), end) => feed.refuse(limit, &peer, &end),
            (None, End::PeerClosed | End::Draining) => {}
            (None, end) => feed.tell_end(&peer, &end),
        }
    }
}
