//! One destination's messages: leased, sent over its pool, settled.
//!
//! Waiting and changing are apart: [`Deliverer::run`] waits in one `select!`, `conclude` changes state. A row is
//! marked as leased on disk before its bytes leave, so that after a kill its fate is known to be unknown; it is
//! sent again then under its own control id, never looked up: MLLP has nothing to look with.
//!
//! Numbers: as many rows out as connections; one, while the receiver is silent, so that a receiver that is down
//! costs one attempt for each back-off, and one that comes back is not met by a crowd.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use mllp::{AckCode, Answer};
use outbox::{AuditEntry, Lease, LeasedRow, Readers, Settle, Take, Verdict, Writer};
use rand::RngExt;
use tokio::{
    sync::watch,
    task::{self, JoinError, JoinSet},
    time::sleep,
};

use super::{
    gate::Gate,
    halts::{self, Halt, Halts},
    policy::{self, Consequence, Policy},
    pool::{Fault, Pool},
    target::Outbound,
};
use crate::{
    conditions::{Board, Kind},
    config,
    delivery::{backoff, commit},
    drain::Draining,
    generation::Current,
    telemetry::Metric,
    time,
};

/// The deliverer looks at its queue at least so often; idle connections are closed then too.
const LONGEST_SLEEP: Duration = Duration::from_secs(2);
/// And at the least: a row whose time has come may be waiting for the one before it.
const SHORTEST_SLEEP_MS: i64 = 20;
/// Attempts in a row without an answer after which people are told: one may be a restart of the receiver.
const SILENT_TOLD: u32 = 3;
/// Refusals of one row after which people are told that its line waits.
const REFUSALS_TOLD: u32 = 3;

/// Sends to one destination.
pub struct Deliverer {
    /// Which: `mllp:<name>`.
    pub id: String,
    /// Commands to the store.
    pub writer: Writer,
    /// Reads of the store.
    pub readers: Readers,
    /// The configuration in force.
    pub current: Current,
    /// Which destinations stand still.
    pub halts: Halts,
    /// Where faults are told.
    pub conditions: Board,
    /// Changes when messages were enqueued.
    pub queued: watch::Receiver<u64>,
    /// The stop.
    pub draining: Draining,
}

/// What a finished task brings back.
enum Done {
    Sent { row: Box<LeasedRow>, attempt: Result<Answer, Fault>, began: Instant },
    Settled,
}

/// The destination as one generation of configuration has it.
struct Lane {
    generation: u64,
    settings: config::Outbound,
    pool: Arc<Pool>,
    gate: Gate,
}

/// Between two turns of the loop.
struct Pace {
    /// Rows out now, by the task that sends each.
    in_flight: HashMap<task::Id, i64>,
    /// Nothing is sent before.
    not_before: Instant,
    /// Attempts in a row that brought no answer, those that were under way together counted once.
    silent: u32,
    /// When the last of them was counted.
    silent_at: Instant,
}

impl Lane {
    fn new(generation: u64, outbound: &Outbound) -> Self {
        let settings = outbound.settings.clone();
        let pool =
            Pool::new(&outbound.id, outbound.target.clone(), settings.connections, settings.idle_close);
        let rate = settings.rate.map(f64::from);
        let gate = Gate::new(rate, settings.burst, Instant::now());
        Self { generation, settings, pool: Arc::new(pool), gate }
    }
}

impl Deliverer {
    /// Runs until the destination leaves the configuration or the drain begins; then what is in flight
    /// finishes.
    pub async fn run(mut self) {
        let mut tasks: JoinSet<Done> = JoinSet::new();
        let now = Instant::now();
        let mut pace = Pace { in_flight: HashMap::new(), not_before: now, silent: 0, silent_at: now };
        let mut halted = self.halts.subscribe();
        let mut lane: Option<Lane> = None;
        self.halts.show(&self.id);
        loop {
            let generation = self.current.get();
            let Some(outbound) = generation.outbound(&self.id) else { break };
            if lane.as_ref().is_none_or(|lane| lane.generation != generation.number) {
                let before = lane.replace(Lane::new(generation.number, outbound));
                if before.is_some_and(|before| before.settings != outbound.settings) {
                    pace.not_before = Instant::now();
                    self.resume("the destination's configuration changed").await;
                }
            }
            let Some(lane) = &mut lane else { break };
            let wait = self.dispatch(lane, &mut pace, &mut tasks).await;
            tokio::select! {
                Some(done) = tasks.join_next_with_id() => {
                    self.finished(done, &lane.settings, &mut pace, &mut tasks).await;
                }
                changed = self.queued.changed() => if changed.is_err() { break },
                _ = halted.changed() => {}
                () = self.current.changed() => {}
                () = sleep(wait) => {}
                () = self.draining.begun() => break,
            }
        }
        if let Some(lane) = lane {
            self.finish(&lane, tasks, pace).await;
        }
    }

