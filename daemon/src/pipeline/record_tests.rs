use std::cell::RefCell;

use clinical::{
    calendar::Cadence,
    glucose::Glucose,
    outcomes,
    reading::{Instant, Route, Standing},
};
use outbox::WindowKey;
use proptest::prelude::*;

use super::{super::app_events, *};

const ZONE: &str = "America/New_York";
/// The Saturday before the spring change: a day of 23 hours follows.
const FIRST: i32 = 20_155;

fn window(days: u16, end: i32) -> Window {
    let zone = ZONE.to_owned();
    let key = WindowKey { patient: 1, days, end_day: FIRST + end, zone, policy: "standard".to_owned() };
    Window {
        id: i64::from(end) * 100 + i64::from(days),
        key,
        site: "main".to_owned(),
        origin: 1,
        due_at: Some(0),
        generation: 1,
        version: 0,
        next_version: 1,
        display_hash: None,
        first_published_at: None,
        computed_at: None,
    }
}

/// A reading so many minutes after the first UTC day began.
fn reading(minute: i64, mg_dl: i32, identity: u64) -> Reading {
    Reading {
        time: Instant((i64::from(FIRST) * 1440 + minute) * Instant::MINUTE_MS),
        offset_minutes: None,
        tz_ambiguous: false,
        glucose: Glucose::mg_dl(mg_dl),
        standing: Standing::Final,
        route: Route::Hl7v2,
        identity,
        made_at: Instant(0),
        message: identity,
    }
}

/// Readings of two devices as the store would hold them under one number.
fn stored(readings: &[(bool, Reading)]) -> Vec<Chunk> {
    let mut days: std::collections::BTreeMap<(i32, bool), Vec<Reading>> = Default::default();
    for (second, reading) in readings {
        days.entry((reading.time.utc_day(), *second)).or_default().push(*reading);
    }
    let chunk = |((day, second), readings): ((i32, bool), Vec<Reading>)| {
        let chunk: chunk::Chunk = readings.into_iter().collect();
        let device = if second { "Libre 3" } else { "Dexcom G6" }.to_owned();
        Chunk { device, day, version: 1, count: chunk.len() as u32, body: chunk.encode() }
    };
    days.into_iter().map(chunk).collect()
}

fn of_days(stored: &[Chunk], from: i32, to: i32) -> Vec<Chunk> {
    stored.iter().filter(|chunk| (from..to).contains(&chunk.day)).cloned().collect()
}

/// What a record says of a window, told as text so that every bit counts.
fn told(record: &mut Record, window: &Window, stored: &[Chunk]) -> String {
    let zone = Zone::named(ZONE).unwrap();
    let cadence = Cadence::new(u32::from(window.key.days), 1).unwrap();
    let period = zone.window(cadence, LocalDay(window.key.end_day)).unwrap();
    let days = (period.start.utc_day() - 1, Instant(period.end.0 - 1).utc_day() + 2);
    record.cover(&[1], days, Policy::standard(), |from, to| Ok(of_days(stored, from, to))).unwrap();
    let at_once = |chunks: &[(Device, Vec<Reading>)]| {
        let mut streams = chunks.to_vec();
        let selection = app_events::selected(&period, &mut streams, &[], Policy::standard());
        outcomes::summarize(&period, &selection, Policy::standard())
    };
    let outcome = record.outcome(window, days, (&zone, Policy::standard()), at_once).unwrap();
    let messages: BTreeSet<u64> = record
        .chunks(days)
        .iter()
        .flat_map(|(_, readings)| readings)
        .map(|reading| reading.message)
        .collect();
    format!("{outcome:?} {messages:?}")
}

fn alone(window: &Window, stored: &[Chunk]) -> String {
    told(&mut Record::of(std::slice::from_ref(window)), window, stored)
}

