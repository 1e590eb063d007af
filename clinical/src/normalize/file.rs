//! Files that people export: recognized by their header, read as a whole or refused with a reason.
//!
//! Invariants: names and birth dates in a file are never returned; every row with content is a reading, a
//! fault, or a count of its kind; what was inferred of the file as a whole stands in its notes.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    apple_health, carelink, clarity,
    clock::Zone,
    dexcom_api, glooko, intake,
    intake::{Body, Preamble},
    libreview, nightscout,
    table::rows,
    tidepool,
    value::ValueFault,
    xdrip,
};
use crate::{
    app_event::{AppEvent, EventKind},
    glucose::Unit,
    reading::{Device, Reading},
    session::TickMark,
};

pub use super::{
    faults::MAX_FAULTS_LISTED,
    format::Format,
    intake::Intake,
    stream::{Place, StreamFault, read_from, recognize_stream},
};

/// Most bytes of a file that is taken as a whole: a patient's year of 1-minute rows is about 50 MB. An [`Intake`] has
/// no such bound where the format is a table, nor has [`read_from`].
pub const MAX_FILE_BYTES: usize = 64 << 20;
/// Most readings of a file, of any format and however it is read: twenty years of a 5-minute sensor, four of a 1-minute
/// one, some 240 MB. A file with more is refused.
pub const MAX_READINGS: usize = 2_100_000;
/// Rows before the header: CareLink's old exports have eleven.
pub(super) const MAX_PREAMBLE_ROWS: usize = 16;

/// A format with what gave it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recognized {
    /// The format.
    pub format: Format,
    /// The columns it was recognized by.
    pub reason: &'static str,
}

/// What a file is read by.
#[derive(Clone, Copy, Debug)]
pub struct FileContext<'a> {
    /// The zone of the clock times in the file.
    pub zone: &'a Zone,
    /// Inbox id of the file; 0 outside the store.
    pub message_id: u64,
}

/// A file as readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReadings {
    /// The format.
    pub format: Format,
    /// What was read: of each device and route by itself, in the order of the file. Scans have [`Route::Scan`](crate::reading::Route::Scan), all
    /// else [`Route::File`](crate::reading::Route::File). The readings of a device share its one name.
    pub readings: Vec<(Arc<Device>, Reading)>,
    /// Insulin, carbohydrate, exercise, heart rate, steps and starts of sensors, in the order of the file, with the device
    /// that each names (empty where it names none). Their rows are counted in `kept_apart` too.
    pub events: Vec<(Device, AppEvent)>,
    /// Events beyond those that are kept of their kind.
    pub more_events: BTreeMap<EventKind, u64>,
    /// The counts of transmitters, where the format has them, thinned to what tells sessions and clocks.
    pub marks: Vec<(Device, Vec<TickMark>)>,
    /// Rows that are no sensor reading, by kind.
    pub kept_apart: BTreeMap<Apart, u64>,
    /// Rows that could not be read: the first [`MAX_FAULTS_LISTED`] of them.
    pub faults: Vec<RowFault>,
    /// How many more there are, by reason.
    pub more_faults: BTreeMap<RowReason, u64>,
    /// What the numbers of the faults count.
    pub place: Place,
    /// What was inferred of the file as a whole, in words for people.
    pub notes: Vec<String>,
    /// Unit, decimals and time resolution of the file, in words for people.
    pub resolution: String,
}

impl FileReadings {
    /// How many rows could not be read.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.faults.iter().map(RowFault::rows).sum::<u64>() + self.more_faults.values().sum::<u64>()
    }

    /// A reason in words; of a time that cannot be read, with the form that times of this format have.
    #[must_use]
    pub fn in_words(&self, reason: RowReason) -> String {
        match reason {
            RowReason::TimeUnreadable => {
                let (title, form) = (self.format.title(), self.format.time_form());
                format!("{reason} ({title} has {form})")
            }
            _ => reason.to_string(),
        }
    }
}

/// A kind of row that is no sensor reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Apart {
    /// An alert or its threshold (which may hold a glucose value).
    Alert,
    /// A sensor's error code in the place of a value.
    ErrorCode,
    /// A finger-stick entered to calibrate a sensor.
    Calibration,
    /// A finger-stick.
    Strip,
    /// A ketone value.
    Ketone,
    /// Insulin.
    Insulin,
    /// Food.
    Food,
    /// Exercise, notes, time changes and what else was logged.
    Event,
    /// Of a type that is not known.
    Unknown,
    /// Names, birth date and devices before the data.
    Preamble,
}

/// Why a row did not become a reading. Holds nothing of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowFault {
    /// The line the row starts on, or the number of the record, from 1.
    pub line: u32,
    /// The last line that is lost with it: a quote that is not closed swallows those that follow.
    pub last: u32,
    /// What is wrong.
    pub reason: RowReason,
}

