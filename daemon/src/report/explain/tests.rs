use super::*;
use crate::report::{
    export::export,
    paper::Paper,
    sample::{fortnight, question, sample},
};

#[test]
fn every_number_of_the_object_can_be_asked_for() {
    let export = sample();
    let all = numbers(&export);
    assert!(all.len() > 25, "{all:?}");
    for (name, value) in &all {
        let explanation = explain(&export, name).unwrap();
        assert_eq!((&explanation.metric, &explanation.value), (name, value));
        assert!(!explanation.formula.general.is_empty() && !explanation.formula.source.is_empty());
        assert!(!explanation.formula.rules.is_empty() || value.is_null(), "{name}");
    }
}

/// The value of what stands before the last `=`: sums of products and quotients, units left out.
fn evaluated(said: &str) -> f64 {
    let left = said.rsplit_once(" = ").unwrap().0;
    let left = [" mg/dL", " min", " of the time"]
        .iter()
        .fold(left.replace("mg/dL x min", "mg/dL"), |t, unit| t.replace(unit, ""));
    let (left, least) = match left.strip_prefix("the lesser of 100 and ") {
        Some(rest) => (rest.to_owned(), true),
        None => (left, false),
    };
    let (left, root) = match left.strip_prefix("square root of: ") {
        Some(rest) => (rest.to_owned(), true),
        None => (left, false),
    };
    let product = |term: &str| {
        let mut words = term.split(' ');
        let first: f64 = words.next().unwrap().parse().unwrap();
        let rest: Vec<&str> = words.collect();
        rest.chunks(2).fold(first, |value, pair| {
            let other: f64 = pair[1].parse().unwrap();
            if pair[0] == "x" { value * other } else { value / other }
        })
    };
    let sum: f64 =
        left.trim_end_matches(" x").split(" + ").map(|term| product(&term.replace(" x / ", " / "))).sum();
    let sum = if root { sum.sqrt() } else { sum };
    if least { sum.min(100.0) } else { sum }
}

/// The numbers of a formula, put together, are the value: they come from the readings and not from the value.
#[test]
fn the_formula_with_its_numbers_gives_the_value() {
    let fortnight = export("a.csv", fortnight().as_bytes(), &question()).unwrap();
    for (export, name) in [sample(), fortnight].iter().flat_map(|export| NAMES.map(|name| (export, name))) {
        let explanation = explain(export, name).unwrap();
        let (said, value) = (explanation.formula.with_numbers, explanation.value.as_f64().unwrap());
        let stated: f64 = said.rsplit("= ").next().unwrap().parse().unwrap();
        assert_eq!(stated, value, "{said}");
        let evaluated = evaluated(&said);
        assert!((evaluated - value).abs() <= 1e-9 * value.abs().max(1e-9), "{name}: {said} is {evaluated}");
    }
    // 39, 60, 100, 200, 300 and 101: ten of thirty minutes in the target.
    let export = sample();
    let tir = explain(&export, "TIR").unwrap();
    assert!(tir.formula.with_numbers.starts_with("100 x 10 min / 30 min = 33.33"), "{:?}", tir.formula);
    let active = explain(&export, "active_span").unwrap();
    assert!(active.formula.with_numbers.starts_with("100 x 30 min / 965 min = "), "{:?}", active.formula);
    let mean = explain(&export, "mean").unwrap().formula.with_numbers;
    assert!(mean.starts_with("4000 mg/dL x min / 30 min = "), "{mean}");
}

/// Numbers that are explained by sums of numbers.
const NAMES: [&str; 15] = [
    "tir_pct",
    "tbr54_pct",
    "tbr70_pct",
    "tar180_pct",
    "tar250_pct",
    "mean_mg_dl",
    "sd_mg_dl",
    "cv_pct",
    "titr_pct",
    "gri_value",
    "gri_hypo_component",
    "gri_hyper_component",
    "lbgi",
    "hbgi",
    "active_span_pct",
];

