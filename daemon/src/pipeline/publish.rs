//! Publish: a due window becomes an outcome, a version and rows in the queue, in one transaction.

use clinical::{
    calendar::{Cadence, LocalDay, Zone},
    chunk::Chunk,
    identity::PatientKey,
    outcome::Outcome,
    outcomes,
    policy::Policy,
    reading::{Device, Instant, Reading},
};
use outbox::{Decision as Decided, Manifest, NewRow, Outcome as Published, Publish, Window};

use super::{
    Pipeline, PipelineError,
    manifest::Listing,
    resources::{self, Version},
};
use crate::{
    broker::{self, Consent, Decision, Question, Timeliness},
    config::PublishRule,
    destination::Destination,
    generation::{Generation, Site},
    telemetry::Metric,
    time,
};

/// Windows published in one turn.
pub const MAX_WINDOWS: usize = 64;

/// A computed window.
struct Computed {
    outcome: Outcome,
    listing: Listing,
}

impl Pipeline {
    /// Publishes windows that are due; returns how many there were.
    pub(super) fn publish(
        &mut self,
        generation: &Generation,
        high_water_ms: i64,
    ) -> Result<usize, PipelineError> {
        let due = self.readers.with(|reader| reader.due_windows(high_water_ms, MAX_WINDOWS))?;
        let mut commands = Vec::with_capacity(due.len());
        for window in &due {
            self.marks.remove(&window.key);
            commands.push(self.settle(window, generation)?);
        }
        self.writer.publish_all(commands).wait()?;
        Ok(due.len())
    }

    /// What becomes of one due window.
    fn settle(&self, due: &Window, generation: &Generation) -> Result<Publish, PipelineError> {
        let now = time::now_ms();
        let result = match (generation.site(&due.site), self.compute(due)?) {
            (Some(site), Some(computed)) => self.version(due, site, generation, computed, now)?,
            // The site left the configuration, or every reading was taken back.
            _ => Published::Unchanged,
        };
        Ok(Publish {
            window_id: due.id,
            expected_version: due.version,
            expected_generation: due.generation,
            result,
            at: now,
        })
    }

    /// The outcome of a window from what is stored; `None` for an empty one.
    fn compute(&self, due: &Window) -> Result<Option<Computed>, PipelineError> {
        let zone = Zone::named(&due.key.zone)?;
        let cadence = Cadence::new(u32::from(due.key.days), 1)?;
        let period = zone.window(cadence, LocalDay(due.key.end_day))?;
        // The UTC days that the period touches; the second one is the first day no longer read.
        let (from, to) = (period.start.utc_day(), Instant(period.end.0 - 1).utc_day() + 1);
        let stored = self.readers.with(|reader| reader.chunks(due.key.patient, from, to))?;
        let mut streams: Vec<(Device, Vec<Reading>)> = Vec::new();
        let mut messages = Vec::new();
        for stored in stored {
            let chunk = Chunk::decode(&stored.body)
                .map_err(|source| PipelineError::Chunk { day: stored.day, source })?;
            let readings = chunk.iter().copied().filter(|r| period.start <= r.time && r.time < period.end);
            let device = Device(stored.device);
            let stream = match streams.iter_mut().position(|(known, _)| *known == device) {
                Some(at) => &mut streams[at].1,
                None => {
                    streams.push((device, Vec::new()));
                    let last = streams.len() - 1;
                    &mut streams[last].1
                }
            };
            for reading in readings {
                messages.push(reading.message);
                stream.push(reading);
            }
        }
        let policy = Policy::named(&due.key.policy).unwrap_or_else(Policy::standard);
        let outcome = outcomes::compute(&period, &streams, policy);
        Metric::Outcomes.add(u64::from(outcome.is_some()), &[]);
        Ok(outcome.map(|outcome| Computed { outcome, listing: Listing::of(messages) }))
    }