impl RowFault {
    /// How many rows are lost.
    #[must_use]
    pub fn rows(&self) -> u64 {
        u64::from(self.last.saturating_sub(self.line)) + 1
    }

    /// Where, in words: `line 7`, `lines 401 to 464`.
    #[must_use]
    pub fn place(&self, place: Place) -> String {
        match (place.name(), self.rows()) {
            (word, 1) => format!("{word} {}", self.line),
            (word, _) => format!("{word}s {} to {}", self.line, self.last),
        }
    }
}

/// What is wrong with a row: a closed set of fixed texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum RowReason {
    /// A quote is not closed, or there are too many cells.
    #[error("a quote is not closed, or there are too many cells")]
    Broken,
    /// The last row has no line end, and fewer cells than the header and the rows before it.
    #[error("the file ends inside a row")]
    Cut,
    /// The record is no JSON object or XML element of its kind, or is too long or too deep.
    #[error("the record is damaged, or is too long")]
    Damaged,
    /// A sensor row without a time.
    #[error("no time")]
    TimeMissing,
    /// The time is in no known form.
    #[error("the time cannot be read")]
    TimeUnreadable,
    /// The clocks skipped this time.
    #[error("the time does not exist in the time zone")]
    TimeNonexistent,
    /// A sensor row without a value.
    #[error("no value")]
    ValueMissing,
    /// The value is neither a number nor a known word.
    #[error("the value is neither a number nor a limit")]
    ValueNotANumber,
    /// The value contradicts what is said of it.
    #[error("the value is implausible")]
    ValueImplausible,
    /// The value is below 10 mg/dL or 0.55 mmol/L.
    #[error("the value is lower than any sensor reports")]
    ValueTooLow,
    /// The value is above 1000 mg/dL or 55.5 mmol/L.
    #[error("the value is higher than any sensor reports")]
    ValueTooHigh,
    /// A historic and a scan value in one row.
    #[error("a historic and a scan value in one row")]
    SeveralValues,
    /// A section of the file does not state the unit of its sensor values.
    #[error("the section states no unit of glucose")]
    UnitMissing,
    /// A number with decimals where the format has whole mg/dL.
    #[error("the value has decimals, and the format states whole mg/dL")]
    UnitContradicts,
    /// A sensor value in a row of another record type.
    #[error("a sensor value under another record type")]
    RecordTypeContradicts,
    /// Neither the record nor what stands around it says what kind it is of.
    #[error("nothing says what kind of record it is")]
    KindMissing,
    /// The record names neither mg/dL nor mmol/L.
    #[error("no unit of glucose, mg/dL or mmol/L, is stated")]
    UnitUnknown,
}

/// Why a file was refused as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// It has no bytes, or blanks alone.
    #[error("the file is empty")]
    Empty,
    /// A header, or what stands before one, after the first header.
    #[error("two exports in one file")]
    SeveralExports {
        /// The line on which the second begins.
        line: u32,
    },
    /// What stands before the data names a second patient.
    #[error("two patients in one file")]
    SeveralPatients {
        /// The line that names the second.
        line: u32,
    },
    /// More than half of the sensor values are beyond what any sensor reports.
    #[error(
        "most values are {} than any sensor reports in {}: the unit in the header does not fit the values",
        if *.lower { "lower" } else { "higher" },
        unit_words(*.unit)
    )]
    UnitDoesNotFit {
        /// They are lower, else higher.
        lower: bool,
        /// The unit that the file states.
        unit: Option<Unit>,
    },
    /// Two readings are farther apart than people have worn sensors.
    #[error("{0} {first} and {0} {last} lie more than 40 years apart: the clock of one was wrong", .place.name())]
    SpanTooLong {
        /// What the two numbers count.
        place: Place,
        /// Where the earliest reading stands.
        first: u32,
        /// Where the latest stands.
        last: u32,
    },
    /// More devices than a person can have worn (`MAX_DEVICES` in `device_name.rs` beside this).
    #[error("the file names more than 10,000 devices")]
    TooManyDevices,
    /// More than [`MAX_FILE_BYTES`].
    #[error("the file has more than 64 MiB")]
    TooLarge,
    /// No header of a known format within the first rows.
    #[error("no header of a known format ({})", Format::titles())]
    Unrecognized,
    /// The file is of another format than the one that was asked for.
    #[error("not a {} export: {}", .wanted.title(), found_words(*.found))]
    AnotherFormat {
        /// As asked.
        wanted: Format,
        /// What it was recognized as, if anything.
        found: Option<Format>,
    },
    /// The bytes are no UTF-8.
    #[error("not UTF-8 text")]
    NotText {
        /// The line of the first byte that is none.
        line: u32,
    },
    /// A row of more than 1 MiB: no table.
    #[error("a row has more than 1 MiB")]
    RowTooLong {
        /// The line it begins on.
        line: u32,
    },
    /// The header of the glucose column names neither mg/dL nor mmol/L, or two columns differ.
    #[error("the header does not state one unit of glucose, mg/dL or mmol/L")]
    UnitUnknown,
    /// No date order makes every row a date.
    #[error("no date order fits every row")]
    NoDateOrderFits,
    /// Several date orders fit and nothing tells which is meant.
    #[error(
        "the date order cannot be proved: no day above 12, rows run one way in several orders, and the time of generation decides nothing"
    )]
    DateOrderUnproven,
    /// JSON or XML that ends early, is not well-formed around its records, or is nested too deep.
    #[error("the file is not whole: it ends early, or is damaged")]
    Damaged,
    /// More readings than [`MAX_READINGS`].
    #[error("the file has more readings than twenty years of a 5-minute sensor")]
    TooManyRows,
}

