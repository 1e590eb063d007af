//! What of an outcome can stand by itself: one number or one date, as a row of a flowsheet or a flat result.
//!
//! Invariants: a slug never changes, for it is part of an identifier and a key in a site's file; a number that an
//! outcome does not have has no value here, so that it is left out and never written as another; numbers have two
//! decimals, days none, and the five shares are those that sum to 100.00 ([`Outcome::shown_shares`]).
//!
//! Source of the names in use (iCoDE): reference: ehr, section 1. Of the LOINC codes: [`super::metric`].

use super::{
    metric::{Metric, RANGES},
    quantity::{QuantityUnit, shown},
    summary::MeanUnit,
};
use crate::{decimal::Decimal, outcome::Outcome};

/// One number or date of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Row {
    /// First included local date.
    PeriodStart,
    /// Last included local date.
    PeriodEnd,
    /// Share of the window with readings.
    SensorActive,
    /// Local days with a reading.
    DaysOfWear,
    /// Mean glucose.
    Mean,
    /// Share of time in target.
    TimeInTarget,
    /// Share of time low, very low left aside.
    TimeLow,
    /// Share of time very low.
    TimeVeryLow,
    /// Share of time high, very high left aside.
    TimeHigh,
    /// Share of time very high.
    TimeVeryHigh,
    /// Glucose management indicator; withheld where the data do not suffice.
    Gmi,
    /// Coefficient of variation.
    Cv,
    /// Standard deviation.
    Sd,
}

/// What a row holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RowValue {
    /// A local date, `YYYY-MM-DD`.
    Date(String),
    /// A number with its unit.
    Number(Decimal, QuantityUnit),
}

impl Row {
    /// All of them, in the order in which they are written.
    pub const ALL: [Self; 13] = [
        Self::PeriodStart,
        Self::PeriodEnd,
        Self::SensorActive,
        Self::DaysOfWear,
        Self::Mean,
        Self::TimeVeryLow,
        Self::TimeLow,
        Self::TimeInTarget,
        Self::TimeHigh,
        Self::TimeVeryHigh,
        Self::Gmi,
        Self::Cv,
        Self::Sd,
    ];

