use super::*;
use crate::{
    decimal::Decimal,
    glucose::{Measured, Unit},
    select::Counted,
};
use EventKind::{
    HyperExtended, HyperLevel1, HyperLevel1Only, HyperLevel2, HypoExtended, HypoLevel1, HypoLevel1Only,
    HypoLevel2,
};

/// A piece of a curve: from this minute on, so many readings of this value, so many minutes apart.
type Piece = (i64, i64, Glucose, u8);

fn points(pieces: &[Piece], policy: &Policy) -> (Vec<Point>, Palette) {
    let mut palette = Palette::new(policy);
    let counted: Vec<_> = pieces
        .iter()
        .flat_map(|(start, n, glucose, step)| {
            (0..*n).map(move |k| {
                let mut counted = Counted::sample(0, *step);
                counted.reading.time = Instant((start + k * i64::from(*step)) * Instant::MINUTE_MS);
                counted.reading.glucose = *glucose;
                counted
            })
        })
        .collect();
    (palette.points(counted.iter().map(Counted::picked)), palette)
}

fn events(pieces: &[Piece]) -> Events {
    let policy = Policy::standard();
    let (points, palette) = points(pieces, policy);
    Events::of(&points, &palette, policy)
}

/// Of a 5-minute sensor: so many readings of each value in turn, the first at minute 0.
fn five(runs: &[(i64, i32)]) -> Events {
    let mut at = 0;
    let pieces: Vec<Piece> = runs
        .iter()
        .map(|(n, value)| {
            let piece = (at, *n, Glucose::mg_dl(*value), 5);
            at += n * 5;
            piece
        })
        .collect();
    events(&pieces)
}

fn minute(instant: Instant) -> i64 {
    instant.0 / Instant::MINUTE_MS
}

/// Kind, start, end, measured minutes.
fn told(events: &Events) -> Vec<(EventKind, i64, i64, f64)> {
    events.list.iter().map(|e| (e.kind, minute(e.start), minute(e.end), e.measured_minutes)).collect()
}

fn count(events: &Events, kind: EventKind) -> u64 {
    events.counts[&kind]
}

#[test]
fn an_event_takes_fifteen_measured_minutes() {
    let found = five(&[(3, 100), (3, 65), (3, 100)]);
    assert_eq!(told(&found), [(HypoLevel1, 15, 30, 15.0)]);
    let event = found.list[0];
    assert!(!event.truncated && !event.low_confidence && !event.holds_level_2);
    assert_eq!((event.extreme, event.area_mg_dl_min), (Glucose::mg_dl(65), 75.0));
    assert_eq!(
        five(&[(3, 100), (2, 65), (3, 100)]),
        Events { counts: five(&[(9, 100)]).counts, ..Events::default() }
    );
    assert_eq!(count(&found, HypoLevel1Only), 1);
}

#[test]
fn every_threshold_in_both_units() {
    let mg_dl = |value| Glucose::mg_dl(value);
    let mmol_l = |tenths| Glucose::mmol_l_tenths(tenths);
    for (glucose, kinds) in [
        (mg_dl(53), &[HypoLevel1, HypoLevel2][..]),
        (mg_dl(54), &[HypoLevel1]),
        (mg_dl(69), &[HypoLevel1]),
        (mg_dl(70), &[]),
        (mg_dl(180), &[]),
        (mg_dl(181), &[HyperLevel1]),
        (mg_dl(250), &[HyperLevel1]),
        (mg_dl(251), &[HyperLevel1, HyperLevel2]),
        (mmol_l(29), &[HypoLevel1, HypoLevel2]),
        (mmol_l(30), &[HypoLevel1]),
        (mmol_l(38), &[HypoLevel1]),
        (mmol_l(39), &[]),
        (mmol_l(100), &[]),
        (mmol_l(101), &[HyperLevel1]),
        (mmol_l(139), &[HyperLevel1]),
        (mmol_l(140), &[HyperLevel1, HyperLevel2]),
    ] {
        let found = events(&[(0, 3, mg_dl(100), 5), (15, 3, glucose, 5), (30, 3, mg_dl(100), 5)]);
        let kinds_found: Vec<_> = found.list.iter().map(|event| event.kind).collect();
        assert_eq!(kinds_found, kinds, "{glucose:?}");
        assert!(found.list.iter().all(|event| event.extreme == glucose.trimmed()));
    }
}

