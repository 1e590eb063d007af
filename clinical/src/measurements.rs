//! From measurements of any quantity to shares in range, mean and variability.
//!
//! Invariants: a summary is a function of the set of measurements, the period and the rules; a value is classified
//! in the unit it was stated in, by edges of that unit; sums are exact integers. Classification, sums and the
//! rounding of shares are those by which glucose is computed: no line here knows what is measured.
//!
//! A measurement has a weight (minutes of a sensor, 1 for a cuff) and one value for each component, or none.

use std::collections::BTreeSet;

use crate::{
    calendar::Zone,
    decimal::Decimal,
    moments::Moments,
    outcome::Period,
    quantity::{Component, Quantity},
    reading::Instant,
    scale::{Level, shown_shares},
};

/// A value as it was stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stated {
    /// Which unit, counted in [`Quantity::units`].
    pub unit: usize,
    /// The number.
    pub value: Decimal,
}

/// What was measured at one time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Measurement {
    /// When.
    pub time: Instant,
    /// The values, in the order of [`Quantity::components`].
    pub values: Vec<Option<Stated>>,
    /// What it counts for: minutes, or 1.
    pub weight: u32,
}

/// The summary of one component; numbers are in the first unit of the quantity.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ComponentSummary {
    /// Its name, `systolic`.
    pub name: String,
    /// Its LOINC code.
    pub loinc: String,
    /// UCUM code of the numbers.
    pub unit: String,
    /// Values that count.
    pub n: u64,
    /// Weight in each of the five ranges, ascending.
    pub levels: [u64; 5],
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation with n−1; `None` for a single value.
    pub sd: Option<f64>,
    /// 100·SD/mean.
    pub cv_pct: Option<f64>,
    /// Mean of the absolute differences of successive values; `None` for a single value.
    pub successive_difference: Option<f64>,
}

impl ComponentSummary {
    /// The five shares in hundredths of a per cent; they sum to 10 000.
    #[must_use]
    pub fn shown_shares(&self) -> [u32; 5] {
        shown_shares(self.levels)
    }

    /// The share in the target, in per cent.
    #[must_use]
    pub fn in_range_pct(&self) -> f64 {
        100.0 * self.levels[2] as f64 / self.levels.iter().sum::<u64>().max(1) as f64
    }
}

/// The summary of a period.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Series {
    /// What period.
    pub period: Period,
    /// Name and version of the rules.
    pub rules: String,
    /// SHA-256 of their canonical text.
    pub sha256: String,
    /// Measurements that count.
    pub n: u64,
    /// Local days with a measurement.
    pub days: u32,
    /// By component, in the order of the quantity; those without a value are left out.
    pub components: Vec<ComponentSummary>,
    /// Share of the complete measurements of which every value is in its target, in per cent; `None` where none is
    /// complete.
    pub all_in_range_pct: Option<f64>,
    /// True where days and measurements suffice by the rules.
    pub suffices: bool,
}

/// Summarizes what of `measurements` lies in `period`; `None` where nothing does. A repetition counts once. A value
/// of an unknown unit, or beyond the components, does not count.
#[must_use]
pub fn summarize(period: &Period, measurements: &[Measurement], quantity: &Quantity) -> Option<Series> {
    let inside = |m: &&Measurement| period.start <= m.time && m.time < period.end && m.weight > 0;
    // A set in order of time: neither arrival nor repetition changes it.
    let counted: BTreeSet<&Measurement> = measurements.iter().filter(inside).collect();
    let counted: Vec<&Measurement> = counted.into_iter().collect();
    let components: Vec<ComponentSummary> =
        (0..quantity.components.len()).filter_map(|place| component(place, &counted, quantity)).collect();
    if components.is_empty() {
        return None;
    }
    let zone = Zone::named(&period.zone).ok();
    let day = |m: &&Measurement| zone.as_ref().map_or(m.time.utc_day(), |zone| zone.day_of(m.time).0);
    let days = counted.iter().map(day).collect::<BTreeSet<_>>().len() as u32;
    let (n, enough) = (counted.len() as u64, quantity.enough);
    Some(Series {
        period: period.clone(),
        rules: quantity.rules.clone(),
        sha256: quantity.sha256.clone(),
        n,
        days,
        components,
        all_in_range_pct: all_in_range(&counted, quantity),
        suffices: days >= enough.days && n >= u64::from(enough.values),
    })
}

/// The range of a value; `None` for a unit that the quantity lacks.
fn level(component: &Component, stated: Stated) -> Option<Level> {
    let scale = component.scales.get(stated.unit)?;
    Some(scale.level(stated.value.scaled(crate::policy::BOUND_PLACES)))
}

fn component(place: usize, counted: &[&Measurement], quantity: &Quantity) -> Option<ComponentSummary> {
    let component = &quantity.components[place];
    let mut levels = [0; 5];
    let mut summed: Vec<(u64, i128)> = Vec::with_capacity(counted.len());
    for measurement in counted {
        let Some(stated) = measurement.values.get(place).copied().flatten() else { continue };
        let Some(level) = level(component, stated) else { continue };
        levels[level as usize] += u64::from(measurement.weight);
        summed.push((u64::from(measurement.weight), quantity.units[stated.unit].summed(stated.value)));
    }
    if summed.is_empty() {
        return None;
    }
    let moments = Moments::of(summed.iter().copied());
    let (mean, sd) = (moments.mean(), moments.sd());
    let steps = summed.windows(2).map(|pair| (1, (pair[1].1 - pair[0].1).abs()));
    let successive_difference = (summed.len() > 1).then(|| Moments::of(steps).mean());
    Some(ComponentSummary {
        name: component.name.clone(),
        loinc: component.loinc.clone(),
        unit: quantity.units[0].ucum.clone(),
        n: summed.len() as u64,
        levels,
        mean,
        sd,
        cv_pct: sd.filter(|_| mean > 0.0).map(|sd| 100.0 * sd / mean),
        successive_difference,
    })
}

fn all_in_range(counted: &[&Measurement], quantity: &Quantity) -> Option<f64> {
    let (mut complete, mut good) = (0u64, 0u64);
    for measurement in counted {
        let stated = |place: usize| measurement.values.get(place).copied().flatten();
        let levels: Option<Vec<Level>> = (0..quantity.components.len())
            .map(|place| level(&quantity.components[place], stated(place)?))
            .collect();
        let Some(levels) = levels else { continue };
        let weight = u64::from(measurement.weight);
        complete += weight;
        good += if levels.iter().all(|level| *level == Level::Target) { weight } else { 0 };
    }
    (complete > 0).then(|| 100.0 * good as f64 / complete as f64)
}

#[cfg(test)]
#[path = "measurements_tests.rs"]
mod tests;
