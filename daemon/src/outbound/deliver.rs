//! One destination's messages: leased, sent over its pool, settled.
//!
//! Waiting and changing are apart: [`Deliverer::run`] waits in one `select!`, `conclude` changes state. What was
//! answered is settled and what comes next is leased in one transaction ([`Turn`]), so a line costs one commit a
//! message. A row is marked as leased on disk before its bytes leave, so that after a kill its fate is known to be unknown; it is
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
use outbox::{AuditEntry, Lease, LeasedRow, Readers, Settle, Take, Turn, WriteError, Writer};
use rand::RngExt;
use tokio::{
    sync::watch,
    task::{self, JoinError, JoinSet},
    time::sleep,
};

use super::{
    ACKNOWLEDGEMENT,
    gate::Gate,
    halts::{self, Halt, Halts},
    pace::Pace,
    policy::{self, Consequence, Policy},
    pool::{Fault, Pool},
    refusals::Refusals,
    results::Results,
    target::Outbound,
};
use crate::{
    conditions::{Board, Kind},
    config, course,
    delivery::{backoff, commit, doubt},
    drain::Draining,
    generation::{Current, Generation},
    observations::Observations,
    standstill,
    telemetry::{Last, Metric},
    time,
    traces::Attempted,
};

/// The deliverer looks at its queue at least so often; idle connections are closed then too.
const LONGEST_SLEEP: Duration = Duration::from_secs(2);
/// And at the least: a row whose time has come may be waiting for the one before it.
const SHORTEST_SLEEP_MS: i64 = 20;
/// The same where some of what waits may not be sent.
const CLOSED_SLEEP_MS: i64 = 500;
/// Pause before a turn that the store did not take is tried again.
const STORE_PAUSE: Duration = Duration::from_millis(500);
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
    /// What is held of the sites' capabilities.
    pub observations: Observations,
    /// Which destinations stand still.
    pub halts: Halts,
    /// Which messages were refused and wait.
    pub refusals: Refusals,
    /// Where faults are told.
    pub conditions: Board,
    /// Changes when messages were enqueued.
    pub queued: watch::Receiver<u64>,
    /// The stop.
    pub draining: Draining,
}

/// What a finished task brings back.
struct Sent {
    row: LeasedRow,
    attempt: Result<Answer, Fault>,
    began: Instant,
}

/// The destination as one generation of configuration has it.
struct Lane {
    generation: u64,
    settings: config::Outbound,
    pool: Arc<Pool>,
    gate: Gate,
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

/// What is under way.
struct Work {
    pace: Pace,
    tasks: JoinSet<Sent>,
    /// Rows out now, by the task that sends each.
    out: HashMap<task::Id, i64>,
    /// Verdicts that are not in the store yet, no more than rows that were out.
    settled: Vec<Settle>,
    /// Whose results may leave.
    results: Results,
}

impl Deliverer {
    /// Runs until the destination leaves the configuration or the drain begins; then what is in flight
    /// finishes.
    pub async fn run(mut self) {
        let pace = Pace::new(Instant::now());
        let mut work = Work {
            pace,
            tasks: JoinSet::new(),
            out: HashMap::new(),
            settled: Vec::new(),
            results: Results::of(&self.id),
        };
        let mut halted = self.halts.subscribe();
        let mut lane: Option<Lane> = None;
        self.halts.show(&self.id);
        loop {
            let generation = self.current.get();
            let Some(outbound) = generation.outbound(&self.id) else { break };
            if lane.as_ref().is_none_or(|lane| lane.generation != generation.number) {
                let before = lane.replace(Lane::new(generation.number, outbound));
                if before.is_some_and(|before| before.settings != outbound.settings) {
                    work.pace.forget(Instant::now());
                    self.resume("the destination's configuration changed").await;
                }
            }
            let Some(lane) = &mut lane else { break };
            let wait = match self.align(&generation, &mut work.results).await {
                true => self.turn(lane, &generation, &mut work).await,
                // Nothing is sent from a queue that does not say yet what may be sent.
                false => STORE_PAUSE,
            };
            tokio::select! {
                Some(done) = work.tasks.join_next_with_id() => self.finished(done, &lane.settings, &mut work),
                changed = self.queued.changed() => match changed {
                    Ok(()) => work.results.unaligned(),
                    Err(_) => break,
                },
                _ = halted.changed() => {}
                () = self.current.changed() => {}
                () = sleep(wait) => {}
                () = self.draining.begun() => break,
            }
        }
        if let Some(lane) = lane {
            self.finish(&lane, work).await;
        }
    }

