//! The tokens of one destination: one request at a time, renewed ahead of their end, and once more where the
//! destination refuses one.
//!
//! Invariants: whoever needs a token waits at one gate, and finds the one that was got meanwhile; behind a failure nobody
//! asks before its time, unless the key changed since; a refused token is never shown again; the state that people
//! see is changed in one place (`Authorizer::turn`).

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rand::RngExt;
use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use tokio::{sync::watch, task::spawn_blocking};
use zeroize::Zeroizing;

use super::{
    answer::{self, Answer, Token},
    assertion, discovery,
    key::SigningKey,
    lifetime::{self, Plan},
    scope::Granted,
    skew::Skew,
    source::{KeySource, Stamp},
    standing::Standing,
    trouble::Trouble,
};
use crate::{
    delivery::{backoff, http},
    peer_clock::PeerClock,
    telemetry::Metric,
    time,
    tls::Http,
    verdict::{RETRY_AFTER_RANGE, retry_after},
};

/// How long one request for a token or a configuration may take, answer included: deliveries wait for it.
pub const REQUEST_MAX: Duration = Duration::from_secs(15);
/// The most that is read of such an answer: a configuration with all its scopes takes 20 kB.
const ANSWER_MAX_BYTES: usize = 256 * 1024;
/// How long a token endpoint that was found is used before it is looked for again.
const FOUND_FOR: Duration = Duration::from_secs(86_400);
/// The first and the longest wait where nobody answers, or not now.
const SILENT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The first and the longest wait where we are refused: some EHRs lock a client that knocks too often.
const REFUSED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a destination's tokens are asked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The destination's id, for metrics.
    pub destination: String,
    /// Its FHIR base URL, without a slash at its end.
    pub base_url: String,
    /// Who we are.
    pub client_id: String,
    /// What proves it.
    pub keys: KeySource,
    /// Where tokens are had, to the letter; `None` looks it up below the base URL.
    pub token_url: Option<String>,
    /// What is asked for.
    pub scopes: Vec<String>,
}

/// A token that may be shown.
pub struct Bearer {
    serial: u64,
    header: HeaderValue,
    asked_at: Instant,
    asked_at_ms: i64,
    plan: Plan,
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer").field("serial", &self.serial).finish_non_exhaustive()
    }
}

impl Bearer {
    /// The value of `Authorization`; its own `Debug` hides it.
    pub fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    fn is_usable(&self) -> bool {
        self.asked_at.elapsed() < self.plan.stop_after
    }

    fn is_due(&self) -> bool {
        self.asked_at.elapsed() >= self.plan.renew_after
    }
}

/// Known behind the gate.
#[derive(Default)]
struct Gate {
    serial: u64,
    skew: Skew,
    found: Option<(String, Instant)>,
    failures: u32,
    /// Nobody asks before, while the key is the one of this stamp.
    not_before: Option<(Instant, Stamp)>,
}

/// What people see, and the token in force.
#[derive(Default)]
struct State {
    held: Option<Arc<Bearer>>,
    trouble: Option<(Trouble, i64)>,
    skew: Skew,
    signed_with: Option<(String, &'static str)>,
    token_url: Option<String>,
    renewals: u64,
    refusals: u64,
    last_refusal: Option<(Trouble, i64)>,
    /// Somebody asked for another token, whatever the one in force is good for.
    anew: bool,
}

/// The tokens of one destination.
pub struct Authorizer {
    settings: Settings,
    http: Http,
    gate: tokio::sync::Mutex<Gate>,
    state: Mutex<State>,
    granted: watch::Sender<Option<Arc<Granted>>>,
    /// Whether the last request for a token brought one.
    available: watch::Sender<bool>,
    /// Of the token endpoint, to be compared with ours.
    clock: PeerClock,
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer").field("destination", &self.settings.destination).finish_non_exhaustive()
    }
}

/// Why a token is asked for; a label of metrics.
#[derive(Clone, Copy, Debug)]
enum Why {
    /// There is none.
    None,
    /// The one in force ends soon.
    Due,
    /// The destination refused the one in force.
    Refused,
}

impl Authorizer {
    /// An authorizer that has asked for nothing yet. `http` trusts the destination's authority.
    pub fn new(settings: Settings, http: impl Into<Http>) -> Self {
        let http = http.into();
        let ((granted, _), (available, _)) = (watch::channel(None), watch::channel(false));
        let clock = PeerClock::default();
        Self {
            settings,
            http,
            gate: Default::default(),
            state: Default::default(),
            granted,
            available,
            clock,
        }
    }

