use proptest::prelude::*;

use super::*;
use crate::{
    calendar::{LocalDay, Zone},
    glucose::{Glucose, Measured, Unit},
    outcome::Period,
    select::{Selection, select},
};

const MINUTE: i64 = Instant::MINUTE_MS;

fn period() -> Period {
    Zone::named("UTC").unwrap().period(LocalDay(0), LocalDay(0)).unwrap()
}

fn by(route: Route, milliseconds: i64, glucose: Glucose) -> Reading {
    Reading {
        time: Instant(milliseconds),
        offset_minutes: Some(0),
        tz_ambiguous: false,
        glucose,
        standing: Standing::Final,
        route,
        identity: milliseconds as u64 * 8 + route as u64,
        made_at: Instant(0),
        message: route as u64 + 1,
    }
}

/// `count` readings of a 5-minute sensor, no two neighbours equal.
fn feed(route: Route, shift_ms: i64, count: i64) -> Vec<Reading> {
    (0..count).map(|n| by(route, n * 5 * MINUTE + shift_ms, Glucose::mg_dl(100 + (n % 7) as i32))).collect()
}

fn of(streams: &[(&str, Vec<Reading>)]) -> Selection {
    let streams: Vec<_> =
        streams.iter().map(|(name, all)| (Device((*name).to_owned()), all.clone())).collect();
    select(&period(), &streams, Policy::standard())
}

fn values(selection: &Selection) -> Vec<(i64, Glucose, u8)> {
    selection.counted.iter().map(|it| (it.reading.time.0, it.reading.glucose, it.minutes)).collect()
}

#[test]
fn a_second_feed_changes_no_number_however_far_off_its_clock_is_within_half_an_interval() {
    for shift in [-149_999, -60_000, -9_000, 0, 500, 60_000, 149_999] {
        let one = feed(Route::Fhir, 10 * MINUTE, 50);
        let both = of(&[("a", [one.clone(), feed(Route::Hl7v2, 10 * MINUTE + shift, 50)].concat())]);
        assert_eq!(values(&both), values(&of(&[("a", one)])), "{shift} ms");
        assert_eq!((both.crossings.duplicates, both.crossings.conflicts.len()), (50, 0), "{shift} ms");
        assert_eq!(both.excluded, BTreeMap::from([(Exclusion::Duplicate, 50)]));
    }
}

#[test]
fn unequal_values_are_in_conflict_up_to_half_an_interval_and_beyond_it_they_are_two_readings() {
    for (distance, conflicts) in [(0, 1), (1, 1), (150_000, 1), (150_001, 0)] {
        let mut fhir = feed(Route::Fhir, 0, 10);
        fhir.push(by(Route::Fhir, 100 * MINUTE, Glucose::mg_dl(150)));
        let other = by(Route::Hl7v2, 100 * MINUTE + distance, Glucose::mg_dl(151));
        let selection = of(&[("a", [fhir, vec![other]].concat())]);
        assert_eq!(selection.crossings.conflicts.len(), conflicts, "{distance} ms");
        assert_eq!(selection.counted.len(), 12 - conflicts, "{distance} ms");
        for conflict in &selection.crossings.conflicts {
            assert_eq!((conflict.stands.route, conflict.yields), (Route::Fhir, other));
        }
    }
}

#[test]
fn values_are_equal_across_units_where_they_are_the_same_to_the_tenth_that_is_shown() {
    for (mg_dl, tenths, equal) in [
        (99, 55, true),
        (100, 56, true),
        (70, 39, true),
        (98, 55, false),
        (180, 100, true),
        (182, 100, false),
    ] {
        let pair = vec![
            by(Route::Fhir, 0, Glucose::mg_dl(mg_dl)),
            by(Route::Hl7v2, 20_000, Glucose::mmol_l_tenths(tenths)),
        ];
        let selection = of(&[("a", pair)]);
        assert_eq!(selection.counted.len(), 1);
        assert_eq!(selection.counted[0].reading.glucose, Glucose::mg_dl(mg_dl), "never re-expressed");
        assert_eq!(selection.crossings.conflicts.is_empty(), equal, "{mg_dl} mg/dL and {tenths} tenths");
    }
    let low = |unit| Glucose {
        measured: Measured::Below(if unit == Unit::MgDl { "40" } else { "2.2" }.parse().unwrap()),
        unit,
    };
    let limits = vec![by(Route::Fhir, 0, low(Unit::MgDl)), by(Route::Hl7v2, 0, low(Unit::MmolL))];
    assert!(of(&[("a", limits)]).crossings.conflicts.is_empty(), "a limit is a limit in either unit");
}

