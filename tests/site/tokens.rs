//! A token endpoint on loopback that checks what the standards ask of a client, and before it the FHIR server that takes
//! its tokens: what it lets through goes on to a stand-in EHR.
//!
//! It shares no code with what it judges: signatures are verified with the library of cryptography itself.

#![allow(dead_code, unreachable_pub, reason = "every test uses its own part of this room")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA384, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use standin::Pki;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

/// The longest life of an assertion, and the furthest end, in seconds.
const ASSERTION_MOST_S: i64 = 300;
/// The longest `jti`.
const JTI_MOST: usize = 151;

/// How the endpoint behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mood {
    /// By its rules.
    Strict,
    /// Refuses everybody with this status and error.
    Refuse(u16, &'static str),
    /// Answers this status and waits so long to be asked again.
    Later(u16, &'static str),
}

/// What it does, and remembers.
#[derive(Debug)]
pub struct Desk {
    /// How it behaves.
    pub mood: Mood,
    /// How far its clock is ahead of the machine's.
    pub ahead_s: i64,
    /// How long its tokens are said to live, in seconds.
    pub lives_s: u64,
    /// What it grants; `None` grants what is asked.
    pub grants: Option<String>,
    /// The public keys it knows of the client.
    pub keys: Value,
    /// How long it takes to answer a request for a token.
    pub takes: Duration,
    /// Whether the FHIR server takes its tokens.
    pub takes_tokens: bool,
    /// Whether discovery is answered.
    pub has_discovery: bool,
    /// Every request for a token: the reason why it was refused, or the key it was granted to.
    pub asked: Vec<Result<String, String>>,
    /// Status of every FHIR request, and whether it named the client in `Epic-Client-ID`.
    pub fhir: Vec<(u16, Option<String>)>,
    /// Assertions as they came.
    pub assertions: Vec<String>,
    seen: BTreeSet<String>,
    issued: BTreeMap<String, Instant>,
}

impl Desk {
    /// Takes back every token that is out.
    pub fn revoke_all(&mut self) {
        self.issued.clear();
    }

    /// Requests for a token that were granted.
    pub fn granted(&self) -> usize {
        self.asked.iter().filter(|asked| asked.is_ok()).count()
    }

    /// Texts of all tokens that are out, for tests that look for them where they must not be.
    pub fn tokens(&self) -> Vec<String> {
        self.issued.keys().cloned().collect()
    }

    fn now_s(&self) -> i64 {
        jiff::Timestamp::now().as_second() + self.ahead_s
    }
}

/// A running server; it stops when dropped.
pub struct Tokens {
    address: SocketAddr,
    desk: Arc<Mutex<Desk>>,
    accept: JoinHandle<()>,
}

struct Behind {
    base: String,
    http: reqwest::Client,
}

impl Tokens {
    /// Starts, with a certificate of `pki` and no demand for one. FHIR requests with a good token go on to `ehr`, a base URL
    /// that wants the client certificate of `pki`.
    pub async fn start(pki: &Pki, client_id: &str, ehr: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificates(&pki.server.cert), key(&pki.server.key))
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let desk = Arc::new(Mutex::new(Desk {
            mood: Mood::Strict,
            ahead_s: 0,
            lives_s: 300,
            grants: None,
            keys: json!({ "keys": [] }),
            takes: Duration::ZERO,
            takes_tokens: true,
            has_discovery: true,
            asked: Vec::new(),
            fhir: Vec::new(),
            assertions: Vec::new(),
            seen: BTreeSet::new(),
            issued: BTreeMap::new(),
        }));
        let behind = Arc::new(ehr.map(|base| Behind { base, http: client(pki) }));
        let client_id = client_id.to_owned();
        let served = Arc::clone(&desk);
        let accept = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, desk) = (acceptor.clone(), Arc::clone(&served));
                let (behind, client_id) = (Arc::clone(&behind), client_id.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(socket).await else { return };
                    let service = service_fn(|request| {
                        answer(request, address, Arc::clone(&desk), Arc::clone(&behind), client_id.clone())
                    });
                    let http = hyper::server::conn::http1::Builder::new();
                    // A peer that goes away is no failure of a test.
                    let _ended = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, desk, accept }
    }

    /// The FHIR base URL, below which the SMART configuration is too.
    pub fn base_url(&self) -> String {
        format!("https://{}/fhir", self.address)
    }

    /// The token URL.
    pub fn token_url(&self) -> String {
        token_url(self.address)
    }

    /// Every request for a token so far.
    pub fn asked(&self) -> Vec<Result<String, String>> {
        self.desk().asked.clone()
    }

    /// Every FHIR request so far.
    pub fn fhir(&self) -> Vec<(u16, Option<String>)> {
        self.desk().fhir.clone()
    }

    /// What it does, and has seen. Not to be held across a wait, nor where it is asked for again.
    pub fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