    /// Where the key comes from that asks for tokens.
    pub fn keys(&self) -> &KeySource {
        &self.settings.keys
    }

    /// The token endpoint's clock, by what it answers.
    pub fn clock(&self) -> &PeerClock {
        &self.clock
    }

    /// Takes over what another knows that asks for the same as the same client: its token, and what was granted. A reload
    /// of the configuration costs no token, and leaves no moment in which it is not known what may be written.
    pub fn take_over(&self, before: &Self) {
        let (Ok(mut gate), true) = (self.gate.try_lock(), self.settings == before.settings) else { return };
        let (old, mut new) = (before.state(), self.state());
        new.held.clone_from(&old.held);
        new.skew = old.skew;
        new.signed_with.clone_from(&old.signed_with);
        new.token_url.clone_from(&old.token_url);
        (new.renewals, new.refusals) = (old.renewals, old.refusals);
        new.last_refusal.clone_from(&old.last_refusal);
        (gate.serial, gate.skew) = (old.held.as_ref().map_or(0, |held| held.serial), old.skew);
        self.granted.send_replace(before.granted.borrow().clone());
        self.available.send_replace(*before.available.borrow());
    }

    /// A token that may be shown now; asks for one where there is none.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn bearer(&self) -> Result<Arc<Bearer>, Trouble> {
        if let Some(held) = self.usable() {
            return Ok(held);
        }
        let mut gate = self.gate.lock().await;
        match self.usable() {
            Some(held) => Ok(held),
            None => self.turn(&mut gate, Why::None).await,
        }
    }

    /// Renews the token where that is due, or gets the first one; deliveries go on with the old one meanwhile.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn keep(&self) -> Result<(), Trouble> {
        let good = || self.usable().filter(|held| !held.is_due() && !self.state().anew).is_some();
        if good() {
            return Ok(());
        }
        let mut gate = self.gate.lock().await;
        match self.usable() {
            Some(_) if good() => Ok(()),
            Some(_) => self.turn(&mut gate, Why::Due).await.map(|_| ()),
            None => self.turn(&mut gate, Why::None).await.map(|_| ()),
        }
    }

    /// Another token than `refused`, which the destination answered with 401: the one that was got meanwhile, or a new
    /// one.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn instead_of(&self, refused: &Bearer) -> Result<Arc<Bearer>, Trouble> {
        let mut gate = self.gate.lock().await;
        if let Some(held) = self.usable().filter(|held| held.serial != refused.serial) {
            return Ok(held);
        }
        self.state().held = None;
        self.turn(&mut gate, Why::Refused).await
    }

    /// Has the token renewed soon, though it is good: another may grant more. Deliveries go on with this one meanwhile.
    pub fn renew(&self) {
        self.state().anew = true;
    }

    /// Forgets the token and what it grants: nothing is sent before there is another, whose scopes count.
    pub fn forget(&self) {
        {
            let mut state = self.state();
            (state.held, state.anew) = (None, true);
        }
        self.granted.send_replace(None);
    }

    /// What was granted last; changes with every answer that grants something else.
    pub fn granted(&self) -> watch::Receiver<Option<Arc<Granted>>> {
        self.granted.subscribe()
    }

    /// Whether the last request for a token brought one; changes with trouble and with its end.
    pub fn available(&self) -> watch::Receiver<bool> {
        self.available.subscribe()
    }

    /// How the tokens stand.
    pub fn standing(&self) -> Standing {
        let granted = self.granted.borrow().clone();
        let state = self.state();
        let held = state.held.as_ref().filter(|held| held.is_usable());
        Standing {
            destination: self.settings.destination.clone(),
            client_id: self.settings.client_id.clone(),
            signed_with: state.signed_with.clone(),
            token_url: state.token_url.clone().or_else(|| self.settings.token_url.clone()),
            asked: self.settings.scopes.clone(),
            missing: granted
                .as_ref()
                .map(|granted| granted.missing(&self.settings.scopes))
                .unwrap_or_default(),
            granted,
            since_ms: held.map(|held| held.asked_at_ms),
            age: held.map(|held| held.asked_at.elapsed()),
            left: held.map(|held| held.plan.stop_after.saturating_sub(held.asked_at.elapsed())),
            skew: state.skew,
            renewals: state.renewals,
            refusals: state.refusals,
            trouble: state.trouble.clone(),
            last_refusal: state.last_refusal.clone(),
        }
    }

    fn usable(&self) -> Option<Arc<Bearer>> {
        self.state().held.clone().filter(|held| held.is_usable())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One turn at the gate: asks, unless it is too early, and draws the consequences.
    async fn turn(&self, gate: &mut Gate, why: Why) -> Result<Arc<Bearer>, Trouble> {
        let keys = self.settings.keys.clone();
        let stamp = blocking(move || keys.stamp()).await;
        // Who asks for another token has done something about the trouble, and is not kept waiting for it.
        let anew = std::mem::take(&mut self.state().anew);
        if let Some((not_before, seen)) = &gate.not_before
            && !anew
            && Instant::now() < *not_before
            && stamp.as_ref() == Some(seen)
            && let Some((trouble, _)) = self.state().trouble.clone()
        {
            return Err(trouble);
        }
        let (asked_at, asked_at_ms) = (Instant::now(), time::now_ms());
        let got = self.ask(gate).await;
        let destination = || ("destination", self.settings.destination.clone());
        let mut state = self.state();
        state.skew = gate.skew;
        match got {
            Ok((token, key)) => {
                (gate.failures, gate.not_before) = (0, None);
                gate.serial += 1;
                let granted = Granted::read(token.scope.as_deref(), &self.settings.scopes);
                let held = held(gate.serial, &token, asked_at, asked_at_ms)?;
                state.held = Some(Arc::clone(&held));
                state.trouble = None;
                state.signed_with = Some((key.kid().to_owned(), key.algorithm().name()));
                state.renewals += 1;
                drop(state);
                Metric::TokenRenewals.add(1, &[destination(), ("cause", why.word().to_owned())]);
                self.is_available(true);
                self.granted.send_if_modified(|known| {
                    let changed = known.as_deref() != Some(&granted);
                    *known = Some(Arc::new(granted));
                    changed
                });
                Ok(held)
            }
            Err(trouble) => {
                gate.failures = gate.failures.saturating_add(1);
                let wait = wait(&trouble, gate.failures, chance());
                gate.not_before = stamp.map(|stamp| (Instant::now() + wait, stamp));
                if trouble.lasts() {
                    // Where it was found may be wrong.
                    gate.found = None;
                }
                let now = time::now_ms();
                let since = state.trouble.as_ref().map_or(now, |(_, since)| *since);
                state.trouble = Some((trouble.clone(), since));
                state.last_refusal = Some((trouble.clone(), now));
                state.refusals += 1;
                drop(state);
                self.is_available(false);
                Metric::TokenRefusals.add(1, &[destination(), ("cause", trouble.word().to_owned())]);
                Err(trouble)
            }
        }
    }

    fn is_available(&self, is: bool) {
        self.available.send_if_modified(|was| std::mem::replace(was, is) != is);
    }

    async fn ask(&self, gate: &mut Gate) -> Result<(Token, SigningKey), Trouble> {
        let keys = self.settings.keys.clone();
        let key = match blocking(move || keys.read()).await {
            Some(Ok(key)) => key,
            Some(Err(error)) => return Err(Trouble::Key { what: error.to_string(), advice: error.advice() }),
            None => return Err(Trouble::Unreached("the key could not be read".to_owned())),
        };
        let url = self.endpoint(gate, &key).await?;
        let by = gate.skew.correction_s();
        let mut answer = self.request(gate, &key, &url).await?;
        let moved = (gate.skew.correction_s() - by).abs() > assertion::BACKDATED_S / 2;
        if moved && matches!(answer, Answer::Refused(_)) {
            // It told its time with the refusal: once more, by its clock.
            answer = self.request(gate, &key, &url).await?;
        }
        match answer {
            Answer::Token(token) => Ok((token, key)),
            Answer::Refused(refusal) => Err(Trouble::Refused(refusal)),
            Answer::Later(status) => Err(Trouble::Later { status, wait: None }),
            Answer::Garbled(what) => Err(Trouble::Garbled(what)),
        }
    }

    /// Where tokens are had.
    async fn endpoint(&self, gate: &mut Gate, key: &SigningKey) -> Result<String, Trouble> {
        if let Some(url) = &self.settings.token_url {
            return Ok(url.clone());
        }
        if let Some((url, at)) = gate.found.as_ref().filter(|(_, at)| at.elapsed() < FOUND_FOR) {
            let _found_at = at;
            return Ok(url.clone());
        }
        let address = format!("{}/{}", self.settings.base_url, discovery::PATH);
        let asked = self.http.client().get(address).header(ACCEPT, "application/json").timeout(REQUEST_MAX);
        let asked_at = Instant::now();
        let (status, headers, body) = exchange(asked).await?;
        self.measure(gate, &headers, asked_at.elapsed());
        match status {
            200 => {}
            408 | 429 | 500..=599 => return Err(Trouble::Later { status, wait: asked_wait(&headers) }),
            _ => return Err(Trouble::NoDiscovery(status)),
        }
        let url = discovery::token_endpoint(&body, key.algorithm()).map_err(Trouble::Discovery)?;
        gate.found = Some((url.clone(), Instant::now()));
        self.state().token_url = Some(url.clone());
        Ok(url)
    }

    /// One request with a fresh assertion.
    async fn request(&self, gate: &mut Gate, key: &SigningKey, url: &str) -> Result<Answer, Trouble> {
        let server_s = time::now_ms().div_euclid(1_000) + gate.skew.correction_s();
        let claims = assertion::claims(&self.settings.client_id, url, server_s, rand::rng().random());
        let signed = assertion::sign(key, &claims).map_err(|error| Trouble::Key {
            what: error.to_string(),
            advice: "make another key: isthmus site keys new".to_owned(),
        })?;
        let form = form(&self.settings.scopes.join(" "), &signed);
        let asked = self
            .http
            .client()
            .post(url)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .timeout(REQUEST_MAX)
            .body(form);
        let asked_at = Instant::now();
        let (status, headers, body) = exchange(asked).await?;
        self.measure(gate, &headers, asked_at.elapsed());
        match answer::read(status, &body) {
            Answer::Later(status) => Err(Trouble::Later { status, wait: asked_wait(&headers) }),
            answer => Ok(answer),
        }
    }

    fn measure(&self, gate: &mut Gate, headers: &HeaderMap, took: Duration) {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        if let Some(date) = date {
            self.clock.note(date, took, time::now_ms(), time::monotonic_ms());
        }
        if let Some(skew) = date.and_then(|date| Skew::of(date, time::now_ms())) {
            gate.skew = skew;
        }
    }
}

