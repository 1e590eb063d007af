//! How a value is written does not decide where it counts: whole mg/dL shown as mmol/L by any factor in use, and mmol/L
//! with zeros behind it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(unreachable_pub, reason = "a module of one test binary")]

mod source;

use clinical::{
    calendar::{LocalDay, Zone},
    decimal::Decimal,
    events::EventKind,
    glucose::{Glucose, Measured, Unit as GlucoseUnit},
    outcome::Outcome,
    outcomes::compute,
    policy::Policy,
    reading::{Device, Instant, Reading, Route, Standing},
};
use proptest::prelude::*;
use source::{Point, Source, Unit, streams};

const MINUTE: i64 = Instant::MINUTE_MS;
/// mg/dL per mmol/L, as exporters have it.
const FACTORS: [f64; 5] = [18.0, 18.0156, 18.01559, 18.018, 18.0182];
const PLACES: std::ops::RangeInclusive<usize> = 2..=5;
/// The policy's factor is 18.0156; 18 and 18.0182 are off by 0.087 % at the most.
const FACTOR_OFF: f64 = 0.000_9;

/// The outcome of values five minutes apart, under `policy`.
fn outcome(values: impl Iterator<Item = Glucose>, policy: &Policy) -> Outcome {
    let readings: Vec<_> = values
        .zip(0..)
        .map(|(glucose, n)| Reading {
            time: Instant(n * 5 * MINUTE),
            offset_minutes: None,
            tz_ambiguous: false,
            glucose,
            standing: Standing::Final,
            route: Route::Hl7v2,
            identity: n as u64 + 1,
            made_at: Instant(0),
            message: 0,
        })
        .collect();
    let period = Zone::named("UTC").unwrap().period(LocalDay(0), LocalDay(6)).unwrap();
    compute(&period, &[(Device("a sensor".to_owned()), readings)], policy).unwrap()
}

/// Whole mg/dL as an exporter shows them in mmol/L.
fn shown(mg_dl: i32, factor: f64, places: usize) -> Glucose {
    let value: Decimal = format!("{:.places$}", f64::from(mg_dl) / factor).parse().unwrap();
    Glucose { measured: Measured::Exact(value), unit: GlucoseUnit::MmolL }
}

/// What must not differ: minutes of the ranges and of the tight one, GRI, and the events with their times.
fn decided(outcome: &Outcome) -> String {
    let events: Vec<_> = outcome.events.list.iter().map(|e| (e.kind, e.start, e.end, e.truncated)).collect();
    format!(
        "{:?} {:?} {:?} {:?} {events:?}",
        outcome.minutes, outcome.titr, outcome.gri, outcome.events.counts
    )
}

#[test]
fn every_whole_number_counts_where_it_did_by_every_factor_places_and_population() {
    for policy in Policy::built_in() {
        let native = outcome((20..=600).map(Glucose::mg_dl), policy);
        for factor in FACTORS {
            for places in PLACES {
                let molar = outcome((20..=600).map(|mg_dl| shown(mg_dl, factor, places)), policy);
                let case = format!("{} / {factor}, {places} places", policy.mark().id);
                assert_eq!(decided(&molar), decided(&native), "{case}");
                assert_eq!((molar.units.mg_dl, molar.units.mmol_l), (0, 581), "{case}");
            }
        }
    }
}

/// One decimal is a native value to the engine: what the exporter rounded away is lost, and nothing is invented.
#[test]
fn one_decimal_is_classified_as_it_stands() {
    for (mg_dl, factor, text, level) in [
        (69, 18.018, "3.8", [0, 5, 0, 0, 0]),
        (70, 18.018, "3.9", [0, 0, 5, 0, 0]),
        (180, 18.018, "10.0", [0, 0, 5, 0, 0]),
        (181, 18.018, "10.0", [0, 0, 5, 0, 0]),
        (181, 18.0, "10.1", [0, 0, 0, 5, 0]),
        (251, 18.0, "13.9", [0, 0, 0, 5, 0]),
        (252, 18.0, "14.0", [0, 0, 0, 0, 5]),
    ] {
        let value = shown(mg_dl, factor, 1);
        assert_eq!(value.to_string(), text, "{mg_dl} / {factor}");
        let found = outcome(std::iter::once(value), Policy::standard());
        assert_eq!((found.minutes.as_array(), found.units.re_expressed), (level, 0), "{mg_dl} / {factor}");
    }
}

/// In mmol/L of one decimal: the edges, limits where a source has them, and what lies beside.
const MOLAR: [&str; 16] = [
    "2.2", "2.9", "3.0", "3.8", "3.9", "5.0", "7.8", "7.9", "10.0", "10.1", "13.9", "14.0", "22.2", "27.8",
    "4.0", "6.1",
];

/// Zeros behind a value, by every source that states mmol/L: not a bit of the outcome differs.
#[test]
fn zeros_behind_a_value_change_no_bit_by_any_source() {
    let zone = Zone::named("UTC").unwrap();
    let day: LocalDay = "2025-06-10".parse().unwrap();
    let period = zone.period(day, day).unwrap();
    let of_molar =
        Source::OF_INSTANTS.into_iter().chain(Source::OF_CLOCKS).filter(|source| *source != Source::XDrip);
    for source in of_molar {
        let read = |zeros: usize| {
            let point = |n: usize| Point {
                at: Instant(period.start.0 + n as i64 * 5 * MINUTE),
                offset_minutes: 0,
                value: format!("{}{}", MOLAR[n % MOLAR.len()], "0".repeat(zeros)),
            };
            let points: Vec<_> = (0..200).map(point).collect();
            let readings = source.read(&source.write(&points, Unit::MmolL), "UTC");
            compute(&period, &streams(readings), Policy::standard()).unwrap()
        };
        let native = read(0);
        assert_eq!((native.n, native.units.mmol_l, native.units.re_expressed), (200, 200, 0), "{source:?}");
        assert!(native.minutes.as_array().iter().all(|minutes| *minutes > 0), "{source:?}");
        for zeros in 1..=4 {
            // The text of a float that reads back as itself: equal texts are equal bits.
            assert_eq!(format!("{:?}", read(zeros)), format!("{native:?}"), "{source:?}, {zeros} zeros");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_curve_shown_in_mmol_counts_and_has_its_events_where_it_did(
        // Runs of one value or near it, so that there are events.
        runs in prop::collection::vec((35i32..420, 1usize..12, -3i32..=3), 1..40),
        factor in prop::sample::select(FACTORS.to_vec()),
        places in prop::collection::vec(PLACES, 480),
    ) {
        let values: Vec<i32> =
            runs.iter().flat_map(|(value, n, slope)| (0..*n as i32).map(move |k| (value + slope * k).max(20))).collect();
        let native = outcome(values.iter().map(|mg_dl| Glucose::mg_dl(*mg_dl)), Policy::standard());
        let molar = values.iter().zip(&places).map(|(mg_dl, places)| shown(*mg_dl, factor, *places));
        let molar = outcome(molar, Policy::standard());
        prop_assert_eq!(decided(&molar), decided(&native));
        // The mean is of the values as they were sent, by the policy's one factor; two decimals are 0.09 mg/dL.
        let most = native.mean_mg_dl * FACTOR_OFF + 0.1;
        prop_assert!((molar.mean_mg_dl - native.mean_mg_dl).abs() <= most, "{} {}", molar.mean_mg_dl, native.mean_mg_dl);
        prop_assert!(molar.events.counts[&EventKind::HypoLevel1] == native.events.counts[&EventKind::HypoLevel1]);
    }
}
