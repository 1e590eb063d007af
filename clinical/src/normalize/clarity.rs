//! Dexcom Clarity exports: delimited text, one row per event, local clock times.
//!
//! Rules (reference: cgm.md section 7): columns are found by name, English, German or Spanish; the unit is in the
//! name of the glucose column; only Event Type EGV (German EGW) is a sensor reading (alert rows hold glucose values
//! too); `Low` and `High` take the limits of the sensor, 40 and 400 mg/dL or 2.2 and 22.2 mmol/L; rows ascend in
//! time, so that the repeated hour is told apart by `Transmitter Time` or else by the order of rows.
//!
//! Times are `YYYY-MM-DDThh:mm:ss`. A spreadsheet writes them anew in the order of its country: such a file is read where
//! its dates prove their order (`date_order.rs` beside this), and else refused.
//!
//! A device is `Source Device ID` and `Transmitter ID`, joined by `/` where both are given.

mod transmitter;

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use super::{
    columns::{beginning, glucose},
    file::{Apart, FileContext, FileFault, FileReadings, Format, RowReason, Table, has_header},
    harvest::{Harvest, UNMARKED, Written, named},
    intake::{Body, Preamble},
    repeated_hour::Order,
    table::{Row, name},
    value::{self, sensor_limits},
    wall_clock::{DateOrder, WallTime},
};
use crate::{app_event::EventKind, decimal::Decimal, glucose::Unit, reading::Route};

/// The beginnings of names; the unit of glucose follows.
const GLUCOSE: [&str; 3] = ["glucosevalue", "glukosewert", "niveldeglucosa"];
const TIMESTAMP: [&str; 3] = ["timestamp", "zeitstempel", "marcatemporal"];
/// Rows that say whose the file is; all but the names are of other languages.
const WHO: [&[&str]; 3] = [
    &["firstname", "vorname", "nombre", "prénom"],
    &["lastname", "nachname", "apellido", "apellidos", "nom"],
    &["dateofbirth", "geburtsdatum", "fechadenacimiento", "datedenaissance"],
];
const EVENT_TYPE: [&str; 4] = ["eventtype", "ereignistyp", "ereignisart", "tipodeevento"];

/// How it is read.
pub(super) const TABLE: Table = Table { is_header, open };

/// What gives the format away.
pub(super) fn recognize(text: &str) -> Option<&'static str> {
    has_header(text, is_header).then_some("columns Timestamp, Event Type and Glucose Value")
}

/// True for the names of a Clarity header.
fn is_header(names: &[String]) -> bool {
    [&TIMESTAMP[..], &EVENT_TYPE, &GLUCOSE].iter().all(|wanted| beginning(names, wanted).is_some())
}

/// Where the columns stand.
struct Columns {
    timestamp: usize,
    event: usize,
    subtype: Option<usize>,
    glucose: usize,
    unit: Unit,
    insulin: Option<usize>,
    carbs: Option<usize>,
    duration: Option<usize>,
    device: Option<usize>,
    transmitter_time: Option<usize>,
    transmitter: Option<usize>,
}

impl Columns {
    /// Errs where the unit is not stated, or where two glucose columns leave it open.
    fn of(names: &[String]) -> Result<Self, FileFault> {
        let missing = FileFault::Unrecognized;
        let (glucose, unit) = glucose(names, &GLUCOSE)?.ok_or(missing)?;
        Ok(Self {
            timestamp: beginning(names, &TIMESTAMP).ok_or(missing)?,
            event: beginning(names, &EVENT_TYPE).ok_or(missing)?,
            subtype: beginning(names, &["eventsubtype", "ereignisuntertyp"]),
            glucose,
            unit,
            insulin: beginning(names, &["insulinvalue", "insulinwert"]),
            carbs: beginning(names, &["carbvalue", "kohlenhydratwert"]),
            duration: beginning(names, &["duration", "dauer"]),
            device: beginning(names, &["sourcedeviceid", "quellgeräte-id"]),
            transmitter_time: beginning(names, &["transmittertime", "transmitter-zeit"]),
            transmitter: beginning(names, &["transmitterid", "transmitter-id"]),
        })
    }

    /// The kind of a row that is no EGV.
    fn apart(&self, row: &Row<'_>) -> Apart {
        match row.cell(self.event) {
            "Alert" => Apart::Alert,
            "Calibration" => Apart::Calibration,
            "Insulin" => Apart::Insulin,
            "Carbs" => Apart::Food,
            _ if row.cell(self.timestamp).is_empty() => Apart::Preamble,
            "Exercise" | "Notes" | "Note" | "Health" => Apart::Event,
            _ => Apart::Unknown,
        }
    }
}

/// The rows of a Clarity export.
struct Clarity<'z> {
    columns: Columns,
    decimal_comma: bool,
    /// Times are not as Clarity writes them: their order of dates is proved.
    saved_anew: bool,
    /// A time is as Clarity writes it: what is not is a fault of its row.
    as_stated: bool,
    /// Hashes of what the file says of its patient, by what they say.
    who: HashMap<&'static str, u64>,
    harvest: Harvest<'z>,
}

fn open<'z>(
    names: &[String],
    preamble: Preamble,
    context: &FileContext<'z>,
) -> Result<Box<dyn Body + 'z>, FileFault> {
    let columns = Columns::of(names)?;
    let written = Written::Always(DateOrder::YearMonthDay);
    let mut harvest = Harvest::new(Format::Clarity, written, context).headed(names, Some(columns.unit));
    harvest.aparts(Apart::Preamble, preamble.rows);
    let (decimal_comma, saved_anew, who) = (preamble.decimal_comma, false, HashMap::new());
    Ok(Box::new(Clarity { columns, decimal_comma, saved_anew, as_stated: false, who, harvest }))
}

