//! A collector of traces on loopback: OTLP over HTTP as JSON, read by the letter of the protocol and with none of its libraries.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::Value;
use standin::Pki;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// What came, in its order.
#[derive(Clone, Default)]
pub struct Collector {
    heads: Arc<Mutex<Vec<String>>>,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    address: Option<SocketAddr>,
}

/// A span as it came.
#[derive(Clone, Debug)]
pub struct Span {
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub name: String,
    pub failed: bool,
    pub began_ns: u128,
    pub ended_ns: u128,
    /// Attributes by name, numbers as their digits.
    pub attributes: std::collections::BTreeMap<String, String>,
}

impl Collector {
    /// One without TLS.
    pub async fn plain(address: &str) -> Self {
        Self::open(address, None).await
    }

    /// One that shows the server's certificate of `pki` and asks for a certificate of its authority.
    pub async fn mutual(pki: &Pki) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&pki.ca).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let asked =
            rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
                .build()
                .unwrap();
        let shown = CertificateDer::pem_file_iter(&pki.server.cert).unwrap().map(Result::unwrap).collect();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(asked)
            .with_single_cert(shown, PrivateKeyDer::from_pem_file(&pki.server.key).unwrap())
            .unwrap();
        Self::open("127.0.0.1:0", Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn open(address: &str, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let collector = Self { address: Some(listener.local_addr().unwrap()), ..Self::default() };
        let held = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (held, tls) = (held.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => held.serve(stream).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => held.serve(stream).await,
                            Err(_refused) => {}
                        },
                    }
                });
            }
        });
        collector
    }

    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let service = service_fn(|request: Request<Incoming>| async {
            let head = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
            let body = request.into_body().collect().await.unwrap().to_bytes().to_vec();
            self.heads.lock().unwrap_or_else(PoisonError::into_inner).push(head);
            self.bodies.lock().unwrap_or_else(PoisonError::into_inner).push(body);
            let answer = Response::builder().header("content-type", "application/json");
            Ok::<_, Infallible>(answer.body(Full::new(Bytes::from_static(b"{}"))).unwrap())
        });
        let served = hyper::server::conn::http1::Builder::new();
        let _ended = served.serve_connection(TokioIo::new(stream), service).await;
    }

    /// Where it takes connections.
    pub fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    /// All that came, heads and bodies, as bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner).concat();
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner).join("\n").into_bytes();
        [heads, bodies].concat()
    }

    /// The first lines and headers of the requests.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The spans that came, and of which service.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for body in self.bodies.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let body: Value = serde_json::from_slice(body).unwrap();
            for resource in body["resourceSpans"].as_array().unwrap() {
                let of = attributes(&resource["resource"]);
                assert_eq!(of["service.name"], "isthmus", "{of:?}");
                assert!(!of["service.instance.id"].is_empty());
                for scope in resource["scopeSpans"].as_array().unwrap() {
                    spans.extend(scope["spans"].as_array().unwrap().iter().map(span));
                }
            }
        }
        spans
    }

    /// The spans of a message, by its number.
    pub fn spans_of(&self, msg: &str) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| span.attributes["isthmus.message"] == msg);
        spans
    }
}

fn span(span: &Value) -> Span {
    let text = |key: &str| span[key].as_str().unwrap_or_default().to_owned();
    Span {
        trace: text("traceId"),
        id: text("spanId"),
        parent: text("parentSpanId"),
        name: text("name"),
        failed: span["status"]["code"] == 2,
        began_ns: text("startTimeUnixNano").parse().unwrap(),
        ended_ns: text("endTimeUnixNano").parse().unwrap(),
        attributes: attributes(span),
    }
}

fn attributes(of: &Value) -> std::collections::BTreeMap<String, String> {
    let entry = |one: &Value| {
        let value = one["value"].as_object().unwrap().values().next().unwrap();
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (one["key"].as_str().unwrap().to_owned(), value)
    };
    of["attributes"].as_array().unwrap().iter().map(entry).collect()
}
