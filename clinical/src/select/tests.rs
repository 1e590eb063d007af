use super::*;
use crate::{
    calendar::{LocalDay, Zone},
    glucose::Glucose,
};

const MINUTE: i64 = Instant::MINUTE_MS;

/// The first ten days of 1970.
fn period() -> Period {
    Zone::named("UTC").unwrap().period(LocalDay(0), LocalDay(9)).unwrap()
}

/// A final reading over HL7 v2 with an identity of its own.
fn at(milliseconds: i64, glucose: Glucose) -> Reading {
    Reading {
        time: Instant(milliseconds),
        offset_minutes: None,
        tz_ambiguous: false,
        glucose,
        standing: Standing::Final,
        route: Route::Hl7v2,
        identity: milliseconds as u64,
        made_at: Instant(0),
        message: 0,
    }
}

/// `count` readings, `step` minutes apart from minute `start` on, each with another value.
fn series(start: i64, step: i64, count: i64) -> Vec<Reading> {
    (0..count).map(|n| at((start + n * step) * MINUTE, Glucose::mg_dl(100 + n as i32 % 100))).collect()
}

fn selected(streams: &[(&str, &[Reading])]) -> Selection {
    let streams: Vec<_> =
        streams.iter().map(|(name, readings)| (Device((*name).to_owned()), readings.to_vec())).collect();
    select(&period(), &streams, Policy::standard())
}

fn excluded(selection: &Selection) -> Vec<(Exclusion, u64)> {
    selection.excluded.iter().map(|(reason, count)| (*reason, *count)).collect()
}

#[test]
fn the_interval_is_inferred_from_the_distances() {
    for (step_ms, minutes) in [
        (60_000, 1),
        (59_000, 1),
        (4 * MINUTE, 5),
        (300_000, 5),
        (10 * MINUTE, 5),
        (14 * MINUTE, 15),
        (900_000, 15),
        (40 * MINUTE, 5),
    ] {
        let readings: Vec<_> = (0..9).map(|n| at(n * step_ms, Glucose::mg_dl(100 + n as i32))).collect();
        let selection = selected(&[("a", &readings)]);
        assert!(selection.counted.iter().all(|c| c.minutes == minutes), "{step_ms} ms");
        assert_eq!((selection.counted.len(), selection.excluded.len()), (9, 0), "{step_ms} ms");
    }
    assert_eq!(selected(&[("a", &series(0, 5, 1))]).counted[0].minutes, 5);
}

#[test]
fn gaps_do_not_change_the_interval() {
    let readings = [series(0, 15, 4), series(600, 15, 4), series(3000, 15, 2)].concat();
    assert!(selected(&[("a", &readings)]).counted.iter().all(|c| c.minutes == 15));
}

#[test]
fn what_phone_and_watch_both_upload_counts_once() {
    let phone = series(0, 5, 20);
    let watch: Vec<_> = phone.iter().map(|r| at(r.time.0 + 9_000, r.glucose)).collect();
    let selection = selected(&[("a", &[phone.clone(), watch].concat())]);
    assert_eq!(excluded(&selection), [(Exclusion::Duplicate, 20)]);
    assert!(selection.counted.iter().map(|c| c.reading).eq(phone));
    assert!(selection.counted.iter().all(|c| c.minutes == 5));
}

#[test]
fn the_same_value_within_half_an_interval_is_a_duplicate_and_beyond_it_is_not() {
    let mut readings = series(0, 5, 10);
    readings.push(at(45 * MINUTE + 150_000, Glucose::mg_dl(109)));
    assert_eq!(excluded(&selected(&[("a", &readings)])), [(Exclusion::Duplicate, 1)]);
    readings[10] = at(45 * MINUTE + 150_001, Glucose::mg_dl(109));
    assert_eq!(excluded(&selected(&[("a", &readings)])), []);
    readings[10] = at(45 * MINUTE + 150_000, Glucose::mg_dl(110));
    assert_eq!(excluded(&selected(&[("a", &readings)])), []);
}