impl FileFault {
    /// The line that it is about; `None` where it is about the whole, or its words name the place.
    #[must_use]
    pub const fn line(&self) -> Option<u32> {
        match self {
            Self::NotText { line }
            | Self::RowTooLong { line }
            | Self::SeveralExports { line }
            | Self::SeveralPatients { line } => Some(*line),
            _ => None,
        }
    }
}

/// What a file was found to be, in words.
fn found_words(found: Option<Format>) -> String {
    found.map_or_else(
        || "it has no header of a known format".to_owned(),
        |found| format!("it is recognized as {}", found.title()),
    )
}

/// A unit, in words.
const fn unit_words(unit: Option<Unit>) -> &'static str {
    match unit {
        Some(Unit::MgDl) => "mg/dL",
        Some(Unit::MmolL) => "mmol/L",
        None => "the unit that is stated",
    }
}

/// A reader of a format.
pub(super) struct Reader {
    format: Format,
    /// What gives the format away, in words; `None` where the beginning of the text is not of it.
    recognize: fn(&str) -> Option<&'static str>,
    pub(super) read: Read,
}

/// How a format is read.
pub(super) enum Read {
    /// As a table, row by row.
    Rows(Table),
    /// As a whole.
    Whole(fn(&str, &FileContext<'_>) -> Result<FileReadings, FileFault>),
}

/// Begins to read after a header with these names.
type Open = for<'z> fn(&[String], Preamble, &FileContext<'z>) -> Result<Box<dyn Body + 'z>, FileFault>;

/// A format that is a table.
pub(super) struct Table {
    /// True for the names of its header.
    pub(super) is_header: fn(&[String]) -> bool,
    /// What reads the rows after that header. Errs where the header states no unit.
    pub(super) open: Open,
}

/// The readers, in the order in which they are asked. No two recognize the same text.
const READERS: &[Reader] = &[
    Reader { format: Format::Clarity, recognize: clarity::recognize, read: Read::Rows(clarity::TABLE) },
    Reader { format: Format::LibreView, recognize: libreview::recognize, read: Read::Rows(libreview::TABLE) },
    Reader { format: Format::CareLink, recognize: carelink::recognize, read: Read::Rows(carelink::TABLE) },
    Reader { format: Format::Glooko, recognize: glooko::recognize, read: Read::Rows(glooko::TABLE) },
    Reader { format: Format::XDrip, recognize: xdrip::recognize, read: Read::Rows(xdrip::TABLE) },
    Reader {
        format: Format::Nightscout,
        recognize: nightscout::recognize,
        read: Read::Whole(nightscout::read),
    },
    Reader { format: Format::Tidepool, recognize: tidepool::recognize, read: Read::Whole(tidepool::read) },
    Reader {
        format: Format::DexcomApi,
        recognize: dexcom_api::recognize,
        read: Read::Whole(dexcom_api::read),
    },
    Reader {
        format: Format::AppleHealth,
        recognize: apple_health::recognize,
        read: Read::Whole(apple_health::read),
    },
];

/// The format of a file, by the names in its header; `None` where no known header is found.
pub fn recognize(text: &str) -> Option<Recognized> {
    recognized(text).map(|(_, known)| known)
}

pub(super) fn recognized(text: &str) -> Option<(&'static Reader, Recognized)> {
    let text = &text[..text.floor_char_boundary(intake::head_bytes(text.as_bytes()))];
    READERS.iter().find_map(|reader| {
        let reason = (reader.recognize)(text)?;
        Some((reader, Recognized { format: reader.format, reason }))
    })
}

/// True for the names of a header of any table that cannot stand among the rows of `format`. CareLink has a header for each
/// section.
pub(super) fn heads_another(format: Format, names: &[String]) -> bool {
    let sections = |reader: &Reader| reader.format == Format::CareLink && format == Format::CareLink;
    READERS.iter().filter(|reader| !sections(reader)).any(|reader| match &reader.read {
        Read::Rows(table) => (table.is_header)(names),
        Read::Whole(_) => false,
    })
}

/// True where a row among the first is the header that `is_header` knows.
pub(super) fn has_header(text: &str, is_header: fn(&[String]) -> bool) -> bool {
    rows(text).take(MAX_PREAMBLE_ROWS).any(|row| is_header(&row.names()))
}

/// Reads a file of a known format. Errs where the file as a whole cannot be trusted; a single row that
/// cannot be read is a fault of that row.
pub fn read(text: &str, context: &FileContext<'_>) -> Result<FileReadings, FileFault> {
    if text.len() > MAX_FILE_BYTES {
        return Err(FileFault::TooLarge);
    }
    intake::read_whole(text, context)
}

/// The unit in the name of a column: what follows its beginning, in parentheses or not.
pub(super) fn unit_of_column(name: &str, beginning: &str) -> Option<Unit> {
    match name.strip_prefix(beginning)?.trim_matches(['(', ')']) {
        "mg/dl" => Some(Unit::MgDl),
        "mmol/l" => Some(Unit::MmolL),
        _ => None,
    }
}

impl From<ValueFault> for RowReason {
    fn from(fault: ValueFault) -> Self {
        match fault {
            ValueFault::Missing => Self::ValueMissing,
            ValueFault::NotANumber => Self::ValueNotANumber,
            ValueFault::TooLow => Self::ValueTooLow,
            ValueFault::TooHigh => Self::ValueTooHigh,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn formats_are_recognized_by_their_header_with_a_reason() {
        let format = |text: &str| recognize(text).map(|known| known.format);
        let clarity = "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Glucose Value (mg/dL)\n";
        assert_eq!(format(clarity), Some(Format::Clarity));
        assert_eq!(format(&clarity.replace(',', "\t")), Some(Format::Clarity));
        let libre = "Title\nName\nMeter Timestamp,Record Type,Historic Glucose(mg/dL),Scan Glucose(mg/dL)\n";
        assert_eq!(format(libre), Some(Format::LibreView));
        for text in ["", "\n\n", "a,b,c\n1,2,3", "Timestamp,Glucose\n"] {
            assert_eq!(format(text), None, "{text}");
        }
        assert_eq!(format(&format!("{}{clarity}", "x\n".repeat(MAX_PREAMBLE_ROWS))), None);
        assert!(recognize(clarity).unwrap().reason.contains("Event Type"));
    }

    #[test]
    fn what_is_unknown_or_too_large_is_refused() {
        let zone = Zone::named("UTC").unwrap();
        let context = FileContext { zone: &zone, message_id: 0 };
        assert_eq!(read("a,b", &context), Err(FileFault::Unrecognized));
        assert_eq!(read(&" ".repeat(MAX_FILE_BYTES + 1), &context), Err(FileFault::TooLarge));
    }

    #[test]
    fn two_values_at_one_time_are_two_readings_and_a_repeated_row_is_one() {
        let zone = Zone::named("UTC").unwrap();
        let context = FileContext { zone: &zone, message_id: 0 };
        let header = "Device Timestamp,Record Type,Historic Glucose mg/dL,Scan Glucose mg/dL";
        let rows = "13-04-2024 10:00,0,100,\n13-04-2024 10:00,0,101,\n13-04-2024 10:00,0,100,\n";
        let read = read(&format!("{header}\n{rows}"), &context).unwrap();
        let [a, b, c] = [0, 1, 2].map(|row: usize| read.readings[row].1.identity);
        assert!(a != b && a == c);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn any_rows_under_a_known_header_are_read_without_a_panic(
            libre in any::<bool>(),
            rows in "[0-9:;,/TEGVLow\" .\r\nAPM\u{feff}-]{0,300}",
            other in "\\PC{0,100}",
        ) {
            let header = if libre {
                "Device Timestamp,Record Type,Historic Glucose mg/dL,Scan Glucose mg/dL"
            } else {
                "Timestamp,Event Type,Glucose Value (mg/dL),Transmitter Time (Long Integer)"
            };
            let zone = Zone::named("Europe/Berlin").unwrap();
            let context = FileContext { zone: &zone, message_id: 0 };
            let _ = read(&format!("{header}\n{rows}\n{other}"), &context);
            let _ = read(&other, &context);
        }
    }
}
