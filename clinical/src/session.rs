//! Sensor sessions, found from what a source says, and what the warm-up of one leaves out.
//!
//! Invariants: a session start is known only where the source states it. A serial, a transmitter's count that begins
//! anew or a long gap divides readings into sessions, and says nothing of when the first of them warmed up; then
//! nothing is left out and the reason is told. Wear beyond what the label allows is a fact and excludes nothing.
//! Drift and changes of the clock are recorded as found, and correct nothing.
//!
//! Numbers: a gap divides where it is longer than the sensor's warm-up, or than 2 hours where the sensor is unknown
//! (nearly every sensor has warmed up by then), and never below the policy's long gap. A step of the clock by a
//! minute or more against the transmitter's count is a change, a smaller one is drift.

mod starts;

use std::fmt;

pub use self::starts::{Starts, attributed};
use crate::{
    device::Sensor,
    policy::Policy,
    reading::{Device, Instant},
};

/// The gap that divides where the sensor is unknown, in minutes.
const UNKNOWN_WARM_UP_MINUTES: u32 = 120;
/// A step of the clock that is no jitter of rounding to minutes.
pub(crate) const CLOCK_CHANGE_MS: i64 = Instant::MINUTE_MS;
/// Most changes of the clock that a session lists; those after them are counted.
const MAX_CLOCK_CHANGES: usize = 64;

/// A reading of one device, as far as sessions are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// When the sensor measured.
    pub time: Instant,
    /// The transmitter's own count of seconds, where the source gives it.
    pub ticks: Option<i64>,
}

/// What a transmitter's count of seconds was at a reading. A source's counts are thinned to the marks between which
/// nothing happened: see `clinical/src/normalize/ticks.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TickMark {
    /// When the sensor measured.
    pub time: Instant,
    /// The count.
    pub ticks: i64,
}

impl TickMark {
    /// By how much the clock went ahead of the count up to `later`, in milliseconds.
    pub(crate) const fn step_ms(self, later: Self) -> i64 {
        let by_clock = later.time.0.saturating_sub(self.time.0);
        by_clock.saturating_sub(later.ticks.saturating_sub(self.ticks).saturating_mul(1000))
    }
}

impl Row {
    fn mark(self) -> Option<TickMark> {
        self.ticks.map(|ticks| TickMark { time: self.time, ticks })
    }

    /// The rows of a device: its readings' times, in any order, with the counts of its marks.
    #[must_use]
    pub fn with_marks(times: impl Iterator<Item = Instant>, marks: &[TickMark]) -> Vec<Self> {
        let mut rows: Vec<Self> = times.map(|time| Self { time, ticks: None }).collect();
        rows.sort_unstable_by_key(|row| row.time);
        let mut marks = marks.iter().peekable();
        for row in &mut rows {
            while marks.next_if(|mark| mark.time < row.time).is_some() {}
            row.ticks = marks.next_if(|mark| mark.time == row.time).map(|mark| mark.ticks);
        }
        rows
    }
}

/// How the beginning of a session was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Began {
    /// The source states when the session started.
    Stated,
    /// The first reading under a serial or transmitter.
    Serial,
    /// The transmitter's count began anew.
    TicksRestarted,
    /// The first reading after a gap longer than a warm-up.
    Gap,
    /// The first reading of a device without a name.
    FirstReading,
}

/// A step of the device's clock against the transmitter's count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ClockChange {
    /// The first reading after it.
    pub at: Instant,
    /// By how much the clock went ahead, in milliseconds; negative where it was put back.
    pub by_ms: i64,
}

/// A sensor session.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Session {
    /// How its beginning was found.
    pub began: Began,
    /// When it started where that is stated, else its first reading.
    pub start: Instant,
    /// Its last reading.
    pub last: Instant,
    /// How many readings it has.
    pub readings: u64,
    /// How far the clock ran ahead of the transmitter's count in all, changes left out; `None` without counts.
    pub drift_ms: Option<i64>,
    /// The first changes of the clock, in order of time.
    pub clock_changes: Vec<ClockChange>,
    /// Changes of the clock after those that are listed.
    pub more_clock_changes: u64,
    /// Its last reading lies beyond the wear and the grace of its sensor.
    pub beyond_wear: bool,
}

/// What becomes of the warm-up of a session or device, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarmUp {
    /// Readings before this moment do not count.
    LeftOutUntil(Instant),
    /// The source states no session start.
    NoStatedStart,
    /// The device's name tells no sensor of the table, so how long it warms up is unknown.
    UnknownSensor,
    /// The policy leaves no warm-up out.
    NotByPolicy,
}

impl fmt::Display for WarmUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeftOutUntil(_) => "warm-up left out after the session start that the source states",
            Self::NoStatedStart => "no warm-up left out: the source states no session start",
            Self::UnknownSensor => "no warm-up left out: the sensor is not in the table of devices",
            Self::NotByPolicy => "no warm-up left out: the policy says so",
        })
    }
}

