//! Dexcom Clarity exports: delimited text, one row per event, local clock times.
//!
//! Rules (reference: cgm.md section 7): columns are found by name, English, German or Spanish; the unit is in the
//! name of the glucose column; only Event Type EGV (German EGW) is a sensor reading (alert rows hold glucose values
//! too); `Low` and `High` take the limits of the sensor, 40 and 400 mg/dL or 2.2 and 22.2 mmol/L; rows ascend in
//! time, so that the repeated hour is told apart by `Transmitter Time` or else by the order of rows.
//!
//! A device is `Source Device ID` and `Transmitter ID`, joined by `/` where both are given.

mod transmitter;

use super::{
    columns::{beginning, glucose},
    file::{Apart, FileContext, FileFault, FileReadings, Format, RowReason, Table, has_header},
    harvest::{Harvest, UNMARKED, Written, named},
    intake::{Body, Preamble},
    repeated_hour::Order,
    table::Row,
    value::{self, sensor_limits},
    wall_clock::{DateOrder, WallTime},
};
use crate::{app_event::EventKind, decimal::Decimal, glucose::Unit, reading::Route};

/// The beginnings of names; the unit of glucose follows.
const GLUCOSE: [&str; 3] = ["glucosevalue", "glukosewert", "niveldeglucosa"];
const TIMESTAMP: [&str; 3] = ["timestamp", "zeitstempel", "marcatemporal"];
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
            _ => Apart::Event,
        }
    }
}

/// The rows of a Clarity export.
struct Clarity<'z> {
    columns: Columns,
    decimal_comma: bool,
    harvest: Harvest<'z>,
}

fn open<'z>(
    names: &[String],
    preamble: Preamble,
    context: &FileContext<'z>,
) -> Result<Box<dyn Body + 'z>, FileFault> {
    let mut harvest = Harvest::new(Format::Clarity, Written::Always(DateOrder::YearMonthDay), context);
    harvest.aparts(Apart::Preamble, preamble.rows);
    Ok(Box::new(Clarity { columns: Columns::of(names)?, decimal_comma: preamble.decimal_comma, harvest }))
}

impl Body for Clarity<'_> {
    fn row(&mut self, row: &Row<'_>) {
        if row.broken {
            self.harvest.fault(row.line, RowReason::Broken);
        } else if matches!(row.cell(self.columns.event), "EGV" | "EGW") {
            if let Err(reason) = self.reading(row) {
                self.harvest.fault(row.line, reason);
            }
        } else if !row.is_blank() {
            self.event(row);
            self.harvest.apart(self.columns.apart(row));
        }
    }

    fn is_too_much(&self) -> bool {
        self.harvest.is_too_much()
    }

    fn finish(mut self: Box<Self>) -> Result<FileReadings, FileFault> {
        let told = self.harvest.tell(transmitter::tell);
        if told > 0 {
            let note = "times of a repeated hour were told apart by the transmitter";
            self.harvest.notes.push(format!("{told} {note}"));
        }
        self.harvest.finish(Order::Ascending, "second")
    }
}

impl Clarity<'_> {
    fn reading(&mut self, row: &Row<'_>) -> Result<(), RowReason> {
        let columns = &self.columns;
        let wall = local_time(row.cell(columns.timestamp))?;
        let limits = sensor_limits(columns.unit);
        let glucose =
            value::glucose_in_file(row.cell(columns.glucose), columns.unit, limits, self.decimal_comma)?;
        let ticks = row.optional(columns.transmitter_time).parse().unwrap_or(UNMARKED);
        let names = [row.optional(columns.device), row.optional(columns.transmitter)];
        let block = self.harvest.block(names, Route::File);
        self.harvest.reading(row.line, block, wall, glucose, ticks)
    }

    /// What else a row may be; its number may be missing.
    fn event(&mut self, row: &Row<'_>) {
        let columns = &self.columns;
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
        self.harvest.event(&device.0, local_time(row.cell(columns.timestamp)).ok(), kind, value);
    }
}

/// `h:mm:ss` as seconds.
fn seconds(text: &str) -> Option<Decimal> {
    let mut parts = text.splitn(3, ':').map(|part| part.parse::<u16>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    (minutes < 60 && seconds < 60)
        .then(|| Decimal::whole(i32::from(hours) * 3600 + i32::from(minutes) * 60 + i32::from(seconds)))
}

/// `YYYY-MM-DDThh:mm:ss`, with a blank for the `T` and without seconds too.
fn local_time(text: &str) -> Result<WallTime, RowReason> {
    if text.is_empty() {
        return Err(RowReason::TimeMissing);
    }
    let iso = text.as_bytes().get(4) == Some(&b'-');
    WallTime::parse(text).filter(|wall| wall.timed && iso).ok_or(RowReason::TimeUnreadable)
}

#[cfg(test)]
mod tests;
