//! A CGM summary that somebody else computed, beside ours.
//!
//! Numbers: equal are two numbers that differ by no more than half of the last decimal that the other states, and never by
//! less than a hundredth: shares are shown so that they sum to 100.00, which moves one by that much.

use super::metric::{Metric, RANGES};
use crate::{decimal::Decimal, outcome::Outcome};

/// The least difference that is one.
const HUNDREDTH: f64 = 0.01;
/// What binary fractions may be off by.
const SLACK: f64 = 1e-9;

/// Our number under a LOINC code of the CGM guide, in the unit that the guide fixes for it; `None` for other codes and
/// for what is withheld. `factor_e4` is mg/dL per mmol/L x 10^4.
#[must_use]
pub fn ours(outcome: &Outcome, loinc: &str, factor_e4: i64) -> Option<f64> {
    if let Some(at) = RANGES.iter().position(|(code, _)| *code == loinc) {
        return outcome.shares_pct().get(at).copied();
    }
    match Metric::ALL.into_iter().find(|metric| metric.loinc() == loinc)? {
        Metric::MeanMass => Some(outcome.mean_mg_dl),
        Metric::MeanMolar => Some(outcome.mean_mg_dl * 10_000.0 / factor_e4 as f64),
        Metric::Gmi => outcome.gmi_pct,
        Metric::Cv => outcome.cv_pct,
        Metric::DaysOfWear => Some(f64::from(outcome.days_of_wear)),
        Metric::SensorActive => Some(outcome.active_window_pct),
        Metric::Summary | Metric::TimesInRanges => None,
    }
}

/// Whether `theirs`, a decimal as it was stated, is the same number. What is no decimal is another.
#[must_use]
pub fn agrees(ours: f64, theirs: &str) -> bool {
    let Ok(theirs) = theirs.parse::<Decimal>() else { return false };
    let half = 0.5 * 10f64.powi(-i32::from(theirs.places()));
    (ours - theirs.to_f64()).abs() <= half.max(HUNDREDTH) + SLACK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_equal_within_half_of_the_last_decimal_stated_and_a_hundredth() {
        for (ours, theirs, equal) in [
            (72.4, "72", true),
            (72.5, "72", true),
            (72.51, "72", false),
            (72.44, "72.4", true),
            (72.46, "72.4", false),
            (72.445, "72.44", true),
            (72.45, "72.44", true),
            (72.46, "72.44", false),
            (72.4499, "72.44000", true),
            (72.4, "", false),
        ] {
            assert_eq!(agrees(ours, theirs), equal, "{ours} {theirs}");
        }
    }
}
