//! The public keys of the issuers: fetched over TLS, kept, and found for a token.
//!
//! Invariants: while good keys are held no request waits for a fetch, but one whose key name is not known, at most once a
//! minute; one fetch of an issuer is under way at a time; redirects are not followed, plain HTTP is never spoken, an answer
//! is read up to `ANSWER_MOST_BYTES` within `FETCH_TIMEOUT`. While an issuer's keys cannot be renewed that is a condition.
//!
//! Sources: OpenID Connect Discovery 1.0 section 4, SMART App Launch 2 (`.well-known/smart-configuration`).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use reqwest::header::CACHE_CONTROL;
use serde_json::Value;

use super::{
    fault::Unproved,
    held::{Held, max_age},
    token::{Key, Token, choose, is_named, keys},
};
use crate::{
    conditions::{Board, Kind},
    config::{ClientTls, FhirIssuer},
    drain::Draining,
    generation::Current,
    telemetry::Metric,
    time,
    tls::{self, Http, Presented, TlsError},
};

/// A set of 64 keys with their certificates fits.
const ANSWER_MOST_BYTES: usize = 256 * 1024;
/// The time a request to an issuer may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two looks whether keys are due.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Where keys are told, tried in this order: the latter where the former is not there.
const DISCOVERY: [&str; 2] = ["/.well-known/openid-configuration", "/.well-known/smart-configuration"];

/// Why keys could not be fetched, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum FetchError {
    #[error("the authority file of its TLS cannot be used")]
    Authority,
    #[error("it cannot be reached, or its certificate is not good")]
    Unreachable,
    #[error("it answered with status {0}")]
    Status(u16),
    #[error("its answer is too long or broke off")]
    Body,
    #[error("its discovery document names another issuer, or no jwks_uri with https")]
    Discovery,
    #[error("what it gives for its keys is no key set with a key that can be used")]
    Keys,
}

/// The keys of one issuer.
pub(super) struct IssuerKeys {
    settings: FhirIssuer,
    held: Mutex<Held>,
    fetching: tokio::sync::Mutex<()>,
    /// The way to it; made with the first fetch.
    http: Mutex<Option<Http>>,
    conditions: Board,
}

/// The keys of all issuers; cheap to clone.
#[derive(Clone)]
pub struct Issuers {
    known: Arc<Mutex<HashMap<String, Arc<IssuerKeys>>>>,
    conditions: Board,
}

impl Issuers {
    /// None yet.
    pub fn new(conditions: Board) -> Self {
        Self { known: Arc::default(), conditions }
    }

    /// Those of an issuer; begun anew where its settings are others than before.
    pub(super) fn of(&self, settings: &FhirIssuer) -> Arc<IssuerKeys> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = known.get(&settings.issuer).filter(|keys| keys.is_for(settings)) {
            return Arc::clone(keys);
        }
        let keys = Arc::new(IssuerKeys {
            settings: settings.clone(),
            held: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
            http: Mutex::default(),
            conditions: self.conditions.clone(),
        });
        known.insert(settings.issuer.clone(), Arc::clone(&keys));
        keys
    }

    /// Whom of the issuers we believe.
    pub fn presented(&self) -> Vec<Arc<Presented>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().filter_map(|keys| keys.way().as_ref()?.presented().cloned()).collect()
    }

    /// Renews keys in time, until the drain begins.
    pub async fn run(self, current: Current, mut draining: Draining) {
        loop {
            let issuers = current.with(|generation| {
                let fhir = generation.config.main.fhir.as_ref();
                fhir.map(|fhir| fhir.issuers.clone()).unwrap_or_default()
            });
            self.forget_all_but(&issuers);
            for settings in &issuers {
                let keys = self.of(settings);
                let due = keys.held().is_due(Instant::now());
                if due {
                    // One that hangs must not keep the others waiting.
                    tokio::spawn(async move { keys.renew().await });
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = draining.begun() => return,
            }
        }
    }

    fn forget_all_but(&self, issuers: &[FhirIssuer]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|name, _| {
            let stays = issuers.iter().any(|issuer| issuer.issuer == *name);
            if !stays {
                self.conditions.clear(Kind::IssuerKeys, name);
            }
            stays
        });
    }
}