#[test]
fn at_one_time_the_better_route_stands_and_a_correction_before_any_route() {
    let hl7 = at(0, Glucose::mg_dl(100));
    let fhir = Reading { route: Route::Fhir, identity: 1, ..at(0, Glucose::mg_dl(101)) };
    let same = Reading { route: Route::File, identity: 2, ..at(0, Glucose::mg_dl(101)) };
    let corrected = Reading { standing: Standing::Corrected, identity: 3, ..at(0, Glucose::mg_dl(90)) };

    let selection = selected(&[("a", &[hl7, same, fhir])]);
    assert_eq!(selection.counted[0].reading, fhir);
    assert_eq!(excluded(&selection), [(Exclusion::Duplicate, 1), (Exclusion::Conflict, 1)]);

    let selection = selected(&[("a", &[fhir, corrected, hl7])]);
    assert_eq!(selection.counted[0].reading, corrected);
    assert_eq!(excluded(&selection), [(Exclusion::Conflict, 2)]);
}

#[test]
fn one_value_in_two_units_is_a_duplicate_and_no_conflict() {
    let mg_dl = Reading { route: Route::Fhir, identity: 1, ..at(0, Glucose::mg_dl(90)) };
    // 5.0 is 90.078 and 5.1 is 91.880 mg/dL; half a tenth of mmol/L is 0.901.
    let selection = selected(&[("a", &[mg_dl, at(0, Glucose::mmol_l_tenths(50))])]);
    assert_eq!(excluded(&selection), [(Exclusion::Duplicate, 1)]);
    let selection = selected(&[("a", &[mg_dl, at(0, Glucose::mmol_l_tenths(51))])]);
    assert_eq!(excluded(&selection), [(Exclusion::Conflict, 1)]);
}

#[test]
fn of_copies_in_time_the_better_route_stays() {
    let fhir = Reading { route: Route::Fhir, ..at(9_000, Glucose::mg_dl(100)) };
    let selection = selected(&[("a", &[at(0, Glucose::mg_dl(100)), fhir])]);
    assert_eq!(selection.counted[0].reading, fhir);
    assert_eq!(excluded(&selection), [(Exclusion::Duplicate, 1)]);
}

#[test]
fn a_copy_is_found_behind_another_value() {
    let times = [(0, 100), (5_000, 105), (9_000, 100)];
    let readings = times.map(|(time, value)| at(time, Glucose::mg_dl(value)));
    let selection = selected(&[("a", &readings)]);
    assert_eq!((selection.counted.len(), excluded(&selection)), (2, vec![(Exclusion::Duplicate, 1)]));
}

#[test]
fn of_two_values_that_differ_in_nothing_else_the_higher_stands_whatever_came_first() {
    let low = Reading { identity: 1, ..at(0, Glucose::mg_dl(100)) };
    let high = Reading { identity: 2, ..at(0, Glucose::mg_dl(101)) };
    for readings in [[low, high], [high, low]] {
        let selection = selected(&[("a", &readings)]);
        assert_eq!(selection.counted[0].reading, high);
        assert_eq!(excluded(&selection), [(Exclusion::Conflict, 1)]);
    }
}

#[test]
fn what_was_taken_back_does_not_count() {
    let mut readings = series(0, 5, 10);
    readings[3].standing = Standing::Retracted;
    let selection = selected(&[("a", &readings)]);
    assert_eq!((selection.counted.len(), excluded(&selection)), (9, vec![(Exclusion::Retracted, 1)]));
}

#[test]
fn a_reading_moved_out_of_the_period_by_a_correction_is_gone_from_it() {
    let moved = Reading { standing: Standing::Corrected, time: period().end, ..at(0, Glucose::mg_dl(100)) };
    assert_eq!(selected(&[("a", &[at(0, Glucose::mg_dl(100)), moved])]), Selection::default());
}

#[test]
fn the_period_has_its_start_and_not_its_end() {
    let (start, end) = (period().start.0, period().end.0);
    let inside = [at(start, Glucose::mg_dl(100)), at(end - 1, Glucose::mg_dl(100))];
    let outside = [at(start - 1, Glucose::mg_dl(100)), at(end, Glucose::mg_dl(100))];
    let selection = selected(&[("a", &[outside, inside].concat())]);
    assert!(selection.counted.iter().map(|c| c.reading).eq(inside));
    assert!(selection.excluded.is_empty());
}

