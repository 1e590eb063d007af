//! Whole Glooko tables, made by hand.

use super::*;
use crate::{
    normalize::{
        clock::Zone,
        file::{self, FileReadings},
    },
    reading::Instant,
};

/// 2024-01-15T12:00:00Z.
const NOON: i64 = 19_737 * Instant::DAY_MS + 12 * 3_600_000;

fn try_file(text: &str) -> Result<FileReadings, FileFault> {
    let zone = Zone::named("America/New_York").unwrap();
    file::read(text, &FileContext { zone: &zone, message_id: 3 })
}

#[test]
fn english_and_german_tables_read_the_same() {
    let english = "Name:Ada Lovelace,Date Range:2024-01-15 - 2024-01-16\n\
        Timestamp,CGM Glucose Value (mg/dl),Serial Number\n2024-01-15 07:00,110.5,S1\n2024-01-15 07:05,112.0,S1\n";
    let german = "\u{feff}Name:Ada Lovelace,Datumsbereich:15.01.2024 - 16.01.2024\r\n\
        Zeitstempel,CGM-Glukosewert (mg/dl),Seriennummer\r\n15.01.2024 07:00,\"110,5\",S1\r\n15.01.2024 07:05,\"112,0\",S1\r\n";
    let (english, german) = (try_file(english).unwrap(), try_file(german).unwrap());
    assert_eq!(english.readings, german.readings);
    assert_eq!(english.readings[0].1.time, Instant(NOON));
    assert_eq!(english.readings[0].1.glucose.measured, Measured::Exact("110.5".parse().unwrap()));
    assert_eq!(english.readings[0].0.0, "S1");
    assert_eq!(english.kept_apart.get(&Apart::Preamble), Some(&1));
    assert!(!format!("{english:?}").contains("Lovelace"), "a name is never returned");
}

#[test]
fn the_numbers_that_stand_for_a_limit_are_limits_and_told() {
    let text = "Name:X\nTimestamp,CGM Glucose Value (mg/dl)\n2024-01-15 07:00,1\n2024-01-15 07:05,2001\n2024-01-15 07:10,2\n";
    let read = try_file(text).unwrap();
    let values: Vec<_> = read.readings.iter().map(|(_, r)| r.glucose.measured).collect();
    let whole = Decimal::whole;
    assert_eq!(values, [Measured::Below(whole(40)), Measured::Above(whole(400))]);
    assert_eq!(read.faults[0].reason, RowReason::ValueTooLow, "2 stands for nothing");
    assert!(read.notes.iter().any(|note| note.starts_with("2 values of 1 or 2001")), "{:?}", read.notes);
}

#[test]
fn the_order_of_dates_is_proved_and_the_unit_stated_or_the_file_is_refused() {
    let text =
        |unit: &str, dates: &str| format!("Name:X\nTimestamp,CGM Glucose Value{unit}\n{dates} 07:00,6.1\n");
    assert!(try_file(&text(" (mmol/l)", "1/15/2024")).is_ok());
    assert_eq!(try_file(&text(" (mmol/l)", "1/5/2024")), Err(FileFault::DateOrderUnproven));
    assert_eq!(try_file(&text("", "1/15/2024")), Err(FileFault::UnitUnknown));
}

#[test]
fn boluses_and_basal_rates_become_events_and_finger_sticks_are_counted() {
    let bolus = "Name:X\nTimestamp,Insulin Type,Blood Glucose Input (mg/dl),Carbs Input (g),Carbs Ratio,Insulin Delivered (U),\
        Initial Delivery (U),Extended Delivery (U),Serial Number\n2024-01-15 07:00,Normal,120,30.0,15,2.05,,,S\n2024-01-15 08:00,Normal,201,0.0,15,0.5,,,S\n";
    let read = try_file(bolus).unwrap();
    let events: Vec<_> =
        read.events.iter().map(|(_, e)| (e.time, e.kind, e.value.unwrap().to_string())).collect();
    assert_eq!(
        events,
        [
            (Instant(NOON), EventKind::RapidInsulin, "2.05".to_owned()),
            (Instant(NOON), EventKind::Carbohydrate, "30.0".to_owned()),
            (Instant(NOON + 3_600_000), EventKind::RapidInsulin, "0.5".to_owned()),
        ]
    );
    assert!(read.readings.is_empty());
    assert_eq!(read.kept_apart.get(&Apart::Insulin), Some(&2));
    let basal = "Name:X\nTimestamp,Insulin type,Duration (minutes),Percentage (%),Rate,Insulin delivered (U)\n2024-01-15 07:00,Scheduled,30,,0.6,0.3\n";
    let kinds: Vec<_> = try_file(basal).unwrap().events.iter().map(|(_, e)| e.kind).collect();
    assert_eq!(kinds, [EventKind::BasalRate]);
    let sticks = "Name:X\nTimestamp,Glucose Value (mg/dl),Manual Reading\n2024-01-15 07:00,130,M\n";
    let read = try_file(sticks).unwrap();
    assert_eq!((read.readings.len(), read.kept_apart.get(&Apart::Strip)), (0, Some(&1)));
}
