use proptest::{prelude::*, sample::select};

use super::*;
use crate::{
    glucose::Glucose,
    outcomes::compute,
    reading::{Instant, Route, Standing},
};

const MINUTE: i64 = Instant::MINUTE_MS;

fn zone() -> Zone {
    Zone::named("America/New_York").unwrap()
}

/// The Saturday before the spring change: the days that follow hold one of 23 hours.
fn first() -> LocalDay {
    "2025-03-08".parse().unwrap()
}

fn device(number: u8) -> Device {
    Device(["", "G6", "Libre"][usize::from(number)].to_owned())
}

fn reading(minute: i64, glucose: Glucose, identity: u64) -> Reading {
    Reading {
        time: Instant(zone().start_of(first()).0 + minute * MINUTE),
        offset_minutes: None,
        tz_ambiguous: false,
        glucose,
        standing: Standing::Final,
        route: Route::Hl7v2,
        identity,
        made_at: Instant(0),
        message: 0,
    }
}

/// All readings of a history, computed at once.
fn scratch(history: &History, days: i32) -> String {
    let mut streams: BTreeMap<Device, Vec<Reading>> = BTreeMap::new();
    for (device, readings) in history.days.values().flat_map(Day::readings) {
        streams.entry(device.clone()).or_default().extend(readings);
    }
    let streams: Vec<_> = streams.into_iter().collect();
    let period = history.zone.period(first(), first().plus(days - 1)).unwrap();
    format!("{:?}", compute(&period, &streams, &history.policy))
}

fn kept(history: &mut History, days: i32) -> String {
    format!("{:?}", history.outcome(first(), first().plus(days - 1)).unwrap())
}

/// So many days of a 5-minute sensor.
fn walk(history: &mut History, days: i64) {
    let readings = (0..days * 288).map(|n| {
        let value = 120 + ((n * 37) % 101) as i32 - 50 + if n % 400 < 30 { 130 } else { 0 };
        reading(n * 5, Glucose::mg_dl(value), n as u64 + 1)
    });
    history.insert(&device(1), readings);
}

#[test]
fn a_late_reading_costs_its_day_and_nothing_else() {
    let mut history = History::new(zone(), Policy::standard().clone());
    walk(&mut history, 30);
    assert_eq!(kept(&mut history, 30), scratch(&history, 30));
    assert_eq!(history.days_made(), 30);
    assert_eq!(kept(&mut history, 30), scratch(&history, 30));
    assert_eq!(history.days_made(), 0);

    let late = reading(10 * 1440 + 722, Glucose::mg_dl(45), 1 << 40);
    assert_eq!(history.insert(&device(1), [late]).len(), 1);
    assert_eq!(kept(&mut history, 30), scratch(&history, 30));
    assert_eq!(history.days_made(), 1);

    history.remove(&device(1), 1 << 40).unwrap();
    assert_eq!(kept(&mut history, 30), scratch(&history, 30));
    assert_eq!(history.days_made(), 1);
    // A window one day on makes nothing anew.
    history.outcome(first().plus(1), first().plus(29)).unwrap();
    assert_eq!(history.days_made(), 0);
}

#[test]
fn a_backfilled_day_that_an_event_passes_through_is_told_to_the_days_after_it() {
    let mut history = History::new(zone(), Policy::standard().clone());
    let low =
        |from: i64, to: i64| (from / 5..to / 5).map(|n| reading(n * 5, Glucose::mg_dl(60), n as u64 + 1));
    history.insert(&device(1), low(0, 1440));
    history.insert(&device(1), low(3 * 1440, 4 * 1440));
    assert_eq!(kept(&mut history, 4), scratch(&history, 4));
    // Midnights that the change of clocks moved by an hour are days still.
    history.insert(&device(1), low(1440, 3 * 1440));
    assert_eq!(kept(&mut history, 4), scratch(&history, 4));
    let outcome = history.outcome(first(), first().plus(4)).unwrap().unwrap();
    assert_eq!(outcome.events.counts[&crate::events::EventKind::HypoLevel1], 1);
}

/// What can happen to a history.
#[derive(Clone, Debug)]
enum Step {
    Insert(u8, Reading),
    Remove(u8, u64),
    Merge(Vec<(u8, Reading)>),
    Ask(i32),
}