/// The slash at its end belongs to it: an audience is compared to the letter.
fn token_url(address: SocketAddr) -> String {
    format!("https://{address}/oauth2/Token/")
}

fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect()
}

fn key(path: &Path) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_file(path).unwrap()
}

fn client(pki: &Pki) -> reqwest::Client {
    let mut roots = rustls::RootCertStore::empty();
    certificates(&pki.ca).into_iter().for_each(|ca| roots.add(ca).unwrap());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(&pki.client.cert), key(&pki.client.key))
        .unwrap();
    reqwest::Client::builder().tls_backend_preconfigured(config).no_proxy().build().unwrap()
}

async fn answer(
    request: Request<Incoming>,
    address: SocketAddr,
    desk: Arc<Mutex<Desk>>,
    behind: Arc<Option<Behind>>,
    client_id: String,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(plain(400, &json!({}))) };
    let body = body.to_bytes();
    let lock = || desk.lock().unwrap_or_else(PoisonError::into_inner);
    let path = head.uri.path();
    let mut response = if path == "/oauth2/Token/" {
        let takes = lock().takes;
        tokio::time::sleep(takes).await;
        let form = String::from_utf8_lossy(&body).into_owned();
        lock().token(&form, &token_url(address), &client_id)
    } else if path == "/fhir/.well-known/smart-configuration" && lock().has_discovery {
        plain(
            200,
            &json!({
                "token_endpoint": token_url(address),
                "token_endpoint_auth_methods_supported": ["private_key_jwt"],
                "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
                "capabilities": ["client-confidential-asymmetric"],
            }),
        )
    } else {
        let status = lock().admits(&head);
        let named = head.headers.get("epic-client-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let response = match (status, behind.as_ref()) {
            (200, Some(behind)) => pass_on(behind, &head, body).await,
            (status, _) => plain(status, &json!({ "resourceType": "OperationOutcome" })),
        };
        lock().fhir.push((response.status().as_u16(), named));
        response
    };
    let now = lock().now_s();
    let date = jiff::Timestamp::from_second(now).unwrap().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    response.headers_mut().insert("date", date.parse().unwrap());
    Ok(response)
}

fn plain(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Full::from(body.to_string())).unwrap()
}

async fn pass_on(behind: &Behind, head: &hyper::http::request::Parts, body: Bytes) -> Response<Full<Bytes>> {
    let target = head.uri.path_and_query().unwrap().as_str();
    let url = format!("{}{}", behind.base, target.strip_prefix("/fhir").unwrap_or(target));
    let mut request = behind.http.request(head.method.clone(), url).body(body);
    for name in ["accept", "content-type", "if-none-exist", "if-match", "prefer"] {
        if let Some(value) = head.headers.get(name) {
            request = request.header(name, value);
        }
    }
    let Ok(told) = request.send().await else { return plain(502, &json!({})) };
    let mut response = Response::builder().status(told.status());
    for name in ["content-type", "location", "etag", "retry-after"] {
        if let Some(value) = told.headers().get(name) {
            response = response.header(name, value);
        }
    }
    response.body(Full::from(told.bytes().await.unwrap_or_default())).unwrap()
}

impl Desk {
    /// 200 for a token that is out and has not run out.
    fn admits(&self, head: &hyper::http::request::Parts) -> u16 {
        let shown = head.headers.get("authorization").and_then(|value| value.to_str().ok());
        let token = shown.and_then(|shown| shown.strip_prefix("Bearer "));
        let ends = token.and_then(|token| self.issued.get(token));
        if self.takes_tokens && ends.is_some_and(|ends| Instant::now() < *ends) { 200 } else { 401 }
    }

