//! The outcome of a patient over some days, computed from what is stored at one moment, and nothing recorded of it: no
//! conflict, no count, no version.
//!
//! Invariants: the same numbers as the pipeline publishes of the same readings (`publish.rs` computes by the same steps);
//! everything is read by one [`Reader`], so of one moment; the store is not written.
//!
//! Numbers: a day of a sensor that measures every 5 minutes is 288 readings; 400 days of one that measures every minute are
//! 576,000, 60 MB while they are looked at.

use std::collections::BTreeMap;

use clinical::{
    app_event::EventKind,
    calendar::{LocalDay, Zone},
    chunk::Chunk,
    fhir::provenance::{Session, sessions},
    outcome::{Outcome, Period},
    outcomes,
    policy::Policy,
    reading::{Device, Instant, Reading},
};
use outbox::Reader;

use super::{PipelineError, app_events, corrections::Cited, manifest::Listing, set_aside};

/// What was looked at.
pub struct Looked {
    /// The metrics.
    pub outcome: Outcome,
    /// The messages that they came from.
    pub listing: Listing,
    /// What each sensor contributed.
    pub sessions: Vec<Session>,
    /// How many app events of each kind lie in the period.
    pub app_events: BTreeMap<EventKind, u64>,
    /// The period.
    pub period: Period,
    pub(super) cited: Cited,
}

/// Computes the outcome of the local days from `first` to `last`, both included, of what is stored under `members`; `None`
/// where no reading counts.
///
/// # Errors
/// [`PipelineError`]: the store, what is stored in it, or the calendar.
pub fn look(
    reader: &Reader,
    members: &[i64],
    (zone, first, last): (&Zone, LocalDay, LocalDay),
    policy: &Policy,
) -> Result<Option<Looked>, PipelineError> {
    let period = zone.period(first, last)?;
    // One day more on each side, as in what is published.
    let (from, to) = (period.start.utc_day() - 1, Instant(period.end.0 - 1).utc_day() + 2);
    let chunks = chunks(reader, members, (from, to))?;
    let logged = app_events::events(app_events::load(reader, members, from, to)?)?;
    let mut streams = chunks.clone();
    let selection = app_events::selected(&period, &mut streams, &logged, policy);
    let Some(mut outcome) = outcomes::summarize(&period, &selection, policy) else { return Ok(None) };

    let stored = chunks.iter().flat_map(|(_, readings)| readings);
    let mut cited = Cited::of(period.start, period.end, stored);
    cited.messages.extend(app_events::messages_of_starts(&logged, period.start, period.end));
    for member in members {
        let dates = (period.first_date.as_str(), period.last_date.as_str());
        let theirs = reader.foreign_summaries(*member, dates)?;
        cited.messages.extend(theirs.iter().map(|summary| summary.inbox_id as u64));
    }
    let listed = &cited.messages;
    if let (Some(first), Some(last)) = (listed.first(), listed.last()) {
        for member in members {
            let aside = reader.set_aside(*member, *first as i64, *last as i64)?;
            set_aside::tell(&mut outcome.excluded, listed, &aside);
        }
    }
    Ok(Some(Looked {
        outcome,
        listing: Listing::of(listed.iter().copied()),
        sessions: sessions(&streams, &selection),
        app_events: app_events::counts(&logged, &period),
        period,
        cited,
    }))
}

fn chunks(
    reader: &Reader,
    members: &[i64],
    (from, to): (i32, i32),
) -> Result<Vec<(Device, Vec<Reading>)>, PipelineError> {
    let mut chunks = Vec::new();
    for member in members {
        for stored in reader.chunks(*member, from, to)? {
            let day = stored.day;
            let chunk = Chunk::decode(&stored.body).map_err(|source| PipelineError::Chunk { day, source })?;
            chunks.push((Device(stored.device), chunk.into_iter().collect()));
        }
    }
    Ok(chunks)
}