impl Body for Clarity<'_> {
    fn row(&mut self, row: &Row<'_>) {
        let sensor = matches!(row.cell(self.columns.event), "EGV" | "EGW");
        if !self.harvest.is_whole(row, usize::from(!sensor)) {
        } else if sensor {
            if let Err(reason) = self.reading(row) {
                self.harvest.fault(row.line, reason);
            }
        } else if !row.is_blank() {
            self.patient(row);
            self.event(row);
            self.harvest.apart(self.columns.apart(row));
        }
    }

    fn refused(&self) -> Option<FileFault> {
        self.harvest.refused()
    }

    fn finish(mut self: Box<Self>) -> Result<FileReadings, FileFault> {
        let told = self.harvest.tell(transmitter::tell);
        if told > 0 {
            let note = "times of a repeated hour were told apart by the transmitter";
            self.harvest.notes.push(format!("{told} {note}"));
        }
        if self.saved_anew {
            let note = "times are not written as Clarity writes them: another program saved the file";
            self.harvest.notes.push(note.to_owned());
        }
        let times = if self.saved_anew { "minute" } else { "second" };
        self.harvest.finish(Order::Ascending, times)
    }
}

impl Clarity<'_> {
    fn reading(&mut self, row: &Row<'_>) -> Result<(), RowReason> {
        let wall = self.time(row)?;
        let columns = &self.columns;
        let limits = sensor_limits(columns.unit);
        let glucose =
            value::glucose_in_file(row.cell(columns.glucose), columns.unit, limits, self.decimal_comma)?;
        let ticks = row.optional(columns.transmitter_time).parse().ok().filter(|_| !self.saved_anew);
        let ticks = ticks.unwrap_or(UNMARKED);
        let names = [row.optional(columns.device), row.optional(columns.transmitter)];
        let block = self.harvest.block(names, Route::File);
        self.harvest.reading(row.line, block, wall, glucose, ticks)
    }

    /// The clock time of a row. Where none is as Clarity writes it, all dates must prove their order.
    fn time(&mut self, row: &Row<'_>) -> Result<WallTime, RowReason> {
        let text = row.cell(self.columns.timestamp);
        if text.is_empty() {
            return Err(RowReason::TimeMissing);
        }
        let iso = text.as_bytes().get(4) == Some(&b'-');
        let wall = WallTime::parse(text).filter(|wall| wall.timed).ok_or(RowReason::TimeUnreadable)?;
        if iso && self.saved_anew {
            self.harvest.dates_as_stated();
            self.saved_anew = false;
        } else if !iso && !self.saved_anew && !self.as_stated {
            self.saved_anew = self.harvest.prove_dates();
        }
        self.as_stated |= iso;
        if iso || self.saved_anew { Ok(wall) } else { Err(RowReason::TimeUnreadable) }
    }

    /// Refuses a file that names a second patient: nothing says where the rows of the first end.
    fn patient(&mut self, row: &Row<'_>) {
        if !row.cell(self.columns.timestamp).is_empty() {
            return;
        }
        let says = name(row.cell(self.columns.event));
        let Some(says) = WHO.iter().find(|names| names.contains(&says.as_str())).map(|names| names[0]) else {
            return;
        };
        let mut hash = DefaultHasher::new();
        // The first cell counts rows.
        row.cells().skip(1).filter(|cell| !cell.is_empty()).for_each(|cell| cell.hash(&mut hash));
        if *self.who.entry(says).or_insert(hash.finish()) != hash.finish() {
            self.harvest.refuse(FileFault::SeveralPatients { line: row.line });
        }
    }

    /// What else a row may be; its number may be missing.
    fn event(&mut self, row: &Row<'_>) {
        let wall = self.time(row).ok();
        let columns = &self.columns;
        if let Some(wall) = wall.filter(|_| self.saved_anew) {
            self.harvest.dated("", Apart::Event, row.line, wall);
        }
        let amount = |at: Option<usize>| value::number_with(row.optional(at), self.decimal_comma).ok();
        let (kind, value) = match (row.cell(columns.event), row.optional(columns.subtype)) {
            ("Insulin", "Fast-Acting") => (EventKind::RapidInsulin, amount(columns.insulin)),
            ("Insulin", "Long-Acting") => (EventKind::LongInsulin, amount(columns.insulin)),
            ("Insulin", _) => (EventKind::OtherInsulin, amount(columns.insulin)),
            ("Carbs", _) => (EventKind::Carbohydrate, amount(columns.carbs)),
            ("Exercise", _) => (EventKind::Exercise, seconds(row.optional(columns.duration))),
            _ => return,
        };
        let device = named([row.optional(columns.device), row.optional(columns.transmitter)]);
        self.harvest.event(&device.0, wall, kind, value);
    }
}

/// `h:mm:ss` as seconds.
fn seconds(text: &str) -> Option<Decimal> {
    let mut parts = text.splitn(3, ':').map(|part| part.parse::<u16>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    (minutes < 60 && seconds < 60)
        .then(|| Decimal::whole(i32::from(hours) * 3600 + i32::from(minutes) * 60 + i32::from(seconds)))
}

#[cfg(test)]
mod tests;
