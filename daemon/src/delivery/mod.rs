//! Delivery: leases rows of one destination, sends them, and lets the destination's answers decide.
//!
//! One [`Deliverer`] a destination. Its loop waits in one place (`select!` in [`Deliverer::run`]), takes rows in another
//! (`dispatch.rs`), and changes state in a third (`verdicts.rs`). Invariants: a row is marked as leased on disk
//! before its bytes leave, so that after a kill its fate is known to be unknown; a refusal for want of
//! permission closes the capability in memory before the next lease is asked for; every verdict is
//! committed with the change of mode and the audit entry that it causes.

mod amendments;
pub mod attempt;
pub mod backoff;
mod birth_date;
mod consequence;
mod departure;
mod dispatch;
mod doubts;
mod edges;
pub(crate) mod ehr_patient;
mod fallback;
pub mod http;
mod listed;
mod pace;
mod pages;
pub(crate) mod rate;
pub mod seat;
mod server;
mod unanswered;
mod verdicts;
mod withdrawal;
mod withheld;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use outbox::{Readers, Settle, Writer};
use rand::RngExt;
use tokio::{
    sync::watch,
    task::{self, JoinError, JoinSet},
    time::sleep,
};

pub(crate) use self::birth_date::scope as doubt_scope;
pub use self::edges::closed_detail;
pub(crate) use self::edges::{BY_MODE, left_out};
use self::{pace::Pace, verdicts::Ended};
use crate::{
    conditions::Board, destination::Destination, drain::Draining, generation::Current, mode::Event,
    observations::Observations, outbound::Halts, standstill, time,
};

/// The deliverer looks at its queue at least so often.
const LONGEST_SLEEP: Duration = Duration::from_secs(2);
/// And at the least: a row whose time has come may be waiting for the one before it.
const SHORTEST_SLEEP_MS: i64 = 20;
/// Pause before a settlement that the store did not take is tried again.
const SETTLE_PAUSE: Duration = Duration::from_millis(500);

/// Writes to one destination.
pub struct Deliverer {
    /// Which.
    pub id: String,
    /// Commands to the store.
    pub writer: Writer,
    /// Reads of the store.
    pub readers: Readers,
    /// The configuration in force.
    pub current: Current,
    /// What is learned of destinations.
    pub observations: Observations,
    /// Which receivers of messages stand still.
    pub halts: Halts,
    /// Where faults are told.
    pub conditions: Board,
    /// Changes when rows were queued.
    pub queued: watch::Receiver<u64>,
    /// The stop.
    pub draining: Draining,
}

/// What a finished task brings back.
enum Done {
    Sent(Vec<Ended>),
    Settled,
}

