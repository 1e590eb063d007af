//! The days on which clocks change, by what sources write of them: a clock without an offset that shows an hour twice,
//! or half an hour, or the hour about midnight; and a sensor that is worn over such a night and knows nothing of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(unreachable_pub, reason = "a module of one test binary")]

mod source;

use clinical::{
    calendar::{LocalDay, Zone},
    events::EventKind,
    glucose::Glucose,
    outcome::Exclusion,
    outcomes::{compute, summarize},
    parts::parts,
    policy::Policy,
    reading::{Device, Instant, Reading, Route, Standing},
    select::select_after,
    session::{Began, Row, WarmUp, sessions},
};
use source::{Point, Source, Unit, offset_in, streams};

const MINUTE: i64 = Instant::MINUTE_MS;

/// Zone, day, its minutes, and the minutes from its beginning to the time that is shown again.
const LONG_DAYS: [(&str, &str, u64, i64); 7] = [
    ("America/New_York", "2025-11-02", 1500, 60),
    ("Europe/Berlin", "2025-10-26", 1500, 120),
    ("Australia/Sydney", "2025-04-06", 1500, 120),
    ("Australia/Lord_Howe", "2025-04-06", 1470, 90),
    ("America/Santiago", "2025-04-05", 1500, 1380),
    ("Africa/Cairo", "2025-10-30", 1500, 1380),
    ("America/Havana", "2025-11-02", 1500, 0),
];

const SHORT_DAYS: [(&str, &str, u64); 7] = [
    ("America/New_York", "2025-03-09", 1380),
    ("Europe/Berlin", "2025-03-30", 1380),
    ("Australia/Sydney", "2025-10-05", 1380),
    ("Australia/Lord_Howe", "2025-10-05", 1410),
    ("America/Santiago", "2025-09-07", 1380),
    ("Africa/Cairo", "2025-04-25", 1380),
    ("America/Havana", "2025-03-09", 1380),
];

/// Every five minutes of the day and those beside it; `low` are minutes after its beginning from which on it is 60
/// for a quarter of an hour.
fn points(zone: &Zone, day: LocalDay, low: &[i64]) -> Vec<Point> {
    let (from, to) = (zone.start_of(day.plus(-1)), zone.start_of(day.plus(2)));
    let start = zone.start_of(day).0;
    (0..(to.0 - from.0) / (5 * MINUTE))
        .map(|n| {
            let at = Instant(from.0 + n * 5 * MINUTE);
            let minute = (at.0 - start) / MINUTE;
            let value = if low.iter().any(|low| (*low..low + 15).contains(&minute)) { "60" } else { "100" };
            Point { at, offset_minutes: offset_in(zone.name(), at), value: value.to_owned() }
        })
        .collect()
}

/// One low in each pass of what the clock shows twice, at the same times on it: two events, and no row is lost, by
/// nothing but the order of rows or the count of a transmitter.
#[test]
fn a_clock_that_shows_a_time_twice_loses_no_reading_and_no_event_in_seven_zones() {
    for (name, date, minutes, again) in LONG_DAYS {
        let (zone, day) = (Zone::named(name).unwrap(), date.parse::<LocalDay>().unwrap());
        let period = zone.period(day, day).unwrap();
        let twice = minutes as i64 - 1440;
        let points = points(&zone, day, &[again + 5, again + twice + 5]);
        let shown = |minute: i64| {
            let at = Instant(period.start.0 + minute * MINUTE);
            at.0 + i64::from(offset_in(name, at)) * MINUTE
        };
        assert_eq!(shown(again + 5), shown(again + twice + 5), "{name}: the table says what is shown twice");
        for source in Source::OF_CLOCKS {
            let readings = source.read(&source.write(&points, Unit::MgDl), name);
            assert!(readings.iter().all(|(_, reading)| !reading.tz_ambiguous), "{name} {source:?}");
            let outcome = compute(&period, &streams(readings), Policy::standard()).unwrap();
            assert_eq!((outcome.n * 5, outcome.window_minutes), (minutes, minutes), "{name} {source:?}");
            assert_eq!(outcome.minutes.as_array(), [0, 30, minutes - 30, 0, 0], "{name} {source:?}");
            assert_eq!(outcome.events.counts[&EventKind::HypoLevel1], 2, "{name} {source:?}");
            assert!(outcome.excluded.is_empty(), "{name} {source:?}: {:?}", outcome.excluded);
        }
    }
}

#[test]
fn a_clock_that_skips_a_time_has_no_gap_there_in_seven_zones() {
    for (name, date, minutes) in SHORT_DAYS {
        let (zone, day) = (Zone::named(name).unwrap(), date.parse::<LocalDay>().unwrap());
        let period = zone.period(day.plus(-1), day.plus(1)).unwrap();
        for source in Source::OF_CLOCKS {
            let readings = source.read(&source.write(&points(&zone, day, &[]), Unit::MgDl), name);
            let outcome = compute(&period, &streams(readings), Policy::standard()).unwrap();
            assert_eq!(outcome.minutes.total(), 2880 + minutes, "{name} {source:?}");
            assert_eq!(
                (outcome.active_window_pct, outcome.gaps.longest_minutes),
                (100.0, 0),
                "{name} {source:?}"
            );
        }
    }
}

fn worn() -> Device {
    Device("Dexcom G6".to_owned())
}