#[test]
fn limits_count_by_the_range_they_prove() {
    let below = |limit| Glucose { measured: Measured::Below(Decimal::whole(limit)), unit: Unit::MgDl };
    for (limit, level_2) in [(40, 1), (70, 0)] {
        let found = events(&[(0, 3, Glucose::mg_dl(100), 5), (15, 3, below(limit), 5)]);
        assert_eq!((count(&found, HypoLevel1), count(&found, HypoLevel2)), (1, level_2), "<{limit}");
        assert_eq!(found.list[0].extreme.to_string(), format!("<{limit}"));
    }
}

#[test]
fn one_minute_sensors_need_fifteen_readings_and_fifteen_minute_sensors_two() {
    for (step, n, found) in [(1, 14, 0), (1, 15, 1), (5, 2, 0), (5, 3, 1), (15, 1, 0), (15, 2, 1)] {
        let step_min = i64::from(step);
        let (low, back) = (60, 60 + n * step_min);
        let curve = [
            (0, 60 / step_min, Glucose::mg_dl(100), step),
            (low, n, Glucose::mg_dl(60), step),
            (back, 60 / step_min, Glucose::mg_dl(100), step),
        ];
        assert_eq!(count(&events(&curve), HypoLevel1), found, "{n} readings of {step} minutes");
    }
}

#[test]
fn a_sensor_that_runs_seconds_fast_loses_no_event() {
    let policy = Policy::standard();
    let (mut points, palette) =
        points(&[(0, 3, Glucose::mg_dl(60), 5), (15, 4, Glucose::mg_dl(100), 5)], policy);
    for (point, n) in points.iter_mut().zip(0..) {
        point.time.0 -= n * 4_000;
    }
    let found = Events::of(&points, &palette, policy);
    assert_eq!(count(&found, HypoLevel1), 1);
}

#[test]
fn one_point_of_fifteen_minutes_is_a_candidate_and_no_event() {
    let low = Glucose::mg_dl(60);
    let found =
        events(&[(0, 2, Glucose::mg_dl(100), 15), (30, 1, low, 15), (45, 2, Glucose::mg_dl(100), 15)]);
    assert_eq!((told(&found), count(&found, HypoLevel1)), (vec![], 0));
    let candidate = found.candidates[0];
    assert_eq!((candidate.kind, minute(candidate.start), candidate.low_confidence), (HypoLevel1, 30, true));
    assert_eq!((found.candidates.len(), candidate.measured_minutes), (1, 15.0));
    // At the end of the window and before a long gap it is one as well; of 5 minutes never.
    assert_eq!(events(&[(0, 1, Glucose::mg_dl(100), 15), (15, 1, low, 15)]).candidates.len(), 1);
    assert_eq!(five(&[(3, 100), (1, 52), (3, 100)]).candidates, []);
}

#[test]
fn fewer_than_fifteen_minutes_back_do_not_end_an_event() {
    assert_eq!(told(&five(&[(3, 60), (2, 80), (1, 60), (3, 80)])), [(HypoLevel1, 0, 30, 20.0)]);
    assert_eq!(
        told(&five(&[(3, 60), (3, 80), (3, 60), (3, 80)])),
        [(HypoLevel1, 0, 15, 15.0), (HypoLevel1, 30, 45, 15.0)]
    );
}

#[test]
fn level_2_ends_in_the_target_and_lies_within_level_1() {
    // 15 minutes at 50, 20 at 60, 15 at 50, 15 at 80.
    let curve = [(3, 50), (4, 60), (3, 50), (3, 80)];
    let found = five(&curve);
    assert_eq!(told(&found), [(HypoLevel1, 0, 50, 50.0), (HypoLevel2, 0, 50, 30.0)]);
    assert!(found.list[0].holds_level_2);
    assert_eq!(
        (count(&found, HypoLevel1), count(&found, HypoLevel1Only), count(&found, HypoLevel2)),
        (1, 0, 1)
    );

    let mut policy = Policy::standard().clone();
    policy.events.level_two_end.value = crate::policy::LevelTwoEnd::VeryLowBelow;
    let pieces =
        [(0, 3, 50), (15, 4, 60), (35, 3, 50), (50, 3, 80)].map(|(at, n, v)| (at, n, Glucose::mg_dl(v), 5));
    let (points, palette) = points(&pieces, &policy);
    let found = Events::of(&points, &palette, &policy);
    assert_eq!(count(&found, HypoLevel2), 2);
}

