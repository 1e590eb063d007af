//! Numbers that are no measurement: what a known sensor writes in place of a value.
//!
//! Rule: of a sensor that its device's name states, a number that stands for "below" or "above" is that limit, and one
//! below the lower code is an error code and no reading at all (reference: cgm.md sections 3 and 7; `sgv < 39`). Of an
//! unknown sensor every number is taken as it stands: nothing is guessed. Readings stay in the store as they were received;
//! this is decided where they are selected, by the table of sensors of the policy, whose hash Provenance cites.

use std::collections::BTreeMap;

use crate::{
    device::{Devices, Meaning, Sensor},
    glucose::{Glucose, Measured},
    reading::{Device, Instant, Reading},
};

/// Puts limits in the place of numbers that stand for them, and leaves error codes out; returns when these were.
pub fn heed(streams: &mut [(Device, Vec<Reading>)], devices: &Devices) -> Vec<Instant> {
    let mut codes = Vec::new();
    for (device, readings) in streams {
        let Some(sensor) = devices.sensor(device) else { continue };
        readings.retain_mut(|reading| {
            let Measured::Exact(number) = reading.glucose.measured else { return true };
            match sensor.meaning(number, reading.glucose.unit) {
                Meaning::Value(measured) => {
                    reading.glucose = Glucose { measured, ..reading.glucose };
                    true
                }
                Meaning::ErrorCode => {
                    codes.push(reading.time);
                    false
                }
            }
        });
    }
    codes
}

