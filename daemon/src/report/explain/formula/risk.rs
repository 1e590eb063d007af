//! The formulas of what goes beyond mean and ranges: tight range, risk, spread by other measures, percentiles, events.

use clinical::{
    events::EventKind,
    metrics::{PER_CENT, risk as kovatchev},
    outcome::Outcome,
};

use super::{About, Formula, Rule, over_minutes, rule};
use crate::report::{explain::kind_name, export::Export};

const TIGHT: &str = "unconfirmed: 70 to 140 mg/dL, from memory of the publications";
const KLONOFF: &str = "Klonoff 2023 (J Diabetes Sci Technol 17:1226)";
const KOVATCHEV: &str = "Kovatchev 1997 and 2006 (Diabetes Care 20:1655, 29:2433)";
/// A formula before its rules: title, unit, in words, with numbers, source.
type Told = (&'static str, &'static str, &'static str, String, &'static str);

/// The formula of the number that the object calls `name`; `None` for one that is none of these.
pub(super) fn formula(export: &Export, name: &str) -> Option<Formula> {
    let outcome = &export.outcome;
    let rules = |names: &[&str]| names.iter().map(|name| rule(export.policy, name)).collect();
    let tight = ["thresholds.low_below", "thresholds.tight_high_above"];
    let (told, rules, about): (Told, Vec<Rule>, About) = if let Some(told) = tight_range(outcome, name) {
        (told, rules(&tight), About::Tight)
    } else if let Some(told) = gri(outcome, name) {
        let edges = ["very_low_below", "low_below", "high_above", "very_high_above"];
        (
            told,
            rules(&edges.map(|edge| format!("thresholds.{edge}")).each_ref().map(String::as_str)),
            About::All,
        )
    } else if let Some(told) = spread(export, name).or_else(|| percentile(export, name)) {
        (told, rules(&["factor"]), About::All)
    } else {
        let (told, names) = events(outcome, name)?;
        (told, rules(&names), About::All)
    };
    let (title, unit, general, with_numbers, source) = told;
    Some(Formula {
        title: title.to_owned(),
        unit,
        general: general.to_owned(),
        with_numbers,
        source,
        rules,
        about,
    })
}

fn tight_range(outcome: &Outcome, name: &str) -> Option<Told> {
    let total = outcome.minutes.total();
    let of = |say: fn(u64, u64) -> String| {
        let none = || "this policy has no such range".to_owned();
        outcome.titr.map_or_else(none, |titr| say(titr.minutes, total))
    };
    match name {
        "titr_minutes" => Some((
            "time in tight range",
            "min",
            "the sum of the minutes that the readings of the range cover",
            of(|minutes, _| format!("{minutes} min")),
            TIGHT,
        )),
        "titr_pct" => Some((
            "time in tight range, both ends included",
            "%",
            "100 x minutes of readings in the tight range / minutes of all readings that count",
            of(|minutes, total| {
                format!("100 x {minutes} min / {total} min = {}", 100.0 * minutes as f64 / total as f64)
            }),
            TIGHT,
        )),
        _ => None,
    }
}

fn gri(outcome: &Outcome, name: &str) -> Option<Told> {
    let [very_low, low, _, high, very_high] = outcome.shares_pct();
    let (title, general, said) = match name {
        "gri_hypo_component" => (
            "part of the glycemia risk index below the target",
            "very low + 0.8 x low, each in % of the time",
            format!("{very_low} + 0.8 x {low}"),
        ),
        "gri_hyper_component" => (
            "part of the glycemia risk index above the target",
            "very high + 0.5 x high, each in % of the time",
            format!("{very_high} + 0.5 x {high}"),
        ),
        "gri_value" | "gri" => (
            "glycemia risk index",
            "the lesser of 100 and 3.0 x very low + 2.4 x low + 1.6 x very high + 0.8 x high, each in % of the time",
            format!(
                "the lesser of 100 and 3.0 x {very_low} + 2.4 x {low} + 1.6 x {very_high} + 0.8 x {high}"
            ),
        ),
        _ => return None,
    };
    let value = outcome.gri.map(|gri| match name {
        "gri_hypo_component" => gri.hypo_component,
        "gri_hyper_component" => gri.hyper_component,
        _ => gri.value,
    });
    let with_numbers = match value {
        Some(value) => format!("{said} = {value}"),
        None => "none: the index is defined on two levels above the target".to_owned(),
    };
    Some((title, "", general, with_numbers, KLONOFF))
}

