//! What follows from each answer: for the row, for the mode, for the pace, and for people.

use std::time::{Duration, Instant};

use outbox::{LeasedRow, Settle};

use super::{
    Deliverer, attempt, backoff, birth_date, chance, commit, consequence,
    doubts::{self, Doubts},
    pace::Pace,
    rate,
};
use crate::{
    capability::Capability,
    conditions::{self, Kind},
    course,
    destination::Destination,
    mode::{Effect, Observed},
    telemetry::{Last, Metric},
    time,
    traces::Attempted,
    verdict::Verdict,
};

/// What is said of an amendment that is refused where creates are taken.
const AMENDS_NOTHING: &str = "the site takes new results of this kind and refuses to amend one";

/// Whether an answer shows that the destination knows who we are. What a gateway answers without looking (throttling,
/// errors of its own) does not.
fn proves_us(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Delivered
        | Verdict::ReadBack
        | Verdict::Data(_)
        | Verdict::Configuration(_)
        | Verdict::Patient(_)
        | Verdict::Conflict(_) => true,
        Verdict::Auth(_)
        | Verdict::Identity(_)
        | Verdict::Defect(_)
        | Verdict::Throttled(_)
        | Verdict::Withheld
        | Verdict::Unlisted
        | Verdict::Absent
        | Verdict::Overtaken
        | Verdict::Recalled(_)
        | Verdict::Unsent(_)
        | Verdict::Ambiguous(_) => false,
    }
}

/// An attempt that came to its end.
pub(super) struct Ended {
    /// The row.
    pub row: Box<LeasedRow>,
    /// What it came to.
    pub outcome: attempt::Outcome,
    /// When it began.
    pub began: Instant,
}

impl Deliverer {
    /// Draws the consequences of one attempt. What changes the mode is committed before anything else is
    /// sent; the rest is committed with the next lease.
    pub(super) async fn conclude(&self, destination: &Destination, ended: Ended, pace: &mut Pace) {
        let Ended { row, mut outcome, began } = ended;
        let unamended = self.refuses_amendments(&row, &mut outcome, pace);
        let now = time::now_ms();
        let labels = [("destination", self.id.clone()), ("verdict", outcome.verdict.word().to_owned())];
        Metric::Deliveries.add(1, &labels);
        let is_delivered = matches!(outcome.verdict, Verdict::Delivered | Verdict::ReadBack);
        let (destination_id, verdict, status) = (&*self.id, outcome.verdict.word(), outcome.status);
        let attempted =
            Attempted { destination: destination_id, row: &row, began, verdict, status, is_delivered };
        course::tell_attempt(&self.readers, &attempted);
        if is_delivered {
            let (limits, zone) = (&destination.delivery.rate, &destination.timezone);
            let from = course::may_go_from(row.free_since, |at| rate::quiet_until(limits, zone, at));
            course::delivered(&self.readers, &self.id, &row, from, now);
        }
        self.tell(destination, &outcome.verdict, row.patient);
        let effect = self.observations.apply(&self.id, &row.kind, consequence::event(&row, &outcome), now);
        let wait = self.pause(destination, &outcome, row.attempts, began, pace);
        // A write that was not answered may have been made all the same.
        let wrote = outcome.wrote || matches!(outcome.verdict, Verdict::Ambiguous(_));
        let closed = matches!(effect, Effect::Close { .. });
        let unlisted = matches!(outcome.verdict, Verdict::Unlisted);
        let held = closed || self.observations.of(&self.id, &row.kind) != Observed::Open;
        let verdict = consequence::settlement(outcome, held, now, wait);
        let in_doubt = matches!(verdict, outbox::Verdict::Ambiguous { .. });
        let deferred = matches!(verdict, outbox::Verdict::Defer { .. });
        pace.unweighed |= deferred;
        pace.doubts.heard(row.id, in_doubt, now);
        self.tell_doubt(destination, pace, now);
        let capability = Capability::named(&row.kind);
        let evidence = format!("outbox row {}", row.id);
        let (modes, audit) = capability.map_or_else(Default::default, |capability| {
            self.change(destination, capability, &effect, &evidence, now)
        });
        let settle =
            Settle { row_id: row.id, lease: Some(row.attempts), verdict, wrote, modes, audit, at: now };
        if let Some(capability) = capability
            && (effect != Effect::None || pace.is_probe(row.id))
        {
            // From the answer on: behind a probe that was long under way the next does not follow at once. It does behind a row
            // that nobody was asked about, for its form is listed no more, and which is no head now.
            let next = match unlisted && deferred {
                true => Duration::ZERO,
                false => backoff::jittered(destination.delivery.probe_interval, chance()),
            };
            pace.probing(capability.name(), Instant::now()).at = Instant::now() + next;
        }
        match capability {
            Some(capability) if effect != Effect::None => {
                commit(&self.writer, settle).await;
                self.show_mode(destination, capability, &effect);
                // What was left out as stale so far may not be all.
                pace.unaligned = true;
            }
            _ => pace.settled.push(settle),
        }
        if unamended {
            self.tell_unamended(&row, now).await;
        }
    }

