//! A patient who flies: what a source states as an instant is one wherever the clock beside it stood, and a window is
//! of the site's zone, not of the patient's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(unreachable_pub, reason = "a module of one test binary")]

mod source;

use std::collections::BTreeSet;

use clinical::{
    calendar::{LocalDay, Zone},
    history::History,
    outcome::Outcome,
    outcomes::compute,
    policy::Policy,
    reading::{Device, Instant, Reading},
};
use proptest::prelude::*;
use source::{Point, Source, Unit, at, streams};

const MINUTE: i64 = Instant::MINUTE_MS;
/// The zone of the site: its change of clocks (2025-03-09) lies within the journeys.
const SITE: &str = "America/New_York";
const FIRST: &str = "2025-03-07";
const DAYS: i32 = 4;
/// Readings of five minutes in these days, of which one has 23 hours.
const STEPS: i64 = DAYS as i64 * 288 - 12;

/// Journeys: from which hour after the first midnight on the clock shows which offset, in minutes. All begin at home.
const JOURNEYS: [(&str, &[(i64, i16)]); 5] = [
    ("to Tokyo", &[(40, 540)]),
    ("to Tokyo and back to Los Angeles, over the date line", &[(30, 540), (80, -420)]),
    ("to Kathmandu by London", &[(20, 0), (31, 345)]),
    // The clock is put back by a whole day: each of its times comes again, the same time of the day after.
    ("from Kiritimati to Honolulu", &[(10, 840), (60, -600)]),
    ("to Newfoundland, at each landing a little", &[(25, -240), (27, -210), (70, -150)]),
];

/// The days at the site that are asked for.
fn days() -> (LocalDay, LocalDay) {
    let first: LocalDay = FIRST.parse().unwrap();
    (first, first.plus(DAYS - 1))
}

/// Every five minutes of the days; the clock as the journey has it.
fn journey(stops: &[(i64, i16)], value: impl Fn(i64) -> i64) -> Vec<Point> {
    let start = Zone::named(SITE).unwrap().start_of(days().0);
    (0..STEPS)
        .map(|n| {
            let at = Instant(start.0 + n * 5 * MINUTE);
            let landed = stops.iter().rev().find(|(hour, _)| hour * 60 <= n * 5);
            let offset_minutes = landed.map_or_else(|| source::offset_in(SITE, at), |(_, offset)| *offset);
            Point { at, offset_minutes, value: value(n).to_string() }
        })
        .collect()
}

/// A curve that never repeats a value beside itself, with lows and highs.
fn curve(n: i64) -> i64 {
    const WAVE: [i64; 12] = [0, 9, 21, 30, 44, 51, 60, 49, 41, 28, 19, 8];
    let swing = if n % 500 < 40 {
        -55
    } else if n % 700 < 60 {
        130
    } else {
        0
    };
    110 + WAVE[(n % 12) as usize] / 4 + swing
}

fn outcome(readings: Vec<(Device, Reading)>) -> Outcome {
    let (first, last) = days();
    let period = Zone::named(SITE).unwrap().period(first, last).unwrap();
    compute(&period, &streams(readings), Policy::standard()).unwrap()
}

#[test]
fn wherever_the_patient_flies_every_source_of_instants_gives_the_same_outcome() {
    for source in Source::OF_INSTANTS {
        let read = |stops| source.read(&source.write(&journey(stops, curve), Unit::MgDl), SITE);
        let at_home = outcome(read(&[]));
        assert_eq!(at_home.n, STEPS as u64, "{source:?}");
        assert_eq!(at_home.minutes.total(), at_home.window_minutes, "{source:?}");
        assert!(at_home.excluded.is_empty() && at_home.tz_ambiguous == 0, "{source:?}");
        assert!(at_home.minutes.low > 0 && at_home.minutes.high > 0, "the curve has lows and highs");
        for (name, stops) in JOURNEYS {
            let readings = read(stops);
            let offsets: BTreeSet<_> = readings.iter().map(|(_, reading)| reading.offset_minutes).collect();
            assert!(offsets.contains(&stops.last().map(|(_, offset)| *offset)), "{source:?} {name}");
            assert_eq!(outcome(readings), at_home, "{source:?} {name}");
        }
    }
}

/// What is not told apart by the hour of the day, the offset or the device is told apart by the instant alone.
#[test]
fn each_time_of_a_clock_that_was_put_back_by_a_day_counts() {
    let (name, stops) = JOURNEYS[3];
    let points = journey(stops, |_| 100);
    let shown: BTreeSet<_> =
        points.iter().map(|point| point.at.0 + i64::from(point.offset_minutes) * MINUTE).collect();
    assert!(shown.len() < points.len() - 280, "{name}: a day of times came twice");
    for source in Source::OF_INSTANTS {
        let outcome = outcome(source.read(&source.write(&points, Unit::MgDl), SITE));
        assert_eq!((outcome.n, outcome.excluded.len()), (STEPS as u64, 0), "{source:?}");
    }
}

