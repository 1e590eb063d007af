//! Which rows leave now: by what is open, within the rate and the quotas, clinicians' first.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use clinical::fhir::projection::Style;
use jiff::Timestamp;
use outbox::{Lease, LeasedRow, Quota, Take, Turn};
use tokio::task::JoinSet;

use super::{Deliverer, Done, LONGEST_SLEEP, SHORTEST_SLEEP_MS, backoff, chance, edges, pace::Pace, rate};
use crate::{
    broker::Priority,
    conditions::Kind,
    destination::Destination,
    mode::{Event, Observed},
    observations::{Pause, Rest},
    time,
};

impl Deliverer {
    /// Commits the verdicts that came, leases what may be sent now and sends it; returns how long there is nothing more to
    /// do.
    pub(super) async fn dispatch(
        &self,
        destination: &Arc<Destination>,
        pace: &mut Pace,
        tasks: &mut JoinSet<Done>,
    ) -> Duration {
        let now = Instant::now();
        let room = match Self::room(destination, pace, now) {
            Ok(room) => {
                self.observations.pause(&self.id, None);
                room
            }
            Err((why, rest)) => {
                let until = time::now_ms().saturating_add(rest.as_millis() as i64);
                self.observations.pause(&self.id, Some(Pause { why, until }));
                self.turn(None, pace, tasks).await;
                return rest.min(LONGEST_SLEEP);
            }
        };
        let clock = Timestamp::now();
        let limits = &destination.delivery.rate;
        let quotas = rate::quotas(limits, &destination.timezone, clock);
        let quiet = rate::is_quiet(limits, &destination.timezone, clock);
        let upto = if quiet { Priority::Clinician } else { Priority::History };
        let mut rows = self.probes(destination, pace, room, quiet, &quotas).await;
        let kinds = destination.uses().into_iter().map(|(capability, _)| capability);
        let open = kinds.filter(|capability| self.held(destination, *capability).is_none());
        let kinds: Vec<String> = open.map(|capability| capability.name().to_owned()).collect();
        let limit = room.saturating_sub(rows.len());
        let take = Take::Due { kinds, upto: upto.rank() };
        let lease = (limit > 0).then(|| self.lease_of(limit, take, &quotas));
        let due = self.turn(lease, pace, tasks).await;
        let full = due.len() == limit;
        rows.extend(due);
        pace.throttle.pass(rows.len(), now);
        let sent = rows.len();
        let used_up = sent == 0 && self.is_used_up(&quotas);
        self.tell_quota(destination, &quotas, used_up, clock);
        for rows in requests(destination, pace, rows) {
            let ids = rows.iter().map(|row| row.id).collect();
            let is_probe = rows.iter().any(|row| pace.is_probe(row.id));
            let departure = self.departure(destination, is_probe);
            let task = tasks.spawn(async move { departure.send(rows).await });
            pace.out.insert(task.id(), ids);
        }
        if full && !pace.out.is_empty() {
            // The end of one of them is what to wait for, or the rate.
            let rest = pace.throttle.wait(now);
            return if rest.is_zero() { LONGEST_SLEEP } else { rest.min(LONGEST_SLEEP) };
        }
        self.until_next(destination, pace, quiet || used_up, now)
    }

    /// How many rows may go now, at least one.
    ///
    /// # Errors
    /// Why, and how long, none may.
    fn room(destination: &Destination, pace: &mut Pace, now: Instant) -> Result<usize, (Rest, Duration)> {
        if let Some(rest) = pace.not_before.checked_duration_since(now).filter(|rest| !rest.is_zero()) {
            return Err((Rest::Asked, rest));
        }
        let connections = usize::from(destination.delivery.in_flight);
        let most = pace.circuit.room(connections, now).map_err(|rest| (Rest::Silent, rest))?;
        let ready = pace.throttle.ready(now);
        if ready == 0 {
            return Err((Rest::Rate, pace.throttle.wait(now)));
        }
        let requests = most.saturating_sub(pace.out.len());
        match requests.saturating_mul(batch_of(destination)).min(ready) {
            // The end of what is out is what to wait for: of the one that tries a silent destination, or of any.
            0 if most < connections => Err((Rest::Silent, LONGEST_SLEEP)),
            0 => Err((Rest::Busy, LONGEST_SLEEP)),
            room => Ok(room),
        }
    }

    /// One commit: the verdicts that wait, and the next lease. Verdicts that the store does not take together are
    /// committed each by itself.
    async fn turn(&self, lease: Option<Lease>, pace: &mut Pace, tasks: &mut JoinSet<Done>) -> Vec<LeasedRow> {
        if lease.is_none() && pace.settled.is_empty() {
            return Vec::new();
        }
        let turn = Turn { settled: pace.settled.clone(), lease };
        match self.writer.turn(turn).await {
            Ok(rows) => {
                pace.settled.clear();
                rows
            }
            Err(error) => {
                tracing::warn!(destination = %self.id, %error, "no turn");
                self.settle_each(pace, tasks);
                Vec::new()
            }
        }
    }

