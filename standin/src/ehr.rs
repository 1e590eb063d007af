//! The stand-in EHR: an HTTPS server on the loopback that plays a FHIR R4 server and keeps its own log.
//!
//! Invariants: where client certificates are required, no answer without one of the right CA; effect, record and play are decided
//! under one lock, so the log's order is the order of effects. Numbers: [`CONNECTIONS_MAX`] connections,
//! bodies up to [`BODY_MAX`], [`HANDSHAKE_MAX`] for a handshake, [`REQUEST_MAX`] for a request to arrive.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use rustls::pki_types::pem;
use serde_json::Value;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::call::{Answer, Call, Reply};
use crate::conduct::Conduct;
use crate::exchange::{Exchange, understand_fhir};
use crate::log::{Judgement, Log, Record};
use crate::pki::{Identity, Pki};
use crate::refusal::Refusal;
use crate::script::Play;
use crate::tls::{ClientCertificates, tls_config};

/// A daemon under test opens a handful; the rest is for tests of many clients.
pub const CONNECTIONS_MAX: usize = 256;
/// A year of one patient as Observations fits; more is refused with 413.
pub const BODY_MAX: usize = 32 * 1024 * 1024;
/// A peer that does not finish its handshake gives its place up.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// The same for a request head or body that does not arrive.
pub const REQUEST_MAX: Duration = Duration::from_secs(30);

/// The types an upstream platform takes: results and where they came from, never a Patient.
const UPSTREAM_TYPES: &[&str] = &["DiagnosticReport", "Observation", "Provenance"];

/// Why the stand-in could not start.
#[derive(Debug, Error)]
pub enum EhrError {
    /// The address is taken or not ours.
    #[error("could not listen on {addr}")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A PEM file is missing or holds nothing of use.
    #[error("could not read {path}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was wrong with it.
        #[source]
        source: pem::Error,
    },
    /// The certificates do not make a server that asks for client certificates.
    #[error("the certificates are not usable")]
    Tls(#[from] rustls::Error),
    /// The CA file holds nothing to verify clients by.
    #[error("clients cannot be verified by this CA")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// Where and as whom the stand-in listens.
#[derive(Debug, Clone)]
pub struct EhrSettings {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Clients must show a certificate of this CA.
    pub ca: PathBuf,
    /// The server's own certificate and key.
    pub server: Identity,
    /// The resource types that may be written; none: all.
    pub writable: Option<&'static [&'static str]>,
    /// Whether clients must show a certificate.
    pub client_certificates: ClientCertificates,
    /// Whom it plays, whom it knows, how it authorizes.
    pub conduct: Conduct,
}

impl EhrSettings {
    /// An EHR that takes every type, on a free port of 127.0.0.1.
    pub fn ehr(pki: &Pki) -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen,
            ca: pki.ca.clone(),
            server: pki.server.clone(),
            writable: None,
            client_certificates: ClientCertificates::Required,
            conduct: Conduct::default(),
        }
    }

    /// An EHR that behaves so, on a free port of 127.0.0.1.
    pub fn playing(pki: &Pki, conduct: Conduct) -> Self {
        Self { conduct, ..Self::ehr(pki) }
    }

    /// An upstream platform: results and Provenance only, anything else is forbidden.
    pub fn upstream(pki: &Pki) -> Self {
        Self { writable: Some(UPSTREAM_TYPES), ..Self::ehr(pki) }
    }
}

/// A running stand-in; it stops when dropped.
pub struct Ehr {
    addr: SocketAddr,
    tls: TlsAcceptor,
    pub(crate) shared: Arc<Shared>,
    accept: JoinHandle<()>,
}

