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
    }
}

/// The outcome of all of it.
pub(super) fn sample() -> Export {
    export("a.csv", CLARITY.as_bytes(), &question()).unwrap()
}
