//! Whole CareLink files, made by hand.

use super::*;
use crate::{
    app_event::AppEvent,
    decimal::Decimal,
    glucose::{Glucose, Measured},
    normalize::{
        clock::Zone,
        file::{self, FileReadings},
    },
    reading::{Device, Instant},
};

/// 2024-01-15T12:00:00Z.
const NOON: i64 = 19_737 * Instant::DAY_MS + 12 * 3_600_000;
const PREAMBLE: &str = "Last Name,First Name,Patient ID,System ID,Start Date,End Date,Device,MiniMed 780G\n\
    \"Lovelace\",\"Ada\",\"\",\"\",\"1/15/24 00:00:00\",\"1/16/24 00:00:00\",\"Serial Number\",NG1\n\
    Patient DOB,,,,,,CGM,Guardian\n\
    \n\
    Device data shown may exceed selected date range.\n";
const COLUMNS: &str = "Index,Date,Time,New Device Time,BG Reading (mg/dL),Basal Rate (U/h),Bolus Volume Delivered (U),\
    Alert,BWZ Carb Input (grams),Sensor Calibration BG (mg/dL),Sensor Glucose (mg/dL),Event Marker";

fn try_file(text: &str) -> Result<FileReadings, FileFault> {
    let zone = Zone::named("America/New_York").unwrap();
    file::read(text, &FileContext { zone: &zone, message_id: 3 })
}

/// A file with a pump and a sensor section of these rows.
fn sections(pump: &[&str], sensor: &[&str]) -> FileReadings {
    let section = |kind: &str, rows: &[&str]| {
        format!("-------,MiniMed 780G,{kind},NG1,-------\n{COLUMNS}\n{}\n", rows.join("\n"))
    };
    try_file(&format!("{PREAMBLE}\n{}\n{}", section("Pump", pump), section("Sensor", sensor))).unwrap()
}

fn sensor(time: &str, value: &str) -> String {
    format!("1.00000,2024/01/15,{time},,,,,,,,{value},")
}

fn facts(events: &[(Device, AppEvent)]) -> Vec<(i64, EventKind, Option<String>)> {
    events.iter().map(|(_, e)| ((e.time.0 - NOON) / 60_000, e.kind, e.value.map(|v| v.to_string()))).collect()
}

#[test]
fn a_sensor_row_becomes_a_reading_of_its_sections_serial() {
    let read = sections(&[], &[&sensor("07:05:03", "121"), &sensor("07:00:00", "120")]);
    let readings: Vec<_> = read
        .readings
        .iter()
        .map(|(d, r)| (d.0.as_str(), r.time.0 - NOON, r.offset_minutes, r.glucose))
        .collect();
    assert_eq!(
        readings,
        [("NG1", 303_000, Some(-300), Glucose::mg_dl(121)), ("NG1", 0, Some(-300), Glucose::mg_dl(120))]
    );
    assert_eq!((read.format, read.faults.len()), (Format::CareLink, 0));
    assert_eq!(read.notes, ["dates are year, month, day: line 13 fits no other order"]);
    assert!(!format!("{read:?}").contains("Lovelace"), "a name is never returned");
}

#[test]
fn finger_sticks_calibrations_and_alerts_are_kept_apart_and_doses_become_events() {
    let read = sections(
        &[
            "0.00000,2024/01/15,07:30:00,,,,5.2,,,,,",
            "1.00000,2024/01/15,07:29:00,,,,,,40,,,",
            "2.00000,2024/01/15,07:28:00,,140,,,,,,,",
            "3.00000,2024/01/15,07:27:00,,,,,,,138,,",
            "4.00000,2024/01/15,07:26:00,,,,,LOW SG,,,,",
            "5.00000,2024/01/15,07:25:00,,,0.8,,,,,,",
            "6.00000,2024/01/15,07:24:00,,,,,,,,,Meal: 45.00grams",
            "7.00000,2024/01/15,07:23:00,,,,,,0,,,",
        ],
        &[&sensor("07:00:00", "120")],
    );
    assert_eq!(read.readings.len(), 1);
    let counts: Vec<_> = read.kept_apart.iter().map(|(kind, rows)| (*kind, *rows)).collect();
    let expected = [
        (Apart::Alert, 1),
        (Apart::Calibration, 1),
        (Apart::Strip, 1),
        (Apart::Insulin, 2),
        (Apart::Food, 3),
        (Apart::Preamble, 4 + 3),
    ];
    assert_eq!(counts, expected);
    let said = |text: &str| Some(text.to_owned());
    assert_eq!(
        facts(&read.events),
        [
            (30, EventKind::RapidInsulin, said("5.2")),
            (29, EventKind::Carbohydrate, said("40")),
            (25, EventKind::BasalRate, said("0.8")),
            (24, EventKind::Carbohydrate, said("45.00")),
        ]
    );
}

#[test]
fn sums_of_days_are_no_doses() {
    let text = format!(
        "{PREAMBLE}\n-------,M,Pump,NG1,Aggregated Auto Insulin Data\n{COLUMNS}\n\
         0.00000,2024/01/15,00:00:00,,,,27.895,,,,,\n\n-------,M,Sensor,NG1,-------\n{COLUMNS}\n{}\n",
        sensor("07:00:00", "120")
    );
    let read = try_file(&text).unwrap();
    assert_eq!(facts(&read.events), [(-420, EventKind::DailyInsulin, Some("27.895".to_owned()))]);
}

