//! Asks a site what it states: its CapabilityStatement, its SMART configuration, and a token. It writes nothing.

use std::time::Duration;

use super::{
    smart::SmartConfiguration,
    statement::{Statement, StatementError},
};
use crate::{
    delivery::http::{self, Request},
    destination::Destination,
    smart::{Channel, Standing, discovery},
    verdict::Attempt,
};

/// How long all of it may take: the requests have their own limits, a few of which fit in.
pub const PROBE_MOST: Duration = Duration::from_secs(180);

/// What was read. No token is in it.
pub struct Probed {
    /// The statement, or why there is none.
    pub statement: Result<Statement, String>,
    /// The SMART configuration, where there is one.
    pub smart: Option<SmartConfiguration>,
    /// Why there is no token, where one is wanted.
    pub no_token: Option<String>,
    /// How the tokens stand, where any are wanted.
    pub standing: Option<Standing>,
}

/// Asks.
pub async fn probe(destination: &Destination) -> Probed {
    let no_token = destination.client.prepare().await.err().map(|attempt| words(&attempt));
    Probed {
        statement: statement(destination).await,
        smart: smart(destination).await,
        no_token,
        standing: destination.client.authorizer().map(|tokens| tokens.standing()),
    }
}

/// The CapabilityStatement, which a server shows to anybody (FHIR R4, http.html#capabilities).
///
/// # Errors
/// What came instead, in words of our own.
pub async fn statement(destination: &Destination) -> Result<Statement, String> {
    let url = format!("{}/metadata", destination.base_url);
    let open = Channel::from(destination.client.http());
    let mut told = http::send(&open, destination.release(), Request::get(&url), None).await;
    if told.as_ref().is_ok_and(|told| matches!(told.status, 401 | 403)) {
        told = http::send(&destination.client, destination.release(), Request::get(&url), None).await;
    }
    let told = told.map_err(|attempt| words(&attempt))?;
    if told.status != 200 {
        return Err(format!("/metadata is answered HTTP {}", told.status));
    }
    Statement::read(&told.body).map_err(|error: StatementError| error.to_string())
}

async fn smart(destination: &Destination) -> Option<SmartConfiguration> {
    let url = format!("{}/{}", destination.base_url, discovery::PATH);
    let open = Channel::from(destination.client.http());
    let told = http::send(&open, destination.release(), Request::get(&url), None).await.ok()?;
    (told.status == 200).then(|| SmartConfiguration::read(&told.body))?
}

/// Why no answer came.
pub(super) fn words(attempt: &Attempt) -> String {
    match attempt {
        Attempt::Unsent(cause) | Attempt::Unauthorized(cause) | Attempt::Lost(cause) => cause.clone(),
        Attempt::Answered(answer) => format!("HTTP {}", answer.status),
    }
}
