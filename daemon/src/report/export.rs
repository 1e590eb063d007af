//! One export with the outcome of one period: what every face of the report is made from.

use std::{collections::BTreeMap, io, sync::Arc};

use clinical::{
    app_event::{AppEvent, distinct, tally},
    calendar::{CalendarError, LocalDay, Zone},
    fhir::provenance::{Session, sessions},
    normalize::{
        clock,
        file::{Apart, FileContext, FileFault, FileReadings, Intake, Place, Recognized},
    },
    outcome::{Exclusion, Outcome, Period},
    outcomes,
    parts::{Parts, parts},
    policy::Policy,
    reading::{Device, Instant, Reading},
    select::{Selection, select_after},
    sentinel,
    session::{Starts, attributed},
};

use super::{
    app_events::Sums,
    notes::kind_name,
    sessions::{self as sensor_sessions, Found},
};

/// Most devices that an error names.
const MAX_DEVICES_NAMED: usize = 10;

/// What is asked of every export of a run.
#[derive(Clone, Debug)]
pub struct Question {
    /// The zone of clock times and days.
    pub zone: Zone,
    /// Where that zone was taken from, in words.
    pub zone_source: &'static str,
    /// The rules.
    pub policy: &'static Policy,
    /// First included day; `None` for that of the first reading.
    pub from: Option<LocalDay>,
    /// Last included day; `None` for that of the last reading.
    pub to: Option<LocalDay>,
    /// The one device that counts; `None` for all.
    pub device: Option<String>,
    /// Windows that each take the last so many days of the period; empty for the one whole period.
    pub last_days: Vec<u32>,
}

/// An export, read and computed.
#[derive(Clone, Debug)]
pub struct Export {
    /// Its name, as the person gave it.
    pub file: String,
    /// Its format and what gave it away.
    pub recognized: Recognized,
    /// Where the zone was taken from, in words.
    pub zone_source: &'static str,
    /// The rules.
    pub policy: &'static Policy,
    /// What was read, without the readings and the app events.
    pub read: FileReadings,
    /// The readings of every device, shared by the windows of a file.
    pub streams: Arc<[(Device, Vec<Reading>)]>,
    /// The readings that count.
    pub selection: Selection,
    /// The devices that have readings, by name, with how many.
    pub devices: BTreeMap<String, u64>,
    /// What each device contributed to the outcome.
    pub sessions: Vec<Session>,
    /// Readings of the file that lie outside of the period.
    pub outside: u64,
    /// Rows of the period that state what another row states, in the same words.
    pub repeated: u64,
    /// The sensor sessions that reach into the period.
    pub sensor_sessions: Vec<Found>,
    /// What is told of them, and of their warm-up, in words for people.
    pub found: Vec<String>,
    /// What was logged in the period beside glucose.
    pub app_events: Sums,
    /// The metrics.
    pub outcome: Outcome,
    /// Those of each day and night; `None` where the zone of the period is unknown.
    pub parts: Option<Parts>,
}

/// Why an export has no outcome. The text says what to do, and holds nothing of a row.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The bytes are not text.
    #[error("not UTF-8 text; save the export as CSV in UTF-8")]
    NotText {
        /// The line of the first byte that is none.
        line: usize,
    },
    /// The file as a whole cannot be trusted.
    #[error("{fault}; {}", advice(.fault))]
    File {
        /// Why.
        fault: FileFault,
    },
    /// The file stopped being readable.
    #[error("{0}; give a file that can be read")]
    Io(#[from] io::Error),
    /// Every row of a sensor was faulty, or there is none.
    #[error("no sensor reading; {}", no_reading(.read))]
    NoReading {
        /// What was read.
        read: Box<FileReadings>,
    },
    /// The device has no reading.
    #[error("no reading of the device {device:?}; leave --device away or give one of: {known}")]
    NoSuchDevice {
        /// As asked.
        device: String,
        /// Those that have readings.
        known: String,
    },
    /// The days asked for do not make a period.
    #[error("{0}; --to must not be before --from")]
    Calendar(#[from] CalendarError),
    /// No reading lies in the period.
    #[error("no reading from {from} to {to}; the file has readings from {first} to {last}")]
    Empty {
        /// First day asked for.
        from: LocalDay,
        /// Last day asked for.
        to: LocalDay,
        /// First day with a reading.
        first: LocalDay,
        /// Last day with a reading.
        last: LocalDay,
    },
    /// The zone of days is not one of clock times: two databases disagree.
    #[error("the time zone is unknown; give another with --tz")]
    Zone,
}

impl From<FileFault> for ExportError {
    fn from(fault: FileFault) -> Self {
        match fault {
            FileFault::NotText { line } => Self::NotText { line: line as usize },
            fault => Self::File { fault },
        }
    }
}

impl ExportError {
    /// The line to point to, where one is known.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::NotText { line } => Some(*line),
            Self::File { fault } => fault.line().map(|line| line as usize),
            Self::NoReading { read } if read.place == Place::Line => {
                read.faults.first().map(|fault| fault.line as usize)
            }
            _ => None,
        }
    }
}

