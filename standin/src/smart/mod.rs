//! SMART Backend Services on the stand-in: discovery, the token endpoint, and what a token allows.
//!
//! Section 3 of the reference; SMART App Launch 2.2, "Backend Services". Invariants: an assertion is taken
//! once, ever; a token allows what it was granted, until its time is over; nothing here looks at a body's
//! content. Numbers: tokens live [`TOKEN_LIFE`] unless told otherwise, at most `TOKENS_MAX` are kept (the
//! oldest go), at most `JTIS_MAX` assertions are remembered (then no more are taken).

mod assertion;
mod keys;
mod scope;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use aws_lc_rs::rand;
use jiff::Timestamp;
use serde_json::{Value, json};

pub use assertion::{JTI_MAX, LIFE_MAX_S};
pub use keys::{Algorithm, ClientKey, KeyError, jwks};
pub(crate) use scope::Doing;
use scope::{Scope, allow, grant};

use crate::call::{Answer, Call};
use crate::refusal::Refusal;
use crate::search::percent_decode;

/// How long a token lives: what Millennium's do (reference, section 3).
pub const TOKEN_LIFE: Duration = Duration::from_secs(570);
/// More tokens than any test asks for at once.
const TOKENS_MAX: usize = 10_000;
/// More assertions than any test sends.
const JTIS_MAX: usize = 1_000_000;
/// Where the token endpoint is, under the server's address.
pub(crate) const TOKEN_PATH: &str = "/oauth2/token";
/// How the path of the discovery document ends.
const DISCOVERY: &str = "/.well-known/smart-configuration";
/// RFC 7523, section 2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A registered client.
#[derive(Debug, Clone, PartialEq)]
pub struct SmartClient {
    /// Its id.
    pub client_id: String,
    /// Its public keys, as a JWKS.
    pub jwks: Value,
    /// The scopes it may be granted; none: all it asks for.
    pub granted: Vec<String>,
}

/// How the server authorizes.
#[derive(Debug, Clone, PartialEq)]
pub struct SmartSettings {
    /// Who is registered.
    pub clients: Vec<SmartClient>,
    /// How long tokens live.
    pub token_life: Duration,
    /// Whether `system/*.…` is refused; Millennium does so whatever stands here.
    pub refuses_wildcards: bool,
}

impl SmartSettings {
    /// One client that is granted all it asks for, tokens of [`TOKEN_LIFE`].
    pub fn of(client_id: &str, jwks: Value) -> Self {
        let client = SmartClient { client_id: client_id.to_owned(), jwks, granted: Vec::new() };
        Self { clients: vec![client], token_life: TOKEN_LIFE, refuses_wildcards: false }
    }
}

#[derive(Debug)]
struct Token {
    client_id: String,
    scopes: Vec<Scope>,
    until: Timestamp,
}

/// Who a request is from, and what it may do.
#[derive(Debug)]
pub(crate) struct Bearer<'a> {
    pub(crate) client_id: &'a str,
    scopes: &'a [Scope],
}

/// The authorization server.
#[derive(Debug)]
pub(crate) struct Smart {
    settings: SmartSettings,
    base_url: String,
    token_url: String,
    tokens: BTreeMap<String, Token>,
    order: VecDeque<String>,
    used: BTreeSet<(String, String)>,
}

