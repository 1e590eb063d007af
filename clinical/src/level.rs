//! Which of the five ranges a value is in.
//!
//! Invariants: mg/dL is compared with thresholds in mg/dL and mmol/L with thresholds in mmol/L, as
//! exact decimals; nothing is converted, with one exception. The ranges leave no hole: `<54`,
//! `[54, 70)`, `[70, 180]`, `(180, 250]`, `>250` (`<3.0`, `[3.0, 3.9)`, `[3.9, 10.0]`,
//! `(10.0, 13.9]`, `>13.9`). The level is a function of the value: `5.0` and `5.00` are the same.
//!
//! The exception is a re-expression. Sensors that report whole mg/dL reach us through software that
//! shows mmol/L: 70 mg/dL as 3.88552, which is below 3.9. A value in mmol/L is taken as such a
//! re-expression where it has two or more decimals and lies, times the policy's factor (18.01559),
//! within its residual (0.1 mg/dL) of a whole number; then the whole number is classified.
//!
//! * *Two or more decimals* counts significant ones: trailing zeros do not, or else 10.0 and 10.00
//!   could differ. No level is lost by it: of the values of one decimal only the edges themselves
//!   could be in doubt, and those have their native rule.
//! * *One factor* is enough for all in use (18, 18.0156, 18.01559, 18.018, 18.0182): they differ by
//!   0.09 %, which is under the residual at the two lower edges, and at the two upper ones the
//!   native rule gives the same level. A test goes through every whole number from 20 to 600, every
//!   factor and two to five decimals. More factors would only take in more values of sensors that
//!   measure hundredths of mmol/L.
//! * What the residual refuses (10.04 is 180.88) is classified natively.

pub use crate::scale::Level;
use crate::{
    glucose::{Glucose, Measured, Unit},
    policy::{BOUND_PLACES, Policy},
    scale::Scale,
};

/// The range of a value and how it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// The range the value counts in.
    pub level: Level,
    /// False where the device gave a limit that leaves the range open: `<70` is below the target with
    /// its level unknown, and counts as low; `>200` is above it, and counts as high.
    pub known: bool,
    /// Within the policy's tight range, both ends included; never where the policy has none.
    pub tight: bool,
    /// The value in mmol/L was recognized as a whole number of mg/dL, and that number classified.
    pub re_expressed: bool,
}

/// The edges of a policy in one unit.
#[derive(Clone, Debug)]
struct Edges {
    scale: Scale,
    /// The ends of the tight range; one that holds nothing where the policy has none.
    tight: [i128; 2],
}

impl Edges {
    fn of(policy: &Policy, unit: Unit) -> Self {
        Self { scale: Scale::new(policy.bounds(unit)), tight: policy.tight_bounds(unit) }
    }
}

/// The edges of a policy in both units, made ready for many comparisons.
#[derive(Clone, Debug)]
pub struct Classifier {
    mg_dl: Edges,
    mmol_l: Edges,
    factor: i128,
    residual: i128,
}

/// Decimal places at which a re-expression is looked for: those of a value and of a factor.
const RECOVERY_PLACES: u8 = 2 * BOUND_PLACES;
/// One mg/dL at [`RECOVERY_PLACES`].
const ONE_MG_DL: i128 = 10i128.pow(RECOVERY_PLACES as u32);
/// A tenth at [`BOUND_PLACES`]: what is a multiple of it has at most one significant decimal.
const TENTH: i128 = 10i128.pow(BOUND_PLACES as u32 - 1);

