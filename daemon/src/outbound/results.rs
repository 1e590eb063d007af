//! Whose results may leave for a receiver of messages now. Pure.
//!
//! Invariants
//! - A message with results is leased only while its site lists a form that goes to this receiver, permits writes, and
//!   nobody holds them, in the generation of configuration that is in force at that moment. What is not known to be open is
//!   closed.
//! - What is closed waits in the queue, deferred with the reason; nothing is dropped. It goes when its site permits it again.
//! - Acknowledgements hold no results, and go whatever sites say.
//!
//! The one who sends to a receiver brings its queue in line, and nobody else: a site that was taken out of the
//! configuration has nobody left to do it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    broker::{self, Reason},
    delivery::{BY_MODE, left_out},
    destination::{Destination, MESSAGES},
    generation::Generation,
    observations::Observations,
};

/// Why results of this kind may not leave for a receiver now; `None` where they may, and for what holds no results.
pub fn closed(
    kind: &str,
    receiver: &str,
    generation: &Generation,
    observations: &Observations,
) -> Option<Reason> {
    let site = Destination::site_of_messages(kind)?;
    let listed = generation
        .destination(&format!("ehr:{site}"))
        .filter(|destination| destination.receivers().any(|id| id == receiver));
    let Some(destination) = listed else { return Some(Reason::FormNotListed) };
    let observed = observations.of(&destination.id, MESSAGES.name());
    broker::held(&destination.ceiling, MESSAGES, observed)
}

/// What is to be done with the rows of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shift {
    /// The kind.
    pub kind: String,
    /// Why it is closed.
    pub closed: Option<Reason>,
    /// Of what is released and was deferred for one of these reasons, leave out what a later window made stale.
    pub latest: Vec<String>,
}

impl Shift {
    /// The reason for which waiting rows are deferred.
    pub fn held(&self) -> Option<String> {
        self.closed.map(|reason| reason.word().to_owned())
    }

    /// The reasons for which rows were deferred that go again.
    pub fn released(&self) -> Vec<String> {
        match self.closed {
            Some(_) => Vec::new(),
            // A site that permits its messages lists their form.
            None => {
                let ended = BY_MODE.into_iter().chain([Reason::FormNotListed]);
                ended.map(|reason| reason.word().to_owned()).collect()
            }
        }
    }
}

/// What is known of the kinds of results at one receiver.
#[derive(Debug, Default)]
pub struct Results {
    receiver: String,
    generation: Option<u64>,
    /// Of all generations: rows may be queued by a decision of one that is over.
    kinds: BTreeSet<String>,
    /// What the queue was brought in line with.
    aligned: BTreeMap<String, Option<Reason>>,
    /// Rows may have come to wait since, by a decision that was made before and committed after.
    unaligned: bool,
}

impl Results {
    /// Nothing is known yet.
    pub fn of(receiver: &str) -> Self {
        Self { receiver: receiver.to_owned(), unaligned: true, ..Self::default() }
    }

    /// Whether what waits was not looked at since this generation is in force.
    pub fn is_new(&self, generation: u64) -> bool {
        self.generation != Some(generation)
    }

    /// Takes over which kinds wait, and those that the generation's sites make.
    pub fn learn(&mut self, generation: &Generation, waiting: Vec<String>) {
        let made = generation.destinations().filter(|one| one.receivers().any(|id| id == self.receiver));
        let made: Vec<String> = made.map(|destination| destination.message_kind()).collect();
        let results = waiting.into_iter().chain(made);
        self.kinds.extend(results.filter(|kind| Destination::site_of_messages(kind).is_some()));
        self.generation = Some(generation.number);
        // What was deferred by another generation's word may go by this one's.
        self.aligned.clear();
    }

    /// Rows were queued, or came back.
    pub fn unaligned(&mut self) {
        self.unaligned = true;
    }

    /// The kinds that may be leased.
    pub fn open(&self, generation: &Generation, observations: &Observations) -> Vec<String> {
        let is_open = |kind: &&String| closed(kind, &self.receiver, generation, observations).is_none();
        self.kinds.iter().filter(is_open).cloned().collect()
    }

    /// What is to be done until the queue is in line.
    pub fn shifts(&self, generation: &Generation, observations: &Observations) -> Vec<Shift> {
        let shift = |kind: &String| {
            let closed = closed(kind, &self.receiver, generation, observations);
            let is_done = self.aligned.get(kind) == Some(&closed) && !self.unaligned;
            let site = Destination::site_of_messages(kind).unwrap_or_default();
            let destination = generation.destination(&format!("ehr:{site}"));
            let latest = destination.map(|one| left_out(one.on_recovery)).unwrap_or_default();
            (!is_done).then(|| Shift { kind: kind.clone(), closed, latest })
        };
        self.kinds.iter().filter_map(shift).collect()
    }

    /// One of them is done.
    pub fn shifted(&mut self, shift: Shift) {
        self.aligned.insert(shift.kind, shift.closed);
    }

    /// All of them are.
    pub fn aligned(&mut self) {
        self.unaligned = false;
    }

    /// Whether what waits of some kind may not leave.
    pub fn is_any_closed(&self) -> bool {
        self.aligned.values().any(Option::is_some)
    }
}

#[cfg(test)]
#[path = "results_tests.rs"]
mod tests;