/// Reads an export and computes the outcome of the period that is asked for.
///
/// # Errors
/// [`ExportError`] where there is nothing to show; faulty rows beside good ones are no error.
pub fn export(file: &str, bytes: &[u8], question: &Question) -> Result<Export, ExportError> {
    let clock = clock::Zone::named(question.zone.name()).map_err(|_| ExportError::Zone)?;
    let mut intake = Intake::new(&FileContext { zone: &clock, message_id: 0 }, None);
    let (recognized, read) = intake.feed(bytes).and_then(|()| intake.finish())?;
    let source = Source::of(recognized, read, question)?;
    let (from, to) = source.bounds(question);
    source.over(file, from, to, question)
}

/// Every window that is asked for of what was read: the whole period, or those of [`Question::last_days`] in that
/// order. Never empty.
///
/// # Errors
/// As [`export`], for the first window that has none.
pub fn windows(
    file: &str,
    recognized: Recognized,
    read: FileReadings,
    question: &Question,
) -> Result<Vec<Export>, ExportError> {
    let source = Source::of(recognized, read, question)?;
    let (from, to) = source.bounds(question);
    if question.last_days.is_empty() {
        return Ok(vec![source.over(file, from, to, question)?]);
    }
    let begin = |days: &u32| to.plus(1i32.saturating_sub_unsigned(*days));
    question.last_days.iter().map(|days| source.over(file, begin(days), to, question)).collect()
}

/// A file as its readings by device.
struct Source {
    recognized: Recognized,
    read: FileReadings,
    devices: BTreeMap<String, u64>,
    streams: Arc<[(Device, Vec<Reading>)]>,
    events: Vec<(Device, AppEvent)>,
    /// Session starts that the file states.
    starts: Starts,
    /// When a known sensor wrote an error code in the place of a value.
    error_codes: Vec<Instant>,
    /// Local days of the first and the last reading.
    first: LocalDay,
    last: LocalDay,
}

impl Source {
    fn of(recognized: Recognized, mut read: FileReadings, question: &Question) -> Result<Self, ExportError> {
        let streams = streams(std::mem::take(&mut read.readings));
        let devices =
            streams.iter().map(|(device, readings)| (device.0.clone(), readings.len() as u64)).collect();
        let events = std::mem::take(&mut read.events);
        // Of all devices: that one is asked for says nothing of which one was started.
        let starts = attributed(&events, &streams);
        let mut streams = of_device(streams, question.device.as_deref(), &devices)?;
        let error_codes = sentinel::heed(&mut streams, &question.policy.devices);
        let each =
            streams.iter().flat_map(|(device, readings)| readings.iter().map(move |one| (device, one)));
        read.notes.extend(sentinel::beyond(each, &question.policy.devices));
        let days = streams.iter().flat_map(|(_, readings)| readings).map(|reading| reading.time);
        let (Some(first), Some(last)) = (days.clone().min(), days.max()) else {
            return Err(ExportError::NoReading { read: Box::new(read) });
        };
        let (first, last) = (question.zone.day_of(first), question.zone.day_of(last));
        let streams = streams.into();
        Ok(Self { recognized, read, devices, streams, events, starts, error_codes, first, last })
    }

    /// First and last included day of the period that is asked for.
    fn bounds(&self, question: &Question) -> (LocalDay, LocalDay) {
        // One bound beyond the data is no mistake in the other, which was not given.
        let first = self.first;
        let from = question.from.unwrap_or_else(|| question.to.map_or(first, |to| to.min(first)));
        (from, question.to.unwrap_or(self.last.max(from)))
    }

