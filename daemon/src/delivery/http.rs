//! One request to a destination, and what can be said of it afterwards.
//!
//! Invariants: redirects are not followed; an answer's body is read up to [`ANSWER_MAX_BYTES`]; an error
//! text names the phase that failed and a cause from a closed set, and never a URL, a header or a body, for
//! those hold patient data. Where the destination wants tokens, a 401 proves that nothing took effect: the request is
//! sent once more with another token, and not a third time.

use std::{sync::OnceLock, time::Instant};

use bytes::Bytes;
use clinical::fhir::release::Release;
use reqwest::{
    Method, Response,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, ETAG, HeaderName, IF_MATCH, LOCATION, RETRY_AFTER},
};
use serde_json::Value;

use crate::{
    smart::{Channel, authorizer::Bearer},
    time,
    verdict::{Attempt, retry_after},
};

/// The search of a conditional create, of a resource that travels alone (FHIR R4, http.html#ccreate).
const IF_NONE_EXIST: HeaderName = HeaderName::from_static("if-none-exist");

/// The most that is read of an answer: a hundred entries of a batch with their resources take 300 kB. Parsed, an answer may
/// take a hundred times its bytes, and as many are parsed at a time as there are processors.
pub const ANSWER_MAX_BYTES: usize = 512 * 1024;

/// How the standard library begins a failure of name resolution; the resolver's word for it follows, and
/// not the name.
const LOOKUP_FAILED: &str = "failed to lookup address information";

/// A whole answer.
#[derive(Clone)]
pub struct Told {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, as a wait from now.
    pub retry_after: Option<std::time::Duration>,
    /// `ETag`.
    pub etag: Option<String>,
    /// `Location`: where what was created stands.
    pub location: Option<String>,
    /// The body, empty where it was over the bound.
    pub body: Vec<u8>,
    /// It once it was read.
    json: OnceLock<Value>,
}

impl Told {
    /// The body as JSON; `Null` where it is none.
    pub fn json(&self) -> &Value {
        self.json.get_or_init(|| serde_json::from_slice(&self.body).unwrap_or_default())
    }
}

/// What is asked of a destination.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// GET, POST or PUT.
    pub method: &'a Method,
    /// Absolute.
    pub url: &'a str,
    /// The search of a conditional create, `identifier=system|value`.
    pub if_none_exist: Option<&'a str>,
    /// The ETag that an update replaces.
    pub if_match: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// A read or a search.
    pub fn get(url: &'a str) -> Self {
        Self { method: &Method::GET, url, if_none_exist: None, if_match: None }
    }

    /// A create, or a Bundle.
    pub fn post(url: &'a str) -> Self {
        Self { method: &Method::POST, ..Self::get(url) }
    }

    /// An update.
    pub fn put(url: &'a str) -> Self {
        Self { method: &Method::PUT, ..Self::get(url) }
    }
}

/// Sends one request in a release of FHIR, with a token where the destination wants one. An `Err` is an [`Attempt`] that no
/// answer came to.
pub async fn send(
    channel: &Channel,
    release: Release,
    request: Request<'_>,
    body: Option<Vec<u8>>,
) -> Result<Told, Attempt> {
    let body = body.map(Bytes::from);
    let bearer = channel.bearer().await?;
    let told = exchange(channel, release, request, body.clone(), bearer.as_deref()).await?;
    if told.status == 401
        && let Some(refused) = bearer
        && let Some(other) = channel.instead_of(&refused).await
    {
        return exchange(channel, release, request, body, Some(&other)).await;
    }
    Ok(told)
}

