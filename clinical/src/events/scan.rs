//! The one pass over readings that finds events and gaps.
//!
//! What is handed from reading to reading is all there is: a scan can stop at any midnight, be kept, and go on.

use super::{Edge, EventKind, Found, Lasting, prolonged::Prolonged, watch::Watch};
use crate::{
    glucose::Glucose,
    level::Level,
    outcome::Gaps,
    policy::{EdgeName, LevelTwoEnd, Policy, Threshold},
    reading::Instant,
    series::{Palette, Point},
};

/// How far the time between two readings is from none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    Short,
    Between,
    Long,
}

/// A reading with what it covers and the gap before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: Instant,
    pub(super) end: Instant,
    pub(super) gap: Gap,
    pub(super) level: Level,
    pub(super) e9: i64,
    pub(super) value: u32,
    pub(super) tz_ambiguous: bool,
}

impl Span {
    pub(super) const fn cover_ms(&self) -> i64 {
        self.end.0 - self.start.0
    }
}

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Trace {
    /// Events and candidates, in the order in which they ended.
    pub(crate) found: Vec<Found>,
    gaps: GapSums,
}

/// Gaps that readings end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct GapSums {
    long: u64,
    longest_ms: i64,
}

impl Trace {
    /// Adds what was found later.
    pub(crate) fn extend(&mut self, later: &Self) {
        self.found.extend_from_slice(&later.found);
        self.gaps.long += later.gaps.long;
        self.gaps.longest_ms = self.gaps.longest_ms.max(later.gaps.longest_ms);
    }

    /// The time without readings.
    pub(crate) const fn gaps(&self) -> Gaps {
        let GapSums { long, longest_ms } = self.gaps;
        Gaps { long, longest_minutes: (longest_ms / Instant::MINUTE_MS) as u64 }
    }
}

/// All watches of a window, between two readings. Two equal scans that pass the same points find the same and are
/// equal afterwards: so what a day gives can be kept for as long as the day and what came before are the same.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scan {
    long_gap_ms: i64,
    short_gap_intervals: i64,
    tolerance_ms: i64,
    /// The last point with the gap before it: its cover is known when the next comes.
    last: Option<(Point, Gap)>,
    watches: Vec<Watch>,
    prolonged: Option<Prolonged>,
    idle: bool,
}

impl Scan {
    pub(crate) fn new(policy: &Policy) -> Self {
        let t = &policy.thresholds;
        let edge = |below, threshold: &Threshold, level| Edge {
            below,
            e9: threshold.mg_dl.scaled(Glucose::SUM_PLACES) as i64,
            level,
        };
        let low = edge(true, &t.low_below.value, Level::Low);
        let very_low = edge(true, &t.very_low_below.value, Level::VeryLow);
        let high = edge(false, &t.high_above.value, Level::High);
        let very_high = t.very_high_above.as_ref().map(|top| edge(false, &top.value, Level::VeryHigh));
        let level_2_end = match policy.events.level_two_end.value {
            LevelTwoEnd::LowBelow => low,
            LevelTwoEnd::VeryLowBelow => very_low,
        };
        let short_gap = policy.short_gap.value;
        let tolerance_ms = i64::from(short_gap.tolerance_seconds) * 1000;
        let (hypo, hyper) = (&policy.events.hypo.value, &policy.events.hyper.value);
        let (hypo, hyper) = (Lasting::of(hypo, tolerance_ms), Lasting::of(hyper, tolerance_ms));
        let mut watches = vec![
            Watch::new(EventKind::HypoLevel1, low, low, hypo),
            Watch::new(EventKind::HypoLevel2, very_low, level_2_end, hypo),
            Watch::new(EventKind::HyperLevel1, high, high, hyper),
        ];
        watches.extend(very_high.map(|top| Watch::new(EventKind::HyperLevel2, top, top, hyper)));
        let prolonged = policy.events.extended_hyper.as_ref().and_then(|rule| {
            let edge = match rule.value.edge {
                EdgeName::VeryHighAbove => very_high?,
                _ => high,
            };
            Some(Prolonged::new(edge, rule.value, hyper))
        });
        Self {
            long_gap_ms: i64::from(policy.long_gap_minutes.value) * Instant::MINUTE_MS,
            short_gap_intervals: i64::from(short_gap.intervals),
            tolerance_ms,
            last: None,
            watches,
            prolonged,
            idle: true,
        }
    }

    /// Takes in points, each later than those before and none of them within the minutes of another.
    pub(crate) fn pass(&mut self, points: &[Point], palette: &Palette, trace: &mut Trace) {
        let mut last = self.last;
        for point in points {
            let mut gap = Gap::Long;
            if let Some((before, gap_before)) = &last {
                let end = before.end();
                self.settle(before, *gap_before, end.min(point.time), palette, trace);
                let missing_ms = point.time.0.saturating_sub(end.0);
                gap = self.gap(missing_ms, before.interval_ms());
                trace.gaps.long += u64::from(missing_ms > self.long_gap_ms);
                trace.gaps.longest_ms = trace.gaps.longest_ms.max(missing_ms);
            }
            last = Some((*point, gap));
        }
        self.last = last;
    }

    /// Ends the window: what is open is cut.
    pub(crate) fn finish(mut self, palette: &Palette, trace: &mut Trace) {
        if let Some((last, gap)) = self.last {
            self.settle(&last, gap, last.end(), palette, trace);
        }
        for watch in &mut self.watches {
            watch.cut(palette, &mut trace.found);
        }
        if let Some(prolonged) = &mut self.prolonged {
            prolonged.cut(palette, &mut trace.found);
        }
    }

    /// From the end of a reading's interval to the next reading.
    fn gap(&self, missing_ms: i64, interval_ms: i64) -> Gap {
        match missing_ms {
            ms if ms <= interval_ms * self.short_gap_intervals + self.tolerance_ms => Gap::Short,
            ms if ms <= self.long_gap_ms => Gap::Between,
            _ => Gap::Long,
        }
    }

    /// Tells the watches of a reading that covers the time up to `end`.
    #[inline]
    fn settle(&mut self, point: &Point, gap: Gap, end: Instant, palette: &Palette, trace: &mut Trace) {
        // Most readings are in the target while nothing is open.
        if self.idle && point.level == Level::Target {
            return;
        }
        let span = Span {
            start: point.time,
            end,
            gap,
            level: point.level,
            e9: palette.value(point.value).e9,
            value: point.value,
            tz_ambiguous: point.tz_ambiguous,
        };
        self.step(&span, palette, &mut trace.found);
    }

    #[inline(never)]
    fn step(&mut self, span: &Span, palette: &Palette, found: &mut Vec<Found>) {
        self.idle = true;
        for watch in &mut self.watches {
            watch.step(span, palette, found);
            self.idle &= watch.is_idle();
        }
        if let Some(prolonged) = &mut self.prolonged {
            prolonged.step(span, palette, found);
            self.idle &= prolonged.is_idle();
        }
    }
}
