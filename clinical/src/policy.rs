//! A population's thresholds and rules, as data: the only place that knows a glucose threshold.
//!
//! Invariants: every value of a policy comes from a file (those of `clinical/policies/` are built in) with
//! the source it was taken from; thresholds are paired natively in both units and never computed from each
//! other; a change of any value is a new version; the mark holds a hash over every value that decides a
//! number or a goal, the table of devices included. A new population is a new file and one line in
//! `built_in`; a hospital's own names its base and the values that differ ([`Sheet`]).

mod built_in;
mod fault;
mod read;
mod rules;
mod sheet;
mod values;

use std::sync::Arc;

pub(crate) use self::values::Values;
pub use self::{
    built_in::{quantities, sheet_named, sheets},
    fault::{MAX_FAULTS, SheetFault},
    rules::{
        EdgeName, EventRules, ExtendedHyper, ExtendedHypo, LastingRule, LevelTwoEnd, Night, ProfileRule,
        ShortGap, WarmUpRule,
    },
    sheet::{Entry, Scalar, Sheet},
};
use crate::{decimal::Decimal, device::Devices, glucose::Unit, outcome::PolicyMark};

/// Decimal places at which bounds are compared: as many as a [`Decimal`] can have.
pub(crate) const BOUND_PLACES: u8 = Decimal::MAX_PLACES;

/// A value with the publication it was taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it is from; begins with `unconfirmed` where nobody has read it in the original.
    pub source: String,
}

/// One threshold in both units, each native.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// In mg/dL.
    pub mg_dl: Decimal,
    /// In mmol/L.
    pub mmol_l: Decimal,
}

/// The edges of the ranges. What equals an edge is on the side of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Below this is very low (54 mg/dL, 3.0 mmol/L).
    pub very_low_below: Sourced<Threshold>,
    /// Below this is low: the lower, included end of the target.
    pub low_below: Sourced<Threshold>,
    /// Above this is high: the upper, included end of the target.
    pub high_above: Sourced<Threshold>,
    /// Above this is very high; `None` for a population with one level above the target.
    pub very_high_above: Option<Sourced<Threshold>>,
}

/// How a whole number of mg/dL is recognized behind a value in mmol/L (see [`crate::level`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReExpression {
    /// mg/dL per mmol/L of the source.
    pub factor: Decimal,
    /// Largest distance to the whole number, in mg/dL.
    pub residual_mg_dl: Decimal,
}

/// How much data GMI and the profile curve need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sufficiency {
    /// Local days a window must have at least.
    pub days: u32,
    /// Per cent of the window that must have readings.
    pub share_pct: u32,
}

/// The share of time a goal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Share {
    /// Below the very low edge.
    VeryLow,
    /// All below the target, very low included.
    BelowTarget,
    /// In the target.
    InTarget,
    /// All above the target, very high included.
    AboveTarget,
    /// Above the very high edge.
    VeryHigh,
}

impl Share {
    /// Each with its name in a file, in the order in which goals are told.
    pub const NAMED: [(&'static str, Self); 5] = [
        ("in-target", Self::InTarget),
        ("below-target", Self::BelowTarget),
        ("very-low", Self::VeryLow),
        ("above-target", Self::AboveTarget),
        ("very-high", Self::VeryHigh),
    ];
}

/// On which side of its number a goal is met. The number itself does not meet it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// More than this many per cent.
    Above(u32),
    /// Less than this many per cent.
    Below(u32),
}

/// What to aim for. Shown beside an outcome, never part of its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    /// Which share of time.
    pub share: Share,
    /// Above or below how many per cent of the time.
    pub bound: Sourced<Bound>,
}

