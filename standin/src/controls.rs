//! What a test turns on a running stand-in: rules, limits, people, rows, keys, scopes, tokens, the clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::chart::{Admitted, Person};
use crate::ehr::Ehr;
use crate::limit::{Bucket, RateLimit};
use crate::persona::{Persona, RowMap};
use crate::rule::Rule;

impl Ehr {
    /// From now on follows this rule, after those it has; one of the same name is replaced. Returns the
    /// moment on the log's clock.
    pub fn rule(&self, rule: Rule) -> Duration {
        self.shared.lock().script.rule(rule);
        self.shared.started.elapsed()
    }

    /// From now on without the rule of this name; whether there was one.
    pub fn withdraw(&self, name: &str) -> bool {
        self.shared.lock().script.withdraw(name)
    }

    /// From now on with this limit on writes, its bucket full; none: without.
    pub fn limit(&self, limit: Option<RateLimit>) {
        let at = self.shared.started.elapsed();
        self.shared.lock().bucket = limit.map(|limit| Bucket::new(limit, at));
    }

    /// Whom it plays.
    pub fn persona(&self) -> Persona {
        self.shared.lock().conduct.persona
    }

    /// Puts a person on the chart.
    pub fn admit(&self, person: &Person) -> Admitted {
        self.shared.lock().admit(person, Timestamp::now())
    }

    /// Everybody who was put on the chart, in order.
    pub fn admitted(&self) -> Vec<Admitted> {
        self.shared.lock().admitted.clone()
    }

    /// The id of the one Practitioner, who is there as soon as there is a patient.
    pub fn practitioner(&self) -> Option<String> {
        self.shared.lock().practitioner.clone()
    }

    /// From now on this is Epic's row map: somebody mapped a row, or took one away.
    pub fn set_rows(&self, rows: RowMap) {
        self.shared.lock().conduct.rows = rows;
    }

    /// Where tokens are asked for, if they are needed.
    pub fn token_url(&self) -> Option<String> {
        self.shared.lock().smart.as_ref().map(|smart| smart.token_url().to_owned())
    }

    /// From now on every token given so far is over.
    pub fn expire_tokens(&self) {
        if let Some(smart) = &mut self.shared.lock().smart {
            smart.expire_all();
        }
    }

    /// From now on tokens live so long.
    pub fn set_token_life(&self, life: Duration) {
        if let Some(smart) = &mut self.shared.lock().smart {
            smart.set_token_life(life);
        }
    }

    /// From now on a client has these public keys; whether there is such a client.
    pub fn set_keys(&self, client_id: &str, jwks: Value) -> bool {
        let mut exchange = self.shared.lock();
        let client = exchange.smart.as_mut().and_then(|smart| smart.client(client_id));
        client.map(|client| client.jwks = jwks).is_some()
    }

    /// From now on a client is granted at most these scopes, in tokens still to be given; none: all it
    /// asks for. Whether there is such a client.
    pub fn set_granted(&self, client_id: &str, scopes: &[&str]) -> bool {
        let mut exchange = self.shared.lock();
        let client = exchange.smart.as_mut().and_then(|smart| smart.client(client_id));
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        client.map(|client| client.granted = scopes).is_some()
    }

    /// From now on its clock runs ahead by so much, or behind.
    pub fn set_clock_offset(&self, offset: SignedDuration) {
        self.shared.lock().conduct.clock_offset = offset;
    }
}
