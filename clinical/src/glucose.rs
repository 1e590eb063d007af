//! One glucose value as received: number, unit, and whether the device gave a limit instead.
//!
//! Invariant: a value is never converted to be classified. `mg_dl_scaled` exists for mean, SD and
//! what follows from them, with one declared factor and no intermediate rounding.

use crate::decimal::Decimal;

/// The unit a value was stated in. It is stated by the source, never inferred from magnitude.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub enum Unit {
    /// Mass concentration, `mg/dL`.
    #[serde(rename = "mg/dL")]
    MgDl,
    /// Molar concentration, `mmol/L`.
    #[serde(rename = "mmol/L")]
    MmolL,
}

/// What the device said: a number, or that the value lies beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Measured {
    /// A number within the reportable range.
    Exact(Decimal),
    /// Below the limit (`Low`, `<40`, API value 39 with status low).
    Below(Decimal),
    /// Above the limit (`High`, `>400`, API value 401 with status high).
    Above(Decimal),
}

/// A glucose value with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Glucose {
    /// The number or the limit.
    pub measured: Measured,
    /// The unit of the number or the limit.
    pub unit: Unit,
}

impl Glucose {
    /// Decimal places of the fixed-point mg/dL used in sums: five of the value and four of the factor.
    pub const SUM_PLACES: u8 = 9;

    /// An exact whole value in mg/dL.
    pub const fn mg_dl(value: i32) -> Self {
        Self { measured: Measured::Exact(Decimal::whole(value)), unit: Unit::MgDl }
    }

    /// An exact value in mmol/L with one decimal place, given in tenths (`mmol_l_tenths(39)` is 3.9).
    pub const fn mmol_l_tenths(tenths: i32) -> Self {
        match Decimal::new(tenths as i64, 1) {
            Some(value) => Self { measured: Measured::Exact(value), unit: Unit::MmolL },
            None => panic!("an i32 of tenths is within the range of Decimal"),
        }
    }

    /// The number that enters mean and SD, in the unit as received: the value itself, or for a
    /// censored value the limit ∓1 mg/dL or ∓0.1 mmol/L (reference: sentinels).
    pub fn entered(self) -> Decimal {
        let step = match self.unit {
            Unit::MgDl => Decimal::whole(1),
            Unit::MmolL => Decimal::new(1, 1).unwrap_or(Decimal::whole(0)),
        };
        let shift = |limit: Decimal, sign: i64| {
            let places = limit.places().max(step.places());
            let digits = limit.scaled(places) as i64 + sign * step.scaled(places) as i64;
            Decimal::new(digits, places).unwrap_or(limit)
        };
        match self.measured {
            Measured::Exact(value) => value,
            Measured::Below(limit) => shift(limit, -1),
            Measured::Above(limit) => shift(limit, 1),
        }
    }

    /// The entered number in mg/dL × 10^[`Self::SUM_PLACES`], exact for values of up to five decimal
    /// places. `factor_e4` is the policy's mg/dL per mmol/L × 10⁴ (180156 for 18.0156).
    pub fn mg_dl_scaled(self, factor_e4: i64) -> i128 {
        match self.unit {
            Unit::MgDl => self.entered().scaled(Self::SUM_PLACES),
            Unit::MmolL => self.entered().scaled(Self::SUM_PLACES - 4) * i128::from(factor_e4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_enters_the_mean_one_step_beyond_itself() {
        let low = Glucose { measured: Measured::Below(Decimal::whole(40)), unit: Unit::MgDl };
        let high = Glucose { measured: Measured::Above("22.2".parse().unwrap()), unit: Unit::MmolL };
        assert_eq!(low.entered().to_string(), "39");
        assert_eq!(high.entered().to_string(), "22.3");
    }

    #[test]
    fn one_factor_and_no_rounding_on_the_way() {
        assert_eq!(Glucose::mg_dl(180).mg_dl_scaled(180_156), 180_000_000_000);
        assert_eq!(Glucose::mmol_l_tenths(100).mg_dl_scaled(180_156), 180_156_000_000);
    }
}
