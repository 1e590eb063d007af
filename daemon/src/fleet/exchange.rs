//! One request to the fleet's upstream, over mutual TLS.
//!
//! The connection is made anew each time, with the certificates in force: once a minute that costs nothing, and a certificate
//! that was replaced is shown from the next check-in on. No redirect is followed, no proxy used.

use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, ETAG, HeaderValue, IF_NONE_MATCH};

use crate::{config, delivery::http, peer_clock::PeerClock, time, tls};

/// The time one exchange may take: what does not answer by then is told again in a minute anyway.
const DEADLINE: Duration = Duration::from_secs(20);
/// The time a connection may take to be made.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// What is sent and asked for.
const JSON: &str = "application/json";

/// Why there was no answer. No text holds a URL or a word of an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Our certificate, our key or the authority's certificate cannot be used.
    #[error("the certificates of [fleet] cannot be used: {0}")]
    Certificates(String),
    /// No answer came.
    #[error("upstream did not answer: {0}")]
    Unanswered(String),
    /// An answer came that is no good one.
    #[error("upstream answered HTTP {0}")]
    Status(u16),
    /// The answer is not what an answer is.
    #[error("upstream's answer is not one of this protocol")]
    Garbled,
    /// The check-in could not be made up: the store could not be read or written.
    #[error("the check-in could not be made: {0}")]
    Store(String),
}

/// The way to upstream.
pub(super) struct Way<'a> {
    /// Where, and how patiently.
    pub fleet: &'a config::Fleet,
    /// What is shown, and who is believed.
    pub presented: &'a tls::Presented,
    /// What upstream's clock says.
    pub clock: &'a PeerClock,
}

/// A document that upstream has.
pub(super) struct Document {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its ETag, as it was written.
    pub etag: Option<HeaderValue>,
}

impl Way<'_> {
    /// Posts a document to `<url>/<path>`; the body of a good answer, of at most `most` bytes.
    ///
    /// # Errors
    /// [`Trouble`]; an answer that is longer is [`Trouble::Garbled`].
    pub(super) async fn post(&self, path: &str, body: Vec<u8>, most: usize) -> Result<Vec<u8>, Trouble> {
        let request = self.client()?.post(format!("{}/{path}", self.fleet.url));
        let response = self.answered(request.header(CONTENT_TYPE, JSON).body(body)).await?;
        match response.status().as_u16() {
            200 => within(response, most).await,
            status => Err(Trouble::Status(status)),
        }
    }

    /// Gets `<url>/<path>`; `None` where upstream says that it is still the one of this ETag.
    ///
    /// # Errors
    /// As [`Way::post`].
    pub(super) async fn get(
        &self,
        path: &str,
        etag: Option<&HeaderValue>,
        most: usize,
    ) -> Result<Option<Document>, Trouble> {
        let mut request = self.client()?.get(format!("{}/{path}", self.fleet.url));
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let response = self.answered(request).await?;
        match response.status().as_u16() {
            304 if etag.is_some() => Ok(None),
            200 => {
                let etag = response.headers().get(ETAG).cloned();
                Ok(Some(Document { bytes: within(response, most).await?, etag }))
            }
            status => Err(Trouble::Status(status)),
        }
    }

    /// Sends, and notes what the answer's `Date` says of our clock.
    async fn answered(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Trouble> {
        let asked_at = Instant::now();
        let response = request.header(ACCEPT, JSON).send().await.map_err(|error| unanswered(&error))?;
        if let Some(date) = response.headers().get(DATE).and_then(|date| date.to_str().ok()) {
            self.clock.note(date, asked_at.elapsed(), time::now_ms(), time::monotonic_ms());
        }
        Ok(response)
    }

    fn client(&self) -> Result<reqwest::Client, Trouble> {
        tls::http_client(rustls::ClientConfig::clone(&self.presented.config()), DEADLINE)
            .connect_timeout(CONNECT_DEADLINE)
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| Trouble::Certificates(error.to_string()))
    }
}

fn unanswered(error: &reqwest::Error) -> Trouble {
    Trouble::Unanswered(http::told(error))
}

/// The body of an answer, which is neither empty nor longer than `most`.
async fn within(response: reqwest::Response, most: usize) -> Result<Vec<u8>, Trouble> {
    let body = http::body(response, most).await.map_err(|error| unanswered(&error))?;
    if body.is_empty() { Err(Trouble::Garbled) } else { Ok(body) }
}