    /// After the stop, or when the destination left the configuration: answers that still come are settled,
    /// within the drain's deadline.
    async fn finish(&self, lane: &Lane, mut work: Work) {
        let deadline = Instant::now() + crate::drain::DRAIN_DEADLINE;
        while let Ok(Some(done)) =
            tokio::time::timeout_at(deadline.into(), work.tasks.join_next_with_id()).await
        {
            self.finished(done, &lane.settings, &mut work);
            self.settle_one_by_one(&mut work).await;
        }
        // Their connections are cut before they may be sent again by a deliverer after this one.
        work.tasks.shutdown().await;
        for (_, row_id) in std::mem::take(&mut work.out) {
            work.settled.push(doubt(row_id, "the sender stopped before an answer came"));
        }
        self.settle_one_by_one(&mut work).await;
        self.conditions.clear(Kind::OutboundSilent, &self.id);
        self.refusals.forget(&self.id);
    }

    /// Settles what was answered, leases what may be sent now, and sends it; returns how long there is nothing
    /// more to do.
    async fn turn(&self, lane: &mut Lane, generation: &Generation, work: &mut Work) -> Duration {
        let lease = self.next(lane, generation, work);
        let (lease, wait) = match lease {
            Ok(lease) => (Some(lease), None),
            Err(wait) => (None, Some(wait)),
        };
        let limit = lease.as_ref().map(|lease| lease.limit);
        if lease.is_none() && work.settled.is_empty() {
            return wait.unwrap_or(LONGEST_SLEEP);
        }
        match self.writer.turn(Turn { settled: work.settled.clone(), lease }).await {
            Ok(rows) => {
                // What came back may have come to a line that was closed meanwhile.
                let back = !work.settled.is_empty() && work.results.is_any_closed();
                work.settled.clear();
                let full = limit.is_some_and(|limit| rows.len() >= limit);
                self.send(rows, lane, work);
                if back {
                    work.results.unaligned();
                }
                if full || back {
                    // More may be due; whether they may go is for the next turn to say.
                    return Duration::ZERO;
                }
            }
            // One of them found its row in another state, which is told; the others must not suffer for it.
            Err(WriteError::Conflict(_)) => {
                self.settle_one_by_one(work).await;
                work.results.unaligned();
                return Duration::ZERO;
            }
            Err(error) => {
                tracing::warn!(destination = %self.id, %error, "neither verdicts nor a lease yet");
                return STORE_PAUSE;
            }
        }
        wait.unwrap_or_else(|| self.until_next(&work.results))
    }

    /// Brings the queue in line with what the sites permit: rows of closed kinds wait, deferred with the reason, those of
    /// kinds that are open again go. Whether that is done.
    async fn align(&self, generation: &Generation, results: &mut Results) -> bool {
        if results.is_new(generation.number) {
            match self.readers.with(|reader| reader.kinds_waiting(&self.id)) {
                Ok(kinds) => results.learn(generation, kinds),
                Err(error) => {
                    tracing::warn!(destination = %self.id, %error, "what waits could not be read yet");
                    return false;
                }
            }
        }
        for shift in results.shifts(generation, &self.observations) {
            let (held, released, latest) = (shift.held(), shift.released(), shift.latest.clone());
            let now = time::now_ms();
            let aligned = self.writer.align_all(&self.id, &shift.kind, (held, released), latest, now).await;
            if let Err(error) = aligned {
                tracing::warn!(destination = %self.id, %error, "the queue could not be brought in line with the sites");
                return false;
            }
            results.shifted(shift);
        }
        results.aligned();
        true
    }

