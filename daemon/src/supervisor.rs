//! One deliverer for every destination, FHIR or MLLP, that the configuration names.
//!
//! Invariant: while the daemon runs, no destination that the configuration names is without a deliverer for longer than
//! `REST`: one that breaks off (a defect of ours) is begun again after that, and what it had out is in doubt until the
//! next one has found out.

use std::{collections::BTreeSet, future::Future, time::Duration};

use outbox::{Readers, State, Writer};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    conditions::Board,
    course,
    delivery::{self, commit, doubt},
    drain::Draining,
    generation::Current,
    observations::Observations,
    outbound::{self, Halts, Refusals},
};

/// How long a destination rests after its deliverer broke off: it may do so again at once, and each time it is in the
/// log.
const REST: Duration = Duration::from_secs(1);
/// Leased rows looked at for those that a deliverer left: more than all destinations together have out.
const LEFT_MOST: usize = 10_000;

/// Keeps the deliverers.
pub(crate) struct Supervisor {
    /// Commands to the store, and reads of it.
    pub(crate) store: (Writer, Readers),
    /// The configuration in force.
    pub(crate) current: Current,
    /// What is learned of destinations.
    pub(crate) observations: Observations,
    /// Where faults are told.
    pub(crate) conditions: Board,
    /// Changes when FHIR rows were queued.
    pub(crate) queue: watch::Receiver<u64>,
    /// Which MLLP destinations stand still.
    pub(crate) halts: Halts,
    /// Which of their messages were refused and wait.
    pub(crate) refusals: Refusals,
    /// Changes when messages were queued.
    pub(crate) replies: watch::Receiver<u64>,
    /// The stop.
    pub(crate) draining: Draining,
}

impl Supervisor {
    /// Runs until the drain begins and every deliverer has ended.
    pub(crate) async fn run(mut self) {
        let mut deliverers: JoinSet<String> = JoinSet::new();
        let mut running = BTreeSet::new();
        loop {
            for destination in self.current.get().destinations() {
                if running.insert(destination.id.clone()) {
                    course::stand_by(&destination.id);
                    let run = self.deliverer(&destination.id).run();
                    deliverers.spawn(kept(destination.id.clone(), self.store.clone(), run));
                }
            }
            for outbound in self.current.get().outbounds() {
                if running.insert(outbound.id.clone()) {
                    course::stand_by(&outbound.id);
                    let run = self.sender(&outbound.id).run();
                    deliverers.spawn(kept(outbound.id.clone(), self.store.clone(), run));
                }
            }
            tokio::select! {
                () = self.current.changed() => {}
                Some(Ok(id)) = deliverers.join_next() => { running.remove(&id); }
                () = self.draining.begun() => break,
            }
        }
        while deliverers.join_next().await.is_some() {}
    }

    fn sender(&self, id: &str) -> outbound::Deliverer {
        outbound::Deliverer {
            id: id.to_owned(),
            writer: self.store.0.clone(),
            readers: self.store.1.clone(),
            current: self.current.clone(),
            observations: self.observations.clone(),
            halts: self.halts.clone(),
            refusals: self.refusals.clone(),
            conditions: self.conditions.clone(),
            queued: self.replies.clone(),
            draining: self.draining.clone(),
        }
    }

    fn deliverer(&self, id: &str) -> delivery::Deliverer {
        delivery::Deliverer {
            id: id.to_owned(),
            writer: self.store.0.clone(),
            readers: self.store.1.clone(),
            current: self.current.clone(),
            observations: self.observations.clone(),
            halts: self.halts.clone(),
            conditions: self.conditions.clone(),
            queued: self.queue.clone(),
            draining: self.draining.clone(),
        }
    }
}

/// Runs a deliverer to its end and returns its destination's id. Where it breaks off, it rests, and puts what was left
/// leased in doubt.
async fn kept(
    id: String,
    store: (Writer, Readers),
    run: impl Future<Output = ()> + Send + 'static,
) -> String {
    // A set of its own, so that it ends with this task where this one is cut off.
    let mut alone = JoinSet::new();
    alone.spawn(run);
    if let Some(Err(error)) = alone.join_next().await {
        tracing::error!(destination = %id, %error, "a deliverer broke off; it is begun again");
        // What it had spawned is cut off meanwhile.
        tokio::time::sleep(REST).await;
        free(&id, &store).await;
    }
    id
}

/// Puts the leased rows of a destination that nobody sends to in doubt.
async fn free(id: &str, (writer, readers): &(Writer, Readers)) {
    match readers.with(|reader| reader.rows(Some(State::Leased), LEFT_MOST)) {
        Ok(rows) => {
            for row in rows.into_iter().filter(|row| row.destination == id) {
                commit(writer, doubt(row.id, "the deliverer broke off before an answer came")).await;
            }
        }
        Err(error) => {
            tracing::error!(destination = %id, %error, "what was leased is looked for at the next start");
        }
    }
}

#[cfg(test)]
mod tests {
    use outbox::{Key, Lease, NewMessage, Store, StoreOptions, Take};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_deliverer_that_breaks_off_gives_its_place_back_and_leaves_nothing_leased() {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::from_hex(&"a".repeat(64)).unwrap();
        let store = Store::open(dir.path(), key, StoreOptions::default(), 0).unwrap();
        let message = |destination: &str, number: u8| NewMessage {
            destination: destination.to_owned(),
            patient: 1,
            kind: "oru".to_owned(),
            key: [number; 32],
            body: b"MSH|".to_vec(),
            at: 0,
        };
        store.writer().enqueue(vec![message("mllp:x", 1), message("mllp:y", 2)]).await.unwrap();
        for destination in ["mllp:x", "mllp:y"] {
            let destination = destination.to_owned();
            let lease = Lease { destination, limit: 1, now: 1, take: Take::Any, quotas: Vec::new() };
            assert_eq!(store.writer().lease(lease).await.unwrap().len(), 1);
        }
        let both = (store.writer(), store.readers());
        let id = kept("mllp:x".to_owned(), both, async { panic!("a defect") }).await;
        assert_eq!(id, "mllp:x");
        let rows = store.readers().with(|reader| reader.rows(None, 9)).unwrap();
        let mut states: Vec<_> = rows.iter().map(|row| (row.destination.as_str(), row.state)).collect();
        states.sort_by_key(|(destination, _)| *destination);
        assert_eq!(states, [("mllp:x", State::Ambiguous), ("mllp:y", State::Leased)], "another's stays");
    }
}