/// What a token request came to: the answer, the verdict, and the client where one was recognised.
pub(crate) type Issued = (Answer, &'static str, Option<String>);

impl Smart {
    /// `origin` is `https://host:port`, `base_url` the FHIR server's.
    pub(crate) fn new(settings: SmartSettings, origin: &str, base_url: &str) -> Self {
        Self {
            settings,
            base_url: base_url.to_owned(),
            token_url: format!("{origin}{TOKEN_PATH}"),
            tokens: BTreeMap::new(),
            order: VecDeque::new(),
            used: BTreeSet::new(),
        }
    }

    pub(crate) fn token_url(&self) -> &str {
        &self.token_url
    }

    pub(crate) fn client(&mut self, client_id: &str) -> Option<&mut SmartClient> {
        self.settings.clients.iter_mut().find(|client| client.client_id == client_id)
    }

    pub(crate) fn set_token_life(&mut self, life: Duration) {
        self.settings.token_life = life;
    }

    /// Every token is over from now on.
    pub(crate) fn expire_all(&mut self) {
        self.tokens.values_mut().for_each(|token| token.until = Timestamp::MIN);
    }

    /// The discovery document, where the path is its; under the FHIR base, and at the root.
    pub(crate) fn discovery(&self, call: &Call<'_>) -> Option<Answer> {
        let path = call.target.split('?').next().unwrap_or_default();
        let before = path.strip_suffix(DISCOVERY)?;
        let ours = call.method == "GET" && matches!(before, "" | "/fhir");
        ours.then(|| {
            let document = json!({
                "issuer": self.base_url,
                "token_endpoint": self.token_url,
                "grant_types_supported": ["client_credentials"],
                "token_endpoint_auth_methods_supported": ["private_key_jwt"],
                "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
                "scopes_supported": ["system/Patient.rs", "system/Observation.cruds",
                    "system/DocumentReference.cruds", "system/Provenance.crs", "system/Encounter.rs"],
                "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
            });
            Answer::new(200, document).with("content-type", "application/json")
        })
    }

    /// A request for a token, at `now` by the server's clock.
    pub(crate) fn token(&mut self, call: &Call<'_>, now: Timestamp) -> Issued {
        // RFC 6749, 5.1 and 5.2.
        let dress = |answer: Answer| {
            answer.with("cache-control", "no-store").with("content-type", "application/json")
        };
        match self.issue(call, now) {
            Ok((answer, client)) => (dress(answer), "accepted", Some(client)),
            Err((status, error, broken)) => {
                let body = json!({"error": error, "error_description": broken});
                (dress(Answer::new(status, body)), broken, None)
            }
        }
    }

    /// The answer and the client, or status, OAuth error (RFC 6749, 5.2) and the broken rule.
    fn issue(
        &mut self,
        call: &Call<'_>,
        now: Timestamp,
    ) -> Result<(Answer, String), (u16, &'static str, &'static str)> {
        let malformed = |broken| (400, "invalid_request", broken);
        if call.method != "POST" {
            return Err((405, "invalid_request", "token-method"));
        }
        let form = form(call).ok_or(malformed("token-form"))?;
        let field = |name: &str| form.get(name).map(String::as_str);
        if field("grant_type") != Some("client_credentials") {
            return Err((400, "unsupported_grant_type", "token-grant-type"));
        }
        if field("client_assertion_type") != Some(ASSERTION_TYPE) {
            return Err(malformed("token-assertion-type"));
        }
        let jwt = field("client_assertion").ok_or(malformed("token-assertion"))?;
        let client_id = self.authenticate(jwt, now).map_err(|broken| (401, "invalid_client", broken))?;
        let scopes = self.grant(&client_id, field("scope").unwrap_or_default())?;
        Ok((self.give(&client_id, scopes, now), client_id))
    }

    fn authenticate(&mut self, jwt: &str, now: Timestamp) -> Result<String, &'static str> {
        let issuer = assertion::issuer(jwt).ok_or("jwt-malformed")?;
        let client = self.settings.clients.iter().find(|client| client.client_id == issuer);
        let client = client.ok_or("client-unknown")?;
        let held = assertion::check(jwt, &client.client_id, &client.jwks, &self.token_url, now)?;
        if self.used.len() >= JTIS_MAX {
            return Err("jti-no-room");
        }
        if !self.used.insert((held.client_id.clone(), held.jti)) {
            return Err("jti-reused");
        }
        Ok(held.client_id)
    }

    fn grant(&self, client_id: &str, asked: &str) -> Result<Vec<Scope>, (u16, &'static str, &'static str)> {
        let refuse = |broken| Err((400, "invalid_scope", broken));
        let asked: Vec<Scope> = asked.split_whitespace().filter_map(Scope::parse).collect();
        if self.settings.refuses_wildcards && asked.iter().any(Scope::is_wildcard) {
            return refuse("scope-wildcard");
        }
        let client = self.settings.clients.iter().find(|client| client.client_id == client_id);
        let grants = client.map(|client| client.granted.as_slice()).unwrap_or_default();
        let grants: Vec<Scope> = grants.iter().filter_map(|scope| Scope::parse(scope)).collect();
        match grant(&asked, &grants) {
            granted if granted.is_empty() => refuse("scope-none"),
            granted => Ok(granted),
        }
    }

    fn give(&mut self, client_id: &str, scopes: Vec<Scope>, now: Timestamp) -> Answer {
        let token = opaque_token();
        let told: Vec<String> = scopes.iter().map(Scope::to_string).collect();
        let life = self.settings.token_life;
        let until = now.saturating_add(life).unwrap_or(Timestamp::MAX);
        if self.order.len() >= TOKENS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.tokens.remove(&oldest);
        }
        self.order.push_back(token.clone());
        self.tokens.insert(token.clone(), Token { client_id: client_id.to_owned(), scopes, until });
        let body = json!({"access_token": token, "token_type": "bearer", "expires_in": life.as_secs(),
            "scope": told.join(" ")});
        Answer::new(200, body)
    }

    /// Whose token a request carries; 401 with WWW-Authenticate (RFC 6750, section 3) where it carries
    /// none that holds.
    pub(crate) fn bearer(&self, call: &Call<'_>, now: Timestamp) -> Result<Bearer<'_>, Refusal> {
        let refuse = |rule, challenge| {
            Err(Refusal::by(rule, 401, "login", "a valid token is needed").challenging(challenge))
        };
        let Some(token) = call.authorization.and_then(|told| told.strip_prefix("Bearer ")) else {
            return refuse("token-missing", "Bearer realm=\"fhir\"");
        };
        let unknown = "Bearer realm=\"fhir\", error=\"invalid_token\"";
        match self.tokens.get(token) {
            None => refuse("token-unknown", unknown),
            Some(token) if token.until <= now => refuse("token-expired", unknown),
            Some(token) => Ok(Bearer { client_id: &token.client_id, scopes: &token.scopes }),
        }
    }
}