    /// The next version of a window, with a row and a decision for every destination.
    fn version(
        &self,
        due: &Window,
        site: &Site,
        generation: &Generation,
        computed: Computed,
        now: i64,
    ) -> Result<Published, PipelineError> {
        let display_hash = computed.outcome.display_hash();
        let outcome_json =
            serde_json::to_string(&computed.outcome).map_err(resources::ResourceError::from)?;
        if due.display_hash == Some(display_hash) {
            return Ok(Published::Unchanged);
        }
        let version = due.version + 1;
        let timeliness = self.timeliness(due, site, now);
        let sha256 = resources::cited(&computed.listing.sha256);
        let (mut rows, mut decisions): (Vec<NewRow>, Vec<Decided>) = (Vec::new(), Vec::new());
        let owner = self.readers.with(|reader| reader.patient(due.key.patient))?;
        for destination in generation.destinations_of(&site.id) {
            let decision = self.decide(destination, timeliness);
            let (word, reason) = decision.words();
            Metric::Decisions
                .add(1, &[("destination", destination.id.clone()), ("decision", word.to_owned())]);
            decisions.push(Decided {
                destination: destination.id.clone(),
                decision: word.to_owned(),
                reason: reason.to_owned(),
            });
            let deferred = match decision {
                Decision::Write => None,
                Decision::Defer(reason) => Some(reason.word()),
                Decision::Suppress(_) => continue,
            };
            let Some(owner) = &owner else { continue };
            let key = PatientKey { system: owner.system.clone(), value: owner.value.clone() };
            let patient = due.key.patient;
            let subject = destination.subject(key, &self.secret, patient);
            let supersedes = self
                .readers
                .with(|reader| reader.standing_version(due.id, &destination.id))?
                .map(|v| v as u32);
            let base = rows.len();
            let made = resources::rows(&Version {
                destination: &destination.id,
                projection: destination.projection,
                outcome: &computed.outcome,
                patient,
                subject: &subject,
                secret: &self.secret,
                box_id: &self.box_id,
                version: version as u32,
                supersedes,
                manifest: (computed.listing.count, &sha256),
                recorded: Instant(now),
                deferred,
            })?;
            rows.extend(made.into_iter().map(|mut row| {
                row.depends_on = row.depends_on.map(|index| index + base);
                row
            }));
        }
        let manifest = Manifest {
            // By content too: a window that is computed and not written keeps its version.
            id: format!("{}-{}-{}", due.id, version, &sha256[..16]),
            count: computed.listing.count,
            sha256: computed.listing.sha256,
            body: computed.listing.body,
        };
        if timeliness != Timeliness::Current {
            return Ok(Published::Computed { outcome_json, manifest });
        }
        Ok(Published::Version { version, display_hash, outcome_json, manifest, rows, decisions })
    }

    fn decide(&self, destination: &Destination, timeliness: Timeliness) -> Decision {
        broker::decide(&Question {
            primary: resources::SUMMARY,
            ceiling: &destination.ceiling,
            observed: self.observations.of(&destination.id, resources::SUMMARY),
            consent: if destination.consented { Consent::Permit } else { Consent::Deny },
            timeliness,
        })
    }

    fn timeliness(&self, due: &Window, site: &Site, now: i64) -> Timeliness {
        let Some(rule) = rule_of(site, due.key.days) else { return Timeliness::BeforePublishFrom };
        let publish_from = rule.publish_from.map_or(self.went_live, LocalDay::from_civil);
        // A window ends on its last included day.
        if LocalDay(due.key.end_day).plus(-1) < publish_from {
            return Timeliness::BeforePublishFrom;
        }
        let amendable_ms = i64::from(rule.amend_for_days) * Instant::DAY_MS;
        match due.first_published_at {
            Some(first) if now - first > amendable_ms => Timeliness::AmendmentClosed,
            _ => Timeliness::Current,
        }
    }
}

fn rule_of(site: &Site, days: u16) -> Option<&PublishRule> {
    site.publish.iter().find(|rule| rule.window_days == days)
}
