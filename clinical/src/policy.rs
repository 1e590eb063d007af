//! A population's thresholds and rules, as data: the only place that knows a glucose threshold.
//!
//! Invariants: every value of a policy comes from its file in `clinical/policies/` with the source
//! it was taken from; thresholds are paired natively in both units and never computed from each
//! other; a change of any value is a new version. A new population is a new file and one line in
//! `FILES`.

mod parse;

use std::{fmt::Write as _, sync::LazyLock};

use sha2::{Digest, Sha256};

pub use self::parse::PolicyError;
use crate::{decimal::Decimal, glucose::Unit, outcome::PolicyMark};

/// The built-in policies; the first is the standard one.
const FILES: [&str; 3] = [
    include_str!("../policies/standard.toml"),
    include_str!("../policies/older_high_risk.toml"),
    include_str!("../policies/pregnancy_t1.toml"),
];

static BUILT_IN: LazyLock<Vec<Policy>> = LazyLock::new(|| {
    FILES.iter().map(|text| text.parse().expect("built-in policies are valid: a test reads each")).collect()
});

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
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
    const fn name(self) -> &'static str {
        match self {
            Self::VeryLow => "very-low",
            Self::BelowTarget => "below-target",
            Self::InTarget => "in-target",
            Self::AboveTarget => "above-target",
            Self::VeryHigh => "very-high",
        }
    }
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
    /// The first and the last value of the tight range within the target; `None` for a population without one.
    pub tight_target: Option<Sourced<(Threshold, Threshold)>>,
    /// mg/dL per mmol/L × 10⁴ for mean, SD and what follows (180156 is 18.0156).
    pub factor_e4: Sourced<i64>,
    /// The one exception to native classification.
    pub re_expression: Sourced<ReExpression>,
    /// What GMI needs.
    pub sufficiency: Sourced<Sufficiency>,
    /// Minutes without a reading (from the end of one reading's interval to the next reading) above
    /// which a gap is long.
    pub long_gap_minutes: Sourced<u32>,
    /// What to aim for.
    pub goals: Vec<Goal>,
}