/// A population's rules in one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Name, `standard`.
    pub id: String,
    /// Version, from 1.
    pub version: u32,
    /// For people; not part of the mark.
    pub title: String,
    /// The edges of the ranges.
    pub thresholds: Thresholds,
    /// The upper, included end of the tight range, whose lower end is that of the target; `None` for a
    /// population without one.
    pub tight_high_above: Option<Sourced<Threshold>>,
    /// mg/dL per mmol/L × 10⁴ for mean, SD and what follows (180156 is 18.0156).
    pub factor_e4: Sourced<i64>,
    /// The one exception to native classification.
    pub re_expression: Sourced<ReExpression>,
    /// What GMI needs.
    pub sufficiency: Sourced<Sufficiency>,
    /// Which gap joins an event.
    pub short_gap: Sourced<ShortGap>,
    /// Minutes without a reading (from the end of one reading's interval to the next reading) above
    /// which a gap is long.
    pub long_gap_minutes: Sourced<u32>,
    /// Whether the warm-up after a stated session start is left out.
    pub warm_up: Sourced<WarmUpRule>,
    /// Hours after a stated session start that are left out beside the warm-up; 0 leaves out none.
    pub early_wear_hours: Sourced<u32>,
    /// When an event begins and ends.
    pub events: EventRules,
    /// Lengths in days, ascending, of the windows that are published where a site says nothing of them.
    pub windows_days: Sourced<Vec<u32>>,
    /// The local hours of the night.
    pub night: Sourced<Night>,
    /// The bins of the profile.
    pub profile: Sourced<ProfileRule>,
    /// Per cent of CV up to which glucose counts as stable.
    pub stable_cv_pct: Sourced<u32>,
    /// What to aim for.
    pub goals: Vec<Goal>,
    /// What is known of sensors.
    pub devices: Arc<Devices>,
    sheet: Arc<Sheet>,
    mark: PolicyMark,
}

impl Policy {
    /// The policy of most people with diabetes (54/70/180/250 mg/dL).
    #[must_use]
    pub fn standard() -> &'static Self {
        &built_in::policies()[0]
    }

    /// A built-in policy by its id (`standard`, `older-high-risk`, `pregnancy-t1`, `pregnancy-gdm-t2`,
    /// `paediatric`).
    #[must_use]
    pub fn named(id: &str) -> Option<&'static Self> {
        built_in::policies().iter().find(|policy| policy.id == id)
    }

    /// All built-in policies about glucose, the standard one first.
    #[must_use]
    pub fn built_in() -> &'static [Self] {
        built_in::policies()
    }

    /// What an outcome says about the policy it was computed under.
    #[must_use]
    pub fn mark(&self) -> PolicyMark {
        self.mark.clone()
    }

    /// The file it was read from, with what that took over from its base.
    #[must_use]
    pub fn sheet(&self) -> &Sheet {
        &self.sheet
    }

    /// Every value that decides a number or a goal, one `name=value` a line by name, and the hash of the
    /// table of devices. Titles, sources and comments are left out: rewording them is not another policy.
    #[must_use]
    pub fn canonical_text(&self) -> String {
        format!("{}devices={}\n", self.sheet.canonical_text(), self.devices.sha256())
    }

    /// The edges in `unit`, × 10^[`BOUND_PLACES`], ascending. A population without a very high level
    /// has an edge there that no value reaches.
    pub(crate) fn bounds(&self, unit: Unit) -> [i128; 4] {
        let scaled = |threshold: &Sourced<Threshold>| match unit {
            Unit::MgDl => threshold.value.mg_dl.scaled(BOUND_PLACES),
            Unit::MmolL => threshold.value.mmol_l.scaled(BOUND_PLACES),
        };
        let t = &self.thresholds;
        [
            scaled(&t.very_low_below),
            scaled(&t.low_below),
            scaled(&t.high_above),
            t.very_high_above.as_ref().map_or(i128::MAX, scaled),
        ]
    }
}

impl Policy {
    /// The first and the last value of the tight range; `None` for a population without one.
    #[must_use]
    pub fn tight_target(&self) -> Option<(&Threshold, &Threshold)> {
        self.tight_high_above.as_ref().map(|high| (&self.thresholds.low_below.value, &high.value))
    }

    /// The ends of the tight range in `unit`, × 10^[`BOUND_PLACES`]; without one, a range that holds nothing.
    pub(crate) fn tight_bounds(&self, unit: Unit) -> [i128; 2] {
        let scaled = |threshold: &Threshold| match unit {
            Unit::MgDl => threshold.mg_dl.scaled(BOUND_PLACES),
            Unit::MmolL => threshold.mmol_l.scaled(BOUND_PLACES),
        };
        self.tight_target().map_or([i128::MAX, i128::MIN], |(from, to)| [scaled(from), scaled(to)])
    }
}

#[cfg(test)]
mod tests;
