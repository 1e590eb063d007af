//! CareLink exports: a preamble, then sections (`-------;device;Pump;serial;label`), each with a header of its own.
//!
//! Rules (reference: cgm.md section 7): a sensor value is `Sensor Glucose` and nothing else (`BG Reading` is a
//! finger-stick, `Sensor Calibration BG` a calibration); cells are divided by `,`, or by `;` with a decimal comma;
//! rows run newest first, so that the repeated hour is told apart by their order; the unit is in the name of the
//! column, and each section states its own; the order of dates is proved (new exports put the year in front). A value
//! at 40 or 400 mg/dL, 2.2 or 22.2 mmol/L is a limit. A device is the serial of its section.
//!
//! The pump's clock is not corrected: rows with `New Device Time` say that a person changed it, which is noted. A
//! section of aggregated automatic insulin holds sums of days, which are no doses.

use super::{
    columns::{beginning, glucose, named},
    date_order::Dates,
    device_name::bounded,
    file::{Apart, FileContext, FileFault, FileReadings, Format, RowReason, Table, has_header},
    harvest::{Harvest, UNMARKED, Written},
    intake::{Body, Preamble},
    repeated_hour::Order,
    table::Row,
    value::{self, sensor_limits},
    wall_clock::WallTime,
};
use crate::{app_event::EventKind, decimal::Decimal, glucose::Unit, reading::Route};

const SENSOR: [&str; 1] = ["sensorglucose"];
/// What a section's first cell begins with.
const SECTION: &str = "-----";
/// In the label of the section of daily sums.
const SUMS_OF_DAYS: &str = "Aggregated Auto Insulin";
/// Before the grams in an event marker.
const MEAL: &str = "Meal:";

/// How it is read.
pub(super) const TABLE: Table = Table { is_header, open };

/// What gives the format away.
pub(super) fn recognize(text: &str) -> Option<&'static str> {
    has_header(text, is_header).then_some("columns Index, Date, Time and Sensor Glucose")
}

/// True for the names of the header of a section.
fn is_header(names: &[String]) -> bool {
    let has = |name| named(names, &[name]).is_some();
    has("index") && has("date") && has("time") && beginning(names, &SENSOR).is_some()
}

/// Where the columns of a section stand.
struct Columns {
    date: usize,
    time: usize,
    glucose: usize,
    unit: Unit,
    new_time: Option<usize>,
    finger_stick: Option<usize>,
    calibration: Option<usize>,
    bolus: Option<usize>,
    basal: Option<usize>,
    carbs: Option<usize>,
    alert: [Option<usize>; 2],
    marker: Option<usize>,
}

impl Columns {
    /// Errs where the unit of sensor values is not stated.
    fn of(names: &[String]) -> Result<Self, FileFault> {
        let find = |wanted: &str| beginning(names, &[wanted]);
        let (glucose, unit) = glucose(names, &SENSOR)?.ok_or(FileFault::Unrecognized)?;
        Ok(Self {
            date: named(names, &["date"]).ok_or(FileFault::Unrecognized)?,
            time: named(names, &["time"]).ok_or(FileFault::Unrecognized)?,
            glucose,
            unit,
            new_time: find("newdevicetime"),
            finger_stick: find("bgreading"),
            calibration: find("sensorcalibrationbg"),
            bolus: find("bolusvolumedelivered"),
            basal: find("basalrate"),
            carbs: find("bwzcarbinput"),
            alert: [find("alert"), find("alarm")],
            marker: find("eventmarker"),
        })
    }

    fn wall(&self, row: &Row<'_>) -> Option<WallTime> {
        WallTime::parse(&format!("{} {}", row.cell(self.date), row.cell(self.time))).filter(|wall| wall.timed)
    }
}

/// The rows of a CareLink export.
struct CareLink<'z> {
    columns: Columns,
    decimal_comma: bool,
    /// The serial of the section, else its device.
    device: String,
    sums_of_days: bool,
    /// A header with no unit of glucose was met: its section is counted as faults.
    unit_unknown: bool,
    clock_changes: u64,
    harvest: Harvest<'z>,
}

fn open<'z>(
    names: &[String],
    preamble: Preamble,
    context: &FileContext<'z>,
) -> Result<Box<dyn Body + 'z>, FileFault> {
    let columns = Columns::of(names)?;
    let harvest = Harvest::new(Format::CareLink, Written::Proved(Dates::default()), context);
    let mut harvest = harvest.headed(names, Some(columns.unit));
    harvest.aparts(Apart::Preamble, preamble.rows);
    let mut carelink = CareLink {
        columns,
        decimal_comma: preamble.decimal_comma,
        device: String::new(),
        sums_of_days: false,
        unit_unknown: false,
        clock_changes: 0,
        harvest,
    };
    carelink.section(preamble.last.iter().map(String::as_str));
    Ok(Box::new(carelink))
}

