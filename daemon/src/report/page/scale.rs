//! The unit a sheet is in, and where a value lies on it.

use clinical::{
    decimal::Decimal,
    glucose::Unit,
    policy::{Policy, Threshold},
};

use super::TOP_MG_DL;
use crate::report::table::{edge, unit_name};

/// The unit that is shown, with the policy whose one factor converts what was computed in mg/dL.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    unit: Unit,
    factor: f64,
}

impl Scale {
    /// `unit` under a policy.
    #[must_use]
    pub fn new(unit: Unit, policy: &Policy) -> Self {
        Self { unit, factor: policy.factor_e4.value as f64 / 10_000.0 }
    }

    pub(super) const fn unit(self) -> Unit {
        self.unit
    }

    pub(super) const fn name(self) -> &'static str {
        unit_name(self.unit)
    }

    /// A glucose in mg/dL as text in the unit that is shown: a mean, with one decimal.
    pub(super) fn mean(self, mg_dl: f64) -> String {
        match self.unit {
            Unit::MgDl => format!("{mg_dl:.1}"),
            Unit::MmolL => format!("{:.1}", mg_dl / self.factor),
        }
    }

    /// A glucose in mg/dL as sensors of that unit show one.
    pub(super) fn value(self, mg_dl: f64) -> String {
        match self.unit {
            Unit::MgDl => format!("{mg_dl:.0}"),
            Unit::MmolL => format!("{:.1}", mg_dl / self.factor),
        }
    }

    /// An edge in the unit that is shown, native and never converted.
    pub(super) fn edge(self, threshold: &Threshold) -> Decimal {
        edge(threshold, self.unit)
    }

    /// How high a value of mg/dL is drawn, as a share of the whole height; an edge at its place in mg/dL, so
    /// that both units give the same drawing.
    pub(super) fn height(mg_dl: f64) -> f64 {
        mg_dl.clamp(0.0, TOP_MG_DL) / TOP_MG_DL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_above_the_top_are_drawn_at_it() {
        assert_eq!([0.0, 175.0, 350.0, 600.0].map(Scale::height), [0.0, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn one_factor_makes_the_other_unit() {
        let scale = Scale::new(Unit::MmolL, Policy::standard());
        assert_eq!((scale.mean(180.156), scale.value(70.0)), ("10.0".to_owned(), "3.9".to_owned()));
    }
}
