//! Events: times past a threshold, long enough to count.
//!
//! Invariants: an event is a function of the counted readings and the policy, which holds the edges and the rules; a value counts by
//! its range, as received, a limit (`Low`) by the range it proves; every minute of an event that makes it one was
//! measured: a gap never creates an event and never lengthens one to its threshold.
//!
//! A reading covers its interval, cut short by the next reading. A gap is the time from there to the next reading:
//!
//! | gap | what it does |
//! |---|---|
//! | short: up to the policy's intervals (2) and tolerance (30 s) | joins what is on its two sides |
//! | longer, up to the policy's long gap (45 min) | an event goes on if the readings on both sides are past its threshold, and is marked low-confidence; else it ends, truncated. What is not yet an event begins anew |
//! | long | ends an event, truncated |
//!
//! An event begins with the first reading past the threshold of an uninterrupted run with 15 measured minutes and at
//! least two readings, and ends where 15 measured minutes back begin. A run of one reading that covers 15 minutes is a
//! candidate: listed, low-confidence, not counted.
//!
//! Numbers are those of the standard policy: `[events.*]` and `[gaps.*]` of `clinical/policies/standard.toml`. The
//! tolerance of sensors' clocks in `[gaps.short]` is granted to the measured minutes that make or end an event, too.

mod prolonged;
mod scan;
mod watch;

use std::collections::BTreeMap;

use self::scan::{Gap, Span};
pub(crate) use self::scan::{Scan, Trace};
use crate::{
    glucose::Glucose,
    level::Level,
    policy::{EdgeName, LastingRule, Policy},
    reading::Instant,
    series::{Palette, Point},
};

/// What kind of event. Declared in the order in which events of one time are listed. Its names are the codes of
/// [`crate::fhir::codes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// Below the target (<70 mg/dL) for 15 minutes.
    #[serde(rename = "hypo-level-1")]
    HypoLevel1,
    /// A level 1 event without one of level 2: a count only.
    #[serde(rename = "hypo-level-1-only")]
    HypoLevel1Only,
    /// Very low (<54 mg/dL) for 15 minutes. Each lies within one of level 1.
    #[serde(rename = "hypo-level-2")]
    HypoLevel2,
    /// Below the target for more than 120 minutes: a level 1 event of that length (of level 2 where the policy says
    /// so).
    HypoExtended,
    /// Above the target (>180 mg/dL) for 15 minutes.
    #[serde(rename = "hyper-level-1")]
    HyperLevel1,
    /// A level 1 event without one of level 2: a count only.
    #[serde(rename = "hyper-level-1-only")]
    HyperLevel1Only,
    /// Very high (>250 mg/dL) for 15 minutes.
    #[serde(rename = "hyper-level-2")]
    HyperLevel2,
    /// Very high for 90 minutes in sum within 120 (above the target where the policy says so).
    HyperExtended,
}

impl EventKind {
    /// Every kind, in the order in which they are declared.
    pub const ALL: [Self; 8] = [
        Self::HypoLevel1,
        Self::HypoLevel1Only,
        Self::HypoLevel2,
        Self::HypoExtended,
        Self::HyperLevel1,
        Self::HyperLevel1Only,
        Self::HyperLevel2,
        Self::HyperExtended,
    ];

    /// True below the target.
    #[must_use]
    pub const fn is_hypo(self) -> bool {
        matches!(self, Self::HypoLevel1 | Self::HypoLevel1Only | Self::HypoLevel2 | Self::HypoExtended)
    }

    const fn level_2_inside(self) -> Option<Self> {
        match self {
            Self::HypoLevel1 => Some(Self::HypoLevel2),
            Self::HyperLevel1 => Some(Self::HyperLevel2),
            _ => None,
        }
    }
}

/// One event or candidate.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Event {
    /// Its kind; never one of those that are only counted.
    pub kind: EventKind,
    /// Time of the first reading past the threshold.
    pub start: Instant,
    /// Where the time back begins, or where what was measured ends.
    pub end: Instant,
    /// From start to end, gaps included.
    pub duration_minutes: f64,
    /// Measured minutes past the threshold: what makes it an event.
    pub measured_minutes: f64,
    /// Nadir or peak as received, the first of equals; its spelling without trailing zeros.
    pub extreme: Glucose,
    /// Between the threshold and the curve, where that is past it, in mg/dL × minutes.
    pub area_mg_dl_min: f64,
    /// Its beginning or its end was not seen: a gap or the edge of the window cut it.
    pub truncated: bool,
    /// An event of level 2 begins within it.
    pub holds_level_2: bool,
    /// A single reading, a gap between the short and the long inside, or a clock time that fell into a repeated hour.
    pub low_confidence: bool,
}

/// The events of a window.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Events {
    /// How many of each kind that the policy has edges for.
    pub counts: BTreeMap<EventKind, u64>,
    /// All that count, by start, then kind.
    pub list: Vec<Event>,
    /// What one reading of 15 minutes alone says: not counted. By start, then kind.
    pub candidates: Vec<Event>,
}

impl Events {
    /// The events of points in order of time.
    pub(crate) fn of(points: &[Point], palette: &Palette, policy: &Policy) -> Self {
        let mut trace = Trace::default();
        let mut scan = Scan::new(policy);
        scan.pass(points, palette, &mut trace);
        scan.finish(palette, &mut trace);
        Self::from_found(trace.found, policy)
    }

