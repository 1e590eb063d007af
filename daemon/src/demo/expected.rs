//! What a correct receiver must have written, from the bytes it acknowledged: counted here, by itself.
//!
//! Invariant: this shares nothing with the daemon's parser, classifier or arithmetic, so that the same fault
//! cannot hide in both. It knows only what this demo's engine sends: one OBR, sensor readings with UTC offset,
//! one device at a time. Thresholds: Battelino 2019 (Diabetes Care 42:1593), each in the unit as received.

use std::collections::{BTreeMap, HashMap};

use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};

/// Days of the rig's windows; one ends at every local midnight.
const WINDOW_DAYS: i32 = 14;
/// mg/dL per mmol/L for the mean (IUPAC molar mass of glucose, a tenth of it).
const FACTOR: f64 = 18.0156;
/// mg/dL per mmol/L by which software shows whole mg/dL as mmol/L with two or more decimals.
const SHOWN_FACTOR: f64 = 18.015_59;
/// What such a number may be away from a whole one, in mg/dL.
const SHOWN_RESIDUAL: f64 = 0.1;

/// One sensor reading in an acknowledged message.
#[derive(Debug, Clone, PartialEq)]
struct Heard {
    day: Date,
    serial: String,
    /// 0 very low to 4 very high.
    level: usize,
    mg_dl: f64,
}

/// What one window must show.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expected {
    /// Per cent of the minutes with readings: very low, low, target, high, very high.
    pub(super) shares_pct: [f64; 5],
    /// Mean in mg/dL.
    pub(super) mean_mg_dl: f64,
    /// Local days with a reading.
    pub(super) days_of_wear: u32,
}

/// A patient's identifier and the last day that a window includes.
pub(super) type WindowOf = (String, Date);

/// Everything that was heard.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    readings: BTreeMap<String, BTreeMap<Timestamp, Heard>>,
}

impl Ledger {
    /// Reads acknowledged messages, in any order, repetitions included.
    pub(super) fn of<'a>(messages: impl IntoIterator<Item = &'a [u8]>, zone: &TimeZone) -> Self {
        let mut ledger = Self::default();
        for message in messages {
            let text = String::from_utf8_lossy(message);
            let mut patient = String::new();
            for segment in text.split('\r') {
                let fields: Vec<&str> = segment.split('|').collect();
                match fields[0] {
                    "PID" => patient = part(&fields, 3).to_owned(),
                    "OBX" => {
                        if let Some((at, heard)) = observation(&fields, zone) {
                            ledger.readings.entry(patient.clone()).or_default().insert(at, heard);
                        }
                    }
                    _ => {}
                }
            }
        }
        ledger
    }

    /// Distinct readings of each patient.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        self.readings.iter().map(|(patient, readings)| (patient.as_str(), readings.len() as u64))
    }

    /// Every window that ended before `now` and holds a reading.
    pub(super) fn windows(&self, zone: &TimeZone, now: Timestamp) -> BTreeMap<WindowOf, Expected> {
        let today = now.to_zoned(zone.clone()).date();
        let mut windows = BTreeMap::new();
        for (patient, readings) in &self.readings {
            let mut by_day: BTreeMap<Date, Vec<(Timestamp, &Heard)>> = BTreeMap::new();
            for (at, heard) in readings {
                by_day.entry(heard.day).or_default().push((*at, heard));
            }
            let (Some(first), Some(last)) = (by_day.keys().next(), by_day.keys().next_back()) else {
                continue;
            };
            let ends = first.series(1.day()).take_while(|day| *day <= later(*last, WINDOW_DAYS - 1));
            for end in ends.filter(|end| *end < today) {
                let days = by_day.range(later(end, 1 - WINDOW_DAYS)..=end);
                let readings: Vec<_> = days.flat_map(|(_, readings)| readings).copied().collect();
                if !readings.is_empty() {
                    windows.insert((patient.clone(), end), expected(&readings));
                }
            }
        }
        windows
    }
}

fn later(day: Date, days: i32) -> Date {
    day.saturating_add(days.days())
}

