use std::collections::BTreeMap;

use proptest::{prelude::*, sample::select};

use super::*;
use crate::{
    calendar::LocalDay,
    chunk::Chunk,
    decimal::Decimal,
    glucose::{Glucose, Measured, Unit},
    outcome::{Exclusion, Gaps, UnitMix},
    reading::{Route, Standing},
};

const MINUTE: i64 = Instant::MINUTE_MS;

type Streams = Vec<(Device, Vec<Reading>)>;

fn period(zone: &str, first: &str, last: &str) -> Period {
    Zone::named(zone).unwrap().period(first.parse().unwrap(), last.parse().unwrap()).unwrap()
}

/// The first `days` days of 1970.
fn days(days: i32) -> Period {
    Zone::named("UTC").unwrap().period(LocalDay(0), LocalDay(days - 1)).unwrap()
}

fn at(minute: i64, glucose: Glucose) -> Reading {
    Reading {
        time: Instant(minute * MINUTE),
        offset_minutes: None,
        tz_ambiguous: false,
        glucose,
        standing: Standing::Final,
        route: Route::Hl7v2,
        identity: minute as u64,
        made_at: Instant(0),
        message: 0,
    }
}

/// A device with `count` readings of one value, `step` minutes apart from minute `start` on.
fn series(name: &str, start: i64, step: i64, count: i64, value: i32) -> (Device, Vec<Reading>) {
    let readings = (0..count).map(|n| at(start + n * step, Glucose::mg_dl(value)));
    (Device(name.to_owned()), readings.collect())
}

/// One device with these values, five minutes apart from minute 0 on.
fn values(values: &[Glucose]) -> Streams {
    let readings = values.iter().zip(0..).map(|(glucose, n)| at(5 * n, *glucose));
    vec![(Device("a".to_owned()), readings.collect())]
}

