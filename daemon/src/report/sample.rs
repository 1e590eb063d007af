//! A small export for the tests of this room.

use clinical::{calendar::Zone, policy::Policy};

use super::export::{Export, Question, export};

/// Six readings of one day and its next midnight, one of each range and `Low`; two rows that are none, one
/// that cannot be read.
pub(super) const CLARITY: &str = "\
Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Source Device ID,Glucose Value (mg/dL),Transmitter Time (Long Integer),Transmitter ID
1,,FirstName,,,,
2,2025-03-01T08:00:00,EGV,phone,Low,100,8XYZ
3,2025-03-01T08:05:00,EGV,phone,60,400,8XYZ
4,2025-03-01T08:10:00,EGV,phone,100,700,8XYZ
5,2025-03-01T08:15:00,EGV,phone,200,1000,8XYZ
6,2025-03-01T08:20:00,EGV,phone,300,1300,8XYZ
7,2025-03-01T08:21:00,Alert,phone,55,,
8,2025-03-01T08:25:00,EGV,phone,x,1600,8XYZ
9,2025-03-02T00:00:00,EGV,phone,101,57700,8XYZ
";

/// All of it, in UTC, by the standard policy.
pub(super) fn question() -> Question {
    Question {
        zone: Zone::named("UTC").unwrap(),
        zone_source: "--tz",
        policy: Policy::standard(),
        from: None,
        to: None,
        device: None,
        last_days: Vec::new(),
    }
}

/// The outcome of all of it.
pub(super) fn sample() -> Export {
    export("a.csv", CLARITY.as_bytes(), &question()).unwrap()
}

/// Fourteen days of a 5-minute sensor, in mg/dL: up and down by the time of day and the date, with all five
/// ranges, a hole of three hours each night of the second week, and `High` once.
pub(super) fn fortnight() -> String {
    use std::fmt::Write as _;

    let header = CLARITY.lines().next().unwrap();
    let mut text = format!("{header}\n");
    for day in 0..14u32 {
        for slot in (0..288u32).filter(|slot| day < 7 || !(24..60).contains(slot)) {
            let wave = (f64::from(slot) / 288.0 * std::f64::consts::TAU * 2.0).sin();
            let value =
                130.0 + 66.0 * wave + 7.0 * f64::from(day % 5) - 45.0 * f64::from(u32::from(slot < 12));
            let value = match (day, slot) {
                (2, 200..215) => "300".to_owned(),
                (3, 150) => "High".to_owned(),
                (4, 30..36) => "50".to_owned(),
                _ => format!("{value:.0}"),
            };
            let (hour, minute, ticks) = (slot / 12, slot % 12 * 5, (day * 288 + slot) * 300);
            let date = day + 1;
            let _ =
                writeln!(text, "1,2025-02-{date:02}T{hour:02}:{minute:02}:00,EGV,phone,{value},{ticks},8X");
        }
    }
    text
}
