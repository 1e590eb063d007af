//! One request to the fleet's upstream, over mutual TLS.
//!
//! The connection is made anew each time, with the certificates as they stand in their files: once a minute that costs
//! nothing, and a certificate that was replaced is shown from the next check-in on. No redirect is followed, no proxy used.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, IF_NONE_MATCH};

use crate::{config, delivery::http, tls};

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

/// Posts a document to `<url>/<path>`; the body of a good answer, of at most `most` bytes.
///
/// # Errors
/// [`Trouble`]; an answer that is longer is [`Trouble::Garbled`].
pub(super) async fn post(
    fleet: &config::Fleet,
    path: &str,
    body: Vec<u8>,
    most: usize,
) -> Result<Vec<u8>, Trouble> {
    let url = format!("{}/{path}", fleet.url);
    let request = client(fleet)?.post(url).header(CONTENT_TYPE, JSON).header(ACCEPT, JSON).body(body);
    let unanswered = |error: reqwest::Error| Trouble::Unanswered(http::told(&error));
    let response = request.send().await.map_err(unanswered)?;
    let status = response.status().as_u16();
    if status != 200 {
        return Err(Trouble::Status(status));
    }
    let body = http::body(response, most).await.map_err(unanswered)?;
    if body.is_empty() { Err(Trouble::Garbled) } else { Ok(body) }
}

/// Gets `<url>/<path>`; `None` where upstream says that it is still the one of this ETag.
///
/// # Errors
/// As [`post`].
pub(super) async fn get(
    fleet: &config::Fleet,
    path: &str,
    etag: Option<&str>,
    most: usize,
) -> Result<Option<Vec<u8>>, Trouble> {
    let mut request = client(fleet)?.get(format!("{}/{path}", fleet.url)).header(ACCEPT, JSON);
    if let Some(etag) = etag {
        request = request.header(IF_NONE_MATCH, format!("\"{etag}\""));
    }
    let unanswered = |error: reqwest::Error| Trouble::Unanswered(http::told(&error));
    let response = request.send().await.map_err(unanswered)?;
    match response.status().as_u16() {
        304 => Ok(None),
        200 => {
            let body = http::body(response, most).await.map_err(unanswered)?;
            if body.is_empty() { Err(Trouble::Garbled) } else { Ok(Some(body)) }
        }
        status => Err(Trouble::Status(status)),
    }
}

fn client(fleet: &config::Fleet) -> Result<reqwest::Client, Trouble> {
    let refused = |error: &dyn std::fmt::Display| Trouble::Certificates(error.to_string());
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls::client_config(&fleet.tls).map_err(|error| refused(&error))?)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .http1_only()
        .timeout(DEADLINE)
        .connect_timeout(CONNECT_DEADLINE)
        .pool_max_idle_per_host(0)
        .user_agent(concat!("isthmus/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| refused(&error))
}
