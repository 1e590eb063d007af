//! Whole Clarity files, made by hand, and the public samples.

use super::*;
use crate::{
    glucose::{Glucose, Measured},
    normalize::{clock::Zone, file::read, testdata},
    reading::{Instant, Reading, Standing},
};

const HEADER: &str = "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Event Subtype,Patient Info,Device Info,\
                      Source Device ID,Glucose Value (mg/dL),Insulin Value (u),Carb Value (grams),\
                      Duration (hh:mm:ss),Glucose Rate of Change (mg/dL/min),\
                      Transmitter Time (Long Integer),Transmitter ID";
/// 2024-01-15T12:00:00Z.
const NOON: i64 = 19_737 * Instant::DAY_MS + 12 * 3_600_000;

fn file(text: &str) -> FileReadings {
    let zone = Zone::named("America/New_York").unwrap();
    read(text, &FileContext { zone: &zone, message_id: 3 }).unwrap()
}

/// A file with these data rows.
fn rows_of(rows: &[String]) -> FileReadings {
    file(&format!("{HEADER}\r\n{}\r\n", rows.join("\r\n")))
}

fn egv(time: &str, value: &str, ticks: &str) -> String {
    format!("1,{time},EGV,,,,iPhone G6,{value},,,,,{ticks},8ABC")
}

fn reasons(read: &FileReadings) -> Vec<(u32, RowReason)> {
    read.faults.iter().map(|fault| (fault.line, fault.reason)).collect()
}

#[test]
fn an_egv_row_becomes_a_reading_with_all_its_facts() {
    let read = rows_of(&[egv("2024-01-15T07:00:00", "120", "1000")]);
    let [(device, reading)] = &read.readings[..] else { panic!("{read:?}") };
    assert_eq!(device.0, "iPhone G6/8ABC");
    assert_eq!((reading.time, reading.offset_minutes), (Instant(NOON), Some(-300)));
    assert_eq!(reading.glucose, Glucose::mg_dl(120));
    assert_eq!((reading.standing, reading.route), (Standing::Final, Route::File));
    assert_eq!((reading.made_at, reading.message, reading.tz_ambiguous), (Instant(0), 3, false));
    assert_eq!(read.resolution, "mg/dL with 0 decimals, times to the second");
}

#[test]
fn every_spelling_of_the_file_reads_the_same() {
    let row = egv("2024-01-15T07:00:00", "120", "1000");
    let expected = rows_of(std::slice::from_ref(&row));
    let text = format!("{HEADER}\n{row}\n");
    for variant in [
        text.replace(',', "\t"),
        text.replace(',', ";"),
        text.replace("T07", " 07"),
        format!("\u{feff}{text}"),
        format!("\u{feff}{}", text.replacen("Index", "\"ï»¿\"\"\"\"Index\"\"\"\"\"", 1)),
        text.replace(",8ABC", ",8ABC,,,"),
    ] {
        assert_eq!(file(&variant), expected, "{variant}");
    }
    let bare = file("Timestamp,Event Type,Glucose Value (mg/dL)\n2024-01-15T07:00:00,EGV,120\n");
    assert_eq!((bare.readings[0].0.0.as_str(), bare.readings[0].1.time), ("", Instant(NOON)));
}

#[test]
fn the_unit_comes_from_the_name_of_the_column_or_the_file_is_refused() {
    let zone = Zone::named("UTC").unwrap();
    let context = FileContext { zone: &zone, message_id: 0 };
    let text = |column: &str| format!("Timestamp;Event Type;{column}\n2024-01-15T07:00:00;EGV;5,4\n");
    let molar = read(&text("Glucose Value (mmol/L)"), &context).unwrap();
    assert_eq!(molar.readings[0].1.glucose, Glucose::mmol_l_tenths(54));
    for column in ["Glucose Value", "Glucose Value (g/L)", "Glucose Value (mg/dL);Glucose Value (mmol/L)"] {
        assert_eq!(read(&text(column), &context), Err(FileFault::UnitUnknown), "{column}");
    }
}

#[test]
fn low_and_high_are_the_limits_of_the_sensor() {
    let values = |unit: &str| {
        let text = format!(
            "Timestamp,Event Type,Glucose Value ({unit})\n2024-01-15T07:00:00,EGV,Low\n2024-01-15T07:05:00,EGV,High\n"
        );
        file(&text).readings.iter().map(|(_, r)| r.glucose.measured).collect::<Vec<_>>()
    };
    let limit = |text: &str| text.parse().unwrap();
    assert_eq!(values("mg/dL"), [Measured::Below(limit("40")), Measured::Above(limit("400"))]);
    assert_eq!(values("mmol/L"), [Measured::Below(limit("2.2")), Measured::Above(limit("22.2"))]);
}

