//! Whole xDrip+ tables, made by hand.

use super::*;
use crate::{
    glucose::Glucose,
    normalize::{
        clock::Zone,
        file::{self, FileReadings},
    },
    reading::Instant,
};

/// 2024-01-15T12:00:00Z.
const NOON: i64 = 19_737 * Instant::DAY_MS + 12 * 3_600_000;

fn file(text: &str) -> FileReadings {
    let zone = Zone::named("America/New_York").unwrap();
    file::read(text, &FileContext { zone: &zone, message_id: 3 }).unwrap()
}

#[test]
fn sensor_values_calibrations_and_treatments_are_told_apart() {
    let read = file(
        "DAY;TIME;UDT_CGMS;BG_LEVEL;CH_GR;BOLUS;REMARK\n15.01.2024;07:00;120;;;;\n05.04.2024;08:00;121;;;;\n\
         15.01.2024;07:02;;118;;;\n15.01.2024;07:03;;;30;2,5;breakfast with Ada\n15.01.2024;07:04;;;;;note\n",
    );
    let readings: Vec<_> = read.readings.iter().map(|(_, r)| (r.time.0, r.glucose)).collect();
    assert_eq!(readings[0], (NOON, Glucose::mg_dl(120)));
    assert_eq!(readings[1].0 - NOON, 81 * Instant::DAY_MS, "day first, and noon by summer time");
    let counts: Vec<_> = read.kept_apart.iter().map(|(kind, rows)| (*kind, *rows)).collect();
    assert_eq!(counts, [(Apart::Calibration, 1), (Apart::Insulin, 1), (Apart::Event, 1)]);
    let events: Vec<_> = read.events.iter().map(|(_, e)| (e.kind, e.value.unwrap().to_string())).collect();
    assert_eq!(
        events,
        [(EventKind::Carbohydrate, "30".to_owned()), (EventKind::OtherInsulin, "2.5".to_owned())]
    );
    assert!(!format!("{read:?}").contains("Ada"), "a remark is never returned");
}

#[test]
fn the_table_of_older_versions_is_read_and_decimals_contradict_its_unit() {
    let read = file(
        "DAY;TIME;UDT_CGMS\r\n15.01.2024;07:00;120\r\n15.01.2024;07:05;6,7\r\n;07:05;121\r\n31.02.2024;07:05;121\r\n",
    );
    assert_eq!(read.readings.len(), 1);
    let reasons: Vec<_> = read.faults.iter().map(|fault| (fault.line, fault.reason)).collect();
    let expected =
        [(3, RowReason::UnitContradicts), (4, RowReason::TimeMissing), (5, RowReason::TimeUnreadable)];
    assert_eq!(reasons, expected);
}

#[test]
fn the_repeated_hour_is_told_apart_by_the_order_of_rows() {
    let rows = ["00:55", "01:55", "01:00", "02:00"].map(|time| format!("03.11.2024;{time};120"));
    let read = file(&format!("DAY;TIME;UDT_CGMS\n{}\n", rows.join("\n")));
    let minutes = |at: Instant| (at.0 - 20_030 * Instant::DAY_MS) / Instant::MINUTE_MS;
    let settled: Vec<_> = read.readings.iter().map(|(_, r)| (minutes(r.time), r.tz_ambiguous)).collect();
    assert_eq!(settled, [(295, false), (355, false), (360, false), (420, false)]);
}
