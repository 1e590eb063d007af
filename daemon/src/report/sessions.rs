//! The sensor sessions of an export: how they were found, what became of their warm-up, and what their clocks did; as a
//! sentence for each and as an object for scripts.

use std::collections::{BTreeMap, BTreeSet};

use clinical::{
    outcome::Period,
    policy::Policy,
    reading::{Device, Reading},
    session::{self, Began, Row, Session, Starts, TickMark, WarmUp, sessions},
};
use serde_json::{Value, json};

use crate::time::rfc3339;

/// A session of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The device.
    pub device: Device,
    /// What was found.
    pub session: Session,
    /// What became of its warm-up.
    pub warm_up: WarmUp,
}

/// The sessions of `streams` (one for each device) that reach into `period`, by device and time.
#[must_use]
pub fn find(
    streams: &[(Device, Vec<Reading>)],
    marks: &[(Device, Vec<TickMark>)],
    starts: &Starts,
    period: &Period,
    policy: &Policy,
) -> Vec<Found> {
    let mut all = Vec::new();
    for (device, readings) in streams {
        let marks = marks.iter().find(|(of, _)| of == device).map_or(&[][..], |(_, marks)| marks);
        let rows = Row::with_marks(readings.iter().map(|reading| reading.time), marks);
        let stated: Vec<_> = starts.of.iter().filter(|(of, _)| of == device).map(|(_, at)| *at).collect();
        let sensor = policy.devices.sensor(device);
        let found = sessions(device, &rows, &stated, policy).into_iter();
        let inside = |session: &Session| session.last >= period.start && session.start < period.end;
        all.extend(found.filter(inside).map(|session| {
            let start = (session.began == Began::Stated).then_some(session.start);
            let warm_up = session::warm_up(start, sensor, policy);
            Found { device: device.clone(), session, warm_up }
        }));
    }
    all
}

/// What is told of sessions; `unattributed` starts are nobody's.
#[must_use]
pub fn told(found: &[Found], unattributed: u64) -> Vec<String> {
    let mut began: BTreeMap<Began, u64> = BTreeMap::new();
    for Found { session, .. } in found {
        *began.entry(session.began).or_default() += 1;
    }
    let how: Vec<String> = began.iter().map(|(began, n)| format!("{n} {}", by(*began))).collect();
    let mut told = vec![format!("sensor sessions: {} ({})", found.len(), how.join(", "))];
    let reasons: BTreeSet<String> = found.iter().map(|found| found.warm_up.to_string()).collect();
    told.extend(reasons);
    let mut say = |n: u64, what: &str| {
        if n > 0 {
            told.push(format!("{what}: {n}"));
        }
    };
    say(
        unattributed,
        "session starts of which nothing says which sensor of the file it was, nothing left out after them",
    );
    let sum = |of: fn(&Session) -> u64| found.iter().map(|found| of(&found.session)).sum();
    say(
        sum(|session| u64::from(session.beyond_wear)),
        "sensor sessions longer than the wear of their label, counted in full",
    );
    say(
        sum(|session| session.clock_changes.len() as u64 + session.more_clock_changes),
        "changes of the clock against the transmitter's count, recorded and not corrected",
    );
    let drift = found.iter().filter_map(|found| found.session.drift_ms).map(i64::unsigned_abs).max();
    if let Some(drift) = drift.filter(|drift| *drift >= 1000) {
        let seconds = drift / 1000;
        told.push(format!(
            "the clock drifted against the transmitter's count: {seconds} s at most in a session"
        ));
    }
    told
}