    /// Whether the site takes creates of this kind and refuses this amendment, and then that it is set aside by itself.
    fn refuses_amendments(&self, row: &LeasedRow, outcome: &mut attempt::Outcome, pace: &mut Pace) -> bool {
        let now = Instant::now();
        match &outcome.verdict {
            Verdict::Configuration(cause) if outcome.amending && !outcome.doubt => {
                let is_open = self.observations.of(&self.id, &row.kind) == Observed::Open;
                let alone = is_open && pace.amendments.refused(row.id, &row.kind, now);
                if alone {
                    outcome.verdict = Verdict::Conflict(format!("{AMENDS_NOTHING}: {cause}"));
                }
                alone
            }
            Verdict::Delivered | Verdict::ReadBack if outcome.wrote => {
                match outcome.amending {
                    true => pace.amendments.amended(row.id, &row.kind),
                    false => pace.amendments.created(&row.kind, now),
                }
                false
            }
            Verdict::Configuration(_) if !outcome.amending => {
                pace.amendments.create_refused(&row.kind);
                false
            }
            _ => false,
        }
    }

    /// Asks people to amend what stands, where the site lets nobody else.
    async fn tell_unamended(&self, row: &LeasedRow, now: i64) {
        if row.window_id == 0 {
            return;
        }
        let scope = conditions::window_at(row.window_id, &self.id);
        let detail = format!(
            "{AMENDS_NOTHING}: what stands there is older than version {} (outbox row {}); amend it by hand, then: isthmus site amended \
             \"{scope}\" --reason TEXT",
            row.version, row.id
        );
        self.conditions.raise(Kind::AmendmentNeeded, &scope, detail.clone(), now);
        if let Err(error) = self.writer.raise(Kind::AmendmentNeeded.word(), &scope, &detail, now).await {
            tracing::warn!(destination = %self.id, %error, "a condition could not be stored; its row is in quarantine");
        }
    }

    /// Raises and clears what people should see.
    fn tell(&self, destination: &Destination, verdict: &Verdict, patient: i64) {
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
            Verdict::Auth(cause) => self.tell_unaccepted(destination, cause),
            Verdict::Delivered => {
                Last::Delivery.happened(time::now_ms());
            }
            _ => {}
        }
        if proves_us(verdict) {
            self.conditions.clear(Kind::AuthDegraded, &self.id);
        }
    }

    /// Takes over what the store says of writes in doubt, unless a verdict is still to be committed: what it ends would
    /// be told once more. A store that cannot be read is asked again.
    pub(super) fn renew_doubts(&self, destination: &Destination, pace: &mut Pace) {
        if !pace.settled.is_empty() || !pace.settling.is_empty() {
            return;
        }
        if let Ok(stored) = self.readers.with(|reader| reader.in_doubt(&self.id, doubts::MOST)) {
            pace.doubts = Doubts::of(stored);
            self.tell_doubt(destination, pace, time::now_ms());
        }
    }

    /// Tells people of writes that have been in doubt for long, and when there is none any more.
    pub(super) fn tell_doubt(&self, destination: &Destination, pace: &Pace, now: i64) {
        let lasts_after_ms = destination.delivery.doubt_lasts_after.as_millis() as i64;
        match pace.doubts.told(lasts_after_ms, now, pace.unanswered.as_deref()) {
            Some((told, since)) => {
                self.conditions.raise(Kind::DoubtLasts, &self.id, told, since);
            }
            None => {
                self.conditions.clear(Kind::DoubtLasts, &self.id);
            }
        }
    }

    /// Tells people that the destination does not accept us.
    pub(super) fn tell_unaccepted(&self, destination: &Destination, cause: &str) {
        let detail = format!("{cause}: {}", destination.client.advice());
        self.conditions.raise(Kind::AuthDegraded, &self.id, detail, time::now_ms());
    }

    /// Slows the whole destination where it is silent or asks for it; returns the wait for this row.
    fn pause(
        &self,
        destination: &Destination,
        outcome: &attempt::Outcome,
        attempts: u32,
        began: Instant,
        pace: &mut Pace,
    ) -> Duration {
        let (delivery, now) = (&destination.delivery, Instant::now());
        let wait = |nth| backoff::wait(nth, delivery.retry_min, delivery.retry_max, chance());
        let mut silences = 0;
        let rest = match &outcome.verdict {
            Verdict::Throttled(asked) => {
                let asked = backoff::later(*asked, chance());
                pace.circuit.answered();
                pace.not_before = pace.not_before.max(now + asked);
                pace.throttle.throttled(now, pace.not_before);
                asked
            }
            Verdict::Unsent(_) | Verdict::Auth(_) => {
                silences = pace.circuit.silence(began, now, wait);
                wait(silences)
            }
            Verdict::Ambiguous(_) if outcome.silent => {
                silences = pace.circuit.silence(began, now, wait);
                wait(silences)
            }
            Verdict::Ambiguous(_) | Verdict::Recalled(_) | Verdict::Absent => wait(attempts.max(1)),
            _ => {
                pace.circuit.answered();
                wait(attempts.max(1))
            }
        };
        self.tell_unanswered(&outcome.verdict, outcome.silent, silences, pace);
        rest
    }
}