impl Classifier {
    /// The edges of `policy`.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        Self {
            mg_dl: Edges::of(policy, Unit::MgDl),
            mmol_l: Edges::of(policy, Unit::MmolL),
            factor: policy.re_expression.value.factor.scaled(BOUND_PLACES),
            residual: policy.re_expression.value.residual_mg_dl.scaled(RECOVERY_PLACES),
        }
    }

    /// The range `glucose` is in.
    #[must_use]
    pub fn class(&self, glucose: Glucose) -> Class {
        let (Measured::Exact(stated) | Measured::Below(stated) | Measured::Above(stated)) = glucose.measured;
        let native = stated.scaled(BOUND_PLACES);
        let recovered = if glucose.unit == Unit::MmolL { self.recover(native) } else { None };
        let (value, Edges { scale, tight: [from, to] }) = match (recovered, glucose.unit) {
            (Some(mg_dl), _) => (mg_dl, &self.mg_dl),
            (None, Unit::MgDl) => (native, &self.mg_dl),
            (None, Unit::MmolL) => (native, &self.mmol_l),
        };
        // A limit says only that the value is not its own neighbour: one that proves a level outside is not tight.
        let tight = match glucose.measured {
            Measured::Exact(_) => *from <= value && value <= *to,
            Measured::Below(_) => *from < value && value <= *to,
            Measured::Above(_) => *from <= value && value < *to,
        };
        let (level, known) = match glucose.measured {
            Measured::Exact(_) => (scale.level(value), true),
            Measured::Below(_) => scale.below(value),
            Measured::Above(_) => scale.above(value),
        };
        Class { level, known, tight, re_expressed: recovered.is_some() }
    }

    /// The whole number of mg/dL (at [`BOUND_PLACES`]) that `mmol_l` re-expresses.
    fn recover(&self, mmol_l: i128) -> Option<i128> {
        if mmol_l % TENTH == 0 {
            return None;
        }
        let mg_dl = mmol_l * self.factor;
        let whole = (mg_dl + ONE_MG_DL / 2).div_euclid(ONE_MG_DL);
        let near = (mg_dl - whole * ONE_MG_DL).abs() <= self.residual;
        near.then(|| whole * 10i128.pow(u32::from(BOUND_PLACES)))
    }
}

