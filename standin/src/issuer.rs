//! An identity provider on loopback: it publishes keys over TLS, rotates them, and signs tokens that a test makes up.
//!
//! It issues whatever it is asked for, true or not; what it publishes is what counts for whoever checks.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

use crate::{
    ehr::EhrError,
    pki::Identity,
    smart::{Algorithm, ClientKey, KeyError, jwks},
    tls,
};

/// The path of the issuer, as Keycloak has it.
const REALM: &str = "/realms/hospital";
/// How long its tokens hold, in seconds.
const TOKEN_S: i64 = 300;

struct State {
    keys: Vec<Arc<ClientKey>>,
    down: bool,
    fetches: usize,
    cache_control: Option<String>,
}

/// An identity provider.
pub struct Issuer {
    addr: SocketAddr,
    state: Arc<Mutex<State>>,
    accept: JoinHandle<()>,
}

impl Issuer {
    /// Starts one that shows this certificate and has a key named `k1`.
    ///
    /// # Errors
    /// [`EhrError`] where it cannot listen or use the certificate.
    pub async fn start(shown: &Identity) -> Result<Self, EhrError> {
        let tls = TlsAcceptor::from(Arc::new(tls::server_config(shown)?));
        let wanted = SocketAddr::from(([127, 0, 0, 1], 0));
        let refused = |source| EhrError::Listen { addr: wanted, source };
        let listener = TcpListener::bind(wanted).await.map_err(refused)?;
        let addr = listener.local_addr().map_err(refused)?;
        let state = State { keys: Vec::new(), down: false, fetches: 0, cache_control: None };
        let state = Arc::new(Mutex::new(state));
        let accept = tokio::spawn(serve(listener, tls, addr, Arc::clone(&state)));
        Ok(Self { addr, state, accept })
    }

    /// `iss` of its tokens.
    pub fn url(&self) -> String {
        url(self.addr)
    }

    /// Publishes a new key in the place of all before it.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn rotate(&self, algorithm: Algorithm, kid: &str) -> Result<Arc<ClientKey>, KeyError> {
        let key = Arc::new(ClientKey::make(algorithm, kid)?);
        self.lock().keys = vec![Arc::clone(&key)];
        Ok(key)
    }

    /// Whether it answers 503 to everything from now on.
    pub fn set_down(&self, down: bool) {
        self.lock().down = down;
    }

    /// What its answers say of how long they may be kept.
    pub fn set_cache_control(&self, text: &str) {
        self.lock().cache_control = Some(text.to_owned());
    }

    /// How often its keys were asked for.
    pub fn fetches(&self) -> usize {
        self.lock().fetches
    }

    /// Claims of a good token for this audience, with these changes; `null` takes a claim away.
    pub fn claims(&self, audience: &str, changes: &Value) -> Value {
        let now = Timestamp::now().as_second();
        let mut claims = json!({"iss": self.url(), "aud": audience, "sub": "made-up-user", "azp": "made-up-app",
            "iat": now, "exp": now + TOKEN_S});
        for (name, value) in changes.as_object().into_iter().flatten() {
            if value.is_null() {
                claims.as_object_mut().map(|claims| claims.remove(name));
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

fn url(addr: SocketAddr) -> String {
    format!("https://{addr}{REALM}")
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, addr: SocketAddr, state: Arc<Mutex<State>>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(socket).await else { return };
            let service = service_fn(|request| {
                let response = answer(&request, addr, &state);
                async move { Ok::<_, Infallible>(response) }
            });
            // A peer that went away.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer(request: &Request<Incoming>, addr: SocketAddr, state: &Mutex<State>) -> Response<Full<Bytes>> {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let path = request.uri().path().strip_prefix(REALM);
    let (status, body) = match path {
        _ if state.down => (503, json!({})),
        Some("/.well-known/openid-configuration") => {
            (200, json!({"issuer": url(addr), "jwks_uri": format!("{}/keys", url(addr))}))
        }
        Some("/keys") => {
            state.fetches += 1;
            (200, jwks(state.keys.iter().map(AsRef::as_ref)))
        }
        _ => (404, json!({})),
    };
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() =
        hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(text) = state.cache_control.as_ref().and_then(|text| text.parse().ok()) {
        response.headers_mut().insert(hyper::header::CACHE_CONTROL, text);
    }
    response
}