    /// Puts what scans found in order and counts it.
    pub(crate) fn from_found(found: Vec<Found>, policy: &Policy) -> Self {
        let mut events = Self::default();
        let extended = policy.events.extended_hypo.value;
        let over_ms = i64::from(extended.longer_than_minutes) * Instant::MINUTE_MS;
        let extended_kind = match extended.edge {
            EdgeName::VeryLowBelow => EventKind::HypoLevel2,
            _ => EventKind::HypoLevel1,
        };
        let counted = found.iter().filter(|found| found.counts);
        let mut starts: Vec<_> = counted.map(|found| (found.event.kind, found.event.start)).collect();
        starts.sort_unstable();
        for Found { mut event, counts, measured_ms } in found {
            if !counts {
                events.candidates.push(event);
                continue;
            }
            event.holds_level_2 = event.kind.level_2_inside().is_some_and(|inner| {
                let first = starts.partition_point(|start| *start < (inner, event.start));
                starts.get(first).is_some_and(|(kind, start)| *kind == inner && *start < event.end)
            });
            events.list.push(event);
            if event.kind == extended_kind && measured_ms > over_ms {
                events.list.push(Event { kind: EventKind::HypoExtended, ..event });
            }
        }
        let by = |event: &Event| (event.start, event.kind);
        events.list.sort_by_key(by);
        events.candidates.sort_by_key(by);
        events.counts = counts(&events.list, policy);
        events
    }
}

/// How many of each kind begin in `list`, of the kinds that the policy has edges and rules for.
pub(crate) fn counts(list: &[Event], policy: &Policy) -> BTreeMap<EventKind, u64> {
    use EventKind::{
        HyperExtended, HyperLevel1, HyperLevel1Only, HyperLevel2, HypoExtended, HypoLevel1, HypoLevel1Only,
        HypoLevel2,
    };
    let two_levels = policy.thresholds.very_high_above.is_some();
    let of = |kind| list.iter().copied().filter(move |event| event.kind == kind);
    let alone = |kind| of(kind).filter(|event| !event.holds_level_2).count() as u64;
    let mut counts =
        BTreeMap::from([(HypoLevel1Only, alone(HypoLevel1)), (HyperLevel1Only, alone(HyperLevel1))]);
    if !two_levels {
        counts.remove(&HyperLevel1Only);
    }
    let told = [
        (HypoLevel1, true),
        (HypoLevel2, true),
        (HypoExtended, true),
        (HyperLevel1, true),
        (HyperLevel2, two_levels),
        (HyperExtended, policy.events.extended_hyper.is_some()),
    ];
    for (kind, _) in told.into_iter().filter(|(_, told)| *told) {
        counts.insert(kind, of(kind).count() as u64);
    }
    counts
}

/// An event as a scan found it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Found {
    event: Event,
    counts: bool,
    measured_ms: i64,
}

impl Found {
    fn new(
        kind: EventKind,
        run: &Run,
        (end, counts): (Instant, bool),
        truncated: bool,
        palette: &Palette,
    ) -> Self {
        let minutes = |ms: i64| ms as f64 / Instant::MINUTE_MS as f64;
        let event = Event {
            kind,
            start: run.start,
            end,
            duration_minutes: minutes(end.0.saturating_sub(run.start.0)),
            measured_minutes: minutes(run.measured_ms),
            extreme: palette.glucose(run.extreme.1),
            area_mg_dl_min: run.area as f64 / 1e9 / Instant::MINUTE_MS as f64,
            truncated: truncated || run.start_unseen,
            holds_level_2: false,
            low_confidence: run.doubtful || run.readings == 1,
        };
        Self { event, counts, measured_ms: run.measured_ms }
    }
}

/// What has been seen past a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    start: Instant,
    /// End of the last cover past the threshold.
    past_until: Instant,
    readings: u32,
    measured_ms: i64,
    /// mg/dL × 10⁹ × ms.
    area: i128,
    /// Value and place in the palette.
    extreme: (i64, u32),
    start_unseen: bool,
    doubtful: bool,
}

impl Run {
    fn begin(span: &Span, edge: &Edge) -> Self {
        let mut run = Self {
            start: span.start,
            past_until: span.start,
            readings: 0,
            measured_ms: 0,
            area: 0,
            extreme: (span.e9, span.value),
            start_unseen: span.gap != Gap::Short,
            doubtful: false,
        };
        run.add(span, edge);
        run
    }

    /// Takes in a reading past the threshold.
    fn add(&mut self, span: &Span, edge: &Edge) {
        let cover_ms = span.cover_ms();
        self.past_until = span.end;
        self.readings += 1;
        self.measured_ms += cover_ms;
        let beyond = if edge.below { edge.e9 - span.e9 } else { span.e9 - edge.e9 };
        // A value in mmol/L is judged natively, and may lie a little on the other side in mg/dL.
        self.area += i128::from(beyond.max(0)) * i128::from(cover_ms);
        let further = if edge.below { span.e9 < self.extreme.0 } else { span.e9 > self.extreme.0 };
        if further {
            self.extreme = (span.e9, span.value);
        }
        self.doubtful |= span.tz_ambiguous;
    }
}

/// Measured time that makes an event and that ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lasting {
    least_ms: i64,
    back_ms: i64,
}

impl Lasting {
    fn of(rule: &LastingRule, tolerance_ms: i64) -> Self {
        let ms = |minutes: u32| i64::from(minutes) * Instant::MINUTE_MS - tolerance_ms;
        Self { least_ms: ms(rule.begin_minutes), back_ms: ms(rule.end_minutes) }
    }
}

/// A threshold, as far as events look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edge {
    below: bool,
    /// The threshold in mg/dL × 10⁹, for the area.
    e9: i64,
    /// The least level that is past it (above), or the highest (below).
    level: Level,
}

impl Edge {
    fn is_past(&self, level: Level) -> bool {
        if self.below { level <= self.level } else { level >= self.level }
    }
}

#[cfg(test)]
mod tests;