async fn exchange(
    channel: &Channel,
    release: Release,
    request: Request<'_>,
    body: Option<Bytes>,
    bearer: Option<&Bearer>,
) -> Result<Told, Attempt> {
    let reads_only = body.is_none();
    let Request { method, url, if_none_exist, if_match } = request;
    let mut request = channel.http().request(method.clone(), url).header(ACCEPT, release.media_type());
    if let Some(bearer) = bearer {
        request = request.header(AUTHORIZATION, bearer.header());
    }
    for (name, value) in [(IF_NONE_EXIST, if_none_exist), (IF_MATCH, if_match)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    if let Some(body) = body {
        request = request.header(CONTENT_TYPE, release.media_type()).body(body);
    }
    let asked_at = Instant::now();
    let response = request.send().await.map_err(|error| classify(&error, reads_only))?;
    if let Some(date) = response.headers().get(DATE).and_then(|date| date.to_str().ok()) {
        channel.clock().note(date, asked_at.elapsed(), time::now_ms(), time::monotonic_ms());
    }
    read(response).await.map_err(|error| classify(&error, reads_only))
}

/// What an error proves: a connection that was never made carried nothing; a read changes nothing.
fn classify(error: &reqwest::Error, reads_only: bool) -> Attempt {
    let told = told(error);
    if reads_only || error.is_connect() || error.is_builder() {
        Attempt::Unsent(told)
    } else {
        Attempt::Lost(told)
    }
}

/// The phase that failed, and a cause from a closed set.
pub(crate) fn told(error: &reqwest::Error) -> String {
    let phase = if error.is_connect() {
        "could not connect"
    } else if error.is_timeout() {
        "no answer in time"
    } else if error.is_builder() {
        "the request could not be made"
    } else {
        "the connection broke"
    };
    match root(error) {
        Some(cause) => format!("{phase}: {cause}"),
        None => phase.to_owned(),
    }
}

/// The innermost cause that is told in a closed set of words: the operating system's or the TLS library's.
/// Any other text may hold a part of a URL, of a header or of an answer, and then the phase has to do.
fn root(error: &reqwest::Error) -> Option<String> {
    let mut told = None;
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        told = closed(cause).or(told);
        source = cause.source();
    }
    told
}

fn closed(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
        return Some(of_tls(tls));
    }
    let io = cause.downcast_ref::<std::io::Error>()?;
    // An error that is wrapped in an I/O error is not among its sources.
    if let Some(inner) = io.get_ref().and_then(|inner| closed(inner)) {
        return Some(inner);
    }
    let text = io.to_string();
    let is_the_systems = io.raw_os_error().is_some() || text.starts_with(LOOKUP_FAILED);
    Some(if is_the_systems { text } else { io.kind().to_string() })
}

/// The library's words, without the names that a certificate was asked for and holds.
fn of_tls(error: &rustls::Error) -> String {
    use rustls::CertificateError::{NotValidForName, NotValidForNameContext};
    match error {
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            "invalid peer certificate: it is for another name".to_owned()
        }
        other => other.to_string(),
    }
}

async fn read(response: Response) -> Result<Told, reqwest::Error> {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut told = Told {
        status: response.status().as_u16(),
        retry_after: header(RETRY_AFTER).and_then(|text| retry_after(&text, jiff::Timestamp::now())),
        etag: header(ETAG),
        location: header(LOCATION),
        body: Vec::new(),
        json: OnceLock::new(),
    };
    told.body = body(response, ANSWER_MAX_BYTES).await?;
    Ok(told)
}