    /// After the stop, or when the destination left the configuration: answers that still come are settled,
    /// within the drain's deadline.
    async fn finish(&self, lane: &Lane, mut tasks: JoinSet<Done>, mut pace: Pace) {
        let deadline = Instant::now() + crate::drain::DRAIN_DEADLINE;
        while let Ok(Some(done)) = tokio::time::timeout_at(deadline.into(), tasks.join_next_with_id()).await {
            self.finished(done, &lane.settings, &mut pace, &mut tasks).await;
        }
        // Their connections are cut before they may be sent again by a deliverer after this one.
        tasks.shutdown().await;
        for (_, row_id) in std::mem::take(&mut pace.in_flight) {
            self.doubt(row_id, "the sender stopped before an answer came").await;
        }
        for kind in [Kind::OutboundSilent, Kind::OutboundRefused] {
            self.conditions.clear(kind, &self.id);
        }
    }

    /// A task came to its end: an attempt is concluded; one that broke off leaves its row in doubt.
    async fn finished(
        &self,
        done: Result<(task::Id, Done), JoinError>,
        settings: &config::Outbound,
        pace: &mut Pace,
        tasks: &mut JoinSet<Done>,
    ) {
        match done {
            Ok((id, Done::Sent { row, attempt, began })) => {
                pace.in_flight.remove(&id);
                self.conclude(settings, row, (attempt, began), pace, tasks).await;
            }
            Ok((_, Done::Settled)) => {}
            Err(error) => {
                tracing::error!(destination = %self.id, %error, "a delivery task failed");
                if let Some(row_id) = pace.in_flight.remove(&error.id()) {
                    self.doubt(row_id, "the sender failed before an answer came").await;
                }
            }
        }
    }

    async fn doubt(&self, row_id: i64, cause: &str) {
        let at = time::now_ms();
        let verdict = Verdict::Ambiguous { at, cause: cause.to_owned() };
        commit(&self.writer, Settle { row_id, verdict, modes: Vec::new(), audit: Vec::new(), at }).await;
    }

    /// Leases what may be sent now and sends it; returns how long there is nothing more to do.
    async fn dispatch(&self, lane: &mut Lane, pace: &mut Pace, tasks: &mut JoinSet<Done>) -> Duration {
        let now = Instant::now();
        lane.pool.close_idle(now);
        if self.halts.of(&self.id).is_some() {
            return LONGEST_SLEEP;
        }
        if now < pace.not_before {
            return (pace.not_before - now).min(LONGEST_SLEEP);
        }
        let most = if pace.silent > 0 { 1 } else { lane.settings.connections };
        let room = most.saturating_sub(pace.in_flight.len());
        if room == 0 {
            return LONGEST_SLEEP;
        }
        let ready = lane.gate.ready(now);
        if ready == 0 {
            return lane.gate.wait(now).clamp(Duration::from_millis(1), LONGEST_SLEEP);
        }
        let lease = Lease {
            destination: self.id.clone(),
            limit: room.min(ready),
            now: time::now_ms(),
            take: Take::Any,
        };
        let rows = self.writer.lease(lease).await.unwrap_or_else(|error| {
            tracing::warn!(destination = %self.id, %error, "no lease");
            Vec::new()
        });
        lane.gate.pass(rows.len(), Instant::now());
        for mut row in rows {
            let row_id = row.id;
            let (pool, body) = (Arc::clone(&lane.pool), Bytes::from(std::mem::take(&mut row.body)));
            Metric::OutboundSent.add(1, &[("destination", self.id.clone())]);
            let task = tasks.spawn(async move {
                let began = Instant::now();
                let attempt = pool.exchange(&body).await;
                Done::Sent { row: Box::new(row), attempt, began }
            });
            pace.in_flight.insert(task.id(), row_id);
        }
        self.until_next()
    }

    /// How long until a row that waits for its time is due.
    fn until_next(&self) -> Duration {
        let next = self.readers.with(|reader| reader.next_attempt_at(&self.id)).ok().flatten();
        let wait_ms = next.map_or(i64::MAX, |at| (at - time::now_ms()).max(SHORTEST_SLEEP_MS));
        Duration::from_millis(wait_ms as u64).min(LONGEST_SLEEP)
    }

    /// Draws the consequences of one attempt. A halt is committed before anything else is sent; any other
    /// settlement beside the loop.
    async fn conclude(
        &self,
        settings: &config::Outbound,
        row: Box<LeasedRow>,
        (attempt, began): (Result<Answer, Fault>, Instant),
        pace: &mut Pace,
        tasks: &mut JoinSet<Done>,
    ) {
        let (now, cause) = (time::now_ms(), policy::cause(&attempt));
        let policy = Policy { on_error: settings.on_error, on_reject: settings.on_reject };
        let consequence = policy::consequence(&attempt, row.ambiguous, policy);
        self.count(&attempt, consequence, began);
        let wait = self.pause(settings, &attempt, &row, began, pace);
        self.tell(&attempt, consequence, &row, pace);
        let verdict = policy::settlement(consequence, &cause, now, wait);
        let settle = Settle { row_id: row.id, verdict, modes: Vec::new(), audit: Vec::new(), at: now };
        match consequence {
            Consequence::Halt(_) => self.halt(settle, cause).await,
            _ => {
                let writer = self.writer.clone();
                tasks.spawn(async move {
                    commit(&writer, settle).await;
                    Done::Settled
                });
            }
        }
    }

