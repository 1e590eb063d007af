//! From readings to the metrics of a window.
//!
//! Invariants: an outcome is a function of the set of readings, the period and the policy. Every sum
//! is an exact integer (mg/dL × 10⁹, minutes), so that no order of adding changes a bit; floating
//! point begins at the last division. Values are classified as received and converted, with the
//! policy's one factor, only for mean, SD and what follows from them.

use std::collections::BTreeMap;

use crate::{
    calendar::Zone,
    daily_difference::Differences,
    distribution::Distribution,
    events::Events,
    metrics::Metrics,
    outcome::{Exclusion, Gaps, Insufficiency, Outcome, Period},
    policy::Policy,
    reading::{Device, Instant, Reading},
    select::{Counted, Picked, Selection, pick},
    series::Palette,
};

/// GMI = 3.31 + 0.02392 × mean in mg/dL (Bergenstal 2018, Diabetes Care 41:2275).
const GMI_AT_ZERO: f64 = 3.31;
/// GMI per mg/dL of mean glucose (Bergenstal 2018).
const GMI_PER_MG_DL: f64 = 0.02392;

/// The outcome of `period` under `policy` from what `streams` hold of it; `None` where no reading
/// counts. Several streams may name the same device, and streams may reach beyond the period.
#[must_use]
pub fn compute(period: &Period, streams: &[(Device, Vec<Reading>)], policy: &Policy) -> Option<Outcome> {
    let mut excluded = BTreeMap::new();
    let picked = pick(period, streams, (&[], policy), &mut excluded, &mut Vec::new());
    sums(period, &picked, excluded, policy)?.outcome(period, policy)
}

/// The outcome of readings selected before: for who also needs to know which they are.
#[must_use]
pub fn summarize(period: &Period, selection: &Selection, policy: &Policy) -> Option<Outcome> {
    let picked: Vec<_> = selection.counted.iter().map(Counted::picked).collect();
    sums(period, &picked, selection.excluded.clone(), policy)?.outcome(period, policy)
}