fn spread(export: &Export, name: &str) -> Option<Told> {
    let outcome = &export.outcome;
    let mean = outcome.mean_mg_dl;
    let total = outcome.minutes.total();
    let risk = |title, general, low: bool, value: f64| {
        let of =
            |mg_dl| Some(kovatchev(mg_dl)).filter(|(is_low, _)| *is_low == low).map_or(0.0, |(_, risk)| risk);
        let sum = over_minutes(export, of);
        Some((title, "", general, format!("{sum} x min / {total} min = {value}"), KOVATCHEV))
    };
    match name {
        "lbgi" => risk(
            "low blood glucose index",
            "f = 1.509 x (ln(mg/dL)^1.084 - 5.381); the sum of 10 f^2 x minutes where f is below 0 / the minutes of all readings",
            true,
            outcome.lbgi,
        ),
        "hbgi" => risk(
            "high blood glucose index",
            "f = 1.509 x (ln(mg/dL)^1.084 - 5.381); the sum of 10 f^2 x minutes where f is above 0 / the minutes of all readings",
            false,
            outcome.hbgi,
        ),
        "j_index" => Some((
            "J-index",
            "",
            "0.001 x (mean + standard deviation)^2, both in mg/dL",
            outcome.sd_mg_dl.zip(outcome.j_index).map_or_else(
                || "none: it takes two readings".to_owned(),
                |(sd, j_index)| format!("0.001 x ({mean} + {sd})^2 = {j_index}"),
            ),
            "Wojcicki 1995 (Horm Metab Res 27:41; unconfirmed)",
        )),
        "modd" | "modd_mean_mg_dl" | "modd_pairs" => Some((
            if name == "modd_pairs" { "pairs of readings a day apart" } else { "mean of daily differences" },
            if name == "modd_pairs" { "" } else { "mg/dL" },
            "the mean distance between a reading and the one 24 hours before it, which may lie half an interval off; readings without such a one are left out",
            outcome.modd.map_or_else(
                || "none: no two readings are a day apart".to_owned(),
                |modd| match name {
                    "modd_pairs" => format!("{} pairs", modd.pairs),
                    _ => format!("over {} pairs = {}", modd.pairs, modd.mean_mg_dl),
                },
            ),
            "Service 1980 (Diabetes 29:1; unconfirmed)",
        )),
        _ => None,
    }
}

fn percentile(export: &Export, name: &str) -> Option<Told> {
    let asked = name.strip_prefix("percentiles_mg_dl_p")?;
    let per_cent = PER_CENT.iter().find(|per_cent| per_cent.to_string() == asked)?;
    let step = export.selection.common_minutes();
    let places = export.outcome.minutes.total() / u64::from(step);
    let place = places.saturating_sub(1) as f64 * f64::from(*per_cent) / 100.0;
    Some((
        "percentile of glucose",
        "mg/dL",
        "of the ascending values, each once for every common step of the sensors' intervals that it covers, counted from 0, the one at the place (steps - 1) x per cent / 100; between two places by proportion (type 7)",
        format!(
            "{places} steps of {step} min; place {} x {per_cent} / 100 = {place}",
            places.saturating_sub(1)
        ),
        "Hyndman and Fan 1996 (Am Stat 50:361)",
    ))
}

/// The number of events of one kind or of all, and the names of the rules that make them.
fn events(outcome: &Outcome, name: &str) -> Option<(Told, Vec<&'static str>)> {
    let short = name.strip_prefix("events_")?;
    let asked = short.strip_prefix("counts_").unwrap_or(short);
    let kind = EventKind::ALL.into_iter().find(|kind| kind_name(*kind).replace('-', "_") == asked);
    let mut names = vec!["gaps.short", "gaps.long"];
    names.extend(match kind {
        Some(EventKind::HypoExtended) => &["events.hypo", "events.extended_hypo"][..],
        Some(EventKind::HyperExtended) => &["events.hyper", "events.extended_hyper"],
        Some(EventKind::HypoLevel2) => &["thresholds.very_low_below", "events.hypo", "events.level_two_end"],
        Some(EventKind::HyperLevel2) => &["thresholds.very_high_above", "events.hyper"],
        Some(kind) if kind.is_hypo() => &["thresholds.low_below", "events.hypo"],
        Some(_) => &["thresholds.high_above", "events.hyper"],
        None => &["events.hypo", "events.hyper"],
    });
    let count = kind.and_then(|kind| outcome.events.counts.get(&kind));
    let with_numbers = match (asked, kind, count) {
        ("list_n", ..) => format!("{} events", outcome.events.list.len()),
        ("candidates_n", ..) => format!("{} single readings", outcome.events.candidates.len()),
        (_, Some(_), Some(count)) => format!("{count} events"),
        (_, Some(_), None) => "none: this policy has no such range".to_owned(),
        _ => return None,
    };
    let general = match (asked, kind) {
        ("candidates_n", _) => "single readings as long as an event's least duration: told, never counted",
        (_, Some(EventKind::HypoLevel1Only | EventKind::HyperLevel1Only)) => {
            "events of level 1 within which no event of level 2 begins"
        }
        _ => {
            "an event begins with its least duration past the edge and ends with as long a time back; a long gap cuts it, and a gap gives it no minute"
        }
    };
    let title = if kind.is_some() { "number of events" } else { "number of all events" };
    Some((
        (title, "", general, with_numbers, "Battelino 2023 (Lancet Diabetes Endocrinol 11:42; unconfirmed)"),
        names,
    ))
}
