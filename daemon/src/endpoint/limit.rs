//! How much one client may ask: so many requests a second, and so many at a time.
//!
//! Invariants: a place that was taken comes back when its [`Place`] is dropped, however the request ended; at most
//! [`CLIENTS_MOST`] clients are remembered, and one that has nothing under way and its whole burst again is forgotten first.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{config::FhirLimits, outbound::gate::Gate};

/// The most clients and peers: more than a hospital has apps.
const CLIENTS_MOST: usize = 4096;

/// Why a request has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Too many in this second; one goes after so long.
    Rate(Duration),
    /// Too many under way.
    InFlight,
}

impl Full {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Rate(_) => "rate",
            Self::InFlight => "in-flight",
        }
    }

    /// For `Retry-After`: whole seconds, at least one.
    pub(super) fn seconds(self) -> u64 {
        match self {
            Self::Rate(wait) => wait.as_millis().div_ceil(1000).clamp(1, 3600) as u64,
            Self::InFlight => 1,
        }
    }
}

/// The requests of all clients; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Limiter(Arc<Mutex<HashMap<String, Client>>>);

struct Client {
    gate: Gate,
    /// What the gate was made for: a reload makes another.
    rate: (u32, u32),
    in_flight: u16,
}

/// A request under way.
pub(super) struct Place {
    limiter: Limiter,
    client: String,
}

impl Limiter {
    /// A place for a request of a client.
    pub(super) fn admit(&self, client: &str, limits: &FhirLimits, now: Instant) -> Result<Place, Full> {
        let mut clients = self.lock();
        if !clients.contains_key(client) && clients.len() >= CLIENTS_MOST {
            clients
                .retain(|_, client| client.in_flight > 0 || client.gate.ready(now) < client.rate.1 as usize);
            if clients.len() >= CLIENTS_MOST {
                return Err(Full::InFlight);
            }
        }
        let rate = (limits.requests_per_second, limits.burst);
        let gate = || Gate::new(Some(f64::from(rate.0)), rate.1, now);
        let known =
            clients.entry(client.to_owned()).or_insert_with(|| Client { gate: gate(), rate, in_flight: 0 });
        if known.rate != rate {
            (known.gate, known.rate) = (gate(), rate);
        }
        if known.in_flight >= limits.in_flight_per_client {
            return Err(Full::InFlight);
        }
        if known.gate.ready(now) == 0 {
            return Err(Full::Rate(known.gate.wait(now)));
        }
        known.gate.pass(1, now);
        known.in_flight += 1;
        Ok(Place { limiter: self.clone(), client: client.to_owned() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Client>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(client) = self.limiter.lock().get_mut(&self.client) {
            client.in_flight -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(per_second: u32, burst: u32, in_flight: u16) -> FhirLimits {
        FhirLimits {
            requests_per_second: per_second,
            burst,
            in_flight_per_client: in_flight,
            ..FhirLimits::default()
        }
    }

    #[test]
    fn a_client_has_its_burst_and_then_its_rate_whatever_others_do() {
        let (limiter, limits, t0) = (Limiter::default(), limits(10, 2, 100), Instant::now());
        let full = |client: &str, now| limiter.admit(client, &limits, now).err();
        assert_eq!((full("a", t0), full("a", t0)), (None, None));
        let refused = full("a", t0).unwrap();
        assert_eq!((refused.word(), refused.seconds()), ("rate", 1));
        assert_eq!(full("b", t0), None);
        assert_eq!(full("a", t0 + Duration::from_millis(101)), None);
        assert!(full("a", t0 + Duration::from_millis(101)).is_some());
    }

    #[test]
    fn a_place_comes_back_when_its_request_ends() {
        let (limiter, limits, now) = (Limiter::default(), limits(1000, 1000, 1), Instant::now());
        let place = limiter.admit("a", &limits, now).ok().unwrap();
        assert_eq!(limiter.admit("a", &limits, now).err(), Some(Full::InFlight));
        drop(place);
        assert!(limiter.admit("a", &limits, now).is_ok());
    }

    #[test]
    fn clients_that_rest_are_forgotten_when_there_are_too_many() {
        let (limiter, limits, t0) = (Limiter::default(), limits(1, 1, 1), Instant::now());
        for n in 0..CLIENTS_MOST {
            drop(limiter.admit(&n.to_string(), &limits, t0));
        }
        assert_eq!(limiter.admit("new", &limits, t0).err(), Some(Full::InFlight), "nobody has rested");
        assert!(limiter.admit("new", &limits, t0 + Duration::from_secs(2)).is_ok());
        assert_eq!(limiter.lock().len(), 1);
    }
}