impl Deliverer {
    /// Runs until the destination leaves the configuration or the drain begins; then what is in flight
    /// finishes.
    pub async fn run(mut self) {
        let mut tasks: JoinSet<Done> = JoinSet::new();
        let mut pace = Pace::new(Instant::now());
        let mut last: Option<Arc<Destination>> = None;
        let mut halted = self.halts.subscribe();
        loop {
            let generation = self.current.get();
            let Some(destination) = generation.destination(&self.id) else { break };
            last = Some(Arc::clone(&destination));
            if pace.applied != generation.number {
                let probe_in = backoff::jittered(destination.delivery.probe_interval, chance());
                pace.reload(generation.number, &destination.delivery.rate, probe_in, Instant::now());
            }
            if pace.unaligned {
                pace.unaligned = !self.align(&destination, &mut pace).await;
                pace.unweighed = true;
            }
            if Instant::now() >= pace.held_at {
                birth_date::clear_settled(&self.conditions, &self.readers, &self.id);
                withdrawal::clear_unwritten(&self.conditions, &self.readers, &self.writer).await;
                withheld::clear_gone(&self.conditions, &self.readers, &self.writer, &self.id).await;
                pace.unweighed |= self.has_halted(&destination);
                self.end_unanswered_where_nothing_waits(&mut pace);
                self.tell_doubt(&destination, &pace, time::now_ms());
                pace.held_at = Instant::now() + LONGEST_SLEEP;
                pace.look_at_doubts = true;
            }
            // Nothing is sent during a standstill, from a queue that does not say yet what may be sent, or to a server that nobody knows.
            let wait = if standstill::stands(&self.conditions)
                || pace.unaligned
                || !self.is_at_its_server(&destination, &mut pace).await
                || !self.scopes_known(&destination, &mut pace).await
            {
                self.settle_each(&mut pace, &mut tasks);
                SETTLE_PAUSE
            } else {
                self.dispatch(&destination, &mut pace, &mut tasks).await
            };
            // After what came back was settled: what was refused waits from now on.
            if !pace.unaligned {
                self.fall_back(&destination, &mut pace).await;
            }
            if std::mem::take(&mut pace.look_at_doubts) {
                self.renew_doubts(&destination, &mut pace);
            }
            tokio::select! {
                Some(done) = tasks.join_next_with_id() => {
                    self.finished(&destination, done, &mut pace, &mut tasks).await;
                    // What else has come to its end shares the next commit.
                    while let Some(done) = tasks.try_join_next_with_id() {
                        self.finished(&destination, done, &mut pace, &mut tasks).await;
                    }
                }
                changed = self.queued.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    pace.unaligned = true;
                }
                () = self.current.changed() => {}
                _ = halted.changed() => {}
                () = destination.client.recovered() => pace.forget_silence(Instant::now()),
                () = sleep(wait) => {}
                () = self.draining.begun() => break,
            }
        }
        if self.current.get().destination(&self.id).is_none() {
            self.end_unanswered(&mut pace);
        }
        if let Some(destination) = last {
            self.finish(&destination, tasks, pace).await;
        }
    }

    /// After the stop, or when the destination left the configuration: answers that still come are settled,
    /// within the drain's deadline.
    async fn finish(&mut self, destination: &Destination, mut tasks: JoinSet<Done>, mut pace: Pace) {
        let deadline = Instant::now() + crate::drain::DRAIN_DEADLINE;
        self.settle_each(&mut pace, &mut tasks);
        while let Ok(Some(done)) = tokio::time::timeout_at(deadline.into(), tasks.join_next_with_id()).await {
            self.finished(destination, done, &mut pace, &mut tasks).await;
            self.settle_each(&mut pace, &mut tasks);
        }
        // Their requests are cut before they may be sent again by a deliverer after this one.
        tasks.shutdown().await;
        let out: Vec<i64> = std::mem::take(&mut pace.out).into_values().flatten().collect();
        self.unprobe(&out, &pace);
        for row_id in out.into_iter().chain(std::mem::take(&mut pace.settling).into_values()) {
            commit(&self.writer, doubt(row_id, "the sender stopped before an answer came")).await;
        }
    }

    /// A task came to its end: an attempt is concluded; one that broke off gives its place back, and its row is in
    /// doubt, whether it broke off while it was sent or while its verdict was committed.
    async fn finished(
        &self,
        destination: &Destination,
        done: Result<(task::Id, Done), JoinError>,
        pace: &mut Pace,
        tasks: &mut JoinSet<Done>,
    ) {
        match done {
            Ok((id, Done::Sent(rows))) => {
                pace.out.remove(&id);
                for ended in rows {
                    self.conclude(destination, ended, pace).await;
                }
            }
            Ok((id, Done::Settled)) => {
                pace.settling.remove(&id);
                pace.unweighed = true;
            }
            Err(error) => {
                tracing::error!(destination = %self.id, %error, "a delivery task failed");
                if let Some(rows) = pace.out.remove(&error.id()) {
                    self.unprobe(&rows, pace);
                    for row_id in rows {
                        let broken = doubt(row_id, "the sender failed before an answer came");
                        self.settle(broken, Duration::ZERO, pace, tasks);
                    }
                } else if let Some(row_id) = pace.settling.remove(&error.id()) {
                    // Not at once: it may break off again.
                    let broken = doubt(row_id, "the verdict was lost before it was stored");
                    self.settle(broken, SETTLE_PAUSE, pace, tasks);
                }
            }
        }
    }

    /// A probe that broke off taught nothing: the next may go.
    fn unprobe(&self, rows: &[i64], pace: &Pace) {
        for (capability, probing) in &pace.probes {
            if probing.row.is_some_and(|row| rows.contains(&row)) {
                self.observations.apply(&self.id, capability, Event::Inconclusive, time::now_ms());
            }
        }
    }

    /// Commits each of the verdicts that wait for a turn by itself.
    fn settle_each(&self, pace: &mut Pace, tasks: &mut JoinSet<Done>) {
        for settle in std::mem::take(&mut pace.settled) {
            self.settle(settle, Duration::ZERO, pace, tasks);
        }
    }

    /// Commits beside the loop, `after` a while.
    fn settle(&self, settle: Settle, after: Duration, pace: &mut Pace, tasks: &mut JoinSet<Done>) {
        let (writer, row_id) = (self.writer.clone(), settle.row_id);
        let task = tasks.spawn(async move {
            sleep(after).await;
            commit(&writer, settle).await;
            Done::Settled
        });
        pace.settling.insert(task.id(), row_id);
    }
}

/// Commits a settlement, however long the store takes to accept it: the answer is known and must not be
/// forgotten while the daemon runs.
pub(crate) async fn commit(writer: &Writer, settle: Settle) {
    loop {
        match writer.settle(settle.clone()).await {
            Ok(_) => return,
            Err(outbox::WriteError::Closed) => return,
            Err(outbox::WriteError::Conflict(conflict)) => {
                tracing::error!(row = settle.row_id, %conflict, "a verdict found its row in another state; it is looked for at the next start");
                return;
            }
            Err(error) => tracing::warn!(row = settle.row_id, %error, "a verdict could not be stored yet"),
        }
        sleep(SETTLE_PAUSE).await;
    }
}

/// Of a row whose sender ended without telling what came of it.
pub(crate) fn doubt(row_id: i64, cause: &str) -> Settle {
    let at = time::now_ms();
    let verdict = outbox::Verdict::Ambiguous { at, cause: cause.to_owned() };
    Settle { row_id, lease: None, verdict, wrote: true, modes: Vec::new(), audit: Vec::new(), at }
}

fn chance() -> f64 {
    rand::rng().random()
}

#[cfg(test)]
#[path = "broken_tests.rs"]
mod tests;
