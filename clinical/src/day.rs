//! What a local day contributes to a window: a summary that merges.
//!
//! Invariants: a summary is a function of the counted readings of its day; merging is associative, and in order of time
//! it gives the summary of the days together, bit for bit what their readings give at once. All is whole numbers.
//!
//! What does not merge, and what is done instead:
//!
//! | metric | kept |
//! |---|---|
//! | percentiles, SD, risk indices | the distribution (`clinical/src/distribution.rs`) |
//! | MODD | sums of the pairs whose later reading is of the day; they look two days back |
//! | events and gaps | what was open at midnight is handed to the next day (`clinical/src/history.rs`) |
//! | which readings count | facts of days give intervals and the order of devices; what meets across midnight is selected together (`clinical/src/history.rs`) |

use crate::{
    calendar::{LocalDay, Zone},
    daily_difference::Differences,
    distribution::Distribution,
    policy::{Night, Policy},
    reading::Instant,
    series::{Palette, Point},
};

/// The metrics of one or several local days, before the last division.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaySummary {
    pub(crate) whole: Distribution,
    /// Of it, the policy's night (00:00 to 06:00 by the clock).
    pub(crate) night: Distribution,
    pub(crate) tz_ambiguous: u64,
    pub(crate) days_of_wear: u32,
    /// First reading, last reading, end of what is covered.
    pub(crate) span: Option<(Instant, Instant, Instant)>,
    pub(crate) differences: Differences,
    pub(crate) night_differences: Differences,
}

impl DaySummary {
    /// Of the points of one day in order of time; `before` are those of the days before that they are compared with,
    /// followed by the day's own.
    pub(crate) fn of(
        points: &[Point],
        before: &[Point],
        [night_from, night_to]: [Instant; 2],
        palette: &Palette,
    ) -> Self {
        let place = |at: Instant| points.partition_point(|point| point.time < at);
        let night = &points[place(night_from)..place(night_to)];
        let end = points.iter().map(Point::end).max();
        let span = points.first().zip(points.last()).zip(end);
        Self {
            whole: Distribution::of(points, palette),
            night: Distribution::of(night, palette),
            tz_ambiguous: points.iter().filter(|point| point.tz_ambiguous).count() as u64,
            days_of_wear: u32::from(!points.is_empty()),
            span: span.map(|((first, last), end)| (first.time, last.time, end)),
            differences: Differences::of(points, before, palette),
            night_differences: Differences::of(night, before, palette),
        }
    }

    /// Adds the days of `later`, all of them after those of `self`.
    pub fn merge(&mut self, later: &Self) {
        self.whole.merge(&later.whole);
        self.night.merge(&later.night);
        self.tz_ambiguous += later.tz_ambiguous;
        self.days_of_wear += later.days_of_wear;
        self.span = match (self.span, later.span) {
            (Some((first, _, end)), Some((_, last, later_end))) => Some((first, last, end.max(later_end))),
            (earlier, later) => earlier.or(later),
        };
        self.differences.merge(&later.differences);
        self.night_differences.merge(&later.night_differences);
    }
}

/// The night of `day`: its first instant and the first after it.
pub(crate) fn night(zone: &Zone, day: LocalDay, policy: &Policy) -> [Instant; 2] {
    let Night { from_hour, to_hour } = policy.night.value;
    // At most 24 by the policy.
    [from_hour, to_hour].map(|hour| zone.at_hour(day, i8::try_from(hour).unwrap_or(24)))
}