fn any_reading() -> impl Strategy<Value = (bool, Reading)> {
    let standing = prop_oneof![12 => Just(Standing::Final), 1 => Just(Standing::Corrected), 1 => Just(Standing::Retracted)];
    let route = prop::sample::select(vec![Route::Hl7v2, Route::Hl7v2, Route::File, Route::Scan]);
    let value = prop_oneof![60 => 45i32..300, 2 => 390i32..420, 1 => 20i32..45];
    (any::<bool>(), 0i64..20 * 1440, value, standing, route).prop_map(
        |(second, minute, value, standing, route)| {
            (second, Reading { standing, route, ..reading(minute, value, 0) })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_window_of_a_turn_has_the_outcome_that_it_has_alone(
        readings in prop::collection::vec(any_reading(), 1..200),
        repeats in prop::bool::weighted(0.3),
        asked in prop::collection::vec((1u16..8, 1i32..24), 1..40),
    ) {
        // Each an identity of its own, or some twice: then versions stand or yield.
        let names = if repeats { readings.len() / 2 + 1 } else { readings.len() };
        let name = |(n, (second, reading)): (usize, (bool, Reading))| {
            (second, Reading { identity: (n % names) as u64 + 1, message: n as u64, ..reading })
        };
        let stored = stored(&readings.iter().copied().enumerate().map(name).collect::<Vec<_>>());
        let windows: Vec<Window> = asked.iter().map(|(days, end)| window(*days, *end)).collect();
        let mut record = Record { shared: true, ..Record::of(&windows) };
        for window in &windows {
            prop_assert_eq!(told(&mut record, window, &stored), alone(window, &stored));
        }
    }
}

#[test]
fn a_day_is_read_once_for_all_windows_of_a_turn_in_whatever_order_they_ask() {
    let of_day =
        |day: i64| (0..288).map(move |n| (false, reading(day * 1440 + n * 5, 100, (day * 288 + n) as u64)));
    let stored = stored(&(0..30).flat_map(of_day).collect::<Vec<_>>());
    let windows = [window(3, 10), window(3, 12), window(9, 12), window(1, 4), window(2, 25)];
    let mut record = Record::of(&windows);
    let read = RefCell::new(Vec::new());
    for window in &windows {
        let days = (window.key.end_day - i32::from(window.key.days) - 1, window.key.end_day + 1);
        let chunks = |from: i32, to: i32| {
            read.borrow_mut().push((from - FIRST, to - FIRST));
            Ok(of_days(&stored, from, to))
        };
        record.cover(&[1], days, Policy::standard(), chunks).unwrap();
        let here: Vec<i32> = record.chunks(days).iter().map(|(_, chunk)| chunk[0].time.utc_day()).collect();
        assert_eq!(here, (days.0..days.1).collect::<Vec<_>>());
    }
    // The last but one is held by that before it; the last lies apart.
    assert_eq!(*read.borrow(), [(6, 11), (11, 13), (2, 6), (22, 26)]);
}

#[test]
fn another_patients_numbers_and_a_chunk_that_is_broken_leave_nothing_behind() {
    let stored = stored(&[(false, reading(5, 100, 1)), (false, reading(1440, 100, 2))]);
    let mut record = Record::of(&[window(1, 1)]);
    record
        .cover(&[1], (FIRST, FIRST + 1), Policy::standard(), |from, to| Ok(of_days(&stored, from, to)))
        .unwrap();
    assert_eq!(record.chunks((FIRST, FIRST + 1)).len(), 1);
    // Who counts for the patient has changed: all is read anew.
    record.cover(&[1, 2], (FIRST, FIRST + 1), Policy::standard(), |_, _| Ok(Vec::new())).unwrap();
    assert_eq!(record.chunks((FIRST, FIRST + 1)).len(), 0);

    let broken = |from: i32, to: i32| {
        let mut chunks = of_days(&stored, from, to);
        chunks.iter_mut().for_each(|chunk| chunk.body.truncate(3));
        Ok(chunks)
    };
    let failed = record.cover(&[1, 2], (FIRST, FIRST + 2), Policy::standard(), broken);
    assert!(matches!(failed, Err(PipelineError::Chunk { .. })));
    record
        .cover(&[1, 2], (FIRST, FIRST + 2), Policy::standard(), |from, to| Ok(of_days(&stored, from, to)))
        .unwrap();
    assert_eq!(record.chunks((FIRST, FIRST + 2)).len(), 2);
}

#[test]
fn days_are_summed_where_enough_windows_look_at_them() {
    let ends = |days: u16, ends: std::ops::Range<i32>| ends.map(|end| window(days, end)).collect::<Vec<_>>();
    for (windows, shared) in [
        (vec![], false),
        (ends(14, 1..2), false),
        // 64 windows over 77 days: 896 days are asked for.
        (ends(14, 0..64), false),
        (ends(30, 0..64), true),
        // 1,260 days of 103, and 1,170 of 102.
        (ends(90, 0..14), true),
        (ends(90, 0..13), false),
        (ends(12, 0..64), false),
        ([ends(14, 89..90), ends(30, 89..90), ends(90, 89..90)].concat(), false),
    ] {
        assert_eq!(are_shared(&windows), shared, "{} windows", windows.len());
    }
}

#[test]
fn a_record_that_is_full_is_begun_anew_and_sums_no_days_from_then_on() {
    let windows = [window(1, 1), window(1, 2)];
    let mut record = Record { shared: true, readings: READINGS_MOST + 1, ..Record::of(&windows) };
    record.cover(&[], (FIRST, FIRST + 1), Policy::standard(), |_, _| Ok(Vec::new())).unwrap();
    assert_eq!((record.readings, record.shared), (0, false));
}