/// The metrics of readings in order of time, each weighing its sensor's interval.
fn expected(readings: &[(Timestamp, &Heard)]) -> Expected {
    let mut times: HashMap<&str, Vec<i64>> = HashMap::new();
    for (at, heard) in readings {
        times.entry(&heard.serial).or_default().push(at.as_second());
    }
    let minutes: HashMap<&str, f64> =
        times.into_iter().map(|(serial, times)| (serial, interval_minutes(&times))).collect();
    let (mut levels, mut sum) = ([0.0; 5], 0.0);
    let mut days: Vec<Date> = Vec::new();
    for (_, heard) in readings {
        let weight = minutes[heard.serial.as_str()];
        levels[heard.level] += weight;
        sum += weight * heard.mg_dl;
        if days.last() != Some(&heard.day) {
            days.push(heard.day);
        }
    }
    let total: f64 = levels.iter().sum();
    Expected {
        shares_pct: levels.map(|level| 100.0 * level / total),
        mean_mg_dl: sum / total,
        days_of_wear: days.len() as u32,
    }
}

/// 1, 5 or 15: by the middle one of the distances between readings.
fn interval_minutes(times_s: &[i64]) -> f64 {
    let mut distances: Vec<i64> = times_s.windows(2).map(|pair| pair[1] - pair[0]).collect();
    distances.sort_unstable();
    match distances.get(distances.len().saturating_sub(1) / 2) {
        Some(..180) => 1.0,
        Some(601..=1_800) => 15.0,
        _ => 5.0,
    }
}

/// The first component of a field of a segment that is not MSH.
fn part<'a>(fields: &[&'a str], field: usize) -> &'a str {
    fields.get(field).and_then(|text| text.split('^').next()).unwrap_or_default()
}

/// The reading of an OBX; `None` where its unit is neither of the two.
fn observation(fields: &[&str], zone: &TimeZone) -> Option<(Timestamp, Heard)> {
    let time = part(fields, 14);
    let at = jiff::fmt::strtime::parse("%Y%m%d%H%M%S%z", time).ok()?.to_timestamp().ok()?;
    let (sign, number) = match fields.get(5)?.split_once('^') {
        Some((sign, number)) => (sign, number),
        None => ("", *fields.get(5)?),
    };
    let value: f64 = number.parse().ok()?;
    let (level, mg_dl) = match part(fields, 6) {
        "mg/dL" => (mg_dl_level(beyond(value, sign, 1.0)), beyond(value, sign, 1.0)),
        "mmol/L" => {
            let mmol_l = beyond(value, sign, 0.1);
            (mmol_l_level(mmol_l, number), mmol_l * FACTOR)
        }
        _ => return None,
    };
    let day = at.to_zoned(zone.clone()).date();
    Some((at, Heard { day, serial: part(fields, 18).to_owned(), level, mg_dl }))
}

/// A limit counts as one step beyond itself.
fn beyond(value: f64, sign: &str, step: f64) -> f64 {
    match sign {
        "<" => value - step,
        ">" => value + step,
        _ => value,
    }
}

fn mg_dl_level(value: f64) -> usize {
    usize::from(value >= 54.0)
        + usize::from(value >= 70.0)
        + usize::from(value > 180.0)
        + usize::from(value > 250.0)
}

