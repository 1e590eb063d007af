//! Days that are not of 24 hours, nights, midnights, and sensors of unequal intervals, through what callers call.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use clinical::{
    calendar::{LocalDay, Zone},
    events::EventKind,
    glucose::Glucose,
    history::History,
    outcome::{Outcome, Period},
    outcomes::{compute, summarize},
    parts::{Parts, parts},
    policy::Policy,
    reading::{Device, Instant, Reading, Route, Standing},
    select::select,
};
use proptest::prelude::*;

const MINUTE: i64 = Instant::MINUTE_MS;

fn at(time: i64, mg_dl: i32) -> Reading {
    Reading {
        time: Instant(time),
        offset_minutes: None,
        tz_ambiguous: false,
        glucose: Glucose::mg_dl(mg_dl),
        standing: Standing::Final,
        route: Route::Hl7v2,
        identity: time as u64,
        made_at: Instant(0),
        message: 0,
    }
}

/// A reading every `step` minutes from one instant to another.
fn every(step: i64, from: Instant, to: Instant, mg_dl: impl Fn(i64) -> i32) -> Vec<Reading> {
    (0..(to.0 - from.0) / (step * MINUTE)).map(|n| at(from.0 + n * step * MINUTE, mg_dl(n))).collect()
}

/// A name that the table of sensors does not know: the interval is that of the distances.
fn unknown() -> Device {
    Device("sensor".to_owned())
}

fn of(period: &Period, readings: Vec<Reading>) -> (Outcome, Parts) {
    let streams = [(unknown(), readings)];
    let selection = select(period, &streams, Policy::standard());
    (
        summarize(period, &selection, Policy::standard()).unwrap(),
        parts(period, &selection, Policy::standard()).unwrap(),
    )
}

#[test]
fn days_on_which_clocks_change_have_their_own_length_in_seven_zones() {
    // Zone, day, its minutes, the minutes of its night. In Santiago, Cairo and Havana clocks change at midnight: the
    // short day begins at one; the long one has its last hour twice, in Havana its first. Lord Howe moves by half an
    // hour.
    for (zone, date, minutes, night) in [
        ("America/New_York", "2025-03-09", 1380, 300),
        ("America/New_York", "2025-11-02", 1500, 420),
        ("Europe/Berlin", "2025-03-30", 1380, 300),
        ("Europe/Berlin", "2025-10-26", 1500, 420),
        ("Australia/Sydney", "2025-10-05", 1380, 300),
        ("Australia/Sydney", "2025-04-06", 1500, 420),
        ("Australia/Lord_Howe", "2025-10-05", 1410, 330),
        ("Australia/Lord_Howe", "2025-04-06", 1470, 390),
        ("America/Santiago", "2025-09-07", 1380, 300),
        ("America/Santiago", "2025-04-05", 1500, 360),
        ("Africa/Cairo", "2025-04-25", 1380, 300),
        ("Africa/Cairo", "2025-10-30", 1500, 360),
        ("America/Havana", "2025-03-09", 1380, 300),
        ("America/Havana", "2025-11-02", 1500, 420),
    ] {
        let zone = Zone::named(zone).unwrap();
        let day: LocalDay = date.parse().unwrap();
        let period = zone.period(day.plus(-1), day.plus(1)).unwrap();
        let (outcome, parts) = of(&period, every(5, period.start, period.end, |_| 100));
        let case = format!("{} {date}", zone.name());
        assert_eq!(outcome.window_minutes, 2 * 1440 + minutes, "{case}");
        assert_eq!(
            (outcome.minutes.total(), outcome.active_window_pct),
            (2 * 1440 + minutes, 100.0),
            "{case}"
        );
        let lengths: Vec<_> = parts.days.iter().map(|d| (d.day.part_minutes, d.night.part_minutes)).collect();
        assert_eq!(lengths, [(1440, 360), (minutes, night), (1440, 360)], "{case}");
        assert_eq!(parts.night.part_minutes, 720 + night, "{case}");
        for part in parts.days.iter().flat_map(|d| [&d.day, &d.night]).chain([&parts.whole, &parts.night]) {
            assert_eq!(part.active_pct, 100.0, "{case}");
            assert_eq!(part.metrics.as_ref().unwrap().active_minutes, part.part_minutes, "{case}");
        }
    }
}