    /// The name in a site's map and in identifiers.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::PeriodStart => "period-start",
            Self::PeriodEnd => "period-end",
            Self::SensorActive => "sensor-active",
            Self::DaysOfWear => "days-of-wear",
            Self::Mean => "mean",
            Self::TimeInTarget => "time-in-target",
            Self::TimeLow => "time-low",
            Self::TimeVeryLow => "time-very-low",
            Self::TimeHigh => "time-high",
            Self::TimeVeryHigh => "time-very-high",
            Self::Gmi => "gmi",
            Self::Cv => "cv",
            Self::Sd => "sd",
        }
    }

    /// The row of a slug; `None` for any other text.
    pub fn of_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|row| row.slug() == slug)
    }

    /// The name of the flowsheet row that sites use for it (iCoDE style): what their row map is made by.
    pub const fn flowsheet_name(self) -> &'static str {
        match self {
            Self::PeriodStart => "REPORTING_PERIOD_START_CGM",
            Self::PeriodEnd => "REPORTING_PERIOD_END_CGM",
            Self::SensorActive => "ACTIVE_WEAR_TIME_CGM",
            Self::DaysOfWear => "DAYS_WITH_DATA_CGM",
            Self::Mean => "AVERAGE_CGM",
            Self::TimeInTarget => "TIME_IN_RANGE_CGM",
            Self::TimeLow => "TIME_BELOW_RANGE_LOW_CGM",
            Self::TimeVeryLow => "TIME_BELOW_RANGE_VERY_LOW_CGM",
            Self::TimeHigh => "TIME_ABOVE_RANGE_HIGH_CGM",
            Self::TimeVeryHigh => "TIME_ABOVE_RANGE_VERY_HIGH_CGM",
            Self::Gmi => "GLUCOSE_MANAGEMENT_INDICATOR",
            Self::Cv => "COEFFICIENT_OF_VARIATION_CGM",
            Self::Sd => "STANDARD_DEVIATION_CGM",
        }
    }

    /// What people read beside the code.
    pub const fn title(self) -> &'static str {
        match self {
            Self::PeriodStart => "CGM reporting period start",
            Self::PeriodEnd => "CGM reporting period end",
            Self::SensorActive => Metric::SensorActive.title(),
            Self::DaysOfWear => Metric::DaysOfWear.title(),
            Self::Mean => Metric::MeanMass.title(),
            Self::TimeVeryLow => RANGES[0].1,
            Self::TimeLow => RANGES[1].1,
            Self::TimeInTarget => RANGES[2].1,
            Self::TimeHigh => RANGES[3].1,
            Self::TimeVeryHigh => RANGES[4].1,
            Self::Gmi => Metric::Gmi.title(),
            Self::Cv => Metric::Cv.title(),
            Self::Sd => "Standard deviation of glucose",
        }
    }

    /// Its LOINC code, the mean's by its unit; `None` where LOINC has none that we know.
    pub const fn loinc(self, unit: MeanUnit) -> Option<&'static str> {
        match self {
            Self::PeriodStart | Self::PeriodEnd | Self::Sd => None,
            Self::SensorActive => Some(Metric::SensorActive.loinc()),
            Self::DaysOfWear => Some(Metric::DaysOfWear.loinc()),
            Self::Mean => Some(unit.metric().loinc()),
            Self::TimeVeryLow => Some(RANGES[0].0),
            Self::TimeLow => Some(RANGES[1].0),
            Self::TimeInTarget => Some(RANGES[2].0),
            Self::TimeHigh => Some(RANGES[3].0),
            Self::TimeVeryHigh => Some(RANGES[4].0),
            Self::Gmi => Some(Metric::Gmi.loinc()),
            Self::Cv => Some(Metric::Cv.loinc()),
        }
    }

    /// True for the two rows that hold a date.
    pub const fn is_date(self) -> bool {
        matches!(self, Self::PeriodStart | Self::PeriodEnd)
    }

    /// The unit of its number; `None` for a date.
    pub(super) const fn unit(self, glucose: MeanUnit) -> Option<QuantityUnit> {
        match self {
            Self::PeriodStart | Self::PeriodEnd => None,
            Self::Mean | Self::Sd => Some(match glucose {
                MeanUnit::Mass => QuantityUnit::MgDl,
                MeanUnit::Molar => QuantityUnit::MmolL,
            }),
            Self::DaysOfWear => Some(QuantityUnit::Days),
            _ => Some(QuantityUnit::Percent),
        }
    }

    /// What an outcome says; `None` where it says nothing: withheld, or no number.
    pub(super) fn value(self, outcome: &Outcome, glucose: MeanUnit) -> Option<RowValue> {
        let Some(unit) = self.unit(glucose) else {
            let period = &outcome.period;
            let date = if self == Self::PeriodStart { &period.first_date } else { &period.last_date };
            return Some(RowValue::Date(date.clone()));
        };
        let factor = outcome.policy.factor_e4 as f64 / 10_000.0;
        let in_unit = |mg_dl: f64| if unit == QuantityUnit::MmolL { mg_dl / factor } else { mg_dl };
        let share = |at: usize| Decimal::new(i64::from(outcome.shown_shares()[at]), 2);
        let number = match self {
            Self::PeriodStart | Self::PeriodEnd => None,
            Self::SensorActive => shown(outcome.active_window_pct),
            Self::DaysOfWear => Decimal::new(i64::from(outcome.days_of_wear), 0),
            Self::Mean => shown(in_unit(outcome.mean_mg_dl)),
            Self::TimeVeryLow => share(0),
            Self::TimeLow => share(1),
            Self::TimeInTarget => share(2),
            Self::TimeHigh => share(3),
            Self::TimeVeryHigh => share(4),
            Self::Gmi => outcome.gmi_pct.and_then(shown),
            Self::Cv => outcome.cv_pct.and_then(shown),
            Self::Sd => outcome.sd_mg_dl.and_then(|sd| shown(in_unit(sd))),
        };
        Some(RowValue::Number(number?, unit))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::fhir::sample::outcome;

    #[test]
    fn every_row_has_a_slug_and_a_name_of_its_own() {
        let slugs: BTreeSet<_> = Row::ALL.map(Row::slug).into();
        let names: BTreeSet<_> = Row::ALL.map(Row::flowsheet_name).into();
        assert_eq!((slugs.len(), names.len()), (Row::ALL.len(), Row::ALL.len()));
        assert!(Row::ALL.iter().all(|row| Row::of_slug(row.slug()) == Some(*row)));
        assert_eq!(Row::of_slug("GMI"), None);
    }

    #[test]
    fn every_row_says_what_the_outcome_says() {
        // Of 20 000 minutes: 60, 580, 12 860, 5 300 and 1 200; 154/18.0156 = 8.548; 50/18.0156 = 2.775.
        let expected = [
            "2025-01-01",
            "2025-01-14",
            "99.21",
            "14",
            "154.00",
            "0.30",
            "2.90",
            "64.30",
            "26.50",
            "6.00",
            "6.99",
            "32.47",
            "50.00",
        ];
        let said = |row: Row, unit| match row.value(&outcome(), unit) {
            Some(RowValue::Date(date)) => date,
            Some(RowValue::Number(number, _)) => number.to_string(),
            None => "-".to_owned(),
        };
        assert_eq!(Row::ALL.map(|row| said(row, MeanUnit::Mass)), expected);
        assert_eq!([Row::Mean, Row::Sd].map(|row| said(row, MeanUnit::Molar)), ["8.55", "2.78"]);
        let bare = Outcome { gmi_pct: None, cv_pct: None, sd_mg_dl: None, ..outcome() };
        for row in [Row::Gmi, Row::Cv, Row::Sd] {
            assert_eq!(row.value(&bare, MeanUnit::Mass), None, "a withheld number is no number");
        }
        let none = Outcome { mean_mg_dl: f64::NAN, ..outcome() };
        assert_eq!(Row::Mean.value(&none, MeanUnit::Mass), None);
    }
}