#[test]
fn semicolons_mean_decimal_commas_and_a_byte_order_mark_changes_nothing() {
    let text = |unit: &str, value: &str, dose: &str| {
        format!(
            "\u{feff}Last Name;First Name\n\"A\";\"B\"\n\n-------;MiniMed;Sensor;NG9;-------\n\
             Index;Date;Time;Bolus Volume Delivered (U);Sensor Glucose ({unit})\n\
             0,00000;2024/01/15;07:05:00;{dose};\n1,00000;2024/01/15;07:00:00;;{value}\n"
        )
    };
    let read = try_file(&text("mmol/L", "5,4", "11,548")).unwrap();
    assert_eq!(read.readings[0].1.glucose, Glucose::mmol_l_tenths(54));
    assert_eq!(read.events[0].1.value, Some("11.548".parse().unwrap()));
    let read = try_file(&text("mg/dL", "94,00000", "")).unwrap();
    assert_eq!(read.readings[0].1.glucose.measured, Measured::Exact("94.00000".parse().unwrap()));
}

#[test]
fn values_at_the_clamp_are_limits() {
    let read =
        sections(&[], &[&sensor("07:10:00", "400"), &sensor("07:05:00", "41"), &sensor("07:00:00", "40")]);
    let values: Vec<_> = read.readings.iter().map(|(_, r)| r.glucose.measured).collect();
    let whole = Decimal::whole;
    assert_eq!(values, [Measured::Above(whole(400)), Measured::Exact(whole(41)), Measured::Below(whole(40))]);
}

#[test]
fn a_clock_that_was_changed_is_told() {
    let read =
        sections(&["0.00000,2024/01/15,08:00:00,2024/01/15 07:00:00,,,,,,,,"], &[&sensor("07:00:00", "120")]);
    assert!(read.notes[1].starts_with("the clock of a device was changed"), "{:?}", read.notes);
}

#[test]
fn a_row_that_cannot_be_read_is_a_fault_of_its_line() {
    let rows = [
        "1,2024/01/15,,,,,,,,,120,",
        "1,2024/01/15,25:00:00,,,,,,,,120,",
        "1,2024/03/10,02:30:00,,,,,,,,120,",
        "1,2024/01/15,07:00:00,,,,,,,,x,",
        "1,2024/01/15,07:00:00,,,,,,,,0,",
        "1,2024/01/15,06:00:00,,,,,,,,120,",
    ];
    let read = sections(&[], &rows);
    let reasons: Vec<_> = read.faults.iter().map(|fault| (fault.line, fault.reason)).collect();
    assert_eq!(
        reasons,
        [
            (13, RowReason::TimeMissing),
            (14, RowReason::TimeUnreadable),
            (15, RowReason::TimeNonexistent),
            (16, RowReason::ValueNotANumber),
            (17, RowReason::ValueTooLow),
        ]
    );
    assert_eq!(read.readings.len(), 1);
}

#[test]
fn old_files_prove_the_order_of_their_dates_or_are_refused() {
    let text = |days: [&str; 3]| {
        let header = "Index,Date,Time,Timestamp,Sensor Glucose (mg/dL)";
        let rows = days.map(|day| format!("1,{day},07:00:00,{day} 07:00:00,120"));
        format!("PATIENT INFO\nDEVICE DATA (1)\n{header}\n{}\n", rows.join("\n"))
    };
    let read = try_file(&text(["01/02/24", "31/01/24", "15/01/24"])).unwrap();
    assert_eq!(read.readings[2].1.time, Instant(NOON));
    assert_eq!(try_file(&text(["05/04/24", "04/04/24", "03/04/24"])), Err(FileFault::DateOrderUnproven));
}

#[test]
fn a_section_without_a_unit_is_faults_and_not_a_guess() {
    let text = format!(
        "{PREAMBLE}\n-------,M,Sensor,NG1,-------\n{COLUMNS}\n{}\n-------,M,Sensor,NG2,-------\n\
         Index,Date,Time,Sensor Glucose\n1,2024/01/15,07:00:00,,,,,,,,120,\n",
        sensor("07:00:00", "120")
    );
    let read = try_file(&text).unwrap();
    assert_eq!((read.readings.len(), read.faults[0].reason), (1, RowReason::UnitMissing));
}

/// New York repeats the hour from 05:00Z of 2024-11-03; the rows run newest first.
#[test]
fn the_repeated_hour_is_told_apart_by_rows_that_run_newest_first() {
    let row = |time: &str| format!("1,2024/11/03,{time}:00,,,,,,,,120,");
    let rows = ["02:00", "01:00", "01:55", "01:00", "00:55"].map(row);
    let read = sections(&[], &rows.each_ref().map(String::as_str));
    let minutes = |at: Instant| (at.0 - 20_030 * Instant::DAY_MS) / Instant::MINUTE_MS;
    let settled: Vec<_> = read.readings.iter().map(|(_, r)| (minutes(r.time), r.tz_ambiguous)).collect();
    assert_eq!(settled, [(420, false), (360, false), (355, false), (300, false), (295, false)]);
}
