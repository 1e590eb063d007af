//! What the engine will send: people made up, or one person's CGM export; in three waves and a late day.
//!
//! Numbers: [`WAVES`] waves; with as many patients each wave has its own, with fewer the weeks are cut into
//! waves. An export is at most `clinical`'s file limit, and at most [`READINGS_MAX`] of its latest readings are
//! played.

use std::{fs, path::Path};

use clinical::{
    glucose::{Glucose, Measured, Unit},
    normalize::{
        clock::Zone,
        file::{self, FileContext, FileFault},
    },
    reading::{Device, Reading, Route},
};
use jiff::{
    Timestamp,
    civil::{Date, date},
    tz::{Offset, TimeZone},
};
use standin::{
    engine::{Lane, MessageSettings, Plan},
    generator::{Display, DisplayUnit, GeneratorError, GeneratorSettings, Person, SensorReading, Series},
};

use super::Options;

/// The parts of the feed: the EHR accepts, the daemon is killed, the EHR refuses.
pub(super) const WAVES: usize = 3;
/// OBX per message: an hour of a 5-minute sensor.
const PER_MESSAGE: usize = 12;
/// Half a year of a 5-minute sensor: the demo stays under two minutes.
const READINGS_MAX: usize = 52_000;
/// The first local day without made-up data: fixed, so that a seed gives the same demo on every day, with
/// New York's change of the clocks (2025-03-09) inside the default four weeks.
const END: Date = date(2025, 3, 24);
/// Readings of another device closer than this are left out of an export: two devices at once are not what
/// the demo's simple count is made for.
const APART_S: i64 = 15 * 60;
/// Repetitions of a value within this are left out for the same reason.
const COPY_S: i64 = 150;

/// Why there is nothing to send.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The people could not be made up.
    #[error("{0}")]
    Generator(#[from] GeneratorError),
    /// The time zone is not known.
    #[error("{0}: no such time zone; write one like America/New_York")]
    Zone(String),
    /// The export could not be read from the disk.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The export is refused as a whole.
    #[error("{path}: {fault}")]
    Refused {
        /// The file.
        path: String,
        /// Why.
        fault: FileFault,
    },
    /// The export holds no sensor reading.
    #[error("{0}: no sensor reading in it")]
    Empty(String),
}

/// Everything that will be sent.
pub(super) struct Feed {
    /// One after the other.
    pub(super) waves: Vec<Plan>,
    /// The day held back.
    pub(super) late: Plan,
    /// The site's zone.
    pub(super) zone: TimeZone,
    /// Its name.
    pub(super) zone_name: String,
    /// What it is, for people.
    pub(super) title: String,
    /// Texts that must not leave the box.
    pub(super) forbidden: Vec<String>,
    /// Whose it is.
    pub(super) patients: usize,
}

impl Feed {
    /// Makes people up or reads the export.
    pub(super) fn prepare(options: &Options) -> Result<Self, FeedError> {
        let zone = TimeZone::get(&options.timezone).map_err(|_| FeedError::Zone(options.timezone.clone()))?;
        let (series, title) = match &options.from {
            None => made_up(options, zone.clone())?,
            Some(path) => exported(path, &options.timezone)?,
        };
        let mut plan = Plan::of_series(series, options.seed, PER_MESSAGE, true, MessageSettings::default());
        let forbidden = plan.lanes.iter().flat_map(|lane| personal(&lane.person)).collect();
        let patients = plan.lanes.len();
        let late = plan.take_late();
        let zone_name = options.timezone.clone();
        Ok(Self { waves: waves(plan), late, zone, zone_name, title, forbidden, patients })
    }

    /// Messages in all waves and the late day.
    pub(super) fn messages(&self) -> u64 {
        self.waves.iter().chain([&self.late]).map(|plan| plan.totals().messages).sum()
    }