    /// The outcome of the days from `from` to `to`.
    fn over(
        &self,
        file: &str,
        from: LocalDay,
        to: LocalDay,
        question: &Question,
    ) -> Result<Export, ExportError> {
        let (period, policy) = (question.zone.period(from, to)?, question.policy);
        let times = self.streams.iter().flat_map(|(_, readings)| readings).map(|reading| reading.time.0);
        let codes = self.error_codes.iter().map(|time| time.0);
        let rows = times.clone().count() as u64 + codes.len() as u64;
        let outside = times.chain(codes.clone()).filter(|ms| !inside(&period, *ms)).count() as u64;
        let mut selection = select_after(&period, &self.streams, &self.starts.of, policy);
        let codes = codes.filter(|ms| inside(&period, *ms)).count() as u64;
        selection.leave_out(Exclusion::ErrorCode, codes);
        let empty = || ExportError::Empty { from, to, first: self.first, last: self.last };
        let outcome = outcomes::summarize(&period, &selection, policy).ok_or_else(empty)?;
        let told = outside + outcome.n + outcome.excluded.values().sum::<u64>();
        let found = sensor_sessions::find(&self.streams, &self.read.marks, &self.starts, &period, policy);
        Ok(Export {
            file: file.to_owned(),
            recognized: self.recognized,
            zone_source: question.zone_source,
            policy,
            read: self.read.clone(),
            devices: self.devices.clone(),
            sessions: sessions(&self.streams, &selection),
            found: sensor_sessions::told(&found, self.starts.unattributed),
            sensor_sessions: found,
            app_events: tally(&distinct(&self.events, &period)),
            outside,
            repeated: rows.saturating_sub(told),
            parts: parts(&period, &selection, policy),
            outcome,
            streams: Arc::clone(&self.streams),
            selection,
        })
    }
}

fn inside(period: &Period, ms: i64) -> bool {
    period.start.0 <= ms && ms < period.end.0
}

/// The readings by device.
fn streams(readings: Vec<(Arc<Device>, Reading)>) -> Vec<(Device, Vec<Reading>)> {
    let mut streams: BTreeMap<Device, Vec<Reading>> = BTreeMap::new();
    for run in readings.chunk_by(|(one, _), (other, _)| Arc::ptr_eq(one, other)) {
        let Some((device, _)) = run.first() else { continue };
        let stream = streams.entry(Device::clone(device)).or_default();
        stream.extend(run.iter().map(|(_, reading)| *reading));
    }
    streams.into_iter().collect()
}

fn of_device(
    streams: Vec<(Device, Vec<Reading>)>,
    wanted: Option<&str>,
    devices: &BTreeMap<String, u64>,
) -> Result<Vec<(Device, Vec<Reading>)>, ExportError> {
    let Some(wanted) = wanted else { return Ok(streams) };
    let found: Vec<_> = streams.into_iter().filter(|(device, _)| device.0 == wanted).collect();
    if found.is_empty() && !devices.is_empty() {
        let known: Vec<_> = devices.keys().take(MAX_DEVICES_NAMED).map(|name| format!("{name:?}")).collect();
        return Err(ExportError::NoSuchDevice { device: wanted.to_owned(), known: known.join(", ") });
    }
    Ok(found)
}

/// What to do about a file that was refused.
pub(crate) fn advice(fault: &FileFault) -> &'static str {
    match fault {
        FileFault::TooLarge => "export a shorter period",
        FileFault::Unrecognized => "give an export as it was downloaded, with its header",
        FileFault::Damaged => "download it again, and give it as it is",
        FileFault::TooManyRows => "export a shorter period",
        FileFault::AnotherFormat { .. } => "leave --format away, or give the format that the file has",
        FileFault::NotText { .. } => "save the export as CSV in UTF-8",
        FileFault::RowTooLong { .. } => "give the export as it was downloaded",
        FileFault::UnitUnknown => "export it again with the unit in the name of the glucose column",
        FileFault::NoDateOrderFits => "export it again: its dates are written in more than one order",
        FileFault::DateOrderUnproven => {
            "give the export as it was downloaded, not saved anew by a spreadsheet, or export a longer period, one with a day above 12"
        }
        FileFault::Empty => "look why nothing was written, and download it again",
        FileFault::SeveralExports { .. } => "give each by itself",
        FileFault::SeveralPatients { .. } => "give the export of each by itself",
        FileFault::UnitDoesNotFit { .. } => {
            "ask whoever exported it which of the two is right, and export it again as it was recorded"
        }
        FileFault::SpanTooLong { .. } => "look at these two, and export only the days when a sensor was worn",
        FileFault::TooManyDevices => "give the export of one person",
    }
}