#[test]
fn a_leap_day_is_a_day() {
    let zone = Zone::named("Europe/Berlin").unwrap();
    let period = zone.period("2024-02-28".parse().unwrap(), "2024-03-01".parse().unwrap()).unwrap();
    let (outcome, parts) = of(&period, every(5, period.start, period.end, |_| 100));
    let dates: Vec<_> = parts.days.iter().map(|day| day.date.as_str()).collect();
    assert_eq!(dates, ["2024-02-28", "2024-02-29", "2024-03-01"]);
    assert_eq!((outcome.days_of_wear, outcome.window_minutes), (3, 3 * 1440));
    // Every reading of the two later days has its match.
    assert_eq!(outcome.modd.unwrap().pairs, 2 * 288);
}

#[test]
fn an_event_over_midnight_is_one_event_of_the_day_it_begins_in() {
    let zone = Zone::named("America/New_York").unwrap();
    let first: LocalDay = "2025-06-01".parse().unwrap();
    let period = zone.period(first, first.plus(1)).unwrap();
    let midnight = zone.start_of(first.plus(1)).0;
    // Below from 23:30 to 00:30.
    let from = (midnight - period.start.0) / (5 * MINUTE);
    let low = |n: i64| if (from - 6..from + 6).contains(&n) { 60 } else { 100 };
    let (outcome, parts) = of(&period, every(5, period.start, period.end, low));
    assert_eq!(outcome.events.counts[&EventKind::HypoLevel1], 1);
    let event = &outcome.events.list[0];
    assert_eq!((event.start.0, event.end.0), (midnight - 30 * MINUTE, midnight + 30 * MINUTE));
    assert_eq!((event.duration_minutes, event.measured_minutes, event.area_mg_dl_min), (60.0, 60.0, 600.0));
    let begun: Vec<_> = parts.days.iter().map(|day| day.day.events[&EventKind::HypoLevel1]).collect();
    assert_eq!((begun, parts.night.events[&EventKind::HypoLevel1]), (vec![1, 0], 0));
    // Its minutes are where they were: half of them in the night.
    let below = |metrics: &Option<clinical::metrics::Metrics>| metrics.as_ref().unwrap().minutes.low;
    assert_eq!([below(&parts.days[0].day.metrics), below(&parts.days[1].day.metrics)], [30, 30]);
    assert_eq!(below(&parts.night.metrics), 30);
}

#[test]
fn a_night_ends_at_six_by_the_clock() {
    let zone = Zone::named("America/New_York").unwrap();
    let day: LocalDay = "2025-03-09".parse().unwrap();
    let period = zone.period(day, day).unwrap();
    // Five hours of the night at 60, then 100.
    let (_, parts) = of(&period, every(5, period.start, period.end, |n| if n < 60 { 60 } else { 100 }));
    let night = parts.night.metrics.as_ref().unwrap();
    assert_eq!((night.n, night.minutes.low, night.minutes.target), (60, 300, 0));
    assert_eq!(parts.whole.metrics.as_ref().unwrap().minutes.target, 18 * 60);
}

#[test]
fn one_curve_seen_by_sensors_of_1_5_and_15_minutes_has_the_same_minutes_and_events() {
    let zone = Zone::named("UTC").unwrap();
    let period = zone.period(LocalDay(0), LocalDay(1)).unwrap();
    // Minutes 300 to 360 at 60, 600 to 690 at 260, else 100.
    let curve = |minute: i64| match minute {
        300..360 => 60,
        600..690 => 260,
        _ => 100,
    };
    let seen: Vec<_> = [1, 5, 15]
        .map(|step| of(&period, every(step, period.start, period.end, |n| curve(n * step))).0)
        .into_iter()
        .collect();
    for outcome in &seen {
        assert_eq!(outcome.minutes, seen[0].minutes);
        assert_eq!(
            (outcome.mean_mg_dl, outcome.lbgi.to_bits()),
            (seen[0].mean_mg_dl, seen[0].lbgi.to_bits())
        );
        assert_eq!((outcome.gri, outcome.titr), (seen[0].gri, seen[0].titr));
        assert_eq!(outcome.events.counts, seen[0].events.counts);
        let told = |outcome: &Outcome| -> Vec<_> {
            outcome.events.list.iter().map(|e| (e.kind, e.start, e.end, e.area_mg_dl_min.to_bits())).collect()
        };
        assert_eq!(told(outcome), told(&seen[0]));
    }
    assert_eq!(seen[0].events.counts[&EventKind::HyperExtended], 1);
}

