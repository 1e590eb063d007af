//! From readings to the metrics of a window.
//!
//! Invariants: an outcome is a function of the set of readings, the period and the policy. Every sum
//! is an exact integer (mg/dL × 10⁹, minutes), so that no order of adding changes a bit; floating
//! point begins at the last division. Values are classified as received and converted, with the
//! policy's one factor, only for mean, SD and what follows from them.

use crate::{
    calendar::Zone,
    daily_difference::Differences,
    distribution::Distribution,
    events::{Events, Scan, Trace},
    metrics::Metrics,
    outcome::{Insufficiency, Outcome, Period},
    policy::Policy,
    profile::Profile,
    reading::{Device, Instant, Reading},
    select::{Counted, Crossings, Excluded, Selection, pick},
    series::{Point, Series},
};

/// GMI = 3.31 + 0.02392 × mean in mg/dL (Bergenstal 2018, Diabetes Care 41:2275).
const GMI_AT_ZERO: f64 = 3.31;
/// GMI per mg/dL of mean glucose (Bergenstal 2018).
const GMI_PER_MG_DL: f64 = 0.02392;

/// The outcome of `period` under `policy` from what `streams` hold of it; `None` where no reading
/// counts. Several streams may name the same device, and streams may reach beyond the period.
#[must_use]
pub fn compute(period: &Period, streams: &[(Device, Vec<Reading>)], policy: &Policy) -> Option<Outcome> {
    let (counted, excluded) = counted(period, streams, policy);
    counted.sums(period, excluded, policy)?.outcome(period, policy)
}

/// As [`compute`], with the profile of the same readings.
#[must_use]
pub fn compute_with_profile(
    period: &Period,
    streams: &[(Device, Vec<Reading>)],
    policy: &Policy,
) -> Option<(Outcome, Profile)> {
    let (counted, excluded) = counted(period, streams, policy);
    let outcome = counted.sums(period, excluded, policy)?.outcome(period, policy)?;
    Some((outcome, Profile::of(period, &counted, policy)))
}

/// The outcome of readings selected before: for who also needs to know which they are.
#[must_use]
pub fn summarize(period: &Period, selection: &Selection, policy: &Policy) -> Option<Outcome> {
    let counted = Series::of(selection.counted.iter().map(Counted::picked), policy);
    counted.sums(period, selection.excluded.clone(), policy)?.outcome(period, policy)
}

fn counted(period: &Period, streams: &[(Device, Vec<Reading>)], policy: &Policy) -> (Series, Excluded) {
    let mut excluded = Excluded::new();
    let picked =
        pick(period, streams, (&[], policy), &mut excluded, &mut Vec::new(), &mut Crossings::default());
    (Series::of(picked, policy), excluded)
}

impl Series {
    /// `None` where no reading counts.
    fn sums(&self, period: &Period, excluded: Excluded, policy: &Policy) -> Option<Sums> {
        let Self { points, counts, palette } = self;
        let (first, last) = (points.first()?, points.last()?);
        let mut trace = Trace::default();
        let mut scan = Scan::new(policy);
        scan.pass(points, palette, &mut trace);
        scan.finish(palette, &mut trace);
        Some(Sums {
            distribution: Distribution::of_counts(counts, palette),
            differences: Differences::of(points, points, palette),
            tz_ambiguous: points.iter().filter(|point| point.tz_ambiguous).count() as u64,
            days_of_wear: days_of_wear(period, points),
            span: (first.time, last.time, last.end()),
            trace,
            excluded,
        })
    }
}

/// All that an outcome is made from, whichever way it was summed.
pub(crate) struct Sums {
    pub(crate) distribution: Distribution,
    pub(crate) differences: Differences,
    pub(crate) tz_ambiguous: u64,
    pub(crate) days_of_wear: u32,
    /// First reading, last reading, end of what is covered.
    pub(crate) span: (Instant, Instant, Instant),
    pub(crate) trace: Trace,
    pub(crate) excluded: Excluded,
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
            gaps: self.trace.gaps(),
            events: Events::from_found(self.trace.found, policy),
            insufficient,
            censored_low: account.censored_low,
            censored_high: account.censored_high,
            low_level_unknown: account.low_level_unknown,
            tz_ambiguous: self.tz_ambiguous,
            units: account.units,
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

/// Local days with a reading. `points` are by time.
fn days_of_wear(period: &Period, points: &[Point]) -> u32 {
    let zone = Zone::named(&period.zone).ok();
    // A period made elsewhere may name a zone that we lack: then days are those of UTC.
    let next_day = |time: Instant| match &zone {
        Some(zone) => zone.start_of(zone.day_of(time).plus(1)),
        None => Instant((i64::from(time.utc_day()) + 1).saturating_mul(Instant::DAY_MS)),
    };
    let (mut days, mut rest) = (0, points);
    while let Some(first) = rest.first() {
        let end = next_day(first.time);
        days += 1;
        // At least the first, also where a zone's days are not what they should be.
        rest = &rest[rest.partition_point(|point| point.time < end).max(1)..];
    }
    days
}

#[cfg(test)]
mod tests;
