use super::*;
use crate::report::{paper::Paper, sample::sample};

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

/// What stands behind the last `=` of a formula is the value.
#[test]
fn the_formula_with_its_numbers_gives_the_value() {
    let export = sample();
    for name in
        ["tir_pct", "tbr54_pct", "tbr70_pct", "tar180_pct", "tar250_pct", "mean_mg_dl", "sd_mg_dl", "cv_pct"]
    {
        let explanation = explain(&export, name).unwrap();
        let said = explanation.formula.with_numbers;
        let result: f64 = said.rsplit("= ").next().unwrap().parse().unwrap();
        assert_eq!(Some(result), explanation.value.as_f64(), "{said}");
    }
    // 39, 60, 100, 200, 300 and 101: ten of thirty minutes in the target.
    let tir = explain(&export, "TIR").unwrap();
    assert!(tir.formula.with_numbers.starts_with("100 x 10 min / 30 min = 33.33"), "{:?}", tir.formula);
    let active = explain(&export, "active_span").unwrap();
    assert!(active.formula.with_numbers.starts_with("100 x 30 min / 965 min = "), "{:?}", active.formula);
}

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
fn an_unknown_name_is_answered_with_all() {
    let export = sample();
    let error = explain(&export, "hba1c").unwrap_err().to_string();
    assert!(error.contains("tir_pct") && error.contains("mean_mg_dl"), "{error}");
}