#[test]
fn the_night_is_the_hours_that_the_policy_says() {
    let zone = Zone::named("UTC").unwrap();
    let period = zone.period(LocalDay(0), LocalDay(1)).unwrap();
    let mut policy = Policy::standard().clone();
    let readings =
        every(5, period.start, period.end, |n| if (24..60).contains(&(n % 288)) { 60 } else { 100 });
    let streams = [(unknown(), readings)];
    // Minutes 120 to 300 of each day are low.
    for ((from, to), low, target) in [((0, 6), 360, 360), ((2, 5), 360, 0), ((4, 24), 120, 2280)] {
        (policy.night.value.from_hour, policy.night.value.to_hour) = (from, to);
        let parts = parts(&period, &select(&period, &streams, &policy), &policy).unwrap();
        let minutes = parts.night.metrics.unwrap().minutes;
        assert_eq!((minutes.low, minutes.target), (low, target), "{from} to {to}");
        assert_eq!((parts.night.part_minutes, parts.night.active_pct), (low + target, 100.0));
    }
}

#[test]
fn a_known_sensor_keeps_its_interval_however_much_is_missing_and_however_it_is_summed() {
    let zone = Zone::named("UTC").unwrap();
    let period = zone.period(LocalDay(0), LocalDay(0)).unwrap();
    let readings = every(15, period.start, period.end, |_| 100);
    for (name, minutes) in [("Dexcom G6", 96 * 5), ("sensor", 96 * 15)] {
        let device = Device(name.to_owned());
        let mut history = History::new(zone.clone(), Policy::standard().clone());
        history.insert(&device, readings.iter().copied());
        let kept = history.outcome(LocalDay(0), LocalDay(0)).unwrap().unwrap();
        assert_eq!(kept.minutes.total(), minutes, "{name}");
        assert_eq!(Some(kept), compute(&period, &[(device, readings.clone())], Policy::standard()));
    }
}

#[test]
fn a_change_of_sensors_does_not_break_an_event() {
    let zone = Zone::named("UTC").unwrap();
    let period = zone.period(LocalDay(0), LocalDay(0)).unwrap();
    let range = |from: i64, to: i64| (Instant(from * MINUTE), Instant(to * MINUTE));
    let (a, b) = (range(0, 600), range(600, 1440));
    let low = |minute: i64| if (570..630).contains(&minute) { 60 } else { 100 };
    let streams = [
        (Device("A".to_owned()), every(15, a.0, a.1, |n| low(n * 15))),
        (Device("B".to_owned()), every(1, b.0, b.1, |n| low(600 + n))),
    ];
    let outcome = compute(&period, &streams, Policy::standard()).unwrap();
    assert_eq!((outcome.minutes.low, outcome.minutes.target), (60, 1380));
    let [event] = outcome.events.list.as_slice() else { panic!("{:?}", outcome.events) };
    assert_eq!((event.start.0, event.duration_minutes), (570 * MINUTE, 60.0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_parts_add_up_to_the_whole_and_the_whole_is_the_outcome(
        values in prop::collection::vec((0i64..1100, 40i32..320), 1..300),
        zone in prop::sample::select(vec!["UTC", "America/New_York", "Africa/Cairo"]),
    ) {
        let zone = Zone::named(zone).unwrap();
        let first: LocalDay = "2025-03-08".parse().unwrap();
        let period = zone.period(first, first.plus(3)).unwrap();
        let readings: std::collections::BTreeMap<i64, i32> = values.into_iter().collect();
        let readings: Vec<_> =
            readings.into_iter().map(|(n, value)| at(period.start.0 + n * 5 * MINUTE, value)).collect();
        let (outcome, parts) = of(&period, readings.clone());
        let whole = parts.whole.metrics.as_ref().unwrap();
        prop_assert_eq!(whole.n, outcome.n);
        prop_assert_eq!(whole.mean_mg_dl.to_bits(), outcome.mean_mg_dl.to_bits());
        prop_assert_eq!(whole.lbgi.to_bits(), outcome.lbgi.to_bits());
        prop_assert_eq!(whole.percentiles_mg_dl, outcome.percentiles_mg_dl);
        prop_assert_eq!(parts.whole.modd, outcome.modd);
        prop_assert_eq!(&parts.whole.events, &outcome.events.counts);
        let sum = |of: fn(&clinical::parts::DayParts) -> &clinical::parts::Part| -> u64 {
            parts.days.iter().filter_map(|day| of(day).metrics.as_ref()).map(|m| m.minutes.total()).sum()
        };
        prop_assert_eq!(sum(|day| &day.day), outcome.minutes.total());
        prop_assert_eq!(sum(|day| &day.night), parts.night.metrics.as_ref().map_or(0, |m| m.active_minutes));
        let pairs: u64 = parts.days.iter().filter_map(|day| day.day.modd).map(|modd| modd.pairs).sum();
        prop_assert_eq!(pairs, outcome.modd.map_or(0, |modd| modd.pairs));

        let mut history = History::new(zone, Policy::standard().clone());
        history.insert(&unknown(), readings);
        prop_assert_eq!(history.outcome(first, first.plus(3)).unwrap(), Some(outcome));
    }
}
