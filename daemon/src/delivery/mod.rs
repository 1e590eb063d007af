//! Delivery: leases rows of one destination, sends them, and lets the destination's answers decide.
//!
//! One [`Deliverer`] a destination. Its loop waits in one place (`select!` in [`Deliverer::run`]) and
//! changes state in another (`conclude`). Invariants: a row is marked as leased on disk
//! before its bytes leave, so that after a kill its fate is known to be unknown; a refusal for want of
//! permission closes the capability in memory before the next lease is asked for; every verdict is
//! committed with the change of mode and the audit entry that it causes.

pub mod attempt;
pub mod backoff;
mod birth_date;
mod consequence;
pub mod http;
mod withdrawal;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use clinical::fhir::location::Location;
use outbox::{AuditEntry, Lease, LeasedRow, Mode as StoredMode, ModeChange, Readers, Settle, Take, Writer};
use rand::RngExt;
use tokio::{
    sync::watch,
    task::{self, JoinError, JoinSet},
    time::sleep,
};

use self::attempt::{Past, Standing};
use crate::{
    broker::Reason,
    conditions::{Board, Kind},
    destination::Destination,
    drain::Draining,
    generation::Current,
    mode::{Ceiling, Effect, Event, Observed},
    observations::Observations,
    pipeline::resources::{PROVENANCE, SUMMARY, Write},
    telemetry::Metric,
    time,
    verdict::Verdict,
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
    /// Where faults are told.
    pub conditions: Board,
    /// Changes when rows were queued.
    pub queued: watch::Receiver<u64>,
    /// The stop.
    pub draining: Draining,
}

/// What a finished task brings back.
enum Done {
    Sent { row: Box<LeasedRow>, outcome: attempt::Outcome },
    Settled,
}

/// Between two turns of the loop.
struct Pace {
    /// Rows out now, by the task that sends each.
    out: HashMap<task::Id, i64>,
    /// Rows whose verdict is being committed, by the task that does it.
    settling: HashMap<task::Id, i64>,
    /// Nothing is sent before (monotonic).
    not_before: Instant,
    /// The next probe (monotonic), while read-only.
    probe_at: Instant,
    /// The row last sent as a probe; there is one at a time.
    probe: Option<i64>,
    /// Attempts in a row that the destination did not answer.
    silent: u32,
    /// Generation whose permissions were applied to the queue.
    applied: u64,
    /// When patients whose writes are held are next looked for (monotonic).
    held_at: Instant,
    /// Rows were queued since the queue was last brought in line with the mode.
    unaligned: bool,
}

