//! The metric set of each part of a window: the whole, its nights (00:00 to 06:00 by the clock, unless the policy says otherwise), each day and its night.
//!
//! Invariants: a reading belongs to the local day and to the night that it begins in; an event to that which it begins
//! in; the denominator of a part is its own length, so days of 23 and 25 hours have theirs. The whole is what
//! [`crate::outcomes::summarize`] gives, bit for bit.

use std::collections::BTreeMap;

use crate::{
    calendar::{LocalDay, Zone},
    daily_difference::{DAYS_BEFORE, Differences},
    day::{DaySummary, night},
    distribution::Distribution,
    events::{Event, EventKind, Events, counts},
    metrics::{Metrics, Modd},
    outcome::Period,
    outcomes::share_pct,
    policy::Policy,
    reading::Instant,
    select::{Counted, Selection},
    series::Series,
};

/// The metrics of one part.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Part {
    /// Length of the part in minutes.
    pub part_minutes: u64,
    /// Minutes with a reading as a share of it.
    pub active_pct: f64,
    /// `None` without a reading.
    pub metrics: Option<Metrics>,
    /// Mean difference of its readings to those a day before.
    pub modd: Option<Modd>,
    /// Events that begin in it, by kind.
    pub events: BTreeMap<EventKind, u64>,
}

/// A day with its night.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct DayParts {
    /// Local date, `YYYY-MM-DD`.
    pub date: String,
    /// The whole day.
    pub day: Part,
    /// The hours of it that the policy calls night.
    pub night: Part,
}

/// A window in parts.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Parts {
    /// All of it.
    pub whole: Part,
    /// All its nights.
    pub night: Part,
    /// Each day of the period, also those without a reading.
    pub days: Vec<DayParts>,
}

/// The parts of `period` under `policy` from what was selected of it; `None` where the period names a zone that is not
/// in the bundled data, or dates that are none.
#[must_use]
pub fn parts(period: &Period, selection: &Selection, policy: &Policy) -> Option<Parts> {
    let zone = Zone::named(&period.zone).ok()?;
    let (first, last): (LocalDay, LocalDay) =
        (period.first_date.parse().ok()?, period.last_date.parse().ok()?);
    let Series { points, palette, .. } = Series::of(selection.counted.iter().map(Counted::picked), policy);
    let events = Events::of(&points, &palette, policy);
    let place = |day: LocalDay| {
        let start = zone.start_of(day);
        points.partition_point(|point| point.time < start)
    };
    let mut whole = DaySummary::default();
    let mut days = Vec::new();
    let (mut night_minutes, mut nightly) = (0, Vec::new());
    for day in (first.0..=last.0).map(LocalDay) {
        let (start, end) = (zone.start_of(day), zone.start_of(day.plus(1)));
        let night = night(&zone, day, policy);
        let to = place(day.plus(1));
        let before = place(LocalDay(day.0.saturating_sub(DAYS_BEFORE)));
        let summary = DaySummary::of(&points[place(day)..to], &points[before..to], night, &palette);
        let part = |of: &Distribution, differences: &Differences, span: [Instant; 2]| {
            Part::of(of, differences, minutes(span), begun(&events.list, span), policy)
        };
        days.push(DayParts {
            date: day.to_string(),
            day: part(&summary.whole, &summary.differences, [start, end]),
            night: part(&summary.night, &summary.night_differences, night),
        });
        night_minutes += minutes(night);
        nightly.extend_from_slice(begun(&events.list, night));
        whole.merge(&summary);
    }
    let all = minutes([period.start, period.end]);
    Some(Parts {
        whole: Part::of(&whole.whole, &whole.differences, all, &events.list, policy),
        night: Part::of(&whole.night, &whole.night_differences, night_minutes, &nightly, policy),
        days,
    })
}

/// The events that begin within a span. `list` is by start.
fn begun(list: &[Event], span: [Instant; 2]) -> &[Event] {
    let [from, to] = span.map(|at| list.partition_point(|event| event.start < at));
    &list[from..to.max(from)]
}

fn minutes([start, end]: [Instant; 2]) -> u64 {
    (end.0.saturating_sub(start.0).max(0) / Instant::MINUTE_MS) as u64
}

impl Part {
    fn of(
        of: &Distribution,
        differences: &Differences,
        part_minutes: u64,
        events: &[Event],
        policy: &Policy,
    ) -> Self {
        let metrics = Metrics::of(of, policy);
        let active = metrics.as_ref().map_or(0, |metrics| metrics.active_minutes);
        Self {
            part_minutes,
            active_pct: share_pct(active.into(), part_minutes.into()),
            metrics,
            modd: differences.modd(),
            events: counts(events, policy),
        }
    }
}
