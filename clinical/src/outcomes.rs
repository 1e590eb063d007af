//! From readings to the metrics of a window.
//!
//! Invariants: an outcome is a function of the set of readings, the period and the policy. Every sum
//! is an exact integer (mg/dL × 10⁹, minutes), so that no order of adding changes a bit; floating
//! point begins at the last division. Values are classified as received and converted, with the
//! policy's one factor, only for mean, SD and what follows from them.
//!
//! Numbers: a value enters the sums within ±10⁶ mg/dL (`LIMIT_E9`), far beyond any sensor, so that
//! no input overflows an `i128`.

use crate::{
    calendar::Zone,
    glucose::{Glucose, Measured, Unit},
    level::{Classifier, Level},
    outcome::{Gaps, Insufficiency, Outcome, Period, RangeMinutes, UnitMix},
    policy::Policy,
    reading::{Device, Instant, Reading},
    select::{Counted, Selection, select},
};

/// GMI = 3.31 + 0.02392 × mean in mg/dL (Bergenstal 2018, Diabetes Care 41:2275).
const GMI_AT_ZERO: f64 = 3.31;
/// GMI per mg/dL of mean glucose (Bergenstal 2018).
const GMI_PER_MG_DL: f64 = 0.02392;

/// One mg/dL in the unit of the sums.
const SCALE: f64 = 1e9;
const _: () = assert!(Glucose::SUM_PLACES == 9);
/// Values enter the sums cut to ±10⁶ mg/dL: squares of differences stay below 4 × 10³⁰, which leaves
/// room for ten million minutes.
const LIMIT_E9: i128 = 1_000_000 * 1_000_000_000;

/// The outcome of `period` under `policy` from what `streams` hold of it; `None` where no reading
/// counts. Several streams may name the same device, and streams may reach beyond the period.
#[must_use]
pub fn compute(period: &Period, streams: &[(Device, Vec<Reading>)], policy: &Policy) -> Option<Outcome> {
    summarize(period, &select(period, streams, policy), policy)
}

/// The outcome of readings selected before: for who also needs to know which they are.
#[must_use]
pub fn summarize(period: &Period, selection: &Selection, policy: &Policy) -> Option<Outcome> {
    let counted = selection.counted.as_slice();
    let (first, last) = (counted.first()?, counted.last()?);
    let tally = Tally::of(counted, policy);
    let moments = Moments::of(counted, policy.factor_e4.value);
    let (mean, sd) = (moments.mean(), moments.sd());
    let active_ms = i128::from(tally.minutes.total()) * i128::from(Instant::MINUTE_MS);
    let window_ms = i128::from(period.end.0) - i128::from(period.start.0);
    let end = counted.iter().map(Counted::end).max()?;
    let span_ms = i128::from(end.0) - i128::from(first.reading.time.0);
    let insufficient = insufficiency(period, active_ms, window_ms, policy);
    Some(Outcome {
        period: period.clone(),
        policy: policy.mark(),
        n: counted.len() as u64,
        first: first.reading.time,
        last: last.reading.time,
        minutes: tally.minutes,
        mean_mg_dl: mean,
        sd_mg_dl: sd,
        cv_pct: sd.filter(|_| mean > 0.0).map(|sd| 100.0 * sd / mean),
        gmi_pct: insufficient.is_empty().then_some(GMI_AT_ZERO + GMI_PER_MG_DL * mean),
        days_of_wear: days_of_wear(period, counted),
        active_window_pct: share_pct(active_ms, window_ms),
        active_span_pct: share_pct(active_ms, span_ms),
        insufficient,
        censored_low: tally.censored_low,
        censored_high: tally.censored_high,
        low_level_unknown: tally.low_level_unknown,
        tz_ambiguous: tally.tz_ambiguous,
        units: tally.units,
        gaps: gaps(counted, policy),
        excluded: selection.excluded.clone(),
    })
}

/// What is counted reading by reading.
#[derive(Default)]
struct Tally {
    minutes: RangeMinutes,
    units: UnitMix,
    censored_low: u64,
    censored_high: u64,
    low_level_unknown: u64,
    tz_ambiguous: u64,
}

impl Tally {
    fn of(counted: &[Counted], policy: &Policy) -> Self {
        let classifier = Classifier::new(policy);
        let mut tally = Self::default();
        for counted in counted {
            tally.add(counted, &classifier);
        }
        tally
    }