#[test]
fn scans_count_only_where_nothing_else_does() {
    let scans: Vec<_> = series(2, 15, 10).into_iter().map(|r| Reading { route: Route::Scan, ..r }).collect();
    assert_eq!(selected(&[("a", &scans)]).counted.len(), 10);
    let historic = series(0, 15, 10);
    for name in ["a", "b"] {
        let selection = selected(&[("a", &historic), (name, &scans)]);
        assert_eq!((selection.counted.len(), excluded(&selection)), (10, vec![(Exclusion::Scan, 10)]));
    }
}

#[test]
fn no_minute_counts_for_two_devices() {
    // `a` has more readings, 0 to 100 and 200 to 300 minutes; `b` every 15 minutes throughout.
    let a = [series(0, 5, 20), series(200, 5, 20)].concat();
    let b: Vec<_> = series(0, 15, 20).into_iter().map(|r| at(r.time.0 + 1, r.glucose)).collect();
    let selection = selected(&[("b", &b), ("a", &a)]);
    let times: Vec<_> = selection.counted.iter().map(|c| (c.reading.time, c.end())).collect();
    assert!(times.windows(2).all(|pair| pair[0].1 <= pair[1].0));
    // Of `b` only what begins at 105 and ends by 200 (that of 180 does): 105, 120, 135, 150, 165, 180.
    assert_eq!((selection.counted.len(), excluded(&selection)), (46, vec![(Exclusion::Overlap, 14)]));
}

#[test]
fn between_devices_route_comes_before_number_and_number_before_name() {
    let from = |readings: &[Reading], route| -> Vec<_> {
        readings.iter().map(|r| Reading { route, ..*r }).collect()
    };
    let (many, few) = (series(0, 5, 12), series(0, 5, 10));
    let first = |streams: &[(&str, &[Reading])]| selected(streams).counted[0].reading.route;
    let fhir = from(&few, Route::Fhir);
    assert_eq!(first(&[("a", &many), ("b", &fhir)]), Route::Fhir);
    let selection = selected(&[("b", &many), ("a", &few)]);
    assert_eq!((selection.counted.len(), excluded(&selection)), (12, vec![(Exclusion::Overlap, 10)]));
    // Equal in both: the name decides, so `a` with values from 100 on stands.
    let shifted: Vec<_> = few.iter().map(|r| Reading { glucose: Glucose::mg_dl(300), ..*r }).collect();
    for streams in [[("a", few.as_slice()), ("b", &shifted)], [("b", &shifted), ("a", few.as_slice())]] {
        assert_eq!(selected(&streams).counted[0].reading.glucose, Glucose::mg_dl(100));
    }
}

#[test]
fn one_device_in_many_streams_is_one_device() {
    let readings = series(0, 5, 30);
    let whole = selected(&[("a", &readings)]);
    assert_eq!(whole, selected(&[("a", &readings[20..]), ("a", &readings[..25])]));
}

/// As `selected`, by name, with stated session starts in minutes.
fn selected_after(name: &str, readings: &[Reading], starts: &[i64], policy: &Policy) -> Selection {
    let device = Device(name.to_owned());
    let starts: Vec<_> = starts.iter().map(|minute| (device.clone(), Instant(minute * MINUTE))).collect();
    select_after(&period(), &[(device, readings.to_vec())], &starts, policy)
}

#[test]
fn a_stated_start_leaves_out_its_warm_up_and_nothing_else_does() {
    use crate::session::WarmUp;
    // Forty readings from minute 0, a gap of ten hours, forty more. A G7 warms up for 30 minutes: six readings.
    let readings = [series(0, 5, 40), series(800, 5, 40)].concat();
    let (g7, standard) = ("Dexcom G7", Policy::standard());
    for (name, starts, left_out, told) in [
        (g7, &[800][..], 6, WarmUp::LeftOutUntil(Instant(830 * MINUTE))),
        (g7, &[780], 2, WarmUp::LeftOutUntil(Instant(810 * MINUTE))),
        (g7, &[0, 800], 12, WarmUp::LeftOutUntil(Instant(30 * MINUTE))),
        (g7, &[], 0, WarmUp::NoStatedStart),
        ("8XYZ", &[800], 0, WarmUp::UnknownSensor),
    ] {
        let selection = selected_after(name, &readings, starts, standard);
        let count = selection.excluded.get(&Exclusion::WarmUp).copied().unwrap_or_default();
        assert_eq!((count, selection.counted.len()), (left_out, 80 - left_out as usize), "{name} {starts:?}");
        assert_eq!(selection.warm_up[0], (Device(name.to_owned()), told), "{name} {starts:?}");
    }
}

