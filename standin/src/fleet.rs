//! A fleet's upstream on loopback: it takes check-ins over mutual TLS, keeps the latest of each box, knows the furthest audit
//! head, and grants the lease of a box id to one incarnation.
//!
//! It is written from docs/fleet.md, as anybody's upstream would be, and shares nothing with the product.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use aws_lc_rs::{
    digest,
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

use crate::{
    ehr::{EhrError, EhrSettings},
    pki::Pki,
    smart::KeyError,
    tls,
};

/// A lease is fresh so long after its holder was last heard.
pub const LEASE: Duration = Duration::from_secs(300);
/// A check-in of a superseded incarnation that comes so soon after its successor's first may have been on its way.
pub const GRACE: Duration = Duration::from_secs(30);
/// Bytes of a check-in.
const CHECK_IN_MOST: usize = 256 * 1024;

/// How patient it is.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// As [`LEASE`].
    pub lease: Duration,
    /// As [`GRACE`].
    pub grace: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { lease: LEASE, grace: GRACE }
    }
}

/// What is known of one box id.
#[derive(Debug, Default)]
struct Known {
    latest: Value,
    count: u64,
    head: Option<(u64, String)>,
    lease: Leases,
}

/// Who has, and had, the lease of a box id.
#[derive(Debug, Default)]
pub struct Leases {
    holder: Option<Holder>,
    /// Who held it before and was succeeded, and when the successor came.
    succeeded: BTreeMap<String, Instant>,
    contested: Option<Instant>,
}

#[derive(Debug)]
struct Holder {
    incarnation: String,
    machine: Option<String>,
    heard: Instant,
}

impl Leases {
    /// Who asks is granted the lease, or is not: the word, and who holds it.
    pub fn ask(
        &mut self,
        (own, predecessors): (&str, &[&str]),
        machine: Option<&str>,
        now: Instant,
        patience: Patience,
    ) -> (&'static str, String) {
        let grant =
            |heard| Holder { incarnation: own.to_owned(), machine: machine.map(str::to_owned), heard };
        let Some(holder) = &mut self.holder else {
            self.holder = Some(grant(now));
            return ("granted", own.to_owned());
        };
        let is_fresh = now - holder.heard < patience.lease;
        // A machine without an id is not told from another.
        let is_elsewhere = machine != holder.machine.as_deref();
        let told = holder.incarnation.clone();
        if told == own {
            holder.heard = now;
            // Once the other has not been heard for a whole lease, this one is alone again.
            self.contested = self.contested.filter(|at| now - *at < patience.lease);
            return if self.contested.is_some() { ("contested", told) } else { ("granted", told) };
        }
        if let Some(at) = self.succeeded.get(own).filter(|_| is_fresh) {
            // It runs although another was started from its store: one of the two is a copy, and nobody here knows which.
            if now - *at >= patience.grace {
                self.contested = Some(now);
            }
            return (if self.contested.is_some() { "contested" } else { "held" }, told);
        }
        let is_successor = predecessors.contains(&told.as_str());
        if is_fresh && (!is_successor || is_elsewhere) {
            return ("held", told);
        }
        self.succeeded.insert(told, now);
        self.holder = Some(grant(now));
        ("granted", own.to_owned())
    }
}

#[derive(Default)]
struct State {
    boxes: BTreeMap<String, Known>,
    down: bool,
    patience: Patience,
    said: Option<Value>,
    bundle: Option<(u64, Vec<u8>)>,
    /// Served instead of the one that is offered.
    stale: Option<Vec<u8>>,
    fetches: u64,
    unchanged: u64,
}

/// A fleet's upstream.
pub struct Fleet {
    addr: SocketAddr,
    state: Arc<Mutex<State>>,
    accept: JoinHandle<()>,
}

impl Fleet {
    /// Starts one that takes boxes with a certificate of this CA.
    ///
    /// # Errors
    /// [`EhrError`] where it cannot listen or use the certificates.
    pub async fn start(pki: &Pki) -> Result<Self, EhrError> {
        let tls = TlsAcceptor::from(Arc::new(tls::tls_config(&EhrSettings::ehr(pki))?));
        let wanted = SocketAddr::from(([127, 0, 0, 1], 0));
        let refused = |source| EhrError::Listen { addr: wanted, source };
        let listener = TcpListener::bind(wanted).await.map_err(refused)?;
        let addr = listener.local_addr().map_err(refused)?;
        let state = Arc::<Mutex<State>>::default();
        let accept = tokio::spawn(serve(listener, tls, Arc::clone(&state)));
        Ok(Self { addr, state, accept })
    }