fn outcome(period: &Period, streams: &[(Device, Vec<Reading>)]) -> Outcome {
    compute(period, streams, Policy::standard()).unwrap()
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

#[test]
fn a_window_without_a_counted_reading_has_no_outcome() {
    let retracted = Reading { standing: Standing::Retracted, ..at(0, Glucose::mg_dl(100)) };
    for readings in [vec![], vec![retracted], vec![at(1440, Glucose::mg_dl(100))]] {
        assert_eq!(compute(&days(1), &[(Device(String::new()), readings)], Policy::standard()), None);
    }
    assert_eq!(compute(&days(1), &[], Policy::standard()), None);
}

#[test]
fn the_five_ranges_are_counted_in_both_units() {
    let mg_dl = [53, 54, 69, 70, 180, 181, 250, 251].map(Glucose::mg_dl);
    let mmol_l = [29, 30, 38, 39, 100, 101, 139, 140].map(Glucose::mmol_l_tenths);
    for stated in [mg_dl, mmol_l] {
        let minutes = outcome(&days(1), &values(&stated)).minutes;
        assert_eq!(minutes.as_array(), [5, 10, 10, 10, 5]);
    }
}

#[test]
fn mean_sd_and_cv_are_those_of_the_textbook() {
    // Differences −30, 0, 30: SD √(1800/2) = 30; CV 30/110.
    let result = outcome(&days(1), &values(&[80, 110, 140].map(Glucose::mg_dl)));
    assert_eq!((result.mean_mg_dl, result.sd_mg_dl), (110.0, Some(30.0)));
    assert!(near(result.cv_pct.unwrap(), 300.0 / 11.0));
    let single = outcome(&days(1), &values(&[Glucose::mg_dl(100)]));
    assert_eq!((single.mean_mg_dl, single.sd_mg_dl, single.cv_pct), (100.0, None, None));
    let flat = outcome(&days(1), &values(&[Glucose::mmol_l_tenths(55); 4]));
    assert!(near(flat.mean_mg_dl, 99.0858) && flat.sd_mg_dl == Some(0.0));
}

#[test]
fn limits_count_in_their_range_and_enter_the_mean_one_step_beyond() {
    let limit = |measured| Glucose { measured, unit: Unit::MgDl };
    let low = limit(Measured::Below(Decimal::whole(40)));
    let high = limit(Measured::Above(Decimal::whole(400)));
    let open = limit(Measured::Below(Decimal::whole(70)));
    // 39 + 401 + 69 + 91 = 600
    let result = outcome(&days(1), &values(&[low, high, open, Glucose::mg_dl(91)]));
    assert_eq!(result.minutes.as_array(), [5, 5, 5, 0, 5]);
    assert_eq!(result.mean_mg_dl, 150.0);
    assert_eq!((result.censored_low, result.censored_high, result.low_level_unknown), (2, 1, 1));
}

#[test]
fn sensors_of_1_5_and_15_minutes_add_up_in_minutes() {
    let streams = [series("a", 0, 15, 4, 60), series("b", 60, 5, 12, 100), series("c", 120, 1, 60, 200)];
    let result = outcome(&days(1), &streams);
    assert_eq!(result.minutes.as_array(), [0, 60, 60, 60, 0]);
    assert_eq!((result.n, result.mean_mg_dl, result.active_span_pct), (76, 120.0, 100.0));
    // Weighted mean of squares (60² + 20² + 80²)/3 = 10400/3, times 76/75.
    assert!(near(result.sd_mg_dl.unwrap(), (10400.0f64 / 3.0 * 76.0 / 75.0).sqrt()));
}

#[test]
fn days_of_23_and_25_hours_have_their_own_denominator() {
    for (date, count, active) in [
        ("2025-03-09", 276, 100.0),
        ("2025-03-09", 138, 50.0),
        ("2025-11-02", 300, 100.0),
        ("2025-11-02", 288, 96.0),
    ] {
        let day = period("America/New_York", date, date);
        let streams = [series("a", day.start.0 / MINUTE, 5, count, 100)];
        let result = outcome(&day, &streams);
        assert_eq!(
            (result.n as i64, result.days_of_wear, result.active_window_pct),
            (count, 1, active),
            "{date}"
        );
    }
}

#[test]
fn days_of_wear_are_local_days() {
    // Two readings of one UTC day, on both sides of midnight in New York (05:00 UTC).
    let window = period("America/New_York", "2025-01-01", "2025-01-14");
    let start = window.start.0 / MINUTE + 1440;
    let streams = [(Device(String::new()), [start - 5, start].map(|m| at(m, Glucose::mg_dl(100))).to_vec())];
    assert_eq!(outcome(&window, &streams).days_of_wear, 2);
}

#[test]
fn gmi_needs_14_days_and_70_per_cent_of_them() {
    use Insufficiency::{TooFewDays, TooLittleWear};
    // 70 % of 14 days are 14 112 minutes, of 13 days 13 104.
    for (window, count, reasons) in [
        (14, 14_112, vec![]),
        (14, 14_111, vec![TooLittleWear]),
        (13, 13_104, vec![TooFewDays]),
        (13, 13_103, vec![TooFewDays, TooLittleWear]),
        (15, 14_112, vec![TooLittleWear]),
    ] {
        let result = outcome(&days(window), &[series("a", 0, 1, count, 154)]);
        assert_eq!(result.insufficient, reasons, "{count} of {window} days");
        assert_eq!(result.gmi_pct.is_some(), reasons.is_empty());
    }
    let result = outcome(&days(14), &[series("a", 0, 5, 4032, 154)]);
    assert!(near(result.gmi_pct.unwrap(), 6.99368));
}

#[test]
fn a_gap_is_long_above_45_minutes_without_a_reading() {
    // Covered: 0 to 10, 60 to 65 (50 minutes missing), 110 to 115 (45 missing).
    let readings = [0, 5, 60, 110].map(|minute| at(minute, Glucose::mg_dl(100 + minute as i32)));
    // A device of 5 minutes: more such readings, so that the median says so.
    let dense = (0..10).map(|n| at(115 + 5 * n, Glucose::mg_dl(120)));
    let streams = [(Device(String::new()), readings.into_iter().chain(dense).collect())];
    let result = outcome(&days(1), &streams);
    assert_eq!(result.gaps, Gaps { long: 1, longest_minutes: 50 });
    // 14 readings are 70 minutes of the 165 from the first to the end of the last.
    assert!(near(result.active_span_pct, 100.0 * 70.0 / 165.0));
    assert!(near(result.active_window_pct, 100.0 * 70.0 / 1440.0));
}

#[test]
fn units_exclusions_and_ambiguity_are_told() {
    let re_expressed = Glucose { measured: Measured::Exact("3.88552".parse().unwrap()), unit: Unit::MmolL };
    let mut streams = values(&[Glucose::mg_dl(100), Glucose::mmol_l_tenths(55), re_expressed]);
    streams[0].1[0].tz_ambiguous = true;
    streams[0].1.push(Reading { standing: Standing::Retracted, ..at(30, Glucose::mg_dl(100)) });
    let result = outcome(&days(1), &streams);
    assert_eq!(result.units, UnitMix { mg_dl: 1, mmol_l: 2, re_expressed: 1 });
    assert_eq!(result.minutes.target, 15);
    assert_eq!(result.tz_ambiguous, 1);
    assert_eq!(result.excluded, BTreeMap::from([(Exclusion::Retracted, 1)]));
    assert_eq!(result.policy, Policy::standard().mark());
}

#[test]
fn absurd_numbers_give_an_outcome_without_overflow() {
    let huge =
        |digits| Glucose { measured: Measured::Exact(Decimal::new(digits, 0).unwrap()), unit: Unit::MmolL };
    let result = outcome(&days(1), &values(&[huge(Decimal::MAX_DIGITS), huge(-Decimal::MAX_DIGITS)]));
    assert_eq!((result.mean_mg_dl, result.cv_pct), (0.0, None));
    assert!(near(result.sd_mg_dl.unwrap(), 2f64.sqrt() * 1e6));
}

fn any_glucose() -> impl Strategy<Value = Glucose> {
    let value = prop_oneof![
        (20i64..450).prop_map(|n| (Decimal::new(n, 0).unwrap(), Unit::MgDl)),
        (11i64..250).prop_map(|n| (Decimal::new(n, 1).unwrap(), Unit::MmolL)),
        (111_011i64..2_500_000).prop_map(|n| (Decimal::new(n, 5).unwrap(), Unit::MmolL)),
    ];
    (value, 0..10).prop_map(|((value, unit), kind)| {
        let measured = match kind {
            0 => Measured::Below(value),
            1 => Measured::Above(value),
            _ => Measured::Exact(value),
        };
        Glucose { measured, unit }
    })
}

/// Readings of three devices over three days with everything that happens to them: versions, copies,
/// routes, scans, retractions, overlaps.
fn any_reading() -> impl Strategy<Value = (u8, Reading)> {
    let standing = prop_oneof![8 => Just(Standing::Final), 1 => Just(Standing::Corrected), 1 => Just(Standing::Retracted)];
    let route = select(vec![Route::Fhir, Route::Hl7v2, Route::Hl7v2, Route::File, Route::Scan]);
    // Most of them close together, so that they meet.
    let slot = prop_oneof![2 => 0i64..30, 1 => 0i64..860];
    let time = (slot, 0i64..3).prop_map(|(n, jitter)| n * 5 * MINUTE + jitter * 9_000);
    (0u8..3, time, standing, route, 0u64..400, 0i64..2, 0u64..3, any_glucose()).prop_map(
        |(device, time, standing, route, identity, made_at, message, glucose)| {
            let reading = Reading {
                time: Instant(time),
                offset_minutes: None,
                tz_ambiguous: false,
                glucose,
                standing,
                route,
                identity,
                made_at: Instant(made_at),
                message,
            };
            (device, reading)
        },
    )
}

fn device(number: u8) -> Device {
    Device(["", "G6", "Libre"][usize::from(number)].to_owned())
}

/// One stream per device.
fn streams(readings: &[(u8, Reading)]) -> Streams {
    let of = |number| readings.iter().filter(move |(d, _)| *d == number).map(|(_, reading)| *reading);
    (0..3).map(|number| (device(number), of(number).collect())).collect()
}

/// The same through the store: batches merged into chunks by device and day, written and read.
fn stored(batches: &[&[(u8, Reading)]]) -> Streams {
    let mut chunks: BTreeMap<(u8, i32), Vec<u8>> = BTreeMap::new();
    for (number, reading) in batches.iter().copied().flatten() {
        let bytes = chunks.entry((*number, reading.time.utc_day())).or_insert_with(|| Chunk::new().encode());
        let mut chunk = Chunk::decode(bytes).unwrap();
        chunk.merge([*reading]);
        *bytes = chunk.encode();
    }
    let read = |((number, _), bytes): ((u8, i32), Vec<u8>)| {
        (device(number), Chunk::decode(&bytes).unwrap().into_iter().collect())
    };
    chunks.into_iter().map(read).collect()
}

/// The same value with more zeros behind it.
fn respelled(glucose: Glucose, zeros: u8) -> Glucose {
    let longer = |value: Decimal| {
        let places = value.places() + zeros;
        Decimal::new(value.scaled(places) as i64, places).unwrap()
    };
    let measured = match glucose.measured {
        Measured::Exact(value) => Measured::Exact(longer(value)),
        Measured::Below(limit) => Measured::Below(longer(limit)),
        Measured::Above(limit) => Measured::Above(longer(limit)),
    };
    Glucose { measured, unit: glucose.unit }
}

/// Every field with every bit: the shortest text that reads back as the same `f64`.
fn bits(outcome: Option<Outcome>) -> String {
    format!("{outcome:?}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn order_batches_copies_and_spelling_do_not_change_a_bit(
        (readings, shuffled) in prop::collection::vec(any_reading(), 1..120)
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        cut: prop::sample::Index,
        zeros in prop::collection::vec(0u8..4, 120),
    ) {
        let (window, policy) = (days(3), Policy::standard());
        let expected = bits(compute(&window, &streams(&readings), policy));
        prop_assert_eq!(&bits(compute(&window, &streams(&shuffled), policy)), &expected);

        let (a, b) = shuffled.split_at(cut.index(shuffled.len()));
        prop_assert_eq!(&bits(compute(&window, &stored(&[b, a, b]), policy)), &expected);
        prop_assert_eq!(&bits(compute(&window, &streams(&[b, a, a].concat()), policy)), &expected);

        let spelled: Vec<_> = readings
            .iter()
            .zip(&zeros)
            .map(|((d, r), zeros)| (*d, Reading { glucose: respelled(r.glucose, *zeros), ..*r }))
            .collect();
        prop_assert_eq!(&bits(compute(&window, &streams(&spelled), policy)), &expected);
    }

    #[test]
    fn every_reading_counts_or_is_excluded_for_one_reason(
        readings in prop::collection::vec(any_reading(), 0..200),
    ) {
        let window = days(2);
        let all = streams(&readings);
        let standing: usize = all
            .iter()
            .map(|(_, readings)| readings.iter().copied().collect::<Chunk>())
            .map(|chunk| chunk.iter().filter(|r| window.start <= r.time && r.time < window.end).count())
            .sum();
        let selection = crate::select::select(&window, &all, Policy::standard());
        let excluded: u64 = selection.excluded.values().sum();
        prop_assert_eq!(selection.counted.len() as u64 + excluded, standing as u64);
        prop_assert!(selection.counted.is_sorted_by_key(|counted| counted.reading.time));
    }

    #[test]
    fn shares_sum_to_100_as_shown_and_minutes_to_the_total(
        glucose in prop::collection::vec(any_glucose(), 1..200),
    ) {
        let result = outcome(&days(1), &values(&glucose));
        prop_assert_eq!(result.shown_shares().iter().sum::<u32>(), 10_000);
        prop_assert!((result.shares_pct().iter().sum::<f64>() - 100.0).abs() < 1e-9);
        prop_assert_eq!(result.minutes.total(), 5 * glucose.len() as u64);
    }

    #[test]
    fn mean_and_sd_agree_with_a_plain_computation(glucose in prop::collection::vec(any_glucose(), 2..200)) {
        let result = outcome(&days(1), &values(&glucose));
        let plain: Vec<f64> = glucose
            .iter()
            .map(|g| g.entered().to_f64() * if g.unit == Unit::MmolL { 18.0156 } else { 1.0 })
            .collect();
        let n = plain.len() as f64;
        let mean = plain.iter().sum::<f64>() / n;
        let sd = (plain.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        prop_assert!(near(result.mean_mg_dl, mean), "{} {}", result.mean_mg_dl, mean);
        let found = result.sd_mg_dl.unwrap();
        prop_assert!(near(found, sd) || (found - sd).abs() < 1e-9, "{} {}", found, sd);
    }
}
