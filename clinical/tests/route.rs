//! The route in does not change a bit of an outcome: the same readings as HL7 v2 messages in any batching
//! and order, with duplicates, and as a Dexcom Clarity export, give the same metrics.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(unreachable_pub, reason = "a module of one test binary")]

mod source;

use clinical::{
    calendar::{LocalDay, Zone},
    chunk::Chunk,
    identity::PatientRule,
    normalize::{clock, file, hl7v2},
    outcome::Outcome,
    outcomes::compute,
    policy::Policy,
    reading::{Device, Instant, Reading},
};
use jiff::{Timestamp, tz::TimeZone};
use proptest::prelude::*;
use source::Source;

const ZONE: &str = "America/New_York";
const DEVICE: &str = "SM1/T1";
/// 2026-03-02T00:00-05:00: the period that follows holds the spring change of 8 March.
const START_MS: i64 = 1_772_427_600_000;
const DAYS: i32 = 14;

/// One reading: how many five-minute steps after the start, and its value in mg/dL.
type Point = (u16, u16);

fn local(step: u16) -> (String, String) {
    let zone = TimeZone::get(ZONE).unwrap();
    let at = Timestamp::from_millisecond(START_MS + i64::from(step) * 5 * Instant::MINUTE_MS).unwrap();
    let zoned = at.to_zoned(zone);
    (zoned.strftime("%Y%m%d%H%M%S%z").to_string(), zoned.strftime("%Y-%m-%dT%H:%M:%S").to_string())
}

fn message(points: &[Point], id: usize) -> String {
    let mut text = format!(
        "MSH|^~\\&|CGM|NORTH|||20260320120000-0500||ORU^R01^ORU_R01|{id}|P|2.5.1\r\
         PID|1||77^^^NORTH^MR\rOBR|1||F{id}|99504-3^Glucose^LN\r"
    );
    for (n, (step, value)) in points.iter().enumerate() {
        let (time, _) = local(*step);
        text.push_str(&format!(
            "OBX|{}|NM|99504-3^Glucose^LN||{value}|mg/dL^^UCUM|||||F|||{time}||||{DEVICE}\r",
            n + 1
        ));
    }
    text
}

fn by_messages(batches: &[Vec<Point>]) -> Vec<(Device, Reading)> {
    let zone = clock::Zone::named(ZONE).unwrap();
    let rule = PatientRule::default();
    let context = hl7v2::Context {
        zone: &zone,
        trust_msh7_offset: false,
        patient: &rule,
        sender_codes: &[],
        message_id: 1,
    };
    let mut readings = Vec::new();
    for (id, batch) in batches.iter().enumerate() {
        for group in hl7v2::normalize(&message(batch, id), &context).groups {
            assert!(group.faults.is_empty(), "{:?}", group.faults);
            readings.extend(group.readings);
        }
    }
    readings
}

fn by_file(points: &[Point]) -> Vec<(Device, Reading)> {
    let mut text = String::from(
        "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Event Subtype,Patient Info,Device Info,\
         Source Device ID,Glucose Value (mg/dL),Insulin Value (u),Carb Value (grams),Duration (hh:mm:ss),\
         Glucose Rate of Change (mg/dL/min),Transmitter Time (Long Integer),Transmitter ID\n",
    );
    for (n, (step, value)) in points.iter().enumerate() {
        let (_, time) = local(*step);
        text.push_str(&format!("{},{time},EGV,,,,SM1,{value},,,,,{},T1\n", n + 1, u32::from(*step) * 300));
    }
    let zone = clock::Zone::named(ZONE).unwrap();
    let read = file::read(&text, &file::FileContext { zone: &zone, message_id: 2 }).unwrap();
    assert!(read.faults.is_empty(), "{:?}", read.faults);
    read.readings.into_iter().map(|(device, reading)| (Device::clone(&device), reading)).collect()
}