#[test]
fn only_egv_rows_are_readings_and_the_rest_is_counted() {
    let read = rows_of(&[
        "1,,FirstName,,Lovelace,,,,,,,,,".into(),
        "2,,Device,,,Dexcom G6,iPhone G6,,,,,,,".into(),
        "3,,Alert,High,,,iPhone G6,251,,,,,,".into(),
        "4,2024-01-15T06:55:00,Alert,Low,,,iPhone G6,64,,,,,,".into(),
        "5,2024-01-15T06:56:00,Calibration,,,,iPhone G6,111,,,,,,8ABC".into(),
        "6,2024-01-15T06:57:00,Insulin,Fast-Acting,,,iPhone G6,,5,,,,,".into(),
        "7,2024-01-15T06:58:00,Carbs,,,,iPhone G6,,,30,,,".into(),
        "8,2024-01-15T06:59:00,Exercise,Light,,,iPhone G6,,,,0:30:00,,".into(),
        ",,,,,,,,,,,,,".into(),
        egv("2024-01-15T07:00:00", "120", "1"),
    ]);
    assert_eq!((read.readings.len(), read.faults.len()), (1, 0));
    assert!(!format!("{read:?}").contains("Lovelace"), "a name is never returned");
    let counts: Vec<_> = read.kept_apart.into_iter().collect();
    let expected = [
        (Apart::Alert, 2),
        (Apart::Calibration, 1),
        (Apart::Insulin, 1),
        (Apart::Food, 1),
        (Apart::Event, 1),
        (Apart::Preamble, 2),
    ];
    assert_eq!(counts, expected);
}

#[test]
fn doses_food_and_exercise_become_events() {
    let read = rows_of(&[
        "6,2024-01-15T06:57:00,Insulin,Fast-Acting,,,iPhone G6,,5.5,,,,,".into(),
        "7,2024-01-15T06:57:00,Insulin,Long-Acting,,,iPhone G6,,20,,,,,".into(),
        "7,2024-01-15T06:58:00,Carbs,,,,iPhone G6,,,30,,,".into(),
        "8,2024-01-15T07:00:00,Exercise,Light,,,iPhone G6,,,,0:30:05,,".into(),
        "8,,Carbs,,,,iPhone G6,,,30,,,".into(),
    ]);
    let events: Vec<_> = read
        .events
        .iter()
        .inspect(|(device, _)| assert_eq!(device.0, "iPhone G6"))
        .map(|(_, e)| (e.kind, e.value.unwrap().to_string(), (e.time.0 - NOON) / 60_000))
        .collect();
    let expected = [
        (EventKind::RapidInsulin, "5.5".to_owned(), -3),
        (EventKind::LongInsulin, "20".to_owned(), -3),
        (EventKind::Carbohydrate, "30".to_owned(), -2),
        (EventKind::Exercise, "1805".to_owned(), 0),
    ];
    assert_eq!(events, expected);
    assert_eq!(read.notes, ["1 events without a time that can be read: counted only"]);
    assert!(read.readings.is_empty());
}

#[test]
fn the_count_of_a_transmitter_is_kept_where_it_begins_anew_and_at_its_ends() {
    let row =
        |n: i64, ticks: i64| format!("{n},2024-01-15T07:{:02}:00,EGV,,,,phone,100,,,,,{ticks},8X", n * 5);
    let rows: Vec<String> = (0..6).map(|n| row(n, if n < 3 { 9_000 + n * 300 } else { n * 300 })).collect();
    let read = rows_of(&rows);
    let [(device, marks)] = &read.marks[..] else { panic!("one device") };
    let counts: Vec<_> = marks.iter().map(|mark| ((mark.time.0 - NOON) / 60_000, mark.ticks)).collect();
    assert_eq!(
        (device.0.as_str(), counts),
        ("phone/8X", vec![(0, 9_000), (10, 9_600), (15, 900), (25, 1_500)])
    );
    assert_eq!(read.readings.len(), 6);
}

#[test]
fn of_faulty_rows_a_bounded_number_is_listed_and_the_rest_is_counted_by_its_reason() {
    let most = crate::normalize::file::MAX_FAULTS_LISTED;
    let rows: Vec<String> =
        (0..most + 5).map(|n| format!("{n},2024-01-15T07:00:00,EGV,,,,phone,x,,,,,,")).collect();
    let read = rows_of(&rows);
    assert_eq!((read.faults.len(), read.unread()), (most, most as u64 + 5));
    assert_eq!(read.more_faults, [(RowReason::ValueNotANumber, 5)].into());
}