impl Deliverer {
    /// Runs until the destination leaves the configuration or the drain begins; then what is in flight
    /// finishes.
    pub async fn run(mut self) {
        let mut tasks: JoinSet<Done> = JoinSet::new();
        let now = Instant::now();
        let mut pace = Pace {
            out: HashMap::new(),
            settling: HashMap::new(),
            not_before: now,
            probe_at: now,
            probe: None,
            silent: 0,
            applied: 0,
            held_at: now,
            unaligned: true,
        };
        let mut last: Option<Arc<Destination>> = None;
        loop {
            let generation = self.current.get();
            let Some(destination) = generation.destination(&self.id) else { break };
            last = Some(Arc::clone(&destination));
            if pace.applied != generation.number {
                (pace.applied, pace.unaligned) = (generation.number, true);
                // A shorter interval must not wait for the end of the longer one.
                let probe_in = backoff::jittered(destination.delivery.probe_interval, chance());
                pace.probe_at = pace.probe_at.min(Instant::now() + probe_in);
            }
            if pace.unaligned {
                pace.unaligned = !self.align(&destination).await;
            }
            if Instant::now() >= pace.held_at {
                birth_date::clear_settled(&self.conditions, &self.readers, &self.id);
                withdrawal::clear_unwritten(&self.conditions, &self.readers, &self.writer).await;
                pace.held_at = Instant::now() + LONGEST_SLEEP;
            }
            // Nothing is sent from a queue that does not say yet what may be sent.
            let wait = match pace.unaligned {
                true => SETTLE_PAUSE,
                false => self.dispatch(&destination, &mut pace, &mut tasks).await,
            };
            tokio::select! {
                Some(done) = tasks.join_next_with_id() => {
                    self.finished(&destination, done, &mut pace, &mut tasks).await;
                }
                changed = self.queued.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    pace.unaligned = true;
                }
                () = self.current.changed() => {}
                () = sleep(wait) => {}
                () = self.draining.begun() => break,
            }
        }
        if let Some(destination) = last {
            self.finish(&destination, tasks, pace).await;
        }
    }

    /// After the stop, or when the destination left the configuration: answers that still come are settled,
    /// within the drain's deadline.
    async fn finish(&mut self, destination: &Destination, mut tasks: JoinSet<Done>, mut pace: Pace) {
        let deadline = Instant::now() + crate::drain::DRAIN_DEADLINE;
        while let Ok(Some(done)) = tokio::time::timeout_at(deadline.into(), tasks.join_next_with_id()).await {
            self.finished(destination, done, &mut pace, &mut tasks).await;
        }
        // Their requests are cut before they may be sent again by a deliverer after this one.
        tasks.shutdown().await;
        let left = std::mem::take(&mut pace.out)
            .into_values()
            .chain(std::mem::take(&mut pace.settling).into_values());
        for row_id in left {
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
            Ok((id, Done::Sent { row, outcome })) => {
                pace.out.remove(&id);
                self.conclude(destination, row, outcome, pace, tasks).await;
            }
            Ok((id, Done::Settled)) => {
                pace.settling.remove(&id);
            }
            Err(error) => {
                tracing::error!(destination = %self.id, %error, "a delivery task failed");
                if let Some(row_id) = pace.out.remove(&error.id()) {
                    let broken = doubt(row_id, "the sender failed before an answer came");
                    self.settle(broken, Duration::ZERO, pace, tasks);
                } else if let Some(row_id) = pace.settling.remove(&error.id()) {
                    // Not at once: it may break off again.
                    let broken = doubt(row_id, "the verdict was lost before it was stored");
                    self.settle(broken, SETTLE_PAUSE, pace, tasks);
                }
            }
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

    /// Brings the queue in line with the configuration and the mode: no row may be left deferred at an open
    /// destination, or pending at a closed one, by a decision that a change overtook. Whether that was done.
    async fn align(&self, destination: &Destination) -> bool {
        for kind in [SUMMARY, PROVENANCE] {
            let held = self.held(destination, kind).map(|reason| reason.word().to_owned());
            let released = self.releasable(destination, kind);
            if let Err(error) = self.writer.align(&self.id, kind, held, released, time::now_ms()).await {
                tracing::warn!(destination = %self.id, %error, "the queue could not be brought in line with the mode");
                return false;
            }
        }
        true
    }

    /// Why rows of a kind may not be sent now; `None` where they may.
    fn held(&self, destination: &Destination, kind: &str) -> Option<Reason> {
        if destination.ceiling == Ceiling::ReadOnly {
            Some(Reason::ConfiguredReadOnly)
        } else if !destination.ceiling.permits(kind) {
            Some(Reason::KindNotPermitted)
        } else if self.observations.of(&self.id, kind) != Observed::Open {
            Some(Reason::ObservedReadOnly)
        } else {
            None
        }
    }

    /// The reasons for which rows may be held and that hold no longer.
    fn releasable(&self, destination: &Destination, kind: &str) -> Vec<String> {
        if self.held(destination, kind).is_some() {
            return Vec::new();
        }
        // Not for want of consent: that is the ledger's to end, for each patient.
        [Reason::ConfiguredReadOnly, Reason::KindNotPermitted, Reason::ObservedReadOnly]
            .map(|reason| reason.word().to_owned())
            .to_vec()
    }

    /// Leases what may be sent now and sends it; returns how long there is nothing more to do.
    async fn dispatch(
        &self,
        destination: &Arc<Destination>,
        pace: &mut Pace,
        tasks: &mut JoinSet<Done>,
    ) -> Duration {
        let now = Instant::now();
        if now < pace.not_before {
            return (pace.not_before - now).min(LONGEST_SLEEP);
        }
        let open: Vec<&str> =
            [SUMMARY, PROVENANCE].into_iter().filter(|kind| self.held(destination, kind).is_none()).collect();
        let room = usize::from(destination.delivery.in_flight).saturating_sub(pace.out.len());
        let mut rows =
            self.lease(room, Take::Due { kinds: open.into_iter().map(str::to_owned).collect() }).await;
        let closed = destination.kinds().iter().copied().find(|kind| {
            destination.permits(kind) && self.observations.of(&self.id, kind) == Observed::ReadOnly
        });
        let is_probing = pace.out.values().any(|row| pace.probe == Some(*row));
        if let Some(kind) = closed
            && !is_probing
            && now >= pace.probe_at
        {
            let probe = self.lease(1, Take::Probe { kind: kind.to_owned() }).await;
            pace.probe = probe.first().map(|row| row.id);
            if !probe.is_empty() {
                self.observations.apply(&self.id, kind, Event::ProbeSent, time::now_ms());
            }
            rows.extend(probe);
            pace.probe_at = now + backoff::jittered(destination.delivery.probe_interval, chance());
        }
        for row in rows {
            let (destination, row_id) = (Arc::clone(destination), row.id);
            let (readers, writer) = (self.readers.clone(), self.writer.clone());
            let task = tasks.spawn(async move { send(&destination, &readers, &writer, row).await });
            pace.out.insert(task.id(), row_id);
        }
        match closed {
            Some(_) if !is_probing => self.until_next().min(pace.probe_at.saturating_duration_since(now)),
            _ => self.until_next(),
        }
    }

    /// Leases rows to send, or one deferred row of a kind to learn from. None where the store refuses: the
    /// loop comes back.
    async fn lease(&self, limit: usize, take: Take) -> Vec<LeasedRow> {
        if limit == 0 {
            return Vec::new();
        }
        let lease = Lease { destination: self.id.clone(), limit, now: time::now_ms(), take };
        self.writer.lease(lease).await.unwrap_or_else(|error| {
            tracing::warn!(destination = %self.id, %error, "no lease");
            Vec::new()
        })
    }

    /// How long until a row that waits for its retry is due.
    fn until_next(&self) -> Duration {
        let next = self.readers.with(|reader| reader.next_attempt_at(&self.id)).ok().flatten();
        let wait_ms = next.map_or(i64::MAX, |at| (at - time::now_ms()).max(SHORTEST_SLEEP_MS));
        Duration::from_millis(wait_ms as u64).min(LONGEST_SLEEP)
    }

    /// Draws the consequences of one attempt. What changes the mode is committed before anything else is
    /// sent; the rest is committed beside the loop.
    async fn conclude(
        &self,
        destination: &Destination,
        row: Box<LeasedRow>,
        outcome: attempt::Outcome,
        pace: &mut Pace,
        tasks: &mut JoinSet<Done>,
    ) {
        let now = time::now_ms();
        let labels = [("destination", self.id.clone()), ("verdict", outcome.verdict.word().to_owned())];
        Metric::Deliveries.add(1, &labels);
        self.tell(&outcome.verdict, row.patient);
        let effect = self.observations.apply(&self.id, &row.kind, consequence::event(&row, &outcome), now);
        let wait = self.pause(destination, &outcome.verdict, &row, pace);
        let closed = effect != Effect::None && !matches!(effect, Effect::Open);
        let held = closed || self.observations.of(&self.id, &row.kind) != Observed::Open;
        let verdict = consequence::settlement(outcome, held, now, wait);
        let (modes, audit) = self.change(destination, &row, &effect, now);
        let settle = Settle { row_id: row.id, verdict, modes, audit, at: now };
        if effect != Effect::None || pace.probe == Some(row.id) {
            // From the answer on: behind a probe that was long under way the next does not follow at once.
            pace.probe_at = Instant::now() + backoff::jittered(destination.delivery.probe_interval, chance());
        }
        if effect != Effect::None {
            commit(&self.writer, settle).await;
            self.show_mode(&effect);
        } else {
            self.settle(settle, Duration::ZERO, pace, tasks);
        }
    }

    /// Raises and clears what people should see.
    fn tell(&self, verdict: &Verdict, patient: i64) {
        let scope = birth_date::scope(patient, &self.id);
        match verdict {
            Verdict::Identity(cause) => {
                let detail = format!("{cause}; nothing is written for this patient until that is put right");
                self.conditions.raise(Kind::PatientInDoubt, &scope, detail, time::now_ms());
            }
            _ => {
                self.conditions.clear(Kind::PatientInDoubt, &scope);
            }
        }
        match verdict {
            Verdict::Auth(cause) => {
                let detail = format!(
                    "{cause}: the destination does not accept our certificate; check its registration and expiry"
                );
                self.conditions.raise(Kind::AuthDegraded, &self.id, detail, time::now_ms());
            }
            Verdict::Delivered => {
                self.conditions.clear(Kind::AuthDegraded, &self.id);
                Metric::LastEvent.set(time::now_ms() as f64 / 1e3, &[("event", "delivery".to_owned())]);
            }
            _ => {}
        }
    }

    /// Slows the whole destination where it is silent or asks for it; returns the wait for this row.
    fn pause(
        &self,
        destination: &Destination,
        verdict: &Verdict,
        row: &LeasedRow,
        pace: &mut Pace,
    ) -> Duration {
        let delivery = &destination.delivery;
        let row_wait = backoff::wait(row.attempts.max(1), delivery.retry_min, delivery.retry_max, chance());
        let wait = match verdict {
            Verdict::Throttled(asked) => *asked,
            Verdict::Unsent(_) | Verdict::Auth(_) => {
                pace.silent = pace.silent.saturating_add(1);
                backoff::wait(pace.silent, delivery.retry_min, delivery.retry_max, chance())
            }
            Verdict::Ambiguous(_) => return row_wait,
            _ => {
                pace.silent = 0;
                return row_wait;
            }
        };
        pace.not_before = pace.not_before.max(Instant::now() + wait);
        wait
    }

    fn change(
        &self,
        destination: &Destination,
        row: &LeasedRow,
        effect: &Effect,
        now: i64,
    ) -> (Vec<ModeChange>, Vec<AuditEntry>) {
        let (mode, cause) = match effect {
            Effect::None => return (Vec::new(), Vec::new()),
            Effect::Close { cause, .. } => ("read-only", cause.clone()),
            Effect::Open => ("full", String::new()),
        };
        let open = *effect == Effect::Open;
        let change = ModeChange {
            mode: StoredMode {
                site: destination.site.clone().unwrap_or_default(),
                destination: self.id.clone(),
                capability: row.kind.clone(),
                mode: mode.to_owned(),
                since: now,
                cause: cause.clone(),
                evidence: format!("outbox row {}", row.id),
            },
            kind: Some(row.kind.clone()),
            requeue_quarantined: match effect {
                Effect::Close { fault, .. } => fault.clone(),
                Effect::None | Effect::Open => None,
            },
            defer_pending: (!open).then(|| Reason::ObservedReadOnly.word().to_owned()),
            release_deferred: if open { self.releasable(destination, &row.kind) } else { Vec::new() },
        };
        let audit = AuditEntry {
            actor: "isthmus".to_owned(),
            action: format!("mode {mode}"),
            object: format!("{} {}", self.id, row.kind),
            detail: format!("{cause}; evidence: outbox row {}", row.id),
            at: now,
        };
        (vec![change], vec![audit])
    }

    fn show_mode(&self, effect: &Effect) {
        match effect {
            Effect::None => {}
            Effect::Close { cause, .. } => {
                let detail = format!("{cause}; writes are deferred and one is tried from time to time");
                self.conditions.raise(Kind::ReadOnly, &self.id, detail, time::now_ms());
            }
            // Another kind may still be closed.
            Effect::Open
                if [SUMMARY, PROVENANCE]
                    .iter()
                    .any(|kind| self.observations.of(&self.id, kind) != Observed::Open) => {}
            Effect::Open => {
                self.conditions.clear(Kind::ReadOnly, &self.id);
            }
        }
    }
}

/// Sends one row, with what the ledger knows of its resources and of what they refer to.
async fn send(destination: &Destination, readers: &Readers, writer: &Writer, row: LeasedRow) -> Done {
    let started = Instant::now();
    let outcome = match birth_date::cleared(destination, readers, writer, &row).await {
        Ok(()) => match ledger(destination, readers, &row) {
            Ok(standing) => {
                let past = Past { version: row.version, ambiguous: row.ambiguous, overtaken: row.overtaken };
                attempt::attempt(destination, &row.body, standing, past).await
            }
            Err(error) => {
                attempt::Outcome::unasked(Verdict::Unsent(format!("ledger: {error}")), row.ambiguous)
            }
        },
        Err(verdict) => attempt::Outcome::unasked(verdict, row.ambiguous),
    };
    Metric::DeliverySeconds
        .record(started.elapsed().as_secs_f64(), &[("destination", destination.id.clone())]);
    Done::Sent { row: Box::new(row), outcome }
}

fn ledger(
    destination: &Destination,
    readers: &Readers,
    row: &LeasedRow,
) -> Result<BTreeMap<String, Standing>, outbox::ReadError> {
    let mut names = Vec::new();
    if let Ok(write) = serde_json::from_slice::<Write>(&row.body) {
        for part in &write.resources {
            names.push(part.full_url.clone());
            let targets = part.resource["target"].as_array().map(Vec::as_slice).unwrap_or_default();
            names.extend(targets.iter().filter_map(|target| target["reference"].as_str()).map(str::to_owned));
        }
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let written = readers.with(|reader| reader.written(&destination.id, &names))?;
    Ok(written
        .into_iter()
        .filter_map(|(name, at)| {
            let location = Location::parse(&at.location)?;
            Some((name, Standing { location, etag: at.etag, content_hash: Some(at.content_hash) }))
        })
        .collect())
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
    Settle { row_id, verdict, modes: Vec::new(), audit: Vec::new(), at }
}

fn chance() -> f64 {
    rand::rng().random()
}

#[cfg(test)]
#[path = "broken_tests.rs"]
mod tests;