    /// Nothing more is leased from here on; then the row is settled together with the halt.
    async fn halt(&self, settle: Settle, cause: String) {
        let halt = Halt { since: settle.at, cause: cause.clone(), row_id: settle.row_id };
        let settle = if self.halts.begin(&self.id, halt.clone()) {
            let modes = vec![halts::change(&self.id, Some(&halt), settle.at)];
            let detail = format!("{cause}; evidence: outbox row {}", settle.row_id);
            Settle { modes, audit: vec![self.entry("outbound halted", detail, settle.at)], ..settle }
        } else {
            settle
        };
        commit(&self.writer, settle).await;
    }

    /// Ends a halt for a reason that is not a person's word.
    async fn resume(&self, why: &str) {
        if self.halts.of(&self.id).is_none() {
            return;
        }
        let now = time::now_ms();
        let audit = vec![self.entry("outbound resumed", why.to_owned(), now)];
        match self.writer.set_mode(halts::change(&self.id, None, now), audit).await {
            Ok(_moved) => {
                self.halts.end(&self.id);
            }
            Err(error) => tracing::warn!(destination = %self.id, %error, "the destination stays halted"),
        }
    }

    fn entry(&self, action: &str, detail: String, at: i64) -> AuditEntry {
        AuditEntry {
            actor: "isthmus".to_owned(),
            action: action.to_owned(),
            object: self.id.clone(),
            detail,
            at,
        }
    }

    /// Slows the whole destination where it is silent; returns the wait for this row.
    fn pause(
        &self,
        settings: &config::Outbound,
        attempt: &Result<Answer, Fault>,
        row: &LeasedRow,
        began: Instant,
        pace: &mut Pace,
    ) -> Duration {
        let wait = |attempts| backoff::wait(attempts, settings.retry_min, settings.retry_max, chance());
        match attempt {
            Ok(_) => {
                pace.silent = 0;
                wait(row.attempts.max(1))
            }
            // It is set aside, and says nothing of the receiver.
            Err(Fault::Unsendable(_)) => Duration::ZERO,
            Err(fault) => {
                // What was under way together met one trouble.
                if pace.silent == 0 || began >= pace.silent_at {
                    pace.silent = pace.silent.saturating_add(1);
                    pace.silent_at = Instant::now();
                    pace.not_before = pace.not_before.max(Instant::now() + wait(pace.silent));
                }
                match fault {
                    // The destination's own pause is wait enough.
                    Fault::Unreachable(_) => Duration::ZERO,
                    // Longer than that pause: a message that makes a receiver choke must not go first each time.
                    _ => wait(row.attempts.saturating_add(1)),
                }
            }
        }
    }

    /// Raises and clears what people should see.
    fn tell(&self, attempt: &Result<Answer, Fault>, consequence: Consequence, row: &LeasedRow, pace: &Pace) {
        let now = time::now_ms();
        match attempt {
            Ok(_) => {
                self.conditions.clear(Kind::OutboundSilent, &self.id);
            }
            Err(fault) if pace.silent >= SILENT_TOLD => {
                let detail =
                    format!("{fault}; tried again, one message at a time; see that the receiver runs");
                self.conditions.raise(Kind::OutboundSilent, &self.id, detail, now);
            }
            Err(_) => {}
        }
        match consequence {
            Consequence::Deliver => {
                self.conditions.clear(Kind::OutboundRefused, &self.id);
                Metric::LastEvent.set(now as f64 / 1e3, &[("event", "delivery".to_owned())]);
            }
            Consequence::Retry(Some(code)) if row.attempts >= REFUSALS_TOLD => {
                let detail = format!(
                    "outbox row {} was answered {code} and is sent again, attempt {}; what follows it in its line waits",
                    row.id, row.attempts
                );
                self.conditions.raise(Kind::OutboundRefused, &self.id, detail, now);
            }
            _ => {}
        }
    }

    fn count(&self, attempt: &Result<Answer, Fault>, consequence: Consequence, began: Instant) {
        let destination = ("destination", self.id.clone());
        if let Ok(answer) = attempt {
            let code = ("code", AckCode::as_str(answer.code).to_owned());
            Metric::OutboundAcks.add(1, &[destination.clone(), code]);
            Metric::OutboundSeconds.record(began.elapsed().as_secs_f64(), std::slice::from_ref(&destination));
        }
        let verdict = match consequence {
            Consequence::Deliver => "delivered",
            Consequence::Retry(None) => "unsent",
            Consequence::Doubt => "ambiguous",
            Consequence::Retry(Some(_)) | Consequence::Halt(_) | Consequence::Quarantine(_) => "refused",
            Consequence::Defect => "defect",
        };
        Metric::Deliveries.add(1, &[destination, ("verdict", verdict.to_owned())]);
    }
}

fn chance() -> f64 {
    rand::rng().random()
}

#[cfg(test)]
#[path = "deliver_tests.rs"]
mod tests;
