//! What was learned of every destination's capabilities, shared by the deliverers (who learn), the
//! pipeline (which asks before it queues) and status (which shows).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::mode::{Effect, Event, Learned, Observed};

/// The learned state; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Observations(Arc<Mutex<BTreeMap<(String, String), Learned>>>, Arc<Mutex<BTreeMap<String, Pause>>>);

/// Why a destination is sent nothing for a while although it is open: for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Why.
    pub why: Rest,
    /// Until when (ms UTC), as far as is known now.
    pub until: i64,
}

/// What a deliverer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// The destination asked for it (429, `Retry-After`).
    Asked,
    /// It does not answer: one request at a time is tried.
    Silent,
    /// The rate that its file permits, or that throttling left of it.
    Rate,
    /// As many requests as may be are out.
    Busy,
}

/// One capability, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The state.
    pub observed: Observed,
    /// Since when (ms UTC).
    pub since: i64,
    /// Why it is read-only; empty while open.
    pub cause: String,
}

impl Observations {
    /// Takes over what was known of a capability when the daemon stopped.
    pub fn recall(&self, destination: &str, kind: &str, learned: Learned) {
        self.with(|all| all.insert((destination.to_owned(), kind.to_owned()), learned));
    }

    /// The state of a capability; one that was never refused is open.
    pub fn of(&self, destination: &str, kind: &str) -> Observed {
        self.with(|all| {
            all.get(&(destination.to_owned(), kind.to_owned())).map_or(Observed::Open, Learned::observed)
        })
    }

    /// The state with its since and cause; `None` where nothing has been observed.
    pub fn seen(&self, destination: &str, kind: &str) -> Option<Seen> {
        self.with(|all| {
            all.get(&(destination.to_owned(), kind.to_owned())).map(|capability| Seen {
                observed: capability.observed(),
                since: capability.since(),
                cause: capability.cause().to_owned(),
            })
        })
    }

    /// What is stored as the evidence of a closed capability.
    pub fn evidence(&self, destination: &str, kind: &str, seen: &str) -> String {
        self.with(|all| {
            let learned = all.get(&(destination.to_owned(), kind.to_owned()));
            learned.map_or_else(|| seen.to_owned(), |learned| learned.evidence(seen))
        })
    }

    /// Whether a capability is read-only and nothing has been tried in it for so long.
    pub fn is_untried(&self, destination: &str, kind: &str, after_ms: i64, now: i64) -> bool {
        self.with(|all| {
            let learned = all.get(&(destination.to_owned(), kind.to_owned()));
            learned.is_some_and(|learned| learned.is_untried(after_ms, now))
        })
    }

    /// Something is to be tried in a capability.
    pub fn to_be_tried(&self, destination: &str, kind: &str, now: i64) {
        self.with(|all| {
            if let Some(learned) = all.get_mut(&(destination.to_owned(), kind.to_owned())) {
                learned.to_be_tried(now);
            }
        });
    }

    /// What a deliverer waits for now; `None` where nothing.
    pub fn pause(&self, destination: &str, pause: Option<Pause>) {
        let mut all = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        match pause {
            Some(pause) => all.insert(destination.to_owned(), pause),
            None => all.remove(destination),
        };
    }

    /// What the deliverer of a destination waited for when it last looked.
    pub fn paused(&self, destination: &str) -> Option<Pause> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).get(destination).copied()
    }

    /// Lets a capability learn from an event.
    pub fn apply(&self, destination: &str, kind: &str, event: Event, now: i64) -> Effect {
        self.with(|all| {
            all.entry((destination.to_owned(), kind.to_owned()))
                .or_insert_with(|| Learned::open(now))
                .apply(event, now)
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<(String, String), Learned>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