#[test]
fn german_and_spanish_headers_and_quoted_rows_are_read() {
    let german = "Index;Zeitstempel (JJJJ-MM-TTThh:mm:ss);Ereignistyp;Glukosewert (mmol/l)\n\
                  1;2024-01-15T07:00:00;EGW;5,8\n2;2024-01-15T07:05:00;EGW;Niedrig\n";
    let values: Vec<_> = file(german).readings.iter().map(|(_, r)| r.glucose.measured).collect();
    let limit = |text: &str| text.parse().unwrap();
    assert_eq!(values, [Measured::Exact(limit("5.8")), Measured::Below(limit("2.2"))]);
    let spanish = "Índice,Marca temporal (AAAA-MM-DDThh:mm:ss),Tipo de evento,Nivel de glucosa (mg/dl)\n\
                   1,2024-01-15T07:00:00,EGV,120\n";
    assert_eq!(file(spanish).readings[0].1.glucose, Glucose::mg_dl(120));
    let rows = format!("{HEADER}\r\n{}\r\n", egv("2024-01-15T07:00:00", "120", "1000"));
    let quoted = rows.lines().map(|line| format!("\"{}\"\r\n", line.replace(',', "\",\"")));
    assert_eq!(file(&format!("\u{feff}{}", quoted.collect::<String>())), file(&rows));
}

#[test]
fn a_row_that_cannot_be_read_is_a_fault_of_its_line() {
    let read = rows_of(&[
        egv("", "120", "1"),
        egv("15.01.2024 07:00", "120", "1"),
        egv("24-01-15 07:00:00", "120", "1"),
        egv("2024-01-15", "120", "1"),
        egv("2024-03-10T02:30:00", "120", "1"),
        egv("2024-01-15T07:00:00", "", "1"),
        egv("2024-01-15T07:00:00", "?", "1"),
        egv("2024-01-15T07:00:00", "0", "1"),
        egv("2024-01-15T07:00:00", "120", "1"),
    ]);
    assert_eq!(
        reasons(&read),
        [
            (2, RowReason::TimeMissing),
            (3, RowReason::TimeUnreadable),
            (4, RowReason::TimeUnreadable),
            (5, RowReason::TimeUnreadable),
            (6, RowReason::TimeNonexistent),
            (7, RowReason::ValueMissing),
            (8, RowReason::ValueNotANumber),
            (9, RowReason::ValueTooLow),
        ]
    );
    assert_eq!(read.readings.len(), 1);
}

/// Minutes after 2024-11-03T00:00Z; New York repeats the hour from 05:00Z.
fn night(rows: &[(&str, &str)]) -> Vec<(i64, bool)> {
    let rows: Vec<_> =
        rows.iter().map(|(t, ticks)| egv(&format!("2024-11-03T{t}:00"), "120", ticks)).collect();
    let minutes = |r: &Reading| (r.time.0 - 20_030 * Instant::DAY_MS) / Instant::MINUTE_MS;
    rows_of(&rows).readings.iter().map(|(_, r)| (minutes(r), r.tz_ambiguous)).collect()
}

#[test]
fn the_repeated_hour_is_told_apart_by_the_transmitter() {
    // 00:55 is 04:55Z; 75 minutes later is 01:10 of the second pass.
    assert_eq!(night(&[("00:55", "6000"), ("01:10", "10500")]), [(295, false), (370, false)]);
    assert_eq!(night(&[("00:55", "6000"), ("01:10", "6900")]), [(295, false), (310, false)]);
}

#[test]
fn the_repeated_hour_is_told_apart_by_the_order_of_rows_or_marked() {
    assert_eq!(night(&[("01:55", ""), ("01:00", "")]), [(355, false), (360, false)]);
    assert_eq!(night(&[("00:55", ""), ("01:10", ""), ("02:00", "")])[1], (310, true));
}

#[test]
fn rows_of_one_clock_time_differ_in_identity_by_the_transmitters_count() {
    let ids: Vec<_> =
        rows_of(&[egv("2024-01-15T07:00:00", "120", "1"), egv("2024-01-15T07:00:00", "120", "2")])
            .readings
            .iter()
            .map(|(_, r)| r.identity)
            .collect();
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn public_clarity_files_are_read_whole() {
    let Some(mut files) = testdata::files("cgm", "_synthetic.csv") else { return };
    files.retain(|(name, _)| name.contains("Clarity"));
    files.extend(testdata::files("cgm", "_Dexcom.txt").unwrap_or_default());
    assert_eq!(files.len(), 2);
    for (name, bytes) in files {
        let text = String::from_utf8(bytes).unwrap();
        let counted = |kind: &str| text.lines().filter(|line| line.contains(kind)).count() as u64;
        let egv = counted(",EGV,") + counted("\tEGV\t");
        let read = file(&text);
        assert!(egv > 1000, "{name}");
        assert_eq!((read.readings.len() as u64, reasons(&read)), (egv, vec![]), "{name}");
        let alerts = counted(",Alert,") + counted("\tAlert\t");
        assert_eq!(read.kept_apart.get(&Apart::Alert), Some(&alerts), "{name}");
        let low =
            text.lines().filter(|l| l.contains("EGV") && l.split([',', '\t']).nth(7) == Some("Low")).count();
        let below = |r: &Reading| matches!(r.glucose.measured, Measured::Below(_));
        assert_eq!(read.readings.iter().filter(|(_, r)| below(r)).count(), low, "{name}");
        assert!(read.readings.windows(2).all(|pair| pair[0].1.time <= pair[1].1.time), "{name}");
    }
}