/// An app that sends its history anew after landing, with the clock of where it is now: the same instants, other texts.
#[test]
fn a_history_that_is_stated_again_by_the_clock_of_another_place_counts_once() {
    let (home, away) = (journey(&[], curve), journey(&[(0, 540)], curve));
    for source in Source::OF_INSTANTS {
        let read = |points: &[Point]| source.read(&source.write(points, Unit::MgDl), SITE);
        let once = outcome(read(&home));
        let twice = |readings: Vec<(Device, Reading)>| {
            let mut twice = outcome(readings);
            twice.excluded.clear();
            twice
        };
        let (first, again) = (read(&home), read(&away));
        assert_eq!(twice([first.clone(), again.clone()].concat()), once, "{source:?}");
        assert_eq!(twice([again, first].concat()), once, "{source:?}, the other way round");
    }
}

/// Ten in the morning to three in the afternoon in Tokyo is nine in the evening of the day before to two at night in
/// New York.
#[test]
fn a_window_is_of_days_at_the_site_wherever_the_patient_is() {
    let start = at("2025-06-11T10:00:00", 540);
    let points: Vec<_> = (0..60)
        .map(|n| Point {
            at: Instant(start.0 + n * 5 * MINUTE),
            offset_minutes: 540,
            value: (90 + n).to_string(),
        })
        .collect();
    let site = Zone::named(SITE).unwrap();
    for source in Source::OF_INSTANTS {
        let streams = streams(source.read(&source.write(&points, Unit::MgDl), SITE));
        let of = |date: &str| {
            let day: LocalDay = date.parse().unwrap();
            compute(&site.period(day, day).unwrap(), &streams, Policy::standard())
        };
        let (before, after) = (of("2025-06-10").unwrap(), of("2025-06-11").unwrap());
        assert_eq!((before.n, before.minutes.target, before.days_of_wear), (36, 180, 1), "{source:?}");
        assert_eq!((after.n, after.minutes.target, after.days_of_wear), (24, 120, 1), "{source:?}");
        assert_eq!((before.first, after.first), (start, site.start_of("2025-06-11".parse().unwrap())));
        assert_eq!(of("2025-06-12"), None, "{source:?}");
    }
}

/// A clock alone, read in the site's zone, says nothing of a flight: hours that it shows again are taken for other
/// versions of those before them. No minute counts twice, no row goes without a word, and what is left out is told.
#[test]
fn a_clock_without_an_offset_counts_no_minute_twice_and_tells_what_it_leaves_out() {
    // As New York before its change of clocks, and without one.
    let site = Zone::named("America/Bogota").unwrap();
    let (first, last) = days();
    let period = site.period(first, last.plus(1)).unwrap();
    for source in Source::OF_CLOCKS {
        // Eastward, fourteen hours are missing; westward, three come again.
        for (stops, again) in [(&[(40, 540)][..], 0), (&[(40, -480)], 3 * 12)] {
            // A row that comes again with its value is one row: none does here.
            let points = journey(stops, |n| 80 + n % 100);
            let readings = source.read(&source.write(&points, Unit::MgDl), site.name());
            assert_eq!(readings.len(), points.len(), "{source:?}");
            let outcome = compute(&period, &streams(readings), Policy::standard()).unwrap();
            let left_out: u64 = outcome.excluded.values().sum();
            assert_eq!(outcome.n + left_out, STEPS as u64, "{source:?}: {:?}", outcome.excluded);
            assert_eq!(left_out, again, "{source:?}: {:?}", outcome.excluded);
            assert_eq!(outcome.minutes.total(), 5 * outcome.n, "{source:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn no_journey_changes_a_bit_and_the_days_hold_all_its_minutes(
        stops in prop::collection::btree_map(1i64..94, (-48i16..=56).prop_map(|quarters| quarters * 15), 1..6),
        missing in prop::collection::btree_set(0..STEPS, 0..400),
        source in prop::sample::select(Source::OF_INSTANTS.to_vec()),
    ) {
        let stops: Vec<_> = stops.into_iter().collect();
        let read = |stops: &[(i64, i16)]| {
            let points = journey(stops, curve).into_iter().zip(0..).filter(|(_, n)| !missing.contains(n));
            let points: Vec<_> = points.map(|(point, _)| point).collect();
            source.read(&source.write(&points, Unit::MgDl), SITE)
        };
        let at_home = outcome(read(&[]));
        let travelled = read(&stops);
        prop_assert_eq!(&outcome(travelled.clone()), &at_home);

        let mut history = History::new(Zone::named(SITE).unwrap(), Policy::standard().clone());
        for (device, reading) in travelled {
            history.insert(&device, [reading]);
        }
        let (first, last) = days();
        let of_days: u64 = (0..DAYS)
            .filter_map(|n| history.outcome(first.plus(n), first.plus(n)).unwrap())
            .map(|day| day.minutes.total())
            .sum();
        prop_assert_eq!(of_days, at_home.minutes.total());
        prop_assert_eq!(history.outcome(first, last).unwrap(), Some(at_home));
    }
}
