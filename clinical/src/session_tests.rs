use super::*;

const MINUTE: i64 = Instant::MINUTE_MS;

fn at(minutes: i64) -> Row {
    Row { time: Instant(minutes * MINUTE), ticks: None }
}

fn ticked(minutes: i64, ticks: i64) -> Row {
    Row { ticks: Some(ticks), ..at(minutes) }
}

fn found(device: &str, rows: &[Row], stated: &[i64]) -> Vec<Session> {
    let stated: Vec<Instant> = stated.iter().map(|minutes| Instant(minutes * MINUTE)).collect();
    sessions(&Device(device.to_owned()), rows, &stated, Policy::standard())
}

fn began(sessions: &[Session]) -> Vec<(Began, i64, u64)> {
    sessions.iter().map(|s| (s.began, s.start.0 / MINUTE, s.readings)).collect()
}

/// A name for the case, device, rows, stated starts, and what is found: how, start in minutes, readings.
type Case<'a> = (&'a str, &'a str, Vec<Row>, &'a [i64], Vec<(Began, i64, u64)>);

#[test]
fn sessions_are_divided_by_what_the_source_gives() {
    let cases: [Case<'_>; 8] = [
        ("a name", "S1", vec![at(0), at(5)], &[], vec![(Began::Serial, 0, 2)]),
        ("no name", "", vec![at(0), at(5)], &[], vec![(Began::FirstReading, 0, 2)]),
        ("a gap of two hours", "", vec![at(0), at(120)], &[], vec![(Began::FirstReading, 0, 2)]),
        (
            "a longer gap",
            "",
            vec![at(0), at(121)],
            &[],
            vec![(Began::FirstReading, 0, 1), (Began::Gap, 121, 1)],
        ),
        // The G7 warms up for 30 minutes; the policy's long gap of 45 is what divides.
        (
            "a known sensor",
            "G7 Mobile App",
            vec![at(0), at(45), at(91)],
            &[],
            vec![(Began::Serial, 0, 2), (Began::Gap, 91, 1)],
        ),
        (
            "a count that runs on",
            "S",
            vec![ticked(0, 100), ticked(600, 36_100)],
            &[],
            vec![(Began::Serial, 0, 2)],
        ),
        (
            "a count that begins anew",
            "S",
            vec![ticked(0, 9_000), ticked(5, 300)],
            &[],
            vec![(Began::Serial, 0, 1), (Began::TicksRestarted, 5, 1)],
        ),
        (
            "a stated start",
            "S",
            vec![at(0), at(5), at(10), at(15)],
            &[7, -30, -60],
            vec![(Began::Stated, -30, 2), (Began::Stated, 7, 2)],
        ),
    ];
    for (case, device, rows, stated, expected) in cases {
        assert_eq!(began(&found(device, &rows, stated)), expected, "{case}");
    }
    assert!(found("S", &[], &[1]).is_empty());
}

#[test]
fn drift_and_changes_of_the_clock_are_told_apart_and_change_no_time() {
    // 300 ticks a row; the clock gains 2 s once, then is put back an hour, then gains 1 s.
    let times = [0, 300_000, 602_000, 602_000 + 300_000 - 3_600_000, 602_000 + 601_000 - 3_600_000];
    let rows: Vec<Row> = times
        .iter()
        .enumerate()
        .map(|(n, time)| Row { time: Instant(*time), ticks: Some(1_000 + 300 * n as i64) })
        .collect();
    let session = found("S", &rows, &[]).remove(0);
    assert_eq!(session.drift_ms, Some(3_000));
    assert_eq!(session.clock_changes, [ClockChange { at: Instant(times[3]), by_ms: -3_600_000 }]);
    assert_eq!(session.last, Instant(times[4]));
    assert_eq!(found("S", &[at(0), at(5)], &[])[0].drift_ms, None, "without counts nothing is known");
}

#[test]
fn counts_between_which_nothing_happened_tell_what_all_of_them_tell() {
    // Every five minutes, the clock a second fast in each; a gap of three hours, and then another sensor.
    let reading = |n: i64| n * (300_000 + 1_000) + if n >= 20 { 3 * 60 * MINUTE } else { 0 };
    let count = |n: i64| if n >= 40 { (n - 40) * 300 } else { n * 300 + if n >= 20 { 3 * 3_600 } else { 0 } };
    let rows: Vec<Row> = (0..60).map(|n| Row { time: Instant(reading(n)), ticks: Some(count(n)) }).collect();
    let mark = |n: i64| TickMark { time: Instant(reading(n)), ticks: count(n) };
    let marks = [0, 19, 20, 39, 40, 59].map(mark);
    let thinned = Row::with_marks(rows.iter().rev().map(|row| row.time), &marks);
    let all = found("S", &rows, &[]);
    assert_eq!(found("S", &thinned, &[]), all);
    assert_eq!(began(&all)[1], (Began::TicksRestarted, reading(40) / MINUTE, 20));
    assert_eq!(all.iter().map(|s| s.drift_ms).collect::<Vec<_>>(), [Some(39_000), Some(19_000)]);
}

#[test]
fn wear_beyond_the_label_and_its_grace_is_told() {
    let wear = 10 * 1_440 + 12 * 60;
    for (last, beyond) in [(wear, false), (wear + 1, true)] {
        let rows = [ticked(0, 0), ticked(last, last * 60)];
        assert_eq!(found("Dexcom G7", &rows, &[])[0].beyond_wear, beyond, "{last}");
    }
}

#[test]
fn the_warm_up_is_left_out_only_after_a_stated_start_of_a_known_sensor() {
    let policy = Policy::standard();
    let g6 = policy.devices.sensor(&Device("Dexcom G6 Mobile App/8ABCDE".to_owned()));
    let start = Some(Instant(0));
    assert_eq!(warm_up(start, g6, policy), WarmUp::LeftOutUntil(Instant(120 * MINUTE)));
    assert_eq!(warm_up(None, g6, policy), WarmUp::NoStatedStart);
    assert_eq!(warm_up(start, None, policy), WarmUp::UnknownSensor);
    assert_eq!(early_wear(Instant(0), policy), None, "off as shipped");
}

#[test]
fn changes_of_the_clock_beyond_those_listed_are_counted() {
    for (changes, listed, more) in [(64, 64, 0), (65, 64, 1), (100, 64, 36)] {
        // Every reading is an hour late by the clock, and five minutes after the last by the count.
        let rows: Vec<Row> = (0..=changes).map(|n| ticked(n * 65, 300 * n)).collect();
        let session = found("S", &rows, &[]).remove(0);
        assert_eq!((session.clock_changes.len(), session.more_clock_changes), (listed, more), "{changes}");
        assert_eq!(session.clock_changes[listed - 1].by_ms, 60 * MINUTE);
    }
}
