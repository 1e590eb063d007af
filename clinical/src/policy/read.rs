//! From a sheet to a [`Policy`]: what is returned is complete and consistent (edges ascend in both units,
//! shares are per cent), and nothing in the sheet is left unread.

use std::{cmp::Ordering, sync::Arc};

use super::{
    Bound, Goal, Policy, ReExpression, Share, Sheet, SheetFault, Sourced, Sufficiency, Threshold, Thresholds,
    Values,
    rules::{
        EdgeName, read_early_wear, read_events, read_long_gap, read_night, read_profile, read_short_gap,
        read_warm_up, read_windows,
    },
    sheet::sha256_hex,
};
use crate::{decimal::Decimal, device::Devices, outcome::PolicyMark};

/// The quantity of the policies read here.
const GLUCOSE: &str = "glucose";
/// How far apart the units of a published pair may be, in mg/dL: 13.9 mmol/L is 250.4, a slip of a digit is further.
const MAX_PAIR_MG_DL: f64 = 2.0;
/// The edge that is no edge of a range.
const TIGHT: &str = "thresholds.tight_high_above";

impl Policy {
    /// Reads a sheet, under what is known of sensors.
    ///
    /// # Errors
    /// Every fault of the sheet, with the line in its file.
    pub fn from_sheet(sheet: &Sheet, devices: Arc<Devices>) -> Result<Self, Vec<SheetFault>> {
        if sheet.quantity != GLUCOSE {
            let what = format!("`quantity` is {}, and outcomes are made of glucose", sheet.quantity);
            let instead = "name a policy about glucose".to_owned();
            return Err(vec![SheetFault { line: sheet.id_line, what, instead }]);
        }
        let values = Values::of(sheet);
        let read = read(&values, devices);
        values.finish(read)
    }
}

fn read(values: &Values<'_>, devices: Arc<Devices>) -> Option<Policy> {
    let thresholds = read_thresholds(values);
    let tight_high_above = present(values, TIGHT);
    let (factor_e4, re_expression) = (read_factor(values), read_re_expression(values));
    let sufficiency = read_sufficiency(values);
    let (short_gap, long_gap_minutes) = (read_short_gap(values), read_long_gap(values));
    let (warm_up, early_wear_hours) = (read_warm_up(values), read_early_wear(values));
    let (events, windows_days, night) = (read_events(values), read_windows(values), read_night(values));
    let profile = read_profile(values);
    let stable_cv_pct = values
        .required("stability")
        .and_then(|value| Some(value.sourced(value.whole("cv_at_most_pct", 1..=100)?)));
    let goals = read_goals(values);
    let (thresholds, tight_high_above, events) = (thresholds?, tight_high_above?, events?);
    consistent(
        values,
        &thresholds,
        tight_high_above.as_ref(),
        factor_e4.as_ref().map(|factor| factor.value),
        events.extended_hyper.as_ref().map(|rule| rule.value.edge),
    )?;
    let (sheet, factor_e4) = (values.sheet, factor_e4?);
    let mut policy = Policy {
        id: sheet.id.clone(),
        version: sheet.version,
        title: sheet.title.clone(),
        thresholds,
        tight_high_above,
        re_expression: re_expression?,
        sufficiency: sufficiency?,
        short_gap: short_gap?,
        long_gap_minutes: long_gap_minutes?,
        warm_up: warm_up?,
        early_wear_hours: early_wear_hours?,
        events,
        windows_days: windows_days?,
        night: night?,
        profile: profile?,
        stable_cv_pct: stable_cv_pct?,
        goals: goals?,
        devices,
        sheet: Arc::new(sheet.clone()),
        mark: PolicyMark {
            id: format!("{}/{}", sheet.id, sheet.version),
            sha256: String::new(),
            factor_e4: factor_e4.value,
        },
        factor_e4,
    };
    policy.mark.sha256 = sha256_hex(&policy.canonical_text());
    Some(policy)
}

fn threshold(values: &Values<'_>, name: &str) -> Option<Sourced<Threshold>> {
    let value = values.required(name)?;
    let (mg_dl, mmol_l) = (value.decimal("mg_dl"), value.decimal("mmol_l"));
    Some(value.sourced(Threshold { mg_dl: mg_dl?, mmol_l: mmol_l? }))
}