/// What the warm-up after a stated start leaves out; `start` is `None` where none is stated.
#[must_use]
pub fn warm_up(start: Option<Instant>, sensor: Option<&Sensor>, policy: &Policy) -> WarmUp {
    match (policy.warm_up.value.exclude, start, sensor) {
        (false, ..) => WarmUp::NotByPolicy,
        (true, None, _) => WarmUp::NoStatedStart,
        (true, Some(_), None) => WarmUp::UnknownSensor,
        (true, Some(start), Some(sensor)) => {
            WarmUp::LeftOutUntil(later(start, i64::from(sensor.warm_up_minutes.value)))
        }
    }
}

/// Until when early wear after a stated start is left out; `None` where the policy leaves none out.
#[must_use]
pub fn early_wear(start: Instant, policy: &Policy) -> Option<Instant> {
    let hours = policy.early_wear_hours.value;
    (hours > 0).then(|| later(start, i64::from(hours) * 60))
}

const fn later(time: Instant, minutes: i64) -> Instant {
    Instant(time.0.saturating_add(minutes.saturating_mul(Instant::MINUTE_MS)))
}

/// The sessions of one device. `rows` are in order of time; `stated` are the session starts that its source states,
/// in any order. A stated start without a reading before the next one is no session here.
#[must_use]
pub fn sessions(device: &Device, rows: &[Row], stated: &[Instant], policy: &Policy) -> Vec<Session> {
    let sensor = policy.devices.sensor(device);
    let warm_up = sensor.map_or(UNKNOWN_WARM_UP_MINUTES, |sensor| sensor.warm_up_minutes.value);
    let gap_ms = i64::from(warm_up.max(policy.long_gap_minutes.value)) * Instant::MINUTE_MS;
    let mut starts = stated.to_vec();
    starts.sort_unstable();
    let mut starts = starts.into_iter().peekable();
    let mut found: Vec<Session> = Vec::new();
    let mut before: Option<Row> = None;
    // The last count that was read, in this session or the one before.
    let mut mark: Option<TickMark> = None;
    for row in rows {
        let mut start = None;
        while let Some(stated) = starts.next_if(|start| *start <= row.time) {
            start = Some(stated);
        }
        let began = start.map(|_| Began::Stated).or_else(|| division(device, before, mark, *row, gap_ms));
        match (began, found.last_mut()) {
            (None, Some(session)) => session.take(mark, *row),
            (began, _) => found.push(Session {
                began: began.unwrap_or(Began::FirstReading),
                start: start.unwrap_or(row.time),
                last: row.time,
                readings: 1,
                drift_ms: row.ticks.map(|_| 0),
                clock_changes: Vec::new(),
                more_clock_changes: 0,
                beyond_wear: false,
            }),
        }
        // Drift is told within a session: a count of the one before says nothing of this one's clock.
        mark = row.mark().or(mark.filter(|_| began.is_none()));
        before = Some(*row);
    }
    if let Some(sensor) = sensor {
        let (wear, grace) = sensor.wear_hours.value;
        for session in &mut found {
            session.beyond_wear = session.last > later(session.start, i64::from(wear + grace) * 60);
        }
    }
    found
}

/// Why a new session begins with `row`; `None` where it goes on. `mark` is the last count that was read.
fn division(
    device: &Device,
    before: Option<Row>,
    mark: Option<TickMark>,
    row: Row,
    gap_ms: i64,
) -> Option<Began> {
    let Some(before) = before else {
        return Some(if device.0.is_empty() { Began::FirstReading } else { Began::Serial });
    };
    match (mark, row.ticks) {
        (Some(mark), Some(now)) if now < mark.ticks => Some(Began::TicksRestarted),
        // The count ran on through the gap: the same transmitter and session.
        (_, Some(_)) if before.ticks.is_some() => None,
        _ => (row.time.0.saturating_sub(before.time.0) > gap_ms).then_some(Began::Gap),
    }
}

impl Session {
    /// Adds a reading and compares the two clocks. `mark` is the last count of this session, where there is one.
    fn take(&mut self, mark: Option<TickMark>, row: Row) {
        self.last = row.time;
        self.readings += 1;
        let Some(now) = row.mark() else { return };
        self.drift_ms = self.drift_ms.or(Some(0));
        let Some(mark) = mark else { return };
        let step = mark.step_ms(now);
        if step.abs() < CLOCK_CHANGE_MS {
            self.drift_ms = Some(self.drift_ms.unwrap_or_default().saturating_add(step));
        } else if self.clock_changes.len() < MAX_CLOCK_CHANGES {
            self.clock_changes.push(ClockChange { at: row.time, by_ms: step });
        } else {
            self.more_clock_changes += 1;
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
