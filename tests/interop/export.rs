//! Readings as a person hands them to `isthmus outcomes`, and what it says of them: a Dexcom Clarity export of one
//! transmitter, times in UTC.

use std::{fs, process::Command};

use serde_json::Value;

/// A row of the export.
pub struct Row {
    time: String,
    event: &'static str,
    value: String,
    tick: String,
}

impl Row {
    /// A sensor's reading at `time` (`YYYY-MM-DDThh:mm:ss`), `tick` seconds of the transmitter, in mg/dL.
    pub fn egv(time: String, tick: i64, mg_dl: i32) -> Self {
        Self { time, event: "EGV", value: mg_dl.to_string(), tick: tick.to_string() }
    }

    /// A finger-stick that the person entered.
    pub fn calibration(time: String, mg_dl: i32) -> Self {
        Self { time, event: "Calibration", value: mg_dl.to_string(), tick: String::new() }
    }
}

/// The file.
pub fn clarity(rows: impl IntoIterator<Item = Row>) -> String {
    let header = "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Source Device ID,Glucose Value (mg/dL),\
                  Transmitter Time (Long Integer),Transmitter ID\n";
    let rows = rows.into_iter().enumerate().map(|(n, row)| {
        format!("{},{},{},phone,{},{},8X\n", n + 1, row.time, row.event, row.value, row.tick)
    });
    std::iter::once(header.to_owned()).chain(rows).collect()
}

/// What `isthmus outcomes --json` says of a file.
pub fn told(file: &str) -> Value {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("curve.csv"), file).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_isthmus"))
        .current_dir(dir.path())
        .args(["outcomes", "--json", "--tz", "UTC", "curve.csv"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    value.as_array().map_or(value.clone(), |all| all[0].clone())
}

/// So many minutes after 2025-02-01T00:00:00, whose month has more days than the window.
pub fn clock(minute: i64, between: char) -> String {
    let (day, hour, minute) = (1 + minute / 1440, minute / 60 % 24, minute % 60);
    format!("2025-02-{day:02}{between}{hour:02}:{minute:02}:00")
}

/// What it says of readings of these minutes and mg/dL.
pub fn outcome(readings: &[(i64, i32)]) -> Value {
    let rows = readings.iter().map(|(minute, value)| Row::egv(clock(*minute, 'T'), minute * 60, *value));
    told(&clarity(rows))
}