#[test]
fn the_readings_behind_a_number_are_those_of_its_range() {
    let export = sample();
    let values = |name: &str| {
        let object = explain(&export, name).unwrap().json();
        let values: Vec<String> = object["readings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["value"].as_str().unwrap().to_owned())
            .collect();
        values
    };
    assert_eq!(values("tbr"), ["<40", "60"]);
    assert_eq!(values("tar250"), ["300"]);
    assert_eq!(values("mean").len(), 6);
}

#[test]
fn exclusions_rules_and_sources_are_told() {
    let mut export = sample();
    export.outcome.excluded = [(Exclusion::Conflict, 2)].into();
    let said = text(&explain(&export, "tir").unwrap(), Paper::new(Some(80), false));
    for part in [
        "a.csv: tir_pct = 33.33",
        "left out  conflict 2, unreadable-row 1",
        "rule      from 70 mg/dL, or 3.9 mmol/L",
        "from: Battelino 2019",
        "policy    standard/1, SHA-256",
        "behind it 2 of 5 min",
    ] {
        assert!(said.contains(part), "{part:?} in\n{said}");
    }
    let gmi = text(&explain(&export, "gmi").unwrap(), Paper::new(Some(80), false));
    assert!(
        gmi.contains("gmi_pct = none") && gmi.contains("withheld: the period has 2 of the 14 days"),
        "{gmi}"
    );
}

#[test]
fn an_unknown_name_is_answered_with_what_is_like_it_else_with_all() {
    let export = sample();
    let error = |name| explain(&export, name).unwrap_err().to_string();
    let all = error("hba1c");
    assert!(all.contains("tir_pct") && all.contains("mean_mg_dl"), "{all}");
    assert_eq!(error("meann_mg_dl"), "no number is called \"meann_mg_dl\"; did you mean mean_mg_dl?");
    let like = error("hypo");
    assert!(like.contains("events_counts_hypo_level_1, ") && !like.contains("tir_pct"), "{like}");
}

/// What no function but the last knows is a count that needs no formula: every other number has one.
#[test]
fn no_metric_is_left_without_a_formula_of_its_own() {
    let export = export("a.csv", fortnight().as_bytes(), &question()).unwrap();
    let bare: Vec<String> = numbers(&export)
        .into_keys()
        .filter(|name| explain(&export, name).unwrap().formula.source == "this program")
        .collect();
    for metric in [
        "titr",
        "gri",
        "lbgi",
        "hbgi",
        "j_index",
        "modd",
        "percentiles",
        "events",
        "minutes",
        "parts_night_metrics_gri",
    ] {
        assert!(bare.iter().all(|name| !name.starts_with(metric)), "{metric} in {bare:?}");
    }
}

#[test]
fn a_number_of_events_names_them_and_the_rules_that_made_them() {
    let export = export("a.csv", fortnight().as_bytes(), &question()).unwrap();
    let names = numbers(&export);
    let mut told = 0;
    for name in names.keys().filter(|name| name.starts_with("events_counts_")) {
        let explanation = explain(&export, name).unwrap();
        assert_eq!(explanation.value.as_u64(), Some(explanation.events.len() as u64), "{name}");
        assert!(explanation.formula.rules.iter().any(|rule| rule.rule.starts_with("events.h")), "{name}");
        told += explanation.events.len();
    }
    assert!(told > 10, "{told}");
    let said = text(&explain(&export, "events_counts_hypo-level-2").unwrap(), Paper::new(Some(80), false));
    assert!(said.contains("nadir ") && said.contains("rule      thresholds.very_low_below"), "{said}");
}

#[test]
fn a_number_of_the_nights_is_about_the_readings_of_the_night() {
    let export = export("a.csv", fortnight().as_bytes(), &question()).unwrap();
    let night = explain(&export, "parts_night_metrics_mean_mg_dl").unwrap();
    let metrics = export.parts.as_ref().unwrap().night.metrics.as_ref().unwrap();
    assert_eq!((night.members.len() as u64, night.value.as_f64()), (metrics.n, Some(metrics.mean_mg_dl)));
    assert!(metrics.n < export.outcome.n / 3);
    for (name, count) in &names(&export, "parts_night_events_") {
        assert_eq!(explain(&export, name).unwrap().events.len() as u64, *count, "{name}");
    }
    let tight = explain(&export, "titr_pct").unwrap();
    let minutes: u64 = tight.members.iter().map(|counted| u64::from(counted.minutes)).sum();
    assert_eq!(Some(minutes), export.outcome.titr.map(|titr| titr.minutes));
}

/// Three readings of 15 minutes at 60 and one of 5 minutes at 120 are nine steps and one: the median is 60.
#[test]
fn a_percentile_of_mixed_sensors_is_explained_in_steps_of_their_common_interval() {
    let header = crate::report::sample::CLARITY.lines().next().unwrap();
    let mut text = format!("{header}\n");
    for n in 0..8 {
        text += &format!("1,2025-03-01T{:02}:{:02}:00,EGV,slow,60,{},A\n", n / 4, n % 4 * 15, n * 900);
        text += &format!("1,2025-03-01T08:{:02}:00,EGV,quick,120,{},B\n", n * 5, n * 300);
    }
    let export = export("a.csv", text.as_bytes(), &question()).unwrap();
    // 8 x 15 / 5 = 24 steps and 8.
    let median = explain(&export, "p50").unwrap();
    assert_eq!(median.value.as_f64(), Some(60.0));
    assert_eq!(median.formula.with_numbers, "32 steps of 5 min; place 31 x 50 / 100 = 15.5");
}

/// The counts whose names begin so.
fn names(export: &Export, with: &str) -> Vec<(String, u64)> {
    let all = numbers(export).into_iter().filter(|(name, _)| name.starts_with(with));
    let counts: Vec<(String, u64)> = all.filter_map(|(name, value)| Some((name, value.as_u64()?))).collect();
    assert!(counts.iter().any(|(_, count)| *count > 0), "{counts:?}");
    counts
}