#[test]
fn a_correction_outranks_any_route_and_between_corrections_the_route_decides() {
    use Standing::{Corrected, Final};
    for (of_fhir, of_hl7, stands) in [
        (Final, Final, Route::Fhir),
        (Final, Corrected, Route::Hl7v2),
        (Corrected, Final, Route::Fhir),
        (Corrected, Corrected, Route::Fhir),
    ] {
        let fhir = Reading { standing: of_fhir, ..by(Route::Fhir, 0, Glucose::mg_dl(100)) };
        let hl7 = Reading { standing: of_hl7, ..by(Route::Hl7v2, 5_000, Glucose::mg_dl(120)) };
        let selection = of(&[("a", vec![fhir, hl7])]);
        assert_eq!(selection.counted[0].reading.route, stands, "{of_fhir:?} {of_hl7:?}");
        assert_eq!(selection.crossings.conflicts.len(), 1);
    }
}

#[test]
fn what_one_feed_took_back_does_not_count_because_another_carries_it() {
    for (gone, other) in
        [(Route::Fhir, Route::Hl7v2), (Route::Hl7v2, Route::Fhir), (Route::File, Route::Fhir)]
    {
        let mut all = [feed(gone, 0, 5), feed(other, 9_000, 5)].concat();
        // A retraction need not state a value.
        all[2] = Reading { standing: Standing::Retracted, glucose: Glucose::mg_dl(0), ..all[2] };
        let selection = of(&[("a", all)]);
        assert_eq!(selection.counted.len(), 4, "{gone:?}");
        assert_eq!(selection.excluded[&Exclusion::Retracted], 2);
    }
    // What the source says anew instead counts.
    let mut all = [feed(Route::Fhir, 0, 5), feed(Route::Hl7v2, 9_000, 5)].concat();
    all[2].standing = Standing::Retracted;
    all.push(Reading { identity: 77, ..by(Route::Fhir, 10 * MINUTE, Glucose::mg_dl(140)) });
    let selection = of(&[("a", all)]);
    assert_eq!((selection.counted.len(), selection.counted[2].reading.glucose), (5, Glucose::mg_dl(140)));
}

#[test]
fn a_feed_that_names_the_device_less_fully_speaks_of_the_one_that_it_meets() {
    for (bare, full, joined) in
        [("", "SN1", true), ("", "SN1^MAKER", true), ("SN1", "SN1^MAKER", true), ("SN", "SN1", false)]
    {
        let mut hl7 = feed(Route::Hl7v2, 9_000, 40);
        hl7[7].glucose = Glucose::mg_dl(180);
        let selection = of(&[(bare, feed(Route::Fhir, 0, 40)), (full, hl7)]);
        assert_eq!(selection.counted.len(), 40, "{bare:?} and {full:?}: no minute twice");
        assert_eq!(selection.crossings.conflicts.len(), usize::from(joined), "{bare:?} and {full:?}");
        assert!(selection.crossings.conflicts.iter().all(|it| it.device.0 == full));
    }
}

#[test]
fn a_correction_that_is_another_reading_to_its_source_takes_the_place_of_all_copies() {
    let fhir = by(Route::Fhir, 9_000, Glucose::mg_dl(110));
    let original = by(Route::Hl7v2, 0, Glucose::mg_dl(110));
    let corrected =
        Reading { standing: Standing::Corrected, identity: 99, ..by(Route::Hl7v2, 0, Glucose::mg_dl(130)) };
    let selection = of(&[("a", vec![fhir, original, corrected])]);
    assert_eq!(selection.counted.iter().map(|it| it.reading).collect::<Vec<_>>(), [corrected]);
    let told: Vec<_> = selection.crossings.conflicts.iter().map(|it| (it.stands, it.yields)).collect();
    assert_eq!(told, [(corrected, fhir)], "what a source corrected in its own feed contradicts nobody");
}