    /// One deferred row of every closed capability whose time to be tried has come.
    async fn probes(
        &self,
        destination: &Destination,
        pace: &mut Pace,
        room: usize,
        quiet: bool,
        quotas: &[Quota],
    ) -> Vec<LeasedRow> {
        let mut rows = Vec::new();
        for capability in self.to_probe(destination) {
            let now = Instant::now();
            let name = capability.name();
            if quiet || rows.len() >= room || pace.is_probing(name) || now < pace.probing(name, now).at {
                continue;
            }
            // While another form is open, what waits falls back to it, and nothing of it is stale.
            let latest = match self.has_open_form(destination) {
                true => Vec::new(),
                false => edges::left_out(destination.on_recovery),
            };
            let probe = self.lease(1, Take::Probe { kind: name.to_owned(), latest }, quotas).await;
            let next = now + backoff::jittered(destination.delivery.probe_interval, chance());
            let probing = pace.probing(name, now);
            (probing.at, probing.row) = (next, probe.first().map(|row| row.id));
            if !probe.is_empty() {
                self.observations.apply(&self.id, name, Event::ProbeSent, time::now_ms());
            }
            rows.extend(probe);
        }
        rows
    }

    /// The capabilities that the configuration permits and the destination refused.
    pub(super) fn to_probe(&self, destination: &Destination) -> Vec<crate::capability::Capability> {
        let uses = destination.uses().into_iter().map(|(capability, _)| capability);
        uses.filter(|capability| {
            destination.permits(*capability)
                && destination.unpermitted_write(*capability).is_none()
                && self.observations.of(&self.id, capability.name()) == Observed::ReadOnly
        })
        .collect()
    }

    fn lease_of(&self, limit: usize, take: Take, quotas: &[Quota]) -> Lease {
        Lease { destination: self.id.clone(), limit, now: time::now_ms(), take, quotas: quotas.to_vec() }
    }

    /// Leases one row alone. None where the store refuses: the loop comes back.
    pub(super) async fn lease(&self, limit: usize, take: Take, quotas: &[Quota]) -> Vec<LeasedRow> {
        self.writer.lease(self.lease_of(limit, take, quotas)).await.unwrap_or_else(|error| {
            tracing::warn!(destination = %self.id, %error, "no lease");
            Vec::new()
        })
    }

    /// Tells people that writes wait for the next day; a minute passes sooner than anybody reads.
    fn tell_quota(&self, destination: &Destination, quotas: &[Quota], used_up: bool, clock: Timestamp) {
        let day: Vec<Quota> = quotas.iter().filter(|quota| quota.span == rate::DAY).cloned().collect();
        let waits = || matches!(self.readers.with(|reader| reader.next_attempt_at(&self.id)), Ok(Some(_)));
        match day.first().filter(|_| used_up && self.is_used_up(&day) && waits()) {
            Some(quota) => {
                let until = rate::day_ends(&destination.timezone, clock);
                let detail = format!("per_day = {} is used up; writes wait until {until}", quota.most);
                self.conditions.raise(Kind::QuotaUsedUp, &self.id, detail, time::now_ms());
            }
            None => {
                self.conditions.clear(Kind::QuotaUsedUp, &self.id);
            }
        }
    }

    fn is_used_up(&self, quotas: &[Quota]) -> bool {
        !quotas.is_empty()
            && matches!(self.readers.with(|reader| reader.exhausted(&self.id, quotas)), Ok(Some(_)))
    }

    /// How long until a row that waits for its retry is due, or a probe. `shut`: nothing goes for a while, whatever is
    /// due.
    fn until_next(&self, destination: &Destination, pace: &mut Pace, shut: bool, now: Instant) -> Duration {
        if shut {
            return LONGEST_SLEEP;
        }
        let next = self.readers.with(|reader| reader.next_attempt_at(&self.id)).ok().flatten();
        let wait_ms = next.map_or(i64::MAX, |at| (at - time::now_ms()).max(SHORTEST_SLEEP_MS));
        let mut wait = Duration::from_millis(wait_ms as u64).min(LONGEST_SLEEP);
        for capability in self.to_probe(destination) {
            if !pace.is_probing(capability.name()) {
                let at = pace.probing(capability.name(), now).at;
                wait = wait.min(at.saturating_duration_since(now));
            }
        }
        wait.max(pace.throttle.wait(now).min(LONGEST_SLEEP))
    }
}

/// How many rows go in one request.
fn batch_of(destination: &Destination) -> usize {
    if destination.no_batches.is_set() { 1 } else { usize::from(destination.delivery.rate.batch) }
}

/// Rows by the request that they go in: those in doubt and probes alone, for the answer decides what comes next; others
/// that travel one by one together with others of their form.
fn requests(destination: &Destination, pace: &Pace, rows: Vec<LeasedRow>) -> Vec<Vec<LeasedRow>> {
    let most = batch_of(destination);
    let mut requests: Vec<Vec<LeasedRow>> = Vec::new();
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows {
        let single = destination.way(&row.form).is_some_and(|way| way.projection.style() == Style::Single);
        if most < 2 || !single || row.ambiguous || pace.is_probe(row.id) {
            requests.push(vec![row]);
            continue;
        }
        match open.get(&row.form).and_then(|at| requests.get_mut(*at)).filter(|rows| rows.len() < most) {
            Some(rows) => rows.push(row),
            None => {
                open.insert(row.form.clone(), requests.len());
                requests.push(vec![row]);
            }
        }
    }
    requests
}