impl Bearer<'_> {
    /// 403 `insufficient_scope` (RFC 6750, 3.1) where the token does not allow it.
    pub(crate) fn may(
        &self,
        doing: Doing,
        resource_type: &str,
        categories: &[(&str, &str)],
    ) -> Result<(), Refusal> {
        if allow(self.scopes, doing, resource_type, categories) {
            return Ok(());
        }
        let text = format!("the token has no scope for this with {resource_type}");
        let challenge = "Bearer realm=\"fhir\", error=\"insufficient_scope\"";
        Err(Refusal::by("scope-missing", 403, "forbidden", text).challenging(challenge))
    }
}

/// 256 random bits.
fn opaque_token() -> String {
    let mut bytes = [0; 32];
    // Without randomness the system cannot do TLS either.
    let _ = rand::fill(&mut bytes);
    crate::fact::hex(&bytes)
}

/// The fields of a form; none where it is no form or a field stands twice (RFC 6749, 3.2).
fn form(call: &Call<'_>) -> Option<BTreeMap<String, String>> {
    let media = call.content_type?.split(';').next()?.trim();
    if media != "application/x-www-form-urlencoded" {
        return None;
    }
    let mut fields = BTreeMap::new();
    for pair in std::str::from_utf8(call.body).ok()?.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let (name, value) = (percent_decode(name).ok()?, percent_decode(value).ok()?);
        if fields.insert(name, value).is_some() {
            return None;
        }
    }
    Some(fields)
}

#[cfg(test)]
#[path = "smart_tests.rs"]
mod tests;
