//! Publish: a due window becomes an outcome, a version and rows in the queue, in one transaction.

use clinical::{
    app_event::{AppEvent, EventKind},
    calendar::{Cadence, LocalDay, Zone},
    fhir::provenance::{Session, sessions},
    outcome::{Outcome, Period},
    outcomes,
    policy::Policy,
    reading::{Device, Instant, Reading},
    select::Crossings,
};
use outbox::{Condition, ForeignSummary, Outcome as Published, Publish, Window, WriteError};

use super::{
    Pipeline, PipelineError, app_events, corrections::Cited, feeds, manifest::Listing, record::Record,
    set_aside,
};
use crate::{broker, conditions::Kind, course, generation::Generation, telemetry::Metric, time, traces};

/// Windows published in one turn.
pub const MAX_WINDOWS: usize = 64;

/// A window that could not be computed is tried again so much later.
const RETRY_FAILED_MS: i64 = 3_600_000;

/// A computed window.
pub(super) struct Computed<'a> {
    pub(super) outcome: Outcome,
    pub(super) listing: Listing,
    /// Its messages, and which of them are corrections by the source.
    pub(super) cited: Cited,
    pub(super) period: Period,
    pub(super) policy: &'a Policy,
    chunks: &'a [(Device, Vec<Reading>)],
    /// What was logged beside them.
    pub(super) logged: Vec<(Device, AppEvent)>,
    /// What others computed for the same dates.
    pub(super) summaries: Vec<ForeignSummary>,
}

