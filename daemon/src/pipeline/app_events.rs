//! What was logged beside glucose: kept with the readings of the same message, in the same transaction, and read with them
//! when a window is published.
//!
//! Invariants: an event is stored under the number that readings of its owner are stored under, so it counts for whomever
//! they count for; the same event by another file is no second one; no event enters an outcome, but the start of a sensor,
//! which decides what of its readings is warm-up.
//!
//! Numbers: a start bears on readings for two days at most: the longest warm-up and the longest early wear that a table or
//! a policy may state.

use std::collections::{BTreeMap, BTreeSet};

use clinical::{
    app_event::{AppEvent, EventDay, EventKind, distinct, tally},
    calendar::LocalDay,
    outcome::{Exclusion, Period},
    policy::Policy,
    reading::{Device, Instant, Reading},
    select::{Selection, select_after},
    sentinel,
    session::attributed,
};
use outbox::{Chunk, ChunkWrite, DirtyWindow, QuarantineEntry, ReadError, Reader};

use super::{
    Pipeline, PipelineError,
    read::{Batch, NORMALIZE},
};
use crate::{
    generation::{Generation, Site},
    telemetry::Metric,
};

/// For so many days after its start a sensor may be in what is left out.
pub(super) const START_REACH_DAYS: i32 = 2;

impl Pipeline {
    /// Merges the batch's events into what is stored of their days, and marks the windows that a new start of a sensor
    /// bears on.
    pub(super) fn merge_events(
        &mut self,
        batch: &mut Batch,
        generation: &Generation,
        now: i64,
        dirty: &mut Vec<DirtyWindow>,
    ) -> Result<Vec<ChunkWrite>, PipelineError> {
        let mut writes = Vec::new();
        // Only this thread writes them, so one look at the store serves the whole batch.
        let reader = self.readers.get()?;
        for (owner, days) in std::mem::take(&mut batch.events) {
            let (Some(site), Some(place)) = (generation.site(&owner.site), self.known.get(&owner).copied())
            else {
                continue;
            };
            let mut touched = BTreeSet::new();
            for ((day, device), events) in days {
                let stored = reader.app_events_of(place.holder, &device.0, day)?;
                let version = stored.as_ref().map_or(0, |stored| stored.version);
                let mut kept = stored.map(|stored| decode(&stored)).transpose()?.unwrap_or_default();
                let merged = kept.merge(&events);
                if merged.left_out > 0 {
                    let message = events.first().map_or(0, |event| event.message);
                    batch.quarantine.push(no_room(message as i64, merged.left_out, now));
                }
                if merged.new.is_empty() {
                    continue;
                }
                Metric::AppEvents.add(merged.new.len() as u64, &[]);
                touched.extend(merged.new.iter().flat_map(|event| days_touched(site, event)));
                writes.push(ChunkWrite {
                    patient: place.holder,
                    device: device.0,
                    day,
                    expected_version: version,
                    count: kept.events().len() as u32,
                    body: kept.encode(),
                });
            }
            self.mark(place.owner, site, &touched, now, dirty)?;
        }
        Ok(writes)
    }
}

/// The local days of whose windows a new event may change a number.
pub(super) fn days_touched(site: &Site, event: &AppEvent) -> impl Iterator<Item = LocalDay> + use<> {
    let first = site.zone.day_of(event.time);
    let days = if event.kind == EventKind::SensorStart { START_REACH_DAYS + 1 } else { 0 };
    (0..days).map(move |day| first.plus(day))
}

/// The events that count for a patient: of the UTC days from `from` up to, not including, `to`, with the days before on
/// which the start of a sensor still bears on them.
pub(super) fn load(reader: &Reader, members: &[i64], from: i32, to: i32) -> Result<Vec<Chunk>, ReadError> {
    let mut stored = Vec::new();
    for member in members {
        stored.extend(reader.app_events(*member, from - START_REACH_DAYS, to)?);
    }
    Ok(stored)
}

/// What was loaded, event by event.
pub(super) fn events(stored: Vec<Chunk>) -> Result<Vec<(Device, AppEvent)>, PipelineError> {
    let mut all = Vec::new();
    for stored in stored {
        let day = decode(&stored)?;
        let device = Device(stored.device);
        all.extend(day.events().iter().map(|event| (device.clone(), *event)));
    }
    Ok(all)
}

/// What of a window's readings counts: limits in the place of what known sensors write for them, their error codes left
/// out, and the warm-up after the starts that sources state.
pub(super) fn selected(
    period: &Period,
    streams: &mut [(Device, Vec<Reading>)],
    logged: &[(Device, AppEvent)],
    policy: &Policy,
) -> Selection {
    let starts = attributed(logged, streams);
    let codes = sentinel::heed(streams, &policy.devices);
    let mut selection = select_after(period, streams, &starts.of, policy);
    let inside = |time: &&Instant| period.start <= **time && **time < period.end;
    selection.leave_out(Exclusion::ErrorCode, codes.iter().filter(inside).count() as u64);
    selection
}

/// How many events of each kind lie in a period.
pub(super) fn counts(logged: &[(Device, AppEvent)], period: &Period) -> BTreeMap<EventKind, u64> {
    tally(&distinct(logged, period)).into_iter().map(|(kind, sum)| (kind, sum.count)).collect()
}

/// The messages that state a start which bears on the time from `start` up to, not including, `end`.
pub(super) fn messages_of_starts(
    events: &[(Device, AppEvent)],
    start: Instant,
    end: Instant,
) -> impl Iterator<Item = u64> {
    let reach_ms = i64::from(START_REACH_DAYS) * Instant::DAY_MS;
    let bears = move |time: Instant| start.0.saturating_sub(reach_ms) <= time.0 && time < end;
    let starts = events.iter().filter(|(_, event)| event.kind == EventKind::SensorStart);
    starts.filter(move |(_, event)| bears(event.time)).map(|(_, event)| event.message)
}

fn decode(stored: &Chunk) -> Result<EventDay, PipelineError> {
    EventDay::decode(&stored.body).map_err(|source| PipelineError::Events { day: stored.day, source })
}

fn no_room(inbox_id: i64, events: usize, at: i64) -> QuarantineEntry {
    QuarantineEntry {
        inbox_id,
        stage: NORMALIZE.to_owned(),
        place: "app events".to_owned(),
        reason: format!(
            "{events} of a day and device were not kept: there is room for {}; its readings are not concerned",
            EventDay::MAX_EVENTS
        ),
        at,
    }
}
