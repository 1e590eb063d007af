//! The stored readings of one patient, read and decoded once for all windows of a turn that look at them.
//!
//! Invariants
//! - What is here was read in this turn of the pipeline, which is the only writer of readings, and goes with the turn:
//!   it is no second truth, that a change would have to be told to. A day that was read is here whole.
//! - A window gets the chunks that it would read by itself, in whatever order windows ask.
//! - An outcome from day summaries is that of the same readings computed at once, bit for bit. Where that is not plain,
//!   they are computed at once: where an identity comes twice, which of its versions stands depends on the days that are
//!   looked at; so where a window has error codes of a sensor, which are counted by window; and the caller computes those
//!   with the start of a sensor. Builds with debug assertions compute both ways and compare.
//!
//! Numbers: see [`SHARED`] and [`READINGS_MOST`].

use std::collections::BTreeSet;

use clinical::{
    calendar::{CalendarError, LocalDay, Zone},
    chunk,
    history::History,
    outcome::Outcome,
    policy::Policy,
    reading::{Device, Reading},
    sentinel,
};
use outbox::{Chunk, Window};

use super::PipelineError;

/// Windows that look at the same day, on the average, from which on day summaries cost less than they save. Measured with
/// 5-minute readings and windows that end every day: of 14 days (11 look at a day, in a turn) a window costs 0.3 ms either
/// way; of 90 days (37) it costs 0.5 ms by summaries and 1.9 ms at once. Summaries that outlived their turn would save
/// another tenth, and would have to be told of every change.
const SHARED: usize = 12;
/// Readings from which on a record is begun anew, so that memory has a bound whatever the sensor: two years of one that
/// measures every 5 minutes, or 138 days of one that measures every minute. They take 20 MB, and 60 MB where they are
/// summed by days.
const READINGS_MOST: usize = 200_000;

/// The readings of a patient whose windows are computed.
pub(super) struct Record {
    /// Whether enough windows of the turn look at the same days.
    shared: bool,
    /// The numbers under which the readings are stored.
    members: Vec<i64>,
    /// UTC days that were read: the first, and the first after them.
    from: i32,
    to: i32,
    /// The UTC day of each chunk, ascending, and at the same place the chunk.
    days: Vec<i32>,
    chunks: Vec<(Device, Vec<Reading>)>,
    readings: usize,
    summaries: Summaries,
}

enum Summaries {
    /// Nobody has asked yet.
    Unasked,
    Of(Box<History>),
    /// Which reading stands depends on the window, or a sensor's error codes are among them, which each window counts.
    Never,
}

impl Record {
    /// An empty record for `windows`, which are of one patient, in one zone and under one policy.
    pub(super) fn of(windows: &[Window]) -> Self {
        Self::empty(are_shared(windows), Vec::new())
    }

    fn empty(shared: bool, members: Vec<i64>) -> Self {
        let (days, chunks, summaries) = (Vec::new(), Vec::new(), Summaries::Unasked);
        Self { shared, members, from: 0, to: 0, days, chunks, readings: 0, summaries }
    }

    fn begin_anew(&mut self) {
        *self = Self::empty(self.shared, std::mem::take(&mut self.members));
    }

    /// Makes sure that what is stored under `members` of the UTC days from `from` up to, not including, `to` is here.
    /// `read` gives the chunks of such days; it is asked for days that are not here.
    ///
    /// # Errors
    /// What `read` says; [`PipelineError::Chunk`] for one that cannot be decoded. Then nothing is here.
    pub(super) fn cover(
        &mut self,
        members: &[i64],
        (from, to): (i32, i32),
        policy: &Policy,
        mut read: impl FnMut(i32, i32) -> Result<Vec<Chunk>, PipelineError>,
    ) -> Result<(), PipelineError> {
        let apart = to < self.from || self.to < from;
        let is_full = self.readings > READINGS_MOST;
        if self.members != members || apart || is_full {
            // Of one that has to be begun anew again and again nothing is shared.
            *self = Self::empty(self.shared && !is_full, members.to_vec());
        }
        if self.from == self.to {
            (self.from, self.to) = (from, from);
        }
        let missing = [(self.to, to), (from, self.from)];
        (self.from, self.to) = (self.from.min(from), self.to.max(to));
        for (from, to) in missing.into_iter().filter(|(from, to)| from < to) {
            let taken = read(from, to).and_then(|stored| self.take(from, stored, policy));
            taken.inspect_err(|_| self.begin_anew())?;
        }
        Ok(())
    }