impl Computed<'_> {
    /// What each sensor contributed.
    pub(super) fn sessions(&self) -> Vec<Session> {
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
        let began = std::time::Instant::now();
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
        let decided: Vec<_> = commands.iter().flat_map(decided).collect();
        let asked: Vec<Condition> = commands.iter().flat_map(asked).cloned().collect();
        let versions: Vec<(i64, i64)> = commands.iter().filter_map(version_of).collect();
        match self.writer.publish_all(commands).wait() {
            Ok(()) => {
                decided.into_iter().for_each(Counted::count);
                versions.into_iter().for_each(|(window, version)| self.tell_version(window, version, began));
                for Condition { name, scope, detail, since } in asked {
                    let kinds = [Kind::AmendmentNeeded, Kind::NumberWithheld];
                    if let Some(kind) = kinds.into_iter().find(|kind| kind.word() == name) {
                        self.conditions.raise(kind, &scope, detail, since);
                    }
                }
                Ok(due.len())
            }
            // A delivery began meanwhile, or a window was dirtied: it is read again.
            Err(WriteError::Conflict(conflict)) => {
                tracing::debug!(%conflict, "windows are read again");
                Ok(0)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a new version down in the log, with the messages that it counts and no version before it did, where that is
    /// read at level debug, and in the traces of these messages.
    fn tell_version(&self, window: i64, version: i64, began: std::time::Instant) {
        if tracing::enabled!(tracing::Level::DEBUG) || traces::are_on() {
            let counted = self.readers.with(|reader| course::new_messages(reader, window, version));
            let counted = counted.unwrap_or_default();
            tracing::debug!(window, version, msgs = course::msgs(&counted), "version published");
            traces::published(window, version, &counted, began);
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
            Err(error) if error.is_about_a_window() => error,
            settled => {
                if settled.is_ok() {
                    self.conditions.clear(Kind::WindowFailed, &format!("window {}", due.id));
                }
                return settled;
            }
        };
        let (scope, now) = (format!("window {}", due.id), time::now_ms());
        Metric::WindowFailures.add(1, &[]);
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
            (Some(site), Some(computed)) => self.version(due, site, generation, &computed, now)?,
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

    /// Every reading of a published window was taken back: what stands at a destination is wrong. It is marked so by the
    /// watch over intents where its form permits that; else people have to.
    fn withdrawn(&self, due: &Window, generation: &Generation, now: i64) -> Result<Published, PipelineError> {
        let mut stands = false;
        for destination in generation.destinations_of(&due.site) {
            stands |= self.readers.with(|reader| reader.standing_version(due.id, &destination.id))?.is_some();
        }
        if !stands {
            return Ok(Published::Withdrawn { condition: None });
        }
        let detail = format!(
            "window {} (version {}) was published and all its readings were taken back since; what stands is marked as \
             entered in error by itself where its form permits that, else by people: isthmus intent withdraw --window {} --by NAME",
            due.id, due.version, due.id
        );
        let scope = format!("window {}", due.id);
        self.conditions.raise(Kind::WithdrawalNeeded, &scope, detail.clone(), now);
        Ok(Published::Withdrawn { condition: Some((Kind::WithdrawalNeeded.word().to_owned(), detail)) })
    }

    /// The outcome of a window from what is stored under any of the patient's identifiers; `None` for an empty one.
    pub(super) fn compute<'a>(
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
        let theirs = self.foreign_summaries(members, &period)?;
        let outcome = match logged.iter().any(|(_, event)| event.kind == EventKind::SensorStart) {
            true => at_once(record.chunks(days)),
            false => record.outcome(due, days, (&zone, policy), at_once)?,
        };
        Metric::Outcomes.add(u64::from(outcome.is_some()), &[]);
        let chunks = record.chunks(days);
        let crossings = match outcome.as_ref().is_some_and(feeds::came_twice) {
            true => app_events::selected(&period, &mut chunks.to_vec(), &logged, policy).crossings,
            false => Crossings::default(),
        };
        feeds::count(&crossings);
        let computed = outcome.as_ref().map(|outcome| (outcome, policy.factor_e4.value));
        self.record_conflicts(feeds::findings(due, &period, &crossings.conflicts, computed, &theirs))?;
        let Some(mut outcome) = outcome else { return Ok(None) };
        let stored = chunks.iter().flat_map(|(_, readings)| readings);
        let mut cited = Cited::of(period.start, period.end, stored);
        cited.messages.extend(app_events::messages_of_starts(&logged, period.start, period.end));
        cited.messages.extend(theirs.iter().map(|summary| summary.inbox_id as u64));
        let listed = &cited.messages;
        if let (Some(first), Some(last)) = (listed.first(), listed.last()) {
            let (first, last) = (*first as i64, *last as i64);
            for member in members {
                let aside = self.readers.with(|reader| reader.set_aside(*member, first, last))?;
                set_aside::tell(&mut outcome.excluded, listed, &aside);
            }
        }
        let listing = Listing::of(cited.messages.iter().copied());
        Ok(Some(Computed { outcome, listing, cited, period, policy, chunks, logged, summaries: theirs }))
    }
}

/// A decision as it is counted, once it is in the store.
struct Counted {
    destination: String,
    decision: String,
    /// It was left to a summary of somebody else.
    same_summary: bool,
}

impl Counted {
    fn of(made: &outbox::Decision) -> Self {
        let same_summary = made.reason == broker::Reason::SameSummary.word();
        Self { destination: made.destination.clone(), decision: made.decision.clone(), same_summary }
    }

    fn count(self) {
        let destination = ("destination", self.destination);
        if self.same_summary {
            Metric::SameSummaries.add(1, std::slice::from_ref(&destination));
        }
        Metric::Decisions.add(1, &[destination, ("decision", self.decision)]);
    }
}

/// The decisions of a window.
fn decided(publish: &Publish) -> Vec<Counted> {
    let decisions = match &publish.result {
        Published::Version { decisions, .. } | Published::Computed { decisions, .. } => decisions.as_slice(),
        Published::Unchanged | Published::Withdrawn { .. } | Published::Postponed { .. } => &[],
    };
    decisions.iter().map(Counted::of).collect()
}

/// The window and the number of a new version.
fn version_of(publish: &Publish) -> Option<(i64, i64)> {
    match publish.result {
        Published::Version { version, .. } => Some((publish.window_id, version)),
        _ => None,
    }
}

/// What people are asked to do about a window.
fn asked(publish: &Publish) -> &[Condition] {
    match &publish.result {
        Published::Version { conditions, .. } => conditions,
        _ => &[],
    }
}
