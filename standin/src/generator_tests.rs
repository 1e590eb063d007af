use std::collections::BTreeSet;

use jiff::civil::date;

use super::*;

fn settings(seed: u64) -> GeneratorSettings {
    GeneratorSettings {
        seed,
        patients: 6,
        days: 28,
        end: date(2026, 3, 22),
        zone: TimeZone::get("America/New_York").unwrap(),
        unit_switch_day: Some(14),
    }
}

fn mg_per_dl(reading: &SensorReading) -> f64 {
    match (&reading.display, reading.unit) {
        (Display::Low, _) => 39.0,
        (Display::High, _) => 401.0,
        (Display::Number(text), DisplayUnit::MgPerDl) => text.parse().unwrap(),
        (Display::Number(text), DisplayUnit::MmolPerL) => text.parse::<f64>().unwrap() * 18.0156,
    }
}

fn share(series: &Series, within: impl Fn(f64) -> bool) -> f64 {
    let hits = series.readings.iter().filter(|r| within(mg_per_dl(r))).count();
    hits as f64 / series.readings.len() as f64
}

#[test]
fn the_same_seed_gives_the_same_people_and_readings_and_another_seed_does_not() {
    assert_eq!(generate(&settings(7)).unwrap(), generate(&settings(7)).unwrap());
    assert_ne!(generate(&settings(7)).unwrap(), generate(&settings(8)).unwrap());
}

#[test]
fn one_more_person_changes_nothing_for_the_others() {
    let mut fewer = settings(7);
    fewer.patients = 2;
    assert_eq!(generate(&fewer).unwrap()[..], generate(&settings(7)).unwrap()[..2]);
}

#[test]
fn the_values_are_those_of_people_with_diabetes() {
    for seed in 0..4 {
        let all = generate(&settings(seed)).unwrap();
        for series in &all {
            let mean = series.readings.iter().map(mg_per_dl).sum::<f64>() / series.readings.len() as f64;
            assert!((100.0..220.0).contains(&mean), "seed {seed}: mean {mean}");
            assert!(share(series, |v| (70.0..=180.0).contains(&v)) > 0.3, "seed {seed}");
            assert!(share(series, |v| v < 70.0) < 0.2, "seed {seed}");
        }
        let any = |within: fn(f64) -> bool| all.iter().any(|series| share(series, within) > 0.0);
        assert!(any(|v| v < 70.0), "seed {seed}: no lows");
        assert!(any(|v| v > 250.0), "seed {seed}: no highs");
    }
}

#[test]
fn readings_come_in_order_and_cover_most_of_the_period() {
    for series in generate(&settings(3)).unwrap() {
        assert!(series.readings.windows(2).all(|pair| pair[0].at < pair[1].at));
        // 28 days of which one has 23 hours.
        let possible = (28 * 288 - 12) as f64;
        let share = series.readings.len() as f64 / possible;
        assert!((0.9..1.0).contains(&share), "{share}");
        let serials: BTreeSet<_> = series.readings.iter().map(|r| &r.serial).collect();
        assert!((3..=4).contains(&serials.len()), "{} sensors in 28 days", serials.len());
    }
}

#[test]
fn a_sensor_change_leaves_a_gap_of_30_minutes_to_2_hours_and_a_half() {
    for series in generate(&settings(5)).unwrap() {
        for pair in series.readings.windows(2).filter(|pair| pair[0].serial != pair[1].serial) {
            let gap = pair[1].at.duration_since(pair[0].at).as_secs();
            // Longer only where a random gap touches it (at most 3 hours more on either side).
            assert!((1_800..=3 * 3_600 + 2 * 10_800).contains(&gap), "{gap}");
        }
    }
}

#[test]
fn the_offset_changes_where_the_clocks_do_and_the_grid_does_not() {
    // Clocks in New York went forward on 2026-03-08 at 02:00 (07:00 UTC).
    let change = "2026-03-08T07:00:00Z".parse::<Timestamp>().unwrap();
    for series in generate(&settings(1)).unwrap() {
        for reading in &series.readings {
            let hours = if reading.at < change { -5 } else { -4 };
            assert_eq!(reading.offset, Offset::constant(hours));
        }
        for pair in series.readings.windows(2).filter(|pair| pair[0].serial == pair[1].serial) {
            assert_eq!(pair[1].at.duration_since(pair[0].at).as_secs() % INTERVAL_S, 0);
        }
    }
}

#[test]
fn the_hour_that_comes_twice_has_readings_with_both_offsets() {
    let mut autumn = settings(1);
    (autumn.days, autumn.end) = (3, date(2026, 11, 3));
    let mut offsets = BTreeSet::new();
    for series in generate(&autumn).unwrap() {
        for reading in &series.readings {
            let wall = reading.offset.to_datetime(reading.at);
            if wall.date() == date(2026, 11, 1) && wall.hour() == 1 {
                offsets.insert(reading.offset);
            }
        }
    }
    assert_eq!(offsets, BTreeSet::from([Offset::constant(-5), Offset::constant(-4)]));
}

#[test]
fn every_other_receiver_changes_its_unit_at_a_midnight() {
    let all = generate(&settings(2)).unwrap();
    // Day 14 of the 28 that end before 2026-03-22, at midnight in New York (already summer time).
    let switch = "2026-03-08T05:00:00Z".parse::<Timestamp>().unwrap();
    for (index, series) in all.iter().enumerate() {
        for reading in &series.readings {
            let molar = index % 2 == 0 && reading.at >= switch;
            assert_eq!(reading.unit == DisplayUnit::MmolPerL, molar);
        }
    }
}

#[test]
fn a_device_censors_outside_40_to_400_and_shows_one_decimal_of_mmol() {
    let number = |text: &str| Display::Number(text.to_owned());
    for (mg, in_mg, in_mmol) in [
        (39.4, Display::Low, Display::Low),
        (39.5, number("40"), number("2.2")),
        (70.0, number("70"), number("3.9")),
        (180.0, number("180"), number("10.0")),
        (400.4, number("400"), number("22.2")),
        (400.6, Display::High, Display::High),
    ] {
        assert_eq!(DisplayUnit::MgPerDl.display(mg), in_mg);
        assert_eq!(DisplayUnit::MmolPerL.display(mg), in_mmol);
    }
}

#[test]
fn more_than_the_limits_is_refused() {
    let mut much = settings(1);
    much.days = DAYS_MAX + 1;
    assert!(matches!(generate(&much), Err(GeneratorError::TooMuch)));
}