#[test]
fn an_extended_event_below_is_longer_than_120_minutes() {
    for (readings, extended) in [(24, 0), (25, 1)] {
        let found = five(&[(3, 100), (readings, 65), (3, 100)]);
        assert_eq!((count(&found, HypoExtended), count(&found, HypoLevel1)), (extended, 1), "{readings}");
    }
}

#[test]
fn an_extended_event_above_has_90_minutes_in_sum_within_120() {
    // 45 + 45 minutes very high around 30 minutes high: 90 within 120, although the level 2 event ended between.
    let found = five(&[(3, 100), (9, 260), (6, 200), (9, 260), (3, 100)]);
    assert_eq!(
        (count(&found, HyperExtended), count(&found, HyperLevel2), count(&found, HyperLevel1)),
        (1, 2, 1)
    );
    let event = found.list.iter().find(|event| event.kind == HyperExtended).unwrap();
    assert_eq!((minute(event.start), minute(event.end), event.measured_minutes), (15, 135, 90.0));
    // One reading less, or 35 minutes between: never 90 within 120.
    assert_eq!(count(&five(&[(3, 100), (9, 260), (6, 200), (8, 260), (3, 100)]), HyperExtended), 0);
    assert_eq!(count(&five(&[(3, 100), (9, 260), (7, 200), (9, 260), (3, 100)]), HyperExtended), 0);
    // It goes on for as long as the curve is not 15 minutes back, and counts once.
    let found = five(&[(3, 100), (60, 260), (3, 100)]);
    assert_eq!((count(&found, HyperExtended), count(&found, HyperLevel2)), (1, 1));
}

#[test]
fn a_short_gap_joins_and_gives_no_minute() {
    let low = Glucose::mg_dl(60);
    let high = Glucose::mg_dl(100);
    // 10 minutes below, 10 missing, 5 below: 15 measured, 25 in all.
    let found = events(&[(0, 2, low, 5), (20, 1, low, 5), (25, 3, high, 5)]);
    assert_eq!(told(&found), [(HypoLevel1, 0, 25, 15.0)]);
    assert_eq!((found.list[0].duration_minutes, found.list[0].low_confidence), (25.0, false));
    // 5 below, 10 missing, 5 below: 20 minutes, but 10 measured.
    assert_eq!(told(&events(&[(0, 1, low, 5), (15, 1, low, 5), (20, 3, high, 5)])), []);
}

#[test]
fn a_gap_between_the_short_and_the_long_needs_both_its_edges_in_the_event() {
    let low = Glucose::mg_dl(60);
    let high = Glucose::mg_dl(100);
    // An event of 15 minutes, 30 missing, then below for 5 or back.
    let both = events(&[(0, 3, low, 5), (45, 1, low, 5), (50, 3, high, 5)]);
    assert_eq!(told(&both), [(HypoLevel1, 0, 50, 20.0)]);
    assert!(both.list[0].low_confidence && both.list[0].duration_minutes == 50.0);
    let one = events(&[(-15, 3, high, 5), (0, 3, low, 5), (45, 3, high, 5)]);
    assert_eq!(told(&one), [(HypoLevel1, 0, 15, 15.0)]);
    assert!(one.list[0].truncated);
    // What is no event yet does not become one across it.
    assert_eq!(told(&events(&[(0, 2, low, 5), (40, 2, low, 5), (50, 3, high, 5)])), []);
}

#[test]
fn a_long_gap_ends_an_event_and_truncates_it() {
    let low = Glucose::mg_dl(60);
    for (missing, ends) in [(45, vec![45 + 30]), (46, vec![15, 46 + 30])] {
        let again = 15 + missing;
        let found = events(&[(0, 3, low, 5), (again, 3, low, 5), (again + 15, 3, Glucose::mg_dl(100), 5)]);
        let found_ends: Vec<_> = found.list.iter().map(|event| minute(event.end)).collect();
        assert_eq!(found_ends, ends, "{missing}");
        assert!(found.list[0].truncated);
    }
}