impl Why {
    const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Due => "due",
            Self::Refused => "refused",
        }
    }
}

fn held(serial: u64, token: &Token, asked_at: Instant, asked_at_ms: i64) -> Result<Arc<Bearer>, Trouble> {
    let value = Zeroizing::new(format!("Bearer {}", token.secret.as_str()));
    let mut header = HeaderValue::from_str(&value)
        .map_err(|_| Trouble::Garbled("holds an access_token that no header can carry"))?;
    header.set_sensitive(true);
    let plan = lifetime::plan(token.lives, chance());
    Ok(Arc::new(Bearer { serial, header, asked_at, asked_at_ms, plan }))
}

/// How long nobody asks after so many failures in a row.
fn wait(trouble: &Trouble, failures: u32, chance: f64) -> Duration {
    if let Trouble::Later { wait: Some(wait), .. } = trouble {
        return (*wait).clamp(RETRY_AFTER_RANGE.0, RETRY_AFTER_RANGE.1);
    }
    let (least, most) = if trouble.lasts() { REFUSED } else { SILENT };
    backoff::wait(failures, least, most, chance)
}

fn asked_wait(headers: &HeaderMap) -> Option<Duration> {
    let now = jiff::Timestamp::from_millisecond(time::now_ms()).ok()?;
    retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, now)
}

/// The form of a request (SMART Backend Services, "Obtain access token").
fn form(scope: &str, assertion: &str) -> String {
    let pairs = [
        ("grant_type", "client_credentials"),
        ("scope", scope),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion),
    ];
    let form = reqwest::Url::parse_with_params("https://form.invalid/", pairs);
    form.ok().and_then(|form| form.query().map(str::to_owned)).unwrap_or_default()
}

/// Sends, and reads a bounded answer.
async fn exchange(asked: reqwest::RequestBuilder) -> Result<(u16, HeaderMap, Zeroizing<Vec<u8>>), Trouble> {
    let unreached = |error: reqwest::Error| Trouble::Unreached(http::told(&error));
    let response = asked.send().await.map_err(unreached)?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = http::body(response, ANSWER_MAX_BYTES).await.map_err(unreached)?;
    Ok((status, headers, Zeroizing::new(body)))
}

/// Files may be on a disk that hangs: not on the runtime's own threads. `None` where that broke off.
async fn blocking<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    spawn_blocking(look).await.ok()
}

fn chance() -> f64 {
    rand::rng().random()
}

#[cfg(test)]
#[path = "authorizer_tests.rs"]
mod tests;