/// By the thresholds in mmol/L; with two or more decimals it may be a whole number of mg/dL in disguise.
fn mmol_l_level(value: f64, spelled: &str) -> usize {
    let decimals = spelled.split_once('.').map_or(0, |(_, decimals)| decimals.trim_end_matches('0').len());
    let mg_dl = value * SHOWN_FACTOR;
    if decimals >= 2 && (mg_dl - mg_dl.round()).abs() <= SHOWN_RESIDUAL {
        return mg_dl_level(mg_dl.round());
    }
    // A hair of room: 2.2 - 0.1 is not exactly 2.1, and no threshold is nearer than a tenth to it.
    const HAIR: f64 = 1e-9;
    usize::from(value >= 3.0 - HAIR)
        + usize::from(value >= 3.9 - HAIR)
        + usize::from(value > 10.0 + HAIR)
        + usize::from(value > 13.9 + HAIR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_york() -> TimeZone {
        TimeZone::get("America/New_York").unwrap()
    }

    fn message(patient: &str, observations: &[(&str, &str, &str)]) -> Vec<u8> {
        let mut text = format!("MSH|^~\\&|A|B\rPID|1||{patient}^^^NORTH^MR||X^Y\r");
        for (time, value, unit) in observations {
            text += &format!("OBX|1|NM|160212^G^MDC|1|{value}|{unit}^{unit}^UCUM|||||F|||{time}||||S1\r");
        }
        text.into_bytes()
    }

    #[test]
    fn every_threshold_in_both_units() {
        for (value, level) in
            [(53.0, 0), (54.0, 1), (69.0, 1), (70.0, 2), (180.0, 2), (181.0, 3), (250.0, 3), (251.0, 4)]
        {
            assert_eq!(mg_dl_level(value), level, "{value}");
        }
        for (value, level) in [
            ("2.9", 0),
            ("3.0", 1),
            ("3.8", 1),
            ("3.9", 2),
            ("10.0", 2),
            ("10.1", 3),
            ("13.9", 3),
            ("14.0", 4),
            // 70 mg/dL as software shows it; natively it would be low.
            ("3.88552", 2),
        ] {
            assert_eq!(mmol_l_level(value.parse().unwrap(), value), level, "{value}");
        }
    }

    #[test]
    fn four_readings_by_hand() {
        // 12:00 to 12:15 in New York on 10 January: 50 and 100 mg/dL, LOW (39), 10.0 mmol/L (180.156).
        let first =
            message("7", &[("20250110120000-0500", "50", "mg/dL"), ("20250110120500-0500", "100", "mg/dL")]);
        let second = message(
            "7",
            &[("20250110121000-0500", "<^40", "mg/dL"), ("20250110121500-0500", "10.0", "mmol/L")],
        );
        let furlong = message("7", &[("20250110122000-0500", "100", "furlong")]);
        let messages = [&first[..], &second, &first, &furlong];
        let ledger = Ledger::of(messages, &new_york());
        assert_eq!(ledger.counts().collect::<Vec<_>>(), [("7", 4)]);
        let windows = ledger.windows(&new_york(), "2025-06-01T00:00:00Z".parse().unwrap());
        // A day is in the fourteen windows that end on it and on the thirteen days after it.
        assert_eq!(windows.len(), 14);
        let ends: Vec<String> = windows.keys().map(|(_, end)| end.to_string()).collect();
        assert_eq!((ends[0].as_str(), ends[13].as_str()), ("2025-01-10", "2025-01-23"));
        for window in windows.values() {
            assert_eq!(window.shares_pct, [50.0, 0.0, 50.0, 0.0, 0.0]);
            assert!((window.mean_mg_dl - (50.0 + 100.0 + 39.0 + 180.156) / 4.0).abs() < 1e-9);
            assert_eq!(window.days_of_wear, 1);
        }
    }

    #[test]
    fn a_window_that_has_not_ended_is_not_expected() {
        let one = message("7", &[("20250110235900-0500", "100", "mg/dL")]);
        let ledger = Ledger::of([&one[..]], &new_york());
        for (now, windows) in
            [("2025-01-11T04:59:59Z", 0), ("2025-01-11T05:00:00Z", 1), ("2025-01-12T05:00:00Z", 2)]
        {
            assert_eq!(ledger.windows(&new_york(), now.parse().unwrap()).len(), windows, "{now}");
        }
    }

    #[test]
    fn the_interval_is_that_of_the_sensor() {
        for (times, minutes) in [
            (vec![0], 5.0),
            (vec![0, 300, 600, 9_000], 5.0),
            (vec![0, 900, 1_800], 15.0),
            (vec![0, 60, 120], 1.0),
        ] {
            assert_eq!(interval_minutes(&times), minutes);
        }
    }
}