    fn add(&mut self, counted: &Counted, classifier: &Classifier) {
        let glucose = counted.reading.glucose;
        let class = classifier.class(glucose);
        let range = match class.level {
            Level::VeryLow => &mut self.minutes.very_low,
            Level::Low => &mut self.minutes.low,
            Level::Target => &mut self.minutes.target,
            Level::High => &mut self.minutes.high,
            Level::VeryHigh => &mut self.minutes.very_high,
        };
        *range += u64::from(counted.minutes);
        match glucose.measured {
            Measured::Exact(_) => {}
            Measured::Below(_) => {
                self.censored_low += 1;
                self.low_level_unknown += u64::from(!class.known);
            }
            Measured::Above(_) => self.censored_high += 1,
        }
        match glucose.unit {
            Unit::MgDl => self.units.mg_dl += 1,
            Unit::MmolL => self.units.mmol_l += 1,
        }
        self.units.re_expressed += u64::from(class.re_expressed);
        self.tz_ambiguous += u64::from(counted.reading.tz_ambiguous);
    }
}

/// Exact weighted sums of glucose in mg/dL × 10⁹, each reading weighing its minutes.
struct Moments {
    n: usize,
    /// Sum of weights.
    weight: i128,
    /// Sum of weight × value.
    sum: i128,
    /// Sum of weight × (value − `weight`-th part of `sum`, rounded down)².
    squares: i128,
}

impl Moments {
    fn of(counted: &[Counted], factor_e4: i64) -> Self {
        let weighted = |counted: &Counted| {
            let value = counted.reading.glucose.mg_dl_scaled(factor_e4).clamp(-LIMIT_E9, LIMIT_E9);
            (i128::from(counted.minutes), value)
        };
        let (weight, sum) = counted
            .iter()
            .map(weighted)
            .fold((0, 0), |(w, s), (minutes, value)| (w + minutes, s + minutes * value));
        // Differences to a whole number near the mean: as exact as squares of the values, and smaller.
        let centre = sum.div_euclid(weight.max(1));
        // Saturating addition of what is never negative gives the same in any order.
        let squares = counted.iter().map(weighted).fold(0i128, |total, (minutes, value)| {
            let difference = value - centre;
            total.saturating_add(minutes * difference * difference)
        });
        Self { n: counted.len(), weight, sum, squares }
    }

    fn mean(&self) -> f64 {
        self.sum as f64 / self.weight as f64 / SCALE
    }

    /// With n−1: for equal weights exactly √((nΣx² − (Σx)²) / (n(n−1))); for unequal ones the weighted
    /// mean of squares, times n/(n−1).
    fn sd(&self) -> Option<f64> {
        if self.n < 2 {
            return None;
        }
        // Σw(x−c)² = Σw(x−mean)² + W(mean−c)², and W·mean − W·c is the remainder of the division.
        let remainder = self.sum.rem_euclid(self.weight) as f64;
        let weight = self.weight as f64;
        let about_mean = (self.squares as f64 - remainder * remainder / weight).max(0.0);
        let n = self.n as f64;
        Some((about_mean / weight * (n / (n - 1.0))).sqrt() / SCALE)
    }
}

/// `part` of `whole` in per cent, at most 100: readings a little closer than their nominal interval
/// would give more.
fn share_pct(part: i128, whole: i128) -> f64 {
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
fn days_of_wear(period: &Period, counted: &[Counted]) -> u32 {
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
fn gaps(counted: &[Counted], policy: &Policy) -> Gaps {
    let long_ms = i64::from(policy.long_gap_minutes.value) * Instant::MINUTE_MS;
    let mut gaps = Gaps::default();
    let mut longest_ms = 0;
    let mut covered = counted.first().map_or(Instant(0), Counted::end);
    for next in counted.iter().skip(1) {
        let gap_ms = next.reading.time.0.saturating_sub(covered.0);
        gaps.long += u64::from(gap_ms > long_ms);
        longest_ms = longest_ms.max(gap_ms);
        covered = covered.max(next.end());
    }
    gaps.longest_minutes = (longest_ms / Instant::MINUTE_MS) as u64;
    gaps
}

#[cfg(test)]
mod tests;