fn sums(
    period: &Period,
    counted: &[Picked<'_>],
    excluded: BTreeMap<Exclusion, u64>,
    policy: &Policy,
) -> Option<Sums> {
    let (first, last) = (counted.first()?, counted.last()?);
    let mut palette = Palette::new(policy);
    let points = palette.points(counted.iter().copied());
    Some(Sums {
        distribution: Distribution::of(&points, &palette),
        differences: Differences::of(&points, &points, &palette),
        tz_ambiguous: points.iter().filter(|point| point.tz_ambiguous).count() as u64,
        days_of_wear: days_of_wear(period, counted),
        span: (first.reading.time, last.reading.time, counted.iter().map(Picked::end).max()?),
        gaps: gaps(counted, policy),
        events: Events::of(&points, &palette, policy),
        excluded,
    })
}

/// All that an outcome is made from, whichever way it was summed.
pub(crate) struct Sums {
    pub(crate) distribution: Distribution,
    pub(crate) differences: Differences,
    pub(crate) tz_ambiguous: u64,
    pub(crate) days_of_wear: u32,
    /// First reading, last reading, end of what is covered.
    pub(crate) span: (Instant, Instant, Instant),
    pub(crate) gaps: Gaps,
    pub(crate) events: Events,
    pub(crate) excluded: BTreeMap<Exclusion, u64>,
}

impl Sums {
    pub(crate) fn outcome(self, period: &Period, policy: &Policy) -> Option<Outcome> {
        let metrics = Metrics::of(&self.distribution, policy)?;
        let account = self.distribution.account();
        let active_ms = i128::from(metrics.active_minutes) * i128::from(Instant::MINUTE_MS);
        let window_ms = i128::from(period.end.0) - i128::from(period.start.0);
        let (first, last, end) = self.span;
        let span_ms = i128::from(end.0) - i128::from(first.0);
        let whole_minutes = |ms: i128| (ms.max(0) / i128::from(Instant::MINUTE_MS)) as u64;
        let insufficient = insufficiency(period, active_ms, window_ms, policy);
        let mean = metrics.mean_mg_dl;
        Some(Outcome {
            period: period.clone(),
            policy: policy.mark(),
            n: metrics.n,
            first,
            last,
            minutes: metrics.minutes,
            mean_mg_dl: mean,
            sd_mg_dl: metrics.sd_mg_dl,
            cv_pct: metrics.cv_pct,
            gmi_pct: insufficient.is_empty().then_some(GMI_AT_ZERO + GMI_PER_MG_DL * mean),
            days_of_wear: self.days_of_wear,
            active_window_pct: share_pct(active_ms, window_ms),
            active_span_pct: share_pct(active_ms, span_ms),
            window_minutes: whole_minutes(window_ms),
            span_minutes: whole_minutes(span_ms),
            titr: metrics.titr,
            gri: metrics.gri,
            lbgi: metrics.lbgi,
            hbgi: metrics.hbgi,
            j_index: metrics.j_index,
            modd: self.differences.modd(),
            percentiles_mg_dl: metrics.percentiles_mg_dl,
            events: self.events,
            insufficient,
            censored_low: account.censored_low,
            censored_high: account.censored_high,
            low_level_unknown: account.low_level_unknown,
            tz_ambiguous: self.tz_ambiguous,
            units: account.units,
            gaps: self.gaps,
            excluded: self.excluded,
        })
    }
}

/// `part` of `whole` in per cent, at most 100: readings a little closer than their nominal interval
/// would give more.
pub(crate) fn share_pct(part: i128, whole: i128) -> f64 {
    if whole <= 0 {
        return 0.0;
    }
    100.0 * part.min(whole) as f64 / whole as f64
}

/// Why a window with `active_ms` of readings does not suffice; empty where it does.
pub(crate) fn insufficiency(
    period: &Period,
    active_ms: i128,
    window_ms: i128,
    policy: &Policy,
) -> Vec<Insufficiency> {
    let needed = policy.sufficiency.value;
    let mut reasons = Vec::new();
    if period.days < needed.days {
        reasons.push(Insufficiency::TooFewDays);
    }
    // In integers: exactly 70 % suffices.
    if active_ms * 100 < window_ms * i128::from(needed.share_pct) {
        reasons.push(Insufficiency::TooLittleWear);
    }
    reasons
}

/// Local days with a reading. `counted` is by time.
fn days_of_wear(period: &Period, counted: &[Picked<'_>]) -> u32 {
    let zone = Zone::named(&period.zone).ok();
    // A period made elsewhere may name a zone that we lack: then days are those of UTC.
    let next_day = |time: Instant| match &zone {
        Some(zone) => zone.start_of(zone.day_of(time).plus(1)),
        None => Instant((i64::from(time.utc_day()) + 1).saturating_mul(Instant::DAY_MS)),
    };
    let mut days = 0;
    let mut day_ends = None;
    for time in counted.iter().map(|counted| counted.reading.time) {
        if day_ends.is_none_or(|end| time >= end) {
            days += 1;
            day_ends = Some(next_day(time));
        }
    }
    days
}

/// The time between the end of what is covered and the next reading. `counted` is by time.
fn gaps(counted: &[Picked<'_>], policy: &Policy) -> Gaps {
    let mut cover = Cover::default();
    let mut found = GapSums::default();
    for next in counted {
        cover.pass(next.reading.time, next.end(), policy, &mut found);
    }
    found.gaps()
}

/// Until when readings cover the time, reading by reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cover {
    until: Option<Instant>,
}

/// Gaps that readings end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GapSums {
    long: u64,
    longest_ms: i64,
}

impl Cover {
    pub(crate) fn pass(&mut self, start: Instant, end: Instant, policy: &Policy, found: &mut GapSums) {
        if let Some(until) = self.until {
            let gap_ms = start.0.saturating_sub(until.0);
            let long_ms = i64::from(policy.long_gap_minutes.value) * Instant::MINUTE_MS;
            found.long += u64::from(gap_ms > long_ms);
            found.longest_ms = found.longest_ms.max(gap_ms);
        }
        self.until = self.until.max(Some(end));
    }
}

impl GapSums {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.long += other.long;
        self.longest_ms = self.longest_ms.max(other.longest_ms);
    }

    pub(crate) fn gaps(self) -> Gaps {
        Gaps { long: self.long, longest_minutes: (self.longest_ms / Instant::MINUTE_MS) as u64 }
    }
}

#[cfg(test)]
mod tests;