    fn token(&mut self, form: &str, url: &str, client_id: &str) -> Response<Full<Bytes>> {
        match self.mood {
            Mood::Strict => {}
            Mood::Refuse(status, error) => {
                self.asked.push(Err(format!("mood: {error}")));
                let said = json!({ "error": error, "error_description": format!("SECRET {form}") });
                return plain(status, &said);
            }
            Mood::Later(status, wait) => {
                self.asked.push(Err("mood: later".to_owned()));
                let mut response = plain(status, &json!({}));
                response.headers_mut().insert("retry-after", wait.parse().unwrap());
                return response;
            }
        }
        match self.judge(form, url, client_id) {
            Err(reason) => {
                self.asked.push(Err(reason.to_owned()));
                plain(400, &json!({ "error": "invalid_client", "error_description": reason }))
            }
            Ok((kid, scope)) => {
                self.asked.push(Ok(kid));
                let token = format!(
                    "T0K3N-{}-{}",
                    self.asked.len(),
                    URL_SAFE_NO_PAD.encode(form.len().to_be_bytes())
                );
                self.issued.insert(token.clone(), Instant::now() + Duration::from_secs(self.lives_s));
                let scope = self.grants.clone().unwrap_or(scope);
                let said = json!({
                    "access_token": token, "token_type": "bearer", "expires_in": self.lives_s, "scope": scope,
                });
                plain(200, &said)
            }
        }
    }

    /// The key and the asked scope of a good request; else what is wrong with it.
    fn judge(&mut self, form: &str, url: &str, client_id: &str) -> Result<(String, String), &'static str> {
        let pairs: BTreeMap<String, String> = reqwest::Url::parse(&format!("https://form.invalid/?{form}"))
            .unwrap()
            .query_pairs()
            .into_owned()
            .collect();
        let of = |name: &str| pairs.get(name).map_or("", String::as_str);
        if of("grant_type") != "client_credentials" {
            return Err("grant_type");
        }
        if of("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
            return Err("client_assertion_type");
        }
        if of("scope").is_empty() {
            return Err("scope");
        }
        let assertion = of("client_assertion").to_owned();
        self.assertions.push(assertion.clone());
        let parts: Vec<&str> = assertion.split('.').collect();
        let [header, claims, signature] = parts[..] else { return Err("not three parts") };
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
        let json = |part: &str| serde_json::from_slice::<Value>(&bytes(part)).unwrap_or_default();
        let (header_json, stated) = (json(header), json(claims));
        let kid = header_json["kid"].as_str().ok_or("no kid")?.to_owned();
        if header_json["typ"] != "JWT" {
            return Err("typ");
        }
        let keys = self.keys["keys"].as_array().ok_or("no keys")?;
        let jwk = keys.iter().find(|jwk| jwk["kid"] == kid).ok_or("unknown key")?;
        let member = |name: &str| bytes(jwk[name].as_str().unwrap_or_default());
        let message = format!("{header}.{claims}");
        let holds = match header_json["alg"].as_str() {
            Some("ES384") => {
                let point = [vec![4], member("x"), member("y")].concat();
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point)
                    .verify(message.as_bytes(), &bytes(signature))
                    .is_ok()
            }
            Some("RS384") => RsaPublicKeyComponents { n: member("n"), e: member("e") }
                .verify(&RSA_PKCS1_2048_8192_SHA384, message.as_bytes(), &bytes(signature))
                .is_ok(),
            _ => return Err("alg"),
        };
        if !holds {
            return Err("signature");
        }
        if stated["iss"] != client_id || stated["sub"] != client_id {
            return Err("iss or sub");
        }
        if stated["aud"] != url {
            return Err("aud");
        }
        let seconds = |name: &str| stated[name].as_i64();
        let (Some(iat), Some(exp)) = (seconds("iat"), seconds("exp")) else { return Err("no iat or exp") };
        let now = self.now_s();
        if iat > now || seconds("nbf").is_some_and(|nbf| nbf > now) {
            return Err("in the future");
        }
        if exp <= now {
            return Err("expired");
        }
        if exp > now + ASSERTION_MOST_S || exp - iat > ASSERTION_MOST_S {
            return Err("lives too long");
        }
        let jti = stated["jti"].as_str().filter(|jti| (1..=JTI_MOST).contains(&jti.len())).ok_or("jti")?;
        if !self.seen.insert(jti.to_owned()) {
            return Err("replayed");
        }
        Ok((kid, of("scope").to_owned()))
    }
}