impl Body for CareLink<'_> {
    fn row(&mut self, row: &Row<'_>) {
        if row.cell(0).starts_with(SECTION) && !row.broken {
            self.section(row.cells());
            self.harvest.apart(Apart::Preamble);
        } else if row.cell(0).eq_ignore_ascii_case("index") && !row.broken && is_header(&row.names()) {
            self.harvest.widths.begin(row.width());
            match Columns::of(&row.names()) {
                Ok(columns) => (self.columns, self.unit_unknown) = (columns, false),
                Err(_) => self.unit_unknown = true,
            }
            self.harvest.apart(Apart::Preamble);
        } else if !self.harvest.is_whole(row, 0) {
        } else if !row.cell(self.columns.glucose).is_empty() {
            if let Err(reason) = self.reading(row) {
                self.harvest.fault(row.line, reason);
            }
        } else if !row.is_blank() {
            self.other(row);
        }
    }

    fn refused(&self) -> Option<FileFault> {
        self.harvest.refused()
    }

    fn finish(mut self: Box<Self>) -> Result<FileReadings, FileFault> {
        if self.clock_changes > 0 {
            let note = "the clock of a device was changed, times are as it showed them; changes";
            self.harvest.notes.push(format!("{note}: {}", self.clock_changes));
        }
        self.harvest.finish(Order::EitherWay, "second")
    }
}

impl CareLink<'_> {
    /// Takes what the line before a header says of its section.
    fn section<'r>(&mut self, cells: impl Iterator<Item = &'r str>) {
        let cells: Vec<&str> = cells.collect();
        let cell = |at: usize| cells.get(at).copied().unwrap_or("");
        if cell(0).starts_with(SECTION) {
            let serial = if cell(3).is_empty() { cell(1) } else { cell(3) };
            bounded(serial).clone_into(&mut self.device);
            self.sums_of_days = cell(4).starts_with(SUMS_OF_DAYS);
        }
    }

    fn reading(&mut self, row: &Row<'_>) -> Result<(), RowReason> {
        let columns = &self.columns;
        if row.cell(columns.date).is_empty() || row.cell(columns.time).is_empty() {
            return Err(RowReason::TimeMissing);
        }
        if self.unit_unknown {
            return Err(RowReason::UnitMissing);
        }
        let wall = columns.wall(row).ok_or(RowReason::TimeUnreadable)?;
        let limits = sensor_limits(columns.unit);
        let text = row.cell(columns.glucose);
        let glucose = value::glucose_in_file(text, columns.unit, limits, self.decimal_comma)?;
        let block = self.harvest.block([&self.device, ""], Route::File);
        self.harvest.reading(row.line, block, wall, value::clamped(glucose, limits), UNMARKED)?;
        self.events(row, wall);
        Ok(())
    }

    /// A row without a sensor value.
    fn other(&mut self, row: &Row<'_>) {
        let columns = &self.columns;
        let has = |at: Option<usize>| !row.optional(at).is_empty();
        let marked = row.optional(columns.marker);
        let kind = if has(columns.finger_stick) {
            Apart::Strip
        } else if has(columns.calibration) {
            Apart::Calibration
        } else if has(columns.bolus) || has(columns.basal) {
            Apart::Insulin
        } else if has(columns.carbs) || marked.starts_with(MEAL) {
            Apart::Food
        } else if columns.alert.iter().any(|at| has(*at)) {
            Apart::Alert
        } else {
            Apart::Event
        };
        self.clock_changes += u64::from(has(columns.new_time));
        if let Some(wall) = columns.wall(row) {
            self.harvest.dated(&self.device, kind, row.line, wall);
            self.events(row, wall);
        }
        self.harvest.apart(kind);
    }

    /// What a row says of insulin and food.
    fn events(&mut self, row: &Row<'_>, wall: WallTime) {
        let columns = &self.columns;
        let dose = if self.sums_of_days { EventKind::DailyInsulin } else { EventKind::RapidInsulin };
        let stated = [
            (dose, columns.bolus),
            (EventKind::BasalRate, columns.basal),
            (EventKind::Carbohydrate, columns.carbs),
        ];
        let stated = stated.map(|(kind, at)| (kind, row.optional(at)));
        let meal = row.optional(columns.marker).strip_prefix(MEAL).map(|text| text.trim_end_matches("grams"));
        let found = stated.into_iter().chain([(EventKind::Carbohydrate, meal.unwrap_or(""))]);
        for (kind, text) in found.filter(|(_, text)| !text.is_empty()) {
            let value = value::number_with(text, self.decimal_comma).ok();
            // A calculator that was asked and took no carbohydrate says 0.
            let nothing = kind == EventKind::Carbohydrate && value.is_some_and(|v: Decimal| v.digits() == 0);
            if !nothing {
                self.harvest.event(&self.device, Some(wall), kind, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