fn any_reading() -> impl Strategy<Value = (u8, Reading)> {
    let standing = prop_oneof![8 => Just(Standing::Final), 1 => Just(Standing::Corrected), 1 => Just(Standing::Retracted)];
    let route = select(vec![Route::Fhir, Route::Hl7v2, Route::Hl7v2, Route::File, Route::Scan]);
    // Most around the midnights of the first four days, the second of 23 hours, so that they meet across them.
    let minute = prop_oneof![
        4 => (1i64..4, -25i64..25).prop_map(|(day, minute)| day * 1440 - if day > 1 { 60 } else { 0 } + minute),
        2 => (0i64..1100).prop_map(|n| n * 5),
    ];
    let value = prop_oneof![3 => 40i32..75, 2 => 75i32..180, 2 => 180i32..300, 1 => Just(100)];
    (0u8..3, minute, -60i64..60, standing, route, 1u64..300, 0i64..2, value).prop_map(
        |(device, minute, seconds, standing, route, identity, made_at, value)| {
            let mut reading = reading(minute, Glucose::mg_dl(value), identity);
            reading.time.0 += seconds * 1000;
            (device, Reading { standing, route, made_at: Instant(made_at), ..reading })
        },
    )
}

/// A run of a 5-minute sensor over a midnight, so that events cross it.
fn any_run() -> impl Strategy<Value = Vec<(u8, Reading)>> {
    (0u8..2, 0i64..800, 3i64..40, select(vec![50, 65, 200, 260]), 0u64..5).prop_map(
        |(device, start, n, value, base)| {
            let at = |k: i64| {
                reading((start + k) * 5, Glucose::mg_dl(value), 1000 * (base + 1) + (start + k) as u64)
            };
            (0..n).map(|k| (device, at(k))).collect()
        },
    )
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any_reading().prop_map(|(device, reading)| Step::Insert(device, reading)),
        1 => (0u8..3, 1u64..300).prop_map(|(device, identity)| Step::Remove(device, identity)),
        1 => prop::collection::vec(any_reading(), 1..20).prop_map(Step::Merge),
        2 => any_run().prop_map(Step::Merge),
        3 => (1i32..5).prop_map(Step::Ask),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_is_kept_changes_no_bit(steps in prop::collection::vec(any_step(), 1..90)) {
        let mut history = History::new(zone(), Policy::standard().clone());
        for step in steps {
            match step {
                Step::Insert(number, reading) => {
                    history.insert(&device(number), [reading]);
                }
                Step::Remove(number, identity) => {
                    history.remove(&device(number), identity);
                }
                Step::Merge(readings) => {
                    let mut other = History::new(zone(), Policy::standard().clone());
                    for (number, reading) in readings {
                        other.insert(&device(number), [reading]);
                    }
                    history.merge(&other);
                }
                Step::Ask(days) => prop_assert_eq!(kept(&mut history, days), scratch(&history, days)),
            }
        }
        prop_assert_eq!(kept(&mut history, 5), scratch(&history, 5));
    }

    /// As above where every device came by one route: then it is what is kept that the outcome is made of.
    #[test]
    fn what_is_kept_of_single_feeds_changes_no_bit(
        readings in prop::collection::vec(any_reading(), 1..120), days in 1i32..5,
    ) {
        let mut history = History::new(zone(), Policy::standard().clone());
        for (at, (number, reading)) in readings.into_iter().enumerate() {
            // The unnamed one may be any other, so it is left out.
            let number = 1 + number % 2;
            let route = [Route::Fhir, Route::Hl7v2, Route::File][usize::from(number)];
            let route = if reading.route == Route::Scan { Route::Scan } else { route };
            history.insert(&device(number), [Reading { route, ..reading }]);
            if at % 17 == 0 {
                prop_assert_eq!(kept(&mut history, days), scratch(&history, days));
            }
        }
        prop_assert!(!history.has_two_feeds());
        prop_assert_eq!(kept(&mut history, 5), scratch(&history, 5));
    }

    #[test]
    fn the_order_in_which_readings_come_in_does_not_matter(
        (readings, shuffled) in prop::collection::vec(any_reading(), 1..60)
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
    ) {
        let of = |readings: &[(u8, Reading)]| {
            let mut history = History::new(zone(), Policy::standard().clone());
            for (number, reading) in readings {
                history.insert(&device(*number), [*reading]);
                history.insert(&device(*number), [*reading]);
            }
            kept(&mut history, 5)
        };
        let mut streams: BTreeMap<u8, Vec<Reading>> = BTreeMap::new();
        for (number, reading) in &readings {
            streams.entry(*number).or_default().push(*reading);
        }
        let streams: Vec<_> = streams.into_iter().map(|(number, readings)| (device(number), readings)).collect();
        let period = zone().period(first(), first().plus(4)).unwrap();
        let at_once = format!("{:?}", compute(&period, &streams, Policy::standard()));
        prop_assert_eq!(&of(&readings), &at_once);
        prop_assert_eq!(&of(&shuffled), &at_once);
    }
}
