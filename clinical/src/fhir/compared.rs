//! A CGM summary that somebody else computed, beside ours; and whether it says all that a form would write of an outcome.
//!
//! Invariants: what is said already is every number or nothing, each under the very code in which the form would write it
//! (so in its own unit); what has no code in LOINC, a note and single readings are said by nobody else; numbers by other
//! ranges than the standard ones are not those that the codes mean.
//!
//! Numbers: equal are two numbers that differ by no more than half of the last decimal that the other states, and never by
//! less than a hundredth: shares are shown so that they sum to 100.00, which moves one by that much.

use super::{
    form::{Form, has_standard_ranges},
    metric::{Metric, RANGES},
    project::glucose_of,
    projection::Projection,
    row::Row,
    summary::MeanUnit,
};
use crate::{decimal::Decimal, outcome::Outcome, policy::Policy};

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

/// Whether every number that a form would write of an outcome is said by summaries of the same window that others made:
/// `theirs` are their LOINC codes and decimals as stated. Where several speak of one number all have to agree. What the
/// outcome withholds must be withheld by them too.
#[must_use]
pub fn is_said(
    projection: Projection,
    form: &Form,
    (outcome, policy): (&Outcome, &Policy),
    theirs: &[(&str, &str)],
) -> bool {
    let Some(codes) = codes(projection, form).filter(|_| has_standard_ranges(policy)) else { return false };
    let mut numbers = 0_usize;
    let same = |code: &&str| {
        let mut said = theirs.iter().filter(|(known, _)| known == code).peekable();
        let is_said = said.peek().is_some();
        match ours(outcome, code, policy.factor_e4.value) {
            Some(number) => {
                numbers += 1;
                is_said && said.all(|(_, value)| agrees(number, value))
            }
            None => !is_said,
        }
    };
    codes.iter().all(same) && numbers > 0
}

/// The codes of all numbers that a form writes; `None` where it writes something else too.
fn codes(projection: Projection, form: &Form) -> Option<Vec<&'static str>> {
    match projection {
        Projection::CgmIg | Projection::PlainR4 | Projection::PlainR5 | Projection::OruR01 => {
            let goes = |metric: &Metric| match metric {
                Metric::Summary => false,
                Metric::MeanMass => form.glucose == MeanUnit::Mass,
                Metric::MeanMolar => form.glucose == MeanUnit::Molar,
                _ => !projection.members_may_be_left_out() || form.has(*metric),
            };
            let of = |metric: Metric| match metric {
                Metric::TimesInRanges => RANGES.iter().map(|(code, _)| *code).collect(),
                metric => vec![metric.loinc()],
            };
            (!form.local_codes).then(|| Metric::ALL.into_iter().filter(goes).flat_map(of).collect())
        }
        Projection::EpicFlowsheet | Projection::MillenniumLab => {
            let numbers =
                form.rows.iter().filter(|entry| !matches!(entry.row, Row::PeriodStart | Row::PeriodEnd));
            numbers.map(|entry| entry.row.loinc(glucose_of(form, entry))).collect()
        }
        Projection::EpicNote
        | Projection::MillenniumDocument
        | Projection::UpstreamSummary
        | Projection::CgmReadings
        | Projection::Intent => None,
    }
}

#[cfg(test)]
#[path = "compared_tests.rs"]
mod said_tests;

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