/// An edge that a population may lack; the outer `None` is a fault.
fn present(values: &Values<'_>, name: &str) -> Option<Option<Sourced<Threshold>>> {
    match values.optional(name) {
        None => Some(None),
        Some(_) => Some(Some(threshold(values, name)?)),
    }
}

fn read_thresholds(values: &Values<'_>) -> Option<Thresholds> {
    let edge = |name: &str| threshold(values, &format!("thresholds.{name}"));
    let (very_low, low, high) = (edge("very_low_below"), edge("low_below"), edge("high_above"));
    let very_high_above = present(values, "thresholds.very_high_above");
    Some(Thresholds {
        very_low_below: very_low?,
        low_below: low?,
        high_above: high?,
        very_high_above: very_high_above?,
    })
}

/// Notes every contradiction between the edges; `None` where there is one.
fn consistent(
    values: &Values<'_>,
    thresholds: &Thresholds,
    tight: Option<&Sourced<Threshold>>,
    factor_e4: Option<i64>,
    extended_hyper: Option<EdgeName>,
) -> Option<()> {
    let t = thresholds;
    let named = [
        ("thresholds.very_low_below", Some(&t.very_low_below)),
        ("thresholds.low_below", Some(&t.low_below)),
        ("thresholds.high_above", Some(&t.high_above)),
        ("thresholds.very_high_above", t.very_high_above.as_ref()),
    ];
    let edges: Vec<_> = named.into_iter().filter_map(|(name, edge)| Some((name, edge?.value))).collect();
    let all = edges.iter().copied().chain(tight.map(|tight| (TIGHT, tight.value)));
    let pairs = all.filter(|(name, edge)| !is_pair(values, name, edge, factor_e4)).count() == 0;
    // Each is told where those before it hold: what follows from a fault is none of its own.
    let ascend = pairs && ascend(values, &edges);
    let inside = tight.is_none_or(|tight| !ascend || is_inside(values, &tight.value, t));
    let known = extended_hyper != Some(EdgeName::VeryHighAbove) || t.very_high_above.is_some();
    if !known {
        let instead = "write [events.extended_hyper] with edge = \"high_above\", or with none = true";
        let what = "names an edge that this population lacks";
        values.fault_with("events.extended_hyper", &["thresholds.very_high_above"], what, instead);
    }
    (pairs && ascend && inside && known).then_some(())
}

/// Whether an edge is one concentration in two units, or notes that it is not.
fn is_pair(values: &Values<'_>, name: &str, edge: &Threshold, factor_e4: Option<i64>) -> bool {
    if edge.mg_dl.digits() <= 0 || edge.mmol_l.digits() <= 0 {
        values.fault(name, "is not above zero", "write both units, each as it is published");
        return false;
    }
    let Some(instead) = factor_e4.and_then(|factor| two_concentrations(edge, factor)) else { return true };
    values.fault(name, "has two units that are not one concentration", instead);
    false
}

/// Whether the edges ascend in both units, or notes which do not.
fn ascend(values: &Values<'_>, edges: &[(&str, Threshold)]) -> bool {
    let mut good = true;
    for pair in edges.windows(2) {
        if edge_order(&pair[0].1, &pair[1].1) != Some(Ordering::Less) {
            // The one of the two that this file states, or else the upper one.
            let upper_is_ours = values.sheet.line_of(pair[1].0) > 1 || values.sheet.line_of(pair[0].0) == 1;
            let (name, side, other) =
                if upper_is_ours { (pair[1].0, "above", pair[0].0) } else { (pair[0].0, "below", pair[1].0) };
            let what = format!("is not {side} `{other}` in both units");
            values.fault(name, &what, "let the edges ascend in mg/dL and in mmol/L");
            good = false;
        }
    }
    good
}

/// Whether the tight range ends inside the target, or notes that it does not.
fn is_inside(values: &Values<'_>, tight: &Threshold, t: &Thresholds) -> bool {
    let inside = edge_order(&t.low_below.value, tight) == Some(Ordering::Less)
        && edge_order(tight, &t.high_above.value) == Some(Ordering::Less);
    if !inside {
        let instead = format!("write [{TIGHT}] with an edge inside the target, or with none = true");
        let target = ["thresholds.low_below", "thresholds.high_above"];
        values.fault_with(TIGHT, &target, "is not inside the target", instead);
    }
    inside
}