    /// What may be leased now; `Err` with how long nothing may.
    fn next(&self, lane: &Lane, generation: &Generation, work: &Work) -> Result<Lease, Duration> {
        let now = Instant::now();
        lane.pool.close_idle(now);
        let stands_still = standstill::stands(&self.conditions);
        if stands_still || self.halts.of(&self.id).is_some() {
            return Err(LONGEST_SLEEP);
        }
        let room = work.pace.room(lane.settings.connections, now).map_err(|rest| rest.min(LONGEST_SLEEP))?;
        let room = room.saturating_sub(work.out.len());
        if room == 0 {
            return Err(LONGEST_SLEEP);
        }
        let ready = lane.gate.ready(now);
        if ready == 0 {
            return Err(lane.gate.wait(now).clamp(Duration::from_millis(1), LONGEST_SLEEP));
        }
        let (limit, now) = (room.min(ready), time::now_ms());
        let kinds = work.results.open(generation, &self.observations);
        let take = Take::Among { beginning: ACKNOWLEDGEMENT.to_owned(), kinds };
        Ok(Lease { destination: self.id.clone(), limit, now, take, quotas: Vec::new() })
    }

    fn send(&self, rows: Vec<LeasedRow>, lane: &mut Lane, work: &mut Work) {
        // Of all of them together, also of one whose task comes to run only after another's has failed.
        let began = Instant::now();
        lane.gate.pass(rows.len(), began);
        for mut row in rows {
            let row_id = row.id;
            let (pool, body) = (Arc::clone(&lane.pool), Bytes::from(std::mem::take(&mut row.body)));
            Metric::OutboundSent.add(1, &[("destination", self.id.clone())]);
            let task = work.tasks.spawn(async move {
                let attempt = pool.exchange(&body).await;
                Sent { row, attempt, began }
            });
            work.out.insert(task.id(), row_id);
        }
    }

    /// How long until a row that waits for its time is due.
    fn until_next(&self, results: &Results) -> Duration {
        let next = self.readers.with(|reader| reader.next_attempt_at(&self.id)).ok().flatten();
        // A row in doubt whose kind is closed is due all the time, and does not go.
        let shortest = if results.is_any_closed() { CLOSED_SLEEP_MS } else { SHORTEST_SLEEP_MS };
        let wait_ms = next.map_or(i64::MAX, |at| (at - time::now_ms()).max(shortest));
        Duration::from_millis(wait_ms as u64).min(LONGEST_SLEEP)
    }

    async fn settle_one_by_one(&self, work: &mut Work) {
        for settle in work.settled.drain(..) {
            commit(&self.writer, settle).await;
        }
    }

    /// A task came to its end, and with it all that ended meanwhile: attempts are concluded; one that broke off
    /// leaves its row in doubt.
    fn finished(
        &self,
        first: Result<(task::Id, Sent), JoinError>,
        settings: &config::Outbound,
        work: &mut Work,
    ) {
        let mut next = Some(first);
        while let Some(done) = next {
            match done {
                Ok((id, sent)) => {
                    work.out.remove(&id);
                    let settle = self.conclude(settings, &sent, &mut work.pace);
                    work.settled.push(settle);
                }
                Err(error) => {
                    tracing::error!(destination = %self.id, %error, "a delivery task failed");
                    let row_id = work.out.remove(&error.id());
                    let cause = "the sender failed before an answer came";
                    work.settled.extend(row_id.map(|row_id| doubt(row_id, cause)));
                }
            }
            next = work.tasks.try_join_next_with_id();
        }
    }