    /// The most messages that one connection carries in one wave.
    pub(super) fn longest_lane(&self) -> usize {
        self.waves.iter().flat_map(|wave| &wave.lanes).map(|lane| lane.steps.len()).max().unwrap_or(0)
    }
}

fn made_up(options: &Options, zone: TimeZone) -> Result<(Vec<Series>, String), FeedError> {
    let settings = GeneratorSettings {
        seed: options.seed,
        patients: options.patients,
        days: options.days,
        end: END,
        zone,
        unit_switch_day: Some(options.days / 2),
    };
    let title = format!(
        "{} made-up {}, {} days of CGM each, seed {}",
        options.patients,
        if options.patients == 1 { "patient" } else { "patients" },
        options.days,
        options.seed
    );
    Ok((standin::generator::generate(&settings)?, title))
}

fn exported(path: &Path, zone: &str) -> Result<(Vec<Series>, String), FeedError> {
    let name = path.display().to_string();
    let bytes = fs::read(path).map_err(|source| FeedError::Unreadable { path: name.clone(), source })?;
    let text = String::from_utf8_lossy(&bytes);
    let zone = Zone::named(zone).map_err(|_| FeedError::Zone(zone.to_owned()))?;
    let read = file::read(&text, &FileContext { zone: &zone, message_id: 0 })
        .map_err(|fault| FeedError::Refused { path: name.clone(), fault })?;
    let readings = read.readings.into_iter().map(|(device, reading)| (Device::clone(&device), reading));
    let readings = playable(readings.collect());
    if readings.is_empty() {
        return Err(FeedError::Empty(name));
    }
    let title = format!("{} readings of {name} ({})", readings.len(), read.resolution);
    Ok((vec![Series { person: stand_in_person(), readings }], title))
}

/// Whom the readings of an export are given to: the file's own names are never read.
fn stand_in_person() -> Person {
    Person {
        mrn: "4100000".to_owned(),
        family: "Fairweather".to_owned(),
        given: "Hana".to_owned(),
        birth_date: date(1901, 2, 3),
        sex: 'F',
        street: "1 Foxglove Road".to_owned(),
        city: "Northfield".to_owned(),
        postal_code: "00012".to_owned(),
        phone: "(201)555-0100".to_owned(),
    }
}

/// Historic readings as the engine sends them, one device at a time.
fn playable(mut readings: Vec<(Device, Reading)>) -> Vec<SensorReading> {
    let has_historic = readings.iter().any(|(_, reading)| reading.route != Route::Scan);
    readings.retain(|(_, reading)| !has_historic || reading.route != Route::Scan);
    readings.sort_by(|a, b| (a.1.time, &a.0).cmp(&(b.1.time, &b.0)));
    let mut out: Vec<SensorReading> = Vec::with_capacity(readings.len());
    for (device, reading) in readings {
        let Some(next) = sensor_reading(&device, &reading) else { continue };
        let stands_alone = out.last().is_none_or(|last| {
            let apart_s = next.at.as_second() - last.at.as_second();
            let is_copy = next.display == last.display && apart_s <= COPY_S;
            apart_s > 0 && !is_copy && (next.serial == last.serial || apart_s >= APART_S)
        });
        if stands_alone {
            out.push(next);
        }
    }
    out.split_off(out.len().saturating_sub(READINGS_MAX))
}

/// `None` where the moment is outside the calendar.
fn sensor_reading(device: &Device, reading: &Reading) -> Option<SensorReading> {
    let Glucose { measured, unit } = reading.glucose;
    let display = match measured {
        Measured::Exact(value) => Display::Number(value.to_string()),
        Measured::Below(_) => Display::Low,
        Measured::Above(_) => Display::High,
    };
    let unit = match unit {
        Unit::MgDl => DisplayUnit::MgPerDl,
        Unit::MmolL => DisplayUnit::MmolPerL,
    };
    let offset_s = i32::from(reading.offset_minutes.unwrap_or(0)) * 60;
    Some(SensorReading {
        at: Timestamp::from_second(reading.time.0.div_euclid(1_000)).ok()?,
        offset: Offset::from_seconds(offset_s).ok()?,
        display,
        unit,
        serial: device.0.clone(),
    })
}