/// The body of an answer, empty where it is over `most` bytes.
pub(crate) async fn body(mut response: Response, most: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await? {
        if body.len() + part.len() > most {
            return Ok(Vec::new());
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use reqwest::Client;
    use standin::Pki;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::{
        config::{ClientTls, ServerTls},
        tls,
    };

    const QUERY: &str = "Observation?identifier=urn:isthmus:outcome%7CSECRET";

    fn client(pki: &Pki) -> Channel {
        let files = ClientTls::mutual(&pki.ca, &pki.client.cert, &pki.client.key);
        let config = tls::client_config(&files).unwrap();
        Client::builder().tls_backend_preconfigured(config).no_proxy().build().unwrap().into()
    }

    fn pki() -> (tempfile::TempDir, Pki) {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::create(dir.path()).unwrap();
        (dir, pki)
    }

    async fn told(client: &Channel, base: &str, body: Option<&str>) -> Attempt {
        let url = format!("{base}/{QUERY}");
        let request = if body.is_some() { Request::post(&url) } else { Request::get(&url) };
        let body = body.map(|body| body.as_bytes().to_vec());
        match send(client, Release::R4, request, body).await {
            Ok(told) => panic!("HTTP {}", told.status),
            Err(attempt) => attempt,
        }
    }

    /// A TLS server that shows the certificate of `pki` and makes no more of what comes.
    async fn tls_server(pki: &Pki) -> u16 {
        let (cert, key) = (pki.server.cert.clone(), pki.server.key.clone());
        let files = ServerTls { cert, key, client_auth: None };
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls::server_config(&files).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _refused = acceptor.accept(stream).await;
            }
        });
        port
    }

    #[tokio::test]
    async fn a_certificate_that_is_not_trusted_is_told_in_the_librarys_words() {
        let ((_dir, ours), (_elsewhere, stranger)) = (pki(), pki());
        let port = tls_server(&stranger).await;
        let attempt = told(&client(&ours), &format!("https://localhost:{port}"), Some("SECRET")).await;
        let Attempt::Unsent(text) = attempt else { panic!("{attempt:?}") };
        assert!(text.starts_with("could not connect: invalid peer certificate: "), "{text}");
        assert!(!text.contains("SECRET") && !text.contains("localhost"), "{text}");
    }

    #[tokio::test]
    async fn a_certificate_for_another_name_is_told_without_the_names() {
        let (_dir, pki) = pki();
        let port = tls_server(&pki).await;
        let config = tls::client_config_of(&pki.ca, None).unwrap();
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let client = Client::builder()
            .tls_backend_preconfigured(config)
            .no_proxy()
            .resolve("smith.example", address)
            .build()
            .unwrap()
            .into();
        let attempt = told(&client, &format!("https://smith.example:{port}"), None).await;
        let wanted = "could not connect: invalid peer certificate: it is for another name";
        assert_eq!(attempt, Attempt::Unsent(wanted.to_owned()));
    }

    /// The first request that comes to a listener, and an empty answer to it.
    async fn first_request(listener: TcpListener) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        let mut piece = [0; 1024];
        while !request.ends_with(b"\r\n\r\n{}") {
            let read = stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "the request ended early: {}", String::from_utf8_lossy(&request));
            request.extend_from_slice(&piece[..read]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        String::from_utf8(request).unwrap().to_lowercase()
    }

    #[tokio::test]
    async fn a_request_names_the_release_that_its_body_is_in() {
        let (_dir, pki) = pki();
        for (release, wanted) in [
            (Release::R4, "application/fhir+json\r\n"),
            (Release::R5, "application/fhir+json; fhirversion=5.0\r\n"),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let seen = tokio::spawn(first_request(listener));
            let told = send(&client(&pki), release, Request::post(&url), Some(b"{}".to_vec())).await;
            assert!(told.is_ok_and(|told| told.status == 200));
            let seen = seen.await.unwrap();
            for header in ["accept: ", "content-type: "] {
                assert!(seen.contains(&format!("{header}{wanted}")), "{seen}");
            }
        }
    }

    #[tokio::test]
    async fn a_refused_connection_is_told_in_the_systems_words() {
        let (_dir, pki) = pki();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let attempt = told(&client(&pki), &format!("https://127.0.0.1:{port}"), Some("SECRET")).await;
        // 111 is ECONNREFUSED on Linux.
        let wanted = "could not connect: Connection refused (os error 111)";
        assert_eq!(attempt, Attempt::Unsent(wanted.to_owned()));
    }

    #[tokio::test]
    async fn an_answer_that_is_no_http_is_told_without_a_word_of_it() {
        let (_dir, pki) = pki();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4_096];
                let _read = stream.read(&mut request).await;
                let _written = stream.write_all(b"SECRET SMITH\r\nX-SMITH SECRET\r\n\r\n").await;
            }
        });
        let attempt = told(&client(&pki), &base, Some("SECRET")).await;
        let Attempt::Lost(text) = attempt else { panic!("{attempt:?}") };
        assert!(text.starts_with("the connection broke"), "{text}");
        assert!(!text.contains("SECRET") && !text.contains("SMITH"), "{text}");
    }

    #[tokio::test]
    async fn a_url_that_is_none_is_not_told() {
        let (_dir, pki) = pki();
        let attempt = told(&client(&pki), "https://[SECRET", None).await;
        assert_eq!(attempt, Attempt::Unsent("the request could not be made".to_owned()));
    }
}
