//! The metrics of a part of a window: ranges, mean and spread, risk, percentiles.
//!
//! Invariants: every percentage has its minutes beside it; a metric is a function of the distribution alone; what
//! the policy does not define is `None`, never 0.
//!
//! Formulas: GRI and its components and zones from Klonoff 2023 (J Diabetes Sci Technol 17:1226); LBGI and HBGI
//! from Kovatchev 1997 and 2006 (Diabetes Care 20:1655, 29:2433), over **all** readings; J-index from Wojcicki 1995
//! (Horm Metab Res 27:41; unconfirmed); percentiles of type 7 (Hyndman and Fan 1996).

use std::sync::LazyLock;

use crate::{distribution::Distribution, outcome::RangeMinutes, policy::Policy};

/// The percentiles that are told, ascending.
pub const PER_CENT: [u8; 7] = [5, 10, 25, 50, 75, 90, 95];

/// Time in a range with its share.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Share {
    /// Minutes.
    pub minutes: u64,
    /// Of all minutes with a reading, in per cent.
    pub pct: f64,
}

/// The five zones of the glycemia risk index, each 20 wide; its upper end belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub enum GriZone {
    /// 0 to 20.
    A,
    /// Above 20 to 40.
    B,
    /// Above 40 to 60.
    C,
    /// Above 60 to 80.
    D,
    /// Above 80.
    E,
}

/// The glycemia risk index (Klonoff 2023).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Gri {
    /// 3.0 × hypo component + 1.6 × hyper component, at most 100.
    pub value: f64,
    /// Very low + 0.8 × low, in per cent.
    pub hypo_component: f64,
    /// Very high + 0.5 × high, in per cent.
    pub hyper_component: f64,
    /// By the value.
    pub zone: GriZone,
}

/// Glucose below which the given per cent of readings lie, in mg/dL, type 7.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Percentiles {
    pub p5: f64,
    pub p10: f64,
    pub p25: f64,
    pub p50: f64,
    pub p75: f64,
    pub p90: f64,
    pub p95: f64,
}

/// Mean of the differences between readings a day apart (Service 1980, Diabetes 29:1; unconfirmed).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Modd {
    /// The mean difference in mg/dL, each pair weighing the minutes of its later reading.
    pub mean_mg_dl: f64,
    /// Matched pairs: the earlier reading lies within half of the later one's interval around 24 hours before it.
    pub pairs: u64,
}

/// The metrics of one part: the whole window, a day, a night. Glucose is mg/dL, percentages 0 to 100.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Metrics {
    /// Counted readings.
    pub n: u64,
    /// Minutes per range.
    pub minutes: RangeMinutes,
    /// Minutes with a reading.
    pub active_minutes: u64,
    /// Time-weighted arithmetic mean.
    pub mean_mg_dl: f64,
    /// Standard deviation with n−1; `None` for a single reading.
    pub sd_mg_dl: Option<f64>,
    /// 100·SD/mean; `None` where SD is.
    pub cv_pct: Option<f64>,
    /// Time in the tight range; `None` where the policy has none.
    pub titr: Option<Share>,
    /// `None` where the policy has one level above its target: the index is defined on two.
    pub gri: Option<Gri>,
    /// Low blood glucose index.
    pub lbgi: f64,
    /// High blood glucose index.
    pub hbgi: f64,
    /// 0.001·(mean + SD)²; `None` where SD is.
    pub j_index: Option<f64>,
    /// Percentiles of glucose.
    pub percentiles_mg_dl: Percentiles,
}

impl Metrics {
    /// `None` without a reading.
    pub(crate) fn of(distribution: &Distribution, policy: &Policy) -> Option<Self> {
        let moments = distribution.moments()?;
        let (mean, sd) = (moments.mean(), moments.sd());
        let minutes = distribution.minutes();
        let (lbgi, hbgi) = distribution.mean_by_sign(risk);
        let [p5, p10, p25, p50, p75, p90, p95] = distribution.quantiles(PER_CENT);
        Some(Self {
            n: distribution.n(),
            minutes,
            active_minutes: minutes.total(),
            mean_mg_dl: mean,
            sd_mg_dl: sd,
            cv_pct: sd.filter(|_| mean > 0.0).map(|sd| 100.0 * sd / mean),
            titr: policy.tight_target().map(|_| {
                let tight = distribution.tight_minutes();
                Share { minutes: tight, pct: 100.0 * tight as f64 / minutes.total() as f64 }
            }),
            gri: policy.thresholds.very_high_above.as_ref().map(|_| gri(&minutes)),
            lbgi,
            hbgi,
            j_index: sd.map(|sd| 0.001 * (mean + sd) * (mean + sd)),
            percentiles_mg_dl: Percentiles { p5, p10, p25, p50, p75, p90, p95 },
        })
    }
}

/// The risk index of minutes in ranges. The zone is decided in whole numbers.
fn gri(minutes: &RangeMinutes) -> Gri {
    let total = minutes.total().max(1);
    let share = |tenths: u64| 10.0 * tenths as f64 / total as f64;
    let hypo_tenths = 10 * minutes.very_low + 8 * minutes.low;
    let hyper_tenths = 10 * minutes.very_high + 5 * minutes.high;
    // 3.0 × hypo + 1.6 × hyper in hundredths of a minute.
    let hundredths = 30 * hypo_tenths + 16 * hyper_tenths;
    let up_to = |limit: u64| hundredths <= limit * total;
    let zone = match () {
        () if up_to(20) => GriZone::A,
        () if up_to(40) => GriZone::B,
        () if up_to(60) => GriZone::C,
        () if up_to(80) => GriZone::D,
        () => GriZone::E,
    };
    Gri {
        value: (hundredths as f64 / total as f64).min(100.0),
        hypo_component: share(hypo_tenths),
        hyper_component: share(hyper_tenths),
        zone,
    }
}

/// Values whose risk is kept: the whole mg/dL of any sensor.
const KEPT: usize = 1024;
static SCALED: LazyLock<Vec<f64>> = LazyLock::new(|| (0..KEPT).map(|mg_dl| scaled(mg_dl as f64)).collect());

/// Kovatchev's risk of a value in mg/dL: on the low side or not, and how large.
#[must_use]
pub fn risk(mg_dl: f64) -> (bool, f64) {
    let whole = mg_dl as usize;
    let f = match SCALED.get(whole) {
        Some(kept) if whole as f64 == mg_dl => *kept,
        _ => scaled(mg_dl),
    };
    (f < 0.0, 10.0 * f * f)
}

/// Kovatchev's scale, on which 112.5 mg/dL is about 0. Below 1 mg/dL, where the logarithm turns, a value counts as 1:
/// no sensor gives it.
fn scaled(mg_dl: f64) -> f64 {
    1.509 * (mg_dl.max(1.0).ln().powf(1.084) - 5.381)
}

#[cfg(test)]
mod tests;