/// What of a person stays inside. The given name alone is too short a text to look for.
fn personal(person: &Person) -> [String; 5] {
    [
        person.family.clone(),
        person.street.clone(),
        person.phone.clone(),
        person.birth_date.to_string(),
        person.birth_date.strftime("%Y%m%d").to_string(),
    ]
}

/// Cuts a plan into [`WAVES`]: by patients where there are enough of them, else by time.
fn waves(plan: Plan) -> Vec<Plan> {
    let mut waves = vec![Plan::default(); WAVES];
    if plan.lanes.len() >= WAVES {
        for (index, lane) in plan.lanes.into_iter().enumerate() {
            waves[index % WAVES].lanes.push(lane);
        }
        return waves;
    }
    for lane in plan.lanes {
        let size = lane.steps.len().div_ceil(WAVES).max(1);
        let mut parts = lane.steps.chunks(size);
        for wave in &mut waves {
            let steps = parts.next().unwrap_or_default().to_vec();
            wave.lanes.push(Lane { person: lane.person.clone(), readings: Vec::new(), steps });
        }
    }
    waves
}

#[cfg(test)]
mod tests {
    use super::*;
    use clinical::reading::{Instant, Standing};

    fn options(patients: u32) -> Options {
        Options {
            seed: 3,
            patients,
            days: 4,
            from: None,
            timezone: "America/New_York".to_owned(),
            keep: false,
        }
    }

    #[test]
    fn no_message_is_lost_between_the_waves() {
        for patients in [1, 2, 3, 5] {
            let whole = Plan::of_series(
                made_up(&options(patients), TimeZone::get("America/New_York").unwrap()).unwrap().0,
                3,
                PER_MESSAGE,
                true,
                MessageSettings::default(),
            );
            let feed = Feed::prepare(&options(patients)).unwrap();
            assert_eq!(feed.messages(), whole.totals().messages, "{patients} patients");
            assert!(feed.waves.iter().all(|wave| wave.totals().messages > 0));
            assert!(feed.late.totals().messages > 0);
        }
    }

    #[test]
    fn readings_of_two_devices_at_once_and_copies_are_left_out() {
        let reading = |minute: i64, device: &str, value: i32| {
            let reading = Reading {
                time: Instant(minute * 60_000),
                offset_minutes: Some(-300),
                tz_ambiguous: false,
                glucose: Glucose::mg_dl(value),
                standing: Standing::Final,
                route: Route::File,
                identity: 0,
                made_at: Instant(0),
                message: 0,
            };
            (Device(device.to_owned()), reading)
        };
        let scan = (Device("a".to_owned()), Reading { route: Route::Scan, ..reading(7, "a", 90).1 });
        let kept = playable(vec![
            reading(5, "a", 101),
            reading(0, "a", 100),
            scan,
            reading(6, "a", 101),  // a copy
            reading(10, "b", 102), // too near to a
            reading(20, "b", 103),
        ]);
        let kept: Vec<_> = kept.iter().map(|r| (r.at.as_second() / 60, r.serial.as_str())).collect();
        assert_eq!(kept, [(0, "a"), (5, "a"), (20, "b")]);
    }

    #[test]
    fn an_export_that_is_none_is_refused_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.csv");
        fs::write(&path, "a,b\n1,2\n").unwrap();
        let told = Feed::prepare(&Options { from: Some(path), ..options(1) }).err().unwrap().to_string();
        assert!(told.contains("x.csv") && told.contains("Clarity"), "{told}");
        let zone = Options { timezone: "Mars/Olympus".to_owned(), ..options(1) };
        assert!(matches!(Feed::prepare(&zone), Err(FeedError::Zone(_))));
    }
}
