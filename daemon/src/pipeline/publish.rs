//! Publish: a due window becomes an outcome, a version and rows in the queue, in one transaction.

use std::collections::BTreeSet;

use clinical::{
    app_event::{AppEvent, EventKind},
    calendar::{Cadence, LocalDay, Zone},
    fhir::{
        figures::{figures, shown_text},
        provenance::{Reason, Session, sessions},
    },
    identity::PatientKey,
    outcome::{Outcome, Period},
    outcomes,
    policy::Policy,
    reading::{Device, Instant, Reading},
};
use outbox::{Decision as Decided, Manifest, NewRow, Outcome as Published, Publish, Window, WriteError};

use sha2::{Digest, Sha256};

use super::{
    Pipeline, PipelineError, app_events,
    corrections::Cited,
    manifest::Listing,
    record::Record,
    resources::{self, Version},
    set_aside,
};
use crate::{
    broker::{self, Consent, Decision, Question, Timeliness},
    conditions::Kind,
    config::PublishRule,
    destination::Destination,
    generation::{Generation, Site},
    telemetry::Metric,
    time,
};

/// Windows published in one turn.
pub const MAX_WINDOWS: usize = 64;

/// A window that could not be computed is tried again so much later.
const RETRY_FAILED_MS: i64 = 3_600_000;

/// A computed window.
struct Computed<'a> {
    outcome: Outcome,
    listing: Listing,
    /// Its messages, and which of them are corrections by the source.
    cited: Cited,
    period: Period,
    policy: &'a Policy,
    chunks: &'a [(Device, Vec<Reading>)],
    /// What was logged beside them.
    logged: Vec<(Device, AppEvent)>,
}

impl Computed<'_> {
    /// What each sensor contributed.
    fn sessions(&self) -> Vec<Session> {
        let mut streams = self.chunks.to_vec();
        let selection = app_events::selected(&self.period, &mut streams, &self.logged, self.policy);
        sessions(&streams, &selection)
    }
}