    /// `url` of `[fleet]`.
    pub fn url(&self) -> String {
        format!("https://{}/fleet", self.addr)
    }

    /// The latest check-in of the box that was heard last, and how many there were of it.
    pub fn latest(&self) -> Option<(Value, u64)> {
        let state = self.lock();
        state.boxes.values().max_by_key(|known| known.count).map(|known| (known.latest.clone(), known.count))
    }

    /// Whether it answers 503 to everything from now on.
    pub fn set_down(&self, down: bool) {
        self.lock().down = down;
    }

    /// From now on so patient.
    pub fn set_patience(&self, patience: Patience) {
        self.lock().patience = patience;
    }

    /// From now on every check-in is answered so, whatever is known.
    pub fn answer_with(&self, answer: Option<Value>) {
        self.lock().said = answer;
    }

    /// Offers a bundle to every box from now on.
    pub fn offer(&self, version: u64, signed: Vec<u8>) {
        self.lock().bundle = Some((version, signed));
    }

    /// From now on these bytes are served as the bundle, whatever is offered; `None` serves what is offered.
    pub fn serve(&self, stale: Option<Vec<u8>>) {
        self.lock().stale = stale;
    }

    /// How often a bundle was fetched.
    pub fn fetches(&self) -> u64 {
        self.lock().fetches
    }

    /// How often it was asked for by its ETag and had not changed.
    pub fn unchanged(&self) -> u64 {
        self.lock().unchanged
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, state: Arc<Mutex<State>>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(socket).await else { return };
            let service = service_fn(|request| {
                let state = Arc::clone(&state);
                async move { Ok::<_, Infallible>(answer(request, &state).await) }
            });
            // A peer that went away.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>, state: &Mutex<State>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, CHECK_IN_MOST).collect().await.map(|body| body.to_bytes());
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let told = body.ok().and_then(|body| serde_json::from_slice::<Value>(&body).ok());
    match (head.method.as_str(), head.uri.path(), told) {
        _ if state.down => response(503, &json!({})),
        ("POST", "/fleet/check-in", Some(told)) => response(200, &state.check_in(told)),
        ("POST", "/fleet/check-in", None) => response(400, &json!({})),
        ("GET", "/fleet/bundle", _) => {
            let bundle = state.stale.clone().or_else(|| Some(state.bundle.as_ref()?.1.clone()));
            let Some(bundle) = bundle else { return response(404, &json!({})) };
            let etag = format!("\"{}\"", sha256(&bundle));
            let is_known = head.headers.get("if-none-match").is_some_and(|known| *known == *etag);
            if is_known {
                state.unchanged += 1;
            } else {
                state.fetches += 1;
            }
            let body = if is_known { Vec::new() } else { bundle };
            let answer = Response::builder().status(if is_known { 304 } else { 200 }).header("etag", etag);
            answer.body(Full::from(body)).unwrap_or_default()
        }
        _ => response(404, &json!({})),
    }
}

/// Who signs bundles.
pub struct Signer(Ed25519KeyPair);

impl Signer {
    /// One with a new key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn new() -> Result<Self, KeyError> {
        Ed25519KeyPair::generate().map(Self).map_err(|_| KeyError::Crypto)
    }

