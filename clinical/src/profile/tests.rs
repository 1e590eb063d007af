use proptest::prelude::*;

use super::*;
use crate::{
    calendar::Zone,
    glucose::Glucose,
    reading::{Device, Reading, Route, Standing},
    select::select,
};

fn period(zone: &str, first: &str, days: i32) -> Period {
    let first: crate::calendar::LocalDay = first.parse().unwrap();
    Zone::named(zone).unwrap().period(first, first.plus(days - 1)).unwrap()
}

fn reading(ms: i64, glucose: Glucose) -> Reading {
    Reading {
        time: Instant(ms),
        offset_minutes: None,
        tz_ambiguous: false,
        glucose,
        standing: Standing::Final,
        route: Route::File,
        identity: ms as u64,
        made_at: Instant(0),
        message: 0,
    }
}

/// A reading every `minutes` of the whole period, its value by its place.
fn filled(period: &Period, minutes: i64, value: impl Fn(i64) -> i32) -> Vec<Reading> {
    let times = (period.start.0..period.end.0).step_by((minutes * 60_000) as usize).enumerate();
    times.map(|(place, ms)| reading(ms, Glucose::mg_dl(value(place as i64)))).collect()
}

fn of(period: &Period, readings: Vec<Reading>) -> Profile {
    let policy = Policy::standard();
    profile(period, &select(period, &[(Device("x".to_owned()), readings)], policy), policy)
}

/// Type 7 of 1 to 5 (numpy.percentile([1,2,3,4,5], [5,25,50,75,95]) by hand: 1 + 4·p).
#[test]
fn percentiles_are_those_of_type_7() {
    let counted: Vec<_> = (1..=5).map(|mg_dl| Counted::sample(mg_dl, 5)).collect();
    let Series { palette, .. } = Series::of(counted.iter().map(Counted::picked), Policy::standard());
    let values = palette.ascending();
    let all = PERCENTILES.map(|per_cent| percentile(values, per_cent, &palette).unwrap());
    assert_eq!(all, [1.2, 2.0, 3.0, 4.0, 4.8]);
    assert_eq!(percentile(&values[..1], 95, &palette), Some(1.0));
    assert_eq!(percentile(&[], 50, &palette), None);
}

/// On day d every value is 100 + d, so a bin has 14 values of three each with its neighbours'; at midnight
/// the bin before is one of the day before.
#[test]
fn a_bin_holds_its_own_values_and_its_neighbours() {
    let period = period("UTC", "2025-02-01", 14);
    let profile = of(&period, filled(&period, 5, |place| 100 + (place / 288) as i32));
    assert_eq!((profile.bins.len(), profile.hours.len(), profile.bin_minutes), (96, 24, 15));
    // 126 values, nine of each of 100 to 113: the median lies between the 63rd (106) and the 64th (107).
    let noon = &profile.bins[48];
    assert_eq!((noon.minute, noon.days), (720, 14));
    assert_eq!(noon.curve, Some([100.0, 103.0, 106.5, 110.0, 113.0]));
    let midnight = profile.bins[0].curve.unwrap();
    assert_eq!(midnight, profile.bins[95].curve.unwrap(), "the day is a circle");
    // Twelve of each in an hour by itself.
    assert_eq!((profile.hours[23].minute, profile.hours[23].days), (1380, 14));
    assert_eq!(profile.hours[23].curve, Some([100.0, 103.0, 106.5, 110.0, 113.0]));
}

#[test]
fn a_bin_with_four_dates_is_left_out_and_one_with_five_is_not() {
    let period = period("UTC", "2025-02-01", 14);
    for (dates, shown) in [(4, false), (5, true)] {
        // From 10:00 to 10:15 only the first days have readings.
        let thin = |r: &Reading| {
            let minute = r.time.0.rem_euclid(Instant::DAY_MS) / 60_000;
            let day = (r.time.0 - period.start.0) / Instant::DAY_MS;
            !(600..615).contains(&minute) || day < dates
        };
        let readings = filled(&period, 5, |_| 100).into_iter().filter(thin).collect();
        let profile = of(&period, readings);
        assert_eq!((profile.bins[40].days, profile.bins[40].curve.is_some()), (dates as u32, shown));
        assert!(profile.bins[39].curve.is_some() && profile.bins[41].curve.is_some());
    }
}