/// The upstream platform is the same server, started with [`EhrSettings::upstream`].
pub type Upstream = Ehr;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) started: Instant,
    exchange: Mutex<Exchange>,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Exchange> {
        // A panic while it is held is a failed test anyway; what others find is still of use to them.
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ehr {
    /// Binds and serves in the background; must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When a file cannot be read, the certificates do not fit together or the port is taken.
    pub async fn start(settings: EhrSettings) -> Result<Self, EhrError> {
        let tls = TlsAcceptor::from(Arc::new(tls_config(&settings)?));
        let (addr, listener) = bind(settings.listen).await?;
        let base_url = format!("https://{addr}/fhir");
        let exchange = Exchange::playing(base_url, settings.writable, settings.conduct);
        let shared = Arc::new(Shared { started: Instant::now(), exchange: Mutex::new(exchange) });
        let accept = tokio::spawn(accept_all(listener, tls.clone(), Arc::clone(&shared)));
        Ok(Self { addr, tls, shared, accept })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `https://127.0.0.1:{port}/fhir`.
    pub fn base_url(&self) -> String {
        self.shared.lock().base_url.clone()
    }

    /// From now on behaves so; returns the moment on the log's clock.
    pub fn play(&self, play: Play) -> Duration {
        let mut exchange = self.shared.lock();
        exchange.script.play(play);
        self.shared.started.elapsed()
    }

    /// Behaves so for the next `requests` requests it applies to, then as before.
    pub fn play_next(&self, play: Play, requests: u32) {
        self.shared.lock().script.play_next(play, requests);
    }

    /// The log's clock: time since the start.
    pub fn elapsed(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// A copy of the log so far.
    pub fn log(&self) -> Log {
        self.shared.lock().log.clone()
    }

    /// A copy of what the log keeps after this record, by its number: for one who looks again and again.
    pub fn records_after(&self, seq: u64) -> Vec<Record> {
        let exchange = self.shared.lock();
        let records = exchange.log.records();
        let after = records.partition_point(|record| record.seq <= seq);
        records[after..].to_vec()
    }

    /// What the log adds up to so far, without copying it.
    pub fn judge(&self) -> Judgement {
        self.shared.lock().log.judge()
    }

    /// The standing version of every resource.
    pub fn resources(&self) -> Vec<Value> {
        self.shared.lock().store.standing().collect()
    }

    /// Puts a resource where a server's own users would have put it, past the log: a Patient, or a result that a merge
    /// moved to another chart. It has a new version where it stood before.
    pub fn place(&self, id: &str, resource: Value) {
        let kind = resource["resourceType"].as_str().unwrap_or("Basic").to_owned();
        let now = format!("{:.3}", Timestamp::now());
        self.shared.lock().store.put(&kind, id, resource, &now);
    }

    /// From now on a request whose target or body carries one of these texts is on record as a leak:
    /// names, birth dates and addresses of the made-up people, for example.
    pub fn forbid(&self, texts: impl IntoIterator<Item = String>) {
        self.shared.lock().watch.forbid(texts);
    }

    /// Listens again at the same address after [`Self::stop`], with everything it remembers.
    ///
    /// # Errors
    /// [`EhrError::Listen`] when somebody else took the port.
    pub async fn listen_again(&mut self) -> Result<(), EhrError> {
        self.accept.abort();
        // Ends as cancelled, once the old listener is closed.
        let _ = (&mut self.accept).await;
        let (_, listener) = bind(self.addr).await?;
        self.accept = tokio::spawn(accept_all(listener, self.tls.clone(), Arc::clone(&self.shared)));
        Ok(())
    }

    /// From now on takes the client certificates that `settings` name, and shows its server certificate; cuts every
    /// connection that was made before. Whom it plays does not change.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn believe(&mut self, settings: &EhrSettings) -> Result<(), EhrError> {
        self.tls = TlsAcceptor::from(Arc::new(tls_config(settings)?));
        self.listen_again().await
    }

    /// Stops listening and cuts every connection; what happened stays readable.
    pub fn stop(&self) {
        self.accept.abort();
    }
}

impl Drop for Ehr {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn bind(addr: SocketAddr) -> Result<(SocketAddr, TcpListener), EhrError> {
    let bound = TcpListener::bind(addr).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
    bound.map_err(|source| EhrError::Listen { addr, source })
}

async fn accept_all(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Dropped with this future, which cuts what is still open.
    let mut connections = JoinSet::new();
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((socket, _)) => {
                connections.spawn(serve(socket, tls.clone(), Arc::clone(&shared), place));
            }
            // Out of descriptors, most likely: give others time to close some.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(socket: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>, _place: OwnedSemaphorePermit) {
    // Small answers must not wait for the peer's delayed ACK; a failure costs only speed.
    let _ = socket.set_nodelay(true);
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_MAX, tls.accept(socket)).await else { return };
    let service = service_fn(|request| answer(request, Arc::clone(&shared)));
    // An error here is a peer that went away or a hang-up that was played: both are in the log.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Played: the connection closes without an answer.
#[derive(Debug, Error)]
#[error("the play says to hang up")]
struct HungUp;

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, HungUp> {
    let (head, body) = request.into_parts();
    let too_long = || response(&Refusal::new(413, "too-long", "the body is too long").into());
    if body.size_hint().lower() > BODY_MAX as u64 {
        return Ok(too_long());
    }
    let body = match tokio::time::timeout(REQUEST_MAX, Limited::new(body, BODY_MAX).collect()).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Ok(too_long()),
        // The body never arrived whole, so nobody is there to be answered.
        Ok(Err(_)) | Err(_) => return Err(HungUp),
    };
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let call = Call {
        method: head.method.as_str(),
        target: head.uri.path_and_query().map_or("/", |target| target.as_str()),
        content_type: header("content-type"),
        authorization: header("authorization"),
        epic_client_id: header("epic-client-id"),
        if_none_exist: header("if-none-exist"),
        if_match: header("if-match"),
        minimal: header("prefer").is_some_and(|prefer| prefer.contains("return=minimal")),
        body: &body,
    };
    let understood = understand_fhir(&call);
    let reply = {
        let mut exchange = shared.lock();
        exchange.act(&call, understood, shared.started.elapsed(), Timestamp::now())
    };
    match reply {
        Reply::HangUp => Err(HungUp),
        Reply::Answer(answer) => {
            if !answer.delay.is_zero() {
                tokio::time::sleep(answer.delay).await;
            }
            Ok(response(&answer))
        }
    }
}

fn response(answer: &Answer) -> Response<Full<Bytes>> {
    let body = match &answer.raw {
        Some(raw) => raw.clone(),
        None if answer.body.is_null() => String::new(),
        None => answer.body.to_string(),
    };
    let has_body = !body.is_empty();
    let mut response = Response::new(Full::from(body));
    *response.status_mut() =
        hyper::StatusCode::from_u16(answer.status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let mut set = |name, value: &str| {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    };
    if has_body {
        set(CONTENT_TYPE, "application/fhir+json;charset=utf-8");
    }
    for (name, value) in &answer.headers {
        set(HeaderName::from_static(name), value);
    }
    response
}