impl IssuerKeys {
    fn is_for(&self, settings: &FhirIssuer) -> bool {
        self.settings.jwks_uri == settings.jwks_uri && self.settings.ca == settings.ca
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key of a token.
    ///
    /// # Errors
    /// [`Unproved::Keys`] where there are none to be had, [`Unproved::Key`] where the issuer does not publish it, and
    /// [`Unproved::Algorithm`] where it publishes it for another algorithm.
    pub(super) async fn key_for(&self, token: &Token<'_>) -> Result<Key, Unproved> {
        let held = self.held().keys(Instant::now());
        if let Some(keys) = &held {
            if let Some(key) = choose(keys, token) {
                return Ok(key.clone());
            }
            if is_named(keys, token) {
                return Err(Unproved::Algorithm);
            }
            let worth = self.held().take_unknown(Instant::now());
            // Who comes while another's fetch is under way waits for it: keys have just been rotated, most likely.
            if !worth && self.fetching.try_lock().is_ok() {
                return Err(Unproved::Key);
            }
        }
        self.renew_unless(held.as_ref()).await;
        let keys = self.held().keys(Instant::now()).ok_or(Unproved::Keys)?;
        choose(&keys, token).cloned().ok_or(Unproved::Key)
    }

    /// Fetches, unless another fetch brought other keys than `before` meanwhile, or failed a moment ago.
    async fn renew_unless(&self, before: Option<&Arc<[Key]>>) {
        let _turn = self.fetching.lock().await;
        let now = Instant::now();
        let other = match (self.held().keys(now), before) {
            (Some(keys), Some(before)) => !Arc::ptr_eq(&keys, before),
            (Some(_), None) => true,
            (None, _) => false,
        };
        let may = self.held().may_try(now);
        if !other && may {
            self.fetch_and_keep().await;
        }
    }

    async fn renew(&self) {
        let Ok(_turn) = self.fetching.try_lock() else { return };
        self.fetch_and_keep().await;
    }

    async fn fetch_and_keep(&self) {
        let issuer = &self.settings.issuer;
        let fetched = self.fetch().await;
        let now = Instant::now();
        let outcome = if fetched.is_ok() { "fetched" } else { "failed" };
        Metric::EndpointKeyFetches.add(1, &[("issuer", issuer.clone()), ("outcome", outcome.to_owned())]);
        match fetched {
            Ok((keys, age)) => {
                self.held().came(keys, age, now);
                self.conditions.clear(Kind::IssuerKeys, issuer);
            }
            Err(error) => {
                let mut held = self.held();
                held.failed(now);
                let consequence = match held.keys(now) {
                    Some(_) => "the keys before count until they are a day old",
                    None => "no token of it can be checked, so none is taken",
                };
                let detail = format!("the issuer's keys cannot be had: {error}; {consequence}");
                self.conditions.raise(Kind::IssuerKeys, issuer, detail, time::now_ms());
            }
        }
    }

    async fn fetch(&self) -> Result<(Vec<Key>, Option<Duration>), FetchError> {
        let http = self.client()?;
        let url = match &self.settings.jwks_uri {
            Some(url) => url.clone(),
            None => self.discover(&http).await?,
        };
        let response = http.get(url).send().await.map_err(|_| FetchError::Unreachable)?;
        let age =
            response.headers().get(CACHE_CONTROL).and_then(|value| value.to_str().ok()).and_then(max_age);
        let body = body_of(response).await?;
        let keys = keys(&body).filter(|keys| !keys.is_empty()).ok_or(FetchError::Keys)?;
        Ok((keys, age))
    }

    fn way(&self) -> std::sync::MutexGuard<'_, Option<Http>> {
        self.http.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self) -> Result<reqwest::Client, FetchError> {
        let mut way = self.way();
        if way.is_none() {
            *way = Some(http(&self.settings).map_err(|_| FetchError::Authority)?);
        }
        way.as_ref().map(Http::client).ok_or(FetchError::Authority)
    }

    /// Where the issuer's own document says that its keys are.
    async fn discover(&self, http: &reqwest::Client) -> Result<String, FetchError> {
        let issuer = &self.settings.issuer;
        let mut last = FetchError::Discovery;
        for path in DISCOVERY {
            let url = format!("{}{path}", issuer.trim_end_matches('/'));
            let response = http.get(url).send().await.map_err(|_| FetchError::Unreachable)?;
            match body_of(response).await {
                Ok(body) => return named_keys(&body, issuer).ok_or(FetchError::Discovery),
                Err(error @ FetchError::Status(404)) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }
}

/// `jwks_uri` of a discovery document that is the issuer's own.
fn named_keys(document: &[u8], issuer: &str) -> Option<String> {
    let document: Value = serde_json::from_slice(document).ok()?;
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let url = text("jwks_uri").filter(|_| text("issuer") == Some(issuer))?;
    reqwest::Url::parse(url).is_ok_and(|url| url.scheme() == "https").then(|| url.to_owned())
}

/// The way to an issuer; believed is who its authority signed, as that file is now.
fn http(settings: &FhirIssuer) -> Result<Http, TlsError> {
    let files = ClientTls { ca: settings.ca.clone(), shown: None };
    Http::following(Presented::open(&settings.issuer, &files)?, |config| {
        tls::http_client(config, FETCH_TIMEOUT).https_only(true).build()
    })
}

async fn body_of(mut response: reqwest::Response) -> Result<Vec<u8>, FetchError> {
    if response.status().as_u16() != 200 {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|_| FetchError::Body)? {
        body.extend_from_slice(&part);
        if body.len() > ANSWER_MOST_BYTES {
            return Err(FetchError::Body);
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discovery_document_counts_where_it_is_the_issuers_own_and_names_https() {
        let of = |text: &str| named_keys(text.as_bytes(), "https://idp.example/r");
        let good = r#"{"issuer":"https://idp.example/r","jwks_uri":"https://idp.example/keys?v=1"}"#;
        assert_eq!(of(good).as_deref(), Some("https://idp.example/keys?v=1"));
        for bad in [
            r#"{"issuer":"https://evil.example/r","jwks_uri":"https://idp.example/keys"}"#,
            r#"{"issuer":"https://idp.example/r/","jwks_uri":"https://idp.example/keys"}"#,
            r#"{"jwks_uri":"https://idp.example/keys"}"#,
            r#"{"issuer":"https://idp.example/r","jwks_uri":"http://idp.example/keys"}"#,
            r#"{"issuer":"https://idp.example/r"}"#,
            "[]",
            "",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