/// Half-hour bins that need three dates: 8 o'clock has readings of three, half past of two.
#[test]
fn the_policy_says_how_long_a_bin_is_and_how_many_dates_it_needs() {
    let mut policy = Policy::standard().clone();
    policy.profile.value = ProfileRule { bin_minutes: 30, min_dates: 3 };
    let period = period("UTC", "2025-02-01", 14);
    let few = |r: &Reading| {
        let minute = r.time.0.rem_euclid(Instant::DAY_MS) / 60_000;
        let day = (r.time.0 - period.start.0) / Instant::DAY_MS;
        day < match minute {
            480..510 => 3,
            510..540 => 2,
            _ => 14,
        }
    };
    let readings = filled(&period, 5, |_| 100).into_iter().filter(few).collect();
    let selection = select(&period, &[(Device("x".to_owned()), readings)], &policy);
    let profile = profile(&period, &selection, &policy);
    assert_eq!((profile.bins.len(), profile.hours.len(), profile.bin_minutes), (48, 24, 30));
    let told =
        |place: usize| (profile.bins[place].minute, profile.bins[place].days, profile.bins[place].curve);
    assert_eq!([told(16), told(17)], [(480, 3, Some([100.0; 5])), (510, 2, None)]);
    assert_eq!((profile.hours[8].days, profile.hours[8].curve), (3, Some([100.0; 5])));
}

#[test]
fn without_enough_days_or_wear_there_is_no_curve_and_the_reason_is_told() {
    let short = period("UTC", "2025-02-01", 13);
    let profile = of(&short, filled(&short, 5, |_| 100));
    assert_eq!(profile.insufficient, [Insufficiency::TooFewDays]);
    assert!(profile.bins.iter().chain(&profile.hours).all(|bin| bin.curve.is_none() && bin.days == 13));
    let thin = period("UTC", "2025-02-01", 14);
    let half = filled(&thin, 5, |_| 100).into_iter().take(14 * 144).collect();
    assert_eq!(of(&thin, half).insufficient, [Insufficiency::TooLittleWear]);
}

/// Berlin: 02:00 to 03:00 is skipped on 30 March and comes twice on 26 October.
#[test]
fn the_clock_on_the_wall_decides_on_days_of_23_and_25_hours() {
    let spring = period("Europe/Berlin", "2025-03-20", 14);
    let profile = of(&spring, filled(&spring, 5, |_| 100));
    assert_eq!((profile.bins[8].days, profile.bins[7].days, profile.bins[12].days), (13, 14, 14));
    let autumn = period("Europe/Berlin", "2025-10-20", 14);
    // Both passes of the hour are 200 mg/dL, fifteen of whose hours there are, thirteen with 100.
    let repeated = |place: i64| if (6 * 288 + 24..6 * 288 + 48).contains(&place) { 200 } else { 100 };
    let profile = of(&autumn, filled(&autumn, 5, repeated));
    assert_eq!((profile.bins[8].days, profile.hours[2].days), (14, 14));
    // 180 values, the last 24 are 200: the 95th percentile is one of them, the 75th is not.
    assert_eq!(profile.hours[2].curve, Some([100.0, 100.0, 100.0, 100.0, 200.0]));
    assert_eq!(profile.hours[3].curve, Some([100.0; 5]));
}

/// A 15-minute reading weighs three of a 5-minute sensor: 7 days with one, 7 with the other.
#[test]
fn a_value_weighs_the_minutes_it_covers() {
    let whole = period("UTC", "2025-02-01", 14);
    let half = whole.start.0 + 7 * Instant::DAY_MS;
    let early = filled(&whole, 5, |_| 100).into_iter().filter(|r| r.time.0 < half).collect();
    let late = filled(&whole, 15, |_| 200).into_iter().filter(|r| r.time.0 >= half).collect();
    let streams = [(Device("five".to_owned()), early), (Device("fifteen".to_owned()), late)];
    let policy = Policy::standard();
    let profile = profile(&whole, &select(&whole, &streams, policy), policy);
    // 63 minutes' worth of each: the middle lies between them.
    assert_eq!(profile.bins[20].curve, Some([100.0, 100.0, 150.0, 200.0, 200.0]));
}

#[test]
fn mmol_l_is_converted_once_and_not_rounded() {
    let period = period("UTC", "2025-02-01", 14);
    let molar = |r: Reading| Reading { glucose: Glucose::mmol_l_tenths(100), ..r };
    let readings = filled(&period, 5, |_| 0).into_iter().map(molar).collect();
    assert_eq!(of(&period, readings).bins[0].curve, Some([180.156; 5]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn order_changes_no_bit_and_curves_never_cross(
        seed in any::<u64>(), kept in 72u64..100, molar: bool,
    ) {
        let period = period("America/New_York", "2025-03-02", 14);
        let mut state = seed | 1;
        let mut next = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut readings = filled(&period, 5, |_| 100);
        readings.retain_mut(|r| {
            let value = 40 + next(360) as i32;
            r.glucose = if molar { Glucose::mmol_l_tenths(value / 2) } else { Glucose::mg_dl(value) };
            next(100) < kept
        });
        let straight = of(&period, readings.clone());
        for place in (1..readings.len()).rev() {
            readings.swap(place, next(place as u64 + 1) as usize);
        }
        prop_assert_eq!(&straight, &of(&period, readings));
        for bin in straight.bins.iter().chain(&straight.hours) {
            if let Some(curve) = bin.curve {
                prop_assert!(curve.is_sorted(), "{:?}", curve);
                prop_assert!(bin.days >= straight.min_dates);
            }
        }
    }
}