    /// Takes chunks in, all of them before or all of them after those that are here.
    fn take(&mut self, from: i32, mut stored: Vec<Chunk>, policy: &Policy) -> Result<(), PipelineError> {
        stored.sort_by_key(|chunk| chunk.day);
        let place = self.days.partition_point(|day| *day < from);
        let mut decoded = Vec::with_capacity(stored.len());
        for Chunk { device, day, body, .. } in &stored {
            let chunk =
                chunk::Chunk::decode(body).map_err(|source| PipelineError::Chunk { day: *day, source })?;
            self.readings += chunk.len();
            decoded.push((Device(device.clone()), chunk.into_iter().collect::<Vec<Reading>>()));
        }
        self.summaries.put(&decoded, policy);
        self.days.splice(place..place, stored.iter().map(|chunk| chunk.day));
        self.chunks.splice(place..place, decoded);
        Ok(())
    }

    /// The chunks of the UTC days from `from` up to, not including, `to`, which must be covered.
    pub(super) fn chunks(&self, (from, to): (i32, i32)) -> &[(Device, Vec<Reading>)] {
        debug_assert!(self.from <= from && to <= self.to, "{from}..{to} is not covered");
        let place = |day: i32| self.days.partition_point(|of| *of < day);
        &self.chunks[place(from)..place(to)]
    }

    /// The outcome of the local days of `window`, of which `days` must be covered and in which no source states the start
    /// of a sensor; `None` where no reading counts. `at_once` computes it from its chunks.
    ///
    /// # Errors
    /// [`CalendarError`] where the window is no period.
    pub(super) fn outcome(
        &mut self,
        window: &Window,
        days: (i32, i32),
        (zone, policy): (&Zone, &Policy),
        at_once: impl Fn(&[(Device, Vec<Reading>)]) -> Option<Outcome>,
    ) -> Result<Option<Outcome>, CalendarError> {
        let Some(history) = self.summaries(zone, policy) else { return Ok(at_once(self.chunks(days))) };
        let end = LocalDay(window.key.end_day);
        let outcome = history.outcome(end.plus(-i32::from(window.key.days)), end.plus(-1))?;
        debug_assert_eq!(
            format!("{outcome:?}"),
            format!("{:?}", at_once(self.chunks(days))),
            "day summaries are no second truth"
        );
        Ok(outcome)
    }

    /// The readings by days, where they gain anything and can be had so.
    fn summaries(&mut self, zone: &Zone, policy: &Policy) -> Option<&mut History> {
        if !self.shared {
            return None;
        }
        if matches!(self.summaries, Summaries::Unasked) {
            self.summaries = Summaries::Of(Box::new(History::new(zone.clone(), policy.clone())));
            self.summaries.put(&self.chunks, policy);
        }
        if let Summaries::Of(history) = &self.summaries
            && history.identities() != self.readings
        {
            self.summaries = Summaries::Never;
        }
        match &mut self.summaries {
            Summaries::Of(history) => Some(history),
            Summaries::Unasked | Summaries::Never => None,
        }
    }
}

impl Summaries {
    /// Adds readings, with limits in the place of what known sensors write for them.
    fn put(&mut self, chunks: &[(Device, Vec<Reading>)], policy: &Policy) {
        let Self::Of(history) = self else { return };
        let mut heeded = chunks.to_vec();
        if !sentinel::heed(&mut heeded, &policy.devices).is_empty() {
            *self = Self::Never;
            return;
        }
        for (device, readings) in heeded {
            history.insert(&device, readings);
        }
    }
}

/// Whether windows look at the same days often enough.
fn are_shared(windows: &[Window]) -> bool {
    let days = |window: &Window| window.key.end_day - i32::from(window.key.days)..window.key.end_day;
    let asked: usize = windows.iter().map(|window| usize::from(window.key.days)).sum();
    let distinct = windows.iter().flat_map(days).collect::<BTreeSet<i32>>().len();
    asked >= SHARED * distinct && distinct > 0
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
