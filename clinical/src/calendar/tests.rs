use proptest::prelude::*;

use super::*;

const HOUR_MS: i64 = 3_600_000;

fn day(text: &str) -> LocalDay {
    text.parse().unwrap()
}

fn zone(name: &str) -> Zone {
    Zone::named(name).unwrap()
}

#[test]
fn days_are_counted_from_1970_and_written_as_dates() {
    for (text, number) in [("1970-01-01", 0), ("1970-01-05", 4), ("1969-12-31", -1), ("2000-03-01", 11_017)] {
        assert_eq!(day(text), LocalDay(number));
        assert_eq!(LocalDay(number).to_string(), text);
    }
    assert_eq!(day("0001-01-01"), LocalDay(*DAYS.start()));
    assert_eq!(day("9998-12-31").plus(-365), LocalDay(*DAYS.end() - 365));
}

#[test]
fn only_dates_that_exist_are_read() {
    for text in
        ["", "2025-02-29", "2025-13-01", "2025-1-01", "20250101", "2025-01-01T00", "+025-01-01", "2025/01/01"]
    {
        assert_eq!(text.parse::<LocalDay>(), Err(CalendarError::NotADate), "{text:?}");
    }
    assert_eq!("0000-12-31".parse::<LocalDay>(), Err(CalendarError::OutOfRange));
    assert_eq!("9999-01-01".parse::<LocalDay>(), Err(CalendarError::OutOfRange));
}

#[test]
fn zones_are_found_by_name_only() {
    assert_eq!(zone("america/new_york").name(), "America/New_York");
    for name in ["", "EST5EDT,M3.2.0,M11.1.0", "Mars/Olympus", "../etc/passwd", &"A".repeat(1000)] {
        assert_eq!(Zone::named(name), Err(CalendarError::UnknownZone), "{name:?}");
    }
}

#[test]
fn a_period_has_the_hours_that_its_days_had() {
    for (name, first, last, days, hours) in [
        ("America/New_York", "2025-03-09", "2025-03-09", 1, 23),
        ("America/New_York", "2025-11-02", "2025-11-02", 1, 25),
        ("America/New_York", "2025-03-03", "2025-03-16", 14, 14 * 24 - 1),
        ("Europe/Berlin", "2025-10-20", "2025-11-02", 14, 14 * 24 + 1),
        ("UTC", "2025-01-01", "2025-01-14", 14, 14 * 24),
        // Midnight itself is skipped: the day begins at 01:00.
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04", 1, 23),
        // The whole of the thirtieth is skipped.
        ("Pacific/Apia", "2011-12-29", "2011-12-31", 3, 48),
    ] {
        let period = zone(name).period(day(first), day(last)).unwrap();
        assert_eq!((period.days, (period.end.0 - period.start.0) / HOUR_MS), (days, hours), "{name} {first}");
        assert_eq!((period.first_date.as_str(), period.last_date.as_str()), (first, last));
    }
    let utc = zone("UTC");
    assert_eq!(utc.period(day("2025-01-02"), day("2025-01-01")), Err(CalendarError::Backwards));
    assert_eq!(utc.period(LocalDay(i32::MIN), LocalDay(0)), Err(CalendarError::OutOfRange));
    assert_eq!(utc.period(LocalDay(0), LocalDay(i32::MAX)), Err(CalendarError::OutOfRange));
}

#[test]
fn the_local_date_turns_at_local_midnight() {
    let new_york = zone("America/New_York");
    // 2025-01-01T05:00:00Z is midnight in New York.
    let midnight = Instant(day("2025-01-01").0 as i64 * Instant::DAY_MS + 5 * HOUR_MS);
    assert_eq!(new_york.day_of(midnight), day("2025-01-01"));
    assert_eq!(new_york.day_of(Instant(midnight.0 - 1)), day("2024-12-31"));
    assert_eq!(new_york.start_of(day("2025-01-01")), midnight);
    assert_eq!(new_york.offset_minutes(midnight), -300);
}

#[test]
fn windows_end_on_anchored_days_after_the_reading() {
    let ends = |window, every, text: &str| -> Vec<String> {
        Cadence::new(window, every).unwrap().ends_containing(day(text)).map(|end| end.to_string()).collect()
    };
    // Mondays: 2025-01-06 and 2025-01-13; 2025-01-06 is day 20094 = 4 + 14 × 1435.
    assert_eq!(ends(7, 7, "2025-01-06"), ["2025-01-13"]);
    assert_eq!(ends(7, 7, "2025-01-05"), ["2025-01-06"]);
    assert_eq!(ends(14, 14, "2025-01-05"), ["2025-01-06"]);
    assert_eq!(ends(14, 14, "2025-01-06"), ["2025-01-20"]);
    assert_eq!(ends(14, 7, "2025-01-06"), ["2025-01-13", "2025-01-20"]);
    assert_eq!(ends(2, 1, "2025-01-31"), ["2025-02-01", "2025-02-02"]);
    assert_eq!(ends(1, 7, "2025-01-06"), [""; 0]);
    assert_eq!(ends(1, 7, "2025-01-05"), ["2025-01-06"]);
    for (window, every) in [(0, 1), (1, 0), (367, 1), (1, 367)] {
        assert_eq!(Cadence::new(window, every), Err(CalendarError::Cadence));
    }
}

#[test]
fn a_window_is_the_days_before_its_end() {
    let period = zone("UTC").window(Cadence::new(14, 1).unwrap(), day("2025-01-15")).unwrap();
    assert_eq!((period.first_date.as_str(), period.last_date.as_str()), ("2025-01-01", "2025-01-14"));
    assert_eq!(period.end, zone("UTC").start_of(day("2025-01-15")));
}

proptest! {
    #[test]
    fn every_instant_is_in_exactly_one_day(
        seconds in -1_000_000_000i64..4_000_000_000,
        name in prop::sample::select(vec![
            "UTC", "America/New_York", "America/St_Johns", "Pacific/Apia", "America/Sao_Paulo",
            "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Casablanca", "America/Asuncion",
        ]),
    ) {
        let (zone, instant) = (zone(name), Instant(seconds * 1000 + 7));
        let day = zone.day_of(instant);
        prop_assert!(zone.start_of(day) <= instant);
        prop_assert!(instant < zone.start_of(day.plus(1)));
    }

    #[test]
    fn any_instant_has_a_day(milliseconds: i64) {
        let day = zone("Europe/Berlin").day_of(Instant(milliseconds));
        prop_assert!(day.to_string().parse::<LocalDay>().is_ok() || milliseconds.abs() > 200_000_000_000_000);
    }

    #[test]
    fn ends_are_exactly_those_of_the_rule(day in -100_000i32..100_000, window in 1u32..=90, every in 1u32..=30) {
        let got: Vec<_> = Cadence::new(window, every).unwrap().ends_containing(LocalDay(day)).collect();
        let expected: Vec<_> = (day - 200..day + 200)
            .filter(|end| end - window as i32 <= day && day < *end && (end - 4).rem_euclid(every as i32) == 0)
            .map(LocalDay)
            .collect();
        prop_assert_eq!(got, expected);
    }
}