/// The outcome by way of the stored form: chunks by device and UTC day, merged reading by reading.
fn outcome(readings: Vec<(Device, Reading)>) -> Option<Outcome> {
    let mut chunks: std::collections::BTreeMap<(Device, i32), Chunk> = Default::default();
    for (device, reading) in readings {
        chunks.entry((device, reading.time.utc_day())).or_default().merge([reading]);
    }
    let streams: Vec<(Device, Vec<Reading>)> = chunks
        .into_iter()
        .map(|((device, _), chunk)| {
            let stored = Chunk::decode(&chunk.encode()).unwrap();
            (device, stored.readings().to_vec())
        })
        .collect();
    let zone = Zone::named(ZONE).unwrap();
    let first = zone.day_of(Instant(START_MS));
    let period = zone.period(first, LocalDay(first.0 + DAYS - 1)).unwrap();
    compute(&period, &streams, Policy::standard())
}

fn points() -> impl Strategy<Value = Vec<Point>> {
    proptest::collection::btree_map(0u16..14 * 288, 39u16..402, 1..120)
        .prop_map(|points| points.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn route_order_batching_and_duplicates_do_not_change_a_bit(
        points in points(),
        size in 1usize..40,
        shuffled in any::<u64>(),
    ) {
        let whole = outcome(by_messages(std::slice::from_ref(&points)));
        let mut batches: Vec<Vec<Point>> = points.chunks(size).map(<[Point]>::to_vec).collect();
        batches.extend(batches.clone().into_iter().take(2));
        let turn = (shuffled % batches.len() as u64) as usize;
        batches.rotate_left(turn);
        if shuffled & 1 == 1 {
            batches.reverse();
        }
        let pieces = outcome(by_messages(&batches));
        let file = outcome(by_file(&points));
        // A resend under another order number is a copy, which is counted as excluded and changes nothing.
        let metrics = |outcome: &Option<Outcome>| {
            outcome.clone().map(|mut outcome| {
                outcome.excluded.clear();
                serde_json::to_string(&outcome).unwrap()
            })
        };
        prop_assert_eq!(metrics(&pieces), metrics(&whole));
        prop_assert_eq!(metrics(&file), metrics(&whole));
    }

    #[test]
    fn both_routes_at_once_count_every_reading_once(points in points()) {
        let whole = outcome(by_messages(std::slice::from_ref(&points)));
        let mut both = by_messages(std::slice::from_ref(&points));
        both.extend(by_file(&points));
        let both = outcome(both).unwrap();
        let whole = whole.unwrap();
        prop_assert_eq!(both.n, whole.n);
        prop_assert_eq!(both.display_hash(), whole.display_hash());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// By all ten, over the spring change: from what states an instant, and from what states a clock alone.
    #[test]
    fn every_source_of_the_same_readings_gives_the_same_outcome(
        // Runs of a 5-minute sensor: from which step on, how many readings, from which value on by how much.
        runs in prop::collection::vec((0i64..13 * 288, 3i64..40, 60i64..330, -2i64..=2), 1..8),
    ) {
        let zone = Zone::named(ZONE).unwrap();
        let first: LocalDay = "2025-03-01".parse().unwrap();
        let period = zone.period(first, first.plus(13)).unwrap();
        // The last day is a fourteenth, which proves the order of dates.
        let last_day = (13 * 288 + 12, 12, 100, 1);
        let values: std::collections::BTreeMap<i64, i64> = runs
            .into_iter()
            .chain([last_day])
            .flat_map(|(from, n, value, by)| (0..n).map(move |k| (from + k, (value + k * by).clamp(41, 399))))
            .collect();
        let points: Vec<_> = values
            .into_iter()
            .map(|(step, value)| {
                let at = Instant(period.start.0 + step * 5 * Instant::MINUTE_MS);
                source::Point { at, offset_minutes: source::offset_in(ZONE, at), value: value.to_string() }
            })
            .collect();
        let of = |source: Source| {
            let readings = source.read(&source.write(&points, source::Unit::MgDl), ZONE);
            compute(&period, &source::streams(readings), Policy::standard()).unwrap()
        };
        let expected = of(Source::Hl7v2);
        prop_assert_eq!(expected.n, points.len() as u64);
        for source in Source::OF_INSTANTS.into_iter().chain(Source::OF_CLOCKS) {
            prop_assert_eq!(&of(source), &expected, "{:?}", source);
        }
    }
}