/// The range `glucose` is in under `policy`. For many values build one [`Classifier`].
#[must_use]
pub fn classify(glucose: Glucose, policy: &Policy) -> Class {
    Classifier::new(policy).class(glucose)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decimal::Decimal;

    fn exact(text: &str, unit: Unit) -> Glucose {
        Glucose { measured: Measured::Exact(text.parse().unwrap()), unit }
    }

    fn level(text: &str, unit: Unit) -> Level {
        classify(exact(text, unit), Policy::standard()).level
    }

    #[test]
    fn every_threshold_in_mg_dl() {
        for (text, expected) in [
            ("39", Level::VeryLow),
            ("53", Level::VeryLow),
            ("53.9", Level::VeryLow),
            ("54", Level::Low),
            ("69", Level::Low),
            ("69.9", Level::Low),
            ("70", Level::Target),
            ("180", Level::Target),
            ("180.1", Level::High),
            ("181", Level::High),
            ("250", Level::High),
            ("250.1", Level::VeryHigh),
            ("251", Level::VeryHigh),
            ("401", Level::VeryHigh),
        ] {
            assert_eq!(level(text, Unit::MgDl), expected, "{text} mg/dL");
        }
    }

    #[test]
    fn every_threshold_in_mmol_l() {
        for (text, expected) in [
            ("2.9", Level::VeryLow),
            ("3.0", Level::Low),
            ("3", Level::Low),
            ("3.8", Level::Low),
            ("3.9", Level::Target),
            ("3.90", Level::Target),
            ("10.0", Level::Target),
            ("10.00", Level::Target),
            ("10", Level::Target),
            ("10.1", Level::High),
            ("13.9", Level::High),
            ("13.90", Level::High),
            ("14.0", Level::VeryHigh),
        ] {
            let class = classify(exact(text, Unit::MmolL), Policy::standard());
            assert_eq!((class.level, class.re_expressed), (expected, false), "{text} mmol/L");
        }
    }

    #[test]
    fn a_re_expressed_value_is_classified_as_the_whole_number_it_was() {
        // mmol/L, whole mg/dL by × 18.01559 or none, level
        for (text, re_expressed, expected) in [
            ("3.88552", true, Level::Target),    // 70.000
            ("2.9974", true, Level::Low),        // 54.000
            ("2.94189", true, Level::VeryLow),   // 53.000
            ("3.83001", true, Level::Low),       // 69.000
            ("9.99135", true, Level::Target),    // 180.000
            ("10.04685", true, Level::High),     // 181.000
            ("13.87687", true, Level::High),     // 250.000
            ("13.93238", true, Level::VeryHigh), // 251.000
            ("3.89", true, Level::Target),       // 70.081: 70
            ("3.88", true, Level::Target),       // 69.900: 70, as 18.0182 writes it
            ("3.87", false, Level::Low),         // 69.720
            ("10.01", false, Level::High),       // 180.336
            ("10.04", false, Level::High),       // 180.877
            ("13.91", false, Level::VeryHigh),   // 250.597
        ] {
            let class = classify(exact(text, Unit::MmolL), Policy::standard());
            assert_eq!((class.re_expressed, class.level), (re_expressed, expected), "{text} mmol/L");
        }
    }

    #[test]
    fn every_whole_number_keeps_its_level_through_every_factor_in_use() {
        for factor in [18.0, 18.0156, 18.01559, 18.018, 18.0182] {
            for mg_dl in 20..=600 {
                for places in 2..=5 {
                    let text = format!("{:.places$}", f64::from(mg_dl) / factor);
                    let native = level(&mg_dl.to_string(), Unit::MgDl);
                    assert_eq!(level(&text, Unit::MmolL), native, "{mg_dl} / {factor} = {text}");
                }
            }
        }
    }

    #[test]
    fn a_limit_counts_in_the_range_it_proves() {
        let below = |text: &str, unit| Glucose { measured: Measured::Below(text.parse().unwrap()), unit };
        let above = |text: &str, unit| Glucose { measured: Measured::Above(text.parse().unwrap()), unit };
        for (glucose, expected, known) in [
            (below("40", Unit::MgDl), Level::VeryLow, true),
            (below("54", Unit::MgDl), Level::VeryLow, true),
            (below("55", Unit::MgDl), Level::Low, false),
            (below("70", Unit::MgDl), Level::Low, false),
            (below("2.2", Unit::MmolL), Level::VeryLow, true),
            (below("3.0", Unit::MmolL), Level::VeryLow, true),
            (below("3.9", Unit::MmolL), Level::Low, false),
            (below("3.88552", Unit::MmolL), Level::Low, false),
            (above("400", Unit::MgDl), Level::VeryHigh, true),
            (above("250", Unit::MgDl), Level::VeryHigh, true),
            (above("249", Unit::MgDl), Level::High, false),
            (above("13.9", Unit::MmolL), Level::VeryHigh, true),
            (above("22.2", Unit::MmolL), Level::VeryHigh, true),
            (above("13.87687", Unit::MmolL), Level::VeryHigh, true), // >250
        ] {
            let class = classify(glucose, Policy::standard());
            assert_eq!((class.level, class.known), (expected, known), "{glucose:?}");
        }
    }

    #[test]
    fn pregnancy_has_its_own_edges_and_nothing_very_high() {
        let policy = Policy::named("pregnancy-t1").unwrap();
        for (text, unit, expected) in [
            ("62", Unit::MgDl, Level::Low),
            ("63", Unit::MgDl, Level::Target),
            ("140", Unit::MgDl, Level::Target),
            ("141", Unit::MgDl, Level::High),
            ("400", Unit::MgDl, Level::High),
            ("3.4", Unit::MmolL, Level::Low),
            ("3.5", Unit::MmolL, Level::Target),
            ("7.8", Unit::MmolL, Level::Target),
            ("7.9", Unit::MmolL, Level::High),
        ] {
            assert_eq!(classify(exact(text, unit), policy).level, expected, "{text}");
        }
        let high = Glucose { measured: Measured::Above(Decimal::whole(400)), unit: Unit::MgDl };
        assert_eq!(
            classify(high, policy),
            Class { level: Level::High, known: true, tight: false, re_expressed: false }
        );
    }

    proptest! {
        #[test]
        fn spelling_does_not_decide(digits in 0i64..60_000, places in 0u8..4, zeros in 1u8..4, molar: bool) {
            let unit = if molar { Unit::MmolL } else { Unit::MgDl };
            let of = |digits, places| Glucose { measured: Measured::Exact(Decimal::new(digits, places).unwrap()), unit };
            let longer = of(digits * 10i64.pow(u32::from(zeros)), places + zeros);
            prop_assert_eq!(classify(of(digits, places), Policy::standard()), classify(longer, Policy::standard()));
        }

        #[test]
        fn no_value_makes_it_panic(digits in -Decimal::MAX_DIGITS..=Decimal::MAX_DIGITS, places in 0u8..=9, kind in 0..3, molar: bool) {
            let value = Decimal::new(digits, places).unwrap();
            let measured = [Measured::Exact(value), Measured::Below(value), Measured::Above(value)][kind as usize];
            let unit = if molar { Unit::MmolL } else { Unit::MgDl };
            let class = classify(Glucose { measured, unit }, Policy::standard());
            prop_assert!(class.known || kind != 0);
        }
    }
}
