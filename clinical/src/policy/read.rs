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

impl Policy {
    /// Reads a sheet, under what is known of sensors.
    ///
    /// # Errors
    /// Every fault of the sheet, with the line in its file.
    pub fn from_sheet(sheet: &Sheet, devices: Arc<Devices>) -> Result<Self, Vec<SheetFault>> {
        if sheet.quantity != GLUCOSE {
            let what = format!("`quantity` is {}, and outcomes are made of glucose", sheet.quantity);
            let instead = "name a policy about glucose".to_owned();
            return Err(vec![SheetFault { line: 1, what, instead }]);
        }
        let values = Values::of(sheet);
        let read = read(&values, devices);
        values.finish(read)
    }
}

fn read(values: &Values<'_>, devices: Arc<Devices>) -> Option<Policy> {
    let thresholds = read_thresholds(values);
    let tight_high_above = present(values, "thresholds.tight_high_above");
    let (factor_e4, re_expression) = (read_factor(values), read_re_expression(values));
    let sufficiency = read_sufficiency(values);
    let (short_gap, long_gap_minutes) = (read_short_gap(values), read_long_gap(values));
    let (warm_up, early_wear_hours) = (read_warm_up(values), read_early_wear(values));
    let (events, windows_days, night) = (read_events(values), read_windows(values), read_night(values));
    let profile = read_profile(values);
    let stable_cv_pct = values
        .required("stability")
        .and_then(|value| Some(value.sourced(value.whole("cv_at_most_pct", 1..=100)?)));
    let goals: Option<Vec<Goal>> = read_goals(values);
    let (thresholds, tight_high_above, events) = (thresholds?, tight_high_above?, events?);
    consistent(
        values,
        &thresholds,
        tight_high_above.as_ref(),
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
    let mut good = true;
    let mut fault = |name: &str, what: &str, instead: &str| {
        values.fault(name, what, instead);
        good = false;
    };
    for (name, edge) in &edges {
        if edge.mg_dl.digits() <= 0 || edge.mmol_l.digits() <= 0 {
            fault(name, "is not above zero", "write both units, each as it is published");
        }
        let mmol_l = edge.mmol_l.to_f64() * 18.0156;
        // Published pairs differ by up to 0.5 mg/dL from the arithmetic (13.9 is 250.4): a slip of a digit by more.
        if (mmol_l - edge.mg_dl.to_f64()).abs() > 2.0 {
            fault(
                name,
                "has two units that are not one concentration",
                "write the published pair, 70 and 3.9",
            );
        }
    }
    for pair in edges.windows(2) {
        if edge_order(&pair[0].1, &pair[1].1) != Some(Ordering::Less) {
            let what = format!("is not above `{}` in both units", pair[0].0);
            // The one of the two that this file states, or else the upper one.
            let upper_is_ours = values.sheet.line_of(pair[1].0) > 1 || values.sheet.line_of(pair[0].0) == 1;
            let name = if upper_is_ours { pair[1].0 } else { pair[0].0 };
            let what =
                if upper_is_ours { what } else { format!("is not below `{}` in both units", pair[1].0) };
            fault(name, &what, "let the edges ascend in mg/dL and in mmol/L");
        }
    }
    if let Some(tight) = tight {
        let inside = edge_order(&t.low_below.value, &tight.value) == Some(Ordering::Less)
            && edge_order(&tight.value, &t.high_above.value) == Some(Ordering::Less);
        if !inside {
            let instead = "write an edge inside the target, or none = true";
            fault("thresholds.tight_high_above", "is not inside the target", instead);
        }
    }
    if extended_hyper == Some(EdgeName::VeryHighAbove) && t.very_high_above.is_none() {
        let instead = "write edge = \"high_above\", or none = true";
        fault("events.extended_hyper", "names an edge that this population lacks", instead);
    }
    good.then_some(())
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
    let mut goals = Vec::new();
    for (name, share) in Share::NAMED {
        let Some(value) = values.optional(&format!("goals.{name}")) else { continue };
        let bound = match (value.has("above_pct"), value.has("below_pct")) {
            (true, false) => Bound::Above(value.whole("above_pct", 0..=100)?),
            (false, true) => Bound::Below(value.whole("below_pct", 0..=100)?),
            _ => {
                return value
                    .contradicts("has not exactly one bound", "write above_pct = 70 or below_pct = 4");
            }
        };
        goals.push(Goal { share, bound: value.sourced(bound) });
    }
    Some(goals)
}