impl Pipeline {
    /// Publishes windows that are due; returns how many there were.
    pub(super) fn publish(
        &mut self,
        generation: &Generation,
        high_water_ms: i64,
    ) -> Result<usize, PipelineError> {
        let due = {
            let sites: Vec<&str> = generation.sites().map(|site| site.id.as_str()).collect();
            self.readers.with(|reader| reader.due_windows(high_water_ms, MAX_WINDOWS, &sites))?
        };
        if due.is_empty() {
            return Ok(0);
        }
        let mut commands = Vec::with_capacity(due.len());
        let alike =
            |window: &Window| (window.key.patient, window.key.zone.clone(), window.key.policy.clone());
        for windows in due.chunk_by(|a, b| alike(a) == alike(b)) {
            let mut record = Record::of(windows);
            for window in windows {
                self.marks.remove(&window.key);
                commands.push(self.settle_or_tell(window, generation, &mut record)?);
            }
        }
        match self.writer.publish_all(commands).wait() {
            Ok(()) => Ok(due.len()),
            // A delivery began meanwhile, or a window was dirtied: it is read again.
            Err(WriteError::Conflict(conflict)) => {
                tracing::debug!(%conflict, "windows are read again");
                Ok(0)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What becomes of one due window. A window that cannot be computed or written leaves its neighbours
    /// alone: people are told, and it is taken up again when its data change.
    fn settle_or_tell(
        &self,
        due: &Window,
        generation: &Generation,
        record: &mut Record,
    ) -> Result<Publish, PipelineError> {
        let error = match self.settle(due, generation, record) {
            Err(
                error @ (PipelineError::Resources(_)
                | PipelineError::Chunk { .. }
                | PipelineError::Events { .. }
                | PipelineError::Calendar(_)
                | PipelineError::Policy { .. }),
            ) => error,
            settled => {
                if settled.is_ok() {
                    self.conditions.clear(Kind::WindowFailed, &format!("window {}", due.id));
                }
                return settled;
            }
        };
        let (scope, now) = (format!("window {}", due.id), time::now_ms());
        self.conditions.raise(Kind::WindowFailed, &scope, format!("{error}; it is not published"), now);
        Ok(Publish {
            window_id: due.id,
            expected_version: due.version,
            expected_generation: due.generation,
            result: Published::Postponed { until: now + RETRY_FAILED_MS },
            at: now,
        })
    }

    /// Clears the condition of windows that are not computed any more: their patient was merged away.
    pub(super) fn clear_failed(&self) -> Result<(), PipelineError> {
        for failed in self.conditions.scopes(Kind::WindowFailed) {
            let Some(id) = failed.strip_prefix("window ").and_then(|id| id.parse().ok()) else { continue };
            if !self.readers.with(|reader| reader.is_due(id))? {
                self.conditions.clear(Kind::WindowFailed, &failed);
            }
        }
        Ok(())
    }

    /// What becomes of one due window.
    fn settle(
        &self,
        due: &Window,
        generation: &Generation,
        record: &mut Record,
    ) -> Result<Publish, PipelineError> {
        let now = time::now_ms();
        let members = self.readers.with(|reader| reader.members(due.key.patient))?;
        let computed = self.compute(due, &members, generation, record)?;
        let result = match (generation.site(&due.site), computed) {
            // The patient was merged into another: the other's windows have the readings.
            _ if members.is_empty() => Published::Unchanged,
            (Some(site), Some(computed)) => self.version(due, site, generation, computed, now)?,
            (Some(_), None) if due.version > 0 => self.withdrawn(due, generation, now)?,
            // The window is empty.
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

    /// Every reading of a published window was taken back: what stands at a destination is wrong, and a
    /// person has to withdraw it.
    fn withdrawn(&self, due: &Window, generation: &Generation, now: i64) -> Result<Published, PipelineError> {
        let mut stands = false;
        for destination in generation.destinations_of(&due.site) {
            stands |= self.readers.with(|reader| reader.standing_version(due.id, &destination.id))?.is_some();
        }
        if !stands {
            return Ok(Published::Withdrawn { condition: None });
        }
        let detail = format!(
            "window {} (version {}) was published and all its readings were taken back since; \
             mark what stands at the destination as entered in error",
            due.id, due.version
        );
        let scope = format!("window {}", due.id);
        self.conditions.raise(Kind::WithdrawalNeeded, &scope, detail.clone(), now);
        Ok(Published::Withdrawn { condition: Some((Kind::WithdrawalNeeded.word().to_owned(), detail)) })
    }

    /// The outcome of a window from what is stored under any of the patient's identifiers; `None` for an empty one.
    fn compute<'a>(
        &self,
        due: &Window,
        members: &[i64],
        generation: &'a Generation,
        record: &'a mut Record,
    ) -> Result<Option<Computed<'a>>, PipelineError> {
        let zone = Zone::named(&due.key.zone)?;
        let cadence = Cadence::new(u32::from(due.key.days), 1)?;
        let period = zone.window(cadence, LocalDay(due.key.end_day))?;
        // One day more on each side: which version of a reading stands is decided before the period is cut
        // out, and a correction may have moved a reading over its edge. `chunks` leaves the last out.
        let days = (period.start.utc_day() - 1, Instant(period.end.0 - 1).utc_day() + 2);
        let id = &due.key.policy;
        let policy = generation.policy(id).ok_or_else(|| PipelineError::Policy { id: id.clone() })?;
        record.cover(members, days, policy, |from, to| {
            let of = |member: &i64| self.readers.with(|reader| reader.chunks(*member, from, to));
            Ok(members.iter().map(of).collect::<Result<Vec<_>, _>>()?.concat())
        })?;
        let (from, to) = days;
        let logged = self.readers.with(|reader| app_events::load(reader, members, from, to))?;
        let logged = app_events::events(logged)?;
        let at_once = |chunks: &[(Device, Vec<Reading>)]| {
            let mut streams = chunks.to_vec();
            let selection = app_events::selected(&period, &mut streams, &logged, policy);
            outcomes::summarize(&period, &selection, policy)
        };
        // Day summaries know no starts of sensors.
        let outcome = match logged.iter().any(|(_, event)| event.kind == EventKind::SensorStart) {
            true => at_once(record.chunks(days)),
            false => record.outcome(due, days, (&zone, policy), at_once)?,
        };
        Metric::Outcomes.add(u64::from(outcome.is_some()), &[]);
        let Some(mut outcome) = outcome else { return Ok(None) };
        let chunks = record.chunks(days);
        let stored = chunks.iter().flat_map(|(_, readings)| readings);
        let mut cited = Cited::of(period.start, period.end, stored);
        cited.messages.extend(app_events::messages_of_starts(&logged, period.start, period.end));
        let listed = &cited.messages;
        if let (Some(first), Some(last)) = (listed.first(), listed.last()) {
            let (first, last) = (*first as i64, *last as i64);
            for member in members {
                let aside = self.readers.with(|reader| reader.set_aside(*member, first, last))?;
                set_aside::tell(&mut outcome.excluded, listed, &aside);
            }
        }
        let listing = Listing::of(cited.messages.iter().copied());
        Ok(Some(Computed { outcome, listing, cited, period, policy, chunks, logged }))
    }

    /// The next version of a window, with a row and a decision for every destination.
    fn version(
        &self,
        due: &Window,
        site: &Site,
        generation: &Generation,
        computed: Computed<'_>,
        now: i64,
    ) -> Result<Published, PipelineError> {
        let scope = format!("window {}", due.id);
        if self.conditions.clear(Kind::WithdrawalNeeded, &scope) {
            self.writer.clear(Kind::WithdrawalNeeded.word(), &scope).wait()?;
        }
        let display_hash = shown_hash(&computed.outcome, generation, &site.id);
        let unchanged = due.display_hash == Some(display_hash);
        let owed = if unchanged { self.owed_by_consent(due, now)? } else { Vec::new() };
        if unchanged && owed.is_empty() {
            return Ok(Published::Unchanged);
        }
        let outcome_json =
            serde_json::to_string(&computed.outcome).map_err(resources::ResourceError::from)?;
        let mut sessions = None;
        let app_events = app_events::counts(&computed.logged, &computed.period);
        let version = due.version + 1;
        let sha256 = resources::cited(&computed.listing.sha256);
        let (mut rows, mut decisions): (Vec<NewRow>, Vec<Decided>) = (Vec::new(), Vec::new());
        let (mut standing, mut timely) = (Vec::new(), false);
        let owner = self.readers.with(|reader| reader.patient(due.key.patient))?;
        for destination in generation.destinations_of(&site.id) {
            let stands = self.readers.with(|reader| reader.standing_version(due.id, &destination.id))?;
            let mut timeliness = self.timeliness(due, site, stands.is_some(), now);
            if unchanged && self.needs_no_row(due, destination, &owed)? {
                timeliness = Timeliness::NothingShownChanged;
            }
            let consent = self.consent_of(due, destination, now)?;
            timely |= timeliness == Timeliness::Current;
            standing.push((destination.id.clone(), stands));
            let decision = self.decide(destination, resources::SUMMARY, consent, timeliness);
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
            let base = rows.len();
            let made = resources::rows(&Version {
                destination: &destination.id,
                projection: destination.projection,
                wire: destination.wire,
                outcome: &computed.outcome,
                patient: due.origin,
                subject: &subject,
                secret: &self.secret,
                box_id: &self.box_id,
                version: version as u32,
                supersedes: stands.map(|version| version as u32),
                reason: self.reason(due, stands, &computed)?,
                sessions: sessions.get_or_insert_with(|| computed.sessions()),
                app_events: &app_events,
                manifest: (computed.listing.count, &sha256),
                recorded: Instant(now),
                provenance_in_bundle: destination.provenance_in_bundle(),
                deferred,
                provenance_deferred: match self.decide(
                    destination,
                    resources::PROVENANCE,
                    consent,
                    timeliness,
                ) {
                    Decision::Defer(reason) => Some(reason.word()),
                    Decision::Write | Decision::Suppress(_) => None,
                },
            })?;
            rows.extend(made.into_iter().map(|mut row| {
                row.depends_on = row.depends_on.map(|index| index + base);
                row
            }));
        }
        let manifest = Manifest {
            // The generation tells apart what was computed and kept without becoming a version.
            id: format!("{}-{version}-{}", due.id, due.generation),
            count: computed.listing.count,
            sha256: computed.listing.sha256,
            body: computed.listing.body,
        };
        // Without a destination the site only computes; a version is still a version.
        if !timely && !standing.is_empty() {
            return Ok(Published::Computed { outcome_json, manifest });
        }
        Ok(Published::Version { version, display_hash, outcome_json, manifest, rows, decisions, standing })
    }

    /// Why there is a next version at a destination where the version `stands`.
    fn reason(
        &self,
        due: &Window,
        stands: Option<i64>,
        computed: &Computed<'_>,
    ) -> Result<Reason, PipelineError> {
        let cited = &computed.cited;
        let Some(stands) = stands else { return Ok(cited.reason(None)) };
        let (before, outcome) = self
            .readers
            .with(|reader| Ok((reader.manifest_of(due.id, stands)?, reader.outcome_of(due.id, stands)?)))?;
        let before = before.and_then(|manifest| Listing::ids(&manifest.body)).unwrap_or_default();
        let reason = cited.reason(Some(&before.into_iter().collect::<BTreeSet<u64>>()));
        // A source that corrected itself outranks rules that changed meanwhile.
        let ruled_by = outcome.and_then(|outcome| policy_sha256(&outcome));
        let same_rules = ruled_by.is_none_or(|sha256| sha256 == computed.outcome.policy.sha256);
        Ok(if reason == Reason::LateData && !same_rules { Reason::PolicyChange } else { reason })
    }

    fn decide(
        &self,
        destination: &Destination,
        kind: &str,
        consent: Consent,
        timeliness: Timeliness,
    ) -> Decision {
        broker::decide(&Question {
            kind,
            ceiling: &destination.ceiling,
            observed: self.observations.of(&destination.id, kind),
            consent,
            timeliness,
        })
    }

    /// `stands`: an earlier version is, or may be, at the destination. What never got there is not amended but
    /// written for the first time.
    fn timeliness(&self, due: &Window, site: &Site, stands: bool, now: i64) -> Timeliness {
        let Some(rule) = rule_of(site, due.key.days) else { return Timeliness::BeforePublishFrom };
        let publish_from = rule.publish_from.map_or(self.went_live, LocalDay::from_civil);
        // A window ends on its last included day.
        if LocalDay(due.key.end_day).plus(-1) < publish_from {
            return Timeliness::BeforePublishFrom;
        }
        let amendable_ms = i64::from(rule.amend_for_days) * Instant::DAY_MS;
        match due.first_published_at {
            Some(first) if stands && now - first > amendable_ms => Timeliness::AmendmentClosed,
            _ => Timeliness::Current,
        }
    }
}

fn rule_of(site: &Site, days: u16) -> Option<&PublishRule> {
    site.publish.iter().find(|rule| rule.window_days == days)
}
/// The hash by which a version is told from one that looks the same: that of what is shown, and where a destination of
/// the site takes our own codes, of those too.
fn shown_hash(outcome: &Outcome, generation: &Generation, site: &str) -> [u8; 32] {
    let shown = outcome.display_hash();
    if !generation.destinations_of(site).any(|destination| destination.wire.local_codes) {
        return shown;
    }
    Sha256::new().chain_update(shown).chain_update(shown_text(&figures(outcome))).finalize().into()
}

/// The hash of the policy that a published outcome names.
fn policy_sha256(outcome_json: &str) -> Option<String> {
    let outcome: serde_json::Value = serde_json::from_str(outcome_json).ok()?;
    outcome["policy"]["sha256"].as_str().map(str::to_owned)
}
