//! The sensor sessions of an export in a sentence: how they were found, and what became of their warm-up.

use std::collections::{BTreeMap, BTreeSet};

use clinical::{
    policy::Policy,
    reading::{Device, Reading},
    session::{Began, Row, WarmUp, sessions},
};

/// What is told of the sessions of `streams` (one for each device); `warm_up` is that of the selection.
#[must_use]
pub fn told(
    streams: &[(Device, Vec<Reading>)],
    warm_up: &[(Device, WarmUp)],
    policy: &Policy,
) -> Vec<String> {
    let mut began: BTreeMap<Began, u64> = BTreeMap::new();
    let mut beyond_wear = 0;
    for (device, readings) in streams {
        let mut rows: Vec<Row> =
            readings.iter().map(|reading| Row { time: reading.time, ticks: None }).collect();
        rows.sort_unstable_by_key(|row| row.time);
        for session in sessions(device, &rows, &[], policy) {
            *began.entry(session.began).or_default() += 1;
            beyond_wear += u64::from(session.beyond_wear);
        }
    }
    let found: u64 = began.values().sum();
    let how: Vec<String> = began.iter().map(|(began, n)| format!("{n} {}", by(*began))).collect();
    let mut told = vec![format!("sensor sessions: {found} ({})", how.join(", "))];
    let reasons: BTreeSet<String> = warm_up.iter().map(|(_, warm_up)| warm_up.to_string()).collect();
    told.extend(reasons);
    if beyond_wear > 0 {
        told.push(format!(
            "sensor sessions longer than the wear of their label, counted in full: {beyond_wear}"
        ));
    }
    told
}

const fn by(began: Began) -> &'static str {
    match began {
        Began::Stated => "by a stated start",
        Began::Serial => "by the name of a device",
        Began::TicksRestarted => "by a transmitter's count",
        Began::Gap => "after a gap",
        Began::FirstReading => "by the first reading",
    }
}

#[cfg(test)]
mod tests {
    use clinical::{
        glucose::Glucose,
        reading::{Instant, Route, Standing},
    };

    use super::*;

    fn reading(minutes: i64) -> Reading {
        Reading {
            time: Instant(minutes * Instant::MINUTE_MS),
            offset_minutes: None,
            tz_ambiguous: false,
            glucose: Glucose::mg_dl(100),
            standing: Standing::Final,
            route: Route::File,
            identity: 0,
            made_at: Instant(0),
            message: 0,
        }
    }

    #[test]
    fn sessions_are_told_by_how_they_were_found_and_each_reason_once() {
        // In no order: fourteen hours between the second and the third; a G6 for eleven days without a gap.
        let worn = (0..=11 * 24).map(|hour| reading(hour * 60)).collect();
        let streams = [
            (Device("8XYZ".into()), vec![reading(900), reading(0), reading(5)]),
            (Device("Dexcom G6".into()), worn),
        ];
        let warm_up = streams.clone().map(|(device, _)| (device, WarmUp::NoStatedStart));
        assert_eq!(
            told(&streams, &warm_up, Policy::standard()),
            [
                "sensor sessions: 3 (2 by the name of a device, 1 after a gap)",
                "no warm-up left out: the source states no session start",
                "sensor sessions longer than the wear of their label, counted in full: 1",
            ]
        );
    }
}