/// The sessions for scripts.
#[must_use]
pub fn json(found: &[Found]) -> Vec<Value> {
    let one = |Found { device, session, warm_up }: &Found| {
        let (left_out, reason) = match warm_up {
            WarmUp::LeftOutUntil(until) => (Some((until.0 - session.start.0) / 60_000), None),
            reason => (None, serde_json::to_value(reason).ok()),
        };
        let changes = session.clock_changes.iter();
        let changes: Vec<Value> = changes
            .map(|change| json!({ "at": rfc3339(change.at.0), "by_s": change.by_ms as f64 / 1e3 }))
            .collect();
        json!({
            "device": device.0,
            "began": session.began,
            "start": rfc3339(session.start.0),
            "last": rfc3339(session.last.0),
            "readings": session.readings,
            "warm_up_left_out_minutes": left_out,
            "warm_up_not_left_out": reason,
            "drift_s": session.drift_ms.map(|ms| ms as f64 / 1e3),
            "clock_changes": changes,
            "more_clock_changes": session.more_clock_changes,
            "beyond_wear": session.beyond_wear,
        })
    };
    found.iter().map(one).collect()
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
        calendar::Zone,
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

    /// Of the days from the first of 1970 up to this one.
    fn found(
        streams: &[(Device, Vec<Reading>)],
        marks: &[(Device, Vec<TickMark>)],
        starts: &Starts,
    ) -> Vec<Found> {
        let first = "1970-01-01".parse().unwrap();
        let period = Zone::named("UTC").unwrap().period(first, first.plus(13)).unwrap();
        find(streams, marks, starts, &period, Policy::standard())
    }

    #[test]
    fn sessions_are_told_by_how_they_were_found_and_each_reason_once() {
        // In no order: fourteen hours between the second and the third; a G6 for eleven days without a gap.
        let worn = (0..=11 * 24).map(|hour| reading(hour * 60)).collect();
        let streams = [
            (Device("8XYZ".into()), vec![reading(900), reading(0), reading(5)]),
            (Device("Dexcom G6".into()), worn),
        ];
        let found = found(&streams, &[], &Starts::default());
        assert_eq!(
            told(&found, 0),
            [
                "sensor sessions: 3 (2 by the name of a device, 1 after a gap)",
                "no warm-up left out: the source states no session start",
                "sensor sessions longer than the wear of their label, counted in full: 1",
            ]
        );
        assert_eq!(json(&found)[2]["beyond_wear"], true);
    }

    #[test]
    fn a_stated_start_its_warm_up_and_the_clock_are_told_in_words_and_for_scripts() {
        let g6 = Device("Dexcom G6".into());
        let streams = [(g6.clone(), [30, 35, 40, 105].map(reading).to_vec())];
        let mark = |minutes: i64, ticks| TickMark { time: Instant(minutes * Instant::MINUTE_MS), ticks };
        // Two seconds slow in five minutes, then put forward an hour.
        let marks = [(g6.clone(), vec![mark(30, 0), mark(35, 302), mark(40, 602), mark(105, 902)])];
        let starts = Starts { of: vec![(g6, Instant(20 * Instant::MINUTE_MS))], unattributed: 0 };
        let found = found(&streams, &marks, &starts);
        let said = told(&found, 2);
        assert_eq!(
            said,
            [
                "sensor sessions: 1 (1 by a stated start)",
                "warm-up left out after the session start that the source states",
                "session starts of which nothing says which sensor of the file it was, nothing left out after them: 2",
                "changes of the clock against the transmitter's count, recorded and not corrected: 1",
                "the clock drifted against the transmitter's count: 2 s at most in a session",
            ]
        );
        let wanted = json!([{
            "device": "Dexcom G6", "began": "stated", "start": "1970-01-01T00:20:00Z", "last": "1970-01-01T01:45:00Z",
            "readings": 4, "warm_up_left_out_minutes": 120, "warm_up_not_left_out": null, "drift_s": -2.0,
            "clock_changes": [{ "at": "1970-01-01T01:45:00Z", "by_s": 3600.0 }], "more_clock_changes": 0,
            "beyond_wear": false,
        }]);
        assert_eq!(Value::from(json(&found)), wanted);
    }

    #[test]
    fn a_session_outside_of_the_period_is_not_told() {
        let streams = [(Device("8X".into()), vec![reading(-2_000), reading(-1_995), reading(10)])];
        let found = found(&streams, &[], &Starts::default());
        assert_eq!(found.len(), 1);
        assert_eq!(json(&found)[0]["warm_up_not_left_out"], "no-stated-start");
    }
}
