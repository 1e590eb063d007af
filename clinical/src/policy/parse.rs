//! From the text of a policy file to a [`Policy`]: unknown keys are errors, and what is returned is
//! consistent (edges ascend in both units, shares are per cent).

use std::{cmp::Ordering, str::FromStr};

use serde::Deserialize;

use super::{Bound, Goal, Policy, ReExpression, Share, Sourced, Sufficiency, Threshold, Thresholds};
use crate::decimal::Decimal;

/// Longest policy text read: a hundred times the standard one, and small enough to parse at once.
const MAX_TEXT_BYTES: usize = 256 * 1024;

/// Why a text is not a policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The text is longer than 256 KiB.
    #[error("a policy of more than 256 KiB")]
    TooLong,
    /// Not TOML, or a key is missing, unknown or of the wrong type; the source names line and column.
    #[error("not a policy file")]
    Format(#[from] toml::de::Error),
    /// A number in quotes is not a decimal number.
    #[error("{key}: {text:?} is not a decimal number; write it like \"3.9\"")]
    Number {
        /// The key that holds it.
        key: &'static str,
        /// What stands there.
        text: String,
    },
    /// A value is outside its range, or two values contradict each other.
    #[error("{0}")]
    Inconsistent(&'static str),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    id: String,
    version: u32,
    title: String,
    thresholds: Edges,
    tight_target: Option<Tight>,
    factor: Factor,
    re_expression: Recovery,
    sufficiency: Enough,
    gaps: Gaps,
    #[serde(default)]
    goals: Vec<Aim>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edges {
    very_low_below: Edge,
    low_below: Edge,
    high_above: Edge,
    very_high_above: Option<Edge>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edge {
    mg_dl: String,
    mmol_l: String,
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tight {
    from: Pair,
    to: Pair,
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    mg_dl: String,
    mmol_l: String,
}

impl Tight {
    /// Within the target: its ends ascend and lie in it.
    fn read(self, thresholds: &Thresholds) -> Result<Sourced<(Threshold, Threshold)>, PolicyError> {
        let end = |pair: Pair| -> Result<Threshold, PolicyError> {
            let mg_dl = number("tight_target.mg_dl", &pair.mg_dl)?;
            Ok(Threshold { mg_dl, mmol_l: number("tight_target.mmol_l", &pair.mmol_l)? })
        };
        let (from, to) = (end(self.from)?, end(self.to)?);
        let ascend = |a: &Threshold, b: &Threshold| {
            a.mg_dl.cmp_value(b.mg_dl).is_le() && a.mmol_l.cmp_value(b.mmol_l).is_le()
        };
        let (low, high) = (&thresholds.low_below.value, &thresholds.high_above.value);
        if !(ascend(low, &from) && ascend(&from, &to) && ascend(&to, high)) {
            return Err(PolicyError::Inconsistent("tight_target: from and to ascend and lie in the target"));
        }
        Ok(Sourced { value: (from, to), source: self.source })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Factor {
    mg_dl_per_mmol_l: String,
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recovery {
    mg_dl_per_mmol_l: String,
    residual_mg_dl: String,
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Enough {
    days: u32,
    share_pct: u32,
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Gaps {
    long_minutes: u32,
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Aim {
    share: Share,
    above_pct: Option<u32>,
    below_pct: Option<u32>,
    source: String,
}

fn number(key: &'static str, text: &str) -> Result<Decimal, PolicyError> {
    text.parse().map_err(|_| PolicyError::Number { key, text: text.to_owned() })
}

impl Edge {
    fn read(self) -> Result<Sourced<Threshold>, PolicyError> {
        let mg_dl = number("thresholds.mg_dl", &self.mg_dl)?;
        let mmol_l = number("thresholds.mmol_l", &self.mmol_l)?;
        Ok(Sourced { value: Threshold { mg_dl, mmol_l }, source: self.source })
    }
}

impl Factor {
    /// A factor that four decimal places hold exactly, near the chemistry.
    fn read(self) -> Result<Sourced<i64>, PolicyError> {
        let factor = number("factor.mg_dl_per_mmol_l", &self.mg_dl_per_mmol_l)?;
        if factor.places() > 4 || !plausible_factor(factor) {
            return Err(PolicyError::Inconsistent(
                "factor: mg_dl_per_mmol_l is from 17 to 19 with at most four decimal places (\"18.0156\")",
            ));
        }
        Ok(Sourced { value: factor.scaled(4) as i64, source: self.source })
    }
}

impl Recovery {
    fn read(self) -> Result<Sourced<ReExpression>, PolicyError> {
        let factor = number("re_expression.mg_dl_per_mmol_l", &self.mg_dl_per_mmol_l)?;
        let residual_mg_dl = number("re_expression.residual_mg_dl", &self.residual_mg_dl)?;
        let half = Decimal::new(5, 1).map(|half| residual_mg_dl.cmp_value(half));
        if !plausible_factor(factor) || residual_mg_dl.digits() < 0 || half != Some(Ordering::Less) {
            return Err(PolicyError::Inconsistent(
                "re_expression: mg_dl_per_mmol_l is from 17 to 19 and residual_mg_dl from 0 to below 0.5",
            ));
        }
        Ok(Sourced { value: ReExpression { factor, residual_mg_dl }, source: self.source })
    }
}

impl Aim {
    fn read(self) -> Result<Goal, PolicyError> {
        let value = match (self.above_pct, self.below_pct) {
            (Some(pct), None) if pct <= 100 => Bound::Above(pct),
            (None, Some(pct)) if pct <= 100 => Bound::Below(pct),
            _ => {
                return Err(PolicyError::Inconsistent(
                    "goals: each has either above_pct or below_pct, from 0 to 100",
                ));
            }
        };
        Ok(Goal { share: self.share, bound: Sourced { value, source: self.source } })
    }
}

fn plausible_factor(factor: Decimal) -> bool {
    factor.cmp_value(Decimal::whole(17)).is_ge() && factor.cmp_value(Decimal::whole(19)).is_le()
}

impl Thresholds {
    fn ascend(&self) -> bool {
        let edges = [Some(&self.very_low_below), Some(&self.low_below), Some(&self.high_above)];
        let edges: Vec<_> =
            edges.into_iter().chain([self.very_high_above.as_ref()]).flatten().map(|e| e.value).collect();
        let positive = edges.iter().all(|e| e.mg_dl.digits() > 0 && e.mmol_l.digits() > 0);
        positive
            && edges.windows(2).all(|pair| {
                pair[0].mg_dl.cmp_value(pair[1].mg_dl).is_lt()
                    && pair[0].mmol_l.cmp_value(pair[1].mmol_l).is_lt()
            })
    }
}

impl FromStr for Policy {
    type Err = PolicyError;

    /// Reads a policy file.
    fn from_str(text: &str) -> Result<Self, PolicyError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(PolicyError::TooLong);
        }
        let file: File = toml::from_str(text)?;
        let thresholds = Thresholds {
            very_low_below: file.thresholds.very_low_below.read()?,
            low_below: file.thresholds.low_below.read()?,
            high_above: file.thresholds.high_above.read()?,
            very_high_above: file.thresholds.very_high_above.map(Edge::read).transpose()?,
        };
        if !thresholds.ascend() {
            return Err(PolicyError::Inconsistent("thresholds: they are positive and ascend in both units"));
        }
        if file.id.is_empty() || file.version == 0 {
            return Err(PolicyError::Inconsistent("id is not empty and version is 1 or more"));
        }
        if file.sufficiency.share_pct > 100 {
            return Err(PolicyError::Inconsistent("sufficiency: share_pct is from 0 to 100"));
        }
        let Enough { days, share_pct, source } = file.sufficiency;
        Ok(Self {
            id: file.id,
            version: file.version,
            title: file.title,
            tight_target: file.tight_target.map(|tight| tight.read(&thresholds)).transpose()?,
            thresholds,
            factor_e4: file.factor.read()?,
            re_expression: file.re_expression.read()?,
            sufficiency: Sourced { value: Sufficiency { days, share_pct }, source },
            long_gap_minutes: Sourced { value: file.gaps.long_minutes, source: file.gaps.source },
            goals: file.goals.into_iter().map(Aim::read).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDARD: &str = include_str!("../../policies/standard.toml");

    fn refusal(from: &str, to: &str) -> String {
        assert!(STANDARD.contains(from), "{from}");
        match STANDARD.replacen(from, to, 1).parse::<Policy>() {
            Ok(_) => panic!("accepted {to:?} for {from:?}"),
            Err(PolicyError::Format(_)) => "format".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_faulty_policy_is_refused_with_what_to_write_instead() {
        for (from, to, told) in [
            ("\"3.9\"", "\"3,9\"", "thresholds.mmol_l: \"3,9\" is not a decimal number"),
            ("\"70\"", "\"53\"", "thresholds:"),
            ("\"10.0\"", "\"3.9\"", "thresholds:"),
            ("\"54\"", "\"-54\"", "thresholds:"),
            ("\"18.0156\"", "\"18.01559\"", "factor:"),
            ("\"18.01559\"", "\"1.8\"", "re_expression:"),
            ("\"0.1\"", "\"0.5\"", "re_expression:"),
            ("share_pct = 70", "share_pct = 101", "sufficiency:"),
            ("\"140\"", "\"181\"", "tight_target:"),
            ("\"7.8\"", "\"3.8\"", "tight_target:"),
            ("version = 1", "version = 0", "id is not empty"),
            ("above_pct = 70", "above_pct = 70\nbelow_pct = 80", "goals:"),
            ("days = 14", "days = -1", "format"),
            ("days = 14", "dayz = 14", "format"),
            ("mmol_l = \"3.0\"", "", "format"),
        ] {
            let error = refusal(from, to);
            assert!(error.starts_with(told), "{from} → {to}: {error}");
        }
    }
}
