use proptest::prelude::*;

use super::*;
use crate::{
    calendar::LocalDay,
    glucose::Glucose,
    outcomes,
    policy::{Policy, Sheet, sheet_named},
    reading::{Device, Reading, Route, Standing},
};

const HOUR: i64 = 60 * Instant::MINUTE_MS;

/// A week of the first days of 1970.
fn week() -> Period {
    Zone::named("UTC").unwrap().period(LocalDay(0), LocalDay(6)).unwrap()
}

fn blood_pressure() -> Quantity {
    Quantity::from_sheet(sheet_named("blood-pressure-home").unwrap()).unwrap()
}

fn place(quantity: &Quantity, name: &str) -> usize {
    quantity.components.iter().position(|component| component.name == name).unwrap()
}

fn stated(text: &str, unit: usize) -> Option<Stated> {
    Some(Stated { unit, value: text.parse().unwrap() })
}

/// A home measurement at an hour of the week, in mmHg.
fn measured(hour: i64, systolic: &str, diastolic: &str) -> Measurement {
    let quantity = blood_pressure();
    let mut values = vec![None, None];
    values[place(&quantity, "systolic")] = stated(systolic, 0);
    values[place(&quantity, "diastolic")] = stated(diastolic, 0);
    Measurement { time: Instant(hour * HOUR), values, weight: 1 }
}

/// Four days, morning and evening: the figures are worked out in the test by their school definitions.
const TABLE: [(i64, u32, u32); 8] = [
    (7, 134, 84),
    (20, 135, 84),
    (31, 128, 85),
    (44, 142, 91),
    (55, 88, 59),
    (68, 160, 100),
    (79, 120, 70),
    (92, 133, 60),
];

fn school_mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn school_sd(values: &[f64]) -> f64 {
    let mean = school_mean(values);
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64).sqrt()
}

#[test]
fn a_home_blood_pressure_outcome_comes_from_a_policy_file_by_the_same_engine() {
    let quantity = blood_pressure();
    let rows: Vec<_> =
        TABLE.iter().map(|(hour, s, d)| measured(*hour, &s.to_string(), &d.to_string())).collect();
    let series = summarize(&week(), &rows, &quantity).unwrap();
    assert_eq!((series.n, series.days, series.suffices), (8, 4, false), "twelve measurements are needed");
    assert_eq!(series.rules, "blood-pressure-home/1");
    assert_eq!(quantity.panel_loinc.as_deref(), Some("85354-9"));

    for (name, loinc, column, levels) in [
        // very low, below 90, 90 to below 135, 135 to below 160, from 160
        ("systolic", "8480-6", 1, [0, 1, 4, 2, 1]),
        // below 60, 60 to below 85, 85 to below 100, from 100
        ("diastolic", "8462-4", 2, [0, 1, 4, 2, 1]),
    ] {
        let summary = series.components.iter().find(|summary| summary.name == name).unwrap();
        let values: Vec<f64> =
            TABLE.iter().map(|(_, s, d)| f64::from(if column == 1 { *s } else { *d })).collect();
        assert_eq!((summary.loinc.as_str(), summary.unit.as_str()), (loinc, "mm[Hg]"));
        assert_eq!((summary.n, summary.levels), (8, levels), "{name}");
        assert_eq!(summary.in_range_pct(), 50.0);
        assert_eq!(summary.shown_shares().iter().sum::<u32>(), 10_000);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9 * b.abs();
        assert!(near(summary.mean, school_mean(&values)), "{name}");
        assert!(near(summary.sd.unwrap(), school_sd(&values)), "{name}");
        assert!(near(summary.cv_pct.unwrap(), 100.0 * school_sd(&values) / school_mean(&values)), "{name}");
        let steps: Vec<f64> = values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
        assert!(near(summary.successive_difference.unwrap(), school_mean(&steps)), "{name}");
    }
    // Both values in range: 134/84, 120/70 and 133/60 of eight.
    assert_eq!(series.all_in_range_pct, Some(37.5));
}

#[test]
fn an_edge_belongs_where_its_name_says_in_every_unit() {
    let quantity = blood_pressure();
    let systolic = &quantity.components[place(&quantity, "systolic")];
    let of = |unit: &str| quantity.units.iter().position(|known| known.name == unit).unwrap();
    for (text, unit, expected) in [
        ("89.9", "mm_hg", Level::Low),
        ("90", "mm_hg", Level::Target),
        ("134.999999999", "mm_hg", Level::Target),
        ("135", "mm_hg", Level::High),
        ("159", "mm_hg", Level::High),
        ("160", "mm_hg", Level::VeryHigh),
        ("11.9", "k_pa", Level::Low),
        ("12", "k_pa", Level::Target),
        ("17.9", "k_pa", Level::Target),
        ("18.0", "k_pa", Level::High),
        ("21.3", "k_pa", Level::VeryHigh),
    ] {
        assert_eq!(level(systolic, stated(text, of(unit)).unwrap()), Some(expected), "{text} {unit}");
    }
}