/// What is there instead of readings, and what to do about it.
fn no_reading(read: &FileReadings) -> String {
    if let Some(fault) = read.faults.first() {
        let why = read.in_words(fault.reason);
        return format!("{} rows could not be read, the first because of: {why}", read.unread());
    }
    let rows = read.kept_apart.iter().filter(|(kind, _)| **kind != Apart::Preamble);
    let kinds: Vec<_> = rows.map(|(kind, rows)| format!("{} {rows}", kind_name(*kind))).collect();
    let unknown = read.kept_apart.get(&Apart::Unknown).copied().unwrap_or(0);
    match (kinds.is_empty(), unknown) {
        (true, _) => "export a period in which a sensor was worn".to_owned(),
        (false, 0) => {
            format!("the file has rows of {}; export a period in which a sensor was worn", kinds.join(", "))
        }
        (false, _) => format!(
            "the file has rows of {}, and those of unknown types may be a sensor's: export it in English, or report its language",
            kinds.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::{CLARITY, question};

    fn error(text: &[u8], question: &Question) -> ExportError {
        export("a.csv", text, question).unwrap_err()
    }

    #[test]
    fn without_bounds_the_period_is_the_whole_file_in_whole_local_days() {
        let export = export("a.csv", CLARITY.as_bytes(), &question()).unwrap();
        let period = &export.outcome.period;
        assert_eq!((period.first_date.as_str(), period.last_date.as_str()), ("2025-03-01", "2025-03-02"));
        assert_eq!((period.days, export.outcome.n, export.outside), (2, 6, 0));
    }

    #[test]
    fn a_bound_leaves_readings_outside_and_counts_them() {
        let to = Some("2025-03-01".parse().unwrap());
        let export = export("a.csv", CLARITY.as_bytes(), &Question { to, ..question() }).unwrap();
        assert_eq!((export.outcome.n, export.outside, export.outcome.period.days), (5, 1, 1));
    }

    #[test]
    fn every_row_counts_or_is_told_of() {
        let again = "10,2025-03-01T08:10:00,EGV,phone,100,700,8XYZ\n";
        let other = "11,2025-03-01T08:10:00,EGV,phone,99,700,8XYZ\n";
        let export = export("a.csv", format!("{CLARITY}{again}{other}").as_bytes(), &question()).unwrap();
        assert_eq!((export.outcome.n, export.repeated), (6, 1));
        assert_eq!(export.outcome.excluded, [(clinical::outcome::Exclusion::Conflict, 1)].into());
    }

    #[test]
    fn a_period_without_a_reading_names_the_days_that_have_some() {
        let day = Some("2025-03-09".parse().unwrap());
        for asked in [
            Question { from: day, ..question() },
            Question { from: day, to: day, ..question() },
            Question { to: Some("2024-01-01".parse().unwrap()), ..question() },
        ] {
            let said = error(CLARITY.as_bytes(), &asked).to_string();
            assert!(said.contains("the file has readings from 2025-03-01 to 2025-03-02"), "{said}");
        }
    }

    #[test]
    fn bounds_in_the_wrong_order_are_told_apart_from_an_empty_period() {
        let (from, to) = (Some("2025-03-02".parse().unwrap()), Some("2025-03-01".parse().unwrap()));
        let fault = error(CLARITY.as_bytes(), &Question { from, to, ..question() });
        assert!(matches!(fault, ExportError::Calendar(CalendarError::Backwards)), "{fault}");
    }

    #[test]
    fn an_unknown_device_is_answered_with_those_that_there_are() {
        let asked = |device: &str| Question { device: Some(device.to_owned()), ..question() };
        let said = error(CLARITY.as_bytes(), &asked("X")).to_string();
        assert!(said.contains("\"phone/8XYZ\""), "{said}");
        assert_eq!(export("a.csv", CLARITY.as_bytes(), &asked("phone/8XYZ")).unwrap().outcome.n, 6);
    }

    #[test]
    fn what_is_no_text_is_refused_with_its_line() {
        assert!(matches!(error(b"a,b\nc\xff,d\n", &question()), ExportError::NotText { line: 2 }));
        let fault = error(b"a,b\n", &question());
        assert!(matches!(fault, ExportError::File { fault: FileFault::Unrecognized }), "{fault}");
    }

    #[test]
    fn a_file_without_readings_says_what_it_has_instead() {
        let header = CLARITY.lines().next().unwrap();
        let said = |rows: &str| error(format!("{header}\n{rows}").as_bytes(), &question()).to_string();
        let row = |kind: &str| format!("1,2025-03-01T08:00:00,{kind},phone,100,1,8XYZ\n");
        assert_eq!(said(""), "no sensor reading; export a period in which a sensor was worn");
        let alerts = said(&row("Alert").repeat(2));
        assert!(alerts.contains("rows of alert 2; export a period"), "{alerts}");
        let unknown = said(&(row("Alert") + &row("VGC").repeat(3)));
        assert!(
            unknown.contains("rows of alert 1, unknown 3, and those of unknown types may be"),
            "{unknown}"
        );
        assert!(!unknown.contains("VGC"), "nothing of a row");
    }

    #[test]
    fn a_file_of_faulty_rows_alone_points_to_the_first() {
        let header = CLARITY.lines().next().unwrap();
        let fault = error(format!("{header}\n1,,EGV,phone,100,1,8XYZ\n").as_bytes(), &question());
        assert_eq!(fault.line(), Some(2));
        assert!(fault.to_string().contains("no time"), "{fault}");
    }
}
