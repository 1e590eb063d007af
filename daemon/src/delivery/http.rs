//! One request to a destination, and what can be said of it afterwards.
//!
//! Invariants: redirects are not followed; an answer's body is read up to [`ANSWER_MAX_BYTES`]; an error
//! text names the phase that failed and a cause from a closed set, and never a URL, a header or a body, for
//! those hold patient data.

use reqwest::{
    Client, Method, Response,
    header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER},
};

use crate::verdict::{Attempt, retry_after};

/// The most that is read of an answer: a transaction-response of a few dozen entries takes 10 kB.
pub const ANSWER_MAX_BYTES: usize = 4 * 1024 * 1024;

/// How the standard library begins a failure of name resolution; the resolver's word for it follows, and
/// not the name.
const LOOKUP_FAILED: &str = "failed to lookup address information";

const FHIR_JSON: &str = "application/fhir+json";

/// A whole answer.
#[derive(Clone)]
pub struct Told {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, as a wait from now.
    pub retry_after: Option<std::time::Duration>,
    /// `ETag`.
    pub etag: Option<String>,
    /// The body, empty where it was over the bound.
    pub body: Vec<u8>,
}

impl Told {
    /// The body as JSON; `Null` where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Sends one request. An `Err` is an [`Attempt`] that no answer came to.
pub async fn send(
    client: &Client,
    method: Method,
    url: &str,
    body: Option<Vec<u8>>,
) -> Result<Told, Attempt> {
    let reads_only = body.is_none();
    let mut request = client.request(method, url).header(ACCEPT, FHIR_JSON);
    if let Some(body) = body {
        request = request.header(CONTENT_TYPE, FHIR_JSON).body(body);
    }
    let response = request.send().await.map_err(|error| classify(&error, reads_only))?;
    read(response).await.map_err(|error| classify(&error, reads_only))
}

/// What an error proves: a connection that was never made carried nothing; a read changes nothing.
fn classify(error: &reqwest::Error, reads_only: bool) -> Attempt {
    let phase = if error.is_connect() {
        "could not connect"
    } else if error.is_timeout() {
        "no answer in time"
    } else if error.is_builder() {
        "the request could not be made"
    } else {
        "the connection broke"
    };
    let told = match root(error) {
        Some(cause) => format!("{phase}: {cause}"),
        None => phase.to_owned(),
    };
    if reads_only || error.is_connect() || error.is_builder() {
        Attempt::Unsent(told)
    } else {
        Attempt::Lost(told)
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

async fn read(mut response: Response) -> Result<Told, reqwest::Error> {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut told = Told {
        status: response.status().as_u16(),
        retry_after: header(RETRY_AFTER).and_then(|text| retry_after(&text, jiff::Timestamp::now())),
        etag: header(reqwest::header::ETAG),
        body: Vec::new(),
    };
    while let Some(part) = response.chunk().await? {
        if told.body.len() + part.len() > ANSWER_MAX_BYTES {
            told.body.clear();
            break;
        }
        told.body.extend_from_slice(&part);
    }
    Ok(told)
}