    /// Its public key as `openssl pkey -pubout` writes it.
    pub fn public_pem(&self) -> String {
        // SubjectPublicKeyInfo of an Ed25519 key (RFC 8410).
        let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        let der = [&prefix[..], self.0.public_key().as_ref()].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    /// A signed bundle of this content.
    pub fn sign(&self, content: &Value) -> Vec<u8> {
        let content = content.to_string();
        let signature = self.0.sign(format!("isthmus-bundle/1\n{content}").as_bytes());
        let signed =
            json!({"bundle": STANDARD.encode(content), "signature": STANDARD.encode(signature.as_ref())});
        signed.to_string().into_bytes()
    }
}

fn sha256(bytes: &[u8]) -> String {
    digest::digest(&digest::SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl State {
    fn check_in(&mut self, told: Value) -> Value {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let known = self.boxes.entry(text(&told["box"])).or_default();
        known.count += 1;
        let predecessors = told["predecessors"].as_array().cloned().unwrap_or_default();
        let predecessors: Vec<&str> = predecessors.iter().filter_map(Value::as_str).collect();
        let own = text(&told["incarnation"]);
        let (lease, holder) =
            known.lease.ask((&own, &predecessors), told["machine"].as_str(), Instant::now(), self.patience);
        // The box judges what was known before it told.
        let before = known.head.clone();
        // What a copy says must not be held against the box.
        if lease == "granted" {
            let (entries, hash) =
                (told["audit"]["entries"].as_u64().unwrap_or(0), text(&told["audit"]["hash"]));
            let settled = &told["audit"]["settled"];
            let is_settled = |(n, h): &(u64, String)| settled["entries"] == *n && settled["hash"] == **h;
            if known.head.as_ref().is_none_or(|known| entries > known.0 || is_settled(known)) {
                known.head = Some((entries, hash));
            }
            known.latest = told;
        }
        if let Some(said) = &self.said {
            return said.clone();
        }
        json!({
            "audit": before.map(|(entries, hash)| json!({"entries": entries, "hash": hash})),
            "lease": {"state": lease, "holder": holder, "for_s": self.patience.lease.as_secs()},
            "bundle": self.bundle.as_ref().map(|(version, signed)| json!({"version": version, "sha256": sha256(signed)})),
        })
    }
}

fn response(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() =
        hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks at so many seconds.
    fn asked(
        leases: &mut Leases,
        start: Instant,
        at_s: u64,
        own: &str,
        before: &[&str],
        machine: &str,
    ) -> &'static str {
        leases.ask((own, before), Some(machine), start + Duration::from_secs(at_s), Patience::default()).0
    }

    #[test]
    fn a_restart_takes_over_at_once_and_a_lost_answer_does_not_matter() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        assert_eq!(asked(&mut leases, start, 0, "a", &[], "m"), "granted");
        assert_eq!(asked(&mut leases, start, 10, "b", &["a"], "m"), "granted");
        // The answer to b was lost: c names both.
        assert_eq!(asked(&mut leases, start, 11, "c", &["a", "b"], "m"), "granted");
        assert_eq!(asked(&mut leases, start, 71, "c", &[], "m"), "granted");
    }

    #[test]
    fn a_copy_elsewhere_is_refused_while_the_box_is_heard() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        assert_eq!(asked(&mut leases, start, 0, "a", &[], "m"), "granted");
        assert_eq!(asked(&mut leases, start, 60, "copy", &["a"], "other"), "held");
        assert_eq!(asked(&mut leases, start, 61, "a", &[], "m"), "granted");
        // The box is gone for good: after a lease its store may go on elsewhere.
        assert_eq!(asked(&mut leases, start, 361, "copy", &["a"], "other"), "granted");
    }

    #[test]
    fn of_two_takers_with_the_same_predecessor_the_second_is_refused() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        assert_eq!(asked(&mut leases, start, 0, "a", &[], "m"), "granted");
        assert_eq!(asked(&mut leases, start, 60, "b", &["a"], "m"), "granted");
        assert_eq!(asked(&mut leases, start, 61, "c", &["a"], "m"), "held");
    }

    #[test]
    fn one_that_runs_on_after_it_was_succeeded_makes_both_stand_still_until_one_is_silent() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        assert_eq!(asked(&mut leases, start, 0, "a", &[], "m"), "granted");
        assert_eq!(asked(&mut leases, start, 60, "twin", &["a"], "m"), "granted");
        // A check-in that was on its way when its sender was killed proves nothing.
        assert_eq!(asked(&mut leases, start, 61, "a", &[], "m"), "held");
        assert_eq!(asked(&mut leases, start, 62, "twin", &[], "m"), "granted");
        assert_eq!(asked(&mut leases, start, 120, "a", &[], "m"), "contested");
        assert_eq!(asked(&mut leases, start, 122, "twin", &[], "m"), "contested");
        assert_eq!(asked(&mut leases, start, 420, "twin", &[], "m"), "granted");
        // Or the other way about: the twin was stopped, and the box goes on.
        assert_eq!(asked(&mut leases, start, 720, "a", &[], "m"), "granted");
    }
}