/// A sensor's readings every five minutes from its start on.
fn wear(start: Instant, readings: i64) -> Vec<Reading> {
    (0..readings)
        .map(|n| Reading {
            time: Instant(start.0 + n * 5 * MINUTE),
            offset_minutes: None,
            tz_ambiguous: false,
            glucose: Glucose::mg_dl(100 + (n % 7) as i32),
            standing: Standing::Final,
            route: Route::Hl7v2,
            identity: n as u64 + 1,
            made_at: Instant(0),
            message: 0,
        })
        .collect()
}

/// Started an hour before the midnight of a day on which clocks change, or an hour before they do: two hours of
/// warm-up are two hours that passed, and leave out of each day what of them lies in it.
#[test]
fn a_warm_up_over_midnight_or_over_a_change_of_clocks_is_two_hours() {
    // Zone, day of the change, minutes from its beginning to the start, readings left out of the day before and of
    // the day.
    for (name, date, start, left_out) in [
        ("Europe/Berlin", "2025-06-10", -60, [12, 12]),
        ("Europe/Berlin", "2025-10-26", 120, [0, 24]),
        ("Europe/Berlin", "2025-03-30", 60, [0, 24]),
        ("America/Havana", "2025-11-02", -60, [12, 12]),
        ("America/Havana", "2025-03-09", -60, [12, 12]),
        ("Australia/Lord_Howe", "2025-04-06", 60, [0, 24]),
    ] {
        let (zone, day) = (Zone::named(name).unwrap(), date.parse::<LocalDay>().unwrap());
        let start = Instant(zone.start_of(day).0 + start * MINUTE);
        let (streams, starts) = ([(worn(), wear(start, 24 + 12 * 30))], [(worn(), start)]);
        for (day, expected) in [(day.plus(-1), left_out[0]), (day, left_out[1])] {
            let period = zone.period(day, day).unwrap();
            let selection = select_after(&period, &streams, &starts, Policy::standard());
            let found = selection.excluded.get(&Exclusion::WarmUp).copied().unwrap_or(0);
            assert_eq!(found, expected, "{name} {day}");
            if let Some(outcome) = summarize(&period, &selection, Policy::standard()) {
                let until = Instant(start.0 + 120 * MINUTE);
                assert_eq!(selection.warm_up, [(worn(), WarmUp::LeftOutUntil(until))], "{name} {day}");
                assert_eq!(outcome.first, until.max(period.start), "{name} {day}");
            }
        }
    }
}

/// Ten days of wear over midnights and a change of clocks are one session of one clock, as long as they took: a day
/// of 25 hours does not carry it beyond its wear, and one of 23 does not give it an hour.
#[test]
fn a_session_over_midnights_and_a_change_of_clocks_is_one_and_lasts_as_long_as_it_did() {
    let policy = Policy::standard();
    let sensor = policy.devices.sensor(&worn()).unwrap();
    let most: i64 = 10 * 1440;
    assert_eq!(sensor.wear_hours.value, (240, 0), "ten days, and no grace");
    for (name, date) in [
        ("Europe/Berlin", "2025-10-20"),
        ("Australia/Lord_Howe", "2025-04-01"),
        ("America/Havana", "2025-03-04"),
    ] {
        let zone = Zone::named(name).unwrap();
        let start = Instant(zone.start_of(date.parse().unwrap()).0 + 23 * 60 * MINUTE);
        for (minutes, beyond) in [(most, false), (most + 5, true)] {
            let readings = wear(start, minutes / 5 + 1);
            let row = |reading: &Reading| Row {
                time: reading.time,
                ticks: Some((reading.time.0 - start.0) / 1000),
            };
            let rows: Vec<_> = readings.iter().map(row).collect();
            let found = sessions(&worn(), &rows, &[start], policy);
            let [session] = found.as_slice() else { panic!("{name}: {found:?}") };
            assert_eq!(
                (session.began, session.start, session.readings),
                (Began::Stated, start, rows.len() as u64)
            );
            assert_eq!((session.drift_ms, session.clock_changes.len()), (Some(0), 0), "{name}");
            assert_eq!(session.beyond_wear, beyond, "{name} {minutes}");
        }
    }
}

/// The parts of a night in which a sensor was changed, with the clocks: each minute is one sensor's.
#[test]
fn two_sensors_that_meet_in_the_repeated_hour_share_its_minutes_out() {
    let (zone, day) = (Zone::named("Europe/Berlin").unwrap(), "2025-10-26".parse::<LocalDay>().unwrap());
    let period = zone.period(day, day).unwrap();
    // The first ends in the middle of the second pass of the hour from two to three; the second begins then.
    let meet = Instant(period.start.0 + (180 + 30) * MINUTE);
    let run = |from: Instant, to: Instant| wear(from, (to.0 - from.0) / (5 * MINUTE));
    let streams = [
        (Device("first".to_owned()), run(period.start, meet)),
        (Device("second".to_owned()), run(meet, period.end)),
    ];
    let selection = select_after(&period, &streams, &[], Policy::standard());
    let parts = parts(&period, &selection, Policy::standard()).unwrap();
    let minutes = |part: &clinical::parts::Part| part.metrics.as_ref().unwrap().active_minutes;
    assert_eq!((minutes(&parts.whole), minutes(&parts.night)), (1500, 420));
    assert!(selection.excluded.is_empty());
}