/// What is told of numbers that lie beyond the ends of what their sensors report, and stand for nothing: a sentence for each
/// sensor. They count as they stand.
pub fn beyond<'r>(
    readings: impl Iterator<Item = (&'r Device, &'r Reading)>,
    devices: &Devices,
) -> Vec<String> {
    let mut found: BTreeMap<&str, (u64, &Sensor)> = BTreeMap::new();
    // Readings of one device follow each other.
    let mut last: Option<(&Device, Option<&Sensor>)> = None;
    for (device, Reading { glucose, .. }) in readings {
        let known = last.filter(|(of, _)| std::ptr::eq(*of, device));
        let (_, sensor) = *last.insert(known.unwrap_or_else(|| (device, devices.sensor(device))));
        let (Some(sensor), Measured::Exact(number)) = (sensor, glucose.measured) else { continue };
        let stands = sensor.meaning(number, glucose.unit) == Meaning::Value(glucose.measured);
        if stands && sensor.is_beyond(*glucose) {
            found.entry(&sensor.id).or_insert((0, sensor)).0 += 1;
        }
    }
    let say = |(count, sensor): (u64, &Sensor)| {
        let (low, high) = sensor.reportable.value.mg_dl;
        let (title, s) = (&sensor.title, if count == 1 { "" } else { "s" });
        format!(
            "{count} reading{s} beyond what {title} reports ({low} to {high} mg/dL), counted as they stand"
        )
    };
    found.into_values().map(say).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        calendar::{LocalDay, Zone},
        glucose::Unit,
        outcome::{Exclusion, Period},
        outcomes::summarize,
        policy::Policy,
        reading::{Route, Standing},
        select::select,
    };

    fn stream(device: &str, unit: Unit, values: &[&str]) -> (Device, Vec<Reading>) {
        let one = |(n, value): (usize, &&str)| Reading {
            time: Instant(n as i64 * 300_000),
            offset_minutes: None,
            tz_ambiguous: false,
            glucose: Glucose { measured: Measured::Exact(value.parse().unwrap()), unit },
            standing: Standing::Final,
            route: Route::Hl7v2,
            identity: n as u64,
            made_at: Instant(0),
            message: 0,
        };
        (Device(device.into()), values.iter().enumerate().map(one).collect())
    }

    fn day() -> Period {
        Zone::named("UTC").unwrap().period(LocalDay(0), LocalDay(0)).unwrap()
    }

    fn told(device: &str, unit: Unit, values: &[&str]) -> (Vec<String>, u64) {
        let mut streams = [stream(device, unit, values)];
        let codes = heed(&mut streams, &Policy::standard().devices).len() as u64;
        let text = |reading: &Reading| match reading.glucose.measured {
            Measured::Exact(value) => value.to_string(),
            Measured::Below(limit) => format!("<{limit}"),
            Measured::Above(limit) => format!(">{limit}"),
        };
        (streams[0].1.iter().map(text).collect(), codes)
    }

    #[test]
    fn what_a_known_sensor_writes_in_place_of_a_value_is_no_value_and_an_unknown_ones_numbers_stand() {
        let values = ["5", "38", "39", "40", "400", "401", "402"];
        let (g6, codes) = told("Dexcom G6/8ABC", Unit::MgDl, &values);
        assert_eq!((g6, codes), (["<40", "40", "400", ">400", "402"].map(str::to_owned).to_vec(), 2));
        let (unknown, codes) = told("8ABC", Unit::MgDl, &values);
        assert_eq!((unknown, codes), (values.map(str::to_owned).to_vec(), 0));
        // Written as its ends: a value at an end may lie anywhere beyond it.
        let (libre, codes) = told("FreeStyle Libre 3", Unit::MgDl, &["39", "40", "41", "499", "500"]);
        assert_eq!((libre, codes), (["<40", "<40", "41", "499", ">500"].map(str::to_owned).to_vec(), 0));
        // No code is stated in mmol/L.
        let (molar, codes) = told("Dexcom G6", Unit::MmolL, &["2.1", "3.9", "22.3"]);
        assert_eq!((molar, codes), (["2.1", "3.9", "22.3"].map(str::to_owned).to_vec(), 0));
    }

    #[test]
    fn numbers_beyond_what_their_sensor_reports_are_told_and_stand() {
        let mut streams = [
            stream("Dexcom G6/8ABC", Unit::MgDl, &["12", "39", "40", "400", "401", "402", "450"]),
            stream("Dexcom G6/8DEF", Unit::MmolL, &["2.1", "2.2", "22.2", "22.3"]),
            stream("FreeStyle Libre 3", Unit::MgDl, &["39", "450", "500", "501"]),
            stream("8ABC", Unit::MgDl, &["5", "900"]),
        ];
        let devices = &Policy::standard().devices;
        let told = |streams: &[(Device, Vec<Reading>)]| {
            let each = |stream: &'_ (Device, Vec<Reading>)| -> Vec<(Device, Reading)> {
                stream.1.iter().map(|reading| (stream.0.clone(), *reading)).collect()
            };
            let all: Vec<_> = streams.iter().flat_map(each).collect();
            beyond(all.iter().map(|(device, reading)| (device, reading)), devices)
        };
        let wanted = ["4 readings beyond what Dexcom G6 reports (40 to 400 mg/dL), counted as they stand"];
        assert_eq!(told(&streams), wanted);
        assert_eq!(told(&streams[3..]), Vec::<String>::new());
        heed(&mut streams, devices);
        assert_eq!(told(&streams), wanted, "with limits in the place of codes too");
    }

    #[test]
    fn an_error_code_moves_no_number_of_an_outcome() {
        let policy = Policy::standard();
        let outcome = |values: &[&str]| {
            let mut streams = [stream("Dexcom G6", Unit::MgDl, values)];
            let codes = heed(&mut streams, &policy.devices);
            let mut selection = select(&day(), &streams, policy);
            selection.leave_out(Exclusion::ErrorCode, codes.len() as u64);
            summarize(&day(), &selection, policy).unwrap()
        };
        let (clean, with) = (outcome(&["100", "120"]), outcome(&["100", "120", "10", "12"]));
        assert_eq!((with.mean_mg_dl, with.minutes, with.n), (clean.mean_mg_dl, clean.minutes, 2));
        assert_eq!(with.excluded[&Exclusion::ErrorCode], 2);
    }
}