#[test]
fn early_wear_is_left_out_where_the_policy_says_so_and_counted_apart() {
    let text = "id = \"ours\"\nversion = 1\ntitle = \"Ours\"\nbase = \"standard\"\n\
                [sessions.early_wear]\nexclude_hours = 1\nsource = \"our board\"\n";
    let sheet = crate::policy::Sheet::parse(text, crate::policy::sheet_named).unwrap();
    let policy = Policy::from_sheet(&sheet, crate::device::Devices::built_in()).unwrap();
    let selection = selected_after("Dexcom G7", &series(0, 5, 40), &[0], &policy);
    // Thirty minutes of warm-up, then the rest of the hour.
    assert_eq!(excluded(&selection), [(Exclusion::WarmUp, 6), (Exclusion::EarlyWear, 6)]);
    assert_eq!(selected_after("Dexcom G7", &series(0, 5, 40), &[], &policy).excluded.len(), 0);
}

#[test]
fn a_named_sensor_keeps_its_interval_where_readings_are_missing() {
    // Every third reading of a G6: its interval is 5 minutes, not 15.
    for (name, minutes) in [("Dexcom G6 Mobile App", 5), ("8XYZ", 15)] {
        let selection = selected(&[(name, &series(0, 15, 20))]);
        assert!(selection.counted.iter().all(|c| c.minutes == minutes), "{name}");
    }
}

#[test]
fn an_identity_is_new_once_also_where_it_is_zero() {
    let new = |identities: &[u64]| {
        let mut seen = Identities::of_up_to(identities.len());
        identities.iter().all(|identity| seen.is_new(*identity)) && seen.are_distinct()
    };
    // One place in the table for all, or one mark.
    let alike: Vec<u64> = (0..60).map(|n| n << 44).collect();
    let spread: Vec<u64> = (0..5_000u64).map(|n| n.wrapping_mul(0xD6E8_FEB8_6659_FD93)).collect();
    assert!(new(&[]) && new(&[0]) && new(&alike) && new(&spread));
    for twice in [0, 1, u64::MAX] {
        assert!(!new(&[twice, 7, twice]), "{twice}");
        let mut late = spread.clone();
        late[4_999] = spread[twice as usize % 4_999];
        assert!(!new(&late), "{twice}");
    }
}

/// Devices that each cover a minute here and there: joined, split and touched spans, against the definition.
#[test]
fn no_minute_of_many_devices_counts_twice_and_none_is_lost_that_was_free() {
    let mut state = 9u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let readings: Vec<Vec<Reading>> = (0..60)
        .map(|_| {
            let mut at: Vec<i64> = (0..=random(12)).map(|_| random(200) as i64 * 150_000).collect();
            at.sort_unstable();
            at.dedup();
            at.into_iter().map(|at| super::tests::at(at, Glucose::mg_dl(100 + random(9) as i32))).collect()
        })
        .collect();
    let picked =
        |of: &'static [Reading]| of.iter().map(|reading| Picked { reading, minutes: 5 }).collect::<Vec<_>>();
    let readings: &'static [Vec<Reading>] = Vec::leak(readings);
    let (mut admitted, mut excluded) = (Admitted::default(), Excluded::new());
    let mut plain: Vec<Picked<'_>> = Vec::new();
    for of_device in readings {
        admitted.admit(picked(of_device), &mut excluded);
        let free: Vec<_> = picked(of_device)
            .into_iter()
            .filter(|it| {
                plain.iter().all(|other| it.end() <= other.reading.time || other.end() <= it.reading.time)
            })
            .collect();
        plain.extend(free);
    }
    plain.sort_by_key(|it| it.reading.time);
    let times =
        |of: &[Picked<'_>]| of.iter().map(|it| (it.reading.time, it.reading.glucose)).collect::<Vec<_>>();
    assert_eq!(times(&admitted.in_order()), times(&plain));
    assert!(plain.len() > 30 && excluded[&Exclusion::Overlap] > 30);
}