#[test]
fn the_edges_of_a_window_truncate() {
    let found = five(&[(3, 60), (3, 100), (3, 200)]);
    assert_eq!(found.list.iter().map(|event| event.truncated).collect::<Vec<_>>(), [true, true]);
    assert!(!five(&[(3, 100), (3, 60), (3, 100)]).list[0].truncated);
}

#[test]
fn pregnancy_has_no_events_that_it_has_no_edge_for() {
    let policy = Policy::named("pregnancy-t1").unwrap();
    let (points, palette) =
        points(&[(0, 3, Glucose::mg_dl(100), 5), (15, 30, Glucose::mg_dl(300), 5)], policy);
    let found = Events::of(&points, &palette, policy);
    assert_eq!(found.list.iter().map(|event| event.kind).collect::<Vec<_>>(), [HyperLevel1]);
    assert!(!found.counts.contains_key(&HyperLevel2) && !found.counts.contains_key(&HyperExtended));
    assert!(!found.counts.contains_key(&HyperLevel1Only));
}

#[test]
fn a_scan_that_is_interrupted_anywhere_finds_the_same() {
    let runs =
        [(5, 100), (4, 50), (2, 60), (9, 120), (30, 270), (4, 200), (9, 260), (2, 60), (1, 60), (5, 52)];
    let mut at = 0;
    let pieces: Vec<Piece> = runs
        .iter()
        .map(|(n, value)| {
            let piece = (at, *n, Glucose::mg_dl(*value), 5);
            at += n * 5 + 25;
            piece
        })
        .collect();
    let policy = Policy::standard();
    let (points, palette) = points(&pieces, policy);
    let whole = Events::of(&points, &palette, policy);
    assert!(whole.list.len() > 4);
    for cut in 0..=points.len() {
        let (mut before, mut after) = (Trace::default(), Trace::default());
        let mut scan = Scan::new(policy);
        scan.pass(&points[..cut], &palette, &mut before);
        scan.pass(&points[cut..], &palette, &mut after);
        scan.finish(&palette, &mut after);
        before.extend(&after);
        assert_eq!(Events::from_found(before.found, policy), whole, "{cut}");
    }
}

/// What the rules of a changed policy find: 40 minutes very low between minutes 15 and 55, 100 minutes high after it.
fn under(change: impl Fn(&mut crate::policy::EventRules)) -> Events {
    let mut policy = Policy::standard().clone();
    change(&mut policy.events);
    let pieces = [(0, 3, 100), (15, 8, 50), (55, 4, 100), (75, 20, 200), (175, 4, 100)];
    let pieces = pieces.map(|(at, n, value)| (at, n, Glucose::mg_dl(value), 5));
    let (points, palette) = points(&pieces, &policy);
    Events::of(&points, &palette, &policy)
}

#[test]
fn every_rule_of_events_is_the_policys() {
    let counts = |found: &Events| {
        [HypoLevel1, HypoLevel2, HypoExtended, HyperLevel1, HyperExtended]
            .map(|kind| found.counts.get(&kind).copied())
    };
    let one = Some(1);
    let none = Some(0);
    assert_eq!(counts(&under(|_| {})), [one, one, none, one, none]);
    let found = under(|rules| rules.hypo.value.begin_minutes = 41);
    assert_eq!(counts(&found), [none, none, none, one, none]);
    let found = under(|rules| rules.hyper.value.begin_minutes = 101);
    assert_eq!(counts(&found), [one, one, none, none, none]);
    let found = under(|rules| rules.extended_hypo.value.longer_than_minutes = 39);
    assert_eq!(counts(&found), [one, one, one, one, none]);
    let found = under(|rules| {
        rules.extended_hypo.value.longer_than_minutes = 39;
        rules.extended_hypo.value.edge = EdgeName::VeryLowBelow;
    });
    assert_eq!(found.list.iter().find(|event| event.kind == HypoExtended).map(|e| minute(e.start)), Some(15));
    let found = under(|rules| rules.extended_hyper.as_mut().unwrap().value.edge = EdgeName::HighAbove);
    assert_eq!(counts(&found), [one, one, none, one, one]);
    let found = under(|rules| rules.extended_hyper = None);
    assert_eq!(counts(&found), [one, one, none, one, None]);
}