impl Policy {
    /// The policy of most people with diabetes (54/70/180/250 mg/dL).
    #[must_use]
    pub fn standard() -> &'static Self {
        &BUILT_IN[0]
    }

    /// A built-in policy by its id (`standard`, `older-high-risk`, `pregnancy-t1`).
    #[must_use]
    pub fn named(id: &str) -> Option<&'static Self> {
        BUILT_IN.iter().find(|policy| policy.id == id)
    }

    /// All built-in policies, the standard one first.
    #[must_use]
    pub fn built_in() -> &'static [Self] {
        &BUILT_IN
    }

    /// What an outcome says about the policy it was computed under.
    #[must_use]
    pub fn mark(&self) -> PolicyMark {
        let digest = Sha256::digest(self.canonical_text());
        let sha256 = digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        PolicyMark { id: format!("{}/{}", self.id, self.version), sha256, factor_e4: self.factor_e4.value }
    }

    /// Every value that decides a number or a goal, one `name=value` a line in a fixed order.
    /// Titles, sources and comments are left out: rewording them is not another policy.
    #[must_use]
    pub fn canonical_text(&self) -> String {
        let edge = |threshold: &Threshold| format!("{} mg/dL {} mmol/L", threshold.mg_dl, threshold.mmol_l);
        let thresholds = &self.thresholds;
        let very_high = thresholds.very_high_above.as_ref().map_or("none".to_owned(), |t| edge(&t.value));
        let tight = self
            .tight_target
            .as_ref()
            .map_or("none".to_owned(), |t| format!("{} to {}", edge(&t.value.0), edge(&t.value.1)));
        let Sufficiency { days, share_pct } = self.sufficiency.value;
        let ReExpression { factor, residual_mg_dl } = self.re_expression.value;
        let mut lines = vec![
            format!("policy={}/{}", self.id, self.version),
            format!("very-low-below={}", edge(&thresholds.very_low_below.value)),
            format!("low-below={}", edge(&thresholds.low_below.value)),
            format!("high-above={}", edge(&thresholds.high_above.value)),
            format!("very-high-above={very_high}"),
            format!("tight-target={tight}"),
            format!("factor-e4={}", self.factor_e4.value),
            format!("re-expression={factor} within {residual_mg_dl} mg/dL"),
            format!("sufficiency={days} d {share_pct} %"),
            format!("long-gap={} min", self.long_gap_minutes.value),
        ];
        lines.extend(self.goals.iter().map(|goal| match goal.bound.value {
            Bound::Above(pct) => format!("goal={} above {pct} %", goal.share.name()),
            Bound::Below(pct) => format!("goal={} below {pct} %", goal.share.name()),
        }));
        lines.join("\n") + "\n"
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
    /// The ends of the tight range in `unit`, × 10^[`BOUND_PLACES`]; without one, a range that holds nothing.
    pub(crate) fn tight_bounds(&self, unit: Unit) -> [i128; 2] {
        let scaled = |threshold: &Threshold| match unit {
            Unit::MgDl => threshold.mg_dl.scaled(BOUND_PLACES),
            Unit::MmolL => threshold.mmol_l.scaled(BOUND_PLACES),
        };
        let range = self.tight_target.as_ref().map(|sourced| &sourced.value);
        range.map_or([i128::MAX, i128::MIN], |(from, to)| [scaled(from), scaled(to)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every value of version 1. If this test fails, the change needs a new version.
    const STANDARD_1: &str = "policy=standard/1\n\
        very-low-below=54 mg/dL 3.0 mmol/L\n\
        low-below=70 mg/dL 3.9 mmol/L\n\
        high-above=180 mg/dL 10.0 mmol/L\n\
        very-high-above=250 mg/dL 13.9 mmol/L\n\
        tight-target=70 mg/dL 3.9 mmol/L to 140 mg/dL 7.8 mmol/L\n\
        factor-e4=180156\n\
        re-expression=18.01559 within 0.1 mg/dL\n\
        sufficiency=14 d 70 %\n\
        long-gap=45 min\n\
        goal=in-target above 70 %\n\
        goal=below-target below 4 %\n\
        goal=very-low below 1 %\n\
        goal=above-target below 25 %\n\
        goal=very-high below 5 %\n";

    #[test]
    fn the_values_of_a_version_do_not_change() {
        assert_eq!(Policy::standard().canonical_text(), STANDARD_1);
    }

    #[test]
    fn the_mark_names_version_hash_and_factor() {
        let mark = Policy::standard().mark();
        let expected: String = Sha256::digest(STANDARD_1).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!((mark.id.as_str(), mark.factor_e4), ("standard/1", 180_156));
        assert_eq!(mark.sha256, expected);
    }

    #[test]
    fn every_built_in_policy_reads_and_is_found_by_its_name() {
        for text in FILES {
            let policy: Policy = text.parse().unwrap();
            assert_eq!(Policy::named(&policy.id), Some(&policy));
        }
        assert_eq!(Policy::named("nobody"), None);
        assert_eq!(Policy::built_in().len(), FILES.len());
    }

    #[test]
    fn pregnancy_has_one_level_above_its_target() {
        let policy = Policy::named("pregnancy-t1").unwrap();
        assert_eq!(policy.thresholds.very_high_above, None);
        assert_eq!(policy.thresholds.low_below.value.mmol_l.to_string(), "3.5");
        assert_eq!(policy.bounds(Unit::MgDl)[3], i128::MAX);
    }

    #[test]
    fn two_policies_never_share_a_hash() {
        let hashes: std::collections::BTreeSet<_> =
            Policy::built_in().iter().map(|p| p.mark().sha256).collect();
        assert_eq!(hashes.len(), Policy::built_in().len());
    }
}