    /// Draws the consequences of one attempt; after a halt nothing more is leased.
    fn conclude(&self, settings: &config::Outbound, sent: &Sent, pace: &mut Pace) -> Settle {
        let (now, cause) = (time::now_ms(), policy::cause(&sent.attempt, sent.row.ambiguous));
        let policy = Policy { on_error: settings.on_error, on_reject: settings.on_reject };
        let consequence = policy::consequence(&sent.attempt, sent.row.ambiguous, policy);
        self.count(sent, consequence);
        if consequence == Consequence::Deliver {
            course::delivered(&self.readers, &self.id, &sent.row, sent.row.free_since, now);
        }
        let wait = self.pause(settings, sent, pace);
        self.tell(consequence, &sent.row);
        let verdict = policy::settlement(consequence, &cause, now, wait);
        let row_id = sent.row.id;
        let settle = Settle {
            row_id,
            lease: Some(sent.row.attempts),
            verdict,
            wrote: true,
            modes: Vec::new(),
            audit: Vec::new(),
            at: now,
        };
        let halt = Halt { since: now, cause, row_id };
        // One that stands already keeps its first cause.
        if !matches!(consequence, Consequence::Halt(_)) || !self.halts.begin(&self.id, halt.clone()) {
            return settle;
        }
        let detail = format!("{}; evidence: outbox row {row_id}", halt.cause);
        let audit = vec![self.entry("outbound halted", detail, now)];
        Settle { modes: vec![halts::change(&self.id, Some(&halt), now)], audit, ..settle }
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
    fn pause(&self, settings: &config::Outbound, sent: &Sent, pace: &mut Pace) -> Duration {
        let wait = |attempts| backoff::wait(attempts, settings.retry_min, settings.retry_max, chance());
        let fault = match &sent.attempt {
            Ok(_) => {
                pace.answered();
                self.conditions.clear(Kind::OutboundSilent, &self.id);
                return wait(sent.row.attempts.max(1));
            }
            // It is set aside, and says nothing of the receiver.
            Err(Fault::Unsendable(_)) => return Duration::ZERO,
            Err(fault) => fault,
        };
        if pace.silence(sent.began, Instant::now(), wait) >= SILENT_TOLD {
            let detail = format!("{fault}; tried again, one message at a time; see that the receiver runs");
            self.conditions.raise(Kind::OutboundSilent, &self.id, detail, time::now_ms());
        }
        match fault {
            // The destination's own pause is wait enough.
            Fault::Unreachable(_) => Duration::ZERO,
            // Longer than that pause: a message that makes a receiver choke must not go first each time.
            _ => wait(sent.row.attempts.saturating_add(1)),
        }
    }

    /// Tells people of refusals that hold a line up.
    fn tell(&self, consequence: Consequence, row: &LeasedRow) {
        let now = time::now_ms();
        match consequence {
            Consequence::Deliver => {
                self.refusals.end(&self.id, row.id, now);
                Last::Delivery.happened(now);
            }
            Consequence::Retry(Some(code)) if row.attempts >= REFUSALS_TOLD => {
                let detail = format!(
                    "outbox row {} was answered {code} and is sent again, attempt {}; what follows it in its line waits",
                    row.id, row.attempts
                );
                self.refusals.begin(&self.id, row.id, detail, now);
            }
            // By another policy than the one it was refused under.
            Consequence::Quarantine(_) | Consequence::Defect => self.refusals.end(&self.id, row.id, now),
            Consequence::Retry(_) | Consequence::Doubt | Consequence::Halt(_) => {}
        }
    }

    fn count(&self, sent: &Sent, consequence: Consequence) {
        let destination = ("destination", self.id.clone());
        if let Ok(answer) = &sent.attempt {
            let code = ("code", AckCode::as_str(answer.code).to_owned());
            Metric::OutboundAcks.add(1, &[destination.clone(), code]);
            Metric::OutboundSeconds
                .record(sent.began.elapsed().as_secs_f64(), std::slice::from_ref(&destination));
        }
        let verdict = match consequence {
            Consequence::Deliver => "delivered",
            Consequence::Retry(None) => "unsent",
            Consequence::Doubt => "ambiguous",
            Consequence::Retry(Some(_)) | Consequence::Halt(_) | Consequence::Quarantine(_) => "refused",
            Consequence::Defect => "defect",
        };
        let is_delivered = consequence == Consequence::Deliver;
        let (row, began) = (&sent.row, sent.began);
        let attempted = Attempted { destination: &self.id, row, began, verdict, status: None, is_delivered };
        course::tell_attempt(&self.readers, &attempted);
        Metric::Deliveries.add(1, &[destination, ("verdict", verdict.to_owned())]);
    }
}

fn chance() -> f64 {
    rand::rng().random()
}

#[cfg(test)]
#[path = "deliver_tests.rs"]
mod tests;