#[test]
fn what_is_outside_or_incomplete_counts_where_it_can() {
    let quantity = blood_pressure();
    let mut half = measured(1, "120", "80");
    half.values[place(&quantity, "diastolic")] = None;
    let outside = measured(7 * 24, "120", "80");
    let series = summarize(&week(), &[half.clone(), half, outside.clone()], &quantity).unwrap();
    assert_eq!((series.n, series.components.len(), series.all_in_range_pct), (1, 1, None));
    assert_eq!(series.components[0].sd, None);
    assert_eq!(summarize(&week(), &[outside], &quantity), None);
}

#[test]
fn a_third_condition_is_a_file() {
    let text = "id = \"weight\"\nversion = 1\ntitle = \"Weight\"\nquantity = \"weight\"\n\
        [units.kg]\nucum = \"kg\"\nfactor = \"1\"\nsource = \"UCUM\"\n\
        [units.lb]\nucum = \"[lb_av]\"\nfactor = \"0.45359237\"\nsource = \"UCUM\"\n\
        [components.body]\nloinc = \"29463-7\"\nsource = \"LOINC\"\n\
        [thresholds.body.high_above]\nkg = \"80\"\nlb = \"176\"\nsource = \"made up\"\n\
        [sufficiency]\ndays = 1\nvalues = 2\nsource = \"made up\"\n";
    let weight = Quantity::from_sheet(&Sheet::parse(text, |_| None).unwrap()).unwrap();
    let row = |hour: i64, text: &str, unit| Measurement {
        time: Instant(hour * HOUR),
        values: vec![stated(text, unit)],
        weight: 1,
    };
    let series = summarize(&week(), &[row(1, "80", 0), row(2, "176", 1), row(3, "177", 1)], &weight).unwrap();
    assert_eq!((series.components[0].levels, series.suffices), ([0, 0, 2, 1, 0], true));
    // 176 lb are 79.83225712 kg and 177 lb are 80.28584949 kg.
    assert!((series.components[0].mean - (80.0 + 79.832_257_12 + 80.285_849_49) / 3.0).abs() < 1e-8);
    let upside_down =
        text.replace("high_above]\nkg = \"80\"\nlb = \"176\"", "high_above]\nkg = \"80\"\npound = \"1\"");
    assert!(Quantity::from_sheet(&Sheet::parse(&upside_down, |_| None).unwrap()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_general_engine_says_of_glucose_what_the_glucose_engine_says(
        values in proptest::collection::vec((40i32..=400, any::<bool>()), 2..60),
    ) {
        let policy = Policy::standard();
        let (mut readings, mut measurements) = (Vec::new(), Vec::new());
        for (n, (value, molar)) in values.iter().enumerate() {
            // No neighbour repeats a value, which would count as a copy; tenths of mmol/L are native.
            let time = Instant(n as i64 * 5 * Instant::MINUTE_MS);
            let (glucose, unit, text) = if *molar {
                (Glucose::mmol_l_tenths(*value), 1, format!("{}.{}", value / 10, value % 10))
            } else {
                (Glucose::mg_dl(*value), 0, value.to_string())
            };
            readings.push(Reading {
                time, offset_minutes: None, tz_ambiguous: false, glucose, standing: Standing::Final,
                route: Route::File, identity: n as u64, made_at: Instant(0), message: 0,
            });
            measurements.push(Measurement { time, values: vec![stated(&text, unit)], weight: 5 });
        }
        let outcome = outcomes::compute(&week(), &[(Device("a".into()), readings)], policy).unwrap();
        let series = summarize(&week(), &measurements, &Quantity::of_glucose(policy)).unwrap();
        let summary = &series.components[0];
        prop_assert_eq!(summary.levels, outcome.minutes.as_array());
        prop_assert_eq!(summary.shown_shares(), outcome.shown_shares());
        prop_assert_eq!((summary.mean, summary.sd, summary.cv_pct), (outcome.mean_mg_dl, outcome.sd_mg_dl, outcome.cv_pct));
        prop_assert_eq!(series.sha256, outcome.policy.sha256);
    }

    #[test]
    fn neither_order_nor_repetition_changes_a_bit(
        rows in proptest::collection::vec((0i64..168, 80u32..180, 50u32..110), 1..40), turn in 0usize..40,
    ) {
        let mut measurements: Vec<_> =
            rows.iter().map(|(hour, s, d)| measured(*hour, &s.to_string(), &d.to_string())).collect();
        let quantity = blood_pressure();
        let first = summarize(&week(), &measurements, &quantity);
        let turn = turn % measurements.len();
        measurements.rotate_left(turn);
        measurements.extend_from_within(..);
        prop_assert_eq!(first, summarize(&week(), &measurements, &quantity));
    }
}