/// What to say where the two units of an edge are further apart than published pairs are, by the policy's own factor.
fn two_concentrations(edge: &Threshold, factor_e4: i64) -> Option<String> {
    let factor = factor_e4 as f64 / 10_000.0;
    let (mg_dl, mmol_l) = (edge.mg_dl.to_f64(), edge.mmol_l.to_f64());
    ((mmol_l * factor - mg_dl).abs() > MAX_PAIR_MG_DL).then(|| {
        format!(
            "{} mg/dL is about {:.1} mmol/L, and {} mmol/L about {:.0} mg/dL: write the pair as it is published",
            edge.mg_dl,
            mg_dl / factor,
            edge.mmol_l,
            mmol_l * factor
        )
    })
}

/// How two edges compare where both units say the same.
fn edge_order(a: &Threshold, b: &Threshold) -> Option<Ordering> {
    let (mass, molar) = (a.mg_dl.cmp_value(b.mg_dl), a.mmol_l.cmp_value(b.mmol_l));
    (mass == molar).then_some(mass)
}

fn plausible_factor(factor: Decimal) -> bool {
    factor.cmp_value(Decimal::whole(17)).is_ge() && factor.cmp_value(Decimal::whole(19)).is_le()
}

/// A factor that four decimal places hold exactly, near the chemistry.
fn read_factor(values: &Values<'_>) -> Option<Sourced<i64>> {
    let value = values.required("factor")?;
    let factor = value.decimal("mg_dl_per_mmol_l")?;
    if factor.places() > 4 || !plausible_factor(factor) {
        return value.contradicts(
            "is not from 17 to 19 with at most four decimal places",
            "write mg_dl_per_mmol_l = \"18.0156\"",
        );
    }
    Some(value.sourced(factor.scaled(4) as i64))
}

fn read_re_expression(values: &Values<'_>) -> Option<Sourced<ReExpression>> {
    let value = values.required("re_expression")?;
    let (factor, residual) = (value.decimal("mg_dl_per_mmol_l"), value.decimal("residual_mg_dl"));
    let (factor, residual_mg_dl) = (factor?, residual?);
    let half = Decimal::new(5, 1).map(|half| residual_mg_dl.cmp_value(half));
    if !plausible_factor(factor) || residual_mg_dl.digits() < 0 || half != Some(Ordering::Less) {
        return value.contradicts(
            "is out of range",
            "write mg_dl_per_mmol_l from 17 to 19 and residual_mg_dl from 0 to below 0.5",
        );
    }
    Some(value.sourced(ReExpression { factor, residual_mg_dl }))
}

fn read_sufficiency(values: &Values<'_>) -> Option<Sourced<Sufficiency>> {
    let value = values.required("sufficiency")?;
    let (days, share_pct) = (value.whole("days", 1..=90), value.whole("share_pct", 0..=100));
    Some(value.sourced(Sufficiency { days: days?, share_pct: share_pct? }))
}

fn read_goals(values: &Values<'_>) -> Option<Vec<Goal>> {
    // All are asked for before one is given up: what nobody asks for is called unknown.
    let read: Vec<Option<Option<Goal>>> =
        Share::NAMED.map(|(name, share)| read_goal(values, name, share)).into();
    let goals: Option<Vec<Option<Goal>>> = read.into_iter().collect();
    Some(goals?.into_iter().flatten().collect())
}

/// A goal, or none of that share; the outer `None` is a fault.
fn read_goal(values: &Values<'_>, name: &str, share: Share) -> Option<Option<Goal>> {
    let Some(value) = values.optional(&format!("goals.{name}")) else { return Some(None) };
    let bound = match (value.has("above_pct"), value.has("below_pct")) {
        (true, false) => Bound::Above(value.whole("above_pct", 0..=100)?),
        (false, true) => Bound::Below(value.whole("below_pct", 0..=100)?),
        (false, false) => {
            value.lacks(
                "above_pct` or `below_pct",
                "write one of them, in whole per cent of the time".to_owned(),
            );
            return None;
        }
        (true, true) => {
            return value.contradicts(
                "has not exactly one bound",
                "keep above_pct or below_pct, and remove the other",
            );
        }
    };
    Some(Some(Goal { share, bound: value.sourced(bound) }))
}