#[test]
fn a_device_without_readings_in_the_period_changes_nothing_of_an_unnamed_one() {
    let mut unnamed = feed(Route::Hl7v2, 0, 10);
    unnamed
        .push(Reading { standing: Standing::Retracted, ..by(Route::Fhir, 46 * MINUTE, Glucose::mg_dl(40)) });
    let beyond = vec![by(Route::Fhir, 3 * Instant::DAY_MS, Glucose::mg_dl(40))];
    let alone = of(&[("", unnamed.clone())]);
    let beside = of(&[("", unnamed), ("G6", beyond)]);
    assert_eq!((values(&alone).len(), &beside.excluded), (9, &alone.excluded));
    assert_eq!(values(&beside), values(&alone));
}

#[test]
fn an_unnamed_reading_that_several_devices_may_have_made_is_none_of_theirs() {
    let (a, b) = (feed(Route::Hl7v2, 0, 10), feed(Route::Hl7v2, 1_000, 10));
    let unnamed = vec![by(Route::Fhir, 10 * MINUTE, Glucose::mg_dl(222))];
    let selection = of(&[("", unnamed), ("a", a), ("b", b)]);
    assert!(selection.crossings.conflicts.is_empty());
}

/// Readings of three feeds of one sensor: some lost, some late, some with another value.
fn any_feeds() -> impl Strategy<Value = Vec<(u8, Reading)>> {
    let standing = prop_oneof![8 => Just(Standing::Final), 1 => Just(Standing::Corrected), 1 => Just(Standing::Retracted)];
    let route = prop::sample::select(vec![Route::Fhir, Route::Hl7v2, Route::File, Route::Scan]);
    let one = (0u8..3, 0i64..30, -160_000i64..160_000, 98i32..103, standing, route, 0u64..60, 0i64..3);
    prop::collection::vec(one, 0..50).prop_map(|all| {
        all.into_iter()
            .map(|(device, n, jitter, value, standing, route, identity, made_at)| {
                let reading = by(route, (n * 5 + 10) * MINUTE + jitter, Glucose::mg_dl(value));
                // The message is what it was made from, as in a store: equal readings came in one.
                let message = (n as u64) << 8 | identity;
                (device, Reading { standing, identity, made_at: Instant(made_at), message, ..reading })
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Interleaving, batches and repetition change neither what counts nor what is told of it.
    #[test]
    fn whatever_the_order_and_the_batches_of_the_feeds_the_same_counts(
        all in any_feeds(),
        order in any::<prop::sample::Index>(),
        cuts in prop::collection::vec(1usize..9, 1..9),
    ) {
        let names = ["", "SN1", "SN1^MAKER"];
        let mut streams: BTreeMap<u8, crate::chunk::Chunk> = BTreeMap::new();
        for (device, reading) in &all {
            streams.entry(*device).or_default().merge([*reading]);
        }
        let chunks = |streams: &BTreeMap<u8, crate::chunk::Chunk>| -> Vec<(Device, Vec<Reading>)> {
            streams.iter().map(|(device, chunk)| (Device(names[usize::from(*device)].to_owned()), chunk.readings().to_vec())).collect()
        };
        let wanted = select(&period(), &chunks(&streams), Policy::standard());

        let mut shuffled = all.clone();
        if !shuffled.is_empty() {
            let middle = order.index(shuffled.len());
            shuffled.rotate_left(middle);
            shuffled[..].reverse();
        }
        let mut others: BTreeMap<u8, crate::chunk::Chunk> = BTreeMap::new();
        let (mut rest, mut cuts) = (shuffled.as_slice(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (batch, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            for _twice in 0..2 {
                for (device, reading) in batch {
                    others.entry(*device).or_default().merge([*reading]);
                }
            }
            rest = later;
        }
        let mut reversed = chunks(&others);
        reversed.reverse();
        prop_assert_eq!(select(&period(), &reversed, Policy::standard()), wanted);
    }

    /// Every reading of the period counts or is left out for one reason, and no minute counts twice.
    #[test]
    fn nothing_is_lost_between_two_feeds(all in any_feeds()) {
        let mut chunk = crate::chunk::Chunk::new();
        chunk.merge(all.into_iter().map(|(_, reading)| reading).filter(|it| it.route != Route::Scan));
        let of_period = chunk.len() as u64;
        let selection = select(&period(), &[(Device("a".to_owned()), chunk.readings().to_vec())], Policy::standard());
        prop_assert_eq!(selection.counted.len() as u64 + selection.excluded.values().sum::<u64>(), of_period);
        let conflicts = selection.excluded.get(&Exclusion::Conflict).copied().unwrap_or(0);
        prop_assert!(selection.crossings.conflicts.len() as u64 <= conflicts);
    }
}
