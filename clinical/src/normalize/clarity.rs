//! Dexcom Clarity exports: delimited text, one row per event, local clock times.
//!
//! Rules (reference: cgm.md section 7): columns are found by name; the unit is in the name of the glucose
//! column; only Event Type EGV is a sensor reading (alert rows hold glucose values too); `Low` and `High`
//! take the limits of the sensor, 40 and 400 mg/dL or 2.2 and 22.2 mmol/L; rows ascend in time, so that the
//! repeated hour is told apart by `Transmitter Time` or else by the order of rows.
//!
//! A device is `Source Device ID` and `Transmitter ID`, joined by `/` where both are given.

mod transmitter;

use jiff::civil::DateTime;

use self::transmitter::Ticked;
use super::{
    file::{
        Apart, Draft, FileContext, FileFault, FileReadings, Format, Harvest, MAX_PREAMBLE_ROWS, RowReason,
        has_header, unit_of_column,
    },
    repeated_hour::Order,
    table::{Row, rows},
    value::{self, sensor_limits},
    wall_clock::{DateOrder, WallTime},
};
use crate::{
    glucose::{Glucose, Measured, Unit},
    reading::{Device, Route},
};

/// The beginning of the glucose column's name; its unit follows.
const GLUCOSE: &str = "glucosevalue";

/// Where the columns stand.
struct Columns {
    timestamp: usize,
    event: usize,
    glucose: usize,
    unit: Unit,
    device: Option<usize>,
    transmitter_time: Option<usize>,
    transmitter: Option<usize>,
}

/// What gives the format away.
pub(super) fn recognize(text: &str) -> Option<&'static str> {
    has_header(text, is_header).then_some("columns Timestamp, Event Type and Glucose Value")
}

/// True for the names of a Clarity header.
fn is_header(names: &[String]) -> bool {
    let starts = |with: &str| names.iter().any(|name| name.starts_with(with));
    starts("timestamp") && starts("eventtype") && starts(GLUCOSE)
}

impl Columns {
    /// Errs where the unit is not stated, or where two glucose columns leave it open.
    fn of(names: &[String]) -> Result<Self, FileFault> {
        let find = |with: &str| names.iter().position(|name| name.starts_with(with));
        let missing = FileFault::Unrecognized;
        let glucose = find(GLUCOSE).ok_or(missing)?;
        if names.iter().filter(|name| name.starts_with(GLUCOSE)).count() > 1 {
            return Err(FileFault::UnitUnknown);
        }
        Ok(Self {
            timestamp: find("timestamp").ok_or(missing)?,
            event: find("eventtype").ok_or(missing)?,
            glucose,
            unit: unit_of_column(&names[glucose], GLUCOSE).ok_or(FileFault::UnitUnknown)?,
            device: find("sourcedeviceid"),
            transmitter_time: find("transmittertime"),
            transmitter: find("transmitterid"),
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

    /// A sensor row, with the count of its transmitter.
    fn reading(&self, row: &Row<'_>, context: &FileContext<'_>) -> Result<(Draft, Option<i64>), RowReason> {
        let local = local_time(row.cell(self.timestamp))?;
        let moment = context.zone.resolve(local).ok_or(RowReason::TimeNonexistent)?;
        let glucose = glucose(row.cell(self.glucose), self.unit)?;
        let mark = row.optional(self.transmitter_time).to_owned();
        let ticks = mark.parse().ok();
        let device = device(row.optional(self.device), row.optional(self.transmitter));
        Ok((Draft { device, route: Route::File, moment, glucose, mark }, ticks))
    }
}

/// Reads a Clarity export. Errs where the header is not one, or states no unit.
pub(super) fn read(text: &str, context: &FileContext<'_>) -> Result<FileReadings, FileFault> {
    let mut rows = rows(text);
    let header = rows.by_ref().take(MAX_PREAMBLE_ROWS).map(|row| row.names()).find(|names| is_header(names));
    let columns = Columns::of(&header.ok_or(FileFault::Unrecognized)?)?;
    let mut harvest = Harvest::new(Format::Clarity);
    let mut ticks = Vec::new();
    for row in rows {
        if row.broken {
            harvest.fault(row.line, RowReason::Broken);
        } else if row.cell(columns.event) == "EGV" {
            match columns.reading(&row, context) {
                Ok((draft, tick)) => {
                    harvest.drafts.push(draft);
                    ticks.push(tick);
                }
                Err(reason) => harvest.fault(row.line, reason),
            }
        } else if !row.is_blank() {
            harvest.apart(columns.apart(&row));
        }
    }
    let settled = settle_by_transmitter(&mut harvest.drafts, &ticks);
    if settled > 0 {
        harvest.notes.push(format!("{settled} times of a repeated hour were told apart by the transmitter"));
    }
    Ok(harvest.finish(Order::Ascending, "second", context))
}

/// Replaces what the transmitter's count tells apart; the number of rows so settled.
fn settle_by_transmitter(drafts: &mut [Draft], ticks: &[Option<i64>]) -> usize {
    let ticked: Vec<_> = drafts
        .iter()
        .zip(ticks)
        .map(|(draft, &ticks)| Ticked { device: &draft.device, moment: draft.moment, ticks })
        .collect();
    let told = transmitter::tell(&ticked);
    let mut settled = 0;
    for (draft, moment) in drafts.iter_mut().zip(told) {
        settled += usize::from(draft.moment != moment);
        draft.moment = moment;
    }
    settled
}

/// `YYYY-MM-DDThh:mm:ss`, with a blank for the `T` and without seconds too.
fn local_time(text: &str) -> Result<DateTime, RowReason> {
    if text.is_empty() {
        return Err(RowReason::TimeMissing);
    }
    let iso = text.get(4..5) == Some("-");
    let wall = WallTime::parse(text).filter(|wall| wall.timed && iso);
    wall.and_then(|wall| wall.under(DateOrder::YearMonthDay)).ok_or(RowReason::TimeUnreadable)
}

fn glucose(text: &str, unit: Unit) -> Result<Glucose, RowReason> {
    let measured = match value::word(text, sensor_limits(unit)) {
        Some(limit) => limit,
        None => Measured::Exact(value::number_in_file(text)?),
    };
    Ok(value::glucose(measured, unit)?)
}

fn device(source: &str, transmitter: &str) -> Device {
    match (source, transmitter) {
        ("", one) | (one, "") => Device(one.to_owned()),
        (source, transmitter) => Device(format!("{source}/{transmitter}")),
    }
}

#[cfg(test)]
mod tests;
